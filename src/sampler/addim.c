/* addim: DDIM with its noise scaled up to make good for the variance it loses (arXiv:2403.06807,
 * section 3.2): z_s = alpha_s x_hat + k eps_hat, k = sqrt(sigma_s^2 + D^2 x_var / mean(eps_hat^2)).
 * At sampling x is unknown, so x_var is the analytic one, x_frac / (2 + SNR). */
#include "diffusion/step.h"
#include "sampler/uniform.h"

#include <string.h>

struct options {
    double x_frac;
    char *last;
};

static const few_option table[] = {
    { "x_frac", FEW_OPT_DOUBLE, offsetof(struct options, x_frac), "0.1", 0, 1,
      "x_var = x_frac / (2 + SNR)", NULL },
    { "last", FEW_OPT_CHOICE, offsetof(struct options, last), "full", 0, 0,
      "the last step: as printed, or x_hat alone", "full|x_hat" },
    { .name = NULL },
};

static void step(const few_spec *spec, const void *options, int k, int n, few_sampler_step *out)
{
    const struct options *o = options;
    few_uniform_times(k, n, out);
    const double phi_t = few_schedule_phi(&spec->schedule, out->t),
                 phi_s = few_schedule_phi(&spec->schedule, out->s);
    const few_angle t = few_angle_of(phi_t), s = few_angle_of(phi_s);
    const double D = few_ddim(phi_t, phi_s).D;
    const double x_var = few_x_var_analytic(t.alpha, t.sigma) * (o->x_frac / 0.1);
    out->z = 0;
    out->x = s.alpha;
    out->k0 = s.sigma * s.sigma;
    out->k1 = D * D * x_var;
    if (k == n - 1 && !strcmp(o->last, "x_hat")) {
        out->x = 1;
        out->k0 = out->k1 = 0;
    }
}

const few_sampler few_sampler_addim = {
    .name = "addim",
    .help = "ddim that keeps the noise's expected norm; for diffusion models",
    .paper = "arXiv:2403.06807",
    .options = table,
    .options_size = sizeof(struct options),
    .needs = FEW_NEEDS_EPS,
    .default_steps = 128,
    .check = few_teacher_sampler_check,
    .step = step,
};

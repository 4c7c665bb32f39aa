/* dpmpp_2m: DPM-Solver++(2M), second order from the prediction before (arXiv:2211.01095,
 * algorithm 2), and its SDE. With h = log(noise_t / noise_s), r = h_before / h, g = h (1 + eta):
 *
 *     z_s = (sigma_s / sigma_t) e^(-eta h) z_t + alpha_s (1 - e^-g) x_hat
 *         + c (x_hat - x_before) / r + sigma_s sqrt(1 - e^(-2 eta h)) s_noise xi,
 *
 * c = alpha_s (1 - e^-g) / 2 (midpoint) or alpha_s (1 - (1 - e^-g) / g) (heun). The first step has
 * no prediction before it; the last returns x_hat. */
#include "sampler/grid.h"

#include <math.h>
#include <string.h>

struct options {
    few_grid grid;
    char *solver;
    double eta, s_noise;
};

static const few_option table[] = {
    FEW_GRID_OPTIONS(struct options, "karras"),
    { "eta", FEW_OPT_DOUBLE, offsetof(struct options, eta), "0", 0, 10,
      "fresh noise: 0 the ODE, 1 the reverse SDE", NULL },
    { "solver", FEW_OPT_CHOICE, offsetof(struct options, solver), "midpoint", 0, 0,
      "how the change of the prediction enters", "midpoint|heun" },
    { "s_noise", FEW_OPT_DOUBLE, offsetof(struct options, s_noise), "1", 0, 10,
      "standard deviation of the noise", NULL },
    { .name = NULL },
};

static unsigned needs(const void *options)
{
    const struct options *o = options;
    return FEW_NEEDS_MEMORY | (o->eta > 0 ? FEW_NEEDS_NOISE : 0);
}

static void step(const few_spec *spec, const void *options, int k, int n, few_sampler_step *out)
{
    const struct options *o = options;
    const few_point t = few_grid_point(&o->grid, spec, k, n),
                    s = few_grid_point(&o->grid, spec, k + 1, n);
    out->t = t.t;
    out->s = s.t;
    out->keep_x = true;
    if (k == n - 1) {
        out->x = 1;
        return;
    }
    const double h = log(t.noise / s.noise), g = h * (1 + o->eta), part = -expm1(-g);
    out->z = s.sigma / t.sigma * exp(-o->eta * h);
    out->x = s.alpha * part;
    out->n0 = -expm1(-2 * o->eta * h) * s.sigma * s.sigma * o->s_noise * o->s_noise;
    if (k > 0) {
        const double r = log(few_grid_point(&o->grid, spec, k - 1, n).noise / t.noise) / h;
        const double c = s.alpha * (!strcmp(o->solver, "heun") ? 1 - part / g : part / 2) / r;
        out->x += c;
        out->past = -c;
    }
}

const few_sampler few_sampler_dpmpp_2m = {
    .name = "dpmpp_2m",
    .help = "DPM-Solver++(2M), second order in one evaluation, or its SDE; for diffusion models",
    .paper = "arXiv:2211.01095",
    .options = table,
    .options_size = sizeof(struct options),
    .order = 2,
    .default_steps = 32,
    .needs = needs,
    .check = few_path_check,
    .step = step,
};

/* noisy_ddim: DDIM from a prediction with noise added, x_hat + sqrt(x_var) xi: the comparison of
 * arXiv:2403.06807, figure 5. */
#include "diffusion/step.h"
#include "sampler/grid.h"

struct options {
    few_grid grid;
    double x_frac;
};

static const few_option table[] = {
    { "x_frac", FEW_OPT_DOUBLE, offsetof(struct options, x_frac), "0.1", 0, 1,
      "x_var = x_frac / (2 + SNR)", NULL },
    FEW_GRID_OPTIONS(struct options, "time"),
    { .name = NULL },
};

static void step(const few_spec *spec, const void *options, int k, int n, few_sampler_step *out)
{
    const struct options *o = options;
    const few_point t = few_grid_point(&o->grid, spec, k, n),
                    s = few_grid_point(&o->grid, spec, k + 1, n);
    const few_ddim_coef c = few_ddim(t.phi, s.phi);
    out->t = t.t;
    out->s = s.t;
    if (k == n - 1) { /* no noise in what is returned */
        out->x = 1;
        return;
    }
    out->z = c.r;
    out->x = c.D;
    out->n0 = c.D * c.D * few_x_var_analytic(t.alpha, t.sigma) * (o->x_frac / 0.1);
}

const few_sampler few_sampler_noisy_ddim = {
    .name = "noisy_ddim",
    .help = "ddim with noise added to its predictions; for diffusion models",
    .paper = "arXiv:2403.06807",
    .options = table,
    .options_size = sizeof(struct options),
    .order = 1,
    .default_steps = 256,
    .needs = few_needs_noise,
    .check = few_path_check,
    .step = step,
};

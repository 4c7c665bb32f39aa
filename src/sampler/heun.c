/* heun: EDM's second-order sampler, on Karras's grid, with churn (arXiv:2206.00364, algorithm 2).
 *
 * First evaluation of a step, at t: Euler to s, z_1 = r z + D x_1. Second, at s: the slope is the
 * mean of both, and a slope in EDM's coordinates is eps_hat, so
 *
 *     z_s = z_1 + alpha_s (noise_s - noise_t) / 2 (eps_2 - eps_1).
 *
 * The last step is Euler's and returns x_hat: 2 n - 1 evaluations. */
#include "diffusion/step.h"
#include "sampler/churn.h"

struct options {
    few_grid grid;
    few_churn churn;
};

static const few_option table[] = {
    FEW_GRID_OPTIONS(struct options, "karras"),
    FEW_CHURN_OPTIONS(struct options),
    { .name = NULL },
};

static unsigned needs(const void *options)
{
    const struct options *o = options;
    return FEW_NEEDS_MEMORY | (o->churn.amount > 0 ? FEW_NEEDS_NOISE : 0);
}

static int evaluations(const void *options, int n)
{
    (void)options;
    return 2 * n - 1;
}

static void step(const few_spec *spec, const void *options, int k, int n, few_sampler_step *out)
{
    const struct options *o = options;
    const int i = k / 2;
    const few_point t = few_churn_point(&o->churn, &o->grid, spec, i, n),
                    s = few_grid_point(&o->grid, spec, i + 1, n);
    if (i == n - 1) {
        out->t = t.t;
        out->s = s.t;
        out->x = 1;
    } else if (k % 2 == 0) {
        const few_ddim_coef c = few_ddim(t.phi, s.phi);
        out->t = t.t;
        out->s = s.t;
        out->z = c.r;
        out->x = c.D;
        out->keep_z = out->keep_x = out->inner = true;
    } else {
        const double half = s.alpha * (s.noise - t.noise) / 2;
        out->t = s.t;
        out->z = 1 + half / s.sigma;
        out->x = -half * s.alpha / s.sigma;
        out->base = -half / t.sigma;
        out->past = half * t.alpha / t.sigma;
        few_churn_add(&o->churn, &o->grid, spec, i + 1, n, out);
    }
}

const few_sampler few_sampler_heun = {
    .name = "heun",
    .help = "second order in two evaluations, with noise added if wished; for diffusion models",
    .paper = "arXiv:2206.00364",
    .options = table,
    .options_size = sizeof(struct options),
    .order = 2,
    .default_steps = 32,
    .needs = needs,
    .evaluations = evaluations,
    .check = few_path_check,
    .step = step,
};

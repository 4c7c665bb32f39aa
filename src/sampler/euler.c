/* euler: EDM's first-order sampler, on Karras's grid, with churn (arXiv:2206.00364, algorithm 2
 * without its correction). Without churn it is ddim on that grid; the last step returns x_hat. */
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
    return ((const struct options *)options)->churn.amount > 0 ? FEW_NEEDS_NOISE : 0;
}

static void step(const few_spec *spec, const void *options, int k, int n, few_sampler_step *out)
{
    const struct options *o = options;
    const few_point t = few_churn_point(&o->churn, &o->grid, spec, k, n),
                    s = few_grid_point(&o->grid, spec, k + 1, n);
    const few_ddim_coef c = few_ddim(t.phi, s.phi);
    out->t = t.t;
    out->z = k == n - 1 ? 0 : c.r;
    out->x = k == n - 1 ? 1 : c.D;
    few_churn_add(&o->churn, &o->grid, spec, k + 1, n, out);
}

const few_sampler few_sampler_euler = {
    .name = "euler",
    .help = "first order, with noise added if wished; for diffusion models",
    .paper = "arXiv:2206.00364",
    .options = table,
    .options_size = sizeof(struct options),
    .order = 1,
    .default_steps = 64,
    .needs = needs,
    .check = few_path_check,
    .step = step,
};

/* ddim: z_s = D x_hat + r z_t (arXiv:2010.02502); with eta > 0 a part of eps_hat is fresh noise:
 *
 *     z_s = alpha_s x_hat + sqrt(sigma_s^2 - e^2) eps_hat + e xi,
 *     e = eta (sigma_s / sigma_t) sqrt(1 - alpha_t^2 / alpha_s^2),
 *
 * and eta = 1 is ddpm with its small variance. e^2 = (eta sigma_s)^2 (1 - SNR_t/SNR_s), and what
 * sigma_s^2 is left is computed so that nothing cancels. */
#include "diffusion/step.h"
#include "sampler/grid.h"

struct options {
    few_grid grid;
    double eta;
};

static const few_option table[] = {
    { "eta", FEW_OPT_DOUBLE, offsetof(struct options, eta), "0", 0, 1,
      "part of the noise that is fresh: 0 deterministic, 1 ancestral", NULL },
    FEW_GRID_OPTIONS(struct options, "time"),
    { .name = NULL },
};

static unsigned needs(const void *options)
{
    return ((const struct options *)options)->eta > 0 ? FEW_NEEDS_NOISE : 0;
}

static void step(const few_spec *spec, const void *options, int k, int n, few_sampler_step *out)
{
    const struct options *o = options;
    const few_point t = few_grid_point(&o->grid, spec, k, n),
                    s = few_grid_point(&o->grid, spec, k + 1, n);
    out->t = t.t;
    out->s = s.t;
    if (o->eta > 0) {
        const double fresh = o->eta * o->eta, r = s.noise / t.noise;
        out->x = s.alpha;
        out->k0 = s.sigma * s.sigma * (1 - fresh + fresh * r * r);
        out->n0 = s.sigma * s.sigma * fresh * few_ancestral_of(t, s).kept;
        return;
    }
    const few_ddim_coef c = few_ddim(t.phi, s.phi);
    out->z = c.r;
    out->x = c.D;
}

const few_sampler few_sampler_ddim = {
    .name = "ddim",
    .help = "first order, deterministic or with fresh noise; for diffusion models",
    .paper = "arXiv:2010.02502",
    .options = table,
    .options_size = sizeof(struct options),
    .order = 1,
    .default_steps = 128,
    .needs = needs,
    .check = few_path_check,
    .step = step,
};

/* ddpm: ancestral sampling (arXiv:2006.11239) between any two times: with
 * r = SNR_t / SNR_s,
 *
 *     z_s = r (alpha_s / alpha_t) z_t + (1 - r) alpha_s x_hat + sqrt(v) xi,
 *
 * v from (1 - r) sigma_s^2, what a single clean image asks for, to (1 - r) sigma_t^2, what white
 * noise does. The last step returns x_hat. Nothing cancels in
 * 1 - r = sin(phi_t - phi_s) sin(phi_t + phi_s) / (sigma_t alpha_s)^2. */
#include "sampler/grid.h"

#include <math.h>

struct options {
    few_grid grid;
    double variance;
};

static const few_option table[] = {
    { "variance", FEW_OPT_DOUBLE, offsetof(struct options, variance), "0", 0, 1,
      "0: small, 1: large, between: interpolated in the logarithm", NULL },
    FEW_GRID_OPTIONS(struct options, "time"),
    { .name = NULL },
};

static void step(const few_spec *spec, const void *options, int k, int n, few_sampler_step *out)
{
    const struct options *o = options;
    const few_point t = few_grid_point(&o->grid, spec, k, n),
                    s = few_grid_point(&o->grid, spec, k + 1, n);
    out->t = t.t;
    out->s = s.t;
    if (k == n - 1) {
        out->x = 1;
        return;
    }
    const few_ancestral a = few_ancestral_of(t, s);
    out->z = a.z;
    out->x = a.x;
    out->n0 = a.kept * pow(s.sigma, 2 * (1 - o->variance)) * pow(t.sigma, 2 * o->variance);
}

const few_sampler few_sampler_ddpm = {
    .name = "ddpm",
    .help = "ancestral, with fresh noise at every step; for diffusion models",
    .paper = "arXiv:2006.11239",
    .options = table,
    .options_size = sizeof(struct options),
    .order = 1,
    .default_steps = 256,
    .needs = few_needs_noise,
    .check = few_path_check,
    .step = step,
};

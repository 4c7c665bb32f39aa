/* pc: predictor and corrector (arXiv:2011.13456, algorithms 1 and 5): after each ancestral step n
 * steps of Langevin dynamics at the new time,
 *
 *     z += e score + sqrt(2 e) xi,   e = 2 A (snr |xi| / |score|)^2,   A = (alpha_t / alpha_s)^2
 *
 * |xi|^2 is taken at its mean, and the norms are each sample's own where the paper's are a batch's:
 * an image must not depend on its neighbours. score = -eps_hat / sigma, so e = 2 A snr^2 sigma^2 /
 * m with m the mean square of eps_hat. The last step returns x_hat.
 *
 * Langevin steps of a size that does not shrink are too wide: a Gaussian's variance comes out
 * 1 + snr^2 times what it is, however many steps there are. */
#include "sampler/grid.h"

struct options {
    few_grid grid;
    int corrections;
    double snr;
};

static const few_option table[] = {
    FEW_GRID_OPTIONS(struct options, "time"),
    { "corrections", FEW_OPT_INT, offsetof(struct options, corrections), "1", 0, 7,
      "Langevin steps after each step", NULL },
    { "snr", FEW_OPT_DOUBLE, offsetof(struct options, snr), "0.16", 0, 10,
      "their signal-to-noise ratio", NULL },
    { .name = NULL },
};

static int evaluations(const void *options, int n)
{
    const struct options *o = options;
    return (1 + o->corrections) * (n - 1) + 1;
}

static void step(const few_spec *spec, const void *options, int k, int n, few_sampler_step *out)
{
    const struct options *o = options;
    const int i = k / (1 + o->corrections), correction = k % (1 + o->corrections);
    const few_point t = few_grid_point(&o->grid, spec, i, n),
                    s = few_grid_point(&o->grid, spec, i + 1, n);
    out->t = correction ? s.t : t.t;
    out->s = s.t;
    if (i == n - 1) {
        out->x = 1;
        return;
    }
    out->inner = correction < o->corrections;
    if (correction == 0) {
        const few_ancestral a = few_ancestral_of(t, s);
        out->z = a.z;
        out->x = a.x;
        out->n0 = a.kept * s.sigma * s.sigma;
    } else {
        const double a = t.alpha / s.alpha * o->snr * s.sigma;
        out->z = 1;
        out->k2 = -2 * a * a / s.sigma;
        out->n1 = 4 * a * a;
    }
}

const few_sampler few_sampler_pc = {
    .name = "pc",
    .help = "predictor and Langevin corrector; for diffusion models",
    .paper = "arXiv:2011.13456",
    .options = table,
    .options_size = sizeof(struct options),
    .order = 1,
    .default_steps = 256,
    .needs = few_needs_noise,
    .evaluations = evaluations,
    .check = few_path_check,
    .step = step,
};

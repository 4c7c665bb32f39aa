/* renoise: the multistep sampler of consistency models (arXiv:2303.01469, algorithm 1): to the data
 * in one evaluation, back to less noise, again. With noise per signal x_hat + sqrt(noise_s^2 - e^2)
 * xi, for what a consistency model returns has its least noise e in it (0 for other students); the
 * last step returns x_hat. */
#include "sampler/grid.h"

#include <math.h>

struct options {
    few_grid grid;
};

static const few_option table[] = {
    FEW_GRID_OPTIONS(struct options, "time"),
    { .name = NULL },
};

static few_status check(const few_spec *spec, const void *options, int steps, few_strbuf *warning,
                        few_error *err)
{
    const struct options *o = options;
    (void)warning;
    if (spec->steps != 1)
        return few_fail(err, FEW_EUNSUPPORTED,
                        "sampler 'renoise' is for students of one step, which jump from any time "
                        "to the data; %s",
                        spec->steps ? "this one jumps to the start of its segment: use 'multistep'"
                                    : "this checkpoint is a diffusion model: use ddim");
    FEW_TRY(few_student_check(spec, steps, err));
    return few_grid_check(&o->grid, spec, steps, err);
}

static void step(const few_spec *spec, const void *options, int k, int n, few_sampler_step *out)
{
    const struct options *o = options;
    const few_point s = few_grid_point(&o->grid, spec, k + 1, n);
    const double e = spec->prediction.sigma_min;
    out->t = few_grid_time(&o->grid, spec, k, n);
    out->s = s.t;
    out->x = k == n - 1 ? 1 : s.alpha;
    out->n0 = k == n - 1 ? 0 : s.alpha * s.alpha * fmax(0, (s.noise - e) * (s.noise + e));
}

const few_sampler few_sampler_renoise = {
    .name = "renoise",
    .help = "to the data and back to less noise; for students of one step",
    .paper = "arXiv:2303.01469",
    .options = table,
    .options_size = sizeof(struct options),
    .default_steps = 2,
    .needs = few_needs_noise,
    .check = check,
    .step = step,
};

/* dpmpp_2s: DPM-Solver++(2S), second order in two evaluations of its own (arXiv:2211.01095,
 * algorithm 1, r = 1/2): DDIM to the middle, then from t to s with the prediction found there.
 * 2 n - 1 evaluations: the last step returns x_hat. With middle=time it is the teacher's step of
 * mcd's midpoint. */
#include "diffusion/step.h"
#include "sampler/grid.h"

#include <math.h>
#include <string.h>

struct options {
    few_grid grid;
    char *middle;
};

static const few_option table[] = {
    FEW_GRID_OPTIONS(struct options, "karras"),
    { "middle", FEW_OPT_CHOICE, offsetof(struct options, middle), "log_snr", 0, 0,
      "of a step: in the log SNR, or in time", "log_snr|time" },
    { .name = NULL },
};

static unsigned needs(const void *options)
{
    (void)options;
    return FEW_NEEDS_MEMORY;
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
    const few_point t = few_grid_point(&o->grid, spec, i, n),
                    s = few_grid_point(&o->grid, spec, i + 1, n);
    if (i == n - 1) {
        out->t = t.t;
        out->s = s.t;
        out->x = 1;
        return;
    }
    const double at = !strcmp(o->middle, "time")
                          ? (t.t + s.t) / 2
                          : few_schedule_time(&spec->schedule, -log(t.noise) - log(s.noise));
    const few_point m = few_point_at(spec, at);
    if (k % 2 == 0) {
        const few_ddim_coef c = few_ddim(t.phi, m.phi);
        out->t = t.t;
        out->s = m.t;
        out->z = c.r;
        out->x = c.D;
        out->keep_z = out->inner = true;
    } else {
        const few_ddim_coef c = few_ddim(t.phi, s.phi);
        out->t = m.t;
        out->s = s.t;
        out->base = c.r;
        out->x = c.D;
    }
}

const few_sampler few_sampler_dpmpp_2s = {
    .name = "dpmpp_2s",
    .help = "DPM-Solver++(2S), second order in two evaluations; for diffusion models",
    .paper = "arXiv:2211.01095",
    .options = table,
    .options_size = sizeof(struct options),
    .order = 2,
    .default_steps = 32,
    .needs = needs,
    .evaluations = evaluations,
    .check = few_path_check,
    .step = step,
};

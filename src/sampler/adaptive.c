/* adaptive: the reverse SDE with steps chosen for each image (arXiv:2105.14080, algorithm 1; spec
 * 3.3). With f the reverse SDE's drift, g its diffusion, and the same xi twice:
 *
 *     K1 = -h f(z, t) + g(t) sqrt(h) xi,   K2 = -h f(z + K1, t - h) + g(t - h) sqrt(h) xi
 *     z' = z + K1 (Euler-Maruyama),        z'' = z + (K1 + K2) / 2 (improved Euler)
 *
 * and the difference of both decides. A refused trial is made again with other noise, as in the
 * paper, and whoever refuses large noise prefers small: samples of 12 numbers end 6 % too wide,
 * of 192 within 1 % (test/sampler/test_adaptive.c); images have more. Variance preserved: -f = beta
 * (z / 2 + score), g^2 = beta, beta = -2 d ln(alpha) / dt = 2 tan(phi) d phi / dt. */
#include "sampler/grid.h"

#include <math.h>

struct options {
    double abs_tol, rel_tol, first_step, safety, exponent, sigma_max, end;
};

static const few_option table[] = {
    { "abs_tol", FEW_OPT_DOUBLE, offsetof(struct options, abs_tol), "0.0078", 1e-9, 1,
      "error allowed: 0.0078 is a step of 8 bits", NULL },
    { "rel_tol", FEW_OPT_DOUBLE, offsetof(struct options, rel_tol), "0.02", 0, 1,
      "error allowed for each unit of z; larger is faster", NULL },
    { "first_step", FEW_OPT_DOUBLE, offsetof(struct options, first_step), "0.01", 1e-9, 1,
      "in time", NULL },
    { "safety", FEW_OPT_DOUBLE, offsetof(struct options, safety), "0.9", 0.01, 1,
      "part of the step that the error would allow", NULL },
    { "exponent", FEW_OPT_DOUBLE, offsetof(struct options, exponent), "0.9", 0.1, 2,
      "of the error in the next step", NULL },
    { "sigma_max", FEW_OPT_DOUBLE, offsetof(struct options, sigma_max), "80", 1e-3, 1e9,
      "noise per signal at the start", NULL },
    { "end", FEW_OPT_DOUBLE, offsetof(struct options, end), "1e-3", 1e-6, 0.5,
      "time from which one evaluation leads to the data", NULL },
    { .name = NULL },
};

static unsigned needs(const void *options)
{
    (void)options;
    return FEW_NEEDS_MEMORY | FEW_NEEDS_NOISE;
}

static few_status check(const few_spec *spec, const void *options, int steps, few_strbuf *warning,
                        few_error *err)
{
    const struct options *o = options;
    few_trial at;
    FEW_TRY(few_diffusion_check(spec, steps, err));
    if (steps != 1)
        few_strbuf_add(warning, "sampler 'adaptive' takes as many steps as its tolerances ask for");
    few_sampler_adaptive.adaptive->begin(spec, o, &at);
    if (at.t <= at.end)
        return few_fail(err, FEW_EINVAL, "sigma_max (%g) is at t = %g, not before end (%g)",
                        o->sigma_max, at.t, at.end);
    return FEW_OK;
}

static void begin(const few_spec *spec, const void *options, few_trial *out)
{
    const struct options *o = options;
    const double start = few_schedule_time(&spec->schedule, -2 * log(o->sigma_max));
    *out = (few_trial){ .t = start,
                        .h = fmin(o->first_step, start - o->end),
                        .end = o->end,
                        .error_abs = o->abs_tol,
                        .error_scale = o->rel_tol };
}

static double beta(const few_spec *spec, double t)
{
    const double a = fmin(1, t + 1e-4), b = fmax(0, t - 1e-4);
    const double slope =
        (few_schedule_phi(&spec->schedule, a) - few_schedule_phi(&spec->schedule, b)) / (a - b);
    return 2 * tan(few_schedule_phi(&spec->schedule, t)) * slope;
}

static void step(const few_spec *spec, const void *options, const few_trial *at, int which,
                 few_sampler_step *out)
{
    (void)options;
    const double later = at->t - at->h;
    const few_point p = few_point_at(spec, which == 1 ? later : at->t);
    out->t = p.t;
    if (which == 2) {
        out->x = 1;
        return;
    }
    /* K = b (z / 2 + score) + sqrt(b) xi, score = (alpha x_hat - z) / sigma^2 */
    const double b = at->h * beta(spec, p.t), of_score = b / (p.sigma * p.sigma);
    const double half = which ? 0.5 : 1;
    out->s = later;
    out->z = half * (1 + b / 2 - of_score); /* z'' = (z + z' + K2) / 2: z' is the z of now */
    out->x = half * p.alpha * of_score;
    out->base = which ? 0.5 : 0;
    out->n0 = half * half * b;
}

static bool next(const void *options, few_trial *at, double error)
{
    const struct options *o = options;
    const bool accepted = error <= 1;
    if (accepted)
        at->t = at->h >= at->t - at->end ? at->end : at->t - at->h;
    at->h = fmin(fmax(at->t - at->end, 0), o->safety * at->h * pow(error, -o->exponent));
    return accepted;
}

static const few_adaptive adaptive = { begin, step, next };

const few_sampler few_sampler_adaptive = {
    .name = "adaptive",
    .help = "the reverse SDE, steps of each image by their error; for diffusion models",
    .paper = "arXiv:2105.14080",
    .options = table,
    .options_size = sizeof(struct options),
    .order = 1,
    .default_steps = 1,
    .needs = needs,
    .adaptive = &adaptive,
    .check = check,
};

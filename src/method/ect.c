/* ect: easy consistency tuning, arXiv:2406.14548: from a diffusion model to a
 * consistency model by moving r towards t. ln t is normal, and in stage a
 *
 *     r = max(0, t (1 - (1 + k sigmoid(-b t)) / q^(a+1)))
 *
 * with D(., r = 0) = x, so that the first stage is mostly denoising. The weight is 1/(t - r). An r
 * below sigma_min counts as 0 (not in the paper): the schedule need not reach lower. */
#include "base/philox.h"
#include "method/consistency.h"

#include <math.h>

struct options {
    few_cm_options cm;
    double p_mean, p_std, q, k, b;
    int stages;
};

static const few_option table[] = {
    FEW_CM_OPTIONS(struct options, "norm", "1e-4"),
    { "p_mean", FEW_OPT_DOUBLE, offsetof(struct options, p_mean), "-1.1", -20, 20, "mean of ln t",
      NULL },
    { "p_std", FEW_OPT_DOUBLE, offsetof(struct options, p_std), "2", 0.01, 20,
      "its standard deviation", NULL },
    { "q", FEW_OPT_DOUBLE, offsetof(struct options, q), "2", 1.0001, 1024,
      "by how much t - r shrinks from stage to stage", NULL },
    { "k", FEW_OPT_DOUBLE, offsetof(struct options, k), "8", 0, 1e6,
      "how much larger t - r is at low noise", NULL },
    { "b", FEW_OPT_DOUBLE, offsetof(struct options, b), "1", 0, 1e6, "where low noise ends", NULL },
    { "stages", FEW_OPT_INT, offsetof(struct options, stages), "8", 1, 50, "of equal length",
      NULL },
    { .name = NULL },
};

static double lower(const struct options *o, double t, int stage)
{
    const double part = (1 + o->k / (1 + exp(o->b * t))) / pow(o->q, stage + 1);
    return fmax(0, t * (1 - part));
}

static few_status describe(const void *options, few_spec *s, few_error *err)
{
    s->sigma_max = ((const struct options *)options)->cm.sigma_max;
    (void)err;
    return FEW_OK;
}

static few_status check(const few_method_ctx *c, few_error *err)
{
    return few_cm_check(c, &((const struct options *)c->options)->cm, false, err);
}

static few_val build(few_method_ctx *c)
{
    const struct options *o = c->options;
    return few_cm_build(c, &o->cm, (few_cm_target){ FEW_SET_LIVE, FEW_CM_DATA });
}

static void draw(const few_method_ctx *c, int64_t step, int64_t index, double *v)
{
    const struct options *o = c->options;
    const int stage = few_method_phase(step, c->steps, o->stages, NULL).index;
    double normal[4];
    few_philox_normal((uint32_t[4]){ 0, FEW_RNG_TIME, (uint32_t)step, (uint32_t)index },
                      (uint32_t[2]){ (uint32_t)c->seed, (uint32_t)(c->seed >> 32) }, normal);
    const double drawn = exp(o->p_mean + o->p_std * normal[0]);
    const double t = fmin(fmax(drawn, o->cm.sigma_min), o->cm.sigma_max);
    double r = lower(o, t, stage);
    if (r < o->cm.sigma_min)
        r = 0;
    few_cm_fill(c, t, r, 1 / (t - r), v);
}

const few_method few_method_ect = {
    .name = "ect",
    .help = "easy consistency tuning: a diffusion model becomes a consistency model, by data",
    .paper = "arXiv:2406.14548",
    .options = table,
    .options_size = sizeof(struct options),
    .makes_student = true,
    .scalars = few_cm_scalars,
    .describe = describe,
    .check = check,
    .build = build,
    .draw = draw,
};

/* ct: consistency training, algorithm 3 of arXiv:2303.01469: neighbouring levels of a
 * grid that grows, the same noise at both; the target network's decay grows with it:
 *
 *     S(k) = max(1, ceil(sqrt(k/K ((s1 + 1)^2 - s0^2) + s0^2) - 1)) pairs of levels
 *     mu(k) = exp(s0 log(mu0) / S(k))
 *
 * at step k of K (from the authors' code, where mu uses S and not S + 1). */
#include "base/philox.h"
#include "method/consistency.h"

#include <math.h>

struct options {
    few_cm_options cm;
    int s0, s1;
    double mu0;
};

static const few_option table[] = {
    FEW_CM_OPTIONS(struct options, "l2sq", "1e-4"),
    { "s0", FEW_OPT_INT, offsetof(struct options, s0), "2", 2, 1e6, "levels at the start", NULL },
    { "s1", FEW_OPT_INT, offsetof(struct options, s1), "150", 2, 1e6, "pairs of levels at the end",
      NULL },
    { "mu0", FEW_OPT_DOUBLE, offsetof(struct options, mu0), "0.9", 1e-6, 0.9999999,
      "decay of the target network, which rises with the levels", NULL },
    { .name = NULL },
};

static int pairs(const few_method_ctx *c, int64_t step)
{
    const struct options *o = c->options;
    const double a = o->s0, b = o->s1 + 1, at = (double)step / (double)c->steps;
    return (int)fmax(1, ceil(sqrt(at * (b * b - a * a) + a * a) - 1));
}

static few_status check(const few_method_ctx *c, few_error *err)
{
    const struct options *o = c->options;
    if (o->s0 > o->s1)
        return few_fail(err, FEW_ECONFIG, "method.s0 (%d) is above s1 (%d)", o->s0, o->s1);
    return few_cm_check(c, &o->cm, true, err);
}

static double target_decay(const few_method_ctx *c, int64_t step)
{
    const struct options *o = c->options;
    return exp(o->s0 * log(o->mu0) / pairs(c, step));
}

static few_val build(few_method_ctx *c)
{
    const struct options *o = c->options;
    return few_cm_build(c, &o->cm, (few_cm_target){ FEW_SET_TARGET, FEW_CM_DATA });
}

static void draw(const few_method_ctx *c, int64_t step, int64_t index, double *v)
{
    const struct options *o = c->options;
    const int n = pairs(c, step);
    const int i = (int)few_random_below(c->seed, FEW_RNG_TIME, (uint32_t)step, (uint32_t)index, 0,
                                        (uint32_t)n);
    few_cm_fill(c, few_cm_level(&o->cm, i + 1, n + 1), few_cm_level(&o->cm, i, n + 1), 1, v);
}

const few_method few_method_ct = {
    .name = "ct",
    .help = "consistency training: to the data in one step, learnt from data",
    .paper = "arXiv:2303.01469",
    .options = table,
    .options_size = sizeof(struct options),
    .makes_student = true,
    .scalars = few_cm_scalars,
    .describe = few_cm_describe,
    .check = check,
    .target_decay = target_decay,
    .build = build,
    .draw = draw,
};

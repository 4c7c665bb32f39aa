/* ict: improved consistency training, arXiv:2310.14189. Against ct: no target network,
 * the pseudo-Huber norm, weights 1/(s_{i+1} - s_i), pairs of levels drawn as if ln s were normal,
 * and a grid that doubles:
 *
 *     N(k) = min(s0 2^floor(k/K'), s1) + 1 levels,  K' = floor(K / (log2(floor(s1/s0)) + 1)). */
#include "base/philox.h"
#include "method/consistency.h"

#include <math.h>

struct options {
    few_cm_options cm;
    int s0, s1;
    double p_mean, p_std;
};

static const few_option table[] = {
    FEW_CM_OPTIONS(struct options, "norm", "0"),
    { "s0", FEW_OPT_INT, offsetof(struct options, s0), "10", 1, 1e6, "pairs of levels at the start",
      NULL },
    { "s1", FEW_OPT_INT, offsetof(struct options, s1), "1280", 1, 1e6, "pairs of levels at the end",
      NULL },
    { "p_mean", FEW_OPT_DOUBLE, offsetof(struct options, p_mean), "-1.1", -20, 20,
      "mean of the log of a level", NULL },
    { "p_std", FEW_OPT_DOUBLE, offsetof(struct options, p_std), "2", 0.01, 20,
      "its standard deviation", NULL },
    { .name = NULL },
};

static int pairs(const few_method_ctx *c, int64_t step)
{
    const struct options *o = c->options;
    const double span = fmax(1, floor((double)c->steps / (log2(o->s1 / o->s0) + 1)));
    return (int)fmin(o->s0 * exp2(fmin(30, floor((double)step / span))), o->s1);
}

static few_status check(const few_method_ctx *c, few_error *err)
{
    const struct options *o = c->options;
    if (o->s0 > o->s1)
        return few_fail(err, FEW_ECONFIG, "method.s0 (%d) is above s1 (%d)", o->s0, o->s1);
    return few_cm_check(c, &o->cm, true, err);
}

static few_val build(few_method_ctx *c)
{
    const struct options *o = c->options;
    return few_cm_build(c, &o->cm, (few_cm_target){ FEW_SET_LIVE, FEW_CM_DATA });
}

/* The normal distribution of log levels, up to level i; without the factor 1/2 and the constant. */
static double up_to(const struct options *o, int i, int n)
{
    return erf((log(few_cm_level(&o->cm, i, n)) - o->p_mean) / (sqrt(2) * o->p_std));
}

static void draw(const few_method_ctx *c, int64_t step, int64_t index, double *v)
{
    const struct options *o = c->options;
    const int n = pairs(c, step) + 1; /* levels */
    const double u = few_random_uniform(c->seed, FEW_RNG_TIME, (uint32_t)step, (uint32_t)index, 0);
    const double first = up_to(o, 0, n), at = first + u * (up_to(o, n - 1, n) - first);
    int low = 0, high = n - 1; /* up_to(low) <= at < up_to(high) */
    while (high - low > 1) {
        const int middle = (low + high) / 2;
        if (up_to(o, middle, n) <= at)
            low = middle;
        else
            high = middle;
    }
    const double t = few_cm_level(&o->cm, low + 1, n), r = few_cm_level(&o->cm, low, n);
    few_cm_fill(c, t, r, 1 / (t - r), v);
}

const few_method few_method_ict = {
    .name = "ict",
    .help = "improved consistency training: no target network, levels that double",
    .paper = "arXiv:2310.14189",
    .options = table,
    .options_size = sizeof(struct options),
    .makes_student = true,
    .scalars = few_cm_scalars,
    .describe = few_cm_describe,
    .check = check,
    .build = build,
    .draw = draw,
};

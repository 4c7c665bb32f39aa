/* clamp: y = min(max(x, f[0]), f[1]), through which no gradient flows: what is clamped here are
 * predictions that are taken as they are. NaN stays NaN. */
#include "op/op_util.h"

static few_status infer(few_infer *c)
{
    FEW_TRY(few_infer_types(c, "a"));
    FEW_TRY(few_infer_finite(c));
    if (!(c->node->a.f[0] <= c->node->a.f[1]))
        return few_infer_fail(c, "the lower bound is above the upper one");
    return few_infer_same(c);
}

static void reference(const few_ref_call *c)
{
    const double low = c->node->a.f[0], high = c->node->a.f[1];
    for (int64_t i = 0, n = few_shape_count(c->os[0]); i < n; i++) {
        const double x = c->in[0][i];
        c->out[0][i] = x < low ? low : x > high ? high : x;
    }
}

static const few_op_case cases[] = {
    { .name = "image", .in = { FEW_SHAPE(2, 3, 5, 7) }, .a = { .f = { -1, 1 } } },
    { .name = "wide", .in = { FEW_SHAPE(1, 67) }, .a = { .f = { -0.5, 2 } }, .scale = 3 },
    { .name = "one", .in = { FEW_SHAPE(1) }, .a = { .f = { 0, 0 } } },
    { .name = NULL },
};

const few_op few_op_clamp = {
    .name = "clamp",
    .help = "x held between two constants, without a gradient",
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .flags = FEW_OP_INPLACE | FEW_OP_NO_GRAD,
    .act_in = 1,
    .infer = infer,
    .reference = reference,
    .cases = cases,
};

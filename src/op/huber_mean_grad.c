/* huber_mean_grad: (x, dloss[N]) -> dloss/d x / sqrt(x^2 + e^2), e = f[0], d elements a sample. */
#include "op/op_util.h"

static few_status infer(few_infer *c)
{
    FEW_TRY(few_infer_types(c, "af"));
    FEW_TRY(few_infer_finite(c));
    if (c->in[0]->shape.rank < 1 || !(c->node->a.f[0] > 0))
        return few_infer_fail(c, "the input needs a batch dimension, e must be positive");
    FEW_TRY(few_infer_want(c, 1, FEW_SHAPE(c->in[0]->shape.d[0]), "dloss"));
    return few_infer_same(c);
}

static void reference(const few_ref_call *c)
{
    const int64_t count = few_shape_count(c->is[0]), d = count / c->is[0]->d[0];
    for (int64_t i = 0; i < count; i++)
        c->out[0][i] =
            c->in[1][i / d] / (double)d * c->in[0][i] / hypot(c->in[0][i], c->node->a.f[0]);
}

static const few_op_case cases[] = {
    { .name = "image", .in = { FEW_SHAPE(3, 5, 3, 7), FEW_SHAPE(3) }, .a = { .f = { 0.1 } } },
    { .name = "one", .in = { FEW_SHAPE(1, 1), FEW_SHAPE(1) }, .a = { .f = { 1 } } },
    { .name = "large", .in = { FEW_SHAPE(2, 1031), FEW_SHAPE(2) }, .a = { .f = { 1e-2 } } },
    { .name = NULL },
};

const few_op few_op_huber_mean_grad = {
    .name = "huber_mean_grad",
    .help = "gradient of huber_mean",
    .min_in = 2,
    .max_in = 2,
    .n_out = 1,
    .flags = FEW_OP_NO_GRAD,
    .act_in = 1,
    .infer = infer,
    .reference = reference,
    .cases = cases,
};

/* leaky_relu_grad: (x, dy) -> dy where x > 0, else slope dy; slope = f[0]. */
#include "op/op_util.h"

static few_status infer(few_infer *c)
{
    FEW_TRY(few_infer_want(c, 1, c->in[0]->shape, "dy"));
    FEW_TRY(few_infer_types(c, "as"));
    return few_infer_same(c);
}

static void reference(const few_ref_call *c)
{
    const double slope = c->node->a.f[0];
    for (int64_t i = 0, n = few_shape_count(c->os[0]); i < n; i++)
        c->out[0][i] = c->in[1][i] * (c->in[0][i] > 0 ? 1 : slope);
}

static const few_op_case cases[] = {
    { .name = "image",
      .in = { FEW_SHAPE(2, 3, 5, 7), FEW_SHAPE(2, 3, 5, 7) },
      .a = { .f = { 0.01 } } },
    { .name = "relu", .in = { FEW_SHAPE(1, 67), FEW_SHAPE(1, 67) }, .scale = 20 },
    { .name = "one", .in = { FEW_SHAPE(1), FEW_SHAPE(1) }, .a = { .f = { 0.5 } } },
    { .name = NULL },
};

const few_op few_op_leaky_relu_grad = {
    .name = "leaky_relu_grad",
    .help = "gradient of leaky_relu",
    .min_in = 2,
    .max_in = 2,
    .n_out = 1,
    .flags = FEW_OP_NO_GRAD,
    .act_in = 3,
    .infer = infer,
    .reference = reference,
    .cases = cases,
};

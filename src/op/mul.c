/* mul: y = a * b, element by element, F32. */
#include "op/op_util.h"

static few_status infer(few_infer *c)
{
    FEW_TRY(few_infer_want(c, 1, c->in[0]->shape, "the second operand"));
    FEW_TRY(few_infer_types(c, "ff"));
    return few_infer_same(c);
}

static void grad(few_graph *g, const few_node *n, const few_val *dout, few_val *din)
{
    din[0] = few_mul(g, dout[0], n->in[1]);
    din[1] = few_mul(g, dout[0], n->in[0]);
}

static void reference(const few_ref_call *c)
{
    for (int64_t i = 0, n = few_shape_count(c->os[0]); i < n; i++)
        c->out[0][i] = c->in[0][i] * c->in[1][i];
}

static const few_op_case cases[] = {
    { .name = "image", .in = { FEW_SHAPE(2, 3, 5, 7), FEW_SHAPE(2, 3, 5, 7) } },
    { .name = "one", .in = { FEW_SHAPE(1), FEW_SHAPE(1) } },
    { .name = "vector", .in = { FEW_SHAPE(33), FEW_SHAPE(33) } },
    { .name = NULL },
};

const few_op few_op_mul = {
    .name = "mul",
    .help = "product of two tensors",
    .min_in = 2,
    .max_in = 2,
    .n_out = 1,
    .infer = infer,
    .grad = grad,
    .reference = reference,
    .cases = cases,
};

/* sqrt: y = sqrt(a), F32. The gradient dy / (2 y) is infinite at 0. */
#include "op/op_util.h"

static few_status infer(few_infer *c)
{
    FEW_TRY(few_infer_types(c, "f"));
    return few_infer_same(c);
}

static void grad(few_graph *g, const few_node *n, const few_val *dout, few_val *din)
{
    din[0] = few_div(g, few_affine(g, dout[0], 0.5, 0), n->out[0]);
}

static void reference(const few_ref_call *c)
{
    for (int64_t i = 0, n = few_shape_count(c->os[0]); i < n; i++)
        c->out[0][i] = sqrt(c->in[0][i]);
}

static const few_op_case cases[] = {
    { .name = "vector", .in = { FEW_SHAPE(17) }, .positive = 1 },
    { .name = "one", .in = { FEW_SHAPE(1) }, .positive = 1 },
    { .name = "image", .in = { FEW_SHAPE(2, 3, 3, 1) }, .positive = 1 },
    { .name = NULL },
};

const few_op few_op_sqrt = {
    .name = "sqrt",
    .help = "square root",
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .infer = infer,
    .grad = grad,
    .reference = reference,
    .cases = cases,
};

/* affine: y = a x + b with constants f[0] = a, f[1] = b. */
#include "op/op_util.h"

static few_status infer(few_infer *c)
{
    FEW_TRY(few_infer_types(c, "a"));
    FEW_TRY(few_infer_finite(c));
    return few_infer_same(c);
}

static void grad(few_graph *g, const few_node *n, const few_val *dout, few_val *din)
{
    din[0] = n->a.f[0] == 1 ? dout[0] : few_affine(g, dout[0], n->a.f[0], 0);
}

static void reference(const few_ref_call *c)
{
    for (int64_t i = 0, n = few_shape_count(c->os[0]); i < n; i++)
        c->out[0][i] = c->node->a.f[0] * c->in[0][i] + c->node->a.f[1];
}

static const few_op_case cases[] = {
    { .name = "scale", .in = { FEW_SHAPE(2, 3, 5, 7) }, .a = { .f = { -0.5, 0 } } },
    { .name = "shift", .in = { FEW_SHAPE(19) }, .a = { .f = { 1, 0.25 } } },
    { .name = "one", .in = { FEW_SHAPE(1) }, .a = { .f = { 3, -1 } } },
    { .name = NULL },
};

const few_op few_op_affine = {
    .name = "affine",
    .help = "a x + b with constants",
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .flags = FEW_OP_INPLACE,
    .act_in = 1,
    .infer = infer,
    .grad = grad,
    .reference = reference,
    .cases = cases,
};

/* silu: y = x sigmoid(x). Its gradient is the op silu_grad. */
#include "op/op_util.h"

static few_status infer(few_infer *c)
{
    FEW_TRY(few_infer_types(c, "a"));
    return few_infer_same(c);
}

static void grad(few_graph *g, const few_node *n, const few_val *dout, few_val *din)
{
    din[0] = few_graph_apply(g, &few_op_silu_grad, (few_val[]){ n->in[0], dout[0] }, 2, NULL);
}

static void reference(const few_ref_call *c)
{
    for (int64_t i = 0, n = few_shape_count(c->os[0]); i < n; i++)
        c->out[0][i] = c->in[0][i] * few_sigmoid(c->in[0][i]);
}

static const few_op_case cases[] = {
    { .name = "image", .in = { FEW_SHAPE(2, 3, 5, 7) } },
    { .name = "tails", .in = { FEW_SHAPE(1, 67) }, .scale = 20 },
    { .name = "one", .in = { FEW_SHAPE(1) } },
    { .name = NULL },
};

const few_op few_op_silu = {
    .name = "silu",
    .help = "x sigmoid(x)",
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .act_in = 1,
    .infer = infer,
    .grad = grad,
    .reference = reference,
    .cases = cases,
};

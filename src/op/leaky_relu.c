/* leaky_relu: y = max(x, slope x), slope = f[0] in [0, 1). Its gradient is the op leaky_relu_grad.
 */
#include "op/op_util.h"

static few_status infer(few_infer *c)
{
    FEW_TRY(few_infer_types(c, "a"));
    if (!(c->node->a.f[0] >= 0 && c->node->a.f[0] < 1))
        return few_infer_fail(c, "the slope must be at least 0 and below 1");
    return few_infer_same(c);
}

static void grad(few_graph *g, const few_node *n, const few_val *dout, few_val *din)
{
    din[0] =
        few_graph_apply(g, &few_op_leaky_relu_grad, (few_val[]){ n->in[0], dout[0] }, 2, &n->a);
}

static void reference(const few_ref_call *c)
{
    const double slope = c->node->a.f[0];
    for (int64_t i = 0, n = few_shape_count(c->os[0]); i < n; i++)
        c->out[0][i] = fmax(c->in[0][i], slope * c->in[0][i]);
}

static const few_op_case cases[] = {
    { .name = "image", .in = { FEW_SHAPE(2, 3, 5, 7) }, .a = { .f = { 0.01 } } },
    { .name = "steep", .in = { FEW_SHAPE(1, 67) }, .a = { .f = { 0.7 } }, .scale = 20 },
    { .name = "relu", .in = { FEW_SHAPE(3, 9) } },
    { .name = "one", .in = { FEW_SHAPE(1) }, .a = { .f = { 0.5 } } },
    { .name = NULL },
};

const few_op few_op_leaky_relu = {
    .name = "leaky_relu",
    .help = "max(x, slope x)",
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .act_in = 1,
    .infer = infer,
    .grad = grad,
    .reference = reference,
    .cases = cases,
};

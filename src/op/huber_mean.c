/* huber_mean: per sample, the mean of sqrt(x^2 + e^2) - e, e = f[0]: a pseudo-Huber distance
 * element by element. */
#include "op/op_util.h"

static few_status infer(few_infer *c)
{
    FEW_TRY(few_infer_types(c, "a"));
    FEW_TRY(few_infer_finite(c));
    if (c->in[0]->shape.rank < 1 || !(c->node->a.f[0] > 0))
        return few_infer_fail(c, "the input needs a batch dimension, e must be positive");
    c->shape[0] = FEW_SHAPE(c->in[0]->shape.d[0]);
    c->dtype[0] = FEW_F32;
    return FEW_OK;
}

static void grad(few_graph *g, const few_node *n, const few_val *dout, few_val *din)
{
    din[0] =
        few_graph_apply(g, &few_op_huber_mean_grad, (few_val[]){ n->in[0], dout[0] }, 2, &n->a);
}

static void reference(const few_ref_call *c)
{
    const int64_t n = c->is[0]->d[0], d = few_shape_count(c->is[0]) / n;
    const double e = c->node->a.f[0];
    for (int64_t i = 0; i < n; i++) {
        double sum = 0;
        for (int64_t j = 0; j < d; j++)
            sum += hypot(c->in[0][i * d + j], e) - e;
        c->out[0][i] = sum / (double)d;
    }
}

static double flops(const few_node *n, const few_graph *g)
{
    return 5 * few_flops_input(n, g);
}

static const few_op_case cases[] = {
    { .name = "image", .in = { FEW_SHAPE(3, 5, 3, 7) }, .a = { .f = { 0.1 } } },
    { .name = "one", .in = { FEW_SHAPE(1, 1) }, .a = { .f = { 1 } } },
    { .name = "large", .in = { FEW_SHAPE(2, 1031) }, .a = { .f = { 1e-2 } } },
    { .name = NULL },
};

const few_op few_op_huber_mean = {
    .name = "huber_mean",
    .help = "mean pseudo-Huber distance of each sample",
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .act_in = 1,
    .infer = infer,
    .grad = grad,
    .reference = reference,
    .flops = flops,
    .cases = cases,
};

/* mean_square: the mean of squares of each sample, [N] F32. Gradient: x times 2 g / d. */
#include "op/op_util.h"

static few_status infer(few_infer *c)
{
    FEW_TRY(few_infer_types(c, "a"));
    if (c->in[0]->shape.rank < 1)
        return few_infer_fail(c, "the input needs a batch dimension");
    c->shape[0] = FEW_SHAPE(c->in[0]->shape.d[0]);
    c->dtype[0] = FEW_F32;
    return FEW_OK;
}

static void grad(few_graph *g, const few_node *n, const few_val *dout, few_val *din)
{
    const few_shape s = g->tensors[n->in[0]].shape;
    const double d = (double)(few_shape_count(&s) / s.d[0]);
    const few_val c = few_affine(g, dout[0], 2 / d, 0);
    din[0] = few_lincomb(g, 1, &n->in[0], &c, false);
}

static void reference(const few_ref_call *c)
{
    const int64_t n = c->is[0]->d[0], d = few_shape_count(c->is[0]) / n;
    for (int64_t i = 0; i < n; i++) {
        double sum = 0;
        for (int64_t j = 0; j < d; j++)
            sum += c->in[0][i * d + j] * c->in[0][i * d + j];
        c->out[0][i] = sum / (double)d;
    }
}

static double flops(const few_node *n, const few_graph *g)
{
    return 2 * few_flops_input(n, g);
}

static const few_op_case cases[] = {
    { .name = "image", .in = { FEW_SHAPE(3, 5, 3, 7) } },
    { .name = "one", .in = { FEW_SHAPE(1, 1) } },
    { .name = "large", .in = { FEW_SHAPE(2, 1031) } },
    { .name = NULL },
};

const few_op few_op_mean_square = {
    .name = "mean_square",
    .help = "mean of squares of each sample",
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

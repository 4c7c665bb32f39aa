/* linear: y[r,o] = sum_i x[r,i] w[o,i] + b[o] + res[r,o], over all rows r of x. */
#include "op/op_util.h"

enum { X, W, B, RES };

static few_status infer(few_infer *c)
{
    const few_shape *x = &c->in[X]->shape;
    char a[96], b[96];
    FEW_TRY(few_infer_rank(c, W, 2, "[out,in]", "the weight"));
    if (x->rank < 1)
        return few_infer_fail(c, "the input is a single number, it needs features");
    const few_shape *w = &c->in[W]->shape;
    if (few_last(x) != w->d[1])
        return few_infer_fail(c, "input has %lld features, weight wants %lld (input %s, weight %s)",
                              (long long)few_last(x), (long long)w->d[1], few_shape_text(x, a),
                              few_shape_text(w, b));
    c->shape[0] = *x;
    c->shape[0].d[x->rank - 1] = w->d[0];
    if (c->in[B])
        FEW_TRY(few_infer_want(c, B, FEW_SHAPE(w->d[0]), "the bias"));
    if (c->in[RES])
        FEW_TRY(few_infer_want(c, RES, c->shape[0], "the residual"));
    return few_infer_types(c, "affs");
}

static void grad(few_graph *g, const few_node *n, const few_val *dout, few_val *din)
{
    din[X] =
        few_graph_apply(g, &few_op_linear_grad_input, (few_val[]){ dout[0], n->in[W] }, 2, NULL);
    din[W] =
        few_graph_apply(g, &few_op_linear_grad_weights, (few_val[]){ n->in[X], dout[0] }, 2, NULL);
    din[B] = few_graph_out(g, din[W], 1);
    din[RES] = dout[0];
}

static void reference(const few_ref_call *c)
{
    const int64_t in = few_last(c->is[X]), out = few_last(c->os[0]), rows = few_rows(c->is[X]);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t o = 0; o < out; o++) {
            double sum = (c->in[B] ? c->in[B][o] : 0) + (c->in[RES] ? c->in[RES][r * out + o] : 0);
            for (int64_t i = 0; i < in; i++)
                sum += c->in[X][r * in + i] * c->in[W][o * in + i];
            c->out[0][r * out + o] = sum;
        }
}

static double flops(const few_node *n, const few_graph *g)
{
    return 2.0 * (double)few_shape_count(&g->tensors[n->out[0]].shape) *
           (double)few_last(&g->tensors[n->in[X]].shape);
}

static const few_op_case cases[] = {
    { .name = "all", .in = { FEW_SHAPE(5, 7), FEW_SHAPE(9, 7), FEW_SHAPE(9), FEW_SHAPE(5, 9) } },
    { .name = "one", .in = { FEW_SHAPE(1, 1), FEW_SHAPE(1, 1), FEW_SHAPE(1) }, .absent = 8 },
    { .name = "tokens",
      .in = { FEW_SHAPE(2, 16, 32), FEW_SHAPE(32, 32), FEW_SHAPE(32), FEW_SHAPE(2, 16, 32) } },
    { .name = "residual without bias",
      .in = { FEW_SHAPE(1, 3, 5), FEW_SHAPE(4, 5), { 0 }, FEW_SHAPE(1, 3, 4) },
      .absent = 4 },
    { .name = "no bias", .in = { FEW_SHAPE(3, 33), FEW_SHAPE(17, 33) }, .absent = 12 },
    { .name = NULL },
};

const few_op few_op_linear = {
    .name = "linear",
    .help = "matrix product with bias and residual",
    .min_in = 2,
    .max_in = 4,
    .n_out = 1,
    .act_in = 1 << X | 1 << RES,
    .infer = infer,
    .grad = grad,
    .reference = reference,
    .flops = flops,
    .cases = cases,
};

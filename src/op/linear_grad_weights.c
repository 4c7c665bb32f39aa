/* linear_grad_weights: (x, dy) -> (dw = dy^T x, db = column sums of dy), F32. */
#include "op/op_util.h"

static few_status infer(few_infer *c)
{
    char a[96], b[96];
    if (!c->in[1])
        return few_infer_fail(c, "dy is missing");
    if (c->in[0]->shape.rank < 1 || c->in[1]->shape.rank < 1 ||
        few_rows(&c->in[0]->shape) != few_rows(&c->in[1]->shape))
        return few_infer_fail(c, "input %s and dy %s have different numbers of rows",
                              few_shape_text(&c->in[0]->shape, a),
                              few_shape_text(&c->in[1]->shape, b));
    FEW_TRY(few_infer_types(c, "as"));
    c->shape[0] = FEW_SHAPE(few_last(&c->in[1]->shape), few_last(&c->in[0]->shape));
    c->shape[1] = FEW_SHAPE(c->shape[0].d[0]);
    c->dtype[0] = c->dtype[1] = FEW_F32;
    return FEW_OK;
}

static void reference(const few_ref_call *c)
{
    const int64_t in = few_last(c->is[0]), out = few_last(c->is[1]), rows = few_rows(c->is[0]);
    memset(c->out[0], 0, (size_t)(in * out) * sizeof(double));
    memset(c->out[1], 0, (size_t)out * sizeof(double));
    for (int64_t r = 0; r < rows; r++)
        for (int64_t o = 0; o < out; o++) {
            c->out[1][o] += c->in[1][r * out + o];
            for (int64_t i = 0; i < in; i++)
                c->out[0][o * in + i] += c->in[1][r * out + o] * c->in[0][r * in + i];
        }
}

static double flops(const few_node *n, const few_graph *g)
{
    return 2.0 * (double)few_shape_count(&g->tensors[n->out[0]].shape) *
           (double)few_rows(&g->tensors[n->in[0]].shape);
}

static const few_op_case cases[] = {
    { .name = "rows", .in = { FEW_SHAPE(5, 7), FEW_SHAPE(5, 9) } },
    { .name = "one", .in = { FEW_SHAPE(1, 1), FEW_SHAPE(1, 1) } },
    { .name = "tokens", .in = { FEW_SHAPE(2, 16, 32), FEW_SHAPE(2, 16, 48) } },
    { .name = NULL },
};

const few_op few_op_linear_grad_weights = {
    .name = "linear_grad_weights",
    .help = "gradient of linear with respect to weight and bias",
    .min_in = 2,
    .max_in = 2,
    .n_out = 2,
    .flags = FEW_OP_NO_GRAD,
    .act_in = 3,
    .infer = infer,
    .reference = reference,
    .flops = flops,
    .cases = cases,
};

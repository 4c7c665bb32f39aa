/* linear_grad_input: (dy, w) -> dx = dy w. */
#include "op/op_util.h"

static few_status infer(few_infer *c)
{
    const few_shape *dy = &c->in[0]->shape;
    char a[96], b[96];
    FEW_TRY(few_infer_rank(c, 1, 2, "[out,in]", "the weight"));
    FEW_TRY(few_infer_types(c, "af"));
    if (dy->rank < 1 || few_last(dy) != c->in[1]->shape.d[0])
        return few_infer_fail(c, "dy %s does not fit the weight %s", few_shape_text(dy, a),
                              few_shape_text(&c->in[1]->shape, b));
    c->shape[0] = *dy;
    c->shape[0].d[dy->rank - 1] = c->in[1]->shape.d[1];
    return FEW_OK;
}

static void reference(const few_ref_call *c)
{
    const int64_t out = few_last(c->is[0]), in = few_last(c->os[0]), rows = few_rows(c->is[0]);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < in; i++) {
            double sum = 0;
            for (int64_t o = 0; o < out; o++)
                sum += c->in[0][r * out + o] * c->in[1][o * in + i];
            c->out[0][r * in + i] = sum;
        }
}

static double flops(const few_node *n, const few_graph *g)
{
    return 2.0 * (double)few_shape_count(&g->tensors[n->out[0]].shape) *
           (double)few_last(&g->tensors[n->in[0]].shape);
}

static const few_op_case cases[] = {
    { .name = "rows", .in = { FEW_SHAPE(5, 9), FEW_SHAPE(9, 7) } },
    { .name = "one", .in = { FEW_SHAPE(1, 1), FEW_SHAPE(1, 1) } },
    { .name = "tokens", .in = { FEW_SHAPE(2, 16, 32), FEW_SHAPE(32, 48) } },
    { .name = NULL },
};

const few_op few_op_linear_grad_input = {
    .name = "linear_grad_input",
    .help = "gradient of linear with respect to its input",
    .min_in = 2,
    .max_in = 2,
    .n_out = 1,
    .flags = FEW_OP_NO_GRAD,
    .act_in = 1,
    .infer = infer,
    .reference = reference,
    .flops = flops,
    .cases = cases,
};

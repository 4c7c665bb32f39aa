/* concat: join two tensors along the channels, a first. */
#include "op/op_util.h"

static few_status infer(few_infer *c)
{
    char a[96], b[96];
    if (!c->in[1])
        return few_infer_fail(c, "the second tensor is missing");
    if (c->in[1]->shape.rank != c->in[0]->shape.rank || c->in[0]->shape.rank < 1)
        return few_infer_fail(c, "%s and %s have no last dimension in common",
                              few_shape_text(&c->in[0]->shape, a),
                              few_shape_text(&c->in[1]->shape, b));
    few_shape want = c->in[0]->shape;
    const int last = want.rank - 1;
    want.d[last] = c->in[1]->shape.d[last];
    FEW_TRY(few_infer_want(c, 1, want, "the second tensor"));
    FEW_TRY(few_infer_types(c, "as"));
    c->shape[0] = want;
    c->shape[0].d[last] += c->in[0]->shape.d[last];
    return FEW_OK;
}

static void grad(few_graph *g, const few_node *n, const few_val *dout, few_val *din)
{
    const int a = (int)few_last(&g->tensors[n->in[0]].shape);
    const int b = (int)few_last(&g->tensors[n->in[1]].shape);
    din[0] = few_slice_channels(g, dout[0], 0, a);
    din[1] = few_slice_channels(g, dout[0], a, b);
}

static void reference(const few_ref_call *c)
{
    const int64_t a = few_last(c->is[0]), b = few_last(c->is[1]);
    for (int64_t r = 0, rows = few_rows(c->is[0]); r < rows; r++) {
        memcpy(c->out[0] + r * (a + b), c->in[0] + r * a, (size_t)a * sizeof(double));
        memcpy(c->out[0] + r * (a + b) + a, c->in[1] + r * b, (size_t)b * sizeof(double));
    }
}

static const few_op_case cases[] = {
    { .name = "image", .in = { FEW_SHAPE(2, 3, 3, 5), FEW_SHAPE(2, 3, 3, 4) } },
    { .name = "one", .in = { FEW_SHAPE(1, 1), FEW_SHAPE(1, 1) } },
    { .name = "wide", .in = { FEW_SHAPE(1, 2, 2, 32), FEW_SHAPE(1, 2, 2, 64) } },
    { .name = NULL },
};

const few_op few_op_concat = {
    .name = "concat",
    .help = "join along the channels",
    .min_in = 2,
    .max_in = 2,
    .n_out = 1,
    .act_in = 3,
    .infer = infer,
    .grad = grad,
    .reference = reference,
    .cases = cases,
};

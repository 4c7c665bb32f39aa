/* slice_channels: channels i[0] to i[0] + i[1]. Its adjoint is pad_channels. */
#include "op/op_util.h"

static few_status infer(few_infer *c)
{
    const few_shape *x = &c->in[0]->shape;
    const int64_t from = c->node->a.i[0], count = c->node->a.i[1];
    char a[96];
    if (x->rank < 1 || from < 0 || count < 1 || count > few_last(x) || from > few_last(x) - count)
        return few_infer_fail(c, "input %s has no %lld channels from %lld on", few_shape_text(x, a),
                              (long long)count, (long long)from);
    FEW_TRY(few_infer_types(c, "a"));
    c->shape[0] = *x;
    c->shape[0].d[x->rank - 1] = count;
    return FEW_OK;
}

static void grad(few_graph *g, const few_node *n, const few_val *dout, few_val *din)
{
    din[0] =
        few_pad_channels(g, dout[0], (int)n->a.i[0], (int)few_last(&g->tensors[n->in[0]].shape));
}

static void reference(const few_ref_call *c)
{
    const int64_t x = few_last(c->is[0]), y = few_last(c->os[0]);
    for (int64_t r = 0, rows = few_rows(c->is[0]); r < rows; r++)
        memcpy(c->out[0] + r * y, c->in[0] + r * x + c->node->a.i[0], (size_t)y * sizeof(double));
}

static const few_op_case cases[] = {
    { .name = "middle", .in = { FEW_SHAPE(2, 3, 3, 9) }, .a = { .i = { 2, 5 } } },
    { .name = "one", .in = { FEW_SHAPE(1, 4) }, .a = { .i = { 3, 1 } } },
    { .name = "half", .in = { FEW_SHAPE(1, 2, 2, 64) }, .a = { .i = { 32, 32 } } },
    { .name = NULL },
};

const few_op few_op_slice_channels = {
    .name = "slice_channels",
    .help = "some of the channels",
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .act_in = 1,
    .infer = infer,
    .grad = grad,
    .reference = reference,
    .cases = cases,
};

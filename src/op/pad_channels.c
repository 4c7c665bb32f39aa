/* pad_channels: i[1] channels, zero but for x's at i[0] on. Its adjoint is slice_channels. */
#include "op/op_util.h"

static few_status infer(few_infer *c)
{
    const few_shape *x = &c->in[0]->shape;
    const int64_t from = c->node->a.i[0], total = c->node->a.i[1];
    char a[96];
    if (x->rank < 1 || from < 0 || total < few_last(x) || from > total - few_last(x))
        return few_infer_fail(c, "input %s has no room in %lld channels from %lld on",
                              few_shape_text(x, a), (long long)total, (long long)from);
    FEW_TRY(few_infer_types(c, "a"));
    c->shape[0] = *x;
    c->shape[0].d[x->rank - 1] = total;
    return few_infer_fits(c);
}

static void grad(few_graph *g, const few_node *n, const few_val *dout, few_val *din)
{
    din[0] =
        few_slice_channels(g, dout[0], (int)n->a.i[0], (int)few_last(&g->tensors[n->in[0]].shape));
}

static void reference(const few_ref_call *c)
{
    const int64_t x = few_last(c->is[0]), y = few_last(c->os[0]);
    memset(c->out[0], 0, (size_t)few_shape_count(c->os[0]) * sizeof(double));
    for (int64_t r = 0, rows = few_rows(c->is[0]); r < rows; r++)
        memcpy(c->out[0] + r * y + c->node->a.i[0], c->in[0] + r * x, (size_t)x * sizeof(double));
}

static const few_op_case cases[] = {
    { .name = "middle", .in = { FEW_SHAPE(2, 3, 3, 5) }, .a = { .i = { 2, 9 } } },
    { .name = "one", .in = { FEW_SHAPE(1, 1) }, .a = { .i = { 3, 4 } } },
    { .name = "half", .in = { FEW_SHAPE(1, 2, 2, 32) }, .a = { .i = { 32, 64 } } },
    { .name = NULL },
};

const few_op few_op_pad_channels = {
    .name = "pad_channels",
    .help = "channels among zeros",
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .act_in = 1,
    .infer = infer,
    .grad = grad,
    .reference = reference,
    .cases = cases,
};

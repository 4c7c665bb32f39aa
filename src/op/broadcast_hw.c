/* broadcast_hw: [N,C] F32 -> [N,H,W,C], every pixel the same, times f[0]. i[0] H, i[1] W, i[2] the
 * type. The adjoint of mean_hw. */
#include "op/op_util.h"

static few_status infer(few_infer *c)
{
    const few_shape *x = &c->in[0]->shape;
    const int64_t *a = c->node->a.i;
    FEW_TRY(few_infer_rank(c, 0, 2, "[N,C]", "the input"));
    FEW_TRY(few_infer_types(c, "f"));
    FEW_TRY(few_infer_finite(c));
    if (a[2] != FEW_F32 && a[2] != FEW_ACT)
        return few_infer_fail(c, "type %lld is neither f32 nor activation", (long long)a[2]);
    c->shape[0] = FEW_SHAPE(x->d[0], a[0], a[1], x->d[1]);
    c->dtype[0] = (few_dtype)a[2];
    return few_infer_fits(c);
}

static void grad(few_graph *g, const few_node *n, const few_val *dout, few_val *din)
{
    const few_attrs a = { .f = { n->a.f[0] } };
    din[0] = few_graph_apply(g, &few_op_mean_hw, dout, 1, &a);
}

static void reference(const few_ref_call *c)
{
    const int64_t channels = few_last(c->os[0]), pixels = c->os[0]->d[1] * c->os[0]->d[2];
    for (int64_t i = 0, n = few_shape_count(c->os[0]); i < n; i++)
        c->out[0][i] =
            c->node->a.f[0] * c->in[0][i / (pixels * channels) * channels + i % channels];
}

static const few_op_case cases[] = {
    { .name = "odd", .in = { FEW_SHAPE(2, 7) }, .a = { .i = { 3, 5, FEW_ACT }, .f = { 0.5 } } },
    { .name = "one", .in = { FEW_SHAPE(1, 1) }, .a = { .i = { 1, 1, FEW_F32 }, .f = { 1 } } },
    { .name = "wide", .in = { FEW_SHAPE(3, 33) }, .a = { .i = { 8, 8, FEW_ACT }, .f = { 1 } } },
    { .name = NULL },
};

const few_op few_op_broadcast_hw = {
    .name = "broadcast_hw",
    .help = "a vector at every pixel",
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .infer = infer,
    .grad = grad,
    .reference = reference,
    .cases = cases,
};

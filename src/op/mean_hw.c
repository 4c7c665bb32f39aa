/* mean_hw: [N,H,W,C] -> [N,C] F32, the sum over pixels times f[0] (1/(HW): the mean). */
#include "op/op_util.h"

static few_status infer(few_infer *c)
{
    const few_shape *x = &c->in[0]->shape;
    FEW_TRY(few_infer_rank(c, 0, 4, "[N,H,W,C]", "the input"));
    FEW_TRY(few_infer_types(c, "a"));
    FEW_TRY(few_infer_finite(c));
    c->shape[0] = FEW_SHAPE(x->d[0], x->d[3]);
    c->dtype[0] = FEW_F32;
    return FEW_OK;
}

static void grad(few_graph *g, const few_node *n, const few_val *dout, few_val *din)
{
    const few_tensor x = g->tensors[n->in[0]];
    din[0] = few_broadcast_hw(g, dout[0], (int)x.shape.d[1], (int)x.shape.d[2], x.dtype, n->a.f[0]);
}

static void reference(const few_ref_call *c)
{
    const int64_t channels = few_last(c->is[0]), pixels = c->is[0]->d[1] * c->is[0]->d[2];
    memset(c->out[0], 0, (size_t)few_shape_count(c->os[0]) * sizeof(double));
    for (int64_t i = 0, n = few_shape_count(c->is[0]); i < n; i++)
        c->out[0][i / (pixels * channels) * channels + i % channels] +=
            c->node->a.f[0] * c->in[0][i];
}

static const few_op_case cases[] = {
    { .name = "odd", .in = { FEW_SHAPE(2, 3, 5, 7) }, .a = { .f = { 1.0 / 15 } } },
    { .name = "one", .in = { FEW_SHAPE(1, 1, 1, 1) }, .a = { .f = { 1 } } },
    { .name = "wide", .in = { FEW_SHAPE(3, 8, 8, 33) }, .a = { .f = { 1.0 / 64 } } },
    { .name = NULL },
};

const few_op few_op_mean_hw = {
    .name = "mean_hw",
    .help = "mean over the pixels of each channel",
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .act_in = 1,
    .infer = infer,
    .grad = grad,
    .reference = reference,
    .flops = few_flops_input,
    .cases = cases,
};

/* upsample2: nearest neighbour, twice as high and wide, times f[0]. Its adjoint is pool2. */
#include "op/op_util.h"

static few_status infer(few_infer *c)
{
    const few_shape *x = &c->in[0]->shape;
    FEW_TRY(few_infer_rank(c, 0, 4, "[N,H,W,C]", "the input"));
    FEW_TRY(few_infer_types(c, "a"));
    FEW_TRY(few_infer_finite(c));
    c->shape[0] = FEW_SHAPE(x->d[0], 2 * x->d[1], 2 * x->d[2], x->d[3]);
    return FEW_OK;
}

static void grad(few_graph *g, const few_node *n, const few_val *dout, few_val *din)
{
    din[0] = few_pool2(g, dout[0], n->a.f[0]);
}

static void reference(const few_ref_call *c)
{
    const few_shape *y = c->os[0], *x = c->is[0];
    int64_t i = 0;
    for (int64_t n = 0; n < y->d[0]; n++)
        for (int64_t h = 0; h < y->d[1]; h++)
            for (int64_t w = 0; w < y->d[2]; w++)
                for (int64_t k = 0; k < y->d[3]; k++)
                    c->out[0][i++] =
                        c->node->a.f[0] *
                        c->in[0][((n * x->d[1] + h / 2) * x->d[2] + w / 2) * x->d[3] + k];
}

static const few_op_case cases[] = {
    { .name = "odd", .in = { FEW_SHAPE(2, 3, 5, 7) }, .a = { .f = { 1 } } },
    { .name = "one", .in = { FEW_SHAPE(1, 1, 1, 1) }, .a = { .f = { 0.25 } } },
    { .name = "wide", .in = { FEW_SHAPE(1, 2, 2, 32) }, .a = { .f = { 1 } } },
    { .name = NULL },
};

const few_op few_op_upsample2 = {
    .name = "upsample2",
    .help = "nearest neighbour, twice the size",
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .act_in = 1,
    .infer = infer,
    .grad = grad,
    .reference = reference,
    .cases = cases,
};

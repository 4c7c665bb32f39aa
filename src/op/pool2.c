/* pool2: sum of 2x2 pixels, times f[0] (0.25: average). Its adjoint is upsample2. */
#include "op/op_util.h"

static few_status infer(few_infer *c)
{
    const few_shape *x = &c->in[0]->shape;
    char a[96];
    if (x->rank != 4 || x->d[1] % 2 || x->d[2] % 2)
        return few_infer_fail(c, "input has shape %s, wanted is [N,H,W,C] with even H and W",
                              few_shape_text(x, a));
    FEW_TRY(few_infer_types(c, "a"));
    FEW_TRY(few_infer_finite(c));
    c->shape[0] = FEW_SHAPE(x->d[0], x->d[1] / 2, x->d[2] / 2, x->d[3]);
    return FEW_OK;
}

static void grad(few_graph *g, const few_node *n, const few_val *dout, few_val *din)
{
    din[0] = few_upsample2(g, dout[0], n->a.f[0]);
}

static void reference(const few_ref_call *c)
{
    const few_shape *y = c->os[0], *x = c->is[0];
    memset(c->out[0], 0, (size_t)few_shape_count(y) * sizeof(double));
    int64_t i = 0;
    for (int64_t n = 0; n < x->d[0]; n++)
        for (int64_t h = 0; h < x->d[1]; h++)
            for (int64_t w = 0; w < x->d[2]; w++)
                for (int64_t k = 0; k < x->d[3]; k++)
                    c->out[0][((n * y->d[1] + h / 2) * y->d[2] + w / 2) * y->d[3] + k] +=
                        c->node->a.f[0] * c->in[0][i++];
}

static const few_op_case cases[] = {
    { .name = "odd", .in = { FEW_SHAPE(2, 6, 10, 7) }, .a = { .f = { 0.25 } } },
    { .name = "one", .in = { FEW_SHAPE(1, 2, 2, 1) }, .a = { .f = { 1 } } },
    { .name = "wide", .in = { FEW_SHAPE(1, 4, 4, 32) }, .a = { .f = { 0.25 } } },
    { .name = NULL },
};

const few_op few_op_pool2 = {
    .name = "pool2",
    .help = "sum or average of 2x2 pixels",
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

/* conv2d_grad_weights: (x, dy) -> (dw, db), F32. i[0..2] as conv2d, i[3] kh, i[4] kw. */
#include "op/conv.h"

static few_status infer(few_infer *c)
{
    few_conv_dims d = { 0 };
    FEW_TRY(few_infer_rank(c, 0, 4, "[N,H,W,C]", "the input"));
    FEW_TRY(few_infer_rank(c, 1, 4, "[N,OH,OW,O]", "dy"));
    FEW_TRY(few_infer_types(c, "as"));
    const few_shape w =
        FEW_SHAPE(c->in[1]->shape.d[3], c->in[0]->shape.d[3], c->node->a.i[3], c->node->a.i[4]);
    FEW_TRY(few_conv_infer(c, &c->in[0]->shape, &w, &d));
    FEW_TRY(few_infer_want(c, 1, FEW_SHAPE(d.n, d.oh, d.ow, d.o), "dy"));
    c->shape[0] = w;
    c->shape[1] = FEW_SHAPE(d.o);
    c->dtype[0] = c->dtype[1] = FEW_F32;
    return few_infer_fits(c);
}

struct arrays {
    double *dw;
    const double *x, *dy;
};

static void product(void *user, int64_t yi, int64_t xi, int64_t wi)
{
    const struct arrays *a = user;
    a->dw[wi] += a->dy[yi] * a->x[xi];
}

static void reference(const few_ref_call *c)
{
    const few_conv_dims d = few_conv_dims_of(&c->node->a, c->is[0], c->os[0], c->is[1]);
    memset(c->out[0], 0, (size_t)few_shape_count(c->os[0]) * sizeof(double));
    memset(c->out[1], 0, (size_t)d.o * sizeof(double));
    few_conv_each(&d, product, &(struct arrays){ c->out[0], c->in[0], c->in[1] });
    for (int64_t i = 0, n = few_shape_count(c->is[1]); i < n; i++)
        c->out[1][i % d.o] += c->in[1][i];
}

static double flops(const few_node *n, const few_graph *g)
{
    const few_conv_dims d =
        few_conv_dims_of(&n->a, &g->tensors[n->in[0]].shape, &g->tensors[n->out[0]].shape,
                         &g->tensors[n->in[1]].shape);
    return few_conv_flops(&d);
}

static const few_op_case cases[] = {
    { .name = "3x3",
      .in = { FEW_SHAPE(2, 5, 6, 3), FEW_SHAPE(2, 5, 6, 4) },
      .a = { .i = { 1, 1, 1, 3, 3 } } },
    { .name = "one channel",
      .in = { FEW_SHAPE(1, 7, 7, 1), FEW_SHAPE(1, 7, 7, 1) },
      .a = { .i = { 1, 1, 1, 3, 3 } } },
    { .name = "to three channels",
      .in = { FEW_SHAPE(2, 6, 5, 20), FEW_SHAPE(2, 6, 5, 3) },
      .a = { .i = { 1, 1, 1, 3, 3 } } },
    { .name = "from three channels",
      .in = { FEW_SHAPE(2, 6, 5, 3), FEW_SHAPE(2, 6, 5, 20) },
      .a = { .i = { 1, 1, 1, 3, 3 } } },
    { .name = "stride 2",
      .in = { FEW_SHAPE(2, 8, 8, 16), FEW_SHAPE(2, 4, 4, 32) },
      .a = { .i = { 2, 1, 1, 3, 3 } } },
    { .name = "padded right",
      .in = { FEW_SHAPE(1, 6, 6, 8), FEW_SHAPE(1, 3, 3, 8) },
      .a = { .i = { 2, 0, 1, 3, 3 } } },
    { .name = "1x3 window",
      .in = { FEW_SHAPE(2, 5, 4, 6), FEW_SHAPE(2, 7, 4, 7) },
      .a = { .i = { 1, 1, 1, 1, 3 } } },
    { .name = "last row and column unused",
      .in = { FEW_SHAPE(1, 6, 8, 5), FEW_SHAPE(1, 2, 3, 4) },
      .a = { .i = { 2, 0, 0, 3, 3 } } },
    { .name = "1x1",
      .in = { FEW_SHAPE(3, 4, 4, 17), FEW_SHAPE(3, 4, 4, 5) },
      .a = { .i = { 1, 0, 0, 1, 1 } } },
    { .name = "winograd",
      .in = { FEW_SHAPE(2, 8, 9, 32), FEW_SHAPE(2, 8, 9, 64) },
      .a = { .i = { 1, 1, 1, 3, 3 } } },
    { .name = "winograd, tiles cut off",
      .in = { FEW_SHAPE(1, 11, 14, 64), FEW_SHAPE(1, 11, 14, 32) },
      .a = { .i = { 1, 1, 1, 3, 3 } } },
    { .name = NULL },
};

const few_op few_op_conv2d_grad_weights = {
    .name = "conv2d_grad_weights",
    .help = "gradient of conv2d with respect to weight and bias",
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

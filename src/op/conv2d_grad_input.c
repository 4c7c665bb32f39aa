/* conv2d_grad_input: (dy, w) -> dx. i[0..2] as conv2d, i[3] H, i[4] W of x. */
#include "op/conv.h"

static few_status infer(few_infer *c)
{
    few_conv_dims d = { 0 };
    FEW_TRY(few_infer_rank(c, 0, 4, "[N,OH,OW,O]", "dy"));
    FEW_TRY(few_infer_rank(c, 1, 4, "[O,C,kh,kw]", "the weight"));
    FEW_TRY(few_infer_types(c, "af"));
    const few_shape x =
        FEW_SHAPE(c->in[0]->shape.d[0], c->node->a.i[3], c->node->a.i[4], c->in[1]->shape.d[1]);
    FEW_TRY(few_conv_infer(c, &x, &c->in[1]->shape, &d));
    FEW_TRY(few_infer_want(c, 0, FEW_SHAPE(d.n, d.oh, d.ow, d.o), "dy"));
    c->shape[0] = x;
    return few_infer_fits(c);
}

struct arrays {
    double *dx;
    const double *dy, *w;
};

static void product(void *user, int64_t yi, int64_t xi, int64_t wi)
{
    const struct arrays *a = user;
    a->dx[xi] += a->dy[yi] * a->w[wi];
}

static void reference(const few_ref_call *c)
{
    const few_conv_dims d = few_conv_dims_of(&c->node->a, c->os[0], c->is[1], c->is[0]);
    memset(c->out[0], 0, (size_t)few_shape_count(c->os[0]) * sizeof(double));
    few_conv_each(&d, product, &(struct arrays){ c->out[0], c->in[0], c->in[1] });
}

static double flops(const few_node *n, const few_graph *g)
{
    const few_conv_dims d =
        few_conv_dims_of(&n->a, &g->tensors[n->out[0]].shape, &g->tensors[n->in[1]].shape,
                         &g->tensors[n->in[0]].shape);
    return few_conv_flops(&d);
}

static const few_op_case cases[] = {
    { .name = "3x3",
      .in = { FEW_SHAPE(2, 5, 6, 4), FEW_SHAPE(4, 3, 3, 3) },
      .a = { .i = { 1, 1, 1, 5, 6 } } },
    { .name = "one channel",
      .in = { FEW_SHAPE(1, 7, 7, 1), FEW_SHAPE(1, 1, 3, 3) },
      .a = { .i = { 1, 1, 1, 7, 7 } } },
    { .name = "to three channels",
      .in = { FEW_SHAPE(2, 6, 5, 3), FEW_SHAPE(3, 20, 3, 3) },
      .a = { .i = { 1, 1, 1, 6, 5 } } },
    { .name = "from three channels",
      .in = { FEW_SHAPE(2, 6, 5, 20), FEW_SHAPE(20, 3, 3, 3) },
      .a = { .i = { 1, 1, 1, 6, 5 } } },
    { .name = "stride 2",
      .in = { FEW_SHAPE(2, 4, 4, 32), FEW_SHAPE(32, 16, 3, 3) },
      .a = { .i = { 2, 1, 1, 8, 8 } } },
    { .name = "1x3 window",
      .in = { FEW_SHAPE(2, 7, 4, 7), FEW_SHAPE(7, 6, 1, 3) },
      .a = { .i = { 1, 1, 1, 5, 4 } } },
    { .name = "last row and column unused",
      .in = { FEW_SHAPE(1, 2, 3, 4), FEW_SHAPE(4, 5, 3, 3) },
      .a = { .i = { 2, 0, 0, 6, 8 } } },
    { .name = "padded right",
      .in = { FEW_SHAPE(1, 3, 3, 8), FEW_SHAPE(8, 8, 3, 3) },
      .a = { .i = { 2, 0, 1, 6, 6 } } },
    { .name = "winograd",
      .in = { FEW_SHAPE(2, 8, 9, 64), FEW_SHAPE(64, 32, 3, 3) },
      .a = { .i = { 1, 1, 1, 8, 9 } } },
    { .name = "winograd, few tiles",
      .in = { FEW_SHAPE(1, 8, 8, 64), FEW_SHAPE(64, 32, 3, 3) },
      .a = { .i = { 1, 1, 1, 8, 8 } } },
    { .name = NULL },
};

const few_op few_op_conv2d_grad_input = {
    .name = "conv2d_grad_input",
    .help = "gradient of conv2d with respect to its input",
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

/* conv2d: y[n,i,j,o] = sum_{c,u,v} x[n, i s + u - p, j s + v - p, c] w[o,c,u,v] + b[o] +
 * res[n,i,j,o].
 *
 * Channels last for images, PyTorch's [O,C,kh,kw] for weights. Bias and residual belong to the op
 * because both cost nothing while y is still in cache. */
#include "op/conv.h"

enum { X, W, B, RES };

few_conv_dims few_conv_dims_of(const few_attrs *a, const few_shape *x, const few_shape *w,
                               const few_shape *y)
{
    return (few_conv_dims){ x->d[0], x->d[1], x->d[2], x->d[3], w->d[0], w->d[2],
                            w->d[3], y->d[1], y->d[2], a->i[0], a->i[1], a->i[2] };
}

few_status few_conv_infer(few_infer *c, const few_shape *x, const few_shape *w, few_conv_dims *d)
{
    char a[96], b[96];
    if (x->rank != 4 || w->rank != 4)
        return few_infer_fail(c, "input %s and weight %s must be [N,H,W,C] and [O,C,kh,kw]",
                              few_shape_text(x, a), few_shape_text(w, b));
    if (x->d[3] != w->d[1])
        return few_infer_fail(c, "input has %lld channels, weight wants %lld (input %s, weight %s)",
                              (long long)x->d[3], (long long)w->d[1], few_shape_text(x, a),
                              few_shape_text(w, b));
    const int64_t *i = c->node->a.i;
    for (int k = 1; k < 3; k++)
        if (x->d[k] < 1 || x->d[k] > 1 << 24 || w->d[k + 1] < 1 || w->d[k + 1] > 1 << 24)
            return few_infer_fail(c, "input %s or weight %s has an impossible size",
                                  few_shape_text(x, a), few_shape_text(w, b));
    if (i[0] < 1 || i[0] > 16 || i[1] < 0 || i[1] > 64 || i[2] < 0 || i[2] > 64)
        return few_infer_fail(c, "stride %lld or padding %lld, %lld is out of range",
                              (long long)i[0], (long long)i[1], (long long)i[2]);
    if (x->d[1] + i[1] + i[2] < w->d[2] || x->d[2] + i[1] + i[2] < w->d[3])
        return few_infer_fail(c, "the %lldx%lld window is larger than the padded image %s",
                              (long long)w->d[2], (long long)w->d[3], few_shape_text(x, a));
    const few_shape y = FEW_SHAPE(x->d[0], (x->d[1] + i[1] + i[2] - w->d[2]) / i[0] + 1,
                                  (x->d[2] + i[1] + i[2] - w->d[3]) / i[0] + 1, w->d[0]);
    *d = few_conv_dims_of(&c->node->a, x, w, &y);
    return FEW_OK;
}

double few_conv_flops(const few_conv_dims *d)
{
    return 2.0 * (double)(d->n * d->oh * d->ow * d->o) * (double)(d->c * d->kh * d->kw);
}

void few_conv_each(const few_conv_dims *d, few_conv_visit f, void *user)
{
    for (int64_t n = 0; n < d->n; n++)
        for (int64_t i = 0; i < d->oh; i++)
            for (int64_t j = 0; j < d->ow; j++)
                for (int64_t u = 0; u < d->kh; u++)
                    for (int64_t v = 0; v < d->kw; v++) {
                        const int64_t y = i * d->stride + u - d->pad0;
                        const int64_t x = j * d->stride + v - d->pad0;
                        if (y < 0 || y >= d->h || x < 0 || x >= d->w)
                            continue;
                        for (int64_t o = 0; o < d->o; o++)
                            for (int64_t c = 0; c < d->c; c++)
                                f(user, ((n * d->oh + i) * d->ow + j) * d->o + o,
                                  ((n * d->h + y) * d->w + x) * d->c + c,
                                  ((o * d->c + c) * d->kh + u) * d->kw + v);
                    }
}

static few_status infer(few_infer *c)
{
    few_conv_dims d = { 0 };
    if (!c->in[W])
        return few_infer_fail(c, "the weight is missing");
    FEW_TRY(few_conv_infer(c, &c->in[X]->shape, &c->in[W]->shape, &d));
    c->shape[0] = FEW_SHAPE(d.n, d.oh, d.ow, d.o);
    if (c->in[B])
        FEW_TRY(few_infer_want(c, B, FEW_SHAPE(d.o), "the bias"));
    if (c->in[RES])
        FEW_TRY(few_infer_want(c, RES, c->shape[0], "the residual"));
    return few_infer_types(c, "affs");
}

static void grad(few_graph *g, const few_node *n, const few_val *dout, few_val *din)
{
    const few_shape x = g->tensors[n->in[X]].shape, w = g->tensors[n->in[W]].shape;
    few_attrs a = n->a;
    a.i[3] = x.d[1];
    a.i[4] = x.d[2];
    din[X] = few_graph_apply(g, &few_op_conv2d_grad_input, (few_val[]){ dout[0], n->in[W] }, 2, &a);
    a.i[3] = w.d[2];
    a.i[4] = w.d[3];
    din[W] =
        few_graph_apply(g, &few_op_conv2d_grad_weights, (few_val[]){ n->in[X], dout[0] }, 2, &a);
    din[B] = few_graph_out(g, din[W], 1);
    din[RES] = dout[0];
}

struct arrays {
    double *y;
    const double *x, *w;
};

static void product(void *user, int64_t yi, int64_t xi, int64_t wi)
{
    const struct arrays *a = user;
    a->y[yi] += a->x[xi] * a->w[wi];
}

static void reference(const few_ref_call *c)
{
    const few_conv_dims d = few_conv_dims_of(&c->node->a, c->is[X], c->is[W], c->os[0]);
    for (int64_t i = 0, n = few_shape_count(c->os[0]); i < n; i++)
        c->out[0][i] = (c->in[B] ? c->in[B][i % d.o] : 0) + (c->in[RES] ? c->in[RES][i] : 0);
    few_conv_each(&d, product, &(struct arrays){ c->out[0], c->in[X], c->in[W] });
}

static double flops(const few_node *n, const few_graph *g)
{
    const few_conv_dims d =
        few_conv_dims_of(&n->a, &g->tensors[n->in[X]].shape, &g->tensors[n->in[W]].shape,
                         &g->tensors[n->out[0]].shape);
    return few_conv_flops(&d);
}

static const few_op_case cases[] = {
    { .name = "3x3 all",
      .in = { FEW_SHAPE(2, 5, 6, 3), FEW_SHAPE(4, 3, 3, 3), FEW_SHAPE(4), FEW_SHAPE(2, 5, 6, 4) },
      .a = { .i = { 1, 1, 1 } } },
    { .name = "one channel",
      .in = { FEW_SHAPE(1, 7, 7, 1), FEW_SHAPE(1, 1, 3, 3), FEW_SHAPE(1) },
      .a = { .i = { 1, 1, 1 } },
      .absent = 8 },
    { .name = "to three channels",
      .in = { FEW_SHAPE(2, 6, 5, 20), FEW_SHAPE(3, 20, 3, 3), FEW_SHAPE(3) },
      .a = { .i = { 1, 1, 1 } },
      .absent = 8 },
    { .name = "from three channels",
      .in = { FEW_SHAPE(2, 6, 5, 3), FEW_SHAPE(20, 3, 3, 3), FEW_SHAPE(20) },
      .a = { .i = { 1, 1, 1 } },
      .absent = 8 },
    { .name = "1x1 no bias",
      .in = { FEW_SHAPE(3, 4, 4, 17), FEW_SHAPE(5, 17, 1, 1) },
      .a = { .i = { 1, 0, 0 } },
      .absent = 12 },
    { .name = "stride 2",
      .in = { FEW_SHAPE(2, 8, 8, 16), FEW_SHAPE(32, 16, 3, 3), FEW_SHAPE(32) },
      .a = { .i = { 2, 1, 1 } },
      .absent = 8 },
    { .name = "stride 2, padded right",
      .in = { FEW_SHAPE(1, 6, 6, 8), FEW_SHAPE(8, 8, 3, 3), FEW_SHAPE(8) },
      .a = { .i = { 2, 0, 1 } },
      .absent = 8 },
    { .name = "1x3 window, residual without bias",
      .in = { FEW_SHAPE(2, 5, 4, 6), FEW_SHAPE(7, 6, 1, 3), { 0 }, FEW_SHAPE(2, 7, 4, 7) },
      .a = { .i = { 1, 1, 1 } },
      .absent = 4 },
    { .name = "stride 2, last row and column unused",
      .in = { FEW_SHAPE(1, 6, 8, 5), FEW_SHAPE(4, 5, 3, 3), FEW_SHAPE(4) },
      .a = { .i = { 2, 0, 0 } },
      .absent = 8 },
    { .name = "wide",
      .in = { FEW_SHAPE(2, 4, 4, 32), FEW_SHAPE(48, 32, 3, 3), FEW_SHAPE(48),
              FEW_SHAPE(2, 4, 4, 48) },
      .a = { .i = { 1, 1, 1 } } },
    { .name = "winograd, all",
      .in = { FEW_SHAPE(2, 8, 9, 32), FEW_SHAPE(64, 32, 3, 3), FEW_SHAPE(64),
              FEW_SHAPE(2, 8, 9, 64) },
      .a = { .i = { 1, 1, 1 } } },
    { .name = "winograd, few tiles",
      .in = { FEW_SHAPE(1, 8, 8, 32), FEW_SHAPE(64, 32, 3, 3), FEW_SHAPE(64) },
      .a = { .i = { 1, 1, 1 } },
      .absent = 8 },
    { .name = "winograd, tiles cut off",
      .in = { FEW_SHAPE(1, 11, 14, 64), FEW_SHAPE(32, 64, 3, 3) },
      .a = { .i = { 1, 1, 1 } },
      .absent = 12 },
    { .name = NULL },
};

const few_op few_op_conv2d = {
    .name = "conv2d",
    .help = "convolution with bias and residual",
    .min_in = 2,
    .max_in = 4,
    .n_out = 1,
    .act_in = 1 << X | 1 << RES,
    .infer = infer,
    .grad = grad,
    .reference = reference,
    .flops = flops,
    .cases = cases,
};

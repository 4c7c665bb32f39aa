/* group_norm, channels last, with additive embedding, scale-shift and SiLU in the same pass:
 *
 *   u = x + add;  xhat = (u - mean) rstd;  h = (gamma xhat + beta)(1 + scale) + shift;
 *   y = h sigmoid(h) or h.
 *
 * mean and biased variance over a group's channels and all pixels of a sample. The statistics are
 * an output so that the gradient need not sum again. */
#include "op/group_norm.h"

few_status few_gn_infer(few_infer *c)
{
    const few_shape *x = &c->in[FEW_GN_X]->shape;
    char s[96];
    if (x->rank != 3 && x->rank != 4)
        return few_infer_fail(c, "input has shape %s, wanted is [N,H,W,C] or [N,T,C]",
                              few_shape_text(x, s));
    FEW_TRY(few_infer_types(c, "afffffs")); /* with the gradient's stats and dy */
    FEW_TRY(few_infer_finite(c));
    const int64_t channels = few_last(x), groups = c->node->a.i[0];
    if (groups < 1 || channels % groups)
        return few_infer_fail(c, "%lld channels do not divide into %lld groups",
                              (long long)channels, (long long)groups);
    if (!(c->node->a.f[0] > 0))
        return few_infer_fail(c, "eps must be positive");
    if (c->in[FEW_GN_GAMMA])
        FEW_TRY(few_infer_want(c, FEW_GN_GAMMA, FEW_SHAPE(channels), "gamma"));
    if (c->in[FEW_GN_BETA])
        FEW_TRY(few_infer_want(c, FEW_GN_BETA, FEW_SHAPE(channels), "beta"));
    if (c->in[FEW_GN_ADD])
        FEW_TRY(few_infer_want(c, FEW_GN_ADD, FEW_SHAPE(x->d[0], channels), "the added embedding"));
    if (c->in[FEW_GN_SS])
        FEW_TRY(few_infer_want(c, FEW_GN_SS, FEW_SHAPE(x->d[0], 2 * channels), "scale and shift"));
    return FEW_OK;
}

few_gn_at few_gn_locate(const few_ref_call *c, int64_t i)
{
    const few_shape *s = c->is[FEW_GN_X];
    few_gn_at a = { .channels = few_last(s), .groups = c->node->a.i[0] };
    a.n = i / (few_shape_count(s) / s->d[0]);
    a.c = i % a.channels;
    a.group = a.c / (a.channels / a.groups);
    a.gamma = c->in[FEW_GN_GAMMA] ? c->in[FEW_GN_GAMMA][a.c] : 1;
    a.beta = c->in[FEW_GN_BETA] ? c->in[FEW_GN_BETA][a.c] : 0;
    a.add = c->in[FEW_GN_ADD] ? c->in[FEW_GN_ADD][a.n * a.channels + a.c] : 0;
    const double *ss = c->in[FEW_GN_SS] ? c->in[FEW_GN_SS] + a.n * 2 * a.channels : NULL;
    a.scale = ss ? 1 + ss[a.c] : 1;
    a.shift = ss ? ss[a.channels + a.c] : 0;
    return a;
}

static few_status infer(few_infer *c)
{
    FEW_TRY(few_gn_infer(c));
    c->shape[0] = c->in[0]->shape;
    c->shape[1] = FEW_SHAPE(c->in[0]->shape.d[0], c->node->a.i[0], 2);
    c->dtype[1] = FEW_F32;
    return FEW_OK;
}

static void grad(few_graph *g, const few_node *n, const few_val *dout, few_val *din)
{
    if (dout[0] == FEW_NONE)
        return;
    const few_val in[] = { n->in[FEW_GN_X],
                           n->in[FEW_GN_GAMMA],
                           n->in[FEW_GN_BETA],
                           n->in[FEW_GN_ADD],
                           n->in[FEW_GN_SS],
                           n->out[1],
                           dout[0] };
    din[FEW_GN_X] = few_graph_apply(g, &few_op_group_norm_grad, in, 7, &n->a);
    for (int k = FEW_GN_GAMMA; k <= FEW_GN_SS; k++)
        din[k] = few_graph_out(g, din[FEW_GN_X], k);
}

static void reference(const few_ref_call *c)
{
    const int64_t count = few_shape_count(c->is[0]), groups = c->node->a.i[0];
    const int64_t size = count / c->is[0]->d[0] / groups; /* elements of a group */
    double *stats = c->out[1];
    memset(stats, 0, (size_t)few_shape_count(c->os[1]) * sizeof(double));
    for (int64_t i = 0; i < count; i++) {
        const few_gn_at a = few_gn_locate(c, i);
        stats[(a.n * groups + a.group) * 2] += (c->in[0][i] + a.add) / (double)size;
    }
    for (int64_t i = 0; i < count; i++) {
        const few_gn_at a = few_gn_locate(c, i);
        double *s = stats + (a.n * groups + a.group) * 2;
        s[1] += (c->in[0][i] + a.add - s[0]) * (c->in[0][i] + a.add - s[0]) / (double)size;
    }
    for (int64_t k = 0; k < few_shape_count(c->os[1]) / 2; k++)
        stats[2 * k + 1] = 1 / sqrt(stats[2 * k + 1] + c->node->a.f[0]);
    for (int64_t i = 0; i < count; i++) {
        const few_gn_at a = few_gn_locate(c, i);
        const double *s = stats + (a.n * groups + a.group) * 2;
        const double xhat = (c->in[0][i] + a.add - s[0]) * s[1];
        const double h = (a.gamma * xhat + a.beta) * a.scale + a.shift;
        c->out[0][i] = c->node->a.i[1] ? h * few_sigmoid(h) : h;
    }
}

static double flops(const few_node *n, const few_graph *g)
{
    return 12.0 * (double)few_shape_count(&g->tensors[n->out[0]].shape);
}

static const few_op_case cases[] = {
    { .name = "everything",
      .in = { FEW_SHAPE(2, 3, 5, 8), FEW_SHAPE(8), FEW_SHAPE(8), FEW_SHAPE(2, 8),
              FEW_SHAPE(2, 16) },
      .a = { .i = { 4, 1 }, .f = { 1e-5 } } },
    { .name = "plain, one group",
      .in = { FEW_SHAPE(1, 4, 4, 6), FEW_SHAPE(6), FEW_SHAPE(6) },
      .a = { .i = { 1, 0 }, .f = { 1e-5 } },
      .absent = 24 },
    { .name = "a group each, SiLU",
      .in = { FEW_SHAPE(3, 4, 3, 17), FEW_SHAPE(17), FEW_SHAPE(17), FEW_SHAPE(3, 17) },
      .a = { .i = { 17, 1 }, .f = { 1e-6 } },
      .absent = 16 },
    { .name = "tokens, no affine",
      .in = { FEW_SHAPE(2, 9, 32) },
      .a = { .i = { 8, 0 }, .f = { 1e-5 } },
      .absent = 30 },
    { .name = "scale-shift alone",
      .in = { FEW_SHAPE(2, 3, 3, 6), { 0 }, { 0 }, { 0 }, FEW_SHAPE(2, 12) },
      .a = { .i = { 2, 0 }, .f = { 1e-5 } },
      .absent = 14 },
    { .name = "gamma without beta",
      .in = { FEW_SHAPE(1, 2, 5, 9), FEW_SHAPE(9) },
      .a = { .i = { 3, 1 }, .f = { 1e-5 } },
      .absent = 28 },
    { .name = "one channel",
      .in = { FEW_SHAPE(2, 5, 5, 1), FEW_SHAPE(1), FEW_SHAPE(1) },
      .a = { .i = { 1, 1 }, .f = { 1e-5 } },
      .absent = 24 },
    { .name = "scale-shift, 64 channels",
      .in = { FEW_SHAPE(1, 4, 4, 64), FEW_SHAPE(64), FEW_SHAPE(64), FEW_SHAPE(1, 64),
              FEW_SHAPE(1, 128) },
      .a = { .i = { 32, 1 }, .f = { 1e-5 } },
      .absent = 8 },
    { .name = NULL },
};

const few_op few_op_group_norm = {
    .name = "group_norm",
    .help = "group normalisation with embedding, scale-shift and SiLU",
    .min_in = 5,
    .max_in = 5,
    .n_out = 2,
    .flags = FEW_OP_CHEAP,
    .act_in = 1,
    .infer = infer,
    .grad = grad,
    .reference = reference,
    .flops = flops,
    .cases = cases,
};

/* group_norm_grad: (x, gamma, beta, add, ss, stats, dy) -> (dx, dgamma, dbeta, dadd, dss).
 *
 * With dh = dy silu'(h) and a = gamma (1 + scale), per group of m elements
 *   dxhat = a dh;  dx = rstd (dxhat - mean(dxhat) - xhat mean(dxhat xhat))
 *   dgamma = sum dh (1 + scale) xhat;  dbeta = sum dh (1 + scale);  dadd = sum over pixels of dx
 *   dscale = sum dh (gamma xhat + beta);  dshift = sum dh. */
#include "op/group_norm.h"

static few_status infer(few_infer *c)
{
    FEW_TRY(few_gn_infer(c));
    const few_shape *x = &c->in[0]->shape;
    const int64_t n = x->d[0], channels = few_last(x);
    FEW_TRY(few_infer_want(c, FEW_GN_STATS, FEW_SHAPE(n, c->node->a.i[0], 2), "the statistics"));
    FEW_TRY(few_infer_want(c, FEW_GN_DY, *x, "dy"));
    c->shape[0] = *x;
    c->shape[1] = c->shape[2] = FEW_SHAPE(channels);
    c->shape[3] = FEW_SHAPE(n, channels);
    c->shape[4] = FEW_SHAPE(n, 2 * channels);
    for (int k = 1; k < 5; k++)
        c->dtype[k] = FEW_F32;
    return FEW_OK;
}

static void reference(const few_ref_call *c)
{
    const int64_t count = few_shape_count(c->is[0]), groups = c->node->a.i[0];
    const double size = (double)(count / c->is[0]->d[0] / groups);
    for (int k = 1; k < 5; k++)
        memset(c->out[k], 0, (size_t)few_shape_count(c->os[k]) * sizeof(double));
    for (int64_t i = 0; i < count; i++)
        c->out[0][i] = 0;
    /* For each group: its two means, then its elements. */
    for (int64_t k = 0; k < c->is[0]->d[0] * groups; k++) {
        const double mean = c->in[FEW_GN_STATS][2 * k], rstd = c->in[FEW_GN_STATS][2 * k + 1];
        double m0 = 0, m1 = 0;
        for (int pass = 0; pass < 2; pass++)
            for (int64_t i = 0; i < count; i++) {
                const few_gn_at a = few_gn_locate(c, i);
                if (a.n * groups + a.group != k)
                    continue;
                const double xhat = (c->in[0][i] + a.add - mean) * rstd;
                const double g = a.gamma * xhat + a.beta, h = g * a.scale + a.shift;
                const double s = few_sigmoid(h);
                const double dh =
                    c->in[FEW_GN_DY][i] * (c->node->a.i[1] ? s * (1 + h * (1 - s)) : 1);
                const double dxhat = dh * a.gamma * a.scale;
                if (pass == 0) {
                    m0 += dxhat / size;
                    m1 += dxhat * xhat / size;
                    c->out[1][a.c] += dh * a.scale * xhat;
                    c->out[2][a.c] += dh * a.scale;
                    c->out[4][a.n * 2 * a.channels + a.c] += dh * g;
                    c->out[4][a.n * 2 * a.channels + a.channels + a.c] += dh;
                } else {
                    c->out[0][i] = rstd * (dxhat - m0 - xhat * m1);
                    c->out[3][a.n * a.channels + a.c] += c->out[0][i];
                }
            }
    }
}

static double flops(const few_node *n, const few_graph *g)
{
    return 24.0 * (double)few_shape_count(&g->tensors[n->out[0]].shape);
}

static const few_op_case cases[] = {
    { .name = "everything",
      .in = { FEW_SHAPE(2, 3, 5, 8), FEW_SHAPE(8), FEW_SHAPE(8), FEW_SHAPE(2, 8), FEW_SHAPE(2, 16),
              FEW_SHAPE(2, 4, 2), FEW_SHAPE(2, 3, 5, 8) },
      .a = { .i = { 4, 1 }, .f = { 1e-5 } },
      .positive = 32 },
    { .name = "plain, one group",
      .in = { FEW_SHAPE(1, 4, 4, 6), FEW_SHAPE(6), FEW_SHAPE(6), FEW_SHAPE(1, 6), FEW_SHAPE(1, 12),
              FEW_SHAPE(1, 1, 2), FEW_SHAPE(1, 4, 4, 6) },
      .a = { .i = { 1, 0 }, .f = { 1e-5 } },
      .absent = 24,
      .positive = 32 },
    { .name = "a group each, SiLU",
      .in = { FEW_SHAPE(3, 4, 3, 17), FEW_SHAPE(17), FEW_SHAPE(17), FEW_SHAPE(3, 17),
              FEW_SHAPE(3, 34), FEW_SHAPE(3, 17, 2), FEW_SHAPE(3, 4, 3, 17) },
      .a = { .i = { 17, 1 }, .f = { 1e-6 } },
      .absent = 16,
      .positive = 32 },
    { .name = "tokens, no affine",
      .in = { FEW_SHAPE(2, 9, 32),
              { 0 },
              { 0 },
              { 0 },
              { 0 },
              FEW_SHAPE(2, 8, 2),
              FEW_SHAPE(2, 9, 32) },
      .a = { .i = { 8, 0 }, .f = { 1e-5 } },
      .absent = 30,
      .positive = 32 },
    { .name = "scale-shift alone",
      .in = { FEW_SHAPE(2, 3, 3, 6),
              { 0 },
              { 0 },
              { 0 },
              FEW_SHAPE(2, 12),
              FEW_SHAPE(2, 2, 2),
              FEW_SHAPE(2, 3, 3, 6) },
      .a = { .i = { 2, 0 }, .f = { 1e-5 } },
      .absent = 14,
      .positive = 32 },
    { .name = "one channel",
      .in = { FEW_SHAPE(2, 5, 5, 1), FEW_SHAPE(1), FEW_SHAPE(1), FEW_SHAPE(2, 1), FEW_SHAPE(2, 2),
              FEW_SHAPE(2, 1, 2), FEW_SHAPE(2, 5, 5, 1) },
      .a = { .i = { 1, 1 }, .f = { 1e-5 } },
      .absent = 24,
      .positive = 32 },
    { .name = NULL },
};

const few_op few_op_group_norm_grad = {
    .name = "group_norm_grad",
    .help = "gradients of group_norm",
    .min_in = 7,
    .max_in = 7,
    .n_out = 5,
    .flags = FEW_OP_NO_GRAD,
    .act_in = 1 | 1 << FEW_GN_DY,
    .infer = infer,
    .reference = reference,
    .flops = flops,
    .cases = cases,
};

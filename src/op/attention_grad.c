/* attention_grad: (q, k, v, o, lse, do) -> (dq, dk, dv). With p = exp(score - lse), dp = do v^T and
 * delta = do . o of each query: ds = scale p (dp - delta), dq = ds k, dk = ds^T q, dv = p^T do. */
#include "op/attention.h"

static few_status infer(few_infer *c)
{
    FEW_TRY(few_attn_infer(c));
    const few_shape *q = &c->in[0]->shape;
    FEW_TRY(few_infer_want(c, 3, *q, "o"));
    FEW_TRY(few_infer_want(c, 4, FEW_SHAPE(q->d[0], c->node->a.i[0], q->d[1]), "lse"));
    FEW_TRY(few_infer_want(c, 5, *q, "do"));
    c->shape[0] = *q;
    c->shape[1] = c->shape[2] = c->in[1]->shape;
    return FEW_OK;
}

static void reference(const few_ref_call *c)
{
    const few_attn_dims d = few_attn_dims_of(&c->node->a, c->is[0], c->is[1]);
    const double *q = c->in[0], *k = c->in[1], *v = c->in[2], *o = c->in[3], *dy = c->in[5];
    for (int j = 0; j < 3; j++)
        memset(c->out[j], 0, (size_t)few_shape_count(c->os[j]) * sizeof(double));
    for (int64_t n = 0; n < d.n; n++)
        for (int64_t h = 0; h < d.heads; h++)
            for (int64_t t = 0; t < d.t; t++) {
                const int64_t at = (n * d.t + t) * d.c + h * d.d;
                double delta = 0;
                for (int64_t j = 0; j < d.d; j++)
                    delta += dy[at + j] * o[at + j];
                for (int64_t s = 0; s < d.s; s++) {
                    const int64_t to = (n * d.s + s) * d.c + h * d.d;
                    const double p = exp(few_attn_score(&d, q, k, n, h, t, s) -
                                         c->in[4][(n * d.heads + h) * d.t + t]);
                    double dp = 0;
                    for (int64_t j = 0; j < d.d; j++)
                        dp += dy[at + j] * v[to + j];
                    const double ds = d.scale * p * (dp - delta);
                    for (int64_t j = 0; j < d.d; j++) {
                        c->out[0][at + j] += ds * k[to + j];
                        c->out[1][to + j] += ds * q[at + j];
                        c->out[2][to + j] += p * dy[at + j];
                    }
                }
            }
}

static double flops(const few_node *n, const few_graph *g)
{
    const few_attn_dims d =
        few_attn_dims_of(&n->a, &g->tensors[n->in[0]].shape, &g->tensors[n->in[1]].shape);
    return 10.0 * (double)(d.n * d.t) * (double)(d.s * d.c);
}

static const few_op_case cases[] = {
    { .name = "two heads",
      .in = { FEW_SHAPE(2, 5, 8), FEW_SHAPE(2, 5, 8), FEW_SHAPE(2, 5, 8), FEW_SHAPE(2, 5, 8),
              FEW_SHAPE(2, 2, 5), FEW_SHAPE(2, 5, 8) },
      .a = { .i = { 2 } },
      .scale = 0.5 },
    { .name = "one channel",
      .in = { FEW_SHAPE(1, 3, 1), FEW_SHAPE(1, 3, 1), FEW_SHAPE(1, 3, 1), FEW_SHAPE(1, 3, 1),
              FEW_SHAPE(1, 1, 3), FEW_SHAPE(1, 3, 1) },
      .a = { .i = { 1 } },
      .scale = 0.5 },
    { .name = "cross, odd",
      .in = { FEW_SHAPE(2, 7, 6), FEW_SHAPE(2, 4, 6), FEW_SHAPE(2, 4, 6), FEW_SHAPE(2, 7, 6),
              FEW_SHAPE(2, 3, 7), FEW_SHAPE(2, 7, 6) },
      .a = { .i = { 3 } },
      .scale = 0.5 },
    { .name = "more tokens than a block, wide heads",
      .in = { FEW_SHAPE(1, 71, 80), FEW_SHAPE(1, 37, 80), FEW_SHAPE(1, 37, 80),
              FEW_SHAPE(1, 71, 80), FEW_SHAPE(1, 2, 71), FEW_SHAPE(1, 71, 80) },
      .a = { .i = { 2 } },
      .scale = 0.5 },
    { .name = NULL },
};

const few_op few_op_attention_grad = {
    .name = "attention_grad",
    .help = "gradients of attention",
    .min_in = 6,
    .max_in = 6,
    .n_out = 3,
    .flags = FEW_OP_NO_GRAD,
    .act_in = 1 | 2 | 4 | 8 | 32,
    .infer = infer,
    .reference = reference,
    .flops = flops,
    .cases = cases,
};

/* attention: per image and head, o = softmax(q k^T / sqrt(d)) v, and the log-sum-exp of each row of
 * scores, from which the gradient recomputes the probabilities. */
#include "op/attention.h"

few_attn_dims few_attn_dims_of(const few_attrs *a, const few_shape *q, const few_shape *k)
{
    few_attn_dims d = { q->d[0], q->d[1], k->d[1], q->d[2], a->i[0], q->d[2] / a->i[0], 0 };
    d.scale = 1 / sqrt((double)d.d);
    return d;
}

few_status few_attn_infer(few_infer *c)
{
    const few_shape *q = &c->in[0]->shape;
    FEW_TRY(few_infer_rank(c, 0, 3, "[N,T,C]", "q"));
    if (c->node->a.i[0] < 1 || q->d[2] % c->node->a.i[0])
        return few_infer_fail(c, "%lld channels do not divide into %lld heads", (long long)q->d[2],
                              (long long)c->node->a.i[0]);
    FEW_TRY(few_infer_rank(c, 1, 3, "[N,S,C]", "k"));
    FEW_TRY(few_infer_want(c, 1, FEW_SHAPE(q->d[0], c->in[1]->shape.d[1], q->d[2]), "k"));
    FEW_TRY(few_infer_want(c, 2, c->in[1]->shape, "v"));
    return few_infer_types(c, "asssfs"); /* with the gradient's o, lse and do */
}

double few_attn_score(const few_attn_dims *d, const double *q, const double *k, int64_t n,
                      int64_t h, int64_t t, int64_t s)
{
    double sum = 0;
    for (int64_t j = 0; j < d->d; j++)
        sum += q[(n * d->t + t) * d->c + h * d->d + j] * k[(n * d->s + s) * d->c + h * d->d + j];
    return sum * d->scale;
}

static few_status infer(few_infer *c)
{
    FEW_TRY(few_attn_infer(c));
    const few_shape *q = &c->in[0]->shape;
    c->shape[0] = *q;
    c->shape[1] = FEW_SHAPE(q->d[0], c->node->a.i[0], q->d[1]);
    c->dtype[1] = FEW_F32;
    return FEW_OK;
}

static void grad(few_graph *g, const few_node *n, const few_val *dout, few_val *din)
{
    if (dout[0] == FEW_NONE)
        return;
    const few_val in[] = { n->in[0], n->in[1], n->in[2], n->out[0], n->out[1], dout[0] };
    din[0] = few_graph_apply(g, &few_op_attention_grad, in, 6, &n->a);
    din[1] = few_graph_out(g, din[0], 1);
    din[2] = few_graph_out(g, din[0], 2);
}

static void reference(const few_ref_call *c)
{
    const few_attn_dims d = few_attn_dims_of(&c->node->a, c->is[0], c->is[1]);
    memset(c->out[0], 0, (size_t)few_shape_count(c->os[0]) * sizeof(double));
    for (int64_t n = 0; n < d.n; n++)
        for (int64_t h = 0; h < d.heads; h++)
            for (int64_t t = 0; t < d.t; t++) {
                double max = -INFINITY, sum = 0;
                for (int64_t s = 0; s < d.s; s++)
                    max = fmax(max, few_attn_score(&d, c->in[0], c->in[1], n, h, t, s));
                for (int64_t s = 0; s < d.s; s++)
                    sum += exp(few_attn_score(&d, c->in[0], c->in[1], n, h, t, s) - max);
                const double lse = max + log(sum);
                c->out[1][(n * d.heads + h) * d.t + t] = lse;
                for (int64_t s = 0; s < d.s; s++) {
                    const double p = exp(few_attn_score(&d, c->in[0], c->in[1], n, h, t, s) - lse);
                    for (int64_t j = 0; j < d.d; j++)
                        c->out[0][(n * d.t + t) * d.c + h * d.d + j] +=
                            p * c->in[2][(n * d.s + s) * d.c + h * d.d + j];
                }
            }
}

static double flops(const few_node *n, const few_graph *g)
{
    const few_attn_dims d =
        few_attn_dims_of(&n->a, &g->tensors[n->in[0]].shape, &g->tensors[n->in[1]].shape);
    return 4.0 * (double)(d.n * d.t) * (double)(d.s * d.c);
}

static const few_op_case cases[] = {
    { .name = "two heads",
      .in = { FEW_SHAPE(2, 5, 8), FEW_SHAPE(2, 5, 8), FEW_SHAPE(2, 5, 8) },
      .a = { .i = { 2 } } },
    { .name = "one channel",
      .in = { FEW_SHAPE(1, 3, 1), FEW_SHAPE(1, 3, 1), FEW_SHAPE(1, 3, 1) },
      .a = { .i = { 1 } } },
    { .name = "cross, odd",
      .in = { FEW_SHAPE(2, 7, 6), FEW_SHAPE(2, 4, 6), FEW_SHAPE(2, 4, 6) },
      .a = { .i = { 3 } } },
    { .name = "64 tokens",
      .in = { FEW_SHAPE(1, 64, 32), FEW_SHAPE(1, 64, 32), FEW_SHAPE(1, 64, 32) },
      .a = { .i = { 1 } } },
    { .name = "more tokens than a block, wide heads",
      .in = { FEW_SHAPE(1, 71, 80), FEW_SHAPE(1, 37, 80), FEW_SHAPE(1, 37, 80) },
      .a = { .i = { 2 } } },
    { .name = NULL },
};

const few_op few_op_attention = {
    .name = "attention",
    .help = "softmax(q k^T / sqrt(d)) v per head",
    .min_in = 3,
    .max_in = 3,
    .n_out = 2,
    .act_in = 7,
    .infer = infer,
    .grad = grad,
    .reference = reference,
    .flops = flops,
    .cases = cases,
};

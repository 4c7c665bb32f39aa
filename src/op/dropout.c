/* dropout: y = x m / (1 - p), m = 0 where uniform < p = f[0]. The mask is a pure function of (layer
 * i[0], step, sample), so the gradient draws it again and two passes of a step share it. */
#include "base/philox.h"
#include "op/op_util.h"

static few_status infer(few_infer *c)
{
    const few_shape *x = &c->in[0]->shape;
    const int64_t layer = c->node->a.i[0];
    if (x->rank < 1 || !(c->node->a.f[0] >= 0 && c->node->a.f[0] < 1))
        return few_infer_fail(c, "the input needs a batch, p must be at least 0 and below 1");
    if (layer < 0 || layer > INT32_MAX)
        return few_infer_fail(c, "layer %lld is out of range", (long long)layer);
    FEW_TRY(few_infer_want(c, 1, FEW_SHAPE(x->d[0], 4), "rng"));
    FEW_TRY(few_infer_types(c, "ai"));
    return few_infer_same(c);
}

static void grad(few_graph *g, const few_node *n, const few_val *dout, few_val *din)
{
    din[0] = few_dropout(g, dout[0], n->in[1], (int)n->a.i[0], n->a.f[0]);
}

static void reference(const few_ref_call *c)
{
    const int64_t n = c->os[0]->d[0], d = few_shape_count(c->os[0]) / n;
    const double p = c->node->a.f[0];
    for (int64_t i = 0; i < n; i++) {
        uint32_t r[4];
        for (int k = 0; k < 4; k++)
            r[k] = (uint32_t)(int64_t)c->in[1][4 * i + k];
        for (int64_t e = 0; e < d; e += 4) {
            double u[4];
            few_philox_uniform((uint32_t[4]){ (uint32_t)(e / 4),
                                              (uint32_t)(FEW_RNG_DROPOUT + c->node->a.i[0]), r[2],
                                              r[3] },
                               (uint32_t[2]){ r[0], r[1] }, u);
            for (int64_t k = 0; k < 4 && e + k < d; k++)
                c->out[0][i * d + e + k] = u[k] < p ? 0 : c->in[0][i * d + e + k] / (1 - p);
        }
    }
}

static const few_op_case cases[] = {
    { .name = "image",
      .in = { FEW_SHAPE(2, 5, 5, 3), FEW_SHAPE(2, 4) },
      .a = { .i = { 3 }, .f = { 0.25 } },
      .below = 1e6 },
    { .name = "none",
      .in = { FEW_SHAPE(1, 7), FEW_SHAPE(1, 4) },
      .a = { .i = { 0 }, .f = { 0 } },
      .below = 1e6 },
    { .name = "half",
      .in = { FEW_SHAPE(3, 67), FEW_SHAPE(3, 4) },
      .a = { .i = { 1 }, .f = { 0.5 } },
      .below = 2147483647 },
    { .name = NULL },
};

const few_op few_op_dropout = {
    .name = "dropout",
    .help = "zeros at random, the rest scaled up",
    .min_in = 2,
    .max_in = 2,
    .n_out = 1,
    .in_dtype = { FEW_F32, FEW_I32 },
    .act_in = 1,
    .no_grad_in = 2,
    .infer = infer,
    .grad = grad,
    .reference = reference,
    .cases = cases,
};

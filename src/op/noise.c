/* noise: standard normal numbers from Philox, keyed by (seed, purpose, step, sample) in rng [N,4]
 * (base/philox.h). i[0] purpose, i[1] rank of a sample, i[2..5] its sizes. */
#include "base/philox.h"
#include "op/op_util.h"

static few_status infer(few_infer *c)
{
    const few_shape *r = &c->in[0]->shape;
    const int64_t *a = c->node->a.i;
    FEW_TRY(few_infer_rank(c, 0, 2, "[N,4]", "rng"));
    FEW_TRY(few_infer_want(c, 0, FEW_SHAPE(r->d[0], 4), "rng"));
    FEW_TRY(few_infer_types(c, "i"));
    if (a[0] < 0 || a[0] > UINT32_MAX)
        return few_infer_fail(c, "purpose %lld is not a 32-bit number", (long long)a[0]);
    if (a[1] < 0 || a[1] > 4)
        return few_infer_fail(c, "a sample has at most 4 dimensions, not %lld", (long long)a[1]);
    c->shape[0] = (few_shape){ .rank = (int)a[1] + 1, .d = { r->d[0] } };
    for (int k = 0; k < a[1]; k++)
        c->shape[0].d[1 + k] = a[2 + k];
    c->dtype[0] = FEW_F32;
    return few_infer_fits(c);
}

static void reference(const few_ref_call *c)
{
    const int64_t n = c->os[0]->d[0], d = few_shape_count(c->os[0]) / n;
    for (int64_t i = 0; i < n; i++) {
        uint32_t r[4];
        for (int k = 0; k < 4; k++)
            r[k] = (uint32_t)(int64_t)c->in[0][4 * i + k];
        for (int64_t e = 0; e < d; e += 4) {
            double z[4];
            few_philox_normal(
                (uint32_t[4]){ (uint32_t)(e / 4), (uint32_t)c->node->a.i[0], r[2], r[3] },
                (uint32_t[2]){ r[0], r[1] }, z);
            for (int64_t k = 0; k < 4 && e + k < d; k++)
                c->out[0][i * d + e + k] = z[k];
        }
    }
}

static const few_op_case cases[] = {
    { .name = "image", .in = { FEW_SHAPE(2, 4) }, .a = { .i = { 1, 3, 5, 5, 3 } }, .below = 1e6 },
    { .name = "a number each, large seeds",
      .in = { FEW_SHAPE(5, 4) },
      .a = { .i = { 2, 0 } },
      .below = 2147483647 },
    { .name = "one", .in = { FEW_SHAPE(1, 4) }, .a = { .i = { 1, 1, 1 } }, .below = 1e6 },
    { .name = "many", .in = { FEW_SHAPE(3, 4) }, .a = { .i = { 7, 1, 1027 } }, .below = 1e6 },
    { .name = NULL },
};

const few_op few_op_noise = {
    .name = "noise",
    .help = "standard normal numbers, a pure function of their key",
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .flags = FEW_OP_NO_GRAD | FEW_OP_RANDOM,
    .in_dtype = { FEW_I32 },
    .infer = infer,
    .reference = reference,
    .cases = cases,
};

/* timestep_embedding: sines and cosines of t at geometric frequencies (diffusers' Timesteps):
 * f_k = exp(-ln(10000) k / (half - f[0])), i[0] = dim = 2 half; (sin, cos), or (cos, sin) if i[1].
 * An odd dim gets a zero at its end. */
#include "op/op_util.h"

static few_status infer(few_infer *c)
{
    const int64_t dim = c->node->a.i[0];
    FEW_TRY(few_infer_rank(c, 0, 1, "[N]", "the time"));
    FEW_TRY(few_infer_types(c, "f"));
    FEW_TRY(few_infer_finite(c));
    if (dim < 2 || dim > 1 << 20 || (double)(dim / 2) <= c->node->a.f[0])
        return few_infer_fail(c,
                              "dimension %lld must be at least 2, and its half above the shift %g",
                              (long long)dim, c->node->a.f[0]);
    c->shape[0] = FEW_SHAPE(c->in[0]->shape.d[0], dim);
    c->dtype[0] = FEW_F32;
    return FEW_OK;
}

static void reference(const few_ref_call *c)
{
    const int64_t dim = c->os[0]->d[1], half = dim / 2;
    const int64_t sin_at = c->node->a.i[1] ? half : 0, cos_at = half - sin_at;
    for (int64_t i = 0; i < c->os[0]->d[0]; i++) {
        double *y = c->out[0] + i * dim;
        y[dim - 1] = 0;
        for (int64_t k = 0; k < half; k++) {
            const double f = exp(-log(10000.0) * (double)k / ((double)half - c->node->a.f[0]));
            y[sin_at + k] = sin(c->in[0][i] * f);
            y[cos_at + k] = cos(c->in[0][i] * f);
        }
    }
}

static const few_op_case cases[] = {
    { .name = "sin first",
      .in = { FEW_SHAPE(3) },
      .a = { .i = { 8, 0 }, .f = { 1 } },
      .scale = 10 },
    { .name = "cos first",
      .in = { FEW_SHAPE(2) },
      .a = { .i = { 32, 1 }, .f = { 0 } },
      .scale = 100 },
    { .name = "odd", .in = { FEW_SHAPE(3) }, .a = { .i = { 7, 0 }, .f = { 0 } } },
    { .name = "one", .in = { FEW_SHAPE(1) }, .a = { .i = { 2, 1 }, .f = { 0 } } },
    { .name = NULL },
};

const few_op few_op_timestep_embedding = {
    .name = "timestep_embedding",
    .help = "sines and cosines of the time",
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .flags = FEW_OP_NO_GRAD,
    .infer = infer,
    .reference = reference,
    .cases = cases,
};

/* fourier_embedding: (t[N], w[C]) -> [N,2C]: u = 2 pi ln(t) w; (sin u, cos u), or (cos, sin) when
 * i[0] (diffusers' GaussianFourierProjection with log). t must be positive. */
#include "op/op_util.h"

static few_status infer(few_infer *c)
{
    FEW_TRY(few_infer_rank(c, 0, 1, "[N]", "the time"));
    FEW_TRY(few_infer_rank(c, 1, 1, "[C]", "the weight"));
    FEW_TRY(few_infer_types(c, "ff"));
    c->shape[0] = FEW_SHAPE(c->in[0]->shape.d[0], 2 * c->in[1]->shape.d[0]);
    c->dtype[0] = FEW_F32;
    return FEW_OK;
}

static void reference(const few_ref_call *c)
{
    const int64_t half = c->is[1]->d[0];
    for (int64_t i = 0; i < c->os[0]->d[0]; i++)
        for (int64_t k = 0; k < half; k++) {
            const double u = log(c->in[0][i]) * c->in[1][k] * 2 * M_PI;
            c->out[0][i * 2 * half + (c->node->a.i[0] ? half : 0) + k] = sin(u);
            c->out[0][i * 2 * half + (c->node->a.i[0] ? 0 : half) + k] = cos(u);
        }
}

static const few_op_case cases[] = {
    { .name = "sin first", .in = { FEW_SHAPE(3), FEW_SHAPE(5) }, .positive = 1 },
    { .name = "cos first",
      .in = { FEW_SHAPE(2), FEW_SHAPE(8) },
      .a = { .i = { 1 } },
      .positive = 1 },
    { .name = "one", .in = { FEW_SHAPE(1), FEW_SHAPE(1) }, .positive = 1 },
    { .name = NULL },
};

const few_op few_op_fourier_embedding = {
    .name = "fourier_embedding",
    .help = "sines and cosines of the log time at given frequencies",
    .min_in = 2,
    .max_in = 2,
    .n_out = 1,
    .flags = FEW_OP_NO_GRAD,
    .infer = infer,
    .reference = reference,
    .cases = cases,
};

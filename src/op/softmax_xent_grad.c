/* softmax_xent_grad: (logits[N,K], id[N], dloss[N]) -> dloss (softmax(logits) - onehot(id)). */
#include "op/op_util.h"

static few_status infer(few_infer *c)
{
    FEW_TRY(few_infer_rank(c, 0, 2, "[N,K]", "the logits"));
    FEW_TRY(few_infer_types(c, "fif"));
    FEW_TRY(few_infer_want(c, 1, FEW_SHAPE(c->in[0]->shape.d[0]), "the ids"));
    FEW_TRY(few_infer_want(c, 2, FEW_SHAPE(c->in[0]->shape.d[0]), "dloss"));
    return few_infer_same(c);
}

static void reference(const few_ref_call *c)
{
    const int64_t k = c->is[0]->d[1];
    for (int64_t i = 0; i < c->is[0]->d[0]; i++) {
        const double *x = c->in[0] + i * k;
        const int64_t id = (int64_t)c->in[1][i];
        const double lse = few_log_sum_exp(x, k);
        for (int64_t j = 0; j < k; j++)
            c->out[0][i * k + j] =
                c->in[2][i] * (exp(x[j] - lse) - (j == (id >= 0 && id < k ? id : 0) ? 1 : 0));
    }
}

static const few_op_case cases[] = {
    { .name = "ten", .in = { FEW_SHAPE(5, 10), FEW_SHAPE(5), FEW_SHAPE(5) }, .below = 10 },
    { .name = "one", .in = { FEW_SHAPE(1, 1), FEW_SHAPE(1), FEW_SHAPE(1) }, .below = 1 },
    { .name = "sharp",
      .in = { FEW_SHAPE(3, 7), FEW_SHAPE(3), FEW_SHAPE(3) },
      .scale = 20,
      .below = 7 },
    { .name = NULL },
};

const few_op few_op_softmax_xent_grad = {
    .name = "softmax_xent_grad",
    .help = "gradient of softmax_xent",
    .min_in = 3,
    .max_in = 3,
    .n_out = 1,
    .flags = FEW_OP_NO_GRAD,
    .in_dtype = { FEW_F32, FEW_I32, FEW_F32 },
    .infer = infer,
    .reference = reference,
    .cases = cases,
};

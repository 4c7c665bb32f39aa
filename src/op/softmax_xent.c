/* softmax_xent: (logits[N,K], id[N]) -> loss[N] = log sum exp(logits) - logits[id]. */
#include "op/op_util.h"

static few_status infer(few_infer *c)
{
    FEW_TRY(few_infer_rank(c, 0, 2, "[N,K]", "the logits"));
    FEW_TRY(few_infer_types(c, "fi"));
    FEW_TRY(few_infer_want(c, 1, FEW_SHAPE(c->in[0]->shape.d[0]), "the ids"));
    c->shape[0] = FEW_SHAPE(c->in[0]->shape.d[0]);
    return FEW_OK;
}

static void grad(few_graph *g, const few_node *n, const few_val *dout, few_val *din)
{
    din[0] = few_graph_apply(g, &few_op_softmax_xent_grad,
                             (few_val[]){ n->in[0], n->in[1], dout[0] }, 3, NULL);
}

static void reference(const few_ref_call *c)
{
    const int64_t k = c->is[0]->d[1];
    for (int64_t i = 0; i < c->is[0]->d[0]; i++) {
        const double *x = c->in[0] + i * k;
        const int64_t id = (int64_t)c->in[1][i];
        c->out[0][i] = few_log_sum_exp(x, k) - x[id >= 0 && id < k ? id : 0];
    }
}

static const few_op_case cases[] = {
    { .name = "ten", .in = { FEW_SHAPE(5, 10), FEW_SHAPE(5) }, .below = 10 },
    { .name = "one", .in = { FEW_SHAPE(1, 1), FEW_SHAPE(1) }, .below = 1 },
    { .name = "sharp", .in = { FEW_SHAPE(3, 7), FEW_SHAPE(3) }, .scale = 20, .below = 7 },
    { .name = NULL },
};

const few_op few_op_softmax_xent = {
    .name = "softmax_xent",
    .help = "cross-entropy of a class",
    .min_in = 2,
    .max_in = 2,
    .n_out = 1,
    .in_dtype = { FEW_F32, FEW_I32 },
    .no_grad_in = 2,
    .infer = infer,
    .grad = grad,
    .reference = reference,
    .flops = few_flops_input,
    .cases = cases,
};

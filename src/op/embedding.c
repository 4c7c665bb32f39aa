/* embedding: row id[n] of a table [K,D]. An id outside the table gives row 0: callers check labels;
 * a kernel never reads outside. */
#include "op/op_util.h"

static few_status infer(few_infer *c)
{
    FEW_TRY(few_infer_rank(c, 0, 2, "[K,D]", "the table"));
    FEW_TRY(few_infer_rank(c, 1, 1, "[N]", "the id"));
    FEW_TRY(few_infer_types(c, "fi"));
    c->shape[0] = FEW_SHAPE(c->in[1]->shape.d[0], c->in[0]->shape.d[1]);
    return FEW_OK;
}

static void grad(few_graph *g, const few_node *n, const few_val *dout, few_val *din)
{
    const few_attrs a = { .i = { g->tensors[n->in[0]].shape.d[0] } };
    din[0] = few_graph_apply(g, &few_op_embedding_grad, (few_val[]){ n->in[1], dout[0] }, 2, &a);
}

static void reference(const few_ref_call *c)
{
    const int64_t d = c->os[0]->d[1], rows = c->is[0]->d[0];
    for (int64_t i = 0; i < c->os[0]->d[0]; i++) {
        const int64_t id = (int64_t)c->in[1][i];
        memcpy(c->out[0] + i * d, c->in[0] + (id >= 0 && id < rows ? id : 0) * d,
               (size_t)d * sizeof(double));
    }
}

static const few_op_case cases[] = {
    { .name = "classes", .in = { FEW_SHAPE(11, 7), FEW_SHAPE(5) }, .below = 11 },
    { .name = "one", .in = { FEW_SHAPE(1, 1), FEW_SHAPE(1) }, .below = 1 },
    { .name = "some outside", .in = { FEW_SHAPE(3, 5), FEW_SHAPE(6) }, .below = 6 },
    { .name = "repeated", .in = { FEW_SHAPE(2, 33), FEW_SHAPE(8) }, .below = 2 },
    { .name = NULL },
};

const few_op few_op_embedding = {
    .name = "embedding",
    .help = "rows of a table",
    .min_in = 2,
    .max_in = 2,
    .n_out = 1,
    .in_dtype = { FEW_F32, FEW_I32 },
    .no_grad_in = 2,
    .infer = infer,
    .grad = grad,
    .reference = reference,
    .cases = cases,
};

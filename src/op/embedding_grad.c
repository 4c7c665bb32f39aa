/* embedding_grad: (id[N], dy[N,D]) -> the gradient of the table [K,D], K = i[0]. */
#include "op/op_util.h"

static few_status infer(few_infer *c)
{
    FEW_TRY(few_infer_rank(c, 0, 1, "[N]", "the id"));
    FEW_TRY(few_infer_rank(c, 1, 2, "[N,D]", "dy"));
    FEW_TRY(few_infer_types(c, "if"));
    const int64_t d = c->in[1]->shape.d[1];
    FEW_TRY(few_infer_want(c, 1, FEW_SHAPE(c->in[0]->shape.d[0], d), "dy"));
    c->shape[0] = FEW_SHAPE(c->node->a.i[0], d);
    c->dtype[0] = FEW_F32;
    return few_infer_fits(c);
}

static void reference(const few_ref_call *c)
{
    const int64_t d = c->os[0]->d[1], rows = c->os[0]->d[0];
    memset(c->out[0], 0, (size_t)few_shape_count(c->os[0]) * sizeof(double));
    for (int64_t i = 0; i < c->is[0]->d[0]; i++) {
        const int64_t id = (int64_t)c->in[0][i];
        for (int64_t j = 0; j < d; j++)
            c->out[0][(id >= 0 && id < rows ? id : 0) * d + j] += c->in[1][i * d + j];
    }
}

static double flops(const few_node *n, const few_graph *g)
{
    return (double)few_shape_count(&g->tensors[n->in[1]].shape);
}

static const few_op_case cases[] = {
    { .name = "classes",
      .in = { FEW_SHAPE(5), FEW_SHAPE(5, 7) },
      .a = { .i = { 11 } },
      .below = 11 },
    { .name = "one", .in = { FEW_SHAPE(1), FEW_SHAPE(1, 1) }, .a = { .i = { 1 } }, .below = 1 },
    { .name = "repeated",
      .in = { FEW_SHAPE(8), FEW_SHAPE(8, 33) },
      .a = { .i = { 2 } },
      .below = 2 },
    { .name = NULL },
};

const few_op few_op_embedding_grad = {
    .name = "embedding_grad",
    .help = "gradient of embedding's table",
    .min_in = 2,
    .max_in = 2,
    .n_out = 1,
    .flags = FEW_OP_NO_GRAD,
    .in_dtype = { FEW_I32, FEW_F32 },
    .infer = infer,
    .reference = reference,
    .flops = flops,
    .cases = cases,
};

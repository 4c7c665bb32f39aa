/* embedding_grad: (id[N], dy[N,D]) -> the gradient of the table [K,D], K = i[0]. */
#include "op/op_util.h"

static few_status infer(few_infer *c)
{
    const int64_t k = c->node->a.i[0];
    if (c->in[0]->shape.rank != 1 || !c->in[1] || c->in[1]->shape.rank != 2 ||
        c->in[1]->shape.d[0] != c->in[0]->shape.d[0] || k < 1)
        return few_infer_fail(c, "the ids must be [N] and dy [N,D]");
    c->shape[0] = FEW_SHAPE(k, c->in[1]->shape.d[1]);
    c->dtype[0] = FEW_F32;
    return FEW_OK;
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
    .cases = cases,
};

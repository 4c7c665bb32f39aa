/* lincomb: y[n,...] = sum_k c_k[n] x_k[n,...]; inputs x_0, c_0, x_1, c_1, ... F32 out when i[0],
 * else x_0's type. The coefficients get no gradient: they are schedules, not parameters. */
#include "op/op_util.h"

static few_status infer(few_infer *c)
{
    if (c->node->n_in % 2)
        return few_infer_fail(c, "tensors and coefficients must come in pairs");
    const few_shape *x = &c->in[0]->shape;
    if (x->rank < 1)
        return few_infer_fail(c, "the tensors need a batch dimension");
    for (int k = 0; k < c->node->n_in; k += 2) {
        FEW_TRY(few_infer_want(c, k, *x, "a term"));
        FEW_TRY(few_infer_want(c, k + 1, FEW_SHAPE(x->d[0]), "a coefficient"));
    }
    FEW_TRY(few_infer_types(c, "afafafaf"));
    if (c->node->a.i[0])
        c->dtype[0] = FEW_F32;
    return few_infer_same(c);
}

static void grad(few_graph *g, const few_node *n, const few_val *dout, few_val *din)
{
    for (int k = 0; k < n->n_in; k += 2) {
        const few_dtype type = g->tensors[n->in[k]].dtype;
        const few_val d = few_lincomb(g, 1, dout, &n->in[k + 1], type == FEW_F32);
        din[k] = d != FEW_NONE && g->tensors[d].dtype != type ? few_cast(g, d, type) : d;
    }
}

static void reference(const few_ref_call *c)
{
    const int64_t count = few_shape_count(c->os[0]), each = count / c->os[0]->d[0];
    for (int64_t i = 0; i < count; i++) {
        double sum = 0;
        for (int k = 0; k < c->node->n_in; k += 2)
            sum += c->in[k + 1][i / each] * c->in[k][i];
        c->out[0][i] = sum;
    }
}

static double flops(const few_node *n, const few_graph *g)
{
    return (double)n->n_in * (double)few_shape_count(&g->tensors[n->out[0]].shape);
}

#define IMAGE FEW_SHAPE(3, 5, 3, 7), FEW_SHAPE(3)
static const few_op_case cases[] = {
    { .name = "four", .in = { IMAGE, IMAGE, IMAGE, IMAGE }, .a = { .i = { 1 } } },
    { .name = "two", .in = { IMAGE, IMAGE } },
    { .name = "one", .in = { FEW_SHAPE(1, 1), FEW_SHAPE(1) } },
    { .name = "activation out, one term f32", .in = { IMAGE, IMAGE, IMAGE } },
    { .name = "three vectors",
      .in = { FEW_SHAPE(2, 33), FEW_SHAPE(2), FEW_SHAPE(2, 33), FEW_SHAPE(2), FEW_SHAPE(2, 33),
              FEW_SHAPE(2) },
      .a = { .i = { 1 } } },
    { .name = NULL },
};

const few_op few_op_lincomb = {
    .name = "lincomb",
    .help = "sum of tensors times a number per sample",
    .min_in = 2,
    .max_in = 8,
    .n_out = 1,
    .act_in = 1 | 4,
    .no_grad_in = 2 | 8 | 32 | 128,
    .infer = infer,
    .grad = grad,
    .reference = reference,
    .flops = flops,
    .cases = cases,
};

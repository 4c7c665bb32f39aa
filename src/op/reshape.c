/* reshape: the same elements with other sizes; dimension 0 stays. i[0] how many follow, i[1..4]. */
#include "op/op_util.h"

static few_status infer(few_infer *c)
{
    const few_shape *x = &c->in[0]->shape;
    const few_attrs *a = &c->node->a;
    char s[96], t[96];
    if (x->rank < 1 || a->i[0] < 0 || a->i[0] > 4)
        return few_infer_fail(c, "a rank from 1 to 5 is needed");
    few_shape y = { .rank = (int)a->i[0] + 1, .d = { x->d[0] } };
    for (int k = 1; k < y.rank; k++)
        y.d[k] = a->i[k];
    c->shape[0] = y;
    FEW_TRY(few_infer_fits(c));
    if (few_shape_count(&y) != few_shape_count(x))
        return few_infer_fail(c, "%s has not as many elements as %s", few_shape_text(&y, s),
                              few_shape_text(x, t));
    return FEW_OK;
}

static void grad(few_graph *g, const few_node *n, const few_val *dout, few_val *din)
{
    const few_shape x = g->tensors[n->in[0]].shape;
    few_shape sample = { .rank = x.rank - 1 };
    memcpy(sample.d, x.d + 1, (size_t)sample.rank * sizeof x.d[0]);
    din[0] = few_reshape(g, dout[0], sample);
}

static void reference(const few_ref_call *c)
{
    memcpy(c->out[0], c->in[0], (size_t)few_shape_count(c->os[0]) * sizeof(double));
}

static const few_op_case cases[] = {
    { .name = "tokens", .in = { FEW_SHAPE(2, 3, 5, 7) }, .a = { .i = { 2, 15, 7 } } },
    { .name = "flat", .in = { FEW_SHAPE(2, 3, 5) }, .a = { .i = { 1, 15 } } },
    { .name = "image", .in = { FEW_SHAPE(1, 12) }, .a = { .i = { 3, 2, 3, 2 } } },
    { .name = NULL },
};

const few_op few_op_reshape = {
    .name = "reshape",
    .help = "other sizes for the same elements",
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .flags = FEW_OP_ALIAS,
    .act_in = 1,
    .infer = infer,
    .grad = grad,
    .reference = reference,
    .cases = cases,
};

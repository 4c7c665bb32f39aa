/* cast: change the element type to i[0], F32 or ACT. Where the plan's ACT is f32 it is an alias. */
#include "op/op_util.h"

static few_status infer(few_infer *c)
{
    const int64_t to = c->node->a.i[0];
    FEW_TRY(few_infer_types(c, "a"));
    if (to != FEW_F32 && to != FEW_ACT)
        return few_infer_fail(c, "type %lld is neither f32 nor activation", (long long)to);
    c->dtype[0] = (few_dtype)to;
    return few_infer_same(c);
}

static void grad(few_graph *g, const few_node *n, const few_val *dout, few_val *din)
{
    din[0] = few_cast(g, dout[0], g->tensors[n->in[0]].dtype);
}

static void reference(const few_ref_call *c)
{
    memcpy(c->out[0], c->in[0], (size_t)few_shape_count(c->os[0]) * sizeof(double));
}

static const few_op_case cases[] = {
    { .name = "to activation", .in = { FEW_SHAPE(2, 3, 5) }, .a = { .i = { FEW_ACT } } },
    { .name = "to f32", .in = { FEW_SHAPE(17) }, .a = { .i = { FEW_F32 } } },
    { .name = "one", .in = { FEW_SHAPE(1) }, .a = { .i = { FEW_ACT } } },
    { .name = NULL },
};

const few_op few_op_cast = {
    .name = "cast",
    .help = "change between f32 and the plan's activation type",
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .flags = FEW_OP_ALIAS,
    .infer = infer,
    .grad = grad,
    .reference = reference,
    .cases = cases,
};

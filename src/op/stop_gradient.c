/* stop_gradient: y = x, through which no gradient flows. */
#include "op/op_util.h"

static void reference(const few_ref_call *c)
{
    memcpy(c->out[0], c->in[0], (size_t)few_shape_count(c->os[0]) * sizeof(double));
}

static const few_op_case cases[] = {
    { .name = "image", .in = { FEW_SHAPE(2, 3, 5, 7) } },
    { .name = "vector", .in = { FEW_SHAPE(9) } },
    { .name = "one", .in = { FEW_SHAPE(1) } },
    { .name = NULL },
};

const few_op few_op_stop_gradient = {
    .name = "stop_gradient",
    .help = "the same values, without a gradient",
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .flags = FEW_OP_ALIAS | FEW_OP_NO_GRAD,
    .act_in = 1,
    .infer = few_infer_same,
    .reference = reference,
    .cases = cases,
};

/* dequantize: bytes 0..255 -> [-1, 1], x / 127.5 - 1. */
#include "op/op_util.h"

static few_status infer(few_infer *c)
{
    FEW_TRY(few_infer_types(c, "u"));
    c->dtype[0] = FEW_F32;
    return few_infer_same(c);
}

static void reference(const few_ref_call *c)
{
    for (int64_t i = 0, n = few_shape_count(c->os[0]); i < n; i++)
        c->out[0][i] = c->in[0][i] / 127.5 - 1;
}

static const few_op_case cases[] = {
    { .name = "image", .in = { FEW_SHAPE(2, 5, 5, 3) }, .below = 256 },
    { .name = "one", .in = { FEW_SHAPE(1) }, .below = 256 },
    { .name = "odd", .in = { FEW_SHAPE(67) }, .below = 256 },
    { .name = NULL },
};

const few_op few_op_dequantize = {
    .name = "dequantize",
    .help = "bytes to [-1, 1]",
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .flags = FEW_OP_NO_GRAD,
    .in_dtype = { FEW_U8 },
    .infer = infer,
    .reference = reference,
    .cases = cases,
};

/* The kernels as one table. meson.build compiles this file once for each instruction set, with
 * FEW_SIMD_NAME its name; the groups are included so that the compiler sees all of it. */
#include "cpu/simd.h"

// clang-format off
#include "cpu/simd/pointwise.c"
#include "cpu/simd/loss.c"
#include "cpu/simd/ends.c"
#include "cpu/simd/group_norm.c"
#include "cpu/simd/softmax.c"
#include "cpu/simd/attention.c"
#include "cpu/simd/images.c"
#include "cpu/simd/random.c"
#include "cpu/simd/update.c"
#include "cpu/simd/winograd.c"
#include "cpu/simd/rows.c"
// clang-format on

#define JOIN2(a, b) a##b
#define JOIN(a, b) JOIN2(a, b)
#define QUOTE2(a) #a
#define QUOTE(a) QUOTE2(a)

extern const few_simd JOIN(few_simd_, FEW_SIMD_NAME);

const few_simd JOIN(few_simd_, FEW_SIMD_NAME) = {
    .name = QUOTE(FEW_SIMD_NAME),
    .to_bf16 = to_bf16,
    .from_bf16 = from_bf16,
    .group_norm = group_norm,
    .group_norm_grad = group_norm_grad,
    .leaky_relu = leaky_relu,
    .leaky_relu_grad = leaky_relu_grad,
    .silu = silu,
    .silu_grad = silu_grad,
    .add = add,
    .linear_rows = linear_rows,
    .affine = affine,
    .mul = mul,
    .div = divide,
    .sqrt = square_root,
    .lincomb = lincomb,
    .mean_square = mean_square,
    .huber_mean = huber_mean,
    .huber_mean_grad = huber_mean_grad,
    .dequantize = dequantize,
    .softmax_rows = softmax_rows,
    .softmax_grad_rows = softmax_grad_rows,
    .row_dot = row_dot,
    .attention_floats = attention_floats,
    .attention = attention,
    .attention_grad = attention_grad,
    .concat = concat,
    .slice = slice,
    .upsample2 = upsample2,
    .pool2 = pool2,
    .mean_hw = mean_hw,
    .broadcast_hw = broadcast_hw,
    .column_sum = column_sum,
    .noise = noise,
    .dropout = dropout,
    .grad_square = grad_square,
    .adam = adam,
    .accumulate = accumulate,
    .ends_floats = ends_floats,
    .ends_gather = ends_gather,
    .ends_spread = ends_spread,
    .ends_weights = ends_weights,
    .wino_input = wino_input,
    .wino_output = wino_output,
    .wino_grad = wino_grad,
    .wino_weights = wino_weights,
    .wino_gather = wino_gather,
    .wino_channel = wino_channel,
    .wino_weights_grad = wino_weights_grad,
    .wino_multiply = wino_multiply,
    .wino_multiply_nine = wino_multiply_nine,
    .wino_multiply_grad = wino_multiply_grad,
};

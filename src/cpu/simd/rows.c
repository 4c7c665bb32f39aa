/* Linear layers of few rows, such as those of the time: bound by reading the weights, which stay as
 * they are. A number is the sum over the inputs in W partial sums, in their order, whatever is
 * computed beside it. */
#include "cpu/simd/vec.h"

INLINE void outputs(int n, float *y, const float *x, const float *w, const float *bias, int64_t in)
{
    const vf zero = opaque(splat(0));
    vf acc[4] = { zero, zero, zero, zero };
    for (int64_t k = 0; k < in; k += W) {
        const vf v = load1(x + k, in - k);
#pragma GCC unroll 4
        for (int j = 0; j < n; j++)
            acc[j] += v * load1(w + j * in + k, in - k);
    }
#pragma GCC unroll 4
    for (int j = 0; j < n; j++)
        y[j] = sum(acc[j]) + (bias ? bias[j] : 0);
}

static void linear_rows(float *y, const float *x, const float *w, const float *bias, int64_t rows,
                        int64_t in, int64_t out, int64_t from, int64_t to)
{
    int64_t o = from;
    for (; o + 4 <= to; o += 4) /* their weights are read once for all rows */
        for (int64_t r = 0; r < rows; r++)
            outputs(4, y + r * out + o, x + r * in, w + o * in, bias ? bias + o : NULL, in);
    for (; o < to; o++)
        for (int64_t r = 0; r < rows; r++)
            outputs(1, y + r * out + o, x + r * in, w + o * in, bias ? bias + o : NULL, in);
}

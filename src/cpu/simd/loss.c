/* Means over a sample: squares and pseudo-Huber, sqrt(x^2 + e^2) - e.
 *
 * The difference is computed as x^2 / (sqrt(x^2 + e^2) + e), which loses nothing for small x.
 * Sums are taken in f32 lanes over short blocks and in double over the blocks: values of bf16 lie
 * on so coarse a grid that the roundings of a long f32 sum are biased (3e-6 over 512 a lane). */
#include "cpu/simd/vec.h"

#define LOSS_BLOCK (128 * W) /* elements: 64 to a lane */
#define TINY 1e-30f          /* keeps 0/0 out when e = 0 */

INLINE vf huber(vf x, float e)
{
    const vf s = x * x;
    return s / (vsqrt(s + e * e) + (e + TINY));
}

INLINE float sample_mean(bool bf, bool is_huber, const void *x, float e, int64_t at, int64_t d)
{
    double total = 0;
    for (int64_t j = 0; j < d; j += LOSS_BLOCK) {
        const int64_t end = j + LOSS_BLOCK < d ? j + LOSS_BLOCK : d;
        vf s = splat(0), t = splat(0);
        for (int64_t i = j; i < end; i += 2 * W) {
            const pair v = load(bf, x, at + i, end - i); /* beyond the end 0, which adds 0 */
            s += is_huber ? huber(v.lo, e) : v.lo * v.lo;
            t += is_huber ? huber(v.hi, e) : v.hi * v.hi;
        }
        total += (double)sum(s + t);
    }
    return (float)(total / (double)d);
}

static void mean_square(bool bf, float *y, const void *x, int64_t n, int64_t d)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = bf ? sample_mean(true, false, x, 0, i * d, d)
                  : sample_mean(false, false, x, 0, i * d, d);
}

static void huber_mean(bool bf, float *y, const void *x, float e, int64_t n, int64_t d)
{
    for (int64_t i = 0; i < n; i++)
        y[i] =
            bf ? sample_mean(true, true, x, e, i * d, d) : sample_mean(false, true, x, e, i * d, d);
}

INLINE vf huber_slope(vf x, float e, float scale)
{
    return scale * x / (vsqrt(x * x + e * e) + TINY);
}

INLINE void huber_grad_row(bool bf, void *dx, const void *x, float e, float scale, int64_t at,
                           int64_t d)
{
    for (int64_t i = 0; i < d; i += 2 * W) {
        const pair v = load(bf, x, at + i, d - i);
        store(bf, dx, at + i, d - i,
              (pair){ huber_slope(v.lo, e, scale), huber_slope(v.hi, e, scale) });
    }
}

static void huber_mean_grad(bool bf, void *dx, const void *x, const float *dloss, float e,
                            int64_t n, int64_t d)
{
    for (int64_t i = 0; i < n; i++) {
        const float scale = dloss[i] / (float)d;
        if (bf)
            huber_grad_row(true, dx, x, e, scale, i * d, d);
        else
            huber_grad_row(false, dx, x, e, scale, i * d, d);
    }
}

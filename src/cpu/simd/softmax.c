/* Softmax by rows and its derivative, and the row sums of products the derivative needs.
 *
 * A row is read three times while it is in the first cache: its maximum, exp and sum, division.
 * Lanes beyond the row's end hold -FLT_MAX, whose exponential is below 1e-37 of the largest. */
#include "cpu/simd/vec.h"

#include <float.h>

INLINE vf load_scores(const float *s, int64_t left)
{
    vf v = load1(s, left);
    if (__builtin_expect(left < W, 0))
        for (int64_t i = left; i < W; i++)
            v[i] = -FLT_MAX;
    return v;
}

/* One row; returns the largest scaled score, and in *z the sum of e^(score - that). */
INLINE float softmax_row(float *s, void *out_bf16, int64_t at, float scale, int64_t cols, float *z)
{
    vf top = splat(-FLT_MAX), total = splat(0);
    for (int64_t i = 0; i < cols; i += W)
        top = vmax(top, load_scores(s + i, cols - i));
    const float max = scale * largest(top);
    for (int64_t i = 0; i < cols; i += W) {
        const vf p = vexp(false, scale * load_scores(s + i, cols - i) - max);
        total += p;
        store1(s + i, cols - i, p);
    }
    *z = sum(total);
    const float norm = 1 / *z;
    for (int64_t i = 0; i < cols; i += 2 * W) {
        const pair p = load_f32(out_bf16 != NULL, s, i, cols - i);
        if (out_bf16)
            store(true, out_bf16, at + i, cols - i, (pair){ p.lo * norm, p.hi * norm });
        else
            store(false, s, i, cols - i, (pair){ p.lo * norm, p.hi * norm });
    }
    return max;
}

static void softmax_rows(float *s, void *out_bf16, float *lse, float scale, int64_t rows,
                         int64_t cols)
{
    vf max = splat(0), z = splat(1);
    for (int64_t r = 0; r < rows; r += W) {
        const int64_t left = rows - r < W ? rows - r : W;
        float maxs[W], zs[W];
        for (int64_t k = 0; k < left; k++)
            maxs[k] =
                softmax_row(s + (r + k) * cols, out_bf16, (r + k) * cols, scale, cols, &zs[k]);
        memcpy(&max, maxs, (size_t)left * sizeof *maxs);
        memcpy(&z, zs, (size_t)left * sizeof *zs);
        if (lse)
            store1(lse + r, left, max + vlog(z));
    }
}

INLINE void softmax_grad_body(bool bf, const float *s, const float *dp, const float *lse,
                              const float *delta, float scale, void *p_out, void *ds_out,
                              int64_t rows, int64_t cols)
{
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < cols; i += 2 * W) {
            const int64_t at = r * cols + i, left = cols - i;
            const pair v = load_f32(bf, s, at, left), d = load_f32(bf, dp, at, left);
            const pair p = { vexp(bf, scale * v.lo - lse[r]), vexp(bf, scale * v.hi - lse[r]) };
            if (p_out)
                store(bf, p_out, at, left, p);
            store(bf, ds_out, at, left,
                  (pair){ scale * p.lo * (d.lo - delta[r]), scale * p.hi * (d.hi - delta[r]) });
        }
}

static void softmax_grad_rows(bool bf, const float *s, const float *dp, const float *lse,
                              const float *delta, float scale, void *p_out, void *ds_out,
                              int64_t rows, int64_t cols)
{
    if (bf)
        softmax_grad_body(true, s, dp, lse, delta, scale, p_out, ds_out, rows, cols);
    else
        softmax_grad_body(false, s, dp, lse, delta, scale, p_out, ds_out, rows, cols);
}

INLINE void row_dot_body(bool bf, float *delta, const void *a, const void *b, int64_t rows,
                         int64_t cols, int64_t stride_a, int64_t stride_b)
{
    for (int64_t r = 0; r < rows; r++) {
        pair s = { splat(0), splat(0) };
        for (int64_t i = 0; i < cols; i += 2 * W) {
            const pair u = load(bf, a, r * stride_a + i, cols - i);
            const pair v = load(bf, b, r * stride_b + i, cols - i);
            s.lo += u.lo * v.lo;
            s.hi += u.hi * v.hi;
        }
        delta[r] = sum(s.lo + s.hi);
    }
}

static void row_dot(bool bf, float *delta, const void *a, const void *b, int64_t rows, int64_t cols,
                    int64_t stride_a, int64_t stride_b)
{
    if (bf)
        row_dot_body(true, delta, a, b, rows, cols, stride_a, stride_b);
    else
        row_dot_body(false, delta, a, b, rows, cols, stride_a, stride_b);
}

/* Element by element: conversions, SiLU, sums, products, linear combinations; u8 to f32.
 *
 * Each is one loop over pairs (vec.h), the type of the data a constant of the inlined body. All
 * but lincomb take elements in any order, so that bf16 needs no shuffles; there f32 terms are
 * brought into the order of bf16 ones, and back for an f32 result. */
#include "cpu/simd/vec.h"

INLINE vf quiet(vf x)
{
    return (vf)((vu)x | ((vu)(x != x) & 0x00400000u));
}

static void to_bf16(uint16_t *dst, const float *src, int64_t n)
{
    for (int64_t i = 0; i < n; i += 2 * W) {
        const pair v = load_f32(true, src, i, n - i);
        store(true, dst, i, n - i, (pair){ quiet(v.lo), quiet(v.hi) });
    }
}

static void from_bf16(float *dst, const uint16_t *src, int64_t n)
{
    for (int64_t i = 0; i < n; i += 2 * W)
        store_f32(true, dst, i, n - i, load(true, src, i, n - i));
}

INLINE void silu_body(bool bf, void *y, const void *x, int64_t n)
{
    for (int64_t i = 0; i < n; i += 2 * W) {
        const pair v = load(bf, x, i, n - i);
        store_clean(bf, y, i, n - i, silu2(bf, (pair){ v.lo * -LOG2E, v.hi * -LOG2E }));
    }
}

static void silu(bool bf, void *y, const void *x, int64_t n)
{
    if (bf)
        silu_body(true, y, x, n);
    else
        silu_body(false, y, x, n);
}

INLINE void silu_grad_body(bool bf, void *dx, const void *x, const void *dy, int64_t n)
{
    for (int64_t i = 0; i < n; i += 2 * W) {
        const pair v = load(bf, x, i, n - i), d = load(bf, dy, i, n - i);
        store_clean(bf, dx, i, n - i, silu_grad2(bf, v, d));
    }
}

static void silu_grad(bool bf, void *dx, const void *x, const void *dy, int64_t n)
{
    if (bf)
        silu_grad_body(true, dx, x, dy, n);
    else
        silu_grad_body(false, dx, x, dy, n);
}

INLINE void leaky_relu_body(bool bf, void *y, const void *x, vf slope, int64_t n)
{
    for (int64_t i = 0; i < n; i += 2 * W) {
        const pair v = load(bf, x, i, n - i);
        store_clean(bf, y, i, n - i, (pair){ vmax(v.lo, slope * v.lo), vmax(v.hi, slope * v.hi) });
    }
}

static void leaky_relu(bool bf, void *y, const void *x, float slope, int64_t n)
{
    if (bf)
        leaky_relu_body(true, y, x, splat(slope), n);
    else
        leaky_relu_body(false, y, x, splat(slope), n);
}

/* d where x > 0, else slope d. */
INLINE vf leaky(vf x, vf d, vf slope)
{
    const vu positive = (vu)(x > 0), low = (vu)(slope * d);
    return (vf)(((vu)d & positive) | (low & ~positive));
}

INLINE void leaky_relu_grad_body(bool bf, void *dx, const void *x, const void *dy, vf slope,
                                 int64_t n)
{
    for (int64_t i = 0; i < n; i += 2 * W) {
        const pair v = load(bf, x, i, n - i), d = load(bf, dy, i, n - i);
        store_clean(bf, dx, i, n - i, (pair){ leaky(v.lo, d.lo, slope), leaky(v.hi, d.hi, slope) });
    }
}

static void leaky_relu_grad(bool bf, void *dx, const void *x, const void *dy, float slope,
                            int64_t n)
{
    if (bf)
        leaky_relu_grad_body(true, dx, x, dy, splat(slope), n);
    else
        leaky_relu_grad_body(false, dx, x, dy, splat(slope), n);
}

INLINE void add_body(bool bf, void *y, const void *a, const void *b, int64_t n)
{
    for (int64_t i = 0; i < n; i += 2 * W) {
        const pair u = load(bf, a, i, n - i), v = load(bf, b, i, n - i);
        store_clean(bf, y, i, n - i, (pair){ u.lo + v.lo, u.hi + v.hi });
    }
}

static void add(bool bf, void *y, const void *a, const void *b, int64_t n)
{
    if (bf)
        add_body(true, y, a, b, n);
    else
        add_body(false, y, a, b, n);
}

INLINE void affine_body(bool bf, void *y, const void *x, float a, float b, int64_t n)
{
    for (int64_t i = 0; i < n; i += 2 * W) {
        const pair v = load(bf, x, i, n - i);
        store(bf, y, i, n - i, (pair){ v.lo * a + b, v.hi * a + b });
    }
}

static void affine(bool bf, void *y, const void *x, float a, float b, int64_t n)
{
    if (bf)
        affine_body(true, y, x, a, b, n);
    else
        affine_body(false, y, x, a, b, n);
}

static void mul(float *y, const float *a, const float *b, int64_t n)
{
    for (int64_t i = 0; i < n; i += W)
        store1(y + i, n - i, load1(a + i, n - i) * load1(b + i, n - i));
}

static void divide(float *y, const float *a, const float *b, int64_t n)
{
    for (int64_t i = 0; i < n; i += W)
        store1(y + i, n - i, load1(a + i, n - i) / load1(b + i, n - i));
}

static void square_root(float *y, const float *a, int64_t n)
{
    for (int64_t i = 0; i < n; i += W)
        store1(y + i, n - i, vsqrt(load1(a + i, n - i)));
}

static void accumulate(float *y, const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i += W)
        store1(y + i, n - i, load1(y + i, n - i) + load1(x + i, n - i));
}

/* One row; even: the lanes are in the order of bf16. */
INLINE void lincomb_row(void *y, bool y_bf, bool even, int terms, const void *const *x, unsigned bf,
                        const float *c, int64_t at, int64_t d)
{
    for (int64_t i = 0; i < d; i += 2 * W) {
        pair s = { splat(0), splat(0) };
        for (int k = 0; k < terms; k++) {
            const pair v =
                bf >> k & 1 ? load(true, x[k], at + i, d - i) : load_f32(even, x[k], at + i, d - i);
            s.lo += c[k] * v.lo;
            s.hi += c[k] * v.hi;
        }
        if (y_bf)
            store(true, y, at + i, d - i, s);
        else
            store_f32(even, y, at + i, d - i, s);
    }
}

static void lincomb(void *y, bool y_bf, int terms, const void *const *x, unsigned bf,
                    const float *const *c, int64_t n, int64_t d)
{
    float row[4];
    bf &= (1u << terms) - 1;
    for (int64_t i = 0; i < n; i++) {
        for (int k = 0; k < terms; k++)
            row[k] = c[k][i];
        if (!y_bf && !bf)
            lincomb_row(y, false, false, terms, x, 0, row, i * d, d);
        else
            lincomb_row(y, y_bf, true, terms, x, bf, row, i * d, d);
    }
}

/* x / 127.5 - 1, from integers so that it is odd about the middle. */
static void dequantize(float *y, const uint8_t *x, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        y[i] = (float)(2 * (int32_t)x[i] - 255) * (1 / 255.0f);
}

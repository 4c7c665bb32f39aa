/* Vectors of W floats for one instruction set, chosen by the compiler's flags: 16 (AVX-512),
 * 8 (AVX2) or 4 (anything else). The kernels are written in GCC's vector extensions, so their
 * C is the same for all; the few operations these lack are the intrinsics at the top.
 *
 * Memory is read and written as a `pair` of 2 W elements. For f32 a pair is two vectors in order.
 * For bf16 it is one vector of 2 W halves, split without shuffles: lo holds the even elements,
 * hi the odd ones. Element by element it makes no difference; where a pair of bf16 meets f32
 * values in order (per-channel coefficients, noise), those go through unzip or zip. */
#ifndef FEW_CPU_SIMD_VEC_H
#define FEW_CPU_SIMD_VEC_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#if defined __AVX512F__ && defined __AVX512BW__ && defined __AVX512DQ__ && defined __AVX512VL__
#include <immintrin.h>
#define W 16
#elif defined __AVX2__ && defined __FMA__
#include <immintrin.h>
#define W 8
#else
#ifdef __SSE2__
#include <emmintrin.h>
#endif
#define W 4
#endif

#define INLINE static inline __attribute__((always_inline))

typedef float vf __attribute__((vector_size(4 * W)));
typedef int32_t vi __attribute__((vector_size(4 * W)));
typedef uint32_t vu __attribute__((vector_size(4 * W)));
typedef uint64_t vl __attribute__((vector_size(4 * W)));

typedef struct pair {
    vf lo, hi;
} pair;

/* ---- what the vector extensions lack --------------------------------------------------------*/

/* max and min give b when either is NaN, as the instructions do. mul_even multiplies the low
 * halves of 64-bit lanes. recip is within 1e-7 for 1 <= |a| < 2^126, and takes no infinity. */
#if W == 16
INLINE vf vmax(vf a, vf b)
{
    return (vf)_mm512_max_ps((__m512)a, (__m512)b);
}
INLINE vf vmin(vf a, vf b)
{
    return (vf)_mm512_min_ps((__m512)a, (__m512)b);
}
INLINE vf vsqrt(vf a)
{
    return (vf)_mm512_sqrt_ps((__m512)a);
}
INLINE vf recip(vf a)
{
    const vf r = (vf)_mm512_rcp14_ps((__m512)a);
    return r + r * (1.0f - a * r);
}
INLINE vl mul_even(vl a, vl b)
{
    return (vl)_mm512_mul_epu32((__m512i)a, (__m512i)b);
}
#elif W == 8
INLINE vf vmax(vf a, vf b)
{
    return (vf)_mm256_max_ps((__m256)a, (__m256)b);
}
INLINE vf vmin(vf a, vf b)
{
    return (vf)_mm256_min_ps((__m256)a, (__m256)b);
}
INLINE vf vsqrt(vf a)
{
    return (vf)_mm256_sqrt_ps((__m256)a);
}
INLINE vf recip(vf a)
{
    return 1.0f / a;
}
INLINE vl mul_even(vl a, vl b)
{
    return (vl)_mm256_mul_epu32((__m256i)a, (__m256i)b);
}
#elif defined __SSE2__
INLINE vf vmax(vf a, vf b)
{
    return (vf)_mm_max_ps((__m128)a, (__m128)b);
}
INLINE vf vmin(vf a, vf b)
{
    return (vf)_mm_min_ps((__m128)a, (__m128)b);
}
INLINE vf vsqrt(vf a)
{
    return (vf)_mm_sqrt_ps((__m128)a);
}
INLINE vf recip(vf a)
{
    return 1.0f / a;
}
INLINE vl mul_even(vl a, vl b)
{
    return (vl)_mm_mul_epu32((__m128i)a, (__m128i)b);
}
#else
INLINE vf vmax(vf a, vf b)
{
    const vu m = (vu)(a > b);
    return (vf)((m & (vu)a) | (~m & (vu)b));
}
INLINE vf vmin(vf a, vf b)
{
    const vu m = (vu)(a < b);
    return (vf)((m & (vu)a) | (~m & (vu)b));
}
INLINE vf vsqrt(vf a)
{
    for (int i = 0; i < W; i++)
        a[i] = sqrtf(a[i]);
    return a;
}
INLINE vf recip(vf a)
{
    return 1.0f / a;
}
INLINE vl mul_even(vl a, vl b)
{
    return (a & 0xffffffffu) * (b & 0xffffffffu);
}
#endif

/* zip: (a0 b0 a1 b1 ...); unzip is its inverse. */
#if W == 16
#define ZIP_LO 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define ZIP_HI 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#define EVEN 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30
#define ODD 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31
#elif W == 8
#define ZIP_LO 0, 8, 1, 9, 2, 10, 3, 11
#define ZIP_HI 4, 12, 5, 13, 6, 14, 7, 15
#define EVEN 0, 2, 4, 6, 8, 10, 12, 14
#define ODD 1, 3, 5, 7, 9, 11, 13, 15
#else
#define ZIP_LO 0, 4, 1, 5
#define ZIP_HI 2, 6, 3, 7
#define EVEN 0, 2, 4, 6
#define ODD 1, 3, 5, 7
#endif

INLINE pair zip(pair v)
{
    return (pair){ __builtin_shufflevector(v.lo, v.hi, ZIP_LO),
                   __builtin_shufflevector(v.lo, v.hi, ZIP_HI) };
}

INLINE pair unzip(pair v)
{
    return (pair){ __builtin_shufflevector(v.lo, v.hi, EVEN),
                   __builtin_shufflevector(v.lo, v.hi, ODD) };
}

/* ---- bf16 -----------------------------------------------------------------------------------*/

/* The upper half of each lane, rounded to nearest even; NaN stays NaN (made quiet). */
INLINE vu round_bf16(vf x)
{
    const vu u = (vu)x, nan = (vu)(x != x);
    return (u + 0x7fffu + ((u >> 16) & 1u)) | (nan & (u | 0x00400000u));
}

INLINE pair unpack(vu w)
{
    const vf low = (vf)(w << 16), high = (vf)(w & 0xffff0000u);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    return (pair){ high, low };
#else
    return (pair){ low, high };
#endif
}

INLINE vu pack(pair v)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    return (round_bf16(v.hi) >> 16) | (round_bf16(v.lo) & 0xffff0000u);
#else
    return (round_bf16(v.lo) >> 16) | (round_bf16(v.hi) & 0xffff0000u);
#endif
}

/* ---- memory ---------------------------------------------------------------------------------*/

INLINE vf splat(float a)
{
    return (vf){} + a;
}

static __attribute__((noinline)) vf load_part(const void *p, size_t bytes)
{
    vf v = {};
    memcpy(&v, p, bytes);
    return v;
}

static __attribute__((noinline)) void store_part(void *p, vf v, size_t bytes)
{
    memcpy(p, &v, bytes);
}

/* W floats, of which only the first `left` (1 or more) are there; the others read as 0. */
INLINE vf load1(const float *p, int64_t left)
{
    if (__builtin_expect(left < W, 0))
        return load_part(p, (size_t)left * 4);
    vf v;
    memcpy(&v, p, sizeof v);
    return v;
}

INLINE void store1(float *p, int64_t left, vf v)
{
    if (__builtin_expect(left < W, 0))
        store_part(p, v, (size_t)left * 4);
    else
        memcpy(p, &v, sizeof v);
}

/* 2 W elements of an array of bf16 or f32 from its element i; `left` as above. */
INLINE pair load(bool bf, const void *p, int64_t i, int64_t left)
{
    if (bf) {
        const uint16_t *q = (const uint16_t *)p + i;
        if (__builtin_expect(left < 2 * W, 0))
            return unpack((vu)load_part(q, (size_t)left * 2));
        vu w;
        memcpy(&w, q, sizeof w);
        return unpack(w);
    }
    const float *q = (const float *)p + i;
    if (__builtin_expect(left < 2 * W, 0))
        return (pair){ load1(q, left), left > W ? load_part(q + W, (size_t)(left - W) * 4) : splat(0) };
    pair v;
    memcpy(&v.lo, q, sizeof v.lo);
    memcpy(&v.hi, q + W, sizeof v.hi);
    return v;
}

INLINE void store(bool bf, void *p, int64_t i, int64_t left, pair v)
{
    if (bf) {
        uint16_t *q = (uint16_t *)p + i;
        const vu w = pack(v);
        if (__builtin_expect(left < 2 * W, 0))
            store_part(q, (vf)w, (size_t)left * 2);
        else
            memcpy(q, &w, sizeof w);
        return;
    }
    float *q = (float *)p + i;
    if (__builtin_expect(left < 2 * W, 0)) {
        store1(q, left, v.lo);
        if (left > W)
            store_part(q + W, v.hi, (size_t)(left - W) * 4);
        return;
    }
    memcpy(q, &v.lo, sizeof v.lo);
    memcpy(q + W, &v.hi, sizeof v.hi);
}

/* f32 values in the lane order of bf or f32 data. */
INLINE pair load_f32(bool bf, const float *p, int64_t i, int64_t left)
{
    const pair v = load(false, p, i, left);
    return bf ? unzip(v) : v;
}

INLINE void store_f32(bool bf, float *p, int64_t i, int64_t left, pair v)
{
    store(false, p, i, left, bf ? zip(v) : v);
}

/* ---- sums across lanes ------------------------------------------------------------------------*/

INLINE float sum(vf v)
{
    float s[W];
    memcpy(s, &v, sizeof s);
    for (int k = W / 2; k > 0; k /= 2)
        for (int i = 0; i < k; i++)
            s[i] += s[i + k];
    return s[0];
}

INLINE float largest(vf v)
{
    float s[W];
    memcpy(s, &v, sizeof s);
    for (int k = W / 2; k > 0; k /= 2)
        for (int i = 0; i < k; i++)
            s[i] = s[i] > s[i + k] ? s[i] : s[i + k];
    return s[0];
}

/* ---- functions --------------------------------------------------------------------------------*/

/* e^x within 2e-7, x clamped to [-86.6, 88.3]; NaN gives NaN. x = k ln 2 + r, |r| <= ln(2)/2,
 * ln 2 in two parts so that k times the first is exact; k is rounded by adding 1.5 * 2^23, and 127
 * more gives the exponent's bits. The polynomial interpolates e^r at the Chebyshev points. */
INLINE vf vexp(vf x)
{
    const float magic = 12582912.0f + 127.0f;
    x = vmin(splat(88.3f), vmax(splat(-86.6f), x));
    const vf t = x * 1.44269504f + magic, k = t - magic;
    const vf r = (x - k * 0.693359375f) - k * -2.12194440e-4f;
    vf q = 0.00139261761f * r + 0.00836317307f;
    q = q * r + 0.0416665547f;
    q = q * r + 0.16666577f;
    q = q * r + 0.5f;
    q = q * (r * r) + r + 1.0f;
    return q * (vf)((vu)t << 23);
}

INLINE vf sigmoid(vf x)
{
    return recip(1.0f + vexp(-x));
}

/* x sigmoid(x), and its derivative s (1 + x (1 - s)). */
INLINE vf vsilu(vf x)
{
    return x * sigmoid(x);
}

INLINE vf vsilu_slope(vf x)
{
    const vf s = sigmoid(x);
    return s + s * x * (1.0f - s);
}

#define EACH(f, v) ((pair){ f((v).lo), f((v).hi) })

#endif

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
typedef uint16_t vh __attribute__((vector_size(4 * W)));

typedef struct pair {
    vf lo, hi;
} pair;

/* ---- what the vector extensions lack --------------------------------------------------------*/

/* max and min give b when either is NaN, as the instructions do. mul_even multiplies the low
 * halves of 64-bit lanes. recip is within 1e-7 for 1 <= |a| < 2^127 and takes no infinity, or
 * within 1e-4 when `rough`. */
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
INLINE vf recip(bool rough, vf a)
{
    const vf r = (vf)_mm512_rcp14_ps((__m512)a);
    return rough ? r : r + r * (1.0f - a * r);
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
INLINE vf recip(bool rough, vf a)
{
    const vf r = (vf)_mm256_rcp_ps((__m256)a); /* 12 bits */
    return rough ? r + r * (1.0f - a * r) : 1.0f / a;
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
INLINE vf recip(bool rough, vf a)
{
    const vf r = (vf)_mm_rcp_ps((__m128)a); /* 12 bits */
    return rough ? r + r * (1.0f - a * r) : 1.0f / a;
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
INLINE vf recip(bool rough, vf a)
{
    (void)rough;
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

INLINE pair unpack(vu w)
{
    const vf low = (vf)(w << 16), high = (vf)(w & 0xffff0000u);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    return (pair){ high, low };
#else
    return (pair){ low, high };
#endif
}

/* Rounds to nearest even, in 16-bit lanes, both of a pair at once: with high and low the halves of
 * a number, it is rounded up when low | (high & 1) exceeds 0x8000. A quiet NaN stays one, but for
 * those whose upper half is all ones, which a carry would make a zero: these are kept as they are
 * unless `clean` says that there are none. */
INLINE vu pack(bool clean, pair v)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    const vu a = (vu)v.hi, b = (vu)v.lo;
#else
    const vu a = (vu)v.lo, b = (vu)v.hi;
#endif
    const vu high = (a >> 16) | (b & 0xffff0000u), low = (a & 0xffffu) | (b << 16);
    const vh excess = (vh)(low | (high & 0x00010001u)), number = (vh)high | 0x8000;
#if W == 16
    const __m512i h = (__m512i)high, ones = _mm512_set1_epi16(-1);
    const __mmask32 m = clean ? -1u : _mm512_cmpneq_epi16_mask((__m512i)number, ones);
    const __mmask32 up =
        _mm512_mask_cmpgt_epu16_mask(m, (__m512i)excess, _mm512_set1_epi16((short)0x8000));
    return (vu)_mm512_mask_sub_epi16(h, up, h, ones);
#else
    const vh up = (vh)(excess > 0x8000);
    return (vu)((vh)high - (clean ? up : up & (vh)(number != 0xffff)));
#endif
}

/* Any NaN becomes the usual one, 0x7fc00000. */
INLINE vf clean_nan(vf x)
{
    const vu nan = (vu)(x != x);
    return (vf)(((vu)x & ~nan) | (nan & 0x7fc00000u));
}

/* ---- memory ---------------------------------------------------------------------------------*/

INLINE vf splat(float a)
{
    return (vf){} + a;
}

/* The same value, of which the compiler knows nothing. A sum that begins with a known 0 may become
 * fma(a0, b0, a1 b1) or fma(a1, b1, a0 b0), as the code around it has it: other bits. */
INLINE vf opaque(vf v)
{
#if defined __x86_64__ || defined __i386__
    __asm__("" : "+v"(v));
#elif defined __aarch64__
    __asm__("" : "+w"(v));
#else
    __asm__("" : "+m"(v));
#endif
    return v;
}

/* The first bytes of a vector, fewer than all. Calls would cost the loops around them their
 * constants, which live in registers: so masks where there are such. */
#if W == 16
INLINE vf load_part(const void *p, int64_t bytes)
{
    return (vf)_mm512_maskz_loadu_epi8(((__mmask64)1 << bytes) - 1, p);
}

INLINE void store_part(void *p, vf v, int64_t bytes)
{
    _mm512_mask_storeu_epi8(p, ((__mmask64)1 << bytes) - 1, (__m512i)v);
}
#else
static __attribute__((noinline)) vf load_part(const void *p, int64_t bytes)
{
    vf v = {};
    memcpy(&v, p, (size_t)bytes);
    return v;
}

static __attribute__((noinline)) void store_part(void *p, vf v, int64_t bytes)
{
    memcpy(p, &v, (size_t)bytes);
}
#endif

/* W floats, of which only the first `left` (1 or more) are there; the others read as 0. */
INLINE vf load1(const float *p, int64_t left)
{
    if (__builtin_expect(left < W, 0))
        return load_part(p, left * 4);
    vf v;
    memcpy(&v, p, sizeof v);
    return v;
}

INLINE void store1(float *p, int64_t left, vf v)
{
    if (__builtin_expect(left < W, 0))
        store_part(p, v, left * 4);
    else
        memcpy(p, &v, sizeof v);
}

/* 2 W elements of an array of bf16 or f32 from its element i; `left` as above. */
INLINE pair load(bool bf, const void *p, int64_t i, int64_t left)
{
    if (bf) {
        const uint16_t *q = (const uint16_t *)p + i;
        if (__builtin_expect(left < 2 * W, 0))
            return unpack((vu)load_part(q, left * 2));
        vu w;
        memcpy(&w, q, sizeof w);
        return unpack(w);
    }
    const float *q = (const float *)p + i;
    if (__builtin_expect(left < 2 * W, 0))
        return (pair){ load1(q, left), left > W ? load_part(q + W, (left - W) * 4) : splat(0) };
    pair v;
    memcpy(&v.lo, q, sizeof v.lo);
    memcpy(&v.hi, q + W, sizeof v.hi);
    return v;
}

INLINE void store_words(void *p, int64_t i, int64_t left, vu w)
{
    uint16_t *q = (uint16_t *)p + i;
    if (__builtin_expect(left < 2 * W, 0))
        store_part(q, (vf)w, left * 2);
    else
        memcpy(q, &w, sizeof w);
}

INLINE void store(bool bf, void *p, int64_t i, int64_t left, pair v)
{
    if (bf) {
        store_words(p, i, left, pack(false, v));
        return;
    }
    float *q = (float *)p + i;
    if (__builtin_expect(left < 2 * W, 0)) {
        store1(q, left, v.lo);
        if (left > W)
            store_part(q + W, v.hi, (left - W) * 4);
        return;
    }
    memcpy(q, &v.lo, sizeof v.lo);
    memcpy(q + W, &v.hi, sizeof v.hi);
}

/* As store, for results of bf16 data and of f32 data gone through clean_nan, which is faster. */
INLINE void store_clean(bool bf, void *p, int64_t i, int64_t left, pair v)
{
    if (bf)
        store_words(p, i, left, pack(true, v));
    else
        store(false, p, i, left, v);
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
    for (int k = 1; k < W; k *= 2) {
        const pair p = unzip((pair){ v, v });
        v = p.lo + p.hi;
    }
    return v[0];
}

INLINE float largest(vf v)
{
    for (int k = 1; k < W; k *= 2) {
        const pair p = unzip((pair){ v, v });
        v = vmax(p.lo, p.hi);
    }
    return v[0];
}

/* ---- functions --------------------------------------------------------------------------------*/

#define LOG2E 1.44269504f

/* 2^(c x), c > 0: within 3e-7 for |c x| < 30 (2e-8 |c x| beyond), c x clamped to [-125, 127.3]; or
 * within 2e-4 when `rough`. NaN gives NaN. With c x = k + f, 2^f is a polynomial, which
 * interpolates at the Chebyshev points of f's range. */
INLINE vf exp2_of(bool rough, float c, vf x)
{
#if W == 16
    if (rough) { /* f in [0, 1); no need to clamp: the scaling saturates */
        const vf t = x * c, f = (vf)_mm512_reduce_ps((__m512)t, 1);
        const vf p = ((0.078967257f * f + 0.224693156f) * f + 0.696324771f) * f + 0.999900288f;
        return (vf)_mm512_scalef_ps((__m512)p, (__m512)t);
    }
#endif
    /* f in [-1/2, 1/2]: k is rounded by adding 1.5 2^23, 127 more makes it the exponent's bits. */
    const float magic = 12582912.0f + 127.0f;
    x = vmin(splat(127.3f / c), vmax(splat(-125.0f / c), x));
    const vf t = x * c + magic, f = x * c - (t - magic);
    vf p;
    if (rough) {
        p = ((0.0558382829f * f + 0.242639479f) * f + 0.693136734f) * f + 0.999924557f;
    } else {
        p = (0.00133908634f * f + 0.00967603192f) * f + 0.0555035711f;
        p = ((p * f + 0.240221075f) * f + 0.693147188f) * f + 1.00000008f;
    }
    return p * (vf)((vu)t << 23);
}

INLINE vf vexp(bool rough, vf x)
{
    return exp2_of(rough, LOG2E, x);
}

/* x = 2^k (1 + f) with 1 + f in [sqrt(1/2), sqrt(2)); gives f, and k ln 2. x normal and > 0. */
INLINE vf log_split(vf x, vf *k_ln2)
{
    const vi u = (vi)x - 0x3f3504f3; /* sqrt(1/2) becomes 0 */
    *k_ln2 = __builtin_convertvector(u >> 23, vf) * 0.693147181f;
    return (vf)((u & 0x007fffff) + 0x3f3504f3) - 1.0f;
}

/* ln(1 + f) = f - f^2/2 + f^3 L(f) for f of log_split, within 1e-7; L interpolates as above. */
INLINE vf log1p_poly(vf f)
{
    vf p = f * -0.0790274377f + 0.126223198f;
    p = p * f + -0.129981838f;
    p = p * f + 0.142144959f;
    p = p * f + -0.166412815f;
    p = p * f + 0.200010451f;
    p = p * f + -0.250003064f;
    p = p * f + 0.333333307f;
    return (p * f - 0.5f) * (f * f) + f;
}

/* ln x, x normal and > 0, or NaN. */
INLINE vf vlog(vf x)
{
    vf k_ln2;
    const vf f = log_split(x, &k_ln2);
    return log1p_poly(f) + k_ln2 + (x - x);
}

/* x sigmoid(x) = t / (-log2(e) (1 + 2^t)) with t = -log2(e) x, which is what is given: a caller
 * that computes x by coefficients has the factor for nothing. For numbers that come from and go
 * to bf16 the rough way is enough. */
INLINE vf silu_log2(bool bf, vf t)
{
    return t * recip(bf, -LOG2E * exp2_of(bf, 1, t) - LOG2E);
}

/* The derivative of x s, s = sigmoid(x): s (1 + x (1 - s)). With e = e^-x, 1 - s = e s, and it
 * is not a difference of nearly equal numbers. */
INLINE vf silu_slope(bool bf, vf x)
{
    const vf e = vmin(splat(1e38f), vexp(bf, -x)), s = recip(bf, 1.0f + e);
    return s + s * x * (e * s);
}

INLINE pair silu2(bool bf, pair t)
{
    return (pair){ silu_log2(bf, t.lo), silu_log2(bf, t.hi) };
}

/* dy silu'(x) */
INLINE pair silu_grad2(bool bf, pair x, pair dy)
{
    return (pair){ dy.lo * silu_slope(bf, x.lo), dy.hi * silu_slope(bf, x.hi) };
}

#endif

/* vdpbf16ps against vfmadd: loops over independent sums, as a convolution's inner loop has.
 * Compiled for AVX512_BF16, so that no other CPU may run any of it. */
#include "cpu/pairs.h"

#include "base/thread.h"

#if defined __AVX512BF16__ && defined __AVX512F__
#include <immintrin.h>

enum { SUMS = 12, ROUNDS = 2000, TRIES = 9 };

/* The compiler must keep the products, and not move them over the clock. */
#define KEEP(v) __asm__ volatile("" : "+v"(v))

static double seconds_f32(void)
{
    __m512 sum[SUMS], a = _mm512_set1_ps(0.5f), b = _mm512_set1_ps(0.25f);
#pragma GCC unroll 12
    for (int k = 0; k < SUMS; k++)
        sum[k] = _mm512_set1_ps(1);
    const double start = few_now();
    for (int r = 0; r < ROUNDS; r++) {
        KEEP(a);
#pragma GCC unroll 12
        for (int k = 0; k < SUMS; k++) {
            sum[k] = _mm512_fmadd_ps(a, b, sum[k]);
            KEEP(sum[k]);
        }
    }
    return few_now() - start;
}

static double seconds_bf16(void)
{
    __m512 sum[SUMS];
    __m512bh a = (__m512bh)_mm512_set1_epi16(0x3f00), b = (__m512bh)_mm512_set1_epi16(0x3e80);
#pragma GCC unroll 12
    for (int k = 0; k < SUMS; k++)
        sum[k] = _mm512_set1_ps(1);
    const double start = few_now();
    for (int r = 0; r < ROUNDS; r++) {
        KEEP(a);
#pragma GCC unroll 12
        for (int k = 0; k < SUMS; k++) {
            sum[k] = _mm512_dpbf16_ps(sum[k], a, b);
            KEEP(sum[k]);
        }
    }
    return few_now() - start;
}

double few_bf16_pairs_measure(void)
{
    double f32 = 1e9, bf16 = 1e9;
    for (int k = 0; k < TRIES; k++) { /* in turn: other programs slow both */
        const double f = seconds_f32(), b = seconds_bf16();
        f32 = f < f32 ? f : f32;
        bf16 = b < bf16 ? b : bf16;
    }
    return bf16 > 0 ? 2 * f32 / bf16 : 0; /* two products an element */
}
#else
double few_bf16_pairs_measure(void)
{
    return 0;
}
#endif

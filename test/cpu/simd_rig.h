/* Arrays, comparison and the loop over tables and types for the tests of cpu/simd.
 *
 * Arrays are allocated to the element (so a sanitizer sees a read beyond) with a guard behind that
 * is checked for writes. Expected values are computed from the inputs as stored, so what is allowed
 * is the arithmetic's error and, for bf16, the rounding of the result: 2^-8. */
#ifndef FEW_TEST_SIMD_RIG_H
#define FEW_TEST_SIMD_RIG_H

#include "base/philox.h"
#include "cpu/simd.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define GUARD 64

static const char *const names[] = { "portable", "avx2", "avx512" };
static const few_simd *simd; /* the table under test */
static bool bf;              /* the type under test */

typedef void (*body)(void);

/* Runs a test on all tables, for f32 and, when both is set, bf16. */
static inline void each(body f, bool both)
{
    int tables = 0;
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        simd = few_simd_named(names[k]);
        if (!simd)
            continue;
        assert_string_equal(simd->name, names[k]);
        tables++;
        for (int type = 0; type <= both; type++) {
            bf = type;
            f();
        }
    }
    assert_true(tables >= 1);
}

/* ---- arrays */

typedef struct array {
    int64_t n;
    int size;
    unsigned char *data;
} array;

static inline array array_new(int size, int64_t n)
{
    array a = { n, size, malloc((size_t)(n * size) + GUARD) };
    assert_non_null(a.data);
    memset(a.data, 0xa5, (size_t)(n * size) + GUARD);
    return a;
}

static inline void array_free(array a)
{
    for (int i = 0; i < GUARD; i++)
        if (a.data[a.n * a.size + i] != 0xa5)
            fail_msg("%s: written %d bytes beyond the end", simd->name, i);
    free(a.data);
}

static inline float from_half(uint16_t h)
{
    const uint32_t u = (uint32_t)h << 16;
    float f;
    memcpy(&f, &u, 4);
    return f;
}

/* By way of double: round the mantissa to 8 bits, fewer below 2^-126, ties to even. */
static inline uint16_t to_half(float f)
{
    uint32_t u;
    if (isnan(f))
        return 0x7fc0;
    if (isfinite(f)) {
        int e;
        const double m = frexp(f, &e);
        const int bits = e < -125 ? e + 133 : 8;
        f = (float)ldexp(nearbyint(ldexp(m, bits)), e - bits);
    }
    memcpy(&u, &f, 4);
    return (uint16_t)(u >> 16);
}

static inline double get(array a, int64_t i)
{
    assert_in_range(i, 0, a.n - 1);
    return a.size == 2 ? (double)from_half(((const uint16_t *)a.data)[i])
                       : (double)((const float *)a.data)[i];
}

static inline void set(array a, int64_t i, double v)
{
    if (a.size == 2)
        ((uint16_t *)a.data)[i] = to_half((float)v);
    else
        ((float *)a.data)[i] = (float)v;
}

static inline double gauss(void)
{
    static uint32_t count;
    static const uint32_t key[2] = { 17, 42 };
    static double v[4];
    if (count % 4 == 0)
        few_philox_normal((const uint32_t[4]){ count / 4, 0, 0, 0 }, key, v);
    return v[count++ % 4];
}

static inline array random_array(int size, int64_t n, double mean, double std)
{
    const array a = array_new(size, n);
    for (int64_t i = 0; i < n; i++)
        set(a, i, mean + std * gauss());
    return a;
}

static inline int width(void)
{
    return bf ? 2 : 4;
}

/* |got - want| <= rel |want| + abs max(scale, max|want|); NaN only where expected. `scale`: the
 * size of the terms where these cancel. */
static inline void near_of(double scale, const char *what, array got, const double *want,
                           double rel, double abs)
{
    double worst = 0;
    int64_t at = 0;
    if (got.size == 2)
        rel += 1.0 / 256;
    for (int64_t i = 0; i < got.n; i++)
        if (isfinite(want[i]))
            scale = fmax(scale, fabs(want[i]));
    for (int64_t i = 0; i < got.n; i++) {
        const double g = get(got, i), allowed = rel * fabs(want[i]) + abs * scale;
        double off = fabs(g - want[i]) / fmax(allowed, 1e-300);
        if (isnan(want[i]) || isinf(want[i]) || !isfinite(g))
            off = (isnan(want[i]) && isnan(g)) || g == want[i] ? 0 : INFINITY;
        if (off > worst) {
            worst = off;
            at = i;
        }
    }
    if (worst > 1)
        fail_msg("%s %s %s: element %lld is %.9g, not %.9g (%.3g times what is allowed)",
                 simd->name, got.size == 2 ? "bf16" : "f32", what, (long long)at, get(got, at),
                 want[at], worst);
}

static inline void near(const char *what, array got, const double *want, double rel, double abs)
{
    near_of(0, what, got, want, rel, abs);
}

static inline double *reals(int64_t n)
{
    double *p = calloc((size_t)(n ? n : 1), sizeof *p);
    assert_non_null(p);
    return p;
}

static const int64_t lengths[] = { 1, 2, 7, 15, 16, 17, 31, 32, 33, 64, 100, 1000, 4097 };
#define N_LENGTHS (sizeof lengths / sizeof *lengths)

static inline double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

static inline double silu_of(double x)
{
    return x * sigmoid(x);
}

static inline double silu_slope(double x)
{
    return sigmoid(x) * (1 + x * (1 - sigmoid(x)));
}

#endif

/* Every kernel of every table this CPU can run, against plain loops in double.
 *
 * Arrays are allocated to the element (so a sanitizer sees a read beyond) with a guard behind that
 * is checked for writes. Expected values are computed from the inputs as stored, so what is allowed
 * is the arithmetic's error and, for bf16, the rounding of the result: 2^-8. */
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
static void each(body f, bool both)
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

/* ---- arrays ---------------------------------------------------------------------------------*/

typedef struct array {
    int64_t n;
    int size;
    unsigned char *data;
} array;

static array array_new(int size, int64_t n)
{
    array a = { n, size, malloc((size_t)(n * size) + GUARD) };
    assert_non_null(a.data);
    memset(a.data, 0xa5, (size_t)(n * size) + GUARD);
    return a;
}

static void array_free(array a)
{
    for (int i = 0; i < GUARD; i++)
        if (a.data[a.n * a.size + i] != 0xa5)
            fail_msg("%s: written %d bytes beyond the end", simd->name, i);
    free(a.data);
}

static float from_half(uint16_t h)
{
    const uint32_t u = (uint32_t)h << 16;
    float f;
    memcpy(&f, &u, 4);
    return f;
}

/* By way of double: round the mantissa to 8 bits, fewer below 2^-126, ties to even. */
static uint16_t to_half(float f)
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

static double get(array a, int64_t i)
{
    assert_in_range(i, 0, a.n - 1);
    return a.size == 2 ? (double)from_half(((const uint16_t *)a.data)[i])
                       : (double)((const float *)a.data)[i];
}

static void set(array a, int64_t i, double v)
{
    if (a.size == 2)
        ((uint16_t *)a.data)[i] = to_half((float)v);
    else
        ((float *)a.data)[i] = (float)v;
}

static double gauss(void)
{
    static uint32_t count;
    static const uint32_t key[2] = { 17, 42 };
    static double v[4];
    if (count % 4 == 0)
        few_philox_normal((const uint32_t[4]){ count / 4, 0, 0, 0 }, key, v);
    return v[count++ % 4];
}

static array random_array(int size, int64_t n, double mean, double std)
{
    const array a = array_new(size, n);
    for (int64_t i = 0; i < n; i++)
        set(a, i, mean + std * gauss());
    return a;
}

static int width(void)
{
    return bf ? 2 : 4;
}

/* |got - want| <= rel |want| + abs max(scale, max|want|); NaN only where expected. `scale`: the
 * size of the terms where these cancel. */
static void near_of(double scale, const char *what, array got, const double *want, double rel,
                    double abs)
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

static void near(const char *what, array got, const double *want, double rel, double abs)
{
    near_of(0, what, got, want, rel, abs);
}

static double *reals(int64_t n)
{
    double *p = calloc((size_t)(n ? n : 1), sizeof *p);
    assert_non_null(p);
    return p;
}

static const int64_t lengths[] = { 1, 2, 7, 15, 16, 17, 31, 32, 33, 64, 100, 1000, 4097 };
#define N_LENGTHS (sizeof lengths / sizeof *lengths)

/* ---- conversions ------------------------------------------------------------------------------*/

static void check_bf16(void)
{
    /* Every upper half with lower halves about the tie, then all of bf16 back. */
    static const uint16_t low[] = { 0, 1, 0x7fff, 0x8000, 0x8001, 0xffff };
    const int64_t n = 65536 * 6;
    const array f = array_new(4, n), h = array_new(2, n);
    for (int64_t i = 0; i < n; i++)
        ((uint32_t *)f.data)[i] = (uint32_t)(i / 6) << 16 | low[i % 6];
    simd->to_bf16((uint16_t *)h.data, (const float *)f.data, n);
    for (int64_t i = 0; i < n; i++) {
        const float v = ((const float *)f.data)[i];
        const uint16_t got = ((const uint16_t *)h.data)[i];
        if (isnan(v))
            assert_true(isnan(from_half(got)));
        else if (got != to_half(v))
            fail_msg("%s: %a becomes bf16 %04x, not %04x", simd->name, (double)v, got, to_half(v));
    }
    for (uint32_t i = 0; i < 65536; i++)
        ((uint16_t *)h.data)[i] = (uint16_t)i;
    for (int64_t m = 65505; m <= 65536; m++) { /* every tail */
        const array back = array_new(4, m);
        simd->from_bf16((float *)back.data, (const uint16_t *)h.data, m);
        for (int64_t i = 0; i < m; i++)
            assert_int_equal(((const uint32_t *)back.data)[i], (uint32_t)i << 16);
        array_free(back);
    }
    for (int64_t m = 1; m <= 70; m++) {
        const array part = array_new(2, m);
        simd->to_bf16((uint16_t *)part.data, (const float *)f.data + 99991, m);
        for (int64_t i = 0; i < m; i++)
            assert_int_equal(((const uint16_t *)part.data)[i],
                             to_half(((const float *)f.data)[99991 + i]));
        array_free(part);
    }
    array_free(f);
    array_free(h);
}

static void test_bf16(void **state)
{
    (void)state;
    each(check_bf16, false);
}

static void check_dequantize(void)
{
    for (int64_t n = 200; n <= 256; n++) {
        unsigned char bytes[256];
        double want[256];
        const array y = array_new(4, n);
        for (int64_t i = 0; i < n; i++) {
            bytes[i] = (unsigned char)i;
            want[i] = (double)i / 127.5 - 1;
        }
        simd->dequantize((float *)y.data, bytes, n);
        near("dequantize", y, want, 2e-7, 0);
        array_free(y);
    }
}

static void test_dequantize(void **state)
{
    (void)state;
    each(check_dequantize, false);
}

/* ---- element by element -----------------------------------------------------------------------*/

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

static double silu_of(double x)
{
    return x * sigmoid(x);
}

static double silu_slope(double x)
{
    return sigmoid(x) * (1 + x * (1 - sigmoid(x)));
}

static void check_pointwise(void)
{
    for (size_t k = 0; k < N_LENGTHS; k++) {
        const int64_t n = lengths[k];
        const array a = random_array(width(), n, 0, 3), b = random_array(width(), n, 0.5, 1);
        const array y = array_new(width(), n);
        double *want = reals(n);

        for (int64_t i = 0; i < n; i++)
            want[i] = silu_of(get(a, i));
        simd->silu(bf, y.data, a.data, n);
        near("silu", y, want, 1e-6 + bf * 2e-4, 0);
        for (int64_t i = 0; i < n; i++)
            want[i] = get(b, i) * silu_slope(get(a, i));
        simd->silu_grad(bf, y.data, a.data, b.data, n);
        near("silu_grad", y, want, 1e-5 + bf * 2e-4, 1e-6 + bf * 2e-4);
        for (int64_t i = 0; i < n; i++)
            want[i] = 1.5 * get(a, i) - 0.25;
        simd->affine(bf, y.data, a.data, 1.5f, -0.25f, n);
        near("affine", y, want, 1e-6, 1e-7);
        for (int64_t i = 0; i < n; i++)
            want[i] = get(a, i) + get(b, i);
        simd->add(bf, y.data, a.data, b.data, n);
        near("add", y, want, 1e-6, 1e-7);
        simd->add(bf, a.data, a.data, b.data, n);
        near("add in place", a, want, 1e-6, 1e-7);
        for (int64_t i = 0; i < n; i++)
            want[i] = -2 * get(b, i) + 3;
        simd->affine(bf, b.data, b.data, -2, 3, n);
        near("affine in place", b, want, 1e-6, 1e-7);
        free(want);
        array_free(a);
        array_free(b);
        array_free(y);
    }
}

static void check_arithmetic(void)
{
    for (size_t k = 0; k < N_LENGTHS; k++) {
        const int64_t n = lengths[k];
        const array a = random_array(4, n, 0, 3), b = random_array(4, n, 0, 1);
        const array y = array_new(4, n);
        const float *p = (const float *)a.data, *q = (const float *)b.data;
        double *want = reals(n);
        for (int64_t i = 0; i < n; i++)
            want[i] = get(a, i) * get(b, i);
        simd->mul((float *)y.data, p, q, n);
        near("mul", y, want, 1e-7, 0);
        for (int64_t i = 0; i < n; i++)
            want[i] = get(a, i) / get(b, i);
        simd->div((float *)y.data, p, q, n);
        near("div", y, want, 2e-7, 0);
        for (int64_t i = 0; i < n; i++)
            want[i] = get(y, i) + get(a, i);
        simd->accumulate((float *)y.data, p, n);
        near("accumulate", y, want, 1e-7, 0);
        for (int64_t i = 0; i < n; i++) {
            set(a, i, i == 0 ? 0 : fabs(get(a, i)));
            want[i] = sqrt(get(a, i));
        }
        simd->sqrt((float *)y.data, p, n);
        near("sqrt", y, want, 2e-7, 0);
        free(want);
        array_free(a);
        array_free(b);
        array_free(y);
    }
}

static void test_pointwise(void **state)
{
    (void)state;
    each(check_pointwise, true);
    each(check_arithmetic, false);
}

/* The whole range of sigmoid: large arguments saturate, NaN and infinity pass. */
static void check_silu_range(void)
{
    const int64_t n = 4001;
    const array x = array_new(width(), n), dy = array_new(width(), n), y = array_new(width(), n);
    double *want = reals(n);
    for (int64_t i = 0; i < n; i++) {
        set(x, i, (double)(i - 2000) * 0.1);
        set(dy, i, 1);
        want[i] = silu_of(get(x, i));
    }
    simd->silu(bf, y.data, x.data, n);
    near("silu from -200 to 200", y, want, 1e-5 + bf * 2e-4, 1e-30);
    for (int64_t i = 0; i < n; i++)
        want[i] = silu_slope(get(x, i));
    simd->silu_grad(bf, y.data, x.data, dy.data, n);
    near("silu_grad from -200 to 200", y, want, 1e-5 + bf * 2e-4, 1e-6 + bf * 2e-4);

    set(x, 5, NAN);
    set(x, 40, INFINITY);
    simd->silu(bf, y.data, x.data, n);
    assert_true(isnan(get(y, 5)));
    assert_true(get(y, 40) == INFINITY);
    for (int64_t i = 0; i < n; i++)
        assert_true(i == 5 || i == 40 || isfinite(get(y, i)));
    simd->silu_grad(bf, y.data, x.data, dy.data, n);
    assert_true(isnan(get(y, 5)));
    set(x, 5, 0);
    set(x, 40, 0);
    set(dy, 7, NAN);
    simd->silu_grad(bf, y.data, x.data, dy.data, n);
    for (int64_t i = 0; i < n; i++)
        assert_true(isnan(get(y, i)) == (i == 7));
    free(want);
    array_free(x);
    array_free(dy);
    array_free(y);
}

static void test_silu_range(void **state)
{
    (void)state;
    each(check_silu_range, true);
}

static void check_lincomb(void)
{
    static const int64_t shapes[][2] = { { 1, 1 }, { 3, 17 }, { 2, 96 }, { 5, 33 }, { 2, 3072 } };
    for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++)
        for (int terms = 1; terms <= 4; terms++)
            for (unsigned mask = 0; mask < 1u << terms; mask++) {
                const int64_t n = shapes[k][0], d = shapes[k][1];
                array x[4], c[4];
                const void *xs[4];
                const float *cs[4];
                double *want = reals(n * d);
                for (int t = 0; t < terms; t++) {
                    x[t] = random_array(mask >> t & 1 ? 2 : 4, n * d, 0, 1);
                    c[t] = random_array(4, n, 0, 1);
                    xs[t] = x[t].data;
                    cs[t] = (const float *)c[t].data;
                    for (int64_t i = 0; i < n * d; i++)
                        want[i] += get(c[t], i / d) * get(x[t], i);
                }
                const array y = array_new(width(), n * d);
                simd->lincomb(y.data, bf, terms, xs, mask, cs, n, d);
                near_of(1, "lincomb", y, want, 1e-6, 1e-6);
                for (int t = 0; t < terms; t++) {
                    array_free(x[t]);
                    array_free(c[t]);
                }
                array_free(y);
                free(want);
            }
}

static void test_lincomb(void **state)
{
    (void)state;
    each(check_lincomb, true);
}

/* ---- losses ---------------------------------------------------------------------------------*/

static void check_losses(void)
{
    static const int64_t shapes[][2] = {
        { 1, 1 }, { 3, 17 }, { 2, 96 }, { 2, 3072 }, { 1, 70001 }
    };
    static const float es[] = { 0, 1e-3f, 0.03f, 2 };
    for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++) {
        const int64_t n = shapes[k][0], d = shapes[k][1];
        const array x = random_array(width(), n * d, 0, 0.5), g = random_array(4, n, 0, 1);
        const array y = array_new(4, n), dx = array_new(width(), n * d);
        double *mean = reals(n), *slope = reals(n * d);
        set(x, 0, 0);
        for (int64_t i = 0; i < n * d; i++)
            mean[i / d] += get(x, i) * get(x, i) / (double)d;
        simd->mean_square(bf, (float *)y.data, x.data, n, d);
        near("mean_square", y, mean, 2e-6, 0);
        for (size_t j = 0; j < sizeof es / sizeof *es; j++) {
            const double e = (double)es[j];
            memset(mean, 0, (size_t)n * sizeof *mean);
            for (int64_t i = 0; i < n * d; i++) {
                const double v = get(x, i), root = sqrt(v * v + e * e);
                mean[i / d] += (root + e > 0 ? v * v / (root + e) : 0) / (double)d;
                slope[i] = root > 0 ? get(g, i / d) / (double)d * v / root : 0;
            }
            simd->huber_mean(bf, (float *)y.data, x.data, es[j], n, d);
            near("huber_mean", y, mean, 2e-6, 0);
            simd->huber_mean_grad(bf, dx.data, x.data, (const float *)g.data, es[j], n, d);
            near("huber_mean_grad", dx, slope, 1e-6, 1e-6);
        }
        free(mean);
        free(slope);
        array_free(x);
        array_free(g);
        array_free(y);
        array_free(dx);
    }
}

static void test_losses(void **state)
{
    (void)state;
    each(check_losses, true);
}

/* ---- group norm -------------------------------------------------------------------------------*/

enum { GN_GAMMA = 1, GN_BETA = 2, GN_ADD = 4, GN_SS = 8 };

typedef struct gn_case {
    int64_t n, hw, c;
    int groups;
    bool silu;
    int given;
    double mean, std;
} gn_case;

typedef struct gn_want {
    double *y, *stats, *dx, *dgamma, *dbeta, *dadd, *dss;
    double dx_scale; /* of the terms of dx */
} gn_want;

static gn_want gn_reference(const gn_case *k, array x, array gamma, array beta, array add, array ss,
                            array dy, double eps)
{
    const int64_t n = k->n, hw = k->hw, c = k->c, per = c / k->groups, size = n * hw * c;
    gn_want w = { reals(size),      reals(2 * n * k->groups),
                  reals(size),      reals(c),
                  reals(c),         reals(n * c),
                  reals(2 * n * c), 0 };
    double *dxh = reals(size), *xh = reals(size);
    for (int64_t i = 0; i < n; i++)
        for (int64_t g = 0; g < k->groups; g++) {
            const double count = (double)(hw * per);
            double m = 0, var = 0, m0 = 0, m1 = 0;
#define EACH_ELEMENT                                                                               \
    for (int64_t r = 0; r < hw; r++)                                                               \
        for (int64_t ch = g * per, e = (i * hw + r) * c + ch; ch < (g + 1) * per; ch++, e++)
#define U (get(x, e) + (k->given & GN_ADD ? get(add, i * c + ch) : 0))
            EACH_ELEMENT m += U / count;
            EACH_ELEMENT var += (U - m) * (U - m) / count;
            const double rstd = 1 / sqrt(var + eps);
            w.stats[2 * (i * k->groups + g)] = m;
            w.stats[2 * (i * k->groups + g) + 1] = rstd;
            EACH_ELEMENT
            {
                const double ga = k->given & GN_GAMMA ? get(gamma, ch) : 1;
                const double be = k->given & GN_BETA ? get(beta, ch) : 0;
                const double s = k->given & GN_SS ? 1 + get(ss, 2 * i * c + ch) : 1;
                const double t = k->given & GN_SS ? get(ss, (2 * i + 1) * c + ch) : 0;
                xh[e] = (U - m) * rstd;
                const double h1 = ga * xh[e] + be, h = h1 * s + t;
                const double dh = get(dy, e) * (k->silu ? silu_slope(h) : 1);
                w.y[e] = k->silu ? silu_of(h) : h;
                w.dss[2 * i * c + ch] += dh * h1;
                w.dss[(2 * i + 1) * c + ch] += dh;
                w.dgamma[ch] += dh * s * xh[e];
                w.dbeta[ch] += dh * s;
                dxh[e] = dh * s * ga;
                m0 += dxh[e] / count;
                m1 += dxh[e] * xh[e] / count;
            }
            EACH_ELEMENT
            {
                w.dx[e] = rstd * (dxh[e] - m0 - xh[e] * m1);
                w.dadd[i * c + ch] += w.dx[e];
                w.dx_scale = fmax(w.dx_scale, rstd * fabs(dxh[e]));
            }
#undef U
#undef EACH_ELEMENT
        }
    free(dxh);
    free(xh);
    return w;
}

static void check_gn_case(const gn_case *k, double tol)
{
    const int64_t n = k->n, hw = k->hw, c = k->c, size = n * hw * c;
    const float eps = 1e-5f;
    const array x = random_array(width(), size, k->mean, k->std);
    const array dy = random_array(width(), size, 0, 1);
    const array gamma = random_array(4, c, 1, 0.3), beta = random_array(4, c, 0, 0.5);
    const array add = random_array(4, n * c, 0, 0.7), ss = random_array(4, 2 * n * c, 0, 0.4);
    const gn_want w = gn_reference(k, x, gamma, beta, add, ss, dy, (double)eps);

#define GIVEN(bit, a) (k->given & (bit) ? (const float *)(a).data : NULL)
    const few_gn_args args = { n,
                               hw,
                               c,
                               k->groups,
                               k->silu,
                               bf,
                               eps,
                               x.data,
                               GIVEN(GN_GAMMA, gamma),
                               GIVEN(GN_BETA, beta),
                               GIVEN(GN_ADD, add),
                               GIVEN(GN_SS, ss) };
    const array y = array_new(width(), size), stats = array_new(4, 2 * n * k->groups);
    const array scratch = array_new(4, 4 * c), scratch_grad = array_new(4, 16 * c);
    const array dx = array_new(width(), size), dgamma = array_new(4, c), dbeta = array_new(4, c);
    const array dadd = array_new(4, n * c), dss = array_new(4, 2 * n * c);

    simd->group_norm(&args, y.data, (float *)stats.data, (float *)scratch.data);
    const double fast = bf ? 2e-4 : 0; /* SiLU for bf16 is computed to about 1e-4 */
    near("group_norm y", y, w.y, tol + fast, tol);
    near("group_norm stats", stats, w.stats, tol, tol);
    simd->group_norm(&args, y.data, NULL, (float *)scratch.data);
    near("group_norm y without stats", y, w.y, tol + fast, tol);

    simd->group_norm_grad(&args, (const float *)stats.data, dy.data, dx.data, (float *)dgamma.data,
                          (float *)dbeta.data, (float *)dadd.data, (float *)dss.data,
                          (float *)scratch_grad.data);
    near_of(w.dx_scale, "dx", dx, w.dx, tol, tol + fast);
    const double sum_scale = sqrt((double)(n * hw)); /* of a sum of random signs */
    near_of(sum_scale, "dgamma", dgamma, w.dgamma, tol, 10 * tol + fast);
    near_of(sum_scale, "dbeta", dbeta, w.dbeta, tol, 10 * tol + fast);
    near_of(sum_scale, "dss", dss, w.dss, tol, 10 * tol + fast);
    near_of(w.dx_scale * sqrt((double)hw), "dadd", dadd, w.dadd, tol, 10 * tol + fast);

    /* Each output alone gives the same numbers. */
    const array dx2 = array_new(width(), size), dgamma2 = array_new(4, c);
    simd->group_norm_grad(&args, (const float *)stats.data, dy.data, dx2.data, NULL, NULL, NULL,
                          NULL, (float *)scratch_grad.data);
    assert_memory_equal(dx.data, dx2.data, (size_t)size * (size_t)width());
    simd->group_norm_grad(&args, (const float *)stats.data, dy.data, NULL, (float *)dgamma2.data,
                          NULL, NULL, NULL, (float *)scratch_grad.data);
    assert_memory_equal(dgamma.data, dgamma2.data, (size_t)c * 4);

    const array all[] = { x,  dy,     gamma, beta, add, ss,  y,      stats, scratch, scratch_grad,
                          dx, dgamma, dbeta, dadd, dss, dx2, dgamma2 };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        array_free(all[i]);
    double *const sums[] = { w.y, w.stats, w.dx, w.dgamma, w.dbeta, w.dadd, w.dss };
    for (size_t i = 0; i < sizeof sums / sizeof *sums; i++)
        free(sums[i]);
}

static void check_group_norm(void)
{
    static const gn_case cases[] = {
        /* n, hw, c, groups, silu, given, mean, std */
        { 1, 64, 1, 1, true, 15, 0, 1 },     { 1, 9, 1, 1, false, 0, 0, 1 },
        { 3, 49, 3, 1, true, 3, 0.5, 1 },    { 1, 64, 3, 3, true, 15, 0, 1 },
        { 2, 16, 16, 4, true, 15, 0, 1 },    { 17, 4, 17, 17, true, 15, 0, 1 },
        { 1, 25, 17, 1, false, 12, 0, 2 },   { 2, 100, 32, 32, true, 15, 0, 1 },
        { 3, 64, 32, 16, true, 7, 1, 2 },    { 1, 256, 32, 1, false, 15, 0, 1 },
        { 1, 1, 32, 16, true, 15, 0, 1 },    { 2, 2, 33, 11, true, 3, 0, 1 },
        { 1, 35, 33, 1, true, 8, 0, 1 },     { 3, 64, 96, 32, true, 15, 0, 1 },
        { 1, 1000, 96, 48, true, 1, 0, 1 },  { 2, 130, 64, 32, false, 2, 0, 1 },
        { 1, 128, 48, 24, true, 15, -1, 3 }, { 2, 33, 24, 8, true, 15, 0, 1 },
        { 1, 16, 256, 32, true, 15, 0, 1 },
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++)
        check_gn_case(&cases[k], 1e-5);
}

static void test_group_norm(void **state)
{
    (void)state;
    each(check_group_norm, true);
}

static void check_large_mean(void)
{
    static const gn_case cases[] = {
        { 2, 1024, 32, 32, true, 15, 100, 1 },
        { 1, 1024, 96, 32, false, 3, -100, 1 },
        { 1, 256, 3, 1, true, 3, 100, 1 },
        { 1, 64, 64, 1, true, 3, 1000, 1 },
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++)
        check_gn_case(&cases[k], cases[k].mean > 500 ? 5e-4 : 5e-5);

    /* Nothing near the pixels that the shift is made of: 0 there, 100 +- 1 elsewhere. */
    const int64_t hw = 1024, c = 32;
    const array x = random_array(4, hw * c, 100, 1), y = array_new(4, hw * c);
    const array stats = array_new(4, 2 * c), scratch = array_new(4, 4 * c);
    for (int64_t r = 0; r < hw; r += hw / 4)
        for (int64_t ch = 0; ch < c; ch++)
            set(x, r * c + ch, 0);
    const few_gn_args args = {
        1, hw, c, (int)c, false, false, 1e-5f, x.data, NULL, NULL, NULL, NULL
    };
    simd->group_norm(&args, y.data, (float *)stats.data, (float *)scratch.data);
    for (int64_t ch = 0; ch < c; ch++) {
        double m = 0, var = 0;
        for (int64_t r = 0; r < hw; r++)
            m += get(x, r * c + ch) / (double)hw;
        for (int64_t r = 0; r < hw; r++)
            var += pow(get(x, r * c + ch) - m, 2) / (double)hw;
        const double rstd = get(stats, 2 * ch + 1) * sqrt(var + 1e-5);
        if (fabs(rstd - 1) > 1e-4)
            fail_msg("%s: 1/deviation off by %g", simd->name, rstd - 1);
    }
    array_free(x);
    array_free(y);
    array_free(stats);
    array_free(scratch);
}

static void test_large_mean(void **state)
{
    (void)state;
    each(check_large_mean, false);
}

/* A NaN spoils its group of its image, and nothing else. */
static void check_gn_nan(void)
{
    const int64_t n = 2, hw = 36, c = 32;
    const int groups = 8;
    const array x = random_array(width(), n * hw * c, 0, 1);
    const array y = array_new(width(), n * hw * c), scratch = array_new(4, 4 * c);
    set(x, (hw + 7) * c + 9, NAN);
    const few_gn_args args = { n, hw, c, groups, true, bf, 1e-5f, x.data, NULL, NULL, NULL, NULL };
    simd->group_norm(&args, y.data, NULL, (float *)scratch.data);
    for (int64_t i = 0; i < n * hw * c; i++)
        assert_true(isnan(get(y, i)) == (i / (hw * c) == 1 && i % c / 4 == 2));
    array_free(x);
    array_free(y);
    array_free(scratch);
}

static void test_gn_nan(void **state)
{
    (void)state;
    each(check_gn_nan, true);
}

/* NaNs with all bits set, as uninitialised memory or another device may give, survive the rounding
 * to bf16, whose carry would make them zeros. */
static void check_nan_bits(void)
{
    static const uint32_t bits[] = { 0x7fffffff, 0xffffffff, 0x7fc00000, 0xffffc000 };
    const int64_t n = 96;
    for (size_t k = 0; k < sizeof bits / sizeof *bits; k++) {
        float nan;
        memcpy(&nan, &bits[k], 4);
        const array x = random_array(2, n, 0, 1), f = random_array(4, n, 0, 1);
        const array y = array_new(2, n), scratch = array_new(4, 4 * n);
        const float *const c[] = { &nan };
        const void *const xs[] = { x.data }, *const fs[] = { f.data };
        for (int64_t i = 0; i < n; i += 5)
            memcpy(f.data + 4 * i, &nan, 4);
        simd->lincomb(y.data, true, 1, xs, 1, c, 1, n);
        for (int64_t i = 0; i < n; i++)
            assert_true(isnan(get(y, i)));
        simd->affine(true, y.data, x.data, 1, nan, n);
        for (int64_t i = 0; i < n; i++)
            assert_true(isnan(get(y, i)));
        const float one = 1;
        const float *const ones[] = { &one };
        simd->lincomb(y.data, true, 1, fs, 0, ones, 1, n);
        for (int64_t i = 0; i < n; i++)
            assert_true(isnan(get(y, i)) == (i % 5 == 0));
        simd->broadcast_hw(true, y.data, (const float *)f.data, 1, 1, 1, n);
        for (int64_t i = 0; i < n; i++)
            assert_true(isnan(get(y, i)) == (i % 5 == 0));
        for (int silu = 0; silu < 2; silu++) {
            const few_gn_args args = {
                1, 3, n / 3, 1, silu, true, 1e-5f, x.data, (const float *)f.data, NULL, NULL, NULL
            };
            simd->group_norm(&args, y.data, NULL, (float *)scratch.data);
            for (int64_t i = 0; i < n; i++)
                assert_true(isnan(get(y, i)) == (i % (n / 3) % 5 == 0));
        }
        array_free(x);
        array_free(f);
        array_free(y);
        array_free(scratch);
    }
}

static void test_nan_bits(void **state)
{
    (void)state;
    each(check_nan_bits, false);
}

/* ---- softmax --------------------------------------------------------------------------------*/

static void check_softmax(void)
{
    static const int64_t cols_of[] = { 1, 3, 16, 17, 31, 33, 64, 65, 100, 256 };
    for (size_t k = 0; k < sizeof cols_of / sizeof *cols_of; k++)
        for (int shift = -1; shift <= 1; shift++) {
            const int64_t rows = 5, cols = cols_of[k], n = rows * cols;
            const float scale = 0.35f;
            const array s = random_array(4, n, 1000 * shift, 6), dp = random_array(4, n, 0, 1);
            const array work = array_new(4, n), half = array_new(2, n), lse = array_new(4, rows);
            const array delta = array_new(4, rows), ds = array_new(width(), n);
            const array p_out = array_new(width(), n);
            double *p = reals(n), *l = reals(rows), *d = reals(rows), *want = reals(n);
            for (int64_t r = 0; r < rows; r++) {
                double top = -INFINITY, z = 0;
                for (int64_t i = r * cols; i < (r + 1) * cols; i++)
                    top = fmax(top, (double)scale * get(s, i));
                for (int64_t i = r * cols; i < (r + 1) * cols; i++)
                    z += p[i] = exp((double)scale * get(s, i) - top);
                l[r] = top + log(z);
                for (int64_t i = r * cols; i < (r + 1) * cols; i++) {
                    p[i] /= z;
                    d[r] += p[i] * get(dp, i);
                }
                set(delta, r, d[r]);
                for (int64_t i = r * cols; i < (r + 1) * cols; i++)
                    want[i] = (double)scale * p[i] * (get(dp, i) - get(delta, r));
            }
            const double fast = bf ? 2e-4 : 0;      /* exp for bf16 is computed to about 1e-4 */
            const double tol = shift ? 1e-4 : 2e-6; /* scores of 350 have an ulp of 3e-5 */
            memcpy(work.data, s.data, (size_t)n * 4);
            simd->softmax_rows((float *)work.data, NULL, (float *)lse.data, scale, rows, cols);
            near("softmax", work, p, tol, 1e-9);
            near("lse", lse, l, 1e-6, 1e-6);
            memcpy(work.data, s.data, (size_t)n * 4);
            simd->softmax_rows((float *)work.data, half.data, NULL, scale, rows, cols);
            near("softmax to bf16", half, p, tol, 1e-9);
            for (int64_t r = 0; r < rows; r++)
                set(lse, r, l[r]);
            simd->softmax_grad_rows(bf, (const float *)s.data, (const float *)dp.data,
                                    (const float *)lse.data, (const float *)delta.data, scale,
                                    p_out.data, ds.data, rows, cols);
            near("softmax_grad p", p_out, p, tol + fast, 1e-9);
            near("softmax_grad ds", ds, want, tol + fast, 1e-6);
            memset(ds.data, 0, (size_t)n * (size_t)width());
            simd->softmax_grad_rows(bf, (const float *)s.data, (const float *)dp.data,
                                    (const float *)lse.data, (const float *)delta.data, scale, NULL,
                                    ds.data, rows, cols);
            near("softmax_grad ds without p", ds, want, tol + fast, 1e-6);

            set(s, cols / 2, NAN);
            simd->softmax_rows((float *)s.data, NULL, (float *)lse.data, scale, rows, cols);
            for (int64_t i = 0; i < n; i++)
                assert_true(isnan(get(s, i)) == (i < cols));
            assert_true(isnan(get(lse, 0)) && isfinite(get(lse, 1)));
            const array all[] = { s, dp, work, half, lse, delta, ds, p_out };
            for (size_t i = 0; i < sizeof all / sizeof *all; i++)
                array_free(all[i]);
            free(p);
            free(l);
            free(d);
            free(want);
        }
}

static void check_row_dot(void)
{
    static const int64_t cols_of[] = { 1, 8, 17, 32, 33, 96 };
    for (size_t k = 0; k < sizeof cols_of / sizeof *cols_of; k++) {
        const int64_t rows = 5, cols = cols_of[k], sa = cols + 3, sb = 2 * cols;
        const array a = random_array(width(), (rows - 1) * sa + cols, 0, 1);
        const array b = random_array(width(), (rows - 1) * sb + cols, 0, 1);
        const array delta = array_new(4, rows);
        double *want = reals(rows);
        for (int64_t r = 0; r < rows; r++)
            for (int64_t i = 0; i < cols; i++)
                want[r] += get(a, r * sa + i) * get(b, r * sb + i);
        simd->row_dot(bf, (float *)delta.data, a.data, b.data, rows, cols, sa, sb);
        near("row_dot", delta, want, 1e-6, 3e-6);
        free(want);
        array_free(a);
        array_free(b);
        array_free(delta);
    }
}

static void test_softmax(void **state)
{
    (void)state;
    each(check_softmax, true);
    each(check_row_dot, true);
}

/* ---- images ---------------------------------------------------------------------------------*/

static void check_channels(void)
{
    static const int64_t cs[][2] = { { 1, 1 },   { 3, 1 },   { 17, 3 }, { 32, 32 },
                                     { 32, 96 }, { 33, 65 }, { 64, 32 } };
    for (size_t k = 0; k < sizeof cs / sizeof *cs; k++)
        for (int elem = 1; elem <= 4; elem *= 2) {
            const int64_t rows = 7, ca = cs[k][0], cb = cs[k][1], c = ca + cb;
            const array a = array_new(elem, rows * ca), b = array_new(elem, rows * cb);
            const array y = array_new(elem, rows * c), back = array_new(elem, rows * cb);
            for (int64_t i = 0; i < a.n * elem; i++)
                a.data[i] = (unsigned char)(i * 7 + 1);
            for (int64_t i = 0; i < b.n * elem; i++)
                b.data[i] = (unsigned char)(i * 13 + 5);
            simd->concat(elem, y.data, a.data, b.data, rows, ca, cb);
            for (int64_t r = 0; r < rows; r++) {
                assert_memory_equal(y.data + r * c * elem, a.data + r * ca * elem,
                                    (size_t)(ca * elem));
                assert_memory_equal(y.data + (r * c + ca) * elem, b.data + r * cb * elem,
                                    (size_t)(cb * elem));
            }
            simd->slice(elem, back.data, y.data, rows, c, ca, cb);
            assert_memory_equal(back.data, b.data, (size_t)(rows * cb * elem));
            array_free(a);
            array_free(b);
            array_free(y);
            array_free(back);
        }
}

static void check_resampling(void)
{
    static const int64_t cs[] = { 1, 3, 16, 17, 32, 33, 96 };
    for (size_t k = 0; k < sizeof cs / sizeof *cs; k++) {
        const int64_t n = 2, h = 3, w = 5, c = cs[k], small = n * h * w * c;
        const array x = random_array(width(), small, 0, 1), y = array_new(width(), 4 * small);
        const array z = array_new(width(), small);
        double *up = reals(4 * small), *down = reals(small);
        for (int64_t e = 0; e < 4 * small; e++) {
            const int64_t ch = e % c, q = e / c % (2 * w), p = e / c / (2 * w);
            up[e] = 0.75 * get(x, (p / 2 * w + q / 2) * c + ch);
        }
        simd->upsample2(bf, y.data, x.data, 0.75f, n, h, w, c);
        near("upsample2", y, up, 1e-7, 0);
        for (int64_t e = 0; e < 4 * small; e++)
            set(y, e, gauss());
        for (int64_t e = 0; e < 4 * small; e++) {
            const int64_t ch = e % c, q = e / c % (2 * w), p = e / c / (2 * w);
            down[(p / 2 * w + q / 2) * c + ch] += 0.25 * get(y, e);
        }
        simd->pool2(bf, z.data, y.data, 0.25f, n, h, w, c);
        near("pool2", z, down, 1e-7, 3e-7);
        free(up);
        free(down);
        array_free(x);
        array_free(y);
        array_free(z);
    }
}

static void check_sums(void)
{
    static const int64_t shapes[][3] = { { 1, 1, 1 },     { 3, 17, 3 },  { 2, 64, 32 },
                                         { 1, 1000, 33 }, { 17, 4, 96 }, { 1, 20000, 1 } };
    for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++) {
        const int64_t n = shapes[k][0], hw = shapes[k][1], c = shapes[k][2];
        const array x = random_array(width(), n * hw * c, 1, 1), y = array_new(4, n * c);
        const array b = array_new(width(), n * hw * c), db = array_new(4, c);
        double *mean = reals(n * c), *total = reals(c), *wide = reals(n * hw * c);
        for (int64_t e = 0; e < n * hw * c; e++) {
            mean[e / (hw * c) * c + e % c] += get(x, e) * 0.5;
            total[e % c] += get(x, e);
        }
        simd->mean_hw(bf, (float *)y.data, x.data, 0.5f, n, hw, c);
        near_of(1, "mean_hw", y, mean, 2e-6, 1e-6);
        simd->column_sum(bf, (float *)db.data, x.data, n * hw, c);
        near_of(sqrt((double)(n * hw)), "column_sum", db, total, 2e-6, 1e-6);
        for (int64_t e = 0; e < n * hw * c; e++)
            wide[e] = get(y, e / (hw * c) * c + e % c) * 0.125;
        simd->broadcast_hw(bf, b.data, (const float *)y.data, 0.125f, n, hw, c);
        near("broadcast_hw", b, wide, 1e-7, 0);
        free(mean);
        free(total);
        free(wide);
        array_free(x);
        array_free(y);
        array_free(b);
        array_free(db);
    }
}

static void test_images(void **state)
{
    (void)state;
    each(check_channels, false);
    each(check_resampling, true);
    each(check_sums, true);
}

/* ---- random ---------------------------------------------------------------------------------*/

static const int32_t rng[][4] = {
    { 1, 0, 0, 0 }, { -5, 77, 1000000, 3 }, { 0x7fffffff, -1, -1, -1 }, { 0, 0, 12, 0x40000000 }
};

static void block(const int32_t *r, uint32_t purpose, int64_t e, bool is_normal, double out[4])
{
    const uint32_t key[2] = { (uint32_t)r[0], (uint32_t)r[1] };
    const uint32_t counter[4] = { (uint32_t)(e / 4), purpose, (uint32_t)r[2], (uint32_t)r[3] };
    if (is_normal)
        few_philox_normal(counter, key, out);
    else
        few_philox_uniform(counter, key, out);
}

static void check_noise(void)
{
    static const int64_t ds[] = { 1, 3, 4, 17, 33, 63, 64, 65, 127, 3072, 200003 };
    for (size_t k = 0; k < sizeof ds / sizeof *ds; k++) {
        const int64_t n = ds[k] > 10000 ? 1 : 4, d = ds[k];
        const array y = array_new(4, n * d);
        simd->noise((float *)y.data, &rng[0][0], FEW_RNG_STEP, n, d);
        for (int64_t i = 0; i < n * d; i++) {
            double v[4];
            block(rng[i / d], FEW_RNG_STEP, i % d, true, v);
            const double want = v[i % d % 4], off = fabs(get(y, i) - want);
            if (!(off <= 2e-6 * fabs(want) + 1e-6))
                fail_msg("%s: noise[%lld] is %.9g, not %.9g", simd->name, (long long)i, get(y, i),
                         want);
        }
        array_free(y);
    }
}

/* Around p the comparison is exact: p is taken from the stream itself. */
static void check_dropout(void)
{
    static const int64_t ds[] = { 1, 5, 17, 63, 65, 1000 };
    for (size_t k = 0; k < sizeof ds / sizeof *ds; k++)
        for (int j = 0; j < 4; j++) {
            const int64_t n = 4, d = ds[k];
            const array x = random_array(width(), n * d, 0, 1), y = array_new(width(), n * d);
            double *want = reals(n * d), v[4];
            block(rng[0], FEW_RNG_DROPOUT + 2, d / 2, false, v);
            const float at = (float)v[d / 2 % 4];
            const float p = j == 0 ? 0 : j == 1 ? 0.1f : j == 2 ? at : nextafterf(at, 1);
            for (int64_t i = 0; i < n * d; i++) {
                block(rng[i / d], FEW_RNG_DROPOUT + 2, i % d, false, v);
                want[i] = v[i % d % 4] < (double)p ? 0 : get(x, i) / (1 - (double)p);
            }
            simd->dropout(bf, y.data, x.data, &rng[0][0], FEW_RNG_DROPOUT + 2, p, n, d);
            near("dropout", y, want, 1e-6 + 1e-7 / (1 - (double)p), 0);
            free(want);
            array_free(x);
            array_free(y);
        }
}

static void test_random(void **state)
{
    (void)state;
    each(check_noise, false);
    each(check_dropout, true);
}

/* ---- update ---------------------------------------------------------------------------------*/

static void check_adam_case(int64_t n, int n_grad, int n_ema, float rectify, float decay)
{
    array grad[3], ema[2];
    const float *grads[3];
    float *emas[2];
    const float ema_decay[2] = { 0.999f, 0.5f };
    const array p = random_array(4, n, 0, 1), m = random_array(4, n, 0, 0.1);
    const array v = random_array(4, n, 0, 0.1);
    double *wp = reals(n), *wm = reals(n), *wv = reals(n), *we[2] = { reals(n), reals(n) };
    for (int k = 0; k < n_grad; k++) {
        grad[k] = random_array(4, n, 0, 0.3);
        grads[k] = (const float *)grad[k].data;
    }
    for (int k = 0; k < n_ema; k++) {
        ema[k] = random_array(4, n, 0, 1);
        emas[k] = (float *)ema[k].data;
    }
    const few_adam_args a = {
        .n = n,
        .p = (float *)p.data,
        .m = (float *)m.data,
        .v = (float *)v.data,
        .grad = grads,
        .n_grad = n_grad,
        .grad_scale = 0.7f,
        .lr = 1e-2f,
        .beta1 = 0.9f,
        .beta2 = 0.99f,
        .eps = 1e-6f,
        .weight_decay = decay,
        .correct1 = 1.5f,
        .correct2 = 7.0f,
        .rectify = rectify,
        .n_ema = n_ema,
        .ema = emas,
        .ema_decay = ema_decay,
    };
    double square = 0;
    for (int64_t i = 0; i < n; i++) {
        double g = 0;
        set(v, i, 0.01 + get(v, i) * get(v, i)); /* or the step is no better than a sum's */
        for (int k = 0; k < n_grad; k++)
            g += get(grad[k], i);
        square += g * g;
        g *= (double)a.grad_scale;
        wm[i] = (double)a.beta1 * get(m, i) + (1 - (double)a.beta1) * g;
        wv[i] = (double)a.beta2 * get(v, i) + (1 - (double)a.beta2) * g * g;
        const double first = wm[i] * (double)a.correct1;
        const double root = sqrt(wv[i] * (double)a.correct2) + (double)a.eps;
        const double step = rectify > 0 ? (double)rectify * first / root : first;
        wp[i] = get(p, i) * (1 - (double)a.lr * (double)decay) - (double)a.lr * step;
        for (int k = 0; k < n_ema; k++) {
            const double d = (double)ema_decay[k];
            we[k][i] = d * get(ema[k], i) + (1 - d) * wp[i];
        }
    }
    assert_true(fabs(simd->grad_square(grads, n_grad, n) - square) < 1e-6 * (square + 0.1));
    simd->adam(&a);
    near_of(1, "adam p", p, wp, 2e-7, 2e-7);
    near_of(0.1, "adam m", m, wm, 1e-6, 1e-6);
    near_of(0.1, "adam v", v, wv, 1e-6, 1e-6);
    for (int k = 0; k < n_ema; k++)
        near_of(1, "adam ema", ema[k], we[k], 2e-7, 2e-7);
    for (int k = 0; k < n_grad; k++)
        array_free(grad[k]);
    for (int k = 0; k < n_ema; k++)
        array_free(ema[k]);
    array_free(p);
    array_free(m);
    array_free(v);
    free(wp);
    free(wm);
    free(wv);
    free(we[0]);
    free(we[1]);
}

static void check_update(void)
{
    for (size_t k = 0; k < N_LENGTHS; k++)
        for (int n_grad = 1; n_grad <= 3; n_grad++)
            for (int n_ema = 0; n_ema <= 2; n_ema++) {
                check_adam_case(lengths[k], n_grad, n_ema, 1, 0);
                check_adam_case(lengths[k], n_grad, n_ema, 0.3f, 0.1f);
                check_adam_case(lengths[k], n_grad, n_ema, 0, 0.1f);
            }
}

static void test_update(void **state)
{
    (void)state;
    each(check_update, false);
}

/* ---- choice ---------------------------------------------------------------------------------*/

static void test_choice(void **state)
{
    (void)state;
    const char *why = NULL;
    assert_null(few_simd_named("sse9"));
    assert_non_null(few_simd_named("portable"));
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        setenv("FEW_ISA", names[k], 1);
        const few_simd *has = few_simd_named(names[k]), *got = few_simd_get(&why);
        assert_non_null(why);
        if (has)
            assert_ptr_equal(got, has);
    }
    unsetenv("FEW_ISA");
    const few_simd *best = few_simd_get(NULL);
    for (size_t k = 0; k < sizeof names / sizeof *names; k++)
        if (few_simd_named(names[k]) && !strcmp(best->name, "portable"))
            assert_string_equal(names[k], "portable");
    setenv("FEW_ISA", "sse9", 1);
    assert_ptr_equal(few_simd_get(&why), best);
    assert_non_null(strstr(why, "FEW_ISA"));
    unsetenv("FEW_ISA");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bf16),       cmocka_unit_test(test_dequantize),
        cmocka_unit_test(test_pointwise),  cmocka_unit_test(test_silu_range),
        cmocka_unit_test(test_lincomb),    cmocka_unit_test(test_losses),
        cmocka_unit_test(test_group_norm), cmocka_unit_test(test_large_mean),
        cmocka_unit_test(test_gn_nan),     cmocka_unit_test(test_nan_bits),
        cmocka_unit_test(test_softmax),    cmocka_unit_test(test_images),
        cmocka_unit_test(test_random),     cmocka_unit_test(test_update),
        cmocka_unit_test(test_choice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Conversions, element-wise kernels and losses of every table this CPU can run, against plain loops
 * in double; and which table is chosen. */
#include "cpu/simd_rig.h"

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

/* ---- choice ---------------------------------------------------------------------------------*/

/* Weights transformed beforehand and while they are multiplied, some at a time: the same bits, for
 * any tiles and channels. */
static void check_wino(void)
{
    enum { C = 64, O = 96, MOST = 64, U = 36 * (O * C + FEW_WINO_APART) };
    const array w = random_array(4, O * C * 9, 0, 1), u = array_new(4, U),
                g = array_new(4, 9 * O * C), some = array_new(4, 36 * (MOST * 32 + FEW_WINO_APART));
    for (int turned = 0; turned < 2; turned++)
        for (int64_t tiles = 1; tiles <= 15; tiles++) {
            const int64_t in = turned ? O : C, out = turned ? C : O;
            const array v = random_array(4, 36 * tiles * in, 0, 1);
            const array a = array_new(4, 36 * tiles * out);
            simd->wino_weights((float *)u.data, (const float *)w.data, O, C, turned, bf);
            simd->wino_gather((float *)g.data, (const float *)w.data, O, C, turned, bf);
            simd->wino_multiply((float *)a.data, tiles * out, (const float *)v.data, tiles * in,
                                (const float *)u.data, tiles, in, out, 32, out);
            for (int64_t at_a_time = 32; at_a_time <= MOST; at_a_time += 32) {
                const array b = array_new(4, 36 * tiles * out);
                simd->wino_multiply_nine((float *)b.data, tiles * out, (const float *)v.data,
                                         tiles * in, (const float *)g.data, (float *)some.data,
                                         at_a_time, tiles, in, 32, out);
                assert_memory_equal(a.data, b.data, 4 * a.n);
                array_free(b);
            }
            array_free(v);
            array_free(a);
        }
    array_free(w);
    array_free(u);
    array_free(g);
    array_free(some);
}

static void test_wino(void **state)
{
    (void)state;
    each(check_wino, true);
}

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
        cmocka_unit_test(test_bf16),      cmocka_unit_test(test_dequantize),
        cmocka_unit_test(test_pointwise), cmocka_unit_test(test_silu_range),
        cmocka_unit_test(test_lincomb),   cmocka_unit_test(test_losses),
        cmocka_unit_test(test_nan_bits),  cmocka_unit_test(test_wino),
        cmocka_unit_test(test_choice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Ranges, ticks and their texts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/strbuf.h"
#include "eval/axis.h"
#include "eval/numbers.h"

#include <stdlib.h>
#include <string.h>

/* The tick texts of an axis, joined by spaces. */
static const char *texts(few_axis_kind kind, double lo, double hi, int ticks)
{
    static char joined[512];
    few_axis a;
    few_axis_fit(&a, kind, lo, hi, ticks);
    joined[0] = 0;
    for (int k = 0; k < a.n_ticks; k++) {
        strcat(joined, k ? " " : "");
        strcat(joined, a.text[k]);
    }
    return joined;
}

static void test_linear(void **state)
{
    (void)state;
    assert_string_equal(texts(FEW_AXIS_LINEAR, 0, 1, 4), "0 0.25 0.50 0.75 1.00");
    assert_string_equal(texts(FEW_AXIS_LINEAR, 0, 1, 5), "0 0.2 0.4 0.6 0.8 1.0");
    assert_string_equal(texts(FEW_AXIS_LINEAR, 3, 97, 5), "0 20 40 60 80 100");
    assert_string_equal(texts(FEW_AXIS_LINEAR, -1.7, 2.1, 4), "-2 -1 0 1 2 3");
    assert_string_equal(texts(FEW_AXIS_LINEAR, 0, 60000, 6), "0 10k 20k 30k 40k 50k 60k");
    assert_string_equal(texts(FEW_AXIS_LINEAR, 0, 2.2e-6, 5), "0 5e-7 1e-6 1.5e-6 2e-6 2.5e-6");
    assert_string_equal(texts(FEW_AXIS_LINEAR, 5, 5, 4), "2 4 6 8");
    assert_string_equal(texts(FEW_AXIS_LINEAR, NAN, 5, 5), "0 0.2 0.4 0.6 0.8 1.0");
    assert_string_equal(texts(FEW_AXIS_LINEAR, INFINITY, -INFINITY, 2), "0 0.5 1.0");
    assert_string_equal(texts(FEW_AXIS_LINEAR, 0, INFINITY, 2), "0 0.5 1.0");
}

static void test_logarithmic(void **state)
{
    (void)state;
    assert_string_equal(texts(FEW_AXIS_LOG2, 1, 128, 8), "1 2 4 8 16 32 64 128");
    assert_string_equal(texts(FEW_AXIS_LOG2, 1, 1024, 6), "1 4 16 64 256 1024");
    assert_string_equal(texts(FEW_AXIS_LOG2, 1, 16384, 5), "1 8 64 512 4096");
    assert_string_equal(texts(FEW_AXIS_LOG2, 0.25, 4, 6), "0.25 0.5 1 2 4");
    assert_string_equal(texts(FEW_AXIS_LOG2, 4, 4, 6), "2 4 8");
    assert_string_equal(texts(FEW_AXIS_LOG2, 5, 7, 4), "5 6 7");
    assert_string_equal(texts(FEW_AXIS_LOG10, 1e-4, 1, 5), "0.0001 0.001 0.01 0.1 1");
    assert_string_equal(texts(FEW_AXIS_LOG10, 1, 1e9, 5), "1 100 10k 1M 100M");
    assert_string_equal(texts(FEW_AXIS_LOG10, 7, 180, 6), "10 20 50 100 200");
    assert_string_equal(texts(FEW_AXIS_LOG10, 0, 1, 4), "0 0.25 0.50 0.75 1.00"); /* no logarithm */
    assert_string_equal(texts(FEW_AXIS_LOG10, -1, NAN, 4), "1 2 5 10");
}

static void test_text(void **state)
{
    (void)state;
    static const struct {
        double value, step;
        const char *text;
    } rows[] = {
        { 0, 0, "0" },
        { -0.0, 1, "0" },
        { 1.0 / 3, 0, "0.3333" },
        { 0.0012, 0, "0.0012" },
        { 16384, 0, "16384" },
        { 20000, 0, "20k" },
        { 1.5e6, 0, "1.5M" },
        { 123456789, 0, "123.5M" },
        { 1e-5, 0, "1e-5" },
        { 2.5e20, 0, "2.5e20" },
        { -7.25, 0, "-7.25" },
        { 12345.678, 0, "12346" },
        { 3, 0.5, "3.0" },
        { 0.0005, 0.0005, "0.0005" },
        { 1.00001, 1e-6, "1.00001" },
        { NAN, 0, "-" },
        { INFINITY, 1, "-" },
        { 1e300, 0, "1e300" },
    };
    for (size_t k = 0; k < FEW_COUNT(rows); k++) {
        char text[24];
        few_axis_text(text, rows[k].value, rows[k].step);
        assert_string_equal(text, rows[k].text);
    }
}

/* 20k, 1.5M and 1e-5 as numbers. */
static double value_of(const char *text)
{
    char *end;
    double v = strtod(text, &end);
    const char *units = "kMGT";
    for (const char *u = units; *end && u <= strchr(units, *end); u++)
        v *= 1e3;
    return v;
}

/* Any range has a few ticks in it, ascending, different in text, each text its value. */
static void test_any_range(void **state)
{
    (void)state;
    for (int round = 0; round < 20000; round++) {
        const few_axis_kind kind = (few_axis_kind)(round % 3);
        const int ticks = 2 + round / 3 % 9;
        double lo, hi;
        if (kind == FEW_AXIS_LINEAR) {
            lo = normal() * exp(20 * normal());
            hi = lo + uniform() * exp(20 * normal());
        } else {
            lo = exp(8 * normal());
            hi = lo * exp(fabs(8 * normal()) * uniform());
        }
        few_axis a;
        few_axis_fit(&a, kind, lo, hi, ticks);
        assert_true(a.lo <= lo && a.hi >= hi && a.lo < a.hi);
        assert_true(a.n_ticks >= 2 && a.n_ticks <= (kind == FEW_AXIS_LINEAR ? ticks + 3 : 12));
        for (int k = 0; k < a.n_ticks; k++) {
            const double at = few_axis_place(&a, a.tick[k]);
            assert_true(at > -1e-6 && at < 1 + 1e-6);
            if (k > 0) {
                assert_true(a.tick[k] > a.tick[k - 1]);
                assert_string_not_equal(a.text[k], a.text[k - 1]);
            }
            if (hi - lo > 1e-6 * fabs(hi)) {
                const double error = fabs(value_of(a.text[k]) - a.tick[k]);
                const double digits = kind == FEW_AXIS_LINEAR ? 1e-6 : 5e-3; /* three digits */
                assert_true(error <= digits * fabs(a.tick[k]) + 1e-12 * fabs(hi));
            }
        }
    }
}

static void test_place(void **state)
{
    (void)state;
    few_axis a;
    few_axis_fit(&a, FEW_AXIS_LINEAR, 0, 10, 5);
    expect_near(few_axis_place(&a, 2.5), 0.25, 1e-12);
    few_axis_fit(&a, FEW_AXIS_LOG2, 1, 16, 5);
    const double one = few_axis_place(&a, 1), two = few_axis_place(&a, 2);
    expect_near(few_axis_place(&a, 16) - few_axis_place(&a, 8), two - one, 1e-12);
    expect_near(few_axis_place(&a, 4), 0.5, 1e-12);
    assert_true(isnan(few_axis_place(&a, 0)) && isnan(few_axis_place(&a, -1)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_linear), cmocka_unit_test(test_logarithmic),
        cmocka_unit_test(test_text),   cmocka_unit_test(test_any_range),
        cmocka_unit_test(test_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

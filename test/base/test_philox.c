/* Random numbers: known answers, moments, permutations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/philox.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* From the known-answer file of the authors' Random123. */
static void test_known_answers(void **state)
{
    (void)state;
    static const struct {
        uint32_t counter[4], key[2], out[4];
    } rows[] = {
        { { 0, 0, 0, 0 }, { 0, 0 }, { 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 } },
        { { ~0u, ~0u, ~0u, ~0u },
          { ~0u, ~0u },
          { 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd } },
        { { 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344 },
          { 0xa4093822, 0x299f31d0 },
          { 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1 } },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint32_t out[4];
        few_philox(rows[i].counter, rows[i].key, out);
        assert_memory_equal(out, rows[i].out, sizeof out);
    }
}

/* Uniforms and normals by their formulas, from the first known answer. */
static void test_formulas(void **state)
{
    (void)state;
    const uint32_t zero[4] = { 0 }, words[4] = { 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 };
    double u[4], z[4];
    few_philox_uniform(zero, zero, u);
    few_philox_normal(zero, zero, z);
    for (int i = 0; i < 4; i++)
        assert_true(u[i] == ((words[i] >> 8) + 0.5) / 16777216);
    for (int i = 0; i < 4; i += 2) {
        assert_true(fabs(z[i] * z[i] + z[i + 1] * z[i + 1] + 2 * log(u[i])) < 1e-12);
        const double angle = atan2(z[i + 1], z[i]) / (2 * acos(-1));
        assert_true(fabs(angle - (u[i + 1] < 0.5 ? u[i + 1] : u[i + 1] - 1)) < 1e-12);
    }
    for (uint32_t i = 0; i < 4; i++)
        assert_true(few_random_uniform(0, 0, 0, 0, i) == u[i]);
}

/* The words of the counter and the key lie where the header says. */
static void test_keying(void **state)
{
    (void)state;
    const uint64_t seed = 0x299f31d0a4093822;
    const uint32_t below = UINT32_C(1) << 31;
    /* block 0x243f6a88 begins at element 4 * that, which is past 32 bits: use a small block */
    const uint32_t counter[4] = { 5, 7, 11, 13 }, key[2] = { 0xa4093822, 0x299f31d0 };
    uint32_t out[4];
    few_philox(counter, key, out);
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(few_random_below(seed, 7, 11, 13, 20 + i, below), out[i] >> 1);
}

/* Moments of 2^20 numbers. Their standard errors are known: bounds are five of them. */
static void test_moments(void **state)
{
    (void)state;
    enum { N = 1 << 20 };
    const uint32_t key[2] = { 1, 2 };
    double u1 = 0, u2 = 0, z1 = 0, z2 = 0, z3 = 0, z4 = 0, lag = 0, last = 0;
    for (uint32_t block = 0; block < N / 4; block++) {
        const uint32_t counter[4] = { block, FEW_RNG_NOISE, 3, 4 };
        double u[4], z[4];
        few_philox_uniform(counter, key, u);
        few_philox_normal(counter, key, z);
        for (int i = 0; i < 4; i++) {
            assert_true(u[i] > 0 && u[i] < 1);
            u1 += u[i] - 0.5;
            u2 += (u[i] - 0.5) * (u[i] - 0.5);
            z1 += z[i];
            z2 += z[i] * z[i];
            z3 += z[i] * z[i] * z[i];
            z4 += z[i] * z[i] * z[i] * z[i];
            lag += z[i] * last;
            last = z[i];
        }
    }
    const double e = 5 / sqrt(N);
    assert_true(fabs(u1 / N) < e * sqrt(1.0 / 12));
    assert_true(fabs(u2 / N - 1.0 / 12) < e * sqrt(1.0 / 180));
    assert_true(fabs(z1 / N) < e);
    assert_true(fabs(z2 / N - 1) < e * sqrt(2));
    assert_true(fabs(z3 / N) < e * sqrt(15));
    assert_true(fabs(z4 / N - 3) < e * sqrt(96));
    assert_true(fabs(lag / N) < e);
}

static void test_below(void **state)
{
    (void)state;
    enum { N = 7, DRAWS = 70000 };
    int counts[N] = { 0 };
    for (uint32_t i = 0; i < DRAWS; i++) {
        const uint32_t k = few_random_below(9, FEW_RNG_LABEL, 0, 0, i, N);
        assert_true(k < N);
        counts[k]++;
    }
    double chi2 = 0;
    for (int k = 0; k < N; k++)
        chi2 += pow(counts[k] - DRAWS / N, 2) / (DRAWS / N);
    assert_true(chi2 < 22.5); /* 99.9 % point for 6 degrees of freedom */
    assert_int_equal(few_random_below(9, 1, 2, 3, 4, 1), 0);
}

static void test_permutation(void **state)
{
    (void)state;
    static const uint32_t sizes[] = { 1, 2, 3, 4, 5, 7, 16, 17, 64, 100, 1000, 1025, 60000 };
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        const uint32_t n = sizes[s];
        uint8_t *seen = calloc(n, 1);
        uint32_t fixed = 0, as_before = 0;
        assert_non_null(seen);
        for (uint32_t i = 0; i < n; i++) {
            const uint64_t p = few_random_permute(42, 3, n, i);
            assert_true(p < n);
            assert_int_equal(seen[p], 0);
            seen[p] = 1;
            fixed += p == i;
            as_before += p == few_random_permute(42, 4, n, i);
        }
        free(seen);
        if (n >= 1000) { /* both are about Poisson with mean 1 */
            assert_true(fixed < 12);
            assert_true(as_before < 12);
        }
    }
    assert_int_equal(few_random_permute(1, 1, 1, 0), 0);
    /* Near the top of the range it ends and stays inside. */
    const uint64_t n = UINT64_MAX;
    for (uint64_t i = 0; i < 8; i++) {
        assert_true(few_random_permute(1, 1, n, n - 1 - i) < n);
        assert_true(few_random_permute(1, 1, (UINT64_C(1) << 62) + 1, i) <= UINT64_C(1) << 62);
    }
}

/* No drift: the mean of |p(i) - i| of a uniform permutation is n / 3. */
static void test_permutation_spreads(void **state)
{
    (void)state;
    enum { N = 10000 };
    double sum = 0, product = 0;
    for (int i = 0; i < N; i++) {
        const double p = (double)few_random_permute(5, 0, N, (uint64_t)i);
        sum += fabs(p - i) / N;
        product += (p - (N - 1) / 2.0) * (i - (N - 1) / 2.0);
    }
    assert_true(fabs(sum / N - 1.0 / 3) < 0.02);
    assert_true(fabs(product / N / (N * (double)N / 12)) < 5 / sqrt(N));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_answers),
        cmocka_unit_test(test_formulas),
        cmocka_unit_test(test_keying),
        cmocka_unit_test(test_moments),
        cmocka_unit_test(test_below),
        cmocka_unit_test(test_permutation),
        cmocka_unit_test(test_permutation_spreads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Noise and dropout of every table, against Philox in double. */
#include "cpu/simd_rig.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

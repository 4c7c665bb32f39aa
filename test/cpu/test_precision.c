/* What auto means: the environment first, then what the CPU was measured to be good at. */
#include "cpu/pairs.h"
#include "graph/backend.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>

static void what_is_asked_for_is_given(void **state)
{
    (void)state;
    const char *why = NULL;
    setenv("FEW_PRECISION", "bf16", 1);
    assert_int_equal(few_cpu_resolve(FEW_PRECISION_F32, &why), FEW_PRECISION_F32);
    assert_non_null(why);
    assert_int_equal(few_cpu_resolve(FEW_PRECISION_AUTO, &why), FEW_PRECISION_BF16);
    assert_string_equal(why, "FEW_PRECISION=bf16");
    setenv("FEW_PRECISION", "f32", 1);
    assert_int_equal(few_cpu_resolve(FEW_PRECISION_BF16, NULL), FEW_PRECISION_BF16);
    assert_int_equal(few_cpu_resolve(FEW_PRECISION_AUTO, NULL), FEW_PRECISION_F32);
    unsetenv("FEW_PRECISION");
}

static void pairs_are_measured_where_they_exist(void **state)
{
    (void)state;
    const double gain = few_bf16_pairs_gain();
#if defined __x86_64__
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512bf16")) {
        assert_true(gain > 0);
        return;
    }
#endif
    assert_true(gain == 0);
}

static void auto_follows_the_measurement_and_stays(void **state)
{
    (void)state;
    unsetenv("FEW_PRECISION");
    const few_precision p = few_cpu_resolve(FEW_PRECISION_AUTO, NULL);
    if (few_cpu_has_amx())
        assert_int_equal(p, FEW_PRECISION_BF16);
    else if (few_bf16_pairs_gain() == 0)
        assert_int_equal(p, FEW_PRECISION_F32);
    for (int k = 0; k < 100; k++)
        assert_int_equal(few_cpu_resolve(FEW_PRECISION_AUTO, NULL), p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_asked_for_is_given),
        cmocka_unit_test(pairs_are_measured_where_they_exist),
        cmocka_unit_test(auto_follows_the_measurement_and_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

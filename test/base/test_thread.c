/* Workers, core counts, denormals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/thread.h"

#include <float.h>
#include <omp.h>
#include <stdatomic.h>
#include <stdlib.h>

static void test_count(void **state)
{
    (void)state;
    unsetenv("FEW_THREADS");
    const int all = few_thread_count();
    assert_true(all >= 1);
    setenv("FEW_THREADS", "1", 1);
    assert_int_equal(few_thread_count(), 1);
    static const char *const ignored[] = { "100000", "0", "-1", "two", "1x", "" };
    for (size_t i = 0; i < FEW_COUNT(ignored); i++) {
        setenv("FEW_THREADS", ignored[i], 1);
        assert_int_equal(few_thread_count(), all);
    }
    unsetenv("FEW_THREADS");
}

struct seen {
    _Atomic int calls[16];
    _Atomic int inner, denormals;
};

static void work(void *user, int worker)
{
    struct seen *s = user;
    atomic_fetch_add(&s->calls[worker], 1);
    volatile float tiny = FLT_MIN;
    tiny = tiny / 4;
    if (tiny != 0)
        atomic_fetch_add(&s->denormals, 1);
#pragma omp parallel
    atomic_fetch_add(&s->inner, 1);
}

/* Each worker runs once, without denormals, and what it calls gets no threads of its own. */
static void test_workers(void **state)
{
    (void)state;
    for (int n = 1; n <= 16; n++) {
        struct seen s = { 0 };
        few_run_workers(n, work, &s);
        for (int i = 0; i < 16; i++)
            assert_int_equal(s.calls[i], i < n);
        assert_int_equal(s.inner, n);
#if defined(__x86_64__) || defined(__aarch64__)
        assert_int_equal(s.denormals, 0);
#endif
    }
}

/* The caller's arithmetic and thread count are as they were. */
static void test_restores(void **state)
{
    (void)state;
    const int threads = omp_get_max_threads();
    struct seen s = { 0 };
    for (int n = 1; n <= 2; n++) {
        few_run_workers(n, work, &s);
        volatile float tiny = FLT_MIN;
        tiny = tiny / 4;
        assert_true(tiny > 0);
        assert_int_equal(omp_get_max_threads(), threads);
    }
}

static void test_flush(void **state)
{
    (void)state;
    few_flush_denormals(); /* for this thread from here on */
    volatile float tiny = FLT_MIN;
    tiny = tiny / 4;
#if defined(__x86_64__) || defined(__aarch64__)
    assert_true(tiny == 0);
#endif
}

static void test_clock(void **state)
{
    (void)state;
    const double a = few_now(), b = few_now();
    assert_true(a > 0 && b >= a && b - a < 60);
}

static void test_caches(void **state)
{
    (void)state;
    assert_in_range(few_cache_bytes(2), 16 << 10, few_cache_bytes(3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_count),    cmocka_unit_test(test_workers),
        cmocka_unit_test(test_restores), cmocka_unit_test(test_flush),
        cmocka_unit_test(test_clock),    cmocka_unit_test(test_caches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

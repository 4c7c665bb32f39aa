/* Mean and covariance in one pass, and their files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/safetensors.h"
#include "base/temp_folder.h"
#include "eval/numbers.h"

static few_moments all_at_once(const double *x, int n, int d)
{
    few_stats s;
    few_moments m;
    assert_int_equal(few_stats_init(&s, d, NULL), FEW_OK);
    assert_int_equal(few_stats_add_f64(&s, x, n, NULL), FEW_OK);
    assert_int_equal(few_stats_finish(&s, &m, NULL), FEW_OK);
    few_stats_free(&s);
    return m;
}

/* Largest error of mu and sigma, in units of the largest variance and its root. */
static double distance(const few_moments *a, const few_moments *b)
{
    const size_t d = (size_t)a->d;
    double most = 0, scale = 0;
    assert_int_equal(a->d, b->d);
    for (size_t i = 0; i < d; i++)
        scale = fmax(scale, b->sigma[i * d + i]);
    for (size_t i = 0; i < d; i++)
        most = fmax(most, fabs(a->mu[i] - b->mu[i]) / sqrt(scale));
    for (size_t i = 0; i < d * d; i++)
        most = fmax(most, fabs(a->sigma[i] - b->sigma[i]) / scale);
    return most;
}

static void test_by_hand(void **state)
{
    (void)state;
    const double x[] = { 1, 2, 3, 6, 5, 4 };
    few_moments m = all_at_once(x, 3, 2);
    const double mu[] = { 3, 4 }, sigma[] = { 4, 2, 2, 4 };
    assert_int_equal(m.n, 3);
    assert_memory_equal(m.mu, mu, sizeof mu);
    for (int i = 0; i < 4; i++)
        expect_near(m.sigma[i], sigma[i], 1e-15);
    few_moments_free(&m);
}

/* Against two passes in long double, over several blocks. */
static void test_two_passes(void **state)
{
    (void)state;
    enum { N = 1000, D = 7 };
    static double x[N * D];
    for (int i = 0; i < N * D; i++)
        x[i] = normal() * (1 + i % D) + 0.3 * (i >= D ? x[i - D] : 0);
    few_moments want, got = all_at_once(x, N, D);
    assert_int_equal(few_moments_init(&want, D, NULL), FEW_OK);
    for (int j = 0; j < D; j++) {
        long double sum = 0;
        for (int i = 0; i < N; i++)
            sum += x[i * D + j];
        want.mu[j] = (double)(sum / N);
    }
    for (int j = 0; j < D; j++)
        for (int k = 0; k < D; k++) {
            long double sum = 0;
            for (int i = 0; i < N; i++)
                sum += ((long double)x[i * D + j] - want.mu[j]) *
                       ((long double)x[i * D + k] - want.mu[k]);
            want.sigma[j * D + k] = (double)(sum / (N - 1));
        }
    assert_true(distance(&got, &want) < 1e-14);
    few_moments_free(&got);
    few_moments_free(&want);
}

/* Batches do not matter, not in the last bit. */
static void test_batches(void **state)
{
    (void)state;
    enum { N = 777, D = 5 };
    static float x[N * D];
    static double wide[N * D];
    for (int i = 0; i < N * D; i++)
        wide[i] = x[i] = (float)(normal() + 3);
    few_moments want = all_at_once(wide, N, D);
    for (int batch = 1; batch < N; batch = batch * 3 + 1) {
        few_stats s;
        few_moments m;
        assert_int_equal(few_stats_init(&s, D, NULL), FEW_OK);
        for (int i = 0; i < N; i += batch) {
            const int n = i + batch < N ? batch : N - i;
            assert_int_equal(few_stats_add_f32(&s, x + i * D, n, NULL), FEW_OK);
        }
        assert_int_equal(few_stats_finish(&s, &m, NULL), FEW_OK);
        assert_memory_equal(m.mu, want.mu, D * sizeof *m.mu);
        assert_memory_equal(m.sigma, want.sigma, D * D * sizeof *m.sigma);
        few_moments_free(&m);
        few_stats_free(&s);
    }
    few_moments_free(&want);
}

/* Numbers that stay exact when 2^30 is added to them. */
static double grained(void)
{
    return round(normal() * 1024) / 1024;
}

static void test_large_means(void **state)
{
    (void)state;
    enum { N = 900, D = 4 };
    static double near[N * D], far[N * D];
    for (int i = 0; i < N * D; i++) {
        near[i] = grained();
        far[i] = near[i] + 0x1p30 * (1 + i % D);
    }
    few_moments a = all_at_once(near, N, D), b = all_at_once(far, N, D);
    for (int j = 0; j < D; j++)
        b.mu[j] = a.mu[j]; /* rounded to 1e-7 in b */
    assert_true(distance(&b, &a) < 1e-14);
    few_moments_free(&a);
    few_moments_free(&b);
}

/* Parts of several sizes, one of them far away, one empty. */
static void test_merge(void **state)
{
    (void)state;
    enum { N = 1300, D = 3 };
    static double x[N * D];
    for (int i = 0; i < N * D; i++)
        x[i] = grained() + (i / D < 600 ? 0 : 0x1p20);
    few_moments want = all_at_once(x, N, D), got;
    const int cuts[] = { 0, 0, 1, 299, 600, 600, 1000, N };
    few_stats sum, part;
    assert_int_equal(few_stats_init(&sum, D, NULL), FEW_OK);
    for (size_t k = 1; k < FEW_COUNT(cuts); k++) {
        assert_int_equal(few_stats_init(&part, D, NULL), FEW_OK);
        assert_int_equal(few_stats_add_f64(&part, x + cuts[k - 1] * D, cuts[k] - cuts[k - 1], NULL),
                         FEW_OK);
        assert_int_equal(few_stats_merge(&sum, &part, NULL), FEW_OK);
        assert_int_equal(sum.n, cuts[k]);
        assert_int_equal(part.n, cuts[k] - cuts[k - 1]);
        few_stats_free(&part);
    }
    assert_int_equal(few_stats_finish(&sum, &got, NULL), FEW_OK);
    assert_true(distance(&got, &want) < 1e-13);
    few_moments_free(&got);

    /* More may come after a finish. */
    assert_int_equal(few_stats_add_f64(&sum, x, N, NULL), FEW_OK);
    assert_int_equal(few_stats_finish(&sum, &got, NULL), FEW_OK);
    assert_int_equal(got.n, 2 * N);
    for (int i = 0; i < D * D; i++)
        want.sigma[i] *= 2.0 * (N - 1) / (2 * N - 1);
    assert_true(distance(&got, &want) < 1e-13);
    few_moments_free(&got);
    few_moments_free(&want);
    few_stats_free(&sum);
}

static void test_refusals(void **state)
{
    (void)state;
    few_error err;
    few_stats s, other;
    few_moments m;
    assert_int_equal(few_stats_init(&s, 0, &err), FEW_EINVAL);
    assert_int_equal(few_stats_init(&s, FEW_STATS_MAX_DIM + 1, &err), FEW_EINVAL);
    assert_int_equal(few_stats_init(&s, 3, NULL), FEW_OK);
    assert_int_equal(few_stats_init(&other, 2, NULL), FEW_OK);
    assert_int_equal(few_stats_merge(&s, &other, &err), FEW_EINVAL);
    assert_string_equal(err.text, "cannot merge features of 3 numbers with features of 2");

    const double bad[] = { 1, 2, 3, 4, 5, NAN };
    assert_int_equal(few_stats_add_f64(&s, bad, 2, &err), FEW_EINVAL);
    assert_string_equal(err.text, "number 2 of feature 1 is not finite");
    assert_int_equal(s.n, 0);
    const float bad_f32[] = { -INFINITY, 2, 3 };
    assert_int_equal(few_stats_add_f32(&s, bad_f32, 1, &err), FEW_EINVAL);
    assert_string_equal(err.text, "number 0 of feature 0 is not finite");

    assert_int_equal(few_stats_finish(&s, &m, &err), FEW_EINVAL);
    assert_int_equal(few_stats_add_f64(&s, bad, 1, &err), FEW_OK);
    assert_int_equal(few_stats_finish(&s, &m, &err), FEW_EINVAL);
    assert_string_equal(err.text, "a covariance needs at least 2 features, there is 1");
    few_stats_free(&s);
    few_stats_free(&other);
}

static void test_no_memory(void **state)
{
    (void)state;
    const int64_t live = few_alloc_get_stats().bytes;
    for (int k = 1; k <= 4; k++) {
        few_stats s;
        few_error err;
        few_alloc_fail_at(k);
        assert_int_equal(few_stats_init(&s, 8, &err), FEW_ENOMEM);
        few_stats_free(&s);
        assert_int_equal(few_alloc_get_stats().bytes, live);
    }
    few_alloc_fail_at(0);
}

static void test_save_and_load(void **state)
{
    (void)state;
    double x[40];
    for (int i = 0; i < 40; i++)
        x[i] = normal();
    few_error err = { 0 };
    few_moments m = all_at_once(x, 10, 4), back;
    const char *path = temp_path("stats.safetensors");
    const few_stats_note notes[] = { { "features", "toy" }, { "resize", "none" } };
    assert_int_equal(few_moments_save(&m, path, notes, 2, &err), FEW_OK);

    assert_int_equal(few_moments_load(path, notes, 2, &back, &err), FEW_OK);
    assert_int_equal(back.n, 10);
    assert_memory_equal(back.mu, m.mu, 4 * sizeof *m.mu);
    assert_memory_equal(back.sigma, m.sigma, 16 * sizeof *m.sigma);
    few_moments_free(&back);

    const few_stats_note unknown[] = { { "data", "other" } }, other[] = { { "features", "vgg" } };
    assert_int_equal(few_moments_load(path, unknown, 1, &back, &err), FEW_OK);
    few_moments_free(&back);
    assert_int_equal(few_moments_load(path, other, 1, &back, &err), FEW_EINVAL);
    assert_non_null(strstr(err.text, path));
    assert_non_null(strstr(err.text, "made with features 'toy', but 'vgg' is compared with it"));

    const few_stats_note twice[] = { { "count", "9" } };
    assert_int_equal(few_moments_save(&m, path, twice, 1, &err), FEW_EINVAL);
    assert_int_equal(few_moments_load("/nowhere/at/all", NULL, 0, &back, &err), FEW_ENOTFOUND);
    few_moments_free(&m);
}

/* Write mu and sigma with the given shapes and count, and load them. */
static few_status load_made(few_safetensors_type type, int64_t d_mu, int64_t d_sigma,
                            const char *count, const void *data, few_moments *m, few_error *err)
{
    const char *path = temp_path("made.safetensors");
    const int64_t mu[] = { d_mu }, sigma[] = { d_mu, d_sigma };
    few_safetensors_writer *w;
    assert_int_equal(few_safetensors_writer_create(&w, NULL), FEW_OK);
    assert_int_equal(few_safetensors_writer_add(w, "mu", type, 1, mu, data, NULL), FEW_OK);
    if (d_sigma)
        assert_int_equal(few_safetensors_writer_add(w, "sigma", type, 2, sigma, data, NULL),
                         FEW_OK);
    if (count)
        few_safetensors_writer_metadata(w, "count", count, NULL);
    assert_int_equal(few_safetensors_writer_write(w, path, NULL), FEW_OK);
    few_safetensors_writer_free(w);
    return few_moments_load(path, NULL, 0, m, err);
}

static void test_foreign_files(void **state)
{
    (void)state;
    static const float f32[4] = { 1, 0.5f, 0.5f, 2 };
    static const double f64[6] = { 1, 2, 3, 4, 5, NAN };
    static const double big[FEW_STATS_MAX_DIM + 1];
    few_error err;
    few_moments m;
    assert_int_equal(load_made(FEW_SAFETENSORS_F32, 2, 2, NULL, f32, &m, &err), FEW_OK);
    assert_int_equal(m.n, 0);
    assert_true(m.sigma[3] == 2 && m.mu[1] == 0.5);
    few_moments_free(&m);
    const int64_t live = few_alloc_get_stats().bytes;
    assert_int_equal(load_made(FEW_SAFETENSORS_F64, 2, 0, NULL, f64, &m, &err), FEW_EFORMAT);
    assert_non_null(strstr(err.text, "there is no tensor 'sigma'"));
    assert_int_equal(load_made(FEW_SAFETENSORS_F64, 2, 3, NULL, f64, &m, &err), FEW_EFORMAT);
    assert_int_equal(load_made(FEW_SAFETENSORS_I64, 2, 2, NULL, f64, &m, &err), FEW_EFORMAT);
    assert_int_equal(load_made(FEW_SAFETENSORS_F64, 2, 2, "many", f64, &m, &err), FEW_EFORMAT);
    assert_int_equal(load_made(FEW_SAFETENSORS_F64, 2, 2, "-1", f64, &m, &err), FEW_EFORMAT);
    assert_int_equal(load_made(FEW_SAFETENSORS_F64, 1, 1, "5", f64 + 5, &m, &err), FEW_EFORMAT);
    assert_non_null(strstr(err.text, "'mu' is not finite at 0"));
    assert_int_equal(load_made(FEW_SAFETENSORS_F64, FEW_STATS_MAX_DIM + 1, 1, NULL, big, &m, &err),
                     FEW_EFORMAT);
    assert_int_equal(few_alloc_get_stats().bytes, live);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_hand),       cmocka_unit_test(test_two_passes),
        cmocka_unit_test(test_batches),       cmocka_unit_test(test_large_means),
        cmocka_unit_test(test_merge),         cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_no_memory),     cmocka_unit_test(test_save_and_load),
        cmocka_unit_test(test_foreign_files),
    };
    return cmocka_run_group_tests(tests, make_temp_folder, remove_temp_folder);
}

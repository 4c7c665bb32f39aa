/* Frechet distance against closed forms, and the list of metrics. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "eval/frechet.h"
#include "eval/metric.h"
#include "eval/numbers.h"

#include <string.h>

static few_frechet_terms distance(const few_moments *a, const few_moments *b)
{
    few_frechet_terms t;
    few_error err = { 0 };
    if (few_frechet(a, b, &t, &err) != FEW_OK)
        fail_msg("%s", err.text);
    return t;
}

/* Distance of literal moments, the same both ways round. */
static few_frechet_terms of(int d, const double *mu1, const double *s1, const double *mu2,
                            const double *s2)
{
    few_moments a = moments(d, mu1, s1), b = moments(d, mu2, s2);
    const few_frechet_terms t = distance(&a, &b), u = distance(&b, &a);
    expect_near(t.value, u.value, 1e-12 * (t.trace_generated + t.trace_reference + 1));
    few_moments_free(&a);
    few_moments_free(&b);
    return t;
}

/* Moments of n random features of d numbers: covariance of rank min(d, n - 1), with a wide
 * spectrum. */
static few_moments sampled(int n, int d, double scale)
{
    few_stats s;
    few_moments m;
    double *x = few_malloc((size_t)n * (size_t)d * sizeof *x);
    for (int i = 0; i < n * d; i++)
        x[i] = scale * (normal() * exp(-6.0 * (i % d) / d) + 0.5);
    assert_int_equal(few_stats_init(&s, d, NULL), FEW_OK);
    assert_int_equal(few_stats_add_f64(&s, x, n, NULL), FEW_OK);
    assert_int_equal(few_stats_finish(&s, &m, NULL), FEW_OK);
    few_stats_free(&s);
    few_free(x);
    return m;
}

static void test_one_dimension(void **state)
{
    (void)state;
    const double m1[] = { 1 }, s1[] = { 4 }, m2[] = { 3 }, s2[] = { 0.25 }, zero[] = { 0 };
    expect_near(of(1, m1, s1, m2, s2).value, 6.25, 1e-14);
    expect_near(of(1, m1, zero, m2, s2).value, 4.25, 1e-14); /* a point against a Gaussian */
    expect_near(of(1, m1, zero, m2, zero).value, 4, 1e-14);
}

static void test_two_dimensions(void **state)
{
    (void)state;
    const double m1[] = { 0, 0 }, s1[] = { 2, 0.5, 0.5, 1 }, m2[] = { 1, 2 },
                 s2[] = { 1, -0.2, -0.2, 3 };
    const few_frechet_terms t = of(2, m1, s1, m2, s2);
    expect_near(t.mean, 5, 1e-15);
    expect_near(t.trace_generated, 3, 1e-15);
    expect_near(t.trace_reference, 4, 1e-15);
    expect_near(t.trace_root, 3.0580913444, 1e-10);
    expect_near(t.value, 5.8838173112, 1e-10);
}

/* In two dimensions tr P^(1/2) = sqrt(tr P + 2 sqrt(det P)), with P = S1 S2. */
static void test_two_dimensions_at_random(void **state)
{
    (void)state;
    const double mu[] = { 0, 0 };
    for (int k = 0; k < 50; k++) {
        double s[2][4];
        for (int i = 0; i < 2; i++) {
            const double a = normal(), b = normal(), c = normal(), d = normal();
            s[i][0] = a * a + b * b;
            s[i][1] = s[i][2] = a * c + b * d;
            s[i][3] = c * c + d * d;
        }
        const double *p = s[0], *q = s[1];
        const double trace = p[0] * q[0] + 2 * p[1] * q[1] + p[3] * q[3];
        const double det = (p[0] * p[3] - p[1] * p[1]) * (q[0] * q[3] - q[1] * q[1]);
        const double root = sqrt(trace + 2 * sqrt(det));
        expect_near(of(2, mu, p, mu, q).trace_root, root, 1e-10 * root);
    }
}

/* S1 and S2 with the same eigenvectors, the columns of a reflection I - 2 u u^T: the distance is
 * that of the roots of the eigenvalues. */
static void test_commuting(void **state)
{
    (void)state;
    enum { D = 24 };
    double u[D], l[2][D], s[2][D * D], mu[D] = { 0 }, norm = 0, want = 0;
    for (int i = 0; i < D; i++) {
        u[i] = normal();
        norm += u[i] * u[i];
        l[0][i] = i % 5 ? uniform() * 3 : 0;
        l[1][i] = i % 3 ? uniform() * 2 : 0;
        want += pow(sqrt(l[0][i]) - sqrt(l[1][i]), 2);
    }
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < D; i++)
            for (int j = 0; j < D; j++) {
                double sum = 0;
                for (int e = 0; e < D; e++)
                    sum += l[k][e] * ((i == e) - 2 * u[i] * u[e] / norm) *
                           ((j == e) - 2 * u[j] * u[e] / norm);
                s[k][i * D + j] = sum;
            }
    expect_near(of(D, mu, s[0], mu, s[1]).value, want, 1e-12 * want);
}

static void test_disjoint_supports(void **state)
{
    (void)state;
    const double mu[] = { 0, 0 }, s1[] = { 1, 0, 0, 0 }, s2[] = { 0, 0, 0, 1 };
    expect_near(of(2, mu, s1, mu, s2).value, 2, 1e-14);
}

/* The same set, also with fewer features than dimensions, where a root of the eigenvalues of the
 * product would be off by 1e-7. */
static void test_identical(void **state)
{
    (void)state;
    const int sizes[][2] = { { 500, 40 }, { 30, 100 }, { 2, 64 } };
    for (size_t k = 0; k < FEW_COUNT(sizes); k++)
        for (double scale = 1e-3; scale < 20; scale *= 10) {
            few_moments m = sampled(sizes[k][0], sizes[k][1], scale);
            assert_true(fabs(distance(&m, &m).value) < 1e-12 * scale * scale);
            few_moments_free(&m);
        }
}

static void test_symmetry_and_scale(void **state)
{
    (void)state;
    few_moments a = sampled(200, 30, 1), b = sampled(20, 30, 1.3);
    const double ab = distance(&a, &b).value;
    assert_true(ab > 0.1);
    expect_near(distance(&b, &a).value, ab, 1e-12 * ab);
    for (int k = 0; k < 2; k++) { /* features times 7: distance times 49 */
        few_moments *m = k ? &b : &a;
        for (int i = 0; i < 30; i++)
            m->mu[i] *= 7;
        for (int i = 0; i < 900; i++)
            m->sigma[i] *= 49;
    }
    expect_near(distance(&a, &b).value, 49 * ab, 1e-11 * ab);
    few_moments_free(&a);
    few_moments_free(&b);
}

static void expect_refusal(const few_moments *a, const few_moments *b, const char *text)
{
    few_frechet_terms t = { .value = 17 };
    few_error err = { 0 };
    assert_int_equal(few_frechet(a, b, &t, &err), FEW_EINVAL);
    assert_non_null(strstr(err.text, text));
    assert_true(t.value == 17);
}

static void test_refusals(void **state)
{
    (void)state;
    const int64_t live = few_alloc_get_stats().bytes;
    few_moments a = sampled(10, 3, 1), b = sampled(10, 3, 1), c = sampled(10, 2, 1);
    expect_refusal(&a, &c, "generated features have 3 numbers, those of the reference 2");
    b.sigma[5] = NAN;
    expect_refusal(&a, &b, "the reference covariance is not finite at (1, 2)");
    b.sigma[5] = b.sigma[7];
    b.sigma[4] = -1;
    expect_refusal(&a, &b, "the reference covariance has a negative variance -1 at 1");
    b.sigma[4] = 1;
    a.mu[2] = INFINITY;
    expect_refusal(&a, &b, "the generated mean is not finite at 2");
    a.mu[2] = 1e200;
    expect_refusal(&a, &b, "overflows");
    a.mu[2] = 0;

    for (int k = 1; k <= 4; k++) {
        few_frechet_terms t;
        few_error err;
        few_alloc_fail_at(k);
        assert_int_equal(few_frechet(&a, &b, &t, &err), FEW_ENOMEM);
    }
    few_alloc_fail_at(0);
    few_moments_free(&a);
    few_moments_free(&b);
    few_moments_free(&c);
    assert_int_equal(few_alloc_get_stats().bytes, live);
}

static void test_metrics(void **state)
{
    (void)state;
    few_error err = { 0 };
    for (int k = 0; k < few_n_metrics; k++) {
        assert_ptr_equal(few_metric_find(few_metrics[k]->name, &err), few_metrics[k]);
        assert_true(*few_metrics[k]->help && few_metrics[k]->needs && few_metrics[k]->compute);
    }
    assert_null(few_metric_find("frechett", &err));
    assert_non_null(strstr(err.text, "unknown metric 'frechett'; known are frechet"));

    const few_metric *frechet = few_metric_find("frechet", &err);
    few_moments a = sampled(40, 3, 1), b = sampled(40, 3, 2);
    const few_feature_set none = { .d = 3 }, x = { .d = 3, .moments = &a },
                          y = { .d = 3, .moments = &b }, other = { .d = 4, .moments = &b };
    double value;
    assert_int_equal(few_metric_compute(frechet, &x, &y, &value, &err), FEW_OK);
    assert_true(value == distance(&a, &b).value);
    assert_int_equal(few_metric_compute(frechet, &x, &none, &value, &err), FEW_EINVAL);
    assert_string_equal(err.text,
                        "metric 'frechet' needs the mean and covariance of the reference set");
    assert_int_equal(few_metric_compute(frechet, &x, &other, &value, &err), FEW_EINVAL);

    few_metric needy = *frechet;
    needy.needs = FEW_NEEDS_FEATURES;
    assert_int_equal(few_metric_compute(&needy, &x, &y, &value, &err), FEW_EINVAL);
    assert_non_null(strstr(err.text, "needs the single features of the generated set"));
    few_moments_free(&a);
    few_moments_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_dimension),
        cmocka_unit_test(test_two_dimensions),
        cmocka_unit_test(test_two_dimensions_at_random),
        cmocka_unit_test(test_commuting),
        cmocka_unit_test(test_disjoint_supports),
        cmocka_unit_test(test_identical),
        cmocka_unit_test(test_symmetry_and_scale),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_metrics),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

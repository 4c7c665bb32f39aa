/* Group norm of every table this CPU can run, against plain loops in double. */
#include "cpu/simd_rig.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_group_norm),
        cmocka_unit_test(test_large_mean),
        cmocka_unit_test(test_gn_nan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

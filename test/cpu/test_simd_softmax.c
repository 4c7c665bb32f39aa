/* Softmax and row products of every table, against plain loops in double. */
#include "cpu/simd_rig.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_softmax),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

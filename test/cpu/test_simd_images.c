/* Kernels over channels and pixels of every table, against plain loops in double. */
#include "cpu/simd_rig.h"

static void check_channels(void)
{
    static const int64_t cs[][2] = { { 1, 1 },   { 3, 1 },   { 17, 3 }, { 32, 32 },
                                     { 32, 96 }, { 33, 65 }, { 64, 32 } };
    for (size_t k = 0; k < sizeof cs / sizeof *cs; k++)
        for (int elem = 1; elem <= 4; elem *= 2) {
            const int64_t rows = 7, ca = cs[k][0], cb = cs[k][1], c = ca + cb;
            const array a = array_new(elem, rows * ca), b = array_new(elem, rows * cb);
            const array y = array_new(elem, rows * c), back = array_new(elem, rows * cb);
            for (int64_t i = 0; i < a.n * elem; i++)
                a.data[i] = (unsigned char)(i * 7 + 1);
            for (int64_t i = 0; i < b.n * elem; i++)
                b.data[i] = (unsigned char)(i * 13 + 5);
            simd->concat(elem, y.data, a.data, b.data, rows, ca, cb);
            for (int64_t r = 0; r < rows; r++) {
                assert_memory_equal(y.data + r * c * elem, a.data + r * ca * elem,
                                    (size_t)(ca * elem));
                assert_memory_equal(y.data + (r * c + ca) * elem, b.data + r * cb * elem,
                                    (size_t)(cb * elem));
            }
            simd->slice(elem, back.data, y.data, rows, c, ca, cb);
            assert_memory_equal(back.data, b.data, (size_t)(rows * cb * elem));
            array_free(a);
            array_free(b);
            array_free(y);
            array_free(back);
        }
}

static void check_resampling(void)
{
    static const int64_t cs[] = { 1, 3, 16, 17, 32, 33, 96 };
    for (size_t k = 0; k < sizeof cs / sizeof *cs; k++) {
        const int64_t n = 2, h = 3, w = 5, c = cs[k], small = n * h * w * c;
        const array x = random_array(width(), small, 0, 1), y = array_new(width(), 4 * small);
        const array z = array_new(width(), small);
        double *up = reals(4 * small), *down = reals(small);
        for (int64_t e = 0; e < 4 * small; e++) {
            const int64_t ch = e % c, q = e / c % (2 * w), p = e / c / (2 * w);
            up[e] = 0.75 * get(x, (p / 2 * w + q / 2) * c + ch);
        }
        simd->upsample2(bf, y.data, x.data, 0.75f, n, h, w, c);
        near("upsample2", y, up, 1e-7, 0);
        for (int64_t e = 0; e < 4 * small; e++)
            set(y, e, gauss());
        for (int64_t e = 0; e < 4 * small; e++) {
            const int64_t ch = e % c, q = e / c % (2 * w), p = e / c / (2 * w);
            down[(p / 2 * w + q / 2) * c + ch] += 0.25 * get(y, e);
        }
        simd->pool2(bf, z.data, y.data, 0.25f, n, h, w, c);
        near("pool2", z, down, 1e-7, 3e-7);
        free(up);
        free(down);
        array_free(x);
        array_free(y);
        array_free(z);
    }
}

static void check_sums(void)
{
    static const int64_t shapes[][3] = { { 1, 1, 1 },     { 3, 17, 3 },  { 2, 64, 32 },
                                         { 1, 1000, 33 }, { 17, 4, 96 }, { 1, 20000, 1 } };
    for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++) {
        const int64_t n = shapes[k][0], hw = shapes[k][1], c = shapes[k][2];
        const array x = random_array(width(), n * hw * c, 1, 1), y = array_new(4, n * c);
        const array b = array_new(width(), n * hw * c), db = array_new(4, c);
        double *mean = reals(n * c), *total = reals(c), *wide = reals(n * hw * c);
        for (int64_t e = 0; e < n * hw * c; e++) {
            mean[e / (hw * c) * c + e % c] += get(x, e) * 0.5;
            total[e % c] += get(x, e);
        }
        simd->mean_hw(bf, (float *)y.data, x.data, 0.5f, n, hw, c);
        near_of(1, "mean_hw", y, mean, 2e-6, 1e-6);
        simd->column_sum(bf, (float *)db.data, x.data, n * hw, c);
        near_of(sqrt((double)(n * hw)), "column_sum", db, total, 2e-6, 1e-6);
        for (int64_t e = 0; e < n * hw * c; e++)
            wide[e] = get(y, e / (hw * c) * c + e % c) * 0.125;
        simd->broadcast_hw(bf, b.data, (const float *)y.data, 0.125f, n, hw, c);
        near("broadcast_hw", b, wide, 1e-7, 0);
        free(mean);
        free(total);
        free(wide);
        array_free(x);
        array_free(y);
        array_free(b);
        array_free(db);
    }
}

static void test_images(void **state)
{
    (void)state;
    each(check_channels, false);
    each(check_resampling, true);
    each(check_sums, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_images),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

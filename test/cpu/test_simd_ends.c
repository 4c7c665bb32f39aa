/* 3x3 convolutions with few channels on one side, of every table, against sums in double: all rows
 * of two images in two calls, the second of which begins inside an image. */
#include "cpu/simd_rig.h"

enum { IMAGES = 2, H = 5, TAPS = 9 };

static int64_t pitch(int64_t wide)
{
    return (wide + 15) / 16 * 16;
}

/* The pixel at (y, x) of image i, channel k; 0 outside. */
static double pixel(array a, int64_t w, int64_t c, int64_t i, int64_t y, int64_t x, int64_t k)
{
    return y < 0 || y >= H || x < 0 || x >= w ? 0 : get(a, ((i * H + y) * w + x) * c + k);
}

/* What each of the three is to give, where one is given the images and weights. */
static void expect(few_ends_args a, array wide, array narrow, array weights, array bias_n,
                   array bias_w, double *gathered, double *spread, double *acc)
{
    for (int64_t i = 0; i < IMAGES; i++)
        for (int64_t y = 0; y < H; y++)
            for (int64_t x = 0; x < a.w; x++) {
                const int64_t p = (i * H + y) * a.w + x;
                for (int64_t n = 0; n < a.narrow; n++)
                    gathered[p * a.narrow + n] = get(bias_n, n);
                for (int64_t k = 0; k < a.wide; k++)
                    spread[p * a.wide + k] = get(bias_w, k);
                for (int64_t n = 0; n < a.narrow; n++)
                    for (int tap = 0; tap < TAPS; tap++)
                        for (int64_t k = 0; k < a.wide; k++) {
                            const int64_t at = (n * TAPS + tap) * pitch(a.wide) + k;
                            const int64_t v = y + tap / 3 - 1, u = x + tap % 3 - 1;
                            const double from = pixel(wide, a.w, a.wide, i, v, u, k),
                                         w = get(weights, at);
                            gathered[p * a.narrow + n] += w * from;
                            acc[at] += from * get(narrow, p * a.narrow + n);
                            spread[p * a.wide + k] += w * pixel(narrow, a.w, a.narrow, i, v, u, n);
                        }
            }
}

static void check_sizes(int64_t w, int64_t wide, int64_t narrow, bool other_bf)
{
    const int size = width(), other = other_bf ? 2 : 4;
    const int64_t pixels = IMAGES * H * w, rows = IMAGES * H, cut = 3;
    few_ends_args a = {
        .h = H, .w = w, .wide = wide, .narrow = narrow, .wide_bf = bf, .narrow_bf = other_bf
    };
    const array x = random_array(size, pixels * wide, 0, 1);
    const array z = random_array(other, pixels * narrow, 0, 1);
    const array weights = random_array(4, narrow * TAPS * pitch(wide), 0, 0.3);
    const array bias_n = random_array(4, narrow, 0, 1), bias_w = random_array(4, wide, 0, 1);
    const array to_z = array_new(other, pixels * narrow), to_x = array_new(size, pixels * wide);
    const array acc = random_array(4, narrow * TAPS * pitch(wide), 0, 1);
    const array scratch = array_new(4, simd->ends_floats(&a));
    double *want_z = reals(to_z.n), *want_x = reals(to_x.n), *want_acc = reals(acc.n);
    for (int64_t k = 0; k < acc.n; k++) {
        if (k % pitch(wide) >= wide) {
            set(weights, k, 0);
            set(acc, k, 0);
        }
        want_acc[k] = get(acc, k);
    }
    expect(a, x, z, weights, bias_n, bias_w, want_z, want_x, want_acc);
    for (int part = 0; part < 2; part++) {
        a.from = part ? cut : 0;
        a.to = part ? rows : cut;
        simd->ends_gather(&a, x.data, (const float *)weights.data, (const float *)bias_n.data,
                          to_z.data, (float *)scratch.data);
        simd->ends_spread(&a, z.data, (const float *)weights.data, (const float *)bias_w.data,
                          to_x.data, (float *)scratch.data);
        simd->ends_weights(&a, x.data, z.data, (float *)acc.data, (float *)scratch.data);
    }
    near("ends_gather", to_z, want_z, 1e-6, 1e-6);
    near("ends_spread", to_x, want_x, 1e-6, 1e-6);
    near("ends_weights", acc, want_acc, 1e-6, 1e-6);

    for (int64_t k = 0; k < pixels; k++) { /* without a bias */
        for (int64_t n = 0; n < narrow; n++)
            want_z[k * narrow + n] -= get(bias_n, n);
        for (int64_t n = 0; n < wide; n++)
            want_x[k * wide + n] -= get(bias_w, n);
    }
    a.from = 0;
    simd->ends_gather(&a, x.data, (const float *)weights.data, NULL, to_z.data,
                      (float *)scratch.data);
    simd->ends_spread(&a, z.data, (const float *)weights.data, NULL, to_x.data,
                      (float *)scratch.data);
    near_of(1, "ends_gather without bias", to_z, want_z, 1e-6, 1e-6);
    near_of(1, "ends_spread without bias", to_x, want_x, 1e-6, 1e-6);
    const array all[] = { x, z, weights, bias_n, bias_w, to_z, to_x, acc, scratch };
    for (size_t k = 0; k < sizeof all / sizeof *all; k++)
        array_free(all[k]);
    free(want_z);
    free(want_x);
    free(want_acc);
}

static void check_ends(void)
{
    static const int64_t wides[] = { 1, 3, 16, 17, 32, 48, 64, 100 }, widths[] = { 1, 6, 19 };
    for (size_t k = 0; k < sizeof wides / sizeof *wides; k++)
        for (size_t j = 0; j < sizeof widths / sizeof *widths; j++)
            for (int64_t narrow = 1; narrow <= 4; narrow++)
                for (int other = 0; other < 2; other++)
                    check_sizes(widths[j], wides[k], narrow, other);
}

static void ends(void **state)
{
    (void)state;
    each(check_ends, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(ends) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Resize, crop, pad, flip, channels, sheets: against their definitions. */
#include "base/alloc.h"
#include "image/image.h"
#include "image/make.h"

#include <math.h>

static few_image image_of(int i, int h, int w, int c)
{
    few_image im;
    assert_ok(few_image_init(&im, h, w, c, err));
    uint8_t *p = pixels(i, h, w, c);
    memcpy(im.pixels, p, (size_t)(h * w * c));
    free(p);
    return im;
}

/* The definition by brute force: both axes at once, in double. Area: the mean over the rectangle
 * an output pixel covers; bilinear: four neighbours around the mapped centre. */
static double coverage(int in, int out, int o, int i)
{
    if (out <= in) {
        const double a = (double)o * in / out, b = (double)(o + 1) * in / out;
        const double left = fmax(a, i), right = fmin(b, i + 1);
        return right > left ? (right - left) / (b - a) : 0;
    }
    double x = (o + 0.5) * in / out - 0.5;
    x = x < 0 ? 0 : x > in - 1 ? in - 1 : x;
    return fmax(0, 1 - fabs(x - i));
}

static double resized(const few_image *im, int h, int w, int y, int x, int k)
{
    double sum = 0;
    for (int i = 0; i < im->h; i++)
        for (int j = 0; j < im->w; j++)
            sum += coverage(im->h, h, y, i) * coverage(im->w, w, x, j) *
                   im->pixels[(i * im->w + j) * im->c + k];
    return sum;
}

static void test_resize_is_its_definition(void **state)
{
    (void)state;
    static const int shapes[][4] = { { 8, 8, 4, 4 },  { 7, 5, 3, 2 },    { 4, 6, 9, 13 },
                                     { 9, 4, 5, 11 }, { 1, 1, 5, 3 },    { 13, 2, 1, 1 },
                                     { 6, 6, 6, 3 },  { 31, 17, 30, 16 } };
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++)
        for (int c = 1; c <= 3; c += 2) {
            const int *d = shapes[s];
            few_image im = image_of((int)s, d[0], d[1], c), was = image_of((int)s, d[0], d[1], c);
            assert_ok(few_image_resize(&im, d[2], d[3], err));
            assert_int_equal(im.h, d[2]);
            assert_int_equal(im.w, d[3]);
            for (int y = 0; y < im.h; y++)
                for (int x = 0; x < im.w; x++)
                    for (int k = 0; k < c; k++) {
                        const double want = resized(&was, im.h, im.w, y, x, k);
                        const int got = im.pixels[(y * im.w + x) * c + k];
                        if (fabs(got - want) > 0.501) /* rounding, in float */
                            fail_msg("%d x %d to %d x %d at %d %d: %d, wanted %.3f", d[1], d[0],
                                     d[3], d[2], y, x, got, want);
                    }
            few_image_clear(&im);
            few_image_clear(&was);
        }
}

static void test_resize_keeps_what_it_should(void **state)
{
    (void)state;
    few_image im = image_of(1, 6, 7, 3), was = image_of(1, 6, 7, 3);
    assert_ok(few_image_resize(&im, 6, 7, err));
    assert_memory_equal(im.pixels, was.pixels, 6 * 7 * 3);
    memset(im.pixels, 255, 6 * 7 * 3); /* white stays white in both directions */
    assert_ok(few_image_resize(&im, 19, 3, err));
    for (int i = 0; i < 19 * 3 * 3; i++)
        assert_int_equal(im.pixels[i], 255);
    few_image_clear(&im);
    few_image_clear(&was);
}

static void test_crop_and_pad(void **state)
{
    (void)state;
    few_image im = image_of(2, 7, 9, 3);
    assert_ok(few_image_crop(&im, 4, 4, err)); /* starts at (1,2) */
    for (int y = 0; y < 4; y++)
        for (int x = 0; x < 4; x++)
            for (int k = 0; k < 3; k++)
                assert_int_equal(im.pixels[(y * 4 + x) * 3 + k], pixel(2, y + 1, x + 2, k));
    assert_ok(few_image_pad(&im, 7, 6, 9, err)); /* (1,1): the odd row at the bottom */
    for (int y = 0; y < 7; y++)
        for (int x = 0; x < 6; x++)
            for (int k = 0; k < 3; k++) {
                const bool inside = y >= 1 && y < 5 && x >= 1 && x < 5;
                assert_int_equal(im.pixels[(y * 6 + x) * 3 + k],
                                 inside ? pixel(2, y, x + 1, k) : 9);
            }
    assert_int_equal(few_image_crop(&im, 8, 2, NULL), FEW_EINVAL);
    assert_int_equal(few_image_pad(&im, 8, 2, 0, NULL), FEW_EINVAL);
    assert_int_equal(im.h, 7);
    few_image_clear(&im);
}

static void test_flip(void **state)
{
    (void)state;
    for (int w = 1; w < 6; w++) {
        few_image im = image_of(3, 4, w, 3);
        uint8_t *flipped = malloc((size_t)(4 * w * 3));
        few_flip_pixels(flipped, im.pixels, 4, w, 3);
        few_image_flip(&im);
        assert_memory_equal(flipped, im.pixels, 4 * w * 3);
        for (int y = 0; y < 4; y++)
            for (int x = 0; x < w; x++)
                assert_int_equal(im.pixels[(y * w + x) * 3 + 2], pixel(3, y, w - 1 - x, 2));
        free(flipped);
        few_image_clear(&im);
    }
}

/* A quarter counter-clockwise takes the last column to the first row; four give the image back. */
static void test_turn(void **state)
{
    (void)state;
    enum { H = 2, W = 3, C = 2, N = H * W * C };
    uint8_t src[N], to[4][N], again[N];
    for (int i = 0; i < N; i++)
        src[i] = (uint8_t)(10 * (i / C) + i % C);
    for (int q = 0; q < 4; q++)
        few_turn_pixels(to[q], src, H, W, C, q);
    assert_memory_equal(to[0], src, N);
    const int once[] = { 2, 5, 1, 4, 0, 3 }, twice[] = { 5, 4, 3, 2, 1, 0 };
    for (int i = 0; i < N; i++) {
        assert_int_equal(to[1][i], 10 * once[i / C] + i % C);
        assert_int_equal(to[2][i], 10 * twice[i / C] + i % C);
    }
    few_turn_pixels(again, to[3], W, H, C, 1);
    assert_memory_equal(again, src, N);
    few_turn_pixels(again, to[1], W, H, C, 2);
    assert_memory_equal(again, to[3], N);
}

static void test_channels(void **state)
{
    (void)state;
    few_image im;
    assert_ok(few_image_init(&im, 1, 4, 3, err));
    memcpy(im.pixels, (uint8_t[]){ 255, 0, 0, 0, 255, 0, 0, 0, 255, 200, 200, 200 }, 12);
    assert_ok(few_image_set_channels(&im, 1, err));
    assert_memory_equal(im.pixels, ((uint8_t[]){ 77, 149, 29, 200 }), 4); /* 0.299, 0.587, 0.114 */
    assert_ok(few_image_set_channels(&im, 3, err));
    assert_memory_equal(im.pixels,
                        ((uint8_t[]){ 77, 77, 77, 149, 149, 149, 29, 29, 29, 200, 200, 200 }), 12);
    assert_int_equal(few_image_set_channels(&im, 2, NULL), FEW_EINVAL);
    few_image_clear(&im);
}

static void test_bytes_and_floats(void **state)
{
    (void)state;
    for (int b = 0; b < 256; b++)
        assert_int_equal(few_byte_from_float((float)b / 127.5f - 1.0f), b);
    assert_int_equal(few_byte_from_float(-1.0f), 0);
    assert_int_equal(few_byte_from_float(1.0f), 255);
    assert_int_equal(few_byte_from_float(0.0f), 128); /* 127.5 rounds up */
    assert_int_equal(few_byte_from_float(-7e30f), 0);
    assert_int_equal(few_byte_from_float(INFINITY), 255);
    assert_int_equal(few_byte_from_float(-INFINITY), 0);
    assert_int_equal(few_byte_from_float(NAN), 0);
}

static void test_sheet(void **state)
{
    (void)state;
    few_sheet s;
    assert_ok(few_sheet_init(&s, 5, 2, 3, 3, 0, 1, err));
    assert_int_equal(s.image.w, 3 * 3 + 4); /* as square as possible: 3 across, 2 down */
    assert_int_equal(s.image.h, 2 * 2 + 3);
    for (int i = 0; i < 5; i++) {
        uint8_t *p = pixels(i, 2, 3, 3);
        float f[18];
        for (int k = 0; k < 18; k++)
            f[k] = p[k] / 127.5f - 1.0f;
        if (i % 2)
            few_sheet_put_u8(&s, i, p);
        else
            few_sheet_put_f32(&s, i, f);
        free(p);
    }
    for (int y = 0; y < s.image.h; y++)
        for (int x = 0; x < s.image.w; x++) {
            const int i = y / 3 * 3 + x / 4;
            const bool inside = y % 3 > 0 && x % 4 > 0 && i < 5;
            for (int k = 0; k < 3; k++)
                assert_int_equal(s.image.pixels[(y * s.image.w + x) * 3 + k],
                                 inside ? pixel(i, y % 3 - 1, x % 4 - 1, k) : 255);
        }
    few_sheet_clear(&s);
    assert_ok(few_sheet_init(&s, 2, 4, 4, 1, 7, 0, err)); /* no wider than needed */
    assert_int_equal(s.image.w, 8);
    few_sheet_clear(&s);
    assert_int_equal(few_sheet_init(&s, 0, 4, 4, 1, 0, 0, NULL), FEW_EINVAL);
    assert_int_equal(few_sheet_init(&s, 1, 4, 4, 2, 0, 0, NULL), FEW_EINVAL);
    assert_int_equal(few_sheet_init(&s, INT32_MAX, 4096, 4096, 3, 0, 0, NULL), FEW_EINVAL);
}

static void test_sheet_as_png(void **state)
{
    (void)state;
    float f[2 * 2 * 2];
    for (int k = 0; k < 8; k++)
        f[k] = k < 4 ? -1.0f : 1.0f;
    assert_ok(few_sheet_save_f32(in_folder("s.png"), f, 2, 2, 2, 1, 0, err));
    few_image im;
    assert_ok(few_image_read(&im, in_folder("s.png"), err));
    assert_int_equal(im.h, 6);
    assert_int_equal(im.w, 10);
    assert_int_equal(im.pixels[2 * 10 + 2], 0);
    assert_int_equal(im.pixels[2 * 10 + 6], 255);
    few_image_clear(&im);
    assert_ok(few_sheet_save_f32(in_folder("one.png"), f, 1, 2, 2, 1, 0, err)); /* no frame */
    assert_ok(few_image_read(&im, in_folder("one.png"), err));
    assert_int_equal(im.w, 2);
    few_image_clear(&im);
}

/* Each allocation of each operation fails: the image is as it was. */
static void test_no_memory(void **state)
{
    (void)state;
    for (int op = 0; op < 5; op++) {
        int failures = 0;
        for (int n = 1;; n++) {
            few_image im = image_of(6, 6, 6, 3);
            few_status st;
            few_alloc_fail_at(n);
            if (op == 0)
                st = few_image_resize(&im, 3, 9, NULL);
            else if (op == 1)
                st = few_image_crop(&im, 3, 3, NULL);
            else if (op == 2)
                st = few_image_pad(&im, 9, 9, 0, NULL);
            else if (op == 3)
                st = few_image_set_channels(&im, 1, NULL);
            else
                st = few_image_write_png(in_folder("m.png"), im.pixels, 6, 6, 3, NULL);
            few_alloc_fail_at(0);
            if (st != FEW_OK) {
                assert_int_equal(st, FEW_ENOMEM);
                assert_int_equal(im.h, 6);
                assert_int_equal(im.c, 3);
                assert_int_equal(im.pixels[5], pixel(6, 0, 1, 2));
                failures++;
            }
            few_image_clear(&im);
            if (st == FEW_OK)
                break;
        }
        assert_true(failures > 0);
    }
    assert_int_equal(count_matching("tmp"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resize_is_its_definition),
        cmocka_unit_test(test_resize_keeps_what_it_should),
        cmocka_unit_test(test_crop_and_pad),
        cmocka_unit_test(test_flip),
        cmocka_unit_test(test_turn),
        cmocka_unit_test(test_channels),
        cmocka_unit_test(test_bytes_and_floats),
        cmocka_unit_test(test_sheet),
        cmocka_unit_test(test_sheet_as_png),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}

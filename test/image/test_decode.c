/* PNG and JPEG: every colour type against its definition, truncation at every length. */
#include "base/alloc.h"
#include "image/image.h"
#include "image/make.h"

static void check_pixels(const few_image *im, const uint8_t *want, int h, int w, int c)
{
    assert_int_equal(im->h, h);
    assert_int_equal(im->w, w);
    assert_int_equal(im->c, c);
    assert_memory_equal(im->pixels, want, h * w * c);
}

/* Decode, compare, free all. */
static void expect(bytes b, const uint8_t *want, int h, int w, int c)
{
    few_image im;
    assert_ok(few_image_decode(&im, b.p, b.n, err));
    check_pixels(&im, want, h, w, c);
    few_image_clear(&im);
    free(b.p);
}

static void test_png_plain(void **state)
{
    (void)state;
    for (int c = 1; c <= 3; c += 2)
        for (int interlaced = 0; interlaced < 2; interlaced++) {
            uint8_t *p = pixels(1, 9, 13, c);
            expect(png_bytes(p, 9, 13, c == 3 ? PNG_COLOR_TYPE_RGB : PNG_COLOR_TYPE_GRAY, 8,
                             interlaced, NULL, 0, NULL, 0),
                   p, 9, 13, c);
            free(p);
        }
}

static void test_png_few_bits(void **state)
{
    (void)state;
    const uint8_t one[] = { 0xb4 }; /* 1 0 1 1 0 1 0 0 */
    const uint8_t grey[] = { 255, 0, 255, 255, 0, 255, 0, 0 };
    expect(png_bytes(one, 1, 8, PNG_COLOR_TYPE_GRAY, 1, false, NULL, 0, NULL, 0), grey, 1, 8, 1);
    const uint8_t four[] = { 0x1f, 0x80 }; /* v * 255 / 15 */
    const uint8_t wide[] = { 17, 255, 136 };
    expect(png_bytes(four, 1, 3, PNG_COLOR_TYPE_GRAY, 4, false, NULL, 0, NULL, 0), wide, 1, 3, 1);
}

static void test_png_16_bits(void **state)
{
    (void)state;
    const uint8_t deep[] = { 0x00, 0x00, 0x80, 0x80, 0x12, 0xff, 0xff, 0xff };
    const uint8_t want[] = { 0, 0x80, 0x13, 255 }; /* round(v / 257) */
    expect(png_bytes(deep, 2, 2, PNG_COLOR_TYPE_GRAY, 16, false, NULL, 0, NULL, 0), want, 2, 2, 1);
}

static void test_png_palette(void **state)
{
    (void)state;
    const png_color palette[] = { { 10, 20, 30 }, { 200, 100, 0 }, { 0, 0, 0 } };
    const uint8_t index[] = { 0, 1, 2, 1 };
    const uint8_t opaque[] = { 10, 20, 30, 200, 100, 0, 0, 0, 0, 200, 100, 0 };
    expect(png_bytes(index, 2, 2, PNG_COLOR_TYPE_PALETTE, 8, false, palette, 3, NULL, 0), opaque, 2,
           2, 3);
    const uint8_t alpha[] = { 255, 51, 0 }; /* entry 2 is invisible, entry 1 a fifth visible */
    const uint8_t laid[] = { 10, 20, 30, 244, 224, 204, 255, 255, 255, 244, 224, 204 };
    expect(png_bytes(index, 2, 2, PNG_COLOR_TYPE_PALETTE, 8, false, palette, 3, alpha, 3), laid, 2,
           2, 3);
}

static void test_png_alpha_goes_onto_white(void **state)
{
    (void)state;
    const uint8_t rgba[] = { 100, 150, 200, 255, 100, 150, 200, 0, 0, 100, 255, 51 };
    const uint8_t want[] = { 100, 150, 200, 255, 255, 255, 204, 224, 255 };
    expect(png_bytes(rgba, 1, 3, PNG_COLOR_TYPE_RGB_ALPHA, 8, false, NULL, 0, NULL, 0), want, 1, 3,
           3);
    const uint8_t ga[] = { 0, 255, 0, 0, 0, 128, 1, 128 };
    const uint8_t grey[] = { 0, 255, 127, 128 }; /* the last is 127.502 */
    expect(png_bytes(ga, 1, 4, PNG_COLOR_TYPE_GRAY_ALPHA, 8, false, NULL, 0, NULL, 0), grey, 1, 4,
           1);
}

static void test_png_written_is_read(void **state)
{
    (void)state;
    for (int c = 1; c <= 3; c += 2) {
        uint8_t *p = pixels(3, 17, 5, c);
        assert_ok(few_image_write_png(in_folder("w.png"), p, 17, 5, c, err));
        few_image im;
        assert_ok(few_image_read(&im, in_folder("w.png"), err));
        check_pixels(&im, p, 17, 5, c);
        few_image_clear(&im);
        free(p);
    }
}

static void test_png_that_cannot_be_written(void **state)
{
    (void)state;
    few_error err;
    const uint8_t p[3] = { 1, 2, 3 };
    assert_int_equal(few_image_write_png(in_folder("no/such/x.png"), p, 1, 1, 3, &err), FEW_EIO);
    assert_contains(err.text, "no/such/x.png");
    assert_int_equal(few_image_write_png(in_folder("x.png"), p, 1, 1, 2, &err), FEW_EINVAL);
    assert_int_equal(few_image_write_png(in_folder("x.png"), p, 0, 1, 3, &err), FEW_EINVAL);
    assert_int_equal(access(in_folder("x.png"), F_OK), -1);
}

/* The largest difference to what was encoded. */
static int worst(const few_image *im, const uint8_t *want)
{
    int most = 0;
    for (int i = 0; i < im->h * im->w * im->c; i++)
        most = abs(im->pixels[i] - want[i]) > most ? abs(im->pixels[i] - want[i]) : most;
    return most;
}

static void test_jpeg(void **state)
{
    (void)state;
    for (int c = 1; c <= 3; c += 2)
        for (int progressive = 0; progressive < 2; progressive++) {
            uint8_t *p = smooth(24, 40, c);
            const bytes b = jpeg_bytes(p, 24, 40, c, c == 3 ? JCS_RGB : JCS_GRAYSCALE, progressive);
            few_image im;
            assert_ok(few_image_decode(&im, b.p, b.n, err));
            assert_int_equal(im.h, 24);
            assert_int_equal(im.w, 40);
            assert_int_equal(im.c, c);
            assert_true(worst(&im, p) <= 4); /* quality 95, smooth: rounding and chroma only */
            few_image_clear(&im);
            free(b.p);
            free(p);
        }
}

static void test_jpeg_cmyk(void **state)
{
    (void)state;
    /* Adobe's inverted inks, as libjpeg writes them: red is cyan 255, magenta 0, yellow 0. */
    uint8_t ink[16 * 16 * 4];
    for (int i = 0; i < 16 * 16; i++)
        memcpy(ink + 4 * i, (uint8_t[]){ 250, 10, 128, 204 }, 4);
    const bytes b = jpeg_bytes(ink, 16, 16, 4, JCS_CMYK, false);
    few_image im;
    assert_ok(few_image_decode(&im, b.p, b.n, err));
    assert_int_equal(im.c, 3);
    uint8_t want[16 * 16 * 3];
    for (int i = 0; i < 16 * 16; i++)
        memcpy(want + 3 * i, (uint8_t[]){ 200, 8, 102 }, 3); /* v * 204 / 255 */
    assert_true(worst(&im, want) <= 3);
    few_image_clear(&im);
    free(b.p);
}

/* A file cut anywhere is refused: no half picture, no crash. */
static void cut_everywhere(bytes b)
{
    for (size_t n = 0; n < b.n; n++) {
        few_image im;
        few_error err = { 0 };
        uint8_t *cut = malloc(n ? n : 1); /* of its own, so that a sanitizer sees the end */
        memcpy(cut, b.p, n);
        const few_status st = few_image_decode(&im, cut, n, &err);
        if (st != FEW_EFORMAT)
            fail_msg("%zu of %zu bytes: %s", n, b.n, few_status_text(st));
        assert_true(strlen(err.text) > 0);
        free(cut);
    }
    free(b.p);
}

static void test_truncation(void **state)
{
    (void)state;
    uint8_t *p = pixels(2, 20, 20, 3);
    cut_everywhere(png_bytes(p, 20, 20, PNG_COLOR_TYPE_RGB, 8, false, NULL, 0, NULL, 0));
    cut_everywhere(png_bytes(p, 20, 20, PNG_COLOR_TYPE_RGB, 8, true, NULL, 0, NULL, 0));
    cut_everywhere(jpeg_bytes(p, 20, 20, 3, JCS_RGB, false));
    cut_everywhere(jpeg_bytes(p, 20, 20, 3, JCS_RGB, true));
    free(p);
}

/* PNG has checksums: a flipped bit in what makes the picture is found. */
static void test_png_bit_flips(void **state)
{
    (void)state;
    bytes b = png_of(4, 12, 12, 3);
    for (size_t i = 0; i < 8 * b.n; i++) {
        few_image im;
        b.p[i / 8] ^= (uint8_t)(1 << i % 8);
        assert_int_equal(few_image_decode(&im, b.p, b.n, NULL), FEW_EFORMAT);
        b.p[i / 8] ^= (uint8_t)(1 << i % 8);
    }
    free(b.p);
}

/* Another height in a PNG's head, with its checksum by the definition. */
static void claim_height(bytes *b, uint32_t h)
{
    for (int i = 0; i < 4; i++)
        b->p[20 + i] = (uint8_t)(h >> (24 - 8 * i));
    uint32_t crc = 0xffffffff;
    for (int i = 12; i < 29; i++) {
        crc ^= b->p[i];
        for (int k = 0; k < 8; k++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    crc = ~crc;
    for (int i = 0; i < 4; i++)
        b->p[29 + i] = (uint8_t)(crc >> (24 - 8 * i));
}

/* Heads that claim more than the file holds are refused before memory is asked for. */
static void test_bombs(void **state)
{
    (void)state;
    few_image im;
    few_error err;
    const int64_t before = few_alloc_get_stats().peak;
    uint8_t *zeros = calloc(1, 4 << 20);
    /* 1 MiB of zeros deflates to 1 KiB; the head is made to claim 64 times as much. */
    bytes b = png_bytes(zeros, 64, 16384, PNG_COLOR_TYPE_GRAY, 8, false, NULL, 0, NULL, 0);
    free(zeros);
    claim_height(&b, 4096);
    assert_int_equal(few_image_decode(&im, b.p, b.n, &err), FEW_EFORMAT);
    assert_contains(err.text, "cannot hold");
    const uint32_t tall[] = { 16385, 30000, 0x7fffffff };
    for (int k = 0; k < 3; k++) {
        claim_height(&b, tall[k]);
        assert_int_equal(few_image_decode(&im, b.p, b.n, &err), FEW_EFORMAT);
        assert_contains(err.text, "the PNG has");
        assert_contains(err.text, "a side");
    }
    free(b.p);

    uint8_t *p = smooth(16, 16, 3);
    b = jpeg_bytes(p, 16, 16, 3, JCS_RGB, false);
    free(p);
    size_t at = 2; /* find the frame head and make it 8000 x 8000 */
    while (b.p[at + 1] != 0xc0)
        at += 2 + (size_t)(b.p[at + 2] << 8 | b.p[at + 3]);
    memcpy(b.p + at + 5, (uint8_t[]){ 0x1f, 0x40, 0x1f, 0x40 }, 4);
    assert_int_equal(few_image_decode(&im, b.p, b.n, &err), FEW_EFORMAT);
    assert_contains(err.text, "cannot hold");
    memcpy(b.p + at + 5, (uint8_t[]){ 0x4e, 0x20, 0x00, 0x10 }, 4);
    assert_int_equal(few_image_decode(&im, b.p, b.n, &err), FEW_EFORMAT);
    assert_contains(err.text, "a side");
    free(b.p);
    assert_true(few_alloc_get_stats().peak - before < 1 << 20);
}

static void test_neither(void **state)
{
    (void)state;
    few_image im;
    few_error err;
    assert_int_equal(few_image_decode(&im, "GIF89a and so on", 16, &err), FEW_EFORMAT);
    assert_contains(err.text, "neither PNG nor JPEG");
    assert_int_equal(few_image_read(&im, in_folder("none.png"), &err), FEW_ENOTFOUND);
    assert_contains(err.text, "none.png");
    put_file("empty.png", "", 0);
    assert_int_equal(few_image_read(&im, in_folder("empty.png"), &err), FEW_EFORMAT);
    assert_contains(err.text, "empty.png");
    assert_contains(err.text, "empty");
}

/* Every allocation fails once: an error, no leak, and the next try works. */
static void test_no_memory(void **state)
{
    (void)state;
    uint8_t *p = pixels(5, 8, 8, 4);
    const bytes files[] = { png_of(5, 8, 8, 3), jpeg_bytes(p, 8, 8, 3, JCS_RGB, false),
                            jpeg_bytes(p, 8, 8, 4, JCS_CMYK, false) };
    free(p);
    for (size_t k = 0; k < 3; k++) {
        const int64_t live = few_alloc_get_stats().bytes;
        int failures = 0;
        for (int n = 1;; n++) {
            few_image im;
            few_error err = { 0 };
            few_alloc_fail_at(n);
            const few_status st = few_image_decode(&im, files[k].p, files[k].n, &err);
            few_alloc_fail_at(0);
            if (st == FEW_OK) {
                few_image_clear(&im);
                break;
            }
            failures++;
            assert_int_equal(st, FEW_ENOMEM);
            assert_int_equal(few_alloc_get_stats().bytes, live);
        }
        assert_true(failures >= 1);
        free(files[k].p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_png_plain),
        cmocka_unit_test(test_png_few_bits),
        cmocka_unit_test(test_png_16_bits),
        cmocka_unit_test(test_png_palette),
        cmocka_unit_test(test_png_alpha_goes_onto_white),
        cmocka_unit_test(test_png_written_is_read),
        cmocka_unit_test(test_png_that_cannot_be_written),
        cmocka_unit_test(test_jpeg),
        cmocka_unit_test(test_jpeg_cmyk),
        cmocka_unit_test(test_truncation),
        cmocka_unit_test(test_png_bit_flips),
        cmocka_unit_test(test_bombs),
        cmocka_unit_test(test_neither),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}

/* Images in memory: room for them, telling PNG from JPEG, channels, crop, pad, flip.
 *
 * Shapes come from files, so every product is checked before memory is asked for. */
#include "image/image.h"

#include "base/alloc.h"
#include "base/file.h"

#include <string.h>
#include <strings.h>

few_status few_image_init(few_image *im, int h, int w, int c, few_error *err)
{
    *im = (few_image){ 0 };
    if (h < 1 || w < 1 || (c != 1 && c != 3))
        return few_fail(err, FEW_EINVAL, "an image of %d x %d pixels, %d channels cannot be", w, h,
                        c);
    uint8_t *p = few_malloc((size_t)h * (size_t)w * (size_t)c);
    if (!p)
        return few_fail(err, FEW_ENOMEM, "out of memory for an image of %d x %d pixels", w, h);
    *im = (few_image){ .pixels = p, .h = h, .w = w, .c = c };
    return FEW_OK;
}

few_status few_image_check_size(const char *kind, uint64_t h, uint64_t w, few_error *err)
{
    if (h <= FEW_IMAGE_MAX_SIDE && w <= FEW_IMAGE_MAX_SIDE && h * w <= FEW_IMAGE_MAX_PIXELS)
        return FEW_OK;
    return few_fail(err, FEW_EFORMAT,
                    "the %s has %llu x %llu pixels, more than %d a side or %d million", kind,
                    (unsigned long long)w, (unsigned long long)h, FEW_IMAGE_MAX_SIDE,
                    FEW_IMAGE_MAX_PIXELS >> 20);
}

void few_image_clear(few_image *im)
{
    few_free(im->pixels);
    *im = (few_image){ 0 };
}

few_status few_image_decode(few_image *out, const void *data, size_t n, few_error *err)
{
    static const uint8_t png[8] = { 0x89, 'P', 'N', 'G', 13, 10, 26, 10 };
    static const uint8_t jpeg[3] = { 0xff, 0xd8, 0xff };
    if (n == 0)
        return few_fail(err, FEW_EFORMAT, "the file is empty");
    if (n >= sizeof png && !memcmp(data, png, sizeof png))
        return few_png_decode(out, data, n, err);
    if (n >= sizeof jpeg && !memcmp(data, jpeg, sizeof jpeg))
        return few_jpeg_decode(out, data, n, err);
    return few_fail(err, FEW_EFORMAT, "neither PNG nor JPEG, by its first bytes");
}

few_status few_image_read(few_image *out, const char *path, few_error *err)
{
    few_map map;
    FEW_TRY(few_map_open(&map, path, err));
    const few_status st = few_image_decode(out, map.data, map.n, err);
    few_map_close(&map);
    if (st != FEW_OK)
        few_fail_in(err, "'%s'", path);
    return st;
}

bool few_image_has_suffix(const char *name)
{
    static const char *const suffixes[] = { ".png", ".jpg", ".jpeg" };
    const size_t n = strlen(name);
    for (size_t i = 0; i < FEW_COUNT(suffixes); i++) {
        const size_t m = strlen(suffixes[i]);
        if (n > m && !strcasecmp(name + n - m, suffixes[i]))
            return true;
    }
    return false;
}

/* Exchange the image for another one and free the old. */
static void replace(few_image *im, const few_image *by)
{
    few_free(im->pixels);
    *im = *by;
}

few_status few_image_set_channels(few_image *im, int c, few_error *err)
{
    if (im->c == c)
        return FEW_OK;
    few_image out;
    FEW_TRY(few_image_init(&out, im->h, im->w, c, err));
    const size_t n = (size_t)im->h * (size_t)im->w;
    const uint8_t *p = im->pixels;
    if (c == 1)
        for (size_t i = 0; i < n; i++, p += 3) /* weights sum to 256 */
            out.pixels[i] = (uint8_t)((77 * p[0] + 150 * p[1] + 29 * p[2] + 128) >> 8);
    else
        for (size_t i = 0; i < n; i++)
            memset(out.pixels + 3 * i, p[i], 3);
    replace(im, &out);
    return FEW_OK;
}

/* Copy the [h,w] window of src at (sy,sx) to (dy,dx) of dst. */
static void copy_window(few_image *dst, int dy, int dx, const few_image *src, int sy, int sx, int h,
                        int w)
{
    const size_t c = (size_t)src->c, bytes = (size_t)w * c;
    for (int y = 0; y < h; y++)
        memcpy(dst->pixels + ((size_t)(dy + y) * (size_t)dst->w + (size_t)dx) * c,
               src->pixels + ((size_t)(sy + y) * (size_t)src->w + (size_t)sx) * c, bytes);
}

few_status few_image_crop(few_image *im, int h, int w, few_error *err)
{
    if (h == im->h && w == im->w)
        return FEW_OK;
    if (h > im->h || w > im->w)
        return few_fail(err, FEW_EINVAL, "cannot crop %d x %d pixels to %d x %d", im->w, im->h, w,
                        h);
    few_image out;
    FEW_TRY(few_image_init(&out, h, w, im->c, err));
    copy_window(&out, 0, 0, im, (im->h - h) / 2, (im->w - w) / 2, h, w);
    replace(im, &out);
    return FEW_OK;
}

few_status few_image_pad(few_image *im, int h, int w, int value, few_error *err)
{
    if (h == im->h && w == im->w)
        return FEW_OK;
    if (h < im->h || w < im->w)
        return few_fail(err, FEW_EINVAL, "cannot pad %d x %d pixels to %d x %d, which is smaller",
                        im->w, im->h, w, h);
    few_image out;
    FEW_TRY(few_image_init(&out, h, w, im->c, err));
    memset(out.pixels, value, (size_t)h * (size_t)w * (size_t)im->c);
    copy_window(&out, (h - im->h) / 2, (w - im->w) / 2, im, 0, 0, im->h, im->w);
    replace(im, &out);
    return FEW_OK;
}

void few_image_flip(few_image *im)
{
    for (int y = 0; y < im->h; y++) {
        uint8_t *a = im->pixels + (size_t)y * (size_t)im->w * (size_t)im->c;
        uint8_t *b = a + (size_t)(im->w - 1) * (size_t)im->c;
        for (; a < b; a += im->c, b -= im->c)
            for (int k = 0; k < im->c; k++) {
                const uint8_t t = a[k];
                a[k] = b[k];
                b[k] = t;
            }
    }
}

void few_flip_pixels(uint8_t *dst, const uint8_t *src, int h, int w, int c)
{
    for (int y = 0; y < h; y++, src += (size_t)w * (size_t)c)
        for (int x = w; x-- > 0; dst += c)
            memcpy(dst, src + (size_t)x * (size_t)c, (size_t)c);
}

void few_turn_pixels(uint8_t *dst, const uint8_t *src, int h, int w, int c, int quarters)
{
    /* From where in src each row and each pixel of dst comes, in pixels. */
    const int64_t first[4] = { 0, w - 1, (int64_t)h * w - 1, (int64_t)(h - 1) * w };
    const int64_t down[4] = { w, -1, -w, 1 }, right[4] = { 1, w, -1, -w };
    const int rows = quarters % 2 ? w : h, columns = quarters % 2 ? h : w;
    for (int y = 0; y < rows; y++)
        for (int x = 0; x < columns; x++, dst += c)
            memcpy(dst, src + (first[quarters] + y * down[quarters] + x * right[quarters]) * c,
                   (size_t)c);
}

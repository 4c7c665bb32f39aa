/* Several images in one picture: row by row from the top left, white between and around.
 *
 * Floats become bytes by round(127.5 (x + 1)), the inverse of x = byte / 127.5 - 1: every byte
 * survives the way there and back. */
#include "image/image.h"

#include <string.h>

enum { SHEET_GAP = 2 };

uint8_t few_byte_from_float(float x)
{
    const float v = 127.5f * (x + 1.0f) + 0.5f;
    return v >= 255.0f ? 255 : v > 0.0f ? (uint8_t)v : 0; /* not-a-number compares false */
}

few_status few_sheet_init(few_sheet *s, int64_t n, int h, int w, int c, int columns, int gap,
                          few_error *err)
{
    *s = (few_sheet){ .h = h, .w = w, .gap = gap, .n = n };
    if (n < 1 || h < 1 || w < 1 || columns < 0 || gap < 0 || n > INT32_MAX || (c != 1 && c != 3))
        return few_fail(err, FEW_EINVAL,
                        "no sheet of %lld images of %d x %d pixels, %d channels, %d columns",
                        (long long)n, w, h, c, columns);
    int64_t across = columns;
    if (across == 0)
        while (across * across < n)
            across++;
    across = across < n ? across : n;
    const int64_t down = (n + across - 1) / across;
    const int64_t width = across * ((int64_t)w + gap) + gap;
    const int64_t height = down * ((int64_t)h + gap) + gap;
    if (width > INT32_MAX || height > INT32_MAX || width > INT32_MAX / height / c)
        return few_fail(err, FEW_EINVAL, "a sheet of %lld x %lld pixels is too large",
                        (long long)width, (long long)height);
    FEW_TRY(few_image_init(&s->image, (int)height, (int)width, c, err));
    memset(s->image.pixels, 255, (size_t)height * (size_t)width * (size_t)c);
    s->columns = (int)across;
    return FEW_OK;
}

void few_sheet_clear(few_sheet *s)
{
    few_image_clear(&s->image);
}

/* Where row y of image i starts. */
static uint8_t *place(few_sheet *s, int64_t i, int y)
{
    const size_t top = (size_t)(i / s->columns) * (size_t)(s->h + s->gap) + (size_t)s->gap;
    const size_t left = (size_t)(i % s->columns) * (size_t)(s->w + s->gap) + (size_t)s->gap;
    return s->image.pixels + ((top + (size_t)y) * (size_t)s->image.w + left) * (size_t)s->image.c;
}

void few_sheet_put_u8(few_sheet *s, int64_t i, const uint8_t *pixels)
{
    const size_t row = (size_t)s->w * (size_t)s->image.c;
    for (int y = 0; y < s->h; y++)
        memcpy(place(s, i, y), pixels + (size_t)y * row, row);
}

void few_sheet_put_f32(few_sheet *s, int64_t i, const float *pixels)
{
    const size_t row = (size_t)s->w * (size_t)s->image.c;
    for (int y = 0; y < s->h; y++) {
        uint8_t *to = place(s, i, y);
        for (size_t x = 0; x < row; x++)
            to[x] = few_byte_from_float(*pixels++);
    }
}

few_status few_sheet_save_f32(const char *path, const float *images, int64_t n, int h, int w, int c,
                              int columns, few_error *err)
{
    few_sheet s;
    FEW_TRY(few_sheet_init(&s, n, h, w, c, columns, n > 1 ? SHEET_GAP : 0, err));
    for (int64_t i = 0; i < n; i++)
        few_sheet_put_f32(&s, i, images + i * h * w * c);
    const few_status st = few_image_write_png(path, s.image.pixels, s.image.h, s.image.w, c, err);
    few_sheet_clear(&s);
    return st;
}

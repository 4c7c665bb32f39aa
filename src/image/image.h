/* Images as bytes: decoding, writing, and the few operations a data set needs. */
#ifndef FEW_IMAGE_IMAGE_H
#define FEW_IMAGE_IMAGE_H

#include "base/status.h"

/* What a file may ask for: no side above FEW_IMAGE_MAX_SIDE, no more than FEW_IMAGE_MAX_PIXELS
 * pixels. A file that claims more is refused before memory is asked for. */
#define FEW_IMAGE_MAX_SIDE 16384
#define FEW_IMAGE_MAX_PIXELS (64 << 20)

/* pixels [h,w,c], rows from the top, c = 1 (grey) or 3 (RGB). Owned: few_image_clear. A zeroed
 * struct is an empty image. */
typedef struct few_image {
    uint8_t *pixels;
    int h, w, c;
} few_image;

/* Room for h * w * c bytes, contents undefined. Fails: FEW_EINVAL (shape), FEW_ENOMEM. */
few_status few_image_init(few_image *im, int h, int w, int c, few_error *err);
void few_image_clear(few_image *im);

/* Whether an image of that size is read at all; kind: "PNG", for the message. Fails: FEW_EFORMAT.
 */
few_status few_image_check_size(const char *kind, uint64_t h, uint64_t w, few_error *err);

/* Decode a PNG or JPEG by its first bytes. All PNG colour types become 8-bit grey or RGB; what is
 * transparent is laid onto white; 16 bits are rounded to 8; of an animation the first picture
 * counts. JPEG: grey, YCbCr, RGB and CMYK; the orientation tag is ignored. Colour profiles and
 * gamma are ignored in both. Truncated or damaged data is an error, never half a picture.
 * out: set only on FEW_OK; need not be initialised. The messages do not name the file.
 * Fails: FEW_EFORMAT, FEW_ENOMEM. Threads: any. */
few_status few_image_decode(few_image *out, const void *data, size_t n, few_error *err);
few_status few_png_decode(few_image *out, const void *data, size_t n, few_error *err);
few_status few_jpeg_decode(few_image *out, const void *data, size_t n, few_error *err);

/* The same from a file; messages name it. Fails also with FEW_EIO, FEW_ENOTFOUND. */
few_status few_image_read(few_image *out, const char *path, few_error *err);

/* Whether a name ends in .png, .jpg or .jpeg, in any case. */
bool few_image_has_suffix(const char *name);

/* Write pixels [h,w,c], c = 1 or 3, as PNG; whole or not at all. The same pixels give the same
 * bytes. Fails: FEW_EINVAL, FEW_EIO, FEW_ENOMEM. */
few_status few_image_write_png(const char *path, const uint8_t *pixels, int h, int w, int c,
                               few_error *err);

/* In place; on failure (FEW_ENOMEM, FEW_EINVAL) the image is unchanged.
 * channels  1: luma of BT.601; 3: the grey value three times.
 * resize    per axis: area average when it shrinks, bilinear when it grows.
 * crop      the centre [h,w]; the odd pixel stays at the bottom and right. h, w <= the image's.
 * pad       to [h,w] with `value`, centred; the odd pixel goes to the bottom and right.
 * flip      left and right exchanged. */
few_status few_image_set_channels(few_image *im, int c, few_error *err);
few_status few_image_resize(few_image *im, int h, int w, few_error *err);
few_status few_image_crop(few_image *im, int h, int w, few_error *err);
few_status few_image_pad(few_image *im, int h, int w, int value, few_error *err);
void few_image_flip(few_image *im);

/* dst [h,w,c] = src mirrored left to right; they must not overlap. */
void few_flip_pixels(uint8_t *dst, const uint8_t *src, int h, int w, int c);
/* dst = src [h,w,c] turned counter-clockwise by 0 to 3 quarters: [w,h,c] when that is odd. They
 * must not overlap. */
void few_turn_pixels(uint8_t *dst, const uint8_t *src, int h, int w, int c, int quarters);

/* round(127.5 (x + 1)), clamped to 0..255; not-a-number gives 0. */
uint8_t few_byte_from_float(float x);

/* Several images of one size in one picture, `columns` wide (0: as square as possible), `gap`
 * pixels of white between and around them. Unused places stay white. */
typedef struct few_sheet {
    few_image image;
    int h, w, columns, gap;
    int64_t n;
} few_sheet;

few_status few_sheet_init(few_sheet *s, int64_t n, int h, int w, int c, int columns, int gap,
                          few_error *err);
void few_sheet_clear(few_sheet *s);
/* Lay image i, 0 <= i < n, in its place: bytes [h,w,c], or floats [h,w,c] in [-1,1]. */
void few_sheet_put_u8(few_sheet *s, int64_t i, const uint8_t *pixels);
void few_sheet_put_f32(few_sheet *s, int64_t i, const float *pixels);

/* n float images [n,h,w,c] in [-1,1], written as one PNG (few_save_png of the public header). */
few_status few_sheet_save_f32(const char *path, const float *images, int64_t n, int h, int w, int c,
                              int columns, few_error *err);

#endif

/* JPEG through libjpeg, from memory.
 *
 * libjpeg's default is to exit() on errors and to go on with grey blocks after truncated data. Here
 * both leave by longjmp into few_jpeg_decode. What must survive the jump lives in a struct of the
 * caller of the function with setjmp. Memory and time are bounded: a Huffman-coded block costs a
 * bit or more, so a file that claims more pixels than MAX_RATIO times its bytes is refused, and a
 * progressive file may have MAX_SCANS scans. */
#include "image/image.h"

#include "base/alloc.h"

#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <jerror.h>
#include <jpeglib.h>

enum { MAX_RATIO = 2048, MAX_SCANS = 100 };

struct job {
    struct jpeg_decompress_struct d;
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    jmp_buf leave;
    uint8_t *pixels, *row; /* row: for CMYK */
    few_error *err;
    few_status st;
};

static void on_exit_error(j_common_ptr d)
{
    struct job *j = d->client_data;
    char text[JMSG_LENGTH_MAX];
    d->err->format_message(d, text);
    j->st = d->err->msg_code == JERR_OUT_OF_MEMORY
                ? few_fail(j->err, FEW_ENOMEM, "out of memory")
                : few_fail(j->err, FEW_EFORMAT, "damaged JPEG: %s", text);
    longjmp(j->leave, 1);
}

/* Level -1 is a warning: wrong data that libjpeg would paint over. A few are harmless. */
static void on_message(j_common_ptr d, int level)
{
    const int code = d->err->msg_code;
    if (level >= 0 || code == JWRN_ADOBE_XFORM || code == JWRN_JFIF_MAJOR ||
        code == JWRN_EXTRANEOUS_DATA)
        return;
    on_exit_error(d);
}

static void on_print(j_common_ptr d)
{
    (void)d;
}

static void on_progress(j_common_ptr d)
{
    struct job *j = d->client_data;
    if (j->d.input_scan_number > MAX_SCANS) {
        j->st = few_fail(j->err, FEW_EFORMAT, "the JPEG has more than %d scans", MAX_SCANS);
        longjmp(j->leave, 1);
    }
}

/* C, M, Y, K to RGB. Adobe's programs store them inverted and say so by a marker. */
static void rgb_from_cmyk(uint8_t *rgb, const uint8_t *cmyk, size_t n, bool inverted)
{
    for (size_t i = 0; i < n; i++, rgb += 3, cmyk += 4)
        for (int k = 0; k < 3; k++) {
            const int ink = inverted ? cmyk[k] : 255 - cmyk[k];
            const int black = inverted ? cmyk[3] : 255 - cmyk[3];
            rgb[k] = (uint8_t)((ink * black + 127) / 255);
        }
}

static few_status decode(struct job *j, const void *data, size_t n)
{
    struct jpeg_decompress_struct *d = &j->d;
    if (setjmp(j->leave))
        return j->st;
    jpeg_create_decompress(d);
    d->client_data = j; /* creating clears neither err nor this */
    d->progress = &j->progress;
    jpeg_mem_src(d, data, n);
    jpeg_read_header(d, TRUE);

    const uint64_t w = d->image_width, h = d->image_height;
    FEW_TRY(few_image_check_size("JPEG", h, w, j->err));
    const int in = d->num_components;
    if (in != 1 && in != 3 && in != 4)
        return few_fail(j->err, FEW_EFORMAT, "the JPEG has %d components, not 1, 3 or 4", in);
    const size_t c = in == 1 ? 1 : 3;
    if (w * h * c / MAX_RATIO > n)
        return few_fail(j->err, FEW_EFORMAT,
                        "damaged JPEG: it claims %d x %d pixels, %zu bytes cannot hold them",
                        (int)w, (int)h, n);
    d->out_color_space = in == 1 ? JCS_GRAYSCALE : in == 3 ? JCS_RGB : JCS_CMYK;

    j->pixels = few_malloc(w * h * c);
    if (in == 4)
        j->row = few_malloc(w * 4);
    if (!j->pixels || (in == 4 && !j->row))
        return few_fail(j->err, FEW_ENOMEM, "out of memory for an image of %d x %d pixels", (int)w,
                        (int)h);
    jpeg_start_decompress(d);
    while (d->output_scanline < d->output_height) {
        uint8_t *to = j->pixels + d->output_scanline * w * c;
        JSAMPROW row = in == 4 ? j->row : to;
        if (jpeg_read_scanlines(d, &row, 1) == 1 && in == 4)
            rgb_from_cmyk(to, j->row, w, d->saw_Adobe_marker);
    }
    jpeg_finish_decompress(d);
    return FEW_OK;
}

few_status few_jpeg_decode(few_image *out, const void *data, size_t n, few_error *err)
{
    struct job j = { .err = err };
    j.d.client_data = &j;
    j.d.err = jpeg_std_error(&j.errors);
    j.errors.error_exit = on_exit_error;
    j.errors.emit_message = on_message;
    j.errors.output_message = on_print;
    j.progress.progress_monitor = on_progress;
    if (n == 0)
        return few_fail(err, FEW_EFORMAT, "the file is empty");
    const few_status st = decode(&j, data, n);
    const int h = (int)j.d.image_height, w = (int)j.d.image_width;
    const int c = j.d.num_components == 1 ? 1 : 3;
    jpeg_destroy_decompress(&j.d);
    few_free(j.row);
    if (st != FEW_OK) {
        few_free(j.pixels);
        return st;
    }
    *out = (few_image){ .pixels = j.pixels, .h = h, .w = w, .c = c };
    return FEW_OK;
}

/* Makes the tiny inputs of the image tests: pixels by formula, files by the libraries that users'
 * files come from, never by the code under test. */
#ifndef TEST_IMAGE_MAKE_H
#define TEST_IMAGE_MAKE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <jpeglib.h>
#include <locale.h>
#include <png.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fewstep/fewstep.h"

#define MAYBE_UNUSED __attribute__((unused))

/* Bytes on the heap; free(b.p). */
typedef struct bytes {
    uint8_t *p;
    size_t n;
} bytes;

/* Byte k of pixel (y,x) of test image i: no two images, rows or columns alike. */
MAYBE_UNUSED static uint8_t pixel(int i, int y, int x, int k)
{
    return (uint8_t)(37 * i + 11 * y + 5 * x + 71 * k + (x * y) % 7);
}

MAYBE_UNUSED static uint8_t *pixels(int i, int h, int w, int c)
{
    uint8_t *p = malloc((size_t)(h * w * c));
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++)
            for (int k = 0; k < c; k++)
                p[(y * w + x) * c + k] = pixel(i, y, x, k);
    return p;
}

/* ---- folders and files ---- */

static char folder[64];

MAYBE_UNUSED static int make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/few-image-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

MAYBE_UNUSED static int remove_folder(void **state)
{
    (void)state;
    char command[96];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

/* The full name of a file in the test's folder; one of four static buffers. */
MAYBE_UNUSED static const char *in_folder(const char *name)
{
    static char buffer[4][256];
    static int turn;
    char *b = buffer[turn++ % 4];
    snprintf(b, sizeof buffer[0], "%s/%s", folder, name);
    return b;
}

/* Write name below the test's folder, with the folders it needs. */
MAYBE_UNUSED static void put_file(const char *name, const void *data, size_t n)
{
    const char *path = in_folder(name);
    char part[256];
    for (const char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        snprintf(part, sizeof part, "%.*s", (int)(slash - path), path);
        mkdir(part, 0777);
    }
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    if (n)
        assert_int_equal(fwrite(data, 1, n, f), n);
    fclose(f);
}

MAYBE_UNUSED static bytes get_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    fseek(f, 0, SEEK_END);
    bytes b = { .n = (size_t)ftell(f) };
    rewind(f);
    b.p = malloc(b.n + 1);
    assert_int_equal(fread(b.p, 1, b.n, f), b.n);
    fclose(f);
    return b;
}

/* How many names in the test's folder contain `part`. */
MAYBE_UNUSED static int count_matching(const char *part)
{
    int n = 0;
    DIR *d = opendir(folder);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));)
        n += strstr(e->d_name, part) != NULL;
    closedir(d);
    return n;
}

/* ---- PNG and JPEG ---- */

MAYBE_UNUSED static void append(bytes *b, const void *p, size_t n)
{
    b->p = realloc(b->p, b->n + n + 1);
    if (n)
        memcpy(b->p + b->n, p, n);
    b->n += n;
}

MAYBE_UNUSED static void png_append(png_structp png, png_bytep p, size_t n)
{
    append(png_get_io_ptr(png), p, n);
}

MAYBE_UNUSED static void png_no_flush(png_structp png)
{
    (void)png;
}

/* rows: h rows as libpng wants them for this type and depth. palette and trans may be NULL. */
MAYBE_UNUSED static bytes png_bytes(const uint8_t *rows, int h, int w, int type, int depth,
                                    bool interlaced, const png_color *palette, int n_palette,
                                    const uint8_t *trans, int n_trans)
{
    bytes b = { 0 };
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    png_set_write_fn(png, &b, png_append, png_no_flush);
    png_set_IHDR(png, info, (png_uint_32)w, (png_uint_32)h, depth, type,
                 interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE, 0, 0);
    if (palette)
        png_set_PLTE(png, info, palette, n_palette);
    if (trans)
        png_set_tRNS(png, info, trans, n_trans, NULL);
    png_write_info(png, info);
    const size_t row = png_get_rowbytes(png, info);
    const int passes = png_set_interlace_handling(png);
    for (int pass = 0; pass < passes; pass++)
        for (int y = 0; y < h; y++)
            png_write_row(png, rows + (size_t)y * row);
    png_write_end(png, NULL);
    png_destroy_write_struct(&png, &info);
    return b;
}

/* Test image i as an ordinary PNG. */
MAYBE_UNUSED static bytes png_of(int i, int h, int w, int c)
{
    uint8_t *p = pixels(i, h, w, c);
    const bytes b = png_bytes(p, h, w, c == 3 ? PNG_COLOR_TYPE_RGB : PNG_COLOR_TYPE_GRAY, 8, false,
                              NULL, 0, NULL, 0);
    free(p);
    return b;
}

MAYBE_UNUSED static void put_png(const char *name, int i, int h, int w, int c)
{
    const bytes b = png_of(i, h, w, c);
    put_file(name, b.p, b.n);
    free(b.p);
}

MAYBE_UNUSED static bytes jpeg_bytes(const uint8_t *p, int h, int w, int c, J_COLOR_SPACE space,
                                     bool progressive)
{
    struct jpeg_compress_struct j;
    struct jpeg_error_mgr errors;
    unsigned char *out = NULL;
    unsigned long n = 0;
    j.err = jpeg_std_error(&errors);
    jpeg_create_compress(&j);
    jpeg_mem_dest(&j, &out, &n);
    j.image_width = (JDIMENSION)w;
    j.image_height = (JDIMENSION)h;
    j.input_components = c;
    j.in_color_space = space;
    jpeg_set_defaults(&j);
    jpeg_set_quality(&j, 95, TRUE);
    if (progressive)
        jpeg_simple_progression(&j);
    jpeg_start_compress(&j, TRUE);
    while (j.next_scanline < j.image_height) {
        JSAMPROW row = (JSAMPROW)(uintptr_t)(p + j.next_scanline * (size_t)(w * c));
        jpeg_write_scanlines(&j, &row, 1);
    }
    jpeg_finish_compress(&j);
    jpeg_destroy_compress(&j);
    return (bytes){ out, n };
}

/* A smooth image, which JPEG keeps nearly as it is. */
MAYBE_UNUSED static uint8_t *smooth(int h, int w, int c)
{
    uint8_t *p = malloc((size_t)(h * w * c));
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++)
            for (int k = 0; k < c; k++)
                p[(y * w + x) * c + k] = (uint8_t)(50 + 3 * x + 2 * y + 15 * k);
    return p;
}

/* ---- arrays ---- */

MAYBE_UNUSED static void big_endian_32(bytes *b, uint32_t v)
{
    const uint8_t p[4] = { (uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v };
    append(b, p, 4);
}

/* n test images as IDX; labels i mod 3. */
MAYBE_UNUSED static bytes idx_images(int n, int h, int w)
{
    bytes b = { 0 };
    big_endian_32(&b, 0x803);
    big_endian_32(&b, (uint32_t)n);
    big_endian_32(&b, (uint32_t)h);
    big_endian_32(&b, (uint32_t)w);
    for (int i = 0; i < n; i++) {
        uint8_t *p = pixels(i, h, w, 1);
        append(&b, p, (size_t)(h * w));
        free(p);
    }
    return b;
}

MAYBE_UNUSED static bytes idx_labels(int n)
{
    bytes b = { 0 };
    big_endian_32(&b, 0x801);
    big_endian_32(&b, (uint32_t)n);
    for (int i = 0; i < n; i++) {
        const uint8_t k = (uint8_t)(i % 3);
        append(&b, &k, 1);
    }
    return b;
}

/* n records of CIFAR-10, label i mod 10. */
MAYBE_UNUSED static bytes cifar_records(int first, int n)
{
    bytes b = { 0 };
    for (int i = first; i < first + n; i++) {
        const uint8_t label = (uint8_t)(i % 10);
        append(&b, &label, 1);
        for (int k = 0; k < 3; k++)
            for (int y = 0; y < 32; y++)
                for (int x = 0; x < 32; x++) {
                    const uint8_t v = pixel(i, y, x, k);
                    append(&b, &v, 1);
                }
    }
    return b;
}

/* A .npy, version 1, with this head text and these elements. */
MAYBE_UNUSED static bytes npy_bytes(const char *dict, const void *data, size_t n)
{
    bytes b = { 0 };
    char head[256];
    size_t m = strlen(dict);
    memset(head, ' ', sizeof head);
    memcpy(head, dict, m);
    while ((10 + m + 1) % 64)
        m++;
    head[m++] = '\n';
    const uint8_t start[10] = { 0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, (uint8_t)m, 0 };
    append(&b, start, 10);
    append(&b, head, m);
    append(&b, data, n);
    return b;
}

/* n test images [n,h,w,c] as .npy. */
MAYBE_UNUSED static bytes npy_images(int n, int h, int w, int c)
{
    bytes all = { 0 };
    for (int i = 0; i < n; i++) {
        uint8_t *p = pixels(i, h, w, c);
        append(&all, p, (size_t)(h * w * c));
        free(p);
    }
    char dict[128];
    snprintf(dict, sizeof dict,
             "{'descr': '|u1', 'fortran_order': False, 'shape': (%d, %d, %d, %d), }", n, h, w, c);
    const bytes b = npy_bytes(dict, all.p, all.n);
    free(all.p);
    return b;
}

MAYBE_UNUSED static bytes npy_labels(int n)
{
    int64_t v[64];
    for (int i = 0; i < n; i++)
        v[i] = i % 3;
    char dict[128];
    snprintf(dict, sizeof dict, "{'descr': '<i8', 'fortran_order': False, 'shape': (%d,), }", n);
    return npy_bytes(dict, v, (size_t)n * 8);
}

/* ---- archives ---- */

typedef struct entry {
    const char *name;
    bytes data;
} entry;

/* kind: "zip", "stored" (zip without compression), "tar", "tar.gz". The entries' data are freed. */
MAYBE_UNUSED static void put_archive(const char *name, const char *kind, const entry *e, int n)
{
    /* libarchive can only write names of the locale's characters. */
    const locale_t utf8 = newlocale(LC_ALL_MASK, "C.UTF-8", (locale_t)0);
    const locale_t was = uselocale(utf8);
    struct archive *a = archive_write_new();
    const bool zip = strstr("zip stored", kind) != NULL;
    if (zip)
        archive_write_set_format_zip(a);
    else
        archive_write_set_format_pax_restricted(a);
    if (zip) /* names that are not ASCII are marked as UTF-8 */
        archive_write_set_options(a, "hdrcharset=UTF-8");
    if (!strcmp(kind, "stored"))
        archive_write_set_options(a, "zip:compression=store");
    if (!strcmp(kind, "tar.gz"))
        archive_write_add_filter_gzip(a);
    assert_int_equal(archive_write_open_filename(a, in_folder(name)), ARCHIVE_OK);
    for (int i = 0; i < n; i++) {
        struct archive_entry *h = archive_entry_new();
        archive_entry_set_pathname(h, e[i].name);
        archive_entry_set_size(h, (la_int64_t)e[i].data.n);
        archive_entry_set_filetype(h, AE_IFREG);
        archive_entry_set_perm(h, 0644);
        assert_int_equal(archive_write_header(a, h), ARCHIVE_OK);
        archive_write_data(a, e[i].data.p, e[i].data.n);
        archive_entry_free(h);
        free(e[i].data.p);
    }
    archive_write_close(a);
    archive_write_free(a);
    uselocale(was);
    freelocale(utf8);
}

/* The bytes as a .gz file. */
MAYBE_UNUSED static void put_gz(const char *name, bytes b)
{
    struct archive *a = archive_write_new();
    archive_write_set_format_raw(a);
    archive_write_add_filter_gzip(a);
    assert_int_equal(archive_write_open_filename(a, in_folder(name)), ARCHIVE_OK);
    struct archive_entry *h = archive_entry_new();
    archive_entry_set_pathname(h, "data");
    archive_entry_set_filetype(h, AE_IFREG);
    archive_write_header(a, h);
    archive_write_data(a, b.p, b.n);
    archive_entry_free(h);
    archive_write_close(a);
    archive_write_free(a);
}

/* A copy of a string as bytes. */
MAYBE_UNUSED static bytes text(const char *s)
{
    bytes b = { 0 };
    append(&b, s, strlen(s));
    return b;
}

#define assert_ok(call)                                                                            \
    do {                                                                                           \
        few_error err_ = { 0 };                                                                    \
        few_error *const err = &err_;                                                              \
        if ((call) != FEW_OK)                                                                      \
            fail_msg("%s: %s", #call, err_.text);                                                  \
    } while (0)

#define assert_contains(string, part)                                                              \
    do {                                                                                           \
        if (!strstr(string, part))                                                                 \
            fail_msg("'%s' does not contain '%s'", string, part);                                  \
    } while (0)

#endif

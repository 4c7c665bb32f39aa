/* PNG through libpng, from memory and to a file.
 *
 * What is easy to get wrong: deflate turns 1 byte into at most 1032, so a header that claims more
 * pixels than the file can hold is refused before memory is asked for; libpng leaves by longjmp,
 * so whatever must survive it lives in a struct of the caller of the function with setjmp; and
 * what is transparent must be laid onto something: onto white here, v' = v a + 255 (1 - a). */
#include "image/image.h"

#include "base/alloc.h"
#include "base/file.h"

#include <png.h>
#include <string.h>

enum { MAX_CHUNK = 1 << 20, DEFLATE_RATIO = 1032, MAX_SIDE = 0x7fffffff /* of the format */ };

struct job {
    png_structp png;
    png_infop info;
    const uint8_t *in; /* reading: what is left */
    size_t left;
    few_atomic_file *file; /* writing */
    bool write_failed;     /* and reported */
    uint8_t *pixels;
    int h, w, c;
    bool no_memory;
    few_error *err;
};

static void on_error(png_structp png, png_const_charp text)
{
    struct job *j = png_get_error_ptr(png);
    if (j->no_memory)
        few_fail(j->err, FEW_ENOMEM, "out of memory");
    else if (!j->write_failed)
        few_fail(j->err, FEW_EFORMAT, "%s PNG: %s", j->file ? "cannot make the" : "damaged", text);
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp text)
{
    (void)png;
    (void)text;
}

static png_voidp on_malloc(png_structp png, png_alloc_size_t n)
{
    struct job *j = png_get_mem_ptr(png);
    void *p = few_malloc(n);
    j->no_memory |= !p;
    return p;
}

static void on_free(png_structp png, png_voidp p)
{
    (void)png;
    few_free(p);
}

static void on_read(png_structp png, png_bytep out, size_t n)
{
    struct job *j = png_get_io_ptr(png);
    if (n > j->left)
        png_error(png, "the file ends too early");
    memcpy(out, j->in, n);
    j->in += n;
    j->left -= n;
}

static void on_write(png_structp png, png_bytep p, size_t n)
{
    struct job *j = png_get_io_ptr(png);
    if (few_atomic_write(j->file, p, n, j->err) != FEW_OK) {
        j->write_failed = true;
        png_error(png, "cannot write");
    }
}

static void on_flush(png_structp png)
{
    (void)png;
}

/* Everything that does not change pixels is skipped unread. */
static void skip_decoration(png_structp png)
{
    static const png_byte names[] = "cHRM\0gAMA\0iCCP\0sBIT\0sRGB\0bKGD\0hIST\0pHYs\0sPLT\0"
                                    "tIME\0tEXt\0zTXt\0iTXt\0oFFs\0pCAL\0sCAL\0eXIf";
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, names, (int)(sizeof names / 5));
}

/* Lay grey+alpha or RGBA onto white, in place. */
static void drop_alpha(uint8_t *p, size_t n_pixels, int colours)
{
    const uint8_t *in = p;
    for (size_t i = 0; i < n_pixels; i++, in += colours + 1) {
        const int a = in[colours];
        for (int k = 0; k < colours; k++)
            *p++ = (uint8_t)((in[k] * a + 255 * (255 - a) + 127) / 255);
    }
}

static few_status decode(struct job *j)
{
    if (setjmp(png_jmpbuf(j->png)))
        return j->no_memory ? FEW_ENOMEM : FEW_EFORMAT;
    png_structp png = j->png;
    png_set_user_limits(png, MAX_SIDE, MAX_SIDE); /* ours are told with the size */
    png_set_chunk_malloc_max(png, MAX_CHUNK);
    png_set_chunk_cache_max(png, 16);
    skip_decoration(png);
    png_set_read_fn(png, j, on_read);
    const size_t file_size = j->left;
    png_read_info(png, j->info);

    const uint64_t h = png_get_image_height(png, j->info), w = png_get_image_width(png, j->info);
    FEW_TRY(few_image_check_size("PNG", h, w, j->err));
    if (h * png_get_rowbytes(png, j->info) / DEFLATE_RATIO > file_size)
        return few_fail(j->err, FEW_EFORMAT,
                        "damaged PNG: it claims %d x %d pixels, %zu bytes cannot hold them", (int)w,
                        (int)h, file_size);

    png_set_expand(png); /* palette to RGB, few bits to 8, transparent colours to alpha */
    png_set_scale_16(png);
    const int passes = png_set_interlace_handling(png);
    png_read_update_info(png, j->info);
    const int channels = png_get_channels(png, j->info);
    const size_t row = png_get_rowbytes(png, j->info);
    if (channels < 1 || channels > 4 || row != (size_t)w * (size_t)channels)
        return few_fail(j->err, FEW_EFORMAT, "damaged PNG: colour type unknown");
    j->pixels = few_malloc(h * row);
    if (!j->pixels)
        return few_fail(j->err, FEW_ENOMEM, "out of memory for an image of %d x %d pixels", (int)w,
                        (int)h);
    for (int pass = 0; pass < passes; pass++)
        for (uint64_t y = 0; y < h; y++)
            png_read_row(png, j->pixels + y * row, NULL);
    png_read_end(png, NULL);

    j->c = channels > 2 ? 3 : 1;
    if (channels != j->c)
        drop_alpha(j->pixels, (size_t)(h * w), j->c);
    j->h = (int)h;
    j->w = (int)w;
    return FEW_OK;
}

few_status few_png_decode(few_image *out, const void *data, size_t n, few_error *err)
{
    struct job j = { .in = data, .left = n, .err = err };
    few_status st = FEW_ENOMEM;
    j.png = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, &j, on_error, on_warning, &j, on_malloc,
                                     on_free);
    if (j.png)
        j.info = png_create_info_struct(j.png);
    if (!j.info)
        few_fail(err, FEW_ENOMEM, "out of memory");
    else
        st = decode(&j);
    png_destroy_read_struct(&j.png, &j.info, NULL);
    if (st != FEW_OK) {
        few_free(j.pixels);
        return st;
    }
    *out = (few_image){ .pixels = j.pixels, .h = j.h, .w = j.w, .c = j.c };
    return FEW_OK;
}

static few_status encode(struct job *j, const uint8_t *pixels)
{
    if (setjmp(png_jmpbuf(j->png)))
        return j->no_memory ? FEW_ENOMEM : FEW_EIO;
    png_structp png = j->png;
    png_set_user_limits(png, MAX_SIDE, MAX_SIDE);
    png_set_write_fn(png, j, on_write, on_flush);
    png_set_IHDR(png, j->info, (png_uint_32)j->w, (png_uint_32)j->h, 8,
                 j->c == 3 ? PNG_COLOR_TYPE_RGB : PNG_COLOR_TYPE_GRAY, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, j->info);
    for (int y = 0; y < j->h; y++)
        png_write_row(png, pixels + (size_t)y * (size_t)j->w * (size_t)j->c);
    png_write_end(png, NULL);
    return FEW_OK;
}

few_status few_image_write_png(const char *path, const uint8_t *pixels, int h, int w, int c,
                               few_error *err)
{
    if (h < 1 || w < 1 || (c != 1 && c != 3))
        return few_fail(err, FEW_EINVAL, "cannot write '%s': no PNG of %d x %d pixels, %d channels",
                        path, w, h, c);
    few_atomic_file file;
    FEW_TRY(few_atomic_open(&file, path, err));
    struct job j = { .file = &file, .h = h, .w = w, .c = c, .err = err };
    few_status st = FEW_ENOMEM;
    j.png = png_create_write_struct_2(PNG_LIBPNG_VER_STRING, &j, on_error, on_warning, &j,
                                      on_malloc, on_free);
    if (j.png)
        j.info = png_create_info_struct(j.png);
    if (!j.info)
        few_fail(err, FEW_ENOMEM, "out of memory");
    else
        st = encode(&j, pixels);
    png_destroy_write_struct(&j.png, &j.info);
    if (st != FEW_OK) {
        few_atomic_abandon(&file);
        if (!j.write_failed)
            few_fail_in(err, "'%s'", path);
        return st;
    }
    return few_atomic_commit(&file, err);
}

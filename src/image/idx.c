/* IDX, the format of MNIST (yann.lecun.com/exdb/mnist): big-endian u32 magic, then sizes, then
 * bytes. Images have magic 0x803 and sizes N, H, W; labels 0x801 and N. Either may be gzip.
 *
 * The labels of x-images-idx3-ubyte are in x-labels-idx1-ubyte beside it. They are small and read
 * whole; images are read one at a time. */
#include "image/source.h"

#include "base/alloc.h"
#include "base/file.h"
#include "image/stream.h"

#include <string.h>

enum { MAGIC_LABELS = 0x801, MAGIC_IMAGES = 0x803 };

struct idx {
    few_source base;
    few_stream stream;
    int64_t at;
    int h, w;
    uint8_t *labels; /* [total] or NULL */
};

static uint32_t big_endian(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static int probe(const char *path)
{
    uint8_t head[4];
    if (few_is_folder(path))
        return 0;
    if (few_first_bytes(path, head, 4) == 4 && big_endian(head) == MAGIC_IMAGES)
        return 95;
    const char *name = few_base_name(path);
    return strstr(name, "idx3-ubyte") || strstr(name, "idx1-ubyte") ? 70 : 0;
}

/* Read the magic and `n` sizes. */
static few_status read_head(few_stream *s, uint32_t magic, uint32_t *size, int n, few_error *err)
{
    uint8_t b[16];
    few_status st = few_stream_read(s, b, 4, err);
    if (st == FEW_OK && big_endian(b) != magic)
        st = few_fail(err, FEW_EFORMAT, "no IDX %s: the first four bytes are %08x, wanted %08x",
                      magic == MAGIC_LABELS ? "labels" : "images", big_endian(b), magic);
    if (st == FEW_OK)
        st = few_stream_read(s, b, 4 * (size_t)n, err);
    for (int i = 0; i < n && st == FEW_OK; i++)
        size[i] = big_endian(b + 4 * i);
    if (st != FEW_OK)
        few_fail_in(err, "'%s'", s->name);
    return st;
}

/* Start on the images of an open stream. */
static few_status begin(struct idx *x, few_error *err)
{
    uint32_t size[3];
    FEW_TRY(read_head(&x->stream, MAGIC_IMAGES, size, 3, err));
    if (size[0] == 0)
        return few_fail(err, FEW_EFORMAT, "'%s' holds no images", x->stream.name);
    if (size[1] < 1 || size[2] < 1 || size[1] > FEW_IMAGE_MAX_SIDE ||
        size[2] > FEW_IMAGE_MAX_SIDE || size[1] * size[2] > FEW_IMAGE_MAX_PIXELS)
        return few_fail(err, FEW_EFORMAT, "'%s' claims images of %u x %u pixels", x->stream.name,
                        size[2], size[1]);
    const uint64_t each = (uint64_t)size[1] * size[2], need = 16 + each * size[0];
    const uint64_t most = (uint64_t)few_stream_bound(&x->stream);
    /* A file cut short still gives its first images when asked, so only one must fit. */
    if (16 + each > most)
        return few_fail(err, FEW_EFORMAT, "'%s' is truncated: %u images of %u x %u need %llu bytes",
                        x->stream.name, size[0], size[2], size[1], (unsigned long long)need);
    x->h = (int)size[1];
    x->w = (int)size[2];
    x->base.type = &few_source_idx;
    x->base.total = size[0];
    return FEW_OK;
}

static few_status read_labels(struct idx *x, const char *path, few_error *err)
{
    few_stream s;
    uint32_t n;
    few_status st;
    FEW_GOTO(few_stream_open(&s, path, FEW_STREAM_FILE, err));
    FEW_GOTO(read_head(&s, MAGIC_LABELS, &n, 1, err));
    if (n != x->base.total) {
        st = few_fail(err, FEW_EFORMAT, "'%s' has %u labels, '%s' has %lld images", path, n,
                      x->stream.name, (long long)x->base.total);
        goto cleanup;
    }
    if (n > few_stream_bound(&s)) {
        st = few_fail(err, FEW_EFORMAT, "'%s' is truncated: %u labels cannot be in it", path, n);
        goto cleanup;
    }
    x->labels = few_malloc(n);
    if (!x->labels) {
        st = few_fail(err, FEW_ENOMEM, "out of memory for %u labels", n);
        goto cleanup;
    }
    st = few_stream_read(&s, x->labels, n, err);
    if (st == FEW_OK)
        st = few_stream_finish(&s, err);
    if (st != FEW_OK) {
        few_fail_in(err, "'%s'", path);
        goto cleanup;
    }
    int top = 0;
    for (uint32_t i = 0; i < n; i++)
        top = x->labels[i] > top ? x->labels[i] : top;
    x->base.labelled = true;
    x->base.n_classes = top + 1;
cleanup:
    few_stream_close(&s);
    return st;
}

/* Put `by` in place of the last `word` of the file's name; NULL when it is not there. */
static char *rename_part(const char *path, const char *word, const char *by)
{
    const char *name = few_base_name(path), *at = strstr(name, word);
    if (!at)
        return NULL;
    const size_t room = strlen(path) + strlen(by) + 1;
    char *p = few_malloc(room);
    if (p)
        snprintf(p, room, "%.*s%s%s", (int)(at - path), path, by, at + strlen(word));
    return p;
}

/* The labels' file by the usual names, packed as the images are or not; NULL: none is there. */
static char *find_labels(const char *path)
{
    char *a = rename_part(path, "images", "labels");
    char *b = a ? rename_part(a, "idx3", "idx1") : NULL;
    few_free(a);
    if (!b || few_is_file(b))
        return b;
    const size_t n = strlen(b);
    char *c = few_malloc(n + 4);
    if (c) {
        memcpy(c, b, n + 1);
        if (few_has_suffix(c, ".gz"))
            c[n - 3] = 0;
        else
            memcpy(c + n, ".gz", 4);
    }
    few_free(b);
    if (c && few_is_file(c))
        return c;
    few_free(c);
    return NULL;
}

static void close_idx(few_source *s)
{
    struct idx *x = (struct idx *)s;
    few_stream_close(&x->stream);
    few_free(x->labels);
    few_free(x);
}

static few_status open_idx(few_source **out, const char *path, const char *labels, few_error *err)
{
    struct idx *x = few_calloc(1, sizeof *x);
    if (!x)
        return few_fail(err, FEW_ENOMEM, "out of memory while opening '%s'", path);
    char *found = NULL;
    few_status st;
    FEW_GOTO(few_stream_open(&x->stream, path, FEW_STREAM_FILE, err));
    FEW_GOTO(begin(x, err));
    if (!labels)
        labels = found = find_labels(path);
    if (labels)
        FEW_GOTO(read_labels(x, labels, err));
    *out = &x->base;
cleanup:
    few_free(found);
    if (st != FEW_OK)
        close_idx(&x->base);
    return st;
}

few_status few_idx_open_memory(few_source **out, const char *name, const void *data, size_t n,
                               few_error *err)
{
    struct idx *x = few_calloc(1, sizeof *x);
    if (!x)
        return few_fail(err, FEW_ENOMEM, "out of memory while opening '%s'", name);
    few_status st = few_stream_open_memory(&x->stream, name, data, n, FEW_STREAM_FILE, err);
    if (st == FEW_OK)
        st = begin(x, err);
    if (st != FEW_OK)
        close_idx(&x->base);
    else
        *out = &x->base;
    return st;
}

static few_status next(few_source *s, few_source_item *item, few_error *err)
{
    struct idx *x = (struct idx *)s;
    snprintf(item->name, sizeof item->name, "%s: image %lld", x->stream.name, (long long)x->at);
    if (x->at == s->total) {
        s->ended = true;
        return few_stream_finish(&x->stream, err);
    }
    few_image im;
    FEW_TRY(few_image_init(&im, x->h, x->w, 1, err));
    const few_status st = few_stream_read(&x->stream, im.pixels, (size_t)x->h * (size_t)x->w, err);
    if (st != FEW_OK) {
        s->ended = true;
        few_image_clear(&im);
        return st;
    }
    item->image = im;
    if (x->labels)
        item->label = x->labels[x->at];
    x->at++;
    return FEW_OK;
}

const few_source_type few_source_idx = {
    .name = "idx",
    .help = "IDX as of MNIST, also .gz; the labels beside it or given",
    .probe = probe,
    .open = open_idx,
    .next = next,
    .close = close_idx,
    .takes_labels = true,
};

/* Writing safetensors files.
 *
 * The header is padded with spaces so that the data starts at a multiple of 64 bytes; larger
 * elements come first, so that every tensor is aligned to its own without gaps, which the format
 * forbids. The data goes from the caller's memory to the file without a copy. */
#include "base/safetensors.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/strbuf.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct text {
    char *key, *value;
};

struct few_safetensors_writer {
    few_safetensor *entries; /* their names are ours */
    struct text *texts;
    int n, n_texts;
};

static few_status no_memory(few_error *err)
{
    return few_fail(err, FEW_ENOMEM, "no memory left to collect tensors");
}

few_status few_safetensors_writer_create(few_safetensors_writer **out, few_error *err)
{
    *out = few_calloc(1, sizeof **out);
    return *out ? FEW_OK : no_memory(err);
}

void few_safetensors_writer_free(few_safetensors_writer *w)
{
    if (!w)
        return;
    for (int i = 0; i < w->n; i++)
        few_free((char *)(uintptr_t)w->entries[i].name);
    for (int i = 0; i < w->n_texts; i++) {
        few_free(w->texts[i].key);
        few_free(w->texts[i].value);
    }
    few_free(w->entries);
    few_free(w->texts);
    few_free(w);
}

/* Place for one more element behind n, doubling at powers of two; NULL when there is no memory. */
static void *grow(void *array, int n, size_t size)
{
    if (n & (n - 1))
        return array;
    return n < 1 << 28 ? few_realloc(array, (size_t)(n ? 2 * n : 1) * size) : NULL;
}

few_status few_safetensors_writer_add(few_safetensors_writer *w, const char *name,
                                      few_safetensors_type type, int rank, const int64_t *shape,
                                      const void *data, few_error *err)
{
    if (!*name || !few_is_utf8(name) || !strcmp(name, "__metadata__"))
        return few_fail(err, FEW_EINVAL, "'%.100s' cannot be the name of a tensor", name);
    if (rank < 0 || rank > FEW_SAFETENSORS_RANK)
        return few_fail(err, FEW_EINVAL,
                        "tensor '%.100s' has %d dimensions, at most %d are allowed", name, rank,
                        FEW_SAFETENSORS_RANK);
    few_safetensor t = { .type = type, .rank = rank, .data = data };
    for (int i = 0; i < rank; i++)
        t.shape[i] = shape[i];
    if (!few_safetensors_measure(&t))
        return few_fail(err, FEW_EINVAL, "tensor '%.100s' has a shape that cannot exist", name);
    if (t.bytes && !data)
        return few_fail(err, FEW_EINVAL, "tensor '%.100s' has no data", name);

    few_safetensor *entries = grow(w->entries, w->n, sizeof *entries);
    if (!entries)
        return no_memory(err);
    w->entries = entries;
    t.name = few_strdup(name);
    if (!t.name)
        return no_memory(err);
    w->entries[w->n++] = t;
    return FEW_OK;
}

few_status few_safetensors_writer_metadata(few_safetensors_writer *w, const char *key,
                                           const char *text, few_error *err)
{
    if (!few_is_utf8(key) || !few_is_utf8(text))
        return few_fail(err, FEW_EINVAL, "metadata '%.100s' is not UTF-8", key);
    for (int i = 0; i < w->n_texts; i++)
        if (!strcmp(w->texts[i].key, key))
            return few_fail(err, FEW_EINVAL, "metadata '%.100s' is given twice", key);
    struct text *texts = grow(w->texts, w->n_texts, sizeof *texts);
    if (!texts)
        return no_memory(err);
    w->texts = texts;
    const struct text t = { few_strdup(key), few_strdup(text) };
    if (!t.key || !t.value) {
        few_free(t.key);
        few_free(t.value);
        return no_memory(err);
    }
    w->texts[w->n_texts++] = t;
    return FEW_OK;
}

/* ---- the header ---- */

static int by_size_then_name(const void *a, const void *b)
{
    const few_safetensor *x = a, *y = b;
    const size_t p = few_safetensors_type_size(x->type), q = few_safetensors_type_size(y->type);
    if (p != q)
        return p > q ? -1 : 1;
    return strcmp(x->name, y->name);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const few_safetensor *)a)->name, ((const few_safetensor *)b)->name);
}

static void add_string(few_strbuf *b, const char *s)
{
    few_strbuf_add(b, "\"");
    for (; *s; s++) {
        if (*s == '"' || *s == '\\')
            few_strbuf_addf(b, "\\%c", *s);
        else if ((unsigned char)*s < 0x20)
            few_strbuf_addf(b, "\\u%04x", (unsigned)*s);
        else
            few_strbuf_add_n(b, s, 1);
    }
    few_strbuf_add(b, "\"");
}

static void make_header(const few_safetensors_writer *w, few_strbuf *b)
{
    const char *separator = "{";
    if (w->n_texts) {
        few_strbuf_add(b, "{\"__metadata__\":");
        for (int i = 0; i < w->n_texts; i++) {
            few_strbuf_add(b, i ? "," : "{");
            add_string(b, w->texts[i].key);
            few_strbuf_add(b, ":");
            add_string(b, w->texts[i].value);
        }
        few_strbuf_add(b, "}");
        separator = ",";
    }
    size_t from = 0;
    for (int i = 0; i < w->n; i++) {
        const few_safetensor *e = &w->entries[i];
        few_strbuf_add(b, separator);
        add_string(b, e->name);
        few_strbuf_addf(b, ":{\"dtype\":\"%s\",\"shape\":[", few_safetensors_type_name(e->type));
        for (int d = 0; d < e->rank; d++)
            few_strbuf_addf(b, "%s%" PRId64, d ? "," : "", e->shape[d]);
        few_strbuf_addf(b, "],\"data_offsets\":[%zu,%zu]}", from, from + e->bytes);
        from += e->bytes;
        separator = ",";
    }
    few_strbuf_add(b, *separator == '{' ? "{}" : "}");
    while ((8 + b->n) % 64 && !b->failed)
        few_strbuf_add(b, " ");
}

/* ---- the file ---- */

static bool put(const void *data, size_t n, FILE *f)
{
    return n == 0 || fwrite(data, 1, n, f) == n;
}

static bool put_all(const few_safetensors_writer *w, const few_strbuf *header, FILE *f)
{
    uint8_t length[8];
    for (int i = 0; i < 8; i++)
        length[i] = (uint8_t)((uint64_t)header->n >> (8 * i));
    bool ok = put(length, sizeof length, f) && put(header->s, header->n, f);
    for (int i = 0; ok && i < w->n; i++)
        ok = put(w->entries[i].data, w->entries[i].bytes, f);
    return ok;
}

few_status few_safetensors_writer_write(few_safetensors_writer *w, const char *path, few_error *err)
{
    if (w->n)
        qsort(w->entries, (size_t)w->n, sizeof *w->entries, by_name);
    for (int i = 1; i < w->n; i++)
        if (by_name(&w->entries[i - 1], &w->entries[i]) == 0)
            return few_fail(err, FEW_EINVAL, "tensor '%.100s' is given twice", w->entries[i].name);
    if (w->n)
        qsort(w->entries, (size_t)w->n, sizeof *w->entries, by_size_then_name);

    few_strbuf header;
    few_strbuf_init(&header);
    make_header(w, &header);
    few_atomic_file a = { 0 };
    few_status st = FEW_OK;
    if (header.failed)
        st = no_memory(err);
    else if (header.n > 100000000)
        st = few_fail(err, FEW_EINVAL, "cannot write '%s': names and metadata take %zu bytes", path,
                      header.n);
    if (st != FEW_OK)
        goto cleanup;
    FEW_GOTO(few_atomic_open(&a, path, err));
    errno = 0;
    if (!put_all(w, &header, a.f)) {
        st = few_fail(err, FEW_EIO, "cannot write '%s': %s", path,
                      errno ? strerror(errno) : "a write failed");
        few_atomic_abandon(&a);
        goto cleanup;
    }
    st = few_atomic_commit(&a, err);
cleanup:
    few_strbuf_free(&header);
    return st;
}

/* A zip, tar or tar.gz of PNG and JPEG files; classes as in a folder (catalog.h).
 *
 * A stream cannot be sorted without holding all of it, so the file is read twice: first the names,
 * which give the classes, then the images in the order of the archive. Hence the same files packed
 * from a folder and from an archive may differ in order, not in labels. The second pass must meet
 * the names of the first; if it does not, the file changed under our hands. */
#include "image/source.h"

#include "base/alloc.h"
#include "image/stream.h"

#include <stdio.h>
#include <string.h>

struct archive_source {
    few_source base;
    few_stream stream;
    few_catalog catalog;
    int64_t at;
    uint8_t *data; /* one entry */
    size_t room;
};

static int probe(const char *path)
{
    static const char *const suffixes[] = { ".zip", ".tar", ".tgz", ".tar.gz" };
    uint8_t head[512];
    const size_t n = few_first_bytes(path, head, sizeof head);
    if (n >= 4 && (!memcmp(head, "PK\3\4", 4) || !memcmp(head, "PK\5\6", 4)))
        return 60;
    if (n >= 262 && !memcmp(head + 257, "ustar", 5))
        return 60;
    for (size_t i = 0; i < FEW_COUNT(suffixes); i++)
        if (few_has_suffix(path, suffixes[i]))
            return 50;
    return 0;
}

/* The first pass: names, and dataset.json where there is one. */
static few_status read_catalog(struct archive_source *z, few_error *err)
{
    uint8_t *json = NULL;
    char *folder = NULL;
    size_t room = 0, n = 0;
    int64_t others = 0;
    bool end;
    few_status st;
    for (;;) {
        FEW_GOTO(few_stream_next(&z->stream, &end, err));
        if (end)
            break;
        const char *name = z->stream.entry;
        const size_t at = (size_t)(few_base_name(name) - name);
        if (!strcmp(name + at, "dataset.json") && !json) {
            folder = few_strdup(name);
            if (!folder) {
                st = few_fail(err, FEW_ENOMEM, "out of memory while reading '%s'", z->stream.name);
                goto cleanup;
            }
            folder[at] = 0;
            st = few_stream_slurp(&z->stream, &json, &room, &n, err);
            if (st != FEW_OK) {
                few_fail_in(err, "'%s': dataset.json", z->stream.name);
                goto cleanup;
            }
        } else if (few_catalog_wants(name)) {
            FEW_GOTO(few_catalog_add(&z->catalog, name, err));
        } else {
            others++;
        }
    }
    if (z->catalog.n == 0) {
        st = few_fail(err, FEW_EFORMAT,
                      "'%s' holds no PNG or JPEG images (and %lld other files); unpack it if it "
                      "holds a data set of another kind",
                      z->stream.name, (long long)others);
        goto cleanup;
    }
    st = few_catalog_finish(&z->catalog, (const char *)json, n, folder, err);
    if (st != FEW_OK)
        few_fail_in(err, "'%s'", z->stream.name);
cleanup:
    few_free(json);
    few_free(folder);
    return st;
}

static void close_archive(few_source *s)
{
    struct archive_source *z = (struct archive_source *)s;
    few_stream_close(&z->stream);
    few_catalog_clear(&z->catalog);
    few_free(z->data);
    few_free(z);
}

static few_status open_archive(few_source **out, const char *path, const char *labels,
                               few_error *err)
{
    (void)labels;
    struct archive_source *z = few_calloc(1, sizeof *z);
    if (!z)
        return few_fail(err, FEW_ENOMEM, "out of memory while opening '%s'", path);
    few_status st;
    FEW_GOTO(few_stream_open(&z->stream, path, FEW_STREAM_ARCHIVE, err));
    FEW_GOTO(read_catalog(z, err));
    few_stream_close(&z->stream);
    FEW_GOTO(few_stream_open(&z->stream, path, FEW_STREAM_ARCHIVE, err));
    z->base = (few_source){ .type = &few_source_archive,
                            .total = z->catalog.n,
                            .labelled = z->catalog.labelled,
                            .n_classes = z->catalog.n_classes,
                            .classes = z->catalog.classes };
    *out = &z->base;
    return FEW_OK;
cleanup:
    close_archive(&z->base);
    return st;
}

static few_status next(few_source *s, few_source_item *item, few_error *err)
{
    struct archive_source *z = (struct archive_source *)s;
    if (z->at == z->catalog.n) {
        s->ended = true;
        return FEW_OK;
    }
    const few_catalog_entry *e = &z->catalog.entries[z->at];
    snprintf(item->name, sizeof item->name, "%s: %s", z->stream.name, e->name);
    bool end = false;
    s->ended = true; /* until the entry is found */
    do
        FEW_TRY(few_stream_next(&z->stream, &end, err));
    while (!end && !few_catalog_wants(z->stream.entry));
    if (end || strcmp(z->stream.entry, e->name))
        return few_fail(err, FEW_EFORMAT, "the archive changed while it was read");
    s->ended = false;
    z->at++;
    if (s->labelled && e->label == FEW_NO_LABEL)
        return few_fail(err, FEW_EFORMAT, "the image has no class, others have");
    item->label = e->label;
    size_t n;
    FEW_TRY(few_stream_slurp(&z->stream, &z->data, &z->room, &n, err));
    return few_image_decode(&item->image, z->data, n, err);
}

const few_source_type few_source_archive = {
    .name = "archive",
    .help = "zip, tar or tar.gz of PNG or JPEG files, also with EDM's dataset.json",
    .probe = probe,
    .open = open_archive,
    .next = next,
    .close = close_archive,
};

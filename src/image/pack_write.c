/* Writing packs. Images are streamed, so their number, the counts of classes and the checksums are
 * known only at the end, but the JSON that holds them comes first: it is written once with the
 * longest values there can be to learn its length, and again over the place kept free. */
#include "base/alloc.h"
#include "base/file.h"
#include "base/hash.h"
#include "image/catalog.h"
#include "image/pack_file.h"

#include <errno.h>
#include <string.h>

struct few_pack_writer {
    few_atomic_file file;
    json_t *head;
    size_t head_n; /* FEW_PACK_HEAD and the JSON with its blanks */
    size_t image_n;
    int64_t n, room;
    int32_t *labels; /* [room]; all labels stay in memory: 4 bytes an image */
    int n_classes;
    int64_t *counts; /* [n_classes] */
    XXH3_state_t *hash;
};

static few_status no_memory(few_error *err)
{
    return few_fail(err, FEW_ENOMEM, "out of memory while writing a data file");
}

void few_pack_writer_abandon(few_pack_writer *w)
{
    if (!w)
        return;
    few_atomic_abandon(&w->file);
    json_decref(w->head);
    XXH3_freeState(w->hash);
    few_free(w->labels);
    few_free(w->counts);
    few_free(w);
}

/* Everything known from the start, and room for the rest. */
static few_status make_head(few_pack_writer *w, const few_pack_plan *p, few_error *err)
{
    json_t *classes = json_array(), *transforms = json_array();
    int bad = 0;
    for (int i = 0; i < p->n_classes; i++) {
        char number[16];
        snprintf(number, sizeof number, "%d", i);
        const char *name = p->classes ? p->classes[i] : number;
        json_t *s = json_string(name); /* NULL when it is not UTF-8 */
        if (!s) {
            json_decref(classes);
            json_decref(transforms);
            return few_fail(err, FEW_EINVAL, "the name of class %d is not UTF-8", i);
        }
        bad |= json_array_append_new(
            classes, json_pack("{s:o, s:I}", "name", s, "count", (json_int_t)INT64_MAX));
    }
    for (int i = 0; i < p->n_transforms; i++)
        bad |= json_array_append_new(transforms, json_string(p->transforms[i]));
    json_t *source = json_string(p->source);
    if (!source)
        source = json_string("(not UTF-8)");
    static const char zeros[] = "00000000000000000000000000000000";
    w->head = json_pack("{s:s, s:I, s:i, s:i, s:i, s:b, s:o, s:o, s:o, s:s, s:s}", "format",
                        "fewstep data", "count", (json_int_t)INT64_MAX, "height", p->height,
                        "width", p->width, "channels", p->channels, "labels", p->n_classes > 0,
                        "classes", classes, "source", source, "transforms", transforms,
                        "pixels_xxh3_128", zeros, "labels_xxh3_128", zeros);
    return w->head && !bad ? FEW_OK : no_memory(err);
}

static const size_t json_flags = JSON_INDENT(1);

few_status few_pack_writer_open(few_pack_writer **out, const char *path, const few_pack_plan *p,
                                few_error *err)
{
    if (p->height < 1 || p->width < 1 || p->height > FEW_IMAGE_MAX_SIDE ||
        p->width > FEW_IMAGE_MAX_SIDE || (p->channels != 1 && p->channels != 3) ||
        p->n_classes < 0 || p->n_classes > FEW_MAX_CLASSES ||
        p->n_transforms > FEW_PACK_MAX_TRANSFORMS)
        return few_fail(err, FEW_EINVAL, "no data file of images of %d x %d x %d with %d classes",
                        p->width, p->height, p->channels, p->n_classes);
    few_pack_writer *w = few_calloc(1, sizeof *w);
    if (!w)
        return no_memory(err);
    few_status st;
    w->image_n = (size_t)p->height * (size_t)p->width * (size_t)p->channels;
    w->n_classes = p->n_classes;
    w->counts = few_calloc((size_t)p->n_classes, sizeof *w->counts);
    w->hash = XXH3_createState();
    if (!w->counts || !w->hash) {
        st = no_memory(err);
        goto cleanup;
    }
    XXH3_128bits_reset(w->hash);
    FEW_GOTO(make_head(w, p, err));
    const size_t length = json_dumpb(w->head, NULL, 0, json_flags);
    w->head_n = (FEW_PACK_HEAD + length + FEW_PACK_ALIGN - 1) / FEW_PACK_ALIGN * FEW_PACK_ALIGN;
    if (length == 0 || w->head_n > FEW_PACK_MAX_JSON) {
        st = few_fail(err, FEW_EINVAL, "the names of the classes are too long");
        goto cleanup;
    }
    FEW_GOTO(few_atomic_open(&w->file, path, err));
    if (fseeko(w->file.f, (off_t)w->head_n, SEEK_SET) != 0) {
        st = few_fail(err, FEW_EIO, "cannot write '%s': %s", path, strerror(errno));
        goto cleanup;
    }
    *out = w;
    return FEW_OK;
cleanup:
    few_pack_writer_abandon(w);
    return st;
}

few_status few_pack_writer_add(few_pack_writer *w, const uint8_t *pixels, int label, few_error *err)
{
    if (w->n == INT32_MAX)
        return few_fail(err, FEW_EINVAL, "more than %d images", INT32_MAX);
    if (w->n_classes > 0) {
        if (label < 0 || label >= w->n_classes)
            return few_fail(err, FEW_EINVAL, "label %d, allowed are 0..%d", label,
                            w->n_classes - 1);
        if (w->n == w->room) {
            const int64_t room = w->room ? 2 * w->room : 1024;
            int32_t *more = few_realloc(w->labels, (size_t)room * sizeof *more);
            if (!more)
                return no_memory(err);
            w->labels = more;
            w->room = room;
        }
        w->labels[w->n] = label;
        w->counts[label]++;
    }
    w->n++;
    XXH3_128bits_update(w->hash, pixels, w->image_n);
    return few_atomic_write(&w->file, pixels, w->image_n, err);
}

static json_t *pixels_hash(const few_pack_writer *w)
{
    char text[FEW_HASH_TEXT];
    few_hash_digest(w->hash, text);
    return json_string(text);
}

static json_t *labels_hash(const few_pack_writer *w)
{
    char text[FEW_HASH_TEXT];
    few_hash_text(w->labels, 4 * (size_t)w->n, text);
    return json_string(text);
}

/* Put in what is known now, and write it over the place kept free. */
static few_status write_head(few_pack_writer *w, few_error *err)
{
    int bad = json_object_set_new(w->head, "count", json_integer(w->n));
    bad |= json_object_set_new(w->head, "pixels_xxh3_128", pixels_hash(w));
    bad |= w->n_classes > 0 ? json_object_set_new(w->head, "labels_xxh3_128", labels_hash(w))
                            : json_object_del(w->head, "labels_xxh3_128");
    json_t *classes = json_object_get(w->head, "classes");
    for (int i = 0; i < w->n_classes; i++)
        bad |= json_object_set_new(json_array_get(classes, (size_t)i), "count",
                                   json_integer(w->counts[i]));
    uint8_t *head = few_malloc(w->head_n);
    if (bad || !head) {
        few_free(head);
        return no_memory(err);
    }
    const size_t length = w->head_n - FEW_PACK_HEAD;
    memset(head, 0, FEW_PACK_HEAD);
    memset(head + FEW_PACK_HEAD, ' ', length);
    json_dumpb(w->head, (char *)head + FEW_PACK_HEAD, length, json_flags);
    head[w->head_n - 1] = '\n';
    memcpy(head, FEW_PACK_MAGIC, 8);
    few_put_le(head + 8, FEW_PACK_VERSION, 4);
    few_put_le(head + 12, length, 4);
    few_put_le(head + 16, XXH3_64bits(head + FEW_PACK_HEAD, length), 8);
    const few_status st =
        fseeko(w->file.f, 0, SEEK_SET) == 0
            ? few_atomic_write(&w->file, head, w->head_n, err)
            : few_fail(err, FEW_EIO, "cannot write '%s': %s", w->file.path, strerror(errno));
    few_free(head);
    return st;
}

few_status few_pack_writer_commit(few_pack_writer *w, few_error *err)
{
    static const uint8_t zeros[4];
    few_status st;
    if (w->n == 0) {
        st = few_fail(err, FEW_EINVAL, "cannot write '%s': no images", w->file.path);
        goto cleanup;
    }
    if (w->n_classes > 0) {
        const size_t pad = -(w->image_n * (size_t)w->n) & 3;
        FEW_GOTO(few_atomic_write(&w->file, zeros, pad, err));
        FEW_GOTO(few_atomic_write(&w->file, w->labels, 4 * (size_t)w->n, err));
    }
    FEW_GOTO(write_head(w, err));
    st = few_atomic_commit(&w->file, err);
cleanup:
    few_pack_writer_abandon(w);
    return st;
}

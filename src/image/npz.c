/* NumPy's .npz as diffusion programs exchange samples: a zip with arr_0.npy, uint8 images
 * [N,H,W,C], and, when there are classes, arr_1.npy, labels [N].
 *
 * arr_1 usually comes after arr_0 and labels are wanted with the images: a first pass reads the
 * labels and only notes the images, a second one stops at the images. */
#include "image/arrays.h"

#include "base/alloc.h"
#include "base/file.h"

#include <string.h>

static int probe(const char *path)
{
    uint8_t head[4];
    if (!few_has_suffix(path, ".npz") || few_is_folder(path))
        return 0;
    return few_first_bytes(path, head, 4) == 4 && !memcmp(head, "PK\3\4", 4) ? 95 : 70;
}

static few_status no_images(const char *path, few_error *err)
{
    return few_fail(err, FEW_EFORMAT, "'%s' holds no array arr_0", path);
}

/* The first pass. */
static few_status scan(few_arrays *a, int64_t *n_labels, bool *has_images, few_error *err)
{
    bool end;
    for (;;) {
        FEW_TRY(few_stream_next(&a->stream, &end, err));
        if (end)
            return FEW_OK;
        if (!strcmp(a->stream.entry, "arr_0.npy"))
            *has_images = true;
        else if (!strcmp(a->stream.entry, "arr_1.npy") && !a->labels)
            FEW_TRY(few_arrays_labels(a, &a->stream, n_labels, err));
    }
}

static few_status open_npz(few_source **out, const char *path, const char *labels, few_error *err)
{
    (void)labels;
    few_arrays *a = few_calloc(1, sizeof *a);
    if (!a)
        return few_fail(err, FEW_ENOMEM, "out of memory while opening '%s'", path);
    int64_t n_labels = 0;
    bool has_images = false, end = false;
    few_status st;
    FEW_GOTO(few_stream_open(&a->stream, path, FEW_STREAM_ARCHIVE, err));
    FEW_GOTO(scan(a, &n_labels, &has_images, err));
    if (!has_images) {
        st = no_images(path, err);
        goto cleanup;
    }
    few_stream_close(&a->stream);
    FEW_GOTO(few_stream_open(&a->stream, path, FEW_STREAM_ARCHIVE, err));
    do
        FEW_GOTO(few_stream_next(&a->stream, &end, err));
    while (!end && strcmp(a->stream.entry, "arr_0.npy"));
    if (end) {
        st = no_images(path, err);
        goto cleanup;
    }
    FEW_GOTO(few_arrays_begin(a, &few_source_npz, err));
    if (a->labels)
        FEW_GOTO(few_arrays_match(a, n_labels, path, err));
    *out = &a->base;
    return FEW_OK;
cleanup:
    few_arrays_close(&a->base);
    return st;
}

const few_source_type few_source_npz = {
    .name = "npz",
    .help = "NumPy archive: arr_0 images [N,H,W,C] of uint8, arr_1 labels",
    .probe = probe,
    .open = open_npz,
    .next = few_arrays_next,
    .close = few_arrays_close,
};

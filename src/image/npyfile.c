/* One .npy with images; labels, when wanted, from a second one. */
#include "image/arrays.h"

#include "base/alloc.h"
#include "base/file.h"

#include <string.h>

static int probe(const char *path)
{
    char head[6];
    if (few_is_folder(path))
        return 0;
    if (few_first_bytes(path, head, 6) == 6 && !memcmp(head, "\x93NUMPY", 6))
        return 95;
    return few_has_suffix(path, ".npy") ? 70 : 0;
}

static few_status open_npy(few_source **out, const char *path, const char *labels, few_error *err)
{
    few_arrays *a = few_calloc(1, sizeof *a);
    if (!a)
        return few_fail(err, FEW_ENOMEM, "out of memory while opening '%s'", path);
    few_stream s = { 0 };
    int64_t n;
    few_status st;
    FEW_GOTO(few_stream_open(&a->stream, path, FEW_STREAM_FILE, err));
    FEW_GOTO(few_arrays_begin(a, &few_source_npy, err));
    if (labels) {
        FEW_GOTO(few_stream_open(&s, labels, FEW_STREAM_FILE, err));
        FEW_GOTO(few_arrays_labels(a, &s, &n, err));
        FEW_GOTO(few_arrays_match(a, n, labels, err));
    }
    *out = &a->base;
cleanup:
    few_stream_close(&s);
    if (st != FEW_OK)
        few_arrays_close(&a->base);
    return st;
}

const few_source_type few_source_npy = {
    .name = "npy",
    .help = "NumPy array [N,H,W,C] of uint8; the labels in a second one when given",
    .probe = probe,
    .open = open_npy,
    .next = few_arrays_next,
    .close = few_arrays_close,
    .takes_labels = true,
};

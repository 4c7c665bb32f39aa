/* Images and labels as NumPy arrays, read from a stream one image at a time.
 *
 * Only uint8 images are taken: floats would need a guess at their range. Channels come last;
 * [N,3,H,W] is told apart and refused with the remedy. */
#include "image/arrays.h"

#include "base/alloc.h"

#include <stdio.h>
#include <string.h>

/* Read the head of the array the stream is at. */
static few_status read_head(few_stream *s, few_npy *npy, few_error *err)
{
    uint8_t start[FEW_NPY_START];
    size_t size;
    FEW_TRY(few_stream_read(s, start, sizeof start, err));
    FEW_TRY(few_npy_head_size(&size, start, err));
    if (size < sizeof start)
        return few_fail(err, FEW_EFORMAT, "the head of the array is damaged");
    uint8_t *head = few_malloc(size);
    if (!head)
        return few_fail(err, FEW_ENOMEM, "out of memory");
    memcpy(head, start, sizeof start);
    few_status st = few_stream_read(s, head + sizeof start, size - sizeof start, err);
    if (st == FEW_OK)
        st = few_npy_parse(npy, head, size, err);
    few_free(head);
    return st;
}

static few_status check_images(few_arrays *a, few_error *err)
{
    few_npy npy;
    FEW_TRY(read_head(&a->stream, &npy, err));
    if (npy.type != FEW_NPY_U8)
        return few_fail(err, FEW_EUNSUPPORTED, "images must be uint8, 0 to 255");
    const int64_t *d = npy.dim;
    const int64_t c = npy.rank == 3 ? 1 : d[3];
    if (npy.rank == 4 && c != 1 && c != 3 && (d[1] == 1 || d[1] == 3))
        return few_fail(err, FEW_EUNSUPPORTED,
                        "the array looks like [N,C,H,W]; save x.transpose(0, 2, 3, 1) instead");
    if ((npy.rank != 3 && npy.rank != 4) || (c != 1 && c != 3))
        return few_fail(err, FEW_EUNSUPPORTED, "images must be [N,H,W], [N,H,W,1] or [N,H,W,3]");
    if (npy.count == 0)
        return few_fail(err, FEW_EFORMAT, "it holds no images");
    if (d[1] > FEW_IMAGE_MAX_SIDE || d[2] > FEW_IMAGE_MAX_SIDE ||
        d[1] * d[2] > FEW_IMAGE_MAX_PIXELS || d[1] * d[2] * c > few_stream_bound(&a->stream))
        return few_fail(err, FEW_EFORMAT, "it claims images of %lld x %lld pixels", (long long)d[2],
                        (long long)d[1]);
    a->h = (int)d[1];
    a->w = (int)d[2];
    a->c = (int)c;
    a->base.total = d[0];
    return FEW_OK;
}

few_status few_arrays_begin(few_arrays *a, const few_source_type *type, few_error *err)
{
    a->base.type = type;
    const few_status st = check_images(a, err);
    if (st != FEW_OK)
        few_fail_in(err, "'%s'", a->stream.name);
    return st;
}

static few_status check_labels(few_arrays *a, few_stream *s, int64_t *n, few_error *err)
{
    few_npy npy;
    FEW_TRY(read_head(s, &npy, err));
    const bool one = npy.rank == 1 || (npy.rank == 2 && npy.dim[1] == 1);
    if (npy.type == FEW_NPY_F32 || !one)
        return few_fail(err, FEW_EUNSUPPORTED, "labels must be [N] whole numbers (|u1, <i4, <i8)");
    if (npy.count > INT32_MAX || npy.bytes > few_stream_bound(s))
        return few_fail(err, FEW_EFORMAT, "it claims %lld labels", (long long)npy.count);
    few_status st = FEW_OK;
    uint8_t *data = few_malloc((size_t)npy.bytes); /* untouched until they come */
    if (!data)
        st = few_fail(err, FEW_ENOMEM, "out of memory for %lld labels", (long long)npy.count);
    if (st == FEW_OK)
        st = few_stream_read(s, data, (size_t)npy.bytes, err);
    if (st == FEW_OK)
        st = few_stream_finish(s, err);
    if (st == FEW_OK && !(a->labels = few_calloc((size_t)npy.count, sizeof *a->labels)))
        st = few_fail(err, FEW_ENOMEM, "out of memory for %lld labels", (long long)npy.count);
    if (st != FEW_OK)
        goto cleanup;
    int64_t top = 0;
    for (int64_t i = 0; i < npy.count; i++) {
        const int64_t k = few_npy_integer(&npy, data, i);
        if (k < 0 || k >= FEW_MAX_CLASSES) {
            st = few_fail(err, FEW_EFORMAT, "label %lld of image %lld, allowed are 0..%d",
                          (long long)k, (long long)i, FEW_MAX_CLASSES - 1);
            goto cleanup;
        }
        a->labels[i] = (int32_t)k;
        top = k > top ? k : top;
    }
    a->base.labelled = true;
    a->base.n_classes = (int)top + 1;
    *n = npy.count;
cleanup:
    few_free(data);
    return st;
}

few_status few_arrays_labels(few_arrays *a, few_stream *s, int64_t *n, few_error *err)
{
    const few_status st = check_labels(a, s, n, err);
    if (st != FEW_OK)
        few_fail_in(err, "labels in '%s'", s->name);
    return st;
}

few_status few_arrays_match(few_arrays *a, int64_t n_labels, const char *labels, few_error *err)
{
    if (n_labels == a->base.total)
        return FEW_OK;
    return few_fail(err, FEW_EFORMAT, "'%s' has %lld labels, '%s' has %lld images", labels,
                    (long long)n_labels, a->stream.name, (long long)a->base.total);
}

few_status few_arrays_next(few_source *s, few_source_item *item, few_error *err)
{
    few_arrays *a = (few_arrays *)s;
    snprintf(item->name, sizeof item->name, "%s: image %lld", a->stream.name, (long long)a->at);
    if (a->at == s->total) {
        s->ended = true;
        return few_stream_finish(&a->stream, err);
    }
    few_image im;
    FEW_TRY(few_image_init(&im, a->h, a->w, a->c, err));
    const few_status st =
        few_stream_read(&a->stream, im.pixels, (size_t)a->h * (size_t)a->w * (size_t)a->c, err);
    if (st != FEW_OK) {
        s->ended = true;
        few_image_clear(&im);
        return st;
    }
    item->image = im;
    if (a->labels)
        item->label = a->labels[a->at];
    a->at++;
    return FEW_OK;
}

void few_arrays_close(few_source *s)
{
    few_arrays *a = (few_arrays *)s;
    few_stream_close(&a->stream);
    few_free(a->labels);
    few_free(a);
}

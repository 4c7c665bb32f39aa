/* What .npy and .npz share: images [N,H,W,C] or [N,H,W] as an array of bytes, labels [N]. */
#ifndef FEW_IMAGE_ARRAYS_H
#define FEW_IMAGE_ARRAYS_H

#include "image/npy.h"
#include "image/source.h"
#include "image/stream.h"

typedef struct few_arrays {
    few_source base;
    few_stream stream; /* at the next image */
    int64_t at;
    int h, w, c;
    int32_t *labels; /* [total] or NULL */
} few_arrays;

/* The stream is at the start of an array of images: read its head, check shape and type, and fill
 * in `base` for `type`. Messages name the stream. */
few_status few_arrays_begin(few_arrays *a, const few_source_type *type, few_error *err);

/* `s` is at the start of an array of labels; read it to its end. few_arrays_begin comes before or
 * after; few_arrays_match compares the numbers. */
few_status few_arrays_labels(few_arrays *a, few_stream *s, int64_t *n, few_error *err);
few_status few_arrays_match(few_arrays *a, int64_t n_labels, const char *labels, few_error *err);

few_status few_arrays_next(few_source *s, few_source_item *item, few_error *err);
void few_arrays_close(few_source *s);

#endif

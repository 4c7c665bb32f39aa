/* The safetensors file format: named tensors and a map of strings, readable without running
 * anything. Layout: header length (8 bytes, little endian), JSON header
 * {"__metadata__": {key: text}, name: {"dtype": "F32", "shape": [..], "data_offsets": [from, to]}},
 * data. Tensors fill the data without gaps or overlap. */
#ifndef FEW_BASE_SAFETENSORS_H
#define FEW_BASE_SAFETENSORS_H

#include "base/status.h"

enum { FEW_SAFETENSORS_RANK = 8 }; /* most dimensions of a tensor */

/* X(name in the file, bytes of an element) */
#define FEW_SAFETENSORS_TYPES(X)                                                                   \
    X(F64, 8)                                                                                      \
    X(F32, 4) X(F16, 2) X(BF16, 2) X(I64, 8) X(I32, 4) X(I16, 2) X(I8, 1) X(U8, 1) X(BOOL, 1)

typedef enum few_safetensors_type {
#define X(name, size) FEW_SAFETENSORS_##name,
    FEW_SAFETENSORS_TYPES(X)
#undef X
        FEW_SAFETENSORS_TYPE_COUNT
} few_safetensors_type;

const char *few_safetensors_type_name(few_safetensors_type type);
size_t few_safetensors_type_size(few_safetensors_type type); /* bytes of an element */

typedef struct few_safetensor {
    const char *name;
    few_safetensors_type type;
    int rank;
    int64_t shape[FEW_SAFETENSORS_RANK];
    int64_t count;    /* of elements; 1 for rank 0 */
    const void *data; /* in the file's map, perhaps not aligned to the element; never NULL */
    size_t bytes;
} few_safetensor;

/* Fill count and bytes from type, rank and shape; false when a dimension is negative or the
 * product of those that are not 0 overflows. */
bool few_safetensors_measure(few_safetensor *t);

/* ---- reading ---- */

typedef struct few_safetensors few_safetensors;

/* Map a file, or look at n bytes that outlive the handle and that `file` only names in messages.
 * Everything is checked here: what the handle gives out lies inside the file.
 * Fails: FEW_EFORMAT, FEW_EIO, FEW_ENOTFOUND, FEW_ENOMEM; *out is then NULL. */
few_status few_safetensors_open(const char *file, few_safetensors **out, few_error *err);
few_status few_safetensors_parse(const void *data, size_t n, const char *file,
                                 few_safetensors **out, few_error *err);
void few_safetensors_close(few_safetensors *s); /* NULL is fine */

/* Tensors in byte order of their names; NULL when there is none of that name. Owned by s. */
int few_safetensors_count(const few_safetensors *s);
const few_safetensor *few_safetensors_at(const few_safetensors *s, int i);
const few_safetensor *few_safetensors_find(const few_safetensors *s, const char *name);

/* Text of a metadata key, or NULL. Entry i, in the order of the file: NULL behind the last.
 * Owned by s. */
const char *few_safetensors_metadata(const few_safetensors *s, const char *key);
const char *few_safetensors_metadata_at(const few_safetensors *s, int i, const char **text);

/* Round to IEEE halves, to nearest, ties to even; beyond their range infinite. */
void few_f16_from_f32(uint16_t *out, const float *in, int64_t n);

/* Convert to out[count]. Fails: FEW_EUNSUPPORTED for types other than F64, F32, F16, BF16. */
few_status few_safetensors_to_f32(const few_safetensor *t, float *out, few_error *err);

/* ---- writing ---- */

typedef struct few_safetensors_writer few_safetensors_writer;

/* Collect entries, then write them all. Names and texts are copied; data [shape] stays the
 * caller's and must live until the write. A name or key may be given once. The file's order is by
 * element size, largest first, then name; the data starts at a multiple of 64 bytes, so that in a
 * map of the file every tensor is aligned to its elements.
 * Fails: FEW_EINVAL, FEW_ENOMEM; the write also FEW_EIO, leaving an older file as it was. */
few_status few_safetensors_writer_create(few_safetensors_writer **out, few_error *err);
few_status few_safetensors_writer_add(few_safetensors_writer *w, const char *name,
                                      few_safetensors_type type, int rank, const int64_t *shape,
                                      const void *data, few_error *err);
few_status few_safetensors_writer_metadata(few_safetensors_writer *w, const char *key,
                                           const char *text, few_error *err);
few_status few_safetensors_writer_write(few_safetensors_writer *w, const char *path,
                                        few_error *err);
void few_safetensors_writer_free(few_safetensors_writer *w); /* NULL is fine */

#endif

/* NumPy's .npy: one array with its type and shape. Versions 1.0, 2.0 and 3.0, C order, types |u1,
 * <f4, <i4, <i8. */
#ifndef FEW_IMAGE_NPY_H
#define FEW_IMAGE_NPY_H

#include "base/status.h"

#define FEW_NPY_MAX_RANK 8

typedef enum few_npy_type { FEW_NPY_U8, FEW_NPY_F32, FEW_NPY_I32, FEW_NPY_I64 } few_npy_type;

typedef struct few_npy {
    few_npy_type type;
    int rank;
    int64_t dim[FEW_NPY_MAX_RANK];
    int64_t count; /* product of dim; 0 when a dimension is 0; 1 for rank 0 */
    int64_t bytes; /* count times the size of an element */
    size_t data;   /* where the elements start in the file */
} few_npy;

/* How many bytes the head of an array takes, from its first 12 bytes. Fails: FEW_EFORMAT. */
#define FEW_NPY_START 12
few_status few_npy_head_size(size_t *size, const uint8_t start[FEW_NPY_START], few_error *err);

/* Read the head of an array from the first n bytes of its file, n >= few_npy_head_size.
 * Fails: FEW_EFORMAT (damaged), FEW_EUNSUPPORTED (Fortran order, another type). The messages do
 * not name the file. */
few_status few_npy_parse(few_npy *a, const void *head, size_t n, few_error *err);

/* The same when all n bytes of the file are at hand: the elements must be there, too. */
few_status few_npy_parse_whole(few_npy *a, const void *file, size_t n, few_error *err);

/* Integers of a u8, i32 or i64 array as int64: element i of the elements at `data`, of any
 * alignment. */
int64_t few_npy_integer(const few_npy *a, const void *data, int64_t i);

/* Write an array [dim...], version 1.0; the file appears whole or not at all.
 * Fails: FEW_EIO, FEW_EINVAL (rank). */
few_status few_npy_write_u8(const char *path, const uint8_t *data, int rank, const int64_t *dim,
                            few_error *err);
few_status few_npy_write_f32(const char *path, const float *data, int rank, const int64_t *dim,
                             few_error *err);

#endif

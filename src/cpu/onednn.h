/* oneDNN behind one small header: convolutions, inner products, matrix products and reorders, with
 * what changed between oneDNN 2 (Debian 12) and 3 kept in onednn.c.
 *
 * Layouts: activations are plain, channels last; weights are whatever the primitive likes best
 * (few_dnn_desc of kind "any" resolved by the primitive), so they are packed once per update. */
#ifndef FEW_CPU_ONEDNN_H
#define FEW_CPU_ONEDNN_H

#include "cpu/simd.h"
#include "graph/graph.h"

#include <oneapi/dnnl/dnnl.h>
#include <oneapi/dnnl/dnnl_version.h>

/* The description of an array: type, sizes, layout. A value in oneDNN 2, a handle in 3. */
typedef struct few_dnn_desc {
    dnnl_memory_desc_t md;
    bool set;
} few_dnn_desc;

void few_dnn_desc_free(few_dnn_desc *d);
size_t few_dnn_desc_bytes(const few_dnn_desc *d);
bool few_dnn_desc_equal(const few_dnn_desc *a, const few_dnn_desc *b);
/* strides NULL: dense row-major order of dims; `any`: the primitive may choose. */
few_status few_dnn_desc_make(few_dnn_desc *d, few_dtype type, int rank, const int64_t *dims,
                             const int64_t *strides, bool any, few_error *err);
/* Of plain f32 weights of a shape, for a copy to or from `like`, which may have more dimensions, of
 * size 1, behind those. */
few_status few_dnn_desc_plain(few_dnn_desc *d, const few_shape *shape, const few_dnn_desc *like,
                              few_error *err);

typedef enum few_dnn_kind {
    FEW_DNN_CONV,         /* src weights bias? -> dst */
    FEW_DNN_CONV_DATA,    /* dst' weights -> src' */
    FEW_DNN_CONV_WEIGHTS, /* src dst' -> weights' bias'? */
    FEW_DNN_LINEAR,
    FEW_DNN_LINEAR_DATA,
    FEW_DNN_LINEAR_WEIGHTS,
    FEW_DNN_MATMUL /* src weights -> dst, with leading batch dimensions */
} few_dnn_kind;

/* Primitives that could not run in this process so far, for want of memory. */
int few_dnn_failures(void);

/* A primitive with its arrays. Executing is thread-safe with scratch of the caller. It is made for
 * as many OpenMP threads as omp_get_max_threads() says, and must find the same when it runs. */
typedef struct few_dnn {
    few_dnn_kind kind;
    dnnl_primitive_desc_t pd;
    dnnl_primitive_t prim;
    few_dnn_desc src, weights, bias, dst; /* as the primitive wants them */
    size_t scratch_bytes;
    unsigned wide;        /* arrays that are bf16 where the primitive, for want of it, has f32 */
    const few_simd *simd; /* converts them */
} few_dnn;

/* Convolution in NHWC: x [n,h,w,c], weights [o,c,kh,kw], strides and paddings as op conv2d. */
typedef struct few_dnn_conv {
    int64_t n, h, w, c, o, kh, kw, oh, ow;
    int stride, pad0, pad1;
    bool bias;
    few_dtype type;
} few_dnn_conv;

few_status few_dnn_conv_make(few_dnn *p, few_dnn_kind kind, const few_dnn_conv *c, few_error *err);
/* x [m,i], weights [o,i], y [m,o]. The primitive may be a convolution of m pixels. */
few_status few_dnn_linear_make(few_dnn *p, few_dnn_kind kind, few_dtype type, int64_t m, int64_t i,
                               int64_t o, bool bias, few_error *err);

/* A batch of matrices [rows, cols] in a dense array, in any order. Strides in elements. */
typedef struct few_dnn_view {
    few_dtype type;
    int64_t rows, cols, batch_stride, row_stride, col_stride;
} few_dnn_view;

/* dst = src * weights for each of the batch. */
few_status few_dnn_matmul_make(few_dnn *p, int64_t batch, const few_dnn_view *src,
                               const few_dnn_view *weights, const few_dnn_view *dst,
                               few_error *err);
void few_dnn_free(few_dnn *p);
const char *few_dnn_name(const few_dnn *p); /* oneDNN's own name of the implementation */

/* Run on the calling thread: src, weights and dst are read or written as the kind says. bias may be
 * NULL. */
void few_dnn_run(const few_dnn *p, const void *src, const void *weights, const void *bias,
                 const void *dst, void *scratch);

/* Copy between two layouts and types of the same sizes. */
typedef struct few_dnn_reorder {
    dnnl_primitive_t prim;
    few_dnn_desc from, to;
} few_dnn_reorder;
few_status few_dnn_reorder_make(few_dnn_reorder *r, const few_dnn_desc *from,
                                const few_dnn_desc *to, few_error *err);
void few_dnn_reorder_free(few_dnn_reorder *r);
void few_dnn_reorder_run(const few_dnn_reorder *r, const void *from, void *to);

#endif

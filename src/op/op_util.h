/* Small things many ops need. */
#ifndef FEW_OP_OP_UTIL_H
#define FEW_OP_OP_UTIL_H

#include "op/ops.h"

#include <math.h>
#include <string.h>

static inline int64_t few_last(const few_shape *s)
{
    return s->d[s->rank - 1];
}

static inline int64_t few_rows(const few_shape *s) /* elements over the last dimension */
{
    return few_shape_count(s) / few_last(s);
}

static inline double few_sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

/* log sum_j exp(x[j]), safe for large x. */
static inline double few_log_sum_exp(const double *x, int64_t n)
{
    double max = -INFINITY, sum = 0;
    for (int64_t j = 0; j < n; j++)
        max = fmax(max, x[j]);
    for (int64_t j = 0; j < n; j++)
        sum += exp(x[j] - max);
    return max + log(sum);
}

/* FLOPs of an op that works on every element of input 0, whatever its output's size. */
static inline double few_flops_input(const few_node *n, const few_graph *g)
{
    return (double)few_shape_count(&g->tensors[n->in[0]].shape);
}

/* Types of the inputs, a letter each: 'f' F32, 'a' F32 or ACT, 's' as input 0, 'i' I32, 'u' U8.
 * Absent inputs pass. */
few_status few_infer_types(few_infer *c, const char *letters);
/* Input k must be there with this rank; `form` is how to write it: "[N,H,W,C]". */
few_status few_infer_rank(few_infer *c, int k, int rank, const char *form, const char *what);
/* The attributes f[] must be finite. */
few_status few_infer_finite(few_infer *c);
/* Where attributes decide a size: output 0's sizes must be positive, their product at most 2^40. */
few_status few_infer_fits(few_infer *c);

/* Output 0 has input 0's shape and type. */
static inline few_status few_infer_same(few_infer *c)
{
    c->shape[0] = c->in[0]->shape;
    return FEW_OK;
}

#endif

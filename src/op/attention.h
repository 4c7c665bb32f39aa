/* Shapes of attention, shared with its gradient. Channel c belongs to head c / d. */
#ifndef FEW_OP_ATTENTION_H
#define FEW_OP_ATTENTION_H

#include "op/op_util.h"

typedef struct few_attn_dims {
    int64_t n, t, s, c, heads, d; /* images, queries, keys, channels, heads, width of a head */
    double scale;
} few_attn_dims;

few_status few_attn_infer(few_infer *c);
few_attn_dims few_attn_dims_of(const few_attrs *a, const few_shape *q, const few_shape *k);
/* scale * q[n,h,t,:] . k[n,h,s,:] */
double few_attn_score(const few_attn_dims *d, const double *q, const double *k, int64_t n,
                      int64_t h, int64_t t, int64_t s);

#endif

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

/* Output 0 has input 0's shape and type. */
static inline few_status few_infer_same(few_infer *c)
{
    c->shape[0] = c->in[0]->shape;
    return FEW_OK;
}

#endif

/* What convolutions and linear layers by oneDNN share: a primitive, packed weights, accumulated
 * gradients. */
#ifndef FEW_CPU_WEIGHTED_H
#define FEW_CPU_WEIGHTED_H

#include "cpu/plan.h"
#include "cpu/way.h"

typedef struct few_weighted {
    const few_way *way;
    few_dnn prim;
    int pack; /* packed weights in the plan, or -1: convert at every call */
    few_plan *plan;
    few_dnn_reorder convert; /* plain f32 weights -> packed, or packed gradient -> plain */
    size_t packed_bytes;     /* rounded up to 64 */
    size_t bias_bytes;
} few_weighted;

/* Finish a forward or data-gradient primitive: pack the weights of input `k` (plain shape
 * w_shape), ask for scratch. Takes over st in every case. */
few_status few_weighted_ready(few_cpu_prep *p, few_weighted *w, int k, const few_shape *w_shape,
                              few_error *err);
/* Finish a weight-gradient primitive for outputs 0 (weights) and 1 (bias). */
few_status few_weighted_grad_ready(few_cpu_prep *p, few_weighted *w, const few_shape *w_shape,
                                   int64_t o, few_error *err);

/* The weights as the primitive wants them; plain is the call's input. */
const void *few_weighted_get(const few_weighted *w, const few_cpu_call *c, const void *plain);
/* y += res over the whole output, in y's type. */
void few_weighted_add(const few_cpu_call *c, const void *res);

/* The way of every weight gradient by oneDNN: in = {x, dy}, out = {dw, db}. */
extern const few_way few_weighted_grad;
void few_weighted_release(void *state);

#endif

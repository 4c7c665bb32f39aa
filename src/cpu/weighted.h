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
    int pieces; /* of a forward primitive's rows, which a team shares; 0: it is not shared */
} few_weighted;

/* In how many pieces a team is to share `rows` rows of `pixels` of a forward primitive: 1, or as
 * many as it has members. The primitive is made for one piece. */
int few_weighted_pieces(const few_cpu_prep *p, int64_t rows, int64_t pixels);

/* Finish a forward or data-gradient primitive: pack the weights of input `k` (plain shape
 * w_shape), ask for scratch. Takes over st in every case. */
few_status few_weighted_ready(few_cpu_prep *p, few_weighted *w, int k, const few_shape *w_shape,
                              few_error *err);
/* Finish a weight-gradient primitive for outputs 0 (weights) and 1 (bias). */
few_status few_weighted_grad_ready(few_cpu_prep *p, few_weighted *w, const few_shape *w_shape,
                                   int64_t o, few_error *err);

/* The weights as the primitive wants them; plain is the call's input. */
const void *few_weighted_get(const few_weighted *w, const few_cpu_call *c, const void *plain);
/* y = x w + b + res of in = {x, w, b, res}, out = {y}. */
void few_weighted_forward(const few_cpu_call *c);

/* The way of every weight gradient by oneDNN: in = {x, dy}, out = {dw, db}. */
extern const few_way few_weighted_grad;
void few_weighted_release(void *state);

#endif

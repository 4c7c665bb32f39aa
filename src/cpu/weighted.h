/* What convolutions and linear layers share: a primitive, packed weights, accumulated gradients. */
#ifndef FEW_CPU_WEIGHTED_H
#define FEW_CPU_WEIGHTED_H

#include "cpu/amx/weights.h"
#include "cpu/plan.h"
#include "cpu/winograd.h"

typedef struct few_weighted {
    few_dnn prim;
    int pack; /* packed weights in the plan, or -1: convert at every call */
    few_plan *plan;
    few_dnn_reorder convert; /* plain f32 weights -> packed, or packed gradient -> plain */
    size_t packed_bytes;     /* rounded up to 64 */
    size_t bias_bytes;
    bool tiles; /* a weight gradient by our own kernel: prim and convert are not used */
    few_amx_weights amx;
    few_winograd *wino; /* all of it by Winograd's convolution: nothing else here is used */
} few_weighted;

/* Finish a forward or data-gradient primitive: pack the weights of input `k` (plain shape
 * w_shape), ask for scratch. Takes over st in every case. */
few_status few_weighted_ready(few_cpu_prep *p, few_weighted *w, int k, const few_shape *w_shape,
                              few_error *err);
/* Finish a weight-gradient primitive for outputs 0 (weights) and 1 (bias). */
few_status few_weighted_grad_ready(few_cpu_prep *p, few_weighted *w, const few_shape *w_shape,
                                   int64_t o, few_error *err);

/* The same by tiles: a 3x3 convolution (stride 1, padding 1), a 1x1 or a linear layer in bf16,
 * where few_cpu_may_use_amx. amx: n, h, w, c, o, k. */
few_status few_weighted_grad_tiles(few_cpu_prep *p, const few_amx_weights *amx, few_error *err);

/* A convolution, or a gradient of one, by Winograd. */
few_status few_weighted_winograd(few_cpu_prep *p, few_dnn_kind kind, const few_dnn_conv *c,
                                 few_error *err);

/* The weights as the primitive wants them; plain is the call's input. */
const void *few_weighted_get(const few_weighted *w, const few_cpu_call *c, const void *plain);
/* y += res over the whole output, in y's type. */
void few_weighted_add(const few_cpu_call *c, const void *res);

/* Run and finish of every weight-gradient kernel: in = {x, dy}, out = {dw, db}. */
void few_weighted_grad_run(const few_cpu_call *c);
void few_weighted_grad_finish(const few_cpu_call *c, float *const grad[FEW_MAX_OUT]);
void few_weighted_release(void *state);

#endif

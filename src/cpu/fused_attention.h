/* Attention in one pass over blocks of queries (cpu/simd/attention.c), in f32 also between bf16
 * activations. */
#ifndef FEW_CPU_FUSED_ATTENTION_H
#define FEW_CPU_FUSED_ATTENTION_H

#include "cpu/plan.h"
#include "cpu/way.h"

/* Whether it is to be used for this op, by its type and tokens and never by the number of images:
 * an image must not depend on those beside it. FEW_ATTENTION=fused in the environment: always;
 * products: never. */
bool few_fused_attention_fits(const few_cpu_call *c);

/* As a way of attention or attention_grad. Fails: FEW_ENOMEM. */
few_status few_fused_attention_prepare(few_cpu_prep *p, bool backward, few_error *err);

#endif

/* Weight gradients in bf16 by AMX tiles (cpu/amx/weights.h), as a way of conv2d_grad_weights and
 * linear_grad_weights. */
#ifndef FEW_CPU_TILES_H
#define FEW_CPU_TILES_H

#include "cpu/amx/weights.h"
#include "cpu/way.h"

/* For a 3x3 convolution (stride 1, padding 1), a 1x1 or a linear layer in bf16, where
 * few_cpu_may_use_amx. amx: n, h, w, c, o, k. Fails: FEW_ENOMEM. */
few_status few_tiles_prepare(few_cpu_prep *p, const few_amx_weights *amx, few_error *err);

#endif

/* diffusers' UNet2DModel as a graph: same blocks, options, parameter names and shapes. */
#ifndef FEW_NN_UNET_H
#define FEW_NN_UNET_H

#include "nn/unet_config.h"
#include "op/ops.h"

/* x [N,H,W,C] F32; time [N] F32: diffusers' timestep (I32 with a learned table); label [N] I32 with
 * num_class_embeds, [N] F32 with class_embed_type timestep, [N, time dim] F32 with identity, else
 * FEW_NONE; rng [N,4] I32 or FEW_NONE for no dropout. Returns [N,H,W,out_channels] F32.
 * Layers run in the plan's activation type; embeddings, norm statistics and the result are F32. */
few_val few_unet_build(few_graph *g, int set, const few_unet_config *c, few_val x, few_val time,
                       few_val label, few_val rng);

#endif

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

/* The same network at several times at once, for networks that mix them. */
enum { FEW_MAX_TIMES = 8 };
typedef struct few_stack {
    few_val v[FEW_MAX_TIMES]; /* one activation for each time */
    int n;
} few_stack;

typedef struct few_unet_times {
    int n;
    few_val time[FEW_MAX_TIMES]; /* [N] F32 each */
    /* Called after every ResNet block and its attention but the middle's second and those that
     * resample; NULL: the times do not meet. */
    void (*mix)(few_graph *g, int set, const char *block, few_stack *h, const void *user);
    const void *user;
} few_unet_times;

/* x and label as few_unet_build; the first convolution is made once. Returns a result for
 * each time. */
few_stack few_unet_build_times(few_graph *g, int set, const few_unet_config *c, few_val x,
                               few_val label, few_val rng, const few_unet_times *times);

#endif

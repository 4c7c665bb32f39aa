/* The pieces of a U-Net: layers with parameters of their own, named as diffusers names them. */
#ifndef FEW_NN_UNET_BLOCKS_H
#define FEW_NN_UNET_BLOCKS_H

#include "nn/unet.h"

/* A network being built. */
typedef struct few_unet {
    few_graph *g;
    int set;
    const few_unet_config *c;
    few_val emb; /* silu of the embedding, [N, time dim] F32 */
    const few_unet_times *times;
    few_val emb_at[FEW_MAX_TIMES]; /* emb at each of them */
    few_val rng;
    int n_dropouts; /* number of the next dropout layer */
} few_unet;

typedef enum few_resample { FEW_KEEP, FEW_UP, FEW_DOWN } few_resample;

int64_t few_channels(const few_unet *u, few_val x);

/* name.weight [out,in,k,k] and name.bias; res is added, or FEW_NONE. zero: starts at zero. */
few_val few_unet_conv(few_unet *u, const char *name, few_val x, int out, int k, few_val res,
                      int stride, int pad0, int pad1, bool zero);
few_val few_unet_linear(few_unet *u, const char *name, few_val x, int out, few_val res, bool zero);
few_val few_unet_norm(few_unet *u, const char *name, few_val x, int groups, few_val add, few_val ss,
                      bool silu);
/* ResnetBlock2D; both branches are resampled after the first norm when asked. */
few_val few_unet_resnet(few_unet *u, const char *name, few_val x, int out, few_resample resample,
                        double scale);
/* Attention over the pixels; groups 0: without a norm. */
few_val few_unet_attention(few_unet *u, const char *name, few_val x, int groups, double scale);
few_val few_unet_downsample(few_unet *u, const char *name, few_val x);
few_val few_unet_upsample(few_unet *u, const char *name, few_val x);

#endif

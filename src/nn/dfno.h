/* The network of operator learning (DSNO, arXiv:2211.13449): from noise to several points
 * of its path to the data at once. The U-Net runs once for each point, with that point's time, and
 * after every block the points meet in a Fourier layer along time. */
#ifndef FEW_NN_DFNO_H
#define FEW_NN_DFNO_H

#include "nn/unet.h"

typedef struct few_dfno_config {
    few_unet_config unet;
    int states; /* points of the path, at t = 1 - (k + 1)/states; the last is the data */
    int modes;  /* lowest frequencies along time that the points exchange */
    double time_scale;
} few_dfno_config;

/* A config (of few_network_dfno) from a U-Net's, which is copied. Fails: FEW_ECONFIG, FEW_ENOMEM.
 */
few_status few_dfno_make(const few_unet_config *unet, int states, int modes, double time_scale,
                         void **config, few_error *err);

/* x [N,H,W,C] F32, noise; label as few_unet_build. The states, [N,H,W,C] F32 each. */
few_stack few_dfno_build(few_graph *g, int set, const few_dfno_config *c, few_val x, few_val label,
                         few_val rng);

/* The Fourier layer of a block: h + leaky_relu(irfft(W_k rfft(h)_k), 0.01), frequencies above the
 * modes left out. */
void few_dfno_mix(few_graph *g, int set, const char *block, few_stack *h, const void *config);

#endif

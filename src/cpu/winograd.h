/* 3x3 convolutions with stride 1 by Winograd's F(4x4, 3x3) (arXiv:1509.09308), and their gradients:
 * images in tiles of 4x4 pixels, 36 products of matrices for each, a quarter of the
 * multiplications.
 *
 *     y = A^T [ sum_c (G g G^T) * (B^T x B) ] A,   * element by element
 *
 * The gradient of x is such a convolution of dy with the turned weights; that of the weights is
 * G^T [ sum over tiles (B^T x B) * (A dy A^T) ] G. Everything between images and images is f32,
 * also when they are bf16, so that this is what convolves where a CPU has no tiles (AMX). Relative
 * error (RMS) of 32 and 64 channels: f32 1.5e-6, direct sums 4e-7; bf16 1.7e-3, direct ones 2.5e-3,
 * whose weights are bf16, too. */
#ifndef FEW_CPU_WINOGRAD_H
#define FEW_CPU_WINOGRAD_H

#include "cpu/plan.h"
#include "cpu/way.h"

/* Whether it is to be used for c's sizes and type. It never depends on the number of images: an
 * image must not depend on those beside it. FEW_CONV=direct in the environment: never; winograd:
 * wherever it can, and weights as nine numbers wherever they can be, for tests. */
bool few_winograd_fits(const few_dnn_conv *c);

/* As a way of conv2d (FEW_DNN_CONV), conv2d_grad_input (.._DATA) or conv2d_grad_weights
 * (.._WEIGHTS). The sizes are those of the convolution. Fails: FEW_ENOMEM. */
few_status few_winograd_prepare(few_cpu_prep *p, few_dnn_kind kind, const few_dnn_conv *c,
                                few_error *err);

#endif

/* 3x3 convolutions with stride 1 whose images have at most four channels on one side, and their
 * gradients, in f32 also between bf16 images: a network's first layer and its last. A library
 * that computes 8 or 16 channels at a time does most of that work for nothing. */
#ifndef FEW_CPU_ENDS_H
#define FEW_CPU_ENDS_H

#include "cpu/plan.h"
#include "cpu/way.h"

/* Whether it is to be used for c's sizes, which say nothing of the number of images.
 * FEW_CONV=direct in the environment: never. */
bool few_ends_fits(const few_dnn_conv *c);

/* As a way of conv2d (FEW_DNN_CONV), conv2d_grad_input (.._DATA) or conv2d_grad_weights
 * (.._WEIGHTS); the sizes are those of the convolution. Fails: FEW_ENOMEM. */
few_status few_ends_prepare(few_cpu_prep *p, few_dnn_kind kind, const few_dnn_conv *c,
                            few_error *err);

#endif

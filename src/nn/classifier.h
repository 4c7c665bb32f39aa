/* A small convolutional classifier, trained here, whose features measure generated images. */
#ifndef FEW_NN_CLASSIFIER_H
#define FEW_NN_CLASSIFIER_H

#include "op/ops.h"

enum { FEW_CLASSIFIER_FEATURES = 128 };

/* x [N,H,W,C] F32 in [-1,1], H and W multiples of 4; parameters go to set 0. Returns the logits
 * [N,classes] F32; *features [N,FEW_CLASSIFIER_FEATURES] F32. rng [N,4] I32 for dropout before the
 * last layer while training, or FEW_NONE. */
few_val few_classifier_build(few_graph *g, few_val x, int classes, few_val rng, few_val *features);

#endif

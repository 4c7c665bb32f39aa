/* The inside of a feature network, for its training. */
#ifndef FEW_EVAL_FEATURE_NET_H
#define FEW_EVAL_FEATURE_NET_H

#include "eval/features.h"

enum { FEW_FEATURES_SLICE = 16, FEW_FEATURES_GROUP = 512 }; /* images of a slice, and of a call */

struct few_features {
    few_graph graph;
    few_params params;
    few_plan *plan;
    float *master;
    size_t bytes;
    int h, w, c, classes;
    char *data, hash[33];
};

/* Graph and plan of h, w, c and classes, u8 images in, "features" and "logits" out; and room for
 * the weights. */
few_status few_features_build(few_features *f, int workers, few_error *err);
/* Run over n images, reading either output, `width` numbers an image. */
few_status few_features_run(few_features *f, const uint8_t *images, int64_t n, const char *output,
                            float *out, int width, few_error *err);

#endif

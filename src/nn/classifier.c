/* Three levels of 32, 64 and 128 channels, a residual block of two 3x3 convolutions each, stride-2
 * convolutions between them, the mean over the pixels, one linear layer. */
#include "nn/classifier.h"

#include <math.h>
#include <stdio.h>

static few_val conv(few_graph *g, const char *name, few_val x, int out, int stride, few_val res)
{
    char full[128];
    if (x == FEW_NONE)
        return x;
    const int64_t in = g->tensors[x].shape.d[3];
    const double bound = 1 / sqrt((double)(9 * in));
    few_graph_label(g, "%s", name);
    snprintf(full, sizeof full, "%s.weight", name);
    const few_val w =
        few_graph_param(g, 0, full, FEW_SHAPE(out, in, 3, 3), FEW_INIT_UNIFORM, bound);
    snprintf(full, sizeof full, "%s.bias", name);
    const few_val b = few_graph_param(g, 0, full, FEW_SHAPE(out), FEW_INIT_UNIFORM, bound);
    return few_conv2d(g, x, w, b, res, stride, 1, 1);
}

static few_val norm(few_graph *g, const char *name, few_val x)
{
    char full[128];
    if (x == FEW_NONE)
        return x;
    const int64_t c = g->tensors[x].shape.d[3];
    few_graph_label(g, "%s", name);
    snprintf(full, sizeof full, "%s.weight", name);
    const few_val w = few_graph_param(g, 0, full, FEW_SHAPE(c), FEW_INIT_ONE, 0);
    snprintf(full, sizeof full, "%s.bias", name);
    const few_val b = few_graph_param(g, 0, full, FEW_SHAPE(c), FEW_INIT_ZERO, 0);
    return few_group_norm(g, x, w, b, FEW_NONE, FEW_NONE, 8, true, 1e-5);
}

few_val few_classifier_build(few_graph *g, few_val x, int classes, few_val rng, few_val *features)
{
    static const int width[] = { 32, 64, FEW_CLASSIFIER_FEATURES };
    char name[64];
    few_val h = conv(g, "conv_in", few_cast(g, x, FEW_ACT), width[0], 1, FEW_NONE);
    for (int k = 0; k < 3; k++) {
        if (k > 0) {
            snprintf(name, sizeof name, "down.%d", k);
            h = conv(g, name, h, width[k], 2, FEW_NONE);
        }
        snprintf(name, sizeof name, "block.%d.norm1", k);
        few_val b = norm(g, name, h);
        snprintf(name, sizeof name, "block.%d.conv1", k);
        b = conv(g, name, b, width[k], 1, FEW_NONE);
        snprintf(name, sizeof name, "block.%d.norm2", k);
        b = norm(g, name, b);
        snprintf(name, sizeof name, "block.%d.conv2", k);
        h = conv(g, name, b, width[k], 1, h);
    }
    few_val f = few_mean_hw(g, norm(g, "norm_out", h));
    *features = f;
    few_graph_label(g, "classes");
    if (rng != FEW_NONE)
        f = few_dropout(g, f, rng, 0, 0.2);
    const double bound = 1 / sqrt((double)FEW_CLASSIFIER_FEATURES);
    const few_val w =
        few_graph_param(g, 0, "classes.weight", FEW_SHAPE(classes, FEW_CLASSIFIER_FEATURES),
                        FEW_INIT_UNIFORM, bound);
    const few_val b =
        few_graph_param(g, 0, "classes.bias", FEW_SHAPE(classes), FEW_INIT_UNIFORM, bound);
    return few_linear(g, f, w, b, FEW_NONE);
}

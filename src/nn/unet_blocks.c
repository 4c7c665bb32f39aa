/* ResNet block, attention and resampling.
 *
 * The fused ops carry what diffusers writes as separate lines: the time embedding enters through
 * group_norm (add or scale-shift), SiLU is part of the norm, residuals are added by the convolution
 * or linear layer that ends the branch. */
#include "nn/unet_blocks.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

int64_t few_channels(const few_unet *u, few_val x)
{
    if (x == FEW_NONE)
        return 1; /* an error is on its way up */
    const few_shape *s = &u->g->tensors[x].shape;
    return s->d[s->rank - 1];
}

/* name.weight and name.bias with PyTorch's default initial values. */
static void weight_and_bias(few_unet *u, const char *name, few_shape shape, bool zero, few_val *w,
                            few_val *b)
{
    char full[256];
    int64_t fan_in = 1;
    for (int k = 1; k < shape.rank; k++)
        fan_in *= shape.d[k];
    const few_init init = zero && u->c->zero_init ? FEW_INIT_ZERO : FEW_INIT_UNIFORM;
    const double bound = 1 / sqrt((double)fan_in);
    few_graph_label(u->g, "%s", name);
    snprintf(full, sizeof full, "%s.weight", name);
    *w = few_graph_param(u->g, u->set, full, shape, init, bound);
    snprintf(full, sizeof full, "%s.bias", name);
    *b = few_graph_param(u->g, u->set, full, FEW_SHAPE(shape.d[0]), init, bound);
}

few_val few_unet_conv(few_unet *u, const char *name, few_val x, int out, int k, few_val res,
                      int stride, int pad0, int pad1, bool zero)
{
    few_val w, b;
    weight_and_bias(u, name, FEW_SHAPE(out, few_channels(u, x), k, k), zero, &w, &b);
    return few_conv2d(u->g, x, w, b, res, stride, pad0, pad1);
}

few_val few_unet_linear(few_unet *u, const char *name, few_val x, int out, few_val res, bool zero)
{
    few_val w, b;
    weight_and_bias(u, name, FEW_SHAPE(out, few_channels(u, x)), zero, &w, &b);
    return few_linear(u->g, x, w, b, res);
}

few_val few_unet_norm(few_unet *u, const char *name, few_val x, int groups, few_val add, few_val ss,
                      bool silu)
{
    char full[256];
    const few_shape shape = FEW_SHAPE(few_channels(u, x));
    few_graph_label(u->g, "%s", name);
    snprintf(full, sizeof full, "%s.weight", name);
    const few_val gamma = few_graph_param(u->g, u->set, full, shape, FEW_INIT_ONE, 0);
    snprintf(full, sizeof full, "%s.bias", name);
    const few_val beta = few_graph_param(u->g, u->set, full, shape, FEW_INIT_ZERO, 0);
    return few_group_norm(u->g, x, gamma, beta, add, ss, groups, silu, u->c->norm_eps);
}

static few_val resampled(few_unet *u, few_val x, few_resample r)
{
    return r == FEW_UP ? few_upsample2(u->g, x, 1) : r == FEW_DOWN ? few_pool2(u->g, x, 0.25) : x;
}

few_val few_unet_resnet(few_unet *u, const char *name, few_val x, int out, few_resample resample,
                        double scale)
{
    char part[256];
    const bool scale_shift = !strcmp(u->c->resnet_time_scale_shift, "scale_shift");
    const int groups = u->c->norm_num_groups;

    snprintf(part, sizeof part, "%s.norm1", name);
    few_val h = few_unet_norm(u, part, x, groups, FEW_NONE, FEW_NONE, true);
    h = resampled(u, h, resample);
    x = resampled(u, x, resample);
    snprintf(part, sizeof part, "%s.conv1", name);
    h = few_unet_conv(u, part, h, out, 3, FEW_NONE, 1, 1, 1, false);

    snprintf(part, sizeof part, "%s.time_emb_proj", name);
    const few_val e =
        few_unet_linear(u, part, u->emb, scale_shift ? 2 * out : out, FEW_NONE, false);
    snprintf(part, sizeof part, "%s.norm2", name);
    h = few_unet_norm(u, part, h, groups, scale_shift ? FEW_NONE : e, scale_shift ? e : FEW_NONE,
                      true);
    if (u->c->dropout > 0 && u->rng != FEW_NONE)
        h = few_dropout(u->g, h, u->rng, u->n_dropouts, u->c->dropout);
    u->n_dropouts++;

    few_val shortcut = x;
    if (few_channels(u, x) != out) {
        snprintf(part, sizeof part, "%s.conv_shortcut", name);
        shortcut = few_unet_conv(u, part, x, out, 1, FEW_NONE, 1, 0, 0, false);
    }
    snprintf(part, sizeof part, "%s.conv2", name);
    h = few_unet_conv(u, part, h, out, 3, shortcut, 1, 1, 1, true);
    return scale == 1 ? h : few_affine(u->g, h, 1 / scale, 0);
}

few_val few_unet_attention(few_unet *u, const char *name, few_val x, int groups, double scale)
{
    static const char *const projection[] = { "to_q", "to_k", "to_v" };
    char part[256];
    if (x == FEW_NONE)
        return x;
    const few_shape image = u->g->tensors[x].shape;
    const int c = (int)few_channels(u, x), width = u->c->attention_head_dim;
    const int heads = width && c > width ? c / width : 1;
    const few_shape tokens = FEW_SHAPE(image.d[1] * image.d[2], c);

    few_val n = x, qkv[3];
    if (groups) {
        snprintf(part, sizeof part, "%s.group_norm", name);
        n = few_unet_norm(u, part, x, groups, FEW_NONE, FEW_NONE, false);
    }
    n = few_reshape(u->g, n, tokens);
    for (int k = 0; k < 3; k++) {
        snprintf(part, sizeof part, "%s.%s", name, projection[k]);
        qkv[k] = few_unet_linear(u, part, n, c, FEW_NONE, false);
    }
    few_graph_label(u->g, "%s", name);
    few_val h = few_attention(u->g, qkv[0], qkv[1], qkv[2], heads);
    snprintf(part, sizeof part, "%s.to_out.0", name);
    h = few_unet_linear(u, part, h, c, few_reshape(u->g, x, tokens), true);
    h = few_reshape(u->g, h, FEW_SHAPE(image.d[1], image.d[2], c));
    return scale == 1 ? h : few_affine(u->g, h, 1 / scale, 0);
}

few_val few_unet_downsample(few_unet *u, const char *name, few_val x)
{
    const int pad = u->c->downsample_padding;
    return few_unet_conv(u, name, x, (int)few_channels(u, x), 3, FEW_NONE, 2, pad, 1, false);
}

few_val few_unet_upsample(few_unet *u, const char *name, few_val x)
{
    few_graph_label(u->g, "%s", name);
    x = few_upsample2(u->g, x, 1);
    return few_unet_conv(u, name, x, (int)few_channels(u, x), 3, FEW_NONE, 1, 1, 1, false);
}

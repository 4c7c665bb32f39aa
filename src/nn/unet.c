/* UNet2DModel: embeddings, down, middle, up, with the skips of every layer.
 *
 * Easy to get wrong: the skip list holds conv_in's result first and every downsampler's last;
 * concatenation puts the current activation before the skip; DownBlock2D and UpBlock2D always
 * resample by convolution, whatever downsample_type says. */
#include "nn/unet.h"

#include "nn/unet_blocks.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_SKIPS = 16 * 65 };

static few_val embedding_mlp(few_unet *u, const char *name, few_val x, int dim)
{
    char part[128];
    snprintf(part, sizeof part, "%s.linear_1", name);
    x = few_silu(u->g, few_unet_linear(u, part, x, dim, FEW_NONE, false));
    snprintf(part, sizeof part, "%s.linear_2", name);
    return few_unet_linear(u, part, x, dim, FEW_NONE, false);
}

/* Features of the time (or of a label taken as a time). */
static few_val time_features(few_unet *u, few_val t)
{
    const few_unet_config *c = u->c;
    const int width = c->block_out_channels.v[0];
    few_graph_label(u->g, "time_proj");
    if (!strcmp(c->time_embedding_type, "positional"))
        return few_timestep_embedding(u->g, t, width, c->flip_sin_to_cos, c->freq_shift);
    if (!strcmp(c->time_embedding_type, "learned"))
        return few_embedding(u->g,
                             few_graph_param(u->g, u->set, "time_proj.weight",
                                             FEW_SHAPE(c->num_train_timesteps, width),
                                             FEW_INIT_NORMAL, 1),
                             t);
    const few_val w =
        few_graph_param(u->g, u->set, "time_proj.weight", FEW_SHAPE(width), FEW_INIT_NORMAL, 16);
    if (w != FEW_NONE) {
        few_params *ps = u->g->sets[u->set];
        ps->v[few_params_find(ps, "time_proj.weight")].frozen = true;
    }
    return few_fourier_embedding(u->g, t, w, false);
}

static few_val embedding(few_unet *u, few_val time, few_val label)
{
    const few_unet_config *c = u->c;
    const int dim = few_unet_time_dim(c);
    few_val emb = embedding_mlp(u, "time_embedding", time_features(u, time), dim);
    if (c->class_embed_type && !strcmp(c->class_embed_type, "timestep")) {
        emb = few_add(u->g, emb, embedding_mlp(u, "class_embedding", time_features(u, label), dim));
    } else if (c->class_embed_type) {
        few_graph_label(u->g, "class_embedding");
        emb = few_add(u->g, emb, label);
    } else if (c->num_class_embeds) {
        few_graph_label(u->g, "class_embedding");
        const few_val table =
            few_graph_param(u->g, u->set, "class_embedding.weight",
                            FEW_SHAPE(c->num_class_embeds, dim), FEW_INIT_NORMAL, 1);
        emb = few_add(u->g, emb, few_embedding(u->g, table, label));
    }
    few_graph_label(u->g, "embedding");
    return few_silu(u->g, emb); /* every user of the embedding wants its SiLU */
}

struct skips {
    few_stack v[MAX_SKIPS];
    int n;
};

/* ---- layers at every time ---- */

static few_stack resnet(few_unet *u, const char *name, few_stack h, int out, few_resample resample,
                        double scale)
{
    for (int t = 0; t < h.n; t++) {
        u->emb = u->emb_at[t];
        h.v[t] = few_unet_resnet(u, name, h.v[t], out, resample, scale);
    }
    return h;
}

static few_stack attention(few_unet *u, const char *name, few_stack h, int groups, double scale)
{
    for (int t = 0; t < h.n; t++)
        h.v[t] = few_unet_attention(u, name, h.v[t], groups, scale);
    return h;
}

/* By a ResNet block, or by a convolution of its own. */
static few_stack resample(few_unet *u, const char *name, few_stack h, int out, bool by_resnet,
                          bool up)
{
    if (by_resnet)
        return resnet(u, name, h, out, up ? FEW_UP : FEW_DOWN, 1);
    for (int t = 0; t < h.n; t++)
        h.v[t] = up ? few_unet_upsample(u, name, h.v[t]) : few_unet_downsample(u, name, h.v[t]);
    return h;
}

static few_stack concat(few_unet *u, few_stack h, few_stack skip)
{
    for (int t = 0; t < h.n; t++)
        h.v[t] = few_concat(u->g, h.v[t], skip.v[t]);
    return h;
}

static void mix(few_unet *u, few_stack *h, const char *fmt, ...) FEW_PRINTF(3, 4);
static void mix(few_unet *u, few_stack *h, const char *fmt, ...)
{
    char name[128];
    va_list ap;
    if (!u->times->mix)
        return;
    va_start(ap, fmt);
    vsnprintf(name, sizeof name, fmt, ap);
    va_end(ap);
    u->times->mix(u->g, u->set, name, h, u->times->user);
}

/* ---- the three parts ---- */

static few_stack down(few_unet *u, few_stack h, struct skips *s)
{
    const few_unet_config *c = u->c;
    char name[128];
    for (int i = 0; i < c->block_out_channels.n; i++) {
        const char *type = c->down_block_types.v[i];
        const int out = c->block_out_channels.v[i];
        const bool attends = !strcmp(type, "AttnDownBlock2D");
        const bool by_resnet = !strcmp(type, "ResnetDownsampleBlock2D") ||
                               (attends && !strcmp(c->downsample_type, "resnet"));
        for (int j = 0; j < c->layers_per_block; j++) {
            snprintf(name, sizeof name, "down_blocks.%d.resnets.%d", i, j);
            h = resnet(u, name, h, out, FEW_KEEP, 1);
            snprintf(name, sizeof name, "down_blocks.%d.attentions.%d", i, j);
            if (attends)
                h = attention(u, name, h, c->norm_num_groups, 1);
            mix(u, &h, "down_blocks.%d.temporal.%d", i, j);
            s->v[s->n++] = h;
        }
        if (i == c->block_out_channels.n - 1)
            break;
        snprintf(name, sizeof name, "down_blocks.%d.downsamplers.0%s", i, by_resnet ? "" : ".conv");
        h = resample(u, name, h, out, by_resnet, false);
        s->v[s->n++] = h;
    }
    return h;
}

static few_stack middle(few_unet *u, few_stack h)
{
    const few_unet_config *c = u->c;
    const int width = c->block_out_channels.v[c->block_out_channels.n - 1];
    const double scale = c->mid_block_scale_factor;
    if (!c->mid_block_type)
        return h;
    int groups = c->attn_norm_num_groups;
    if (!groups && !strcmp(c->resnet_time_scale_shift, "default"))
        groups = c->norm_num_groups;
    h = resnet(u, "mid_block.resnets.0", h, width, FEW_KEEP, scale);
    if (c->add_attention)
        h = attention(u, "mid_block.attentions.0", h, groups, scale);
    mix(u, &h, "mid_block.temporal.0");
    return resnet(u, "mid_block.resnets.1", h, width, FEW_KEEP, scale);
}

static few_stack up(few_unet *u, few_stack h, struct skips *s)
{
    const few_unet_config *c = u->c;
    const int n = c->block_out_channels.n;
    char name[128];
    for (int i = 0; i < n; i++) {
        const char *type = c->up_block_types.v[i];
        const int out = c->block_out_channels.v[n - 1 - i];
        const bool attends = !strcmp(type, "AttnUpBlock2D");
        const bool by_resnet = !strcmp(type, "ResnetUpsampleBlock2D") ||
                               (attends && !strcmp(c->upsample_type, "resnet"));
        for (int j = 0; j <= c->layers_per_block; j++) {
            snprintf(name, sizeof name, "up_blocks.%d.resnets.%d", i, j);
            few_graph_label(u->g, "%s", name);
            h = resnet(u, name, concat(u, h, s->v[--s->n]), out, FEW_KEEP, 1);
            snprintf(name, sizeof name, "up_blocks.%d.attentions.%d", i, j);
            if (attends)
                h = attention(u, name, h, c->norm_num_groups, 1);
            mix(u, &h, "up_blocks.%d.temporal.%d", i, j);
        }
        if (i == n - 1)
            break;
        snprintf(name, sizeof name, "up_blocks.%d.upsamplers.0%s", i, by_resnet ? "" : ".conv");
        h = resample(u, name, h, out, by_resnet, true);
    }
    return h;
}

/* out / t, of Fourier embeddings. */
static few_val divide_by_time(few_graph *g, few_val h, few_val time)
{
    float one[1024];
    if (h == FEW_NONE)
        return h;
    const int64_t batch = g->tensors[h].shape.d[0];
    if (batch > 1024)
        return few_graph_fail(g, FEW_EUNSUPPORTED, "a slice of more than 1024 images");
    for (int k = 0; k < batch; k++)
        one[k] = 1;
    const few_val inverse = few_div(g, few_graph_const(g, FEW_SHAPE(batch), one), time);
    return few_lincomb(g, 1, &h, &inverse, true);
}

few_stack few_unet_build_times(few_graph *g, int set, const few_unet_config *c, few_val x,
                               few_val label, few_val rng, const few_unet_times *times)
{
    few_unet u = { .g = g, .set = set, .c = c, .rng = rng, .times = times };
    struct skips s = { .n = 0 };
    few_stack h = { .n = times->n };
    for (int t = 0; t < h.n; t++)
        h.v[t] = FEW_NONE;
    if (x == FEW_NONE)
        return h;
    if ((c->class_embed_type || c->num_class_embeds) && label == FEW_NONE) {
        few_graph_fail(g, FEW_EINVAL, "the U-Net has classes, but no labels were given");
        return h;
    }
    few_graph_label(g, "conv_in");
    if (c->center_input_sample)
        x = few_affine(g, x, 2, -1);
    x = few_cast(g, x, FEW_ACT);
    for (int t = 0; t < h.n; t++)
        u.emb_at[t] = embedding(&u, times->time[t], label);
    x = few_unet_conv(&u, "conv_in", x, c->block_out_channels.v[0], 3, FEW_NONE, 1, 1, 1, false);
    for (int t = 0; t < h.n; t++)
        h.v[t] = x;
    s.v[s.n++] = h;
    h = up(&u, middle(&u, down(&u, h, &s)), &s);
    for (int t = 0; t < h.n; t++) {
        few_val y = few_unet_norm(&u, "conv_norm_out", h.v[t], c->norm_num_groups, FEW_NONE,
                                  FEW_NONE, true);
        y = few_unet_conv(&u, "conv_out", y, c->out_channels, 3, FEW_NONE, 1, 1, 1, true);
        h.v[t] = few_cast(g, y, FEW_F32);
        if (!strcmp(c->time_embedding_type, "fourier"))
            h.v[t] = divide_by_time(g, h.v[t], times->time[t]);
    }
    return h;
}

few_val few_unet_build(few_graph *g, int set, const few_unet_config *c, few_val x, few_val time,
                       few_val label, few_val rng)
{
    const few_unet_times one = { .n = 1, .time = { time } };
    return few_unet_build_times(g, set, c, x, label, rng, &one).v[0];
}

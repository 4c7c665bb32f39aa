/* UNet2DModel (spec 4.1): embeddings, down, middle, up, with the skips of every layer.
 *
 * Easy to get wrong: the skip list holds conv_in's result first and every downsampler's last;
 * concatenation puts the current activation before the skip; DownBlock2D and UpBlock2D always
 * resample by convolution, whatever downsample_type says. */
#include "nn/unet.h"

#include "nn/unet_blocks.h"

#include <math.h>
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
    few_val v[MAX_SKIPS];
    int n;
};

static few_val down(few_unet *u, few_val h, struct skips *s)
{
    const few_unet_config *c = u->c;
    char name[128];
    for (int i = 0; i < c->block_out_channels.n; i++) {
        const char *type = c->down_block_types.v[i];
        const int out = c->block_out_channels.v[i];
        const bool attention = !strcmp(type, "AttnDownBlock2D");
        const bool by_resnet = !strcmp(type, "ResnetDownsampleBlock2D") ||
                               (attention && !strcmp(c->downsample_type, "resnet"));
        for (int j = 0; j < c->layers_per_block; j++) {
            snprintf(name, sizeof name, "down_blocks.%d.resnets.%d", i, j);
            h = few_unet_resnet(u, name, h, out, FEW_KEEP, 1);
            snprintf(name, sizeof name, "down_blocks.%d.attentions.%d", i, j);
            if (attention)
                h = few_unet_attention(u, name, h, c->norm_num_groups, 1);
            s->v[s->n++] = h;
        }
        if (i == c->block_out_channels.n - 1)
            break;
        snprintf(name, sizeof name, "down_blocks.%d.downsamplers.0%s", i, by_resnet ? "" : ".conv");
        h = by_resnet ? few_unet_resnet(u, name, h, out, FEW_DOWN, 1)
                      : few_unet_downsample(u, name, h);
        s->v[s->n++] = h;
    }
    return h;
}

static few_val middle(few_unet *u, few_val h)
{
    const few_unet_config *c = u->c;
    const int width = c->block_out_channels.v[c->block_out_channels.n - 1];
    const double scale = c->mid_block_scale_factor;
    if (!c->mid_block_type)
        return h;
    int groups = c->attn_norm_num_groups;
    if (!groups && !strcmp(c->resnet_time_scale_shift, "default"))
        groups = c->norm_num_groups;
    h = few_unet_resnet(u, "mid_block.resnets.0", h, width, FEW_KEEP, scale);
    if (c->add_attention)
        h = few_unet_attention(u, "mid_block.attentions.0", h, groups, scale);
    return few_unet_resnet(u, "mid_block.resnets.1", h, width, FEW_KEEP, scale);
}

static few_val up(few_unet *u, few_val h, struct skips *s)
{
    const few_unet_config *c = u->c;
    const int n = c->block_out_channels.n;
    char name[128];
    for (int i = 0; i < n; i++) {
        const char *type = c->up_block_types.v[i];
        const int out = c->block_out_channels.v[n - 1 - i];
        const bool attention = !strcmp(type, "AttnUpBlock2D");
        const bool by_resnet = !strcmp(type, "ResnetUpsampleBlock2D") ||
                               (attention && !strcmp(c->upsample_type, "resnet"));
        for (int j = 0; j <= c->layers_per_block; j++) {
            snprintf(name, sizeof name, "up_blocks.%d.resnets.%d", i, j);
            few_graph_label(u->g, "%s", name);
            h = few_unet_resnet(u, name, few_concat(u->g, h, s->v[--s->n]), out, FEW_KEEP, 1);
            snprintf(name, sizeof name, "up_blocks.%d.attentions.%d", i, j);
            if (attention)
                h = few_unet_attention(u, name, h, c->norm_num_groups, 1);
        }
        if (i == n - 1)
            break;
        snprintf(name, sizeof name, "up_blocks.%d.upsamplers.0%s", i, by_resnet ? "" : ".conv");
        h = by_resnet ? few_unet_resnet(u, name, h, out, FEW_UP, 1) : few_unet_upsample(u, name, h);
    }
    return h;
}

few_val few_unet_build(few_graph *g, int set, const few_unet_config *c, few_val x, few_val time,
                       few_val label, few_val rng)
{
    few_unet u = { .g = g, .set = set, .c = c, .rng = rng };
    struct skips s = { .n = 0 };
    if (x == FEW_NONE)
        return x;
    const int64_t batch = g->tensors[x].shape.d[0];
    if ((c->class_embed_type || c->num_class_embeds) && label == FEW_NONE)
        return few_graph_fail(g, FEW_EINVAL, "the U-Net has classes, but no labels were given");
    few_graph_label(g, "conv_in");
    if (c->center_input_sample)
        x = few_affine(g, x, 2, -1);
    x = few_cast(g, x, FEW_ACT);
    u.emb = embedding(&u, time, label);
    few_val h =
        few_unet_conv(&u, "conv_in", x, c->block_out_channels.v[0], 3, FEW_NONE, 1, 1, 1, false);
    s.v[s.n++] = h;
    h = up(&u, middle(&u, down(&u, h, &s)), &s);
    h = few_unet_norm(&u, "conv_norm_out", h, c->norm_num_groups, FEW_NONE, FEW_NONE, true);
    h = few_unet_conv(&u, "conv_out", h, c->out_channels, 3, FEW_NONE, 1, 1, 1, true);
    h = few_cast(g, h, FEW_F32);
    if (!strcmp(c->time_embedding_type, "fourier") && h != FEW_NONE) { /* out / t */
        float one[1024];
        if (batch > 1024)
            return few_graph_fail(g, FEW_EUNSUPPORTED, "a slice of more than 1024 images");
        for (int k = 0; k < batch; k++)
            one[k] = 1;
        const few_val inverse = few_div(g, few_graph_const(g, FEW_SHAPE(batch), one), time);
        h = few_lincomb(g, 1, &h, &inverse, true);
    }
    return h;
}

/* unet: the U-Net of a recipe, from a short form of its configuration. */
#include "base/alloc.h"
#include "nn/network.h"
#include "nn/unet.h"

#include <string.h>

struct options {
    int base, blocks, head_width, groups;
    few_ints multipliers, attention;
    double dropout;
    char *time_embedding;
    bool zero_init;
};

static const few_option table[] = {
    { "base", FEW_OPT_INT, offsetof(struct options, base), "64", 1, 4096,
      "channels of the finest level", NULL },
    { "multipliers", FEW_OPT_INTS, offsetof(struct options, multipliers), "1,2,2", 1, 64,
      "channels of each level over the base", NULL },
    { "blocks", FEW_OPT_INT, offsetof(struct options, blocks), "2", 1, 64,
      "ResNet blocks of a level", NULL },
    { "attention", FEW_OPT_INTS, offsetof(struct options, attention), "8", 1, 4096,
      "resolutions with attention", NULL },
    { "head_width", FEW_OPT_INT, offsetof(struct options, head_width), "0", 0, 4096,
      "channels of an attention head; 0: one head", NULL },
    { "groups", FEW_OPT_INT, offsetof(struct options, groups), "0", 0, 4096,
      "groups of the norms; 0: of 4 channels at the finest level, at most 32", NULL },
    { "dropout", FEW_OPT_DOUBLE, offsetof(struct options, dropout), "0", 0, 0.99,
      "inside ResNet blocks", NULL },
    { "time_embedding", FEW_OPT_CHOICE, offsetof(struct options, time_embedding), "scale_shift", 0,
      0, "how the time enters: added, or as scale and shift", "default|scale_shift" },
    { "zero_init", FEW_OPT_BOOL, offsetof(struct options, zero_init), "true", 0, 0,
      "branches start at zero", NULL },
    { .name = NULL },
};

static bool has(const few_ints *list, int value)
{
    for (int k = 0; k < list->n; k++)
        if (list->v[k] == value)
            return true;
    return false;
}

static few_status set(few_unet_config *c, const char *name, const char *text, few_error *err)
{
    return few_option_set(few_unet_table, c, name, text, "model", err);
}

/* A group of one channel would be normalised alone: what is added to it, the time among it, and how
 * strong its noise is would be gone. EDM takes min(32, channels / 4), too. */
static int groups(const struct options *o)
{
    int g = o->groups;
    if (!g)
        for (g = o->base / 4 < 32 ? o->base / 4 : 32; g > 1 && o->base % g; g--)
            ;
    return g > 0 ? g : 1;
}

static few_status expand(const struct options *o, const few_net_shape *s, few_unet_config *c,
                         few_error *err)
{
    const int n = o->multipliers.n;
    few_strbuf down, up, width;
    few_status st = FEW_OK;
    few_strbuf_init(&down);
    few_strbuf_init(&up);
    few_strbuf_init(&width);
    for (int k = 0; k < n; k++) {
        const char *comma = k ? "," : "";
        few_strbuf_addf(&width, "%s%d", comma, o->base * o->multipliers.v[k]);
        few_strbuf_addf(&down, "%s%s", comma,
                        has(&o->attention, s->h >> k) ? "AttnDownBlock2D" : "DownBlock2D");
        few_strbuf_addf(&up, "%s%s", comma,
                        has(&o->attention, s->h >> (n - 1 - k)) ? "AttnUpBlock2D" : "UpBlock2D");
    }
    FEW_GOTO(few_options_defaults(few_unet_table, c, err));
    FEW_GOTO(set(c, "block_out_channels", width.s, err));
    FEW_GOTO(set(c, "down_block_types", down.s, err));
    FEW_GOTO(set(c, "up_block_types", up.s, err));
    FEW_GOTO(set(c, "resnet_time_scale_shift", o->time_embedding, err));
    c->sample_size = s->h;
    c->in_channels = c->out_channels = s->c;
    c->layers_per_block = o->blocks;
    c->attention_head_dim = o->head_width;
    c->norm_num_groups = groups(o);
    c->dropout = o->dropout;
    c->zero_init = o->zero_init;
    c->num_class_embeds = s->classes ? s->classes + 1 : 0;
    FEW_GOTO(few_unet_config_check(c, err));
    if (s->h % (1 << (n - 1)) || s->w % (1 << (n - 1)))
        st = few_fail(err, FEW_ECONFIG,
                      "model.multipliers: images of %dx%d cannot be halved %d times; pad them when "
                      "packing",
                      s->w, s->h, n - 1);
cleanup:
    few_strbuf_free(&down);
    few_strbuf_free(&up);
    few_strbuf_free(&width);
    return st;
}

static void close_config(void *config)
{
    few_unet_config_clear(config);
    few_free(config);
}

static few_status make(const void *options, const few_net_shape *shape, void **config,
                       few_error *err)
{
    few_unet_config *c = few_calloc(1, sizeof *c);
    if (!c)
        return few_fail(err, FEW_ENOMEM, "out of memory for a network");
    const few_status st = expand(options, shape, c, err);
    if (st != FEW_OK)
        close_config(c);
    else
        *config = c;
    return st;
}

static few_status open_config(const json_t *json, void **config, few_error *err)
{
    few_unet_config *c = few_calloc(1, sizeof *c);
    if (!c)
        return few_fail(err, FEW_ENOMEM, "out of memory for a network");
    const few_status st = few_unet_config_from_json(c, json, "unet", err);
    if (st != FEW_OK)
        few_free(c);
    else
        *config = c;
    return st;
}

static json_t *to_json(const void *config)
{
    return few_unet_config_to_json(config);
}

static int labels(const void *config)
{
    return few_unet_labels(config);
}

static few_val build(few_graph *g, int set_index, const void *config, few_val x, few_val time,
                     few_val label, few_val rng)
{
    return few_unet_build(g, set_index, config, x, time, label, rng);
}

const few_network few_network_unet = {
    .name = "unet",
    .help = "diffusers' UNet2DModel, for images",
    .options = table,
    .options_size = sizeof(struct options),
    .make = make,
    .open = open_config,
    .json = to_json,
    .labels = labels,
    .close = close_config,
    .build = build,
};

/* config.json of UNet2DModel, by one option table. null means "none" and is 0 or NULL here. */
#include "nn/unet_config.h"

#include <stdio.h>
#include <string.h>

#define ROW(type, field, fallback, min, max, help, choices)                                        \
    {                                                                                              \
#field, type, offsetof(few_unet_config, field), fallback, min, max, help, choices          \
    }
#define TYPES_DOWN "DownBlock2D|AttnDownBlock2D|ResnetDownsampleBlock2D"
#define TYPES_UP "UpBlock2D|AttnUpBlock2D|ResnetUpsampleBlock2D"

const few_option few_unet_table[] = {
    ROW(FEW_OPT_INT, sample_size, "0", 0, 16384, "side of the images", NULL),
    ROW(FEW_OPT_INT, in_channels, "3", 1, 4096, "channels in", NULL),
    ROW(FEW_OPT_INT, out_channels, "3", 1, 4096, "channels out", NULL),
    ROW(FEW_OPT_BOOL, center_input_sample, "false", 0, 0, "map the input by 2x - 1", NULL),
    ROW(FEW_OPT_CHOICE, time_embedding_type, "positional", 0, 0, "features of the time",
        "positional|fourier|learned"),
    ROW(FEW_OPT_INT, time_embedding_dim, "0", 0, 65536, "width of the embedding", NULL),
    ROW(FEW_OPT_DOUBLE, freq_shift, "0", 0, 16, "of the frequencies", NULL),
    ROW(FEW_OPT_BOOL, flip_sin_to_cos, "true", 0, 0, "cosines before sines", NULL),
    ROW(FEW_OPT_STRINGS, down_block_types,
        "DownBlock2D,AttnDownBlock2D,AttnDownBlock2D,AttnDownBlock2D", 0, 0, "from fine to coarse",
        TYPES_DOWN),
    ROW(FEW_OPT_STRINGS, up_block_types, "AttnUpBlock2D,AttnUpBlock2D,AttnUpBlock2D,UpBlock2D", 0,
        0, "from coarse to fine", TYPES_UP),
    ROW(FEW_OPT_STRING, mid_block_type, "UNetMidBlock2D", 0, 0, "the middle", NULL),
    ROW(FEW_OPT_INTS, block_out_channels, "224,448,672,896", 1, 65536, "width of each level", NULL),
    ROW(FEW_OPT_INT, layers_per_block, "2", 1, 64, "ResNet blocks of a level", NULL),
    ROW(FEW_OPT_DOUBLE, mid_block_scale_factor, "1", 1e-6, 1e6, "divides the middle's outputs",
        NULL),
    ROW(FEW_OPT_INT, downsample_padding, "1", 0, 1, "1: all sides; 0: right and bottom", NULL),
    ROW(FEW_OPT_CHOICE, downsample_type, "conv", 0, 0, "of attention blocks", "conv|resnet"),
    ROW(FEW_OPT_CHOICE, upsample_type, "conv", 0, 0, "of attention blocks", "conv|resnet"),
    ROW(FEW_OPT_DOUBLE, dropout, "0", 0, 0.99, "inside ResNet blocks", NULL),
    ROW(FEW_OPT_CHOICE, act_fn, "silu", 0, 0, "activation", "silu|swish"),
    ROW(FEW_OPT_INT, attention_head_dim, "8", 0, 65536, "channels of a head", NULL),
    ROW(FEW_OPT_INT, norm_num_groups, "32", 1, 65536, "groups of the norms", NULL),
    ROW(FEW_OPT_INT, attn_norm_num_groups, "0", 0, 65536, "groups of the middle attention's norm",
        NULL),
    ROW(FEW_OPT_DOUBLE, norm_eps, "1e-5", 1e-12, 1, "epsilon of the norms", NULL),
    ROW(FEW_OPT_CHOICE, resnet_time_scale_shift, "default", 0, 0, "how the time enters",
        "default|scale_shift"),
    ROW(FEW_OPT_BOOL, add_attention, "true", 0, 0, "attention in the middle", NULL),
    ROW(FEW_OPT_STRING, class_embed_type, NULL, 0, 0, "timestep or identity; else a table", NULL),
    ROW(FEW_OPT_INT, num_class_embeds, "0", 0, 1 << 20, "rows of the class table", NULL),
    ROW(FEW_OPT_INT, num_train_timesteps, "0", 0, 1 << 20, "rows of a learned time table", NULL),
    ROW(FEW_OPT_BOOL, zero_init, "true", 0, 0, "branches start at zero", NULL),
    { .name = NULL },
};

/* Numbers that config.json writes as null when they are 0. */
static const char *const nullable[] = { "sample_size",        "time_embedding_dim",
                                        "attention_head_dim", "attn_norm_num_groups",
                                        "num_class_embeds",   "num_train_timesteps" };

few_status few_unet_config_from_json(few_unet_config *c, const json_t *json, const char *where,
                                     few_error *err)
{
    memset(c, 0, sizeof *c);
    if (!json_is_object(json))
        return few_fail(err, FEW_EFORMAT, "'%s': the U-Net's configuration is no JSON object",
                        where);
    few_status st = few_options_defaults(few_unet_table, c, err);
    if (st != FEW_OK) {
        few_unet_config_clear(c);
        return st;
    }
    json_t *own = json_object();
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)json, key, value)
    {
        if (key[0] == '_')
            continue;
        bool null = false;
        for (size_t k = 0; k < FEW_COUNT(nullable); k++)
            null |= json_is_null(value) && !strcmp(key, nullable[k]);
        if (null)
            json_object_set_new(own, key, json_integer(0));
        else
            json_object_set(own, key, value);
    }
    st = few_options_from_json(few_unet_table, c, own, where, err);
    json_decref(own);
    if (st == FEW_OK && few_unet_config_check(c, err) != FEW_OK)
        st = few_fail_in(err, "%s", where);
    if (st != FEW_OK)
        few_unet_config_clear(c);
    return st;
}

json_t *few_unet_config_to_json(const few_unet_config *c)
{
    json_t *o = few_options_to_json(few_unet_table, c);
    for (size_t k = 0; o && k < FEW_COUNT(nullable); k++)
        if (json_integer_value(json_object_get(o, nullable[k])) == 0)
            json_object_set_new(o, nullable[k], json_null());
    if (o) {
        json_object_del(o, "zero_init");
        json_object_set_new(o, "_class_name", json_string("UNet2DModel"));
    }
    return o;
}

void few_unet_config_clear(few_unet_config *c)
{
    few_options_clear(few_unet_table, c);
    memset(c, 0, sizeof *c);
}

int few_unet_labels(const few_unet_config *c)
{
    return c->class_embed_type ? -1 : c->num_class_embeds;
}

int few_unet_time_dim(const few_unet_config *c)
{
    return c->time_embedding_dim ? c->time_embedding_dim : 4 * c->block_out_channels.v[0];
}

few_status few_unet_config_check(const few_unet_config *c, few_error *err)
{
    const int n = c->block_out_channels.n;
    if (n < 1 || n > 16 || c->down_block_types.n != n || c->up_block_types.n != n)
        return few_fail(
            err, FEW_ECONFIG,
            "block_out_channels, down_block_types and up_block_types must have the same "
            "length (they have %d, %d and %d)",
            n, c->down_block_types.n, c->up_block_types.n);
    for (int k = 0; k < n; k++) {
        const int width = c->block_out_channels.v[k];
        if (width % c->norm_num_groups)
            return few_fail(err, FEW_ECONFIG,
                            "block_out_channels: %d does not divide into %d groups", width,
                            c->norm_num_groups);
        if (c->attention_head_dim && width > c->attention_head_dim && width % c->attention_head_dim)
            return few_fail(err, FEW_ECONFIG,
                            "block_out_channels: %d is no multiple of the heads' %d", width,
                            c->attention_head_dim);
    }
    if (c->sample_size && c->sample_size % (1 << (n - 1)))
        return few_fail(err, FEW_ECONFIG, "sample_size %d cannot be halved %d times",
                        c->sample_size, n - 1);
    if (c->mid_block_type && strcmp(c->mid_block_type, "UNetMidBlock2D") != 0)
        return few_fail(err, FEW_ECONFIG,
                        "mid_block_type '%s' is not supported; UNetMidBlock2D or "
                        "null are",
                        c->mid_block_type);
    if (c->class_embed_type && strcmp(c->class_embed_type, "timestep") != 0 &&
        strcmp(c->class_embed_type, "identity") != 0)
        return few_fail(err, FEW_ECONFIG,
                        "class_embed_type '%s' is not supported; null, timestep and identity are",
                        c->class_embed_type);
    if (!strcmp(c->time_embedding_type, "learned") && !c->num_train_timesteps)
        return few_fail(err, FEW_ECONFIG, "time_embedding_type learned wants num_train_timesteps");
    if (c->attn_norm_num_groups && c->block_out_channels.v[n - 1] % c->attn_norm_num_groups)
        return few_fail(err, FEW_ECONFIG, "attn_norm_num_groups: %d channels do not divide by %d",
                        c->block_out_channels.v[n - 1], c->attn_norm_num_groups);
    return FEW_OK;
}

const char *few_unet_old_name(const char *name, char buf[256])
{
    static const char *const pairs[][2] = { { ".to_q.", ".query." },
                                            { ".to_k.", ".key." },
                                            { ".to_v.", ".value." },
                                            { ".to_out.0.", ".proj_attn." } };
    for (size_t k = 0; k < FEW_COUNT(pairs); k++) {
        const char *at = strstr(name, pairs[k][0]);
        if (at) {
            snprintf(buf, 256, "%.*s%s%s", (int)(at - name), name, pairs[k][1],
                     at + strlen(pairs[k][0]));
            return buf;
        }
    }
    return NULL;
}

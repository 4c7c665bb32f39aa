/* The configuration of diffusers' UNet2DModel: the keys of its config.json. */
#ifndef FEW_NN_UNET_CONFIG_H
#define FEW_NN_UNET_CONFIG_H

#include "base/option.h"

typedef struct few_unet_config {
    int sample_size, in_channels, out_channels; /* sample_size 0: any */
    bool center_input_sample;
    char *time_embedding_type; /* positional, fourier, learned */
    int time_embedding_dim;    /* 0: four times the first width */
    double freq_shift;
    bool flip_sin_to_cos;
    few_strings down_block_types, up_block_types;
    char *mid_block_type; /* NULL: none */
    few_ints block_out_channels;
    int layers_per_block;
    double mid_block_scale_factor;
    int downsample_padding;
    char *downsample_type, *upsample_type; /* conv, resnet */
    double dropout;
    char *act_fn;
    int attention_head_dim; /* 0: one head */
    /* groups of the middle attention's norm; 0: norm_num_groups with `default` times, else no norm,
     * as diffusers has it */
    int norm_num_groups, attn_norm_num_groups;
    double norm_eps;
    char *resnet_time_scale_shift; /* default, scale_shift */
    bool add_attention;
    char *class_embed_type;                    /* NULL, timestep, identity */
    int num_class_embeds, num_train_timesteps; /* 0: none */
    bool zero_init; /* not diffusers': the last layer of every branch starts at zero */
} few_unet_config;

extern const few_option few_unet_table[];

/* Absent keys take diffusers' defaults; keys that start with "_" are ignored; unknown keys and
 * values that are not supported are refused by name. Then few_unet_config_check. */
few_status few_unet_config_from_json(few_unet_config *c, const json_t *json, const char *where,
                                     few_error *err);
/* A config.json that diffusers accepts: a new reference, NULL when out of memory. */
json_t *few_unet_config_to_json(const few_unet_config *c);
void few_unet_config_clear(few_unet_config *c);
/* Do blocks, widths, groups, heads and the image size fit together? */
few_status few_unet_config_check(const few_unet_config *c, few_error *err);

/* How many labels it has embeddings for; -1: labels are numbers to it, of which there are any. */
int few_unet_labels(const few_unet_config *c);
int few_unet_time_dim(const few_unet_config *c);
/* The name a parameter had in old diffusers files (query for to_q, ...), written to buf[256], or
 * NULL when it had no other. */
const char *few_unet_old_name(const char *name, char buf[256]);

#endif

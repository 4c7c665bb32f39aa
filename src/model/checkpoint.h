/* Checkpoint files: one safetensors file with the weights under diffusers' names and the spec in
 * the metadata (key "fewstep"; modelspec.* keys beside it for other tools). */
#ifndef FEW_MODEL_CHECKPOINT_H
#define FEW_MODEL_CHECKPOINT_H

#include "model/spec.h"

/* A network with its weights. */
typedef struct few_net {
    few_spec spec;
    few_params params;
    float *master; /* [params.count], few_big_alloc */
    char hash[33]; /* XXH3-128 of the weights, hex */
} few_net;

/* Every tensor must be there, of the right shape, finite; unknown tensors are refused. */
few_status few_net_load(few_net *n, const char *path, few_error *err);
few_status few_net_save(const few_spec *spec, const few_params *params, const float *master,
                        const char *path, few_error *err);
/* The same with tensors rounded to F16, but for those with a number beyond its 65504: half the
 * size, for shipping, and an eighth of bf16's rounding. */
few_status few_net_save_half(const few_spec *spec, const few_params *params, const float *master,
                             const char *path, few_error *err);
void few_net_free(few_net *n);
/* The XXH3-128 of all parameters in table order, hex. */
void few_net_hash(const few_params *params, const float *master, char out[33]);

/* The description alone (no weights read). */
few_status few_net_load_spec(few_spec *s, const char *path, few_error *err);

#endif

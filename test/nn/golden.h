/* A golden U-Net file (test/golden/README.md) as a graph with values, channels last. */
#ifndef TEST_NN_GOLDEN_H
#define TEST_NN_GOLDEN_H

#include "base/alloc.h"
#include "base/safetensors.h"
#include "nn/unet.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct golden {
    few_safetensors *file;
    few_unet_config config;
    few_graph g;
    few_params params;
    few_val x, t, label, out, loss, dx;
    few_val grad[4096]; /* per parameter */
    int64_t n;          /* batch */
} golden;

static inline const few_safetensor *golden_tensor(const golden *g, const char *prefix,
                                                  const char *name)
{
    char full[512];
    snprintf(full, sizeof full, "%s%s", prefix, name);
    return few_safetensors_find(g->file, full);
}

/* Values of a tensor as doubles; images [N,C,H,W] become [N,H,W,C] when `image`. */
static inline double *golden_values(const few_safetensor *t, bool image)
{
    double *v = few_malloc((size_t)t->count * sizeof *v);
    float *f = few_malloc((size_t)t->count * sizeof *f);
    few_error err = { 0 };
    if (t->type == FEW_SAFETENSORS_I32)
        for (int64_t i = 0; i < t->count; i++)
            f[i] = (float)((const int32_t *)t->data)[i];
    else
        few_safetensors_to_f32(t, f, &err);
    for (int64_t i = 0; i < t->count; i++) {
        int64_t from = i;
        if (image) {
            const int64_t c = t->shape[1], h = t->shape[2], w = t->shape[3];
            const int64_t k = i % c, x = i / c % w, y = i / c / w % h, n = i / c / w / h;
            from = ((n * c + k) * h + y) * w + x;
        }
        v[i] = (double)f[from];
    }
    few_free(f);
    return v;
}

/* Build the network, its output, the loss sum(out * dout) and all gradients. */
static inline few_status golden_open(golden *t, const char *path, few_error *err)
{
    memset(t, 0, sizeof *t);
    few_graph_init(&t->g);
    FEW_TRY(few_safetensors_open(path, &t->file, err));
    json_t *json = json_loads(few_safetensors_metadata(t->file, "config"), 0, NULL);
    const few_status st = few_unet_config_from_json(&t->config, json, path, err);
    json_decref(json);
    FEW_TRY(st);
    const few_safetensor *x = golden_tensor(t, "in.", "x"),
                         *label = golden_tensor(t, "in.", "label");
    const few_safetensor *dout = golden_tensor(t, "", "dout");
    t->n = x->shape[0];
    few_graph_use_set(&t->g, 0, &t->params);
    t->x = few_graph_input(&t->g, "x", FEW_F32,
                           FEW_SHAPE(t->n, x->shape[2], x->shape[3], x->shape[1]), false);
    t->t = few_graph_input(&t->g, "t",
                           strcmp(t->config.time_embedding_type, "learned") ? FEW_F32 : FEW_I32,
                           FEW_SHAPE(t->n), false);
    t->label = FEW_NONE;
    if (label && label->rank == 2)
        t->label =
            few_graph_input(&t->g, "label", FEW_F32, FEW_SHAPE(t->n, label->shape[1]), false);
    else if (label)
        t->label = few_graph_input(&t->g, "label", t->config.class_embed_type ? FEW_F32 : FEW_I32,
                                   FEW_SHAPE(t->n), false);
    t->out = few_unet_build(&t->g, 0, &t->config, t->x, t->t, t->label, FEW_NONE);
    const few_shape shape = FEW_SHAPE(t->n, dout->shape[2], dout->shape[3], dout->shape[1]);
    const few_val weight = few_graph_input(&t->g, "dout", FEW_F32, shape, false);
    t->out = few_affine(&t->g, t->out, 1, 0);
    few_graph_output(&t->g, t->out, "out");
    t->loss = few_mul(&t->g, t->out, weight);
    few_graph_backward(&t->g, t->loss, &t->x, 1, &t->dx);
    few_graph_output(&t->g, t->dx, "dx");
    FEW_TRY(few_graph_status(&t->g, err));
    for (int k = 0; k < 4096; k++)
        t->grad[k] = FEW_NONE;
    for (int v = 0; v < t->g.n_tensors; v++)
        if (t->g.tensors[v].grad_of >= 0)
            t->grad[t->g.tensors[v].grad_of] = v;
    return FEW_OK;
}

static inline void golden_close(golden *t)
{
    few_graph_clear(&t->g);
    few_params_free(&t->params);
    few_unet_config_clear(&t->config);
    few_safetensors_close(t->file);
}

/* Greatest |a - b| over the root mean square of b, or over `floor` when that is larger. */
static inline double golden_error(const double *a, const double *b, int64_t n, double floor)
{
    double square = 0, worst = 0;
    for (int64_t i = 0; i < n; i++) {
        square += b[i] * b[i];
        worst = fmax(worst, fabs(a[i] - b[i]));
        if (!isfinite(a[i]))
            worst = INFINITY;
    }
    return worst / fmax(sqrt(square / (double)n), floor);
}

/* ||a - b|| / ||b||, with the same floor per element. */
static inline double golden_rms(const double *a, const double *b, int64_t n, double floor)
{
    double square = 0, diff = 0;
    for (int64_t i = 0; i < n; i++) {
        square += b[i] * b[i];
        diff += (a[i] - b[i]) * (a[i] - b[i]);
    }
    return sqrt(diff / (double)n) / fmax(sqrt(square / (double)n), floor);
}

#endif

/* Checkpoint files: weights under diffusers' names, the spec beside them.
 *
 * The master arena has padding between parameters; files have none. */
#include "model/checkpoint.h"

#include "base/alloc.h"
#include "base/hash.h"
#include "base/safetensors.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void few_net_hash(const few_params *params, const float *master, char out[33])
{
    XXH3_state_t *s = XXH3_createState();
    XXH3_128bits_reset(s);
    for (int k = 0; k < params->n; k++)
        XXH3_128bits_update(s, master + params->v[k].offset,
                            (size_t)params->v[k].count * sizeof(float));
    few_hash_digest(s, out);
    XXH3_freeState(s);
}

void few_net_free(few_net *n)
{
    few_spec_clear(&n->spec);
    few_big_free(n->master, (size_t)n->params.count * sizeof(float));
    few_params_free(&n->params);
    memset(n, 0, sizeof *n);
}

/* ---- reading --------------------------------------------------------------------------------*/

static few_status read_spec(few_spec *s, const few_safetensors *f, const char *path, few_error *err)
{
    const char *text = few_safetensors_metadata(f, "fewstep");
    if (!text)
        return few_fail(err, FEW_EFORMAT,
                        "'%s' is no fewstep checkpoint: its metadata has no key 'fewstep'", path);
    json_error_t je;
    json_t *json = json_loads(text, JSON_REJECT_DUPLICATES, &je);
    if (!json)
        return few_fail(err, FEW_EFORMAT, "'%s': the model's description is no JSON: %s", path,
                        je.text);
    const few_status st = few_spec_from_json(s, json, path, err);
    json_decref(json);
    return st;
}

few_status few_net_load_spec(few_spec *s, const char *path, few_error *err)
{
    few_safetensors *f;
    FEW_TRY(few_safetensors_open(path, &f, err));
    const few_status st = read_spec(s, f, path, err);
    few_safetensors_close(f);
    return st;
}

static few_status read_param(const few_param *p, const few_safetensors *f, float *to,
                             const char *path, few_error *err)
{
    const few_safetensor *t = few_safetensors_find(f, p->name);
    if (!t)
        return few_fail(err, FEW_EFORMAT, "'%s' lacks the tensor '%s'", path, p->name);
    bool same = t->rank == p->shape.rank;
    for (int k = 0; same && k < t->rank; k++)
        same = t->shape[k] == p->shape.d[k];
    if (!same) {
        few_shape have = { .rank = t->rank < FEW_MAX_RANK ? t->rank : FEW_MAX_RANK };
        char a[96], b[96];
        memcpy(have.d, t->shape, (size_t)have.rank * sizeof have.d[0]);
        return few_fail(err, FEW_EFORMAT, "'%s': tensor '%s' is %s, the network wants %s", path,
                        p->name, few_shape_text(&have, a), few_shape_text(&p->shape, b));
    }
    if (few_safetensors_to_f32(t, to, err) != FEW_OK)
        return few_fail_in(err, "%s: %s", path, p->name);
    for (int64_t i = 0; i < p->count; i++)
        if (!isfinite(to[i]))
            return few_fail(err, FEW_EFORMAT, "'%s': tensor '%s' holds numbers that are not finite",
                            path, p->name);
    return FEW_OK;
}

few_status few_net_load(few_net *n, const char *path, few_error *err)
{
    few_safetensors *f;
    few_status st = FEW_OK;
    memset(n, 0, sizeof *n);
    FEW_TRY(few_safetensors_open(path, &f, err));
    FEW_GOTO(read_spec(&n->spec, f, path, err));
    if (few_spec_params(&n->spec, &n->params, err) != FEW_OK) {
        st = few_fail_in(err, "%s", path);
        goto cleanup;
    }
    /* A description may claim any size; the file's tensors bound it. */
    int64_t bytes = 0;
    for (int i = 0; i < few_safetensors_count(f); i++)
        bytes += few_safetensors_at(f, i)->count;
    int64_t wanted = 0;
    for (int k = 0; k < n->params.n; k++)
        wanted += n->params.v[k].count;
    if (wanted != bytes || few_safetensors_count(f) != n->params.n) {
        st = few_fail(err, FEW_EFORMAT,
                      "'%s' holds %d tensors with %lld numbers, its description wants %d with %lld",
                      path, few_safetensors_count(f), (long long)bytes, n->params.n,
                      (long long)wanted);
        goto cleanup;
    }
    n->master = few_big_alloc((size_t)n->params.count * sizeof(float));
    if (!n->master) {
        st = few_fail(err, FEW_ENOMEM, "out of memory for the weights of '%s'", path);
        goto cleanup;
    }
    for (int k = 0; k < n->params.n; k++)
        FEW_GOTO(read_param(&n->params.v[k], f, n->master + n->params.v[k].offset, path, err));
    few_net_hash(&n->params, n->master, n->hash);
cleanup:
    few_safetensors_close(f);
    if (st != FEW_OK)
        few_net_free(n);
    return st;
}

/* ---- writing --------------------------------------------------------------------------------*/

static few_status add_metadata(few_safetensors_writer *w, const few_spec *spec, few_error *err)
{
    json_t *json = few_spec_to_json(spec);
    char *text = json ? json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    few_status st = text ? FEW_OK : few_fail(err, FEW_ENOMEM, "out of memory for metadata");
    char title[128], size[64];
    snprintf(title, sizeof title, "%s %s%s", spec->data_name ? spec->data_name : "model",
             spec->kind, spec->steps ? " student" : "");
    snprintf(size, sizeof size, "%dx%d", spec->width, spec->height);
    const char *const pairs[][2] = {
        { "fewstep", text },
        { "format", "pt" },
        { "modelspec.sai_model_spec", "1.0.0" },
        { "modelspec.title", title },
        { "modelspec.architecture", "UNet2DModel" },
        { "modelspec.resolution", size },
        { "modelspec.prediction_type", spec->prediction.kind->name },
        { "modelspec.implementation", "fewstep" },
    };
    for (size_t k = 0; k < FEW_COUNT(pairs) && st == FEW_OK; k++)
        st = few_safetensors_writer_metadata(w, pairs[k][0], pairs[k][1], err);
    free(text);
    json_decref(json);
    return st;
}

static bool in_half_range(const float *v, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (fabsf(v[i]) > 65504)
            return false;
    return true;
}

/* half: [params->count] room for the rounded weights, or NULL for f32. */
static few_status save(const few_spec *spec, const few_params *params, const float *master,
                       uint16_t *half, const char *path, few_error *err)
{
    few_safetensors_writer *w;
    few_status st = FEW_OK;
    FEW_TRY(few_safetensors_writer_create(&w, err));
    for (int k = 0; k < params->n; k++) {
        const few_param *p = &params->v[k];
        for (int64_t i = 0; i < p->count; i++)
            if (!isfinite(master[p->offset + i])) {
                st = few_fail(err, FEW_EDIVERGED,
                              "not saving '%s': '%s' holds numbers that are not finite", path,
                              p->name);
                goto cleanup;
            }
        const bool fits = half && in_half_range(master + p->offset, p->count);
        const void *data = fits ? (const void *)(half + p->offset) : master + p->offset;
        FEW_GOTO(few_safetensors_writer_add(w, p->name,
                                            fits ? FEW_SAFETENSORS_F16 : FEW_SAFETENSORS_F32,
                                            p->shape.rank, p->shape.d, data, err));
    }
    FEW_GOTO(add_metadata(w, spec, err));
    FEW_GOTO(few_safetensors_writer_write(w, path, err));
cleanup:
    few_safetensors_writer_free(w);
    return st;
}

few_status few_net_save(const few_spec *spec, const few_params *params, const float *master,
                        const char *path, few_error *err)
{
    return save(spec, params, master, NULL, path, err);
}

few_status few_net_save_half(const few_spec *spec, const few_params *params, const float *master,
                             const char *path, few_error *err)
{
    uint16_t *half = few_malloc((size_t)params->count * sizeof *half);
    if (!half)
        return few_fail(err, FEW_ENOMEM, "out of memory for the rounded weights");
    few_f16_from_f32(half, master, params->count);
    const few_status st = save(spec, params, master, half, path, err);
    few_free(half);
    return st;
}

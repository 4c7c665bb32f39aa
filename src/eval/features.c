/* The feature network: its file, and features of images.
 *
 * The file is safetensors with the classifier's weights; metadata key "fewstep.features" holds
 * JSON: size, classes, data name and hash, accuracy, seed (features_train.c writes it). */
#include "eval/feature_net.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/safetensors.h"
#include "nn/classifier.h"

#include <stdio.h>
#include <string.h>

few_status few_features_build(few_features *f, int workers, few_error *err)
{
    few_graph *g = &f->graph;
    few_val features;
    few_graph_init(g);
    few_graph_use_set(g, 0, &f->params);
    const few_val x =
        few_graph_input(g, "x", FEW_U8, FEW_SHAPE(FEW_FEATURES_SLICE, f->h, f->w, f->c), false);
    const few_val logits =
        few_classifier_build(g, few_dequantize(g, x), f->classes, FEW_NONE, &features);
    few_graph_output(g, features, "features");
    few_graph_output(g, logits, "logits");
    FEW_TRY(few_graph_status(g, err));
    const few_plan_options o = { .precision = FEW_PRECISION_F32, .workers = workers };
    FEW_TRY(few_backend_cpu.compile(g, &o, &f->plan, err));
    f->bytes = (size_t)f->params.count * sizeof(float);
    f->master = few_big_alloc(f->bytes);
    return f->master ? FEW_OK : few_fail(err, FEW_ENOMEM, "out of memory for the feature network");
}

void few_features_free(few_features *f)
{
    if (!f)
        return;
    few_backend_cpu.release(f->plan);
    few_graph_clear(&f->graph);
    few_params_free(&f->params);
    few_big_free(f->master, f->bytes);
    few_free(f->data);
    few_free(f);
}

/* ---- the file -------------------------------------------------------------------------------*/

static few_status read_header(few_features *f, const few_safetensors *s, const char *path,
                              few_error *err)
{
    const char *text = few_safetensors_metadata(s, "fewstep.features");
    json_t *o = text ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL;
    const char *data = NULL;
    few_status st = FEW_OK;
    if (!o ||
        json_unpack(o, "{s:i, s:i, s:i, s:i, s:s}", "height", &f->h, "width", &f->w, "channels",
                    &f->c, "classes", &f->classes, "data", &data) ||
        f->h < 4 || f->w < 4 || f->h > 1024 || f->w > 1024 || f->c < 1 || f->c > 16 ||
        f->classes < 1 || f->classes > 1 << 16)
        st = few_fail(err, FEW_EFORMAT, "'%s' is no feature network of fewstep", path);
    else if (!(f->data = few_strdup(data)))
        st = few_fail(err, FEW_ENOMEM, "out of memory for the feature network");
    json_decref(o);
    return st;
}

few_status few_features_load(const char *path, int workers, few_features **out, few_error *err)
{
    few_features *f = few_calloc(1, sizeof *f);
    few_safetensors *s = NULL;
    few_status st = FEW_OK;
    if (!f)
        return few_fail(err, FEW_ENOMEM, "out of memory for the feature network");
    FEW_GOTO(few_safetensors_open(path, &s, err));
    FEW_GOTO(read_header(f, s, path, err));
    FEW_GOTO(few_features_build(f, workers, err));
    XXH3_state_t *hash = XXH3_createState();
    XXH3_128bits_reset(hash);
    for (int k = 0; k < f->params.n && st == FEW_OK; k++) {
        const few_param *p = &f->params.v[k];
        const few_safetensor *t = few_safetensors_find(s, p->name);
        if (!t || t->count != p->count)
            st = few_fail(err, FEW_EFORMAT, "'%s' lacks the tensor '%s' of %lld numbers", path,
                          p->name, (long long)p->count);
        else
            st = few_safetensors_to_f32(t, f->master + p->offset, err);
        if (st == FEW_OK)
            XXH3_128bits_update(hash, f->master + p->offset, (size_t)p->count * sizeof(float));
    }
    few_hash_digest(hash, f->hash);
    XXH3_freeState(hash);
    if (st == FEW_OK)
        st = few_backend_cpu.params(f->plan, 0, f->master, err);
cleanup:
    few_safetensors_close(s);
    if (st != FEW_OK)
        few_features_free(f);
    else
        *out = f;
    return st;
}

few_status few_features_find(const char *given, const char *name, const char *pack, int workers,
                             few_features **out, few_error *err)
{
    char usual[512];
    if (given)
        return few_features_load(given, workers, out, err);
    snprintf(usual, sizeof usual, "pretrained/%s-features.safetensors", name ? name : "NAME");
    if (!pack || few_is_file(usual))
        return few_features_load(usual, workers, out, err);
    char *beside = few_pack_beside(pack, "-features.safetensors");
    if (!beside)
        return few_fail(err, FEW_ENOMEM, "out of memory for the feature network");
    const few_status st =
        few_is_file(beside)
            ? few_features_load(beside, workers, out, err)
            : few_fail(err, FEW_ENOTFOUND,
                       "there is no feature network, neither '%s' nor '%s'; --features names one, "
                       "'fewstep eval features %s' makes one",
                       usual, beside, pack);
    few_free(beside);
    return st;
}

/* ---- features -------------------------------------------------------------------------------*/

few_status few_features_run(few_features *f, const uint8_t *images, int64_t n, const char *output,
                            float *out, int width, few_error *err)
{
    const few_backend *b = &few_backend_cpu;
    const int64_t pixels = (int64_t)f->h * f->w * f->c;
    FEW_TRY(b->bind(f->plan, "features", NULL, err));
    FEW_TRY(b->bind(f->plan, "logits", NULL, err));
    for (int64_t at = 0; at < n; at += FEW_FEATURES_GROUP) {
        const int64_t m = n - at < FEW_FEATURES_GROUP ? n - at : FEW_FEATURES_GROUP;
        FEW_TRY(b->bind(f->plan, "x", (uint8_t *)(uintptr_t)(images + at * pixels), err));
        FEW_TRY(b->bind(f->plan, output, out + at * width, err));
        FEW_TRY(b->run(f->plan, m, err));
    }
    return FEW_OK;
}

few_status few_features_compute(few_features *f, const uint8_t *images, int64_t n, float *out,
                                few_error *err)
{
    return few_features_run(f, images, n, "features", out, FEW_CLASSIFIER_FEATURES, err);
}

int few_features_dim(const few_features *f)
{
    (void)f;
    return FEW_CLASSIFIER_FEATURES;
}

const char *few_features_hash(const few_features *f)
{
    return f->hash;
}

const char *few_features_data(const few_features *f)
{
    return f->data;
}

void few_features_shape(const few_features *f, int *h, int *w, int *c)
{
    *h = f->h;
    *w = f->w;
    *c = f->c;
}

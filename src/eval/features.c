/* The feature network: training, its file, and features of images.
 *
 * The file is safetensors with the classifier's weights; metadata key "fewstep.features" holds
 * JSON: size, classes, data name and hash, accuracy, seed. */
#include "eval/features.h"

#include "base/alloc.h"
#include "base/hash.h"
#include "base/philox.h"
#include "base/safetensors.h"
#include "nn/classifier.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SLICE = 16, GROUP = 512 };

struct few_features {
    few_graph graph;
    few_params params;
    few_plan *plan;
    float *master;
    size_t bytes;
    int h, w, c, classes;
    char *data, hash[33];
};

/* Inference graph: u8 images in, features and logits out. */
static few_status build(few_features *f, int workers, few_error *err)
{
    few_graph *g = &f->graph;
    few_val features;
    few_graph_init(g);
    few_graph_use_set(g, 0, &f->params);
    const few_val x = few_graph_input(g, "x", FEW_U8, FEW_SHAPE(SLICE, f->h, f->w, f->c), false);
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
    FEW_GOTO(build(f, workers, err));
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

static few_status save(const few_features *f, const few_pack *train, const few_features_training *o,
                       const char *path, few_error *err)
{
    few_safetensors_writer *w;
    few_status st = FEW_OK;
    FEW_TRY(few_safetensors_writer_create(&w, err));
    json_t *json = json_pack("{s:i, s:i, s:i, s:i, s:s, s:s, s:f, s:i, s:I}", "height", f->h,
                             "width", f->w, "channels", f->c, "classes", f->classes, "data",
                             f->data, "data_hash", few_pack_get_info(train)->hash, "accuracy",
                             o->accuracy, "epochs", o->epochs, "seed", (json_int_t)o->seed);
    char *text = json ? json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    st = text ? few_safetensors_writer_metadata(w, "fewstep.features", text, err)
              : few_fail(err, FEW_ENOMEM, "out of memory for metadata");
    for (int k = 0; k < f->params.n && st == FEW_OK; k++) {
        const few_param *p = &f->params.v[k];
        st = few_safetensors_writer_add(w, p->name, FEW_SAFETENSORS_F32, p->shape.rank, p->shape.d,
                                        f->master + p->offset, err);
    }
    if (st == FEW_OK)
        st = few_safetensors_writer_write(w, path, err);
    free(text);
    json_decref(json);
    few_safetensors_writer_free(w);
    return st;
}

/* ---- features -------------------------------------------------------------------------------*/

/* Run over n images, reading either output. */
static few_status run(few_features *f, const uint8_t *images, int64_t n, const char *output,
                      float *out, int width, few_error *err)
{
    const few_backend *b = &few_backend_cpu;
    const int64_t pixels = (int64_t)f->h * f->w * f->c;
    FEW_TRY(b->bind(f->plan, "features", NULL, err));
    FEW_TRY(b->bind(f->plan, "logits", NULL, err));
    for (int64_t at = 0; at < n; at += GROUP) {
        const int64_t m = n - at < GROUP ? n - at : GROUP;
        FEW_TRY(b->bind(f->plan, "x", (uint8_t *)(uintptr_t)(images + at * pixels), err));
        FEW_TRY(b->bind(f->plan, output, out + at * width, err));
        FEW_TRY(b->run(f->plan, m, err));
    }
    return FEW_OK;
}

few_status few_features_compute(few_features *f, const uint8_t *images, int64_t n, float *out,
                                few_error *err)
{
    return run(f, images, n, "features", out, FEW_CLASSIFIER_FEATURES, err);
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

/* ---- training -------------------------------------------------------------------------------*/

struct training {
    few_features *f; /* holds the weights */
    few_graph graph;
    few_plan *plan;
    uint8_t *x;
    int32_t *label, *rng;
    float *loss, *m, *v;
};

static few_status prepare(struct training *t, const few_features_training *o, few_error *err)
{
    few_features *f = t->f;
    few_graph *g = &t->graph;
    few_val features;
    const size_t b = (size_t)o->batch;
    few_graph_init(g);
    few_graph_use_set(g, 0, &f->params);
    const few_val x = few_graph_input(g, "x", FEW_U8, FEW_SHAPE(SLICE, f->h, f->w, f->c), false);
    const few_val label = few_graph_input(g, "label", FEW_I32, FEW_SHAPE(SLICE), false);
    const few_val rng = few_graph_input(g, "rng", FEW_I32, FEW_SHAPE(SLICE, 4), false);
    const few_val logits =
        few_classifier_build(g, few_dequantize(g, x), f->classes, rng, &features);
    const few_val loss = few_softmax_xent(g, logits, label);
    few_graph_output(g, loss, "loss");
    few_graph_backward(g, few_affine(g, loss, 1.0 / o->batch, 0), NULL, 0, NULL);
    FEW_TRY(few_graph_status(g, err));
    const few_plan_options po = { .precision = FEW_PRECISION_AUTO, .workers = o->workers };
    FEW_TRY(few_backend_cpu.compile(g, &po, &t->plan, err));
    t->x = few_malloc(b * (size_t)(f->h * f->w * f->c));
    t->label = few_malloc(b * sizeof(int32_t));
    t->rng = few_malloc(b * 4 * sizeof(int32_t));
    t->loss = few_malloc(b * sizeof(float));
    t->m = few_big_alloc(f->bytes);
    t->v = few_big_alloc(f->bytes);
    if (!t->x || !t->label || !t->rng || !t->loss || !t->m || !t->v)
        return few_fail(err, FEW_ENOMEM, "out of memory for training the classifier");
    few_params_init(&f->params, f->master, o->seed);
    FEW_TRY(few_backend_cpu.bind(t->plan, "x", t->x, err));
    FEW_TRY(few_backend_cpu.bind(t->plan, "label", t->label, err));
    FEW_TRY(few_backend_cpu.bind(t->plan, "rng", t->rng, err));
    FEW_TRY(few_backend_cpu.bind(t->plan, "loss", t->loss, err));
    return few_backend_cpu.params(t->plan, 0, f->master, err);
}

/* A batch in the order of its epoch; images are mirrored at random as mild augmentation. */
static void fill(struct training *t, const few_pack *pack, const few_features_training *o,
                 int64_t step)
{
    const uint64_t n = (uint64_t)few_pack_get_info(pack)->count;
    const few_features *f = t->f;
    const size_t bytes = (size_t)(f->h * f->w * f->c);
    for (int i = 0; i < o->batch; i++) {
        const uint64_t at = (uint64_t)step * (uint64_t)o->batch + (uint64_t)i;
        const int64_t k = (int64_t)few_random_permute(o->seed, (uint32_t)(at / n), n, at % n);
        const int32_t key[4] = { (int32_t)o->seed, 0, (int32_t)step, i };
        if (few_random_below(o->seed, FEW_RNG_FLIP, (uint32_t)step, (uint32_t)i, 0, 2))
            few_flip_pixels(t->x + (size_t)i * bytes, few_pack_image(pack, k), f->h, f->w, f->c);
        else
            memcpy(t->x + (size_t)i * bytes, few_pack_image(pack, k), bytes);
        t->label[i] = few_pack_label(pack, k);
        memcpy(t->rng + 4 * i, key, sizeof key);
    }
}

static few_status train_steps(struct training *t, const few_pack *pack, few_features_training *o,
                              few_error *err)
{
    const double pi = 3.14159265358979323846;
    const int64_t per_epoch = few_pack_get_info(pack)->count / o->batch;
    const int64_t steps = per_epoch * o->epochs;
    double sum = 0;
    for (int64_t k = 0; k < steps; k++) {
        fill(t, pack, o, k);
        FEW_TRY(few_backend_cpu.run(t->plan, o->batch, err));
        few_update u = { .lr = o->lr * 0.5 * (1 + cos(pi * (double)k / (double)steps)),
                         .beta1 = 0.9,
                         .beta2 = 0.99,
                         .eps = 1e-8,
                         .weight_decay = 0.01,
                         .clip = 1,
                         .step = k + 1,
                         .master = t->f->master,
                         .m = t->m,
                         .v = t->v };
        FEW_TRY(few_backend_cpu.update(t->plan, &u, err));
        if (!isfinite(u.grad_norm))
            return few_fail(err, FEW_EDIVERGED,
                            "the classifier's gradient is not finite at step %lld", (long long)k);
        for (int i = 0; i < o->batch; i++)
            sum += k >= steps - per_epoch ? (double)t->loss[i] : 0;
        if (o->progress && o->progress(o->user, k + 1, steps))
            return few_fail(err, FEW_ECANCELED, "training of the classifier was canceled");
    }
    o->loss = sum / (double)(per_epoch * o->batch);
    return FEW_OK;
}

static few_status accuracy(few_features *f, const few_pack *test, double *out, few_error *err)
{
    const int64_t n = few_pack_get_info(test)->count;
    float *logits = few_malloc((size_t)n * (size_t)f->classes * sizeof(float));
    int64_t right = 0;
    if (!logits)
        return few_fail(err, FEW_ENOMEM, "out of memory for the test");
    const few_status st = run(f, few_pack_image(test, 0), n, "logits", logits, f->classes, err);
    for (int64_t i = 0; st == FEW_OK && i < n; i++) {
        int best = 0;
        for (int k = 1; k < f->classes; k++)
            if (logits[i * f->classes + k] > logits[i * f->classes + best])
                best = k;
        right += best == few_pack_label(test, i);
    }
    few_free(logits);
    *out = (double)right / (double)n;
    return st;
}

few_status few_features_train(const few_pack *train, const few_pack *test, const char *name,
                              const char *path, few_features_training *o, few_error *err)
{
    const few_pack_info *info = few_pack_get_info(train);
    struct training t = { .f = few_calloc(1, sizeof(few_features)) };
    few_status st = FEW_OK;
    if (!t.f)
        return few_fail(err, FEW_ENOMEM, "out of memory for the classifier");
    few_features *f = t.f;
    f->h = info->height;
    f->w = info->width;
    f->c = info->channels;
    f->classes = info->n_classes;
    f->data = few_strdup(name);
    o->accuracy = -1;
    if (!f->data)
        st = few_fail(err, FEW_ENOMEM, "out of memory for the classifier");
    else if (!info->has_labels || info->n_classes < 2)
        st = few_fail(err, FEW_ECONFIG,
                      "a classifier needs a pack with labels of two classes or more");
    else if (info->height % 4 || info->width % 4 || o->batch % SLICE || info->count < o->batch)
        st = few_fail(
            err, FEW_ECONFIG,
            "images of %dx%d must have sides that divide by 4, the batch must be a multiple "
            "of %d and not above the %lld images",
            info->width, info->height, SLICE, (long long)info->count);
    if (st == FEW_OK)
        st = build(f, o->workers, err);
    if (st == FEW_OK)
        st = prepare(&t, o, err);
    if (st == FEW_OK)
        st = train_steps(&t, train, o, err);
    if (st == FEW_OK)
        st = few_backend_cpu.params(f->plan, 0, f->master, err);
    if (st == FEW_OK && test)
        st = accuracy(f, test, &o->accuracy, err);
    if (st == FEW_OK)
        st = save(f, train, o, path, err);
    few_backend_cpu.release(t.plan);
    few_graph_clear(&t.graph);
    few_free(t.x);
    few_free(t.label);
    few_free(t.rng);
    few_free(t.loss);
    few_big_free(t.m, f->bytes);
    few_big_free(t.v, f->bytes);
    few_features_free(f);
    return st;
}

/* Training of the feature network: on the classes of a labelled pack, or on lesson.h's. */
#include "eval/feature_net.h"
#include "eval/lesson.h"

#include "base/alloc.h"
#include "base/philox.h"
#include "base/safetensors.h"
#include "nn/classifier.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct training {
    few_features *f; /* holds the weights */
    few_graph graph;
    few_plan *plan;
    uint8_t *x, *mirrored, *scratch; /* the last two: one image each */
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
    const few_val x =
        few_graph_input(g, "x", FEW_U8, FEW_SHAPE(FEW_FEATURES_SLICE, f->h, f->w, f->c), false);
    const few_val label =
        few_graph_input(g, "label", FEW_I32, FEW_SHAPE(FEW_FEATURES_SLICE), false);
    const few_val rng = few_graph_input(g, "rng", FEW_I32, FEW_SHAPE(FEW_FEATURES_SLICE, 4), false);
    const few_val logits =
        few_classifier_build(g, few_dequantize(g, x), f->classes, rng, &features);
    const few_val loss = few_softmax_xent(g, logits, label);
    few_graph_output(g, loss, "loss");
    few_graph_backward(g, few_affine(g, loss, 1.0 / o->batch, 0), NULL, 0, NULL);
    FEW_TRY(few_graph_status(g, err));
    const few_plan_options po = { .precision = FEW_PRECISION_AUTO, .workers = o->workers };
    FEW_TRY(few_backend_cpu.compile(g, &po, &t->plan, err));
    t->x = few_malloc(b * (size_t)(f->h * f->w * f->c));
    t->mirrored = few_malloc((size_t)(f->h * f->w * f->c));
    t->scratch = few_malloc((size_t)(f->h * f->w * f->c));
    t->label = few_malloc(b * sizeof(int32_t));
    t->rng = few_malloc(b * 4 * sizeof(int32_t));
    t->loss = few_malloc(b * sizeof(float));
    t->m = few_big_alloc(f->bytes);
    t->v = few_big_alloc(f->bytes);
    if (!t->x || !t->mirrored || !t->scratch || !t->label || !t->rng || !t->loss || !t->m || !t->v)
        return few_fail(err, FEW_ENOMEM, "out of memory for training the classifier");
    few_params_init(&f->params, f->master, o->seed);
    FEW_TRY(few_backend_cpu.bind(t->plan, "x", t->x, err));
    FEW_TRY(few_backend_cpu.bind(t->plan, "label", t->label, err));
    FEW_TRY(few_backend_cpu.bind(t->plan, "rng", t->rng, err));
    FEW_TRY(few_backend_cpu.bind(t->plan, "loss", t->loss, err));
    return few_backend_cpu.params(t->plan, 0, f->master, err);
}

/* Image k of a pack, or its mirror image, as the network is shown it; returns what it is to answer.
 * Without classes the kind is drawn for (step, sample). */
static int32_t show(const few_features *f, const few_features_training *o, const few_pack *pack,
                    int64_t k, const uint8_t *image, uint32_t step, uint32_t sample, uint8_t *to,
                    uint8_t *scratch)
{
    if (!o->unlabelled) {
        memcpy(to, image, (size_t)(f->h * f->w * f->c));
        return few_pack_label(pack, k);
    }
    const int kind =
        (int)few_random_below(o->seed, FEW_RNG_LESSON, step, sample, 0, (uint32_t)f->classes);
    few_lesson_make(to, image, f->h, f->w, f->c, kind, scratch);
    return kind;
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
        const uint8_t *image = few_pack_image(pack, k);
        if (few_random_below(o->seed, FEW_RNG_FLIP, (uint32_t)step, (uint32_t)i, 0, 2)) {
            few_flip_pixels(t->mirrored, image, f->h, f->w, f->c);
            image = t->mirrored;
        }
        t->label[i] = show(f, o, pack, k, image, (uint32_t)step, (uint32_t)i,
                           t->x + (size_t)i * bytes, t->scratch);
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

/* Which class the classifier takes each of n images for; logits is scratch. */
static few_status classify(few_features *f, const uint8_t *images, int64_t n, float *logits,
                           int32_t *best, few_error *err)
{
    FEW_TRY(few_features_run(f, images, n, "logits", logits, f->classes, err));
    for (int64_t i = 0; i < n; i++) {
        best[i] = 0;
        for (int k = 1; k < f->classes; k++)
            if (logits[i * f->classes + k] > logits[i * f->classes + best[i]])
                best[i] = k;
    }
    return FEW_OK;
}

/* Of the test images, without classes each as one of the kinds. */
static few_status accuracy(few_features *f, const few_pack *test, few_features_training *o,
                           few_error *err)
{
    enum { GROUP = FEW_FEATURES_GROUP };
    const int64_t n = few_pack_get_info(test)->count, bytes = (int64_t)f->h * f->w * f->c;
    float *logits = few_malloc((size_t)(GROUP * f->classes) * sizeof(float));
    uint8_t *images = few_malloc((size_t)((GROUP + 1) * bytes));
    int32_t label[GROUP], best[GROUP];
    int64_t right = 0;
    few_status st =
        logits && images ? FEW_OK : few_fail(err, FEW_ENOMEM, "out of memory for the test");
    for (int64_t at = 0; at < n && st == FEW_OK; at += GROUP) {
        const int64_t m = n - at < GROUP ? n - at : GROUP;
        for (int64_t i = 0; i < m; i++)
            label[i] = show(f, o, test, at + i, few_pack_image(test, at + i), UINT32_MAX,
                            (uint32_t)(at + i), images + i * bytes, images + GROUP * bytes);
        st = classify(f, images, m, logits, best, err);
        for (int64_t i = 0; i < m && st == FEW_OK; i++)
            right += best[i] == label[i];
    }
    few_free(logits);
    few_free(images);
    o->accuracy = (double)right / (double)n;
    return st;
}

static few_status save(const few_features *f, const few_pack *train, const few_features_training *o,
                       const char *path, few_error *err)
{
    few_safetensors_writer *w;
    few_status st = FEW_OK;
    FEW_TRY(few_safetensors_writer_create(&w, err));
    json_t *json =
        json_pack("{s:i, s:i, s:i, s:i, s:s, s:s, s:s, s:f, s:i, s:I}", "height", f->h, "width",
                  f->w, "channels", f->c, "classes", f->classes, "data", f->data, "data_hash",
                  few_pack_get_info(train)->hash, "task", o->unlabelled ? "lessons" : "classes",
                  "accuracy", o->accuracy, "epochs", o->epochs, "seed", (json_int_t)o->seed);
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

/* Of the images to train on and to test with (or NULL). */
static few_status check(const few_pack_info *a, const few_pack_info *b,
                        const few_features_training *o, few_error *err)
{
    if (a->count < FEW_FEATURES_SLICE)
        return few_fail(err, FEW_ECONFIG,
                        "%lld images are too few to learn features from; %d are the least",
                        (long long)a->count, FEW_FEATURES_SLICE);
    if (a->height % 4 || a->width % 4 || o->batch % FEW_FEATURES_SLICE || a->count < o->batch)
        return few_fail(
            err, FEW_ECONFIG,
            "images of %dx%d must have sides that divide by 4, the batch must be a multiple "
            "of %d and not above the %lld images",
            a->width, a->height, FEW_FEATURES_SLICE, (long long)a->count);
    if (b && (b->height != a->height || b->width != a->width || b->channels != a->channels))
        return few_fail(err, FEW_ECONFIG,
                        "the test images have %dx%d pixels of %d channels, those to learn from "
                        "%dx%d of %d",
                        b->width, b->height, b->channels, a->width, a->height, a->channels);
    if (b && !o->unlabelled && b->n_classes != a->n_classes)
        return few_fail(err, FEW_ECONFIG, "the test images have %d classes, those to learn from %d",
                        b->n_classes, a->n_classes);
    return FEW_OK;
}

few_status few_features_train(const few_pack *train, const few_pack *test, const char *name,
                              const char *path, few_features_training *o, few_error *err)
{
    const few_pack_info *info = few_pack_get_info(train);
    o->unlabelled = !info->has_labels || info->n_classes < 2;
    o->accuracy = -1;
    FEW_TRY(check(info, test ? few_pack_get_info(test) : NULL, o, err));
    struct training t = { .f = few_calloc(1, sizeof(few_features)) };
    if (!t.f)
        return few_fail(err, FEW_ENOMEM, "out of memory for the classifier");
    few_features *f = t.f;
    f->h = info->height;
    f->w = info->width;
    f->c = info->channels;
    f->classes = o->unlabelled ? few_lesson_kinds(f->h, f->w) : info->n_classes;
    f->data = few_strdup(name);
    few_status st =
        f->data ? FEW_OK : few_fail(err, FEW_ENOMEM, "out of memory for the classifier");
    if (st == FEW_OK)
        st = few_features_build(f, o->workers, err);
    if (st == FEW_OK)
        st = prepare(&t, o, err);
    if (st == FEW_OK)
        st = train_steps(&t, train, o, err);
    if (st == FEW_OK)
        st = few_backend_cpu.params(f->plan, 0, f->master, err);
    if (st == FEW_OK && test)
        st = accuracy(f, test, o, err);
    if (st == FEW_OK)
        st = save(f, train, o, path, err);
    few_backend_cpu.release(t.plan);
    few_graph_clear(&t.graph);
    few_free(t.x);
    few_free(t.mirrored);
    few_free(t.scratch);
    few_free(t.label);
    few_free(t.rng);
    few_free(t.loss);
    few_big_free(t.m, f->bytes);
    few_big_free(t.v, f->bytes);
    few_features_free(f);
    return st;
}

/* Features of images by a small classifier trained on the data set itself, labelled or not: a
 * measure of quality that needs no download. Figures made with it are called FD-<data set>, never
 * FID. */
#ifndef FEW_EVAL_FEATURES_H
#define FEW_EVAL_FEATURES_H

#include "graph/backend.h"
#include "image/pack.h"

typedef struct few_features few_features;

/* Load a feature network. workers 0: every core. Always f32, so that figures agree between
 * machines. Fails: FEW_EFORMAT, FEW_EIO, FEW_ENOTFOUND, FEW_ENOMEM. */
few_status few_features_load(const char *path, int workers, few_features **out, few_error *err);
/* The one at `given`; when that is NULL the one of data `name`,
 * "pretrained/NAME-features.safetensors", or the one beside its `pack` (few_pack_beside); either
 * may be NULL. Fails: FEW_ENOTFOUND, saying how to make one, and as few_features_load. */
few_status few_features_find(const char *given, const char *name, const char *pack, int workers,
                             few_features **out, few_error *err);
void few_features_free(few_features *f);

/* images [n,h,w,c] u8 -> out [n,dim]. */
few_status few_features_compute(few_features *f, const uint8_t *images, int64_t n, float *out,
                                few_error *err);
int few_features_dim(const few_features *f);
/* XXH3-128 of the weights, hex; name of the data set it was trained on; [h,w,c]. */
const char *few_features_hash(const few_features *f);
const char *few_features_data(const few_features *f);
void few_features_shape(const few_features *f, int *h, int *w, int *c);

typedef struct few_features_training {
    int epochs, batch;
    double lr;
    uint64_t seed;
    int workers;
    few_progress_fn progress; /* steps done, steps in all; non-zero cancels */
    void *user;
    double loss, accuracy; /* out: last epoch's loss; accuracy on the test pack, or -1 without */
    bool unlabelled;       /* out: there were no classes, so it learnt what lesson.h makes */
} few_features_training;

/* Train the classifier on a pack, labelled or not (lesson.h), and write it to `path`. test
 * may be NULL. name: of the data set. Fails: FEW_ECONFIG (odd size, fewer images than a batch),
 * FEW_ECANCELED, FEW_EDIVERGED, and as writing. */
few_status few_features_train(const few_pack *train, const few_pack *test, const char *name,
                              const char *path, few_features_training *o, few_error *err);

#endif

/* Training data in memory order: a pack of images, or points drawn from a distribution whose truth
 * is known. What a step sees is a pure function of (seed, step), so nothing of it needs saving. */
#ifndef FEW_TRAIN_DATASET_H
#define FEW_TRAIN_DATASET_H

#include "image/pack.h"
#include "train/trajectories.h"

typedef struct few_dataset {
    few_pack *pack;         /* images u8, or NULL */
    few_trajectories paths; /* or trajectories, whose states are `points` */
    const float *points;    /* [n, h*w*c] f32, or NULL */
    uint8_t *bytes;         /* else [n, h*w*c] u8 of no meaning: for benchmarks */
    int64_t n;
    int h, w, c, classes;
    char name[64], hash[33];
    size_t owned; /* bytes of points or bytes; 0: points are the trajectories' */
} few_dataset;

/* Whether there is something to open at a path: a file, or the toy by its name. */
bool few_dataset_is_there(const char *path);
/* Whether the path would be a pack's: neither trajectories nor the toy; NULL is none. */
bool few_dataset_is_pack(const char *path);
/* path: a pack, or trajectories (.safetensors). "mixture": 65,536 draws of 0.3 N(-0.6, 0.2^2) + 0.7
 * N(0.5, 0.1^2), one number each. Fails as few_pack_open. */
few_status few_dataset_open(few_dataset *d, const char *path, few_error *err);
/* 256 images of random bytes, for plans and benchmarks. */
few_status few_dataset_random(few_dataset *d, int h, int w, int c, int classes, few_error *err);
void few_dataset_close(few_dataset *d);
size_t few_dataset_sample_bytes(const few_dataset *d);
bool few_dataset_is_float(const few_dataset *d);

/* The `batch` samples of a step: epoch after epoch, each in an order of its own (or mirrored with
 * probability 1/2 when flip). x: u8 or f32 as the set is; label may be NULL. */
void few_dataset_batch(const few_dataset *d, uint64_t seed, int64_t step, int64_t batch, bool flip,
                       void *x, int32_t *label);

#endif

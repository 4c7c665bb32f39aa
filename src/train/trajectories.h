/* Trajectories: noise, and points of the path on which a teacher takes it to the data, for methods
 * that learn the whole path. One safetensors file: "states" F32 [n,h,w,(k+1) c], the noise and then
 * the points at t = 1 - j/k, the last of which are images; "labels" I32 [n]; what they are under
 * the metadata key "fewstep.trajectories". */
#ifndef FEW_TRAIN_TRAJECTORIES_H
#define FEW_TRAIN_TRAJECTORIES_H

#include "base/safetensors.h"
#include "model/checkpoint.h"

typedef struct few_trajectories_options {
    int64_t count;
    int steps, states; /* of the sampler ddim; points kept, which divide them */
    uint64_t seed;     /* image i is the one that this seed's sample i is */
    int workers;
    few_progress_fn progress; /* network evaluations done and in all */
    void *user;
} few_trajectories_options;

/* Fails: FEW_EINVAL (a student, states that do not divide the steps), FEW_ENOMEM, FEW_ECANCELED,
 * and as writing. */
few_status few_trajectories_make(const few_net *teacher, const few_trajectories_options *o,
                                 const char *path, few_error *err);

typedef struct few_trajectories {
    few_safetensors *file;
    const float *states; /* in the file's map */
    const int32_t *labels;
    int64_t n;
    int h, w, c, classes; /* c: channels of all states together */
    char name[64], hash[33];
} few_trajectories;

few_status few_trajectories_open(few_trajectories *t, const char *path, few_error *err);
void few_trajectories_close(few_trajectories *t);

#endif

/* How far a diffusion model's prediction of x is from x, by time: the variance of x that aDDIM
 * makes good for when x itself is not at hand (arXiv:2403.06807, section 3.2). */
#ifndef FEW_EVAL_X_ERROR_H
#define FEW_EVAL_X_ERROR_H

#include "image/pack.h"
#include "model/checkpoint.h"
#include "sampler/draw.h"

typedef struct few_x_error_options {
    int64_t images; /* of the pack, spread over it */
    int times;
    uint64_t seed;
    few_precision precision;
    int workers;
    few_progress_fn progress; /* network evaluations done and in all */
    void *user;
} few_x_error_options;

/* out[k] = mean of (x - x_hat(z_t, t))^2 over images and their numbers at t = (k + 1) / times.
 * Fails: FEW_EINVAL (a student, sizes that differ), FEW_ENOMEM, FEW_ECANCELED. */
few_status few_x_error(const few_net *net, const few_pack *pack, const few_x_error_options *o,
                       double *out, few_error *err);

#endif

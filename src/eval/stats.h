/* Mean and covariance of features, in one pass over them. */
#ifndef FEW_EVAL_STATS_H
#define FEW_EVAL_STATS_H

#include "base/status.h"

#define FEW_STATS_MAX_DIM 4096
enum { FEW_STATS_ROWS = 256 }; /* features that wait until they are taken in together */

/* Finished statistics of n features of d numbers. Owned: few_moments_free. */
typedef struct few_moments {
    int d;
    int64_t n;     /* features they were taken from; 0 when a file does not say */
    double *mu;    /* [d] */
    double *sigma; /* [d,d], symmetric, 1/(n-1) */
} few_moments;

/* Room for d, zeroed. Fails: FEW_EINVAL (d outside 1..FEW_STATS_MAX_DIM), FEW_ENOMEM. */
few_status few_moments_init(few_moments *m, int d, few_error *err);
void few_moments_free(few_moments *m);

/* An accumulator; the fields are its own. Memory: d * d + FEW_STATS_ROWS * d doubles.
 * The same features in the same order give the same result however they are cut into batches. */
typedef struct few_stats {
    int d, filled;   /* rows waiting in block */
    int64_t n;       /* features added, waiting ones included */
    double *shift;   /* [d] the first feature; everything below is relative to it */
    double *mean;    /* [d] of the features already taken in */
    double *block;   /* [FEW_STATS_ROWS,d] features waiting */
    double *scatter; /* [d,d] sum of (x - mean)(x - mean)^T, upper triangle */
} few_stats;

/* Fails: FEW_EINVAL (d outside 1..FEW_STATS_MAX_DIM), FEW_ENOMEM. */
few_status few_stats_init(few_stats *s, int d, few_error *err);
void few_stats_free(few_stats *s);

/* Add n features x [n,d]. Fails: FEW_EINVAL when one is not finite; nothing is added then. */
few_status few_stats_add_f32(few_stats *s, const float *x, int64_t n, few_error *err);
few_status few_stats_add_f64(few_stats *s, const double *x, int64_t n, few_error *err);

/* Add to `s` all that `other` has seen; `other` keeps its contents (its waiting features are taken
 * in). Fails: FEW_EINVAL when d differs. */
few_status few_stats_merge(few_stats *s, few_stats *other, few_error *err);

/* *out: mean and unbiased covariance so far; free it. More may be added afterwards.
 * Fails: FEW_EINVAL with fewer than two features, FEW_ENOMEM. */
few_status few_stats_finish(few_stats *s, few_moments *out, few_error *err);

/* A text kept with saved statistics, such as { "features", "inception-2015" }: what must agree
 * before two sets may be compared. */
typedef struct few_stats_note {
    const char *key, *text;
} few_stats_note;

/* A safetensors file with mu [d] and sigma [d,d] in F64; metadata "count" and the notes.
 * Fails: FEW_EIO, FEW_ENOMEM, FEW_EINVAL (the key "count", a key twice). */
few_status few_moments_save(const few_moments *m, const char *path, const few_stats_note *notes,
                            int n_notes, few_error *err);

/* Read such a file (F32 is accepted too). A note that the file has with another text is refused;
 * one that the file lacks is not checked. *out: free it.
 * Fails: FEW_EFORMAT, FEW_EINVAL (a note differs), FEW_EIO, FEW_ENOTFOUND, FEW_ENOMEM. */
few_status few_moments_load(const char *path, const few_stats_note *notes, int n_notes,
                            few_moments *out, few_error *err);

#endif

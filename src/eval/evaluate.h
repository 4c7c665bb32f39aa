/* The quality of a checkpoint: Frechet distance between features of its samples and of a test set,
 * with the distance of the training set beside it (the floor: what real images reach). */
#ifndef FEW_EVAL_EVALUATE_H
#define FEW_EVAL_EVALUATE_H

#include "eval/features.h"
#include "eval/metric.h"
#include "model/checkpoint.h"
#include "sampler/draw.h"

typedef struct few_evaluation_options {
    int64_t samples;
    few_draw draw; /* sampler, options, steps, begin, end, seed, guidance, noise [samples,h,w,c] */
    few_precision precision;
    int workers;
    const char *keep; /* folder for what is there when it stops: once a minute, and when canceled;
                       * the same evaluation then goes on from there. NULL: none */
    bool keep_done;   /* the file stays in the end, for others are to follow; see `kept` */
    few_progress_fn progress; /* network evaluations done and in all */
    void *user;
} few_evaluation_options;

typedef struct few_evaluation {
    double fd, floor;
    int64_t samples, reference, train; /* how many images each set had */
    int64_t resumed;                   /* of the samples: from an earlier, unfinished evaluation */
    double nfe;                        /* network evaluations for one image, on average */
    double seconds, images_per_second; /* of sampling alone */
    char reference_hash[33], features_hash[33];
    char kept[1024]; /* the file that stayed, for the caller to remove; or "" */
} few_evaluation;

/* What samples are measured against; made once for many checkpoints. */
typedef struct few_real {
    few_moments test;
    const few_pack *pack; /* of the test images; borrowed, as long as this lives */
    double floor;         /* of `train` training images; NaN without them */
    int64_t train;
    char hash[33]; /* of the test images */
} few_real;

/* train may be NULL. The floor is that of as many training images as there will be samples, of the
 * classes that those will be of.
 * Fails: FEW_EINVAL (sizes differ), FEW_ENOMEM. */
few_status few_real_make(few_real *r, few_features *f, const few_pack *test, const few_pack *train,
                         int64_t samples, few_error *err);
void few_real_free(few_real *r);

/* The samples' classes are as frequent as the test images', where the model has the same.
 * Fails: FEW_EINVAL (sizes differ, too few samples), FEW_ECANCELED, and as sampling. */
few_status few_evaluate(const few_net *net, few_features *f, const few_real *against,
                        const few_evaluation_options *o, few_evaluation *out, few_error *err);

/* Labels [n] whose first m are, for every m, of the classes in the proportions of `like`, which has
 * labels: 0, 1, 2, ... again and again where it has the same number of each. The caller frees them;
 * NULL: no memory. */
int32_t *few_labels_like(const few_pack *like, int64_t n);

/* Mean and covariance of the features of a pack's images: of n of them, their classes in the
 * proportions of `like` (NULL, or with other classes: any) as far as it has them, or of all where
 * there are no more. */
few_status few_pack_moments(few_features *f, const few_pack *p, const few_pack *like, int64_t n,
                            few_moments *out, few_error *err);

#endif

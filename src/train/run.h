/* A run: a folder with config.yaml, log.tsv, checkpoints/ and samples/, and the loop that fills it.
 */
#ifndef FEW_TRAIN_RUN_H
#define FEW_TRAIN_RUN_H

#include "sampler/draw.h"
#include "train/config.h"

typedef struct few_run_progress {
    int64_t step, steps, images;
    double loss; /* mean since the last report */
    double lr, grad_norm, images_per_second;
    int64_t skipped;
} few_run_progress;

/* How the caller watches and stops a run. All may be NULL. */
typedef struct few_run_watch {
    void *user;
    void (*progress)(void *user, const few_run_progress *p); /* after every step */
    void (*note)(void *user, const char *text);              /* something a person should know */
    int (*stop)(void *user);  /* asked after every step; non-zero: save and return FEW_ECANCELED */
    bool fresh;               /* delete what an existing folder holds and begin again */
    bool must_resume;         /* a missing state is an error, never a new run */
    const char *when_changed; /* what to do about other settings, for the message; NULL: train or
                               * --fresh */
} few_run_watch;

/* Train config's run in `folder` until train.steps, resuming from its newest complete state. A
 * folder made with another configuration is refused with the keys that differ. A plan that stops
 * early has saved its state. Fails: FEW_ECANCELED (stopped), FEW_EDIVERGED (after going back
 * train.rollbacks times), FEW_ECONFIG, FEW_ENOTFOUND, and whatever writing can fail with. */
few_status few_run(const few_config *c, const char *folder, const few_run_watch *w, few_error *err);

#endif

/* What an evaluation has when it is stopped: moments of the samples so far, in a file, so that the
 * same evaluation goes on from there and ends with the same figure, to the last bit. */
#ifndef FEW_EVAL_UNFINISHED_H
#define FEW_EVAL_UNFINISHED_H

#include "base/hash.h"
#include "eval/stats.h"

typedef struct few_unfinished {
    char *path; /* owned; NULL: nothing is kept */
    char key[FEW_HASH_TEXT];
    int64_t evaluated; /* network evaluations of these samples */
    double seconds;    /* that they took */
} few_unfinished;

/* Name the file in `folder` after `text`, all that the samples depend on, and read what it has into
 * stats and the two numbers: they stay as they are without a file, or with one that is damaged,
 * of another dimension, or of more than `most` samples. folder NULL: nothing is kept.
 * Fails: FEW_ENOMEM. Free with few_unfinished_free. */
few_status few_unfinished_begin(few_unfinished *u, const char *folder, const char *text,
                                int64_t most, few_stats *stats, few_error *err);

/* Write the file, making the folder. Fails: FEW_EIO, FEW_ENOMEM; an older file stays. */
few_status few_unfinished_save(const few_unfinished *u, const few_stats *stats, few_error *err);

/* It is finished: take the file away. */
void few_unfinished_remove(const few_unfinished *u);
void few_unfinished_free(few_unfinished *u);

#endif

/* What several checkpoints are worth, side by side: a table, a plot of quality against steps, and
 * sheets drawn from the same noise, in one page. */
#ifndef FEW_EVAL_QUALITY_H
#define FEW_EVAL_QUALITY_H

#include "eval/evaluate.h"

/* One evaluated checkpoint. */
typedef struct few_quality_row {
    const char *path;
    const few_net *net;
    few_draw draw;
    few_evaluation result;
} few_quality_row;

/* Write report.html: rows in the order given; the sheets show 64 images each, from noise of seed 0.
 * title: of the page. command: how it was made, or NULL. progress: of the sheets, in network
 * evaluations done and in all; may be NULL. */
few_status few_quality_report(const char *path, const char *title, const char *command,
                              const few_quality_row *rows, int n, const few_pack *test,
                              few_precision precision, int workers, few_progress_fn progress,
                              void *user, few_error *err);

/* "teacher", "mcd, 4 steps": what a checkpoint is, in words. */
const char *few_quality_name(const few_net *net, char buf[64]);

#endif

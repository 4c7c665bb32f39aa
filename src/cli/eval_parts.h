/* The forms of fewstep eval that make something: each returns an exit code. */
#ifndef FEW_CLI_EVAL_PARTS_H
#define FEW_CLI_EVAL_PARTS_H

#include "eval/features.h"
#include "eval/x_error.h"

/* Train the classifier in whose features distances are taken on `pack`, into `output` (NULL: beside
 * it); `reference` (NULL: the test images beside it, if any) tells its accuracy. */
int few_cli_eval_features(const char *pack, const char *reference, const char *output,
                          few_features_training *t);
/* Measure `model`'s errors by time on the images of `pack`, write a copy with the table to
 * `output`, print the table. */
int few_cli_eval_xvar(const char *model, const char *pack, const char *output,
                      few_x_error_options *o);
/* The bar of both: user is a few_progress. */
int few_cli_eval_progress(void *user, int64_t done, int64_t total);

#endif

/* What a metric is: a number from the features of generated images and of a reference.
 *
 * A metric is one file ending in one `const few_metric`, plus a line in list.def. */
#ifndef FEW_EVAL_METRIC_H
#define FEW_EVAL_METRIC_H

#include "eval/stats.h"

/* Features of one set of images; a metric says which parts it needs. */
typedef struct few_feature_set {
    const float *x; /* [n,d], or NULL when only the moments are kept */
    int64_t n;
    int d;
    const few_moments *moments; /* or NULL */
} few_feature_set;

enum { FEW_NEEDS_MOMENTS = 1, FEW_NEEDS_FEATURES = 2 };

typedef struct few_metric {
    const char *name, *help, *paper;
    unsigned needs; /* of both sets */
    bool lower_is_better;
    /* Called through few_metric_compute, which has checked needs and sizes. */
    few_status (*compute)(const few_feature_set *generated, const few_feature_set *reference,
                          double *value, few_error *err);
} few_metric;

#define X(name) extern const few_metric few_metric_##name;
#include "eval/list.def"
#undef X

extern const few_metric *const few_metrics[];
extern const int few_n_metrics;
const few_metric *few_metric_find(const char *name, few_error *err); /* NULL: unknown */

/* Fails: FEW_EINVAL when a set lacks what the metric needs or sizes differ, and as the metric. */
few_status few_metric_compute(const few_metric *metric, const few_feature_set *generated,
                              const few_feature_set *reference, double *value, few_error *err);

#endif

/* The list of metrics, and the check before each. */
#include "eval/metric.h"

#include "base/strbuf.h"

#include <string.h>

#define X(name) &few_metric_##name,
const few_metric *const few_metrics[] = {
#include "eval/list.def"
};
#undef X
const int few_n_metrics = (int)FEW_COUNT(few_metrics);

const few_metric *few_metric_find(const char *name, few_error *err)
{
    few_strbuf known;
    few_strbuf_init(&known);
    for (int k = 0; k < few_n_metrics; k++) {
        if (!strcmp(few_metrics[k]->name, name)) {
            few_strbuf_free(&known);
            return few_metrics[k];
        }
        few_strbuf_addf(&known, "%s%s", k ? ", " : "", few_metrics[k]->name);
    }
    few_fail(err, FEW_EINVAL, "unknown metric '%s'; known are %s", name, known.s);
    few_strbuf_free(&known);
    return NULL;
}

static few_status check(const few_metric *metric, const char *whose, const few_feature_set *s,
                        few_error *err)
{
    if ((metric->needs & FEW_NEEDS_MOMENTS) && !s->moments)
        return few_fail(err, FEW_EINVAL, "metric '%s' needs the mean and covariance of the %s set",
                        metric->name, whose);
    if ((metric->needs & FEW_NEEDS_FEATURES) && (!s->x || s->n < 1))
        return few_fail(err, FEW_EINVAL,
                        "metric '%s' needs the single features of the %s set, not only their mean "
                        "and covariance",
                        metric->name, whose);
    return FEW_OK;
}

few_status few_metric_compute(const few_metric *metric, const few_feature_set *generated,
                              const few_feature_set *reference, double *value, few_error *err)
{
    FEW_TRY(check(metric, "generated", generated, err));
    FEW_TRY(check(metric, "reference", reference, err));
    if (generated->d != reference->d)
        return few_fail(err, FEW_EINVAL,
                        "generated features have %d numbers, those of the reference %d; both must "
                        "come from the same network",
                        generated->d, reference->d);
    return metric->compute(generated, reference, value, err);
}

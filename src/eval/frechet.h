/* Frechet distance between two Gaussians; with Inception features, FID. */
#ifndef FEW_EVAL_FRECHET_H
#define FEW_EVAL_FRECHET_H

#include "eval/stats.h"

/* value = mean + trace_generated + trace_reference - 2 trace_root. */
typedef struct few_frechet_terms {
    double value;
    double mean; /* |mu_1 - mu_2|^2 */
    double trace_generated, trace_reference;
    double trace_root; /* tr (S1 S2)^(1/2) */
} few_frechet_terms;

/* Symmetric in its arguments up to rounding; the value may be negative by rounding, never more.
 * Covariances may be singular (fewer features than numbers in a feature). Nothing is regularised.
 * Cost: about 25 d^3 operations and 4 d * d doubles.
 * Fails: FEW_EINVAL (sizes differ, a number is not finite, a variance is negative), FEW_ENOMEM. */
few_status few_frechet(const few_moments *generated, const few_moments *reference,
                       few_frechet_terms *out, few_error *err);

#endif

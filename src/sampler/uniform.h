/* The uniform grid of times most samplers use, and the check of those that need a diffusion model.
 */
#ifndef FEW_SAMPLER_UNIFORM_H
#define FEW_SAMPLER_UNIFORM_H

#include "sampler/sampler.h"

/* out: all zero but t = (n-k)/n and s = (n-k-1)/n. */
void few_uniform_times(int k, int n, few_sampler_step *out);
few_status few_teacher_sampler_check(const few_spec *spec, int steps, few_strbuf *warning,
                                     few_error *err);

#endif

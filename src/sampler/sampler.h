/* What a sampler is: for each step, the coefficients of z' = z * Z + x_hat * X + eps_hat * k.
 *
 * A sampler is one file ending in one `const few_sampler`, plus a line in list.def. */
#ifndef FEW_SAMPLER_SAMPLER_H
#define FEW_SAMPLER_SAMPLER_H

#include "base/option.h"
#include "model/spec.h"

/* One step t -> s. The network is evaluated at t. With NEEDS_EPS the term k eps_hat is added, where
 * eps_hat = (z - alpha_t x_hat)/sigma_t and k = sqrt(k0 + k1 / mean(eps_hat^2)) per sample. */
typedef struct few_sampler_step {
    double t, s;
    double z, x, k0, k1;
} few_sampler_step;

enum { FEW_NEEDS_EPS = 1 };

typedef struct few_sampler {
    const char *name, *help, *paper;
    const few_option *options;
    size_t options_size;
    unsigned needs;
    int default_steps;
    /* Refuse (with a reason) what makes no sense for this checkpoint; write a warning of one
     * sentence when it is merely unwise. steps > 0. May be NULL. */
    few_status (*check)(const few_spec *spec, int steps, few_strbuf *warning, few_error *err);
    /* Step k of n, k = 0 the first (from noise). */
    void (*step)(const few_spec *spec, const void *options, int k, int n, few_sampler_step *out);
} few_sampler;

#define X(name) extern const few_sampler few_sampler_##name;
#include "sampler/list.def"
#undef X

extern const few_sampler *const few_samplers[];
extern const int few_n_samplers;
const few_sampler *few_sampler_find(const char *name, few_error *err);

/* The steps *begin..*end-1 that lead from time `from` to time `to` (1 >= from > to >= 0), of
 * `steps`. Fails: FEW_EINVAL where one of them is not a time this sampler stops at. */
few_status few_sampler_part(const few_sampler *s, const few_spec *spec, const void *options,
                            int steps, double from, double to, int *begin, int *end,
                            few_error *err);

/* The sampler and number of steps a checkpoint is sampled with when nothing is asked for: what it
 * was made for, or ddim in 128 steps. */
const few_sampler *few_sampler_default(const few_spec *spec);
int few_sampler_default_steps(const few_spec *spec, const few_sampler *s);

#endif

/* What a sampler is: for each evaluation of the network, what to make of z and x_hat.
 *
 *     z' = Z z + X x_hat + K eps_hat + B base + P past + N noise
 *
 * with K = sqrt(k0 + k1/m) + k2/m and N = sqrt(n0 + n1/m), m = mean(eps_hat^2) of the sample and
 * eps_hat = (z - alpha_t x_hat)/sigma_t. base is a z and past an x_hat that an earlier evaluation
 * kept. Coefficients are computed in double from the schedule, whatever the network was trained
 * under; most samplers use few of them.
 *
 * A sampler is one file ending in one `const few_sampler`, plus a line in list.def. */
#ifndef FEW_SAMPLER_SAMPLER_H
#define FEW_SAMPLER_SAMPLER_H

#include "base/option.h"
#include "model/spec.h"

/* One evaluation: at time t, after which z is at time s. */
typedef struct few_sampler_step {
    double t, s;
    double z, x, k0, k1, k2; /* Z, X, and of K */
    double base, past;       /* B, P */
    double n0, n1;           /* of N */
    bool keep_z;             /* base becomes z, before anything else */
    bool keep_x;             /* past becomes x_hat, afterwards */
    bool inner;              /* z is no point of the path yet: a chain cannot be left here */
} few_sampler_step;

/* A sample with steps of its own: where it is, and how far it tries to go next. */
typedef struct few_trial {
    double t, h, end;              /* from t to t - h; at `end` one evaluation makes it x_hat */
    double error_abs, error_scale; /* an error is measured against max(abs, scale * |z|) */
} few_trial;

/* How such a sampler goes on. A trial is two evaluations: from z at t to z' at t - h, and from
 * there to a better z'' with base = z and the same noise; the difference of both is its error. */
typedef struct few_adaptive {
    void (*begin)(const few_spec *spec, const void *options, few_trial *out);
    /* which: 0 and 1 the evaluations of a trial, 2 the last one, at `end`. *out is all zero. */
    void (*step)(const few_spec *spec, const void *options, const few_trial *at, int which,
                 few_sampler_step *out);
    /* error: root mean square of (z'' - z') / max(abs, scale * max(|z' before|, |z'|)). Sets t and
     * h; false: z'' is refused, the sample stays at z. */
    bool (*next)(const void *options, few_trial *at, double error);
} few_adaptive;

enum {
    FEW_NEEDS_MEMORY = 1, /* base and past */
    FEW_NEEDS_NOISE = 2   /* fresh noise */
};

typedef struct few_sampler {
    const char *name, *help, *paper;
    const few_option *options;
    size_t options_size;
    int order; /* of the error in the size of a step; 0: it approximates no path */
    int default_steps;
    unsigned (*needs)(const void *options); /* NULL: nothing */
    /* Evaluations of n steps, at most 8 n. NULL: n. */
    int (*evaluations)(const void *options, int n);
    /* Refuse (with a reason) what makes no sense for this checkpoint; write a warning of one
     * sentence when it is merely unwise. steps > 0. May be NULL. */
    few_status (*check)(const few_spec *spec, const void *options, int steps, few_strbuf *warning,
                        few_error *err);
    const few_adaptive *adaptive; /* instead of evaluations and step; else NULL */
    /* Evaluation k of n steps, k = 0 the first (from noise); *out is all zero. */
    void (*step)(const few_spec *spec, const void *options, int k, int n, few_sampler_step *out);
} few_sampler;

#define X(name) extern const few_sampler few_sampler_##name;
#include "sampler/list.def"
#undef X

extern const few_sampler *const few_samplers[];
extern const int few_n_samplers;
const few_sampler *few_sampler_find(const char *name, few_error *err);

unsigned few_sampler_needs(const few_sampler *s, const void *options);
/* 100 for an adaptive sampler: hundredths of the way. */
int few_sampler_evaluations(const few_sampler *s, const void *options, int steps);
/* step() on zeros. */
few_sampler_step few_sampler_step_of(const few_sampler *s, const few_spec *spec,
                                     const void *options, int k, int n);

/* The evaluations *begin..*end-1 that lead from time `from` to time `to` (1 >= from > to >= 0), of
 * `steps`. Fails: FEW_EINVAL where one of them is not a time this sampler stops at, or where it
 * would need what it remembers from before. */
few_status few_sampler_part(const few_sampler *s, const few_spec *spec, const void *options,
                            int steps, double from, double to, int *begin, int *end,
                            few_error *err);

/* The sampler and number of steps a checkpoint is sampled with when nothing is asked for: what it
 * was made for, or ddim in 128 steps. */
const few_sampler *few_sampler_default(const few_spec *spec);
int few_sampler_default_steps(const few_spec *spec, const few_sampler *s);

#endif

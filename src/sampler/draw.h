/* Drawing images: a compiled network and the loop over a sampler's steps. */
#ifndef FEW_SAMPLER_DRAW_H
#define FEW_SAMPLER_DRAW_H

#include "graph/backend.h"
#include "sampler/sampler.h"

/* A network ready to be sampled: graph, plan, buffers. Compiled for one slice and guidance on or
 * off; weights are borrowed and may change between draws (few_drawer_weights). */
typedef struct few_drawer few_drawer;

typedef struct few_drawer_options {
    few_precision precision;
    int workers;    /* 0: every core */
    int64_t slice;  /* images evaluated together by one worker; 0: 8, less for few images */
    int64_t images; /* a hint how many will be drawn at once; 0: many */
    bool guidance;  /* evaluate the null class, too */
    unsigned needs; /* what the samplers to come need (few_sampler_needs); more is allowed */
} few_drawer_options;

few_status few_drawer_create(const few_spec *spec, const float *master, const few_drawer_options *o,
                             few_drawer **out, few_error *err);
void few_drawer_free(few_drawer *d);
few_status few_drawer_weights(few_drawer *d, const float *master, few_error *err);
void few_drawer_report(const few_drawer *d, few_plan_report *r);

typedef struct few_draw {
    const few_sampler *sampler;
    const void *options; /* the sampler's; NULL when it has none */
    int steps;
    int begin, end; /* which of their evaluations: begin..end-1, so that a chain may be left to
                     * another network and taken up again; 0 and 0: all */
    uint64_t seed;
    int64_t first;        /* index of the first image: image i of seed k is always the same */
    double guidance;      /* g: (1+g) f(c) - g f(null); needs a drawer with guidance when not 0 */
    const int32_t *label; /* [n], or NULL: index mod classes */
    const float
        *noise; /* [n,h,w,c], z before evaluation begin; or NULL: noise drawn from the seed */
    int64_t *evaluated; /* out: evaluations of all images together, without guidance; or NULL */
    few_progress_fn progress; /* done and total in evaluations of an image; or NULL */
    void *user;
} few_draw;

/* images [n,h,w,c] F32, out, not clamped. Fails: FEW_EINVAL, FEW_EUNSUPPORTED, FEW_ENOMEM,
 * FEW_ECANCELED. The sampler's own check is the caller's business. */
few_status few_drawer_draw(few_drawer *d, const few_draw *o, int64_t n, float *images,
                           few_error *err);

/* Noise at t = 1 for images first.. of this seed: z [n, pixels], what few_drawer_draw begins with.
 */
void few_draw_noise(uint64_t seed, int64_t first, int64_t n, int64_t pixels, float *z);

/* Network evaluations of an image, without guidance (few_sampler_evaluations of them). */
int few_draw_evaluations(const few_draw *o);

/* The options of a sampler, defaults filled in: *out is NULL for one that has none. Free with
 * few_sampler_options_free. */
few_status few_sampler_options_make(const few_sampler *s, void **out, few_error *err);
/* Apply settings "key=value" to them. Fails: FEW_ECONFIG (unknown key, ill-typed value), FEW_EINVAL
 * (a sampler without settings, no '='), FEW_ENOMEM. */
few_status few_sampler_options_set(const few_sampler *s, void *options, const few_strings *set,
                                   few_error *err);
void few_sampler_options_free(const few_sampler *s, void *options);

#endif

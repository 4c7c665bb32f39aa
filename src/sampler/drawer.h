/* The inside of a drawer, for the loops that draw with it: draw.c, and draw_adaptive.c. */
#ifndef FEW_SAMPLER_DRAWER_H
#define FEW_SAMPLER_DRAWER_H

#include "sampler/draw.h"

/* Scalars of the graph, one number for each image. */
enum {
    TIME,
    IN,
    FROM_Z,
    FROM_OUT,
    EPS_Z,
    EPS_X,
    Z,
    X,
    K0,
    K1,
    K2,
    GUIDE,
    UNGUIDE, /* with guidance */
    BASE,
    PAST, /* with memory */
    N0,
    N1, /* with noise */
    N_SCALARS
};

struct few_drawer {
    few_spec spec; /* a copy */
    few_graph graph;
    few_params params;
    few_plan *plan;
    bool guidance;
    unsigned needs;
    int64_t slice, group, pixels; /* pixels: scalars of an image */
    float *z[2], *scalar[N_SCALARS];
    float *base, *past[2]; /* with memory */
    int32_t *label, *null_label, *rng;
};

/* Whether the graph has scalar k. */
bool few_drawer_has(const few_drawer *d, int k);
/* The scalars of one image: a step and the guidance. */
void few_drawer_set(few_drawer *d, const few_draw *o, int64_t image, const few_sampler_step *s);
/* The key of its fresh noise: like all that is drawn, of its index alone. */
void few_drawer_key(few_drawer *d, const few_draw *o, int64_t image, int64_t index, int evaluation);
/* The buffers of one evaluation of n images; base, past and x_hat may be NULL without memory. */
typedef struct few_drawer_buffers {
    float *z, *next, *base, *past, *x_hat;
} few_drawer_buffers;
few_status few_drawer_run(few_drawer *d, const few_drawer_buffers *b, int64_t n, few_error *err);

/* The whole way of n images of an adaptive sampler from noise in z[0]; see few_drawer_draw.
 * `before`: hundredths of the way that other images have gone, of `total`. */
few_status few_draw_adaptive(few_drawer *d, const few_draw *o, int64_t first, int64_t n,
                             int64_t before, int64_t total, float *images, int64_t *evaluated,
                             few_error *err);

#endif

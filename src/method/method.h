/* What a training method is: a graph from clean images to a loss, and the numbers each sample of a
 * step needs (times, schedule coefficients, weights), drawn on the host in double.
 *
 * A method is one file ending in one `const few_method`, plus a line in list.def. */
#ifndef FEW_METHOD_METHOD_H
#define FEW_METHOD_METHOD_H

#include "base/option.h"
#include "model/spec.h"
#include "op/ops.h"

/* Parameter sets of a training graph. */
enum { FEW_SET_LIVE = 0, FEW_SET_TEACHER = 1 };

enum { FEW_MAX_SCALARS = 32 };

typedef struct few_method few_method;

/* One training graph being built, and what stays known while it runs. */
typedef struct few_method_ctx {
    const few_method *method;
    const void *options;         /* the method's own struct */
    const few_spec *spec;        /* the network being trained; its schedule and prediction */
    const few_spec *teacher;     /* NULL without one */
    int64_t slice, batch, steps; /* images of a slice, of a step; steps of the run */
    uint64_t seed;

    few_graph *g;
    few_val x;                       /* clean images, F32 [N, sample shape] in [-1, 1] */
    few_val label;                   /* I32 [N], or FEW_NONE */
    few_val null_label;              /* I32 [N]: the null class, or FEW_NONE */
    few_val rng;                     /* I32 [N,4] */
    few_val scalar[FEW_MAX_SCALARS]; /* F32 [N] each, in the order of method->scalars */
} few_method_ctx;

struct few_method {
    const char *name, *help, *paper;
    const few_option *options;
    size_t options_size;
    bool needs_teacher, makes_student; /* a student is made for a number of steps */
    const char *const *scalars;        /* names, ends with NULL */
    /* Refuse settings that make no sense; may be NULL. */
    few_status (*check)(const few_method_ctx *c, few_error *err);
    /* Append the graph and return the loss of each sample, F32 [N]. */
    few_val (*build)(few_method_ctx *c);
    /* value[k] = scalar k for sample `index` of the batch at this step (from 0). Pure: the same
     * arguments give the same numbers. */
    void (*draw)(const few_method_ctx *c, int64_t step, int64_t index, double *value);
};

#define X(name) extern const few_method few_method_##name;
#include "method/list.def"
#undef X

extern const few_method *const few_methods[];
extern const int few_n_methods;
const few_method *few_method_find(const char *name, few_error *err); /* NULL: unknown, reported */

/* ---- what methods are made of ---------------------------------------------------------------*/

/* The training graph of c->method: declares inputs "x" (f32 when x_is_float, else u8), "label",
 * "null_label", "rng" and one per scalar, builds the loss, appends gradients of its mean over the
 * batch, and names the output "loss" ([N], before dividing by the batch). */
void few_method_build(few_method_ctx *c, bool x_is_float, bool backward);

/* Standard normal noise of the sample's shape. */
few_val few_method_noise(few_method_ctx *c);
/* sum of scalar[k] * x[k]. */
few_val few_method_mix(few_method_ctx *c, int n, const few_val *x, const few_val *coef);
/* The network's raw output for z at time input scalar `time` with parameters `set`. Dropout masks
 * depend on (layer, step, sample) only, so two evaluations in one step share them. */
few_val few_method_network(few_method_ctx *c, int set, few_val z, few_val time, few_val label);
/* x_hat = from_z * z + from_out * network(z, time). */
few_val few_method_predict_x(few_method_ctx *c, int set, few_val z, few_val time, few_val from_z,
                             few_val from_out, few_val label);

/* The network's time input for t in [0,1] (architecture: time_scale t - 1). */
double few_method_time(const few_spec *s, double t);

/* Distances per sample (spec 1.6): rms, elem, norm, l2sq of u [N, sample shape] -> [N]. */
few_val few_method_distance(few_method_ctx *c, const char *name, few_val u, double eps);

#endif

/* What a training method is: a graph from clean images to a loss, and the numbers each sample of a
 * step needs (times, schedule coefficients, weights), drawn on the host in double.
 *
 * A method is one file ending in one `const few_method`, plus a line in list.def. */
#ifndef FEW_METHOD_METHOD_H
#define FEW_METHOD_METHOD_H

#include "base/option.h"
#include "model/spec.h"
#include "op/ops.h"

/* Parameter sets of a training graph. The target is an average of the live weights. */
enum { FEW_SET_LIVE = 0, FEW_SET_TEACHER = 1, FEW_SET_TARGET = 2 };

enum { FEW_MAX_SCALARS = 32 };

typedef struct few_method few_method;

/* Part `index` of the n parts of a run: the steps begin..end-1. */
typedef struct few_phase {
    int index, n;
    int64_t begin, end;
    int student_steps; /* evaluations that the student of this part is made for */
} few_phase;

/* One training graph being built, and what stays known while it runs. */
typedef struct few_method_ctx {
    const few_method *method;
    const void *options;         /* the method's own struct */
    const few_spec *spec;        /* the network being trained; its schedule and prediction */
    const few_spec *teacher;     /* NULL without one */
    int student_steps;           /* evaluations the student is to be made for, in the end */
    int64_t slice, batch, steps; /* images of a slice, of a step; steps of the run */
    uint64_t seed;

    few_graph *g;
    few_val x;          /* clean images, F32 [N, sample shape] in [-1, 1]; see data_channels */
    few_val label;      /* I32 [N], or FEW_NONE */
    few_val null_label; /* I32 [N]: the null class, or FEW_NONE */
    few_val rng;        /* I32 [N,4] */
    few_val scalar[FEW_MAX_SCALARS]; /* F32 [N] each, in the order of method->scalars */
} few_method_ctx;

struct few_method {
    const char *name, *help, *paper;
    const few_option *options;
    size_t options_size;
    bool needs_teacher, makes_student; /* a student is made for a number of steps */
    bool open_ended; /* no step depends on how many there are, so that a run can be made longer */
    const char *const *scalars; /* names, ends with NULL */
    /* What sets a student of this method apart: spec is its teacher's so far. May be NULL. */
    few_status (*describe)(const void *options, few_spec *spec, few_error *err);
    /* Channels of the data, where they are not images of the network's. NULL: they are. */
    int (*data_channels)(const void *options, const few_spec *spec);
    /* Decay of the target network before the update of this step; 0: it is the live one. NULL: the
     * graph has no FEW_SET_TARGET. */
    double (*target_decay)(const few_method_ctx *c, int64_t step);
    /* The part of the run that a step belongs to. When a part ends, what was trained (its average)
     * becomes the teacher and the start of the next, and the optimiser begins again. NULL: one
     * part.
     */
    few_phase (*phase)(const few_method_ctx *c, int64_t step);
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

/* An evaluation of a network at a time takes FEW_POINT scalars in a row: a method's list of names
 * has FEW_POINT_NAMES("t") for one of them, its enum a number P and then P + FEW_POINT. */
enum { FEW_POINT_TIME, FEW_POINT_IN, FEW_POINT_FROM_Z, FEW_POINT_FROM_OUT, FEW_POINT };
#define FEW_POINT_NAMES(at) "time_" at, "in_" at, "from_z_" at, "from_out_" at
/* The scalars of an evaluation of the network that `s` describes at t in [0,1], into v[FEW_POINT].
 */
void few_method_point(const few_spec *s, double t, double *v);
/* The network's raw output for z, evaluated at the scalars from `point` on with parameters `set`.
 * Dropout masks depend on (layer, step, sample) only, so two evaluations in one step share them. */
few_val few_method_network(few_method_ctx *c, int set, few_val z, int point, few_val label);
/* x_hat = from_z z + from_out network(z). */
few_val few_method_predict_x(few_method_ctx *c, int set, few_val z, int point, few_val label);

/* Part of n that `step` of `steps` belongs to, whose lengths are as `share` (NULL: equal);
 * student_steps is left 0. */
few_phase few_method_phase(int64_t step, int64_t steps, int n, const int *share);

/* Distances per sample: rms, elem, norm, l2sq of u [N, sample shape] -> [N]. */
few_val few_method_distance(few_method_ctx *c, const char *name, few_val u, double eps);

#endif

/* What an executor of graphs is: compile, bind, run, update. Nothing above this interface touches a
 * pointer into a plan or knows a layout, so another backend can stand beside src/cpu.
 *
 * A graph is built for a slice of the batch; run() takes a batch of any size and processes it slice
 * by slice, adding up gradients in f32. The optimiser is an entry of its own rather than nodes: it
 * happens once after all slices, over whole arenas. */
#ifndef FEW_GRAPH_BACKEND_H
#define FEW_GRAPH_BACKEND_H

#include "graph/graph.h"

typedef enum few_precision {
    FEW_PRECISION_AUTO,
    FEW_PRECISION_F32,
    FEW_PRECISION_BF16
} few_precision;

typedef struct few_plan few_plan;

typedef struct few_plan_options {
    few_precision precision;
    int workers; /* 0: as many as cores */
    int team;    /* with workers 1: cores that share every slice, for few images at a time; 0: 1 */
} few_plan_options;

/* One optimiser step over the gradients of the last run. All arenas have the layout of set 0's
 * parameters and are updated in place. */
enum { FEW_MAX_EMA = 5 };
typedef struct few_update {
    bool radam;
    double lr, beta1, beta2, eps, weight_decay;
    double clip;  /* largest global gradient norm; 0: no clipping */
    int64_t step; /* from 1 */
    float *master, *m, *v;
    int n_ema;
    float *ema[FEW_MAX_EMA];
    double ema_decay[FEW_MAX_EMA];
    double grad_norm; /* out, before clipping; not finite: nothing was updated */
} few_update;

typedef struct few_plan_report {
    few_precision precision;
    int workers;
    int64_t slice;  /* dim 0 of the inputs */
    int64_t params; /* scalars of set 0, padding left out */
    int64_t nodes;
    double flops;          /* of one slice */
    double bytes_moved;    /* tensors read and written by the nodes of one slice */
    int64_t arena_bytes;   /* of one worker: activations */
    int64_t scratch_bytes; /* of one worker */
    int64_t weight_bytes;  /* packed copies and gradient accumulators, all workers */
} few_plan_report;

/* What one worker can do in a second, for few_backend.roofline. */
typedef struct few_rates {
    double f32, bf16; /* FLOPs of matrix products */
    double bytes;     /* of memory */
} few_rates;

typedef struct few_backend {
    const char *name, *help;
    /* The graph is borrowed and must outlive the plan. */
    few_status (*compile)(const few_graph *g, const few_plan_options *o, few_plan **out,
                          few_error *err);
    void (*release)(few_plan *p);
    /* Give a set its values (master arena, borrowed). Call again when they have changed. */
    few_status (*params)(few_plan *p, int set, const float *master, few_error *err);
    /* Bind an input or a named output: [batch, ...] of the tensor's type (f32, i32, u8), borrowed
     * for every run until another is bound (NULL: none). Outputs are f32; an unbound output is
     * dropped, an unbound input fails. */
    few_status (*bind)(few_plan *p, const char *name, void *data, few_error *err);
    /* Process the batch. Plans with gradients want a multiple of the slice. */
    few_status (*run)(few_plan *p, int64_t batch, few_error *err);
    /* The gradients of the last run, summed, in the layout of set 0's parameters. */
    few_status (*gradients)(few_plan *p, float *grad, few_error *err);
    /* Optimiser step; set 0's values count as changed afterwards and are packed again. */
    few_status (*update)(few_plan *p, few_update *u, few_error *err);
    void (*report)(const few_plan *p, few_plan_report *r);
    /* Seconds of one slice if every node took the longer of its FLOPs' and its bytes' time. FLOPs
     * are those of direct convolutions. */
    double (*roofline)(const few_plan *p, const few_rates *rates);
} few_backend;

extern const few_backend few_backend_cpu;

/* "f32", "bf16"; everything else, NULL too, is auto. */
few_precision few_precision_named(const char *name);
/* Whether the CPU multiplies bf16 in tiles (AMX). */
bool few_cpu_has_amx(void);
/* Whether our own kernels may use them: the system allows it, and FEW_ISA names nothing less. */
bool few_cpu_may_use_amx(void);

/* What AUTO means on this machine, and the reason in words (static text) when why is not NULL. */
few_precision few_cpu_resolve(few_precision p, const char **why);

#endif

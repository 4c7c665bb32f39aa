/* One training step after another, and everything that must survive between them. */
#ifndef FEW_TRAIN_TRAINER_H
#define FEW_TRAIN_TRAINER_H

#include "graph/backend.h"
#include "method/method.h"
#include "model/checkpoint.h"
#include "train/dataset.h"

/* The `train` section of a configuration. */
typedef struct few_train_options {
    int64_t steps, batch, slice, memory;
    uint64_t seed;
    char *optimizer; /* adam, radam */
    double lr, beta1, beta2, eps, weight_decay, clip;
    int64_t warmup;
    char *rate; /* constant, cosine, linear */
    few_doubles ema;
    double label_drop;
    char *precision;
    int threads;
    int64_t save_every, log_every, sample_every;
    int keep, samples, sample_steps, bad_steps, rollbacks;
} few_train_options;
extern const few_option few_train_table[];

/* Averages a configuration may list; one more is the target of methods that have one. */
enum { FEW_MAX_LISTED_EMA = FEW_MAX_EMA - 1 };

/* The state of a run: arrays in the layout of params, and counters. Whatever a later step depends
 * on is here or in the configuration. */
typedef struct few_train_state {
    int64_t count;         /* elements of each array */
    float *master, *m, *v; /* weights and moments */
    int n_ema;
    float *ema[FEW_MAX_LISTED_EMA];
    float *target;  /* the target network, or NULL */
    float *teacher; /* borrowed: the teacher's weights where a run changes them, or NULL */
    int phase;      /* the part of the run that the arrays belong to */
    int cores;      /* that trained up to here, and the precision they had: part of the numbers */
    char precision[8];
    int64_t step;    /* steps done, skipped ones included */
    int64_t updates; /* optimiser steps made */
    int64_t skipped; /* steps skipped for a loss or gradient that was not finite */
    int rollbacks;   /* times the run went back; changes the random numbers */
} few_train_state;

typedef struct few_trainer {
    few_spec spec;
    few_params params, target_params; /* of the live network and of the target: the same */
    few_train_options train;
    const few_method *method;
    void *method_options; /* owned */
    few_dataset data;
    bool flip;
    few_net *teacher; /* owned, or NULL */
    few_net *init;    /* whose weights to start from, before the teacher's; owned, or NULL */
    few_train_state state;
    int bad_in_a_row;

    few_method_ctx ctx;
    few_graph graph;
    few_plan *plan;
    float *scalar[FEW_MAX_SCALARS], *loss;
    int32_t *label, *null_label, *rng;
    void *x;
} few_trainer;

typedef struct few_step_result {
    double loss, lr, grad_norm;
    bool skipped;
} few_step_result;

/* Build graph, plan and buffers. t->spec, train, method, method_options, data, teacher and init are
 * set by the caller before (and owned by t from then on, in case of failure, too). The weights
 * start at random or, for a student, at init's or the teacher's. */
few_status few_trainer_start(few_trainer *t, bool from_scratch, few_error *err);
void few_trainer_free(few_trainer *t);

/* Step state.step. Fails with FEW_EDIVERGED after train.bad_steps skipped steps in a row. */
few_status few_trainer_step(few_trainer *t, few_step_result *r, few_error *err);

/* What its sums depend on besides the configuration: cores at work, and "f32" or "bf16". */
int few_trainer_cores(const few_trainer *t);
const char *few_trainer_precision(const few_trainer *t);

/* After the state was changed from outside: give the plan its weights. */
few_status few_trainer_rebind(few_trainer *t, few_error *err);

/* The learning rate of step `step` (from 0) of `steps`, a run or a phase of it, which has as large
 * a part of the warm-up. */
double few_train_rate(const few_train_options *o, int64_t step, int64_t steps);
/* Weights to sample with: the first average, or the weights when there is none. */
const float *few_trainer_weights(const few_trainer *t);

#endif

/* Multistep consistency training and distillation, Algorithm 1 of arXiv:2403.06807: what mct.c and
 * mcd.c share. */
#ifndef FEW_METHOD_MULTISTEP_CONSISTENCY_H
#define FEW_METHOD_MULTISTEP_CONSISTENCY_H

#include "diffusion/grid.h"
#include "method/method.h"

typedef struct few_mc_options {
    char *curriculum;                /* annealed, constant */
    double teacher_from, teacher_to; /* teacher steps N over the whole path */
    double anneal;                   /* fraction of the run over which N grows */
    char *teacher_step;              /* addim, ddim, midpoint (mcd) */
    char *x_var;                     /* measured, analytic, table */
    char *last;                      /* full, x_hat: aDDIM's step to t = 0 */
    double eta;                      /* fraction of the measured variance */
    char *distance;                  /* rms, elem, norm, l2sq */
    double huber;                    /* epsilon of the distance */
    char *times;                     /* uniform, stratified */
    char *weight;                    /* v_norm, snr+1, trunc, one */
    double guidance;                 /* of the teacher (mcd) */
    bool clip; /* hold the predictions that make the target in [-1, 1] (tract) */
} few_mc_options;

extern const char *const few_mc_scalars[];

/* self: the set that stands for the student at s. */
few_val few_mc_build(few_method_ctx *c, const few_mc_options *o, int self, bool distil);
/* The scalars of one draw. */
void few_mc_fill(const few_method_ctx *c, const few_mc_options *o, few_grid_draw d, double *value);
few_status few_mc_check(const few_method_ctx *c, few_error *err);
void few_mc_draw(const few_method_ctx *c, int64_t step, int64_t index, double *value);

/* Rows of the option table both have; X macros keep mcd's further rows beside them. */
#define FEW_MC_OPTIONS                                                                             \
    { "curriculum",                                                                                \
      FEW_OPT_CHOICE,                                                                              \
      offsetof(few_mc_options, curriculum),                                                        \
      "annealed",                                                                                  \
      0,                                                                                           \
      0,                                                                                           \
      "how the number of teacher steps grows",                                                     \
      "annealed|constant" },                                                                       \
        { "teacher_from",                                                                          \
          FEW_OPT_DOUBLE,                                                                          \
          offsetof(few_mc_options, teacher_from),                                                  \
          "64",                                                                                    \
          1,                                                                                       \
          1e6,                                                                                     \
          "teacher steps at the start",                                                            \
          NULL },                                                                                  \
        { "teacher_to",                                                                            \
          FEW_OPT_DOUBLE,                                                                          \
          offsetof(few_mc_options, teacher_to),                                                    \
          "1280",                                                                                  \
          1,                                                                                       \
          1e6,                                                                                     \
          "teacher steps at the end (and always, when constant)",                                  \
          NULL },                                                                                  \
        { "anneal",                                                                                \
          FEW_OPT_DOUBLE,                                                                          \
          offsetof(few_mc_options, anneal),                                                        \
          "0.5",                                                                                   \
          0,                                                                                       \
          1,                                                                                       \
          "part of the run over which they grow",                                                  \
          NULL },                                                                                  \
        { "distance",                                                                              \
          FEW_OPT_CHOICE,                                                                          \
          offsetof(few_mc_options, distance),                                                      \
          "rms",                                                                                   \
          0,                                                                                       \
          0,                                                                                       \
          "distance between target and prediction",                                                \
          "rms|elem|norm|l2sq" },                                                                  \
        { "huber",                                                                                 \
          FEW_OPT_DOUBLE,                                                                          \
          offsetof(few_mc_options, huber),                                                         \
          "1e-4",                                                                                  \
          1e-9,                                                                                    \
          1e3,                                                                                     \
          "epsilon of the distance",                                                               \
          NULL },                                                                                  \
        { "times",                                                                                 \
          FEW_OPT_CHOICE,                                                                          \
          offsetof(few_mc_options, times),                                                         \
          "uniform",                                                                               \
          0,                                                                                       \
          0,                                                                                       \
          "how a batch's times are drawn: alone, or spread evenly",                                \
          "uniform|stratified" },                                                                  \
    {                                                                                              \
        "weight", FEW_OPT_CHOICE, offsetof(few_mc_options, weight), "v_norm", 0, 0,                \
            "weight of a time", "v_norm|snr+1|trunc|one"                                           \
    }

#endif

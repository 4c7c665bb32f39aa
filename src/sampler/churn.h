/* Noise added before each step of EDM's stochastic samplers (arXiv:2206.00364, algorithm 2). */
#ifndef FEW_SAMPLER_CHURN_H
#define FEW_SAMPLER_CHURN_H

#include "sampler/grid.h"

typedef struct few_churn {
    double amount, min, max, noise;
} few_churn;

/* Rows of an option table; `type` has a few_churn named churn. */
#define FEW_CHURN_OPTIONS(type)                                                                    \
    { "s_churn",                                                                                   \
      FEW_OPT_DOUBLE,                                                                              \
      offsetof(type, churn.amount),                                                                \
      "0",                                                                                         \
      0,                                                                                           \
      1e6,                                                                                         \
      "noise added over all steps; 0: deterministic",                                              \
      NULL },                                                                                      \
        { "s_min",                                                                                 \
          FEW_OPT_DOUBLE,                                                                          \
          offsetof(type, churn.min),                                                               \
          "0",                                                                                     \
          0,                                                                                       \
          1e9,                                                                                     \
          "added from this noise per signal on",                                                   \
          NULL },                                                                                  \
        { "s_max", FEW_OPT_DOUBLE, offsetof(type, churn.max), "1e9", 0, 1e9, "and up to this one", \
          NULL },                                                                                  \
    {                                                                                              \
        "s_noise", FEW_OPT_DOUBLE, offsetof(type, churn.noise), "1", 0, 10,                        \
            "standard deviation of what is added", NULL                                            \
    }

/* Where step i of n begins: point i of the grid, with the noise that is added there. (Before the
 * first step z is all noise already, and stands for a little more of it as well.) */
few_point few_churn_point(const few_churn *c, const few_grid *g, const few_spec *spec, int i,
                          int n);
/* *out leads to point i of the grid; let it lead to where step i begins. */
void few_churn_add(const few_churn *c, const few_grid *g, const few_spec *spec, int i, int n,
                   few_sampler_step *out);

#endif

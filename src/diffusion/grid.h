/* Times as integers over a grid, so that two times are equal exactly when they are meant to be. */
#ifndef FEW_DIFFUSION_GRID_H
#define FEW_DIFFUSION_GRID_H

#include <stdint.h>

/* Time i / n. */
typedef struct few_time {
    int64_t i, n;
} few_time;
double few_time_value(few_time t);

/* A draw of Algorithm 1: segment `step` of S, teacher step n_rel of n_seg (from 1). On the grid of
 * T = S n_seg: t = (step n_seg + n_rel)/T, s = t - 1/T, ts = step/S. */
typedef struct few_grid_draw {
    few_time it, is, its; /* t, s, ts over T */
    double t, s, ts;
} few_grid_draw;
few_grid_draw few_grid_at(int64_t S, int64_t n_seg, int64_t step, int64_t n_rel);

/* Step k of n of the descending uniform grid: from (n-k)/n to (n-k-1)/n. */
few_time few_grid_uniform(int64_t k, int64_t n);

#endif

/* Distances between target and prediction, and weights of a time. The graphs of
 * src/method compute the same; these, in double, are their oracle. */
#ifndef FEW_DIFFUSION_LOSS_H
#define FEW_DIFFUSION_LOSS_H

#include "base/status.h"

/* u has d elements; e > 0. The value, and du[d] += scale * d value / d u when du is not NULL. */
typedef struct few_distance {
    const char *name, *help;
    double (*value)(const double *u, int d, double e);
    void (*gradient)(const double *u, int d, double e, double scale, double *du);
} few_distance;

extern const few_distance few_distances[];
extern const int few_n_distances;
const few_distance *few_distance_find(const char *name, few_error *err);

/* snr+1, trunc = max(SNR, 1), one; v_norm has weight 1 and divides u by sigma_t instead. */
double few_loss_weight(const char *name, double alpha, double sigma);

#endif

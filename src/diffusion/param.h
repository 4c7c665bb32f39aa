/* What a network predicts: v, x or eps (arXiv:2202.00512). Each is linear in (x, eps) and gives
 * x_hat linearly from z and the output:
 *     target = p x + q eps,  x_hat = from_z z + from_out out. */
#ifndef FEW_DIFFUSION_PARAM_H
#define FEW_DIFFUSION_PARAM_H

#include "base/status.h"

typedef struct few_param_kind {
    const char *name, *help;
    void (*to_x)(double alpha, double sigma, double *from_z, double *from_out);
    void (*target)(double alpha, double sigma, double *p, double *q);
    double (*v_factor)(double alpha, double sigma); /* ||d v||^2 = factor ||d out||^2 */
} few_param_kind;

extern const few_param_kind *const few_param_kinds[];
extern const int few_n_param_kinds;
const few_param_kind *few_param_find(const char *name, few_error *err);

void few_param_to_x(const few_param_kind *k, double alpha, double sigma, double *from_z,
                    double *from_out);
void few_param_target(const few_param_kind *k, double alpha, double sigma, double *p, double *q);
double few_param_v_factor(const few_param_kind *k, double alpha, double sigma);

/* Guidance: (1 + g) conditional - g unconditional; linear, so of x, eps or v alike. */
double few_guided(double conditional, double unconditional, double g);

#endif

/* One step along the path, in the angle form: DDIM, its inverse, aDDIM (arXiv:2403.06807, equations
 * 4, 5 and 12 to 14). */
#ifndef FEW_DIFFUSION_STEP_H
#define FEW_DIFFUSION_STEP_H

#include <stdint.h>

typedef struct few_angle {
    double alpha, sigma;
} few_angle;
few_angle few_angle_of(double phi);

/* DDIM_{t->s}(x, z_t) = D x + r z_t; for s = t exactly r = 1, D = 0. */
typedef struct few_ddim_coef {
    double r, D;
} few_ddim_coef;
few_ddim_coef few_ddim(double phi_t, double phi_s);

/* x with DDIM_{t->s}(x, z_t) = z_s. Only for s < t. */
double few_inv_ddim(few_ddim_coef c, double z_s, double z_t);

/* aDDIM: z_s = alpha_s x_hat + k eps_hat, k = sqrt(sigma_s^2 + D^2 x_var / mean(eps_hat^2)). */
double few_addim_k(double phi_t, double phi_s, double x_var, double eps_mean_square);

/* The variance of x: 0.1 / (2 + SNR); or eta times the mean squared error of a prediction. */
double few_x_var_analytic(double alpha, double sigma);
double few_x_var_measured(double eta, double mean_square_error);
/* Or from a table of n values at times (i + 1) / n, linear between them; before the first it falls
 * with t^2, as the variance of x given z does. */
double few_x_var_table(const double *table, int n, double t);

#endif

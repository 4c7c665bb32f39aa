/* r = sin phi_s / sin phi_t, D = sin(phi_t - phi_s) / sin phi_t. The printed form
 * alpha_s - alpha_t sigma_s / sigma_t loses three digits at 1/1280 of the path. */
#include "diffusion/step.h"

#include <math.h>

few_angle few_angle_of(double phi)
{
    return (few_angle){ cos(phi), sin(phi) };
}

few_ddim_coef few_ddim(double phi_t, double phi_s)
{
    return (few_ddim_coef){ sin(phi_s) / sin(phi_t), sin(phi_t - phi_s) / sin(phi_t) };
}

double few_inv_ddim(few_ddim_coef c, double z_s, double z_t)
{
    return (z_s - c.r * z_t) / c.D;
}

double few_addim_k(double phi_t, double phi_s, double x_var, double eps_mean_square)
{
    const double D = few_ddim(phi_t, phi_s).D, sigma = sin(phi_s);
    return sqrt(sigma * sigma + D * D * x_var / fmax(eps_mean_square, 1e-20));
}

double few_x_var_analytic(double alpha, double sigma)
{
    return 0.1 / (2 + alpha * alpha / (sigma * sigma));
}

double few_x_var_measured(double eta, double mean_square_error)
{
    return eta * mean_square_error;
}

double few_x_var_table(const double *table, int n, double t)
{
    const double at = fmin(fmax(t * n - 1, 0), n - 1), early = fmin(fmax(t * n, 0), 1);
    const int i = (int)at, j = i + 1 < n ? i + 1 : i;
    return early * early * table[i] + (at - i) * (table[j] - table[i]);
}

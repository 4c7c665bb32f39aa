/* Exact denoisers and flows. The flow of a Gaussian keeps the number of standard deviations:
 * z_s = alpha_s mu + sqrt(V_s / V_t) (z_t - alpha_t mu). */
#include "diffusion/gauss.h"

#include "diffusion/step.h"

#include <math.h>

double few_gauss_total(const few_gauss *g, double phi)
{
    const few_angle a = few_angle_of(phi);
    return a.alpha * a.alpha * g->s0 * g->s0 + a.sigma * a.sigma;
}

double few_gauss_denoise(const few_gauss *g, double phi, double z)
{
    const double alpha = cos(phi);
    return g->mu + alpha * g->s0 * g->s0 / few_gauss_total(g, phi) * (z - alpha * g->mu);
}

double few_gauss_variance(const few_gauss *g, double phi)
{
    const double sigma = sin(phi);
    return g->s0 * g->s0 * sigma * sigma / few_gauss_total(g, phi);
}

double few_gauss_flow(const few_gauss *g, double phi_t, double phi_s, double z)
{
    return cos(phi_s) * g->mu +
           sqrt(few_gauss_total(g, phi_s) / few_gauss_total(g, phi_t)) * (z - cos(phi_t) * g->mu);
}

double few_gauss_consistency(const few_gauss *g, double phi_t, double phi_ts, double z)
{
    return few_inv_ddim(few_ddim(phi_t, phi_ts), few_gauss_flow(g, phi_t, phi_ts, z), z);
}

double few_mixture_density(const few_mixture *m, double phi, double z)
{
    const few_angle a = few_angle_of(phi);
    double sum = 0;
    for (int j = 0; j < m->n; j++) {
        const double v = a.alpha * a.alpha * m->s[j] * m->s[j] + a.sigma * a.sigma;
        const double d = z - a.alpha * m->mu[j];
        sum += m->weight[j] * exp(-0.5 * d * d / v) / sqrt(6.283185307179586 * v);
    }
    return sum;
}

double few_mixture_denoise(const few_mixture *m, double phi, double z)
{
    const few_angle a = few_angle_of(phi);
    double top = -INFINITY, sum = 0, mean = 0;
    for (int pass = 0; pass < 2; pass++) /* the largest exponent first, or far z underflow */
        for (int j = 0; j < m->n; j++) {
            const double v = a.alpha * a.alpha * m->s[j] * m->s[j] + a.sigma * a.sigma;
            const double d = z - a.alpha * m->mu[j];
            const double e = log(m->weight[j]) - 0.5 * d * d / v - 0.5 * log(v);
            if (pass == 0) {
                top = fmax(top, e);
                continue;
            }
            const double rho = exp(e - top);
            sum += rho;
            mean += rho * (m->mu[j] + a.alpha * m->s[j] * m->s[j] / v * d);
        }
    return mean / sum;
}

static double slope(const few_mixture *m, double phi, double z)
{
    return (cos(phi) * z - few_mixture_denoise(m, phi, z)) / sin(phi);
}

double few_mixture_flow(const few_mixture *m, double phi_t, double phi_s, double z, int steps)
{
    const double h = (phi_s - phi_t) / steps;
    for (int k = 0; k < steps; k++) {
        const double phi = phi_t + h * k;
        const double a = slope(m, phi, z), b = slope(m, phi + h / 2, z + h / 2 * a);
        const double c = slope(m, phi + h / 2, z + h / 2 * b), d = slope(m, phi + h, z + h * c);
        z += h / 6 * (a + 2 * b + 2 * c + d);
    }
    return z;
}

double few_mixture_consistency(const few_mixture *m, double phi_t, double phi_ts, double z,
                               int steps)
{
    return few_inv_ddim(few_ddim(phi_t, phi_ts), few_mixture_flow(m, phi_t, phi_ts, z, steps), z);
}

/* The analytic test bed: data whose denoiser and probability flow are known exactly.
 * Data are one number each, a Gaussian or a mixture of them; phi is the angle of a time. */
#ifndef FEW_DIFFUSION_GAUSS_H
#define FEW_DIFFUSION_GAUSS_H

/* x ~ N(mu, s0^2), V = alpha^2 s0^2 + sigma^2. */
typedef struct few_gauss {
    double mu, s0;
} few_gauss;

double few_gauss_denoise(const few_gauss *g, double phi, double z); /* E[x|z] */
double few_gauss_variance(const few_gauss *g, double phi);          /* Var[x|z] */
double few_gauss_total(const few_gauss *g, double phi);             /* V */
/* z_s from z_t along the probability flow. */
double few_gauss_flow(const few_gauss *g, double phi_t, double phi_s, double z);
/* The exact multistep consistency function of the segment that starts at ts < t. */
double few_gauss_consistency(const few_gauss *g, double phi_t, double phi_ts, double z);

/* x ~ sum_j weight_j N(mu_j, s_j^2). */
typedef struct few_mixture {
    int n;
    const double *weight, *mu, *s;
} few_mixture;

double few_mixture_denoise(const few_mixture *m, double phi, double z);
double few_mixture_density(const few_mixture *m, double phi, double z);
/* The flow by RK4 in the angle, dz/dphi = cot(phi) z - x_hat / sin(phi), in `steps` steps. */
double few_mixture_flow(const few_mixture *m, double phi_t, double phi_s, double z, int steps);
double few_mixture_consistency(const few_mixture *m, double phi_t, double phi_ts, double z,
                               int steps);

#endif

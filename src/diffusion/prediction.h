/* What a network predicts, and how that becomes x_hat (arXiv:2202.00512 for v, x, eps;
 * arXiv:2206.00364 for edm). Each is linear in (x, eps), so with z = alpha x + sigma eps
 *     target = p x + q eps,  x_hat = from_z z + from_out net(in z, time).
 *
 * edm is EDM's preconditioning in these terms: with s = sigma/alpha and D(x; s) at x = z/alpha,
 *     from_z = c_skip/alpha, from_out = c_out, in = c_in/alpha.
 * v is the same with sigma_data = 1 and the other sign.
 *
 * A consistency model must return its input at its least noise: sigma_min > 0 puts s - sigma_min in
 * place of s in c_skip and in the numerator of c_out (arXiv:2303.01469, appendix C). */
#ifndef FEW_DIFFUSION_PREDICTION_H
#define FEW_DIFFUSION_PREDICTION_H

#include "base/status.h"

typedef struct few_prediction few_prediction;

/* from_z z + from_out net(in z, time). */
typedef struct few_to_x {
    double in, from_z, from_out;
} few_to_x;

typedef struct few_prediction_kind {
    const char *name, *help;
    bool scales_input; /* in is not 1 */
    bool has_boundary; /* sigma_min means something */
    few_to_x (*to_x)(const few_prediction *p, double alpha, double sigma);
    void (*target)(const few_prediction *p, double alpha, double sigma, double *x, double *eps);
} few_prediction_kind;

struct few_prediction {
    const few_prediction_kind *kind;
    double sigma_data; /* of the images; edm */
    double sigma_min;  /* noise per signal where x_hat is z/alpha; 0: nowhere */
};

extern const few_prediction_kind *const few_prediction_kinds[];
extern const int few_n_prediction_kinds;
const few_prediction_kind *few_prediction_find(const char *name, few_error *err);

few_to_x few_prediction_to_x(const few_prediction *p, double alpha, double sigma);
/* target = *x x + *eps eps, without a boundary. */
void few_prediction_target(const few_prediction *p, double alpha, double sigma, double *x,
                           double *eps);
/* ||d v||^2 = factor ||d out||^2: dv = -dx_hat / sigma. */
double few_prediction_v_factor(const few_prediction *p, double alpha, double sigma);

/* Guidance: (1 + g) conditional - g unconditional; linear, so of x, eps or v alike. */
double few_guided(double conditional, double unconditional, double g);

#endif

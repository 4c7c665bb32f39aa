/* v = alpha eps - sigma x;  x = alpha z - sigma v = (z - sigma eps) / alpha. The division makes eps
 * prediction useless at t = 1, where alpha is below a thousandth: x_hat is bounded by keeping alpha
 * at 1e-4 or more. */
#include "diffusion/prediction.h"

#include <math.h>
#include <string.h>

/* EDM's c_skip / alpha, c_out, c_in / alpha, multiplied out so that nothing is divided by alpha. */
static few_to_x preconditioned(double sd, double s_min, double alpha, double sigma)
{
    const double a = alpha * sd, all = sqrt(sigma * sigma + a * a), above = sigma - s_min * alpha;
    return (few_to_x){ .in = 1 / all,
                       .from_z = sd * a / (above * above + a * a),
                       .from_out = above * sd / all };
}

static few_to_x v_to_x(const few_prediction *p, double alpha, double sigma)
{
    if (p->sigma_min <= 0)
        return (few_to_x){ 1, alpha, -sigma };
    const few_to_x c = preconditioned(1, p->sigma_min, alpha, sigma);
    return (few_to_x){ 1, c.from_z, -c.from_out };
}

static void v_target(const few_prediction *p, double alpha, double sigma, double *x, double *eps)
{
    (void)p;
    *x = -sigma;
    *eps = alpha;
}

static few_to_x edm_to_x(const few_prediction *p, double alpha, double sigma)
{
    return preconditioned(p->sigma_data, p->sigma_min, alpha, sigma);
}

/* F of x + s eps such that D is x; of unit variance when x has sigma_data. */
static void edm_target(const few_prediction *p, double alpha, double sigma, double *x, double *eps)
{
    const double sd = p->sigma_data, all = sqrt(sigma * sigma + alpha * alpha * sd * sd);
    *x = sigma / (sd * all);
    *eps = -alpha * sd / all;
}

static few_to_x x_to_x(const few_prediction *p, double alpha, double sigma)
{
    (void)p;
    (void)alpha;
    (void)sigma;
    return (few_to_x){ 1, 0, 1 };
}

static void x_target(const few_prediction *p, double alpha, double sigma, double *x, double *eps)
{
    (void)p;
    (void)alpha;
    (void)sigma;
    *x = 1;
    *eps = 0;
}

static few_to_x eps_to_x(const few_prediction *p, double alpha, double sigma)
{
    (void)p;
    const double a = fmax(alpha, 1e-4);
    return (few_to_x){ 1, 1 / a, -sigma / a };
}

static void eps_target(const few_prediction *p, double alpha, double sigma, double *x, double *eps)
{
    (void)p;
    (void)alpha;
    (void)sigma;
    *x = 0;
    *eps = 1;
}

static const few_prediction_kind kind_v = { "v",    "velocity, alpha eps - sigma x",
                                            false,  true,
                                            v_to_x, v_target };
static const few_prediction_kind kind_x = {
    "x", "the clean image", false, false, x_to_x, x_target
};
static const few_prediction_kind kind_eps = {
    "eps", "the noise", false, false, eps_to_x, eps_target
};
static const few_prediction_kind kind_edm = { "edm",    "EDM's F, with sigma_data",
                                              true,     true,
                                              edm_to_x, edm_target };

const few_prediction_kind *const few_prediction_kinds[] = { &kind_v, &kind_x, &kind_eps,
                                                            &kind_edm };
const int few_n_prediction_kinds = (int)FEW_COUNT(few_prediction_kinds);

const few_prediction_kind *few_prediction_find(const char *name, few_error *err)
{
    for (int k = 0; k < few_n_prediction_kinds; k++)
        if (!strcmp(few_prediction_kinds[k]->name, name))
            return few_prediction_kinds[k];
    few_fail(err, FEW_ECONFIG, "unknown prediction '%s'; known are v, x, eps, edm", name);
    return NULL;
}

few_to_x few_prediction_to_x(const few_prediction *p, double alpha, double sigma)
{
    return p->kind->to_x(p, alpha, sigma);
}

void few_prediction_target(const few_prediction *p, double alpha, double sigma, double *x,
                           double *eps)
{
    p->kind->target(p, alpha, sigma, x, eps);
}

double few_prediction_v_factor(const few_prediction *p, double alpha, double sigma)
{
    const double dx = few_prediction_to_x(p, alpha, sigma).from_out;
    return dx * dx / (sigma * sigma);
}

double few_guided(double conditional, double unconditional, double g)
{
    return (1 + g) * conditional - g * unconditional;
}

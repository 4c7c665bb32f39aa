/* v = alpha eps - sigma x;  x = alpha z - sigma v = (z - sigma eps) / alpha. The division makes eps
 * prediction useless at t = 1, where alpha is below a thousandth: x_hat is bounded by keeping alpha
 * at 1e-4 or more. */
#include "diffusion/param.h"

#include <math.h>
#include <string.h>

static void v_to_x(double alpha, double sigma, double *from_z, double *from_out)
{
    *from_z = alpha;
    *from_out = -sigma;
}

static void v_target(double alpha, double sigma, double *p, double *q)
{
    *p = -sigma;
    *q = alpha;
}

static double v_of_v(double alpha, double sigma)
{
    (void)alpha;
    (void)sigma;
    return 1;
}

static void x_to_x(double alpha, double sigma, double *from_z, double *from_out)
{
    (void)alpha;
    (void)sigma;
    *from_z = 0;
    *from_out = 1;
}

static void x_target(double alpha, double sigma, double *p, double *q)
{
    (void)alpha;
    (void)sigma;
    *p = 1;
    *q = 0;
}

static double v_of_x(double alpha, double sigma)
{
    (void)alpha;
    return 1 / (sigma * sigma);
}

static void eps_to_x(double alpha, double sigma, double *from_z, double *from_out)
{
    const double a = fmax(alpha, 1e-4);
    *from_z = 1 / a;
    *from_out = -sigma / a;
}

static void eps_target(double alpha, double sigma, double *p, double *q)
{
    (void)alpha;
    (void)sigma;
    *p = 0;
    *q = 1;
}

static double v_of_eps(double alpha, double sigma)
{
    (void)sigma;
    const double a = fmax(alpha, 1e-4);
    return 1 / (a * a);
}

static const few_param_kind kind_v = { "v", "velocity, alpha eps - sigma x", v_to_x, v_target,
                                       v_of_v };
static const few_param_kind kind_x = { "x", "the clean image", x_to_x, x_target, v_of_x };
static const few_param_kind kind_eps = { "eps", "the noise", eps_to_x, eps_target, v_of_eps };

const few_param_kind *const few_param_kinds[] = { &kind_v, &kind_x, &kind_eps };
const int few_n_param_kinds = (int)FEW_COUNT(few_param_kinds);

const few_param_kind *few_param_find(const char *name, few_error *err)
{
    for (int k = 0; k < few_n_param_kinds; k++)
        if (!strcmp(few_param_kinds[k]->name, name))
            return few_param_kinds[k];
    few_fail(err, FEW_ECONFIG, "unknown prediction '%s'; known are v, x, eps", name);
    return NULL;
}

void few_param_to_x(const few_param_kind *k, double alpha, double sigma, double *from_z,
                    double *from_out)
{
    k->to_x(alpha, sigma, from_z, from_out);
}

void few_param_target(const few_param_kind *k, double alpha, double sigma, double *p, double *q)
{
    k->target(alpha, sigma, p, q);
}

double few_param_v_factor(const few_param_kind *k, double alpha, double sigma)
{
    return k->v_factor(alpha, sigma);
}

double few_guided(double conditional, double unconditional, double g)
{
    return (1 + g) * conditional - g * unconditional;
}

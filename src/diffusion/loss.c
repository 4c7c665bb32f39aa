/* Distances:
 *   rms    sqrt(||u||^2/d + e^2) - e      (default; per-dimension normalised)
 *   elem   mean_j sqrt(u_j^2 + e^2) - e
 *   norm   sqrt(||u||^2 + e^2) - e        (iCT, e = 0.00054 sqrt(d))
 *   l2sq   ||u||^2 / d. */
#include "diffusion/loss.h"

#include <math.h>
#include <string.h>

static double square(const double *u, int d)
{
    double sum = 0;
    for (int j = 0; j < d; j++)
        sum += u[j] * u[j];
    return sum;
}

static double rms(const double *u, int d, double e)
{
    return sqrt(square(u, d) / d + e * e) - e;
}

static void rms_grad(const double *u, int d, double e, double scale, double *du)
{
    const double root = sqrt(square(u, d) / d + e * e);
    for (int j = 0; j < d; j++)
        du[j] += scale * u[j] / (d * root);
}

static double elem(const double *u, int d, double e)
{
    double sum = 0;
    for (int j = 0; j < d; j++)
        sum += sqrt(u[j] * u[j] + e * e) - e;
    return sum / d;
}

static void elem_grad(const double *u, int d, double e, double scale, double *du)
{
    for (int j = 0; j < d; j++)
        du[j] += scale * u[j] / (d * sqrt(u[j] * u[j] + e * e));
}

static double norm(const double *u, int d, double e)
{
    return sqrt(square(u, d) + e * e) - e;
}

static void norm_grad(const double *u, int d, double e, double scale, double *du)
{
    const double root = sqrt(square(u, d) + e * e);
    for (int j = 0; j < d; j++)
        du[j] += scale * u[j] / root;
}

static double l2sq(const double *u, int d, double e)
{
    (void)e;
    return square(u, d) / d;
}

static void l2sq_grad(const double *u, int d, double e, double scale, double *du)
{
    (void)e;
    for (int j = 0; j < d; j++)
        du[j] += scale * 2 * u[j] / d;
}

const few_distance few_distances[] = {
    { "rms", "pseudo-Huber of the root mean square", rms, rms_grad },
    { "elem", "pseudo-Huber of every element", elem, elem_grad },
    { "norm", "pseudo-Huber of the Euclidean norm", norm, norm_grad },
    { "l2sq", "mean square", l2sq, l2sq_grad },
};
const int few_n_distances = (int)FEW_COUNT(few_distances);

const few_distance *few_distance_find(const char *name, few_error *err)
{
    for (int k = 0; k < few_n_distances; k++)
        if (!strcmp(few_distances[k].name, name))
            return &few_distances[k];
    few_fail(err, FEW_ECONFIG, "unknown distance '%s'; known are rms, elem, norm, l2sq", name);
    return NULL;
}

double few_loss_weight(const char *name, double alpha, double sigma)
{
    const double snr = alpha * alpha / (sigma * sigma);
    if (!strcmp(name, "snr+1"))
        return snr + 1;
    if (!strcmp(name, "trunc"))
        return fmax(snr, 1);
    return 1;
}

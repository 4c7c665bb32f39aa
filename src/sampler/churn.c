/* Churn: a step from s_hat = s (1 + gamma) rather than s. In z the noise is added and the sum
 * scaled back to variance 1: z_hat = alpha_hat (z / alpha + sqrt(s_hat^2 - s^2) s_noise xi), which
 * is put into the step before. */
#include "sampler/churn.h"

#include <math.h>

few_point few_churn_point(const few_churn *c, const few_grid *g, const few_spec *spec, int i, int n)
{
    const few_point p = few_grid_point(g, spec, i, n);
    if (i >= n || c->amount <= 0 || p.noise < c->min || p.noise > c->max)
        return p;
    const double gamma = fmin(c->amount / n, sqrt(2) - 1), noise = p.noise * (1 + gamma);
    if (noise > few_point_at(spec, 1).noise)
        return p; /* more than the network knows */
    return few_point_at(spec, few_schedule_time(&spec->schedule, -2 * log(noise)));
}

void few_churn_add(const few_churn *c, const few_grid *g, const few_spec *spec, int i, int n,
                   few_sampler_step *out)
{
    const few_point p = few_grid_point(g, spec, i, n), hat = few_churn_point(c, g, spec, i, n);
    out->s = hat.t;
    if (hat.t == p.t)
        return;
    const double scale = hat.alpha / p.alpha, added = hat.alpha * c->noise;
    out->z *= scale;
    out->x *= scale;
    out->base *= scale;
    out->past *= scale;
    out->n0 += added * added * (hat.noise - p.noise) * (hat.noise + p.noise);
}

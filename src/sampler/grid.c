/* Grids of times. */
#include "sampler/grid.h"

#include "diffusion/step.h"

#include <math.h>
#include <string.h>

double few_uniform_time(int k, int n)
{
    return (double)(n - k) / n;
}

double few_grid_time(const few_grid *g, const few_spec *spec, int k, int n)
{
    const few_schedule *s = &spec->schedule;
    if (k >= n)
        return 0;
    if (!strcmp(g->name, "list"))
        return k < g->times.n ? g->times.v[k] : 0;
    if (!strcmp(g->name, "log_snr")) {
        const double first = few_schedule_log_snr(s, 1), last = few_schedule_log_snr(s, 0);
        return k ? few_schedule_time(s, first + (last - first) * k / n) : 1;
    }
    if (!strcmp(g->name, "karras")) {
        const double a = pow(g->sigma_max, 1 / g->rho), b = pow(g->sigma_min, 1 / g->rho);
        const double noise = k ? pow(a + (b - a) * k / (n - 1), g->rho) : g->sigma_max;
        return few_schedule_time(s, -2 * log(noise));
    }
    /* A consistency model was never shown more noise than sigma_max. */
    return spec->sigma_max > 0
               ? few_schedule_time(s, -2 * log(spec->sigma_max)) * few_uniform_time(k, n)
               : few_uniform_time(k, n);
}

few_status few_grid_check(const few_grid *g, const few_spec *spec, int n, few_error *err)
{
    const bool list = !strcmp(g->name, "list"), karras = !strcmp(g->name, "karras");
    if (list && g->times.n != n)
        return few_fail(err, FEW_EINVAL, "grid list has %d times for %d steps", g->times.n, n);
    if (karras) {
        const double max = few_point_at(spec, 1).noise, min = few_point_at(spec, 0).noise;
        if (g->sigma_max > max * (1 + 1e-9) || g->sigma_min < min * (1 - 1e-9))
            return few_fail(err, FEW_EINVAL,
                            "sigma_min (%g) to sigma_max (%g) must be inside the schedule's %g to "
                            "%g",
                            g->sigma_min, g->sigma_max, min, max);
    }
    for (int k = 0; k < n; k++) {
        const double t = few_grid_time(g, spec, k, n), s = few_grid_time(g, spec, k + 1, n);
        if (!(t <= 1 && s < t))
            return few_fail(err, FEW_EINVAL,
                            "grid %s: time %d is %.9g, time %d is %.9g: not falling", g->name, k, t,
                            k + 1, s);
    }
    return FEW_OK;
}

few_point few_point_at(const few_spec *spec, double t)
{
    const double phi = few_schedule_phi(&spec->schedule, t);
    const few_angle a = few_angle_of(phi);
    return (few_point){ t, phi, a.alpha, a.sigma, tan(phi) };
}

few_point few_grid_point(const few_grid *g, const few_spec *spec, int k, int n)
{
    return few_point_at(spec, few_grid_time(g, spec, k, n));
}

few_ancestral few_ancestral_of(few_point t, few_point s)
{
    const double kept =
        sin(t.phi - s.phi) * sin(t.phi + s.phi) / (t.sigma * t.sigma * s.alpha * s.alpha);
    const double r = s.noise / t.noise;
    return (few_ancestral){ r * s.sigma / t.sigma, kept * s.alpha, kept };
}

few_status few_path_check(const few_spec *spec, const void *options, int steps, few_strbuf *warning,
                          few_error *err)
{
    (void)warning;
    if (spec->steps > 0)
        return few_fail(err, FEW_EUNSUPPORTED,
                        "this checkpoint is a %d-step student: it jumps to the start of its "
                        "segment, not along the path; use sampler 'multistep' with %d steps",
                        spec->steps, spec->steps);
    if (steps > 100000)
        return few_fail(err, FEW_EINVAL, "%d steps are more than 100000", steps);
    return few_grid_check(options, spec, steps, err);
}

unsigned few_needs_noise(const void *options)
{
    (void)options;
    return FEW_NEEDS_NOISE;
}

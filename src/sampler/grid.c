/* Grids of times. */
#include "sampler/grid.h"

#include "diffusion/step.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define EDM_SIGMA_MAX 80

double few_uniform_time(int k, int n)
{
    return (double)(n - k) / n;
}

/* A consistency model was never shown more noise than sigma_max, nor less than its boundary. */
static double first_time(const few_spec *spec)
{
    return spec->sigma_max > 0 ? few_schedule_time(&spec->schedule, -2 * log(spec->sigma_max)) : 1;
}

static double last_log_snr(const few_spec *spec)
{
    const double last = few_schedule_log_snr(&spec->schedule, 0), e = spec->prediction.sigma_min;
    return e > 0 ? fmin(last, -2 * log(e)) : last;
}

static double first_noise(const few_grid *g, const few_spec *spec)
{
    return g->sigma_max > 0 ? g->sigma_max : spec->sigma_max > 0 ? spec->sigma_max : EDM_SIGMA_MAX;
}

/* Whether grid karras ends where a consistency model returns what it is given: that is no step. */
static bool ends_at_least(const few_grid *g, const few_spec *spec)
{
    const double least = spec->prediction.sigma_min;
    return fabs(g->sigma_min - least) <= 1e-6 * least;
}

double few_grid_time(const few_grid *g, const few_spec *spec, int k, int n)
{
    const few_schedule *s = &spec->schedule;
    if (k >= n)
        return 0;
    if (!strcmp(g->name, "list"))
        return k < g->times.n ? g->times.v[k] : 0;
    if (!strcmp(g->name, "log_snr")) {
        const double t = first_time(spec), first = few_schedule_log_snr(s, t);
        return k ? few_schedule_time(s, first + (last_log_snr(spec) - first) * k / n) : t;
    }
    if (!strcmp(g->name, "karras")) {
        const double max = first_noise(g, spec);
        const double a = pow(max, 1 / g->rho), b = pow(g->sigma_min, 1 / g->rho);
        const int parts = ends_at_least(g, spec) ? n : n - 1;
        const double noise = k ? pow(a + (b - a) * k / parts, g->rho) : max;
        return few_schedule_time(s, -2 * log(noise));
    }
    return first_time(spec) * few_uniform_time(k, n);
}

few_status few_grid_check(const few_grid *g, const few_spec *spec, int n, few_error *err)
{
    const bool list = !strcmp(g->name, "list"), karras = !strcmp(g->name, "karras");
    if (!list && g->times.n)
        return few_fail(err, FEW_EINVAL, "times are of grid=list, this is grid=%s", g->name);
    if (!karras && (g->rho != strtod(FEW_GRID_RHO, NULL) || g->sigma_max != 0 ||
                    g->sigma_min != strtod(FEW_GRID_SIGMA_MIN, NULL)))
        return few_fail(err, FEW_EINVAL,
                        "rho, sigma_min and sigma_max are of grid=karras, this is grid=%s",
                        g->name);
    if (list && g->times.n != n)
        return few_fail(err, FEW_EINVAL, "grid list has %d times for %d steps", g->times.n, n);
    if (karras) {
        const double max = few_point_at(spec, 1).noise, min = few_point_at(spec, 0).noise;
        const double first = first_noise(g, spec);
        if (first > max * (1 + 1e-9) || g->sigma_min < min * (1 - 1e-9))
            return few_fail(err, FEW_EINVAL,
                            "sigma_min (%g) to sigma_max (%g) must be inside the schedule's %g to "
                            "%g",
                            g->sigma_min, first, min, max);
    }
    const few_point begin = few_grid_point(g, spec, 0, n), end = few_grid_point(g, spec, n - 1, n);
    if (spec->sigma_max > 0 && begin.t > first_time(spec) + 1e-6) /* as printed */
        return few_fail(err, FEW_EINVAL,
                        "grid %s begins at t = %.6g, noise %.6g per signal, but this consistency "
                        "model was trained up to t = %.6g, noise %g",
                        g->name, begin.t, begin.noise, first_time(spec), spec->sigma_max);
    if (end.noise < spec->prediction.sigma_min * (1 - 1e-6))
        return few_fail(err, FEW_EINVAL,
                        "grid %s goes down to t = %.6g, noise %.6g per signal, where this "
                        "consistency model has nothing to do: %g is its least",
                        g->name, end.t, end.noise, spec->prediction.sigma_min);
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

few_status few_diffusion_check(const few_spec *spec, int steps, few_error *err)
{
    if (spec->steps > 0)
        return few_fail(err, FEW_EUNSUPPORTED,
                        "this checkpoint is a %d-step student: it jumps to the %s, not along the "
                        "path; use sampler '%s' with %d step%s",
                        spec->steps, spec->steps > 1 ? "start of its segment" : "data",
                        few_sampler_default(spec)->name, spec->steps, spec->steps > 1 ? "s" : "");
    if (steps > 100000)
        return few_fail(err, FEW_EINVAL, "%d steps are more than 100000", steps);
    return FEW_OK;
}

few_status few_path_check(const few_spec *spec, const void *options, int steps, few_strbuf *warning,
                          few_error *err)
{
    (void)warning;
    FEW_TRY(few_diffusion_check(spec, steps, err));
    return few_grid_check(options, spec, steps, err);
}

few_status few_student_check(const few_spec *spec, int steps, few_error *err)
{
    if (steps <= spec->steps)
        return FEW_OK;
    if (spec->network->timeless)
        return few_fail(err, FEW_EUNSUPPORTED,
                        "this student makes its images in one evaluation, whose time its network "
                        "does not see: %d steps mean nothing; use 1",
                        steps);
    if (!strcmp(spec->kind, "pd"))
        return few_fail(err, FEW_EUNSUPPORTED,
                        "in the end progressive distillation taught this student at the %s of %d "
                        "step%s alone, and %d would ask it for others; use %d",
                        spec->steps > 1 ? "times" : "time", spec->steps, spec->steps > 1 ? "s" : "",
                        steps, spec->steps);
    return FEW_OK;
}

unsigned few_needs_noise(const void *options)
{
    (void)options;
    return FEW_NEEDS_NOISE;
}

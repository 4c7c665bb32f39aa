/* The times a sampler stops at, and the schedule at one of them. */
#ifndef FEW_SAMPLER_GRID_H
#define FEW_SAMPLER_GRID_H

#include "sampler/sampler.h"

/* The options of samplers that go along any grid begin with this. */
typedef struct few_grid {
    char *name; /* time, karras, log_snr, list */
    double rho, sigma_min, sigma_max;
    few_doubles times;
} few_grid;

#define FEW_GRID_RHO "7"
#define FEW_GRID_SIGMA_MIN "0.002"

/* Rows of an option table; `type` has a few_grid named grid. */
#define FEW_GRID_OPTIONS(type, fallback)                                                           \
    { "grid", FEW_OPT_CHOICE,     offsetof(type, grid.name), fallback, 0,                          \
      0,      "times to stop at", "time|karras|log_snr|list" },                                    \
        { "rho",                                                                                   \
          FEW_OPT_DOUBLE,                                                                          \
          offsetof(type, grid.rho),                                                                \
          FEW_GRID_RHO,                                                                            \
          1e-3,                                                                                    \
          1e3,                                                                                     \
          "exponent of grid karras",                                                               \
          NULL },                                                                                  \
        { "sigma_min",                                                                             \
          FEW_OPT_DOUBLE,                                                                          \
          offsetof(type, grid.sigma_min),                                                          \
          FEW_GRID_SIGMA_MIN,                                                                      \
          1e-9,                                                                                    \
          1e9,                                                                                     \
          "noise per signal before the last step of grid karras",                                  \
          NULL },                                                                                  \
        { "sigma_max",                                                                             \
          FEW_OPT_DOUBLE,                                                                          \
          offsetof(type, grid.sigma_max),                                                          \
          "0",                                                                                     \
          0,                                                                                       \
          1e9,                                                                                     \
          "noise per signal at its start; 0: 80, or what a consistency model was trained for",     \
          NULL },                                                                                  \
    {                                                                                              \
        "times", FEW_OPT_DOUBLES, offsetof(type, grid.times), NULL, 0, 1,                          \
            "of grid list, falling, the first at most 1; 0 follows", NULL                          \
    }

/* Time k of n steps, 0 <= k <= n; the last is 0. karras: arXiv:2206.00364, equation 5. For a
 * consistency model time, karras and log_snr begin at the noise it was trained for, and log_snr and
 * a karras whose sigma_min is its least end there, in time n, not n - 1. */
double few_grid_time(const few_grid *g, const few_spec *spec, int k, int n);
/* Does it fall strictly, inside the schedule and what a consistency model knows, and is nothing set
 * that belongs to another grid? Fails: FEW_EINVAL. */
few_status few_grid_check(const few_grid *g, const few_spec *spec, int n, few_error *err);

/* Time k of n equal steps: 1 - k/n. */
double few_uniform_time(int k, int n);

/* The schedule at a time; noise = sigma/alpha. */
typedef struct few_point {
    double t, phi, alpha, sigma, noise;
} few_point;
few_point few_point_at(const few_spec *spec, double t);
few_point few_grid_point(const few_grid *g, const few_spec *spec, int k, int n);

/* The mean of an ancestral step, z_s = z z_t + x x_hat; kept = 1 - SNR_t/SNR_s. */
typedef struct few_ancestral {
    double z, x, kept;
} few_ancestral;
few_ancestral few_ancestral_of(few_point t, few_point s);

/* Refuses students, which jump to the start of their segment. Fails: FEW_EUNSUPPORTED, FEW_EINVAL.
 */
few_status few_diffusion_check(const few_spec *spec, int steps, few_error *err);
/* The check of samplers along the path, whose options begin with a few_grid: that, and grids that
 * do not fall. */
few_status few_path_check(const few_spec *spec, const void *options, int steps, few_strbuf *warning,
                          few_error *err);
/* For samplers of students: refuses evaluations at times that a student knows nothing of. */
few_status few_student_check(const few_spec *spec, int steps, few_error *err);
/* FEW_NEEDS_NOISE whatever the options. */
unsigned few_needs_noise(const void *options);

#endif

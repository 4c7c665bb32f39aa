/* The cases that samplers are tested with: every one of the list, every choice of its options, and
 * some numbers; and data whose denoiser is known. */
#ifndef TEST_SAMPLER_CASES_H
#define TEST_SAMPLER_CASES_H

#include "sampler/chain.h"

#include "diffusion/gauss.h"
#include "diffusion/step.h"

/* Numbers that change what a sampler does. */
static const char *const settings[][2] = {
    { "ddim", "eta=0.5" },
    { "ddim", "eta=1" },
    { "ddpm", "variance=1" },
    { "ddpm", "variance=0.3" },
    { "euler", "s_churn=20" },
    { "heun", "s_churn=20 s_min=0.05 s_max=50" },
    { "dpmpp_2m", "eta=1" },
    { "dpmpp_2m", "eta=1 solver=heun" },
    { "pc", "corrections=2 snr=0.1" },
};

/* Which samplers: those along the path, these and those that jump, all, those with steps of their
 * own. */
static inline bool along_the_path(const few_sampler *s)
{
    return s->order > 0 && !s->adaptive;
}

static inline bool with_steps(const few_sampler *s)
{
    return !s->adaptive;
}

static inline bool any_sampler(const few_sampler *s)
{
    (void)s;
    return true;
}

static inline bool with_steps_of_their_own(const few_sampler *s)
{
    return s->adaptive != NULL;
}

typedef struct test_case {
    const few_sampler *sampler;
    const char *name;
    char setting[64];
} test_case;

/* Choice i of an option, or false after the last. */
static inline bool choice_of(const few_option *o, int i, char text[32])
{
    const char *at = o->choices;
    for (; at && i > 0; i--)
        at = strchr(at, '|') ? strchr(at, '|') + 1 : NULL;
    if (at)
        snprintf(text, 32, "%.*s", (int)strcspn(at, "|"), at);
    return at != NULL;
}

/* Case k of these samplers, or false after the last. Grids are the tests' own. */
static inline bool each_case(int k, bool (*of)(const few_sampler *), test_case *out)
{
    for (int j = 0; j < few_n_samplers; j++) {
        const few_sampler *s = few_samplers[j];
        *out = (test_case){ s, s->name, "" };
        if (of(s) && k-- == 0)
            return true;
        for (const few_option *o = s->options; of(s) && o && o->name; o++) {
            char choice[32];
            if (o->type != FEW_OPT_CHOICE || !strcmp(o->name, "grid"))
                continue;
            for (int i = 0; choice_of(o, i, choice); i++)
                if (strcmp(choice, o->fallback) != 0 && k-- == 0) {
                    snprintf(out->setting, sizeof out->setting, "%s=%s", o->name, choice);
                    return true;
                }
        }
        for (size_t i = 0; i < FEW_COUNT(settings); i++)
            if (of(s) && !strcmp(settings[i][0], s->name) && k-- == 0) {
                snprintf(out->setting, sizeof out->setting, "%s", settings[i][1]);
                return true;
            }
    }
    return false;
}

/* Grid i that a sampler knows, as settings for n steps from one end of the schedule to (nearly) the
 * other, or false after the last; "" for one that knows none. */
static inline bool each_grid(const test_case *c, int i, const few_spec *spec, int n, char *text,
                             size_t size)
{
    const few_option *o = c->sampler->options ? few_option_find(c->sampler->options, "grid") : NULL;
    char grid[32] = "";
    *text = 0;
    if (!o)
        return i == 0;
    if (!choice_of(o, i, grid))
        return false;
    size_t at = (size_t)snprintf(text, size, "grid=%s", grid);
    if (!strcmp(grid, "karras")) /* its options go from 1e-9 to 1e9 */
        snprintf(text + at, size - at, " sigma_max=%.17g sigma_min=%.17g",
                 fmin(1e9, exp(-few_schedule_log_snr(&spec->schedule, 1) / 2)),
                 fmax(1e-9, 1.01 * exp(-few_schedule_log_snr(&spec->schedule, 0) / 2)));
    for (int k = 0; k < n && !strcmp(grid, "list"); k++) {
        const double t = n > 1 ? pow(1e-4, k / (n - 1.0)) : 1;
        at += (size_t)snprintf(text + at, size - at, "%s%.6g", k ? "," : " times=", t);
    }
    return true;
}

/* A network with a table of its errors, under a schedule with these limits. */
static inline void make_as(few_net *n, few_net_shape shape, const char *schedule,
                           const char *prediction, const char *limit)
{
    enum { ERRORS = 1024 };
    few_config c;
    char low[16];
    load_defaults(&c, "diffusion");
    if (shape.h == 8)
        tiny_unet(&c);
    else
        tiny_mlp(&c);
    snprintf(low, sizeof low, "-%s", limit);
    set(&c, "schedule.name", schedule);
    if (!strcmp(schedule, "shifted"))
        set(&c, "schedule.noise_d", "32");
    set(&c, "model.prediction", prediction);
    set(&c, "schedule.logsnr_max", limit);
    set(&c, "schedule.logsnr_min", low);
    make_net(n, &c, shape, 5);
    n->spec.x_error = (few_doubles){ few_calloc(ERRORS, sizeof(double)), ERRORS };
    for (int k = 0; k < ERRORS; k++)
        n->spec.x_error.v[k] =
            0.1 / (2 + exp(few_schedule_log_snr(&n->spec.schedule, (k + 1.0) / ERRORS)));
    few_config_clear(&c);
}

static inline void make(few_net *n, few_net_shape shape, const char *limit)
{
    make_as(n, shape, "cosine", "v", limit);
}

static const few_net_shape point = { 1, 1, 1, 0 }, points = { 2, 1, 3, 0 }, images = { 8, 8, 1, 3 };

/* ---- data whose denoiser is known -----------------------------------------------------------*/

struct gaussian {
    const few_spec *spec;
    double mean, std;
    int d;
    bool split; /* number 0 carries means, the others are coefficients of independent noise */
};

static inline void gaussian_x(void *user, const double *z, double t, double *x)
{
    const struct gaussian *g = user;
    double alpha, sigma;
    oracle_path(g->spec, t, &alpha, &sigma);
    const double v = g->std * g->std, noise = sigma / alpha * sigma / alpha;
    for (int i = 0; i < g->d; i++)
        x[i] = (v * z[i] / alpha + (g->split && i ? 0 : noise * g->mean)) / (v + noise);
}

/* Two modes of unequal weight at -1 and 1, 0.25 wide. */
#define MIXTURE_MEAN 0.4
#define MIXTURE_SQUARE 1.0625
static const double mode_weight[] = { 0.3, 0.7 }, mode_mean[] = { -1, 1 },
                    mode_std[] = { 0.25, 0.25 };
static const few_mixture two_modes = { 2, mode_weight, mode_mean, mode_std };

struct mixture {
    const few_spec *spec;
    int d;
};

static inline void mixture_x(void *user, const double *z, double t, double *x)
{
    const struct mixture *m = user;
    double alpha, sigma;
    oracle_path(m->spec, t, &alpha, &sigma);
    const double v = mode_std[0] * mode_std[0], noise = sigma / alpha * sigma / alpha;
    for (int i = 0; i < m->d; i++) {
        const double at = z[i] / alpha,
                     right = 1 / (1 + mode_weight[0] / mode_weight[1] * exp(-2 * at / (v + noise)));
        x[i] = (v * at + noise * (2 * right - 1)) / (v + noise);
    }
}

static inline void normals(int evaluation, uint32_t index, int d, double *xi)
{
    for (int i = 0; i < d; i += 4) {
        double v[4];
        few_philox_normal(
            (uint32_t[4]){ (uint32_t)i / 4, FEW_RNG_STEP, (uint32_t)evaluation, index },
            (uint32_t[2]){ 1, 2 }, v);
        for (int k = 0; k < 4 && i + k < d; k++)
            xi[i + k] = v[k];
    }
}

static inline void gaussian_noise(void *user, int evaluation, double *xi)
{
    normals(evaluation, 0, ((const struct gaussian *)user)->d, xi);
}

static inline void mixture_noise(void *user, int evaluation, double *xi)
{
    normals(evaluation, 0, ((const struct mixture *)user)->d, xi);
}

#endif

/* The cases that samplers along the path are tested with: every one of the list and what settings
 * make of it, and a Gaussian, whose denoiser is known. */
#ifndef TEST_SAMPLER_CASES_H
#define TEST_SAMPLER_CASES_H

#include "sampler/chain.h"

#include "diffusion/step.h"

/* Settings that change what a sampler does. */
static const char *const settings[][2] = {
    { "ddim", "eta=0.5" },
    { "ddim", "eta=1" },
    { "ddpm", "variance=1" },
    { "ddpm", "variance=0.3" },
    { "euler", "s_churn=20" },
    { "heun", "s_churn=20 s_min=0.05 s_max=50" },
    { "dpmpp_2m", "eta=1" },
    { "dpmpp_2m", "eta=1 solver=heun" },
    { "dpmpp_2m", "solver=heun" },
    { "dpmpp_2s", "middle=time" },
    { "sde", "form=vp" },
    { "pc", "corrections=2 snr=0.1" },
    { "addim", "last=x_hat grid=log_snr" },
};

static inline bool for_teachers(const few_sampler *s)
{
    return s->order > 0 && !s->adaptive;
}

/* The list with defaults, then `settings`: case k, or false after the last. */
static inline bool each_case(int k, const char **sampler, const char **setting)
{
    for (int j = 0; j < few_n_samplers; j++)
        if (for_teachers(few_samplers[j]) && k-- == 0) {
            *sampler = few_samplers[j]->name;
            *setting = "";
            return true;
        }
    if (k >= (int)FEW_COUNT(settings))
        return false;
    *sampler = settings[k][0];
    *setting = settings[k][1];
    return true;
}

/* A network of points under a cosine schedule with these limits. */
static inline void make(few_net *n, few_net_shape shape, const char *limit)
{
    few_config c;
    char low[16];
    load_defaults(&c, "diffusion");
    if (shape.h == 8)
        tiny_unet(&c);
    else
        tiny_mlp(&c);
    snprintf(low, sizeof low, "-%s", limit);
    set(&c, "schedule.logsnr_max", limit);
    set(&c, "schedule.logsnr_min", low);
    make_net(n, &c, shape, 5);
    few_config_clear(&c);
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

static inline void fresh_noise(void *user, int evaluation, double *xi)
{
    const struct gaussian *g = user;
    for (int i = 0; i < g->d; i += 4) {
        double v[4];
        few_philox_normal((uint32_t[4]){ (uint32_t)i / 4, FEW_RNG_STEP, (uint32_t)evaluation, 0 },
                          (uint32_t[2]){ 1, 2 }, v);
        for (int k = 0; k < 4 && i + k < g->d; k++)
            xi[i + k] = v[k];
    }
}

#endif

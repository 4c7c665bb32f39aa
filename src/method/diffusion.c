/* diffusion: the teacher. Regress v, x or eps (the spec's prediction) at a random time:
 *
 *     z_t = alpha_t x + sigma_t eps,  loss = w_t ||out - (P x + Q eps)||^2 / d
 *
 * EDM (arXiv:2206.00364) is prediction edm with times log_normal: its weighted loss of D is this of
 * F.
 *
 * Times of a batch are spread evenly (u + index/batch mod 1, one u a step; Kingma et al.,
 * arXiv:2107.00630), which lowers the variance of the loss at no cost. */
#include "base/philox.h"
#include "diffusion/step.h"
#include "method/method.h"

#include <math.h>
#include <string.h>

struct options {
    char *times;
    char *weight;
    double p_mean, p_std;
};

static const few_option table[] = {
    { "times", FEW_OPT_CHOICE, offsetof(struct options, times), "stratified", 0, 0,
      "how times are drawn; log_normal: EDM's levels of noise", "stratified|uniform|log_normal" },
    { "p_mean", FEW_OPT_DOUBLE, offsetof(struct options, p_mean), "-1.2", -20, 20,
      "of log_normal: mean of ln(sigma/alpha)", NULL },
    { "p_std", FEW_OPT_DOUBLE, offsetof(struct options, p_std), "1.2", 0.01, 20,
      "its standard deviation", NULL },
    { "weight", FEW_OPT_CHOICE, offsetof(struct options, weight), "one", 0, 0,
      "weight of a time, on the squared error of the prediction", "one|v" },
    { .name = NULL },
};

enum { T, ALPHA = FEW_POINT, SIGMA, TARGET_X, TARGET_EPS, MINUS, WEIGHT };
static const char *const scalars[] = { FEW_POINT_NAMES("t"), "alpha_t", "sigma_t", "target_x",
                                       "target_eps",         "minus",   "weight",  NULL };

static few_val build(few_method_ctx *c)
{
    const few_val *k = c->scalar;
    const few_val eps = few_method_noise(c);
    const few_val z =
        few_method_mix(c, 2, (few_val[]){ c->x, eps }, (few_val[]){ k[ALPHA], k[SIGMA] });
    const few_val out = few_method_network(c, FEW_SET_LIVE, z, T, c->label);
    const few_val u = few_method_mix(c, 3, (few_val[]){ out, c->x, eps },
                                     (few_val[]){ k[MINUS], k[TARGET_X], k[TARGET_EPS] });
    return few_mul(c->g, few_mean_square(c->g, u), k[WEIGHT]);
}

/* The time at which ln(sigma/alpha) is a normal number. */
static double log_normal(const few_method_ctx *c, int64_t step, int64_t index)
{
    const struct options *o = c->options;
    double normal[4];
    few_philox_normal((uint32_t[4]){ 0, FEW_RNG_TIME, (uint32_t)step, (uint32_t)index },
                      (uint32_t[2]){ (uint32_t)c->seed, (uint32_t)(c->seed >> 32) }, normal);
    return few_schedule_time(&c->spec->schedule, -2 * (o->p_mean + o->p_std * normal[0]));
}

static void draw(const few_method_ctx *c, int64_t step, int64_t index, double *v)
{
    const struct options *o = c->options;
    const bool even = !strcmp(o->times, "stratified");
    const double u =
        few_random_uniform(c->seed, FEW_RNG_TIME, (uint32_t)step, even ? 0 : (uint32_t)index, 0);
    const double t = !strcmp(o->times, "log_normal") ? log_normal(c, step, index)
                     : even                          ? fmod(u + (double)index / (double)c->batch, 1)
                                                     : u;
    const few_angle a = few_angle_of(few_schedule_phi(&c->spec->schedule, t));
    few_method_point(c->spec, t, &v[T]);
    v[ALPHA] = a.alpha;
    v[SIGMA] = a.sigma;
    few_prediction_target(&c->spec->prediction, a.alpha, a.sigma, &v[TARGET_X], &v[TARGET_EPS]);
    v[MINUS] = -1;
    v[WEIGHT] = strcmp(o->weight, "v")
                    ? 1
                    : few_prediction_v_factor(&c->spec->prediction, a.alpha, a.sigma);
}

const few_method few_method_diffusion = {
    .name = "diffusion",
    .help = "a diffusion model: the teacher, sampled in many steps",
    .paper = "arXiv:2006.11239, arXiv:2202.00512 (v)",
    .options = table,
    .options_size = sizeof(struct options),
    .open_ended = true,
    .scalars = scalars,
    .build = build,
    .draw = draw,
};

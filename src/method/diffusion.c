/* diffusion: the teacher. Regress v, x or eps (the spec's prediction) at a random time:
 *
 *     z_t = alpha_t x + sigma_t eps,  loss = w_t ||out - (P x + Q eps)||^2 / d
 *
 * Times of a batch are spread evenly (u + index/batch mod 1, one u a step; Kingma et al.,
 * arXiv:2107.00630), which lowers the variance of the loss at no cost. */
#include "base/philox.h"
#include "diffusion/param.h"
#include "diffusion/step.h"
#include "method/method.h"

#include <math.h>
#include <string.h>

struct options {
    char *times;
    char *weight;
};

static const few_option table[] = {
    { "times", FEW_OPT_CHOICE, offsetof(struct options, times), "stratified", 0, 0,
      "how times are drawn", "stratified|uniform" },
    { "weight", FEW_OPT_CHOICE, offsetof(struct options, weight), "one", 0, 0,
      "weight of a time, on the squared error of the prediction", "one|v" },
    { .name = NULL },
};

enum { TIME, ALPHA, SIGMA, TARGET_X, TARGET_EPS, MINUS, WEIGHT };
static const char *const scalars[] = { "time_t",     "alpha_t", "sigma_t", "target_x",
                                       "target_eps", "minus",   "weight",  NULL };

static few_val build(few_method_ctx *c)
{
    const few_val *k = c->scalar;
    const few_val eps = few_method_noise(c);
    const few_val z =
        few_method_mix(c, 2, (few_val[]){ c->x, eps }, (few_val[]){ k[ALPHA], k[SIGMA] });
    const few_val out = few_method_network(c, FEW_SET_LIVE, z, k[TIME], c->label);
    const few_val u = few_method_mix(c, 3, (few_val[]){ out, c->x, eps },
                                     (few_val[]){ k[MINUS], k[TARGET_X], k[TARGET_EPS] });
    return few_mul(c->g, few_mean_square(c->g, u), k[WEIGHT]);
}

static void draw(const few_method_ctx *c, int64_t step, int64_t index, double *v)
{
    const struct options *o = c->options;
    const bool even = !strcmp(o->times, "stratified");
    const double u =
        few_random_uniform(c->seed, FEW_RNG_TIME, (uint32_t)step, even ? 0 : (uint32_t)index, 0);
    const double t = even ? fmod(u + (double)index / (double)c->batch, 1) : u;
    const few_angle a = few_angle_of(few_schedule_phi(&c->spec->schedule, t));
    v[TIME] = few_method_time(c->spec, t);
    v[ALPHA] = a.alpha;
    v[SIGMA] = a.sigma;
    few_param_target(c->spec->prediction, a.alpha, a.sigma, &v[TARGET_X], &v[TARGET_EPS]);
    v[MINUS] = -1;
    v[WEIGHT] =
        strcmp(o->weight, "v") ? 1 : few_param_v_factor(c->spec->prediction, a.alpha, a.sigma);
}

const few_method few_method_diffusion = {
    .name = "diffusion",
    .help = "a diffusion model: the teacher, sampled in many steps",
    .paper = "arXiv:2006.11239, arXiv:2202.00512 (v)",
    .options = table,
    .options_size = sizeof(struct options),
    .scalars = scalars,
    .build = build,
    .draw = draw,
};

/* sde: Euler-Maruyama on the reverse SDE (arXiv:2011.13456), in the coordinates where the variance
 * explodes or in those where it is preserved:
 *
 *     ve: x' = x + (noise_t^2 - noise_s^2) score + sqrt(noise_t^2 - noise_s^2) xi,   x = z / alpha
 *     vp: z' = z + b (z / 2 + score) + sqrt(b) xi,   b = 2 log(alpha_s / alpha_t), beta's integral
 *
 * The last step returns x_hat (Tweedie's formula). */
#include "sampler/grid.h"

#include <math.h>
#include <string.h>

struct options {
    few_grid grid;
    char *form;
};

static const few_option table[] = {
    FEW_GRID_OPTIONS(struct options, "karras"),
    { "form", FEW_OPT_CHOICE, offsetof(struct options, form), "ve", 0, 0,
      "coordinates of the SDE: variance exploding or preserving", "ve|vp" },
    { .name = NULL },
};

/* beta grows without bound where alpha goes to 0. */
#define MOST_NOISE_OF_VP 100

static few_status check(const few_spec *spec, const void *options, int steps, few_strbuf *warning,
                        few_error *err)
{
    const struct options *o = options;
    FEW_TRY(few_path_check(spec, options, steps, warning, err));
    if (!strcmp(o->form, "vp") && few_grid_point(&o->grid, spec, 0, steps).noise > MOST_NOISE_OF_VP)
        few_strbuf_addf(warning, "form=vp takes steps that are too large where there is hardly any "
                                 "signal; grid=karras begins below it");
    return FEW_OK;
}

static void step(const few_spec *spec, const void *options, int k, int n, few_sampler_step *out)
{
    const struct options *o = options;
    const few_point t = few_grid_point(&o->grid, spec, k, n),
                    s = few_grid_point(&o->grid, spec, k + 1, n);
    out->t = t.t;
    out->s = s.t;
    if (k == n - 1) {
        out->x = 1;
    } else if (!strcmp(o->form, "vp")) {
        const double b = 2 * log(s.alpha / t.alpha), of_score = b / (t.sigma * t.sigma);
        out->z = 1 + b / 2 - of_score;
        out->x = t.alpha * of_score;
        out->n0 = b;
    } else {
        const few_ancestral a = few_ancestral_of(t, s);
        out->z = a.z;
        out->x = a.x;
        out->n0 = s.alpha * s.alpha * (t.noise - s.noise) * (t.noise + s.noise);
    }
}

const few_sampler few_sampler_sde = {
    .name = "sde",
    .help = "Euler-Maruyama on the reverse SDE; for diffusion models",
    .paper = "arXiv:2011.13456",
    .options = table,
    .options_size = sizeof(struct options),
    .order = 1,
    .default_steps = 512,
    .needs = few_needs_noise,
    .check = check,
    .step = step,
};

/* interpolated: between two shifted cosines, lambda(t) = t low(t) + (1 - t) high(t): the noisy end
 * has the low noise resolution, the data end the high one (simple diffusion, arXiv:2301.11093; used
 * by multistep consistency models). */
#include "diffusion/schedule.h"

#include <math.h>

struct options {
    double logsnr_min, logsnr_max, image_d, noise_d_low, noise_d_high;
    bool keep_limits;
};

static const few_option table[] = {
    { "logsnr_min", FEW_OPT_DOUBLE, offsetof(struct options, logsnr_min), "-15", -50, 0,
      "log SNR at t = 1, before the shift", NULL },
    { "logsnr_max", FEW_OPT_DOUBLE, offsetof(struct options, logsnr_max), "15", 0, 50,
      "log SNR at t = 0, before the shift", NULL },
    { "image_d", FEW_OPT_DOUBLE, offsetof(struct options, image_d), "64", 1, 65536,
      "side of the images", NULL },
    { "noise_d_low", FEW_OPT_DOUBLE, offsetof(struct options, noise_d_low), "32", 1, 65536,
      "noise resolution at t = 1", NULL },
    { "noise_d_high", FEW_OPT_DOUBLE, offsetof(struct options, noise_d_high), "64", 1, 65536,
      "noise resolution at t = 0", NULL },
    { "keep_limits", FEW_OPT_BOOL, offsetof(struct options, keep_limits), "false", 0, 0,
      "the ends keep their log SNR", NULL },
    { .name = NULL },
};

static double shifted(const struct options *o, double noise_d, double t)
{
    const double shift = 2 * log(noise_d / o->image_d), inside = o->keep_limits ? shift : 0;
    return few_cosine_log_snr(t, o->logsnr_min - inside, o->logsnr_max - inside) + shift;
}

static double log_snr(const void *options, double t)
{
    const struct options *o = options;
    return t * shifted(o, o->noise_d_low, t) + (1 - t) * shifted(o, o->noise_d_high, t);
}

const few_schedule_kind few_schedule_interpolated = {
    .name = "interpolated",
    .help = "between two shifted cosines, from low to high noise resolution",
    .paper = "arXiv:2301.11093",
    .options = table,
    .options_size = sizeof(struct options),
    .log_snr = log_snr,
};

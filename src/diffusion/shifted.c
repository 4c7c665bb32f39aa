/* shifted: the cosine as an image of noise_d pixels would see it (simple diffusion,
 * arXiv:2301.11093): lambda(t) = lambda_cos(t) + 2 log(noise_d / image_d). With keep_limits the
 * cosine's limits are moved the other way, so the shifted curve keeps the end points. */
#include "diffusion/schedule.h"

#include <math.h>

struct options {
    double logsnr_min, logsnr_max, image_d, noise_d;
    bool keep_limits;
};

static const few_option table[] = {
    { "logsnr_min", FEW_OPT_DOUBLE, offsetof(struct options, logsnr_min), "-15", -50, 0,
      "log SNR at t = 1, before the shift", NULL },
    { "logsnr_max", FEW_OPT_DOUBLE, offsetof(struct options, logsnr_max), "15", 0, 50,
      "log SNR at t = 0, before the shift", NULL },
    { "image_d", FEW_OPT_DOUBLE, offsetof(struct options, image_d), "64", 1, 65536,
      "side of the images", NULL },
    { "noise_d", FEW_OPT_DOUBLE, offsetof(struct options, noise_d), "64", 1, 65536,
      "side at which the plain cosine would fit", NULL },
    { "keep_limits", FEW_OPT_BOOL, offsetof(struct options, keep_limits), "false", 0, 0,
      "the ends keep their log SNR", NULL },
    { .name = NULL },
};

static double log_snr(const void *options, double t)
{
    const struct options *o = options;
    const double shift = 2 * log(o->noise_d / o->image_d), inside = o->keep_limits ? shift : 0;
    return few_cosine_log_snr(t, o->logsnr_min - inside, o->logsnr_max - inside) + shift;
}

const few_schedule_kind few_schedule_shifted = {
    .name = "shifted",
    .help = "cosine shifted for the size of the images",
    .paper = "arXiv:2301.11093",
    .options = table,
    .options_size = sizeof(struct options),
    .log_snr = log_snr,
};

/* cosine: lambda(t) = -2 log tan(a t + b), clipped so that lambda(0) = logsnr_max and
 * lambda(1) = logsnr_min (Nichol and Dhariwal, arXiv:2102.09672; clipped as in arXiv:2202.00512).
 * The angle is linear in t. */
#include "diffusion/schedule.h"

struct options {
    double logsnr_min, logsnr_max;
};

static const few_option table[] = {
    { "logsnr_min", FEW_OPT_DOUBLE, offsetof(struct options, logsnr_min), "-15", -50, 0,
      "log SNR at t = 1", NULL },
    { "logsnr_max", FEW_OPT_DOUBLE, offsetof(struct options, logsnr_max), "15", 0, 50,
      "log SNR at t = 0", NULL },
    { .name = NULL },
};

static double log_snr(const void *options, double t)
{
    const struct options *o = options;
    return few_cosine_log_snr(t, o->logsnr_min, o->logsnr_max);
}

const few_schedule_kind few_schedule_cosine = {
    .name = "cosine",
    .help = "clipped cosine: the angle is linear in time",
    .paper = "arXiv:2102.09672",
    .options = table,
    .options_size = sizeof(struct options),
    .log_snr = log_snr,
};

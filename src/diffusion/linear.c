/* linear: lambda falls linearly, so log(sigma/alpha) is linear in t. With the defaults from
 * sigma/alpha = 0.002 to 80, the range of EDM (arXiv:2206.00364), whose time input ln(sigma)/4 is
 * then linear in t, too. */
#include "diffusion/schedule.h"

struct options {
    double logsnr_min, logsnr_max;
};

static const few_option table[] = {
    { "logsnr_min", FEW_OPT_DOUBLE, offsetof(struct options, logsnr_min), "-8.764053269", -50, 50,
      "log SNR at t = 1", NULL },
    { "logsnr_max", FEW_OPT_DOUBLE, offsetof(struct options, logsnr_max), "12.429216197", -50, 50,
      "log SNR at t = 0", NULL },
    { .name = NULL },
};

static double log_snr(const void *options, double t)
{
    const struct options *o = options;
    return o->logsnr_max + t * (o->logsnr_min - o->logsnr_max);
}

const few_schedule_kind few_schedule_linear = {
    .name = "linear",
    .help = "the log SNR falls linearly; by default over EDM's range of noise",
    .paper = "arXiv:2206.00364",
    .options = table,
    .options_size = sizeof(struct options),
    .log_snr = log_snr,
};

/* Noise schedules: how much of z_t = alpha x + sigma eps is noise at time t in [0, 1] (0 data, 1
 * noise). lambda(t) = log SNR = log(alpha^2 / sigma^2) falls strictly; the angle
 * phi(t) = atan(exp(-lambda/2)) gives alpha = cos phi, sigma = sin phi without cancellation.
 *
 * A schedule is one file ending in one `const few_schedule_kind`, plus a line in schedules.def. */
#ifndef FEW_DIFFUSION_SCHEDULE_H
#define FEW_DIFFUSION_SCHEDULE_H

#include "base/option.h"

typedef struct few_schedule_kind {
    const char *name, *help, *paper;
    const few_option *options;
    size_t options_size;
    double (*log_snr)(const void *options, double t);
} few_schedule_kind;

#define X(name) extern const few_schedule_kind few_schedule_##name;
#include "diffusion/schedules.def"
#undef X

extern const few_schedule_kind *const few_schedules[];
extern const int few_n_schedules;

typedef struct few_schedule {
    const few_schedule_kind *kind;
    void *options; /* owned */
} few_schedule;

/* A schedule with its defaults; set options through few_option_set on kind->options and `options`,
 * then few_schedule_check. Fails: unknown name (the known ones are listed), memory. */
few_status few_schedule_make(few_schedule *s, const char *name, few_error *err);
void few_schedule_clear(few_schedule *s);
/* Is lambda finite and strictly decreasing on 1025 points? */
few_status few_schedule_check(const few_schedule *s, few_error *err);

/* {"name": ..., options...}: a new reference, NULL when out of memory; and back, checked. */
json_t *few_schedule_to_json(const few_schedule *s);
few_status few_schedule_from_json(few_schedule *s, const json_t *json, const char *where,
                                  few_error *err);

double few_schedule_log_snr(const few_schedule *s, double t);
double few_schedule_phi(const few_schedule *s, double t);
/* The time of a log SNR, by bisection in double (60 halvings); clamped to [0, 1]. */
double few_schedule_time(const few_schedule *s, double log_snr);

/* lambda of the clipped cosine: -2 log tan(a t + b), b = atan(exp(-max/2)), a = atan(exp(-min/2)) -
 * b. For the schedules that shift it. */
double few_cosine_log_snr(double t, double min, double max);

#endif

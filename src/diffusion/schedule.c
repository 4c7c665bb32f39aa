/* The list of schedules, and what all of them share. */
#include "diffusion/schedule.h"

#include "base/alloc.h"

#include <math.h>
#include <string.h>

#define X(name) &few_schedule_##name,
const few_schedule_kind *const few_schedules[] = {
#include "diffusion/schedules.def"
};
#undef X
const int few_n_schedules = (int)FEW_COUNT(few_schedules);

few_status few_schedule_make(few_schedule *s, const char *name, few_error *err)
{
    few_strbuf known;
    memset(s, 0, sizeof *s);
    for (int k = 0; k < few_n_schedules; k++)
        if (!strcmp(few_schedules[k]->name, name))
            s->kind = few_schedules[k];
    if (!s->kind) {
        few_strbuf_init(&known);
        for (int k = 0; k < few_n_schedules; k++)
            few_strbuf_addf(&known, "%s%s", k ? ", " : "", few_schedules[k]->name);
        few_fail(err, FEW_ECONFIG, "unknown schedule '%s'; known are %s", name, known.s);
        few_strbuf_free(&known);
        return FEW_ECONFIG;
    }
    s->options = few_calloc(1, s->kind->options_size);
    if (!s->options)
        return few_fail(err, FEW_ENOMEM, "out of memory for a schedule");
    const few_status st = few_options_defaults(s->kind->options, s->options, err);
    if (st != FEW_OK)
        few_schedule_clear(s);
    return st;
}

void few_schedule_clear(few_schedule *s)
{
    if (s->options)
        few_options_clear(s->kind->options, s->options);
    few_free(s->options);
    memset(s, 0, sizeof *s);
}

few_status few_schedule_check(const few_schedule *s, few_error *err)
{
    double before = INFINITY;
    for (int k = 0; k <= 1024; k++) {
        const double now = few_schedule_log_snr(s, k / 1024.0);
        if (!isfinite(now) || now >= before)
            return few_fail(
                err, FEW_ECONFIG,
                "schedule '%s': log SNR must be finite and fall with time, but is %g at "
                "t = %g after %g",
                s->kind->name, now, k / 1024.0, before);
        before = now;
    }
    return FEW_OK;
}

json_t *few_schedule_to_json(const few_schedule *s)
{
    json_t *o = few_options_to_json(s->kind->options, s->options);
    if (o)
        json_object_set_new(o, "name", json_string(s->kind->name));
    return o;
}

few_status few_schedule_from_json(few_schedule *s, const json_t *json, const char *where,
                                  few_error *err)
{
    const char *name = json_string_value(json_object_get(json, "name"));
    memset(s, 0, sizeof *s);
    if (!name)
        return few_fail(err, FEW_EFORMAT, "'%s': the schedule has no name", where);
    if (few_schedule_make(s, name, err) != FEW_OK)
        return few_fail_in(err, "%s", where);
    json_t *rest = json_copy((json_t *)(uintptr_t)json); /* shallow */
    json_object_del(rest, "name");
    few_status st = few_options_from_json(s->kind->options, s->options, rest, where, err);
    json_decref(rest);
    if (st == FEW_OK && few_schedule_check(s, err) != FEW_OK)
        st = few_fail_in(err, "%s", where);
    if (st != FEW_OK)
        few_schedule_clear(s);
    return st;
}

double few_schedule_log_snr(const few_schedule *s, double t)
{
    return s->kind->log_snr(s->options, t);
}

double few_schedule_phi(const few_schedule *s, double t)
{
    return atan(exp(-0.5 * few_schedule_log_snr(s, t)));
}

double few_schedule_time(const few_schedule *s, double log_snr)
{
    double low = 0, high = 1;
    for (int k = 0; k < 60; k++) {
        const double mid = 0.5 * (low + high);
        if (few_schedule_log_snr(s, mid) > log_snr)
            low = mid;
        else
            high = mid;
    }
    return 0.5 * (low + high);
}

double few_cosine_log_snr(double t, double min, double max)
{
    const double b = atan(exp(-0.5 * max)), a = atan(exp(-0.5 * min)) - b;
    return -2 * log(tan(a * t + b));
}

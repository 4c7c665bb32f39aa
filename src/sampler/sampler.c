/* The list of samplers, their defaults, and the parts of a chain. */
#include "sampler/sampler.h"

#include <math.h>
#include <string.h>

enum { FEW_HUNDREDTHS = 100 };

#define X(name) &few_sampler_##name,
const few_sampler *const few_samplers[] = {
#include "sampler/list.def"
};
#undef X
const int few_n_samplers = (int)FEW_COUNT(few_samplers);

const few_sampler *few_sampler_find(const char *name, few_error *err)
{
    few_strbuf known;
    few_strbuf_init(&known);
    for (int k = 0; k < few_n_samplers; k++) {
        if (!strcmp(few_samplers[k]->name, name)) {
            few_strbuf_free(&known);
            return few_samplers[k];
        }
        few_strbuf_addf(&known, "%s%s", k ? ", " : "", few_samplers[k]->name);
    }
    few_fail(err, FEW_EINVAL, "unknown sampler '%s'; known are %s", name, known.s);
    few_strbuf_free(&known);
    return NULL;
}

unsigned few_sampler_needs(const few_sampler *s, const void *options)
{
    return s->needs ? s->needs(options) : 0;
}

int few_sampler_evaluations(const few_sampler *s, const void *options, int steps)
{
    if (s->adaptive)
        return FEW_HUNDREDTHS;
    return s->evaluations ? s->evaluations(options, steps) : steps;
}

few_sampler_step few_sampler_step_of(const few_sampler *s, const few_spec *spec,
                                     const void *options, int k, int n)
{
    few_sampler_step out = { 0 };
    s->step(spec, options, k, n, &out);
    return out;
}

/* How many evaluations lead to `time`; -1 where none ends there. *near: the closest time. */
static int steps_to(const few_sampler *s, const few_spec *spec, const void *options, int steps,
                    double time, double *near)
{
    const int n = few_sampler_evaluations(s, options, steps);
    *near = 1;
    for (int k = 0; k <= n; k++) {
        few_sampler_step a = { .s = 1 };
        if (k > 0)
            a = few_sampler_step_of(s, spec, options, k - 1, steps);
        if (a.inner)
            continue;
        if (fabs(a.s - time) < 1e-9)
            return k;
        if (fabs(a.s - time) < fabs(*near - time))
            *near = a.s;
    }
    return -1;
}

few_status few_sampler_part(const few_sampler *s, const few_spec *spec, const void *options,
                            int steps, double from, double to, int *begin, int *end, few_error *err)
{
    double near;
    if (s->adaptive && !(from == 1 && to == 0))
        return few_fail(err, FEW_EINVAL, "sampler '%s' goes all the way only, from t = 1 to 0",
                        s->name);
    if (s->adaptive) {
        *begin = *end = 0;
        return FEW_OK;
    }
    if (!(from <= 1 && to >= 0 && from > to))
        return few_fail(err, FEW_EINVAL, "from t = %.6g to t = %.6g is no part of 1 to 0", from,
                        to);
    *begin = steps_to(s, spec, options, steps, from, &near);
    *end = *begin < 0 ? -1 : steps_to(s, spec, options, steps, to, &near);
    if (*begin < 0 || *end < 0)
        return few_fail(err, FEW_EINVAL,
                        "%s in %d steps does not stop at t = %.6g; the nearest time is %.6g",
                        s->name, steps, *begin < 0 ? from : to, near);
    const few_sampler_step first = few_sampler_step_of(s, spec, options, *begin, steps);
    if (first.past != 0 || (first.base != 0 && !first.keep_z))
        return few_fail(err, FEW_EINVAL,
                        "%s remembers the step before t = %.6g and can only start at t = 1",
                        s->name, from);
    return FEW_OK;
}

const few_sampler *few_sampler_default(const few_spec *spec)
{
    return spec->steps == 0      ? &few_sampler_ddim
           : spec->sigma_max > 0 ? &few_sampler_renoise
                                 : &few_sampler_multistep;
}

int few_sampler_default_steps(const few_spec *spec, const few_sampler *s)
{
    return spec->steps > 0 ? spec->steps : s->default_steps;
}

/* The list of samplers, defaults, and the uniform grid. */
#include "sampler/sampler.h"

#include "sampler/uniform.h"

#include <math.h>
#include <string.h>

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

/* How many steps lead from t = 1 to `time`; -1 where none ends there. *near: the closest time. */
static int steps_to(const few_sampler *s, const few_spec *spec, const void *options, int steps,
                    double time, double *near)
{
    *near = 1;
    for (int k = 0; k <= steps; k++) {
        few_sampler_step a = { .s = 1 };
        if (k > 0)
            s->step(spec, options, k - 1, steps, &a);
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
    if (!(from <= 1 && to >= 0 && from > to))
        return few_fail(err, FEW_EINVAL, "from t = %.6g to t = %.6g is no part of 1 to 0", from,
                        to);
    *begin = steps_to(s, spec, options, steps, from, &near);
    *end = *begin < 0 ? -1 : steps_to(s, spec, options, steps, to, &near);
    if (*begin < 0 || *end < 0)
        return few_fail(err, FEW_EINVAL,
                        "%s in %d steps does not stop at t = %.6g; the nearest time is %.6g",
                        s->name, steps, *begin < 0 ? from : to, near);
    return FEW_OK;
}

const few_sampler *few_sampler_default(const few_spec *spec)
{
    return spec->steps > 0 ? &few_sampler_multistep : &few_sampler_ddim;
}

int few_sampler_default_steps(const few_spec *spec, const few_sampler *s)
{
    return spec->steps > 0 ? spec->steps : s->default_steps;
}

void few_uniform_times(int k, int n, few_sampler_step *out)
{
    *out = (few_sampler_step){ .t = (double)(n - k) / n, .s = (double)(n - k - 1) / n };
}

few_status few_teacher_sampler_check(const few_spec *spec, int steps, few_strbuf *warning,
                                     few_error *err)
{
    (void)warning;
    if (spec->steps > 0)
        return few_fail(err, FEW_EUNSUPPORTED,
                        "this checkpoint is a %d-step student: it jumps to the start of its "
                        "segment, not along the path; use sampler 'multistep' with %d steps",
                        spec->steps, spec->steps);
    if (steps > 100000)
        return few_fail(err, FEW_EINVAL, "%d steps are more than 100000", steps);
    return FEW_OK;
}

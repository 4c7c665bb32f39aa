/* multistep: the multistep consistency sampler, Algorithm 2 of arXiv:2403.06807: DDIM over the S
 * segments the student was made for. The last step returns x_hat itself (it differs by
 * O(sigma_0)). */
#include "diffusion/step.h"
#include "sampler/grid.h"

static few_status check(const few_spec *spec, const void *options, int steps, few_strbuf *warning,
                        few_error *err)
{
    (void)options;
    if (spec->steps < 1)
        return few_fail(
            err, FEW_EUNSUPPORTED,
            "sampler 'multistep' is for students; this checkpoint is a diffusion model, "
            "use ddim or addim");
    if (spec->sigma_max > 0)
        return few_fail(err, FEW_EUNSUPPORTED,
                        "this is a consistency model, which starts from less noise than t = 1 has; "
                        "use 'renoise'");
    FEW_TRY(few_student_check(spec, steps, err));
    if (steps > spec->steps && steps % spec->steps)
        return few_fail(err, FEW_EUNSUPPORTED,
                        "this student was made for %d steps; %d steps would jump over the borders "
                        "of its segments, which it was taught to jump to; use %d",
                        spec->steps, steps, spec->steps);
    if (steps < spec->steps && spec->steps % steps)
        return few_fail(err, FEW_EUNSUPPORTED,
                        "this student was made for %d steps and cannot jump over segments in %d; "
                        "use %d",
                        spec->steps, steps, spec->steps);
    if (steps != spec->steps)
        few_strbuf_addf(warning, "this student was made for %d steps; with %d its images are worse",
                        spec->steps, steps);
    return FEW_OK;
}

static void step(const few_spec *spec, const void *options, int k, int n, few_sampler_step *out)
{
    (void)options;
    out->t = few_uniform_time(k, n);
    out->s = few_uniform_time(k + 1, n);
    const few_ddim_coef c = few_ddim(few_schedule_phi(&spec->schedule, out->t),
                                     few_schedule_phi(&spec->schedule, out->s));
    out->z = k == n - 1 ? 0 : c.r;
    out->x = k == n - 1 ? 1 : c.D;
}

const few_sampler few_sampler_multistep = {
    .name = "multistep",
    .help = "multistep consistency: one evaluation a segment; for students",
    .paper = "arXiv:2403.06807",
    .default_steps = 4,
    .check = check,
    .step = step,
};

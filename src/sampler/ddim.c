/* ddim: z_s = D x_hat + r z_t on a uniform grid of times (arXiv:2010.02502). */
#include "diffusion/step.h"
#include "sampler/uniform.h"

static void step(const few_spec *spec, const void *options, int k, int n, few_sampler_step *out)
{
    (void)options;
    few_uniform_times(k, n, out);
    const few_ddim_coef c = few_ddim(few_schedule_phi(&spec->schedule, out->t),
                                     few_schedule_phi(&spec->schedule, out->s));
    out->z = c.r;
    out->x = c.D;
}

const few_sampler few_sampler_ddim = {
    .name = "ddim",
    .help = "deterministic, first order; for diffusion models",
    .paper = "arXiv:2010.02502",
    .default_steps = 128,
    .check = few_teacher_sampler_check,
    .step = step,
};

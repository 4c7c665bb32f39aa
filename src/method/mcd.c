/* mcd: multistep consistency distillation, Algorithm 1 of arXiv:2403.06807: a frozen teacher takes
 * the step from t to s. */
#include "method/multistep_consistency.h"

static few_val build(few_method_ctx *c)
{
    return few_mc_build(c, c->options, FEW_SET_LIVE, true);
}

static const few_option options[] = {
    FEW_MC_OPTIONS,
    { "teacher_step", FEW_OPT_CHOICE, offsetof(few_mc_options, teacher_step), "addim", 0, 0,
      "how the teacher steps; midpoint: second order, in two evaluations", "addim|ddim|midpoint" },
    { "x_var", FEW_OPT_CHOICE, offsetof(few_mc_options, x_var), "measured", 0, 0,
      "aDDIM's variance of x: from the teacher's error, 0.1 / (2 + SNR), or its file's table",
      "measured|analytic|table" },
    { "eta", FEW_OPT_DOUBLE, offsetof(few_mc_options, eta), "0.75", 0, 1,
      "part of the measured variance that is used", NULL },
    { "last", FEW_OPT_CHOICE, offsetof(few_mc_options, last), "full", 0, 0,
      "aDDIM's step to t = 0: as printed, or the prediction without added noise", "full|x_hat" },
    { "guidance", FEW_OPT_DOUBLE, offsetof(few_mc_options, guidance), "0", 0, 100,
      "guidance of the teacher, absorbed by the student; 0 is none", NULL },
    { .name = NULL },
};

const few_method few_method_mcd = {
    .name = "mcd",
    .help = "multistep consistency distillation: a few-step student from a teacher",
    .paper = "arXiv:2403.06807",
    .options = options,
    .options_size = sizeof(few_mc_options),
    .needs_teacher = true,
    .makes_student = true,
    .scalars = few_mc_scalars,
    .check = few_mc_check,
    .build = build,
    .draw = few_mc_draw,
};

/* mct: multistep consistency training, Algorithm 1 of arXiv:2403.06807 with x_T = x: no teacher is
 * evaluated, the data stand in for it. */
#include "method/multistep_consistency.h"

static few_val build(few_method_ctx *c)
{
    return few_mc_build(c, c->options, FEW_SET_LIVE, false);
}

static const few_option options[] = { FEW_MC_OPTIONS, { .name = NULL } };

const few_method few_method_mct = {
    .name = "mct",
    .help = "multistep consistency training: a few-step student from data",
    .paper = "arXiv:2403.06807",
    .options = options,
    .options_size = sizeof(few_mc_options),
    .makes_student = true,
    .scalars = few_mc_scalars,
    .check = few_mc_check,
    .build = build,
    .draw = few_mc_draw,
};

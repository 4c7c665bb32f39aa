/* cd: consistency distillation, algorithm 2 of arXiv:2303.01469: neighbouring levels of
 * a fixed grid, the lower one by a step of the teacher; the target network is an average of the
 * student. */
#include "base/philox.h"
#include "method/consistency.h"

#include <string.h>

struct options {
    few_cm_options cm;
    int levels;
    double target_decay;
    char *teacher_step;
};

static const few_option table[] = {
    FEW_CM_OPTIONS(struct options, "l2sq", "1e-4"),
    { "levels", FEW_OPT_INT, offsetof(struct options, levels), "18", 2, 1e6, "of the grid", NULL },
    { "target_decay", FEW_OPT_DOUBLE, offsetof(struct options, target_decay), "0.95", 0, 0.9999999,
      "of the target network; 0: it is the student", NULL },
    { "teacher_step", FEW_OPT_CHOICE, offsetof(struct options, teacher_step), "heun", 0, 0,
      "how the teacher steps: second order in two evaluations, or first in one", "heun|euler" },
    { .name = NULL },
};

static few_status check(const few_method_ctx *c, few_error *err)
{
    return few_cm_check(c, &((const struct options *)c->options)->cm, true, err);
}

static double target_decay(const few_method_ctx *c, int64_t step)
{
    (void)step;
    return ((const struct options *)c->options)->target_decay;
}

static few_val build(few_method_ctx *c)
{
    const struct options *o = c->options;
    const few_cm_target t = { FEW_SET_TARGET,
                              strcmp(o->teacher_step, "heun") ? FEW_CM_EULER : FEW_CM_HEUN };
    return few_cm_build(c, &o->cm, t);
}

static void draw(const few_method_ctx *c, int64_t step, int64_t index, double *v)
{
    const struct options *o = c->options;
    const int i = (int)few_random_below(c->seed, FEW_RNG_TIME, (uint32_t)step, (uint32_t)index, 0,
                                        (uint32_t)(o->levels - 1));
    few_cm_fill(c, few_cm_level(&o->cm, i + 1, o->levels), few_cm_level(&o->cm, i, o->levels), 1,
                v);
}

const few_method few_method_cd = {
    .name = "cd",
    .help = "consistency distillation: to the data in one step, learnt from a teacher",
    .paper = "arXiv:2303.01469",
    .options = table,
    .options_size = sizeof(struct options),
    .needs_teacher = true,
    .makes_student = true,
    .scalars = few_cm_scalars,
    .describe = few_cm_describe,
    .check = check,
    .target_decay = target_decay,
    .build = build,
    .draw = draw,
};

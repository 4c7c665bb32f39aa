/* tract: transitive closure time-distillation, arXiv:2303.04248. In few phases the
 * number of steps falls, 1024 -> 32 -> S say. A phase is multistep consistency distillation by DDIM
 * on the grid of its first number, with two differences: an average of the student (decay 0.5)
 * stands for it at s, and the distance is squared, weighted by max(1, SNR). The student of a phase
 * teaches the next. As in the authors' code every x but the student's own in the loss is held in
 * [-1, 1], and so it is when the student is sampled. */
#include "base/philox.h"
#include "method/multistep_consistency.h"

#include <string.h>

struct options {
    few_mc_options mc;
    few_doubles phases;
    double self_decay;
};

static const few_option table[] = {
    { "phases", FEW_OPT_DOUBLES, offsetof(struct options, phases), "1024, 32", 1, 1e6,
      "steps of the first teacher and of all students but the last", NULL },
    { "self_decay", FEW_OPT_DOUBLE, offsetof(struct options, self_decay), "0.5", 0, 0.9999999,
      "of the average of the student that stands for it in the target", NULL },
    { "teacher_step", FEW_OPT_CHOICE, offsetof(struct options, mc.teacher_step), "ddim", 0, 0,
      "how the teacher steps; midpoint: second order, in two evaluations", "ddim|midpoint" },
    { "distance", FEW_OPT_CHOICE, offsetof(struct options, mc.distance), "l2sq", 0, 0,
      "distance between target and prediction", "l2sq|rms|elem|norm" },
    { "huber", FEW_OPT_DOUBLE, offsetof(struct options, mc.huber), "1e-4", 1e-9, 1e3,
      "epsilon of the distance", NULL },
    { "weight", FEW_OPT_CHOICE, offsetof(struct options, mc.weight), "trunc", 0, 0,
      "weight of a time", "trunc|snr+1|v_norm|one" },
    { "clip", FEW_OPT_BOOL, offsetof(struct options, mc.clip), "true", 0, 0,
      "hold predictions in [-1, 1], in targets and when sampling", NULL },
    { .name = NULL },
};

static few_status describe(const void *options, few_spec *s, few_error *err)
{
    (void)err;
    s->clip = ((const struct options *)options)->mc.clip;
    return FEW_OK;
}

/* Steps at the end of phase k - 1, which are those of its teacher for phase k. */
static int steps_before(const few_method_ctx *c, int k)
{
    const struct options *o = c->options;
    return k < o->phases.n ? (int)o->phases.v[k] : c->student_steps;
}

static few_phase phase(const few_method_ctx *c, int64_t step)
{
    const struct options *o = c->options;
    few_phase p = few_method_phase(step, c->steps, o->phases.n, NULL);
    p.student_steps = steps_before(c, p.index + 1);
    return p;
}

static few_status check(const few_method_ctx *c, few_error *err)
{
    const struct options *o = c->options;
    if (o->phases.n < 1)
        return few_fail(err, FEW_ECONFIG, "method.phases is empty: at least the teacher's steps");
    if (o->phases.n > 1 && !strcmp(o->mc.teacher_step, "midpoint"))
        return few_fail(err, FEW_ECONFIG,
                        "method.teacher_step=midpoint is for one phase: from the second the "
                        "teacher is a student, whose own steps end where they should; take "
                        "ddim, or shorten method.phases");
    if (c->steps < o->phases.n)
        return few_fail(err, FEW_ECONFIG, "%d phases need more than %lld steps of training",
                        o->phases.n, (long long)c->steps);
    for (int k = 0; k < o->phases.n; k++) {
        const int from = steps_before(c, k), to = steps_before(c, k + 1);
        if (to < 1 || from <= to || from % to || (double)from != o->phases.v[k])
            return few_fail(err, FEW_ECONFIG,
                            "method.phases: a student of %d steps cannot follow one of %g: they "
                            "must be whole numbers that fall, each dividing the one before",
                            to, o->phases.v[k]);
        if (to > 64)
            return few_fail(err, FEW_ECONFIG, "method.phases: a student of %d steps, 64 at most",
                            to);
    }
    return FEW_OK;
}

static double self_decay(const few_method_ctx *c, int64_t step)
{
    (void)step;
    return ((const struct options *)c->options)->self_decay;
}

static few_val build(few_method_ctx *c)
{
    const struct options *o = c->options;
    return few_mc_build(c, &o->mc, FEW_SET_TARGET, true);
}

static void draw(const few_method_ctx *c, int64_t step, int64_t index, double *v)
{
    const struct options *o = c->options;
    const few_phase p = phase(c, step);
    const int to = p.student_steps, n_seg = steps_before(c, p.index) / to;
    const uint32_t i = (uint32_t)step, b = (uint32_t)index;
    const int seg = (int)few_random_below(c->seed, FEW_RNG_TIME, i, b, 0, (uint32_t)to);
    const int n_rel = 1 + (int)few_random_below(c->seed, FEW_RNG_TIME, i, b, 1, (uint32_t)n_seg);
    few_mc_fill(c, &o->mc, few_grid_at(to, n_seg, seg, n_rel), v);
}

const few_method few_method_tract = {
    .name = "tract",
    .help = "transitive closure distillation: two or three students, each from the one before",
    .paper = "arXiv:2303.04248",
    .options = table,
    .options_size = sizeof(struct options),
    .needs_teacher = true,
    .makes_student = true,
    .scalars = few_mc_scalars,
    .check = check,
    .target_decay = self_decay,
    .phase = phase,
    .describe = describe,
    .build = build,
    .draw = draw,
};

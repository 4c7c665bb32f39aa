/* Consistency models (arXiv:2303.01469): with levels t > r,
 *
 *     x_t = x + t eps
 *     x_r = x + r eps (training), or one step of the teacher from x_t by Euler or Heun
 * (distillation) loss = w dist(f_target(x_r, r) - f(x_t, t))
 *
 * in the schedule's terms z = alpha x_t, with the alpha of its level. Heun's step is linear in x_t,
 * x' (Euler's) and the two predictions:
 *     x_r = x_t + (r - t)/2 ((x_t - D(x_t))/t + (x' - D(x'))/r). */
#include "method/consistency.h"

#include "diffusion/step.h"

#include <math.h>

enum {
    T,
    R = T + FEW_POINT, /* the student's evaluations, */
    TEACHER_T = R + FEW_POINT,
    TEACHER_R = TEACHER_T + FEW_POINT, /* and the teacher's */
    ALPHA_T = TEACHER_R + FEW_POINT,
    SIGMA_T,
    ALPHA_R,
    SIGMA_R,
    EULER_Z,
    EULER_D, /* z' */
    HEUN_Z,
    HEUN_D,
    HEUN_Z2,
    HEUN_D2, /* z_r */
    OF_HAT,
    OF_TARGET,
    OF_X, /* what is measured */
    WEIGHT
};

const char *const few_cm_scalars[] = {
    FEW_POINT_NAMES("t"),
    FEW_POINT_NAMES("r"),
    FEW_POINT_NAMES("teacher_t"),
    FEW_POINT_NAMES("teacher_r"),
    "alpha_t",
    "sigma_t",
    "alpha_r",
    "sigma_r",
    "euler_z",
    "euler_d",
    "heun_z",
    "heun_d",
    "heun_z2",
    "heun_d2",
    "of_hat",
    "of_target",
    "of_x",
    "weight",
    NULL,
};

few_status few_cm_describe(const void *options, few_spec *s, few_error *err)
{
    const few_cm_options *o = options;
    s->prediction.sigma_min = o->sigma_min;
    s->sigma_max = o->sigma_max;
    (void)err;
    return FEW_OK;
}

double few_cm_level(const few_cm_options *o, int i, int n)
{
    const double low = pow(o->sigma_min, 1 / o->rho), high = pow(o->sigma_max, 1 / o->rho);
    return i == 0 ? o->sigma_min : pow(low + i * (high - low) / (n - 1), o->rho);
}

static few_val lower(few_method_ctx *c, few_val z_t, few_val eps, int step)
{
    const few_val *k = c->scalar;
    if (step == FEW_CM_DATA)
        return few_method_mix(c, 2, (few_val[]){ c->x, eps }, &k[ALPHA_R]);
    few_graph_label(c->g, "teacher");
    const few_val d = few_method_predict_x(c, FEW_SET_TEACHER, z_t, TEACHER_T, c->label);
    const few_val z = few_method_mix(c, 2, (few_val[]){ z_t, d }, &k[EULER_Z]);
    if (step == FEW_CM_EULER)
        return z;
    const few_val d2 = few_method_predict_x(c, FEW_SET_TEACHER, z, TEACHER_R, c->label);
    return few_method_mix(c, 4, (few_val[]){ z_t, d, z, d2 }, &k[HEUN_Z]);
}

few_val few_cm_build(few_method_ctx *c, const few_cm_options *o, few_cm_target target)
{
    const few_val *k = c->scalar;
    few_graph *g = c->g;
    const few_val eps = few_method_noise(c);
    const few_val z_t = few_method_mix(c, 2, (few_val[]){ c->x, eps }, &k[ALPHA_T]);
    const few_val z_r = few_stop_gradient(g, lower(c, z_t, eps, target.step));
    few_graph_label(g, "target");
    const few_val f_r = few_stop_gradient(g, few_method_predict_x(c, target.set, z_r, R, c->label));
    few_graph_label(g, "student");
    const few_val f_t = few_method_predict_x(c, FEW_SET_LIVE, z_t, T, c->label);
    const few_val u = few_method_mix(c, 3, (few_val[]){ f_t, f_r, c->x }, &k[OF_HAT]);
    const double d = c->spec->height * c->spec->width * c->spec->channels;
    const double e = o->huber > 0 ? o->huber : 0.00054 * sqrt(d);
    return few_mul(g, few_method_distance(c, o->distance, u, e), k[WEIGHT]);
}

/* The time at which the schedule has this much noise per signal. */
static double time_of(const few_spec *s, double level)
{
    return level > 0 ? few_schedule_time(&s->schedule, -2 * log(level)) : 0;
}

void few_cm_fill(const few_method_ctx *c, double t, double r, double weight, double *v)
{
    const double at = time_of(c->spec, t), ar = time_of(c->spec, r);
    const few_angle a = few_angle_of(atan(t)), b = few_angle_of(atan(r));
    few_method_point(c->spec, at, &v[T]);
    few_method_point(c->spec, ar, &v[R]);
    if (c->teacher) {
        few_method_point(c->teacher, at, &v[TEACHER_T]);
        few_method_point(c->teacher, ar, &v[TEACHER_R]);
    }
    v[ALPHA_T] = a.alpha;
    v[SIGMA_T] = a.sigma;
    v[ALPHA_R] = b.alpha;
    v[SIGMA_R] = b.sigma;
    v[EULER_Z] = b.alpha / a.alpha * (r / t);
    v[EULER_D] = b.alpha * (1 - r / t);
    v[HEUN_Z] = b.alpha / a.alpha * (t + r) / (2 * t);
    v[HEUN_D] = b.alpha * (t - r) / (2 * t);
    v[HEUN_Z2] = r > 0 ? -(t - r) / (2 * r) : 0;
    v[HEUN_D2] = r > 0 ? b.alpha * (t - r) / (2 * r) : 0;
    v[OF_HAT] = -1;
    v[OF_TARGET] = r > 0;
    v[OF_X] = r <= 0;
    v[WEIGHT] = weight;
}

few_status few_cm_check(const few_method_ctx *c, const few_cm_options *o, bool boundary,
                        few_error *err)
{
    const few_schedule *sch = &c->spec->schedule;
    if (c->student_steps != 1)
        return few_fail(err, FEW_ECONFIG,
                        "a consistency model jumps to the data from any time: make it for 1 step, "
                        "not %d, and sample it in more with --sampler renoise",
                        c->student_steps);
    if (boundary && !c->spec->prediction.kind->has_boundary)
        return few_fail(err, FEW_ECONFIG,
                        "a consistency model must return its input at sigma_min, which a network "
                        "that predicts '%s' cannot; it must predict v or edm",
                        c->spec->prediction.kind->name);
    const double low = exp(-few_schedule_log_snr(sch, 0) / 2),
                 high = exp(-few_schedule_log_snr(sch, 1) / 2);
    if (o->sigma_min >= o->sigma_max)
        return few_fail(err, FEW_ECONFIG, "method.sigma_min (%g) is not below sigma_max (%g)",
                        o->sigma_min, o->sigma_max);
    if (o->sigma_min < low * (1 - 1e-9) || o->sigma_max > high * (1 + 1e-9))
        return few_fail(
            err, FEW_ECONFIG,
            "method.sigma_min and sigma_max (%g, %g) are not inside the schedule, which "
            "has %g to %g",
            o->sigma_min, o->sigma_max, low, high);
    return FEW_OK;
}

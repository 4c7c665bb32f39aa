/* pd: progressive distillation, algorithm 2 of arXiv:2202.00512. A student of n steps
 * learns to do in one what its teacher does in two; then it teaches a student of n / 2:
 *
 *     t = (i+1)/n, m = t - 0.5/n, s = t - 1/n;   z_t = alpha_t x + sigma_t eps
 *     x_1 = teacher(z_t, t),  z_m = DDIM_{t->m}(x_1, z_t)
 *     x_2 = teacher(z_m, m),  z_s = DDIM_{m->s}(x_2, z_m)
 *     target = invDDIM_{t->s}(z_s, z_t);  x_2 itself when s = 0
 *     loss = max(1, SNR_t) ||target - f(z_t, t)||^2 / d
 *
 * The target is w_1 x_1 + w_2 x_2 with weights that add up to 1, so nothing cancels. With aDDIM
 * for both steps (arXiv:2403.06807, table 3) what it adds to z_m and z_s is carried along. */
#include "base/philox.h"
#include "diffusion/loss.h"
#include "diffusion/step.h"
#include "method/method.h"

#include <string.h>

struct options {
    int from;
    char *teacher_step, *weight;
    bool clip;
};

static const few_option table[] = {
    { "from", FEW_OPT_INT, offsetof(struct options, from), "16", 1, 64,
      "steps of the first student: the last one's times a power of 2", NULL },
    { "teacher_step", FEW_OPT_CHOICE, offsetof(struct options, teacher_step), "ddim", 0, 0,
      "how the first teacher makes its two steps", "ddim|addim" },
    { "weight", FEW_OPT_CHOICE, offsetof(struct options, weight), "trunc", 0, 0,
      "weight of a time: max(1, SNR); SNR + 1, the error of v; or one", "trunc|snr+1|one" },
    { "clip", FEW_OPT_BOOL, offsetof(struct options, clip), "true", 0, 0,
      "hold predictions in [-1, 1] when sampling", NULL },
    { .name = NULL },
};

static few_status describe(const void *options, few_spec *s, few_error *err)
{
    (void)err;
    s->clip = ((const struct options *)options)->clip;
    return FEW_OK;
}

enum {
    T,
    TEACHER_T = T + FEW_POINT,
    TEACHER_M = TEACHER_T + FEW_POINT,
    ALPHA_T = TEACHER_M + FEW_POINT,
    SIGMA_T,
    M_Z,
    M_X, /* z_m = M_Z z_t + M_X x_1 */
    W1,
    W2,
    MINUS, /* u = W1 x_1 + W2 x_2 - x_hat */
    E1_Z,
    E1_X,
    E1_XVAR,
    SIGMA_M, /* aDDIM's step to m, */
    E2_Z,
    E2_X,
    E2_XVAR,
    SIGMA_S,  /* and to s: (k - sigma) eps */
    CARRY_E1, /* what of them reaches the target */
    CARRY_E2,
    WEIGHT
};
static const char *const scalars[] = {
    FEW_POINT_NAMES("t"),
    FEW_POINT_NAMES("teacher_t"),
    FEW_POINT_NAMES("teacher_m"),
    "alpha_t",
    "sigma_t",
    "m_z",
    "m_x",
    "w1",
    "w2",
    "minus",
    "e1_z",
    "e1_x",
    "e1_xvar",
    "sigma_m",
    "e2_z",
    "e2_x",
    "e2_xvar",
    "sigma_s",
    "carry_e1",
    "carry_e2",
    "weight",
    NULL,
};

/* (k - sigma) eps_hat of an aDDIM step, eps_hat = scalar z z + scalar x x. */
static few_val added(few_method_ctx *c, few_val z, few_val x, int from)
{
    few_graph *g = c->g;
    const few_val *k = c->scalar + from; /* z, x, D^2 x_var, sigma */
    const few_val eps = few_method_mix(c, 2, (few_val[]){ z, x }, k);
    const few_val ms = few_affine(g, few_mean_square(g, eps), 1, 1e-20);
    const few_val root = few_sqrt(g, few_add(g, few_div(g, k[2], ms), few_mul(g, k[3], k[3])));
    const few_val by = few_add(g, root, few_affine(g, k[3], -1, 0));
    return few_method_mix(c, 1, &eps, &by);
}

static few_val build(few_method_ctx *c)
{
    const struct options *o = c->options;
    const few_val *k = c->scalar;
    few_graph *g = c->g;
    const bool addim = !strcmp(o->teacher_step, "addim");

    few_graph_label(g, "teacher");
    const few_val eps = few_method_noise(c);
    const few_val z_t =
        few_method_mix(c, 2, (few_val[]){ c->x, eps }, (few_val[]){ k[ALPHA_T], k[SIGMA_T] });
    const few_val x1 = few_method_predict_x(c, FEW_SET_TEACHER, z_t, TEACHER_T, c->label);
    few_val z_m = few_method_mix(c, 2, (few_val[]){ z_t, x1 }, &k[M_Z]), e1 = FEW_NONE;
    if (addim) {
        e1 = added(c, z_t, x1, E1_Z);
        z_m = few_add(g, z_m, e1);
    }
    const few_val x2 = few_method_predict_x(c, FEW_SET_TEACHER, z_m, TEACHER_M, c->label);
    few_val target = few_method_mix(c, 2, (few_val[]){ x1, x2 }, &k[W1]);
    if (addim) {
        const few_val e2 = added(c, z_m, x2, E2_Z);
        target = few_add(g, target, few_method_mix(c, 2, (few_val[]){ e1, e2 }, &k[CARRY_E1]));
    }
    target = few_stop_gradient(g, target);

    few_graph_label(g, "student");
    const few_val x_hat = few_method_predict_x(c, FEW_SET_LIVE, z_t, T, c->label);
    const few_val minus = few_method_mix(c, 1, &x_hat, &k[MINUS]);
    return few_mul(g, few_mean_square(g, few_add(g, target, minus)), k[WEIGHT]);
}

static int halvings(int from, int steps)
{
    int n = 0;
    while (steps << n < from)
        n++;
    return n;
}

/* Steps of training of each student, as parts of their sum, which is returned: those of 2 steps and
 * 1 have twice the others' (appendix B of the paper). */
static int shares(const few_method_ctx *c, int share[7])
{
    const struct options *o = c->options;
    int sum = 0;
    for (int k = 0; k <= halvings(o->from, c->student_steps); k++) {
        share[k] = o->from >> k <= 2 ? 2 : 1;
        sum += share[k];
    }
    return sum;
}

static few_phase phase(const few_method_ctx *c, int64_t step)
{
    const struct options *o = c->options;
    int share[7];
    shares(c, share);
    few_phase p = few_method_phase(step, c->steps, halvings(o->from, c->student_steps) + 1, share);
    p.student_steps = o->from >> p.index;
    return p;
}

static few_status check(const few_method_ctx *c, few_error *err)
{
    const struct options *o = c->options;
    const int steps = c->student_steps;
    if (steps < 1 || steps << halvings(o->from, steps) != o->from)
        return few_fail(err, FEW_ECONFIG,
                        "method.from (%d) must be the student's steps (%d) times a power of 2",
                        o->from, steps);
    int share[7];
    if (c->steps < shares(c, share))
        return few_fail(err, FEW_ECONFIG, "%d students need more than %lld steps of training",
                        halvings(o->from, steps) + 1, (long long)c->steps);
    return FEW_OK;
}

/* The step from a to b by x: eps_hat, D^2 x_var and sigma_b, as `added` wants them. */
static void fill_added(few_angle a, few_angle b, double D, double *v)
{
    v[0] = 1 / a.sigma;
    v[1] = -a.alpha / a.sigma;
    v[2] = D * D * few_x_var_analytic(a.alpha, a.sigma);
    v[3] = b.sigma;
}

static void draw(const few_method_ctx *c, int64_t step, int64_t index, double *v)
{
    const struct options *o = c->options;
    const few_schedule *sch = &c->spec->schedule;
    const few_phase is = phase(c, step);
    const int n = is.student_steps;
    const int i = (int)few_random_below(c->seed, FEW_RNG_TIME, (uint32_t)step, (uint32_t)index, 0,
                                        (uint32_t)n);
    const double t = (double)(i + 1) / n, t_m = (double)(2 * i + 1) / (2 * n), t_s = (double)i / n;
    const double phi_t = few_schedule_phi(sch, t), phi_m = few_schedule_phi(sch, t_m),
                 phi_s = few_schedule_phi(sch, t_s);
    const few_angle a = few_angle_of(phi_t), m = few_angle_of(phi_m), s = few_angle_of(phi_s);
    const few_ddim_coef first = few_ddim(phi_t, phi_m), second = few_ddim(phi_m, phi_s);
    const double D = second.D + second.r * first.D; /* of the whole step */
    const bool last = i == 0;

    few_method_point(c->spec, t, &v[T]);
    few_method_point(c->teacher, t, &v[TEACHER_T]);
    few_method_point(c->teacher, t_m, &v[TEACHER_M]);
    v[ALPHA_T] = a.alpha;
    v[SIGMA_T] = a.sigma;
    v[M_Z] = first.r;
    v[M_X] = first.D;
    v[W1] = last ? 0 : second.r * first.D / D;
    v[W2] = last ? 1 : second.D / D;
    v[MINUS] = -1;
    fill_added(a, m, first.D, &v[E1_Z]);
    fill_added(m, s, second.D, &v[E2_Z]);
    if (is.index >
        0) /* a student's steps end where they should: added again, noise would pile up */
        v[E1_XVAR] = v[E2_XVAR] = 0;
    v[CARRY_E1] = last ? 0 : second.r / D;
    v[CARRY_E2] = last ? 0 : 1 / D;
    v[WEIGHT] = few_loss_weight(o->weight, a.alpha, a.sigma);
}

const few_method few_method_pd = {
    .name = "pd",
    .help = "progressive distillation: students of half the steps, one after another",
    .paper = "arXiv:2202.00512",
    .options = table,
    .options_size = sizeof(struct options),
    .needs_teacher = true,
    .makes_student = true,
    .scalars = scalars,
    .check = check,
    .phase = phase,
    .describe = describe,
    .build = build,
    .draw = draw,
};

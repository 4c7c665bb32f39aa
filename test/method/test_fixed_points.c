/* The fixed points of the methods: where every step of the teacher is exact, a student
 * that is right has no loss. Data are N(mu, s0^2), so that what is right is known in closed form,
 * and the networks answer what the test says. With s0 = 0 there is one image. */
#include "method/rig.h"

#include "diffusion/gauss.h"
#include "diffusion/step.h"
#include "method/consistency.h"

enum { ROWS = 48, MAX_D = 32 };
static const double s_min = 0.002; /* the methods' default */

/* Evaluation k of the parameters `set` is the input "answer set k". */
static int asked[3];

static few_val answer(few_graph *g, int set, const void *config, few_val x, few_val time,
                      few_val label, few_val rng)
{
    char name[32];
    (void)config, (void)time, (void)label, (void)rng;
    snprintf(name, sizeof name, "answer %d %d", set, asked[set]++);
    return few_graph_input(g, name, FEW_F32, g->tensors[x].shape, false);
}
static const few_network answers = { .name = "answers", .build = answer };

/* A method's graph of such networks. */
typedef struct stage {
    few_config config;
    few_spec student, teacher;
    const few_network *network; /* what `answers` replaces */
    few_method_ctx ctx;
    few_graph g;
    double **value;
    double x[ROWS][MAX_D], eps[ROWS][MAX_D];
    int64_t step;
    int d;
} stage;

static void stage_open(stage *b, const char *method, int steps, int64_t at, int side,
                       const char *const *options)
{
    const few_net_shape shape = { side, side, side > 1 ? 2 : 1, 0 };
    few_error err = { 0 };
    memset(b, 0, sizeof *b);
    memset(asked, 0, sizeof asked);
    load_defaults(&b->config, method);
    tiny_mlp(&b->config);
    for (; *options; options += 2)
        set(&b->config, options[0], options[1]);
    if (few_config_spec(&b->config, &shape, &b->student, &err) != FEW_OK ||
        few_config_spec(&b->config, &shape, &b->teacher, &err) != FEW_OK)
        fail_msg("%s", err.text);
    const few_method *m = b->config.method;
    if (m->describe && m->describe(b->config.method_options, &b->student, &err) != FEW_OK)
        fail_msg("%s", err.text);
    b->network = b->student.network;
    b->student.network = b->teacher.network = &answers;
    b->student.steps = m->makes_student ? steps : 0;
    b->d = side * side * shape.c;
    b->step = at;
    few_graph_init(&b->g);
    b->ctx = (few_method_ctx){ .method = m,
                               .options = b->config.method_options,
                               .spec = &b->student,
                               .teacher = m->needs_teacher ? &b->teacher : NULL,
                               .student_steps = b->student.steps,
                               .slice = ROWS,
                               .batch = ROWS,
                               .steps = STEPS,
                               .seed = 0x123456789,
                               .g = &b->g };
    if (m->check && m->check(&b->ctx, &err) != FEW_OK)
        fail_msg("%s", err.text);
    few_method_build(&b->ctx, true, false);
    for (int i = 0; i < ROWS; i++)
        for (int j = 0; j < b->d; j += 4) {
            double n[4];
            few_philox_normal(
                (uint32_t[4]){ (uint32_t)j / 4, FEW_RNG_NOISE, (uint32_t)at, (uint32_t)i },
                (uint32_t[2]){ (uint32_t)b->ctx.seed, (uint32_t)(b->ctx.seed >> 32) }, n);
            memcpy(b->eps[i] + j, n, sizeof *n * (size_t)(b->d < 4 ? b->d : 4));
        }
}

/* After the graph is complete: its inputs but for the answers. */
static void stage_fill(stage *b)
{
    few_error err = { 0 };
    if (few_graph_status(&b->g, &err) != FEW_OK)
        fail_msg("%s", err.text);
    b->value = few_calloc((size_t)b->g.n_tensors, sizeof *b->value);
    give_draws(&b->ctx, &b->g, b->value, b->step);
    double *x = give(&b->g, b->value, "x");
    for (int i = 0; i < ROWS; i++)
        memcpy(x + i * b->d, b->x[i], (size_t)b->d * sizeof *x);
}

static void stage_run(stage *b)
{
    few_error err = { 0 };
    if (few_reference_run(&b->g, b->value, &err) != FEW_OK)
        fail_msg("%s", err.text);
}

static void stage_close(stage *b)
{
    for (int k = 0; k < b->g.n_tensors; k++)
        if (b->g.tensors[k].source == FEW_FROM_INPUT)
            few_free(b->value[k]);
    few_reference_free(&b->g, b->value);
    few_free(b->value);
    few_graph_clear(&b->g);
    b->student.network = b->teacher.network = b->network;
    few_spec_clear(&b->student);
    few_spec_clear(&b->teacher);
    few_config_clear(&b->config);
}

static double scalar(const stage *b, int i, const char *name)
{
    return drawn(&b->ctx, b->step, i, name);
}

static bool has(const stage *b, const char *key, const char *value)
{
    const few_option *o = few_option_find(b->ctx.method->options, key);
    few_strbuf text;
    few_strbuf_init(&text);
    if (o)
        few_option_print(o, b->ctx.options, &text);
    const bool same = o && !strcmp(text.s, value);
    few_strbuf_free(&text);
    return same;
}

/* ---- what is right, for one number ----------------------------------------------------------*/

/* What the networks of a method answer for sample i. Where nothing may depend on an answer it is
 * `any`. */
typedef struct answered {
    double student, self, teacher[2];
} answered;
static const double any = 9;

/* The output that the evaluation at `point` makes x_hat of. */
static double output(const stage *b, int i, const char *point, double z, double x_hat)
{
    char z_name[32], out_name[32];
    snprintf(z_name, sizeof z_name, "from_z_%s", point);
    snprintf(out_name, sizeof out_name, "from_out_%s", point);
    const double out = scalar(b, i, out_name);
    return fabs(out) < 1e-15 ? any : (x_hat - scalar(b, i, z_name) * z) / out;
}

/* z_t to z_s is exact: the teacher's prediction by which DDIM makes this step. */
static double step_exact(double phi_t, double phi_s, double z_s, double z_t)
{
    return few_inv_ddim(few_ddim(phi_t, phi_s), z_s, z_t);
}

/* The flow in EDM's terms, at noise level a, to b. */
static double flow(const few_gauss *g, double a, double b, double x)
{
    return g->mu + (x - g->mu) * sqrt((g->s0 * g->s0 + b * b) / (g->s0 * g->s0 + a * a));
}

/* Consistency models: the exact one is the flow to sigma_min (ect: to 0). */
static answered of_levels(const stage *b, int i, const few_gauss *g)
{
    const double t = scalar(b, i, "sigma_t") / scalar(b, i, "alpha_t"),
                 r = scalar(b, i, "sigma_r") / scalar(b, i, "alpha_r");
    const double end = strcmp(b->ctx.method->name, "ect") ? s_min : 0;
    const double x_t = b->x[i][0] + t * b->eps[i][0], x_r = flow(g, t, r, x_t);
    const double z_t = x_t * scalar(b, i, "alpha_t"), z_r = x_r * scalar(b, i, "alpha_r");
    answered a = { .student = output(b, i, "t", z_t, flow(g, t, end, x_t)), .self = any };
    if (r > 0)
        a.self = output(b, i, "r", z_r, flow(g, r, end, x_r));
    if (!b->ctx.teacher)
        return a;
    /* x_r = x_t + (r - t) d, d = (x_t - D)/t, or the mean of this and of that at x'. */
    double d = (x_r - x_t) / (r - t);
    if (has(b, "teacher_step", "heun")) {
        const double first = (x_t - few_gauss_denoise(g, atan(t), z_t)) / t;
        const double next = x_t + (r - t) * first, second = 2 * d - first;
        a.teacher[1] = output(b, i, "teacher_r", next * scalar(b, i, "alpha_r"), next - r * second);
        d = first;
    }
    a.teacher[0] = output(b, i, "teacher_t", z_t, x_t - t * d);
    return a;
}

static double angle(const stage *b, double t)
{
    return few_schedule_phi(&b->student.schedule, t);
}

static double time_at(const stage *b, int i, const char *name)
{
    return (scalar(b, i, name) + 1) / b->student.time_scale;
}

static int steps_now(const stage *b)
{
    return b->ctx.method->phase ? b->ctx.method->phase(&b->ctx, b->step).student_steps
                                : b->ctx.student_steps;
}

/* Multistep consistency: the exact student is the exact function of its segment. */
static answered of_segments(const stage *b, int i, const few_gauss *g)
{
    const int S = steps_now(b);
    const double t = time_at(b, i, "time_t"), s = time_at(b, i, "time_s"),
                 ts = floor(s * S + 1e-9) / S;
    const double phi_t = angle(b, t), phi_s = angle(b, s), phi_ts = angle(b, ts);
    const double z_t =
                     scalar(b, i, "alpha_t") * b->x[i][0] + scalar(b, i, "sigma_t") * b->eps[i][0],
                 z_s = few_gauss_flow(g, phi_t, phi_s, z_t);
    answered a = { .student = output(b, i, "t", z_t, few_gauss_consistency(g, phi_t, phi_ts, z_t)),
                   .self = any };
    if (s - ts > 1e-9)
        a.self = output(b, i, "s", z_s, few_gauss_consistency(g, phi_s, phi_ts, z_s));
    if (!b->ctx.teacher)
        return a;
    const double x_T = step_exact(phi_t, phi_s, z_s, z_t);
    a.teacher[0] = output(b, i, "teacher_t", z_t, x_T);
    if (has(b, "teacher_step",
            "midpoint")) { /* to the middle by the denoiser, on by what is exact */
        const double x = few_gauss_denoise(g, phi_t, z_t), t_m = time_at(b, i, "time_teacher_m");
        const few_ddim_coef half = few_ddim(phi_t, angle(b, t_m));
        a.teacher[0] = output(b, i, "teacher_t", z_t, x);
        a.teacher[1] = output(b, i, "teacher_m", half.D * x + half.r * z_t, x_T);
    }
    return a;
}

/* Progressive distillation: the student's step is both of the teacher's; its last prediction is the
 * teacher's last. */
static answered of_halves(const stage *b, int i, const few_gauss *g)
{
    const double t = time_at(b, i, "time_t"), m = t - 0.5 / steps_now(b),
                 s = t - 1.0 / steps_now(b);
    const bool last = s < 1e-9;
    const double phi_t = angle(b, t), phi_m = angle(b, m), phi_s = angle(b, last ? 0 : s);
    const double z_t =
                     scalar(b, i, "alpha_t") * b->x[i][0] + scalar(b, i, "sigma_t") * b->eps[i][0],
                 z_m = few_gauss_flow(g, phi_t, phi_m, z_t),
                 z_s = few_gauss_flow(g, phi_t, phi_s, z_t);
    const double x2 = step_exact(phi_m, phi_s, z_s, z_m);
    return (answered){
        .teacher = { output(b, i, "teacher_t", z_t, step_exact(phi_t, phi_m, z_m, z_t)),
                     output(b, i, "teacher_m", z_m, x2) },
        .student = output(b, i, "t", z_t, last ? x2 : few_gauss_consistency(g, phi_t, phi_s, z_t)),
    };
}

static void copy_in(stage *b, int set, int k, const double *from, size_t stride)
{
    char name[32];
    snprintf(name, sizeof name, "answer %d %d", set, k);
    double *to = give(&b->g, b->value, name);
    for (int i = 0; i < ROWS; i++)
        to[i] = from[(size_t)i * stride];
}

/* The greatest loss (wrong = 0), or the least when the student's outputs are wrong by this. */
static double worst_loss(const char *method, int steps, int64_t at, few_gauss g, double wrong,
                         const char *const *options)
{
    answered (*const right)(const stage *, int, const few_gauss *) =
        !strcmp(method, "pd")                                   ? of_halves
        : !strncmp(method, "mc", 2) || !strcmp(method, "tract") ? of_segments
                                                                : of_levels;
    stage b;
    answered a[ROWS];
    double worst = wrong != 0 ? INFINITY : 0;
    stage_open(&b, method, steps, at, 1, options);
    for (int i = 0; i < ROWS; i++)
        b.x[i][0] = g.mu + g.s0 * 1.5 * sin(1 + 2.7 * i);
    stage_fill(&b);
    for (int i = 0; i < ROWS; i++) {
        a[i] = right(&b, i, &g);
        a[i].student += wrong;
    }
    const size_t stride = sizeof *a / sizeof(double);
    for (int k = 0; k < asked[FEW_SET_TEACHER]; k++)
        copy_in(&b, FEW_SET_TEACHER, k, &a[0].teacher[k], stride);
    if (asked[FEW_SET_TARGET])
        copy_in(&b, FEW_SET_TARGET, 0, &a[0].self, stride);
    if (asked[FEW_SET_LIVE] > 1) /* the target first */
        copy_in(&b, FEW_SET_LIVE, 0, &a[0].self, stride);
    copy_in(&b, FEW_SET_LIVE, asked[FEW_SET_LIVE] - 1, &a[0].student, stride);
    stage_run(&b);
    const double *loss = b.value[loss_of(&b.g)];
    for (int i = 0; i < ROWS; i++)
        worst = wrong != 0 ? fmin(worst, loss[i]) : fmax(worst, loss[i]);
    stage_close(&b);
    return worst;
}

static void right_students_have_no_loss(void **state)
{
    (void)state;
    static const struct {
        const char *method;
        int steps;
        bool one_image; /* exact for one image only */
        const char *options[9];
    } cases[] = {
        { "cd", 1, false, { NULL } },
        { "cd", 1, false, { "method.teacher_step", "euler", "method.distance", "rms" } },
        { "cd", 1, false, { "model.prediction", "edm", "method.levels", "7" } },
        { "ct", 1, true, { NULL } },
        { "ict", 1, true, { NULL } },
        { "ect", 1, true, { NULL } },
        { "ect", 1, true, { "model.prediction", "x", "method.stages", "2" } },
        { "tract", 2, false, { "method.phases", "32,8", "method.clip", "false" } },
        { "tract", 1, false, { "method.phases", "8", "method.clip", "false" } },
        { "tract",
          4,
          false,
          { "method.phases", "8", "method.clip", "false", "method.teacher_step", "midpoint",
            "model.prediction", "x" } },
        { "tract", 2, true, { "method.phases", "32,8" } },
        { "pd", 2, false, { NULL } },
        { "pd", 1, false, { "model.prediction", "x", "method.from", "4" } },
        { "mcd", 4, false, { "method.teacher_step", "ddim" } },
        { "mcd", 1, false, { "method.teacher_step", "midpoint", "method.weight", "trunc" } },
        { "mcd", 2, true, { "model.prediction", "x" } },
        { "mct", 4, true, { NULL } },
    };
    for (int m = 0; m < few_n_methods; m++) { /* of dsno, which sees trajectories: nn/dfno */
        bool is = !few_methods[m]->makes_student || few_methods[m]->data_channels;
        for (size_t k = 0; k < FEW_COUNT(cases); k++)
            is |= !strcmp(cases[k].method, few_methods[m]->name);
        if (!is)
            fail_msg("'%s' has no fixed point here", few_methods[m]->name);
    }
    for (size_t k = 0; k < FEW_COUNT(cases); k++)
        for (int64_t at = 3; at < STEPS; at += 20)
            for (int one = cases[k].one_image; one < 2; one++) {
                const few_gauss g = { 0.2, one ? 0 : 0.5 };
                const double right = worst_loss(cases[k].method, cases[k].steps, at, g, 0,
                                                cases[k].options),
                             wrong = worst_loss(cases[k].method, cases[k].steps, at, g, 0.1,
                                                cases[k].options);
                if (!(right < 1e-12 && wrong > 1e4 * right && wrong > 0))
                    fail_msg("case %zu, %s: loss %g of the right student, %g of a wrong one", k,
                             cases[k].method, right, wrong);
            }
}

/* ---- consistency distillation ---------------------------------------------------------------*/

/* From the largest level to the least by the scalars that the graph steps with, from x = 60. */
static double by_steps(const few_method_ctx *c, int n, bool heun)
{
    static const few_gauss g = { 0.2, 0.5 };
    const few_cm_options *o = c->options;
    double v[FEW_MAX_SCALARS], x = 60;
    int at = 0; /* of euler_z; three more of Heun's follow two of Euler's */
    while (strcmp(few_cm_scalars[at], "euler_z"))
        at++;
    for (int i = n - 1; i > 0; i--) {
        const double t = few_cm_level(o, i, n), r = few_cm_level(o, i - 1, n);
        few_cm_fill(c, t, r, 1, v);
        const double *k = v + at, z = x * cos(atan(t)), d = few_gauss_denoise(&g, atan(t), z);
        double next = k[0] * z + k[1] * d;
        if (heun)
            next = k[2] * z + k[3] * d + k[4] * next + k[5] * few_gauss_denoise(&g, atan(r), next);
        x = next / cos(atan(r));
    }
    return x;
}

static void teachers_steps_follow_the_flow(void **state)
{
    (void)state;
    static const few_gauss g = { 0.2, 0.5 };
    stage b;
    stage_open(&b, "cd", 1, 0, 1, LIST(NULL));
    stage_fill(&b);
    const double exact = flow(&g, 80, s_min, 60);
    for (int order = 1; order <= 2; order++) {
        double before = fabs(by_steps(&b.ctx, 65, order == 2) - exact);
        for (int n = 129; n < 1000; n = 2 * n - 1) {
            const double error = fabs(by_steps(&b.ctx, n, order == 2) - exact);
            if (!(fabs(log2(before / error) - order) < 0.1))
                fail_msg("%d levels: order %g, not %d", n, log2(before / error), order);
            before = error;
        }
    }
    stage_close(&b);
}

/* ---- improved consistency training ----------------------------------------------------------*/

/* |d loss / d x_hat| is the weight times |u| / sqrt(|u|^2 + c^2): at most 1, however far off. */
static void gradients_of_ict_are_bounded(void **state)
{
    (void)state;
    static const double off[] = { 1e-6, 1e-3, 1e-2, 1, 1e3 };
    const double c = 0.00054 * sqrt(32);
    for (size_t e = 0; e < FEW_COUNT(off); e++) {
        stage b;
        few_val out = FEW_NONE, grad;
        stage_open(&b, "ict", 1, 20, 4, LIST(NULL));
        for (int k = 0; k < b.g.n_tensors; k++)
            if (b.g.tensors[k].name && !strcmp(b.g.tensors[k].name, "answer 0 1"))
                out = k;
        few_graph_backward(&b.g, loss_of(&b.g), &out, 1, &grad);
        assert_int_not_equal(grad, FEW_NONE);
        for (int i = 0; i < ROWS; i++)
            for (int j = 0; j < 32; j++)
                b.x[i][j] = sin(i + 0.4 * j);
        stage_fill(&b);
        double *f_r = give(&b.g, b.value, "answer 0 0"), *f_t = give(&b.g, b.value, "answer 0 1"),
               square[ROWS] = { 0 };
        for (int i = 0; i < ROWS; i++)
            for (int j = 0; j < 32; j++) { /* x_hat is off[e] times a sine from the target */
                const double z_r = scalar(&b, i, "alpha_r") * b.x[i][j] +
                                   scalar(&b, i, "sigma_r") * b.eps[i][j],
                             z_t = scalar(&b, i, "alpha_t") * b.x[i][j] +
                                   scalar(&b, i, "sigma_t") * b.eps[i][j];
                const double u = off[e] * sin(3 * i + j);
                f_r[32 * i + j] = cos(i * j);
                const double target =
                    scalar(&b, i, "from_z_r") * z_r + scalar(&b, i, "from_out_r") * f_r[32 * i + j];
                f_t[32 * i + j] = output(&b, i, "t", z_t, target - u);
                square[i] += u * u;
            }
        stage_run(&b);
        for (int i = 0; i < ROWS; i++) {
            double norm = 0;
            for (int j = 0; j < 32; j++)
                norm += pow(b.value[grad][32 * i + j], 2);
            norm = sqrt(norm) / scalar(&b, i, "weight") / fabs(scalar(&b, i, "from_out_t"));
            assert_true(norm <= 1 + 1e-12);
            assert_true(fabs(norm - sqrt(square[i] / (square[i] + c * c))) < 1e-6);
        }
        stage_close(&b);
    }
}

/* ---- EDM ------------------------------------------------------------------------------------*/

/* Of N(0, sigma_data^2) the best F is 0 at every level, and it gives the exact denoiser; ln of the
 * level is N(-1.2, 1.2^2). */
static void edm_of_normal_data_is_zero(void **state)
{
    (void)state;
    static const few_gauss g = { 0, 0.5 };
    enum { DRAWS = 20000 };
    double sum = 0, square = 0;
    stage b;
    stage_open(&b, "diffusion", 0, 5, 1,
               LIST("model.prediction", "edm", "model.sigma_data", "0.5", "method.times",
                    "log_normal", "schedule.name", "linear"));
    stage_fill(&b);
    for (int i = 0; i < DRAWS; i++) {
        const double alpha = scalar(&b, i, "alpha_t"), sigma = scalar(&b, i, "sigma_t"), z = 0.8;
        /* E[(target_x x + target_eps eps) z] is what a linear F would follow. */
        const double with_z =
            scalar(&b, i, "target_x") * alpha * 0.25 + scalar(&b, i, "target_eps") * sigma;
        assert_true(fabs(with_z) < 1e-14);
        assert_true(fabs(scalar(&b, i, "from_z_t") * z -
                         few_gauss_denoise(&g, atan2(sigma, alpha), z)) < 1e-12);
        sum += log(sigma / alpha);
        square += pow(log(sigma / alpha) + 1.2, 2);
    }
    assert_true(fabs(sum / DRAWS + 1.2) < 5 * 1.2 / sqrt(DRAWS));
    assert_true(fabs(square / DRAWS - 1.44) < 5 * 1.44 * sqrt(2.0 / DRAWS));
    stage_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(right_students_have_no_loss),
        cmocka_unit_test(teachers_steps_follow_the_flow),
        cmocka_unit_test(gradients_of_ict_are_bounded),
        cmocka_unit_test(edm_of_normal_data_is_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

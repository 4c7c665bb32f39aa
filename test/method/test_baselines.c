/* Progressive distillation, TRACT and operator learning against their papers as printed: losses of
 * every option, gradients, and figures on Gaussian data. */
#include "method/papers.h"

#include "diffusion/step.h"
#include "nn/dfno.h"

/* ---- progressive distillation ---------------------------------------------------------------*/

/* DDIM, or aDDIM with the analytic variance, as printed. */
static void pd_step(const few_spec *s, bool addim, const double *x, const double *z, double t,
                    double to, double *out)
{
    double a, sig, b, sig_b, eps[D];
    oracle_path(s, t, &a, &sig);
    oracle_path(s, to, &b, &sig_b);
    for (int j = 0; j < D; j++)
        eps[j] = (z[j] - a * x[j]) / sig;
    const double d = b - a * sig_b / sig, x_var = addim ? 0.1 / (2 + a * a / (sig * sig)) : 0;
    const double k = sqrt(sig_b * sig_b + d * d * x_var / oracle_mean_square(eps, D));
    for (int j = 0; j < D; j++)
        out[j] = b * x[j] + k * eps[j];
}

static double pd_loss(rig *r, int i)
{
    const few_spec *s = &r->student.spec;
    const few_phase p = r->ctx.method->phase(&r->ctx, r->step);
    const int n = p.student_steps,
              at = (int)few_random_below(r->ctx.seed, FEW_RNG_TIME, (uint32_t)r->step, (uint32_t)i,
                                         0, (uint32_t)n);
    const double t = (at + 1.0) / n, m = t - 0.5 / n, to = t - 1.0 / n;
    const bool addim = !strcmp(setting(r, "teacher_step"), "addim") && p.index == 0;
    double a, sig, b, sig_b, eps[D], z[D], x1[D], x2[D], z_m[D], z_s[D], x_hat[D], u[D];
    oracle_path(s, t, &a, &sig);
    oracle_path(s, at ? to : 0, &b, &sig_b);
    noise_of(r, i, eps);
    for (int j = 0; j < D; j++)
        z[j] = a * r->x[i][j] + sig * eps[j];
    oracle_x(&r->frozen, z, t, r->label[i], NULL, x1);
    pd_step(s, addim, x1, z, t, m, z_m);
    oracle_x(&r->frozen, z_m, m, r->label[i], NULL, x2);
    pd_step(s, addim, x2, z_m, m, at ? to : 0, z_s);
    oracle_x(&r->hat, z, t, r->label[i], key_of(r, i), x_hat);
    for (int j = 0; j < D; j++)
        u[j] = (at ? (z_s[j] - sig_b / sig * z[j]) / (b - a * sig_b / sig) : x2[j]) - x_hat[j];
    return oracle_mean_square(u, D) * snr_weight(setting(r, "weight"), a, sig);
}

static void pd_is_algorithm_2(void **state)
{
    (void)state;
    static const struct {
        int steps;
        const char *options[9];
    } cases[] = {
        { 1, { NULL } },
        { 4, { "model.dropout", "0.2" } },
        { 1, { "method.from", "1" } },
        { 8, { "method.from", "64", "method.weight", "snr+1" } },
        { 2, { "method.teacher_step", "addim", "method.weight", "one" } },
        { 2,
          { "method.teacher_step", "addim", "model.prediction", "x", "teacher.prediction",
            "eps" } },
    };
    for (size_t k = 0; k < FEW_COUNT(cases); k++)
        for (int64_t at = 0; at < STEPS; at += 9) {
            rig r;
            rig_open(&r, "pd", cases[k].steps, at, cases[k].options);
            rig_run(&r);
            losses_agree(&r, pd_loss);
            if (at == 9 && k % 4 == 0)
                rig_check_gradients(&r, pd_loss);
            rig_close(&r);
        }
}

/* Students of 2 steps and 1 are trained twice as long as each of the others, and every step is one
 * student's. */
static void pd_trains_the_last_longest(void **state)
{
    (void)state;
    rig r;
    int trained[17] = { 0 }, before = 16;
    rig_open(&r, "pd", 1, 0, LIST("method.from", "16"));
    for (int64_t at = 0; at < STEPS; at++) {
        const few_phase p = r.ctx.method->phase(&r.ctx, at);
        assert_true(p.n == 5 && p.begin <= at && at < p.end);
        assert_int_equal(p.student_steps, 16 >> p.index);
        assert_true(p.student_steps == before || (2 * p.student_steps == before && at == p.begin));
        trained[before = p.student_steps]++;
    }
    for (int n = 16; n >= 1; n /= 2)
        assert_true(fabs(trained[n] - STEPS * (n <= 2 ? 2 : 1) / 7.0) <= 1);
    rig_close(&r);
}

/* Gaussian data with mean 0.2 and deviation 0.5: E[x | z] is known. */
static double gauss_x(double z, double a, double s)
{
    return (0.25 * a * z + s * s * 0.2) / (a * a * 0.25 + s * s);
}

static void pd_of_gaussian_data(void **state)
{
    (void)state;
    rig r;
    rig_open(&r, "pd", 4, 0,
             LIST("method.from", "4", "schedule.logsnr_min", "-20", "schedule.logsnr_max", "20"));
    int i = 0;
    while (fabs(scalar_at(&r, 0, i, "time_t") - (1024 * 0.5 - 1)) > tol)
        i++;
    const double a = scalar_at(&r, 0, i, "alpha_t"), s = scalar_at(&r, 0, i, "sigma_t"), z = -0.8;
    const double x1 = gauss_x(z, a, s),
                 z_m = scalar_at(&r, 0, i, "m_z") * z + scalar_at(&r, 0, i, "m_x") * x1;
    assert_true(fabs(z_m + 0.646850602616) < tol);
    double am, sm;
    oracle_path(&r.student.spec, 0.375, &am, &sm);
    const double x2 = gauss_x(z_m, am, sm);
    const double target = scalar_at(&r, 0, i, "w1") * x1 + scalar_at(&r, 0, i, "w2") * x2;
    assert_true(fabs(target + 0.121270961507) < tol);
    /* A teacher that knows one image teaches that image, whatever the time. */
    for (i = 0; i < 40; i++)
        assert_true(fabs(scalar_at(&r, 0, i, "w1") + scalar_at(&r, 0, i, "w2") - 1) < tol);
    rig_close(&r);
}

/* ---- TRACT ----------------------------------------------------------------------------------*/

static void clip(rig *r, double x[D])
{
    for (int j = 0; j < D && !strcmp(setting(r, "clip"), "true"); j++)
        x[j] = fmin(1, fmax(-1, x[j]));
}

static double tract_loss(rig *r, int i)
{
    const few_spec *s = &r->student.spec;
    const few_phase p = r->ctx.method->phase(&r->ctx, r->step);
    const int T = r->step < STEPS / 2 ? 32 : 8, to = p.student_steps; /* of phases 32, 8 */
    const int n_seg = T / to;
    const uint32_t at = (uint32_t)r->step, b = (uint32_t)i;
    const int seg = (int)few_random_below(r->ctx.seed, FEW_RNG_TIME, at, b, 0, (uint32_t)to),
              rel = (int)few_random_below(r->ctx.seed, FEW_RNG_TIME, at, b, 1, (uint32_t)n_seg);
    const double t0 = (double)(seg * n_seg + rel + 1) / T, t1 = (double)(seg * n_seg + rel) / T,
                 t2 = (double)seg / to;
    double a0, s0, a1, s1, a2, s2, eps[D], z0[D], z1[D], z2[D], x[D], x_hat[D], u[D];
    oracle_path(s, t0, &a0, &s0);
    oracle_path(s, t1, &a1, &s1);
    oracle_path(s, t2, &a2, &s2);
    noise_of(r, i, eps);
    for (int j = 0; j < D; j++)
        z0[j] = a0 * r->x[i][j] + s0 * eps[j];
    oracle_x(&r->frozen, z0, t0, r->label[i], NULL, x);
    clip(r, x);
    for (int j = 0; j < D; j++)
        z1[j] = a1 * x[j] + s1 * (z0[j] - a0 * x[j]) / s0;
    memcpy(z2, z1, sizeof z2);
    if (rel > 0) {
        oracle_x(&r->target, z1, t1, r->label[i], key_of(r, i), x);
        clip(r, x);
        for (int j = 0; j < D; j++)
            z2[j] = a2 * x[j] + s2 * (z1[j] - a1 * x[j]) / s1;
    }
    oracle_x(&r->hat, z0, t0, r->label[i], key_of(r, i), x_hat);
    for (int j = 0; j < D; j++)
        u[j] = (z2[j] - s2 / s0 * z0[j]) / (a2 - a0 * s2 / s0) - x_hat[j];
    return distance(setting(r, "distance"), u, 0.1) * snr_weight(setting(r, "weight"), a0, s0);
}

static void tract_is_its_papers(void **state)
{
    (void)state;
    static const char *const cases[][9] = {
        { "method.phases", "32,8", "model.dropout", "0.2" },
        { "method.phases", "32,8", "method.weight", "snr+1", "method.distance", "rms",
          "method.huber", "0.1" },
        { "method.phases", "32,8", "method.weight", "one", "teacher.prediction", "x" },
        { "method.phases", "32,8", "method.clip", "false" },
    };
    for (size_t k = 0; k < FEW_COUNT(cases); k++)
        for (int64_t at = 3; at < STEPS; at += 12) {
            rig r;
            rig_open(&r, "tract", k == 2 ? 1 : 2, at, cases[k]);
            assert_int_equal(r.ctx.method->phase(&r.ctx, at).student_steps, at < STEPS / 2 ? 8
                                                                            : k == 2       ? 1
                                                                                           : 2);
            rig_run(&r);
            losses_agree(&r, tract_loss);
            if (at == 15 && k == 0)
                rig_check_gradients(&r, tract_loss);
            rig_close(&r);
        }
}

/* T = 8, R = 4, from 7 over 6 to 4. */
static void tract_of_gaussian_data(void **state)
{
    (void)state;
    rig r;
    rig_open(&r, "tract", 2, 0,
             LIST("method.phases", "8", "schedule.logsnr_min", "-20", "schedule.logsnr_max", "20"));
    int i = 0;
    while (fabs(scalar_at(&r, 0, i, "time_t") - (1024 * 7 / 8.0 - 1)) > tol)
        i++;
    const double a = scalar_at(&r, 0, i, "alpha_t"), s = scalar_at(&r, 0, i, "sigma_t"), z = -0.8;
    const double x = gauss_x(z, a, s), as = scalar_at(&r, 0, i, "alpha_s"),
                 ss = sqrt(scalar_at(&r, 0, i, "sigma_s2"));
    const double z1 = as * x + ss * (z - a * x) / s;
    assert_true(fabs(z1 + 0.722181116448) < tol);
    /* v_norm is not asked for: the weights of the target are u's. */
    const double target =
        scalar_at(&r, 0, i, "u_teacher") * x + scalar_at(&r, 0, i, "u_self") * gauss_x(z1, as, ss);
    assert_true(fabs(target - 0.125900724637) < tol);
    rig_close(&r);
    /* Of one image the target is that image, in both phases. */
    rig_open(&r, "tract", 2, 0, LIST("method.phases", "32,8"));
    for (i = 0; i < 200; i++)
        assert_true(fabs(scalar_at(&r, i % STEPS, i, "u_teacher") +
                         scalar_at(&r, i % STEPS, i, "u_self") - 1) < tol);
    rig_close(&r);
}

/* ---- operator learning ----------------------------------------------------------------------*/

/* All states of the student for sample i, by a graph of its own with r->hat's weights. */
static void student_path(rig *r, int i, double out[FEW_MAX_TIMES][D])
{
    const few_dfno_config *c = r->student.spec.config;
    few_error err = { 0 };
    few_graph g;
    double label = r->label[i];
    few_graph_init(&g);
    few_graph_use_set(&g, 0, &r->student.params);
    const few_val z = few_graph_input(&g, "z", FEW_F32, FEW_SHAPE(1, 4, 4, 2), false);
    const few_val y = few_graph_input(&g, "label", FEW_I32, FEW_SHAPE(1), false);
    const few_val key = few_graph_input(&g, "rng", FEW_I32, FEW_SHAPE(1, 4), false);
    const few_stack states = few_dfno_build(&g, 0, c, z, y, key);
    double **value = few_calloc((size_t)g.n_tensors, sizeof *value);
    for (int k = 0; k < g.n_tensors; k++)
        if (g.tensors[k].source == FEW_FROM_PARAM)
            value[k] = r->hat.param + r->student.params.v[g.tensors[k].param].offset;
    value[z] = few_malloc(sizeof(double) * D);
    for (int p = 0; p < 16; p++) /* the noise: the first channels */
        memcpy(value[z] + 2 * p, r->x[i] + 2 * p * (c->states + 1), 2 * sizeof(double));
    value[y] = &label;
    value[key] = (double *)key_of(r, i);
    if (few_graph_status(&g, &err) != FEW_OK || few_reference_run(&g, value, &err) != FEW_OK)
        fail_msg("%s", err.text);
    for (int k = 0; k < c->states; k++)
        memcpy(out[k], value[states.v[k]], sizeof out[k]);
    few_free(value[z]);
    few_reference_free(&g, value);
    few_free(value);
    few_graph_clear(&g);
}

/* Mean |out_k - z_k| at t = 1 - k/M, by clamp(sqrt(SNR), 1, 1e4); sqrt(u^2 + 1e-8) - 1e-4 for |u|,
 * which is never farther off than 1e-4. */
static double dsno_loss(rig *r, int i)
{
    const few_dfno_config *c = r->student.spec.config;
    const int M = c->states;
    double out[FEW_MAX_TIMES][D], sum = 0, weights = 0, plain = 0;
    student_path(r, i, out);
    for (int k = 1; k <= M; k++) {
        double a, s;
        oracle_path(&r->student.spec, 1 - (double)k / M, &a, &s);
        const double w = fmin(1e4, fmax(1, a / s));
        weights += w;
        for (int j = 0; j < D; j++) {
            const double u = out[k - 1][j] - r->x[i][j / 2 * 2 * (M + 1) + 2 * k + j % 2];
            sum += w * (sqrt(u * u + 1e-8) - 1e-4) / D;
            plain += w * fabs(u) / D;
        }
    }
    assert_true(plain > sum && plain < sum + 1e-4 * weights);
    return sum / weights;
}

static void dsno_is_its_paper(void **state)
{
    (void)state;
    static const char *const cases[][7] = {
        { "model.dropout", "0.2" },
        { "method.states", "3", "schedule.logsnr_max", "20" }, /* above the clamp at t = 0 */
        { "method.states", "2", "method.modes", "1", "schedule.logsnr_max", "4" },
        { "method.states", "1", "method.modes", "1" },
    };
    for (size_t k = 0; k < FEW_COUNT(cases); k++) {
        rig r;
        rig_open(&r, "dsno", 1, 7, cases[k]);
        rig_run(&r);
        losses_agree(&r, dsno_loss);
        if (k == 1 || k == 2)
            rig_check_gradients(&r, dsno_loss);
        rig_close(&r);
    }
}

/* One state and nothing exchanged: the teacher's U-Net, at t = 0, learns the image from noise. */
static void one_state_is_knowledge_distillation(void **state)
{
    (void)state;
    rig r;
    rig_open(&r, "dsno", 1, 7, LIST("method.states", "1", "method.modes", "1"));
    for (int k = 0; k < r.student.params.n; k++) {
        const few_param *p = &r.student.params.v[k];
        const int at = few_params_find(&r.teacher.params, p->name);
        assert_int_equal(at < 0, strstr(p->name, ".mode.") != NULL);
        for (int64_t e = 0; e < p->count; e++)
            r.hat.param[p->offset + e] =
                at < 0 ? 0 : r.frozen.param[r.teacher.params.v[at].offset + e];
    }
    rig_run(&r);
    for (int i = 0; i < N; i++) {
        double z[D], sum = 0;
        for (int j = 0; j < D; j++)
            z[j] = r.x[i][j / 2 * 4 + j % 2];
        const double *out = oracle_out(&r.frozen, z, 1, 0, r.label[i], NULL);
        for (int j = 0; j < D; j++)
            sum += fabs(out[j] - r.x[i][j / 2 * 4 + 2 + j % 2]) / D;
        assert_true(sum > 0.1 && fabs(r.value[r.loss][i] - sum) < 1e-4);
    }
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pd_is_algorithm_2),
        cmocka_unit_test(pd_trains_the_last_longest),
        cmocka_unit_test(pd_of_gaussian_data),
        cmocka_unit_test(tract_is_its_papers),
        cmocka_unit_test(tract_of_gaussian_data),
        cmocka_unit_test(dsno_is_its_paper),
        cmocka_unit_test(one_state_is_knowledge_distillation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

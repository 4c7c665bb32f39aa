/* Training graphs against Algorithm 1 as printed (oracle.h): losses of every option, and gradients
 * against finite differences with the target held still. */
#include "method/rig.h"

#include "method/multistep_consistency.h"

/* What the options of the rig ask the oracle for. */
static oracle_case oracle_of(rig *r, int i)
{
    static const few_mc_options none;
    const few_mc_options *o = r->config.method_options ? r->config.method_options : &none;
    const bool distil = r->ctx.teacher != NULL;
    /* N(i) = exp(log n0 + clip(i / I) (log n1 - log n0)), I half of the run by default. */
    double n = o->teacher_to;
    if (!strcmp(o->curriculum, "annealed"))
        n = exp(log(o->teacher_from) + fmin(1, (double)r->step / (o->anneal * STEPS)) *
                                           (log(o->teacher_to) - log(o->teacher_from)));
    return (oracle_case){ .hat = &r->hat,
                          .self = &r->self,
                          .teacher = distil ? &r->frozen : NULL,
                          .S = r->config.student.steps,
                          .n_teacher = n,
                          .seed = r->ctx.seed,
                          .step = (uint32_t)r->step,
                          .index = (uint32_t)i,
                          .label = r->label[i],
                          .null_label = 3,
                          .x = r->x[i],
                          .midpoint = distil && !strcmp(o->teacher_step, "midpoint"),
                          .addim = distil && !strcmp(o->teacher_step, "addim"),
                          .measured = distil && !strcmp(o->x_var, "measured"),
                          .bare_last = distil && !strcmp(o->last, "x_hat"),
                          .eta = o->eta,
                          .guidance = distil ? o->guidance : 0,
                          .huber = o->huber,
                          .distance = o->distance,
                          .weight = o->weight };
}

/* Losses agree; returns how many samples sat at the start of their segment. */
static int compare_losses(rig *r)
{
    int starts = 0;
    for (int i = 0; i < N; i++) {
        oracle_case c = oracle_of(r, i);
        const double want = oracle_mc(&c), have = r->value[r->loss][i];
        /* The printed chain divides by D >= 1e-3 what it has subtracted: 1e-16 / 1e-3, and more
         * where sigma is small. */
        if (!(fabs(have - want) <= 1e-8 * (1e-2 + fabs(want))))
            fail_msg("S %d step %lld sample %d (t = %g): loss %.12g, Algorithm 1 says %.12g",
                     r->config.student.steps, (long long)r->step, i, c.t, have, want);
        starts += c.n_rel == 1;
    }
    return starts;
}

static double by_hand(rig *r, int i)
{
    oracle_case c = oracle_of(r, i);
    return oracle_mc(&c);
}

static void losses_are_algorithm_1(void **state)
{
    (void)state;
    static const int steps[] = { 1, 2, 3, 4, 8, 64 };
    int starts = 0;
    for (size_t m = 0; m < 2; m++)
        for (size_t k = 0; k < FEW_COUNT(steps); k++)
            for (int64_t at = 0; at < STEPS; at += 13) {
                rig r;
                rig_open(&r, m ? "mcd" : "mct", steps[k], at, LIST("model.dropout", "0.2"));
                rig_run(&r);
                starts += compare_losses(&r);
                rig_close(&r);
            }
    assert_true(starts >= 12); /* all of 64 segments of one step, among others */
}

static void every_option_is_what_it_says(void **state)
{
    (void)state;
    static const char *const mcd[][9] = {
        { "method.teacher_step", "ddim" },
        { "method.teacher_step", "midpoint" },
        { "method.teacher_step", "midpoint", "method.guidance", "1.5", "teacher.prediction",
          "eps" },
        { "method.x_var", "analytic" },
        { "method.x_var", "table", "method.eta", "0.75", "method.curriculum", "constant",
          "method.teacher_to", "16" },
        { "method.eta", "0.3", "method.teacher_from", "20" },
        { "method.last", "x_hat", "method.curriculum", "constant", "method.teacher_to", "4" },
        { "method.guidance", "1.5" },
        { "method.guidance", "0.5", "method.x_var", "analytic" },
        { "method.guidance", "3", "method.teacher_step", "ddim" },
        { "method.curriculum", "constant", "method.teacher_to", "16" },
        { "model.prediction", "x" },
        { "model.prediction", "eps", "teacher.prediction", "x" },
        { "teacher.prediction", "eps" },
        { "schedule.name", "shifted" },
        { "schedule.name", "interpolated", "schedule.logsnr_max", "12" },
    };
    static const char *const both[][7] = {
        { "method.distance", "elem", "method.huber", "0.3" },
        { "method.distance", "norm", "method.huber", "0.02" },
        { "method.distance", "l2sq" },
        { "method.huber", "1" },
        { "method.weight", "snr+1" },
        { "method.weight", "trunc", "method.distance", "elem" },
        { "method.weight", "one", "method.distance", "norm" },
        { "method.anneal", "1", "method.teacher_from", "8", "method.teacher_to", "640" },
    };
    for (size_t k = 0; k < FEW_COUNT(mcd) + 2 * FEW_COUNT(both); k++) {
        const bool only = k < FEW_COUNT(mcd);
        const size_t j = only ? 0 : k - FEW_COUNT(mcd);
        rig r;
        rig_open(&r, only || j % 2 ? "mcd" : "mct", 4, 5, only ? mcd[k] : both[j / 2]);
        rig_run(&r);
        compare_losses(&r);
        rig_close(&r);
    }
}

static void gradients_leave_the_target_alone(void **state)
{
    (void)state;
    static const struct {
        const char *method, *options[7];
    } cases[] = {
        { "mct", { "model.dropout", "0.2" } },
        { "mcd", { "model.dropout", "0.2" } },
        { "mcd", { "method.distance", "elem", "method.huber", "0.3", "method.guidance", "1" } },
        { "mcd", { "model.prediction", "x", "method.weight", "snr+1" } },
        { "mct", { "model.prediction", "eps", "method.distance", "l2sq" } },
    };
    for (size_t k = 0; k < FEW_COUNT(cases); k++) {
        rig r;
        rig_open(&r, cases[k].method, 2, 7, cases[k].options);
        rig_run(&r);
        compare_losses(&r);
        rig_check_gradients(&r, by_hand);
        rig_close(&r);
    }
}

/* With one teacher step a segment, consistency training is diffusion training (property 2). */
static void one_step_a_segment_is_diffusion(void **state)
{
    (void)state;
    rig r;
    rig_open(
        &r, "mct", 16, 3,
        LIST("method.curriculum", "constant", "method.teacher_to", "16", "method.weight", "one"));
    rig_run(&r);
    assert_int_equal(compare_losses(&r), N);
    for (int i = 0; i < N; i++) {
        oracle_case c = oracle_of(&r, i);
        double z[ORACLE_MAX], eps[ORACLE_MAX + 4], x_hat[ORACLE_MAX], alpha, sigma;
        oracle_mc(&c);
        oracle_path(&r.student.spec, c.t, &alpha, &sigma);
        for (int j = 0; j < 32; j += 4)
            few_philox_normal((uint32_t[4]){ (uint32_t)j / 4, FEW_RNG_NOISE, 3, (uint32_t)i },
                              (uint32_t[2]){ 0x23456789, 1 }, eps + j);
        for (int j = 0; j < 32; j++)
            z[j] = alpha * r.x[i][j] + sigma * eps[j];
        oracle_x(&r.hat, z, c.t, r.label[i], (double[]){ 0x23456789, 1, 3, i }, x_hat);
        const double want = oracle_loss(&c, r.x[i], x_hat, 32, alpha, sigma);
        assert_true(fabs(r.value[r.loss][i] - want) <= 1e-12 * (1 + want));
    }
    rig_close(&r);
}

static void diffusion_regresses_its_prediction(void **state)
{
    (void)state;
    static const char *const cases[][9] = {
        { "model.prediction", "v" },
        { "model.prediction", "x", "method.times", "uniform" },
        { "model.prediction", "eps" },
        { "model.prediction", "x", "method.weight", "v" },
        { "model.prediction", "eps", "method.weight", "v", "model.dropout", "0.3" },
        { "model.prediction", "edm", "method.times", "log_normal", "schedule.name", "linear",
          "model.sigma_data", "0.7" },
        { "model.prediction", "edm", "method.weight", "v" },
    };
    for (size_t k = 0; k < FEW_COUNT(cases); k++) {
        rig r;
        rig_open(&r, "diffusion", 0, 4, cases[k]);
        rig_run(&r);
        const few_spec *s = &r.student.spec;
        const char kind = s->prediction.kind->name[0];
        bool even = true;
        double first = 0;
        for (int i = 0; i < N; i++) {
            double value[FEW_MAX_SCALARS], z[ORACLE_MAX], eps[ORACLE_MAX + 4], x_hat[ORACLE_MAX];
            r.ctx.method->draw(&r.ctx, 4, i, value);
            const double t = (value[0] + 1) / s->time_scale;
            if (i == 0)
                first = t;
            even &= fabs(fmod(t - first + 1, 1) - (double)i / N) < 1e-12;
            double alpha, sigma, sum = 0;
            oracle_path(s, t, &alpha, &sigma);
            for (int j = 0; j < 32; j += 4)
                few_philox_normal((uint32_t[4]){ (uint32_t)j / 4, FEW_RNG_NOISE, 4, (uint32_t)i },
                                  (uint32_t[2]){ 0x23456789, 1 }, eps + j);
            for (int j = 0; j < 32; j++)
                z[j] = alpha * r.x[i][j] + sigma * eps[j];
            const double rng[] = { 0x23456789, 1, 4, i };
            const bool weighted = cases[k][2] && !strcmp(cases[k][2], "method.weight");
            if (!strcmp(s->prediction.kind->name, "edm")) {
                /* EDM's own loss: w |D(x + s eps; s) - x|^2; of v: |D - x|^2 / sigma^2. */
                const double level = sigma / alpha, sd = s->prediction.sigma_data;
                const double w =
                    weighted ? 1 / (sigma * sigma) : (level * level + sd * sd) / pow(level * sd, 2);
                for (int j = 0; j < 32; j++)
                    z[j] = r.x[i][j] + level * eps[j];
                oracle_denoise(&r.hat, z, level, 0, r.label[i], rng, x_hat);
                for (int j = 0; j < 32; j++)
                    sum += w * pow(x_hat[j] - r.x[i][j], 2) / 32;
            } else {
                oracle_x(&r.hat, z, t, r.label[i], rng, x_hat);
            }
            for (int j = 0; j < 32 && strcmp(s->prediction.kind->name, "edm"); j++) {
                const double out = r.hat.value[r.hat.out][j];
                const double want = kind == 'v'   ? alpha * eps[j] - sigma * r.x[i][j]
                                    : kind == 'x' ? r.x[i][j]
                                                  : eps[j];
                /* With weight v the error is that of v: dv = -dx / sigma = deps / alpha. */
                const double f = weighted ? 1 / (kind == 'x' ? sigma : alpha) : 1;
                sum += f * f * (out - want) * (out - want) / 32;
            }
            if (!(fabs(r.value[r.loss][i] - sum) <= 1e-9 * sum))
                fail_msg("case %zu sample %d: loss %.12g, by hand %.12g", k, i, r.value[r.loss][i],
                         sum);
        }
        assert_int_equal(even, !cases[k][2] || strcmp(cases[k][2], "method.times"));
        rig_close(&r);
    }
}

/* Over many draws: every segment and every teacher step of it, t > s >= ts. */
static void draws_cover_the_grid(void **state)
{
    (void)state;
    rig r;
    rig_open(&r, "mcd", 3, 0, LIST("method.curriculum", "constant", "method.teacher_to", "12"));
    rig_run(&r);
    int seen[13] = { 0 };
    const double scale = r.student.spec.time_scale;
    for (int64_t step = 0; step < 1200; step++) {
        double v[FEW_MAX_SCALARS];
        few_mc_draw(&r.ctx, step, step % N, v);
        const double t = (v[0] + 1) / scale * 12, s = (v[FEW_POINT] + 1) / scale * 12;
        assert_true(fabs(t - round(t)) < 1e-9 && fabs(t - s - 1) < 1e-9);
        seen[(int)round(t)]++;
    }
    assert_int_equal(seen[0], 0);
    for (int k = 1; k <= 12; k++) /* 100 each, +- 5 standard deviations */
        assert_true(seen[k] > 50 && seen[k] < 150);
    rig_close(&r);
}

/* Stratified: of every two neighbouring cells of 12, a batch of 6 draws one; each of the two, in
 * the long run, half of the times. */
static void stratified_draws_are_even(void **state)
{
    (void)state;
    rig r;
    rig_open(&r, "mcd", 3, 0,
             LIST("method.curriculum", "constant", "method.teacher_to", "12", "method.times",
                  "stratified"));
    rig_run(&r);
    int seen[12] = { 0 };
    for (int64_t step = 0; step < 1000; step++) {
        int pairs = 0;
        for (int64_t i = 0; i < N; i++) {
            double v[FEW_MAX_SCALARS];
            few_mc_draw(&r.ctx, step, i, v);
            const double t = (v[0] + 1) / r.student.spec.time_scale * 12;
            assert_true(fabs(t - round(t)) < 1e-9);
            const int cell = (int)round(t) - 1;
            seen[cell]++;
            pairs |= 1 << cell / 2;
        }
        assert_int_equal(pairs, 63);
    }
    for (int k = 0; k < 12; k++) /* 500 each, +- 5 standard deviations */
        assert_true(seen[k] > 420 && seen[k] < 580);
    rig_close(&r);
}

static void senseless_settings_are_refused(void **state)
{
    (void)state;
    rig r;
    few_error err = { 0 };
    rig_open(&r, "mcd", 4, 0, LIST("model.dropout", "0"));
    rig_run(&r);
    few_mc_options *o = r.config.method_options;
    for (int k = 0; k < 4; k++) {
        static const int steps[] = { 0, -1, 65, 1000 };
        r.student.spec.steps = steps[k];
        expect(few_mc_check(&r.ctx, &err), FEW_ECONFIG, &err, "1 to 64 steps");
    }
    r.student.spec.steps = 64;
    assert_int_equal(few_mc_check(&r.ctx, &err), FEW_OK);
    o->teacher_to = 32;
    expect(few_mc_check(&r.ctx, &err), FEW_ECONFIG, &err, "teacher_to (32) is below");
    o->teacher_to = 1280;
    o->guidance = 1;
    assert_int_equal(few_mc_check(&r.ctx, &err), FEW_OK);
    const int classes = r.teacher.spec.classes;
    r.teacher.spec.classes = 0;
    expect(few_mc_check(&r.ctx, &err), FEW_ECONFIG, &err, "class-conditional teacher");
    r.teacher.spec.classes = classes;
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(losses_are_algorithm_1),
        cmocka_unit_test(every_option_is_what_it_says),
        cmocka_unit_test(gradients_leave_the_target_alone),
        cmocka_unit_test(one_step_a_segment_is_diffusion),
        cmocka_unit_test(diffusion_regresses_its_prediction),
        cmocka_unit_test(draws_cover_the_grid),
        cmocka_unit_test(stratified_draws_are_even),
        cmocka_unit_test(senseless_settings_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The methods that multistep consistency is compared with, against their papers as printed: losses
 * of every option, gradients, the fixed points and figures of those, and what every method of
 * the list must keep. */
#include "method/rig.h"

#include "diffusion/step.h"
#include "method/consistency.h"
#include "nn/dfno.h"

enum { D = 4 * 4 * 2 };
static const double tol = 1e-9;

static double scalar_at(const rig *r, int64_t step, int i, const char *name)
{
    return drawn(&r->ctx, step, i, name);
}

static const char *setting(const rig *r, const char *name)
{
    static char text[4][64];
    static int at;
    few_strbuf b;
    few_strbuf_init(&b);
    const few_option *o = few_option_find(r->ctx.method->options, name);
    assert_non_null(o);
    few_option_print(o, r->ctx.options, &b);
    at = (at + 1) % 4;
    snprintf(text[at], sizeof text[at], "%s", b.s);
    few_strbuf_free(&b);
    return text[at];
}

static void noise_of(const rig *r, int i, double *eps)
{
    for (int j = 0; j < D; j += 4)
        few_philox_normal(
            (uint32_t[4]){ (uint32_t)j / 4, FEW_RNG_NOISE, (uint32_t)r->step, (uint32_t)i },
            (uint32_t[2]){ (uint32_t)r->ctx.seed, (uint32_t)(r->ctx.seed >> 32) }, eps + j);
}

static const double *key_of(const rig *r, int i)
{
    static double key[4];
    key[0] = (double)(int32_t)r->ctx.seed;
    key[1] = (double)(int32_t)(r->ctx.seed >> 32);
    key[2] = (double)r->step;
    key[3] = i;
    return key;
}

static double distance(const char *name, const double *u, double e)
{
    const double ms = oracle_mean_square(u, D);
    double sum = 0;
    if (!strcmp(name, "l2sq"))
        return ms;
    if (!strcmp(name, "rms"))
        return sqrt(ms + e * e) - e;
    if (!strcmp(name, "norm"))
        return sqrt(ms * D + e * e) - e;
    for (int j = 0; j < D; j++)
        sum += (sqrt(u[j] * u[j] + e * e) - e) / D;
    return sum;
}

static double snr_weight(const char *name, double a, double s)
{
    const double snr = a * a / (s * s);
    return !strcmp(name, "snr+1") ? snr + 1 : !strcmp(name, "trunc") ? fmax(1, snr) : 1;
}

static void losses_agree(rig *r, double (*loss)(rig *r, int i))
{
    for (int i = 0; i < N; i++) {
        const double want = loss(r, i), have = r->value[r->loss][i];
        if (!(fabs(have - want) <= 1e-8 * (1e-2 + fabs(want))))
            fail_msg("%s step %lld sample %d: loss %.12g, by hand %.12g", r->ctx.method->name,
                     (long long)r->step, i, have, want);
    }
}

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
    const bool addim = !strcmp(setting(r, "teacher_step"), "addim");
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

/* ---- consistency models ---------------------------------------------------------------------*/

/* In EDM's terms, for the levels that were drawn. */
static double cm_loss(rig *r, int i)
{
    const char *name = r->ctx.method->name;
    const double t = scalar_at(r, r->step, i, "sigma_t") / scalar_at(r, r->step, i, "alpha_t"),
                 low = scalar_at(r, r->step, i, "sigma_r") / scalar_at(r, r->step, i, "alpha_r");
    const bool ect = !strcmp(name, "ect"), own = ect || !strcmp(name, "ict");
    const double s_min = ect ? 0 : 0.002;
    double eps[D], x_t[D], x_r[D], d[D], d2[D], next[D], f_t[D], f_r[D], u[D];
    noise_of(r, i, eps);
    for (int j = 0; j < D; j++) {
        x_t[j] = r->x[i][j] + t * eps[j];
        x_r[j] = r->x[i][j] + low * eps[j];
    }
    if (r->ctx.teacher) {
        oracle_denoise(&r->frozen, x_t, t, 0, r->label[i], NULL, d);
        for (int j = 0; j < D; j++) {
            d[j] = (x_t[j] - d[j]) / t;
            x_r[j] = next[j] = x_t[j] + (low - t) * d[j];
        }
        if (!strcmp(setting(r, "teacher_step"), "heun")) {
            oracle_denoise(&r->frozen, next, low, 0, r->label[i], NULL, d2);
            for (int j = 0; j < D; j++)
                x_r[j] = x_t[j] + (low - t) * (d[j] + (next[j] - d2[j]) / low) / 2;
        }
    }
    oracle_denoise(&r->hat, x_t, t, s_min, r->label[i], key_of(r, i), f_t);
    if (low > 0)
        oracle_denoise(own ? &r->self : &r->target, x_r, low, s_min, r->label[i], key_of(r, i),
                       f_r);
    for (int j = 0; j < D; j++)
        u[j] = (low > 0 ? f_r[j] : r->x[i][j]) - f_t[j];
    const double huber = atof(setting(r, "huber"));
    return distance(setting(r, "distance"), u, huber > 0 ? huber : 0.00054 * sqrt(D)) *
           (own ? 1 / (t - low) : 1);
}

static void consistency_models_are_their_papers(void **state)
{
    (void)state;
    static const struct {
        const char *method, *options[9];
    } cases[] = {
        { "cd", { "model.dropout", "0.2" } },
        { "cd", { "method.teacher_step", "euler", "method.levels", "5" } },
        { "cd",
          { "model.prediction", "edm", "teacher.prediction", "edm", "schedule.name", "linear" } },
        { "cd",
          { "model.prediction", "edm", "model.sigma_data", "0.7", "method.distance", "norm" } },
        { "ct", { "model.dropout", "0.2" } },
        { "ct", { "model.prediction", "edm", "method.distance", "elem", "method.huber", "0.1" } },
        { "ict", { "model.dropout", "0.2" } },
        { "ict", { "model.prediction", "edm", "method.s1", "40" } },
        { "ect", { "model.dropout", "0.2" } },
        { "ect", { "model.prediction", "edm", "method.huber", "0.06", "method.stages", "3" } },
    };
    for (size_t k = 0; k < FEW_COUNT(cases); k++)
        for (int64_t at = 0; at < STEPS; at += 13) {
            rig r;
            rig_open(&r, cases[k].method, 1, at, cases[k].options);
            rig_run(&r);
            losses_agree(&r, cm_loss);
            if (at == 26 && k % 2 == 0)
                rig_check_gradients(&r, cm_loss);
            rig_close(&r);
        }
}

/* Levels that were drawn over many samples of a step. */
static int levels_of(rig *r, int64_t step, int n, double *low, double *high)
{
    int seen = 0;
    for (int i = 0; i < n; i++) {
        const double t = scalar_at(r, step, i, "sigma_t") / scalar_at(r, step, i, "alpha_t"),
                     b = scalar_at(r, step, i, "sigma_r") / scalar_at(r, step, i, "alpha_r");
        assert_true(b < t && b >= 0.002 * (1 - tol) && t <= 80 * (1 + tol));
        int k = 0;
        while (k < seen && fabs(low[k] - b) > 1e-9 * b)
            k++;
        if (k == seen && seen < 40) {
            low[seen] = b;
            high[seen++] = t;
        }
    }
    return seen;
}

static void curricula(void **state)
{
    (void)state;
    static const struct {
        int64_t step;
        int pairs;
        double mu;
    } rows[] = { { 0, 1, 0.9025 },
                 { 1, 2, 0.95 },
                 { 1000, 7, 0.98545163819 },
                 { 100000, 71, 0.998556161807 },
                 { 400000, 142, 0.999277820131 },
                 { 799999, 200, 0.999487198584 } };
    static const double levels18[] = { 80, 57.5859847212, 3.25682151977, 0.00752801996278, 0.002 };
    rig r;
    double low[40], high[40];
    rig_open(&r, "ct", 1, 0, LIST("method.s1", "200", "method.mu0", "0.95"));
    r.ctx.steps = 800000;
    for (size_t k = 0; k < FEW_COUNT(rows); k++) {
        assert_true(fabs(r.ctx.method->target_decay(&r.ctx, rows[k].step) - rows[k].mu) < 1e-11);
        if (rows[k].pairs < 10)
            assert_int_equal(levels_of(&r, rows[k].step, 400, low, high), rows[k].pairs);
    }
    const few_cm_options *o = r.ctx.options;
    static const int of_18[] = { 0, 1, 8, 16, 17 };
    for (int k = 0; k < 5; k++)
        assert_true(fabs(few_cm_level(o, 17 - of_18[k], 18) - levels18[k]) < 1e-9 * levels18[k]);
    rig_close(&r);

    /* N(k) of the paper; with 150 / 10 no power of two. */
    static const struct {
        const char *s1;
        int64_t at[7];
        int pairs[7];
    } doubling[] = {
        { "150",
          { 0, 81517, 81518, 163036, 326071, 326072, 399999 },
          { 10, 10, 20, 40, 80, 150, 150 } },
        { "1280",
          { 0, 49999, 50000, 100000, 200000, 349999, 350000 },
          { 10, 10, 20, 40, 160, 640, 1280 } },
    };
    for (size_t c = 0; c < FEW_COUNT(doubling); c++) {
        rig_open(&r, "ict", 1, 0, LIST("method.s1", doubling[c].s1));
        r.ctx.steps = 400000;
        for (int k = 0; k < 7; k++) { /* the width of the first pair says how many there are */
            double least = 1;
            const int64_t at = doubling[c].at[k];
            for (int i = 0; i < 20000; i++)
                least =
                    fmin(least, scalar_at(&r, at, i, "sigma_t") / scalar_at(&r, at, i, "alpha_t"));
            assert_true(fabs(least - few_cm_level(r.ctx.options, 1, doubling[c].pairs[k] + 1)) <
                        1e-9);
        }
        if (c == 0)
            rig_close(&r);
    }
    /* How often each of ten pairs is drawn, within five standard deviations; the first weights. */
    static const double often[] = { 0.0626329925063, 0.181736979711,  0.245501421967,
                                    0.213494447023,  0.142446058024,  0.0806046216768,
                                    0.0410799062224, 0.0195800922413, 0.00894386841377,
                                    0.00397961221431 };
    enum { DRAWS = 40000 };
    int seen[10] = { 0 };
    for (int i = 0; i < DRAWS; i++) {
        const double b = scalar_at(&r, 7, i, "sigma_r") / scalar_at(&r, 7, i, "alpha_r"),
                     w = scalar_at(&r, 7, i, "weight");
        int k = 0;
        while (fabs(few_cm_level(r.ctx.options, k, 11) - b) > 1e-9)
            k++;
        seen[k]++;
        if (k < 2)
            assert_true(fabs(w - (k ? 14.6270576866 : 67.9313065056)) < 1e-6);
    }
    for (int k = 0; k < 10; k++)
        assert_true(fabs(seen[k] - DRAWS * often[k]) < 5 * sqrt(DRAWS * often[k]));
    rig_close(&r);
}

/* r of t by stage, read from what is drawn: a level t whose r is known. */
static void ect_stages(void **state)
{
    (void)state;
    rig r;
    rig_open(&r, "ect", 1, 0, LIST("method.stages", "8"));
    r.ctx.steps = 8000;
    for (int stage = 0; stage < 8; stage++)
        for (int i = 0; i < 200; i++) {
            const int64_t step = 1000 * stage + 5 * i;
            const double t = scalar_at(&r, step, i, "sigma_t") / scalar_at(&r, step, i, "alpha_t"),
                         low =
                             scalar_at(&r, step, i, "sigma_r") / scalar_at(&r, step, i, "alpha_r");
            const double sigmoid = 1 / (1 + exp(t));
            double want = fmax(0, t * (1 - (1 + 8 * sigmoid) / exp2(stage + 1)));
            if (want < 0.002)
                want = 0;
            assert_true(fabs(low - want) < 1e-9 * t);
            assert_true(fabs(scalar_at(&r, step, i, "of_x") - (low <= 0)) < tol);
        }
    rig_close(&r);
}

/* The spec's figures: r of t and stage. */
static void ect_levels(void **state)
{
    (void)state;
    static const struct {
        double t;
        int stage;
        double r;
    } rows[] = { { 1, 0, 0 },
                 { 1, 3, 0.803029289315 },
                 { 5, 0, 2.36614298151 },
                 { 5, 3, 4.67076787269 },
                 { 0.1, 3, 0.0699989593739 },
                 { 80, 7, 79.6875 } };
    for (size_t k = 0; k < FEW_COUNT(rows); k++) {
        char mean[32];
        rig r;
        snprintf(mean, sizeof mean, "%.17g", log(rows[k].t));
        rig_open(&r, "ect", 1, 0, LIST("method.stages", "8", "method.p_mean", mean));
        const few_option *spread = few_option_find(r.ctx.method->options, "p_std");
        *(double *)((char *)r.config.method_options + spread->offset) = 0; /* t is exp(p_mean) */
        const int64_t step = STEPS / 8 * rows[k].stage;
        const double t = scalar_at(&r, step, 1, "sigma_t") / scalar_at(&r, step, 1, "alpha_t"),
                     low = scalar_at(&r, step, 1, "sigma_r") / scalar_at(&r, step, 1, "alpha_r");
        if (!(fabs(t - rows[k].t) < 1e-12 * t && fabs(low - rows[k].r) < 1e-11 * t))
            fail_msg("r of %g in stage %d is %.12g, not %.12g", t, rows[k].stage, low, rows[k].r);
        rig_close(&r);
    }
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

/* ---- every method ---------------------------------------------------------------------------*/

/* One gradient for each parameter of the student, none of them zero, and no others. */
static void each_is_taught_once(const rig *r)
{
    const char *method = r->ctx.method->name;
    const int n = r->student.params.n;
    uint8_t *taught = few_calloc((size_t)n, 1);
    for (int k = 0; k < r->g.n_tensors; k++) {
        const few_tensor *t = &r->g.tensors[k];
        double sum = 0;
        if (t->grad_of < 0)
            continue;
        assert_true(t->grad_of < n);
        const few_param *p = &r->student.params.v[t->grad_of];
        if (taught[t->grad_of]++)
            fail_msg("%s: %s has two gradients", method, p->name);
        if (!few_shape_equal(&t->shape, &p->shape))
            fail_msg("%s: the gradient of %s is one of something else", method, p->name);
        for (int64_t e = 0; e < p->count; e++)
            sum += fabs(r->value[k][e]);
        if (!(sum > 0 && isfinite(sum)))
            fail_msg("%s: %s has no gradient", method, p->name);
    }
    for (int k = 0; k < n; k++)
        if (!taught[k])
            fail_msg("%s: %s is not trained", method, r->student.params.v[k].name);
    few_free(taught);
}

/* Even when they are asked for, the loss has no gradients of the teacher's and target's weights. */
static void nothing_leads_to_others(rig *r)
{
    few_graph g;
    few_method_ctx ctx = r->ctx;
    few_error err = { 0 };
    few_graph_init(&g);
    few_graph_use_set(&g, FEW_SET_LIVE, &r->student.params);
    few_graph_use_set(&g, FEW_SET_TEACHER, &r->teacher.params);
    if (ctx.method->target_decay)
        few_graph_use_set(&g, FEW_SET_TARGET, &r->target_params);
    ctx.g = &g;
    few_method_build(&ctx, true, false);
    few_val *others = few_malloc((size_t)g.n_tensors * sizeof *others),
            *grad = few_malloc((size_t)g.n_tensors * sizeof *grad);
    int n = 0, of_teacher = 0;
    for (int k = 0; k < g.n_tensors; k++)
        if (g.tensors[k].source == FEW_FROM_PARAM && g.tensors[k].set != FEW_SET_LIVE) {
            others[n++] = k;
            of_teacher += g.tensors[k].set == FEW_SET_TEACHER;
        }
    assert_int_equal(of_teacher, ctx.method->needs_teacher ? r->teacher.params.n : 0);
    few_graph_backward(&g, loss_of(&g), others, n, grad);
    if (few_graph_status(&g, &err) != FEW_OK)
        fail_msg("%s", err.text);
    for (int k = 0; k < n; k++)
        if (grad[k] != FEW_NONE)
            fail_msg("%s: the %s is taught", ctx.method->name,
                     g.tensors[others[k]].set == FEW_SET_TEACHER ? "teacher" : "target network");
    few_free(others);
    few_free(grad);
    few_graph_clear(&g);
}

static int steps_of(const few_method *m)
{
    return m->describe && !m->phase ? 1 : 2;
}

static void gradients_reach_all_of_the_student(void **state)
{
    (void)state;
    static const struct {
        const char *method, *options[7]; /* that change the graph */
    } cases[] = {
        { "diffusion", { "model.prediction", "edm", "method.times", "log_normal" } },
        { "mcd", { "method.teacher_step", "ddim" } },
        { "mcd", { "method.teacher_step", "midpoint", "method.guidance", "1" } },
        { "mcd", { "method.guidance", "2", "method.x_var", "analytic" } },
        { "mcd", { "method.x_var", "table", "method.distance", "elem" } },
        { "mcd", { "method.last", "x_hat", "method.weight", "snr+1" } },
        { "mct", { "method.distance", "l2sq", "model.prediction", "x" } },
        { "pd", { "method.teacher_step", "addim" } },
        { "tract",
          { "method.phases", "32", "method.clip", "false", "method.teacher_step", "midpoint" } },
        { "cd", { "method.teacher_step", "euler", "method.distance", "norm" } },
        { "cd", { "model.prediction", "edm", "teacher.prediction", "edm" } },
        { "ct", { "method.distance", "elem" } },
        { "ict", { "model.prediction", "edm" } },
        { "ect", { "model.prediction", "x" } },
        { "dsno", { "method.states", "3", "method.modes", "1" } },
    };
    for (int m = 0; m < few_n_methods + (int)FEW_COUNT(cases); m++) {
        const bool plain = m < few_n_methods;
        const char *const none[] = { NULL };
        const char *name = plain ? few_methods[m]->name : cases[m - few_n_methods].method;
        few_error err = { 0 };
        rig r;
        rig_open(&r, name, steps_of(few_method_find(name, &err)), 3,
                 plain ? none : cases[m - few_n_methods].options);
        rig_run(&r);
        each_is_taught_once(&r);
        nothing_leads_to_others(&r);
        rig_close(&r);
    }
}

/* A method whose graph has a target network trains one, and no other does. */
static void targets_are_declared(void **state)
{
    (void)state;
    for (int m = 0; m < few_n_methods; m++) {
        rig r;
        rig_open(&r, few_methods[m]->name, steps_of(few_methods[m]), 3, LIST(NULL));
        bool has = false;
        for (int k = 0; k < r.g.n_tensors; k++)
            has |= r.g.tensors[k].source == FEW_FROM_PARAM && r.g.tensors[k].set == FEW_SET_TARGET;
        assert_int_equal(has, few_methods[m]->target_decay != NULL);
        rig_run(&r);
        rig_close(&r);
    }
}

static void refusals(void **state)
{
    (void)state;
    static const struct {
        const char *method;
        int steps;
        const char *options[5], *says;
    } cases[] = {
        { "pd", 3, { NULL }, "power of 2" },
        { "pd", 32, { NULL }, "power of 2" },
        { "tract", 2, { "method.phases", "1024,3" }, "divid" },
        { "tract", 2, { "method.phases", "8,16" }, "fall" },
        { "tract", 1, { "method.phases", "1024,128" }, "64 at most" },
        { "tract", 8, { "method.phases", "8" }, "fall" },
        { "tract", 2, { "method.phases", "32,8", "method.teacher_step", "midpoint" }, "one phase" },
        { "cd", 2, { NULL }, "renoise" },
        { "ct", 1, { "model.prediction", "x" }, "return its input" },
        { "ict", 1, { "method.sigma_max", "1e5" }, "schedule" },
        { "ect", 1, { "method.sigma_min", "1e-5" }, "schedule" },
        { "ict", 1, { "method.s0", "100", "method.s1", "10" }, "above" },
    };
    for (size_t k = 0; k < FEW_COUNT(cases); k++) {
        few_config c;
        few_net net;
        few_error err = { 0 };
        load_defaults(&c, cases[k].method);
        tiny_unet(&c);
        for (const char *const *o = cases[k].options; *o; o += 2)
            set(&c, o[0], o[1]);
        make_net(&net, &c, (few_net_shape){ 4, 4, 2, 3 }, 1);
        const few_method_ctx ctx = { .method = c.method,
                                     .options = c.method_options,
                                     .spec = &net.spec,
                                     .teacher = &net.spec,
                                     .student_steps = cases[k].steps,
                                     .steps = STEPS };
        expect(c.method->check(&ctx, &err), FEW_ECONFIG, &err, cases[k].says);
        few_net_free(&net);
        few_config_clear(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pd_is_algorithm_2),
        cmocka_unit_test(pd_trains_the_last_longest),
        cmocka_unit_test(pd_of_gaussian_data),
        cmocka_unit_test(tract_is_its_papers),
        cmocka_unit_test(tract_of_gaussian_data),
        cmocka_unit_test(consistency_models_are_their_papers),
        cmocka_unit_test(curricula),
        cmocka_unit_test(ect_stages),
        cmocka_unit_test(ect_levels),
        cmocka_unit_test(dsno_is_its_paper),
        cmocka_unit_test(one_state_is_knowledge_distillation),
        cmocka_unit_test(gradients_reach_all_of_the_student),
        cmocka_unit_test(targets_are_declared),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

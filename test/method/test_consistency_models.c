/* Consistency models (cd, ct, ict, ect) against their papers as printed: losses of every option,
 * gradients, curricula and levels. */
#include "method/papers.h"

#include "method/consistency.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(consistency_models_are_their_papers),
        cmocka_unit_test(curricula),
        cmocka_unit_test(ect_stages),
        cmocka_unit_test(ect_levels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

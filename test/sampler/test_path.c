/* Samplers along the path: the spec's figures and vectors (3.3, 3.4), orders of convergence, and
 * the distributions they must reach, for every sampler of the list. */
#include "sampler/cases.h"

static double exact(double mean, double std, double x, double from, double to)
{
    return mean + (x - mean) * sqrt((std * std + to * to) / (std * std + from * from));
}

static double time_of_noise(const few_spec *s, double noise)
{
    return few_schedule_time(&s->schedule, -2 * log(noise));
}

/* ---- the spec's figures ---------------------------------------------------------------------*/

static void karras_table(void **state)
{
    (void)state;
    static const struct {
        int n;
        double euler, heun, dpmpp_2m;
    } rows[] = {
        { 4, 0.232283076911, 0.467266046435, 0.260224859168 },
        { 8, 0.240766662713, 0.285381740415, 0.270473585373 },
        { 16, 0.25068020848, 0.265669562571, 0.266152684562 },
        { 32, 0.255883575508, 0.262210156399, 0.262290200104 },
        { 64, 0.258546945868, 0.261473124971, 0.261481713615 },
        { 128, 0.25989302006, 0.261302695168, 0.261303679761 },
    };
    few_net n;
    make(&n, point, "20");
    struct gaussian g = { &n.spec, 0.2, 0.5, 1, false };
    for (size_t k = 0; k < FEW_COUNT(rows); k++) {
        static const char *const names[] = { "euler", "heun", "dpmpp_2m" };
        const double want[] = { rows[k].euler, rows[k].heun, rows[k].dpmpp_2m };
        for (size_t j = 0; j < 3; j++) {
            chain c = {
                .spec = &n.spec, .steps = rows[k].n, .d = 1, .user = &g, .x_hat = gaussian_x
            };
            chain_open(&c, names[j], "");
            double z = 10 / sqrt(1 + 80.0 * 80); /* x = 10 */
            chain_run(&c, &z);
            if (!(fabs(z - want[j]) < 1e-9))
                fail_msg("%s in %d steps: %.12g, wanted %.12g", names[j], rows[k].n, z, want[j]);
            assert_int_equal(c.evaluations, j == 1 ? 2 * rows[k].n - 1 : rows[k].n);
            chain_close(&c);
        }
    }
    few_net_free(&n);
}

/* The error of x after n steps of equal log SNR from noise 5 to 0.5. */
static double error_of(const few_net *n, const char *sampler, const char *setting, int steps)
{
    struct gaussian g = { &n->spec, 0.2, 0.5, 1, false };
    chain c = { .spec = &n->spec, .steps = steps + 1, .d = 1, .user = &g, .x_hat = gaussian_x };
    char list[64 + 24 * 129];
    int at = snprintf(list, sizeof list, "times=");
    for (int k = 0; k <= steps; k++)
        at += snprintf(list + at, sizeof list - (size_t)at, "%s%.17g", k ? "," : "",
                       time_of_noise(&n->spec, 5 * pow(0.1, (double)k / steps)));
    chain_open(&c, sampler, setting);
    few_error err = { 0 };
    char grid[] = "grid=list";
    char *both[] = { grid, list };
    const few_strings set = { .v = both, .n = 2 };
    if (few_sampler_options_set(c.sampler, c.options, &set, &err) != FEW_OK)
        fail_msg("%s", err.text);
    int begin;
    expect(few_sampler_part(c.sampler, c.spec, c.options, c.steps, 1, time_of_noise(&n->spec, 0.5),
                            &begin, &c.stop, &err),
           FEW_OK, &err, "");
    double z = 2 / sqrt(1 + 25.0);
    chain_run(&c, &z);
    chain_close(&c);
    return fabs(z * sqrt(1 + 0.25) - exact(0.2, 0.5, 2, 5, 0.5));
}

static void orders(void **state)
{
    (void)state;
    static const double want[3][4] = {
        { 4.42728645761e-3, 2.22334559092e-3, 1.11411599147e-3, 5.5767101665e-4 },
        { 5.02493703511e-4, 1.22612199961e-4, 3.02878725781e-5, 7.52701067458e-6 },
        { 2.93540108817e-4, 6.91684612562e-5, 1.67383355976e-5, 4.11431160569e-6 },
    };
    static const char *const listed[] = { "euler", "heun", "dpmpp_2m" };
    few_net n;
    make(&n, point, "20");
    for (size_t j = 0; j < 3; j++)
        for (int k = 0; k < 4; k++) {
            const double e = error_of(&n, listed[j], "", 16 << k);
            if (!(fabs(e / want[j][k] - 1) < 1e-7))
                fail_msg("%s in %d steps: error %.12g, wanted %.12g", listed[j], 16 << k, e,
                         want[j][k]);
        }
    const char *sampler, *setting;
    int deterministic = 0;
    for (int k = 0; each_case(k, &sampler, &setting); k++) {
        chain c = { .spec = &n.spec };
        chain_open(&c, sampler, setting);
        const unsigned needs = few_sampler_needs(c.sampler, c.options);
        const int order = c.sampler->order;
        chain_close(&c);
        if (needs & FEW_NEEDS_NOISE)
            continue;
        const double found =
            log2(error_of(&n, sampler, setting, 64) / error_of(&n, sampler, setting, 128));
        if (!(found > order - 0.05))
            fail_msg("%s %s: order %.3f, wanted %d", sampler, setting, found, order);
        deterministic++;
    }
    assert_true(deterministic >= 8);
    few_net_free(&n);
}

static void vectors(void **state)
{
    (void)state;
    few_net n;
    make(&n, point, "20");
    static const struct {
        const char *sampler, *setting;
        double z, x, variance;
    } rows[] = {
        /* 0.75 -> 0.5 */
        { "ddpm", "", 0.317048671602, 0.585770858187, 0.414202546046 },
        { "ddim", "eta=1", -1, -1, 0.643585694407 * 0.643585694407 },
        { "ddim", "eta=0.5", -1, -1, 0.321792847204 * 0.321792847204 },
    };
    for (size_t k = 0; k < FEW_COUNT(rows); k++) {
        chain c = { .spec = &n.spec };
        chain_open(&c, rows[k].sampler, rows[k].setting);
        const few_sampler_step s = few_sampler_step_of(c.sampler, &n.spec, c.options, 1, 4);
        assert_true(s.t == 0.75 && s.s == 0.5);
        assert_true(fabs(s.n0 - rows[k].variance) < 1e-10);
        if (rows[k].z >= 0)
            assert_true(fabs(s.z - rows[k].z) < 1e-10 && fabs(s.x - rows[k].x) < 1e-10);
        if (k)
            assert_true(fabs(sqrt(s.k0) - (k == 1 ? 0.292912024257 : 0.6296422504)) < 1e-10);
        chain_close(&c);
    }
    /* aDDIM: the table at its own times, and between them. */
    static double errors[4] = { 0.01, 0.02, 0.04, 0.1 };
    n.spec.x_error = (few_doubles){ errors, 4 };
    chain tabled = { .spec = &n.spec };
    chain_open(&tabled, "addim", "x_var=table eta=0.5");
    few_sampler_step a = few_sampler_step_of(tabled.sampler, &n.spec, tabled.options, 1, 4);
    assert_true(fabs(a.k1 - 0.41419475693 * 0.41419475693 * 0.5 * 0.04) < 1e-12);
    a = few_sampler_step_of(tabled.sampler, &n.spec, tabled.options, 3, 8); /* from 0.625 */
    const double D =
        few_ddim(few_schedule_phi(&n.spec.schedule, 0.625), few_schedule_phi(&n.spec.schedule, 0.5))
            .D;
    assert_true(fabs(a.k1 - D * D * 0.5 * 0.03) < 1e-12);
    chain_close(&tabled);
    n.spec.x_error = (few_doubles){ 0 };
    /* EDM: N = 18, S_churn = 40: gamma, s_3, s_hat. */
    chain c = { .spec = &n.spec };
    chain_open(&c, "euler", "s_churn=40");
    const few_sampler_step s = few_sampler_step_of(c.sampler, &n.spec, c.options, 3, 18);
    double alpha, sigma;
    oracle_path(&n.spec, s.t, &alpha, &sigma);
    assert_true(fabs(sigma / alpha / 40.1277223739 - 1) < 1e-10);
    assert_true(fabs(sigma / alpha / 1.414213562373 / 28.3745846042 - 1) < 1e-10);
    chain_close(&c);
    few_net_free(&n);
}

/* Two narrow modes at -1 and 1. */
static void mixture_x(void *user, const double *z, double t, double *x)
{
    const struct gaussian *g = user;
    double alpha, sigma;
    oracle_path(g->spec, t, &alpha, &sigma);
    const double v = g->std * g->std, noise = sigma / alpha * sigma / alpha;
    for (int i = 0; i < g->d; i++) {
        const double at = z[i] / alpha, right = 1 / (1 + exp(-2 * at / (v + noise)));
        x[i] = (v * at + noise * (2 * right - 1)) / (v + noise);
    }
}

/* Noise of evaluation k is number k + 2 of a split Gaussian. */
static void unit_noise(void *user, int evaluation, double *xi)
{
    const struct gaussian *g = user;
    memset(xi, 0, (size_t)g->d * sizeof *xi);
    assert_in_range(evaluation + 2, 2, g->d - 1);
    xi[evaluation + 2] = 1;
}

/* ---- distributions --------------------------------------------------------------------------*/

/* Mean and standard deviation after n steps, without random numbers: every step is linear for a
 * Gaussian, so each noise is followed on its own. */
static void moments(const few_net *n, const char *sampler, const char *setting, int steps,
                    double *mean, double *std)
{
    chain c = { .spec = &n->spec, .steps = steps, .x_hat = gaussian_x, .noise = unit_noise };
    chain_open(&c, sampler, setting);
    struct gaussian g = { &n->spec, 0.2, 0.5,
                          2 + few_sampler_evaluations(c.sampler, c.options, steps), true };
    double *z = few_calloc((size_t)g.d, sizeof *z), sum = 0;
    c.user = &g;
    c.d = g.d;
    z[1] = 1; /* z = N(0, 1) */
    chain_run(&c, z);
    *mean = z[0];
    for (int i = 1; i < g.d; i++)
        sum += z[i] * z[i];
    *std = sqrt(sum);
    few_free(z);
    chain_close(&c);
}

static bool is_linear(const few_net *n, const char *sampler, const char *setting)
{
    chain c = { .spec = &n->spec };
    chain_open(&c, sampler, setting);
    bool linear = true;
    for (int k = 0; k < few_sampler_evaluations(c.sampler, c.options, 8); k++) {
        const few_sampler_step s = few_sampler_step_of(c.sampler, &n->spec, c.options, k, 8);
        linear &= s.k1 == 0 && s.k2 == 0 && s.n1 == 0;
    }
    chain_close(&c);
    return linear;
}

static void gaussians_are_reached(void **state)
{
    (void)state;
    few_net n;
    make(&n, point, "15");
    const char *sampler, *setting;
    int linear = 0;
    for (int k = 0; each_case(k, &sampler, &setting); k++) {
        double mean, std;
        if (!is_linear(&n, sampler, setting))
            continue;
        moments(&n, sampler, setting, 1000, &mean, &std);
        if (!(fabs(std / 0.5 - 1) < 0.01 && fabs(mean - 0.2) < 0.005))
            fail_msg("%s %s: mean %.5f, standard deviation %.5f, wanted 0.2 and 0.5", sampler,
                     setting, mean, std);
        linear++;
    }
    assert_true(linear >= 18);
    few_net_free(&n);
}

static void mixtures_are_reached(void **state)
{
    (void)state;
    enum { D = 20000, STEPS = 200 };
    few_net n;
    make(&n, point, "15");
    const char *sampler, *setting;
    double *z = few_calloc(D, sizeof *z);
    for (int k = 0; each_case(k, &sampler, &setting); k++) {
        struct gaussian g = { &n.spec, 0, 0.25, D, false };
        chain c = { .spec = &n.spec,
                    .steps = STEPS,
                    .d = D,
                    .user = &g,
                    .x_hat = mixture_x,
                    .noise = fresh_noise };
        double mean = 0, square = 0, within = 0;
        chain_open(&c, sampler, setting);
        fresh_noise(&g, 1 << 20, z);
        chain_run(&c, z);
        for (int i = 0; i < D; i++) {
            const double off = z[i] - (z[i] > 0 ? 1 : -1);
            mean += z[i] / D;
            square += z[i] * z[i] / D;
            within += off * off / D;
        }
        /* 1 + 0.25^2; a mean of 20,000 has 0.0073 */
        if (!(fabs(mean) < 0.03 && fabs(square - 1.0625) < 0.03 &&
              fabs(sqrt(within) - 0.25) < 0.02))
            fail_msg("%s %s: mean %.4f, square %.4f, width of a mode %.4f", sampler, setting, mean,
                     square, sqrt(within));
        chain_close(&c);
    }
    few_free(z);
    few_net_free(&n);
}

static void ends_of_time_are_finite(void **state)
{
    (void)state;
    static const char *const grids[] = { "grid=time", "grid=log_snr", "grid=karras" };
    static const char *const limits[] = { "10", "20" };
    const char *sampler, *setting;
    for (size_t a = 0; a < FEW_COUNT(limits); a++) {
        few_net n;
        make(&n, point, limits[a]);
        struct gaussian g = { &n.spec, 0.2, 0.5, 2, false };
        for (size_t b = 0; b < FEW_COUNT(grids); b++)
            for (int k = 0; each_case(k, &sampler, &setting); k++)
                for (int steps = 1; steps < 40; steps += steps < 4 ? 1 : 12) {
                    chain c = { .spec = &n.spec,
                                .steps = steps,
                                .d = 2,
                                .user = &g,
                                .x_hat = gaussian_x,
                                .noise = fresh_noise };
                    char text[128];
                    snprintf(text, sizeof text, "%s %s%s", setting, grids[b],
                             b == 2 ? " sigma_max=100 sigma_min=0.01" : "");
                    double z[2] = { 1.3, -0.4 };
                    chain_open(&c, sampler, text);
                    chain_run(&c, z);
                    if (!isfinite(z[0]) || !isfinite(z[1]))
                        fail_msg("%s %s in %d steps: %g, %g", sampler, text, steps, z[0], z[1]);
                    chain_close(&c);
                }
        few_net_free(&n);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(karras_table),
        cmocka_unit_test(orders),
        cmocka_unit_test(vectors),
        cmocka_unit_test(gaussians_are_reached),
        cmocka_unit_test(mixtures_are_reached),
        cmocka_unit_test(ends_of_time_are_finite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

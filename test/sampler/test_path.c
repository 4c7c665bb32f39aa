/* Samplers along the path: figures and vectors, orders of convergence, and
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

/* ---- figures --------------------------------------------------------------------------------*/

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

/* Equal in time, and equal in log SNR: from one end of the schedule to the other. */
static void grids_are_equal_in_what_they_say(void **state)
{
    (void)state;
    enum { STEPS = 7 };
    few_net n;
    make(&n, point, "15");
    for (int log = 0; log < 2; log++) {
        chain c = { .spec = &n.spec };
        chain_open(&c, "ddim", log ? "grid=log_snr" : "grid=time");
        for (int k = 0; k < STEPS; k++) {
            const few_sampler_step s = few_sampler_step_of(c.sampler, &n.spec, c.options, k, STEPS);
            const double t[] = { s.t, s.s };
            for (int j = 0; j < 2; j++) {
                const double way = (double)(k + j) / STEPS,
                             at = log ? (few_schedule_log_snr(&n.spec.schedule, t[j]) + 15) / 30
                                      : 1 - t[j];
                assert_true(fabs(at - way) < 1e-9);
            }
        }
        chain_close(&c);
    }
    few_net_free(&n);
}

/* Points at noise 5, and where the probability flow takes them at noise 0.5. */
enum { ALL = 16 };
struct flow {
    const char *name;
    int d;
    void *user;
    void (*x_hat)(void *user, const double *z, double t, double *x);
    double from[ALL], to[ALL];
};

/* The error (root mean square) after n steps of equal log SNR. */
static double error_of(const few_net *n, const test_case *at, const struct flow *f, int steps)
{
    chain c = {
        .spec = &n->spec, .steps = steps + 1, .d = f->d, .user = f->user, .x_hat = f->x_hat
    };
    char text[8192];
    size_t length = (size_t)snprintf(text, sizeof text, "%s grid=list times=", at->setting);
    for (int k = 0; k <= steps; k++)
        length += (size_t)snprintf(text + length, sizeof text - length, "%s%.17g", k ? "," : "",
                                   time_of_noise(&n->spec, 5 * pow(0.1, (double)k / steps)));
    chain_open(&c, at->name, text);
    few_error err = { 0 };
    int begin;
    expect(few_sampler_part(c.sampler, c.spec, c.options, c.steps, 1, time_of_noise(&n->spec, 0.5),
                            &begin, &c.stop, &err),
           FEW_OK, &err, "");
    double z[ALL], sum = 0;
    for (int i = 0; i < f->d; i++)
        z[i] = f->from[i] / sqrt(1 + 25.0);
    chain_run(&c, z);
    chain_close(&c);
    for (int i = 0; i < f->d; i++)
        sum += pow(z[i] * sqrt(1 + 0.25) - f->to[i], 2) / f->d;
    return sqrt(sum);
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
    test_case at;
    make(&n, point, "20");
    struct gaussian g = { &n.spec, 0.2, 0.5, 1, false };
    struct mixture m = { &n.spec, ALL };
    struct flow flows[2] = { { "Gaussian", 1, &g, gaussian_x, { 2 }, { 0 } },
                             { "mixture", ALL, &m, mixture_x, { 0 }, { 0 } } };
    flows[0].to[0] = exact(0.2, 0.5, 2, 5, 0.5);
    for (int i = 0; i < ALL; i++) { /* within two standard deviations, on both sides */
        const double x = 0.4 + 10 * (2 * (i + 0.5) / ALL - 1);
        flows[1].from[i] = x;
        flows[1].to[i] =
            few_mixture_flow(&two_modes, atan(5), atan(0.5), x / sqrt(26.0), 4000) * sqrt(1 + 0.25);
    }
    for (size_t j = 0; j < 3; j++)
        for (int k = 0; k < 4; k++) {
            at = (test_case){ NULL, listed[j], "" };
            const double e = error_of(&n, &at, &flows[0], 16 << k);
            if (!(fabs(e / want[j][k] - 1) < 1e-7))
                fail_msg("%s in %d steps: error %.12g, wanted %.12g", listed[j], 16 << k, e,
                         want[j][k]);
        }
    int deterministic = 0;
    for (int k = 0; each_case(k, along_the_path, &at); k++) {
        chain c = { .spec = &n.spec };
        chain_open(&c, at.name, at.setting);
        const unsigned needs = few_sampler_needs(c.sampler, c.options);
        chain_close(&c);
        if (needs & FEW_NEEDS_NOISE)
            continue;
        for (size_t j = 0; j < FEW_COUNT(flows); j++) {
            const double order = at.sampler->order, found = log2(error_of(&n, &at, &flows[j], 128) /
                                                                 error_of(&n, &at, &flows[j], 256));
            if (!(fabs(found - order) < 0.05))
                fail_msg("%s %s, %s: order %.3f, wanted %g", at.name, at.setting, flows[j].name,
                         found, order);
        }
        deterministic++;
    }
    assert_true(deterministic >= 10);
    for (size_t k = 0; k < FEW_COUNT(settings); k++) { /* or no case would be made of them */
        few_error err = { 0 };
        if (!few_sampler_find(settings[k][0], &err))
            fail_msg("%s", err.text);
    }
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
    const few_doubles own = n.spec.x_error;
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
    n.spec.x_error = own;
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
 * Gaussian once mean squares are expectations, so each noise is followed on its own. */
static void moments(const few_net *n, const test_case *at, int steps, double *mean, double *std)
{
    chain c = {
        .spec = &n->spec, .steps = steps, .x_hat = gaussian_x, .noise = unit_noise, .split = true
    };
    chain_open(&c, at->name, at->setting);
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

/* The same of D numbers that are drawn. */
static void drawn_moments(const few_net *n, const test_case *at, int steps, int d, double *mean,
                          double *std)
{
    struct gaussian g = { &n->spec, 0.2, 0.5, d, false };
    chain c = { .spec = &n->spec,
                .steps = steps,
                .d = d,
                .user = &g,
                .x_hat = gaussian_x,
                .noise = gaussian_noise };
    double *z = few_calloc((size_t)d, sizeof *z), square = 0;
    chain_open(&c, at->name, at->setting);
    normals(1 << 20, 0, d, z);
    chain_run(&c, z);
    *mean = 0;
    for (int i = 0; i < d; i++)
        *mean += z[i] / d;
    for (int i = 0; i < d; i++)
        square += (z[i] - *mean) * (z[i] - *mean) / d;
    *std = sqrt(square);
    few_free(z);
    chain_close(&c);
}

/* Whether no coefficient depends on the norm of eps_hat. */
static bool is_linear(const few_net *n, const test_case *at)
{
    chain c = { .spec = &n->spec };
    chain_open(&c, at->name, at->setting);
    bool linear = true;
    for (int k = 0; k < few_sampler_evaluations(c.sampler, c.options, 8); k++) {
        const few_sampler_step s = few_sampler_step_of(c.sampler, &n->spec, c.options, k, 8);
        linear &= s.k1 == 0 && s.k2 == 0 && s.n1 == 0;
    }
    chain_close(&c);
    return linear;
}

/* The deviation reached in many steps: the data's, but Langevin steps e score + sqrt(2 e) xi with
 * e = 2 (snr V)^2 / v at a variance v keep V (1 + snr^2), however many they are. */
static double deviation_of(const test_case *at)
{
    chain c = { 0 };
    double snr = 0;
    if (strcmp(at->name, "pc") != 0)
        return 0.5;
    chain_open(&c, at->name, at->setting);
    json_t *o = few_options_to_json(c.sampler->options, c.options);
    snr = json_number_value(json_object_get(o, "snr"));
    json_decref(o);
    chain_close(&c);
    assert_true(snr > 0);
    return 0.5 * sqrt(1 + snr * snr);
}

/* aDDIM needs more steps: it takes x_hat and eps_hat for orthogonal, but with one Gaussian they are
 * parallel, and the steps at the end, where x_var is all there is of eps_hat, make the deviation
 * some 0.13 sqrt(pi / 2n) wider. */
static void gaussians_are_reached(void **state)
{
    (void)state;
    enum { D = 20000, STEPS = 100 };
    few_net n;
    test_case at;
    make(&n, point, "15");
    for (int k = 0; each_case(k, along_the_path, &at); k++) {
        double mean, std, drawn_mean, drawn_std;
        moments(&n, &at, is_linear(&n, &at) ? 1000 : 2000, &mean, &std);
        const double wanted = deviation_of(&at);
        if (!(fabs(std / wanted - 1) < 0.01 && fabs(mean - 0.2) < 0.005))
            fail_msg("%s %s: mean %.5f, standard deviation %.5f, wanted 0.2 and %.5f", at.name,
                     at.setting, mean, std, wanted);
        moments(&n, &at, STEPS, &mean, &std);
        drawn_moments(&n, &at, STEPS, D, &drawn_mean, &drawn_std);
        /* five standard errors */
        if (!(fabs(drawn_mean - mean) < 5 * std / sqrt(D) &&
              fabs(drawn_std - std) < 5 * std / sqrt(2 * D)))
            fail_msg("%s %s: mean %.5f, standard deviation %.5f, wanted %.5f and %.5f", at.name,
                     at.setting, drawn_mean, drawn_std, mean, std);
    }
    few_net_free(&n);
}

static void mixtures_are_reached(void **state)
{
    (void)state;
    enum { D = 20000, STEPS = 200 };
    few_net n;
    test_case at;
    make(&n, point, "15");
    double *z = few_calloc(D, sizeof *z);
    for (int k = 0; each_case(k, along_the_path, &at); k++) {
        struct mixture m = { &n.spec, D };
        chain c = { .spec = &n.spec,
                    .steps = STEPS,
                    .d = D,
                    .user = &m,
                    .x_hat = mixture_x,
                    .noise = mixture_noise };
        double mean = 0, square = 0, within = 0;
        chain_open(&c, at.name, at.setting);
        normals(1 << 20, 0, D, z);
        chain_run(&c, z);
        for (int i = 0; i < D; i++) {
            const double off = z[i] - (z[i] > 0 ? 1 : -1);
            mean += z[i] / D;
            square += z[i] * z[i] / D;
            within += off * off / D;
        }
        /* a mean of 20,000 has 0.0067 */
        if (!(fabs(mean - MIXTURE_MEAN) < 0.03 && fabs(square - MIXTURE_SQUARE) < 0.03 &&
              fabs(sqrt(within) - 0.25) < 0.02))
            fail_msg("%s %s: mean %.4f, square %.4f, width of a mode %.4f", at.name, at.setting,
                     mean, square, sqrt(within));
        chain_close(&c);
    }
    few_free(z);
    few_net_free(&n);
}

/* Every sampler on every grid from one end of the schedule to the other. */
static void ends_of_time_are_finite(void **state)
{
    (void)state;
    static const char *const limits[] = { "10", "20", "50" };
    test_case at;
    for (size_t a = 0; a < FEW_COUNT(limits); a++) {
        few_net n;
        make(&n, point, limits[a]);
        struct gaussian g = { &n.spec, 0.2, 0.5, 2, false };
        for (int k = 0; each_case(k, with_steps, &at); k++)
            for (int steps = 1; steps < 40; steps += steps < 4 ? 1 : 12) {
                char text[2048], grid[1900];
                for (int b = 0; each_grid(&at, b, &n.spec, steps, grid, sizeof grid); b++) {
                    chain c = { .spec = &n.spec,
                                .steps = steps,
                                .d = 2,
                                .user = &g,
                                .x_hat = gaussian_x,
                                .noise = gaussian_noise };
                    double z[2] = { 1.3, -0.4 };
                    few_error err = { 0 };
                    few_strbuf said;
                    few_strbuf_init(&said);
                    snprintf(text, sizeof text, "%s %s", at.setting, grid);
                    chain_open(&c, at.name, text);
                    n.spec.steps = at.sampler->order ? 0 : 1;
                    expect(c.sampler->check(&n.spec, c.options, steps, &said, &err), FEW_OK, &err,
                           "");
                    chain_run(&c, z);
                    if (!isfinite(z[0]) || !isfinite(z[1]))
                        fail_msg("%s %s in %d steps, limits %s: %g, %g", at.name, text, steps,
                                 limits[a], z[0], z[1]);
                    chain_close(&c);
                    few_strbuf_free(&said);
                }
            }
        few_net_free(&n);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(karras_table),
        cmocka_unit_test(grids_are_equal_in_what_they_say),
        cmocka_unit_test(orders),
        cmocka_unit_test(vectors),
        cmocka_unit_test(gaussians_are_reached),
        cmocka_unit_test(mixtures_are_reached),
        cmocka_unit_test(ends_of_time_are_finite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Samplers along the path: the spec's figures and vectors (3.3, 3.4), orders of convergence,
 * distributions they must reach, the papers' loops written out in their own coordinates, and the
 * drawer's graph against the same chain in double. Most tests run for every sampler of the list. */
#include "sampler/chain.h"

#include "diffusion/step.h"

/* Settings that change what a sampler does. */
static const char *const settings[][2] = {
    { "ddim", "eta=0.5" },
    { "ddim", "eta=1" },
    { "ddpm", "variance=1" },
    { "ddpm", "variance=0.3" },
    { "euler", "s_churn=20" },
    { "heun", "s_churn=20 s_min=0.05 s_max=50" },
    { "dpmpp_2m", "eta=1" },
    { "dpmpp_2m", "eta=1 solver=heun" },
    { "dpmpp_2m", "solver=heun" },
    { "dpmpp_2s", "middle=time" },
    { "sde", "form=vp" },
    { "pc", "corrections=2 snr=0.1" },
    { "addim", "last=x_hat grid=log_snr" },
};

static bool for_teachers(const few_sampler *s)
{
    return s->order > 0 && !s->adaptive;
}

/* The list with defaults, then `settings`: case k, or false after the last. */
static bool each_case(int k, const char **sampler, const char **setting)
{
    for (int j = 0; j < few_n_samplers; j++)
        if (for_teachers(few_samplers[j]) && k-- == 0) {
            *sampler = few_samplers[j]->name;
            *setting = "";
            return true;
        }
    if (k >= (int)FEW_COUNT(settings))
        return false;
    *sampler = settings[k][0];
    *setting = settings[k][1];
    return true;
}

/* A network of points under a cosine schedule with these limits. */
static void make(few_net *n, few_net_shape shape, const char *limit)
{
    few_config c;
    char low[16];
    load_defaults(&c, "diffusion");
    if (shape.h == 8)
        tiny_unet(&c);
    else
        tiny_mlp(&c);
    snprintf(low, sizeof low, "-%s", limit);
    set(&c, "schedule.logsnr_max", limit);
    set(&c, "schedule.logsnr_min", low);
    make_net(n, &c, shape, 5);
    few_config_clear(&c);
}

static const few_net_shape point = { 1, 1, 1, 0 }, points = { 2, 1, 3, 0 }, images = { 8, 8, 1, 3 };

/* ---- data whose denoiser is known -----------------------------------------------------------*/

struct gaussian {
    const few_spec *spec;
    double mean, std;
    int d;
    bool split; /* number 0 carries means, the others are coefficients of independent noise */
};

static void gaussian_x(void *user, const double *z, double t, double *x)
{
    const struct gaussian *g = user;
    double alpha, sigma;
    oracle_path(g->spec, t, &alpha, &sigma);
    const double v = g->std * g->std, noise = sigma / alpha * sigma / alpha;
    for (int i = 0; i < g->d; i++)
        x[i] = (v * z[i] / alpha + (g->split && i ? 0 : noise * g->mean)) / (v + noise);
}

static double exact(double mean, double std, double x, double from, double to)
{
    return mean + (x - mean) * sqrt((std * std + to * to) / (std * std + from * from));
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

static void fresh_noise(void *user, int evaluation, double *xi)
{
    const struct gaussian *g = user;
    for (int i = 0; i < g->d; i += 4) {
        double v[4];
        few_philox_normal((uint32_t[4]){ (uint32_t)i / 4, FEW_RNG_STEP, (uint32_t)evaluation, 0 },
                          (uint32_t[2]){ 1, 2 }, v);
        for (int k = 0; k < 4 && i + k < g->d; k++)
            xi[i + k] = v[k];
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

/* ---- the papers' loops ----------------------------------------------------------------------*/

/* A network that is no straight line, in EDM's coordinates: D(x; s). */
static double curved(double x, double s)
{
    return tanh(0.7 * x / (1 + 0.3 * s)) + 0.1 * sin(3 * x + s);
}

static void curved_x(void *user, const double *z, double t, double *x)
{
    const struct gaussian *g = user;
    double alpha, sigma;
    oracle_path(g->spec, t, &alpha, &sigma);
    for (int i = 0; i < g->d; i++)
        x[i] = curved(z[i] / alpha, sigma / alpha);
}

enum { LOOP = 7 };

/* Karras's grid of LOOP noises and 0. */
static void karras(double s[LOOP + 1])
{
    for (int i = 0; i < LOOP; i++)
        s[i] =
            pow(pow(80, 1 / 7.0) + i / (LOOP - 1.0) * (pow(0.002, 1 / 7.0) - pow(80, 1 / 7.0)), 7);
    s[LOOP] = 0;
}

/* Number j of the noise of evaluation k. */
static double noise_at(int k)
{
    struct gaussian g = { .d = 1 };
    double xi;
    fresh_noise(&g, k, &xi);
    return xi;
}

static void compare(const few_net *n, const char *sampler, const char *setting, double x,
                    double want)
{
    struct gaussian g = { &n->spec, 0, 0, 1, false };
    chain c = {
        .spec = &n->spec, .steps = LOOP, .d = 1, .user = &g, .x_hat = curved_x, .noise = fresh_noise
    };
    chain_open(&c, sampler, setting);
    double s[LOOP + 1], alpha, sigma;
    karras(s);
    const few_sampler_step first = few_sampler_step_of(c.sampler, &n->spec, c.options, 0, LOOP);
    oracle_path(&n->spec, first.t, &alpha, &sigma);
    double z = x * alpha;
    chain_run(&c, &z);
    if (!(fabs(z - want) < 1e-9))
        fail_msg("%s %s: %.12g, the paper's loop gives %.12g", sampler, setting, z, want);
    chain_close(&c);
}

/* arXiv:2206.00364, algorithm 2; the noise before step i is that of the evaluation before. */
static double edm(double x, double churn, bool second_order)
{
    double s[LOOP + 1];
    karras(s);
    for (int i = 0, k = 0; i < LOOP; i++) {
        const double gamma = s[i] >= 0.05 && s[i] <= 50 ? fmin(churn / LOOP, sqrt(2) - 1) : 0;
        const double hat = s[i] * (1 + gamma);
        if (i > 0)
            x += sqrt(hat * hat - s[i] * s[i]) * 1.003 * (gamma > 0 ? noise_at(k - 1) : 0);
        const double d = (x - curved(x, hat)) / hat;
        double next = x + (s[i + 1] - hat) * d;
        k++;
        if (second_order && i < LOOP - 1) {
            const double d2 = (next - curved(next, s[i + 1])) / s[i + 1];
            next = x + (s[i + 1] - hat) * (d + d2) / 2;
            k++;
        }
        x = next;
    }
    return x;
}

/* arXiv:2211.01095 in k-diffusion's coordinates, the SDE included; kind: 1 midpoint, 2 heun. */
static double solver_2m(double x, double eta, int kind)
{
    double s[LOOP + 1], before = 0;
    karras(s);
    for (int i = 0; i < LOOP; i++) {
        const double D = curved(x, s[i]);
        if (s[i + 1] == 0)
            return D;
        const double h = log(s[i]) - log(s[i + 1]), he = eta * h;
        x = s[i + 1] / s[i] * exp(-he) * x + (1 - exp(-h - he)) * D;
        if (i > 0) {
            const double r = (log(s[i - 1]) - log(s[i])) / h;
            x += (kind == 1 ? 0.5 * (1 - exp(-h - he)) : (1 - exp(-h - he)) / (-h - he) + 1) / r *
                 (D - before);
        }
        if (eta > 0)
            x += s[i + 1] * sqrt(1 - exp(-2 * he)) * noise_at(i);
        before = D;
    }
    return x;
}

static double solver_2s(double x)
{
    double s[LOOP + 1];
    karras(s);
    for (int i = 0; i < LOOP - 1; i++) {
        const double h = log(s[i]) - log(s[i + 1]), middle = sqrt(s[i] * s[i + 1]);
        const double u = middle / s[i] * x - expm1(-h / 2) * curved(x, s[i]);
        x = s[i + 1] / s[i] * x - expm1(-h) * curved(u, middle);
    }
    return curved(x, s[LOOP - 1]);
}

static double euler_maruyama(double x)
{
    double s[LOOP + 1];
    karras(s);
    for (int i = 0; i < LOOP - 1; i++) {
        const double v = s[i] * s[i] - s[i + 1] * s[i + 1];
        x += v * (curved(x, s[i]) - x) / (s[i] * s[i]) + sqrt(v) * noise_at(i);
    }
    return curved(x, s[LOOP - 1]);
}

/* With beta's integral over each step, in z. */
static double euler_maruyama_vp(double x)
{
    double s[LOOP + 1];
    karras(s);
    double z = x / sqrt(1 + s[0] * s[0]);
    for (int i = 0; i < LOOP - 1; i++) {
        const double alpha = 1 / sqrt(1 + s[i] * s[i]), next = 1 / sqrt(1 + s[i + 1] * s[i + 1]);
        const double b = -2 * (log(alpha) - log(next));
        const double score = (alpha * curved(z / alpha, s[i]) - z) / (1 - alpha * alpha);
        z += b * (z / 2 + score) + sqrt(b) * noise_at(i);
    }
    return curved(z * sqrt(1 + s[LOOP - 1] * s[LOOP - 1]), s[LOOP - 1]);
}

/* One number is a sample of its own: |score| is its absolute value. */
static double corrected(double x)
{
    double s[LOOP + 1];
    karras(s);
    double z = x / sqrt(1 + s[0] * s[0]);
    for (int i = 0, k = 0; i < LOOP - 1; i++) {
        const double at = 1 / sqrt(1 + s[i] * s[i]), to = 1 / sqrt(1 + s[i + 1] * s[i + 1]);
        const double r = s[i + 1] * s[i + 1] / (s[i] * s[i]);
        z = r * to / at * z + (1 - r) * to * curved(z / at, s[i]) +
            sqrt((1 - r) * (1 - to * to)) * noise_at(k++);
        for (int j = 0; j < 2; j++) {
            const double score = (to * curved(z / to, s[i + 1]) - z) / (1 - to * to);
            const double e = 2 * (at / to) * (at / to) * pow(0.1 / fabs(score), 2);
            z += e * score + sqrt(2 * e) * noise_at(k++);
        }
    }
    return curved(z * sqrt(1 + s[LOOP - 1] * s[LOOP - 1]), s[LOOP - 1]);
}

static void papers_loops(void **state)
{
    (void)state;
    few_net n;
    make(&n, point, "20");
    static const double starts[] = { -90, 3, 60 };
    for (size_t k = 0; k < FEW_COUNT(starts); k++) {
        const double x = starts[k];
        compare(&n, "euler", "", x, edm(x, 0, false));
        compare(&n, "heun", "", x, edm(x, 0, true));
        compare(&n, "euler", "s_churn=3 s_noise=1.003 s_min=0.05 s_max=50", x, edm(x, 3, false));
        compare(&n, "heun", "s_churn=3 s_noise=1.003 s_min=0.05 s_max=50", x, edm(x, 3, true));
        compare(&n, "dpmpp_2m", "", x, solver_2m(x, 0, 1));
        compare(&n, "dpmpp_2m", "solver=heun", x, solver_2m(x, 0, 2));
        compare(&n, "dpmpp_2m", "eta=1", x, solver_2m(x, 1, 1));
        compare(&n, "dpmpp_2m", "eta=0.7 solver=heun", x, solver_2m(x, 0.7, 2));
        compare(&n, "dpmpp_2s", "", x, solver_2s(x));
        compare(&n, "sde", "", x, euler_maruyama(x));
        compare(&n, "sde", "form=vp", x, euler_maruyama_vp(x));
        compare(&n, "pc", "grid=karras corrections=2 snr=0.1", x, corrected(x));
    }
    few_net_free(&n);
}

/* eta = 1 and the small variance are the same step. */
static void ddim_of_eta_1_is_ddpm(void **state)
{
    (void)state;
    few_net n;
    make(&n, point, "15");
    chain a = { .spec = &n.spec }, b = { .spec = &n.spec };
    chain_open(&a, "ddim", "eta=1");
    chain_open(&b, "ddpm", "");
    for (int k = 0; k < 19; k++) { /* but for the last, which ends in x_hat */
        const few_sampler_step s = few_sampler_step_of(a.sampler, &n.spec, a.options, k, 20);
        const few_sampler_step p = few_sampler_step_of(b.sampler, &n.spec, b.options, k, 20);
        double alpha, sigma;
        oracle_path(&n.spec, s.t, &alpha, &sigma);
        const double of_eps = sqrt(s.k0); /* eps_hat = (z - alpha x_hat) / sigma */
        assert_true(fabs(of_eps / sigma - p.z) < 1e-9);
        assert_true(fabs(s.x - of_eps * alpha / sigma - p.x) < 1e-9);
        assert_true(fabs(s.n0 - p.n0) < 1e-12);
    }
    chain_close(&a);
    chain_close(&b);
    few_net_free(&n);
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

/* ---- the drawer -----------------------------------------------------------------------------*/

struct network {
    oracle_net oracle;
    int label;
    uint64_t seed, index;
    int d;
};

static void network_x(void *user, const double *z, double t, double *x)
{
    struct network *w = user;
    oracle_x(&w->oracle, z, t, w->label, NULL, x);
}

static void network_noise(void *user, int evaluation, double *xi)
{
    const struct network *w = user;
    for (int i = 0; i < w->d; i++) {
        double v[4];
        few_philox_normal((uint32_t[4]){ (uint32_t)i / 4, FEW_RNG_STEP, (uint32_t)evaluation,
                                         (uint32_t)w->index },
                          (uint32_t[2]){ (uint32_t)w->seed, (uint32_t)(w->seed >> 32) }, v);
        xi[i] = v[i % 4];
    }
}

static few_drawer *open_drawer(const few_net *n, const chain *c, int workers, int64_t slice)
{
    const few_drawer_options o = { .precision = FEW_PRECISION_F32,
                                   .workers = workers,
                                   .slice = slice,
                                   .needs = few_sampler_needs(c->sampler, c->options) };
    few_drawer *d = NULL;
    few_error err = { 0 };
    if (few_drawer_create(&n->spec, n->master, &o, &d, &err) != FEW_OK)
        fail_msg("%s", err.text);
    return d;
}

/* The graph's steps are the chain's, for every sampler of the list, those of students, too; and the
 * bits of an image do not depend on the images beside it. */
static void drawers_follow_the_chain(const few_net *n, const char *sampler, const char *setting)
{
    enum { N = 5, STEPS = 4 };
    const int d = n->spec.height * n->spec.width * n->spec.channels;
    struct network w = { .seed = UINT64_C(77) << 33 | 5, .d = d };
    chain c = { .spec = &n->spec,
                .steps = STEPS,
                .d = d,
                .user = &w,
                .x_hat = network_x,
                .noise = network_noise };
    float out[N * ORACLE_MAX], again[N * ORACLE_MAX];
    few_error err = { 0 };
    chain_open(&c, sampler, setting);
    few_draw o = {
        .sampler = c.sampler, .options = c.options, .steps = STEPS, .seed = w.seed, .first = 3
    };
    few_drawer *drawer = open_drawer(n, &c, 1, 2);
    expect(few_drawer_draw(drawer, &o, N, out, &err), FEW_OK, &err, "");
    few_drawer_free(drawer);
    oracle_open(&w.oracle, n, false);
    for (int i = 0; i < N; i++) {
        double z[ORACLE_MAX], miss = 0, all = 0;
        w.index = (uint64_t)(o.first + i);
        w.label = n->spec.classes ? (int)(w.index % (uint64_t)n->spec.classes) : 0;
        for (int e = 0; e < d; e++) {
            double v[4];
            few_philox_normal((uint32_t[4]){ (uint32_t)e / 4, FEW_RNG_NOISE, 0, (uint32_t)w.index },
                              (uint32_t[2]){ (uint32_t)w.seed, (uint32_t)(w.seed >> 32) }, v);
            z[e] = (double)(float)v[e % 4];
        }
        chain_run(&c, z);
        for (int e = 0; e < d; e++) {
            miss += pow((double)out[i * d + e] - z[e], 2);
            all += z[e] * z[e];
        }
        if (!(sqrt(miss / all) < 5e-5))
            fail_msg("%s %s, image %d: differs by %g", sampler, setting, i, sqrt(miss / all));
    }
    oracle_close(&w.oracle);
    for (int workers = 1; workers < 3; workers++) {
        drawer = open_drawer(n, &c, workers, workers == 1 ? 3 : 1);
        for (int split = 0; split < N; split++) {
            few_draw second = o;
            second.first += split;
            if (split)
                expect(few_drawer_draw(drawer, &o, split, again, &err), FEW_OK, &err, "");
            expect(few_drawer_draw(drawer, &second, N - split, again + split * d, &err), FEW_OK,
                   &err, "");
            for (int e = 0; e < N * d; e++)
                if (memcmp(out + e, again + e, sizeof *out))
                    fail_msg("%s %s: %d workers, split at %d: other bits", sampler, setting,
                             workers, split);
        }
        few_drawer_free(drawer);
    }
    chain_close(&c);
}

static void drawers(void **state)
{
    (void)state;
    const few_net_shape *const shapes[] = { &points, &images };
    for (size_t j = 0; j < FEW_COUNT(shapes); j++) {
        few_net n;
        const char *sampler, *setting;
        make(&n, *shapes[j], "15");
        for (int k = 0; each_case(k, &sampler, &setting); k++)
            drawers_follow_the_chain(&n, sampler, setting);
        drawers_follow_the_chain(&n, "multistep", "");
        drawers_follow_the_chain(&n, "renoise", "");
        few_net_free(&n);
    }
}

static void drawers_know_what_is_needed(void **state)
{
    (void)state;
    few_net n;
    few_error err = { 0 };
    float out[6];
    make(&n, points, "15");
    chain plain = { .spec = &n.spec }, with = { .spec = &n.spec };
    chain_open(&plain, "ddim", "");
    few_drawer *d = open_drawer(&n, &plain, 1, 1);
    static const char *const wants[][2] = { { "heun", "" }, { "ddim", "eta=1" } };
    for (size_t k = 0; k < FEW_COUNT(wants); k++) {
        chain_open(&with, wants[k][0], wants[k][1]);
        const few_draw o = { .sampler = with.sampler, .options = with.options, .steps = 3 };
        expect(few_drawer_draw(d, &o, 1, out, &err), FEW_EINVAL, &err, wants[k][0]);
        chain_close(&with);
    }
    few_drawer_free(d);
    chain_close(&plain);
    few_net_free(&n);
}

/* ---- refusals -------------------------------------------------------------------------------*/

static void wrong_grids(void **state)
{
    (void)state;
    static const struct {
        const char *sampler, *setting;
        int steps;
        const char *part; /* NULL: allowed */
    } rows[] = {
        { "ddim", "grid=list times=1,0.5", 2, NULL },
        { "ddim", "grid=list times=1,0.5", 3, "2 times for 3 steps" },
        { "ddim", "grid=list", 2, "0 times for 2 steps" },
        { "heun", "grid=list times=1,0.5,0.5", 3, "not falling" },
        { "ddim", "grid=list times=0.5,0", 2, "not falling" },
        { "euler", "sigma_max=1e6", 4, "inside the schedule" },
        { "euler", "sigma_min=1e-7", 4, "inside the schedule" },
        { "euler", "sigma_min=80", 4, "not falling" },
        { "euler", "sigma_max=1e6 grid=time", 4, NULL },
        { "dpmpp_2m", "grid=log_snr", 1, NULL },
        { "pc", "", 100000, NULL },
        { "pc", "", 100001, "100001" },
    };
    few_net n;
    make(&n, point, "15");
    few_strbuf said;
    few_strbuf_init(&said);
    for (size_t k = 0; k < FEW_COUNT(rows); k++) {
        few_error err = { 0 };
        chain c = { .spec = &n.spec };
        chain_open(&c, rows[k].sampler, rows[k].setting);
        expect(c.sampler->check(&n.spec, c.options, rows[k].steps, &said, &err),
               rows[k].part ? FEW_EINVAL : FEW_OK, &err, rows[k].part ? rows[k].part : "");
        chain_close(&c);
    }
    few_strbuf_free(&said);
    few_net_free(&n);
}

static void a_table_is_needed(void **state)
{
    (void)state;
    few_net n;
    few_error err = { 0 };
    few_strbuf said;
    make(&n, point, "15");
    few_strbuf_init(&said);
    chain c = { .spec = &n.spec };
    chain_open(&c, "addim", "x_var=table");
    expect(c.sampler->check(&n.spec, c.options, 4, &said, &err), FEW_EUNSUPPORTED, &err,
           "eval xvar");
    chain_close(&c);
    few_strbuf_free(&said);
    few_net_free(&n);
}

static void students_are_for_their_samplers(void **state)
{
    (void)state;
    few_net n;
    few_strbuf said;
    make(&n, point, "15");
    few_strbuf_init(&said);
    for (int steps = 0; steps < 3; steps++)
        for (int j = 0; j < few_n_samplers; j++) {
            few_error err = { 0 };
            chain c = { .spec = &n.spec };
            n.spec.steps = steps;
            chain_open(&c, few_samplers[j]->name, "");
            const bool fits = c.sampler->order > 0                  ? steps == 0
                              : c.sampler == &few_sampler_multistep ? steps > 0
                                                                    : steps == 1;
            expect(c.sampler->check(&n.spec, c.options, 2, &said, &err),
                   fits ? FEW_OK : FEW_EUNSUPPORTED, &err, fits ? "" : "use");
            chain_close(&c);
        }
    few_strbuf_free(&said);
    few_net_free(&n);
}

/* A chain may be cut between steps, but not where a sampler looks back. */
static void parts(void **state)
{
    (void)state;
    few_net n;
    few_error err = { 0 };
    int begin, end;
    make(&n, point, "15");
    chain c = { .spec = &n.spec };
    chain_open(&c, "heun", "grid=time");
    expect(few_sampler_part(c.sampler, &n.spec, c.options, 4, 0.75, 0.25, &begin, &end, &err),
           FEW_OK, &err, "");
    assert_int_equal(begin, 2);
    assert_int_equal(end, 6);
    expect(few_sampler_part(c.sampler, &n.spec, c.options, 4, 0.25, 0, &begin, &end, &err), FEW_OK,
           &err, "");
    assert_int_equal(begin, 6);
    assert_int_equal(end, 7);
    chain_close(&c);
    chain_open(&c, "dpmpp_2s", "grid=time middle=time");
    expect(few_sampler_part(c.sampler, &n.spec, c.options, 2, 1, 0.75, &begin, &end, &err),
           FEW_EINVAL, &err, "does not stop");
    chain_close(&c);
    chain_open(&c, "dpmpp_2m", "grid=time");
    expect(few_sampler_part(c.sampler, &n.spec, c.options, 4, 1, 0.25, &begin, &end, &err), FEW_OK,
           &err, "");
    assert_int_equal(end, 3);
    expect(few_sampler_part(c.sampler, &n.spec, c.options, 4, 0.5, 0, &begin, &end, &err),
           FEW_EINVAL, &err, "remembers");
    chain_close(&c);
    few_net_free(&n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(karras_table),
        cmocka_unit_test(orders),
        cmocka_unit_test(vectors),
        cmocka_unit_test(papers_loops),
        cmocka_unit_test(ddim_of_eta_1_is_ddpm),
        cmocka_unit_test(gaussians_are_reached),
        cmocka_unit_test(mixtures_are_reached),
        cmocka_unit_test(ends_of_time_are_finite),
        cmocka_unit_test(drawers),
        cmocka_unit_test(drawers_know_what_is_needed),
        cmocka_unit_test(wrong_grids),
        cmocka_unit_test(a_table_is_needed),
        cmocka_unit_test(students_are_for_their_samplers),
        cmocka_unit_test(parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

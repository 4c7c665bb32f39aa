/* Samplers against their papers' loops, written out in the papers' own coordinates. */
#include "sampler/cases.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(papers_loops),
        cmocka_unit_test(ddim_of_eta_1_is_ddpm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

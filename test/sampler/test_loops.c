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
    double xi;
    normals(k, 0, 1, &xi);
    return xi;
}

static bool compared[64]; /* by place in few_samplers */

static void compare(const few_net *n, const char *sampler, const char *setting, double x,
                    double want)
{
    assert_true((size_t)few_n_samplers <= FEW_COUNT(compared));
    for (int k = 0; k < few_n_samplers; k++)
        compared[k] |= !strcmp(few_samplers[k]->name, sampler);
    struct gaussian g = { &n->spec, 0, 0, 1, false };
    chain c = { .spec = &n->spec,
                .steps = LOOP,
                .d = 1,
                .user = &g,
                .x_hat = curved_x,
                .noise = gaussian_noise };
    chain_open(&c, sampler, setting);
    double s[LOOP + 1], alpha, sigma;
    karras(s);
    const few_sampler_step first = few_sampler_step_of(c.sampler, &n->spec, c.options, 0, LOOP);
    oracle_path(&n->spec, first.t, &alpha, &sigma);
    double z = x * alpha;
    c.stop = !strcmp(sampler, "ddim") ? LOOP - 1 : 0; /* its last step goes to t = 0 */
    chain_run(&c, &z);
    if (c.stop)
        z *= sqrt(1 + s[LOOP - 1] * s[LOOP - 1]);
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

/* arXiv:2010.02502, equations 12 and 16, in z, between any two times. */
static double ddim(double x, double eta)
{
    double s[LOOP + 1];
    karras(s);
    double z = x / sqrt(1 + s[0] * s[0]);
    for (int i = 0; i < LOOP - 1; i++) {
        const double a = 1 / (1 + s[i] * s[i]), b = 1 / (1 + s[i + 1] * s[i + 1]); /* alpha^2 */
        const double x_hat = curved(z / sqrt(a), s[i]), eps = (z - sqrt(a) * x_hat) / sqrt(1 - a);
        const double e = eta * sqrt((1 - b) / (1 - a)) * sqrt(1 - a / b);
        z = sqrt(b) * x_hat + sqrt(1 - b - e * e) * eps + (eta > 0 ? e * noise_at(i) : 0);
    }
    return z * sqrt(1 + s[LOOP - 1] * s[LOOP - 1]);
}

/* arXiv:2006.11239, equations 6 and 7, with beta_t = 1 - alpha_t^2 / alpha_s^2 and the variance
 * from beta_t (1 - alpha_s^2) / (1 - alpha_t^2) to beta_t, as arXiv:2102.09672 interpolates it. */
static double ancestral(double x, double between)
{
    double s[LOOP + 1];
    karras(s);
    double z = x / sqrt(1 + s[0] * s[0]);
    for (int i = 0; i < LOOP - 1; i++) {
        const double a = 1 / (1 + s[i] * s[i]), b = 1 / (1 + s[i + 1] * s[i + 1]);
        const double beta = 1 - a / b, small = beta * (1 - b) / (1 - a);
        z = sqrt(b) * beta / (1 - a) * curved(z / sqrt(a), s[i]) +
            sqrt(a / b) * (1 - b) / (1 - a) * z +
            exp((between * log(beta) + (1 - between) * log(small)) / 2) * noise_at(i);
    }
    return curved(z * sqrt(1 + s[LOOP - 1] * s[LOOP - 1]), s[LOOP - 1]);
}

/* arXiv:2403.06807: Euler's step of EDM from a prediction with noise of variance x_var added. */
static double noisy(double x, double part)
{
    double s[LOOP + 1];
    karras(s);
    for (int i = 0; i < LOOP - 1; i++) {
        const double x_var = part / (2 + 1 / (s[i] * s[i]));
        const double D = curved(x, s[i]) + sqrt(x_var) * noise_at(i);
        x += (s[i + 1] - s[i]) * (x - D) / s[i];
    }
    return curved(x, s[LOOP - 1]);
}

/* The same paper, algorithm 3, of one number: ||eps||^2 / d is its square. */
static double adjusted(double x, double part)
{
    double s[LOOP + 1];
    karras(s);
    double z = x / sqrt(1 + s[0] * s[0]);
    for (int i = 0; i < LOOP - 1; i++) {
        const double at = 1 / sqrt(1 + s[i] * s[i]), to = 1 / sqrt(1 + s[i + 1] * s[i + 1]);
        const double st = s[i] * at, ss = s[i + 1] * to;
        const double x_hat = curved(z / at, s[i]), eps = (z - at * x_hat) / st;
        const double z_var = pow(to - at * ss / st, 2) * part / (2 + at * at / (st * st));
        z = to * x_hat + sqrt(ss * ss + z_var / (eps * eps)) * eps;
    }
    return curved(z * sqrt(1 + s[LOOP - 1] * s[LOOP - 1]), s[LOOP - 1]);
}

/* arXiv:2303.01469, algorithm 1; `least`: its epsilon, the noise of what f returns. */
static double consistency(double x, double least)
{
    double s[LOOP + 1];
    karras(s);
    x = curved(x, s[0]);
    for (int i = 1; i < LOOP; i++)
        x = curved(x + sqrt(s[i] * s[i] - least * least) * noise_at(i - 1), s[i]);
    return x;
}

/* arXiv:2403.06807, algorithm 2, at equal times of the cosine clipped at log SNR -20 and 20, whose
 * angle is linear in time: DDIM to the next of them, which in x is a straight line to x_hat. */
static double segments(double x)
{
    const double b = atan(exp(-10)), a = atan(exp(10)) - b;
    for (int i = 0; i < LOOP - 1; i++) {
        const double s = tan(a * (LOOP - i) / LOOP + b), next = tan(a * (LOOP - i - 1) / LOOP + b);
        const double D = curved(x, s);
        x = D + next / s * (x - D);
    }
    return curved(x, tan(a / LOOP + b));
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
        compare(&n, "ddim", "grid=karras", x, ddim(x, 0));
        compare(&n, "ddim", "grid=karras eta=0.5", x, ddim(x, 0.5));
        compare(&n, "ddim", "grid=karras eta=1", x, ddim(x, 1));
        compare(&n, "ddpm", "grid=karras", x, ancestral(x, 0));
        compare(&n, "ddpm", "grid=karras variance=0.3", x, ancestral(x, 0.3));
        compare(&n, "ddpm", "grid=karras variance=1", x, ancestral(x, 1));
        compare(&n, "noisy_ddim", "grid=karras", x, noisy(x, 0.1));
        compare(&n, "noisy_ddim", "grid=karras x_frac=0.4", x, noisy(x, 0.4));
        compare(&n, "addim", "grid=karras last=x_hat x_frac=0.4", x, adjusted(x, 0.4));
        compare(&n, "multistep", "", 1000 * x, segments(1000 * x));
        compare(&n, "renoise", "grid=karras", x, consistency(x, 0));
        n.spec.prediction.sigma_min = 0.0015;
        compare(&n, "renoise", "grid=karras", x, consistency(x, 0.0015));
        n.spec.prediction.sigma_min = 0;
    }
    for (int k = 0; k < few_n_samplers; k++)
        if (with_steps(few_samplers[k]) && !compared[k])
            fail_msg("'%s' has no paper's loop here", few_samplers[k]->name);
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

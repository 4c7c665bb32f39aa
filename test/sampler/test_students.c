/* Samplers of students with the exact student of data that are known: what they draw is exact. */
#include "sampler/cases.h"

static double phi_of(const few_spec *s, double t)
{
    return few_schedule_phi(&s->schedule, t);
}

/* ---- multistep ------------------------------------------------------------------------------*/

enum { POINTS = 8, RK4 = 2000 };
static const few_gauss gauss = { 0.2, 0.5 };

/* The exact multistep consistency function of so many segments, of the mixture or the Gaussian. */
struct segments {
    const few_spec *spec;
    int n;
    bool mixture;
};

static double flow(const struct segments *s, double t, double to, double z)
{
    return s->mixture
               ? few_mixture_flow(&two_modes, phi_of(s->spec, t), phi_of(s->spec, to), z, RK4)
               : few_gauss_flow(&gauss, phi_of(s->spec, t), phi_of(s->spec, to), z);
}

static void segment_x(void *user, const double *z, double t, double *x)
{
    const struct segments *s = user;
    const double start = (ceil(t * s->n - 1e-9) - 1) / s->n, a = phi_of(s->spec, t),
                 b = phi_of(s->spec, start);
    for (int i = 0; i < POINTS; i++)
        x[i] = s->mixture ? few_mixture_consistency(&two_modes, a, b, z[i], RK4)
                          : few_gauss_consistency(&gauss, a, b, z[i]);
}

/* Along the flow to the last segment, and x_hat there, which is the data but for sigma_0. */
static void multistep_is_exact(void **state)
{
    (void)state;
    few_net n;
    make(&n, point, "15");
    const double sigma_0 = sin(phi_of(&n.spec, 0));
    for (int mixture = 0; mixture < 2; mixture++)
        for (int steps = 1; steps <= 8; steps *= 2) {
            struct segments s = { &n.spec, steps, mixture };
            chain c = {
                .spec = &n.spec, .steps = steps, .d = POINTS, .user = &s, .x_hat = segment_x
            };
            double z[POINTS], from[POINTS], last[POINTS], x[POINTS];
            for (int i = 0; i < POINTS; i++) {
                from[i] = z[i] = -2.5 + 5.0 * i / (POINTS - 1);
                last[i] = flow(&s, 1, 1.0 / steps, z[i]);
            }
            if (steps == 1)
                memcpy(last, from, sizeof last);
            segment_x(&s, last, 1.0 / steps, x);
            chain_open(&c, "multistep", "");
            chain_run(&c, z);
            assert_int_equal(c.evaluations, steps);
            for (int i = 0; i < POINTS; i++) {
                const double data = flow(&s, 1, 0, from[i]);
                if (!(fabs(z[i] - x[i]) < (mixture ? 1e-7 : 1e-11)))
                    fail_msg("%d steps from %g: %.12g, wanted %.12g", steps, from[i], z[i], x[i]);
                /* x_hat = (z_0 - r z) / D, r = sigma_0 / sigma_t */
                const double r = sigma_0 / sin(phi_of(&n.spec, 1.0 / steps));
                if (!(fabs(z[i] - data) < 2 * r * (fabs(data) + fabs(last[i]))))
                    fail_msg("%d steps from %g: %.12g, the data are %.12g", steps, from[i], z[i],
                             data);
            }
            chain_close(&c);
        }
    few_net_free(&n);
}

/* ---- renoise --------------------------------------------------------------------------------*/

/* The exact consistency function of a Gaussian: to the least noise it knows. */
static void consistency_x(void *user, const double *z, double t, double *x)
{
    const struct gaussian *g = user;
    double alpha, sigma;
    oracle_path(g->spec, t, &alpha, &sigma);
    const double v = g->std * g->std, noise = sigma / alpha, e = g->spec->prediction.sigma_min;
    const double scale = sqrt((v + e * e) / (v + noise * noise));
    for (int i = 0; i < g->d; i++) {
        const double mean = i ? 0 : g->mean;
        x[i] = mean + (z[i] / alpha - mean) * scale;
    }
}

static void split_noise(void *user, int evaluation, double *xi)
{
    const struct gaussian *g = user;
    memset(xi, 0, (size_t)g->d * sizeof *xi);
    xi[evaluation + 2] = 1;
}

/* Whatever the grid, and however often noise is added again: the data with their least noise. */
static void renoise_is_exact(void **state)
{
    (void)state;
    enum { D = 16 };
    static const struct {
        double sigma_min, sigma_max;
    } models[] = { { 0, 0 }, { 0, 80 }, { 0.002, 80 }, { 0.02, 5 } };
    static const struct {
        const char *setting;
        int steps;
    } grids[] = {
        { "", 1 },
        { "", 2 },
        { "grid=time", 9 },
        { "grid=log_snr", 2 },
        { "grid=log_snr", 12 },
        { "grid=karras sigma_min=0.05", 1 },
        { "grid=karras sigma_min=0.05", 6 },
        { "grid=list times=0.8,0.5,0.1", 3 },
    };
    few_net n;
    make(&n, point, "15");
    n.spec.steps = 1;
    for (size_t m = 0; m < FEW_COUNT(models); m++)
        for (size_t k = 0; k < FEW_COUNT(grids); k++) {
            struct gaussian g = { &n.spec, 0.2, 0.5, D, true };
            chain c = { .spec = &n.spec,
                        .steps = grids[k].steps,
                        .d = D,
                        .user = &g,
                        .x_hat = consistency_x,
                        .noise = split_noise,
                        .split = true };
            double z[D] = { 0 }, alpha, sigma, square = 0;
            few_error err = { 0 };
            n.spec.sigma_max = models[m].sigma_max;
            n.spec.prediction.sigma_min = models[m].sigma_min;
            chain_open(&c, "renoise", grids[k].setting);
            expect(c.sampler->check(&n.spec, c.options, c.steps, NULL, &err), FEW_OK, &err, "");
            const few_sampler_step first =
                few_sampler_step_of(c.sampler, &n.spec, c.options, 0, c.steps);
            oracle_path(&n.spec, first.t, &alpha, &sigma);
            z[0] = alpha * 0.2;
            z[1] = sqrt(alpha * alpha * 0.25 + sigma * sigma);
            chain_run(&c, z);
            for (int i = 1; i < D; i++)
                square += z[i] * z[i];
            const double e = models[m].sigma_min;
            if (!(fabs(z[0] - 0.2) < 1e-9 && fabs(square - 0.25 - e * e) < 1e-9))
                fail_msg("model %zu, renoise %s in %d steps: mean %.12g, variance %.12g", m,
                         grids[k].setting, c.steps, z[0], square);
            chain_close(&c);
        }
    few_net_free(&n);
}

/* Every grid begins with the noise that a consistency model was trained for, or at t = 1. */
static void grids_begin_where_the_model_does(void **state)
{
    (void)state;
    static const double most[] = { 0, 80, 5 };
    test_case at = { &few_sampler_renoise, "renoise", "" };
    few_net n;
    char choice[32], text[64];
    int grids = 0;
    make(&n, point, "15");
    const few_option *o = few_option_find(at.sampler->options, "grid");
    for (size_t k = 0; k < FEW_COUNT(most); k++)
        for (int i = 0; choice_of(o, i, choice); i++)
            for (int steps = 1; steps < 20; steps += 6) {
                chain c = { .spec = &n.spec };
                double alpha, sigma;
                if (!strcmp(choice, "list"))
                    continue;
                n.spec.sigma_max = most[k];
                n.spec.prediction.sigma_min = most[k] > 0 ? 0.002 : 0;
                snprintf(text, sizeof text, "grid=%s", choice);
                chain_open(&c, at.name, text);
                const few_sampler_step first = few_sampler_step_of(at.sampler, &n.spec, c.options,
                                                                   0, steps),
                                       last = few_sampler_step_of(at.sampler, &n.spec, c.options,
                                                                  steps - 1, steps);
                oracle_path(&n.spec, first.t, &alpha, &sigma);
                const double want = most[k] > 0                ? most[k]
                                    : strcmp(choice, "karras") ? exp(7.5)
                                                               : 80;
                if (!(fabs(sigma / alpha / want - 1) < 1e-9))
                    fail_msg("%s in %d steps begins at noise %g, wanted %g", text, steps,
                             sigma / alpha, want);
                oracle_path(&n.spec, last.t, &alpha, &sigma);
                assert_true(sigma / alpha > n.spec.prediction.sigma_min * (1 - 1e-9));
                chain_close(&c);
                grids++;
            }
    assert_true(grids >= 3 * 3 * 4);
    few_net_free(&n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(multistep_is_exact),
        cmocka_unit_test(renoise_is_exact),
        cmocka_unit_test(grids_begin_where_the_model_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

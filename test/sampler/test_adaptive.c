/* The adaptive sampler: the paper's loop written out against few_adaptive's numbers, the drawer
 * against the same in double, what it reaches, and that images do not depend on their neighbours.
 */
#include "sampler/cases.h"

enum { D = ORACLE_MAX };

typedef void x_hat_fn(void *user, const double *z, double t, double *x);
typedef void noise_fn(void *user, int trial, double *xi);

/* ---- one sample by the sampler's functions --------------------------------------------------*/

static void apply(const few_sampler_step *s, int d, const double *z, const double *base,
                  const double *x, const double *xi, double *out)
{
    for (int i = 0; i < d; i++)
        out[i] = s->z * z[i] + s->x * x[i] + s->base * base[i] + sqrt(s->n0) * xi[i];
    assert_true(s->k0 == 0 && s->k1 == 0 && s->k2 == 0 && s->n1 == 0 && s->past == 0);
}

/* Returns the evaluations made. */
static int walk(const few_spec *spec, const few_sampler *sampler, const void *options, int d,
                x_hat_fn *x_hat, noise_fn *noise, void *user, double *z)
{
    const few_adaptive *a = sampler->adaptive;
    double x[ORACLE_MAX], xi[ORACLE_MAX], first[ORACLE_MAX], second[ORACLE_MAX], past[ORACLE_MAX];
    few_trial at;
    int evaluations = 0;
    a->begin(spec, options, &at);
    memcpy(past, z, (size_t)d * sizeof *z);
    for (int trial = 0; at.t > at.end + 1e-9; trial++) {
        few_sampler_step s = { 0 };
        double sum = 0;
        assert_in_range(trial, 0, 100000);
        noise(user, trial, xi);
        a->step(spec, options, &at, 0, &s);
        x_hat(user, z, s.t, x);
        apply(&s, d, z, z, x, xi, first);
        s = (few_sampler_step){ 0 };
        a->step(spec, options, &at, 1, &s);
        x_hat(user, first, s.t, x);
        apply(&s, d, first, z, x, xi, second);
        evaluations += 2;
        for (int i = 0; i < d; i++)
            sum += pow((second[i] - first[i]) /
                           fmax(at.error_abs, at.error_scale * fmax(fabs(past[i]), fabs(first[i]))),
                       2);
        if (a->next(options, &at, sqrt(sum / d))) {
            memcpy(past, first, (size_t)d * sizeof *z);
            memcpy(z, second, (size_t)d * sizeof *z);
        }
    }
    x_hat(user, z, at.t, x);
    memcpy(z, x, (size_t)d * sizeof *z);
    return evaluations + 1;
}

/* ---- one sample by the paper ----------------------------------------------------------------*/

/* Algorithm 1 as printed, for the cosine clipped at log SNR -15 and 15, where phi = a t + b. */
static int paper(double abs_tol, double rel_tol, int d, x_hat_fn *x_hat, noise_fn *noise,
                 void *user, double *z)
{
    const double b = atan(exp(-7.5)), a = atan(exp(7.5)) - b, end = 1e-3;
    double t = (atan(80) - b) / a, h = 0.01;
    double x[ORACLE_MAX], xi[ORACLE_MAX], k1[ORACLE_MAX], k2[ORACLE_MAX], once[ORACLE_MAX],
        past[ORACLE_MAX];
    int evaluations = 0;
    memcpy(past, z, (size_t)d * sizeof *z);
    for (int trial = 0; t - end > 1e-9; trial++) {
        double sum = 0;
        noise(user, trial, xi);
        for (int half = 0; half < 2; half++) {
            const double at = half ? t - h : t, alpha = cos(a * at + b), sigma = sin(a * at + b);
            const double beta = 2 * a * tan(a * at + b); /* -2 d ln(alpha) / dt */
            const double *in = half ? once : z;
            x_hat(user, in, at, x);
            for (int i = 0; i < d; i++) {
                const double score = (alpha * x[i] - in[i]) / (sigma * sigma);
                const double drift = -beta / 2 * in[i] - beta * score;
                (half ? k2 : k1)[i] = -h * drift + sqrt(beta) * sqrt(h) * xi[i];
                if (!half)
                    once[i] = z[i] + k1[i];
            }
        }
        evaluations += 2;
        for (int i = 0; i < d; i++) {
            const double error = (k2[i] - k1[i]) / 2;
            sum += pow(error / fmax(abs_tol, rel_tol * fmax(fabs(past[i]), fabs(once[i]))), 2);
        }
        const double error = sqrt(sum / d);
        if (error <= 1) {
            for (int i = 0; i < d; i++) {
                z[i] += (k1[i] + k2[i]) / 2;
                past[i] = once[i];
            }
            t -= h;
        }
        h = fmin(fmax(t - end, 0), 0.9 * h * pow(error, -0.9));
    }
    x_hat(user, z, t, x);
    memcpy(z, x, (size_t)d * sizeof *z);
    return evaluations + 1;
}

/* ---- closed forms ---------------------------------------------------------------------------*/

/* Data, and a sample of them whose noise is its own. */
struct sample {
    struct gaussian gaussian;
    struct mixture mixture;
    uint32_t index;
};

static struct sample sample_of(const few_spec *spec, uint32_t index)
{
    return (struct sample){ { spec, 0.2, 0.5, D, false }, { spec, D }, index };
}

static void sample_gaussian(void *user, const double *z, double t, double *x)
{
    gaussian_x(&((struct sample *)user)->gaussian, z, t, x);
}

static void sample_mixture(void *user, const double *z, double t, double *x)
{
    mixture_x(&((struct sample *)user)->mixture, z, t, x);
}

static void sample_noise(void *user, int trial, double *xi)
{
    normals(trial, ((const struct sample *)user)->index, D, xi);
}

static void *options_of(double rel_tol, double abs_tol)
{
    void *o;
    few_error err = { 0 };
    char rel[32], abs[32], *v[] = { rel, abs };
    const few_strings both = { .v = v, .n = 2 };
    snprintf(rel, sizeof rel, "rel_tol=%.17g", rel_tol);
    snprintf(abs, sizeof abs, "abs_tol=%.17g", abs_tol);
    assert_int_equal(few_sampler_options_make(&few_sampler_adaptive, &o, &err), FEW_OK);
    assert_int_equal(few_sampler_options_set(&few_sampler_adaptive, o, &both, &err), FEW_OK);
    return o;
}

static void the_papers_loop(void **state)
{
    (void)state;
    few_net n;
    make(&n, (few_net_shape){ 2, 2, 3, 0 }, "15");
    void *o = options_of(0.02, 0.0078);
    for (uint32_t index = 0; index < 20; index++) {
        struct sample g = sample_of(&n.spec, index);
        double a[D], b[D];
        sample_noise(&g, 1 << 20, a);
        memcpy(b, a, sizeof a);
        const int have =
            walk(&n.spec, &few_sampler_adaptive, o, D, sample_gaussian, sample_noise, &g, a);
        const int want = paper(0.0078, 0.02, D, sample_gaussian, sample_noise, &g, b);
        assert_int_equal(have, want);
        for (int i = 0; i < D; i++)
            if (!(fabs(a[i] - b[i]) < 1e-7))
                fail_msg("sample %u: %.10g, the paper's loop gives %.10g", index, a[i], b[i]);
    }
    few_sampler_options_free(&few_sampler_adaptive, o);
    few_net_free(&n);
}

/* The right mean and variance, and fewer evaluations where more error is allowed. */
static void the_distribution_is_reached(void **state)
{
    (void)state;
    enum { SAMPLES = 60 };
    static const double tolerance[] = { 0.1, 0.02, 0.005 };
    few_net n;
    double before = 1e9;
    make(&n, (few_net_shape){ 2, 2, 3, 0 }, "15");
    for (size_t k = FEW_COUNT(tolerance); k-- > 0;) {
        void *o = options_of(tolerance[k], 0.0078);
        double mean = 0, square = 0, evaluations = 0;
        for (uint32_t index = 0; index < SAMPLES; index++) {
            struct sample g = sample_of(&n.spec, index);
            double z[D];
            sample_noise(&g, 1 << 20, z);
            evaluations +=
                walk(&n.spec, &few_sampler_adaptive, o, D, sample_gaussian, sample_noise, &g, z) /
                (double)SAMPLES;
            for (int i = 0; i < D; i++) {
                mean += z[i] / (SAMPLES * D);
                square += (z[i] - 0.2) * (z[i] - 0.2) / (SAMPLES * D);
            }
        }
        /* a mean of 11,520 has 0.0047, their deviation 0.0033 */
        if (!(fabs(mean - 0.2) < 0.02 && fabs(sqrt(square) - 0.5) < 0.013))
            fail_msg("rel_tol %g: mean %.4f, standard deviation %.4f", tolerance[k], mean,
                     sqrt(square));
        if (!(evaluations < before && evaluations > 4))
            fail_msg("rel_tol %g: %.1f evaluations, %.1f with less error", tolerance[k],
                     evaluations, before);
        before = evaluations;
        few_sampler_options_free(&few_sampler_adaptive, o);
    }
    few_net_free(&n);
}

/* Every sampler with steps of its own, as it comes. */
static void mixtures_are_reached(void **state)
{
    (void)state;
    enum { SAMPLES = 100 };
    few_net n;
    test_case at;
    int samplers = 0;
    make(&n, point, "15");
    for (int k = 0; each_case(k, with_steps_of_their_own, &at); k++, samplers++) {
        chain c = { .spec = &n.spec };
        double mean = 0, square = 0, within = 0;
        chain_open(&c, at.name, at.setting);
        for (uint32_t index = 0; index < SAMPLES; index++) {
            struct sample g = sample_of(&n.spec, index);
            double z[D];
            sample_noise(&g, 1 << 20, z);
            walk(&n.spec, at.sampler, c.options, D, sample_mixture, sample_noise, &g, z);
            for (int i = 0; i < D; i++) {
                const double off = z[i] - (z[i] > 0 ? 1 : -1);
                mean += z[i] / (SAMPLES * D);
                square += z[i] * z[i] / (SAMPLES * D);
                within += off * off / (SAMPLES * D);
            }
        }
        /* a mean of 19,200 has 0.0069, one of squares 0.0037 */
        if (!(fabs(mean - MIXTURE_MEAN) < 0.03 && fabs(square - MIXTURE_SQUARE) < 0.03 &&
              fabs(sqrt(within) - 0.25) < 0.01))
            fail_msg("%s %s: mean %.4f, square %.4f, width of a mode %.4f", at.name, at.setting,
                     mean, square, sqrt(within));
        chain_close(&c);
    }
    assert_true(samplers > 0);
    few_net_free(&n);
}

/* In double and in the drawer's floats, with the widest schedules and all the time there is. */
static void ends_of_time_are_finite(void **state)
{
    (void)state;
    enum { IMAGES = 3 };
    static const char *const limits[] = { "10", "20", "50" };
    test_case at;
    for (size_t a = 0; a < FEW_COUNT(limits); a++) {
        few_net n;
        make(&n, points, limits[a]);
        for (int k = 0; each_case(k, with_steps_of_their_own, &at); k++)
            for (int widest = 0; widest < 2; widest++) {
                chain c = { .spec = &n.spec };
                char text[128];
                double z[D];
                float out[IMAGES * 6];
                few_error err = { 0 };
                few_strbuf said;
                struct sample g = sample_of(&n.spec, 1);
                few_strbuf_init(&said);
                snprintf(text, sizeof text, "%s", at.setting);
                if (widest && at.sampler == &few_sampler_adaptive)
                    snprintf(text, sizeof text, "%s sigma_max=%.17g end=1e-6", at.setting,
                             fmin(1e9, exp(-few_schedule_log_snr(&n.spec.schedule, 1) / 2)));
                chain_open(&c, at.name, text);
                expect(at.sampler->check(&n.spec, c.options, 1, &said, &err), FEW_OK, &err, "");
                sample_noise(&g, 1 << 20, z);
                walk(&n.spec, at.sampler, c.options, D, sample_gaussian, sample_noise, &g, z);
                for (int i = 0; i < D; i++)
                    if (!(fabs(z[i]) < 10))
                        fail_msg("%s %s, limits %s: %g", at.name, text, limits[a], z[i]);
                const few_drawer_options po = { .precision = FEW_PRECISION_F32,
                                                .workers = 1,
                                                .needs = few_sampler_needs(at.sampler, c.options) };
                const few_draw o = { .sampler = at.sampler, .options = c.options, .steps = 1 };
                few_drawer *d;
                expect(few_drawer_create(&n.spec, n.master, &po, &d, &err), FEW_OK, &err, "");
                expect(few_drawer_draw(d, &o, IMAGES, out, &err), FEW_OK, &err, "");
                for (int i = 0; i < IMAGES * 6; i++)
                    if (!isfinite(out[i]))
                        fail_msg("%s %s, limits %s: %g in floats", at.name, text, limits[a],
                                 (double)out[i]);
                few_drawer_free(d);
                chain_close(&c);
                few_strbuf_free(&said);
            }
        few_net_free(&n);
    }
}

/* ---- the drawer -----------------------------------------------------------------------------*/

struct network {
    oracle_net oracle;
    int label, d;
    uint32_t index;
};

static void network_x(void *user, const double *z, double t, double *x)
{
    struct network *w = user;
    oracle_x(&w->oracle, z, t, w->label, NULL, x);
}

static void network_noise(void *user, int trial, double *xi)
{
    const struct network *w = user;
    for (int i = 0; i < w->d; i++) {
        double v[4];
        few_philox_normal((uint32_t[4]){ (uint32_t)i / 4, FEW_RNG_STEP, (uint32_t)trial, w->index },
                          (uint32_t[2]){ 9, 0 }, v);
        xi[i] = v[i % 4];
    }
}

static int watched(void *user, int64_t done, int64_t total)
{
    int64_t *last = user;
    assert_true(done > *last && done <= total);
    *last = done;
    return 0;
}

static int at_once(void *user, int64_t done, int64_t total)
{
    (void)user;
    (void)done;
    (void)total;
    return 1;
}

/* However the work is cut images have the same bits; in f32 they are the oracle's. */
static void draw_alike(double tolerance, bool by_oracle)
{
    enum { N = 7 };
    static const few_net_shape shapes[] = { { 2, 1, 3, 0 }, { 8, 8, 1, 3 } };
    static const struct {
        int workers;
        int64_t slice, images;
    } cuts[] = { { 1, 1, 0 }, { 1, 3, 0 }, { 2, 2, 0 }, { 1, 2, 2 } };
    for (size_t j = 0; j < FEW_COUNT(shapes); j++) {
        few_net n;
        few_error err = { 0 };
        make(&n, shapes[j], "15");
        const int d = n.spec.height * n.spec.width * n.spec.channels;
        void *options = options_of(tolerance, tolerance);
        float first[2][N * ORACLE_MAX], again[N * ORACLE_MAX]; /* f32, bf16 */
        int64_t evaluated = 0, same[2];
        few_draw o = { .sampler = &few_sampler_adaptive,
                       .options = options,
                       .steps = 1,
                       .seed = 9,
                       .first = 4,
                       .evaluated = &evaluated };
        for (size_t k = 0; k < 2 * FEW_COUNT(cuts); k++) {
            const size_t cut = k % FEW_COUNT(cuts);
            const bool bf16 = k >= FEW_COUNT(cuts);
            const few_drawer_options po = { .precision =
                                                bf16 ? FEW_PRECISION_BF16 : FEW_PRECISION_F32,
                                            .workers = cuts[cut].workers,
                                            .slice = cuts[cut].slice,
                                            .images = cuts[cut].images,
                                            .needs = FEW_NEEDS_MEMORY | FEW_NEEDS_NOISE };
            few_drawer *drawer;
            int64_t last = 0;
            expect(few_drawer_create(&n.spec, n.master, &po, &drawer, &err), FEW_OK, &err, "");
            o.progress = watched;
            o.user = &last;
            expect(few_drawer_draw(drawer, &o, N, cut ? again : first[bf16], &err), FEW_OK, &err,
                   "");
            assert_int_equal(last, N * few_draw_evaluations(&o));
            if (cut == 0)
                same[bf16] = evaluated;
            assert_int_equal(evaluated, same[bf16]);
            if (cut && memcmp(first[bf16], again, (size_t)(N * d) * sizeof *again))
                fail_msg("case %zu: other bits", k);
            o.progress = at_once;
            expect(few_drawer_draw(drawer, &o, N, again, &err), FEW_ECANCELED, &err, "canceled");
            few_drawer_free(drawer);
        }
        struct network w = { .d = d };
        int want = by_oracle ? 0 : (int)same[0];
        oracle_open(&w.oracle, &n, false);
        for (int i = 0; by_oracle && i < N; i++) {
            double z[ORACLE_MAX], miss = 0, all = 0;
            w.index = (uint32_t)(o.first + i);
            w.label = n.spec.classes ? (int)w.index % n.spec.classes : 0;
            for (int e = 0; e < d; e++) {
                double v[4];
                few_philox_normal((uint32_t[4]){ (uint32_t)e / 4, FEW_RNG_NOISE, 0, w.index },
                                  (uint32_t[2]){ 9, 0 }, v);
                z[e] = (double)(float)v[e % 4];
            }
            want +=
                walk(&n.spec, &few_sampler_adaptive, options, d, network_x, network_noise, &w, z);
            for (int e = 0; e < d; e++) {
                miss += pow((double)first[0][i * d + e] - z[e], 2);
                all += z[e] * z[e];
            }
            if (!(sqrt(miss / all) < 1e-3))
                fail_msg("image %d differs by %g", i, sqrt(miss / all));
        }
        assert_int_equal(same[0], want);
        oracle_close(&w.oracle);
        few_sampler_options_free(&few_sampler_adaptive, options);
        few_net_free(&n);
    }
}

static void drawers_walk_alike(void **state)
{
    (void)state;
    draw_alike(1, true);     /* no trial near refusal: rounding would decide */
    draw_alike(0.05, false); /* images refuse trials of their own */
}

static void what_cannot_be(void **state)
{
    (void)state;
    few_net n;
    few_error err = { 0 };
    few_strbuf said;
    int begin, end;
    make(&n, points, "15");
    void *o = options_of(0.05, 0.0078);
    const few_sampler *s = &few_sampler_adaptive;
    few_strbuf_init(&said);
    expect(s->check(&n.spec, o, 1, &said, &err), FEW_OK, &err, "");
    assert_int_equal(said.n, 0);
    expect(s->check(&n.spec, o, 7, &said, &err), FEW_OK, &err, "");
    assert_non_null(strstr(said.s, "as many steps"));
    expect(few_sampler_part(s, &n.spec, o, 1, 1, 0, &begin, &end, &err), FEW_OK, &err, "");
    expect(few_sampler_part(s, &n.spec, o, 1, 1, 0.5, &begin, &end, &err), FEW_EINVAL, &err,
           "all the way");
    n.spec.steps = 2;
    expect(s->check(&n.spec, o, 1, &said, &err), FEW_EUNSUPPORTED, &err, "multistep");
    n.spec.steps = 0;
    char text[] = "sigma_max=0.001", *v = text;
    const few_strings one = { .v = &v, .n = 1 };
    expect(few_sampler_options_set(s, o, &one, &err), FEW_OK, &err, "");
    expect(s->check(&n.spec, o, 1, &said, &err), FEW_EINVAL, &err, "sigma_max");
    few_strbuf_free(&said);
    few_sampler_options_free(s, o);

    /* Weights that are no numbers: an error, not an endless loop. */
    o = options_of(0.05, 0.0078);
    n.master[3] = NAN;
    const few_drawer_options po = { .precision = FEW_PRECISION_F32,
                                    .workers = 1,
                                    .needs = FEW_NEEDS_MEMORY | FEW_NEEDS_NOISE };
    const few_draw draw = { .sampler = s, .options = o, .steps = 1 };
    few_drawer *d;
    float out[6];
    expect(few_drawer_create(&n.spec, n.master, &po, &d, &err), FEW_OK, &err, "");
    expect(few_drawer_draw(d, &draw, 1, out, &err), FEW_EINVAL, &err, "makes no way");
    few_drawer_free(d);
    few_sampler_options_free(s, o);
    few_net_free(&n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_papers_loop),      cmocka_unit_test(the_distribution_is_reached),
        cmocka_unit_test(mixtures_are_reached), cmocka_unit_test(ends_of_time_are_finite),
        cmocka_unit_test(drawers_walk_alike),   cmocka_unit_test(what_cannot_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

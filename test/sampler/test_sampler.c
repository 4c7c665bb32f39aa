/* Samplers and drawers: images against loops written from the papers' formulas in double, closed
 * forms, and bits that must not depend on how the work is cut. */
#include "sampler/drawn.h"

/* ---- against the formulas -------------------------------------------------------------------*/

/* alpha and sigma of the cosine clipped at log SNR -15 and 15, as printed. */
static void cosine(double t, double *alpha, double *sigma)
{
    const double b = atan(exp(-7.5)), a = atan(exp(7.5)) - b, l = -2 * log(tan(a * t + b));
    *alpha = sqrt(1 / (1 + exp(-l)));
    *sigma = sqrt(1 / (1 + exp(l)));
}

/* The network's output at z; its time input is a float. */
static const double *evaluate(oracle_net *o, const double *z, double t, int label)
{
    const few_spec *s = &o->net->spec;
    few_error err = { 0 };
    memcpy(o->in_z, z, (size_t)(s->height * s->width * s->channels) * sizeof *z);
    o->in_time = (double)(float)(s->time_scale * t - 1);
    o->in_label = label;
    if (few_reference_run(&o->g, o->value, &err) != FEW_OK)
        fail_msg("%s", err.text);
    return o->value[o->out];
}

/* One image by the sampler's algorithm: z is noise, then the image. */
static void oracle_draw(oracle_net *o, const char *sampler, int steps, double g, int label,
                        double *z)
{
    const few_spec *spec = &o->net->spec;
    const int d = spec->height * spec->width * spec->channels;
    const char *kind = spec->prediction.kind->name;
    for (int k = steps; k > 0; k--) {
        const double t = (double)k / steps, s = (double)(k - 1) / steps;
        double alpha_t, sigma_t, alpha_s, sigma_s, f[ORACLE_MAX], x[ORACLE_MAX], eps[ORACLE_MAX];
        double square = 0;
        cosine(t, &alpha_t, &sigma_t);
        cosine(s, &alpha_s, &sigma_s);
        double in[ORACLE_MAX];
        const bool edm = !strcmp(kind, "edm");
        const double all = edm ? sqrt(sigma_t * sigma_t + 0.25 * alpha_t * alpha_t) : 1;
        for (int i = 0; i < d; i++)
            in[i] = z[i] / all;
        memcpy(f, evaluate(o, in, t, label), (size_t)d * sizeof *f);
        if (g != 0) {
            const double *null = evaluate(o, in, t, spec->classes);
            for (int i = 0; i < d; i++)
                f[i] = (1 + g) * f[i] - g * null[i];
        }
        for (int i = 0; i < d; i++) {
            x[i] = edm              ? 0.25 * alpha_t / all * in[i] + 0.5 * sigma_t / all * f[i]
                   : kind[0] == 'v' ? alpha_t * z[i] - sigma_t * f[i]
                   : kind[0] == 'x' ? f[i]
                                    : (z[i] - sigma_t * f[i]) / alpha_t;
            eps[i] = (z[i] - alpha_t * x[i]) / sigma_t;
            square += eps[i] * eps[i];
        }
        const double D = alpha_s - alpha_t * sigma_s / sigma_t;
        const double x_var = 0.1 / (2 + alpha_t * alpha_t / (sigma_t * sigma_t));
        const double scale = !strcmp(sampler, "addim")
                                 ? sqrt(sigma_s * sigma_s + d / square * D * D * x_var)
                                 : sigma_s;
        for (int i = 0; i < d; i++)
            z[i] = !strcmp(sampler, "multistep") && k == 1 ? x[i] : alpha_s * x[i] + scale * eps[i];
    }
}

/* The worst is 2e-6: a rounding to float of some ten layers, grown by up to eight steps. Ten times
 * that is allowed; a wrong coefficient shows in the first or second digit. */
static void images_follow_the_formulas(void **state)
{
    (void)state;
    static const char *const predictions[] = { "v", "x", "eps", "edm" };
    static const int steps[] = { 1, 3, 8 };
    static const struct {
        const few_net_shape *shape;
        double guidance;
    } nets[] = { { &labelled, 0 }, { &labelled, 1.5 }, { &plain, 0 }, { &point, 0 } };
    enum { N = 3 };
    for (size_t a = 0; a < FEW_COUNT(nets); a++)
        for (size_t p = 0; p < FEW_COUNT(predictions); p++)
            for (size_t b = 0; b < FEW_COUNT(simple) * FEW_COUNT(steps); b++) {
                const few_sampler *s = simple[b / FEW_COUNT(steps)];
                const few_draw o = { .sampler = s,
                                     .steps = steps[b % FEW_COUNT(steps)],
                                     .seed = 77,
                                     .first = 1,
                                     .guidance = nets[a].guidance };
                few_net n;
                oracle_net oracle;
                float images[N * ORACLE_MAX], noise[ORACLE_MAX];
                double z[ORACLE_MAX];
                make(&n, *nets[a].shape, predictions[p], 0);
                const int d = n.spec.height * n.spec.width * n.spec.channels;
                draw_once(&n, &o, N, images);
                oracle_open(&oracle, &n, false);
                for (int i = 0; i < N; i++) {
                    noise_of(o.seed, (uint64_t)(o.first + i), d, noise);
                    for (int e = 0; e < d; e++)
                        z[e] = (double)noise[e];
                    const int label = n.spec.classes ? (1 + i) % n.spec.classes : 0;
                    oracle_draw(&oracle, s->name, o.steps, o.guidance, label, z);
                    const double e = rms_error(images + i * d, z, d);
                    if (!(e < 2e-5))
                        fail_msg("net %zu, %s, %s in %d steps, image %d: differs by %g", a,
                                 predictions[p], s->name, o.steps, i, e);
                }
                oracle_close(&oracle);
                few_net_free(&n);
            }
}

/* A network whose output is zero: every step multiplies z by a known number. */
static void zero_networks_have_closed_forms(void **state)
{
    (void)state;
    static const char *const predictions[] = { "v", "x", "eps" };
    enum { STEPS = 40, D = 6 };
    for (size_t p = 0; p < FEW_COUNT(predictions); p++) {
        few_net n;
        few_error err = { 0 };
        float images[D], noise[D];
        double want[D], a1, s1, a0, s0;
        const few_draw o = { .sampler = &few_sampler_ddim, .steps = STEPS, .seed = 3 };
        make(&n, point, predictions[p], 0);
        few_drawer *d = open_drawer(&n, 1, 0, false);
        memset(n.master, 0, (size_t)n.params.count * sizeof(float));
        assert_int_equal(few_drawer_weights(d, n.master, &err), FEW_OK);
        draw(d, &o, 1, images);
        noise_of(3, 0, D, noise);
        cosine(1, &a1, &s1);
        cosine(0, &a0, &s0);
        /* v: cos(phi_t - phi_s) a step; x: only eps is left; eps: only x. */
        const double factor = *predictions[p] == 'v'
                                  ? pow(cos((atan2(s1, a1) - atan2(s0, a0)) / STEPS), STEPS)
                              : *predictions[p] == 'x' ? s0 / s1
                                                       : a0 / a1;
        for (int e = 0; e < D; e++)
            want[e] = factor * (double)noise[e];
        const double e = rms_error(images, want, D);
        if (!(e < 2e-5))
            fail_msg("%s: differs by %g", predictions[p], e);
        few_drawer_free(d);
        few_net_free(&n);
    }
}

static void addim_without_variance_is_ddim(void **state)
{
    (void)state;
    enum { N = 4, STEPS = 6 };
    few_net n;
    float ddim[N * 64], images[N * 64];
    double want[N * 64];
    make(&n, plain, "v", 0);
    few_draw o = { .sampler = &few_sampler_ddim, .steps = STEPS, .seed = 1 };
    draw_once(&n, &o, N, ddim);
    for (int i = 0; i < N * 64; i++)
        want[i] = (double)ddim[i];
    o.sampler = &few_sampler_addim;
    draw_once(&n, &o, N, images);
    assert_true(rms_error(images, want, N * 64) > 1e-3);
    void *off = addim_options("x_frac=0");
    o.options = off;
    draw_once(&n, &o, N, images);
    assert_true(rms_error(images, want, N * 64) < 1e-5);
    few_sampler_options_free(o.sampler, off);

    /* In one step that ends in x_hat, aDDIM and multistep are the same. */
    void *last = addim_options("last=x_hat");
    o.options = last;
    o.steps = 1;
    draw_once(&n, &o, N, images);
    o.sampler = &few_sampler_multistep;
    o.options = NULL;
    draw_once(&n, &o, N, ddim);
    assert_memory_equal(images, ddim, sizeof images);
    few_sampler_options_free(&few_sampler_addim, last);
    few_net_free(&n);
}

/* Both have the same steps but the last, where ddim gives D x_hat + r z for x_hat. */
static void multistep_is_ddim_but_for_the_end(void **state)
{
    (void)state;
    enum { N = 4, STEPS = 4 };
    few_net n;
    float ddim[N * 64], multistep[N * 64];
    few_error err = { 0 };
    void *options;
    make(&n, plain, "x", STEPS);
    assert_int_equal(few_sampler_options_make(&few_sampler_ddim, &options, &err), FEW_OK);
    for (int k = 0; k < STEPS; k++) {
        const few_sampler_step a =
            few_sampler_step_of(&few_sampler_ddim, &n.spec, options, k, STEPS);
        const few_sampler_step b =
            few_sampler_step_of(&few_sampler_multistep, &n.spec, NULL, k, STEPS);
        assert_true(a.t == b.t && a.s == b.s && a.k0 == 0 && a.k1 == 0 && b.k0 == 0 && b.k1 == 0);
        if (k < STEPS - 1)
            assert_true(a.z == b.z && a.x == b.x);
        else
            assert_true(b.z == 0 && b.x == 1);
    }
    few_sampler_options_free(&few_sampler_ddim, options);
    few_draw o = { .sampler = &few_sampler_ddim, .steps = STEPS, .seed = 1 };
    draw_once(&n, &o, N, ddim);
    o.sampler = &few_sampler_multistep;
    draw_once(&n, &o, N, multistep);
    double alpha, sigma, sigma_0, largest = 0, apart = 0;
    cosine(1.0 / STEPS, &alpha, &sigma);
    cosine(0, &alpha, &sigma_0);
    for (int i = 0; i < N * 64; i++) { /* |z| of noise and images is well under 6 */
        largest = fmax(largest, fabs((double)multistep[i]));
        apart = fmax(apart, fabs((double)multistep[i] - (double)ddim[i]));
    }
    assert_true(apart > 0);
    assert_true(apart < sigma_0 / sigma * (largest + 6));
    few_net_free(&n);
}

static void steps_tile_the_path(void **state)
{
    (void)state;
    few_net n;
    make(&n, point, "v", 0);
    for (int j = 0; j < few_n_samplers; j++)
        for (int steps = 1; steps < 70 && !few_samplers[j]->adaptive; steps++) {
            few_error err = { 0 };
            void *options;
            double t = 1;
            assert_int_equal(few_sampler_options_make(few_samplers[j], &options, &err), FEW_OK);
            const int evaluations = few_sampler_evaluations(few_samplers[j], options, steps);
            assert_in_range(evaluations, steps, 8 * steps);
            for (int k = 0; k < evaluations; k++) {
                const few_sampler_step s =
                    few_sampler_step_of(few_samplers[j], &n.spec, options, k, steps);
                if (k == 0)
                    t = s.t;
                assert_true(s.t == t && s.t > 0 && s.t <= 1);
                assert_true(isfinite(s.z) && isfinite(s.x) && isfinite(s.base) && isfinite(s.past));
                assert_true(s.k0 >= 0 && s.k1 >= 0 && isfinite(s.k2) && s.n0 >= 0 && s.n1 >= 0);
                if (!(few_sampler_needs(few_samplers[j], options) & FEW_NEEDS_MEMORY))
                    assert_true(s.base == 0 && s.past == 0);
                if (!(few_sampler_needs(few_samplers[j], options) & FEW_NEEDS_NOISE))
                    assert_true(s.n0 == 0 && s.n1 == 0);
                t = s.s;
            }
            assert_true(t == 0);
            few_sampler_options_free(few_samplers[j], options);
        }
    few_net_free(&n);
}

/* ---- the same bits --------------------------------------------------------------------------*/

static void bits_of(const few_net *n, const few_sampler *s, double guidance,
                    few_precision precision)
{
    enum { N = 7 };
    static const struct {
        int workers;
        int64_t slice;
    } cuts[] = { { 1, 1 }, { 1, 2 }, { 1, 3 }, { 1, 7 }, { 1, 16 }, { 2, 1 }, { 2, 3 }, { 2, 0 } };
    const int d = n->spec.height * n->spec.width * n->spec.channels;
    const few_draw o = {
        .sampler = s, .steps = 3, .seed = 1ull << 40 | 9, .first = 5, .guidance = guidance
    };
    float want[N * ORACLE_MAX], have[N * ORACLE_MAX], noise[N * ORACLE_MAX];
    int32_t label[N];
    few_drawer *drawer = open_precise(n, precision, 1, 0, guidance != 0);
    draw(drawer, &o, N, want);
    draw(drawer, &o, N, have);
    same(want, have, N * d, "drawn again");
    for (int split = 1; split < N; split++) {
        few_draw second = o;
        second.first += split;
        draw(drawer, &o, split, have);
        draw(drawer, &second, N - split, have + split * d);
        same(want, have, N * d, "in two parts");
    }
    few_draw given = o;
    for (int i = 0; i < N; i++) {
        noise_of(o.seed, (uint64_t)(o.first + i), d, noise + i * d);
        label[i] = n->spec.classes ? (int)(o.first + i) % n->spec.classes : 0;
    }
    given.seed = 0;
    given.noise = noise;
    draw(drawer, &given, N, have);
    same(want, have, N * d, "noise given");
    given.first = 0; /* labels follow the index */
    given.label = label;
    draw(drawer, &given, N, have);
    same(want, have, N * d, "noise and labels given");
    noise[2 * d] = NAN; /* spoils its own image alone */
    draw(drawer, &given, N, have);
    assert_true(isnan(have[2 * d]));
    same(want, have, 2 * d, "before a spoilt image");
    same(want + 3 * d, have + 3 * d, (N - 3) * d, "after a spoilt image");
    static const uint64_t other[] = { 9, 1ull << 40 | 8 };
    for (size_t k = 0; k < FEW_COUNT(other); k++) {
        few_draw different = o;
        different.seed = other[k];
        draw(drawer, &different, N, have);
        for (int i = 0; i < N; i++)
            assert_memory_not_equal(want + i * d, have + i * d, (size_t)d * sizeof(float));
    }
    few_drawer_free(drawer);
    for (size_t k = 0; k < FEW_COUNT(cuts); k++) {
        char what[64];
        snprintf(what, sizeof what, "%d workers, slice %d", cuts[k].workers, (int)cuts[k].slice);
        drawer = open_precise(n, precision, cuts[k].workers, cuts[k].slice, guidance != 0);
        draw(drawer, &o, N, have);
        few_drawer_free(drawer);
        same(want, have, N * d, what);
    }
}

static void bits_do_not_depend_on_the_cut(void **state)
{
    (void)state;
    static const few_precision both[] = { FEW_PRECISION_F32, FEW_PRECISION_BF16 };
    for (size_t k = 0; k < FEW_COUNT(both); k++) {
        few_net n;
        make(&n, labelled, "v", 0);
        bits_of(&n, &few_sampler_ddim, 1.5, both[k]);
        bits_of(&n, &few_sampler_addim, 0, both[k]);
        few_net_free(&n);
        make(&n, plain, "eps", 0);
        bits_of(&n, &few_sampler_ddim, 0, both[k]);
        few_net_free(&n);
        make(&n, point, "x", 3);
        bits_of(&n, &few_sampler_multistep, 0, both[k]);
        few_net_free(&n);
    }
}

/* Enough images for several groups, the last one not full; noise and labels from the seed and
 * given. */
static void groups_do_not_show(void **state)
{
    (void)state;
    enum { N = 18, D = 64 };
    static float want[N * D], have[N * D], noise[N * D];
    static const few_drawer_options cuts[] = {
        { .precision = FEW_PRECISION_F32, .workers = 1, .slice = 1 },  /* groups of 16 */
        { .precision = FEW_PRECISION_F32, .workers = 2, .images = 5 }, /* groups of 5 */
    };
    int32_t label[N];
    few_net n;
    few_draw o = { .sampler = &few_sampler_addim, .steps = 2, .seed = 4 };
    make(&n, labelled, "v", 0);
    for (int i = 0; i < N; i++) {
        noise_of(o.seed, (uint64_t)i, D, noise + i * D);
        label[i] = i * i % 3;
    }
    for (int given = 0; given < 2; given++) {
        o.noise = given ? noise : NULL;
        o.label = given ? label : NULL;
        few_drawer *d = open_drawer(&n, 1, 8, false); /* one group */
        draw(d, &o, N, want);
        few_drawer_free(d);
        for (size_t k = 0; k < FEW_COUNT(cuts); k++) {
            few_error err = { 0 };
            assert_int_equal(few_drawer_create(&n.spec, n.master, &cuts[k], &d, &err), FEW_OK);
            draw(d, &o, N, have);
            same(want, have, N * D, k ? "in groups of 5" : "in groups of 16");
            few_drawer_free(d);
        }
    }
    few_net_free(&n);
}

/* A chain stopped at any time and taken up there is the whole chain. */
static void parts_make_the_whole(void **state)
{
    (void)state;
    enum { N = 3, D = 6, STEPS = 5 };
    few_net n;
    few_error err = { 0 };
    make(&n, point, "v", 0);
    few_drawer *d = open_drawer(&n, 1, 2, false);
    for (size_t j = 0; j < FEW_COUNT(simple); j++) {
        void *options;
        float want[N * D], middle[N * D], have[N * D];
        int begin, end;
        assert_int_equal(few_sampler_options_make(simple[j], &options, &err), FEW_OK);
        const few_draw whole = {
            .sampler = simple[j], .options = options, .steps = STEPS, .seed = 8
        };
        draw(d, &whole, N, want);
        for (int k = 1; k < STEPS; k++) {
            few_draw first = whole, second = whole;
            const double t = 1 - (double)k / STEPS;
            expect(few_sampler_part(whole.sampler, &n.spec, options, STEPS, 1, t, &first.begin,
                                    &first.end, &err),
                   FEW_OK, &err, "");
            expect(few_sampler_part(whole.sampler, &n.spec, options, STEPS, t, 0, &second.begin,
                                    &second.end, &err),
                   FEW_OK, &err, "");
            assert_int_equal(few_draw_evaluations(&first), k);
            assert_int_equal(few_draw_evaluations(&second), STEPS - k);
            second.noise = middle;
            draw(d, &first, N, middle);
            assert_memory_not_equal(middle, want, sizeof want);
            draw(d, &second, N, have);
            same(want, have, N * D, "in two parts of the path");
        }
        static const double no[][2] = { { 0.5, 0 }, { 1, 0.3 },  { 0.4, 0.6 }, { 1, 1 },
                                        { 1.2, 0 }, { 1, -0.2 }, { NAN, 0 },   { 1, NAN } };
        for (size_t k = 0; k < FEW_COUNT(no); k++)
            expect(few_sampler_part(whole.sampler, &n.spec, options, STEPS, no[k][0], no[k][1],
                                    &begin, &end, &err),
                   FEW_EINVAL, &err, "t = ");
        static const int wrong[][2] = { { -1, 2 }, { 2, 2 }, { 3, 1 }, { 0, 6 }, { 5, 0 } };
        for (size_t k = 0; k < FEW_COUNT(wrong); k++) {
            few_draw o = whole;
            o.begin = wrong[k][0];
            o.end = wrong[k][1];
            expect(few_drawer_draw(d, &o, N, have, &err), FEW_EINVAL, &err, "among 5");
        }
        few_sampler_options_free(whole.sampler, options);
    }
    few_drawer_free(d);
    few_net_free(&n);
}

static void guidance_identities(void **state)
{
    (void)state;
    enum { N = 3 };
    few_net n;
    float want[N * 64], have[N * 64];
    double null[N * 64];
    const int32_t none[N] = { 3, 3, 3 };
    few_draw o = { .sampler = &few_sampler_ddim, .steps = 3 };
    make(&n, labelled, "v", 0);
    draw_once(&n, &o, N, want);
    few_drawer *d = open_drawer(&n, 1, 2, true);
    draw(d, &o, N, have);
    same(want, have, N * 64, "guidance of 0");
    /* Guidance of -1 is the null class alone. */
    o.label = none;
    draw(d, &o, N, want);
    for (int i = 0; i < N * 64; i++)
        null[i] = (double)want[i];
    o.label = NULL;
    o.guidance = -1;
    draw(d, &o, N, have);
    assert_true(rms_error(have, null, N * 64) < 1e-5);
    few_drawer_free(d);
    few_net_free(&n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(images_follow_the_formulas),
        cmocka_unit_test(zero_networks_have_closed_forms),
        cmocka_unit_test(addim_without_variance_is_ddim),
        cmocka_unit_test(multistep_is_ddim_but_for_the_end),
        cmocka_unit_test(steps_tile_the_path),
        cmocka_unit_test(bits_do_not_depend_on_the_cut),
        cmocka_unit_test(groups_do_not_show),
        cmocka_unit_test(parts_make_the_whole),
        cmocka_unit_test(guidance_identities),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

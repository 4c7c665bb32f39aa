/* The drawer's graph against the same chain in double, for every sampler of the list, and bits that
 * do not depend on how the work is cut. */
#include "sampler/cases.h"

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

static few_drawer *open_drawer(const few_net *n, const chain *c, few_precision precision,
                               int workers, int64_t slice)
{
    const few_drawer_options o = { .precision = precision,
                                   .workers = workers,
                                   .slice = slice,
                                   .needs = few_sampler_needs(c->sampler, c->options) };
    few_drawer *d = NULL;
    few_error err = { 0 };
    if (few_drawer_create(&n->spec, n->master, &o, &d, &err) != FEW_OK)
        fail_msg("%s", err.text);
    return d;
}

enum { N = 5, STEPS = 4 };

/* The bits of an image do not depend on the images beside it, nor on who evaluates them. */
static void bits_are_an_images_own(const few_net *n, const chain *c, const few_draw *o,
                                   few_precision precision, const float *want)
{
    const int d = n->spec.height * n->spec.width * n->spec.channels;
    float again[N * ORACLE_MAX];
    few_error err = { 0 };
    for (int workers = 1; workers < 3; workers++) {
        few_drawer *drawer = open_drawer(n, c, precision, workers, workers == 1 ? 3 : 1);
        for (int split = 0; split < N; split++) {
            few_draw second = *o;
            second.first += split;
            if (split)
                expect(few_drawer_draw(drawer, o, split, again, &err), FEW_OK, &err, "");
            expect(few_drawer_draw(drawer, &second, N - split, again + split * d, &err), FEW_OK,
                   &err, "");
            for (int e = 0; e < N * d; e++)
                if (memcmp(want + e, again + e, sizeof *want))
                    fail_msg("%s, precision %d: %d workers, split at %d: other bits",
                             c->sampler->name, precision, workers, split);
        }
        few_drawer_free(drawer);
    }
}

/* The graph's steps are the chain's. */
static void drawers_follow_the_chain(const few_net *n, const char *sampler, const char *setting)
{
    const int d = n->spec.height * n->spec.width * n->spec.channels;
    struct network w = { .seed = UINT64_C(77) << 33 | 5, .d = d };
    chain c = { .spec = &n->spec,
                .steps = STEPS,
                .d = d,
                .user = &w,
                .x_hat = network_x,
                .noise = network_noise };
    float out[N * ORACLE_MAX], bf16[N * ORACLE_MAX];
    few_error err = { 0 };
    chain_open(&c, sampler, setting);
    const few_draw o = {
        .sampler = c.sampler, .options = c.options, .steps = STEPS, .seed = w.seed, .first = 3
    };
    few_drawer *drawer = open_drawer(n, &c, FEW_PRECISION_F32, 1, 2);
    expect(few_drawer_draw(drawer, &o, N, out, &err), FEW_OK, &err, "");
    few_drawer_free(drawer);
    oracle_open(&w.oracle, n, false);
    for (int i = 0; i<N; i += d> 6 ? N - 1 : 1) { /* a U-Net in double takes its time */
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
    bits_are_an_images_own(n, &c, &o, FEW_PRECISION_F32, out);
    if (n->spec.network == &few_network_unet) { /* the other has nothing to round */
        drawer = open_drawer(n, &c, FEW_PRECISION_BF16, 1, 2);
        expect(few_drawer_draw(drawer, &o, N, bf16, &err), FEW_OK, &err, "");
        few_drawer_free(drawer);
        assert_memory_not_equal(out, bf16, (size_t)(N * d) * sizeof *out);
        bits_are_an_images_own(n, &c, &o, FEW_PRECISION_BF16, bf16);
    }
    chain_close(&c);
}

static void drawers(void **state)
{
    (void)state;
    static const struct {
        const few_net_shape *shape;
        const char *schedule, *prediction, *limit;
    } nets[] = { { &points, "cosine", "v", "15" },
                 { &points, "cosine", "v", "20" },
                 { &points, "linear", "edm", "9" },
                 { &points, "shifted", "eps", "12" },
                 { &images, "cosine", "v", "15" } };
    for (size_t j = 0; j < FEW_COUNT(nets); j++) {
        few_net n;
        test_case at;
        make_as(&n, *nets[j].shape, nets[j].schedule, nets[j].prediction, nets[j].limit);
        for (int k = 0; each_case(k, with_steps, &at); k++)
            drawers_follow_the_chain(&n, at.name, at.setting);
        n.spec.sigma_max = 5; /* renoise begins there */
        drawers_follow_the_chain(&n, "renoise", "");
        few_net_free(&n);
    }
}

/* In floats, too, from one end of the schedule to the other, as wide as EDM's paper and as wide as
 * schedules may be, whatever the network predicts. */
static void floats_are_finite_at_both_ends(void **state)
{
    (void)state;
    enum { IMAGES = 3, D = 6 };
    static const char *const limits[] = { "20", "50" };
    static const char *const nets[][2] = { { "cosine", "v" },
                                           { "cosine", "x" },
                                           { "cosine", "eps" },
                                           { "linear", "edm" },
                                           { "interpolated", "v" } };
    for (size_t a = 0; a < FEW_COUNT(limits) * FEW_COUNT(nets); a++) {
        const char *limit = limits[a % FEW_COUNT(limits)],
                   *schedule = nets[a / FEW_COUNT(limits)][0],
                   *prediction = nets[a / FEW_COUNT(limits)][1];
        few_net n;
        few_error err = { 0 };
        test_case at;
        make_as(&n, points, schedule, prediction, limit);
        for (int k = 0; each_case(k, any_sampler, &at); k++) {
            chain all = { .spec = &n.spec };
            chain_open(&all, at.name, at.setting);
            few_drawer *d = open_drawer(&n, &all, FEW_PRECISION_F32, 1, IMAGES);
            chain_close(&all);
            for (int steps = 1; steps <= 25; steps = steps * 2 + (steps > 2))
                for (int i = 0;; i++) {
                    char grid[1900], text[2048];
                    float out[IMAGES * D];
                    chain c = { .spec = &n.spec };
                    if (!each_grid(&at, i, &n.spec, steps, grid, sizeof grid))
                        break;
                    snprintf(text, sizeof text, "%s %s", at.setting, grid);
                    chain_open(&c, at.name, text);
                    const few_draw o = {
                        .sampler = c.sampler, .options = c.options, .steps = steps, .seed = 6
                    };
                    expect(few_drawer_draw(d, &o, IMAGES, out, &err), FEW_OK, &err, "");
                    for (int e = 0; e < IMAGES * D; e++)
                        if (!isfinite(out[e]))
                            fail_msg("%s %s in %d steps, limits %s, %s: number %d is %g", at.name,
                                     text, steps, limit, prediction, e, (double)out[e]);
                    chain_close(&c);
                }
            few_drawer_free(d);
        }
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
    few_drawer *d = open_drawer(&n, &plain, FEW_PRECISION_F32, 1, 1);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(drawers),
        cmocka_unit_test(floats_are_finite_at_both_ends),
        cmocka_unit_test(drawers_know_what_is_needed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

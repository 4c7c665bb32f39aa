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
        test_case at;
        make(&n, *shapes[j], "15");
        for (int k = 0; each_case(k, with_steps, &at); k++)
            drawers_follow_the_chain(&n, at.name, at.setting);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(drawers),
        cmocka_unit_test(drawers_know_what_is_needed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

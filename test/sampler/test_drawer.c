/* Drawers as a caller meets them: progress and cancelling, refusals, settings, failed allocations.
 */
#include "diffusion/step.h"
#include "sampler/drawn.h"

enum { MANY = 35 };

/* ---- progress and cancelling ----------------------------------------------------------------*/

struct watch {
    int64_t last, total;
    int calls, cancel_at;
};

static int watched(void *user, int64_t done, int64_t total)
{
    struct watch *w = user;
    assert_true(done > w->last && done <= total);
    assert_true(w->calls == 0 || total == w->total);
    w->last = done;
    w->total = total;
    return ++w->calls == w->cancel_at;
}

static void progress_and_cancelling(void **state)
{
    (void)state;
    enum { STEPS = 3, CALLS = 3 * STEPS }; /* groups of 16, 16 and 3 */
    few_net n;
    few_error err = { 0 };
    float want[MANY * 6], have[MANY * 6];
    struct watch w = { 0 };
    few_draw o = { .sampler = &few_sampler_multistep, .steps = STEPS, .seed = 4 };
    make(&n, point, "v", 0);
    few_drawer *d = open_drawer(&n, 1, 1, false);
    draw(d, &o, MANY, want);
    o.progress = watched;
    o.user = &w;
    draw(d, &o, MANY, have);
    same(want, have, MANY * 6, "watched");
    assert_int_equal(w.calls, CALLS);
    assert_int_equal(w.last, MANY * STEPS);
    assert_int_equal(w.total, MANY * STEPS);
    for (int at = 1; at <= CALLS; at++) {
        w = (struct watch){ .cancel_at = at };
        expect(few_drawer_draw(d, &o, MANY, have, &err), FEW_ECANCELED, &err, "canceled");
        assert_int_equal(w.calls, at);
        w = (struct watch){ 0 };
        draw(d, &o, MANY, have);
        same(want, have, MANY * 6, "after cancelling");
    }
    few_drawer_free(d);
    few_net_free(&n);
}

/* ---- refusals -------------------------------------------------------------------------------*/

static void check(const few_net *n, const few_sampler *s, int steps, few_status want,
                  const char *text, const char *warning)
{
    few_error err = { 0 };
    few_strbuf said;
    void *options;
    few_strbuf_init(&said);
    assert_int_equal(few_sampler_options_make(s, &options, &err), FEW_OK);
    expect(s->check(&n->spec, options, steps, &said, &err), want, &err, text);
    few_sampler_options_free(s, options);
    if (warning)
        assert_non_null(strstr(said.s, warning));
    else
        assert_int_equal(said.n, 0);
    few_strbuf_free(&said);
}

static void samplers_refuse_the_wrong_checkpoint(void **state)
{
    (void)state;
    few_error err = { 0 };
    few_net n;
    make(&n, point, "v", 0);
    check(&n, &few_sampler_ddim, 1, FEW_OK, "", NULL);
    check(&n, &few_sampler_addim, 100000, FEW_OK, "", NULL);
    check(&n, &few_sampler_ddim, 100001, FEW_EINVAL, "100001", NULL);
    check(&n, &few_sampler_multistep, 4, FEW_EUNSUPPORTED, "ddim", NULL);
    assert_ptr_equal(few_sampler_default(&n.spec), &few_sampler_ddim);
    assert_int_equal(few_sampler_default_steps(&n.spec, &few_sampler_ddim), 128);
    n.spec.steps = 4;
    check(&n, &few_sampler_ddim, 4, FEW_EUNSUPPORTED, "'multistep' with 4 steps", NULL);
    check(&n, &few_sampler_addim, 4, FEW_EUNSUPPORTED, "'multistep' with 4 steps", NULL);
    check(&n, &few_sampler_multistep, 4, FEW_OK, "", NULL);
    static const int worse[] = { 1, 2, 8, 12 }, wrong[] = { 3, 5, 6, 7, 9 };
    for (size_t k = 0; k < FEW_COUNT(worse); k++)
        check(&n, &few_sampler_multistep, worse[k], FEW_OK, "", "made for 4 steps");
    for (size_t k = 0; k < FEW_COUNT(wrong); k++)
        check(&n, &few_sampler_multistep, wrong[k], FEW_EUNSUPPORTED, "use 4", NULL);
    assert_ptr_equal(few_sampler_default(&n.spec), &few_sampler_multistep);
    assert_int_equal(few_sampler_default_steps(&n.spec, &few_sampler_multistep), 4);
    few_net_free(&n);

    assert_null(few_sampler_find("eulerian", &err));
    for (int k = 0; k < few_n_samplers; k++) {
        assert_non_null(strstr(err.text, few_samplers[k]->name));
        assert_ptr_equal(named(few_samplers[k]->name), few_samplers[k]);
    }
}

static void wrong_settings(void **state)
{
    (void)state;
    static const struct {
        const char *sampler, *setting, *part;
        few_status status;
    } rows[] = {
        { "addim", "x_frac", "KEY=VALUE", FEW_EINVAL },
        { "addim", "", "KEY=VALUE", FEW_EINVAL },
        { "addim", "x_frac=2", "x_frac", FEW_ECONFIG },
        { "addim", "x_frac=nan", "x_frac", FEW_ECONFIG },
        { "addim", "last=none", "x_hat", FEW_ECONFIG },
        { "addim", "beta=1", "beta", FEW_ECONFIG },
        { "ddim", "x_frac=1", "x_frac", FEW_ECONFIG },
        { "multistep", "x_frac=1", "'multistep' has no settings", FEW_EINVAL },
    };
    for (size_t k = 0; k < FEW_COUNT(rows); k++) {
        char text[32];
        const few_strings one = { .v = (char *[]){ text }, .n = 1 };
        const few_sampler *s = named(rows[k].sampler);
        void *o = NULL;
        few_error err = { 0 };
        snprintf(text, sizeof text, "%s", rows[k].setting);
        assert_int_equal(few_sampler_options_make(s, &o, &err), FEW_OK);
        expect(few_sampler_options_set(s, o, &one, &err), rows[k].status, &err, rows[k].part);
        few_sampler_options_free(s, o);
    }
}

static void no_guidance(const few_net *n, const char *part)
{
    const few_drawer_options o = { .precision = FEW_PRECISION_F32, .workers = 1, .guidance = true };
    few_drawer *d = NULL;
    few_error err = { 0 };
    const int64_t before = few_alloc_get_stats().bytes;
    expect(few_drawer_create(&n->spec, n->master, &o, &d, &err), FEW_EUNSUPPORTED, &err, part);
    assert_null(d);
    assert_int_equal(few_alloc_get_stats().bytes, before);
}

static void drawers_refuse_what_makes_no_sense(void **state)
{
    (void)state;
    enum { N = 3 };
    few_net n;
    few_error err = { 0 };
    float want[N * 64], have[N * 64];
    make(&n, plain, "v", 0);
    no_guidance(&n, "this model was trained without");
    few_net_free(&n);
    make(&n, labelled, "v", 0);
    n.spec.null_class = false;
    no_guidance(&n, "this model was trained without");
    n.spec.steps = 4;
    no_guidance(&n, "this student was trained without");

    few_drawer *d = open_drawer(&n, 1, 0, false);
    const few_draw good = { .sampler = &few_sampler_multistep, .steps = 4 };
    draw(d, &good, N, want);
    const struct {
        int64_t n;
        int steps;
        double guidance;
        int32_t label[N];
        const char *part;
    } rows[] = {
        { 0, 4, 0, { 0 }, "nothing to draw" },     { -1, 4, 0, { 0 }, "nothing to draw" },
        { N, 0, 0, { 0 }, "nothing to draw" },     { N, -4, 0, { 0 }, "nothing to draw" },
        { N, 4, 1.5, { 0 }, "without guidance" },  { N, 4, -1, { 0 }, "without guidance" },
        { N, 4, 0, { 0, -1, 0 }, "label -1" },     { N, 4, 0, { 0, 1, 4 }, "label 4" },
        { N, 4, 0, { INT32_MAX }, "from 0 to 2" },
    };
    for (size_t k = 0; k < FEW_COUNT(rows); k++) {
        few_draw o = good;
        o.steps = rows[k].steps;
        o.guidance = rows[k].guidance;
        o.label = rows[k].label;
        expect(few_drawer_draw(d, &o, rows[k].n, have, &err), FEW_EINVAL, &err, rows[k].part);
        draw(d, &good, N, have);
        same(want, have, N * 64, "after a refusal");
    }
    few_draw o = good;
    o.first = -1;
    expect(few_drawer_draw(d, &o, N, have, &err), FEW_EINVAL, &err, "first image is -1");
    o.first = INT64_MAX - N + 1;
    expect(few_drawer_draw(d, &o, N, have, &err), FEW_EINVAL, &err, "first image");
    o.first--;
    draw(d, &o, N, have);
    o = good;
    o.sampler = &few_sampler_ddim;
    expect(few_drawer_draw(d, &o, N, have, &err), FEW_EINVAL, &err, "'ddim' has options");
    few_drawer_free(d);
    few_net_free(&n);
}

/* ---- few images -----------------------------------------------------------------------------*/

/* Fewer images than cores share these; they are the images that they are among many. */
static void few_images_are_those_of_many(void **state)
{
    (void)state;
    enum { N = 6, D = 32 * 8 * 8 };
    static float many[N * D], some[N * D];
    static const few_net_shape wide = { 8, 8, 32, 3 };
    few_net n;
    few_config c;
    few_error err = { 0 };
    load_defaults(&c, "diffusion");
    tiny_unet(&c);
    set(&c, "model.base", "32"); /* for Winograd's convolution */
    make_net(&n, &c, wide, 5);
    few_config_clear(&c);
    static const few_precision both[] = { FEW_PRECISION_F32, FEW_PRECISION_BF16 };
    for (size_t k = 0; k < FEW_COUNT(both); k++) {
        few_draw o = { .sampler = &few_sampler_multistep, .steps = 2, .seed = 4 };
        few_drawer *d = open_precise(&n, both[k], 1, 2, false);
        draw(d, &o, N, many);
        few_drawer_free(d);
        for (int count = 1; count <= 3; count++) {
            const few_drawer_options options = { .precision = both[k],
                                                 .workers = 4,
                                                 .images = count };
            assert_int_equal(few_drawer_create(&n.spec, n.master, &options, &d, &err), FEW_OK);
            for (o.first = 0; o.first < N; o.first += count)
                draw(d, &o, count, some + o.first * D);
            same(many, some, N * D, "few at a time");
            few_drawer_free(d);
        }
    }
    few_net_free(&n);
}

/* ---- clipping -------------------------------------------------------------------------------*/

/* Two steps with x_hat held in [-1, 1], against the same by single steps without. */
static void a_clipped_chain_holds_every_prediction(void **state)
{
    (void)state;
    enum { N = 5, ALL = N * 6 };
    few_net n;
    float x[ALL], z[ALL], want[ALL], have[ALL];
    int outside = 0;
    make(&n, point, "v", 0);
    for (int64_t i = 0; i < n.params.count; i++)
        n.master[i] *= 3;
    few_draw o = { .sampler = &few_sampler_multistep, .steps = 1, .seed = 4 };
    draw_once(&n, &o, N, x);
    const few_ddim_coef c =
        few_ddim(few_schedule_phi(&n.spec.schedule, 1), few_schedule_phi(&n.spec.schedule, 0.5));
    for (int64_t i = 0; i < N; i++)
        noise_of(4, (uint64_t)i, 6, z + 6 * i);
    for (int i = 0; i < ALL; i++) {
        outside += fabsf(x[i]) > 1;
        z[i] = (float)(c.D * fmin(1, fmax(-1, (double)x[i])) + c.r * (double)z[i]);
    }
    o.steps = 2;
    o.begin = 1;
    o.noise = z;
    draw_once(&n, &o, N, want);
    o.begin = 0;
    o.noise = NULL;
    n.spec.clip = true;
    draw_once(&n, &o, N, have);
    for (int i = 0; i < ALL; i++) {
        outside += fabsf(want[i]) > 1;
        if (!(fabs(fmin(1, fmax(-1, (double)want[i])) - (double)have[i]) < 1e-5))
            fail_msg("number %d is %g, without clipping %g", i, (double)have[i], (double)want[i]);
    }
    assert_true(outside > 4);
    few_net_free(&n);
}

/* ---- memory ---------------------------------------------------------------------------------*/

static void drawers_survive_every_failed_allocation(void **state)
{
    (void)state;
    for (int k = 0; k < 2; k++) {
        few_net n;
        few_error err = { 0 };
        int failures = 0;
        float a[2 * 64], b[2 * 64];
        const few_draw o = { .sampler = &few_sampler_multistep, .steps = 2 };
        const few_drawer_options options = { .precision = FEW_PRECISION_F32,
                                             .workers = 1,
                                             .guidance = k };
        make(&n, k ? labelled : point, "v", 0);
        draw_once(&n, &o, 2, a); /* libraries set themselves up */
        const int64_t before = few_alloc_get_stats().bytes;
        few_drawer *d = NULL;
        for (int64_t at = 1;; at++) {
            few_alloc_fail_at(at);
            const few_status st = few_drawer_create(&n.spec, n.master, &options, &d, &err);
            few_alloc_fail_at(0);
            if (st == FEW_OK)
                break;
            if (st != FEW_ENOMEM)
                fail_msg("request %lld: %s", (long long)at, err.text);
            assert_null(d);
            assert_int_equal(few_alloc_get_stats().bytes, before);
            failures++;
        }
        assert_true(failures > 50);
        const int64_t requests = few_alloc_get_stats().requests;
        assert_int_equal(few_drawer_draw(d, &o, 2, b, &err), FEW_OK);
        assert_int_equal(few_alloc_get_stats().requests, requests); /* drawing needs no memory */
        same(a, b, k ? 2 * 64 : 2 * 6, "after failures");
        few_drawer_free(d);
        assert_int_equal(few_alloc_get_stats().bytes, before);
        few_net_free(&n);
    }
    few_error err = { 0 };
    void *options;
    few_alloc_fail_at(1);
    assert_int_equal(few_sampler_options_make(&few_sampler_addim, &options, &err), FEW_ENOMEM);
    few_alloc_fail_at(0);
    assert_null(options);
    few_drawer_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(progress_and_cancelling),
        cmocka_unit_test(samplers_refuse_the_wrong_checkpoint),
        cmocka_unit_test(wrong_settings),
        cmocka_unit_test(drawers_refuse_what_makes_no_sense),
        cmocka_unit_test(few_images_are_those_of_many),
        cmocka_unit_test(a_clipped_chain_holds_every_prediction),
        cmocka_unit_test(drawers_survive_every_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

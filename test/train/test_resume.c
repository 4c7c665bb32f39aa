/* Twenty steps are ten, a fresh process's resume, and ten more: the same bits, for every method,
 * precision and number of threads; and nothing is allocated once a run is under way. */
#include "base/alloc.h"
#include "base/temp_folder.h"
#include "train/run.h"
#include "train/state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <math.h>

static int64_t newest_step(const char *run)
{
    int64_t step;
    few_error err = { 0 };
    if (few_state_newest(run, &step, &err) != FEW_OK)
        fail_msg("%s", err.text);
    return step;
}

static void set(few_config *c, const char *key, const char *value)
{
    few_error err = { 0 };
    if (few_config_set(c, key, value, "test", &err) != FEW_OK)
        fail_msg("%s", err.text);
}

/* A tiny U-Net on random images, 20 steps. */
static void configure(few_config *c, const char *method, const char *precision, int threads)
{
    few_error err = { 0 };
    if (few_config_load(c, NULL, method, &err) != FEW_OK)
        fail_msg("%s", err.text);
    set(c, "model.base", "8");
    set(c, "model.groups", "4");
    set(c, "model.multipliers", "1,2");
    set(c, "model.blocks", "1");
    set(c, "model.attention", "4");
    set(c, "model.dropout", "0.1");
    set(c, "train.steps", "20");
    set(c, "train.batch", "8");
    set(c, "train.slice", "2");
    set(c, "train.warmup", "5");
    set(c, "train.rate", "cosine");
    set(c, "train.ema", "0.9,0.99");
    set(c, "train.label_drop", "0.2");
    set(c, "train.precision", precision);
    c->train.threads = threads;
    const bool one = c->method->describe && !c->method->phase; /* consistency models, operators */
    c->student.steps = !c->method->makes_student ? 0 : one ? 1 : 2;
    if (!strcmp(method, "pd")) /* phases of ten steps */
        set(c, "method.from", "4");
    if (!strcmp(method, "tract"))
        set(c, "method.phases", "8,4");
}

static void start(few_trainer *t, const few_config *c)
{
    few_error err = { 0 };
    few_dataset d;
    few_net *teacher = NULL;
    assert_int_equal(few_dataset_random(&d, 8, 8, 1, 3, &err), FEW_OK);
    if (c->method->makes_student) {
        const few_net_shape shape = { 8, 8, 1, 3 };
        teacher = few_calloc(1, sizeof *teacher);
        assert_int_equal(few_config_spec(c, &shape, &teacher->spec, &err), FEW_OK);
        assert_int_equal(few_spec_params(&teacher->spec, &teacher->params, &err), FEW_OK);
        teacher->master = few_big_alloc((size_t)teacher->params.count * 4);
        few_params_init(&teacher->params, teacher->master, 5);
    }
    if (c->method->data_channels) {
        const char *path = temp_path("paths.safetensors");
        const few_trajectories_options o = { .count = 24, .steps = 4, .states = 4, .workers = 1 };
        few_dataset_close(&d);
        if (few_trajectories_make(teacher, &o, path, &err) != FEW_OK ||
            few_dataset_open(&d, path, &err) != FEW_OK)
            fail_msg("%s", err.text);
    }
    if (few_config_trainer_on(c, &d, teacher, t, &err) != FEW_OK ||
        few_trainer_start(t, false, &err) != FEW_OK)
        fail_msg("%s", err.text);
}

static void steps(few_trainer *t, int n)
{
    few_error err = { 0 };
    few_step_result r;
    for (int k = 0; k < n; k++)
        if (few_trainer_step(t, &r, &err) != FEW_OK || r.skipped)
            fail_msg("step %d: %s", k, err.text);
}

static void same(const few_trainer *a, const few_trainer *b, const char *what)
{
    const size_t bytes = (size_t)a->state.count * sizeof(float);
    assert_int_equal(a->state.step, b->state.step);
    assert_int_equal(a->state.updates, b->state.updates);
    if (memcmp(a->state.master, b->state.master, bytes) || memcmp(a->state.m, b->state.m, bytes) ||
        memcmp(a->state.v, b->state.v, bytes) || memcmp(a->state.ema[0], b->state.ema[0], bytes) ||
        memcmp(a->state.ema[1], b->state.ema[1], bytes) ||
        (a->state.target && memcmp(a->state.target, b->state.target, bytes)) ||
        (a->state.teacher && memcmp(a->state.teacher, b->state.teacher, bytes)) ||
        a->state.phase != b->state.phase || a->spec.steps != b->spec.steps)
        fail_msg("%s: the resumed run differs", what);
}

static void check(const char *method, const char *precision, int threads, int cut)
{
    few_config c;
    few_trainer whole, first, second;
    few_error err = { 0 };
    char *folder, what[64];
    snprintf(what, sizeof what, "%s, %s, %d threads, cut at %d", method, precision, threads, cut);
    folder = few_path_join(temp_folder, "run");
    configure(&c, method, precision, threads);
    start(&whole, &c);
    steps(&whole, 20);
    start(&first, &c);
    steps(&first, cut);
    if (few_state_save(&first, folder, &err) != FEW_OK)
        fail_msg("%s", err.text);
    few_trainer_free(&first);
    start(&second, &c);
    if (few_state_load(&second, folder, NULL, &err) != FEW_OK)
        fail_msg("%s", err.text);
    assert_int_equal(second.state.step, cut);
    steps(&second, 20 - cut);
    same(&whole, &second, what);
    few_trainer_free(&whole);
    few_trainer_free(&second);
    few_config_clear(&c);
    remove_tree(folder);
    few_free(folder);
}

static void resumed_runs_are_bit_equal(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 2; threads++) {
        check("mcd", "f32", threads, 10);
        check("mcd", "bf16", threads, 10);
    }
    for (int m = 0; m < few_n_methods; m++) { /* at the end of a phase, and inside */
        check(few_methods[m]->name, "f32", 1 + m % 2, 10);
        check(few_methods[m]->name, "bf16", 2 - m % 2, m % 2 ? 7 : 13);
    }
}

static float *copy(const float *v, int64_t n)
{
    float *out = few_malloc((size_t)n * sizeof *out);
    memcpy(out, v, (size_t)n * sizeof *out);
    return out;
}

/* When a phase ends its average teaches, and is where everything begins; the rate begins again. */
static void phases_hand_over(void **state)
{
    (void)state;
    /* pd's student of 2 steps has two thirds of the run, and of the 5 steps of warm-up. */
    static const struct {
        const char *method;
        int first, warmup; /* steps of the first student, and of the second's warm-up */
    } cases[] = { { "pd", 6, 3 }, { "tract", 10, 2 } };
    for (size_t m = 0; m < FEW_COUNT(cases); m++) {
        few_config c;
        few_trainer t;
        few_error err = { 0 };
        few_step_result r;
        configure(&c, cases[m].method, "f32", 1);
        start(&t, &c);
        const size_t bytes = (size_t)t.state.count * sizeof(float);
        assert_int_equal(t.spec.steps, 4);
        float *before = copy(t.teacher->master, t.state.count);
        steps(&t, cases[m].first);
        assert_memory_equal(before, t.teacher->master, bytes);
        float *average = copy(t.state.ema[0], t.state.count);
        assert_int_equal(few_trainer_step(&t, &r, &err), FEW_OK);
        assert_int_equal(t.spec.steps, 2);
        assert_int_equal(t.state.updates, 1);
        assert_memory_equal(average, t.teacher->master, bytes);
        assert_memory_not_equal(before, t.teacher->master, bytes);
        /* One step at the rate of a first one is all that separates the weights from the average.
         */
        assert_true(fabs(r.lr - t.train.lr / cases[m].warmup) < 1e-12);
        for (int64_t k = 0; k < t.state.count; k++)
            assert_true(fabs((double)t.state.master[k] - (double)average[k]) <= 1.01 * r.lr);
        few_free(before);
        few_free(average);
        few_trainer_free(&t);
        few_config_clear(&c);
    }
}

/* The target network is the average its method asks for. */
static void targets_follow(void **state)
{
    (void)state;
    few_config c;
    few_trainer t;
    configure(&c, "ct", "f32", 1);
    start(&t, &c);
    for (int k = 0; k < 8; k++) {
        const double mu = t.method->target_decay(&t.ctx, t.state.step);
        float *old = copy(t.state.target, t.state.count);
        steps(&t, 1);
        assert_true(mu > 0.5 && mu < 1);
        for (int64_t i = 0; i < t.state.count; i++) {
            const double want = mu * (double)old[i] + (1 - mu) * (double)t.state.master[i];
            assert_true(fabs((double)t.state.target[i] - want) <= 1e-6 * (1e-3 + fabs(want)));
        }
        few_free(old);
    }
    few_trainer_free(&t);
    few_config_clear(&c);
}

static void steps_allocate_nothing(void **state)
{
    (void)state;
    few_config c;
    few_trainer t;
    configure(&c, "mcd", "f32", 2);
    start(&t, &c);
    steps(&t, 2);
    const few_alloc_stats before = few_alloc_get_stats();
    steps(&t, 3);
    const few_alloc_stats after = few_alloc_get_stats();
    assert_int_equal(before.requests, after.requests);
    few_trainer_free(&t);
    few_config_clear(&c);
}

/* Weights that are not finite: steps are skipped and counted, then the run fails, and nothing of it
 * is saved. */
static void divergence_is_told_and_not_saved(void **state)
{
    (void)state;
    few_config c;
    few_trainer t;
    few_error err = { 0 };
    few_step_result r;
    char *folder;
    folder = few_path_join(temp_folder, "run");
    configure(&c, "diffusion", "f32", 1);
    set(&c, "train.bad_steps", "3");
    start(&t, &c);
    steps(&t, 1);
    t.state.master[t.params.v[0].offset] = NAN;
    few_backend_cpu.params(t.plan, 0, t.state.master, &err);
    assert_int_equal(few_trainer_step(&t, &r, &err), FEW_OK);
    assert_true(r.skipped);
    assert_int_equal(few_trainer_step(&t, &r, &err), FEW_OK);
    assert_int_equal(few_trainer_step(&t, &r, &err), FEW_EDIVERGED);
    assert_int_equal(t.state.skipped, 3);
    assert_int_equal(t.state.updates, 1);
    assert_int_equal(few_state_save(&t, folder, &err), FEW_EDIVERGED);
    assert_int_equal(newest_step(folder), -1);
    few_trainer_free(&t);
    few_config_clear(&c);
    remove_tree(folder);
    few_free(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(resumed_runs_are_bit_equal),
        cmocka_unit_test(phases_hand_over),
        cmocka_unit_test(targets_follow),
        cmocka_unit_test(steps_allocate_nothing),
        cmocka_unit_test(divergence_is_told_and_not_saved),
    };
    return cmocka_run_group_tests(tests, make_temp_folder, remove_temp_folder);
}

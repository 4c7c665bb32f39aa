/* A run survives damaged states, a full disk, numbers that are not finite, and no memory. Whatever
 * happened in between, it ends with the bits of a run left alone. */
#include "train/run_rig.h"

/* ---- damage ---------------------------------------------------------------------------------*/

enum damage { DELETED, EMPTY, HALF, FLIPPED, LONGER, GARBAGE, OTHER, N_DAMAGES };

/* Spoil a file of the state of `step`. */
static void spoil(const char *folder, int step, const char *file, enum damage how)
{
    static const char *const others[] = { [GARBAGE] = "\x01\xff{]", [OTHER] = "{\"files\": 3}" };
    const char *path = in_state(folder, step, file);
    few_map m;
    assert_int_equal(few_map_open(&m, path, &err), FEW_OK);
    uint8_t *copy = few_calloc(1, m.n + 1);
    const size_t n = m.n;
    memcpy(copy, m.data, n);
    few_map_close(&m);
    assert_int_equal(unlink(path), 0);
    if (how == FLIPPED)
        copy[n - n / 3] ^= 16;
    if (how == GARBAGE || how == OTHER)
        write_bytes(path, others[how], strlen(others[how]));
    else if (how != DELETED)
        write_bytes(path, copy, how == EMPTY ? 0 : how == HALF ? n / 2 : n + (how == LONGER));
    few_free(copy);
}

static void damaged_states_are_passed_over(void **state)
{
    (void)state;
    for (size_t k = 0; k < FEW_COUNT(files); k++)
        for (int how = 0; how < N_DAMAGES; how++) {
            if (k == 2 ? how == FLIPPED || how == LONGER : how > LONGER)
                continue; /* the first may be the same JSON; the last are only for JSON */
            const char *folder = new_folder();
            run_and_stop(folder, 6);
            assert_int_equal(count_states(folder), 2);
            spoil(folder, 6, files[k], (enum damage)how);
            expect_status(run(folder, 0, true), FEW_OK, "");
            said("passed over");
            said("step-00000006");
            said("going on from step 4");
            same_end(whole, folder);
            log_is_whole(folder);
        }
}

static void runs_without_a_whole_state_are_refused(void **state)
{
    (void)state;
    const char *folder = new_folder();
    run_and_stop(folder, 6);
    spoil(folder, 6, "manifest.json", DELETED);
    spoil(folder, 4, "state.safetensors", FLIPPED);
    for (int must = 0; must < 2; must++) {
        expect_status(run(folder, 0, must), FEW_ENOTFOUND, "no complete checkpoint");
        also_says("step-00000006' has no manifest");
        also_says("step-00000004/state.safetensors' differs");
        assert_int_equal(count_states(folder), 2);
    }
}

/* A state that was passed over does not push out the one saved after it. */
static void damaged_states_do_not_count(void **state)
{
    (void)state;
    const char *folder = new_folder();
    run_and_stop(folder, 6);
    spoil(folder, 6, "state.safetensors", HALF);
    set(&c, "train.keep", "1");
    run_and_stop(folder, 1);
    said("going on from step 4");
    assert_true(has_state(folder, 5));
    run_to_end(folder);
    said("going on from step 5");
    same_end(whole, folder);
    assert_int_equal(count_states(folder), 1);
}

/* ---- numbers that are not finite ------------------------------------------------------------*/

/* The diffusion method, but for steps whose scalars are spoilt. */
static struct {
    int64_t from, to; /* steps, from 0, `to` not included */
    int good_after;   /* roll-backs after which nothing is spoilt */
    few_method method;
} bad;

static void bad_draw(const few_method_ctx *ctx, int64_t step, int64_t index, double *v)
{
    few_method_diffusion.draw(ctx, step, index, v);
    if (step >= bad.from && step < bad.to && index == 1 && (int)(ctx->seed >> 32) < bad.good_after)
        v[FEW_POINT] = NAN; /* alpha */
}

static void spoil_steps(int from, int to, int good_after)
{
    bad.method = few_method_diffusion;
    bad.method.draw = bad_draw;
    bad.from = from;
    bad.to = to;
    bad.good_after = good_after;
    c.method = &bad.method;
}

/* A trainer that stands where the run does. */
static void open_state(few_trainer *t, const char *folder)
{
    if (few_config_trainer(&c, t, &err) != FEW_OK || few_trainer_start(t, false, &err) != FEW_OK ||
        few_state_load(t, folder, NULL, &err) != FEW_OK)
        fail_msg("%s", err.text);
    for (int64_t k = 0; k < t->state.count; k++)
        assert_true(isfinite(t->state.master[k]) && isfinite(t->state.m[k]) &&
                    isfinite(t->state.v[k]) && isfinite(t->state.ema[0][k]));
}

static void bad_steps_are_skipped(void **state)
{
    (void)state;
    few_trainer t;
    set(&c, "train.bad_steps", "3");
    spoil_steps(2, 4, 1);
    const char *folder = new_folder();
    run_to_end(folder);
    assert_int_equal(seen.skipped, 2);
    assert_null(strstr(seen.notes, "went back"));
    open_state(&t, folder);
    assert_int_equal(t.state.step, STEPS);
    assert_int_equal(t.state.skipped, 2);
    assert_int_equal(t.state.updates, STEPS - 2);
    assert_int_equal(t.state.rollbacks, 0);
    few_trainer_free(&t);
}

static void bad_runs_go_back(void **state)
{
    (void)state;
    few_trainer t;
    set(&c, "train.bad_steps", "2");
    spoil_steps(4, STEPS, 1);
    const char *folder = new_folder();
    run_to_end(folder);
    said("not finite in 2 steps in a row, up to step 6");
    said("went back to step 4");
    log_is_whole(folder);
    open_state(&t, folder);
    assert_int_equal(t.state.rollbacks, 1);
    assert_int_equal(t.state.skipped, 2);
    assert_int_equal(t.state.updates, STEPS);
    few_trainer_free(&t);

    const char *stopped = new_folder(); /* the roll-back is part of the state */
    run_and_stop(stopped, 6);
    said("went back to step 4");
    run_to_end(stopped);
    assert_null(strstr(seen.notes, "went back"));
    same_end(folder, stopped);
}

/* What was saved before is what a run goes back to, and what it goes on from when it is stopped
 * between skipped steps, where it would have been saved or elsewhere. */
static void nothing_is_saved_between_bad_steps(void **state)
{
    (void)state;
    set(&c, "train.bad_steps", "3");
    spoil_steps(5, STEPS, 1);
    const char *folder = new_folder();
    run_to_end(folder);
    said("up to step 8");
    said("went back to step 4");
    log_is_whole(folder);
    for (int stop = 6; stop <= 7; stop++) {
        char text[64];
        const char *stopped = new_folder();
        snprintf(text, sizeof text, "stopped at step %d after skipped steps; saved at step 4",
                 stop);
        expect_status(run(stopped, stop, false), FEW_ECANCELED, text);
        assert_int_equal(newest_step(stopped), 4);
        run_to_end(stopped);
        said("going on from step 4");
        said("went back to step 4");
        same_end(folder, stopped);
        log_is_whole(stopped);
    }
}

static void bad_runs_give_up(void **state)
{
    (void)state;
    few_trainer t;
    char text[64];
    for (int rollbacks = 0; rollbacks <= 2; rollbacks++) {
        configure("mlp");
        set(&c, "train.bad_steps", "2");
        c.train.rollbacks = rollbacks;
        spoil_steps(4, STEPS, 100);
        const char *folder = new_folder();
        snprintf(text, sizeof text, "gave up after going back %d times", rollbacks);
        expect_status(run(folder, 0, false), FEW_EDIVERGED, text);
        assert_int_equal(newest_step(folder), 4);
        open_state(&t, folder);
        few_trainer_free(&t);
        expect_status(run(folder, 0, true), FEW_EDIVERGED, text);
        c.method = &few_method_diffusion; /* nothing of it is left in the state */
        run_to_end(folder);
        same_end(whole, folder);
    }
}

/* One process trains a run; the lock ends with it. */
static void a_run_in_use_is_refused(void **state)
{
    (void)state;
    int lock, second;
    const char *folder = new_folder();
    run_and_stop(folder, 3);
    char *path = few_path_join(folder, "lock");
    assert_int_equal(few_lock(path, &lock, &err), FEW_OK);
    assert_int_equal(few_lock(path, &second, &err), FEW_EBUSY);
    expect_status(run(folder, 0, false), FEW_EBUSY, "another process is training");
    expect_status(run(folder, 0, true), FEW_EBUSY, folder);
    assert_int_equal(newest_step(folder), 3);
    few_unlock(lock);
    run_to_end(folder);
    same_end(whole, folder);
    few_free(path);
}

/* The same step saved again takes the place of what was there, damaged or not. */
static void a_step_can_be_saved_again(void **state)
{
    (void)state;
    few_trainer t;
    const char *folder = new_folder();
    run_and_stop(folder, 5);
    open_state(&t, folder);
    spoil(folder, 5, files[0], DELETED);
    for (int k = 0; k < 2; k++)
        assert_int_equal(few_state_save(&t, folder, &err), FEW_OK);
    few_trainer_free(&t);
    assert_int_equal(count_states(folder), 2);
    run_to_end(folder);
    assert_null(strstr(seen.notes, "passed over"));
    same_end(whole, folder);
}

static void bad_numbers_are_not_saved(void **state)
{
    (void)state;
    static const float values[] = { NAN, INFINITY, -INFINITY };
    few_trainer t;
    const char *folder = new_folder();
    run_and_stop(folder, 5);
    open_state(&t, folder);
    few_train_state *s = &t.state;
    float *const arrays[] = { s->master, s->m, s->v, s->ema[0], s->ema[1] };
    for (size_t k = 0; k < FEW_COUNT(arrays); k++)
        for (size_t j = 0; j < FEW_COUNT(values); j++) {
            const float old = arrays[k][7];
            arrays[k][7] = values[j];
            s->step = (int64_t)(5 + j); /* over the old state, and beside it */
            expect_status(few_state_save(&t, folder, &err), FEW_EDIVERGED, "");
            assert_int_equal(count_states(folder), 2);
            arrays[k][7] = old;
        }
    few_trainer_free(&t);
    run_to_end(folder);
    said("going on from step 5");
    same_end(whole, folder);
}

/* ---- a full disk ----------------------------------------------------------------------------*/

static int64_t size_of(const char *path)
{
    few_map m;
    if (few_map_open(&m, path, &err) != FEW_OK)
        fail_msg("%s", err.text);
    const int64_t n = (int64_t)m.n;
    few_map_close(&m);
    return n;
}

static void full_disks_keep_the_old_state(void **state)
{
    (void)state;
    const int64_t model = size_of(in_state(whole, STEPS, "model.safetensors"));
    const int64_t all = size_of(in_state(whole, STEPS, "state.safetensors"));
    const struct {
        int64_t room;
        const char *file;
    } disks[] = { { 1, "log.tsv" },
                  { 2000, files[0] },
                  { model - 1, files[0] },
                  { model, files[1] },
                  { all - 1, files[1] } };
    assert_true(2000 < model && model < all - 1);
    for (size_t k = 0; k < FEW_COUNT(disks); k++)
        for (int64_t at = 5; at <= STEPS; at += 3) {
            const char *folder = new_folder();
            seen.full_at = at;
            seen.room = (rlim_t)disks[k].room;
            const few_status st = run(folder, 0, false);
            limit_files(0);
            seen.full_at = 0;
            expect_status(st, FEW_EIO, disks[k].file);
            expect_status(st, FEW_EIO, folder);
            expect_status(st, FEW_EIO, "File too large");
            assert_int_equal(newest_step(folder), at == 5 ? 4 : 6);
            assert_int_equal(count_states(folder), 2);
            expect_status(run(folder, 0, true), FEW_OK, "");
            said(at == 5 ? "going on from step 4" : "going on from step 6");
            assert_null(strstr(seen.notes, "passed over"));
            same_end(whole, folder);
            log_is_whole(folder);
        }
}

/* ---- no memory ------------------------------------------------------------------------------*/

/* Was the request that was to fail ever made? */
static bool failed_at(int64_t before, int64_t at)
{
    return few_alloc_get_stats().requests - before >= at;
}

/* A run that stopped after five steps, its state loaded. */
static const char *opened_at_five(few_trainer *t)
{
    const char *folder = new_folder();
    run_and_stop(folder, 5);
    open_state(t, folder);
    return folder;
}

static void loading_survives_every_failed_allocation(void **state)
{
    (void)state;
    few_trainer t;
    int failures = 0;
    const char *folder = opened_at_five(&t);
    for (int64_t at = 1;; at++, failures++) {
        few_strbuf passed;
        const few_alloc_stats before = few_alloc_get_stats();
        few_strbuf_init(&passed);
        few_alloc_fail_at(at);
        const few_status st = few_state_load(&t, folder, &passed, &err);
        few_alloc_fail_at(0);
        assert_int_equal(passed.n, 0); /* a state is not damaged for want of memory */
        few_strbuf_free(&passed);
        assert_int_equal(few_alloc_get_stats().bytes, before.bytes);
        if (!failed_at(before.requests, at)) {
            assert_int_equal(st, FEW_OK);
            break;
        }
        if (st != FEW_ENOMEM)
            fail_msg("request %" PRId64 ": status %d: %s", at, st, err.text);
    }
    assert_true(failures > 10);
    assert_int_equal(t.state.step, 5);
    few_trainer_free(&t);
}

static void saving_survives_every_failed_allocation(void **state)
{
    (void)state;
    few_trainer t;
    int failures = 0;
    const char *folder = opened_at_five(&t);
    for (int64_t at = 1, newest = 5;; at++) {
        const few_alloc_stats before = few_alloc_get_stats();
        t.state.step = newest + 1;
        few_alloc_fail_at(at);
        const few_status st = few_state_save(&t, folder, &err);
        few_alloc_fail_at(0);
        assert_int_equal(few_alloc_get_stats().bytes, before.bytes);
        const bool failed = failed_at(before.requests, at);
        if (st != FEW_OK)
            expect_status(st, FEW_ENOMEM, "memory");
        failures += st != FEW_OK;
        newest += st == FEW_OK;
        assert_int_equal(few_state_load(&t, folder, NULL, &err), FEW_OK);
        assert_int_equal(t.state.step, newest);
        if (!failed) {
            assert_int_equal(st, FEW_OK);
            break;
        }
        if (st == FEW_OK) { /* only the tidying failed: the next save does it */
            t.state.step = ++newest;
            assert_int_equal(few_state_save(&t, folder, &err), FEW_OK);
            assert_int_equal(count_states(folder), 2);
        }
    }
    assert_true(failures > 20);
    assert_int_equal(count_states(folder), 2);
    few_trainer_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(damaged_states_are_passed_over, small),
        cmocka_unit_test_setup(runs_without_a_whole_state_are_refused, small),
        cmocka_unit_test_setup(damaged_states_do_not_count, small),
        cmocka_unit_test_setup(bad_steps_are_skipped, small),
        cmocka_unit_test_setup(bad_runs_go_back, small),
        cmocka_unit_test_setup(nothing_is_saved_between_bad_steps, small),
        cmocka_unit_test_setup(bad_runs_give_up, small),
        cmocka_unit_test_setup(a_run_in_use_is_refused, small),
        cmocka_unit_test_setup(a_step_can_be_saved_again, small),
        cmocka_unit_test_setup(bad_numbers_are_not_saved, small),
        cmocka_unit_test_setup(full_disks_keep_the_old_state, small),
        cmocka_unit_test_setup(loading_survives_every_failed_allocation, small),
        cmocka_unit_test_setup(saving_survives_every_failed_allocation, small),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

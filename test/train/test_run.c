/* A run goes on where it was, from whatever stop, and only as what it was: its configuration, data
 * and teacher. It ends with the bits of a run left alone. */
#include "train/run_rig.h"

/* ---- stops ----------------------------------------------------------------------------------*/

static void stopped_runs_go_on(void **state)
{
    (void)state;
    static const char *const networks[] = { "mlp", "unet" };
    char text[64];
    for (size_t n = 0; n < FEW_COUNT(networks); n++) {
        configure(networks[n]);
        const char *alone = new_folder();
        run_to_end(alone);
        log_is_whole(alone);
        for (int k = 1; k < STEPS; k += n ? 3 : 1) {
            const char *folder = new_folder();
            snprintf(text, sizeof text, "stopped and saved at step %d", k);
            expect_status(run(folder, k, false), FEW_ECANCELED, text);
            assert_int_equal(newest_step(folder), k);
            expect_status(run(folder, 0, true), FEW_OK, "");
            snprintf(text, sizeof text, "going on from step %d of %d", k, STEPS);
            said(text);
            same_end(alone, folder);
            log_is_whole(folder);
        }
        const char *folder = new_folder(); /* stopped after every step; the last is no stop */
        for (int k = 1; k < STEPS; k++)
            run_and_stop(folder, 1);
        expect_status(run(folder, 1, false), FEW_OK, "");
        same_end(alone, folder);
        log_is_whole(folder);
        run_to_end(folder); /* nothing is left to do */
        same_end(alone, folder);
    }
}

static void going_on_needs_a_state(void **state)
{
    (void)state;
    const char *folder = new_folder();
    expect_status(run(folder, 0, true), FEW_ENOTFOUND, folder);
    assert_false(few_is_folder(folder)); /* nothing was made */
    run_and_stop(folder, 1);
    remove_tree(in_state(folder, 0, ""));
    remove_tree(in_state(folder, 1, ""));
    expect_status(run(folder, 0, true), FEW_ENOTFOUND, "no checkpoint to go on from");
    expect_status(run(folder, 0, false), FEW_ENOTFOUND, "and --fresh"); /* it has made a step */
    assert_int_equal(count_states(folder), 0);
    expect_status(run_fresh(folder), FEW_OK, ""); /* also from the configuration in the folder */
    same_end(whole, folder);

    run_and_stop(folder = new_folder(), 3);
    char config[256];
    snprintf(config, sizeof config, "%s/config.yaml", folder);
    assert_int_equal(unlink(config), 0);
    expect_status(run(folder, 0, false), FEW_ENOTFOUND, "no config.yaml");
    assert_int_equal(newest_step(folder), 3);
}

static void copy_file(const char *from, const char *to)
{
    few_map m;
    assert_int_equal(few_map_open(&m, from, &err), FEW_OK);
    write_bytes(to, m.data, m.n);
    few_map_close(&m);
}

static void going_on_needs_the_same_data_and_teacher(void **state)
{
    (void)state;
    const char *folder = new_folder();
    char data[256], teacher[256];
    snprintf(data, sizeof data, "%s/mine.few", temp_folder);
    snprintf(teacher, sizeof teacher, "%s/teacher.safetensors", temp_folder);
    copy_file(temp_path("plain.few"), data);
    copy_file(in_state(whole, STEPS, files[0]), teacher);

    few_config_clear(&c);
    load_defaults(&c, "mcd");
    set(&c, "student.teacher", teacher);
    set_small();
    set(&c, "data.path", data);
    run_and_stop(folder, 2);
    copy_file(in_state(whole, STEPS - 2, files[0]), teacher);
    expect_status(run(folder, 0, false), FEW_ECONFIG, "the teacher is not what");
    copy_file(in_state(whole, STEPS, files[0]), teacher);
    assert_int_equal(make_data(data, 0, 1), 0);
    expect_status(run(folder, 0, false), FEW_ECONFIG, "the content of data.path is not what");
    also_says("--fresh");
    copy_file(temp_path("plain.few"), data);
    run_to_end(folder);
}

/* ---- beginnings -----------------------------------------------------------------------------*/

/* At a rate of 0 a run ends with the weights that it began with: the teacher's, or new ones. */
static void students_begin_where_they_should(void **state)
{
    (void)state;
    static const char *const methods[] = { "mcd", "mct", "cd" };
    for (size_t m = 0; m < FEW_COUNT(methods); m++)
        for (int fresh = 0; fresh < 2; fresh++) {
            few_net teacher, student;
            char *path;
            const char *folder = new_folder();
            expect_status(few_state_model_path(whole, &path, &err), FEW_OK, "");
            expect_status(few_net_load(&teacher, path, &err), FEW_OK, "");
            few_config_clear(&c);
            load_defaults(&c, methods[m]);
            set_small();
            set(&c, "train.lr", "0");
            set(&c, "train.seed", "5"); /* not the teacher's */
            set(&c, "student.teacher", path);
            set(&c, "student.steps", "1");
            set(&c, "student.from_scratch", fresh ? "true" : "false");
            few_free(path);
            run_to_end(folder);
            expect_status(few_state_model_path(folder, &path, &err), FEW_OK, "");
            expect_status(few_net_load(&student, path, &err), FEW_OK, "");
            few_free(path);
            assert_int_equal(student.params.count, teacher.params.count);
            const size_t bytes = (size_t)student.params.count * sizeof(float);
            float *random = few_big_alloc(bytes);
            few_params_init(&student.params, random, 5);
            assert_memory_equal(student.master, fresh ? random : teacher.master, bytes);
            assert_memory_not_equal(random, teacher.master, bytes);
            few_big_free(random, bytes);
            few_net_free(&student);
            few_net_free(&teacher);
        }
}

/* ---- settings -------------------------------------------------------------------------------*/

static void other_settings_are_refused(void **state)
{
    (void)state;
    static const char *const changes[][2] = {
        { "train.steps", "12" },          { "train.seed", "18446744073709551615" },
        { "train.lr", "0.001" },          { "train.rate", "linear" },
        { "train.optimizer", "radam" },   { "train.ema", "0.9" },
        { "train.batch", "8" },           { "train.slice", "4" },
        { "train.clip", "0.5" },          { "train.bad_steps", "11" },
        { "data.flip", "false" },         { "data.test", "elsewhere" },
        { "model.width", "17" },          { "model.prediction", "x" },
        { "model.time_scale", "1000" },   { "schedule.name", "shifted" },
        { "method.times", "uniform" },    { "method.weight", "v" },
        { "student.from_scratch", "yes" }
    };
    const char *folder = new_folder();
    run_and_stop(folder, 5);
    for (size_t k = 0; k < FEW_COUNT(changes); k++) {
        configure("mlp");
        few_status st = few_config_set(&c, changes[k][0], changes[k][1], "test", &err);
        if (st != FEW_OK)
            fail_msg("%s", err.text);
        expect_status(run(folder, 0, false), FEW_ECONFIG, changes[k][0]);
        assert_null(strstr(err.text, "), ")); /* and no other */
        if (strcmp(changes[k][0], "schedule.name"))
            also_says(", now ");
    }
    configure("mlp"); /* all differences are told at once */
    set(&c, "train.ema", "0.5,0.7,0.9");
    set(&c, "train.steps", "12");
    set(&c, "model.layers", "3");
    expect_status(run(folder, 0, false), FEW_ECONFIG, "train.ema (");
    also_says("train.steps (8, now 12)");
    also_says("model.layers (2, now 3)");

    configure("mlp"); /* what changes no number may change */
    set(&c, "train.save_every", "3");
    set(&c, "train.log_every", "4");
    set(&c, "train.keep", "5");
    set(&c, "train.samples", "7");
    run_to_end(folder);
    said("going on from step 5");
    same_end(whole, folder);
}

/* A run of more steps than it was begun with, at a constant rate, is the longer run. */
static void a_run_is_made_longer(void **state)
{
    (void)state;
    const char *whole_run = new_folder(), *folder = new_folder();
    set(&c, "train.rate", "constant");
    set(&c, "train.steps", "6");
    run_to_end(folder);
    set(&c, "train.steps", "8");
    run_to_end(whole_run);
    run_to_end(folder);
    said("going on from step 6");
    same_end(whole_run, folder);

    char path[256];
    few_config now;
    snprintf(path, sizeof path, "%s/config.yaml", folder);
    expect_status(few_config_load(&now, path, NULL, &err), FEW_OK, "");
    assert_int_equal(now.train.steps, 8);
    few_config_clear(&now);

    set(&c, "train.steps", "7"); /* never shorter, nor where the rate or the method looks ahead */
    expect_status(run(folder, 0, false), FEW_ECONFIG, "train.steps (8, now 7)");
    configure("mlp");
    folder = new_folder();
    run_and_stop(folder, 5);
    set(&c, "train.steps", "9");
    expect_status(run(folder, 0, false), FEW_ECONFIG, "train.steps (8, now 9)");
}

/* ---- what is kept ---------------------------------------------------------------------------*/

static void the_last_states_are_kept(void **state)
{
    (void)state;
    char left[128];
    set(&c, "train.save_every", "1");
    for (int keep = 1; keep <= 4; keep++) {
        const char *folder = new_folder();
        c.train.keep = keep;
        run_and_stop(folder, 5);
        assert_int_equal(count_states(folder), keep);
        for (int k = 0; k <= 5; k++)
            assert_int_equal(has_state(folder, k), k > 5 - keep);

        /* What a killed save leaves is no state, however whole it looks, and goes away. */
        snprintf(left, sizeof left, "%s/checkpoints/tmp-1-step-00000005", folder);
        assert_int_equal(rename(in_state(folder, 5, ""), left), 0);
        assert_int_equal(newest_step(folder), keep > 1 ? 4 : -1);
        if (keep == 1) { /* five steps were made and are gone */
            expect_status(run(folder, 0, false), FEW_ENOTFOUND, "no checkpoint");
            continue;
        }
        run_to_end(folder);
        said("going on from step 4");
        assert_null(strstr(seen.notes, "passed over"));
        assert_false(few_is_folder(left));
        assert_int_equal(count_states(folder), keep);
        same_end(whole, folder);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(stopped_runs_go_on, small),
        cmocka_unit_test_setup(going_on_needs_a_state, small),
        cmocka_unit_test_setup(going_on_needs_the_same_data_and_teacher, small),
        cmocka_unit_test_setup(students_begin_where_they_should, small),
        cmocka_unit_test_setup(other_settings_are_refused, small),
        cmocka_unit_test_setup(a_run_is_made_longer, small),
        cmocka_unit_test_setup(the_last_states_are_kept, small),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

/* A run survives everything: stops, damaged states, a full disk, numbers that are not finite, no
 * memory. Whatever happened in between, it ends with the bits of a run left alone. */
#include "image/pack.h"
#include "train/nets.h"
#include "train/run.h"
#include "train/state.h"

#include <inttypes.h>
#include <signal.h>
#include <sys/resource.h>

enum { STEPS = 8 };
static int64_t newest_step(const char *run)
{
    int64_t step;
    few_error err = { 0 };
    if (few_state_newest(run, &step, &err) != FEW_OK)
        fail_msg("%s", err.text);
    return step;
}

static few_config c; /* of the test that runs */
static few_error err;
static const char *const files[] = { "model.safetensors", "state.safetensors", "manifest.json" };

/* ---- running --------------------------------------------------------------------------------*/

/* What a run said, when it is to stop, and from which step on files may not grow. */
static struct watch {
    char notes[4096];
    int64_t stop_at, full_at, skipped;
    rlim_t room;
} seen;

static void limit_files(rlim_t bytes)
{
    struct rlimit l;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &l), 0);
    l.rlim_cur = bytes ? bytes : l.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &l), 0);
}

static void on_progress(void *user, const few_run_progress *p)
{
    struct watch *w = user;
    w->skipped = p->skipped;
    if (w->full_at && p->step >= w->full_at)
        limit_files(w->room);
    w->stop_at -= w->stop_at > 0;
}

static void on_note(void *user, const char *text)
{
    struct watch *w = user;
    const size_t n = strlen(w->notes);
    snprintf(w->notes + n, sizeof w->notes - n, "%s\n", text);
}

static int on_stop(void *user)
{
    return ((struct watch *)user)->stop_at == 0;
}

/* Run, and stop after `stop_at` steps when it is not 0. */
static few_status run(const char *folder, int stop_at, bool must_resume)
{
    const few_run_watch w = { .user = &seen,
                              .progress = on_progress,
                              .note = on_note,
                              .stop = on_stop,
                              .must_resume = must_resume };
    few_error_clear(&err);
    seen.notes[0] = 0;
    seen.stop_at = stop_at ? stop_at : -1;
    seen.skipped = 0;
    const int64_t before = few_alloc_get_stats().bytes;
    const few_status st = few_run(&c, folder, &w, &err);
    assert_int_equal(few_alloc_get_stats().bytes, before);
    return st;
}

static few_status run_fresh(const char *folder)
{
    const few_run_watch w = { .user = &seen, .stop = on_stop, .must_resume = true, .fresh = true };
    few_error_clear(&err);
    seen.stop_at = -1;
    return few_run(&c, folder, &w, &err);
}

/* As expect() of the last run. */
static void expect_status(few_status got, few_status want, const char *part)
{
    expect(got, want, &err, part);
}

/* The last message says this, too. */
static void also_says(const char *part)
{
    expect(FEW_OK, FEW_OK, &err, part);
}

static void run_to_end(const char *folder)
{
    expect_status(run(folder, 0, false), FEW_OK, "");
}

static void run_and_stop(const char *folder, int after)
{
    expect_status(run(folder, after, false), FEW_ECANCELED, "stopped and saved");
}

static void said(const char *part)
{
    if (!strstr(seen.notes, part))
        fail_msg("no '%s' among the notes:\n%s", part, seen.notes);
}

/* A run of eight small steps. */
static void set_small(void)
{
    set(&c, "data.path", temp_path("plain.few"));
    set(&c, "data.flip", "true");
    set(&c, "train.sample_every", "0");
    set(&c, "train.steps", "8");
    set(&c, "train.batch", "4");
    set(&c, "train.slice", "2");
    set(&c, "train.threads", "1");
    set(&c, "train.warmup", "2");
    set(&c, "train.rate", "cosine");
    set(&c, "train.ema", "0.9,0.99");
    set(&c, "train.save_every", "2");
    set(&c, "train.log_every", "1");
}

static void configure(const char *network)
{
    few_config_clear(&c);
    load_defaults(&c, "diffusion");
    if (!strcmp(network, "unet")) {
        set_small();
        tiny_unet(&c);
        set(&c, "data.path", temp_path("classes.few"));
        set(&c, "model.dropout", "0.1");
        set(&c, "train.label_drop", "0.2");
        set(&c, "train.samples", "2");
        set(&c, "train.sample_steps", "1");
        set(&c, "train.sample_every", "4");
    } else {
        set_small();
        tiny_mlp(&c);
    }
}

/* ---- folders --------------------------------------------------------------------------------*/

/* "FOLDER/checkpoints/step-NNNNNNNN/file", valid until the next call but three. */
static const char *in_state(const char *folder, int step, const char *file)
{
    static char paths[4][256];
    static int next;
    char *p = paths[next++ % 4];
    snprintf(p, sizeof paths[0], "%s/checkpoints/step-%08d/%s", folder, step, file);
    return p;
}

static bool has_state(const char *folder, int step)
{
    return few_is_file(in_state(folder, step, "manifest.json"));
}

static int count_states(const char *folder)
{
    char *path = few_path_join(folder, "checkpoints");
    const int n = count_names(path);
    few_free(path);
    return n;
}

static void same_file(const char *a, const char *b)
{
    few_map x, y;
    if (few_map_open(&x, a, &err) != FEW_OK || few_map_open(&y, b, &err) != FEW_OK)
        fail_msg("%s", err.text);
    if (x.n != y.n || memcmp(x.data, y.data, x.n))
        fail_msg("'%s' and '%s' differ", a, b);
    few_map_close(&x);
    few_map_close(&y);
}

/* The two runs have reached their end with the same bits. */
static void same_end(const char *a, const char *b)
{
    assert_int_equal(newest_step(a), STEPS);
    assert_int_equal(newest_step(b), STEPS);
    for (size_t k = 0; k < FEW_COUNT(files); k++)
        same_file(in_state(a, STEPS, files[k]), in_state(b, STEPS, files[k]));
}

/* log.tsv has a row of each step, once. */
static void log_is_whole(const char *folder)
{
    char line[256], *path = few_path_join(folder, "log.tsv");
    FILE *f = fopen(path, "r");
    few_free(path);
    assert_non_null(f);
    assert_non_null(fgets(line, sizeof line, f));
    for (int k = 1; k <= STEPS; k++) {
        assert_non_null(fgets(line, sizeof line, f));
        assert_int_equal(strtol(line, NULL, 10), k);
    }
    assert_null(fgets(line, sizeof line, f));
    fclose(f);
}

static void write_bytes(const char *path, const void *data, size_t n)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, n, f), n);
    fclose(f);
}

static char *whole; /* the folder of a small run left alone */

/* A folder for a run, not made yet; the name is valid for fifteen more. */
static const char *new_folder(void)
{
    static char path[16][80];
    static int n;
    char *p = path[n % 16];
    snprintf(p, sizeof path[0], "%s/run-%d", temp_folder, n++);
    return p;
}

/* Ten images; others for another seed. */
static int make_data(const char *path, int classes, int seed)
{
    const few_pack_plan plan = { .height = 8, .width = 8, .channels = 1, .n_classes = classes };
    few_pack_writer *w;
    uint8_t x[64];
    if (few_pack_writer_open(&w, path, &plan, &err) != FEW_OK)
        return -1;
    for (int i = 0; i < 10; i++) { /* the steps go through them more than once */
        for (int k = 0; k < 64; k++)
            x[k] = (uint8_t)(37 * i + 11 * k + k * k % 7 + seed);
        if (few_pack_writer_add(w, x, classes ? i % classes : -1, &err) != FEW_OK)
            return -1;
    }
    return few_pack_writer_commit(w, &err) == FEW_OK ? 0 : -1;
}

static int set_up(void **state)
{
    signal(SIGXFSZ, SIG_IGN); /* a file that grew too large is a failed write */
    if (make_temp_folder(state) || make_data(temp_path("plain.few"), 0, 0) ||
        make_data(temp_path("classes.few"), 3, 0))
        return -1;
    whole = few_strdup(temp_path("whole"));
    configure("mlp");
    run_to_end(whole);
    return 0;
}

/* Before each test. */
static int small(void **state)
{
    (void)state;
    configure("mlp");
    return 0;
}

static int tear_down(void **state)
{
    few_config_clear(&c);
    few_free(whole);
    return remove_temp_folder(state);
}

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
    set(&c, "train.threads", "2");
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

static void loading_survives_every_failed_allocation(void **state)
{
    (void)state;
    few_trainer t;
    int failures = 0;
    const char *folder = new_folder();
    run_and_stop(folder, 5);
    open_state(&t, folder);
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
    const char *folder = new_folder();
    run_and_stop(folder, 5);
    open_state(&t, folder);
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
        cmocka_unit_test_setup(stopped_runs_go_on, small),
        cmocka_unit_test_setup(going_on_needs_a_state, small),
        cmocka_unit_test_setup(going_on_needs_the_same_data_and_teacher, small),
        cmocka_unit_test_setup(damaged_states_are_passed_over, small),
        cmocka_unit_test_setup(runs_without_a_whole_state_are_refused, small),
        cmocka_unit_test_setup(damaged_states_do_not_count, small),
        cmocka_unit_test_setup(students_begin_where_they_should, small),
        cmocka_unit_test_setup(other_settings_are_refused, small),
        cmocka_unit_test_setup(a_run_is_made_longer, small),
        cmocka_unit_test_setup(the_last_states_are_kept, small),
        cmocka_unit_test_setup(bad_steps_are_skipped, small),
        cmocka_unit_test_setup(bad_runs_go_back, small),
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

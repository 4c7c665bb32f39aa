/* What tests of runs share: a small configuration, runs that stop or fail where a test says, and
 * the folder of one left alone, with whose bits all others must end. */
#ifndef TEST_TRAIN_RUN_RIG_H
#define TEST_TRAIN_RUN_RIG_H

#include "image/pack.h"
#include "train/nets.h"
#include "train/run.h"
#include "train/state.h"

#include <inttypes.h>
#include <signal.h>
#include <sys/resource.h>

enum { STEPS = 8 };
static inline int64_t newest_step(const char *run)
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

static inline void limit_files(rlim_t bytes)
{
    struct rlimit l;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &l), 0);
    l.rlim_cur = bytes ? bytes : l.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &l), 0);
}

static inline void on_progress(void *user, const few_run_progress *p)
{
    struct watch *w = user;
    w->skipped = p->skipped;
    if (w->full_at && p->step >= w->full_at)
        limit_files(w->room);
    w->stop_at -= w->stop_at > 0;
}

static inline void on_note(void *user, const char *text)
{
    struct watch *w = user;
    const size_t n = strlen(w->notes);
    snprintf(w->notes + n, sizeof w->notes - n, "%s\n", text);
}

static inline int on_stop(void *user)
{
    return ((struct watch *)user)->stop_at == 0;
}

/* Run, and stop after `stop_at` steps when it is not 0. */
static inline few_status run(const char *folder, int stop_at, bool must_resume)
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

static inline few_status run_fresh(const char *folder)
{
    const few_run_watch w = { .user = &seen, .stop = on_stop, .must_resume = true, .fresh = true };
    few_error_clear(&err);
    seen.stop_at = -1;
    return few_run(&c, folder, &w, &err);
}

/* As expect() of the last run. */
static inline void expect_status(few_status got, few_status want, const char *part)
{
    expect(got, want, &err, part);
}

/* The last message says this, too. */
static inline void also_says(const char *part)
{
    expect(FEW_OK, FEW_OK, &err, part);
}

static inline void run_to_end(const char *folder)
{
    expect_status(run(folder, 0, false), FEW_OK, "");
}

static inline void run_and_stop(const char *folder, int after)
{
    expect_status(run(folder, after, false), FEW_ECANCELED, "stopped and saved");
}

static inline void said(const char *part)
{
    if (!strstr(seen.notes, part))
        fail_msg("no '%s' among the notes:\n%s", part, seen.notes);
}

/* A run of eight small steps. */
static inline void set_small(void)
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

static inline void configure(const char *network)
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
static inline const char *in_state(const char *folder, int step, const char *file)
{
    static char paths[4][256];
    static int next;
    char *p = paths[next++ % 4];
    snprintf(p, sizeof paths[0], "%s/checkpoints/step-%08d/%s", folder, step, file);
    return p;
}

static inline bool has_state(const char *folder, int step)
{
    return few_is_file(in_state(folder, step, "manifest.json"));
}

static inline int count_states(const char *folder)
{
    char *path = few_path_join(folder, "checkpoints");
    const int n = count_names(path);
    few_free(path);
    return n;
}

static inline void same_file(const char *a, const char *b)
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
static inline void same_end(const char *a, const char *b)
{
    assert_int_equal(newest_step(a), STEPS);
    assert_int_equal(newest_step(b), STEPS);
    for (size_t k = 0; k < FEW_COUNT(files); k++)
        same_file(in_state(a, STEPS, files[k]), in_state(b, STEPS, files[k]));
}

/* log.tsv has a row of each step, once. */
static inline void log_is_whole(const char *folder)
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

static inline void write_bytes(const char *path, const void *data, size_t n)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, n, f), n);
    fclose(f);
}

static char *whole; /* the folder of a small run left alone */

/* A folder for a run, not made yet; the name is valid for fifteen more. */
static inline const char *new_folder(void)
{
    static char path[16][80];
    static int n;
    char *p = path[n % 16];
    snprintf(p, sizeof path[0], "%s/run-%d", temp_folder, n++);
    return p;
}

/* Ten images; others for another seed. */
static inline int make_data(const char *path, int classes, int seed)
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

static inline int set_up(void **state)
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
static inline int small(void **state)
{
    (void)state;
    configure("mlp");
    return 0;
}

static inline int tear_down(void **state)
{
    few_config_clear(&c);
    few_free(whole);
    return remove_temp_folder(state);
}

#endif

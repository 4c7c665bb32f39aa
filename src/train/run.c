/* The training loop: resume, step, log, sheet, save, go back when it diverges. */
#define _GNU_SOURCE
#include "train/run.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/thread.h"
#include "image/image.h"
#include "train/state.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct run {
    const few_config *config;
    const char *folder;
    const few_run_watch *watch;
    few_trainer trainer;
    FILE *log;
    double loss_sum, norm_sum; /* since the last log row */
    int64_t loss_count, log_images, start_step;
    double log_time, started;
    few_drawer *drawer;
    int lock; /* of the folder: one process trains a run */
};

static void note(const struct run *r, const char *fmt, ...) FEW_PRINTF(2, 3);
static void note(const struct run *r, const char *fmt, ...)
{
    char text[1200];
    va_list ap;
    if (!r->watch->note)
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    r->watch->note(r->watch->user, text);
}

/* ---- the folder -----------------------------------------------------------------------------*/

static few_status write_config(const struct run *r, const char *path, few_error *err)
{
    few_config c = *r->config; /* borrowed, but for the slice that was chosen */
    few_strbuf b;
    few_strbuf_init(&b);
    c.train.slice = r->trainer.train.slice;
    few_status st = few_config_write(&c, &b, err);
    if (st == FEW_OK)
        st = few_write_file(path, b.s, b.n, err);
    few_strbuf_free(&b);
    return st;
}

static few_status check_config(const struct run *r, const char *path, few_error *err)
{
    few_config old, now = *r->config; /* borrowed, but for the slice that was chosen */
    few_strbuf b;
    FEW_TRY(few_config_load(&old, path, NULL, err));
    few_strbuf_init(&b);
    now.train.slice = r->trainer.train.slice;
    few_config_differences(&old, &now, &b);
    few_status st = FEW_OK;
    if (b.n && r->watch->when_changed)
        st = few_fail(err, FEW_ECONFIG, "'%s' was started with another configuration: %s; %s",
                      r->folder, b.s, r->watch->when_changed);
    else if (b.n)
        st = few_fail(err, FEW_ECONFIG,
                      "'%s' was started with another configuration: %s; go on with "
                      "'fewstep train %s', or begin again with --fresh",
                      r->folder, b.s, r->folder);
    else if (now.train.steps > old.train.steps)
        st = write_config(r, path, err);
    few_strbuf_free(&b);
    few_config_clear(&old);
    return st;
}

/* Forget log rows of steps that will be made again. */
static few_status trim_log(const char *path, int64_t step, few_error *err)
{
    few_map m;
    if (!few_is_file(path))
        return FEW_OK;
    FEW_TRY(few_map_open(&m, path, err));
    const char *s = (const char *)m.data, *end = s + m.n, *keep = s;
    for (const char *line = s; line < end;) {
        const char *nl = memchr(line, '\n', (size_t)(end - line));
        if (!nl)
            break; /* a torn last line */
        if (line != s && *line != '\n' && strtoll(line, NULL, 10) > step)
            break;
        keep = line = nl + 1;
    }
    few_status st = FEW_OK;
    if (keep < end)
        st = few_write_file(path, s, (size_t)(keep - s), err);
    few_map_close(&m);
    return st;
}

static few_status lock_folder(struct run *r, few_error *err)
{
    char *path = few_path_join(r->folder, "lock");
    few_unlock(r->lock);
    const few_status st =
        path ? few_lock(path, &r->lock, err) : few_fail(err, FEW_ENOMEM, "out of memory");
    few_free(path);
    if (st == FEW_EBUSY)
        return few_fail(err, st, "another process is training '%s'", r->folder);
    return st;
}

static few_status open_log(struct run *r, few_error *err)
{
    char *path = few_path_join(r->folder, "log.tsv");
    few_status st = path ? trim_log(path, r->trainer.state.step, err)
                         : few_fail(err, FEW_ENOMEM, "out of memory");
    if (st == FEW_OK) {
        r->log = fopen(path, "a");
        if (!r->log)
            st = few_fail(err, FEW_EIO, "cannot write '%s': %m", path);
        else if (ftell(r->log) == 0)
            fputs("step\timages\tloss\tlr\tgrad_norm\timages_per_second\tskipped\n", r->log);
    }
    few_free(path);
    return st;
}

/* Whether log.tsv has rows: steps were made. */
static bool has_rows(const char *folder)
{
    char *path = few_path_join(folder, "log.tsv"), line[256];
    FILE *f = path && few_is_file(path) ? fopen(path, "r") : NULL;
    const bool rows = f && fgets(line, sizeof line, f) && fgets(line, sizeof line, f);
    if (f)
        fclose(f);
    few_free(path);
    return rows;
}

/* Is the folder a whole run, or none? newest: its last checkpoint's step, or -1. */
static few_status check_folder(const struct run *r, bool old, int64_t newest, few_error *err)
{
    if (!old && newest >= 0)
        return few_fail(
            err, FEW_ENOTFOUND,
            "'%s' has checkpoints but no config.yaml, so it is not known what they are of; "
            "bring it back, or begin in another folder",
            r->folder);
    if (newest < 0 && !r->watch->fresh && (r->watch->must_resume || (old && has_rows(r->folder))))
        return few_fail(err, FEW_ENOTFOUND,
                        "'%s' holds no checkpoint to go on from; start it with its configuration%s",
                        r->folder, old ? " and --fresh" : "");
    return FEW_OK;
}

static few_status begin(struct run *r, few_error *err)
{
    char *config = few_path_join(r->folder, "config.yaml");
    few_status st = config ? FEW_OK : few_fail(err, FEW_ENOMEM, "out of memory");
    bool old = st == FEW_OK && few_is_file(config);
    if (old)
        st = lock_folder(r, err);
    if (st == FEW_OK && r->watch->fresh && few_is_folder(r->folder)) {
        st = old ? few_remove_folder(r->folder, err)
                 : few_fail(err, FEW_EINVAL, "not deleting '%s': it is no run (no config.yaml)",
                            r->folder);
        old = false;
    }
    if (st == FEW_OK && old)
        st = check_config(r, config, err);
    few_strbuf passed;
    few_strbuf_init(&passed);
    int64_t newest = -1;
    if (st == FEW_OK)
        st = few_state_newest(r->folder, &newest, err);
    if (st == FEW_OK)
        st = check_folder(r, old, newest, err);
    if (st == FEW_OK && newest >= 0) {
        st = few_state_load(&r->trainer, r->folder, &passed, err);
        if (passed.n)
            note(r, "passed over what is not complete: %s", passed.s);
        if (st == FEW_OK)
            note(r, "going on from step %" PRId64 " of %" PRId64, r->trainer.state.step,
                 r->trainer.train.steps);
        const few_train_state *s = &r->trainer.state;
        if (st == FEW_OK && s->cores &&
            (s->cores != few_trainer_cores(&r->trainer) ||
             strcmp(s->precision, few_trainer_precision(&r->trainer)) != 0))
            note(r,
                 "it was trained by %d core%s in %s, now by %d in %s: from here on the numbers are "
                 "others in their last digits",
                 s->cores, s->cores == 1 ? "" : "s", s->precision, few_trainer_cores(&r->trainer),
                 few_trainer_precision(&r->trainer));
    }
    if (st == FEW_OK && !old)
        st = few_make_folders(r->folder, err);
    if (st == FEW_OK && !old)
        st = lock_folder(r, err);
    if (st == FEW_OK && !old)
        st = write_config(r, config, err);
    few_strbuf_free(&passed);
    few_free(config);
    return st == FEW_OK ? open_log(r, err) : st;
}

/* ---- reports --------------------------------------------------------------------------------*/

static few_status log_row(struct run *r, const few_step_result *s, few_error *err)
{
    const few_trainer *t = &r->trainer;
    const double now = few_now();
    const int64_t n = r->loss_count;
    fprintf(r->log, "%" PRId64 "\t%" PRId64 "\t%.6g\t%.4g\t%.4g\t%.1f\t%" PRId64 "\n",
            t->state.step, t->state.step * t->train.batch, n ? r->loss_sum / (double)n : NAN, s->lr,
            n ? r->norm_sum / (double)n : NAN, (double)r->log_images / (now - r->log_time + 1e-9),
            t->state.skipped);
    if (fflush(r->log) != 0)
        return few_fail(err, FEW_EIO, "cannot write '%s/log.tsv': %m", r->folder);
    r->loss_sum = r->norm_sum = 0;
    r->loss_count = r->log_images = 0;
    r->log_time = now;
    return FEW_OK;
}

/* A sheet of samples from the same noise at every interval. */
static few_status write_sheet(struct run *r, few_error *err)
{
    const few_trainer *t = &r->trainer;
    const few_spec *spec = &t->spec;
    if (!t->data.pack)
        return FEW_OK; /* points are no picture */
    const int64_t n = t->train.samples;
    const few_sampler *s = few_sampler_default(spec);
    void *options = NULL;
    char name[64], *folder = few_path_join(r->folder, "samples"), *path = NULL;
    float *images = few_malloc((size_t)(n * spec->height * spec->width * spec->channels) * 4);
    few_status st =
        folder && images ? FEW_OK : few_fail(err, FEW_ENOMEM, "out of memory for a sheet");
    if (st == FEW_OK)
        st = few_sampler_options_make(s, &options, err);
    if (st == FEW_OK && !r->drawer) {
        const few_drawer_options o = { .precision = FEW_PRECISION_AUTO,
                                       .workers = t->train.threads,
                                       .images = n,
                                       .needs = few_sampler_needs(s, options) };
        st = few_drawer_create(spec, few_trainer_weights(t), &o, &r->drawer, err);
    }
    if (st == FEW_OK)
        st = few_drawer_weights(r->drawer, few_trainer_weights(t), err);
    if (st == FEW_OK) {
        const few_draw d = { .sampler = s,
                             .options = options,
                             .steps = spec->steps             ? spec->steps
                                      : t->train.sample_steps ? t->train.sample_steps
                                                              : 32,
                             .seed = 0 };
        st = few_drawer_draw(r->drawer, &d, n, images, err);
    }
    snprintf(name, sizeof name, "step-%08" PRId64 ".png", t->state.step);
    if (st == FEW_OK)
        st = few_make_folders(folder, err);
    if (st == FEW_OK)
        path = few_path_join(folder, name);
    if (st == FEW_OK && path)
        st = few_sheet_save_f32(path, images, n, spec->height, spec->width, spec->channels, 0, err);
    few_sampler_options_free(s, options);
    few_free(images);
    few_free(folder);
    few_free(path);
    return st;
}

/* ---- the loop -------------------------------------------------------------------------------*/

static few_status save(struct run *r, few_error *err)
{
    return few_state_save(&r->trainer, r->folder, err);
}

/* After too many bad steps: back to the last saved state (or the beginning), with other numbers. */
static few_status go_back(struct run *r, few_error *err)
{
    few_trainer *t = &r->trainer;
    const few_error why = *err;
    const int rollbacks = t->state.rollbacks + 1;
    const int64_t skipped = t->state.skipped;
    if (rollbacks > t->train.rollbacks)
        return few_fail(err, FEW_EDIVERGED, "%s; gave up after going back %d times; lower train.lr",
                        why.text, rollbacks - 1);
    FEW_TRY(few_state_load(t, r->folder, NULL, err));
    t->state.rollbacks = rollbacks;
    t->state.skipped = skipped;
    note(r, "%s; went back to step %" PRId64, why.text, t->state.step);
    few_error_clear(err);
    if (r->log)
        fclose(r->log);
    r->log = NULL;
    r->loss_sum = r->norm_sum = 0;
    r->loss_count = r->log_images = 0;
    return open_log(r, err); /* without the rows of the steps that did not count */
}

static void report(struct run *r, const few_step_result *s)
{
    const few_trainer *t = &r->trainer;
    if (!r->watch->progress)
        return;
    const double seconds = few_now() - r->started + 1e-9;
    const few_run_progress p = {
        .step = t->state.step,
        .steps = t->train.steps,
        .images = t->state.step * t->train.batch,
        .loss = r->loss_count ? r->loss_sum / (double)r->loss_count : s->loss,
        .lr = s->lr,
        .grad_norm = s->grad_norm,
        .images_per_second = (double)((t->state.step - r->start_step) * t->train.batch) / seconds,
        .skipped = t->state.skipped,
    };
    r->watch->progress(r->watch->user, &p);
}

/* Between skipped steps: gone on with, the run makes the steps since it was saved again. */
static few_status stop_unsaved(const struct run *r, few_error *err)
{
    int64_t saved;
    FEW_TRY(few_state_newest(r->folder, &saved, err));
    return few_fail(err, FEW_ECANCELED,
                    "stopped at step %" PRId64 " after skipped steps; saved at step %" PRId64,
                    r->trainer.state.step, saved);
}

static few_status loop(struct run *r, few_error *err)
{
    few_trainer *t = &r->trainer;
    const few_train_options *o = &t->train;
    r->start_step = t->state.step;
    r->started = r->log_time = few_now();
    int64_t newest;
    FEW_TRY(few_state_newest(r->folder, &newest, err));
    if (t->state.step == 0 && newest < 0)
        FEW_TRY(save(r, err)); /* something to go back to */
    while (t->state.step < o->steps) {
        few_step_result s;
        const few_status st = few_trainer_step(t, &s, err);
        if (st == FEW_EDIVERGED) {
            FEW_TRY(go_back(r, err));
            continue;
        }
        FEW_TRY(st);
        if (!s.skipped) {
            r->loss_sum += s.loss;
            r->norm_sum += s.grad_norm;
            r->loss_count++;
        }
        r->log_images += o->batch;
        const bool last = t->state.step == o->steps;
        report(r, &s);
        if (last || t->state.step % o->log_every == 0)
            FEW_TRY(log_row(r, &s, err));
        if (o->sample_every && (last || t->state.step % o->sample_every == 0))
            FEW_TRY(write_sheet(r, err)); /* first: what is saved is not made again */
        /* after skipped steps the weights are in doubt, and going back must not lead to them */
        if (last || (t->state.step % o->save_every == 0 && !t->bad_in_a_row))
            FEW_TRY(save(r, err));
        if (!last && r->watch->stop && r->watch->stop(r->watch->user)) {
            if (t->bad_in_a_row)
                return stop_unsaved(r, err);
            if (t->state.step % o->save_every)
                FEW_TRY(save(r, err));
            return few_fail(err, FEW_ECANCELED, "stopped and saved at step %" PRId64,
                            t->state.step);
        }
    }
    return FEW_OK;
}

/* The slice that a run was begun with: it is part of the numbers, so it is chosen once. */
static int64_t old_slice(const char *folder)
{
    few_config c;
    few_error ignored;
    int64_t slice = 0;
    char *path = few_path_join(folder, "config.yaml");
    if (path && few_is_file(path) && few_config_load(&c, path, NULL, &ignored) == FEW_OK) {
        slice = c.train.slice;
        few_config_clear(&c);
    }
    few_free(path);
    return slice;
}

few_status few_run(const few_config *c, const char *folder, const few_run_watch *w, few_error *err)
{
    struct run r = { .config = c, .folder = folder, .watch = w, .lock = -1 };
    few_status st = few_config_trainer(c, &r.trainer, err);
    if (st == FEW_OK && !r.trainer.train.slice && !w->fresh)
        r.trainer.train.slice = old_slice(folder);
    if (st == FEW_OK)
        st = few_trainer_start(&r.trainer, c->student.from_scratch, err);
    if (st == FEW_OK)
        st = begin(&r, err);
    if (st == FEW_OK)
        st = loop(&r, err);
    if (r.log && fclose(r.log) != 0 && st == FEW_OK)
        st = few_fail(err, FEW_EIO, "cannot write '%s/log.tsv': %m", folder);
    few_drawer_free(r.drawer);
    few_trainer_free(&r.trainer);
    few_unlock(r.lock);
    return st;
}

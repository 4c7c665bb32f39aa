/* Making the cells of a comparison. */
#include "compare/compare.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/thread.h"
#include "compare/strip.h"
#include "train/dataset.h"
#include "train/run.h"
#include "train/state.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- configurations -------------------------------------------------------------------------*/

/* The training of a cell: the student's configuration, for this number of images. */
static few_status configure(const few_compare *c, const few_cell *cell, few_config *out,
                            few_error *err)
{
    const few_compare_recipe *r = &c->recipe;
    char number[32], teacher[1024];
    snprintf(teacher, sizeof teacher, "%s", r->teacher);
    if (few_is_folder(r->teacher)) {
        char *path;
        FEW_TRY(few_state_model_path(r->teacher, &path, err));
        snprintf(teacher, sizeof teacher, "%s", path);
        few_free(path);
    }
    FEW_TRY(few_config_load(out, cell->student->config, "mcd", err));
    few_status st = FEW_OK;
    FEW_GOTO(few_config_set_all(out, &cell->student->set, cell->student->label, err));
    FEW_GOTO(few_config_set(out, "data.path", cell->student->data ? cell->student->data : r->data,
                            "data", err));
    FEW_GOTO(few_config_set(out, "data.test", r->test, "test", err));
    FEW_GOTO(few_config_set(out, "student.teacher", teacher, "teacher", err));
    snprintf(number, sizeof number, "%d", cell->made_for);
    FEW_GOTO(few_config_set(out, "student.steps", number, "steps", err));
    snprintf(number, sizeof number, "%d", cell->seed);
    FEW_GOTO(few_config_set(out, "train.seed", number, "seeds", err));
    out->train.steps = (r->images + out->train.batch - 1) / out->train.batch;
    if (out->train.warmup > out->train.steps / 10)
        out->train.warmup = out->train.steps / 10;
    out->train.sample_every = 0;
    if (c->threads)
        out->train.threads = c->threads;
cleanup:
    if (st != FEW_OK)
        few_config_clear(out);
    return st;
}

static char *run_folder(const few_compare *c, const few_cell *cell)
{
    char path[FEW_CELL_NAME + 8];
    snprintf(path, sizeof path, "runs/%s", cell->run);
    return few_path_join(c->folder, path);
}

/* What a student with data of its own learns from, by its contents. */
static few_status add_data(few_strbuf *b, const char *path, few_error *err)
{
    few_dataset d;
    FEW_TRY(few_dataset_open(&d, path, err));
    few_strbuf_addf(b, "%s\n", d.hash);
    few_dataset_close(&d);
    return FEW_OK;
}

/* What the result of a cell depends on. */
static few_status make_key(const few_compare *c, few_cell *cell, few_error *err)
{
    few_strbuf b;
    few_status st = FEW_OK;
    few_strbuf_init(&b);
    few_strbuf_addf(&b, "%s %s %s %" PRId64 " %s %d\n", FEW_VERSION, c->teacher.hash,
                    few_features_hash(c->features), c->recipe.samples,
                    few_pack_get_info(c->test)->hash, cell->steps);
    few_strbuf_addf(&b, "%s\n", few_pack_get_info(c->train)->hash); /* the floor's, too */
    const few_spec *spec = &c->teacher.spec;
    if (spec->clip)
        few_strbuf_add(&b, "clip\n");
    for (int k = 0; k < spec->x_error.n; k++)
        few_strbuf_addf(&b, "%.17g ", spec->x_error.v[k]);
    if (cell->student) {
        few_config config;
        st = configure(c, cell, &config, err);
        if (st == FEW_OK) {
            config.train.threads = 0;
            st = few_config_write(&config, &b, err);
            few_config_clear(&config);
        }
        if (st == FEW_OK && cell->student->data)
            st = add_data(&b, cell->student->data, err);
    } else {
        few_strbuf_add(&b, cell->sampler->sampler);
        for (int k = 0; k < cell->sampler->set.n; k++)
            few_strbuf_addf(&b, " %s", cell->sampler->set.v[k]);
    }
    few_hash_text(b.s, b.n, cell->key);
    few_strbuf_free(&b);
    return st;
}

/* What draws a cell. Free *options with few_sampler_options_free. */
static few_status sampling_of(const few_cell *cell, const few_net *net, few_draw *draw,
                              void **options, few_error *err)
{
    const few_sampler *s = cell->student ? few_sampler_default(&net->spec)
                                         : few_sampler_find(cell->sampler->sampler, err);
    few_strbuf ignored;
    if (!s)
        return FEW_ECONFIG;
    FEW_TRY(few_sampler_options_make(s, options, err));
    few_status st =
        cell->sampler ? few_sampler_options_set(s, *options, &cell->sampler->set, err) : FEW_OK;
    few_strbuf_init(&ignored);
    if (st == FEW_OK && s->check)
        st = s->check(&net->spec, *options, cell->steps, &ignored, err);
    few_strbuf_free(&ignored);
    *draw = (few_draw){ .sampler = s, .options = *options, .steps = cell->steps };
    if (st != FEW_OK)
        few_sampler_options_free(s, *options);
    return st;
}

/* ---- opening --------------------------------------------------------------------------------*/

static few_status open_teacher(few_compare *c, few_error *err)
{
    char *path = NULL;
    if (!few_is_folder(c->recipe.teacher))
        return few_net_load(&c->teacher, c->recipe.teacher, err);
    FEW_TRY(few_state_model_path(c->recipe.teacher, &path, err));
    const few_status st = few_net_load(&c->teacher, path, err);
    few_free(path);
    return st;
}

/* Wrong settings are told before anything is trained. */
static few_status check_cells(few_compare *c, few_error *err)
{
    for (int k = 0; k < c->n_cells; k++) {
        few_cell *cell = &c->cells[k];
        few_status st = make_key(c, cell, err);
        if (st == FEW_OK)
            st = few_cell_read(cell, c->folder, err);
        cell->evaluations = cell->steps; /* of students */
        if (st == FEW_OK && cell->sampler) {
            few_draw d;
            void *options;
            st = sampling_of(cell, &c->teacher, &d, &options, err);
            if (st == FEW_OK) {
                cell->evaluations = few_draw_evaluations(&d);
                few_sampler_options_free(d.sampler, options);
            }
        }
        if (st != FEW_OK)
            return few_fail_in(err, "%s", cell->name);
    }
    return FEW_OK;
}

few_status few_compare_open(few_compare *c, const char *recipe_path, const char *folder, bool quick,
                            int threads, few_error *err)
{
    few_status st = FEW_OK;
    memset(c, 0, sizeof *c);
    c->recipe_path = recipe_path;
    c->folder = folder;
    c->threads = threads;
    FEW_TRY(few_compare_recipe_load(&c->recipe, recipe_path, quick, err));
    FEW_GOTO(open_teacher(c, err));
    if (c->teacher.spec.steps) {
        st = few_fail(err, FEW_ECONFIG, "'%s' is a student; a teacher must be a diffusion model",
                      c->recipe.teacher);
        goto cleanup;
    }
    FEW_GOTO(few_pack_open(&c->test, c->recipe.test, err));
    FEW_GOTO(few_pack_open(&c->train, c->recipe.data, err));
    FEW_GOTO(few_features_find(c->recipe.features, c->teacher.spec.data_name, c->recipe.data,
                               threads, &c->features, err));
    FEW_GOTO(few_cells_make(&c->recipe, &c->cells, &c->n_cells, err));
    st = check_cells(c, err);
cleanup:
    if (st != FEW_OK)
        few_compare_close(c);
    return st;
}

void few_compare_close(few_compare *c)
{
    few_net_free(&c->teacher);
    few_real_free(&c->reference);
    few_features_free(c->features);
    few_pack_close(c->test);
    few_pack_close(c->train);
    few_free(c->cells);
    few_compare_recipe_clear(&c->recipe);
    memset(c, 0, sizeof *c);
}

/* ---- one cell -------------------------------------------------------------------------------*/

static void on_step(void *user, const few_run_progress *p)
{
    const few_compare_watch *w = user;
    w->progress(w->user, p->step);
}

static int on_stop(void *user)
{
    const few_compare_watch *w = user;
    return w->stop(w->user);
}

static int on_evaluation(void *user, int64_t done, int64_t total)
{
    const few_compare_watch *w = user;
    (void)total;
    w->progress(w->user, done);
    return w->stop(w->user);
}

static few_status train(const few_compare *c, const few_cell *cell, few_error *err)
{
    const few_run_watch watch = { .user = (void *)(uintptr_t)c->watch,
                                  .progress = on_step,
                                  .stop = on_stop,
                                  .when_changed =
                                      "delete the folder to train it as the recipe says" };
    few_config config;
    char *folder = run_folder(c, cell);
    few_status st = folder ? configure(c, cell, &config, err)
                           : few_fail(err, FEW_ENOMEM, "out of memory for a comparison");
    if (st == FEW_OK) {
        c->watch->begin(c->watch->user, cell->run, config.train.steps, "step");
        st = few_run(&config, folder, &watch, err);
        c->watch->end(c->watch->user);
        few_config_clear(&config);
    }
    few_free(folder);
    return st;
}

static few_status load_student(const few_compare *c, const few_cell *cell, few_net *net,
                               few_error *err)
{
    char *folder = run_folder(c, cell), *path = NULL;
    few_status st = folder ? few_state_model_path(folder, &path, err)
                           : few_fail(err, FEW_ENOMEM, "out of memory for a comparison");
    if (st == FEW_OK)
        st = few_net_load(net, path, err);
    few_free(folder);
    few_free(path);
    return st;
}

/* Every cell is measured from the same noise: seed 0. */
static few_status measure(few_compare *c, few_cell *cell, int64_t *evaluations, few_error *err)
{
    few_net student = { 0 };
    few_draw draw;
    few_evaluation e;
    void *options;
    char *cells;
    if (!c->reference.test.n)
        FEW_TRY(
            few_real_make(&c->reference, c->features, c->test, c->train, c->recipe.samples, err));
    if (cell->student)
        FEW_TRY(load_student(c, cell, &student, err));
    const few_net *net = cell->student ? &student : &c->teacher;
    few_status st = sampling_of(cell, net, &draw, &options, err);
    if (st == FEW_OK) {
        cells = few_path_join(c->folder, "cells"); /* NULL: nothing is kept */
        const few_evaluation_options o = { .samples = c->recipe.samples,
                                           .draw = draw,
                                           .workers = c->threads,
                                           .keep = cells,
                                           .progress = on_evaluation,
                                           .user = (void *)(uintptr_t)c->watch };
        *evaluations = c->recipe.samples * few_draw_evaluations(&draw);
        st = few_strip_make(c, cell, net, &draw, err);
        if (st == FEW_OK) {
            c->watch->begin(c->watch->user, cell->name, *evaluations, "eval");
            st = few_evaluate(net, c->features, &c->reference, &o, &e, err);
            c->watch->end(c->watch->user);
        }
        few_free(cells);
        few_sampler_options_free(draw.sampler, options);
    }
    if (st == FEW_OK) {
        cell->fd = e.fd;
        cell->floor = e.floor;
        cell->nfe = e.nfe;
        cell->images_per_second = e.images_per_second;
        snprintf(cell->model, sizeof cell->model, "%s", net->hash);
        snprintf(cell->precision, sizeof cell->precision, "%s",
                 few_cpu_resolve(FEW_PRECISION_AUTO, NULL) == FEW_PRECISION_BF16 ? "bf16" : "f32");
        cell->done = true;
    }
    few_net_free(&student);
    return st;
}

/* ---- all of them ----------------------------------------------------------------------------*/

/* Whether an earlier cell has the training of cell k, or any cell that is done. */
static bool is_trained_by_then(const few_compare *c, int k)
{
    for (int i = 0; i < c->n_cells; i++)
        if (i != k && !strcmp(c->cells[i].run, c->cells[k].run) && (i < k || c->cells[i].done))
            return true;
    return false;
}

double few_compare_time_left(const few_compare *c, const few_compare_pace *p)
{
    double left = 0;
    for (int k = 0; k < c->n_cells; k++) {
        const few_cell *cell = &c->cells[k];
        if (cell->done || cell->failed)
            continue;
        const bool training = cell->student && !is_trained_by_then(c, k);
        if (!p->measured || (training && !p->trained))
            return -1;
        left += training ? p->training / (double)p->trained : 0;
        left += p->measuring / (double)p->measured * (double)c->recipe.samples * cell->evaluations;
    }
    return left;
}

static few_status make(few_compare *c, few_cell *cell, few_compare_pace *p, few_error *err)
{
    int64_t evaluations = 0;
    few_cell now = *cell;
    FEW_TRY(make_key(c, &now, err));
    if (strcmp(now.key, cell->key) != 0)
        return few_fail(err, FEW_ECONFIG,
                        "its configuration or teacher has changed since the comparison began; "
                        "start it again");
    few_status st = FEW_OK;
    double start = few_now();
    if (cell->student) {
        st = train(c, cell, err);
        p->training += few_now() - start;
        p->trained += few_now() - start > 3; /* those that were there do not count */
        start = few_now();
    }
    if (st == FEW_OK)
        st = measure(c, cell, &evaluations, err);
    p->measuring += few_now() - start;
    p->measured += evaluations;
    if (st == FEW_OK)
        st = few_cell_write(cell, c->folder, err);
    return st;
}

few_status few_compare_write(const few_compare *c, few_error *err)
{
    FEW_TRY(few_compare_write_tsv(c, err));
    FEW_TRY(few_compare_write_markdown(c, err));
    return few_compare_write_page(c, err);
}

int few_compare_done(const few_compare *c)
{
    int n = 0;
    for (int k = 0; k < c->n_cells; k++)
        n += c->cells[k].done;
    return n;
}

/* What other processes have made since. */
static few_status look_again(few_compare *c, few_error *err)
{
    for (int k = 0; k < c->n_cells; k++)
        if (!c->cells[k].done)
            FEW_TRY(few_cell_read(&c->cells[k], c->folder, err));
    return FEW_OK;
}

/* Tables and page of all that is there. A result that comes while they are written would be missing
 * if its process had written them first: then once more. */
static few_status write_all(few_compare *c, few_error *err)
{
    int before;
    do {
        before = few_compare_done(c);
        FEW_TRY(few_compare_write(c, err));
        FEW_TRY(look_again(c, err));
    } while (few_compare_done(c) != before);
    return FEW_OK;
}

/* The next cell that is neither done nor with another process, of which `others` counts those that
 * train or measure before it; it is ours until few_unlock(*lock). k: n_cells when there is none. */
static few_status take(few_compare *c, int *k, int *lock, int *others, few_error *err)
{
    const char *busy = ""; /* the training that the last of them has */
    *others = 0;
    for (*k = 0; *k < c->n_cells; ++*k) {
        few_cell *cell = &c->cells[*k];
        if (cell->done || cell->failed)
            continue;
        const few_status st = few_cell_take(cell, c->folder, lock, err);
        if (st == FEW_EBUSY) {
            *others += !cell->student || strcmp(cell->run, busy) != 0;
            busy = cell->run;
            continue;
        }
        FEW_TRY(st);
        FEW_TRY(few_cell_read(cell, c->folder, err)); /* made until just now */
        if (!cell->done)
            return FEW_OK;
        few_unlock(*lock);
    }
    return FEW_OK;
}

/* A cell whose training diverges, and the others of that training. */
static void leave_out(few_compare *c, int k, const char *why)
{
    for (int j = 0; j < c->n_cells; j++) {
        few_cell *cell = &c->cells[j];
        if (j != k && (cell->done || !cell->student || strcmp(cell->run, c->cells[k].run) != 0))
            continue;
        cell->failed = true;
        c->watch->failed(c->watch->user, cell, why);
    }
}

few_status few_compare_run(few_compare *c, const few_compare_watch *w, few_error *err)
{
    few_compare_pace p = { 0 };
    c->watch = w;
    char *cells = few_path_join(c->folder, "cells");
    few_status st =
        cells ? few_make_folders(cells, err) : few_fail(err, FEW_ENOMEM, "out of memory");
    few_free(cells);
    if (st == FEW_OK && few_compare_done(c)) /* before hours of training: it may be refused */
        st = write_all(c, err);
    while (st == FEW_OK) {
        int k, lock = -1, others;
        st = take(c, &k, &lock, &others, err);
        if (st == FEW_OK && k == c->n_cells)
            break;
        if (st == FEW_OK)
            st = make(c, &c->cells[k], &p, err);
        few_unlock(lock);
        if (st == FEW_EDIVERGED) {
            leave_out(c, k, err->text);
            st = FEW_OK;
            continue;
        }
        if (st != FEW_OK && st != FEW_ECANCELED)
            return few_fail_in(err, "%s", c->cells[k < c->n_cells ? k : 0].name);
        if (st == FEW_OK)
            st = write_all(c, err);
        if (st == FEW_OK)
            w->cell(w->user, &c->cells[k], k, c->n_cells,
                    few_compare_time_left(c, &p) / (others + 1));
    }
    return st == FEW_OK && few_compare_done(c) ? write_all(c, err) : st;
}

/* Saving and loading states; see state.h for the order of writes that makes it safe. */
#define _GNU_SOURCE
#include "train/state.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/safetensors.h"

#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const files[] = { "model.safetensors", "state.safetensors" };

/* "run/checkpoints[/name]"; empty text when out of memory. */
static char *path_in(const char *run, const char *name)
{
    char *folder = few_path_join(run, "checkpoints");
    char *path = folder && name ? few_path_join(folder, name) : NULL;
    if (!name)
        return folder;
    few_free(folder);
    return path;
}

static few_status no_memory(few_error *err)
{
    return few_fail(err, FEW_ENOMEM, "out of memory for a checkpoint");
}

few_status few_remove_folder(const char *path, few_error *err)
{
    char **names;
    int n;
    FEW_TRY(few_list_folder(path, &names, &n, err));
    few_status st = FEW_OK;
    for (int k = 0; k < n && st == FEW_OK; k++) {
        char *inner = few_path_join(path, names[k]);
        struct stat what;
        if (!inner)
            st = no_memory(err);
        else if (lstat(inner, &what) == 0 && S_ISDIR(what.st_mode)) /* never where a link leads */
            st = few_remove_folder(inner, err);
        else if (unlink(inner) != 0)
            st = few_fail(err, FEW_EIO, "cannot delete '%s': %m", inner);
        few_free(inner);
    }
    few_free_names(names, n);
    if (st == FEW_OK && rmdir(path) != 0)
        st = few_fail(err, FEW_EIO, "cannot delete the folder '%s': %m", path);
    return st;
}

/* ---- manifest -------------------------------------------------------------------------------*/

static few_status hash_file(const char *path, char out[33], int64_t *bytes, few_error *err)
{
    few_map m;
    FEW_TRY(few_map_open(&m, path, err));
    few_hash_text(m.data, m.n, out);
    *bytes = (int64_t)m.n;
    few_map_close(&m);
    return FEW_OK;
}

static few_status write_manifest(const char *folder, int64_t step, few_error *err)
{
    json_t *list = json_object();
    few_status st = FEW_OK;
    for (size_t k = 0; k < FEW_COUNT(files) && st == FEW_OK; k++) {
        char *path = few_path_join(folder, files[k]), hash[33];
        int64_t bytes = 0;
        st = path ? hash_file(path, hash, &bytes, err) : no_memory(err);
        few_free(path);
        if (st == FEW_OK)
            json_object_set_new(
                list, files[k],
                json_pack("{s:I, s:s}", "bytes", (json_int_t)bytes, "xxh3_128", hash));
    }
    json_t *o = json_pack("{s:I, s:o}", "step", (json_int_t)step, "files", list);
    char *text = o ? json_dumps(o, JSON_INDENT(1)) : NULL;
    char *path = few_path_join(folder, "manifest.json");
    if (st == FEW_OK)
        st = text && path ? few_write_file(path, text, strlen(text), err) : no_memory(err);
    few_free(path);
    free(text);
    json_decref(o);
    return st;
}

/* Is every file there, as the manifest says? */
static few_status check_manifest(const char *folder, few_error *err)
{
    char *path = few_path_join(folder, "manifest.json");
    json_error_t je;
    json_t *o = path ? json_load_file(path, JSON_REJECT_DUPLICATES, &je) : NULL;
    few_status st = !path ? no_memory(err)
                    : o   ? FEW_OK
                          : few_fail(err, FEW_EFORMAT, "'%s' has no manifest", folder);
    few_free(path);
    for (size_t k = 0; k < FEW_COUNT(files) && st == FEW_OK; k++) {
        const json_t *f = json_object_get(json_object_get(o, "files"), files[k]);
        const char *want = json_string_value(json_object_get(f, "xxh3_128"));
        char hash[33];
        int64_t bytes = 0;
        path = few_path_join(folder, files[k]);
        st = path ? hash_file(path, hash, &bytes, err) : no_memory(err);
        if (st == FEW_OK && (!want || strcmp(want, hash) != 0 ||
                             json_integer_value(json_object_get(f, "bytes")) != bytes))
            st = few_fail(err, FEW_EFORMAT, "'%s' differs from what its manifest says", path);
        few_free(path);
    }
    json_decref(o);
    return st;
}

/* ---- the state file -------------------------------------------------------------------------*/

enum { MAX_ARRAYS = 5 + FEW_MAX_LISTED_EMA };

static int arrays(const few_train_state *s, float *v[MAX_ARRAYS], char names[][16])
{
    static const char *const fixed[] = { "master", "m", "v", "target", "teacher" };
    float *const first[] = { s->master, s->m, s->v, s->target, s->teacher };
    int n = 0;
    for (size_t k = 0; k < FEW_COUNT(first); k++) {
        if (!first[k])
            continue;
        v[n] = first[k];
        snprintf(names[n++], 16, "%s", fixed[k]);
    }
    for (int k = 0; k < s->n_ema; k++) {
        v[n] = s->ema[k];
        snprintf(names[n++], 16, "ema.%d", k);
    }
    return n;
}

/* What a run learns from may not change under it: hashes of its data and its teacher ("": none). */
static const char *data_of(const few_trainer *t)
{
    return t->data.hash;
}

static const char *teacher_of(const few_trainer *t)
{
    return t->teacher ? t->teacher->hash : "";
}

static few_status write_state(const few_trainer *t, const char *path, few_error *err)
{
    const few_train_state *s = &t->state;
    float *v[MAX_ARRAYS];
    char names[MAX_ARRAYS][16], counters[400];
    const int n = arrays(s, v, names);
    few_safetensors_writer *w;
    few_status st = FEW_OK;
    FEW_TRY(few_safetensors_writer_create(&w, err));
    for (int k = 0; k < n; k++) {
        for (int64_t i = 0; i < s->count; i++)
            if (!isfinite(v[k][i])) {
                st = few_fail(err, FEW_EDIVERGED,
                              "not saving step %" PRId64 ": '%s' holds numbers that are not finite",
                              s->step, names[k]);
                goto cleanup;
            }
        FEW_GOTO(
            few_safetensors_writer_add(w, names[k], FEW_SAFETENSORS_F32, 1, &s->count, v[k], err));
    }
    snprintf(counters, sizeof counters,
             "{\"step\":%" PRId64 ",\"updates\":%" PRId64 ",\"skipped\":%" PRId64
             ",\"rollbacks\":%d,\"phase\":%d,\"data\":\"%s\",\"teacher\":\"%s\",\"cores\":%d,"
             "\"precision\":\"%s\"}",
             s->step, s->updates, s->skipped, s->rollbacks, s->phase, data_of(t), teacher_of(t),
             few_trainer_cores(t), few_trainer_precision(t));
    FEW_GOTO(few_safetensors_writer_metadata(w, "fewstep.state", counters, err));
    FEW_GOTO(few_safetensors_writer_write(w, path, err));
cleanup:
    few_safetensors_writer_free(w);
    return st;
}

static few_status same_source(const char *what, const char *then, const char *now, const char *path,
                              few_error *err)
{
    if (!strcmp(then, now))
        return FEW_OK;
    return few_fail(
        err, FEW_ECONFIG,
        "%s is not what '%s' was trained with (hash %s, now %s); bring it back, or begin "
        "again with --fresh",
        what, path, *then ? then : "none", *now ? now : "none");
}

static few_status read_state(few_trainer *t, const char *path, few_error *err)
{
    few_train_state *s = &t->state;
    float *v[MAX_ARRAYS];
    char names[MAX_ARRAYS][16];
    const int n = arrays(s, v, names);
    few_safetensors *f;
    few_status st = FEW_OK;
    json_t *o = NULL;
    FEW_TRY(few_safetensors_open(path, &f, err));
    for (int k = 0; k < n; k++) {
        const few_safetensor *x = few_safetensors_find(f, names[k]);
        if (!x || x->rank != 1 || x->count != s->count || x->type != FEW_SAFETENSORS_F32) {
            st = few_fail(err, FEW_EFORMAT, "'%s' has no array '%s' of %" PRId64 " numbers", path,
                          names[k], s->count);
            goto cleanup;
        }
    }
    const char *text = few_safetensors_metadata(f, "fewstep.state");
    o = text ? json_loads(text, 0, NULL) : NULL;
    json_int_t step, updates, skipped;
    int rollbacks, phase, cores = 0;
    const char *data, *teacher, *precision = NULL;
    if (!o ||
        json_unpack(o, "{s:I, s:I, s:I, s:i, s:i, s:s, s:s, s?i, s?s}", "step", &step, "updates",
                    &updates, "skipped", &skipped, "rollbacks", &rollbacks, "phase", &phase, "data",
                    &data, "teacher", &teacher, "cores", &cores, "precision", &precision) ||
        step < 0 || updates < 0 || skipped < 0 || rollbacks < 0 || phase < 0) {
        st = few_fail(err, FEW_EFORMAT, "'%s' has no counters", path);
        goto cleanup;
    }
    FEW_GOTO(same_source("the content of data.path", data, data_of(t), path, err));
    FEW_GOTO(same_source("the teacher", teacher, teacher_of(t), path, err));
    for (int k = 0; k < n; k++)
        FEW_GOTO(few_safetensors_to_f32(few_safetensors_find(f, names[k]), v[k], err));
    s->step = step;
    s->updates = updates;
    s->skipped = skipped;
    s->rollbacks = rollbacks;
    s->phase = phase;
    s->cores = cores;
    snprintf(s->precision, sizeof s->precision, "%s", precision ? precision : "");
cleanup:
    json_decref(o);
    few_safetensors_close(f);
    return st;
}

/* ---- folders --------------------------------------------------------------------------------*/

/* The step of a folder name "step-NNNNNNNN", or -1. */
static int64_t step_of(const char *name)
{
    if (strncmp(name, "step-", 5) != 0 || strspn(name + 5, "0123456789") != strlen(name + 5) ||
        strlen(name + 5) < 8)
        return -1;
    return strtoll(name + 5, NULL, 10);
}

/* Complete states, newest last; what is not complete is named in *passed_over. */
static few_status list_states(const char *run, bool verify, char ***names, int *n,
                              few_strbuf *passed_over, few_error *err)
{
    char *folder = path_in(run, NULL);
    *names = NULL;
    *n = 0;
    if (!folder)
        return no_memory(err);
    few_status st = few_is_folder(folder) ? few_list_folder(folder, names, n, err) : FEW_OK;
    int kept = 0;
    for (int k = 0; k < *n && st == FEW_OK; k++) {
        char *path = few_path_join(folder, (*names)[k]);
        few_error why = { 0 };
        bool good = step_of((*names)[k]) >= 0;
        if (!path)
            st = no_memory(err);
        else if (good && verify && check_manifest(path, &why) != FEW_OK) {
            good = false;
            if (why.code == FEW_ENOMEM) /* says nothing about the state */
                st = few_fail(err, why.code, "%s", why.text);
            else if (passed_over)
                few_strbuf_addf(passed_over, "%s%s", passed_over->n ? "; " : "", why.text);
        }
        few_free(path);
        if (good && st == FEW_OK) { /* by step: from nine digits on names sort otherwise */
            char *const name = (*names)[k];
            (*names)[k] = (*names)[kept];
            int at = kept++;
            for (; at > 0 && step_of((*names)[at - 1]) > step_of(name); at--)
                (*names)[at] = (*names)[at - 1];
            (*names)[at] = name;
        }
    }
    if (st != FEW_OK)
        kept = 0;
    for (int k = kept; k < *n; k++)
        few_free((*names)[k]);
    *n = kept;
    if (st != FEW_OK) {
        few_free(*names);
        *names = NULL;
    }
    few_free(folder);
    return st;
}

/* Delete older states and left-over temporaries. States after `step` were passed over when the run
 * went on from an older one: they do not count, and go when they are saved again. */
static void prune(const char *run, int64_t step, int keep)
{
    char **names, *folder = path_in(run, NULL);
    int n;
    few_error ignored;
    if (!folder || few_list_folder(folder, &names, &n, &ignored) != FEW_OK) {
        few_free(folder);
        return;
    }
    for (int k = 0; k < n; k++) {
        const int64_t of = step_of(names[k]);
        int newer = 0;
        for (int i = 0; i < n; i++)
            newer += step_of(names[i]) > of && step_of(names[i]) <= step;
        char *path = few_path_join(folder, names[k]);
        char temp[48], *gone = NULL;
        if (of >= 0 && of <= step && newer >= keep) { /* half deleted, it must not look like one */
            snprintf(temp, sizeof temp, "tmp-%d-%.30s", (int)getpid(), names[k]);
            gone = path_in(run, temp);
            if (path && gone && rename(path, gone) == 0)
                few_remove_folder(gone, &ignored);
        } else if (path && !strncmp(names[k], "tmp-", 4)) {
            few_remove_folder(path, &ignored);
        }
        few_free(gone);
        few_free(path);
    }
    few_free_names(names, n);
    few_free(folder);
}

/* Give a complete folder its name. The same step saved again changes places with what was there,
 * which prune then deletes; where the file system cannot do that, there is a moment without. */
static few_status put(const char *from, const char *to, few_error *err)
{
    if (few_is_folder(to)) {
        if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_EXCHANGE) == 0)
            return FEW_OK;
        FEW_TRY(few_remove_folder(to, err));
    }
    if (rename(from, to) != 0)
        return few_fail(err, FEW_EIO, "cannot rename '%s' to '%s': %m", from, to);
    return FEW_OK;
}

few_status few_state_save(const few_trainer *t, const char *run, few_error *err)
{
    char name[32], temp[48];
    snprintf(name, sizeof name, "step-%08" PRId64, t->state.step);
    snprintf(temp, sizeof temp, "tmp-%d-%s", (int)getpid(), name);
    char *all = path_in(run, NULL), *from = path_in(run, temp), *to = path_in(run, name);
    char *model = from ? few_path_join(from, files[0]) : NULL;
    char *state = from ? few_path_join(from, files[1]) : NULL;
    few_status st = all && to && model && state ? FEW_OK : no_memory(err);
    if (st == FEW_OK)
        st = few_make_folders(from, err);
    if (st == FEW_OK)
        st = few_net_save(&t->spec, &t->params, few_trainer_weights(t), model, err);
    if (st == FEW_OK)
        st = write_state(t, state, err);
    if (st == FEW_OK)
        st = write_manifest(from, t->state.step, err);
    if (st == FEW_OK)
        st = put(from, to, err);
    if (st == FEW_OK)
        st = few_sync_folder(all, err);
    if (st == FEW_OK) /* the first time, the folder of the checkpoints is new, too */
        st = few_sync_folder(run, err);
    few_error ignored;
    if (st == FEW_OK)
        prune(run, t->state.step, t->train.keep);
    else if (from && few_is_folder(from))
        few_remove_folder(from, &ignored);
    few_free(all);
    few_free(from);
    few_free(to);
    few_free(model);
    few_free(state);
    return st;
}

static few_status newest(const char *run, few_strbuf *passed_over, char **folder, few_error *err)
{
    char **names;
    int n;
    FEW_TRY(list_states(run, true, &names, &n, passed_over, err));
    few_status st = FEW_OK;
    if (n == 0) {
        st = few_fail(err, FEW_ENOTFOUND, "'%s' holds no complete checkpoint%s%s", run,
                      passed_over && passed_over->n ? ": " : "",
                      passed_over && passed_over->n ? passed_over->s : "");
    } else {
        *folder = path_in(run, names[n - 1]);
        if (!*folder)
            st = no_memory(err);
    }
    few_free_names(names, n);
    return st;
}

few_status few_state_load(few_trainer *t, const char *run, few_strbuf *passed_over, few_error *err)
{
    char *folder;
    FEW_TRY(newest(run, passed_over, &folder, err));
    char *path = few_path_join(folder, files[1]);
    few_status st = path ? read_state(t, path, err) : no_memory(err);
    few_free(path);
    few_free(folder);
    t->bad_in_a_row = 0;
    if (st == FEW_OK)
        st = few_trainer_rebind(t, err);
    return st;
}

few_status few_state_model_path(const char *run, char **path, few_error *err)
{
    char *folder;
    FEW_TRY(newest(run, NULL, &folder, err));
    *path = few_path_join(folder, files[0]);
    few_free(folder);
    return *path ? FEW_OK : no_memory(err);
}

few_status few_state_newest(const char *run, int64_t *step, few_error *err)
{
    char **names;
    int n;
    *step = -1;
    FEW_TRY(list_states(run, false, &names, &n, NULL, err));
    if (n)
        *step = step_of(names[n - 1]);
    few_free_names(names, n);
    return FEW_OK;
}

/* Making and reading trajectories. */
#include "train/trajectories.h"

#include "base/alloc.h"
#include "base/hash.h"
#include "sampler/draw.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GROUP = 256 };
static const char key[] = "fewstep.trajectories";

/* ---- making ---------------------------------------------------------------------------------*/

struct maker {
    const few_trajectories_options *o;
    few_drawer *d;
    void *options; /* of ddim */
    float *z[2];   /* [GROUP, pixels] */
    float *states; /* [count, pixels of an image, (states + 1) channels] */
    int32_t *labels;
    int64_t image, channels; /* pixels; channels of one state */
    int64_t before;
};

static int relay(void *user, int64_t done, int64_t total)
{
    const struct maker *m = user;
    (void)total;
    return m->o->progress ? m->o->progress(m->o->user, m->before + done, m->o->count * m->o->steps)
                          : 0;
}

/* State k of images first.. into its channels. */
static void keep(const struct maker *m, const float *z, int k, int64_t first, int64_t n)
{
    const int64_t all = m->channels * (m->o->states + 1);
    for (int64_t p = 0; p < n * m->image; p++)
        memcpy(m->states + (first * m->image + p) * all + k * m->channels, z + p * m->channels,
               (size_t)m->channels * sizeof(float));
}

static few_status make_group(struct maker *m, int64_t first, int64_t n, few_error *err)
{
    const int each = m->o->steps / m->o->states;
    few_draw_noise(m->o->seed, first, n, m->image * m->channels, m->z[0]);
    keep(m, m->z[0], 0, first, n);
    for (int k = 0; k < m->o->states; k++) {
        const few_draw draw = { .sampler = &few_sampler_ddim,
                                .options = m->options,
                                .steps = m->o->steps,
                                .begin = k * each,
                                .end = (k + 1) * each,
                                .first = first,
                                .noise = m->z[k % 2],
                                .progress = relay,
                                .user = m };
        FEW_TRY(few_drawer_draw(m->d, &draw, n, m->z[(k + 1) % 2], err));
        keep(m, m->z[(k + 1) % 2], k + 1, first, n);
        m->before += n * each;
    }
    return FEW_OK;
}

static few_status write_file(const struct maker *m, const few_net *teacher, const char *path,
                             few_error *err)
{
    const few_spec *s = &teacher->spec;
    const int64_t shape[4] = { m->o->count, s->height, s->width, m->channels * (m->o->states + 1) };
    char hash[33];
    few_hash_text(m->states, (size_t)(m->o->count * m->image) * (size_t)shape[3] * sizeof(float),
                  hash);
    json_t *o = json_pack("{s:s*, s:s, s:s, s:i, s:i, s:i, s:I}", "data", s->data_name, "hash",
                          hash, "teacher", teacher->hash, "classes", s->classes, "steps",
                          m->o->steps, "states", m->o->states, "seed", (json_int_t)m->o->seed);
    char *text = o ? json_dumps(o, 0) : NULL;
    few_safetensors_writer *w = NULL;
    few_status st = text ? few_safetensors_writer_create(&w, err)
                         : few_fail(err, FEW_ENOMEM, "out of memory for trajectories");
    if (st == FEW_OK)
        st = few_safetensors_writer_metadata(w, key, text, err);
    if (st == FEW_OK)
        st = few_safetensors_writer_add(w, "states", FEW_SAFETENSORS_F32, 4, shape, m->states, err);
    if (st == FEW_OK)
        st = few_safetensors_writer_add(w, "labels", FEW_SAFETENSORS_I32, 1, shape, m->labels, err);
    if (st == FEW_OK)
        st = few_safetensors_writer_write(w, path, err);
    few_safetensors_writer_free(w);
    free(text);
    json_decref(o);
    return st;
}

few_status few_trajectories_make(const few_net *teacher, const few_trajectories_options *o,
                                 const char *path, few_error *err)
{
    const few_spec *s = &teacher->spec;
    struct maker m = { .o = o, .image = (int64_t)s->height * s->width, .channels = s->channels };
    const few_drawer_options po = { .workers = o->workers, .images = GROUP };
    const size_t group = (size_t)(GROUP * m.image * m.channels) * sizeof(float);
    const size_t all = (size_t)(o->count * m.image * m.channels * (o->states + 1)) * sizeof(float);
    if (s->steps)
        return few_fail(err, FEW_EINVAL, "a student has no path; trajectories are a teacher's");
    if (o->count < 1 || o->states < 1 || o->steps < o->states || o->steps % o->states)
        return few_fail(err, FEW_EINVAL,
                        "%lld trajectories of %d steps with %d states: the states must divide the "
                        "steps",
                        (long long)o->count, o->steps, o->states);
    m.z[0] = few_malloc(group);
    m.z[1] = few_malloc(group);
    m.states = few_big_alloc(all);
    m.labels = few_calloc((size_t)o->count, sizeof(int32_t));
    few_status st = m.z[0] && m.z[1] && m.states && m.labels
                        ? FEW_OK
                        : few_fail(err, FEW_ENOMEM, "out of memory for %lld trajectories (%zu MB)",
                                   (long long)o->count, all / 1000000);
    for (int64_t i = 0; st == FEW_OK && i < o->count && s->classes; i++)
        m.labels[i] = (int32_t)(i % s->classes);
    if (st == FEW_OK)
        st = few_sampler_options_make(&few_sampler_ddim, &m.options, err);
    if (st == FEW_OK)
        st = few_drawer_create(s, teacher->master, &po, &m.d, err);
    for (int64_t at = 0; at < o->count && st == FEW_OK; at += GROUP)
        st = make_group(&m, at, o->count - at < GROUP ? o->count - at : GROUP, err);
    if (st == FEW_OK)
        st = write_file(&m, teacher, path, err);
    few_drawer_free(m.d);
    few_sampler_options_free(&few_sampler_ddim, m.options);
    few_free(m.z[0]);
    few_free(m.z[1]);
    few_free(m.labels);
    few_big_free(m.states, all);
    return st;
}

/* ---- reading --------------------------------------------------------------------------------*/

static few_status read(few_trajectories *t, const char *path, few_error *err)
{
    const few_safetensor *states = few_safetensors_find(t->file, "states"),
                         *labels = few_safetensors_find(t->file, "labels");
    const char *text = few_safetensors_metadata(t->file, key), *name = NULL, *hash = NULL;
    json_t *o = text ? json_loads(text, 0, NULL) : NULL;
    few_status st = FEW_OK;
    if (!o ||
        json_unpack(o, "{s?s, s:s, s:i}", "data", &name, "hash", &hash, "classes", &t->classes) ||
        !states || !labels || states->type != FEW_SAFETENSORS_F32 ||
        labels->type != FEW_SAFETENSORS_I32 || states->rank != 4 || labels->rank != 1 ||
        states->shape[0] < 1 || labels->shape[0] != states->shape[0] || t->classes < 0)
        st = few_fail(err, FEW_EFORMAT, "'%s' holds no trajectories (fewstep data trajectories)",
                      path);
    for (int k = 1; k < 4 && st == FEW_OK; k++)
        if (states->shape[k] < 1 || states->shape[k] > 1 << 14)
            st = few_fail(err, FEW_EFORMAT, "'%s': states of %" PRId64 "x%" PRId64 "x%" PRId64,
                          path, states->shape[1], states->shape[2], states->shape[3]);
    if (st == FEW_OK) {
        if (((uintptr_t)states->data | (uintptr_t)labels->data) % sizeof(float))
            st = few_fail(err, FEW_EFORMAT, "'%s': its tensors are not aligned", path);
        t->states = states->data;
        t->labels = labels->data;
        t->n = states->shape[0];
        t->h = (int)states->shape[1];
        t->w = (int)states->shape[2];
        t->c = (int)states->shape[3];
        snprintf(t->name, sizeof t->name, "%s", name ? name : "trajectories");
        snprintf(t->hash, sizeof t->hash, "%s", hash);
    }
    for (int64_t i = 0; st == FEW_OK && i < t->n; i++)
        if (t->labels[i] < 0 || t->labels[i] > t->classes)
            st = few_fail(err, FEW_EFORMAT, "'%s': label %d of %d classes", path, t->labels[i],
                          t->classes);
    json_decref(o);
    return st;
}

few_status few_trajectories_open(few_trajectories *t, const char *path, few_error *err)
{
    memset(t, 0, sizeof *t);
    FEW_TRY(few_safetensors_open(path, &t->file, err));
    const few_status st = read(t, path, err);
    if (st != FEW_OK)
        few_trajectories_close(t);
    return st;
}

void few_trajectories_close(few_trajectories *t)
{
    few_safetensors_close(t->file);
    memset(t, 0, sizeof *t);
}

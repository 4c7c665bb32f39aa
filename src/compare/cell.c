/* Cells: from the recipe, to and from files. */
#include "compare/cell.h"

#include "base/alloc.h"
#include "base/file.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *few_cell_row(const few_cell *c)
{
    return c->student ? c->student->row : c->sampler->row;
}

struct list {
    few_cell *v; /* NULL: only counted */
    int n;
};

static void add(struct list *l, const few_cell *c)
{
    if (l->v)
        l->v[l->n] = *c;
    l->n++;
}

static void add_student(struct list *l, const few_compare_student *s, int steps, int seed)
{
    few_cell c = { .student = s, .made_for = steps, .steps = steps, .seed = seed };
    snprintf(c.run, sizeof c.run, "%.80s-%d-seed%d", s->label, steps, seed);
    snprintf(c.name, sizeof c.name, "%s", c.run);
    if (!s->sampled.n)
        add(l, &c);
    for (int k = 0; k < s->sampled.n; k++) {
        c.steps = s->sampled.v[k];
        snprintf(c.name, sizeof c.name, "%.100s-in-%d", c.run, c.steps);
        add(l, &c);
    }
}

static bool is_seeded(const few_compare_recipe *r, int steps)
{
    for (int k = 0; k < r->seeded_steps.n; k++)
        if (r->seeded_steps.v[k] == steps)
            return true;
    return r->seeded_steps.n == 0;
}

static void list_students(struct list *l, const few_compare_recipe *r, int seed)
{
    for (int k = 0; k < r->n_students; k++)
        for (int j = 0; j < r->students[k].steps.n; j++) {
            const int steps = r->students[k].steps.v[j];
            if (seed == 0 || is_seeded(r, steps))
                add_student(l, &r->students[k], steps, r->seeds.v[seed]);
        }
}

static void list_all(struct list *l, const few_compare_recipe *r)
{
    list_students(l, r, 0);
    for (int k = 0; k < r->n_samplers; k++)
        for (int j = 0; j < r->samplers[k].steps.n; j++) {
            const few_compare_sampler *s = &r->samplers[k];
            few_cell c = { .sampler = s, .steps = s->steps.v[j] };
            snprintf(c.name, sizeof c.name, "%.80s-%d", s->label, c.steps);
            add(l, &c);
        }
    for (int seed = 1; seed < r->seeds.n; seed++)
        list_students(l, r, seed);
}

/* Names are files, and several of one row and number of evaluations are taken for seeds of one way.
 */
static few_status check_pair(const few_cell *a, const few_cell *b, few_error *err)
{
    if (!strcmp(a->name, b->name))
        return few_fail(err, FEW_ECONFIG, "two cells are called '%s': a step or seed stands twice",
                        a->name);
    if (a->student && b->student && a->seed == b->seed && a->steps == b->steps &&
        !strcmp(few_cell_row(a), few_cell_row(b)))
        return few_fail(err, FEW_ECONFIG,
                        "'%s' and '%s' are both row '%s' in %d steps: they would be taken for "
                        "seeds of one way; give one another row, or other steps",
                        b->name, a->name, few_cell_row(a), a->steps);
    return FEW_OK;
}

few_status few_cells_make(const few_compare_recipe *r, few_cell **cells, int *n, few_error *err)
{
    struct list l = { 0 };
    list_all(&l, r);
    *n = l.n;
    *cells = few_calloc((size_t)l.n + 1, sizeof **cells);
    if (!*cells)
        return few_fail(err, FEW_ENOMEM, "out of memory for %d cells", l.n);
    l = (struct list){ .v = *cells };
    list_all(&l, r);
    few_status st = FEW_OK;
    for (int a = 0; a < *n && st == FEW_OK; a++)
        for (int b = 0; b < a && st == FEW_OK; b++)
            st = check_pair(&(*cells)[a], &(*cells)[b], err);
    if (st != FEW_OK) {
        few_free(*cells);
        *cells = NULL;
    }
    return st;
}

/* FOLDER/KIND/NAME and an ending; NULL: no memory. */
static char *path_of(const char *folder, const char *kind, const char *name, const char *ending)
{
    char path[FEW_CELL_NAME + 32];
    snprintf(path, sizeof path, "%s/%s%s", kind, name, ending);
    return few_path_join(folder, path);
}

few_status few_cell_read(few_cell *c, const char *folder, few_error *err)
{
    char *path = path_of(folder, "cells", c->name, ".json");
    if (!path)
        return few_fail(err, FEW_ENOMEM, "out of memory for a result");
    json_t *o = json_load_file(path, 0, NULL);
    const char *was = NULL, *model = NULL;
    few_cell v = *c;
    c->done = false;
    if (o &&
        !json_unpack(o, "{s:s, s:F, s:F, s:F, s:F, s:s}", "key", &was, "fd", &v.fd, "floor",
                     &v.floor, "nfe", &v.nfe, "images_per_second", &v.images_per_second, "model",
                     &model) &&
        !strcmp(was, c->key)) {
        const char *precision = json_string_value(json_object_get(o, "precision"));
        snprintf(v.model, sizeof v.model, "%s", model);
        snprintf(v.precision, sizeof v.precision, "%s", precision ? precision : "");
        v.done = true;
        *c = v;
    }
    json_decref(o);
    few_free(path);
    return FEW_OK;
}

few_status few_cell_write(const few_cell *c, const char *folder, few_error *err)
{
    char *path = path_of(folder, "cells", c->name, ".json");
    json_t *o =
        json_pack("{s:s, s:s, s:i, s:i, s:i, s:f, s:f, s:f, s:f, s:s, s:s, s:s, s:s}", "cell",
                  c->name, "row", few_cell_row(c), "made_for_steps", c->made_for, "steps", c->steps,
                  "seed", c->seed, "fd", c->fd, "floor", isfinite(c->floor) ? c->floor : 0.0, "nfe",
                  c->nfe, "images_per_second", c->images_per_second, "model", c->model, "precision",
                  c->precision, "revision", few_revision(), "key", c->key);
    char *text = path && o ? json_dumps(o, JSON_INDENT(1)) : NULL;
    const few_status st = text ? few_write_file(path, text, strlen(text), err)
                               : few_fail(err, FEW_ENOMEM, "out of memory for a result");
    free(text);
    json_decref(o);
    few_free(path);
    return st;
}

few_status few_cell_take(const few_cell *c, const char *folder, int *lock, few_error *err)
{
    char *locks = few_path_join(folder, "locks");
    char *path = path_of(folder, "locks", c->student ? c->run : c->name, "");
    few_status st = locks && path ? few_make_folders(locks, err)
                                  : few_fail(err, FEW_ENOMEM, "out of memory for a lock");
    if (st == FEW_OK)
        st = few_lock(path, lock, err);
    few_free(locks);
    few_free(path);
    return st;
}

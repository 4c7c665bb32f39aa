/* Reading the recipe of a comparison. */
#include "compare/recipe.h"

#include "base/alloc.h"
#include "base/yaml.h"
#include "image/pack.h"

#include <stddef.h>
#include <string.h>

#define ROW(type, field, kind, fallback, min, max, help)                                           \
    {                                                                                              \
#field, kind, offsetof(type, field), fallback, min, max, help, NULL                        \
    }

static const few_option top[] = {
    ROW(few_compare_recipe, title, FEW_OPT_STRING, NULL, 0, 0, "of the page"),
    ROW(few_compare_recipe, teacher, FEW_OPT_STRING, NULL, 0, 0, "checkpoint or run"),
    ROW(few_compare_recipe, data, FEW_OPT_STRING, NULL, 0, 0, "pack to train on"),
    ROW(few_compare_recipe, test, FEW_OPT_STRING, NULL, 0, 0, "pack to measure against"),
    ROW(few_compare_recipe, features, FEW_OPT_STRING, NULL, 0, 0, "feature network"),
    ROW(few_compare_recipe, images, FEW_OPT_I64, "128000", 1, 1e12, "of each training"),
    ROW(few_compare_recipe, samples, FEW_OPT_I64, "2000", 2, 1e9, "of each measurement"),
    ROW(few_compare_recipe, seeds, FEW_OPT_INTS, "1", 0, 1e9, "of trainings"),
    ROW(few_compare_recipe, seeded_steps, FEW_OPT_INTS, NULL, 1, 64,
        "steps whose students are made with every seed; none: all"),
    { .name = NULL },
};
static const few_option student[] = {
    ROW(few_compare_student, row, FEW_OPT_STRING, NULL, 0, 0, "of the table; none: the label"),
    ROW(few_compare_student, config, FEW_OPT_STRING, NULL, 0, 0, "configuration of the training"),
    ROW(few_compare_student, data, FEW_OPT_STRING, NULL, 0, 0, "to train on, when not that of all"),
    ROW(few_compare_student, set, FEW_OPT_STRINGS, NULL, 0, 0, "settings over it"),
    ROW(few_compare_student, steps, FEW_OPT_INTS, "1,2,4,8", 1, 64, "students are made for"),
    ROW(few_compare_student, sampled, FEW_OPT_INTS, NULL, 1, 1000, "steps of their sampling"),
    { .name = NULL },
};
static const few_option sampler[] = {
    ROW(few_compare_sampler, row, FEW_OPT_STRING, NULL, 0, 0, "of the table; none: the label"),
    ROW(few_compare_sampler, sampler, FEW_OPT_STRING, NULL, 0, 0, "its name"),
    ROW(few_compare_sampler, set, FEW_OPT_STRINGS, NULL, 0, 0, "its settings"),
    ROW(few_compare_sampler, steps, FEW_OPT_INTS, "8,16,32,64", 1, 100000, "of sampling"),
    { .name = NULL },
};

/* What a short form replaces; lists of steps leave what is common to both. */
struct quick {
    int64_t images, samples;
    few_ints seeds, steps, sampler_steps;
};
static const few_option quick_table[] = {
    ROW(struct quick, images, FEW_OPT_I64, "0", 0, 1e12, "of each training"),
    ROW(struct quick, samples, FEW_OPT_I64, "0", 0, 1e9, "of each measurement"),
    ROW(struct quick, seeds, FEW_OPT_INTS, NULL, 0, 1e9, "of trainings"),
    ROW(struct quick, steps, FEW_OPT_INTS, NULL, 1, 1000, "of students that are left"),
    ROW(struct quick, sampler_steps, FEW_OPT_INTS, NULL, 1, 100000, "of samplers that are left"),
    { .name = NULL },
};

static bool contains(const few_ints *list, int v)
{
    for (int k = 0; k < list->n; k++)
        if (list->v[k] == v)
            return true;
    return false;
}

static void keep_common(few_ints *list, const few_ints *other)
{
    int n = 0;
    for (int k = 0; other->n && k < list->n; k++)
        if (contains(other, list->v[k]))
            list->v[n++] = list->v[k];
    if (other->n)
        list->n = n;
}

static few_status shorten(few_compare_recipe *r, const few_yaml_node *map, const char *file,
                          few_error *err)
{
    struct quick q = { 0 };
    FEW_TRY(few_options_defaults(quick_table, &q, err));
    const few_status st = few_yaml_apply(quick_table, &q, map, file, err);
    if (st == FEW_OK) {
        r->images = q.images ? q.images : r->images;
        r->samples = q.samples ? q.samples : r->samples;
        for (int k = 0; k < r->n_students; k++)
            keep_common(r->students[k].sampled.n ? &r->students[k].sampled : &r->students[k].steps,
                        &q.steps);
        for (int k = 0; k < r->n_samplers; k++)
            keep_common(&r->samplers[k].steps, &q.sampler_steps);
        if (q.seeds.n) {
            const few_ints old = r->seeds;
            r->seeds = q.seeds;
            q.seeds = old;
        }
    }
    few_options_clear(quick_table, &q);
    return st;
}

/* The entries of a map of maps: `size` bytes each, the label first. */
static few_status read_entries(const few_yaml_node *map, const few_option *table, size_t size,
                               void **out, int *n, const char *file, few_error *err)
{
    *out = few_calloc(FEW_MAX_COMPARED, size);
    if (!*out)
        return few_fail(err, FEW_ENOMEM, "out of memory for a comparison");
    for (const few_yaml_node *v = map ? map->child : NULL; v; v = v->next) {
        char *at = (char *)*out + (size_t)*n * size;
        if (*n == FEW_MAX_COMPARED)
            return few_fail(err, FEW_ECONFIG, "%s:%d: more than %d of a kind", file, v->line,
                            FEW_MAX_COMPARED);
        if (v->kind != FEW_YAML_MAP)
            return few_fail(err, FEW_ECONFIG, "%s:%d: '%s' must be a map of settings", file,
                            v->line, v->key);
        if (strspn(v->key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-+_") !=
            strlen(v->key))
            return few_fail(err, FEW_ECONFIG,
                            "%s:%d: '%s' names files: only letters, digits, '-', '+' and '_'", file,
                            v->line, v->key);
        ++*n;
        FEW_TRY(few_options_defaults(table, at, err));
        if (!(*(char **)(void *)at = few_strdup(v->key)))
            return few_fail(err, FEW_ENOMEM, "out of memory for a comparison");
        FEW_TRY(few_yaml_apply(table, at, v, file, err));
    }
    return FEW_OK;
}

static few_status complete(few_compare_recipe *r, const char *file, few_error *err)
{
    if (!r->teacher)
        return few_fail(err, FEW_ECONFIG, "%s: 'teacher' is missing: a checkpoint or a run", file);
    if (!r->data)
        return few_fail(err, FEW_ECONFIG, "%s: 'data' is missing: a pack", file);
    if (r->seeds.n < 1 || r->n_students + r->n_samplers < 1)
        return few_fail(err, FEW_ECONFIG, "%s: there is nothing to compare: no %s", file,
                        r->seeds.n < 1 ? "seeds" : "students and no samplers");
    for (int k = 0; k < r->n_students; k++)
        if (!r->students[k].config)
            return few_fail(err, FEW_ECONFIG, "%s: student '%s' has no 'config'", file,
                            r->students[k].label);
    bool ok = r->test || (r->test = few_pack_beside(r->data, "-test.few"));
    for (int k = 0; k < r->n_students; k++)
        ok &= r->students[k].row || (r->students[k].row = few_strdup(r->students[k].label));
    for (int k = 0; k < r->n_samplers; k++) {
        few_compare_sampler *s = &r->samplers[k];
        ok &= s->row || (s->row = few_strdup(s->label));
        ok &= s->sampler || (s->sampler = few_strdup(s->label));
    }
    if (!ok)
        return few_fail(err, FEW_ENOMEM, "out of memory for a comparison");
    return FEW_OK;
}

few_status few_compare_recipe_load(few_compare_recipe *r, const char *path, bool quick,
                                   few_error *err)
{
    few_yaml_node *root = NULL;
    few_status st = FEW_OK;
    const few_yaml_node *students, *samplers, *shorter;
    memset(r, 0, sizeof *r);
    FEW_TRY(few_options_defaults(top, r, err));
    FEW_GOTO(few_yaml_load(path, &root, err));
    FEW_GOTO(few_yaml_find_map(root, "students", path, &students, err));
    FEW_GOTO(few_yaml_find_map(root, "samplers", path, &samplers, err));
    FEW_GOTO(few_yaml_find_map(root, "quick", path, &shorter, err));
    for (const few_yaml_node *v = root->child; v; v = v->next)
        if (strcmp(v->key, "students") != 0 && strcmp(v->key, "samplers") != 0 &&
            strcmp(v->key, "quick") != 0)
            FEW_GOTO(few_yaml_apply_one(top, r, v, path, err));
    FEW_GOTO(read_entries(students, student, sizeof *r->students, (void **)&r->students,
                          &r->n_students, path, err));
    FEW_GOTO(read_entries(samplers, sampler, sizeof *r->samplers, (void **)&r->samplers,
                          &r->n_samplers, path, err));
    if (quick && !shorter) {
        st = few_fail(err, FEW_ECONFIG, "%s has no section 'quick'", path);
        goto cleanup;
    }
    if (quick)
        FEW_GOTO(shorten(r, shorter, path, err));
    st = complete(r, path, err);
cleanup:
    few_yaml_free(root);
    if (st != FEW_OK)
        few_compare_recipe_clear(r);
    return st;
}

void few_compare_recipe_clear(few_compare_recipe *r)
{
    for (int k = 0; k < r->n_students; k++) {
        few_free(r->students[k].label);
        few_options_clear(student, &r->students[k]);
    }
    for (int k = 0; k < r->n_samplers; k++) {
        few_free(r->samplers[k].label);
        few_options_clear(sampler, &r->samplers[k]);
    }
    few_free(r->students);
    few_free(r->samplers);
    few_options_clear(top, r);
    memset(r, 0, sizeof *r);
}

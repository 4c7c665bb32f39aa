/* docs/config.md against the option tables: every key of a configuration has its row there, with
 * default, values and help as the table has them. Prints the rows that are missing. And that every
 * recipe loads. */
#include "base/alloc.h"
#include "base/file.h"
#include "base/temp_folder.h"
#include "compare/cell.h"
#include "train/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char *text;
static int missing;

/* "a, b or c" of "a|b|c". */
static void add_choices(few_strbuf *b, const char *choices)
{
    for (const char *s = choices; *s;) {
        const size_t n = strcspn(s, "|");
        const char *rest = s + n + (s[n] == '|');
        few_strbuf_add_n(b, s, n);
        few_strbuf_add(b, !*rest ? "" : strchr(rest, '|') ? ", " : " or ");
        s = rest;
    }
}

static void add_values(few_strbuf *b, const few_option *o)
{
    const bool list =
        o->type == FEW_OPT_INTS || o->type == FEW_OPT_DOUBLES || o->type == FEW_OPT_STRINGS;
    few_strbuf_add(b, list ? "list" : "");
    if (o->choices)
        add_choices(b, o->choices);
    else if (o->min < o->max)
        few_strbuf_addf(b, "%s%.10g to %.10g", list ? " of " : "", o->min, o->max);
    else if (!list)
        few_strbuf_add(b, o->type == FEW_OPT_BOOL     ? "true or false"
                          : o->type == FEW_OPT_STRING ? "text"
                                                      : "number");
}

static void check_table(const char *section, const few_option *table)
{
    for (const few_option *o = table; o && o->name; o++) {
        few_strbuf b;
        few_strbuf_init(&b);
        few_strbuf_addf(&b, "| `%s` | %s | ", o->name, o->fallback ? o->fallback : "none");
        add_values(&b, o);
        few_strbuf_addf(&b, " | %s |\n", o->help);
        if (!strstr(text, b.s)) {
            print_error("%s: %s", section, b.s);
            missing++;
        }
        few_strbuf_free(&b);
    }
}

static void every_key_is_documented(void **state)
{
    (void)state;
    const char *root = getenv("FEW_SOURCE");
    char *path = few_path_join(root ? root : ".", "docs/config.md");
    few_error err = { 0 };
    few_map m;
    if (few_map_open(&m, path, &err) != FEW_OK)
        fail_msg("%s", err.text);
    text = calloc(1, m.n + 1);
    memcpy(text, m.data, m.n);
    few_map_close(&m);
    check_table("data", few_data_table);
    check_table("model", few_model_table);
    for (int k = 0; k < few_n_networks; k++)
        check_table(few_networks[k]->name, few_networks[k]->options);
    for (int k = 0; k < few_n_schedules; k++)
        check_table(few_schedules[k]->name, few_schedules[k]->options);
    for (int k = 0; k < few_n_methods; k++)
        check_table(few_methods[k]->name, few_methods[k]->options);
    check_table("student", few_student_table);
    check_table("train", few_train_table);
    free(text);
    few_free(path);
    assert_int_equal(missing, 0);
}

/* A recipe loads, and what is written into its run loads back to the same. */
static void check_recipe(const char *path)
{
    const char *copy = temp_path("copy.yaml");
    few_error err = { 0 };
    few_config c, back;
    few_strbuf b;
    few_strbuf_init(&b);
    if (few_config_load(&c, path, NULL, &err) != FEW_OK ||
        few_config_write(&c, &b, &err) != FEW_OK ||
        few_write_file(copy, b.s, b.n, &err) != FEW_OK ||
        few_config_load(&back, copy, NULL, &err) != FEW_OK)
        fail_msg("%s", err.text);
    few_strbuf_reset(&b);
    few_config_differences(&c, &back, &b);
    if (b.n)
        fail_msg("%s: read back, it has other %s", path, b.s);
    few_strbuf_free(&b);
    few_config_clear(&c);
    few_config_clear(&back);
}

/* A comparison loads, and so does its short form, which is smaller. */
static void check_comparison(const char *path)
{
    few_error err = { 0 };
    few_compare_recipe whole, quick;
    few_cell *cells;
    int n[2];
    if (few_compare_recipe_load(&whole, path, false, &err) != FEW_OK ||
        few_cells_make(&whole, &cells, &n[0], &err) != FEW_OK)
        fail_msg("%s", err.text);
    few_free(cells);
    if (few_compare_recipe_load(&quick, path, true, &err) != FEW_OK ||
        few_cells_make(&quick, &cells, &n[1], &err) != FEW_OK)
        fail_msg("%s", err.text);
    few_free(cells);
    assert_true(n[1] > 0 && n[1] < n[0]);
    assert_true(quick.images <= whole.images && quick.samples < whole.samples);
    few_compare_recipe_clear(&whole);
    few_compare_recipe_clear(&quick);
}

static void every_recipe_loads(void **state)
{
    (void)state;
    const char *root = getenv("FEW_SOURCE");
    char *all = few_path_join(root ? root : ".", "recipes"), **folders, **names;
    int n_folders, n, seen = 0;
    few_error err = { 0 };
    if (few_list_folder(all, &folders, &n_folders, &err) != FEW_OK)
        fail_msg("%s", err.text);
    for (int k = 0; k < n_folders; k++) {
        char *folder = few_path_join(all, folders[k]);
        assert_int_equal(few_list_folder(folder, &names, &n, &err), FEW_OK);
        for (int j = 0; j < n; j++)
            if (strstr(names[j], ".yaml")) {
                char *path = few_path_join(folder, names[j]);
                if (strcmp(folders[k], "compare"))
                    check_recipe(path);
                else
                    check_comparison(path);
                few_free(path);
                seen++;
            }
        few_free_names(names, n);
        few_free(folder);
    }
    few_free_names(folders, n_folders);
    few_free(all);
    assert_true(seen >= 9);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(every_key_is_documented),
                                        cmocka_unit_test(every_recipe_loads) };
    return cmocka_run_group_tests(tests, make_temp_folder, remove_temp_folder);
}

/* docs/config.md against the option tables: every key of a configuration has its row there, with
 * default, values and help as the table has them. Prints the rows that are missing. */
#include "base/alloc.h"
#include "base/file.h"
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

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(every_key_is_documented) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

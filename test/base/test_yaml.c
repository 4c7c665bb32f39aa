/* Configuration files: the tree, refusals with their places, options from it and back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/temp_folder.h"
#include "base/yaml.h"

#include <stdlib.h>
#include <string.h>

struct settings {
    bool ema;
    int batch;
    uint64_t seed;
    double lr;
    char *name, *sampler;
    few_ints mult;
    few_doubles betas;
    few_strings layers;
};

#define ROW(field, ...)                                                                            \
    {                                                                                              \
        .name = #field, .offset = offsetof(struct settings, field), __VA_ARGS__                    \
    }

static const few_option table[] = {
    ROW(ema, .type = FEW_OPT_BOOL, .fallback = "true"),
    ROW(batch, .type = FEW_OPT_INT, .fallback = "64", .min = 1, .max = 4096),
    ROW(seed, .type = FEW_OPT_U64),
    ROW(lr, .type = FEW_OPT_DOUBLE, .fallback = "1e-4", .min = 0, .max = 1),
    ROW(name, .type = FEW_OPT_STRING),
    ROW(sampler, .type = FEW_OPT_CHOICE, .fallback = "ddim", .choices = "ddim|addim|heun"),
    ROW(mult, .type = FEW_OPT_INTS, .fallback = "1,2,2"),
    ROW(betas, .type = FEW_OPT_DOUBLES),
    ROW(layers, .type = FEW_OPT_STRINGS),
    { .name = NULL },
};

static few_yaml_node *parse(const char *text)
{
    few_yaml_node *root;
    few_error err = { 0 };
    const few_status st = few_yaml_parse(text, strlen(text), "a.yaml", &root, &err);
    if (st != FEW_OK)
        print_error("%s\n", err.text);
    assert_int_equal(st, FEW_OK);
    return root;
}

static void test_tree(void **state)
{
    (void)state;
    few_yaml_node *root = parse("# a recipe\n"
                                "model:\n"
                                "  name: unet   # trailing\n"
                                "  mult: [1, 2]\n"
                                "  inner: {a: '', b: \"x\\ty\"}\n"
                                "train:\n"
                                "- one\n"
                                "- key: value\n"
                                "empty:\n");
    assert_int_equal(root->kind, FEW_YAML_MAP);
    const few_yaml_node *model = few_yaml_find(root, "model");
    assert_int_equal(model->line, 2);
    assert_int_equal(model->column, 1);
    const few_yaml_node *name = few_yaml_find(model, "name");
    assert_string_equal(name->text, "unet");
    assert_false(name->quoted);
    assert_int_equal(name->line, 3);
    assert_int_equal(name->column, 3);
    assert_string_equal(name->next->key, "mult");
    assert_int_equal(name->next->kind, FEW_YAML_LIST);
    assert_string_equal(name->next->child->next->text, "2");
    assert_int_equal(name->next->child->next->column, 13);
    const few_yaml_node *inner = few_yaml_find(model, "inner");
    assert_true(few_yaml_find(inner, "a")->quoted);
    assert_false(few_yaml_is_null(few_yaml_find(inner, "a")));
    assert_string_equal(few_yaml_find(inner, "b")->text, "x\ty");
    const few_yaml_node *train = few_yaml_find(root, "train");
    assert_string_equal(train->child->text, "one");
    assert_null(train->child->key);
    assert_string_equal(few_yaml_find(train->child->next, "key")->text, "value");
    assert_true(few_yaml_is_null(few_yaml_find(root, "empty")));
    assert_null(few_yaml_find(root, "modell"));
    assert_null(few_yaml_find(NULL, "a"));
    assert_null(few_yaml_find(train, "one"));

    const few_yaml_node *map;
    few_error err;
    assert_int_equal(few_yaml_find_map(root, "model", "a.yaml", &map, &err), FEW_OK);
    assert_ptr_equal(map, model);
    assert_int_equal(few_yaml_find_map(root, "empty", "a.yaml", &map, &err), FEW_OK);
    assert_null(map);
    assert_int_equal(few_yaml_find_map(root, "none", "a.yaml", &map, &err), FEW_OK);
    assert_null(map);
    assert_int_equal(few_yaml_find_map(root, "train", "a.yaml", &map, &err), FEW_ECONFIG);
    assert_string_equal(err.text, "a.yaml:6: 'train' is a list, but must be a map of options");

    static const char *const known[] = { "model", "train", "data" };
    assert_int_equal(few_yaml_check_keys(root, known, 3, "a.yaml", &err), FEW_ECONFIG);
    assert_string_equal(err.text, "a.yaml:9: unknown key 'empty', known are: model, train, data");
    assert_int_equal(few_yaml_check_keys(root, known + 1, 2, "a.yaml", &err), FEW_ECONFIG);
    assert_int_equal(few_yaml_check_keys(NULL, known, 3, "a.yaml", &err), FEW_OK);
    few_yaml_free(root);

    root = parse("trian: {}\n");
    assert_int_equal(few_yaml_check_keys(root, known, 3, "a.yaml", &err), FEW_ECONFIG);
    assert_string_equal(err.text, "a.yaml:1: unknown key 'trian', did you mean 'train'?");
    few_yaml_free(root);
}

static void test_empty(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "", "\n\n", "# only a comment", "---\n", "---\n...\n", "{}"
    };
    for (size_t i = 0; i < FEW_COUNT(rows); i++) {
        few_yaml_node *root = parse(rows[i]);
        assert_int_equal(root->kind, FEW_YAML_MAP);
        assert_null(root->child);
        few_yaml_free(root);
    }
    few_yaml_free(NULL);
}

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *text, *refusal;
    } rows[] = {
        { "a: 1\nb: 2\na: 3\n", "a.yaml:3: 'a' is given twice, first in line 1" },
        { "a: &x 1\nb: *x\n", "a.yaml:1:4: an anchor" },
        { "a: 1\nb: *x\n", "a.yaml:2:4: an alias" },
        { "a: &x [1]\n", "an anchor" },
        { "a: &x {b: 1}\n", "an anchor" },
        { "a: !!int 1\n", "a.yaml:1:4: a tag" },
        { "a: !x [1]\n", "a tag" },
        { "a: !x {b: 1}\n", "a tag" },
        { "- 1\n- 2\n", "a.yaml:1:1: a configuration must be a map" },
        { "just text\n", "a configuration must be a map" },
        { "a: 1\n---\nb: 2\n", "a second document is not allowed" },
        { "[a, b]: 1\n", "a.yaml:1:1: a key must be a text" },
        { "{a: 1}: 1\n", "a key must be a text" },
        { "'': 1\n", "a key must be a text" },
        { "a: \"x\\0y\"\n", "a zero byte" },
        { "a: [1, 2\nb: 3\n", "a.yaml:2" },
        { "a: 1\n b: 2\n", "a.yaml:2" },
        { "a:\n\t- 1\n", "a.yaml:2" },
        { "a: \"no end\n", "a.yaml:2" },
        { "a: \xFF\n", "a.yaml: byte 4 cannot be read as YAML" },
        { "a: \x01\n", "cannot be read as YAML" },
        { "a: 1\nb: @x\n", "a.yaml:2:4" },
    };
    for (size_t i = 0; i < FEW_COUNT(rows); i++) {
        few_yaml_node *root = (few_yaml_node *)1;
        few_error err = { 0 };
        const few_status st =
            few_yaml_parse(rows[i].text, strlen(rows[i].text), "a.yaml", &root, &err);
        if (st != FEW_EFORMAT || !strstr(err.text, rows[i].refusal))
            print_error("%s gave: %s\n", rows[i].text, err.text);
        assert_int_equal(st, FEW_EFORMAT);
        assert_null(root);
        assert_non_null(strstr(err.text, rows[i].refusal));
    }
    few_yaml_node *root;
    few_error err;
    assert_int_equal(few_yaml_parse("a: \0x", 5, "a.yaml", &root, &err), FEW_EFORMAT);
    assert_int_equal(few_yaml_parse("\xFF\xFE\x61\0:\0 \0b\0", 10, "a.yaml", &root, &err),
                     FEW_EFORMAT); /* UTF-16 */
}

static few_status parse_nested(int lists, few_error *err)
{
    few_strbuf b;
    few_strbuf_init(&b);
    few_strbuf_add(&b, "a: ");
    for (int i = 0; i < lists; i++)
        few_strbuf_add(&b, "[");
    for (int i = 0; i < lists; i++)
        few_strbuf_add(&b, "]");
    few_yaml_node *root;
    const few_status st = few_yaml_parse(b.s, b.n, "a.yaml", &root, err);
    few_yaml_free(root);
    few_strbuf_free(&b);
    return st;
}

static few_status parse_keys(int keys, few_error *err)
{
    few_strbuf b;
    few_strbuf_init(&b);
    for (int i = 0; i < keys; i++)
        few_strbuf_addf(&b, "k%d: 1\n", i);
    few_yaml_node *root;
    const few_status st = few_yaml_parse(b.s, b.n, "a.yaml", &root, err);
    few_yaml_free(root);
    few_strbuf_free(&b);
    return st;
}

static void test_limits(void **state)
{
    (void)state;
    few_error err;
    assert_int_equal(parse_nested(31, &err), FEW_OK);
    assert_int_equal(parse_nested(32, &err), FEW_EFORMAT);
    assert_non_null(strstr(err.text, "more than 32 levels"));
    assert_int_equal(parse_nested(100000, &err), FEW_EFORMAT);
    assert_int_equal(parse_keys(1024, &err), FEW_OK);
    assert_int_equal(parse_keys(1025, &err), FEW_EFORMAT);
    assert_non_null(strstr(err.text, "a.yaml:1025:1: more than 1024 keys"));

    const size_t n = 1 << 20;
    char *text = malloc(n + 1);
    assert_non_null(text);
    memset(text, ' ', n + 1);
    memcpy(text, "a: 1\n#", 6);
    few_yaml_node *root;
    assert_int_equal(few_yaml_parse(text, n, "a.yaml", &root, &err), FEW_OK);
    few_yaml_free(root);
    assert_int_equal(few_yaml_parse(text, n + 1, "a.yaml", &root, &err), FEW_EFORMAT);
    assert_non_null(strstr(err.text, "1048577 bytes"));
    free(text);
}

static void test_apply(void **state)
{
    (void)state;
    static const struct {
        const char *text, *option, *printed, *refusal;
    } rows[] = {
        { "lr: 0.5", "lr", "0.5", NULL },
        { "lr: '0.5'", "lr", "0.5", NULL },
        { "ema: no", "ema", "false", NULL },
        { "batch: 4k", "batch", "4000", NULL },
        { "name: 12", "name", "12", NULL },
        { "name: null", "name", "", NULL },
        { "name: 'null'", "name", "null", NULL },
        { "name: ~", "name", "", NULL },
        { "name:", "name", "", NULL },
        { "name: |\n  two\n  lines\n", "name", "two\nlines\n", NULL },
        { "mult: [4, 5]", "mult", "4,5", NULL },
        { "mult:\n- 4\n- 5\n", "mult", "4,5", NULL },
        { "mult: []", "mult", "", NULL },
        { "mult: null", "mult", "", NULL },
        { "mult: 4,5", "mult", "4,5", NULL },
        { "betas: [0.9, 1e-3]", "betas", "0.9,0.001", NULL },
        { "layers: ['a,b', \" c\", d e]", "layers", "a\\,b,\\ c,d e", NULL },
        { "lr: 0.1\nbatch: 0", NULL, NULL, "a.yaml:2: 'batch' is '0', but must be from 1 to 4096" },
        { "lr:", NULL, NULL, "a.yaml:1: 'lr' is '', but must be a finite number" },
        { "lr: null", NULL, NULL, "'lr' is 'null'" },
        { "lr: [1]", NULL, NULL, "a.yaml:1: 'lr' is a list, but must be a single value" },
        { "lr: {a: 1}", NULL, NULL, "'lr' is a map, but must be a single value" },
        { "\nmult: {a: 1}", NULL, NULL, "a.yaml:2: 'mult' is a map, but must be a list" },
        { "mult:\n- 1\n- [2]", NULL, NULL, "a.yaml:3: 'mult' has an element that is a list" },
        { "layers: ['']", NULL, NULL, "'layers' has an element that is empty" },
        { "mult: [1, x]", NULL, NULL, "a.yaml:1: 'mult' is 'x', but must be an integer" },
        { "sampler: huen", NULL, NULL, "did you mean 'heun'?" },
        { "smapler: heun", NULL, NULL,
          "a.yaml:1: unknown option 'smapler', did you mean 'sampler'?" },
        { "smapler: [1]", NULL, NULL, "did you mean 'sampler'?" },
    };
    for (size_t i = 0; i < FEW_COUNT(rows); i++) {
        few_yaml_node *root = parse(rows[i].text);
        struct settings s = { 0 };
        few_error err = { 0 };
        assert_int_equal(few_options_defaults(table, &s, &err), FEW_OK);
        const few_status st = few_yaml_apply(table, &s, root, "a.yaml", &err);
        if (rows[i].printed) {
            assert_int_equal(st, FEW_OK);
            few_strbuf b;
            few_strbuf_init(&b);
            few_option_print(few_option_find(table, rows[i].option), &s, &b);
            assert_string_equal(b.s, rows[i].printed);
            few_strbuf_free(&b);
        } else {
            if (st != FEW_ECONFIG || !strstr(err.text, rows[i].refusal))
                print_error("%s gave: %s\n", rows[i].text, err.text);
            assert_int_equal(st, FEW_ECONFIG);
            assert_non_null(strstr(err.text, rows[i].refusal));
        }
        few_options_clear(table, &s);
        few_yaml_free(root);
    }
    assert_int_equal(few_yaml_apply(table, NULL, NULL, "a.yaml", NULL), FEW_OK);
}

static void expect_same(const struct settings *a, const struct settings *b)
{
    for (const few_option *o = table; o->name; o++) {
        few_strbuf x, y;
        few_strbuf_init(&x);
        few_strbuf_init(&y);
        few_option_print(o, a, &x);
        few_option_print(o, b, &y);
        assert_string_equal(x.s, y.s);
        few_strbuf_free(&x);
        few_strbuf_free(&y);
    }
}

static void test_write(void **state)
{
    (void)state;
    struct settings s = { 0 };
    few_error err;
    assert_int_equal(few_options_defaults(table, &s, &err), FEW_OK);
    few_strbuf b;
    few_strbuf_init(&b);
    few_yaml_write_section(&b, "train", table, &s);
    assert_string_equal(b.s, "train:\n"
                             "  ema: true\n"
                             "  batch: 64\n"
                             "  seed: 0\n"
                             "  lr: 0.0001\n"
                             "  name: null\n"
                             "  sampler: ddim\n"
                             "  mult: [1,2,2]\n"
                             "  betas: []\n"
                             "  layers: []\n");
    static const few_option none[] = { { .name = NULL } };
    few_yaml_write_section(&b, "other", none, &s);
    few_yaml_node *root = parse(b.s);
    assert_int_equal(few_yaml_find(root, "other")->kind, FEW_YAML_MAP);
    few_yaml_free(root);
    few_strbuf_free(&b);
    few_options_clear(table, &s);
}

/* Whatever a text is, it comes back: alone, in a list, in a section and at the margin. */
static void test_write_round_trip(void **state)
{
    (void)state;
    static const char *const names[] = {
        "plain",
        "with space",
        "null",
        "~",
        "true",
        "No",
        "12",
        "1e5",
        "-",
        "- x",
        "a: b",
        "a #b",
        "#b",
        "\"",
        "'",
        "\\",
        "[",
        "{}",
        "*x",
        "&x",
        "!x",
        "%x",
        "@x",
        "`x",
        "|",
        ">",
        "?",
        ",",
        "line\nbreak",
        "tab\t",
        "\r",
        " edge ",
        "/a/path.png",
        "C:\\x",
        "\xC3\xA4\xE2\x82\xAC",
        "\xF0\x9F\x98\x80",
        "\x7F",
        "\xC2\x85",
        "\xE2\x80\xA8",
        "\xEF\xBB\xBF",
        "\x01\x02",
        "---",
        "...",
        "a very long text that goes on well past eighty columns, so that a writer may want to fold "
        "it",
    };
    for (size_t i = 0; i < FEW_COUNT(names); i++) {
        struct settings s = { 0 }, t = { 0 };
        few_error err;
        few_strbuf b;
        few_strbuf_init(&b);
        assert_int_equal(few_options_defaults(table, &s, &err), FEW_OK);
        assert_int_equal(few_option_set(table, &s, "name", names[i], NULL, &err), FEW_OK);
        few_option_escape(names[i], &b);
        few_strbuf_add(&b, ",x");
        assert_int_equal(few_option_set(table, &s, "layers", b.s, NULL, &err), FEW_OK);
        assert_string_equal(s.layers.v[0], names[i]);
        assert_int_equal(few_option_set(table, &s, "seed", "18446744073709551615", NULL, &err),
                         FEW_OK);
        for (int margin = 0; margin < 2; margin++) {
            few_strbuf_reset(&b);
            few_yaml_write_section(&b, margin ? NULL : "s", table, &s);
            few_yaml_node *root = parse(b.s);
            assert_int_equal(
                few_yaml_apply(table, &t, margin ? root : few_yaml_find(root, "s"), "a.yaml", &err),
                FEW_OK);
            expect_same(&s, &t);
            few_options_clear(table, &t);
            few_yaml_free(root);
        }
        few_strbuf_free(&b);
        few_options_clear(table, &s);
    }
}

static void test_load(void **state)
{
    (void)state;
    few_error err;
    few_yaml_node *root;
    const char *path = temp_path("r.yaml");
    assert_int_equal(few_yaml_load(path, &root, &err), FEW_ENOTFOUND);
    assert_null(root);
    assert_int_equal(few_write_file(path, "a: 1\na: 2\n", 10, &err), FEW_OK);
    assert_int_equal(few_yaml_load(path, &root, &err), FEW_EFORMAT);
    assert_memory_equal(err.text, path, strlen(path));
    assert_int_equal(few_write_file(path, "a: 1\n", 5, &err), FEW_OK);
    assert_int_equal(few_yaml_load(path, &root, &err), FEW_OK);
    assert_string_equal(few_yaml_find(root, "a")->text, "1");
    few_yaml_free(root);
}

static void test_allocation_failures(void **state)
{
    (void)state;
    static const char text[] = "a: {name: x y, layers: [p, q], mult: [1]}\nb: [{c: d}]\n";
    const int64_t before = few_alloc_get_stats().bytes;
    few_error err;
    int failures = 0;
    few_status st = FEW_ENOMEM;
    for (int64_t n = 1; st != FEW_OK; n++) {
        few_yaml_node *root;
        struct settings s = { 0 };
        few_alloc_fail_at(n);
        st = few_yaml_parse(text, sizeof text - 1, "a.yaml", &root, &err);
        if (st == FEW_OK)
            st = few_yaml_apply(table, &s, few_yaml_find(root, "a"), "a.yaml", &err);
        few_alloc_fail_at(0);
        if (st == FEW_OK)
            assert_string_equal(s.layers.v[1], "q");
        else
            assert_int_equal(st, FEW_ENOMEM);
        failures += st != FEW_OK;
        few_yaml_free(root);
        few_options_clear(table, &s);
        assert_int_equal(few_alloc_get_stats().bytes, before);
    }
    assert_true(failures > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tree),
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_apply),
        cmocka_unit_test(test_write),
        cmocka_unit_test(test_write_round_trip),
        cmocka_unit_test(test_load),
        cmocka_unit_test(test_allocation_failures),
    };
    return cmocka_run_group_tests(tests, make_temp_folder, remove_temp_folder);
}

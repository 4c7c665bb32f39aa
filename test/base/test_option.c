/* Option tables: defaults, text, JSON, copies, help, refusals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/option.h"

#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct settings {
    bool ema;
    int batch;
    int64_t images;
    uint64_t seed;
    double lr, decay;
    char *name, *sampler, *loss;
    few_ints mult;
    few_doubles betas;
    few_strings layers, names;
};

#define ROW(field, ...)                                                                            \
    {                                                                                              \
        .name = #field, .offset = offsetof(struct settings, field), __VA_ARGS__                    \
    }

static const few_option table[] = {
    ROW(ema, .type = FEW_OPT_BOOL, .fallback = "true", .help = "keep an average"),
    ROW(batch, .type = FEW_OPT_INT, .fallback = "64", .min = 1, .max = 4096,
        .help = "images a step"),
    ROW(images, .type = FEW_OPT_I64, .fallback = "2M", .help = "images to train on"),
    ROW(seed, .type = FEW_OPT_U64, .help = "of everything"),
    ROW(lr, .type = FEW_OPT_DOUBLE, .fallback = "1e-4", .min = 0, .max = 1,
        .help = "learning rate"),
    ROW(decay, .type = FEW_OPT_DOUBLE, .fallback = "0.5", .min = 0, .max = INFINITY),
    ROW(name, .type = FEW_OPT_STRING, .help = "of the run"),
    ROW(sampler, .type = FEW_OPT_CHOICE, .fallback = "ddim", .choices = "ddim|addim|heun"),
    ROW(loss, .type = FEW_OPT_CHOICE, .choices = "mse|huber"),
    ROW(mult, .type = FEW_OPT_INTS, .fallback = "1,2,2", .min = 1, .max = 8),
    ROW(betas, .type = FEW_OPT_DOUBLES, .fallback = "0.9, 0.99"),
    ROW(layers, .type = FEW_OPT_STRINGS, .fallback = "plain,attn", .choices = "plain|attn"),
    ROW(names, .type = FEW_OPT_STRINGS),
    { .name = NULL },
};

static struct settings defaults(void)
{
    struct settings s = { 0 };
    few_error err;
    assert_int_equal(few_options_defaults(table, &s, &err), FEW_OK);
    return s;
}

static void test_defaults(void **state)
{
    (void)state;
    const int64_t before = few_alloc_get_stats().bytes;
    struct settings s = defaults();
    assert_true(s.ema);
    assert_int_equal(s.batch, 64);
    assert_int_equal(s.images, 2000000);
    assert_int_equal(s.seed, 0);
    assert_true(s.lr == 1e-4 && s.decay == 0.5);
    assert_null(s.name);
    assert_string_equal(s.sampler, "ddim");
    assert_null(s.loss);
    assert_int_equal(s.mult.n, 3);
    assert_true(s.mult.v[0] == 1 && s.mult.v[1] == 2 && s.mult.v[2] == 2);
    assert_int_equal(s.betas.n, 2);
    assert_true(s.betas.v[0] == 0.9 && s.betas.v[1] == 0.99);
    assert_int_equal(s.layers.n, 2);
    assert_string_equal(s.layers.v[1], "attn");
    assert_int_equal(s.names.n, 0);

    few_error err;
    assert_int_equal(few_option_set(table, &s, "name", "x", NULL, &err), FEW_OK);
    assert_int_equal(few_options_defaults(table, &s, &err), FEW_OK); /* frees what was there */
    assert_null(s.name);
    few_options_clear(table, &s);
    few_options_clear(table, &s);
    assert_int_equal(few_alloc_get_stats().bytes, before);

    static const few_option bad[] = {
        ROW(batch, .type = FEW_OPT_INT, .fallback = "0", .min = 1, .max = 2), { .name = NULL }
    };
    assert_int_equal(few_options_defaults(bad, &s, &err), FEW_ECONFIG);
}

/* Each text is read and printed; NULL: it is refused, and the message holds `printed`. */
static const struct {
    const char *name, *text, *printed, *refusal;
} texts[] = {
    { "ema", "off", "false", NULL },
    { "ema", "YES", "true", NULL },
    { "ema", "0", "false", NULL },
    { "ema", "maybe", NULL, "must be true or false" },
    { "ema", "", NULL, "must be true or false" },
    { "batch", "1", "1", NULL },
    { "batch", "4k", "4000", NULL },
    { "batch", "0", NULL, "'batch' is '0', but must be from 1 to 4096" },
    { "batch", "4097", NULL, "from 1 to 4096" },
    { "batch", "3000000000", NULL, "must be an integer" },
    { "batch", "1.5", NULL, "must be an integer" },
    { "batch", "12x", NULL, "must be an integer" },
    { "batch", "", NULL, "must be an integer" },
    { "images", "5k", "5000", NULL },
    { "images", "2M", "2000000", NULL },
    { "images", "3G", "3000000000", NULL },
    { "images", "1.5M", "1500000", NULL },
    { "images", "1e6", "1000000", NULL },
    { "images", "-7", "-7", NULL },
    { "images", "9223372036854775807", "9223372036854775807", NULL },
    { "images", "-9223372036854775808", "-9223372036854775808", NULL },
    { "images", "9223372036854775808", NULL, "must be an integer" },
    { "images", "9223372036854775807k", NULL, "must be an integer" },
    { "images", "1e300", NULL, "must be an integer" },
    { "images", "nan", NULL, "must be an integer" },
    { "images", "5kk", NULL, "must be an integer" },
    { "images", "k", NULL, "must be an integer" },
    { "seed", "18446744073709551615", "18446744073709551615", NULL },
    { "seed", "18446744073709551616", NULL, "2^64 - 1" },
    { "seed", "-1", NULL, "2^64 - 1" },
    { "seed", "0x10", NULL, "2^64 - 1" },
    { "lr", "0.1", "0.1", NULL },
    { "lr", "1e-4", "0.0001", NULL },
    { "lr", "0.10000000000000001", "0.1", NULL },
    { "lr", "0.30000000000000004", "0.30000000000000004", NULL },
    { "lr", "1", "1", NULL },
    { "lr", "1.0000001", NULL, "from 0 to 1" },
    { "lr", "nan", NULL, "a finite number" },
    { "lr", "inf", NULL, "a finite number" },
    { "lr", "0,5", NULL, "a finite number" },
    { "decay", "1e300", "1e+300", NULL },
    { "decay", "-0.1", NULL, "at least 0" },
    { "name", "a b, c", "a b, c", NULL },
    { "name", "", "", NULL },
    { "name", "bad \xFF byte", NULL, "UTF-8" },
    { "sampler", "heun", "heun", NULL },
    { "sampler", "huen", NULL, "did you mean 'heun'?" },
    { "sampler", "euler-ancestral", NULL, "must be one of ddim|addim|heun" },
    { "sampler", "", NULL, "ddim|addim|heun" },
    { "sampler", "ddim|addim", NULL, "ddim|addim|heun" },
    { "loss", "", "", NULL },
    { "mult", "1", "1", NULL },
    { "mult", " 1 ,\t4,8 ", "1,4,8", NULL },
    { "mult", "", "", NULL },
    { "mult", "  ", "", NULL },
    { "mult", "1,,2", NULL, "must be an integer" },
    { "mult", "1,2,", NULL, "must be an integer" },
    { "mult", "1,9", NULL, "from 1 to 8" },
    { "mult", "1 2", NULL, "must be an integer" },
    { "betas", "0.5,1e-3", "0.5,0.001", NULL },
    { "betas", "0.5,x", NULL, "a finite number" },
    { "layers", "attn, attn,plain", "attn,attn,plain", NULL },
    { "layers", "attn,plane", NULL, "did you mean 'plain'" },
    { "names", "a b , c\\,d,e\\\\f,\\ g\\ ", "a b,c\\,d,e\\\\f,\\ g\\ ", NULL },
    { "names", "a,,b", NULL, "without empty elements" },
    { "names", "a,", NULL, "without empty elements" },
    { "names", "a,\xC3", NULL, "UTF-8" },
    { "smapler", "ddim", NULL, "unknown option 'smapler', did you mean 'sampler'?" },
    { "zzzzzzzz", "1", NULL, "unknown option 'zzzzzzzz', known are: ema, batch, images" },
};

static void test_texts(void **state)
{
    (void)state;
    for (size_t i = 0; i < FEW_COUNT(texts); i++) {
        struct settings s = defaults();
        few_error err = { 0 };
        few_strbuf before, after;
        few_strbuf_init(&before);
        few_strbuf_init(&after);
        const few_option *o = few_option_find(table, texts[i].name);
        if (o)
            few_option_print(o, &s, &before);
        const few_status st =
            few_option_set(table, &s, texts[i].name, texts[i].text, "a.yaml:12", &err);
        if (o)
            few_option_print(o, &s, &after);
        if (texts[i].printed) {
            if (st != FEW_OK)
                print_error("%s = '%s': %s\n", texts[i].name, texts[i].text, err.text);
            assert_int_equal(st, FEW_OK);
            assert_string_equal(after.s, texts[i].printed);
            /* What is printed reads back as the same. */
            few_strbuf again;
            few_strbuf_init(&again);
            assert_int_equal(few_option_set(table, &s, o->name, after.s, NULL, &err), FEW_OK);
            few_option_print(o, &s, &again);
            assert_string_equal(again.s, after.s);
            few_strbuf_free(&again);
        } else {
            if (st != FEW_ECONFIG || !strstr(err.text, texts[i].refusal))
                print_error("%s = '%s' gave: %s\n", texts[i].name, texts[i].text, err.text);
            assert_int_equal(st, FEW_ECONFIG);
            assert_non_null(strstr(err.text, texts[i].refusal));
            assert_memory_equal(err.text, "a.yaml:12: ", 11);
            assert_string_equal(after.s, before.s); /* the field is as it was */
        }
        few_strbuf_free(&before);
        few_strbuf_free(&after);
        few_options_clear(table, &s);
    }
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

static struct settings unusual(void)
{
    static const char *const set[][2] = {
        { "ema", "no" },
        { "batch", "7" },
        { "images", "-9223372036854775808" },
        { "seed", "18446744073709551615" },
        { "lr", "0.1234567890123" },
        { "decay", "1e300" },
        { "name", "with \"quotes\", \xC3\xA4 and \n" },
        { "sampler", "heun" },
        { "loss", "huber" },
        { "mult", "" },
        { "betas", "1e-17,3" },
        { "layers", "attn" },
        { "names", "c\\,d,e\\\\f,\\ g" },
    };
    struct settings s = defaults();
    few_error err;
    for (size_t i = 0; i < FEW_COUNT(set); i++)
        assert_int_equal(few_option_set(table, &s, set[i][0], set[i][1], NULL, &err), FEW_OK);
    return s;
}

static void test_copy(void **state)
{
    (void)state;
    few_error err;
    const int64_t before = few_alloc_get_stats().bytes;
    struct settings s = unusual(), t = { 0 };
    assert_int_equal(few_options_copy(table, &t, &s, &err), FEW_OK);
    expect_same(&s, &t);
    assert_ptr_not_equal(s.name, t.name);
    assert_ptr_not_equal(s.names.v[0], t.names.v[0]);
    few_options_clear(table, &t);
    expect_same(&s, &s);

    const int64_t one = few_alloc_get_stats().bytes;
    int failures = 0;
    few_status st = FEW_ENOMEM;
    for (int64_t n = 1; st != FEW_OK; n++) {
        struct settings u = { 0 };
        few_alloc_fail_at(n);
        st = few_options_copy(table, &u, &s, &err);
        few_alloc_fail_at(0);
        failures += st != FEW_OK;
        if (st == FEW_OK)
            few_options_clear(table, &u);
        assert_int_equal(few_alloc_get_stats().bytes, one);
    }
    assert_int_equal(failures, 10); /* three texts, three lists, four texts in lists */
    few_options_clear(table, &s);
    assert_int_equal(few_alloc_get_stats().bytes, before);
}

static void test_json_round_trip(void **state)
{
    (void)state;
    few_error err;
    for (int kind = 0; kind < 2; kind++) {
        struct settings s = kind ? unusual() : defaults();
        json_t *j = few_options_to_json(table, &s);
        assert_non_null(j);
        char *text = json_dumps(j, 0);
        json_decref(j);
        assert_non_null(text);
        j = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(j);
        struct settings t = kind ? defaults() : unusual();
        assert_int_equal(few_options_from_json(table, &t, j, "x", &err), FEW_OK);
        if (!kind) /* null for a choice without default, and for a text, unset them */
            assert_true(!t.loss && !t.name);
        expect_same(&s, &t);
        free(text);
        json_decref(j);
        few_options_clear(table, &s);
        few_options_clear(table, &t);
    }
}

static void test_json_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *json, *refusal; /* NULL: accepted */
    } rows[] = {
        { "{\"batch\": 5}", NULL },
        { "{\"batch\": \"5\"}", NULL },
        { "{\"batch\": 5.0}", NULL },
        { "{\"batch\": null}", NULL },
        { "{\"mult\": null, \"sampler\": null}", NULL },
        { "{\"batch\": true}", "'batch' cannot hold true, it wants a number" },
        { "{\"batch\": 5.5}", "must be an integer" },
        { "{\"batch\": [5]}", "'batch' cannot hold a list" },
        { "{\"batch\": {}}", "'batch' cannot hold an object" },
        { "{\"ema\": 1}", "'ema' cannot hold a number, it wants true or false" },
        { "{\"name\": 1}", "'name' cannot hold a number, it wants text" },
        { "{\"mult\": 5}", "'mult' cannot hold a number, it wants a list of numbers" },
        { "{\"mult\": \"1,2\"}", "'mult' cannot hold a string" },
        { "{\"mult\": [1, [2]]}", "'mult' cannot hold a list" },
        { "{\"mult\": [1, 9]}", "from 1 to 8" },
        { "{\"names\": [\"a\", \"\"]}", "'names' cannot hold a string" },
        { "{\"names\": [\"\"]}", "'names' cannot hold a string" },
        { "{\"layers\": [\"attn\", \"x\"]}", "one of plain|attn" },
        { "{\"seed\": -1}", "2^64 - 1" },
        { "{\"lr\": 2}", "from 0 to 1" },
        { "{\"lrr\": 2}", "did you mean 'lr'?" },
        { "[1]", "wanted an object" },
    };
    for (size_t i = 0; i < FEW_COUNT(rows); i++) {
        struct settings s = defaults();
        few_error err = { 0 };
        json_t *j = json_loads(rows[i].json, 0, NULL);
        assert_non_null(j);
        const few_status st = few_options_from_json(table, &s, j, "m.safetensors", &err);
        assert_int_equal(st, rows[i].refusal ? FEW_ECONFIG : FEW_OK);
        if (rows[i].refusal) {
            if (!strstr(err.text, rows[i].refusal))
                print_error("%s gave: %s\n", rows[i].json, err.text);
            assert_non_null(strstr(err.text, rows[i].refusal));
            assert_memory_equal(err.text, "m.safetensors: ", 15);
        }
        json_decref(j);
        few_options_clear(table, &s);
    }
}

static void test_help(void **state)
{
    (void)state;
    static const few_option few[] = {
        ROW(lr, .type = FEW_OPT_DOUBLE, .fallback = "1e-4", .min = 0, .max = 1,
            .help = "learning rate"),
        ROW(sampler, .type = FEW_OPT_CHOICE, .fallback = "ddim", .choices = "ddim|addim",
            .help = "how to sample"),
        ROW(loss, .type = FEW_OPT_CHOICE, .choices = "a-rather-long-one|another-long-one",
            .help = "h"),
        ROW(decay, .type = FEW_OPT_DOUBLE, .min = 0, .max = INFINITY, .help = "d"),
        { .name = "run_name", .type = FEW_OPT_STRING, .help = "of the run" },
        { .name = "quick", .type = FEW_OPT_BOOL, .fallback = "false", .help = "q" },
        { .name = "clip", .type = FEW_OPT_BOOL, .fallback = "yes", .help = "c" },
        { .name = NULL },
    };
    few_strbuf b;
    few_strbuf_init(&b);
    few_options_help(few, &b);
    assert_string_equal(b.s,
                        "  --lr NUMBER           learning rate (default 1e-4, 0 to 1)\n"
                        "  --sampler ddim|addim  how to sample (default ddim)\n"
                        "  --loss CHOICE         h (one of a-rather-long-one|another-long-one)\n"
                        "  --decay NUMBER        d (at least 0)\n"
                        "  --run-name TEXT       of the run\n"
                        "  --quick               q\n"
                        "  --clip=false          c (default yes)\n");
    few_strbuf_free(&b);
}

/* A comma for decimals in the program around us changes nothing, where such a locale is found. */
static void test_locale(void **state)
{
    (void)state;
    static const char *const names[] = { "de_DE.UTF-8", "fr_FR.UTF-8", "nl_NL.UTF-8" };
    bool found = false;
    for (size_t i = 0; !found && i < FEW_COUNT(names); i++)
        found = setlocale(LC_ALL, names[i]) != NULL;
    struct settings s = defaults();
    few_error err;
    few_strbuf b;
    few_strbuf_init(&b);
    assert_int_equal(few_option_set(table, &s, "lr", "0.25", NULL, &err), FEW_OK);
    few_option_print(few_option_find(table, "lr"), &s, &b);
    assert_string_equal(b.s, "0.25");
    assert_int_equal(few_option_set(table, &s, "images", "0.5M", NULL, &err), FEW_OK);
    assert_int_equal(s.images, 500000);
    few_strbuf_free(&b);
    few_options_clear(table, &s);
    setlocale(LC_ALL, "C");
    if (!found)
        skip();
}

/* Any request may fail in set: the field keeps its value and nothing leaks. */
static void test_allocation_failures(void **state)
{
    (void)state;
    static const char *const set[][2] = {
        { "name", "other" },   { "names", "x,y,z" }, { "mult", "4,4" },
        { "sampler", "huen" }, { "nam", "x" },
    };
    few_error err;
    struct settings s = unusual(), same = { 0 };
    assert_int_equal(few_options_copy(table, &same, &s, &err), FEW_OK);
    for (size_t i = 0; i < FEW_COUNT(set); i++) {
        few_status st = FEW_ENOMEM;
        for (int64_t n = 1; st == FEW_ENOMEM; n++) {
            const int64_t before = few_alloc_get_stats().bytes;
            few_alloc_fail_at(n);
            st = few_option_set(table, &s, set[i][0], set[i][1], NULL, &err);
            few_alloc_fail_at(0);
            if (st != FEW_OK) {
                assert_int_equal(few_alloc_get_stats().bytes, before);
                expect_same(&s, &same);
            }
        }
        few_options_clear(table, &s);
        assert_int_equal(few_options_copy(table, &s, &same, &err), FEW_OK);
    }
    few_options_clear(table, &s);
    few_options_clear(table, &same);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),      cmocka_unit_test(test_texts),
        cmocka_unit_test(test_copy),          cmocka_unit_test(test_json_round_trip),
        cmocka_unit_test(test_json_refusals), cmocka_unit_test(test_help),
        cmocka_unit_test(test_locale),        cmocka_unit_test(test_allocation_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

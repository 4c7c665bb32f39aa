/* Growing strings, UTF-8, distances between names, status texts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/strbuf.h"

#include <stdio.h>
#include <string.h>

static void test_growth(void **state)
{
    (void)state;
    const int64_t before = few_alloc_get_stats().bytes;
    few_strbuf b;
    few_strbuf_init(&b);
    assert_string_equal(b.s, "");
    few_strbuf_reset(&b); /* must not write to the shared empty string */
    few_strbuf_add(&b, "");
    few_strbuf_addf(&b, "%s", "");
    assert_int_equal(b.n, 0);
    assert_int_equal(few_alloc_get_stats().bytes, before);

    char expected[5001];
    size_t n = 0;
    for (int i = 0; n + 8 < sizeof expected; i++) {
        n += (size_t)sprintf(expected + n, "%d,", i);
        few_strbuf_addf(&b, "%d,", i);
        assert_int_equal(b.n, n);
        assert_int_equal(b.s[b.n], 0);
    }
    assert_string_equal(b.s, expected);
    few_strbuf_add_n(&b, "x\0y", 3);
    assert_int_equal(b.n, n + 3);
    assert_memory_equal(b.s + n, "x\0y", 4);

    const size_t room = b.room;
    few_strbuf_reset(&b);
    assert_string_equal(b.s, "");
    assert_int_equal(b.room, room);
    few_strbuf_free(&b);
    assert_string_equal(b.s, "");
    assert_int_equal(few_alloc_get_stats().bytes, before);
}

/* Every length around the first sizes of the buffer, in one addition and in two. */
static void test_every_length(void **state)
{
    (void)state;
    char text[300];
    memset(text, 'a', sizeof text);
    for (size_t n = 0; n < sizeof text; n++) {
        few_strbuf b;
        few_strbuf_init(&b);
        few_strbuf_add_n(&b, text, n);
        few_strbuf_addf(&b, "%.*s", (int)n, text);
        assert_int_equal(b.n, 2 * n);
        assert_int_equal(strlen(b.s), 2 * n);
        few_strbuf_free(&b);
    }
}

static void test_no_memory(void **state)
{
    (void)state;
    few_strbuf b;
    few_strbuf_init(&b);
    few_strbuf_add(&b, "kept");
    few_alloc_fail_at(1);
    for (int i = 0; i < 100; i++)
        few_strbuf_add(&b, "more");
    few_alloc_fail_at(0);
    assert_true(b.failed);
    const size_t n = b.n;
    few_strbuf_add(&b, "nothing is added behind a gap");
    assert_int_equal(b.n, n);
    assert_int_equal(strlen(b.s), n);
    assert_memory_equal(b.s, "keptmore", 8);
    few_strbuf_reset(&b);
    assert_false(b.failed);
    few_strbuf_free(&b);
}

static void test_utf8(void **state)
{
    (void)state;
    static const struct {
        const char *s;
        int n;
        uint32_t code;
    } rows[] = {
        { "a", 1, 'a' },
        { "\xC3\xA4", 2, 0xE4 },
        { "\xE2\x82\xAC", 3, 0x20AC },
        { "\xF0\x9F\x98\x80", 4, 0x1F600 },
        { "\xF4\x8F\xBF\xBF", 4, 0x10FFFF },
        { "\x80", 0, 0 },             /* no start */
        { "\xC3", 0, 0 },             /* cut off */
        { "\xE2\x82", 0, 0 },         /* cut off */
        { "\xC0\xAF", 0, 0 },         /* longer than need be */
        { "\xE0\x80\xAF", 0, 0 },     /* longer than need be */
        { "\xED\xA0\x80", 0, 0 },     /* half of a pair */
        { "\xF4\x90\x80\x80", 0, 0 }, /* past the last */
        { "\xFF", 0, 0 },
    };
    for (size_t i = 0; i < FEW_COUNT(rows); i++) {
        uint32_t code = 0;
        assert_int_equal(few_utf8_decode(rows[i].s, &code), rows[i].n);
        assert_int_equal(code, rows[i].code);
        assert_int_equal(few_is_utf8(rows[i].s), rows[i].n != 0);
    }
    assert_true(few_is_utf8(""));
    assert_false(few_is_utf8("good then \xFE bad"));
}

static void test_distance(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        int d;
    } rows[] = {
        { "", "", 0 },
        { "", "abc", 3 },
        { "abc", "abc", 0 },
        { "ABC", "abc", 0 },
        { "sampler", "smapler", 1 },
        { "kitten", "sitting", 3 },
        { "lr", "lrr", 1 },
        { "ab", "ba", 1 },
        { "steps", "stops", 1 },
        { "abcdef", "fedcba", 5 },
        { "batch-size", "batch_size", 1 },
    };
    for (size_t i = 0; i < FEW_COUNT(rows); i++) {
        assert_int_equal(few_edit_distance(rows[i].a, rows[i].b), rows[i].d);
        assert_int_equal(few_edit_distance(rows[i].b, rows[i].a), rows[i].d);
    }
    char longer[200], longest[200];
    memset(longer, 'a', sizeof longer);
    memset(longest, 'a', sizeof longest);
    longer[100] = longest[150] = 0;
    assert_int_equal(few_edit_distance(longer, longer), 0);
    assert_true(few_edit_distance(longer, longest) >= 50);
}

static void test_nearest(void **state)
{
    (void)state;
    static const char *const names[] = { "lr", "batch", "sampler", "steps", "schedule", "seed" };
    const int n = (int)FEW_COUNT(names);
    assert_string_equal(few_nearest("smapler", names, n), "sampler");
    assert_string_equal(few_nearest("Steps", names, n), "steps");
    assert_string_equal(few_nearest("shedule", names, n), "schedule");
    assert_string_equal(few_nearest("lt", names, n), "lr");
    assert_string_equal(few_nearest("sede", names, n), "seed");
    assert_null(few_nearest("elephant", names, n));
    assert_null(few_nearest("x", names, n));
    assert_null(few_nearest("", names, n));
    assert_null(few_nearest("lr", names, 0));
}

static void test_status(void **state)
{
    (void)state;
    few_error err;
    assert_int_equal(few_fail(&err, FEW_EIO, "cannot read '%s'", "a"), FEW_EIO);
    assert_int_equal(few_fail_in(&err, "line %d", 3), FEW_EIO);
    assert_string_equal(err.text, "line 3: cannot read 'a'");
    assert_int_equal(few_fail(NULL, FEW_ENOMEM, "unseen"), FEW_ENOMEM);
    char huge[5000];
    memset(huge, 'x', sizeof huge - 1);
    huge[sizeof huge - 1] = 0;
    few_fail(&err, FEW_EIO, "%s", huge);
    few_fail_in(&err, "%s", huge);
    assert_true(strlen(err.text) < sizeof err.text);
    assert_string_equal(few_status_text(FEW_ECONFIG), "configuration refused");
    assert_string_equal(few_status_text((few_status)99), "unknown status");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_growth),    cmocka_unit_test(test_every_length),
        cmocka_unit_test(test_no_memory), cmocka_unit_test(test_utf8),
        cmocka_unit_test(test_distance),  cmocka_unit_test(test_nearest),
        cmocka_unit_test(test_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Escaping, base64, widths of text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "eval/markup.h"
#include "eval/wellformed.h"

static void expect_text(const char *in, const char *out)
{
    few_strbuf b;
    few_strbuf_init(&b);
    few_markup_text(&b, in);
    assert_string_equal(b.s, out);
    assert_true(text_length(b.s, 0) == (int)b.n);
    few_strbuf_free(&b);
}

#define BAD "\xEF\xBF\xBD"

static void test_text(void **state)
{
    (void)state;
    expect_text(NULL, "");
    expect_text("plain text, 100 %\n\t", "plain text, 100 %\n\t");
    expect_text("<a href=\"x\">'&amp;'</a>",
                "&lt;a href=&quot;x&quot;&gt;&#39;&amp;amp;&#39;&lt;/a&gt;");
    expect_text("Zürich 東京 \xF0\x9F\x98\x80", "Zürich 東京 \xF0\x9F\x98\x80");
    expect_text("a\x01\x1B[1m\rb\x7F", "a" BAD BAD "[1m" BAD "b" BAD);
    expect_text("\xC2\x85", BAD);                     /* a C1 control */
    expect_text("\xEF\xBF\xBE\xEF\xBF\xBF", BAD BAD); /* U+FFFE, U+FFFF */
    expect_text("\xC0\xBC", BAD BAD);                 /* an overlong < */
    expect_text("\xED\xA0\x80", BAD BAD BAD);         /* half a surrogate pair */
    expect_text("end\xE6\x9D", "end" BAD BAD);        /* cut off */
}

/* RFC 4648, section 10; and bytes above 127. */
static void test_base64(void **state)
{
    (void)state;
    static const char *const vectors[][2] = {
        { "", "" },
        { "f", "Zg==" },
        { "fo", "Zm8=" },
        { "foo", "Zm9v" },
        { "foob", "Zm9vYg==" },
        { "fooba", "Zm9vYmE=" },
        { "foobar", "Zm9vYmFy" },
        { "\xFB\xFF\xFE", "+//+" },
        { "\xFF", "/w==" },
        { "\xFF\xEF", "/+8=" },
    };
    for (size_t k = 0; k < FEW_COUNT(vectors); k++) {
        few_strbuf b;
        few_strbuf_init(&b);
        few_markup_base64(&b, vectors[k][0], strlen(vectors[k][0]));
        assert_string_equal(b.s, vectors[k][1]);
        few_strbuf_free(&b);
    }
}

static void test_width(void **state)
{
    (void)state;
    assert_true(few_markup_width("", 12) == 0);
    assert_true(few_markup_width("iiii", 12) < few_markup_width("nnnn", 12));
    assert_true(few_markup_width("nnnn", 12) < few_markup_width("MMMM", 12));
    assert_true(few_markup_width("nnnn", 12) < few_markup_width("東京東京", 12));
    assert_true(few_markup_width("ab", 24) == 2 * few_markup_width("ab", 12));
    /* A browser sets this in DejaVu Sans, a wide font, at 12 pixels, in 152. */
    const double w = few_markup_width("network evaluations (steps)", 12);
    assert_true(w > 152 && w < 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_base64),
        cmocka_unit_test(test_width),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

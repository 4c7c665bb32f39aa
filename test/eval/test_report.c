/* The report page. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/temp_folder.h"
#include "eval/report.h"
#include "eval/wellformed.h"

/* The head of a PNG of 100 x 50 pixels; a report does not look further. */
static const uint8_t png[40] = "\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x64\0\0\0\x32\x08\x02";

static void test_page(void **state)
{
    (void)state;
    few_error err = { 0 };
    few_report r;
    few_report_begin(&r, "A <report> & more");
    few_report_heading(&r, "1 < 2");
    few_report_paragraph(&r, "\"quoted\"");
    few_report_verbatim(&r, "a\n  b & c");
    const char *head[] = { "name", "steps", "FID", "note" };
    const char *cells[] = { "<a>", "4", "8.21 (8.1-8.3)", "", "b", "128", "-", "3 steps" };
    few_report_table(&r, "all & sundry", 4, head, 2, cells);
    few_report_svg(&r, "<svg><rect/></svg>", "a plot");
    assert_int_equal(few_report_png(&r, png, sizeof png, "it's", &err), FEW_OK);

    const char *s = r.html.s;
    assert_non_null(strstr(s, "<title>A &lt;report&gt; &amp; more</title>"));
    assert_non_null(strstr(s, "<h1>A &lt;report&gt; &amp; more</h1>"));
    assert_non_null(strstr(s, "<h2>1 &lt; 2</h2>"));
    assert_non_null(strstr(s, "<p>&quot;quoted&quot;</p>"));
    assert_non_null(strstr(s, "<pre>a\n  b &amp; c</pre>"));
    assert_non_null(strstr(s, "<caption>all &amp; sundry</caption>"));
    assert_non_null(strstr(s, "<tr><th>name</th><th class=\"n\">steps</th><th class=\"n\">FID</th>"
                              "<th>note</th></tr>"));
    assert_non_null(strstr(s, "<tr><td>&lt;a&gt;</td><td class=\"n\">4</td>"
                              "<td class=\"n\">8.21 (8.1-8.3)</td><td></td></tr>"));
    assert_non_null(strstr(s, "<td class=\"n\">-</td><td>3 steps</td>"));
    assert_non_null(strstr(s, "<figure>\n<svg><rect/></svg><figcaption>a plot</figcaption>"));
    assert_non_null(strstr(s, "width=\"400\" height=\"200\" alt=\"it&#39;s\" "
                              "src=\"data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAGQAAAAyCAI"));
    assert_null(strstr(s, "<script"));
    assert_null(strstr(s, "http"));

    const char *path = temp_path("report.html");
    few_map m;
    assert_int_equal(few_report_save(&r, path, &err), FEW_OK);
    assert_int_equal(few_map_open(&m, path, &err), FEW_OK);
    assert_int_equal(m.n, r.html.n);
    assert_memory_equal(m.data, s, m.n);
    few_map_close(&m);
    few_report_free(&r);
}

/* Everything behind the head is well-formed as XML too, but for img, which has no end. */
static void test_well_formed(void **state)
{
    (void)state;
    few_report r;
    few_report_begin(&r, "\x02\xFF<&>\"'");
    few_report_paragraph(&r, NULL);
    const char *cells[] = { "1", NULL, "2", "x\x1B" };
    few_report_table(&r, NULL, 2, NULL, 2, cells);
    few_report_table(&r, NULL, 2, NULL, 0, NULL);
    few_report_svg(&r, "<svg></svg>\n", NULL);
    few_strbuf_add(&r.html, "</body>");
    const char *bad = malformed(strstr(r.html.s, "<body>"));
    if (bad)
        fail_msg("not well-formed at: %.60s", bad);
    few_report_free(&r);
}

static void test_refusals(void **state)
{
    (void)state;
    few_error err;
    few_report r;
    few_report_begin(&r, "t");
    const size_t n = r.html.n;
    assert_int_equal(few_report_png(&r, "GIF89a", 6, "c", &err), FEW_EFORMAT);
    assert_int_equal(few_report_png(&r, png, 32, "c", &err), FEW_EFORMAT);
    uint8_t huge[40];
    memcpy(huge, png, sizeof huge);
    huge[16] = 0xFF;
    assert_int_equal(few_report_png(&r, huge, sizeof huge, "c", &err), FEW_EFORMAT);
    const char *path = temp_path("no.png");
    assert_int_equal(few_report_png_file(&r, path, "c", &err), FEW_ENOTFOUND);
    assert_int_equal(few_write_file(path, "text", 4, &err), FEW_OK);
    assert_int_equal(few_report_png_file(&r, path, "c", &err), FEW_EFORMAT);
    assert_non_null(strstr(err.text, path));
    assert_int_equal(r.html.n, n);
    assert_int_equal(few_write_file(path, png, sizeof png, &err), FEW_OK);
    assert_int_equal(few_report_png_file(&r, path, "c", &err), FEW_OK);

    path = temp_path("report2.html");
    few_alloc_fail_at(1);
    while (!r.html.failed && few_alloc_get_stats().bytes < 1 << 20)
        few_report_paragraph(&r, "until memory is asked for");
    few_alloc_fail_at(0);
    assert_int_equal(few_report_save(&r, path, &err), FEW_ENOMEM);
    assert_false(few_is_file(path));
    few_report_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_page),
        cmocka_unit_test(test_well_formed),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, make_temp_folder, remove_temp_folder);
}

/* Drawings: well-formed, everything inside the sheet, points where they belong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "eval/markup.h"
#include "eval/numbers.h"
#include "eval/plot.h"
#include "eval/wellformed.h"

#include <stdlib.h>

static const double steps[] = { 1, 2, 4, 8, 16, 32 };
static const double fid_teacher[] = { 180, 90, 45, 21, 12, 9 };
static const double fid_student[] = { 22, 14, 10, 9, 8.5, NAN };

static few_series two_series[] = {
    { "teacher", steps, fid_teacher, 6 },
    { "student", steps, fid_student, 6 },
};

static void draw(const few_line_plot *p, few_strbuf *svg)
{
    few_error err = { 0 };
    few_strbuf_init(svg);
    assert_int_equal(few_plot_lines(p, svg, &err), FEW_OK);
    const char *bad = malformed(svg->s);
    if (bad)
        fail_msg("not well-formed at: %.60s", bad);
    assert_null(strstr(svg->s, "nan"));
    assert_null(strstr(svg->s, "inf"));
}

/* Each <text ...>: its content, place and anchor. */
struct text {
    double x, y, left, right;
    char content[128];
};

static int find_texts(const char *svg, struct text *out, int most)
{
    int n = 0;
    for (const char *p = svg; (p = strstr(p, "<text ")) && n < most; p++) {
        struct text *t = &out[n++];
        char anchor[8], class[8];
        assert_int_equal(sscanf(p,
                                "<text class=\"%7[^\"]\" x=\"%lf\" y=\"%lf\" "
                                "text-anchor=\"%7[^\"]\">%127[^<]",
                                class, &t->x, &t->y, anchor, t->content),
                         5);
        const double w = few_markup_width(t->content, !strcmp(class, "title") ? 15 : 12);
        t->left = t->x - (*anchor == 'm' ? w / 2 : *anchor == 'e' ? w : 0);
        t->right = t->left + w;
    }
    return n;
}

/* No text leaves the sheet, none touches another. The rotated title of y is looked at alone. */
static void check_texts(const char *svg, double width, double height)
{
    struct text t[64];
    const int n = find_texts(svg, t, 64);
    for (int i = 0; i < n; i++) {
        if (t[i].x == 0 && t[i].y == 0)
            continue;
        if (t[i].left < 0 || t[i].right > width || t[i].y < 10 || t[i].y > height - 2)
            fail_msg("'%s' leaves the sheet: %g to %g, %g", t[i].content, t[i].left, t[i].right,
                     t[i].y);
        for (int k = 0; k < i; k++)
            if (fabs(t[k].y - t[i].y) < 11 && t[k].left < t[i].right && t[i].left < t[k].right &&
                t[k].y != 0)
                fail_msg("'%s' lies over '%s'", t[i].content, t[k].content);
    }
}

static const struct text *text_of(const char *svg, const char *content)
{
    static struct text t[64];
    const int n = find_texts(svg, t, 64);
    for (int i = 0; i < n; i++)
        if (!strcmp(t[i].content, content))
            return &t[i];
    fail_msg("no text '%s'", content);
    return NULL;
}

static void test_lines(void **state)
{
    (void)state;
    const few_level levels[] = { { "teacher, 128 steps", 7.7 },
                                 { "floor", 6.9 },
                                 { "other", 7.2 } };
    few_line_plot p = { .title = "FID",
                        .x_title = "steps",
                        .y_title = "FID (50k)",
                        .series = two_series,
                        .n_series = 2,
                        .levels = levels,
                        .n_levels = 3,
                        .log2_x = true,
                        .log_y = true };
    few_strbuf svg;
    draw(&p, &svg);
    check_texts(svg.s, 640, 400);
    assert_int_equal(occurrences(svg.s, "stroke-dasharray"), 3);

    /* Ticks of x are powers of two at equal distances, and the points stand on them. */
    const double x1 = text_of(svg.s, "1")->x, x2 = text_of(svg.s, "2")->x;
    const char *circle = strstr(strstr(svg.s, "<circle") + 1, "<circle"); /* the first: legend */
    for (int i = 0; i < 6; i++) {
        char tick[16];
        double cx, cy;
        snprintf(tick, sizeof tick, "%g", steps[i]);
        expect_near(text_of(svg.s, tick)->x, x1 + i * (x2 - x1), 0.3);
        assert_int_equal(sscanf(circle, "<circle cx=\"%lf\" cy=\"%lf\"", &cx, &cy), 2);
        expect_near(cx, x1 + i * (x2 - x1), 0.3);
        if (i < 5)
            circle = strstr(circle + 1, "<circle");
    }
    assert_null(strstr(circle + 1, "<circle"));
    assert_int_equal(occurrences(svg.s, "h7v7h-7z"),
                     1 + 5); /* the point that is none is left out */

    /* Names of levels in the order of their values, a row apart. */
    const double a = text_of(svg.s, "teacher, 128 steps")->y, b = text_of(svg.s, "other")->y,
                 c = text_of(svg.s, "floor")->y;
    assert_true(a + 14 < b && b + 14 < c);
    few_strbuf_free(&svg);
}

/* The line breaks where a value is missing. */
static void test_gaps(void **state)
{
    (void)state;
    const double x[] = { 0, 1, 2, 3, 4, 5 }, y[] = { 1, 2, NAN, 4, 0, 3 };
    const few_series s = { "a", x, y, 6 };
    few_line_plot p = { .series = &s, .n_series = 1, .log_y = true };
    few_strbuf svg;
    draw(&p, &svg);
    const char *path = strstr(svg.s, "stroke-linejoin=\"round\" d=\"M");
    assert_non_null(path);
    int moves = 0, lines = 0;
    for (path = strstr(path, " d=\"") + 4; *path != '"'; path++) {
        moves += *path == 'M';
        lines += *path == 'L';
    }
    assert_int_equal(moves, 3); /* 0 has no logarithm */
    assert_int_equal(lines, 1);
    few_strbuf_free(&svg);
}

static void test_hostile_texts(void **state)
{
    (void)state;
    static const char hostile[] = "</text><script>\"'&\x01\xFF";
    const few_level level = { hostile, 3 };
    few_series s = { hostile, steps, fid_teacher, 6 };
    few_line_plot p = { hostile, hostile, hostile, &s, 1, &level, 1, true, false, 0, 0 };
    few_strbuf svg;
    draw(&p, &svg);
    assert_null(strstr(svg.s, "<script"));
    assert_int_equal(occurrences(svg.s, "&lt;script&gt;&quot;&#39;&amp;\xEF\xBF\xBD\xEF\xBF\xBD"),
                     6);
    few_strbuf_free(&svg);
}

/* Long names, many of them, and small sheets. */
static void test_crowds(void **state)
{
    (void)state;
    enum { N = 12 };
    static char names[N][48];
    few_series s[N];
    few_level levels[N];
    for (int k = 0; k < N; k++) {
        snprintf(names[k], sizeof names[k], "series %d with quite a long name", k);
        s[k] = (few_series){ names[k], steps, fid_teacher, 6 };
        levels[k] = (few_level){ names[k], 50 + 0.01 * k };
    }
    few_line_plot p = { .title =
                            "a title that is so long that it fills any sheet to the right edge "
                            "and more than that, whatever its width",
                        .x_title = "x",
                        .y_title = "y",
                        .series = s,
                        .n_series = 6,
                        .levels = levels,
                        .n_levels = 6,
                        .width = 480,
                        .height = 400 };
    few_strbuf svg;
    draw(&p, &svg);
    check_texts(svg.s, 480, 400);
    assert_non_null(strstr(svg.s, "\xE2\x80\xA6</text>")); /* shortened */
    few_strbuf_free(&svg);

    p.n_series = 1;
    p.n_levels = 0;
    for (int w = 200; w <= 800; w += 50) {
        p.width = w;
        p.height = w * 3 / 4;
        p.log2_x = w % 100;
        draw(&p, &svg);
        check_texts(svg.s, w, p.height);
        few_strbuf_free(&svg);
    }
}

static void test_nothing(void **state)
{
    (void)state;
    const double nan[] = { NAN, INFINITY };
    const few_series s = { NULL, nan, nan, 2 }, empty = { "empty", NULL, NULL, 0 };
    few_line_plot plots[] = { { 0 },
                              { .series = &s, .n_series = 1, .log2_x = true, .log_y = true },
                              { .series = &empty, .n_series = 1 } };
    for (size_t k = 0; k < FEW_COUNT(plots); k++) {
        few_strbuf svg;
        draw(&plots[k], &svg);
        check_texts(svg.s, 640, 400);
        few_strbuf_free(&svg);
    }
}

static void test_long_series(void **state)
{
    (void)state;
    enum { N = 1000 };
    double x[N], y[N];
    for (int i = 0; i < N; i++) {
        x[i] = 20.0 * i;
        y[i] = exp(-i / 200.0);
    }
    const few_series s = { "loss", x, y, N };
    few_line_plot p = { .series = &s, .n_series = 1, .log_y = true };
    few_strbuf svg;
    draw(&p, &svg);
    assert_null(strstr(svg.s, "<circle")); /* no markers */
    few_strbuf_free(&svg);
}

/* ---- paths ---- */

enum { PATHS = 50, TIMES = 9 };
static double times[TIMES];
static float z[PATHS * TIMES];

static few_paths straight_paths(void)
{
    for (int j = 0; j < TIMES; j++)
        times[j] = 1 - (double)j / (TIMES - 1);
    for (int i = 0; i < PATHS; i++)
        for (int j = 0; j < TIMES; j++)
            z[i * TIMES + j] =
                (float)(times[j] * (i - 25) / 10.0 + (1 - times[j]) * (i < 25 ? -1 : 1));
    return (few_paths){ "4 steps", times, z, TIMES, PATHS, 0 };
}

static void draw_paths(const few_path_plot *p, few_strbuf *svg)
{
    few_error err = { 0 };
    few_strbuf_init(svg);
    assert_int_equal(few_plot_paths(p, svg, &err), FEW_OK);
    const char *bad = malformed(svg->s);
    if (bad)
        fail_msg("not well-formed at: %.60s", bad);
    assert_null(strstr(svg->s, "nan"));
    assert_null(strstr(svg->s, "inf"));
    check_texts(svg->s, p->width ? p->width : 640, p->height ? p->height : 400);
}

static void test_paths(void **state)
{
    (void)state;
    few_paths g = straight_paths();
    const double at[] = { -2, 0, 2 }, p0[] = { 0.1, 0.4, 0.1 };
    const few_density densities[] = { { "data", false, at, p0, 3 }, { NULL, true, at, p0, 3 } };
    const few_path_plot p = { .title = "toy",
                              .x_title = "t",
                              .y_title = "z",
                              .paths = &g,
                              .n_paths = 1,
                              .densities = densities,
                              .n_densities = 2 };
    few_strbuf svg;
    draw_paths(&p, &svg);
    const char *group = strstr(svg.s, "stroke-opacity");
    assert_int_equal(occurrences(group, "<path d=\"M"), PATHS);
    assert_int_equal(occurrences(svg.s, "fill-opacity"), 2); /* a histogram at either end */
    assert_int_equal(occurrences(svg.s, "stroke-dasharray"), 3);
    assert_true(text_of(svg.s, "1.00")->x < text_of(svg.s, "0.50")->x); /* noise at the left */

    /* At t = 0 half of the paths are at -1, half at 1: two bars of one length, to the right edge.
     */
    const char *right = strstr(strstr(svg.s, "fill-opacity") + 1, "fill-opacity");
    double x0, ends[64], top;
    int n = 0, used;
    right = strstr(right, " d=\"M") + 5;
    assert_int_equal(sscanf(right, "%lf %*f%n", &x0, &used), 1);
    for (right += used; n < 64 && sscanf(right, "H%lfV%lf%n", &ends[n], &top, &used) == 2; n++)
        right += used;
    int bars = 0;
    for (int i = 0; i < n; i++)
        if (ends[i] > x0 + 1) {
            expect_near(ends[i], x0 + 64, 0.1);
            bars++;
        }
    assert_int_equal(bars, 2);
    few_strbuf_free(&svg);
}

/* A group that stops before an end has no histogram there; values that are none are left out. */
static void test_paths_without_ends(void **state)
{
    (void)state;
    few_paths g = straight_paths();
    times[0] = 0.9;
    z[3] = NAN;
    z[TIMES - 1] = INFINITY;
    few_path_plot p = { .paths = &g, .n_paths = 1, .width = 300, .height = 200 };
    few_strbuf svg;
    draw_paths(&p, &svg);
    assert_int_equal(occurrences(svg.s, "fill-opacity"), 1);
    few_strbuf_free(&svg);

    g.n_times = g.n_paths = 0;
    draw_paths(&p, &svg);
    assert_int_equal(occurrences(svg.s, "fill-opacity"), 0);
    few_strbuf_free(&svg);
}

static void test_no_memory(void **state)
{
    (void)state;
    few_paths g = straight_paths();
    const few_line_plot lines = { .series = two_series, .n_series = 2 };
    const few_path_plot paths = { .paths = &g, .n_paths = 1 };
    const int64_t live = few_alloc_get_stats().bytes;
    for (int which = 0; which < 2; which++) {
        few_status st;
        int k = 0;
        do {
            few_strbuf svg;
            few_error err;
            few_strbuf_init(&svg);
            few_alloc_fail_at(++k);
            st = which ? few_plot_paths(&paths, &svg, &err) : few_plot_lines(&lines, &svg, &err);
            assert_true(st == FEW_OK || st == FEW_ENOMEM);
            few_strbuf_free(&svg);
            assert_int_equal(few_alloc_get_stats().bytes, live);
        } while (st != FEW_OK && k < 100);
        assert_true(k > 3 && k < 100);
    }
    few_alloc_fail_at(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),         cmocka_unit_test(test_gaps),
        cmocka_unit_test(test_hostile_texts), cmocka_unit_test(test_crowds),
        cmocka_unit_test(test_nothing),       cmocka_unit_test(test_long_series),
        cmocka_unit_test(test_paths),         cmocka_unit_test(test_paths_without_ends),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Progress: what is shown, and when, under a clock of our own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/progress.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- text ---- */

static const char *format(few_progress_view v, int width)
{
    static char text[256];
    few_progress_format(text, sizeof text, &v, width);
    return text;
}

static few_progress_view usual(void)
{
    return (few_progress_view){ .label = "distil mcd4",
                                .unit = "it",
                                .suffix = "loss 0.123",
                                .done = 420,
                                .total = 1000,
                                .elapsed = 31,
                                .rate = 13.5 };
}

static void test_widths(void **state)
{
    (void)state;
    assert_string_equal(format(usual(), 93), "distil mcd4  42%|############                 | "
                                             "420/1000 [00:31<00:43, 13.5 it/s, loss 0.123]");
    assert_string_equal(format(usual(), 70),
                        "distil mcd4  42%|##    | 420/1000 [00:31<00:43, 13.5 it/s, loss 0.123]");
    assert_string_equal(format(usual(), 69),
                        "distil mcd4  42% 420/1000 [00:31<00:43, 13.5 it/s, loss 0.123]");
    assert_string_equal(format(usual(), 30), "distil mcd4  42% 420/1000 [00:");
    assert_string_equal(format(usual(), 0),
                        "distil mcd4  42% 420/1000 [00:31<00:43, 13.5 it/s, loss 0.123]");
    for (int w = 1; w < 200; w++)
        assert_true((int)strlen(format(usual(), w)) <= w);
    char small[8];
    const few_progress_view v = usual();
    few_progress_format(small, sizeof small, &v, 100);
    assert_string_equal(small, "distil ");
}

static void test_shares(void **state)
{
    (void)state;
    few_progress_view v = usual();
    v.suffix = NULL;
    v.total = 100;
    for (v.done = 0; v.done <= 100; v.done++) { /* 29 % is 29 %, not 28 */
        char want[16];
        snprintf(want, sizeof want, " %3d%%|", (int)v.done);
        assert_non_null(strstr(format(v, 80), want));
    }
    v.total = 100000;
    v.done = 99999; /* all but one is not all */
    assert_non_null(strstr(format(v, 80), " 99%|"));
    assert_non_null(strstr(format(v, 80), "# |"));
    v.done = 100000;
    assert_non_null(strstr(format(v, 80), "100%|#"));
    assert_non_null(strstr(format(v, 80), "#| 100000/100000 [00:31<00:00, "));
    v.done = 100001; /* more than promised */
    assert_non_null(strstr(format(v, 80), "100%|#"));
    v.total = 0;
    assert_string_equal(format(v, 80), "distil mcd4 100001 [00:31, 13.5 it/s]");
}

static void test_numbers(void **state)
{
    (void)state;
    static const struct {
        double rate;
        const char *text;
    } rates[] = {
        { 0, " ? it/s]" },       { NAN, " ? it/s]" },       { 0.003, " 333 s/it]" },
        { 0.25, " 4.0 s/it]" },  { 1, " 1.0 it/s]" },       { 99.94, " 99.9 it/s]" },
        { 99.96, " 100 it/s]" }, { 12345, " 12.3k it/s]" }, { 3.2e7, " 32.0M it/s]" },
    };
    few_progress_view v = usual();
    v.suffix = "";
    for (size_t k = 0; k < FEW_COUNT(rates); k++) {
        v.rate = rates[k].rate;
        assert_non_null(strstr(format(v, 0), rates[k].text));
    }
    v.rate = 0;
    assert_non_null(strstr(format(v, 0), "[00:31<?, "));

    static const struct {
        double seconds;
        const char *text;
    } times[] = {
        { 0, "[00:00<" },           { 59.6, "[01:00<" }, { 3599, "[59:59<" }, { 3600, "[1:00:00<" },
        { 90061, "[1d 01:01:01<" }, { 1e12, "[?<" },     { NAN, "[?<" },
    };
    for (size_t k = 0; k < FEW_COUNT(times); k++) {
        v.elapsed = times[k].seconds;
        assert_non_null(strstr(format(v, 0), times[k].text));
    }
}

/* A column is a character; what would move the cursor is not let through. */
static void test_characters(void **state)
{
    (void)state;
    few_progress_view v = usual();
    v.label = "\xC3\xBC\xC3\xB6\xC3\xA4"; /* three letters in six bytes */
    v.suffix = "a\nb\r\x1b[K";
    const char *text = format(v, 60);
    assert_null(strpbrk(text, "\n\r\x1b\x7f"));
    int columns = 0;
    for (const char *c = text; *c; c++)
        columns += (*c & 0xC0) != 0x80;
    assert_int_equal(columns, 60);
    assert_string_equal(format(v, 2), "\xC3\xBC\xC3\xB6");
}

/* ---- showing ---- */

static double clock_now;

static double fake_clock(void)
{
    return clock_now;
}

static char *shown;
static size_t shown_n;

/* A sink into memory; `shown` is what came out. */
static few_progress_sink open_sink(bool bar)
{
    clock_now = 1000;
    FILE *f = open_memstream(&shown, &shown_n);
    assert_non_null(f);
    fflush(f); /* sets shown */
    return (few_progress_sink){ .out = f, .bar = bar, .width = 80, .now = fake_clock };
}

static void close_sink(few_progress_sink *sink)
{
    fclose(sink->out);
    free(shown);
    shown = NULL;
}

static int count(char c)
{
    int n = 0;
    for (size_t i = 0; i < shown_n; i++)
        n += shown[i] == c;
    return n;
}

static void test_bar_timing(void **state)
{
    (void)state;
    few_progress_sink sink = open_sink(true);
    few_progress p;
    few_progress_begin(&p, &sink, "work", 1000, "it");
    for (int i = 1; i <= 1000; i++) { /* a hundred a second */
        clock_now += 0.01;
        few_progress_update(&p, i, "loss %d", i);
        if (i < 50)
            assert_int_equal(shown_n, 0);
    }
    /* Between half a second and ten, at most ten times a second. */
    assert_in_range(count('\r'), 85, 96);
    assert_int_equal(count('\n'), 0);
    few_progress_end(&p);
    assert_int_equal(count('\n'), 1);
    const char *last = strrchr(shown, '\r');
    assert_non_null(strstr(last, "work 100%|#"));
    assert_non_null(strstr(last, "| 1000/1000 [00:10<00:00, 100 it/s, loss 1000]\x1b[K\n"));
    const size_t n = shown_n;
    few_progress_end(&p);
    assert_int_equal(shown_n, n);
    close_sink(&sink);
}

static void test_short_work(void **state)
{
    (void)state;
    few_progress p;
    few_progress_sink sink = open_sink(true);
    few_progress_begin(&p, &sink, "work", 10, "it");
    clock_now += 0.4;
    few_progress_update(&p, 10, NULL);
    few_progress_end(&p);
    assert_int_equal(shown_n, 0);
    close_sink(&sink);

    sink = open_sink(false);
    few_progress_begin(&p, &sink, "work", 10, "it");
    clock_now += 1.9;
    few_progress_update(&p, 10, NULL);
    few_progress_end(&p);
    assert_int_equal(shown_n, 0);
    close_sink(&sink);
}

/* The time left after an hour in which the program was stopped, and of work that became slow. */
static void test_pause(void **state)
{
    (void)state;
    few_progress_sink sink = open_sink(true);
    few_progress p;
    few_progress_begin(&p, &sink, "work", 1000, "it");
    int done = 0;
    while (done < 100) {
        clock_now += 0.5;
        few_progress_update(&p, ++done, NULL);
    }
    clock_now += 3600;
    few_progress_update(&p, ++done, NULL);
    assert_non_null(strstr(strrchr(shown, '\r'), " 101/1000 [1:00:50<07:"));
    for (int i = 0; i < 3; i++) {
        clock_now += 100;
        few_progress_update(&p, ++done, NULL);
    }
    assert_non_null(strstr(strrchr(shown, '\r'), ", 100.0 s/it]"));
    few_progress_end(&p);
    close_sink(&sink);
}

static void test_lines(void **state)
{
    (void)state;
    few_progress_sink sink = open_sink(false);
    few_progress p;
    few_progress_begin(&p, &sink, "train", 100, "it");
    for (int i = 1; i <= 90; i++) { /* two a second, and stopped before the end */
        clock_now += 0.5;
        few_progress_update(&p, i, NULL);
        assert_int_equal(count('\n'), i / 20);
    }
    few_progress_hide(&p); /* nothing to hide */
    few_progress_end(&p);
    assert_string_equal(shown, "train  20% 20/100 [00:10<00:40, 2.0 it/s]\n"
                               "train  40% 40/100 [00:20<00:30, 2.0 it/s]\n"
                               "train  60% 60/100 [00:30<00:20, 2.0 it/s]\n"
                               "train  80% 80/100 [00:40<00:10, 2.0 it/s]\n"
                               "train  90% 90/100 [00:45<00:05, 2.0 it/s]\n");
    close_sink(&sink);
}

/* The rate follows what happens now; steps done before a resume do not count; at the end it is the
 * mean of this run. */
static void test_rate(void **state)
{
    (void)state;
    few_progress_sink sink = open_sink(true);
    few_progress p;
    few_progress_begin(&p, &sink, "work", 2000, "it");
    few_progress_resume(&p, 400);
    clock_now += 1;
    few_progress_update(&p, 410, NULL);
    assert_non_null(strstr(shown, " 410/2000 [00:01<02:39, 10.0 it/s]"));
    for (int i = 1; i <= 60; i++) { /* suddenly five times as slow */
        clock_now += 1;
        few_progress_update(&p, 410 + 2 * i, NULL);
    }
    assert_non_null(strstr(strrchr(shown, '\r'), " 530/2000 [01:01<12:"));
    assert_non_null(strstr(strrchr(shown, '\r'), ", 2.0 it/s]"));
    few_progress_end(&p);
    assert_non_null(strstr(strrchr(shown, '\r'), ", 2.1 it/s]")); /* 130 in 61 seconds */
    close_sink(&sink);
}

static void test_hide(void **state)
{
    (void)state;
    few_progress_sink sink = open_sink(true);
    few_progress p;
    few_progress_begin(&p, &sink, "work", 100, "it");
    few_progress_hide(&p);
    assert_int_equal(shown_n, 0);
    clock_now += 1;
    few_progress_update(&p, 10, NULL);
    few_progress_hide(&p);
    assert_string_equal(shown + shown_n - 4, "\r\x1b[K");
    const size_t n = shown_n;
    few_progress_hide(&p);
    assert_int_equal(shown_n, n);
    clock_now += 0.01;
    few_progress_update(&p, 11, NULL); /* back at once */
    assert_non_null(strstr(shown + n, " 11/100 "));
    close_sink(&sink);
}

static void test_still_clock_and_quiet(void **state)
{
    (void)state;
    few_progress_sink sink = open_sink(true);
    few_progress p;
    few_progress_begin(&p, &sink, "work", 10, "it");
    for (int i = 0; i <= 10; i++)
        few_progress_update(&p, i, NULL);
    few_progress_end(&p);
    assert_int_equal(shown_n, 0);
    close_sink(&sink);

    sink = few_progress_stderr(true);
    assert_null(sink.out);
    few_progress_begin(&p, &sink, "work", 10, "it");
    few_progress_update(&p, 3, "%d", 3);
    few_progress_hide(&p);
    few_progress_end(&p);

    setenv("NO_COLOR", "1", 1);
    assert_false(few_progress_stderr(false).bar);
    assert_ptr_equal(few_progress_stderr(false).out, stderr);
    unsetenv("NO_COLOR");
    setenv("TERM", "dumb", 1);
    assert_false(few_progress_stderr(false).bar);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_widths),
        cmocka_unit_test(test_shares),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_characters),
        cmocka_unit_test(test_bar_timing),
        cmocka_unit_test(test_short_work),
        cmocka_unit_test(test_pause),
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_rate),
        cmocka_unit_test(test_hide),
        cmocka_unit_test(test_still_clock_and_quiet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

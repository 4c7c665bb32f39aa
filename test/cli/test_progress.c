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
    if (!v.unit)
        v.unit = "it";
    few_progress_format(text, sizeof text, &v, width);
    return text;
}

static const few_progress_view usual = { "distil mcd4", "it", "loss 0.123", 420, 1000, 31, 13.5 };

static void test_bar(void **state)
{
    (void)state;
    assert_string_equal(format(usual, 91), "distil mcd4  42%|############                 | "
                                           "420/1000 [00:31<00:43, 13.5 it/s, loss 0.123]");
    assert_int_equal(strlen(format(usual, 91)), 91);
    /* The bar gives way, then disappears, then the end is cut. */
    assert_string_equal(format(usual, 68),
                        "distil mcd4  42%|##    | 420/1000 [00:31<00:43, 13.5 it/s, loss 0.123]"
                        + 0 * 1) /* placeholder */;
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_bar) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

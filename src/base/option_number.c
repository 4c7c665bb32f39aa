/* Numbers and switches of options as text and back, with a decimal point whatever the locale of the
 * program around us. */
#define _GNU_SOURCE
#include "base/option_parts.h"

#include "base/alloc.h"

#include <errno.h>
#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static locale_t c_locale;

static void make_locale(void)
{
    c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

/* Switch this thread to the decimal point; give the result back to uselocale. */
static locale_t enter_locale(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_locale);
    return uselocale(c_locale); /* 0, when there was no memory for it, changes nothing */
}

/* The multiplier of a k, M or G at `end`, the end of a text; 0 when something else is there. */
static int64_t suffix(const char *end)
{
    if (!*end)
        return 1;
    if (end[1])
        return 0;
    switch (*end) {
    case 'k':
    case 'K':
        return 1000;
    case 'M':
        return 1000000;
    case 'G':
        return 1000000000;
    }
    return 0;
}

bool few_read_double(const char *text, double *out)
{
    char *end;
    const locale_t before = enter_locale();
    const double d = strtod(text, &end);
    uselocale(before);
    if (end == text || *end || !isfinite(d))
        return false;
    *out = d;
    return true;
}

/* An integer: 12, 5k, 2M, also 1.5M and 1e6 where that is a whole number. */
bool few_read_i64(const char *text, int64_t *out)
{
    char *end;
    errno = 0;
    const long long whole = strtoll(text, &end, 10);
    int64_t times = suffix(end);
    if (end != text && times)
        return !errno && !__builtin_mul_overflow((int64_t)whole, times, out);

    const locale_t before = enter_locale();
    const double d = strtod(text, &end);
    uselocale(before);
    times = suffix(end);
    const double product = d * (double)times;
    if (end == text || !times || !(fabs(product) <= 0x1p53) || product != floor(product))
        return false;
    *out = (int64_t)product;
    return true;
}

bool few_read_u64(const char *text, uint64_t *out)
{
    char *end;
    errno = 0;
    const unsigned long long u = strtoull(text, &end, 10);
    const int64_t times = suffix(end);
    if (strchr(text, '-') || end == text || !times || errno)
        return false;
    return !__builtin_mul_overflow((uint64_t)u, (uint64_t)times, out);
}

bool few_read_bool(const char *text, bool *out)
{
    static const char *const yes[] = { "true", "yes", "on", "1" }, *const no[] = { "false", "no",
                                                                                   "off", "0" };
    for (size_t i = 0; i < FEW_COUNT(yes); i++)
        if (!strcasecmp(text, yes[i]) || !strcasecmp(text, no[i])) {
            *out = !strcasecmp(text, yes[i]);
            return true;
        }
    return false;
}

/* The shortest form that reads back as the same number. */
void few_print_double(double d, few_strbuf *out)
{
    char text[40];
    const locale_t before = enter_locale();
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, d);
        if (strtod(text, NULL) == d)
            break;
    }
    uselocale(before);
    few_strbuf_add(out, text);
}

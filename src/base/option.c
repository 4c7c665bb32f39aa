/* Option tables: parse, check, copy and print settings that a table describes.
 *
 * Every value, from wherever it comes, passes through parse_scalar, so that a range is checked in
 * one place. Absent strings are NULL, written as an empty text; elements of lists are never empty,
 * and a comma inside one is written "\,". Numbers are read and written with a decimal point
 * whatever the locale of the program around us. */
#define _GNU_SOURCE
#include "base/option.h"

#include "base/alloc.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

typedef union scalar {
    bool b;
    int i;
    int64_t l;
    uint64_t u;
    double d;
    char *s;
} scalar;

/* few_ints, few_doubles and few_strings are all of this form. */
typedef struct list {
    void *v;
    int n;
} list;

static const struct kind {
    const char *name;
    few_option_type element; /* of a list; itself for others */
    size_t size;             /* of one element */
    bool owned;              /* the element is a string of ours */
} kinds[] = {
    [FEW_OPT_BOOL] = { "BOOL", FEW_OPT_BOOL, sizeof(bool), false },
    [FEW_OPT_INT] = { "INT", FEW_OPT_INT, sizeof(int), false },
    [FEW_OPT_I64] = { "INT", FEW_OPT_I64, sizeof(int64_t), false },
    [FEW_OPT_U64] = { "INT", FEW_OPT_U64, sizeof(uint64_t), false },
    [FEW_OPT_DOUBLE] = { "NUMBER", FEW_OPT_DOUBLE, sizeof(double), false },
    [FEW_OPT_STRING] = { "TEXT", FEW_OPT_STRING, sizeof(char *), true },
    [FEW_OPT_CHOICE] = { "CHOICE", FEW_OPT_CHOICE, sizeof(char *), true },
    [FEW_OPT_INTS] = { "INT,...", FEW_OPT_INT, sizeof(int), false },
    [FEW_OPT_DOUBLES] = { "NUMBER,...", FEW_OPT_DOUBLE, sizeof(double), false },
    [FEW_OPT_STRINGS] = { "TEXT,...", FEW_OPT_STRING, sizeof(char *), true },
};

static bool is_list(const few_option *o)
{
    return o->type >= FEW_OPT_INTS;
}

static void *field_of(const few_option *o, const void *target)
{
    return (char *)(uintptr_t)target + o->offset;
}

/* ---- text to values ---- */

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

static bool read_double(const char *text, double *out)
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
static bool read_i64(const char *text, int64_t *out)
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

static bool read_u64(const char *text, uint64_t *out)
{
    char *end;
    errno = 0;
    const unsigned long long u = strtoull(text, &end, 10);
    const int64_t times = suffix(end);
    if (strchr(text, '-') || end == text || !times || errno)
        return false;
    return !__builtin_mul_overflow((uint64_t)u, (uint64_t)times, out);
}

static bool read_bool(const char *text, bool *out)
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

static bool has_choice(const char *choices, const char *text)
{
    const size_t n = strlen(text);
    for (const char *c = choices; c; c = strchr(c, '|')) {
        c += *c == '|';
        if (strcspn(c, "|") == n && !strncmp(c, text, n))
            return true;
    }
    return false;
}

/* Start of every message: the place when there is one. */
static const char *place(const char *where)
{
    return where ? where : "";
}
static const char *colon(const char *where)
{
    return where ? ": " : "";
}

static few_status wrong(const few_option *o, const char *text, const char *wanted,
                        const char *where, few_error *err)
{
    return few_fail(err, FEW_ECONFIG, "%s%s'%s' is '%.100s', but must be %s", place(where),
                    colon(where), o->name, text, wanted);
}

static few_status no_memory(few_error *err)
{
    return few_fail(err, FEW_ENOMEM, "no memory left for options");
}

/* Refuse a choice that is not in the list; name one that is meant, or all. */
static few_status wrong_choice(const few_option *o, const char *text, const char *where,
                               few_error *err)
{
    char *all = few_strdup(o->choices), *save = NULL;
    if (!all)
        return no_memory(err);
    const char *names[64];
    int n = 0;
    for (char *c = strtok_r(all, "|", &save); c && n < 64; c = strtok_r(NULL, "|", &save))
        names[n++] = c;
    const char *near = few_nearest(text, names, n);
    const few_status st =
        near ? few_fail(err, FEW_ECONFIG, "%s%s'%s' is '%.100s', did you mean '%s'? (one of %s)",
                        place(where), colon(where), o->name, text, near, o->choices)
             : few_fail(err, FEW_ECONFIG, "%s%s'%s' is '%.100s', but must be one of %s",
                        place(where), colon(where), o->name, text, o->choices);
    few_free(all);
    return st;
}

static few_status check_range(const few_option *o, double value, const char *text,
                              const char *where, few_error *err)
{
    if (o->min == o->max || (value >= o->min && value <= o->max))
        return FEW_OK;
    char wanted[96];
    if (o->max == INFINITY)
        snprintf(wanted, sizeof wanted, "at least %.10g", o->min);
    else
        snprintf(wanted, sizeof wanted, "from %.10g to %.10g", o->min, o->max);
    return wrong(o, text, wanted, where, err);
}

/* `type` is the option's own, or the type of its elements. */
static few_status parse_scalar(const few_option *o, few_option_type type, const char *text,
                               scalar *out, const char *where, few_error *err)
{
    double value;
    int64_t l;
    switch (type) {
    case FEW_OPT_BOOL:
        return read_bool(text, &out->b) ? FEW_OK : wrong(o, text, "true or false", where, err);
    case FEW_OPT_INT:
    case FEW_OPT_I64:
        if (!read_i64(text, &l) || (type == FEW_OPT_INT && (l < INT_MIN || l > INT_MAX)))
            return wrong(o, text, type == FEW_OPT_INT ? "an integer" : "an integer, such as 2M",
                         where, err);
        if (type == FEW_OPT_INT)
            out->i = (int)l;
        else
            out->l = l;
        value = (double)l;
        break;
    case FEW_OPT_U64:
        if (!read_u64(text, &out->u))
            return wrong(o, text, "an integer from 0 to 2^64 - 1", where, err);
        value = (double)out->u;
        break;
    case FEW_OPT_DOUBLE:
        if (!read_double(text, &out->d))
            return wrong(o, text, "a finite number", where, err);
        value = out->d;
        break;
    default: /* STRING and CHOICE */
        out->s = NULL;
        if (!*text) {
            if (is_list(o))
                return wrong(o, text, "a list without empty elements", where, err);
            if (type == FEW_OPT_CHOICE && o->fallback)
                return wrong_choice(o, text, where, err);
            return FEW_OK; /* absent */
        }
        if (o->choices && !has_choice(o->choices, text))
            return wrong_choice(o, text, where, err);
        if (!few_is_utf8(text)) /* YAML and JSON could not hold it */
            return wrong(o, text, "valid UTF-8", where, err);
        out->s = few_strdup(text);
        return out->s ? FEW_OK : no_memory(err);
    }
    return check_range(o, value, text, where, err);
}

static void free_list(const few_option *o, list *l)
{
    if (kinds[o->type].owned)
        for (int i = 0; i < l->n; i++)
            few_free(((char **)l->v)[i]);
    few_free(l->v);
    *l = (list){ 0 };
}

static few_status parse_list(const few_option *o, char *const *items, int n, list *out,
                             const char *where, few_error *err)
{
    *out = (list){ 0 };
    if (n == 0)
        return FEW_OK;
    const struct kind *k = &kinds[o->type];
    out->v = few_calloc((size_t)n, k->size);
    if (!out->v)
        return no_memory(err);
    for (int i = 0; i < n; i++) {
        scalar s;
        const few_status st = parse_scalar(o, k->element, items[i], &s, where, err);
        if (st != FEW_OK) {
            free_list(o, out);
            return st;
        }
        memcpy((char *)out->v + (size_t)i * k->size, &s, k->size);
        out->n = i + 1;
    }
    return FEW_OK;
}

/* Free what a field owns and leave it empty. */
static void clear_field(const few_option *o, void *target)
{
    void *field = field_of(o, target);
    if (is_list(o)) {
        list l;
        memcpy(&l, field, sizeof l);
        free_list(o, &l);
        memcpy(field, &l, sizeof l);
    } else if (kinds[o->type].owned) {
        char *s;
        memcpy(&s, field, sizeof s);
        few_free(s);
        memset(field, 0, sizeof s);
    }
}

static few_status set_scalar(const few_option *o, void *target, const char *text, const char *where,
                             few_error *err)
{
    scalar s;
    FEW_TRY(parse_scalar(o, o->type, text, &s, where, err));
    clear_field(o, target);
    memcpy(field_of(o, target), &s, kinds[o->type].size);
    return FEW_OK;
}

static few_status set_items(const few_option *o, void *target, char *const *items, int n,
                            const char *where, few_error *err)
{
    list l;
    FEW_TRY(parse_list(o, items, n, &l, where, err));
    clear_field(o, target);
    memcpy(field_of(o, target), &l, sizeof l);
    return FEW_OK;
}

/* Cut a writable text at its commas: blanks around an element go, "\x" stands for x. Returns the
 * number of elements; items has room for one more than there are commas. */
static int split(char *text, char **items)
{
    int n = 0;
    for (char *in = text;; in++) {
        in += strspn(in, " \t");
        char *out = in, *end = in; /* end: behind the last character that is no blank */
        items[n++] = in;
        for (; *in && *in != ','; in++) {
            const bool escaped = *in == '\\' && in[1];
            in += escaped;
            *out++ = *in;
            if (escaped || (*in != ' ' && *in != '\t'))
                end = out;
        }
        const bool last = !*in;
        *end = 0;
        if (last)
            return n == 1 && !*items[0] ? 0 : n;
    }
}

static few_status set_text(const few_option *o, void *target, const char *text, const char *where,
                           few_error *err)
{
    if (!is_list(o))
        return set_scalar(o, target, text, where, err);
    size_t room = 1;
    for (const char *c = text; *c; c++)
        room += *c == ',';
    char *copy = few_strdup(text), **items = few_calloc(room, sizeof *items);
    few_status st = FEW_ENOMEM;
    if (copy && items && room < INT_MAX)
        st = set_items(o, target, items, split(copy, items), where, err);
    else
        no_memory(err);
    few_free(copy);
    few_free(items);
    return st;
}

/* ---- the table ---- */

const few_option *few_option_find(const few_option *table, const char *name)
{
    for (const few_option *o = table; o && o->name; o++)
        if (!strcmp(o->name, name))
            return o;
    return NULL;
}

static few_status unknown(const few_option *table, const char *name, const char *where,
                          few_error *err)
{
    int n = 0;
    while (table[n].name)
        n++;
    const char **names = few_calloc((size_t)n, sizeof *names);
    if (!names)
        return no_memory(err);
    few_strbuf known;
    few_strbuf_init(&known);
    for (int i = 0; i < n; i++) {
        names[i] = table[i].name;
        few_strbuf_addf(&known, "%s%s", i ? ", " : "", names[i]);
    }
    const char *near = few_nearest(name, names, n);
    const few_status st =
        near ? few_fail(err, FEW_ECONFIG, "%s%sunknown option '%.100s', did you mean '%s'?",
                        place(where), colon(where), name, near)
             : few_fail(err, FEW_ECONFIG, "%s%sunknown option '%.100s', known are: %s",
                        place(where), colon(where), name, n ? known.s : "none");
    few_strbuf_free(&known);
    few_free(names);
    return st;
}

few_status few_option_set(const few_option *table, void *target, const char *name, const char *text,
                          const char *where, few_error *err)
{
    const few_option *o = few_option_find(table, name);
    if (!o)
        return unknown(table, name, where, err);
    return set_text(o, target, text, where, err);
}

static few_status set_default(const few_option *o, void *target, few_error *err)
{
    if (o->fallback)
        return set_text(o, target, o->fallback, "default", err);
    clear_field(o, target);
    memset(field_of(o, target), 0, is_list(o) ? sizeof(list) : kinds[o->type].size);
    return FEW_OK;
}

few_status few_options_defaults(const few_option *table, void *target, few_error *err)
{
    for (const few_option *o = table; o && o->name; o++)
        FEW_TRY(set_default(o, target, err));
    return FEW_OK;
}

void few_options_clear(const few_option *table, void *target)
{
    for (const few_option *o = table; o && o->name; o++)
        clear_field(o, target);
}

few_status few_options_copy(const few_option *table, void *dst, const void *src, few_error *err)
{
    for (const few_option *o = table; o && o->name; o++) {
        const struct kind *k = &kinds[o->type];
        const void *from = field_of(o, src);
        void *to = field_of(o, dst);
        bool ok = true;
        clear_field(o, dst);
        if (is_list(o)) {
            list a, b = { 0 };
            memcpy(&a, from, sizeof a);
            if (a.n > 0) {
                b.v = few_calloc((size_t)a.n, k->size);
                ok = b.v != NULL;
            }
            if (ok && a.n > 0 && !k->owned)
                memcpy(b.v, a.v, (size_t)a.n * k->size);
            for (int i = 0; ok && i < a.n; i++) {
                if (k->owned)
                    ok = (((char **)b.v)[i] = few_strdup(((char *const *)a.v)[i])) != NULL;
                b.n = i + ok;
            }
            memcpy(to, &b, sizeof b);
        } else if (k->owned) {
            const char *s;
            memcpy(&s, from, sizeof s);
            char *copy = s ? few_strdup(s) : NULL;
            ok = copy || !s;
            memcpy(to, &copy, sizeof copy);
        } else {
            memcpy(to, from, k->size);
        }
        if (!ok) {
            few_options_clear(table, dst);
            return no_memory(err);
        }
    }
    return FEW_OK;
}

/* ---- values to text ---- */

/* The shortest form that reads back as the same number. */
static void print_double(double d, few_strbuf *out)
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

void few_option_escape(const char *s, few_strbuf *out)
{
    const size_t n = strlen(s);
    for (size_t i = 0; i < n; i++) {
        const bool edge = (i == 0 || i == n - 1) && (s[i] == ' ' || s[i] == '\t');
        if (edge || s[i] == ',' || s[i] == '\\')
            few_strbuf_add(out, "\\");
        few_strbuf_add_n(out, s + i, 1);
    }
}

static void print_scalar(few_option_type type, const void *at, bool escape, few_strbuf *out)
{
    scalar s;
    memcpy(&s, at, kinds[type].size);
    switch (type) {
    case FEW_OPT_BOOL:
        few_strbuf_add(out, s.b ? "true" : "false");
        break;
    case FEW_OPT_INT:
        few_strbuf_addf(out, "%d", s.i);
        break;
    case FEW_OPT_I64:
        few_strbuf_addf(out, "%" PRId64, s.l);
        break;
    case FEW_OPT_U64:
        few_strbuf_addf(out, "%" PRIu64, s.u);
        break;
    case FEW_OPT_DOUBLE:
        print_double(s.d, out);
        break;
    default:
        if (s.s && escape)
            few_option_escape(s.s, out);
        else if (s.s)
            few_strbuf_add(out, s.s);
    }
}

void few_option_print(const few_option *o, const void *target, few_strbuf *out)
{
    const struct kind *k = &kinds[o->type];
    const void *field = field_of(o, target);
    if (!is_list(o)) {
        print_scalar(o->type, field, false, out);
        return;
    }
    list l;
    memcpy(&l, field, sizeof l);
    for (int i = 0; i < l.n; i++) {
        few_strbuf_add(out, i ? "," : "");
        print_scalar(k->element, (const char *)l.v + (size_t)i * k->size, true, out);
    }
}

bool few_next_setting(const few_strings *set, int *at, few_strbuf *out)
{
    few_strbuf_reset(out);
    if (*at >= set->n)
        return false;
    few_strbuf_add(out, set->v[(*at)++]);
    for (; *at < set->n && !strchr(set->v[*at], '='); (*at)++)
        few_strbuf_addf(out, ",%s", set->v[*at]);
    return true;
}

static bool is_off(const few_option *o)
{
    bool on = false;
    return o->type == FEW_OPT_BOOL && !(o->fallback && read_bool(o->fallback, &on) && on);
}

/* "--a-name TYPE", or its choices when they are few enough to stand there; "--a-name" of what is
 * off, "--a-name=false" of what is on. */
static void print_usage(const few_option *o, few_strbuf *out)
{
    const bool choice = o->type == FEW_OPT_CHOICE && o->choices && strlen(o->choices) <= 24;
    few_strbuf_add(out, "--");
    for (const char *s = o->name; *s; s++)
        few_strbuf_add_n(out, *s == '_' ? "-" : s, 1);
    if (o->type == FEW_OPT_BOOL)
        few_strbuf_add(out, is_off(o) ? "" : "=false");
    else
        few_strbuf_addf(out, " %s", choice ? o->choices : kinds[o->type].name);
}

void few_options_help(const few_option *table, few_strbuf *out)
{
    few_strbuf usage;
    few_strbuf_init(&usage);
    int width = 0;
    for (const few_option *o = table; o && o->name; o++) {
        few_strbuf_reset(&usage);
        print_usage(o, &usage);
        if (usage.n <= 32 && (int)usage.n > width)
            width = (int)usage.n;
    }
    for (const few_option *o = table; o && o->name; o++) {
        few_strbuf_reset(&usage);
        print_usage(o, &usage);
        if (usage.n > (size_t)width) /* too long for the column: its help goes on the next line */
            few_strbuf_addf(&usage, "\n  %*s", width, "");
        few_strbuf_addf(out, "  %-*s  %s", width, usage.s, o->help ? o->help : "");

        const char *separator = " (";
        if (o->choices && !strstr(usage.s, o->choices)) {
            few_strbuf_addf(out, "%sone of %s", separator, o->choices);
            separator = ", ";
        }
        if (o->fallback && *o->fallback && !is_off(o)) {
            few_strbuf_addf(out, "%sdefault %s", separator, o->fallback);
            separator = ", ";
        }
        if (o->min != o->max && o->max == INFINITY) {
            few_strbuf_addf(out, "%sat least %.10g", separator, o->min);
            separator = ", ";
        } else if (o->min != o->max) {
            few_strbuf_addf(out, "%s%.10g to %.10g", separator, o->min, o->max);
            separator = ", ";
        }
        few_strbuf_add(out, *separator == ',' ? ")\n" : "\n");
    }
    if (usage.failed)
        out->failed = true;
    few_strbuf_free(&usage);
}

/* One option from text.
 *
 * Every value, from wherever it comes, passes through parse_scalar, so that a range is checked in
 * one place. Absent strings are NULL, written as an empty text; elements of lists are never empty,
 * and a comma inside one is written "\,". */
#include "base/option_parts.h"

#include "base/alloc.h"

#include <limits.h>
#include <math.h>
#include <string.h>

const few_option_kind few_option_kinds[] = {
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

static few_status wrong(const few_option *o, const char *text, const char *wanted,
                        const char *where, few_error *err)
{
    return few_fail(err, FEW_ECONFIG, "%s%s'%s' is '%.100s', but must be %s", few_place(where),
                    few_colon(where), o->name, text, wanted);
}

few_status few_option_no_memory(few_error *err)
{
    return few_fail(err, FEW_ENOMEM, "no memory left for options");
}

/* Refuse a choice that is not in the list; name one that is meant, or all. */
static few_status wrong_choice(const few_option *o, const char *text, const char *where,
                               few_error *err)
{
    char *all = few_strdup(o->choices), *save = NULL;
    if (!all)
        return few_option_no_memory(err);
    const char *names[64];
    int n = 0;
    for (char *c = strtok_r(all, "|", &save); c && n < 64; c = strtok_r(NULL, "|", &save))
        names[n++] = c;
    const char *near = few_nearest(text, names, n);
    const few_status st =
        near ? few_fail(err, FEW_ECONFIG, "%s%s'%s' is '%.100s', did you mean '%s'? (one of %s)",
                        few_place(where), few_colon(where), o->name, text, near, o->choices)
             : few_fail(err, FEW_ECONFIG, "%s%s'%s' is '%.100s', but must be one of %s",
                        few_place(where), few_colon(where), o->name, text, o->choices);
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
                               few_scalar *out, const char *where, few_error *err)
{
    double value;
    int64_t l;
    switch (type) {
    case FEW_OPT_BOOL:
        return few_read_bool(text, &out->b) ? FEW_OK : wrong(o, text, "true or false", where, err);
    case FEW_OPT_INT:
    case FEW_OPT_I64:
        if (!few_read_i64(text, &l) || (type == FEW_OPT_INT && (l < INT_MIN || l > INT_MAX)))
            return wrong(o, text, type == FEW_OPT_INT ? "an integer" : "an integer, such as 2M",
                         where, err);
        if (type == FEW_OPT_INT)
            out->i = (int)l;
        else
            out->l = l;
        value = (double)l;
        break;
    case FEW_OPT_U64:
        if (!few_read_u64(text, &out->u))
            return wrong(o, text, "an integer from 0 to 2^64 - 1", where, err);
        value = (double)out->u;
        break;
    case FEW_OPT_DOUBLE:
        if (!few_read_double(text, &out->d))
            return wrong(o, text, "a finite number", where, err);
        value = out->d;
        break;
    default: /* STRING and CHOICE */
        out->s = NULL;
        if (!*text) {
            if (few_option_is_list(o))
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
        return out->s ? FEW_OK : few_option_no_memory(err);
    }
    return check_range(o, value, text, where, err);
}

static void free_list(const few_option *o, few_list *l)
{
    if (few_option_kinds[o->type].owned)
        for (int i = 0; i < l->n; i++)
            few_free(((char **)l->v)[i]);
    few_free(l->v);
    *l = (few_list){ 0 };
}

static few_status parse_list(const few_option *o, char *const *items, int n, few_list *out,
                             const char *where, few_error *err)
{
    *out = (few_list){ 0 };
    if (n == 0)
        return FEW_OK;
    const few_option_kind *k = &few_option_kinds[o->type];
    out->v = few_calloc((size_t)n, k->size);
    if (!out->v)
        return few_option_no_memory(err);
    for (int i = 0; i < n; i++) {
        few_scalar s;
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
void few_option_clear(const few_option *o, void *target)
{
    void *field = few_option_field(o, target);
    if (few_option_is_list(o)) {
        few_list l;
        memcpy(&l, field, sizeof l);
        free_list(o, &l);
        memcpy(field, &l, sizeof l);
    } else if (few_option_kinds[o->type].owned) {
        char *s;
        memcpy(&s, field, sizeof s);
        few_free(s);
        memset(field, 0, sizeof s);
    }
}

static few_status set_scalar(const few_option *o, void *target, const char *text, const char *where,
                             few_error *err)
{
    few_scalar s;
    FEW_TRY(parse_scalar(o, o->type, text, &s, where, err));
    few_option_clear(o, target);
    memcpy(few_option_field(o, target), &s, few_option_kinds[o->type].size);
    return FEW_OK;
}

static few_status set_items(const few_option *o, void *target, char *const *items, int n,
                            const char *where, few_error *err)
{
    few_list l;
    FEW_TRY(parse_list(o, items, n, &l, where, err));
    few_option_clear(o, target);
    memcpy(few_option_field(o, target), &l, sizeof l);
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

few_status few_option_read(const few_option *o, void *target, const char *text, const char *where,
                           few_error *err)
{
    if (!few_option_is_list(o))
        return set_scalar(o, target, text, where, err);
    size_t room = 1;
    for (const char *c = text; *c; c++)
        room += *c == ',';
    char *copy = few_strdup(text), **items = few_calloc(room, sizeof *items);
    few_status st = FEW_ENOMEM;
    if (copy && items && room < INT_MAX)
        st = set_items(o, target, items, split(copy, items), where, err);
    else
        few_option_no_memory(err);
    few_free(copy);
    few_free(items);
    return st;
}

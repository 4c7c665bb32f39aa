/* Options as text: their values, and the help of a table. */
#include "base/option_parts.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

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
    few_scalar s;
    memcpy(&s, at, few_option_kinds[type].size);
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
        few_print_double(s.d, out);
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
    const few_option_kind *k = &few_option_kinds[o->type];
    const void *field = few_option_field(o, target);
    if (!few_option_is_list(o)) {
        print_scalar(o->type, field, false, out);
        return;
    }
    few_list l;
    memcpy(&l, field, sizeof l);
    for (int i = 0; i < l.n; i++) {
        few_strbuf_add(out, i ? "," : "");
        print_scalar(k->element, (const char *)l.v + (size_t)i * k->size, true, out);
    }
}

static bool is_off(const few_option *o)
{
    bool on = false;
    return o->type == FEW_OPT_BOOL && !(o->fallback && few_read_bool(o->fallback, &on) && on);
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
        few_strbuf_addf(out, " %s", choice ? o->choices : few_option_kinds[o->type].name);
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

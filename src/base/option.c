/* Option tables: what is done to all options of a table, and settings by name. */
#include "base/option_parts.h"

#include "base/alloc.h"

#include <string.h>

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
        return few_option_no_memory(err);
    few_strbuf known;
    few_strbuf_init(&known);
    for (int i = 0; i < n; i++) {
        names[i] = table[i].name;
        few_strbuf_addf(&known, "%s%s", i ? ", " : "", names[i]);
    }
    const char *near = few_nearest(name, names, n);
    const few_status st =
        near ? few_fail(err, FEW_ECONFIG, "%s%sunknown option '%.100s', did you mean '%s'?",
                        few_place(where), few_colon(where), name, near)
             : few_fail(err, FEW_ECONFIG, "%s%sunknown option '%.100s', known are: %s",
                        few_place(where), few_colon(where), name, n ? known.s : "none");
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
    return few_option_read(o, target, text, where, err);
}

static few_status set_default(const few_option *o, void *target, few_error *err)
{
    if (o->fallback)
        return few_option_read(o, target, o->fallback, "default", err);
    few_option_clear(o, target);
    memset(few_option_field(o, target), 0,
           few_option_is_list(o) ? sizeof(few_list) : few_option_kinds[o->type].size);
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
        few_option_clear(o, target);
}

few_status few_options_copy(const few_option *table, void *dst, const void *src, few_error *err)
{
    for (const few_option *o = table; o && o->name; o++) {
        const few_option_kind *k = &few_option_kinds[o->type];
        const void *from = few_option_field(o, src);
        void *to = few_option_field(o, dst);
        bool ok = true;
        few_option_clear(o, dst);
        if (few_option_is_list(o)) {
            few_list a, b = { 0 };
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
            return few_option_no_memory(err);
        }
    }
    return FEW_OK;
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

/* Option tables as JSON objects.
 *
 * A JSON value becomes the text that few_option_set reads, so that types and ranges are checked in
 * one place. A text option refuses a number, but a number may stand in a string: integers past 2^63
 * have to. */
#include "base/option_parts.h"

#include <inttypes.h>
#include <string.h>

static bool is_text(few_option_type type)
{
    return type == FEW_OPT_STRING || type == FEW_OPT_CHOICE || type == FEW_OPT_STRINGS;
}

/* Add a scalar as text; false when a value of this kind cannot be meant. */
static bool add_text(const json_t *v, const few_option *o, few_strbuf *out)
{
    const bool list = few_option_is_list(o);
    if (json_is_string(v)) {
        const char *s = json_string_value(v);
        if (strlen(s) != json_string_length(v) || (list && !*s))
            return false;
        if (list)
            few_option_escape(s, out);
        else
            few_strbuf_add(out, s);
    } else if (json_is_boolean(v) && o->type == FEW_OPT_BOOL) {
        few_strbuf_add(out, json_is_true(v) ? "true" : "false");
    } else if (json_is_number(v) && !is_text(o->type) && o->type != FEW_OPT_BOOL) {
        /* jansson prints a decimal point in every locale */
        char number[64];
        const size_t n = json_dumpb(v, number, sizeof number, JSON_ENCODE_ANY);
        if (n > sizeof number)
            return false;
        few_strbuf_add_n(out, number, n);
    } else {
        return false;
    }
    return true;
}

static few_status refuse(const few_option *o, const json_t *v, const char *where, few_error *err)
{
    static const char *const found[] = {
        [JSON_OBJECT] = "an object", [JSON_ARRAY] = "a list",  [JSON_STRING] = "a string",
        [JSON_INTEGER] = "a number", [JSON_REAL] = "a number", [JSON_TRUE] = "true",
        [JSON_FALSE] = "false",      [JSON_NULL] = "null",
    };
    const char *wanted = o->type == FEW_OPT_BOOL ? "true or false"
                         : is_text(o->type)      ? "text"
                                                 : "a number";
    return few_fail(err, FEW_ECONFIG, "%s%s'%s' cannot hold %s, it wants %s%s", few_place(where),
                    few_colon(where), o->name, found[json_typeof(v)],
                    few_option_is_list(o) ? "a list of " : "",
                    !few_option_is_list(o) ? wanted
                    : is_text(o->type)     ? "texts"
                                           : "numbers");
}

/* The value as text; on failure the message is recorded. */
static few_status to_text(const few_option *o, const json_t *v, few_strbuf *text, const char *where,
                          few_error *err)
{
    if (few_option_is_list(o) && json_is_array(v)) {
        for (size_t i = 0; i < json_array_size(v); i++) {
            few_strbuf_add(text, i ? "," : "");
            if (!add_text(json_array_get(v, i), o, text))
                return refuse(o, json_array_get(v, i), where, err);
        }
    } else if (few_option_is_list(o) || !add_text(v, o, text)) {
        return refuse(o, v, where, err);
    }
    return text->failed ? few_fail(err, FEW_ENOMEM, "no memory left for options") : FEW_OK;
}

few_status few_options_from_json(const few_option *table, void *target, const json_t *object,
                                 const char *where, few_error *err)
{
    if (!json_is_object(object))
        return few_fail(err, FEW_ECONFIG, "%s%swanted an object of options", few_place(where),
                        few_colon(where));
    few_strbuf text;
    few_strbuf_init(&text);
    few_status st = FEW_OK;
    const char *name;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)object, name, v)
    {
        const few_option *o = few_option_find(table, name);
        few_strbuf_reset(&text);
        if (o && json_is_null(v)) { /* unsets a text; else as if the key were not there */
            if (o->type != FEW_OPT_STRING && (o->type != FEW_OPT_CHOICE || o->fallback))
                continue;
        } else if (o) {
            FEW_GOTO(to_text(o, v, &text, where, err));
        }
        FEW_GOTO(few_option_set(table, target, name, text.s, where, err)); /* refuses unknown */
    }
cleanup:
    few_strbuf_free(&text);
    return st;
}

static json_t *from_u64(uint64_t u)
{
    if (u <= INT64_MAX)
        return json_integer((json_int_t)u);
    char text[24]; /* jansson and most readers stop at 2^63 - 1 */
    snprintf(text, sizeof text, "%" PRIu64, u);
    return json_string(text);
}

static json_t *from_text(const char *s)
{
    return s ? json_string(s) : json_null();
}

/* NULL when out of memory. */
static json_t *field_to_json(const few_option *o, const void *field)
{
    int n = 0;
    switch (o->type) {
    case FEW_OPT_BOOL:
        return json_boolean(*(const bool *)field);
    case FEW_OPT_INT:
        return json_integer(*(const int *)field);
    case FEW_OPT_I64:
        return json_integer(*(const int64_t *)field);
    case FEW_OPT_U64:
        return from_u64(*(const uint64_t *)field);
    case FEW_OPT_DOUBLE:
        return json_real(*(const double *)field);
    case FEW_OPT_STRING:
    case FEW_OPT_CHOICE:
        return from_text(*(char *const *)field);
    case FEW_OPT_INTS:
        n = ((const few_ints *)field)->n;
        break;
    case FEW_OPT_DOUBLES:
        n = ((const few_doubles *)field)->n;
        break;
    case FEW_OPT_STRINGS:
        n = ((const few_strings *)field)->n;
        break;
    }
    json_t *array = json_array();
    for (int i = 0; array && i < n; i++) {
        json_t *v = o->type == FEW_OPT_INTS      ? json_integer(((const few_ints *)field)->v[i])
                    : o->type == FEW_OPT_DOUBLES ? json_real(((const few_doubles *)field)->v[i])
                                                 : from_text(((const few_strings *)field)->v[i]);
        if (json_array_append_new(array, v) != 0) {
            json_decref(array);
            array = NULL;
        }
    }
    return array;
}

json_t *few_options_to_json(const few_option *table, const void *target)
{
    json_t *object = json_object();
    for (const few_option *o = table; object && o->name; o++)
        if (json_object_set_new(object, o->name,
                                field_to_json(o, (const char *)target + o->offset)) != 0) {
            json_decref(object);
            object = NULL;
        }
    return object;
}

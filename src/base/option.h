/* Option tables: one row gives the name, type, place, default, range and help of a setting. Parse,
 * check, print and document follow from it; nothing else knows an option's name.
 *
 *     struct my { double lr; int batch; char *sampler; };
 *     static const few_option my_options[] = {
 *         { "lr", FEW_OPT_DOUBLE, offsetof(struct my, lr), "1e-4", 0, 1, "learning rate" },
 *         { .name = NULL },
 *     };
 *
 * Memory: FEW_OPT_STRING fields are char * owned by the struct (few_strdup); FEW_OPT_INTS and
 * FEW_OPT_STRINGS fields are few_ints / few_strings. Clear with few_options_clear. Structs start
 * zeroed. */
#ifndef FEW_BASE_OPTION_H
#define FEW_BASE_OPTION_H

#include "base/strbuf.h"

#include <jansson.h>

typedef enum few_option_type {
    FEW_OPT_BOOL,    /* bool: true, false, yes, no, on, off, 1, 0 */
    FEW_OPT_INT,     /* int */
    FEW_OPT_I64,     /* int64_t; accepts 5k, 2M (powers of ten) */
    FEW_OPT_U64,     /* uint64_t, for seeds */
    FEW_OPT_DOUBLE,  /* double, finite; the range is inclusive; min == max means no range */
    FEW_OPT_STRING,  /* char *; default NULL means absent */
    FEW_OPT_CHOICE,  /* char *; `choices` lists "a|b|c" */
    FEW_OPT_INTS,    /* few_ints: 1,2,2 or a YAML list */
    FEW_OPT_DOUBLES, /* few_doubles */
    FEW_OPT_STRINGS  /* few_strings */
} few_option_type;

typedef struct few_ints {
    int *v;
    int n;
} few_ints;
typedef struct few_doubles {
    double *v;
    int n;
} few_doubles;
typedef struct few_strings {
    char **v;
    int n;
} few_strings;

typedef struct few_option {
    const char *name;
    few_option_type type;
    size_t offset;
    const char *fallback; /* default as text; NULL: zero or absent */
    double min, max;      /* for numbers and every element of lists; equal: no range */
    const char *help;
    const char *choices; /* for CHOICE (and the elements of STRINGS when given): "a|b|c" */
} few_option;

/* Fill every field with its default. Fails only when out of memory or by a wrong table. */
few_status few_options_defaults(const few_option *table, void *target, few_error *err);
void few_options_clear(const few_option *table, void *target);
/* dst must be zeroed or cleared. */
few_status few_options_copy(const few_option *table, void *dst, const void *src, few_error *err);

/* Set one option from text. `where` names the place for the message ("a.yaml:12" or "--lr").
 * Unknown names are refused with the nearest known one. On failure the field is unchanged. */
few_status few_option_set(const few_option *table, void *target, const char *name, const char *text,
                          const char *where, few_error *err);
const few_option *few_option_find(const few_option *table, const char *name);

/* Set from a JSON object (numbers, strings, booleans, lists, null = absent); the reverse; and the
 * value as text, as few_option_set would read it (lists with commas). */
few_status few_options_from_json(const few_option *table, void *target, const json_t *object,
                                 const char *where, few_error *err);
json_t *few_options_to_json(const few_option *table, const void *target); /* NULL: out of memory */
void few_option_print(const few_option *o, const void *target, few_strbuf *out);
/* One element of a list as the text form wants it: "\," for a comma inside. */
void few_option_escape(const char *element, few_strbuf *out);

/* The next "key=value" of a list that was cut at commas, *at = 0 first: what has no '=' belongs to
 * the value before it, as in times=1,0.5. False after the last. */
bool few_next_setting(const few_strings *set, int *at, few_strbuf *out);

/* The table as help text: "  --name TYPE   help (default X, range)", "  --name   help" of a switch.
 */
void few_options_help(const few_option *table, few_strbuf *out);

#endif

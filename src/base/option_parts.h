/* What the files of option.h share: how a field is kept, and its values as text. */
#ifndef FEW_BASE_OPTION_PARTS_H
#define FEW_BASE_OPTION_PARTS_H

#include "base/option.h"

typedef union few_scalar {
    bool b;
    int i;
    int64_t l;
    uint64_t u;
    double d;
    char *s;
} few_scalar;

/* few_ints, few_doubles and few_strings are all of this form. */
typedef struct few_list {
    void *v;
    int n;
} few_list;

typedef struct few_option_kind {
    const char *name;
    few_option_type element; /* of a list; itself for others */
    size_t size;             /* of one element */
    bool owned;              /* the element is a string of ours */
} few_option_kind;

extern const few_option_kind few_option_kinds[]; /* by few_option_type */

static inline bool few_option_is_list(const few_option *o)
{
    return o->type >= FEW_OPT_INTS;
}

static inline void *few_option_field(const few_option *o, const void *target)
{
    return (char *)(uintptr_t)target + o->offset;
}

/* The start of a message, "%s%s": the place, when there is one, and a colon. */
static inline const char *few_place(const char *where)
{
    return where ? where : "";
}

static inline const char *few_colon(const char *where)
{
    return where ? ": " : "";
}

/* Numbers as text, with a decimal point whatever the locale. False when the text is no such number
 * as a whole. Integers take 12, 5k, 2M, also 1.5M and 1e6 where that is a whole number. */
bool few_read_double(const char *text, double *out);
bool few_read_i64(const char *text, int64_t *out);
bool few_read_u64(const char *text, uint64_t *out);
bool few_read_bool(const char *text, bool *out);
/* The shortest form that reads back as the same number. */
void few_print_double(double d, few_strbuf *out);

/* One option from text; on failure its field is unchanged. */
few_status few_option_read(const few_option *o, void *target, const char *text, const char *where,
                           few_error *err);
/* Free what a field owns and leave it empty. */
void few_option_clear(const few_option *o, void *target);
few_status few_option_no_memory(few_error *err);

#endif

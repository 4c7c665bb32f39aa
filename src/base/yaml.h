/* Configuration files: the part of YAML that a person writes by hand. Maps, lists and scalars in
 * UTF-8; at most 1 MiB, 32 levels deep, 1024 keys in a map. Anchors, aliases, tags, several
 * documents, duplicate keys and keys that are not plain text are refused with a message. */
#ifndef FEW_BASE_YAML_H
#define FEW_BASE_YAML_H

#include "base/option.h"

typedef enum few_yaml_kind { FEW_YAML_SCALAR, FEW_YAML_LIST, FEW_YAML_MAP } few_yaml_kind;

/* A node owns its children. Read only for all but yaml.c. */
typedef struct few_yaml_node few_yaml_node;
struct few_yaml_node {
    few_yaml_kind kind;
    int line, column;     /* from 1; of the key when the node is a value in a map */
    bool quoted;          /* a scalar in quotes or a block: never null */
    char *key;            /* its name in a map, else NULL */
    char *text;           /* of a scalar, else NULL */
    few_yaml_node *child; /* first of a list or map, in the order of the file */
    few_yaml_node *next;  /* behind it in the same list or map */
};

/* Read a file, or n bytes that `file` only names in messages. *root is a map, empty for an empty
 * file; free it with few_yaml_free. Fails: FEW_EFORMAT (with line and column), FEW_EIO,
 * FEW_ENOTFOUND, FEW_ENOMEM. */
few_status few_yaml_load(const char *file, few_yaml_node **root, few_error *err);
few_status few_yaml_parse(const void *data, size_t n, const char *file, few_yaml_node **root,
                          few_error *err);
void few_yaml_free(few_yaml_node *root); /* NULL is fine */

/* The value of a key, or NULL; map may be NULL. Iterate with ->child and ->next. */
const few_yaml_node *few_yaml_find(const few_yaml_node *map, const char *key);

/* The map under a key: NULL when the key is absent or its value null or empty, refused
 * (FEW_ECONFIG) when it is a scalar or list. */
few_status few_yaml_find_map(const few_yaml_node *map, const char *key, const char *file,
                             const few_yaml_node **out, few_error *err);

/* True for an empty plain scalar, "~" and "null". */
bool few_yaml_is_null(const few_yaml_node *node);

/* Refuse every key of a map (may be NULL) that is not among n names, with file, line and the
 * nearest one. */
few_status few_yaml_check_keys(const few_yaml_node *map, const char *const *names, int n,
                               const char *file, few_error *err);

/* Set options from a map (may be NULL), or one option from one value of a map. Unknown keys and
 * values of the wrong type are refused (FEW_ECONFIG) with file, line and the nearest known name.
 * null unsets a text and empties a list; elsewhere it is refused. */
few_status few_yaml_apply(const few_option *table, void *target, const few_yaml_node *map,
                          const char *file, few_error *err);
few_status few_yaml_apply_one(const few_option *table, void *target, const few_yaml_node *value,
                              const char *file, few_error *err);

/* Add "name:" and its options, indented, as YAML that reads back to the same values; with name NULL
 * the options alone, at the left margin. */
void few_yaml_write_section(few_strbuf *out, const char *name, const few_option *table,
                            const void *target);

/* Add a text as a YAML scalar, quoted where it has to be. NULL becomes null. */
void few_yaml_write_text(few_strbuf *out, const char *text);

#endif

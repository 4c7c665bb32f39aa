/* YAML through libyaml's events into a small tree, into options, and back.
 *
 * libyaml checks the syntax; what is refused here is what would surprise in a configuration: a key
 * given twice (the first would be lost silently), aliases (a small file can stand for a huge one)
 * and tags. libyaml resolves nothing, so every scalar is text and "no" is only what a table says.
 */
#include "base/yaml.h"

#include "base/alloc.h"
#include "base/file.h"

#include <limits.h>
#include <string.h>
#include <yaml.h>

enum { MAX_BYTES = 1 << 20, MAX_DEPTH = 32, MAX_KEYS = 1024 };

typedef struct reader {
    yaml_parser_t parser;
    yaml_event_t event; /* the current one; ours to delete while has_event */
    bool has_event;
    const char *file;
    few_error *err;
} reader;

static few_status no_memory(const reader *r)
{
    return few_fail(r->err, FEW_ENOMEM, "no memory left to read '%s'", r->file);
}

/* Fail at the start of the current event. */
static few_status refuse(const reader *r, const char *what)
{
    const yaml_mark_t m = r->event.start_mark;
    return few_fail(r->err, FEW_EFORMAT, "%s:%zu:%zu: %s", r->file, m.line + 1, m.column + 1, what);
}

static few_status syntax_error(const reader *r)
{
    const yaml_parser_t *p = &r->parser;
    const char *problem = p->problem ? p->problem : "unknown problem";
    if (p->error == YAML_MEMORY_ERROR)
        return no_memory(r);
    if (p->error == YAML_READER_ERROR) /* bytes that are no text: there is no line yet */
        return few_fail(r->err, FEW_EFORMAT, "%s: byte %zu cannot be read as YAML: %s", r->file,
                        p->problem_offset + 1, problem);
    return few_fail(r->err, FEW_EFORMAT, "%s:%zu:%zu: %s%s%s", r->file, p->problem_mark.line + 1,
                    p->problem_mark.column + 1, problem, p->context ? " " : "",
                    p->context ? p->context : "");
}

/* Go on to the next event and refuse those that have no place here. */
static few_status advance(reader *r)
{
    if (r->has_event)
        yaml_event_delete(&r->event);
    r->has_event = false;
    if (!yaml_parser_parse(&r->parser, &r->event))
        return syntax_error(r);
    r->has_event = true;

    const yaml_event_t *e = &r->event;
    const yaml_char_t *anchor = NULL, *tag = NULL;
    switch (e->type) {
    case YAML_ALIAS_EVENT:
        return refuse(r, "an alias ('*name') is not allowed, repeat the value");
    case YAML_SCALAR_EVENT:
        anchor = e->data.scalar.anchor;
        tag = e->data.scalar.tag;
        break;
    case YAML_SEQUENCE_START_EVENT:
        anchor = e->data.sequence_start.anchor;
        tag = e->data.sequence_start.tag;
        break;
    case YAML_MAPPING_START_EVENT:
        anchor = e->data.mapping_start.anchor;
        tag = e->data.mapping_start.tag;
        break;
    default:
        break;
    }
    if (anchor)
        return refuse(r, "an anchor ('&name') is not allowed, repeat the value");
    if (tag)
        return refuse(r, "a tag ('!name') is not allowed");
    return FEW_OK;
}

/* The text of the current scalar, as a new string. */
static few_status take_text(const reader *r, char **out)
{
    const char *s = (const char *)r->event.data.scalar.value;
    if (strlen(s) != r->event.data.scalar.length)
        return refuse(r, "a zero byte in a text is not allowed");
    *out = few_strdup(s);
    return *out ? FEW_OK : no_memory(r);
}

static few_status read_node(reader *r, int depth, few_yaml_node *node);

/* Append a node for the current event behind *last, the last child so far, which it becomes. */
static few_status add_child(const reader *r, few_yaml_node *node, few_yaml_node **last)
{
    few_yaml_node *child = few_calloc(1, sizeof *child);
    if (!child)
        return no_memory(r);
    child->line = (int)r->event.start_mark.line + 1;
    child->column = (int)r->event.start_mark.column + 1;
    *(*last ? &(*last)->next : &node->child) = child;
    *last = child;
    return FEW_OK;
}

static few_status read_list(reader *r, int depth, few_yaml_node *node)
{
    few_yaml_node *last = NULL;
    for (;;) {
        FEW_TRY(advance(r));
        if (r->event.type == YAML_SEQUENCE_END_EVENT)
            return FEW_OK;
        FEW_TRY(add_child(r, node, &last));
        FEW_TRY(read_node(r, depth + 1, last));
    }
}

static few_status read_map(reader *r, int depth, few_yaml_node *node)
{
    few_yaml_node *last = NULL;
    for (int n = 0;; n++) {
        FEW_TRY(advance(r));
        if (r->event.type == YAML_MAPPING_END_EVENT)
            return FEW_OK;
        if (r->event.type != YAML_SCALAR_EVENT || !r->event.data.scalar.length)
            return refuse(r, "a key must be a text");
        if (n == MAX_KEYS)
            return refuse(r, "more than 1024 keys in one map");
        char *key;
        FEW_TRY(take_text(r, &key));
        const few_yaml_node *same = few_yaml_find(node, key);
        const few_status st = same ? FEW_EFORMAT : add_child(r, node, &last);
        if (st != FEW_OK) {
            if (same)
                few_fail(r->err, FEW_EFORMAT, "%s:%zu: '%.100s' is given twice, first in line %d",
                         r->file, r->event.start_mark.line + 1, key, same->line);
            few_free(key);
            return st;
        }
        last->key = key;
        FEW_TRY(advance(r));
        FEW_TRY(read_node(r, depth + 1, last));
    }
}

/* Fill a node from the current event and, for a list or map, from those up to its end. */
static few_status read_node(reader *r, int depth, few_yaml_node *node)
{
    if (depth > MAX_DEPTH)
        return refuse(r, "nested more than 32 levels deep");
    switch (r->event.type) {
    case YAML_SCALAR_EVENT:
        node->kind = FEW_YAML_SCALAR;
        node->quoted = r->event.data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
        return take_text(r, &node->text);
    case YAML_SEQUENCE_START_EVENT:
        node->kind = FEW_YAML_LIST;
        return read_list(r, depth, node);
    case YAML_MAPPING_START_EVENT:
        node->kind = FEW_YAML_MAP;
        return read_map(r, depth, node);
    default:
        return refuse(r, "a value is missing");
    }
}

static few_status read_stream(reader *r, few_yaml_node *root)
{
    FEW_TRY(advance(r)); /* start of the stream */
    FEW_TRY(advance(r));
    if (r->event.type == YAML_STREAM_END_EVENT)
        return FEW_OK;
    FEW_TRY(advance(r)); /* behind the start of the document */
    if (r->event.type == YAML_SCALAR_EVENT && !r->event.data.scalar.length) {
        FEW_TRY(advance(r)); /* "---" alone */
    } else {
        if (r->event.type != YAML_MAPPING_START_EVENT)
            return refuse(r, "a configuration must be a map of 'key: value' lines");
        FEW_TRY(read_node(r, 1, root));
        FEW_TRY(advance(r)); /* end of the document */
    }
    FEW_TRY(advance(r));
    if (r->event.type != YAML_STREAM_END_EVENT)
        return refuse(r, "a second document is not allowed");
    return FEW_OK;
}

few_status few_yaml_parse(const void *data, size_t n, const char *file, few_yaml_node **out,
                          few_error *err)
{
    *out = NULL;
    if (n > MAX_BYTES)
        return few_fail(err, FEW_EFORMAT, "'%s' has %zu bytes, a configuration at most %d", file, n,
                        MAX_BYTES);
    reader r = { .file = file, .err = err };
    few_yaml_node *root = few_calloc(1, sizeof *root);
    if (!root)
        return no_memory(&r);
    root->kind = FEW_YAML_MAP;
    root->line = root->column = 1;
    if (!yaml_parser_initialize(&r.parser)) {
        few_free(root);
        return no_memory(&r);
    }
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.parser, data, n);
    const few_status st = read_stream(&r, root);
    if (r.has_event)
        yaml_event_delete(&r.event);
    yaml_parser_delete(&r.parser);
    if (st != FEW_OK) {
        few_yaml_free(root);
        return st;
    }
    *out = root;
    return FEW_OK;
}

few_status few_yaml_load(const char *file, few_yaml_node **root, few_error *err)
{
    *root = NULL;
    few_map m;
    FEW_TRY(few_map_open(&m, file, err));
    const few_status st = few_yaml_parse(m.data, m.n, file, root, err);
    few_map_close(&m);
    return st;
}

void few_yaml_free(few_yaml_node *root)
{
    while (root) {
        few_yaml_node *next = root->next;
        few_yaml_free(root->child);
        few_free(root->key);
        few_free(root->text);
        few_free(root);
        root = next;
    }
}

/* ---- looking things up ---- */

const few_yaml_node *few_yaml_find(const few_yaml_node *map, const char *key)
{
    const few_yaml_node *c = map && map->kind == FEW_YAML_MAP ? map->child : NULL;
    while (c && c->key && strcmp(c->key, key) != 0)
        c = c->next;
    return c && c->key ? c : NULL;
}

bool few_yaml_is_null(const few_yaml_node *node)
{
    return node->kind == FEW_YAML_SCALAR && !node->quoted &&
           (!*node->text || !strcmp(node->text, "~") || !strcmp(node->text, "null"));
}

static const char *kind_text(const few_yaml_node *node)
{
    static const char *const texts[] = { "a single value", "a list", "a map" };
    return texts[node->kind];
}

few_status few_yaml_find_map(const few_yaml_node *map, const char *key, const char *file,
                             const few_yaml_node **out, few_error *err)
{
    const few_yaml_node *c = few_yaml_find(map, key);
    *out = NULL;
    if (!c || few_yaml_is_null(c))
        return FEW_OK;
    if (c->kind != FEW_YAML_MAP)
        return few_fail(err, FEW_ECONFIG, "%s:%d: '%s' is %s, but must be a map of options", file,
                        c->line, key, kind_text(c));
    *out = c;
    return FEW_OK;
}

few_status few_yaml_check_keys(const few_yaml_node *map, const char *const *names, int n,
                               const char *file, few_error *err)
{
    for (const few_yaml_node *c = map ? map->child : NULL; c; c = c->next) {
        int i = 0;
        while (i < n && strcmp(c->key, names[i]) != 0)
            i++;
        if (i < n)
            continue;
        const char *near = few_nearest(c->key, names, n);
        if (near)
            return few_fail(err, FEW_ECONFIG, "%s:%d: unknown key '%.100s', did you mean '%s'?",
                            file, c->line, c->key, near);
        few_strbuf known;
        few_strbuf_init(&known);
        for (i = 0; i < n; i++)
            few_strbuf_addf(&known, "%s%s", i ? ", " : "", names[i]);
        few_fail(err, FEW_ECONFIG, "%s:%d: unknown key '%.100s', known are: %s", file, c->line,
                 c->key, n ? known.s : "none");
        few_strbuf_free(&known);
        return FEW_ECONFIG;
    }
    return FEW_OK;
}

/* ---- options ---- */

static bool is_list(const few_option *o)
{
    return o->type >= FEW_OPT_INTS;
}

few_status few_yaml_apply_one(const few_option *table, void *target, const few_yaml_node *value,
                              const char *file, few_error *err)
{
    const few_option *o = few_option_find(table, value->key);
    few_status st = FEW_OK;
    few_strbuf text, where;
    few_strbuf_init(&text);
    few_strbuf_init(&where);
    few_strbuf_addf(&where, "%s:%d", file, value->line);
    if (o && value->kind != FEW_YAML_SCALAR && (value->kind != FEW_YAML_LIST || !is_list(o))) {
        st = few_fail(err, FEW_ECONFIG, "%s: '%s' is %s, but must be %s", where.s, o->name,
                      kind_text(value), is_list(o) ? "a list" : "a single value");
        goto cleanup;
    }
    if (o && value->kind == FEW_YAML_LIST) {
        for (const few_yaml_node *c = value->child; c; c = c->next) {
            if (c->kind != FEW_YAML_SCALAR || !*c->text) {
                st =
                    few_fail(err, FEW_ECONFIG, "%s:%d: '%s' has an element that is %s", file,
                             c->line, o->name, c->kind == FEW_YAML_SCALAR ? "empty" : kind_text(c));
                goto cleanup;
            }
            few_strbuf_add(&text, c == value->child ? "" : ",");
            few_option_escape(c->text, &text);
        }
    } else if (o) {
        const bool unset = few_yaml_is_null(value) &&
                           (is_list(o) || o->type == FEW_OPT_STRING || o->type == FEW_OPT_CHOICE);
        few_strbuf_add(&text, unset ? "" : value->text);
    }
    if (text.failed || where.failed)
        st = few_fail(err, FEW_ENOMEM, "no memory left for options");
    else
        st = few_option_set(table, target, value->key, text.s, where.s, err);
cleanup:
    few_strbuf_free(&text);
    few_strbuf_free(&where);
    return st;
}

few_status few_yaml_apply(const few_option *table, void *target, const few_yaml_node *map,
                          const char *file, few_error *err)
{
    for (const few_yaml_node *c = map ? map->child : NULL; c; c = c->next)
        FEW_TRY(few_yaml_apply_one(table, target, c, file, err));
    return FEW_OK;
}

/* ---- writing ---- */

/* May stand without quotes for every reader of YAML: starts like a word or path, holds nothing
 * with a meaning, and is none of the words that some readers take for a truth value or number. */
static bool is_plain(const char *s)
{
    static const char *const words[] = {
        "null", "true", "false", "yes", "no", "on", "off", "y", "n"
    };
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_/";
    static const char more[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_/0123456789.+-";
    if (!*s || !strchr(letters, *s) || s[strspn(s, more)])
        return false;
    for (size_t i = 0; i < FEW_COUNT(words); i++)
        if (!strcasecmp(s, words[i]))
            return false;
    return true;
}

void few_yaml_write_text(few_strbuf *out, const char *s)
{
    if (!s || is_plain(s)) {
        few_strbuf_add(out, s ? s : "null");
        return;
    }
    few_strbuf_add(out, "\"");
    while (*s) {
        uint32_t code;
        const int n = few_utf8_decode(s, &code);
        if (n == 0) { /* not text: keep the byte's value, so that the line stays readable */
            few_strbuf_addf(out, "\\x%02X", (unsigned char)*s++);
            continue;
        }
        if (code == '"' || code == '\\')
            few_strbuf_addf(out, "\\%c", (char)code);
        else if (code == '\n')
            few_strbuf_add(out, "\\n");
        else if (code < 0x20 || (code >= 0x7F && code < 0xA0) || code == 0x2028 || code == 0x2029 ||
                 code == 0xFEFF || code == 0xFFFE || code == 0xFFFF)
            few_strbuf_addf(out, "\\u%04X", (unsigned)code);
        else
            few_strbuf_add_n(out, s, (size_t)n);
        s += n;
    }
    few_strbuf_add(out, "\"");
}

void few_yaml_write_section(few_strbuf *out, const char *name, const few_option *table,
                            const void *target)
{
    if (name)
        few_strbuf_addf(out, "%s:%s\n", name, table->name ? "" : " {}");
    for (const few_option *o = table; o->name; o++) {
        const void *field = (const char *)target + o->offset;
        few_strbuf_addf(out, "%s%s: ", name ? "  " : "", o->name);
        if (o->type == FEW_OPT_STRING || o->type == FEW_OPT_CHOICE) {
            few_yaml_write_text(out, *(char *const *)field);
        } else if (o->type == FEW_OPT_STRINGS) {
            const few_strings *l = field;
            few_strbuf_add(out, "[");
            for (int i = 0; i < l->n; i++) {
                few_strbuf_add(out, i ? ", " : "");
                few_yaml_write_text(out, l->v[i]);
            }
            few_strbuf_add(out, "]");
        } else {
            few_strbuf_add(out, is_list(o) ? "[" : "");
            few_option_print(o, target, out);
            few_strbuf_add(out, is_list(o) ? "]" : "");
        }
        few_strbuf_add(out, "\n");
    }
}

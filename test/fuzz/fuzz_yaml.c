/* Any bytes as a configuration: what is accepted can be walked, applied, written and read again. */
#include "base/yaml.h"
#include "fuzz/target.h"

#include <stdlib.h>
#include <string.h>

struct settings {
    bool ema;
    int64_t images;
    double lr;
    char *name;
    few_ints mult;
    few_strings layers;
};

static const few_option table[] = {
    { "ema", FEW_OPT_BOOL, offsetof(struct settings, ema), "true", 0, 0, "", NULL },
    { "images", FEW_OPT_I64, offsetof(struct settings, images), "2M", 0, 0, "", NULL },
    { "lr", FEW_OPT_DOUBLE, offsetof(struct settings, lr), "1e-4", 0, 1, "", NULL },
    { "name", FEW_OPT_STRING, offsetof(struct settings, name), NULL, 0, 0, "", NULL },
    { "mult", FEW_OPT_INTS, offsetof(struct settings, mult), "1,2", 0, 9, "", NULL },
    { "layers", FEW_OPT_STRINGS, offsetof(struct settings, layers), NULL, 0, 0, "", NULL },
    { .name = NULL },
};

static void apply(const few_yaml_node *map)
{
    struct settings s = { 0 }, t = { 0 };
    few_error err;
    if (few_yaml_apply(table, &s, map, "input", &err) == FEW_OK) {
        few_strbuf a, b;
        few_strbuf_init(&a);
        few_strbuf_init(&b);
        few_yaml_write_section(&a, NULL, table, &s);
        few_yaml_node *again;
        if (few_yaml_parse(a.s, a.n, "written", &again, &err) != FEW_OK ||
            few_yaml_apply(table, &t, again, "written", &err) != FEW_OK)
            abort();
        few_yaml_write_section(&b, NULL, table, &t);
        if (strcmp(a.s, b.s) != 0)
            abort();
        few_yaml_free(again);
        few_strbuf_free(&a);
        few_strbuf_free(&b);
    }
    few_options_clear(table, &s);
    few_options_clear(table, &t);
}

static void walk(const few_yaml_node *node)
{
    if (node->kind == FEW_YAML_MAP)
        apply(node);
    for (const few_yaml_node *c = node->child; c; c = c->next) {
        if (node->kind == FEW_YAML_MAP && few_yaml_find(node, c->key) != c)
            abort();
        walk(c);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    few_yaml_node *root;
    few_error err;
    fuzz_accepted = few_yaml_parse(data, n, "input", &root, &err) == FEW_OK;
    if (fuzz_accepted)
        walk(root);
    few_yaml_free(root);
    return 0;
}

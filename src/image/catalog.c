/* The classes of a list of names: by folder, or by EDM's dataset.json.
 *
 * "train/cat/1.png, train/dog/2.png" and "cat/1.png, dog/2.png" are the same data set: folders that
 * all images share say nothing and are taken away first. What is left decides: "cat/a/1.png" is of
 * class "cat" (as torchvision's ImageFolder has it), and one folder with everything has no
 * classes. */
#include "image/catalog.h"

#include "base/alloc.h"
#include "image/image.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

bool few_catalog_wants(const char *name)
{
    if (!few_image_has_suffix(name))
        return false;
    for (const char *part = name; part; part = strchr(part, '/')) {
        part += *part == '/';
        if (*part == '.' && part[1] != '/') /* "./a.png" is how tar writes it */
            return false;
        if (!strncmp(part, "__MACOSX/", 9))
            return false;
    }
    return true;
}

static few_status no_memory(few_error *err)
{
    return few_fail(err, FEW_ENOMEM, "out of memory for the list of images");
}

few_status few_catalog_add(few_catalog *c, const char *name, few_error *err)
{
    if (c->n == c->room) {
        const int64_t room = c->room ? c->room * 2 : 256;
        few_catalog_entry *e = few_realloc(c->entries, (size_t)room * sizeof *e);
        if (!e)
            return no_memory(err);
        c->entries = e;
        c->room = room;
    }
    char *copy = few_strdup(name);
    if (!copy)
        return no_memory(err);
    c->entries[c->n++] = (few_catalog_entry){ .name = copy, .label = FEW_NO_LABEL };
    return FEW_OK;
}

void few_catalog_clear(few_catalog *c)
{
    for (int64_t i = 0; i < c->n; i++)
        few_free(c->entries[i].name);
    few_free(c->entries);
    for (int i = 0; c->classes && i < c->n_classes; i++)
        few_free(c->classes[i]);
    few_free(c->classes);
    *c = (few_catalog){ 0 };
}

/* How much of the names is a folder that all share: ends behind a '/', or is 0. */
static size_t shared_folders(const few_catalog *c)
{
    if (c->n == 0)
        return 0;
    const char *first = c->entries[0].name;
    const char *slash = strrchr(first, '/');
    size_t n = slash ? (size_t)(slash - first) + 1 : 0;
    for (int64_t i = 1; i < c->n && n > 0; i++) {
        const char *name = c->entries[i].name;
        while (n > 0 && strncmp(first, name, n)) {
            do
                n--;
            while (n > 0 && first[n - 1] != '/');
        }
    }
    return n;
}

/* Compare a class name with the first `n` bytes of `word`, in byte order. */
static int compare_class(const char *name, const char *word, size_t n)
{
    const size_t m = strlen(name);
    const int r = memcmp(name, word, m < n ? m : n);
    return r ? r : (m > n) - (m < n);
}

/* Where `word` stands, or should stand, among the sorted classes. */
static int find_class(const few_catalog *c, const char *word, size_t n, bool *found)
{
    int low = 0, high = c->n_classes;
    *found = false;
    while (low < high) {
        const int mid = low + (high - low) / 2;
        const int r = compare_class(c->classes[mid], word, n);
        if (r == 0) {
            *found = true;
            return mid;
        }
        if (r < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static few_status add_class(few_catalog *c, int at, const char *word, size_t n, few_error *err)
{
    if (c->n_classes == FEW_MAX_CLASSES)
        return few_fail(err, FEW_EFORMAT, "more than %d classes", FEW_MAX_CLASSES);
    if ((c->n_classes & (c->n_classes - 1)) == 0) { /* grow at 0, 1, 2, 4, 8 */
        const size_t room = c->n_classes ? (size_t)c->n_classes * 2 : 1;
        char **v = few_realloc(c->classes, room * sizeof *v);
        if (!v)
            return no_memory(err);
        c->classes = v;
    }
    char *name = few_malloc(n + 1);
    if (!name)
        return no_memory(err);
    memcpy(name, word, n);
    name[n] = 0;
    memmove(c->classes + at + 1, c->classes + at, (size_t)(c->n_classes - at) * sizeof *c->classes);
    c->classes[at] = name;
    c->n_classes++;
    return FEW_OK;
}

static few_status classes_by_folder(few_catalog *c, few_error *err)
{
    const size_t skip = shared_folders(c);
    bool found;
    for (int64_t i = 0; i < c->n; i++) {
        const char *name = c->entries[i].name + skip, *slash = strchr(name, '/');
        if (!slash)
            continue;
        const int at = find_class(c, name, (size_t)(slash - name), &found);
        if (!found)
            FEW_TRY(add_class(c, at, name, (size_t)(slash - name), err));
    }
    c->labelled = c->n_classes > 0;
    for (int64_t i = 0; c->labelled && i < c->n; i++) {
        const char *name = c->entries[i].name + skip, *slash = strchr(name, '/');
        if (slash)
            c->entries[i].label = find_class(c, name, (size_t)(slash - name), &found);
    }
    return FEW_OK;
}

struct pair {
    const char *name;
    int label;
};

static int compare_pairs(const void *a, const void *b)
{
    return strcmp(((const struct pair *)a)->name, ((const struct pair *)b)->name);
}

static few_status labels_from_list(few_catalog *c, const json_t *list, const char *folder,
                                   few_error *err)
{
    const size_t n = json_array_size(list), skip = strlen(folder);
    struct pair *pairs = few_calloc(n, sizeof *pairs);
    if (!pairs)
        return no_memory(err);
    few_status st = FEW_OK;
    int64_t top = -1;
    for (size_t i = 0; i < n; i++) {
        const json_t *row = json_array_get(list, i);
        const char *name = json_string_value(json_array_get(row, 0));
        const json_t *label = json_array_get(row, 1);
        if (json_array_size(row) != 2 || !name || !json_is_integer(label)) {
            st = few_fail(err, FEW_EFORMAT,
                          "dataset.json: label %zu is not [\"name\", whole number]", i);
            goto cleanup;
        }
        const json_int_t k = json_integer_value(label);
        if (k < 0 || k >= FEW_MAX_CLASSES) {
            st = few_fail(err, FEW_EFORMAT, "dataset.json: '%s' has label %lld, allowed are 0..%d",
                          name, (long long)k, FEW_MAX_CLASSES - 1);
            goto cleanup;
        }
        pairs[i] = (struct pair){ name, (int)k };
        top = k > top ? k : top;
    }
    if (n > 0)
        qsort(pairs, n, sizeof *pairs, compare_pairs);
    for (int64_t i = 0; i < c->n; i++) {
        few_catalog_entry *e = &c->entries[i];
        if (strncmp(e->name, folder, skip))
            continue;
        const struct pair key = { e->name + skip, 0 };
        const struct pair *p = n > 0 ? bsearch(&key, pairs, n, sizeof *pairs, compare_pairs) : NULL;
        if (p)
            e->label = p->label;
    }
    c->labelled = true;
    c->n_classes = (int)(top + 1);
cleanup:
    few_free(pairs);
    return st;
}

few_status few_catalog_finish(few_catalog *c, const char *json, size_t n, const char *folder,
                              few_error *err)
{
    if (!json)
        return classes_by_folder(c, err);
    /* Each value takes a hundred bytes and more once it is parsed, in the text as few as two. */
    const size_t most = ((size_t)4 << 20) + 16 * (size_t)c->n;
    size_t values = 0;
    for (size_t k = 0; k < n; k++)
        values += json[k] == '[' || json[k] == '{' || json[k] == ',';
    if (values > most)
        return few_fail(err, FEW_EFORMAT, "dataset.json has over %zu values for %lld images", most,
                        (long long)c->n);
    json_error_t where;
    json_t *root = json_loadb(json, n, JSON_REJECT_DUPLICATES, &where);
    if (!root)
        return few_fail(err, FEW_EFORMAT, "dataset.json, line %d: %s", where.line, where.text);
    const json_t *labels = json_object_get(root, "labels");
    few_status st = FEW_OK;
    if (json_is_array(labels))
        st = labels_from_list(c, labels, folder, err);
    else if (!json_is_object(root) || (labels && !json_is_null(labels)))
        st = few_fail(err, FEW_EFORMAT, "dataset.json: wanted {\"labels\": [...]} or null");
    json_decref(root);
    return st;
}

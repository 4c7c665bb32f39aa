/* CIFAR-10's binary version (cs.toronto.edu/~kriz/cifar.html): records of 3073 bytes, a label 0..9
 * and 32 x 32 pixels, plane after plane: all red, all green, all blue. A file of them, or the
 * folder with data_batch_1.bin ...; test_batch.bin is never taken along unasked.
 *
 * Nothing in the file says what it is: the size must be a multiple of 3073 and every label below
 * 10, or it is refused. Class names come from batches.meta.txt beside it. */
#include "image/source.h"

#include "base/alloc.h"
#include "base/file.h"

#include <string.h>

enum { SIDE = 32, PLANE = SIDE * SIDE, RECORD = 1 + 3 * PLANE, CLASSES = 10, MAX_NAME = 128 };

struct cifar {
    few_source base;
    char **files; /* [n_files] */
    int n_files, file;
    few_map map; /* files[file], when map.data */
    int64_t at;  /* record in it */
};

static bool is_batch(const char *name)
{
    return !strncmp(name, "data_batch_", 11) && few_has_suffix(name, ".bin");
}

static int probe(const char *path)
{
    if (!few_is_folder(path))
        return few_has_suffix(path, ".bin") ? 80 : 0;
    char *first = few_path_join(path, "data_batch_1.bin");
    const int sure = first && few_is_file(first) ? 90 : 0;
    few_free(first);
    return sure;
}

static void close_cifar(few_source *s)
{
    struct cifar *c = (struct cifar *)s;
    for (int i = 0; c->files && i < c->n_files; i++)
        few_free(c->files[i]);
    few_free(c->files);
    for (int i = 0; s->classes && i < CLASSES; i++)
        few_free(s->classes[i]);
    few_free(s->classes);
    few_map_close(&c->map);
    few_free(c);
}

/* The files to read: `path` itself, or the batches in it. */
static few_status find_files(struct cifar *c, const char *path, few_error *err)
{
    char **names = NULL;
    int n = 0;
    const bool folder = few_is_folder(path);
    if (folder)
        FEW_TRY(few_list_folder(path, &names, &n, err));
    c->files = few_calloc((size_t)n + 1, sizeof *c->files);
    bool ok = c->files != NULL;
    if (ok && !folder)
        ok = (c->files[c->n_files++] = few_strdup(path)) != NULL;
    for (int i = 0; ok && i < n; i++)
        if (is_batch(names[i]))
            ok = (c->files[c->n_files++] = few_path_join(path, names[i])) != NULL;
    few_free_names(names, n);
    if (!ok)
        return few_fail(err, FEW_ENOMEM, "out of memory while opening '%s'", path);
    if (c->n_files == 0)
        return few_fail(err, FEW_EFORMAT, "'%s' holds no data_batch_*.bin", path);
    return FEW_OK;
}

/* Class names from batches.meta.txt in the folder of `file`, one a line; without it, or when it
 * has other than ten, classes stay numbers. */
static few_status read_names(struct cifar *c, const char *file, few_error *err)
{
    const int folder = (int)(few_base_name(file) - file);
    const size_t room = (size_t)folder + 32;
    few_map map = { 0 };
    char *path = few_malloc(room);
    char **names = few_calloc(CLASSES, sizeof *names);
    bool ok = path && names;
    int n = 0;
    if (ok) {
        snprintf(path, room, "%.*sbatches.meta.txt", folder, file);
        if (few_is_file(path) && few_map_open(&map, path, NULL) == FEW_OK) {
            const char *p = (const char *)map.data, *end = p + map.n;
            while (ok && p < end && n < CLASSES) {
                const char *line = p;
                while (p < end && *p != '\n' && *p != '\r')
                    p++;
                const size_t length = (size_t)(p - line);
                if (length > 0 && length < MAX_NAME) {
                    ok = (names[n] = few_malloc(length + 1)) != NULL;
                    if (ok) {
                        memcpy(names[n], line, length);
                        names[n++][length] = 0;
                    }
                }
                p += p < end;
            }
            few_map_close(&map);
        }
    }
    few_free(path);
    if (ok && n == CLASSES) {
        c->base.classes = names;
        return FEW_OK;
    }
    for (int i = 0; i < n; i++)
        few_free(names[i]);
    few_free(names);
    return ok ? FEW_OK : few_fail(err, FEW_ENOMEM, "out of memory while opening '%s'", file);
}

/* Open files[file] and check its size. */
static few_status open_file(struct cifar *c, few_error *err)
{
    const char *path = c->files[c->file];
    FEW_TRY(few_map_open(&c->map, path, err));
    c->at = 0;
    if (c->map.n == 0)
        return few_fail(err, FEW_EFORMAT, "'%s' is empty", path);
    if (c->map.n % RECORD != 0)
        return few_fail(err, FEW_EFORMAT,
                        "'%s' is truncated or no CIFAR-10: %zu bytes are not a multiple of %d",
                        path, c->map.n, RECORD);
    return FEW_OK;
}

static few_status open_cifar(few_source **out, const char *path, const char *labels, few_error *err)
{
    (void)labels;
    struct cifar *c = few_calloc(1, sizeof *c);
    if (!c)
        return few_fail(err, FEW_ENOMEM, "out of memory while opening '%s'", path);
    few_status st;
    c->base = (few_source){ .type = &few_source_cifar, .labelled = true, .n_classes = CLASSES };
    FEW_GOTO(find_files(c, path, err));
    for (c->file = 0; c->file < c->n_files; c->file++) {
        FEW_GOTO(open_file(c, err));
        c->base.total += (int64_t)(c->map.n / RECORD);
        few_map_close(&c->map);
    }
    c->file = 0;
    FEW_GOTO(read_names(c, c->files[0], err));
    FEW_GOTO(open_file(c, err));
    *out = &c->base;
    return FEW_OK;
cleanup:
    close_cifar(&c->base);
    return st;
}

static few_status next(few_source *s, few_source_item *item, few_error *err)
{
    struct cifar *c = (struct cifar *)s;
    while (c->at == (int64_t)(c->map.n / RECORD)) {
        few_map_close(&c->map);
        s->ended = c->file + 1 >= c->n_files;
        if (s->ended)
            return FEW_OK;
        c->file++;
        const few_status st = open_file(c, err);
        if (st != FEW_OK) {
            s->ended = true;
            return st;
        }
    }
    const uint8_t *record = c->map.data + c->at * RECORD;
    snprintf(item->name, sizeof item->name, "%s: image %lld", c->files[c->file],
             (long long)c->at++);
    if (record[0] >= CLASSES)
        return few_fail(err, FEW_EFORMAT, "label %d, allowed are 0..9", record[0]);
    few_image im;
    FEW_TRY(few_image_init(&im, SIDE, SIDE, 3, err));
    for (int i = 0; i < PLANE; i++)
        for (int k = 0; k < 3; k++)
            im.pixels[3 * i + k] = record[1 + k * PLANE + i];
    item->image = im;
    item->label = record[0];
    return FEW_OK;
}

const few_source_type few_source_cifar = {
    .name = "cifar",
    .help = "CIFAR-10's .bin files, or the folder of data_batch_*.bin",
    .probe = probe,
    .open = open_cifar,
    .next = next,
    .close = close_cifar,
};

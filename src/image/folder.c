/* A folder of PNG and JPEG files. Sub-folders are classes, in byte order of their names; a flat
 * folder is unlabelled; a dataset.json in it, as EDM writes, goes before both.
 *
 * Files are listed in sorted order, so that the same folder gives the same pack on every machine;
 * the depth is limited, because a link may lead back up. */
#include "image/source.h"

#include "base/alloc.h"
#include "base/file.h"

#include <string.h>

enum { MAX_DEPTH = 16 };

struct folder {
    few_source base;
    char *path;
    few_catalog catalog;
    int64_t at;
};

static int probe(const char *path)
{
    return few_is_folder(path) ? 50 : 0;
}

/* Add the images below root/relative ("" or "a/b/"). */
static few_status walk(few_catalog *c, const char *root, const char *relative, int depth,
                       few_error *err)
{
    if (depth > MAX_DEPTH)
        return few_fail(err, FEW_EFORMAT, "'%s/%s': folders nest deeper than %d", root, relative,
                        MAX_DEPTH);
    char **names = NULL, *full = few_path_join(root, relative);
    int n = 0;
    few_status st;
    if (!full)
        return few_fail(err, FEW_ENOMEM, "out of memory while listing '%s'", root);
    FEW_GOTO(few_list_folder(full, &names, &n, err));
    const int64_t before = c->n;
    int folders = 0;
    for (int i = 0; i < n; i++) {
        if (names[i][0] == '.')
            continue;
        const size_t room = strlen(relative) + strlen(names[i]) + 2;
        char *below = few_malloc(room), *path = few_path_join(full, names[i]);
        const bool folder = path && few_is_folder(path);
        if (below)
            snprintf(below, room, "%s%s%s", relative, names[i], folder ? "/" : "");
        folders += folder;
        if (!below || !path)
            st = few_fail(err, FEW_ENOMEM, "out of memory while listing '%s'", root);
        else if (folder)
            st = walk(c, root, below, depth + 1, err);
        else if (few_catalog_wants(below))
            st = few_catalog_add(c, below, err);
        few_free(below);
        few_free(path);
        if (st != FEW_OK)
            goto cleanup;
    }
    if (c->n == before && folders == 0)
        FEW_GOTO(few_catalog_add(c, relative, err)); /* reported when its turn comes */
cleanup:
    few_free_names(names, n);
    few_free(full);
    return st;
}

static few_status read_catalog(struct folder *f, few_error *err)
{
    char *json = few_path_join(f->path, "dataset.json");
    if (!json)
        return few_fail(err, FEW_ENOMEM, "out of memory while listing '%s'", f->path);
    few_status st;
    few_map map = { 0 };
    const bool has_json = few_is_file(json);
    FEW_GOTO(walk(&f->catalog, f->path, "", 0, err));
    if (has_json)
        FEW_GOTO(few_map_open(&map, json, err));
    st = few_catalog_finish(&f->catalog, has_json ? (const char *)map.data : NULL, map.n, "", err);
    if (has_json)
        few_map_close(&map);
    if (st != FEW_OK)
        few_fail_in(err, "'%s'", f->path);
cleanup:
    few_free(json);
    return st;
}

static void close_folder(few_source *s)
{
    struct folder *f = (struct folder *)s;
    few_catalog_clear(&f->catalog);
    few_free(f->path);
    few_free(f);
}

static few_status open_folder(few_source **out, const char *path, const char *labels,
                              few_error *err)
{
    (void)labels;
    struct folder *f = few_calloc(1, sizeof *f);
    if (!f || !(f->path = few_strdup(path))) {
        few_free(f);
        return few_fail(err, FEW_ENOMEM, "out of memory while listing '%s'", path);
    }
    few_status st = read_catalog(f, err);
    if (st == FEW_OK && (f->catalog.n == 0 || !f->catalog.entries[0].name[0]))
        st = few_fail(err, FEW_EFORMAT, "'%s' holds no PNG or JPEG images", path);
    if (st != FEW_OK) {
        close_folder(&f->base);
        return st;
    }
    f->base = (few_source){ .type = &few_source_folder,
                            .total = f->catalog.n,
                            .labelled = f->catalog.labelled,
                            .n_classes = f->catalog.n_classes,
                            .classes = f->catalog.classes };
    *out = &f->base;
    return FEW_OK;
}

static few_status next(few_source *s, few_source_item *item, few_error *err)
{
    struct folder *f = (struct folder *)s;
    if (f->at == f->catalog.n) {
        s->ended = true;
        return FEW_OK;
    }
    const few_catalog_entry *e = &f->catalog.entries[f->at++];
    snprintf(item->name, sizeof item->name, "%s/%s", f->path, e->name);
    if (few_has_suffix(e->name, "/"))
        return few_fail(err, FEW_EFORMAT, "the folder holds no PNG or JPEG images");
    if (s->labelled && e->label == FEW_NO_LABEL)
        return few_fail(err, FEW_EFORMAT, "the image has no class, others have");
    item->label = e->label;
    char *path = few_path_join(f->path, e->name);
    if (!path)
        return few_fail(err, FEW_ENOMEM, "out of memory");
    few_map map;
    few_status st = few_is_file(path)
                        ? few_map_open(&map, path, err)
                        : few_fail(err, FEW_EIO, "a broken link, or no ordinary file");
    if (st == FEW_OK) {
        st = few_image_decode(&item->image, map.data, map.n, err);
        few_map_close(&map);
    }
    few_free(path);
    return st;
}

const few_source_type few_source_folder = {
    .name = "folder",
    .help = "folder of PNG or JPEG files, sub-folders are classes",
    .probe = probe,
    .open = open_folder,
    .next = next,
    .close = close_folder,
};

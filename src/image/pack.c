/* Reading packs: nothing the file says is believed before it is held against the file's length.
 *
 * Order matters: magic, version, length of the JSON, its checksum, the JSON, then the length of the
 * file that count and shape imply, which must be exact. Labels are few bytes and checked at once,
 * so that few_pack_label can be used as an index. Pixels are left to few_pack_verify: reading them
 * all would make opening slow. */
#include "image/pack.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/hash.h"
#include "image/catalog.h"
#include "image/pack_file.h"

#include <stdio.h>
#include <string.h>

struct few_pack {
    few_map map;
    char *name;
    const uint8_t *data;
    size_t n;
    size_t pixels_at, pixels_n, labels_at; /* labels_at: n without labels */
    size_t image_n;
    const int32_t *labels;
    few_pack_info info;
    json_t *json; /* owns the strings */
    few_pack_class *classes;
    const char **transforms;
};

void few_pack_close(few_pack *p)
{
    if (!p)
        return;
    json_decref(p->json);
    few_free(p->classes);
    few_free(p->transforms);
    few_free(p->name);
    few_map_close(&p->map);
    few_free(p);
}

static few_status damaged(few_error *err, const char *what)
{
    return few_fail(err, FEW_EFORMAT, "damaged data file: %s", what);
}

/* An integer member in [low, high]. */
static few_status get_int(const json_t *o, const char *key, int64_t low, int64_t high,
                          int64_t *value, few_error *err)
{
    const json_t *v = json_object_get(o, key);
    *value = json_integer_value(v);
    if (!json_is_integer(v) || *value < low || *value > high)
        return few_fail(err, FEW_EFORMAT, "damaged data file: '%s' is missing or out of range",
                        key);
    return FEW_OK;
}

/* A checksum of 32 hex digits. */
static few_status get_hash(const json_t *o, const char *key, char hash[33], few_error *err)
{
    const char *s = json_string_value(json_object_get(o, key));
    if (!s || strlen(s) != 32 || strspn(s, "0123456789abcdef") != 32)
        return few_fail(err, FEW_EFORMAT, "damaged data file: '%s' is no checksum", key);
    memcpy(hash, s, 33);
    return FEW_OK;
}

static few_status parse_classes(few_pack *p, few_error *err)
{
    const json_t *list = json_object_get(p->json, "classes");
    const size_t n = json_array_size(list);
    if (!json_is_array(list) || n > FEW_MAX_CLASSES || (n > 0) != p->info.has_labels)
        return damaged(err, "the list of classes");
    p->classes = few_calloc(n, sizeof *p->classes);
    if (!p->classes)
        return few_fail(err, FEW_ENOMEM, "out of memory for %zu classes", n);
    for (size_t i = 0; i < n; i++) {
        const json_t *c = json_array_get(list, i);
        p->classes[i].name = json_string_value(json_object_get(c, "name"));
        FEW_TRY(get_int(c, "count", 0, p->info.count, &p->classes[i].count, err));
        if (!p->classes[i].name)
            return damaged(err, "a class has no name");
    }
    p->info.n_classes = (int)n;
    p->info.classes = p->classes;
    return FEW_OK;
}

static few_status parse_transforms(few_pack *p, few_error *err)
{
    const json_t *list = json_object_get(p->json, "transforms");
    const size_t n = json_array_size(list);
    if (!json_is_array(list) || n > FEW_PACK_MAX_TRANSFORMS)
        return damaged(err, "the list of transforms");
    p->transforms = few_calloc(n, sizeof *p->transforms);
    if (!p->transforms)
        return few_fail(err, FEW_ENOMEM, "out of memory");
    for (size_t i = 0; i < n; i++)
        if (!(p->transforms[i] = json_string_value(json_array_get(list, i))))
            return damaged(err, "the list of transforms");
    p->info.n_transforms = (int)n;
    p->info.transforms = p->transforms;
    return FEW_OK;
}

/* The JSON itself, checked by its checksum; sets pixels_at. */
static few_status parse_head(few_pack *p, few_error *err)
{
    const uint8_t *d = p->data;
    if (p->n < FEW_PACK_HEAD || memcmp(d, FEW_PACK_MAGIC, 8))
        return few_fail(err, FEW_EFORMAT,
                        "no fewstep data file; make one with 'fewstep data pack'");
    const uint64_t version = few_get_le(d + 8, 4), length = few_get_le(d + 12, 4);
    if (version != FEW_PACK_VERSION)
        return few_fail(err, FEW_EFORMAT, "data file version %llu, this program reads %d",
                        (unsigned long long)version, FEW_PACK_VERSION);
    if (length > FEW_PACK_MAX_JSON || length > p->n - FEW_PACK_HEAD)
        return damaged(err, "it ends inside its head");
    if ((FEW_PACK_HEAD + length) % FEW_PACK_ALIGN || few_get_le(d + 24, 8) != 0 ||
        XXH3_64bits(d + FEW_PACK_HEAD, length) != few_get_le(d + 16, 8))
        return damaged(err, "the checksum of its head is wrong");
    json_error_t where;
    p->json = json_loadb((const char *)d + FEW_PACK_HEAD, length, JSON_REJECT_DUPLICATES, &where);
    if (!json_is_object(p->json))
        return damaged(err, "its head is no JSON object");
    p->pixels_at = FEW_PACK_HEAD + length;
    return FEW_OK;
}

static few_status parse_shape(few_pack *p, few_error *err)
{
    few_pack_info *info = &p->info;
    int64_t h, w, c;
    FEW_TRY(get_int(p->json, "count", 1, INT32_MAX, &info->count, err));
    FEW_TRY(get_int(p->json, "height", 1, FEW_IMAGE_MAX_SIDE, &h, err));
    FEW_TRY(get_int(p->json, "width", 1, FEW_IMAGE_MAX_SIDE, &w, err));
    FEW_TRY(get_int(p->json, "channels", 1, 3, &c, err));
    if (c == 2)
        return damaged(err, "two channels");
    const json_t *labels = json_object_get(p->json, "labels");
    if (!json_is_boolean(labels))
        return damaged(err, "'labels' is missing");
    info->height = (int)h;
    info->width = (int)w;
    info->channels = (int)c;
    info->has_labels = json_is_true(labels);

    /* At most 2^31 * 2^28 * 3 bytes: no overflow. */
    p->image_n = (size_t)(h * w * c);
    p->pixels_n = p->image_n * (size_t)info->count;
    const uint64_t padded = (p->pixels_n + 3) & ~(uint64_t)3;
    const uint64_t want =
        p->pixels_at + (info->has_labels ? padded + 4 * (uint64_t)info->count : p->pixels_n);
    if (want != p->n)
        return few_fail(err, FEW_EFORMAT,
                        "damaged data file: %llu bytes are wanted for %lld images of %d x %d x %d, "
                        "%zu are there",
                        (unsigned long long)want, (long long)info->count, info->width, info->height,
                        info->channels, p->n);
    p->labels_at = info->has_labels ? p->pixels_at + (size_t)padded : p->n;
    return FEW_OK;
}

static few_status check_labels(few_pack *p, few_error *err)
{
    if (!p->info.has_labels)
        return FEW_OK;
    p->labels = (const int32_t *)(const void *)(p->data + p->labels_at);
    int64_t *count = few_calloc((size_t)p->info.n_classes, sizeof *count);
    if (!count)
        return few_fail(err, FEW_ENOMEM, "out of memory for %d classes", p->info.n_classes);
    bool ok = true;
    for (int64_t i = 0; i < p->info.count && ok; i++) {
        ok = p->labels[i] >= 0 && p->labels[i] < p->info.n_classes;
        if (ok)
            count[p->labels[i]]++;
    }
    for (int k = 0; k < p->info.n_classes && ok; k++)
        ok = count[k] == p->classes[k].count;
    few_free(count);
    return ok ? FEW_OK : damaged(err, "the labels do not match the classes");
}

/* One name for pixels, labels and shape. */
static void name_data(few_pack_info *info)
{
    char text[160];
    const int n =
        snprintf(text, sizeof text, "%s %s %lld %d %d %d", info->pixels_hash, info->labels_hash,
                 (long long)info->count, info->height, info->width, info->channels);
    few_hash_text(text, (size_t)n, info->hash);
}

static few_status parse(few_pack *p, few_error *err)
{
    FEW_TRY(parse_head(p, err));
    FEW_TRY(parse_shape(p, err));
    FEW_TRY(parse_classes(p, err));
    FEW_TRY(parse_transforms(p, err));
    FEW_TRY(get_hash(p->json, "pixels_xxh3_128", p->info.pixels_hash, err));
    if (p->info.has_labels)
        FEW_TRY(get_hash(p->json, "labels_xxh3_128", p->info.labels_hash, err));
    p->info.source = json_string_value(json_object_get(p->json, "source"));
    if (!p->info.source)
        return damaged(err, "'source' is missing");
    name_data(&p->info);
    return check_labels(p, err);
}

/* Takes over the map, also when it fails. */
static few_status open_map(few_pack **out, const char *name, few_map map, const void *data,
                           size_t n, few_error *err)
{
    few_pack *p = few_calloc(1, sizeof *p);
    if (!p) {
        few_map_close(&map);
        return few_fail(err, FEW_ENOMEM, "out of memory while opening '%s'", name);
    }
    p->map = map;
    p->data = data;
    p->n = n;
    p->name = few_strdup(name);
    const few_status st = p->name ? parse(p, err) : few_fail(err, FEW_ENOMEM, "out of memory");
    if (st != FEW_OK) {
        few_fail_in(err, "'%s'", name);
        few_pack_close(p);
        return st;
    }
    *out = p;
    return FEW_OK;
}

few_status few_pack_open(few_pack **out, const char *path, few_error *err)
{
    few_map map;
    FEW_TRY(few_map_open(&map, path, err));
    return open_map(out, path, map, map.data, map.n, err);
}

few_status few_pack_open_memory(few_pack **out, const char *name, const void *data, size_t n,
                                few_error *err)
{
    return open_map(out, name, (few_map){ 0 }, data, n, err);
}

const few_pack_info *few_pack_get_info(const few_pack *p)
{
    return &p->info;
}

const uint8_t *few_pack_image(const few_pack *p, int64_t i)
{
    return p->data + p->pixels_at + (size_t)i * p->image_n;
}

int few_pack_label(const few_pack *p, int64_t i)
{
    return p->labels ? p->labels[i] : FEW_NO_LABEL;
}

/* Whether data has the checksum `hex`. */
static bool matches(const void *data, size_t n, const char *hex)
{
    char text[33];
    few_hash_text(data, n, text);
    return !strcmp(text, hex);
}

few_status few_pack_verify(const few_pack *p, few_error *err)
{
    const char *what = NULL;
    if (!matches(p->data + p->pixels_at, p->pixels_n, p->info.pixels_hash))
        what = "pixels";
    for (size_t i = p->pixels_at + p->pixels_n; i < p->labels_at; i++)
        if (p->data[i])
            what = "padding";
    if (p->labels && !matches(p->labels, 4 * (size_t)p->info.count, p->info.labels_hash))
        what = "labels";
    if (what)
        return few_fail(err, FEW_EFORMAT,
                        "'%s' is damaged: the checksum of its %s is wrong; pack the data again",
                        p->name, what);
    return FEW_OK;
}

char *few_pack_beside(const char *pack, const char *suffix)
{
    const size_t n = strlen(pack), end = n > 4 && !strcmp(pack + n - 4, ".few") ? n - 4 : n,
                 room = n + strlen(suffix) + 1;
    char *path = few_malloc(room);
    if (path)
        snprintf(path, room, "%.*s%s", (int)end, pack, suffix);
    return path;
}

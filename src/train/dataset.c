/* Data order without state: sample i of step k is number k*batch + i of an endless sequence, whose
 * every epoch is a permutation computed, not stored. */
#include "train/dataset.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/philox.h"
#include "image/image.h"

#include <stdio.h>
#include <string.h>

enum { MIXTURE_POINTS = 65536, RANDOM_IMAGES = 256 };

/* Two normal distributions; of pairs, four: the second number is of the same kind, but smaller and
 * the other way round. */
static few_status open_mixture(few_dataset *d, const char *name, int numbers, few_error *err)
{
    d->n = MIXTURE_POINTS;
    d->h = d->w = 1;
    d->c = numbers;
    d->owned = MIXTURE_POINTS * (size_t)numbers * sizeof(float);
    float *points = few_big_alloc(d->owned);
    d->points = points;
    if (!points)
        return few_fail(err, FEW_ENOMEM, "out of memory for the mixture");
    for (uint32_t i = 0; i < MIXTURE_POINTS; i++) {
        const uint32_t key[2] = { 1, 0 };
        double u[4], z[4];
        few_philox_uniform((uint32_t[4]){ 0, FEW_RNG_LABEL, 0, i }, key, u);
        few_philox_normal((uint32_t[4]){ 0, FEW_RNG_NOISE, 0, i }, key, z);
        float *p = points + (size_t)i * (size_t)numbers;
        p[0] = (float)(u[0] < 0.3 ? -0.6 + 0.2 * z[0] : 0.5 + 0.1 * z[0]);
        if (numbers > 1)
            p[1] = (float)(u[1] < 0.3 ? 0.4 - 0.15 * z[1] : -0.3 - 0.1 * z[1]);
    }
    few_hash_text(d->points, d->owned, d->hash);
    snprintf(d->name, sizeof d->name, "%s", name);
    return FEW_OK;
}

/* As much of it as there is room for, and no half character of UTF-8. */
static void copy_name(char *to, size_t room, const char *from)
{
    size_t n = strlen(from);
    if (n >= room)
        for (n = room - 1; n > 0 && (from[n] & 0xc0) == 0x80;)
            n--;
    memcpy(to, from, n);
    to[n] = 0;
}

static few_status open_paths(few_dataset *d, const char *path, few_error *err)
{
    const few_trajectories *t = &d->paths;
    FEW_TRY(few_trajectories_open(&d->paths, path, err));
    d->points = t->states;
    d->n = t->n;
    d->h = t->h;
    d->w = t->w;
    d->c = t->c;
    d->classes = t->classes;
    copy_name(d->name, sizeof d->name, t->name);
    snprintf(d->hash, sizeof d->hash, "%s", t->hash);
    return FEW_OK;
}

/* Numbers of a point of the toy of that name; 0: it is none. */
static int toy_numbers(const char *path)
{
    return !strcmp(path, "mixture") ? 1 : !strcmp(path, "mixture-2d") ? 2 : 0;
}

static bool is_paths(const char *path)
{
    const char *end = strrchr(path, '.');
    return end && !strcmp(end, ".safetensors");
}

bool few_dataset_is_pack(const char *path)
{
    return path && !toy_numbers(path) && !is_paths(path);
}

bool few_dataset_is_there(const char *path)
{
    return toy_numbers(path) || few_is_file(path);
}

few_status few_dataset_open(few_dataset *d, const char *path, few_error *err)
{
    memset(d, 0, sizeof *d);
    if (toy_numbers(path))
        return open_mixture(d, path, toy_numbers(path), err);
    if (is_paths(path))
        return open_paths(d, path, err);
    FEW_TRY(few_pack_open(&d->pack, path, err));
    const few_pack_info *info = few_pack_get_info(d->pack);
    d->n = info->count;
    d->h = info->height;
    d->w = info->width;
    d->c = info->channels;
    d->classes = info->n_classes;
    snprintf(d->hash, sizeof d->hash, "%s", info->hash);
    const char *base = strrchr(path, '/');
    copy_name(d->name, sizeof d->name, base ? base + 1 : path);
    char *dot = strrchr(d->name, '.');
    if (dot)
        *dot = 0;
    return FEW_OK;
}

few_status few_dataset_random(few_dataset *d, int h, int w, int c, int classes, few_error *err)
{
    *d = (few_dataset){ .n = RANDOM_IMAGES, .h = h, .w = w, .c = c, .classes = classes };
    d->owned = (size_t)RANDOM_IMAGES * (size_t)(h * w * c);
    d->bytes = few_big_alloc(d->owned);
    if (!d->bytes)
        return few_fail(err, FEW_ENOMEM, "out of memory for random images");
    for (size_t i = 0; i < d->owned; i += 4) {
        uint32_t u[4];
        few_philox((uint32_t[4]){ (uint32_t)i, 0, 0, 0 }, (uint32_t[2]){ 1, 2 }, u);
        memcpy(d->bytes + i, u, d->owned - i < 4 ? d->owned - i : 4);
    }
    snprintf(d->name, sizeof d->name, "random");
    return FEW_OK;
}

bool few_dataset_is_float(const few_dataset *d)
{
    return d->points != NULL;
}

void few_dataset_close(few_dataset *d)
{
    few_pack_close(d->pack);
    if (!d->paths.file)
        few_big_free((float *)(uintptr_t)d->points, d->points ? d->owned : 0);
    few_trajectories_close(&d->paths);
    few_big_free(d->bytes, d->bytes ? d->owned : 0);
    memset(d, 0, sizeof *d);
}

size_t few_dataset_sample_bytes(const few_dataset *d)
{
    return (size_t)d->h * (size_t)d->w * (size_t)d->c * (d->points ? sizeof(float) : 1);
}

void few_dataset_batch(const few_dataset *d, uint64_t seed, int64_t step, int64_t batch, bool flip,
                       void *x, int32_t *label)
{
    const size_t bytes = few_dataset_sample_bytes(d);
    for (int64_t i = 0; i < batch; i++) {
        const uint64_t at = (uint64_t)(step * batch + i), n = (uint64_t)d->n;
        const int64_t k = (int64_t)few_random_permute(seed, (uint32_t)(at / n), n, at % n);
        uint8_t *to = (uint8_t *)x + (size_t)i * bytes;
        if (!d->pack)
            memcpy(to, (d->points ? (const uint8_t *)d->points : d->bytes) + (size_t)k * bytes,
                   bytes);
        else if (flip && few_random_below(seed, FEW_RNG_FLIP, (uint32_t)step, (uint32_t)i, 0, 2))
            few_flip_pixels(to, few_pack_image(d->pack, k), d->h, d->w, d->c);
        else
            memcpy(to, few_pack_image(d->pack, k), bytes);
        if (label)
            label[i] = d->paths.labels         ? d->paths.labels[k]
                       : d->pack && d->classes ? few_pack_label(d->pack, k)
                                               : 0;
    }
}

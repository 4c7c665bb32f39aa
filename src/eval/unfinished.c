/* The accumulator as it stands, waiting rows included: sums in double depend on their order, and a
 * block that was taken in early would be another order. */
#include "eval/unfinished.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/safetensors.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { COUNT, EVALUATED, SECONDS, NUMBERS }; /* whole numbers to 2^53 */

/* ---- reading --------------------------------------------------------------------------------*/

/* Copy a tensor of F64 of this shape (columns 0: a vector); false when it is not there so, or has
 * a number that is not finite. */
static bool copy(const few_safetensors *file, const char *name, int64_t rows, int64_t columns,
                 double *out)
{
    const few_safetensor *t = few_safetensors_find(file, name);
    if (!t || t->type != FEW_SAFETENSORS_F64 || t->rank != (columns ? 2 : 1) ||
        t->shape[0] != rows || (columns && t->shape[1] != columns))
        return false;
    memcpy(out, t->data, t->bytes);
    for (int64_t i = 0; i < t->count; i++)
        if (!isfinite(out[i]))
            return false;
    return true;
}

static bool is_count(double v, double most)
{
    return v >= 0 && v <= most && v == floor(v);
}

static bool take(few_unfinished *u, const few_safetensors *file, int64_t most, few_stats *s)
{
    const char *key = few_safetensors_metadata(file, "key");
    const few_safetensor *block = few_safetensors_find(file, "block");
    double number[NUMBERS];
    if (!key || strcmp(key, u->key) != 0 || !copy(file, "numbers", NUMBERS, 0, number) || !block ||
        block->rank != 2 || block->shape[0] > FEW_STATS_ROWS)
        return false;
    if (!is_count(number[COUNT], (double)most) || !is_count(number[EVALUATED], 0x1p53) ||
        (double)block->shape[0] > number[COUNT] || number[SECONDS] < 0)
        return false;
    if (!copy(file, "shift", s->d, 0, s->shift) || !copy(file, "mean", s->d, 0, s->mean) ||
        !copy(file, "block", block->shape[0], s->d, s->block) ||
        !copy(file, "scatter", s->d, s->d, s->scatter))
        return false;
    s->filled = (int)block->shape[0];
    s->n = (int64_t)number[COUNT];
    u->evaluated = (int64_t)number[EVALUATED];
    u->seconds = number[SECONDS];
    return true;
}

few_status few_unfinished_begin(few_unfinished *u, const char *folder, const char *text,
                                int64_t most, few_stats *stats, few_error *err)
{
    char name[64];
    few_safetensors *file;
    few_error ignored;
    few_stats found;
    memset(u, 0, sizeof *u);
    if (!folder)
        return FEW_OK;
    few_hash_text(text, strlen(text), u->key);
    snprintf(name, sizeof name, "eval-%s.safetensors", u->key);
    if (!(u->path = few_path_join(folder, name)))
        return few_fail(err, FEW_ENOMEM, "out of memory for an evaluation");
    if (!few_is_file(u->path) || few_safetensors_open(u->path, &file, &ignored) != FEW_OK)
        return FEW_OK;
    const few_status st = few_stats_init(&found, stats->d, err);
    if (st == FEW_OK && take(u, file, most, &found)) {
        few_stats_free(stats);
        *stats = found;
    } else if (st == FEW_OK) {
        few_stats_free(&found);
    }
    few_safetensors_close(file);
    return st;
}

/* ---- writing --------------------------------------------------------------------------------*/

static few_status add(few_safetensors_writer *w, const char *name, int64_t rows, int64_t columns,
                      const double *data, few_error *err)
{
    const int64_t shape[2] = { rows, columns };
    return few_safetensors_writer_add(w, name, FEW_SAFETENSORS_F64, columns ? 2 : 1, shape, data,
                                      err);
}

few_status few_unfinished_save(const few_unfinished *u, const few_stats *s, few_error *err)
{
    const double number[NUMBERS] = { (double)s->n, (double)u->evaluated, u->seconds };
    few_safetensors_writer *w = NULL;
    char folder[1024];
    few_status st = FEW_OK;
    if (!u->path)
        return FEW_OK;
    snprintf(folder, sizeof folder, "%.*s", (int)(strrchr(u->path, '/') - u->path), u->path);
    FEW_TRY(few_make_folders(folder, err));
    FEW_TRY(few_safetensors_writer_create(&w, err));
    FEW_GOTO(add(w, "numbers", NUMBERS, 0, number, err));
    FEW_GOTO(add(w, "shift", s->d, 0, s->shift, err));
    FEW_GOTO(add(w, "mean", s->d, 0, s->mean, err));
    FEW_GOTO(add(w, "block", s->filled, s->d, s->block, err));
    FEW_GOTO(add(w, "scatter", s->d, s->d, s->scatter, err));
    FEW_GOTO(few_safetensors_writer_metadata(w, "key", u->key, err));
    FEW_GOTO(few_safetensors_writer_write(w, u->path, err));
cleanup:
    few_safetensors_writer_free(w);
    return st;
}

void few_unfinished_remove(const few_unfinished *u)
{
    if (u->path)
        unlink(u->path);
}

void few_unfinished_free(few_unfinished *u)
{
    few_free(u->path);
    u->path = NULL;
}

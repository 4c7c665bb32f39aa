/* Statistics in safetensors files: mu [d], sigma [d,d], the names the field uses in its npz files.
 *
 * What is easy to get wrong: comparing with statistics of another network, size or resize filter
 * gives a number that looks fine. The notes in the file are there to refuse that. */
#include "eval/stats.h"

#include "base/safetensors.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

few_status few_moments_save(const few_moments *m, const char *path, const few_stats_note *notes,
                            int n_notes, few_error *err)
{
    few_safetensors_writer *w;
    FEW_TRY(few_safetensors_writer_create(&w, err));
    const int64_t shape[2] = { m->d, m->d };
    char count[32];
    snprintf(count, sizeof count, "%lld", (long long)m->n);
    few_status st;
    FEW_GOTO(few_safetensors_writer_add(w, "mu", FEW_SAFETENSORS_F64, 1, shape, m->mu, err));
    FEW_GOTO(few_safetensors_writer_add(w, "sigma", FEW_SAFETENSORS_F64, 2, shape, m->sigma, err));
    FEW_GOTO(few_safetensors_writer_metadata(w, "count", count, err));
    for (int k = 0; k < n_notes; k++)
        FEW_GOTO(few_safetensors_writer_metadata(w, notes[k].key, notes[k].text, err));
    FEW_GOTO(few_safetensors_writer_write(w, path, err));
cleanup:
    few_safetensors_writer_free(w);
    return st;
}

/* Copy a tensor of finite numbers to out. */
static few_status read_numbers(const few_safetensor *t, double *out, few_error *err)
{
    for (int64_t i = 0; i < t->count; i++) {
        float f;
        if (t->type == FEW_SAFETENSORS_F64) {
            memcpy(&out[i], (const double *)t->data + i, sizeof out[i]);
        } else {
            memcpy(&f, (const float *)t->data + i, sizeof f);
            out[i] = f;
        }
        if (!isfinite(out[i]))
            return few_fail(err, FEW_EFORMAT, "'%s' is not finite at %lld", t->name, (long long)i);
    }
    return FEW_OK;
}

static bool is_float(const few_safetensor *t)
{
    return t->type == FEW_SAFETENSORS_F64 || t->type == FEW_SAFETENSORS_F32;
}

static few_status load(const few_safetensors *file, const few_stats_note *notes, int n_notes,
                       few_moments *m, few_error *err)
{
    const few_safetensor *mu = few_safetensors_find(file, "mu");
    const few_safetensor *sigma = few_safetensors_find(file, "sigma");
    if (!mu || !sigma)
        return few_fail(err, FEW_EFORMAT, "no statistics: there is no tensor '%s'",
                        mu ? "sigma" : "mu");
    if (!is_float(mu) || !is_float(sigma))
        return few_fail(err, FEW_EFORMAT, "'mu' and 'sigma' must be F64 or F32, found %s and %s",
                        few_safetensors_type_name(mu->type),
                        few_safetensors_type_name(sigma->type));
    if (mu->rank != 1 || sigma->rank != 2 || sigma->shape[0] != mu->count ||
        sigma->shape[1] != mu->count)
        return few_fail(err, FEW_EFORMAT, "'mu' must have shape [d] and 'sigma' [d,d]");
    if (mu->count < 1 || mu->count > FEW_STATS_MAX_DIM)
        return few_fail(err, FEW_EFORMAT, "features of %lld numbers; 1 to %d are possible",
                        (long long)mu->count, FEW_STATS_MAX_DIM);

    for (int k = 0; k < n_notes; k++) {
        const char *found = few_safetensors_metadata(file, notes[k].key);
        if (found && strcmp(found, notes[k].text))
            return few_fail(err, FEW_EINVAL,
                            "made with %s '%s', but '%s' is compared with it; make the statistics "
                            "again the same way",
                            notes[k].key, found, notes[k].text);
    }

    FEW_TRY(few_moments_init(m, (int)mu->count, err));
    const char *count = few_safetensors_metadata(file, "count");
    if (count) {
        char *end;
        errno = 0;
        m->n = strtoll(count, &end, 10);
        if (errno || end == count || *end || m->n < 0)
            return few_fail(err, FEW_EFORMAT, "metadata 'count' is '%s', not a number", count);
    }
    FEW_TRY(read_numbers(mu, m->mu, err));
    return read_numbers(sigma, m->sigma, err);
}

few_status few_moments_load(const char *path, const few_stats_note *notes, int n_notes,
                            few_moments *out, few_error *err)
{
    few_safetensors *file;
    FEW_TRY(few_safetensors_open(path, &file, err));
    few_moments m = { 0 };
    const few_status st = load(file, notes, n_notes, &m, err);
    few_safetensors_close(file);
    if (st != FEW_OK) {
        few_moments_free(&m);
        few_fail_in(err, "'%s'", path);
        return st;
    }
    *out = m;
    return FEW_OK;
}

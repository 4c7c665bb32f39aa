/* What several commands need. */
#include "base/alloc.h"
#include "base/file.h"
#include "cli/command.h"
#include "image/npy.h"
#include "train/state.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

json_t *few_cli_number(double v)
{
    return v == floor(v) && fabs(v) < 1e15 ? json_integer((json_int_t)v) : json_real(v);
}

void few_cli_json(json_t *json)
{
    char *text = json ? json_dumps(json, JSON_INDENT(1) | JSON_REAL_PRECISION(9)) : NULL;
    puts(text ? text : "null");
    free(text);
    json_decref(json);
}

few_status few_cli_model_path(const char *run_or_file, char **path, few_error *err)
{
    *path = NULL;
    if (few_is_folder(run_or_file))
        return few_state_model_path(run_or_file, path, err);
    if (!few_is_file(run_or_file))
        return few_fail(err, FEW_ENOTFOUND, "'%s' is neither a checkpoint file nor a run folder",
                        run_or_file);
    *path = few_strdup(run_or_file);
    return *path ? FEW_OK : few_fail(err, FEW_ENOMEM, "out of memory");
}

char *few_cli_cache_folder(void)
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (cache && cache[0] == '/') /* a relative one is to be ignored, says the XDG specification */
        return few_path_join(cache, "fewstep");
    return home && *home ? few_path_join(home, ".cache/fewstep") : NULL;
}

few_status few_cli_load_noise(const char *path, const few_spec *s, int64_t count, float **z,
                              int64_t *n, few_error *err)
{
    few_map m;
    few_npy a;
    *z = NULL;
    FEW_TRY(few_map_open(&m, path, err));
    few_status st = few_npy_parse_whole(&a, m.data, m.n, err);
    if (st != FEW_OK)
        few_fail_in(err, "%s", path);
    else if (a.type != FEW_NPY_F32 || a.rank != 4 || a.dim[1] != s->height ||
             a.dim[2] != s->width || a.dim[3] != s->channels || a.dim[0] < 1)
        st = few_fail(err, FEW_EINVAL,
                      "'%s' must hold float32 [N,%d,%d,%d], the noise this model starts from", path,
                      s->height, s->width, s->channels);
    else if (count > a.dim[0])
        st = few_fail(err, FEW_EINVAL,
                      "'%s' holds noise for %" PRId64 " images, %" PRId64 " are asked for", path,
                      a.dim[0], count);
    else if (!(*z = few_malloc((size_t)a.bytes)))
        st = few_fail(err, FEW_ENOMEM, "out of memory for the noise");
    if (st == FEW_OK) {
        memcpy(*z, m.data + a.data, (size_t)a.bytes);
        *n = count ? count : a.dim[0];
    }
    few_map_close(&m);
    return st;
}

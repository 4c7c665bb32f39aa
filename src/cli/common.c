/* What several commands need. */
#include "base/alloc.h"
#include "base/file.h"
#include "cli/command.h"
#include "train/state.h"

#include <stdio.h>
#include <stdlib.h>

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

/* fewstep data trajectories: a teacher's paths from noise to data, for operator learning. */
#include "base/alloc.h"
#include "cli/command.h"
#include "cli/data_parts.h"
#include "cli/progress.h"
#include "train/trajectories.h"

static int on_progress(void *user, int64_t done, int64_t total)
{
    few_progress *p = user;
    p->total = total;
    few_progress_update(p, done, NULL);
    return few_cli_signal();
}

int few_cli_data_trajectories(const char *teacher, const char *output, few_trajectories_options *o)
{
    few_error err = { 0 };
    few_net net = { 0 };
    few_progress bar;
    const few_progress_sink sink = few_progress_stderr(few_cli_state.quiet);
    char *path = NULL;
    few_status st = few_cli_model_path(teacher, &path, &err);
    if (st == FEW_OK)
        st = few_net_load(&net, path, &err);
    few_free(path);
    if (st == FEW_OK) {
        few_cli_catch_signals();
        few_progress_begin(&bar, &sink, "trajectories", 1, "eval");
        o->progress = on_progress;
        o->user = &bar;
        st = few_trajectories_make(&net, o, output, &err);
        few_progress_end(&bar);
    }
    few_net_free(&net);
    if (st == FEW_ECANCELED)
        return few_cli_stopped("nothing is written");
    if (st != FEW_OK)
        return few_cli_fail(&err);
    few_cli_say("%s: %lld trajectories with %d states", output, (long long)o->count, o->states);
    return FEW_EXIT_OK;
}

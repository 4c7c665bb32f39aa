#include "cli/eval_parts.h"

#include "base/alloc.h"
#include "cli/command.h"
#include "cli/progress.h"
#include "diffusion/step.h"

#include <stdio.h>

static void print(const few_spec *s, const char *output)
{
    const few_doubles *e = &s->x_error;
    if (few_cli_state.json) {
        json_t *times = json_array(), *errors = json_array();
        for (int k = 0; k < e->n; k++) {
            json_array_append_new(times, json_real((double)(k + 1) / e->n));
            json_array_append_new(errors, json_real(e->v[k]));
        }
        few_cli_json(
            json_pack("{s:s, s:o, s:o}", "output", output, "times", times, "x_error", errors));
        return;
    }
    printf("%8s %12s %22s\n", "time", "x_error", "analytic x_var / 0.1");
    for (int k = 0; k < e->n; k++) {
        const double t = (double)(k + 1) / e->n;
        const few_angle a = few_angle_of(few_schedule_phi(&s->schedule, t));
        printf("%8.4f %12.6f %22.6f\n", t, e->v[k], few_x_var_analytic(a.alpha, a.sigma) / 0.1);
    }
}

int few_cli_eval_xvar(const char *model, const char *pack, const char *output,
                      few_x_error_options *o)
{
    few_error err = { 0 };
    few_net net = { 0 };
    few_pack *p = NULL;
    char *path = NULL;
    few_progress bar;
    const few_progress_sink sink = few_progress_stderr(few_cli_state.quiet);
    double *table = few_calloc((size_t)o->times, sizeof *table);
    o->progress = few_cli_eval_progress;
    o->user = &bar;
    few_progress_begin(&bar, &sink, "errors by time", 1, "eval");
    few_status st = table ? FEW_OK : few_fail(&err, FEW_ENOMEM, "out of memory for a table");
    if (st == FEW_OK)
        st = few_cli_model_path(model, &path, &err);
    if (st == FEW_OK)
        st = few_net_load(&net, path, &err);
    if (st == FEW_OK)
        st = few_pack_open(&p, pack, &err);
    if (st == FEW_OK)
        st = few_x_error(&net, p, o, table, &err);
    few_progress_end(&bar);
    if (st == FEW_OK) {
        few_free(net.spec.x_error.v);
        net.spec.x_error = (few_doubles){ table, o->times };
        table = NULL;
        st = few_net_save(&net.spec, &net.params, net.master, output, &err);
    }
    if (st == FEW_OK)
        print(&net.spec, output);
    if (net.master)
        few_net_free(&net);
    few_pack_close(p);
    few_free(path);
    few_free(table);
    if (st == FEW_ECANCELED && few_cli_signal())
        return few_cli_stopped("nothing is written");
    return st == FEW_OK ? FEW_EXIT_OK : few_cli_fail(&err);
}

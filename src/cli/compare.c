/* fewstep compare: methods, numbers of steps and seeds, side by side. */
#include "compare/compare.h"

#include "cli/command.h"
#include "cli/progress.h"

#include <stdio.h>
#include <string.h>

struct options {
    char *output;
    int threads;
    bool quick, plan;
};

static const few_option table[] = {
    { "output", FEW_OPT_STRING, offsetof(struct options, output), NULL, 0, 0,
      "folder; absent: runs/compare/RECIPE, or RECIPE-quick", NULL },
    { "quick", FEW_OPT_BOOL, offsetof(struct options, quick), "false", 0, 0,
      "with what the recipe's section 'quick' replaces", NULL },
    { "plan", FEW_OPT_BOOL, offsetof(struct options, plan), "false", 0, 0,
      "say what is done and what is to do, and do nothing", NULL },
    { "threads", FEW_OPT_INT, offsetof(struct options, threads), "0", 0, 256, "cores; 0: all",
      NULL },
    { .name = NULL },
};

struct watch {
    few_progress bar;
    char label[160];
    bool begun;
    int failed;
};

static void on_begin(void *user, const char *what, int64_t total, const char *unit)
{
    struct watch *w = user;
    const few_progress_sink sink = few_progress_stderr(few_cli_state.quiet);
    snprintf(w->label, sizeof w->label, "%s", what);
    w->begun = false;
    few_progress_begin(&w->bar, &sink, w->label, total, unit);
}

static void on_progress(void *user, int64_t done)
{
    struct watch *w = user;
    if (!w->begun) /* what is there already took no time */
        few_progress_resume(&w->bar, done);
    w->begun = true;
    few_progress_update(&w->bar, done, NULL);
}

static void on_end(void *user)
{
    struct watch *w = user;
    few_progress_end(&w->bar);
}

static void on_cell(void *user, const few_cell *c, int k, int n, double left)
{
    char time[64] = "";
    (void)user;
    if (left >= 0)
        snprintf(time, sizeof time, left < 5400 ? "; about %.0f min left" : "; about %.1f h left",
                 left < 5400 ? left / 60 : left / 3600);
    few_cli_say("%d of %d: %s, %.6g evaluation%s, FD %.4f%s", k + 1, n, c->name, c->nfe,
                c->nfe == 1 ? "" : "s", c->fd, time);
}

static void on_failed(void *user, const few_cell *c, const char *why)
{
    struct watch *w = user;
    w->failed++;
    few_cli_warn("%s is left out: %s", c->name, why);
}

static int on_stop(void *user)
{
    (void)user;
    return few_cli_signal();
}

static void print_plan(const few_compare *c)
{
    for (int k = 0; k < c->n_cells; k++) {
        const few_cell *cell = &c->cells[k];
        if (cell->done)
            printf("%-32s FD %.4f in %.6g\n", cell->name, cell->fd, cell->nfe);
        else
            printf("%-32s to do\n", cell->name);
    }
}

/* "runs/compare/NAME", with "-quick". */
static void default_folder(const char *recipe, bool quick, char *out, size_t room)
{
    const char *name = strrchr(recipe, '/');
    name = name ? name + 1 : recipe;
    const char *dot = strrchr(name, '.');
    const int n = dot && dot != name ? (int)(dot - name) : (int)strlen(name);
    snprintf(out, room, "runs/compare/%.*s%s", n, name, quick ? "-quick" : "");
}

static int run(const void *options, int n_args, char **args)
{
    const struct options *o = options;
    struct watch w = { 0 };
    const few_compare_watch watch = {
        &w, on_begin, on_progress, on_end, on_cell, on_failed, on_stop
    };
    few_compare c;
    few_error err = { 0 };
    char folder[512];
    (void)n_args;
    few_cli_catch_signals();
    default_folder(args[0], o->quick, folder, sizeof folder);
    const char *out = o->output ? o->output : folder;
    few_status st = few_compare_open(&c, args[0], out, o->quick, o->threads, &err);
    if (st != FEW_OK)
        return few_cli_fail(&err);
    if (o->plan) {
        print_plan(&c);
        few_compare_close(&c);
        return FEW_EXIT_OK;
    }
    st = few_compare_run(&c, &watch, &err);
    const int done = few_compare_done(&c), with_others = c.n_cells - done - w.failed;
    few_compare_close(&c);
    if (st == FEW_ECANCELED && few_cli_signal())
        return few_cli_stopped("the same command goes on");
    if (st != FEW_OK)
        return few_cli_fail(&err);
    if (with_others)
        few_cli_say("%d more %s with another process", with_others,
                    with_others == 1 ? "is" : "are");
    if (done)
        few_cli_say("wrote compare.html, .md, .tsv, .svg and .png in %s", out);
    if (few_cli_state.json)
        few_cli_json(json_pack("{s:s, s:i}", "folder", out, "with_others", with_others));
    return w.failed ? FEW_EXIT_DIVERGED : FEW_EXIT_OK;
}

const few_command few_command_compare = {
    .name = "compare",
    .help = "train and measure several methods side by side",
    .usage = "compare RECIPE [-o FOLDER] [--quick] [OPTIONS]",
    .more = "RECIPE names a teacher, students by method and number of steps, and samplers\n"
            "(docs/compare.md). Stopped and started again, it goes on where it was;\n"
            "started several times, with --threads, the processes share the work.\n",
    .options = table,
    .options_size = sizeof(struct options),
    .min_args = 1,
    .max_args = 1,
    .run = run,
};

/* Training with a bar, a way to stop and a way to go on. */
#define _GNU_SOURCE
#include "cli/training.h"

#include "base/file.h"
#include "base/thread.h"
#include "cli/command.h"
#include "cli/progress.h"
#include "cpu/simd.h"
#include "train/run.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

few_status few_overrides_apply(const few_overrides *o, few_config *c, few_error *err)
{
    FEW_TRY(few_config_set_all(c, &o->set, "--set", err));
    if (o->threads)
        c->train.threads = o->threads;
    if (o->precision)
        FEW_TRY(few_config_set(c, "train.precision", o->precision, "--precision", err));
    return FEW_OK;
}

struct watch {
    few_progress bar;
    bool begun;
};

static void on_progress(void *user, const few_run_progress *p)
{
    struct watch *w = user;
    if (!w->begun) {
        w->bar.total = p->steps;
        few_progress_resume(&w->bar, p->step - 1);
        w->begun = true;
    }
    few_progress_update(&w->bar, p->step, "%.0f images/s, loss %.4f%s", p->images_per_second,
                        p->loss, p->skipped ? ", skipped some" : "");
}

static void on_note(void *user, const char *text)
{
    struct watch *w = user;
    few_progress_hide(&w->bar);
    few_cli_say("%s", text);
}

static int on_stop(void *user)
{
    (void)user;
    return few_cli_signal();
}

/* Ask before a folder is deleted. */
static bool may_delete(const char *folder, bool yes)
{
    char answer[8];
    if (!few_is_folder(folder) || yes)
        return true;
    if (!isatty(0)) {
        fprintf(stderr, "fewstep: --fresh would delete '%s'; add --yes to agree\n", folder);
        return false;
    }
    fprintf(stderr, "delete everything in '%s'? [y/N] ", folder);
    return fgets(answer, sizeof answer, stdin) && (answer[0] == 'y' || answer[0] == 'Y');
}

static void say_how(const few_config *c)
{
    const char *isa_why, *precision_why;
    const few_simd *simd = few_simd_get(&isa_why);
    const char *name = c->train.precision;
    const few_precision asked = few_precision_named(name);
    const few_precision got = few_cpu_resolve(asked, &precision_why);
    few_cli_say("%s (%s), %s kernels, %d threads", got == FEW_PRECISION_BF16 ? "bf16" : "f32",
                precision_why, simd->name,
                c->train.threads ? c->train.threads : few_thread_count());
}

int few_cli_train(const few_config *c, const char *folder, const char *label, bool fresh, bool yes,
                  bool must_resume)
{
    struct watch w = { .begun = false };
    few_error err = { 0 };
    const few_progress_sink sink = few_progress_stderr(few_cli_state.quiet);
    if (fresh && !may_delete(folder, yes))
        return FEW_EXIT_FAILURE;
    few_cli_catch_signals();
    say_how(c);
    few_progress_begin(&w.bar, &sink, label, c->train.steps, "step");
    const few_run_watch watch = { .user = &w,
                                  .progress = on_progress,
                                  .note = on_note,
                                  .stop = on_stop,
                                  .fresh = fresh,
                                  .must_resume = must_resume };
    const few_status st = few_run(c, folder, &watch, &err);
    few_progress_end(&w.bar);
    if (st == FEW_ECANCELED) {
        few_cli_say("%s; go on with: fewstep train %s", err.text, folder);
        return 128 + few_cli_signal();
    }
    if (st != FEW_OK)
        return few_cli_fail(&err);
    if (few_cli_state.json)
        few_cli_json(json_pack("{s:s, s:I}", "run", folder, "steps", (json_int_t)c->train.steps));
    return FEW_EXIT_OK;
}

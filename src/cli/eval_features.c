#include "cli/eval_parts.h"

#include "base/alloc.h"
#include "base/file.h"
#include "cli/command.h"
#include "cli/progress.h"

#include <stdio.h>
#include <string.h>

int few_cli_eval_features(const char *pack, const char *reference, const char *output,
                          few_features_training *t)
{
    few_error err = { 0 };
    few_pack *train = NULL, *test = NULL;
    char *beside = few_pack_beside(pack, "-features.safetensors"),
         *test_beside = few_pack_beside(pack, "-test.few");
    few_progress bar;
    const few_progress_sink sink = few_progress_stderr(few_cli_state.quiet);
    t->progress = few_cli_eval_progress;
    t->user = &bar;
    char name[64];
    const char *base = strrchr(pack, '/');
    snprintf(name, sizeof name, "%s", base ? base + 1 : pack);
    if (strrchr(name, '.'))
        *strrchr(name, '.') = 0;
    few_status st = beside && test_beside ? FEW_OK : few_fail(&err, FEW_ENOMEM, "out of memory");
    if (!output)
        output = beside;
    if (!reference && st == FEW_OK && few_is_file(test_beside))
        reference = test_beside;
    few_progress_begin(&bar, &sink, "features", 1, "it");
    if (st == FEW_OK)
        st = few_pack_open(&train, pack, &err);
    if (st == FEW_OK && reference)
        st = few_pack_open(&test, reference, &err);
    const int64_t images = st == FEW_OK ? few_pack_get_info(train)->count : 0;
    if (images < t->batch && images >= 16)
        t->batch = (int)(images / 16 * 16);
    if (st == FEW_OK)
        st = few_features_train(train, test, name, output, t, &err);
    few_progress_end(&bar);
    if (st == FEW_OK && few_cli_state.json)
        few_cli_json(json_pack("{s:s, s:s, s:f, s:f}", "output", output, "task",
                               t->unlabelled ? "lessons" : "classes", "loss", t->loss, "accuracy",
                               t->accuracy));
    else if (st == FEW_OK && t->accuracy >= 0)
        printf("%s: %s of %.2f %% of the test images\n", output,
               t->unlabelled ? "without classes, it tells turn and blur" : "it tells the class",
               100 * t->accuracy);
    else if (st == FEW_OK)
        printf("%s: loss %.4f\n", output, t->loss);
    few_pack_close(train);
    few_pack_close(test);
    const int code = st == FEW_OK ? FEW_EXIT_OK
                     : st == FEW_ECANCELED && few_cli_signal()
                         ? few_cli_stopped("nothing is written")
                         : few_cli_fail(&err);
    few_free(beside);
    few_free(test_beside);
    return code;
}

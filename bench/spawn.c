#include "spawn.h"

#include "base/strbuf.h"

#include <jansson.h>
#include <stdio.h>

static bool read_figures(FILE *from, few_figures *f)
{
    json_t *o = json_loadf(from, 0, NULL);
    *f = (few_figures){ 0 };
    const bool ok =
        o && !json_unpack(o, "{s?:{s:F, s:F, s:F}, s?:F, s?:F}", "sample_images_per_second", "1",
                          &f->v[FEW_SAMPLE_1], "16", &f->v[FEW_SAMPLE_16], "64",
                          &f->v[FEW_SAMPLE_64], "train_images_per_second", &f->v[FEW_TRAIN],
                          "distill_images_per_second", &f->v[FEW_DISTILL]);
    json_decref(o);
    return ok;
}

few_status few_spawn_bench(const char *fewstep, const char *config, int n_args, char *const *args,
                           few_figures *out, few_error *err)
{
    few_strbuf command;
    few_strbuf_init(&command);
    few_strbuf_addf(&command, "'%s' bench step '%s' --json", fewstep, config);
    for (int k = 0; k < n_args; k++)
        few_strbuf_addf(&command, " '%s'", args[k]);
    FILE *from = popen(command.s, "r");
    const bool read = from && read_figures(from, out);
    const bool ok = from && pclose(from) == 0 && read;
    const few_status st =
        ok ? FEW_OK : few_fail(err, FEW_EINVAL, "this did not work: %s", command.s);
    few_strbuf_free(&command);
    return st;
}

/* fewstep train: a run from a configuration, or a run folder that goes on. */
#include "base/alloc.h"
#include "base/file.h"
#include "cli/command.h"
#include "cli/training.h"

#include <stdio.h>
#include <string.h>

struct options {
    char *output;
    few_overrides over;
    bool fresh, yes;
};

static const few_option table[] = { FEW_TRAINING_OPTIONS(struct options), { .name = NULL } };

/* runs/NAME for a configuration .../NAME.yaml. */
static char *default_folder(const char *config)
{
    char name[256];
    const char *base = strrchr(config, '/');
    snprintf(name, sizeof name, "%s", base ? base + 1 : config);
    if (strrchr(name, '.'))
        *strrchr(name, '.') = 0;
    return few_path_join("runs", name);
}

static int run(const void *options, int n_args, char **args)
{
    const struct options *o = options;
    few_error err = { 0 };
    few_config c;
    (void)n_args;
    const bool resume = few_is_folder(args[0]);
    char *config = resume ? few_path_join(args[0], "config.yaml") : few_strdup(args[0]);
    char *folder = resume      ? few_strdup(args[0])
                   : o->output ? few_strdup(o->output)
                               : default_folder(args[0]);
    few_status st = config && folder ? FEW_OK : few_fail(&err, FEW_ENOMEM, "out of memory");
    if (st == FEW_OK && resume && !few_is_file(config))
        st = few_fail(&err, FEW_ENOTFOUND, "'%s' is no run: it has no config.yaml", args[0]);
    if (st == FEW_OK)
        st = few_config_load(&c, config, NULL, &err);
    few_free(config);
    if (st != FEW_OK) {
        few_free(folder);
        return few_cli_fail(&err);
    }
    int code;
    st = few_overrides_apply(&o->over, &c, &err);
    if (st != FEW_OK)
        code = few_cli_fail(&err);
    else
        code = few_cli_train(&c, folder, c.method->name, o->fresh, o->yes, resume);
    few_config_clear(&c);
    few_free(folder);
    return code;
}

const few_command few_command_train = {
    .name = "train",
    .help = "train a model, or go on with a run",
    .usage = "train CONFIG|RUN [-o RUN] [OPTIONS]",
    .more = "CONFIG is a YAML file, RUN a folder that an earlier training made. The same command "
            "again\n"
            "goes on where it stopped. Ctrl-C saves first.\n",
    .options = table,
    .options_size = sizeof(struct options),
    .min_args = 1,
    .max_args = 1,
    .run = run,
};

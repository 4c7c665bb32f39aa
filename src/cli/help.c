/* fewstep help [COMMAND]. */
#include "cli/command.h"

#include <stdio.h>
#include <string.h>

static int overview(void)
{
    printf(
        "fewstep %s: generation in a few network evaluations\n\nusage: fewstep COMMAND [OPTIONS] "
        "ARGS\n\n",
        few_version());
    for (int k = 0; k < few_n_commands; k++)
        printf("  %-10s %s\n", few_commands[k]->name, few_commands[k]->help);
    printf("\nfewstep COMMAND --help tells more. Start with:\n"
           "  fewstep sample pretrained/fashion-mcd4.safetensors -n 64 -o a.png\n");
    return FEW_EXIT_OK;
}

static int run(const void *options, int n_args, char **args)
{
    (void)options;
    if (n_args == 0)
        return overview();
    for (int k = 0; k < few_n_commands; k++)
        if (!strcmp(few_commands[k]->name, args[0])) {
            few_cli_help(few_commands[k]);
            return FEW_EXIT_OK;
        }
    fprintf(stderr, "fewstep help: unknown command '%s'\n", args[0]);
    return FEW_EXIT_USAGE;
}

const few_command few_command_help = {
    .name = "help",
    .help = "this overview, or all about a command",
    .usage = "help [COMMAND]",
    .min_args = 0,
    .max_args = 1,
    .run = run,
};

/* fewstep COMMAND [OPTIONS] ARGS: finds the command, reads its options by its table, runs it. */
#define _GNU_SOURCE
#include "cli/command.h"

#include "base/alloc.h"
#include "base/thread.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define X(name) &few_command_##name,
const few_command *const few_commands[] = {
#include "cli/list.def"
};
#undef X
const int few_n_commands = (int)FEW_COUNT(few_commands);

few_cli few_cli_state;

/* ---- messages -------------------------------------------------------------------------------*/

int few_cli_fail(const few_error *err)
{
    fprintf(stderr, "fewstep: %s\n", err->text[0] ? err->text : few_status_text(err->code));
    return err->code == FEW_EDIVERGED ? FEW_EXIT_DIVERGED : FEW_EXIT_FAILURE;
}

void few_cli_say(const char *fmt, ...)
{
    if (few_cli_state.quiet)
        return;
    va_list ap;
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
}

void few_cli_warn(const char *fmt, ...)
{
    va_list ap;
    fputs(few_cli_state.colour ? "\033[33mwarning:\033[0m " : "warning: ", stderr);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
}

/* ---- signals --------------------------------------------------------------------------------*/

static volatile sig_atomic_t caught;

static void on_signal(int number)
{
    if (caught)
        _exit(128 + number);
    caught = number;
}

void few_cli_catch_signals(void)
{
    struct sigaction a = { .sa_handler = on_signal };
    sigaction(SIGINT, &a, NULL);
    sigaction(SIGTERM, &a, NULL);
}

int few_cli_stopped(const char *what)
{
    few_cli_say("stopped; %s", what);
    return 128 + few_cli_signal();
}

int few_cli_signal(void)
{
    return caught;
}

/* ---- options --------------------------------------------------------------------------------*/

static int usage_error(const few_command *c, const few_error *err)
{
    fprintf(stderr, "fewstep %s: %s\nusage: fewstep %s\n", c->name, err->text, c->usage);
    return FEW_EXIT_USAGE;
}

void few_cli_help(const few_command *c)
{
    few_strbuf b;
    few_strbuf_init(&b);
    few_strbuf_addf(&b, "fewstep %s: %s\n\nusage: fewstep %s\n", c->name, c->help, c->usage);
    if (c->options && c->options[0].name) {
        few_strbuf_add(&b, "\noptions:\n");
        few_options_help(c->options, &b);
    }
    few_strbuf_add(&b, "\nand for every command: --json (results for programs), -q (quiet), "
                       "-h (this text)\n");
    if (c->more)
        few_strbuf_addf(&b, "\n%s", c->more);
    fputs(b.s, stdout);
    few_strbuf_free(&b);
}

/* "--batch-size" and "batch_size" are the same; "-o X" is "--output X", "-n X" is "--count X". */
static const char *long_name(const char *arg, char buf[64])
{
    if (!strcmp(arg, "-o"))
        return "output";
    if (!strcmp(arg, "-n"))
        return "count";
    if (strncmp(arg, "--", 2) != 0 || !arg[2])
        return NULL;
    snprintf(buf, 64, "%s", arg + 2);
    for (char *s = buf; *s; s++)
        if (*s == '-')
            *s = '_';
    return buf;
}

/* Set an option; a list given a second time ("--set a=1 --set b=2") grows. */
static few_status set_option(const few_option *table, void *target, const char *name,
                             const char *value, uint64_t *given, const char *where, few_error *err)
{
    const few_option *o = few_option_find(table, name);
    const bool grow = o && o->type == FEW_OPT_STRINGS && (*given >> (o - table) & 1);
    if (o)
        *given |= UINT64_C(1) << (o - table);
    if (!grow)
        return few_option_set(table, target, name, value, where, err);
    few_strbuf all;
    few_strbuf_init(&all);
    few_option_print(o, target, &all);
    few_strbuf_addf(&all, "%s%s", all.n ? "," : "", value);
    const few_status st = all.failed ? few_fail(err, FEW_ENOMEM, "out of memory for %s", where)
                                     : few_option_set(table, target, name, all.s, where, err);
    few_strbuf_free(&all);
    return st;
}

enum parsed { RUN, HELP, FAILED };

/* The options every command takes, before or after its name. */
static bool set_common(const char *arg)
{
    if (!strcmp(arg, "-q") || !strcmp(arg, "--quiet"))
        few_cli_state.quiet = true;
    else if (!strcmp(arg, "--json"))
        few_cli_state.json = true;
    else
        return false;
    return true;
}

/* Split argv into options (set in target) and positional arguments (moved to the front). */
static enum parsed parse(const few_command *c, void *target, int *n, char **argv, few_error *err)
{
    int kept = 0;
    uint64_t given = 0;
    bool only_args = false;
    for (int k = 0; k < *n; k++) {
        char *arg = argv[k], buf[64];
        if (only_args || arg[0] != '-' || !arg[1]) {
            argv[kept++] = arg;
            continue;
        }
        if (!strcmp(arg, "--")) {
            only_args = true;
        } else if (!strcmp(arg, "-h") || !strcmp(arg, "--help")) {
            return HELP;
        } else if (!set_common(arg)) {
            const char *name = long_name(arg, buf);
            if (!name) {
                few_fail(err, FEW_EINVAL, "unknown option '%s'; see fewstep %s --help", arg,
                         c->name);
                return FAILED;
            }
            char *equals = strchr(buf, '=');
            const char *value = NULL;
            if (name == buf && equals) {
                *equals = 0;
                value = strchr(arg, '=') + 1;
            }
            const few_option *o = c->options ? few_option_find(c->options, name) : NULL;
            if (!value && o && o->type == FEW_OPT_BOOL)
                value = "true";
            else if (!value && o && k + 1 < *n)
                value = argv[++k];
            else if (!value && o) {
                few_fail(err, FEW_EINVAL, "option '%s' wants a value", arg);
                return FAILED;
            }
            static const few_option none[] = { { .name = NULL } };
            if (set_option(c->options ? c->options : none, target, name, value ? value : "", &given,
                           arg, err) != FEW_OK)
                return FAILED;
        }
    }
    *n = kept;
    if (kept < c->min_args) {
        few_fail(err, FEW_EINVAL, "an argument is missing");
        return FAILED;
    }
    if (c->max_args >= 0 && kept > c->max_args) {
        few_fail(err, FEW_EINVAL, "'%s' is an argument too many", argv[c->max_args]);
        return FAILED;
    }
    return RUN;
}

static int run_command(const few_command *c, int n, char **argv)
{
    few_error err = { 0 };
    void *options = few_calloc(1, c->options_size + 1);
    int code = FEW_EXIT_FAILURE;
    if (!options || (c->options && few_options_defaults(c->options, options, &err) != FEW_OK)) {
        fprintf(stderr, "fewstep: %s\n", err.text[0] ? err.text : "out of memory");
    } else {
        switch (parse(c, options, &n, argv, &err)) {
        case HELP:
            few_cli_help(c);
            code = FEW_EXIT_OK;
            break;
        case FAILED:
            code = usage_error(c, &err);
            break;
        case RUN:
            code = c->run(options, n, argv);
        }
    }
    if (options && c->options)
        few_options_clear(c->options, options);
    few_free(options);
    return code;
}

int main(int argc, char **argv)
{
    setvbuf(stderr, NULL, _IOLBF, 0);
    few_cli_state.colour = isatty(2) && !getenv("NO_COLOR");
    while (argc > 1 && set_common(argv[1])) {
        argc--;
        argv++;
    }
    if (argc < 2)
        return few_command_help.run(NULL, 0, NULL), FEW_EXIT_USAGE;
    if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V"))
        return printf("fewstep %s (%s)\n", few_version(), few_revision()), FEW_EXIT_OK;
    const char *name = argv[1];
    if (!strcmp(name, "--help") || !strcmp(name, "-h"))
        name = "help";
    const char *known[64];
    for (int k = 0; k < few_n_commands; k++) {
        if (!strcmp(few_commands[k]->name, name))
            return run_command(few_commands[k], argc - 2, argv + 2);
        known[k] = few_commands[k]->name;
    }
    const char *near = few_nearest(name, known, few_n_commands);
    fprintf(stderr, "fewstep: unknown command '%s'%s%s%s; fewstep help lists them\n", name,
            near ? ", did you mean '" : "", near ? near : "", near ? "'" : "");
    return FEW_EXIT_USAGE;
}

/* What a command of the program is: one file ending in one `const few_command`, one line in
 * list.def. main.c only dispatches. */
#ifndef FEW_CLI_COMMAND_H
#define FEW_CLI_COMMAND_H

#include "base/option.h"
#include "model/spec.h"

/* Exit codes, part of the program's contract. */
enum { FEW_EXIT_OK = 0, FEW_EXIT_FAILURE = 1, FEW_EXIT_USAGE = 2, FEW_EXIT_DIVERGED = 3 };

typedef struct few_command {
    const char *name, *help; /* help: one line */
    const char *usage;       /* "train CONFIG|RUN [OPTIONS]" */
    const char *more;        /* text under the options of --help, or NULL */
    const few_option *options;
    size_t options_size;
    int min_args, max_args; /* positional; max_args < 0: any number */
    int (*run)(const void *options, int n_args, char **args);
} few_command;

#define X(name) extern const few_command few_command_##name;
#include "cli/list.def"
#undef X

extern const few_command *const few_commands[];
extern const int few_n_commands;

/* Options every command takes. Set before a command runs. */
typedef struct few_cli {
    bool quiet, json;
    bool colour; /* stderr is a terminal and NO_COLOR is not set */
} few_cli;
extern few_cli few_cli_state;

/* The full help of a command, to stdout. */
void few_cli_help(const few_command *c);

/* "fewstep: TEXT" to stderr; returns the exit code that fits the error. */
int few_cli_fail(const few_error *err);
/* A line for people to stderr, unless -q. */
void few_cli_say(const char *fmt, ...) FEW_PRINTF(1, 2);
/* The same with "warning: " in front. */
void few_cli_warn(const char *fmt, ...) FEW_PRINTF(1, 2);

/* A line of JSON to stdout; takes the reference (NULL: out of memory or a text that is not UTF-8,
 * which prints null). */
void few_cli_json(json_t *json);

/* A whole number where it is one: 8, or 7.5. */
json_t *few_cli_number(double v);

/* SIGINT and SIGTERM set a flag; a second one ends the program at once. The signal's number, or 0.
 */
void few_cli_catch_signals(void);
int few_cli_signal(void);
/* After such a signal: says that the command stopped and `what` became of its work, and returns the
 * exit code. */
int few_cli_stopped(const char *what);

/* A checkpoint's path for RUN_OR_FILE: the file itself, or the newest model of a run folder. The
 * caller frees it. */
few_status few_cli_model_path(const char *run_or_file, char **path, few_error *err);

/* Where unfinished work is kept, such as evaluations: $XDG_CACHE_HOME/fewstep or ~/.cache/fewstep,
 * which may not be there yet. NULL without either or out of memory; the caller frees it. */
char *few_cli_cache_folder(void);

/* The images of a .npy, float32 [N,H,W,C] of the model's size, that sampling starts from; the first
 * `count` of them, or all (0). The caller frees *z, [*n,h,w,c]. */
few_status few_cli_load_noise(const char *path, const few_spec *spec, int64_t count, float **z,
                              int64_t *n, few_error *err);

#endif

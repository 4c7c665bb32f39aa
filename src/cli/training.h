/* What train and distill share: run a configuration with a progress bar, to its end or a signal. */
#ifndef FEW_CLI_TRAINING_H
#define FEW_CLI_TRAINING_H

#include "train/config.h"

/* Settings on the command line that override the configuration. */
typedef struct few_overrides {
    few_strings set; /* key=value */
    int threads;     /* 0: as configured */
    char *precision; /* NULL: as configured */
} few_overrides;

few_status few_overrides_apply(const few_overrides *o, few_config *c, few_error *err);

/* Returns the exit code. fresh asks before it deletes, unless yes. must_resume: a folder without a
 * checkpoint is refused. label: beside the progress bar. */
int few_cli_train(const few_config *c, const char *folder, const char *label, bool fresh, bool yes,
                  bool must_resume);

/* The rows of the option table both commands have, for a struct with these fields. */
#define FEW_TRAINING_OPTIONS(type)                                                                 \
    { "output", FEW_OPT_STRING, offsetof(type, output), NULL, 0, 0, "run folder", NULL },          \
        { "set",                                                                                   \
          FEW_OPT_STRINGS,                                                                         \
          offsetof(type, over.set),                                                                \
          NULL,                                                                                    \
          0,                                                                                       \
          0,                                                                                       \
          "settings, such as train.steps=1000,train.lr=1e-4",                                      \
          NULL },                                                                                  \
        { "threads", FEW_OPT_INT, offsetof(type, over.threads), "0",                               \
          0,         256,         "cores; 0: as configured",    NULL },                            \
        { "precision",      FEW_OPT_CHOICE, offsetof(type, over.precision), NULL, 0, 0,            \
          "of activations", "auto|f32|bf16" },                                                     \
        { "fresh",                                                                                 \
          FEW_OPT_BOOL,                                                                            \
          offsetof(type, fresh),                                                                   \
          "false",                                                                                 \
          0,                                                                                       \
          0,                                                                                       \
          "delete what the folder holds and begin again",                                          \
          NULL },                                                                                  \
    {                                                                                              \
        "yes", FEW_OPT_BOOL, offsetof(type, yes), "false", 0, 0, "do not ask", NULL                \
    }

#endif

/* fewstep distill: a few-step student from a teacher. */
#include "base/alloc.h"
#include "base/file.h"
#include "cli/command.h"
#include "cli/training.h"
#include "model/checkpoint.h"

#include <stdio.h>
#include <string.h>

struct options {
    char *output, *method, *config, *data, *init;
    int steps;
    few_overrides over;
    bool fresh, yes;
};

static const few_option table[] = {
    { "steps", FEW_OPT_INT, offsetof(struct options, steps), "0", 0, 64,
      "network evaluations the student is made for, 1 to 64", NULL },
    { "method", FEW_OPT_STRING, offsetof(struct options, method), NULL, 0, 0,
      "how; absent: mcd (fewstep list methods)", NULL },
    { "config", FEW_OPT_STRING, offsetof(struct options, config), NULL, 0, 0,
      "configuration; absent: defaults, and the teacher's data", NULL },
    { "data", FEW_OPT_STRING, offsetof(struct options, data), NULL, 0, 0,
      "pack to train on, for dsno trajectories; absent: the configuration's, or those of TEACHER's "
      "run "
      "(a file has none)",
      NULL },
    { "init", FEW_OPT_STRING, offsetof(struct options, init), NULL, 0, 0,
      "checkpoint or run to start from, such as a student of more steps; absent: TEACHER", NULL },
    FEW_TRAINING_OPTIONS(struct options),
    { .name = NULL },
};

/* The data of the teacher's own run, when TEACHER is its folder. */
static few_status inherit_data(few_config *c, const char *teacher, few_error *err)
{
    few_config t;
    char *path = few_path_join(teacher, "config.yaml");
    few_status st = FEW_OK;
    if (path && few_is_file(path) && few_config_load(&t, path, NULL, err) == FEW_OK) {
        if (t.data.path)
            st = few_config_set(c, "data.path", t.data.path, path, err);
        if (st == FEW_OK && t.data.test)
            st = few_config_set(c, "data.test", t.data.test, path, err);
        c->data.flip = t.data.flip;
        few_config_clear(&t);
    }
    few_free(path);
    return st;
}

static few_status complete(few_config *c, const struct options *o, const char *teacher,
                           const char *path, few_error *err)
{
    if (o->method && strcmp(o->method, c->method->name) != 0)
        return few_fail(err, FEW_ECONFIG,
                        "%s is written for method '%s', --method says '%s': its settings would be "
                        "lost; take another file, or change its method.name",
                        o->config, c->method->name, o->method);
    if (!c->method->makes_student)
        return few_fail(err, FEW_EINVAL,
                        "method '%s' makes no student; those that do: fewstep list methods",
                        c->method->name);
    if (o->data)
        FEW_TRY(few_config_set_data(c, o->data, "--data", err));
    if (!c->data.path)
        FEW_TRY(inherit_data(c, teacher, err));
    if (o->init) {
        char *init;
        FEW_TRY(few_cli_model_path(o->init, &init, err));
        const few_status st = few_config_set(c, "student.init", init, "--init", err);
        few_free(init);
        FEW_TRY(st);
    }
    c->student.steps = o->steps;
    FEW_TRY(few_config_set(c, "student.teacher", path, "TEACHER", err));
    return few_overrides_apply(&o->over, c, err);
}

static int run(const void *options, int n_args, char **args)
{
    const struct options *o = options;
    few_error err = { 0 };
    few_config c;
    char *path = NULL, label[64];
    (void)n_args;
    if (o->steps < 1 || !o->output) {
        fprintf(stderr, "fewstep distill: %s\n",
                o->steps < 1 ? "--steps S is missing: for how many steps the student is made"
                             : "-o RUN is missing: the folder of the run");
        return FEW_EXIT_USAGE;
    }
    few_status st = few_cli_model_path(args[0], &path, &err);
    if (st == FEW_OK)
        st = few_config_load(&c, o->config, o->method ? o->method : "mcd", &err);
    if (st != FEW_OK) {
        few_free(path);
        return few_cli_fail(&err);
    }
    st = complete(&c, o, args[0], path, &err);
    int code;
    if (st != FEW_OK) {
        code = few_cli_fail(&err);
    } else {
        snprintf(label, sizeof label, "%s, %d step%s", c.method->name, o->steps,
                 o->steps == 1 ? "" : "s");
        code = few_cli_train(&c, o->output, label, o->fresh, o->yes, false);
    }
    few_config_clear(&c);
    few_free(path);
    return code;
}

const few_command few_command_distill = {
    .name = "distill",
    .help = "make a few-step student from a teacher",
    .usage = "distill TEACHER --steps S [--method mcd] [--config C] -o RUN [OPTIONS]",
    .more = "TEACHER is a checkpoint file or the folder of a run.\n",
    .options = table,
    .options_size = sizeof(struct options),
    .min_args = 1,
    .max_args = 1,
    .run = run,
};

/* fewstep inspect: what a checkpoint, run folder or pack says of itself; no weights are computed
 * with. */
#include "base/alloc.h"
#include "base/file.h"
#include "cli/command.h"
#include "image/pack.h"
#include "model/checkpoint.h"
#include "train/state.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A checkpoint's description and what its weights come to: a new reference. */
static json_t *describe(const few_net *n, const char *path)
{
    json_t *o = few_spec_to_json(&n->spec);
    int64_t scalars = 0;
    for (int k = 0; k < n->params.n; k++)
        scalars += n->params.v[k].count;
    json_object_set_new(o, "file", json_string(path));
    json_object_set_new(o, "parameters", json_integer(scalars));
    json_object_set_new(o, "tensors", json_integer(n->params.n));
    json_object_set_new(o, "hash", json_string(n->hash));
    return o;
}

static void print_text(const few_net *n, const char *path, const json_t *o)
{
    const few_spec *s = &n->spec;
    printf("%s\n  kind         %s", path, s->kind);
    if (s->steps)
        printf(", made for %d step%s", s->steps, s->steps == 1 ? "" : "s");
    printf("\n  images       %dx%d, %d channel%s\n", s->width, s->height, s->channels,
           s->channels == 1 ? "" : "s");
    printf("  network      %s, %" PRId64 " parameters in %d tensors\n", s->network->name,
           (int64_t)json_integer_value(json_object_get(o, "parameters")), n->params.n);
    printf("  predicts     %s%s\n", s->prediction.kind->name,
           s->clip ? ", x held in [-1, 1] when sampling" : "");
    char *schedule = json_dumps(json_object_get(o, "schedule"), JSON_COMPACT);
    printf("  schedule     %s\n", schedule ? schedule : "");
    free(schedule);
    if (s->steps) { /* the times it is evaluated at */
        printf("  times        ");
        for (int k = s->steps; k > 0; k--)
            printf("%s%d/%d", k < s->steps ? ", " : "", k, s->steps);
        printf("\n");
    }
    if (s->classes)
        printf("  classes      %d%s\n", s->classes,
               s->null_class ? ", and none (guidance works)" : "");
    for (int k = 0; k < s->class_names.n; k++)
        printf("    %-4d       %s\n", k, s->class_names.v[k]);
    printf("  data         %s %s\n", s->data_name ? s->data_name : "unknown",
           s->data_hash ? s->data_hash : "");
    printf("  hash         %s\n", n->hash);
    size_t k;
    json_t *h;
    json_array_foreach(s->history, k, h)
    {
        char *text = json_dumps(h, JSON_COMPACT);
        printf("  history %-4zu %s\n", k + 1, text ? text : "");
        free(text);
    }
}

struct options {
    char *output;
    bool half;
};

static const few_option table[] = {
    { "output", FEW_OPT_STRING, offsetof(struct options, output), NULL, 0, 0,
      "copy the checkpoint to this file", NULL },
    { "half", FEW_OPT_BOOL, offsetof(struct options, half), "false", 0, 0,
      "with weights rounded to F16, half the size", NULL },
    { .name = NULL },
};

static int run(const void *options, int n_args, char **args)
{
    const struct options *opt = options;
    few_error err = { 0 };
    few_net n;
    char *path = NULL;
    (void)n_args;
    int64_t step = -1;
    few_status st = few_is_folder(args[0]) ? few_state_newest(args[0], &step, &err) : FEW_OK;
    if (step >= 0 && !few_cli_state.json)
        printf("run %s: newest checkpoint at step %" PRId64 "\n", args[0], step);
    if (st == FEW_OK)
        st = few_cli_model_path(args[0], &path, &err);
    if (st == FEW_OK)
        st = few_net_load(&n, path, &err);
    if (st != FEW_OK) {
        few_free(path);
        return few_cli_fail(&err);
    }
    json_t *o = describe(&n, path);
    if (few_cli_state.json)
        few_cli_json(json_incref(o));
    else
        print_text(&n, path, o);
    json_decref(o);
    if (opt->output)
        st = (opt->half ? few_net_save_half : few_net_save)(&n.spec, &n.params, n.master,
                                                            opt->output, &err);
    few_net_free(&n);
    few_free(path);
    return st == FEW_OK ? FEW_EXIT_OK : few_cli_fail(&err);
}

const few_command few_command_inspect = {
    .name = "inspect",
    .help = "what a checkpoint says of itself",
    .usage = "inspect RUN_OR_FILE [--json] [-o COPY.safetensors [--half]]",
    .options = table,
    .options_size = sizeof(struct options),
    .min_args = 1,
    .max_args = 1,
    .run = run,
};

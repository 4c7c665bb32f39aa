/* fewstep list: everything there is one list of, with a line about each. */
#include "cli/command.h"
#include "diffusion/loss.h"
#include "diffusion/param.h"
#include "diffusion/schedule.h"
#include "eval/metric.h"
#include "image/source.h"
#include "method/method.h"
#include "nn/network.h"
#include "op/op.h"
#include "sampler/sampler.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef void (*emit)(void *user, const char *name, const char *help);

#define LIST(function, array, count, element)                                                      \
    static void function(emit f, void *user)                                                       \
    {                                                                                              \
        for (int k = 0; k < (count); k++)                                                          \
            f(user, (array)[k] element name, (array)[k] element help);                             \
    }
LIST(methods, few_methods, few_n_methods, ->)
LIST(samplers, few_samplers, few_n_samplers, ->)
LIST(schedules, few_schedules, few_n_schedules, ->)
LIST(predictions, few_param_kinds, few_n_param_kinds, ->)
LIST(distances, few_distances, few_n_distances, .)
LIST(networks, few_networks, few_n_networks, ->)
LIST(sources, few_source_types, few_n_source_types, ->)
LIST(metrics, few_metrics, few_n_metrics, ->)
LIST(ops, few_ops, few_n_ops, ->)
LIST(commands, few_commands, few_n_commands, ->)

static const struct {
    const char *name;
    void (*each)(emit f, void *user);
} lists[] = {
    { "methods", methods },         { "samplers", samplers },   { "schedules", schedules },
    { "predictions", predictions }, { "distances", distances }, { "networks", networks },
    { "sources", sources },         { "metrics", metrics },     { "ops", ops },
    { "commands", commands },
};

static void print(void *user, const char *name, const char *help)
{
    (void)user;
    printf("  %-22s %s\n", name, help);
}

static void collect(void *user, const char *name, const char *help)
{
    json_object_set_new(user, name, json_string(help));
}

static int run(const void *options, int n_args, char **args)
{
    const char *names[FEW_COUNT(lists)];
    json_t *all = json_object();
    int shown = 0;
    (void)options;
    for (size_t k = 0; k < FEW_COUNT(lists); k++) {
        names[k] = lists[k].name;
        if (n_args && strcmp(args[0], lists[k].name) != 0)
            continue;
        shown++;
        json_t *one = json_object();
        lists[k].each(collect, one);
        json_object_set_new(all, lists[k].name, one);
        if (few_cli_state.json)
            continue;
        printf("%s%s\n", shown > 1 ? "\n" : "", lists[k].name);
        lists[k].each(print, NULL);
    }
    if (shown && few_cli_state.json) {
        char *text = json_dumps(all, JSON_INDENT(1));
        puts(text ? text : "{}");
        free(text);
    }
    json_decref(all);
    if (shown)
        return FEW_EXIT_OK;
    const char *near = few_nearest(args[0], names, (int)FEW_COUNT(lists));
    fprintf(stderr, "fewstep list: unknown list '%s'%s%s%s\n", args[0],
            near ? ", did you mean '" : "", near ? near : "", near ? "'" : "");
    return FEW_EXIT_USAGE;
}

const few_command few_command_list = {
    .name = "list",
    .help = "methods, samplers, schedules and everything else there is",
    .usage =
        "list "
        "[methods|samplers|schedules|predictions|distances|networks|sources|metrics|ops|commands]",
    .min_args = 0,
    .max_args = 1,
    .run = run,
};

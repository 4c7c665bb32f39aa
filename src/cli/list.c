/* fewstep list: everything there is one list of, with a line about each. */
#include "cli/command.h"
#include "diffusion/loss.h"
#include "diffusion/prediction.h"
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

/* options: the table of its settings, or NULL. */
typedef void (*emit)(void *user, const char *name, const char *help, const few_option *options);

#define LIST(function, array, count, element, settings)                                            \
    static void function(emit f, void *user)                                                       \
    {                                                                                              \
        for (int k = 0; k < (count); k++)                                                          \
            f(user, (array)[k] element name, (array)[k] element help, settings);                   \
    }
LIST(methods, few_methods, few_n_methods, ->, few_methods[k]->options)
LIST(samplers, few_samplers, few_n_samplers, ->, few_samplers[k]->options)
LIST(schedules, few_schedules, few_n_schedules, ->, few_schedules[k]->options)
LIST(predictions, few_prediction_kinds, few_n_prediction_kinds, ->, NULL)
LIST(distances, few_distances, few_n_distances, ., NULL)
LIST(networks, few_networks, few_n_networks, ->, few_networks[k]->options)
LIST(sources, few_source_types, few_n_source_types, ->, NULL)
LIST(metrics, few_metrics, few_n_metrics, ->, NULL)
LIST(ops, few_ops, few_n_ops, ->, NULL)
LIST(commands, few_commands, few_n_commands, ->, NULL)

static const struct {
    const char *name;
    void (*each)(emit f, void *user);
} lists[] = {
    { "methods", methods },         { "samplers", samplers },   { "schedules", schedules },
    { "predictions", predictions }, { "distances", distances }, { "networks", networks },
    { "sources", sources },         { "metrics", metrics },     { "ops", ops },
    { "commands", commands },
};

static void print(void *user, const char *name, const char *help, const few_option *options)
{
    (void)user;
    printf("  %-22s %s\n", name, help);
    for (const few_option *o = options; o && o->name; o++)
        printf("      %s=%-*s %s%s%s\n", o->name, (int)(17 - strlen(o->name)),
               o->fallback ? o->fallback : "", o->help, o->choices ? ": " : "",
               o->choices ? o->choices : "");
}

static void collect(void *user, const char *name, const char *help, const few_option *options)
{
    json_t *settings = json_object();
    for (const few_option *o = options; o && o->name; o++)
        json_object_set_new(settings, o->name,
                            json_pack("{s:s?, s:s, s:s?}", "default", o->fallback, "help", o->help,
                                      "choices", o->choices));
    json_object_set_new(user, name, json_pack("{s:s, s:o}", "help", help, "settings", settings));
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
    if (shown && few_cli_state.json)
        few_cli_json(json_incref(all));
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

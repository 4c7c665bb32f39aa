/* fewstep plan: what a configuration costs, before anything runs. */
#include "base/alloc.h"
#include "cli/command.h"
#include "cpu/limits.h"
#include "train/config.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct options {
    int size, channels, classes, threads;
    char *precision;
};

static const few_option table[] = {
    { "size", FEW_OPT_INT, offsetof(struct options, size), "32", 1, 4096,
      "side of the images, when the data are not there", NULL },
    { "channels", FEW_OPT_INT, offsetof(struct options, channels), "3", 1, 16, "of the images",
      NULL },
    { "classes", FEW_OPT_INT, offsetof(struct options, classes), "10", 0, 1 << 20, "of the images",
      NULL },
    { "threads", FEW_OPT_INT, offsetof(struct options, threads), "0", 0, 256, "cores; 0: all",
      NULL },
    { "precision", FEW_OPT_CHOICE, offsetof(struct options, precision), "auto", 0, 0,
      "of activations", "auto|f32|bf16" },
    { .name = NULL },
};

/* FLOPs of one evaluation for one image. */
static double forward_flops(const few_spec *s)
{
    few_graph g;
    few_params ps = { 0 };
    few_graph_init(&g);
    few_graph_use_set(&g, 0, &ps);
    const few_val z = few_graph_input(&g, "z", FEW_F32, few_spec_sample_shape(s, 1), false);
    const few_val t = few_graph_input(&g, "time", FEW_F32, FEW_SHAPE(1), false);
    const few_val label =
        s->classes ? few_graph_input(&g, "label", FEW_I32, FEW_SHAPE(1), false) : FEW_NONE;
    few_graph_output(&g, few_spec_build(s, &g, 0, z, t, label, FEW_NONE), "out");
    const double flops = few_graph_flops(&g);
    few_graph_clear(&g);
    few_params_free(&ps);
    return flops;
}

static few_status make(const struct options *o, few_config *c, few_trainer *t, few_error *err)
{
    few_dataset d;
    FEW_TRY(few_config_set(c, "train.precision", o->precision, "--precision", err));
    if (o->threads)
        c->train.threads = o->threads;
    if (c->method->makes_student && !c->student.teacher) {
        few_cli_say("no student.teacher: the figures are of the network of this file, trained as "
                    "a diffusion model");
        FEW_TRY(few_config_set(c, "method.name", "diffusion", "plan", err));
        c->student.steps = 0;
    }
    if (c->data.path && (few_dataset_is_there(c->data.path)))
        FEW_TRY(few_dataset_open(&d, c->data.path, err));
    else
        FEW_TRY(few_dataset_random(&d, o->size, o->size, o->channels, o->classes, err));
    FEW_TRY(few_config_trainer_on(c, &d, NULL, t, err));
    return few_trainer_start(t, true, err);
}

/* Seconds of a slice at the limits of this machine, which are measured. */
static double roofline_of(const few_plan *p, const few_plan_report *r)
{
    few_roof roof;
    few_roof_glance(&roof, r->workers);
    const double cache = (size_t)r->arena_bytes <= roof.l2_bytes ? roof.l2 : roof.l3;
    const double bf16 = roof.bf16 > 0 ? roof.bf16 : roof.f32;
    const few_rates rates = { roof.f32 / r->workers, bf16 / r->workers, cache / r->workers };
    return few_backend_cpu.roofline(p, &rates);
}

static int run(const void *options, int n_args, char **args)
{
    few_error err = { 0 };
    few_config c;
    few_trainer t = { 0 };
    (void)n_args;
    if (few_config_load(&c, args[0], NULL, &err) != FEW_OK)
        return few_cli_fail(&err);
    if (make(options, &c, &t, &err) != FEW_OK) {
        few_trainer_free(&t);
        few_config_clear(&c);
        return few_cli_fail(&err);
    }
    few_plan_report r;
    few_backend_cpu.report(t.plan, &r);
    const double each = r.flops / (double)r.slice, forward = forward_flops(&t.spec);
    const int64_t state = (int64_t)t.state.count * 4 * (3 + t.state.n_ema);
    const int64_t memory = r.workers * (r.arena_bytes + r.scratch_bytes) + r.weight_bytes + state;
    const double roofline = roofline_of(t.plan, &r) / (double)(r.slice * r.workers);
    const char *precision = r.precision == FEW_PRECISION_BF16 ? "bf16" : "f32";
    if (few_cli_state.json)
        few_cli_json(json_pack(
            "{s:I, s:f, s:f, s:f, s:f, s:I, s:I, s:I, s:I, s:I, s:i, s:I, s:I, s:s}", "parameters",
            (json_int_t)r.params, "flops_per_image", forward, "flops_per_training_image", each,
            "bytes_moved_per_training_image", r.bytes_moved / (double)r.slice,
            "roofline_seconds_per_training_image", roofline, "arena_bytes",
            (json_int_t)r.arena_bytes, "scratch_bytes", (json_int_t)r.scratch_bytes, "weight_bytes",
            (json_int_t)r.weight_bytes, "state_bytes", (json_int_t)state, "memory_bytes",
            (json_int_t)memory, "workers", r.workers, "slice", (json_int_t)r.slice, "nodes",
            (json_int_t)r.nodes, "precision", precision));
    else
        printf("%s\n  parameters        %.2f M\n  one evaluation    %.3f GFLOP an image\n"
               "  a training step   %.3f GFLOP and %.1f MB moved an image, %" PRId64 " nodes\n"
               "  at this machine's limits  %.0f images/s in training, convolutions direct\n"
               "  precision         %s\n  workers           %d, slices of %" PRId64 " images\n"
               "  activations       %.1f MB a worker (arena), %.1f MB scratch\n"
               "  packed weights    %.1f MB\n  weights, moments, averages  %.1f MB\n"
               "  together          %.1f MB\n",
               args[0], (double)r.params / 1e6, forward / 1e9, each / 1e9,
               r.bytes_moved / (double)r.slice / 1e6, r.nodes, 1 / roofline, precision, r.workers,
               r.slice, (double)r.arena_bytes / 1e6, (double)r.scratch_bytes / 1e6,
               (double)r.weight_bytes / 1e6, (double)state / 1e6, (double)memory / 1e6);
    few_trainer_free(&t);
    few_config_clear(&c);
    return FEW_EXIT_OK;
}

const few_command few_command_plan = {
    .name = "plan",
    .help = "what a configuration costs in work and memory",
    .usage = "plan CONFIG [--json] [OPTIONS]",
    .options = table,
    .options_size = sizeof(struct options),
    .min_args = 1,
    .max_args = 1,
    .run = run,
};

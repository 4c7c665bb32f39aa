/* fewstep bench step: images a second of training, distilling and sampling, on random data. */
#include "base/alloc.h"
#include "base/thread.h"
#include "cli/command.h"
#include "cli/progress.h"
#include "model/checkpoint.h"
#include "sampler/draw.h"
#include "train/config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

struct options {
    char *precision, *only;
    int64_t batch;
    int repeat, threads, size, channels, classes;
    few_strings set;
};

static const few_option table[] = {
    { "precision", FEW_OPT_CHOICE, offsetof(struct options, precision), "auto", 0, 0,
      "of activations", "auto|f32|bf16" },
    { "only", FEW_OPT_CHOICE, offsetof(struct options, only), "all", 0, 0,
      "measure this alone, so that the memory is its own", "all|train|distill|sample" },
    { "batch", FEW_OPT_I64, offsetof(struct options, batch), "64", 1, 65536, "images of a step",
      NULL },
    { "repeat", FEW_OPT_INT, offsetof(struct options, repeat), "5", 1, 1000,
      "measurements of each; the median counts", NULL },
    { "threads", FEW_OPT_INT, offsetof(struct options, threads), "0", 0, 256, "cores; 0: all",
      NULL },
    { "size", FEW_OPT_INT, offsetof(struct options, size), "0", 0, 4096,
      "side of random images; 0: the data's, or 32 when they are not there", NULL },
    { "channels", FEW_OPT_INT, offsetof(struct options, channels), "3", 1, 16, "of the images",
      NULL },
    { "classes", FEW_OPT_INT, offsetof(struct options, classes), "10", 0, 1 << 20, "of the images",
      NULL },
    { "set", FEW_OPT_STRINGS, offsetof(struct options, set), NULL, 0, 0,
      "settings, such as model.base=64", NULL },
    { .name = NULL },
};

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(double *v, int n)
{
    qsort(v, (size_t)n, sizeof *v, by_value);
    return n % 2 ? v[n / 2] : 0.5 * (v[n / 2 - 1] + v[n / 2]);
}

static few_status open_data(const struct options *o, const few_config *c, few_dataset *d,
                            few_error *err)
{
    const int size = o->size ? o->size : 32;
    if (!o->size && c->data.path && few_dataset_is_there(c->data.path))
        return few_dataset_open(d, c->data.path, err);
    return few_dataset_random(d, size, size, o->channels, o->classes, err);
}

struct figures {
    double train, distill, sample[3];
    const char *precision;
    few_progress bar; /* over all measurements */
    int64_t done;
};
static const int64_t sizes[3] = { 1, 16, 64 };

static void note_precision(const few_plan_report *r, struct figures *f)
{
    f->precision = r->precision == FEW_PRECISION_BF16 ? "bf16" : "f32";
}

/* Median images a second over `repeat` steps, after two to warm up. */
static few_status time_steps(few_trainer *t, int repeat, struct figures *f, double *out,
                             few_error *err)
{
    double *v = few_malloc((size_t)repeat * sizeof *v);
    few_step_result r;
    few_status st = v ? FEW_OK : few_fail(err, FEW_ENOMEM, "out of memory");
    for (int k = -2; k < repeat && st == FEW_OK; k++) {
        const double start = few_now();
        st = few_trainer_step(t, &r, err);
        if (k >= 0)
            v[k] = (double)t->train.batch / (few_now() - start);
        few_progress_update(&f->bar, ++f->done, "%s step", t->method->name);
    }
    if (st == FEW_OK)
        *out = median(v, repeat);
    few_free(v);
    return st;
}

static few_status time_sampling(const few_net *net, int64_t n, const struct options *o,
                                struct figures *f, double *out, few_error *err)
{
    const few_spec *s = &net->spec;
    const few_drawer_options po = { .precision = few_precision_named(o->precision),
                                    .workers = o->threads,
                                    .images = n };
    few_drawer *d = NULL;
    float *images = few_malloc((size_t)(n * s->height * s->width * s->channels) * sizeof(float));
    double *v = few_malloc((size_t)o->repeat * sizeof *v);
    const few_draw draw = { .sampler = &few_sampler_multistep, .steps = 8 };
    few_status st = images && v ? FEW_OK : few_fail(err, FEW_ENOMEM, "out of memory");
    if (st == FEW_OK)
        st = few_drawer_create(s, net->master, &po, &d, err);
    for (int k = -1; k < o->repeat && st == FEW_OK; k++) {
        const double start = few_now();
        st = few_drawer_draw(d, &draw, n, images, err);
        if (k >= 0)
            v[k] = (double)(n * draw.steps) / (few_now() - start);
        few_progress_update(&f->bar, ++f->done, "sampling, batch %" PRId64, n);
    }
    if (st == FEW_OK) {
        few_plan_report r;
        few_drawer_report(d, &r);
        note_precision(&r, f);
        *out = median(v, o->repeat);
    }
    few_drawer_free(d);
    few_free(images);
    few_free(v);
    return st;
}

/* The configuration's network with random weights, whose arrays the caller frees. */
static few_status random_net(const few_config *c, const few_dataset *d, few_net **out,
                             few_error *err)
{
    const few_net_shape shape = { d->h, d->w, d->c, d->classes };
    few_net *n = *out = few_calloc(1, sizeof *n);
    if (!n)
        return few_fail(err, FEW_ENOMEM, "out of memory");
    FEW_TRY(few_config_spec(c, &shape, &n->spec, err));
    FEW_TRY(few_spec_params(&n->spec, &n->params, err));
    n->master = few_big_alloc((size_t)n->params.count * sizeof(float));
    if (!n->master)
        return few_fail(err, FEW_ENOMEM, "out of memory");
    few_params_init(&n->params, n->master, c->train.seed);
    return FEW_OK;
}

/* Steps of a method; it takes over data and teacher (or NULL). */
static few_status time_training(few_config *c, const char *method, int student_steps,
                                const few_dataset *d, few_net *teacher, const struct options *o,
                                struct figures *f, double *out, few_error *err)
{
    few_trainer t = { .data = *d, .teacher = teacher };
    few_status st = few_config_set(c, "method.name", method, "bench", err);
    c->student.steps = student_steps;
    if (st == FEW_OK)
        st = few_config_trainer_on(c, d, teacher, &t, err);
    if (st == FEW_OK)
        st = few_trainer_start(&t, !teacher, err);
    if (st == FEW_OK) {
        few_plan_report r;
        few_backend_cpu.report(t.plan, &r);
        note_precision(&r, f);
        st = time_steps(&t, o->repeat, f, out, err);
    }
    few_trainer_free(&t);
    return st;
}

static bool wanted(const struct options *o, const char *what)
{
    return !strcmp(o->only, "all") || !strcmp(o->only, what);
}

/* The network as a teacher, its evaluations, and an 8-step student distilled from it. */
static few_status measure(const struct options *o, few_config *c, struct figures *f, few_error *err)
{
    few_dataset d = { 0 };
    few_status st = FEW_OK;
    few_net *net = NULL;
    c->train.batch = o->batch;
    c->train.threads = o->threads;
    few_free(c->student.teacher);
    c->student.teacher = NULL;
    FEW_TRY(few_config_set(c, "train.precision", o->precision, "--precision", err));
    while (c->train.slice && c->train.batch % c->train.slice)
        c->train.slice--;
    if (wanted(o, "train")) {
        FEW_TRY(open_data(o, c, &d, err));
        FEW_TRY(time_training(c, "diffusion", 0, &d, NULL, o, f, &f->train, err));
    }
    FEW_TRY(open_data(o, c, &d, err));
    FEW_GOTO(random_net(c, &d, &net, err));
    for (int k = 0; k < 3 && wanted(o, "sample"); k++)
        FEW_GOTO(time_sampling(net, sizes[k], o, f, &f->sample[k], err));
    if (wanted(o, "distill"))
        return time_training(c, "mcd", 8, &d, net, o, f, &f->distill, err);
cleanup:
    if (net)
        few_net_free(net);
    few_free(net);
    few_dataset_close(&d);
    return st;
}

static void print_json(const struct figures *f, int64_t peak)
{
    json_t *out =
        json_pack("{s:I, s:s}", "peak_rss_bytes", (json_int_t)peak, "precision", f->precision);
    if (f->train > 0)
        json_object_set_new(out, "train_images_per_second", json_real(f->train));
    if (f->distill > 0)
        json_object_set_new(out, "distill_images_per_second", json_real(f->distill));
    if (f->sample[0] > 0)
        json_object_set_new(out, "sample_images_per_second",
                            json_pack("{s:f, s:f, s:f}", "1", f->sample[0], "16", f->sample[1],
                                      "64", f->sample[2]));
    few_cli_json(out);
}

static void print(const struct figures *f, int64_t peak, const struct options *o)
{
    printf("precision %s, batch %" PRId64 ", medians of %d, images/s\n", f->precision, o->batch,
           o->repeat);
    if (f->train > 0)
        printf("  training      %.1f\n", f->train);
    if (f->distill > 0)
        printf("  distillation  %.1f\n", f->distill);
    if (f->sample[0] > 0)
        printf("  one evaluation: batch 1 %.1f, batch 16 %.1f, batch 64 %.1f\n", f->sample[0],
               f->sample[1], f->sample[2]);
    printf("  peak memory   %.0f MB\n", (double)peak / 1e6);
}

static int run(const void *options, int n_args, char **args)
{
    const struct options *o = options;
    few_error err = { 0 };
    few_config c;
    struct figures f = { 0 };
    struct rusage usage;
    (void)n_args;
    if (strcmp(args[0], "step") != 0) {
        fprintf(stderr, "fewstep bench: unknown benchmark '%s'; there is: bench step CONFIG\n",
                args[0]);
        return FEW_EXIT_USAGE;
    }
    if (few_config_load(&c, args[1], NULL, &err) != FEW_OK)
        return few_cli_fail(&err);
    if (few_config_set_all(&c, &o->set, "--set", &err) != FEW_OK) {
        few_config_clear(&c);
        return few_cli_fail(&err);
    }
    const few_progress_sink sink = few_progress_stderr(few_cli_state.quiet);
    const int steps = wanted(o, "train") + wanted(o, "distill");
    few_progress_begin(&f.bar, &sink, "bench",
                       steps * (o->repeat + 2) + (wanted(o, "sample") ? 3 * (o->repeat + 1) : 0),
                       "run");
    const few_status st = measure(o, &c, &f, &err);
    few_progress_end(&f.bar);
    few_config_clear(&c);
    if (st != FEW_OK)
        return few_cli_fail(&err);
    getrusage(RUSAGE_SELF, &usage);
    const int64_t peak = (int64_t)usage.ru_maxrss * 1024;
    if (few_cli_state.json)
        print_json(&f, peak);
    else
        print(&f, peak, o);
    return FEW_EXIT_OK;
}

const few_command few_command_bench = {
    .name = "bench",
    .help = "how fast training, distilling and sampling are here",
    .usage = "bench step CONFIG [--json] [--precision P] [--batch N] [--repeat R] [--only WHAT]",
    .options = table,
    .options_size = sizeof(struct options),
    .min_args = 2,
    .max_args = 2,
    .run = run,
};

/* fewstep sample: images from a checkpoint. */
#define _GNU_SOURCE
#include "base/alloc.h"
#include "base/file.h"
#include "base/thread.h"
#include "cli/command.h"
#include "cli/progress.h"
#include "image/image.h"
#include "image/npy.h"
#include "model/checkpoint.h"
#include "sampler/draw.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct options {
    int64_t count, first;
    int steps, columns, threads;
    uint64_t seed;
    char *class, *sampler, *noise, *output, *precision;
    double guidance, from, to;
    few_strings set;
    bool raw, clip;
};

static const few_option table[] = {
    { "count", FEW_OPT_I64, offsetof(struct options, count), "0", 0, 1e9,
      "images to draw (-n N); default 64, or as many as the noise has", NULL },
    { "output", FEW_OPT_STRING, offsetof(struct options, output), NULL, 0, 0,
      "FILE.png (a sheet), FILE.npy, or a folder of PNGs", NULL },
    { "steps", FEW_OPT_INT, offsetof(struct options, steps), "0", 0, 100000,
      "of the sampler; 0: what a student was made for, with a teacher the sampler's (ddim 128)",
      NULL },
    { "seed", FEW_OPT_U64, offsetof(struct options, seed), "0", 0, 0,
      "image i of seed k is always the same image", NULL },
    { "first", FEW_OPT_I64, offsetof(struct options, first), "0", 0, 1e15,
      "index of the first image", NULL },
    { "class", FEW_OPT_STRING, offsetof(struct options, class), NULL, 0, 0,
      "class, by name or number; absent: all in turn", NULL },
    { "sampler", FEW_OPT_STRING, offsetof(struct options, sampler), NULL, 0, 0,
      "sampler; absent: the checkpoint's own", NULL },
    { "set", FEW_OPT_STRINGS, offsetof(struct options, set), NULL, 0, 0,
      "the sampler's settings, such as x_frac=0.05 ('fewstep list samplers')", NULL },
    { "guidance", FEW_OPT_DOUBLE, offsetof(struct options, guidance), "0", 0, 100,
      "strength of guidance", NULL },
    { "noise", FEW_OPT_STRING, offsetof(struct options, noise), NULL, 0, 0,
      "FILE.npy with float32 noise [N,H,W,C] at t = 1 (or --from) to start from", NULL },
    { "from", FEW_OPT_DOUBLE, offsetof(struct options, from), "1", 0, 1,
      "time to start at: one the sampler stops at, with --noise the noisy images there", NULL },
    { "to", FEW_OPT_DOUBLE, offsetof(struct options, to), "0", 0, 1,
      "time to stop at; with --raw what is left to denoise is kept", NULL },
    { "raw", FEW_OPT_BOOL, offsetof(struct options, raw), "false", 0, 0,
      "write float32 before clamping (.npy only)", NULL },
    { "clip", FEW_OPT_BOOL, offsetof(struct options, clip), "false", 0, 0,
      "hold the network's prediction of x in [-1, 1] (some students ask for it themselves)", NULL },
    { "columns", FEW_OPT_INT, offsetof(struct options, columns), "0", 0, 4096,
      "of the sheet; 0: square", NULL },
    { "threads", FEW_OPT_INT, offsetof(struct options, threads), "0", 0, 256, "cores; 0: all",
      NULL },
    { "precision", FEW_OPT_CHOICE, offsetof(struct options, precision), "auto", 0, 0,
      "of activations", "auto|f32|bf16" },
    { .name = NULL },
};

struct job {
    const struct options *o;
    few_net net;
    float *z; /* noise from a file, or NULL */
    int32_t *label;
    float *images;
    int64_t n, pixels;
    double seconds;
    int steps;
    double nfe; /* evaluations of an image, on average */
    const few_sampler *sampler;
};

static int on_progress(void *user, int64_t done, int64_t total)
{
    few_progress *p = user;
    p->total = total;
    few_progress_update(p, done, NULL);
    return few_cli_signal();
}

static bool has_suffix(const char *s, const char *suffix)
{
    const size_t n = strlen(s), m = strlen(suffix);
    return n >= m && !strcmp(s + n - m, suffix);
}

static few_status load_noise(struct job *j, few_error *err)
{
    if (j->o->noise)
        return few_cli_load_noise(j->o->noise, &j->net.spec, j->o->count, &j->z, &j->n, err);
    if (j->o->from < 1)
        return few_fail(err, FEW_EINVAL,
                        "--from %g needs --noise FILE.npy: the images at that time", j->o->from);
    j->n = j->o->count ? j->o->count : 64;
    return FEW_OK;
}

static few_status find_class(struct job *j, few_error *err)
{
    const few_spec *s = &j->net.spec;
    const char *name = j->o->class;
    if (!name)
        return FEW_OK;
    if (!s->classes)
        return few_fail(err, FEW_EINVAL, "--class: this model knows no classes");
    int found = -1;
    for (int k = 0; k < s->class_names.n; k++)
        if (!strcasecmp(s->class_names.v[k], name))
            found = k;
    char *end;
    const long number = strtol(name, &end, 10);
    if (found < 0 && !*end && number >= 0 && number < s->classes)
        found = (int)number;
    if (found < 0) {
        const char *near =
            few_nearest(name, (const char *const *)s->class_names.v, s->class_names.n);
        return few_fail(err, FEW_EINVAL,
                        "--class: unknown class '%s'%s%s%s; 0 to %d, or a name that "
                        "'fewstep inspect' lists",
                        name, near ? ", did you mean '" : "", near ? near : "", near ? "'" : "",
                        s->classes - 1);
    }
    j->label = few_malloc((size_t)j->n * sizeof *j->label);
    if (!j->label)
        return few_fail(err, FEW_ENOMEM, "out of memory for labels");
    for (int64_t i = 0; i < j->n; i++)
        j->label[i] = found;
    return FEW_OK;
}

static few_status draw(struct job *j, few_error *err)
{
    const struct options *o = j->o;
    const few_spec *s = &j->net.spec;
    few_strbuf warning;
    few_drawer *d = NULL;
    void *options = NULL;
    few_status st = FEW_OK;
    j->sampler = o->sampler ? few_sampler_find(o->sampler, err) : few_sampler_default(s);
    if (!j->sampler)
        return FEW_EINVAL;
    j->steps = o->steps ? o->steps : few_sampler_default_steps(s, j->sampler);
    FEW_TRY(few_sampler_options_make(j->sampler, &options, err));
    few_strbuf_init(&warning);
    st = few_sampler_options_set(j->sampler, options, &o->set, err);
    if (st == FEW_OK && j->sampler->check)
        st = j->sampler->check(s, options, j->steps, &warning, err);
    if (warning.n)
        few_cli_warn("%s", warning.s);
    few_strbuf_free(&warning);
    j->pixels = (int64_t)s->height * s->width * s->channels;
    j->images = few_malloc((size_t)(j->n * j->pixels) * sizeof(float));
    if (st == FEW_OK && !j->images)
        st = few_fail(err, FEW_ENOMEM, "out of memory for %" PRId64 " images", j->n);
    const few_drawer_options po = { .precision = few_precision_named(o->precision),
                                    .workers = o->threads,
                                    .images = j->n,
                                    .guidance = o->guidance != 0,
                                    .needs = few_sampler_needs(j->sampler, options) };
    few_progress bar;
    const few_progress_sink sink = few_progress_stderr(few_cli_state.quiet);
    few_progress_begin(&bar, &sink, "sample", 1, "eval");
    if (st == FEW_OK)
        st = few_drawer_create(s, j->net.master, &po, &d, err);
    int begin = 0, end = 0;
    if (st == FEW_OK)
        st = few_sampler_part(j->sampler, s, options, j->steps, o->from, o->to, &begin, &end, err);
    int64_t evaluated = 0;
    const double start = few_now();
    if (st == FEW_OK) {
        const few_draw what = { .sampler = j->sampler,
                                .options = options,
                                .steps = j->steps,
                                .begin = begin,
                                .end = end,
                                .seed = o->seed,
                                .first = o->first,
                                .guidance = o->guidance,
                                .label = j->label,
                                .noise = j->z,
                                .evaluated = &evaluated,
                                .progress = on_progress,
                                .user = &bar };
        st = few_drawer_draw(d, &what, j->n, j->images, err);
    }
    j->seconds = few_now() - start;
    j->nfe = (double)evaluated / (double)j->n * (o->guidance != 0 ? 2 : 1);
    few_progress_end(&bar);
    few_sampler_options_free(j->sampler, options);
    few_drawer_free(d);
    return st;
}

/* One PNG for each image. */
static few_status write_folder(const struct job *j, few_error *err)
{
    const few_spec *s = &j->net.spec;
    few_status st = few_make_folders(j->o->output, err);
    for (int64_t i = 0; i < j->n && st == FEW_OK; i++) {
        char name[32];
        snprintf(name, sizeof name, "%06" PRId64 ".png", j->o->first + i);
        char *path = few_path_join(j->o->output, name);
        st = path ? few_sheet_save_f32(path, j->images + i * j->pixels, 1, s->height, s->width,
                                       s->channels, 1, err)
                  : few_fail(err, FEW_ENOMEM, "out of memory");
        few_free(path);
    }
    return st;
}

static few_status write_npy(const struct job *j, few_error *err)
{
    const few_spec *s = &j->net.spec;
    const int64_t shape[4] = { j->n, s->height, s->width, s->channels };
    if (j->o->raw)
        return few_npy_write_f32(j->o->output, j->images, 4, shape, err);
    uint8_t *bytes = few_malloc((size_t)(j->n * j->pixels));
    if (!bytes)
        return few_fail(err, FEW_ENOMEM, "out of memory for %" PRId64 " images", j->n);
    for (int64_t i = 0; i < j->n * j->pixels; i++)
        bytes[i] = few_byte_from_float(j->images[i]);
    const few_status st = few_npy_write_u8(j->o->output, bytes, 4, shape, err);
    few_free(bytes);
    return st;
}

static few_status write_output(const struct job *j, few_error *err)
{
    const few_spec *s = &j->net.spec;
    const char *out = j->o->output;
    if (has_suffix(out, ".npy"))
        return write_npy(j, err);
    if (j->o->raw)
        return few_fail(err, FEW_EINVAL, "--raw writes float32: the output must end in .npy");
    if (has_suffix(out, ".png"))
        return few_sheet_save_f32(out, j->images, j->n, s->height, s->width, s->channels,
                                  j->o->columns, err);
    return write_folder(j, err);
}

static int run(const void *options, int n_args, char **args)
{
    struct job j = { .o = options };
    few_error err = { 0 };
    char *path = NULL;
    (void)n_args;
    if (!j.o->output) {
        fprintf(stderr, "fewstep sample: -o FILE.png, FILE.npy or FOLDER is missing\n");
        return FEW_EXIT_USAGE;
    }
    few_cli_catch_signals();
    few_status st = few_cli_model_path(args[0], &path, &err);
    if (st == FEW_OK)
        st = few_net_load(&j.net, path, &err);
    j.net.spec.clip |= j.o->clip;
    if (st == FEW_OK)
        st = load_noise(&j, &err);
    if (st == FEW_OK)
        st = find_class(&j, &err);
    if (st == FEW_OK)
        st = draw(&j, &err);
    if (st == FEW_OK)
        st = write_output(&j, &err);
    if (st == FEW_OK && few_cli_state.json)
        few_cli_json(json_pack("{s:I, s:o, s:f, s:f, s:s, s:i, s:s}", "images", (json_int_t)j.n,
                               "nfe", few_cli_number(j.nfe), "seconds", j.seconds,
                               "images_per_second", (double)j.n / j.seconds, "sampler",
                               j.sampler->name, "steps", j.steps, "output", j.o->output));
    else if (st == FEW_OK)
        few_cli_say("%" PRId64 " images, %s in %.6g evaluation%s each, %.2f s: %s", j.n,
                    j.sampler->name, j.nfe, j.nfe == 1 ? "" : "s", j.seconds, j.o->output);
    few_free(path);
    few_free(j.label);
    few_free(j.images);
    few_free(j.z);
    few_net_free(&j.net);
    if (st == FEW_ECANCELED && few_cli_signal())
        return few_cli_stopped("nothing is written");
    return st == FEW_OK ? FEW_EXIT_OK : few_cli_fail(&err);
}

const few_command few_command_sample = {
    .name = "sample",
    .help = "draw images from a checkpoint",
    .usage = "sample RUN_OR_FILE [-n N] [--steps S] [--seed K] [--class C] [OPTIONS] -o "
             "FILE.png|FILE.npy|DIR",
    .options = table,
    .options_size = sizeof(struct options),
    .min_args = 1,
    .max_args = 1,
    .run = run,
};

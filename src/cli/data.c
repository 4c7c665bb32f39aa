/* fewstep data pack | info | sheet | trajectories. */
#include "base/alloc.h"
#include "cli/command.h"
#include "cli/data_parts.h"
#include "cli/progress.h"
#include "image/pack.h"
#include "nn/unet.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct options {
    few_pack_options pack; /* first: the table of data pack sets it in place */
    char *output;
    int64_t count;
    int columns, steps, states, threads;
    uint64_t seed;
    bool verify;
};

/* The pack's own rows, then ours; put together once. */
static few_option table[32];

static void make_table(void)
{
    static const few_option own[] = {
        { "output", FEW_OPT_STRING, offsetof(struct options, output), NULL, 0, 0,
          "file to write: a pack (.few) or a sheet (.png)", NULL },
        { "count", FEW_OPT_I64, offsetof(struct options, count), "64", 1, 1e6,
          "images of a sheet, or trajectories (-n N)", NULL },
        { "columns", FEW_OPT_INT, offsetof(struct options, columns), "0", 0, 4096,
          "of a sheet; 0: square", NULL },
        { "steps", FEW_OPT_INT, offsetof(struct options, steps), "16", 1, 1e5,
          "of ddim, with trajectories", NULL },
        { "states", FEW_OPT_INT, offsetof(struct options, states), "4", 1, FEW_MAX_TIMES,
          "points of a trajectory, the image among them", NULL },
        { "seed", FEW_OPT_U64, offsetof(struct options, seed), "1", 0, 0, "of their noise", NULL },
        { "threads", FEW_OPT_INT, offsetof(struct options, threads), "0", 0, 256, "cores; 0: all",
          NULL },
        { "verify", FEW_OPT_BOOL, offsetof(struct options, verify), "false", 0, 0,
          "with info: read everything and compare checksums", NULL },
        { .name = NULL },
    };
    int n = 0;
    if (table[0].name)
        return;
    for (const few_option *o = few_pack_option_list; o->name; o++) {
        table[n] = *o;
        table[n++].offset += offsetof(struct options, pack);
    }
    for (const few_option *o = own; o->name; o++)
        table[n++] = *o;
}

__attribute__((constructor)) static void make_table_early(void)
{
    make_table();
}

static int on_progress(void *user, int64_t done, int64_t total)
{
    few_progress *p = user;
    p->total = total;
    few_progress_update(p, done, NULL);
    return few_cli_signal();
}

static int pack(const struct options *o, int n, char **inputs)
{
    few_error err = { 0 };
    few_pack_report r = { 0 };
    few_progress bar;
    const few_progress_sink sink = few_progress_stderr(few_cli_state.quiet);
    if (!o->output || n < 1) {
        fprintf(stderr, "fewstep data pack: %s\n",
                n < 1 ? "an input is missing: files or folders with images"
                      : "-o FILE.few is missing");
        return FEW_EXIT_USAGE;
    }
    few_cli_catch_signals();
    few_progress_begin(&bar, &sink, "pack", 1, "image");
    const few_status st = few_pack_build((const char *const *)inputs, n, &o->pack, o->output,
                                         on_progress, &bar, &r, &err);
    few_progress_end(&bar);
    for (int k = 0; k < r.n_bad; k++)
        few_cli_warn("left out %s", r.bad[k]);
    if (st == FEW_ECANCELED)
        return few_cli_stopped("nothing is written");
    if (st != FEW_OK)
        return few_cli_fail(&err);
    if (few_cli_state.json)
        few_cli_json(json_pack("{s:s, s:I, s:I, s:I}", "output", o->output, "packed",
                               (json_int_t)r.packed, "tests", (json_int_t)r.tests, "skipped",
                               (json_int_t)r.skipped));
    else
        few_cli_say("%s: %" PRId64 " images%s%s", o->output, r.packed,
                    r.tests ? ", the rest of them apart for tests" : "",
                    r.skipped ? ", some left out" : "");
    return FEW_EXIT_OK;
}

static void print_info(const few_pack_info *i, const char *path)
{
    printf("%s\n  images     %" PRId64 " of %dx%d, %d channel%s\n  source     %s\n", path, i->count,
           i->width, i->height, i->channels, i->channels == 1 ? "" : "s", i->source);
    for (int k = 0; k < i->n_transforms; k++)
        printf("  transform  %s\n", i->transforms[k]);
    for (int k = 0; k < i->n_classes; k++)
        printf("  class %-4d %-24s %" PRId64 "\n", k, i->classes[k].name, i->classes[k].count);
    if (!i->has_labels)
        printf("  unlabelled\n");
    printf("  hash       %s\n", i->hash);
}

static void print_json(const few_pack_info *i)
{
    json_t *classes = json_array();
    for (int k = 0; k < i->n_classes; k++)
        json_array_append_new(classes, json_pack("{s:s, s:I}", "name", i->classes[k].name, "count",
                                                 (json_int_t)i->classes[k].count));
    few_cli_json(json_pack("{s:I, s:i, s:i, s:i, s:o, s:s, s:s}", "count", (json_int_t)i->count,
                           "height", i->height, "width", i->width, "channels", i->channels,
                           "classes", classes, "source", i->source, "hash", i->hash));
}

static int info(const struct options *o, const char *path)
{
    few_error err = { 0 };
    few_pack *p;
    few_status st = few_pack_open(&p, path, &err);
    if (st != FEW_OK)
        return few_cli_fail(&err);
    if (o->verify)
        st = few_pack_verify(p, &err);
    if (st == FEW_OK && few_cli_state.json)
        print_json(few_pack_get_info(p));
    else if (st == FEW_OK)
        print_info(few_pack_get_info(p), path);
    if (st == FEW_OK && o->verify && !few_cli_state.json)
        printf("  checksums  agree\n");
    few_pack_close(p);
    return st == FEW_OK ? FEW_EXIT_OK : few_cli_fail(&err);
}

static int sheet(const struct options *o, const char *path)
{
    few_error err = { 0 };
    few_pack *p;
    few_sheet s = { 0 };
    if (!o->output) {
        fprintf(stderr, "fewstep data sheet: -o FILE.png is missing\n");
        return FEW_EXIT_USAGE;
    }
    few_status st = few_pack_open(&p, path, &err);
    if (st != FEW_OK)
        return few_cli_fail(&err);
    const few_pack_info *i = few_pack_get_info(p);
    const int64_t n = o->count < i->count ? o->count : i->count;
    st = few_sheet_init(&s, n, i->height, i->width, i->channels, o->columns, 2, &err);
    for (int64_t k = 0; k < n && st == FEW_OK; k++) /* spread over the whole pack */
        few_sheet_put_u8(&s, k, few_pack_image(p, k * (i->count / n)));
    if (st == FEW_OK)
        st = few_image_write_png(o->output, s.image.pixels, s.image.h, s.image.w, s.image.c, &err);
    few_sheet_clear(&s);
    few_pack_close(p);
    return st == FEW_OK ? FEW_EXIT_OK : few_cli_fail(&err);
}

static int run(const void *options, int n_args, char **args)
{
    const struct options *o = options;
    if (!strcmp(args[0], "pack"))
        return pack(o, n_args - 1, args + 1);
    if (n_args == 2 && !strcmp(args[0], "info"))
        return info(o, args[1]);
    if (n_args == 2 && !strcmp(args[0], "sheet"))
        return sheet(o, args[1]);
    if (n_args == 2 && !strcmp(args[0], "trajectories") && o->output)
        return few_cli_data_trajectories(args[1], o->output,
                                         &(few_trajectories_options){ .count = o->count,
                                                                      .steps = o->steps,
                                                                      .states = o->states,
                                                                      .seed = o->seed,
                                                                      .workers = o->threads });
    fprintf(stderr, "fewstep data: write 'data pack INPUT... -o FILE.few', 'data info FILE.few', "
                    "'data sheet FILE.few -o FILE.png' or 'data trajectories TEACHER -n N -o "
                    "FILE.safetensors'\n");
    return FEW_EXIT_USAGE;
}

const few_command few_command_data = {
    .name = "data",
    .help = "make a pack of images or a teacher's trajectories, say what is in it, look at it",
    .usage =
        "data pack INPUT... -o FILE.few [OPTIONS]\n       fewstep data info FILE.few [--verify]\n"
        "       fewstep data sheet FILE.few -o FILE.png [-n N]\n"
        "       fewstep data trajectories TEACHER -n N -o FILE.safetensors [--steps 16] [--states "
        "4]",
    .more = "INPUT: IDX files (.gz too), CIFAR-10 .bin, a folder or zip or tar of PNG and JPEG\n"
            "(sub-folder = class), EDM zips, .npy, .npz.\n",
    .options = table,
    .options_size = sizeof(struct options),
    .min_args = 1,
    .max_args = -1,
    .run = run,
};

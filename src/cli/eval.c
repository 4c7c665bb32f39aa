/* fewstep eval: the quality of checkpoints; and training of the feature network that measures it.
 */
#include "cli/command.h"

#include "base/alloc.h"
#include "base/file.h"
#include "cli/eval_parts.h"
#include "cli/progress.h"
#include "eval/quality.h"
#include "train/config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct options {
    int64_t samples;
    int steps, threads, epochs;
    char *sampler, *features, *reference, *train, *precision, *report, *output, *title;
    char *noise;
    uint64_t seed;
    double guidance, from;
    few_strings set;
    int times;
    bool clip;
};

static const few_option table[] = {
    { "samples", FEW_OPT_I64, offsetof(struct options, samples), "0", 0, 1e9,
      "images to draw from each checkpoint, or of the data with xvar; 0: 10000, 1000 with xvar",
      NULL },
    { "steps", FEW_OPT_INT, offsetof(struct options, steps), "0", 0, 100000,
      "of the sampler; 0: what a student was made for, with a teacher the sampler's (ddim 128)",
      NULL },
    { "sampler", FEW_OPT_STRING, offsetof(struct options, sampler), NULL, 0, 0,
      "sampler; absent: the checkpoint's own", NULL },
    { "set", FEW_OPT_STRINGS, offsetof(struct options, set), NULL, 0, 0,
      "the sampler's settings, such as x_frac=0.05 ('fewstep list samplers')", NULL },
    { "seed", FEW_OPT_U64, offsetof(struct options, seed), "0", 0, 0, "of the noise", NULL },
    { "guidance", FEW_OPT_DOUBLE, offsetof(struct options, guidance), "0", 0, 100,
      "strength of guidance", NULL },
    { "clip", FEW_OPT_BOOL, offsetof(struct options, clip), "false", 0, 0,
      "hold the network's prediction of x in [-1, 1] (some students ask for it themselves)", NULL },
    { "noise", FEW_OPT_STRING, offsetof(struct options, noise), NULL, 0, 0,
      "FILE.npy with float32 noise [N,H,W,C] at t = 1 (or --from) to start from", NULL },
    { "from", FEW_OPT_DOUBLE, offsetof(struct options, from), "1", 0, 1,
      "time to start at: one the sampler stops at, with --noise the noisy images there", NULL },
    { "features", FEW_OPT_STRING, offsetof(struct options, features), NULL, 0, 0,
      "feature network; absent: pretrained/DATA-features.safetensors, or PACK-features.safetensors",
      NULL },
    { "reference", FEW_OPT_STRING, offsetof(struct options, reference), NULL, 0, 0,
      "pack of test images; absent: the run's data.test, or PACK-test.few; of a file "
      "runs/data/NAME-test.few, NAME being its data's",
      NULL },
    { "train", FEW_OPT_STRING, offsetof(struct options, train), NULL, 0, 0,
      "pack of training images, for the floor; absent: as the reference; none: no floor", NULL },
    { "report", FEW_OPT_STRING, offsetof(struct options, report), NULL, 0, 0,
      "write an HTML page with table, plot and samples", NULL },
    { "title", FEW_OPT_STRING, offsetof(struct options, title), NULL, 0, 0, "of that page", NULL },
    { "output", FEW_OPT_STRING, offsetof(struct options, output), NULL, 0, 0,
      "with 'features' and 'xvar': the file to write", NULL },
    { "epochs", FEW_OPT_INT, offsetof(struct options, epochs), "6", 1, 1000,
      "with 'features': passes over the training images", NULL },
    { "times", FEW_OPT_INT, offsetof(struct options, times), "64", 1, 4096,
      "with 'xvar': entries of the table", NULL },
    { "threads", FEW_OPT_INT, offsetof(struct options, threads), "0", 0, 256, "cores; 0: all",
      NULL },
    { "precision", FEW_OPT_CHOICE, offsetof(struct options, precision), "auto", 0, 0, "of sampling",
      "auto|f32|bf16" },
    { .name = NULL },
};

/* A path from an option, else from the run's configuration (or beside its pack), else by the data's
 * name. */
static char *find_pack(const char *given, const char *run, bool test, const char *data)
{
    few_error ignored;
    few_strbuf b;
    char *found = NULL;
    if (given)
        return few_strdup(given);
    char *file = few_is_folder(run) ? few_path_join(run, "config.yaml") : NULL;
    few_config c;
    if (file && few_config_load(&c, file, NULL, &ignored) == FEW_OK) {
        const char *pack = few_dataset_is_pack(c.data.path) ? c.data.path : NULL;
        const char *in = test ? c.data.test : pack;
        found = in ? few_strdup(in) : test && pack ? few_pack_beside(pack, "-test.few") : NULL;
        few_config_clear(&c);
    }
    few_free(file);
    if (!found && data) {
        few_strbuf_init(&b);
        few_strbuf_addf(&b, "runs/data/%s%s.few", data, test ? "-test" : "");
        found = few_strdup(b.s);
        few_strbuf_free(&b);
    }
    return found;
}

int few_cli_eval_progress(void *user, int64_t done, int64_t total)
{
    few_progress *p = user;
    if (p->total != total) { /* the first word of it: what is there already took no time */
        p->total = total;
        few_progress_resume(p, done);
    }
    few_progress_update(p, done, NULL);
    return few_cli_signal();
}

static int failed(const few_error *err)
{
    if (!few_cli_signal())
        return few_cli_fail(err);
    few_cli_say("%s", err->text);
    return 128 + few_cli_signal();
}

/* ---- errors by time -------------------------------------------------------------------------*/

static int measure_errors(const struct options *o, const char *model)
{
    few_x_error_options x = { .images = o->samples ? o->samples : 1000,
                              .times = o->times,
                              .seed = o->seed,
                              .precision = few_precision_named(o->precision),
                              .workers = o->threads };
    few_error err = { 0 };
    few_spec spec = { 0 };
    char *path = NULL, *pack = NULL;
    few_status st = o->output ? few_cli_model_path(model, &path, &err)
                              : few_fail(&err, FEW_EINVAL,
                                         "-o FILE is missing: where to write a copy of the "
                                         "checkpoint with its table");
    if (st == FEW_OK)
        st = few_net_load_spec(&spec, path, &err);
    if (st == FEW_OK && !(pack = find_pack(o->train, model, false, spec.data_name)))
        st = few_fail(&err, FEW_EINVAL, "--train PACK is missing: the images to measure on");
    few_spec_clear(&spec);
    const int code =
        st == FEW_OK ? few_cli_eval_xvar(path, pack, o->output, &x) : few_cli_fail(&err);
    few_free(path);
    few_free(pack);
    return code;
}

/* ---- evaluating -----------------------------------------------------------------------------*/

struct evaluation {
    const struct options *o;
    few_features *features;
    few_pack *test, *train;
    few_real reference;
    few_net *net;
    few_quality_row *row;
    void **sampler_options;
    char **path;
    float *noise; /* [samples,h,w,c], or NULL */
    char *keep;   /* folder of unfinished evaluations, or NULL */
    int n, teachers;
};

static few_status open_references(struct evaluation *e, const char *first, few_error *err)
{
    const char *data = e->net[0].spec.data_name;
    char *test = find_pack(e->o->reference, first, true, data);
    char *train = find_pack(e->o->train, first, false, data);
    char *own = find_pack(NULL, first, false, data);
    few_status st = few_features_find(e->o->features, data, own, e->o->threads, &e->features, err);
    if (st == FEW_OK && !e->o->reference && !(test && few_is_file(test)))
        st = few_fail(err, FEW_ENOTFOUND,
                      "there are no test images%s%s%s: --reference PACK names some, 'fewstep data "
                      "pack --test 0.1' keeps some apart",
                      test ? " at '" : "", test ? test : "", test ? "'" : "");
    if (st == FEW_OK)
        st = few_pack_open(&e->test, test, err);
    const bool asked = e->o->train && strcmp(e->o->train, "none") != 0;
    if (st == FEW_OK && train && (asked || few_is_file(train)))
        st = few_pack_open(&e->train, train, err);
    if (st == FEW_OK)
        st = few_real_make(&e->reference, e->features, e->test, e->train, e->o->samples, err);
    few_free(test);
    few_free(train);
    few_free(own);
    return st;
}

/* Beside teachers, how to sample is meant for them alone. */
static bool is_meant(const struct evaluation *e, int k)
{
    return !e->net[k].spec.steps || !e->teachers;
}

static few_status choose(struct evaluation *e, int k, few_error *err)
{
    const struct options *o = e->o;
    const few_spec *spec = &e->net[k].spec;
    few_quality_row *r = &e->row[k];
    const bool asked = is_meant(e, k);
    const few_sampler *s =
        o->sampler && asked ? few_sampler_find(o->sampler, err) : few_sampler_default(spec);
    if (!s)
        return FEW_EINVAL;
    const int steps = o->steps && asked ? o->steps : few_sampler_default_steps(spec, s);
    r->draw.sampler = s; /* its options are freed by it */
    FEW_TRY(few_sampler_options_make(s, &e->sampler_options[k], err));
    if (asked)
        FEW_TRY(few_sampler_options_set(s, e->sampler_options[k], &o->set, err));
    few_strbuf warning;
    few_strbuf_init(&warning);
    const few_status st =
        s->check ? s->check(spec, e->sampler_options[k], steps, &warning, err) : FEW_OK;
    if (warning.n)
        few_cli_warn("%s: %s", e->path[k], warning.s);
    few_strbuf_free(&warning);
    FEW_TRY(st);
    r->path = e->path[k];
    r->net = &e->net[k];
    r->draw = (few_draw){ .sampler = s,
                          .options = e->sampler_options[k],
                          .steps = steps,
                          .seed = o->seed,
                          .noise = e->noise,
                          .guidance = asked ? o->guidance : 0 };
    return few_sampler_part(s, spec, e->sampler_options[k], steps, o->from, 0, &r->draw.begin,
                            &r->draw.end, err);
}

static few_status evaluate(struct evaluation *e, int k, few_error *err)
{
    few_progress bar;
    char name[64], label[96];
    const few_progress_sink sink = few_progress_stderr(few_cli_state.quiet);
    snprintf(label, sizeof label, "%s", few_quality_name(&e->net[k], name));
    few_progress_begin(&bar, &sink, label, 1, "eval");
    const few_evaluation_options o = { .samples = e->o->samples,
                                       .draw = e->row[k].draw,
                                       .precision = few_precision_named(e->o->precision),
                                       .workers = e->o->threads,
                                       .keep = e->keep,
                                       .keep_done = e->n > 1 || e->o->report,
                                       .progress = few_cli_eval_progress,
                                       .user = &bar };
    const few_status st =
        few_evaluate(&e->net[k], e->features, &e->reference, &o, &e->row[k].result, err);
    few_progress_end(&bar);
    return st;
}

static void print_json(const struct evaluation *e)
{
    json_t *all = json_array();
    for (int k = 0; k < e->n; k++) {
        const few_quality_row *r = &e->row[k];
        const few_evaluation *v = &r->result;
        char name[128];
        snprintf(name, sizeof name, "FD-%s", few_features_data(e->features));
        json_t *o = json_pack(
            "{s:s, s:s, s:f, s:o, s:I, s:o, s:f, s:s, s:i, s:i, s:s, s:I, s:I, s:s, s:s}", "model",
            r->path, "metric", name, "fd", v->fd, "floor",
            isfinite(v->floor) ? json_real(v->floor) : json_null(), "samples",
            (json_int_t)v->samples, "nfe", few_cli_number(v->nfe), "images_per_second",
            v->images_per_second, "sampler", r->draw.sampler->name, "steps", r->draw.steps,
            "made_for_steps", r->net->spec.steps, "kind", r->net->spec.kind, "seed",
            (json_int_t)r->draw.seed, "reference", (json_int_t)v->reference, "reference_hash",
            v->reference_hash, "features_hash", v->features_hash);
        json_t *set = json_array();
        for (int i = 0; i < e->o->set.n && is_meant(e, k); i++)
            json_array_append_new(set, json_string(e->o->set.v[i]));
        json_object_set_new(o, "guidance", few_cli_number(r->draw.guidance));
        json_object_set_new(o, "clip", json_boolean(r->net->spec.clip));
        json_object_set_new(o, "set", set);
        if (e->o->noise) {
            json_object_set_new(o, "noise", json_string(e->o->noise));
            json_object_set_new(o, "from", json_real(e->o->from));
        }
        json_array_append_new(all, o);
    }
    few_cli_json(e->n == 1 ? json_incref(json_array_get(all, 0)) : json_incref(all));
    json_decref(all);
}

static void print_table(const struct evaluation *e)
{
    const few_evaluation *v = &e->row[0].result;
    printf("FD-%s: %lld samples against %lld test images", few_features_data(e->features),
           (long long)v->samples, (long long)v->reference);
    if (isfinite(v->floor))
        printf("; floor %.4f (%lld training images)", v->floor, (long long)v->train);
    printf("\nreference %s, features %s, seed %llu\n", v->reference_hash, v->features_hash,
           (unsigned long long)e->row[0].draw.seed);
    if (e->o->noise)
        printf("from the noisy images of %s, at t = %g\n", e->o->noise, e->o->from);
    printf("\n");
    printf("%-18s %-10s %6s %9s %8s %10s\n", "model", "sampler", "nfe", "FD", "ratio", "images/s");
    for (int k = 0; k < e->n; k++) {
        const few_quality_row *r = &e->row[k];
        char name[64];
        printf("%-18s %-10s %6.6g %9.4f %8.2f %10.1f\n", few_quality_name(r->net, name),
               r->draw.sampler->name, r->result.nfe, r->result.fd, r->result.fd / v->fd,
               r->result.images_per_second);
    }
}

static few_status evaluate_all(struct evaluation *e, char **args, few_error *err)
{
    int64_t noises;
    if (e->o->from < 1 && !e->o->noise)
        return few_fail(err, FEW_EINVAL,
                        "--from %g needs --noise FILE.npy: the images at that time", e->o->from);
    if (e->o->report && e->o->noise)
        return few_fail(err, FEW_EINVAL,
                        "--report draws its sheets from noise of its own: not with --noise");
    for (int k = 0; k < e->n; k++) {
        FEW_TRY(few_cli_model_path(args[k], &e->path[k], err));
        FEW_TRY(few_net_load(&e->net[k], e->path[k], err));
        e->net[k].spec.clip |= e->o->clip;
        e->teachers += !e->net[k].spec.steps;
    }
    if (e->o->noise)
        FEW_TRY(few_cli_load_noise(e->o->noise, &e->net[0].spec, e->o->samples, &e->noise, &noises,
                                   err));
    for (int k = 0; k < e->n; k++)
        if (choose(e, k, err) != FEW_OK)
            return e->n > 1 ? few_fail_in(err, "%s", e->path[k]) : err->code;
    FEW_TRY(open_references(e, args[0], err));
    for (int k = 0; k < e->n; k++)
        FEW_TRY(evaluate(e, k, err));
    if (!e->o->report)
        return FEW_OK;
    few_strbuf command, title;
    few_strbuf_init(&command);
    few_strbuf_init(&title);
    few_strbuf_addf(&command, "fewstep eval --samples %lld --seed %llu", (long long)e->o->samples,
                    (unsigned long long)e->o->seed);
    if (e->o->sampler)
        few_strbuf_addf(&command, " --sampler %s", e->o->sampler);
    if (e->o->steps)
        few_strbuf_addf(&command, " --steps %d", e->o->steps);
    if (e->o->guidance != 0)
        few_strbuf_addf(&command, " --guidance %g", e->o->guidance);
    for (int k = 0; k < e->o->set.n; k++)
        few_strbuf_addf(&command, "%s%s", k ? "," : " --set ", e->o->set.v[k]);
    if (e->o->clip)
        few_strbuf_add(&command, " --clip");
    const char *const given[][2] = { { "features", e->o->features },
                                     { "reference", e->o->reference },
                                     { "train", e->o->train },
                                     { "precision", e->o->precision } };
    for (size_t k = 0; k < FEW_COUNT(given); k++)
        if (given[k][1] && strcmp(given[k][1], "auto") != 0)
            few_strbuf_addf(&command, " --%s %s", given[k][0], given[k][1]);
    for (int k = 0; k < e->n; k++)
        few_strbuf_addf(&command, " %s", args[k]);
    few_strbuf_addf(&title, "%s: what the steps buy", few_features_data(e->features));
    few_progress bar;
    const few_progress_sink sink = few_progress_stderr(few_cli_state.quiet);
    few_progress_begin(&bar, &sink, "sheets", 1, "eval");
    const few_status st = few_quality_report(
        e->o->report, e->o->title ? e->o->title : title.s, command.s, e->row, e->n, e->test,
        few_precision_named(e->o->precision), e->o->threads, few_cli_eval_progress, &bar, err);
    few_progress_end(&bar);
    few_strbuf_free(&command);
    few_strbuf_free(&title);
    return st;
}

static int run(const void *options, int n_args, char **args)
{
    struct options *o = &(struct options){ 0 };
    *o = *(const struct options *)options;
    few_error err = { 0 };
    few_cli_catch_signals();
    if (!strcmp(args[0], "features") && n_args == 2)
        return few_cli_eval_features(args[1], o->reference, o->output,
                                     &(few_features_training){ .epochs = o->epochs,
                                                               .batch = 128,
                                                               .lr = 2e-3,
                                                               .seed = o->seed + 1,
                                                               .workers = o->threads });
    if (!strcmp(args[0], "xvar") && n_args == 2)
        return measure_errors(o, args[1]);
    o->samples = o->samples ? o->samples : 10000;
    const size_t n = (size_t)n_args;
    struct evaluation e = { .o = o,
                            .n = n_args,
                            .net = few_calloc(n, sizeof(few_net)),
                            .row = few_calloc(n, sizeof(few_quality_row)),
                            .sampler_options = few_calloc(n, sizeof(void *)),
                            .path = few_calloc(n, sizeof(char *)),
                            .keep = few_cli_cache_folder() };
    few_status st = e.net && e.row && e.sampler_options && e.path
                        ? evaluate_all(&e, args, &err)
                        : few_fail(&err, FEW_ENOMEM, "out of memory for an evaluation");
    if (st == FEW_OK && few_cli_state.json)
        print_json(&e);
    else if (st == FEW_OK)
        print_table(&e);
    if (st == FEW_OK && o->report)
        few_cli_say("wrote %s", o->report);
    for (int k = 0; k < n_args; k++) {
        if (st == FEW_OK && e.row[k].result.kept[0])
            remove(e.row[k].result.kept);
        if (e.sampler_options && e.sampler_options[k])
            few_sampler_options_free(e.row[k].draw.sampler, e.sampler_options[k]);
        if (e.net)
            few_net_free(&e.net[k]);
        if (e.path)
            few_free(e.path[k]);
    }
    few_free(e.noise);
    few_free(e.keep);
    few_free(e.net);
    few_free(e.row);
    few_free(e.sampler_options);
    few_free(e.path);
    few_real_free(&e.reference);
    few_features_free(e.features);
    few_pack_close(e.test);
    few_pack_close(e.train);
    return st == FEW_OK ? FEW_EXIT_OK : failed(&err);
}

const few_command few_command_eval = {
    .name = "eval",
    .help = "measure the quality of checkpoints",
    .usage = "eval RUN_OR_FILE... [OPTIONS]\n"
             "       fewstep eval features PACK [--reference TEST] [-o FILE]\n"
             "       fewstep eval xvar RUN_OR_FILE -o FILE",
    .more =
        "Several checkpoints make a table and, with --report, one page; --sampler, --steps,\n"
        "--set and --guidance are then the teachers' alone, if there are any. The second form "
        "trains\n"
        "the small classifier in whose features the distance is taken, by default into\n"
        "PACK-features.safetensors; without classes it learns to tell turned and blurred images.\n"
        "The third measures how far a diffusion model's prediction is from the data, by\n"
        "time, and writes a copy of it with that table, for aDDIM (--sampler addim --set\n"
        "x_var=table).\n"
        "An evaluation that is stopped or killed goes on where it was (to the last minute) when\n"
        "it is asked for again; it is kept in $XDG_CACHE_HOME/fewstep (~/.cache/fewstep) until\n"
        "then.\n",
    .options = table,
    .options_size = sizeof(struct options),
    .min_args = 1,
    .max_args = -1,
    .run = run,
};

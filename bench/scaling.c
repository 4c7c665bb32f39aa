/* Images a second against batch, threads, width and resolution.
 *
 *   bench_scaling FEWSTEP CONFIG OUT [OPTIONS of 'fewstep bench step']     OUT.tsv, OUT.svg
 *
 * Each point is a process of its own. The batch is that of training; for sampling the batch is
 * given with "sample". */
#include "base/file.h"
#include "base/strbuf.h"
#include "base/thread.h"
#include "eval/plot.h"
#include "spawn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 16, EXTRA = 8 };

/* What varies; the value is put behind each option. */
static const struct axis {
    const char *name, *options[2];
    int values[MOST];
} axes[] = {
    { "batch", { "--batch=" }, { 1, 2, 4, 8, 16, 32, 64, 128, 256 } },
    { "threads", { "--threads=" }, { 1, 2, 4, 8, 16, 32, 64 } },
    { "width", { "--set=model.base=" }, { 16, 32, 64, 96, 128 } },
    { "resolution", { "--size=" }, { 32, 64, 96, 128 } },
};

static few_status measure(char **argv, int argc, const struct axis *a, int value, few_figures *f,
                          few_error *err)
{
    char text[2][64], *args[EXTRA + 2];
    int n = 0;
    for (int k = 0; k < 2 && a->options[k]; k++) {
        snprintf(text[k], sizeof text[k], "%s%d", a->options[k], value);
        args[n++] = text[k];
    }
    for (int k = 4; k < argc && n < EXTRA + 2; k++)
        args[n++] = argv[k];
    return few_spawn_bench(argv[1], argv[2], n, args, f, err);
}

static few_status save(const char *out, const char *suffix, const few_strbuf *text, few_error *err)
{
    char path[512];
    snprintf(path, sizeof path, "%s%s", out, suffix);
    return few_write_file(path, text->s, text->n, err);
}

/* One axis: rows of the table, and its drawing. */
static few_status run_axis(char **argv, int argc, const struct axis *a, few_strbuf *tsv,
                           few_error *err)
{
    double x[MOST], y[3][MOST];
    int n = 0;
    const int cores = few_thread_count();
    for (int k = 0; k < MOST && a->values[k]; k++) {
        few_figures f;
        if (!strcmp(a->name, "threads") && a->values[k] > cores)
            break;
        FEW_TRY(measure(argv, argc, a, a->values[k], &f, err));
        few_strbuf_addf(tsv, "%s\t%d\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\n", a->name, a->values[k],
                        f.train, f.distill, f.sample[0], f.sample[1], f.sample[2]);
        fprintf(stderr, "%s %d: training %.1f, distillation %.1f, sampling %.1f images/s\n",
                a->name, a->values[k], f.train, f.distill, f.sample[2]);
        x[n] = a->values[k];
        y[0][n] = f.train;
        y[1][n] = f.distill;
        y[2][n++] = f.sample[2];
        FEW_TRY(save(argv[3], ".tsv", tsv, err)); /* what is there is kept */
    }
    const few_series series[3] = { { "training", x, y[0], n },
                                   { "distillation", x, y[1], n },
                                   { "evaluation, batch 64", x, y[2], n } };
    const few_line_plot p = { .x_title = a->name,
                              .y_title = "images/s",
                              .series = series,
                              .n_series = 3,
                              .log2_x = true,
                              .log_y = true };
    few_strbuf svg;
    char suffix[32];
    few_strbuf_init(&svg);
    few_status st = few_plot_lines(&p, &svg, err);
    snprintf(suffix, sizeof suffix, "-%s.svg", a->name);
    if (st == FEW_OK)
        st = save(argv[3], suffix, &svg, err);
    few_strbuf_free(&svg);
    return st;
}

int main(int argc, char **argv)
{
    few_error err = { 0 };
    few_strbuf tsv;
    few_status st = FEW_OK;
    if (argc < 4 || argc > 4 + EXTRA) {
        fprintf(stderr, "usage: bench_scaling FEWSTEP CONFIG OUT [--precision P] [--repeat R]\n");
        return 2;
    }
    few_strbuf_init(&tsv);
    few_strbuf_add(&tsv, "axis\tvalue\ttrain\tdistill\tsample 1\tsample 16\tsample 64\n");
    for (size_t k = 0; k < FEW_COUNT(axes) && st == FEW_OK; k++)
        st = run_axis(argv, argc, &axes[k], &tsv, &err);
    few_strbuf_free(&tsv);
    if (st != FEW_OK)
        fprintf(stderr, "bench_scaling: %s\n", err.text);
    return st == FEW_OK ? 0 : 1;
}

/* Images a second against batch, threads, width and resolution.
 *
 *   bench_scaling FEWSTEP CONFIG OUT [--axes=batch,threads] [--rounds=3] [OPTIONS]
 *
 * OPTIONS are those of 'fewstep bench step'; with --only=train the other columns are empty. Each
 * point is a process of its own. All points of an axis are measured in turn, `rounds` times, so
 * that each has the same neighbours on the machine; the median counts. The batch is that of
 * training and distilling. Writes OUT.tsv and OUT-AXIS.svg after every axis, the table after every
 * round, too. */
#include "base/file.h"
#include "base/strbuf.h"
#include "base/thread.h"
#include "eval/plot.h"
#include "spawn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 16, EXTRA = 8, ROUNDS = 15 };

/* What varies: the value is put behind the option. */
static const struct axis {
    const char *name, *option;
    int values[MOST];
} axes[] = {
    { "batch", "--batch=", { 1, 2, 4, 8, 16, 32, 64, 128, 256 } },
    { "threads", "--threads=", { 1, 2, 4, 8, 16, 32, 64 } },
    { "width", "--set=model.base=", { 16, 32, 64, 96, 128 } },
    { "resolution", "--size=", { 32, 64, 96, 128 } },
};

struct settings {
    const char *fewstep, *config, *out, *axes; /* axes NULL: all */
    int rounds, n_options;
    char *options[EXTRA];
};

/* The figures of a point, round after round. */
struct point {
    int value;
    double v[FEW_N_FIGURES][ROUNDS];
};

static const char *const names[FEW_N_FIGURES] = { "train", "distill", "sample 1", "sample 16",
                                                  "sample 64" };

static int up(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Of figure k after n rounds, also the least and the most. */
static double median(const struct point *p, int k, int n, double *least, double *most)
{
    double v[ROUNDS];
    memcpy(v, p->v[k], (size_t)n * sizeof *v);
    qsort(v, (size_t)n, sizeof *v, up);
    *least = v[0];
    *most = v[n - 1];
    return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

static few_status save(const struct settings *s, const char *suffix, const few_strbuf *text,
                       few_error *err)
{
    char path[512];
    snprintf(path, sizeof path, "%s%s", s->out, suffix);
    return few_write_file(path, text->s, text->n, err);
}

/* What the table says of an axis: the medians, with their range in brackets. */
static void add_rows(const struct axis *a, const struct point *p, int n, int rounds,
                     few_strbuf *tsv)
{
    for (int k = 0; k < n; k++) {
        few_strbuf_addf(tsv, "%s\t%d", a->name, p[k].value);
        for (int j = 0; j < FEW_N_FIGURES; j++) {
            double least, most;
            const double m = median(&p[k], j, rounds, &least, &most);
            if (m > 0)
                few_strbuf_addf(tsv, "\t%.1f (%.1f-%.1f)", m, least, most);
            else
                few_strbuf_add(tsv, "\t");
        }
        few_strbuf_add(tsv, "\n");
    }
}

static few_status draw(const struct settings *s, const struct axis *a, const struct point *p, int n,
                       few_error *err)
{
    static const char *const title[] = { "training", "distillation", NULL, NULL,
                                         "evaluation, batch 64" };
    double x[MOST], y[FEW_N_FIGURES][MOST], least, most;
    few_series series[FEW_N_FIGURES];
    int lines = 0;
    for (int j = 0; j < FEW_N_FIGURES; j++) {
        for (int k = 0; k < n; k++) {
            x[k] = p[k].value;
            y[j][k] = median(&p[k], j, s->rounds, &least, &most);
        }
        if (title[j] && y[j][0] > 0)
            series[lines++] = (few_series){ title[j], x, y[j], n };
    }
    const few_line_plot plot = { .x_title = a->name,
                                 .y_title = "images/s",
                                 .series = series,
                                 .n_series = lines,
                                 .log2_x = true,
                                 .log_y = true };
    few_strbuf svg;
    char suffix[32];
    few_strbuf_init(&svg);
    few_status st = few_plot_lines(&plot, &svg, err);
    snprintf(suffix, sizeof suffix, "-%s.svg", a->name);
    if (st == FEW_OK)
        st = save(s, suffix, &svg, err);
    few_strbuf_free(&svg);
    return st;
}

/* An axis: its rows behind the table's, and its drawing. */
static few_status run_axis(const struct settings *s, const struct axis *a, few_strbuf *tsv,
                           few_error *err)
{
    static struct point p[MOST];
    const int cores = few_thread_count();
    const size_t before = tsv->n;
    int n = 0;
    for (; n < MOST && a->values[n] && (strcmp(a->name, "threads") || a->values[n] <= cores); n++)
        p[n].value = a->values[n];
    for (int r = 0; r < s->rounds; r++) {
        for (int k = 0; k < n; k++) {
            char text[64], *args[EXTRA + 1];
            few_figures f;
            snprintf(text, sizeof text, "%s%d", a->option, p[k].value);
            args[0] = text;
            memcpy(args + 1, s->options, sizeof s->options);
            FEW_TRY(few_spawn_bench(s->fewstep, s->config, 1 + s->n_options, args, &f, err));
            fprintf(stderr, "%s %d:", a->name, p[k].value);
            for (int j = 0; j < FEW_N_FIGURES; j++) {
                p[k].v[j][r] = f.v[j];
                if (f.v[j] > 0)
                    fprintf(stderr, " %s %.1f", names[j], f.v[j]);
            }
            fprintf(stderr, " images/s, round %d of %d\n", r + 1, s->rounds);
        }
        tsv->n = before;
        add_rows(a, p, n, r + 1, tsv);
        FEW_TRY(save(s, ".tsv", tsv, err));
    }
    return draw(s, a, p, n, err);
}

static bool wanted(const char *list, const char *name)
{
    const char *at = list ? strstr(list, name) : NULL;
    return !list || (at && (at == list || at[-1] == ',') && strchr(",", at[strlen(name)]));
}

static bool read_settings(int argc, char **argv, struct settings *s)
{
    if (argc < 4)
        return false;
    *s = (struct settings){ .fewstep = argv[1], .config = argv[2], .out = argv[3], .rounds = 3 };
    for (int k = 4; k < argc; k++)
        if (!strncmp(argv[k], "--axes=", 7))
            s->axes = argv[k] + 7;
        else if (!strncmp(argv[k], "--rounds=", 9))
            s->rounds = atoi(argv[k] + 9);
        else if (s->n_options < EXTRA)
            s->options[s->n_options++] = argv[k];
        else
            return false;
    return s->rounds > 0 && s->rounds <= ROUNDS;
}

int main(int argc, char **argv)
{
    few_error err = { 0 };
    few_strbuf tsv;
    few_status st = FEW_OK;
    struct settings s;
    if (!read_settings(argc, argv, &s)) {
        fprintf(stderr, "usage: bench_scaling FEWSTEP CONFIG OUT [--axes=batch,threads,width,"
                        "resolution] [--rounds=3] [--precision=P] [--repeat=R] [--only=train]\n");
        return 2;
    }
    few_strbuf_init(&tsv);
    few_strbuf_add(&tsv, "axis\tvalue");
    for (int j = 0; j < FEW_N_FIGURES; j++)
        few_strbuf_addf(&tsv, "\t%s", names[j]);
    few_strbuf_add(&tsv, "\n");
    for (size_t k = 0; k < FEW_COUNT(axes) && st == FEW_OK; k++)
        if (wanted(s.axes, axes[k].name))
            st = run_axis(&s, &axes[k], &tsv, &err);
    few_strbuf_free(&tsv);
    if (st != FEW_OK)
        fprintf(stderr, "bench_scaling: %s\n", err.text);
    return st == FEW_OK ? 0 : 1;
}

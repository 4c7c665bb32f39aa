/* The quality report. */
#include "eval/quality.h"

#include "base/alloc.h"
#include "base/file.h"
#include "eval/plot.h"
#include "eval/report.h"
#include "image/image.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SHEET = 64, SHEET_COLUMNS = 16, MAX_KINDS = 16, MAX_POINTS = 64, COLUMNS = 6 };

const char *few_quality_name(const few_net *net, char buf[64])
{
    if (net->spec.steps)
        snprintf(buf, 64, "%s, %d step%s", net->spec.kind, net->spec.steps,
                 net->spec.steps == 1 ? "" : "s");
    else
        snprintf(buf, 64, "teacher");
    return buf;
}

static void add_table(few_report *r, const few_quality_row *rows, int n)
{
    static const char *const head[] = {
        "model", "sampler", "network evaluations", "FD", "times the first row", "images/s"
    };
    char(*text)[64] = few_calloc((size_t)(n * COLUMNS), sizeof *text);
    const char **cell = few_calloc((size_t)(n * COLUMNS), sizeof *cell);
    for (int k = 0; text && cell && k < n; k++) {
        char(*t)[64] = text + k * COLUMNS;
        const few_evaluation *e = &rows[k].result;
        few_quality_name(rows[k].net, t[0]);
        snprintf(t[1], 64, "%s, %d", rows[k].draw.sampler->name, rows[k].draw.steps);
        snprintf(t[2], 64, "%.6g", e->nfe);
        snprintf(t[3], 64, "%.4f", e->fd);
        snprintf(t[4], 64, "%.2f", e->fd / rows[0].result.fd);
        snprintf(t[5], 64, "%.1f", e->images_per_second);
        for (int j = 0; j < COLUMNS; j++)
            cell[k * COLUMNS + j] = t[j];
    }
    if (text && cell)
        few_report_table(r, "Lower FD is better.", COLUMNS, head, n, cell);
    few_free(text);
    few_free(cell);
}

/* FD against steps: a line for each kind of student, level lines for teachers and the floor. */
static few_status add_plot(few_report *r, const few_quality_row *rows, int n, few_error *err)
{
    double x[MAX_KINDS][MAX_POINTS], y[MAX_KINDS][MAX_POINTS];
    few_series series[MAX_KINDS];
    few_level level[MAX_KINDS];
    char names[MAX_KINDS][64];
    int n_series = 0, n_levels = 0;
    for (int k = 0; k < n; k++) {
        const few_spec *s = &rows[k].net->spec;
        if (!s->steps) {
            if (n_levels < MAX_KINDS - 1) {
                snprintf(names[n_levels], 64, "teacher, %s %d", rows[k].draw.sampler->name,
                         rows[k].draw.steps);
                level[n_levels] = (few_level){ names[n_levels], rows[k].result.fd };
                n_levels++;
            }
            continue;
        }
        int j = 0;
        while (j < n_series && strcmp(series[j].label, s->kind) != 0)
            j++;
        if (j == MAX_KINDS)
            continue;
        if (j == n_series)
            series[n_series++] = (few_series){ .label = s->kind, .x = x[j], .y = y[j] };
        int at = series[j].n;
        if (at == MAX_POINTS)
            continue;
        for (; at > 0 && x[j][at - 1] > rows[k].result.nfe; at--) { /* in their order */
            x[j][at] = x[j][at - 1];
            y[j][at] = y[j][at - 1];
        }
        x[j][at] = rows[k].result.nfe;
        y[j][at] = rows[k].result.fd;
        series[j].n++;
    }
    if (n && isfinite(rows[0].result.floor))
        level[n_levels++] = (few_level){ "floor: training images", rows[0].result.floor };
    const few_line_plot plot = { .title = "What the steps buy",
                                 .x_title = "network evaluations for one image",
                                 .y_title = "FD (lower is better)",
                                 .series = series,
                                 .n_series = n_series,
                                 .levels = level,
                                 .n_levels = n_levels,
                                 .log2_x = true,
                                 .log_y = true };
    few_strbuf svg;
    few_strbuf_init(&svg);
    few_status st = n_series ? few_plot_lines(&plot, &svg, err) : FEW_OK;
    if (st == FEW_OK && n_series)
        few_report_svg(r, svg.s, "Quality against the number of steps");
    few_strbuf_free(&svg);
    return st;
}

/* A sheet as PNG bytes goes through a file beside the report. */
static few_status add_sheet(few_report *r, const few_sheet *s, const char *path,
                            const char *caption, few_error *err)
{
    few_strbuf temp;
    few_strbuf_init(&temp);
    few_strbuf_addf(&temp, "%s.%d.png", path, (int)getpid());
    few_status st =
        few_image_write_png(temp.s, s->image.pixels, s->image.h, s->image.w, s->image.c, err);
    if (st == FEW_OK)
        st = few_report_png_file(r, temp.s, caption, err);
    unlink(temp.s);
    few_strbuf_free(&temp);
    return st;
}

/* Progress over all sheets, in network evaluations. */
struct relay {
    few_progress_fn progress;
    void *user;
    int64_t before, total;
};

static int pass_on(void *user, int64_t done, int64_t total)
{
    const struct relay *s = user;
    (void)total;
    return s->progress ? s->progress(s->user, s->before + done, s->total) : 0;
}

static few_status add_samples(few_report *r, const few_quality_row *row, const char *path,
                              few_precision precision, int workers, struct relay *relay,
                              few_error *err)
{
    const few_spec *spec = &row->net->spec;
    const few_drawer_options o = { .precision = precision,
                                   .workers = workers,
                                   .images = SHEET,
                                   .guidance = row->draw.guidance != 0,
                                   .needs =
                                       few_sampler_needs(row->draw.sampler, row->draw.options) };
    few_drawer *d = NULL;
    few_sheet sheet = { 0 };
    char name[64];
    few_strbuf caption;
    const size_t pixels = (size_t)spec->height * (size_t)spec->width * (size_t)spec->channels;
    float *images = few_malloc(SHEET * pixels * sizeof(float));
    few_status st = images ? FEW_OK : few_fail(err, FEW_ENOMEM, "out of memory for a sheet");
    few_draw draw = row->draw;
    draw.seed = 0;
    draw.first = 0;
    draw.progress = pass_on;
    draw.user = relay;
    few_strbuf_init(&caption);
    few_strbuf_addf(&caption, "%s: %s in %d step%s, FD %.4f", few_quality_name(row->net, name),
                    row->draw.sampler->name, row->draw.steps, row->draw.steps == 1 ? "" : "s",
                    row->result.fd);
    if (st == FEW_OK)
        st = few_drawer_create(spec, row->net->master, &o, &d, err);
    if (st == FEW_OK)
        st = few_drawer_draw(d, &draw, SHEET, images, err);
    relay->before += (int64_t)SHEET * few_draw_evaluations(&draw);
    if (st == FEW_OK)
        st = few_sheet_init(&sheet, SHEET, spec->height, spec->width, spec->channels, SHEET_COLUMNS,
                            2, err);
    for (int64_t i = 0; st == FEW_OK && i < SHEET; i++)
        few_sheet_put_f32(&sheet, i, images + (size_t)i * pixels);
    if (st == FEW_OK)
        st = add_sheet(r, &sheet, path, caption.s, err);
    few_sheet_clear(&sheet);
    few_drawer_free(d);
    few_strbuf_free(&caption);
    few_free(images);
    return st;
}

static few_status add_real(few_report *r, const few_pack *test, const char *path, few_error *err)
{
    const few_pack_info *info = few_pack_get_info(test);
    few_sheet sheet;
    const int64_t n = info->count < SHEET ? info->count : SHEET;
    FEW_TRY(few_sheet_init(&sheet, n, info->height, info->width, info->channels, SHEET_COLUMNS, 2,
                           err));
    for (int64_t i = 0; i < n; i++) { /* class i mod classes, as the samples */
        int64_t k = i, seen = 0;
        for (int64_t j = 0; info->n_classes && j < info->count; j++)
            if (few_pack_label(test, j) == i % info->n_classes && seen++ == i / info->n_classes) {
                k = j;
                break;
            }
        few_sheet_put_u8(&sheet, i, few_pack_image(test, k));
    }
    const few_status st = add_sheet(r, &sheet, path, "real images of the test set", err);
    few_sheet_clear(&sheet);
    return st;
}

few_status few_quality_report(const char *path, const char *title, const char *command,
                              const few_quality_row *rows, int n, const few_pack *test,
                              few_precision precision, int workers, few_progress_fn progress,
                              void *user, few_error *err)
{
    few_report r;
    struct relay relay = { .progress = progress, .user = user };
    few_status st = FEW_OK;
    few_strbuf text;
    if (n < 1)
        return few_fail(err, FEW_EINVAL, "nothing to report");
    few_report_begin(&r, title);
    few_strbuf_init(&text);
    const few_evaluation *e = &rows[0].result;
    few_strbuf_addf(&text,
                    "FD is the Frechet distance between features of %lld samples and of %lld test "
                    "images, in a network trained on the training set; it is not FID. ",
                    (long long)e->samples, (long long)e->reference);
    if (isfinite(e->floor))
        few_strbuf_addf(&text,
                        "The floor, %.4f, is the distance of %lld training images%s from the same "
                        "test images. ",
                        e->floor, (long long)e->train,
                        few_pack_get_info(test)->has_labels ? ", of the same classes," : "");
    few_strbuf_addf(&text, "Test set %s, features %s, seed %llu.", e->reference_hash,
                    e->features_hash, (unsigned long long)rows[0].draw.seed);
    few_report_paragraph(&r, text.s);
    add_table(&r, rows, n);
    st = add_plot(&r, rows, n, err);
    few_report_heading(&r, "Samples from the same noise");
    for (int k = 0; k < n; k++)
        relay.total += (int64_t)SHEET * few_draw_evaluations(&rows[k].draw);
    for (int k = 0; k < n && st == FEW_OK; k++)
        st = add_samples(&r, &rows[k], path, precision, workers, &relay, err);
    if (st == FEW_OK)
        st = add_real(&r, test, path, err);
    if (command) {
        few_report_heading(&r, "Made by");
        few_report_verbatim(&r, command);
    }
    if (st == FEW_OK)
        st = few_report_save(&r, path, err);
    few_strbuf_free(&text);
    few_report_free(&r);
    return st;
}

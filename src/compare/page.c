/* compare.html: plot, tables, and a strip of images of each cell from the same noise. */
#include "base/alloc.h"
#include "base/file.h"
#include "compare/compare.h"
#include "eval/plot.h"
#include "eval/report.h"
#include "image/image.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { STRIP = 16, MAX_COLUMNS = 32 };

static void add_table(few_report *r, const few_compare *c, bool students)
{
    double nfe[MAX_COLUMNS - 1];
    const int columns = 1 + few_compare_evaluations(c, students, nfe, MAX_COLUMNS - 1);
    int rows = 0;
    while (few_compare_row(c, students, rows))
        rows++;
    char head[MAX_COLUMNS][32] = { "" };
    const char *heads[MAX_COLUMNS];
    char(*text)[48] = few_calloc((size_t)(columns * (rows + 1)), sizeof *text);
    const char **cells = few_calloc((size_t)(columns * (rows + 1)), sizeof *cells);
    for (int k = 0; k < columns; k++) {
        if (k)
            snprintf(head[k], sizeof head[k], "%.6g", nfe[k - 1]);
        heads[k] = head[k];
    }
    for (int i = 0; text && cells && i < rows; i++) {
        const char *row = few_compare_row(c, students, i);
        for (int k = 0; k < columns; k++) {
            char *t = text[i * columns + k];
            const few_compare_spread s =
                few_compare_spread_of(c, students, row, k ? nfe[k - 1] : 0);
            if (!k)
                snprintf(t, 48, "%.40s", row);
            else if (s.n == 1)
                snprintf(t, 48, "%.4f", s.mean);
            else if (s.n)
                snprintf(t, 48, "%.4f (%.4f-%.4f)", s.mean, s.low, s.high);
            cells[i * columns + k] = t;
        }
    }
    if (text && cells && columns > 1)
        few_report_table(r,
                         students ? "FD of students by network evaluations; lower is better"
                                  : "FD of the teacher's samplers by network evaluations",
                         columns, heads, rows, cells);
    few_free(text);
    few_free(cells);
}

/* A line for each row: the mean over seeds against evaluations. */
static few_status add_plot(few_report *r, const few_compare *c, few_error *err)
{
    enum { MAX_LINES = 2 * FEW_MAX_COMPARED };
    few_series series[MAX_LINES];
    int n = 0;
    double *x = few_calloc(MAX_LINES * MAX_COLUMNS, sizeof *x);
    double *y = few_calloc(MAX_LINES * MAX_COLUMNS, sizeof *y);
    few_level floor = { "floor: training images", 0 };
    few_strbuf svg;
    few_strbuf_init(&svg);
    few_status st = x && y ? FEW_OK : few_fail(err, FEW_ENOMEM, "out of memory for a plot");
    for (int students = 1; students >= 0 && st == FEW_OK; students--) {
        double nfe[MAX_COLUMNS];
        const int columns = few_compare_evaluations(c, students, nfe, MAX_COLUMNS);
        const char *row;
        for (int i = 0; (row = few_compare_row(c, students, i)); i++) {
            few_series *s = &series[n];
            *s = (few_series){ .label = row, .x = x + n * MAX_COLUMNS, .y = y + n * MAX_COLUMNS };
            for (int k = 0; k < columns; k++) {
                const few_compare_spread v = few_compare_spread_of(c, students, row, nfe[k]);
                x[n * MAX_COLUMNS + s->n] = nfe[k];
                y[n * MAX_COLUMNS + s->n] = v.mean;
                s->n += v.n > 0;
            }
            n += s->n > 0;
        }
    }
    for (int k = 0; k < c->n_cells; k++)
        if (c->cells[k].done)
            floor.y = c->cells[k].floor;
    const few_line_plot plot = { .title = "Quality against network evaluations",
                                 .x_title = "network evaluations for one image",
                                 .y_title = "FD (lower is better)",
                                 .series = series,
                                 .n_series = n,
                                 .levels = &floor,
                                 .n_levels = floor.y > 0,
                                 .log2_x = true,
                                 .log_y = true,
                                 .width = 840,
                                 .height = 560 };
    if (st == FEW_OK && n)
        st = few_plot_lines(&plot, &svg, err);
    if (st == FEW_OK && n)
        few_report_svg(r, svg.s, "All methods and the teacher's samplers; seeds averaged");
    few_strbuf_free(&svg);
    few_free(x);
    few_free(y);
    return st;
}

/* The first images of a cell, in one row, through a file beside the page. */
static few_status add_strip(few_report *r, const few_compare *c, const few_cell *cell,
                            few_error *err)
{
    few_net net = { 0 };
    few_draw draw;
    few_drawer *d = NULL;
    few_sheet sheet = { 0 };
    void *options;
    float *images = NULL;
    char caption[256], name[64], *path = NULL;
    FEW_TRY(few_compare_net(c, cell, &net, err));
    few_status st = few_compare_draw(c, cell, &net, &draw, &options, err);
    if (st != FEW_OK) {
        few_net_free(&net);
        return st;
    }
    const few_spec *s = &net.spec;
    const size_t pixels = (size_t)s->height * (size_t)s->width * (size_t)s->channels;
    const few_drawer_options o = { .workers = c->threads,
                                   .images = STRIP,
                                   .needs = few_sampler_needs(draw.sampler, options) };
    snprintf(caption, sizeof caption, "%s, %.6g evaluation%s: FD %.4f", few_cell_row(cell),
             cell->nfe, cell->nfe == 1 ? "" : "s", cell->fd);
    snprintf(name, sizeof name, "strip.%d.png", (int)getpid());
    images = few_malloc(STRIP * pixels * sizeof(float));
    path = few_path_join(c->folder, name);
    if (!images || !path)
        st = few_fail(err, FEW_ENOMEM, "out of memory for a strip");
    if (st == FEW_OK)
        st = few_drawer_create(s, net.master, &o, &d, err);
    if (st == FEW_OK)
        st = few_drawer_draw(d, &draw, STRIP, images, err);
    if (st == FEW_OK)
        st = few_sheet_init(&sheet, STRIP, s->height, s->width, s->channels, STRIP, 2, err);
    for (int64_t i = 0; st == FEW_OK && i < STRIP; i++)
        few_sheet_put_f32(&sheet, i, images + (size_t)i * pixels);
    if (st == FEW_OK)
        st = few_image_write_png(path, sheet.image.pixels, sheet.image.h, sheet.image.w,
                                 sheet.image.c, err);
    if (st == FEW_OK)
        st = few_report_png_file(r, path, caption, err);
    if (path)
        unlink(path);
    few_sheet_clear(&sheet);
    few_drawer_free(d);
    few_sampler_options_free(draw.sampler, options);
    few_free(images);
    few_free(path);
    few_net_free(&net);
    return st;
}

few_status few_compare_write_page(const few_compare *c, few_error *err)
{
    few_report r;
    char text[512], *path = few_path_join(c->folder, "compare.html");
    few_status st = path ? FEW_OK : few_fail(err, FEW_ENOMEM, "out of memory for a page");
    few_report_begin(&r, c->recipe.title ? c->recipe.title : "Ways to a few steps, compared");
    snprintf(text, sizeof text,
             "FD-%s on %lld samples from the same noise. Every student was trained on %lld images, "
             "whatever its method; where there are several seeds, tables have the mean and the "
             "lowest and highest.",
             few_features_data(c->features), (long long)c->recipe.samples,
             (long long)c->recipe.images);
    few_report_paragraph(&r, text);
    if (st == FEW_OK)
        st = add_plot(&r, c, err);
    add_table(&r, c, true);
    add_table(&r, c, false);
    few_report_heading(&r, "Images from the same noise");
    for (int k = 0; k < c->n_cells && st == FEW_OK; k++)
        if (c->cells[k].done && (c->cells[k].sampler || c->cells[k].seed == c->recipe.seeds.v[0]))
            st = add_strip(&r, c, &c->cells[k], err);
    few_report_heading(&r, "How this was made");
    snprintf(text, sizeof text, "fewstep compare %.400s", c->recipe_path);
    few_report_verbatim(&r, text);
    snprintf(text, sizeof text, "teacher %s, features %s, test images %s", c->teacher.hash,
             few_features_hash(c->features), few_pack_get_info(c->test)->hash);
    few_report_paragraph(&r, text);
    if (st == FEW_OK)
        st = few_report_save(&r, path, err);
    few_report_free(&r);
    few_free(path);
    return st;
}

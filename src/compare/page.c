/* compare.svg, compare.png and compare.html: plot, tables, and the strips of images. */
#include "base/alloc.h"
#include "base/file.h"
#include "compare/compare.h"
#include "compare/strip.h"
#include "eval/plot.h"
#include "eval/report.h"
#include "image/image.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MAX_COLUMNS = 32 };

static few_status add_table(few_report *r, const few_compare *c, few_compare_kind kind,
                            few_error *err)
{
    few_compare_table t;
    FEW_TRY(few_compare_table_make(c, kind, &t, err));
    const int n = (t.rows + 1) * t.columns;
    const char **cell = few_calloc((size_t)n, sizeof *cell);
    for (int k = 0; cell && k < n; k++)
        cell[k] = t.cell[k];
    if (cell && t.rows)
        few_report_table(r, t.caption, t.columns, cell, t.rows, cell + t.columns);
    few_free(cell);
    few_compare_table_free(&t);
    return cell ? FEW_OK : few_fail(err, FEW_ENOMEM, "out of memory for a table");
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
    if (st == FEW_OK && n) {
        few_report_svg(r, svg.s, "All methods and the teacher's samplers; seeds averaged");
        char *path = few_path_join(c->folder, "compare.svg");
        st = path ? few_write_file(path, svg.s, svg.n, err)
                  : few_fail(err, FEW_ENOMEM, "out of memory for a plot");
        few_free(path);
    }
    few_strbuf_free(&svg);
    few_free(x);
    few_free(y);
    return st;
}

/* ---- images ---------------------------------------------------------------------------------*/

/* A row of the sheet and of the page. */
static few_status add_strip(few_report *r, few_sheet *sheet, int64_t rows, int64_t row,
                            const few_cell *cell, const char *path, few_error *err)
{
    char caption[256];
    few_image strip;
    snprintf(caption, sizeof caption, "%s, %.6g evaluation%s: FD %.4f", few_cell_row(cell),
             cell->nfe, cell->nfe == 1 ? "" : "s", cell->fd);
    if (few_image_read(&strip, path, err) != FEW_OK)
        return few_fail_in(err, "images of %s (delete the file to go on without)", cell->name);
    few_status st = few_report_png_file(r, path, caption, err);
    if (st == FEW_OK && !sheet->n)
        st = few_sheet_init(sheet, rows, strip.h, strip.w, strip.c, 1, 0, err);
    const few_sheet *s = sheet;
    if (st == FEW_OK && (strip.h != s->h || strip.w != s->w || strip.c != s->image.c))
        st = few_fail(err, FEW_EFORMAT, "'%s' is %d by %d pixels and not, as another, %d by %d",
                      path, strip.h, strip.w, s->h, s->w);
    if (st == FEW_OK)
        few_sheet_put_u8(sheet, row, strip.pixels);
    few_image_clear(&strip);
    return st;
}

static few_status add_images(few_report *r, const few_compare *c, few_error *err)
{
    few_sheet sheet = { 0 };
    const few_cell **cells = few_malloc((size_t)c->n_cells * sizeof(const few_cell *));
    if (!cells)
        return few_fail(err, FEW_ENOMEM, "out of memory for images");
    const int rows = few_strips(c, cells);
    few_status st = FEW_OK;
    if (rows)
        few_report_heading(r, "Images from the same noise");
    for (int k = 0; k < rows && st == FEW_OK; k++) {
        char *path = few_strip_path(c, cells[k]);
        st = path ? add_strip(r, &sheet, rows, k, cells[k], path, err)
                  : few_fail(err, FEW_ENOMEM, "out of memory for images");
        few_free(path);
    }
    few_free(cells);
    char *path = few_path_join(c->folder, "compare.png");
    const few_image *im = &sheet.image;
    if (st == FEW_OK && rows)
        st = path ? few_image_write_png(path, im->pixels, im->h, im->w, im->c, err)
                  : few_fail(err, FEW_ENOMEM, "out of memory for images");
    few_free(path);
    few_sheet_clear(&sheet);
    return st;
}

few_status few_compare_write_page(const few_compare *c, few_error *err)
{
    few_report r;
    char text[512], *path = few_path_join(c->folder, "compare.html");
    int done = 0;
    for (int k = 0; k < c->n_cells; k++)
        done += c->cells[k].done;
    few_status st = path ? FEW_OK : few_fail(err, FEW_ENOMEM, "out of memory for a page");
    few_report_begin(&r, c->recipe.title ? c->recipe.title : "Ways to a few steps, compared");
    snprintf(text, sizeof text,
             "FD-%s on %lld samples from the same noise. Every student was trained on %lld images, "
             "whatever its method; where there are several seeds, tables have the mean and the "
             "lowest and highest.",
             few_features_data(c->features), (long long)c->recipe.samples,
             (long long)c->recipe.images);
    few_report_paragraph(&r, text);
    if (done < c->n_cells) {
        snprintf(text, sizeof text, "%d of %d measurements are made; the same command goes on.",
                 done, c->n_cells);
        few_report_paragraph(&r, text);
    }
    if (st == FEW_OK)
        st = add_plot(&r, c, err);
    for (int k = 0; k < FEW_COMPARE_KINDS && st == FEW_OK; k++)
        st = add_table(&r, c, (few_compare_kind)k, err);
    if (st == FEW_OK)
        st = add_images(&r, c, err);
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

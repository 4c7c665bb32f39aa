/* Line plots: series with markers, levels with their names, a legend above the box.
 *
 * The legend and the names of levels stand outside the box, so that they never hide data; names of
 * levels closer than a line of text are moved apart, in their order. */
#include "eval/plot.h"

#include "base/alloc.h"
#include "eval/markup.h"
#include "eval/plot_frame.h"

#include <math.h>

enum { MOST_MARKERS = 64, TEXT_ROW = 15 };

static void add_marker(few_strbuf *b, int k, double x, double y)
{
    switch (k % 5) {
    case 0:
        few_strbuf_addf(b, "<circle cx=\"%.2f\" cy=\"%.2f\" r=\"3.8\"/>\n", x, y);
        return;
    case 1:
        few_strbuf_addf(b, "<path d=\"M%.2f %.2fh7v7h-7z\"/>\n", x - 3.5, y - 3.5);
        return;
    case 2:
        few_strbuf_addf(b, "<path d=\"M%.2f %.2fl4.4 7.6h-8.8z\"/>\n", x, y - 5);
        return;
    case 3:
        few_strbuf_addf(b, "<path d=\"M%.2f %.2fl4.8 4.8l-4.8 4.8l-4.8 -4.8z\"/>\n", x, y - 4.8);
        return;
    default:
        few_strbuf_addf(b, "<path d=\"M%.2f %.2fl4.4 -7.6h-8.8z\"/>\n", x, y + 5);
    }
}

/* Whether a point has a place; px, py: where. */
static bool place(const few_frame *f, double x, double y, double *px, double *py)
{
    *px = few_frame_x(f, x);
    *py = few_frame_y(f, y);
    return isfinite(*px) && isfinite(*py);
}

static void open_markers(few_strbuf *b, int k)
{
    few_strbuf_addf(b, "<g class=\"ring c%d\" fill=\"currentColor\">\n", k % FEW_PLOT_COLOURS);
}

static void draw_series(few_frame *f, const few_series *s, int k)
{
    double x, y;
    bool pen = false;
    few_strbuf_addf(f->b,
                    "<path class=\"c%d\" fill=\"none\" stroke=\"currentColor\" stroke-width=\"%s\" "
                    "stroke-linejoin=\"round\" d=\"",
                    k % FEW_PLOT_COLOURS, s->n > MOST_MARKERS ? "1.4" : "2");
    for (int i = 0; i < s->n; i++) {
        const bool seen = place(f, s->x[i], s->y[i], &x, &y);
        if (seen)
            few_strbuf_addf(f->b, "%c%.2f %.2f", pen ? 'L' : 'M', x, y);
        pen = seen;
    }
    few_strbuf_add(f->b, "\"/>\n");
    if (s->n > MOST_MARKERS)
        return;
    open_markers(f->b, k);
    for (int i = 0; i < s->n; i++)
        if (place(f, s->x[i], s->y[i], &x, &y))
            add_marker(f->b, k, x, y);
    few_strbuf_add(f->b, "</g>\n");
}

static void legend_sample(few_frame *f, const void *user, int k, double x, double y)
{
    const few_series *series = user;
    few_strbuf_addf(f->b,
                    "<path class=\"c%d\" stroke=\"currentColor\" stroke-width=\"2\" "
                    "d=\"M%.1f %.1fh24\"/>\n",
                    k % FEW_PLOT_COLOURS, x, y);
    if (series[k].n > MOST_MARKERS)
        return;
    open_markers(f->b, k);
    add_marker(f->b, k, x + 12, y);
    few_strbuf_add(f->b, "</g>\n");
}

struct range {
    double lo, hi;
};

static void widen(struct range *r, double v, bool log)
{
    if (!isfinite(v) || (log && !(v > 0)))
        return;
    r->lo = v < r->lo ? v : r->lo;
    r->hi = v > r->hi ? v : r->hi;
}

static void fit_axes(few_frame *f, const few_line_plot *p)
{
    struct range x = { INFINITY, -INFINITY }, y = x;
    for (int k = 0; k < p->n_series; k++)
        for (int i = 0; i < p->series[k].n; i++) {
            widen(&x, p->series[k].x[i], p->log2_x);
            widen(&y, p->series[k].y[i], p->log_y);
        }
    for (int k = 0; k < p->n_levels; k++)
        widen(&y, p->levels[k].y, p->log_y);
    few_axis_fit(&f->x, p->log2_x ? FEW_AXIS_LOG2 : FEW_AXIS_LINEAR, x.lo, x.hi,
                 (int)((f->right - f->left) / 70));
    few_axis_fit(&f->y, p->log_y ? FEW_AXIS_LOG10 : FEW_AXIS_LINEAR, y.lo, y.hi,
                 (int)((f->bottom - f->top) / 45));
}

/* Names of levels in the right margin, from the top down, at least a row of text apart. order [n]
 * and at [n] are scratch. */
static void draw_levels(few_frame *f, const few_line_plot *p, int *order, double *at)
{
    int n = 0;
    for (int k = 0; k < p->n_levels; k++) {
        const double y = few_frame_y(f, p->levels[k].y);
        if (!isfinite(y))
            continue;
        few_strbuf_addf(f->b,
                        "<path class=\"level\" stroke-width=\"1.4\" stroke-dasharray=\"6 4\" "
                        "d=\"M%.1f %.2fH%.1f\"/>\n",
                        f->left, y, f->right);
        int i = n++;
        for (; i > 0 && at[i - 1] > y; i--) {
            order[i] = order[i - 1];
            at[i] = at[i - 1];
        }
        order[i] = k;
        at[i] = y;
    }
    /* Push down what is too near, then back up what has left the box. */
    for (int i = 1; i < n; i++)
        at[i] = fmax(at[i], at[i - 1] + TEXT_ROW);
    for (int i = n - 1; i >= 0; i--)
        at[i] = fmin(at[i], i == n - 1 ? f->bottom : at[i + 1] - TEXT_ROW);
    for (int i = 0; i < n; i++) {
        const few_level *level = &p->levels[order[i]];
        const double y = few_frame_y(f, level->y);
        few_strbuf_addf(f->b, "<path class=\"level\" fill=\"none\" d=\"M%.1f %.2fL%.1f %.2f\"/>\n",
                        f->right, y, f->right + 7, at[i]);
        few_frame_text(f, f->right + 10, at[i] + 4, "text", "start",
                       level->label ? level->label : "", 12, f->width - f->right - 14);
    }
}

/* Space at the right for the names of levels, at most a third of the drawing. */
static double levels_width(const few_frame *f, const few_line_plot *p)
{
    double widest = 0;
    for (int k = 0; k < p->n_levels; k++)
        if (p->levels[k].label)
            widest = fmax(widest, few_markup_width(p->levels[k].label, 12));
    return p->n_levels ? fmin(widest + 14, f->width / 3) : 0;
}

few_status few_plot_lines(const few_line_plot *p, few_strbuf *svg, few_error *err)
{
    const size_t most = (size_t)(p->n_series > p->n_levels ? p->n_series : p->n_levels) + 1;
    const char **labels = few_calloc(most, sizeof *labels);
    int *order = few_calloc(most, sizeof *order);
    double *at = few_calloc(most, sizeof *at);
    few_status st = FEW_ENOMEM;
    if (!labels || !order || !at) {
        few_fail(err, st, "out of memory for a plot");
        goto cleanup;
    }

    few_frame f;
    few_frame_begin(&f, svg, p->width, p->height, p->title);
    for (int k = 0; k < p->n_series; k++)
        labels[k] = p->series[k].label;
    few_frame_legend(&f, p->n_series, labels, legend_sample, p->series);
    f.top += 6;
    f.bottom = f.height - (p->x_title ? 50 : 30);
    fit_axes(&f, p);
    f.left = 14 + few_frame_texts_width(&f.y) + (p->y_title ? 22 : 0);
    f.right = f.width - 18 - levels_width(&f, p);
    few_frame_axes(&f, p->x_title, p->y_title, f.left - 6);
    draw_levels(&f, p, order, at);
    for (int k = 0; k < p->n_series; k++)
        draw_series(&f, &p->series[k], k);
    st = few_frame_end(&f, err);
cleanup:
    few_free(labels);
    few_free(order);
    few_free(at);
    return st;
}

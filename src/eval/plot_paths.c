/* Trajectories of a toy in one dimension: time to the right, from noise to data, and at either end
 * a histogram lying on its side, with the density it should have.
 *
 * A histogram is scaled to unit area before it is drawn, so that groups of different numbers of
 * paths and closed-form densities share one scale at each end. */
#include "eval/plot.h"

#include "base/alloc.h"
#include "eval/plot_frame.h"

#include <math.h>
#include <string.h>

enum { MOST_BINS = 48, LEAST_BINS = 12, STRIP = 64, STRIP_GAP = 8, TRUTH_COLOUR = 7 };

struct histogram {
    double density[MOST_BINS]; /* unit area over the range of y */
    int bins;                  /* 0: no path ends here */
};

/* Column of the time nearest to `end`, or -1 when the paths do not reach it. */
static int column_at(const few_paths *g, double end)
{
    if (g->n_times < 1)
        return -1;
    const int last = g->n_times - 1;
    const int c = fabs(g->t[0] - end) < fabs(g->t[last] - end) ? 0 : last;
    return fabs(g->t[c] - end) <= 1e-3 ? c : -1;
}

static void count(struct histogram *h, const few_paths *g, int column, const few_axis *y)
{
    *h = (struct histogram){ .bins = 0 };
    if (column < 0)
        return;
    const int wanted = (int)(3 * sqrt(g->n_paths));
    const int bins = wanted < LEAST_BINS ? LEAST_BINS : wanted > MOST_BINS ? MOST_BINS : wanted;
    double total = 0;
    for (int i = 0; i < g->n_paths; i++) {
        const double z = g->z[(size_t)i * (size_t)g->n_times + (size_t)column];
        if (!isfinite(z))
            continue;
        const int bin = (int)(few_axis_place(y, z) * bins);
        h->density[bin < 0 ? 0 : bin >= bins ? bins - 1 : bin]++;
        total++;
    }
    if (total == 0)
        return;
    h->bins = bins;
    for (int k = 0; k < bins; k++)
        h->density[k] *= bins / (total * (y->hi - y->lo));
}

/* Steps from the base line at x0, `scale` pixels for a density of 1, signed. */
static void draw_histogram(few_frame *f, const struct histogram *h, int k, double x0, double scale)
{
    const double height = (f->bottom - f->top) / h->bins;
    few_strbuf_addf(f->b,
                    "<path class=\"c%d\" fill=\"currentColor\" fill-opacity=\"0.25\" "
                    "stroke=\"currentColor\" d=\"M%.2f %.2f",
                    k % FEW_PLOT_COLOURS, x0, f->bottom);
    for (int i = 0; i < h->bins; i++)
        few_strbuf_addf(f->b, "H%.2fV%.2f", x0 + scale * h->density[i],
                        f->bottom - height * (i + 1));
    few_strbuf_addf(f->b, "H%.2fz\"/>\n", x0);
}

static void draw_density(few_frame *f, const few_density *d, double x0, double scale)
{
    bool pen = false;
    few_strbuf_addf(f->b,
                    "<path class=\"c%d\" fill=\"none\" stroke=\"currentColor\" "
                    "stroke-width=\"1.6\" stroke-dasharray=\"5 3\" d=\"",
                    TRUTH_COLOUR);
    for (int i = 0; i < d->n; i++) {
        const bool seen = isfinite(d->p[i]) && d->z[i] >= f->y.lo && d->z[i] <= f->y.hi;
        if (seen)
            few_strbuf_addf(f->b, "%c%.2f %.2f", pen ? 'L' : 'M', x0 + scale * d->p[i],
                            few_frame_y(f, d->z[i]));
        pen = seen;
    }
    few_strbuf_add(f->b, "\"/>\n");
}

/* The strip beside the box at one end of time. h: scratch, one for each group. */
static void draw_strip(few_frame *f, const few_path_plot *p, bool at_noise, struct histogram *h)
{
    double highest = 0;
    for (int k = 0; k < p->n_paths; k++) {
        count(&h[k], &p->paths[k], column_at(&p->paths[k], at_noise ? 1 : 0), &f->y);
        for (int i = 0; i < h[k].bins; i++)
            highest = fmax(highest, h[k].density[i]);
    }
    for (int k = 0; k < p->n_densities; k++)
        if (p->densities[k].at_noise == at_noise)
            for (int i = 0; i < p->densities[k].n; i++)
                if (isfinite(p->densities[k].p[i]))
                    highest = fmax(highest, p->densities[k].p[i]);
    if (!(highest > 0))
        return;

    /* Both grow outwards, away from the box. */
    const double x0 = at_noise ? f->left - STRIP_GAP : f->right + STRIP_GAP;
    const double scale = (at_noise ? -STRIP : STRIP) / highest;
    for (int k = 0; k < p->n_paths; k++)
        if (h[k].bins)
            draw_histogram(f, &h[k], k, x0, scale);
    for (int k = 0; k < p->n_densities; k++)
        if (p->densities[k].at_noise == at_noise)
            draw_density(f, &p->densities[k], x0, scale);
    few_strbuf_addf(f->b, "<path class=\"axis\" d=\"M%.1f %.1fV%.1f\"/>\n", x0, f->top, f->bottom);
}

static void draw_paths(few_frame *f, const few_paths *g, int k)
{
    const double automatic = fmin(0.9, fmax(0.08, 25.0 / (g->n_paths + 1)));
    few_strbuf_addf(f->b,
                    "<g class=\"c%d\" fill=\"none\" stroke=\"currentColor\" "
                    "stroke-opacity=\"%.3g\" stroke-linejoin=\"round\">\n",
                    k % FEW_PLOT_COLOURS, g->alpha > 0 ? fmin(g->alpha, 1) : automatic);
    for (int i = 0; i < g->n_paths; i++) {
        const float *z = g->z + (size_t)i * (size_t)g->n_times;
        bool pen = false;
        few_strbuf_add(f->b, "<path d=\"");
        for (int j = 0; j < g->n_times; j++) {
            const double x = few_frame_x(f, g->t[j]), y = few_frame_y(f, z[j]);
            const bool seen = isfinite(x) && isfinite(y);
            if (seen)
                few_strbuf_addf(f->b, "%c%.1f %.1f", pen ? 'L' : 'M', x, y);
            pen = seen;
        }
        few_strbuf_add(f->b, "\"/>\n");
    }
    few_strbuf_add(f->b, "</g>\n");
}

static void legend_sample(few_frame *f, const void *user, int k, double x, double y)
{
    const few_path_plot *p = user;
    few_strbuf_addf(f->b,
                    "<path class=\"c%d\" stroke=\"currentColor\" stroke-width=\"2\"%s "
                    "d=\"M%.1f %.1fh24\"/>\n",
                    k < p->n_paths ? k % FEW_PLOT_COLOURS : TRUTH_COLOUR,
                    k < p->n_paths ? "" : " stroke-dasharray=\"5 3\"", x, y);
}

static void fit_axes(few_frame *f, const few_path_plot *p)
{
    double lo = INFINITY, hi = -INFINITY;
    for (int k = 0; k < p->n_paths; k++) {
        const few_paths *g = &p->paths[k];
        for (size_t i = 0; i < (size_t)g->n_paths * (size_t)g->n_times; i++)
            if (isfinite(g->z[i])) {
                lo = fmin(lo, g->z[i]);
                hi = fmax(hi, g->z[i]);
            }
    }
    few_axis_fit(&f->x, FEW_AXIS_LINEAR, 0, 1, 4);
    few_axis_fit(&f->y, FEW_AXIS_LINEAR, lo, hi, (int)((f->bottom - f->top) / 45));
    f->flip_x = true;
}

few_status few_plot_paths(const few_path_plot *p, few_strbuf *svg, few_error *err)
{
    const int n = p->n_paths + p->n_densities;
    const char **labels = few_calloc((size_t)n + 1, sizeof *labels);
    struct histogram *h = few_calloc((size_t)p->n_paths + 1, sizeof *h);
    few_status st = FEW_ENOMEM;
    if (!labels || !h) {
        few_fail(err, st, "out of memory for a plot");
        goto cleanup;
    }

    few_frame f;
    few_frame_begin(&f, svg, p->width, p->height, p->title);
    for (int k = 0; k < n; k++)
        labels[k] = k < p->n_paths ? p->paths[k].label : p->densities[k - p->n_paths].label;
    few_frame_legend(&f, n, labels, legend_sample, p);
    f.top += 6;
    f.bottom = f.height - (p->x_title ? 50 : 30);
    fit_axes(&f, p);
    const double y_texts = 8 + few_frame_texts_width(&f.y) + (p->y_title ? 22 : 0);
    f.left = y_texts + 8 + STRIP + STRIP_GAP;
    f.right = f.width - 16 - STRIP - STRIP_GAP;
    few_frame_axes(&f, p->x_title, p->y_title, y_texts);
    for (int k = 0; k < p->n_paths; k++)
        draw_paths(&f, &p->paths[k], k);
    draw_strip(&f, p, true, h);
    draw_strip(&f, p, false, h);
    st = few_frame_end(&f, err);
cleanup:
    few_free(labels);
    few_free(h);
    return st;
}

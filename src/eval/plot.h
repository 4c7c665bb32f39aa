/* Plots as SVG text: self-contained, no fonts and no scripts, in the reader's light or dark.
 * Texts may hold any characters; those too long for their place are shortened.
 * Fails (all): FEW_ENOMEM. Values that are not finite, or not positive on a logarithmic axis, are
 * left out and break a line. Nothing at all to draw gives empty axes. */
#ifndef FEW_EVAL_PLOT_H
#define FEW_EVAL_PLOT_H

#include "base/strbuf.h"

/* ---- lines ---- */

typedef struct few_series {
    const char *label;
    const double *x, *y; /* [n], joined in this order */
    int n;
} few_series;

/* A horizontal line with its name at the right, such as the teacher's score. */
typedef struct few_level {
    const char *label;
    double y;
} few_level;

typedef struct few_line_plot {
    const char *title, *x_title, *y_title; /* NULL: none */
    const few_series *series;
    int n_series;
    const few_level *levels;
    int n_levels;
    bool log2_x; /* ticks 1, 2, 4, 8, ... */
    bool log_y;
    int width, height; /* 0: 640 x 400 */
} few_line_plot;

/* Append the drawing to svg. Series of up to 64 points get markers. */
few_status few_plot_lines(const few_line_plot *p, few_strbuf *svg, few_error *err);

/* ---- paths ---- */

/* Trajectories of one sampler in one dimension, with histograms of their ends. */
typedef struct few_paths {
    const char *label;
    const double *t; /* [n_times], each in [0,1], monotonic */
    const float *z;  /* [n_paths, n_times] */
    int n_times, n_paths;
    double alpha; /* opacity of a path, 0: by their number */
} few_paths;

/* A density known in closed form, drawn over the histograms at t = 0 or t = 1. */
typedef struct few_density {
    const char *label;
    bool at_noise;       /* at t = 1 */
    const double *z, *p; /* [n], z ascending */
    int n;
} few_density;

typedef struct few_path_plot {
    const char *title, *x_title, *y_title;
    const few_paths *paths;
    int n_paths;
    const few_density *densities;
    int n_densities;
    int width, height; /* 0: 640 x 400 */
} few_path_plot;

/* Append the drawing to svg: noise (t = 1) at the left, data (t = 0) at the right. The histogram
 * beside an end counts the paths that have a time there (within 1e-3 of t = 1, or t = 0). */
few_status few_plot_paths(const few_path_plot *p, few_strbuf *svg, few_error *err);

#endif

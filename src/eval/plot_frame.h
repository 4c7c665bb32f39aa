/* What all plots share: the sheet, its colours, the legend and the axes. */
#ifndef FEW_EVAL_PLOT_FRAME_H
#define FEW_EVAL_PLOT_FRAME_H

#include "base/strbuf.h"
#include "eval/axis.h"

enum { FEW_PLOT_COLOURS = 8 };

typedef struct few_frame {
    few_strbuf *b;
    double width, height;
    double left, right, top, bottom; /* the box of the axes */
    few_axis x, y;
    bool flip_x; /* x grows to the left */
} few_frame;

/* Open the drawing: sheet, colours, title. Sets top below the title; width and height of 0 give
 * 640 x 400; the least is 200 x 150. */
void few_frame_begin(few_frame *f, few_strbuf *b, int width, int height, const char *title);

/* One entry of a legend; draws the sample of the line at (x, y). */
typedef void (*few_legend_fn)(few_frame *f, const void *user, int k, double x, double y);

/* A legend of n labels in as many rows as they need, below top, which moves down. Entries without
 * a label are left out. */
void few_frame_legend(few_frame *f, int n, const char *const *labels, few_legend_fn sample,
                      const void *user);

/* Grid, tick texts and titles around the box. The texts of y end at `y_texts`, and their grid
 * lines begin 6 pixels to the right of it. */
void few_frame_axes(few_frame *f, const char *x_title, const char *y_title, double y_texts);

/* Width of the widest tick text of an axis. */
double few_frame_texts_width(const few_axis *a);

/* Pixels from values; not a number where they have no place. */
double few_frame_x(const few_frame *f, double x);
double few_frame_y(const few_frame *f, double y);

/* Text of class `class` at (x, y), shortened to `room` pixels; anchor: "start", "middle", "end". */
void few_frame_text(few_frame *f, double x, double y, const char *class, const char *anchor,
                    const char *text, double size, double room);

few_status few_frame_end(few_frame *f, few_error *err);

#endif

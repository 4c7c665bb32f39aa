/* An axis of a plot: range, ticks and their texts. */
#ifndef FEW_EVAL_AXIS_H
#define FEW_EVAL_AXIS_H

typedef enum few_axis_kind { FEW_AXIS_LINEAR, FEW_AXIS_LOG2, FEW_AXIS_LOG10 } few_axis_kind;

enum { FEW_MAX_TICKS = 16 };

typedef struct few_axis {
    few_axis_kind kind;
    double lo, hi; /* the ends of the drawn range, lo < hi */
    int n_ticks;
    double tick[FEW_MAX_TICKS]; /* ascending, inside [lo,hi] */
    char text[FEW_MAX_TICKS][24];
} few_axis;

/* An axis for values in [lo,hi], with about `ticks` ticks (2..10). The drawn range contains
 * [lo,hi]: a linear one ends in the ticks around it, a logarithmic one a little outside.
 * Logarithmic ticks are powers of the base, every second or third where there are many; where there
 * are fewer than three, 1, 2, 5 times powers of ten, or evenly spaced values. lo = hi and values
 * that are no numbers give a range of some width; a logarithmic axis needs lo > 0, else it becomes
 * linear. */
void few_axis_fit(few_axis *a, few_axis_kind kind, double lo, double hi, int ticks);

/* Where a value lies: 0 at lo, 1 at hi; not a number when it has no place (0 on a logarithm). */
double few_axis_place(const few_axis *a, double value);

/* A number as a reader would write it beside others `step` apart: "0.25", "20k", "1.5M", "1e-5".
 * step 0: as many digits as it needs, up to four. */
void few_axis_text(char text[24], double value, double step);

#endif

/* How far a long piece of work is, on stderr: a bar on a terminal, else a line now and then. */
#ifndef FEW_CLI_PROGRESS_H
#define FEW_CLI_PROGRESS_H

#include "base/status.h"

#include <stdio.h>

/* Where reports go. Of the two ways, a bar is redrawn in place. */
typedef struct few_progress_sink {
    FILE *out; /* NULL: nothing is shown */
    bool bar;
    int width;           /* columns of the terminal; 0: ask it at every drawing */
    double (*now)(void); /* seconds */
} few_progress_sink;

/* The sink of a program: stderr, a bar when that is a terminal, NO_COLOR is not set and TERM is
 * not "dumb". quiet: nothing at all. */
few_progress_sink few_progress_stderr(bool quiet);

typedef struct few_progress {
    few_progress_sink sink;
    const char *label, *unit; /* the caller's, until the end */
    int64_t total, done;      /* total 0: unknown */
    int64_t first;            /* done before it began */
    double start, last;       /* when it began, when `done` was last heard */
    double shown_at;
    double gained,
        passed;          /* units and seconds, older ones counting less: their ratio is the rate */
    bool paused;         /* the last interval was one in which nothing ran */
    bool shown, on_line; /* anything was shown; the cursor stands behind a bar */
    char suffix[128];
} few_progress;

/* Begin. label: what is done, such as "distil mcd4"; unit: what is counted, such as "it". Nothing
 * is shown yet: a bar appears after half a second, the first line after ten. */
void few_progress_begin(few_progress *p, const few_progress_sink *sink, const char *label,
                        int64_t total, const char *unit);

/* Work that goes on where it had stopped: `done` of total is there already. After begin. */
void few_progress_resume(few_progress *p, int64_t done);

/* `done` of total is there now. fmt: what to add, such as "loss %.3f", or NULL. Cheap; call it at
 * every step: a bar is drawn at most ten times, a line a tenth of a time, a second. */
void few_progress_update(few_progress *p, int64_t done, const char *fmt, ...) FEW_PRINTF(3, 4);

/* Take the bar away, because something else is to be printed; the next update draws it again. */
void few_progress_hide(few_progress *p);

/* The last state, and a new line. Shows nothing when a bar never appeared, or when lines are
 * printed and it took less than two seconds. */
void few_progress_end(few_progress *p);

/* What there is to show at one moment. */
typedef struct few_progress_view {
    const char *label, *unit, *suffix; /* suffix "" or NULL: none */
    int64_t done, total;
    double elapsed, rate; /* seconds; units a second, 0: unknown */
} few_progress_view;

/* Write the view to text, terminated, without a new line.
 * width > 0: with a bar, in exactly width columns or fewer; the bar gives way first, then the end
 * is cut. width 0: without a bar, as long as it is (cut to room). Control characters become spaces.
 */
void few_progress_format(char *text, size_t room, const few_progress_view *v, int width);

#endif

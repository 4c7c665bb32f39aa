/* Progress:  distil mcd4   42%|########            | 420/1000 [00:31<00:43, 13.5 it/s, loss 0.123]
 *
 * The rate is sum w dn / sum w dt with w = exp(-age / 15 s): a ratio of two decaying sums is right
 * from the first report on, where a decaying mean of rates needs a start value and overrates short
 * steps. One interval far longer than expected is a program that was stopped or a machine that
 * slept, and counts as usual; the second in a row is the work. What is easy to get wrong: columns
 * are characters, not bytes, and a bar must end before the last column, or some terminals break the
 * line. */
#include "cli/progress.h"

#include "base/strbuf.h"
#include "base/thread.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { BAR_LEAST = 6, BAR_MOST = 40, DEFAULT_WIDTH = 80 };

static const double rate_memory = 15, bar_after = 0.5, bar_every = 0.1, line_every = 10,
                    line_least = 2;

/* ---- text ---- */

static void format_time(char out[24], double seconds)
{
    if (!(seconds >= 0 && seconds < 8.64e7)) { /* a thousand days */
        snprintf(out, 24, "?");
        return;
    }
    const int t = (int)(seconds + 0.5), days = t / 86400, h = t / 3600 % 24, m = t / 60 % 60;
    if (days)
        snprintf(out, 24, "%dd %02d:%02d:%02d", days, h, m, t % 60);
    else if (h)
        snprintf(out, 24, "%d:%02d:%02d", h, m, t % 60);
    else
        snprintf(out, 24, "%02d:%02d", m, t % 60);
}

/* Three digits or so: 0.05, 13.5, 421, 12.3k. */
static void format_rate(char *out, size_t room, double rate, const char *unit)
{
    if (!(rate > 0) || !isfinite(rate))
        snprintf(out, room, "? %s/s", unit);
    else if (rate < 1)
        snprintf(out, room, "%.*f s/%s", rate > 0.01 ? 1 : 0, 1 / rate, unit);
    else if (rate < 999.5)
        snprintf(out, room, "%.*f %s/s", rate < 99.95, rate, unit);
    else if (rate < 999.5e3)
        snprintf(out, room, "%.1fk %s/s", rate / 1e3, unit);
    else
        snprintf(out, room, "%.1fM %s/s", rate / 1e6, unit);
}

/* Columns a text takes, one a character. */
static int columns(const char *s)
{
    int n = 0;
    for (; *s; s++)
        n += (*s & 0xC0) != 0x80;
    return n;
}

/* Keep the first `width` characters. */
static void cut(char *s, int width)
{
    for (; *s; s++)
        if ((*s & 0xC0) != 0x80 && width-- == 0) {
            *s = 0;
            return;
        }
}

/* That part of `whole` that is done, rounded down: 100 % only when all is. */
static int part(const few_progress_view *v, int whole)
{
    const double x = whole * (double)v->done / (double)v->total;
    return x < 0 ? 0 : x > whole ? whole : (int)x;
}

void few_progress_format(char *text, size_t room, const few_progress_view *v, int width)
{
    char elapsed[24], left[24] = "?", rate[64], tail[320], bar[BAR_MOST + 3] = "";
    format_time(elapsed, v->elapsed);
    format_rate(rate, sizeof rate, v->rate, v->unit);
    const bool suffix = v->suffix && *v->suffix;

    if (v->total <= 0) {
        snprintf(tail, sizeof tail, "%lld [%s, %s%s%s]", (long long)v->done, elapsed, rate,
                 suffix ? ", " : "", suffix ? v->suffix : "");
        snprintf(text, room, "%s %s", v->label, tail);
    } else {
        if (v->rate > 0)
            format_time(left, fmax(0, (double)(v->total - v->done) / v->rate));
        snprintf(tail, sizeof tail, "%lld/%lld [%s<%s, %s%s%s]", (long long)v->done,
                 (long long)v->total, elapsed, left, rate, suffix ? ", " : "",
                 suffix ? v->suffix : "");
        if (width > 0) {
            int inner = width - columns(v->label) - columns(tail) - 8; /* " 100%|" and "| " */
            inner = inner > BAR_MOST ? BAR_MOST : inner;
            if (inner >= BAR_LEAST) {
                const int full = part(v, inner);
                bar[0] = '|';
                memset(bar + 1, '#', (size_t)full);
                memset(bar + 1 + full, ' ', (size_t)(inner - full));
                memcpy(bar + 1 + inner, "|", 2);
            }
        }
        snprintf(text, room, "%s %3d%%%s %s", v->label, part(v, 100), bar, tail);
    }
    for (char *c = text; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7F)
            *c = ' ';
    if (width > 0)
        cut(text, width);
}

/* ---- showing ---- */

few_progress_sink few_progress_stderr(bool quiet)
{
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
    return (few_progress_sink){
        .out = quiet ? NULL : stderr,
        .bar = isatty(STDERR_FILENO) && !(no_color && *no_color) && term && strcmp(term, "dumb"),
        .now = few_now,
    };
}

static int width_of(const few_progress_sink *sink)
{
    struct winsize w;
    if (sink->width > 0)
        return sink->width;
    if (ioctl(fileno(sink->out), TIOCGWINSZ, &w) == 0 && w.ws_col > 0)
        return w.ws_col;
    return DEFAULT_WIDTH;
}

static void show(few_progress *p, double now, double rate)
{
    char text[512];
    const few_progress_view v = {
        .label = p->label,
        .unit = p->unit,
        .suffix = p->suffix,
        .done = p->done,
        .total = p->total,
        .elapsed = now - p->start,
        .rate = rate,
    };
    if (p->sink.bar) {
        few_progress_format(text, sizeof text, &v, width_of(&p->sink) - 1);
        fprintf(p->sink.out, "\r%s\x1b[K", text);
    } else {
        few_progress_format(text, sizeof text, &v, 0);
        fprintf(p->sink.out, "%s\n", text);
    }
    fflush(p->sink.out);
    p->shown = true;
    p->on_line = p->sink.bar;
    p->shown_at = now;
}

void few_progress_begin(few_progress *p, const few_progress_sink *sink, const char *label,
                        int64_t total, const char *unit)
{
    *p = (few_progress){ .sink = *sink, .label = label, .unit = unit, .total = total };
    p->start = p->last = p->shown_at = sink->now();
}

void few_progress_resume(few_progress *p, int64_t done)
{
    p->first = p->done = done;
}

/* Seconds of work since the last report, in which `more` was done. */
static double worked(few_progress *p, double passed, int64_t more)
{
    const double usual = p->gained > 0 ? (double)more * p->passed / p->gained : passed;
    p->paused = !p->paused && more > 0 && passed > rate_memory && passed > 10 * usual;
    return p->paused ? usual : passed;
}

void few_progress_update(few_progress *p, int64_t done, const char *fmt, ...)
{
    if (!p->sink.out)
        return;
    const double now = p->sink.now(), passed = worked(p, now - p->last, done - p->done),
                 keep = exp(-passed / rate_memory);
    p->gained = keep * p->gained + (double)(done - p->done);
    p->passed = keep * p->passed + passed;
    p->last = now;
    p->done = done;
    p->suffix[0] = 0;
    if (fmt) {
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(p->suffix, sizeof p->suffix, fmt, ap);
        va_end(ap);
    }
    if (p->sink.bar ? now - p->start >= bar_after && now - p->shown_at >= bar_every
                    : now - p->shown_at >= line_every)
        show(p, now, p->passed > 0 ? p->gained / p->passed : 0);
}

void few_progress_hide(few_progress *p)
{
    if (!p->sink.out || !p->on_line)
        return;
    fprintf(p->sink.out, "\r\x1b[K");
    fflush(p->sink.out);
    p->on_line = false;
    p->shown_at -= bar_every; /* due again at once */
}

void few_progress_end(few_progress *p)
{
    if (!p->sink.out)
        return;
    const double now = p->sink.now();
    if (p->sink.bar ? p->shown : now - p->start >= line_least) {
        const double elapsed = now - p->start; /* at the end the mean of it all is of interest */
        show(p, now, elapsed > 0 ? (double)(p->done - p->first) / elapsed : 0);
        if (p->sink.bar) {
            fputc('\n', p->sink.out);
            fflush(p->sink.out);
        }
    }
    p->sink.out = NULL; /* a second end shows nothing */
}

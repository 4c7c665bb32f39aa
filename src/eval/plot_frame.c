/* The sheet of a plot.
 *
 * Colours are classes that set `color`, used as currentColor, so that one media query turns the
 * drawing dark; the sheet paints its own ground, because a dark reader may show it on a light page.
 * Nothing has an id: several drawings may stand in one HTML page. */
#include "eval/plot_frame.h"

#include "eval/markup.h"

#include <math.h>
#include <string.h>

static const char style[] =
    "<style>"
    ".few-plot text{font-family:system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;"
    "font-size:12px;fill:#333}"
    ".few-plot .title{font-size:15px;font-weight:600;fill:#111}"
    ".few-plot .ground{fill:#fff}"
    ".few-plot .ring{stroke:#fff}"
    ".few-plot .grid{stroke:#e4e6e9}"
    ".few-plot .axis{stroke:#8a9099}"
    ".few-plot .level{stroke:#6b7280}"
    ".few-plot .c0{color:#1f6fb4}.few-plot .c1{color:#d4630c}.few-plot .c2{color:#2b8a3e}"
    ".few-plot .c3{color:#b4232f}.few-plot .c4{color:#7a4fb5}.few-plot .c5{color:#8a5a3c}"
    ".few-plot .c6{color:#c2428f}.few-plot .c7{color:#4b5563}"
    "@media(prefers-color-scheme:dark){"
    ".few-plot text{fill:#c9ced6}"
    ".few-plot .title{fill:#f0f2f5}"
    ".few-plot .ground{fill:#16191d}"
    ".few-plot .ring{stroke:#16191d}"
    ".few-plot .grid{stroke:#2c3138}"
    ".few-plot .axis{stroke:#7b828c}"
    ".few-plot .level{stroke:#98a1ad}"
    ".few-plot .c0{color:#5ba7e8}.few-plot .c1{color:#f29a4f}.few-plot .c2{color:#62c277}"
    ".few-plot .c3{color:#f0747d}.few-plot .c4{color:#b490ea}.few-plot .c5{color:#c79a7b}"
    ".few-plot .c6{color:#ee86c1}.few-plot .c7{color:#a9b2be}"
    "}</style>\n";

void few_frame_begin(few_frame *f, few_strbuf *b, int width, int height, const char *title)
{
    *f = (few_frame){ .b = b };
    f->width = width ? (width < 200 ? 200 : width) : 640;
    f->height = height ? (height < 150 ? 150 : height) : 400;
    f->left = 16;
    f->right = f->width - 16;
    f->top = 14;
    f->bottom = f->height - 14;
    few_strbuf_addf(b,
                    "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"few-plot\" role=\"img\" "
                    "width=\"%g\" height=\"%g\" viewBox=\"0 0 %g %g\">\n",
                    f->width, f->height, f->width, f->height);
    few_strbuf_add(b, "<title>");
    few_markup_text(b, title ? title : "plot");
    few_strbuf_add(b, "</title>\n");
    few_strbuf_add(b, style);
    few_strbuf_add(b, "<rect class=\"ground\" width=\"100%\" height=\"100%\"/>\n");
    if (title && *title) {
        few_frame_text(f, f->left, 27, "title", "start", title, 17, f->width - 32);
        f->top = 38;
    }
}

/* Append as much of the text as fits, with an ellipsis in place of the rest. */
static void add_shortened(few_strbuf *b, const char *text, double size, double room)
{
    if (few_markup_width(text, size) <= room) {
        few_markup_text(b, text);
        return;
    }
    few_strbuf part;
    few_strbuf_init(&part);
    while (*text) {
        uint32_t c;
        const int n = few_utf8_decode(text, &c);
        few_strbuf_add_n(&part, text, n ? (size_t)n : 1);
        if (few_markup_width(part.s, size) > room - size)
            break;
        few_markup_text(b, part.s + part.n - (n ? n : 1));
        text += n ? n : 1;
    }
    b->failed |= part.failed;
    few_strbuf_free(&part);
    few_strbuf_add(b, "\xE2\x80\xA6");
}

void few_frame_text(few_frame *f, double x, double y, const char *class, const char *anchor,
                    const char *text, double size, double room)
{
    few_strbuf_addf(f->b, "<text class=\"%s\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">", class, x,
                    y, anchor);
    add_shortened(f->b, text, size, room);
    few_strbuf_add(f->b, "</text>\n");
}

void few_frame_legend(few_frame *f, int n, const char *const *labels, few_legend_fn sample,
                      const void *user)
{
    enum { SAMPLE = 30, GAP = 18, ROW = 19 };
    double x = f->left, y = f->top + 12;
    bool any = false;
    for (int k = 0; k < n; k++) {
        if (!labels[k] || !*labels[k])
            continue;
        const double room = f->width - 32 - SAMPLE;
        double width = few_markup_width(labels[k], 12);
        width = width > room ? room : width;
        if (any && x + SAMPLE + width > f->width - 16) {
            x = f->left;
            y += ROW;
        }
        sample(f, user, k, x, y - 4);
        few_frame_text(f, x + SAMPLE, y, "text", "start", labels[k], 12, room);
        x += SAMPLE + width + GAP;
        any = true;
    }
    if (any)
        f->top = y + 8;
}

double few_frame_texts_width(const few_axis *a)
{
    double widest = 0;
    for (int k = 0; k < a->n_ticks; k++)
        widest = fmax(widest, few_markup_width(a->text[k], 12));
    return widest;
}

double few_frame_x(const few_frame *f, double x)
{
    const double at = few_axis_place(&f->x, x);
    return f->left + (f->right - f->left) * (f->flip_x ? 1 - at : at);
}

double few_frame_y(const few_frame *f, double y)
{
    return f->bottom - (f->bottom - f->top) * few_axis_place(&f->y, y);
}

void few_frame_axes(few_frame *f, const char *x_title, const char *y_title, double y_texts)
{
    for (int k = 0; k < f->y.n_ticks; k++) {
        const double y = few_frame_y(f, f->y.tick[k]);
        few_strbuf_addf(f->b, "<path class=\"grid\" d=\"M%.1f %.1fH%.1f\"/>\n", y_texts + 6, y,
                        f->right);
        few_frame_text(f, y_texts, y + 4, "text", "end", f->y.text[k], 12, 200);
    }
    double used = -1e9; /* the right end of the last text */
    for (int i = 0; i < f->x.n_ticks; i++) {
        const int k = f->flip_x ? f->x.n_ticks - 1 - i : i;
        const double x = few_frame_x(f, f->x.tick[k]), w = few_markup_width(f->x.text[k], 12);
        few_strbuf_addf(f->b, "<path class=\"grid\" d=\"M%.1f %.1fV%.1f\"/>\n", x, f->top,
                        f->bottom);
        if (x - w / 2 < used + 6)
            continue;
        few_frame_text(f, x, f->bottom + 17, "text", "middle", f->x.text[k], 12, 200);
        used = x + w / 2;
    }
    few_strbuf_addf(f->b, "<path class=\"axis\" fill=\"none\" d=\"M%.1f %.1fV%.1fH%.1f\"/>\n",
                    f->left, f->top, f->bottom, f->right);
    if (x_title && *x_title)
        few_frame_text(f, (f->left + f->right) / 2, f->bottom + 37, "text", "middle", x_title, 12,
                       f->width - 32);
    if (y_title && *y_title) {
        few_strbuf_addf(f->b, "<g transform=\"translate(20 %.1f) rotate(-90)\">\n",
                        (f->top + f->bottom) / 2);
        few_frame_text(f, 0, 0, "text", "middle", y_title, 12, f->bottom - f->top + 40);
        few_strbuf_add(f->b, "</g>\n");
    }
}

few_status few_frame_end(few_frame *f, few_error *err)
{
    few_strbuf_add(f->b, "</svg>\n");
    if (f->b->failed)
        return few_fail(err, FEW_ENOMEM, "out of memory for a plot");
    return FEW_OK;
}

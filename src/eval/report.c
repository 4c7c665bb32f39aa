/* The report page.
 *
 * The closing tags are optional in HTML, so the buffer is a valid page after each call and saving
 * does not end it. Pictures are data URIs; their size comes from the PNG header, bytes 16 to 23. */
#include "eval/report.h"

#include "base/file.h"
#include "eval/markup.h"

#include <stdlib.h>
#include <string.h>

enum { SHOWN_WIDTH = 640 }; /* small pictures are enlarged up to this */

static const char head[] =
    "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
    "<meta name=\"color-scheme\" content=\"light dark\">\n"
    "<style>\n"
    "body{max-width:880px;margin:2.5em auto;padding:0 1.2em;line-height:1.5;color:#222;"
    "background:#fff;font-family:system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',"
    "sans-serif}\n"
    "h1{font-size:1.7em;line-height:1.2}h2{font-size:1.25em;margin-top:2em}\n"
    "table{border-collapse:collapse;margin:1.2em 0;font-size:.93em}\n"
    "caption{text-align:left;color:#5b6470;padding-bottom:.4em}\n"
    "th,td{padding:.3em .9em .3em 0;text-align:left;vertical-align:top;"
    "border-bottom:1px solid #e0e3e7}\n"
    "th{border-bottom:2px solid #b9bfc7}\n"
    ".n{text-align:right;font-variant-numeric:tabular-nums}\n"
    ".wide{overflow-x:auto}\n"
    "figure{margin:1.5em 0}figcaption{color:#5b6470;font-size:.93em;margin-top:.4em}\n"
    "img,svg{display:block;max-width:100%;height:auto}\n"
    ".pixels{image-rendering:pixelated}\n"
    "pre{background:#f4f5f7;padding:.8em 1em;overflow-x:auto;font-size:.87em}\n"
    "@media(prefers-color-scheme:dark){body{color:#d3d8df;background:#16191d}"
    "th,td{border-color:#31373f}th{border-color:#59616c}caption,figcaption{color:#98a1ad}"
    "pre{background:#20242a}}\n"
    "</style>\n<title>";

void few_report_begin(few_report *r, const char *title)
{
    few_strbuf_init(&r->html);
    few_strbuf_add(&r->html, head);
    few_markup_text(&r->html, title);
    few_strbuf_add(&r->html, "</title>\n</head>\n<body>\n<h1>");
    few_markup_text(&r->html, title);
    few_strbuf_add(&r->html, "</h1>\n");
}

void few_report_free(few_report *r)
{
    few_strbuf_free(&r->html);
}

static void add_element(few_report *r, const char *tag, const char *text)
{
    few_strbuf_addf(&r->html, "<%s>", tag);
    few_markup_text(&r->html, text);
    few_strbuf_addf(&r->html, "</%s>\n", tag);
}

void few_report_heading(few_report *r, const char *text)
{
    add_element(r, "h2", text);
}

void few_report_paragraph(few_report *r, const char *text)
{
    add_element(r, "p", text);
}

void few_report_verbatim(few_report *r, const char *text)
{
    add_element(r, "pre", text);
}

/* "12", "-0.5", "3.1 %", "1e-4", "20k", "0.5 (0.4-0.6)", but not "3 steps". */
static bool is_number(const char *text)
{
    char *end;
    if (!text || !strchr("+-.0123456789", *text) || !*text)
        return false;
    strtod(text, &end);
    const char *rest = end + strspn(end, " %kMGTBxs");
    if (*rest == '(') /* a range */
        rest += strspn(rest, "(0123456789.-)");
    return end != text && !*rest;
}

/* A column whose cells are all numbers or empty, one at least a number. */
static bool is_number_column(int columns, int rows, const char *const *cells, int c)
{
    bool any = false;
    for (int i = 0; i < rows; i++) {
        const char *cell = cells[(size_t)i * (size_t)columns + (size_t)c];
        if (is_number(cell))
            any = true;
        else if (cell && *cell && strcmp(cell, "-"))
            return false;
    }
    return any;
}

static void add_cell(few_report *r, const char *tag, bool number, const char *text)
{
    few_strbuf_addf(&r->html, number ? "<%s class=\"n\">" : "<%s>", tag);
    few_markup_text(&r->html, text);
    few_strbuf_addf(&r->html, "</%s>", tag);
}

void few_report_table(few_report *r, const char *caption, int columns, const char *const *head_row,
                      int rows, const char *const *cells)
{
    few_strbuf_add(&r->html, "<div class=\"wide\"><table>\n");
    if (caption)
        add_element(r, "caption", caption);
    for (int i = head_row ? -1 : 0; i < rows; i++) {
        few_strbuf_add(&r->html, "<tr>");
        for (int c = 0; c < columns; c++) {
            const char *cell = i < 0 ? head_row[c] : cells[(size_t)i * (size_t)columns + (size_t)c];
            add_cell(r, i < 0 ? "th" : "td", is_number_column(columns, rows, cells, c), cell);
        }
        few_strbuf_add(&r->html, "</tr>\n");
    }
    few_strbuf_add(&r->html, "</table></div>\n");
}

static void end_figure(few_report *r, const char *caption)
{
    if (caption)
        add_element(r, "figcaption", caption);
    few_strbuf_add(&r->html, "</figure>\n");
}

static uint32_t big_endian(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

few_status few_report_png(few_report *r, const void *png, size_t n, const char *caption,
                          few_error *err)
{
    const uint8_t *p = png;
    if (n < 33 || memcmp(p, "\x89PNG\r\n\x1a\n\0\0\0\rIHDR", 16))
        return few_fail(err, FEW_EFORMAT, "no PNG picture");
    const uint32_t w = big_endian(p + 16), h = big_endian(p + 20);
    if (w == 0 || h == 0 || w > 1u << 20 || h > 1u << 20)
        return few_fail(err, FEW_EFORMAT, "damaged PNG: %u x %u pixels", (unsigned)w, (unsigned)h);
    const uint32_t times = w < SHOWN_WIDTH ? SHOWN_WIDTH / w : 1;
    const uint32_t scale = times > 4 ? 4 : times;
    few_strbuf_addf(&r->html, "<figure>\n<img%s width=\"%u\" height=\"%u\" alt=\"",
                    scale > 1 ? " class=\"pixels\"" : "", (unsigned)(w * scale),
                    (unsigned)(h * scale));
    few_markup_text(&r->html, caption);
    few_strbuf_add(&r->html, "\" src=\"data:image/png;base64,");
    few_markup_base64(&r->html, png, n);
    few_strbuf_add(&r->html, "\">\n");
    end_figure(r, caption);
    return FEW_OK;
}

few_status few_report_png_file(few_report *r, const char *path, const char *caption, few_error *err)
{
    few_map file;
    FEW_TRY(few_map_open(&file, path, err));
    const few_status st = few_report_png(r, file.data, file.n, caption, err);
    few_map_close(&file);
    if (st != FEW_OK)
        few_fail_in(err, "'%s'", path);
    return st;
}

void few_report_svg(few_report *r, const char *svg, const char *caption)
{
    few_strbuf_add(&r->html, "<figure>\n");
    few_strbuf_add(&r->html, svg);
    end_figure(r, caption);
}

few_status few_report_save(few_report *r, const char *path, few_error *err)
{
    if (r->html.failed)
        return few_fail(err, FEW_ENOMEM, "out of memory for the report '%s'", path);
    return few_write_file(path, r->html.s, r->html.n, err);
}

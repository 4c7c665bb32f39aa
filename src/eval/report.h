/* A report in one HTML file: texts, tables, pictures and plots, nothing loaded from elsewhere, no
 * scripts. Every text is escaped. Failures for want of memory are kept and told by the save. */
#ifndef FEW_EVAL_REPORT_H
#define FEW_EVAL_REPORT_H

#include "base/strbuf.h"

typedef struct few_report {
    few_strbuf html;
} few_report;

void few_report_begin(few_report *r, const char *title);
void few_report_free(few_report *r);

void few_report_heading(few_report *r, const char *text);
void few_report_paragraph(few_report *r, const char *text);

/* Text as it is, line breaks kept, in a fixed-width font: a configuration, a command. */
void few_report_verbatim(few_report *r, const char *text);

/* head_row [columns] (NULL: none), cells [rows * columns] row by row (NULL: an empty cell).
 * caption may be NULL. Cells that read as numbers stand at the right. */
void few_report_table(few_report *r, const char *caption, int columns, const char *const *head_row,
                      int rows, const char *const *cells);

/* A PNG, small ones shown enlarged by a whole number with sharp pixels. caption: also read out
 * where the picture cannot be seen. Fails: FEW_EFORMAT when it is no PNG; the file version also
 * FEW_EIO, FEW_ENOTFOUND. Nothing is added then. */
few_status few_report_png(few_report *r, const void *png, size_t n, const char *caption,
                          few_error *err);
few_status few_report_png_file(few_report *r, const char *path, const char *caption,
                               few_error *err);

/* A drawing of eval/plot.h, as it is. */
void few_report_svg(few_report *r, const char *svg, const char *caption);

/* Write the whole page. Fails: FEW_ENOMEM, FEW_EIO. More may be added and saved again. */
few_status few_report_save(few_report *r, const char *path, few_error *err);

#endif

/* Text inside SVG and HTML. */
#ifndef FEW_EVAL_MARKUP_H
#define FEW_EVAL_MARKUP_H

#include "base/strbuf.h"

/* Append text so that it means itself between tags and inside quotes, in XML and in HTML: the five
 * special characters as entities; control characters, bytes that are not UTF-8 and code points
 * that XML forbids as U+FFFD. NULL adds nothing. */
void few_markup_text(few_strbuf *b, const char *text);

/* About how wide a sans-serif browser font of `size` pixels sets a text; meant a little too wide.
 */
double few_markup_width(const char *text, double size);

/* Base64 (RFC 4648) with padding, in one line. */
void few_markup_base64(few_strbuf *b, const void *data, size_t n);

#endif

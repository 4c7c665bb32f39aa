/* Escaping, base64, and the width of text.
 *
 * What is easy to get wrong: escaping alone does not make XML well formed. Most control characters
 * and U+FFFE, U+FFFF may not appear even as entities, and one bad UTF-8 byte in a file name makes
 * a viewer refuse the whole drawing; all of these become U+FFFD. */
#include "eval/markup.h"

#include <string.h>

static const char *entity(uint32_t c)
{
    switch (c) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    }
    return NULL;
}

static bool allowed(uint32_t c)
{
    if (c < 0x20)
        return c == '\t' || c == '\n';
    return (c < 0x7F || c > 0x9F) && c != 0xFFFE && c != 0xFFFF;
}

void few_markup_text(few_strbuf *b, const char *text)
{
    while (text && *text) {
        uint32_t c = 0;
        const int n = few_utf8_decode(text, &c);
        if (n == 0 || !allowed(c))
            few_strbuf_add(b, "\xEF\xBF\xBD");
        else if (entity(c))
            few_strbuf_add(b, entity(c));
        else
            few_strbuf_add_n(b, text, (size_t)n);
        text += n ? n : 1;
    }
}

double few_markup_width(const char *text, double size)
{
    double width = 0;
    while (*text) {
        uint32_t c = 0;
        const int n = few_utf8_decode(text, &c);
        if (c >= 0x1100)
            width += c >= 0x2E80 ? 1.05 : 0.65;
        else if (n == 1 && strchr("iljtfrI.,:;'|!()[] /-", *text))
            width += 0.37;
        else if (n == 1 && strchr("mwMW@%", *text))
            width += 0.93;
        else
            width += c >= 'A' && c <= 'Z' ? 0.70 : 0.60;
        text += n ? n : 1;
    }
    return width * size;
}

void few_markup_base64(few_strbuf *b, const void *data, size_t n)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint8_t *p = data;
    char quad[4];
    for (; n >= 3; n -= 3, p += 3) {
        quad[0] = digits[p[0] >> 2];
        quad[1] = digits[(p[0] & 3) << 4 | p[1] >> 4];
        quad[2] = digits[(p[1] & 15) << 2 | p[2] >> 6];
        quad[3] = digits[p[2] & 63];
        few_strbuf_add_n(b, quad, 4);
    }
    if (n == 0)
        return;
    const unsigned second = n == 2 ? p[1] : 0;
    quad[0] = digits[p[0] >> 2];
    quad[1] = digits[(p[0] & 3u) << 4 | second >> 4];
    quad[2] = n == 2 ? digits[(second & 15) << 2] : '=';
    quad[3] = '=';
    few_strbuf_add_n(b, quad, 4);
}

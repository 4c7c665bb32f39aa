/* Whether a text is well-formed XML as far as our drawings use it: one root, tags nested and
 * closed, attributes quoted and given once, only the predefined entities and no stray < or &. */
#ifndef FEW_TEST_EVAL_WELLFORMED_H
#define FEW_TEST_EVAL_WELLFORMED_H

#include "base/strbuf.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static inline size_t name_length(const char *s)
{
    size_t n = 0;
    while (isalnum((unsigned char)s[n]) || s[n] == '-' || s[n] == '_' || s[n] == ':')
        n++;
    return n;
}

/* Length of a text of characters and entities up to `end`, or -1. */
static inline int text_length(const char *s, char end)
{
    static const char *const entities[] = { "&amp;", "&lt;", "&gt;", "&quot;", "&#39;" };
    const char *p = s;
    while (*p && *p != end) {
        uint32_t c;
        int n = few_utf8_decode(p, &c);
        if (n == 0 || *p == '<' || (c < 0x20 && c != '\n' && c != '\t') || c == 0xFFFE ||
            c == 0xFFFF)
            return -1;
        if (*p == '&') {
            n = 0;
            for (size_t k = 0; k < FEW_COUNT(entities); k++)
                if (!strncmp(p, entities[k], strlen(entities[k])))
                    n = (int)strlen(entities[k]);
            if (n == 0)
                return -1;
        }
        p += n;
    }
    return (int)(p - s);
}

/* NULL, or where the text stops being well-formed. */
static inline const char *malformed(const char *s)
{
    char open[16][32];
    int depth = 0, roots = 0;
    while (*s) {
        if (*s != '<') {
            const int n = text_length(s, '<');
            if (n < 0 || (depth == 0 && strspn(s, "\n ") < (size_t)n))
                return s;
            s += n;
            continue;
        }
        const char *tag = s++;
        const bool closing = *s == '/';
        s += closing;
        const size_t n = name_length(s);
        if (n == 0 || n >= 32 || depth == 16)
            return tag;
        if (closing) {
            if (depth == 0 || strlen(open[depth - 1]) != n || strncmp(open[--depth], s, n) ||
                s[n] != '>')
                return tag;
            s += n + 1;
            continue;
        }
        if (depth == 0 && roots++)
            return tag;
        memcpy(open[depth], s, n);
        open[depth++][n] = 0;
        s += n;
        char seen[16][32];
        int attributes = 0;
        while (*s == ' ') {
            const size_t m = name_length(++s);
            if (m == 0 || m >= 32 || attributes == 16 || strncmp(s + m, "=\"", 2))
                return tag;
            memcpy(seen[attributes], s, m);
            seen[attributes][m] = 0;
            for (int k = 0; k < attributes; k++)
                if (!strcmp(seen[k], seen[attributes]))
                    return tag;
            attributes++;
            s += m + 2;
            const int length = text_length(s, '"');
            if (length < 0 || s[length] != '"')
                return tag;
            s += length + 1;
        }
        if (*s == '/') {
            depth--;
            s++;
        }
        if (*s++ != '>')
            return tag;
    }
    return depth || roots != 1 ? s : NULL;
}

/* How often `part` occurs in `text`. */
static inline int occurrences(const char *text, const char *part)
{
    int n = 0;
    for (const char *p = text; (p = strstr(p, part)); p += strlen(part))
        n++;
    return n;
}

#endif

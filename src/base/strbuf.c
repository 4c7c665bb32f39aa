/* Growing strings and the distance between names.
 *
 * An empty buffer points at a shared empty string, so that reading needs no check; room = 0 tells
 * that the memory is not its own. */
#include "base/strbuf.h"

#include "base/alloc.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static char nothing[1]; /* never written: room = 0 keeps writers away */

void few_strbuf_init(few_strbuf *b)
{
    *b = (few_strbuf){ .s = nothing };
}

void few_strbuf_free(few_strbuf *b)
{
    if (b->room)
        few_free(b->s);
    few_strbuf_init(b);
}

void few_strbuf_reset(few_strbuf *b)
{
    b->n = 0;
    b->failed = false;
    if (b->room)
        b->s[0] = 0;
}

/* Make place for n more characters and the terminator; false when there is no memory. */
static bool reserve(few_strbuf *b, size_t n)
{
    if (b->failed)
        return false;
    if (n < b->room && b->n < b->room - n)
        return true;
    size_t room = b->room ? b->room : 32;
    while (room - b->n <= n) {
        if (room > PTRDIFF_MAX / 2) {
            b->failed = true;
            return false;
        }
        room *= 2;
    }
    char *s = few_realloc(b->room ? b->s : NULL, room);
    if (!s) {
        b->failed = true;
        return false;
    }
    s[b->n] = 0;
    b->s = s;
    b->room = room;
    return true;
}

void few_strbuf_add_n(few_strbuf *b, const void *s, size_t n)
{
    if (!n || !reserve(b, n))
        return;
    memcpy(b->s + b->n, s, n);
    b->n += n;
    b->s[b->n] = 0;
}

void few_strbuf_add(few_strbuf *b, const char *s)
{
    few_strbuf_add_n(b, s, strlen(s));
}

void few_strbuf_addf(few_strbuf *b, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    const int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0) {
        b->failed = true;
    } else if (n > 0 && reserve(b, (size_t)n)) {
        vsnprintf(b->s + b->n, (size_t)n + 1, fmt, again);
        b->n += (size_t)n;
    }
    va_end(again);
}

int few_utf8_decode(const char *s, uint32_t *code)
{
    static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 }; /* shorter forms exist */
    const unsigned char *u = (const unsigned char *)s;
    const int n = u[0] < 0x80 ? 1 : u[0] < 0xC0 ? 0 : u[0] < 0xE0 ? 2 : u[0] < 0xF0 ? 3 : 4;
    if (n == 0 || u[0] > 0xF4)
        return 0;
    uint32_t c = n == 1 ? u[0] : u[0] & (0x7Fu >> n);
    for (int i = 1; i < n; i++) {
        if ((u[i] & 0xC0) != 0x80) /* also at the terminator */
            return 0;
        c = c << 6 | (u[i] & 0x3F);
    }
    if (c < least[n] || c > 0x10FFFF || (c >= 0xD800 && c < 0xE000))
        return 0;
    *code = c;
    return n;
}

bool few_is_utf8(const char *s)
{
    while (*s) {
        uint32_t code;
        const int n = few_utf8_decode(s, &code);
        if (n == 0)
            return false;
        s += n;
    }
    return true;
}

/* Optimal string alignment: insertions, deletions, substitutions and swapped neighbours cost 1.
 * Three rows suffice; names longer than a row count as wholly different. */
int few_edit_distance(const char *a, const char *b)
{
    enum { LONGEST = 64 };
    const size_t na = strlen(a), nb = strlen(b);
    if (na > LONGEST || nb > LONGEST)
        return strcasecmp(a, b) ? (int)(na > nb ? na : nb) : 0;

    int rows[3][LONGEST + 1];
    for (size_t j = 0; j <= nb; j++)
        rows[0][j] = (int)j;
    for (size_t i = 1; i <= na; i++) {
        const int *above = rows[(i - 1) % 3];
        int *row = rows[i % 3];
        row[0] = (int)i;
        for (size_t j = 1; j <= nb; j++) {
            const int x = tolower((unsigned char)a[i - 1]), y = tolower((unsigned char)b[j - 1]);
            int d = above[j - 1] + (x != y);
            if (above[j] + 1 < d)
                d = above[j] + 1;
            if (row[j - 1] + 1 < d)
                d = row[j - 1] + 1;
            if (i > 1 && j > 1 && x == tolower((unsigned char)b[j - 2]) &&
                y == tolower((unsigned char)a[i - 2])) {
                const int swapped = rows[(i - 2) % 3][j - 2] + 1;
                if (swapped < d)
                    d = swapped;
            }
            row[j] = d;
        }
    }
    return rows[na % 3][nb];
}

const char *few_nearest(const char *word, const char *const *names, int n)
{
    const int length = (int)strlen(word);
    int best = 2 + length / 4; /* the first distance too far: 2 up to three letters, 4 at eight */
    const char *nearest = NULL;
    for (int i = 0; i < n; i++) {
        const int other = (int)strlen(names[i]);
        const int d = few_edit_distance(word, names[i]);
        if (d < best && d < (length > other ? length : other)) { /* something must agree */
            best = d;
            nearest = names[i];
        }
    }
    return nearest;
}

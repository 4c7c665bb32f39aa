/* A growing string. Invariant: `s` is always terminated and never NULL, `n` its length. */
#ifndef FEW_BASE_STRBUF_H
#define FEW_BASE_STRBUF_H

#include "base/status.h"

typedef struct few_strbuf {
    char *s;
    size_t n, room;
    bool failed; /* a request for memory failed; later additions do nothing */
} few_strbuf;

void few_strbuf_init(few_strbuf *b);
void few_strbuf_free(few_strbuf *b);
void few_strbuf_reset(few_strbuf *b); /* length 0, memory kept */
void few_strbuf_add(few_strbuf *b, const char *s);
void few_strbuf_add_n(few_strbuf *b, const void *s, size_t n);
void few_strbuf_addf(few_strbuf *b, const char *fmt, ...) FEW_PRINTF(2, 3);

/* Length of the character at s, 1 to 4, and its code point; 0 when it is not valid UTF-8. */
int few_utf8_decode(const char *s, uint32_t *code);
bool few_is_utf8(const char *s);

/* Edit distance between two names, case ignored; and the known name nearest to `word` when it is
 * near enough to be a slip of the finger, else NULL. names: n pointers. */
int few_edit_distance(const char *a, const char *b);
const char *few_nearest(const char *word, const char *const *names, int n);

#endif

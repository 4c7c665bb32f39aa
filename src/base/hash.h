/* Names of data by their contents. */
#ifndef FEW_BASE_HASH_H
#define FEW_BASE_HASH_H

#include <stddef.h>
#include <xxhash.h>

enum { FEW_HASH_TEXT = 33 };

/* XXH3-128 of n bytes as 32 hexadecimal digits; the same of a finished state. */
void few_hash_text(const void *data, size_t n, char out[FEW_HASH_TEXT]);
void few_hash_digest(const XXH3_state_t *state, char out[FEW_HASH_TEXT]);

#endif

#include "base/hash.h"

#include <stdio.h>

static void print(XXH128_hash_t h, char out[FEW_HASH_TEXT])
{
    snprintf(out, FEW_HASH_TEXT, "%016llx%016llx", (unsigned long long)h.high64,
             (unsigned long long)h.low64);
}

void few_hash_text(const void *data, size_t n, char out[FEW_HASH_TEXT])
{
    print(XXH3_128bits(data, n), out);
}

void few_hash_digest(const XXH3_state_t *state, char out[FEW_HASH_TEXT])
{
    print(XXH3_128bits_digest(state), out);
}

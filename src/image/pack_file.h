/* What the reader and the writer of packs share. */
#ifndef FEW_IMAGE_PACK_FILE_H
#define FEW_IMAGE_PACK_FILE_H

#include "image/pack.h"

#define FEW_PACK_MAGIC "fewpack\n"

enum {
    FEW_PACK_HEAD = 32,
    FEW_PACK_ALIGN = 4096,
    FEW_PACK_MAX_JSON = 64 << 20,
    FEW_PACK_MAX_TRANSFORMS = 64
};

static inline void few_put_le(uint8_t *p, uint64_t v, int bytes)
{
    for (int i = 0; i < bytes; i++)
        p[i] = (uint8_t)(v >> 8 * i);
}

static inline uint64_t few_get_le(const uint8_t *p, int bytes)
{
    uint64_t v = 0;
    for (int i = 0; i < bytes; i++)
        v |= (uint64_t)p[i] << 8 * i;
    return v;
}

#endif

/* Any bytes as a data file: as they are, and as the JSON of one whose frame is right, since no
 * chance finds a checksum. The first byte is then the size of what follows the JSON. */
#include "fuzz/target.h"
#include "image/pack.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

static void read_all(const void *file, size_t n)
{
    few_pack *p;
    few_error err;
    if (few_pack_open_memory(&p, "fuzz", file, n, &err) != FEW_OK)
        return;
    fuzz_accepted = true;
    const few_pack_info *f = few_pack_get_info(p);
    const size_t bytes = (size_t)f->height * (size_t)f->width * (size_t)f->channels;
    volatile unsigned sum = 0;
    for (int64_t i = 0; i < f->count; i++) {
        const int label = few_pack_label(p, i);
        sum += few_pack_image(p, i)[bytes - 1];
        if (label >= 0)
            sum += (unsigned)strlen(f->classes[label].name);
    }
    for (int i = 0; i < f->n_transforms; i++)
        sum += (unsigned)strlen(f->transforms[i]);
    sum += (unsigned)strlen(f->source);
    few_pack_verify(p, &err);
    few_pack_close(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    enum { JSON = 4096 - 32 };
    uint8_t *copy = malloc(n + 1); /* aligned, as a map is */
    if (!copy)
        return 0;
    memcpy(copy, data, n);
    read_all(copy, n);
    free(copy);
    if (n < 1 || n - 1 > JSON)
        return 0;
    uint8_t *framed = calloc(1, 4096 + (size_t)data[0]);
    if (!framed)
        return 0;
    memcpy(framed, "fewpack\n\x01\0\0\0\xe0\x0f\0\0", 16);
    memset(framed + 32, ' ', JSON);
    memcpy(framed + 32, data + 1, n - 1);
    const uint64_t h = XXH3_64bits(framed + 32, JSON);
    for (int i = 0; i < 8; i++)
        framed[16 + i] = (uint8_t)(h >> 8 * i);
    read_all(framed, 4096 + (size_t)data[0]);
    free(framed);
    return 0;
}

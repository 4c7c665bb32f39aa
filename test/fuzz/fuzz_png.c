/* Any bytes as a PNG: refused, or an image whose every pixel can be read. Once as they are, and
 * once with the checksums of all chunks put right, since no chance finds those. */
#include "fuzz/target.h"
#include "image/image.h"

#include <stdlib.h>
#include <string.h>

static void decode(const uint8_t *data, size_t n)
{
    few_image im;
    few_error err;
    if (few_png_decode(&im, data, n, &err) != FEW_OK)
        return;
    fuzz_accepted = true;
    volatile unsigned sum = 0;
    for (size_t i = 0; i < (size_t)im.h * (size_t)im.w * (size_t)im.c; i++)
        sum += im.pixels[i];
    few_image_clear(&im);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    decode(data, n);
    uint8_t *copy = malloc(n + 1);
    if (!copy)
        return 0;
    memcpy(copy, data, n);
    for (size_t at = 8; at + 12 <= n;) { /* length, type, data, checksum */
        const uint8_t *p = copy + at;
        const size_t length = (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
        if (length > n - at - 12)
            break;
        uint32_t crc = 0xffffffff;
        for (size_t i = 4; i < 8 + length; i++) {
            crc ^= p[i];
            for (int k = 0; k < 8; k++)
                crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
        }
        at += 8 + length;
        for (int k = 0; k < 4; k++)
            copy[at++] = (uint8_t)(~crc >> (24 - 8 * k));
    }
    decode(copy, n);
    free(copy);
    return 0;
}

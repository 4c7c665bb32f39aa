/* Any bytes as an IDX file of images, plain or gzip, read to its end. */
#include "image/source.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    few_source *s;
    few_source_item item;
    few_error err;
    if (few_idx_open_memory(&s, "fuzz", data, n, &err) != FEW_OK)
        return 0;
    volatile unsigned sum = 0;
    for (int i = 0; i < 1000 && !s->ended; i++) {
        if (few_source_next(s, &item, &err) == FEW_OK && item.image.pixels)
            sum += item.image.pixels[(size_t)item.image.h * (size_t)item.image.w - 1];
        few_image_clear(&item.image);
    }
    few_source_close(s);
    return 0;
}

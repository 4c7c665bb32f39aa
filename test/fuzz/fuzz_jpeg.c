/* Any bytes as a JPEG: refused, or an image whose every pixel can be read. */
#include "fuzz/target.h"
#include "image/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    few_image im;
    few_error err;
    if (few_jpeg_decode(&im, data, n, &err) != FEW_OK)
        return 0;
    fuzz_accepted = true;
    volatile unsigned sum = 0;
    for (size_t i = 0; i < (size_t)im.h * (size_t)im.w * (size_t)im.c; i++)
        sum += im.pixels[i];
    few_image_clear(&im);
    return 0;
}

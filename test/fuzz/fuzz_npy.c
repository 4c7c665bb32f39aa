/* Any bytes as a .npy: refused, or an array whose every element is inside the file. */
#include "fuzz/target.h"
#include "image/npy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    few_npy a;
    few_error err;
    if (few_npy_parse_whole(&a, data, n, &err) != FEW_OK)
        return 0;
    fuzz_accepted = true;
    volatile int64_t sum = 0;
    for (int64_t i = 0; i < a.count; i++)
        sum ^= few_npy_integer(&a, data + a.data, i);
    return 0;
}

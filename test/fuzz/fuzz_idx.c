/* Any bytes as an IDX file of images, plain or gzip, read to its end. */
#include "fuzz/whole_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    few_source *s;
    few_error err;
    if (few_idx_open_memory(&s, "fuzz", data, n, &err) != FEW_OK)
        return 0;
    read_all(s);
    return 0;
}

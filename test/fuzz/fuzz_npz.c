/* Any bytes as a .npz. */
#include "fuzz/whole_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    return read_as("npz", data, n);
}

/* Any bytes as a zip or tar, with or without EDM's dataset.json. */
#include "fuzz/whole_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    return read_as("archive", data, n);
}

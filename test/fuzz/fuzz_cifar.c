/* Any bytes as CIFAR-10's records. */
#include "fuzz/whole_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    return read_as("cifar", data, n);
}

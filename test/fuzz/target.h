/* What a target is, for replay.c and libFuzzer: a function of any bytes that must not be hurt by
 * them, and whether it took them for what they claim to be. */
#ifndef TEST_FUZZ_TARGET_H
#define TEST_FUZZ_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* Weak: the same one in replay.c and the target. */
__attribute__((weak)) bool fuzz_accepted;

#endif

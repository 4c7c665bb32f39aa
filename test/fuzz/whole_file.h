/* For readers that want a path: any bytes as a file of that kind, every image of it read. */
#ifndef TEST_FUZZ_WHOLE_FILE_H
#define TEST_FUZZ_WHOLE_FILE_H

#define _GNU_SOURCE
#include "image/source.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* Every image of an open source, which is closed. */
static inline void read_all(few_source *s)
{
    few_source_item item;
    few_error err;
    volatile unsigned sum = 0;
    for (int i = 0; i < 1000 && !s->ended; i++) {
        if (few_source_next(s, &item, &err) == FEW_OK && item.image.pixels)
            sum += item.image.pixels[(size_t)item.image.h * (size_t)item.image.w - 1];
        few_image_clear(&item.image);
    }
    few_source_close(s);
}

static inline int read_as(const char *kind, const uint8_t *data, size_t n)
{
    char path[64];
    few_source *s;
    few_error err;
    const int file = memfd_create("fuzz", 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    if (file < 0 || write(file, data, n) != (ssize_t)n ||
        few_source_open(&s, path, kind, NULL, &err) != FEW_OK) {
        close(file);
        return 0;
    }
    read_all(s);
    close(file);
    return 0;
}

#endif

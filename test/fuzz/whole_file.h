/* For readers that want a path: any bytes as a file of that kind, every image of it read. */
#ifndef TEST_FUZZ_WHOLE_FILE_H
#define TEST_FUZZ_WHOLE_FILE_H

#define _GNU_SOURCE
#include "fuzz/target.h"
#include "image/source.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

/* Every image of an open source, which is closed; accepted when there is one and all can be read.
 */
static inline void read_all(few_source *s)
{
    few_source_item item;
    few_error err;
    volatile unsigned sum = 0;
    int images = 0, bad = 0;
    for (int i = 0; i < 1000 && !s->ended; i++) {
        if (few_source_next(s, &item, &err) != FEW_OK) {
            bad++;
        } else if (item.image.pixels) {
            sum += item.image.pixels[(size_t)item.image.h * (size_t)item.image.w - 1];
            images++;
        }
        few_image_clear(&item.image);
    }
    fuzz_accepted = images > 0 && !bad;
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

/* What this machine can do, for plans and benchmarks: rates of arithmetic, of memory, and of matrix
 * products as oneDNN does them. Every figure is the best of several short runs: a limit is what
 * was reached, and other programs only take away. */
#ifndef FEW_CPU_LIMITS_H
#define FEW_CPU_LIMITS_H

#include "base/status.h"

/* What a limit is a rate of. */
typedef enum few_limit_kind { FEW_LIMIT_GFLOPS, FEW_LIMIT_GBYTES } few_limit_kind;

typedef struct few_limit {
    const char *name, *help;
    few_limit_kind kind;
    bool bf16; /* a rate of bf16's products */
    /* One short run on the calling thread: work done (FLOPs or bytes), and its seconds. 0: this
     * CPU cannot. `size` is the bytes an array of the memory tests has. */
    double (*run)(const struct few_limit *l, double *seconds);
    size_t size;     /* bytes of all arrays, 0: no arrays */
    int64_t m, n, k; /* of a matrix product */
} few_limit;

/* All of them; n of them. Sizes of caches are asked from the system once. */
const few_limit *few_limits(int *n);
const few_limit *few_limit_find(const char *name);

/* Best rate in 10^9 units a second over `tries` runs, all threads together (each runs it on arrays
 * of its own); 0: this CPU cannot. */
double few_limit_measure(const few_limit *l, int threads, int tries);

/* What a plan may be held against: the best matrix product in f32 and bf16, and memory. */
typedef struct few_roof {
    double f32, bf16;          /* FLOP/s, all threads together */
    double l2, l3, dram;       /* bytes/s */
    size_t l2_bytes, l3_bytes; /* of one core's L2, of the L3 it shares */
} few_roof;

void few_roof_measure(few_roof *r, int threads, int tries);
/* The same in half a second, without DRAM: one size of matrix product, few runs. */
void few_roof_glance(few_roof *r, int threads);

#endif

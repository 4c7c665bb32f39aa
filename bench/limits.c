/* The machine's limits: arithmetic in registers and in matrix products, memory in L2, L3 and DRAM,
 * on one thread and on all.
 *
 *   bench_limits [tries]     TSV on stdout */
#include "cpu/limits.h"
#include "base/thread.h"

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    const int tries = argc > 1 ? atoi(argv[1]) : 15, threads = few_thread_count();
    int n;
    const few_limit *all = few_limits(&n);
    if (tries < 1) {
        fprintf(stderr, "bench_limits: '%s' is no number of tries\n", argv[1]);
        return 2;
    }
    printf("limit\tunit\t1 thread\t%d threads\twhat\n", threads);
    for (int k = 0; k < n; k++) {
        const double one = few_limit_measure(&all[k], 1, tries);
        if (one <= 0)
            continue;
        printf("%s\t%s\t%.1f\t%.1f\t%s\n", all[k].name,
               all[k].kind == FEW_LIMIT_GFLOPS ? "GFLOP/s" : "GB/s", one,
               few_limit_measure(&all[k], threads, tries), all[k].help);
        fflush(stdout);
    }
    return 0;
}

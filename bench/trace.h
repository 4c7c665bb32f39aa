/* What FEW_TRACE wrote, for the benchmarks that sum it up. */
#ifndef FEW_BENCH_TRACE_H
#define FEW_BENCH_TRACE_H

#include "cpu/limits.h"

typedef struct few_trace_row {
    char *op, *label, *shapes; /* owned by the trace; label "" and shapes "" after grouping by op */
    int nodes;                 /* how many were put together */
    double seconds, flops, bytes; /* of a slice, all nodes together */
    double roof;                  /* seconds at the limits (few_trace_hold) */
} few_trace_row;

/* One plan. */
typedef struct few_trace {
    few_trace_row *v;
    int n;
    int64_t slices, slice; /* that were run; images in each */
    bool bf16, trained;
    size_t arena;
    char *text; /* the file's, that rows point into; of the first plan alone */
} few_trace;

/* All plans of a file; free with few_traces_free. Fails: FEW_EFORMAT, FEW_EIO, FEW_ENOMEM. */
few_status few_traces_read(const char *path, few_trace **plans, int *n, few_error *err);
void few_traces_free(few_trace *plans, int n);

/* Give each row its time at the limits of one of `threads` workers: the greater of its FLOPs at the
 * rate of matrix products (f32's, but bf16's for convolutions, linear layers and attention of a
 * bf16 plan) and its bytes at the rate of L2, or L3 when the plan's arena is larger than L2. */
void few_trace_hold(few_trace *t, const few_roof *roof, int threads);

/* Put together rows of one op, and of the same shapes when by_shapes; longest first. */
void few_trace_group(few_trace *t, bool by_shapes);

/* Sums over all rows, as one row called "all". */
few_trace_row few_trace_sum(const few_trace *t);

#endif

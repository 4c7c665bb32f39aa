/* Pieces of the executor that compile.c, run.c and update.c share. */
#ifndef FEW_CPU_RUN_H
#define FEW_CPU_RUN_H

#include "cpu/plan.h"

typedef struct few_call_sizes { /* elements */
    size_t in[FEW_MAX_IN], out[FEW_MAX_OUT];
} few_call_sizes;

few_status few_cpu_compile(const few_graph *g, const few_plan_options *o, few_plan **out,
                           few_error *err);
void few_cpu_release(few_plan *p);

/* Run one node for worker w. */
void few_step_run(const few_step *s, int w);

#endif

/* Ways to do an op that has several: prepare chooses one, whose state begins with a pointer to its
 * few_way; the kernel's functions are these three. */
#ifndef FEW_CPU_WAY_H
#define FEW_CPU_WAY_H

#include "cpu/kernel.h"

typedef struct few_way {
    void (*run)(const few_cpu_call *c);
    void (*finish)(const few_cpu_call *c, float *const grad[FEW_MAX_OUT]); /* as few_cpu_kernel's */
    void (*release)(void *state);
} few_way;

void few_way_run(const few_cpu_call *c);
void few_way_finish(const few_cpu_call *c, float *const grad[FEW_MAX_OUT]);
void few_way_release(void *state);

/* The part of a weight gradient that all ways share: db [o] of dy = in[1], into the accumulator
 * `acc`, or added to it, through `fresh` of the same size; and to out[1] when nothing is kept. */
void few_way_bias(const few_cpu_call *c, int64_t o, float *acc, float *fresh);

#endif

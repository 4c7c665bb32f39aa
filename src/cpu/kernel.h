/* What a CPU kernel is to the executor: one entry per op that has one, in cpu/list.def.
 *
 * Kernels are single-threaded: the executor gives each worker its own slices. Arithmetic kernels
 * (everything but oneDNN calls) are written once in plain C that the compiler vectorises, and
 * built three times (portable, AVX2, AVX-512) into three tables of the same functions (simd.h);
 * the executor picks a table at run time, FEW_ISA=portable|avx2|avx512 overrides. */
#ifndef FEW_CPU_KERNEL_H
#define FEW_CPU_KERNEL_H

#include "op/op.h"

/* Concrete element types of the inputs and outputs of a call: FEW_F32, FEW_BF16, FEW_I32, FEW_U8.
 * bf16 is stored as uint16_t, rounded to nearest even. Pointers are 64-byte aligned. in[k] is NULL
 * for an absent optional input, out[k] for an output nobody uses. */
typedef struct few_cpu_call {
    const few_node *node;
    const void *in[FEW_MAX_IN];
    void *out[FEW_MAX_OUT];
    few_dtype in_type[FEW_MAX_IN], out_type[FEW_MAX_OUT];
    const few_shape *is[FEW_MAX_IN], *os[FEW_MAX_OUT];
    void *scratch; /* scratch_bytes of it, 64-byte aligned, this worker's own */
    int worker;
    void *state;            /* what prepare made, shared by the workers */
    struct few_simd const *simd;
} few_cpu_call;

#endif

/* What a CPU kernel is to the executor: one entry per op that has one, in cpu/list.def. An op
 * without an entry runs by its reference in double.
 *
 * Kernels are single-threaded: the executor gives each worker its own slices. Only where there are
 * fewer images than cores may they share their work with a team. Arithmetic is written
 * once in plain C that the compiler vectorises, and built three times (portable, AVX2, AVX-512)
 * into three tables of the same functions (simd.h); FEW_ISA=portable|avx2|avx512 overrides the
 * choice made at run time. */
#ifndef FEW_CPU_KERNEL_H
#define FEW_CPU_KERNEL_H

#include "base/team.h"
#include "cpu/simd.h"
#include "graph/backend.h"
#include "op/op.h"

/* Types are concrete: FEW_F32, FEW_BF16 (uint16_t, rounded to nearest even), FEW_I32, FEW_U8.
 * Pointers are 64-byte aligned. in[k] is NULL for an absent optional input, out[k] for an output
 * nobody uses. */
typedef struct few_cpu_call {
    const few_node *node;
    const void *in[FEW_MAX_IN];
    void *out[FEW_MAX_OUT];
    few_dtype in_type[FEW_MAX_IN], out_type[FEW_MAX_OUT];
    const few_shape *is[FEW_MAX_IN], *os[FEW_MAX_OUT];
    const few_simd *simd;
    void *state;    /* what prepare made, shared by the workers */
    void *scratch;  /* scratch_bytes of it, this worker's own */
    void *acc;      /* acc_bytes of it, this worker's own, kept between slices */
    bool first;     /* the first slice since gradients were cleared: overwrite acc */
    few_team *team; /* threads that may share a kernel's work; NULL: this one alone */
} few_cpu_call;

/* What prepare learns and answers. */
typedef struct few_cpu_prep {
    few_plan *plan;
    few_cpu_call call; /* node, types and shapes; pointers are NULL */
    bool used[FEW_MAX_OUT];
    bool may_accumulate;  /* every used output is a parameter's gradient and nothing else */
    size_t scratch_bytes; /* answer */
    size_t acc_bytes;     /* answer: > 0 takes over accumulation; then finish is called */
    void *state;          /* answer */
} few_cpu_prep;

typedef struct few_cpu_kernel {
    const char *op;
    few_status (*prepare)(few_cpu_prep *p, few_error *err); /* or NULL */
    void (*run)(const few_cpu_call *c);
    /* grad[k] += the accumulated output k in its plain shape (NULL when unused). */
    void (*finish)(const few_cpu_call *c, float *const grad[FEW_MAX_OUT]);
    void (*release)(void *state);
} few_cpu_kernel;

#define X(name) extern const few_cpu_kernel few_cpu_##name;
#include "cpu/list.def"
#undef X

/* The kernel of an op, or NULL. FEW_REF=1 in the environment answers NULL for all. */
const few_cpu_kernel *few_cpu_find(const few_op *op);

#endif

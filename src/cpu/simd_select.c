/* Which table of kernels runs: the best this CPU has, unless FEW_ISA names another that it has.
 * AVX-512 stands for its F, BW, DQ and VL parts together, AVX2 for AVX2 with FMA. */
#include "cpu/simd.h"

#include <stdlib.h>
#include <string.h>

extern const few_simd few_simd_portable;
#if defined __x86_64__
extern const few_simd few_simd_avx2, few_simd_avx512;
#endif

const few_simd *few_simd_named(const char *name)
{
    if (!strcmp(name, "portable"))
        return &few_simd_portable;
#if defined __x86_64__
    if (!strcmp(name, "avx2") && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return &few_simd_avx2;
    if (!strcmp(name, "avx512") && __builtin_cpu_supports("avx512f") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl"))
        return &few_simd_avx512;
#endif
    return NULL;
}

const few_simd *few_simd_get(const char **why)
{
    const char *reason = "best of this CPU", *want = getenv("FEW_ISA");
    const few_simd *s = NULL;
    if (want && *want && strcmp(want, "amx") != 0) { /* amx: see few_cpu_may_use_amx */
        s = few_simd_named(want);
        reason = s ? "FEW_ISA" : "best of this CPU, which has not what FEW_ISA names";
    }
    if (!s)
        s = few_simd_named("avx512");
    if (!s)
        s = few_simd_named("avx2");
    if (!s)
        s = &few_simd_portable;
    if (why)
        *why = reason;
    return s;
}

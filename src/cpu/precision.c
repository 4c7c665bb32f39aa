/* What `precision: auto` means here: bf16 where the CPU multiplies it in tiles (AMX), or in pairs
 * (AVX512_BF16) clearly faster than f32, which depends on the make and is measured; f32 elsewhere.
 * FEW_PRECISION overrides auto. */
#define _GNU_SOURCE
#include "cpu/pairs.h"
#include "cpu/simd.h"
#include "graph/backend.h"

#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

bool few_cpu_has_amx(void)
{
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d >> 22 & 1) && (d >> 24 & 1);
}

/* The CPU has tiles and the system lets this process use them. */
static bool tiles_are_permitted(void)
{
    enum { REQUEST_PERMISSION = 0x1023, TILE_DATA = 18 }; /* of arch_prctl */
    static int known; /* 1 no, 2 yes: the same whoever asks first */
    int have = __atomic_load_n(&known, __ATOMIC_RELAXED);
    if (!have) {
        have = few_cpu_has_amx() && syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0 ? 2
                                                                                                : 1;
        __atomic_store_n(&known, have, __ATOMIC_RELAXED);
    }
    return have == 2;
}

bool few_cpu_may_use_amx(void)
{
    const char *e = getenv("FEW_ISA");
    const bool another = e && *e && strcmp(e, "amx") != 0 && few_simd_named(e);
    return !another && few_simd_named("avx512") && tiles_are_permitted();
}
#else
static bool tiles_are_permitted(void)
{
    return false;
}

bool few_cpu_has_amx(void)
{
    return false;
}

bool few_cpu_may_use_amx(void)
{
    return false;
}
#endif

/* bf16 also halves the memory moved, but rounds: what it must gain in arithmetic to be chosen. */
#define ENOUGH_GAIN 1.3

few_precision few_precision_named(const char *name)
{
    return name && !strcmp(name, "f32")    ? FEW_PRECISION_F32
           : name && !strcmp(name, "bf16") ? FEW_PRECISION_BF16
                                           : FEW_PRECISION_AUTO;
}

double few_bf16_pairs_gain(void)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512bf16") && few_simd_named("avx512"))
        return few_bf16_pairs_measure();
#endif
    return 0;
}

/* few_bf16_pairs_gain, asked once: every plan of a process gets the same answer. */
static double pairs_gain(void)
{
    static double known = -1;
    double gain;
    __atomic_load(&known, &gain, __ATOMIC_ACQUIRE);
    if (gain < 0) {
        double none = -1, measured = few_bf16_pairs_gain();
        gain = __atomic_compare_exchange(&known, &none, &measured, false, __ATOMIC_ACQ_REL,
                                         __ATOMIC_ACQUIRE)
                   ? measured
                   : none; /* another thread was first */
    }
    return gain;
}

few_precision few_cpu_resolve(few_precision p, const char **why)
{
    const char *none = NULL, **say = why ? why : &none;
    if (p != FEW_PRECISION_AUTO) {
        *say = "asked for";
        return p;
    }
    const char *e = getenv("FEW_PRECISION");
    if (e && !strcmp(e, "f32")) {
        *say = "FEW_PRECISION=f32";
        return FEW_PRECISION_F32;
    }
    if (e && !strcmp(e, "bf16")) {
        *say = "FEW_PRECISION=bf16";
        return FEW_PRECISION_BF16;
    }
    if (tiles_are_permitted()) {
        *say = "the CPU has AMX tiles for bf16";
        return FEW_PRECISION_BF16;
    }
    const double gain = pairs_gain();
    *say = gain >= ENOUGH_GAIN ? "no AMX, but AVX512_BF16 is faster than f32 here (measured)"
           : gain > 0          ? "no AMX, and AVX512_BF16 is no faster than f32 here (measured)"
                               : "the CPU has neither AMX nor AVX512_BF16";
    return gain >= ENOUGH_GAIN ? FEW_PRECISION_BF16 : FEW_PRECISION_F32;
}

#define _GNU_SOURCE
#include "cpu/limits.h"

#include "base/alloc.h"
#include "base/thread.h"
#include "cpu/onednn.h"
#include "cpu/simd.h"
#include "graph/backend.h"

#include <stdio.h>
#include <string.h>

#if defined __x86_64__
#include <immintrin.h>
#endif

/* The compiler must keep what is computed, and not move it over the clock. */
#define KEEP(v) __asm__ volatile("" : "+v"(v))

/* ---- registers ------------------------------------------------------------------------------*/

#if defined __x86_64__

enum { SUMS = 12, ROUNDS = 100000 };

/* void name(void): ROUNDS times SUMS independent sums of one instruction. */
#define SUM_IN_REGISTERS(name, isa, sum_type, one, type, a_, b_, step)                             \
    __attribute__((target(isa))) static void name(void)                                            \
    {                                                                                              \
        sum_type sum[SUMS];                                                                        \
        const type a = a_, b = b_;                                                                 \
        _Pragma("GCC unroll 12") for (int k = 0; k < SUMS; k++) sum[k] = one;                      \
        for (int r = 0; r < ROUNDS; r++) {                                                         \
            _Pragma("GCC unroll 12") for (int k = 0; k < SUMS; k++)                                \
            {                                                                                      \
                sum[k] = step;                                                                     \
                KEEP(sum[k]);                                                                      \
            }                                                                                      \
        }                                                                                          \
    }
SUM_IN_REGISTERS(fma512, "avx512f", __m512, _mm512_set1_ps(1), __m512, _mm512_set1_ps(0.5f),
                 _mm512_set1_ps(0.25f), _mm512_fmadd_ps(a, b, sum[k]))
SUM_IN_REGISTERS(fma256, "avx2,fma", __m256, _mm256_set1_ps(1), __m256, _mm256_set1_ps(0.5f),
                 _mm256_set1_ps(0.25f), _mm256_fmadd_ps(a, b, sum[k]))
SUM_IN_REGISTERS(pairs, "avx512f,avx512bf16", __m512, _mm512_set1_ps(1), __m512bh,
                 (__m512bh)_mm512_set1_epi32(0x3f003f00), (__m512bh)_mm512_set1_epi32(0x3e803e80),
                 _mm512_dpbf16_ps(sum[k], a, b))

struct tiles {
    uint8_t palette, start_row, zero[14];
    uint16_t bytes[16];
    uint8_t rows[16];
} __attribute__((aligned(64)));

__attribute__((target("amx-tile,amx-bf16"))) static void tiles(void)
{
    struct tiles t = { .palette = 1 };
    for (int k = 0; k < 8; k++) {
        t.bytes[k] = 64;
        t.rows[k] = 16;
    }
    _tile_loadconfig(&t);
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    _tile_zero(4);
    _tile_zero(5);
    _tile_zero(6);
    for (int r = 0; r < ROUNDS / 10; r++) {
        _tile_dpbf16ps(0, 5, 6);
        _tile_dpbf16ps(1, 5, 6);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 6);
        _tile_dpbf16ps(4, 5, 6);
    }
    _tile_release();
}

static double run_f32(const few_limit *l, double *seconds)
{
    const bool wide = __builtin_cpu_supports("avx512f");
    (void)l;
    if (!wide && !(__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")))
        return 0;
    const double start = few_now();
    (wide ? fma512 : fma256)();
    *seconds = few_now() - start;
    return 2.0 * (wide ? 16 : 8) * SUMS * ROUNDS;
}

static double run_pairs(const few_limit *l, double *seconds)
{
    (void)l;
    if (!__builtin_cpu_supports("avx512bf16"))
        return 0;
    const double start = few_now();
    pairs();
    *seconds = few_now() - start;
    return 4.0 * 16 * SUMS * ROUNDS;
}

static double run_tiles(const few_limit *l, double *seconds)
{
    (void)l;
    if (!few_cpu_may_use_amx())
        return 0;
    const double start = few_now();
    tiles();
    *seconds = few_now() - start;
    return 2.0 * 16 * 16 * 32 * 5 * (ROUNDS / 10);
}
#else
static double run_f32(const few_limit *l, double *seconds)
{
    (void)l;
    *seconds = 0;
    return 0;
}
#define run_pairs run_f32
#define run_tiles run_f32
#endif

/* ---- memory ---------------------------------------------------------------------------------*/

/* a = b + s c, over and over: two arrays read, one written. */
static double run_triad(const few_limit *l, double *seconds)
{
    static __thread float *kept;
    static __thread size_t kept_size;
    const size_t n = l->size / 3 / sizeof(float) / 16 * 16;
    if (kept_size < l->size) {
        few_big_free(kept, kept_size);
        kept = few_big_alloc(l->size);
        kept_size = kept ? l->size : 0;
        for (size_t i = 0; kept && i < l->size / sizeof(float); i++)
            kept[i] = 1;
    }
    float *restrict a = kept, *restrict b = a + n, *restrict c = b + n;
    if (!a)
        return 0;
    const int rounds = 1 + (int)((64u << 20) / l->size);
    const double start = few_now();
    for (int r = 0; r < rounds; r++) {
        const float s = 0.5f;
        for (size_t i = 0; i < n; i++)
            a[i] = b[i] + s * c[i];
        __asm__ volatile("" ::: "memory");
    }
    *seconds = few_now() - start;
    return (double)rounds * (double)n * 3 * sizeof(float);
}

/* ---- matrix products ------------------------------------------------------------------------*/

/* The arrays of one thread's product, made at its first run and kept. */
struct product {
    few_dnn prim;
    void *src, *dst, *weights, *scratch;
};

static bool make(struct product *p, const few_limit *l)
{
    const few_dtype type = l->bf16 ? FEW_BF16 : FEW_F32;
    const size_t e = few_dtype_size(type);
    few_error err;
    if (few_dnn_linear_make(&p->prim, FEW_DNN_LINEAR, type, l->m, l->k, l->n, false, &err) !=
        FEW_OK)
        return false;
    const size_t sizes[4] = { (size_t)(l->m * l->k) * e, (size_t)(l->m * l->n) * e,
                              few_dnn_desc_bytes(&p->prim.weights), p->prim.scratch_bytes + 64 };
    void **at[4] = { &p->src, &p->dst, &p->weights, &p->scratch };
    for (int j = 0; j < 4; j++) {
        if (!(*at[j] = few_big_alloc(sizes[j])))
            return false;
        for (size_t i = 0; j != 1 && i < sizes[j] / e; i++) /* 0.5 in both types */
            if (l->bf16)
                ((uint16_t *)*at[j])[i] = 0x3f00;
            else
                ((float *)*at[j])[i] = 0.5f;
    }
    return true;
}

static double run_product(const few_limit *l, double *seconds)
{
    static __thread const few_limit *of;
    static __thread struct product p;
    if (of != l) { /* the last one's arrays are left to the end of the program */
        memset(&p, 0, sizeof p);
        of = NULL;
        if (!make(&p, l))
            return 0;
        of = l;
    }
    const double work = 2.0 * (double)(l->m * l->n * l->k);
    const int rounds = 1 + (int)(2e9 / work);
    const double start = few_now();
    for (int r = 0; r < rounds; r++)
        few_dnn_run(&p.prim, p.src, p.weights, NULL, p.dst, p.scratch);
    *seconds = few_now() - start;
    return work * rounds;
}

/* ---- the list -------------------------------------------------------------------------------*/

#define PRODUCT(text, bf, m_, n_, k_)                                                              \
    {                                                                                              \
        .name = text, .help = "matrix product of oneDNN, " #m_ " x " #n_ " x " #k_, .bf16 = bf,    \
        .run = run_product, .m = m_, .n = n_, .k = k_                                              \
    }

const few_limit *few_limits(int *n)
{
    static few_limit all[] = {
        { .name = "f32_registers", .help = "multiply-adds in registers", .run = run_f32 },
        { .name = "bf16_pairs_registers",
          .help = "AVX512_BF16 in registers",
          .bf16 = true,
          .run = run_pairs },
        { .name = "bf16_tiles_registers", .help = "AMX in tiles", .bf16 = true, .run = run_tiles },
        PRODUCT("f32_product_256", false, 256, 256, 256),
        PRODUCT("f32_product_512", false, 512, 512, 512),
        PRODUCT("f32_product_1024", false, 1024, 1024, 1024),
        PRODUCT("f32_product_8192_64_576", false, 8192, 64, 576),
        PRODUCT("bf16_product_256", true, 256, 256, 256),
        PRODUCT("bf16_product_512", true, 512, 512, 512),
        PRODUCT("bf16_product_1024", true, 1024, 1024, 1024),
        PRODUCT("bf16_product_8192_64_576", true, 8192, 64, 576),
        { .name = "l2_triad",
          .help = "a = b + s c in half of L2",
          .kind = FEW_LIMIT_GBYTES,
          .run = run_triad },
        { .name = "l3_triad",
          .help = "in a quarter of L3, all threads together",
          .kind = FEW_LIMIT_GBYTES,
          .run = run_triad },
        { .name = "dram_triad",
          .help = "in eight times L3",
          .kind = FEW_LIMIT_GBYTES,
          .run = run_triad },
    };
    const size_t l2 = few_cache_bytes(2), l3 = few_cache_bytes(3);
    *n = (int)FEW_COUNT(all);
    for (int k = 0; k < *n; k++) {
        if (!strcmp(all[k].name, "l2_triad"))
            all[k].size = l2 / 2;
        if (!strcmp(all[k].name, "l3_triad"))
            all[k].size = l3 / 4 / (size_t)few_thread_count();
        if (!strcmp(all[k].name, "dram_triad"))
            all[k].size = l3 < (64u << 20) ? 8 * l3 : 512u << 20;
    }
    return all;
}

const few_limit *few_limit_find(const char *name)
{
    int n;
    const few_limit *all = few_limits(&n);
    for (int k = 0; k < n; k++)
        if (!strcmp(all[k].name, name))
            return &all[k];
    return NULL;
}

/* ---- measuring ------------------------------------------------------------------------------*/

struct job {
    const few_limit *l;
    double rate[256];
};

static void one(void *user, int worker)
{
    struct job *j = user;
    double seconds = 0;
    const double work = j->l->run(j->l, &seconds);
    j->rate[worker] = work > 0 && seconds > 0 ? work / seconds : 0;
}

double few_limit_measure(const few_limit *l, int threads, int tries)
{
    struct job j = { .l = l };
    double best = 0;
    for (int k = -1; k < tries; k++) { /* the first warms up */
        double sum = 0;
        few_run_workers(threads, one, &j);
        for (int w = 0; w < threads; w++)
            sum += j.rate[w];
        if (k >= 0 && sum > best)
            best = sum;
    }
    return best * 1e-9;
}

static void measure_roof(few_roof *r, int threads, int tries, bool glance)
{
    int n;
    const few_limit *all = few_limits(&n);
    memset(r, 0, sizeof *r);
    r->l2_bytes = few_cache_bytes(2);
    r->l3_bytes = few_cache_bytes(3);
    for (int k = 0; k < n; k++) {
        const bool brief = strstr(all[k].name, "product_512") || !strcmp(all[k].name, "l2_triad") ||
                           !strcmp(all[k].name, "l3_triad");
        if (strstr(all[k].name, "registers") || (glance && !brief))
            continue;
        const double v = 1e9 * few_limit_measure(&all[k], threads, tries);
        double *at = all[k].run == run_product          ? (all[k].bf16 ? &r->bf16 : &r->f32)
                     : !strcmp(all[k].name, "l2_triad") ? &r->l2
                     : !strcmp(all[k].name, "l3_triad") ? &r->l3
                                                        : &r->dram;
        *at = v > *at ? v : *at;
    }
}

void few_roof_measure(few_roof *r, int threads, int tries)
{
    measure_roof(r, threads, tries, false);
}

void few_roof_glance(few_roof *r, int threads)
{
    measure_roof(r, threads, 2, true);
}

/* Speed of the arithmetic kernels on one core, in GB/s of bytes read and written.
 *
 *   ops_simd [isa] [word]     isa as in FEW_ISA, or "-"; only kernels whose name has `word`
 *
 * Arrays of 1 image, or as many as make 256 KB, so that they stay in the second cache. Bytes are
 * counted once an array: group norm reads x twice but counts it once. The median of many short
 * runs is printed, since other programs may run beside this one. */
#include "cpu/simd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#ifdef __SSE2__
#include <xmmintrin.h>
#endif

#define RUNS 41

static const few_simd *simd;
static bool bf;
static int64_t n, hw, c, size; /* images, pixels, channels, elements */
static void *x, *y, *dy;
static float *f[8], *stats, *small[4], *scratch;
static int32_t rng[4 * 64];

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static few_gn_args gn(bool silu)
{
    return (few_gn_args){ n, hw, c, 32, silu, bf, 1e-5f, x, small[0], small[1], small[2], NULL };
}

static void run_norm(void)
{
    const few_gn_args a = gn(false);
    simd->group_norm(&a, y, stats, scratch);
}

static void run_norm_silu(void)
{
    const few_gn_args a = gn(true);
    simd->group_norm(&a, y, stats, scratch);
}

static void run_norm_grad(void)
{
    const few_gn_args a = gn(true);
    simd->group_norm_grad(&a, stats, dy, y, small[3], small[3] + c, NULL, NULL, scratch);
}

static void run_silu(void)
{
    simd->silu(bf, y, x, size);
}

static void run_silu_grad(void)
{
    simd->silu_grad(bf, y, x, dy, size);
}

static void run_add(void)
{
    simd->add(bf, y, x, dy, size);
}

static void run_convert(void)
{
    if (bf)
        simd->to_bf16(y, f[0], size);
    else
        simd->from_bf16(f[0], x, size);
}

static void run_lincomb(void)
{
    const void *const in[3] = { x, dy, f[0] };
    const float *const k[3] = { small[0], small[1], small[2] };
    simd->lincomb(f[1], false, 3, in, bf ? 3 : 0, k, n, size / n);
}

static void run_huber(void)
{
    simd->huber_mean(bf, small[3], x, 0.01f, n, size / n);
}

static void run_softmax(void)
{
    simd->softmax_rows(f[2], bf ? y : NULL, small[3], 0.2f, size / 64, 64);
}

static void run_softmax_grad(void)
{
    simd->softmax_grad_rows(bf, f[0], f[1], f[5], f[6], 0.2f, y, dy, size / 64, 64);
}

static void run_concat(void)
{
    simd->concat(bf ? 2 : 4, y, x, dy, n * hw / 2, c, c);
}

static void run_upsample(void)
{
    simd->upsample2(bf, y, x, 1, n, 4, hw / 16, c);
}

static void run_pool(void)
{
    simd->pool2(bf, y, x, 1, n, 4, hw / 16, c);
}

static void run_column_sum(void)
{
    simd->column_sum(bf, small[3], x, n * hw, c);
}

static void run_noise(void)
{
    simd->noise(f[0], rng, 1, n, size / n);
}

static void run_dropout(void)
{
    simd->dropout(bf, y, x, rng, 256, 0.1f, n, size / n);
}

static void run_adam(void)
{
    const float decay = 0.999f;
    const few_adam_args a = { .n = size,
                              .p = f[0],
                              .m = f[1],
                              .v = f[3],
                              .grad = f[4],
                              .grad_scale = 1,
                              .lr = 1e-9f,
                              .beta1 = 0.9f,
                              .beta2 = 0.999f,
                              .eps = 1e-8f,
                              .weight_decay = 0.01f,
                              .correct1 = 1,
                              .correct2 = 1,
                              .rectify = 1,
                              .n_ema = 1,
                              .ema = &f[5],
                              .ema_decay = &decay };
    simd->adam(&a);
}

static const struct {
    const char *name;
    void (*run)(void);
    double read, written; /* arrays of the type, by element */
    double floats;        /* f32 read and written by element */
} kernels[] = {
    { "group_norm", run_norm, 1, 1, 0 },
    { "group_norm silu", run_norm_silu, 1, 1, 0 },
    { "group_norm_grad silu", run_norm_grad, 2, 1, 0 },
    { "silu", run_silu, 1, 1, 0 },
    { "silu_grad", run_silu_grad, 2, 1, 0 },
    { "add", run_add, 2, 1, 0 },
    { "convert", run_convert, 0, 0, 1.5 },
    { "lincomb of 3", run_lincomb, 2, 0, 2 },
    { "huber_mean", run_huber, 1, 0, 0 },
    { "softmax, 64", run_softmax, 0, 0, 2 },
    { "softmax_grad, 64", run_softmax_grad, 0, 2, 2 },
    { "concat", run_concat, 1, 1, 0 },
    { "upsample2", run_upsample, 0.25, 1, 0 },
    { "pool2", run_pool, 1, 0.25, 0 },
    { "column_sum", run_column_sum, 1, 0, 0 },
    { "noise", run_noise, 0, 0, 1 },
    { "dropout", run_dropout, 1, 1, 0 },
    { "adam, 1 ema", run_adam, 0, 0, 9 },
};

static int by_value(const void *a, const void *b)
{
    const double u = *(const double *)a, v = *(const double *)b;
    return (u > v) - (u < v);
}

/* Seconds of one call: the median of runs of about 0.2 ms. */
static double seconds(void (*run)(void))
{
    double t[RUNS], start = now();
    int calls = 0;
    while (now() - start < 1e-3 || calls < 2) {
        run();
        calls++;
    }
    const int per = calls / 5 + 1;
    for (int r = 0; r < RUNS; r++) {
        start = now();
        for (int i = 0; i < per; i++)
            run();
        t[r] = (now() - start) / per;
    }
    qsort(t, RUNS, sizeof *t, by_value);
    return t[RUNS / 2];
}

static float *floats(int64_t count, float scale)
{
    float *p = aligned_alloc(64, (size_t)(count * 4 + 63) / 64 * 64);
    for (int64_t i = 0; p && i < count; i++)
        p[i] = scale * (float)(rand() % 2001 - 1000) * 1e-3f;
    if (!p)
        exit(1);
    return p;
}

int main(int argc, char **argv)
{
    static const int64_t shapes[][2] = { { 1024, 32 }, { 256, 64 }, { 64, 64 }, { 64, 256 } };
    const char *const isa = argc > 1 && strcmp(argv[1], "-") ? argv[1] : NULL;
    const char *const word = argc > 2 ? argv[2] : "";
    simd = isa ? few_simd_named(isa) : few_simd_get(NULL);
    if (!simd) {
        fprintf(stderr, "this CPU has no '%s'\n", isa);
        return 1;
    }
#ifdef __SSE2__
    _mm_setcsr(_mm_getcsr() | 0x8040); /* flush denormals, as the executor does */
#endif
    const int64_t most = 4 * 65536;
    float *const data = floats(most, 2);
    uint16_t *const half = (uint16_t *)floats(most, 2), *const half_dy =
                                                            (uint16_t *)floats(most, 2);
    void *const out = floats(4 * most, 1);
    simd->to_bf16(half, data, most);
    simd->to_bf16(half_dy, data + 7, most - 7);
    for (int k = 0; k < 8; k++)
        f[k] = floats(most, 1);
    for (int64_t i = 0; i < most; i++) {
        f[3][i] = f[3][i] * f[3][i] + 0.01f;
        f[5][i] = 9;
    }
    for (int k = 0; k < 4; k++)
        small[k] = floats(65536, 1);
    stats = floats(65536, 1);
    scratch = floats(65536, 1);
    for (int i = 0; i < 256; i++)
        rng[i] = i * 77;

    printf("%-22s", simd->name);
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        printf("   %4lld x %-3lld    ", (long long)shapes[s][0], (long long)shapes[s][1]);
    printf("\n%-22s", "GB/s");
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        printf("  %6s  %6s  ", "bf16", "f32");
    printf("\n");
    for (size_t k = 0; k < sizeof kernels / sizeof *kernels; k++) {
        if (!strstr(kernels[k].name, word))
            continue;
        printf("%-22s", kernels[k].name);
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
            hw = shapes[s][0];
            c = shapes[s][1];
            n = 65536 / (hw * c);
            n = n ? n : 1;
            size = n * hw * c;
            for (int type = 1; type >= 0; type--) {
                bf = type;
                x = bf ? (void *)half : data;
                dy = bf ? (void *)half_dy : f[7];
                y = out;
                run_norm(); /* stats that belong to x */
                const double bytes =
                    (double)size *
                    ((kernels[k].read + kernels[k].written) * (bf ? 2 : 4) + kernels[k].floats * 4);
                printf("  %6.1f", bytes / seconds(kernels[k].run) * 1e-9);
            }
            printf("  ");
        }
        printf("\n");
    }
    return 0;
}

/* Weight gradients by AMX tiles against the sum written out in double; on a CPU without tiles their
 * plans alone, and skipped without AVX-512, for which the file is compiled. */
#include "base/alloc.h"
#include "base/philox.h"
#include "cpu/amx/weights.h"
#include "cpu/simd.h"
#include "graph/backend.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <math.h>

static uint16_t *numbers(int64_t n, uint32_t stream, double *copy)
{
    uint16_t *b = few_big_alloc((size_t)n * sizeof *b + 64);
    for (int64_t i = 0; i < n; i++) {
        const float f =
            (float)(few_random_uniform(9, stream, 0, (uint32_t)(i >> 20), (uint32_t)i) - 0.5);
        few_simd_get(NULL)->to_bf16(b + i, &f, 1);
        float back;
        few_simd_get(NULL)->from_bf16(&back, b + i, 1);
        copy[i] = (double)back;
    }
    return b;
}

static void check(int64_t n, int64_t h, int64_t w, int64_t c, int64_t o, int k)
{
    few_amx_weights p = { .n = n, .h = h, .w = w, .c = c, .o = o, .k = k };
    few_amx_weights_plan(&p);
    assert_int_equal(n % p.group, 0);
    int32_t *pixel = few_malloc((size_t)p.tiles * 32 * sizeof *pixel);
    few_amx_weights_pixels(&p, pixel);
    p.pixel = pixel;
    const int64_t nx = n * h * w * c, ny = n * h * w * o, taps = (int64_t)k * k;
    double *x = few_malloc((size_t)nx * sizeof *x), *dy = few_malloc((size_t)ny * sizeof *dy);
    uint16_t *bx = numbers(nx, 1, x), *bdy = numbers(ny, 2, dy);
    float *acc = few_big_alloc(p.acc_bytes), *dw = few_calloc((size_t)(o * c * taps), sizeof *dw);
    char *scratch = few_big_alloc(p.scratch_bytes + 64);
    /* What is not written must not matter, nor what lies behind be touched. */
    memset(scratch, 0xff, p.scratch_bytes + 64);
    memset(acc, 0xff, p.acc_bytes);
    few_amx_weights_run(&p, bx, bdy, acc, true, scratch);
    few_amx_weights_run(&p, bx, bdy, acc, false, scratch);
    for (int i = 0; i < 64; i++)
        assert_int_equal((unsigned char)scratch[p.scratch_bytes + (size_t)i], 0xff);
    few_amx_weights_unpack(&p, acc, dw);
    for (int64_t a = 0; a < o; a++)
        for (int64_t b = 0; b < c; b++)
            for (int64_t t = 0; t < taps; t++) {
                double want = 0, size = 0;
                for (int64_t i = 0; i < n; i++)
                    for (int64_t y = 0; y < h; y++)
                        for (int64_t z = 0; z < w; z++) {
                            const int64_t u = y + t / k - k / 2, v = z + t % k - k / 2;
                            if (u < 0 || v < 0 || u >= h || v >= w)
                                continue;
                            const double term = dy[((i * h + y) * w + z) * o + a] *
                                                x[((i * h + u) * w + v) * c + b];
                            want += 2 * term;
                            size += 2 * fabs(term);
                        }
                const double have = (double)dw[(a * c + b) * taps + t];
                /* Products of bf16 are exact in f32; their sum is rounded at every step. */
                if (!(fabs(have - want) <= 1e-6 * size))
                    fail_msg("%lldx%lldx%lld, %lld to %lld, k %d: dw[%lld,%lld,%lld] is %.9g, "
                             "not %.9g",
                             (long long)n, (long long)h, (long long)w, (long long)c, (long long)o,
                             k, (long long)a, (long long)b, (long long)t, have, want);
            }
    few_free(pixel);
    few_free(x);
    few_free(dy);
    few_free(dw);
    few_big_free(bx, (size_t)nx * sizeof *bx + 64);
    few_big_free(bdy, (size_t)ny * sizeof *bdy + 64);
    few_big_free(acc, p.acc_bytes);
    few_big_free(scratch, p.scratch_bytes + 64);
}

static void tiles_agree_with_the_sum(void **state)
{
    (void)state;
    static const int64_t channels[][2] = { { 1, 32 }, { 32, 1 },  { 3, 5 },   { 4, 8 },
                                           { 5, 4 },  { 16, 16 }, { 33, 31 }, { 40, 66 } };
    static const int64_t images[][3] = { { 1, 1, 1 }, { 3, 2, 5 },  { 8, 4, 4 },   { 2, 8, 8 },
                                         { 5, 7, 3 }, { 1, 13, 9 }, { 2, 16, 16 }, { 1, 3, 40 } };
    if (!few_cpu_may_use_amx()) {
        print_message("skipped: no AMX tiles, or not permitted\n");
        skip();
    }
    for (size_t i = 0; i < sizeof images / sizeof *images; i++)
        for (size_t j = 0; j < sizeof channels / sizeof *channels; j++)
            for (int k = 1; k <= 3; k += 2)
                check(images[i][0], images[i][1], images[i][2], channels[j][0], channels[j][1], k);
    check(1, 32, 32, 32, 32, 3);
    check(300, 1, 1, 70, 36, 1); /* a linear layer */
}

/* A plan keeps to the second-level cache when several images would not fit it. */
static void groups_are_bounded(void **state)
{
    (void)state;
    for (int64_t c = 1; c <= 256; c *= 4)
        for (int64_t side = 1; side <= 64; side *= 2) {
            few_amx_weights p = { .n = 64, .h = side, .w = side, .c = c, .o = 64, .k = 3 };
            few_amx_weights_plan(&p);
            assert_true(p.group == 1 || p.scratch_bytes <= 1 << 20);
            assert_true(p.pitch % 64 == 32);
            assert_true(p.tiles * 32 >= p.group * side * side);
        }
}

int main(void)
{
    if (!few_simd_named("avx512")) {
        printf("skipped: this CPU has no AVX-512, and so no AMX tiles\n");
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tiles_agree_with_the_sum),
        cmocka_unit_test(groups_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

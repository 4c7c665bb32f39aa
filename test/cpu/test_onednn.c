/* What plans rely on in oneDNN's primitives: the bits of a row or an image do not depend on how
 * many lie beside it, in f32 and bf16 and on every CPU. */
#include "base/alloc.h"
#include "base/philox.h"
#include "cpu/onednn.h"
#include "cpu/simd.h"

#include <omp.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* n numbers of a type, followed by room to a whole cache line. */
static void *numbers(int64_t n, few_dtype type, uint32_t purpose)
{
    float *f = few_malloc((size_t)n * sizeof *f);
    uint16_t *h = few_malloc((size_t)n * sizeof *h);
    assert_true(f && h);
    for (int64_t i = 0; i < n; i++)
        f[i] = (float)(2 * few_random_uniform(5, purpose, 0, 0, (uint32_t)i) - 1);
    few_simd_get(NULL)->to_bf16(h, f, n);
    few_free(type == FEW_BF16 ? (void *)f : (void *)h);
    return type == FEW_BF16 ? (void *)h : (void *)f;
}

struct layer {
    few_dtype type;
    int64_t in, out, kernel;
    int stride;
    int64_t side; /* of images; 0: rows */
};

/* n rows or images through a fresh primitive; the result is the caller's. */
static char *forward(const struct layer *l, int64_t n, const void *x, const float *w,
                     const float *bias, size_t *bytes)
{
    few_dnn p;
    few_error err = { 0 };
    few_dnn_desc plain = { 0 };
    few_dnn_reorder pack;
    const int64_t side = l->side, small = side / l->stride;
    const bool rows = l->kernel == 1; /* as few_cpu_conv2d has it */
    const few_dnn_conv c = { .n = rows ? 1 : n,
                             .h = rows ? n * side : side,
                             .w = side,
                             .c = l->in,
                             .o = l->out,
                             .kh = l->kernel,
                             .kw = l->kernel,
                             .oh = rows ? n * side : small,
                             .ow = small,
                             .stride = l->stride,
                             .pad0 = (int)(l->kernel / 2),
                             .pad1 = (int)(l->kernel / 2),
                             .bias = true,
                             .type = l->type };
    const few_shape shape =
        side ? FEW_SHAPE(l->out, l->in, l->kernel, l->kernel) : FEW_SHAPE(l->out, l->in);
    *bytes = (size_t)(n * l->out * (side ? small * small : 1)) * (l->type == FEW_BF16 ? 2 : 4);
    if ((side ? few_dnn_conv_make(&p, FEW_DNN_CONV, &c, &err)
              : few_dnn_linear_make(&p, FEW_DNN_LINEAR, l->type, n, l->in, l->out, true, &err)) !=
            FEW_OK ||
        few_dnn_desc_plain(&plain, &shape, &p.weights, &err) != FEW_OK ||
        few_dnn_reorder_make(&pack, &plain, &p.weights, &err) != FEW_OK)
        fail_msg("%s", err.text);
    void *weights = few_malloc(few_dnn_desc_bytes(&p.weights)),
         *scratch = few_malloc(p.scratch_bytes);
    char *y = few_malloc(*bytes);
    assert_true(weights && y && (scratch || !p.scratch_bytes));
    few_dnn_reorder_run(&pack, w, weights);
    few_dnn_run(&p, x, weights, bias, y, scratch);
    few_dnn_reorder_free(&pack);
    few_dnn_desc_free(&plain);
    few_dnn_free(&p);
    few_free(weights);
    few_free(scratch);
    return y;
}

static void check(const struct layer *l, const int64_t *n, int n_n)
{
    const int64_t pixels = l->side ? l->side * l->side : 1;
    void *x = numbers(n[0] * pixels * l->in, l->type, 1);
    float *w = numbers(l->out * l->in * l->kernel * l->kernel, FEW_F32, 2),
          *bias = numbers(l->out, FEW_F32, 3);
    size_t bytes;
    char *all = forward(l, n[0], x, w, bias, &bytes);
    for (int k = 1; k < n_n; k++) {
        char *some = forward(l, n[k], x, w, bias, &bytes);
        if (memcmp(some, all, bytes) != 0)
            fail_msg("%lld to %lld channels, kernel %lld, side %lld, %s: %lld differ from the same "
                     "among %lld",
                     (long long)l->in, (long long)l->out, (long long)l->kernel, (long long)l->side,
                     l->type == FEW_BF16 ? "bf16" : "f32", (long long)n[k], (long long)n[0]);
        few_free(some);
    }
    few_free(all);
    few_free(x);
    few_free(w);
    few_free(bias);
}

static void rows_are_their_own(void **state)
{
    static const int64_t n[] = { 256, 64, 48, 32, 16 }, width[] = { 8, 20, 24, 64, 100, 196, 256 };
    (void)state;
    for (size_t i = 0; i < FEW_COUNT(width); i++)
        for (size_t o = 0; o < FEW_COUNT(width); o++)
            for (int bf = 0; bf < 2; bf++)
                check(&(struct layer){ bf ? FEW_BF16 : FEW_F32, width[i], width[o], 1, 1, 0 }, n,
                      FEW_COUNT(n));
}

static void images_are_their_own(void **state)
{
    static const int64_t n[] = { 8, 3, 2, 1 }, width[] = { 1, 3, 8, 20, 24, 64, 100 },
                         side[] = { 4, 8, 16 };
    (void)state;
    for (size_t i = 0; i < FEW_COUNT(width); i++)
        for (size_t o = 0; o < FEW_COUNT(width); o++)
            for (size_t s = 0; s < FEW_COUNT(side); s++)
                for (int way = 0; way < 6; way++) {
                    const few_dtype type = way % 2 ? FEW_BF16 : FEW_F32;
                    check(&(struct layer){ type, width[i], width[o], way / 2 ? 3 : 1,
                                           way / 2 == 2 ? 2 : 1, side[s] },
                          n, FEW_COUNT(n));
                }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_their_own),
        cmocka_unit_test(images_are_their_own),
    };
    omp_set_num_threads(1); /* as plans make and run them */
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Element-wise ops, sums per sample, types: calls into the vector kernels. */
#include "base/philox.h"
#include "cpu/kernel.h"

static int64_t count(const few_cpu_call *c)
{
    return few_shape_count(c->os[0]);
}

static bool bf(const few_cpu_call *c, int k)
{
    return c->in_type[k] == FEW_BF16;
}

static void run_add(const few_cpu_call *c)
{
    c->simd->add(bf(c, 0), c->out[0], c->in[0], c->in[1], count(c));
}
const few_cpu_kernel few_cpu_add = { .op = "add", .run = run_add };

static void run_affine(const few_cpu_call *c)
{
    c->simd->affine(bf(c, 0), c->out[0], c->in[0], (float)c->node->a.f[0], (float)c->node->a.f[1],
                    count(c));
}
const few_cpu_kernel few_cpu_affine = { .op = "affine", .run = run_affine };

static void run_mul(const few_cpu_call *c)
{
    c->simd->mul(c->out[0], c->in[0], c->in[1], count(c));
}
const few_cpu_kernel few_cpu_mul = { .op = "mul", .run = run_mul };

static void run_div(const few_cpu_call *c)
{
    c->simd->div(c->out[0], c->in[0], c->in[1], count(c));
}
const few_cpu_kernel few_cpu_div = { .op = "div", .run = run_div };

static void run_sqrt(const few_cpu_call *c)
{
    c->simd->sqrt(c->out[0], c->in[0], count(c));
}
const few_cpu_kernel few_cpu_sqrt = { .op = "sqrt", .run = run_sqrt };

static void run_silu(const few_cpu_call *c)
{
    c->simd->silu(bf(c, 0), c->out[0], c->in[0], count(c));
}
const few_cpu_kernel few_cpu_silu = { .op = "silu", .run = run_silu };

static void run_silu_grad(const few_cpu_call *c)
{
    c->simd->silu_grad(bf(c, 0), c->out[0], c->in[0], c->in[1], count(c));
}
const few_cpu_kernel few_cpu_silu_grad = { .op = "silu_grad", .run = run_silu_grad };

static void run_leaky_relu(const few_cpu_call *c)
{
    c->simd->leaky_relu(bf(c, 0), c->out[0], c->in[0], (float)c->node->a.f[0], count(c));
}
const few_cpu_kernel few_cpu_leaky_relu = { .op = "leaky_relu", .run = run_leaky_relu };

static void run_leaky_relu_grad(const few_cpu_call *c)
{
    c->simd->leaky_relu_grad(bf(c, 0), c->out[0], c->in[0], c->in[1], (float)c->node->a.f[0],
                             count(c));
}
const few_cpu_kernel few_cpu_leaky_relu_grad = { .op = "leaky_relu_grad",
                                                 .run = run_leaky_relu_grad };

/* The executor skips casts between equal types. */
static void run_cast(const few_cpu_call *c)
{
    if (bf(c, 0) && c->out_type[0] == FEW_F32)
        c->simd->from_bf16(c->out[0], c->in[0], count(c));
    else if (!bf(c, 0) && c->out_type[0] == FEW_BF16)
        c->simd->to_bf16(c->out[0], c->in[0], count(c));
}
const few_cpu_kernel few_cpu_cast = { .op = "cast", .run = run_cast };

static void run_lincomb(const few_cpu_call *c)
{
    const int terms = c->node->n_in / 2;
    const void *x[4] = { NULL };
    const float *k[4] = { NULL };
    unsigned bits = 0;
    for (int j = 0; j < terms; j++) {
        x[j] = c->in[2 * j];
        k[j] = c->in[2 * j + 1];
        bits |= (unsigned)bf(c, 2 * j) << j;
    }
    const int64_t n = c->os[0]->d[0];
    c->simd->lincomb(c->out[0], c->out_type[0] == FEW_BF16, terms, x, bits, k, n, count(c) / n);
}
const few_cpu_kernel few_cpu_lincomb = { .op = "lincomb", .run = run_lincomb };

static int64_t per_sample(const few_cpu_call *c)
{
    return few_shape_count(c->is[0]) / c->is[0]->d[0];
}

static void run_mean_square(const few_cpu_call *c)
{
    c->simd->mean_square(bf(c, 0), c->out[0], c->in[0], c->is[0]->d[0], per_sample(c));
}
const few_cpu_kernel few_cpu_mean_square = { .op = "mean_square", .run = run_mean_square };

static void run_huber(const few_cpu_call *c)
{
    c->simd->huber_mean(bf(c, 0), c->out[0], c->in[0], (float)c->node->a.f[0], c->is[0]->d[0],
                        per_sample(c));
}
const few_cpu_kernel few_cpu_huber_mean = { .op = "huber_mean", .run = run_huber };

static void run_huber_grad(const few_cpu_call *c)
{
    c->simd->huber_mean_grad(bf(c, 0), c->out[0], c->in[0], c->in[1], (float)c->node->a.f[0],
                             c->is[0]->d[0], per_sample(c));
}
const few_cpu_kernel few_cpu_huber_mean_grad = { .op = "huber_mean_grad", .run = run_huber_grad };

static void run_dequantize(const few_cpu_call *c)
{
    c->simd->dequantize(c->out[0], c->in[0], count(c));
}
const few_cpu_kernel few_cpu_dequantize = { .op = "dequantize", .run = run_dequantize };

static void run_noise(const few_cpu_call *c)
{
    const int64_t n = c->os[0]->d[0];
    c->simd->noise(c->out[0], c->in[0], (uint32_t)c->node->a.i[0], n, count(c) / n);
}
const few_cpu_kernel few_cpu_noise = { .op = "noise", .run = run_noise };

static void run_dropout(const few_cpu_call *c)
{
    c->simd->dropout(bf(c, 0), c->out[0], c->in[0], c->in[1],
                     (uint32_t)(FEW_RNG_DROPOUT + c->node->a.i[0]), (float)c->node->a.f[0],
                     c->is[0]->d[0], per_sample(c));
}
const few_cpu_kernel few_cpu_dropout = { .op = "dropout", .run = run_dropout };

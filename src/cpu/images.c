/* Ops that move channels and pixels: calls into the vector kernels. */
#include "cpu/kernel.h"

static int64_t last(const few_shape *s)
{
    return s->d[s->rank - 1];
}

static void run_concat(const few_cpu_call *c)
{
    const int64_t ca = last(c->is[0]), cb = last(c->is[1]);
    c->simd->concat(c->in_type[0] == FEW_BF16 ? 2 : 4, c->out[0], c->in[0], c->in[1],
                    few_shape_count(c->is[0]) / ca, ca, cb);
}
const few_cpu_kernel few_cpu_concat = { .op = "concat", .run = run_concat };

static void run_slice(const few_cpu_call *c)
{
    const int64_t channels = last(c->is[0]);
    c->simd->slice(c->in_type[0] == FEW_BF16 ? 2 : 4, c->out[0], c->in[0],
                   few_shape_count(c->is[0]) / channels, channels, c->node->a.i[0],
                   c->node->a.i[1]);
}
const few_cpu_kernel few_cpu_slice_channels = { .op = "slice_channels", .run = run_slice };

static void run_upsample2(const few_cpu_call *c)
{
    const few_shape *s = c->is[0];
    c->simd->upsample2(c->in_type[0] == FEW_BF16, c->out[0], c->in[0], (float)c->node->a.f[0],
                       s->d[0], s->d[1], s->d[2], s->d[3]);
}
const few_cpu_kernel few_cpu_upsample2 = { .op = "upsample2", .run = run_upsample2 };

static void run_pool2(const few_cpu_call *c)
{
    const few_shape *s = c->os[0];
    c->simd->pool2(c->in_type[0] == FEW_BF16, c->out[0], c->in[0], (float)c->node->a.f[0], s->d[0],
                   s->d[1], s->d[2], s->d[3]);
}
const few_cpu_kernel few_cpu_pool2 = { .op = "pool2", .run = run_pool2 };

static void run_mean_hw(const few_cpu_call *c)
{
    const few_shape *s = c->is[0];
    c->simd->mean_hw(c->in_type[0] == FEW_BF16, c->out[0], c->in[0], (float)c->node->a.f[0],
                     s->d[0], s->d[1] * s->d[2], s->d[3]);
}
const few_cpu_kernel few_cpu_mean_hw = { .op = "mean_hw", .run = run_mean_hw };

static void run_broadcast_hw(const few_cpu_call *c)
{
    const few_shape *s = c->os[0];
    c->simd->broadcast_hw(c->out_type[0] == FEW_BF16, c->out[0], c->in[0], (float)c->node->a.f[0],
                          s->d[0], s->d[1] * s->d[2], s->d[3]);
}
const few_cpu_kernel few_cpu_broadcast_hw = { .op = "broadcast_hw", .run = run_broadcast_hw };

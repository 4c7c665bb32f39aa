/* group_norm and its gradient. */
#include "base/alloc.h"
#include "cpu/kernel.h"

static few_gn_args args(const few_cpu_call *c)
{
    const few_shape *s = c->is[0];
    const int64_t channels = s->d[s->rank - 1];
    return (few_gn_args){ .n = s->d[0],
                          .hw = few_shape_count(s) / s->d[0] / channels,
                          .c = channels,
                          .groups = (int)c->node->a.i[0],
                          .silu = c->node->a.i[1] != 0,
                          .bf = c->in_type[0] == FEW_BF16,
                          .eps = (float)c->node->a.f[0],
                          .x = c->in[0],
                          .gamma = c->in[1],
                          .beta = c->in[2],
                          .add = c->in[3],
                          .ss = c->in[4] };
}

static few_status prepare(few_cpu_prep *p, few_error *err)
{
    (void)err;
    const few_shape *s = p->call.is[0];
    p->scratch_bytes = (size_t)(s->d[s->rank - 1] * 16 + 64) * sizeof(float);
    return FEW_OK;
}

/* Scratch, and room for a result that nobody reads where only its statistics are. */
static few_status forward_prepare(few_cpu_prep *p, few_error *err)
{
    FEW_TRY(prepare(p, err));
    if (!p->used[0])
        p->scratch_bytes =
            few_up64(p->scratch_bytes) + (size_t)few_shape_count(p->call.is[0]) * sizeof(float);
    return FEW_OK;
}

static void forward(const few_cpu_call *c)
{
    const few_gn_args a = args(c);
    void *unread = (char *)c->scratch + few_up64((size_t)(a.c * 16 + 64) * sizeof(float));
    c->simd->group_norm(&a, c->out[0] ? c->out[0] : unread, c->out[1], c->scratch);
}

static void backward(const few_cpu_call *c)
{
    const few_gn_args a = args(c);
    c->simd->group_norm_grad(&a, c->in[5], c->in[6], c->out[0], c->out[1], c->out[2], c->out[3],
                             c->out[4], c->scratch);
}

const few_cpu_kernel few_cpu_group_norm = { .op = "group_norm",
                                            .prepare = forward_prepare,
                                            .run = forward };
const few_cpu_kernel few_cpu_group_norm_grad = { .op = "group_norm_grad",
                                                 .prepare = prepare,
                                                 .run = backward };

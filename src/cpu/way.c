#include "cpu/way.h"

#include <string.h>

static const few_way *of(const void *state)
{
    return *(const few_way *const *)state;
}

void few_way_run(const few_cpu_call *c)
{
    of(c->state)->run(c);
}

void few_way_finish(const few_cpu_call *c, float *const grad[FEW_MAX_OUT])
{
    of(c->state)->finish(c, grad);
}

void few_way_release(void *state)
{
    of(state)->release(state);
}

void few_way_bias(const few_cpu_call *c, int64_t o, float *acc, float *fresh)
{
    const bool first = !c->acc || c->first;
    float *to = first ? acc : fresh;
    c->simd->column_sum(c->in_type[1] == FEW_BF16, to, c->in[1], few_shape_count(c->is[1]) / o, o);
    if (!first)
        c->simd->accumulate(acc, to, o);
    if (!c->acc)
        memcpy(c->out[1], acc, (size_t)o * sizeof(float));
}

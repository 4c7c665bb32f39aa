#include "cpu/tiles.h"

#include "base/alloc.h"

#include <string.h>

struct tiles {
    const few_way *way;
    few_amx_weights amx;
    size_t fresh, db; /* where an accumulator is in scratch, and db in it; bytes */
    bool bias;
};

static float *at(void *from, size_t bytes)
{
    return (float *)(void *)((char *)from + bytes);
}

static void run(const few_cpu_call *c)
{
    const struct tiles *t = c->state;
    float *fresh = at(c->scratch, t->fresh), *acc = c->acc ? c->acc : fresh;
    few_amx_weights_run(&t->amx, c->in[0], c->in[1], acc, !c->acc || c->first, c->scratch);
    if (t->bias)
        few_way_bias(c, t->amx.o, at(acc, t->db), at(fresh, t->db));
    if (!c->acc && c->out[0]) {
        memset(c->out[0], 0, (size_t)few_shape_count(c->os[0]) * sizeof(float));
        few_amx_weights_unpack(&t->amx, acc, c->out[0]);
    }
}

static void finish(const few_cpu_call *c, float *const grad[FEW_MAX_OUT])
{
    const struct tiles *t = c->state;
    if (grad[0])
        few_amx_weights_unpack(&t->amx, c->acc, grad[0]);
    if (grad[1])
        c->simd->accumulate(grad[1], at(c->acc, t->db), t->amx.o);
}

static void release(void *state)
{
    struct tiles *t = state;
    few_free((void *)(uintptr_t)t->amx.pixel);
    few_free(t);
}

static const few_way way = { run, finish, release };

few_status few_tiles_prepare(few_cpu_prep *p, const few_amx_weights *amx, few_error *err)
{
    struct tiles *t = few_calloc(1, sizeof *t);
    if (!t)
        return few_fail(err, FEW_ENOMEM, "out of memory for a weight gradient");
    t->way = &way;
    t->amx = *amx;
    few_amx_weights_plan(&t->amx);
    int32_t *pixel = few_malloc((size_t)t->amx.tiles * 32 * sizeof *pixel);
    if (!pixel) {
        few_free(t);
        return few_fail(err, FEW_ENOMEM, "out of memory for a weight gradient");
    }
    few_amx_weights_pixels(&t->amx, pixel);
    t->amx.pixel = pixel;
    t->bias = p->used[1];
    t->fresh = few_up64(t->amx.scratch_bytes);
    t->db = few_up64(t->amx.acc_bytes);
    const size_t bytes = t->db + (t->bias ? (size_t)amx->o * sizeof(float) : 0);
    p->state = t;
    p->scratch_bytes = t->fresh + bytes;
    p->acc_bytes = p->may_accumulate ? bytes : 0;
    return FEW_OK;
}

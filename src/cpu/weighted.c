/* Packed weights and accumulated weight gradients.
 *
 * A weight gradient comes out of oneDNN in a blocked layout. The first slice writes it straight
 * into the worker's accumulator, later ones add to it as it is; only once a step is it put into the
 * plain order of the master arena (finish). */
#include "cpu/weighted.h"

#include "base/alloc.h"

#include <string.h>

int few_weighted_pieces(const few_cpu_prep *p, int64_t rows, int64_t pixels)
{
    enum { LEAST = 32 };
    const int n = few_team_size(p->call.team);
    return p->plan->dnn_threads == 1 && rows % n == 0 && rows / n * pixels >= LEAST ? n : 1;
}

static int members(const few_weighted *w)
{
    return w->pieces > 1 ? w->pieces : 1;
}

void few_weighted_release(void *state)
{
    few_weighted *w = state;
    few_dnn_free(&w->prim);
    few_dnn_reorder_free(&w->convert);
    few_free(w);
}

few_status few_weighted_ready(few_cpu_prep *p, few_weighted *w, int k, const few_shape *w_shape,
                              few_error *err)
{
    few_dnn_desc plain = { 0 };
    few_status st = FEW_OK;
    w->plan = p->plan;
    p->state = w;
    FEW_GOTO(few_plan_pack(p->plan, p->call.node->in[k], &w->prim.weights, &w->pack, err));
    p->scratch_bytes = few_up64(w->prim.scratch_bytes) * (size_t)members(w);
    if (w->pack < 0) {
        FEW_GOTO(few_dnn_desc_plain(&plain, w_shape, &w->prim.weights, err));
        FEW_GOTO(few_dnn_reorder_make(&w->convert, &plain, &w->prim.weights, err));
        p->scratch_bytes += few_up64(few_dnn_desc_bytes(&w->prim.weights));
    }
cleanup:
    few_dnn_desc_free(&plain);
    if (st != FEW_OK) {
        few_weighted_release(w);
        p->state = NULL;
    }
    return st;
}

const void *few_weighted_get(const few_weighted *w, const few_cpu_call *c, const void *plain)
{
    if (w->pack >= 0)
        return few_plan_packed(w->plan, w->pack);
    void *to = (char *)c->scratch + few_up64(w->prim.scratch_bytes) * (size_t)members(w);
    few_dnn_reorder_run(&w->convert, plain, to);
    return to;
}

struct share {
    const few_cpu_call *call;
    const void *weights;
};

static void forward_piece(void *user, int piece, int member)
{
    const struct share *s = user;
    const few_cpu_call *c = s->call;
    const few_weighted *w = c->state;
    const int n = members(w);
    const bool bf = c->out_type[0] == FEW_BF16;
    const int64_t bytes = bf ? 2 : 4, in = few_shape_count(c->is[0]) / n,
                  out = few_shape_count(c->os[0]) / n;
    char *y = (char *)c->out[0] + piece * out * bytes;
    few_dnn_run(&w->prim, (const char *)c->in[0] + piece * in * bytes, s->weights, c->in[2], y,
                (char *)c->scratch + (size_t)member * few_up64(w->prim.scratch_bytes));
    if (c->in[3])
        c->simd->add(bf, y, y, (const char *)c->in[3] + piece * out * bytes, out);
}

void few_weighted_forward(const few_cpu_call *c)
{
    const few_weighted *w = c->state;
    struct share s = { c, few_weighted_get(w, c, c->in[1]) };
    few_team_run(c->team, members(w), forward_piece, &s);
}

few_status few_weighted_grad_ready(few_cpu_prep *p, few_weighted *w, const few_shape *w_shape,
                                   int64_t o, few_error *err)
{
    few_dnn_desc plain = { 0 };
    few_status st = FEW_OK;
    w->plan = p->plan;
    w->pack = -1;
    p->state = w;
    w->packed_bytes = few_up64(few_dnn_desc_bytes(&w->prim.weights));
    w->bias_bytes = p->used[1] ? few_up64((size_t)o * sizeof(float)) : 0;
    FEW_GOTO(few_dnn_desc_plain(&plain, w_shape, &w->prim.weights, err));
    FEW_GOTO(few_dnn_reorder_make(&w->convert, &w->prim.weights, &plain, err));
    const size_t plain_bytes = few_up64((size_t)few_shape_count(w_shape) * sizeof(float));
    p->scratch_bytes = few_up64(w->prim.scratch_bytes) + w->packed_bytes + w->bias_bytes;
    if (p->scratch_bytes < plain_bytes)
        p->scratch_bytes = plain_bytes;
    if (p->may_accumulate)
        p->acc_bytes = w->packed_bytes + w->bias_bytes;
cleanup:
    few_dnn_desc_free(&plain);
    if (st != FEW_OK) {
        few_weighted_release(w);
        p->state = NULL;
    }
    return st;
}

static void grad_run(const few_cpu_call *c)
{
    const few_weighted *w = c->state;
    char *fresh = (char *)c->scratch + few_up64(w->prim.scratch_bytes);
    char *dw = c->acc && c->first ? c->acc : fresh;
    char *db = w->bias_bytes ? dw + w->packed_bytes : NULL;
    few_dnn_run(&w->prim, c->in[0], dw, db, c->in[1], c->scratch);
    if (c->acc && !c->first)
        c->simd->accumulate(c->acc, (const float *)(const void *)fresh,
                            (int64_t)((w->packed_bytes + w->bias_bytes) / sizeof(float)));
    if (!c->acc) {
        if (c->out[0])
            few_dnn_reorder_run(&w->convert, dw, c->out[0]);
        if (c->out[1])
            memcpy(c->out[1], db, (size_t)few_shape_count(c->os[1]) * sizeof(float));
    }
}

static void grad_finish(const few_cpu_call *c, float *const grad[FEW_MAX_OUT])
{
    const few_weighted *w = c->state;
    if (grad[0]) {
        few_dnn_reorder_run(&w->convert, c->acc, c->scratch);
        c->simd->accumulate(grad[0], c->scratch, few_shape_count(c->os[0]));
    }
    if (grad[1])
        c->simd->accumulate(grad[1],
                            (const float *)(const void *)((char *)c->acc + w->packed_bytes),
                            few_shape_count(c->os[1]));
}

const few_way few_weighted_grad = { grad_run, grad_finish, few_weighted_release };

/* Packed parameters: each primitive's favourite layout and type, made once per change. */
#include "base/alloc.h"
#include "base/thread.h"
#include "cpu/plan.h"

#include <string.h>

/* Room for one more of parameter tensor `v`; it counts once n_packs does. */
static few_packed *next(few_plan *p, const few_tensor *t, size_t bytes)
{
    if (p->n_packs == p->room_packs) {
        const int room = p->room_packs ? p->room_packs * 2 : 64;
        few_packed *q = few_realloc(p->pack, (size_t)room * sizeof *q);
        if (!q)
            return NULL;
        p->pack = q;
        p->room_packs = room;
    }
    few_packed *k = &p->pack[p->n_packs];
    *k = (few_packed){ .set = t->set, .param = t->param, .bytes = bytes };
    return k;
}

/* Where v is a parameter that another node wished for in the same way: its index. */
static bool find(const few_plan *p, const few_tensor *t, const few_dnn_desc *want, few_fill fill,
                 int *index)
{
    for (int k = 0; k < p->n_packs; k++) {
        const few_packed *q = &p->pack[k];
        if (q->set == t->set && q->param == t->param && q->fill == fill &&
            (fill || few_dnn_desc_equal(&q->reorder.to, want))) {
            *index = k;
            return true;
        }
    }
    return false;
}

static few_status no_memory(few_error *err)
{
    return few_fail(err, FEW_ENOMEM, "out of memory for packed weights");
}

few_status few_plan_pack(few_plan *p, few_val v, const few_dnn_desc *want, int *index,
                         few_error *err)
{
    const few_tensor *t = &p->g->tensors[v];
    *index = -1;
    if (t->source != FEW_FROM_PARAM || find(p, t, want, NULL, index))
        return FEW_OK;
    few_packed *k = next(p, t, few_dnn_desc_bytes(want));
    if (!k)
        return no_memory(err);
    few_dnn_desc plain = { 0 };
    few_status st = few_dnn_desc_plain(&plain, &t->shape, want, err);
    if (st == FEW_OK)
        st = few_dnn_reorder_make(&k->reorder, &plain, want, err);
    few_dnn_desc_free(&plain);
    if (st == FEW_OK)
        *index = p->n_packs++;
    return st;
}

few_status few_plan_pack_by(few_plan *p, few_val v, few_fill fill, size_t bytes, int *index,
                            few_error *err)
{
    const few_tensor *t = &p->g->tensors[v];
    *index = -1;
    if (t->source != FEW_FROM_PARAM || find(p, t, NULL, fill, index))
        return FEW_OK;
    few_packed *k = next(p, t, bytes);
    if (!k)
        return no_memory(err);
    k->fill = fill;
    *index = p->n_packs++;
    return FEW_OK;
}

/* One after the other, so that they lie in huge pages: one image's evaluation streams through all
 * of them, and prefetchers stop at the end of a page. */
few_status few_plan_place_packs(few_plan *p, few_error *err)
{
    enum { APART = 64 };
    p->pack_bytes = 0;
    for (int k = 0; k < p->n_packs; k++)
        p->pack_bytes += (p->pack[k].bytes + APART - 1) / APART * APART;
    p->packed = few_big_alloc(p->pack_bytes);
    if (!p->packed)
        return no_memory(err);
    char *at = p->packed;
    for (int k = 0; k < p->n_packs; k++) {
        p->pack[k].data = at;
        at += (p->pack[k].bytes + APART - 1) / APART * APART;
    }
    return FEW_OK;
}

const void *few_plan_packed(const few_plan *p, int index)
{
    return p->pack[index].data;
}

static void repack_some(void *user, int worker)
{
    few_plan *p = user;
    for (int k = worker; k < p->n_packs; k += p->n_workers) {
        const few_packed *q = &p->pack[k];
        const few_param *param = &p->g->sets[q->set]->v[q->param];
        if (!p->changed[q->set])
            continue;
        const float *plain = p->master[q->set] + param->offset;
        if (q->fill)
            q->fill(p->simd, &param->shape, plain, q->data);
        else
            few_dnn_reorder_run(&q->reorder, plain, q->data);
    }
}

void few_plan_repack(few_plan *p)
{
    bool any = false;
    for (int s = 0; s < FEW_MAX_SETS; s++)
        any |= p->changed[s];
    if (!any)
        return;
    few_run_workers(p->n_workers, repack_some, p);
    memset(p->changed, 0, sizeof p->changed);
}

void few_plan_free_packs(few_plan *p)
{
    for (int k = 0; k < p->n_packs; k++)
        if (!p->pack[k].fill)
            few_dnn_reorder_free(&p->pack[k].reorder);
    few_free(p->pack);
    few_big_free(p->packed, p->pack_bytes);
}

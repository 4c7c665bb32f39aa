/* Packed parameters: each primitive's favourite layout and type, made once per change. */
#include "base/alloc.h"
#include "base/thread.h"
#include "cpu/plan.h"

#include <string.h>

few_status few_plan_pack(few_plan *p, few_val v, const few_dnn_desc *want, int *index,
                         few_error *err)
{
    const few_tensor *t = &p->g->tensors[v];
    *index = -1;
    if (t->source != FEW_FROM_PARAM)
        return FEW_OK;
    for (int k = 0; k < p->n_packs; k++)
        if (p->pack[k].set == t->set && p->pack[k].param == t->param &&
            few_dnn_desc_equal(&p->pack[k].reorder.to, want)) {
            *index = k;
            return FEW_OK;
        }
    if (p->n_packs == p->room_packs) {
        const int room = p->room_packs ? p->room_packs * 2 : 64;
        few_packed *q = few_realloc(p->pack, (size_t)room * sizeof *q);
        if (!q)
            return few_fail(err, FEW_ENOMEM, "out of memory for packed weights");
        p->pack = q;
        p->room_packs = room;
    }
    few_packed *k = &p->pack[p->n_packs];
    few_dnn_desc plain = { 0 };
    *k = (few_packed){ .set = t->set, .param = t->param, .bytes = few_dnn_desc_bytes(want) };
    FEW_TRY(few_dnn_desc_make(&plain, FEW_F32, t->shape.rank, t->shape.d, NULL, false, err));
    const few_status st = few_dnn_reorder_make(&k->reorder, &plain, want, err);
    few_dnn_desc_free(&plain);
    FEW_TRY(st);
    k->data = few_big_alloc(k->bytes);
    if (!k->data) {
        few_dnn_reorder_free(&k->reorder);
        return few_fail(err, FEW_ENOMEM, "out of memory for packed weights");
    }
    *index = p->n_packs++;
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
        if (p->changed[q->set])
            few_dnn_reorder_run(
                &q->reorder, p->master[q->set] + p->g->sets[q->set]->v[q->param].offset, q->data);
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
    for (int k = 0; k < p->n_packs; k++) {
        few_dnn_reorder_free(&p->pack[k].reorder);
        few_big_free(p->pack[k].data, p->pack[k].bytes);
    }
    few_free(p->pack);
}

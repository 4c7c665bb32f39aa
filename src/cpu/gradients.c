/* Gradients of the parameters: added up by each worker over its slices, then by all of them into
 * one array in the layout of the parameters.
 *
 * Nodes that take over accumulation keep their sums in a layout of their own (few_step.acc_bytes).
 * What other nodes give, biases and gains mostly, is added to a worker's plain sums, which have
 * room for those parameters alone: at most one array of all gradients is kept. */
#include "base/alloc.h"
#include "base/thread.h"
#include "cpu/plan.h"

#include <string.h>

/* The parameter whose gradient output j of a step is, or -1. */
static int param_of(const few_plan *p, const few_step *s, int j)
{
    return p->slot[s->node->out[j]].place == FEW_PLACE_NONE
               ? -1
               : p->g->tensors[s->node->out[j]].grad_of;
}

few_status few_plan_place_gradients(few_plan *p, few_error *err)
{
    const few_params *ps = p->g->sets[0];
    if (!p->has_grads)
        return FEW_OK;
    p->grad_bytes = (size_t)ps->count * sizeof(float);
    p->grad = few_big_alloc(p->grad_bytes);
    p->plain_at = few_malloc((size_t)ps->n * sizeof *p->plain_at);
    if (!p->grad || !p->plain_at)
        return few_fail(err, FEW_ENOMEM, "out of memory for the gradients of %lld parameters",
                        (long long)ps->count);
    for (int q = 0; q < ps->n; q++)
        p->plain_at[q] = -1;
    int64_t at = 0;
    for (int k = 0; k < p->n_steps; k++)
        for (int j = 0; j < p->step[k].node->n_out && !p->step[k].acc_bytes; j++) {
            const int q = param_of(p, &p->step[k], j);
            if (q < 0 || p->plain_at[q] >= 0)
                continue;
            p->plain_at[q] = at;
            at += (ps->v[q].count + 15) & ~INT64_C(15);
        }
    p->plain_bytes = (size_t)at * sizeof(float);
    return FEW_OK;
}

void few_plan_free_gradients(few_plan *p)
{
    few_big_free(p->grad, p->grad_bytes);
    few_free(p->plain_at);
}

void few_plan_clear_gradients(few_plan *p, int w)
{
    if (p->has_grads)
        memset(p->worker[w].plain, 0, p->plain_bytes);
    p->worker[w].first = true;
}

void few_plan_accumulate(few_plan *p, const few_step *s, int w)
{
    if (!p->has_grads || s->acc_bytes)
        return;
    for (int j = 0; j < s->node->n_out; j++) {
        const int q = param_of(p, s, j);
        if (q >= 0)
            p->simd->accumulate(p->worker[w].plain + p->plain_at[q],
                                few_plan_address(p, s->node->out[j], w), p->g->sets[0]->v[q].count);
    }
}

/* ---- from all workers -----------------------------------------------------------------------*/

static void fold_plain(void *user, int thread)
{
    few_plan *p = user;
    for (int q = thread; q < p->g->sets[0]->n; q += p->n_workers) {
        const few_param *param = &p->g->sets[0]->v[q];
        float *to = p->grad + param->offset;
        memset(to, 0, (size_t)param->count * sizeof(float));
        for (int w = 0; w < p->n_workers && p->plain_at[q] >= 0; w++)
            p->simd->accumulate(to, p->worker[w].plain + p->plain_at[q], param->count);
    }
}

/* A parameter's gradient is one tensor, so it belongs to one step, and a step to one thread. */
static void fold_kept(void *user, int thread)
{
    few_plan *p = user;
    for (int k = 0, kept = 0; k < p->n_steps; k++) {
        const few_step *s = &p->step[k];
        float *grad[FEW_MAX_OUT] = { NULL };
        if (!s->acc_bytes || kept++ % p->n_workers != thread)
            continue;
        for (int j = 0; j < s->node->n_out; j++) {
            const int q = param_of(p, s, j);
            grad[j] = q < 0 ? NULL : p->grad + p->g->sets[0]->v[q].offset;
        }
        for (int w = 0; w < p->n_workers; w++) {
            few_cpu_call call = s->call[w];
            call.scratch = p->worker[thread].scratch;
            if (!p->worker[w].first)
                s->kernel->finish(&call, grad);
        }
    }
}

void few_plan_fold_gradients(few_plan *p)
{
    if (p->folded)
        return;
    few_run_workers(p->n_workers, fold_plain, p);
    few_run_workers(p->n_workers, fold_kept, p);
    p->folded = true;
}

few_status few_cpu_gradients(few_plan *p, float *grad, few_error *err)
{
    if (!p->has_grads)
        return few_fail(err, FEW_EINVAL, "the graph has no gradients");
    few_plan_fold_gradients(p);
    memcpy(grad, p->grad, p->grad_bytes);
    return FEW_OK;
}

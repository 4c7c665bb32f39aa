/* From a graph to a CPU plan: choose kernels, lay out memory, prepare primitives, compute
 * constants. */
#include "base/alloc.h"
#include "base/thread.h"
#include "cpu/plan.h"
#include "cpu/run.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

#define X(name) &few_cpu_##name,
static const few_cpu_kernel *const kernels[] = {
#include "cpu/list.def"
};
#undef X

const few_cpu_kernel *few_cpu_find(const few_op *op)
{
    static int by_reference = -1;
    if (by_reference < 0) {
        const char *e = getenv("FEW_REF");
        by_reference = e && *e && strcmp(e, "0") != 0;
    }
    for (size_t k = 0; !by_reference && k < FEW_COUNT(kernels); k++)
        if (!strcmp(kernels[k]->op, op->name))
            return kernels[k];
    return NULL;
}

/* The slice is dim 0 of every input that is not shared. */
static few_status find_slice(few_plan *p, few_error *err)
{
    const few_graph *g = p->g;
    p->slice = 0;
    for (int v = 0; v < g->n_tensors; v++) {
        const few_tensor *t = &g->tensors[v];
        if (t->output && (t->source == FEW_FROM_PARAM || t->dtype == FEW_I32 || t->dtype == FEW_U8))
            return few_fail(err, FEW_EINVAL, "output '%s' must be computed and f32", t->name);
        if (t->source != FEW_FROM_INPUT)
            continue;
        if (t->dtype == FEW_ACT || t->dtype == FEW_BF16)
            return few_fail(err, FEW_EINVAL, "input '%s' must be f32, i32 or u8", t->name);
        if (t->shared)
            continue;
        if (t->shape.rank < 1 || (p->slice && t->shape.d[0] != p->slice))
            return few_fail(err, FEW_EINVAL, "input '%s' has another batch than the others",
                            t->name);
        p->slice = t->shape.d[0];
    }
    if (!p->slice)
        p->slice = 1;
    return FEW_OK;
}

/* A parameter by another name is no output, either. */
static few_status check_outputs(const few_plan *p, few_error *err)
{
    for (int v = 0; v < p->g->n_tensors; v++)
        if (p->g->tensors[v].output && p->slot[v].place == FEW_PLACE_PARAM)
            return few_fail(err, FEW_EINVAL, "output '%s' must be computed and f32",
                            p->g->tensors[v].name);
    return FEW_OK;
}

static few_status list_steps(few_plan *p, const uint8_t *mark, few_error *err)
{
    const few_graph *g = p->g;
    p->step = few_calloc((size_t)g->n_nodes + 1, sizeof *p->step);
    if (!p->step)
        return few_fail(err, FEW_ENOMEM, "out of memory while planning");
    for (int k = 0; k < g->n_nodes; k++)
        if (mark[k]) {
            few_step *s = &p->step[p->n_steps++];
            s->node = &g->nodes[k];
            s->kernel = few_cpu_find(s->node->op);
        }
    return FEW_OK;
}

/* Do all used outputs of a node serve as gradients and nothing else? */
static bool only_gradients(const few_plan *p, const few_node *n)
{
    bool any = false;
    for (int j = 0; j < n->n_out; j++) {
        const few_slot *s = &p->slot[n->out[j]];
        if (s->place == FEW_PLACE_NONE)
            continue;
        if (p->g->tensors[n->out[j]].grad_of < 0 || s->last >= 0 || s->root != n->out[j])
            return false;
        any = true;
    }
    return any;
}

static size_t reference_scratch(const few_call_sizes *c)
{
    size_t n = 0;
    for (int j = 0; j < FEW_MAX_IN; j++)
        n += c->in[j];
    for (int j = 0; j < FEW_MAX_OUT; j++)
        n += c->out[j];
    return n * sizeof(double);
}

static few_status prepare_step(few_plan *p, few_step *s, few_error *err)
{
    const few_node *n = s->node;
    few_cpu_prep prep = { .plan = p };
    few_call_sizes size = { 0 };
    few_cpu_call *c = &prep.call;
    c->node = n;
    c->simd = p->simd;
    c->team = p->team;
    for (int j = 0; j < n->n_in; j++)
        if (n->in[j] != FEW_NONE) {
            c->is[j] = &p->g->tensors[n->in[j]].shape;
            c->in_type[j] = p->slot[n->in[j]].type;
            size.in[j] = (size_t)few_shape_count(c->is[j]);
            p->bytes_moved += (double)p->slot[n->in[j]].bytes;
        }
    for (int j = 0; j < n->n_out; j++) {
        c->os[j] = &p->g->tensors[n->out[j]].shape;
        c->out_type[j] = p->slot[n->out[j]].type;
        prep.used[j] = p->slot[n->out[j]].place != FEW_PLACE_NONE;
        size.out[j] = (size_t)few_shape_count(c->os[j]);
        if (prep.used[j])
            p->bytes_moved += (double)p->slot[n->out[j]].bytes;
    }
    prep.may_accumulate = !s->once && only_gradients(p, n);
    if (!s->kernel)
        prep.scratch_bytes = reference_scratch(&size);
    else if (s->kernel->prepare && s->kernel->prepare(&prep, err) != FEW_OK)
        return few_fail_in(err, "%s (op '%s')", n->label, n->op->name);
    s->state = prep.state;
    s->acc_bytes = few_up64(prep.acc_bytes);
    s->acc_offset = p->acc_bytes;
    p->acc_bytes += s->acc_bytes;
    if (prep.scratch_bytes > p->scratch_bytes)
        p->scratch_bytes = prep.scratch_bytes;
    s->call = few_calloc((size_t)p->n_workers, sizeof *s->call);
    if (!s->call)
        return few_fail(err, FEW_ENOMEM, "out of memory while planning");
    for (int w = 0; w < p->n_workers; w++)
        s->call[w] = prep.call;
    return FEW_OK;
}

static few_status make_workers(few_plan *p, few_error *err)
{
    for (int v = 0; v < p->g->n_tensors; v++)
        if (p->g->tensors[v].source == FEW_FROM_INPUT && !p->g->tensors[v].shared)
            p->pad_bytes += few_up64(p->slot[v].bytes);
    p->fixed = few_big_alloc(p->fixed_bytes);
    bool ok = p->fixed != NULL;
    for (int w = 0; w < p->n_workers && ok; w++) {
        few_worker *k = &p->worker[w];
        k->arena = few_big_alloc(p->arena_bytes);
        k->scratch = few_big_alloc(p->scratch_bytes + 64);
        k->acc = few_big_alloc(p->acc_bytes);
        k->plain = few_big_alloc(p->plain_bytes);
        k->pad_in = few_big_alloc(p->pad_bytes);
        ok = k->arena && k->scratch && k->acc && k->plain && k->pad_in;
    }
    if (!ok)
        return few_fail(
            err, FEW_ENOMEM,
            "out of memory: the plan wants %.1f MB for each of %d workers; use a smaller "
            "slice or fewer threads",
            (double)(p->arena_bytes + p->acc_bytes + p->plain_bytes) / 1e6, p->n_workers);
    return FEW_OK;
}

/* Pointers that never change: arena, fixed, scratch, accumulators. */
static void set_pointers(few_plan *p)
{
    for (int k = 0; k < p->n_steps; k++) {
        few_step *s = &p->step[k];
        for (int w = 0; w < p->n_workers; w++) {
            few_cpu_call *c = &s->call[w];
            c->state = s->state;
            c->scratch = p->worker[w].scratch;
            c->acc = s->acc_bytes ? p->worker[w].acc + s->acc_offset : NULL;
            for (int j = 0; j < s->node->n_in; j++)
                if (s->node->in[j] != FEW_NONE)
                    c->in[j] = few_plan_address(p, s->node->in[j], w);
            for (int j = 0; j < s->node->n_out; j++)
                c->out[j] = few_plan_address(p, s->node->out[j], w);
        }
    }
}

static void run_constants(few_plan *p)
{
    for (int v = 0; v < p->g->n_tensors; v++)
        if (p->g->tensors[v].source == FEW_FROM_CONST)
            memcpy(p->fixed + p->slot[v].offset, p->g->tensors[v].value, p->slot[v].bytes);
    for (int k = 0; k < p->n_steps; k++)
        if (p->step[k].once && !p->step[k].skip)
            few_step_run(&p->step[k], 0);
}

void few_cpu_release(few_plan *p)
{
    if (!p)
        return;
    if (p->trace)
        few_plan_write_trace(p);
    for (int k = 0; k < p->n_steps; k++) {
        if (p->step[k].state && p->step[k].kernel->release)
            p->step[k].kernel->release(p->step[k].state);
        few_free(p->step[k].call);
    }
    few_team_free(p->team);
    few_plan_free_packs(p);
    few_plan_free_gradients(p);
    for (int w = 0; p->worker && w < p->n_workers; w++) {
        few_worker *k = &p->worker[w];
        few_big_free(k->arena, p->arena_bytes);
        few_big_free(k->scratch, p->scratch_bytes + 64);
        few_big_free(k->acc, p->acc_bytes);
        few_big_free(k->plain, p->plain_bytes);
        few_big_free(k->pad_in, p->pad_bytes);
    }
    few_big_free(p->fixed, p->fixed_bytes);
    few_free(p->worker);
    few_free(p->step);
    few_free(p->slot);
    few_free(p->bound);
    few_free(p);
}

few_status few_cpu_compile(const few_graph *g, const few_plan_options *o, few_plan **out,
                           few_error *err)
{
    FEW_TRY(few_graph_status(g, err));
    few_status st = FEW_OK;
    const int threads = omp_get_max_threads();
    uint8_t *mark = few_calloc((size_t)g->n_nodes + 1, 1);
    few_plan *p = few_calloc(1, sizeof *p);
    if (!mark || !p) {
        st = few_fail(err, FEW_ENOMEM, "out of memory while planning");
        goto cleanup;
    }
    p->g = g;
    p->precision = few_cpu_resolve(o->precision, NULL);
    p->simd = few_simd_get(NULL);
    const char *trace = getenv("FEW_TRACE");
    p->trace = trace && *trace ? trace : NULL;
    p->n_workers = o->workers > 0 ? o->workers : few_thread_count();
    p->dnn_threads = 1;
    if (p->n_workers == 1 && o->team > 1) {
        FEW_GOTO(few_team_create(&p->team, o->team, err));
        if (p->precision == FEW_PRECISION_BF16 && few_cpu_may_use_amx())
            p->dnn_threads = o->team;
    }
    p->worker = few_calloc((size_t)p->n_workers, sizeof *p->worker);
    p->slot = few_calloc((size_t)g->n_tensors + 1, sizeof *p->slot);
    p->bound = few_calloc((size_t)g->n_tensors + 1, sizeof *p->bound);
    if (!p->worker || !p->slot || !p->bound) {
        st = few_fail(err, FEW_ENOMEM, "out of memory while planning");
        goto cleanup;
    }
    for (int v = 0; v < g->n_tensors; v++)
        p->has_grads |= g->tensors[v].grad_of >= 0;
    omp_set_num_threads(p->dnn_threads); /* oneDNN's primitives are made for as many */
    few_graph_reachable(g, mark);
    FEW_GOTO(find_slice(p, err));
    FEW_GOTO(list_steps(p, mark, err));
    FEW_GOTO(few_plan_layout(p, mark, err));
    FEW_GOTO(check_outputs(p, err));
    for (int k = 0; k < p->n_steps; k++)
        if (!p->step[k].skip)
            FEW_GOTO(prepare_step(p, &p->step[k], err));
    for (int k = 0; k < p->n_steps; k++)
        if (p->step[k].skip) {
            p->step[k].call = few_calloc((size_t)p->n_workers, sizeof(few_cpu_call));
            if (!p->step[k].call) {
                st = few_fail(err, FEW_ENOMEM, "out of memory while planning");
                goto cleanup;
            }
        }
    FEW_GOTO(few_plan_place_packs(p, err));
    FEW_GOTO(few_plan_place_gradients(p, err));
    FEW_GOTO(make_workers(p, err));
    set_pointers(p);
    p->flops = few_graph_flops(g);
    run_constants(p);
cleanup:
    omp_set_num_threads(threads);
    few_free(mark);
    if (st != FEW_OK)
        few_cpu_release(p);
    else
        *out = p;
    return st;
}

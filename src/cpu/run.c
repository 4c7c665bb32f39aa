/* Running a plan: bind, slices over workers, gradients added up, outputs copied out.
 *
 * Slice i goes to worker i mod n, always, so the same number of threads gives the same bits. */
#include "cpu/run.h"
#include "base/alloc.h"
#include "base/thread.h"
#include "cpu/plan.h"

#include <omp.h>
#include <string.h>

/* ---- one node -------------------------------------------------------------------------------*/

static void load(double *dst, const void *src, few_dtype t, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        switch (t) {
        case FEW_BF16: {
            const uint32_t u = (uint32_t)((const uint16_t *)src)[i] << 16;
            float f;
            memcpy(&f, &u, 4);
            dst[i] = (double)f;
            break;
        }
        case FEW_I32:
            dst[i] = ((const int32_t *)src)[i];
            break;
        case FEW_U8:
            dst[i] = ((const uint8_t *)src)[i];
            break;
        default:
            dst[i] = (double)((const float *)src)[i];
        }
}

static void store(void *dst, const double *src, few_dtype t, int64_t n, const few_simd *simd)
{
    for (int64_t i = 0; i < n; i++)
        if (t == FEW_BF16) {
            const float f = (float)src[i];
            simd->to_bf16((uint16_t *)dst + i, &f, 1);
        } else if (t == FEW_I32) {
            ((int32_t *)dst)[i] = (int32_t)src[i];
        } else if (t == FEW_U8) {
            ((uint8_t *)dst)[i] = (uint8_t)src[i];
        } else {
            ((float *)dst)[i] = (float)src[i];
        }
}

/* An op without a kernel: through its reference, in double. */
static void run_reference(const few_cpu_call *c)
{
    const few_node *n = c->node;
    few_ref_call r = { .node = n };
    double *at = c->scratch;
    for (int j = 0; j < n->n_in; j++)
        if (c->in[j]) {
            const int64_t count = few_shape_count(c->is[j]);
            load(at, c->in[j], c->in_type[j], count);
            r.in[j] = at;
            r.is[j] = c->is[j];
            at += count;
        }
    for (int j = 0; j < n->n_out; j++) {
        r.out[j] = at;
        r.os[j] = c->os[j];
        at += few_shape_count(c->os[j]);
    }
    n->op->reference(&r);
    for (int j = 0; j < n->n_out; j++)
        if (c->out[j])
            store(c->out[j], r.out[j], c->out_type[j], few_shape_count(c->os[j]), c->simd);
}

void few_step_run(const few_step *s, int w)
{
    if (s->kernel)
        s->kernel->run(&s->call[w]);
    else
        run_reference(&s->call[w]);
}

/* ---- slices ---------------------------------------------------------------------------------*/

struct job {
    few_plan *p;
    int64_t batch, slices;
};

/* Input bytes of this slice; a partial last slice is copied and filled with zeros. */
static const char *input_at(few_plan *p, few_val v, int64_t slice, int64_t rows, char **pad)
{
    const few_slot *s = &p->slot[v];
    const char *base = p->bound[v];
    if (p->g->tensors[v].shared)
        return base;
    const char *at = base + (size_t)slice * s->bytes;
    if (rows == p->slice)
        return at;
    char *copy = *pad;
    *pad += few_up64(s->bytes);
    memset(copy, 0, s->bytes);
    memcpy(copy, at, s->bytes / (size_t)p->slice * (size_t)rows);
    return copy;
}

static void set_inputs(few_plan *p, int w, int64_t slice, int64_t rows)
{
    char *pad = p->worker[w].pad_in;
    for (int v = 0; v < p->g->n_tensors; v++) {
        if (p->g->tensors[v].source != FEW_FROM_INPUT || !p->bound[v])
            continue;
        const char *at = input_at(p, v, slice, rows, &pad);
        for (int k = 0; k < p->n_steps; k++) { /* every reader, aliases included */
            const few_node *n = p->step[k].node;
            for (int j = 0; j < n->n_in; j++)
                if (n->in[j] != FEW_NONE && p->slot[n->in[j]].root == v)
                    p->step[k].call[w].in[j] = at;
        }
    }
}

static void copy_outputs(few_plan *p, int w, int64_t slice, int64_t rows)
{
    for (int v = 0; v < p->g->n_tensors; v++) {
        if (!p->g->tensors[v].output || !p->bound[v])
            continue;
        const void *from = few_plan_address(p, v, w);
        const int64_t count = few_shape_count(&p->g->tensors[v].shape), row = count / p->slice;
        if (p->slot[v].place == FEW_PLACE_INPUT) /* an input by another name */
            from = (const float *)p->bound[p->slot[v].root] +
                   (p->g->tensors[p->slot[v].root].shared ? 0 : slice * count);
        float *to = (float *)p->bound[v] + slice * count;
        if (p->slot[v].type == FEW_BF16)
            p->simd->from_bf16(to, from, row * rows);
        else if (from)
            memcpy(to, from, (size_t)(row * rows) * sizeof(float));
    }
}

static void run_slices(void *user, int w)
{
    const struct job *job = user;
    few_plan *p = job->p;
    const int threads = omp_get_max_threads();
    omp_set_num_threads(p->dnn_threads);
    few_plan_clear_gradients(p, w);
    for (int64_t i = w; i < job->slices; i += p->n_workers) {
        const int64_t left = job->batch - i * p->slice, rows = left < p->slice ? left : p->slice;
        set_inputs(p, w, i, rows);
        for (int k = 0; k < p->n_steps; k++) {
            few_step *s = &p->step[k];
            const double start = p->trace && w == 0 ? few_now() : 0;
            if (!s->skip && !s->once) {
                s->call[w].first = p->worker[w].first;
                few_step_run(s, w);
            }
            few_plan_accumulate(p, s, w); /* aliases and constants may be gradients, too */
            if (p->trace && w == 0)
                s->seconds += few_now() - start;
        }
        if (w == 0)
            p->traced++;
        copy_outputs(p, w, i, rows);
        p->worker[w].first = false;
    }
    omp_set_num_threads(threads);
}

/* oneDNN's threads in the only worker's primitives must flush denormals, too. The caller's own
 * thread is the worker, whose state few_run_workers puts back as it was. */
static void run_with_dnn_threads(struct job *job)
{
    const int n = job->p->dnn_threads;
#pragma omp parallel num_threads(n)
    if (omp_get_thread_num() > 0)
        few_flush_denormals();
    few_run_workers(1, run_slices, job);
#pragma omp parallel num_threads(n)
    if (omp_get_thread_num() > 0)
        few_keep_denormals();
}

static few_status cpu_run(few_plan *p, int64_t batch, few_error *err)
{
    if (batch < 1)
        return few_fail(err, FEW_EINVAL, "batch %lld is not positive", (long long)batch);
    if (p->has_grads && batch % p->slice)
        return few_fail(err, FEW_EINVAL, "batch %lld is no multiple of the slice %lld",
                        (long long)batch, (long long)p->slice);
    for (int v = 0; v < p->g->n_tensors; v++) {
        const few_tensor *t = &p->g->tensors[v];
        if (t->source == FEW_FROM_INPUT && p->slot[v].last >= 0 && !p->bound[v])
            return few_fail(err, FEW_EINVAL, "input '%s' is not bound", t->name);
        if (t->source == FEW_FROM_PARAM && !p->master[t->set])
            return few_fail(err, FEW_EINVAL, "parameter set %d has no values", t->set);
    }
    few_plan_repack(p);
    p->folded = false;
    struct job job = { p, batch, (batch + p->slice - 1) / p->slice };
    const int failures = few_dnn_failures();
    if (p->dnn_threads > 1)
        run_with_dnn_threads(&job);
    else
        few_run_workers(p->n_workers, run_slices, &job);
    return few_dnn_failures() == failures
               ? FEW_OK
               : few_fail(err, FEW_ENOMEM, "oneDNN could not compute: out of memory?");
}

/* ---- binding --------------------------------------------------------------------------------*/

static few_status cpu_params(few_plan *p, int set, const float *master, few_error *err)
{
    if (set < 0 || set >= FEW_MAX_SETS || !p->g->sets[set])
        return few_fail(err, FEW_EINVAL, "the graph has no parameter set %d", set);
    p->master[set] = master;
    p->changed[set] = true;
    for (int k = 0; k < p->n_steps; k++) {
        const few_node *n = p->step[k].node;
        for (int j = 0; j < n->n_in; j++) {
            if (n->in[j] == FEW_NONE)
                continue;
            const few_slot *s = &p->slot[n->in[j]];
            if (s->place == FEW_PLACE_PARAM && p->g->tensors[s->root].set == set)
                for (int w = 0; w < p->n_workers; w++)
                    p->step[k].call[w].in[j] = (const char *)master + s->offset;
        }
    }
    return FEW_OK;
}

static few_status cpu_bind(few_plan *p, const char *name, void *data, few_error *err)
{
    for (int v = 0; v < p->g->n_tensors; v++)
        if (p->g->tensors[v].name && !strcmp(p->g->tensors[v].name, name)) {
            p->bound[v] = data;
            return FEW_OK;
        }
    return few_fail(err, FEW_EINVAL, "the graph has no input or output '%s'", name);
}

/* ---- as a backend ----------------------------------------------------------------------------*/

static void cpu_report(const few_plan *p, few_plan_report *r)
{
    *r = (few_plan_report){ .precision = p->precision,
                            .workers = p->n_workers,
                            .slice = p->slice,
                            .nodes = p->n_steps,
                            .flops = p->flops,
                            .bytes_moved = p->bytes_moved,
                            .arena_bytes = (int64_t)p->arena_bytes,
                            .scratch_bytes = (int64_t)p->scratch_bytes };
    const few_params *ps = p->g->sets[0];
    for (int k = 0; ps && k < ps->n; k++)
        r->params += ps->v[k].count;
    r->weight_bytes =
        (int64_t)(p->acc_bytes + p->plain_bytes) * p->n_workers + (int64_t)p->grad_bytes;
    for (int k = 0; k < p->n_packs; k++)
        r->weight_bytes += (int64_t)p->pack[k].bytes;
}

const few_backend few_backend_cpu = {
    .name = "cpu",
    .help = "oneDNN and our own vector kernels, one slice of the batch a core",
    .compile = few_cpu_compile,
    .release = few_cpu_release,
    .params = cpu_params,
    .bind = cpu_bind,
    .run = cpu_run,
    .gradients = few_cpu_gradients,
    .update = few_cpu_update,
    .report = cpu_report,
    .roofline = few_cpu_roofline,
};

/* The optimiser: gradient norm, then clipping, Adam or RAdam and every average in one pass over
 * the arenas, in chunks dealt to the workers.
 *
 * Adam: Kingma and Ba, arXiv:1412.6980. RAdam: Liu et al., arXiv:1908.03265: with
 * rho_inf = 2/(1-b2) - 1 and rho_t = rho_inf - 2 t b2^t/(1-b2^t), the adaptive step is used from
 * rho_t > 5 on, times r_t; before that, plain momentum. */
#include "base/thread.h"
#include "cpu/plan.h"

#include <math.h>

enum { CHUNK = 1 << 14, MAX_WORKERS = 256 };

struct job {
    few_plan *p;
    const few_update *u;
    few_adam_args args;
    int64_t count;
    double square[MAX_WORKERS];
};

static int64_t chunk_length(const struct job *j, int64_t c)
{
    const int64_t left = j->count - c * CHUNK;
    return left < CHUNK ? left : CHUNK;
}

static void add_squares(void *user, int w)
{
    struct job *j = user;
    double sum = 0;
    for (int64_t c = w; c * CHUNK < j->count; c += j->p->n_workers)
        sum += j->p->simd->grad_square(j->p->grad + c * CHUNK, chunk_length(j, c));
    j->square[w] = sum;
}

/* The first run of trained elements in [at, end): its start, and its end in *stop. */
static int64_t trained(const few_params *ps, int64_t at, int64_t end, int64_t *stop)
{
    *stop = end;
    for (int k = 0; k < ps->n; k++) {
        const few_param *q = &ps->v[k];
        const int64_t past = q->offset + ((q->count + 15) & ~INT64_C(15));
        if (!q->frozen || past <= at || q->offset >= *stop)
            continue;
        if (q->offset > at)
            *stop = q->offset;
        else
            at = past;
    }
    return at;
}

static void step_chunks(void *user, int w)
{
    struct job *j = user;
    for (int64_t c = w; c * CHUNK < j->count; c += j->p->n_workers) {
        const int64_t end = c * CHUNK + chunk_length(j, c);
        for (int64_t from = c * CHUNK, at, stop; from < end; from = stop) {
            float *ema[FEW_MAX_EMA];
            few_adam_args a = j->args;
            at = trained(j->p->g->sets[0], from, end, &stop);
            if (at >= stop)
                break;
            for (int k = 0; k < a.n_ema; k++)
                ema[k] = j->u->ema[k] + at;
            a.n = stop - at;
            a.p = j->u->master + at;
            a.m = j->u->m + at;
            a.v = j->u->v + at;
            a.grad = j->p->grad + at;
            a.ema = ema;
            j->p->simd->adam(&a);
        }
    }
}

few_status few_cpu_update(few_plan *p, few_update *u, few_error *err)
{
    if (!p->has_grads)
        return few_fail(err, FEW_EINVAL, "the graph has no gradients");
    if (p->n_workers > MAX_WORKERS || u->step < 1 || u->n_ema > FEW_MAX_EMA)
        return few_fail(err, FEW_EINVAL, "update: too many workers or averages, or no step number");
    few_plan_fold_gradients(p);
    struct job j = { .p = p, .u = u, .count = p->g->sets[0]->count };
    few_run_workers(p->n_workers, add_squares, &j);
    double square = 0;
    for (int w = 0; w < p->n_workers; w++)
        square += j.square[w];
    u->grad_norm = sqrt(square);
    if (!isfinite(u->grad_norm))
        return FEW_OK;

    const double t = (double)u->step, b2t = pow(u->beta2, t);
    const double rho_inf = 2 / (1 - u->beta2) - 1, rho = rho_inf - 2 * t * b2t / (1 - b2t);
    const double rectify =
        sqrt((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho));
    float decay[FEW_MAX_EMA];
    for (int k = 0; k < u->n_ema; k++)
        decay[k] = (float)u->ema_decay[k];
    j.args = (few_adam_args){
        .grad_scale = (float)(u->clip > 0 && u->grad_norm > u->clip ? u->clip / u->grad_norm : 1),
        .lr = (float)u->lr,
        .beta1 = (float)u->beta1,
        .beta2 = (float)u->beta2,
        .eps = (float)u->eps,
        .weight_decay = (float)u->weight_decay,
        .correct1 = (float)(1 / (1 - pow(u->beta1, t))),
        .correct2 = (float)(1 / (1 - b2t)),
        .rectify = (float)(!u->radam ? 1
                           : rho > 5 ? rectify
                                     : 0),
        .n_ema = u->n_ema,
        .ema_decay = decay,
    };
    few_run_workers(p->n_workers, step_chunks, &j);
    p->changed[0] = true;
    return FEW_OK;
}

/* linear and its gradients, by our own kernel where there is a row an image, else through oneDNN's
 * inner product, over [rows, features]. */
#include "base/alloc.h"
#include "cpu/rows.h"
#include "cpu/tiles.h"
#include "cpu/weighted.h"

static int64_t rows_of(const few_shape *x)
{
    return few_shape_count(x) / x->d[x->rank - 1];
}

static few_status make(few_weighted **out, few_dnn_kind kind, few_dtype type, int64_t rows,
                       const few_shape *w_shape, bool bias, few_error *err)
{
    const int64_t i = w_shape->d[1], o = w_shape->d[0];
    few_weighted *w = few_calloc(1, sizeof *w);
    if (!w)
        return few_fail(err, FEW_ENOMEM, "out of memory for a linear layer");
    const few_status st = few_dnn_linear_make(&w->prim, kind, type, rows, i, o, bias, err);
    if (st != FEW_OK)
        few_free(w);
    else
        *out = w;
    return st;
}

static const few_way forward_by_onednn = { few_weighted_forward, NULL, few_weighted_release };

static few_status linear_prepare(few_cpu_prep *p, few_error *err)
{
    const few_cpu_call *c = &p->call;
    few_weighted *w = NULL;
    if (few_rows_fits(c))
        return few_rows_prepare(p, err);
    const int64_t rows = rows_of(c->is[0]);
    const int pieces = few_weighted_pieces(p, rows, 1);
    FEW_TRY(
        make(&w, FEW_DNN_LINEAR, c->in_type[0], rows / pieces, c->is[1], c->is[2] != NULL, err));
    w->pieces = pieces;
    w->way = &forward_by_onednn;
    return few_weighted_ready(p, w, 1, c->is[1], err);
}

static few_status data_prepare(few_cpu_prep *p, few_error *err)
{
    const few_cpu_call *c = &p->call;
    few_weighted *w = NULL;
    FEW_TRY(make(&w, FEW_DNN_LINEAR_DATA, c->in_type[0], rows_of(c->is[0]), c->is[1], false, err));
    return few_weighted_ready(p, w, 1, c->is[1], err);
}

static void data_run(const few_cpu_call *c)
{
    const few_weighted *w = c->state;
    few_dnn_run(&w->prim, c->out[0], few_weighted_get(w, c, c->in[1]), NULL, c->in[0], c->scratch);
}

static few_status weights_prepare(few_cpu_prep *p, few_error *err)
{
    const few_cpu_call *c = &p->call;
    few_weighted *w = NULL;
    const int64_t i = c->os[0]->d[1], o = c->os[0]->d[0];
    const int64_t rows = rows_of(c->is[0]);
    if (c->in_type[0] == FEW_BF16 && c->in_type[1] == FEW_BF16 && rows >= 32 &&
        few_cpu_may_use_amx())
        return few_tiles_prepare(
            p, &(few_amx_weights){ .n = rows, .h = 1, .w = 1, .c = i, .o = o, .k = 1 }, err);
    FEW_TRY(make(&w, FEW_DNN_LINEAR_WEIGHTS, c->in_type[0], rows, c->os[0], p->used[1], err));
    w->way = &few_weighted_grad;
    return few_weighted_grad_ready(p, w, c->os[0], c->os[0]->d[0], err);
}

const few_cpu_kernel few_cpu_linear = {
    .op = "linear", .prepare = linear_prepare, .run = few_way_run, .release = few_way_release
};
const few_cpu_kernel few_cpu_linear_grad_input = { .op = "linear_grad_input",
                                                   .prepare = data_prepare,
                                                   .run = data_run,
                                                   .release = few_weighted_release };
const few_cpu_kernel few_cpu_linear_grad_weights = { .op = "linear_grad_weights",
                                                     .prepare = weights_prepare,
                                                     .run = few_way_run,
                                                     .finish = few_way_finish,
                                                     .release = few_way_release };

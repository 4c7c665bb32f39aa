/* conv2d and its gradients, channels last: the choice between oneDNN, Winograd, ends and tiles, and
 * what oneDNN does. */
#include "base/alloc.h"
#include "cpu/ends.h"
#include "cpu/tiles.h"
#include "cpu/weighted.h"
#include "cpu/winograd.h"

enum { STRIDE, PAD0, PAD1 }; /* attributes; see few_conv2d */

/* x [n,h,w,c], w [o,c,kh,kw], y [n,oh,ow,o] -> the primitive's arguments. */
static few_dnn_conv sizes(const few_attrs *a, const few_shape *x, const few_shape *w,
                          const few_shape *y, few_dtype type)
{
    return (few_dnn_conv){ .n = x->d[0],
                           .h = x->d[1],
                           .w = x->d[2],
                           .c = x->d[3],
                           .o = w->d[0],
                           .kh = w->d[2],
                           .kw = w->d[3],
                           .oh = y->d[1],
                           .ow = y->d[2],
                           .stride = (int)a->i[STRIDE],
                           .pad0 = (int)a->i[PAD0],
                           .pad1 = (int)a->i[PAD1],
                           .type = type };
}

static few_status make(few_weighted **out, const few_way *way, few_dnn_kind kind,
                       const few_dnn_conv *c, few_error *err)
{
    few_weighted *w = few_calloc(1, sizeof *w);
    if (!w)
        return few_fail(err, FEW_ENOMEM, "out of memory for a convolution");
    w->way = way;
    const few_status st = few_dnn_conv_make(&w->prim, kind, c, err);
    if (st != FEW_OK)
        few_free(w);
    else
        *out = w;
    return st;
}

static const few_way conv_by_onednn = { few_weighted_forward, NULL, few_weighted_release };

static few_status conv_prepare(few_cpu_prep *p, few_error *err)
{
    const few_cpu_call *c = &p->call;
    few_dnn_conv s = sizes(&c->node->a, c->is[0], c->is[1], c->os[0], c->in_type[0]);
    few_weighted *w = NULL;
    s.bias = c->is[2] != NULL;
    if (few_winograd_fits(&s))
        return few_winograd_prepare(p, FEW_DNN_CONV, &s, err);
    if (few_ends_fits(&s))
        return few_ends_prepare(p, FEW_DNN_CONV, &s, err);
    int pieces = 1;
    if (s.kh == 1 && s.kw == 1 && s.stride == 1 && !s.pad0 && !s.pad1) { /* by rows of pixels */
        pieces = few_weighted_pieces(p, s.n * s.h, s.w);
        s.h = s.oh = s.n * s.h / pieces;
        s.n = 1;
    }
    FEW_TRY(make(&w, &conv_by_onednn, FEW_DNN_CONV, &s, err));
    w->pieces = pieces;
    return few_weighted_ready(p, w, 1, c->is[1], err);
}

static void data_run(const few_cpu_call *c)
{
    const few_weighted *w = c->state;
    few_dnn_run(&w->prim, c->out[0], few_weighted_get(w, c, c->in[1]), NULL, c->in[0], c->scratch);
}

static const few_way data_by_onednn = { data_run, NULL, few_weighted_release };

static few_status data_prepare(few_cpu_prep *p, few_error *err)
{
    const few_cpu_call *c = &p->call;
    const few_dnn_conv s = sizes(&c->node->a, c->os[0], c->is[1], c->is[0], c->in_type[0]);
    few_weighted *w = NULL;
    if (few_winograd_fits(&s))
        return few_winograd_prepare(p, FEW_DNN_CONV_DATA, &s, err);
    if (few_ends_fits(&s))
        return few_ends_prepare(p, FEW_DNN_CONV_DATA, &s, err);
    FEW_TRY(make(&w, &data_by_onednn, FEW_DNN_CONV_DATA, &s, err));
    return few_weighted_ready(p, w, 1, c->is[1], err);
}

static few_status weights_prepare(few_cpu_prep *p, few_error *err)
{
    const few_cpu_call *c = &p->call;
    few_dnn_conv s = sizes(&c->node->a, c->is[0], c->os[0], c->is[1], c->in_type[0]);
    few_weighted *w = NULL;
    if (few_winograd_fits(&s))
        return few_winograd_prepare(p, FEW_DNN_CONV_WEIGHTS, &s, err);
    if (few_ends_fits(&s))
        return few_ends_prepare(p, FEW_DNN_CONV_WEIGHTS, &s, err);
    if (s.type == FEW_BF16 && s.stride == 1 && s.kh == s.kw && few_cpu_may_use_amx() &&
        ((s.kh == 3 && s.pad0 == 1 && s.pad1 == 1) || (s.kh == 1 && !s.pad0 && !s.pad1)))
        return few_tiles_prepare(
            p,
            &(few_amx_weights){ .n = s.n, .h = s.h, .w = s.w, .c = s.c, .o = s.o, .k = (int)s.kh },
            err);
    s.bias = p->used[1];
    FEW_TRY(make(&w, &few_weighted_grad, FEW_DNN_CONV_WEIGHTS, &s, err));
    return few_weighted_grad_ready(p, w, c->os[0], s.o, err);
}

const few_cpu_kernel few_cpu_conv2d = {
    .op = "conv2d", .prepare = conv_prepare, .run = few_way_run, .release = few_way_release
};
const few_cpu_kernel few_cpu_conv2d_grad_input = { .op = "conv2d_grad_input",
                                                   .prepare = data_prepare,
                                                   .run = few_way_run,
                                                   .release = few_way_release };
const few_cpu_kernel few_cpu_conv2d_grad_weights = { .op = "conv2d_grad_weights",
                                                     .prepare = weights_prepare,
                                                     .run = few_way_run,
                                                     .finish = few_way_finish,
                                                     .release = few_way_release };

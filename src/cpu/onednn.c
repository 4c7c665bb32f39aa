/* oneDNN 2 and 3 behind onednn.h: its convolutions, inner products and matrix products.
 *
 * Easy to get wrong: oneDNN decides at creation how many threads a primitive will use. Primitives
 * here run inside a parallel region, where oneDNN uses one, so they are created with one as well.
 *
 * Below AVX-512 oneDNN 2.6 knows no bf16. There the primitive is one of f32 between copies of the
 * bf16 arrays, which lie in its scratch: correct and without gain (`wide`).
 */
#include "base/alloc.h"
#include "cpu/onednn_engine.h"

#include <omp.h>
#include <string.h>

/* ---- creating -------------------------------------------------------------------------------*/

static dnnl_primitive_attr_t attributes(void)
{
    dnnl_primitive_attr_t a = NULL;
    if (dnnl_primitive_attr_create(&a) == dnnl_success)
        dnnl_primitive_attr_set_scratchpad_mode(a, dnnl_scratchpad_mode_user);
    return a;
}

enum { SRC, WEIGHTS, DST, N_ARRAYS };

static const few_dnn_desc *array(const few_dnn *p, int k)
{
    return k == SRC ? &p->src : k == WEIGHTS ? &p->weights : &p->dst;
}

/* The caller's arrays of `which` (bits) are bf16, those of the primitive f32. */
static void widen(few_dnn *p, unsigned which)
{
    p->wide = which;
    p->simd = few_simd_get(NULL);
    for (int k = 0; k < N_ARRAYS; k++)
        if (which >> k & 1)
            p->scratch_bytes += few_up64(few_dnn_desc_bytes(array(p, k)));
}

/* Whether a primitive could not be made, and could be if bf16 were f32. */
static bool wants_f32(few_status st, bool bf16)
{
    return st == FEW_EUNSUPPORTED && bf16;
}

static few_status finish(few_dnn *p, const char *what, few_error *err)
{
    static const struct {
        dnnl_query_t src, weights, dst;
    } q[] = {
        [FEW_DNN_CONV] = { dnnl_query_src_md, dnnl_query_weights_md, dnnl_query_dst_md },
        [FEW_DNN_CONV_DATA] = { dnnl_query_diff_src_md, dnnl_query_weights_md,
                                dnnl_query_diff_dst_md },
        [FEW_DNN_CONV_WEIGHTS] = { dnnl_query_src_md, dnnl_query_diff_weights_md,
                                   dnnl_query_diff_dst_md },
        [FEW_DNN_LINEAR] = { dnnl_query_src_md, dnnl_query_weights_md, dnnl_query_dst_md },
        [FEW_DNN_LINEAR_DATA] = { dnnl_query_diff_src_md, dnnl_query_weights_md,
                                  dnnl_query_diff_dst_md },
        [FEW_DNN_LINEAR_WEIGHTS] = { dnnl_query_src_md, dnnl_query_diff_weights_md,
                                     dnnl_query_diff_dst_md },
        [FEW_DNN_MATMUL] = { dnnl_query_src_md, dnnl_query_weights_md, dnnl_query_dst_md },
    };
    if (dnnl_primitive_create(&p->prim, p->pd) != dnnl_success)
        return few_fail(err, FEW_ENOMEM, "oneDNN could not build a %s", what);
    few_dnn_desc_copy(&p->src, dnnl_primitive_desc_query_md(p->pd, q[p->kind].src, 0));
    few_dnn_desc_copy(&p->weights, dnnl_primitive_desc_query_md(p->pd, q[p->kind].weights, 0));
    few_dnn_desc_copy(&p->dst, dnnl_primitive_desc_query_md(p->pd, q[p->kind].dst, 0));
    p->scratch_bytes =
        dnnl_memory_desc_get_size(dnnl_primitive_desc_query_md(p->pd, dnnl_query_scratchpad_md, 0));
    return FEW_OK;
}

/* One primitive desc of a kind. hint is the forward one, for gradients. */
static dnnl_status_t conv_pd(dnnl_primitive_desc_t *out, few_dnn_kind kind, bool bias,
                             const few_dnn_desc *x, const few_dnn_desc *w, const few_dnn_desc *b,
                             const few_dnn_desc *y, const dnnl_dim_t *stride,
                             const dnnl_dim_t *pad0, const dnnl_dim_t *pad1,
                             dnnl_primitive_attr_t attr, dnnl_primitive_desc_t hint)
{
    const dnnl_dims_t dilate = { 0, 0 };
    const dnnl_alg_kind_t alg = dnnl_convolution_direct;
    const few_dnn_desc none = { 0 };
    const few_dnn_desc *use = bias ? b : &none;
#if V3
    if (kind == FEW_DNN_CONV)
        return dnnl_convolution_forward_primitive_desc_create(
            out, few_dnn_engine, dnnl_forward_training, alg, REF(x), REF(w), REF(use), REF(y),
            stride, dilate, pad0, pad1, attr);
    if (kind == FEW_DNN_CONV_DATA)
        return dnnl_convolution_backward_data_primitive_desc_create(out, few_dnn_engine, alg,
                                                                    REF(x), REF(w), REF(y), stride,
                                                                    dilate, pad0, pad1, hint, attr);
    return dnnl_convolution_backward_weights_primitive_desc_create(out, few_dnn_engine, alg, REF(x),
                                                                   REF(w), REF(use), REF(y), stride,
                                                                   dilate, pad0, pad1, hint, attr);
#else
    dnnl_convolution_desc_t d;
    dnnl_status_t s;
    if (kind == FEW_DNN_CONV)
        s = dnnl_dilated_convolution_forward_desc_init(&d, dnnl_forward_training, alg, REF(x),
                                                       REF(w), REF(use), REF(y), stride, dilate,
                                                       pad0, pad1);
    else if (kind == FEW_DNN_CONV_DATA)
        s = dnnl_dilated_convolution_backward_data_desc_init(&d, alg, REF(x), REF(w), REF(y),
                                                             stride, dilate, pad0, pad1);
    else
        s = dnnl_dilated_convolution_backward_weights_desc_init(&d, alg, REF(x), REF(w), REF(use),
                                                                REF(y), stride, dilate, pad0, pad1);
    return s == dnnl_success ? dnnl_primitive_desc_create(out, &d, attr, few_dnn_engine, hint) : s;
#endif
}

static few_status conv_make(few_dnn *p, few_dnn_kind kind, const few_dnn_conv *c, few_error *err)
{
    memset(p, 0, sizeof *p);
    p->kind = kind;
    FEW_TRY(few_dnn_start(err));
    few_dnn_desc x = { 0 }, w = { 0 }, b = { 0 }, y = { 0 };
    dnnl_primitive_desc_t hint = NULL;
    dnnl_primitive_attr_t attr = attributes();
    const int64_t xd[4] = { c->n, c->c, c->h, c->w }, yd[4] = { c->n, c->o, c->oh, c->ow };
    const int64_t wd[4] = { c->o, c->c, c->kh, c->kw };
    const int64_t xs[4] = { c->h * c->w * c->c, 1, c->w * c->c, c->c };
    const int64_t ys[4] = { c->oh * c->ow * c->o, 1, c->ow * c->o, c->o };
    const dnnl_dims_t stride = { c->stride, c->stride }, pad0 = { c->pad0, c->pad0 },
                      pad1 = { c->pad1, c->pad1 };
    const few_dtype wt = kind == FEW_DNN_CONV_WEIGHTS ? FEW_F32 : c->type;
    few_dnn_desc wf = { 0 }; /* the forward weights, for the hint */
    few_status st = FEW_OK;
    FEW_GOTO(few_dnn_desc_make(&x, c->type, 4, xd, xs, false, err));
    FEW_GOTO(few_dnn_desc_make(&y, c->type, 4, yd, ys, false, err));
    FEW_GOTO(few_dnn_desc_make(&w, wt, 4, wd, NULL, true, err));
    FEW_GOTO(few_dnn_desc_make(&wf, c->type, 4, wd, NULL, true, err));
    FEW_GOTO(few_dnn_desc_make(&b, FEW_F32, 1, &c->o, NULL, false, err));
    dnnl_status_t s = dnnl_success;
    if (kind != FEW_DNN_CONV)
        s = conv_pd(&hint, FEW_DNN_CONV, c->bias, &x, &wf, &b, &y, stride, pad0, pad1, attr, NULL);
    if (s == dnnl_success)
        s = conv_pd(&p->pd, kind, c->bias, &x, &w, &b, &y, stride, pad0, pad1, attr, hint);
    if (s != dnnl_success)
        st = few_fail(err, FEW_EUNSUPPORTED, "oneDNN has no convolution of this kind (status %d)",
                      (int)s);
    else
        st = finish(p, "convolution", err);
cleanup:
    few_dnn_desc_free(&x);
    few_dnn_desc_free(&w);
    few_dnn_desc_free(&wf);
    few_dnn_desc_free(&b);
    few_dnn_desc_free(&y);
    dnnl_primitive_desc_destroy(hint);
    dnnl_primitive_attr_destroy(attr);
    if (st != FEW_OK)
        few_dnn_free(p);
    return st;
}

few_status few_dnn_conv_make(few_dnn *p, few_dnn_kind kind, const few_dnn_conv *c, few_error *err)
{
    few_status st = conv_make(p, kind, c, err);
    if (wants_f32(st, c->type == FEW_BF16)) {
        few_dnn_conv f32 = *c;
        f32.type = FEW_F32;
        FEW_TRY(st = conv_make(p, kind, &f32, err));
        widen(p, 1u << SRC | 1u << DST);
    }
    return st;
}

static dnnl_status_t linear_pd(dnnl_primitive_desc_t *out, few_dnn_kind kind, bool bias,
                               const few_dnn_desc *x, const few_dnn_desc *w, const few_dnn_desc *b,
                               const few_dnn_desc *y, dnnl_primitive_attr_t attr,
                               dnnl_primitive_desc_t hint)
{
    const few_dnn_desc none = { 0 };
    const few_dnn_desc *use = bias ? b : &none;
#if V3
    if (kind == FEW_DNN_LINEAR)
        return dnnl_inner_product_forward_primitive_desc_create(
            out, few_dnn_engine, dnnl_forward_training, REF(x), REF(w), REF(use), REF(y), attr);
    if (kind == FEW_DNN_LINEAR_DATA)
        return dnnl_inner_product_backward_data_primitive_desc_create(out, few_dnn_engine, REF(x),
                                                                      REF(w), REF(y), hint, attr);
    return dnnl_inner_product_backward_weights_primitive_desc_create(
        out, few_dnn_engine, REF(x), REF(w), REF(use), REF(y), hint, attr);
#else
    dnnl_inner_product_desc_t d;
    dnnl_status_t s;
    if (kind == FEW_DNN_LINEAR)
        s = dnnl_inner_product_forward_desc_init(&d, dnnl_forward_training, REF(x), REF(w),
                                                 REF(use), REF(y));
    else if (kind == FEW_DNN_LINEAR_DATA)
        s = dnnl_inner_product_backward_data_desc_init(&d, REF(x), REF(w), REF(y));
    else
        s = dnnl_inner_product_backward_weights_desc_init(&d, REF(x), REF(w), REF(use), REF(y));
    return s == dnnl_success ? dnnl_primitive_desc_create(out, &d, attr, few_dnn_engine, hint) : s;
#endif
}

static few_status linear_make(few_dnn *p, few_dnn_kind kind, few_dtype type, int64_t m, int64_t i,
                              int64_t o, bool bias, few_error *err)
{
    memset(p, 0, sizeof *p);
    p->kind = kind;
    FEW_TRY(few_dnn_start(err));
    const int64_t xd[2] = { m, i }, wd[2] = { o, i }, yd[2] = { m, o };
    few_dnn_desc x = { 0 }, w = { 0 }, wf = { 0 }, b = { 0 }, y = { 0 };
    dnnl_primitive_desc_t hint = NULL;
    dnnl_primitive_attr_t attr = attributes();
    few_status st = FEW_OK;
    FEW_GOTO(few_dnn_desc_make(&x, type, 2, xd, NULL, false, err));
    FEW_GOTO(few_dnn_desc_make(&y, type, 2, yd, NULL, false, err));
    FEW_GOTO(few_dnn_desc_make(&wf, type, 2, wd, NULL, true, err));
    FEW_GOTO(few_dnn_desc_make(&w, kind == FEW_DNN_LINEAR_WEIGHTS ? FEW_F32 : type, 2, wd, NULL,
                               true, err));
    FEW_GOTO(few_dnn_desc_make(&b, FEW_F32, 1, &o, NULL, false, err));
    dnnl_status_t s = dnnl_success;
    if (kind != FEW_DNN_LINEAR)
        s = linear_pd(&hint, FEW_DNN_LINEAR, bias, &x, &wf, &b, &y, attr, NULL);
    if (s == dnnl_success)
        s = linear_pd(&p->pd, kind, bias, &x, &w, &b, &y, attr, hint);
    if (s != dnnl_success)
        st = few_fail(err, FEW_EUNSUPPORTED, "oneDNN has no inner product of this kind (status %d)",
                      (int)s);
    else
        st = finish(p, "inner product", err);
cleanup:
    few_dnn_desc_free(&x);
    few_dnn_desc_free(&w);
    few_dnn_desc_free(&wf);
    few_dnn_desc_free(&b);
    few_dnn_desc_free(&y);
    dnnl_primitive_desc_destroy(hint);
    dnnl_primitive_attr_destroy(attr);
    if (st != FEW_OK)
        few_dnn_free(p);
    return st;
}

/* Whether the work is one big matrix product. Those of AVX2 sum a row in an order that depends on
 * how many rows there are, so that an image would depend on those beside it; and are slower. */
static bool by_gemm(const few_dnn *p)
{
    const char *name = few_dnn_name(p), *at = strstr(name, "gemm");
    return at && (at == name || at[-1] == ':');
}

/* The same as a convolution of m pixels, if oneDNN has a kernel for that. */
static void linear_by_conv(few_dnn *p, few_dnn_kind kind, int64_t m, int64_t i, int64_t o,
                           bool bias)
{
    const few_dnn_conv c = { .n = 1,
                             .h = m,
                             .w = 1,
                             .c = i,
                             .o = o,
                             .kh = 1,
                             .kw = 1,
                             .oh = m,
                             .ow = 1,
                             .stride = 1,
                             .bias = bias,
                             .type = FEW_F32 };
    few_dnn q;
    few_error err;
    if (conv_make(&q, kind == FEW_DNN_LINEAR ? FEW_DNN_CONV : FEW_DNN_CONV_DATA, &c, &err) !=
        FEW_OK)
        return;
    few_dnn *worse = by_gemm(&q) ? &q : p;
    few_dnn_free(worse);
    if (worse == p)
        *p = q;
}

few_status few_dnn_linear_make(few_dnn *p, few_dnn_kind kind, few_dtype type, int64_t m, int64_t i,
                               int64_t o, bool bias, few_error *err)
{
    few_status st = linear_make(p, kind, type, m, i, o, bias, err);
    const bool wide = wants_f32(st, type == FEW_BF16);
    if (wide)
        st = linear_make(p, kind, FEW_F32, m, i, o, bias, err);
    FEW_TRY(st);
    if (kind != FEW_DNN_LINEAR_WEIGHTS && (wide || type == FEW_F32) && by_gemm(p))
        linear_by_conv(p, kind, m, i, o, bias);
    if (wide)
        widen(p, 1u << SRC | 1u << DST);
    return FEW_OK;
}

static few_status matmul_make(few_dnn *p, int64_t batch, const few_dnn_view *const v[N_ARRAYS],
                              bool all_f32, few_error *err)
{
    memset(p, 0, sizeof *p);
    p->kind = FEW_DNN_MATMUL;
    FEW_TRY(few_dnn_start(err));
    dnnl_primitive_attr_t attr = attributes();
    few_dnn_desc d[N_ARRAYS];
    few_status st = FEW_OK;
    memset(d, 0, sizeof d);
    for (int k = 0; k < N_ARRAYS; k++) {
        const int64_t dims[3] = { batch, v[k]->rows, v[k]->cols };
        const int64_t step[3] = { v[k]->batch_stride, v[k]->row_stride, v[k]->col_stride };
        FEW_GOTO(
            few_dnn_desc_make(&d[k], all_f32 ? FEW_F32 : v[k]->type, 3, dims, step, false, err));
    }
#if V3
    dnnl_status_t s = dnnl_matmul_primitive_desc_create(&p->pd, few_dnn_engine, REF(&d[SRC]),
                                                        REF(&d[WEIGHTS]), NULL, REF(&d[DST]), attr);
#else
    dnnl_matmul_desc_t m;
    dnnl_status_t s = dnnl_matmul_desc_init(&m, REF(&d[SRC]), REF(&d[WEIGHTS]), NULL, REF(&d[DST]));
    if (s == dnnl_success)
        s = dnnl_primitive_desc_create(&p->pd, &m, attr, few_dnn_engine, NULL);
#endif
    st = s == dnnl_success
             ? finish(p, "matrix product", err)
             : few_fail(err, FEW_EUNSUPPORTED,
                        "oneDNN has no matrix product of this kind (status %d)", (int)s);
cleanup:
    for (int k = 0; k < N_ARRAYS; k++)
        few_dnn_desc_free(&d[k]);
    dnnl_primitive_attr_destroy(attr);
    if (st != FEW_OK)
        few_dnn_free(p);
    return st;
}

few_status few_dnn_matmul_make(few_dnn *p, int64_t batch, const few_dnn_view *src,
                               const few_dnn_view *weights, const few_dnn_view *dst, few_error *err)
{
    const few_dnn_view *const v[N_ARRAYS] = { src, weights, dst };
    unsigned bf16 = 0;
    for (int k = 0; k < N_ARRAYS; k++)
        if (v[k]->type == FEW_BF16)
            bf16 |= 1u << k;
    few_status st = matmul_make(p, batch, v, false, err);
    if (wants_f32(st, bf16)) {
        FEW_TRY(st = matmul_make(p, batch, v, true, err));
        widen(p, bf16);
    }
    return st;
}

void few_dnn_free(few_dnn *p)
{
    dnnl_primitive_destroy(p->prim);
    dnnl_primitive_desc_destroy(p->pd);
    few_dnn_desc_free(&p->src);
    few_dnn_desc_free(&p->weights);
    few_dnn_desc_free(&p->dst);
    memset(p, 0, sizeof *p);
}

const char *few_dnn_name(const few_dnn *p)
{
    const char *name = NULL;
#if V3
    dnnl_primitive_desc_query(p->pd, dnnl_query_impl_info_str, 0, (void *)&name);
#else
    dnnl_primitive_desc_query(p->pd, dnnl_query_impl_info_str, 0, &name);
#endif
    return name ? name : "?";
}

/* ---- running --------------------------------------------------------------------------------*/

static void execute(const few_dnn *p, const void *const array_of[N_ARRAYS], const void *bias,
                    void *scratch)
{
    static const struct {
        int src, weights, bias, dst;
    } arg[] = {
        [FEW_DNN_CONV] = { DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_BIAS, DNNL_ARG_DST },
        [FEW_DNN_CONV_DATA] = { DNNL_ARG_DIFF_SRC, DNNL_ARG_WEIGHTS, 0, DNNL_ARG_DIFF_DST },
        [FEW_DNN_CONV_WEIGHTS] = { DNNL_ARG_SRC, DNNL_ARG_DIFF_WEIGHTS, DNNL_ARG_DIFF_BIAS,
                                   DNNL_ARG_DIFF_DST },
        [FEW_DNN_LINEAR] = { DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_BIAS, DNNL_ARG_DST },
        [FEW_DNN_LINEAR_DATA] = { DNNL_ARG_DIFF_SRC, DNNL_ARG_WEIGHTS, 0, DNNL_ARG_DIFF_DST },
        [FEW_DNN_LINEAR_WEIGHTS] = { DNNL_ARG_SRC, DNNL_ARG_DIFF_WEIGHTS, DNNL_ARG_DIFF_BIAS,
                                     DNNL_ARG_DIFF_DST },
        [FEW_DNN_MATMUL] = { DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, 0, DNNL_ARG_DST },
    };
    const bool grad = p->kind == FEW_DNN_CONV_WEIGHTS || p->kind == FEW_DNN_LINEAR_WEIGHTS;
    dnnl_exec_arg_t a[5];
    int n = 0;
    a[n++] = (dnnl_exec_arg_t){ arg[p->kind].src, few_dnn_memory(REF(&p->src), array_of[SRC]) };
    a[n++] = (dnnl_exec_arg_t){ arg[p->kind].weights,
                                few_dnn_memory(REF(&p->weights), array_of[WEIGHTS]) };
    a[n++] = (dnnl_exec_arg_t){ arg[p->kind].dst, few_dnn_memory(REF(&p->dst), array_of[DST]) };
    if (bias)
        a[n++] = (dnnl_exec_arg_t){
            arg[p->kind].bias,
            few_dnn_memory(dnnl_primitive_desc_query_md(
                               p->pd, grad ? dnnl_query_diff_weights_md : dnnl_query_weights_md, 1),
                           bias)
        };
    const few_dnn_ref room = dnnl_primitive_desc_query_md(p->pd, dnnl_query_scratchpad_md, 0);
    if (dnnl_memory_desc_get_size(room))
        a[n++] = (dnnl_exec_arg_t){ DNNL_ARG_SCRATCHPAD, few_dnn_memory(room, scratch) };
    few_dnn_execute(p->prim, n, a);
}

void few_dnn_run(const few_dnn *p, const void *src, const void *weights, const void *bias,
                 const void *dst, void *scratch)
{
    const void *v[N_ARRAYS] = { src, weights, dst };
    const bool grad_of_src = p->kind == FEW_DNN_CONV_DATA || p->kind == FEW_DNN_LINEAR_DATA,
               grad_of_weights =
                   p->kind == FEW_DNN_CONV_WEIGHTS || p->kind == FEW_DNN_LINEAR_WEIGHTS;
    const int result = grad_of_src ? SRC : grad_of_weights ? WEIGHTS : DST;
    char *at = scratch;
    for (int k = 0; k < N_ARRAYS; k++)
        if (p->wide >> k & 1) {
            const size_t bytes = few_dnn_desc_bytes(array(p, k));
            if (k != result)
                p->simd->from_bf16((float *)(void *)at, v[k], (int64_t)(bytes / sizeof(float)));
            v[k] = at;
            at += few_up64(bytes);
        }
    execute(p, v, bias, at);
    if (p->wide >> result & 1) {
        const int64_t n = (int64_t)(few_dnn_desc_bytes(array(p, result)) / sizeof(float));
        /* few_dnn_run's arguments are const because each may be read or written, by the kind */
        union {
            const void *in;
            uint16_t *out;
        } to = { result == SRC ? src : dst };
        p->simd->to_bf16(to.out, v[result], n);
    }
}

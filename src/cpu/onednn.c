/* oneDNN 2 and 3 behind onednn.h.
 *
 * Easy to get wrong: oneDNN decides at creation how many threads a primitive will use. Primitives
 * here run inside a parallel region, where oneDNN uses one, so they are created with one as well.
 */
#include "cpu/onednn.h"

#include <omp.h>
#include <string.h>

#define V3 (DNNL_VERSION_MAJOR >= 3)

static dnnl_engine_t engine;
static dnnl_stream_t stream;

/* The engine and an in-order CPU stream (stateless: any thread may use it) live for ever. */
static few_status need_engine(few_error *err)
{
    static int ok;
#pragma omp critical(few_dnn_engine)
    if (!ok)
        ok = dnnl_engine_create(&engine, dnnl_cpu, 0) == dnnl_success &&
             dnnl_stream_create(&stream, engine, dnnl_stream_default_flags) == dnnl_success;
    return ok ? FEW_OK : few_fail(err, FEW_ENOMEM, "oneDNN did not start");
}

static dnnl_data_type_t type_of(few_dtype t)
{
    return t == FEW_BF16 ? dnnl_bf16 : t == FEW_I32 ? dnnl_s32 : t == FEW_U8 ? dnnl_u8 : dnnl_f32;
}

/* ---- descriptions ---------------------------------------------------------------------------*/

#if V3
typedef const_dnnl_memory_desc_t desc_ref;
#define REF(d) ((d)->md)
#else
typedef const dnnl_memory_desc_t *desc_ref;
#define REF(d) (&(d)->md)
#endif

void few_dnn_desc_free(few_dnn_desc *d)
{
#if V3
    if (d->set)
        dnnl_memory_desc_destroy(d->md);
#endif
    memset(d, 0, sizeof *d);
}

static void desc_copy(few_dnn_desc *to, desc_ref from)
{
#if V3
    to->set = dnnl_memory_desc_clone(&to->md, from) == dnnl_success;
#else
    to->md = *from;
    to->set = true;
#endif
}

size_t few_dnn_desc_bytes(const few_dnn_desc *d)
{
    return d->set ? dnnl_memory_desc_get_size(REF(d)) : 0;
}

bool few_dnn_desc_equal(const few_dnn_desc *a, const few_dnn_desc *b)
{
    return a->set && b->set && dnnl_memory_desc_equal(REF(a), REF(b));
}

few_status few_dnn_desc_make(few_dnn_desc *d, few_dtype type, int rank, const int64_t *dims,
                             const int64_t *strides, bool any, few_error *err)
{
    dnnl_dims_t size, step;
    int64_t dense = 1;
    for (int k = rank - 1; k >= 0; k--) {
        size[k] = dims[k];
        step[k] = strides ? strides[k] : dense;
        dense *= dims[k];
    }
    dnnl_status_t s;
#if V3
    s = any ? dnnl_memory_desc_create_with_tag(&d->md, rank, size, type_of(type),
                                               dnnl_format_tag_any)
            : dnnl_memory_desc_create_with_strides(&d->md, rank, size, type_of(type), step);
#else
    s = any ? dnnl_memory_desc_init_by_tag(&d->md, rank, size, type_of(type), dnnl_format_tag_any)
            : dnnl_memory_desc_init_by_strides(&d->md, rank, size, type_of(type), step);
#endif
    d->set = s == dnnl_success;
    return d->set ? FEW_OK
                  : few_fail(err, FEW_EINVAL, "oneDNN refused a shape (status %d)", (int)s);
}

/* ---- creating -------------------------------------------------------------------------------*/

/* Attributes all primitives share; sum adds to what dst holds. */
static dnnl_primitive_attr_t attributes(bool sum)
{
    dnnl_primitive_attr_t a = NULL;
    if (dnnl_primitive_attr_create(&a) != dnnl_success)
        return NULL;
    dnnl_primitive_attr_set_scratchpad_mode(a, dnnl_scratchpad_mode_user);
    if (sum) {
        dnnl_post_ops_t ops;
        if (dnnl_post_ops_create(&ops) == dnnl_success) {
#if V3
            dnnl_post_ops_append_sum(ops, 1.0f, 0, dnnl_data_type_undef);
#else
            dnnl_post_ops_append_sum(ops, 1.0f);
#endif
            dnnl_primitive_attr_set_post_ops(a, ops);
            dnnl_post_ops_destroy(ops);
        }
    }
    return a;
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
    desc_copy(&p->src, dnnl_primitive_desc_query_md(p->pd, q[p->kind].src, 0));
    desc_copy(&p->weights, dnnl_primitive_desc_query_md(p->pd, q[p->kind].weights, 0));
    desc_copy(&p->dst, dnnl_primitive_desc_query_md(p->pd, q[p->kind].dst, 0));
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
        return dnnl_convolution_forward_primitive_desc_create(out, engine, dnnl_forward_training,
                                                              alg, REF(x), REF(w), REF(use), REF(y),
                                                              stride, dilate, pad0, pad1, attr);
    if (kind == FEW_DNN_CONV_DATA)
        return dnnl_convolution_backward_data_primitive_desc_create(
            out, engine, alg, REF(x), REF(w), REF(y), stride, dilate, pad0, pad1, hint, attr);
    return dnnl_convolution_backward_weights_primitive_desc_create(
        out, engine, alg, REF(x), REF(w), REF(use), REF(y), stride, dilate, pad0, pad1, hint, attr);
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
    return s == dnnl_success ? dnnl_primitive_desc_create(out, &d, attr, engine, hint) : s;
#endif
}

few_status few_dnn_conv_make(few_dnn *p, few_dnn_kind kind, const few_dnn_conv *c, few_error *err)
{
    memset(p, 0, sizeof *p);
    p->kind = kind;
    FEW_TRY(need_engine(err));
    few_dnn_desc x = { 0 }, w = { 0 }, b = { 0 }, y = { 0 };
    dnnl_primitive_desc_t hint = NULL;
    dnnl_primitive_attr_t attr = attributes(c->sum), plain = attributes(false);
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
        s = conv_pd(&hint, FEW_DNN_CONV, c->bias, &x, &wf, &b, &y, stride, pad0, pad1, plain, NULL);
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
    dnnl_primitive_attr_destroy(plain);
    if (st != FEW_OK)
        few_dnn_free(p);
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
            out, engine, dnnl_forward_training, REF(x), REF(w), REF(use), REF(y), attr);
    if (kind == FEW_DNN_LINEAR_DATA)
        return dnnl_inner_product_backward_data_primitive_desc_create(out, engine, REF(x), REF(w),
                                                                      REF(y), hint, attr);
    return dnnl_inner_product_backward_weights_primitive_desc_create(out, engine, REF(x), REF(w),
                                                                     REF(use), REF(y), hint, attr);
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
    return s == dnnl_success ? dnnl_primitive_desc_create(out, &d, attr, engine, hint) : s;
#endif
}

few_status few_dnn_linear_make(few_dnn *p, few_dnn_kind kind, few_dtype type, int64_t m, int64_t i,
                               int64_t o, bool bias, few_error *err)
{
    memset(p, 0, sizeof *p);
    p->kind = kind;
    FEW_TRY(need_engine(err));
    const int64_t xd[2] = { m, i }, wd[2] = { o, i }, yd[2] = { m, o };
    few_dnn_desc x = { 0 }, w = { 0 }, wf = { 0 }, b = { 0 }, y = { 0 };
    dnnl_primitive_desc_t hint = NULL;
    dnnl_primitive_attr_t attr = attributes(false);
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

few_status few_dnn_matmul_make(few_dnn *p, const few_dnn_desc *src, const few_dnn_desc *weights,
                               const few_dnn_desc *dst, few_error *err)
{
    memset(p, 0, sizeof *p);
    p->kind = FEW_DNN_MATMUL;
    FEW_TRY(need_engine(err));
    dnnl_primitive_attr_t attr = attributes(false);
#if V3
    dnnl_status_t s = dnnl_matmul_primitive_desc_create(&p->pd, engine, REF(src), REF(weights),
                                                        NULL, REF(dst), attr);
#else
    dnnl_matmul_desc_t d;
    dnnl_status_t s = dnnl_matmul_desc_init(&d, REF(src), REF(weights), NULL, REF(dst));
    if (s == dnnl_success)
        s = dnnl_primitive_desc_create(&p->pd, &d, attr, engine, NULL);
#endif
    const few_status st =
        s == dnnl_success
            ? finish(p, "matrix product", err)
            : few_fail(err, FEW_EUNSUPPORTED,
                       "oneDNN has no matrix product of this kind (status %d)", (int)s);
    dnnl_primitive_attr_destroy(attr);
    if (st != FEW_OK)
        few_dnn_free(p);
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

static dnnl_memory_t memory(desc_ref md, const void *data)
{
    union {
        const void *in;
        void *out;
    } u = { data }; /* oneDNN takes inputs and outputs by the same type */
    dnnl_memory_t m = NULL;
    dnnl_memory_create(&m, md, engine, u.out);
    return m;
}

void few_dnn_run(const few_dnn *p, const void *src, const void *weights, const void *bias,
                 const void *dst, void *scratch)
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
    a[n++] = (dnnl_exec_arg_t){ arg[p->kind].src, memory(REF(&p->src), src) };
    a[n++] = (dnnl_exec_arg_t){ arg[p->kind].weights, memory(REF(&p->weights), weights) };
    a[n++] = (dnnl_exec_arg_t){ arg[p->kind].dst, memory(REF(&p->dst), dst) };
    if (bias)
        a[n++] = (dnnl_exec_arg_t){
            arg[p->kind].bias,
            memory(dnnl_primitive_desc_query_md(
                       p->pd, grad ? dnnl_query_diff_weights_md : dnnl_query_weights_md, 1),
                   bias)
        };
    if (p->scratch_bytes)
        a[n++] = (dnnl_exec_arg_t){
            DNNL_ARG_SCRATCHPAD,
            memory(dnnl_primitive_desc_query_md(p->pd, dnnl_query_scratchpad_md, 0), scratch)
        };
    dnnl_primitive_execute(p->prim, stream, n, a);
    for (int k = 0; k < n; k++)
        dnnl_memory_destroy(a[k].memory);
}

/* ---- reorders -------------------------------------------------------------------------------*/

few_status few_dnn_reorder_make(few_dnn_reorder *r, const few_dnn_desc *from,
                                const few_dnn_desc *to, few_error *err)
{
    memset(r, 0, sizeof *r);
    FEW_TRY(need_engine(err));
    const int threads = omp_get_max_threads();
    dnnl_primitive_desc_t pd = NULL;
    omp_set_num_threads(1);
    dnnl_status_t s =
        dnnl_reorder_primitive_desc_create(&pd, REF(from), engine, REF(to), engine, NULL);
    if (s == dnnl_success)
        s = dnnl_primitive_create(&r->prim, pd);
    if (s == dnnl_success) {
        desc_copy(&r->from, REF(from));
        desc_copy(&r->to, REF(to));
    }
    omp_set_num_threads(threads);
    dnnl_primitive_desc_destroy(pd);
    return s == dnnl_success
               ? FEW_OK
               : few_fail(err, FEW_EUNSUPPORTED, "oneDNN has no such reorder (status %d)", (int)s);
}

void few_dnn_reorder_free(few_dnn_reorder *r)
{
    dnnl_primitive_destroy(r->prim);
    few_dnn_desc_free(&r->from);
    few_dnn_desc_free(&r->to);
    memset(r, 0, sizeof *r);
}

void few_dnn_reorder_run(const few_dnn_reorder *r, const void *from, void *to)
{
    dnnl_exec_arg_t a[2] = { { DNNL_ARG_FROM, memory(REF(&r->from), from) },
                             { DNNL_ARG_TO, memory(REF(&r->to), to) } };
    dnnl_primitive_execute(r->prim, stream, 2, a);
    dnnl_memory_destroy(a[0].memory);
    dnnl_memory_destroy(a[1].memory);
}

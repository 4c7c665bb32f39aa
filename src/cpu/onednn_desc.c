/* Descriptions of arrays and copies between them, behind onednn.h; and the engine they share. */
#include "cpu/onednn_engine.h"

#include <omp.h>
#include <string.h>

dnnl_engine_t few_dnn_engine;
dnnl_stream_t few_dnn_stream;

few_status few_dnn_start(few_error *err)
{
    static int ok;
#pragma omp critical(few_dnn_engine)
    if (!ok)
        ok = dnnl_engine_create(&few_dnn_engine, dnnl_cpu, 0) == dnnl_success &&
             dnnl_stream_create(&few_dnn_stream, few_dnn_engine, dnnl_stream_default_flags) ==
                 dnnl_success;
    return ok ? FEW_OK : few_fail(err, FEW_ENOMEM, "oneDNN did not start");
}

static dnnl_data_type_t type_of(few_dtype t)
{
    return t == FEW_BF16 ? dnnl_bf16 : t == FEW_I32 ? dnnl_s32 : t == FEW_U8 ? dnnl_u8 : dnnl_f32;
}

void few_dnn_desc_free(few_dnn_desc *d)
{
#if V3
    if (d->set)
        dnnl_memory_desc_destroy(d->md);
#endif
    memset(d, 0, sizeof *d);
}

void few_dnn_desc_copy(few_dnn_desc *to, few_dnn_ref from)
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

static int rank_of(const few_dnn_desc *d)
{
#if V3
    int rank = 0;
    dnnl_memory_desc_query(d->md, dnnl_query_ndims_s32, &rank);
    return rank;
#else
    return d->md.ndims;
#endif
}

few_status few_dnn_desc_plain(few_dnn_desc *d, const few_shape *shape, const few_dnn_desc *like,
                              few_error *err)
{
    int64_t dims[DNNL_MAX_NDIMS];
    const int rank = rank_of(like);
    for (int k = 0; k < rank; k++)
        dims[k] = k < shape->rank ? shape->d[k] : 1;
    return few_dnn_desc_make(d, FEW_F32, rank, dims, NULL, false, err);
}

static int failures;

void few_dnn_execute(dnnl_primitive_t prim, int n, const dnnl_exec_arg_t *args)
{
    bool ok = true;
    for (int k = 0; k < n; k++)
        ok &= args[k].memory != NULL;
    if (!ok || dnnl_primitive_execute(prim, few_dnn_stream, n, args) != dnnl_success)
        __atomic_fetch_add(&failures, 1, __ATOMIC_RELAXED);
    for (int k = 0; k < n; k++)
        if (args[k].memory)
            dnnl_memory_destroy(args[k].memory);
}

int few_dnn_failures(void)
{
    return __atomic_load_n(&failures, __ATOMIC_RELAXED);
}

dnnl_memory_t few_dnn_memory(few_dnn_ref md, const void *data)
{
    union {
        const void *in;
        void *out;
    } u = { data }; /* oneDNN takes inputs and outputs by the same type */
    dnnl_memory_t m = NULL;
    dnnl_memory_create(&m, md, few_dnn_engine, u.out);
    return m;
}

/* ---- copies ---------------------------------------------------------------------------------*/

few_status few_dnn_reorder_make(few_dnn_reorder *r, const few_dnn_desc *from,
                                const few_dnn_desc *to, few_error *err)
{
    memset(r, 0, sizeof *r);
    FEW_TRY(few_dnn_start(err));
    const int threads = omp_get_max_threads();
    dnnl_primitive_desc_t pd = NULL;
    omp_set_num_threads(1);
    dnnl_status_t s = dnnl_reorder_primitive_desc_create(&pd, REF(from), few_dnn_engine, REF(to),
                                                         few_dnn_engine, NULL);
    if (s == dnnl_success)
        s = dnnl_primitive_create(&r->prim, pd);
    if (s == dnnl_success) {
        few_dnn_desc_copy(&r->from, REF(from));
        few_dnn_desc_copy(&r->to, REF(to));
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
    dnnl_exec_arg_t a[2] = { { DNNL_ARG_FROM, few_dnn_memory(REF(&r->from), from) },
                             { DNNL_ARG_TO, few_dnn_memory(REF(&r->to), to) } };
    few_dnn_execute(r->prim, 2, a);
}

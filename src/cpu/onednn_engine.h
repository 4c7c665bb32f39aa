/* What the files behind onednn.h share: oneDNN's engine, and what its versions call differently. */
#ifndef FEW_CPU_ONEDNN_ENGINE_H
#define FEW_CPU_ONEDNN_ENGINE_H

#include "cpu/onednn.h"

#define V3 (DNNL_VERSION_MAJOR >= 3)

#if V3
typedef const_dnnl_memory_desc_t few_dnn_ref;
#define REF(d) ((d)->md)
#else
typedef const dnnl_memory_desc_t *few_dnn_ref;
#define REF(d) (&(d)->md)
#endif

/* The engine and an in-order CPU stream (stateless: any thread may use it) live for ever. */
extern dnnl_engine_t few_dnn_engine;
extern dnnl_stream_t few_dnn_stream;

/* Both are there after the first call of any thread. Fails: FEW_ENOMEM. */
few_status few_dnn_start(few_error *err);

void few_dnn_desc_copy(few_dnn_desc *to, few_dnn_ref from);
/* data as an argument; the caller destroys it, data stays the caller's. */
dnnl_memory_t few_dnn_memory(few_dnn_ref md, const void *data);
/* Run, and destroy the arguments, of which one may be NULL for want of memory: that and a failure
 * are counted (few_dnn_failures). */
void few_dnn_execute(dnnl_primitive_t prim, int n, const dnnl_exec_arg_t *args);

#endif

/* Runs a graph by the plain references of its ops, in double. Slow and obviously right. */
#include "base/alloc.h"
#include "op/op.h"

few_status few_reference_run(const few_graph *g, double **value, few_error *err)
{
    FEW_TRY(few_graph_status(g, err));
    for (int v = 0; v < g->n_tensors; v++) {
        const few_tensor *t = &g->tensors[v];
        const int64_t count = few_shape_count(&t->shape);
        if (t->source == FEW_FROM_INPUT || t->source == FEW_FROM_PARAM) {
            if (!value[v])
                return few_fail(err, FEW_EINVAL, "tensor %d '%s' was not given a value", v,
                                t->name ? t->name : "parameter");
            continue;
        }
        if (!value[v])
            value[v] = few_calloc((size_t)count, sizeof(double));
        if (!value[v])
            return few_fail(err, FEW_ENOMEM, "out of memory in the reference run");
        if (t->source == FEW_FROM_CONST)
            for (int64_t i = 0; i < count; i++)
                value[v][i] = t->value[i];
    }
    for (int k = 0; k < g->n_nodes; k++) {
        const few_node *n = &g->nodes[k];
        few_ref_call c = { .node = n };
        for (int j = 0; j < n->n_in; j++)
            if (n->in[j] != FEW_NONE) {
                c.in[j] = value[n->in[j]];
                c.is[j] = &g->tensors[n->in[j]].shape;
            }
        for (int j = 0; j < n->n_out; j++) {
            c.out[j] = value[n->out[j]];
            c.os[j] = &g->tensors[n->out[j]].shape;
        }
        n->op->reference(&c);
    }
    return FEW_OK;
}

void few_reference_free(const few_graph *g, double **value)
{
    for (int v = 0; v < g->n_tensors; v++)
        if (g->tensors[v].source == FEW_FROM_NODE || g->tensors[v].source == FEW_FROM_CONST) {
            few_free(value[v]);
            value[v] = NULL;
        }
}

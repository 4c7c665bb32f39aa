/* Reverse mode as a graph-to-graph transformation: walk the nodes backwards, let each op append
 * the nodes of its gradient, add up where a tensor feeds several.
 *
 * Easy to get wrong: the node and tensor arrays move while ops append, so nodes are copied first.
 */
#include "base/alloc.h"
#include "op/ops.h"

#include <string.h>

struct tape {
    few_graph *g;
    few_val *grad;  /* per forward tensor */
    few_val *again; /* its recomputed copy, or FEW_NONE */
    int n;          /* tensors before the first gradient node */
};

/* What a gradient reads instead of v: a copy computed anew, when the op that made v is cheap, so
 * that v need not be kept from the forward pass. */
static few_val recomputed(struct tape *t, few_val v)
{
    few_graph *g = t->g;
    if (v == FEW_NONE || v >= t->n || g->tensors[v].node < 0 || g->tensors[v].slot != 0)
        return v;
    const few_node n = g->nodes[g->tensors[v].node];
    if (!(n.op->flags & FEW_OP_CHEAP))
        return v;
    if (t->again[v] == FEW_NONE) {
        few_graph_label(g, "%s again", n.label);
        t->again[v] = few_graph_apply(g, n.op, n.in, n.n_in, &n.a);
    }
    return t->again[v];
}

static void add_grad(struct tape *t, few_val v, few_val d)
{
    if (v == FEW_NONE || d == FEW_NONE || v >= t->n)
        return;
    t->grad[v] = t->grad[v] == FEW_NONE ? d : few_add(t->g, t->grad[v], d);
}

/* Which tensors lead to a wanted one: only those need gradients. */
static void mark_needed(const few_graph *g, uint8_t *need, const few_val *wrt, int n_wrt)
{
    for (int v = 0; v < g->n_tensors; v++) {
        const few_tensor *t = &g->tensors[v];
        need[v] = t->source == FEW_FROM_PARAM && t->set == 0 && !g->sets[0]->v[t->param].frozen;
    }
    for (int k = 0; k < n_wrt; k++)
        need[wrt[k]] = 1;
    for (int k = 0; k < g->n_nodes; k++) {
        const few_node *n = &g->nodes[k];
        if (n->op->flags & FEW_OP_NO_GRAD)
            continue;
        int any = 0;
        for (int j = 0; j < n->n_in; j++)
            any |= n->in[j] != FEW_NONE && !(n->op->no_grad_in >> j & 1) && need[n->in[j]];
        for (int j = 0; j < n->n_out; j++)
            need[n->out[j]] |= (uint8_t)any;
    }
}

void few_graph_backward(few_graph *g, few_val loss, const few_val *wrt, int n_wrt,
                        few_val *wrt_grad)
{
    if (g->err.code != FEW_OK || loss == FEW_NONE)
        return;
    const int n_tensors = g->n_tensors, n_nodes = g->n_nodes;
    struct tape t = { g, few_malloc((size_t)n_tensors * sizeof(few_val)),
                      few_malloc((size_t)n_tensors * sizeof(few_val)), n_tensors };
    uint8_t *need = few_calloc((size_t)n_tensors, 1);
    const few_shape shape = g->tensors[loss].shape;
    const size_t count = (size_t)few_shape_count(&shape);
    float *one = few_malloc(count * sizeof(float));
    if (!t.grad || !t.again || !need || !one) {
        few_graph_fail(g, FEW_ENOMEM, "out of memory while building gradients");
        goto cleanup;
    }
    for (int v = 0; v < n_tensors; v++)
        t.grad[v] = t.again[v] = FEW_NONE;
    for (size_t k = 0; k < count; k++)
        one[k] = 1;
    mark_needed(g, need, wrt, n_wrt);

    few_graph_label(g, "loss");
    few_val seed = few_graph_const(g, shape, one);
    if (seed != FEW_NONE && g->tensors[loss].dtype == FEW_ACT)
        seed = few_cast(g, seed, FEW_ACT);
    t.grad[loss] = seed;
    for (int k = n_nodes - 1; k >= 0 && g->err.code == FEW_OK; k--) {
        const few_node n = g->nodes[k]; /* a copy: the array moves */
        few_val dout[FEW_MAX_OUT], din[FEW_MAX_IN];
        int wanted = 0;
        if ((n.op->flags & FEW_OP_NO_GRAD) || !n.op->grad)
            continue;
        for (int j = 0; j < FEW_MAX_OUT; j++) {
            dout[j] = j < n.n_out ? t.grad[n.out[j]] : FEW_NONE;
            wanted |= dout[j] != FEW_NONE && need[n.out[j]];
        }
        if (!wanted)
            continue;
        for (int j = 0; j < FEW_MAX_IN; j++)
            din[j] = FEW_NONE;
        few_node reads = n;
        for (int j = 0; j < n.n_in; j++)
            reads.in[j] = recomputed(&t, n.in[j]);
        few_graph_label(g, "%s'", n.label);
        n.op->grad(g, &reads, dout, din);
        for (int j = 0; j < n.n_in; j++)
            if (n.in[j] != FEW_NONE && need[n.in[j]])
                add_grad(&t, n.in[j], din[j]);
    }
    for (int v = 0; v < n_tensors && g->err.code == FEW_OK; v++) {
        const few_tensor *p = &g->tensors[v]; /* read before nodes are added */
        const int param = p->param;
        if (t.grad[v] != FEW_NONE && p->source == FEW_FROM_PARAM && p->set == 0 &&
            !g->sets[0]->v[p->param].frozen) {
            few_val d = t.grad[v];
            const few_tensor *dt = &g->tensors[d];
            if (dt->grad_of >= 0 || dt->source != FEW_FROM_NODE || dt->output)
                d = few_affine(g, d, 1, 0); /* a tensor of its own to accumulate */
            if (d != FEW_NONE)
                g->tensors[d].grad_of = param;
        }
    }
    for (int k = 0; k < n_wrt; k++)
        wrt_grad[k] = g->err.code == FEW_OK ? t.grad[wrt[k]] : FEW_NONE;
cleanup:
    few_free(t.grad);
    few_free(t.again);
    few_free(need);
    few_free(one);
}

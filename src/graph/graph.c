/* Building a graph: tensors, nodes, labels, shape inference, sticky errors. */
#include "graph/graph.h"

#include "base/alloc.h"
#include "base/strbuf.h"
#include "op/op.h"

#include <stdio.h>
#include <string.h>

int64_t few_shape_count(const few_shape *s)
{
    int64_t n = 1;
    for (int k = 0; k < s->rank; k++)
        n *= s->d[k];
    return n;
}

bool few_shape_equal(const few_shape *a, const few_shape *b)
{
    if (a->rank != b->rank)
        return false;
    for (int k = 0; k < a->rank; k++)
        if (a->d[k] != b->d[k])
            return false;
    return true;
}

const char *few_shape_text(const few_shape *s, char buf[96])
{
    int n = snprintf(buf, 96, "[");
    for (int k = 0; k < s->rank && n < 80; k++)
        n += snprintf(buf + n, (size_t)(96 - n), k ? ",%lld" : "%lld", (long long)s->d[k]);
    if (n > 94) /* cut short */
        n = 94;
    snprintf(buf + n, (size_t)(96 - n), "]");
    return buf;
}

size_t few_dtype_size(few_dtype t)
{
    switch (t) {
    case FEW_U8:
        return 1;
    case FEW_BF16:
        return 2;
    default:
        return 4;
    }
}

void few_graph_init(few_graph *g)
{
    memset(g, 0, sizeof *g);
}

void few_graph_clear(few_graph *g)
{
    for (int k = 0; k < g->n_tensors; k++) {
        few_free(g->tensors[k].name);
        few_free(g->tensors[k].value);
    }
    for (int k = 0; k < g->n_nodes; k++)
        few_free(g->nodes[k].label);
    few_free(g->tensors);
    few_free(g->nodes);
    few_graph_init(g);
}

few_status few_graph_status(const few_graph *g, few_error *err)
{
    if (g->err.code != FEW_OK && err)
        *err = g->err;
    return g->err.code;
}

few_val few_graph_fail(few_graph *g, few_status code, const char *fmt, ...)
{
    if (g->err.code == FEW_OK) {
        va_list ap;
        va_start(ap, fmt);
        g->err.code = code;
        vsnprintf(g->err.text, sizeof g->err.text, fmt, ap);
        va_end(ap);
    }
    return FEW_NONE;
}

static few_val no_memory(few_graph *g)
{
    return few_graph_fail(g, FEW_ENOMEM, "%s: out of memory while building the graph", g->label);
}

void few_graph_label(few_graph *g, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(g->label, sizeof g->label, fmt, ap);
    va_end(ap);
}

/* Room for one more element; NULL-safe doubling. */
static void *grow(void *array, int n, int *room, size_t size)
{
    if (n < *room)
        return array;
    const int want = *room ? *room * 2 : 64;
    void *p = few_realloc(array, (size_t)want * size);
    if (p)
        *room = want;
    return p;
}

static few_val add_tensor(few_graph *g, few_origin source, few_dtype dtype, few_shape shape)
{
    few_tensor *p = grow(g->tensors, g->n_tensors, &g->room_tensors, sizeof *p);
    if (!p)
        return no_memory(g);
    g->tensors = p;
    p[g->n_tensors] = (few_tensor){ .shape = shape,
                                    .dtype = dtype,
                                    .source = source,
                                    .node = -1,
                                    .set = -1,
                                    .param = -1,
                                    .grad_of = -1 };
    return g->n_tensors++;
}

static bool sane(few_graph *g, const char *name, const few_shape *s)
{
    int64_t n = 1;
    if (s->rank < 0 || s->rank > FEW_MAX_RANK) {
        few_graph_fail(g, FEW_EINVAL, "%s%s'%s' has rank %d, at most %d is possible", g->label,
                       g->label[0] ? ": " : "", name, s->rank, FEW_MAX_RANK);
        return false;
    }
    for (int k = 0; k < s->rank; k++)
        if (s->d[k] < 1 || __builtin_mul_overflow(n, s->d[k], &n) || n > INT64_C(1) << 40) {
            char buf[96];
            few_graph_fail(g, FEW_EINVAL, "%s%s'%s' has the impossible shape %s", g->label,
                           g->label[0] ? ": " : "", name, few_shape_text(s, buf));
            return false;
        }
    return true;
}

few_val few_graph_input(few_graph *g, const char *name, few_dtype dtype, few_shape shape,
                        bool shared)
{
    if (g->err.code != FEW_OK || !sane(g, name, &shape))
        return FEW_NONE;
    for (few_val v = 0; v < g->n_tensors; v++)
        if (g->tensors[v].source == FEW_FROM_INPUT && !strcmp(g->tensors[v].name, name)) {
            if (few_shape_equal(&g->tensors[v].shape, &shape) && g->tensors[v].dtype == dtype &&
                g->tensors[v].shared == shared)
                return v;
            return few_graph_fail(g, FEW_EINVAL, "input '%s' is declared twice, differently", name);
        }
    char *copy = few_strdup(name);
    if (!copy)
        return no_memory(g);
    const few_val v = add_tensor(g, FEW_FROM_INPUT, dtype, shape);
    if (v == FEW_NONE) {
        few_free(copy);
        return v;
    }
    g->tensors[v].name = copy;
    g->tensors[v].shared = shared;
    return v;
}

few_val few_graph_const(few_graph *g, few_shape shape, const float *value)
{
    if (g->err.code != FEW_OK || !sane(g, "constant", &shape))
        return FEW_NONE;
    const size_t bytes = (size_t)few_shape_count(&shape) * sizeof(float);
    float *copy = few_malloc(bytes);
    if (!copy)
        return no_memory(g);
    memcpy(copy, value, bytes);
    const few_val v = add_tensor(g, FEW_FROM_CONST, FEW_F32, shape);
    if (v == FEW_NONE)
        few_free(copy);
    else
        g->tensors[v].value = copy;
    return v;
}

void few_graph_use_set(few_graph *g, int set, few_params *ps)
{
    g->sets[set] = ps;
}

few_val few_graph_param(few_graph *g, int set, const char *name, few_shape shape, few_init init,
                        double bound)
{
    if (g->err.code != FEW_OK || !sane(g, name, &shape))
        return FEW_NONE;
    few_params *ps = g->sets[set];
    int k = few_params_find(ps, name);
    if (k < 0) {
        few_param *p = grow(ps->v, ps->n, &ps->room, sizeof *p);
        char *copy = few_strdup(name);
        if (p)
            ps->v = p;
        if (!p || !copy) {
            few_free(copy);
            return no_memory(g);
        }
        k = ps->n++;
        const int64_t count = few_shape_count(&shape);
        p[k] = (few_param){ .name = copy,
                            .shape = shape,
                            .offset = ps->count,
                            .count = count,
                            .init = init,
                            .bound = bound };
        ps->count += (count + 15) & ~INT64_C(15);
    } else if (!few_shape_equal(&ps->v[k].shape, &shape)) {
        char a[96], b[96];
        return few_graph_fail(g, FEW_EINVAL,
                              "%s: parameter '%s' has shape %s, the network wants %s", g->label,
                              name, few_shape_text(&ps->v[k].shape, a), few_shape_text(&shape, b));
    }
    for (few_val v = 0; v < g->n_tensors; v++)
        if (g->tensors[v].source == FEW_FROM_PARAM && g->tensors[v].set == set &&
            g->tensors[v].param == k)
            return v;
    const few_val v = add_tensor(g, FEW_FROM_PARAM, FEW_F32, shape);
    if (v != FEW_NONE) {
        g->tensors[v].set = set;
        g->tensors[v].param = k;
    }
    return v;
}

few_val few_graph_apply(few_graph *g, const few_op *op, const few_val *in, int n_in,
                        const few_attrs *a)
{
    if (g->err.code != FEW_OK)
        return FEW_NONE;
    if (n_in < op->min_in || n_in > op->max_in)
        return few_graph_fail(g, FEW_EINVAL, "%s: op '%s' takes %d to %d inputs, got %d", g->label,
                              op->name, op->min_in, op->max_in, n_in);
    few_node node = { .op = op, .n_in = n_in, .n_out = op->n_out, .label = g->label };
    if (a)
        node.a = *a;
    few_infer c = { .g = g, .node = &node };
    for (int k = 0; k < FEW_MAX_IN; k++) {
        node.in[k] = k < n_in ? in[k] : FEW_NONE;
        c.in[k] = node.in[k] == FEW_NONE ? NULL : &g->tensors[node.in[k]];
    }
    if (!c.in[0])
        return few_graph_fail(g, FEW_EINVAL, "%s: op '%s' lacks its first input", g->label,
                              op->name);
    for (int k = 0; k < op->n_out; k++)
        c.dtype[k] = c.in[0]->dtype;
    if (op->infer(&c) != FEW_OK)
        return few_graph_fail(g, FEW_EINVAL, "%s: op '%s' refused its inputs", g->label, op->name);
    for (int k = 0; k < op->n_out; k++)
        if (!sane(g, op->name, &c.shape[k]))
            return FEW_NONE;

    few_node *p = grow(g->nodes, g->n_nodes, &g->room_nodes, sizeof *p);
    char *label = few_strdup(g->label);
    if (p)
        g->nodes = p;
    if (!p || !label) {
        few_free(label);
        return no_memory(g);
    }
    node.label = label;
    for (int k = 0; k < FEW_MAX_OUT; k++)
        node.out[k] = FEW_NONE;
    for (int k = 0; k < op->n_out; k++) {
        const few_val v = add_tensor(g, FEW_FROM_NODE, c.dtype[k], c.shape[k]);
        if (v == FEW_NONE) {
            few_free(label);
            return v;
        }
        g->tensors[v].node = g->n_nodes;
        g->tensors[v].slot = k;
        node.out[k] = v;
    }
    p[g->n_nodes++] = node;
    return node.out[0];
}

few_val few_graph_out(const few_graph *g, few_val v, int k)
{
    if (v == FEW_NONE || g->tensors[v].node < 0)
        return FEW_NONE;
    return g->nodes[g->tensors[v].node].out[k];
}

void few_graph_output(few_graph *g, few_val v, const char *name)
{
    if (g->err.code != FEW_OK || v == FEW_NONE)
        return;
    few_tensor *t = &g->tensors[v];
    if (t->name) {
        few_graph_fail(g, FEW_EINVAL, "output '%s': the tensor is already named '%s'", name,
                       t->name);
        return;
    }
    t->name = few_strdup(name);
    t->output = true;
    if (!t->name)
        no_memory(g);
}

void few_graph_reachable(const few_graph *g, uint8_t *mark)
{
    memset(mark, 0, (size_t)g->n_nodes);
    for (int v = 0; v < g->n_tensors; v++)
        if (g->tensors[v].node >= 0 && (g->tensors[v].output || g->tensors[v].grad_of >= 0))
            mark[g->tensors[v].node] = 1;
    for (int k = g->n_nodes - 1; k >= 0; k--) /* nodes stand in topological order */
        for (int j = 0; mark[k] && j < g->nodes[k].n_in; j++) {
            const few_val v = g->nodes[k].in[j];
            if (v != FEW_NONE && g->tensors[v].node >= 0)
                mark[g->tensors[v].node] = 1;
        }
}

double few_graph_flops(const few_graph *g)
{
    uint8_t *mark = few_calloc((size_t)g->n_nodes + 1, 1);
    if (!mark)
        return 0;
    few_graph_reachable(g, mark);
    double sum = 0;
    for (int k = 0; k < g->n_nodes; k++) {
        const few_node *n = &g->nodes[k];
        if (mark[k])
            sum += n->op->flops ? n->op->flops(n, g)
                                : (double)few_shape_count(&g->tensors[n->out[0]].shape);
    }
    few_free(mark);
    return sum;
}

void few_graph_print(const few_graph *g, few_strbuf *out)
{
    char buf[96];
    for (int k = 0; k < g->n_nodes; k++) {
        const few_node *n = &g->nodes[k];
        few_strbuf_addf(out, "%-48s %-20s", n->label, n->op->name);
        for (int j = 0; j < n->n_in; j++)
            if (n->in[j] != FEW_NONE)
                few_strbuf_addf(out, " %%%d", n->in[j]);
        few_strbuf_addf(out, " -> %%%d %s\n", n->out[0],
                        few_shape_text(&g->tensors[n->out[0]].shape, buf));
    }
}

/* Where every tensor of a plan lives: concrete types, aliases, in-place results, lives, offsets.
 *
 * Offsets are given greedily: the largest tensors first, each at the lowest place where it meets no
 * tensor that lives at the same time. With a few hundred tensors this comes within a few percent
 * of the largest sum of living bytes. */
#include "base/alloc.h"
#include "cpu/plan.h"

#include <stdlib.h>
#include <string.h>

enum { ALIGN = 64 };

static size_t aligned(size_t n)
{
    return (n + ALIGN - 1) & ~(size_t)(ALIGN - 1);
}

static few_dtype concrete(const few_plan *p, few_dtype t)
{
    if (t != FEW_ACT)
        return t;
    return p->precision == FEW_PRECISION_BF16 ? FEW_BF16 : FEW_F32;
}

static bool computed(const few_plan *p, few_val v)
{
    return p->g->tensors[v].source == FEW_FROM_NODE;
}

/* A result that is its input's bytes under another name. */
static bool is_alias(const few_plan *p, const few_node *n)
{
    return n->op->flags & FEW_OP_ALIAS && p->slot[n->in[0]].type == p->slot[n->out[0]].type;
}

/* Steps in which each tensor is last read; outputs live to the end. */
static void find_lives(few_plan *p)
{
    for (int v = 0; v < p->g->n_tensors; v++)
        p->slot[v].first = p->slot[v].last = -1;
    for (int k = 0; k < p->n_steps; k++) {
        const few_node *n = p->step[k].node;
        for (int j = 0; j < n->n_in; j++)
            if (n->in[j] != FEW_NONE)
                p->slot[n->in[j]].last = k;
        for (int j = 0; j < n->n_out; j++)
            p->slot[n->out[j]].first = k;
    }
    for (int v = 0; v < p->g->n_tensors; v++)
        if (p->g->tensors[v].output && p->slot[v].first >= 0)
            p->slot[v].last = p->n_steps;
}

/* Join tensors that share bytes: v becomes part of the root of `with`. */
static void join(few_plan *p, few_val v, few_val with)
{
    few_slot *s = &p->slot[v], *r = &p->slot[p->slot[with].root];
    s->root = p->slot[with].root;
    if (s->last > r->last)
        r->last = s->last;
}

static void share(few_plan *p)
{
    for (int k = 0; k < p->n_steps; k++) {
        few_step *st = &p->step[k];
        const few_node *n = st->node;
        const few_val out = n->out[0], in = n->in[0];
        if (is_alias(p, n)) {
            join(p, out, in);
            st->skip = true;
            continue;
        }
        const few_slot *r = &p->slot[p->slot[in].root];
        if (n->op->flags & FEW_OP_INPLACE && !st->once && computed(p, p->slot[in].root) &&
            !p->step[r->first].once && r->last == k && p->slot[in].bytes == p->slot[out].bytes) {
            bool twice = false; /* the same tensor as another input, too */
            for (int j = 1; j < n->n_in; j++)
                twice |= n->in[j] != FEW_NONE && p->slot[n->in[j]].root == p->slot[in].root;
            if (!twice)
                join(p, out, in);
        }
    }
}

struct item {
    size_t bytes, offset;
    int first, last, v;
};

static int by_size(const void *a, const void *b)
{
    const struct item *x = a, *y = b;
    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? 1 : -1;
    return x->v - y->v;
}

static int by_offset(const void *a, const void *b)
{
    const struct item *x = *(const struct item *const *)a, *y = *(const struct item *const *)b;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* Greedy placement; see the head of the file. Returns the arena's size, or SIZE_MAX. */
static size_t place(struct item *it, int n)
{
    const struct item **near = few_malloc(((size_t)n + 1) * sizeof *near);
    size_t total = 0;
    if (!near)
        return SIZE_MAX;
    qsort(it, (size_t)n, sizeof *it, by_size);
    for (int k = 0; k < n; k++) {
        int m = 0;
        for (int j = 0; j < k; j++)
            if (it[j].first <= it[k].last && it[k].first <= it[j].last)
                near[m++] = &it[j];
        qsort(near, (size_t)m, sizeof *near, by_offset);
        size_t at = 0;
        for (int j = 0; j < m && near[j]->offset < at + it[k].bytes; j++)
            if (near[j]->offset + near[j]->bytes > at)
                at = near[j]->offset + near[j]->bytes;
        it[k].offset = at;
        if (at + it[k].bytes > total)
            total = at + it[k].bytes;
    }
    few_free(near);
    return total;
}

few_status few_plan_layout(few_plan *p, const uint8_t *mark, few_error *err)
{
    const few_graph *g = p->g;
    few_status st = FEW_OK;
    struct item *it = few_malloc(((size_t)g->n_tensors + 1) * sizeof *it);
    if (!it)
        return few_fail(err, FEW_ENOMEM, "out of memory while planning");
    for (int v = 0; v < g->n_tensors; v++) {
        few_slot *s = &p->slot[v];
        s->type = concrete(p, g->tensors[v].dtype);
        s->bytes = (size_t)few_shape_count(&g->tensors[v].shape) * few_dtype_size(s->type);
        s->root = v;
        s->place = FEW_PLACE_NONE;
        if (g->tensors[v].source == FEW_FROM_INPUT)
            s->place = FEW_PLACE_INPUT;
        if (g->tensors[v].source == FEW_FROM_PARAM) {
            s->place = FEW_PLACE_PARAM;
            s->offset = (size_t)g->sets[g->tensors[v].set]->v[g->tensors[v].param].offset * 4;
        }
    }
    /* Constants, and nodes that see nothing else. */
    bool any;
    for (int k = 0; k < p->n_steps; k++) {
        const few_node *n = p->step[k].node;
        any = false;
        for (int j = 0; j < n->n_in; j++)
            if (n->in[j] != FEW_NONE) {
                const few_tensor *t = &g->tensors[n->in[j]];
                any |= t->source == FEW_FROM_INPUT || t->source == FEW_FROM_PARAM;
            }
        for (int j = 0; j < n->n_in; j++)
            if (n->in[j] != FEW_NONE && computed(p, n->in[j]))
                any |= p->slot[n->in[j]].place != FEW_PLACE_FIXED;
        p->step[k].once = !any;
        for (int j = 0; j < n->n_out; j++)
            p->slot[n->out[j]].place = any ? FEW_PLACE_ARENA : FEW_PLACE_FIXED;
    }
    for (int v = 0; v < g->n_tensors; v++)
        if (g->tensors[v].source == FEW_FROM_CONST)
            p->slot[v].place = FEW_PLACE_FIXED;

    find_lives(p);
    /* Outputs nobody reads need no place. */
    for (int v = 0; v < g->n_tensors; v++)
        if (computed(p, v) &&
            (!mark[g->tensors[v].node] ||
             (p->slot[v].last < 0 && !g->tensors[v].output && g->tensors[v].grad_of < 0)))
            p->slot[v].place = FEW_PLACE_NONE;
    share(p);

    int n = 0;
    size_t fixed = 0;
    for (int v = 0; v < g->n_tensors; v++) {
        few_slot *s = &p->slot[v];
        if (s->root != v)
            continue;
        if (s->place == FEW_PLACE_FIXED) {
            s->offset = fixed;
            fixed += aligned(s->bytes);
        }
        if (s->place == FEW_PLACE_ARENA)
            it[n++] = (struct item){ aligned(s->bytes), 0, s->first,
                                     s->last < s->first ? s->first : s->last, v };
    }
    p->fixed_bytes = fixed;
    p->arena_bytes = place(it, n);
    if (p->arena_bytes == SIZE_MAX)
        st = few_fail(err, FEW_ENOMEM, "out of memory while planning");
    for (int k = 0; k < n; k++)
        p->slot[it[k].v].offset = it[k].offset;
    for (int v = 0; v < g->n_tensors; v++) { /* parts follow their roots */
        const few_slot *r = &p->slot[p->slot[v].root];
        if (p->slot[v].root != v && p->slot[v].place != FEW_PLACE_NONE) {
            p->slot[v].place = r->place;
            p->slot[v].offset = r->offset;
        }
    }
    few_free(it);
    return st;
}

void *few_plan_address(const few_plan *p, few_val v, int w)
{
    const few_slot *s = &p->slot[v];
    if (s->place == FEW_PLACE_ARENA)
        return p->worker[w].arena + s->offset;
    if (s->place == FEW_PLACE_FIXED)
        return p->fixed + s->offset;
    return NULL;
}

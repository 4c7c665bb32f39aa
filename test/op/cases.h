/* An op's case as a graph with values: shared by the reference, gradient and kernel tests. */
#ifndef TEST_OP_CASES_H
#define TEST_OP_CASES_H

#include "base/alloc.h"
#include "base/philox.h"
#include "op/ops.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct op_case {
    few_graph g;
    int n_in;
    few_val in[FEW_MAX_IN];       /* the graph's inputs, f32, i32 or u8 */
    few_val arg[FEW_MAX_IN];      /* what the op gets: the same, or cast to an activation */
    few_val out[FEW_MAX_OUT];     /* outputs as the op gives them */
    few_val out_f32[FEW_MAX_OUT]; /* the same in f32, named "out0", ... */
    double *value[FEW_MAX_IN];
} op_case;

static inline float round_bf16(double x)
{
    float f = (float)x;
    uint32_t u;
    memcpy(&u, &f, 4);
    u = (u + 0x7fff + (u >> 16 & 1)) & 0xffff0000u;
    memcpy(&f, &u, 4);
    return f;
}

/* Element i of input k: what the case asks for, exact in f32 (in bf16 for activations). */
static inline double case_value(const few_op *op, const few_op_case *c, int k, int64_t i)
{
    double u[4], z[4];
    const uint32_t counter[4] = { (uint32_t)i, FEW_RNG_NOISE, (uint32_t)k, 7 };
    few_philox_uniform(counter, (uint32_t[2]){ 11, 0 }, u);
    few_philox_normal(counter, (uint32_t[2]){ 12, 0 }, z);
    if (op->in_dtype[k] == FEW_I32 || op->in_dtype[k] == FEW_U8)
        return floor(u[0] * c->below);
    double x = z[0] * (c->scale > 0 ? c->scale : 1);
    if (c->positive >> k & 1)
        x = fabs(z[0]) + 0.1;
    return op->act_in >> k & 1 ? (double)round_bf16(x) : (double)(float)x;
}

static inline void case_make(op_case *t, const few_op *op, const few_op_case *c)
{
    memset(t, 0, sizeof *t);
    few_graph_init(&t->g);
    few_graph_label(&t->g, "%s/%s", op->name, c->name);
    for (int k = 0; k < FEW_MAX_IN; k++) {
        t->in[k] = t->arg[k] = FEW_NONE;
        if (k >= op->max_in || c->in[k].rank == 0 || c->absent >> k & 1)
            continue;
        char name[16];
        snprintf(name, sizeof name, "in%d", k);
        t->in[k] = t->arg[k] = few_graph_input(&t->g, name, op->in_dtype[k], c->in[k], true);
        if (op->act_in >> k & 1)
            t->arg[k] = few_cast(&t->g, t->in[k], FEW_ACT);
        t->n_in = k + 1;
        const int64_t n = few_shape_count(&c->in[k]);
        t->value[k] = few_malloc((size_t)n * sizeof(double));
        for (int64_t i = 0; i < n; i++)
            t->value[k][i] = case_value(op, c, k, i);
    }
    if (t->n_in < op->min_in)
        t->n_in = op->min_in;
    t->out[0] = few_graph_apply(&t->g, op, t->arg, t->n_in, &c->a);
    for (int k = 0; k < op->n_out && t->out[0] != FEW_NONE; k++) {
        char name[16];
        snprintf(name, sizeof name, "out%d", k);
        t->out[k] = few_graph_out(&t->g, t->out[0], k);
        t->out_f32[k] = few_affine(&t->g, few_cast(&t->g, t->out[k], FEW_F32), 1, 0);
        few_graph_output(&t->g, t->out_f32[k], name);
    }
}

static inline void case_free(op_case *t)
{
    for (int k = 0; k < FEW_MAX_IN; k++)
        few_free(t->value[k]);
    few_graph_clear(&t->g);
}

/* All tensors of the case's graph in double; free with case_values_free. */
static inline double **case_run(const op_case *t)
{
    double **v = few_calloc((size_t)t->g.n_tensors, sizeof *v);
    few_error err = { 0 };
    for (int k = 0; k < FEW_MAX_IN; k++)
        if (t->in[k] != FEW_NONE)
            v[t->in[k]] = t->value[k];
    if (few_reference_run(&t->g, v, &err) != FEW_OK)
        printf("%s\n", err.text);
    return v;
}

static inline void case_values_free(const op_case *t, double **v)
{
    few_reference_free(&t->g, v);
    few_free(v);
}

#endif

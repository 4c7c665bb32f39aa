/* Generated from the ops' cases: every CPU kernel against the op's reference in double, in f32 and
 * bf16, alone and, of weights' gradients, added up over slices. */
#include "cpu/simd.h"
#include "graph/backend.h"
#include "op/cases.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

enum { SLICES = 3 };

static void *typed(const double *v, int64_t n, few_dtype t)
{
    void *p = malloc((size_t)n * 4);
    for (int64_t i = 0; i < n; i++)
        if (t == FEW_I32)
            ((int32_t *)p)[i] = (int32_t)v[i];
        else if (t == FEW_U8)
            ((uint8_t *)p)[i] = (uint8_t)v[i];
        else
            ((float *)p)[i] = (float)v[i];
    return p;
}

static void compare(const few_op *op, const few_op_case *c, few_precision precision, int k,
                    const float *have, const double *want, int64_t n)
{
    double largest = 1e-3;
    for (int64_t i = 0; i < n; i++)
        largest = fmax(largest, fabs(want[i]));
    /* f32: rounding of sums. bf16: 8 bits, times a few roundings of intermediates. */
    const double tol =
        precision == FEW_PRECISION_F32 ? (c->rtol_f32 > 0 ? c->rtol_f32 : 2e-5) : 1.2e-2;
    for (int64_t i = 0; i < n; i++)
        if (!(fabs(want[i] - (double)have[i]) <= tol * largest))
            fail_msg("%s/%s in %s: output %d element %lld is %.9g, the reference says %.9g",
                     op->name, c->name, precision == FEW_PRECISION_F32 ? "f32" : "bf16", k,
                     (long long)i, (double)have[i], want[i]);
}

static void check(const few_op *op, const few_op_case *c, few_precision precision, int team)
{
    op_case t;
    few_error err = { 0 };
    few_plan *plan = NULL;
    void *in[FEW_MAX_IN] = { NULL };
    float *out[FEW_MAX_OUT] = { NULL };
    case_make(&t, op, c);
    const few_plan_options o = { .precision = precision, .workers = 1, .team = team };
    if (few_backend_cpu.compile(&t.g, &o, &plan, &err) != FEW_OK)
        fail_msg("%s/%s: %s", op->name, c->name, err.text);
    for (int k = 0; k < FEW_MAX_IN; k++)
        if (t.in[k] != FEW_NONE) {
            in[k] = typed(t.value[k], few_shape_count(&c->in[k]), op->in_dtype[k]);
            few_backend_cpu.bind(plan, t.g.tensors[t.in[k]].name, in[k], &err);
        }
    for (int k = 0; k < op->n_out; k++) {
        out[k] = calloc((size_t)few_shape_count(&t.g.tensors[t.out_f32[k]].shape), sizeof(float));
        few_backend_cpu.bind(plan, t.g.tensors[t.out_f32[k]].name, out[k], &err);
    }
    if (few_backend_cpu.run(plan, 1, &err) != FEW_OK)
        fail_msg("%s/%s: %s", op->name, c->name, err.text);
    double **v = case_run(&t);
    for (int k = 0; k < op->n_out; k++) {
        const few_val r = t.out_f32[k];
        compare(op, c, precision, k, out[k], v[r], few_shape_count(&t.g.tensors[r].shape));
    }
    case_values_free(&t, v);
    few_backend_cpu.release(plan);
    case_free(&t);
    for (int k = 0; k < FEW_MAX_IN; k++)
        free(in[k]);
    for (int k = 0; k < FEW_MAX_OUT; k++)
        free(out[k]);
}

/* The case with inputs of a batch's slices, its first `used` outputs gradients of parameters and
 * read by nobody else. */
static void make_gradients(op_case *t, few_params *ps, const few_op *op, const few_op_case *c,
                           int used)
{
    static const char *const name[] = { "weights", "bias" };
    case_make(t, op, c);
    few_graph_use_set(&t->g, 0, ps);
    for (int k = 0; k < t->n_in; k++)
        t->g.tensors[t->in[k]].shared = false;
    for (int k = 0; k < op->n_out; k++) {
        t->g.tensors[t->out_f32[k]].output = false;
        if (k < used) {
            few_graph_param(&t->g, 0, name[k], t->g.tensors[t->out[k]].shape, FEW_INIT_ZERO, 0);
            t->g.tensors[t->out[k]].grad_of = k;
        }
    }
}

/* Values of one slice after the other for the inputs, in[k] all of them; the references' sums are
 * added to want[k]. */
static void make_slices(op_case *t, const few_op *op, const few_op_case *c, float **in,
                        double **want)
{
    for (int s = 0; s < SLICES; s++) {
        for (int k = 0; k < t->n_in; k++) {
            const int64_t n = few_shape_count(&c->in[k]);
            for (int64_t i = 0; i < n; i++) {
                t->value[k][i] = case_value(op, c, k, s * n + i);
                in[k][s * n + i] = (float)t->value[k][i];
            }
        }
        double **v = case_run(t);
        for (int k = 0; k < op->n_out; k++)
            for (int64_t i = 0; i < few_shape_count(&t->g.tensors[t->out[k]].shape); i++)
                want[k][i] += v[t->out[k]][i];
        case_values_free(t, v);
    }
}

static void run_slices(op_case *t, const few_plan_options *o, const few_params *ps, float **in,
                       float *grad)
{
    few_error err = { 0 };
    few_plan *plan = NULL;
    float *master = few_calloc((size_t)ps->count, sizeof *master);
    if (few_backend_cpu.compile(&t->g, o, &plan, &err) != FEW_OK ||
        few_backend_cpu.params(plan, 0, master, &err) != FEW_OK)
        fail_msg("%s", err.text);
    for (int k = 0; k < t->n_in; k++)
        few_backend_cpu.bind(plan, t->g.tensors[t->in[k]].name, in[k], &err);
    const int64_t batch = SLICES * t->g.tensors[t->in[0]].shape.d[0];
    for (int step = 0; step < 2; step++) /* a second one starts from nothing */
        if (few_backend_cpu.run(plan, batch, &err) != FEW_OK ||
            few_backend_cpu.gradients(plan, grad, &err) != FEW_OK)
            fail_msg("%s", err.text);
    few_backend_cpu.release(plan);
    few_free(master);
}

static void compare_slices(const few_op *op, const few_op_case *c, int used, float **in,
                           double **want)
{
    static const int ways[][2] = { { 1, 1 }, { 1, 3 }, { 2, 1 }, { 4, 1 } }; /* workers, team */
    static const few_precision both[] = { FEW_PRECISION_F32, FEW_PRECISION_BF16 };
    op_case t;
    few_params ps = { 0 };
    make_gradients(&t, &ps, op, c, used);
    float *grad = few_calloc((size_t)ps.count, sizeof *grad);
    for (size_t w = 0; w < 2 * FEW_COUNT(ways); w++) {
        const few_plan_options o = { .precision = both[w % 2],
                                     .workers = ways[w / 2][0],
                                     .team = ways[w / 2][1] };
        run_slices(&t, &o, &ps, in, grad);
        for (int k = 0; k < used; k++)
            compare(op, c, o.precision, k, grad + ps.v[k].offset, want[k], ps.v[k].count);
    }
    few_free(grad);
    case_free(&t);
    few_params_free(&ps);
}

/* As parameters' gradients, which a worker keeps in a layout of its own from slice to slice: of
 * weights alone, and with the bias. */
static void check_slices(const few_op *op, const few_op_case *c)
{
    op_case t;
    float *in[FEW_MAX_IN] = { NULL };
    double *want[FEW_MAX_OUT] = { NULL };
    case_make(&t, op, c);
    for (int k = 0; k < t.n_in; k++)
        in[k] = few_calloc((size_t)few_shape_count(&c->in[k]) * SLICES, sizeof(float));
    for (int k = 0; k < op->n_out; k++)
        want[k] = few_calloc((size_t)few_shape_count(&t.g.tensors[t.out[k]].shape), sizeof(double));
    make_slices(&t, op, c, in, want);
    for (int used = 1; used <= op->n_out; used++)
        compare_slices(op, c, used, in, want);
    for (int k = 0; k < t.n_in; k++)
        few_free(in[k]);
    for (int k = 0; k < op->n_out; k++)
        few_free(want[k]);
    case_free(&t);
}

static void kernels_agree_with_references(few_precision p)
{
    for (int k = 0; k < few_n_ops; k++)
        for (const few_op_case *c = few_ops[k]->cases; c->name; c++)
            for (int team = 1; team <= 3; team += 2) /* alone, and with threads of its own */
                check(few_ops[k], c, p, team);
}

static void kernels_agree_in_f32(void **state)
{
    (void)state;
    kernels_agree_with_references(FEW_PRECISION_F32);
}

static void kernels_agree_in_bf16(void **state)
{
    (void)state;
    kernels_agree_with_references(FEW_PRECISION_BF16);
}

static void gradients_add_up(void **state)
{
    (void)state;
    int checked = 0;
    for (int k = 0; k < few_n_ops; k++)
        for (const few_op_case *c = few_ops[k]->cases; c->name; c++)
            if (strstr(few_ops[k]->name, "_grad_weights")) {
                check_slices(few_ops[k], c);
                checked++;
            }
    assert_true(checked > 0);
}

/* Whether this CPU has the kernels that FEW_ISA names; the best ones would run in their place. */
static bool has_isa(void)
{
    const char *isa = getenv("FEW_ISA");
    if (!isa || !*isa)
        return true;
    return !strcmp(isa, "amx") ? few_cpu_may_use_amx() : few_simd_named(isa) != NULL;
}

int main(void)
{
    if (!has_isa()) {
        printf("skipped: this CPU has no %s\n", getenv("FEW_ISA"));
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kernels_agree_in_f32),
        cmocka_unit_test(kernels_agree_in_bf16),
        cmocka_unit_test(gradients_add_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

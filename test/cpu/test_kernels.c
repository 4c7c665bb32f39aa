/* Generated from the ops' cases: every CPU kernel against the op's reference in double, in f32 and
 * bf16, alone and accumulated over slices. */
#include "graph/backend.h"
#include "op/cases.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

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
        const int64_t n = few_shape_count(&t.g.tensors[r].shape);
        double largest = 1e-3;
        for (int64_t i = 0; i < n; i++)
            largest = fmax(largest, fabs(v[r][i]));
        /* f32: rounding of sums. bf16: 8 bits, times a few roundings of intermediates. */
        const double tol =
            precision == FEW_PRECISION_F32 ? (c->rtol_f32 > 0 ? c->rtol_f32 : 2e-5) : 1.2e-2;
        for (int64_t i = 0; i < n; i++)
            if (!(fabs(v[r][i] - (double)out[k][i]) <= tol * largest))
                fail_msg("%s/%s in %s: output %d element %lld is %.9g, the reference says %.9g",
                         op->name, c->name, precision == FEW_PRECISION_F32 ? "f32" : "bf16", k,
                         (long long)i, (double)out[k][i], v[r][i]);
    }
    case_values_free(&t, v);
    few_backend_cpu.release(plan);
    case_free(&t);
    for (int k = 0; k < FEW_MAX_IN; k++)
        free(in[k]);
    for (int k = 0; k < FEW_MAX_OUT; k++)
        free(out[k]);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kernels_agree_in_f32),
        cmocka_unit_test(kernels_agree_in_bf16),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Generated from the descriptors: every op has cases, gradients agree with finite differences in
 * double, and no nonsense of shapes crashes. */
#include "op/cases.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static void every_op_is_complete(void **state)
{
    (void)state;
    for (int k = 0; k < few_n_ops; k++) {
        const few_op *op = few_ops[k];
        int cases = 0;
        while (op->cases && op->cases[cases].name)
            cases++;
        if (cases < 3 || !op->help || !op->help[0] || !op->infer || !op->reference)
            fail_msg("op '%s' lacks cases (%d), help, infer or reference", op->name, cases);
        if (!op->grad && !(op->flags & FEW_OP_NO_GRAD))
            fail_msg("op '%s' has no gradient and does not say so", op->name);
        for (int j = 0; j < k; j++)
            assert_string_not_equal(few_ops[j]->name, op->name);
    }
}

/* Sum over output 0 of weight * output, evaluated anew. */
static double loss_of(const op_case *t, few_val loss)
{
    double **v = case_run(t), sum = 0;
    for (int64_t i = 0, n = few_shape_count(&t->g.tensors[loss].shape); i < n; i++)
        sum += v[loss][i];
    case_values_free(t, v);
    return sum;
}

static void check_gradient(const few_op *op, const few_op_case *c)
{
    op_case t;
    case_make(&t, op, c);
    few_error err = { 0 };
    if (few_graph_status(&t.g, &err) != FEW_OK)
        fail_msg("%s", err.text);
    const few_shape shape = t.g.tensors[t.out[0]].shape;
    const int64_t n = few_shape_count(&shape);
    float *w = malloc((size_t)n * sizeof *w);
    for (int64_t i = 0; i < n; i++)
        w[i] = (float)cos(1 + 0.7 * (double)i);
    const few_val loss = few_mul(&t.g, t.out_f32[0], few_graph_const(&t.g, shape, w));
    few_val wrt[FEW_MAX_IN], grad[FEW_MAX_IN];
    int which[FEW_MAX_IN], m = 0;
    for (int k = 0; k < FEW_MAX_IN; k++)
        if (t.in[k] != FEW_NONE && op->in_dtype[k] == FEW_F32 && !(op->no_grad_in >> k & 1)) {
            which[m] = k;
            wrt[m++] = t.in[k];
        }
    few_graph_backward(&t.g, loss, wrt, m, grad);
    if (few_graph_status(&t.g, &err) != FEW_OK)
        fail_msg("%s", err.text);
    double **v = case_run(&t);
    for (int j = 0; j < m; j++) {
        const int64_t count = few_shape_count(&c->in[which[j]]);
        if (grad[j] == FEW_NONE)
            fail_msg("%s/%s: input %d has no gradient", op->name, c->name, which[j]);
        assert_true(few_shape_equal(&t.g.tensors[grad[j]].shape, &c->in[which[j]]));
        for (int64_t i = 0; i < count; i += 1 + count / 24) {
            const double h = 1e-5, x = t.value[which[j]][i];
            t.value[which[j]][i] = x + h;
            const double up = loss_of(&t, loss);
            t.value[which[j]][i] = x - h;
            const double down = loss_of(&t, loss);
            t.value[which[j]][i] = x;
            const double want = (up - down) / (2 * h), have = v[grad[j]][i];
            if (!(fabs(want - have) <= 2e-6 * (1 + fabs(want))))
                fail_msg("%s/%s: input %d element %lld: gradient %.9g, difference %.9g", op->name,
                         c->name, which[j], (long long)i, have, want);
        }
    }
    case_values_free(&t, v);
    case_free(&t);
    free(w);
}

static void gradients_agree_with_differences(void **state)
{
    (void)state;
    int checked = 0;
    for (int k = 0; k < few_n_ops; k++)
        for (const few_op_case *c = few_ops[k]->cases; c->name; c++)
            if (!(few_ops[k]->flags & FEW_OP_NO_GRAD)) {
                check_gradient(few_ops[k], c);
                checked++;
            }
    assert_true(checked > 60);
}

/* Inputs of every rank and odd sizes: a status and a message with the label, never a crash. */
static void nonsense_is_refused(void **state)
{
    (void)state;
    static const int64_t size[5] = { 2, 3, 1, 5, 2 };
    int refused = 0;
    for (int k = 0; k < few_n_ops; k++)
        for (int rank = 0; rank <= FEW_MAX_RANK; rank++)
            for (int second = 0; second <= FEW_MAX_RANK; second++)
                for (int type = 0; type < 4; type++) {
                    few_graph g;
                    few_graph_init(&g);
                    few_graph_label(&g, "here");
                    few_shape a = { .rank = rank }, b = { .rank = second };
                    memcpy(a.d, size, sizeof a.d);
                    memcpy(b.d, size, sizeof b.d);
                    few_val in[FEW_MAX_IN];
                    in[0] = few_graph_input(&g, "a", (few_dtype)type, a, true);
                    for (int j = 1; j < FEW_MAX_IN; j++)
                        in[j] = few_graph_input(&g, "b", FEW_F32, b, true);
                    const few_attrs at = { .i = { second, -rank, 1, rank } };
                    if (few_graph_apply(&g, few_ops[k], in, few_ops[k]->min_in, &at) == FEW_NONE) {
                        assert_non_null(strstr(g.err.text, "here"));
                        refused++;
                    }
                    few_graph_clear(&g);
                }
    assert_true(refused > 1000);
}

static void missing_inputs_are_refused(void **state)
{
    (void)state;
    for (int k = 0; k < few_n_ops; k++) {
        few_graph g;
        few_graph_init(&g);
        few_graph_label(&g, "here");
        few_val in[FEW_MAX_IN];
        for (int j = 0; j < FEW_MAX_IN; j++)
            in[j] = FEW_NONE;
        assert_int_equal(few_graph_apply(&g, few_ops[k], in, few_ops[k]->min_in, NULL), FEW_NONE);
        assert_non_null(strstr(g.err.text, "here"));
        few_graph_clear(&g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_op_is_complete),
        cmocka_unit_test(gradients_agree_with_differences),
        cmocka_unit_test(nonsense_is_refused),
        cmocka_unit_test(missing_inputs_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Generated from the descriptors: every op has cases, references fill exactly the inferred shapes,
 * gradients agree with finite differences in double, and no nonsense of shapes, types or attributes
 * crashes. */
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
        for (const few_op_case *c = op->cases; c && c->name; c++, cases++)
            for (const few_op_case *d = op->cases; d != c; d++)
                assert_string_not_equal(c->name, d->name);
        if (cases < 3 || !op->help || !op->help[0] || !op->infer || !op->reference)
            fail_msg("op '%s' lacks cases (%d), help, infer or reference", op->name, cases);
        if (!op->grad && !(op->flags & FEW_OP_NO_GRAD))
            fail_msg("op '%s' has no gradient and does not say so", op->name);
        for (int j = 0; j < k; j++)
            assert_string_not_equal(few_ops[j]->name, op->name);
    }
}

/* A case without failure in its graph, or the test fails. */
static void make_or_fail(op_case *t, const few_op *op, const few_op_case *c)
{
    few_error err = { 0 };
    case_make(t, op, c);
    if (few_graph_status(&t->g, &err) != FEW_OK)
        fail_msg("%s", err.text);
}

/* Every element of an inferred shape is written, none behind it. */
static void references_fill_the_inferred_shapes(void **state)
{
    (void)state;
    enum { FENCE = 16 };
    for (int k = 0; k < few_n_ops; k++)
        for (const few_op_case *c = few_ops[k]->cases; c->name; c++) {
            op_case t;
            few_error err = { 0 };
            make_or_fail(&t, few_ops[k], c);
            double **v = few_calloc((size_t)t.g.n_tensors, sizeof *v);
            for (int j = 0; j < FEW_MAX_IN; j++)
                if (t.in[j] != FEW_NONE)
                    v[t.in[j]] = t.value[j];
            for (int j = 0; j < few_ops[k]->n_out; j++) {
                const int64_t n = few_shape_count(&t.g.tensors[t.out[j]].shape) + FENCE;
                v[t.out[j]] = few_malloc((size_t)n * sizeof(double));
                for (int64_t i = 0; i < n; i++)
                    v[t.out[j]][i] = NAN;
            }
            assert_int_equal(few_reference_run(&t.g, v, &err), FEW_OK);
            for (int j = 0; j < few_ops[k]->n_out; j++) {
                const int64_t n = few_shape_count(&t.g.tensors[t.out[j]].shape);
                for (int64_t i = 0; i < n + FENCE; i++)
                    if (isnan(v[t.out[j]][i]) != (i >= n))
                        fail_msg("%s/%s: output %d has %lld elements, number %lld is %s",
                                 few_ops[k]->name, c->name, j, (long long)n, (long long)i,
                                 i < n ? "not written" : "written");
            }
            case_values_free(&t, v);
            case_free(&t);
        }
}

/* Sum of a tensor, evaluated anew. */
static double loss_of(const op_case *t, few_val loss)
{
    double **v = case_run(t), sum = 0;
    for (int64_t i = 0, n = few_shape_count(&t->g.tensors[loss].shape); i < n; i++)
        sum += v[loss][i];
    case_values_free(t, v);
    return sum;
}

/* Output 0 times fixed weights: a loss to which every element contributes differently. */
static few_val weighted_output(op_case *t)
{
    const few_shape shape = t->g.tensors[t->out[0]].shape;
    const int64_t n = few_shape_count(&shape);
    float *w = malloc((size_t)n * sizeof *w);
    for (int64_t i = 0; i < n; i++)
        w[i] = (float)cos(1 + 0.7 * (double)i);
    const few_val loss = few_mul(&t->g, t->out_f32[0], few_graph_const(&t->g, shape, w));
    free(w);
    return loss;
}

static void check_gradient(const few_op *op, const few_op_case *c)
{
    op_case t;
    few_error err = { 0 };
    make_or_fail(&t, op, c);
    const few_val loss = weighted_output(&t);
    few_val wrt[2 * FEW_MAX_IN], grad[2 * FEW_MAX_IN];
    int which[FEW_MAX_IN], m = 0;
    for (int k = 0; k < FEW_MAX_IN; k++)
        if (t.in[k] != FEW_NONE && op->in_dtype[k] == FEW_F32 && !(op->no_grad_in >> k & 1))
            which[m++] = k;
    for (int j = 0; j < m; j++) {
        wrt[j] = t.in[which[j]];
        wrt[m + j] = t.arg[which[j]];
    }
    few_graph_backward(&t.g, loss, wrt, 2 * m, grad);
    if (few_graph_status(&t.g, &err) != FEW_OK)
        fail_msg("%s", err.text);
    for (int j = 0; j < 2 * m; j++) {
        const few_tensor *x = &t.g.tensors[wrt[j]], *d = &t.g.tensors[grad[j]];
        if (grad[j] == FEW_NONE)
            fail_msg("%s/%s: input %d has no gradient", op->name, c->name, which[j % m]);
        if (!few_shape_equal(&x->shape, &d->shape) || x->dtype != d->dtype)
            fail_msg("%s/%s: the gradient of input %d has another shape or type", op->name, c->name,
                     which[j % m]);
    }
    double **v = case_run(&t);
    for (int j = 0; j < m; j++) {
        const int64_t count = few_shape_count(&c->in[which[j]]);
        for (int64_t i = 0; i < count; i += 1 + count / 40) {
            const double h = 1e-5, x = t.value[which[j]][i];
            t.value[which[j]][i] = x + h;
            const double up = loss_of(&t, loss);
            t.value[which[j]][i] = x - h;
            const double down = loss_of(&t, loss);
            t.value[which[j]][i] = x;
            const double want = (up - down) / (2 * h), have = v[grad[j]][i];
            if (!(fabs(want - have) <= 1e-6 * (1 + fabs(want))))
                fail_msg("%s/%s: input %d element %lld: gradient %.9g, difference %.9g", op->name,
                         c->name, which[j], (long long)i, have, want);
        }
    }
    case_values_free(&t, v);
    case_free(&t);
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

/* Nothing flows through ops that say so, nor through statistics: no gradient, and no failure. */
static void gradients_stop_where_they_should(void **state)
{
    (void)state;
    int stopped = 0;
    for (int k = 0; k < few_n_ops; k++) {
        const few_op *op = few_ops[k];
        for (int out = op->flags & FEW_OP_NO_GRAD ? 0 : 1; out < op->n_out; out++) {
            op_case t;
            few_error err = { 0 };
            few_val grad[FEW_MAX_IN];
            make_or_fail(&t, op, op->cases);
            few_val wrt[FEW_MAX_IN];
            int m = 0;
            for (int j = 0; j < FEW_MAX_IN; j++)
                if (t.in[j] != FEW_NONE)
                    wrt[m++] = t.in[j];
            few_graph_backward(&t.g, t.out_f32[out], wrt, m, grad);
            if (few_graph_status(&t.g, &err) != FEW_OK)
                fail_msg("%s", err.text);
            for (int j = 0; j < m; j++)
                assert_int_equal(grad[j], FEW_NONE);
            case_free(&t);
            stopped++;
        }
    }
    assert_true(stopped > 15);
}

static void messages_name_what_is_wrong(void **state)
{
    (void)state;
    few_graph g;
    few_graph_init(&g);
    few_graph_label(&g, "down.%d", 3);
    const few_val x = few_graph_input(&g, "x", FEW_ACT, FEW_SHAPE(2, 8, 8, 64), true);
    const few_val w = few_graph_input(&g, "w", FEW_F32, FEW_SHAPE(16, 32, 3, 3), true);
    assert_int_equal(few_conv2d(&g, x, w, FEW_NONE, FEW_NONE, 1, 1, 1), FEW_NONE);
    static const char *const parts[] = { "down.3",   "conv2d",     "64 channels",
                                         "wants 32", "[2,8,8,64]", "[16,32,3,3]" };
    for (size_t k = 0; k < FEW_COUNT(parts); k++)
        if (!strstr(g.err.text, parts[k]))
            fail_msg("'%s' does not say '%s'", g.err.text, parts[k]);
    /* The first failure stays, what follows does nothing. */
    const few_error first = g.err;
    assert_int_equal(few_silu(&g, x), FEW_NONE);
    assert_string_equal(g.err.text, first.text);
    few_graph_clear(&g);
}

/* ---- nonsense -------------------------------------------------------------------------------*/

static uint32_t draw_at; /* the test is the same every time */

static int draw(int n)
{
    return (int)few_random_below(5, FEW_RNG_NOISE, 0, 0, draw_at++, (uint32_t)n);
}

static int64_t odd_int(void)
{
    static const int64_t v[] = {
        INT64_MIN,        INT64_MIN + 1, -1,       0, 1, 2, 3, 4, 5, 8, 16, 1 << 20, INT32_MAX,
        INT64_C(1) << 32, INT64_MAX - 1, INT64_MAX
    };
    return v[draw((int)FEW_COUNT(v))];
}

static double odd_number(void)
{
    static const double v[] = { NAN, INFINITY, -INFINITY, -1, 0, 0.5, 1, 1e-300, 1e300 };
    return v[draw((int)FEW_COUNT(v))];
}

static few_shape odd_shape(void)
{
    static const int64_t size[] = { 1, 1, 2, 3, 4, 8, 33 };
    few_shape s = { .rank = draw(FEW_MAX_RANK + 1) };
    for (int k = 0; k < s.rank; k++)
        s.d[k] = size[draw((int)FEW_COUNT(size))];
    return s;
}

/* One call of an op, before it is made. */
struct attempt {
    int n_in;
    bool there[FEW_MAX_IN];
    few_shape in[FEW_MAX_IN];
    few_dtype dtype[FEW_MAX_IN];
    few_attrs a;
};

static struct attempt from_case(const few_op *op, const few_op_case *c)
{
    struct attempt t = { .n_in = op->max_in, .a = c->a };
    while (t.n_in > op->min_in && c->in[t.n_in - 1].rank == 0)
        t.n_in--;
    for (int k = 0; k < op->max_in; k++) {
        t.there[k] = c->in[k].rank > 0 && !(c->absent >> k & 1);
        t.in[k] = c->in[k];
        t.dtype[k] = op->act_in >> k & 1 ? FEW_ACT : op->in_dtype[k];
    }
    return t;
}

/* Change one thing about it. */
static void spoil(struct attempt *t)
{
    const int k = draw(t->n_in > 0 ? t->n_in : 1);
    switch (draw(7)) {
    case 0:
        t->in[k] = odd_shape();
        t->there[k] = true;
        break;
    case 1:
        if (t->in[k].rank > 0)
            t->in[k].d[draw(t->in[k].rank)] = 1 + draw(9);
        break;
    case 2:
        t->dtype[k] = (few_dtype)draw(FEW_BF16 + 1);
        break;
    case 3:
        t->there[k] = !t->there[k];
        break;
    case 4:
        t->a.f[draw(4)] = odd_number();
        break;
    case 5:
        t->n_in = draw(FEW_MAX_IN + 1);
        break;
    default:
        t->a.i[draw(8)] = odd_int();
    }
}

/* Refused with label and name in the message, or accepted: then its gradient can be appended, and
 * small ones run (the sanitizers watch). Returns whether it was refused. */
static bool attempt(const few_op *op, const struct attempt *t)
{
    few_graph g;
    few_val in[FEW_MAX_IN], wrt[FEW_MAX_IN], grad[FEW_MAX_IN];
    int m = 0;
    int64_t size = 0;
    few_graph_init(&g);
    for (int k = 0; k < FEW_MAX_IN; k++) {
        char name[16];
        snprintf(name, sizeof name, "in%d", k);
        in[k] = t->there[k] ? few_graph_input(&g, name, t->dtype[k], t->in[k], true) : FEW_NONE;
        if (in[k] != FEW_NONE)
            wrt[m++] = in[k];
    }
    assert_int_equal(g.err.code, FEW_OK);
    few_graph_label(&g, "here");
    const few_val y = few_graph_apply(&g, op, in, t->n_in, &t->a);
    if (y == FEW_NONE) {
        if (g.err.code != FEW_EINVAL || !strstr(g.err.text, "here") ||
            !strstr(g.err.text, op->name))
            fail_msg("op '%s' refuses with '%s'", op->name, g.err.text);
        few_graph_clear(&g);
        return true;
    }
    const few_dtype type = g.tensors[y].dtype;
    for (int v = 0; v < g.n_tensors; v++)
        size += few_shape_count(&g.tensors[v].shape);
    if (size < 2000) {
        few_error err = { 0 };
        if (type == FEW_F32 || type == FEW_ACT)
            few_graph_backward(&g, y, wrt, m, grad);
        if (few_graph_status(&g, &err) != FEW_OK)
            fail_msg("op '%s' is accepted, its gradient is not: %s", op->name, err.text);
        double **v = few_calloc((size_t)g.n_tensors, sizeof *v);
        for (int k = 0; k < m; k++)
            v[wrt[k]] = few_calloc((size_t)few_shape_count(&g.tensors[wrt[k]].shape), sizeof **v);
        assert_int_equal(few_reference_run(&g, v, &err), FEW_OK);
        for (int k = 0; k < m; k++)
            few_free(v[wrt[k]]);
        few_reference_free(&g, v);
        few_free(v);
    }
    few_graph_clear(&g);
    return false;
}

static void nonsense_is_refused(void **state)
{
    (void)state;
    int refused = 0;
    draw_at = 0;
    for (int k = 0; k < few_n_ops; k++)
        for (int round = 0; round < 400; round++) {
            struct attempt t = { .n_in = draw(FEW_MAX_IN + 1) };
            for (int j = 0; j < FEW_MAX_IN; j++) {
                t.there[j] = draw(8) > 0;
                t.in[j] = odd_shape();
                t.dtype[j] = (few_dtype)draw(FEW_BF16 + 1);
                t.a.i[j] = odd_int();
                t.a.f[j % 4] = odd_number();
            }
            refused += attempt(few_ops[k], &t);
        }
    assert_true(refused > 350 * few_n_ops);
}

static void spoiled_cases_do_no_harm(void **state)
{
    (void)state;
    int refused = 0, accepted = 0;
    draw_at = 0;
    for (int k = 0; k < few_n_ops; k++)
        for (const few_op_case *c = few_ops[k]->cases; c->name; c++)
            for (int round = 0; round < 100; round++) {
                struct attempt t = from_case(few_ops[k], c);
                if (round == 0)
                    assert_false(attempt(few_ops[k], &t));
                for (int n = 1 + draw(2); n > 0; n--)
                    spoil(&t);
                if (attempt(few_ops[k], &t))
                    refused++;
                else
                    accepted++;
            }
    assert_true(refused > 5000 && accepted > 2000);
}

static void missing_inputs_are_refused(void **state)
{
    (void)state;
    for (int k = 0; k < few_n_ops; k++) {
        struct attempt t = { .n_in = few_ops[k]->min_in };
        assert_true(attempt(few_ops[k], &t));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_op_is_complete),
        cmocka_unit_test(references_fill_the_inferred_shapes),
        cmocka_unit_test(gradients_agree_with_differences),
        cmocka_unit_test(gradients_stop_where_they_should),
        cmocka_unit_test(messages_name_what_is_wrong),
        cmocka_unit_test(nonsense_is_refused),
        cmocka_unit_test(spoiled_cases_do_no_harm),
        cmocka_unit_test(missing_inputs_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

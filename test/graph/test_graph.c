/* Building graphs: what is refused and how it is said, gradients as nodes, the table of parameters
 * and its initial values. */
#include "base/alloc.h"
#include "base/strbuf.h"
#include "op/ops.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <math.h>

static void expect_error(few_graph *g, few_status code, const char *part)
{
    few_error err = { 0 };
    assert_int_equal(few_graph_status(g, &err), code);
    if (!strstr(err.text, part))
        fail_msg("'%s' does not say '%s'", err.text, part);
}

static void shapes(void **state)
{
    (void)state;
    char buf[96];
    const few_shape a = FEW_SHAPE(2, 32, 32, 3), b = FEW_SHAPE(2, 32, 32), none = { .rank = 0 };
    assert_string_equal(few_shape_text(&a, buf), "[2,32,32,3]");
    assert_string_equal(few_shape_text(&none, buf), "[]");
    assert_int_equal(few_shape_count(&a), 6144);
    assert_int_equal(few_shape_count(&none), 1);
    assert_true(few_shape_equal(&a, &a));
    assert_false(few_shape_equal(&a, &b));
    assert_false(few_shape_equal(&FEW_SHAPE(2, 3), &FEW_SHAPE(3, 2)));
    /* The longest of all shapes stays inside its buffer. */
    struct {
        char text[96], after[32];
    } room;
    const int64_t m = INT64_MIN;
    for (int64_t first = 1; first < INT64_C(1) << 59; first *= 10) {
        memset(&room, 7, sizeof room);
        few_shape_text(&FEW_SHAPE(first, m, m, m, m), room.text);
        assert_true(strlen(room.text) < 96);
        assert_int_equal(room.text[strlen(room.text) - 1], ']');
        for (size_t k = 0; k < sizeof room.after; k++)
            assert_int_equal(room.after[k], 7);
    }
}

static void errors_name_the_node(void **state)
{
    (void)state;
    few_graph g;
    few_graph_init(&g);
    const few_val a = few_graph_input(&g, "a", FEW_F32, FEW_SHAPE(2, 3), false);
    const few_val b = few_graph_input(&g, "b", FEW_F32, FEW_SHAPE(2, 4), false);
    few_graph_label(&g, "down.%d.conv%d", 1, 2);
    assert_int_equal(few_add(&g, a, b), FEW_NONE);
    expect_error(&g, FEW_EINVAL, "down.1.conv2");
    expect_error(&g, FEW_EINVAL, "'add'");
    expect_error(&g, FEW_EINVAL, "[2,4]");
    expect_error(&g, FEW_EINVAL, "[2,3]");
    few_graph_clear(&g);
}

/* The first error stays, and everything after it does nothing. */
static void errors_are_sticky(void **state)
{
    (void)state;
    few_graph g;
    few_params ps = { 0 };
    few_graph_init(&g);
    few_graph_use_set(&g, 0, &ps);
    const few_val a = few_graph_input(&g, "a", FEW_F32, FEW_SHAPE(2, 3), false);
    few_graph_label(&g, "first");
    const few_val bad = few_reshape(&g, a, FEW_SHAPE(4));
    assert_int_equal(bad, FEW_NONE);
    const int tensors = g.n_tensors, nodes = g.n_nodes;
    few_graph_label(&g, "second");
    assert_int_equal(few_add(&g, a, a), FEW_NONE);
    assert_int_equal(few_silu(&g, bad), FEW_NONE);
    assert_int_equal(few_mean_hw(&g, bad), FEW_NONE);
    assert_int_equal(few_graph_input(&g, "c", FEW_F32, FEW_SHAPE(1), false), FEW_NONE);
    assert_int_equal(few_graph_const(&g, FEW_SHAPE(1), (float[]){ 1 }), FEW_NONE);
    assert_int_equal(few_graph_param(&g, 0, "p", FEW_SHAPE(1), FEW_INIT_ONE, 0), FEW_NONE);
    assert_int_equal(few_graph_out(&g, bad, 1), FEW_NONE);
    few_graph_output(&g, bad, "out");
    few_graph_backward(&g, bad, NULL, 0, NULL);
    assert_int_equal(g.n_tensors, tensors);
    assert_int_equal(g.n_nodes, nodes);
    assert_int_equal(ps.n, 0);
    expect_error(&g, FEW_EINVAL, "first");
    few_graph_fail(&g, FEW_EIO, "later");
    expect_error(&g, FEW_EINVAL, "first");
    few_graph_clear(&g);
}

static void impossible_things_are_refused(void **state)
{
    (void)state;
    static const few_shape bad[] = {
        { 2, { 0, 3 } }, { 2, { 2, -1 } }, { 3, { INT64_MAX, 3, 5 } }, { 2, { 1 << 30, 1 << 30 } },
        { 6, { 1 } },    { -1, { 0 } },
    };
    few_graph g;
    for (size_t k = 0; k < FEW_COUNT(bad); k++) {
        few_graph_init(&g);
        assert_int_equal(few_graph_input(&g, "odd", FEW_F32, bad[k], false), FEW_NONE);
        expect_error(&g, FEW_EINVAL, "'odd'");
        few_graph_clear(&g);
    }
    few_graph_init(&g); /* one name, one input */
    const few_val x = few_graph_input(&g, "x", FEW_F32, FEW_SHAPE(2), false);
    assert_int_equal(few_graph_input(&g, "x", FEW_F32, FEW_SHAPE(2), false), x);
    assert_int_equal(few_graph_input(&g, "x", FEW_F32, FEW_SHAPE(3), false), FEW_NONE);
    expect_error(&g, FEW_EINVAL, "'x'");
    few_graph_clear(&g);

    few_graph_init(&g); /* wrong numbers of inputs */
    const few_val y = few_graph_input(&g, "y", FEW_F32, FEW_SHAPE(2), false);
    few_graph_label(&g, "here");
    few_graph_apply(&g, &few_op_add, (few_val[]){ y }, 1, NULL);
    expect_error(&g, FEW_EINVAL, "here");
    few_graph_clear(&g);

    few_graph_init(&g); /* an input that is missing */
    few_add(&g, FEW_NONE, few_graph_input(&g, "y", FEW_F32, FEW_SHAPE(2), false));
    expect_error(&g, FEW_EINVAL, "'add'");
    few_graph_clear(&g);

    few_graph_init(&g); /* two names for one tensor */
    const few_val z = few_silu(&g, few_graph_input(&g, "y", FEW_F32, FEW_SHAPE(2), false));
    few_graph_output(&g, z, "one");
    few_graph_output(&g, z, "two");
    expect_error(&g, FEW_EINVAL, "'one'");
    few_graph_clear(&g);
}

/* ---- gradients ------------------------------------------------------------------------------*/

/* Values of every tensor, inputs and parameters given by `given` (value k for element k). */
static double **evaluate(const few_graph *g, double (*given)(int64_t k))
{
    few_error err = { 0 };
    double **v = few_calloc((size_t)g->n_tensors, sizeof *v);
    for (int t = 0; t < g->n_tensors; t++)
        if (g->tensors[t].source == FEW_FROM_INPUT || g->tensors[t].source == FEW_FROM_PARAM) {
            const int64_t n = few_shape_count(&g->tensors[t].shape);
            v[t] = few_malloc((size_t)n * sizeof(double));
            for (int64_t k = 0; k < n; k++)
                v[t][k] = given(k);
        }
    if (few_reference_run(g, v, &err) != FEW_OK)
        fail_msg("%s", err.text);
    return v;
}

static void drop(const few_graph *g, double **v)
{
    few_reference_free(g, v);
    for (int t = 0; t < g->n_tensors; t++)
        few_free(v[t]);
    few_free(v);
}

static double half_steps(int64_t k)
{
    return 0.5 * (double)k - 1;
}

/* loss = x x + 3 x + x' with x' = stop_gradient(x): d loss / dx = 2 x + 3. */
static void a_tensor_used_many_times(void **state)
{
    (void)state;
    few_graph g;
    few_graph_init(&g);
    const few_val x = few_graph_input(&g, "x", FEW_F32, FEW_SHAPE(5), false);
    few_graph_label(&g, "square");
    const few_val square = few_mul(&g, x, x);
    const few_val loss = few_add(&g, few_add(&g, square, few_affine(&g, x, 3, 7)),
                                 few_affine(&g, few_stop_gradient(&g, x), 11, 0));
    few_val dx;
    few_graph_backward(&g, loss, &x, 1, &dx);
    few_error err = { 0 };
    assert_int_equal(few_graph_status(&g, &err), FEW_OK);
    assert_int_not_equal(dx, FEW_NONE);
    double **v = evaluate(&g, half_steps);
    for (int k = 0; k < 5; k++)
        assert_true(fabs(v[dx][k] - (2 * half_steps(k) + 3)) < 1e-12);
    drop(&g, v);
    few_strbuf b; /* gradients say whose they are */
    few_strbuf_init(&b);
    few_graph_print(&g, &b);
    assert_non_null(strstr(b.s, "square'"));
    few_strbuf_free(&b);
    few_graph_clear(&g);
}

/* add's gradient is the same tensor for both terms, and the loss itself may be a parameter's. */
static void parameters_that_share_a_gradient(void **state)
{
    (void)state;
    few_graph g;
    few_params ps = { 0 };
    few_graph_init(&g);
    few_graph_use_set(&g, 0, &ps);
    const few_val x = few_graph_input(&g, "x", FEW_F32, FEW_SHAPE(3), false);
    const few_val a = few_graph_param(&g, 0, "a", FEW_SHAPE(3), FEW_INIT_ONE, 0);
    const few_val b = few_graph_param(&g, 0, "b", FEW_SHAPE(3), FEW_INIT_ONE, 0);
    const few_val c = few_graph_param(&g, 0, "c", FEW_SHAPE(3), FEW_INIT_ONE, 0);
    const few_val f = few_graph_param(&g, 0, "frozen", FEW_SHAPE(3), FEW_INIT_ONE, 0);
    ps.v[few_params_find(&ps, "frozen")].frozen = true;
    const few_val s = few_mul(&g, few_add(&g, a, b), few_add(&g, x, f));
    few_graph_backward(&g, few_add(&g, s, c), NULL, 0, NULL);
    few_error err = { 0 };
    assert_int_equal(few_graph_status(&g, &err), FEW_OK);
    double **v = evaluate(&g, half_steps);
    int found[4] = { 0 };
    for (int t = 0; t < g.n_tensors; t++) {
        const int q = g.tensors[t].grad_of;
        if (q < 0)
            continue;
        found[q]++;
        for (int k = 0; k < 3; k++) /* a, b: x + f; c: 1 */
            assert_true(fabs(v[t][k] - (q < 2 ? 2 * half_steps(k) : 1)) < 1e-12);
    }
    assert_int_equal(found[0], 1);
    assert_int_equal(found[1], 1);
    assert_int_equal(found[2], 1);
    assert_int_equal(found[3], 0); /* frozen */
    drop(&g, v);
    few_graph_clear(&g);
    few_params_free(&ps);
}

static void stopped_parameters_have_no_gradient(void **state)
{
    (void)state;
    few_graph g;
    few_params live = { 0 }, other = { 0 };
    few_graph_init(&g);
    few_graph_use_set(&g, 0, &live);
    few_graph_use_set(&g, 1, &other);
    const few_val x = few_graph_input(&g, "x", FEW_F32, FEW_SHAPE(2, 3), false);
    const few_val w = few_graph_param(&g, 0, "w", FEW_SHAPE(3, 3), FEW_INIT_ONE, 0);
    const few_val t = few_graph_param(&g, 1, "w", FEW_SHAPE(3, 3), FEW_INIT_ONE, 0);
    assert_int_not_equal(w, t); /* the same name in another set is another tensor */
    const few_val y = few_stop_gradient(&g, few_linear(&g, x, w, FEW_NONE, FEW_NONE));
    const few_val z = few_linear(&g, y, t, FEW_NONE, FEW_NONE);
    const int nodes = g.n_nodes;
    few_val dx;
    few_graph_backward(&g, few_mean_square(&g, z), &x, 1, &dx);
    assert_int_equal(dx, FEW_NONE);
    for (int v = 0; v < g.n_tensors; v++)
        assert_int_equal(g.tensors[v].grad_of, -1);
    assert_int_equal(g.n_nodes, nodes + 1); /* the loss; nothing backwards */
    few_graph_clear(&g);
    few_params_free(&live);
    few_params_free(&other);
}

static void only_what_is_needed_is_reachable(void **state)
{
    (void)state;
    few_graph g;
    uint8_t mark[8];
    few_graph_init(&g);
    const few_val x = few_graph_input(&g, "x", FEW_F32, FEW_SHAPE(4, 2), false);
    const few_val a = few_silu(&g, x);
    few_silu(&g, a); /* nobody wants it */
    few_graph_output(&g, few_affine(&g, a, 2, 0), "y");
    assert_int_equal(g.n_nodes, 3);
    few_graph_reachable(&g, mark);
    assert_int_equal(mark[0], 1);
    assert_int_equal(mark[1], 0);
    assert_int_equal(mark[2], 1);
    assert_true(few_graph_flops(&g) >= 16);
    few_graph_clear(&g);
}

/* ---- parameters -----------------------------------------------------------------------------*/

static void the_table_of_parameters(void **state)
{
    (void)state;
    few_graph g;
    few_params ps = { 0 };
    few_graph_init(&g);
    few_graph_use_set(&g, 0, &ps);
    const few_val a = few_graph_param(&g, 0, "a", FEW_SHAPE(3, 5), FEW_INIT_UNIFORM, 0.5);
    const few_val b = few_graph_param(&g, 0, "b", FEW_SHAPE(16), FEW_INIT_ONE, 0);
    const few_val c = few_graph_param(&g, 0, "c", FEW_SHAPE(17), FEW_INIT_ZERO, 0);
    assert_int_equal(few_graph_param(&g, 0, "a", FEW_SHAPE(3, 5), FEW_INIT_UNIFORM, 0.5), a);
    assert_int_not_equal(b, c);
    assert_int_equal(ps.n, 3);
    assert_int_equal(few_params_find(&ps, "b"), 1);
    assert_int_equal(few_params_find(&ps, "d"), -1);
    int64_t end = 0;
    for (int k = 0; k < ps.n; k++) {
        assert_int_equal(ps.v[k].offset % 16, 0);
        assert_true(ps.v[k].offset >= end);
        assert_int_equal(ps.v[k].count, few_shape_count(&ps.v[k].shape));
        end = ps.v[k].offset + ps.v[k].count;
    }
    assert_true(ps.count >= end);

    few_graph h; /* a second graph on the same table: nothing new, the same places */
    few_graph_init(&h);
    few_graph_use_set(&h, 0, &ps);
    const few_val again = few_graph_param(&h, 0, "c", FEW_SHAPE(17), FEW_INIT_ZERO, 0);
    assert_int_equal(h.tensors[again].param, 2);
    assert_int_equal(ps.n, 3);
    few_graph_label(&h, "layer");
    assert_int_equal(few_graph_param(&h, 0, "b", FEW_SHAPE(4, 4), FEW_INIT_ONE, 0), FEW_NONE);
    expect_error(&h, FEW_EINVAL, "'b' has shape [16], the network wants [4,4]");
    expect_error(&h, FEW_EINVAL, "layer");
    few_graph_clear(&h);
    few_graph_clear(&g);
    few_params_free(&ps);
}

static void moments(const float *w, int64_t n, double *mean, double *var, double *most)
{
    double sum = 0, square = 0;
    *most = 0;
    for (int64_t i = 0; i < n; i++) {
        sum += (double)w[i];
        square += (double)w[i] * (double)w[i];
        *most = fmax(*most, fabs((double)w[i]));
    }
    *mean = sum / (double)n;
    *var = square / (double)n - *mean * *mean;
}

static void initial_values(void **state)
{
    (void)state;
    enum { N = 100003 }; /* no multiple of a block of four */
    few_graph g;
    few_params ps = { 0 };
    few_graph_init(&g);
    few_graph_use_set(&g, 0, &ps);
    few_graph_param(&g, 0, "zero", FEW_SHAPE(5), FEW_INIT_ZERO, 3);
    few_graph_param(&g, 0, "one", FEW_SHAPE(5), FEW_INIT_ONE, 3);
    few_graph_param(&g, 0, "uniform", FEW_SHAPE(N), FEW_INIT_UNIFORM, 0.3);
    few_graph_param(&g, 0, "normal", FEW_SHAPE(N), FEW_INIT_NORMAL, 0.3);
    few_graph_param(&g, 0, "another", FEW_SHAPE(N), FEW_INIT_NORMAL, 0.3);
    const size_t bytes = (size_t)ps.count * sizeof(float);
    float *w = few_malloc(bytes), *same = few_malloc(bytes), *other = few_malloc(bytes);
    memset(w, 0xff, bytes);
    few_params_init(&ps, w, 1);
    few_params_init(&ps, same, 1);
    few_params_init(&ps, other, 2);
    assert_memory_equal(w, same, bytes);
    double mean, var, most;
    for (int k = 0; k < 5; k++) {
        assert_true(w[ps.v[0].offset + k] == 0);
        assert_true(w[ps.v[1].offset + k] == 1);
    }
    moments(w + ps.v[2].offset, N, &mean, &var, &most);
    assert_true(fabs(mean) < 3e-3 && fabs(var - 0.03) < 5e-4 && most <= 0.3 && most > 0.2999);
    for (int k = 3; k < 5; k++) {
        moments(w + ps.v[k].offset, N, &mean, &var, &most);
        assert_true(fabs(mean) < 5e-3 && fabs(var - 0.09) < 2e-3 && most > 1.0 && most < 2.0);
    }
    /* Streams are their own: other parameters, other seeds, other numbers; padding is zero. */
    assert_memory_not_equal(w + ps.v[3].offset, w + ps.v[4].offset, 64);
    assert_memory_not_equal(w + ps.v[3].offset, other + ps.v[3].offset, 64);
    for (int k = 0; k < ps.n; k++) {
        const int64_t next = k + 1 < ps.n ? ps.v[k + 1].offset : ps.count;
        for (int64_t i = ps.v[k].offset + ps.v[k].count; i < next; i++)
            assert_true(w[i] == 0);
    }
    few_free(w);
    few_free(same);
    few_free(other);
    few_graph_clear(&g);
    few_params_free(&ps);
}

/* ---- memory ---------------------------------------------------------------------------------*/

static few_status build(few_error *err)
{
    few_graph g;
    few_params ps = { 0 };
    few_graph_init(&g);
    few_graph_use_set(&g, 0, &ps);
    few_val x = few_graph_input(&g, "x", FEW_F32, FEW_SHAPE(2, 3), false);
    for (int k = 0; k < 40; k++) {
        char name[16];
        snprintf(name, sizeof name, "w%d", k);
        few_graph_label(&g, "layer.%d", k);
        const few_val w = few_graph_param(&g, 0, name, FEW_SHAPE(3, 3), FEW_INIT_ONE, 0);
        x = few_silu(&g, few_linear(&g, x, w, FEW_NONE, FEW_NONE));
    }
    const few_val loss = few_mean_square(&g, x);
    few_graph_output(&g, loss, "loss");
    few_graph_backward(&g, loss, NULL, 0, NULL);
    const few_status st = few_graph_status(&g, err);
    few_graph_clear(&g);
    few_params_free(&ps);
    return st;
}

static void building_survives_every_failed_allocation(void **state)
{
    (void)state;
    few_error err = { 0 };
    const int64_t before = few_alloc_get_stats().bytes;
    int failures = 0;
    for (int64_t n = 1;; n++) {
        few_alloc_fail_at(n);
        const few_status st = build(&err);
        few_alloc_fail_at(0);
        assert_int_equal(few_alloc_get_stats().bytes, before);
        if (st == FEW_OK)
            break;
        assert_int_equal(st, FEW_ENOMEM);
        failures++;
    }
    assert_true(failures > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shapes),
        cmocka_unit_test(errors_name_the_node),
        cmocka_unit_test(errors_are_sticky),
        cmocka_unit_test(impossible_things_are_refused),
        cmocka_unit_test(a_tensor_used_many_times),
        cmocka_unit_test(parameters_that_share_a_gradient),
        cmocka_unit_test(stopped_parameters_have_no_gradient),
        cmocka_unit_test(only_what_is_needed_is_reachable),
        cmocka_unit_test(the_table_of_parameters),
        cmocka_unit_test(initial_values),
        cmocka_unit_test(building_survives_every_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The optimiser against the formulas of the papers written as plain loops in double: Adam, RAdam,
 * decay, clipping and averages over several steps, in one chunk and in several; what must not
 * happen when a gradient is not finite or a parameter is frozen. */
#include "base/alloc.h"
#include "base/philox.h"
#include "cpu/plain_update.h"
#include "op/ops.h"

#include <string.h>

enum { N = 4, BATCH = 12, IN = 8, OUT = 37, TIMES = 4 };
/* More than three of the optimiser's chunks; c lies across the end of the first. */
enum { CHUNK = 1 << 14, WIDE = 3000, MOST = 2 * WIDE * IN + WIDE + 64 };

/* mean(((w + c) fourier(t; f) + b - target)^2), f and c frozen; in the order b, f, c, w. */
struct net {
    few_graph g;
    few_params params;
    few_plan *plan;
    float t[BATCH], target[BATCH * WIDE], master[MOST], m[MOST], v[MOST], ema[2][MOST];
};

static double number(uint32_t purpose, int64_t i)
{
    return 2 * few_random_uniform(3, purpose, 0, 0, (uint32_t)i) - 1;
}

static few_val frozen(struct net *n, const char *name, few_shape shape)
{
    const few_val v = few_graph_param(&n->g, 0, name, shape, FEW_INIT_NORMAL, 1);
    n->params.v[few_params_find(&n->params, name)].frozen = true;
    return v;
}

static void make(struct net *n, int64_t out, int workers)
{
    few_error err = { 0 };
    few_graph *g = &n->g;
    memset(n, 0, sizeof *n);
    few_graph_init(g);
    few_graph_use_set(g, 0, &n->params);
    const few_val t = few_graph_input(g, "t", FEW_F32, FEW_SHAPE(N), false);
    const few_val target = few_graph_input(g, "target", FEW_F32, FEW_SHAPE(N, out), false);
    const few_val b = few_graph_param(g, 0, "b", FEW_SHAPE(out), FEW_INIT_NORMAL, 0.5);
    const few_val f = frozen(n, "f", FEW_SHAPE(TIMES));
    const few_val c = frozen(n, "c", FEW_SHAPE(out, IN));
    const few_val w = few_graph_param(g, 0, "w", FEW_SHAPE(out, IN), FEW_INIT_NORMAL, 0.5);
    const few_val x = few_fourier_embedding(g, t, f, false);
    const few_val y = few_linear(g, x, w, b, few_linear(g, x, c, FEW_NONE, FEW_NONE));
    const few_val loss = few_mean_square(g, few_add(g, y, few_affine(g, target, -1, 0)));
    few_graph_output(g, loss, "loss");
    few_graph_backward(g, loss, NULL, 0, NULL);
    const few_plan_options o = { .precision = FEW_PRECISION_F32, .workers = workers };
    if (few_backend_cpu.compile(g, &o, &n->plan, &err) != FEW_OK)
        fail_msg("%s", err.text);
    assert_true(n->params.count <= MOST);
    for (int k = 0; k < BATCH; k++)
        n->t[k] = (float)(1.5 + number(1, k));
    for (int64_t k = 0; k < BATCH * out; k++)
        n->target[k] = (float)number(2, k);
    few_params_init(&n->params, n->master, 9);
    for (int k = 0; k < 2; k++)
        memcpy(n->ema[k], n->master, sizeof n->master);
    assert_int_equal(few_backend_cpu.params(n->plan, 0, n->master, &err), FEW_OK);
    assert_int_equal(few_backend_cpu.bind(n->plan, "t", n->t, &err), FEW_OK);
    assert_int_equal(few_backend_cpu.bind(n->plan, "target", n->target, &err), FEW_OK);
}

static void unmake(struct net *n)
{
    few_backend_cpu.release(n->plan);
    few_graph_clear(&n->g);
    few_params_free(&n->params);
}

/* Whether element i of the arena is part of a frozen parameter. */
static bool is_frozen(const few_params *ps, int64_t i)
{
    bool found = false;
    for (int k = 0; k < ps->n; k++)
        found |= ps->v[k].frozen && i >= ps->v[k].offset && i < ps->v[k].offset + ps->v[k].count;
    return found;
}

static void check(bool radam, double clip, double decay, int64_t out, int workers)
{
    static struct net n;
    static struct plain plain[MOST];
    static float grad[MOST];
    few_error err = { 0 };
    bool clipped = false;
    make(&n, out, workers);
    for (int64_t i = 0; i < n.params.count; i++)
        plain[i] = (struct plain){ .p = (double)n.master[i],
                                   .ema = { (double)n.master[i], (double)n.master[i] } };
    for (int64_t step = 1; step <= (out > OUT ? 3 : 12); step++) {
        few_update u = { .radam = radam,
                         .lr = 0.01 / (double)step,
                         .beta1 = 0.9,
                         .beta2 = 0.99,
                         .eps = 1e-8,
                         .weight_decay = decay,
                         .clip = clip,
                         .step = step,
                         .master = n.master,
                         .m = n.m,
                         .v = n.v,
                         .n_ema = 2,
                         .ema = { n.ema[0], n.ema[1] },
                         .ema_decay = { 0.5, 0.95 } };
        assert_int_equal(few_backend_cpu.run(n.plan, BATCH, &err), FEW_OK);
        assert_int_equal(few_backend_cpu.gradients(n.plan, grad, &err), FEW_OK);
        assert_int_equal(few_backend_cpu.update(n.plan, &u, &err), FEW_OK);
        double norm = 0;
        for (int64_t i = 0; i < n.params.count; i++)
            norm += (double)grad[i] * (double)grad[i];
        norm = sqrt(norm);
        near(u.grad_norm, norm, "gradient norm", step);
        const double scale = clip > 0 && norm > clip ? clip / norm : 1;
        clipped |= scale < 1;
        for (int64_t i = 0; i < n.params.count; i++) {
            if (is_frozen(&n.params, i)) /* never moves */
                assert_int_equal(grad[i], 0);
            else
                plain_step(&plain[i], &u, scale * (double)grad[i]);
            near((double)n.master[i], plain[i].p, "weight", step);
            near((double)n.m[i], plain[i].m, "first moment", step);
            near((double)n.v[i], plain[i].v, "second moment", step);
            for (int k = 0; k < 2; k++)
                near((double)n.ema[k][i], plain[i].ema[k], "average", step);
        }
    }
    assert_int_equal(clipped, clip > 0 && clip < 1);
    unmake(&n);
}

static void adam_is_adam(void **state)
{
    (void)state;
    check(false, 0, 0, OUT, 1);
    check(false, 0, 0, OUT, 2);
}

static void adam_clips_and_decays(void **state)
{
    (void)state;
    check(false, 0.05, 0, OUT, 1);
    check(false, 1e6, 0, OUT, 1); /* nothing to clip */
    check(false, 0.05, 0.1, OUT, 2);
}

/* With beta2 = 0.99 the first five steps are plain momentum, the others adaptive. */
static void radam_is_radam(void **state)
{
    (void)state;
    check(true, 0, 0, OUT, 1);
    check(true, 0.05, 0.1, OUT, 2);
}

/* Chunks are dealt to workers; frozen weights between others are left out of them, also where they
 * lie across the end of one. */
static void chunks_make_no_difference(void **state)
{
    (void)state;
    static struct net n;
    make(&n, WIDE, 1);
    const few_param *c = &n.params.v[few_params_find(&n.params, "c")];
    assert_true(n.params.count > 3 * CHUNK);
    assert_true(c->offset < CHUNK && c->offset + c->count > CHUNK);
    unmake(&n);
    for (int workers = 1; workers <= 3; workers++)
        check(false, 0.05, 0.1, WIDE, workers);
}

/* The plan computes with the updated weights, not with copies of the old ones. */
static void update_is_seen_by_the_next_run(void **state)
{
    (void)state;
    static struct net n;
    few_error err = { 0 };
    float loss[BATCH];
    double first = 0, last = 0;
    make(&n, OUT, 2);
    assert_int_equal(few_backend_cpu.bind(n.plan, "loss", loss, &err), FEW_OK);
    for (int64_t step = 1; step <= 30; step++) {
        few_update u = { .lr = 0.02,
                         .beta1 = 0.9,
                         .beta2 = 0.99,
                         .eps = 1e-8,
                         .step = step,
                         .master = n.master,
                         .m = n.m,
                         .v = n.v };
        assert_int_equal(few_backend_cpu.run(n.plan, BATCH, &err), FEW_OK);
        assert_int_equal(few_backend_cpu.update(n.plan, &u, &err), FEW_OK);
        double sum = 0;
        for (int k = 0; k < BATCH; k++)
            sum += (double)loss[k];
        first = step == 1 ? sum : first;
        last = sum;
    }
    assert_true(last < 0.8 * first);
    unmake(&n);
}

static void a_bad_gradient_changes_nothing(void **state)
{
    (void)state;
    static const float bad[] = { NAN, INFINITY, -INFINITY, 3e38f };
    for (size_t k = 0; k < FEW_COUNT(bad); k++) {
        static struct net n, before;
        few_error err = { 0 };
        make(&n, OUT, 1);
        n.target[5] = bad[k];
        assert_int_equal(few_backend_cpu.run(n.plan, BATCH, &err), FEW_OK);
        memcpy(&before, &n, sizeof n);
        few_update u = { .lr = 0.1,
                         .step = 1,
                         .master = n.master,
                         .m = n.m,
                         .v = n.v,
                         .n_ema = 1,
                         .ema = { n.ema[0] } };
        assert_int_equal(few_backend_cpu.update(n.plan, &u, &err), FEW_OK);
        assert_false(isfinite(u.grad_norm));
        assert_memory_equal(n.master, before.master, sizeof n.master);
        assert_memory_equal(n.m, before.m, sizeof n.m);
        assert_memory_equal(n.v, before.v, sizeof n.v);
        assert_memory_equal(n.ema, before.ema, sizeof n.ema);
        unmake(&n);
    }
}

static void senseless_updates_are_refused(void **state)
{
    (void)state;
    static struct net n;
    few_error err = { 0 };
    make(&n, OUT, 1);
    assert_int_equal(few_backend_cpu.run(n.plan, BATCH, &err), FEW_OK);
    few_update u = { .lr = 0.1, .master = n.master, .m = n.m, .v = n.v };
    assert_int_equal(few_backend_cpu.update(n.plan, &u, &err), FEW_EINVAL); /* no step */
    u.step = 1;
    u.n_ema = FEW_MAX_EMA + 1;
    assert_int_equal(few_backend_cpu.update(n.plan, &u, &err), FEW_EINVAL);
    unmake(&n);

    few_graph g; /* no gradients */
    few_plan *plan;
    float grad[1];
    few_graph_init(&g);
    few_graph_output(&g, few_silu(&g, few_graph_input(&g, "x", FEW_F32, FEW_SHAPE(2), false)), "y");
    const few_plan_options o = { .workers = 1 };
    assert_int_equal(few_backend_cpu.compile(&g, &o, &plan, &err), FEW_OK);
    u = (few_update){ .step = 1 };
    assert_int_equal(few_backend_cpu.update(plan, &u, &err), FEW_EINVAL);
    assert_int_equal(few_backend_cpu.gradients(plan, grad, &err), FEW_EINVAL);
    few_backend_cpu.release(plan);
    few_graph_clear(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adam_is_adam),
        cmocka_unit_test(adam_clips_and_decays),
        cmocka_unit_test(radam_is_radam),
        cmocka_unit_test(chunks_make_no_difference),
        cmocka_unit_test(update_is_seen_by_the_next_run),
        cmocka_unit_test(a_bad_gradient_changes_nothing),
        cmocka_unit_test(senseless_updates_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

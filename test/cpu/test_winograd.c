/* Two convolutions whose weights are parameters, as Winograd's method keeps and multiplies them,
 * against direct sums (FEW_CONV): the images and every gradient. */
#include "base/alloc.h"
#include "base/philox.h"
#include "cpu/near.h"
#include "graph/backend.h"
#include "op/ops.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* BETWEEN is no multiple of the channels that are transformed at a time, and the 108 tiles of a
 * slice none of those that they are transformed for; nine of them lie in a row, one more than are
 * transformed together, the last with one column of pixels. */
enum {
    N = 4,
    H = 12,
    WIDE = 33,
    IN = 32,
    BETWEEN = 160,
    OUT = 64,
    PIXELS = H * WIDE,
    BATCH = 2 * N
};

struct result {
    float y[BATCH * PIXELS * OUT];
    float *grad;
    int64_t count;
};

static float number(uint32_t purpose, int64_t i)
{
    return (float)(2 * few_random_uniform(3, purpose, 0, 0, (uint32_t)i) - 1);
}

static void run(const char *way, few_precision precision, int team, struct result *r)
{
    static float x[BATCH * PIXELS * IN], loss[BATCH];
    few_error err = { 0 };
    few_graph g;
    few_params params = { 0 };
    few_plan *plan = NULL;
    setenv("FEW_CONV", way, 1);
    few_graph_init(&g);
    few_graph_use_set(&g, 0, &params);
    const few_val in = few_graph_input(&g, "x", FEW_F32, FEW_SHAPE(N, H, WIDE, IN), false);
    const few_val w1 =
        few_graph_param(&g, 0, "w1", FEW_SHAPE(BETWEEN, IN, 3, 3), FEW_INIT_NORMAL, 0.06);
    const few_val b1 = few_graph_param(&g, 0, "b1", FEW_SHAPE(BETWEEN), FEW_INIT_NORMAL, 0.5);
    const few_val w2 =
        few_graph_param(&g, 0, "w2", FEW_SHAPE(OUT, BETWEEN, 3, 3), FEW_INIT_NORMAL, 0.03);
    const few_val h = few_conv2d(&g, in, w1, b1, FEW_NONE, 1, 1, 1);
    const few_val y = few_conv2d(&g, h, w2, FEW_NONE, FEW_NONE, 1, 1, 1);
    const few_val mean = few_mean_square(&g, y);
    few_graph_output(&g, y, "y");
    few_graph_output(&g, mean, "loss");
    few_graph_backward(&g, mean, NULL, 0, NULL);
    const few_plan_options o = { .precision = precision,
                                 .workers = team > 1 ? 1 : 2,
                                 .team = team };
    if (few_backend_cpu.compile(&g, &o, &plan, &err) != FEW_OK)
        fail_msg("%s", err.text);
    float *master = few_calloc((size_t)params.count, sizeof *master);
    r->count = params.count;
    r->grad = few_calloc((size_t)params.count, sizeof *r->grad);
    assert_true(master && r->grad);
    few_params_init(&params, master, 9);
    for (int64_t i = 0; i < BATCH * PIXELS * IN; i++)
        x[i] = number(1, i);
    assert_int_equal(few_backend_cpu.params(plan, 0, master, &err), FEW_OK);
    assert_int_equal(few_backend_cpu.bind(plan, "x", x, &err), FEW_OK);
    assert_int_equal(few_backend_cpu.bind(plan, "y", r->y, &err), FEW_OK);
    assert_int_equal(few_backend_cpu.bind(plan, "loss", loss, &err), FEW_OK);
    assert_int_equal(few_backend_cpu.run(plan, BATCH, &err), FEW_OK);
    assert_int_equal(few_backend_cpu.gradients(plan, r->grad, &err), FEW_OK);
    few_backend_cpu.release(plan);
    few_graph_clear(&g);
    few_params_free(&params);
    few_free(master);
}

static void test_ways(void **state)
{
    static struct result direct, got;
    (void)state;
    run("direct", FEW_PRECISION_F32, 0, &direct);
    for (int team = 0; team <= 2; team += 2)
        for (int bf = 0; bf < 2; bf++) {
            run("winograd", bf ? FEW_PRECISION_BF16 : FEW_PRECISION_F32, team, &got);
            near(got.y, direct.y, BATCH * PIXELS * OUT, bf ? 2e-2 : 2e-5, "images");
            near(got.grad, direct.grad, direct.count, bf ? 2e-2 : 2e-5, "gradients");
            few_free(got.grad);
        }
    few_free(direct.grad);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_ways) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

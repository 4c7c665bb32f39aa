/* What every method of the list must keep: a gradient for all of the student and nobody else, the
 * target network it declares, and what it refuses. */
#include "method/rig.h"

/* One gradient for each parameter of the student, none of them zero, and no others. */
static void each_is_taught_once(const rig *r)
{
    const char *method = r->ctx.method->name;
    const int n = r->student.params.n;
    uint8_t *taught = few_calloc((size_t)n, 1);
    for (int k = 0; k < r->g.n_tensors; k++) {
        const few_tensor *t = &r->g.tensors[k];
        double sum = 0;
        if (t->grad_of < 0)
            continue;
        assert_true(t->grad_of < n);
        const few_param *p = &r->student.params.v[t->grad_of];
        if (taught[t->grad_of]++)
            fail_msg("%s: %s has two gradients", method, p->name);
        if (!few_shape_equal(&t->shape, &p->shape))
            fail_msg("%s: the gradient of %s is one of something else", method, p->name);
        for (int64_t e = 0; e < p->count; e++)
            sum += fabs(r->value[k][e]);
        if (!(sum > 0 && isfinite(sum)))
            fail_msg("%s: %s has no gradient", method, p->name);
    }
    for (int k = 0; k < n; k++)
        if (!taught[k])
            fail_msg("%s: %s is not trained", method, r->student.params.v[k].name);
    few_free(taught);
}

/* Even when they are asked for, the loss has no gradients of the teacher's and target's weights. */
static void nothing_leads_to_others(rig *r)
{
    few_graph g;
    few_method_ctx ctx = r->ctx;
    few_error err = { 0 };
    few_graph_init(&g);
    few_graph_use_set(&g, FEW_SET_LIVE, &r->student.params);
    few_graph_use_set(&g, FEW_SET_TEACHER, &r->teacher.params);
    if (ctx.method->target_decay)
        few_graph_use_set(&g, FEW_SET_TARGET, &r->target_params);
    ctx.g = &g;
    few_method_build(&ctx, true, false);
    few_val *others = few_malloc((size_t)g.n_tensors * sizeof *others),
            *grad = few_malloc((size_t)g.n_tensors * sizeof *grad);
    int n = 0, of_teacher = 0;
    for (int k = 0; k < g.n_tensors; k++)
        if (g.tensors[k].source == FEW_FROM_PARAM && g.tensors[k].set != FEW_SET_LIVE) {
            others[n++] = k;
            of_teacher += g.tensors[k].set == FEW_SET_TEACHER;
        }
    assert_int_equal(of_teacher, ctx.method->needs_teacher ? r->teacher.params.n : 0);
    few_graph_backward(&g, loss_of(&g), others, n, grad);
    if (few_graph_status(&g, &err) != FEW_OK)
        fail_msg("%s", err.text);
    for (int k = 0; k < n; k++)
        if (grad[k] != FEW_NONE)
            fail_msg("%s: the %s is taught", ctx.method->name,
                     g.tensors[others[k]].set == FEW_SET_TEACHER ? "teacher" : "target network");
    few_free(others);
    few_free(grad);
    few_graph_clear(&g);
}

static int steps_of(const few_method *m)
{
    return m->describe && !m->phase ? 1 : 2;
}

static void gradients_reach_all_of_the_student(void **state)
{
    (void)state;
    static const struct {
        const char *method, *options[7]; /* that change the graph */
    } cases[] = {
        { "diffusion", { "model.prediction", "edm", "method.times", "log_normal" } },
        { "mcd", { "method.teacher_step", "ddim" } },
        { "mcd", { "method.teacher_step", "midpoint", "method.guidance", "1" } },
        { "mcd", { "method.guidance", "2", "method.x_var", "analytic" } },
        { "mcd", { "method.x_var", "table", "method.distance", "elem" } },
        { "mcd", { "method.last", "x_hat", "method.weight", "snr+1" } },
        { "mct", { "method.distance", "l2sq", "model.prediction", "x" } },
        { "pd", { "method.teacher_step", "addim" } },
        { "tract",
          { "method.phases", "32", "method.clip", "false", "method.teacher_step", "midpoint" } },
        { "cd", { "method.teacher_step", "euler", "method.distance", "norm" } },
        { "cd", { "model.prediction", "edm", "teacher.prediction", "edm" } },
        { "ct", { "method.distance", "elem" } },
        { "ict", { "model.prediction", "edm" } },
        { "ect", { "model.prediction", "x" } },
        { "dsno", { "method.states", "3", "method.modes", "1" } },
    };
    for (int m = 0; m < few_n_methods + (int)FEW_COUNT(cases); m++) {
        const bool plain = m < few_n_methods;
        const char *const none[] = { NULL };
        const char *name = plain ? few_methods[m]->name : cases[m - few_n_methods].method;
        few_error err = { 0 };
        rig r;
        rig_open(&r, name, steps_of(few_method_find(name, &err)), 3,
                 plain ? none : cases[m - few_n_methods].options);
        rig_run(&r);
        each_is_taught_once(&r);
        nothing_leads_to_others(&r);
        rig_close(&r);
    }
}

/* A method whose graph has a target network trains one, and no other does. */
static void targets_are_declared(void **state)
{
    (void)state;
    for (int m = 0; m < few_n_methods; m++) {
        rig r;
        rig_open(&r, few_methods[m]->name, steps_of(few_methods[m]), 3, LIST(NULL));
        bool has = false;
        for (int k = 0; k < r.g.n_tensors; k++)
            has |= r.g.tensors[k].source == FEW_FROM_PARAM && r.g.tensors[k].set == FEW_SET_TARGET;
        assert_int_equal(has, few_methods[m]->target_decay != NULL);
        rig_run(&r);
        rig_close(&r);
    }
}

static void refusals(void **state)
{
    (void)state;
    static const struct {
        const char *method;
        int steps;
        const char *options[5], *says;
    } cases[] = {
        { "pd", 3, { NULL }, "power of 2" },
        { "pd", 32, { NULL }, "power of 2" },
        { "tract", 2, { "method.phases", "1024,3" }, "divid" },
        { "tract", 2, { "method.phases", "8,16" }, "fall" },
        { "tract", 1, { "method.phases", "1024,128" }, "64 at most" },
        { "tract", 8, { "method.phases", "8" }, "fall" },
        { "tract", 2, { "method.phases", "32,8", "method.teacher_step", "midpoint" }, "one phase" },
        { "cd", 2, { NULL }, "renoise" },
        { "ct", 1, { "model.prediction", "x" }, "return its input" },
        { "ict", 1, { "method.sigma_max", "1e5" }, "schedule" },
        { "ect", 1, { "method.sigma_min", "1e-5" }, "schedule" },
        { "ict", 1, { "method.s0", "100", "method.s1", "10" }, "above" },
    };
    for (size_t k = 0; k < FEW_COUNT(cases); k++) {
        few_config c;
        few_net net;
        few_error err = { 0 };
        load_defaults(&c, cases[k].method);
        tiny_unet(&c);
        for (const char *const *o = cases[k].options; *o; o += 2)
            set(&c, o[0], o[1]);
        make_net(&net, &c, (few_net_shape){ 4, 4, 2, 3 }, 1);
        const few_method_ctx ctx = { .method = c.method,
                                     .options = c.method_options,
                                     .spec = &net.spec,
                                     .teacher = &net.spec,
                                     .student_steps = cases[k].steps,
                                     .steps = STEPS };
        expect(c.method->check(&ctx, &err), FEW_ECONFIG, &err, cases[k].says);
        few_net_free(&net);
        few_config_clear(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_reach_all_of_the_student),
        cmocka_unit_test(targets_are_declared),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

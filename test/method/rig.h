/* A method's graph on a few random images, run by the ops' references. */
#ifndef TEST_METHOD_RIG_H
#define TEST_METHOD_RIG_H

#include "method/oracle.h"

enum { N = 6, STEPS = 40 };

/* A method's graph on N random images, with what its reference run needs. */
typedef struct rig {
    few_config config;
    few_net student, teacher;
    oracle_net hat, self, frozen, target; /* target: other weights */
    few_params target_params;
    few_method_ctx ctx;
    few_graph g;
    double **value;
    double x[N][ORACLE_MAX];
    int label[N];
    few_val loss;
    int64_t step;
} rig;

/* d loss / d weight, by differences of `loss` (a sample's, by hand, with r->hat's weights), for the
 * middle weight of every parameter. */
static inline void rig_check_gradients(rig *r, double (*loss)(rig *r, int i))
{
    for (int k = 0; k < r->g.n_tensors; k++) {
        const few_tensor *t = &r->g.tensors[k];
        if (t->grad_of < 0)
            continue;
        const few_param *p = &r->student.params.v[t->grad_of];
        for (int64_t e = p->count / 2; e < p->count; e += p->count) {
            double *w = &r->hat.param[p->offset + e], sum[2] = { 0, 0 };
            const double was = *w, h = 1e-5;
            for (int side = 0; side < 2; side++) {
                *w = was + (side ? h : -h);
                for (int i = 0; i < N; i++)
                    sum[side] += loss(r, i) / N;
            }
            *w = was;
            const double want = (sum[1] - sum[0]) / (2 * h), have = r->value[k][e];
            if (!(fabs(want - have) <= 1e-5 * (1e-2 + fabs(want))))
                fail_msg("%s %s[%lld]: gradient %.9g, difference %.9g", r->ctx.method->name,
                         p->name, (long long)e, have, want);
        }
    }
}

/* Memory for the input `name` of a graph. */
static inline double *give(const few_graph *g, double **value, const char *name)
{
    for (int k = 0; k < g->n_tensors; k++) {
        const few_tensor *t = &g->tensors[k];
        if (t->source == FEW_FROM_INPUT && !strcmp(t->name, name))
            return value[k] = few_malloc((size_t)few_shape_count(&t->shape) * sizeof(double));
    }
    fail_msg("the graph has no input '%s'", name);
    return NULL;
}

/* The inputs that the trainer draws, but in double: keys of random numbers, and scalars. */
static inline void give_draws(const few_method_ctx *c, const few_graph *g, double **value,
                              int64_t step)
{
    double *rng = give(g, value, "rng"), v[FEW_MAX_SCALARS];
    for (int i = 0; i < c->slice; i++) {
        rng[4 * i] = (double)(int32_t)c->seed;
        rng[4 * i + 1] = (double)(int32_t)(c->seed >> 32);
        rng[4 * i + 2] = (double)step;
        rng[4 * i + 3] = i;
    }
    for (int k = 0; c->method->scalars[k]; k++) {
        double *scalar = give(g, value, c->method->scalars[k]);
        for (int i = 0; i < c->slice; i++) {
            c->method->draw(c, step, i, v);
            scalar[i] = v[k];
        }
    }
}

/* One of them by name, of sample i. */
static inline double drawn(const few_method_ctx *c, int64_t step, int i, const char *name)
{
    double v[FEW_MAX_SCALARS];
    c->method->draw(c, step, i, v);
    for (int k = 0; c->method->scalars[k]; k++)
        if (!strcmp(c->method->scalars[k], name))
            return v[k];
    fail_msg("%s has no scalar '%s'", c->method->name, name);
    return 0;
}

static inline few_val loss_of(const few_graph *g)
{
    for (int k = 0; k < g->n_tensors; k++)
        if (g->tensors[k].output && g->tensors[k].name && !strcmp(g->tensors[k].name, "loss"))
            return k;
    fail_msg("the graph has no loss");
    return FEW_NONE;
}

/* Options as "key value" pairs, NULL at the end; "teacher.prediction" is the teacher's. */
static inline void rig_open(rig *r, const char *method, int steps, int64_t at,
                            const char *const *options)
{
    const few_net_shape shape = { 4, 4, 2, 3 };
    few_error err = { 0 };
    memset(r, 0, sizeof *r);
    load_defaults(&r->config, method);
    tiny_unet(&r->config);
    set(&r->config, "model.multipliers", "1");
    set(&r->config, "train.batch", "6");
    r->config.student.steps = r->config.method->makes_student ? steps : 0;
    const char *teachers = "v";
    for (; *options; options += 2) {
        if (strcmp(options[0], "teacher.prediction"))
            set(&r->config, options[0], options[1]);
        else
            teachers = options[1];
    }
    make_net(&r->student, &r->config, shape, 11);
    if (r->config.method->describe) {
        if (r->config.method->describe(r->config.method_options, &r->student.spec, &err) != FEW_OK)
            fail_msg("%s", err.text);
        few_big_free(r->student.master, (size_t)r->student.params.count * sizeof(float));
        few_params_free(&r->student.params); /* it may be another network now */
        assert_int_equal(few_spec_params(&r->student.spec, &r->student.params, &err), FEW_OK);
        r->student.master = few_big_alloc((size_t)r->student.params.count * sizeof(float));
        few_params_init(&r->student.params, r->student.master, 11);
    }
    char own[8];
    snprintf(own, sizeof own, "%s", r->config.model.prediction);
    set(&r->config, "model.prediction", teachers);
    make_net(&r->teacher, &r->config, shape, 12);
    r->teacher.spec.null_class = true;
    set(&r->config, "model.prediction", own);
    /* A table of errors, at the times of 16 steps; eta 0.75 makes of it what the formula says. */
    r->teacher.spec.x_error = (few_doubles){ .v = few_calloc(16, sizeof(double)),
                                             .n = r->config.method->needs_teacher ? 16 : 0 };
    for (int k = 0; k < r->teacher.spec.x_error.n; k++) {
        double alpha, sigma;
        oracle_path(&r->teacher.spec, (k + 1) / 16.0, &alpha, &sigma);
        r->teacher.spec.x_error.v[k] = 0.1 / 0.75 / (2 + alpha * alpha / (sigma * sigma));
    }
    oracle_open(&r->hat, &r->student, true);
    oracle_open(&r->self, &r->student, true);
    oracle_open(&r->frozen, &r->teacher, false);
    oracle_open(&r->target, &r->student, true);
    for (int64_t k = 0; k < r->student.params.count; k++)
        r->target.param[k] += 0.02 * sin((double)k);

    few_graph_init(&r->g);
    r->step = at;
    r->ctx = (few_method_ctx){ .method = r->config.method,
                               .options = r->config.method_options,
                               .spec = &r->student.spec,
                               .teacher = r->config.method->needs_teacher ? &r->teacher.spec : NULL,
                               .student_steps = r->config.student.steps,
                               .slice = N,
                               .batch = N,
                               .steps = STEPS,
                               .seed = 0x123456789,
                               .g = &r->g };
    few_graph_use_set(&r->g, FEW_SET_LIVE, &r->student.params);
    few_graph_use_set(&r->g, FEW_SET_TEACHER, &r->teacher.params);
    if (r->config.method->target_decay)
        few_graph_use_set(&r->g, FEW_SET_TARGET, &r->target_params);
    few_method_build(&r->ctx, true, true);
    if (few_graph_status(&r->g, &err) != FEW_OK)
        fail_msg("%s", err.text);
    if (r->ctx.method->check && r->ctx.method->check(&r->ctx, &err) != FEW_OK)
        fail_msg("%s", err.text);
    r->loss = loss_of(&r->g);
}

/* Inputs, then the reference run. */
static inline void rig_run(rig *r)
{
    few_error err = { 0 };
    r->value = few_calloc((size_t)r->g.n_tensors, sizeof *r->value);
    for (int k = 0; k < r->g.n_tensors; k++) {
        const few_tensor *t = &r->g.tensors[k];
        if (t->source == FEW_FROM_PARAM)
            r->value[k] =
                t->set == FEW_SET_LIVE     ? r->hat.param + r->student.params.v[t->param].offset
                : t->set == FEW_SET_TARGET ? r->target.param + r->target_params.v[t->param].offset
                                           : r->frozen.param + r->teacher.params.v[t->param].offset;
    }
    int d = 4 * 4 * 2;
    if (r->ctx.method->data_channels)
        d = 4 * 4 * r->ctx.method->data_channels(r->ctx.options, r->ctx.spec);
    double *x = give(&r->g, r->value, "x"), *label = give(&r->g, r->value, "label"),
           *null = give(&r->g, r->value, "null_label");
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < d; j++)
            x[i * d + j] = r->x[i][j] = sin(1 + 0.37 * (i * d + j));
        label[i] = r->label[i] = i % 4; /* 3 is the null class */
        null[i] = 3;
    }
    give_draws(&r->ctx, &r->g, r->value, r->step);
    if (few_reference_run(&r->g, r->value, &err) != FEW_OK)
        fail_msg("%s", err.text);
}

static inline void rig_close(rig *r)
{
    for (int k = 0; r->value && k < r->g.n_tensors; k++)
        if (r->g.tensors[k].source == FEW_FROM_INPUT)
            few_free(r->value[k]);
    if (r->value)
        few_reference_free(&r->g, r->value);
    few_free(r->value);
    few_graph_clear(&r->g);
    oracle_close(&r->hat);
    oracle_close(&r->self);
    oracle_close(&r->target);
    few_params_free(&r->target_params);
    oracle_close(&r->frozen);
    few_net_free(&r->student);
    few_net_free(&r->teacher);
    few_config_clear(&r->config);
}

#define LIST(...) ((const char *const[]){ __VA_ARGS__, NULL })

#endif

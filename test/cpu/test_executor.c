/* The executor against the references: slices, workers, partial slices, summed gradients, aliases
 * and in-place results, constants, and what it refuses. */
#include "base/alloc.h"
#include "base/philox.h"
#include "cpu/near.h"
#include "graph/backend.h"
#include "op/ops.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BATCH = 8, SIDE = 6, PIXELS = SIDE * SIDE * 3, PARAMS = 16384 };

static float x[BATCH * PIXELS], t[BATCH];
static int32_t label[BATCH], rng[BATCH * 4];

static int make_inputs(void **state)
{
    (void)state;
    double u[4];
    for (uint32_t k = 0; k < BATCH * PIXELS; k += 4) {
        few_philox_normal((uint32_t[4]){ k, 1, 0, 0 }, (uint32_t[2]){ 5, 0 }, u);
        for (uint32_t j = 0; j < 4 && k + j < BATCH * PIXELS; j++)
            x[k + j] = (float)u[j];
    }
    for (int k = 0; k < BATCH; k++) {
        t[k] = (float)k * 10;
        label[k] = k % 3;
        memcpy(rng + 4 * k, (int32_t[]){ 17, 0, 3, k }, 16);
    }
    return 0;
}

/* A little of everything a U-Net has. */
struct net {
    few_graph g;
    few_params params;
    few_plan *plan;
};

static few_val param(few_graph *g, const char *name, few_shape s)
{
    return few_graph_param(g, 0, name, s, FEW_INIT_NORMAL, 0.3);
}

static few_val block(few_graph *g, int k, few_val h, few_val emb, few_val noise_rng)
{
    char a[32], b[32];
    few_graph_label(g, "block.%d", k);
    snprintf(a, sizeof a, "%d.gamma", k);
    snprintf(b, sizeof b, "%d.beta", k);
    few_val r = few_group_norm(g, h, param(g, a, FEW_SHAPE(8)), param(g, b, FEW_SHAPE(8)), emb,
                               FEW_NONE, 4, true, 1e-5);
    r = few_dropout(g, r, noise_rng, k, 0.2);
    snprintf(a, sizeof a, "%d.weight", k);
    snprintf(b, sizeof b, "%d.bias", k);
    return few_conv2d(g, r, param(g, a, FEW_SHAPE(8, 8, 3, 3)), param(g, b, FEW_SHAPE(8)), h, 1, 1,
                      1);
}

static void build(struct net *n, int64_t slice, bool backward)
{
    few_graph *g = &n->g;
    few_graph_init(g);
    few_graph_use_set(g, 0, &n->params);
    const few_val in = few_graph_input(g, "x", FEW_F32, FEW_SHAPE(slice, SIDE, SIDE, 3), false);
    const few_val time = few_graph_input(g, "t", FEW_F32, FEW_SHAPE(slice), false);
    const few_val id = few_graph_input(g, "label", FEW_I32, FEW_SHAPE(slice), false);
    const few_val keys = few_graph_input(g, "rng", FEW_I32, FEW_SHAPE(slice, 4), false);
    few_graph_label(g, "embedding");
    const few_val emb = few_add(g, few_timestep_embedding(g, time, 8, true, 0),
                                few_embedding(g, param(g, "classes", FEW_SHAPE(3, 8)), id));
    few_graph_label(g, "in");
    few_val h =
        few_conv2d(g, few_cast(g, in, FEW_ACT), param(g, "in.weight", FEW_SHAPE(8, 3, 3, 3)),
                   param(g, "in.bias", FEW_SHAPE(8)), FEW_NONE, 1, 1, 1);
    const few_val skip = h;
    h = block(g, 0, h, emb, keys);
    h = few_upsample2(g, few_pool2(g, h, 0.25), 1);
    few_val tokens = few_reshape(g, h, FEW_SHAPE(SIDE * SIDE, 8));
    tokens = few_add(g, few_attention(g, tokens, tokens, tokens, 2), tokens);
    h = few_reshape(g, tokens, FEW_SHAPE(SIDE, SIDE, 8));
    h = few_slice_channels(g, few_concat(g, h, skip), 4, 8);
    h = block(g, 1, h, emb, keys);
    few_graph_label(g, "out");
    few_val y = few_conv2d(g, few_silu(g, h), param(g, "out.weight", FEW_SHAPE(3, 8, 1, 1)),
                           param(g, "out.bias", FEW_SHAPE(3)), FEW_NONE, 1, 0, 0);
    y = few_cast(g, y, FEW_F32);
    few_graph_output(g, y, "y");
    const few_val noise = few_noise(g, keys, FEW_RNG_NOISE, FEW_SHAPE(SIDE, SIDE, 3));
    const few_val loss = few_huber_mean(g, few_add(g, y, noise), 0.1);
    few_graph_output(g, loss, "loss");
    if (backward)
        few_graph_backward(g, loss, NULL, 0, NULL);
}

static void make(struct net *n, int64_t slice, int workers, bool backward, few_precision precision,
                 const float *master)
{
    few_error err = { 0 };
    memset(n, 0, sizeof *n);
    build(n, slice, backward);
    assert_true(n->params.count <= PARAMS);
    const few_plan_options o = { .precision = precision, .workers = workers };
    if (few_backend_cpu.compile(&n->g, &o, &n->plan, &err) != FEW_OK)
        fail_msg("%s", err.text);
    assert_int_equal(few_backend_cpu.params(n->plan, 0, master, &err), FEW_OK);
    assert_int_equal(few_backend_cpu.bind(n->plan, "x", x, &err), FEW_OK);
    assert_int_equal(few_backend_cpu.bind(n->plan, "t", t, &err), FEW_OK);
    assert_int_equal(few_backend_cpu.bind(n->plan, "label", label, &err), FEW_OK);
    assert_int_equal(few_backend_cpu.bind(n->plan, "rng", rng, &err), FEW_OK);
}

static void unmake(struct net *n)
{
    few_backend_cpu.release(n->plan);
    few_graph_clear(&n->g);
    few_params_free(&n->params);
}

static void weights(float master[PARAMS])
{
    struct net n = { .plan = NULL };
    build(&n, 1, false);
    few_params_init(&n.params, master, 4);
    unmake(&n);
}

struct result {
    float y[BATCH * PIXELS], loss[BATCH], grad[PARAMS];
};

static void run(struct net *n, int64_t batch, struct result *r)
{
    few_error err = { 0 };
    memset(r, 0, sizeof *r);
    assert_int_equal(few_backend_cpu.bind(n->plan, "y", r->y, &err), FEW_OK);
    assert_int_equal(few_backend_cpu.bind(n->plan, "loss", r->loss, &err), FEW_OK);
    if (few_backend_cpu.run(n->plan, batch, &err) != FEW_OK)
        fail_msg("%s", err.text);
    few_backend_cpu.gradients(n->plan, r->grad, &err); /* refused where there are none */
}

static void whole(int64_t slice, int workers, bool backward, few_precision p, struct result *r)
{
    static float master[PARAMS];
    struct net n;
    weights(master);
    make(&n, slice, workers, backward, p, master);
    run(&n, BATCH, r);
    unmake(&n);
}

static void same_result(const struct result *a, const struct result *b, double tol,
                        const char *what)
{
    near(a->y, b->y, BATCH * PIXELS, tol, what);
    near(a->loss, b->loss, BATCH, tol, what);
    near(a->grad, b->grad, PARAMS, 4 * tol, what);
}

/* The whole batch by the ops' references in double. */
static void by_reference(struct result *r)
{
    static float master[PARAMS];
    struct net n = { .plan = NULL };
    few_error err = { 0 };
    memset(r, 0, sizeof *r);
    weights(master);
    build(&n, BATCH, true);
    const few_graph *g = &n.g;
    double **v = few_calloc((size_t)g->n_tensors, sizeof *v);
    for (int k = 0; k < g->n_tensors; k++) {
        const few_tensor *s = &g->tensors[k];
        if (s->source != FEW_FROM_INPUT && s->source != FEW_FROM_PARAM)
            continue;
        const int64_t count = few_shape_count(&s->shape);
        v[k] = few_malloc((size_t)count * sizeof(double));
        for (int64_t i = 0; i < count; i++)
            v[k][i] = s->source == FEW_FROM_PARAM ? (double)master[n.params.v[s->param].offset + i]
                      : !strcmp(s->name, "x")     ? (double)x[i]
                      : !strcmp(s->name, "t")     ? (double)t[i]
                      : !strcmp(s->name, "label") ? label[i]
                                                  : rng[i];
    }
    if (few_reference_run(g, v, &err) != FEW_OK)
        fail_msg("%s", err.text);
    for (int k = 0; k < g->n_tensors; k++) {
        const few_tensor *s = &g->tensors[k];
        float *to = s->grad_of >= 0                      ? r->grad + n.params.v[s->grad_of].offset
                    : s->output && !strcmp(s->name, "y") ? r->y
                    : s->output                          ? r->loss
                                                         : NULL;
        for (int64_t i = 0; to && i < few_shape_count(&s->shape); i++)
            to[i] = (float)v[k][i];
    }
    few_reference_free(g, v);
    for (int k = 0; k < g->n_tensors; k++)
        few_free(v[k]);
    few_free(v);
    unmake(&n);
}

/* Any slice and any number of workers: what the references say of the whole batch at once. */
static void slices_and_workers_change_nothing(void **state)
{
    (void)state;
    static struct result truth, r;
    by_reference(&truth);
    for (int64_t slice = 1; slice <= BATCH; slice *= 2)
        for (int workers = 1; workers <= 3; workers++) {
            char what[64];
            snprintf(what, sizeof what, "slice %d, %d workers", (int)slice, workers);
            whole(slice, workers, true, FEW_PRECISION_F32, &r);
            same_result(&r, &truth, 1e-5, what);
        }
    whole(2, 2, true, FEW_PRECISION_BF16, &r);
    near(r.y, truth.y, BATCH * PIXELS, 0.05, "bf16");
    near(r.loss, truth.loss, BATCH, 0.05, "bf16");
    near(r.grad, truth.grad, PARAMS, 0.1, "bf16");
}

/* The same call gives the same bits, whatever ran before. */
static void runs_repeat_bit_for_bit(void **state)
{
    (void)state;
    static struct result a, b;
    static float master[PARAMS];
    static const few_precision both[] = { FEW_PRECISION_F32, FEW_PRECISION_BF16 };
    struct net n;
    weights(master);
    for (int k = 0; k < 2; k++) {
        make(&n, 2, 2, true, both[k], master);
        run(&n, BATCH, &a);
        run(&n, 2, &b);
        run(&n, BATCH, &b);
        assert_memory_equal(&a, &b, sizeof a);
        unmake(&n);
        whole(2, 2, true, both[k], &b);
        assert_memory_equal(&a, &b, sizeof a);
    }
}

/* A last slice that is not full gives its images the bits a full one gives, and writes no more. */
static void partial_slices(void **state)
{
    (void)state;
    static struct result full, r;
    static float master[PARAMS];
    static const few_precision both[] = { FEW_PRECISION_F32, FEW_PRECISION_BF16 };
    weights(master);
    for (int k = 0; k < 2; k++)
        for (int64_t batch = 1; batch <= BATCH; batch++) {
            struct net n;
            make(&n, 4, 2, false, both[k], master);
            run(&n, BATCH, &full);
            run(&n, batch, &r);
            assert_memory_equal(r.y, full.y, (size_t)batch * PIXELS * sizeof(float));
            assert_memory_equal(r.loss, full.loss, (size_t)batch * sizeof(float));
            for (int64_t i = batch * PIXELS; i < BATCH * PIXELS; i++)
                assert_true(r.y[i] == 0);
            for (int64_t i = batch; i < BATCH; i++)
                assert_true(r.loss[i] == 0);
            unmake(&n);
        }
}

/* New weights are used at once when they are announced, in every packed copy. */
static void weights_can_change(void **state)
{
    (void)state;
    static struct result a, b, c;
    static float master[PARAMS], other[PARAMS];
    few_error err = { 0 };
    struct net n;
    weights(master);
    make(&n, 2, 2, true, FEW_PRECISION_F32, master);
    run(&n, BATCH, &a);
    few_params_init(&n.params, other, 77);
    assert_int_equal(few_backend_cpu.params(n.plan, 0, other, &err), FEW_OK);
    run(&n, BATCH, &b);
    assert_memory_not_equal(a.y, b.y, sizeof a.y);
    assert_int_equal(few_backend_cpu.params(n.plan, 0, master, &err), FEW_OK);
    run(&n, BATCH, &c);
    assert_memory_equal(&a, &c, sizeof a);
    unmake(&n);
}

/* ---- FEW_REF --------------------------------------------------------------------------------*/

static struct result *ref; /* what a process with FEW_REF=1 computes; shared memory */
static int ref_status;

/* Before anything is compiled: the environment is read once. */
static void run_with_few_ref(void)
{
    ref = mmap(NULL, sizeof *ref, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0) {
        setenv("FEW_REF", "1", 1);
        make_inputs(NULL);
        whole(2, 1, true, FEW_PRECISION_F32, ref);
        _exit(0);
    }
    waitpid(child, &ref_status, 0);
}

static void few_ref_runs_the_references(void **state)
{
    (void)state;
    static struct result r;
    assert_int_equal(ref_status, 0);
    whole(2, 1, true, FEW_PRECISION_F32, &r);
    same_result(ref, &r, 1e-5, "FEW_REF=1");
    assert_memory_not_equal(ref->y, r.y, sizeof r.y); /* it was another path */
}

/* ---- small graphs: aliases, in-place results, constants
 * ----------------------------------------*/

/* Run a graph of inputs "x" [4,6] (and "y") by the plan of some workers and by reference: every
 * named output and every gradient must agree. */
static void agree_by(int workers, few_graph *g, few_params *ps, const char *what)
{
    few_error err = { 0 };
    few_plan *plan;
    float in[48], *out[16];
    int n_out = 0;
    few_val val[16];
    if (few_graph_status(g, &err) != FEW_OK)
        fail_msg("%s: %s", what, err.text);
    const few_plan_options o = { .precision = FEW_PRECISION_F32, .workers = workers };
    if (few_backend_cpu.compile(g, &o, &plan, &err) != FEW_OK)
        fail_msg("%s: %s", what, err.text);
    float *master = few_calloc((size_t)ps->count + 1, sizeof *master),
          *grad = few_calloc((size_t)ps->count + 1, sizeof *grad);
    few_params_init(ps, master, 3);
    if (g->sets[0])
        few_backend_cpu.params(plan, 0, master, &err);
    double **v = few_calloc((size_t)g->n_tensors, sizeof *v);
    for (int k = 0; k < 48; k++)
        in[k] = (float)(few_random_uniform(8, 1, 0, 0, (uint32_t)k) + 0.5);
    for (int k = 0; k < g->n_tensors; k++) {
        const few_tensor *s = &g->tensors[k];
        const int64_t count = few_shape_count(&s->shape);
        if (s->source == FEW_FROM_INPUT)
            assert_int_equal(few_backend_cpu.bind(plan, s->name, in, &err), FEW_OK);
        if (s->source == FEW_FROM_INPUT || s->source == FEW_FROM_PARAM) {
            v[k] = few_malloc((size_t)count * sizeof(double));
            for (int64_t i = 0; i < count; i++)
                v[k][i] = s->source == FEW_FROM_INPUT ? (double)in[i]
                                                      : (double)master[ps->v[s->param].offset + i];
        }
        if (s->output) {
            val[n_out] = k;
            out[n_out] = few_calloc((size_t)count, sizeof(float));
            assert_int_equal(few_backend_cpu.bind(plan, s->name, out[n_out], &err), FEW_OK);
            n_out++;
        }
    }
    if (few_backend_cpu.run(plan, 4, &err) != FEW_OK)
        fail_msg("%s: %s", what, err.text);
    assert_int_equal(few_reference_run(g, v, &err), FEW_OK);
    for (int j = 0; j < n_out; j++) {
        for (int64_t i = 0; i < few_shape_count(&g->tensors[val[j]].shape); i++)
            if (!(fabs((double)out[j][i] - v[val[j]][i]) <= 1e-5))
                fail_msg("%s: '%s' element %lld is %.9g, the reference says %.9g", what,
                         g->tensors[val[j]].name, (long long)i, (double)out[j][i], v[val[j]][i]);
        few_free(out[j]);
    }
    few_backend_cpu.gradients(plan, grad, &err);
    for (int k = 0; k < g->n_tensors; k++) {
        const int q = g->tensors[k].grad_of;
        for (int64_t i = 0; q >= 0 && i < ps->v[q].count; i++)
            if (!(fabs((double)grad[ps->v[q].offset + i] - v[k][i]) <= 1e-5))
                fail_msg("%s: gradient of '%s' element %lld is %.9g, the reference says %.9g", what,
                         ps->v[q].name, (long long)i, (double)grad[ps->v[q].offset + i], v[k][i]);
    }
    few_reference_free(g, v);
    for (int k = 0; k < g->n_tensors; k++)
        few_free(v[k]);
    few_free(v);
    few_free(master);
    few_free(grad);
    few_backend_cpu.release(plan);
    few_graph_clear(g);
    few_params_free(ps);
}

static void agree(few_graph *g, few_params *ps, const char *what)
{
    agree_by(1, g, ps, what);
}

struct small {
    few_graph g;
    few_params ps;
    few_val x;
};

static few_graph *start(struct small *s)
{
    memset(s, 0, sizeof *s);
    few_graph_init(&s->g);
    few_graph_use_set(&s->g, 0, &s->ps);
    few_graph_label(&s->g, "small");
    s->x = few_graph_input(&s->g, "x", FEW_F32, FEW_SHAPE(4, 6), false);
    return &s->g;
}

static void aliases(void **state)
{
    (void)state;
    struct small s;
    few_graph *g = start(&s);
    few_graph_output(g, few_reshape(g, s.x, FEW_SHAPE(2, 3)), "r");
    agree(g, &s.ps, "an input by another name");

    g = start(&s);
    few_graph_output(g, few_stop_gradient(g, few_cast(g, s.x, FEW_F32)), "r");
    agree(g, &s.ps, "an alias of an alias of an input");

    g = start(&s);
    few_val a = few_silu(g, s.x);
    few_graph_output(g, a, "a");
    few_graph_output(g, few_stop_gradient(g, a), "same");
    few_graph_output(g, few_affine(g, a, 2, 1), "twice");
    agree(g, &s.ps, "an output under two names");

    g = start(&s);
    a = few_silu(g, s.x);
    const few_val r = few_reshape(g, a, FEW_SHAPE(3, 2)); /* a's bytes, read later than a */
    const few_val b = few_affine(g, a, -3, 1);
    few_graph_output(g, few_add(g, few_reshape(g, r, FEW_SHAPE(6)), b), "y");
    agree(g, &s.ps, "in-place waits for aliases");
}

static void in_place(void **state)
{
    (void)state;
    struct small s;
    few_graph *g = start(&s);
    few_val a = few_silu(g, s.x);
    few_graph_output(g, few_add(g, a, a), "y");
    agree(g, &s.ps, "a term added to itself");

    g = start(&s);
    a = few_silu(g, s.x);
    few_graph_output(g, few_add(g, few_stop_gradient(g, a), a), "y");
    agree(g, &s.ps, "a term added to its alias");

    g = start(&s);
    few_graph_output(g, few_affine(g, s.x, 2, 0), "y");
    few_graph_output(g, few_affine(g, s.x, 3, 0), "z"); /* inputs are never overwritten */
    agree(g, &s.ps, "inputs stay");

    g = start(&s);
    a = few_silu(g, s.x);
    few_val chain = a;
    for (int k = 0; k < 5; k++)
        chain = few_affine(g, few_add(g, chain, s.x), 0.5, 0.1);
    few_graph_output(g, a, "a");
    few_graph_output(g, chain, "y");
    agree(g, &s.ps, "a chain in place that starts at an output");
}

static void constants(void **state)
{
    (void)state;
    float c[24];
    struct small s;
    for (int k = 0; k < 24; k++)
        c[k] = (float)k / 10;
    few_graph *g = start(&s);
    const few_val k = few_graph_const(g, FEW_SHAPE(4, 6), c);
    const few_val made = few_affine(g, few_silu(g, k), 2, 0); /* of constants alone: once */
    few_graph_output(g, few_add(g, s.x, few_add(g, made, k)), "y");
    few_graph_output(g, few_reshape(g, made, FEW_SHAPE(3, 2)), "made");
    agree(g, &s.ps, "constants");
}

static void gradients_of_every_shape(void **state)
{
    (void)state;
    struct small s;
    few_graph *g = start(&s);
    few_val p = few_graph_param(g, 0, "p", FEW_SHAPE(4, 6), FEW_INIT_NORMAL, 1);
    few_val loss = few_mean_square(g, few_add(g, s.x, p));
    few_graph_backward(g, loss, NULL, 0, NULL);
    agree(g, &s.ps, "a plain gradient");

    g = start(&s);
    p = few_graph_param(g, 0, "p", FEW_SHAPE(4, 2, 3), FEW_INIT_NORMAL, 1);
    loss = few_mean_square(g, few_add(g, s.x, few_reshape(g, p, FEW_SHAPE(6))));
    few_graph_backward(g, loss, NULL, 0, NULL);
    agree(g, &s.ps, "a gradient that is an alias");

    g = start(&s);
    p = few_graph_param(g, 0, "p", FEW_SHAPE(4), FEW_INIT_NORMAL, 1);
    few_graph_backward(g, few_add(g, few_mean_square(g, s.x), p), NULL, 0, NULL);
    agree(g, &s.ps, "a gradient that is a constant");

    g = start(&s);
    p = few_graph_param(g, 0, "p", FEW_SHAPE(5, 6), FEW_INIT_NORMAL, 1);
    few_val q = few_graph_param(g, 0, "q", FEW_SHAPE(5), FEW_INIT_NORMAL, 1);
    few_val y = few_linear(g, s.x, p, q, FEW_NONE);
    y = few_add(g, few_silu(g, y), few_linear(g, few_affine(g, s.x, 2, 0), p, FEW_NONE, FEW_NONE));
    few_graph_backward(g, few_mean_square(g, y), NULL, 0, NULL);
    agree(g, &s.ps, "weights used twice");

    g = start(&s);
    q = few_graph_param(g, 0, "q", FEW_SHAPE(5), FEW_INIT_NORMAL, 1);
    y = FEW_NONE;
    for (int k = 0; k < 3; k++) {
        p = few_graph_param(g, 0, (const char *[]){ "p0", "p1", "p2" }[k], FEW_SHAPE(5, 6),
                            FEW_INIT_NORMAL, 1);
        const few_val h = few_linear(g, s.x, p, q, FEW_NONE);
        y = k == 0 ? h : few_add(g, few_silu(g, y), h);
    }
    few_graph_backward(g, few_mean_square(g, y), NULL, 0, NULL);
    agree_by(2, g, &s.ps, "a bias used thrice");

    g = start(&s); /* the loss alone is wanted from a part that gradients go through, too */
    p = few_graph_param(g, 0, "p", FEW_SHAPE(4, 6), FEW_INIT_NORMAL, 1);
    q = few_graph_param(g, 0, "q", FEW_SHAPE(4, 6), FEW_INIT_NORMAL, 1);
    loss = few_mean_square(g, few_mul(g, few_add(g, p, q), s.x));
    few_graph_output(g, loss, "loss");
    few_graph_backward(g, loss, NULL, 0, NULL);
    agree(g, &s.ps, "two parameters with one gradient");
}

/* A loss that is linear in a norm's result: the backward pass makes the result anew, of the first
 * only the statistics are read. */
static void a_norm_of_which_statistics_are_read(void **state)
{
    (void)state;
    struct small s;
    few_graph *g = start(&s);
    const few_val p = few_graph_param(g, 0, "p", FEW_SHAPE(6, 6), FEW_INIT_NORMAL, 1);
    const few_val h = few_reshape(g, few_linear(g, s.x, p, FEW_NONE, FEW_NONE), FEW_SHAPE(3, 2));
    const few_val y =
        few_group_norm(g, h, few_graph_param(g, 0, "gamma", FEW_SHAPE(2), FEW_INIT_NORMAL, 1),
                       few_graph_param(g, 0, "beta", FEW_SHAPE(2), FEW_INIT_NORMAL, 1), FEW_NONE,
                       FEW_NONE, 1, true, 1e-5);
    const few_val w = few_graph_param(g, 0, "w", FEW_SHAPE(1, 6), FEW_INIT_NORMAL, 1);
    const few_val loss = few_linear(g, few_reshape(g, y, FEW_SHAPE(6)), w, FEW_NONE, FEW_NONE);
    few_graph_backward(g, few_reshape(g, loss, (few_shape){ .rank = 0 }), NULL, 0, NULL);
    agree(g, &s.ps, "a norm of which the statistics are read");
}

/* ---- refusals -------------------------------------------------------------------------------*/

static void expect(few_status got, few_status want, const few_error *err, const char *part)
{
    assert_int_equal(got, want);
    if (!strstr(err->text, part))
        fail_msg("'%s' does not say '%s'", err->text, part);
}

static void what_makes_no_sense_is_refused(void **state)
{
    (void)state;
    static float master[PARAMS];
    const few_backend *b = &few_backend_cpu;
    few_error err = { 0 };
    struct net n;
    weights(master);
    make(&n, 4, 1, true, FEW_PRECISION_F32, master);
    expect(b->bind(n.plan, "nothing", x, &err), FEW_EINVAL, &err, "'nothing'");
    expect(b->params(n.plan, 1, master, &err), FEW_EINVAL, &err, "set 1");
    expect(b->params(n.plan, -1, master, &err), FEW_EINVAL, &err, "set -1");
    expect(b->params(n.plan, FEW_MAX_SETS, master, &err), FEW_EINVAL, &err, "set");
    expect(b->run(n.plan, 0, &err), FEW_EINVAL, &err, "batch 0");
    expect(b->run(n.plan, -4, &err), FEW_EINVAL, &err, "batch -4");
    expect(b->run(n.plan, 6, &err), FEW_EINVAL, &err, "slice 4");
    assert_int_equal(b->bind(n.plan, "label", NULL, &err), FEW_OK);
    expect(b->run(n.plan, 4, &err), FEW_EINVAL, &err, "'label'");
    assert_int_equal(b->bind(n.plan, "label", label, &err), FEW_OK);
    assert_int_equal(b->run(n.plan, 4, &err), FEW_OK); /* outputs may stay unbound */
    unmake(&n);

    memset(&n, 0, sizeof n);
    build(&n, 4, false);
    const few_plan_options o = { .workers = 1 };
    assert_int_equal(b->compile(&n.g, &o, &n.plan, &err), FEW_OK);
    expect(b->run(n.plan, 4, &err), FEW_EINVAL, &err, "is not bound");
    b->bind(n.plan, "x", x, &err);
    b->bind(n.plan, "t", t, &err);
    b->bind(n.plan, "label", label, &err);
    b->bind(n.plan, "rng", rng, &err);
    expect(b->run(n.plan, 4, &err), FEW_EINVAL, &err, "parameter set 0");
    unmake(&n);
}

static void graphs_that_cannot_be_planned(void **state)
{
    (void)state;
    const few_backend *b = &few_backend_cpu;
    const few_plan_options o = { .workers = 1 };
    few_error err = { 0 };
    few_plan *plan = NULL;
    struct small s;
    few_graph *g = start(&s);
    few_graph_output(g, few_add(g, s.x, FEW_NONE), "y");
    expect(b->compile(g, &o, &plan, &err), FEW_EINVAL, &err, "small");
    few_graph_clear(g);

    g = start(&s);
    few_graph_input(g, "other", FEW_F32, FEW_SHAPE(3, 6), false);
    expect(b->compile(g, &o, &plan, &err), FEW_EINVAL, &err, "'other'");
    few_graph_clear(g);

    g = start(&s);
    few_graph_input(g, "act", FEW_ACT, FEW_SHAPE(4, 6), false);
    expect(b->compile(g, &o, &plan, &err), FEW_EINVAL, &err, "'act'");
    few_graph_clear(g);

    g = start(&s); /* outputs are f32 */
    const few_val u = few_graph_input(g, "u", FEW_U8, FEW_SHAPE(4, 6), false);
    few_graph_output(g, few_reshape(g, u, FEW_SHAPE(3, 2)), "bytes");
    expect(b->compile(g, &o, &plan, &err), FEW_EINVAL, &err, "'bytes'");
    few_graph_clear(g);

    g = start(&s); /* nor are they parameters by another name */
    const few_val p = few_graph_param(g, 0, "p", FEW_SHAPE(4, 6), FEW_INIT_NORMAL, 1);
    few_graph_output(g, few_reshape(g, p, FEW_SHAPE(3, 2)), "renamed");
    expect(b->compile(g, &o, &plan, &err), FEW_EINVAL, &err, "'renamed'");
    few_graph_clear(g);
    few_params_free(&s.ps);

    g = start(&s);
    few_graph_input(g, "x", FEW_F32, FEW_SHAPE(4, 6), true);
    expect(b->compile(g, &o, &plan, &err), FEW_EINVAL, &err, "declared twice");
    few_graph_clear(g);

    g = start(&s);
    few_val y = few_reshape(g, s.x, FEW_SHAPE(3, 2));
    y = few_attention(g, y, y, y, 1);
    few_graph_output(g, few_graph_out(g, y, 1), "lse");
    expect(b->compile(g, &o, &plan, &err), FEW_EUNSUPPORTED, &err, "log sums");
    few_graph_clear(g);
    assert_null(plan);
}

static void compiling_survives_every_failed_allocation(void **state)
{
    (void)state;
    const few_plan_options o = { .precision = FEW_PRECISION_F32, .workers = 2 };
    few_error err = { 0 };
    struct net n = { .plan = NULL };
    int failures = 0;
    build(&n, 2, true);
    const int64_t before = few_alloc_get_stats().bytes;
    for (int64_t k = 1;; k++) {
        few_alloc_fail_at(k);
        const few_status st = few_backend_cpu.compile(&n.g, &o, &n.plan, &err);
        few_alloc_fail_at(0);
        if (st == FEW_OK)
            break;
        if (st != FEW_ENOMEM)
            fail_msg("request %lld: %s", (long long)k, err.text);
        assert_int_equal(few_alloc_get_stats().bytes, before);
        failures++;
    }
    assert_true(failures > 50);
    few_backend_cpu.release(n.plan);
    assert_int_equal(few_backend_cpu.compile(&n.g, &o, &n.plan, &err), FEW_OK);
    few_plan_report r;
    few_backend_cpu.report(n.plan, &r);
    assert_int_equal(r.slice, 2);
    assert_int_equal(r.workers, 2);
    assert_true(r.arena_bytes > 0 && r.weight_bytes > 0 && r.flops > 0 && r.params > 0);
    few_backend_cpu.release(n.plan);
    n.plan = NULL;
    assert_int_equal(few_alloc_get_stats().bytes, before);
    unmake(&n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slices_and_workers_change_nothing),
        cmocka_unit_test(runs_repeat_bit_for_bit),
        cmocka_unit_test(partial_slices),
        cmocka_unit_test(weights_can_change),
        cmocka_unit_test(few_ref_runs_the_references),
        cmocka_unit_test(aliases),
        cmocka_unit_test(in_place),
        cmocka_unit_test(constants),
        cmocka_unit_test(gradients_of_every_shape),
        cmocka_unit_test(a_norm_of_which_statistics_are_read),
        cmocka_unit_test(what_makes_no_sense_is_refused),
        cmocka_unit_test(graphs_that_cannot_be_planned),
        cmocka_unit_test(compiling_survives_every_failed_allocation),
    };
    run_with_few_ref();
    return cmocka_run_group_tests(tests, make_inputs, NULL);
}

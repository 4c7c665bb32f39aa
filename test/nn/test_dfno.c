/* The Fourier layer along time against a discrete Fourier transform in complex numbers, and the
 * fixed points of dsno. */
#include "train/nets.h"

#include "nn/dfno.h"

#include <complex.h>

enum { N = 2, H = 2, W = 3, C = 4, D = N * H * W * C, MAX = FEW_MAX_TIMES };

typedef struct rig {
    few_graph g;
    few_params params;
    few_val in[MAX], out[MAX];
    double *value[4096], h[MAX][D];
    double weight[2 * MAX][C * C];
    int states, modes;
} rig;

/* Run the layer; weight 2k and 2k + 1 are real and imaginary part of mode k. */
static void run(rig *r, int states, int modes, bool zero, bool still)
{
    const few_dfno_config c = { .states = states, .modes = modes };
    few_error err = { 0 };
    memset(r, 0, sizeof *r);
    r->states = states;
    r->modes = modes;
    few_graph_init(&r->g);
    few_graph_use_set(&r->g, 0, &r->params);
    few_stack h = { .n = states };
    for (int t = 0; t < states; t++) {
        char name[8];
        snprintf(name, sizeof name, "h%d", t);
        h.v[t] = r->in[t] = few_graph_input(&r->g, name, FEW_F32, FEW_SHAPE(N, H, W, C), false);
        for (int i = 0; i < D; i++)
            r->h[t][i] = sin(1 + 0.7 * i + (still ? 0 : 2.3 * t));
        r->value[r->in[t]] = r->h[t];
    }
    few_dfno_mix(&r->g, 0, "b", &h, &c);
    memcpy(r->out, h.v, sizeof h.v);
    if (few_graph_status(&r->g, &err) != FEW_OK)
        fail_msg("%s", err.text);
    for (int k = 0; k < r->g.n_tensors; k++) {
        const few_tensor *t = &r->g.tensors[k];
        if (t->source != FEW_FROM_PARAM)
            continue;
        const char *name = r->params.v[t->param].name; /* b.mode.K.real */
        const int at = 2 * (name[7] - '0') + !strcmp(name + 9, "imag");
        for (int i = 0; i < C * C; i++)
            r->weight[at][i] = zero ? 0 : cos(0.3 * i + at);
        r->value[k] = r->weight[at];
    }
    assert_true(r->g.n_tensors <= (int)FEW_COUNT(r->value));
    if (few_reference_run(&r->g, r->value, &err) != FEW_OK)
        fail_msg("%s", err.text);
}

static void done(rig *r)
{
    few_reference_free(&r->g, r->value);
    few_graph_clear(&r->g);
    few_params_free(&r->params);
}

/* h + leaky_relu(irfft(W_k rfft(h)_k)) as printed: all frequencies, the upper half conjugate. */
static double by_hand(const rig *r, int t, int i)
{
    const int T = r->states, o = i % C;
    double complex u = 0;
    for (int k = 0; k < T; k++) {
        const int low = k <= T / 2 ? k : T - k; /* its mirror below */
        double complex f = 0;
        if (low >= r->modes)
            continue;
        for (int c = 0; c < C; c++) {
            double complex F = 0;
            for (int s = 0; s < T; s++)
                F += r->h[s][i - o + c] * cexp(-2 * I * M_PI * low * s / T);
            f += (r->weight[2 * low][o * C + c] + I * r->weight[2 * low + 1][o * C + c]) * F;
        }
        if (low == 0 || 2 * low == T)
            f = creal(f); /* of a real series nothing else counts */
        u += (k == low ? f : conj(f)) * cexp(2 * I * M_PI * k * t / T) / T;
    }
    assert_true(fabs(cimag(u)) < 1e-9);
    return r->h[t][i] + fmax(creal(u), 0.01 * creal(u));
}

static void the_layer_is_a_fourier_layer(void **state)
{
    (void)state;
    static const int cases[][2] = { { 1, 1 }, { 2, 1 }, { 2, 2 }, { 3, 2 },
                                    { 4, 2 }, { 4, 3 }, { 5, 3 }, { 8, 4 } };
    for (size_t k = 0; k < FEW_COUNT(cases); k++) {
        rig r;
        run(&r, cases[k][0], cases[k][1], false, false);
        for (int t = 0; t < r.states; t++)
            for (int i = 0; i < D; i++) {
                const double want = by_hand(&r, t, i), have = r.value[r.out[t]][i];
                if (!(fabs(have - want) < 1e-12 * (1 + fabs(want))))
                    fail_msg("%d states, %d modes, time %d: %.12g, by hand %.12g", r.states,
                             r.modes, t, have, want);
            }
        done(&r);
    }
}

/* Without weights nothing happens; what stands still touches frequency 0 alone. */
static void fixed_points(void **state)
{
    (void)state;
    rig r;
    run(&r, 4, 2, true, false);
    for (int t = 0; t < 4; t++)
        assert_memory_equal(r.value[r.out[t]], r.h[t], sizeof r.h[t]);
    done(&r);
    run(&r, 4, 2, false, true);
    for (int t = 0; t < 4; t++)
        for (int i = 0; i < D; i++) {
            double u = 0;
            for (int c = 0; c < C; c++)
                u += r.weight[0][i % C * C + c] * r.h[0][i - i % C + c];
            assert_true(fabs(r.value[r.out[t]][i] - r.h[0][i] - fmax(u, 0.01 * u)) < 1e-12);
        }
    done(&r);
}

/* A network of one state without weights in its layers is the U-Net at t = 0. */
static void one_state_is_the_unet(void **state)
{
    (void)state;
    few_config c;
    few_net unet;
    few_error err = { 0 };
    void *config;
    load_defaults(&c, "diffusion");
    tiny_unet(&c);
    make_net(&unet, &c, (few_net_shape){ 8, 8, 1, 3 }, 4);
    assert_int_equal(few_dfno_make(unet.spec.config, 1, 1, 1024, &config, &err), FEW_OK);
    few_graph g;
    few_params params = { 0 };
    few_graph_init(&g);
    few_graph_use_set(&g, 0, &params);
    const few_val x = few_graph_input(&g, "x", FEW_F32, FEW_SHAPE(1, 8, 8, 1), false);
    const few_val t = few_graph_input(&g, "t", FEW_F32, FEW_SHAPE(1), false);
    const few_val label = few_graph_input(&g, "label", FEW_I32, FEW_SHAPE(1), false);
    const few_val a = few_dfno_build(&g, 0, config, x, label, FEW_NONE).v[0];
    const few_val b = few_spec_build(&unet.spec, &g, 0, x, t, label, FEW_NONE);
    double **value = few_calloc((size_t)g.n_tensors, sizeof *value), in[64], time = -1, class = 2;
    double *weights = few_calloc((size_t)params.count, sizeof *weights);
    for (int i = 0; i < 64; i++)
        in[i] = sin(i);
    value[x] = in;
    value[t] = &time;
    value[label] = &class;
    for (int k = 0; k < g.n_tensors; k++) {
        if (g.tensors[k].source != FEW_FROM_PARAM)
            continue;
        const few_param *p = &params.v[g.tensors[k].param];
        value[k] = weights + p->offset;
        for (int64_t i = 0; i < p->count && !strstr(p->name, ".mode."); i++)
            value[k][i] = 0.3 * cos(0.1 * (double)(i + k));
    }
    assert_int_equal(few_graph_status(&g, &err), FEW_OK);
    assert_int_equal(few_reference_run(&g, value, &err), FEW_OK);
    for (int i = 0; i < 64; i++)
        assert_true(fabs(value[a][i] - value[b][i]) < 1e-12 && fabs(value[a][i]) > 1e-6);
    few_reference_free(&g, value);
    few_graph_clear(&g);
    few_params_free(&params);
    few_free(value);
    few_free(weights);
    few_network_dfno.close(config);
    few_net_free(&unet);
    few_config_clear(&c);
}

static void wrong_configs_are_refused(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        { "{}", "'states'" },
        { "{\"states\":9,\"modes\":2,\"time_scale\":1024,\"unet\":{}}", "states" },
        { "{\"states\":4,\"modes\":4,\"time_scale\":1024,\"unet\":{}}", "modes" },
        { "{\"states\":0,\"modes\":1,\"time_scale\":1024,\"unet\":{}}", "states" },
        { "{\"states\":4,\"modes\":2,\"time_scale\":1024,\"unet\":{\"act_fn\":3}}", "act_fn" },
    };
    for (size_t k = 0; k < FEW_COUNT(cases); k++) {
        json_t *o = json_loads(cases[k][0], 0, NULL);
        few_error err = { 0 };
        void *config;
        assert_int_not_equal(few_network_dfno.open(o, &config, &err), FEW_OK);
        if (!strstr(err.text, cases[k][1]))
            fail_msg("'%s' does not say '%s'", err.text, cases[k][1]);
        json_decref(o);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_layer_is_a_fourier_layer),
        cmocka_unit_test(fixed_points),
        cmocka_unit_test(one_state_is_the_unet),
        cmocka_unit_test(wrong_configs_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

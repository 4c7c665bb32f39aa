/* dfno. The Fourier layer in real numbers: with F_k = a - i b, a = sum_t h_t cos, b = sum_t h_t sin
 * at angle 2 pi k t / T, and W_k = P + i Q,
 *
 *     u_t = 1/T sum_k m_k ((a P + b Q) cos - (a Q - b P) sin),   m_0 = 1, else 2, but 1 at k = T/2.
 *
 * The authors draw the real and imaginary parts of W from [0, 1)/(C C); here they are drawn from
 * both signs. */
#include "nn/dfno.h"

#include "base/alloc.h"
#include "nn/network.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* sum_t c_t h_t. */
static few_val weighted(few_graph *g, const few_stack *h, const double *c)
{
    few_val sum = FEW_NONE;
    for (int t = 0; t < h->n; t++) {
        if (fabs(c[t]) < 1e-12)
            continue;
        const few_val one = fabs(c[t] - 1) < 1e-12 ? h->v[t] : few_affine(g, h->v[t], c[t], 0);
        sum = sum == FEW_NONE ? one : few_add(g, sum, one);
    }
    return sum;
}

static few_val weight(few_graph *g, int set, const char *block, int k, const char *part, int64_t c)
{
    char name[192];
    snprintf(name, sizeof name, "%s.mode.%d.%s", block, k, part);
    return few_graph_param(g, set, name, FEW_SHAPE(c, c), FEW_INIT_UNIFORM, 1 / (double)(c * c));
}

void few_dfno_mix(few_graph *g, int set, const char *block, few_stack *h, const void *config)
{
    const few_dfno_config *c = config;
    const int T = h->n;
    few_stack real[FEW_MAX_TIMES], imag[FEW_MAX_TIMES]; /* .v[0]: of frequency k */
    if (h->v[0] == FEW_NONE)
        return;
    const few_shape *shape = &g->tensors[h->v[0]].shape;
    const int64_t width = shape->d[shape->rank - 1];
    double cosine[FEW_MAX_TIMES][FEW_MAX_TIMES], sine[FEW_MAX_TIMES][FEW_MAX_TIMES];
    few_graph_label(g, "%s", block);
    for (int k = 0; k < c->modes; k++) {
        for (int t = 0; t < T; t++) {
            const double angle = 2 * 3.14159265358979323846 * k * t / T;
            cosine[k][t] = cos(angle);
            sine[k][t] = sin(angle);
        }
        const few_val a = weighted(g, h, cosine[k]), P = weight(g, set, block, k, "real", width);
        const bool alone = k == 0 || 2 * k == T; /* no imaginary part on either side */
        const few_val b = alone ? FEW_NONE : weighted(g, h, sine[k]);
        real[k].v[0] = few_linear(g, a, P, FEW_NONE, FEW_NONE);
        imag[k].v[0] = FEW_NONE;
        if (b == FEW_NONE)
            continue;
        const few_val Q = weight(g, set, block, k, "imag", width);
        real[k].v[0] = few_linear(g, b, Q, FEW_NONE, real[k].v[0]);
        imag[k].v[0] = few_linear(g, few_affine(g, b, -1, 0), P, FEW_NONE,
                                  few_linear(g, a, Q, FEW_NONE, FEW_NONE));
    }
    few_stack out = *h;
    for (int t = 0; t < T; t++) {
        few_stack terms = { .n = 0 };
        double by[2 * FEW_MAX_TIMES];
        for (int k = 0; k < c->modes && terms.n + 2 <= FEW_MAX_TIMES; k++) {
            const double m = (k == 0 || 2 * k == T ? 1.0 : 2.0) / T;
            by[terms.n] = m * cosine[k][t];
            terms.v[terms.n++] = real[k].v[0];
            if (imag[k].v[0] == FEW_NONE)
                continue;
            by[terms.n] = -m * sine[k][t];
            terms.v[terms.n++] = imag[k].v[0];
        }
        const few_val u = weighted(g, &terms, by);
        if (u != FEW_NONE)
            out.v[t] = few_add(g, h->v[t], few_leaky_relu(g, u, 0.01));
    }
    *h = out;
}

few_stack few_dfno_build(few_graph *g, int set, const few_dfno_config *c, few_val x, few_val label,
                         few_val rng)
{
    few_unet_times times = { .n = c->states, .mix = few_dfno_mix, .user = c };
    float input[1024];
    const int64_t n = x == FEW_NONE ? 1 : g->tensors[x].shape.d[0];
    if (n > (int64_t)FEW_COUNT(input))
        few_graph_fail(g, FEW_EUNSUPPORTED, "a slice of more than %zu images", FEW_COUNT(input));
    for (int t = 0; t < c->states; t++) {
        const double at = 1 - (double)(t + 1) / c->states;
        for (int64_t i = 0; i < n && i < (int64_t)FEW_COUNT(input); i++)
            input[i] = (float)(c->time_scale * at - 1);
        times.time[t] = few_graph_const(g, FEW_SHAPE(n), input);
    }
    return few_unet_build_times(g, set, &c->unet, x, label, rng, &times);
}

/* ---- as a network ---------------------------------------------------------------------------*/

static void close_config(void *config)
{
    few_dfno_config *c = config;
    few_unet_config_clear(&c->unet);
    few_free(c);
}

static few_status check(const few_dfno_config *c, few_error *err)
{
    if (c->states < 1 || c->states > FEW_MAX_TIMES || c->modes < 1 ||
        2 * c->modes > c->states + 2 || 2 * c->modes > FEW_MAX_TIMES)
        return few_fail(err, FEW_ECONFIG,
                        "dfno: %d states and %d modes; up to %d states, and modes up to half of "
                        "them and one",
                        c->states, c->modes, FEW_MAX_TIMES);
    return FEW_OK;
}

/* Takes the reference of `unet`. */
static few_status from_json(json_t *unet, int states, int modes, double time_scale, void **config,
                            few_error *err)
{
    few_dfno_config *c = few_calloc(1, sizeof *c);
    few_status st = c && unet ? FEW_OK : few_fail(err, FEW_ENOMEM, "out of memory for a network");
    if (st == FEW_OK) {
        c->states = states;
        c->modes = modes;
        c->time_scale = time_scale;
        st = check(c, err);
    }
    if (st == FEW_OK)
        st = few_unet_config_from_json(&c->unet, unet, "dfno", err);
    json_decref(unet);
    if (st != FEW_OK)
        few_free(c);
    else
        *config = c;
    return st;
}

few_status few_dfno_make(const few_unet_config *unet, int states, int modes, double time_scale,
                         void **config, few_error *err)
{
    FEW_TRY(from_json(few_unet_config_to_json(unet), states, modes, time_scale, config, err));
    ((few_dfno_config *)*config)->unet.zero_init = unet->zero_init; /* which JSON does not tell */
    return FEW_OK;
}

static few_status make(const void *options, const few_net_shape *shape, void **config,
                       few_error *err)
{
    (void)options;
    (void)shape;
    (void)config;
    return few_fail(err, FEW_ECONFIG,
                    "network dfno is made of a teacher's U-Net: fewstep distill --method dsno");
}

static few_status open_config(const json_t *json, void **config, few_error *err)
{
    int states, modes;
    double time_scale;
    json_t *unet;
    if (json_unpack((json_t *)(uintptr_t)json, "{s:i, s:i, s:F, s:o}", "states", &states, "modes",
                    &modes, "time_scale", &time_scale, "unet", &unet))
        return few_fail(err, FEW_EFORMAT,
                        "dfno: 'states', 'modes', 'time_scale' and 'unet' must be there");
    return from_json(json_incref(unet), states, modes, time_scale, config, err);
}

static json_t *to_json(const void *config)
{
    const few_dfno_config *c = config;
    return json_pack("{s:i, s:i, s:f, s:o}", "states", c->states, "modes", c->modes, "time_scale",
                     c->time_scale, "unet", few_unet_config_to_json(&c->unet));
}

static int labels(const void *config)
{
    return few_unet_labels(&((const few_dfno_config *)config)->unet);
}

/* The data: the last state. */
static few_val build(few_graph *g, int set, const void *config, few_val x, few_val time,
                     few_val label, few_val rng)
{
    const few_dfno_config *c = config;
    (void)time;
    return few_dfno_build(g, set, c, x, label, rng).v[c->states - 1];
}

static const few_option none[] = { { .name = NULL } };

const few_network few_network_dfno = {
    .name = "dfno",
    .help = "a U-Net at several times, with Fourier layers between them (students by dsno)",
    .options = none,
    .timeless = true,
    .make = make,
    .open = open_config,
    .json = to_json,
    .labels = labels,
    .close = close_config,
    .build = build,
};

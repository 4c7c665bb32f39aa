/* Small networks, drawers for them, and images compared bit by bit. */
#ifndef TEST_SAMPLER_DRAWN_H
#define TEST_SAMPLER_DRAWN_H

#include "method/oracle.h"
#include "sampler/draw.h"

#include <math.h>

/* Those of the paper: a combination of z, x_hat and eps_hat. The others are in test_graph.c. */
static const few_sampler *const simple[] = { &few_sampler_ddim, &few_sampler_addim,
                                             &few_sampler_multistep };

static const few_net_shape labelled = { 8, 8, 1, 3 }, plain = { 8, 8, 1, 0 },
                           point = { 2, 1, 3, 0 };

/* A network with random weights; steps: 0 for a diffusion model. */
static inline void make(few_net *n, few_net_shape shape, const char *prediction, int steps)
{
    few_config c;
    load_defaults(&c, "diffusion");
    if (shape.h == 8)
        tiny_unet(&c);
    else
        tiny_mlp(&c);
    set(&c, "model.prediction", prediction);
    make_net(n, &c, shape, 5);
    n->spec.steps = steps;
    n->spec.null_class = shape.classes > 0;
    few_config_clear(&c);
}

static inline few_drawer *open_precise(const few_net *n, few_precision precision, int workers,
                                       int64_t slice, bool guidance)
{
    const few_drawer_options o = {
        .precision = precision, .workers = workers, .slice = slice, .guidance = guidance
    };
    few_drawer *d = NULL;
    few_error err = { 0 };
    if (few_drawer_create(&n->spec, n->master, &o, &d, &err) != FEW_OK)
        fail_msg("%s", err.text);
    return d;
}

static inline few_drawer *open_drawer(const few_net *n, int workers, int64_t slice, bool guidance)
{
    return open_precise(n, FEW_PRECISION_F32, workers, slice, guidance);
}

static inline void draw(few_drawer *d, const few_draw *o, int64_t n, float *images)
{
    few_error err = { 0 };
    void *options = NULL;
    few_draw with = *o;
    if (!o->options) {
        assert_int_equal(few_sampler_options_make(o->sampler, &options, &err), FEW_OK);
        with.options = options;
    }
    if (few_drawer_draw(d, &with, n, images, &err) != FEW_OK)
        fail_msg("%s", err.text);
    few_sampler_options_free(o->sampler, options);
}

/* draw with a drawer made for it. */
static inline void draw_once(const few_net *n, const few_draw *o, int64_t count, float *images)
{
    few_drawer *d = open_drawer(n, 1, 2, o->guidance != 0);
    draw(d, o, count, images);
    few_drawer_free(d);
}

static inline const few_sampler *named(const char *name)
{
    few_error err = { 0 };
    const few_sampler *s = few_sampler_find(name, &err);
    if (!s)
        fail_msg("%s", err.text);
    return s;
}

/* Options of aDDIM with one set, "key=value". */
static inline void *addim_options(const char *setting)
{
    char text[32];
    const few_strings one = { .v = (char *[]){ text }, .n = 1 };
    void *o = NULL;
    few_error err = { 0 };
    snprintf(text, sizeof text, "%s", setting);
    assert_int_equal(few_sampler_options_make(&few_sampler_addim, &o, &err), FEW_OK);
    if (few_sampler_options_set(&few_sampler_addim, o, &one, &err) != FEW_OK)
        fail_msg("%s", err.text);
    return o;
}

/* The noise of image `index`: element 4 b + k is number k of block b. */
static inline void noise_of(uint64_t seed, uint64_t index, int d, float *z)
{
    const uint32_t key[2] = { (uint32_t)seed, (uint32_t)(seed >> 32) };
    for (int e = 0; e < d; e++) {
        const uint32_t counter[4] = { (uint32_t)e / 4, FEW_RNG_NOISE, (uint32_t)(index >> 32),
                                      (uint32_t)index };
        double v[4];
        few_philox_normal(counter, key, v);
        z[e] = (float)v[e % 4];
    }
}

static inline double rms_error(const float *have, const double *want, int64_t n)
{
    double miss = 0, all = 0;
    for (int64_t i = 0; i < n; i++) {
        miss += ((double)have[i] - want[i]) * ((double)have[i] - want[i]);
        all += want[i] * want[i];
    }
    return sqrt(miss / all);
}

static inline void same(const float *a, const float *b, int64_t n, const char *what)
{
    for (int64_t i = 0; i < n; i++)
        if (memcmp(a + i, b + i, sizeof *a))
            fail_msg("%s: number %lld is %.9g, was %.9g", what, (long long)i, (double)b[i],
                     (double)a[i]);
}

#endif

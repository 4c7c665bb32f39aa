/* Tiny networks for tests of models, samplers, methods and training. */
#ifndef TEST_TRAIN_NETS_H
#define TEST_TRAIN_NETS_H

#include "base/alloc.h"
#include "base/temp_folder.h"
#include "train/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <math.h>

static inline void set(few_config *c, const char *key, const char *value)
{
    few_error err = { 0 };
    if (few_config_set(c, key, value, "test", &err) != FEW_OK)
        fail_msg("%s", err.text);
}

static inline void load_defaults(few_config *c, const char *method)
{
    few_error err = { 0 };
    if (few_config_load(c, NULL, method, &err) != FEW_OK)
        fail_msg("%s", err.text);
    c->student.steps = c->method->makes_student ? 4 : 0;
}

/* A U-Net of a few thousand weights, for 8x8 images. */
static inline void tiny_unet(few_config *c)
{
    set(c, "model.network", "unet");
    set(c, "model.base", "8");
    set(c, "model.groups", "4");
    set(c, "model.multipliers", "1,2");
    set(c, "model.blocks", "1");
    set(c, "model.attention", "4");
    set(c, "model.zero_init", "false");
}

static inline void tiny_mlp(few_config *c)
{
    set(c, "model.network", "mlp");
    set(c, "model.width", "16");
    set(c, "model.layers", "2");
    set(c, "model.features", "8");
}

/* A network with random weights. */
static inline void make_net(few_net *n, const few_config *c, few_net_shape shape, uint64_t seed)
{
    few_error err = { 0 };
    memset(n, 0, sizeof *n);
    if (few_config_spec(c, &shape, &n->spec, &err) != FEW_OK ||
        few_spec_params(&n->spec, &n->params, &err) != FEW_OK)
        fail_msg("%s", err.text);
    n->spec.steps = c->student.steps;
    n->master = few_big_alloc((size_t)n->params.count * sizeof(float));
    assert_non_null(n->master);
    few_params_init(&n->params, n->master, seed);
}

static inline void expect(few_status got, few_status want, const few_error *err, const char *part)
{
    if (got != want)
        fail_msg("status %d, wanted %d: %s", got, want, err->text);
    if (!strstr(err->text, part))
        fail_msg("'%s' does not say '%s'", err->text, part);
}

#endif

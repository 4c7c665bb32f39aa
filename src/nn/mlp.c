/* mlp: a small network for points rather than images: SiLU layers over the sample and sines and
 * cosines of the time, the time added again before every layer. For the toy recipe. */
#include "base/alloc.h"
#include "nn/network.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

struct config {
    int width, layers, features, h, w, c;
};

static const few_option table[] = {
    { "width", FEW_OPT_INT, offsetof(struct config, width), "128", 1, 65536, "of a layer", NULL },
    { "layers", FEW_OPT_INT, offsetof(struct config, layers), "3", 1, 64, "hidden layers", NULL },
    { "features", FEW_OPT_INT, offsetof(struct config, features), "32", 2, 4096,
      "sines and cosines of the time", NULL },
    { .name = NULL },
};

static const few_option json_table[] = {
    { "width", FEW_OPT_INT, offsetof(struct config, width), "128", 1, 65536, "of a layer", NULL },
    { "layers", FEW_OPT_INT, offsetof(struct config, layers), "3", 1, 64, "hidden layers", NULL },
    { "features", FEW_OPT_INT, offsetof(struct config, features), "32", 2, 4096, "of the time",
      NULL },
    { "h", FEW_OPT_INT, offsetof(struct config, h), "1", 1, 16384, "of a sample", NULL },
    { "w", FEW_OPT_INT, offsetof(struct config, w), "1", 1, 16384, "of a sample", NULL },
    { "c", FEW_OPT_INT, offsetof(struct config, c), "1", 1, 16384, "of a sample", NULL },
    { .name = NULL },
};

static few_status check_size(const struct config *c, few_error *err)
{
    enum { MOST = 1 << 24 };
    if ((int64_t)c->h * c->w * c->c <= MOST)
        return FEW_OK;
    return few_fail(err, FEW_EUNSUPPORTED, "network 'mlp' is for samples of at most %d numbers",
                    MOST);
}

static few_status make(const void *options, const few_net_shape *shape, void **config,
                       few_error *err)
{
    struct config *c = few_malloc(sizeof *c);
    if (!c)
        return few_fail(err, FEW_ENOMEM, "out of memory for a network");
    if (shape->classes) {
        few_free(c);
        return few_fail(err, FEW_ECONFIG, "network 'mlp' knows no classes; use unet");
    }
    *c = *(const struct config *)options;
    c->h = shape->h;
    c->w = shape->w;
    c->c = shape->c;
    const few_status st = check_size(c, err);
    if (st != FEW_OK)
        few_free(c);
    else
        *config = c;
    return st;
}

static few_status open_config(const json_t *json, void **config, few_error *err)
{
    struct config *c = few_calloc(1, sizeof *c);
    if (!c)
        return few_fail(err, FEW_ENOMEM, "out of memory for a network");
    few_status st = few_options_defaults(json_table, c, err);
    if (st == FEW_OK)
        st = few_options_from_json(json_table, c, json, "mlp", err);
    if (st == FEW_OK)
        st = check_size(c, err);
    if (st != FEW_OK)
        few_free(c);
    else
        *config = c;
    return st;
}

static json_t *to_json(const void *config)
{
    return few_options_to_json(json_table, config);
}

static few_val layer(few_graph *g, int set, int k, few_val x, int in, int out)
{
    char name[64];
    const double bound = 1 / sqrt((double)in);
    few_graph_label(g, "layers.%d", k);
    snprintf(name, sizeof name, "layers.%d.weight", k);
    const few_val w = few_graph_param(g, set, name, FEW_SHAPE(out, in), FEW_INIT_UNIFORM, bound);
    snprintf(name, sizeof name, "layers.%d.bias", k);
    const few_val b = few_graph_param(g, set, name, FEW_SHAPE(out), FEW_INIT_UNIFORM, bound);
    return few_linear(g, x, w, b, FEW_NONE);
}

static few_val build(few_graph *g, int set, const void *config, few_val x, few_val time,
                     few_val label, few_val rng)
{
    const struct config *c = config;
    const int d = c->h * c->w * c->c;
    (void)label;
    (void)rng;
    few_graph_label(g, "time");
    const few_val t = few_timestep_embedding(g, time, c->features, true, 0);
    few_val h = few_reshape(g, x, FEW_SHAPE(d));
    int in = d;
    for (int k = 0; k < c->layers; k++, in = c->width) {
        h = layer(g, set, k, few_concat(g, h, t), in + c->features, c->width);
        h = few_silu(g, h);
    }
    h = layer(g, set, c->layers, h, in, d);
    return few_reshape(g, h, FEW_SHAPE(c->h, c->w, c->c));
}

const few_network few_network_mlp = {
    .name = "mlp",
    .help = "fully connected layers, for points",
    .options = table,
    .options_size = sizeof(struct config),
    .make = make,
    .open = open_config,
    .json = to_json,
    .close = few_free,
    .build = build,
};

/* The kinds of networks a checkpoint can hold: each is a config and a function that adds the
 * network to a graph. One file per kind, one line in list.def. */
#ifndef FEW_NN_NETWORK_H
#define FEW_NN_NETWORK_H

#include "base/option.h"
#include "op/ops.h"

/* What a network is asked to map: [N,h,w,c] to the same shape. classes: 0 for unconditional; the
 * network then knows classes + 1 labels, the last is the null class. */
typedef struct few_net_shape {
    int h, w, c, classes;
} few_net_shape;

typedef struct few_network {
    const char *name, *help;
    const few_option *options; /* the keys of a recipe's `model` section */
    size_t options_size;
    bool timeless; /* it knows one time only, and build ignores its own */
    /* A config for these options and shape, checked; *config is freed with `close`. */
    few_status (*make)(const void *options, const few_net_shape *shape, void **config,
                       few_error *err);
    /* A config from what a checkpoint's metadata holds, and back (new reference, NULL: memory). */
    few_status (*open)(const json_t *json, void **config, few_error *err);
    json_t *(*json)(const void *config);
    /* How many labels it tells apart; negative: any. NULL: it takes no notice of them. */
    int (*labels)(const void *config);
    void (*close)(void *config);
    /* x [N,h,w,c] F32, time [N] F32 (the network's own time input), label [N] I32 or FEW_NONE, rng
     * [N,4] I32 or FEW_NONE (no dropout) -> [N,h,w,c] F32. */
    few_val (*build)(few_graph *g, int set, const void *config, few_val x, few_val time,
                     few_val label, few_val rng);
} few_network;

#define X(name) extern const few_network few_network_##name;
#include "nn/list.def"
#undef X

extern const few_network *const few_networks[];
extern const int few_n_networks;
const few_network *few_network_find(const char *name, few_error *err);

#endif

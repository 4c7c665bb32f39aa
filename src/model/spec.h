/* What a checkpoint says of itself: everything but the weights. With it `sample FILE` needs nothing
 * else. It is the JSON under the metadata key "fewstep" of a checkpoint file. */
#ifndef FEW_MODEL_SPEC_H
#define FEW_MODEL_SPEC_H

#include "base/option.h"
#include "diffusion/prediction.h"
#include "diffusion/schedule.h"
#include "nn/network.h"

typedef struct few_spec {
    char *kind; /* the method that made it: "diffusion", "mct", "mcd" */
    int steps;  /* evaluations it was made for; 0 for a diffusion model */
    const few_network *network;
    void *config; /* the network's, owned */
    int height, width, channels, classes;
    few_strings class_names; /* classes names, or none */
    few_schedule schedule;
    few_prediction prediction; /* what the network predicts, and how that becomes x_hat */
    double sigma_max;  /* noise per signal that a consistency model starts from; 0: that of t = 1 */
    double time_scale; /* time input = time_scale t - 1 */
    bool null_class;   /* the null class was trained, so guidance makes sense */
    bool clip;         /* when sampling, x_hat is held in [-1, 1] */
    few_doubles x_error;         /* mean of (x - x_hat)^2 at times (k + 1) / n; n = 0: unknown */
    char *data_name, *data_hash; /* of the training set; NULL when unknown */
    json_t *history;             /* array: one object for each training that led here */
} few_spec;

void few_spec_clear(few_spec *s);
few_status few_spec_copy(few_spec *dst, const few_spec *src, few_error *err);

/* Whether the weights of `a` (read from `where`) mean the same in `b`: network, sizes, classes,
 * schedule, prediction and time input. Fails: FEW_ECONFIG, with the first that differs. */
few_status few_spec_same_network(const few_spec *a, const few_spec *b, const char *where,
                                 few_error *err);

/* New reference; NULL when out of memory. */
json_t *few_spec_to_json(const few_spec *s);
few_status few_spec_from_json(few_spec *s, const json_t *json, const char *where, few_error *err);

/* The network's time input for t in [0,1] (architecture: time_scale t - 1). */
double few_spec_time(const few_spec *s, double t);
/* [n,h,w,c]. */
few_shape few_spec_sample_shape(const few_spec *s, int64_t n);
/* Add the network to a graph; see few_network. */
few_val few_spec_build(const few_spec *s, few_graph *g, int set, few_val z, few_val time,
                       few_val label, few_val rng);
/* The table of parameters (names, shapes, offsets), found by building the network once. */
few_status few_spec_params(const few_spec *s, few_params *out, few_error *err);

#endif

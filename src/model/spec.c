/* Specs: to and from the JSON of a checkpoint. */
#include "model/spec.h"

#include "base/alloc.h"

#include <string.h>

enum { FORMAT_VERSION = 1, MAX_X_ERROR = 4096, N_SIGMAS = 3 };

/* Only where they mean something: EDM's preconditioning, consistency models. */
static const char *const sigmas[N_SIGMAS] = { "sigma_data", "sigma_min", "sigma_max" };

void few_spec_clear(few_spec *s)
{
    few_free(s->kind);
    if (s->config)
        s->network->close(s->config);
    for (int k = 0; k < s->class_names.n; k++)
        few_free(s->class_names.v[k]);
    few_free(s->class_names.v);
    few_free(s->x_error.v);
    few_free(s->data_name);
    few_free(s->data_hash);
    few_schedule_clear(&s->schedule);
    json_decref(s->history);
    memset(s, 0, sizeof *s);
}

few_status few_spec_copy(few_spec *dst, const few_spec *src, few_error *err)
{
    json_t *json = few_spec_to_json(src);
    if (!json)
        return few_fail(err, FEW_ENOMEM, "out of memory for a model description");
    const few_status st = few_spec_from_json(dst, json, "model", err);
    json_decref(json);
    return st;
}

/* ---- out ------------------------------------------------------------------------------------*/

json_t *few_spec_to_json(const few_spec *s)
{
    json_t *names = json_array();
    for (int k = 0; k < s->class_names.n; k++)
        json_array_append_new(names, json_string(s->class_names.v[k]));
    json_t *schedule = few_schedule_to_json(&s->schedule);
    json_t *config = s->network->json(s->config);
    json_t *o = json_pack(
        "{s:i, s:s, s:i, s:s, s:o, s:o, s:s, s:f, s:[iii], s:i, s:o, s:b, s:s?, s:s?, s:O?}",
        "format_version", FORMAT_VERSION, "kind", s->kind, "steps", s->steps, "network",
        s->network->name, s->network->name, config, "schedule", schedule, "parameterization",
        s->prediction.kind->name, "time_scale", s->time_scale, "image", s->height, s->width,
        s->channels, "classes", s->classes, "class_names", names, "null_class", (int)s->null_class,
        "data_name", s->data_name, "data_hash", s->data_hash, "history", s->history);
    const double extra[] = { s->prediction.sigma_data, s->prediction.sigma_min, s->sigma_max };
    for (int k = 0; o && k < N_SIGMAS; k++)
        if (extra[k] > 0)
            json_object_set_new(o, sigmas[k], json_real(extra[k]));
    if (o && s->clip)
        json_object_set_new(o, "clip", json_true());
    if (o && s->x_error.n) {
        json_t *list = json_array();
        for (int k = 0; k < s->x_error.n; k++)
            json_array_append_new(list, json_real(s->x_error.v[k]));
        json_object_set_new(o, "x_error", list);
    }
    return o;
}

few_status few_spec_same_network(const few_spec *a, const few_spec *b, const char *where,
                                 few_error *err)
{
    const char *const keys[] = { "network",  b->network->name,   "image",      "classes",
                                 "schedule", "parameterization", "sigma_data", "time_scale" };
    json_t *x = few_spec_to_json(a), *y = few_spec_to_json(b);
    few_status st =
        x && y ? FEW_OK : few_fail(err, FEW_ENOMEM, "out of memory for a model description");
    for (size_t k = 0; st == FEW_OK && k < FEW_COUNT(keys); k++)
        if (json_object_get(x, keys[k]) != json_object_get(y, keys[k]) &&
            !json_equal(json_object_get(x, keys[k]), json_object_get(y, keys[k])))
            st = few_fail(err, FEW_ECONFIG,
                          "'%s' cannot be started from: its '%s' is not that of the model to be "
                          "trained (compare them with 'fewstep inspect')",
                          where, keys[k]);
    json_decref(x);
    json_decref(y);
    return st;
}

/* ---- in -------------------------------------------------------------------------------------*/

static few_status text(const json_t *o, const char *key, bool needed, char **out, const char *where,
                       few_error *err)
{
    const json_t *v = json_object_get(o, key);
    *out = NULL;
    if ((!v || json_is_null(v)) && !needed)
        return FEW_OK;
    if (!json_is_string(v))
        return few_fail(err, FEW_EFORMAT, "'%s': the model's description lacks the text '%s'",
                        where, key);
    *out = few_strdup(json_string_value(v));
    return *out ? FEW_OK : few_fail(err, FEW_ENOMEM, "out of memory for a model description");
}

static few_status whole(const json_t *o, const char *key, int min, int max, int *out,
                        const char *where, few_error *err)
{
    const json_t *v = json_object_get(o, key);
    if (!json_is_integer(v) || json_integer_value(v) < min || json_integer_value(v) > max)
        return few_fail(
            err, FEW_EFORMAT,
            "'%s': '%s' in the model's description must be a whole number from %d to %d", where,
            key, min, max);
    *out = (int)json_integer_value(v);
    return FEW_OK;
}

static few_status flag(const json_t *o, const char *key, bool *out, const char *where,
                       few_error *err)
{
    const json_t *v = json_object_get(o, key);
    if (v && !json_is_boolean(v))
        return few_fail(err, FEW_EFORMAT, "'%s': '%s' must be true or false", where, key);
    *out = json_is_true(v);
    return FEW_OK;
}

/* A network without an embedding for a class would take another's. */
static few_status check_classes(const few_spec *s, const char *where, few_error *err)
{
    const int labels = s->network->labels ? s->network->labels(s->config) : -1;
    if (labels >= 0 && labels < s->classes + s->null_class)
        return few_fail(err, FEW_EFORMAT, "'%s': %d classes%s, and a network that knows %d labels",
                        where, s->classes, s->null_class ? " and the null class" : "", labels);
    return FEW_OK;
}

static few_status names(few_spec *s, const json_t *o, const char *where, few_error *err)
{
    const json_t *list = json_object_get(o, "class_names");
    const size_t n = json_array_size(list);
    if (n == 0)
        return FEW_OK;
    if (n != (size_t)s->classes)
        return few_fail(err, FEW_EFORMAT, "'%s': %zu class names for %d classes", where, n,
                        s->classes);
    s->class_names.v = few_calloc(n, sizeof(char *));
    if (!s->class_names.v)
        return few_fail(err, FEW_ENOMEM, "out of memory for a model description");
    for (size_t k = 0; k < n; k++) {
        const char *name = json_string_value(json_array_get(list, k));
        s->class_names.v[k] = few_strdup(name ? name : "");
        if (!s->class_names.v[k])
            return few_fail(err, FEW_ENOMEM, "out of memory for a model description");
        s->class_names.n++;
    }
    return FEW_OK;
}

static few_status x_error(few_spec *s, const json_t *o, const char *where, few_error *err)
{
    const json_t *list = json_object_get(o, "x_error");
    const size_t n = json_array_size(list);
    if (!list)
        return FEW_OK;
    if (n < 1 || n > MAX_X_ERROR)
        return few_fail(err, FEW_EFORMAT, "'%s': 'x_error' must be a list of 1 to %d numbers",
                        where, MAX_X_ERROR);
    s->x_error.v = few_calloc(n, sizeof(double));
    if (!s->x_error.v)
        return few_fail(err, FEW_ENOMEM, "out of memory for a model description");
    for (size_t k = 0; k < n; k++) {
        const double v = json_number_value(json_array_get(list, k));
        if (!json_is_number(json_array_get(list, k)) || !(v >= 0 && v < 1e6))
            return few_fail(err, FEW_EFORMAT, "'%s': number %zu of 'x_error' is not from 0 to 1e6",
                            where, k);
        s->x_error.v[s->x_error.n++] = v;
    }
    return FEW_OK;
}

static few_status read_sigmas(few_spec *s, const json_t *o, const char *where, few_error *err)
{
    double *const out[N_SIGMAS] = { &s->prediction.sigma_data, &s->prediction.sigma_min,
                                    &s->sigma_max };
    for (int k = 0; k < N_SIGMAS; k++) {
        const json_t *v = json_object_get(o, sigmas[k]);
        *out[k] = v ? json_number_value(v) : 0;
        if (v && !(json_is_number(v) && *out[k] > 0 && *out[k] < 1e9))
            return few_fail(err, FEW_EFORMAT, "'%s': '%s' is not a number from 0 to 1e9", where,
                            sigmas[k]);
    }
    if (s->prediction.kind->scales_input && !(s->prediction.sigma_data > 0))
        return few_fail(err, FEW_EFORMAT, "'%s': '%s' lacks its 'sigma_data'", where,
                        s->prediction.kind->name);
    return FEW_OK;
}

few_status few_spec_from_json(few_spec *s, const json_t *o, const char *where, few_error *err)
{
    few_status st = FEW_OK;
    char *name = NULL, *prediction = NULL;
    int version = 0;
    memset(s, 0, sizeof *s);
    if (!json_is_object(o))
        return few_fail(err, FEW_EFORMAT, "'%s': the model's description is no JSON object", where);
    FEW_GOTO(whole(o, "format_version", 1, 1 << 30, &version, where, err));
    if (version > FORMAT_VERSION) {
        st = few_fail(err, FEW_EFORMAT,
                      "'%s' has format version %d, this program reads up to %d; update fewstep",
                      where, version, FORMAT_VERSION);
        goto cleanup;
    }
    FEW_GOTO(text(o, "kind", true, &s->kind, where, err));
    FEW_GOTO(whole(o, "steps", 0, 64, &s->steps, where, err));
    FEW_GOTO(whole(o, "classes", 0, 1 << 20, &s->classes, where, err));
    const json_t *image = json_object_get(o, "image");
    int *const size[3] = { &s->height, &s->width, &s->channels };
    for (size_t k = 0; k < 3; k++) {
        const json_t *v = json_array_get(image, k);
        if (!json_is_integer(v) || json_integer_value(v) < 1 || json_integer_value(v) > 1 << 14) {
            st = few_fail(err, FEW_EFORMAT, "'%s': 'image' must be [height, width, channels]",
                          where);
            goto cleanup;
        }
        *size[k] = (int)json_integer_value(v);
    }
    FEW_GOTO(names(s, o, where, err));
    FEW_GOTO(few_schedule_from_json(&s->schedule, json_object_get(o, "schedule"), where, err));
    FEW_GOTO(text(o, "parameterization", true, &prediction, where, err));
    s->prediction.kind = few_prediction_find(prediction, err);
    if (!s->prediction.kind) {
        st = few_fail_in(err, "%s", where);
        goto cleanup;
    }
    FEW_GOTO(read_sigmas(s, o, where, err));
    const json_t *scale = json_object_get(o, "time_scale");
    s->time_scale = scale ? json_number_value(scale) : 1024;
    if (scale && !(json_is_number(scale) && s->time_scale > 0 && s->time_scale < 1e9)) {
        st = few_fail(err, FEW_EFORMAT, "'%s': 'time_scale' is not a number from 0 to 1e9", where);
        goto cleanup;
    }
    FEW_GOTO(flag(o, "null_class", &s->null_class, where, err));
    FEW_GOTO(flag(o, "clip", &s->clip, where, err));
    FEW_GOTO(x_error(s, o, where, err));
    FEW_GOTO(text(o, "data_name", false, &s->data_name, where, err));
    FEW_GOTO(text(o, "data_hash", false, &s->data_hash, where, err));
    if (json_is_array(json_object_get(o, "history")))
        s->history = json_incref(json_object_get(o, "history"));
    FEW_GOTO(text(o, "network", true, &name, where, err));
    s->network = few_network_find(name, err);
    if (!s->network) {
        st = few_fail_in(err, "%s", where);
        goto cleanup;
    }
    st = s->network->open(json_object_get(o, name), &s->config, err);
    if (st != FEW_OK)
        few_fail_in(err, "%s", where);
    else
        st = check_classes(s, where, err);
cleanup:
    few_free(name);
    few_free(prediction);
    if (st != FEW_OK)
        few_spec_clear(s);
    return st;
}

/* ---- network --------------------------------------------------------------------------------*/

double few_spec_time(const few_spec *s, double t)
{
    return s->time_scale * t - 1;
}

few_shape few_spec_sample_shape(const few_spec *s, int64_t n)
{
    return FEW_SHAPE(n, s->height, s->width, s->channels);
}

few_val few_spec_build(const few_spec *s, few_graph *g, int set, few_val z, few_val time,
                       few_val label, few_val rng)
{
    return s->network->build(g, set, s->config, z, time, label, rng);
}

few_status few_spec_params(const few_spec *s, few_params *out, few_error *err)
{
    few_graph g;
    few_graph_init(&g);
    memset(out, 0, sizeof *out);
    few_graph_use_set(&g, 0, out);
    const few_val z = few_graph_input(&g, "z", FEW_F32, few_spec_sample_shape(s, 1), false);
    const few_val t = few_graph_input(&g, "time", FEW_F32, FEW_SHAPE(1), false);
    const few_val label =
        s->classes ? few_graph_input(&g, "label", FEW_I32, FEW_SHAPE(1), false) : FEW_NONE;
    few_spec_build(s, &g, 0, z, t, label, FEW_NONE);
    const few_status st = few_graph_status(&g, err);
    few_graph_clear(&g);
    if (st != FEW_OK)
        few_params_free(out);
    return st;
}

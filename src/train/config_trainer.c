/* From a configuration to what it describes: a network's spec, and a trainer. */
#include "train/config.h"

#include "base/alloc.h"

#include <string.h>

static few_status history_entry(const few_config *c, few_trainer *t, few_error *err)
{
    json_t *o = json_pack(
        "{s:s, s:s, s:s, s:I, s:I, s:f, s:s, s:s?, s:s*}", "method", c->method->name, "version",
        FEW_VERSION, "revision", few_revision(), "steps", (json_int_t)c->train.steps, "batch",
        (json_int_t)c->train.batch, "lr", c->train.lr, "data", t->data.name, "teacher",
        t->teacher ? t->teacher->hash : NULL, "init", t->init ? t->init->hash : NULL);
    if (!t->spec.history)
        t->spec.history = json_array();
    else { /* the teacher's list is its own */
        json_t *copy = json_copy(t->spec.history);
        json_decref(t->spec.history);
        t->spec.history = copy;
    }
    if (!o || json_array_append_new(t->spec.history, o) != 0)
        return few_fail(err, FEW_ENOMEM, "out of memory for a model description");
    return FEW_OK;
}

few_status few_config_spec(const few_config *c, const few_net_shape *shape, few_spec *s,
                           few_error *err)
{
    memset(s, 0, sizeof *s);
    s->height = shape->h;
    s->width = shape->w;
    s->channels = shape->c;
    s->classes = shape->classes;
    s->network = c->network;
    s->time_scale = c->model.time_scale;
    s->prediction.kind = few_prediction_find(c->model.prediction, err);
    s->kind = few_strdup(c->method->name);
    if (s->prediction.kind && s->prediction.kind->scales_input)
        s->prediction.sigma_data = c->model.sigma_data;
    if (!s->prediction.kind || !s->kind)
        return s->kind ? FEW_ECONFIG : few_fail(err, FEW_ENOMEM, "out of memory for a description");
    json_t *schedule = few_schedule_to_json(&c->schedule);
    const few_status st = few_schedule_from_json(&s->schedule, schedule, "schedule", err);
    json_decref(schedule);
    FEW_TRY(st);
    return c->network->make(c->network_options, shape, &s->config, err);
}

/* The network that the weights start from, when it is not the teacher. */
static few_status load_init(const few_config *c, few_trainer *t, few_error *err)
{
    const char *path = c->student.init;
    if (!path)
        return FEW_OK;
    if (c->student.from_scratch)
        return few_fail(err, FEW_ECONFIG,
                        "student.init (%s) and student.from_scratch exclude each other", path);
    t->init = few_calloc(1, sizeof *t->init);
    if (!t->init)
        return few_fail(err, FEW_ENOMEM, "out of memory for the network to start from");
    FEW_TRY(few_net_load(t->init, path, err));
    return few_spec_same_network(&t->init->spec, &t->spec, path, err);
}

static few_status name_things(const few_config *c, few_trainer *t, few_error *err)
{
    few_spec *s = &t->spec;
    few_free(s->kind);
    few_free(s->data_name);
    few_free(s->data_hash);
    s->kind = few_strdup(c->method->name);
    s->data_name = few_strdup(t->data.name);
    s->data_hash = few_strdup(t->data.hash);
    if (!s->kind || !s->data_name || !s->data_hash)
        return few_fail(err, FEW_ENOMEM, "out of memory for a model description");
    const few_pack_info *info = t->data.pack ? few_pack_get_info(t->data.pack) : NULL;
    if (info && info->n_classes && s->class_names.n == 0) {
        s->class_names.v = few_calloc((size_t)info->n_classes, sizeof(char *));
        for (int k = 0; s->class_names.v && k < info->n_classes; k++) {
            s->class_names.v[k] = few_strdup(info->classes[k].name);
            s->class_names.n++;
        }
    }
    return history_entry(c, t, err);
}

few_status few_config_trainer(const few_config *c, few_trainer *t, few_error *err)
{
    few_dataset data;
    memset(t, 0, sizeof *t);
    if (!c->data.path)
        return few_fail(
            err, FEW_ECONFIG,
            "data.path is missing: 'fewstep data pack' makes a pack, --set data.path=PACK "
            "names it");
    FEW_TRY(few_dataset_open(&data, c->data.path, err));
    return few_config_trainer_on(c, &data, NULL, t, err);
}

few_status few_config_trainer_on(const few_config *c, const few_dataset *data, few_net *teacher,
                                 few_trainer *t, few_error *err)
{
    memset(t, 0, sizeof *t);
    t->method = c->method;
    t->flip = c->data.flip;
    t->data = *data;
    t->teacher = teacher;
    if (c->method->makes_student != (c->student.steps > 0))
        return few_fail(err, FEW_ECONFIG,
                        c->method->makes_student
                            ? "method '%s' makes students: student.steps must be 1 to 64"
                            : "method '%s' makes a teacher: student.steps must be 0",
                        c->method->name);
    FEW_TRY(few_options_copy(few_train_table, &t->train, &c->train, err));
    t->method_options = few_calloc(1, c->method->options_size + 1);
    if (!t->method_options)
        return few_fail(err, FEW_ENOMEM, "out of memory for a configuration");
    FEW_TRY(few_options_copy(c->method->options, t->method_options, c->method_options, err));
    if (!t->teacher && c->student.teacher) {
        t->teacher = few_calloc(1, sizeof *t->teacher);
        if (!t->teacher)
            return few_fail(err, FEW_ENOMEM, "out of memory for the teacher");
        FEW_TRY(few_net_load(t->teacher, c->student.teacher, err));
    }
    if (t->teacher) {
        if (t->teacher->spec.steps)
            return few_fail(err, FEW_ECONFIG,
                            "'%s' is a %d-step student; a teacher must be a diffusion model",
                            c->student.teacher, t->teacher->spec.steps);
        FEW_TRY(few_spec_copy(&t->spec, &t->teacher->spec, err));
    } else {
        const few_net_shape shape = { data->h, data->w, data->c, data->classes };
        FEW_TRY(few_config_spec(c, &shape, &t->spec, err));
    }
    t->spec.steps = c->student.steps;
    if (c->method->describe)
        FEW_TRY(c->method->describe(t->method_options, &t->spec, err));
    few_free(t->spec.x_error.v); /* of another network's weights */
    t->spec.x_error = (few_doubles){ 0 };
    FEW_TRY(load_init(c, t, err));
    t->spec.null_class = t->spec.classes > 0 && c->train.label_drop > 0;
    return name_things(c, t, err);
}

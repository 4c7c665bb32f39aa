/* A training configuration: a YAML file of sections, each an option table.
 *
 *     data:      path, test, flip
 *     model:     network and its keys; prediction, time_scale
 *     schedule:  name and its keys
 *     method:    name and its keys (fewstep list has the names)
 *     student:   steps, teacher, init, from_scratch
 *     train:     steps, batch, lr, ... (few_train_table)
 *
 * Relative paths are taken from the folder the program runs in. */
#ifndef FEW_TRAIN_CONFIG_H
#define FEW_TRAIN_CONFIG_H

#include "train/trainer.h"

typedef struct few_data_options {
    char *path, *test;
    bool flip;
} few_data_options;

typedef struct few_model_options {
    char *network, *prediction;
    double time_scale, sigma_data;
} few_model_options;

typedef struct few_student_options {
    int steps;
    char *teacher;
    char *init;        /* start from this checkpoint rather than the teacher */
    bool from_scratch; /* start from random weights rather than the teacher's */
} few_student_options;

typedef struct few_config {
    few_data_options data;
    few_model_options model;
    const few_network *network;
    void *network_options;
    few_schedule schedule;
    const few_method *method;
    void *method_options;
    few_student_options student;
    few_train_options train;
} few_config;

extern const few_option few_data_table[], few_model_table[], few_student_table[];

/* Defaults with method `method` (NULL: diffusion) when path is NULL; else what the file says. */
few_status few_config_load(few_config *c, const char *path, const char *method, few_error *err);
/* Set one option as "section.key" from text; `where` is for messages. */
few_status few_config_set(few_config *c, const char *key, const char *text, const char *where,
                          few_error *err);
/* Other data, by the path of a pack or of trajectories: data.test no longer holds, which belongs to
 * those it came with. */
few_status few_config_set_data(few_config *c, const char *path, const char *where, few_error *err);
/* few_config_set for a list of "section.key=text". With another data.path and no data.test there is
 * none: the file's belongs to the file's pack. Fails: FEW_EINVAL where one has no '='. */
few_status few_config_set_all(few_config *c, const few_strings *set, const char *where,
                              few_error *err);
/* The complete configuration as YAML that loads back to the same. */
few_status few_config_write(const few_config *c, few_strbuf *out, few_error *err);
/* Keys whose values differ, "section.key (a, now b)" each, comma between; empty when none do. */
void few_config_differences(const few_config *old, const few_config *new, few_strbuf *out);
void few_config_clear(few_config *c);

/* A trainer ready to start: data and teacher opened, spec made (a student's from its teacher's). */
few_status few_config_trainer(const few_config *c, few_trainer *t, few_error *err);
/* The same on data that are already open (owned by t from then on); teacher may be NULL, else it is
 * taken over instead of loading student.teacher. For plans and benchmarks. */
few_status few_config_trainer_on(const few_config *c, const few_dataset *data, few_net *teacher,
                                 few_trainer *t, few_error *err);
/* The description of the network a configuration asks for, on images of this shape. */
few_status few_config_spec(const few_config *c, const few_net_shape *shape, few_spec *out,
                           few_error *err);

#endif

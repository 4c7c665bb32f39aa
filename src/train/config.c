/* Configurations: sections of a YAML file through option tables. A section whose keys depend on a
 * name in it (network, schedule, method) is read in two steps: first the name, then the rest. */
#include "train/config.h"

#include "base/alloc.h"
#include "base/yaml.h"

#include <string.h>

const few_option few_data_table[] = {
    { "path", FEW_OPT_STRING, offsetof(few_data_options, path), NULL, 0, 0,
      "pack to train on ('mixture', 'mixture-2d': the toy's points)", NULL },
    { "test", FEW_OPT_STRING, offsetof(few_data_options, test), NULL, 0, 0,
      "pack to measure against", NULL },
    { "flip", FEW_OPT_BOOL, offsetof(few_data_options, flip), "false", 0, 0,
      "mirror half of the images", NULL },
    { .name = NULL },
};

const few_option few_model_table[] = {
    { "network", FEW_OPT_STRING, offsetof(few_model_options, network), "unet", 0, 0,
      "kind of network; its own keys stand beside this one", NULL },
    { "prediction", FEW_OPT_CHOICE, offsetof(few_model_options, prediction), "v", 0, 0,
      "what the network predicts", "v|x|eps|edm" },
    { "sigma_data", FEW_OPT_DOUBLE, offsetof(few_model_options, sigma_data), "0.5", 1e-6, 1e6,
      "standard deviation of the images; of prediction edm", NULL },
    { "time_scale", FEW_OPT_DOUBLE, offsetof(few_model_options, time_scale), "1024", 1, 1e6,
      "time input = time_scale t - 1", NULL },
    { .name = NULL },
};

const few_option few_student_table[] = {
    { "steps", FEW_OPT_INT, offsetof(few_student_options, steps), "0", 0, 64,
      "network evaluations the student is made for", NULL },
    { "teacher", FEW_OPT_STRING, offsetof(few_student_options, teacher), NULL, 0, 0,
      "checkpoint of the teacher", NULL },
    { "init", FEW_OPT_STRING, offsetof(few_student_options, init), NULL, 0, 0,
      "checkpoint to start from, such as a student of more steps; absent: the teacher", NULL },
    { "from_scratch", FEW_OPT_BOOL, offsetof(few_student_options, from_scratch), "false", 0, 0,
      "start from random weights rather than the teacher's", NULL },
    { .name = NULL },
};

/* A section: where its tables and values are. The second table is the named kind's. */
struct section {
    const char *name;
    const few_option *table, *kind_table;
    void *target, *kind_target;
    const char *selector; /* the key that names the kind; read before the rest */
};

enum { DATA, MODEL, SCHEDULE, METHOD, STUDENT, TRAIN, N_SECTIONS };
static const few_option none[] = { { .name = NULL } };

static void sections(const few_config *c, struct section s[N_SECTIONS])
{
    few_config *w = (few_config *)(uintptr_t)c; /* readers and writers share the table */
    s[DATA] = (struct section){ "data", few_data_table, none, &w->data, NULL, NULL };
    s[MODEL] =
        (struct section){ "model",   few_model_table,    c->network ? c->network->options : none,
                          &w->model, c->network_options, "network" };
    s[SCHEDULE] = (struct section){
        "schedule",          none,  c->schedule.kind ? c->schedule.kind->options : none, NULL,
        c->schedule.options, "name"
    };
    s[METHOD] =
        (struct section){ "method",          none,  c->method ? c->method->options : none, NULL,
                          c->method_options, "name" };
    s[STUDENT] = (struct section){ "student", few_student_table, none, &w->student, NULL, NULL };
    s[TRAIN] = (struct section){ "train", few_train_table, none, &w->train, NULL, NULL };
}

static few_status fresh(const few_option *table, size_t size, void **options, few_error *err)
{
    *options = few_calloc(1, size + 1);
    if (!*options)
        return few_fail(err, FEW_ENOMEM, "out of memory for a configuration");
    return few_options_defaults(table, *options, err);
}

static void drop(const few_option *table, void **options)
{
    if (*options)
        few_options_clear(table, *options);
    few_free(*options);
    *options = NULL;
}

/* Choosing another kind starts from its defaults; the same kind again keeps what was set. */
static few_status choose_network(few_config *c, const char *name, few_error *err)
{
    const few_network *n = few_network_find(name, err);
    if (!n)
        return FEW_ECONFIG;
    if (n == c->network)
        return FEW_OK;
    if (c->network)
        drop(c->network->options, &c->network_options);
    c->network = n;
    return fresh(n->options, n->options_size, &c->network_options, err);
}

static few_status choose_method(few_config *c, const char *name, few_error *err)
{
    const few_method *m = few_method_find(name, err);
    if (!m)
        return FEW_ECONFIG;
    if (m == c->method)
        return FEW_OK;
    if (c->method)
        drop(c->method->options, &c->method_options);
    c->method = m;
    return fresh(m->options, m->options_size, &c->method_options, err);
}

static few_status choose_schedule(few_config *c, const char *name, few_error *err)
{
    if (c->schedule.kind && !strcmp(c->schedule.kind->name, name))
        return FEW_OK;
    few_schedule_clear(&c->schedule);
    return few_schedule_make(&c->schedule, name, err);
}

static few_status defaults(few_config *c, const char *method, few_error *err)
{
    memset(c, 0, sizeof *c);
    FEW_TRY(few_options_defaults(few_data_table, &c->data, err));
    FEW_TRY(few_options_defaults(few_model_table, &c->model, err));
    FEW_TRY(few_options_defaults(few_student_table, &c->student, err));
    FEW_TRY(few_options_defaults(few_train_table, &c->train, err));
    FEW_TRY(choose_network(c, c->model.network, err));
    FEW_TRY(choose_schedule(c, "cosine", err));
    return choose_method(c, method ? method : "diffusion", err);
}

void few_config_clear(few_config *c)
{
    few_options_clear(few_data_table, &c->data);
    few_options_clear(few_model_table, &c->model);
    few_options_clear(few_student_table, &c->student);
    few_options_clear(few_train_table, &c->train);
    if (c->network)
        drop(c->network->options, &c->network_options);
    if (c->method)
        drop(c->method->options, &c->method_options);
    few_schedule_clear(&c->schedule);
    memset(c, 0, sizeof *c);
}

/* ---- reading --------------------------------------------------------------------------------*/

static few_status choose(few_config *c, int section, const few_yaml_node *map, const char *file,
                         few_error *err)
{
    struct section s[N_SECTIONS];
    sections(c, s);
    const few_yaml_node *v = few_yaml_find(map, s[section].selector);
    few_status st = FEW_OK;
    if (!v)
        return FEW_OK;
    if (v->kind != FEW_YAML_SCALAR)
        return few_fail(err, FEW_ECONFIG, "%s:%d: '%s' must be a name", file, v->line, v->key);
    if (section == MODEL)
        st = choose_network(c, v->text, err);
    else if (section == SCHEDULE)
        st = choose_schedule(c, v->text, err);
    else
        st = choose_method(c, v->text, err);
    return st == FEW_OK ? st : few_fail_in(err, "%s:%d", file, v->line);
}

static few_status apply(few_config *c, int section, const few_yaml_node *map, const char *file,
                        few_error *err)
{
    struct section s[N_SECTIONS];
    sections(c, s);
    const struct section *k = &s[section];
    for (const few_yaml_node *v = map ? map->child : NULL; v; v = v->next) {
        if (few_option_find(k->table, v->key))
            FEW_TRY(few_yaml_apply_one(k->table, k->target, v, file, err));
        else if (k->selector && !strcmp(v->key, k->selector))
            continue;
        else
            FEW_TRY(few_yaml_apply_one(k->kind_table == none ? k->table : k->kind_table,
                                       k->kind_table == none ? k->target : k->kind_target, v, file,
                                       err));
    }
    return FEW_OK;
}

few_status few_config_load(few_config *c, const char *path, const char *method, few_error *err)
{
    static const char *const names[] = { "version", "data",    "model", "schedule",
                                         "method",  "student", "train" };
    few_yaml_node *root = NULL;
    few_status st = FEW_OK;
    memset(c, 0, sizeof *c);
    FEW_GOTO(defaults(c, method, err));
    if (!path)
        return FEW_OK;
    FEW_GOTO(few_yaml_load(path, &root, err));
    FEW_GOTO(few_yaml_check_keys(root, names, (int)FEW_COUNT(names), path, err));
    for (int k = 0; k < N_SECTIONS; k++) {
        const few_yaml_node *map;
        struct section s[N_SECTIONS];
        sections(c, s);
        FEW_GOTO(few_yaml_find_map(root, s[k].name, path, &map, err));
        if (s[k].selector)
            FEW_GOTO(choose(c, k, map, path, err));
        FEW_GOTO(apply(c, k, map, path, err));
    }
    if (few_schedule_check(&c->schedule, err) != FEW_OK)
        st = few_fail_in(err, "%s", path);
cleanup:
    few_yaml_free(root);
    if (st != FEW_OK)
        few_config_clear(c);
    return st;
}

few_status few_config_set(few_config *c, const char *key, const char *text, const char *where,
                          few_error *err)
{
    struct section s[N_SECTIONS];
    const char *dot = strchr(key, '.');
    sections(c, s);
    for (int k = 0; dot && k < N_SECTIONS; k++) {
        if (strlen(s[k].name) != (size_t)(dot - key) ||
            strncmp(s[k].name, key, (size_t)(dot - key)))
            continue;
        const char *name = dot + 1;
        if (k == MODEL && !strcmp(name, "network"))
            FEW_TRY(choose_network(c, text, err)); /* the name itself is an option, too */
        else if (s[k].selector && !strcmp(name, s[k].selector))
            return k == SCHEDULE ? choose_schedule(c, text, err) : choose_method(c, text, err);
        const bool own = few_option_find(s[k].table, name) || s[k].kind_table == none;
        return few_option_set(own ? s[k].table : s[k].kind_table,
                              own ? s[k].target : s[k].kind_target, name, text, where, err);
    }
    return few_fail(err, FEW_ECONFIG,
                    "%s: '%s' is no setting; write SECTION.KEY with a section of data, model, "
                    "schedule, method, student, train",
                    where, key);
}

static bool is_other_data(const few_config *c, const char *path)
{
    return !(c->data.path && !strcmp(c->data.path, path));
}

static void forget_test(few_config *c)
{
    few_free(c->data.test);
    c->data.test = NULL;
}

few_status few_config_set_data(few_config *c, const char *path, const char *where, few_error *err)
{
    if (is_other_data(c, path))
        forget_test(c);
    return few_config_set(c, "data.path", path, where, err);
}

few_status few_config_set_all(few_config *c, const few_strings *set, const char *where,
                              few_error *err)
{
    few_strbuf one;
    few_strbuf_init(&one);
    few_status st = FEW_OK;
    bool other_data = false, test = false;
    for (int k = 0; st == FEW_OK && few_next_setting(set, &k, &one);) {
        char *equals = strchr(one.s, '=');
        if (!equals) {
            st = few_fail(err, FEW_EINVAL, "%s '%s' is not KEY=VALUE", where, one.s);
            break;
        }
        *equals = 0;
        test |= !strcmp(one.s, "data.test");
        other_data |= !strcmp(one.s, "data.path") && is_other_data(c, equals + 1);
        st = few_config_set(c, one.s, equals + 1, where, err);
    }
    few_strbuf_free(&one);
    if (other_data && !test)
        forget_test(c);
    return st;
}

/* ---- writing --------------------------------------------------------------------------------*/

static void write_values(few_strbuf *out, const few_option *table, const void *target)
{
    few_strbuf b;
    if (!table || !table->name)
        return;
    few_strbuf_init(&b);
    few_yaml_write_section(&b, NULL, table, target);
    for (const char *s = b.s; *s;) { /* indent every line */
        const char *nl = strchr(s, '\n');
        const size_t n = nl ? (size_t)(nl - s) + 1 : strlen(s);
        few_strbuf_add(out, "  ");
        few_strbuf_add_n(out, s, n);
        s += n;
    }
    few_strbuf_free(&b);
}

/* A student's network and schedule are in its teacher's file; these sections mean nothing to it. */
static bool is_the_teachers(const few_config *c, int section)
{
    return c->student.teacher && (section == MODEL || section == SCHEDULE);
}

few_status few_config_write(const few_config *c, few_strbuf *out, few_error *err)
{
    struct section s[N_SECTIONS];
    sections(c, s);
    few_strbuf_addf(out, "version: %s\n", FEW_VERSION);
    for (int k = 0; k < N_SECTIONS; k++) {
        if (is_the_teachers(c, k))
            continue;
        few_strbuf_addf(out, "%s:\n", s[k].name);
        if (k == SCHEDULE)
            few_strbuf_addf(out, "  name: %s\n", c->schedule.kind->name);
        if (k == METHOD)
            few_strbuf_addf(out, "  name: %s\n", c->method->name);
        write_values(out, s[k].table, s[k].target);
        write_values(out, s[k].kind_table, s[k].kind_target);
    }
    return out->failed ? few_fail(err, FEW_ENOMEM, "out of memory for a configuration") : FEW_OK;
}

static void compare(const char *section, const few_option *table, const void *a, const void *b,
                    few_strbuf *out)
{
    for (const few_option *o = table; o && o->name; o++) {
        few_strbuf x, y;
        few_strbuf_init(&x);
        few_strbuf_init(&y);
        few_option_print(o, a, &x);
        few_option_print(o, b, &y);
        if (strcmp(x.s, y.s) != 0)
            few_strbuf_addf(out, "%s%s.%s (%s, now %s)", out->n ? ", " : "", section, o->name,
                            x.n ? x.s : "none", y.n ? y.s : "none");
        few_strbuf_free(&x);
        few_strbuf_free(&y);
    }
}

/* What may change between parts of a run without changing its numbers, but for their last digits
 * by threads. */
static bool harmless(const char *name)
{
    static const char *const list[] = { "save_every", "log_every",    "sample_every", "keep",
                                        "samples",    "sample_steps", "threads",      "memory" };
    for (size_t k = 0; k < FEW_COUNT(list); k++)
        if (!strcmp(list[k], name))
            return true;
    return false;
}

/* Longer than it was, at a rate that does not depend on the length. */
static bool only_longer(const few_config *old, const few_config *new)
{
    return new->train.steps > old->train.steps &&new->method->open_ended &&
           !strcmp(new->train.rate, "constant");
}

void few_config_differences(const few_config *old, const few_config *new, few_strbuf *out)
{
    struct section a[N_SECTIONS], b[N_SECTIONS];
    sections(old, a);
    sections(new, b);
    for (int k = 0; k < N_SECTIONS; k++) {
        if (is_the_teachers(old, k) && is_the_teachers(new, k))
            continue;
        if (a[k].kind_table != b[k].kind_table) {
            few_strbuf_addf(out, "%s%s.%s", out->n ? ", " : "", a[k].name, a[k].selector);
            continue;
        }
        for (const few_option *o = a[k].table; o && o->name; o++) {
            const few_option one[] = { *o, { .name = NULL } };
            const bool same = k == TRAIN && (harmless(o->name) ||
                                             (!strcmp(o->name, "steps") && only_longer(old, new)));
            if (!same)
                compare(a[k].name, one, a[k].target, b[k].target, out);
        }
        compare(a[k].name, a[k].kind_table, a[k].kind_target, b[k].kind_target, out);
    }
}

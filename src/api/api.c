/* The public API: a checkpoint, drawers compiled as they are needed, errors. */
#include "base/alloc.h"
#include "image/image.h"
#include "model/checkpoint.h"
#include "sampler/draw.h"

#include <string.h>

struct few_model {
    few_net net;
    few_precision precision;
    int threads;
    few_drawer *drawer; /* the last one made */
    int64_t drawer_images;
    bool drawer_guided;
    unsigned drawer_needs;
};

void few_load_defaults(few_load_options *o)
{
    *o = (few_load_options){ .threads = 0, .precision = "auto" };
}

few_status few_model_load(const char *path, const few_load_options *options, few_model **out,
                          few_error *err)
{
    few_load_options o;
    few_error own = { 0 };
    err = err ? err : &own; /* what goes wrong passes through it */
    few_load_defaults(&o);
    if (options)
        o = *options;
    if (!path || !out)
        return few_fail(err, FEW_EINVAL, "few_model_load: path or out is NULL");
    few_model *m = few_calloc(1, sizeof *m);
    if (!m)
        return few_fail(err, FEW_ENOMEM, "out of memory for a model");
    const char *p = o.precision ? o.precision : "auto";
    m->threads = o.threads;
    m->precision = few_precision_named(p);
    few_status st = FEW_OK;
    if (m->precision == FEW_PRECISION_AUTO && strcmp(p, "auto") != 0)
        st = few_fail(err, FEW_EINVAL, "unknown precision '%s'; auto, f32, bf16", p);
    if (st == FEW_OK)
        st = few_net_load(&m->net, path, err);
    if (st != FEW_OK)
        few_free(m);
    else
        *out = m;
    return st;
}

void few_model_free(few_model *m)
{
    if (!m)
        return;
    few_drawer_free(m->drawer);
    few_net_free(&m->net);
    few_free(m);
}

few_model_info few_model_get_info(const few_model *m)
{
    const few_spec *s = &m->net.spec;
    return (few_model_info){ s->height, s->width, s->channels, s->classes, s->steps, s->kind };
}

void few_sample_defaults(few_sample_options *o)
{
    memset(o, 0, sizeof *o);
}

/* A drawer for this many images, made anew only when the last does not fit. */
static few_status need_drawer(few_model *m, int64_t n, bool guided, unsigned needs, few_error *err)
{
    if (m->drawer && m->drawer_images == n && m->drawer_guided == guided &&
        m->drawer_needs == needs)
        return FEW_OK;
    few_drawer_free(m->drawer);
    m->drawer = NULL;
    const few_drawer_options o = { .precision = m->precision,
                                   .workers = m->threads,
                                   .images = n,
                                   .guidance = guided,
                                   .needs = needs };
    FEW_TRY(few_drawer_create(&m->net.spec, m->net.master, &o, &m->drawer, err));
    m->drawer_images = n;
    m->drawer_guided = guided;
    m->drawer_needs = needs;
    return FEW_OK;
}

/* "KEY=VALUE,..." */
static few_status apply_settings(const few_sampler *s, void *options, const char *text,
                                 few_error *err)
{
    struct list {
        few_strings set;
    } list = { { NULL, 0 } };
    static const few_option table[] = { { "settings", FEW_OPT_STRINGS, offsetof(struct list, set),
                                          NULL, 0, 0, "", NULL },
                                        { .name = NULL } };
    few_status st = few_option_set(table, &list, "settings", text, "few_sample", err);
    if (st == FEW_OK)
        st = few_sampler_options_set(s, options, &list.set, err);
    few_options_clear(table, &list);
    return st;
}

few_status few_sample(few_model *m, int64_t n, const few_sample_options *options, float *images,
                      int64_t *nfe, few_error *err)
{
    few_sample_options o;
    few_error own = { 0 };
    err = err ? err : &own;
    few_sample_defaults(&o);
    if (options)
        o = *options;
    if (!m || !images || n < 1)
        return few_fail(err, FEW_EINVAL, "few_sample: a model, memory and n >= 1 are needed");
    if (o.steps < 0)
        return few_fail(err, FEW_EINVAL, "few_sample: %d steps; 0 is the checkpoint's own",
                        o.steps);
    const few_spec *spec = &m->net.spec;
    const few_sampler *s = o.sampler ? few_sampler_find(o.sampler, err) : few_sampler_default(spec);
    if (!s)
        return FEW_EINVAL;
    const int steps = o.steps > 0 ? o.steps : few_sampler_default_steps(spec, s);
    void *sampler_options = NULL;
    int64_t evaluated = 0;
    FEW_TRY(few_sampler_options_make(s, &sampler_options, err));
    few_status st = FEW_OK;
    if (o.settings && *o.settings)
        st = apply_settings(s, sampler_options, o.settings, err);
    few_strbuf warning; /* of no interest to a program */
    few_strbuf_init(&warning);
    if (st == FEW_OK && s->check)
        st = s->check(spec, sampler_options, steps, &warning, err);
    few_strbuf_free(&warning);
    if (st == FEW_OK)
        st = need_drawer(m, n, o.guidance != 0, few_sampler_needs(s, sampler_options), err);
    if (st == FEW_OK) {
        const few_draw d = { .sampler = s,
                             .options = sampler_options,
                             .steps = steps,
                             .seed = o.seed,
                             .first = o.first,
                             .guidance = o.guidance,
                             .label = o.label,
                             .noise = o.noise,
                             .evaluated = &evaluated,
                             .progress = o.progress,
                             .user = o.user };
        st = few_drawer_draw(m->drawer, &d, n, images, err);
        if (st == FEW_OK && nfe) /* rounded, where images differ */
            *nfe = (2 * evaluated + n) / (2 * n) * (o.guidance != 0 ? 2 : 1);
    }
    few_sampler_options_free(s, sampler_options);
    return st;
}

few_status few_save_png(const char *path, const float *images, int64_t n, int height, int width,
                        int channels, int columns, few_error *err)
{
    few_error own = { 0 };
    err = err ? err : &own;
    if (!path || !images)
        return few_fail(err, FEW_EINVAL, "few_save_png: path or images is NULL");
    return few_sheet_save_f32(path, images, n, height, width, channels, columns, err);
}

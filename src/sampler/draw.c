/* The loop over a sampler's steps. One graph does a whole step: network, guidance, x_hat, and
 * the sampler's linear step (sampler.h) Images go through in groups so that buffers stay small. */
#include "sampler/drawer.h"

#include "base/alloc.h"
#include "base/philox.h"
#include "base/thread.h"
#include "diffusion/step.h"

#include <string.h>

enum { GROUP_SLICES = 16 }; /* slices of a group for each worker */

static const char *const names[N_SCALARS] = { "time",  "in",     "from_z",  "from_out", "eps_z",
                                              "eps_x", "z_coef", "x_coef",  "k0",       "k1",
                                              "k2",    "guide",  "unguide", "base_of",  "past_of",
                                              "n0",    "n1" };

bool few_drawer_has(const few_drawer *d, int k)
{
    return k >= N0      ? (d->needs & FEW_NEEDS_NOISE) != 0
           : k >= BASE  ? (d->needs & FEW_NEEDS_MEMORY) != 0
           : k >= GUIDE ? d->guidance
           : k == IN    ? d->spec.prediction.kind->scales_input
                        : true;
}

static few_val input(few_drawer *d, int k)
{
    return few_graph_input(&d->graph, names[k], FEW_F32, FEW_SHAPE(d->slice), false);
}

static void build(few_drawer *d)
{
    few_graph *g = &d->graph;
    const few_shape shape = few_spec_sample_shape(&d->spec, d->slice), each = FEW_SHAPE(d->slice);
    few_val s[N_SCALARS];
    few_graph_label(g, "sample");
    for (int k = 0; k < N_SCALARS; k++)
        s[k] = few_drawer_has(d, k) ? input(d, k) : FEW_NONE;
    const few_val z = few_graph_input(g, "z", FEW_F32, shape, false);
    const few_val label =
        d->spec.classes ? few_graph_input(g, "label", FEW_I32, each, false) : FEW_NONE;
    const few_val in = few_drawer_has(d, IN) ? few_lincomb(g, 1, &z, &s[IN], true) : z;
    few_val out = few_spec_build(&d->spec, g, 0, in, s[TIME], label, FEW_NONE);
    if (d->guidance) {
        const few_val null = few_graph_input(g, "null_label", FEW_I32, each, false);
        const few_val un = few_spec_build(&d->spec, g, 0, in, s[TIME], null, FEW_NONE);
        out = few_lincomb(g, 2, (few_val[]){ out, un }, (few_val[]){ s[GUIDE], s[UNGUIDE] }, true);
    }
    few_graph_label(g, "step");
    few_val x =
        few_lincomb(g, 2, (few_val[]){ z, out }, (few_val[]){ s[FROM_Z], s[FROM_OUT] }, true);
    if (d->spec.clip)
        x = few_clamp(g, x, -1, 1);
    const few_val eps =
        few_lincomb(g, 2, (few_val[]){ z, x }, (few_val[]){ s[EPS_Z], s[EPS_X] }, true);
    const few_val ms = few_affine(g, few_mean_square(g, eps), 1, 1e-20);
    const few_val k =
        few_add(g, few_sqrt(g, few_add(g, few_div(g, s[K1], ms), s[K0])), few_div(g, s[K2], ms));
    few_val next = few_lincomb(g, 3, (few_val[]){ z, x, eps }, (few_val[]){ s[Z], s[X], k }, true);
    if (few_drawer_has(d, BASE)) {
        const few_val base = few_graph_input(g, "base", FEW_F32, shape, false);
        const few_val past = few_graph_input(g, "past", FEW_F32, shape, false);
        next = few_add(
            g, next,
            few_lincomb(g, 2, (few_val[]){ base, past }, (few_val[]){ s[BASE], s[PAST] }, true));
        few_graph_output(g, x, "x_hat");
    }
    if (few_drawer_has(d, N0)) {
        const few_val rng = few_graph_input(g, "rng", FEW_I32, FEW_SHAPE(d->slice, 4), false);
        const few_val fresh = few_noise(g, rng, FEW_RNG_STEP,
                                        FEW_SHAPE(d->spec.height, d->spec.width, d->spec.channels));
        const few_val of = few_sqrt(g, few_add(g, few_div(g, s[N1], ms), s[N0]));
        next = few_add(g, next, few_lincomb(g, 1, &fresh, &of, true));
    }
    few_graph_output(g, next, "next");
}

/* At most 8 images, so that no core has much more to do than another; images 0: not known. */
static int64_t choose_slice(int64_t images, int workers)
{
    int64_t best = 8, least = INT64_MAX;
    for (int64_t slice = 8; slice > 0 && images > 0; slice--) {
        const int64_t of_each = ((images + slice - 1) / slice + workers - 1) / workers * slice;
        if (of_each < least) {
            least = of_each;
            best = slice;
        }
    }
    return best;
}

few_status few_drawer_create(const few_spec *spec, const float *master, const few_drawer_options *o,
                             few_drawer **out, few_error *err)
{
    few_drawer *d = few_calloc(1, sizeof *d);
    if (!d)
        return few_fail(err, FEW_ENOMEM, "out of memory for sampling");
    few_status st = FEW_OK;
    const int cores = o->workers > 0 ? o->workers : few_thread_count();
    /* Fewer images than cores: all in one slice, which the cores share. */
    const bool few = o->slice <= 0 && o->images > 0 && o->images < cores;
    const int workers = few ? 1 : cores;
    const int64_t slice = o->slice > 0 ? o->slice : choose_slice(o->images, workers);
    d->slice = slice;
    d->guidance = o->guidance;
    d->needs = o->needs;
    few_graph_init(&d->graph);
    FEW_GOTO(few_spec_copy(&d->spec, spec, err));
    if (o->guidance && !(spec->classes && spec->null_class)) {
        st =
            few_fail(err, FEW_EUNSUPPORTED,
                     spec->steps ? "guidance makes no sense here: this student was trained without "
                                   "the null class (guidance is chosen when distilling)"
                                 : "guidance makes no sense here: this model was trained without "
                                   "the null class");
        goto cleanup;
    }
    few_graph_use_set(&d->graph, 0, &d->params);
    build(d);
    const few_plan_options po = { .precision = o->precision,
                                  .workers = workers,
                                  .team = few ? cores : 1 };
    FEW_GOTO(few_backend_cpu.compile(&d->graph, &po, &d->plan, err));
    FEW_GOTO(few_backend_cpu.params(d->plan, 0, master, err));
    d->pixels = (int64_t)spec->height * spec->width * spec->channels;
    d->group = slice * workers * GROUP_SLICES;
    if (o->images > 0 && d->group > o->images)
        d->group = o->images;
    bool ok = true;
    const size_t bytes = (size_t)(d->group * d->pixels) * sizeof(float);
    for (int k = 0; k < 2; k++)
        ok &= (d->z[k] = few_big_alloc(bytes)) != NULL;
    if (few_drawer_has(d, BASE))
        ok &= (d->base = few_big_alloc(bytes)) && (d->past[0] = few_big_alloc(bytes)) &&
              (d->past[1] = few_big_alloc(bytes));
    if (few_drawer_has(d, N0))
        ok &= (d->rng = few_calloc((size_t)d->group * 4, sizeof(int32_t))) != NULL;
    for (int k = 0; k < N_SCALARS; k++)
        ok &= (d->scalar[k] = few_calloc((size_t)d->group, sizeof(float))) != NULL;
    ok &= (d->label = few_calloc((size_t)d->group, sizeof(int32_t))) != NULL;
    ok &= (d->null_label = few_calloc((size_t)d->group, sizeof(int32_t))) != NULL;
    if (!ok)
        st = few_fail(err, FEW_ENOMEM, "out of memory for sampling");
cleanup:
    if (st != FEW_OK)
        few_drawer_free(d);
    else
        *out = d;
    return st;
}

void few_drawer_free(few_drawer *d)
{
    if (!d)
        return;
    few_backend_cpu.release(d->plan);
    few_graph_clear(&d->graph);
    few_params_free(&d->params);
    few_spec_clear(&d->spec);
    const size_t bytes = (size_t)(d->group * d->pixels) * sizeof(float);
    for (int k = 0; k < 2; k++) {
        few_big_free(d->z[k], bytes);
        few_big_free(d->past[k], bytes);
    }
    few_big_free(d->base, bytes);
    few_free(d->rng);
    for (int k = 0; k < N_SCALARS; k++)
        few_free(d->scalar[k]);
    few_free(d->label);
    few_free(d->null_label);
    few_free(d);
}

few_status few_drawer_weights(few_drawer *d, const float *master, few_error *err)
{
    return few_backend_cpu.params(d->plan, 0, master, err);
}

void few_drawer_report(const few_drawer *d, few_plan_report *r)
{
    few_backend_cpu.report(d->plan, r);
}

/* ---- a group of images ----------------------------------------------------------------------*/

void few_draw_noise(uint64_t seed, int64_t first, int64_t n, int64_t pixels, float *z)
{
    const uint32_t key[2] = { (uint32_t)seed, (uint32_t)(seed >> 32) };
    for (int64_t i = 0; i < n; i++) {
        const uint64_t index = (uint64_t)(first + i);
        for (int64_t e = 0; e < pixels; e += 4) {
            const uint32_t counter[4] = { (uint32_t)(e / 4), FEW_RNG_NOISE, (uint32_t)(index >> 32),
                                          (uint32_t)index };
            double v[4];
            few_philox_normal(counter, key, v);
            for (int64_t k = 0; k < 4 && e + k < pixels; k++)
                z[i * pixels + e + k] = (float)v[k];
        }
    }
}

void few_drawer_set(few_drawer *d, const few_draw *o, int64_t image, const few_sampler_step *s)
{
    double v[N_SCALARS];
    const few_angle a = few_angle_of(few_schedule_phi(&d->spec.schedule, s->t));
    const few_to_x to_x = few_prediction_to_x(&d->spec.prediction, a.alpha, a.sigma);
    v[TIME] = few_spec_time(&d->spec, s->t);
    v[IN] = to_x.in;
    v[FROM_Z] = to_x.from_z;
    v[FROM_OUT] = to_x.from_out;
    v[EPS_Z] = 1 / a.sigma;
    v[EPS_X] = -a.alpha / a.sigma;
    v[Z] = s->z;
    v[X] = s->x;
    v[K0] = s->k0;
    v[K1] = s->k1;
    v[K2] = s->k2;
    v[GUIDE] = 1 + o->guidance;
    v[UNGUIDE] = -o->guidance;
    v[BASE] = s->base;
    v[PAST] = s->past;
    v[N0] = s->n0;
    v[N1] = s->n1;
    for (int k = 0; k < N_SCALARS; k++)
        d->scalar[k][image] = (float)v[k];
}

void few_drawer_key(few_drawer *d, const few_draw *o, int64_t image, int64_t index, int evaluation)
{
    int32_t *key = d->rng + 4 * image;
    key[0] = (int32_t)(uint32_t)o->seed;
    key[1] = (int32_t)((uint32_t)(o->seed >> 32) ^ (uint32_t)((uint64_t)index >> 32));
    key[2] = evaluation;
    key[3] = (int32_t)(uint32_t)index;
}

few_status few_drawer_run(few_drawer *d, const few_drawer_buffers *b, int64_t n, few_error *err)
{
    const few_backend *cpu = &few_backend_cpu;
    for (int k = 0; k < N_SCALARS; k++)
        if (few_drawer_has(d, k))
            FEW_TRY(cpu->bind(d->plan, names[k], d->scalar[k], err));
    if (few_drawer_has(d, BASE)) {
        FEW_TRY(cpu->bind(d->plan, "base", b->base, err));
        FEW_TRY(cpu->bind(d->plan, "past", b->past, err));
        FEW_TRY(cpu->bind(d->plan, "x_hat", b->x_hat, err));
    }
    if (few_drawer_has(d, N0))
        FEW_TRY(cpu->bind(d->plan, "rng", d->rng, err));
    if (d->spec.classes)
        FEW_TRY(cpu->bind(d->plan, "label", d->label, err));
    if (d->guidance)
        FEW_TRY(cpu->bind(d->plan, "null_label", d->null_label, err));
    FEW_TRY(cpu->bind(d->plan, "z", b->z, err));
    FEW_TRY(cpu->bind(d->plan, "next", b->next, err));
    return cpu->run(d->plan, n, err);
}

int few_draw_evaluations(const few_draw *o)
{
    return (o->end ? o->end : few_sampler_evaluations(o->sampler, o->options, o->steps)) - o->begin;
}

/* The chain of m images in z[0]; *from: which z they end in. `before`: evaluations of other images
 * that are done. */
static few_status draw_group(few_drawer *d, const few_draw *o, int64_t first, int64_t m,
                             int64_t before, int64_t total, int *from, few_error *err)
{
    const int end = o->begin + few_draw_evaluations(o);
    const size_t bytes = (size_t)(m * d->pixels) * sizeof(float);
    int past = 0;
    *from = 0;
    if (few_drawer_has(d, BASE)) { /* numbers, even where their factor is 0 */
        memset(d->base, 0, bytes);
        memset(d->past[0], 0, bytes);
    }
    for (int k = o->begin; k < end; k++, *from = !*from) {
        const few_sampler_step s =
            few_sampler_step_of(o->sampler, &d->spec, o->options, k, o->steps);
        const few_drawer_buffers b = { d->z[*from], d->z[!*from], d->base, d->past[past],
                                       d->past[!past] };
        for (int64_t i = 0; i < m; i++) {
            few_drawer_set(d, o, i, &s);
            if (few_drawer_has(d, N0))
                few_drawer_key(d, o, i, first + i, k);
        }
        if (s.keep_z)
            memcpy(d->base, d->z[*from], bytes);
        FEW_TRY(few_drawer_run(d, &b, m, err));
        if (s.keep_x)
            past = !past;
        if (o->progress && o->progress(o->user, before + m * (k + 1 - o->begin), total))
            return few_fail(err, FEW_ECANCELED, "sampling was canceled");
    }
    return FEW_OK;
}

few_status few_drawer_draw(few_drawer *d, const few_draw *o, int64_t n, float *images,
                           few_error *err)
{
    if (n < 1 || o->steps < 1)
        return few_fail(err, FEW_EINVAL, "nothing to draw: %lld images in %d steps", (long long)n,
                        o->steps);
    if (o->sampler->options && !o->options)
        return few_fail(err, FEW_EINVAL, "sampler '%s' has options, none are given",
                        o->sampler->name);
    const int taken = few_draw_evaluations(o), end = o->begin + taken;
    const int all = few_sampler_evaluations(o->sampler, o->options, o->steps);
    if (o->begin < 0 || taken < 1 || end > all)
        return few_fail(err, FEW_EINVAL, "evaluations %d to %d are not among %d", o->begin, end,
                        all);
    if (few_sampler_needs(o->sampler, o->options) & ~d->needs)
        return few_fail(err, FEW_EINVAL, "this drawer was made without what sampler '%s' needs",
                        o->sampler->name);
    if (o->first < 0 || o->first > INT64_MAX - n)
        return few_fail(err, FEW_EINVAL, "the index of the first image is %lld, must be 0 or more",
                        (long long)o->first);
    if (o->guidance != 0 && !d->guidance)
        return few_fail(err, FEW_EINVAL, "this drawer was made without guidance");
    int64_t evaluated = 0;
    for (int64_t at = 0; at < n; at += d->group) {
        const int64_t m = n - at < d->group ? n - at : d->group;
        for (int64_t i = 0; i < m && d->spec.classes; i++) {
            d->label[i] =
                o->label ? o->label[at + i] : (int32_t)((o->first + at + i) % d->spec.classes);
            d->null_label[i] = d->spec.classes;
            /* the null class is a label, too, where it was trained */
            if (d->label[i] < 0 || d->label[i] >= d->spec.classes + d->spec.null_class)
                return few_fail(err, FEW_EINVAL, "label %d is not from 0 to %d", d->label[i],
                                d->spec.classes - 1);
        }
        if (o->noise)
            memcpy(d->z[0], o->noise + at * d->pixels, (size_t)(m * d->pixels) * sizeof(float));
        else
            few_draw_noise(o->seed, o->first + at, m, d->pixels, d->z[0]);
        if (o->sampler->adaptive) {
            FEW_TRY(few_draw_adaptive(d, o, o->first + at, m, at * taken, n * taken,
                                      images + at * d->pixels, &evaluated, err));
        } else {
            int from;
            FEW_TRY(draw_group(d, o, o->first + at, m, at * taken, n * taken, &from, err));
            memcpy(images + at * d->pixels, d->z[from], (size_t)(m * d->pixels) * sizeof(float));
            evaluated += m * taken;
        }
    }
    if (o->evaluated)
        *o->evaluated = evaluated;
    return FEW_OK;
}

few_status few_sampler_options_make(const few_sampler *s, void **out, few_error *err)
{
    *out = NULL;
    if (!s->options)
        return FEW_OK;
    void *p = few_calloc(1, s->options_size);
    if (!p)
        return few_fail(err, FEW_ENOMEM, "out of memory for sampler options");
    const few_status st = few_options_defaults(s->options, p, err);
    if (st != FEW_OK)
        few_free(p);
    else
        *out = p;
    return st;
}

few_status few_sampler_options_set(const few_sampler *s, void *options, const few_strings *set,
                                   few_error *err)
{
    few_strbuf one;
    few_strbuf_init(&one);
    few_status st = FEW_OK;
    for (int k = 0; st == FEW_OK && few_next_setting(set, &k, &one);) {
        char key[64];
        const char *equals = strchr(one.s, '=');
        if (!equals || equals - one.s >= (ptrdiff_t)sizeof key) {
            st = few_fail(err, FEW_EINVAL, "'%s' is not KEY=VALUE", one.s);
        } else if (!s->options) {
            st = few_fail(err, FEW_EINVAL, "sampler '%s' has no settings", s->name);
        } else {
            snprintf(key, sizeof key, "%.*s", (int)(equals - one.s), one.s);
            st = few_option_set(s->options, options, key, equals + 1, s->name, err);
        }
    }
    few_strbuf_free(&one);
    return st;
}

void few_sampler_options_free(const few_sampler *s, void *options)
{
    if (options)
        few_options_clear(s->options, options);
    few_free(options);
}

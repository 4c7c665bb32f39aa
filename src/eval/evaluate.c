/* Samples, features, moments, distance. Images are rounded to bytes first, as anyone who saved them
 * would see them. */
#include "eval/evaluate.h"

#include "base/alloc.h"
#include "base/philox.h"
#include "base/thread.h"
#include "eval/frechet.h"
#include "eval/unfinished.h"
#include "image/image.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GROUP = 512 };
static const double keep_every = 60; /* seconds */

/* ---- moments --------------------------------------------------------------------------------*/

struct bench {
    few_features *f;
    few_stats stats;
    uint8_t *bytes;
    float *x, *images;
    int64_t pixels;
};

static void bench_free(struct bench *b)
{
    few_stats_free(&b->stats);
    few_free(b->bytes);
    few_free(b->x);
    few_free(b->images);
}

static few_status bench_init(struct bench *b, few_features *f, few_error *err)
{
    int h, w, c;
    few_features_shape(f, &h, &w, &c);
    memset(b, 0, sizeof *b);
    b->f = f;
    b->pixels = (int64_t)h * w * c;
    FEW_TRY(few_stats_init(&b->stats, few_features_dim(f), err));
    b->bytes = few_malloc((size_t)(GROUP * b->pixels));
    b->images = few_malloc((size_t)(GROUP * b->pixels) * sizeof(float));
    b->x = few_malloc((size_t)GROUP * (size_t)few_features_dim(f) * sizeof(float));
    if (b->bytes && b->images && b->x)
        return FEW_OK;
    bench_free(b);
    return few_fail(err, FEW_ENOMEM, "out of memory for an evaluation");
}

static few_status add(struct bench *b, int64_t n, few_error *err)
{
    FEW_TRY(few_features_compute(b->f, b->bytes, n, b->x, err));
    return few_stats_add_f32(&b->stats, b->x, n, err);
}

static few_status check_size(const few_features *f, int h, int w, int c, const char *what,
                             few_error *err)
{
    int fh, fw, fc;
    few_features_shape(f, &fh, &fw, &fc);
    if (h != fh || w != fw || c != fc)
        return few_fail(err, FEW_EINVAL, "%s is %dx%dx%d, the feature network wants %dx%dx%d", what,
                        w, h, c, fw, fh, fc);
    return FEW_OK;
}

static bool has_classes(const few_pack *p, int classes)
{
    const few_pack_info *info = p ? few_pack_get_info(p) : NULL;
    return info && info->has_labels && info->n_classes == classes && classes > 0;
}

int32_t *few_labels_like(const few_pack *like, int64_t n)
{
    const few_pack_info *info = few_pack_get_info(like);
    const int classes = info->n_classes;
    int32_t *label = few_calloc((size_t)n + 1, sizeof *label);
    int64_t *has = few_calloc((size_t)classes + 1, sizeof *has);
    int64_t *given = few_calloc((size_t)classes + 1, sizeof *given);
    if (!label || !has || !given) {
        few_free(label);
        label = NULL;
        n = 0;
    }
    for (int64_t i = 0; n && i < info->count; i++)
        has[few_pack_label(like, i)]++;
    for (int64_t i = 0; i < n; i++) { /* the one that is farthest behind its share of i + 1 */
        int c = 0;
        for (int k = 1; k < classes; k++)
            if ((has[k] - has[c]) * (i + 1) > (given[k] - given[c]) * info->count)
                c = k;
        given[c]++;
        label[i] = c;
    }
    few_free(has);
    few_free(given);
    return label;
}

/* n of a pack's images, the same ones every time: of every class as many as among the labels [n],
 * or all that it has, and any others for the rest. labels NULL: any. */
static int64_t *choose(const few_pack *p, const int32_t *labels, int64_t n)
{
    const few_pack_info *info = few_pack_get_info(p);
    const int classes = labels ? info->n_classes : 0;
    int64_t *chosen = few_calloc((size_t)n + 1, sizeof *chosen), taken = 0;
    int64_t *left = few_calloc((size_t)classes + 1, sizeof *left);
    bool *is_taken = few_calloc((size_t)info->count, sizeof *is_taken);
    for (int64_t i = 0; left && labels && i < n; i++)
        left[labels[i]]++;
    for (int pass = classes ? 0 : 1; chosen && left && is_taken && pass < 2; pass++)
        for (int64_t i = 0; i < info->count && taken < n; i++) {
            const int64_t k = (int64_t)few_random_permute(1, 0, (uint64_t)info->count, (uint64_t)i);
            if (is_taken[k] || (pass == 0 && left[few_pack_label(p, k)]-- <= 0))
                continue;
            is_taken[k] = true;
            chosen[taken++] = k;
        }
    if (!left || !is_taken) {
        few_free(chosen);
        chosen = NULL;
    }
    few_free(left);
    few_free(is_taken);
    return chosen;
}

few_status few_pack_moments(few_features *f, const few_pack *p, const few_pack *like, int64_t n,
                            few_moments *out, few_error *err)
{
    const few_pack_info *info = few_pack_get_info(p);
    struct bench b;
    few_status st = FEW_OK;
    FEW_TRY(check_size(f, info->height, info->width, info->channels, "the pack", err));
    if (n > info->count)
        n = info->count;
    const bool labels = has_classes(like, info->has_labels ? info->n_classes : 0);
    int32_t *label = labels ? few_labels_like(like, n) : NULL;
    int64_t *chosen = labels && !label ? NULL : choose(p, label, n);
    few_free(label);
    if (!chosen)
        return few_fail(err, FEW_ENOMEM, "out of memory for a choice of images");
    FEW_GOTO(bench_init(&b, f, err));
    for (int64_t at = 0; at < n && st == FEW_OK; at += GROUP) {
        const int64_t m = n - at < GROUP ? n - at : GROUP;
        for (int64_t i = 0; i < m; i++)
            memcpy(b.bytes + i * b.pixels, few_pack_image(p, chosen[at + i]), (size_t)b.pixels);
        st = add(&b, m, err);
    }
    if (st == FEW_OK)
        st = few_stats_finish(&b.stats, out, err);
    bench_free(&b);
cleanup:
    few_free(chosen);
    return st;
}

/* ---- samples --------------------------------------------------------------------------------*/

struct relay {
    const few_evaluation_options *o;
    int64_t before, total;
};

static int relay_progress(void *user, int64_t done, int64_t total)
{
    const struct relay *r = user;
    (void)total;
    return r->o->progress ? r->o->progress(r->o->user, r->before + done, r->total) : 0;
}

/* Images drawn at once: as many as are evaluated in some seconds, for what is stopped in between
 * is lost. */
static int64_t group_size(const few_evaluation_options *o)
{
    int64_t n = GROUP;
    while (n > 64 && n * few_draw_evaluations(&o->draw) > 1 << 14)
        n /= 2;
    return n < o->samples ? n : o->samples;
}

/* All that the samples depend on, in words. Their number is not among it: the first ones of more
 * are the same. */
static few_status describe(const few_net *net, const few_features *f,
                           const few_evaluation_options *o, few_strbuf *text, few_error *err)
{
    const few_draw *d = &o->draw;
    json_t *spec = few_spec_to_json(&net->spec);
    json_t *settings = d->sampler->options && d->options
                           ? few_options_to_json(d->sampler->options, d->options)
                           : json_object();
    char *a = spec ? json_dumps(spec, JSON_SORT_KEYS) : NULL;
    char *b = settings ? json_dumps(settings, JSON_SORT_KEYS) : NULL;
    char noise[FEW_HASH_TEXT] = "";
    const size_t pixels =
        (size_t)net->spec.height * (size_t)net->spec.width * (size_t)net->spec.channels;
    if (d->noise)
        few_hash_text(d->noise, (size_t)o->samples * pixels * sizeof(float), noise);
    few_strbuf_addf(text, "%s\n%s\n%s\n%s\n%s %s\n", FEW_VERSION, few_features_hash(f), net->hash,
                    a ? a : "", d->sampler->name, b ? b : "");
    few_strbuf_addf(text, "%d %d %d %llu %lld %.17g %s %d\n", d->steps, d->begin, d->end,
                    (unsigned long long)d->seed, (long long)d->first, d->guidance, noise,
                    (int)few_cpu_resolve(o->precision, NULL));
    const bool failed = !a || !b || text->failed;
    free(a);
    free(b);
    json_decref(spec);
    json_decref(settings);
    return failed ? few_fail(err, FEW_ENOMEM, "out of memory for an evaluation") : FEW_OK;
}

/* One that was stopped says what is lost. */
static few_status stopped(const few_unfinished *u, const struct bench *b, int64_t samples,
                          few_error *err)
{
    few_error why = { 0 };
    if (!u->path || b->stats.n == 0)
        return FEW_ECANCELED;
    if (few_unfinished_save(u, &b->stats, &why) != FEW_OK)
        return few_fail(err, FEW_ECANCELED,
                        "stopped after %lld of %lld images, which could not be kept: %s",
                        (long long)b->stats.n, (long long)samples, why.text);
    return few_fail(err, FEW_ECANCELED,
                    "stopped; the same command goes on after %lld of %lld images",
                    (long long)b->stats.n, (long long)samples);
}

/* Draw the samples that are not there yet. */
static few_status draw_rest(struct bench *b, few_drawer *d, const few_evaluation_options *o,
                            const int32_t *label, few_unfinished *u, few_error *err)
{
    const int64_t each = few_draw_evaluations(&o->draw), group = group_size(o);
    struct relay relay = { o, 0, o->samples * each };
    double kept = few_now();
    while (b->stats.n < o->samples) {
        const int64_t at = b->stats.n, m = o->samples - at < group ? o->samples - at : group;
        few_draw draw = o->draw;
        draw.first = at;
        draw.label = label ? label + at : NULL;
        if (draw.noise)
            draw.noise += at * b->pixels;
        draw.progress = relay_progress;
        draw.user = &relay;
        int64_t now = 0;
        draw.evaluated = &now;
        relay.before = at * each;
        const double start = few_now();
        const few_status st = few_drawer_draw(d, &draw, m, b->images, err);
        if (st != FEW_OK)
            return st == FEW_ECANCELED ? stopped(u, b, o->samples, err) : st;
        u->seconds += few_now() - start;
        u->evaluated += now;
        for (int64_t i = 0; i < m * b->pixels; i++) {
            if (!isfinite(b->images[i]))
                return few_fail(err, FEW_EDIVERGED,
                                "image %lld has pixels that are no numbers: the network, or the "
                                "sampler with these settings, diverges",
                                (long long)(at + i / b->pixels));
            b->bytes[i] = few_byte_from_float(b->images[i]);
        }
        FEW_TRY(add(b, m, err));
        few_error ignored; /* a full disk is no reason to stop; stopping tries again, and says so */
        if (few_now() - kept > keep_every) {
            few_unfinished_save(u, &b->stats, &ignored);
            kept = few_now();
        }
    }
    return FEW_OK;
}

static few_status sample_moments(const few_net *net, few_features *f, const few_pack *like,
                                 const few_evaluation_options *o, few_moments *out,
                                 few_evaluation *e, few_error *err)
{
    const bool labels = has_classes(like, net->spec.classes);
    int32_t *label = labels ? few_labels_like(like, o->samples) : NULL;
    const few_drawer_options po = { .precision = o->precision,
                                    .workers = o->workers,
                                    .images = group_size(o),
                                    .guidance = o->draw.guidance != 0,
                                    .needs = few_sampler_needs(o->draw.sampler, o->draw.options) };
    few_drawer *d = NULL;
    few_unfinished u = { 0 };
    few_strbuf text;
    struct bench b = { 0 };
    few_status st = FEW_OK;
    few_strbuf_init(&text);
    FEW_GOTO(bench_init(&b, f, err));
    if (labels && !label)
        st = few_fail(err, FEW_ENOMEM, "out of memory for labels");
    if (st != FEW_OK)
        goto cleanup;
    FEW_GOTO(describe(net, f, o, &text, err));
    few_strbuf_addf(&text, "%s\n", labels ? few_pack_get_info(like)->hash : "");
    FEW_GOTO(few_unfinished_begin(&u, o->keep, text.s, o->samples, &b.stats, err));
    e->resumed = b.stats.n;
    if (e->resumed && o->progress)
        o->progress(o->user, e->resumed * few_draw_evaluations(&o->draw),
                    o->samples * few_draw_evaluations(&o->draw));
    FEW_GOTO(few_drawer_create(&net->spec, net->master, &po, &d, err));
    FEW_GOTO(draw_rest(&b, d, o, label, &u, err));
    FEW_GOTO(few_stats_finish(&b.stats, out, err));
    few_error ignored;
    if (!o->keep_done)
        few_unfinished_remove(&u);
    else if (u.path && few_unfinished_save(&u, &b.stats, &ignored) == FEW_OK)
        snprintf(e->kept, sizeof e->kept, "%s", u.path);
    e->seconds = u.seconds;
    e->nfe = (double)u.evaluated / (double)o->samples * (o->draw.guidance != 0 ? 2 : 1);
cleanup:
    few_unfinished_free(&u);
    few_strbuf_free(&text);
    few_drawer_free(d);
    bench_free(&b);
    few_free(label);
    return st;
}

few_status few_real_make(few_real *r, few_features *f, const few_pack *test, const few_pack *train,
                         int64_t samples, few_error *err)
{
    few_moments real = { 0 };
    few_frechet_terms terms;
    few_status st = FEW_OK;
    memset(r, 0, sizeof *r);
    r->floor = NAN;
    r->pack = test;
    snprintf(r->hash, sizeof r->hash, "%s", few_pack_get_info(test)->hash);
    FEW_GOTO(few_pack_moments(f, test, NULL, few_pack_get_info(test)->count, &r->test, err));
    if (train && samples > 1) {
        FEW_GOTO(few_pack_moments(f, train, test, samples, &real, err));
        FEW_GOTO(few_frechet(&real, &r->test, &terms, err));
        r->floor = terms.value;
        r->train = real.n;
    }
cleanup:
    few_moments_free(&real);
    if (st != FEW_OK)
        few_real_free(r);
    return st;
}

void few_real_free(few_real *r)
{
    few_moments_free(&r->test);
    memset(r, 0, sizeof *r);
}

few_status few_evaluate(const few_net *net, few_features *f, const few_real *against,
                        const few_evaluation_options *o, few_evaluation *out, few_error *err)
{
    few_moments have = { 0 };
    few_frechet_terms terms;
    few_status st = FEW_OK;
    memset(out, 0, sizeof *out);
    if (o->samples < 2)
        return few_fail(err, FEW_EINVAL, "a distance needs 2 samples or more, better 10000");
    FEW_TRY(check_size(f, net->spec.height, net->spec.width, net->spec.channels, "the model", err));
    FEW_GOTO(sample_moments(net, f, against->pack, o, &have, out, err));
    FEW_GOTO(few_frechet(&have, &against->test, &terms, err));
    out->fd = terms.value;
    out->floor = against->floor;
    out->train = against->train;
    out->samples = have.n;
    out->reference = against->test.n;
    out->images_per_second = (double)o->samples / (out->seconds + 1e-9);
    snprintf(out->reference_hash, sizeof out->reference_hash, "%s", against->hash);
    snprintf(out->features_hash, sizeof out->features_hash, "%s", few_features_hash(f));
cleanup:
    few_moments_free(&have);
    return st;
}

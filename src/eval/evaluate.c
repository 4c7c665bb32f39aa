/* Samples, features, moments, distance. Images are rounded to bytes first, as anyone who saved them
 * would see them. */
#include "eval/evaluate.h"

#include "base/alloc.h"
#include "base/philox.h"
#include "base/thread.h"
#include "eval/frechet.h"
#include "image/image.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { GROUP = 512 };

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

few_status few_pack_moments(few_features *f, const few_pack *p, int64_t n, few_moments *out,
                            few_error *err)
{
    const few_pack_info *info = few_pack_get_info(p);
    struct bench b;
    few_status st = FEW_OK;
    FEW_TRY(check_size(f, info->height, info->width, info->channels, "the pack", err));
    FEW_TRY(bench_init(&b, f, err));
    if (n > info->count)
        n = info->count;
    for (int64_t at = 0; at < n && st == FEW_OK; at += GROUP) {
        const int64_t m = n - at < GROUP ? n - at : GROUP;
        for (int64_t i = 0; i < m; i++) { /* the same choice every time, over all classes */
            const uint64_t k = few_random_permute(1, 0, (uint64_t)info->count, (uint64_t)(at + i));
            memcpy(b.bytes + i * b.pixels, few_pack_image(p, (int64_t)k), (size_t)b.pixels);
        }
        st = add(&b, m, err);
    }
    if (st == FEW_OK)
        st = few_stats_finish(&b.stats, out, err);
    bench_free(&b);
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

static few_status sample_moments(const few_net *net, few_features *f,
                                 const few_evaluation_options *o, few_moments *out, double *seconds,
                                 int64_t *evaluated, few_error *err)
{
    const few_drawer_options po = { .precision = o->precision,
                                    .workers = o->workers,
                                    .images = o->samples < GROUP ? o->samples : GROUP,
                                    .guidance = o->draw.guidance != 0,
                                    .needs = few_sampler_needs(o->draw.sampler, o->draw.options) };
    struct relay relay = { o, 0, o->samples * few_draw_evaluations(&o->draw) };
    few_drawer *d = NULL;
    struct bench b;
    few_status st = FEW_OK;
    FEW_TRY(bench_init(&b, f, err));
    *seconds = 0;
    *evaluated = 0;
    FEW_GOTO(few_drawer_create(&net->spec, net->master, &po, &d, err));
    for (int64_t at = 0; at < o->samples; at += GROUP) {
        const int64_t m = o->samples - at < GROUP ? o->samples - at : GROUP;
        few_draw draw = o->draw;
        draw.first = at;
        draw.label = NULL; /* index mod classes: uniform */
        if (draw.noise)
            draw.noise += at * b.pixels;
        draw.progress = relay_progress;
        draw.user = &relay;
        int64_t now = 0;
        draw.evaluated = &now;
        relay.before = at * few_draw_evaluations(&o->draw);
        const double start = few_now();
        FEW_GOTO(few_drawer_draw(d, &draw, m, b.images, err));
        *seconds += few_now() - start;
        *evaluated += now;
        for (int64_t i = 0; i < m * b.pixels; i++)
            b.bytes[i] = few_byte_from_float(b.images[i]);
        FEW_GOTO(add(&b, m, err));
    }
    st = few_stats_finish(&b.stats, out, err);
cleanup:
    few_drawer_free(d);
    bench_free(&b);
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
    snprintf(r->hash, sizeof r->hash, "%s", few_pack_get_info(test)->hash);
    FEW_GOTO(few_pack_moments(f, test, few_pack_get_info(test)->count, &r->test, err));
    if (train && samples > 1) {
        FEW_GOTO(few_pack_moments(f, train, samples, &real, err));
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
    int64_t evaluated;
    memset(out, 0, sizeof *out);
    if (o->samples < 2)
        return few_fail(err, FEW_EINVAL, "a distance needs 2 samples or more, better 10000");
    FEW_TRY(check_size(f, net->spec.height, net->spec.width, net->spec.channels, "the model", err));
    FEW_GOTO(sample_moments(net, f, o, &have, &out->seconds, &evaluated, err));
    FEW_GOTO(few_frechet(&have, &against->test, &terms, err));
    out->fd = terms.value;
    out->floor = against->floor;
    out->train = against->train;
    out->samples = have.n;
    out->reference = against->test.n;
    out->nfe = (double)evaluated / (double)o->samples * (o->draw.guidance != 0 ? 2 : 1);
    out->images_per_second = (double)o->samples / (out->seconds + 1e-9);
    snprintf(out->reference_hash, sizeof out->reference_hash, "%s", against->hash);
    snprintf(out->features_hash, sizeof out->features_hash, "%s", few_features_hash(f));
cleanup:
    few_moments_free(&have);
    return st;
}

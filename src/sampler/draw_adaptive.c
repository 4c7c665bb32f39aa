/* Drawing where every image has steps of its own. Images under way stand in the first rows of the
 * buffers; one that has arrived is copied out, and the last of them takes its place, so that no
 * evaluation is wasted. */
#include "sampler/drawer.h"

#include "base/alloc.h"

#include <math.h>
#include <string.h>

enum { MOST_TRIALS = 100000 };

/* An image under way. */
struct walker {
    few_trial at;
    int64_t image; /* of the group */
    int trials;
};

struct walk {
    few_drawer *d;
    const few_draw *o;
    int64_t first, n; /* n: under way */
    struct walker *w;
    double start;
    few_drawer_buffers a, b; /* of the first and second evaluation */
};

static bool arrived(const struct walker *w)
{
    return w->at.t <= w->at.end + 1e-9;
}

static void copy_row(const struct walk *k, float *rows, int64_t to, int64_t from)
{
    memmove(rows + to * k->d->pixels, rows + from * k->d->pixels,
            (size_t)k->d->pixels * sizeof(float));
}

static void leave(struct walk *k, int64_t i)
{
    const int64_t last = --k->n;
    copy_row(k, k->a.z, i, last);
    copy_row(k, k->a.next, i, last);
    copy_row(k, k->a.past, i, last);
    k->w[i] = k->w[last];
    k->d->label[i] = k->d->label[last];
}

static few_status evaluate(struct walk *k, bool second, few_error *err)
{
    for (int64_t i = 0; i < k->n; i++) {
        few_sampler_step s = { 0 };
        const struct walker *w = &k->w[i];
        k->o->sampler->adaptive->step(&k->d->spec, k->o->options, &w->at, arrived(w) ? 2 : second,
                                      &s);
        few_drawer_set(k->d, k->o, i, &s);
        few_drawer_key(k->d, k->o, i, k->first + w->image, w->trials); /* the same noise twice */
    }
    return few_drawer_run(k->d, second ? &k->b : &k->a, k->n, err);
}

/* The error of image i's trial. */
static double error_of(const struct walk *k, int64_t i)
{
    const int64_t at = i * k->d->pixels;
    const few_trial *t = &k->w[i].at;
    double sum = 0;
    for (int64_t e = at; e < at + k->d->pixels; e++) {
        const double z = (double)k->a.next[e], better = (double)k->b.next[e],
                     before = (double)k->a.past[e];
        const double scale = fmax(t->error_abs, t->error_scale * fmax(fabs(before), fabs(z)));
        sum += (better - z) / scale * ((better - z) / scale);
    }
    return sqrt(sum / (double)k->d->pixels);
}

/* Takes or refuses image i's trial; false: its error is no number. */
static bool judge(struct walk *k, int64_t i)
{
    const double error = error_of(k, i);
    const size_t bytes = (size_t)k->d->pixels * sizeof(float);
    const int64_t at = i * k->d->pixels;
    struct walker *w = &k->w[i];
    w->trials++;
    if (isfinite(error) && k->o->sampler->adaptive->next(k->o->options, &w->at, error)) {
        memcpy(k->a.past + at, k->a.next + at, bytes);
        memcpy(k->a.z + at, k->b.next + at, bytes);
    }
    return isfinite(error);
}

static int64_t hundredths(const struct walk *k, int64_t all)
{
    double sum = 100 * (double)(all - k->n);
    for (int64_t i = 0; i < k->n; i++)
        sum += 99 * (k->start - k->w[i].at.t) / (k->start - k->w[i].at.end + 1e-9);
    return (int64_t)sum;
}

few_status few_draw_adaptive(few_drawer *d, const few_draw *o, int64_t first, int64_t n,
                             int64_t before, int64_t total, float *images, int64_t *evaluated,
                             few_error *err)
{
    struct walk k = { .d = d,
                      .o = o,
                      .first = first,
                      .n = n,
                      .w = few_calloc((size_t)n, sizeof *k.w),
                      .a = { d->z[0], d->z[1], d->z[0], d->past[0], d->past[1] },
                      .b = { d->z[1], d->base, d->z[0], d->past[0], d->past[1] } };
    const size_t bytes = (size_t)(n * d->pixels) * sizeof(float);
    few_status st = FEW_OK;
    int64_t told = 0;
    if (!k.w)
        return few_fail(err, FEW_ENOMEM, "out of memory for sampling");
    for (int64_t i = 0; i < n; i++) {
        o->sampler->adaptive->begin(&d->spec, o->options, &k.w[i].at);
        k.w[i].image = i;
    }
    k.start = k.w[0].at.t;
    memcpy(d->past[0], d->z[0], bytes);
    while (k.n > 0) {
        *evaluated += k.n;
        FEW_GOTO(evaluate(&k, false, err));
        for (int64_t i = k.n - 1; i >= 0; i--)
            if (arrived(&k.w[i])) {
                memcpy(images + k.w[i].image * d->pixels, k.a.next + i * d->pixels,
                       (size_t)d->pixels * sizeof(float));
                leave(&k, i);
            }
        if (k.n > 0) {
            *evaluated += k.n;
            FEW_GOTO(evaluate(&k, true, err));
        }
        for (int64_t i = 0; i < k.n; i++) {
            if (!judge(&k, i) || k.w[i].trials == MOST_TRIALS ||
                !(k.w[i].at.h > 0 || arrived(&k.w[i])))
                st = few_fail(err, FEW_EINVAL,
                              "image %lld makes no way from t = %g: its error is no number, or the "
                              "tolerance too small",
                              (long long)(first + k.w[i].image), k.w[i].at.t);
        }
        if (st != FEW_OK)
            goto cleanup;
        const int64_t now = hundredths(&k, n);
        if (o->progress && now > told && o->progress(o->user, before + now, total)) {
            st = few_fail(err, FEW_ECANCELED, "sampling was canceled");
            goto cleanup;
        }
        told = now > told ? now : told;
    }
cleanup:
    few_free(k.w);
    return st;
}

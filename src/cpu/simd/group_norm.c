/* Group normalisation, channels last, with scale, shift, conditioning and SiLU; and its gradient.
 *
 * With u = x + add, xh = (u - mean) rstd, h = G xh + B where G = gamma (1 + s) and
 * B = beta (1 + s) + t, everything on the way from x to h is one multiply-add by channel, and so
 * is what follows from dh to dx. Both directions are two passes over the image: one that sums by
 * channel, one that applies coefficients by channel; in between is arithmetic on c numbers.
 *
 * Easy to get wrong: a mean much larger than the deviation. Each channel is summed about a shift
 * (the average of four of its pixels), giving its mean and sum of squared deviations, and channels
 * are joined into groups by these two, never by sums of squares. */
#include "cpu/simd.h"
#include "cpu/simd/vec.h"

#define GN_ROWS 64  /* rows whose sum is taken in one accumulator */
#define GN_WIDE 256 /* widest row made of several narrow ones */

/* ---- views and coefficients -------------------------------------------------------------------*/

/* An image as rows of `width` columns: pixels, or several pixels in a row where that makes the
 * width a multiple of the vectors. Column j belongs to channel j % c. */
typedef struct view {
    int64_t rows, width;
} view;

static view make_view(int64_t hw, int64_t c)
{
    for (int unit = 4 * W; unit >= 2 * W; unit /= 2) {
        view v = { hw, c };
        for (; v.width % unit && v.rows % 2 == 0 && 2 * v.width <= GN_WIDE; v.width *= 2)
            v.rows /= 2;
        if (v.width % unit == 0)
            return v;
    }
    return (view){ hw, c };
}

/* Coefficients of the channels to all columns, and whole pairs to the lane order of the data. */
static void to_columns(bool bf, float *p, int64_t c, int64_t width)
{
    for (int64_t k = 0; k < c; k += W)
        store1(p + k, c - k, clean_nan(load1(p + k, c - k)));
    for (int64_t k = c; k < width; k *= 2)
        memcpy(p + k, p, (size_t)k * sizeof *p);
    for (int64_t j = 0; bf && j + 2 * W <= width; j += 2 * W)
        store(false, p, j, 2 * W, unzip(load(false, p, j, 2 * W)));
}

INLINE pair load_column(bool bf, const float *p, int64_t j, int64_t left)
{
    return left < 2 * W ? load_f32(bf, p, j, left) : load(false, p, j, left);
}

/* From an optional array. */
INLINE vf given(const float *p, int64_t k, int64_t left, float otherwise)
{
    return p ? load1(p + k, left) : splat(otherwise);
}

/* G and B of image i, channels k on. */
INLINE void affine_of(const few_gn_args *a, int64_t i, int64_t k, int64_t left, vf *g, vf *b)
{
    *g = given(a->gamma, k, left, 1);
    *b = given(a->beta, k, left, 0);
    if (a->ss) {
        const vf s = 1.0f + load1(a->ss + 2 * i * a->c + k, left);
        *g *= s;
        *b = *b * s + load1(a->ss + (2 * i + 1) * a->c + k, left);
    }
}

INLINE pair axpb(pair a, pair x, pair b)
{
    return (pair){ a.lo * x.lo + b.lo, a.hi * x.hi + b.hi };
}

INLINE void add_to(pair *s, pair v)
{
    s->lo += v.lo;
    s->hi += v.hi;
}

/* ---- forward --------------------------------------------------------------------------------*/

/* Means and sums of squared deviations of `pairs` times 2 W columns. */
INLINE void moments(bool bf, int pairs, const void *x, int64_t at, view v, int64_t j, int64_t left,
                    float *mean, float *square)
{
    const int64_t first = at + j, quarter = v.rows / 4 * v.width;
    pair shift[2], s[2] = { 0 }, q[2] = { 0 };
    for (int b = 0; b < pairs; b++) {
        shift[b] = (pair){ splat(0), splat(0) };
        for (int k = 0; k < 4; k++)
            add_to(&shift[b], load(bf, x, first + k * quarter + b * 2 * W, left));
        shift[b].lo *= 0.25f;
        shift[b].hi *= 0.25f;
    }
    for (int64_t r = 0; r < v.rows; r += GN_ROWS) {
        const int64_t end = r + GN_ROWS < v.rows ? r + GN_ROWS : v.rows;
        pair s1[2] = { 0 }, q1[2] = { 0 };
        for (int64_t k = r; k < end; k++)
            for (int b = 0; b < pairs; b++) {
                const pair p = load(bf, x, first + k * v.width + b * 2 * W, left);
                const pair d = { p.lo - shift[b].lo, p.hi - shift[b].hi };
                add_to(&s1[b], d);
                q1[b] = axpb(d, d, q1[b]);
            }
        for (int b = 0; b < pairs; b++) {
            add_to(&s[b], s1[b]);
            add_to(&q[b], q1[b]);
        }
    }
    const float n = 1 / (float)v.rows;
    for (int b = 0; b < pairs; b++) {
        const pair m = { s[b].lo * n, s[b].hi * n };
        store_f32(bf, mean, j + b * 2 * W, left, (pair){ shift[b].lo + m.lo, shift[b].hi + m.hi });
        store_f32(bf, square, j + b * 2 * W, left,
                  (pair){ q[b].lo - s[b].lo * m.lo, q[b].hi - s[b].hi * m.hi });
    }
}

/* From columns to channels: the columns of two pixels are joined until one pixel is left. */
static void join_pixels(view v, int64_t c, float *mean, float *square)
{
    for (; v.width > c; v.rows *= 2) {
        v.width /= 2;
        for (int64_t j = 0; j < v.width; j += W) {
            const int64_t left = v.width - j;
            const vf a = load1(mean + j, left), b = load1(mean + v.width + j, left);
            const vf q = load1(square + j, left) + load1(square + v.width + j, left);
            store1(mean + j, left, 0.5f * (a + b));
            store1(square + j, left, q + (b - a) * (b - a) * (0.5f * (float)v.rows));
        }
    }
}

/* From channels to groups, and back: mean and 1/deviation of each channel's group. The arrays
 * m and q [groups] are scratch. */
static void join_channels(const few_gn_args *a, int64_t i, float *mean, float *square, float *m,
                          float *q, float *stats)
{
    const int64_t groups = a->groups, per = a->c / groups;
    const float hw = (float)a->hw, share = 1 / (float)per, norm = 1 / (hw * (float)per);
    if (a->add)
        for (int64_t k = 0; k < a->c; k += W)
            store1(mean + k, a->c - k,
                   load1(mean + k, a->c - k) + load1(a->add + i * a->c + k, a->c - k));
    for (int64_t g = 0; g < groups; g++) {
        const float *mk = mean + g * per, *qk = square + g * per;
        float sum_m = mk[0], sum_q = qk[0];
        for (int64_t k = 1; k < per; k++)
            sum_m += mk[k];
        sum_m *= share;
        m[g] = sum_m;
        for (int64_t k = 1; k < per; k++)
            sum_q += qk[k] + hw * (mk[k] - sum_m) * (mk[k] - sum_m);
        q[g] = sum_q + hw * (mk[0] - sum_m) * (mk[0] - sum_m);
    }
    for (int64_t g = 0; g < groups; g += W)
        store1(q + g, groups - g, 1.0f / vsqrt(load1(q + g, groups - g) * norm + a->eps));
    for (int64_t g = 0; stats && g < groups; g++) {
        stats[2 * (i * groups + g)] = m[g];
        stats[2 * (i * groups + g) + 1] = q[g];
    }
    for (int64_t g = 0; g < groups; g++)
        for (int64_t k = g * per; k < (g + 1) * per; k++) {
            mean[k] = m[g];
            square[k] = q[g];
        }
}

/* y = h or silu(h) for 2 W columns of a row; h = a x + b, or -log2(e) times that before SiLU. */
INLINE void apply(bool bf, bool silu, const void *x, void *y, int64_t row, int64_t j, int64_t left,
                  const float *a, const float *b)
{
    const pair h =
        axpb(load_column(bf, a, j, left), load(bf, x, row + j, left), load_column(bf, b, j, left));
    store_clean(bf, y, row + j, left, silu ? silu2(bf, h) : h);
}

INLINE void norm_image(const few_gn_args *a, bool bf, bool silu, int64_t i, view v, void *y,
                       float *stats, float *scratch)
{
    const int64_t at = i * a->hw * a->c;
    float *mean = scratch, *square = mean + v.width, *ca = square + v.width, *cb = ca + v.width;

    int64_t j = 0;
    for (; j + 4 * W <= v.width; j += 4 * W)
        moments(bf, 2, a->x, at, v, j, 2 * W, mean, square);
    for (; j + 2 * W <= v.width; j += 2 * W)
        moments(bf, 1, a->x, at, v, j, 2 * W, mean, square);
    if (j < v.width)
        moments(bf, 1, a->x, at, v, j, v.width - j, mean, square);

    join_pixels(v, a->c, mean, square);
    join_channels(a, i, mean, square, ca, cb, stats);
    for (int64_t k = 0; k < a->c; k += W) {
        const int64_t left = a->c - k;
        vf g, b;
        affine_of(a, i, k, left, &g, &b);
        g *= load1(square + k, left);
        b += g * (given(a->add ? a->add + i * a->c : NULL, k, left, 0) - load1(mean + k, left));
        store1(ca + k, left, silu ? g * -LOG2E : g); /* see silu_log2 */
        store1(cb + k, left, silu ? b * -LOG2E : b);
    }
    to_columns(bf, ca, a->c, v.width);
    to_columns(bf, cb, a->c, v.width);

    for (int64_t r = 0; r < v.rows; r++) {
        const int64_t row = at + r * v.width;
        for (j = 0; j + 2 * W <= v.width; j += 2 * W)
            apply(bf, silu, a->x, y, row, j, 2 * W, ca, cb);
        if (j < v.width)
            apply(bf, silu, a->x, y, row, j, v.width - j, ca, cb);
    }
}

static void group_norm(const few_gn_args *a, void *y, float *stats, float *scratch)
{
    const view v = make_view(a->hw, a->c);
    float wide[4 * GN_WIDE];
    float *work = v.width > a->c ? wide : scratch;
    for (int64_t i = 0; i < a->n; i++)
        if (a->bf && a->silu)
            norm_image(a, true, true, i, v, y, stats, work);
        else if (a->bf)
            norm_image(a, true, false, i, v, y, stats, work);
        else if (a->silu)
            norm_image(a, false, true, i, v, y, stats, work);
        else
            norm_image(a, false, false, i, v, y, stats, work);
}

/* ---- gradient -------------------------------------------------------------------------------*/

/* By column: xh = p x + q, h = a x + b; sums of dh, dh xh and xh; dx = e dh + (u x + w).
 * By channel: rstd, shift (what p and q are made of), G, and the groups' f0, f1. */
typedef struct gn_work {
    float *p, *q, *a, *b, *dh, *dhx, *xh, *e, *u, *w, *rstd, *shift, *g, *f0, *f1;
} gn_work;

enum { GN_WORK = sizeof(gn_work) / sizeof(float *) };

/* Sums of 2 W columns. In f32 dh is kept in dx, so that the second pass need not find it again. */
INLINE void reduce(bool bf, bool silu, const void *x, const void *dy, void *dx, int64_t at, view v,
                   int64_t j, int64_t left, const gn_work *c)
{
    const pair p = load_column(bf, c->p, j, left), q = load_column(bf, c->q, j, left);
    const pair a = load_column(bf, c->a, j, left), b = load_column(bf, c->b, j, left);
    pair s0 = { 0 }, s1 = { 0 }, s2 = { 0 };
    for (int64_t r = 0; r < v.rows; r += GN_ROWS) {
        const int64_t end = r + GN_ROWS < v.rows ? r + GN_ROWS : v.rows;
        pair t0 = { 0 }, t1 = { 0 }, t2 = { 0 };
        for (int64_t k = r; k < end; k++) {
            const int64_t i = at + k * v.width + j;
            const pair in = load(bf, x, i, left), xh = axpb(p, in, q), g = load(bf, dy, i, left);
            const pair dh = silu ? silu_grad2(bf, axpb(a, in, b), g) : g;
            if (!bf && silu && dx)
                store(false, dx, i, left, dh);
            add_to(&t0, dh);
            add_to(&t2, xh);
            t1 = axpb(dh, xh, t1);
        }
        add_to(&s0, t0);
        add_to(&s1, t1);
        add_to(&s2, t2);
    }
    store_f32(bf, c->dh, j, left, s0);
    store_f32(bf, c->dhx, j, left, s1);
    store_f32(bf, c->xh, j, left, s2);
}

/* dx of 2 W columns of a row. */
INLINE void apply_grad(bool bf, bool silu, const void *x, const void *dy, void *dx, int64_t row,
                       int64_t j, int64_t left, const gn_work *c)
{
    const pair in = load(bf, x, row + j, left);
    pair dh = load(bf, !bf && silu ? dx : dy, row + j, left);
    if (bf && silu)
        dh = silu_grad2(
            true, axpb(load_column(true, c->a, j, left), in, load_column(true, c->b, j, left)), dh);
    store_clean(bf, dx, row + j, left,
                axpb(load_column(bf, c->e, j, left), dh,
                     axpb(load_column(bf, c->u, j, left), in, load_column(bf, c->w, j, left))));
}

/* From columns to channels. */
static void sum_pixels(int64_t width, int64_t c, float *s)
{
    while (width > c) {
        width /= 2;
        for (int64_t j = 0; j < width; j += W)
            store1(s + j, width - j, load1(s + j, width - j) + load1(s + width + j, width - j));
    }
}

INLINE void sum_into(float *total, bool first, int64_t left, vf v)
{
    if (total)
        store1(total, left, first ? v : load1(total, left) + v);
}

/* What becomes of the sums of image i: the gradients by channel, and e, u, w. */
static void spread(const few_gn_args *a, int64_t i, const gn_work *s, float *dgamma, float *dbeta,
                   float *dadd, float *dss)
{
    const int64_t c = a->c, per = c / a->groups;
    const float norm = -1 / (float)(a->hw * per);
    for (int64_t k = 0; k < c; k += W) {
        const int64_t left = c - k;
        const vf dh = load1(s->dh + k, left), dhx = load1(s->dhx + k, left);
        const vf scale = 1.0f + given(a->ss ? a->ss + 2 * i * c : NULL, k, left, 0);
        sum_into(dgamma ? dgamma + k : NULL, i == 0, left, scale * dhx);
        sum_into(dbeta ? dbeta + k : NULL, i == 0, left, scale * dh);
        if (dss) {
            store1(dss + 2 * i * c + k, left,
                   given(a->gamma, k, left, 1) * dhx + given(a->beta, k, left, 0) * dh);
            store1(dss + (2 * i + 1) * c + k, left, dh);
        }
        const vf g = load1(s->g + k, left);
        store1(s->f0 + k, left, g * dh);
        store1(s->f1 + k, left, g * dhx);
    }
    for (int64_t from = 0; from < c; from += per) {
        float f0 = 0, f1 = 0;
        for (int64_t k = from; k < from + per; k++) {
            f0 += s->f0[k];
            f1 += s->f1[k];
        }
        f0 *= norm * s->rstd[from];
        f1 *= norm * s->rstd[from];
        for (int64_t k = from; k < from + per; k++) {
            s->f0[k] = f0;
            s->f1[k] = f1;
        }
    }
    for (int64_t k = 0; k < c; k += W) {
        const int64_t left = c - k;
        const vf f0 = load1(s->f0 + k, left), f1 = load1(s->f1 + k, left);
        const vf rstd = load1(s->rstd + k, left), e = load1(s->g + k, left) * rstd;
        store1(s->e + k, left, e);
        store1(s->u + k, left, rstd * f1);
        store1(s->w + k, left, load1(s->shift + k, left) * f1 + f0);
        if (dadd)
            store1(dadd + i * c + k, left,
                   e * load1(s->dh + k, left) + f1 * load1(s->xh + k, left) + f0 * (float)a->hw);
    }
}

INLINE void grad_image(const few_gn_args *a, bool bf, bool silu, int64_t i, view v,
                       const float *stats, const void *dy, void *dx, float *dgamma, float *dbeta,
                       float *dadd, float *dss, const gn_work *s)
{
    const int64_t c = a->c, at = i * a->hw * c, per = c / a->groups;
    for (int64_t g = 0; g < a->groups; g++)
        for (int64_t k = g * per; k < (g + 1) * per; k++) {
            s->shift[k] = -stats[2 * (i * a->groups + g)];
            s->rstd[k] = stats[2 * (i * a->groups + g) + 1];
        }
    for (int64_t k = 0; k < c; k += W) {
        const int64_t left = c - k;
        const vf rstd = load1(s->rstd + k, left);
        const vf shift =
            (load1(s->shift + k, left) + given(a->add ? a->add + i * c : NULL, k, left, 0)) * rstd;
        vf g, b;
        affine_of(a, i, k, left, &g, &b);
        store1(s->shift + k, left, shift);
        store1(s->g + k, left, g);
        store1(s->p + k, left, rstd);
        store1(s->q + k, left, shift);
        store1(s->a + k, left, g * rstd);
        store1(s->b + k, left, g * shift + b);
    }
    float *const before[] = { s->p, s->q, s->a, s->b };
    for (int k = 0; k < 4; k++)
        to_columns(bf, before[k], c, v.width);

    int64_t j = 0;
    for (; j + 2 * W <= v.width; j += 2 * W)
        reduce(bf, silu, a->x, dy, dx, at, v, j, 2 * W, s);
    if (j < v.width)
        reduce(bf, silu, a->x, dy, dx, at, v, j, v.width - j, s);

    float *const sums[] = { s->dh, s->dhx, s->xh }, *const after[] = { s->e, s->u, s->w };
    for (int k = 0; k < 3; k++)
        sum_pixels(v.width, c, sums[k]);
    spread(a, i, s, dgamma, dbeta, dadd, dss);
    if (!dx)
        return;
    for (int k = 0; k < 3; k++)
        to_columns(bf, after[k], c, v.width);
    for (int64_t r = 0; r < v.rows; r++) {
        const int64_t row = at + r * v.width;
        for (j = 0; j + 2 * W <= v.width; j += 2 * W)
            apply_grad(bf, silu, a->x, dy, dx, row, j, 2 * W, s);
        if (j < v.width)
            apply_grad(bf, silu, a->x, dy, dx, row, j, v.width - j, s);
    }
}

static void group_norm_grad(const few_gn_args *a, const float *stats, const void *dy, void *dx,
                            float *dgamma, float *dbeta, float *dadd, float *dss, float *scratch)
{
    const view v = make_view(a->hw, a->c);
    float wide[GN_WORK * GN_WIDE];
    float *work[GN_WORK];
    for (int k = 0; k < GN_WORK; k++)
        work[k] = (v.width > a->c ? wide : scratch) + k * v.width;
    gn_work s;
    memcpy(&s, work, sizeof s);
    for (int64_t i = 0; i < a->n; i++)
        if (a->bf && a->silu)
            grad_image(a, true, true, i, v, stats, dy, dx, dgamma, dbeta, dadd, dss, &s);
        else if (a->bf)
            grad_image(a, true, false, i, v, stats, dy, dx, dgamma, dbeta, dadd, dss, &s);
        else if (a->silu)
            grad_image(a, false, true, i, v, stats, dy, dx, dgamma, dbeta, dadd, dss, &s);
        else
            grad_image(a, false, false, i, v, stats, dy, dx, dgamma, dbeta, dadd, dss, &s);
}

/* Group normalisation, channels last, with scale, shift, conditioning and SiLU; and its gradient.
 *
 * With u = x + add, xh = (u - mean) rstd, h = G xh + B where G = gamma (1 + s) and
 * B = beta (1 + s) + t, everything on the way from x to h is one multiply-add per channel, and so
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

/* An image as rows of `width` columns. When c is not a multiple of 2 W, several pixels make a row
 * where that helps: column j then belongs to channel j % c. */
typedef struct view {
    int64_t rows, width;
} view;

static view make_view(int64_t hw, int64_t c)
{
    view v = { hw, c };
    while (v.width % (2 * W) && v.rows % 2 == 0 && 2 * v.width <= GN_WIDE) {
        v.rows /= 2;
        v.width *= 2;
    }
    return v.width % (2 * W) ? (view){ hw, c } : v;
}

INLINE pair axpb(pair a, pair x, pair b)
{
    return (pair){ a.lo * x.lo + b.lo, a.hi * x.hi + b.hi };
}

/* ---- forward --------------------------------------------------------------------------------*/

/* Means and sums of squared deviations of 2 W columns. */
INLINE void moments(bool bf, const void *x, int64_t at, view v, int64_t j, int64_t left,
                    float *mean, float *square)
{
    const int64_t first = at + j, quarter = v.rows / 4 * v.width;
    pair shift = load(bf, x, first, left);
    for (int k = 1; k < 4; k++) {
        const pair p = load(bf, x, first + k * quarter, left);
        shift.lo += p.lo;
        shift.hi += p.hi;
    }
    shift.lo *= 0.25f;
    shift.hi *= 0.25f;

    pair s = { splat(0), splat(0) }, q = s;
    for (int64_t r = 0; r < v.rows; r += GN_ROWS) {
        const int64_t end = r + GN_ROWS < v.rows ? r + GN_ROWS : v.rows;
        pair s1 = { splat(0), splat(0) }, q1 = s1;
        for (int64_t k = r; k < end; k++) {
            const pair p = load(bf, x, first + k * v.width, left);
            const vf lo = p.lo - shift.lo, hi = p.hi - shift.hi;
            s1.lo += lo;
            s1.hi += hi;
            q1.lo += lo * lo;
            q1.hi += hi * hi;
        }
        s.lo += s1.lo;
        s.hi += s1.hi;
        q.lo += q1.lo;
        q.hi += q1.hi;
    }
    const float n = 1 / (float)v.rows;
    const pair m = { s.lo * n, s.hi * n };
    store_f32(bf, mean, j, left, (pair){ shift.lo + m.lo, shift.hi + m.hi });
    store_f32(bf, square, j, left, (pair){ q.lo - s.lo * m.lo, q.hi - s.hi * m.hi });
}

/* y = h or silu(h), h = a x + b, for 2 W columns. */
INLINE void apply(bool bf, bool silu, const void *x, void *y, int64_t at, view v, int64_t j,
                  int64_t left, const float *a, const float *b)
{
    const pair ca = load_f32(bf, a, j, left), cb = load_f32(bf, b, j, left);
    for (int64_t k = 0; k < v.rows; k++) {
        const int64_t i = at + k * v.width + j;
        const pair h = axpb(ca, load(bf, x, i, left), cb);
        store(bf, y, i, left, silu ? silu2(bf, h) : h);
    }
}

/* G and B of image i, channel k. */
INLINE void affine_of(const few_gn_args *a, int64_t i, int64_t k, float *g, float *b)
{
    *g = a->gamma ? a->gamma[k] : 1;
    *b = a->beta ? a->beta[k] : 0;
    if (a->ss) {
        const float s = 1 + a->ss[2 * i * a->c + k];
        *g *= s;
        *b = *b * s + a->ss[(2 * i + 1) * a->c + k];
    }
}

static inline float add_of(const few_gn_args *a, int64_t i, int64_t k)
{
    return a->add ? a->add[i * a->c + k] : 0;
}

/* Mean and 1/deviation of group g from the columns' means and squares. */
static void join(const few_gn_args *a, view v, int64_t i, int64_t g, const float *mean,
                 const float *square, float *group_mean, float *group_rstd)
{
    const int64_t per = a->c / a->groups, from = g * per;
    const double columns = (double)(per * (v.width / a->c));
    double m = 0, q = 0;
    for (int64_t j = from; j < v.width; j += a->c)
        for (int64_t k = 0; k < per; k++)
            m += (double)mean[j + k] + (double)add_of(a, i, from + k);
    m /= columns;
    for (int64_t j = from; j < v.width; j += a->c)
        for (int64_t k = 0; k < per; k++) {
            const double d = (double)mean[j + k] + (double)add_of(a, i, from + k) - m;
            q += (double)square[j + k] + (double)v.rows * d * d;
        }
    *group_mean = (float)m;
    *group_rstd = (float)(1 / sqrt(q / (columns * (double)v.rows) + (double)a->eps));
}

INLINE void norm_image(const few_gn_args *a, bool bf, bool silu, int64_t i, view v, void *y,
                       float *stats, float *scratch)
{
    const int64_t at = i * a->hw * a->c, per = a->c / a->groups;
    float *mean = scratch, *square = mean + v.width, *ca = square + v.width, *cb = ca + v.width;

    int64_t j = 0;
    for (; j + 2 * W <= v.width; j += 2 * W)
        moments(bf, a->x, at, v, j, 2 * W, mean, square);
    if (j < v.width)
        moments(bf, a->x, at, v, j, v.width - j, mean, square);

    for (int64_t g = 0; g < a->groups; g++) {
        float m, r;
        join(a, v, i, g, mean, square, &m, &r);
        if (stats) {
            stats[2 * (i * a->groups + g)] = m;
            stats[2 * (i * a->groups + g) + 1] = r;
        }
        for (int64_t k = g * per; k < (g + 1) * per; k++) {
            float scale, shift;
            affine_of(a, i, k, &scale, &shift);
            ca[k] = scale * r;
            cb[k] = (add_of(a, i, k) - m) * ca[k] + shift;
        }
    }
    for (int64_t k = a->c; k < v.width; k++) {
        ca[k] = ca[k - a->c];
        cb[k] = cb[k - a->c];
    }

    for (j = 0; j + 2 * W <= v.width; j += 2 * W)
        apply(bf, silu, a->x, y, at, v, j, 2 * W, ca, cb);
    if (j < v.width)
        apply(bf, silu, a->x, y, at, v, j, v.width - j, ca, cb);
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

/* By column: xh = p x + q, h = a x + b; sums of dh, dh xh and xh; dx = e dh + (u x + w). */
typedef struct columns {
    float *p, *q, *a, *b, *dh, *dhx, *xh, *e, *u, *w;
} columns;

INLINE void reduce(bool bf, bool silu, const void *x, const void *dy, int64_t at, view v, int64_t j,
                   int64_t left, const columns *c)
{
    const pair p = load_f32(bf, c->p, j, left), q = load_f32(bf, c->q, j, left);
    const pair a = load_f32(bf, c->a, j, left), b = load_f32(bf, c->b, j, left);
    const pair zero = { splat(0), splat(0) };
    pair s0 = zero, s1 = zero, s2 = zero;
    for (int64_t r = 0; r < v.rows; r += GN_ROWS) {
        const int64_t end = r + GN_ROWS < v.rows ? r + GN_ROWS : v.rows;
        pair t0 = zero, t1 = zero, t2 = zero;
        for (int64_t k = r; k < end; k++) {
            const int64_t i = at + k * v.width + j;
            const pair in = load(bf, x, i, left), xh = axpb(p, in, q);
            const pair g = load(bf, dy, i, left), dh = silu ? silu_grad2(bf, axpb(a, in, b), g) : g;
            t0.lo += dh.lo;
            t0.hi += dh.hi;
            t1 = axpb(dh, xh, t1);
            t2.lo += xh.lo;
            t2.hi += xh.hi;
        }
        s0.lo += t0.lo;
        s0.hi += t0.hi;
        s1.lo += t1.lo;
        s1.hi += t1.hi;
        s2.lo += t2.lo;
        s2.hi += t2.hi;
    }
    store_f32(bf, c->dh, j, left, s0);
    store_f32(bf, c->dhx, j, left, s1);
    store_f32(bf, c->xh, j, left, s2);
}

INLINE void apply_grad(bool bf, bool silu, const void *x, const void *dy, void *dx, int64_t at,
                       view v, int64_t j, int64_t left, const columns *c)
{
    const pair a = load_f32(bf, c->a, j, left), b = load_f32(bf, c->b, j, left);
    const pair e = load_f32(bf, c->e, j, left);
    const pair u = load_f32(bf, c->u, j, left), w = load_f32(bf, c->w, j, left);
    for (int64_t k = 0; k < v.rows; k++) {
        const int64_t i = at + k * v.width + j;
        const pair in = load(bf, x, i, left);
        const pair g = load(bf, dy, i, left), dh = silu ? silu_grad2(bf, axpb(a, in, b), g) : g;
        store(bf, dx, i, left, axpb(e, dh, axpb(u, in, w)));
    }
}

/* What becomes of the sums of image i: the gradients by channel, and e, u, w. */
static void spread(const few_gn_args *a, view v, int64_t i, const float *stats, const columns *s,
                   float *dgamma, float *dbeta, float *dadd, float *dss)
{
    const int64_t c = a->c, per = c / a->groups;
    const float count = (float)(a->hw * per);
    for (int64_t k = c; k < v.width; k++) {
        s->dh[k % c] += s->dh[k];
        s->dhx[k % c] += s->dhx[k];
        s->xh[k % c] += s->xh[k];
    }
    for (int64_t g = 0; g < a->groups; g++) {
        const float rstd = stats[2 * (i * a->groups + g) + 1];
        float m0 = 0, m1 = 0;
        for (int64_t k = g * per; k < (g + 1) * per; k++) {
            const float gamma = a->gamma ? a->gamma[k] : 1, beta = a->beta ? a->beta[k] : 0;
            const float scale = a->ss ? 1 + a->ss[2 * i * c + k] : 1;
            if (dgamma)
                dgamma[k] = (i ? dgamma[k] : 0) + scale * s->dhx[k];
            if (dbeta)
                dbeta[k] = (i ? dbeta[k] : 0) + scale * s->dh[k];
            if (dss) {
                dss[2 * i * c + k] = gamma * s->dhx[k] + beta * s->dh[k];
                dss[(2 * i + 1) * c + k] = s->dh[k];
            }
            m0 += gamma * scale * s->dh[k];
            m1 += gamma * scale * s->dhx[k];
        }
        const float f0 = -rstd * m0 / count, f1 = -rstd * m1 / count;
        for (int64_t k = g * per; k < (g + 1) * per; k++) {
            s->e[k] = s->a[k]; /* G rstd */
            s->u[k] = s->p[k] * f1;
            s->w[k] = s->q[k] * f1 + f0;
            if (dadd)
                dadd[i * c + k] = s->e[k] * s->dh[k] + f1 * s->xh[k] + f0 * (float)a->hw;
        }
    }
    for (int64_t k = c; k < v.width; k++) {
        s->e[k] = s->e[k - c];
        s->u[k] = s->u[k - c];
        s->w[k] = s->w[k - c];
    }
}

INLINE void grad_image(const few_gn_args *a, bool bf, bool silu, int64_t i, view v,
                       const float *stats, const void *dy, void *dx, float *dgamma, float *dbeta,
                       float *dadd, float *dss, const columns *s)
{
    const int64_t at = i * a->hw * a->c, per = a->c / a->groups;
    for (int64_t k = 0; k < a->c; k++) {
        const float *st = stats + 2 * (i * a->groups + k / per);
        float scale, shift;
        affine_of(a, i, k, &scale, &shift);
        s->p[k] = st[1];
        s->q[k] = (add_of(a, i, k) - st[0]) * st[1];
        s->a[k] = scale * st[1];
        s->b[k] = scale * s->q[k] + shift;
    }
    for (int64_t k = a->c; k < v.width; k++) {
        s->p[k] = s->p[k - a->c];
        s->q[k] = s->q[k - a->c];
        s->a[k] = s->a[k - a->c];
        s->b[k] = s->b[k - a->c];
    }

    int64_t j = 0;
    for (; j + 2 * W <= v.width; j += 2 * W)
        reduce(bf, silu, a->x, dy, at, v, j, 2 * W, s);
    if (j < v.width)
        reduce(bf, silu, a->x, dy, at, v, j, v.width - j, s);

    spread(a, v, i, stats, s, dgamma, dbeta, dadd, dss);
    if (!dx)
        return;
    for (j = 0; j + 2 * W <= v.width; j += 2 * W)
        apply_grad(bf, silu, a->x, dy, dx, at, v, j, 2 * W, s);
    if (j < v.width)
        apply_grad(bf, silu, a->x, dy, dx, at, v, j, v.width - j, s);
}

static void group_norm_grad(const few_gn_args *a, const float *stats, const void *dy, void *dx,
                            float *dgamma, float *dbeta, float *dadd, float *dss, float *scratch)
{
    const view v = make_view(a->hw, a->c);
    float wide[10 * GN_WIDE];
    float *f = v.width > a->c ? wide : scratch;
    const int64_t n = v.width;
    const columns s = { f,         f + n,     f + 2 * n, f + 3 * n, f + 4 * n,
                        f + 5 * n, f + 6 * n, f + 7 * n, f + 8 * n, f + 9 * n };
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

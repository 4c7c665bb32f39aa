/* Images, channels last: joining and cutting channels, resampling by two, sums over pixels.
 *
 * Sums over many rows keep a block of 2 W columns in registers, in f32 for SUM_ROWS rows and
 * then added to the total, so that long sums lose little. */
#include "cpu/simd/vec.h"

#define SUM_ROWS 64

static void concat(int elem, void *y, const void *a, const void *b, int64_t rows, int64_t ca,
                   int64_t cb)
{
    const size_t na = (size_t)(ca * elem), nb = (size_t)(cb * elem);
    char *to = y;
    const char *p = a, *q = b;
    for (int64_t r = 0; r < rows; r++, to += na + nb, p += na, q += nb) {
        memcpy(to, p, na);
        memcpy(to + na, q, nb);
    }
}

static void slice(int elem, void *y, const void *x, int64_t rows, int64_t c, int64_t from,
                  int64_t count)
{
    const size_t row = (size_t)(c * elem), part = (size_t)(count * elem);
    const char *p = (const char *)x + from * elem;
    char *to = y;
    for (int64_t r = 0; r < rows; r++, to += part, p += row)
        memcpy(to, p, part);
}

INLINE void upsample2_body(bool bf, void *y, const void *x, float scale, int64_t n, int64_t h,
                           int64_t w, int64_t c)
{
    const size_t line = (size_t)(2 * w * c) * (bf ? 2 : 4);
    for (int64_t r = 0; r < n * h; r++) {
        const int64_t to = r * 4 * w * c;
        for (int64_t k = 0; k < w; k++)
            for (int64_t j = 0; j < c; j += 2 * W) {
                const pair v = load(bf, x, (r * w + k) * c + j, c - j);
                const pair s = { v.lo * scale, v.hi * scale };
                store(bf, y, to + 2 * k * c + j, c - j, s);
                store(bf, y, to + (2 * k + 1) * c + j, c - j, s);
            }
        char *first = (char *)y + (size_t)to * (bf ? 2 : 4);
        memcpy(first + line, first, line);
    }
}

static void upsample2(bool bf, void *y, const void *x, float scale, int64_t n, int64_t h, int64_t w,
                      int64_t c)
{
    if (bf)
        upsample2_body(true, y, x, scale, n, h, w, c);
    else
        upsample2_body(false, y, x, scale, n, h, w, c);
}

INLINE void pool2_body(bool bf, void *y, const void *x, float scale, int64_t n, int64_t h,
                       int64_t w, int64_t c)
{
    for (int64_t r = 0; r < n * h; r++)
        for (int64_t k = 0; k < w; k++) {
            const int64_t from = r * 4 * w * c + 2 * k * c, below = from + 2 * w * c;
            for (int64_t j = 0; j < c; j += 2 * W) {
                const int64_t left = c - j;
                const pair p = load(bf, x, from + j, left), q = load(bf, x, from + c + j, left);
                const pair s = load(bf, x, below + j, left), t = load(bf, x, below + c + j, left);
                store(bf, y, (r * w + k) * c + j, left,
                      (pair){ (p.lo + q.lo + (s.lo + t.lo)) * scale,
                              (p.hi + q.hi + (s.hi + t.hi)) * scale });
            }
        }
}

static void pool2(bool bf, void *y, const void *x, float scale, int64_t n, int64_t h, int64_t w,
                  int64_t c)
{
    if (bf)
        pool2_body(true, y, x, scale, n, h, w, c);
    else
        pool2_body(false, y, x, scale, n, h, w, c);
}

/* y[c] = scale * sum of x[rows,c] from element `at`. */
INLINE void sum_rows(bool bf, float *y, const void *x, float scale, int64_t at, int64_t rows,
                     int64_t c)
{
    for (int64_t j = 0; j < c; j += 2 * W) {
        const int64_t left = c - j;
        pair total = { splat(0), splat(0) };
        for (int64_t r = 0; r < rows; r += SUM_ROWS) {
            pair s = { splat(0), splat(0) };
            for (int64_t k = r; k < rows && k < r + SUM_ROWS; k++) {
                const pair v = load(bf, x, at + k * c + j, left);
                s.lo += v.lo;
                s.hi += v.hi;
            }
            total.lo += s.lo;
            total.hi += s.hi;
        }
        store_f32(bf, y, j, left, (pair){ total.lo * scale, total.hi * scale });
    }
}

static void mean_hw(bool bf, float *y, const void *x, float scale, int64_t n, int64_t hw, int64_t c)
{
    for (int64_t i = 0; i < n; i++)
        if (bf)
            sum_rows(true, y + i * c, x, scale, i * hw * c, hw, c);
        else
            sum_rows(false, y + i * c, x, scale, i * hw * c, hw, c);
}

static void column_sum(bool bf, float *db, const void *dy, int64_t rows, int64_t cols)
{
    mean_hw(bf, db, dy, 1, 1, rows, cols);
}

INLINE void broadcast_hw_body(bool bf, void *y, const float *x, float scale, int64_t n, int64_t hw,
                              int64_t c)
{
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < c; j += 2 * W) {
            const pair v = load_f32(bf, x, i * c + j, c - j);
            const pair s = { v.lo * scale, v.hi * scale };
            for (int64_t k = 0; k < hw; k++)
                store(bf, y, (i * hw + k) * c + j, c - j, s);
        }
}

static void broadcast_hw(bool bf, void *y, const float *x, float scale, int64_t n, int64_t hw,
                         int64_t c)
{
    if (bf)
        broadcast_hw_body(true, y, x, scale, n, hw, c);
    else
        broadcast_hw_body(false, y, x, scale, n, hw, c);
}

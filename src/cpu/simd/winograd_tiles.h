/* The transforms of Winograd's convolution F(4x4, 3x3) (cpu/winograd.h): tiles to and from the 36
 * positions in which they are multiplied (simd/winograd.c). Points 0, 1, -1, 2, -2 and infinity
 * (Lavin and Gray, arXiv:1509.09308). Everything is f32 in between; channels come in multiples of
 * 32, so nothing here has a rest but the number of tiles.
 *
 * Each transform is one of columns and one of rows, PANEL channels at a time, with the numbers
 * between them in the first cache. Loops over rows are not unrolled: 36 addresses would not fit
 * registers. Images come from far, so the pixels that the next row of tiles reads are asked for;
 * those that are written are not, which costs more than it gains. */
#ifndef FEW_CPU_SIMD_WINOGRAD_TILES_H
#define FEW_CPU_SIMD_WINOGRAD_TILES_H

#include "cpu/simd/product.h"

/* ---- the six transforms of a row ------------------------------------------------------------*/

/* B^T d: what the products want of 6 pixels. */
INLINE void pixels_to(const vf d[6], vf out[6])
{
    const vf a = d[4] - 4.0f * d[2], b = d[3] - 4.0f * d[1];
    const vf e = d[4] - d[2], f = 2.0f * (d[3] - d[1]);
    out[0] = 4.0f * d[0] - 5.0f * d[2] + d[4];
    out[1] = a + b;
    out[2] = a - b;
    out[3] = e + f;
    out[4] = e - f;
    out[5] = 4.0f * d[1] - 5.0f * d[3] + d[5];
}

/* A^T m: 4 pixels of what the products gave. */
INLINE void products_to(const vf m[6], vf out[4])
{
    const vf s1 = m[1] + m[2], d1 = m[1] - m[2], s2 = m[3] + m[4], d2 = m[3] - m[4];
    out[0] = m[0] + s1 + s2;
    out[1] = d1 + 2.0f * d2;
    out[2] = s1 + 4.0f * s2;
    out[3] = d1 + 8.0f * d2 + m[5];
}

/* A y: its transpose, for gradients of 4 pixels. */
INLINE void gradients_to(const vf y[4], vf out[6])
{
    const vf even = y[0] + y[2], odd = y[1] + y[3];
    const vf even2 = y[0] + 4.0f * y[2], odd2 = 2.0f * y[1] + 8.0f * y[3];
    out[0] = y[0];
    out[1] = even + odd;
    out[2] = even - odd;
    out[3] = even2 + odd2;
    out[4] = even2 - odd2;
    out[5] = y[3];
}

/* G g: 3 weights. */
INLINE void weights_to(const vf g[3], vf out[6])
{
    const vf s = (g[0] + g[2]) * (-1.0f / 6), m = g[1] * (1.0f / 6);
    const vf s2 = g[0] * (1.0f / 24) + g[2] * (1.0f / 6), m2 = g[1] * (1.0f / 12);
    out[0] = g[0] * 0.25f;
    out[1] = s - m;
    out[2] = s + m;
    out[3] = s2 + m2;
    out[4] = s2 - m2;
    out[5] = g[2];
}

/* G^T u: its transpose, for gradients of weights. */
INLINE void weights_from(const vf u[6], vf out[3])
{
    const vf s = (u[1] + u[2]) * (1.0f / 6), t = u[3] + u[4];
    out[0] = u[0] * 0.25f - s + t * (1.0f / 24);
    out[1] = (u[2] - u[1]) * (1.0f / 6) + (u[3] - u[4]) * (1.0f / 12);
    out[2] = t * (1.0f / 6) - s + u[5];
}

INLINE void store_six(float *to, int64_t apart, const vf v[6])
{
#pragma GCC unroll 6
    for (int k = 0; k < 6; k++)
        store_w(to, k * apart, v[k]);
}

/* ---- where tiles are ------------------------------------------------------------------------*/

typedef struct tile_at {
    int64_t image, y, x; /* of a tile's first pixel */
} tile_at;

INLINE tile_at place_of(const few_wino_tiles *t, int64_t tile)
{
    const int64_t across = (t->w + 3) / 4, down = (t->h + 3) / 4;
    const int64_t row = tile / across, image = row / down;
    return (tile_at){ image, 4 * (row - image * down), 4 * (tile - row * across) };
}

INLINE tile_at next_place(const few_wino_tiles *t, tile_at p)
{
    p.x += 4;
    if (p.x < t->w)
        return p;
    p.x = 0;
    p.y += 4;
    if (p.y < t->h)
        return p;
    return (tile_at){ p.image + 1, 0, 0 };
}

INLINE int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

INLINE int64_t pixel_bytes(bool bf, const few_wino_tiles *t)
{
    return t->c * (bf ? 2 : 4);
}

/* Bytes from the first pixel of the images to that of a place. */
INLINE int64_t bytes_to(bool bf, const few_wino_tiles *t, tile_at p)
{
    return ((p.image * t->h + p.y) * t->w + p.x) * pixel_bytes(bf, t);
}

/* ---- pixels: B^T d B ------------------------------------------------------------------------*/

enum { ACROSS = 8, COLUMNS = 4 * ACROSS + 2 }; /* tiles of a row at a time, and their pixels */

typedef float columns[6][COLUMNS][PANEL];

/* A row of tiles: its six rows of pixels from column `begin` of `columns` to end - 1, `step` bytes
 * apart; rows outside of the image are zeros, with a step of 0. */
typedef struct band {
    const char *row[6];
    int64_t step[6], begin, end, ahead; /* bytes to the next row of tiles */
    bool inside;                        /* all rows are */
} band;

/* Of n tiles from the one at p on. */
INLINE band band_of(bool bf, const few_wino_tiles *t, const void *x, tile_at p, int64_t n)
{
    const int64_t px = pixel_bytes(bf, t), row = t->w * px;
    band b = { .begin = p.x == 0, .ahead = 4 * row, .inside = true };
    b.end = least(4 * n + 2, t->w - p.x + 1);
    const int64_t first = bytes_to(bf, t, p) - row + (b.begin - 1) * px;
    for (int r = 0; r < 6; r++) {
        const bool in = (uint64_t)(p.y - 1 + r) < (uint64_t)t->h;
        b.row[r] = in ? (const char *)x + first + r * row : (const char *)t->zeros;
        b.step[r] = in ? px : 0;
        b.inside &= in;
    }
    return b;
}

/* B^T of its columns, from channel c on. */
INLINE void input_columns(bool bf, const band *b, const int64_t step[6], int64_t c, columns u)
{
    const char *p[6];
    for (int r = 0; r < 6; r++)
        p[r] = b->row[r] + c * (bf ? 2 : 4);
    for (int64_t s = b->begin; s < b->end; s++) {
        vf lo[6], hi[6], out[6];
#pragma GCC unroll 6
        for (int r = 0; r < 6; r++) {
            const pair q = load(bf, p[r], 0, PANEL);
            if (r >= 2)
                __builtin_prefetch(p[r] + b->ahead, 0, 2);
            lo[r] = q.lo;
            hi[r] = q.hi;
            p[r] += step[r];
        }
        pixels_to(lo, out);
        store_six(u[0][s], COLUMNS * PANEL, out);
        pixels_to(hi, out);
        store_six(u[0][s] + W, COLUMNS * PANEL, out);
    }
}

/* That times B, to n tiles `next` apart. */
INLINE void input_rows(columns u, int64_t n, float *v, int64_t stride, int64_t next)
{
    for (int64_t k = 0; k < n; k++, v += next) {
        float *to = v;
#pragma GCC unroll 1
        for (int r = 0; r < 6; r++, to += 6 * stride)
#pragma GCC unroll 2
            for (int half = 0; half < PANEL; half += W) {
                vf d[6], out[6];
#pragma GCC unroll 6
                for (int s = 0; s < 6; s++)
                    d[s] = load_w(u[r][4 * k + s], half);
                pixels_to(d, out);
                store_six(to + half, stride, out);
            }
    }
}

INLINE void wino_input_body(bool bf, const few_wino_tiles *t, const void *x, float *v)
{
    const int64_t px = pixel_bytes(bf, t);
    _Alignas(64) columns u;
    for (int64_t k = 0, n; k < t->count; k += n) {
        const tile_at p = place_of(t, t->from + k);
        n = least(least((t->w - p.x + 3) / 4, ACROSS), t->count - k);
        const band b = band_of(bf, t, x, p, n);
        for (int r = 0; r < 6; r++) {
            memset(u[r][0], 0, (size_t)b.begin * sizeof u[r][0]);
            memset(u[r][b.end], 0, (size_t)(4 * n + 2 - b.end) * sizeof u[r][0]);
        }
        for (int64_t c = 0; c < t->c; c += PANEL) {
            if (b.inside)
                input_columns(bf, &b, (int64_t[6]){ px, px, px, px, px, px }, c, u);
            else
                input_columns(bf, &b, b.step, c, u);
            input_rows(u, n, v + k * t->c + c, t->stride, t->c);
        }
    }
}

static void wino_input(const few_wino_tiles *t, const void *x, float *v)
{
    if (t->bf)
        wino_input_body(true, t, x, v);
    else
        wino_input_body(false, t, x, v);
}

/* ---- gradients of pixels: A y A^T -----------------------------------------------------------*/

/* Of one tile, of which rows x cols pixels are in the image, `row` bytes and `px` bytes apart. */
INLINE void grad_tile(bool bf, const char *from, int64_t row, int64_t px, int64_t rows,
                      int64_t cols, float *to, int64_t stride)
{
    _Alignas(64) float half[6][4][PANEL];
#pragma GCC unroll 1
    for (int s = 0; s < 4; s++, from += px) {
        vf lo[4], hi[4], out[6];
#pragma GCC unroll 4
        for (int r = 0; r < 4; r++) {
            const pair q = r < rows && s < cols ? load(bf, from + r * row, 0, PANEL)
                                                : (pair){ splat(0), splat(0) };
            __builtin_prefetch(from + (r + 4) * row, 0, 2);
            lo[r] = q.lo;
            hi[r] = q.hi;
        }
        gradients_to(lo, out);
        store_six(half[0][s], 4 * PANEL, out);
        gradients_to(hi, out);
        store_six(half[0][s] + W, 4 * PANEL, out);
    }
#pragma GCC unroll 1
    for (int r = 0; r < 6; r++, to += 6 * stride)
#pragma GCC unroll 2
        for (int h = 0; h < PANEL; h += W) {
            vf d[4], out[6];
#pragma GCC unroll 4
            for (int s = 0; s < 4; s++)
                d[s] = load_w(half[r][s], h);
            gradients_to(d, out);
            store_six(to + h, stride, out);
        }
}

/* Where both transforms add up all four there is the sum of the tile's pixels. */
enum { SUM = 1 * 6 + 1 };

INLINE void wino_grad_body(bool bf, const few_wino_tiles *t, const void *dy, float *dm, float *db)
{
    const int64_t px = pixel_bytes(bf, t), row = t->w * px;
    tile_at p = place_of(t, t->from);
    for (int64_t k = 0; k < t->count; k++, p = next_place(t, p)) {
        const int64_t rows = least(t->h - p.y, 4), cols = least(t->w - p.x, 4);
        const char *from = (const char *)dy + bytes_to(bf, t, p);
        for (int64_t c = 0; c < t->c; c += PANEL, from += PANEL * (bf ? 2 : 4)) {
            float *to = dm + c * t->count + k * PANEL;
            if (rows == 4 && cols == 4)
                grad_tile(bf, from, row, px, 4, 4, to, t->stride);
            else
                grad_tile(bf, from, row, px, rows, cols, to, t->stride);
            for (int h = 0; db && h < PANEL; h += W)
                store_w(db, c + h, load_w(db, c + h) + load_w(to, SUM * t->stride + h));
        }
    }
}

static void wino_grad(const few_wino_tiles *t, const void *dy, float *dm, float *db)
{
    if (t->bf)
        wino_grad_body(true, t, dy, dm, db);
    else
        wino_grad_body(false, t, dy, dm, db);
}

/* ---- products to pixels: A^T m A ------------------------------------------------------------*/

/* Of one tile, plus b, plus what is at res unless that is NULL: rows x cols pixels. */
INLINE void output_tile(bool bf, const float *from, int64_t stride, pair b, const char *res,
                        char *to, int64_t row, int64_t px, int64_t rows, int64_t cols)
{
    _Alignas(64) float half[4][6][PANEL];
#pragma GCC unroll 1
    for (int s = 0; s < 6; s++, from += stride)
#pragma GCC unroll 2
        for (int h = 0; h < PANEL; h += W) {
            vf d[6], out[4];
#pragma GCC unroll 6
            for (int r = 0; r < 6; r++)
                d[r] = load_w(from, r * 6 * stride + h);
            products_to(d, out);
#pragma GCC unroll 4
            for (int r = 0; r < 4; r++)
                store_w(half[r][s], h, out[r]);
        }
#pragma GCC unroll 1
    for (int64_t r = 0; r < rows; r++, to += row, res += res ? row : 0) {
        vf d[6], lo[4], hi[4];
#pragma GCC unroll 6
        for (int s = 0; s < 6; s++)
            d[s] = load_w(half[r][s], 0);
        products_to(d, lo);
#pragma GCC unroll 6
        for (int s = 0; s < 6; s++)
            d[s] = load_w(half[r][s], W);
        products_to(d, hi);
#pragma GCC unroll 4
        for (int s = 0; s < 4; s++) {
            if (s >= cols)
                break;
            pair v = { lo[s] + b.lo, hi[s] + b.hi };
            if (res) {
                const pair q = load(bf, res + s * px, 0, PANEL);
                __builtin_prefetch(res + s * px + 4 * row, 0, 2);
                v = (pair){ v.lo + q.lo, v.hi + q.hi };
            }
            store(bf, to + s * px, 0, PANEL, v);
        }
    }
}

INLINE void wino_output_body(bool bf, const few_wino_tiles *t, const float *m, const float *bias,
                             const void *res, void *y)
{
    const int64_t size = bf ? 2 : 4, px = pixel_bytes(bf, t), row = t->w * px;
    tile_at p = place_of(t, t->from);
    for (int64_t k = 0; k < t->count; k++, p = next_place(t, p)) {
        const int64_t rows = least(t->h - p.y, 4), cols = least(t->w - p.x, 4);
        for (int64_t c = t->begin; c < t->end; c += PANEL) {
            const pair b = bias ? load_f32(bf, bias, c, PANEL) : (pair){ splat(0), splat(0) };
            const float *from = m + c * t->count + k * PANEL;
            const int64_t at = bytes_to(bf, t, p) + c * size;
            char *to = (char *)y + at;
            const char *add = res ? (const char *)res + at : NULL;
            if (rows == 4 && cols == 4)
                output_tile(bf, from, t->stride, b, add, to, row, px, 4, 4);
            else
                output_tile(bf, from, t->stride, b, add, to, row, px, rows, cols);
        }
    }
}

static void wino_output(const few_wino_tiles *t, const float *m, const float *bias, const void *res,
                        void *y)
{
    if (t->bf)
        wino_output_body(true, t, m, bias, res, y);
    else
        wino_output_body(false, t, m, bias, res, y);
}

#endif

/* 3x3 convolutions with few channels on one side: the first layer of a network and the last. The
 * images pass through three rows at a time, in f32 with a border of zeros, which stay in the first
 * cache; a number is summed in one order, whatever is computed beside it. */
#include "cpu/simd.h"
#include "cpu/simd/vec.h"

enum { ENDS_PIXELS = 8 }; /* that share a load of weights */

/* Rows of an image under way: pixel -1 first, zeros behind the last. */
typedef struct ends_rows {
    const void *x;
    bool bf;
    int64_t h, w, c, pitch, size; /* size: floats of a row */
    float *slot, *zero;           /* [3][size], [size] */
} ends_rows;

static int64_t ends_row_size(int64_t w, int64_t pitch)
{
    return (w + 2 + ENDS_PIXELS) * pitch;
}

static ends_rows ends_begin(const void *x, bool bf, int64_t h, int64_t w, int64_t c, int64_t pitch,
                            float *scratch)
{
    const int64_t size = ends_row_size(w, pitch);
    memset(scratch, 0, (size_t)(4 * size) * sizeof *scratch);
    return (ends_rows){ x, bf, h, w, c, pitch, size, scratch, scratch + 3 * size };
}

/* n elements from the i-th on, as f32. */
static void ends_copy(float *to, bool bf, const void *x, int64_t i, int64_t n)
{
    for (int64_t k = 0; k < n; k += 2 * W)
        store_f32(bf, to, k, n - k, load(bf, x, i + k, n - k));
}

static float *ends_load(const ends_rows *r, int64_t row)
{
    float *to = r->slot + row % 3 * r->size;
    if (r->c == r->pitch) {
        ends_copy(to + r->pitch, r->bf, r->x, row * r->w * r->c, r->w * r->c);
        return to;
    }
    for (int64_t p = 0; p < r->w; p++)
        ends_copy(to + (p + 1) * r->pitch, r->bf, r->x, (row * r->w + p) * r->c, r->c);
    return to;
}

/* The rows above, at and below a row (counted over all images); `first`: of these calls. */
static void ends_three(const ends_rows *r, int64_t row, bool first, const float *v[3])
{
    const int64_t y = row % r->h;
    if (first || y == 0)
        ends_load(r, row);
    if (first && y > 0)
        ends_load(r, row - 1);
    v[0] = y > 0 ? r->slot + (row - 1) % 3 * r->size : r->zero;
    v[1] = r->slot + row % 3 * r->size;
    v[2] = y + 1 < r->h ? ends_load(r, row + 1) : r->zero;
}

static int64_t ends_floats(const few_ends_args *a)
{
    const int64_t wide = few_ends_pitch(a->wide);
    return 4 * ends_row_size(a->w, wide) + (a->w + 1) * wide + a->w * a->narrow;
}

static void ends_store(bool bf, void *y, int64_t i, const float *from, int64_t n)
{
    for (int64_t k = 0; k < n; k += 2 * W)
        store(bf, y, i + k, n - k, load_f32(bf, from, k, n - k));
}

/* ---- many channels to few -------------------------------------------------------------------*/

/* Channel o of ENDS_PIXELS pixels; w [9][pitch]. */
INLINE void gather_pixels(const float *const row[3], int64_t at, int64_t pitch, const float *w,
                          float bias, float *y, int64_t step, int64_t left)
{
    vf acc[ENDS_PIXELS];
#pragma GCC unroll 8
    for (int p = 0; p < ENDS_PIXELS; p++)
        acc[p] = splat(0);
    for (int tap = 0; tap < 9; tap++) {
        const float *x = row[tap / 3] + at + tap % 3 * pitch;
        for (int64_t k = 0; k < pitch; k += W) {
            const vf v = load1(w + tap * pitch + k, W);
#pragma GCC unroll 8
            for (int p = 0; p < ENDS_PIXELS; p++)
                acc[p] += v * load1(x + p * pitch + k, W);
        }
    }
    for (int p = 0; p < ENDS_PIXELS && p < left; p++)
        y[p * step] = sum(acc[p]) + bias;
}

static void ends_gather(const few_ends_args *a, const void *x, const float *w, const float *bias,
                        void *y, float *scratch)
{
    const int64_t pitch = few_ends_pitch(a->wide), n = a->narrow;
    const ends_rows r = ends_begin(x, a->wide_bf, a->h, a->w, a->wide, pitch, scratch);
    float *line = scratch + 4 * r.size;
    for (int64_t row = a->from; row < a->to; row++) {
        const float *v[3];
        ends_three(&r, row, row == a->from, v);
        for (int64_t o = 0; o < n; o++)
            for (int64_t p = 0; p < a->w; p += ENDS_PIXELS)
                gather_pixels(v, p * pitch, pitch, w + o * 9 * pitch, bias ? bias[o] : 0,
                              line + p * n + o, n, a->w - p);
        ends_store(a->narrow_bf, y, row * a->w * n, line, a->w * n);
    }
}

/* ---- few channels to many -------------------------------------------------------------------*/

/* `vectors` of the result for `pixels`. */
INLINE void spread_pixels(int pixels, int vectors, const float *const row[3], int64_t n,
                          const float *w, int64_t pitch, const float *bias, float *y)
{
    vf acc[2][4];
    for (int p = 0; p < pixels; p++)
        for (int j = 0; j < vectors; j++)
            acc[p][j] = load1(bias + j * W, W);
    for (int tap = 0; tap < 9; tap++) {
        const float *x = row[tap / 3] + tap % 3 * n;
        for (int64_t i = 0; i < n; i++)
            for (int j = 0; j < vectors; j++) {
                const vf v = load1(w + (i * 9 + tap) * pitch + j * W, W);
                for (int p = 0; p < pixels; p++)
                    acc[p][j] += v * x[p * n + i];
            }
    }
    for (int p = 0; p < pixels; p++)
        for (int j = 0; j < vectors; j++)
            store1(y + p * pitch + j * W, W, acc[p][j]);
}

INLINE void spread_row(int vectors, const float *const row[3], const few_ends_args *a,
                       const float *w, int64_t pitch, const float *bias, float *y)
{
    const int64_t n = a->narrow;
    int64_t p = 0;
    for (; p + 2 <= a->w; p += 2) {
        const float *const at[3] = { row[0] + p * n, row[1] + p * n, row[2] + p * n };
        spread_pixels(2, vectors, at, n, w, pitch, bias, y + p * pitch);
    }
    if (p < a->w) {
        const float *const at[3] = { row[0] + p * n, row[1] + p * n, row[2] + p * n };
        spread_pixels(1, vectors, at, n, w, pitch, bias, y + p * pitch);
    }
}

static void ends_spread(const few_ends_args *a, const void *x, const float *w, const float *bias,
                        void *y, float *scratch)
{
    const int64_t pitch = few_ends_pitch(a->wide), n = a->narrow;
    const ends_rows r = ends_begin(x, a->narrow_bf, a->h, a->w, n, n, scratch);
    float *own = scratch + 4 * r.size, *b = own + a->w * pitch;
    const bool direct = !a->wide_bf && a->wide == pitch;
    memset(b, 0, (size_t)pitch * sizeof *b);
    if (bias)
        memcpy(b, bias, (size_t)a->wide * sizeof *b);
    for (int64_t row = a->from; row < a->to; row++) {
        const float *v[3];
        float *line = direct ? (float *)y + row * a->w * pitch : own;
        ends_three(&r, row, row == a->from, v);
        int64_t j = 0;
        for (; j + 4 * W <= pitch; j += 4 * W)
            spread_row(4, v, a, w + j, pitch, b + j, line + j);
        for (; j < pitch; j += W)
            spread_row(1, v, a, w + j, pitch, b + j, line + j);
        if (!direct && a->wide == pitch)
            ends_store(a->wide_bf, y, row * a->w * pitch, line, a->w * pitch);
        for (int64_t p = 0; p < a->w && a->wide != pitch; p++)
            ends_store(a->wide_bf, y, (row * a->w + p) * a->wide, line + p * pitch, a->wide);
    }
}

/* ---- gradients of the weights ---------------------------------------------------------------*/

/* One row: acc [3][pitch] += the sum over pixels of x at them and beside them, times dy. */
INLINE void weigh_row(int vectors, const float *x, int64_t pitch, const float *dy, int64_t n,
                      int64_t pixels, float *acc)
{
    vf s[3][4];
    for (int k = 0; k < 3; k++)
        for (int j = 0; j < vectors; j++)
            s[k][j] = load1(acc + k * pitch + j * W, W);
    for (int64_t p = 0; p < pixels; p++) {
        const float g = dy[p * n];
        for (int k = 0; k < 3; k++)
            for (int j = 0; j < vectors; j++)
                s[k][j] += load1(x + (p + k) * pitch + j * W, W) * g;
    }
    for (int k = 0; k < 3; k++)
        for (int j = 0; j < vectors; j++)
            store1(acc + k * pitch + j * W, W, s[k][j]);
}

static void ends_weights(const few_ends_args *a, const void *wide, const void *narrow, float *acc,
                         float *scratch)
{
    const int64_t pitch = few_ends_pitch(a->wide), n = a->narrow;
    const ends_rows r = ends_begin(wide, a->wide_bf, a->h, a->w, a->wide, pitch, scratch);
    float *line = scratch + 4 * r.size;
    for (int64_t row = a->from; row < a->to; row++) {
        const float *v[3];
        ends_three(&r, row, row == a->from, v);
        ends_copy(line, a->narrow_bf, narrow, row * a->w * n, a->w * n);
        for (int64_t i = 0; i < n; i++)
            for (int t = 0; t < 3; t++) {
                float *to = acc + (i * 9 + 3 * t) * pitch;
                int64_t j = 0;
                for (; j + 4 * W <= pitch; j += 4 * W)
                    weigh_row(4, v[t] + j, pitch, line + i, n, a->w, to + j);
                for (; j < pitch; j += W)
                    weigh_row(1, v[t] + j, pitch, line + i, n, a->w, to + j);
            }
    }
}

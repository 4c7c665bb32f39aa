/* The parts of Winograd's convolution F(4x4, 3x3) (cpu/winograd.h): tiles to and from the 36
 * positions in which they are multiplied, and the products. Points 0, 1, -1, 2, -2 and infinity
 * (Lavin and Gray, arXiv:1509.09308). Everything is f32 in between; channels come in multiples of
 * 32, so nothing here has a rest but the number of tiles. */
#include "cpu/simd/product.h"

enum { SOME = 8 }; /* weights of a column whose 36 positions the first cache holds */

/* ---- channels -------------------------------------------------------------------------------*/

/* Of f32 images channels are multiplied in their order. Of bf16 images every 2 W of them, a pair
 * (vec.h), come as the even and then the odd ones, which is how they are read and written without
 * shuffles; weights and their gradients follow. */
static int64_t wino_channel(bool bf, int64_t place)
{
    const int64_t block = place / PANEL * PANEL, q = place % PANEL;
    return !bf ? place : block + (q < W ? 2 * q : 2 * (q - W) + 1);
}

/* The vector `second` of the pair at element c. */
INLINE vf half_pair(bool bf, bool second, const void *p, int64_t c)
{
    if (!bf)
        return load_w(p, c + (second ? W : 0));
    vu w;
    memcpy(&w, (const uint16_t *)p + c, sizeof w);
    const pair v = unpack(w);
    return second ? v.hi : v.lo;
}

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

/* ---- tiles ----------------------------------------------------------------------------------*/

/* Where the size x size pixels from `before` above and left of a tile on begin; those outside of
 * the image are `zeros`, or NULL. */
INLINE void find_pixels(const few_wino_tiles *t, const void *x, int64_t tile, int size, int before,
                        const void *zeros, char *at[])
{
    const int64_t across = (t->w + 3) / 4, down = (t->h + 3) / 4, bytes = t->c * (t->bf ? 2 : 4);
    const int64_t row = tile / across, image = row / down;
    const int64_t y0 = 4 * (row - image * down) - before, x0 = 4 * (tile - row * across) - before;
    char *from = (char *)(uintptr_t)x + ((image * t->h + y0) * t->w + x0) * bytes;
    for (int r = 0; r < size; r++, from += t->w * bytes)
        for (int s = 0; s < size; s++) {
            const bool inside =
                (uint64_t)(y0 + r) < (uint64_t)t->h && (uint64_t)(x0 + s) < (uint64_t)t->w;
            at[r * size + s] = inside ? from + s * bytes : (char *)(uintptr_t)zeros;
        }
}

typedef char *const *pixels; /* of find_pixels */

INLINE void store_row(float *to, int64_t stride, int r, const vf d[6])
{
    vf out[6];
    pixels_to(d, out);
#pragma GCC unroll 6
    for (int s = 0; s < 6; s++)
        store_w(to, (r * 6 + s) * stride, out[s]);
}

/* pixels_to by columns, then by rows, in pairs of rows that share their parts: so few numbers live
 * at a time that they stay in registers, for the price of reading pixels more than once. */
INLINE void input_tile(bool bf, bool second, pixels p, int64_t c, float *to, int64_t stride)
{
#define AT(r, s) half_pair(bf, second, p[(r)*6 + (s)], c)
    vf u[6], v[6];
#pragma GCC unroll 6
    for (int s = 0; s < 6; s++) {
        const vf a = AT(4, s) - 4.0f * AT(2, s), b = AT(3, s) - 4.0f * AT(1, s);
        u[s] = a + b;
        v[s] = a - b;
    }
    store_row(to, stride, 1, u);
    store_row(to, stride, 2, v);
#pragma GCC unroll 6
    for (int s = 0; s < 6; s++) {
        const vf a = AT(4, s) - AT(2, s), b = 2.0f * (AT(3, s) - AT(1, s));
        u[s] = a + b;
        v[s] = a - b;
    }
    store_row(to, stride, 3, u);
    store_row(to, stride, 4, v);
#pragma GCC unroll 6
    for (int s = 0; s < 6; s++)
        u[s] = 4.0f * AT(0, s) - 5.0f * AT(2, s) + AT(4, s);
    store_row(to, stride, 0, u);
#pragma GCC unroll 6
    for (int s = 0; s < 6; s++)
        v[s] = 4.0f * AT(1, s) - 5.0f * AT(3, s) + AT(5, s);
    store_row(to, stride, 5, v);
#undef AT
}

INLINE void wino_input_body(bool bf, const few_wino_tiles *t, const void *x, float *v)
{
    for (int64_t k = 0; k < t->count; k++) {
        char *p[36];
        find_pixels(t, x, t->from + k, 6, 1, t->zeros, p);
        for (int64_t c = 0; c < t->c; c += PANEL) {
            input_tile(bf, false, p, c, v + k * t->c + c, t->stride);
            input_tile(bf, true, p, c, v + k * t->c + c + W, t->stride);
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

INLINE void grad_tile(bool bf, bool second, pixels p, int64_t c, float *to, int64_t stride)
{
    vf half[4][6];
#pragma GCC unroll 4
    for (int s = 0; s < 4; s++) {
        vf d[4];
#pragma GCC unroll 4
        for (int r = 0; r < 4; r++)
            d[r] = half_pair(bf, second, p[r * 4 + s], c);
        gradients_to(d, half[s]);
    }
#pragma GCC unroll 6
    for (int r = 0; r < 6; r++) {
        const vf d[4] = { half[0][r], half[1][r], half[2][r], half[3][r] };
        vf out[6];
        gradients_to(d, out);
#pragma GCC unroll 6
        for (int s = 0; s < 6; s++)
            store_w(to, (r * 6 + s) * stride, out[s]);
    }
}

INLINE void wino_grad_body(bool bf, const few_wino_tiles *t, const void *dy, float *dm)
{
    for (int64_t k = 0; k < t->count; k++) {
        char *p[16];
        find_pixels(t, dy, t->from + k, 4, 0, t->zeros, p);
        for (int64_t c = 0; c < t->c; c += PANEL) {
            float *to = dm + c * t->count + k * PANEL;
            grad_tile(bf, false, p, c, to, t->stride);
            grad_tile(bf, true, p, c, to + W, t->stride);
        }
    }
}

static void wino_grad(const few_wino_tiles *t, const void *dy, float *dm)
{
    if (t->bf)
        wino_grad_body(true, t, dy, dm);
    else
        wino_grad_body(false, t, dy, dm);
}

INLINE void output_tile(const float *from, int64_t stride, vf out[16])
{
    vf half[6][4];
#pragma GCC unroll 6
    for (int s = 0; s < 6; s++) {
        vf d[6];
#pragma GCC unroll 6
        for (int r = 0; r < 6; r++)
            d[r] = load_w(from, (r * 6 + s) * stride);
        products_to(d, half[s]);
    }
#pragma GCC unroll 4
    for (int r = 0; r < 4; r++) {
        const vf d[6] = { half[0][r], half[1][r], half[2][r], half[3][r], half[4][r], half[5][r] };
        products_to(d, out + 4 * r);
    }
}

INLINE void wino_output_body(bool bf, const few_wino_tiles *t, const float *m, const float *bias,
                             const void *res, void *y)
{
    for (int64_t k = 0; k < t->count; k++) {
        char *p[16], *q[16];
        find_pixels(t, y, t->from + k, 4, 0, NULL, p);
        if (res)
            find_pixels(t, res, t->from + k, 4, 0, NULL, q);
        for (int64_t c = t->begin; c < t->end; c += PANEL) {
            const pair b = bias ? load_f32(bf, bias, c, PANEL) : (pair){ splat(0), splat(0) };
            vf lo[16], hi[16];
            const float *from = m + c * t->count + k * PANEL;
            output_tile(from, t->stride, lo);
            output_tile(from + W, t->stride, hi);
            for (int i = 0; i < 16; i++) {
                if (!p[i])
                    continue;
                pair v = { lo[i] + b.lo, hi[i] + b.hi };
                if (res) {
                    const pair r = load(bf, q[i], c, PANEL);
                    v = (pair){ v.lo + r.lo, v.hi + r.hi };
                }
                store(bf, p[i], c, PANEL, v);
            }
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

/* ---- weights --------------------------------------------------------------------------------*/

/* Weights of a convolution as its products want them: of `rows` channels, for `cols`. */
typedef struct weights {
    const float *w; /* [o,c,3,3] */
    int64_t o, c, rows, cols;
    bool transposed, bf;
} weights;

/* The panel from column p on, n rows from `row` on: g[n][9][PANEL]. */
static void gather(float *g, const weights *x, int64_t p, int64_t row, int64_t n)
{
    for (int64_t at = 0; at < n; at++)
        for (int64_t l = 0; l < PANEL; l++) {
            const int64_t r = wino_channel(x->bf, row + at), col = wino_channel(x->bf, p + l);
            const float *from = x->w + (x->transposed ? r * x->c + col : col * x->c + r) * 9;
            for (int k = 0; k < 9; k++) /* transposed: turned by half */
                g[(at * 9 + k) * PANEL + l] = from[x->transposed ? 8 - k : k];
        }
}

static weights weights_of(const float *w, int64_t o, int64_t c, bool transposed, bool bf)
{
    return (weights){ .w = w,
                      .o = o,
                      .c = c,
                      .rows = transposed ? o : c,
                      .cols = transposed ? c : o,
                      .transposed = transposed,
                      .bf = bf };
}

/* g[k/PANEL][c][9][PANEL] */
static void wino_gather(float *g, const float *w, int64_t o, int64_t c, bool transposed, bool bf)
{
    const weights x = weights_of(w, o, c, transposed, bf);
    for (int64_t p = 0; p < x.cols; p += PANEL)
        gather(g + p * x.rows * 9, &x, p, 0, x.rows);
}

/* u[36][n][PANEL] = G g G^T of g[n][9][PANEL]. Not to be inlined or cloned: the same bits wherever
 * it is called from. */
__attribute__((noipa)) static void expand(float *u, int64_t stride, const float *g, int64_t n)
{
    for (int64_t i = 0; i < n * PANEL; i += W) {
        const float *from = g + i / PANEL * PANEL * 9 + i % PANEL;
        vf half[3][6];
#pragma GCC unroll 3
        for (int s = 0; s < 3; s++)
            weights_to((vf[3]){ load_w(from, s * PANEL), load_w(from, (3 + s) * PANEL),
                                load_w(from, (6 + s) * PANEL) },
                       half[s]);
#pragma GCC unroll 6
        for (int k = 0; k < 6; k++) {
            vf out[6];
            weights_to((vf[3]){ half[0][k], half[1][k], half[2][k] }, out);
#pragma GCC unroll 6
            for (int s = 0; s < 6; s++)
                store_w(u, (k * 6 + s) * stride + i, out[s]);
        }
    }
}

/* Floats from one position of u to the next. */
static int64_t apart(int64_t rows, int64_t cols)
{
    return rows * cols + FEW_WINO_APART;
}

/* u[36][k/PANEL][c][PANEL]: a panel is read from front to end. */
static void wino_weights(float *u, const float *w, int64_t o, int64_t c, bool transposed, bool bf)
{
    const weights x = weights_of(w, o, c, transposed, bf);
    float g[SOME * 9 * PANEL];
    for (int64_t p = 0; p < x.cols; p += PANEL)
        for (int64_t row = 0; row < x.rows; row += SOME) {
            gather(g, &x, p, row, SOME);
            expand(u + p * x.rows + row * PANEL, apart(x.rows, x.cols), g, SOME);
        }
}

/* acc[9][c][o] (+)= G^T du G, du[36][c][o]. */
static void wino_weights_grad(float *acc, const float *du, int64_t count, bool first)
{
    for (int64_t i = 0; i < count; i += W) {
        vf half[6][3];
        for (int s = 0; s < 6; s++) {
            vf d[6];
            for (int r = 0; r < 6; r++)
                d[r] = load_w(du, (r * 6 + s) * count + i);
            weights_from(d, half[s]);
        }
        for (int r = 0; r < 3; r++) {
            const vf d[6] = {
                half[0][r], half[1][r], half[2][r], half[3][r], half[4][r], half[5][r]
            };
            vf out[3];
            weights_from(d, out);
            for (int s = 0; s < 3; s++) {
                const int64_t at = (r * 3 + s) * count + i;
                store_w(acc, at, first ? out[s] : out[s] + load_w(acc, at));
            }
        }
    }
}

/* ---- products -------------------------------------------------------------------------------*/

/* m[36][o/PANEL][tiles][PANEL] = v[36][tiles][c] u for the channels begin..end-1 of o. */
static void wino_multiply(float *m, int64_t m_stride, const float *v, int64_t v_stride,
                          const float *u, int64_t tiles, int64_t c, int64_t o, int64_t begin,
                          int64_t end)
{
    for (int p = 0; p < 36; p++)
        for (int64_t q = begin; q < end; q += PANEL)
            products(2, m + p * m_stride + q * tiles, PANEL,
                     (factors){ .a = v + p * v_stride,
                                .row = c,
                                .step = 1,
                                .b = u + p * apart(c, o) + q * c,
                                .ldb = PANEL,
                                .n = c },
                     tiles);
}

/* The same of weights that are transformed `some` rows at a time, into u in the second cache. The
 * next ones are asked for meanwhile, into the same: in the first they would be in the way. */
static void wino_multiply_nine(float *m, int64_t m_stride, const float *v, int64_t v_stride,
                               const float *g, float *u, int64_t some, int64_t tiles, int64_t c,
                               int64_t begin, int64_t end)
{
    enum { LINE = 16 }; /* floats of a cache line */
    for (int64_t q = begin; q < end; q += PANEL)
        for (int64_t k = 0; k < c; k += some) {
            const float *from = g + (q * c + k * PANEL) * 9;
            const int64_t n = c - k < some ? c - k : some, lines = n * 9 * PANEL / LINE / 36;
            expand(u, apart(some, PANEL), from, n);
            for (int p = 0; p < 36; p++) {
                for (int i = 0; i < lines; i++)
                    __builtin_prefetch(from + n * 9 * PANEL + (p * lines + i) * LINE, 0, 2);
                products(2, m + p * m_stride + q * tiles, PANEL,
                         (factors){ .a = v + p * v_stride + k,
                                    .row = c,
                                    .step = 1,
                                    .b = u + p * apart(some, PANEL),
                                    .ldb = PANEL,
                                    .n = n,
                                    .add = k > 0 },
                         tiles);
            }
        }
}

/* du[36][c][o] (+)= v^T dm, dm as m above. */
static void wino_multiply_grad(float *du, const float *v, int64_t v_stride, const float *dm,
                               int64_t m_stride, int64_t tiles, int64_t c, int64_t o, bool first)
{
    for (int p = 0; p < 36; p++)
        for (int64_t q = 0; q < o; q += PANEL)
            for (int64_t r = 0; r < c; r += PRODUCT_ROWS)
                product(PRODUCT_ROWS, 2, du + (p * c + r) * o + q, o,
                        (factors){ .a = v + p * v_stride + r,
                                   .row = 1,
                                   .step = c,
                                   .b = dm + p * m_stride + q * tiles,
                                   .ldb = PANEL,
                                   .n = tiles,
                                   .add = !first });
}

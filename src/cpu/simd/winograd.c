/* The products of Winograd's convolution (cpu/winograd.h) and its weights; tiles come from and go
 * to simd/winograd_tiles.h. */
#include "cpu/simd/winograd_tiles.h"

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

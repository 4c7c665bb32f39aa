/* Attention of one head of one image and its gradient, in f32 whatever the type. Queries come in
 * blocks whose scores stay in the second cache from the first product to the last.
 *
 *   s = q k^T, p = exp(scale s - lse), o = p v
 *   dp = do v^T, delta = rowsum(do * o), ds = scale p (dp - delta)
 *   dv = p^T do, dq = ds k, dk = ds^T q
 *
 * Rows of tokens are copied to f32 first, filled up with zeros to whole panels. Two of the products
 * want tokens as columns: they are turned once. */
#include "cpu/simd/product.h"

enum {
    QUERIES = 64,
    APART = 16
}; /* APART floats between rows: else they share few sets of a cache */

static int64_t panels(int64_t n)
{
    return (n + PANEL - 1) / PANEL * PANEL;
}

static int64_t attention_floats(const few_attn_args *a, bool backward)
{
    const int64_t rows = a->s * (panels(a->d) + APART), turned = panels(a->s) * panels(a->d),
                  block = QUERIES * (panels(a->d) + APART),
                  scores = QUERIES * (panels(a->s) + APART);
    return backward ? 3 * rows + 2 * turned + 3 * block + 2 * scores + QUERIES
                    : 2 * rows + turned + block + scores;
}

/* n floats of scratch. */
static float *carve(float **scratch, int64_t n)
{
    float *p = *scratch;
    *scratch += n;
    return p;
}

static void *element(bool bf, const void *p, int64_t i)
{
    return (char *)(uintptr_t)p + i * (bf ? 2 : 4);
}

/* ---- tokens ---------------------------------------------------------------------------------*/

INLINE void get_rows_body(bool bf, float *to, int64_t ld, const void *from, int64_t stride,
                          int64_t rows, int64_t d)
{
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < d; i += PANEL)
            store_f32(bf, to, r * ld + i, PANEL, load(bf, from, r * stride + i, d - i));
}

/* to[rows][ld] = from, whose rows are `stride` elements apart. */
static void get_rows(bool bf, float *to, int64_t ld, const void *from, int64_t stride, int64_t rows,
                     int64_t d)
{
    if (bf)
        get_rows_body(true, to, ld, from, stride, rows, d);
    else
        get_rows_body(false, to, ld, from, stride, rows, d);
}

INLINE void put_rows_body(bool bf, void *to, int64_t stride, const float *from, int64_t ld,
                          int64_t rows, int64_t d)
{
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < d; i += PANEL)
            store(bf, to, r * stride + i, d - i, load_f32(bf, from, r * ld + i, PANEL));
}

static void put_rows(bool bf, void *to, int64_t stride, const float *from, int64_t ld, int64_t rows,
                     int64_t d)
{
    if (bf)
        put_rows_body(true, to, stride, from, ld, rows, d);
    else
        put_rows_body(false, to, stride, from, ld, rows, d);
}

/* W by W numbers with rows and columns exchanged. A zip of vectors half of them apart moves the
 * highest bit of a number's place to the lowest; after log2 W rounds row and column have changed
 * places. */
INLINE void turn_square(vf x[W])
{
#pragma GCC unroll 4
    for (int round = 1; round < W; round *= 2) {
        vf y[W];
#pragma GCC unroll 8
        for (int i = 0; i < W / 2; i++) {
            const pair p = zip((pair){ x[i], x[i + W / 2] });
            y[2 * i] = p.lo;
            y[2 * i + 1] = p.hi;
        }
#pragma GCC unroll 16
        for (int i = 0; i < W; i++)
            x[i] = y[i];
    }
}

/* to[token/PANEL][d][PANEL] of rows of tokens; those beyond the last are zeros. */
static void turn(float *to, const float *rows, int64_t ld, int64_t tokens, int64_t d)
{
    const int64_t panel = PANEL * panels(d);
    for (int64_t t = 0; t < panels(tokens); t += W)
        for (int64_t j = 0; j < d; j += W) {
            vf x[W];
#pragma GCC unroll 16
            for (int i = 0; i < W; i++)
                x[i] = t + i < tokens ? load_w(rows, (t + i) * ld + j) : splat(0);
            turn_square(x);
#pragma GCC unroll 16
            for (int i = 0; i < W; i++)
                store_w(to + t / PANEL * panel, (j + i) * PANEL + t % PANEL, x[i]);
        }
}

/* ---- products -------------------------------------------------------------------------------*/

/* m[rows][cols], a panel of columns after the other; b's panels are `panel` apart. */
INLINE void multiply_body(float *m, int64_t ldm, factors x, int64_t panel, int64_t rows,
                          int64_t cols)
{
    for (int64_t c = 0; c < cols; c += PANEL, x.b += panel)
        if (cols - c > W)
            products(2, m + c, ldm, x, rows);
        else
            products(1, m + c, ldm, x, rows);
}

static void multiply(float *m, int64_t ldm, factors x, int64_t panel, int64_t rows, int64_t cols)
{
    if (x.step == 1) {
        x.step = 1;
        multiply_body(m, ldm, x, panel, rows, cols);
    } else {
        x.row = 1;
        multiply_body(m, ldm, x, panel, rows, cols);
    }
}

/* m[rows][cols] = a[rows][n] b^T, b turned. */
static void by_turned(float *m, int64_t ldm, const float *a, int64_t lda, const float *b,
                      int64_t rows, int64_t cols, int64_t n)
{
    multiply(m, ldm, (factors){ .a = a, .row = lda, .step = 1, .b = b, .ldb = PANEL, .n = n },
             PANEL * panels(n), rows, cols);
}

/* m[rows][cols] = a[rows][n] b[n][cols] */
static void by_rows(float *m, int64_t ldm, const float *a, int64_t lda, const float *b, int64_t ldb,
                    int64_t rows, int64_t cols, int64_t n)
{
    multiply(m, ldm, (factors){ .a = a, .row = lda, .step = 1, .b = b, .ldb = ldb, .n = n }, PANEL,
             rows, cols);
}

/* m[rows][cols] (+)= a^T b, a[n][rows], b[n][cols] */
static void of_turned(float *m, int64_t ldm, const float *a, int64_t lda, const float *b,
                      int64_t ldb, int64_t rows, int64_t cols, int64_t n, bool add)
{
    multiply(m, ldm,
             (factors){ .a = a, .row = 1, .step = lda, .b = b, .ldb = ldb, .n = n, .add = add },
             PANEL, rows, cols);
}

/* ---- attention ------------------------------------------------------------------------------*/

static void attention(const few_attn_args *a, const void *q, const void *k, const void *v, void *o,
                      float *lse, float *scratch)
{
    const int64_t s = a->s, d = a->d, ld = panels(d) + APART, lds = panels(s) + APART;
    float *keys = carve(&scratch, s * ld), *values = carve(&scratch, s * ld);
    float *turned = carve(&scratch, panels(s) * panels(d));
    float *rows = carve(&scratch, QUERIES * ld), *scores = carve(&scratch, QUERIES * lds);
    get_rows(a->bf, keys, ld, k, a->stride, s, d);
    get_rows(a->bf, values, ld, v, a->stride, s, d);
    turn(turned, keys, ld, s, d);
    for (int64_t t = 0; t < a->t; t += QUERIES) {
        const int64_t n = a->t - t < QUERIES ? a->t - t : QUERIES;
        get_rows(a->bf, rows, ld, element(a->bf, q, t * a->stride), a->stride, n, d);
        by_turned(scores, lds, rows, ld, turned, n, s, d);
        for (int64_t r = 0; r < n; r++)
            softmax_rows(scores + r * lds, NULL, lse ? lse + t + r : NULL, a->scale, 1, s);
        by_rows(rows, ld, scores, lds, values, ld, n, d, s);
        put_rows(a->bf, element(a->bf, o, t * a->stride), a->stride, rows, ld, n, d);
    }
}

static void attention_grad(const few_attn_args *a, const void *q, const void *k, const void *v,
                           const void *o, const float *lse, const void *dy, void *dq, void *dk,
                           void *dv, float *scratch)
{
    const int64_t s = a->s, d = a->d, ld = panels(d) + APART, lds = panels(s) + APART;
    float *keys = carve(&scratch, s * ld), *dkeys = carve(&scratch, s * ld);
    float *dvalues = carve(&scratch, s * ld);
    float *turned_keys = carve(&scratch, panels(s) * panels(d));
    float *turned_values = carve(&scratch, panels(s) * panels(d));
    float *queries = carve(&scratch, QUERIES * ld), *dout = carve(&scratch, QUERIES * ld);
    float *dqueries = carve(&scratch, QUERIES * ld);
    float *p = carve(&scratch, QUERIES * lds), *ds = carve(&scratch, QUERIES * lds);
    float *delta = carve(&scratch, QUERIES);
    get_rows(a->bf, dvalues, ld, v, a->stride, s, d);
    turn(turned_values, dvalues, ld, s, d);
    get_rows(a->bf, keys, ld, k, a->stride, s, d);
    turn(turned_keys, keys, ld, s, d);
    for (int64_t t = 0; t < a->t; t += QUERIES) {
        const int64_t n = a->t - t < QUERIES ? a->t - t : QUERIES, at = t * a->stride;
        get_rows(a->bf, queries, ld, element(a->bf, q, at), a->stride, n, d);
        get_rows(a->bf, dout, ld, element(a->bf, dy, at), a->stride, n, d);
        row_dot(a->bf, delta, element(a->bf, dy, at), element(a->bf, o, at), n, d, a->stride,
                a->stride);
        by_turned(p, lds, queries, ld, turned_keys, n, s, d);
        by_turned(ds, lds, dout, ld, turned_values, n, s, d);
        for (int64_t r = 0; r < n; r++)
            softmax_grad_rows(false, p + r * lds, ds + r * lds, lse + t + r, delta + r, a->scale,
                              p + r * lds, ds + r * lds, 1, s);
        if (dv)
            of_turned(dvalues, ld, p, lds, dout, ld, s, d, n, t > 0);
        if (dk)
            of_turned(dkeys, ld, ds, lds, queries, ld, s, d, n, t > 0);
        if (dq) {
            by_rows(dqueries, ld, ds, lds, keys, ld, n, d, s);
            put_rows(a->bf, element(a->bf, dq, at), a->stride, dqueries, ld, n, d);
        }
    }
    if (dv)
        put_rows(a->bf, dv, a->stride, dvalues, ld, s, d);
    if (dk)
        put_rows(a->bf, dk, a->stride, dkeys, ld, s, d);
}

/* Products of small matrices that are in a cache, as Winograd's convolution and attention have
 * them: a few rows times one or two vectors of columns, the sums in registers. A number of the
 * result is the sum in order of k, whatever is computed beside it. */
#ifndef FEW_CPU_SIMD_PRODUCT_H
#define FEW_CPU_SIMD_PRODUCT_H

#include "cpu/simd/vec.h"

enum {
    PANEL = 2 * W, /* columns of a product */
    PRODUCT_ROWS =
        W == 16 ? 8 : 4 /* its rows: with two vectors each they fill half the registers */
};

INLINE vf load_w(const float *p, int64_t i)
{
    vf v;
    memcpy(&v, p + i, sizeof v);
    return v;
}

INLINE void store_w(float *p, int64_t i, vf v)
{
    memcpy(p + i, &v, sizeof v);
}

/* What is summed: over k < n, a's element r row + k step times b's elements from k ldb on; to m, or
 * to m's elements added to them. */
typedef struct factors {
    const float *a, *b;
    int64_t row, step, ldb, n;
    bool add;
} factors;

/* m[rows][vecs W] */
INLINE void product(int rows, int vecs, float *m, int64_t ldm, factors x)
{
    vf sum[PRODUCT_ROWS][2];
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 2
        for (int c = 0; c < vecs; c++)
            sum[r][c] = x.add ? load_w(m, r * ldm + c * W) : opaque(splat(0));
    for (int64_t k = 0; k < x.n; k++) {
        vf b[2];
#pragma GCC unroll 2
        for (int c = 0; c < vecs; c++)
            b[c] = load_w(x.b, k * x.ldb + c * W);
#pragma GCC unroll 8
        for (int r = 0; r < rows; r++) {
            const vf a = splat(x.a[r * x.row + k * x.step]);
#pragma GCC unroll 2
            for (int c = 0; c < vecs; c++)
                sum[r][c] += a * b[c];
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 2
        for (int c = 0; c < vecs; c++)
            store_w(m, r * ldm + c * W, sum[r][c]);
}

INLINE factors rows_from(factors x, int64_t r)
{
    x.a += r * x.row;
    return x;
}

/* m[rows][vecs W] of any number of rows. */
INLINE void products(int vecs, float *m, int64_t ldm, factors x, int64_t rows)
{
    int64_t r = 0;
    for (; r + PRODUCT_ROWS <= rows; r += PRODUCT_ROWS)
        product(PRODUCT_ROWS, vecs, m + r * ldm, ldm, rows_from(x, r));
    if (PRODUCT_ROWS > 4 && r + 4 <= rows) {
        product(4, vecs, m + r * ldm, ldm, rows_from(x, r));
        r += 4;
    }
    if (r + 2 <= rows) {
        product(2, vecs, m + r * ldm, ldm, rows_from(x, r));
        r += 2;
    }
    if (r < rows)
        product(1, vecs, m + r * ldm, ldm, rows_from(x, r));
}

#endif

/* The arithmetic kernels, as a table of functions per instruction set.
 *
 * Every function is built from the same C (src/cpu/simd/NAME.c) for each instruction set. `bf`
 * tells whether "any" arrays (void *) hold bf16 (true) or f32. n is the batch, hw the pixels or
 * tokens of an image, c the channels (any number from 1). Arrays do not overlap unless said.
 * Sums are in f32 with several partial sums or in double; order fixed, so results repeat. */
#ifndef FEW_CPU_SIMD_H
#define FEW_CPU_SIMD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Group norm arguments; see few_group_norm in op/ops.h. gamma, beta, add, ss may be NULL. */
typedef struct few_gn_args {
    int64_t n, hw, c;
    int groups;
    bool silu, bf;
    float eps;
    const void *x;
    const float *gamma, *beta, *add, *ss;
} few_gn_args;

/* Attention of t queries to s keys in one head of one image, d channels wide; a token's are
 * `stride` elements behind the one before. See few_attention in op/ops.h; scale is 1 / sqrt(d). */
typedef struct few_attn_args {
    bool bf;
    int64_t t, s, d, stride;
    float scale;
} few_attn_args;

typedef struct few_adam_args {
    int64_t n;        /* elements, from a 16-element boundary */
    float *p, *m, *v; /* masters and moments, updated */
    const float *grad;
    float grad_scale; /* clipping factor */
    float lr, beta1, beta2, eps, weight_decay;
    float correct1, correct2; /* 1/(1-beta1^t), 1/(1-beta2^t) */
    float rectify;            /* Adam: 1. RAdam: r_t > 0, or 0: step with the plain momentum */
    int n_ema;
    float *const *ema;
    const float *ema_decay; /* effective decay of this step */
} few_adam_args;

/* Tiles from..from+count-1 of images [n,h,w,c], row by row; an image has (h+3)/4 rows of (w+3)/4,
 * each of 4x4 pixels. In the 36 positions of Winograd's convolution (cpu/winograd.h) pixels are
 * [36][count][c] with `stride` floats from one position to the next; products, and gradients of
 * the result, are in panels of P channels, [36][c/P][count][P], P two vectors. */
enum { FEW_WINO_APART = 16 }; /* floats, between arrays that may be a power of two long */
typedef struct few_wino_tiles {
    int64_t h, w, c, from, count, stride;
    int64_t begin, end; /* channels that are made of m; multiples of 32 */
    bool bf;            /* of the images */
    const float *zeros; /* [c] */
} few_wino_tiles;

/* A 3x3 convolution (stride 1, padding 1) between images of `wide` and of `narrow` channels, both
 * [h,w,channels]; rows from..to-1, counted over all images. Weights are [narrow][9][pitch] with
 * pitch = wide rounded up to a multiple of 16, zeros behind `wide`. */
typedef struct few_ends_args {
    int64_t h, w, wide, narrow, from, to;
    bool wide_bf, narrow_bf;
} few_ends_args;

static inline int64_t few_ends_pitch(int64_t wide)
{
    return (wide + 15) / 16 * 16;
}

typedef struct few_simd {
    const char *name; /* "portable", "avx2", "avx512" */

    void (*to_bf16)(uint16_t *dst, const float *src, int64_t n);
    void (*from_bf16)(float *dst, const uint16_t *src, int64_t n);

    /* y (type of x), stats[n,groups,2] (may be NULL). scratch: 4*c floats. */
    void (*group_norm)(const few_gn_args *a, void *y, float *stats, float *scratch);
    /* dx may be NULL; dgamma[c], dbeta[c], dadd[n,c], dss[n,2c] each may be NULL and are
     * overwritten. scratch: 16*c floats. */
    void (*group_norm_grad)(const few_gn_args *a, const float *stats, const void *dy, void *dx,
                            float *dgamma, float *dbeta, float *dadd, float *dss, float *scratch);

    void (*leaky_relu)(bool bf, void *y, const void *x, float slope, int64_t n);
    void (*leaky_relu_grad)(bool bf, void *dx, const void *x, const void *dy, float slope,
                            int64_t n);
    void (*silu)(bool bf, void *y, const void *x, int64_t n);
    void (*silu_grad)(bool bf, void *dx, const void *x, const void *dy, int64_t n);
    void (*add)(bool bf, void *y, const void *a, const void *b, int64_t n); /* y may be a */
    /* y[rows,out] = x[rows,in] w[out,in]^T + bias (may be NULL) for the outputs from..to-1. */
    void (*linear_rows)(float *y, const float *x, const float *w, const float *bias, int64_t rows,
                        int64_t in, int64_t out, int64_t from, int64_t to);
    void (*affine)(bool bf, void *y, const void *x, float a, float b, int64_t n); /* y may be x */
    void (*mul)(float *y, const float *a, const float *b, int64_t n);
    void (*div)(float *y, const float *a, const float *b, int64_t n);
    void (*sqrt)(float *y, const float *a, int64_t n);
    /* y[i,:] = sum_k c[k][i] x[k][i,:]; x[k] bf16 when bit k of bf is set; y bf16 when y_bf. */
    void (*lincomb)(void *y, bool y_bf, int terms, const void *const *x, unsigned bf,
                    const float *const *c, int64_t n, int64_t d);
    void (*mean_square)(bool bf, float *y, const void *x, int64_t n, int64_t d);
    void (*huber_mean)(bool bf, float *y, const void *x, float e, int64_t n, int64_t d);
    void (*huber_mean_grad)(bool bf, void *dx, const void *x, const float *dloss, float e,
                            int64_t n, int64_t d);
    void (*dequantize)(float *y, const uint8_t *x, int64_t n);

    /* Rows of S scores in place: p = exp(scale*s - lse), lse = log sum exp(scale*s).
     * out may be bf16 (then another array) or NULL for in place f32. */
    void (*softmax_rows)(float *s, void *out_bf16, float *lse, float scale, int64_t rows,
                         int64_t cols);
    /* ds = scale * p * (dp - delta[row]), with p = exp(scale*s - lse[row]) recomputed from s.
     * p_out and ds_out have type bf (may be NULL for p_out). */
    void (*softmax_grad_rows)(bool bf, const float *s, const float *dp, const float *lse,
                              const float *delta, float scale, void *p_out, void *ds_out,
                              int64_t rows, int64_t cols);
    /* delta[i] = sum_j a[i,j] b[i,j] over rows with the given strides (elements). */
    void (*row_dot)(bool bf, float *delta, const void *a, const void *b, int64_t rows, int64_t cols,
                    int64_t stride_a, int64_t stride_b);

    /* o [t,d] and lse [t] (may be NULL); dq, dk and dv (each may be NULL) of dy. scratch:
     * attention_floats. */
    int64_t (*attention_floats)(const few_attn_args *a, bool backward);
    void (*attention)(const few_attn_args *a, const void *q, const void *k, const void *v, void *o,
                      float *lse, float *scratch);
    void (*attention_grad)(const few_attn_args *a, const void *q, const void *k, const void *v,
                           const void *o, const float *lse, const void *dy, void *dq, void *dk,
                           void *dv, float *scratch);

    /* Images, channels last. */
    void (*concat)(int elem, void *y, const void *a, const void *b, int64_t rows, int64_t ca,
                   int64_t cb); /* elem: bytes of an element */
    void (*slice)(int elem, void *y, const void *x, int64_t rows, int64_t c, int64_t from,
                  int64_t count);
    void (*upsample2)(bool bf, void *y, const void *x, float scale, int64_t n, int64_t h, int64_t w,
                      int64_t c); /* h, w of x */
    void (*pool2)(bool bf, void *y, const void *x, float scale, int64_t n, int64_t h, int64_t w,
                  int64_t c); /* h, w of y */
    void (*mean_hw)(bool bf, float *y, const void *x, float scale, int64_t n, int64_t hw,
                    int64_t c);
    void (*broadcast_hw)(bool bf, void *y, const float *x, float scale, int64_t n, int64_t hw,
                         int64_t c);
    /* db[o] = sum over rows of dy[row,o]. */
    void (*column_sum)(bool bf, float *db, const void *dy, int64_t rows, int64_t cols);

    /* Philox (base/philox.h). rng: n rows of (seed lo, seed hi, step, sample); d elements each.
     * Normal numbers within 2e-6 relative (+1e-6) of few_philox_normal. */
    void (*noise)(float *y, const int32_t *rng, uint32_t purpose, int64_t n, int64_t d);
    void (*dropout)(bool bf, void *y, const void *x, const int32_t *rng, uint32_t purpose, float p,
                    int64_t n, int64_t d);

    /* The ends of a network: y (narrow) of x (wide), y (wide) of x (narrow), both + bias (may be
     * NULL); acc += the gradient of the first one's weights. scratch: ends_floats. */
    int64_t (*ends_floats)(const few_ends_args *a);
    void (*ends_gather)(const few_ends_args *a, const void *x, const float *w, const float *bias,
                        void *y, float *scratch);
    void (*ends_spread)(const few_ends_args *a, const void *x, const float *w, const float *bias,
                        void *y, float *scratch);
    void (*ends_weights)(const few_ends_args *a, const void *wide, const void *narrow, float *acc,
                         float *scratch);

    /* Sum of squares of the summed gradients, in double; and the update in one pass. */
    double (*grad_square)(const float *grad, int64_t n);
    void (*adam)(const few_adam_args *a);
    void (*accumulate)(float *y, const float *x, int64_t n); /* y += x */

    /* Winograd's convolution in parts; c and o are multiples of 32. Pixels outside of an image are
     * 0. v: the 6x6 pixels around each tile. m: products, to y + bias + res (both may be NULL). dm:
     * gradients of y; their sums over the tiles are added to db [o] unless that is NULL. */
    void (*wino_input)(const few_wino_tiles *t, const void *x, float *v);
    void (*wino_output)(const few_wino_tiles *t, const float *m, const float *bias, const void *res,
                        void *y);
    void (*wino_grad)(const few_wino_tiles *t, const void *dy, float *dm, float *db);
    /* The weights w [o,c,3,3], for products of tiles of c (or, for the gradient of the input,
     * transposed, of o) channels: u [36][c*o + FEW_WINO_APART] to be multiplied as they are, g
     * [9*c*o] to be transformed first. */
    void (*wino_weights)(float *u, const float *w, int64_t o, int64_t c, bool transposed, bool bf);
    void (*wino_gather)(float *g, const float *w, int64_t o, int64_t c, bool transposed, bool bf);
    /* Which channel is multiplied at a place: of bf16 images they are not in order, and neither are
     * those of m, dm, db, g, u, du and acc. */
    int64_t (*wino_channel)(bool bf, int64_t place);
    /* m = v u of the channels begin..end-1 of o; and, to the same bits, of g, transforming `some`
     * of the c channels at a time into u [36][32*some + FEW_WINO_APART]. */
    void (*wino_multiply)(float *m, int64_t m_stride, const float *v, int64_t v_stride,
                          const float *u, int64_t tiles, int64_t c, int64_t o, int64_t begin,
                          int64_t end);
    void (*wino_multiply_nine)(float *m, int64_t m_stride, const float *v, int64_t v_stride,
                               const float *g, float *u, int64_t some, int64_t tiles, int64_t c,
                               int64_t begin, int64_t end);
    /* du [36,c,o] = or += v^T dm; acc [9,c,o] = or += the gradient of the weights it stands for,
     * count = c o. */
    void (*wino_multiply_grad)(float *du, const float *v, int64_t v_stride, const float *dm,
                               int64_t m_stride, int64_t tiles, int64_t c, int64_t o, bool first);
    void (*wino_weights_grad)(float *acc, const float *du, int64_t count, bool first);
} few_simd;

/* The table for this CPU (or FEW_ISA); never NULL. FEW_ISA naming one that this CPU lacks gives the
 * best it has; *why, when not NULL, says what was chosen and for what reason (static text). */
const few_simd *few_simd_get(const char **why);
/* A table by name, NULL when unknown or this CPU cannot run it. */
const few_simd *few_simd_named(const char *name);

#endif

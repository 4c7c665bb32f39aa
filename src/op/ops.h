/* The ops as functions that add a node to a graph, with what each means.
 *
 * Notation: N batch (of the slice), H W image, C O channels, T tokens; i[k], f[k] the node's
 * attributes. Types: ACT follows the plan's precision; "any" is F32 or ACT, and the output has the
 * type of input 0. Optional inputs may be FEW_NONE. Where an op has several outputs the function
 * returns the first and few_graph_out gives the others, through which no gradient flows. Outputs
 * nobody uses are not computed (their pointer is NULL in a kernel). */
#ifndef FEW_OP_OPS_H
#define FEW_OP_OPS_H

#include "op/op.h"

/* ---- images ---------------------------------------------------------------------------------*/

/* y[N,OH,OW,O] = x[N,H,W,C] (*) w[O,C,kh,kw] + b[O] + res[N,OH,OW,O];  b, res optional. x any.
 * i[0] stride, i[1] padding at top and left, i[2] padding at bottom and right.
 * OH = (H + i1 + i2 - kh) / stride + 1. */
few_val few_conv2d(few_graph *g, few_val x, few_val w, few_val b, few_val res, int stride, int pad0,
                   int pad1);
/* conv2d_grad_input(dy, w): dx[N,H,W,C], type of dy. i[0..2] as conv2d, i[3] H, i[4] W.
 * conv2d_grad_weights(x, dy): (dw[O,C,kh,kw], db[O]) F32. i[0..2], i[3] kh, i[4] kw. */

/* Group normalisation, channels last, with everything that touches the same bytes:
 *   u = x + add[n,c];  mean, var (biased) over (H,W,C/groups);  h = (u - mean) * rstd
 *   h = h * gamma + beta;  h = h * (1 + ss[n,c]) + ss[n,C+c];  y = silu ? h * sigmoid(h) : h
 * x[N,H,W,C] or [N,T,C] any; gamma[C], beta[C], add[N,C], ss[N,2C] optional, F32.
 * Outputs: y (type of x), stats[N,groups,2] F32 = (mean of u, rstd). i[0] groups, i[1] silu;
 * f[0] eps. Statistics in f32 or better, two passes or shifted: never E[x^2] - E[x]^2 naively. */
few_val few_group_norm(few_graph *g, few_val x, few_val gamma, few_val beta, few_val add,
                       few_val ss, int groups, bool silu, double eps);
/* group_norm_grad(x, gamma, beta, add, ss, stats, dy): (dx type of x, dgamma[C], dbeta[C],
 * dadd[N,C], dss[N,2C], all F32). Attributes as group_norm. */

few_val few_upsample2(few_graph *g, few_val x, double scale); /* nearest x2, times f[0] */
few_val few_pool2(few_graph *g, few_val x, double scale); /* sum of 2x2, times f[0]; H, W even */
/* [N,H,W,C] any -> [N,C] F32, sum over H,W times f[0]; and back: i[0] H, i[1] W, i[2] dtype. */
few_val few_mean_hw(few_graph *g, few_val x);
few_val few_broadcast_hw(few_graph *g, few_val x, int h, int w, few_dtype dtype, double scale);
/* Last dimension: concatenate; i[0] first channel, i[1] channels; the adjoint: zeros elsewhere,
 * i[0] first channel, i[1] channels of the result. */
few_val few_concat(few_graph *g, few_val a, few_val b);
few_val few_slice_channels(few_graph *g, few_val x, int from, int count);
few_val few_pad_channels(few_graph *g, few_val x, int from, int total);
/* u8 -> F32: x / 127.5 - 1. */
few_val few_dequantize(few_graph *g, few_val x);

/* ---- vectors --------------------------------------------------------------------------------*/

/* y[...,O] = x[...,I] w[O,I]^T + b[O] + res[...,O];  b, res optional. x any. */
few_val few_linear(few_graph *g, few_val x, few_val w, few_val b, few_val res);
/* linear_grad_input(dy, w): dx;  linear_grad_weights(x, dy): (dw[O,I], db[O]) F32. */

/* softmax(q k^T / sqrt(C/heads)) v, per head; channel c belongs to head c / (C/heads).
 * q[N,T,C], k, v [N,S,C] any. Outputs: o[N,T,C], lse[N,heads,T] F32 = log sum exp of a row.
 * i[0] heads. attention_grad(q, k, v, o, lse, do): (dq, dk, dv). */
few_val few_attention(few_graph *g, few_val q, few_val k, few_val v, int heads);

/* t[N] F32 -> [N,dim] F32: half = dim/2, f_k = exp(-ln(10000) k / (half - f[0])),
 * (sin(t f), cos(t f)), or (cos, sin) when i[1]. i[0] dim. */
few_val few_timestep_embedding(few_graph *g, few_val t, int dim, bool flip, double shift);
/* t[N], w[C] F32 -> [N,2C]: u = 2 pi ln(t) w; (sin u, cos u), or (cos, sin) when i[0]. */
few_val few_fourier_embedding(few_graph *g, few_val t, few_val w, bool flip);
/* table[K,D] F32, id[N] I32 -> [N,D] F32. embedding_grad(id, dy): [K,D], i[0] K. */
few_val few_embedding(few_graph *g, few_val table, few_val id);
/* logits[N,K] F32, id[N] I32 -> loss[N] F32. softmax_xent_grad(logits, id, dloss). */
few_val few_softmax_xent(few_graph *g, few_val logits, few_val id);

/* ---- element by element -----------------------------------------------------------------------*/

few_val few_silu(few_graph *g, few_val x);                       /* silu_grad(x, dy) */
few_val few_leaky_relu(few_graph *g, few_val x, double slope);   /* any; leaky_relu_grad(x, dy) */
few_val few_add(few_graph *g, few_val a, few_val b);             /* any, same type and shape */
few_val few_mul(few_graph *g, few_val a, few_val b);             /* F32 */
few_val few_div(few_graph *g, few_val a, few_val b);             /* F32 */
few_val few_sqrt(few_graph *g, few_val a);                       /* F32, a >= 0 */
few_val few_affine(few_graph *g, few_val x, double a, double b); /* a x + b, any */
/* min(max(x, low), high), any; no gradient. */
few_val few_clamp(few_graph *g, few_val x, double low, double high);
/* y[n,...] = sum_k c_k[n] x_k[n,...], 1 to 4 pairs; inputs x_0, c_0, x_1, c_1, ...; c_k[N] F32.
 * x_k any and mixed; the output is F32 when i[0] is 1, else of x_0's type. No gradient for c. */
few_val few_lincomb(few_graph *g, int n, const few_val *x, const few_val *c, bool f32);
/* Per sample: mean of squares -> [N] F32. */
few_val few_mean_square(few_graph *g, few_val x);
/* Per sample: mean of sqrt(x^2 + e^2) - e -> [N]; e = f[0]. huber_mean_grad(x, dloss). */
few_val few_huber_mean(few_graph *g, few_val x, double e);
few_val few_cast(few_graph *g, few_val x, few_dtype to); /* i[0] F32 or ACT; alias when equal */
/* Keep dimension 0, replace the others: i[0] their number, i[1..4] the sizes. Alias. */
few_val few_reshape(few_graph *g, few_val x, few_shape sample);
few_val few_stop_gradient(few_graph *g, few_val x); /* alias */

/* ---- random ---------------------------------------------------------------------------------*/

/* rng[N,4] I32 = (seed low, seed high, step, sample) of each row: see base/philox.h.
 * noise: F32 [N, sample shape], standard normal; i[0] purpose, i[1] rank of a sample, i[2..5] its
 * sizes. Element e of a sample is number e of the stream. */
few_val few_noise(few_graph *g, few_val rng, int purpose, few_shape sample);
/* y = x * m / (1 - p), m = 0 with probability f[0] = p where uniform(e) < p; purpose
 * FEW_RNG_DROPOUT + i[0]. The backward pass draws the same mask again. */
few_val few_dropout(few_graph *g, few_val x, few_val rng, int layer, double p);

#endif

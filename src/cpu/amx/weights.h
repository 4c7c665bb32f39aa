/* Weight gradients of convolutions in bf16 by AMX tiles: 3x3 with stride 1 and padding 1, and 1x1
 * (a linear layer is a 1x1 convolution of an image one pixel wide).
 *
 * dw[o,c,ky,kx] = sum over pixels p of x[p + (ky-1, kx-1), c] dy[p, o]: a product whose inner
 * dimension is the pixels. oneDNN's own reaches 0.4 to 1.7 TFLOP/s on two cores where forward has
 * 2 to 4. Here x is transposed once to [channel][pixel], with one zero after every row and a zero
 * row after every image, so that each of the nine taps is the same array at another offset. */
#ifndef FEW_CPU_AMX_WEIGHTS_H
#define FEW_CPU_AMX_WEIGHTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct few_amx_weights {
    int64_t n, h, w, c, o; /* x [n,h,w,c], dy [n,h,w,o] */
    int k;                 /* 3 or 1 */
    /* Filled by few_amx_weights_plan. */
    int64_t group;              /* images packed together; divides n */
    int64_t tiles;              /* of 32 pixels, in a group */
    int64_t pitch;              /* pixels of a transposed channel, odd in units of 32 */
    int64_t lead;               /* zeros before the first pixel */
    int64_t c_blocks, o_blocks; /* of 16 */
    int64_t zeros;              /* channels of a pixel that is none */
    const int32_t *pixel;       /* [32 tiles], set by the caller: few_amx_weights_pixels */
    size_t acc_bytes, scratch_bytes;
} few_amx_weights;

/* Sizes from n, h, w, c, o, k. */
void few_amx_weights_plan(few_amx_weights *p);

/* pixel[32 tiles] of a plan: which pixel of a group comes at each place, -1 for a separator. */
void few_amx_weights_pixels(const few_amx_weights *p, int32_t *pixel);

/* acc (+)= the gradient of these images: added to unless `first`. acc, 64-byte aligned, is in
 * blocks only few_amx_weights_unpack understands. scratch: 64-byte aligned. */
void few_amx_weights_run(const few_amx_weights *p, const uint16_t *x, const uint16_t *dy,
                         float *acc, bool first, void *scratch);

/* dw[o,c,k,k] += acc. */
void few_amx_weights_unpack(const few_amx_weights *p, const float *acc, float *dw);

#endif

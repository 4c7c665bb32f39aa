/* Shapes of a convolution, shared by conv2d and its two gradients. Attributes: i[0] stride, i[1]
 * padding at top and left, i[2] at bottom and right. */
#ifndef FEW_OP_CONV_H
#define FEW_OP_CONV_H

#include "op/op_util.h"

typedef struct few_conv_dims {
    int64_t n, h, w, c, o, kh, kw, oh, ow, stride, pad0, pad1;
} few_conv_dims;

/* From shapes x [N,H,W,C], w [O,C,kh,kw] and attributes; false when they do not fit, the reason
 * reported through c. */
few_status few_conv_infer(few_infer *c, const few_shape *x, const few_shape *w, few_conv_dims *d);
few_conv_dims few_conv_dims_of(const few_attrs *a, const few_shape *x, const few_shape *w,
                               const few_shape *y);
double few_conv_flops(const few_conv_dims *d);

/* Calls f for every product of the convolution: y[yi] is made of x[xi] * w[wi]. */
typedef void (*few_conv_visit)(void *user, int64_t yi, int64_t xi, int64_t wi);
void few_conv_each(const few_conv_dims *d, few_conv_visit f, void *user);

#endif

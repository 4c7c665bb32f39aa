/* Resizing, one axis after the other: area average when an axis shrinks, bilinear when it grows.
 *
 * Shrinking n pixels to m: output o covers [o n/m, (o+1) n/m] and weighs input i by the overlap;
 * in units of 1/m everything is an integer, so the weights are exact and sum to 1. Growing: pixel
 * centres match, x = (o + 1/2) n/m - 1/2, held at the borders. Plain bilinear when shrinking would
 * skip pixels and alias, which a metric on image statistics sees. */
#include "image/image.h"

#include "base/alloc.h"

#include <math.h>
#include <string.h>

/* Output o is the sum over k < taps of weight[o * taps + k] * in[first[o] + k]. */
struct axis {
    int *first, taps;
    float *weight;
};

static int min_int(int a, int b)
{
    return a < b ? a : b;
}

static void axis_clear(struct axis *a)
{
    few_free(a->first);
    few_free(a->weight);
}

static few_status axis_init(struct axis *a, int in, int out, few_error *err)
{
    a->taps = min_int(in, out <= in ? in / out + 2 : 2);
    a->first = few_calloc((size_t)out, sizeof *a->first);
    a->weight = few_calloc((size_t)out * (size_t)a->taps, sizeof *a->weight);
    if (!a->first || !a->weight)
        return few_fail(err, FEW_ENOMEM, "out of memory while resizing an image");
    for (int o = 0; o < out; o++) {
        float *w = a->weight + (size_t)o * (size_t)a->taps;
        if (out <= in) {
            const int64_t from = (int64_t)o * in, to = from + in;
            const int start = min_int((int)(from / out), in - a->taps);
            for (int k = 0; k < a->taps; k++) {
                const int64_t left = (int64_t)(start + k) * out, right = left + out;
                const int64_t overlap = (to < right ? to : right) - (from > left ? from : left);
                w[k] = overlap > 0 ? (float)((double)overlap / in) : 0.0f;
            }
            a->first[o] = start;
        } else {
            const double x = fmin(fmax((o + 0.5) * in / out - 0.5, 0.0), in - 1.0);
            const int start = min_int((int)x, in - a->taps);
            if (a->taps == 1) {
                w[0] = 1.0f;
            } else {
                w[1] = (float)(x - start);
                w[0] = 1.0f - w[1];
            }
            a->first[o] = start;
        }
    }
    return FEW_OK;
}

/* One row of `out` pixels from one of input pixels. */
static void resize_row(float *to, const uint8_t *from, const struct axis *a, int out, int c)
{
    for (int o = 0; o < out; o++, to += c) {
        const float *w = a->weight + (size_t)o * (size_t)a->taps;
        const uint8_t *p = from + (size_t)a->first[o] * (size_t)c;
        for (int k = 0; k < c; k++) {
            float sum = 0;
            for (int t = 0; t < a->taps; t++)
                sum += w[t] * p[t * c + k];
            to[k] = sum;
        }
    }
}

few_status few_image_resize(few_image *im, int h, int w, few_error *err)
{
    if (h == im->h && w == im->w)
        return FEW_OK;
    few_status st;
    struct axis ax = { 0 }, ay = { 0 };
    few_image out = { 0 };
    const size_t row = (size_t)w * (size_t)im->c;
    float *rows = NULL, *sum = NULL;

    FEW_GOTO(few_image_init(&out, h, w, im->c, err));
    FEW_GOTO(axis_init(&ax, im->w, w, err));
    FEW_GOTO(axis_init(&ay, im->h, h, err));
    rows = few_calloc((size_t)im->h * row, sizeof *rows); /* resized across, not yet down */
    sum = few_calloc(row, sizeof *sum);
    if (!rows || !sum) {
        st = few_fail(err, FEW_ENOMEM, "out of memory while resizing an image");
        goto cleanup;
    }
    for (int y = 0; y < im->h; y++)
        resize_row(rows + (size_t)y * row, im->pixels + (size_t)y * (size_t)im->w * (size_t)im->c,
                   &ax, w, im->c);
    for (int o = 0; o < h; o++) {
        memset(sum, 0, row * sizeof *sum);
        for (int t = 0; t < ay.taps; t++) {
            const float weight = ay.weight[(size_t)o * (size_t)ay.taps + (size_t)t];
            const float *from = rows + (size_t)(ay.first[o] + t) * row;
            for (size_t i = 0; i < row; i++)
                sum[i] += weight * from[i];
        }
        for (size_t i = 0; i < row; i++)
            out.pixels[(size_t)o * row + i] = (uint8_t)fminf(sum[i] + 0.5f, 255.0f);
    }
    few_image_clear(im);
    *im = out;
    out = (few_image){ 0 };
cleanup:
    few_free(rows);
    few_free(sum);
    axis_clear(&ax);
    axis_clear(&ay);
    few_image_clear(&out);
    return st;
}

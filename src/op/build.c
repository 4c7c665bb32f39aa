/* The functions of ops.h: gather inputs and attributes, add the node. */
#include "op/op_util.h"

#define APPLY(op, attrs, ...)                                                                      \
    few_graph_apply(g, &few_op_##op, (few_val[]){ __VA_ARGS__ },                                   \
                    (int)(sizeof((few_val[]){ __VA_ARGS__ }) / sizeof(few_val)), attrs)
#define INTS(...) (&(few_attrs){ .i = { __VA_ARGS__ } })
#define NUMBERS(...) (&(few_attrs){ .f = { __VA_ARGS__ } })

few_val few_conv2d(few_graph *g, few_val x, few_val w, few_val b, few_val res, int stride, int pad0,
                   int pad1)
{
    return APPLY(conv2d, INTS(stride, pad0, pad1), x, w, b, res);
}

few_val few_group_norm(few_graph *g, few_val x, few_val gamma, few_val beta, few_val add,
                       few_val ss, int groups, bool silu, double eps)
{
    return APPLY(group_norm, (&(few_attrs){ .i = { groups, silu }, .f = { eps } }), x, gamma, beta,
                 add, ss);
}

few_val few_upsample2(few_graph *g, few_val x, double scale)
{
    return APPLY(upsample2, NUMBERS(scale), x);
}

few_val few_pool2(few_graph *g, few_val x, double scale)
{
    return APPLY(pool2, NUMBERS(scale), x);
}

few_val few_mean_hw(few_graph *g, few_val x)
{
    if (x == FEW_NONE)
        return FEW_NONE;
    const few_shape *s = &g->tensors[x].shape;
    return APPLY(mean_hw, NUMBERS(s->rank == 4 ? 1 / (double)(s->d[1] * s->d[2]) : 1), x);
}

few_val few_broadcast_hw(few_graph *g, few_val x, int h, int w, few_dtype dtype, double scale)
{
    return APPLY(broadcast_hw, (&(few_attrs){ .i = { h, w, dtype }, .f = { scale } }), x);
}

few_val few_concat(few_graph *g, few_val a, few_val b)
{
    return APPLY(concat, NULL, a, b);
}

few_val few_slice_channels(few_graph *g, few_val x, int from, int count)
{
    return APPLY(slice_channels, INTS(from, count), x);
}

few_val few_pad_channels(few_graph *g, few_val x, int from, int total)
{
    return APPLY(pad_channels, INTS(from, total), x);
}

few_val few_dequantize(few_graph *g, few_val x)
{
    return APPLY(dequantize, NULL, x);
}

few_val few_linear(few_graph *g, few_val x, few_val w, few_val b, few_val res)
{
    return APPLY(linear, NULL, x, w, b, res);
}

few_val few_attention(few_graph *g, few_val q, few_val k, few_val v, int heads)
{
    return APPLY(attention, INTS(heads), q, k, v);
}

few_val few_timestep_embedding(few_graph *g, few_val t, int dim, bool flip, double shift)
{
    return APPLY(timestep_embedding, (&(few_attrs){ .i = { dim, flip }, .f = { shift } }), t);
}

few_val few_fourier_embedding(few_graph *g, few_val t, few_val w, bool flip)
{
    return APPLY(fourier_embedding, INTS(flip), t, w);
}

few_val few_embedding(few_graph *g, few_val table, few_val id)
{
    return APPLY(embedding, NULL, table, id);
}

few_val few_softmax_xent(few_graph *g, few_val logits, few_val id)
{
    return APPLY(softmax_xent, NULL, logits, id);
}

few_val few_silu(few_graph *g, few_val x)
{
    return APPLY(silu, NULL, x);
}

few_val few_leaky_relu(few_graph *g, few_val x, double slope)
{
    const few_attrs a = { .f = { slope } };
    return APPLY(leaky_relu, &a, x);
}

few_val few_add(few_graph *g, few_val a, few_val b)
{
    return APPLY(add, NULL, a, b);
}

few_val few_mul(few_graph *g, few_val a, few_val b)
{
    return APPLY(mul, NULL, a, b);
}

few_val few_div(few_graph *g, few_val a, few_val b)
{
    return APPLY(div, NULL, a, b);
}

few_val few_sqrt(few_graph *g, few_val a)
{
    return APPLY(sqrt, NULL, a);
}

few_val few_affine(few_graph *g, few_val x, double a, double b)
{
    return APPLY(affine, NUMBERS(a, b), x);
}

few_val few_clamp(few_graph *g, few_val x, double low, double high)
{
    return APPLY(clamp, NUMBERS(low, high), x);
}

few_val few_lincomb(few_graph *g, int n, const few_val *x, const few_val *c, bool f32)
{
    few_val in[FEW_MAX_IN];
    for (int k = 0; k < n && k < FEW_MAX_IN / 2; k++) {
        in[2 * k] = x[k];
        in[2 * k + 1] = c[k];
    }
    return few_graph_apply(g, &few_op_lincomb, in, 2 * n, INTS(f32));
}

few_val few_mean_square(few_graph *g, few_val x)
{
    return APPLY(mean_square, NULL, x);
}

few_val few_huber_mean(few_graph *g, few_val x, double e)
{
    return APPLY(huber_mean, NUMBERS(e), x);
}

few_val few_cast(few_graph *g, few_val x, few_dtype to)
{
    if (x != FEW_NONE && g->err.code == FEW_OK && g->tensors[x].dtype == to)
        return x;
    return APPLY(cast, INTS(to), x);
}

few_val few_reshape(few_graph *g, few_val x, few_shape s)
{
    return APPLY(reshape, INTS(s.rank, s.d[0], s.d[1], s.d[2], s.d[3]), x);
}

few_val few_stop_gradient(few_graph *g, few_val x)
{
    return APPLY(stop_gradient, NULL, x);
}

few_val few_noise(few_graph *g, few_val rng, int purpose, few_shape s)
{
    return APPLY(noise, INTS(purpose, s.rank, s.d[0], s.d[1], s.d[2], s.d[3]), rng);
}

few_val few_dropout(few_graph *g, few_val x, few_val rng, int layer, double p)
{
    return APPLY(dropout, (&(few_attrs){ .i = { layer }, .f = { p } }), x, rng);
}

/* The list of methods and what their graphs are made of. */
#include "method/method.h"

#include "base/philox.h"
#include "diffusion/loss.h"
#include "diffusion/step.h"

#include <math.h>
#include <string.h>

#define X(name) &few_method_##name,
const few_method *const few_methods[] = {
#include "method/list.def"
};
#undef X
const int few_n_methods = (int)FEW_COUNT(few_methods);

const few_method *few_method_find(const char *name, few_error *err)
{
    few_strbuf known;
    few_strbuf_init(&known);
    for (int k = 0; k < few_n_methods; k++) {
        if (!strcmp(few_methods[k]->name, name)) {
            few_strbuf_free(&known);
            return few_methods[k];
        }
        few_strbuf_addf(&known, "%s%s", k ? ", " : "", few_methods[k]->name);
    }
    few_fail(err, FEW_EINVAL, "unknown method '%s'; known are %s", name, known.s);
    few_strbuf_free(&known);
    return NULL;
}

void few_method_point(const few_spec *s, double t, double *v)
{
    const few_angle a = few_angle_of(few_schedule_phi(&s->schedule, t));
    const few_to_x c = few_prediction_to_x(&s->prediction, a.alpha, a.sigma);
    v[FEW_POINT_TIME] = few_spec_time(s, t);
    v[FEW_POINT_IN] = c.in;
    v[FEW_POINT_FROM_Z] = c.from_z;
    v[FEW_POINT_FROM_OUT] = c.from_out;
}

few_phase few_method_phase(int64_t step, int64_t steps, int n, const int *share)
{
    int all = 0, before = 0, k = 0;
    for (int i = 0; i < n; i++)
        all += share ? share[i] : 1;
    int after = share ? share[0] : 1;
    for (; k + 1 < n && step >= steps * after / all; k++) {
        before = after;
        after += share ? share[k + 1] : 1;
    }
    return (
        few_phase){ .index = k, .n = n, .begin = steps * before / all, .end = steps * after / all };
}

few_val few_method_noise(few_method_ctx *c)
{
    if (c->x == FEW_NONE)
        return FEW_NONE;
    few_shape sample = c->g->tensors[c->x].shape;
    sample.rank--;
    memmove(sample.d, sample.d + 1, (size_t)sample.rank * sizeof sample.d[0]);
    return few_noise(c->g, c->rng, FEW_RNG_NOISE, sample);
}

few_val few_method_mix(few_method_ctx *c, int n, const few_val *x, const few_val *coef)
{
    return few_lincomb(c->g, n, x, coef, true);
}

few_val few_method_network(few_method_ctx *c, int set, few_val z, int point, few_val label)
{
    const few_spec *s = set == FEW_SET_TEACHER ? c->teacher : c->spec;
    const few_val *k = c->scalar + point;
    if (s->prediction.kind->scales_input)
        z = few_method_mix(c, 1, &z, &k[FEW_POINT_IN]);
    /* A teacher is evaluated as it is used: without dropout. */
    return few_spec_build(s, c->g, set, z, k[FEW_POINT_TIME], label,
                          set == FEW_SET_TEACHER ? FEW_NONE : c->rng);
}

few_val few_method_predict_x(few_method_ctx *c, int set, few_val z, int point, few_val label)
{
    const few_val out = few_method_network(c, set, z, point, label);
    return few_method_mix(c, 2, (few_val[]){ z, out }, &c->scalar[point + FEW_POINT_FROM_Z]);
}

few_val few_method_distance(few_method_ctx *c, const char *name, few_val u, double eps)
{
    few_graph *g = c->g;
    if (u == FEW_NONE)
        return FEW_NONE;
    const double d = (double)(few_shape_count(&g->tensors[u].shape) / c->slice);
    if (!strcmp(name, "elem"))
        return few_huber_mean(g, u, eps);
    const few_val ms = few_mean_square(g, u);
    if (!strcmp(name, "l2sq"))
        return ms;
    if (!strcmp(name, "norm")) /* sqrt(||u||^2 + e^2) - e */
        return few_affine(g, few_sqrt(g, few_affine(g, ms, d, eps * eps)), 1, -eps);
    return few_affine(g, few_sqrt(g, few_affine(g, ms, 1, eps * eps)), 1, -eps);
}

void few_method_build(few_method_ctx *c, bool x_is_float, bool backward)
{
    few_graph *g = c->g;
    few_shape sample = few_spec_sample_shape(c->spec, c->slice);
    const few_shape each = FEW_SHAPE(c->slice);
    if (c->method->data_channels)
        sample.d[3] = c->method->data_channels(c->options, c->spec);
    few_graph_label(g, "input");
    c->x = few_graph_input(g, "x", x_is_float ? FEW_F32 : FEW_U8, sample, false);
    if (!x_is_float)
        c->x = few_dequantize(g, c->x);
    c->rng = few_graph_input(g, "rng", FEW_I32, FEW_SHAPE(c->slice, 4), false);
    c->label = c->null_label = FEW_NONE;
    if (c->spec->classes > 0) {
        c->label = few_graph_input(g, "label", FEW_I32, each, false);
        c->null_label = few_graph_input(g, "null_label", FEW_I32, each, false);
    }
    for (int k = 0; c->method->scalars[k] && k < FEW_MAX_SCALARS; k++)
        c->scalar[k] = few_graph_input(g, c->method->scalars[k], FEW_F32, each, false);
    const few_val loss = c->method->build(c);
    few_graph_output(g, loss, "loss");
    if (backward)
        few_graph_backward(g, few_affine(g, loss, 1 / (double)c->batch, 0), NULL, 0, NULL);
}

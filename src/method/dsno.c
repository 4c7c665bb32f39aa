/* dsno: operator learning, arXiv:2211.13449. The data are trajectories (fewstep data
 * trajectories): noise and points of a teacher's path from it. The student, the teacher's U-Net
 * with Fourier layers along time (nn/dfno.h), makes all points in one evaluation:
 *
 *     loss = sum_k w_k mean |out_k - z_k| / sum_k w_k,   w_k = min(max(sqrt(SNR_k), 1), 1e4)
 *
 * at the time of point k. The authors divide by the number of points; here weights add up to 1,
 * which only moves the scale of the loss. */
#include "diffusion/step.h"
#include "method/method.h"
#include "nn/dfno.h"

#include <math.h>
#include <string.h>

struct options {
    int states, modes;
};

static const few_option table[] = {
    { "states", FEW_OPT_INT, offsetof(struct options, states), "4", 1, FEW_MAX_TIMES,
      "points of the path that the trajectories have, noise not counted", NULL },
    { "modes", FEW_OPT_INT, offsetof(struct options, modes), "2", 1, FEW_MAX_TIMES / 2,
      "lowest frequencies along the path that its points exchange", NULL },
    { .name = NULL },
};

static const char *const scalars[] = { NULL };

static few_status describe(const void *options, few_spec *s, few_error *err)
{
    const struct options *o = options;
    void *config;
    if (!strcmp(s->network->name, "dfno"))
        return FEW_OK;
    if (strcmp(s->network->name, "unet") != 0)
        return few_fail(err, FEW_ECONFIG, "method 'dsno' wants a teacher that is a U-Net, not '%s'",
                        s->network->name);
    FEW_TRY(few_dfno_make(s->config, o->states, o->modes, s->time_scale, &config, err));
    s->network->close(s->config);
    s->network = &few_network_dfno;
    s->config = config;
    s->prediction = (few_prediction){ .kind = few_prediction_find("x", err) };
    return FEW_OK;
}

static few_status check(const few_method_ctx *c, few_error *err)
{
    if (c->student_steps != 1)
        return few_fail(err, FEW_ECONFIG, "method 'dsno' makes students of 1 step, not %d",
                        c->student_steps);
    return FEW_OK;
}

static int data_channels(const void *options, const few_spec *s)
{
    return s->channels * (((const struct options *)options)->states + 1);
}

static double weight(const few_spec *s, double t)
{
    return fmin(fmax(exp(few_schedule_log_snr(&s->schedule, t) / 2), 1), 1e4);
}

static few_val build(few_method_ctx *c)
{
    const struct options *o = c->options;
    few_graph *g = c->g;
    const int channels = c->spec->channels;
    double sum = 0;
    few_val loss = FEW_NONE;
    for (int k = 1; k <= o->states; k++)
        sum += weight(c->spec, 1 - (double)k / o->states);
    const few_val z = few_slice_channels(g, c->x, 0, channels);
    const few_stack out = few_dfno_build(g, FEW_SET_LIVE, c->spec->config, z, c->label, c->rng);
    few_graph_label(g, "distance");
    for (int k = 1; k <= o->states; k++) {
        const few_val state = few_slice_channels(g, c->x, k * channels, channels);
        const few_val u = few_add(g, out.v[k - 1], few_affine(g, state, -1, 0));
        const few_val one = few_affine(g, few_huber_mean(g, u, 1e-4),
                                       weight(c->spec, 1 - (double)k / o->states) / sum, 0);
        loss = loss == FEW_NONE ? one : few_add(g, loss, one);
    }
    return loss;
}

static void draw(const few_method_ctx *c, int64_t step, int64_t index, double *value)
{
    (void)c;
    (void)step;
    (void)index;
    (void)value;
}

const few_method few_method_dsno = {
    .name = "dsno",
    .help = "operator learning: the whole path in one evaluation, from a teacher's trajectories",
    .paper = "arXiv:2211.13449",
    .options = table,
    .options_size = sizeof(struct options),
    .makes_student = true,
    .scalars = scalars,
    .describe = describe,
    .data_channels = data_channels,
    .check = check,
    .build = build,
    .draw = draw,
};

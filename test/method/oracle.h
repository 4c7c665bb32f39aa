/* Algorithm 1 of arXiv:2403.06807 as it is printed, in double, one sample at a time: the chain of
 * DDIM steps the method graphs replace by a closed form. Networks are evaluated through a graph of
 * their own by the ops' references. */
#ifndef TEST_METHOD_ORACLE_H
#define TEST_METHOD_ORACLE_H

#include "train/nets.h"

#include "base/philox.h"
#include "diffusion/loss.h"

enum { ORACLE_MAX = 8 * 8 * 3 };

/* A network for one sample, with parameters the caller can change. */
typedef struct oracle_net {
    const few_net *net;
    few_graph g;
    double *param; /* [net->params.count] */
    double **value;
    few_val z, time, label, rng, out;
    double in_z[ORACLE_MAX], in_time, in_label, in_rng[4];
} oracle_net;

static inline void oracle_open(oracle_net *o, const few_net *net, bool dropout)
{
    few_error err = { 0 };
    memset(o, 0, sizeof *o);
    o->net = net;
    few_graph_init(&o->g);
    few_graph_use_set(&o->g, 0, (few_params *)&net->params);
    const few_shape one = FEW_SHAPE(1);
    o->z = few_graph_input(&o->g, "z", FEW_F32, few_spec_sample_shape(&net->spec, 1), false);
    o->time = few_graph_input(&o->g, "time", FEW_F32, one, false);
    o->label = net->spec.classes ? few_graph_input(&o->g, "label", FEW_I32, one, false) : FEW_NONE;
    o->rng = dropout ? few_graph_input(&o->g, "rng", FEW_I32, FEW_SHAPE(1, 4), false) : FEW_NONE;
    o->out = few_spec_build(&net->spec, &o->g, 0, o->z, o->time, o->label, o->rng);
    if (few_graph_status(&o->g, &err) != FEW_OK)
        fail_msg("%s", err.text);
    o->param = few_malloc((size_t)net->params.count * sizeof *o->param);
    for (int64_t i = 0; i < net->params.count; i++)
        o->param[i] = (double)net->master[i];
    o->value = few_calloc((size_t)o->g.n_tensors, sizeof *o->value);
    for (int k = 0; k < o->g.n_tensors; k++) {
        const few_tensor *t = &o->g.tensors[k];
        if (t->source == FEW_FROM_PARAM)
            o->value[k] = o->param + net->params.v[t->param].offset;
    }
    o->value[o->z] = o->in_z;
    o->value[o->time] = &o->in_time;
    if (o->label != FEW_NONE)
        o->value[o->label] = &o->in_label;
    if (o->rng != FEW_NONE)
        o->value[o->rng] = o->in_rng;
}

static inline void oracle_close(oracle_net *o)
{
    few_reference_free(&o->g, o->value);
    few_free(o->value);
    few_free(o->param);
    few_graph_clear(&o->g);
}

/* alpha and sigma of a time, from the log SNR. */
static inline void oracle_path(const few_spec *s, double t, double *alpha, double *sigma)
{
    const double l = few_schedule_log_snr(&s->schedule, t);
    *alpha = sqrt(1 / (1 + exp(-l)));
    *sigma = sqrt(1 / (1 + exp(l)));
}

/* The network's output at scale z. */
static inline const double *oracle_out(oracle_net *o, const double *z, double scale, double t,
                                       int label, const double rng[4])
{
    const int64_t d = few_shape_count(&o->g.tensors[o->z].shape);
    few_error err = { 0 };
    for (int64_t i = 0; i < d; i++)
        o->in_z[i] = scale * z[i];
    o->in_time = o->net->spec.time_scale * t - 1;
    o->in_label = label;
    if (rng)
        memcpy(o->in_rng, rng, sizeof o->in_rng);
    if (few_reference_run(&o->g, o->value, &err) != FEW_OK)
        fail_msg("%s", err.text);
    return o->value[o->out];
}

/* D(x; s) of EDM, in its own terms, with the boundary of consistency models where s_min is
 * not 0. A network that predicts v is one with sigma_data = 1 whose output has the other sign. */
static inline void oracle_denoise(oracle_net *o, const double *x, double s, double s_min, int label,
                                  const double rng[4], double *out)
{
    const few_spec *spec = &o->net->spec;
    const int64_t d = few_shape_count(&o->g.tensors[o->z].shape);
    const bool v = !strcmp(spec->prediction.kind->name, "v");
    const double sd = v ? 1 : spec->prediction.sigma_data, b = s - s_min;
    const double skip = sd * sd / (b * b + sd * sd), c_out = b * sd / sqrt(s * s + sd * sd),
                 c_in = 1 / sqrt(s * s + sd * sd);
    const double *F =
        oracle_out(o, x, c_in, few_schedule_time(&spec->schedule, -2 * log(s)), label, rng);
    for (int64_t i = 0; i < d; i++)
        out[i] = skip * x[i] + c_out * (v ? -F[i] : F[i]);
}

/* x_hat at z_t, from what the network predicts. */
static inline void oracle_x(oracle_net *o, const double *z, double t, int label,
                            const double rng[4], double *x)
{
    const few_spec *s = &o->net->spec;
    const int64_t d = few_shape_count(&o->g.tensors[o->z].shape);
    double alpha, sigma;
    oracle_path(s, t, &alpha, &sigma);
    const bool edm = !strcmp(s->prediction.kind->name, "edm");
    const double sd = edm ? s->prediction.sigma_data : 1,
                 all = edm ? sqrt(sigma * sigma + sd * sd * alpha * alpha) : 1;
    const double *y = oracle_out(o, z, 1 / all, t, label, rng);
    for (int64_t i = 0; i < d; i++)
        x[i] = edm ? sd * sd * alpha / (all * all) * z[i] + sd * sigma / all * y[i]
               : s->prediction.kind->name[0] == 'v' ? alpha * z[i] - sigma * y[i]
               : s->prediction.kind->name[0] == 'x' ? y[i]
                                                    : (z[i] - sigma * y[i]) / alpha;
}

/* A training sample and everything Algorithm 1 asks of it. */
typedef struct oracle_case {
    oracle_net *hat, *self,
        *teacher; /* student for x_hat, for x_ref0; teacher or NULL (training) */
    int S;
    double n_teacher; /* N of this step */
    uint64_t seed;
    uint32_t step, index;
    int label, null_label;
    const double *x;
    bool midpoint;                   /* the teacher's second evaluation */
    bool addim, measured, bare_last; /* bare_last: no aDDIM in the step to t = 0 */
    double eta, guidance, huber;
    const char *distance, *weight;
    double t; /* out */
    int n_rel;
} oracle_case;

static inline double oracle_mean_square(const double *u, int d)
{
    double sum = 0;
    for (int i = 0; i < d; i++)
        sum += u[i] * u[i];
    return sum / d;
}

/* The distance of x_ref and x_hat with its weight. */
static inline double oracle_loss(const oracle_case *c, const double *x_ref, const double *x_hat,
                                 int d, double alpha, double sigma)
{
    double u[ORACLE_MAX];
    const bool v_norm = !strcmp(c->weight, "v_norm");
    for (int i = 0; i < d; i++)
        u[i] = (x_ref[i] - x_hat[i]) / (v_norm ? sigma : 1);
    const double ms = oracle_mean_square(u, d), e = c->huber;
    double dist = 0;
    if (!strcmp(c->distance, "rms"))
        dist = sqrt(ms + e * e) - e;
    else if (!strcmp(c->distance, "norm"))
        dist = sqrt(ms * d + e * e) - e;
    else if (!strcmp(c->distance, "l2sq"))
        dist = ms;
    else
        for (int i = 0; i < d; i++)
            dist += (sqrt(u[i] * u[i] + e * e) - e) / d;
    const double snr = alpha * alpha / (sigma * sigma);
    return dist * (!strcmp(c->weight, "snr+1")   ? snr + 1
                   : !strcmp(c->weight, "trunc") ? fmax(snr, 1)
                                                 : 1);
}

/* x, the teacher's prediction at z, guided. */
static inline void oracle_guide(const oracle_case *c, const double *z, double t, double *x, int d)
{
    double null[ORACLE_MAX];
    if (c->guidance <= 0)
        return;
    oracle_x(c->teacher, z, t, c->null_label, NULL, null);
    for (int i = 0; i < d; i++)
        x[i] = (1 + c->guidance) * x[i] - c->guidance * null[i];
}

static inline double oracle_mc(oracle_case *c)
{
    const few_spec *s = &c->hat->net->spec;
    const int d = s->height * s->width * s->channels;
    const int n_seg = (int)fmax(1, floor(c->n_teacher / c->S + 0.5)), T = n_seg * c->S;
    const int seg =
        (int)few_random_below(c->seed, FEW_RNG_TIME, c->step, c->index, 0, (uint32_t)c->S);
    const int n_rel =
        1 + (int)few_random_below(c->seed, FEW_RNG_TIME, c->step, c->index, 1, (uint32_t)n_seg);
    const double t_step = (double)seg / c->S, t = (double)(seg * n_seg + n_rel) / T,
                 t_s = (double)(seg * n_seg + n_rel - 1) / T;
    const double rng[4] = { (double)(int32_t)c->seed, (double)(int32_t)(c->seed >> 32),
                            (double)c->step, (double)c->index };
    double at, st, as, ss, a0, s0;
    oracle_path(s, t, &at, &st);
    oracle_path(s, t_s, &as, &ss);
    oracle_path(s, t_step, &a0, &s0);
    c->t = t;
    c->n_rel = n_rel;

    double eps[ORACLE_MAX + 4], z_t[ORACLE_MAX], x_T[ORACLE_MAX], z_s[ORACLE_MAX];
    for (int i = 0; i < d; i += 4)
        few_philox_normal((uint32_t[4]){ (uint32_t)i / 4, FEW_RNG_NOISE, c->step, c->index },
                          (uint32_t[2]){ (uint32_t)c->seed, (uint32_t)(c->seed >> 32) }, eps + i);
    for (int i = 0; i < d; i++)
        z_t[i] = at * c->x[i] + st * eps[i];
    double x_var = 0;
    memcpy(x_T, c->x, (size_t)d * sizeof *x_T);
    if (c->teacher) {
        double miss[ORACLE_MAX];
        oracle_x(c->teacher, z_t, t, c->label, NULL, x_T);
        for (int i = 0; i < d; i++)
            miss[i] = c->x[i] - x_T[i];
        if (c->addim && !(c->bare_last && seg * n_seg + n_rel == 1))
            x_var = c->measured ? c->eta * oracle_mean_square(miss, d)
                                : 0.1 / (2 + at * at / (st * st));
        oracle_guide(c, z_t, t, x_T, d);
        if (c->midpoint) {
            const double t_m = (t + t_s) / 2;
            double am, sm, z_m[ORACLE_MAX];
            oracle_path(s, t_m, &am, &sm);
            for (int i = 0; i < d; i++)
                z_m[i] = am * x_T[i] + sm * (z_t[i] - at * x_T[i]) / st;
            oracle_x(c->teacher, z_m, t_m, c->label, NULL, x_T);
            oracle_guide(c, z_m, t_m, x_T, d);
        }
    }
    double eps_T[ORACLE_MAX];
    for (int i = 0; i < d; i++)
        eps_T[i] = (z_t[i] - at * x_T[i]) / st;
    const double gain = as - at * ss / st;
    const double k = sqrt(ss * ss + gain * gain * x_var / oracle_mean_square(eps_T, d));
    for (int i = 0; i < d; i++)
        z_s[i] = as * x_T[i] + k * eps_T[i];

    double x_ref0[ORACLE_MAX], x_hat[ORACLE_MAX], x_ref[ORACLE_MAX];
    oracle_x(c->self, z_s, t_s, c->label, c->self->rng == FEW_NONE ? NULL : rng, x_ref0);
    oracle_x(c->hat, z_t, t, c->label, c->hat->rng == FEW_NONE ? NULL : rng, x_hat);
    for (int i = 0; i < d; i++) {
        const double z_ref =
            n_rel == 1 ? z_s[i] : a0 * x_ref0[i] + s0 / ss * (z_s[i] - as * x_ref0[i]);
        x_ref[i] = (z_ref - s0 / st * z_t[i]) / (a0 - at * s0 / st);
    }
    return oracle_loss(c, x_ref, x_hat, d, at, st);
}

#endif

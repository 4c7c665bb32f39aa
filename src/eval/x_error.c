/* The error of x_hat by time. A sampler of one step that returns x_hat evaluates the network. */
#include "eval/x_error.h"

#include "base/alloc.h"
#include "base/philox.h"
#include "diffusion/step.h"

enum { GROUP = 256 };

static void only_x_hat(const few_spec *spec, const void *options, int k, int n,
                       few_sampler_step *out)
{
    (void)spec, (void)k, (void)n;
    out->t = *(const double *)options;
    out->x = 1;
}

static const few_sampler returns_x_hat = { .name = "x_hat", .step = only_x_hat };

/* A group of images, noised. */
struct group {
    float *x, *z, *x_hat;
    int32_t *label;
    int64_t d; /* numbers of an image */
};

static void noised(const few_spec *s, const few_pack *p, const few_x_error_options *o, double t,
                   uint32_t time, int64_t first, int64_t n, struct group *g)
{
    const few_angle a = few_angle_of(few_schedule_phi(&s->schedule, t));
    const uint32_t key[2] = { (uint32_t)o->seed, (uint32_t)(o->seed >> 32) };
    const uint64_t count = (uint64_t)few_pack_get_info(p)->count;
    for (int64_t i = 0; i < n; i++) {
        const uint32_t index = (uint32_t)(first + i);
        const int64_t image = (int64_t)few_random_permute(o->seed, 0, count, index);
        const uint8_t *bytes = few_pack_image(p, image);
        g->label[i] = s->classes ? few_pack_label(p, image) : 0;
        for (int64_t e = 0; e < g->d; e += 4) {
            const uint32_t counter[4] = { (uint32_t)(e / 4), FEW_RNG_NOISE, time, index };
            double eps[4];
            few_philox_normal(counter, key, eps);
            for (int64_t k = e; k < e + 4 && k < g->d; k++) {
                const double x = bytes[k] / 127.5 - 1;
                g->x[i * g->d + k] = (float)x;
                g->z[i * g->d + k] = (float)(a.alpha * x + a.sigma * eps[k - e]);
            }
        }
    }
}

struct relay {
    const few_x_error_options *o;
    int64_t before;
};

static int relay_progress(void *user, int64_t done, int64_t total)
{
    const struct relay *r = user;
    (void)total;
    return r->o->progress ? r->o->progress(r->o->user, r->before + done, r->o->images * r->o->times)
                          : 0;
}

static few_status measure(const few_net *net, few_drawer *d, const few_pack *pack,
                          const few_x_error_options *o, struct group *g, double *out,
                          few_error *err)
{
    struct relay relay = { o, 0 };
    for (int k = 0; k < o->times; k++) {
        const double t = (double)(k + 1) / o->times;
        double sum = 0;
        for (int64_t at = 0; at < o->images; at += GROUP) {
            const int64_t n = o->images - at < GROUP ? o->images - at : GROUP;
            noised(&net->spec, pack, o, t, (uint32_t)k, at, n, g);
            const few_draw draw = { .sampler = &returns_x_hat,
                                    .options = &t,
                                    .steps = 1,
                                    .label = net->spec.classes ? g->label : NULL,
                                    .noise = g->z,
                                    .progress = relay_progress,
                                    .user = &relay };
            FEW_TRY(few_drawer_draw(d, &draw, n, g->x_hat, err));
            relay.before += n;
            for (int64_t e = 0; e < n * g->d; e++) {
                const double miss = (double)g->x[e] - (double)g->x_hat[e];
                sum += miss * miss;
            }
        }
        out[k] = sum / (double)(o->images * g->d);
    }
    return FEW_OK;
}

few_status few_x_error(const few_net *net, const few_pack *pack, const few_x_error_options *o,
                       double *out, few_error *err)
{
    const few_spec *s = &net->spec;
    const few_pack_info *info = few_pack_get_info(pack);
    few_x_error_options own = *o;
    if (s->steps)
        return few_fail(err, FEW_EINVAL,
                        "a %d-step student's x_hat is where its segment starts, not the mean of x: "
                        "take its teacher",
                        s->steps);
    if (info->height != s->height || info->width != s->width || info->channels != s->channels ||
        (s->classes && info->n_classes != s->classes))
        return few_fail(err, FEW_EINVAL,
                        "the pack is %dx%dx%d with %d classes, the model %dx%dx%d with %d",
                        info->width, info->height, info->channels, info->n_classes, s->width,
                        s->height, s->channels, s->classes);
    own.images = own.images > info->count ? info->count : own.images;
    struct group g = { .d = (int64_t)s->height * s->width * s->channels };
    const size_t bytes = (size_t)(GROUP * g.d) * sizeof(float);
    const few_drawer_options po = { .precision = o->precision,
                                    .workers = o->workers,
                                    .images = own.images < GROUP ? own.images : GROUP };
    few_drawer *d = NULL;
    few_status st = FEW_OK;
    g.x = few_malloc(bytes);
    g.z = few_malloc(bytes);
    g.x_hat = few_malloc(bytes);
    g.label = few_malloc(GROUP * sizeof *g.label);
    if (!g.x || !g.z || !g.x_hat || !g.label)
        st = few_fail(err, FEW_ENOMEM, "out of memory for an evaluation");
    if (st == FEW_OK)
        st = few_drawer_create(s, net->master, &po, &d, err);
    if (st == FEW_OK)
        st = measure(net, d, pack, &own, &g, out, err);
    few_drawer_free(d);
    few_free(g.x);
    few_free(g.z);
    few_free(g.x_hat);
    few_free(g.label);
    return st;
}

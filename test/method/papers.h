/* What tests of methods against their papers share: settings, noise and distances by hand. */
#ifndef TEST_METHOD_PAPERS_H
#define TEST_METHOD_PAPERS_H

#include "method/rig.h"

enum { D = 4 * 4 * 2 };
static const double tol = 1e-9;

static inline double scalar_at(const rig *r, int64_t step, int i, const char *name)
{
    return drawn(&r->ctx, step, i, name);
}

static inline const char *setting(const rig *r, const char *name)
{
    static char text[4][64];
    static int at;
    few_strbuf b;
    few_strbuf_init(&b);
    const few_option *o = few_option_find(r->ctx.method->options, name);
    assert_non_null(o);
    few_option_print(o, r->ctx.options, &b);
    at = (at + 1) % 4;
    snprintf(text[at], sizeof text[at], "%s", b.s);
    few_strbuf_free(&b);
    return text[at];
}

static inline void noise_of(const rig *r, int i, double *eps)
{
    for (int j = 0; j < D; j += 4)
        few_philox_normal(
            (uint32_t[4]){ (uint32_t)j / 4, FEW_RNG_NOISE, (uint32_t)r->step, (uint32_t)i },
            (uint32_t[2]){ (uint32_t)r->ctx.seed, (uint32_t)(r->ctx.seed >> 32) }, eps + j);
}

static inline const double *key_of(const rig *r, int i)
{
    static double key[4];
    key[0] = (double)(int32_t)r->ctx.seed;
    key[1] = (double)(int32_t)(r->ctx.seed >> 32);
    key[2] = (double)r->step;
    key[3] = i;
    return key;
}

static inline double distance(const char *name, const double *u, double e)
{
    const double ms = oracle_mean_square(u, D);
    double sum = 0;
    if (!strcmp(name, "l2sq"))
        return ms;
    if (!strcmp(name, "rms"))
        return sqrt(ms + e * e) - e;
    if (!strcmp(name, "norm"))
        return sqrt(ms * D + e * e) - e;
    for (int j = 0; j < D; j++)
        sum += (sqrt(u[j] * u[j] + e * e) - e) / D;
    return sum;
}

static inline double snr_weight(const char *name, double a, double s)
{
    const double snr = a * a / (s * s);
    return !strcmp(name, "snr+1") ? snr + 1 : !strcmp(name, "trunc") ? fmax(1, snr) : 1;
}

static inline void losses_agree(rig *r, double (*loss)(rig *r, int i))
{
    for (int i = 0; i < N; i++) {
        const double want = loss(r, i), have = r->value[r->loss][i];
        if (!(fabs(have - want) <= 1e-8 * (1e-2 + fabs(want))))
            fail_msg("%s step %lld sample %d: loss %.12g, by hand %.12g", r->ctx.method->name,
                     (long long)r->step, i, have, want);
    }
}

#endif

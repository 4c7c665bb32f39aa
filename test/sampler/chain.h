/* A sampler's chain in double, with any function for the network: what draw.c does with a graph. */
#ifndef TEST_SAMPLER_CHAIN_H
#define TEST_SAMPLER_CHAIN_H

#include "method/oracle.h"
#include "sampler/draw.h"

#include <math.h>

typedef struct chain {
    const few_spec *spec;
    const few_sampler *sampler;
    void *options; /* chain_open's */
    int steps, d;  /* d: numbers of a sample */
    int stop;      /* evaluations to make; 0: all */
    void *user;
    void (*x_hat)(void *user, const double *z, double t, double *x);
    void (*noise)(void *user, int evaluation, double *xi); /* may be NULL where none is needed */
    int evaluations;                                       /* made */
    /* Number 0 is a mean, the others are coefficients of independent noises: z stands for
     * infinitely many numbers, and a mean square over them is an expectation. */
    bool split;
} chain;

/* The sampler with settings "key=value key=value". */
static inline void chain_open(chain *c, const char *sampler, const char *settings)
{
    few_error err = { 0 };
    char text[8192];
    assert_in_range(strlen(settings), 0, sizeof text - 1);
    snprintf(text, sizeof text, "%s", settings);
    c->sampler = few_sampler_find(sampler, &err);
    if (!c->sampler || few_sampler_options_make(c->sampler, &c->options, &err) != FEW_OK)
        fail_msg("%s", err.text);
    for (char *at = strtok(text, " "); at; at = strtok(NULL, " ")) {
        const few_strings one = { .v = &at, .n = 1 };
        if (few_sampler_options_set(c->sampler, c->options, &one, &err) != FEW_OK)
            fail_msg("%s", err.text);
    }
}

static inline void chain_close(chain *c)
{
    few_sampler_options_free(c->sampler, c->options);
    c->options = NULL;
}

static inline void chain_run(chain *c, double *z)
{
    const size_t n = (size_t)c->d;
    double *x = few_calloc(n * 5, sizeof *x), *base = x + n, *past = x + 2 * n, *xi = x + 3 * n,
           *eps = x + 4 * n;
    const int all = few_sampler_evaluations(c->sampler, c->options, c->steps);
    c->evaluations = c->stop ? c->stop : all;
    for (int k = 0; k < c->evaluations; k++) {
        const few_sampler_step s =
            few_sampler_step_of(c->sampler, c->spec, c->options, k, c->steps);
        double alpha, sigma, m = 0;
        oracle_path(c->spec, s.t, &alpha, &sigma);
        if (s.keep_z)
            memcpy(base, z, n * sizeof *z);
        c->x_hat(c->user, z, s.t, x);
        for (size_t i = 0; i < n; i++) {
            eps[i] = (z[i] - alpha * x[i]) / sigma;
            m += eps[i] * eps[i] / (c->split ? 1 : (double)n);
        }
        m += 1e-20;
        const double of_eps = sqrt(s.k0 + s.k1 / m) + s.k2 / m, of_xi = sqrt(s.n0 + s.n1 / m);
        if (of_xi > 0)
            c->noise(c->user, k, xi);
        for (size_t i = 0; i < n; i++)
            z[i] = s.z * z[i] + s.x * x[i] + of_eps * eps[i] + s.base * base[i] + s.past * past[i] +
                   (of_xi > 0 ? of_xi * xi[i] : 0);
        if (s.keep_x)
            memcpy(past, x, n * sizeof *x);
    }
    few_free(x);
}

#endif

/* The optimiser as a plain loop in double. */
#ifndef TEST_CPU_PLAIN_UPDATE_H
#define TEST_CPU_PLAIN_UPDATE_H

#include "graph/backend.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>

/* One parameter's numbers in double. */
struct plain {
    double p, m, v, ema[2];
};

/* Adam (arXiv:1412.6980, algorithm 1) or RAdam (arXiv:1908.03265, algorithm 2), decay decoupled
 * (arXiv:1711.05101). */
static inline void plain_step(struct plain *q, const few_update *u, double g)
{
    const double t = (double)u->step;
    q->m = u->beta1 * q->m + (1 - u->beta1) * g;
    q->v = u->beta2 * q->v + (1 - u->beta2) * g * g;
    const double m_hat = q->m / (1 - pow(u->beta1, t));
    const double root = sqrt(q->v / (1 - pow(u->beta2, t)));
    double step = u->lr * m_hat / (root + u->eps);
    if (u->radam) {
        const double most = 2 / (1 - u->beta2) - 1;
        const double rho = most - 2 * t * pow(u->beta2, t) / (1 - pow(u->beta2, t));
        step = rho > 5 ? step * sqrt((rho - 4) * (rho - 2) * most / ((most - 4) * (most - 2) * rho))
                       : u->lr * m_hat;
    }
    q->p -= u->lr * u->weight_decay * q->p + step;
    for (int k = 0; k < u->n_ema; k++)
        q->ema[k] = u->ema_decay[k] * q->ema[k] + (1 - u->ema_decay[k]) * q->p;
}

static inline void near(double got, double want, const char *what, int64_t step)
{
    if (!(fabs(got - want) <= 3e-6 * (0.01 + fabs(want))))
        fail_msg("%s after step %lld: %.9g, by hand %.9g", what, (long long)step, got, want);
}

#endif

/* Repeatable numbers for tests. */
#ifndef FEW_TEST_EVAL_NUMBERS_H
#define FEW_TEST_EVAL_NUMBERS_H

#include "eval/stats.h"

#include <math.h>
#include <stdint.h>

/* In double; cmocka's own comparison is one of floats. */
#define expect_near(a, b, tolerance)                                                               \
    do {                                                                                           \
        const double a_ = (a), b_ = (b);                                                           \
        if (!(fabs(a_ - b_) <= (tolerance)))                                                       \
            fail_msg("%s = %.17g, %s = %.17g, apart by %g", #a, a_, #b, b_, fabs(a_ - b_));        \
    } while (0)

static uint64_t random_state = 1;

/* Uniform in [0,1). */
static inline double uniform(void)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (double)(random_state >> 11) * 0x1p-53;
}

static inline double normal(void)
{
    const double r = sqrt(-2 * log(1 - uniform()));
    return r * cos(6.283185307179586 * uniform());
}

/* Moments with the given numbers; free them. */
static inline few_moments moments(int d, const double *mu, const double *sigma)
{
    few_moments m;
    assert_int_equal(few_moments_init(&m, d, NULL), FEW_OK);
    for (int i = 0; i < d; i++)
        m.mu[i] = mu[i];
    for (int i = 0; i < d * d; i++)
        m.sigma[i] = sigma[i];
    return m;
}

#endif

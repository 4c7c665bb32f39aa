/* Arrays that are to agree but for rounding. */
#ifndef TEST_CPU_NEAR_H
#define TEST_CPU_NEAR_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>

/* Every element of a is within tol times the largest of b; b is not all 0. */
static void near(const float *a, const float *b, int64_t n, double tol, const char *what)
{
    double largest = 0;
    for (int64_t k = 0; k < n; k++)
        largest = fmax(largest, fabs((double)b[k]));
    assert_true(largest > 0);
    for (int64_t k = 0; k < n; k++)
        if (!(fabs((double)a[k] - (double)b[k]) <= tol * largest))
            fail_msg("%s: element %lld is %.9g, not %.9g (largest %.3g)", what, (long long)k,
                     (double)a[k], (double)b[k], largest);
}

#endif

/* Numbers in double, compared relative to the wanted one. */
#ifndef TEST_DIFFUSION_NEAR_H
#define TEST_DIFFUSION_NEAR_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define near(have, want, tol) near_at(have, want, tol, #have, __LINE__)
static inline void near_at(double have, double want, double tol, const char *what, int line)
{
    if (!(fabs(have - want) <= tol * fmax(fabs(want), 1e-300) || have == want))
        fail_msg("line %d: %s is %.15g, wanted %.15g", line, what, have, want);
}

#endif

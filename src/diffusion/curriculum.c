/* The teacher-step curriculum. */
#include "diffusion/curriculum.h"

#include <math.h>

double few_curriculum_n_teacher(const few_curriculum *c, double i)
{
    if (!c->annealed)
        return c->n1;
    const double at = c->steps > 0 ? fmin(1, fmax(0, i / c->steps)) : 1;
    return exp(log(c->n0) + at * (log(c->n1) - log(c->n0)));
}

int few_curriculum_n_seg(double n_teacher, int S)
{
    const double n = floor(n_teacher / S + 0.5);
    return n < 1 ? 1 : (int)n;
}

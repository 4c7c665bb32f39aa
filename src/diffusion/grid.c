/* Integer-exact times. */
#include "diffusion/grid.h"

double few_time_value(few_time t)
{
    return (double)t.i / (double)t.n;
}

few_grid_draw few_grid_at(int64_t S, int64_t n_seg, int64_t step, int64_t n_rel)
{
    const int64_t T = S * n_seg, start = step * n_seg;
    few_grid_draw d = { .it = { start + n_rel, T },
                        .is = { start + n_rel - 1, T },
                        .its = { start, T } };
    d.t = few_time_value(d.it);
    d.s = few_time_value(d.is);
    d.ts = few_time_value(d.its);
    return d;
}

few_time few_grid_uniform(int64_t k, int64_t n)
{
    return (few_time){ n - k, n };
}

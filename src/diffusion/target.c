/* w1 = sin(phi_ts) sin(phi_t - phi_s) / (sin(phi_s) sin(phi_t - phi_ts)),
 * w_eps = (sigma_ts / sigma_s) / D_{t->ts}. */
#include "diffusion/target.h"

#include <math.h>

few_target few_target_weights(double phi_t, double phi_s, double phi_ts, bool at_start)
{
    const double span = sin(phi_t - phi_ts);
    if (at_start)
        return (few_target){ 1, 0, sin(phi_t) / span };
    const double ratio = sin(phi_ts) / sin(phi_s), w1 = ratio * sin(phi_t - phi_s) / span;
    return (few_target){ w1, 1 - w1, ratio * sin(phi_t) / span };
}

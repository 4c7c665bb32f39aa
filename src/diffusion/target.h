/* The target of multistep consistency in closed form: with ts < s < t,
 *     x_ref = w_teacher x_T + w_self x_ref0 + w_eps (k - sigma_s) eps_T
 * equals invDDIM_{t->ts}(DDIM_{s->ts}(x_ref0, z_s), z_t) for z_s = alpha_s x_T + k eps_T, and
 * nothing cancels. */
#ifndef FEW_DIFFUSION_TARGET_H
#define FEW_DIFFUSION_TARGET_H

#include <stdbool.h>

typedef struct few_target {
    double teacher, self, eps;
} few_target;

/* at_start: s is ts exactly (the draw's n_rel is 1): then teacher = 1 and self = 0, exactly. */
few_target few_target_weights(double phi_t, double phi_s, double phi_ts, bool at_start);

#endif

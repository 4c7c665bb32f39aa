/* Multistep consistency, Algorithm 1 of arXiv:2403.06807, for mct.c and mcd.c.
 *
 * The path from noise (t = 1) to data (t = 0) is cut into S segments; inside the segment that
 * starts at ts, the student learns to agree with itself after one teacher step t -> s:
 *
 *     z_t = alpha_t x + sigma_t eps
 *     x_T = x (training) or the teacher's prediction at z_t (distillation)
 *     z_s = aDDIM_{t->s}(x_T, z_t)
 *     x_ref = invDDIM_{t->ts}(DDIM_{s->ts}(f(z_s, s), z_s), z_t)        no gradient
 *     loss = w_t dist(x_ref - f(z_t, t))
 *
 * x_ref is computed in the closed form w1 x_T + (1 - w1) f(z_s, s) + c (k - sigma_s) eps_T, where
 * nothing cancels. Easy to get wrong: the x variance of aDDIM comes from the unguided prediction.
 *
 * teacher_step midpoint is no part of the paper: x_T is then the prediction at the middle of the
 * step, where DDIM has taken z_t by the prediction at t. That is the second-order exponential
 * midpoint rule (DPM-Solver-2, arXiv:2206.00927, with the middle in t), for one more evaluation. */
#include "method/multistep_consistency.h"

#include "base/philox.h"
#include "diffusion/curriculum.h"
#include "diffusion/grid.h"
#include "diffusion/loss.h"
#include "diffusion/step.h"
#include "diffusion/target.h"

#include <math.h>
#include <string.h>

enum {
    T, /* the student's evaluations, */
    S = T + FEW_POINT,
    TEACHER_T = S + FEW_POINT, /* and the teacher's, */
    TEACHER_M = TEACHER_T + FEW_POINT,
    ALPHA_T = TEACHER_M + FEW_POINT,
    SIGMA_T, /* z_t */
    ALPHA_S,
    SIGMA_S2, /* z_s = alpha_s x_T + k eps_T */
    EPS_Z,
    EPS_X,   /* eps_T = EPS_Z z_t + EPS_X x_T */
    D2_XVAR, /* aDDIM: D^2 eta when measured, else D^2 x_var */
    U_TEACHER,
    U_SELF,
    U_HAT, /* u = w1 q x_T + (1-w1) q x_ref0 - q x_hat + ... */
    U_EPS, /* ... + U_EPS (k - sigma_s) eps_T */
    Z_M_Z,
    Z_M_X, /* midpoint: z_m = Z_M_Z z_t + Z_M_X x_T */
    WEIGHT,
    N_SCALARS
};

const char *const few_mc_scalars[] = {
    FEW_POINT_NAMES("t"),
    FEW_POINT_NAMES("s"),
    FEW_POINT_NAMES("teacher_t"),
    FEW_POINT_NAMES("teacher_m"),
    "alpha_t",
    "sigma_t",
    "alpha_s",
    "sigma_s2",
    "eps_z",
    "eps_x",
    "d2_xvar",
    "u_teacher",
    "u_self",
    "u_hat",
    "u_eps",
    "z_m_z",
    "z_m_x",
    "weight",
    NULL,
};

few_status few_mc_check(const few_method_ctx *c, few_error *err)
{
    const few_mc_options *o = c->options;
    if (c->spec->steps < 1 || c->spec->steps > 64)
        return few_fail(err, FEW_ECONFIG, "a student is made for 1 to 64 steps, not %d",
                        c->spec->steps);
    if (!strcmp(o->curriculum, "annealed") && o->teacher_to < o->teacher_from)
        return few_fail(err, FEW_ECONFIG, "teacher_to (%g) is below teacher_from (%g)",
                        o->teacher_to, o->teacher_from);
    if (o->guidance > 0 && c->teacher && c->teacher->classes < 1)
        return few_fail(err, FEW_ECONFIG,
                        "guidance wants a class-conditional teacher; this one has no classes");
    if (o->guidance > 0 && c->teacher && !c->teacher->null_class)
        return few_fail(err, FEW_ECONFIG,
                        "guidance wants a teacher that was trained without labels, too "
                        "(train.label_drop); this one was not");
    if (o->x_var && !strcmp(o->x_var, "table") && !(c->teacher && c->teacher->x_error.n))
        return few_fail(
            err, FEW_ECONFIG,
            "x_var: table: the teacher has none; make a copy that has one with 'fewstep "
            "eval xvar RUN_OR_FILE -o FILE'");
    return FEW_OK;
}

/* A prediction that is part of the target. */
static few_val as_target(few_method_ctx *c, const few_mc_options *o, few_val x)
{
    return few_stop_gradient(c->g, o->clip ? few_clamp(c->g, x, -1, 1) : x);
}

/* k of aDDIM, per sample: sqrt(sigma_s^2 + q), q = D^2 x_var / mean(eps_T^2); and k - sigma_s as
 * q / (k + sigma_s), since the difference of floats may lose all of it. */
static few_val addim_k(few_method_ctx *c, few_val x_var_term, few_val eps_T, few_val *more)
{
    few_graph *g = c->g;
    const few_val ms = few_affine(g, few_mean_square(g, eps_T), 1, 1e-20);
    const few_val q = few_div(g, x_var_term, ms), sigma_s = few_sqrt(g, c->scalar[SIGMA_S2]);
    const few_val k = few_sqrt(g, few_add(g, q, c->scalar[SIGMA_S2]));
    *more = few_div(g, q, few_affine(g, few_add(g, k, sigma_s), 1, 1e-30));
    return k;
}

/* The teacher's prediction of x, guided: (1+g) f(c) - g f(null). *cond: the unguided one. */
static few_val teacher_x(few_method_ctx *c, const few_mc_options *o, few_val z, int point,
                         few_val *cond)
{
    *cond = few_method_predict_x(c, FEW_SET_TEACHER, z, point, c->label);
    few_val x = *cond;
    if (o->guidance > 0) {
        const few_val null = few_method_predict_x(c, FEW_SET_TEACHER, z, point, c->null_label);
        x = few_add(c->g, few_affine(c->g, *cond, 1 + o->guidance, 0),
                    few_affine(c->g, null, -o->guidance, 0));
    }
    return as_target(c, o, x);
}

few_val few_mc_build(few_method_ctx *c, const few_mc_options *o, int self, bool distil)
{
    const few_val *k = c->scalar;
    few_graph *g = c->g;

    few_graph_label(g, "z_t");
    const few_val eps = few_method_noise(c);
    const few_val z_t =
        few_method_mix(c, 2, (few_val[]){ c->x, eps }, (few_val[]){ k[ALPHA_T], k[SIGMA_T] });

    few_val x_T = c->x, x_cond = c->x;
    if (distil)
        x_T = teacher_x(c, o, z_t, TEACHER_T, &x_cond);
    if (distil && !strcmp(o->teacher_step, "midpoint")) {
        few_val ignored;
        few_graph_label(g, "z_m");
        const few_val z_m =
            few_method_mix(c, 2, (few_val[]){ z_t, x_T }, (few_val[]){ k[Z_M_Z], k[Z_M_X] });
        x_T = teacher_x(c, o, few_stop_gradient(g, z_m), TEACHER_M, &ignored);
    }

    few_graph_label(g, "z_s");
    const few_val eps_T =
        few_method_mix(c, 2, (few_val[]){ z_t, x_T }, (few_val[]){ k[EPS_Z], k[EPS_X] });
    few_val root, more = FEW_NONE; /* k; k - sigma_s where it is not 0 */
    if (!distil || strcmp(o->teacher_step, "addim") != 0) {
        root = few_sqrt(g, k[SIGMA_S2]); /* x_var = 0 */
    } else if (strcmp(o->x_var, "measured") != 0) {
        root = addim_k(c, k[D2_XVAR], eps_T, &more);
    } else {
        const few_val miss = few_add(g, x_cond, few_affine(g, c->x, -1, 0));
        root = addim_k(c, few_mul(g, k[D2_XVAR], few_mean_square(g, miss)), eps_T, &more);
    }
    const few_val z_s = few_stop_gradient(
        g, few_method_mix(c, 2, (few_val[]){ x_T, eps_T }, (few_val[]){ k[ALPHA_S], root }));

    const few_val x_ref0 = as_target(c, o, few_method_predict_x(c, self, z_s, S, c->label));
    const few_val x_hat = few_method_predict_x(c, FEW_SET_LIVE, z_t, T, c->label);

    few_graph_label(g, "distance");
    const few_val of_eps = more == FEW_NONE ? FEW_NONE : few_mul(g, k[U_EPS], more);
    const few_val u =
        few_method_mix(c, more == FEW_NONE ? 3 : 4, (few_val[]){ x_hat, x_T, x_ref0, eps_T },
                       (few_val[]){ k[U_HAT], k[U_TEACHER], k[U_SELF], of_eps });
    return few_mul(g, few_method_distance(c, o->distance, u, o->huber), k[WEIGHT]);
}

static int segments(const few_method_ctx *c, int64_t step)
{
    const few_mc_options *o = c->options;
    const few_curriculum cur = { .annealed = !strcmp(o->curriculum, "annealed"),
                                 .n0 = o->teacher_from,
                                 .n1 = o->teacher_to,
                                 .steps = o->anneal * (double)c->steps };
    return few_curriculum_n_seg(few_curriculum_n_teacher(&cur, (double)step), c->spec->steps);
}

/* One of the n n_seg cells of the grid, all equally likely. Stratified: one u a step, the batch's
 * cells are those of (u + index/batch) mod 1. */
static few_grid_draw draw_times(const few_method_ctx *c, int64_t step, int64_t index)
{
    const few_mc_options *o = c->options;
    const int n = c->spec->steps, n_seg = segments(c, step);
    const uint32_t i = (uint32_t)step, b = (uint32_t)index;
    if (!strcmp(o->times, "stratified")) {
        const double u = few_random_uniform(c->seed, FEW_RNG_TIME, i, 0, 0);
        const double at = fmod(u + (double)index / (double)c->batch, 1) * n * n_seg;
        const int cell = at < n * n_seg ? (int)at : n * n_seg - 1; /* rounding */
        return few_grid_at(n, n_seg, cell / n_seg, 1 + cell % n_seg);
    }
    const int seg = (int)few_random_below(c->seed, FEW_RNG_TIME, i, b, 0, (uint32_t)n);
    const int n_rel = 1 + (int)few_random_below(c->seed, FEW_RNG_TIME, i, b, 1, (uint32_t)n_seg);
    return few_grid_at(n, n_seg, seg, n_rel);
}

/* The variance of x at time t, or what the measured one is multiplied with. */
static double x_var(const few_method_ctx *c, const few_mc_options *o, double t, few_angle a)
{
    if (o->x_var && !strcmp(o->x_var, "analytic"))
        return few_x_var_analytic(a.alpha, a.sigma);
    if (o->x_var && !strcmp(o->x_var, "table"))
        return few_x_var_measured(o->eta,
                                  few_x_var_table(c->teacher->x_error.v, c->teacher->x_error.n, t));
    return o->eta;
}

void few_mc_draw(const few_method_ctx *c, int64_t step, int64_t index, double *v)
{
    few_mc_fill(c, c->options, draw_times(c, step, index), v);
}

void few_mc_fill(const few_method_ctx *c, const few_mc_options *o, few_grid_draw d, double *v)
{
    const few_schedule *sch = &c->spec->schedule;
    const double phi_t = few_schedule_phi(sch, d.t), phi_s = few_schedule_phi(sch, d.s),
                 phi_ts = few_schedule_phi(sch, d.ts);
    const few_angle t = few_angle_of(phi_t), s = few_angle_of(phi_s);
    const few_target w = few_target_weights(phi_t, phi_s, phi_ts, d.is.i == d.its.i);
    const double D = few_ddim(phi_t, phi_s).D;

    const double t_m = (double)(2 * d.it.i - 1) / (double)(2 * d.it.n);
    const few_ddim_coef to_m = few_ddim(phi_t, few_schedule_phi(sch, t_m));
    few_method_point(c->spec, d.t, &v[T]);
    few_method_point(c->spec, d.s, &v[S]);
    if (c->teacher) {
        few_method_point(c->teacher, d.t, &v[TEACHER_T]);
        few_method_point(c->teacher, t_m, &v[TEACHER_M]);
    }
    v[Z_M_Z] = to_m.r;
    v[Z_M_X] = to_m.D;
    v[ALPHA_T] = t.alpha;
    v[SIGMA_T] = t.sigma;
    v[ALPHA_S] = s.alpha;
    v[SIGMA_S2] = s.sigma * s.sigma;
    v[EPS_Z] = 1 / t.sigma;
    v[EPS_X] = -t.alpha / t.sigma;
    const bool bare = d.is.i == 0 && o->last && !strcmp(o->last, "x_hat");
    v[D2_XVAR] = bare ? 0 : D * D * x_var(c, o, d.t, t);
    /* v_norm: the distance of v rather than x, so u is divided by sigma_t and the weight is 1. */
    const bool v_norm = !strcmp(o->weight, "v_norm");
    const double q = v_norm ? 1 / t.sigma : 1;
    v[U_TEACHER] = q * w.teacher;
    v[U_SELF] = q * w.self;
    v[U_HAT] = -q;
    v[U_EPS] = q * w.eps;
    v[WEIGHT] = few_loss_weight(o->weight, t.alpha, t.sigma);
}

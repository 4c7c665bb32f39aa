/* What must hold on data whose answers are known in closed form: vectors on
 * Gaussian data, and properties of targets. Schedule: cosine with limits +-20, so the angle is
 * linear in time. */
#include "diffusion/near.h"

#include "diffusion/gauss.h"
#include "diffusion/grid.h"
#include "diffusion/loss.h"
#include "diffusion/schedule.h"
#include "diffusion/step.h"
#include "diffusion/target.h"

#include <stdlib.h>

static const double tol = 1e-10;
static const few_gauss gauss = { 0.2, 0.5 };

static double phi(double t)
{
    const double b = atan(exp(-10)), a = atan(exp(10)) - b;
    return a * t + b;
}

static double denoise(double t, double z)
{
    return few_gauss_denoise(&gauss, phi(t), z);
}

static void gaussian_data(void **state)
{
    (void)state;
    near(denoise(0.25, -0.8), -0.432077073518, tol); /* 29 */
    near(denoise(0.5, -0.8), -0.0662741699797, tol);
    near(denoise(0.75, -0.8), 0.105786967501, tol);
    near(denoise(1, -0.8), 0.199990919911, tol);
    near(few_gauss_total(&gauss, phi(0.25)), 0.359846995803, tol); /* 30 */
    near(few_gauss_total(&gauss, phi(0.5)), 0.625, tol);
    near(few_gauss_total(&gauss, phi(0.75)), 0.890153004197, tol);
    near(few_gauss_variance(&gauss, phi(0.75)), 0.239716468659, tol);
    near(few_gauss_flow(&gauss, phi(0.75), phi(0.5), -0.8), -0.593058439536, tol); /* 31 */
    near(few_gauss_flow(&gauss, phi(0.75), phi(0), -0.8), -0.264525811646, tol);
    near(few_gauss_flow(&gauss, phi(1), phi(0.5), -0.8), -0.491041354644, tol);
    near(few_gauss_flow(&gauss, phi(1), phi(0), -0.8), -0.200004541745, tol);
    near(few_gauss_consistency(&gauss, phi(0.75), phi(0), -0.8), -0.264491473277, tol); /* 32 */
    near(few_gauss_consistency(&gauss, phi(1), phi(0), -0.8), -0.199968222419, tol);
    near(few_gauss_consistency(&gauss, phi(0.75), phi(0.5), -0.8), 0.0464535325701, tol);
    near(few_gauss_consistency(&gauss, phi(1), phi(0.5), -0.8), 0.105567450155, tol);
    near(few_gauss_consistency(&gauss, phi(0.6), phi(0.5), -0.8), -0.0108784917542, 1e-9);
}

/* n uniform DDIM steps from t = 1 with the exact denoiser. */
static double ddim(int n, double z)
{
    for (int k = n; k > 0; k--) {
        const double t = (double)k / n, s = (k - 1.0) / n;
        const few_ddim_coef c = few_ddim(phi(t), phi(s));
        z = c.D * denoise(t, z) + c.r * z;
    }
    return z;
}

static void ddim_converges(void **state)
{
    (void)state;
    static const int n[] = { 1, 2, 4, 8, 16, 64, 256, 1024 };
    static const double want[] = { 0.199954599349,  0.0399673112467, -0.0667738291322,
                                   -0.129114308607, -0.163151873289, -0.190481068467,
                                   -0.197602532176, -0.199402688872 };
    for (int k = 0; k < 8; k++)
        near(ddim(n[k], -0.8), want[k], 1e-10); /* 35, 36 */
    const double exact = -0.200004541745;
    const double order = log2(fabs(ddim(256, -0.8) - exact) / fabs(ddim(512, -0.8) - exact));
    assert_true(order >= 0.95);
    static const int m[] = { 1, 2, 4, 8, 64 };
    static const double std[] = { 5.67499121739e-05, 0.200038590249, 0.333463501353, 0.411388216252,
                                  0.488095795447 };
    for (int k = 0; k < 5; k++) /* 37: the output is affine in z */
        near(ddim(m[k], 1) - ddim(m[k], 0), std[k], 1e-9);
}

/* mcd's teacher_step midpoint: x from the middle of the step, where DDIM has gone by x at its
 * start. Doubling the steps halves DDIM's error and divides this one by nearly four: the k-th step
 * before the end, where sigma falls to nothing, adds 1/k of the others' error, a logarithm in all.
 */
static void midpoint_is_second_order(void **state)
{
    (void)state;
    const double z1 = -0.8, exact = few_gauss_flow(&gauss, phi(1), phi(0), z1);
    double before = 0;
    for (int n = 8; n <= 256; n *= 2) {
        double z = z1;
        for (int k = n; k > 0; k--) {
            const double t = (double)k / n, s = (k - 1.0) / n, m = (t + s) / 2;
            const few_ddim_coef half = few_ddim(phi(t), phi(m)), whole = few_ddim(phi(t), phi(s));
            z = whole.D * denoise(m, half.D * denoise(t, z) + half.r * z) + whole.r * z;
        }
        const double error = fabs(z - exact);
        assert_true(error < fabs(ddim(2 * n, z1) - exact) / (n < 64 ? 1 : 5));
        if (n > 16)
            assert_true(before / error > 3 && before / error < 4);
        before = error;
    }
}

static void ddim_is_euler(void **state)
{
    (void)state;
    for (int k = 1; k < 40; k++) {
        const double t = k / 40.0, s = (k - 1) / 41.0, z = -1.3 + 0.07 * k, x = 0.4 - 0.02 * k;
        const few_ddim_coef c = few_ddim(phi(t), phi(s));
        const double e_t = tan(phi(t)), e_s = tan(phi(s)), y = z / cos(phi(t));
        const double euler = (y + (e_s - e_t) * (y - x) / e_t) * cos(phi(s));
        assert_true(fabs(c.D * x + c.r * z - euler) < 1e-12 * fmax(1, fabs(y)));
    }
}

/* The student that consistency training converges to on Gaussian data, as an affine function:
 * f(z, t) = mu + A_t (z - alpha_t mu); A for every time of the grid (property 7). */
static double *fixed_point(int S, int n_seg)
{
    const int T = S * n_seg;
    double *A = malloc(sizeof *A * (size_t)(T + 1));
    for (int seg = 0; seg < S; seg++)
        for (int n = 1; n <= n_seg; n++) {
            const few_grid_draw d = few_grid_at(S, n_seg, seg, n);
            const double pt = phi(d.t), ps = phi(d.s), pts = phi(d.ts);
            const few_target w = few_target_weights(pt, ps, pts, n == 1);
            const few_ddim_coef step = few_ddim(pt, ps);
            const double c = cos(pt) * 0.25 / few_gauss_total(&gauss, pt), g = step.r + step.D * c;
            A[d.it.i] = w.teacher * c + w.self * g * (n > 1 ? A[d.it.i - 1] : 0);
        }
    return A;
}

static void fixed_points_of_training(void **state)
{
    (void)state;
    static const int S[] = { 1, 2, 4, 8 }, seg[] = { 1, 2, 8, 64, 1280 };
    static const double want[4][5] = {
        { 5.67499121739e-05, 0.200038590249, 0.411388216252, 0.488095795447, 0.499398065437 },
        { 0.200038590249, 0.333463501353, 0.453934689203, 0.494012869392, 0.499698943153 },
        { 0.333463501353, 0.411388216252, 0.476462240422, 0.496997524049, 0.49984944989 },
        { 0.411388216252, 0.453934689203, 0.488095795447, 0.498496515504, 0.499924720245 },
    };
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 5; j++) {
            double *A = fixed_point(S[i], seg[j]), slope = 1;
            for (int k = S[i]; k > 0; k--) {
                const few_ddim_coef c = few_ddim(phi((double)k / S[i]), phi((k - 1.0) / S[i]));
                slope *= c.r + c.D * A[k * seg[j]];
            }
            near(slope, want[i][j], 1e-9);
            if (S[i] == 2 && seg[j] == 8)
                near(A[16], 0.102800266054, tol);
            free(A);
        }
    const few_ddim_coef one = few_ddim(phi(1), phi(0)), half = few_ddim(phi(1), phi(0.5));
    near((sqrt(few_gauss_total(&gauss, phi(0)) / few_gauss_total(&gauss, phi(1))) - one.r) / one.D,
         0.499954603548, 1e-9);
    near((sqrt(few_gauss_total(&gauss, phi(0.5)) / few_gauss_total(&gauss, phi(1))) - half.r) /
             half.D,
         0.118039347562, 1e-9);
}

/* Property 6: distillation on a grid of T = S n_seg teacher steps (aDDIM with the analytic
 * variance; DDIM when x_var is 0). The converged student on one trajectory, tabulated, sampled in S
 * steps, lands where the teacher does after T. Dimension 1, so aDDIM's mean(eps^2) is eps^2. */
static double teacher_step(double t, double s, double z, double x_var_scale, double *x_T, double *k,
                           double *eps)
{
    const few_angle a = few_angle_of(phi(t));
    *x_T = denoise(t, z);
    *eps = (z - a.alpha * *x_T) / a.sigma;
    *k = few_addim_k(phi(t), phi(s), x_var_scale * few_x_var_analytic(a.alpha, a.sigma),
                     *eps * *eps);
    return cos(phi(s)) * *x_T + *k * *eps;
}

static void distilled_students_match_teachers(void **state)
{
    (void)state;
    static const int S[] = { 1, 2, 4, 8 }, seg[] = { 1, 2, 5, 16 };
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++)
            for (int addim = 0; addim < 2; addim++)
                for (double z1 = -1.7; z1 < 2; z1 += 0.61) {
                    const int T = S[i] * seg[j];
                    double *z = malloc(sizeof *z * (size_t)(T + 1)),
                           *f = malloc(sizeof *f * (size_t)(T + 1));
                    double x_T, k, eps;
                    z[T] = z1;
                    for (int n = T; n > 0; n--)
                        z[n - 1] =
                            teacher_step((double)n / T, (n - 1.0) / T, z[n], addim, &x_T, &k, &eps);
                    for (int n = 1; n <= T; n++) { /* f at z_n: Algorithm 1's target */
                        const few_grid_draw d =
                            few_grid_at(S[i], seg[j], (n - 1) / seg[j], (n - 1) % seg[j] + 1);
                        const few_target w = few_target_weights(phi(d.t), phi(d.s), phi(d.ts),
                                                                (n - 1) % seg[j] == 0);
                        teacher_step(d.t, d.s, z[n], addim, &x_T, &k, &eps);
                        f[n] = w.teacher * x_T + (w.self != 0 ? w.self * f[n - 1] : 0) +
                               w.eps * (k - sin(phi(d.s))) * eps;
                    }
                    double student = z1;
                    for (int n = T; n > 0; n -= seg[j]) {
                        const few_ddim_coef c =
                            few_ddim(phi((double)n / T), phi((double)(n - seg[j]) / T));
                        student = c.D * f[n] + c.r * student;
                    }
                    assert_true(fabs(student - z[0]) < 1e-9);
                    free(z);
                    free(f);
                }
}

/* Property 1: at the first teacher step of a segment the target is x_T alone. Property 2: with one
 * teacher step a segment every draw is of that kind. Property 3: with one segment the target is the
 * student's own prediction but for w1, which is small. Property 5: a constant-zero student still
 * has a loss there. */
static void edges(void **state)
{
    (void)state;
    for (int S = 1; S <= 16; S *= 2)
        for (int step = 0; step < S; step++) {
            const few_grid_draw d = few_grid_at(S, 1, step, 1);
            assert_true(d.is.i == d.its.i && d.s == d.ts);
            const few_target w = few_target_weights(phi(d.t), phi(d.s), phi(d.ts), true);
            assert_true(w.teacher == 1 && w.self == 0);
        }
    for (int n = 2; n <= 64; n++) {
        const few_grid_draw d = few_grid_at(1, 64, 0, n);
        const few_target w = few_target_weights(phi(d.t), phi(d.s), phi(d.ts), false);
        assert_true(w.teacher > 0 && w.teacher < 0.02 && w.teacher + w.self == 1);
    }
    const double u = 0.9 - 0; /* x_ref - f with f = 0 */
    assert_true(few_distance_find("rms", NULL)->value(&u, 1, 1e-4) > 0.8);
}

/* Property 4: with the exact consistency function and exact flow steps the target is the function.
 */
static void exact_functions_are_consistent(void **state)
{
    (void)state;
    for (int S = 1; S <= 8; S *= 2)
        for (int seg = 0; seg < S; seg++)
            for (int n = 2; n <= 6; n++) {
                const few_grid_draw d = few_grid_at(S, 6, seg, n);
                const double z = 0.7, z_s = few_gauss_flow(&gauss, phi(d.t), phi(d.s), z);
                const double f_s = few_gauss_consistency(&gauss, phi(d.s), phi(d.ts), z_s);
                const few_ddim_coef down = few_ddim(phi(d.s), phi(d.ts));
                const double x_ref =
                    few_inv_ddim(few_ddim(phi(d.t), phi(d.ts)), down.D * f_s + down.r * z_s, z);
                near(x_ref, few_gauss_consistency(&gauss, phi(d.t), phi(d.ts), z), 1e-9);
            }
    /* Sampling with it is exact in any number of steps. */
    for (int S = 1; S <= 16; S *= 2) {
        double z = -0.8;
        for (int k = S; k > 0; k--) {
            const double pt = phi((double)k / S), ps = phi((k - 1.0) / S);
            const few_ddim_coef c = few_ddim(pt, ps);
            z = c.D * few_gauss_consistency(&gauss, pt, ps, z) + c.r * z;
        }
        near(z, -0.200004541745, tol);
    }
}

/* aDDIM restores the norm that DDIM loses: E |z_s|^2 over the posterior. */
static void addim_restores_the_norm(void **state)
{
    (void)state;
    const double pt = phi(0.75), ps = phi(0.5), z = -0.8;
    const double x = few_gauss_denoise(&gauss, pt, z), v = few_gauss_variance(&gauss, pt);
    const few_ddim_coef c = few_ddim(pt, ps);
    const double eps = (z - cos(pt) * x) / sin(pt), k = few_addim_k(pt, ps, v, eps * eps);
    near(k * k * eps * eps - sin(ps) * sin(ps) * eps * eps, c.D * c.D * v, 1e-9);
    near(few_addim_k(pt, ps, 0, eps * eps), sin(ps), 1e-12);
    assert_true(isfinite(few_addim_k(pt, ps, 0.1, 0)));
}

static void mixtures(void **state)
{
    (void)state;
    static const double weight[] = { 0.3, 0.7 }, mu[] = { -0.6, 0.5 }, s[] = { 0.2, 0.1 };
    const few_mixture m = { 2, weight, mu, s };
    near(few_mixture_denoise(&m, phi(0.75), -0.8), 0.0688214275206, tol);
    near(few_mixture_denoise(&m, phi(0.5), 0.3), 0.283383201802, tol);
    near(few_mixture_denoise(&m, phi(0.9), 0), 0.170497197829, tol);
    static const double from[] = { -0.8, 0, 1 },
                        half[] = { -0.516982947, 0.135500049, 0.918653333 },
                        end[] = { -0.63970239, 0.387158629, 0.608995108 },
                        f[] = { 0.0688788326, 0.191634707, 0.299185584 };
    for (int k = 0; k < 3; k++) {
        near(few_mixture_flow(&m, phi(1), phi(0.5), from[k], 4000), half[k], 5e-9);
        near(few_mixture_flow(&m, phi(0.5), phi(0.05), from[k], 4000), end[k], 5e-9);
        near(few_mixture_consistency(&m, phi(1), phi(0.5), from[k], 4000), f[k], 3e-8);
    }
    const few_mixture one = { 1, (const double[]){ 1 }, &gauss.mu, &gauss.s0 };
    near(few_mixture_flow(&one, phi(1), phi(0), -0.8, 4000), -0.200004541745, 1e-9);
    double sum = 0;
    for (double z = -8; z < 8; z += 1e-3)
        sum += few_mixture_density(&m, phi(0.6), z) * 1e-3;
    near(sum, 1, 1e-6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gaussian_data),
        cmocka_unit_test(ddim_converges),
        cmocka_unit_test(midpoint_is_second_order),
        cmocka_unit_test(ddim_is_euler),
        cmocka_unit_test(fixed_points_of_training),
        cmocka_unit_test(distilled_students_match_teachers),
        cmocka_unit_test(edges),
        cmocka_unit_test(exact_functions_are_consistent),
        cmocka_unit_test(addim_restores_the_norm),
        cmocka_unit_test(mixtures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

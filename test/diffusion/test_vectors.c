/* Test vectors that need no analytic test bed: schedules, steps, curriculum, targets, distances.
 * They were computed elsewhere to twelve digits, so 1e-10 relative. */
#include "diffusion/near.h"

#include "diffusion/curriculum.h"
#include "diffusion/grid.h"
#include "diffusion/loss.h"
#include "diffusion/prediction.h"
#include "diffusion/schedule.h"
#include "diffusion/step.h"
#include "diffusion/target.h"

#include <string.h>

static const double tol = 1e-10;

static few_schedule schedule(const char *name, const char *const (*set)[2])
{
    few_schedule s;
    few_error err = { 0 };
    if (few_schedule_make(&s, name, &err) != FEW_OK)
        fail_msg("%s", err.text);
    for (; (*set)[0]; set++)
        if (few_option_set(s.kind->options, s.options, (*set)[0], (*set)[1], "test", &err) !=
            FEW_OK)
            fail_msg("%s", err.text);
    if (few_schedule_check(&s, &err) != FEW_OK)
        fail_msg("%s", err.text);
    return s;
}

#define LIMITS_20                                                                                  \
    { "logsnr_min", "-20" },                                                                       \
    {                                                                                              \
        "logsnr_max", "20"                                                                         \
    }
static const char *const plain[][2] = { { NULL, NULL } };
static const char *const limits_20[][2] = { LIMITS_20, { NULL, NULL } };
static const char *const shifted_128[][2] = {
    LIMITS_20, { "image_d", "128" }, { "noise_d", "32" }, { NULL, NULL }
};
static const char *const interp_64[][2] = { LIMITS_20,
                                            { "image_d", "64" },
                                            { "noise_d_low", "32" },
                                            { "noise_d_high", "64" },
                                            { NULL, NULL } };
static const char *const interp_128[][2] = { LIMITS_20,
                                             { "image_d", "128" },
                                             { "noise_d_low", "32" },
                                             { "noise_d_high", "128" },
                                             { NULL, NULL } };

static void row(few_schedule *s, double t, double lambda, double alpha, double sigma)
{
    const few_angle a = few_angle_of(few_schedule_phi(s, t));
    near(few_schedule_log_snr(s, t), lambda, tol);
    near(a.alpha, alpha, tol);
    near(a.sigma, sigma, tol);
    assert_true(fabs(few_schedule_time(s, lambda) - t) < 1e-9); /* the inverse */
}

/* Log SNR at t = 1/2 of a cosine schedule that is shifted by `shift` and ends at +-15 all the same.
 */
static double kept_middle(double shift)
{
    const double low = atan(exp(-0.5 * (15 - shift))), high = atan(exp(-0.5 * (-15 - shift)));
    return shift - 2 * log(tan(0.5 * (low + high)));
}

static void limits_are_kept(void **state)
{
    (void)state;
    static const char *const shifted[][2] = {
        { "keep_limits", "true" }, { "image_d", "64" }, { "noise_d", "32" }, { NULL, NULL }
    };
    static const char *const interpolated[][2] = { { "keep_limits", "true" },
                                                   { "image_d", "64" },
                                                   { "noise_d_low", "16" },
                                                   { "noise_d_high", "32" },
                                                   { NULL, NULL } };
    few_schedule s[2] = { schedule("shifted", shifted), schedule("interpolated", interpolated) };
    const double once = kept_middle(2 * log(0.5)), twice = kept_middle(2 * log(0.25));
    for (int k = 0; k < 2; k++) {
        near(few_schedule_log_snr(&s[k], 0), 15, tol);
        near(few_schedule_log_snr(&s[k], 1), -15, tol);
        near(few_schedule_log_snr(&s[k], 0.5), k ? 0.5 * (once + twice) : once, tol);
        few_schedule_clear(&s[k]);
    }
}

/* A schedule whose noise does not grow all the way is refused. */
static void rising_schedules_are_refused(void **state)
{
    (void)state;
    few_schedule s;
    few_error err = { 0 };
    assert_int_equal(few_schedule_make(&s, "interpolated", &err), FEW_OK);
    const few_option *o = s.kind->options;
    assert_int_equal(few_option_set(o, s.options, "noise_d_low", "4096", "test", &err), FEW_OK);
    assert_int_equal(few_option_set(o, s.options, "noise_d_high", "1", "test", &err), FEW_OK);
    assert_int_equal(few_schedule_check(&s, &err), FEW_ECONFIG);
    assert_non_null(strstr(err.text, "must be finite and fall with time"));
    few_schedule_clear(&s);
}

static void schedules(void **state)
{
    (void)state;
    few_schedule s = schedule("cosine", limits_20);
    row(&s, 0.25, 1.76261876656, 0.923870845373, 0.382704404299); /* 1 */
    assert_true(fabs(few_schedule_log_snr(&s, 0.5)) < 1e-14);     /* 2 */
    const few_angle half = few_angle_of(few_schedule_phi(&s, 0.5));
    near(half.alpha, 0.707106781187, tol);
    near(half.sigma, 0.707106781187, tol);
    row(&s, 0.75, -1.76261876656, 0.382704404299, 0.923870845373);
    row(&s, 0, 20, 0.999999998969, 4.53999297157e-05);
    few_schedule_clear(&s);
    s = schedule("cosine", plain);
    row(&s, 0.25, 1.76118324774, 0.923773669084, 0.382938909367); /* 5 */
    row(&s, 1, -15, 0.000553084285553, 0.999999847049);
    few_schedule_clear(&s);
    s = schedule("shifted", shifted_128);
    row(&s, 0.25, -1.00996995568, 0.516706619393, 0.856162525153); /* 7 */
    row(&s, 0.5, -2.77258872224, 0.242535625036, 0.970142500145);
    few_schedule_clear(&s);
    s = schedule("interpolated", interp_64);
    row(&s, 0.25, 1.41604517628, 0.897060575461, 0.441907596624); /* 9 */
    row(&s, 0.5, -0.69314718056, 0.57735026919, 0.816496580928);
    row(&s, 1, -21.3862943611, 2.26999648754e-05, 0.999999999742);
    few_schedule_clear(&s);
    s = schedule("interpolated", interp_128);
    row(&s, 0.25, 1.069471586, 0.862842055714, 0.505473626306); /* 12 */
    row(&s, 0.75, -3.84206030824, 0.144910142468, 0.989444819386);
    few_schedule_clear(&s);
}

/* The log SNR goes straight from its largest value to its least; by default noise per signal grows
 * from 0.002 to 80, 40000^t times at t. */
static void linear_schedule(void **state)
{
    (void)state;
    static const char *const limits[][2] = { { "logsnr_min", "-4" },
                                             { "logsnr_max", "8" },
                                             { NULL, NULL } };
    static const double noise[] = { 0.002, 0.0282842712475, 0.4, 5.65685424949, 80 };
    few_schedule s = schedule("linear", limits);
    row(&s, 0, 8, 0.999832310875, 0.0183125675553);
    row(&s, 0.25, 5, 0.99664795644, 0.0818098461329);
    row(&s, 0.5, 2, 0.938507899795, 0.345257761712);
    row(&s, 1, -4, 0.134112676366, 0.990966089247);
    few_schedule_clear(&s);
    s = schedule("linear", plain);
    for (int k = 0; k < 5; k++)
        near(tan(few_schedule_phi(&s, k / 4.0)), noise[k], 1e-9);
    few_schedule_clear(&s);
}

static double ddim(const few_schedule *s, double x, double z, double t, double to)
{
    const few_ddim_coef c = few_ddim(few_schedule_phi(s, t), few_schedule_phi(s, to));
    return c.D * x + c.r * z;
}

static void steps(void **state)
{
    (void)state;
    few_schedule s = schedule("cosine", limits_20);
    const few_ddim_coef c = few_ddim(few_schedule_phi(&s, 0.75), few_schedule_phi(&s, 0.5));
    near(c.D, 0.41419475693, tol); /* 14 */
    near(c.r, 0.765374061459, tol);
    near(ddim(&s, 0.3, -0.8, 0.75, 0.5), -0.488040822088, tol);
    near(ddim(&s, 0.3, -0.8, 0.5, 0.25), -0.27063067483, tol);
    near(ddim(&s, 0.3, -0.8, 1, 0.5), -0.353563021956, tol);
    near(ddim(&s, 0.3, -0.8, 0.25, 0), 0.299872216878, tol);
    near(few_inv_ddim(c, 0.1, -0.8), 1.71972058374, tol); /* 18 */
    near(few_inv_ddim(few_ddim(few_schedule_phi(&s, 0.5), few_schedule_phi(&s, 0.25)), 0.1, -0.8),
         0.984873722205, tol);
    const few_ddim_coef none = few_ddim(few_schedule_phi(&s, 0.4), few_schedule_phi(&s, 0.4));
    assert_true(none.r == 1 && none.D == 0);
    for (int k = 1; k <= 20; k++) { /* DDIM undone */
        const few_ddim_coef b =
            few_ddim(few_schedule_phi(&s, k / 20.0), few_schedule_phi(&s, (k - 1) / 20.0));
        near(few_inv_ddim(b, b.D * 0.37 + b.r * -1.2, -1.2), 0.37, 1e-9);
    }
    few_schedule_clear(&s);
}

static void addim(void **state)
{
    (void)state;
    static const double x[4] = { 0.3, -0.5, 0.1, 0.7 }, z[4] = { -0.8, 1.2, 0.4, -0.1 },
                        clean[4] = { 0.5, -0.25, 0, 1 };
    static const struct {
        double x_var, want[4], k;
    } rows[] = {
        { 0.02,
          { -0.490734657259, 0.715448595321, 0.348634281464, 0.212315592855 },
          0.709827293841 },
        { 0, { -0.488040822088, 0.711351495286, 0.347569100277, 0.213398923705 }, 0.707106781187 },
        { 0.0460491041104,
          { -0.494227852837, 0.720761456287, 0.350015541259, 0.210910797723 },
          0.713355083099 },
        { 0.03796875,
          { -0.493146125078, 0.719116238018, 0.349587810539, 0.211345816563 },
          0.712262642816 },
    };
    few_schedule s = schedule("cosine", limits_20);
    const double phi_t = few_schedule_phi(&s, 0.75), phi_s = few_schedule_phi(&s, 0.5);
    const few_angle t = few_angle_of(phi_t), to = few_angle_of(phi_s);
    double eps[4], square = 0, error = 0;
    for (int i = 0; i < 4; i++) {
        eps[i] = (z[i] - t.alpha * x[i]) / t.sigma;
        square += eps[i] * eps[i] / 4;
        error += (clean[i] - x[i]) * (clean[i] - x[i]) / 4;
    }
    for (size_t r = 0; r < FEW_COUNT(rows); r++) { /* 20 to 23 */
        const double k = few_addim_k(phi_t, phi_s, rows[r].x_var, square);
        near(k, rows[r].k, tol);
        for (int i = 0; i < 4; i++)
            near(to.alpha * x[i] + k * eps[i], rows[r].want[i], 2e-10);
    }
    near(few_x_var_analytic(t.alpha, t.sigma), 0.0460491041104, tol);
    near(few_x_var_measured(0.75, error), 0.03796875, tol);
    const few_angle quarter = few_angle_of(few_schedule_phi(&s, 0.25));
    near(few_x_var_analytic(quarter.alpha, quarter.sigma), 0.0127751793446, tol); /* 24 */
    near(few_x_var_analytic(to.alpha, to.sigma), 0.0333333333333, tol);
    near(few_x_var_table((const double[]){ 1, 3 }, 2, 0.75), 2, tol);
    near(few_x_var_table((const double[]){ 1, 3 }, 2, 1), 3, tol);
    near(few_x_var_table((const double[]){ 1, 3 }, 2, 0.5), 1, tol);
    near(few_x_var_table((const double[]){ 1, 3 }, 2, 0.25), 0.25, tol);
    assert_true(few_x_var_table((const double[]){ 1, 3 }, 2, 0) == 0);
    few_schedule_clear(&s);
}

static void curriculum(void **state)
{
    (void)state;
    const few_curriculum c = { .annealed = true, .n0 = 64, .n1 = 1280, .steps = 100000 };
    near(few_curriculum_n_teacher(&c, 1000), 65.9462757063, tol); /* 25 */
    near(few_curriculum_n_teacher(&c, 25000), 135.34352172, tol);
    near(few_curriculum_n_teacher(&c, 50000), 286.21670112, tol);
    near(few_curriculum_n_teacher(&c, 75000), 605.274629762, tol);
    near(few_curriculum_n_teacher(&c, 0), 64, tol);
    near(few_curriculum_n_teacher(&c, 100000), 1280, tol);
    near(few_curriculum_n_teacher(&c, 200000), 1280, tol);
    static const int S[] = { 1, 2, 4, 8, 16 }, at_50[] = { 286, 143, 72, 36, 18 },
                     at_75[] = { 605, 303, 151, 76, 38 };
    for (int k = 0; k < 5; k++) { /* 27, 28 */
        assert_int_equal(few_curriculum_n_seg(few_curriculum_n_teacher(&c, 50000), S[k]), at_50[k]);
        assert_int_equal(few_curriculum_n_seg(few_curriculum_n_teacher(&c, 75000), S[k]), at_75[k]);
    }
    assert_int_equal(few_curriculum_n_seg(3, 64), 1);
}

/* The two distillation targets of 1.14: closed form and literal chain. */
static void target(int step, const double want_z[4], double want_k, double want_w1,
                   const double want[4])
{
    static const double x[4] = { 0.5, -0.25, 0, 1 }, eps[4] = { -0.3, 0.8, 1.2, -0.5 },
                        x_T[4] = { 0.4, -0.1, 0.05, 0.8 }, x_ref0[4] = { 0.45, -0.3, 0.1, 0.9 };
    few_schedule s = schedule("cosine", limits_20);
    const few_grid_draw d = few_grid_at(2, 4, step, 3);
    const double phi_t = few_schedule_phi(&s, d.t), phi_s = few_schedule_phi(&s, d.s),
                 phi_ts = few_schedule_phi(&s, d.ts);
    const few_angle t = few_angle_of(phi_t), to = few_angle_of(phi_s);
    double square = 0, error = 0, z[4], e[4];
    for (int i = 0; i < 4; i++) {
        z[i] = t.alpha * x[i] + t.sigma * eps[i];
        e[i] = (z[i] - t.alpha * x_T[i]) / t.sigma;
        near(z[i], want_z[i], tol);
        square += e[i] * e[i] / 4;
        error += (x_T[i] - x[i]) * (x_T[i] - x[i]) / 4;
    }
    const double k = few_addim_k(phi_t, phi_s, few_x_var_measured(0.75, error), square);
    const few_target w = few_target_weights(phi_t, phi_s, phi_ts, false);
    near(k, want_k, tol);
    near(w.teacher, want_w1, tol);
    near(w.self, 1 - want_w1, tol);
    for (int i = 0; i < 4; i++) {
        const double closed =
            w.teacher * x_T[i] + w.self * x_ref0[i] + w.eps * (k - to.sigma) * e[i];
        const double z_s = to.alpha * x_T[i] + k * e[i];
        const few_ddim_coef down = few_ddim(phi_s, phi_ts);
        const double literal =
            few_inv_ddim(few_ddim(phi_t, phi_ts), down.D * x_ref0[i] + down.r * z_s, z[i]);
        near(closed, want[i], tol);
        near(literal, closed, 1e-11);
    }
    few_schedule_clear(&s);
}

static void targets(void **state)
{
    (void)state;
    target(1, (const double[]){ -0.196671732311, 0.735841980218, 1.17693436442, -0.29526560092 },
           0.924394423951, 0.268761989583,
           (const double[]){ 0.436363733684, -0.245702736334, 0.0874038304187, 0.872798214651 });
    target(0, (const double[]){ 0.249057752224, 0.236597909485, 0.666695604179, 0.553673471462 },
           0.388123891827, 4.16567925755e-05,
           (const double[]){ 0.449997820497, -0.299991298612, 0.0999986405932, 0.899995705289 });
    /* One teacher step into the segment: the diffusion target, exactly. */
    const few_target w = few_target_weights(1.2, 0.7, 0.7, true);
    assert_true(w.teacher == 1 && w.self == 0);
}

/* Row 38: consistency training on Gaussian data, mu 0.2, s0 0.5. */
static void one_evaluation(void **state)
{
    (void)state;
    few_schedule s = schedule("cosine", limits_20);
    const few_grid_draw d = few_grid_at(2, 4, 1, 3);
    near(d.t, 0.875, 0);
    near(d.s, 0.75, 0);
    near(d.ts, 0.5, 0);
    const double phi_t = few_schedule_phi(&s, d.t), phi_s = few_schedule_phi(&s, d.s),
                 phi_ts = few_schedule_phi(&s, d.ts);
    const few_angle t = few_angle_of(phi_t), to = few_angle_of(phi_s);
    const double x = 0.9, z_t = t.alpha * x + t.sigma * -1.1;
    const few_ddim_coef c = few_ddim(phi_t, phi_s), down = few_ddim(phi_s, phi_ts);
    const double z_s = c.D * x + c.r * z_t;
    const double f_s = 0.2 + to.alpha * 0.25 / (to.alpha * to.alpha * 0.25 + to.sigma * to.sigma) *
                                 (z_s - to.alpha * 0.2);
    const double f_t = 0.2 + t.alpha * 0.25 / (t.alpha * t.alpha * 0.25 + t.sigma * t.sigma) *
                                 (z_t - t.alpha * 0.2);
    const double z_ref = down.D * f_s + down.r * z_s;
    const double x_ref = few_inv_ddim(few_ddim(phi_t, phi_ts), z_ref, z_t);
    const few_target w = few_target_weights(phi_t, phi_s, phi_ts, false);
    const double weight = few_loss_weight("snr+1", t.alpha, t.sigma), diff = x_ref - f_t;
    near(z_t, -0.90324515489, tol);
    near(z_s, -0.671823966041, tol);
    near(f_s, 0.119563681305, tol);
    near(z_ref, -0.464673987558, tol);
    near(x_ref, 0.329315299061, tol);
    near(w.teacher * x + w.self * f_s, x_ref, 1e-12);
    near(f_t, 0.152684095375, tol);
    near(diff, 0.176631203686, tol);
    near(weight, 1.03958021312, tol);
    near(fabs(diff) * weight, 0.183622304371, tol);
    near(few_distance_find("rms", NULL)->value(&diff, 1, 1e-4) * weight, 0.183518375777, tol);
    few_schedule_clear(&s);
}

static void distances(void **state)
{
    (void)state;
    static const double target4[4] = { 0.436363733684, -0.245702736334, 0.0874038304187,
                                       0.872798214651 };
    static const double x_hat[4] = { 0.42, -0.2, 0.02, 0.85 };
    static const struct {
        const char *name;
        double e, want;
    } rows[] = {
        { "rms", 1e-4, 0.0429685118007 },
        { "elem", 1e-4, 0.0379673058838 },
        { "norm", 0.00054 * 2, 0.0850635617728 },
        { "l2sq", 1, 0.00185488670872 },
    };
    double u[4];
    for (int i = 0; i < 4; i++)
        u[i] = target4[i] - x_hat[i];
    for (size_t r = 0; r < FEW_COUNT(rows); r++) {
        const few_distance *d = few_distance_find(rows[r].name, NULL);
        double du[4] = { 0 };
        near(d->value(u, 4, rows[r].e), rows[r].want, 1e-9);
        d->gradient(u, 4, rows[r].e, 2.5, du);
        for (int i = 0; i < 4; i++) {
            double up[4], down[4];
            memcpy(up, u, sizeof up);
            memcpy(down, u, sizeof down);
            up[i] += 1e-6;
            down[i] -= 1e-6;
            const double slope =
                2.5 * (d->value(up, 4, rows[r].e) - d->value(down, 4, rows[r].e)) / 2e-6;
            assert_true(fabs(slope - du[i]) < 1e-6);
        }
    }
    few_error err = { 0 };
    assert_null(few_distance_find("lpips", &err));
    assert_non_null(strstr(err.text, "rms"));
    near(few_loss_weight("trunc", 0.1, 0.99), 1, 0);
    near(few_loss_weight("trunc", 0.8, 0.6), 0.64 / 0.36, tol);
    near(few_loss_weight("v_norm", 0.8, 0.6), 1, 0);
}

/* EDM's noise level is tan(phi). */
static void edm_levels(void **state)
{
    (void)state;
    few_schedule s = schedule("cosine", limits_20);
    static const double sigma[] = { 0.002, 0.5, 1, 80 },
                        t[] = { 0.0012444072871, 0.295155394261, 0.5, 0.992071111436 };
    for (int k = 0; k < 4; k++)
        near(few_schedule_time(&s, -2 * log(sigma[k])), t[k], 1e-9);
    near(-2 * log(80.0), -8.76405326935, tol);
    near(few_angle_of(atan(80)).alpha, 0.0124990235519, tol);
    few_schedule_clear(&s);
}

static void predictions(void **state)
{
    (void)state;
    for (int k = 0; k < few_n_prediction_kinds; k++)
        for (double phi = 0.01; phi < 1.57; phi += 0.07) { /* target, back to x, by every kind */
            const few_prediction p = { .kind = few_prediction_kinds[k], .sigma_data = 0.5 };
            const few_angle a = few_angle_of(phi);
            const double x = 0.37, eps = -1.2, z = a.alpha * x + a.sigma * eps;
            double px, pe;
            few_prediction_target(&p, a.alpha, a.sigma, &px, &pe);
            const few_to_x to = few_prediction_to_x(&p, a.alpha, a.sigma);
            near(to.from_z * z + to.from_out * (px * x + pe * eps), x, 1e-9);
            /* ||d v||^2 = ||d x||^2 / sigma^2 for an error of 1 in the output. */
            const double all = sqrt(a.sigma * a.sigma + 0.25 * a.alpha * a.alpha);
            const double v[] = { 1, 1 / (a.sigma * a.sigma), 1 / (a.alpha * a.alpha),
                                 0.25 / (all * all) };
            near(few_prediction_v_factor(&p, a.alpha, a.sigma) / v[k], 1, 1e-9);
        }
    near(few_guided(2, 1, 0), 2, 0);
    near(few_guided(2, 1, 0.5), 2.5, 0);
}

/* EDM's preconditioning and its form with a boundary, at x = z / alpha. */
static void edm_preconditioning(void **state)
{
    (void)state;
    static const double rows[][4] = {
        /* sigma, c_skip, c_out, c_in; sigma_data is 0.5 */
        { 0.1, 0.961538461538, 0.0980580675691, 1.96116135138 },
        { 0.5, 0.5, 0.353553390593, 1.41421356237 },
        { 2, 0.0588235294118, 0.485071250073, 0.485071250073 },
    };
    static const double bounded[][3] = { { 0.002, 1, 0 },
                                         { 0.1, 0.963005192524, 0.0960969062177 },
                                         { 2, 0.0589344093028, 0.484586178823 } };
    const few_prediction_kind *edm = few_prediction_find("edm", &(few_error){ 0 });
    const few_prediction open = { edm, 0.5, 0 }, closed = { edm, 0.5, 0.002 };
    for (int k = 0; k < 3; k++) {
        few_angle a = few_angle_of(atan(rows[k][0]));
        few_to_x to = few_prediction_to_x(&open, a.alpha, a.sigma);
        near(to.from_z * a.alpha, rows[k][1], tol);
        near(to.from_out, rows[k][2], tol);
        near(to.in * a.alpha, rows[k][3], 1e-11);
        /* Data and noise of the target have variance 1 together. */
        double x, eps;
        few_prediction_target(&open, a.alpha, a.sigma, &x, &eps);
        near(x * x * 0.25 + eps * eps, 1, tol);
        a = few_angle_of(atan(bounded[k][0]));
        to = few_prediction_to_x(&closed, a.alpha, a.sigma);
        near(to.from_z * a.alpha, bounded[k][1], tol);
        near(to.from_out, bounded[k][2], tol);
    }
    /* v with a boundary: exactly its input there, and v's own x_hat as the boundary goes to 0. */
    const few_prediction_kind *v = few_prediction_find("v", &(few_error){ 0 });
    const few_prediction at = { v, 0, 0.002 }, tiny = { v, 0, 1e-13 };
    few_angle a = few_angle_of(atan(0.002));
    near(few_prediction_to_x(&at, a.alpha, a.sigma).from_z * a.alpha, 1, 1e-15);
    near(few_prediction_to_x(&at, a.alpha, a.sigma).from_out, 0, 1e-15);
    a = few_angle_of(0.7);
    near(few_prediction_to_x(&tiny, a.alpha, a.sigma).from_z, a.alpha, 1e-12);
    near(few_prediction_to_x(&tiny, a.alpha, a.sigma).from_out, -a.sigma, 1e-12);
}

static void schedules_survive_json(void **state)
{
    (void)state;
    few_error err = { 0 };
    few_schedule s = schedule("interpolated", interp_128), back;
    json_t *o = few_schedule_to_json(&s);
    assert_int_equal(few_schedule_from_json(&back, o, "here", &err), FEW_OK);
    for (int k = 0; k <= 16; k++)
        near(few_schedule_log_snr(&back, k / 16.0), few_schedule_log_snr(&s, k / 16.0), 0);
    few_schedule_clear(&back);
    json_object_set_new(o, "noise_d_low", json_string("wide"));
    assert_int_not_equal(few_schedule_from_json(&back, o, "here", &err), FEW_OK);
    json_object_set_new(o, "name", json_string("cosin"));
    assert_int_not_equal(few_schedule_from_json(&back, o, "here", &err), FEW_OK);
    assert_non_null(strstr(err.text, "cosine"));
    json_decref(o);
    few_schedule_clear(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(schedules),
        cmocka_unit_test(linear_schedule),
        cmocka_unit_test(limits_are_kept),
        cmocka_unit_test(rising_schedules_are_refused),
        cmocka_unit_test(steps),
        cmocka_unit_test(addim),
        cmocka_unit_test(curriculum),
        cmocka_unit_test(targets),
        cmocka_unit_test(one_evaluation),
        cmocka_unit_test(distances),
        cmocka_unit_test(edm_levels),
        cmocka_unit_test(predictions),
        cmocka_unit_test(edm_preconditioning),
        cmocka_unit_test(schedules_survive_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

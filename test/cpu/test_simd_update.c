/* The optimiser's pass of every table, against plain loops in double. */
#include "cpu/simd_rig.h"

static void check_adam_case(int64_t n, int n_ema, float rectify, float decay)
{
    array ema[2];
    float *emas[2];
    const float ema_decay[2] = { 0.999f, 0.5f };
    const array p = random_array(4, n, 0, 1), m = random_array(4, n, 0, 0.1);
    const array v = random_array(4, n, 0, 0.1), grad = random_array(4, n, 0, 0.3);
    double *wp = reals(n), *wm = reals(n), *wv = reals(n), *we[2] = { reals(n), reals(n) };
    for (int k = 0; k < n_ema; k++) {
        ema[k] = random_array(4, n, 0, 1);
        emas[k] = (float *)ema[k].data;
    }
    const few_adam_args a = {
        .n = n,
        .p = (float *)p.data,
        .m = (float *)m.data,
        .v = (float *)v.data,
        .grad = (const float *)grad.data,
        .grad_scale = 0.7f,
        .lr = 1e-2f,
        .beta1 = 0.9f,
        .beta2 = 0.99f,
        .eps = 1e-6f,
        .weight_decay = decay,
        .correct1 = 1.5f,
        .correct2 = 7.0f,
        .rectify = rectify,
        .n_ema = n_ema,
        .ema = emas,
        .ema_decay = ema_decay,
    };
    double square = 0;
    for (int64_t i = 0; i < n; i++) {
        double g = get(grad, i);
        set(v, i, 0.01 + get(v, i) * get(v, i)); /* or the step is no better than a sum's */
        square += g * g;
        g *= (double)a.grad_scale;
        wm[i] = (double)a.beta1 * get(m, i) + (1 - (double)a.beta1) * g;
        wv[i] = (double)a.beta2 * get(v, i) + (1 - (double)a.beta2) * g * g;
        const double first = wm[i] * (double)a.correct1;
        const double root = sqrt(wv[i] * (double)a.correct2) + (double)a.eps;
        const double step = rectify > 0 ? (double)rectify * first / root : first;
        wp[i] = get(p, i) * (1 - (double)a.lr * (double)decay) - (double)a.lr * step;
        for (int k = 0; k < n_ema; k++) {
            const double d = (double)ema_decay[k];
            we[k][i] = d * get(ema[k], i) + (1 - d) * wp[i];
        }
    }
    assert_true(fabs(simd->grad_square(a.grad, n) - square) < 1e-6 * (square + 0.1));
    simd->adam(&a);
    near_of(1, "adam p", p, wp, 2e-7, 2e-7);
    near_of(0.1, "adam m", m, wm, 1e-6, 1e-6);
    near_of(0.1, "adam v", v, wv, 1e-6, 1e-6);
    for (int k = 0; k < n_ema; k++)
        near_of(1, "adam ema", ema[k], we[k], 2e-7, 2e-7);
    array_free(grad);
    for (int k = 0; k < n_ema; k++)
        array_free(ema[k]);
    array_free(p);
    array_free(m);
    array_free(v);
    free(wp);
    free(wm);
    free(wv);
    free(we[0]);
    free(we[1]);
}

static void check_update(void)
{
    for (size_t k = 0; k < N_LENGTHS; k++)
        for (int n_ema = 0; n_ema <= 2; n_ema++) {
            check_adam_case(lengths[k], n_ema, 1, 0);
            check_adam_case(lengths[k], n_ema, 0.3f, 0.1f);
            check_adam_case(lengths[k], n_ema, 0, 0.1f);
        }
}

static void test_update(void **state)
{
    (void)state;
    each(check_update, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_update),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

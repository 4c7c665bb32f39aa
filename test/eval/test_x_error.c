/* The error of x_hat by time: closed forms of a network whose output is zero. */
#include "eval/x_error.h"
#include "train/nets.h"

#include "image/image.h"

#include <math.h>

enum { SIDE = 8, IMAGES = 40, PIXELS = SIDE * SIDE, TIMES = 5 };

static few_pack *make_pack(int classes, double *square)
{
    few_error err = { 0 };
    few_pack_writer *w = NULL;
    few_pack *p = NULL;
    const char *path = temp_path("x.few");
    const few_pack_plan plan = { SIDE, SIDE, 1, classes, NULL, "made up", 0, NULL };
    assert_int_equal(few_pack_writer_open(&w, path, &plan, &err), FEW_OK);
    *square = 0;
    for (int i = 0; i < IMAGES; i++) {
        uint8_t px[PIXELS];
        for (int k = 0; k < PIXELS; k++) {
            px[k] = (uint8_t)(i * 37 + k * 11);
            *square += pow(px[k] / 127.5 - 1, 2) / (IMAGES * PIXELS);
        }
        assert_int_equal(few_pack_writer_add(w, px, classes ? i % 2 : -1, &err), FEW_OK);
    }
    assert_int_equal(few_pack_writer_commit(w, &err), FEW_OK);
    if (few_pack_open(&p, path, &err) != FEW_OK)
        fail_msg("%s", err.text);
    return p;
}

static void make(few_net *n, const char *prediction, int classes)
{
    few_config c;
    load_defaults(&c, "diffusion");
    tiny_unet(&c);
    set(&c, "model.prediction", prediction);
    make_net(n, &c, (few_net_shape){ SIDE, SIDE, 1, classes }, 3);
    few_config_clear(&c);
}

static int count(void *user, int64_t done, int64_t total)
{
    int64_t *last = user;
    assert_true(done > *last && total == IMAGES * TIMES);
    *last = done;
    return 0;
}

static int stop(void *user, int64_t done, int64_t total)
{
    (void)user, (void)total;
    return done > IMAGES;
}

/* 2,560 numbers: their noise's mean square has a deviation of 0.028, its mean one of 0.02. */
static void closed_forms(void **state)
{
    (void)state;
    static const char *const predictions[] = { "x", "eps", "v" };
    for (size_t k = 0; k < FEW_COUNT(predictions); k++) {
        few_net n;
        few_error err = { 0 };
        double square, out[TIMES], again[TIMES];
        int64_t last = 0;
        few_pack *p = make_pack(2, &square);
        make(&n, predictions[k], 2);
        memset(n.master, 0, (size_t)n.params.count * sizeof(float));
        few_x_error_options o = { .images = 1000, /* more than there are */
                                  .times = TIMES,
                                  .seed = 4,
                                  .precision = FEW_PRECISION_F32,
                                  .workers = 1,
                                  .progress = count,
                                  .user = &last };
        expect(few_x_error(&n, p, &o, out, &err), FEW_OK, &err, "");
        assert_int_equal(last, IMAGES * TIMES);
        for (int i = 0; i < TIMES; i++) {
            const double phi = few_schedule_phi(&n.spec.schedule, (i + 1.0) / TIMES);
            const double a = cos(phi), s = sin(phi);
            /* x_hat = 0; z / alpha; alpha z */
            const double want = k == 0   ? square
                                : k == 1 ? s * s / (a * a)
                                         : pow(s, 4) * square + a * a * s * s;
            const double room = k == 0 ? 1e-6 : 0.15;
            if (!(fabs(out[i] / want - 1) < room))
                fail_msg("%s at time %d: %g, wanted %g", predictions[k], i, out[i], want);
        }
        o.workers = 2;
        o.progress = NULL;
        expect(few_x_error(&n, p, &o, again, &err), FEW_OK, &err, "");
        assert_memory_equal(out, again, sizeof out);
        o.seed = 5;
        expect(few_x_error(&n, p, &o, again, &err), FEW_OK, &err, "");
        if (k)
            assert_true(again[1] != out[1]);
        o.progress = stop;
        expect(few_x_error(&n, p, &o, again, &err), FEW_ECANCELED, &err, "");
        few_net_free(&n);
        few_pack_close(p);
    }
}

static void refusals(void **state)
{
    (void)state;
    few_net n;
    few_error err = { 0 };
    double square, out[TIMES];
    const few_x_error_options o = { .images = 8, .times = TIMES };
    few_pack *p = make_pack(0, &square);
    make(&n, "v", 2);
    expect(few_x_error(&n, p, &o, out, &err), FEW_EINVAL, &err, "0 classes");
    few_net_free(&n);
    make(&n, "v", 0);
    n.spec.steps = 4;
    expect(few_x_error(&n, p, &o, out, &err), FEW_EINVAL, &err, "take its teacher");
    n.spec.steps = 0;
    n.spec.height = 16;
    expect(few_x_error(&n, p, &o, out, &err), FEW_EINVAL, &err, "the model 8x16x1");
    few_net_free(&n);
    few_pack_close(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(closed_forms),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, make_temp_folder, remove_temp_folder);
}

/* The error of x_hat by time: closed forms of a network whose output is zero. */
#include "eval/x_error.h"
#include "train/nets.h"

#include "base/philox.h"
#include "image/image.h"
#include "sampler/draw.h"

#include <math.h>

enum { SIDE = 8, IMAGES = 40, PIXELS = SIDE * SIDE, TIMES = 5, MANY = 300 };

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

/* A pack whose second half is much darker, of classes that do not alternate. */
static few_pack *make_halves(void)
{
    few_error err = { 0 };
    few_pack_writer *w = NULL;
    few_pack *p = NULL;
    const char *path = temp_path("halves.few");
    const few_pack_plan plan = { SIDE, SIDE, 1, 2, NULL, "made up", 0, NULL };
    assert_int_equal(few_pack_writer_open(&w, path, &plan, &err), FEW_OK);
    for (int i = 0; i < MANY; i++) {
        uint8_t px[PIXELS];
        for (int k = 0; k < PIXELS; k++)
            px[k] = (uint8_t)((i < MANY / 2 ? 150 : 0) + (i * 37 + k * 11) % 100);
        assert_int_equal(few_pack_writer_add(w, px, i % 3 == 0, &err), FEW_OK);
    }
    assert_int_equal(few_pack_writer_commit(w, &err), FEW_OK);
    if (few_pack_open(&p, path, &err) != FEW_OK)
        fail_msg("%s", err.text);
    return p;
}

static void x_hat_at(const few_spec *spec, const void *t, int k, int n, few_sampler_step *out)
{
    (void)spec, (void)k, (void)n;
    out->t = *(const double *)t;
    out->x = 1;
}

/* The same by hand: image i of so many is the one that the seed's permutation has there, with its
 * label, and with noise of its own at each time. */
static void by_hand(const few_net *n, const few_pack *p, int images, uint32_t seed, double *out)
{
    static const few_sampler sampler = { .name = "x_hat", .step = x_hat_at };
    const few_drawer_options po = { .precision = FEW_PRECISION_F32, .workers = 1 };
    static float x[MANY * PIXELS], z[MANY * PIXELS], x_hat[MANY * PIXELS];
    int32_t label[MANY];
    few_drawer *d = NULL;
    few_error err = { 0 };
    for (int i = 0; i < images; i++) {
        const int64_t image = (int64_t)few_random_permute(seed, 0, MANY, (uint64_t)i);
        label[i] = few_pack_label(p, image);
        for (int k = 0; k < PIXELS; k++)
            x[i * PIXELS + k] = (float)(few_pack_image(p, image)[k] / 127.5 - 1);
    }
    assert_int_equal(few_drawer_create(&n->spec, n->master, &po, &d, &err), FEW_OK);
    for (int time = 0; time < TIMES; time++) {
        const double t = (time + 1.0) / TIMES, phi = few_schedule_phi(&n->spec.schedule, t);
        for (int i = 0; i < images; i++)
            for (int k = 0; k < PIXELS; k += 4) {
                const uint32_t counter[4] = { (uint32_t)k / 4, FEW_RNG_NOISE, (uint32_t)time,
                                              (uint32_t)i };
                double eps[4];
                few_philox_normal(counter, (uint32_t[2]){ seed, 0 }, eps);
                for (int j = i * PIXELS + k, e = 0; e < 4; e++)
                    z[j + e] = (float)(cos(phi) * (double)x[j + e] + sin(phi) * eps[e]);
            }
        const few_draw draw = {
            .sampler = &sampler, .options = &t, .steps = 1, .label = label, .noise = z
        };
        assert_int_equal(few_drawer_draw(d, &draw, images, x_hat, &err), FEW_OK);
        out[time] = 0;
        for (int k = 0; k < images * PIXELS; k++)
            out[time] += pow((double)x[k] - (double)x_hat[k], 2) / (images * PIXELS);
    }
    few_drawer_free(d);
}

/* In two groups. */
static void images_labels_and_noise(void **state)
{
    (void)state;
    few_net n;
    few_error err = { 0 };
    double out[TIMES], want[TIMES];
    const few_x_error_options o = {
        .images = 270, .times = TIMES, .seed = 4, .precision = FEW_PRECISION_F32, .workers = 1
    };
    few_pack *p = make_halves();
    make(&n, "x", 2);
    expect(few_x_error(&n, p, &o, out, &err), FEW_OK, &err, "");
    by_hand(&n, p, 270, 4, want);
    for (int time = 0; time < TIMES; time++)
        if (!(fabs(out[time] / want[time] - 1) < 1e-5))
            fail_msg("time %d: %.9g, by hand %.9g", time, out[time], want[time]);
    few_net_free(&n);
    few_pack_close(p);
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
        cmocka_unit_test(images_labels_and_noise),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, make_temp_folder, remove_temp_folder);
}

/* Trajectories are what the sampler draws, and damaged files are refused. */
#include "train/nets.h"

#include "base/philox.h"
#include "sampler/draw.h"
#include "train/dataset.h"

enum { COUNT = 300, STEPS = 8, STATES = 4, SIDE = 4, CHANNELS = 2 };

static void make_teacher(few_net *n)
{
    few_config c;
    load_defaults(&c, "diffusion");
    tiny_unet(&c);
    make_net(n, &c, (few_net_shape){ SIDE, SIDE, CHANNELS, 3 }, 6);
    n->spec.data_name = few_strdup("things");
    few_config_clear(&c);
}

/* Which trajectory these states are. */
static int find(const few_trajectories *t, const float *states)
{
    const size_t size = (size_t)(t->h * t->w * t->c);
    for (int k = 0; k < t->n; k++)
        if (!memcmp(t->states + (size_t)k * size, states, size * sizeof *states))
            return k;
    fail_msg("no such trajectory");
    return -1;
}

static void states_are_the_samplers(void **state)
{
    (void)state;
    few_net n;
    few_trajectories t;
    few_error err = { 0 };
    const char *path = temp_path("t.safetensors");
    make_teacher(&n);
    const few_trajectories_options o = {
        .count = COUNT, .steps = STEPS, .states = STATES, .seed = 9, .workers = 1
    };
    if (few_trajectories_make(&n, &o, path, &err) != FEW_OK ||
        few_trajectories_open(&t, path, &err) != FEW_OK)
        fail_msg("%s", err.text);
    assert_int_equal(t.n, COUNT);
    assert_int_equal(t.h, SIDE);
    assert_int_equal(t.c, CHANNELS * (STATES + 1));
    assert_int_equal(t.classes, 3);
    assert_string_equal(t.name, "things");

    /* The images are those that the seed's samples are, and every state a stop on the way there. */
    enum { D = SIDE * SIDE * CHANNELS };
    static float image[COUNT * D], half[COUNT * D];
    void *options;
    few_drawer *d;
    const few_drawer_options po = { .workers = 1, .images = COUNT };
    assert_int_equal(few_sampler_options_make(&few_sampler_ddim, &options, &err), FEW_OK);
    assert_int_equal(few_drawer_create(&n.spec, n.master, &po, &d, &err), FEW_OK);
    few_draw draw = { .sampler = &few_sampler_ddim, .options = options, .steps = STEPS, .seed = 9 };
    assert_int_equal(few_drawer_draw(d, &draw, COUNT, image, &err), FEW_OK);
    draw.end = STEPS / 2;
    assert_int_equal(few_drawer_draw(d, &draw, COUNT, half, &err), FEW_OK);
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(t.labels[i], i % 3);
        for (int p = 0; p < SIDE * SIDE; p++)
            for (int c = 0; c < CHANNELS; c++) {
                const float *v = t.states + ((int64_t)i * SIDE * SIDE + p) * t.c;
                const int at = (i * SIDE * SIDE + p) * CHANNELS + c;
                assert_true(fabsf(v[STATES * CHANNELS + c] - image[at]) < 1e-5f);
                assert_true(fabsf(v[STATES / 2 * CHANNELS + c] - half[at]) < 1e-5f);
            }
    }
    double first[4];
    few_philox_normal((uint32_t[4]){ 0, FEW_RNG_NOISE, 0, 7 }, (uint32_t[2]){ 9, 0 }, first);
    assert_true(t.states[(int64_t)7 * SIDE * SIDE * t.c] == (float)first[0]);

    few_dataset set;
    assert_int_equal(few_dataset_open(&set, path, &err), FEW_OK);
    assert_true(few_dataset_is_float(&set));
    assert_int_equal(set.n, COUNT);
    static float batch[COUNT * SIDE * SIDE * CHANNELS * (STATES + 1)];
    int32_t label[COUNT];
    bool seen[COUNT] = { false };
    few_dataset_batch(&set, 1, 0, COUNT, false, batch, label);
    for (int i = 0; i < COUNT; i++) { /* an epoch has each once, with its own label */
        const int k = find(&t, batch + (int64_t)i * SIDE * SIDE * t.c);
        assert_false(seen[k]);
        seen[k] = true;
        assert_int_equal(label[i], k % 3);
    }
    few_dataset_close(&set);
    few_trajectories_close(&t);
    few_drawer_free(d);
    few_sampler_options_free(&few_sampler_ddim, options);
    few_net_free(&n);
}

static int stop_at_once(void *user, int64_t done, int64_t total)
{
    (void)user, (void)done, (void)total;
    return 1;
}

static void refusals(void **state)
{
    (void)state;
    few_net n;
    few_trajectories t;
    few_error err = { 0 };
    const char *path = temp_path("r.safetensors");
    make_teacher(&n);
    few_trajectories_options o = { .count = 4, .steps = 8, .states = 3, .workers = 1 };
    expect(few_trajectories_make(&n, &o, path, &err), FEW_EINVAL, &err, "divide");
    o.states = 4;
    o.progress = stop_at_once;
    assert_int_equal(few_trajectories_make(&n, &o, path, &err), FEW_ECANCELED);
    assert_false(few_is_file(path));
    n.spec.steps = 2;
    expect(few_trajectories_make(&n, &o, path, &err), FEW_EINVAL, &err, "student");
    n.spec.steps = 0;
    expect(few_trajectories_open(&t, path, &err), FEW_ENOTFOUND, &err, "r.safetensors");
    assert_int_equal(few_net_save(&n.spec, &n.params, n.master, path, &err), FEW_OK);
    expect(few_trajectories_open(&t, path, &err), FEW_EFORMAT, &err, "no trajectories");

    /* A label that is no class, and labels of another number. */
    static const float states[2 * 5];
    static const int32_t bad[] = { 0, 7 }, good[] = { 0, 3 };
    const int64_t shape[] = { 2, 1, 1, 5 };
    for (int k = 0; k < 3; k++) {
        few_safetensors_writer *w;
        assert_int_equal(few_safetensors_writer_create(&w, &err), FEW_OK);
        few_safetensors_writer_metadata(w, "fewstep.trajectories", "{\"hash\":\"x\",\"classes\":3}",
                                        &err);
        few_safetensors_writer_add(w, "states", FEW_SAFETENSORS_F32, 4, shape, states, &err);
        few_safetensors_writer_add(w, "labels", FEW_SAFETENSORS_I32, 1,
                                   k == 1 ? (int64_t[]){ 1 } : shape, k ? good : bad, &err);
        assert_int_equal(few_safetensors_writer_write(w, path, &err), FEW_OK);
        few_safetensors_writer_free(w);
        if (k == 0)
            expect(few_trajectories_open(&t, path, &err), FEW_EFORMAT, &err, "label 7");
        else if (k == 1)
            expect(few_trajectories_open(&t, path, &err), FEW_EFORMAT, &err, "no trajectories");
        else
            assert_int_equal(few_trajectories_open(&t, path, &err), FEW_OK);
    }
    few_trajectories_close(&t);
    few_net_free(&n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(states_are_the_samplers),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, make_temp_folder, remove_temp_folder);
}

/* What one training step is made of: the random keys and labels of its images, gradients that are
 * means over the batch however it is sliced, and the settings that reach the optimiser. */
#include "cpu/plain_update.h"
#include "model/checkpoint.h"
#include "train/run_rig.h"

static void start(few_trainer *t)
{
    if (few_config_trainer(&c, t, &err) != FEW_OK || few_trainer_start(t, false, &err) != FEW_OK)
        fail_msg("%s", err.text);
}

static few_step_result step(few_trainer *t)
{
    few_step_result r;
    if (few_trainer_step(t, &r, &err) != FEW_OK)
        fail_msg("%s", err.text);
    return r;
}

/* ---- keys and labels ------------------------------------------------------------------------*/

enum { BATCH = 50, BATCHES = 40 };

static int by_words(const void *a, const void *b)
{
    return memcmp(a, b, 4 * sizeof(int32_t));
}

/* Images whose label was dropped; the others have the data's own. */
static int dropped(const few_trainer *t, int64_t at)
{
    static uint8_t x[BATCH * 64];
    int32_t label[BATCH];
    int n = 0;
    few_dataset_batch(&t->data, t->train.seed, at, BATCH, t->flip, x, label);
    for (int i = 0; i < BATCH; i++) {
        const bool is = t->label[i] == t->spec.classes;
        assert_true(is || t->label[i] == label[i]);
        n += is;
    }
    return n;
}

/* Each image of each step has noise of its own, and one in five no label. */
static void images_have_keys_and_labels_of_their_own(void **state)
{
    (void)state;
    static int32_t keys[BATCHES * BATCH][4];
    few_trainer t;
    int n = 0;
    configure("unet");
    set(&c, "train.batch", "50");
    set(&c, "train.slice", "25");
    start(&t);
    for (int k = 0; k < BATCHES; k++) {
        step(&t);
        memcpy(keys[k * BATCH], t.rng, (size_t)BATCH * sizeof keys[0]);
        n += dropped(&t, k);
    }
    few_trainer_free(&t);
    qsort(keys, (size_t)(BATCHES * BATCH), sizeof keys[0], by_words);
    for (int k = 1; k < BATCHES * BATCH; k++)
        assert_int_not_equal(by_words(keys[k - 1], keys[k]), 0);
    const double sigma = sqrt(BATCHES * BATCH * 0.2 * 0.8);
    assert_true(fabs(n - 0.2 * BATCHES * BATCH) < 4 * sigma);

    set(&c, "train.label_drop", "0");
    start(&t);
    step(&t);
    assert_int_equal(dropped(&t, 0), 0);
    few_trainer_free(&t);
}

/* ---- slices ---------------------------------------------------------------------------------*/

/* A batch is what it is in whatever slices: loss and gradients are means over its images. */
static void slices_do_not_change_a_step(void **state)
{
    (void)state;
    static const char *const slices[] = { "8", "1", "2", "4" };
    few_step_result whole_batch = { 0 };
    float *weights = NULL;
    set(&c, "train.batch", "8");
    set(&c, "train.precision", "f32");
    for (size_t k = 0; k < FEW_COUNT(slices); k++) {
        few_trainer t;
        set(&c, "train.slice", slices[k]);
        start(&t);
        const few_step_result r = step(&t);
        const size_t bytes = (size_t)t.state.count * sizeof(float);
        if (k == 0) {
            whole_batch = r;
            weights = few_malloc(bytes);
            assert_non_null(weights);
            memcpy(weights, t.state.m, bytes);
        }
        assert_true(fabs(r.loss - whole_batch.loss) <= 1e-5 * whole_batch.loss);
        assert_true(fabs(r.grad_norm - whole_batch.grad_norm) <= 1e-5 * whole_batch.grad_norm);
        for (int64_t i = 0; i < t.state.count; i++)
            assert_true(fabsf(t.state.m[i] - weights[i]) <= 1e-6F * (float)r.grad_norm);
        few_trainer_free(&t);
    }
    few_free(weights);
}

/* ---- settings -------------------------------------------------------------------------------*/

enum { MOST = 4096 };

/* The weights, moments and averages of every step, by hand from its gradients. */
static void follow(few_trainer *t, const few_update *settings, const double decay[2],
                   struct plain *plain)
{
    static float grad[MOST];
    few_update u = *settings;
    const few_train_state *s = &t->state;
    bool clipped = false;
    for (u.step = 1; u.step <= 12; u.step++) {
        const few_step_result r = step(t);
        assert_int_equal(few_backend_cpu.gradients(t->plan, grad, &err), FEW_OK);
        double norm = 0;
        for (int64_t i = 0; i < s->count; i++)
            norm += (double)grad[i] * (double)grad[i];
        near(r.grad_norm, sqrt(norm), "gradient norm", u.step);
        const double scale = fmin(1, u.clip / sqrt(norm)), done = (double)u.step - 1;
        clipped |= scale < 1;
        u.lr = r.lr;
        for (int k = 0; k < 2; k++)
            u.ema_decay[k] = fmin(decay[k], (1 + done) / (10 + done));
        for (int64_t i = 0; i < s->count; i++) {
            plain_step(&plain[i], &u, scale * (double)grad[i]);
            near((double)s->master[i], plain[i].p, "weight", u.step);
            near((double)s->m[i], plain[i].m, "first moment", u.step);
            near((double)s->v[i], plain[i].v, "second moment", u.step);
            for (int k = 0; k < 2; k++)
                near((double)s->ema[k][i], plain[i].ema[k], "average", u.step);
        }
    }
    assert_true(clipped);
}

static void settings_reach_the_optimiser(void **state)
{
    (void)state;
    static struct plain plain[MOST];
    for (int radam = 0; radam < 2; radam++) {
        few_trainer t;
        configure("mlp");
        set(&c, "train.optimizer", radam ? "radam" : "adam");
        set(&c, "train.steps", "20");
        set(&c, "train.lr", "0.01");
        set(&c, "train.beta1", "0.7");
        set(&c, "train.beta2", "0.95");
        set(&c, "train.eps", "1e-4");
        set(&c, "train.weight_decay", "0.1");
        set(&c, "train.clip", "0.05");
        set(&c, "train.ema", "0.3,0.99");
        start(&t);
        assert_true(t.state.count <= MOST);
        for (int64_t i = 0; i < t.state.count; i++) {
            const double p = (double)t.state.master[i];
            plain[i] = (struct plain){ .p = p, .ema = { p, p } };
        }
        const few_update u = { .radam = radam,
                               .beta1 = 0.7,
                               .beta2 = 0.95,
                               .eps = 1e-4,
                               .weight_decay = 0.1,
                               .clip = 0.05,
                               .n_ema = 2 };
        follow(&t, &u, (const double[2]){ 0.3, 0.99 }, plain);

        /* the first average is what is shipped */
        few_net net;
        const char *run = new_folder();
        assert_int_equal(few_state_save(&t, run, &err), FEW_OK);
        assert_int_equal(few_net_load(&net, in_state(run, 12, files[0]), &err), FEW_OK);
        assert_memory_equal(net.master, t.state.ema[0], (size_t)t.state.count * sizeof(float));
        few_net_free(&net);
        few_trainer_free(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(images_have_keys_and_labels_of_their_own, small),
        cmocka_unit_test_setup(slices_do_not_change_a_step, small),
        cmocka_unit_test_setup(settings_reach_the_optimiser, small),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

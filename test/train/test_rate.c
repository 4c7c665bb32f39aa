/* The learning rate of a step: warm-up, then constant, linear or by cosine. */
#include "train/nets.h"
#include "train/trainer.h"

static few_train_options options(const char *rate, int64_t warmup)
{
    return (few_train_options){ .lr = 3e-4, .warmup = warmup, .rate = (char *)(uintptr_t)rate };
}

static void near(const few_train_options *o, int64_t step, int64_t steps, double part)
{
    const double have = few_train_rate(o, step, steps);
    if (!(fabs(have - 3e-4 * part) <= 1e-15))
        fail_msg("%s, step %lld of %lld: %.12g, wanted %.12g", o->rate, (long long)step,
                 (long long)steps, have, 3e-4 * part);
}

/* From lr/warmup, not 0, to lr itself in its last step, whatever comes then. */
static void warm_up_rises_to_the_rate(void **state)
{
    (void)state;
    static const char *const rates[] = { "constant", "linear", "cosine" };
    for (size_t r = 0; r < FEW_COUNT(rates); r++) {
        const few_train_options o = options(rates[r], 4), none = options(rates[r], 0);
        static const double parts[] = { 0.25, 0.5, 0.75, 1, 1 };
        for (int k = 0; k < 5; k++)
            near(&o, k, 16, parts[k]);
        near(&none, 0, 16, 1);
        near(&o, 2, 3, 0.75); /* a run that ends in it */
        near(&o, 3, 4, 1);
    }
}

/* Each of four phases of a run of 64 steps has a quarter of its warm-up. */
static void phases_share_the_warm_up(void **state)
{
    (void)state;
    few_train_options o = options("linear", 16);
    o.steps = 64;
    static const double parts[] = { 0.25, 0.5, 0.75, 1, 1, 11 / 12.0 };
    for (int k = 0; k < 6; k++)
        near(&o, k, 16, parts[k]);
    near(&o, 4, 64, 5 / 16.0);
    o.warmup = 3; /* less than one step each */
    near(&o, 0, 16, 1);
}

static void rates_fall_as_they_say(void **state)
{
    (void)state;
    static const struct {
        const char *rate;
        double
            at[7]; /* steps 4, 6, 8, 10, 12, 16, 40 of 16: 0, 1/6, 1/3, 1/2, 2/3 of the way, ... */
    } rows[] = {
        { "constant", { 1, 1, 1, 1, 1, 1, 1 } },
        { "linear", { 1, 5 / 6.0, 2 / 3.0, 0.5, 1 / 3.0, 0, 0 } },
        { "cosine", { 1, 0.933012701892219, 0.75, 0.5, 0.25, 0, 0 } },
    };
    static const int64_t steps[] = { 4, 6, 8, 10, 12, 16, 40 };
    for (size_t r = 0; r < FEW_COUNT(rows); r++) {
        const few_train_options o = options(rows[r].rate, 4);
        for (size_t k = 0; k < FEW_COUNT(steps); k++)
            near(&o, steps[k], 16, rows[r].at[k]);
    }
    const few_train_options linear = options("linear", 0), cosine = options("cosine", 0);
    near(&linear, 9, 10, 0.1); /* the last step still moves */
    near(&cosine, 9, 10, 0.024471741852423);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(warm_up_rises_to_the_rate),
        cmocka_unit_test(phases_share_the_warm_up),
        cmocka_unit_test(rates_fall_as_they_say),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

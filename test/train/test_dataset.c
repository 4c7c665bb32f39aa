/* What a training batch holds: every image of a pack once an epoch, with its own label, in another
 * order in each epoch, and half of them mirrored when asked. */
#include "base/temp_folder.h"
#include "train/dataset.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { IMAGES = 30, SIDE = 4, PIXELS = SIDE * SIDE, CLASSES = 3, BATCH = 7, EPOCHS = 3 };
enum { STEPS = (EPOCHS * IMAGES + BATCH - 1) / BATCH, MARK = 255 };

/* Image i holds i, but for its left column. */
static void fill(uint8_t x[PIXELS], int i)
{
    memset(x, i, PIXELS);
    for (int y = 0; y < SIDE; y++)
        x[y * SIDE] = MARK;
}

static int make_pack(void **state)
{
    const few_pack_plan plan = {
        .height = SIDE, .width = SIDE, .channels = 1, .n_classes = CLASSES
    };
    few_pack_writer *w;
    few_error err;
    uint8_t x[PIXELS];
    if (make_temp_folder(state) ||
        few_pack_writer_open(&w, temp_path("p.few"), &plan, &err) != FEW_OK)
        return -1;
    for (int i = 0; i < IMAGES; i++) {
        fill(x, i);
        if (few_pack_writer_add(w, x, i % CLASSES, &err) != FEW_OK)
            return -1;
    }
    return few_pack_writer_commit(w, &err) == FEW_OK ? 0 : -1;
}

/* Which image x is, every pixel compared; whether it is mirrored. */
static int image_of(const uint8_t x[PIXELS], bool *mirrored)
{
    uint8_t want[PIXELS], turned[PIXELS];
    const int i = x[1];
    fill(want, i);
    few_flip_pixels(turned, want, SIDE, SIDE, 1);
    *mirrored = memcmp(x, turned, PIXELS) == 0;
    if (!*mirrored)
        assert_memory_equal(x, want, PIXELS);
    return i;
}

/* The images of some epochs one after the other, and how many of them are mirrored. */
static int read_epochs(int order[EPOCHS][IMAGES], uint64_t seed, bool flip)
{
    few_dataset d;
    few_error err;
    uint8_t x[BATCH][PIXELS];
    int32_t label[BATCH];
    int turned = 0, at = 0;
    assert_int_equal(few_dataset_open(&d, temp_path("p.few"), &err), FEW_OK);
    for (int step = 0; step < STEPS; step++) {
        few_dataset_batch(&d, seed, step, BATCH, flip, x, label);
        for (int i = 0; i < BATCH && at < EPOCHS * IMAGES; i++, at++) {
            bool mirrored;
            const int k = image_of(x[i], &mirrored);
            assert_int_equal(label[i], k % CLASSES);
            order[at / IMAGES][at % IMAGES] = k;
            turned += mirrored;
        }
    }
    few_dataset_close(&d);
    return turned;
}

static void every_image_once_an_epoch(void **state)
{
    (void)state;
    int order[EPOCHS][IMAGES];
    assert_int_not_equal(IMAGES % BATCH, 0); /* batches lie across the ends of epochs */
    read_epochs(order, 1, false);
    for (int e = 0; e < EPOCHS; e++) {
        int seen[IMAGES] = { 0 };
        for (int i = 0; i < IMAGES; i++)
            assert_int_equal(seen[order[e][i]]++, 0);
    }
}

static void every_epoch_and_seed_has_its_order(void **state)
{
    (void)state;
    int a[EPOCHS][IMAGES], b[EPOCHS][IMAGES];
    read_epochs(a, 1, false);
    read_epochs(b, 2, false);
    for (int e = 0; e < EPOCHS; e++) {
        assert_memory_not_equal(a[e], a[(e + 1) % EPOCHS], sizeof a[e]);
        assert_memory_not_equal(a[e], b[e], sizeof a[e]);
    }
}

static void half_are_mirrored_when_asked(void **state)
{
    (void)state;
    int plain[EPOCHS][IMAGES], order[EPOCHS][IMAGES];
    assert_int_equal(read_epochs(plain, 1, false), 0);
    const int turned = read_epochs(order, 1, true);
    assert_in_range(turned, EPOCHS * IMAGES / 3, EPOCHS * IMAGES * 2 / 3);
    assert_memory_equal(order, plain, sizeof plain); /* the same images in the same places */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_image_once_an_epoch),
        cmocka_unit_test(every_epoch_and_seed_has_its_order),
        cmocka_unit_test(half_are_mirrored_when_asked),
    };
    return cmocka_run_group_tests(tests, make_pack, remove_temp_folder);
}

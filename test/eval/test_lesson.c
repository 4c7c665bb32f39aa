/* What images without classes are made into: every kind of a small image, against its definition.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "eval/lesson.h"

#include <stdlib.h>
#include <string.h>

enum { H = 5, W = 5, C = 2, N = H * W * C };

static uint8_t scratch[N];

static void make(uint8_t *to, const uint8_t *from, int h, int w, int kind)
{
    few_lesson_make(to, from, h, w, C, kind, scratch);
}

static void kinds_are_turns_and_blur(void **state)
{
    (void)state;
    uint8_t from[N], to[N], turned[N];
    assert_int_equal(few_lesson_kinds(H, W), 8);
    assert_int_equal(few_lesson_kinds(H, W + 1), 4);
    for (int i = 0; i < N; i++)
        from[i] = (uint8_t)(i * 5);
    for (int q = 0; q < 4; q++) {
        few_turn_pixels(turned, from, H, W, C, q);
        make(to, from, H, W, 2 * q);
        assert_memory_equal(to, turned, N);
    }
    few_turn_pixels(turned, from, 4, W, C, 2); /* not square: on its head */
    make(to, from, 4, W, 2);
    assert_memory_equal(to, turned, 4 * W * C);
}

/* One bright pixel becomes (1 2 1)^2 / 16 of it, and brightness without edges stays. */
static void blurred(void **state)
{
    (void)state;
    uint8_t from[N] = { 0 }, to[N];
    from[(2 * W + 2) * C] = 160;
    make(to, from, H, W, 1);
    for (int y = 0; y < H; y++)
        for (int x = 0; x < W; x++) {
            const int dy = abs(y - 2), dx = abs(x - 2);
            assert_int_equal(to[(y * W + x) * C], dy < 2 && dx < 2 ? 10 * (2 - dy) * (2 - dx) : 0);
            assert_int_equal(to[(y * W + x) * C + 1], 0);
        }
    memset(from, 201, N);
    make(to, from, H, W, 1);
    assert_memory_equal(to, from, N);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kinds_are_turns_and_blur),
        cmocka_unit_test(blurred),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

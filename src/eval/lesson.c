#include "eval/lesson.h"

int few_lesson_kinds(int h, int w)
{
    return h == w ? 8 : 4;
}

static int within(int i, int n)
{
    return i < 0 ? 0 : i < n ? i : n - 1;
}

/* By (1 2 1) / 4 in both directions; what is outside is as the border. */
static void blur(uint8_t *to, const uint8_t *from, int h, int w, int c)
{
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++)
            for (int k = 0; k < c; k++) {
                int sum = 0;
                for (int i = -1; i <= 1; i++)
                    for (int j = -1; j <= 1; j++)
                        sum += (2 - (i != 0)) * (2 - (j != 0)) *
                               from[(within(y + i, h) * w + within(x + j, w)) * c + k];
                to[(y * w + x) * c + k] = (uint8_t)((sum + 8) / 16);
            }
}

void few_lesson_make(uint8_t *to, const uint8_t *from, int h, int w, int c, int kind,
                     uint8_t *scratch)
{
    if (kind % 2)
        blur(scratch, from, h, w, c);
    few_turn_pixels(to, kind % 2 ? scratch : from, h, w, c, h == w ? kind / 2 : kind / 2 * 2);
}

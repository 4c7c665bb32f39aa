/* Philox4x32-10 and what is drawn from it.
 *
 * A round maps (c0, c1, c2, c3) to (hi(M1 c2) ^ c1 ^ k0, lo(M1 c2), hi(M0 c0) ^ c3 ^ k1, lo(M0
 * c0)); the key grows by the Weyl constants between rounds, nine times for ten rounds. */
#include "base/philox.h"

#include <math.h>

void few_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    uint32_t k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++) {
        const uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u; /* golden ratio */
        k1 += 0xBB67AE85u; /* sqrt(3) - 1 */
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

/* 24 bits, centred in their cell: never 0 and never 1, so that its logarithm is finite. */
static double unit(uint32_t u)
{
    return ((double)(u >> 8) + 0.5) * 0x1p-24;
}

void few_philox_uniform(const uint32_t counter[4], const uint32_t key[2], double out[4])
{
    uint32_t u[4];
    few_philox(counter, key, u);
    for (int i = 0; i < 4; i++)
        out[i] = unit(u[i]);
}

void few_philox_normal(const uint32_t counter[4], const uint32_t key[2], double out[4])
{
    double u[4];
    few_philox_uniform(counter, key, u);
    for (int i = 0; i < 4; i += 2) {
        const double r = sqrt(-2 * log(u[i])), angle = 2 * M_PI * u[i + 1];
        out[i] = r * cos(angle);
        out[i + 1] = r * sin(angle);
    }
}

static uint32_t word(uint64_t seed, uint32_t purpose, uint32_t step, uint32_t sample, uint32_t i)
{
    const uint32_t key[2] = { (uint32_t)seed, (uint32_t)(seed >> 32) };
    const uint32_t counter[4] = { i / 4, purpose, step, sample };
    uint32_t u[4];
    few_philox(counter, key, u);
    return u[i % 4];
}

double few_random_uniform(uint64_t seed, uint32_t purpose, uint32_t step, uint32_t sample,
                          uint32_t i)
{
    return unit(word(seed, purpose, step, sample, i));
}

uint32_t few_random_below(uint64_t seed, uint32_t purpose, uint32_t step, uint32_t sample,
                          uint32_t i, uint32_t n)
{
    return (uint32_t)(((uint64_t)word(seed, purpose, step, sample, i) * n) >> 32);
}

/* The network permutes 0 .. 4^half - 1, at most four times n numbers; walking on until the value
 * is below n makes it a permutation of 0 .. n-1, in fewer than four steps on average. */
uint64_t few_random_permute(uint64_t seed, uint32_t epoch, uint64_t n, uint64_t i)
{
    if (n < 2)
        return 0;
    int half = 1;
    while (half < 32 && (n - 1) >> (2 * half))
        half++;
    const uint32_t key[2] = { (uint32_t)seed, (uint32_t)(seed >> 32) };
    const uint32_t mask = (uint32_t)((1ull << half) - 1);
    do {
        uint32_t left = (uint32_t)(i >> half) & mask, right = (uint32_t)i & mask;
        for (uint32_t round = 0; round < 4; round++) {
            const uint32_t counter[4] = { right, FEW_RNG_SHUFFLE, epoch, round };
            uint32_t u[4];
            few_philox(counter, key, u);
            const uint32_t next = left ^ (u[0] & mask);
            left = right;
            right = next;
        }
        i = (uint64_t)left << half | right;
    } while (i >= n);
    return i;
}

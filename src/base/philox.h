/* Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011): a random
 * number is a pure function of its key and counter, so a sample does not depend on batch, slice
 * or threads.
 *
 * fewstep's keying: key = (seed low, seed high); counter = (block, purpose, step, sample), where
 * block i holds elements 4i..4i+3 of a tensor's sample. */
#ifndef FEW_BASE_PHILOX_H
#define FEW_BASE_PHILOX_H

#include <stdint.h>

/* What a stream of numbers is for; the second word of the counter. Values are part of what makes
 * a sample reproducible: never renumber. Dropout layer k uses FEW_RNG_DROPOUT + k. */
enum {
    FEW_RNG_NOISE = 1,    /* eps of a training sample, z at t = 1 of a drawn one */
    FEW_RNG_TIME = 2,     /* segment, teacher step, continuous time */
    FEW_RNG_SHUFFLE = 3,  /* order of the data */
    FEW_RNG_FLIP = 4,     /* augmentation */
    FEW_RNG_LABEL = 5,    /* label dropout, drawn labels */
    FEW_RNG_INIT = 6,     /* initial weights */
    FEW_RNG_STEP = 7,     /* fresh noise inside a sampler */
    FEW_RNG_LESSON = 8,   /* what an image without a class is made into */
    FEW_RNG_DROPOUT = 256 /* + layer */
};

/* out[4] = the block for this counter and key. */
void few_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

/* One block as four numbers. uniform: (u >> 8 + 0.5) * 2^-24, in (0, 1). normal: Box-Muller on
 * (u0,u1) and (u2,u3): sqrt(-2 ln u0) * (cos, sin)(2 pi u1), in double. */
void few_philox_uniform(const uint32_t counter[4], const uint32_t key[2], double out[4]);
void few_philox_normal(const uint32_t counter[4], const uint32_t key[2], double out[4]);

/* Element `i` of the stream (seed, purpose, step, sample), uniform in (0,1) or an integer in
 * [0, n): the multiply-shift of a 32-bit word, n up to 2^31. */
double few_random_uniform(uint64_t seed, uint32_t purpose, uint32_t step, uint32_t sample,
                          uint32_t i);
uint32_t few_random_below(uint64_t seed, uint32_t purpose, uint32_t step, uint32_t sample,
                          uint32_t i, uint32_t n);

/* A permutation of 0..n-1 evaluated at i without storing it: a 4-round Feistel network over
 * Philox with cycle walking. The same (seed, epoch) gives the same order. */
uint64_t few_random_permute(uint64_t seed, uint32_t epoch, uint64_t n, uint64_t i);

#endif

/* rng.h: counter-based random numbers, keyed by (seed, purpose, epoch, sample). */
#ifndef RNG_H
#define RNG_H
#include <stdint.h>

/* What a draw is for. Values are part of the format of results: append, never renumber. */
enum { RNG_INIT = 1, RNG_SHUFFLE, RNG_DROPOUT, RNG_AUGMENT, RNG_FOLDS, RNG_SYNTH, RNG_BOOTSTRAP, RNG_SUBSET, RNG_TEST };

/* One Philox block: four words from (seed; purpose, epoch, sample, block). */
void rng_block(uint64_t seed, uint32_t purpose, uint32_t epoch, uint32_t sample, uint32_t block, uint32_t out[4]);

/* A stream over the blocks of one (seed, purpose, epoch, sample). */
typedef struct { uint64_t seed; uint32_t purpose, epoch, sample, block, word[4]; int left; } rng;
rng rng_open(uint64_t seed, uint32_t purpose, uint32_t epoch, uint32_t sample);
uint32_t rng_u32(rng *r);
double rng_uniform(rng *r);                          /* in (0, 1): (word + 0.5) / 2^32 */
double rng_normal(rng *r);                           /* N(0, 1), Box-Muller, two words a draw */
uint32_t rng_below(rng *r, uint32_t n);              /* 0 .. n-1, unbiased (rejection) */
void rng_shuffle(rng *r, int *x, int n);             /* Fisher-Yates */
#endif

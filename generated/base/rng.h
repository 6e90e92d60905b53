/* rng.h: counter-based random numbers, keyed by (seed, purpose, epoch, sample). */
#ifndef RNG_H
#define RNG_H
#include <stdint.h>

/* let a GPU call it too */
#ifdef __CUDACC__
#define DEVICE __host__ __device__
#else
#define DEVICE
#endif
/* What a draw is for. Values are part of the format of results: append, never renumber. */
enum { RNG_INIT = 1, RNG_SHUFFLE, RNG_DROPOUT, RNG_AUGMENT, RNG_FOLDS, RNG_SYNTH, RNG_BOOTSTRAP, RNG_SUBSET, RNG_TEST, RNG_COLOUR };

/* draw one Philox block */
/* One Philox block: four words from (seed; purpose, epoch, sample, block). */
static inline DEVICE void rng_block(uint64_t seed, uint32_t purpose, uint32_t epoch, uint32_t sample,
                                    uint32_t block, uint32_t out[4])
{
  uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
  uint32_t c0 = block, c1 = sample, c2 = epoch, c3 = purpose;
  for (int round = 0; round < 10; round++) {
    uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
    c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0, c1 = (uint32_t)p1;
    c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1, c3 = (uint32_t)p0;
    k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
  }
  out[0] = c0, out[1] = c1, out[2] = c2, out[3] = c3;
}

/* A stream over the blocks of one (seed, purpose, epoch, sample). */
typedef struct { uint64_t seed; uint32_t purpose, epoch, sample, block, word[4]; int left; } rng;
rng rng_open(uint64_t seed, uint32_t purpose, uint32_t epoch, uint32_t sample);
uint32_t rng_u32(rng *r);
double rng_uniform(rng *r);                          /* in (0, 1): (word + 0.5) / 2^32 */
double rng_normal(rng *r);                           /* N(0, 1), Box-Muller, two words a draw */
uint32_t rng_below(rng *r, uint32_t n);              /* 0 .. n-1, unbiased (rejection) */
void rng_shuffle(rng *r, int *x, int n);             /* Fisher-Yates */
#endif

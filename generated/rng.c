#include "rng.h"
#include <math.h>

void rng_block(uint64_t seed, uint32_t purpose, uint32_t epoch, uint32_t sample, uint32_t block, uint32_t out[4])
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

/* draw from a stream */
rng rng_open(uint64_t seed, uint32_t purpose, uint32_t epoch, uint32_t sample)
{
  return (rng){ .seed = seed, .purpose = purpose, .epoch = epoch, .sample = sample };
}

uint32_t rng_u32(rng *r)
{
  if (!r->left) rng_block(r->seed, r->purpose, r->epoch, r->sample, r->block++, r->word), r->left = 4;
  return r->word[4 - r->left--];
}

double rng_uniform(rng *r) { return (rng_u32(r) + 0.5) / 4294967296.0; }

double rng_normal(rng *r)
{
  double u = rng_uniform(r), v = rng_uniform(r);
  return sqrt(-2 * log(u)) * cos(6.283185307179586 * v);
}

uint32_t rng_below(rng *r, uint32_t n)
{
  uint32_t limit = -n % n, x;
  do x = rng_u32(r); while (x < limit);
  return x % n;
}

void rng_shuffle(rng *r, int *x, int n)
{
  for (int i = n - 1; i > 0; i--) {
    int j = (int)rng_below(r, (uint32_t)i + 1), t = x[i];
    x[i] = x[j], x[j] = t;
  }
}

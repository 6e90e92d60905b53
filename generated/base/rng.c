#include "base/rng.h"
#include <math.h>

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

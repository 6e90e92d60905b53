/* rules.h: what every engine does alike, on a CPU and on a GPU. */
#ifndef RULES_H
#define RULES_H
#include "base/rng.h"

#define NORM_EPSILON 1e-5f                           /* MATLAB's: what a batch norm adds to the variance */

/* Bit j of the result: element 4 * block + j of this cell is kept. l: index in net.layer. */
static inline DEVICE unsigned dropout_keeps(double p, uint64_t seed, int l, uint32_t epoch, uint32_t row,
                                            uint32_t block)
{
  uint32_t word[4], threshold = (uint32_t)(p * 4294967296.0);
  rng_block(seed, RNG_DROPOUT | (uint32_t)l << 8, epoch, row, block, word);
  return (word[0] >= threshold) | (unsigned)(word[1] >= threshold) << 1 | (unsigned)(word[2] >= threshold) << 2
       | (unsigned)(word[3] >= threshold) << 3;
}

/* Pixel (y, x) of the turned h x w image is pixel (*sy, *sx) of the cell. Bit 2 transposes (square images
   alone); then bit 0 flips left-right and bit 1 up-down: all eight symmetries of the square. */
static inline DEVICE void turn_source(int turn, int h, int w, int y, int x, int *sy, int *sx)
{
  if (turn & 1) x = w - 1 - x;
  if (turn & 2) y = h - 1 - y;
  *sy = turn & 4 ? x : y, *sx = turn & 4 ? y : x;
}
#endif

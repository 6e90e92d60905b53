/* simd.h: the inner loops of the cpu engine, one table for each instruction set. */
#ifndef SIMD_H
#define SIMD_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LANE = 16, TILE_ADD = 1, TILE_RELU = 2 };     /* floats in a lane group; modes of tile and wino_output */

typedef struct {
  const char *name;
  int panel, rows;                                   /* widest panel (a multiple of LANE) and most rows of a tile */
  /* simd: the table's functions */
  /* c[i * step + j] (+)= sum over segments t and k < LANE of a[segment[t] + i * LANE + k] * b[(t * LANE + k) * width + j] (+ bias[j])
     for i < m <= rows and j < width, a multiple of LANE and at most panel. bias may be NULL. mode: TILE_ADD, TILE_RELU. */
  void (*tile)(int m, int width, const float *a, const int *segment, int segments, const float *b, const float *bias,
               float *c, size_t step, int mode);
  /* For each block q < blocks: c[q * cstep + i * LANE + j] (+)= sum over t < k of a[t * LANE + i] * b[q * bstep + t * LANE + j], i, j < LANE. */
  void (*outer)(int k, const float *a, const float *b, size_t bstep, int blocks, float *c, size_t cstep, bool add);
  void (*transpose)(const float *x, size_t xrow, float *y, size_t yrow);   /* y[j * yrow + i] = x[i * xrow + j], i, j < LANE */
  /* Winograd's transforms of one lane group; v[e * estep + lane], e = 8 * row + column of the 8 x 8 points; row, col: steps in floats. */
  void (*wino_input)(const float *x, ptrdiff_t row, ptrdiff_t col, float *v, size_t estep);          /* B' x B, x (8, 8) */
  void (*wino_taps)(int r, const float *g, ptrdiff_t row, ptrdiff_t col, float *u, size_t estep);    /* G g G', g (r, r), r 3..6 */
  /* A' v A, (m, m), m 3..6; + bias (may be NULL), then mode as in tile */
  void (*wino_output)(int m, const float *v, size_t estep, const float *bias, float *y, ptrdiff_t row, ptrdiff_t col, int mode);
  /* Over rows of c channels. mean, a, offset, k1, k2, pivot: (c), readable up to a multiple of LANE. With v = a * (x - mean) + offset: */
  /* += x - p, (x - p)^2; pivot: NULL is 0; square may be NULL */
  void (*sums)(const float *x, size_t rows, int c, const float *pivot, double *sum, double *square);
  void (*norm)(const float *x, const float *r, float *y, size_t rows, int c, const float *mean, const float *a, const float *offset,
               bool relu);                             /* y = relu?(v + r?) */
  /* With g = dy where the ReLU passed (v > 0, or y > 0 when y is given), else 0: */
  void (*norm_sums)(const float *x, const float *y, const float *dy, size_t rows, int c, const float *mean, const float *a,
                    const float *offset, bool relu, double *sum, double *product);                           /* += g, g * (x - mean) */
  void (*norm_grad)(const float *x, const float *y, const float *dy, size_t rows, int c, const float *mean, const float *a,
                    const float *offset, bool relu, const float *k1, const float *k2, float *dx, bool add_dx, float *dr, bool add_dr);
                                                       /* dr (+)= g; dx (+)= a * (g - k1 - (x - mean) * k2); either may be NULL */
  /* One window of c channels: rows y0..y1-1, columns x0..x1-1 of a k x k window whose corner is x; place = row * k + column of the first maximum. */
  void (*pool)(const float *x, ptrdiff_t row, const int window[4], int k, int c, float *y, uint8_t *place);
  void (*unpool)(const float *dy, const uint8_t *place, const int window[4], int k, int c, float *dx, ptrdiff_t row, bool add);
  void (*sgd)(float *w, float *v, const float *g, size_t n, float rate, float momentum, float l2);   /* as sgd_apply, bit for bit */
} simd;

extern const simd *simd_forced;                      /* for tests and bench: take this instead of the widest */
const simd *simd_best(void);                         /* the widest this processor has */
const simd *const *simd_all(void);                   /* those this processor has, NULL behind: for tests and bench */
#endif

/* simd.h: the inner loops of the cpu engine, one table for each instruction set. */
#ifndef SIMD_H
#define SIMD_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Floats in a lane group; modes of tile and wino_output. */
enum { LANE = 16, TILE_ADD = 1, TILE_RELU = 2 };

/* say what kernels are told */
/* v = a * (x - mean) + offset, then a ReLU or none; k1, k2: for the gradient. Arrays of c, readable up to
   a multiple of LANE. */
typedef struct {
  int c;
  bool relu;
  const float *mean, *a, *offset, *k1, *k2;
} channels;

/* The part of a k x k window that lies in the image: rows y0..y1-1, columns x0..x1-1 of it. */
typedef struct { int k, y0, y1, x0, x1; } pool_window;

typedef struct {
  const char *name;
  int panel, rows;                 /* widest panel (a multiple of LANE) and most rows of a tile */
  /* declare what vectors do */
  /* c[i * step + j] (+)= sum over segments t, k < LANE of a[segment[t] + i * LANE + k] * b[(t * LANE + k) *
     width + j]
     (+ bias[j]), for i < m <= rows and j < width: a multiple of LANE, at most panel. bias: NULL is 0.
     mode: TILE_ADD, TILE_RELU. */
  void (*tile)(int m, int width, const float *a, const int *segment, int segments, const float *b,
               const float *bias, float *c, size_t step, int mode);
  /* For each block q < blocks:
     c[q * cstep + i * LANE + j] (+)= sum over t < k of a[t * LANE + i] * b[q * bstep + t * LANE + j], i,
         j < LANE. */
  void (*outer)(int k, const float *a, const float *b, size_t bstep, int blocks,
                float *c, size_t cstep, bool add);
  /* y[j * yrow + i] = x[i * xrow + j], i, j < LANE */
  void (*transpose)(const float *x, size_t xrow, float *y, size_t yrow);
  /* Winograd's transforms of one lane group. v[e * estep + lane] with e = 8 * row + column of the 8 x 8
     points;
     row, col: steps in floats. input: B' x B, x (8, 8). taps: G g G', g (r, r), r 3..6.
     output: A' v A, (m, m), m 3..6, + bias (NULL: 0), mode as in tile. */
  void (*wino_input)(const float *x, ptrdiff_t row, ptrdiff_t col, float *v, size_t estep);
  void (*wino_taps)(int r, const float *g, ptrdiff_t row, ptrdiff_t col, float *u, size_t estep);
  void (*wino_output)(int m, const float *v, size_t estep, const float *bias,
                      float *y, ptrdiff_t row, ptrdiff_t col, int mode);
  /* Over rows (rows, c): sum += x - pivot (NULL: 0), square (may be NULL) += its square. */
  void (*sums)(const float *x, size_t rows, int c, const float *pivot, double *sum, double *square);
  /* y (rows, c) = relu?(v + r), r may be NULL */
  void (*norm)(const channels *, const float *x, const float *r, float *y, size_t rows);
  /* With g = dy where the ReLU let through (y > 0, or v > 0 when y is NULL), else 0; rows of c:
     norm_sums: sum += g, product += g * (x - mean).
     norm_grad: dr (+)= g; dx (+)= a * (g - k1 - (x - mean) * k2); either may be NULL. */
  void (*norm_sums)(const channels *, const float *x, const float *y, const float *dy, size_t rows,
                    double *sum, double *product);
  void (*norm_grad)(const channels *, const float *x, const float *y, const float *dy, size_t rows,
                    float *dx, bool add_dx, float *dr, bool add_dr);
  /* One window of c channels with its corner at x (or dx); row: floats of an image's row; place: row * k +
     column. */
  void (*pool)(const pool_window *, const float *x, ptrdiff_t row, int c, float *y, uint8_t *place);
  void (*unpool)(const pool_window *, const float *dy, const uint8_t *place, float *dx, ptrdiff_t row,
                 int c, bool add);
  /* As sgd_apply, bit for bit; old (NULL: none) receives w as it was. */
  void (*sgd)(float *w, float *v, const float *g, size_t n, float rate, float momentum, float l2, float *old);
  /* to (n, LANE): the first `lanes` floats from from + pixel * step on, then zeros. Reads LANE floats a pixel. */
  void (*fold)(float *to, const float *from, size_t step, int n, int lanes);
  /* y (n) = amplitude * tanh(slope * x) */
  void (*curve)(float *y, const float *x, size_t n, float amplitude, float slope);
} simd;

const simd *simd_best(void);       /* the widest this processor has, unless another is forced */
const simd *const *simd_all(void); /* those this processor has, the widest first, NULL behind */

/* For tests and the engine's tune: take this set; compute every convolution directly. Set them before an engine is
   opened. */
extern const simd *simd_forced;
extern bool simd_direct;
#endif

/* cuda_product.h: the gathered product of a convolution, as cuda_conv.cu describes it and cuda_wgmma.cu computes it too. */
#ifndef CUDA_PRODUCT_H
#define CUDA_PRODUCT_H
#include "gpu/cuda.h"

/* describe a gathered product */
/* target(row, q) = sum over (ky, kx, c) of source((u a + ky - pad_top) / d, (v a + kx - pad_left) / d, c)
   weight(q, ky, kx, c); row = (image, u, v). All pixel counts are below 2^31; offsets in elements are size_t. */
typedef struct {
  const void *source, *weight;
  int h, w, c, pitch;                                /* source (n, h, w, c), pitch elements a pixel */
  int rows, u, v, columns;                           /* targets: rows = n u v */
  int kernel, a, d, pad_top, pad_left;
  int line, depth;                                   /* a row of weights: elements, tiles of K */
  int step_y, step_x, step_c;                        /* what one tile of K adds to (ky, kx, c) */
} gather;

/* What becomes of the sums; NULL: not asked for. partial: statistics, or the gradient sums when there is
   a z. */
typedef struct {
  void *target;
  int pitch;
  bool relu, add, wide;                              /* wide: four columns can be stored at once */
  const float *bias, *coef;
  const void *z;
  float *partial;
} ending;
/* Does a product of warp groups serve this shape (and is it asked for)? Start it; statistics in tiles of NORM_ROWS. */
bool group_fits(precision, const gather *);
void group_start(precision, const gather *, const ending *, cudaStream_t);

/* What a kernel's ending did not sum: the statistics, or gradient sums, of the whole target. */
static inline void sums_by_a_pass(precision p, const gather *g, const ending *e, cudaStream_t stream)
{
  if (e->partial && e->z)
    cuda_norm_sums(p, g->rows, g->columns, e->z, e->target, NULL, e->coef, false, NULL, e->partial, stream);
  else if (e->partial) cuda_norm_statistics(p, g->rows, g->columns, e->target, e->partial, stream);
}
#endif

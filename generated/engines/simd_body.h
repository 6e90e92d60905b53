/* simd_body.h: the inner loops, for vectors of VL floats; included once by each simd_*.c. */
typedef float vec __attribute__((vector_size(4 * VL)));
typedef float vec_anywhere __attribute__((vector_size(4 * VL), aligned(4), may_alias));
typedef int mask __attribute__((vector_size(4 * VL)));
#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")
enum { PARTS = LANE / VL };        /* vectors in a lane group */

INLINE vec load(const float *p) { return *(const vec_anywhere *)p; }
INLINE void store(float *p, vec x) { *(vec_anywhere *)p = x; }
INLINE vec splat(float x) { return x - (vec){0}; }
INLINE vec fma_of(float a, vec b, vec c) { return FMA(splat(a), b, c); }
INLINE vec keep_where(mask m, vec x) { return (vec)(m & (mask)x); }
INLINE vec relu_of(vec x) { return keep_where(x > (vec){0}, x); }

/* multiply a tile */
INLINE void tile_of(const int m, const int nv, const float *a, const int *segment, int segments,
                    const float *b, const float *bias, float *c, size_t step, int mode)
{
  vec s[ROWS][COLUMNS];
UNROLL
  for (int i = 0; i < m; i++)
UNROLL
    for (int j = 0; j < nv; j++) s[i][j] = bias ? load(bias + j * VL) : (vec){0};
  for (int t = 0; t < segments; t++) {
    const float *p = a + segment[t];
    /* add sixteen rank-one products */
    #pragma GCC unroll 4
    for (int k = 0; k < LANE; k++, b += nv * VL) {
      vec w[COLUMNS];
    UNROLL
      for (int j = 0; j < nv; j++) w[j] = load(b + j * VL);
    UNROLL
      for (int i = 0; i < m; i++) {
        vec x = splat(p[i * LANE + k]);
    UNROLL
        for (int j = 0; j < nv; j++) s[i][j] = FMA(x, w[j], s[i][j]);
      }
    }
  }
UNROLL
  for (int i = 0; i < m; i++)
UNROLL
    for (int j = 0; j < nv; j++) {
      float *at = c + (size_t)i * step + j * VL;
      vec y = s[i][j];
      if (mode & TILE_ADD) y += load(at);
      store(at, mode & TILE_RELU ? relu_of(y) : y);
    }
}

typedef void tile_function(int, const float *, const int *, int, const float *, const float *,
                           float *, size_t, int);
#define TILE(m) \
static void tile_##m(int width, const float *a, const int *segment, int n, const float *b, \
                     const float *bias, float *c, size_t step, int mode) \
{ \
  if (COLUMNS * VL == LANE || width > LANE) \
    tile_of(m, COLUMNS, a, segment, n, b, bias, c, step, mode); \
  else tile_of(m, PARTS, a, segment, n, b, bias, c, step, mode); \
}
TILE(1) TILE(2) TILE(3)
#if ROWS > 3
TILE(4) TILE(5) TILE(6)
#endif
#if ROWS > 6
TILE(7) TILE(8) TILE(9) TILE(10) TILE(11) TILE(12) TILE(13) TILE(14)
#endif

static tile_function *const tile_rows[] = {
  NULL, tile_1, tile_2, tile_3,
#if ROWS > 3
  tile_4, tile_5, tile_6,
#endif
#if ROWS > 6
  tile_7, tile_8, tile_9, tile_10, tile_11, tile_12, tile_13, tile_14
#endif
};

static void tile(int m, int width, const float *a, const int *segment, int segments, const float *b,
                 const float *bias, float *c, size_t step, int mode)
{
  tile_rows[m](width, a, segment, segments, b, bias, c, step, mode);
}

/* add outer products */
INLINE float *part_of(float *c, size_t cstep, int i, int j)
{
  return c + i * LANE + (size_t)(j / PARTS) * cstep + j % PARTS * VL;
}

INLINE void outer_of(const int nb, int k, const float *a, const float *b, size_t bstep,
                     float *c, size_t cstep, bool add)
{
  vec s[OUTER_ROWS][OUTER_BLOCKS * PARTS], x[OUTER_BLOCKS * PARTS];
UNROLL
  for (int i = 0; i < OUTER_ROWS; i++)
UNROLL
    for (int j = 0; j < nb * PARTS; j++) s[i][j] = add ? load(part_of(c, cstep, i, j)) : (vec){0};
#pragma GCC unroll 2
  for (int t = 0; t < k; t++) {
    /* add one pixel's outer product */
    UNROLL
    for (int j = 0; j < nb * PARTS; j++)
      x[j] = load(b + (size_t)(j / PARTS) * bstep + t * LANE + j % PARTS * VL);
    UNROLL
    for (int i = 0; i < OUTER_ROWS; i++) {
      vec d = splat(a[t * LANE + i]);
    UNROLL
      for (int j = 0; j < nb * PARTS; j++) s[i][j] = FMA(d, x[j], s[i][j]);
    }
  }
UNROLL
  for (int i = 0; i < OUTER_ROWS; i++)
UNROLL
    for (int j = 0; j < nb * PARTS; j++) store(part_of(c, cstep, i, j), s[i][j]);
}

static void outer(int k, const float *a, const float *b, size_t bstep, int blocks,
                  float *c, size_t cstep, bool add)
{
  while (blocks) {
    int n = blocks < OUTER_BLOCKS ? blocks : OUTER_BLOCKS > 2 && blocks == 4 ? 2 : OUTER_BLOCKS;
    for (int i = 0; i < LANE; i += OUTER_ROWS) {
      if (n == 1) outer_of(1, k, a + i, b, bstep, c + i * LANE, cstep, add);
#if OUTER_BLOCKS > 2
      if (n == 2) outer_of(2, k, a + i, b, bstep, c + i * LANE, cstep, add);
      if (n == 3) outer_of(3, k, a + i, b, bstep, c + i * LANE, cstep, add);
#endif
    }
    blocks -= n, b += (size_t)n * bstep, c += (size_t)n * cstep;
  }
}

/* transpose a block */
#if VL == 16 && !defined __clang__
INLINE void exchange(vec x[16], const int s, const mask low, const mask high)
{
UNROLL
  for (int i = 0; i < 16; i++) {
    if (i & s) continue;
    vec a = x[i], b = x[i + s];
    x[i] = __builtin_shuffle(a, b, low), x[i + s] = __builtin_shuffle(a, b, high);
  }
}

static void transpose(const float *x, size_t xrow, float *y, size_t yrow)
{
  vec r[16];
UNROLL
  for (int i = 0; i < 16; i++) r[i] = load(x + (size_t)i * xrow);
  exchange(r, 8, (mask){ 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23 },
           (mask){ 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31 });
  exchange(r, 4, (mask){ 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27 },
           (mask){ 4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31 });
  exchange(r, 2, (mask){ 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29 },
           (mask){ 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31 });
  exchange(r, 1, (mask){ 0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30 },
           (mask){ 1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31 });
UNROLL
  for (int i = 0; i < 16; i++) store(y + (size_t)i * yrow, r[i]);
}
#else
static void transpose(const float *x, size_t xrow, float *y, size_t yrow)
{
  for (size_t i = 0; i < LANE; i++)
    for (size_t j = 0; j < LANE; j++) y[j * yrow + i] = x[i * xrow + j];
}
#endif

/* transform by Winograd */
/* Winograd's transforms of a line */
INLINE void window_of(vec x[8])
{
  vec e1 = fma_of(-4.25f, x[4], x[2] + x[6]), o1 = fma_of(-4.25f, x[3], x[1] + x[5]);
  vec e2 = fma_of(-1.25f, x[4], fma_of(0.25f, x[2], x[6]));
  vec o2 = fma_of(-2.5f, x[3], fma_of(0.5f, x[1], x[5] + x[5]));
  vec e3 = fma_of(-5, x[4], fma_of(4, x[2], x[6]));
  vec o3 = fma_of(-2.5f, x[3], fma_of(0.5f, x[5], x[1] + x[1]));
  x[0] = fma_of(5.25f, x[4] - x[2], x[0] - x[6]), x[7] = fma_of(5.25f, x[3] - x[5], x[7] - x[1]);
  x[1] = e1 + o1, x[2] = e1 - o1;
  x[3] = e2 + o2, x[4] = e2 - o2;
  x[5] = e3 + o3, x[6] = e3 - o3;
}

INLINE void values_of(const int r, const vec g[6], vec u[8])
{
  const vec zero = {0}, g3 = r > 3 ? g[3] : zero, g4 = r > 4 ? g[4] : zero, g5 = r > 5 ? g[5] : zero;
  const vec n1 = splat(-2 / 9.0f), n2 = splat(1 / 90.0f), n3 = splat(32 / 45.0f);
  vec e1 = g[0] + g[2] + g4, o1 = g[1] + g3 + g5;
  vec e2 = fma_of(16, g4, fma_of(4, g[2], g[0])), o2 = fma_of(32, g5, fma_of(8, g3, g[1] + g[1]));
  vec e3 = fma_of(0.0625f, g4, fma_of(0.25f, g[2], g[0]));
  vec o3 = fma_of(0.03125f, g5, fma_of(0.125f, g3, splat(0.5f) * g[1]));
  u[0] = g[0], u[7] = g[r - 1];
  u[1] = n1 * (e1 + o1), u[2] = n1 * (e1 - o1);
  u[3] = n2 * (e2 + o2), u[4] = n2 * (e2 - o2);
  u[5] = n3 * (e3 + o3), u[6] = n3 * (e3 - o3);
}

INLINE void sums_of(const int m, const vec x[8], vec y[6])
{
  vec s1 = x[1] + x[2], d1 = x[1] - x[2], s2 = x[3] + x[4], d2 = x[3] - x[4];
  vec s3 = x[5] + x[6], d3 = x[5] - x[6];
  y[0] = x[0] + s1 + s2 + s3;
  y[1] = fma_of(0.5f, d3, fma_of(2, d2, d1));
  y[2] = fma_of(0.25f, s3, fma_of(4, s2, s1));
  if (m > 3) y[3] = fma_of(0.125f, d3, fma_of(8, d2, d1));
  if (m > 4) y[4] = fma_of(0.0625f, s3, fma_of(16, s2, s1));
  if (m > 5) y[5] = fma_of(0.03125f, d3, fma_of(32, d2, d1));
  y[m - 1] += x[7];
}

static void wino_input(const float *x, ptrdiff_t row, ptrdiff_t col, float *v, size_t estep)
{
  vec t[8][8], s[8];
  for (int l = 0; l < LANE; l += VL) {
    /* transform the window's columns, then its rows */
    for (int j = 0; j < 8; j++) {
    UNROLL
      for (int i = 0; i < 8; i++) s[i] = load(x + i * row + j * col + l);
      window_of(s);
    UNROLL
      for (int i = 0; i < 8; i++) t[i][j] = s[i];
    }
    for (int i = 0; i < 8; i++) {
    UNROLL
      for (int j = 0; j < 8; j++) s[j] = t[i][j];
      window_of(s);
    UNROLL
      for (int j = 0; j < 8; j++) store(v + (size_t)(i * 8 + j) * estep + l, s[j]);
    }
  }
}

INLINE void taps_of(const int r, const float *g, ptrdiff_t row, ptrdiff_t col, float *u, size_t estep)
{
  vec t[8][6], s[6], q[8];
  for (int l = 0; l < LANE; l += VL) {
    /* transform the taps' columns, then their rows */
    UNROLL
    for (int j = 0; j < r; j++) {
    UNROLL
      for (int i = 0; i < r; i++) s[i] = load(g + i * row + j * col + l);
      values_of(r, s, q);
    UNROLL
      for (int i = 0; i < 8; i++) t[i][j] = q[i];
    }
    for (int i = 0; i < 8; i++) {
      values_of(r, t[i], q);
    UNROLL
      for (int j = 0; j < 8; j++) store(u + (size_t)(i * 8 + j) * estep + l, q[j]);
    }
  }
}

INLINE void output_of(const int m, const float *v, size_t estep, const float *bias,
                      float *y, ptrdiff_t row, ptrdiff_t col, int mode)
{
  vec t[6][8], s[8], q[6];
  for (int l = 0; l < LANE; l += VL) {
    /* transform the points' columns */
    for (int j = 0; j < 8; j++) {
    UNROLL
      for (int i = 0; i < 8; i++) s[i] = load(v + (size_t)(i * 8 + j) * estep + l);
      sums_of(m, s, q);
    UNROLL
      for (int i = 0; i < m; i++) t[i][j] = q[i];
    }
    /* transform their rows, and put the outputs down */
    const vec b = bias ? load(bias + l) : (vec){0};
    for (int i = 0; i < m; i++) {
      sums_of(m, t[i], q);
    UNROLL
      for (int j = 0; j < m; j++) {
        float *at = y + i * row + j * col + l;
        vec z = q[j] + b;
        if (mode & TILE_ADD) z += load(at);
        store(at, mode & TILE_RELU ? relu_of(z) : z);
      }
    }
  }
}

static void wino_taps(int r, const float *g, ptrdiff_t row, ptrdiff_t col, float *u, size_t estep)
{
  if (r == 3) taps_of(3, g, row, col, u, estep);
  if (r == 4) taps_of(4, g, row, col, u, estep);
  if (r == 5) taps_of(5, g, row, col, u, estep);
  if (r == 6) taps_of(6, g, row, col, u, estep);
}

static void wino_output(int m, const float *v, size_t estep, const float *bias,
                        float *y, ptrdiff_t row, ptrdiff_t col, int mode)
{
  if (m == 3) output_of(3, v, estep, bias, y, row, col, mode);
  if (m == 4) output_of(4, v, estep, bias, y, row, col, mode);
  if (m == 5) output_of(5, v, estep, bias, y, row, col, mode);
  if (m == 6) output_of(6, v, estep, bias, y, row, col, mode);
}

/* sum channels over rows */
INLINE vec load_some(const float *p, int n)
{
  if (n >= VL) return load(p);
  vec x = {0};
  for (int i = 0; i < n; i++) x[i] = p[i];
  return x;
}

INLINE void store_some(float *p, vec x, int n)
{
  if (n >= VL) { store(p, x); return; }
  for (int i = 0; i < n; i++) p[i] = x[i];
}

enum { CHUNK = 64, ACROSS = 4 };   /* rows summed in single precision; vectors of channels at a time */

INLINE void add_lanes(double *to, vec x, int n)
{
  for (int i = 0; i < n && i < VL; i++) to[i] += (double)x[i];
}

/* Of nv vectors of channels from j on; n: channels that there are from j on. */
INLINE void sums_of_rows(const int nv, const float *x, size_t rows, int c, int j, const float *pivot, double *sum,
                         double *square)
{
  const int n = c - j;
  vec s[ACROSS], q[ACROSS];
UNROLL
  for (int u = 0; u < nv; u++) s[u] = q[u] = (vec){0};
  for (size_t k = 0; k < rows; k++)
UNROLL
    for (int u = 0; u < nv; u++) {
      const vec z = load_some(x + k * (size_t)c + j + u * VL, n - u * VL);
      const vec d = pivot ? z - load(pivot + j + u * VL) : z;
      s[u] += d, q[u] = FMA(d, d, q[u]);
    }
UNROLL
  for (int u = 0; u < nv; u++) {
    add_lanes(sum + j + u * VL, s[u], n - u * VL);
    if (square) add_lanes(square + j + u * VL, q[u], n - u * VL);
  }
}

static void sums(const float *x, size_t rows, int c, const float *pivot, double *sum, double *square)
{
  for (size_t i = 0; i < rows; i += CHUNK) {
    const size_t n = rows - i < CHUNK ? rows - i : CHUNK;
    const float *at = x + i * (size_t)c;
    int j = 0;
    for (; j + ACROSS * VL <= c; j += ACROSS * VL) sums_of_rows(ACROSS, at, n, c, j, pivot, sum, square);
    for (; j < c; j += VL) sums_of_rows(1, at, n, c, j, pivot, sum, square);
  }
}

/* normalise rows */
static void norm(const channels *q, const float *x, const float *r, float *y, size_t rows)
{
  for (size_t i = 0; i < rows; i++)
    for (int j = 0; j < q->c; j += VL) {
      const size_t at = i * (size_t)q->c + (size_t)j;
      const int n = q->c - j;
      vec v = FMA(load_some(x + at, n) - load(q->mean + j), load(q->a + j), load(q->offset + j));
      if (r) v += load_some(r + at, n);
      store_some(y + at, q->relu ? relu_of(v) : v, n);
    }
}

/* go back through the norm */
/* g of one vector of channels at j; d: x - mean there */
INLINE vec passed(const channels *q, vec d, const float *y, const float *dy, size_t at, int j)
{
  const vec g = load_some(dy + at, q->c - j);
  if (!q->relu) return g;
  if (y) return keep_where(load_some(y + at, q->c - j) > (vec){0}, g);
  return keep_where(FMA(d, load(q->a + j), load(q->offset + j)) > (vec){0}, g);
}

/* As sums_of_rows. */
INLINE void norm_sums_of_rows(const int nv, const channels *q, const float *x, const float *y, const float *dy,
                              size_t rows, int j, double *sum, double *product)
{
  const int n = q->c - j;
  vec s[ACROSS], p[ACROSS];
UNROLL
  for (int u = 0; u < nv; u++) s[u] = p[u] = (vec){0};
  for (size_t k = 0; k < rows; k++)
UNROLL
    for (int u = 0; u < nv; u++) {
      const int at = j + u * VL;
      const size_t here = k * (size_t)q->c + (size_t)at;
      const vec d = load_some(x + here, n - u * VL) - load(q->mean + at), g = passed(q, d, y, dy, here, at);
      s[u] += g, p[u] = FMA(g, d, p[u]);
    }
UNROLL
  for (int u = 0; u < nv; u++)
    add_lanes(sum + j + u * VL, s[u], n - u * VL), add_lanes(product + j + u * VL, p[u], n - u * VL);
}

static void norm_sums(const channels *q, const float *x, const float *y, const float *dy, size_t rows,
                      double *sum, double *product)
{
  for (size_t i = 0; i < rows; i += CHUNK) {
    const size_t n = rows - i < CHUNK ? rows - i : CHUNK, at = i * (size_t)q->c;
    const float *yi = y ? y + at : NULL;
    int j = 0;
    for (; j + ACROSS * VL <= q->c; j += ACROSS * VL)
      norm_sums_of_rows(ACROSS, q, x + at, yi, dy + at, n, j, sum, product);
    for (; j < q->c; j += VL) norm_sums_of_rows(1, q, x + at, yi, dy + at, n, j, sum, product);
  }
}

static void norm_grad(const channels *q, const float *x, const float *y, const float *dy, size_t rows,
                      float *dx, bool add_dx, float *dr, bool add_dr)
{
  for (size_t i = 0; i < rows; i++)
    for (int j = 0; j < q->c; j += VL) {
      const size_t at = i * (size_t)q->c + (size_t)j;
      const int n = q->c - j;
      vec d = load_some(x + at, n) - load(q->mean + j), g = passed(q, d, y, dy, at, j);
      if (dr) store_some(dr + at, add_dr ? g + load_some(dr + at, n) : g, n);
      if (!dx) continue;
      vec e = load(q->a + j) * (g - FMA(d, load(q->k2 + j), load(q->k1 + j)));
      store_some(dx + at, add_dx ? e + load_some(dx + at, n) : e, n);
    }
}

/* take the largest of a window */
typedef uint8_t bytes __attribute__((vector_size(VL), may_alias, aligned(1)));

static void pool(const pool_window *w, const float *x, ptrdiff_t row, int c, float *y, uint8_t *place)
{
  for (int j = 0; j < c; j += VL) {
    vec best = load_some(x + w->y0 * row + w->x0 * c + j, c - j);
    mask where = (mask){0} + (w->y0 * w->k + w->x0);
    for (int u = w->y0; u < w->y1; u++)
      for (int v = w->x0; v < w->x1; v++) {
        vec z = load_some(x + u * row + v * c + j, c - j);
        mask m = z > best;
        best = (vec)((m & (mask)z) | (~m & (mask)best));
        where = (m & (u * w->k + v)) | (~m & where);
      }
    store_some(y + j, best, c - j);
    bytes b = __builtin_convertvector(where, bytes);
    if (c - j >= VL) *(bytes *)(place + j) = b;
    else for (int i = 0; i < c - j; i++) place[j + i] = b[i];
  }
}

static void unpool(const pool_window *w, const float *dy, const uint8_t *place, float *dx, ptrdiff_t row,
                   int c, bool add)
{
  for (int j = 0; j < c; j += VL) {
    vec g = load_some(dy + j, c - j);
    bytes b = {0};
    if (c - j >= VL) b = *(const bytes *)(place + j);
    else for (int i = 0; i < c - j; i++) b[i] = place[j + i];
    const mask where = __builtin_convertvector(b, mask);
    for (int u = w->y0; u < w->y1; u++)
      for (int v = w->x0; v < w->x1; v++) {
        float *at = dx + u * row + v * c + j;
        vec z = keep_where(where == u * w->k + v, g);
        store_some(at, add ? z + load_some(at, c - j) : z, c - j);
      }
  }
}

/* update weights by momentum */
static void sgd(float *w, float *v, const float *g, size_t n, float rate, float momentum, float l2, float *old)
{
  size_t i = 0;
  for (; i + VL <= n; i += VL) {
    vec wi = load(w + i);
    if (old) store(old + i, wi);
    vec vi = splat(momentum) * load(v + i) - splat(rate) * (load(g + i) + splat(l2) * wi);
    store(v + i, vi), store(w + i, wi + vi);
  }
  for (; i < n; i++) {
    if (old) old[i] = w[i];
    v[i] = momentum * v[i] - rate * (g[i] + l2 * w[i]), w[i] += v[i];
  }
}

/* fold a row of few channels */
static void fold(float *to, const float *from, size_t step, int n, int lanes)
{
  static const int lane[LANE] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };
  mask keep[PARTS];
UNROLL
  for (int j = 0; j < PARTS; j++) keep[j] = (mask)load((const float *)(const void *)(lane + j * VL)) < lanes;
  for (int i = 0; i < n; i++, from += step, to += LANE)
UNROLL
    for (int j = 0; j < PARTS; j++) store(to + j * VL, keep_where(keep[j], load(from + j * VL)));
}

/* bend a row by a tanh */
INLINE vec fma_vec(vec a, vec b, vec c) { return FMA(a, b, c); }

/* 2^z for z from -100 to 0 */
INLINE vec power_of_two(vec z)
{
  static const float taylor[] = { 1.52527338e-5f, 1.54035304e-4f, 1.33335581e-3f, 9.61812911e-3f, 5.55041087e-2f,
                                  2.40226507e-1f, 6.93147181e-1f, 1 };       /* (ln 2)^j / j!, j = 7 to 0 */
  const vec shift = splat(12582912), k = (z + shift) - shift, f = z - k;     /* 1.5 * 2^23: rounds to a whole number */
  vec p = splat(taylor[0]);
  UNROLL for (int j = 1; j < 8; j++) p = fma_vec(p, f, splat(taylor[j]));
  return p * (vec)((__builtin_convertvector(k, mask) + 127) << 23);
}

INLINE vec tanh_of(vec u)
{
  static const float taylor[] = { -1.45583438e-3f, 3.59212803e-3f, -8.86323552e-3f, 2.18694885e-2f,
                                  -5.39682540e-2f, 1.33333333e-1f, -3.33333333e-1f };   /* of u^15 to u^3 */
  const mask sign = (mask)u & (mask)splat(-0.0f), low = (mask)u ^ sign;
  vec a = (vec)low;
  a = keep_where(a < splat(10), a) + keep_where(a >= splat(10), splat(10));
  const vec e = power_of_two(a * splat(-2.88539008f)), far = (splat(1) - e) / (splat(1) + e), square = u * u;
  vec p = splat(taylor[0]);
  UNROLL for (int j = 1; j < 7; j++) p = fma_vec(p, square, splat(taylor[j]));
  const mask near = a < splat(0.5f), nan = u != u;
  const vec t = (vec)(sign | (near & (mask)fma_vec(u * square, p, u)) | (~near & (mask)far));
  return (vec)((nan & (mask)u) | (~nan & (mask)t));
}

static void curve(float *y, const float *x, size_t n, float amplitude, float slope)
{
  for (size_t i = 0; i < n; i += VL) {
    const int some = n - i < VL ? (int)(n - i) : VL;
    store_some(y + i, splat(amplitude) * tanh_of(splat(slope) * load_some(x + i, some)), some);
  }
}
const simd SIMD_NAME = {
  SIMD_TEXT, COLUMNS * VL, ROWS,
  /* fill the table of one instance */
  tile, outer, transpose, wino_input, wino_taps, wino_output,
  sums, norm, norm_sums, norm_grad, pool, unpool, sgd, fold, curve
};

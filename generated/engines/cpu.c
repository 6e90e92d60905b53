/* cpu.c: the fast engine: which kernel of simd.h runs over what, in tasks that do not depend on the
   number of threads. */
#include "engines/host.h"
#include "base/base.h"
#include "engines/simd.h"
#include <math.h>
#include <omp.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* share room among the steps */
typedef struct { _Alignas(64) atomic_int next; } queue;          /* the next task of a thread's share; a cache line */

typedef struct {
  int users;                       /* steps that hold it */
  const simd *k;
  int tasks;
  queue *share;                    /* (threads) */
  float *own, *common;             /* (threads, own_floats), (common_floats) */
  size_t own_floats, own_room, common_floats;
} room;

static size_t size_of_shares(const host *h) { return (size_t)h->threads * sizeof(queue) / sizeof(float); }

static room *room_of(host *h)
{
  room *r = h->room;
  if (r) return r;
  r = h->room = NEW(room, 1);
  r->k = simd_best();
  r->share = (queue *)(void *)new_floats(size_of_shares(h));
  return r;
}

static float *own(host *h)
{
  room *r = h->room;
  return r->own + (size_t)omp_get_thread_num() * r->own_floats;
}

/* take room, and give it back */
/* A step asks for floats for each thread, and for floats that all share. */
static void room_take(host *h, size_t each, size_t common)
{
  room *r = room_of(h);
  r->users++;
  each = (each + 1023) / 1024 * 1024 + 16;
  if (each > r->own_floats) {
    free_floats(r->own, r->own_room);
    r->own_floats = each, r->own_room = each * (size_t)h->threads, r->own = new_floats(r->own_room);
  }
  if (common > r->common_floats) {
    free_floats(r->common, r->common_floats);
    r->common_floats = common, r->common = new_floats(common);
  }
}

static void room_drop(host *h)
{
  room *r = h->room;
  if (--r->users) return;
  free_floats(r->own, r->own_room), free_floats(r->common, r->common_floats);
  free_floats((float *)r->share, size_of_shares(h));
  free(r);
  h->room = NULL;
}

/* deal tasks to threads */
static int up(int n, int unit) { return (n + unit - 1) / unit * unit; }
static int groups_of(int c) { return up(c, LANE) / LANE; }
static int least(int a, int b) { return a < b ? a : b; }
static size_t size(int n) { return (size_t)n; }
static size_t larger(size_t a, size_t b) { return a > b ? a : b; }

/* The first of part p when n things are dealt to parts as evenly as can be. */
static int deal(int n, int parts, int p) { return (int)((long long)n * p / parts); }

/* Before a parallel region: n tasks, dealt to the threads. */
static void tasks_begin(host *h, int n)
{
  room *r = room_of(h);
  r->tasks = n;
  for (int t = 0; t < h->threads; t++) atomic_store(&r->share[t].next, deal(n, h->threads, t));
}

/* In the region: a task that nobody has taken, of this thread's share first; -1: none is left. */
static int task_next(host *h)
{
  room *r = h->room;
  for (int j = 0, me = omp_get_thread_num(); j < h->threads; j++) {
    const int t = (me + j) % h->threads, end = deal(r->tasks, h->threads, t + 1);
    if (atomic_load(&r->share[t].next) >= end) continue;
    const int i = atomic_fetch_add(&r->share[t].next, 1);
    if (i < end) return i;
  }
  return -1;
}

/* A 16 x 16 block at (row, col) of x (rows, cols), zero beyond; x itself when it is whole. *row_step:
   floats between its rows. */
static const float *block_of(const float *x, int rows, int cols, int row, int col, float *patch,
                             size_t *row_step)
{
  const float *at = x + size(row) * size(cols) + size(col);
  *row_step = size(cols);
  if (row + LANE <= rows && col + LANE <= cols) return at;
  memset(patch, 0, sizeof(float) * LANE * LANE);
  for (int i = 0; i < LANE && row + i < rows; i++)
    memcpy(patch + i * LANE, at + size(i) * size(cols), sizeof(float) * size(least(LANE, cols - col)));
  *row_step = LANE;
  return patch;
}

/* cut a convolution into tiles */
/* A stride-1 correlation as the kernels see it: (h, w, c) -> (oh, ow, oc), k x k taps, a window's corner
   at output - pad. */
typedef struct { int h, w, c, oh, ow, oc, k, top, left; } correlation;

static correlation forward_of(const layer *l)
{
  return (correlation){ l->in.h, l->in.w, l->in.c, l->out.h, l->out.w, l->out.c,
                        l->kernel, l->pad_top, l->pad_left };
}

static correlation backward_of(const layer *l)
{
  return (correlation){ l->out.h, l->out.w, l->out.c, l->in.h, l->in.w, l->in.c,
                        l->kernel, l->kernel - 1 - l->pad_top, l->kernel - 1 - l->pad_left };
}

enum { MOST_GROUPS = 1024 };       /* input groups that a task has segments for */

static bool winograd_fits(const layer *l)
{
  return l->stride == 1 && (l->kernel == 3 || l->kernel == 5)
         && least(l->in.c, l->out.c) >= LANE / 2 && up(l->in.c + l->out.c, LANE) <= MOST_GROUPS * LANE
             && !simd_direct;
}

/* Outputs of a tile (m x m); tiles of an image: rows, cols and all; channel groups in and out. */
typedef struct { int m, rows, cols, all, in, out; } tiling;

static tiling tiling_of(const correlation *g)
{
  const int m = 9 - g->k, rows = (g->oh + m - 1) / m, cols = (g->ow + m - 1) / m;
  return (tiling){ m, rows, cols, rows * cols, groups_of(g->c), groups_of(g->oc) };
}

/* The place of tile i of a batch: its image, and the row and column of its first output. */
static int tile_corner(const tiling *t, int i, int *y, int *x)
{
  *y = i % t->all / t->cols * t->m, *x = i % t->cols * t->m;
  return i / t->all;
}

static size_t between_points(size_t floats) { return (floats / LANE + 1) / 2 * 2 * LANE + LANE; }

/* Floats between the points of the transformed weights [64][panel][in][width]. */
static size_t weights_step(const tiling *t) { return between_points(size(t->in) * size(t->out) * LANE * LANE); }

/* Where group j of the rows x cols window at (y, x) of an image (h, w, c) can be read: the image, or the
   filled patch. */
static const float *window_at(const float *image, int h, int w, int c, int y, int x,
                              int rows, int cols, int j, float *patch, ptrdiff_t *row, ptrdiff_t *col)
{
  const int lanes = least(LANE, c - j * LANE);
  *row = (ptrdiff_t)w * c, *col = c;
  if (y >= 0 && x >= 0 && y + rows <= h && x + cols <= w && lanes == LANE)
    return image + y * *row + x * *col + j * LANE;
  memset(patch, 0, sizeof(float) * size(rows * cols * LANE));
  for (int u = y < 0 ? -y : 0; u < rows && y + u < h; u++)
    for (int v = x < 0 ? -x : 0; v < cols && x + v < w; v++) {
      const float *from = image + (y + u) * *row + (x + v) * *col + j * LANE;
      float *to = patch + (u * cols + v) * LANE;
      if (lanes == LANE) memcpy(to, from, sizeof(float) * LANE);
      else memcpy(to, from, sizeof(float) * size(lanes));
    }
  *row = (ptrdiff_t)cols * LANE, *col = LANE;
  return patch;
}

static float finished(float z, float before, int mode)
{
  if (mode & TILE_ADD) z += before;
  return mode & TILE_RELU && !(z > 0) ? 0 : z;
}

/* Group j of an m x m patch to the tile at (y, x) of an image, + bias, as mode says. */
static void put_patch(const float *patch, int m, float *image, const correlation *g, int y, int x, int j,
                      const float *bias, int mode)
{
  const int lanes = least(LANE, g->oc - j * LANE);
  for (int u = 0; u < m && y + u < g->oh; u++)
    for (int v = 0; v < m && x + v < g->ow; v++) {
      float *to = image + (size(y + u) * size(g->ow) + size(x + v)) * size(g->oc) + j * LANE;
      const float *from = patch + (u * m + v) * LANE;
      if (lanes == LANE && !bias && !mode) memcpy(to, from, sizeof(float) * LANE);
      else for (int i = 0; i < lanes; i++)
        to[i] = finished(from[i] + (bias ? bias[j * LANE + i] : 0), to[i], mode);
    }
}

/* transform the weights */
/* Where output group o stands in the panels of one point, for input channel 0; *width: floats from one
   input channel to the next. */
static size_t panel_at(const simd *k, const tiling *t, int o, int *width)
{
  const int groups = k->panel / LANE, first = o / groups * groups;
  *width = least(groups, t->out - first) * LANE;
  return size(first) * LANE * size(t->in) * LANE + size(o - first) * LANE;
}

/* taps (16 in, k, k, 16 out) of groups c and o, as a correlation forward or back sees them, from w
   (l->out.c, k, k, l->in.c) */
static void gather_taps(const simd *s, const layer *l, bool back, const float *w, int c, int o,
                        float *taps)
{
  const int kk = l->kernel * l->kernel, in = back ? o : c, out = back ? c : o;
  const int ni = least(LANE, l->in.c - in * LANE), no = least(LANE, l->out.c - out * LANE);
  const size_t filter = size(kk) * size(l->in.c);
  float block[LANE * LANE];
  memset(block, 0, sizeof block);
  for (int t = 0; t < kk; t++) {
    const float *from = w + size(out) * LANE * filter + size(t) * size(l->in.c) + in * LANE;
    float *to = taps + (back ? kk - 1 - t : t) * LANE;
    for (int i = 0; i < no; i++)
      memcpy(block + i * LANE, from + size(i) * filter, sizeof(float) * size(ni));
    if (!back) s->transpose(block, LANE, to, size(kk) * LANE);
    for (int i = 0; back && i < LANE; i++)
      memcpy(to + size(i * kk) * LANE, block + i * LANE, sizeof(float) * LANE);
  }
}

/* u [64][panel][in][width], with weights_step between the points */
static void transform_weights(host *h, const layer *l, bool back, const float *w, float *u)
{
  const simd *k = room_of(h)->k;
  const correlation g = back ? backward_of(l) : forward_of(l);
  const tiling t = tiling_of(&g);
#pragma omp parallel for collapse(2) schedule(dynamic) num_threads(h->threads)
  for (int o = 0; o < t.out; o++)
    for (int c = 0; c < t.in; c++) {
      float taps[LANE * 25 * LANE];
      int width;
      float *to = u + panel_at(k, &t, o, &width);
      gather_taps(k, l, back, w, c, o, taps);
      for (int i = 0; i < LANE; i++)
        k->wino_taps(g.k, taps + i * g.k * g.k * LANE, g.k * LANE, LANE,
                     to + size((c * LANE + i) * width), weights_step(&t));
    }
}

/* convolve a block of tiles */
enum { MADE = 4 };                 /* output groups in the making at a time */

typedef struct {
  correlation g;
  tiling t;
  const float *x, *u, *bias;
  float *y;
  int mode, first, n;              /* the tiles first .. first + n - 1 of the batch */
  int block, wide;                 /* tiles, and output channels, that there is room for */
  float *v, *m, *patch;
  size_t vstep, mstep, ustep;      /* floats between points */
} wino_task;

static wino_task wino_task_of(const correlation *g)
{
  wino_task w = { .g = *g, .t = tiling_of(g) };
  w.ustep = weights_step(&w.t);
  w.block = 64 * w.ustep * sizeof(float) > 8e6 ? 72 : 28;
  w.wide = least(w.t.out, MADE) * LANE;
  w.vstep = between_points(size(w.t.in * w.block) * LANE);
  w.mstep = between_points(size(w.block * w.wide));
  return w;
}

static size_t wino_room(const wino_task *w) { return 64 * (w->vstep + w->mstep + LANE); }

static void wino_windows(const simd *k, wino_task *w)
{
  const correlation *g = &w->g;
  for (int i = 0; i < w->n; i++) {
    int y, x;
    ptrdiff_t row, col;
    const int n = tile_corner(&w->t, w->first + i, &y, &x);
    const float *image = w->x + size(n) * size(g->h * g->w) * size(g->c);
    for (int j = 0; j < w->t.in; j++) {
      const float *at = window_at(image, g->h, g->w, g->c, y - g->top, x - g->left, 8, 8, j, w->patch,
                                  &row, &col);
      k->wino_input(at, row, col, w->v + size(j * w->block + i) * LANE, w->vstep);
    }
  }
}

/* Output groups from .. to - 1. */
static void wino_products(const simd *k, wino_task *w, int from, int to)
{
  const int parts = (w->n + k->rows - 1) / k->rows;
  int segment[MOST_GROUPS], width;
  for (int j = 0; j < w->t.in; j++) segment[j] = j * w->block * LANE;
  for (int e = 0; e < 64; e++)
    for (int o = from; o < to; o += width / LANE) {
      const float *u = w->u + size(e) * w->ustep + panel_at(k, &w->t, o, &width);
      /* multiply the tiles with this point's weights */
      for (int p = 0; p < parts; p++) {
        const int i = deal(w->n, parts, p), rows = deal(w->n, parts, p + 1) - i;
        k->tile(rows, width, w->v + size(e) * w->vstep + i * LANE, segment, w->t.in, u, NULL,
                w->m + size(e) * w->mstep + i * w->wide + (o - from) * LANE, size(w->wide), 0);
      }

    }
}
static void wino_outputs(const simd *k, wino_task *w, int from, int to)
{
  const correlation *g = &w->g;
  const int m = w->t.m;
  for (int i = 0; i < w->n; i++) {
    int y, x;
    const int n = tile_corner(&w->t, w->first + i, &y, &x);
    float *image = w->y + size(n) * size(g->oh * g->ow) * size(g->oc);
    for (int o = from; o < to; o++) {
      const float *v = w->m + i * w->wide + (o - from) * LANE,
          *bias = w->bias ? w->bias + o * LANE : NULL;
      float *at = image + (size(y) * size(g->ow) + size(x)) * size(g->oc) + o * LANE;
      const bool whole = (o + 1) * LANE <= g->oc, adds = w->mode & TILE_ADD;
      if (whole && y + m <= g->oh && x + m <= g->ow)
        k->wino_output(m, v, w->mstep, bias, at, (ptrdiff_t)g->ow * g->oc, g->oc, w->mode);
      else if (whole && !adds) {
        k->wino_output(m, v, w->mstep, bias, w->patch, m * LANE, LANE, w->mode);
        put_patch(w->patch, m, image, g, y, x, o, NULL, 0);
      } else {
        k->wino_output(m, v, w->mstep, NULL, w->patch, m * LANE, LANE, 0);
        put_patch(w->patch, m, image, g, y, x, o, w->bias, w->mode);
      }
    }
  }
}

/* y (n, oh, ow, oc) = or += the correlation of x (n, h, w, c) with the transformed weights u (+ bias,
   ReLU) */
static void wino_run(host *h, const correlation *g, const float *x, const float *u, const float *bias,
                     float *y, int mode)
{
  const simd *k = room_of(h)->k;
  const wino_task model = wino_task_of(g);
  const int all = h->n * model.t.all, tasks = (all + model.block - 1) / model.block;
  tasks_begin(h, tasks);
#pragma omp parallel num_threads(h->threads)
  for (int i; (i = task_next(h)) >= 0;) {
    wino_task w = model;
    /* fill in what this task has to do */
    w.x = x, w.u = u, w.bias = bias, w.y = y, w.mode = mode;
    w.first = deal(all, tasks, i), w.n = deal(all, tasks, i + 1) - w.first;
    w.v = own(h), w.m = w.v + 64 * w.vstep, w.patch = w.m + 64 * w.mstep;

    wino_windows(k, &w);
    for (int o = 0; o < w.t.out; o += MADE) {
      const int to = least(o + MADE, w.t.out);
      wino_products(k, &w, o, to), wino_outputs(k, &w, o, to);
    }
  }
}
/* say how a weight gradient is summed */
typedef struct {
  const layer *l;
  correlation g;
  tiling t;
  int parts;                       /* alone: sets of sums; together: 0 */
  int images, rows;                /* transformed at a time: images (together), rows of tiles (alone) */
  int tiles;                       /* that there is room for */
  size_t xstep, dstep, sstep;      /* floats between points: of x and dy transformed, of the sums */
} wgrad;

enum { MOST_PARTS = 32, LEAST_PARTS = 16, PARTS_FLOATS = 1 << 24, ALONE_FLOATS = 1 << 21 };

/* choose the parts of the sum */
static int between(size_t n, int low, int high) { return n < size(low) ? low : n > size(high) ? high : (int)n; }

static wgrad wgrad_of(const layer *l, int most)
{
  wgrad q = { .l = l, .g = forward_of(l) };
  q.t = tiling_of(&q.g);
  const size_t sums = size(q.t.in * q.t.out) * LANE * LANE;
  const size_t a_tile = size(q.t.in + q.t.out) * LANE, image = a_tile * size(q.t.all);
  q.parts = least(between(PARTS_FLOATS / (64 * sums), 0, MOST_PARTS), between(size(most) * image / (8 * sums), 0, most));
  if (q.parts < LEAST_PARTS) q.parts = 0;
  q.images = between(larger(2 * sums, 16384) / image, 1, most);
  const int blocks = 1 + (int)(64 * image / ALONE_FLOATS);
  q.rows = least(q.t.rows, (q.t.rows + blocks - 1) / blocks);
  q.tiles = q.parts ? q.rows * q.t.cols : q.images * q.t.all;
  q.xstep = between_points(size(q.tiles * q.t.in) * LANE);
  q.dstep = between_points(size(q.tiles * q.t.out) * LANE);
  q.sstep = between_points(sums);
  return q;
}

/* Floats that each thread needs, and that all share. */
static size_t wgrad_own(const wgrad *q) { return q->parts ? 64 * (q->xstep + q->dstep) : 0; }
static size_t wgrad_common(const wgrad *q)
{
  return 64 * (q->parts ? size(q->parts) * q->sstep : q->xstep + q->dstep + q->sstep);
}

/* transform a row of both images */
/* Transform row r of the tiles of an image to the tiles from `at` on in xs [64][in][tiles][16] and
   ds [64][out][tiles][16]. */
static void wgrad_transform(const simd *k, const wgrad *q, const float *x, const float *dy, int at, int r,
                            float *xs, float *ds)
{
  const correlation *g = &q->g;
  const int m = q->t.m;
  float patch[64 * LANE];
  ptrdiff_t row, col;
  for (int v = 0; v < q->t.cols; v++, at++) {
    for (int c = 0; c < q->t.in; c++) {
      const float *p = window_at(x, g->h, g->w, g->c, r * m - g->top, v * m - g->left, 8, 8, c, patch,
                                 &row, &col);
      k->wino_input(p, row, col, xs + size(c * q->tiles + at) * LANE, q->xstep);
    }
    for (int o = 0; o < q->t.out; o++) {
      const float *p = window_at(dy, g->oh, g->ow, g->oc, r * m, v * m, m, m, o, patch, &row, &col);
      k->wino_taps(m, p, row, col, ds + size(o * q->tiles + at) * LANE, q->dstep);
    }
  }
}

/* multiply, and turn the sums into taps */
/* sums of point e, output group o, over the tiles at hand */
static void wgrad_products(const simd *k, const wgrad *q, int e, int o, int tiles, const float *xs,
                           const float *ds,
                           float *sums, bool add)
{
  const int parts = (tiles + 127) / 128;
  const float *x = xs + size(e) * q->xstep, *d = ds + size(e) * q->dstep + size(o * q->tiles) * LANE;
  float *to = sums + size(e) * q->sstep + size(o * q->t.in) * LANE * LANE;
  for (int p = 0; p < parts; p++) {
    const int i = deal(tiles, parts, p), n = deal(tiles, parts, p + 1) - i;
    k->outer(n, d + i * LANE, x + i * LANE, size(q->tiles) * LANE, q->t.in, to, LANE * LANE, add || p);
  }
}

/* Output group o, input group c of the sums, back to taps in dw (oc, k, k, c). */
static void wgrad_finish(const simd *k, const wgrad *q, int o, int c, const float *sums, float *dw)
{
  const correlation *g = &q->g;
  const int kk = g->k * g->k, lanes = least(LANE, g->c - c * LANE);
  float patch[25 * LANE];
  for (int i = 0; i < LANE && o * LANE + i < g->oc; i++) {
    const float *v = sums + size((o * q->t.in + c) * LANE + i) * LANE;
    float *to = dw + size(o * LANE + i) * size(kk * g->c) + c * LANE;
    if (lanes == LANE) k->wino_output(g->k, v, q->sstep, NULL, to, (ptrdiff_t)g->k * g->c, g->c, 0);
    else k->wino_output(g->k, v, q->sstep, NULL, patch, g->k * LANE, LANE, 0);
    for (int t = 0; lanes < LANE && t < kk; t++)
      memcpy(to + size(t * g->c), patch + t * LANE, sizeof(float) * size(lanes));
  }
}

/* sum the gradient of the bias */
/* sums (c) = the sum over rows of dy (rows, c) */
static void bias_sums(const simd *k, const float *dy, size_t rows, int c, double *sums)
{
  memset(sums, 0, sizeof(double) * size(c));
  k->sums(dy, rows, c, NULL, sums, NULL);
}

/* db (c) = the n sums added in their order */
static void finish_bias(const double *sums, int n, int c, float *db)
{
  for (int j = 0; j < c; j++) {
    double sum = 0;
    for (int i = 0; i < n; i++) sum += sums[size(i) * size(c) + size(j)];
    db[j] = (float)sum;
  }
}

/* sum one part's rows */
/* What one run works on. bias: (n, rows of tiles, oc) sums of dy. */
typedef struct { const wgrad *q; const float *x, *dy; double *bias; } wgrad_task;

/* Row r of tiles of image n, to the tiles from `at` on: transform, and sum for the bias. */
static void wgrad_row(const simd *k, const wgrad_task *w, int n, int r, int at, float *xs, float *ds)
{
  const wgrad *q = w->q;
  const shape in = q->l->in, out = q->l->out;
  const int first = r * q->t.m, rows = least(q->t.m, out.h - first);
  const float *image = w->dy + size(n) * shape_floats(out);
  wgrad_transform(k, q, w->x + size(n) * shape_floats(in), image, at, r, xs, ds);
  bias_sums(k, image + size(first * out.w) * size(out.c), size(rows * out.w), out.c,
            w->bias + size(n * q->t.rows + r) * size(out.c));
}

/* The images first .. last - 1 into sums; xs: wgrad_own floats */
static void wgrad_alone(const simd *k, const wgrad_task *w, int first, int last, float *xs, float *sums)
{
  const wgrad *q = w->q;
  float *ds = xs + 64 * q->xstep;
  for (int n = first; n < last; n++)
    for (int r = 0; r < q->t.rows; r += q->rows) {
      const int rows = least(q->rows, q->t.rows - r);
      for (int i = 0; i < rows; i++) wgrad_row(k, w, n, r + i, i * q->t.cols, xs, ds);
      for (int e = 0; e < 64; e++)
        for (int o = 0; o < q->t.out; o++)
          wgrad_products(k, q, e, o, rows * q->t.cols, xs, ds, sums, n > first || r > 0);
    }
}

/* sum alone, or together */
/* sums: sets of 64 * sstep floats */
static void wgrad_parts(host *h, const wgrad_task *w, float *sums)
{
  const simd *k = room_of(h)->k;
  const int parts = least(w->q->parts, h->n);
  const size_t set = 64 * w->q->sstep;
  tasks_begin(h, parts);
#pragma omp parallel num_threads(h->threads)
  {
    for (int p; (p = task_next(h)) >= 0;)
      wgrad_alone(k, w, deal(h->n, parts, p), deal(h->n, parts, p + 1), own(h), sums + size(p) * set);
#pragma omp barrier
#pragma omp for
    for (size_t i = 0; i < set; i += 1024)
      for (int p = 1; p < parts; p++)
        for (size_t j = i; j < i + 1024 && j < set; j++) sums[j] += sums[size(p) * set + j];
  }
}

static void wgrad_together(host *h, const wgrad_task *w, float *xs, float *sums)
{
  const simd *k = room_of(h)->k;
  const wgrad *q = w->q;
  float *ds = xs + 64 * q->xstep;
#pragma omp parallel num_threads(h->threads)
  for (int i = 0; i < h->n; i += q->images) {
    const int n = least(q->images, h->n - i);
#pragma omp for collapse(2) schedule(dynamic)
    for (int j = 0; j < n; j++)
      for (int r = 0; r < q->t.rows; r++)
        wgrad_row(k, w, i + j, r, j * q->t.all + r * q->t.cols, xs, ds);
#pragma omp for schedule(dynamic)
    for (int e = 0; e < 64; e++)
      for (int o = 0; o < q->t.out; o++) wgrad_products(k, q, e, o, n * q->t.all, xs, ds, sums, i > 0);
  }
}

/* run the weight gradient */
/* dw (oc, k, k, c); bias as in wgrad_task; common: wgrad_common floats */
static void wgrad_run(host *h, const wgrad *q, const float *x, const float *dy, float *dw, double *bias,
                      float *common)
{
  const wgrad_task w = { q, x, dy, bias };
  float *sums = q->parts ? common : common + 64 * (q->xstep + q->dstep);
  if (q->parts) wgrad_parts(h, &w, sums);
  else wgrad_together(h, &w, common, sums);
#pragma omp parallel for collapse(2) schedule(dynamic) num_threads(h->threads)
  for (int o = 0; o < q->t.out; o++)
    for (int c = 0; c < q->t.in; c++) wgrad_finish(room_of(h)->k, q, o, c, sums, dw);
}

/* say what a direct convolution reads */
/* A copy of an image: rows, columns, lane groups; taps in a row (1 when folded); rows of the copy from
   one output row to the next. */
typedef struct {
  const layer *l;
  bool fold;
  int rows, cols, groups, taps, stride;
} direct;

static direct direct_of(const layer *l)
{
  direct d = { .l = l, .fold = l->stride > 1 || l->in.c < LANE / 2, .stride = l->stride };
  d.rows = (l->out.h - 1) * l->stride + l->kernel;
  d.cols = d.fold ? l->out.w : l->out.w + l->kernel - 1;
  d.taps = d.fold ? 1 : l->kernel;
  d.groups = groups_of(d.fold ? l->kernel * l->in.c : l->in.c);
  return d;
}

/* The copy of dy for the gradient of the input: dilated by the stride, padded by what the taps reach. */
static direct direct_back_of(const layer *l)
{
  return (direct){ .l = l, .rows = l->in.h + l->kernel - 1, .cols = l->in.w + l->kernel - 1,
                   .groups = groups_of(l->out.c), .taps = l->kernel, .stride = 1 };
}

/* dy alone, for the gradient of the weights. */
static direct direct_plain_of(const layer *l)
{
  return (direct){ .l = l, .rows = l->out.h, .cols = l->out.w, .groups = groups_of(l->out.c) };
}

/* copy an image with its padding */
static size_t copy_floats(const direct *d) { return size(d->rows) * size(d->cols) * size(d->groups) * LANE; }

static size_t copy_at(const direct *d, int row, int group, int col)
{
  return ((size(row) * size(d->groups) + size(group)) * size(d->cols) + size(col)) * LANE;
}

/* Put n numbers into the lanes from `at` on of a pixel of the copy. */
static void copy_lanes(const direct *d, float *p, int row, int col, int at, const float *x, int n)
{
  while (n > 0) {
    const int lanes = least(n, LANE - at % LANE);
    float *to = p + copy_at(d, row, at / LANE, col) + at % LANE;
    if (lanes == LANE) memcpy(to, x, sizeof(float) * LANE);     /* of a constant size: a few moves */
    else memcpy(to, x, sizeof(float) * size(lanes));
    at += lanes, x += lanes, n -= lanes;
  }
}

/* The columns of row y, from *first on, that see no padding and whose vectors stay inside the image. */
static int folded_columns(const layer *l, int y, int groups, int *first)
{
  const int c = l->in.c, left = l->in.h * l->in.w * c - groups * LANE;
  const int pixels = left / c - y * l->in.w + l->pad_left;
  *first = (l->pad_left + l->stride - 1) / l->stride;
  const int reach = least(l->in.w - l->kernel + l->pad_left, pixels), end = least(reach / l->stride + 1, l->out.w);
  return left < 0 || reach < 0 || end < *first ? 0 : end - *first;
}

static void copy_row(const simd *k, const direct *d, const float *line, int y, int r, float *p)
{
  const layer *l = d->l;
  const int c = l->in.c, taps = d->fold ? l->kernel : 1;
  int first = 0;
  const int quick = d->fold ? folded_columns(l, y, d->groups, &first) : 0;
  for (int g = 0; quick && g < d->groups; g++)
    k->fold(p + copy_at(d, r, g, first), line + size((first * l->stride - l->pad_left) * c + g * LANE),
            size(l->stride * c), quick, least(LANE, taps * c - g * LANE));
  for (int v = 0; v < d->cols; v++) {
    if (quick && v == first) { v += quick - 1; continue; }
    const int from = (d->fold ? v * l->stride : v) - l->pad_left;
    const int t = from < 0 ? -from : 0, end = least(taps, l->in.w - from);
    for (int g = 0; g < d->groups; g++) memset(p + copy_at(d, r, g, v), 0, sizeof(float) * LANE);
    if (t < end) copy_lanes(d, p, r, v, t * c, line + size((from + t) * c), (end - t) * c);
  }
}

static void copy_image(const simd *k, const direct *d, const float *x, float *p)
{
  const layer *l = d->l;
  for (int r = 0; r < d->rows; r++) {
    const int y = r - l->pad_top;
    if (y >= 0 && y < l->in.h) copy_row(k, d, x + size(y * l->in.w) * size(l->in.c), y, r, p);
    else memset(p + copy_at(d, r, 0, 0), 0, sizeof(float) * size(d->groups * d->cols) * LANE);
  }
}

static void copy_plain(const direct *d, const float *dy, float *p)
{
  const int c = d->l->out.c;
  if (c % LANE) memset(p, 0, sizeof(float) * copy_floats(d));
  for (int u = 0; u < d->rows; u++)
    for (int v = 0; v < d->cols; v++) copy_lanes(d, p, u, v, 0, dy + size(u * d->cols + v) * size(c), c);
}

static void copy_dilated(const direct *d, const float *dy, float *p)
{
  const layer *l = d->l;
  memset(p, 0, sizeof(float) * copy_floats(d));
  for (int u = 0; u < l->out.h; u++)
    for (int v = 0; v < l->out.w; v++) {
      const int r = u * l->stride + l->kernel - 1 - l->pad_top;
      const int q = v * l->stride + l->kernel - 1 - l->pad_left;
      if (r < 0 || r >= d->rows || q < 0 || q >= d->cols) continue;
      copy_lanes(d, p, r, q, 0, dy + size(u * l->out.w + v) * size(l->out.c), l->out.c);
    }
}

/* pack the weights */
static int segments_of(const direct *d) { return d->l->kernel * d->taps * d->groups; }
static int panels_of(const simd *k, int c) { return (up(c, LANE) + k->panel - 1) / k->panel; }
static size_t packed_floats(const direct *d, int oc) { return size(segments_of(d) * up(oc, LANE)) * LANE; }

/* The weight for a lane of (row, tap) and output channel o; 0 beyond the channels. */
static float weight_at(const direct *d, bool back, const float *w, int row, int tap, int lane, int o)
{
  const layer *l = d->l;
  const int k = l->kernel, c = l->in.c;
  if (back) {
    if (lane >= l->out.c || o >= c) return 0;
    return w[(size(lane * k + k - 1 - row) * size(k) + size(k - 1 - tap)) * size(c) + size(o)];
  }
  if (o >= l->out.c || lane >= (d->fold ? k * c : c)) return 0;
  return w[size(o * k + row) * size(k * c) + size(tap * c + lane)];
}

static void pack_weights(host *h, const direct *d, bool back, const float *w, float *packed)
{
  const simd *k = room_of(h)->k;
  const int wide = up(back ? d->l->in.c : d->l->out.c, LANE), segments = segments_of(d);
#pragma omp parallel for collapse(2) num_threads(h->threads)
  for (int p = 0; p < (wide + k->panel - 1) / k->panel; p++)
    for (int s = 0; s < segments; s++) {
      const int width = least(k->panel, wide - p * k->panel);
      const int group = s % d->groups, tap = s / d->groups % d->taps;
      float *to = packed + size(p * k->panel) * size(segments) * LANE + size(s) * LANE * size(width);
      for (int i = 0; i < LANE; i++)
        for (int j = 0; j < width; j++)
          to[i * width + j] = weight_at(d, back, w, s / d->groups / d->taps, tap, group * LANE + i,
                                        p * k->panel + j);
    }
}

/* convolve directly */
/* What one image needs: the copy, the packed weights, the output (oh, ow, oc), a line (ow, up(oc, LANE))
   and the segments. */
typedef struct {
  const direct *d;
  const float *copy, *packed, *bias;
  float *out, *line;
  int oh, ow, oc, mode, *segment;
} direct_task;

static void direct_row(const simd *k, const direct_task *q, int p, int y)
{
  const direct *d = q->d;
  const int wide = up(q->oc, LANE), width = least(k->panel, wide - p * k->panel);
  const int parts = (q->ow + k->rows - 1) / k->rows;
  const float *a = q->copy + copy_at(d, y * d->stride, 0, 0);
  const float *bias = q->bias ? q->bias + p * k->panel : NULL;
  const float *b = q->packed + size(p * k->panel) * size(segments_of(d)) * LANE;
  float *row = q->out + size(y * q->ow) * size(q->oc), *to = q->oc == wide ? row : q->line;
  for (int i = 0; i < parts; i++) {
    const int x = deal(q->ow, parts, i), n = deal(q->ow, parts, i + 1) - x;
    k->tile(n, width, a + x * LANE, q->segment, segments_of(d), b, bias,
            to + size(x * wide + p * k->panel), size(wide),
            to == row ? q->mode : 0);
  }
  for (int x = 0; to != row && x < q->ow; x++)
    for (int j = p * k->panel; j < least(q->oc, p * k->panel + width); j++) {
      float *at = row + size(x * q->oc + j);
      *at = finished(to[x * wide + j], *at, q->mode);
    }
}

static void direct_image(const simd *k, const direct_task *q)
{
  const direct *d = q->d;
  for (int s = 0; s < segments_of(d); s++)
    q->segment[s] = (int)copy_at(d, s / d->groups / d->taps, s % d->groups, s / d->groups % d->taps);
  for (int p = 0; p < panels_of(k, q->oc); p++)
    for (int y = 0; y < q->oh; y++) direct_row(k, q, p, y);
}

static size_t direct_room(const direct *d, int ow, int oc)
{
  return copy_floats(d) + size(ow * up(oc, LANE)) + size(segments_of(d));
}

/* y (n, out) = or += the convolution of x (+ bias, ReLU); back: the gradient of the input from that of
   the output. */
static void direct_run(host *h, const direct *d, bool back, const float *x, const float *w,
                       const float *bias, float *y, int mode)
{
  const simd *k = room_of(h)->k;
  const shape in = back ? d->l->out : d->l->in, out = back ? d->l->in : d->l->out;
  float *packed = room_of(h)->common;
  pack_weights(h, d, back, w, packed);
  tasks_begin(h, h->n);
#pragma omp parallel num_threads(h->threads)
  for (int n; (n = task_next(h)) >= 0;) {
    float *copy = own(h), *line = copy + copy_floats(d);
    direct_task q = { d, copy, packed, bias, y + size(n) * shape_floats(out), line, out.h, out.w, out.c,
                      mode,
                      (int *)(void *)(line + out.w * up(out.c, LANE)) };
    if (back) copy_dilated(d, x + size(n) * shape_floats(in), copy);
    else copy_image(k, d, x + size(n) * shape_floats(in), copy);
    direct_image(k, &q);
  }
}

/* sum the gradient of direct weights */
enum { DIRECT_SUMS = 8 };

static size_t direct_sum_floats(const direct *d) { return size(segments_of(d)) * LANE * size(up(d->l->out.c, LANE)); }

/* sums [out group][row][group][tap][16][16] of one image's copies; e: of dy */
static void direct_products(const simd *k, const direct *d, const direct *e, const float *x,
                            const float *dy, float *sums, bool add)
{
  const int rows = d->l->kernel;
  for (int u = 0; u < e->rows; u++)
    for (int o = 0; o < e->groups; o++)
      for (int r = 0; r < rows; r++)
        for (int g = 0; g < d->groups; g++)
          k->outer(e->cols, dy + copy_at(e, u, o, 0), x + copy_at(d, u * d->stride + r, g, 0), LANE,
                   d->taps,
                   sums + size((o * rows + r) * d->groups + g) * size(d->taps) * LANE * LANE,
                       LANE * LANE, add || u);
}

/* dw (oc, k, k, c) from the sums, added in their order */
static void direct_finish(host *h, const direct *d, const float *sums, int parts, float *dw)
{
  const layer *l = d->l;
  const int k = l->kernel, c = l->in.c;
#pragma omp parallel for num_threads(h->threads)
  for (int o = 0; o < l->out.c; o++)
    for (int j = 0; j < k * k * c; j++) {
      const int row = j / (k * c), tap = d->fold ? 0 : j / c % k, lane = d->fold ? j % (k * c) : j % c;
      const int block = ((o / LANE * k + row) * d->groups + lane / LANE) * d->taps + tap;
      const size_t at = size(block) * LANE * LANE + size(o % LANE * LANE + lane % LANE);
      double sum = 0;
      for (int p = 0; p < parts; p++) sum += sums[size(p) * direct_sum_floats(d) + at];
      dw[size(o) * size(k * k * c) + size(j)] = (float)sum;
    }
}

/* dw, and bias: (n, oc) sums of dy */
static void direct_wgrad_run(host *h, const direct *d, const direct *e, const float *x, const float *dy,
                             float *dw, double *bias)
{
  const simd *k = room_of(h)->k;
  const layer *l = d->l;
  const int parts = least(h->n, DIRECT_SUMS);
  tasks_begin(h, parts);
#pragma omp parallel num_threads(h->threads)
  for (int p; (p = task_next(h)) >= 0;) {
    float *a = own(h), *b = a + copy_floats(d), *sums =
        room_of(h)->common + size(p) * direct_sum_floats(d);
    const int first = deal(h->n, parts, p);
    for (int n = first; n < deal(h->n, parts, p + 1); n++) {
      const float *image = dy + size(n) * shape_floats(l->out);
      copy_image(k, d, x + size(n) * shape_floats(l->in), a), copy_plain(e, image, b);
      direct_products(k, d, e, a, b, sums, n > first);
      bias_sums(k, image, size(l->out.h * l->out.w), l->out.c, bias + size(n) * size(l->out.c));
    }
  }
  direct_finish(h, d, room_of(h)->common, parts, dw);
}

/* convolve, a group at a time */
typedef struct {
  layer one;                       /* the convolution of one group; with one group the layer itself */
  bool winograd;
  wgrad q;
  direct d, back, plain;
  /* sums of dy: (oc) for each row of tiles (direct: for all) of each image */
  double *bias;
  float *x, *y, *group_bias;       /* of one group: (batch, in), (batch, out), (oc); NULL with one group */
} conv_work;

static void conv_room(host *h, const layer *l, const conv_work *w)
{
  if (w->winograd) {
    const correlation f = forward_of(l), b = backward_of(l);
    const wino_task tf = wino_task_of(&f), tb = wino_task_of(&b);
    room_take(h, larger(larger(wino_room(&tf), wino_room(&tb)), wgrad_own(&w->q)),
              larger(64 * larger(tf.ustep, tb.ustep), wgrad_common(&w->q)));
    return;
  }
  const size_t each = larger(direct_room(&w->d, l->out.w, l->out.c),
                             direct_room(&w->back, l->in.w, l->in.c));
  const size_t packed = larger(packed_floats(&w->d, l->out.c), packed_floats(&w->back, l->in.c));
  room_take(h, larger(each, copy_floats(&w->d) + copy_floats(&w->plain)),
            larger(packed, DIRECT_SUMS * direct_sum_floats(&w->d)));
}

static void conv_open(host *h, int i)
{
  const layer *l = host_step(h, i)->layer;
  const int images = h->base.plan->batch;
  conv_work *w = h->work[i] = NEW(conv_work, 1);
  const layer *one = &w->one;
  w->one = *l, w->one.in.c /= l->groups, w->one.out.c /= l->groups;
  w->winograd = winograd_fits(one);
  if (w->winograd) w->q = wgrad_of(one, images);
  else w->d = direct_of(one), w->back = direct_back_of(one), w->plain = direct_plain_of(one);
  w->bias = NEW(double, size(images * (w->winograd ? w->q.t.rows : 1)) * size(one->out.c));
  if (l->groups > 1) {
    w->x = new_floats(size(images) * shape_floats(one->in));
    w->y = new_floats(size(images) * shape_floats(one->out));
    w->group_bias = NEW(float, up(one->out.c, LANE));
  }
  conv_room(h, one, w);
}

static void conv_close(host *h, int i)
{
  conv_work *w = h->work[i];
  const int images = h->base.plan->batch;
  free_floats(w->x, size(images) * shape_floats(w->one.in));
  free_floats(w->y, size(images) * shape_floats(w->one.out));
  free(w->group_bias), free(w->bias), free(w);
  room_drop(h);
}

/* Group g of x (n, H, W, G * c) side by side in to (n, H, W, c); one: the shape of a group. With one group
   it is x itself. */
static float *take_group(host *h, const layer *l, shape one, float *x, int g, float *to)
{
  const size_t pixels = size(h->n) * size(one.h) * size(one.w), c = size(one.c), all = c * size(l->groups);
  if (l->groups == 1) return x;
#pragma omp parallel for num_threads(h->threads)
  for (size_t p = 0; p < pixels; p++) memcpy(to + p * c, x + p * all + size(g) * c, sizeof(float) * c);
  return to;
}

/* The reverse, from (n, H, W, c); add: to what is there. Nothing to do with one group. */
static void put_group(host *h, const layer *l, shape one, const float *from, int g, float *x, bool add)
{
  const size_t pixels = size(h->n) * size(one.h) * size(one.w), c = size(one.c), all = c * size(l->groups);
  if (l->groups == 1) return;
#pragma omp parallel for num_threads(h->threads)
  for (size_t p = 0; p < pixels; p++) {
    float *to = x + p * all + size(g) * c;
    for (size_t j = 0; j < c; j++) to[j] = add ? to[j] + from[p * c + j] : from[p * c + j];
  }
}

/* Group g's weights (oc, k, k, c) in the layer's tensor */
static size_t group_weights(const conv_work *w, int g)
{
  const layer *one = &w->one;
  return size(g) * size(one->out.c) * size(one->kernel * one->kernel) * size(one->in.c);
}

static void conv_forward(host *h, int i)
{
  const step *s = host_step(h, i);
  const layer *l = s->layer;
  const conv_work *w = h->work[i];
  const layer *one = &w->one;
  float *y = host_act(h, s->y), *u = room_of(h)->common, *to = l->groups > 1 ? w->y : y;
  const int mode = s->relu ? TILE_RELU : 0;
  for (int g = 0; g < l->groups; g++) {
    const float *x = take_group(h, l, one->in, host_act(h, s->x), g, w->x);
    const float *kernel = host_param(h, l->weight) + group_weights(w, g);
    const float *bias = l->bias < 0 ? NULL : host_param(h, l->bias) + g * one->out.c;
    if (bias && l->groups > 1) bias = memcpy(w->group_bias, bias, sizeof(float) * size(one->out.c));
    if (!w->winograd) direct_run(h, &w->d, false, x, kernel, bias, to, mode);
    else {
      const correlation f = forward_of(one);
      transform_weights(h, one, false, kernel, u);
      wino_run(h, &f, x, u, bias, to, mode);
    }
    put_group(h, l, one->out, to, g, y, false);
  }
}

static void stop_negative(host *h, const step *s)
{
  const float *y = host_act(h, s->y);
  float *dy = host_grad(h, s->y);
  const size_t n = size(h->n) * shape_floats(h->base.plan->tensor[s->y].s);
  if (!s->relu) return;
#pragma omp parallel for simd num_threads(h->threads)
  for (size_t i = 0; i < n; i++) dy[i] = y[i] > 0 ? dy[i] : 0;
}

/* dx (n, H, W, c) = or += the input gradient of one group */
static void conv_input_gradient(host *h, const conv_work *w, const float *dy, const float *kernel, float *dx,
                                bool add)
{
  const int mode = add ? TILE_ADD : 0;
  if (!w->winograd) { direct_run(h, &w->back, true, dy, kernel, NULL, dx, mode); return; }
  const correlation b = backward_of(&w->one);
  float *u = room_of(h)->common;
  transform_weights(h, &w->one, true, kernel, u);
  wino_run(h, &b, dy, u, NULL, dx, mode);
}

static void conv_backward(host *h, int i)
{
  const step *s = host_step(h, i);
  const layer *l = s->layer;
  const conv_work *w = h->work[i];
  const layer *one = &w->one;
  float *dx = s->need_dx ? host_grad(h, s->x) : NULL;
  stop_negative(h, s);
  for (int g = 0; g < l->groups; g++) {
    const float *x = take_group(h, l, one->in, host_act(h, s->x), g, w->x);
    const float *dy = take_group(h, l, one->out, host_grad(h, s->y), g, w->y);
    float *dw = host_dparam(h, l->weight) + group_weights(w, g);
    if (w->winograd) wgrad_run(h, &w->q, x, dy, dw, w->bias, room_of(h)->common);
    else direct_wgrad_run(h, &w->d, &w->plain, x, dy, dw, w->bias);
    if (l->bias >= 0)
      finish_bias(w->bias, h->n * (w->winograd ? w->q.t.rows : 1), one->out.c,
                  host_dparam(h, l->bias) + g * one->out.c);
    if (!dx) continue;
    const float *kernel = host_param(h, l->weight) + group_weights(w, g);
    conv_input_gradient(h, w, dy, kernel, l->groups > 1 ? w->x : dx, l->groups == 1 && s->add_dx);
    put_group(h, l, one->in, w->x, g, dx, s->add_dx);
  }
}

/* normalise a batch */
typedef struct {
  double *sums;                    /* (batch, 2, C) */
  float *mean, *a, *offset, *k1, *k2, *pivot;        /* (C), padded to a multiple of LANE */
} norm_work;

static void norm_open(host *h, int i)
{
  const int c = host_step(h, i)->layer->out.c, wide = up(c, LANE);
  norm_work *w = h->work[i] = NEW(norm_work, 1);
  w->sums = NEW(double, 2 * size(h->base.plan->batch) * size(c));
  w->mean = NEW(float, 6 * wide);
  w->a = w->mean + wide, w->offset = w->a + wide, w->k1 = w->offset + wide, w->k2 = w->k1 + wide,
      w->pivot = w->k2 + wide;
  room_take(h, 0, 0);
}

static void norm_close(host *h, int i)
{
  norm_work *w = h->work[i];
  free(w->sums), free(w->mean), free(w);
  room_drop(h);
}

static channels channels_of(const norm_work *w, const step *s)
{
  return (channels){ s->layer->in.c, s->relu, w->mean, w->a, w->offset, w->k1, w->k2 };
}

/* The images' sums, (n, 2c), joined in their order into the first. */
static void join_sums(double *sums, int n, int c)
{
  for (int i = 1; i < n; i++)
    for (int j = 0; j < 2 * c; j++) sums[j] += sums[size(i) * 2 * size(c) + size(j)];
}

/* Leaves the batch's mean and variance in host_batch_stat. */
static void batch_statistics(host *h, const step *s, norm_work *w, const float *x, size_t pixels)
{
  const simd *k = room_of(h)->k;
  const int c = s->layer->in.c;
  const double m = (double)pixels * h->n;
  float *stat = host_batch_stat(h, s->layer);
  memcpy(w->pivot, x, sizeof(float) * size(c));
  tasks_begin(h, h->n);
#pragma omp parallel num_threads(h->threads)
  for (int n; (n = task_next(h)) >= 0;) {
    double *to = w->sums + size(n) * 2 * size(c);
    memset(to, 0, sizeof(double) * 2 * size(c));
    k->sums(x + size(n) * pixels * size(c), pixels, c, w->pivot, to, to + c);
  }
  join_sums(w->sums, h->n, c);
  for (int j = 0; j < c; j++) {
    const double d = w->sums[j] / m, variance = w->sums[c + j] / m - d * d;
    stat[j] = (float)(w->pivot[j] + d), stat[c + j] = (float)(variance > 0 ? variance : 0);
  }
}

static void norm_forward(host *h, int i)
{
  const step *s = host_step(h, i);
  const layer *l = s->layer;
  const simd *k = room_of(h)->k;
  norm_work *w = h->work[i];
  const size_t pixels = size(l->in.h) * size(l->in.w), image = pixels * size(l->in.c);
  const float *x = host_act(h, s->x), *r = s->r >= 0 ? host_act(h, s->r) : NULL;
  if (h->pass == PASS_TRAIN) batch_statistics(h, s, w, x, pixels);
  const float *stat = h->pass == PASS_TRAIN ? host_batch_stat(h, l) : h->stat + l->stat;
  for (int j = 0; j < l->in.c; j++) {
    w->mean[j] = stat[j], w->offset[j] = host_param(h, l->bias)[j];
    w->a[j] = (float)(host_param(h, l->weight)[j] / sqrt((double)stat[l->in.c + j] + NORM_EPSILON));
  }
  const channels q = channels_of(w, s);
  tasks_begin(h, h->n);
#pragma omp parallel num_threads(h->threads)
  for (int n; (n = task_next(h)) >= 0;)
    k->norm(&q, x + size(n) * image, r ? r + size(n) * image : NULL, host_act(h, s->y) + size(n) * image,
            pixels);
}

static void norm_backward(host *h, int i)
{
  const step *s = host_step(h, i);
  const layer *l = s->layer;
  const simd *k = room_of(h)->k;
  norm_work *w = h->work[i];
  const channels q = channels_of(w, s);
  const size_t pixels = size(l->in.h) * size(l->in.w), image = pixels * size(q.c);
  const float *x = host_act(h, s->x), *y = s->relu && s->r >= 0 ? host_act(h, s->y) : NULL,
      *dy = host_grad(h, s->y);
  float *dx = s->need_dx ? host_grad(h, s->x) : NULL, *dr = s->need_dr ? host_grad(h, s->r) : NULL;
  tasks_begin(h, h->n);
#pragma omp parallel num_threads(h->threads)
  for (int n; (n = task_next(h)) >= 0;) {
    double *to = w->sums + size(n) * 2 * size(q.c);
    const size_t at = size(n) * image;
    memset(to, 0, sizeof(double) * 2 * size(q.c));
    k->norm_sums(&q, x + at, y ? y + at : NULL, dy + at, pixels, to, to + q.c);
  }
  /* turn the sums into gradients and means */
  const double m = (double)pixels * h->n;
  const float *stat = host_batch_stat(h, l);
  join_sums(w->sums, h->n, q.c);
  for (int j = 0; j < q.c; j++) {
    const double inverse = 1 / sqrt((double)stat[q.c + j] + NORM_EPSILON);
    host_dparam(h, l->bias)[j] = (float)w->sums[j];
    host_dparam(h, l->weight)[j] = (float)(w->sums[q.c + j] * inverse);
    w->k1[j] = (float)(w->sums[j] / m), w->k2[j] = (float)(w->sums[q.c + j] * inverse * inverse / m);
  }
  if (!dx && !dr) return;
  tasks_begin(h, h->n);
#pragma omp parallel num_threads(h->threads)
  for (int n; (n = task_next(h)) >= 0;) {
    const size_t at = size(n) * image;
    k->norm_grad(&q, x + at, y ? y + at : NULL, dy + at, pixels, dx ? dx + at : NULL, s->add_dx,
                 dr ? dr + at : NULL, s->add_dr);
  }
}

/* pass a ReLU, and add a shortcut */
static void add_open(host *h, int i) { (void)i, room_take(h, 0, 0); }

static void work_close(host *h, int i)
{
  free(h->work[i]);
  room_drop(h);
}

/* y = relu?(x + r), r may be NULL. The conditions are constants where it is called, so that the loop has vectors. */
static inline void add_range(const float *x, const float *r, float *y, size_t n, bool relu)
{
#pragma omp simd
  for (size_t j = 0; j < n; j++) {
    const float z = r ? x[j] + r[j] : x[j];
    y[j] = !relu || z > 0 ? z : 0;
  }
}

enum { RANGE = 4096 };             /* numbers of a task that passes over memory */

static void add_forward(host *h, int i)
{
  const step *s = host_step(h, i);
  const float *x = host_act(h, s->x), *r = s->r >= 0 ? host_act(h, s->r) : NULL;
  float *y = host_act(h, s->y);
  const bool relu = s->relu || s->kind == STEP_RELU;
  const size_t end = size(h->n) * shape_floats(s->layer->out);
#pragma omp parallel for num_threads(h->threads)
  for (size_t j = 0; j < end; j += RANGE) {
    const size_t n = end - j < RANGE ? end - j : RANGE;
    if (!r) add_range(x + j, NULL, y + j, n, true);
    else if (relu) add_range(x + j, r + j, y + j, n, true);
    else add_range(x + j, r + j, y + j, n, false);
  }
}

/* to (+)= dy where y let it through; y is NULL where there is no ReLU */
static inline void pass_range(const float *y, const float *dy, float *to, size_t n, bool add)
{
#pragma omp simd
  for (size_t j = 0; j < n; j++) {
    const float g = !y || y[j] > 0 ? dy[j] : 0;
    to[j] = add ? to[j] + g : g;
  }
}

static void pass_back(const float *y, const float *dy, float *to, size_t n, bool add)
{
  if (!to) return;
  if (y && add) pass_range(y, dy, to, n, true);
  else if (y) pass_range(y, dy, to, n, false);
  else if (add) pass_range(NULL, dy, to, n, true);
  else pass_range(NULL, dy, to, n, false);
}

static void add_backward(host *h, int i)
{
  const step *s = host_step(h, i);
  const bool relu = s->relu || s->kind == STEP_RELU;
  const float *y = host_act(h, s->y), *dy = host_grad(h, s->y);
  float *dx = s->need_dx ? host_grad(h, s->x) : NULL, *dr = s->need_dr ? host_grad(h, s->r) : NULL;
  const size_t end = size(h->n) * shape_floats(s->layer->out);
#pragma omp parallel for num_threads(h->threads)
  for (size_t j = 0; j < end; j += RANGE) {
    const size_t n = end - j < RANGE ? end - j : RANGE;
    const float *cut = relu ? y + j : NULL;
    pass_back(cut, dy + j, dr ? dr + j : NULL, n, s->add_dr);
    pass_back(cut, dy + j, dx ? dx + j : NULL, n, s->add_dx);
  }
}

/* take a window's largest */
static void pool_open(host *h, int i)
{
  h->work[i] = NEW(uint8_t, h->base.plan->tensor[host_step(h, i)->y].floats);
  room_take(h, 0, 0);
}

/* The part of the window of output j that lies in the image; the offset of the window's corner. */
static ptrdiff_t window_of_output(const layer *l, int j, pool_window *w)
{
  const int y = j / l->out.w * l->stride - l->pad_top, x = j % l->out.w * l->stride - l->pad_left,
      k = l->kernel;
  *w = (pool_window){ k, y < 0 ? -y : 0, least(k, l->in.h - y), x < 0 ? -x : 0, least(k, l->in.w - x) };
  return ((ptrdiff_t)y * l->in.w + x) * l->in.c;
}

static void pool_forward(host *h, int i)
{
  const step *s = host_step(h, i);
  const layer *l = s->layer;
  const simd *k = room_of(h)->k;
  const int outputs = l->out.h * l->out.w;
  tasks_begin(h, h->n);
#pragma omp parallel num_threads(h->threads)
  for (int n; (n = task_next(h)) >= 0;)
    for (int j = 0; j < outputs; j++) {
      pool_window w;
      const float *x = host_act(h, s->x) + (ptrdiff_t)(size(n) * shape_floats(l->in))
          + window_of_output(l, j, &w);
      const size_t to = (size(n) * size(outputs) + size(j)) * size(l->out.c);
      k->pool(&w, x, (ptrdiff_t)l->in.w * l->in.c, l->in.c, host_act(h, s->y) + to,
              (uint8_t *)h->work[i] + to);
    }
}

static void pool_backward(host *h, int i)
{
  const step *s = host_step(h, i);
  const layer *l = s->layer;
  const simd *k = room_of(h)->k;
  const int outputs = l->out.h * l->out.w;
  const bool apart = l->stride >= l->kernel;
  const bool covered = l->stride == l->kernel && l->out.h * l->stride - l->pad_top >= l->in.h
      && l->out.w * l->stride - l->pad_left >= l->in.w;
  if (!s->need_dx) return;
  tasks_begin(h, h->n);
#pragma omp parallel num_threads(h->threads)
  for (int n; (n = task_next(h)) >= 0;) {
    float *dx = host_grad(h, s->x) + size(n) * shape_floats(l->in);
    if (!s->add_dx && !covered) memset(dx, 0, sizeof(float) * shape_floats(l->in));
    for (int j = 0; j < outputs; j++) {
      pool_window w;
      const ptrdiff_t to = window_of_output(l, j, &w);
      const size_t from = (size(n) * size(outputs) + size(j)) * size(l->out.c);
      k->unpool(&w, host_grad(h, s->y) + from, (uint8_t *)h->work[i] + from, dx + to,
                (ptrdiff_t)l->in.w * l->in.c, l->in.c,
                s->add_dx || !apart);
    }
  }
}

/* take a window's mean */
static void average_open(host *h, int i)
{
  room_take(h, 2 * size(host_step(h, i)->layer->in.c), 0);
}

static void average_forward(host *h, int i)
{
  const step *s = host_step(h, i);
  const layer *l = s->layer;
  const size_t c = size(l->in.c);
  const int outputs = l->out.h * l->out.w;
#pragma omp parallel for collapse(2) num_threads(h->threads)
  for (int n = 0; n < h->n; n++)
    for (int j = 0; j < outputs; j++) {
      pool_window w;
      const float *x = host_act(h, s->x) + (ptrdiff_t)(size(n) * shape_floats(l->in))
          + window_of_output(l, j, &w);
      float *y = host_act(h, s->y) + (size(n) * size(outputs) + size(j)) * c;
      double *sum = (double *)(void *)own(h), share = 1.0 / ((w.y1 - w.y0) * (w.x1 - w.x0));
      memset(sum, 0, sizeof(double) * c);
      for (int u = w.y0; u < w.y1; u++)
        for (int v = w.x0; v < w.x1; v++) {
          const float *pixel = x + (ptrdiff_t)(u * l->in.w + v) * l->in.c;
#pragma omp simd
          for (size_t k = 0; k < c; k++) sum[k] += pixel[k];
        }
      for (size_t k = 0; k < c; k++) y[k] = (float)(sum[k] * share);
    }
}

static void average_backward(host *h, int i)
{
  const step *s = host_step(h, i);
  const layer *l = s->layer;
  const size_t c = size(l->in.c);
  const int outputs = l->out.h * l->out.w;
  if (!s->need_dx) return;
#pragma omp parallel for num_threads(h->threads)
  for (int n = 0; n < h->n; n++) {
    float *dx = host_grad(h, s->x) + size(n) * shape_floats(l->in);
    if (!s->add_dx) memset(dx, 0, sizeof(float) * shape_floats(l->in));
    for (int j = 0; j < outputs; j++) {
      pool_window w;
      float *corner = dx + window_of_output(l, j, &w);
      const float *dy = host_grad(h, s->y) + (size(n) * size(outputs) + size(j)) * c;
      const float share = 1 / (float)((w.y1 - w.y0) * (w.x1 - w.x0));
      for (int u = w.y0; u < w.y1; u++)
        for (int v = w.x0; v < w.x1; v++) {
          float *pixel = corner + (ptrdiff_t)(u * l->in.w + v) * l->in.c;
#pragma omp simd
          for (size_t k = 0; k < c; k++) pixel[k] += dy[k] * share;
        }
    }
  }
}

/* let neighbouring channels compete */
typedef struct { float *wide, *response, *power; } lrn_room;       /* (c + window), (c), (c): see below */

static lrn_room lrn_room_of(host *h, const layer *l)
{
  float *p = own(h);
  return (lrn_room){ p, p + l->in.c + l->window, p + 2 * l->in.c + l->window };
}

static void lrn_open(host *h, int i)
{
  const layer *l = host_step(h, i)->layer;
  room_take(h, size(3 * l->in.c + l->window), 0);
}

/* sum (c) = over each channel's window, of what stands in wide from window / 2 on; zeros at both ends */
static void window_sums(const layer *l, const float *wide, float *sum)
{
  memcpy(sum, wide, sizeof(float) * size(l->in.c));
  for (int t = 1; t < l->window; t++) {
#pragma omp simd
    for (int c = 0; c < l->in.c; c++) sum[c] += wide[c + t];
  }
}

/* response = k + alpha * sum of squares, power = response ^ -beta, of the pixel x (c) */
static void lrn_pixel(const layer *l, const float *x, const lrn_room *r)
{
  const int half = l->window / 2;
  const float k = (float)l->k, alpha = (float)l->alpha;
  memset(r->wide, 0, sizeof(float) * size(half));
  memset(r->wide + half + l->in.c, 0, sizeof(float) * size(half));
  float *response = r->response, *power = r->power, *middle = r->wide + half;
#pragma omp simd
  for (int c = 0; c < l->in.c; c++) middle[c] = x[c] * x[c];
  window_sums(l, r->wide, response);
#pragma omp simd
  for (int c = 0; c < l->in.c; c++) {
    response[c] = k + alpha * response[c];
    const float root = sqrtf(response[c]);
    power[c] = 1 / (root * sqrtf(root));
  }
  if (l->beta != 0.75)
    for (int c = 0; c < l->in.c; c++) power[c] = powf(response[c], (float)-l->beta);
}

static void lrn_forward(host *h, int i)
{
  const step *s = host_step(h, i);
  const layer *l = s->layer;
  const size_t end = size(h->n) * shape_floats(l->in), each = size(l->in.c);
#pragma omp parallel for num_threads(h->threads)
  for (size_t p = 0; p < end; p += each) {
    const lrn_room r = lrn_room_of(h, l);
    const float *x = host_act(h, s->x) + p;
    float *y = host_act(h, s->y) + p;
    lrn_pixel(l, x, &r);
#pragma omp simd
    for (size_t c = 0; c < each; c++) y[c] = x[c] * r.power[c];
  }
}

static void lrn_backward(host *h, int i)
{
  const step *s = host_step(h, i);
  const layer *l = s->layer;
  const size_t end = size(h->n) * shape_floats(l->in), each = size(l->in.c);
  const float twice = (float)(2 * l->alpha * l->beta);
  if (!s->need_dx) return;
#pragma omp parallel for num_threads(h->threads)
  for (size_t p = 0; p < end; p += each) {
    const lrn_room r = lrn_room_of(h, l);
    const float *x = host_act(h, s->x) + p, *dy = host_grad(h, s->y) + p;
    float *dx = host_grad(h, s->x) + p, *middle = r.wide + l->window / 2;
    lrn_pixel(l, x, &r);
#pragma omp simd
    for (size_t c = 0; c < each; c++) middle[c] = dy[c] * x[c] * r.power[c] / r.response[c];
    window_sums(l, r.wide, r.response);
#pragma omp simd
    for (size_t c = 0; c < each; c++) {
      const float z = dy[c] * r.power[c] - twice * x[c] * r.response[c];
      dx[c] = s->add_dx ? dx[c] + z : z;
    }
  }
}

/* bend by a tanh */
static void curve_open(host *h, int i) { (void)i, room_take(h, 0, 0); }

static void curve_forward(host *h, int i)
{
  const step *s = host_step(h, i);
  const layer *l = s->layer;
  const simd *k = room_of(h)->k;
  const float *x = host_act(h, s->x);
  float *y = host_act(h, s->y);
  const size_t n = size(h->n) * shape_floats(l->out);
#pragma omp parallel for num_threads(h->threads)
  for (size_t j = 0; j < n; j += RANGE)
    k->curve(y + j, x + j, n - j < RANGE ? n - j : RANGE, (float)l->amplitude, (float)l->slope);
}

/* give a fully connected layer its room */
typedef struct {
  int in, out, wide, batch;        /* wide, batch: rounded up to LANE */
  int parts;                       /* ranges of inputs */
  float *part;                     /* (parts, wide, batch) partial sums */
  float *a1, *a2;                  /* dy as the first operand of the two products backward */
  int *of_images, *of_outputs;     /* the segments of a1 and a2 */
} fc_work;

enum { FC_CHUNK = 512, FC_COLUMNS = 256 };           /* inputs at a time, forward; of a task, backward */

static size_t fc_floats(const fc_work *w) { return size(w->parts + 2) * size(w->wide) * size(w->batch); }

static void fc_open(host *h, int i)
{
  const layer *l = host_step(h, i)->layer;
  fc_work *w = h->work[i] = NEW(fc_work, 1);
  w->in = (int)shape_floats(l->in), w->out = l->out.c, w->wide = up(w->out, LANE),
      w->batch = up(h->base.plan->batch, LANE);
  w->parts = w->in < 1024 ? 1 : least(w->in / 1024, 32);
  w->part = new_floats(fc_floats(w));
  w->a1 = w->part + size(w->parts * w->wide) * size(w->batch), w->a2 = w->a1 + size(w->wide * w->batch);
  w->of_images = NEW(int, w->batch / LANE), w->of_outputs = NEW(int, w->wide / LANE);
  for (int j = 0; j < w->batch / LANE; j++) w->of_images[j] = j * w->wide * LANE;
  for (int j = 0; j < w->wide / LANE; j++) w->of_outputs[j] = j * w->batch * LANE;
  room_take(h, larger(size(FC_CHUNK * (w->batch + LANE)),
                      size(FC_COLUMNS * (w->batch + w->wide) + 64 * LANE)), 0);
}

static void fc_close(host *h, int i)
{
  fc_work *w = h->work[i];
  free_floats(w->part, fc_floats(w));
  free(w->of_images), free(w->of_outputs), free(w);
  room_drop(h);
}

/* multiply the batch by the weights */
/* The panel of images p ..: xt (length, width), inputs start .. start + length - 1 of x (n, in) */
static void fc_panel(const simd *k, const fc_work *w, const float *x, int n, int p, int width, int start,
                     int length, float *xt)
{
  float patch[LANE * LANE];
  size_t between;
  for (int j = 0; j < width; j += LANE)
    for (int i = 0; i < length; i += LANE) {
      const float *b = block_of(x, n, w->in, p + j, start + i, patch, &between);
      k->transpose(b, between, xt + i * width + j, size(width));
    }
}

/* part (wide, batch) = w[:, from..to) x[:, from..to)' of n images; from, to: multiples of LANE (to may
   pass the end) */
static void fc_partial(const simd *k, const fc_work *w, const float *weight, const float *x, int n,
                       int from, int to,
                       float *part, float *scratch)
{
  const int images = up(n, LANE), tiles = (w->out + k->rows - 1) / k->rows;
  float *wt = scratch, *xt = scratch + FC_CHUNK * LANE;
  int segment[FC_CHUNK / LANE];
  for (int start = from; start < to; start += FC_CHUNK) {
    const int length = least(FC_CHUNK, to - start);
    for (int p = 0; p < images; p += k->panel)
      fc_panel(k, w, x, n, p, least(k->panel, images - p), start, length, xt + p * length);
    for (int t = 0; t < tiles; t++) {
      const int o = deal(w->out, tiles, t), rows = deal(w->out, tiles, t + 1) - o;
      /* pack the rows of weights */
      for (int i = 0; i < length; i += LANE) {
        segment[i / LANE] = i * rows;
        for (int r = 0; r < rows; r++) {
          float *to_lane = wt + i * rows + r * LANE;
          const float *row = weight + size(o + r) * size(w->in) + size(start + i);
          __builtin_prefetch(row + 8 * LANE);
          if (start + i + LANE <= w->in) memcpy(to_lane, row, sizeof(float) * LANE);
          else for (int q = 0; q < LANE; q++) to_lane[q] = start + i + q < w->in ? row[q] : 0;
        }
      }
      for (int p = 0; p < images; p += k->panel)
        k->tile(rows, least(k->panel, images - p), wt, segment, length / LANE, xt + p * length, NULL,
                part + size(o * w->batch + p), size(w->batch), start > from ? TILE_ADD : 0);
    }
  }
}

static void fc_forward(host *h, int i)
{
  const step *s = host_step(h, i);
  const simd *k = room_of(h)->k;
  const fc_work *w = h->work[i];
  const float *weight = host_param(h, s->layer->weight), *bias = host_param(h, s->layer->bias),
      *x = host_act(h, s->x);
  const int blocks = groups_of(w->in);
  const size_t part = size(w->wide * w->batch);
  float *y = host_act(h, s->y);
  tasks_begin(h, w->parts);
#pragma omp parallel num_threads(h->threads)
  for (int g; (g = task_next(h)) >= 0;)
    fc_partial(k, w, weight, x, h->n, deal(blocks, w->parts, g) * LANE,
               deal(blocks, w->parts, g + 1) * LANE,
               w->part + size(g) * part, own(h));
#pragma omp parallel for num_threads(h->threads)
  for (int o = 0; o < w->out; o++)
    for (int j = 0; j < h->n; j += LANE) {
      /* join sixteen images' partial sums */
      const float *p = w->part + size(o * w->batch + j);
      double sum[LANE];
      for (int q = 0; q < LANE; q++) sum[q] = bias[o];
      for (int g = 0; g < w->parts; g++)
        for (int q = 0; q < LANE; q++) sum[q] += p[size(g) * part + size(q)];
      for (int q = 0; q < least(LANE, h->n - j); q++)
        y[size(j + q) * size(w->out) + size(o)] = (float)(s->relu && !(sum[q] > 0) ? 0 : sum[q]);
    }
}

/* go back through the weights, and update them */
typedef struct {
  const fc_work *w;
  int n, from, columns, width, panels;               /* columns: at most FC_COLUMNS, in panels of width */
  const float *x;
  /* velocity: NULL when the gradient is to be stored in dw */
  float *weight, *velocity, *dw;
  float rate, momentum, l2;
  float *xs, *old, *tile;          /* (panels, batch, width), (panels, wide, width), (rows, width) */
} fc_task;

static int valid_in(const fc_task *q, int p) { return least(q->width, q->columns - p * q->width); }

/* Gradient and update (or storing) of rows o .. o + rows - 1 of panel p; keep: their old values for dx.
   */
static void fc_tile(const simd *k, const fc_task *q, int o, int rows, int p, bool keep)
{
  const fc_work *w = q->w;
  const int width = q->width, valid = valid_in(q, p);
  k->tile(rows, width, w->a1 + o * LANE, w->of_images, groups_of(q->n),
          q->xs + size(p * w->batch * width), NULL, q->tile, size(width), 0);
  for (int r = 0; r < rows; r++) {
    const size_t at = size(o + r) * size(w->in) + size(q->from + p * width);
    /* ask for this panel of the next rows */
    for (int j = 0; q->velocity && o + rows + r < w->out && j < width; j += LANE) {
      __builtin_prefetch(q->weight + at + size(rows) * size(w->in) + j, 0, 2);
      __builtin_prefetch(q->velocity + at + size(rows) * size(w->in) + j, 0, 2);
    }
    float *old = keep ? q->old + size((p * w->wide + o + r) * width) : NULL;
    if (q->velocity) k->sgd(q->weight + at, q->velocity + at, q->tile + r * width, size(valid), q->rate,
                            q->momentum, q->l2, old);
    else {
      memcpy(q->dw + at, q->tile + r * width, sizeof(float) * size(valid));
      if (old) memcpy(old, q->weight + at, sizeof(float) * size(valid));
    }
  }
}

/* xs: the batch's columns, side by side for each panel; zero beyond */
static void fc_lay_columns(const fc_task *q)
{
  const fc_work *w = q->w;
  for (int p = 0; p < q->panels; p++)
    for (int i = 0; i < up(q->n, LANE); i++) {
      float *to = q->xs + size((p * w->batch + i) * q->width);
      const int valid = i < q->n ? valid_in(q, p) : 0;
      if (valid) memcpy(to, q->x + size(i) * size(w->in) + size(q->from + p * q->width),
                        sizeof(float) * size(valid));
      if (valid < q->width) memset(to + valid, 0, sizeof(float) * size(q->width - valid));
    }
}

/* dx (n, in)'s columns = or += dy * the old weights */
static void fc_input_gradient(const simd *k, const fc_task *q, float *dx, bool add)
{
  const fc_work *w = q->w;
  const int parts = (q->n + k->rows - 1) / k->rows, mode = add ? TILE_ADD : 0;
  for (int p = 0; p < q->panels; p++)
    for (int j = 0; j < parts; j++) {
      const int i = deal(q->n, parts, j), rows = deal(q->n, parts, j + 1) - i, valid = valid_in(q, p);
      const bool whole = valid == q->width;
      float *to = dx + size(i) * size(w->in) + size(q->from + p * q->width);
      k->tile(rows, q->width, w->a2 + i * LANE, w->of_outputs, w->wide / LANE,
              q->old + size(p * w->wide * q->width), NULL,
              whole ? to : q->tile, whole ? size(w->in) : size(q->width), whole ? mode : 0);
      for (int r = 0; !whole && r < rows; r++, to += w->in)
        for (int c = 0; c < valid; c++) to[c] = finished(q->tile[r * q->width + c], to[c], mode);
    }
}

static void fc_columns(const simd *k, const fc_task *q, float *dx, bool add)
{
  const int out = q->w->out, tiles = (out + k->rows - 1) / k->rows;
  fc_lay_columns(q);
  if (dx && (out < q->w->wide || q->columns < q->panels * q->width))
    memset(q->old, 0, sizeof(float) * size(q->panels * q->width) * size(q->w->wide));
  for (int t = 0; t < tiles; t++)
    for (int p = 0; p < q->panels; p++)
      fc_tile(k, q, deal(out, tiles, t), deal(out, tiles, t + 1) - deal(out, tiles, t), p, dx != NULL);
  if (dx) fc_input_gradient(k, q, dx, add);
}

/* dy (n, out) as the first operand of both products: a1 [image group][out][16 images], a2 [output
   group][image][16 outputs] */
static void fc_lay_gradient(host *h, const step *s, const fc_work *w)
{
  const float *dy = host_grad(h, s->y);
  float patch[LANE * LANE];
  size_t between;
  for (int b = 0; b < up(h->n, LANE); b += LANE)
    for (int o = 0; o < w->wide; o += LANE) {
      const float *from = block_of(dy, h->n, w->out, b, o, patch, &between);
      room_of(h)->k->transpose(from, between, w->a1 + size(b * w->wide + o * LANE), LANE);
      for (int i = 0; i < LANE; i++)
        memcpy(w->a2 + size(o * w->batch + (b + i) * LANE), from + size(i) * between,
               sizeof(float) * LANE);
    }
}

static fc_task fc_task_of(host *h, const step *s, const fc_work *w, int from)
{
  const layer *l = s->layer;
  const param *p = &h->base.plan->net->param[l->weight];
  fc_task q = { .w = w, .n = h->n, .from = from, .columns = least(FC_COLUMNS, w->in - from),
                .x = host_act(h, s->x) };
  q.width = room_of(h)->k->panel, q.panels = (q.columns + q.width - 1) / q.width;
  q.weight = host_param(h, l->weight), q.dw = host_dparam(h, l->weight);
  if (h->sgd) {
    q.velocity = h->velocity + p->offset;
    q.rate = sgd_rate(h->sgd, l->weight), q.momentum = h->sgd->momentum,
        q.l2 = h->sgd->l2 * (float)p->decay;
  }
  q.xs = own(h), q.old = q.xs + FC_COLUMNS * w->batch, q.tile = q.old + FC_COLUMNS * w->wide;
  return q;
}

static void fc_backward(host *h, int i)
{
  const step *s = host_step(h, i);
  const fc_work *w = h->work[i];
  float *db = host_dparam(h, s->layer->bias), *dx = s->need_dx ? host_grad(h, s->x) : NULL;
  const float *dy = host_grad(h, s->y);
  stop_negative(h, s);
  for (int o = 0; o < w->out; o++) {
    double sum = 0;
    for (int n = 0; n < h->n; n++) sum += dy[size(n) * size(w->out) + size(o)];
    db[o] = (float)sum;
  }
  fc_lay_gradient(h, s, w);
  tasks_begin(h, (w->in + FC_COLUMNS - 1) / FC_COLUMNS);
#pragma omp parallel num_threads(h->threads)
  for (int j; (j = task_next(h)) >= 0;) {
    const fc_task q = fc_task_of(h, s, w, j * FC_COLUMNS);
    fc_columns(room_of(h)->k, &q, dx, s->add_dx);
  }
  if (h->sgd) h->updated[s->layer->weight] = true;
}

/* put the processor's engine together */
static engine *cpu_open(const plan *p, int threads)
{
  static host_op op[STEP_KINDS];
  memcpy(op, ref_op, sizeof op);
  op[STEP_CONV] = (host_op){ conv_open, conv_forward, conv_backward, conv_close };
  op[STEP_NORM] = (host_op){ norm_open, norm_forward, norm_backward, norm_close };
  op[STEP_RELU] = op[STEP_ADD] = (host_op){ add_open, add_forward, add_backward, work_close };
  op[STEP_POOL] = (host_op){ pool_open, pool_forward, pool_backward, work_close };
  op[STEP_FC] = (host_op){ fc_open, fc_forward, fc_backward, fc_close };
  op[STEP_AVERAGE] = (host_op){ average_open, average_forward, average_backward, work_close };
  op[STEP_TANH] = (host_op){ curve_open, curve_forward, ref_op[STEP_TANH].backward, work_close };
  op[STEP_LRN] = (host_op){ lrn_open, lrn_forward, lrn_backward, work_close };
  return host_open(&engine_cpu, op, p, threads);
}

/* count the products that transforms leave */
static double cpu_work_of(const engine *e, int i, bool backward)
{
  const step *s = &e->plan->step[i];
  const conv_work *w = ((const host *)e)->work[i];
  const double images = e->plan->batch, whole = s->layer->flop * images;
  if (s->kind != STEP_CONV || !w->winograd) return !backward ? whole : s->need_dx ? 2 * whole : whole;
  const layer *l = &w->one;
  const correlation f = forward_of(l), b = backward_of(l);
  const double a_tile = 2.0 * 64 * l->in.c * l->out.c * s->layer->groups * images;
  const double there = a_tile * tiling_of(&f).all, back = a_tile * tiling_of(&b).all;
  return !backward ? there : s->need_dx ? there + back : there;
}

static const char *always_on(void) { return NULL; }

/* change vectors for a comparison */
static const char *cpu_vectors(void) { return simd_best()->name; }

static bool cpu_tune(const char *vectors, bool directly)
{
  const simd *const *set = simd_all();
  simd_direct = directly;
  if (!vectors) return true;
  while (*set && strcasecmp((*set)->name, vectors)) set++;
  simd_forced = *set;
  return *set != NULL;
}

const engine_kind engine_cpu = {
  .name = "cpu", .arithmetic = 2, .tolerance = 1e-5, .why_off = always_on, .open = cpu_open, HOST_FUNCTIONS,
  .vectors = cpu_vectors, .tune = cpu_tune, .work_of = cpu_work_of
};

/* cpu.c: the fast engine: what runs which kernel of simd.h over what, in tasks that do not depend on the number of threads. */
#include "host.h"
#include "base.h"
#include "simd.h"
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

/* cpu: room */
typedef struct {
  int users;                                         /* steps that hold it */
  const simd *k;
  float *own, *common;                               /* (threads, own_floats), (common_floats) */
  size_t own_floats, common_floats, own_room, common_room;
} room;

static room *room_of(host *h)
{
  if (!h->room) h->room = NEW(room, 1), ((room *)h->room)->k = simd_best();
  return h->room;
}

/* Ask for room for a step: floats for each thread, and floats that all share. */
static room *room_take(host *h, size_t own, size_t common)
{
  room *r = room_of(h);
  r->users++;
  own = (own + 1023) / 1024 * 1024 + 16;             /* threads start on different cache sets */
  if (own > r->own_floats) {
    host_release(r->own, r->own_room);
    r->own_floats = own, r->own_room = own * (size_t)h->threads, r->own = host_room(r->own_room);
  }
  if (common > r->common_floats) {
    host_release(r->common, r->common_room);
    r->common_floats = r->common_room = common, r->common = host_room(common);
  }
  return r;
}

static void room_drop(host *h)
{
  room *r = h->room;
  if (--r->users) return;
  host_release(r->own, r->own_room), host_release(r->common, r->common_room);
  free(r);
  h->room = NULL;
}

static float *own(host *h)
{
  room *r = h->room;
  return r->own + (size_t)omp_get_thread_num() * r->own_floats;
}

/* cpu: helpers */
static int up(int n, int unit) { return (n + unit - 1) / unit * unit; }
static int least(int a, int b) { return a < b ? a : b; }
static size_t size(int n) { return (size_t)n; }
static size_t larger(size_t a, size_t b) { return a > b ? a : b; }

/* The first of part p when n things are dealt to parts as evenly as can be. */
static int deal(int n, int parts, int p) { return (int)((long long)n * p / parts); }

/* A stride-1 correlation as the kernels see it: (h, w, c) -> (oh, ow, oc), k x k taps, the window's corner at output - pad. */
typedef struct { int h, w, c, oh, ow, oc, k, top, left; } correlation;

static correlation forward_of(const layer *l)
{
  return (correlation){ l->in.h, l->in.w, l->in.c, l->out.h, l->out.w, l->out.c, l->kernel, l->pad_top, l->pad_left };
}

static correlation backward_of(const layer *l)
{
  return (correlation){ l->out.h, l->out.w, l->out.c, l->in.h, l->in.w, l->in.c, l->kernel,
                        l->kernel - 1 - l->pad_top, l->kernel - 1 - l->pad_left };
}

static bool winograd_fits(const layer *l)
{
  return l->stride == 1 && (l->kernel == 3 || l->kernel == 5) && l->in.c >= LANE / 2 && l->out.c >= LANE / 2;
}

typedef struct { int m, rows, cols, tiles, cg, og; } tiling;   /* outputs of a tile; tiles of an image; channel groups */

static tiling tiling_of(const correlation *g)
{
  const int m = 9 - g->k, rows = (g->oh + m - 1) / m, cols = (g->ow + m - 1) / m;
  return (tiling){ m, rows, cols, rows * cols, up(g->c, LANE) / LANE, up(g->oc, LANE) / LANE };
}

static size_t between_points(size_t floats) { return (floats / LANE | 1) * LANE; }

/* Floats between the points of the transformed weights [64][panel][c][width]. */
static size_t taps_step(const tiling *t) { return between_points(size(t->cg) * size(t->og) * LANE * LANE + LANE); }

/* Where the rows x cols window at (y, x) of a (h, w, c) image can be read, group j of its channels: the image or the filled patch. */
static const float *window_at(const float *image, int h, int w, int c, int y, int x, int rows, int cols, int j, float *patch,
                              ptrdiff_t *row, ptrdiff_t *col)
{
  const int lanes = least(LANE, c - j * LANE);
  *row = (ptrdiff_t)w * c, *col = c;
  if (y >= 0 && x >= 0 && y + rows <= h && x + cols <= w && lanes == LANE) return image + y * *row + x * *col + j * LANE;
  memset(patch, 0, sizeof(float) * size(rows * cols * LANE));
  for (int u = y < 0 ? -y : 0; u < rows && y + u < h; u++)
    for (int v = x < 0 ? -x : 0; v < cols && x + v < w; v++) {
      const float *from = image + (y + u) * *row + (x + v) * *col + j * LANE;
      if (lanes == LANE) memcpy(patch + (u * cols + v) * LANE, from, sizeof(float) * LANE);
      else memcpy(patch + (u * cols + v) * LANE, from, sizeof(float) * size(lanes));
    }
  *row = (ptrdiff_t)cols * LANE, *col = LANE;
  return patch;
}

/* The other way: m x m pixels of group j, in a patch, to where they belong. */
static void put_patch(const float *patch, int m, float *image, int h, int w, int c, int y, int x, int j, const float *bias, int mode)
{
  const int lanes = least(LANE, c - j * LANE);
  for (int u = 0; u < m && y + u < h; u++)
    for (int v = 0; v < m && x + v < w; v++)
      for (int i = 0; i < lanes; i++) {
        float *at = image + (size(y + u) * size(w) + size(x + v)) * size(c) + j * LANE + i;
        float z = patch[(u * m + v) * LANE + i] + (bias ? bias[j * LANE + i] : 0);
        if (mode & TILE_ADD) z += *at;
        *at = mode & TILE_RELU && !(z > 0) ? 0 : z;
      }
}

typedef struct { const layer *l; bool back; const float *w; float *u; } weights;

/* Where group o of the output channels stands in the panels of one point, for input channel 0; *width between input channels. */
static size_t panel_at(const simd *k, int cg, int og, int o, int *width)
{
  const int groups = k->panel / LANE, first = o / groups * groups;
  *width = least(groups, og - first) * LANE;
  return size(first) * LANE * size(cg) * LANE + size(o - first) * LANE;
}

/* taps (16 in, k, k, 16 out) of groups c and o, from weights (l->out.c, k, k, l->in.c) */
static void gather_taps(const simd *s, const weights *q, int c, int o, float *taps)
{
  const layer *l = q->l;
  const int kk = l->kernel * l->kernel, in = q->back ? o : c, out = q->back ? c : o;
  const int ni = least(LANE, l->in.c - in * LANE), no = least(LANE, l->out.c - out * LANE);
  float block[LANE * LANE];
  memset(block, 0, sizeof block);
  for (int t = 0; t < kk; t++) {
    const float *from = q->w + (size(out) * LANE * size(kk) + size(t)) * size(l->in.c) + in * LANE;
    for (int i = 0; i < no; i++) memcpy(block + i * LANE, from + size(i) * size(kk) * size(l->in.c), sizeof(float) * size(ni));
    if (!q->back) s->transpose(block, LANE, taps + t * LANE, size(kk) * LANE);
    else for (int i = 0; i < LANE; i++) memcpy(taps + (size(i) * size(kk) + size(kk - 1 - t)) * LANE, block + i * LANE, sizeof(float) * LANE);
  }
}

static void transform_weights(host *h, const weights *q, const correlation *g)
{
  const simd *k = room_of(h)->k;
  const tiling t = tiling_of(g);
  const size_t between = taps_step(&t);
#pragma omp parallel for collapse(2) schedule(dynamic) num_threads(h->threads)
  for (int o = 0; o < t.og; o++)
    for (int c = 0; c < t.cg; c++) {
      float taps[LANE * 25 * LANE];
      int width;
      float *u = q->u + panel_at(k, t.cg, t.og, o, &width);
      gather_taps(k, q, c, o, taps);
      for (int i = 0; i < LANE; i++)
        k->wino_taps(g->k, taps + i * g->k * g->k * LANE, g->k * LANE, LANE, u + size((c * LANE + i) * width), between);
    }
}

enum { OUT_GROUPS = 4 };                             /* output channel groups in the making at a time */

static int block_tiles(const tiling *t) { return size(t->cg) * size(t->og) * LANE * LANE * 64 * 4 > ((size_t)8 << 20) ? 70 : 28; }

typedef struct {
  correlation g;
  tiling t;
  const float *x, *u, *bias;
  float *y;
  int mode, first, n, block;                         /* the tiles first .. first + n - 1; block: tiles in v and m */
  float *v, *m, *patch;
  size_t vstep, mstep, ustep;
} wino_task;

/* Output channels in the making. */
static int made_wide(const tiling *t) { return least(t->og, OUT_GROUPS) * LANE; }

/* Floats of v, m and patch. */
static size_t wino_room(const correlation *g)
{
  const tiling t = tiling_of(g);
  const size_t b = size(block_tiles(&t));
  return 64 * between_points(size(t.cg) * b * LANE + LANE) + 64 * between_points(b * size(made_wide(&t)) + LANE) + 64 * LANE;
}

/* The corner of tile i: image, row and column of its first output. */
static int tile_corner(const tiling *t, int i, int *y, int *x)
{
  *y = i % t->tiles / t->cols * t->m, *x = i % t->cols * t->m;
  return i / t->tiles;
}

static void wino_windows(const simd *k, wino_task *w)
{
  const correlation *g = &w->g;
  for (int i = 0; i < w->n; i++) {
    int y, x;
    ptrdiff_t row, col;
    const float *image = w->x + size(tile_corner(&w->t, w->first + i, &y, &x)) * size(g->h) * size(g->w) * size(g->c);
    for (int j = 0; j < w->t.cg; j++) {
      const float *at = window_at(image, g->h, g->w, g->c, y - g->top, x - g->left, 8, 8, j, w->patch, &row, &col);
      k->wino_input(at, row, col, w->v + (size(j) * size(w->block) + size(i)) * LANE, w->vstep);
    }
  }
}

static void wino_products(const simd *k, wino_task *w, int from, int to)
{
  int segment[1024], width;
  for (int j = 0; j < w->t.cg; j++) segment[j] = j * w->block * LANE;
  const int parts = (w->n + k->rows - 1) / k->rows;
  for (int e = 0; e < 64; e++)
    for (int o = from; o < to; o += width / LANE) {
      const float *u = w->u + size(e) * w->ustep + panel_at(k, w->t.cg, w->t.og, o, &width);
      for (int p = 0; p < parts; p++) {
        const int i = deal(w->n, parts, p), rows = deal(w->n, parts, p + 1) - i;
        k->tile(rows, width, w->v + size(e) * w->vstep + i * LANE, segment, w->t.cg, u, NULL,
                w->m + size(e) * w->mstep + i * made_wide(&w->t) + (o - from) * LANE, size(made_wide(&w->t)), 0);
      }
    }
}

static void wino_outputs(const simd *k, wino_task *w, int from, int to)
{
  const correlation *g = &w->g;
  const int m = w->t.m;
  for (int i = 0; i < w->n; i++) {
    int y, x;
    float *image = w->y + size(tile_corner(&w->t, w->first + i, &y, &x)) * size(g->oh) * size(g->ow) * size(g->oc);
    for (int o = from; o < to; o++) {
      const float *v = w->m + i * made_wide(&w->t) + (o - from) * LANE, *bias = w->bias ? w->bias + o * LANE : NULL;
      float *at = image + (size(y) * size(g->ow) + size(x)) * size(g->oc) + o * LANE;
      if (y + m <= g->oh && x + m <= g->ow && (o + 1) * LANE <= g->oc)
        k->wino_output(m, v, w->mstep, bias, at, (ptrdiff_t)g->ow * g->oc, g->oc, w->mode);
      else {
        k->wino_output(m, v, w->mstep, NULL, w->patch, m * LANE, LANE, 0);
        put_patch(w->patch, m, image, g->oh, g->ow, g->oc, y, x, o, w->bias, w->mode);
      }
    }
  }
}

/* y (n, oh, ow, oc) = or += correlation of x (n, h, w, c) with the transformed weights u (+ bias, ReLU). */
static void wino_run(host *h, const correlation *g, const float *x, const float *u, const float *bias, float *y, int mode)
{
  const simd *k = room_of(h)->k;
  const tiling t = tiling_of(g);
  const int all = h->n * t.tiles, block = block_tiles(&t), tasks = (all + block - 1) / block;
#pragma omp parallel for schedule(dynamic) num_threads(h->threads)
  for (int i = 0; i < tasks; i++) {
    wino_task w = { .g = *g, .t = t, .x = x, .u = u, .bias = bias, .y = y, .mode = mode, .block = block };
    w.first = deal(all, tasks, i), w.n = deal(all, tasks, i + 1) - w.first;
    w.vstep = between_points(size(t.cg * block * LANE) + LANE), w.mstep = between_points(size(block * made_wide(&t)) + LANE);
    w.ustep = taps_step(&t);
    w.v = own(h), w.m = w.v + 64 * w.vstep, w.patch = w.m + 64 * w.mstep;
    wino_windows(k, &w);
    for (int o = 0; o < t.og; o += OUT_GROUPS) {
      wino_products(k, &w, o, least(o + OUT_GROUPS, t.og));
      wino_outputs(k, &w, o, least(o + OUT_GROUPS, t.og));
    }
  }
}

typedef struct {
  const layer *l;
  correlation g;
  tiling t;
  int images;                                        /* transformed at a time */
  size_t xstep, dstep, wstep;                        /* floats between points */
} wgrad;

static wgrad wgrad_of(const layer *l, int most)
{
  wgrad q = { .l = l, .g = forward_of(l) };
  q.t = tiling_of(&q.g);
  const size_t sums = size(q.t.cg * q.t.og) * LANE * LANE, image = size((q.t.cg + q.t.og) * q.t.tiles) * LANE;
  const size_t budget = larger(2 * 64 * sums, 256 * 1024);
  q.images = (int)(budget / (64 * image));
  q.images = q.images < 1 ? 1 : least(q.images, most);
  q.xstep = between_points(size(q.images * q.t.tiles * q.t.cg) * LANE + LANE);
  q.dstep = between_points(size(q.images * q.t.tiles * q.t.og) * LANE + LANE);
  q.wstep = between_points(sums + LANE);
  return q;
}

static size_t wgrad_room(const wgrad *q) { return 64 * (q->xstep + q->dstep + q->wstep); }

/* sums (c) = the sum over rows of dy (rows, c) */
static void bias_sums(const simd *k, const float *dy, size_t rows, int c, double *sums)
{
  memset(sums, 0, sizeof(double) * size(c));
  k->sums(dy, rows, c, NULL, sums, NULL);
}

/* Transform row r of the tiles of an image, the j-th of those at hand, to xs [64][cg][tiles][16] and ds [64][og][tiles][16]. */
static void wgrad_transform(const simd *k, const wgrad *q, const float *x, const float *dy, int j, int r, float *xs, float *ds)
{
  const correlation *g = &q->g;
  const int m = q->t.m, tiles = q->images * q->t.tiles;
  float patch[64 * LANE];
  ptrdiff_t row, col;
  for (int v = 0; v < q->t.cols; v++) {
    const int at = j * q->t.tiles + r * q->t.cols + v;
    for (int c = 0; c < q->t.cg; c++) {
      const float *p = window_at(x, g->h, g->w, g->c, r * m - g->top, v * m - g->left, 8, 8, c, patch, &row, &col);
      k->wino_input(p, row, col, xs + size(c * tiles + at) * LANE, q->xstep);
    }
    for (int o = 0; o < q->t.og; o++) {
      const float *p = window_at(dy, g->oh, g->ow, g->oc, r * m, v * m, m, m, o, patch, &row, &col);
      k->wino_taps(m, p, row, col, ds + size(o * tiles + at) * LANE, q->dstep);
    }
  }
}

static void wgrad_products(const simd *k, const wgrad *q, int e, int o, int tiles, const float *xs, const float *ds, float *sums, bool add)
{
  const int all = q->images * q->t.tiles, parts = (tiles + 127) / 128;
  const float *x = xs + size(e) * q->xstep, *d = ds + size(e) * q->dstep + size(o * all) * LANE;
  float *to = sums + size(e) * q->wstep + size(o * q->t.cg) * LANE * LANE;
  for (int p = 0; p < parts; p++) {
    const int i = deal(tiles, parts, p), n = deal(tiles, parts, p + 1) - i;
    k->outer(n, d + i * LANE, x + i * LANE, size(all) * LANE, q->t.cg, to, LANE * LANE, add || p);
  }
}

/* Sixteen by sixteen channels of the sums, back to taps in dw (oc, k, k, c). */
static void wgrad_finish(const simd *k, const wgrad *q, int o, int c, const float *sums, float *dw)
{
  const correlation *g = &q->g;
  const int kk = g->k * g->k;
  float patch[25 * LANE];
  for (int i = 0; i < LANE && o * LANE + i < g->oc; i++) {
    const float *v = sums + size((o * q->t.cg + c) * LANE + i) * LANE;
    float *to = dw + size(o * LANE + i) * size(kk * g->c) + c * LANE;
    if ((c + 1) * LANE <= g->c) { k->wino_output(g->k, v, q->wstep, NULL, to, (ptrdiff_t)g->k * g->c, g->c, 0); continue; }
    k->wino_output(g->k, v, q->wstep, NULL, patch, g->k * LANE, LANE, 0);
    for (int t = 0; t < kk; t++) memcpy(to + size(t * g->c), patch + t * LANE, sizeof(float) * size(g->c - c * LANE));
  }
}

static void wgrad_run(host *h, const wgrad *q, const float *x, const float *dy, float *dw, double *bias, float *xs)
{
  const simd *k = room_of(h)->k;
  float *ds = xs + 64 * q->xstep, *sums = ds + 64 * q->dstep;
  const size_t xi = size(q->g.h * q->g.w) * size(q->g.c), yi = size(q->g.oh * q->g.ow) * size(q->g.oc);
#pragma omp parallel num_threads(h->threads)
  {
    for (int i = 0; i < h->n; i += q->images) {
      const int n = least(q->images, h->n - i);
#pragma omp for collapse(2) schedule(dynamic)
      for (int j = 0; j < n; j++)
        for (int r = 0; r < q->t.rows; r++) {
          const float *image = dy + size(i + j) * yi;
          const int first = r * q->t.m, rows = least(q->t.m, q->g.oh - first);
          wgrad_transform(k, q, x + size(i + j) * xi, image, j, r, xs, ds);
          bias_sums(k, image + size(first * q->g.ow) * size(q->g.oc), size(rows * q->g.ow), q->g.oc,
                    bias + size((i + j) * q->t.rows + r) * size(q->g.oc));
        }
#pragma omp for collapse(2) schedule(dynamic)
      for (int e = 0; e < 64; e++)
        for (int o = 0; o < q->t.og; o++) wgrad_products(k, q, e, o, n * q->t.tiles, xs, ds, sums, i > 0);
    }
#pragma omp for collapse(2) schedule(dynamic)
    for (int o = 0; o < q->t.og; o++)
      for (int c = 0; c < q->t.cg; c++) wgrad_finish(k, q, o, c, sums, dw);
  }
}

typedef struct {
  const layer *l;
  bool fold;
  int rows, cols, groups, taps;                      /* of the copy: rows, columns, lane groups; taps in a row (1 when folded) */
  int stride;                                        /* rows of the copy between rows of output */
} direct;

static direct direct_of(const layer *l)
{
  direct d = { .l = l, .fold = l->stride > 1 || l->in.c < LANE / 2, .rows = (l->out.h - 1) * l->stride + l->kernel, .stride = l->stride };
  d.cols = d.fold ? l->out.w : l->out.w + l->kernel - 1;
  d.taps = d.fold ? 1 : l->kernel;
  d.groups = up(d.fold ? l->kernel * l->in.c : l->in.c, LANE) / LANE;
  return d;
}

/* The copy of dy from which the gradient of the input is computed: dilated by the stride, padded by what the taps reach. */
static direct direct_back_of(const layer *l)
{
  return (direct){ .l = l, .rows = l->in.h + l->kernel - 1, .cols = l->in.w + l->kernel - 1, .groups = up(l->out.c, LANE) / LANE,
                   .taps = l->kernel, .stride = 1 };
}

static size_t copy_floats(const direct *d) { return size(d->rows) * size(d->cols) * size(d->groups) * LANE; }

static float *copy_at(const direct *d, float *p, int row, int group, int col)
{
  return p + ((size(row) * size(d->groups) + size(group)) * size(d->cols) + size(col)) * LANE;
}

/* Put n numbers into the lanes from `at` on of a pixel of the copy. */
static void copy_lanes(const direct *d, float *p, int row, int col, int at, const float *x, int n)
{
  while (n > 0) {
    const int lanes = least(n, LANE - at % LANE);
    memcpy(copy_at(d, p, row, at / LANE, col) + at % LANE, x, sizeof(float) * size(lanes));
    at += lanes, x += lanes, n -= lanes;
  }
}

static void copy_image(const direct *d, const float *x, float *p)
{
  const layer *l = d->l;
  const int c = l->in.c;
  memset(p, 0, sizeof(float) * copy_floats(d));
  for (int r = 0; r < d->rows; r++) {
    const int y = r - l->pad_top;
    if (y < 0 || y >= l->in.h) continue;
    const float *line = x + size(y) * size(l->in.w) * size(c);
    for (int v = 0; v < d->cols; v++) {
      const int from = d->fold ? v * l->stride - l->pad_left : v - l->pad_left, taps = d->fold ? l->kernel : 1;
      const int t = from < 0 ? -from : 0, end = least(taps, l->in.w - from);
      if (t < end) copy_lanes(d, p, r, v, t * c, line + size((from + t) * c), (end - t) * c);
    }
  }
}

/* dy (oh, ow, oc) as [row][group][column][16] */
static void copy_rows(const direct *e, const float *dy, float *p)
{
  const int c = e->l->out.c;
  if (c % LANE) memset(p, 0, sizeof(float) * copy_floats(e));
  for (int u = 0; u < e->rows; u++)
    for (int v = 0; v < e->cols; v++) copy_lanes(e, p, u, v, 0, dy + (size(u) * size(e->cols) + size(v)) * size(c), c);
}

static void copy_gradient(const direct *d, const float *dy, float *p)
{
  const layer *l = d->l;
  memset(p, 0, sizeof(float) * copy_floats(d));
  for (int u = 0; u < l->out.h; u++)
    for (int v = 0; v < l->out.w; v++) {
      const int r = u * l->stride + l->kernel - 1 - l->pad_top, q = v * l->stride + l->kernel - 1 - l->pad_left;
      if (r < 0 || r >= d->rows || q < 0 || q >= d->cols) continue;
      copy_lanes(d, p, r, q, 0, dy + (size(u) * size(l->out.w) + size(v)) * size(l->out.c), l->out.c);
    }
}

static int panels_of(const simd *k, int c) { return (up(c, LANE) + k->panel - 1) / k->panel; }

static size_t packed_floats(const direct *d, int oc)
{
  return size(d->l->kernel * d->taps * d->groups) * LANE * size(up(oc, LANE));
}

/* The weight for lane i of (row, tap, group) and output channel o; 0 beyond the channels. */
static float weight_at(const direct *d, bool back, const float *w, int row, int tap, int lane, int o)
{
  const layer *l = d->l;
  const int k = l->kernel, c = l->in.c;
  if (back) return lane < l->out.c && o < c ? w[((size(lane) * size(k) + size(k - 1 - row)) * size(k) + size(k - 1 - tap)) * size(c) + size(o)] : 0;
  if (o >= l->out.c || lane >= (d->fold ? k * c : c)) return 0;
  return w[(size(o) * size(k) + size(row)) * size(k * c) + size(tap * c + lane)];
}

static void pack_weights(host *h, const direct *d, bool back, const float *w, float *packed)
{
  const simd *k = room_of(h)->k;
  const int oc = back ? d->l->in.c : d->l->out.c, each = d->l->kernel * d->taps * d->groups;
#pragma omp parallel for collapse(2) num_threads(h->threads)
  for (int p = 0; p < panels_of(k, oc); p++)
    for (int s = 0; s < each; s++) {
      const int width = least(k->panel, up(oc, LANE) - p * k->panel), group = s % d->groups, tap = s / d->groups % d->taps;
      float *to = packed + size(p) * size(k->panel) * size(each) * LANE + size(s) * LANE * size(width);
      for (int i = 0; i < LANE; i++)
        for (int j = 0; j < width; j++)
          to[i * width + j] = weight_at(d, back, w, s / d->groups / d->taps, tap, group * LANE + i, p * k->panel + j);
    }
}

/* One image: out (oh, ow, oc) = or += copy * packed weights (+ bias, ReLU); line: (ow, up(oc, LANE)). bias as long as line's pixels. */
static void direct_image(const simd *k, const direct *d, const float *copy, const float *packed, const float *bias, float *out,
                         int oh, int ow, int oc, int mode, float *line)
{
  const int each = d->l->kernel * d->taps * d->groups, wide = up(oc, LANE), parts = (ow + k->rows - 1) / k->rows;
  int *segment = (int *)(void *)(line + size(ow) * size(wide));
  for (int s = 0; s < each; s++) {
    const int group = s % d->groups, tap = s / d->groups % d->taps, row = s / d->groups / d->taps;
    segment[s] = ((row * d->groups + group) * d->cols + tap) * LANE;
  }
  for (int p = 0; p < panels_of(k, oc); p++)
    for (int y = 0; y < oh; y++) {
      const int width = least(k->panel, wide - p * k->panel);
      const float *a = copy + size(y * d->stride * d->groups) * size(d->cols) * LANE, *b = packed + size(p * k->panel) * size(each) * LANE;
      float *row = out + size(y) * size(ow) * size(oc), *to = oc == wide ? row : line;
      for (int q = 0; q < parts; q++) {
        const int x = deal(ow, parts, q), n = deal(ow, parts, q + 1) - x;
        k->tile(n, width, a + x * LANE, segment, each, b, bias ? bias + p * k->panel : NULL, to + size(x) * size(wide) + p * k->panel,
                size(wide), oc == wide ? mode : 0);
      }
      if (to != line) continue;
      /* move the line's panel to its row */
      for (int x = 0; x < ow; x++)
        for (int j = p * k->panel; j < least(oc, p * k->panel + width); j++) {
          float *at = row + size(x) * size(oc) + j, z = line[size(x) * size(wide) + size(j)];
          if (mode & TILE_ADD) z += *at;
          *at = mode & TILE_RELU && !(z > 0) ? 0 : z;
        }
    }
}

enum { DIRECT_SUMS = 8 };

static direct gradient_rows_of(const layer *l)       /* dy as [row][group][column][16] */
{
  return (direct){ .l = l, .rows = l->out.h, .cols = l->out.w, .groups = up(l->out.c, LANE) / LANE };
}

static size_t direct_sum_floats(const direct *d) { return size(d->l->kernel * d->taps * d->groups) * LANE * size(up(d->l->out.c, LANE)); }

/* sums [out group][row][group][tap][16][16] of one image */
static void direct_wgrad_image(const simd *k, const direct *d, const direct *e, const float *x, const float *dy, float *sums, bool add)
{
  const int rows = d->l->kernel;
  for (int u = 0; u < e->rows; u++)
    for (int o = 0; o < e->groups; o++)
      for (int r = 0; r < rows; r++)
        for (int g = 0; g < d->groups; g++)
          k->outer(e->cols, copy_at(e, (float *)dy, u, o, 0), copy_at(d, (float *)x, u * d->stride + r, g, 0), LANE, d->taps,
                   sums + size((o * rows + r) * d->groups + g) * size(d->taps) * LANE * LANE, LANE * LANE, add || u);
}

/* dw (oc, k, k, c) from the sums, added in their order */
static void direct_wgrad_finish(host *h, const direct *d, const float *sums, int parts, float *dw)
{
  const layer *l = d->l;
  const int k = l->kernel, c = l->in.c;
#pragma omp parallel for num_threads(h->threads)
  for (int o = 0; o < l->out.c; o++)
    for (int j = 0; j < k * k * c; j++) {
      const int row = j / (k * c), tap = d->fold ? 0 : j / c % k, lane = d->fold ? j % (k * c) : j % c;
      const size_t at = (((size(o / LANE) * size(k) + size(row)) * size(d->groups) + size(lane / LANE)) * size(d->taps) + size(tap)) * LANE * LANE
                      + size(o % LANE * LANE + lane % LANE);
      double sum = 0;
      for (int p = 0; p < parts; p++) sum += sums[size(p) * direct_sum_floats(d) + at];
      dw[size(o) * size(k * k * c) + size(j)] = (float)sum;
    }
}

/* A 16 x 16 block at (row, col) of x (rows, cols), zero beyond; x itself when it is whole. */
static const float *block_of(const float *x, int rows, int cols, int row, int col, float *patch, size_t *row_step)
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

/* cpu: operators */
typedef struct {
  bool winograd;
  wgrad q;
  direct d, back, e;
  double *bias;                                      /* sums of dy: (oc) for each row of tiles of each image */
} conv_work;

static size_t direct_room(const direct *d, int ow, int oc)
{
  return copy_floats(d) + size(ow) * size(up(oc, LANE)) + size(d->l->kernel * d->taps * d->groups);
}

static void conv_room(host *h, const layer *l, const conv_work *w)
{
  const correlation f = forward_of(l), b = backward_of(l);
  const tiling tf = tiling_of(&f), tb = tiling_of(&b);
  if (w->winograd)
    room_take(h, larger(wino_room(&f), wino_room(&b)), larger(64 * larger(taps_step(&tf), taps_step(&tb)), wgrad_room(&w->q)));
  else
    room_take(h, larger(larger(direct_room(&w->d, l->out.w, l->out.c), direct_room(&w->back, l->in.w, l->in.c)),
                        copy_floats(&w->d) + copy_floats(&w->e)),
              larger(larger(packed_floats(&w->d, l->out.c), packed_floats(&w->back, l->in.c)), DIRECT_SUMS * direct_sum_floats(&w->d)));
}

static void conv_open(host *h, int i)
{
  const layer *l = host_step(h, i)->layer;
  conv_work *w = h->work[i] = NEW(conv_work, 1);
  w->winograd = winograd_fits(l);
  if (w->winograd) w->q = wgrad_of(l, h->base.plan->batch);
  else w->d = direct_of(l), w->back = direct_back_of(l), w->e = gradient_rows_of(l);
  w->bias = NEW(double, size(h->base.plan->batch) * size(w->winograd ? w->q.t.rows : 1) * size(l->out.c));
  conv_room(h, l, w);
}

static void conv_close(host *h, int i)
{
  conv_work *w = h->work[i];
  free(w->bias), free(w);
  room_drop(h);
}

static void direct_run(host *h, const direct *d, bool back, const float *x, const float *w, const float *bias, float *y, int mode)
{
  const simd *k = room_of(h)->k;
  const layer *l = d->l;
  const shape in = back ? l->out : l->in, out = back ? l->in : l->out;
  float *packed = room_of(h)->common;
  pack_weights(h, d, back, w, packed);
#pragma omp parallel for schedule(dynamic) num_threads(h->threads)
  for (int n = 0; n < h->n; n++) {
    float *copy = own(h);
    if (back) copy_gradient(d, x + size(n) * shape_floats(in), copy);
    else copy_image(d, x + size(n) * shape_floats(in), copy);
    direct_image(k, d, copy, packed, bias, y + size(n) * shape_floats(out), out.h, out.w, out.c, mode, copy + copy_floats(d));
  }
}

static void conv_forward(host *h, int i)
{
  const step *s = host_step(h, i);
  const layer *l = s->layer;
  const conv_work *w = h->work[i];
  const float *kernel = host_param(h, l->weight), *bias = host_param(h, l->bias), *x = host_act(h, s->x);
  const int mode = s->relu ? TILE_RELU : 0;
  if (!w->winograd) { direct_run(h, &w->d, false, x, kernel, bias, host_act(h, s->y), mode); return; }
  const correlation g = forward_of(l);
  float *u = room_of(h)->common;
  transform_weights(h, &(weights){ l, false, kernel, u }, &g);
  wino_run(h, &g, x, u, bias, host_act(h, s->y), mode);
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

/* db (c) = the n sums added in their order */
static void finish_bias(const double *sums, int n, int c, float *db)
{
  for (int j = 0; j < c; j++) {
    double sum = 0;
    for (int i = 0; i < n; i++) sum += sums[size(i) * size(c) + size(j)];
    db[j] = (float)sum;
  }
}

static void direct_wgrad_run(host *h, const conv_work *w, const float *x, const float *dy, float *dw)
{
  const simd *k = room_of(h)->k;
  const layer *l = w->d.l;
  const int parts = least(h->n, DIRECT_SUMS);
#pragma omp parallel for schedule(dynamic) num_threads(h->threads)
  for (int p = 0; p < parts; p++)
    for (int n = deal(h->n, parts, p); n < deal(h->n, parts, p + 1); n++) {
      const float *image = dy + size(n) * shape_floats(l->out);
      float *a = own(h), *b = a + copy_floats(&w->d);
      copy_image(&w->d, x + size(n) * shape_floats(l->in), a);
      copy_rows(&w->e, image, b);
      direct_wgrad_image(k, &w->d, &w->e, a, b, room_of(h)->common + size(p) * direct_sum_floats(&w->d), n > deal(h->n, parts, p));
      bias_sums(k, image, size(l->out.h * l->out.w), l->out.c, w->bias + size(n) * size(l->out.c));
    }
  direct_wgrad_finish(h, &w->d, room_of(h)->common, parts, dw);
}

static void conv_backward(host *h, int i)
{
  const step *s = host_step(h, i);
  const layer *l = s->layer;
  const conv_work *w = h->work[i];
  const float *kernel = host_param(h, l->weight), *x = host_act(h, s->x), *dy = host_grad(h, s->y);
  float *dw = host_dparam(h, l->weight), *common = room_of(h)->common;
  const int mode = s->add_dx ? TILE_ADD : 0;
  stop_negative(h, s);
  if (w->winograd) wgrad_run(h, &w->q, x, dy, dw, w->bias, common);
  else direct_wgrad_run(h, w, x, dy, dw);
  finish_bias(w->bias, h->n * (w->winograd ? w->q.t.rows : 1), l->out.c, host_dparam(h, l->bias));
  if (!s->need_dx) return;
  if (!w->winograd) { direct_run(h, &w->back, true, dy, kernel, NULL, host_grad(h, s->x), mode); return; }
  const correlation g = backward_of(l);
  transform_weights(h, &(weights){ l, true, kernel, common }, &g);
  wino_run(h, &g, dy, common, NULL, host_grad(h, s->x), mode);
}

typedef struct {
  double *sums;                                      /* (batch, 2, C) */
  float *mean, *a, *offset, *k1, *k2, *pivot;        /* (C), padded to a multiple of LANE */
} norm_work;

static void norm_open(host *h, int i)
{
  const int c = host_step(h, i)->layer->out.c, wide = up(c, LANE);
  norm_work *w = h->work[i] = NEW(norm_work, 1);
  w->sums = NEW(double, 2 * size(h->base.plan->batch) * size(c));
  w->mean = NEW(float, 6 * wide);
  w->a = w->mean + wide, w->offset = w->a + wide, w->k1 = w->offset + wide, w->k2 = w->k1 + wide, w->pivot = w->k2 + wide;
  room_take(h, 0, 0);
}

static void norm_close(host *h, int i)
{
  norm_work *w = h->work[i];
  free(w->sums), free(w->mean), free(w);
  room_drop(h);
}

/* The sums of the images, in their order: to[0 .. 2c-1] */
static void join_sums(double *sums, int n, int c)
{
  for (int i = 1; i < n; i++)
    for (int j = 0; j < 2 * c; j++) sums[j] += sums[size(i) * 2 * size(c) + size(j)];
}

static void batch_statistics(host *h, const step *s, norm_work *w, const float *x, size_t pixels, int c)
{
  const simd *k = room_of(h)->k;
  float *stat = host_batch_stat(h, s->layer);
  memcpy(w->pivot, x, sizeof(float) * size(c));
#pragma omp parallel for schedule(dynamic) num_threads(h->threads)
  for (int n = 0; n < h->n; n++) {
    double *to = w->sums + size(n) * 2 * size(c);
    memset(to, 0, sizeof(double) * 2 * size(c));
    k->sums(x + size(n) * pixels * size(c), pixels, c, w->pivot, to, to + c);
  }
  join_sums(w->sums, h->n, c);
  const double m = (double)pixels * h->n;
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
  const int c = l->in.c;
  const size_t pixels = size(l->in.h) * size(l->in.w), image = pixels * size(c);
  const float *x = host_act(h, s->x), *r = s->r >= 0 ? host_act(h, s->r) : NULL, *scale = host_param(h, l->weight);
  float *y = host_act(h, s->y);
  if (h->pass == PASS_TRAIN) batch_statistics(h, s, w, x, pixels, c);
  const float *stat = h->pass == PASS_TRAIN ? host_batch_stat(h, l) : h->stat + l->stat;
  for (int j = 0; j < c; j++) {
    w->mean[j] = stat[j], w->a[j] = (float)(scale[j] / sqrt((double)stat[c + j] + NORM_EPSILON));
    w->offset[j] = host_param(h, l->bias)[j];
  }
#pragma omp parallel for schedule(dynamic) num_threads(h->threads)
  for (int n = 0; n < h->n; n++)
    k->norm(x + size(n) * image, r ? r + size(n) * image : NULL, y + size(n) * image, pixels, c, w->mean, w->a, w->offset, s->relu);
}

static void norm_backward(host *h, int i)
{
  const step *s = host_step(h, i);
  const layer *l = s->layer;
  const simd *k = room_of(h)->k;
  norm_work *w = h->work[i];
  const int c = l->in.c;
  const size_t pixels = size(l->in.h) * size(l->in.w), image = pixels * size(c);
  const float *x = host_act(h, s->x), *y = s->relu && s->r >= 0 ? host_act(h, s->y) : NULL, *dy = host_grad(h, s->y);
  float *dx = s->need_dx ? host_grad(h, s->x) : NULL, *dr = s->need_dr ? host_grad(h, s->r) : NULL;
#pragma omp parallel for schedule(dynamic) num_threads(h->threads)
  for (int n = 0; n < h->n; n++) {
    double *to = w->sums + size(n) * 2 * size(c);
    const size_t at = size(n) * image;
    memset(to, 0, sizeof(double) * 2 * size(c));
    k->norm_sums(x + at, y ? y + at : NULL, dy + at, pixels, c, w->mean, w->a, w->offset, s->relu, to, to + c);
  }
  /* turn the sums into gradients and means */
  join_sums(w->sums, h->n, c);
  const double m = (double)pixels * h->n;
  const float *stat = host_batch_stat(h, l);
  for (int j = 0; j < c; j++) {
    const double inverse = 1 / sqrt((double)stat[c + j] + NORM_EPSILON);
    host_dparam(h, l->bias)[j] = (float)w->sums[j], host_dparam(h, l->weight)[j] = (float)(w->sums[c + j] * inverse);
    w->k1[j] = (float)(w->sums[j] / m), w->k2[j] = (float)(w->sums[c + j] * inverse * inverse / m);
  }
  if (!dx && !dr) return;
#pragma omp parallel for schedule(dynamic) num_threads(h->threads)
  for (int n = 0; n < h->n; n++) {
    const size_t at = size(n) * image;
    k->norm_grad(x + at, y ? y + at : NULL, dy + at, pixels, c, w->mean, w->a, w->offset, s->relu, w->k1, w->k2,
                 dx ? dx + at : NULL, s->add_dx, dr ? dr + at : NULL, s->add_dr);
  }
}

static void simple_open(host *h, int i) { (void)i, room_take(h, 0, 0); }
static void simple_close(host *h, int i) { free(h->work[i]), room_drop(h); }

static void add_forward(host *h, int i)
{
  const step *s = host_step(h, i);
  const float *x = host_act(h, s->x), *r = s->r >= 0 ? host_act(h, s->r) : NULL;
  float *y = host_act(h, s->y);
  const bool relu = s->relu || s->kind == STEP_RELU;
  const size_t n = size(h->n) * shape_floats(s->layer->out);
#pragma omp parallel for simd num_threads(h->threads)
  for (size_t j = 0; j < n; j++) {
    float z = r ? x[j] + r[j] : x[j];
    y[j] = relu && !(z > 0) ? 0 : z;
  }
}

static void add_backward(host *h, int i)
{
  const step *s = host_step(h, i);
  const float *y = host_act(h, s->y), *dy = host_grad(h, s->y);
  float *dx = s->need_dx ? host_grad(h, s->x) : NULL, *dr = s->need_dr ? host_grad(h, s->r) : NULL;
  const bool relu = s->relu || s->kind == STEP_RELU;
  const size_t n = size(h->n) * shape_floats(s->layer->out);
#pragma omp parallel for num_threads(h->threads)
  for (size_t j = 0; j < n; j++) {
    const float g = relu && !(y[j] > 0) ? 0 : dy[j];
    if (dr) dr[j] = s->add_dr ? dr[j] + g : g;
    if (dx) dx[j] = s->add_dx ? dx[j] + g : g;
  }
}

static void pool_open(host *h, int i)
{
  h->work[i] = NEW(uint8_t, h->base.plan->tensor[host_step(h, i)->y].floats);
  room_take(h, 0, 0);
}

/* The part of output (u, v)'s window that lies in the image, and its corner's offset. */
static ptrdiff_t pool_window(const layer *l, int u, int v, int window[4])
{
  const int y = u * l->stride - l->pad_top, x = v * l->stride - l->pad_left;
  window[0] = y < 0 ? -y : 0, window[1] = least(l->kernel, l->in.h - y);
  window[2] = x < 0 ? -x : 0, window[3] = least(l->kernel, l->in.w - x);
  return ((ptrdiff_t)y * l->in.w + x) * l->in.c;
}

static void pool_forward(host *h, int i)
{
  const step *s = host_step(h, i);
  const layer *l = s->layer;
  const simd *k = room_of(h)->k;
  const float *x = host_act(h, s->x);
  float *y = host_act(h, s->y);
  uint8_t *place = h->work[i];
#pragma omp parallel for schedule(dynamic) num_threads(h->threads)
  for (int n = 0; n < h->n; n++)
    for (int j = 0; j < l->out.h * l->out.w; j++) {
      int window[4];
      const ptrdiff_t from = pool_window(l, j / l->out.w, j % l->out.w, window) + (ptrdiff_t)(size(n) * shape_floats(l->in));
      const size_t to = (size(n) * size(l->out.h * l->out.w) + size(j)) * size(l->out.c);
      k->pool(x + from, (ptrdiff_t)l->in.w * l->in.c, window, l->kernel, l->in.c, y + to, place + to);
    }
}

static void pool_backward(host *h, int i)
{
  const step *s = host_step(h, i);
  const layer *l = s->layer;
  const simd *k = room_of(h)->k;
  const bool once = l->stride >= l->kernel;
  const bool whole = once && l->stride == l->kernel && l->out.h * l->stride >= l->in.h && l->out.w * l->stride >= l->in.w;
  if (!s->need_dx) return;
#pragma omp parallel for schedule(dynamic) num_threads(h->threads)
  for (int n = 0; n < h->n; n++) {
    float *dx = host_grad(h, s->x) + size(n) * shape_floats(l->in);
    if (!s->add_dx && !whole) memset(dx, 0, sizeof(float) * shape_floats(l->in));
    for (int j = 0; j < l->out.h * l->out.w; j++) {
      int window[4];
      const ptrdiff_t to = pool_window(l, j / l->out.w, j % l->out.w, window);
      const size_t from = (size(n) * size(l->out.h * l->out.w) + size(j)) * size(l->out.c);
      k->unpool(host_grad(h, s->y) + from, (uint8_t *)h->work[i] + from, window, l->kernel, l->in.c, dx + to, (ptrdiff_t)l->in.w * l->in.c,
                s->add_dx || !once);
    }
  }
}

typedef struct { int in, out, wide, batch, groups; float *part, *a1, *a2; } fc_work;  /* wide, batch: rounded up to LANE */

enum { FC_CHUNK = 512, FC_COLUMNS = 256 };

static size_t fc_floats(const fc_work *w) { return size(w->groups + 2) * size(w->wide) * size(w->batch); }

static void fc_open(host *h, int i)
{
  const layer *l = host_step(h, i)->layer;
  fc_work *w = h->work[i] = NEW(fc_work, 1);
  w->in = (int)shape_floats(l->in), w->out = l->out.c, w->wide = up(w->out, LANE), w->batch = up(h->base.plan->batch, LANE);
  w->groups = w->in / 1024 < 1 ? 1 : least(w->in / 1024, 32);
  w->part = host_room(fc_floats(w));
  w->a1 = w->part + size(w->groups) * size(w->wide) * size(w->batch), w->a2 = w->a1 + size(w->wide) * size(w->batch);
  room_take(h, larger(size(FC_CHUNK) * size(w->batch + LANE), size(FC_COLUMNS) * size(w->batch + w->wide) + 64 * LANE), 0);
}

static void fc_close(host *h, int i)
{
  fc_work *w = h->work[i];
  host_release(w->part, fc_floats(w));
  free(w);
  room_drop(h);
}

/* part (wide, batch) = w[:, from..to) * x[:, from..to)' for images 0..n-1; from, to: multiples of LANE (to may pass the end) */
static void fc_partial(const simd *k, const fc_work *w, const float *weight, const float *x, int n, int from, int to, float *part, float *scratch)
{
  float *xt = scratch, *wt = scratch + FC_CHUNK * w->batch, patch[LANE * LANE];
  int segment[FC_CHUNK / LANE];
  size_t between;
  for (int start = from; start < to; start += FC_CHUNK) {
    const int length = least(FC_CHUNK, to - start), tiles = (w->out + k->rows - 1) / k->rows;
    for (int p = 0; p < n; p += k->panel)
      for (int j = 0; j < least(k->panel, up(n, LANE) - p); j += LANE)
        for (int i = 0; i < length; i += LANE) {
          const float *b = block_of(x, n, w->in, p + j, start + i, patch, &between);
          k->transpose(b, between, xt + p * length + i * least(k->panel, up(n, LANE) - p) + j, size(least(k->panel, up(n, LANE) - p)));
        }
    for (int t = 0; t < tiles; t++) {
      const int o = deal(w->out, tiles, t), rows = deal(w->out, tiles, t + 1) - o;
      /* pack the rows of weights */
      for (int i = 0; i < length; i += LANE) {
        segment[i / LANE] = i * rows;
        for (int r = 0; r < rows; r++) {
          float *lane = wt + (i * rows + r * LANE);
          const float *from_row = weight + size(o + r) * size(w->in) + size(start + i);
          __builtin_prefetch(from_row + 8 * LANE);
          if (start + i + LANE <= w->in) memcpy(lane, from_row, sizeof(float) * LANE);
          else for (int q = 0; q < LANE; q++) lane[q] = start + i + q < w->in ? from_row[q] : 0;
        }
      }
      for (int p = 0; p < n; p += k->panel)
        k->tile(rows, least(k->panel, up(n, LANE) - p), wt, segment, length / LANE, xt + p * length, NULL,
                part + size(o) * size(w->batch) + p, size(w->batch), start > from ? TILE_ADD : 0);
    }
  }
}

static void fc_forward(host *h, int i)
{
  const step *s = host_step(h, i);
  const layer *l = s->layer;
  const simd *k = room_of(h)->k;
  const fc_work *w = h->work[i];
  const float *weight = host_param(h, l->weight), *bias = host_param(h, l->bias), *x = host_act(h, s->x);
  const int blocks = (w->in + LANE - 1) / LANE, n = h->n;
  const size_t part = size(w->wide) * size(w->batch);
  float *y = host_act(h, s->y);
#pragma omp parallel for schedule(dynamic) num_threads(h->threads)
  for (int g = 0; g < w->groups; g++)
    fc_partial(k, w, weight, x, n, deal(blocks, w->groups, g) * LANE, deal(blocks, w->groups, g + 1) * LANE, w->part + size(g) * part, own(h));
#pragma omp parallel for num_threads(h->threads)
  for (int o = 0; o < w->out; o++)
    for (int j = 0; j < n; j += LANE) {
      const float *p = w->part + size(o) * size(w->batch) + size(j);
      double sum[LANE];
      for (int q = 0; q < LANE; q++) sum[q] = bias[o];
      for (int g = 0; g < w->groups; g++)
        for (int q = 0; q < LANE; q++) sum[q] += p[size(g) * part + size(q)];
      for (int q = 0; q < least(LANE, n - j); q++)
        y[size(j + q) * size(w->out) + size(o)] = (float)(s->relu && !(sum[q] > 0) ? 0 : sum[q]);
    }
}

typedef struct {
  const fc_work *w;
  int n, from, columns;                              /* columns: at most FC_COLUMNS */
  const float *x;
  float *weight, *velocity, *dw;                     /* velocity: NULL when the gradient is to be stored in dw */
  float rate, momentum, l2;
  float *xs, *old, *tile;                            /* (panels, batch, panel), (panels, wide, panel), (rows, panel) */
} fc_task;

/* Gradient and update (or storing) of rows o .. o + rows - 1 of panel p. */
static void fc_tile(const simd *k, const fc_task *q, int o, int rows, int p, bool keep)
{
  const fc_work *w = q->w;
  const int width = k->panel, valid = least(width, q->columns - p * width);
  int segment[64];
  for (int b = 0; b < up(q->n, LANE) / LANE; b++) segment[b] = b * w->wide * LANE;
  k->tile(rows, width, w->a1 + o * LANE, segment, up(q->n, LANE) / LANE, q->xs + size(p) * size(w->batch) * size(width), NULL,
          q->tile, size(width), 0);
  for (int r = 0; r < rows; r++) {
    const size_t at = size(o + r) * size(w->in) + size(q->from + p * width);
    for (int j = 0; q->velocity && j < width; j += LANE)    /* the panel after next, which memory is slow to bring */
      __builtin_prefetch(q->weight + at + 2 * width + j, 1), __builtin_prefetch(q->velocity + at + 2 * width + j, 1);
    if (keep) memcpy(q->old + (size(p) * size(w->wide) + size(o + r)) * size(width), q->weight + at, sizeof(float) * size(valid));
    if (q->velocity) k->sgd(q->weight + at, q->velocity + at, q->tile + r * width, size(valid), q->rate, q->momentum, q->l2);
    else memcpy(q->dw + at, q->tile + r * width, sizeof(float) * size(valid));
  }
}

static void fc_columns(const simd *k, const fc_task *q, float *dx, bool add)
{
  const fc_work *w = q->w;
  const int width = k->panel, panels = (q->columns + width - 1) / width, tiles = (w->out + k->rows - 1) / k->rows;
  /* lay the batch's columns side by side */
  for (int p = 0; p < panels; p++)
    for (int i = 0; i < up(q->n, LANE); i++) {
      float *to = q->xs + (size(p) * size(w->batch) + size(i)) * size(width);
      const int valid = i < q->n ? least(width, q->columns - p * width) : 0;
      if (valid) memcpy(to, q->x + size(i) * size(w->in) + size(q->from + p * width), sizeof(float) * size(valid));
      if (valid < width) memset(to + valid, 0, sizeof(float) * size(width - valid));
    }
  if (dx) memset(q->old, 0, sizeof(float) * size(panels * width) * size(w->wide));
  for (int t = 0; t < tiles; t++)
    for (int p = 0; p < panels; p++) fc_tile(k, q, deal(w->out, tiles, t), deal(w->out, tiles, t + 1) - deal(w->out, tiles, t), p, dx != NULL);
  if (!dx) return;
  int segment[1024];
  const int parts = (q->n + k->rows - 1) / k->rows;
  for (int o = 0; o < w->wide / LANE; o++) segment[o] = o * w->batch * LANE;
  for (int p = 0; p < panels; p++)
    for (int j = 0; j < parts; j++) {
      const int i = deal(q->n, parts, j), rows = deal(q->n, parts, j + 1) - i, valid = least(width, q->columns - p * width);
      k->tile(rows, width, w->a2 + i * LANE, segment, w->wide / LANE, q->old + size(p) * size(w->wide) * size(width), NULL, q->tile, size(width), 0);
      for (int r = 0; r < rows; r++) {
        float *to = dx + size(i + r) * size(w->in) + size(q->from + p * width);
        for (int c = 0; c < valid; c++) to[c] = add ? to[c] + q->tile[r * width + c] : q->tile[r * width + c];
      }
    }
}

/* dy (n, out) as the first operand of both products: a1 [image group][out][16 images], a2 [output group][image][16 outputs] */
static void fc_lay_gradient(host *h, const step *s, const fc_work *w)
{
  const simd *k = room_of(h)->k;
  const float *dy = host_grad(h, s->y);
  float patch[LANE * LANE];
  size_t between;
  for (int b = 0; b < up(h->n, LANE); b += LANE)
    for (int o = 0; o < w->wide; o += LANE) {
      const float *from = block_of(dy, h->n, w->out, b, o, patch, &between);
      k->transpose(from, between, w->a1 + size(b) * size(w->wide) + o * LANE, LANE);
      for (int i = 0; i < LANE; i++) memcpy(w->a2 + size(o) * size(w->batch) + (b + i) * LANE, from + size(i) * between, sizeof(float) * LANE);
    }
}

static void fc_backward(host *h, int i)
{
  const step *s = host_step(h, i);
  const layer *l = s->layer;
  const simd *k = room_of(h)->k;
  const fc_work *w = h->work[i];
  const param *p = &h->base.plan->net->param[l->weight];
  float *db = host_dparam(h, l->bias), *dx = s->need_dx ? host_grad(h, s->x) : NULL;
  const float *dy = host_grad(h, s->y);
  stop_negative(h, s);
  for (int o = 0; o < w->out; o++) {
    double sum = 0;
    for (int n = 0; n < h->n; n++) sum += dy[size(n) * size(w->out) + size(o)];
    db[o] = (float)sum;
  }
  fc_lay_gradient(h, s, w);
#pragma omp parallel for schedule(dynamic) num_threads(h->threads)
  for (int from = 0; from < w->in; from += FC_COLUMNS) {
    fc_task q = { .w = w, .n = h->n, .from = from, .columns = least(FC_COLUMNS, w->in - from), .x = host_act(h, s->x) };
    q.weight = host_param(h, l->weight), q.dw = host_dparam(h, l->weight);
    if (h->sgd) q.velocity = h->velocity + p->offset, q.rate = sgd_rate(h->sgd, l->weight),
      q.momentum = h->sgd->momentum, q.l2 = h->sgd->l2 * (float)p->decay;
    q.xs = own(h), q.old = q.xs + FC_COLUMNS * w->batch, q.tile = q.old + size(FC_COLUMNS) * size(w->wide);
    fc_columns(k, &q, dx, s->add_dx);
  }
  if (h->sgd) h->updated[l->weight] = true;
}

/* cpu: the engine */
static engine *cpu_open(const plan *p, int threads)
{
  static host_op op[STEP_KINDS];
  memcpy(op, ref_op, sizeof op);
  op[STEP_CONV] = (host_op){ conv_open, conv_forward, conv_backward, conv_close };
  op[STEP_NORM] = (host_op){ norm_open, norm_forward, norm_backward, norm_close };
  op[STEP_RELU] = op[STEP_ADD] = (host_op){ simple_open, add_forward, add_backward, simple_close };
  op[STEP_POOL] = (host_op){ pool_open, pool_forward, pool_backward, simple_close };
  op[STEP_FC] = (host_op){ fc_open, fc_forward, fc_backward, fc_close };
  return host_open(&engine_cpu, op, p, threads);
}

static const char *always_on(void) { return NULL; }

const engine_kind engine_cpu = { .name = "cpu", .why_off = always_on, .open = cpu_open, HOST_FUNCTIONS };

/* The passes over memory (cuda_ops.cu) against plain loops in double, over odd shapes, in every precision. */
#include "gpu/cuda_device.h"
#include "kernels.h"
#include "engines/rules.h"
#include "tap.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NEW(type, count) ((type *)calloc((size_t)(count) + 1, sizeof(type)))

/* ---- chance: the blocks of one purpose, one after another ---- */

static uint32_t drawn_words;
static uint32_t word()
{
  uint32_t four[4];
  rng_block(47, RNG_TEST, 0, 0, drawn_words / 4, four);
  return four[drawn_words++ % 4];
}
static double uniform() { return (word() + 0.5) / 4294967296.0; }
static double normal()
{
  const double u = uniform(), v = uniform();
  return sqrt(-2 * log(u)) * cos(6.283185307179586 * v);
}

/* ---- arrays on the device with what they hold beside them ---- */

static const char *const name_of[] = { "fp32", "tf32", "bf16" };

/* h: the numbers as stored; d: device memory */
/* device memory, given to kernels as whatever they ask for */
struct address { void *p; template <class T> operator T *() const { return (T *)p; } };
static const address none = { NULL };
typedef struct { precision p; size_t n; float *h; address d; } array;

/* host -> device */
static void put(array *a)
{
  for (size_t i = 0; i < a->n; i++) a->h[i] = rounded(a->p, a->h[i]);
  to_device(a->p, a->d, a->h, a->n);
}

static array drawn(precision p, size_t n)
{
  array a = { p, n, NEW(float, n + 1), { device_memory(n * act_bytes(p)) } };
  for (size_t i = 0; i < n; i++) a.h[i] = (float)normal();
  put(&a);
  return a;
}

static array poisoned(precision p, size_t n)
{
  array a = { p, n, NEW(float, n + 1), { device_memory(n * act_bytes(p)) } };
  cudaMemset(a.d, 0xff, n * act_bytes(p));
  return a;
}

/* device -> host */
static void get(array *a)
{
  if (!from_device(a->p, a->h, a->d, a->n)) printf("Bail out! a kernel failed\n"), exit(1);
}

static void drop(array *a) { cudaFree(a->d), free(a->h), *a = {}; }

template <class T> static T *copied(const T *from, size_t bytes)
{
  T *d = (T *)device_memory(bytes);
  cudaMemcpy(d, from, bytes, cudaMemcpyHostToDevice);
  return d;
}

/* What may part a stored number from its double: the rounding of its precision, and of sums. */
static double slack(precision p) { return p == BF16 ? 5e-3 : p == TF32 ? 6e-4 : 3e-6; }

/* The largest |found - expected| / (scale + |expected|); NaN where a number was not written. */
static double worst(const float *found, const double *expected, size_t n, double scale)
{
  double d = 0;
  for (size_t i = 0; i < n; i++) {
    const double e = fabs(found[i] - expected[i]) / (scale + fabs(expected[i]));
    if (!(e <= d)) d = e;
    if (e != e) return e;
  }
  return d;
}

static double most(double a, double b) { return a > b || a != a ? a : b; }

/* ---- gather, element by element ---- */

static void test_gather(precision p)
{
  const int shapes[][4] = { { 5, 5, 3, 4 }, { 4, 7, 3, 4 }, { 3, 3, 1, 1 }, { 6, 2, 3, 3 }, { 2, 2, 5, 6 } };
  double bad = 0;
  for (int k = 0; k < 5; k++) {
    const int h = shapes[k][0], w = shapes[k][1], c = shapes[k][2], stored = shapes[k][3], n = 11, cells = 4;
    const size_t image = (size_t)(h * w * c);
    uint8_t *pixels = NEW(uint8_t, cells * image), turn[11];
    int row[11];
    array mean = drawn(FP32, image), x = poisoned(p, (size_t)(n * h * w * stored));
    for (size_t i = 0; i < cells * image; i++) pixels[i] = (uint8_t)word();
    for (int i = 0; i < n; i++) turn[i] = (uint8_t)(h == w ? i % 8 : i % 4), row[i] = (i * 3) % cells;
    uint8_t *dp = copied(pixels, cells * image), *dt = copied(turn, 11);
    int *dr = copied(row, sizeof row);
    for (int bare = 0; bare < 2; bare++) {
      cuda_gather(p, n, h, w, c, stored, dp, bare ? none : mean.d, dr, bare ? NULL : dt, x.d, 0), get(&x);
      for (size_t i = 0; i < x.n; i++) {
        const int j = (int)i % stored, at = (int)i / stored % (h * w), cell = (int)i / stored / (h * w);
        int sy, sx;
        turn_source(bare ? 0 : turn[cell], h, w, at / w, at % w, &sy, &sx);
        const float v = j >= c ? 0 : pixels[(size_t)row[cell] * image + (size_t)((sy * w + sx) * c + j)]
                                     - (bare ? 0 : mean.h[at * c + j]);
        bad += x.h[i] != rounded(p, v);
      }
    }
    cudaFree(dp), cudaFree(dt), cudaFree(dr), drop(&mean), drop(&x), free(pixels);
  }
  ok(bad == 0, "%s: gather, every turn, with and without a mean, 1 to 6 stored channels", name_of[p]);
}

static void test_each(precision p)
{
  const size_t counts[] = { 1, 3, 7, 8, 33, 1024, 4099, 9000 };
  int bad = 0;
  for (int k = 0; k < 8; k++) {
    const size_t n = counts[k];
    array x = drawn(p, n), r = drawn(p, n), y = poisoned(p, n), f = drawn(FP32, n), g = poisoned(FP32, n);
    cuda_to_act(p, n, f.d, y.d, 0), get(&y);
    for (size_t i = 0; i < n; i++) bad += y.h[i] != rounded(p, f.h[i]);
    cuda_from_act(p, n, x.d, g.d, 0), get(&g);
    for (size_t i = 0; i < n; i++) bad += g.h[i] != x.h[i];
    cuda_relu_forward(p, n, x.d, y.d, 0), get(&y);
    for (size_t i = 0; i < n; i++) bad += y.h[i] != (x.h[i] > 0 ? x.h[i] : 0);
    for (int relu = 0; relu < 2; relu++) {
      cuda_add_forward(p, n, x.d, r.d, relu, y.d, 0), get(&y);
      for (size_t i = 0; i < n; i++) {
        const float v = rounded(p, x.h[i] + r.h[i]);
        bad += y.h[i] != (relu && !(v > 0) ? 0 : v);
      }
    }
    for (int mode = 0; mode < 4; mode++) {
      array to = drawn(p, n), before = drawn(p, 0);
      before.h = (float *)realloc(before.h, (n + 1) * sizeof(float)), memcpy(before.h, to.h, n * sizeof(float));
      cuda_pass_gradient(p, n, r.d, mode & 1 ? x.d : none, mode >> 1, to.d, 0), get(&to);
      for (size_t i = 0; i < n; i++) {
        const float v = mode & 1 && !(x.h[i] > 0) ? 0 : r.h[i];
        bad += to.h[i] != (mode >> 1 ? rounded(p, before.h[i] + v) : v);
      }
      drop(&to), drop(&before);
    }
    cuda_pass_gradient(p, n, r.d, x.d, false, r.d, 0), get(&y);
    float *old = NEW(float, n);
    memcpy(old, r.h, n * sizeof(float)), get(&r);
    for (size_t i = 0; i < n; i++) bad += r.h[i] != (x.h[i] > 0 ? old[i] : 0);
    free(old), drop(&x), drop(&r), drop(&y), drop(&f), drop(&g);
  }
  ok(bad == 0, "%s: conversion, addition, ReLU and gradients element by element, to the bit (%d wrong)", name_of[p], bad);
}

static void test_columns(precision p)
{
  const int shapes[][2] = { { 1, 1 }, { 257, 8 }, { 511, 5 }, { 900, 72 }, { 1025, 33 }, { 300, 512 } };
  double bad = 0;
  for (int k = 0; k < 6; k++) {
    const int m = shapes[k][0], c = shapes[k][1], tiles = (m - 1) / NORM_ROWS + 1;
    array x = drawn(p, (size_t)(m * c)), room = poisoned(FP32, (size_t)(tiles * c)), sums = poisoned(FP32, (size_t)c);
    double *want = NEW(double, c);
    cuda_column_sums(p, m, c, x.d, room.d, sums.d, 0), get(&sums);
    for (int i = 0; i < m * c; i++) want[i % c] += x.h[i];
    bad = most(bad, worst(sums.h, want, (size_t)c, sqrt(m)));
    drop(&x), drop(&room), drop(&sums), free(want);
  }
  ok(bad < 2e-6, "%s: column sums: %.2g", name_of[p], bad);
}

/* ---- batch normalisation ---- */

typedef struct { int m, c; array x, r, dy, y, coef, dscale, doffset, scale, offset; double *mean, *inverse; } norm_case;

/* mean and variance of (m, c) numbers */
static void moments(const float *x, int m, int c, double *mean, double *variance)
{
  for (int i = 0; i < m * c; i++) mean[i % c] += x[i] / (double)m;
  for (int i = 0; i < m * c; i++) variance[i % c] += (x[i] - mean[i % c]) * (x[i] - mean[i % c]) / m;
}

static void test_statistics(precision p)
{
  const int shapes[][2] = { { 1, 1 }, { 5, 3 }, { 256, 4 }, { 257, 8 }, { 1000, 5 }, { 777, 40 }, { 300, 64 }, { 2049, 16 } };
  double bad = 0, bad_variance = 0, bad_coef = 0;
  for (int k = 0; k < 8; k++) {
    const int m = shapes[k][0], c = shapes[k][1], tiles = (m - 1) / NORM_ROWS + 1;
    array x = drawn(p, (size_t)(m * c)), partial = poisoned(FP32, (size_t)(2 * tiles * c)), coef = poisoned(FP32, (size_t)(4 * c)),
      stat = poisoned(FP32, (size_t)(2 * c)), scale = drawn(FP32, (size_t)c), offset = drawn(FP32, (size_t)c);
    double *mean = NEW(double, c), *variance = NEW(double, c), *want = NEW(double, 4 * c);
    for (int i = 0; i < m * c; i++) x.h[i] = x.h[i] * (float)(i % c + 1) + 1000.f * (float)(i % c % 3);   /* spread c, far from 0 */
    put(&x), moments(x.h, m, c, mean, variance);
    cuda_norm_statistics(p, m, c, x.d, partial.d, 0);
    cuda_norm_finish(NORM_ROWS, m, c, partial.d, scale.d, offset.d, coef.d, stat.d, 0), get(&stat), get(&coef);
    bad = most(bad, worst(stat.h, mean, (size_t)c, c)), bad_variance = most(bad_variance, worst(stat.h + c, variance, (size_t)c, 1e-3));
    for (int again = 0; again < 2; again++) {
      for (int i = 0; i < c; i++) {
        want[i] = again ? stat.h[i] : mean[i], want[c + i] = 1 / sqrt((again ? stat.h[c + i] : variance[i]) + NORM_EPSILON);
        want[2 * c + i] = scale.h[i] * want[c + i], want[3 * c + i] = offset.h[i] - want[i] * want[2 * c + i];
      }
      bad_coef = most(bad_coef, worst(coef.h, want, (size_t)(4 * c), c));
      cuda_norm_stored(c, stat.d, scale.d, offset.d, coef.d, 0), get(&coef);
    }
    drop(&x), drop(&partial), drop(&coef), drop(&stat), drop(&scale), drop(&offset), free(mean), free(variance), free(want);
  }
  ok(bad < 1e-6 && bad_variance < 1e-5 && bad_coef < 1e-5, "%s: statistics far from zero: mean %.2g, variance %.2g, coefficients %.2g",
     name_of[p], bad, bad_variance, bad_coef);
}

static void test_finish_of_other_tiles(void)
{
  const int m = 1000, c = 5, rows = 96, tiles = (m - 1) / rows + 1;
  array x = drawn(FP32, (size_t)(m * c)), partial = poisoned(FP32, (size_t)(2 * tiles * c)), coef = poisoned(FP32, 4 * 5),
    stat = poisoned(FP32, 10), one = drawn(FP32, 5);
  double mean[5] = { 0 }, variance[5] = { 0 };
  for (int t = 0; t < tiles; t++) {
    const int count = t < tiles - 1 ? rows : m - t * rows;
    double a[5] = { 0 }, b[5] = { 0 };
    moments(x.h + t * rows * c, count, c, a, b);
    for (int i = 0; i < c; i++) partial.h[2 * t * c + i] = (float)a[i], partial.h[(2 * t + 1) * c + i] = (float)(b[i] * count);
  }
  put(&partial), moments(x.h, m, c, mean, variance);
  cuda_norm_finish(rows, m, c, partial.d, one.d, one.d, coef.d, stat.d, 0), get(&stat);
  const double bad = most(worst(stat.h, mean, 5, 1), worst(stat.h + 5, variance, 5, 1));
  ok(bad < 1e-6, "tiles of 96 rows, as a convolution leaves them, merge: %.2g", bad);
  drop(&x), drop(&partial), drop(&coef), drop(&stat), drop(&one);
}

static norm_case norm_open(precision p, int m, int c)
{
  const size_t all = (size_t)m * (size_t)c, few = (size_t)c;
  norm_case q = { m, c, drawn(p, all), drawn(p, all), drawn(p, all), poisoned(p, all), poisoned(FP32, 4 * few), poisoned(FP32, few),
                  poisoned(FP32, few), drawn(FP32, few), drawn(FP32, few), NEW(double, c), NEW(double, c) };
  double *variance = NEW(double, c);
  for (size_t i = 0; i < all; i++) q.x.h[i] = q.x.h[i] * (1 + (float)(i % few)) + 3;
  put(&q.x), moments(q.x.h, m, c, q.mean, variance);
  for (int i = 0; i < c; i++) {
    q.inverse[i] = 1 / sqrt(variance[i] + NORM_EPSILON);
    q.coef.h[i] = (float)q.mean[i], q.coef.h[c + i] = (float)q.inverse[i], q.coef.h[2 * c + i] = (float)(q.scale.h[i] * q.inverse[i]);
    q.coef.h[3 * c + i] = (float)(q.offset.h[i] - q.mean[i] * q.scale.h[i] * q.inverse[i]);
  }
  put(&q.coef), free(variance);
  return q;
}

static void norm_close(norm_case *q)
{
  drop(&q->x), drop(&q->r), drop(&q->dy), drop(&q->y), drop(&q->coef), drop(&q->dscale), drop(&q->doffset), drop(&q->scale),
    drop(&q->offset), free(q->mean), free(q->inverse);
}

static double norm_value(const norm_case *q, int i, bool residual, bool relu)
{
  const int k = i % q->c;
  const double v = q->scale.h[k] * (q->x.h[i] - q->mean[k]) * q->inverse[k] + q->offset.h[k] + (residual ? q->r.h[i] : 0);
  return relu && !(v > 0) ? 0 : v;
}

/* The gradients of a norm whose output's gradient is g (m, c): doffset, dscale (c) and dx. */
static void norm_gradients(const norm_case *q, const double *g, double *doffset, double *dscale, double *dx)
{
  const int c = q->c, all = q->m * c;
  for (int k = 0; k < c; k++) doffset[k] = dscale[k] = 0;
  for (int i = 0; i < all; i++)
    doffset[i % c] += g[i], dscale[i % c] += g[i] * (q->x.h[i] - q->mean[i % c]) * q->inverse[i % c];
  for (int i = 0; i < all; i++) {
    const int k = i % c;
    const double normal = (q->x.h[i] - q->mean[k]) * q->inverse[k];
    dx[i] = q->scale.h[k] * q->inverse[k] / q->m * (q->m * g[i] - doffset[k] - normal * dscale[k]);
  }
}

/* Sums per tile of what stands in dx, against column. */
static double column_error(const array *dx, int m, int c, const array *column)
{
  const int tiles = (m - 1) / NORM_ROWS + 1;
  double *want = NEW(double, tiles * c), d;
  for (int i = 0; i < m * c; i++) want[i / c / NORM_ROWS * c + i % c] += dx->h[i];
  d = worst(column->h, want, (size_t)(tiles * c), 16);
  free(want);
  return d;
}

static void test_norm(precision p)
{
  const int shapes[][2] = { { 2, 1 }, { 5, 3 }, { 257, 8 }, { 300, 5 }, { 530, 40 }, { 64, 136 }, { 770, 16 } };
  double bad_y = 0, bad_sums = 0, bad_dx = 0, bad_dr = 0, bad_column = 0;
  for (int k = 0; k < 7; k++)
    for (int mode = 0; mode < 4; mode++) {             /* 1: ReLU; 2: residual term, everything is added to */
      const int m = shapes[k][0], c = shapes[k][1], tiles = (m - 1) / NORM_ROWS + 1;
      const bool relu = mode & 1, residual = mode & 2;
      const size_t all = (size_t)(m * c);
      norm_case q = norm_open(p, m, c);
      array partial = poisoned(FP32, (size_t)(2 * tiles * c)), dr = drawn(p, all), dx = drawn(p, all),
        column = poisoned(FP32, (size_t)(tiles * c));
      double *y = NEW(double, all), *g = NEW(double, all), *want = NEW(double, all), *dr_want = NEW(double, all),
        *doffset = NEW(double, c), *dscale = NEW(double, c);
      for (int i = 0; i < m * c; i++) y[i] = norm_value(&q, i, residual, relu);
      cuda_norm_apply(p, m, c, q.x.d, residual ? q.r.d : none, relu, q.coef.d, q.y.d, 0), get(&q.y);
      bad_y = most(bad_y, worst(q.y.h, y, all, 1) / slack(p));
      for (size_t i = 0; i < all; i++) g[i] = relu && !(q.y.h[i] > 0) ? 0 : q.dy.h[i], dr_want[i] = g[i] + (residual ? dr.h[i] : 0);
      norm_gradients(&q, g, doffset, dscale, want);
      if (residual) for (size_t i = 0; i < all; i++) want[i] += dx.h[i];
      const void *mask = relu ? residual || k % 2 ? q.y.d : q.x.d : none;        /* from x alone where there is no residual term */
      cuda_norm_sums(p, m, c, q.x.d, q.dy.d, mask, q.coef.d, residual, mode == 1 ? none : dr.d, partial.d, 0);
      cuda_norm_sums_finish(tiles, c, partial.d, q.dscale.d, q.doffset.d, 0), get(&q.dscale), get(&q.doffset);
      bad_sums = most(bad_sums, most(worst(q.doffset.h, doffset, (size_t)c, sqrt(m)), worst(q.dscale.h, dscale, (size_t)c, sqrt(m))));
      cuda_norm_dx(p, m, c, q.x.d, q.dy.d, mask, q.coef.d, q.dscale.d, q.doffset.d, residual, dx.d, residual ? none : column.d, 0);
      get(&dx), get(&dr), get(&column);
      bad_dx = most(bad_dx, worst(dx.h, want, all, 1) / slack(p));
      if (mode != 1) bad_dr = most(bad_dr, worst(dr.h, dr_want, all, 1) / slack(p));
      if (!residual) bad_column = most(bad_column, column_error(&dx, m, c, &column));
      norm_close(&q), drop(&partial), drop(&dr), drop(&dx), drop(&column);
      free(y), free(g), free(want), free(dr_want), free(doffset), free(dscale);
    }
  ok(bad_y < 1, "%s: norm, residual sum and ReLU: %.2g of the slack", name_of[p], bad_y);
  ok(bad_sums < 1e-5 && bad_dx < 3 && bad_dr < 1, "%s: their gradients: sums %.2g; dx %.2g, dr %.2g of the slack", name_of[p], bad_sums,
     bad_dx, bad_dr);
  ok(bad_column < 1e-6, "%s: column sums of dx beside it: %.2g", name_of[p], bad_column);
}

/* ---- group normalisation ---- */

/* y, dx (n, m, c) and dscale, doffset (c) of group norm, plainly; in dx what is added to, or zeros */
static void groups_plainly(group_shape s, const float *x, const float *dy, const float *scale, const float *offset, double *y, double *dx,
                           double *dscale, double *doffset)
{
  const int channels = s.c / s.groups;
  const double all = (double)s.m * channels;
  for (int k = 0; k < s.n * s.groups; k++) {
    const int first = k % s.groups * channels;
    const size_t top = (size_t)(k / s.groups) * s.m * s.c + first;
    double mean = 0, variance = 0, sum = 0, product = 0;
    for (int i = 0; i < s.m * channels; i++) mean += x[top + i / channels * s.c + i % channels] / all;
    for (int i = 0; i < s.m * channels; i++) variance += pow(x[top + i / channels * s.c + i % channels] - mean, 2) / all;
    const double inverse = 1 / sqrt(variance + NORM_EPSILON);
    for (int i = 0; i < s.m * channels; i++) {
      const size_t at = top + i / channels * s.c + i % channels;
      const int c = first + i % channels;
      const double normal = (x[at] - mean) * inverse, g = scale[c] * (double)dy[at];
      y[at] = scale[c] * normal + offset[c], sum += g, product += g * normal;
      doffset[c] += dy[at], dscale[c] += dy[at] * normal;
    }
    for (int i = 0; i < s.m * channels; i++) {
      const size_t at = top + i / channels * s.c + i % channels;
      dx[at] += inverse / all * (all * scale[first + i % channels] * dy[at] - sum - (x[at] - mean) * inverse * product);
    }
  }
}

static void test_groups(precision p)
{
  const group_shape shapes[] = { { 3, 5, 3, 1 }, { 2, 257, 8, 4 }, { 1, 300, 6, 3 }, { 4, 64, 40, 5 }, { 2, 530, 16, 16 }, { 9, 1, 24, 2 }, { 3, 9, 72, 1 } };
  double bad_y = 0, bad_sums = 0, bad_dx = 0;
  int twice = 0;
  for (int k = 0; k < 7; k++)
    for (int add = 0; add < 2; add++) {
      const group_shape s = shapes[k];
      const size_t all = (size_t)(s.n * s.m * s.c), c = (size_t)s.c, n = (size_t)s.n, tiles = (size_t)((s.m - 1) / NORM_ROWS + 1);
      array x = drawn(p, all), dy = drawn(p, all), y = poisoned(p, all), dx = drawn(p, all), scale = drawn(FP32, c), offset = drawn(FP32, c),
        dscale = poisoned(FP32, c), doffset = poisoned(FP32, c), partial = poisoned(FP32, n * tiles * 2 * c), coef = poisoned(FP32, n * 4 * c),
        common = poisoned(FP32, n * 2 * c);
      double *y_want = NEW(double, all), *dx_want = NEW(double, all), *dscale_want = NEW(double, c), *doffset_want = NEW(double, c);
      for (size_t i = 0; i < all; i++) x.h[i] = x.h[i] * (float)(1 + i % c) + 5 * (float)(i / c / (size_t)s.m);      /* each image elsewhere */
      put(&x);
      for (size_t i = 0; add && i < all; i++) dx_want[i] = dx.h[i];
      groups_plainly(s, x.h, dy.h, scale.h, offset.h, y_want, dx_want, dscale_want, doffset_want);
      cuda_group_statistics(p, s, x.d, scale.d, offset.d, partial.d, coef.d, 0);
      cuda_group_apply(p, s, x.d, coef.d, y.d, 0), get(&y);
      bad_y = most(bad_y, worst(y.h, y_want, all, 1) / slack(p));
      cuda_group_sums(p, s, x.d, dy.d, scale.d, coef.d, partial.d, dscale.d, doffset.d, common.d, 0), get(&dscale), get(&doffset);
      bad_sums = most(bad_sums, most(worst(doffset.h, doffset_want, c, sqrt(s.n * s.m)), worst(dscale.h, dscale_want, c, sqrt(s.n * s.m))));
      cuda_group_dx(p, s, x.d, dy.d, coef.d, common.d, add, dx.d, 0), get(&dx);
      bad_dx = most(bad_dx, worst(dx.h, dx_want, all, 1) / slack(p));
      float *once = NEW(float, all);
      memcpy(once, y.h, all * sizeof *once);
      cuda_group_statistics(p, s, x.d, scale.d, offset.d, partial.d, coef.d, 0), cuda_group_apply(p, s, x.d, coef.d, y.d, 0), get(&y);
      twice += memcmp(once, y.h, all * sizeof *once) != 0;
      drop(&x), drop(&dy), drop(&y), drop(&dx), drop(&scale), drop(&offset), drop(&dscale), drop(&doffset), drop(&partial), drop(&coef), drop(&common);
      free(once), free(y_want), free(dx_want), free(dscale_want), free(doffset_want);
    }
  ok(bad_y < 2 && !twice, "%s: group norm, each image by itself: %.2g of the slack, and the same bits twice", name_of[p], bad_y);
  ok(bad_sums < 1e-5 && bad_dx < 3, "%s: its gradients: sums %.2g; dx %.2g of the slack", name_of[p], bad_sums, bad_dx);
}

/* ---- pooling ---- */

static const int pools[][9] = {                       /* n h w c kernel stride pad_top pad_left pad after (below and right) */
  { 2, 6, 6, 8, 2, 2, 0, 0, 0 }, { 3, 7, 5, 24, 2, 2, 0, 0, 0 }, { 2, 35, 9, 3, 2, 2, 0, 0, 0 }, { 1, 9, 8, 5, 3, 2, 1, 1, 1 },
  { 2, 7, 7, 16, 3, 1, 1, 1, 1 }, { 1, 5, 6, 1, 2, 1, 0, 0, 1 }, { 1, 11, 4, 12, 4, 3, 0, 1, 2 }, { 2, 1, 1, 8, 1, 1, 0, 0, 0 },
  { 1, 17, 16, 7, 16, 5, 3, 2, 4 }, { 5, 3, 3, 8, 2, 2, 0, 0, 0 }, { 1, 8, 8, 8, 2, 3, 0, 0, 0 }, { 2, 7, 5, 8, 2, 2, 0, 0, 1 },
};
enum { POOLS = (int)(sizeof pools / sizeof *pools) };

static pool_shape pool_of(int k)
{
  const int *q = pools[k];
  return { q[0], q[1], q[2], q[3], (q[1] + q[6] + q[8] - q[4]) / q[5] + 1, (q[2] + q[7] + q[8] - q[4]) / q[5] + 1, q[4], q[5],
                       q[6], q[7] };
}

/* y, place (outputs), where: index of the maximum in x (n, h, w, c) */
static void pool_plainly(pool_shape s, const float *x, float *y, uint8_t *place, size_t *where)
{
  for (int i = 0; i < s.n * s.oh * s.ow * s.c; i++) {
    const int c = i % s.c, v = i / s.c % s.ow, u = i / s.c / s.ow % s.oh, n = i / s.c / s.ow / s.oh;
    bool empty = true;
    for (int t = 0; t < s.kernel * s.kernel; t++) {
      const int yy = u * s.stride + t / s.kernel - s.pad_top, xx = v * s.stride + t % s.kernel - s.pad_left;
      if (yy < 0 || yy >= s.h || xx < 0 || xx >= s.w) continue;
      const size_t at = (((size_t)n * (size_t)s.h + (size_t)yy) * (size_t)s.w + (size_t)xx) * (size_t)s.c + (size_t)c;
      if (empty || x[at] > y[i]) y[i] = x[at], place[i] = (uint8_t)t, where[i] = at;
      empty = false;
    }
  }
}

static void test_pool(precision p)
{
  int bad = 0;
  double bad_dx = 0, bad_column = 0;
  for (int k = 0; k < POOLS; k++)
    for (int mode = 0; mode < 4; mode++) {             /* 1: masked; 2: added to */
      const pool_shape s = pool_of(k);
      const int m = s.n * s.h * s.w, tiles = (m - 1) / NORM_ROWS + 1;
      const size_t in = (size_t)(m * s.c), out = (size_t)(s.n * s.oh * s.ow * s.c);
      array x = drawn(p, in), y = poisoned(p, out), dy = drawn(p, out), dx = drawn(p, in), column = poisoned(FP32, (size_t)(tiles * s.c));
      float *best = NEW(float, out);
      uint8_t *place = NEW(uint8_t, out), *found = NEW(uint8_t, out), *dplace = (uint8_t *)device_memory(out);
      size_t *where = NEW(size_t, out);
      double *want = NEW(double, in);
      for (size_t i = 0; i < in; i++) x.h[i] = mode & 1 && x.h[i] < 0.3f ? 0 : rintf(x.h[i] * 2) / 2 - !(mode & 1);    /* many ties */
      put(&x), cudaMemset(dplace, 0xee, out);
      pool_plainly(s, x.h, best, place, where);
      cuda_pool_forward(p, s, x.d, y.d, dplace, 0), get(&y), cudaMemcpy(found, dplace, out, cudaMemcpyDeviceToHost);
      for (size_t i = 0; i < out; i++) bad += y.h[i] != best[i] || found[i] != place[i];
      for (size_t i = 0; i < in; i++) want[i] = mode & 2 ? dx.h[i] : 0;
      for (size_t i = 0; i < out; i++) want[where[i]] += mode & 1 && !(best[i] > 0) ? 0 : dy.h[i];
      cuda_pool_backward(p, s, dy.d, dplace, mode & 1 ? y.d : none, mode & 2, dx.d, mode & 2 ? none : column.d, 0);
      get(&dx), get(&column);
      bad_dx = most(bad_dx, worst(dx.h, want, in, 1) / slack(p));
      if (!(mode & 2)) bad_column = most(bad_column, column_error(&dx, m, s.c, &column));
      drop(&x), drop(&y), drop(&dy), drop(&dx), drop(&column), cudaFree(dplace), free(best), free(place), free(found), free(where), free(want);
    }
  ok(bad == 0, "%s: pooling, with ties, to the bit (%d wrong)", name_of[p], bad);
  ok(bad_dx < 1 && bad_column < 1e-6, "%s: its gradient: %.2g of the slack; column sums %.2g", name_of[p], bad_dx, bad_column);
}

/* The fused kernels against the single ones: outputs and places to the bit, gradients within rounding of what the fusion leaves out. */
static void test_norm_pool(precision p)
{
  int bad = 0;
  double bad_sums = 0, bad_dx = 0, bad_column = 0;
  for (int k = 0; k < POOLS; k++)
    for (int residual = 0; residual < 2; residual++) {
      const pool_shape s = pool_of(k);
      const int m = s.n * s.h * s.w, tiles = (m - 1) / NORM_ROWS + 1, c = s.c;
      const size_t in = (size_t)(m * c), out = (size_t)(s.n * s.oh * s.ow * c);
      norm_case q = norm_open(p, m, c);
      array y = poisoned(p, out), y2 = poisoned(p, out), dy = drawn(p, out), partial = poisoned(FP32, (size_t)(2 * tiles * c)),
        dr = drawn(p, in), dx = drawn(p, in), column = poisoned(FP32, (size_t)(tiles * c));
      uint8_t *place = NEW(uint8_t, out), *found = NEW(uint8_t, out), *dplace = (uint8_t *)device_memory(out);
      size_t *where = NEW(size_t, out);
      float *best = NEW(float, out);
      double *g = NEW(double, in), *want = NEW(double, in), *dr_want = NEW(double, in), *doffset = NEW(double, c), *dscale = NEW(double, c);
      const void *r = residual ? q.r.d : none;
      cuda_norm_apply(p, m, c, q.x.d, r, true, q.coef.d, q.y.d, 0), get(&q.y);
      pool_plainly(s, q.y.h, best, place, where);
      cuda_norm_pool_forward(p, s, q.x.d, r, q.coef.d, y2.d, dplace, 0), get(&y2), cudaMemcpy(found, dplace, out, cudaMemcpyDeviceToHost);
      for (size_t i = 0; i < out; i++) bad += y2.h[i] != best[i] || found[i] != place[i];
      for (size_t i = 0; i < out; i++) if (best[i] > 0) g[where[i]] += dy.h[i];
      for (size_t i = 0; i < in; i++) dr_want[i] = g[i] + (residual ? dr.h[i] : 0);
      norm_gradients(&q, g, doffset, dscale, want);
      if (residual) for (size_t i = 0; i < in; i++) want[i] += dx.h[i];
      cuda_norm_pool_sums(p, s, q.x.d, dy.d, dplace, y2.d, q.coef.d, partial.d, 0);
      cuda_norm_sums_finish(tiles, c, partial.d, q.dscale.d, q.doffset.d, 0), get(&q.dscale), get(&q.doffset);
      bad_sums = most(bad_sums, most(worst(q.doffset.h, doffset, (size_t)c, sqrt(m)), worst(q.dscale.h, dscale, (size_t)c, sqrt(m))));
      cuda_norm_pool_dx(p, s, q.x.d, dy.d, dplace, y2.d, q.coef.d, q.dscale.d, q.doffset.d, residual, k % 2 ? dr.d : none, residual, dx.d,
                        residual ? none : column.d, 0);
      get(&dx), get(&dr), get(&column);
      bad_dx = most(bad_dx, worst(dx.h, want, in, 1) / slack(p));
      if (k % 2) bad_dx = most(bad_dx, worst(dr.h, dr_want, in, 1) / slack(p));
      if (!residual) bad_column = most(bad_column, column_error(&dx, m, c, &column));
      norm_close(&q), drop(&y), drop(&y2), drop(&dy), drop(&partial), drop(&dr), drop(&dx), drop(&column), cudaFree(dplace);
      free(place), free(found), free(where), free(best), free(g), free(want), free(dr_want), free(doffset), free(dscale);
    }
  ok(bad == 0, "%s: norm, residual sum, ReLU and pooling in one pass, to the bit (%d wrong)", name_of[p], bad);
  ok(bad_sums < 1e-5 && bad_dx < 3 && bad_column < 1e-6, "%s: the fused gradients: sums %.2g; dx and dr %.2g of the slack; columns %.2g",
     name_of[p], bad_sums, bad_dx, bad_column);
}

/* ---- dropout, fully connected, loss, update ---- */

static void test_dropout(precision p)
{
  const int shapes[][2] = { { 1, 1 }, { 3, 7 }, { 5, 64 }, { 2, 513 } };
  const int row[5] = { 9, 0, 77, 3, 2000 };
  const cuda_args args = { 0x123456789abcdefu, 7, 0, 0, 0, 0 };
  int bad = 0;
  for (int k = 0; k < 4; k++)
    for (int mode = 0; mode < 3; mode++) {             /* 1: added to; 2: p 0 */
      const int n = shapes[k][0], m = shapes[k][1];
      const double drop_p = mode == 2 ? 0 : 0.3;
      array x = drawn(p, (size_t)(n * m)), y = drawn(p, (size_t)(n * m));
      float *before = NEW(float, n * m);
      int *drow = copied(row, sizeof row);
      cuda_args *dargs = copied(&args, sizeof args);
      memcpy(before, y.h, y.n * sizeof(float));
      cuda_dropout(p, n, m, drop_p, 13, dargs, drow, x.d, mode == 1, y.d, 0), get(&y);
      for (int i = 0; i < n * m; i++) {
        const int j = i % m;
        const unsigned keep = drop_p > 0 ? dropout_keeps(drop_p, args.seed, 13, 7, (uint32_t)row[i / m], (uint32_t)(j / 4)) : 15;
        const double v = keep >> j % 4 & 1 ? x.h[i] / (1 - drop_p) : 0;
        bad += y.h[i] != rounded(p, (float)(mode == 1 ? before[i] + v : v));
      }
      drop(&x), drop(&y), cudaFree(drow), cudaFree(dargs), free(before);
    }
  ok(bad == 0, "%s: dropout, the mask of the other engines, to the bit (%d wrong)", name_of[p], bad);
}

static void test_fc(void)
{
  const int shapes[][3] = { { 1, 1, 1 }, { 2, 7, 3 }, { 5, 130, 6 }, { 32, 260, 9 }, { 33, 128, 4 }, { 40, 131, 13 }, { 65, 64, 5 },
                            { 3, 512, 33 } };
  const cuda_args args = { 0, 0, 0.3f, 0.9f, 0.01f, 0 };
  const float factor = 0.5f, decay = 0.7f;
  double bad = 0;
  cuda_args *dargs = copied(&args, sizeof args);
  float *dfactor = copied(&factor, sizeof factor);
  for (int k = 0; k < 8; k++)
    for (int mode = 0; mode < 3; mode++) {             /* 1: dx added to; 2: no dx */
      const int n = shapes[k][0], in = shapes[k][1], out = shapes[k][2];
      array x = drawn(FP32, (size_t)(n * in)), dy = drawn(FP32, (size_t)(n * out)), w = drawn(FP32, (size_t)(in * out)),
        v = drawn(FP32, (size_t)(in * out)), dx = drawn(FP32, (size_t)(n * in)), b = drawn(FP32, (size_t)out), y = poisoned(FP32, (size_t)(n * out));
      double *dw = NEW(double, in * out), *want = NEW(double, n * in), *forward = NEW(double, n * out);
      for (int i = 0; i < n * in; i++) want[i] = mode == 1 ? dx.h[i] : 0;
      for (int i = 0; i < n; i++)
        for (int o = 0; o < out; o++)
          for (int j = 0; j < in; j++)
            want[i * in + j] += (double)dy.h[i * out + o] * w.h[o * in + j], dw[o * in + j] += (double)dy.h[i * out + o] * x.h[i * in + j];
      for (int i = 0; i < in * out; i++) {
        const double velocity = args.momentum * v.h[i] - args.rate * factor * (dw[i] + args.l2 * decay * w.h[i]);
        v.h[i] = (float)velocity, dw[i] = w.h[i] + velocity;
      }
      double *velocity = NEW(double, in * out);
      for (int i = 0; i < in * out; i++) velocity[i] = v.h[i];
      cuda_fc_update(n, in, out, x.d, dy.d, dargs, dfactor, decay, w.d, v.d, mode == 1, mode == 2 ? none : dx.d, 0);
      get(&w), get(&v), get(&dx);
      bad = most(bad, most(worst(w.h, dw, w.n, 1), worst(v.h, velocity, v.n, 1)));
      if (mode < 2) bad = most(bad, worst(dx.h, want, dx.n, 1));
      for (int i = 0; i < n * out; i++) forward[i] = (double)dy.h[i] + b.h[i % out];
      if (mode) for (int i = 0; i < n * out; i++) forward[i] = forward[i] > 0 ? forward[i] : 0;
      cuda_fc_finish(n, out, dy.d, b.d, mode > 0, y.d, 0), get(&y);
      bad = most(bad, worst(y.h, forward, y.n, 1));
      drop(&x), drop(&dy), drop(&w), drop(&v), drop(&dx), drop(&b), drop(&y), free(dw), free(want), free(velocity), free(forward);
    }
  ok(bad < 1e-5, "fully connected: bias and ReLU; the update and the gradient in one pass, 1 to 65 images: %.2g", bad);
  cudaFree(dargs), cudaFree(dfactor);
}

static void test_loss(void)
{
  const int shapes[][2] = { { 1, 5 }, { 32, 5 }, { 600, 3 }, { 4, 1000 } };
  double bad = 0;
  int miscounted = 0;
  for (int k = 0; k < 4; k++)
    for (int mode = 0; mode < 3; mode++) {             /* 1: class weights, dz added to; 2: no labels */
      const int n = shapes[k][0], classes = shapes[k][1];
      array z = drawn(FP32, (size_t)(n * classes)), f = poisoned(FP32, z.n), dz = drawn(FP32, z.n), weight = drawn(FP32, (size_t)classes);
      int *label = NEW(int, n + 3), *row = NEW(int, n);
      double *prob = NEW(double, n * classes), *want = NEW(double, n * classes), loss = 0;
      int correct = 0;
      for (int i = 0; i < n + 3; i++) label[i] = (int)(word() % (uint32_t)classes);
      for (int i = 0; i < n; i++) row[i] = (i * 7 + 1) % (n + 3);
      for (size_t i = 0; i < z.n; i++) z.h[i] *= 30;
      put(&z);
      for (int i = 0; i < n; i++) {
        int best = 0, right = label[row[i]];
        double sum = 0, w = mode == 1 ? weight.h[right] : 1;
        const float *zi = z.h + i * classes;
        for (int j = 1; j < classes; j++) if (zi[j] > zi[best]) best = j;
        for (int j = 0; j < classes; j++) sum += exp((double)zi[j] - zi[best]);
        for (int j = 0; j < classes; j++) {
          prob[i * classes + j] = exp((double)zi[j] - zi[best]) / sum;
          want[i * classes + j] = (prob[i * classes + j] - (j == right)) * w / n + (mode == 1 ? dz.h[i * classes + j] : 0);
        }
        loss += w * (log(sum) - ((double)zi[right] - zi[best])) / n, correct += best == right;
      }
      int *dlabel = copied(label, sizeof(int) * (size_t)(n + 3)), *drow = copied(row, sizeof(int) * (size_t)n);
      cuda_result r, *dresult = (cuda_result *)device_memory(sizeof r);
      cudaMemset(dresult, 0xff, sizeof r);
      cuda_loss_forward(n, classes, z.d, mode == 2 ? NULL : dlabel, drow, mode == 1 ? weight.d : none, f.d, dresult, 0), get(&f);
      cudaMemcpy(&r, dresult, sizeof r, cudaMemcpyDeviceToHost);
      bad = most(bad, worst(f.h, prob, f.n, 1e-3));
      bad = most(bad, fabs(r.loss - (mode == 2 ? 0 : loss)) * 1e3), miscounted += r.correct != (mode == 2 ? 0 : correct);
      if (mode < 2) {
        cuda_loss_backward(n, classes, f.d, dlabel, drow, mode == 1 ? weight.d : none, mode == 1, dz.d, 0), get(&dz);
        bad = most(bad, worst(dz.h, want, dz.n, 1e-2));
      }
      drop(&z), drop(&f), drop(&dz), drop(&weight), cudaFree(dlabel), cudaFree(drow), cudaFree(dresult), free(label), free(row),
        free(prob), free(want);
    }
  ok(bad < 1e-6 && !miscounted, "softmax, loss, count and gradient, with and without labels and class weights: %.2g", bad);
}

static void test_update(void)
{
  const size_t counts[] = { 1, 5, 16, 4097, 9000 };
  const float factor[5] = { 1, 0, 0.5f, 2, 1 };
  const cuda_args args = { 0, 0, 0.1f, 0.9f, 0.05f, 0.75f }, off = { 0, 0, 0, 0, 0, 0 };
  cuda_args *dargs = copied(&args, sizeof args), *doff = copied(&off, sizeof off);
  sgd_piece piece[5];
  size_t end = 0;
  for (int k = 0; k < 5; k++) piece[k] = { end, counts[k], (float)(k % 2), k }, end += (counts[k] + 15) / 16 * 16;
  array w = drawn(FP32, end), g = drawn(FP32, end), v = drawn(FP32, end);
  double *w_want = NEW(double, end), *v_want = NEW(double, end), bad = 0;
  for (size_t i = 0; i < end; i++) w_want[i] = w.h[i], v_want[i] = v.h[i];
  for (int k = 0; k < 5; k++)
    for (size_t i = piece[k].offset; i < piece[k].offset + counts[k]; i++) {
      v_want[i] = args.momentum * v.h[i] - args.rate * factor[k] * (g.h[i] + args.l2 * piece[k].decay * w.h[i]);
      w_want[i] += v_want[i];
    }
  sgd_piece *dpiece = copied(piece, sizeof piece);
  float *dfactor = copied(factor, sizeof factor);
  cuda_sgd(5, dpiece, 9000, dargs, dfactor, w.d, g.d, v.d, 0), get(&w), get(&v);
  bad = most(worst(w.h, w_want, end, 1), worst(v.h, v_want, end, 1));
  ok(bad < 1e-6, "the update of five tensors, what lies between them untouched: %.2g", bad);
  array stat = drawn(FP32, 300), batch_stat = drawn(FP32, 300);
  double want[300], gathered[300];
  for (int i = 0; i < 300; i++) want[i] = 0.75 * stat.h[i] + 0.25 * batch_stat.h[i];
  cuda_move_statistics(300, dargs, batch_stat.d, stat.d, 0), cuda_move_statistics(300, doff, batch_stat.d, stat.d, 0), get(&stat);
  bad = worst(stat.h, want, 300, 1);
  for (int i = 0; i < 300; i++) gathered[i] = i * 0.5;
  double *dgathered = copied(gathered, sizeof gathered);
  cuda_join_statistics(150, 64, 32, batch_stat.d, dgathered, 0), cudaDeviceSynchronize();
  cudaMemcpy(want, dgathered, sizeof want, cudaMemcpyDeviceToHost);
  for (int i = 0; i < 150; i++) {
    const double delta = batch_stat.h[i] - gathered[i];
    gathered[i] += delta * 32 / 96, gathered[150 + i] += 32. * batch_stat.h[150 + i] + delta * delta * 64 * 32 / 96;
  }
  for (int i = 0; i < 300; i++) bad = most(bad, fabs(want[i] - gathered[i]) / (1 + fabs(gathered[i])));
  ok(bad < 1e-6, "statistics move and are joined: %.2g", bad);
  drop(&w), drop(&g), drop(&v), drop(&stat), drop(&batch_stat), free(w_want), free(v_want);
  cudaFree(dargs), cudaFree(doff), cudaFree(dpiece), cudaFree(dfactor), cudaFree(dgathered);
}

/* 47-ops-kernels [brief]: brief is fp32 alone, in the order that EMU_ORDER gives, for the runs with planted faults */
int main(int argc, char **)
{
  capability_or_bail();
  const char *given = getenv("EMU_ORDER");
  const int only = argc > 1 && given ? atoi(given) : 0;
  for (int order = 1; order >= -1; order -= 2) {
    if (only && order != only) continue;
    printf("# threads %s\n", order > 0 ? "forwards" : "backwards");
    setenv("EMU_ORDER", order > 0 ? "1" : "-1", 1);
    drawn_words = 0;
    for (precision p : { FP32, TF32, BF16 }) {
      if (argc > 1 && p != FP32) continue;
      test_gather(p), test_each(p), test_columns(p), test_statistics(p), test_norm(p), test_groups(p);
      test_pool(p), test_norm_pool(p), test_dropout(p);
    }
    test_finish_of_other_tiles(), test_fc(), test_loss(), test_update();
  }
  return done_testing();
}

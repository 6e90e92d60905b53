#include "cells/stain.h"
#include "base/rng.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* turn pixels to l, alpha, beta, and back */
static const double cones[3][3] = { { 0.3811, 0.5783, 0.0402 }, { 0.1967, 0.7244, 0.0782 }, { 0.0241, 0.1288, 0.8444 } };

static void times(const double m[3][3], const double x[3], double y[3])
{
  for (int i = 0; i < 3; i++) y[i] = m[i][0] * x[0] + m[i][1] * x[1] + m[i][2] * x[2];
}

/* out = the inverse of m, by its minors */
static void invert(const double m[3][3], double out[3][3])
{
  double whole = 0;
  for (int i = 0; i < 3; i++)
    for (int j = 0; j < 3; j++) {
      const int a = (j + 1) % 3, b = (j + 2) % 3, c = (i + 1) % 3, d = (i + 2) % 3;
      out[i][j] = m[a][c] * m[b][d] - m[a][d] * m[b][c];
    }
  for (int j = 0; j < 3; j++) whole += m[0][j] * out[j][0];
  for (int i = 0; i < 9; i++) out[i / 3][i % 3] /= whole;
}

static void to_lab(const uint8_t *rgb, double lab[3])
{
  const double x[3] = { rgb[0] ? rgb[0] : 1, rgb[1] ? rgb[1] : 1, rgb[2] ? rgb[2] : 1 };
  double s[3];
  times(cones, x, s);
  for (int i = 0; i < 3; i++) s[i] = log10(s[i]);
  lab[0] = (s[0] + s[1] + s[2]) / sqrt(3), lab[1] = (s[0] + s[1] - 2 * s[2]) / sqrt(6), lab[2] = (s[0] - s[1]) / sqrt(2);
}

static void to_rgb(const double back[3][3], const double lab[3], uint8_t *rgb)
{
  const double l = lab[0] / sqrt(3), a = lab[1] / sqrt(6), b = lab[2] / sqrt(2);
  const double s[3] = { pow(10, l + a + b), pow(10, l + a - b), pow(10, l - 2 * a) };
  double x[3];
  times(back, s, x);
  for (int i = 0; i < 3; i++) rgb[i] = x[i] <= 0 ? 0 : x[i] >= 255 ? 255 : (uint8_t)(x[i] + 0.5);
}

/* give the matrices to others */
void stain_matrices(double to_cones[3][3], double axes[3][3], double back[3][3])
{
  static const double rows[3][3] = { { 1, 1, 1 }, { 1, 1, -2 }, { 1, -1, 0 } };
  const double length[3] = { sqrt(3), sqrt(6), sqrt(2) };
  for (int i = 0; i < 9; i++) axes[i / 3][i % 3] = rows[i / 3][i % 3] / length[i / 3];
  memcpy(to_cones, cones, sizeof cones);
  invert(cones, back);
}

/* take mean and deviation of a picture */
typedef struct { double sum[3], square[3]; } sums;

static sums sum_up(const uint8_t *rgb, size_t n)
{
  sums s = { { 0 }, { 0 } };
  for (size_t i = 0; i < n; i++) {
    double lab[3];
    to_lab(rgb + 3 * i, lab);
    for (int c = 0; c < 3; c++) s.sum[c] += lab[c], s.square[c] += lab[c] * lab[c];
  }
  return s;
}

static stain of_sums(const sums *s, double n)
{
  stain k;
  for (int c = 0; c < 3; c++) {
    k.mean[c] = s->sum[c] / n;
    k.deviation[c] = sqrt(fmax(0, s->square[c] / n - k.mean[c] * k.mean[c]));
  }
  return k;
}

stain stain_of(const uint8_t *rgb, size_t n)
{
  const sums s = sum_up(rgb, n);
  return of_sums(&s, (double)n);
}

stain stain_of_cells(const uint8_t *pixels, const int *row, int cells, size_t each)
{
  sums *s = NEW(sums, cells), all = { { 0 }, { 0 } };
  #pragma omp parallel for schedule(static)
  for (int i = 0; i < cells; i++) s[i] = sum_up(pixels + 3 * each * (size_t)(row ? row[i] : i), each);
  for (int i = 0; i < cells; i++)
    for (int c = 0; c < 3; c++) all.sum[c] += s[i].sum[c], all.square[c] += s[i].square[c];
  free(s);
  return of_sums(&all, (double)cells * (double)each);
}

/* stretch each axis to another picture's */
static void match(uint8_t *rgb, size_t n, const stain *from, const stain *to, const double back[3][3])
{
  double gain[3];
  /* find by how much each axis is stretched */
  for (int c = 0; c < 3; c++) gain[c] = from->deviation[c] > STAIN_LEAST ? to->deviation[c] / from->deviation[c] : 1;
  for (size_t i = 0; i < n; i++) {
    double lab[3];
    to_lab(rgb + 3 * i, lab);
    for (int c = 0; c < 3; c++) lab[c] = gain[c] * (lab[c] - from->mean[c]) + to->mean[c];
    to_rgb(back, lab, rgb + 3 * i);
  }
}

/* match pictures, or sets of cells */

void stain_match(uint8_t *rgb, size_t n, const stain *from, const stain *to)
{
  double back[3][3];
  invert(cones, back);
  match(rgb, n, from, to, back);
}

void stain_match_cells(uint8_t *pixels, int cells, size_t each, bool whole, const stain *to)
{
  const stain all = whole ? stain_of_cells(pixels, NULL, cells, each) : *to;
  double back[3][3];
  invert(cones, back);
  #pragma omp parallel for schedule(static)
  for (int i = 0; i < cells; i++) {
    uint8_t *rgb = pixels + 3 * each * (size_t)i;
    const stain own = whole ? all : stain_of(rgb, each);
    match(rgb, each, &own, to, back);
  }
}

/* shake the colours of a cell */
void stain_shake(const uint8_t *rgb, size_t n, double strength, uint64_t seed, int epoch, int row, uint8_t *to)
{
  uint8_t table[3][256];
  rng r = rng_open(seed, RNG_COLOUR, (uint32_t)epoch, (uint32_t)row);
  for (int c = 0; c < 3; c++) {
    const double power = 1 + strength * (2 * rng_uniform(&r) - 1), light = 1 + strength / 4 * (2 * rng_uniform(&r) - 1);
    for (int x = 0; x < 256; x++) {
      const double y = 255 * light * pow(x / 255.0, power);
      table[c][x] = y >= 255 ? 255 : (uint8_t)(y + 0.5);
    }
  }
  for (size_t i = 0; i < 3 * n; i++) to[i] = table[i % 3][rgb[i]];
}

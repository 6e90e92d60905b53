/* Colours: Reinhard's axes against numbers worked out elsewhere, matching by what it promises, shaking by its formula. */
#include "cells/stain.h"
#include "tap.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { N = 4000 };

/* Pixels of some colours around a centre. */
static void paint(uint8_t *rgb, int r, int g, int b, unsigned seed)
{
  const int centre[3] = { r, g, b };
  for (int i = 0; i < 3 * N; i++) {
    seed = seed * 1664525 + 1013904223;
    rgb[i] = (uint8_t)(centre[i % 3] + (int)(seed >> 24) % 41 - 20);
  }
}

static bool near_all(const double *a, const double *b, double most)
{
  for (int c = 0; c < 3; c++) if (!(fabs(a[c] - b[c]) < most)) { printf("# %.6f is not %.6f\n", a[c], b[c]); return false; }
  return true;
}

static void axes(void)
{
  /* (200, 100, 50), with a calculator: L 136.06, M 115.69, S 59.92; logarithms 2.133731, 2.063296, 1.777572 */
  const uint8_t one[6] = { 200, 100, 50, 200, 100, 50 };
  const stain s = stain_of(one, 2);
  ok(near_all(s.mean, (const double[]){ 3.449436, 0.262048, 0.049805 }, 2e-5), "l, alpha and beta of a colour, worked out by hand");
  ok(near_all(s.deviation, (const double[]){ 0, 0, 0 }, 1e-6), "one colour has no spread");
  const uint8_t two[6] = { 255, 255, 255, 0, 0, 0 };
  const stain b = stain_of(two, 2);
  ok(isfinite(b.mean[0]) && fabs(b.deviation[0] - sqrt(3) * log10(255) / 2) < 1e-3, "black counts as 1 of 255: a finite spread of half of sqrt 3 log 255");
}

static void matching(void)
{
  static uint8_t a[3 * N], b[3 * N], c[3 * N];
  paint(a, 180, 90, 140, 1), paint(b, 120, 130, 190, 2);
  const stain of_a = stain_of(a, N), of_b = stain_of(b, N);
  memcpy(c, a, sizeof c), stain_match(c, N, &of_a, &of_a);
  ok(!memcmp(a, c, sizeof c), "what is matched to itself stays, to the last pixel");
  stain_match(c, N, &of_a, &of_b);
  const stain after = stain_of(c, N);
  ok(near_all(after.mean, of_b.mean, 2e-3) && near_all(after.deviation, of_b.deviation, 2e-3), "what is matched has the other's means and deviations");
  ok(memcmp(c, a, sizeof c), "and is another picture");
  /* two cells, each by itself and both as a whole */
  static uint8_t pair[6 * N];
  memcpy(pair, a, sizeof a), memcpy(pair + 3 * N, b, sizeof b);
  const stain all = stain_of_cells(pair, NULL, 2, N);
  ok(fabs(all.mean[1] - (of_a.mean[1] + of_b.mean[1]) / 2) < 1e-9, "the mean of two cells is the mean of their means");
  const int row[1] = { 1 };
  const stain second = stain_of_cells(pair, row, 1, N);
  ok(near_all(second.mean, of_b.mean, 1e-12), "rows choose the cells");
  stain_match_cells(pair, 2, N, true, &all);
  ok(!memcmp(pair, a, sizeof a) && !memcmp(pair + 3 * N, b, sizeof b), "as a whole, two cells matched to what they are together stay different");
  stain_match_cells(pair, 2, N, false, &all);
  const stain x = stain_of(pair, N), y = stain_of(pair + 3 * N, N);
  ok(near_all(x.mean, y.mean, 3e-3), "each by itself, they come to one colour");
  uint8_t plain[6] = { 10, 200, 30, 10, 200, 30 };
  const stain of_plain = stain_of(plain, 2);
  stain_match(plain, 2, &of_plain, &of_b);
  ok(plain[0] == plain[3] && plain[1] == plain[4], "one colour becomes one colour");
}

static void shaking(void)
{
  static uint8_t a[3 * 256], b[3 * 256], c[3 * 256];
  for (int i = 0; i < 3 * 256; i++) a[i] = (uint8_t)(i / 3);
  stain_shake(a, 256, 0, 1, 1, 1, b);
  ok(!memcmp(a, b, sizeof b), "a strength of 0 leaves a cell as it is");
  stain_shake(a, 256, 0.3, 1, 1, 1, b), stain_shake(a, 256, 0.3, 1, 1, 1, c);
  ok(!memcmp(b, c, sizeof b) && memcmp(a, b, sizeof b), "seed, epoch and row decide");
  int same = 0;
  stain_shake(a, 256, 0.3, 2, 1, 1, c), same += !memcmp(b, c, sizeof b);
  stain_shake(a, 256, 0.3, 1, 2, 1, c), same += !memcmp(b, c, sizeof b);
  stain_shake(a, 256, 0.3, 1, 1, 2, c), same += !memcmp(b, c, sizeof b);
  ok(same == 0, "each of them");
  bool within = true, rises = true;
  double low = 9, high = 0;
  for (int row = 0; row < 400; row++) {
    stain_shake(a, 256, 0.4, 7, 3, row, c);
    for (int k = 0; k < 3; k++) {
      const double light = c[3 * 255 + k] / 255.0, power = log(c[3 * 64 + k] / 255.0 / light) / log(64 / 255.0);
      if (c[3 * 255 + k] < 255) within &= light > 0.897 && power > 0.58 && power < 1.42, low = fmin(low, power), high = fmax(high, power);
      for (int i = 1; i < 256; i++) rises &= c[3 * i + k] >= c[3 * (i - 1) + k];
    }
  }
  ok(within && rises && low < 0.65 && high > 1.35, "light by up to 10 %%, density by up to 40 %% (%.2f to %.2f); what is lighter stays lighter", low, high);
}

int main(void)
{
  axes(), matching(), shaking();
  return done_testing();
}

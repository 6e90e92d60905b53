/* 65-classical.c: segmentation against the drawn cells' masks; outlines and cuts against circles; LDA and logistic regression against
   closed forms. */
#include "tap.h"
#include "classical/lda.h"
#include "classical/logistic.h"
#include "classical/measure.h"
#include "base/rng.h"
#include "cells/synth.h"
#include "cells/dataset.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SIDE = 70, EACH = 40 };

/* ---- segmentation ---- */

/* Sorensen-Dice of the nucleus and of the whole cell, mean over EACH cells of a class. Neighbours that the scene has at the crop's
   border are in its mask too, so the measure is on the hard side. */
static void dice(int class, double out[2])
{
  const synth_style *style = &synth_styles[0];
  uint8_t mask[SIDE * SIDE];
  out[0] = out[1] = 0;
  for (int i = 0; i < EACH; i++) {
    smear *scene = synth_scene(style, 65, (uint32_t)(class * 1000 + i), &class, 1, SIDE, SIDE);
    image p = synth_view(scene, style, 65, (uint32_t)i, 0, 0, SIDE, SIDE, mask);
    segmentation *s = segment_cell(p.rgb, SIDE, SIDE);
    for (int whole = 0; whole < 2; whole++) {
      double both = 0, sum = 0;
      for (int k = 0; k < SIDE * SIDE; k++) {
        int a = whole ? mask[k] > 0 : mask[k] == 255, b = whole ? s->region[k] != OUTSIDE : s->region[k] == NUCLEUS;
        both += a && b, sum += a + b;
      }
      out[whole] += 2 * both / sum / EACH;
    }
    segmentation_free(s), image_free(&p), free(scene);
  }
}

static void check_segmentation(void)
{
  const double share[CLASSES] = { 1412, 83, 10, 517, 142 };
  double d[2], all[2] = {0}, least[CLASSES] = { 0.93, 0.93, 0.60, 0.90, 0.90 };
  for (int c = 0; c < CLASSES; c++) {
    dice(c, d);
    for (int k = 0; k < 2; k++) all[k] += share[c] / 2164 * d[k];
    ok(d[0] >= least[c], "%s: nucleus Dice %.3f, at least %.2f%s", class_names[c], d[0], least[c], c == 2 ? " (granules hide it)" : "");
    ok(d[1] >= 0.85, "%s: whole cell Dice %.3f, at least 0.85", class_names[c], d[1]);
  }
  ok(all[0] >= 0.90, "nucleus Dice %.3f over the classes as the paper has them, at least 0.90; whole cell %.3f", all[0], all[1]);
}

/* A picture of a disc of nucleus colour in a disc of cytoplasm on an empty slide has areas that are known. */
static void check_discs(void)
{
  image m = image_new(SIDE, SIDE);
  const uint8_t slide[3] = { 240, 232, 224 }, pale[3] = { 205, 180, 205 }, dark[3] = { 80, 40, 130 };
  for (int y = 0; y < SIDE; y++)
    for (int x = 0; x < SIDE; x++) {
      double r = hypot(y + 0.5 - 35, x + 0.5 - 35);
      memcpy(m.rgb + 3 * (y * SIDE + x), r < 10 ? dark : r < 20 ? pale : slide, 3);
    }
  segmentation *s = segment_cell(m.rgb, SIDE, SIDE);
  int area[3] = {0};
  for (int k = 0; k < SIDE * SIDE; k++) area[s->region[k]]++;
  ok(abs(area[NUCLEUS] - 314) < 20, "a disc of radius 10 has a nucleus of %d pixels, 314 in truth", area[NUCLEUS]);
  ok(abs(area[NUCLEUS] + area[CYTOPLASM] - 1257) < 65, "its cell of radius 20 has %d pixels, 1257 in truth", area[NUCLEUS] + area[CYTOPLASM]);
  measures a = measure_cell(s, NULL, NULL);
  for (int f = 0; f < a.n; f++) {
    if (!strcmp(a.name[f], "nucleus lobes")) ok(a.value[f] == 1, "it has one lobe");
    if (!strcmp(a.name[f], "nucleus form factor")) ok(fabs(a.value[f] - 1) < 0.03, "form factor %.3f, a disc's is 1", a.value[f]);
    if (!strcmp(a.name[f], "nucleus solidity")) ok(fabs(a.value[f] - 1) < 0.03, "solidity %.3f, a disc's is 1", a.value[f]);
    if (!strcmp(a.name[f], "nucleus spread")) ok(fabs(a.value[f] - 1) < 0.03, "spread %.3f, a disc's is 1", a.value[f]);
  }
  segmentation_free(s);
  image_free(&m);
}

/* A nucleus of radius 8 in a cell of the given radius, and a second pale disc that touches the cell at a narrow place. */
static int cell_area(double radius, double other)
{
  image m = image_new(SIDE, SIDE);
  const uint8_t slide[3] = { 240, 232, 224 }, pale[3] = { 205, 180, 205 }, dark[3] = { 80, 40, 130 };
  for (int y = 0; y < SIDE; y++)
    for (int x = 0; x < SIDE; x++) {
      double r = hypot(y + 0.5 - 35, x + 0.5 - 35), q = hypot(y + 0.5 - 35, x + 0.5 - (35 + radius + other));
      memcpy(m.rgb + 3 * (y * SIDE + x), r < 8 ? dark : r < radius || q < other ? pale : slide, 3);
    }
  segmentation *s = segment_cell(m.rgb, SIDE, SIDE);
  int area = 0;
  for (int k = 0; k < SIDE * SIDE; k++) area += s->region[k] != OUTSIDE;
  segmentation_free(s), image_free(&m);
  return area;
}

static void check_cells(void)
{
  int large = cell_area(30, 0), touched = cell_area(16, 9);
  ok(fabs(large / (M_PI * 900) - 1) < 0.06, "a cell that fills most of the crop has %d pixels, %.0f in truth", large, M_PI * 900);
  ok(fabs(touched / (M_PI * 256) - 1) < 0.12, "a cell that another touches has %d pixels, %.0f in truth", touched, M_PI * 256);
}

/* Empty, uniform, noisy and tiny pictures: no crash, every number finite. */
static void check_odd_pictures(void)
{
  const int size[][2] = { { 70, 70 }, { 16, 16 }, { 9, 31 }, { 150, 40 } };
  for (int k = 0; k < 4; k++) {
    bool finite = true;
    int h = size[k][0], w = size[k][1];
    uint8_t *rgb = NEW(uint8_t, 3 * h * w);
    for (int kind = 0; kind < 5; kind++) {
      rng r = rng_open(65, RNG_SYNTH, (uint32_t)k, (uint32_t)kind);
      for (int i = 0; i < 3 * h * w; i++)
        rgb[i] = (uint8_t)(kind == 0 ? 0 : kind == 1 ? 255 : kind == 2 ? (int)rng_below(&r, 256) : kind == 3 ? (i / 3 % w) * 255 / w : (i / 3 % 2) * 255);
      segmentation *s = segment_cell(rgb, h, w);
      measures m = measure_cell(s, NULL, NULL);
      for (int f = 0; f < m.n; f++) finite &= isfinite(m.value[f]) != 0;
      segmentation_free(s);
    }
    ok(finite, "black, white, noise, ramp and stripes of %d x %d give finite numbers", h, w);
    free(rgb);
  }
}

/* ---- outlines ---- */

static outline *disc_outline(double radius, int *area)
{
  uint8_t *mask = NEW(uint8_t, 100 * 100);
  int first = -1;
  *area = 0;
  for (int i = 0; i < 100 * 100; i++) {
    mask[i] = hypot(i / 100 + 0.5 - 50, i % 100 + 0.5 - 50) < radius;
    if (mask[i] && first < 0) first = i;
    *area += mask[i];
  }
  outline *o = outline_trace(mask, 100, 100, first, 2);
  free(mask);
  return o;
}

static void check_circle(void)
{
  int area;
  outline *o = disc_outline(30, &area);
  double mean = 0, low = INFINITY;
  for (int i = 0; i < o->n; i++) mean += o->curvature[i] / o->n, low = fmin(low, o->curvature[i]);
  ok(fabs(outline_area(o) / (M_PI * 900) - 1) < 0.02, "a disc of radius 30: area %.0f, %.0f in truth", outline_area(o), M_PI * 900);
  ok(fabs(outline_length(o) / (60 * M_PI) - 1) < 0.03, "length %.1f, %.1f in truth", outline_length(o), 60 * M_PI);
  ok(fabs(mean * 30 - 1) < 0.05, "mean curvature %.4f, %.4f in truth", mean, 1 / 30.0);
  lobe_split s = outline_split(o);
  ok(s.lobes == 1, "nothing to cut");
  outline_free(o);
  point square[6] = { { 0, 0 }, { 4, 0 }, { 4, 3 }, { 2, 1 }, { 0, 3 }, { 2, 2 } };
  ok(hull_area(square, 6) == 12, "the rubber band around a square with a dent holds 12");
}

/* Two discs of radius r with centres d apart, as points on the union's outline. */
static int two_discs(double r, double d, point *p)
{
  double half = acos(d / 2 / r);
  int n = 0;
  for (int side = 0; side < 2; side++)
    for (int i = 0; i < 100; i++) {
      double t = half + (2 * M_PI - 2 * half) * (i + 0.5) / 100 + (side ? M_PI : 0);
      p[n++] = (point){ 100 + (side ? d / 2 : -d / 2) + r * cos(t), 100 + r * sin(t) };
    }
  return n;
}

static void check_cut(void)
{
  point p[200];
  const double r = 20, d = 20 * sqrt(2);
  outline *o = outline_of(p, two_discs(r, d, p), 1);
  lobe_split s = outline_split(o);
  ok(s.lobes == 2, "two discs that overlap are two lobes");
  double chord = 2 * sqrt(r * r - d * d / 4), cut = hypot(s.cut[0].a.x - s.cut[0].b.x, s.cut[0].a.y - s.cut[0].b.y);
  ok(fabs(cut / chord - 1) < 0.06, "the cut is %.2f long, their common chord %.2f", cut, chord);
  ok(fabs(s.cut[0].a.x - 100) < 1 && fabs(s.cut[0].b.x - 100) < 1, "and lies on it");
  double lobe = M_PI * r * r - (r * r * acos(d / 2 / r) - d / 2 * sqrt(r * r - d * d / 4));
  ok(fabs(s.area[0] / lobe - 1) < 0.03 && fabs(s.area[1] / lobe - 1) < 0.03, "lobes of %.0f and %.0f, %.0f in truth", s.area[0], s.area[1], lobe);
  ok(fabs(s.cut[0].neck - 0.74) < 0.05, "its neck is %.2f, 0.74 as the book says", s.cut[0].neck);
  outline_free(o);
  o = outline_of(p, two_discs(r, 8, p), 1);
  s = outline_split(o);
  ok(s.lobes == 1, "two discs that nearly coincide are one");
  outline_free(o);
}

/* ---- linear discriminants ---- */

/* Two Gaussians with one covariance S: w1 - w0 = S^-1 (m1 - m0), and the border lies half way where the shares are equal. The sample
   is made so that its moments are exact: corners +-L e_j of S = L L'. */
static void check_lda(void)
{
  const double m[2][2] = { { 1, 2 }, { 3, 1 } }, L[2][2] = { { 2, 0 }, { 0.5, 1 } };
  double x[8][2], p[3];
  int label[8], row[8];
  for (int i = 0; i < 8; i++) {
    int k = i / 4, j = i / 2 % 2, sign = i % 2 ? -1 : 1;
    label[i] = k, row[i] = i;
    for (int f = 0; f < 2; f++) x[i][f] = m[k][f] + sign * L[f][j];
  }
  /* S = 2 * 2 L L' / (8 - 2) = 2/3 [[4, 1], [1, 1.25]];  S^-1 = 3/2 * 1/4 [[1.25, -1], [-1, 4]];  m1 - m0 = (2, -1). */
  const double truth[2] = { 1.5 / 4 * (1.25 * 2 + 1), 1.5 / 4 * (-2 - 4) };
  if (lda_why_off()) { skip(lda_why_off()); return; }
  lda *l = lda_fit(&x[0][0], label, row, 8, 2, 2, 0);
  for (int f = 0; f < 2; f++)
    ok(fabs(l->w[2 + f] - l->w[f] - truth[f]) < 1e-12, "w%d = %.6f, by hand %.6f", f, l->w[2 + f] - l->w[f], truth[f]);
  const double middle[2] = { 2, 1.5 };
  lda_posterior(l, middle, p);
  ok(fabs(p[0] - 0.5) < 1e-12, "half way between the means the posterior is a half");
  lda_free(l);
  l = lda_fit(&x[0][0], label, row, 6, 2, 3, 0.1);     /* four of one class, two of the other, none of a third */
  ok(l->b[2] == -INFINITY, "a class without cells has no share");
  lda_posterior(l, middle, p);
  ok(p[2] == 0 && fabs(p[0] + p[1] - 1) < 1e-12, "and posterior 0");
  lda_free(l);
}

static void check_lda_odd(void)
{
  double x[6][3], p[3], swapped[3];
  int label[6] = { 0, 0, 0, 1, 1, 1 }, row[6] = { 0, 1, 2, 3, 4, 5 };
  const double v[6] = { 1, 2, 4, 6, 8, 9 };
  if (lda_why_off()) { skip(lda_why_off()); return; }
  for (int i = 0; i < 6; i++) x[i][0] = v[i] * 1e6, x[i][1] = 7, x[i][2] = -v[i] * v[i];
  lda *l = lda_fit(&x[0][0], label, row, 6, 3, 2, 0.01);
  ok(l->w[1] == 0 && l->w[4] == 0, "a measurement that is the same in all cells gets no weight");
  lda_posterior(l, x[0], p);
  ok(p[0] > 0.5, "a cell of the first class is told");
  for (int i = 0; i < 6; i++) label[i] = !label[i];
  lda *other = lda_fit(&x[0][0], label, row, 6, 3, 2, 0.01);
  lda_posterior(other, x[0], swapped);
  ok(fabs(p[0] - swapped[1]) < 1e-12, "names of classes do not matter");
  lda_free(l), lda_free(other);
}

/* ---- logistic regression ---- */

/* x = +-1 with the labels 1, 0 and features already standardised: by symmetry w1 = -w0 = w and b = 0, where
   l2 w (1 + e^2w) = 1. With l2 = 1 / (1 + e^2), w = 1. */
static void check_symmetric(void)
{
  const double x[4] = { 1, -1, 1, -1 };
  const int label[4] = { 1, 0, 1, 0 }, row[4] = { 0, 1, 2, 3 };
  logistic *l = logistic_fit(x, label, row, 4, 1, 2, 1 / (1 + exp(2)), NULL, 1e-10, 200);
  ok(fabs(l->w[1] - 1) < 1e-8 && fabs(l->w[0] + 1) < 1e-8, "w = %.9f and %.9f, by hand 1 and -1", l->w[1], l->w[0]);
  ok(fabs(l->w[2] - l->w[3]) < 1e-8, "no bias is left");
  ok(l->slope <= 1e-10, "the gradient is zero there: %.1e", l->slope);
  logistic_free(l);
}

/* Where the features say nothing, the posterior is the classes' shares. */
static void check_shares(void)
{
  double x[10][2], p[3];
  int label[10] = { 0, 0, 0, 0, 0, 1, 1, 1, 2, 2 }, row[10];
  for (int i = 0; i < 10; i++) x[i][0] = 5, x[i][1] = -1, row[i] = i;
  logistic *l = logistic_fit(&x[0][0], label, row, 10, 2, 3, 0.1, NULL, 1e-9, 200);
  logistic_posterior(l, x[0], p);
  ok(fabs(p[0] - 0.5) < 1e-8 && fabs(p[1] - 0.3) < 1e-8 && fabs(p[2] - 0.2) < 1e-8, "constant features: p = %.6f %.6f %.6f", p[0], p[1], p[2]);
  logistic_free(l);
}

/* The optimum is one: another start finds it too, and no weight moved by a little gives a smaller loss. */
static void check_optimum(void)
{
  enum { N = 200, F = 6, K = 4 };
  double *x = NEW(double, N * F), p[K];
  int label[N], row[N];
  rng r = rng_open(65, RNG_SYNTH, 1, 2);
  for (int i = 0; i < N; i++) {
    label[i] = i % K, row[i] = i;
    for (int f = 0; f < F; f++) x[i * F + f] = 3 * rng_normal(&r) + (f == label[i] ? 2 : 0) + 10 * f;
  }
  logistic *a = logistic_fit(x, label, row, N, F, K, 0.01, NULL, 1e-9, 500);
  logistic *start = logistic_fit(x, label, row, N / 2, F, K, 1, NULL, 1e-9, 500), *b = logistic_fit(x, label, row, N, F, K, 0.01, start, 1e-9, 500);
  logistic *begun = logistic_fit(x, label, row, N, F, K, 0.01, start, 1e-9, 0);
  double most = 0, q[K];
  for (int i = 0; i < N; i++) {
    logistic_posterior(start, x + i * F, p), logistic_posterior(begun, x + i * F, q);
    for (int k = 0; k < K; k++) most = fmax(most, fabs(p[k] - q[k]));
  }
  ok(most < 1e-9, "a start says what it said, though features are standardised anew: %.1e", most);
  logistic_free(begun), most = 0;
  for (int i = 0; i < K * F; i++) most = fmax(most, fabs(a->w[i] - b->w[i]));
  ok(most < 1e-6, "two starts, one optimum: weights differ by %.1e", most);
  logistic *again = logistic_fit(x, label, row, N, F, K, 0.01, NULL, 1e-9, 500);
  ok(!memcmp(a->w, again->w, sizeof(double) * K * (F + 1)), "the same bits twice");
  bool lowest = true;
  for (int i = 0; i < K * (F + 1); i++)
    for (int sign = -1; sign <= 1; sign += 2) {
      double keep = a->w[i], J = 0;
      a->w[i] += sign * 1e-3;
      for (int k = 0; k < N; k++) logistic_posterior(a, x + k * F, p), J -= log(p[label[k]]) / N;
      for (int k = 0; k < K * F; k++) J += 0.01 / 2 * a->w[k] * a->w[k];
      lowest &= J >= a->loss - 1e-12, a->w[i] = keep;
    }
  ok(lowest, "no weight that is moved by 0.001 lowers the loss");
  logistic_free(a), logistic_free(b), logistic_free(start), logistic_free(again), free(x);
}

int main(void)
{
  check_discs();
  check_cells();
  check_segmentation();
  check_odd_pictures();
  check_circle();
  check_cut();
  check_lda();
  check_lda_odd();
  check_symmetric();
  check_shares();
  check_optimum();
  return done_testing();
}

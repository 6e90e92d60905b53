#include "cells/dataset.h"
#include "base/options.h"
#include "base/rng.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* measure a cell */
enum { MEAN_R, MEAN_G, MEAN_B, SPREAD, AROUND, SHARP, DARK, RAGGED, FEATURES };

static double brightness(const uint8_t *p) { return (p[0] + p[1] + p[2]) / 3.0; }

static bool in_disc(int y, int x, int h, int w)
{
  double v = (y + 0.5) / h - 0.5, u = (x + 0.5) / w - 0.5;
  return u * u + v * v < 0.36 * 0.36;
}

static void measure_light(const uint8_t *rgb, int h, int w, double f[FEATURES])      /* rgb (H, W, 3) */
{
  double n = 0, square = 0, outside = 0;
  memset(f, 0, sizeof(double) * FEATURES);
  for (int y = 0; y + 1 < h; y++)
    for (int x = 0; x + 1 < w; x++) {
      const uint8_t *p = rgb + 3 * ((size_t)y * (size_t)w + (size_t)x);
      double b = brightness(p);
      if (!in_disc(y, x, h, w)) { f[AROUND] += b, outside++; continue; }
      for (int c = 0; c < 3; c++) f[c] += p[c];
      f[SHARP] += fabs(brightness(p + 3) - b) + fabs(brightness(p + 3 * w) - b);
      square += b * b, n++;
    }
  for (int c = 0; c < 3; c++) f[c] /= fmax(1, n);
  double mean = (f[0] + f[1] + f[2]) / 3;
  f[SPREAD] = sqrt(fmax(0, square / fmax(1, n) - mean * mean));
  f[AROUND] /= fmax(1, outside), f[SHARP] /= fmax(1, n);
}

static void measure_nucleus(const uint8_t *rgb, int h, int w, double f[FEATURES])
{
  double limit = (f[0] + f[1] + f[2]) / 3 - f[SPREAD] / 2, sides = 0;
  for (int y = 0; y + 1 < h; y++)
    for (int x = 0; x + 1 < w; x++) {
      const uint8_t *p = rgb + 3 * ((size_t)y * (size_t)w + (size_t)x);
      if (!in_disc(y, x, h, w)) continue;
      bool dark = brightness(p) < limit;
      bool right = brightness(p + 3) < limit, below = brightness(p + 3 * w) < limit;
      f[DARK] += dark, sides += (dark != right) + (dark != below);
    }
  f[RAGGED] = sides * sides / fmax(1, f[DARK]), f[DARK] /= h * w;
}

/* rank the cells of a class */
typedef struct { int cell; double f[FEATURES], score; } candidate;

static int by_number(const void *a, const void *b)
{
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static int by_score(const void *a, const void *b)
{
  const candidate *x = a, *y = b;
  if (x->score != y->score) return x->score < y->score ? -1 : 1;
  return (x->cell > y->cell) - (x->cell < y->cell);
}

static void score(candidate *k, int n)
{
  double *v = NEW(double, n);
  for (int j = 0; j < FEATURES; j++) {
    for (int i = 0; i < n; i++) v[i] = k[i].f[j];
    qsort(v, (size_t)n, sizeof *v, by_number);
    double median = v[n / 2], deviation = 1e-9;
    for (int i = 0; i < n; i++) deviation += fabs(v[i] - median) / n;
    for (int i = 0; i < n; i++) {
      double z = (k[i].f[j] - median) / deviation;
      k[i].score += fabs(z) - (j == SHARP ? 2 * z : 0);
    }
  }
  free(v);
}

/* `wanted` of the most typical cells of class c, drawn by the seed; returns how many there are. */
static int pick_cells(const dataset *ds, int c, uint64_t seed, int wanted, int *cell)
{
  candidate *k = NEW(candidate, ds->n);
  size_t bytes = (size_t)ds->h * (size_t)ds->w * 3;
  int n = 0;
  for (int i = 0; i < ds->n; i++)
    if (ds->label[i] == c) {
      const uint8_t *rgb = ds->pixels + (size_t)i * bytes;
      k[n].cell = i, measure_light(rgb, ds->h, ds->w, k[n].f), measure_nucleus(rgb, ds->h, ds->w, k[n++].f);
    }
  score(k, n);
  qsort(k, (size_t)n, sizeof *k, by_score);
  int pool = n / 8 > wanted ? n / 8 : wanted < n ? wanted : n, *order = NEW(int, pool);
  for (int i = 0; i < pool; i++) order[i] = k[i].cell;
  rng r = rng_open(seed, RNG_SUBSET, 1, (uint32_t)c);
  rng_shuffle(&r, order, pool);
  int got = wanted < pool ? wanted : pool;
  memcpy(cell, order, sizeof(int) * (size_t)got);
  free(k), free(order);
  return got;
}

/* paste the mosaic */
static void paste(image *sheet, const image *m, int y, int x)
{
  size_t row = 3 * (size_t)m->w;
  for (int i = 0; i < m->h; i++)
    memcpy(sheet->rgb + 3 * ((size_t)(y + i) * (size_t)sheet->w + (size_t)x), m->rgb + (size_t)i * row, row);
}

/* The pixel at (y, x) and channel c, or the nearest one inside. */
static double pixel(const image *m, int y, int x, int c)
{
  y = y < 0 ? 0 : y < m->h ? y : m->h - 1, x = x < 0 ? 0 : x < m->w ? x : m->w - 1;
  return m->rgb[3 * ((size_t)y * (size_t)m->w + (size_t)x) + (size_t)c];
}

/* Weights of pixels -1, 0, 1, 2 at t in [0, 1) behind pixel 0. */
static void cubic(double t, double k[4])
{
  k[0] = t * (-0.5 + t * (1 - 0.5 * t)), k[1] = 1 + t * t * (-2.5 + 1.5 * t);
  k[2] = t * (0.5 + t * (2 - 1.5 * t)), k[3] = t * t * (-0.5 + 0.5 * t);
}

static image enlarge(const image *m, int scale)
{
  image out = image_new(m->h * scale, m->w * scale);
  for (int i = 0; i < out.h; i++)
    for (int j = 0; j < out.w; j++) {
      double v = (i + 0.5) / scale - 0.5, u = (j + 0.5) / scale - 0.5, ky[4], kx[4];
      int y = (int)floor(v), x = (int)floor(u);
      cubic(v - y, ky), cubic(u - x, kx);
      for (int c = 0; c < 3; c++) {
        double sum = 0.5;
        size_t at = 3 * ((size_t)i * (size_t)out.w + (size_t)j) + (size_t)c;
        for (int a = 0; a < 4; a++)
          for (int b = 0; b < 4; b++) sum += ky[a] * kx[b] * pixel(m, y + a - 1, x + b - 1, c);
        out.rgb[at] = (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
      }
    }
  return out;
}

static image make_mosaic(const dataset *ds, uint64_t seed, int each, int scale, int gap, bool across,
                         builder *chosen)
{
  int h = ds->h * scale, w = ds->w * scale, rows = across ? each : ds->classes;
  int columns = across ? ds->classes : each;
  image sheet = image_new(rows * h + (rows - 1) * gap, columns * w + (columns - 1) * gap);
  memset(sheet.rgb, 255, 3 * (size_t)sheet.h * (size_t)sheet.w);
  int *cell = NEW(int, each);
  for (int c = 0; c < ds->classes; c++) {
    int n = pick_cells(ds, c, seed, each, cell);
    for (int i = 0; i < n; i++) {
      image one = { ds->h, ds->w, ds->pixels + (size_t)cell[i] * 3 * (size_t)ds->h * (size_t)ds->w };
      image big = enlarge(&one, scale);
      paste(&sheet, &big, (across ? i : c) * (h + gap), (across ? c : i) * (w + gap));
      build(chosen, "%s\n", ds->file[cell[i]]);
      image_free(&big);
    }
  }
  free(cell);
  return sheet;
}

/* run the samples subcommand */
/* wbcsnet samples D --out FILE.png: the cells of Fig. 1; prints the files it shows. */
int cmd_samples(int argc, char **argv)
{
  const char *folder = NULL, *out = NULL;
  int each = 1, scale = 4, words;
  uint64_t seed = 1;
  bool across = false;
  const option table[] = {
    { "out", OPTION_TEXT, &out, "FILE.png", "where the mosaic goes" },
    { "per-class", OPTION_INT, &each, "CELLS", "cells of each class (default 1)" },
    { "scale", OPTION_INT, &scale, "TIMES", "enlarge each pixel so many times, smoothly (default 4)" },
    { "seed", OPTION_SEED, &seed, "NUMBER", "which of the typical cells (default 1)" },
    { "across", OPTION_FLAG, &across, NULL, "a column for each class instead of a row" },
    { 0 }
  };
  options_read(argc, argv, table, "samples D --out FILE.png [flags]", "A mosaic of typical cells of a data set.",
               "  wbcsnet samples build/data/drawn1 --out samples.png --per-class 6\n", &folder, &words, 1);
  if (!words) die(EXIT_USAGE, "samples", "no folder", "D, a data set", "wbcsnet synth or import makes one");
  if (!out) die(EXIT_USAGE, "--out", "no value", "FILE.png", NULL);
  if (strlen(out) < 5 || strcasecmp(out + strlen(out) - 4, ".png"))
    die(EXIT_USAGE, "--out", say("'%s'", out), "FILE.png", "the mosaic is written as PNG");
  if (each < 1 || each > 100) die(EXIT_USAGE, "--per-class", say("%d", each), "1 to 100", NULL);
  if (scale < 1 || scale > 16) die(EXIT_USAGE, "--scale", say("%d", scale), "1 to 16", NULL);
  dataset *ds = dataset_load(folder, 0, 0);
  builder chosen = {0};
  image sheet = make_mosaic(ds, seed, each, scale, scale * 2, across, &chosen);
  image_write_png(out, &sheet);
  char *text = built(&chosen, NULL);
  fputs(text, stdout);
  image_free(&sheet), free(text);
  dataset_free(ds);
  return 0;
}

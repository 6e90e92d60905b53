#include "classical/segment.h"
#include "base/pieces.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* turn light into density */
static int percentile(const uint8_t *v, int n, int step, double share)
{
  int count[256] = {0}, at = 0;
  for (int i = 0; i < n; i++) count[v[(size_t)i * (size_t)step]]++;
  for (int below = count[0]; at < 255 && below < share * n; ) below += count[++at];
  return at;
}

/* n values of a, `step` apart, to b: each the mean of itself, twice, and its two neighbours. */
static void blur_line(const float *a, int n, int step, float *b)
{
  for (int i = 0; i < n; i++) {
    const float *p = a + i * step;
    b[i * step] = (p[i ? -step : 0] + 2 * *p + p[i + 1 < n ? step : 0]) / 4;
  }
}

static void blur(float *a, int h, int w, int times)  /* a (H, W) in place */
{
  float *b = NEW(float, h * w);
  for (int t = 0; t < times; t++) {
    for (int y = 0; y < h; y++) blur_line(a + y * w, w, 1, b + y * w);
    for (int x = 0; x < w; x++) blur_line(b + x, h, w, a + x);
  }
  free(b);
}

static void take_density(segmentation *s, const uint8_t *rgb)
{
  int n = s->h * s->w;
  float table[3][256];
  for (int c = 0; c < 3; c++) {
    int light = percentile(rgb + c, n, 3, 0.9);
    for (int v = 0; v < 256; v++) table[c][v] = (float)log((light + 1.0) / (v + 1));
  }
  for (int i = 0; i < n; i++) {
    float *d = s->density + 3 * (size_t)i;
    for (int c = 0; c < 3; c++) d[c] = table[c][rgb[3 * (size_t)i + (size_t)c]];
    s->stain[i] = d[0] / 2 + d[1] - d[2];
  }
  blur(s->stain, s->h, s->w, (int)ceil(s->unit));
}

/* find a threshold */
enum { BINS = 256 };

/* Otsu's threshold of v[i] where use[i] (NULL: everywhere); INFINITY where all are equal. */
static float otsu(const float *v, const uint8_t *use, int n)
{
  double count[BINS] = {0}, all = 0, sum = 0, below = 0, part = 0, best = 0;
  float low = INFINITY, high = -INFINITY, at = INFINITY;
  for (int i = 0; i < n; i++)
    if (!use || use[i]) low = fminf(low, v[i]), high = fmaxf(high, v[i]);
  if (!(high > low)) return at;
  for (int i = 0; i < n; i++) {
    if (use && !use[i]) continue;
    int bin = (int)((v[i] - low) / (high - low) * (BINS - 1));
    count[bin]++, all++, sum += bin;
  }
  /* try each place of the cut */
  for (int bin = 0; bin + 1 < BINS; bin++) {
    below += count[bin], part += count[bin] * bin;
    if (!below || below == all) continue;
    double apart = part / below - sum / all, between = below * apart * apart / (all - below);
    if (between > best) best = between, at = low + (high - low) * ((float)bin + 1) / (BINS - 1);
  }

  return at;
}
/* find distances */
/* d (H, W): three times the distance in pixels to the nearest pixel where (mask != 0) == to; huge where there is
   none. */
static void distances(const uint8_t *mask, bool to, int h, int w, int *d)
{
  for (int i = 0; i < h * w; i++) d[i] = (mask[i] != 0) == to ? 0 : 1 << 20;
  for (int turn = 0; turn < 2; turn++)
    for (int k = 0; k < h * w; k++) {
      int i = turn ? h * w - 1 - k : k, y = i / w, x = i % w, back = turn ? 1 : -1;
      bool row = y + back >= 0 && y + back < h, left = x > 0, right = x + 1 < w;
      int least = d[i], up = i + back * w;
      if (x + back >= 0 && x + back < w && d[i + back] + 3 < least) least = d[i + back] + 3;
      if (row && d[up] + 3 < least) least = d[up] + 3;
      if (row && left && d[up - 1] + 4 < least) least = d[up - 1] + 4;
      if (row && right && d[up + 1] + 4 < least) least = d[up + 1] + 4;
      d[i] = least;
    }
}

/* clean a mask */
static void open_mask(uint8_t *mask, int h, int w, double radius, int *d)
{
  distances(mask, false, h, w, d);
  for (int i = 0; i < h * w; i++) mask[i] = d[i] > 3 * radius;
  distances(mask, true, h, w, d);
  for (int i = 0; i < h * w; i++) mask[i] = d[i] <= 3 * radius;
}

static void fill_holes(uint8_t *mask, int h, int w, double most)
{
  uint8_t *outside = NEW(uint8_t, h * w);
  int *label = NEW(int, h * w), *area = NEW(int, h * w + 1);
  for (int i = 0; i < h * w; i++) outside[i] = !mask[i];
  label_pieces(outside, h, w, 4, label, area);
  for (int i = 0; i < h * w; i++)                    /* what touches the border is no hole */
    if (i < w || i >= (h - 1) * w || i % w == 0 || i % w == w - 1) area[label[i]] = h * w;
  for (int i = 0; i < h * w; i++)
    if (label[i] && area[label[i]] <= most) mask[i] = 1;
  free(outside), free(label), free(area);
}

static void take_majority(uint8_t *mask, int h, int w)
{
  uint8_t *from = NEW(uint8_t, h * w);
  memcpy(from, mask, (size_t)(h * w));
  for (int y = 1; y + 1 < h; y++)
    for (int x = 1; x + 1 < w; x++) {
      int sum = 0;
      for (int v = -1; v <= 1; v++)
        for (int u = -1; u <= 1; u++) sum += from[(y + v) * w + x + u] != 0;
      mask[y * w + x] = sum > 4;
    }
  free(from);
}

/* choose the nucleus */
static int first_piece(const segmentation *s, const int *label, int pieces)
{
  double *mass = NEW(double, pieces + 1), sigma = 14 * s->unit;
  int best = 0;
  for (int i = 0; i < s->h * s->w; i++) {
    double y = i / s->w + 0.5 - s->h / 2.0, x = i % s->w + 0.5 - s->w / 2.0;
    if (label[i]) mass[label[i]] += s->stain[i] * exp(-(y * y + x * x) / (2 * sigma * sigma));
  }
  for (int p = 1; p <= pieces; p++) if (mass[p] > mass[best]) best = p;
  free(mass);
  return best;
}

/* Marks pieces that run over the border, and finds how near (three times pixels) each lies to the mask. */
static void look_at_pieces(const segmentation *s, const int *label, int pieces, const int *d, bool *cut_off,
                           int *near)
{
  int h = s->h, w = s->w;
  for (int p = 0; p <= pieces; p++) cut_off[p] = false, near[p] = 1 << 20;
  for (int i = 0; i < h * w; i++) {
    if (d[i] < near[label[i]]) near[label[i]] = d[i];
    if (i < w || i >= (h - 1) * w || i % w == 0 || i % w == w - 1) cut_off[label[i]] = true;
  }
}

static void find_nucleus(segmentation *s)
{
  int h = s->h, w = s->w, n = h * w, *label = NEW(int, n), *area = NEW(int, n + 1), *d = NEW(int, n);
  uint8_t *mask = NEW(uint8_t, n), *taken = NEW(uint8_t, n);
  float limit = otsu(s->stain, NULL, n);
  for (int i = 0; i < n; i++) mask[i] = s->stain[i] > limit;
  open_mask(mask, h, w, s->unit, d);
  int pieces = label_pieces(mask, h, w, 8, label, area), first = first_piece(s, label, pieces);
  int *near = NEW(int, pieces + 1);
  bool *cut_off = NEW(bool, pieces + 1), more = first > 0;
  for (int i = 0; i < n; i++) taken[i] = first && label[i] == first;
  while (more) {
    distances(taken, true, h, w, d);
    look_at_pieces(s, label, pieces, d, cut_off, near);
    more = false;
    for (int p = 1; p <= pieces; p++) {
      if (!near[p] || cut_off[p] || near[p] > 24 * s->unit || 12 * area[p] < area[first]) continue;
      for (int i = 0; i < n; i++) taken[i] |= label[i] == p;
      more = true;
    }
  }
  fill_holes(taken, h, w, 12 * s->unit * s->unit);
  for (int i = 0; i < n; i++) if (taken[i]) s->region[i] = NUCLEUS;
  free(label), free(area), free(d), free(mask), free(taken), free(near), free(cut_off);
}

/* choose the cytoplasm */
static int by_float(const void *a, const void *b)
{
  float x = *(const float *)a, y = *(const float *)b;
  return (x > y) - (x < y);
}

/* The median density of the pixels of mask whose distance d is in low..high; false where they are too few. */
static bool median_density(const float *density, const uint8_t *mask, const int *d, int n, double low,
                           double high, float out[3])
{
  float *v = NEW(float, n);
  int count = 0;
  for (int c = 0; c < 3; c++) {
    count = 0;
    for (int i = 0; i < n; i++)
      if (mask[i] && d[i] > low && d[i] <= high) v[count++] = density[3 * (size_t)i + (size_t)c];
    qsort(v, (size_t)count, sizeof *v, by_float);
    out[c] = count ? v[count / 2] : 0;
  }
  free(v);
  return count >= 8;
}

static float squared(const float *a, const float *b)
{
  return (a[0] - b[0]) * (a[0] - b[0]) + (a[1] - b[1]) * (a[1] - b[1]) + (a[2] - b[2]) * (a[2] - b[2]);
}

static void mark_stained(const segmentation *s, const int *d, uint8_t *mask)
{
  int n = s->h * s->w;
  float *total = NEW(float, n), near[3], far[3];
  uint8_t *free_of_nucleus = NEW(uint8_t, n);
  for (int i = 0; i < n; i++) {
    const float *p = s->density + 3 * (size_t)i;
    total[i] = p[0] + p[1] + p[2], free_of_nucleus[i] = d[i] > 3 * 1.5 * s->unit;
  }
  blur(total, s->h, s->w, (int)ceil(s->unit));
  float limit = otsu(total, free_of_nucleus, n);
  for (int i = 0; i < n; i++) mask[i] = total[i] > 0.7f * limit;
  bool two = median_density(s->density, mask, d, n, 3 * s->unit, 9 * s->unit, near)
    && median_density(s->density, mask, d, n, 66 * s->unit, 1 << 20, far);
  for (int i = 0; i < n; i++) {
    const float *p = s->density + 3 * (size_t)i;
    if (d[i] > 66 * s->unit || (two && squared(p, far) * 66 * s->unit < squared(p, near) * d[i])) mask[i] = 0;
    if (s->region[i] == NUCLEUS) mask[i] = 1;
  }
  free(total), free(free_of_nucleus);
}

static void find_cytoplasm(segmentation *s)
{
  int h = s->h, w = s->w, n = h * w, *label = NEW(int, n), *area = NEW(int, n + 1), *d = NEW(int, n);
  uint8_t *mask = NEW(uint8_t, n), *nucleus = NEW(uint8_t, n);
  for (int i = 0; i < n; i++) nucleus[i] = s->region[i] == NUCLEUS;
  distances(nucleus, true, h, w, d);
  mark_stained(s, d, mask);
  take_majority(mask, h, w);
  fill_holes(mask, h, w, 40 * s->unit * s->unit);
  distances(mask, false, h, w, d);
  for (int i = 0; i < n; i++) mask[i] = d[i] > 3 * 5 * s->unit;
  int pieces = label_pieces(mask, h, w, 4, label, area);
  bool *own = NEW(bool, pieces + 1);
  for (int i = 0; i < n; i++) if (nucleus[i]) own[label[i]] = true;
  for (int i = 0; i < n; i++) mask[i] = label[i] && own[label[i]];
  distances(mask, true, h, w, d);
  for (int i = 0; i < n; i++) if (!nucleus[i] && d[i] <= 3 * 5 * s->unit) s->region[i] = CYTOPLASM;
  free(label), free(area), free(d), free(mask), free(nucleus), free(own);
}

/* segment a cell */
segmentation *segment_cell(const uint8_t *rgb, int h, int w)
{
  segmentation *s = NEW(segmentation, 1);
  size_t n = (size_t)h * (size_t)w;
  *s = (segmentation){ h, w, (h < w ? h : w) / 70.0, NEW(float, 3 * n), NEW(float, n), NEW(uint8_t, n) };
  take_density(s, rgb);
  find_nucleus(s);
  find_cytoplasm(s);
  return s;
}

void segmentation_free(segmentation *s)
{
  free(s->density), free(s->stain), free(s->region), free(s);
}


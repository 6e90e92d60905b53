#include "classical/measure.h"
#include "base/pieces.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void put(measures *m, const char *name, double value)
{
  m->name[m->n] = name, m->value[m->n++] = isfinite(value) ? value : 0;
}

static double share(double part, double whole) { return whole > 0 ? part / whole : 0; }

/* measure shape */
typedef struct { double area, y, x, long_axis, short_axis; } moments;

static moments find_moments(const segmentation *s, bool whole_cell)
{
  moments m = {0};
  double yy = 0, xx = 0, yx = 0;
  for (int i = 0; i < s->h * s->w; i++)
    if (s->region[i] == NUCLEUS || (whole_cell && s->region[i])) {
      double y = i / s->w, x = i % s->w;
      m.area++, m.y += y, m.x += x, yy += y * y, xx += x * x, yx += y * x;
    }
  if (!m.area) return m;
  m.y /= m.area, m.x /= m.area;
  yy = yy / m.area - m.y * m.y, xx = xx / m.area - m.x * m.x, yx = yx / m.area - m.y * m.x;
  double half = (yy + xx) / 2, root = sqrt(fmax(0, (yy - xx) * (yy - xx) / 4 + yx * yx));
  m.long_axis = half + root, m.short_axis = fmax(0, half - root);
  return m;
}

typedef struct { int pieces, lobes; double area, length, hull, hollow, bend, notch, neck, largest; } ring;

static void add_outline(ring *r, const outline *o, const lobe_split *s)
{
  double size = sqrt(fmax(outline_area(o), 1) / M_PI);
  for (int i = 0; i < o->n; i++) {
    point a = o->p[i], b = o->p[(i + 1) % o->n];
    double step = hypot(b.x - a.x, b.y - a.y), k = o->curvature[i] * size;
    r->length += step, r->bend += k * k * step;
    if (k < 0) r->hollow += step;
    r->notch = fmax(r->notch, -k);
  }
  r->pieces++, r->lobes += s->lobes, r->area += outline_area(o);
  for (int i = 0; i < s->lobes; i++) r->largest = fmax(r->largest, s->area[i]);
  for (int i = 0; i + 1 < s->lobes; i++) r->neck = fmin(r->neck, s->cut[i].neck);
}

/* Walk around every piece of the nucleus, or of the whole cell, that has 12 square units or more. */
static ring find_outlines(const segmentation *s, bool whole_cell, lobe_split *split)
{
  int n = s->h * s->w, *label = NEW(int, n), *area = NEW(int, n + 1), points = 0, seen = 0;
  uint8_t *mask = NEW(uint8_t, n);
  ring r = { .neck = 1 };
  point *all = NULL;
  for (int i = 0; i < n; i++) mask[i] = s->region[i] == NUCLEUS || (whole_cell && s->region[i]);
  label_pieces(mask, s->h, s->w, 8, label, area);
  for (int i = 0; i < n; i++) {
    if (label[i] <= seen) continue;                  /* the first pixel of the next piece */
    seen = label[i];
    if (area[seen] < 12 * s->unit * s->unit || r.pieces == MOST_LOBES) continue;
    outline *o = outline_trace(mask, s->h, s->w, i, 2 * s->unit);
    lobe_split lobes = outline_split(o);
    if (split) split[r.pieces] = lobes;
    add_outline(&r, o, &lobes);
    all = grow(all, sizeof *all * (size_t)(points + o->n));
    memcpy(all + points, o->p, sizeof *all * (size_t)o->n), points += o->n;
    outline_free(o);
  }
  if (points > 2) r.hull = hull_area(all, points);
  free(label), free(area), free(mask), free(all);
  return r;
}

static void put_nucleus(measures *m, const segmentation *s, const ring *r, const moments *k)
{
  put(m, "nucleus size", sqrt(k->area) / s->unit);
  put(m, "nucleus pieces", r->pieces);
  put(m, "nucleus lobes", r->lobes);
  put(m, "nucleus two or more lobes", r->lobes > 1);
  put(m, "nucleus least neck", r->neck);
  put(m, "nucleus largest lobe", share(r->largest, r->area));
  put(m, "nucleus form factor", share(4 * M_PI * r->area, r->length * r->length));
  put(m, "nucleus solidity", share(r->area, r->hull));
  put(m, "nucleus spread", share(2 * M_PI * (k->long_axis + k->short_axis), k->area));
  put(m, "nucleus elongation", share(sqrt(k->short_axis), sqrt(k->long_axis)));
  put(m, "nucleus hollow", share(r->hollow, r->length));
  put(m, "nucleus bending", sqrt(share(r->bend, r->length)));
  put(m, "nucleus deepest notch", sqrt(r->notch));
  m->shapes = m->n;
}

static void put_cell(measures *m, const segmentation *s, const ring *r, const moments *nucleus,
                     const moments *cell)
{
  put(m, "cell size", sqrt(cell->area) / s->unit);
  put(m, "nucleus to cell", share(nucleus->area, cell->area));
  put(m, "nucleus off centre", share(hypot(nucleus->y - cell->y, nucleus->x - cell->x), sqrt(cell->area)));
  put(m, "cell form factor", share(4 * M_PI * r->area, r->length * r->length));
  put(m, "cell solidity", share(r->area, r->hull));
  put(m, "cell elongation", share(sqrt(cell->short_axis), sqrt(cell->long_axis)));
}

/* measure colour */
typedef struct { double n, mean[3], sd[3]; } tones;

static tones find_tones(const segmentation *s, int region)
{
  tones t = {0};
  for (int i = 0; i < s->h * s->w; i++) {
    if (s->region[i] != region) continue;
    t.n++;
    for (int c = 0; c < 3; c++) {
      double d = s->density[3 * (size_t)i + (size_t)c];
      t.mean[c] += d, t.sd[c] += d * d;
    }
  }
  for (int c = 0; c < 3 && t.n; c++) {
    t.mean[c] /= t.n;
    t.sd[c] = sqrt(fmax(0, t.sd[c] / t.n - t.mean[c] * t.mean[c]));
  }
  return t;
}

static void put_tones(measures *m, const segmentation *s, int region, const char *const name[8])
{
  tones t = find_tones(s, region);
  double sum = t.mean[0] + t.mean[1] + t.mean[2];
  for (int c = 0; c < 3; c++) put(m, name[c], t.mean[c]), put(m, name[3 + c], t.sd[c]);
  for (int c = 0; c < 2; c++) put(m, name[6 + c], sum > 0.05 ? t.mean[c] / sum : 0);
}

/* measure texture */
enum { LEVELS = 16 };

static int level(const segmentation *s, int i)
{
  int v = (int)floor(s->density[3 * (size_t)i + 1] * 8);
  return v < 0 ? 0 : v < LEVELS ? v : LEVELS - 1;
}

static void put_texture(measures *m, const segmentation *s, int region, const char *const name[4])
{
  double p[LEVELS][LEVELS] = {{0}}, all = 0, contrast = 0, energy = 0, alike = 0, entropy = 0;
  int step = (int)lrint(fmax(1, s->unit));
  const int dy[4] = { 0, step, step, step }, dx[4] = { step, 0, step, -step };
  for (int i = 0; i < s->h * s->w; i++)
    for (int k = 0; k < 4 && s->region[i] == region; k++) {
      int y = i / s->w + dy[k], x = i % s->w + dx[k];
      if (y >= s->h || x < 0 || x >= s->w || s->region[y * s->w + x] != region) continue;
      int a = level(s, i), b = level(s, y * s->w + x);
      p[a][b]++, p[b][a]++, all += 2;
    }
  for (int a = 0; a < LEVELS; a++)
    for (int b = 0; b < LEVELS; b++) {
      double q = share(p[a][b], all);
      contrast += q * (a - b) * (a - b), energy += q * q, alike += q / (1 + abs(a - b));
      if (q > 0) entropy -= q * log(q);
    }
  put(m, name[0], sqrt(contrast)), put(m, name[1], sqrt(energy));
  put(m, name[2], alike), put(m, name[3], entropy);
}

static void put_grain(measures *m, const segmentation *s, int region, const char *const name[3])
{
  double sum[3] = {0}, n = 0;
  int w = s->w, step = (int)lrint(fmax(1, s->unit));
  for (int y = step; y + step < s->h; y++)
    for (int x = step; x + step < w; x++) {
      int i = y * w + x, near[4] = { i - step, i + step, i - step * w, i + step * w }, same = 0;
      for (int k = 0; k < 4; k++) same += s->region[near[k]] == region;
      if (s->region[i] != region || same < 4) continue;
      n++;
      for (int c = 0; c < 3; c++) {
        double around = 0;
        for (int k = 0; k < 4; k++) around += s->density[3 * (size_t)near[k] + (size_t)c] / 4;
        sum[c] += fabs(s->density[3 * (size_t)i + (size_t)c] - around);
      }
    }
  for (int c = 0; c < 3; c++) put(m, name[c], share(sum[c], n));
}

/* measure a segmented cell */
static void put_matter(measures *m, const segmentation *s)
{
  static const char *const tone[2][8] = {
    { "nucleus red", "nucleus green", "nucleus blue", "nucleus red sd", "nucleus green sd", "nucleus blue sd",
      "nucleus red share", "nucleus green share" },
    { "cytoplasm red", "cytoplasm green", "cytoplasm blue", "cytoplasm red sd", "cytoplasm green sd",
      "cytoplasm blue sd", "cytoplasm red share", "cytoplasm green share" } };
  static const char *const texture[2][4] = {
    { "nucleus contrast", "nucleus energy", "nucleus homogeneity", "nucleus entropy" },
    { "cytoplasm contrast", "cytoplasm energy", "cytoplasm homogeneity", "cytoplasm entropy" } };
  static const char *const grain[2][3] = {
    { "nucleus red grain", "nucleus green grain", "nucleus blue grain" },
    { "cytoplasm red grain", "cytoplasm green grain", "cytoplasm blue grain" } };
  const int region[2] = { NUCLEUS, CYTOPLASM };
  for (int k = 0; k < 2; k++) {
    put_tones(m, s, region[k], tone[k]);
    put_texture(m, s, region[k], texture[k]);
    put_grain(m, s, region[k], grain[k]);
  }
}

measures measure_cell(const segmentation *s, lobe_split *split, int *pieces)
{
  measures m = {0};
  moments nucleus = find_moments(s, false), cell = find_moments(s, true);
  ring inner = find_outlines(s, false, split), outer = find_outlines(s, true, NULL);
  put_nucleus(&m, s, &inner, &nucleus);
  put_cell(&m, s, &outer, &nucleus, &cell);
  put_matter(&m, s);
  if (pieces) *pieces = inner.pieces;
  return m;
}


#include "cells/synth.h"
#include "cells/dataset.h"
#include "base/rng.h"
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* draw numbers */
static float between(rng *r, float low, float high) { return low + (high - low) * (float)rng_uniform(r); }
static bool chance(rng *r, float p) { return rng_uniform(r) < p; }
static float clampf(float x, float low, float high) { return x < low ? low : x > high ? high : x; }

static float around(rng *r, float mean, float deviation)
{
  return mean + deviation * clampf((float)rng_normal(r), -2.5f, 2.5f);
}

static float smooth(float low, float high, float x)
{
  float t = clampf((x - low) / (high - low), 0, 1);
  return t * t * (3 - 2 * t);
}

/* call six functions of a double */
static float sine(float a) { return (float)sin(a); }
static float cosine(float a) { return (float)cos(a); }
static float exponential(float x) { return (float)exp(x); }
static float logarithm(float x) { return (float)log(x); }
static float angle(float y, float x) { return (float)atan2(y, x); }
static float length(float x, float y) { return (float)sqrt((double)x * x + (double)y * y); }

/* draw an outline */
typedef struct { float r[129]; } contour;            /* radius over mean radius at 128 angles; [128] = [0] */

static void draw_contour(rng *r, contour *c, float roughness)
{
  float a[8], phase[8];
  for (int k = 2; k < 8; k++) {
    a[k] = around(r, 0, roughness * (k == 2 ? 0.8f : (float)pow(k, -1.2)));
    phase[k] = between(r, 0, 6.2831853f);
  }
  for (int i = 0; i <= 128; i++) {
    c->r[i] = 1;
    for (int k = 2; k < 8; k++) c->r[i] += a[k] * cosine((float)(k * (i % 128)) * 6.2831853f / 128 + phase[k]);
  }
}

static float contour_at(const contour *c, float x, float y)
{
  float t = (angle(y, x) + 3.1415927f) * (128 / 6.2831853f);
  int i = (int)t < 127 ? (int)t : 127;
  return c->r[i] + (c->r[i + 1] - c->r[i]) * (t - (float)i);
}

/* join lobes */
typedef struct { float x0, y0, r0, x1, y1, r1; } lobe;

static float lobe_distance(const lobe *l, float x, float y)
{
  float dx = l->x1 - l->x0, dy = l->y1 - l->y0, px = x - l->x0, py = y - l->y0;
  float h = clampf((px * dx + py * dy) / (dx * dx + dy * dy + 1e-6f), 0, 1);
  px -= h * dx, py -= h * dy;
  return sqrtf(px * px + py * py) - l->r0 - h * (l->r1 - l->r0);
}

static float smooth_min(float a, float b, float s)
{
  float h = s - fabsf(a - b);
  return (a < b ? a : b) - (h > 0 ? h * h / (4 * s) : 0);
}

/* make clouds of noise */
enum { LATTICE = 128 };
static float lattice[LATTICE][LATTICE];              /* N(0, 1), made once by prepare_lattice */

static void fill_lattice(void)
{
  rng r = rng_open(0, RNG_SYNTH, UINT32_MAX, 0);
  for (int i = 0; i < LATTICE; i++)
    for (int j = 0; j < LATTICE; j++) lattice[i][j] = (float)rng_normal(&r);
}

static void prepare_lattice(void)
{
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, fill_lattice);
}

static float noise(float x, float y)
{
  float fx = floorf(x), fy = floorf(y), u = x - fx, v = y - fy;
  int j = (int)fx & (LATTICE - 1), i = (int)fy & (LATTICE - 1);
  int j1 = (j + 1) & (LATTICE - 1), i1 = (i + 1) & (LATTICE - 1);
  u = u * u * u * (u * (u * 6 - 15) + 10), v = v * v * v * (v * (v * 6 - 15) + 10);
  float a = lattice[i][j] + u * (lattice[i][j1] - lattice[i][j]);
  float b = lattice[i1][j] + u * (lattice[i1][j1] - lattice[i1][j]);
  return a + v * (b - a);
}

static float clouds(float x, float y, int octaves)   /* roughly N(0, 0.5) */
{
  float sum = 0, weight = 0.6f;
  for (int k = 0; k < octaves; k++) {
    sum += weight * noise(x, y);
    float t = 1.6f * x - 1.2f * y + 17.3f;           /* twice the frequency, turned by 37 degrees */
    y = 1.2f * x + 1.6f * y + 5.1f, x = t, weight *= 0.55f;
  }
  return sum;
}

/* say what a smear is made of */
enum { AZURE, EOSIN, BLUE, HAEMOGLOBIN, STAINS };
enum { NEUTROPHIL, EOSINOPHIL, BASOPHIL, LYMPHOCYTE, MONOCYTE };

typedef struct { float spacing, radius, keep, scatter, over_nucleus, stain[STAINS]; } granules;
typedef struct { float x, y, r; } disc;

typedef struct {
  int class;
  float x, y, cos, sin;                              /* centre in the scene, and turn */
  float radius, edge;                                /* mean radius; width of the soft membrane */
  contour outline;
  lobe lobe[16], bite;                               /* the nucleus; what is cut out of it (r0 > 0) */
  int lobes;
  float waist, wander;                               /* smooth-minimum width; noise in the nuclear outline */
  float density, clumping, clump, rim, lace;         /* azure, share in clumps, their size, membrane */
  float crease_angle, crease;                        /* a fold across the nucleus: direction, strength */
  float body[STAINS], unevenness, shell;             /* cytoplasm; its clouds; more at the membrane */
  granules granule[2];
  disc vacuole[10];
  int vacuoles;
  float texture_x, texture_y;                        /* where on the lattice this cell's noise lies */
  uint64_t key;                                      /* of its granules' random numbers */
} white_cell;

typedef struct {
  float x, y, radius, squeeze, cos, sin, pallor, density;
  contour outline;
  bool over;                                         /* lies on the white cell */
} red_cell;
typedef struct { float x, y, radius, density; contour outline; } platelet;

enum { MOST_WHITES = 8, MOST_REDS = 900, MOST_PLATELETS = 60 };
struct smear {
  float width, height;
  white_cell white[MOST_WHITES];
  red_cell red[MOST_REDS];
  platelet platelet[MOST_PLATELETS];
  int whites, reds, platelets;
  float stain[STAINS];                               /* this slide's stain strengths */
  float texture_x, texture_y;
};

/* walk a chain of lobes */
typedef struct { int n; float step, turn, spread, flip, size, stretch, bridge, off; } chain;

static void add_lobe(white_cell *w, float x0, float y0, float r0, float x1, float y1, float r1)
{
  if (w->lobes < 16) w->lobe[w->lobes++] = (lobe){ x0, y0, r0, x1, y1, r1 };
}

static void walk(rng *r, const chain *k, float x[], float y[], float heading[])
{
  float side = 1, px = 0, py = 0, mx = 0, my = 0, a = 0;
  for (int i = 0; i < k->n; i++) {
    x[i] = px, y[i] = py, heading[i] = a, mx += px / (float)k->n, my += py / (float)k->n;
    if (chance(r, k->flip)) side = -side;
    a += side * around(r, k->turn, k->spread);
    float step = k->step * around(r, 1, 0.12f);
    px += step * cosine(a), py += step * sine(a);
  }
  float out = between(r, 0, 6.2831853f);
  for (int i = 0; i < k->n; i++) x[i] += k->off * cosine(out) - mx, y[i] += k->off * sine(out) - my;
}

static void draw_chain(rng *r, white_cell *w, chain k)
{
  float x[8], y[8], heading[8];
  walk(r, &k, x, y, heading);
  for (int i = 0; i < k.n; i++) {
    float radius = k.size * around(r, 1, 0.12f), room = 0.93f * w->radius - radius;
    float away = length(x[i], y[i]) + 1e-6f;
    if (away > room) x[i] *= room / away, y[i] *= room / away;
    float turn = heading[i] + around(r, 0, 0.5f), half = k.stretch * radius * between(r, 0.4f, 1.2f);
    float dx = half * cosine(turn), dy = half * sine(turn), taper = around(r, 1, 0.12f);
    add_lobe(w, x[i] - dx, y[i] - dy, radius, x[i] + dx, y[i] + dy, radius * taper);
  }
  for (int i = 0; i + 1 < k.n; i++) add_lobe(w, x[i], y[i], k.bridge, x[i + 1], y[i + 1], k.bridge * 1.1f);
}

/* draw what white cells share */
static void draw_common(rng *r, white_cell *w, float radius, float roughness)
{
  float turn = between(r, 0, 6.2831853f);
  w->cos = cosine(turn), w->sin = sine(turn);
  w->radius = radius, w->edge = 0.22f;
  w->texture_x = between(r, 0, LATTICE), w->texture_y = between(r, 0, LATTICE);
  w->key = rng_u32(r);
  draw_contour(r, &w->outline, roughness);
  w->waist = 0.5f, w->wander = 0.22f;
  w->density = around(r, 1.05f, 0.09f), w->clumping = 0.42f, w->clump = 0.85f, w->rim = 0.15f;
  w->unevenness = 0.12f;
}

static void set_stain(float s[STAINS], float azure, float eosin, float blue)
{
  s[AZURE] = azure, s[EOSIN] = eosin, s[BLUE] = blue;
}

static void set_granules(granules *g, float spacing, float radius, float keep, float azure, float eosin,
                         float blue)
{
  *g = (granules){ .spacing = spacing, .radius = radius, .keep = keep, .scatter = 0.45f };
  set_stain(g->stain, azure, eosin, blue);
}

/* draw a neutrophil */
static void draw_neutrophil(rng *r, white_cell *w)
{
  draw_common(r, w, around(r, 6.4f, 0.45f), 0.06f);
  float u = between(r, 0, 1), grow = w->radius / 6.4f;
  int n = u < 0.08f ? 1 : u < 0.24f ? 2 : u < 0.66f ? 3 : u < 0.92f ? 4 : 5;
  bool young = n == 1 && chance(r, 0.35f);
  float off = between(r, 0, 1.2f);
  if (n == 1) {
    float width = grow * (young ? between(r, 1.7f, 2.2f) : around(r, 1.5f, 0.15f));
    float turn = between(r, 0.45f, 0.8f), bridge = width * between(r, 0.80f, 0.98f);
    draw_chain(r, w, (chain){ 6, 1.9f * grow, turn, 0.12f, 0.08f, width, 0.25f, bridge, off });
  } else {
    static const float size[] = { 0, 0, 2.15f, 1.78f, 1.55f, 1.4f };
    static const float step[] = { 0, 0, 4.3f, 3.4f, 2.9f, 2.6f };
    float turn = between(r, 0.7f, 1.3f), bridge = between(r, 0.3f, 0.9f);
    draw_chain(r, w, (chain){ n, step[n] * grow, turn, 0.25f, 0.25f, size[n] * grow, 0.42f, bridge, off });
  }
  w->clump = 1.0f, w->clumping = between(r, 0.42f, 0.58f);
  float pink = around(r, 0.10f, 0.025f);
  if (chance(r, 0.06f)) pink = between(r, 0.18f, 0.36f);
  set_stain(w->body, 0.045f, 0.07f + 0.5f * pink, around(r, young ? 0.14f : 0.05f, 0.025f));
  set_granules(&w->granule[0], 0.62f, 0.24f, between(r, 0.35f, 0.8f), 0.10f, 1.1f * pink, 0.02f);
}

/* draw an eosinophil */
static void draw_eosinophil(rng *r, white_cell *w)
{
  draw_common(r, w, around(r, 6.8f, 0.45f), 0.05f);
  float u = between(r, 0, 1), grow = w->radius / 6.8f;
  int n = u < 0.06f ? 1 : u < 0.80f ? 2 : 3;
  float off = between(r, 0.6f, 2.6f), bridge = between(r, 0.3f, 0.8f);
  if (n == 1) draw_chain(r, w, (chain){ 5, 1.9f * grow, 0.6f, 0.1f, 0, 1.8f, 0.25f, 1.6f, off });
  else if (n == 2) draw_chain(r, w, (chain){ 2, 4.7f * grow, 1, 0.3f, 0, 2.3f * grow, 0.35f, bridge, off });
  else draw_chain(r, w, (chain){ 3, 4.2f * grow, 1.3f, 0.3f, 0, 1.85f * grow, 0.35f, bridge, 0.4f * off });
  w->density *= 1.05f, w->clump = 1.0f, w->clumping = 0.46f;
  float orange = around(r, 0.56f, 0.11f), packed = between(r, 0.8f, 1);
  if (chance(r, 0.20f)) orange = between(r, 0.18f, 0.38f), packed = between(r, 0.45f, 0.9f);
  set_stain(w->body, 0.04f, 0.48f * orange, 0.05f);
  set_granules(&w->granule[0], 0.66f, 0.40f, packed, 0.06f, 0.85f * orange, 0);
  w->granule[0].scatter = 0.25f, w->granule[0].over_nucleus = 0.06f;
}

/* draw a basophil */
static void draw_basophil(rng *r, white_cell *w)
{
  draw_common(r, w, around(r, 6.2f, 0.4f), 0.05f);
  float grow = w->radius / 6.2f, bridge = between(r, 1.0f, 1.6f);
  int n = chance(r, 0.4f) ? 2 : 3;
  float step = grow * (n == 2 ? 3.5f : 3.1f), lobe_size = grow * (n == 2 ? 2.4f : 2.05f);
  draw_chain(r, w, (chain){ n, step, 1.2f, 0.3f, 0.1f, lobe_size, 0.4f, bridge, 0.6f });
  w->waist = 1.2f, w->density *= 0.80f, w->clumping = 0.25f, w->rim = 0.05f;
  float dark = around(r, 0.80f, 0.10f), kept = between(r, 0.6f, 1.0f);
  if (chance(r, 0.1f)) kept = between(r, 0.15f, 0.4f), dark = between(r, 0.3f, 0.5f);
  float violet = around(r, 0.18f, 0.03f), blue = around(r, 0.12f, 0.03f);
  set_stain(w->body, violet, 0.10f, blue);
  set_granules(&w->granule[0], 0.92f, 0.48f, kept, dark, 0.06f, 0.24f);
  w->granule[0].over_nucleus = 0.55f;
}

/* draw a lymphocyte */
static void draw_lymphocyte(rng *r, white_cell *w)
{
  float u = between(r, 0, 1), size;
  bool reactive = u < 0.12f, large = u < 0.30f;
  size = reactive ? around(r, 6.9f, 0.5f) : large ? around(r, 6.0f, 0.4f) : around(r, 4.75f, 0.3f);
  draw_common(r, w, size, reactive ? 0.11f : 0.045f);
  float low = reactive ? 0.56f : large ? 0.68f : 0.80f, share = between(r, low, low + 0.13f);
  float n = size * share, long_by = n * between(r, 0.02f, 0.16f), off = (size - n) * between(r, 0.2f, 0.85f);
  add_lobe(w, off - long_by, 0, n - long_by / 2, off + long_by, 0, n - long_by / 2);
  if (chance(r, reactive ? 0.6f : 0.22f)) {
    float a = between(r, 0, 6.2831853f), deep = n + between(r, 0.4f, 0.9f);
    float dx = deep * cosine(a), dy = deep * sine(a);
    w->bite = (lobe){ off + dx, dy, 1.2f, off + 1.3f * dx, 1.3f * dy, 1.5f };
  }
  w->clump = reactive ? 0.9f : 1.25f, w->clumping = between(r, 0.26f, 0.42f), w->rim = 0.12f;
  w->density *= reactive ? 0.90f : 1.03f, w->lace = reactive ? between(r, 0, 0.5f) : 0;
  float blue = reactive ? between(r, 0.18f, 0.45f) : large ? between(r, 0.22f, 0.6f) : between(r, 0.4f, 0.8f);
  float mauve = reactive ? between(r, 0.3f, 1) : 0.2f;
  set_stain(w->body, 0.04f + 0.06f * mauve, 0.07f * mauve, blue);
  w->shell = 0.35f, w->unevenness = 0.2f;
  if (large && chance(r, 0.3f)) set_granules(&w->granule[0], 1.5f, 0.28f, 0.35f, 0.3f, 0.1f, 0);
}

/* draw a monocyte */
static void draw_monocyte(rng *r, white_cell *w)
{
  bool small = chance(r, 0.22f);
  draw_common(r, w, small ? around(r, 6.4f, 0.4f) : around(r, 7.4f, 0.55f), 0.09f);
  float u = between(r, 0, 1), grow = w->radius / 7.4f;
  float off = between(r, 0, 1.3f);
  if (u < 0.34f) {
    float thick = around(r, 2.75f, 0.2f) * grow, turn = between(r, 0.4f, 0.75f);
    draw_chain(r, w, (chain){ 4, 2.0f * grow, turn, 0.1f, 0, thick, 0.15f, thick * 0.97f, off });
  } else if (u < 0.58f) {
    float thick = around(r, 2.0f, 0.2f) * grow, turn = between(r, 0.55f, 0.85f);
    draw_chain(r, w, (chain){ 6, 2.3f * grow, turn, 0.12f, 0, thick, 0.2f, thick * 0.95f, off });
  } else if (u < 0.80f) {
    draw_chain(r, w, (chain){ 3, 2.9f * grow, 1.0f, 0.35f, 0.3f, 2.6f * grow, 0.35f, 2.2f * grow, off });
  } else {
    float size = 4.6f * grow, deep = size * between(r, 1.05f, 1.35f);
    add_lobe(w, off - 0.5f, 0, size, off + 0.5f, 0, size);
    w->bite = (lobe){ off, deep, 1.4f, off, 1.5f * deep, 2.2f };
  }
  w->waist = 1.2f, w->wander = 0.35f, w->clump = 0.9f, w->clumping = between(r, 0.42f, 0.6f);
  w->density *= 0.90f;
  w->rim = 0.16f, w->lace = between(r, small ? 0.2f : 0.5f, 0.9f);
  if (chance(r, 0.6f)) w->crease_angle = between(r, 0, 3.1416f), w->crease = between(r, 0.1f, 0.3f);
  float grey = around(r, 0.09f, 0.02f), blue = around(r, small ? 0.28f : 0.22f, 0.06f);
  set_stain(w->body, grey, 0.07f, blue);
  w->unevenness = 0.22f;
  set_granules(&w->granule[0], 0.8f, 0.22f, between(r, 0.2f, 0.6f), 0.09f, 0.03f, 0.02f);
  /* give it vacuoles */
  if (chance(r, 0.4f)) {
    w->vacuoles = 1 + (int)rng_below(r, 7);
    for (int i = 0; i < w->vacuoles; i++) {
      float a = between(r, 0, 6.2831853f), away = w->radius * between(r, 0.25f, 0.85f);
      float size = between(r, 0.25f, 0.65f);
      w->vacuole[i] = (disc){ away * cosine(a), away * sine(a), size };
    }
  }
}

/* draw a cell of a class */
static void draw_white(rng *r, white_cell *w, int class, float x, float y)
{
  static void (*const recipe[])(rng *, white_cell *) = {
    draw_neutrophil, draw_eosinophil, draw_basophil, draw_lymphocyte, draw_monocyte
  };
  *w = (white_cell){ .class = class, .x = x, .y = y };
  recipe[class](r, w);
}
/* mix the stains */
const synth_style synth_styles[2] = {
  { "dataset1", "Wright", "w", 1, 0, 0, 70, 3.4f, { 1412, 83, 10, 517, 142 },
    { { 1.12f, 1.72f, 0.58f }, { 0.15f, 0.71f, 0.75f }, { 0.80f, 0.58f, 0.14f }, { 0.19f, 0.285f, 0.235f } },
    { 244, 235, 225 }, 0.20f, 0.15f, 2.4f, 0.011f, 0.12f },
  { "dataset2", "Giemsa-Wright", "g", 2, 576, 720, 150, 6.6f, { 56, 39, 55, 59, 45 },
    { { 1.22f, 1.62f, 0.50f }, { 0.24f, 0.72f, 0.55f }, { 0.95f, 0.62f, 0.20f }, { 0.22f, 0.33f, 0.20f } },
    { 214, 199, 208 }, 0.20f, 0.17f, 3.0f, 0.02f, 0.14f },
};

const synth_style *synth_stain(const char *name)
{
  static const synth_style third = { .name = "may-grunwald", .stain = "May-Grunwald-Giemsa",
    .absorb = { { 1.30f, 1.45f, 0.42f }, { 0.20f, 0.52f, 0.95f }, { 1.05f, 0.62f, 0.16f }, { 0.20f, 0.26f, 0.33f } }, .light = { 222, 228, 241 } };
  const char *const names[] = { "wright", "giemsa", third.name };
  const synth_style *const style[] = { &synth_styles[0], &synth_styles[1], &third };
  for (int i = 0; i < 3; i++) if (!strcmp(name, names[i])) return style[i];
  return NULL;
}

enum { OF_SCENE, OF_SHOT, OF_NOISE, STREAMS };       /* what for; a stream's "epoch" is code * STREAMS + this */

static rng open_stream(const synth_style *s, uint64_t seed, int of, uint32_t number)
{
  return rng_open(seed, RNG_SYNTH, (uint32_t)(s->code * STREAMS + of), number);
}

/* throw red cells like darts */
static bool red_fits(const smear *m, const red_cell *c, float overlap)
{
  for (int i = 0; i < m->whites; i++) {
    const white_cell *w = &m->white[i];
    float dx = c->x - w->x, dy = c->y - w->y;
    float outline = w->radius * contour_at(&w->outline, w->cos * dx + w->sin * dy, w->cos * dy - w->sin * dx);
    if (sqrtf(dx * dx + dy * dy) < outline + c->radius * (c->over ? 0.1f : 0.86f)) return false;
  }
  for (int i = 0; i < m->reds; i++) {
    float dx = c->x - m->red[i].x, dy = c->y - m->red[i].y;
    if (sqrtf(dx * dx + dy * dy) < overlap * (c->radius + m->red[i].radius)) return false;
  }
  return true;
}

static void draw_reds(rng *r, smear *m)
{
  float crowd = between(r, 0.4f, 1.6f), stacking = chance(r, 0.25f) ? 0.35f : 0.06f;
  float area = (m->width + 8) * (m->height + 8);
  float pallor = between(r, 0.75f, 1.25f), roughness = chance(r, 0.15f) ? 0.05f : 0.018f;
  int throws = (int)(0.085f * crowd * area);
  for (int k = 0; k < throws && m->reds < MOST_REDS; k++) {
    red_cell c = { .x = between(r, -4, m->width + 4) };
    c.y = between(r, -4, m->height + 4);
    c.radius = around(r, 3.65f, 0.22f), c.squeeze = 1 + fabsf(around(r, 0, 0.07f));
    float turn = between(r, 0, 3.1416f);
    c.cos = cosine(turn), c.sin = sine(turn);
    c.pallor = clampf(around(r, pallor, 0.15f), 0, 1.3f), c.density = around(r, 1, 0.07f);
    c.over = chance(r, 0.09f);
    float overlap = chance(r, stacking) ? 0.55f : 0.98f;
    draw_contour(r, &c.outline, roughness);
    if (red_fits(m, &c, overlap)) m->red[m->reds++] = c;
  }
}

/* strew platelets */
static void draw_platelets(rng *r, smear *m)
{
  float mean = 0.0016f * (m->width + 4) * (m->height + 4) * between(r, 0.2f, 1.8f);
  int n = (int)(mean + between(r, 0, 1));
  for (int k = 0; k < n && m->platelets < MOST_PLATELETS; k++) {
    platelet p = { .x = between(r, -2, m->width + 2) };
    p.y = between(r, -2, m->height + 2);
    p.radius = around(r, 1.15f, 0.25f), p.density = between(r, 0.18f, 0.5f);
    draw_contour(r, &p.outline, 0.2f);
    bool free_place = true;
    for (int i = 0; i < m->whites; i++)
      if (length(p.x - m->white[i].x, p.y - m->white[i].y) < m->white[i].radius * 0.97f) free_place = false;
    if (free_place) m->platelet[m->platelets++] = p;
  }
}

/* place the white cells */
static bool too_near(const smear *m, float x, float y)
{
  for (int i = 0; i < m->whites; i++)
    if (length(x - m->white[i].x, y - m->white[i].y) < 19) return true;
  return false;
}

static void place_whites(rng *r, smear *m, const int *class, int n, bool field)
{
  float x, y, border = 12.5f, hand = chance(r, 0.06f) ? 1.8f : 0.55f;
  for (int i = 0; i < n; i++) {
    int tries = 0;
    do {
      x = field ? between(r, border, m->width - border) : m->width / 2 + around(r, 0, hand);
      y = field ? between(r, border, m->height - border) : m->height / 2 + around(r, 0, hand);
    } while (too_near(m, x, y) && ++tries < 200);
    draw_white(r, &m->white[m->whites++], class[i], x, y);
  }
  if (field || !chance(r, 0.05f)) return;
  float u = between(r, 0, 1), a = between(r, 0, 6.2831853f), away = m->white[0].radius + between(r, 5.5f, 8);
  draw_white(r, &m->white[m->whites++], u < 0.62f ? NEUTROPHIL : u < 0.92f ? LYMPHOCYTE : MONOCYTE,
             m->white[0].x + away * cosine(a), m->white[0].y + away * sine(a));
}

/* compose the scene */
smear *synth_scene(const synth_style *s, uint64_t seed, uint32_t scene, const int *class, int n, int height,
                   int width)
{
  rng r = open_stream(s, seed, OF_SCENE, scene);
  smear *m = NEW(smear, 1);
  prepare_lattice();
  m->height = (float)height / s->scale, m->width = (float)width / s->scale;
  float spread = chance(&r, 0.08f) ? 2 * s->slide : s->slide;
  for (int k = 0; k < STAINS; k++) m->stain[k] = exponential(around(&r, 0, spread));
  m->stain[BLUE] *= exponential(around(&r, 0, 0.8f * spread));
  m->texture_x = between(&r, 0, LATTICE), m->texture_y = between(&r, 0, LATTICE);
  place_whites(&r, m, class, n, s->field_h > 0);
  draw_reds(&r, m);
  draw_platelets(&r, m);
  return m;
}

/* lay a canvas over the scene */
typedef struct {
  int y, x, h, w;                                    /* first sample and size, in the scene's raster */
  float pitch;                                       /* micrometres a sample */
  float *stain[STAINS], *cell, *nucleus;             /* (H, W) each */
} canvas;

static float at(int number, float pitch) { return ((float)number + 0.5f) * pitch; }
static size_t sample(const canvas *c, int i, int j) { return (size_t)i * (size_t)c->w + (size_t)j; }

/* The samples within reach of (x, y): rows box[0]..box[1]-1, columns box[2]..box[3]-1 of the canvas. */
static void find_box(const canvas *c, float x, float y, float reach, int box[4])
{
  box[0] = (int)floorf((y - reach) / c->pitch) - c->y, box[1] = (int)ceilf((y + reach) / c->pitch) - c->y + 1;
  box[2] = (int)floorf((x - reach) / c->pitch) - c->x, box[3] = (int)ceilf((x + reach) / c->pitch) - c->x + 1;
  if (box[0] < 0) box[0] = 0;
  if (box[2] < 0) box[2] = 0;
  if (box[1] > c->h) box[1] = c->h;
  if (box[3] > c->w) box[3] = c->w;
}

/* paint a nucleus */
static float nucleus_distance(const white_cell *w, float x, float y)
{
  float u = 0.45f * x + w->texture_x, v = 0.45f * y + w->texture_y;
  x += w->wander * noise(u, v), y += w->wander * noise(u + 40, v + 70);
  float d = 1e3f;
  for (int i = 0; i < w->lobes; i++) d = smooth_min(d, lobe_distance(&w->lobe[i], x, y), w->waist);
  if (w->bite.r0 > 0) d = -smooth_min(-d, lobe_distance(&w->bite, x, y), 0.8f);
  return d;
}

static float chromatin(const white_cell *w, float x, float y, float d)
{
  float n = clouds(x / w->clump + w->texture_x, y / w->clump + w->texture_y, 3);
  float clumps = smooth(-0.45f, 0.45f, n), lace = clampf(1.1f - 2.2f * fabsf(n), 0, 1);
  float dense = clumps + w->lace * (lace - clumps);
  float azure = w->density * (1 - w->clumping * (1 - dense)) + w->rim / (1 + d * d * 16);
  if (w->crease > 0) {
    float across = x * sine(w->crease_angle) - y * cosine(w->crease_angle);
    across += 1.1f * noise(0.3f * x + w->texture_y, 0.3f * y);
    azure += w->crease * (exponential(-across * across * 9) - 0.6f * exponential(-(across - 0.6f) * (across - 0.6f) * 6));
  }
  return azure * (0.82f + 0.18f * smooth(0, -0.9f, d));
}

/* paint the cytoplasm */
static void paint_sample(const white_cell *w, float x, float y, float outside, size_t k, canvas *c,
                         const float strength[STAINS])
{
  float cover = 1 - smooth(-w->edge, w->edge, outside), d = nucleus_distance(w, x, y);
  float inside = cover * (1 - smooth(-0.17f, 0.17f, d));
  float cloud = 1 + 2 * w->unevenness * clouds(0.7f * x + w->texture_y, 0.7f * y + w->texture_x, 2);
  cloud += w->shell * smooth(-2.2f, -0.2f, outside) + 0.3f / (1 + outside * outside * 30);
  float body = cover * (1 - 0.7f * inside) * (cloud > 0.2f ? cloud : 0.2f);
  for (int s = 0; s < HAEMOGLOBIN; s++) c->stain[s][k] += strength[s] * body * w->body[s];
  if (inside > 0) {
    float azure = inside * chromatin(w, x, y, d);
    c->stain[AZURE][k] += strength[AZURE] * azure;
    c->stain[EOSIN][k] += strength[EOSIN] * 0.06f * azure;
  }
  if (cover > c->cell[k]) c->cell[k] = cover;
  if (inside > c->nucleus[k]) c->nucleus[k] = inside;
}

static void paint_body(const white_cell *w, canvas *c, const float strength[STAINS])
{
  int box[4];
  find_box(c, w->x, w->y, 1.45f * w->radius + 0.5f, box);
  for (int i = box[0]; i < box[1]; i++)
    for (int j = box[2]; j < box[3]; j++) {
      float dx = at(c->x + j, c->pitch) - w->x, dy = at(c->y + i, c->pitch) - w->y;
      float x = w->cos * dx + w->sin * dy, y = w->cos * dy - w->sin * dx;
      float outside = sqrtf(x * x + y * y) - w->radius * contour_at(&w->outline, x, y);
      if (outside < w->edge) paint_sample(w, x, y, outside, sample(c, i, j), c, strength);
    }
}

/* paint granules */
static void paint_granule(float gx, float gy, float radius, float weight, const granules *g, canvas *c,
                          const float strength[STAINS])
{
  int box[4];
  find_box(c, gx, gy, 1.2f * radius, box);
  for (int i = box[0]; i < box[1]; i++)
    for (int j = box[2]; j < box[3]; j++) {
      float d = length(at(c->x + j, c->pitch) - gx, at(c->y + i, c->pitch) - gy) / radius;
      if (d >= 1.2f) continue;
      float v = weight * (1 - smooth(0.65f, 1.2f, d)) * (0.62f + 0.38f * smooth(0, 0.7f, d));
      size_t k = sample(c, i, j);
      for (int s = 0; s < HAEMOGLOBIN; s++) c->stain[s][k] += strength[s] * v * g->stain[s];
    }
}

static void paint_granules(const white_cell *w, const granules *g, canvas *c, const float strength[STAINS])
{
  rng r = rng_open(w->key, RNG_SYNTH, 0, (uint32_t)(g - w->granule));
  int n = (int)(1.3f * w->radius / g->spacing) + 1;
  for (int i = -n; i <= n; i++)
    for (int j = -n; j <= n; j++) {
      float x = g->spacing * ((float)j + (i & 1) * 0.5f + around(&r, 0, g->scatter * 0.6f));
      float y = g->spacing * (0.866f * (float)i + around(&r, 0, g->scatter * 0.6f));
      float radius = g->radius * around(&r, 1, 0.14f), weight = around(&r, 1, 0.16f);
      if (!chance(&r, g->keep)) continue;
      if (sqrtf(x * x + y * y) > w->radius * contour_at(&w->outline, x, y) - 0.75f * radius) continue;
      if (nucleus_distance(w, x, y) < 0.15f) weight *= g->over_nucleus;
      float gx = w->x + w->cos * x - w->sin * y, gy = w->y + w->sin * x + w->cos * y;
      if (weight > 0) paint_granule(gx, gy, radius, weight, g, c, strength);
    }
}

/* take vacuoles out */
static void paint_vacuole(const white_cell *w, const disc *v, canvas *c)
{
  int box[4];
  float x = w->x + w->cos * v->x - w->sin * v->y, y = w->y + w->sin * v->x + w->cos * v->y;
  find_box(c, x, y, 1.3f * v->r, box);
  for (int i = box[0]; i < box[1]; i++)
    for (int j = box[2]; j < box[3]; j++) {
      float d = length(at(c->x + j, c->pitch) - x, at(c->y + i, c->pitch) - y) / v->r;
      float left = 1 - 0.88f * (1 - smooth(0.7f, 1.3f, d));
      for (int s = 0; s < HAEMOGLOBIN; s++) c->stain[s][sample(c, i, j)] *= left;
    }
}

/* paint red cells */
static void paint_red(const red_cell *e, canvas *c, float strength, float eosin)
{
  int box[4];
  find_box(c, e->x, e->y, 1.3f * e->radius * e->squeeze, box);
  for (int i = box[0]; i < box[1]; i++)
    for (int j = box[2]; j < box[3]; j++) {
      float dx = at(c->x + j, c->pitch) - e->x, dy = at(c->y + i, c->pitch) - e->y;
      float x = (e->cos * dx + e->sin * dy) / e->squeeze, y = (e->cos * dy - e->sin * dx) * e->squeeze;
      float rho = sqrtf(x * x + y * y) / (e->radius * contour_at(&e->outline, x, y));
      if (rho > 1.04f) continue;
      float q = rho < 0.98f ? rho * rho : 0.96f, sheet = 1 - smooth(0.95f, 1.04f, rho);
      float biconcave = sqrtf(1 - q) * (0.81f + 7.83f * q - 4.39f * q * q) / 2.58f;
      float thick = sheet * ((1 - e->pallor) * 0.85f + e->pallor * biconcave);
      size_t k = sample(c, i, j);
      thick *= e->density * (e->over ? 1 : 1 - c->cell[k]);
      c->stain[HAEMOGLOBIN][k] += strength * thick;
      c->stain[EOSIN][k] += 0.045f * eosin * thick;
    }
}

static void paint_platelet(const platelet *p, const smear *m, canvas *c)
{
  int box[4];
  find_box(c, p->x, p->y, 1.6f * p->radius, box);
  for (int i = box[0]; i < box[1]; i++)
    for (int j = box[2]; j < box[3]; j++) {
      float x = at(c->x + j, c->pitch), y = at(c->y + i, c->pitch), dx = x - p->x, dy = y - p->y;
      float rho = sqrtf(dx * dx + dy * dy) / (p->radius * contour_at(&p->outline, dx, dy));
      float cloud = clouds(2.2f * x + m->texture_x, 2.2f * y + m->texture_y, 2);
      float grain = 0.35f + 0.9f * smooth(-0.4f, 0.5f, cloud);
      float v = p->density * grain * (1 - smooth(0.55f, 1.15f, rho));
      size_t k = sample(c, i, j);
      c->stain[AZURE][k] += 0.8f * m->stain[AZURE] * v, c->stain[BLUE][k] += 0.35f * m->stain[BLUE] * v;
    }
}

/* paint all that the canvas covers */
static void paint(const smear *m, canvas *c)
{
  for (int i = 0; i < m->whites; i++) {
    const white_cell *w = &m->white[i];
    paint_body(w, c, m->stain);
    for (int g = 0; g < 2; g++)
      if (w->granule[g].radius > 0) paint_granules(w, &w->granule[g], c, m->stain);
    for (int v = 0; v < w->vacuoles; v++) paint_vacuole(w, &w->vacuole[v], c);
  }
  for (int i = 0; i < m->reds; i++) paint_red(&m->red[i], c, m->stain[HAEMOGLOBIN], m->stain[EOSIN]);
  for (int i = 0; i < m->platelets; i++) paint_platelet(&m->platelet[i], m, c);
}

/* set lamp and focus */
typedef struct { int dy, dx; float blur, light[3], slope_y, slope_x, vignette; } shot_settings;

static shot_settings set_up_shot(const synth_style *s, uint64_t seed, uint32_t shot)
{
  rng r = open_stream(s, seed, OF_SHOT, shot);
  shot_settings t = { 0 };
  float out_of_focus = around(&r, 0, s->defocus), bright = exponential(around(&r, 0, 0.03f));
  if (chance(&r, 0.08f)) out_of_focus = between(&r, 0.3f, 0.55f);
  t.blur = sqrtf(s->lens * s->lens + out_of_focus * out_of_focus);
  for (int k = 0; k < 3; k++) t.light[k] = s->light[k] * bright * exponential(around(&r, 0, s->tint));
  t.slope_y = around(&r, 0, 0.03f), t.slope_x = around(&r, 0, 0.03f), t.vignette = between(&r, 0, 0.06f);
  if (s->field_h) t.dy = (int)rng_below(&r, 13) - 6, t.dx = (int)rng_below(&r, 13) - 6;
  return t;
}

void synth_place(const smear *m, const synth_style *s, uint64_t seed, uint32_t shot, int i, int *y, int *x)
{
  shot_settings t = set_up_shot(s, seed, shot);
  *y = (int)floorf(m->white[i].y * s->scale) - t.dy;
  *x = (int)floorf(m->white[i].x * s->scale) - t.dx;
}

/* choose the raster */
static void open_canvas(canvas *c, int y, int x, int h, int w, int fine, int margin, float scale)
{
  *c = (canvas){ .y = y * fine - margin, .x = x * fine - margin, .pitch = 1 / (scale * (float)fine) };
  c->h = h * fine + 2 * margin, c->w = w * fine + 2 * margin;
  size_t n = (size_t)c->h * (size_t)c->w;
  float *planes = NEW(float, n * (STAINS + 2));
  for (int k = 0; k < STAINS; k++) c->stain[k] = planes + n * (size_t)k;
  c->cell = planes + n * STAINS, c->nucleus = planes + n * (STAINS + 1);
}

static void shine(const canvas *c, const smear *m, const synth_style *s, const shot_settings *t,
                  float *light)                      /* (3, H, W) */
{
  size_t n = (size_t)c->h * (size_t)c->w;
  for (int i = 0; i < c->h; i++)
    for (int j = 0; j < c->w; j++) {
      float y = at(c->y + i, c->pitch) / m->height - 0.5f, x = at(c->x + j, c->pitch) / m->width - 0.5f;
      float lamp = 1 + t->slope_y * y + t->slope_x * x - t->vignette * (x * x + y * y);
      size_t k = sample(c, i, j);
      for (int l = 0; l < 3; l++) {
        float density = 0;
        for (int q = 0; q < STAINS; q++) density += s->absorb[q][l] * c->stain[q][k];
        light[n * (size_t)l + k] = t->light[l] * lamp * exponential(-density);
      }
    }
}

/* blur, and average over pixels */
enum { LONGEST = 129 };

/* Gaussian of sigma samples, convolved with a box of `fine` samples: taps[0..n-1]; a pixel's first sample is at
   tap `reach`. */
static int make_kernel(float sigma, int fine, int reach, float taps[LONGEST])
{
  int n = 2 * reach + fine;
  float sum = 0;
  for (int i = 0; i < n; i++) {
    taps[i] = 0;
    for (int b = 0; b < fine; b++) {
      float d = (float)(i - reach - b) / sigma;
      taps[i] += exponential(-0.5f * d * d);
    }
    sum += taps[i];
  }
  for (int i = 0; i < n; i++) taps[i] /= sum;
  return n;
}

/* light (h, w) in samples -> picture in pixels, as many as the kernel fits in. */
static void focus(const float *light, int h, int w, int fine, const float *taps, int n, float *picture)
{
  int rows = h, cols = (w - n) / fine + 1, lines = (h - n) / fine + 1;
  float *half = NEW(float, (size_t)rows * (size_t)cols);
  for (int i = 0; i < rows; i++)
    for (int j = 0; j < cols; j++) {
      const float *p = light + (size_t)i * (size_t)w + (size_t)(j * fine);
      float sum = 0;
      for (int k = 0; k < n; k++) sum += taps[k] * p[k];
      half[(size_t)i * (size_t)cols + (size_t)j] = sum;
    }
  for (int i = 0; i < lines; i++) {
    float *out = picture + (size_t)i * (size_t)cols;
    memset(out, 0, (size_t)cols * sizeof *out);
    for (int k = 0; k < n; k++) {
      const float *row = half + (size_t)(i * fine + k) * (size_t)cols;
      for (int j = 0; j < cols; j++) out[j] += taps[k] * row[j];
    }
  }
  free(half);
}

/* add the sensor's noise */
static void pixel_noise(const synth_style *s, uint64_t seed, uint32_t shot, int y, int x, float z[3])
{
  uint32_t word[4];
  rng_block(seed, RNG_SYNTH, (uint32_t)(s->code * STREAMS + OF_NOISE), shot, (uint32_t)(y * 4096 + x), word);
  float u[4];
  for (int k = 0; k < 4; k++) u[k] = ((float)(word[k] >> 8) + 0.5f) / 16777216;
  float r0 = sqrtf(-2 * logarithm(u[0])), r1 = sqrtf(-2 * logarithm(u[2])), a0 = 6.2831853f * u[1], a1 = 6.2831853f * u[3];
  z[0] = r0 * cosine(a0), z[1] = r0 * sine(a0), z[2] = r1 * cosine(a1);
}

static void expose(const float *picture, const synth_style *s, uint64_t seed, uint32_t shot, int y, int x,
                   image *out)
{
  size_t n = (size_t)out->h * (size_t)out->w;
  for (int i = 0; i < out->h; i++)
    for (int j = 0; j < out->w; j++) {
      float z[3];
      size_t k = (size_t)i * (size_t)out->w + (size_t)j;
      pixel_noise(s, seed, shot, y + i, x + j, z);
      for (int l = 0; l < 3; l++) {
        float light = picture[n * (size_t)l + k];
        light += s->noise * sqrtf(0.3f + 0.7f * light / s->light[l]) * z[l];
        out->rgb[3 * k + (size_t)l] = (uint8_t)(clampf(light, 0, 255) + 0.5f);
      }
    }
}

/* write the mask */
static void write_mask(const canvas *c, int fine, int margin, int h, int w, uint8_t *mask)
{
  for (int i = 0; i < h; i++)
    for (int j = 0; j < w; j++) {
      float cell = 0, nucleus = 0, half = 0.5f * (float)(fine * fine);
      for (int a = 0; a < fine; a++)
        for (int b = 0; b < fine; b++) {
          size_t k = (size_t)(margin + i * fine + a) * (size_t)c->w + (size_t)(margin + j * fine + b);
          cell += c->cell[k], nucleus += c->nucleus[k];
        }
      mask[(size_t)i * (size_t)w + (size_t)j] = nucleus > half ? 255 : cell > half ? 128 : 0;
    }
}

image synth_view(const smear *m, const synth_style *s, uint64_t seed, uint32_t shot, int y, int x, int h, int w,
                 uint8_t *mask)
{
  shot_settings t = set_up_shot(s, seed, shot);
  int fine = (int)ceilf(1 / (0.16f * s->scale));
  float taps[LONGEST], sigma = t.blur * s->scale * (float)fine;
  int reach = (int)ceilf(3 * sigma);
  if (2 * reach + fine > LONGEST) reach = (LONGEST - fine) / 2;
  canvas c;
  open_canvas(&c, y + t.dy, x + t.dx, h, w, fine, reach, s->scale);
  paint(m, &c);
  size_t samples = (size_t)c.h * (size_t)c.w, pixels = (size_t)h * (size_t)w;
  float *light = NEW(float, 3 * samples), *picture = NEW(float, 3 * pixels);
  shine(&c, m, s, &t, light);
  int n = make_kernel(sigma, fine, reach, taps);
  for (size_t l = 0; l < 3; l++) focus(light + samples * l, c.h, c.w, fine, taps, n, picture + pixels * l);
  image out = { h, w, NEW(uint8_t, 3 * pixels) };
  expose(picture, s, seed, shot, y, x, &out);
  if (mask) write_mask(&c, fine, reach, h, w, mask);
  free(light), free(picture), free(c.stain[0]);
  return out;
}

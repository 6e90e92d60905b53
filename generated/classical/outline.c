#include "classical/outline.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* walk around a piece */
static bool inside(const uint8_t *mask, int h, int w, int y, int x)
{
  return y >= 0 && y < h && x >= 0 && x < w && mask[y * w + x];
}

/* p receives the middles of the edges; room for 4 * H * W + 4 of them. */
static int walk(const uint8_t *mask, int h, int w, int first, point *p)
{
  static const int dx[4] = { 1, 0, -1, 0 }, dy[4] = { 0, 1, 0, -1 };          /* east, south, west, north */
  static const int left_x[4] = { 0, 0, -1, -1 }, left_y[4] = { -1, 0, 0, -1 };  /* ahead, left of the corner */
  int x = first % w, y = first / w, heading = 0, n = 0, right;
  do {
    p[n++] = (point){ x + 0.5 * dx[heading], y + 0.5 * dy[heading] };
    x += dx[heading], y += dy[heading], right = (heading + 1) % 4;
    if (inside(mask, h, w, y + left_y[heading], x + left_x[heading])) heading = (heading + 3) % 4;
    else if (!inside(mask, h, w, y + left_y[right], x + left_x[right])) heading = right;
  } while ((x != first % w || y != first / w || heading != 0) && n < 4 * h * w);
  return n;
}

/* smooth an outline and bend a ruler to it */
static void smooth_points(const point *p, int n, double sigma, point *out)
{
  int reach = (int)ceil(3 * sigma);
  double *weight = NEW(double, reach + 1), sum = 0;
  for (int k = 0; k <= reach; k++) {
    weight[k] = sigma > 0 ? exp(-k * k / (2 * sigma * sigma)) : 1;
    sum += (k ? 2 : 1) * weight[k];
  }
  for (int i = 0; i < n; i++)
    for (int k = -reach; k <= reach; k++) {
      const point *q = &p[((i + k) % n + n) % n];
      out[i].x += weight[abs(k)] / sum * q->x, out[i].y += weight[abs(k)] / sum * q->y;
    }
  free(weight);
}


outline *outline_of(const point *p, int n, double sigma)
{
  outline *o = NEW(outline, 1);
  *o = (outline){ n, NEW(point, n), NEW(double, n) };
  smooth_points(p, n, sigma, o->p);
  for (int i = 0; i < n; i++) {
    const point *a = &o->p[(i + n - 1) % n], *b = &o->p[i], *c = &o->p[(i + 1) % n];
    double dx = (c->x - a->x) / 2, dy = (c->y - a->y) / 2;
    double ddx = c->x - 2 * b->x + a->x, ddy = c->y - 2 * b->y + a->y;
    double speed = sqrt(dx * dx + dy * dy);
    o->curvature[i] = speed > 1e-9 ? (dx * ddy - dy * ddx) / (speed * speed * speed) : 0;
  }
  return o;
}

outline *outline_trace(const uint8_t *mask, int h, int w, int first, double sigma)
{
  point *p = NEW(point, 4 * (size_t)h * (size_t)w + 4);
  int n = walk(mask, h, w, first, p);
  outline *o = outline_of(p, n, sigma);
  free(p);
  return o;
}

void outline_free(outline *o) { free(o->p), free(o->curvature), free(o); }

/* measure an outline */
static double cross(point a, point b) { return a.x * b.y - b.x * a.y; }
static double apart(point a, point b) { return hypot(a.x - b.x, a.y - b.y); }

double outline_area(const outline *o)
{
  double sum = 0;
  for (int i = 0; i < o->n; i++) sum += cross(o->p[i], o->p[(i + 1) % o->n]);
  return sum / 2;
}

double outline_length(const outline *o)
{
  double sum = 0;
  for (int i = 0; i < o->n; i++) sum += apart(o->p[i], o->p[(i + 1) % o->n]);
  return sum;
}

static int by_place(const void *a, const void *b)
{
  const point *p = a, *q = b;
  return p->x != q->x ? (p->x > q->x) - (p->x < q->x) : (p->y > q->y) - (p->y < q->y);
}

static double turn_of(point a, point b, point c)
{
  return (b.x - a.x) * (c.y - a.y) - (b.y - a.y) * (c.x - a.x);
}

double hull_area(point *p, int n)
{
  point *hull = NEW(point, 2 * n + 1);
  int k = 0;
  double sum = 0;
  qsort(p, (size_t)n, sizeof *p, by_place);
  for (int side = 0; side < 2; side++)
    for (int i = 0, least = k + 1; i < n; i++) {
      point q = p[side ? n - 1 - i : i];
      while (k > least && turn_of(hull[k - 2], hull[k - 1], q) <= 0) k--;
      hull[k++] = q;
    }
  for (int i = 0; i + 1 < k; i++) sum += cross(hull[i], hull[i + 1]);
  free(hull);
  return fabs(sum) / 2;
}

/* judge a cut */
/* A part of the outline: the indexes of its points in order, and the running shoelace sums of them. */
typedef struct { int n, *at; double *sum; } lobe_part;

static lobe_part new_part(const outline *o, const int *at, int n)
{
  lobe_part p = { n, NEW(int, n), NEW(double, n) };
  memcpy(p.at, at, sizeof *at * (size_t)n);
  for (int i = 1; i < n; i++) p.sum[i] = p.sum[i - 1] + cross(o->p[at[i - 1]], o->p[at[i]]);
  return p;
}

static void free_part(lobe_part *p) { free(p->at), free(p->sum); }

static double part_area(const outline *o, const lobe_part *p)
{
  return (p->sum[p->n - 1] + cross(o->p[p->at[p->n - 1]], o->p[p->at[0]])) / 2;
}

/* Does the straight line from a to b stay inside the part? Odd crossings to the right mean inside. */
static bool runs_inside(const outline *o, const lobe_part *piece, point a, point b)
{
  int steps = (int)ceil(apart(a, b)) + 1;
  for (int s = 1; s < steps; s++) {
    double x = a.x + (b.x - a.x) * s / steps, y = a.y + (b.y - a.y) * s / steps;
    bool in = false;
    for (int i = 0, j = piece->n - 1; i < piece->n; j = i++) {
      point p = o->p[piece->at[i]], q = o->p[piece->at[j]];
      if ((p.y > y) != (q.y > y) && x < p.x + (q.x - p.x) * (y - p.y) / (q.y - p.y)) in = !in;
    }
    if (!in) return false;
  }
  return true;
}

/* split an outline into lobes */
typedef struct { int i, j; double neck, grade; } best_cut;   /* places in a part; grade: neck over its limit */

static bool *find_notches(const outline *o, double limit)
{
  bool *notch = NEW(bool, o->n);
  for (int i = 0; i < o->n; i++) {
    bool least = o->curvature[i] < limit;
    for (int k = -2; k <= 2 && least; k++)
      if (k && o->curvature[((i + k) % o->n + o->n) % o->n] < o->curvature[i]) least = false;
    notch[i] = least;
  }
  return notch;
}

static best_cut find_cut(const outline *o, const lobe_part *p, const bool *notch, double least_area)
{
  best_cut best = { -1, -1, 0, 1 };
  double all = part_area(o, p);
  for (int i = 0; i < p->n; i++) {
    if (!notch[p->at[i]]) continue;
    for (int j = 0; j < p->n; j++) {
      /* judge the cut from one notch to another place */
      int from = i < j ? i : j, to = i < j ? j : i;
      bool two = notch[p->at[j]];
      if (to - from < 3 || to - from > p->n - 3 || (two && j < i)) continue;
      point a = o->p[p->at[from]], b = o->p[p->at[to]];
      double area = (p->sum[to] - p->sum[from] + cross(b, a)) / 2, less = fmin(area, all - area);
      if (less < least_area) continue;
      double neck = apart(a, b) / (2 * sqrt(less / M_PI)), grade = neck / (two ? 0.8 : 0.5);
      if (grade < best.grade && runs_inside(o, p, a, b)) best = (best_cut){ from, to, neck, grade };

    }
  }
  return best;
}
lobe_split outline_split(const outline *o)
{
  lobe_split s = {0};
  double whole = outline_area(o), limit = -0.25 * sqrt(M_PI / fmax(whole, 1));
  bool *notch = find_notches(o, limit);
  int *at = NEW(int, o->n), waiting = 1, cuts = 0;
  lobe_part list[MOST_LOBES];
  for (int i = 0; i < o->n; i++) at[i] = i;
  list[0] = new_part(o, at, o->n);
  while (waiting) {
    lobe_part p = list[--waiting];
    best_cut b = find_cut(o, &p, notch, whole / 12);
    if (b.i < 0 || cuts + 1 == MOST_LOBES) { s.area[s.lobes++] = part_area(o, &p), free_part(&p); continue; }
    /* cut the part in two */
    s.cut[cuts++] = (lobe_cut){ o->p[p.at[b.i]], o->p[p.at[b.j]], b.neck };
    notch[p.at[b.i]] = notch[p.at[b.j]] = false;
    list[waiting++] = new_part(o, p.at + b.i, b.j - b.i + 1);
    memcpy(at, p.at, sizeof *at * (size_t)(b.i + 1));
    memcpy(at + b.i + 1, p.at + b.j, sizeof *at * (size_t)(p.n - b.j));
    list[waiting++] = new_part(o, at, b.i + 1 + p.n - b.j);

    free_part(&p);
  }
  free(notch), free(at);
  return s;
}

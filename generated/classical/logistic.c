#include "classical/logistic.h"
#include "classical/lda.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* sum the loss and its gradient */
/* x (n, features), standardised; label (n) */
typedef struct { const int *label; double *x, l2; int n, features, classes; } problem;

static double dot(const double *a, const double *b, size_t n)
{
  double sum[4] = {0};
  size_t i = 0;
  for (; i + 4 <= n; i += 4)
    for (size_t k = 0; k < 4; k++) sum[k] += a[i + k] * b[i + k];
  for (; i < n; i++) sum[0] += a[i] * b[i];
  return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

static void add_scaled(double *to, double s, const double *x, size_t n)
{
  for (size_t i = 0; i < n; i++) to[i] += s * x[i];
}

/* J at w (classes * (features + 1)); its gradient into g. */
static double loss_and_gradient(const problem *q, const double *w, double *g)
{
  size_t F = (size_t)q->features, K = (size_t)q->classes;
  double loss = 0, *p = NEW(double, K);
  memset(g, 0, sizeof *g * K * (F + 1));
  for (int i = 0; i < q->n; i++) {
    const double *x = q->x + (size_t)i * F;
    /* add one cell to loss and gradient */
    for (size_t k = 0; k < K; k++) p[k] = w[K * F + k] + dot(w + k * F, x, F);
    softmax(p, q->classes);
    loss -= log(fmax(p[q->label[i]], 1e-300)) / q->n;
    p[q->label[i]] -= 1;
    for (size_t k = 0; k < K; k++) add_scaled(g + k * F, p[k] / q->n, x, F), g[K * F + k] += p[k] / q->n;

  }
  add_scaled(g, q->l2, w, K * F);
  free(p);
  return loss + q->l2 / 2 * dot(w, w, K * F);
}
/* turn the gradient into a quasi-Newton direction */
enum { PAIRS = 10 };
typedef struct { double *s[PAIRS], *y[PAIRS], curve[PAIRS]; int pairs, at; } memory;

/* g -> -H g, in place, H the memory's guess at the inverse of the second derivatives. */
static void turn_gradient(const memory *m, double *g, size_t n)
{
  double a[PAIRS];
  /* take out what the newest steps explain first */
  for (int i = 0; i < m->pairs; i++) {
    int k = (m->at - 1 - i + 2 * PAIRS) % PAIRS;
    a[k] = dot(m->s[k], g, n) / m->curve[k];
    add_scaled(g, -a[k], m->y[k], n);
  }
  int last = (m->at - 1 + PAIRS) % PAIRS;
  double scale = m->pairs ? m->curve[last] / dot(m->y[last], m->y[last], n) : 1;
  for (size_t i = 0; i < n; i++) g[i] *= -scale;
  /* put it back, from the oldest on */
  for (int i = m->pairs; i-- > 0; ) {
    int k = (m->at - 1 - i + 2 * PAIRS) % PAIRS;
    add_scaled(g, -a[k] - dot(m->y[k], g, n) / m->curve[k], m->s[k], n);
  }

}

/* Remember a step and what it did to the gradient, unless the curve along it is lost in rounding. */
static void remember(memory *m, const double *s, const double *y, size_t n)
{
  double curve = dot(s, y, n);
  if (!(curve > 1e-14 * dot(y, y, n))) return;
  if (!m->s[m->at]) m->s[m->at] = NEW(double, n), m->y[m->at] = NEW(double, n);
  memcpy(m->s[m->at], s, sizeof *s * n), memcpy(m->y[m->at], y, sizeof *y * n);
  m->curve[m->at] = curve, m->at = (m->at + 1) % PAIRS;
  if (m->pairs < PAIRS) m->pairs++;
}
/* go a step down, halving until it helps */
static double largest(const double *g, size_t n)
{
  double most = 0;
  for (size_t i = 0; i < n; i++) most = fmax(most, fabs(g[i]));
  return most;
}

/* One step from w, where the loss is J and the gradient g, to a lower loss; false where there is none. */
static bool take_step(const problem *q, memory *m, double *w, double *J, double *g, double *room, size_t n)
{
  double *d = room, *to = room + n, *h = room + 2 * n, t = 1;
  memcpy(d, g, sizeof *d * n), turn_gradient(m, d, n);
  double promise = dot(d, g, n);
  if (!m->pairs) t = 1 / fmax(1, sqrt(dot(g, g, n)));
  for (int halved = 0; halved < 40; halved++, t /= 2) {
    memcpy(to, w, sizeof *w * n), add_scaled(to, t, d, n);
    double loss = loss_and_gradient(q, to, h);
    if (!(loss <= *J + 1e-4 * t * promise)) continue;
    for (size_t i = 0; i < n; i++) d[i] = to[i] - w[i], g[i] = h[i] - g[i];
    remember(m, d, g, n);
    memcpy(w, to, sizeof *w * n), memcpy(g, h, sizeof *g * n), *J = loss;
    return true;
  }
  return false;
}

/* standardise the cells */
static void standardise_cells(logistic *l, problem *q, const double *x, const int *row)
{
  size_t F = (size_t)l->features;
  for (int i = 0; i < q->n; i++) add_scaled(l->mean, 1.0 / q->n, x + (size_t)row[i] * F, F);
  for (int i = 0; i < q->n; i++)
    for (size_t f = 0; f < F; f++) {
      double d = q->x[(size_t)i * F + f] = x[(size_t)row[i] * F + f] - l->mean[f];
      l->sd[f] += d * d / q->n;
    }
  for (size_t f = 0; f < F; f++) l->sd[f] = l->sd[f] > 1e-24 ? sqrt(l->sd[f]) : 1;
  for (size_t i = 0; i < (size_t)q->n * F; i++) q->x[i] /= l->sd[i % F];
}

/* The weights of start, given to features that are standardised otherwise. */
static void begin_with(logistic *l, const logistic *start)
{
  size_t F = (size_t)l->features;
  for (size_t k = 0; k < (size_t)l->classes; k++) {
    double *b = &l->w[(size_t)l->classes * F + k];
    *b = start->w[(size_t)l->classes * F + k];
    for (size_t f = 0; f < F; f++) {
      double w = start->w[k * F + f] / start->sd[f];
      l->w[k * F + f] = w * l->sd[f], *b += w * (l->mean[f] - start->mean[f]);
    }
  }
}

/* fit a logistic regression */
logistic *logistic_fit(const double *x, const int *label, const int *row, int n, int features, int classes,
                       double l2, const logistic *start, double tolerance, int most)
{
  size_t F = (size_t)features, all = (size_t)classes * (F + 1);
  logistic *l = NEW(logistic, 1);
  *l = (logistic){ features, classes, 0, NEW(double, F), NEW(double, F), NEW(double, all), 0, 0 };
  int *y = NEW(int, n);
  problem q = { y, NEW(double, (size_t)n * F), l2, n, features, classes };
  memory m = {0};
  double *g = NEW(double, all), *room = NEW(double, 3 * all);
  for (int i = 0; i < n; i++) y[i] = label[row[i]];
  standardise_cells(l, &q, x, row);
  if (start) begin_with(l, start);
  l->loss = loss_and_gradient(&q, l->w, g);
  while (l->steps < most && largest(g, all) > tolerance && take_step(&q, &m, l->w, &l->loss, g, room, all))
    l->steps++;
  l->slope = largest(g, all);
  for (int k = 0; k < PAIRS; k++) free(m.s[k]), free(m.y[k]);
  free(y), free(q.x), free(g), free(room);
  return l;
}

/* give posteriors */
void logistic_posterior(const logistic *l, const double *x, double *p)
{
  size_t F = (size_t)l->features, K = (size_t)l->classes;
  for (size_t k = 0; k < K; k++) {
    p[k] = l->w[K * F + k];
    for (size_t f = 0; f < F; f++) p[k] += l->w[k * F + f] * (x[f] - l->mean[f]) / l->sd[f];
  }
  softmax(p, l->classes);
}

void logistic_free(logistic *l) { free(l->mean), free(l->sd), free(l->w), free(l); }


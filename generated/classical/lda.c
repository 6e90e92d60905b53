#include "classical/lda.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* solve equations by LAPACK, where there is one */
#if HAVE_LAPACK
void dposv_(const char *uplo, const int *n, const int *nrhs, double *a, const int *lda, double *b,
            const int *ldb, int *info);
#if HAVE_OPENBLAS
void openblas_set_num_threads(int);
#else
static void openblas_set_num_threads(int threads) { (void)threads; }
#endif

const char *lda_why_off(void) { return NULL; }

/* a (n, n) x = b, for each of the `many` rows b (many, n), in place; false where a is not positive definite. */
static bool solve(double *a, int n, double *b, int many)
{
  int info;
  openblas_set_num_threads(1);
  dposv_("U", &n, &many, a, &n, b, &n, &info);
  return info == 0;
}
#else
const char *lda_why_off(void)
{
  return "built without LAPACK (libopenblas-dev); make deps, then build again";
}

static bool solve(double *a, int n, double *b, int many)
{
  (void)a, (void)n, (void)b, (void)many;
  die(EXIT_FAIL, "linear discriminant analysis", lda_why_off(), NULL, NULL);
}
#endif

/* find means and covariance */
/* mean (K, F); sd (F); s (F, F), standardised in the end; count (K) */
typedef struct { double *mean, *sd, *s; int *count, cells; } scatter;

static void centre(const double *x, const double *mean, int features, double *to)
{
  for (int f = 0; f < features; f++) to[f] = x[f] - mean[f];
}

static scatter find_scatter(const double *x, const int *label, const int *row, int n, int features,
                            int classes)
{
  size_t F = (size_t)features;
  scatter t = { NEW(double, (size_t)classes * F), NEW(double, F), NEW(double, F * F), NEW(int, classes), 0 };
  double *c = NEW(double, F);
  for (int i = 0; i < n; i++) {
    int k = label[row[i]];
    if (k < 0) continue;
    t.count[k]++, t.cells++;
    for (size_t f = 0; f < F; f++) t.mean[(size_t)k * F + f] += x[(size_t)row[i] * F + f];
  }
  for (int k = 0; k < classes; k++)
    for (size_t f = 0; f < F; f++) t.mean[(size_t)k * F + f] /= t.count[k] ? t.count[k] : 1;
  for (int i = 0; i < n; i++) {
    int k = label[row[i]];
    if (k < 0) continue;
    centre(x + (size_t)row[i] * F, t.mean + (size_t)k * F, features, c);
    for (size_t f = 0; f < F; f++)
      for (size_t g = 0; g <= f; g++) t.s[f * F + g] += c[f] * c[g];
  }
  free(c);
  return t;
}

/* standardise the features */
/* S over the standard deviations, both triangles, with the ridge; a feature without variance gets a row of the
   unit matrix. */
static void standardise(scatter *t, int features, int present, double ridge)
{
  size_t F = (size_t)features;
  for (size_t f = 0; f < F; f++) t->sd[f] = sqrt(t->s[f * F + f] / (t->cells - present));
  for (size_t f = 0; f < F; f++)
    for (size_t g = 0; g <= f; g++) {
      double v = t->s[f * F + g] / (t->cells - present);
      v = t->sd[f] > 1e-12 && t->sd[g] > 1e-12 ? v / (t->sd[f] * t->sd[g]) : 0;
      t->s[f * F + g] = t->s[g * F + f] = f == g ? 1 + ridge : v;
    }
}

/* fit a linear discriminant */
lda *lda_fit(const double *x, const int *label, const int *row, int n, int features, int classes,
             double ridge)
{
  scatter t = find_scatter(x, label, row, n, features, classes);
  size_t F = (size_t)features;
  int present = 0;
  lda *l = NEW(lda, 1);
  *l = (lda){ features, classes, NEW(double, (size_t)classes * F), NEW(double, classes) };
  for (int k = 0; k < classes; k++) present += t.count[k] > 0;
  if (t.cells <= present)
    die(EXIT_DATA, "linear discriminant analysis", say("%d cells in %d classes", t.cells, present),
        "more cells than classes", NULL);
  standardise(&t, features, present, ridge);
  for (size_t i = 0; i < (size_t)classes * F; i++)
    l->w[i] = t.sd[i % F] > 1e-12 ? t.mean[i] / t.sd[i % F] : 0;
  if (!solve(t.s, features, l->w, classes))
    die(EXIT_DATA, "linear discriminant analysis", "measurements that depend on each other",
        "a covariance of full rank", "more cells, or a larger ridge");
  for (size_t i = 0; i < (size_t)classes * F; i++)
    l->w[i] = t.sd[i % F] > 1e-12 ? l->w[i] / t.sd[i % F] : 0;
  for (int k = 0; k < classes; k++) {
    double dot = 0;
    for (size_t f = 0; f < F; f++) dot += t.mean[(size_t)k * F + f] * l->w[(size_t)k * F + f];
    l->b[k] = t.count[k] ? log((double)t.count[k] / t.cells) - dot / 2 : -INFINITY;
  }
  free(t.mean), free(t.sd), free(t.s), free(t.count);
  return l;
}

void lda_free(lda *l) { free(l->w), free(l->b), free(l); }

/* turn discriminants into posteriors */
void softmax(double *s, int n)
{
  double most = -INFINITY, sum = 0;
  for (int k = 0; k < n; k++) most = fmax(most, s[k]);
  for (int k = 0; k < n; k++) sum += s[k] = exp(s[k] - most);
  for (int k = 0; k < n; k++) s[k] /= sum;
}

void lda_posterior(const lda *l, const double *x, double *p)
{
  for (int k = 0; k < l->classes; k++) {
    p[k] = l->b[k];
    for (int f = 0; f < l->features; f++) p[k] += l->w[(size_t)k * (size_t)l->features + (size_t)f] * x[f];
  }
  softmax(p, l->classes);
}


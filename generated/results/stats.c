#include "results/stats.h"
#include "base/rng.h"
#include <math.h>
#include <stdlib.h>

/* score a confusion matrix */
const char *const score_name[SCORE_COUNT] = { "accuracy", "recall", "specificity", "precision", "f1" };

static double share(double part, double whole) { return whole > 0 ? part / whole : 0; }

long confusion_total(const confusion *m)
{
  long n = 0;
  for (int i = 0; i < m->classes; i++)
    for (int j = 0; j < m->classes; j++) n += m->cell[i][j];
  return n;
}

long confusion_right(const confusion *m)
{
  long n = 0;
  for (int i = 0; i < m->classes; i++) n += m->cell[i][i];
  return n;
}

void class_scores(const confusion *m, int k, double score[SCORE_COUNT])
{
  double tp = (double)m->cell[k][k], row = 0, column = 0, all = (double)confusion_total(m);
  for (int i = 0; i < m->classes; i++) row += (double)m->cell[k][i], column += (double)m->cell[i][k];
  score[SCORE_ACCURACY] = share(all - row - column + 2 * tp, all);
  score[SCORE_RECALL] = share(tp, row);
  score[SCORE_SPECIFICITY] = share(all - row - column + tp, all - row);
  score[SCORE_PRECISION] = share(tp, column);
  score[SCORE_F1] = share(2 * tp, row + column);
}

/* average over the classes */
void macro_scores(const confusion *m, double score[SCORE_COUNT])
{
  double one[SCORE_COUNT];
  int present = 0;
  for (int s = 0; s < SCORE_COUNT; s++) score[s] = 0;
  for (int k = 0; k < m->classes; k++) {
    long row = 0;
    for (int j = 0; j < m->classes; j++) row += m->cell[k][j];
    if (!row) continue;
    class_scores(m, k, one), present++;
    for (int s = 0; s < SCORE_COUNT; s++) score[s] += one[s];
  }
  for (int s = 0; s < SCORE_COUNT; s++) score[s] = share(score[s], present);
  score[SCORE_ACCURACY] = share((double)confusion_right(m), (double)confusion_total(m));
}

/* bound a proportion */
interval wilson_of(double right, double n)
{
  if (n <= 0) return (interval){ 0, 1 };
  double p = right / n, z2 = Z95 * Z95 / n, middle = p + z2 / 2, half = Z95 * sqrt(p * (1 - p) / n + z2 / (4 * n));
  interval i = { (middle - half) / (1 + z2), (middle + half) / (1 + z2) };
  if (right <= 0) i.low = 0;
  if (right >= n) i.high = 1;
  return i;
}

interval wilson(long right, long n) { return wilson_of((double)right, (double)n); }

/* compare two proportions */
double normal_p(double z) { return erfc(fabs(z) / sqrt(2)); }

double two_proportion_z(long a, long na, long b, long nb)
{
  double p = (double)(a + b) / (double)(na + nb);
  double s = sqrt(p * (1 - p) * (1 / (double)na + 1 / (double)nb));
  return s > 0 ? ((double)a / (double)na - (double)b / (double)nb) / s : 0;
}

/* compare two nets on the same cells */
double mcnemar(long b, long c)
{
  long n = b + c, least = b < c ? b : c;
  double p = 0;
  for (long i = 0; i <= least; i++) {
    /* add the chance that i of n fair coins show heads */
    p += exp(lgamma((double)n + 1) - lgamma((double)i + 1) - lgamma((double)(n - i) + 1) - (double)n * M_LN2);
  }
  return p < 0.5 ? 2 * p : 1;
}

static double agreement(double both, double only_a, double only_b, double neither)
{
  const double n = both + only_a + only_b + neither, product = both * neither - only_a * only_b;
  const double margins = (both + only_a) * (only_b + neither) * (both + only_b) * (only_a + neither);
  return margins > 0 ? (product > 0 ? fmax(product - n / 2, 0) : product) / sqrt(margins) : 0;
}

interval paired_difference(long both, long only_a, long only_b, long neither)
{
  const long n = both + only_a + only_b + neither;
  if (n <= 0) return (interval){ -1, 1 };
  const double a = (double)(both + only_a) / (double)n, b = (double)(both + only_b) / (double)n;
  const double phi = agreement((double)both, (double)only_a, (double)only_b, (double)neither);
  const interval ia = wilson(both + only_a, n), ib = wilson(both + only_b, n);
  const double below = a - ia.low, above = ia.high - a, b_below = b - ib.low, b_above = ib.high - b;
  return (interval){ a - b - sqrt(below * below - 2 * phi * below * b_above + b_above * b_above),
                     a - b + sqrt(b_below * b_below - 2 * phi * b_below * above + above * above) };
}

double cells_needed(double difference, double disagree)
{
  const double z_power = 0.8416212335729143;         /* the normal distribution's 80 % point */
  disagree = fmax(disagree, difference);
  double z = Z95 * sqrt(disagree) + z_power * sqrt(disagree - difference * difference);
  return ceil(z * z / (difference * difference));
}

/* the distribution of Student's t */
static double beta_fraction(double a, double b, double x)
{
  double c = 1, d = 1 - (a + b) * x / (a + 1);
  d = 1 / (fabs(d) < 1e-300 ? 1e-300 : d);
  double f = d;
  for (int m = 1; m < 500; m++) {
    double step = 1, even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
    double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
    for (int half = 0; half < 2; half++) {
      double u = half ? odd : even;
      d = 1 + u * d, c = 1 + u / c;
      d = 1 / (fabs(d) < 1e-300 ? 1e-300 : d);
      if (fabs(c) < 1e-300) c = 1e-300;
      step = c * d, f *= step;
    }
    if (fabs(step - 1) < 1e-15) break;
  }
  return f;
}

static double incomplete_beta(double a, double b, double x)
{
  if (x <= 0 || x >= 1) return x > 0;
  double front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x));
  if (x < (a + 1) / (a + b + 2)) return front * beta_fraction(a, b, x) / a;
  return 1 - front * beta_fraction(b, a, 1 - x) / b;
}

/* p values and quantiles of t */
double student_p(double t, double df) { return incomplete_beta(df / 2, 0.5, df / (df + t * t)); }

double student_quantile(double p, double df)
{
  double low = 0, high = 1e6;
  for (int i = 0; i < 200; i++) {
    double middle = (low + high) / 2;
    *(student_p(middle, df) > p ? &low : &high) = middle;
  }
  return (low + high) / 2;
}

/* compare two nets over folds */
void mean_sd(const double *x, int n, double *mean, double *sd)
{
  double sum = 0, squares = 0;
  for (int i = 0; i < n; i++) sum += x[i];
  *mean = n ? sum / n : 0;
  for (int i = 0; i < n; i++) squares += (x[i] - *mean) * (x[i] - *mean);
  *sd = n > 1 ? sqrt(squares / (n - 1)) : 0;
}

paired_t corrected_t(const double *difference, int m, double ratio)
{
  paired_t r = { .p = 1, .df = m - 1 };
  mean_sd(difference, m, &r.mean, &r.sd);
  /* give up where there is no spread */
  if (m > 1 && r.sd <= 0 && r.mean == 0) return r;
  if (m < 2 || r.sd <= 0) {
    r.t = r.p = r.bounds.low = r.bounds.high = NAN;
    return r;
  }
  /* test the mean against the corrected error */
  double error = r.sd * sqrt(1.0 / m + ratio), half = student_quantile(LEVEL, r.df) * error;
  r.t = r.mean / error, r.p = student_p(r.t, r.df);
  r.bounds = (interval){ r.mean - half, r.mean + half };
  return r;
}

/* resample a confusion matrix */
static int by_value(const void *a, const void *b)
{
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static interval middle_95(double *x, int n)
{
  qsort(x, (size_t)n, sizeof *x, by_value);
  return (interval){ x[(int)(LEVEL / 2 * n)], x[n - 1 - (int)(LEVEL / 2 * n)] };
}

/* The stream of random numbers of class k in one of three ways to draw: a matrix, pairs, groups. */
static uint32_t stream_of(int way, int k) { return (uint32_t)(k < 16 ? 16 * way + k : CLASSES_MOST * (1 + way) + k); }

/* Draw as many cells of true class i as there are in m, with replacement, into out's row i. */
static void draw_row(rng *r, const confusion *m, int i, confusion *out)
{
  long cells = 0;
  for (int j = 0; j < m->classes; j++) cells += m->cell[i][j], out->cell[i][j] = 0;
  for (long c = 0; c < cells; c++) {
    long at = (long)rng_below(r, (uint32_t)cells);
    int j = 0;
    while (at >= m->cell[i][j]) at -= m->cell[i][j++];
    out->cell[i][j]++;
  }
}

/* draw the matrix many times */
void bootstrap(const confusion *m, uint64_t seed, interval out[SCORE_COUNT])
{
  static double draws[SCORE_COUNT][BOOTSTRAP_DRAWS];
  confusion drawn = { .classes = m->classes };
  double score[SCORE_COUNT];
  for (int d = 0; d < BOOTSTRAP_DRAWS; d++) {
    for (int i = 0; i < m->classes; i++) {
      rng r = rng_open(seed, RNG_BOOTSTRAP, (uint32_t)d, stream_of(0, i));
      draw_row(&r, m, i, &drawn);
    }
    macro_scores(&drawn, score);
    for (int s = 0; s < SCORE_COUNT; s++) draws[s][d] = score[s];
  }
  for (int s = 0; s < SCORE_COUNT; s++) out[s] = middle_95(draws[s], BOOTSTRAP_DRAWS);
}

/* resample a pair of nets */
static void score_difference(const confusion *a, const confusion *b, double out[SCORE_COUNT])
{
  double sa[SCORE_COUNT], sb[SCORE_COUNT];
  macro_scores(a, sa), macro_scores(b, sb);
  for (int s = 0; s < SCORE_COUNT; s++) out[s] = sa[s] - sb[s];
}

/* Draw n of the given cells, all of class truth, and count what the nets made of them in row truth of ma, mb. */
static void draw_pairs(rng *r, const int *cells, int n, int truth, const int *a, const int *b, confusion *ma,
                       confusion *mb)
{
  int classes = ma->classes;
  for (int j = 0; j < classes; j++) ma->cell[truth][j] = mb->cell[truth][j] = 0;
  for (int c = 0; c < n; c++) {
    int i = cells[rng_below(r, (uint32_t)n)];
    ma->cell[truth][a[i]]++, mb->cell[truth][b[i]]++;
  }
}

/* count the draws on each side of zero */
static double draws_p(const double draw[BOOTSTRAP_DRAWS])
{
  int below = 0, above = 0;
  for (int t = 0; t < BOOTSTRAP_DRAWS; t++) below += draw[t] <= 0, above += draw[t] >= 0;
  int least = below < above ? below : above;
  return fmin(1, least ? 2.0 * least / BOOTSTRAP_DRAWS : 1.0 / BOOTSTRAP_DRAWS);
}

/* draw the pairs many times */
void paired_bootstrap(int classes, int n, const int *truth, const int *a, const int *b, uint64_t seed,
                      interval out[SCORE_COUNT], double p[SCORE_COUNT])
{
  static double draws[SCORE_COUNT][BOOTSTRAP_DRAWS];
  int *cells = NEW(int, n), start[CLASSES_MOST + 1] = {0}, at = 0;
  /* list the cells, class after class */
  for (int k = 0; k < classes; k++, start[k] = at)
    for (int i = 0; i < n; i++) if (truth[i] == k) cells[at++] = i;
  confusion ma = { .classes = classes }, mb = ma;
  double d[SCORE_COUNT];
  for (int t = 0; t < BOOTSTRAP_DRAWS; t++) {
    /* draw each class again, the same cells for both nets */
    for (int k = 0; k < classes; k++) {
      rng r = rng_open(seed, RNG_BOOTSTRAP, (uint32_t)t, stream_of(1, k));
      draw_pairs(&r, cells + start[k], start[k+1] - start[k], k, a, b, &ma, &mb);
    }
    score_difference(&ma, &mb, d);
    for (int s = 0; s < SCORE_COUNT; s++) draws[s][t] = d[s];
  }
  free(cells);
  for (int s = 0; s < SCORE_COUNT; s++) {
    p[s] = draws_p(draws[s]);
    out[s] = middle_95(draws[s], BOOTSTRAP_DRAWS);
  }
}

/* cells in groups */
double design_effect(const bool *right, const int *group, int n, int groups)
{
  double *size = NEW(double, groups), *known = NEW(double, groups), p = 0, squares = 0, spread = 0;
  int there = 0;
  /* count each group's cells, and the right ones among them */
  for (int i = 0; i < n; i++) size[group[i]]++, known[group[i]] += right[i], p += right[i];
  p /= n > 0 ? n : 1;
  /* sum how far each group is from the common share */
  for (int g = 0; g < groups; g++) {
    const double e = known[g] - p * size[g];
    there += size[g] > 0, squares += size[g] * size[g], spread += e * e;
  }
  free(size), free(known);
  if (n == 0) return 1;
  const double most = squares / n;
  if (squares <= n) return 1;                        /* every cell stands alone */
  if (p <= 0 || p >= 1 || there < 2) return most;
  return fmax(1, spread * there / (there - 1) / (n * p * (1 - p)));
}

double sign_flip(const int *difference, int groups)
{
  int most = 0, sum = 0, reached = 0;
  for (int g = 0; g < groups; g++) most += abs(difference[g]), sum += difference[g];
  double *chance = NEW(double, 2 * most + 1), *next = NEW(double, 2 * most + 1), p = 0;
  chance[most] = 1;                                  /* before the first group the sum is 0 */
  for (int g = 0; g < groups; g++) {
    const int d = abs(difference[g]);
    if (!d) continue;
    /* let the group's difference have either sign */
    for (int s = -reached - d; s <= reached + d; s++) next[most + s] = 0;
    for (int s = -reached; s <= reached; s++)
      next[most + s + d] += chance[most + s] / 2, next[most + s - d] += chance[most + s] / 2;
    double *swap = chance;
    chance = next, next = swap, reached += d;
  }
  /* add the chances of sums as large as ours */
  for (int s = -reached; s <= reached; s++) if (abs(s) >= abs(sum)) p += chance[most + s];
  free(chance), free(next);
  return fmin(p, 1);
}

/* draw groups many times */
/* start (groups + 1) and cell (n): the cells of group g stand from start[g] on. */
static void list_groups(const int *group, int n, int groups, int *start, int *cell)
{
  for (int i = 0; i < n; i++) start[group[i] + 1]++;
  for (int g = 0; g < groups; g++) start[g + 1] += start[g];
  int *at = NEW(int, groups);
  for (int i = 0; i < n; i++) cell[start[group[i]] + at[group[i]]++] = i;
  free(at);
}

void group_bootstrap(int classes, int n, const int *truth, const int *a, const int *b, const int *group,
                     int groups, uint64_t seed, interval out[SCORE_COUNT], double p[SCORE_COUNT])
{
  static double draws[SCORE_COUNT][BOOTSTRAP_DRAWS];
  int *start = NEW(int, groups + 1), *cell = NEW(int, n);
  double d[SCORE_COUNT];
  list_groups(group, n, groups, start, cell);
  for (int t = 0; t < BOOTSTRAP_DRAWS; t++) {
    confusion ma = { .classes = classes }, mb = ma;
    rng r = rng_open(seed, RNG_BOOTSTRAP, (uint32_t)t, stream_of(2, 0));
    /* draw as many groups as there are, with all their cells */
    for (int k = 0; k < groups; k++) {
      const int g = (int)rng_below(&r, (uint32_t)groups);
      for (int c = start[g]; c < start[g + 1]; c++) {
        const int i = cell[c];
        ma.cell[truth[i]][a[i]]++;
        if (b) mb.cell[truth[i]][b[i]]++;
      }
    }
    if (b) score_difference(&ma, &mb, d); else macro_scores(&ma, d);
    for (int s = 0; s < SCORE_COUNT; s++) draws[s][t] = d[s];
  }
  free(start), free(cell);
  for (int s = 0; s < SCORE_COUNT; s++) {
    if (b) p[s] = draws_p(draws[s]);
    out[s] = middle_95(draws[s], BOOTSTRAP_DRAWS);
  }
}
/* is a net as sure as it may be? */
int reliability_bin(double confidence)
{
  const int m = (int)ceil(confidence * RELIABILITY_BINS) - 1;
  return m < 0 ? 0 : m < RELIABILITY_BINS ? m : RELIABILITY_BINS - 1;
}

static void put_into_bin(reliability bin[RELIABILITY_BINS], double confidence, bool right)
{
  const int m = reliability_bin(confidence);
  bin[m].cells++, bin[m].right += right, bin[m].confidence += confidence;
}

static double error_of_bins(const reliability bin[RELIABILITY_BINS])
{
  double distance = 0, n = 0;
  for (int m = 0; m < RELIABILITY_BINS; m++) distance += fabs(bin[m].right - bin[m].confidence), n += bin[m].cells;
  return share(distance, n);
}

double calibration(const double *confidence, const bool *right, int n, reliability bin[RELIABILITY_BINS])
{
  for (int m = 0; m < RELIABILITY_BINS; m++) bin[m] = (reliability){ 0 };
  for (int i = 0; i < n; i++) put_into_bin(bin, confidence[i], right[i]);
  return error_of_bins(bin);
}

static double drawn_error(const double *confidence, const bool *right, const int *start, const int *cell, int groups, uint64_t seed, int draw)
{
  reliability bin[RELIABILITY_BINS] = {0};
  rng r = rng_open(seed, RNG_BOOTSTRAP, (uint32_t)draw, stream_of(3, 0));
  for (int k = 0; k < groups; k++) {
    const int g = (int)rng_below(&r, (uint32_t)groups);
    for (int c = start[g]; c < start[g + 1]; c++) put_into_bin(bin, confidence[cell[c]], right[cell[c]]);
  }
  return error_of_bins(bin);
}

interval calibration_bounds(const double *confidence, const bool *right, int n, const int *group, int groups, uint64_t seed)
{
  static double draw[BOOTSTRAP_DRAWS];
  reliability bin[RELIABILITY_BINS];
  int *alone = NEW(int, n), *cell = NEW(int, n);
  for (int i = 0; i < n; i++) alone[i] = i;
  if (!group) group = alone, groups = n;
  int *start = NEW(int, groups + 1);
  list_groups(group, n, groups, start, cell);
  for (int t = 0; t < BOOTSTRAP_DRAWS; t++) draw[t] = drawn_error(confidence, right, start, cell, groups, seed, t);
  free(alone), free(cell), free(start);
  const double found = calibration(confidence, right, n, bin);
  const interval drawn = middle_95(draw, BOOTSTRAP_DRAWS);
  return (interval){ fmax(0, fmin(found, 2 * found - drawn.high)), fmax(found, 2 * found - drawn.low) };
}

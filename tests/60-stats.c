/* Metrics, intervals and tests against published values and hand computations; never against this program's own output. */
#include "results/stats.h"
#include "tap.h"
#include <math.h>
#include <string.h>

static int near(double x, double expected, double tolerance) { return fabs(x - expected) <= tolerance; }

/* The paper's Table 1; the figures are those computed from it by hand, in the chapter on the paper's claims. */
static const confusion table1 = { 5, { { 1401, 10, 0, 0, 1 }, { 13, 70 }, { 0, 0, 10 }, { 0, 0, 0, 502, 15 }, { 10, 0, 0, 13, 119 } } };

static void test_table1(void)
{
  double s[SCORE_COUNT], one[SCORE_COUNT];
  macro_scores(&table1, s);
  ok(confusion_total(&table1) == 2164, "Table 1 holds 2164 cells, not 2172");
  ok(confusion_right(&table1) == 2102, "2102 of them are recognised");
  ok(near(100 * s[SCORE_ACCURACY], 97.13, 0.005), "accuracy of the table 97.13 %%");
  ok(near(100 * s[SCORE_RECALL], 92.89, 0.005), "mean recall 92.89 %%");
  ok(near(100 * s[SCORE_SPECIFICITY], 98.98, 0.005), "mean specificity 98.98 %%");
  ok(near(100 * s[SCORE_PRECISION], 94.30, 0.005), "mean precision 94.30 %%");
  ok(near(100 * s[SCORE_F1], 93.58, 0.005), "mean F1 93.58 %%");
  class_scores(&table1, 1, one);
  ok(near(one[SCORE_RECALL], 70.0 / 83, 1e-12) && near(one[SCORE_PRECISION], 70.0 / 80, 1e-12), "eosinophils by hand: 70/83, 70/80");
  ok(near(one[SCORE_SPECIFICITY], 2071.0 / 2081, 1e-12), "their specificity by hand: 2071/2081");
}

static void test_absent_class(void)
{
  confusion m = { 3, { { 8, 2, 0 }, { 5, 0, 0 } } };
  double s[SCORE_COUNT];
  macro_scores(&m, s);
  ok(near(s[SCORE_RECALL], 0.4, 1e-12), "a class without cells is left out of the mean recall: (0.8 + 0) / 2");
  ok(near(s[SCORE_PRECISION], 8.0 / 26, 1e-12), "a class never recognised rightly has precision 0");
}

/* Newcombe, Statistics in Medicine 17 (1998) 857-872, Table I, method 3. */
static void test_wilson(void)
{
  const struct { long r, n; double low, high; } c[] = { { 81, 263, 0.2553, 0.3662 }, { 15, 148, 0.0624, 0.1605 }, { 0, 20, 0, 0.1611 }, { 1, 29, 0.0061, 0.1718 } };
  for (int i = 0; i < 4; i++) {
    interval w = wilson(c[i].r, c[i].n);
    ok(near(w.low, c[i].low, 5e-5) && near(w.high, c[i].high, 5e-5), "Wilson %ld/%ld as Newcombe 1998", c[i].r, c[i].n);
  }
  interval two = wilson(2102, 2172), one = wilson(2087, 2172), ten = wilson(10, 10);
  ok(near(100 * two.low, 95.95, 0.01) && near(100 * two.high, 97.44, 0.01), "96.8 %% of 2172: 95.95 to 97.44");
  ok(near(100 * one.low, 95.19, 0.01) && near(100 * one.high, 96.82, 0.01), "96.1 %% of 2172: 95.19 to 96.82");
  ok(near(100 * ten.low, 72, 0.5) && ten.high == 1, "10 of 10 basophils: 72 to 100");
  ok(wilson(0, 0).low == 0 && wilson(0, 0).high == 1, "no cells: anything");
}

/* Exact chance that McNemar's test finds the difference: over all numbers of disagreements, and of those in favour of the first. */
static double power(int cells, double difference, double disagree)
{
  double sum = 0;
  const double share = (1 + difference / disagree) / 2;
  for (int n = 1; n <= cells; n++) {
    double of_n = exp(lgamma(cells + 1.0) - lgamma(n + 1.0) - lgamma(cells - n + 1.0) + n * log(disagree) + (cells - n) * log1p(-disagree));
    if (of_n < 1e-12) continue;
    for (int b = 0; b <= n; b++)
      if (mcnemar(b, n - b) < 0.05) sum += of_n * exp(lgamma(n + 1.0) - lgamma(b + 1.0) - lgamma(n - b + 1.0) + b * log(share) + (n - b) * log1p(-share));
  }
  return sum;
}

static void test_cells_needed(void)
{
  const double at = cells_needed(0.05, 0.2), found = power((int)at, 0.05, 0.2), half = power((int)at / 2, 0.05, 0.2);
  ok(at == 626, "5 points among nets that disagree on 20 %% by hand: (1.96 sqrt(0.2) + 0.8416 sqrt(0.1975))^2 / 0.05^2 = 626 (got %g)", at);
  ok(found > 0.76 && found < 0.82, "the exact test finds them among so many cells in about 80 %% of studies (%.3f)", found);
  ok(half < 0.55, "and among half as many in about half (%.3f)", half);
  ok(cells_needed(0.007, 0.007) == 1119 && cells_needed(0.007, 0.001) == 1119, "the paper's gain, all disagreements in its favour: 1119");
}

/* How often the interval holds the true difference of two nets, over all tables of n cells. */
static double coverage(long n, double both, double a, double b)
{
  const double share[] = { both, a, b, 1 - both - a - b };
  double sum = 0;
  for (long i = 0; i <= n; i++)
    for (long j = 0; i + j <= n; j++)
      for (long k = 0; i + j + k <= n; k++) {
        const long cells[] = { i, j, k, n - i - j - k };
        double chance = lgamma((double)n + 1);
        for (int s = 0; s < 4; s++) chance += (double)cells[s] * log(share[s]) - lgamma((double)cells[s] + 1);
        const interval d = paired_difference(i, j, k, cells[3]);
        if (d.low <= a - b && a - b <= d.high) sum += exp(chance);
      }
  return sum;
}

static void test_difference(void)
{
  interval d = paired_difference(36, 12, 2, 0);
  ok(near(d.low, 0.0569, 5e-5) && near(d.high, 0.3404, 5e-5), "Newcombe (1998), 36, 12, 2, 0: 0.0569 to 0.3404 (got %.4f to %.4f)", d.low, d.high);
  d = paired_difference(1, 1, 7, 12);
  ok(near(d.low, -0.507, 5e-4) && near(d.high, -0.026, 5e-4), "Fagerland and others (2014), 1, 1, 7, 12: -0.507 to -0.026 (got %.3f to %.3f)", d.low, d.high);
  interval turned = paired_difference(1, 7, 1, 12);
  ok(near(turned.low, -d.high, 1e-15) && near(turned.high, -d.low, 1e-15), "the nets exchanged: the same with the other sign");
  d = paired_difference(0, 0, 0, 0);
  ok(d.low == -1 && d.high == 1, "no cells: -1 to 1");
  d = paired_difference(651, 0, 0, 0);
  ok(d.low < 0 && d.low > -0.01 && near(d.high, -d.low, 1e-15), "no disagreement: around 0, and not 0 alone");
  int agree = 0, all = 0;
  for (long a = 0; a <= 30; a++)
    for (long b = 0; b <= a; b++) {
      d = paired_difference(634 - a, a, b, 17 - b);
      all++, agree += (d.low > 0) == (mcnemar(a, b) < 0.05);
      if (b == 0 && a < 6 && d.low > 0) all += 100;                           /* few, all for one net: no difference yet */
    }
  ok(agree >= all - 20, "zero lies outside about where McNemar's test finds a difference: in %d of %d tables", agree, all);
  const double few = coverage(40, 0.85, 0.06, 0.02), alike = coverage(40, 0.9, 0.04, 0.04);
  ok(few > 0.94 && alike > 0.94, "of 40 cells it holds the true difference in 95 %% of studies or more (%.3f, %.3f)", few, alike);
}

static void test_two_nets(void)
{
  double z = two_proportion_z(2102, 2172, 2087, 2172);
  ok(near(z, 1.23, 0.005) && near(normal_p(z), 0.22, 0.005), "96.8 against 96.1 %%, unpaired: z 1.23, p 0.22 (got %.4f, %.4f)", z, normal_p(z));
  ok(near(normal_p(Z95), 0.05, 1e-12), "1.96 is the 5 %% point");
  ok(near(mcnemar(1, 9), 22.0 / 1024, 1e-12), "McNemar 1 against 9 by hand: 2 (1 + 10) / 1024");
  ok(near(mcnemar(10, 2), 158.0 / 4096, 1e-12) && mcnemar(10, 2) == mcnemar(2, 10), "10 against 2 by hand: 2 (1 + 12 + 66) / 4096");
  ok(mcnemar(0, 0) == 1 && mcnemar(7, 7) == 1, "no evidence: p 1");
  test_cells_needed();
  ok(near(mcnemar(86, 150), 3.716e-05, 5e-9), "86 against 150 as R's exact2x2 has it: 3.716e-05 (got %.4g)", mcnemar(86, 150));
  for (long gain = 15; gain <= 16; gain++) {         /* the most cells on which the nets may disagree */
    long most = 0, expected = gain == 15 ? 51 : 58;
    for (long n = gain; n < 200; n += 2) if (mcnemar((n + gain) / 2, (n - gain) / 2) < 0.05) most = n;
    ok(most == expected, "a gain of %ld cells is significant only if the nets disagree on at most %ld (got %ld)", gain, expected, most);
  }
}

/* Student's own data (Biometrika 6 (1908) 1-25): hours of sleep gained by two drugs, ten patients. */
static void test_t(void)
{
  const double gain[10] = { -1.2, -2.4, -1.3, -1.3, 0, -1.0, -1.8, -0.8, -4.6, -1.4 };
  paired_t t = corrected_t(gain, 10, 0), c = corrected_t(gain, 10, 1.0 / 9);
  ok(near(t.t, -4.0621, 5e-5) && near(t.p, 0.002833, 5e-7) && t.df == 9, "Student's sleep data: t -4.0621, p 0.002833");
  ok(near(t.bounds.low, -2.4598858, 5e-7) && near(t.bounds.high, -0.7001142, 5e-7), "and its interval -2.46 to -0.70");
  ok(near(c.t, t.t * sqrt(0.1 / (0.1 + 1.0 / 9)), 1e-12), "ten folds shrink t by sqrt(0.1 / 0.2111)");
  ok(near(student_quantile(0.05, 10), 2.228139, 5e-7) && near(student_quantile(0.05, 1), 12.706205, 5e-7), "t table: 2.228 at 10, 12.706 at 1");
  ok(near(student_quantile(0.01, 30), 2.749996, 5e-7) && near(student_p(0, 5), 1, 1e-12), "t table: 2.750 at 30, 1 %%; p of 0 is 1");
  ok(near(student_quantile(0.5, 10), 0.699812, 5e-7), "t table: 0.700 at 10, 50 %%");
  ok(near(student_p(1, 1), 0.5, 1e-12), "one degree is Cauchy: P(|t| > 1) = 1/2");
  const double same[3] = { 0.25, 0.25, 0.25 };
  const double none[3] = { 0 };
  paired_t u = corrected_t(same, 3, 0.5), one = corrected_t(same, 1, 0.5), zero = corrected_t(none, 3, 0.5);
  ok(isnan(u.p) && isnan(u.t) && isnan(u.bounds.low) && u.mean == 0.25 && isnan(one.p), "no spread or one fold: not defined");
  ok(zero.p == 1 && zero.t == 0 && zero.bounds.high == 0, "no difference at all: p 1");
  double mean, sd;
  mean_sd((const double[]){ 2, 4, 4, 4, 5, 5, 7, 9 }, 8, &mean, &sd);
  ok(mean == 5 && near(sd, sqrt(32.0 / 7), 1e-12), "mean and standard deviation by hand");
}

static void test_bootstrap(void)
{
  interval a[SCORE_COUNT], b[SCORE_COUNT], c[SCORE_COUNT], w = wilson(2102, 2164);
  double s[SCORE_COUNT];
  macro_scores(&table1, s);
  bootstrap(&table1, 1, a), bootstrap(&table1, 1, b), bootstrap(&table1, 2, c);
  ok(!memcmp(a, b, sizeof a) && memcmp(a, c, sizeof a), "the bootstrap is a function of its seed");
  int inside = 1;
  for (int k = 0; k < SCORE_COUNT; k++) inside &= a[k].low < s[k] && s[k] < a[k].high;
  ok(inside, "its intervals hold the scores");
  double ratio = (a[0].high - a[0].low) / (w.high - w.low);
  ok(ratio > 0.9 && ratio < 1.05, "its accuracy interval is about as wide as Wilson's (%.3f)", ratio);
}

static void test_pairs(void)
{
  enum { N = 300 };
  int truth[N], x[N], y[N];
  interval d[SCORE_COUNT];
  double p[SCORE_COUNT];
  for (int i = 0; i < N; i++) truth[i] = i % 3, x[i] = i % 3, y[i] = i % 10 ? i % 3 : (i + 1) % 3;
  paired_bootstrap(3, N, truth, x, x, 7, d, p);
  ok(p[0] == 1 && d[0].low == 0 && d[0].high == 0, "a net does not differ from itself");
  paired_bootstrap(3, N, truth, x, y, 7, d, p);
  ok(p[0] < 0.01 && d[0].low > 0.05 && d[0].high < 0.15, "ten points of difference are found (%.3f to %.3f)", d[0].low, d[0].high);
  for (int i = 0; i < N; i++) x[i] = i % 20 < 18 ? i % 3 : (i + 1) % 3, y[i] = i % 20 < 2 ? (i + 1) % 3 : i % 3;
  paired_bootstrap(3, N, truth, x, y, 7, d, p);
  ok(p[0] > 0.8 && d[0].low < -0.02 && d[0].high > 0.02, "as many errors of each are no difference: p %.2f", p[0]);
}

static void test_groups(void)
{
  const int one[] = { 2, 1 }, other[] = { 2, -1 }, none[] = { 0, 0 };
  ok(near(sign_flip(one, 2), 0.5, 1e-15) && sign_flip(other, 2) == 1 && sign_flip(none, 2) == 1, "signs flipped by hand: 2 and 1 make 3 or -3 in 2 of 4 ways");
  int single[236];
  for (int i = 0; i < 236; i++) single[i] = i < 86 ? 1 : -1;
  ok(near(sign_flip(single, 236), mcnemar(86, 150), 1e-12), "with single cells it is McNemar's test");
  const bool right[] = { 1, 1, 1, 1, 0, 0, 1, 1 };
  const int pair[] = { 0, 0, 1, 1, 2, 2, 3, 3 }, alone[] = { 0, 1, 2, 3, 4, 5, 6, 7 };
  ok(near(design_effect(right, pair, 8, 4), 8.0 / 3, 1e-12), "four pairs that agree, by hand: effect 2 x 4/3");
  ok(design_effect(right, alone, 8, 8) == 1, "single cells: no effect");
  ok(design_effect(right + 6, pair, 2, 1) == 2, "all right: a group counts as one cell");
  enum { N = 400 };
  int truth[2 * N], said[2 * N], group[2 * N], own[2 * N];
  for (int i = 0; i < 2 * N; i++) truth[i] = i / 2 % 2, said[i] = i / 2 % 7 < 5 ? truth[i] : !truth[i], group[i] = i / 2, own[i] = i;
  interval a[SCORE_COUNT], b[SCORE_COUNT], again[SCORE_COUNT];
  double p[SCORE_COUNT];
  group_bootstrap(2, 2 * N, truth, said, NULL, group, N, 3, a, NULL), group_bootstrap(2, 2 * N, truth, said, NULL, own, 2 * N, 3, b, NULL);
  group_bootstrap(2, 2 * N, truth, said, NULL, group, N, 3, again, NULL);
  const double ratio = (a[0].high - a[0].low) / (b[0].high - b[0].low);
  ok(ratio > 1.3 && ratio < 1.53, "each cell twice: drawn by pairs the interval is about root 2 wider (%.3f)", ratio);
  ok(!memcmp(a, again, sizeof a), "and a function of the seed");
  group_bootstrap(2, 2 * N, truth, said, truth, group, N, 3, a, p);
  ok(a[0].high < -0.2 && p[0] < 0.01, "a net that errs differs from one that does not");
}

/* Two bins, one too sure and one too modest: 3 cells at 0.9, of which 1 is right; 2 at 0.35, both right. */
static void test_calibration(void)
{
  const double confidence[] = { 0.9, 0.9, 0.35, 0.35, 0.9 };
  const bool right[] = { true, false, true, true, false };
  reliability bin[RELIABILITY_BINS];
  const double error = calibration(confidence, right, 5, bin);
  ok(near(error, (fabs(1 - 2.7) + fabs(2 - 0.7)) / 5, 1e-12), "calibration error (|1 - 2.7| + |2 - 0.7|) / 5 = 0.6");
  ok(bin[8].cells == 3 && bin[8].right == 1 && near(bin[8].confidence, 2.7, 1e-12) && bin[3].cells == 2 && bin[9].cells == 0, "0.9 belongs to the bin that ends there");
  ok(reliability_bin(0) == 0 && reliability_bin(1) == 9 && reliability_bin(0.5) == 4 && reliability_bin(0.500001) == 5, "the bins' ends");
  ok(calibration(confidence, right, 0, bin) == 0, "no cells: no error");
  enum { N = 300 };
  double sure[2 * N];
  bool good[2 * N];
  int group[2 * N];
  for (int i = 0; i < 2 * N; i++) sure[i] = 0.95, good[i] = i / 2 % 3 > 0, group[i] = i / 2;
  const interval cells = calibration_bounds(sure, good, 2 * N, NULL, 0, 3), pairs = calibration_bounds(sure, good, 2 * N, group, N, 3);
  const double half = Z95 * sqrt(2.0 / 9 / (2 * N)), ratio = (pairs.high - pairs.low) / (cells.high - cells.low);
  ok(near(cells.low, 0.95 - 2.0 / 3 - half, 0.004) && near(cells.high, 0.95 - 2.0 / 3 + half, 0.004), "one bin: the interval of a share, %.3f to %.3f", cells.low, cells.high);
  ok(ratio > 1.3 && ratio < 1.53, "each cell twice: drawn by pairs it is about root 2 wider (%.3f)", ratio);
}

int main(void)
{
  test_table1(), test_absent_class(), test_wilson(), test_two_nets(), test_difference(), test_t(), test_bootstrap(), test_pairs(), test_groups(), test_calibration();
  return done_testing();
}

/* stats.h: from counts of right and wrong cells to metrics, intervals and tests. Pure functions. */
#ifndef STATS_H
#define STATS_H
#include "base/base.h"

/* declare what is counted, tested and bounded */
#define LEVEL 0.05                                   /* of significance, two-sided, of every test; intervals are of 1 - LEVEL */

/* Counts of cells: cell[true class][recognised class]. */
typedef struct { int classes; long cell[CLASSES_MOST][CLASSES_MOST]; } confusion;

/* The metrics, as shares in 0..1. */
enum { SCORE_ACCURACY, SCORE_RECALL, SCORE_SPECIFICITY, SCORE_PRECISION, SCORE_F1, SCORE_COUNT };
extern const char *const score_name[SCORE_COUNT];

long confusion_total(const confusion *m);
long confusion_right(const confusion *m);

/* The scores of one class against the rest (accuracy: of that two-class problem). A share of
   nothing (precision of a class that was never recognised) is 0. */
void class_scores(const confusion *m, int k, double score[SCORE_COUNT]);

/* The accuracy, and the plain means over the classes that have cells of the other four (the paper's
   equations 7 to 9). */
void macro_scores(const confusion *m, double score[SCORE_COUNT]);
typedef struct { double low, high; } interval;
#define Z95 1.959963984540054                        /* the normal distribution's 97.5 % point */

/* Wilson's 95 % score interval of a proportion: right of n. n = 0 gives 0..1. wilson_of: n need not be whole. */
interval wilson(long right, long n);
interval wilson_of(double right, double n);

/* Two-sided p of a standard normal z. */
double normal_p(double z);

/* The unpaired z test of two proportions with the pooled variance; its sign is that of a/na - b/nb. */
double two_proportion_z(long a, long na, long b, long nb);
/* Exact McNemar test: b cells that only the first net recognised, c that only the second did. Two-sided p. */
double mcnemar(long b, long c);
/* Newcombe's 95 % interval (1998, method 10) of the difference of two nets' shares right of the same cells: recognised by
   both, by the first alone, by the second alone, by neither. No cells: -1 to 1. */
interval paired_difference(long both, long only_a, long only_b, long neither);
/* Cells needed for McNemar's test to find, at 5 % and with a probability of 80 %, a difference (above 0) between nets that
   disagree on that share of the cells; both are shares of 1. A difference above the share counts as the share. */
double cells_needed(double difference, double disagree);
/* Mean and standard deviation (n - 1 in the denominator; 0 for a single value). */
void mean_sd(const double *x, int n, double *mean, double *sd);

/* Two-sided p of Student's t, and the t whose two-sided p is the one given. df need not be whole. */
double student_p(double t, double df);
double student_quantile(double p, double df);

/* A t test of paired differences: their mean with its 95 % interval, standard deviation, t, two-sided p. */
typedef struct { double mean, sd, t, p; int df; interval bounds; } paired_t;

/* Nadeau and Bengio's corrected resampled t test over m differences between two nets (one a fold and seed);
   ratio = test cells / training cells of a fold. ratio = 0 is the plain paired t test. All differences 0:
   t 0, p 1. A single difference, or equal ones, have no spread to test against: t, p and bounds are NaN. */
paired_t corrected_t(const double *difference, int m, double ratio);
enum { BOOTSTRAP_DRAWS = 2000 };

/* Stratified bootstrap: 95 % intervals of the macro scores, from BOOTSTRAP_DRAWS draws keyed by seed
   (RNG_BOOTSTRAP). */
void bootstrap(const confusion *m, uint64_t seed, interval out[SCORE_COUNT]);
/* Paired stratified bootstrap of score(a) - score(b): n cells with their true class and what each net
   recognised. Fills the 95 % interval and two-sided p of each macro score's difference. */
void paired_bootstrap(int classes, int n, const int *truth, const int *a, const int *b, uint64_t seed,
                      interval out[SCORE_COUNT], double p[SCORE_COUNT]);

/* By how much the variance of a share is larger because cells come in groups; at least 1. right (n): 1 where a
   cell counts; group (n): 0 to groups - 1. */
double design_effect(const bool *right, const int *group, int n, int groups);
/* Exact two-sided p of a paired test by groups: the share of all choices of signs that make the sum of the
   differences (groups) at least as large, without its sign. */
double sign_flip(const int *difference, int groups);
/* As bootstrap and paired_bootstrap (b NULL: of a alone; p is not touched then), drawing whole groups. */
void group_bootstrap(int classes, int n, const int *truth, const int *a, const int *b, const int *group,
                     int groups, uint64_t seed, interval out[SCORE_COUNT], double p[SCORE_COUNT]);

/* A bin of a reliability diagram: its cells, how many are right, and the sum of their confidences. */
enum { RELIABILITY_BINS = 10 };
typedef struct { double cells, right, confidence; } reliability;
int reliability_bin(double confidence);              /* the bin of a confidence, 0..1 */

/* Sort cells (n) by confidence, 0..1, into bins; returns the expected calibration error. */
double calibration(const double *confidence, const bool *right, int n, reliability bin[RELIABILITY_BINS]);
/* Its 95 % interval, from BOOTSTRAP_DRAWS draws of whole groups keyed by seed; group NULL: of cells. */
interval calibration_bounds(const double *confidence, const bool *right, int n, const int *group, int groups, uint64_t seed);
#endif

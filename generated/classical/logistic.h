/* logistic.h: multinomial logistic regression with an L2 penalty, in double precision, deterministic. */
#ifndef LOGISTIC_H
#define LOGISTIC_H
#include "base/base.h"

typedef struct {
  int features, classes, steps;                      /* steps: iterations of the last fit */
  double *mean, *sd;                                 /* (features) of training cells; sd 1 where it is 0 */
  double *w;                                         /* (classes, features), then b (classes); standardised */
  double loss, slope;                                /* J at the end, and the largest of its derivatives */
} logistic;

/* Fit to the cells row[0..n-1] of x (N, features) with label (N). l2: lambda, above 0. start: begin with its
   weights, or NULL. Stops when every derivative is below tolerance, or after most steps. The caller frees it. */
logistic *logistic_fit(const double *x, const int *label, const int *row, int n, int features, int classes,
                       double l2, const logistic *start, double tolerance, int most);
/* p (classes) of one cell x (features). */
void logistic_posterior(const logistic *, const double *x, double *p);
void logistic_free(logistic *);
#endif

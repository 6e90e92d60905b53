/* lda.h: linear discriminant analysis. Needs LAPACK. */
#ifndef LDA_H
#define LDA_H
#include "base/base.h"

typedef struct { int features, classes; double *w, *b; } lda;   /* w (classes, features), b (classes) */

/* NULL where this build can fit one, else the reason in one line. */
const char *lda_why_off(void);

/* Fit to the cells row[0..n-1] of x (N, features), label (N) in 0..classes-1; a negative label leaves a cell out.
   ridge is added to the variance of each feature, as a share of it. A class without a cell has posterior 0. Dies
   with EXIT_FAIL without LAPACK, with EXIT_DATA where there are no more cells than classes. */
lda *lda_fit(const double *x, const int *label, const int *row, int n, int features, int classes,
             double ridge);

/* The posterior p (classes) of one cell x (features). */
void lda_posterior(const lda *, const double *x, double *p);
void lda_free(lda *);

/* s (n) -> softmax of s, in place; -INFINITY gives 0. */
void softmax(double *s, int n);
#endif

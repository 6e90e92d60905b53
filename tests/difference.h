/* difference.h: how far numbers are from those that were expected. */
#ifndef TEST_DIFFERENCE_H
#define TEST_DIFFERENCE_H
#include <math.h>
#include <stddef.h>

/* The norm of a - b over that of b, or over `least` where that is more; huge where a number of a is not finite. */
static inline double difference_beside(const float *a, const float *b, size_t n, double least)
{
  double d = 0, s = 0;
  for (size_t i = 0; i < n; i++) {
    if (!isfinite(a[i])) return 1e9;
    d += ((double)a[i] - b[i]) * ((double)a[i] - b[i]), s += (double)b[i] * b[i];
  }
  return d == 0 ? 0 : sqrt(d / (fmax(s, least * least) + 1e-12));
}

static inline double difference(const float *a, const float *b, size_t n) { return difference_beside(a, b, n, 0); }

static inline double norm_of(const float *x, size_t n)
{
  double s = 0;
  for (size_t i = 0; i < n; i++) s += (double)x[i] * x[i];
  return sqrt(s);
}
#endif

/* difference.h: how far numbers are from those that were expected. */
#ifndef TEST_DIFFERENCE_H
#define TEST_DIFFERENCE_H
#include <math.h>
#include <stddef.h>

/* The norm of a - b over that of b; huge where a number of a is not finite. */
static inline double difference(const float *a, const float *b, size_t n)
{
  double d = 0, s = 0;
  for (size_t i = 0; i < n; i++) {
    if (!isfinite(a[i])) return 1e9;
    d += ((double)a[i] - b[i]) * ((double)a[i] - b[i]), s += (double)b[i] * b[i];
  }
  return d == 0 ? 0 : sqrt(d / (s + 1e-12));
}
#endif

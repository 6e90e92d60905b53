#include "cells/likeness.h"
#include "base/base.h"
#include <math.h>
#include <stdlib.h>

/* bring pictures to one size */
enum { THUMB = 30, SHIFT = 2 };

/* Grey thumbnails, (n, THUMB, THUMB). */
static float *make_thumbnails(const image *picture, int n)
{
  float *t = NEW(float, (size_t)n * THUMB * THUMB);
  #pragma omp parallel for schedule(static)
  for (int i = 0; i < n; i++) {
    if (!picture[i].rgb) continue;
    image s = image_resize(&picture[i], THUMB, THUMB);
    for (size_t p = 0; p < THUMB * THUMB; p++)
      t[(size_t)i * THUMB * THUMB + p] = s.rgb[3*p] + s.rgb[3*p + 1] + s.rgb[3*p + 2];
    image_free(&s);
  }
  return t;
}

/* compare two pictures */
/* The correlation of a with b shifted by (dy, dx), over where they overlap. */
static double correlation_at(const float *a, const float *b, int dy, int dx)
{
  int h = THUMB - abs(dy), w = THUMB - abs(dx);
  double sa = 0, sb = 0, saa = 0, sbb = 0, sab = 0, n = h * w;
  a += (dy > 0 ? dy : 0) * THUMB + (dx > 0 ? dx : 0),
    b += (dy < 0 ? -dy : 0) * THUMB + (dx < 0 ? -dx : 0);
  for (int y = 0; y < h; y++)
    for (int x = 0; x < w; x++) {
      double u = a[y * THUMB + x], v = b[y * THUMB + x];
      sa += u, sb += v, saa += u * u, sbb += v * v, sab += u * v;
    }
  double spread = (saa - sa * sa / n) * (sbb - sb * sb / n);
  return spread > 0 ? (sab - sa * sb / n) / sqrt(spread) : 0;
}

static double likeness(const float *a, const float *b)
{
  double best = 0;
  for (int dy = -SHIFT; dy <= SHIFT; dy++)
    for (int dx = -SHIFT; dx <= SHIFT; dx++) best = fmax(best, correlation_at(a, b, dy, dx));
  return best;
}

/* find the pairs that look alike */
static int by_pair(const void *x, const void *y)
{
  const alike_pair *p = x, *q = y;
  return p->a != q->a ? p->a - q->a : p->b - q->b;
}

alike_pair *find_alike(const image *picture, const int *label, int n, double least, int *pairs)
{
  float *t = make_thumbnails(picture, n);
  alike_pair *pair = NULL;
  int room = 0, done = 0, found = 0;
  progress bar;
  progress_start(&bar, "compare", n);
  #pragma omp parallel for schedule(dynamic, 1)
  for (int i = 0; i < n; i++) {
    for (int j = i + 1; j < n && label[j] == label[i] && !stop_requested; j++) {
      if (!picture[i].rgb || !picture[j].rgb) continue;
      double r = likeness(t + (size_t)i * THUMB * THUMB, t + (size_t)j * THUMB * THUMB);
      if (r < least) continue;
      #pragma omp critical
      {
        if (found == room) pair = grow(pair, sizeof *pair * (size_t)(room = room ? 2 * room : 64));
        pair[found++] = (alike_pair){ i, j, r };
      }
    }
    #pragma omp critical
    {
      done++;
      progress_show(&bar, done, "cells that look alike");
    }
  }
  progress_end(&bar);
  if (found) qsort(pair, (size_t)found, sizeof *pair, by_pair);
  free(t);
  *pairs = found;
  return pair;
}

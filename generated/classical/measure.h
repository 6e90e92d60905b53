/* measure.h: a segmented cell -> numbers: shape, colour and texture of nucleus and cytoplasm. */
#ifndef MEASURE_H
#define MEASURE_H
#include "classical/outline.h"
#include "classical/segment.h"

enum { MOST_MEASURES = 80 };
typedef struct {
  int n, shapes;                                     /* the first `shapes` are of the nucleus's shape alone */
  const char *name[MOST_MEASURES];                   /* the same for every cell */
  double value[MOST_MEASURES];                       /* finite */
} measures;

/* Measure a cell. split (NULL: not wanted) receives the lobes of each piece of the nucleus, at most MOST_LOBES
   pieces; *pieces how many. */
measures measure_cell(const segmentation *s, lobe_split *split, int *pieces);
#endif

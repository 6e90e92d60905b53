/* likeness.h: which of many pictures look alike. */
#ifndef LIKENESS_H
#define LIKENESS_H
#include "base/image.h"

typedef struct { int a, b; double r; } alike_pair;   /* picture a < b; their likeness */

/* The pairs of pictures of one label whose likeness is at least `least`, sorted by a, then b; *pairs how many; free()
   them. Pictures of one label stand together; a picture without pixels (rgb NULL) is like none. Uses all cores, and
   ends early, with the pairs so far, when a stop is asked for. */
alike_pair *find_alike(const image *picture, const int *label, int n, double least, int *pairs);
#endif

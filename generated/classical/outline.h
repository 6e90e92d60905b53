/* outline.h: the outline of a piece of a mask, its curvature, and where it is cut into lobes. */
#ifndef OUTLINE_H
#define OUTLINE_H
#include "base/base.h"

typedef struct { double x, y; } point;

/* A closed outline. With y downwards it runs clockwise to the eye, so that areas are positive and bulges have
   positive curvature (1 / pixels). */
typedef struct { int n; point *p; double *curvature; } outline;

/* The outer outline of the 8-connected piece that holds pixel `first`, the first of it in raster order; mask
   (H, W). The points are smoothed by a Gaussian of `sigma` pixels along the outline. */
outline *outline_trace(const uint8_t *mask, int h, int w, int first, double sigma);
/* The same from points that are given; n at least 3. */
outline *outline_of(const point *p, int n, double sigma);
void outline_free(outline *);
double outline_area(const outline *);
double outline_length(const outline *);

/* The area of the convex hull of n points; they are sorted in place. */
double hull_area(point *p, int n);

enum { MOST_LOBES = 8 };
typedef struct { point a, b; double neck; } lobe_cut;        /* neck: length over the narrower lobe's width */
typedef struct { int lobes; lobe_cut cut[MOST_LOBES]; double area[MOST_LOBES]; } lobe_split;

/* Part an outline into lobes at points of maximum inward curvature. lobes is 1 where there is nothing to cut;
   there are lobes - 1 cuts. */
lobe_split outline_split(const outline *);
#endif

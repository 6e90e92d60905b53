/* segment.h: a crop of a white cell -> its nucleus and its cytoplasm. Fixed rules; nothing is learned. */
#ifndef SEGMENT_H
#define SEGMENT_H
#include "base/base.h"

enum { OUTSIDE, CYTOPLASM, NUCLEUS };                /* values of region */

typedef struct {
  int h, w;
  double unit;                                       /* 1/70 of the shorter side, in pixels */
  float *density;                                    /* (H, W, 3) optical density */
  float *stain;                                      /* (H, W) d_R / 2 + d_G - d_B, smoothed */
  uint8_t *region;                                   /* (H, W) */
} segmentation;

/* Segment rgb (H, W, 3), at least 8 x 8 pixels, with the cell near its middle. Never fails: a crop without a
   nucleus has no pixel of one. The caller frees the result. */
segmentation *segment_cell(const uint8_t *rgb, int h, int w);
void segmentation_free(segmentation *);
#endif

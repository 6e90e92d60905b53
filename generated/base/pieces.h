/* pieces.h: the pieces of a mask. */
#ifndef PIECES_H
#define PIECES_H
#include <stdint.h>

/* Pieces of mask (H, W) that hang together over 4 or 8 neighbours: label (H, W) receives 0 or the piece's number
   from 1 in raster order; area (H * W + 1) each piece's pixels. Returns how many. */
int label_pieces(const uint8_t *mask, int h, int w, int neighbours, int *label, int *area);
#endif

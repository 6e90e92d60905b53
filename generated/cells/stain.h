/* stain.h: the colours of cells, brought to others' or shaken. Pixels are RGB, 8 bits. */
#ifndef STAIN_H
#define STAIN_H
#include "base/base.h"

#define STAIN_LEAST 1e-6                             /* a deviation below it is of one colour, and is not stretched */
/* Mean and standard deviation of pixels in Reinhard's l, alpha, beta. */
typedef struct { double mean[3], deviation[3]; } stain;

/* Of n pixels; and of all pixels of the cells row (cells), or of all cells where row is NULL, each of so many pixels. */
stain stain_of(const uint8_t *rgb, size_t n);
stain stain_of_cells(const uint8_t *pixels, const int *row, int cells, size_t pixels_each);

/* Moves and stretches n pixels, in place, so that their colours, which are `from`, become `to`. */
void stain_match(uint8_t *rgb, size_t n, const stain *from, const stain *to);

/* Matches each of the cells to `to`: each by itself, or (whole) all by the colours that they have together. */
void stain_match_cells(uint8_t *pixels, int cells, size_t pixels_each, bool whole, const stain *to);

/* The match as matrices, for other programs: cones = to_cones RGB, lab = axes log10 cones; the way back is by axes transposed and `back`. */
void stain_matrices(double to_cones[3][3], double axes[3][3], double back[3][3]);

/* The cell of a row as it is shown in an epoch: each channel's density and light shaken by up to `strength` and a quarter of it. */
void stain_shake(const uint8_t *rgb, size_t n, double strength, uint64_t seed, int epoch, int row, uint8_t *to);
#endif

/* decode.h: from a cell that was found to its pixels. */
#ifndef DECODE_H
#define DECODE_H
#include "cells/layouts.h"

/* How cells are read and cut: their size in the end; the window's side, or 0 for the layout's; the flags --white, --page and --pad. */
typedef struct { int h, w, crop, white, page; const char *pad; } cut_options;

/* Dies with EXIT_USAGE on a flag that is out of range. */
void check_cut(const cut_options *);

/* Reads, checks, cuts and resizes one cell: its cell, window, pixels_sha, note and hint. False with the reason. */
bool decode_cell(found_cell *, const cut_options *, char why[256]);

/* The same for a cell whose picture, of an open archive, is at p. */
bool decode_array(found_cell *, const cut_options *, const uint8_t *p, const npz_array *, char why[256]);

/* Warns of what was read but is odd; *told: how often before. A set from one camera says it a few times, not a thousand. */
void warn_of_notes(const found_cell *, int n, int *told);
#endif

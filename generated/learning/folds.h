/* folds.h: stratified, grouped folds, keyed by a seed. */
#ifndef FOLDS_H
#define FOLDS_H
#include "cells/dataset.h"

/* The fold of each cell, (N), 0 .. k-1, or -1 where it is not used; free() it. Stratified by class;
   grouped when ds->grouped (no group in two folds; a cell without a group is a group of its own).
   subset > 0 keeps a stratified subset of that many cells, each class at least min(k, its size). A
   function of seed, k, subset and the cells' names, classes and groups. Dies with EXIT_DATA when a
   class has fewer cells (or groups) than k; folds_make_lenient lets that pass, and then some folds lack
   the class. */
int *folds_make(const dataset *ds, int k, uint64_t seed, int subset);
int *folds_make_lenient(const dataset *ds, int k, uint64_t seed, int subset);

/* Given as k, the set's own split: fold 0 is what it calls test, 1 what it calls train, and the rest is not used. Dies with
   EXIT_DATA where there is none, or where train lacks a class; warns of groups that stand on both sides. */
enum { FOLDS_SPLIT = 1 };
/* What --folds says: a number from 2, or split. Dies with EXIT_USAGE. */
int folds_number(const char *text);

/* Keep a stratified subset of `keep` of the *n cells row[], in their order; each class keeps at least one. */
void folds_thin(const dataset *ds, int *row, int *n, int keep, uint64_t seed);

/* CSV file,class,group,fold in the data set's order; cells not used are left out. */
void folds_write(const char *path, const dataset *ds, const int *fold);
#endif

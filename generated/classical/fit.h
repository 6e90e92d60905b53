/* fit.h: one fold of a classifier that is fitted and not trained, written as a run folder. */
#ifndef FIT_H
#define FIT_H
#include "learning/runfolder.h"

typedef struct {
  const dataset *ds;
  const int *fold_of;                                /* (N), as folds_make gave it */
  int folds, fold, subset, learn, threads;           /* learn: of the training cells, 0: all */
  uint64_t seed;
  const char *name, *title, *set, *sha256;           /* in place of a net */
  const char *recipe, *with, *device, *candidates;   /* candidates: of a GPU engine, or NULL */
  int engine, method;                                /* the numbers of their arithmetic, see run_identity */
  const char *init;                                  /* SHA-256 of the weights that it stands on, or NULL */
  const char *gpu;                                   /* that computed features, or NULL */
  const char *weights_sha256;                        /* of the weights.safetensors that it left, or NULL */
  double params, flop, seconds, rate;                /* flop: of an image, or NAN; cells a second */
  int rows;                                          /* of the log */
  const double *loss, *accuracy;                     /* (rows) over the training cells */
} fit;

/* The rows of the data set inside (or outside) a fold; cells that are not used are in neither. Returns how many;
   row has room for all. */
int fold_rows(const dataset *ds, const int *fold_of, int fold, bool held_out, int *row);

/* Mean cross-entropy and accuracy of prob (n, classes) for the cells row[0..n-1]. */
void fit_loss(const dataset *ds, const int *row, int n, const double *prob, double *loss, double *accuracy);

/* Open FOLDER for such a fold, see run_open and run_look; and when it is RUN_OPEN, write it: prob (tests, classes) of the held-out
   cells, in the order of fold_rows. Without prob it has diverged before it began. */
run_state fit_open(run_folder *, const char *folder, const fit *, const char *pool);
void fit_write(const run_folder *, const fit *, const double *prob);
/* How many of its held-out cells a finished fold got right, and how many there are. */
int fit_right(const char *folder, int *tests);

/* The folds that "--fold TEXT" asks for: first to last of 0..folds-1; "each" is all. Dies with EXIT_USAGE. */
void fit_folds(const char *text, int folds, int *first, int *last);
/* Where fold f goes: OUT itself where one fold is asked for, OUT/foldF where it is each. free() it. */
char *fit_folder(const char *out, int f, bool each);
#endif

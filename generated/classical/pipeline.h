/* pipeline.h: the classical pipeline once it is fitted, and the file that keeps it. */
#ifndef PIPELINE_H
#define PIPELINE_H
#include "classical/lda.h"
#include "classical/measure.h"
#include "learning/safetensors.h"

typedef struct {
  int size, shapes, features, classes;               /* size: side of the cells that are measured */
  lda *first, *second[2];                            /* first: NULL with one step; second[segmented] */
} pipeline;

/* Which branch a cell with measurements x (features) goes down, 1 segmented, 0 not; its posterior p (classes). */
int pipeline_branch(const pipeline *, const double *x);
void pipeline_posterior(const pipeline *, const double *x, double *p);
void pipeline_clear(pipeline *);                     /* frees what it holds */

/* A cell's measurements. rgb (h, w, 3): of the size that the pipeline was fitted to. */
measures pipeline_measure(const uint8_t *rgb, int h, int w);

/* Its tensors, into a file that st_write writes, by reference, and back. Is it such a file? pipeline_fetch returns the names of the
   classes, NULL-ended; it dies with EXIT_DATA where the file is damaged, or this program measures otherwise than the one that fitted. */
void pipeline_store(safetensors *, const pipeline *);
bool pipeline_stored(const safetensors *);
char **pipeline_fetch(const safetensors *, pipeline *);
/* The SHA-256 of the measurements' names, which are what it stands on. */
void pipeline_names(const measures *, char sha[65]);
#endif

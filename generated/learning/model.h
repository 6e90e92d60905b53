/* model.h: a trained net, read from its weights file alone. */
#ifndef MODEL_H
#define MODEL_H
#include "engines/engine.h"
#include "learning/safetensors.h"
#include "cells/stain.h"

typedef struct {
  net *net;
  net_state state;                                   /* param and stat; velocity is NULL */
  float *mean;                                       /* (H, W, C), or NULL: give it to set_cells */
  stain *colours;                                    /* of the cells that it learned from, or NULL: call model_prepare */
  char **class_name;                                 /* (net->classes) */
  char sha256[65];                                   /* of the file */
  safetensors *file;                                 /* its notes: recipe, seed, epoch, data ... */
} model;

/* Read a weights file (or a checkpoint). Dies with EXIT_DATA when it is damaged, foreign, or does not fit its own net. */
model *model_load(const char *path);
model *model_of(safetensors *);                      /* the same of a file that was read; the model owns it */
/* The names of the classes, as a note, and back: (classes), NULL-ended. */
void model_store_classes(safetensors *, const char *const *class_name, int classes);
char **model_fetch_classes(const safetensors *, int *classes);
void model_free(model *);

/* Brings n cells (n, H, W, C), in place, to the colours that the net counts on, where it does. */
void model_prepare(const model *, uint8_t *pixels, int n);

/* Is no value infinite or NaN? */
bool all_finite(const float *, size_t n);

/* The tensors of a state, and the notes of a net, into a file that st_write writes: parameters by their names,
   LAYER.mean and LAYER.variance for each batch norm, input.mean (NULL: none). Memory is kept by
   reference. */
void model_store(safetensors *, const net *, const char *set, const net_state *, const float *mean,
                 const char *const *class_name);
/* The reverse, for a net of the same text: fills state.param, state.stat, and mean where it is not NULL. */
void model_fetch(const safetensors *, const net *, net_state *, float *mean);
#endif

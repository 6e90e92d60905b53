/* pretrained.h: weights that PyTorch wrote, for nets whose layers say `torch NAME`. */
#ifndef PRETRAINED_H
#define PRETRAINED_H
#include "engines/engine.h"
#include "learning/safetensors.h"

/* What becomes of a parameter tensor: taken from the file; drawn anew, because it belongs to the last layer,
   because the file's has another shape, because its layer has no name there. */
typedef enum { WAY_TAKEN, WAY_HEAD, WAY_SHAPE, WAY_UNNAMED } way;

/* The way of tensor k of the net; keep_head: the last layer is taken too. name receives its name in the
   file, "" for WAY_UNNAMED. Dies with EXIT_DATA when the file lacks a tensor that the net names, or has it in
   another type than F32, F16 or BF16. */
way pretrained_way(const safetensors *, const net *, int k, bool keep_head, char name[64]);

/* Fill state.param, and state.stat of normalisations, with what is taken; taken: (net.params). The rest is
   left alone. */
void pretrained_load(const safetensors *, const net *, bool keep_head, net_state *, bool *taken);

/* mean (H, W, C) = the mean colour that such weights expect to have been subtracted, in grey levels. */
void pretrained_mean(const net *, float *mean);
#endif

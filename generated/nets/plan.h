/* plan.h: a net compiled for a batch size: a flat list of steps over preplanned NHWC buffers. */
#ifndef PLAN_H
#define PLAN_H
#include "nets/net.h"

/* Steps are fused where it pays: y = relu?(conv(x) + b), y = relu?(norm(x) + r?), y = relu?(x + r),
   y = relu?(fc(x) + b). */
typedef enum { STEP_CONV, STEP_NORM, STEP_RELU, STEP_ADD, STEP_POOL, STEP_FC, STEP_DROPOUT, STEP_AVERAGE,
              STEP_LRN, STEP_TANH, STEP_SCALE, STEP_GROUP, STEP_LOSS, STEP_KINDS } step_kind;

/* say what a step is */
typedef struct {
  step_kind kind;
  const layer *layer;                                /* the layer whose parameters and geometry it uses */
  int x, r, y;                                       /* tensors: input, residual term or -1, output */
  bool relu;
  /* Backward. need_*: false where the tensor is the input image (or there is no r). add_*: add to the
     gradient (a later step wrote it before) instead of overwriting. dr is written before dx. dy may be used
     as scratch: nothing reads it afterwards. */
  bool need_dx, need_dr, add_dx, add_dr;
} step;

/* say what a tensor and a plan are */
typedef struct {
  char name[32];                                     /* of the layer whose output it is */
  shape s;
  size_t floats;                                     /* of the whole batch */
  /* Offsets in the activation and the gradient arena, in floats, multiples of 16. The input and the
     probabilities have no gradient: NO_GRADIENT. */
  size_t act, grad;
} tensor;
#define NO_GRADIENT ((size_t)-1)

typedef struct {
  const net *net;
  int batch, steps, tensors;
  step *step;
  /* tensor 0 is the input, the last one the probabilities */
  tensor *tensor;
  size_t act_floats, grad_floats;
} plan;

/* declare how a plan is made and asked */
/* Compile for batches of at most `batch` images. The net must outlive the plan; the caller owns the plan.
   Gradients whose lives do not meet share memory: a gradient is valid until backward() passes the step that
   made its tensor. */
plan *plan_make(const net *, int batch);
/* every layer a step and a tensor of its own: for pictures and tests */
plan *plan_make_unfused(const net *, int batch);
void plan_free(plan *);
/* the tensor holding that layer's output, or -1 when it was fused away */
int plan_tensor(const plan *, const char *layer);
const char *step_word(const step *);                 /* "norm+add+relu" */
#endif

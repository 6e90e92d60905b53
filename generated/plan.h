/* plan.h: a net compiled for a batch size: a flat list of steps over preplanned NHWC buffers. */
#ifndef PLAN_H
#define PLAN_H
#include "net.h"

/* Steps are fused where it pays: y = relu?(conv(x) + b), y = relu?(norm(x) + r?), y = relu?(x + r), y = relu?(fc(x) + b). */
typedef enum { STEP_CONV, STEP_NORM, STEP_RELU, STEP_ADD, STEP_POOL, STEP_FC, STEP_DROPOUT, STEP_LOSS, STEP_KINDS } step_kind;

typedef struct {
  step_kind kind;
  const layer *layer;                                /* the layer whose parameters and geometry it uses */
  int x, r, y;                                       /* tensors: input, residual term or -1, output */
  bool relu;
  bool need_dx;                                      /* false where x is the input image */
  bool add_dx, add_dr;                               /* backward: add to the gradient (another step wrote it before) instead of overwriting */
} step;

typedef struct {
  char name[32];                                     /* of the layer whose output it is */
  shape s;
  size_t floats;                                     /* of the whole batch */
  size_t act, grad;                                  /* offsets in the activation and the gradient arena, in floats, multiples of 16 */
} tensor;

typedef struct {
  const net *net;
  int batch, steps, tensors;
  step *step;
  tensor *tensor;                                    /* tensor 0 is the input, the last one the probabilities */
  size_t act_floats, grad_floats;
} plan;

plan *plan_make(const net *, int batch);
void plan_free(plan *);
int plan_tensor(const plan *, const char *layer);    /* the tensor holding that layer's output, or -1 when it was fused away */
#endif

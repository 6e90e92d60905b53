/* host.h: the engines that run on the CPU: one executor, one table of operators each. */
#ifndef HOST_H
#define HOST_H
#include "engine.h"

typedef struct host host;
/* One operator: x, r -> y forward; dy -> dx, dr, parameter gradients backward. */
typedef struct {
  void (*open)(host *, int step);                    /* workspace of a step: h->work[step]; may be NULL */
  void (*forward)(host *, int step);
  void (*backward)(host *, int step);
  void (*close)(host *, int step);                   /* may be NULL */
} host_op;

struct host {
  engine base;
  const host_op *op;                                 /* (STEP_KINDS) */
  int threads, n;                                    /* n: images in the present batch */
  pass pass;
  bool drop;                                         /* dropout acts */
  batch at;                                          /* the present batch's keys (row, seed, epoch) */
  const sgd *sgd;                                    /* during train_step: an operator may apply its own update and set updated[param] */
  bool *updated;
  float *act, *grad;                                 /* the arenas */
  float *param, *dparam, *velocity, *stat;
  void **work;                                       /* (steps): argmax, saved statistics, packed weights ... */
  const uint8_t *pixels; const int *label; const float *mean;
  int cells;
  double loss; int correct;
  /* whatever host.c needs more */
  float moving; double *gathered; double gathered_n; bool gathering;
};

static inline float *host_act(host *h, int t) { return h->act + h->base.plan->tensor[t].act; }      /* (n, H, W, C) */
static inline float *host_grad(host *h, int t) { return h->grad + h->base.plan->tensor[t].grad; }

engine *host_open(const engine_kind *, const host_op *, const plan *, int threads);
extern const engine_kind host_kind;                  /* the shared functions, copied by ref and cpu with their own name, open and why_off */
extern const host_op ref_op[STEP_KINDS];             /* cpu may fall back on single entries */
#endif

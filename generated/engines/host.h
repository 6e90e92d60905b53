/* host.h: the engines that run on the CPU: one executor, one table of operators each. */
#ifndef HOST_H
#define HOST_H
#include "engines/engine.h"

typedef struct host host;
/* One operator: x, r -> y forward; dy -> dr, dx, parameter gradients backward. Results must not depend on
   h->threads. */
typedef struct {
  void (*open)(host *, int step);                    /* workspace of a step: h->work[step]; may be NULL */
  /* NORM in PASS_TRAIN also leaves the batch's mean and variance in host_batch_stat */
  void (*forward)(host *, int step);
  void (*backward)(host *, int step);                /* may spoil dy; overwrites the parameters' gradients */
  void (*close)(host *, int step);                   /* may be NULL; then work[step] is given to free() */
} host_op;

/* say what an engine on the processor keeps */
struct host {
  engine base;
  const host_op *op;                                 /* (STEP_KINDS) */
  int threads, n;                                    /* n: images in the present batch */
  pass pass;
  bool drop;                                         /* dropout acts */
  batch at;                                          /* the present batch's keys (row, seed, epoch) */
  /* during train_step, else NULL: an operator may apply its own update (sgd_apply) */
  const sgd *sgd;
  /*   and say so here, (params); its gradient then need not be stored */
  bool *updated;
  float *act, *grad;                                 /* the arenas */
  float *param, *dparam, *velocity, *stat;
  float *batch_stat;                                 /* laid out as stat */
  /* (steps): argmax, saved statistics, packed weights ... */
  void **work;
  const uint8_t *pixels; const int *label; const float *mean;
  int cells;
  double loss; int correct;
  struct { double loss; int correct; } kept[RESULTS_KEPT];           /* of the last train_steps */
  int trained;                                       /* their number, modulo RESULTS_KEPT */
  float moving;
  /* whole-set statistics: mean and sum of squared deviations so far, laid out as stat */
  double *gathered, gathered_n;
  bool moved;                                        /* velocity may hold something else than zeros */
  void *room;                                        /* what an engine's operators share; ref: nothing */
};

/* find a tensor's numbers */
static inline const step *host_step(host *h, int i) { return &h->base.plan->step[i]; }
/* (n, H, W, C) */
static inline float *host_act(host *h, int t) { return h->act + h->base.plan->tensor[t].act; }
static inline float *host_grad(host *h, int t) { return h->grad + h->base.plan->tensor[t].grad; }
static inline float *host_param(host *h, int p) { return h->param + h->base.plan->net->param[p].offset; }
static inline float *host_dparam(host *h, int p) { return h->dparam + h->base.plan->net->param[p].offset; }
/* (2, C): mean and biased variance of a NORM's last batch */
static inline float *host_batch_stat(host *h, const layer *l) { return h->batch_stat + l->stat; }
/* apply the update rule to one tensor */
static inline float sgd_rate(const sgd *s, int k) { return s->factor ? s->rate * s->factor[k] : s->rate; }

/* The update of n weights w of tensor k, with velocities v and gradients g; decay: its factor of s->l2. */
static inline void sgd_apply(const sgd *s, int k, double decay, float *w, float *v, const float *g, size_t n)
{
  const float l2 = s->l2 * (float)decay, rate = sgd_rate(s, k), momentum = s->momentum;
  for (size_t i = 0; i < n; i++) {
    v[i] = momentum * v[i] - rate * (g[i] + l2 * w[i]);
    w[i] += v[i];
  }
}
/* declare what engines on the processor share */
engine *host_open(const engine_kind *, const host_op *, const plan *, int threads);

/* The functions that ref and cpu share: an engine_kind lists name, why_off, open, and HOST_FUNCTIONS. */
void host_close(engine *), host_write_state(engine *, const net_state *),
  host_read_state(engine *, net_state *);
void host_set_cells(engine *, const uint8_t *, const int *, int, const float *);
void host_train_step(engine *, const batch *, const sgd *), host_result(engine *, int, double *, int *),
  host_infer(engine *, const batch *, float *);
void host_stats_begin(engine *), host_stats_batch(engine *, const batch *), host_stats_end(engine *),
  host_moving(engine *, float);
void host_put(engine *, int, const float *, int), host_get(engine *, int, float *, int);
void host_put_grad(engine *, int, const float *, int), host_get_grad(engine *, int, float *, int);
void host_forward(engine *, const batch *, pass, int, int),
  host_backward(engine *, const batch *, int, int), host_get_dparam(engine *, float *);
void host_seconds_of(engine *, const batch *, const sgd *, int, double *, double *);
#define HOST_FUNCTIONS \
  .close = host_close, .write_state = host_write_state, .read_state = host_read_state, \
  .set_cells = host_set_cells, .train_step = host_train_step, .result = host_result, .infer = host_infer, \
  .stats_begin = host_stats_begin, .stats_batch = host_stats_batch, .stats_end = host_stats_end, \
  .moving = host_moving, .put = host_put, .get = host_get, \
  .put_grad = host_put_grad, .get_grad = host_get_grad, .forward = host_forward, \
  .backward = host_backward, .get_dparam = host_get_dparam, \
  .seconds_of = host_seconds_of

extern const host_op ref_op[STEP_KINDS];             /* cpu may fall back on single entries */
#endif

#include "engines/host.h"
#include "base/base.h"
#include <omp.h>
#include <stdlib.h>
#include <string.h>

/* open an engine on the processor, and close it */
engine *host_open(const engine_kind *kind, const host_op *op, const plan *p, int threads)
{
  host *h = NEW(host, 1);
  const net *n = p->net;
  h->base = (engine){ kind, p };
  h->op = op, h->threads = threads > 0 ? threads : omp_get_max_threads();
  h->act = new_floats(p->act_floats), h->grad = new_floats(p->grad_floats);
  h->param = new_floats(n->param_floats), h->dparam = new_floats(n->param_floats),
    h->velocity = new_floats(n->param_floats);
  h->stat = NEW(float, n->stat_floats), h->batch_stat = NEW(float, n->stat_floats),
    h->gathered = NEW(double, n->stat_floats);
  h->updated = NEW(bool, n->params);
  h->work = NEW(void *, p->steps);
  for (int i = 0; i < p->steps; i++)
    if (op[p->step[i].kind].open) op[p->step[i].kind].open(h, i);
  return &h->base;
}

void host_close(engine *e)
{
  host *h = (host *)e;
  const plan *p = e->plan;
  for (int i = 0; i < p->steps; i++)
    if (h->op[p->step[i].kind].close) h->op[p->step[i].kind].close(h, i);
    else free(h->work[i]);
  free_floats(h->act, p->act_floats), free_floats(h->grad, p->grad_floats);
  free_floats(h->param, p->net->param_floats), free_floats(h->dparam, p->net->param_floats),
    free_floats(h->velocity, p->net->param_floats);
  free(h->stat), free(h->batch_stat), free(h->gathered), free(h->updated), free(h->work), free(h);
}

/* copy the state in and out */
void host_write_state(engine *e, const net_state *s)
{
  host *h = (host *)e;
  const net *n = e->plan->net;
  size_t bytes = n->param_floats * sizeof(float);
  memcpy(h->param, s->param, bytes);
  if (s->velocity) memcpy(h->velocity, s->velocity, bytes), h->moved = true;
  else if (h->moved) memset(h->velocity, 0, bytes), h->moved = false;
  if (n->stat_floats) memcpy(h->stat, s->stat, n->stat_floats * sizeof(float));
}

void host_read_state(engine *e, net_state *s)
{
  host *h = (host *)e;
  const net *n = e->plan->net;
  size_t bytes = n->param_floats * sizeof(float);
  if (s->param) memcpy(s->param, h->param, bytes);
  if (s->velocity) memcpy(s->velocity, h->velocity, bytes);
  if (s->stat && n->stat_floats) memcpy(s->stat, h->stat, n->stat_floats * sizeof(float));
}

void host_set_cells(engine *e, const uint8_t *pixels, const int *label, int n, const float *mean)
{
  host *h = (host *)e;
  h->pixels = pixels, h->label = label, h->cells = n, h->mean = mean;
}

/* copy single tensors in and out */
static size_t tensor_bytes(engine *e, int t, int n)
{
  return (size_t)n * shape_floats(e->plan->tensor[t].s) * sizeof(float);
}

void host_put(engine *e, int t, const float *x, int n)
{
  memcpy(host_act((host *)e, t), x, tensor_bytes(e, t, n));
}

void host_get(engine *e, int t, float *x, int n)
{
  memcpy(x, host_act((host *)e, t), tensor_bytes(e, t, n));
}

void host_put_grad(engine *e, int t, const float *dx, int n)
{
  memcpy(host_grad((host *)e, t), dx, tensor_bytes(e, t, n));
}

void host_get_grad(engine *e, int t, float *dx, int n)
{
  memcpy(dx, host_grad((host *)e, t), tensor_bytes(e, t, n));
}

void host_get_dparam(engine *e, float *d)
{
  memcpy(d, ((host *)e)->dparam, e->plan->net->param_floats * sizeof(float));
}

void host_moving(engine *e, float decay) { ((host *)e)->moving = decay; }

void host_result(engine *e, int back, double *loss, int *correct)
{
  const host *h = (host *)e;
  const int i = (h->trained + RESULTS_KEPT - 1 - back) % RESULTS_KEPT;
  if (loss) *loss = back ? h->kept[i].loss : h->loss;
  if (correct) *correct = back ? h->kept[i].correct : h->correct;
}

/* gather a batch, pixel less mean */
/* Take up a batch: its size and keys. */
static void begin(host *h, const batch *b)
{
  batch_check(h->base.plan, b);
  h->n = b->n, h->at = *b;
  h->loss = 0, h->correct = 0;
}

/* Tensor 0 = turned cell - mean, (n, H, W, C) */
static void gather(host *h)
{
  shape s = h->base.plan->tensor[0].s;
  const size_t image = shape_floats(s);
#pragma omp parallel for num_threads(h->threads)
  for (int i = 0; i < h->n; i++) {
    const uint8_t *from = h->pixels + image * (size_t)h->at.row[i];
    float *to = host_act(h, 0) + image * (size_t)i;
    const int turn = h->at.turn ? h->at.turn[i] : 0;
    for (int y = 0; y < s.h; y++)
      for (int x = 0; x < s.w; x++) {
        int sy, sx;
        turn_source(turn, s.h, s.w, y, x, &sy, &sx);
        const size_t at = ((size_t)y * (size_t)s.w + (size_t)x) * (size_t)s.c,
          source = ((size_t)sy * (size_t)s.w + (size_t)sx) * (size_t)s.c;
        for (int c = 0; c < s.c; c++) to[at + c] = (float)from[source + c] - (h->mean ? h->mean[at + c] : 0);
      }
  }
}

/* run the steps forward and backward */
static void run_forward(host *h, pass kind, bool drop, int first, int last)
{
  h->pass = kind, h->drop = drop;
  for (int i = first; i <= last; i++) h->op[host_step(h, i)->kind].forward(h, i);
}

static void run_backward(host *h, int last, int first)
{
  for (int i = last; i >= first; i--) h->op[host_step(h, i)->kind].backward(h, i);
}

void host_forward(engine *e, const batch *b, pass kind, int first, int last)
{
  begin((host *)e, b);
  run_forward((host *)e, kind, kind == PASS_TRAIN, first, last);
}

void host_backward(engine *e, const batch *b, int last, int first)
{
  host *h = (host *)e;
  double loss = h->loss;
  int correct = h->correct;
  begin(h, b);
  h->loss = loss, h->correct = correct;
  run_backward(h, last, first);
}

/* collect statistics over a whole set */
void host_stats_begin(engine *e)
{
  host *h = (host *)e;
  memset(h->gathered, 0, e->plan->net->stat_floats * sizeof(double));
  h->gathered_n = 0;
}

static void join_statistics(host *h, const layer *l)
{
  const int c = l->out.c;
  const double a = h->gathered_n, b = h->n;
  const float *now = host_batch_stat(h, l);
  double *mean = h->gathered + l->stat, *square = mean + c;
  for (int i = 0; i < c; i++) {
    double delta = now[i] - mean[i];
    mean[i] += delta * b / (a + b);
    square[i] += b * now[c + i] + delta * delta * a * b / (a + b);
  }
}

void host_stats_batch(engine *e, const batch *b)
{
  host *h = (host *)e;
  int last = -1;
  for (int i = 0; i < e->plan->steps; i++)
    if (host_step(h, i)->kind == STEP_NORM) last = i;
  begin(h, b);
  gather(h);
  run_forward(h, PASS_TRAIN, false, 0, last);
  for (int i = 0; i <= last; i++)
    if (host_step(h, i)->kind == STEP_NORM) join_statistics(h, host_step(h, i)->layer);
  h->gathered_n += b->n;
}

void host_stats_end(engine *e)
{
  host *h = (host *)e;
  for (int i = 0; i < e->plan->steps; i++) {
    const layer *l = host_step(h, i)->layer;
    if (host_step(h, i)->kind != STEP_NORM || h->gathered_n == 0) continue;
    for (int c = 0; c < l->out.c; c++) {
      h->stat[l->stat + (size_t)c] = (float)h->gathered[l->stat + (size_t)c];
      const size_t v = l->stat + (size_t)(l->out.c + c);
      h->stat[v] = (float)(h->gathered[v] / h->gathered_n);
    }
  }
}

/* update the parameters */
static void update(host *h)
{
  const net *n = h->base.plan->net;
  for (int k = 0; k < n->params; k++) {
    const param *p = &n->param[k];
    if (h->updated[k]) continue;
    float *w = host_param(h, k), *g = host_dparam(h, k), *v = h->velocity + p->offset;
    const size_t piece = 1 << 14;
#pragma omp parallel for num_threads(h->threads) if (p->count > piece)
    for (size_t i = 0; i < p->count; i += piece)
      sgd_apply(h->sgd, k, p->decay, w + i, v + i, g + i, p->count - i < piece ? p->count - i : piece);
  }
}

static void move_statistics(host *h)
{
  const float keep = h->moving;
  if (keep <= 0) return;
  for (size_t i = 0; i < h->base.plan->net->stat_floats; i++)
    h->stat[i] = keep * h->stat[i] + (1 - keep) * h->batch_stat[i];
}

/* train on a batch, or infer */
void host_train_step(engine *e, const batch *b, const sgd *s)
{
  host *h = (host *)e;
  begin(h, b);
  h->sgd = s, h->moved = true;
  memset(h->updated, 0, sizeof(bool) * (size_t)e->plan->net->params);
  gather(h);
  run_forward(h, PASS_TRAIN, true, 0, e->plan->steps - 1);
  move_statistics(h);
  run_backward(h, e->plan->steps - 1, 0);
  update(h);
  h->sgd = NULL;
  h->kept[h->trained].loss = h->loss, h->kept[h->trained].correct = h->correct;
  h->trained = (h->trained + 1) % RESULTS_KEPT;
}

void host_infer(engine *e, const batch *b, float *prob)
{
  host *h = (host *)e;
  begin(h, b);
  gather(h);
  run_forward(h, PASS_INFER, false, 0, e->plan->steps - 1);
  if (prob) host_get(e, e->plan->tensors - 1, prob, b->n);
}

/* time each step */
/* Step i, forward or backward, in seconds; kept as run j of n in all (steps, n). */
static void time_step(host *h, int i, bool backward, double *all, int j, int n)
{
  const host_op *op = &h->op[host_step(h, i)->kind];
  const double start = seconds();
  (backward ? op->backward : op->forward)(h, i);
  all[i * n + j] = seconds() - start;
}

void host_seconds_of(engine *e, const batch *b, const sgd *s, int n, double *forward, double *backward)
{
  host *h = (host *)e;
  const int steps = e->plan->steps;
  double *f = NEW(double, n * steps), *k = NEW(double, n * steps);
  for (int j = 0; j < n; j++) {
    host_infer(e, b, NULL);
    h->pass = PASS_TRAIN, h->drop = true, h->sgd = s;
    for (int i = 0; i < steps; i++) time_step(h, i, false, f, j, n);
    for (int i = steps - 1; i >= 0; i--) time_step(h, i, true, k, j, n);
    h->sgd = NULL;
  }
  for (int i = 0; i < steps; i++) forward[i] = median(f + i * n, n), backward[i] = median(k + i * n, n);
  free(f), free(k);
}


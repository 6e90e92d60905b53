#include "nets/plan.h"
#include "base/base.h"
#include <stdlib.h>
#include <string.h>

/* see who reads a layer's output */
/* The one layer that reads layer i's output, or -1 when there are several or none. */
static int only_reader(const net *n, int i)
{
  int reader = -1;
  for (int j = i + 1; j < n->layers; j++) {
    if (n->layer[j].from != i && n->layer[j].with != i) continue;
    if (reader >= 0) return -1;
    reader = j;
  }
  return reader;
}

/* join layers into steps */
static void take_in(const net *n, int *head, int first)
{
  layer_kind kind = n->layer[first].kind;
  int next = only_reader(n, first);
  if (kind == LAYER_NORM && next >= 0 && n->layer[next].kind == LAYER_ADD) {
    head[next] = first;
    next = only_reader(n, next);
  }
  bool may = kind == LAYER_CONV || kind == LAYER_NORM || kind == LAYER_ADD || kind == LAYER_FC;
  if (may && next >= 0 && n->layer[next].kind == LAYER_RELU) head[next] = first;
}

/* The layers of the step whose last layer is i; false when a later layer is its last. */
static bool step_ends(const net *n, const int *head, int i, int *residual, bool *relu)
{
  const layer *l = n->layer;
  int first = head[i];
  for (int j = i + 1; j < n->layers; j++)
    if (head[j] == first) return false;
  *relu = l[i].kind == LAYER_RELU && first != i;
  *residual = -1;
  for (int j = first; j <= i; j++)
    if (head[j] == first && l[j].kind == LAYER_ADD) *residual = l[j].from == first ? l[j].with : l[j].from;
  if (l[first].kind == LAYER_ADD) *residual = l[first].with;
  return true;
}

static const step_kind kind_of_layer[LAYER_KINDS] = {
  [LAYER_CONV] = STEP_CONV, [LAYER_NORM] = STEP_NORM, [LAYER_RELU] = STEP_RELU, [LAYER_ADD] = STEP_ADD,
  [LAYER_POOL] = STEP_POOL,
  [LAYER_FC] = STEP_FC, [LAYER_DROPOUT] = STEP_DROPOUT, [LAYER_AVERAGE] = STEP_AVERAGE,
  [LAYER_LRN] = STEP_LRN, [LAYER_TANH] = STEP_TANH, [LAYER_SCALE] = STEP_SCALE, [LAYER_GROUP] = STEP_GROUP, [LAYER_SOFTMAX] = STEP_LOSS,
};

static int new_tensor(plan *p, const layer *l)
{
  tensor *t = &p->tensor[p->tensors];
  memcpy(t->name, l->name, sizeof t->name);
  t->s = l->out;
  t->floats = (size_t)p->batch * shape_floats(l->out);
  t->grad = NO_GRADIENT;
  return p->tensors++;
}

static void make_steps(plan *p, bool fuse)
{
  const net *n = p->net;
  int *tensor_of = NEW(int, n->layers), *head = NEW(int, n->layers), residual;
  for (int i = 0; i < n->layers; i++) head[i] = i;
  for (int i = 0; fuse && i < n->layers; i++)
    if (head[i] == i) take_in(n, head, i);
  tensor_of[0] = new_tensor(p, &n->layer[0]);
  for (int i = 1; i < n->layers; i++) {
    step *s = &p->step[p->steps];
    if (!step_ends(n, head, i, &residual, &s->relu)) continue;
    s->layer = &n->layer[head[i]];
    s->kind = kind_of_layer[s->layer->kind];
    s->x = tensor_of[s->layer->from];
    s->r = residual >= 0 ? tensor_of[residual] : -1;
    s->y = tensor_of[i] = new_tensor(p, &n->layer[i]);
    p->steps++;
  }
  free(tensor_of), free(head);
}

/* settle who writes a gradient first */
static void settle_gradients(plan *p)
{
  bool *written = NEW(bool, p->tensors), *image = NEW(bool, p->tensors);
  image[0] = true;
  for (int i = 0; i < p->steps; i++)
    image[p->step[i].y] = p->step[i].kind == STEP_SCALE && image[p->step[i].x];
  for (int i = p->steps - 1; i >= 0; i--) {
    step *s = &p->step[i];
    s->need_dr = s->r >= 0 && !image[s->r], s->need_dx = !image[s->x];
    if (s->need_dr) s->add_dr = written[s->r], written[s->r] = true;
    if (s->need_dx) s->add_dx = written[s->x], written[s->x] = true;
  }
  free(written), free(image);
}

/* place the tensors in memory */
static size_t rounded(size_t floats) { return (floats + 15) / 16 * 16; }

/* The steps between which tensor t's gradient is alive: made by *from, last read by *to. */
static void life(const plan *p, int t, int *from, int *to)
{
  *from = *to = -1;
  for (int i = 0; i < p->steps; i++) {
    if (p->step[i].y == t) *from = i;
    if (p->step[i].x == t || p->step[i].r == t) *to = i;
  }
}

static bool meet(const plan *p, int a, int b)
{
  int a0, a1, b0, b1;
  life(p, a, &a0, &a1), life(p, b, &b0, &b1);
  return a0 <= b1 && b0 <= a1;
}

static void place_tensors(plan *p)
{
  for (int i = 0; i < p->tensors; i++)
    p->tensor[i].act = p->act_floats, p->act_floats += rounded(p->tensor[i].floats);
  for (;;) {
    /* take the largest tensor without a place */
    tensor *t = NULL;
    for (int i = 1; i < p->tensors - 1; i++)
      if (p->tensor[i].grad == NO_GRADIENT && (!t || p->tensor[i].floats > t->floats)) t = &p->tensor[i];
    if (!t) return;
    /* find the lowest place where it meets no other */
    size_t at = 0;
    for (int i = 1; i < p->tensors - 1; i++) {
      const tensor *u = &p->tensor[i];
      if (u->grad == NO_GRADIENT || !meet(p, (int)(t - p->tensor), i)) continue;
      if (at < u->grad + rounded(u->floats) && u->grad < at + rounded(t->floats))
        at = u->grad + rounded(u->floats), i = 0;
    }

    t->grad = at;
    if (at + rounded(t->floats) > p->grad_floats) p->grad_floats = at + rounded(t->floats);
  }
}
/* make a plan from its parts, and free it */
static plan *make_plan(const net *n, int batch, bool fuse)
{
  plan *p = NEW(plan, 1);
  p->net = n, p->batch = batch;
  p->step = NEW(step, n->layers);
  p->tensor = NEW(tensor, n->layers);
  make_steps(p, fuse);
  settle_gradients(p);
  place_tensors(p);
  return p;
}

plan *plan_make(const net *n, int batch) { return make_plan(n, batch, true); }

plan *plan_make_unfused(const net *n, int batch) { return make_plan(n, batch, false); }

void plan_free(plan *p)
{
  if (!p) return;
  free(p->step), free(p->tensor), free(p);
}

int plan_tensor(const plan *p, const char *name)
{
  for (int i = 0; i < p->tensors; i++)
    if (!strcmp(p->tensor[i].name, name)) return i;
  return -1;
}

const char *step_word(const step *s)
{
  static const char *const words[STEP_KINDS] = { "conv", "norm", "relu", "add", "pool", "fc", "dropout",
                                                "avgpool", "lrn", "tanh", "scale", "groupnorm", "loss" };
  const bool add = s->kind == STEP_NORM && s->r >= 0;
  return say("%s%s%s", words[s->kind], add ? "+add" : "", s->relu ? "+relu" : "");
}


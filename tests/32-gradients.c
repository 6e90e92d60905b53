/* The reference's gradients against central finite differences: each operator, and each architecture as a whole. */
#include "engines/engine.h"
#include "base/base.h"
#include "tap.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 3 };
static rng dice;
static const char *const tail = "fc out units classes\nsoftmax loss\n";
static const int rows[BATCH] = { 2, 0, 1 }, labels[BATCH] = { 2, 0, 1 };

/* One step of a net on ref, with L = sum of g * y: everything a finite difference needs. */
typedef struct {
  net *n; plan *p; engine *e; int i; const step *s;
  size_t nx, ny; float *x, *r, *g, *y, *y2, *param; batch b;
} bench;

static float *noise(size_t n)
{
  float *x = NEW(float, n);
  for (size_t i = 0; i < n; i++) x[i] = (float)rng_normal(&dice);
  return x;
}

static void bench_open(bench *t, const char *text)
{
  t->n = net_parse(text, "case", NULL, 3);
  t->p = plan_make(t->n, BATCH);
  t->e = engine_ref.open(t->p, 1);
  for (t->i = 0; strcmp(t->p->step[t->i].layer->name, "op"); ) t->i++;
  t->s = &t->p->step[t->i];
  t->nx = BATCH * shape_floats(t->p->tensor[t->s->x].s), t->ny = BATCH * shape_floats(t->p->tensor[t->s->y].s);
  t->x = noise(t->nx), t->r = noise(t->ny), t->g = noise(t->ny), t->y = NEW(float, t->ny), t->y2 = NEW(float, t->ny), t->param = noise(t->n->param_floats);
  t->b = (batch){ .n = BATCH, .row = rows, .seed = 4, .epoch = 2 };
  engine_ref.set_cells(t->e, NULL, labels, BATCH, NULL);
}

static void bench_close(bench *t)
{
  engine_ref.close(t->e), plan_free(t->p), net_free(t->n);
  free(t->x), free(t->r), free(t->g), free(t->y), free(t->y2), free(t->param);
}

static void evaluate(bench *t, float *y)
{
  net_state s = { t->param, NULL, NEW(float, t->n->stat_floats) };
  engine_ref.write_state(t->e, &s);
  engine_ref.put(t->e, t->s->x, t->x, BATCH);
  if (t->s->r >= 0) engine_ref.put(t->e, t->s->r, t->r, BATCH);
  engine_ref.forward(t->e, &t->b, PASS_TRAIN, t->i, t->i);
  engine_ref.get(t->e, t->s->y, y, BATCH);
  free(s.stat);
}

/* Central difference of L by *v; false when a ReLU switches between the two points, where there is a kink. */
static bool slope(bench *t, float *v, float h, double *d)
{
  const float old = *v, up = old + h, down = old - h;
  *v = up, evaluate(t, t->y);
  *v = down, evaluate(t, t->y2);
  *v = old;
  double sum = 0;
  for (size_t i = 0; i < t->ny; i++) {
    if (t->s->relu && (t->y[i] > 0) != (t->y2[i] > 0)) return false;
    sum += t->g[i] * ((double)t->y[i] - t->y2[i]);
  }
  *d = sum / ((double)up - down);
  return true;
}

typedef struct { double difference, size; int places, kinks; } tally;

/* Compare the analytic gradient of `count` values with differences at up to `tries` random places. */
static void probe(bench *t, float *value, const float *gradient, size_t count, int tries, float h, tally *all)
{
  for (int k = 0; k < tries; k++) {
    const size_t i = rng_below(&dice, (uint32_t)count);
    double d;
    if (!slope(t, &value[i], h, &d)) { all->kinks++; continue; }
    all->difference += (d - gradient[i]) * (d - gradient[i]), all->size += d * d, all->places++;
  }
}

static void check_step(const char *text, float h, tally *x, tally *r, tally *w)
{
  bench t;
  bench_open(&t, text);
  float *dx = NEW(float, t.nx), *dr = NEW(float, t.ny), *dparam = NEW(float, t.n->param_floats);
  evaluate(&t, t.y);
  engine_ref.put_grad(t.e, t.s->y, t.g, BATCH);
  engine_ref.backward(t.e, &t.b, t.i, t.i);
  engine_ref.get_grad(t.e, t.s->x, dx, BATCH);
  if (t.s->need_dr) engine_ref.get_grad(t.e, t.s->r, dr, BATCH);
  engine_ref.get_dparam(t.e, dparam);
  probe(&t, t.x, dx, t.nx, 12, h, x);
  if (t.s->need_dr) probe(&t, t.r, dr, t.ny, 12, h, r);
  for (int k = 0; k < 2; k++) {
    const int id = k ? t.s->layer->bias : t.s->layer->weight;
    if (id >= 0) probe(&t, t.param + t.n->param[id].offset, dparam + t.n->param[id].offset, t.n->param[id].count, 12, h, w);
  }
  free(dx), free(dr), free(dparam);
  bench_close(&t);
}

static double error_of(const tally *t) { return sqrt(t->difference / (t->size + 1e-12)); }

static void report(const char *op, double tolerance, const tally *x, const tally *r, const tally *w)
{
  ok(x->places > 20 && error_of(x) < tolerance, "%s: dx at %d places (%d kinks left out), normalised error %.2g", op, x->places, x->kinks, error_of(x));
  if (r->places) ok(error_of(r) < tolerance, "%s: dr at %d places, normalised error %.2g", op, r->places, error_of(r));
  if (w->places) ok(error_of(w) < tolerance, "%s: parameters at %d places, normalised error %.2g", op, w->places, error_of(w));
}

/* `line` is the operator's line(s) behind two ReLU layers `pre` and `res`, over some sizes; linear operators take a large h without error */
static void check_operator(const char *op, const char *line, float h, double tolerance)
{
  static const int sizes[][3] = { { 1, 1, 2 }, { 5, 4, 3 }, { 7, 6, 1 }, { 3, 8, 5 }, { 9, 9, 2 } };
  tally x = {0}, r = {0}, w = {0};
  for (int i = 0; i < 5; i++) {
    char *text = join("name t\ninput %d %d %d\nrelu pre\nrelu res from input\n%s\n%s%s", sizes[i][0], sizes[i][1], sizes[i][2], line,
                      strstr(line, "res") ? "" : "fc a units 3\nfc b units 3 from res\nadd c with a\n", tail);
    check_step(text, h, &x, &r, &w);
    free(text);
  }
  report(op, tolerance, &x, &r, &w);
}

/* ---- whole nets: along each parameter tensor's gradient the loss must change at the rate of its length ---- */
static double loss_of(engine *e, net_state *s, const float *x, const batch *b)
{
  double loss;
  engine_ref.write_state(e, s);
  engine_ref.put(e, 0, x, b->n);
  engine_ref.forward(e, b, PASS_TRAIN, 0, e->plan->steps - 1);
  engine_ref.result(e, 0, &loss, NULL);
  return loss;
}

static double along(engine *e, net_state *s, const float *x, const batch *b, const param *p, const float *direction, double length, double h)
{
  float *w = s->param + p->offset, *old = NEW(float, p->count);
  double l[2];
  memcpy(old, w, p->count * sizeof *w);
  for (int side = 0; side < 2; side++) {
    for (size_t i = 0; i < p->count; i++) w[i] = (float)(old[i] + (side ? -h : h) * direction[i] / length);
    l[side] = loss_of(e, s, x, b);
  }
  memcpy(w, old, p->count * sizeof *w);
  free(old);
  return (l[0] - l[1]) / (2 * h);
}

static void check_net(const char *name, const char *set)
{
  net *n = net_load(say("experiments/nets/%s.net", name), set ? set : "size=12,f1=4,f2=5,f3=6,fc1=7", 3);
  plan *p = plan_make(n, BATCH);
  engine *e = engine_ref.open(p, 1);
  net_state s = { NEW(float, n->param_floats), NULL, NEW(float, n->stat_floats) };
  float *x = noise(BATCH * shape_floats(p->tensor[0].s)), *g = NEW(float, n->param_floats);
  batch b = { .n = BATCH, .row = rows, .seed = 4, .epoch = 2 };
  for (int k = 0; k < n->params; k++)
    for (size_t i = 0; i < n->param[k].count; i++)
      s.param[n->param[k].offset + i] = (float)((n->param[k].init == INIT_ONE) + rng_normal(&dice) * (n->param[k].init == INIT_WEIGHT ? sqrt(1.0 / n->param[k].fan_in) : 0.1));
  engine_ref.set_cells(e, NULL, labels, BATCH, NULL);
  loss_of(e, &s, x, &b);
  engine_ref.backward(e, &b, p->steps - 1, 0);
  engine_ref.get_dparam(e, g);
  double worst = 0;
  int tensors = 0;
  for (int k = 0; k < n->params; k++) {
    const param *q = &n->param[k];
    double square = 0, ones = 0;
    float *d = NEW(float, q->count);
    for (size_t i = 0; i < q->count; i++) {
      square += (double)g[q->offset + i] * g[q->offset + i];
      d[i] = (float)(rng_below(&dice, 2) ? 1 : -1);
      ones += d[i] * (double)g[q->offset + i];
    }
    const double length = sqrt(square), side = sqrt((double)q->count);
    /* A bias in front of a normalisation moves nothing: there the loss must stay as it is along a random direction. The loss is smooth but
       for kinks, whose share shrinks with the step while rounding grows; the best of three steps counts. */
    double error = 1e9;
    for (double h = 1e-3; h > 5e-5; h /= 4) {
      const double random = along(e, &s, x, &b, q, d, side, h) - ones / side;
      const double here = length < 1e-5 ? fabs(random) : fmax(fabs(random), fabs(along(e, &s, x, &b, q, g + q->offset, length, h) - length)) / length;
      error = fmin(error, here);
    }
    if (error > 0.01) printf("# %s: error %.3g, length %.3g\n", q->name, error, length);
    worst = fmax(worst, error), tensors++;
    free(d);
  }
  ok(worst < 0.01, "%s: the whole net's gradient, %d tensors, worst error %.2g", name, tensors, worst);
  free(s.param), free(s.stat), free(x), free(g);
  engine_ref.close(e), plan_free(p), net_free(n);
}

int main(void)
{
  dice = rng_open(2026, RNG_TEST, 0, 32);
  check_operator("conv", "conv op filters 4 kernel 3 from pre", 0.25f, 1e-5);
  check_operator("conv+relu", "conv op filters 4 kernel 3 from pre\nrelu act", 0.01f, 2e-4);
  check_operator("conv 5x5 stride 2", "conv op filters 3 kernel 5 stride 2 from pre", 0.25f, 1e-5);
  check_operator("conv 2x2 stride 3", "conv op filters 3 kernel 2 stride 3 from pre", 0.25f, 1e-5);
  check_operator("conv 1x1 valid", "conv op filters 3 kernel 1 pad valid from pre", 0.25f, 1e-5);
  check_operator("norm", "bn op from pre", 0.01f, 1e-3);
  check_operator("norm+relu", "bn op from pre\nrelu act", 0.01f, 1e-3);
  check_operator("norm+add+relu", "bn op from pre\nadd sum with res\nrelu act", 0.01f, 1e-3);
  check_operator("add+relu", "add op from pre with res\nrelu act", 0.01f, 2e-4);
  check_operator("fc", "fc op units 6 from pre", 0.25f, 1e-5);
  check_operator("fc+relu", "fc op units 6 from pre\nrelu act", 0.01f, 2e-4);
  check_operator("max pooling 2x2", "maxpool op size 2 stride 2 pad same from pre", 1e-3f, 1e-3);
  check_operator("max pooling 3x3, windows that overlap", "maxpool op size 3 stride 1 pad same from pre", 1e-3f, 1e-3);
  check_operator("conv in two groups", "conv wide filters 4 kernel 1 from pre\nconv op filters 6 kernel 3 groups 2 pad 1 stride 2", 0.25f, 1e-5);
  check_operator("conv without bias, pad 2", "conv op filters 3 kernel 3 pad 2 bias no from pre", 0.25f, 1e-5);
  check_operator("average pooling 3x3, windows that overlap", "avgpool op size 3 stride 2 pad same from pre", 0.25f, 1e-5);
  check_operator("global average", "avgpool op size global from pre", 0.25f, 1e-5);
  check_operator("local response normalisation", "conv wide filters 7 kernel 1 from pre\nlrn op size 3 alpha 0.5 beta 0.75 k 2", 0.01f, 1e-3);
  check_operator("local response normalisation, another power", "conv wide filters 7 kernel 1 from pre\nlrn op size 5 alpha 0.1 beta 1.5 k 1", 0.01f, 1e-3);
  check_operator("tanh", "tanh op amplitude 1.7159 slope 0.66666667 from pre", 0.01f, 1e-3);
  check_operator("scale", "scale op by 0.02 from pre", 0.25f, 1e-5);
  check_operator("dropout", "dropout op p 0.4 from pre", 0.25f, 1e-5);
  check_net("wbcsnet", NULL), check_net("wbcsnet2", NULL), check_net("wbcsnet2-v2", NULL), check_net("wbcsnet2-v3", NULL), check_net("wbcsnet2-v4", NULL);
  check_net("lenet5", "f1=2,f2=3,fc1=7,fc2=6"), check_net("lenet5-colour", "size=20,f1=2,f2=3,fc1=7,fc2=6"), check_net("alexnet-70", "f1=4,f2=4,f3=6,f4=6,f5=4,fc=7");
  check_net("alexnet-one", "size=63,f1=3,f2=4,f3=4,f4=4,f5=4,fc=7"), check_net("vgg16", "size=32,f1=2,f2=2,f3=3,f4=3,f5=4,fc=6"), check_net("resnet18", "size=64,f1=2,f2=3,f3=4,f4=5");
  check_operator("groupnorm", "conv wide filters 6 kernel 1 from pre\ngroupnorm op groups 3", 0.01f, 1e-3);
  check_operator("groupnorm of all channels, and relu", "conv wide filters 5 kernel 1 from pre\ngroupnorm op groups 1\nrelu act", 0.01f, 1e-3);
  return done_testing();
}

/* Every operator of every engine against the reference, over many odd shapes; and the same bits with any number of threads.
   OPERATOR_CASES=20: only so many percent of the cases, and small ones. */
#include "engines/engine.h"
#include "base/base.h"
#include "difference.h"
#include "tap.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BATCH = 7 };
static double tolerance;                             /* of the engine at hand: see engine.h */
static int kept_bits;                                /* of a mantissa, in what that engine stores */
static int percent = 100;                            /* of the cases */
static rng dice;

static int pick(int n, const int *from) { return from[rng_below(&dice, (uint32_t)n)]; }

static float *noise(size_t n, double mean)
{
  float *x = NEW(float, n);
  for (size_t i = 0; i < n; i++) x[i] = (float)(mean + rng_normal(&dice));
  return x;
}

/* Round to the numbers that the engine stores without loss. What it is given is then exact, its products are too, and the sign of
   a sum, which a ReLU's mask follows, is the reference's: what remains is the rounding of its results. */
static void round_inputs(float *x, size_t n)
{
  for (size_t i = 0; kept_bits < 23 && i < n; i++) {
    uint32_t u;
    memcpy(&u, &x[i], 4);
    u = (u + (1u << (22 - kept_bits))) & ~((1u << (23 - kept_bits)) - 1);
    memcpy(&x[i], &u, 4);
  }
}

static int cases_of(int all) { return all * percent < 300 ? 3 : all * percent / 100; }
static double most_work(void) { return percent < 100 ? 3e5 : 4e6; }

/* ---- one step of one net on one engine: random input, residual term, parameters and gradient ---- */
typedef struct { float *x, *r, *dy, *dx, *dr, *param, *stat; } inputs;
typedef struct { float *y, *y_infer, *dx, *dr, *dparam; } outputs;

static void run_step(const engine_kind *kind, const plan *p, int i, int n, const inputs *in, outputs *out)
{
  const step *s = &p->step[i];
  const size_t nx = shape_floats(p->tensor[s->x].s) * (size_t)n, ny = shape_floats(p->tensor[s->y].s) * (size_t)n;
  int row[BATCH] = { 5, 0, 3, 3, 9, 2, 1 }, label[10] = { 0, 1, 2, 0, 1, 2, 0, 1, 2, 0 };
  batch b = { .n = n, .row = row, .seed = 77, .epoch = 3 };
  engine *e = kind->open(p, 2);
  net_state state = { in->param, NULL, in->stat };
  kind->write_state(e, &state);
  kind->set_cells(e, NULL, label, 10, NULL);
  *out = (outputs){ NEW(float, ny), NEW(float, ny), NEW(float, nx), NEW(float, ny), NEW(float, p->net->param_floats) };
  kind->put(e, s->x, in->x, n);
  if (s->r >= 0) kind->put(e, s->r, in->r, n);
  kind->forward(e, &b, PASS_INFER, i, i);
  kind->get(e, s->y, out->y_infer, n);
  kind->forward(e, &b, PASS_TRAIN, i, i);
  kind->get(e, s->y, out->y, n);
  if (s->kind != STEP_LOSS) kind->put_grad(e, s->y, in->dy, n);
  if (s->need_dx) kind->put_grad(e, s->x, in->dx, n);
  if (s->need_dr) kind->put_grad(e, s->r, in->dr, n);
  kind->backward(e, &b, i, i);
  if (s->need_dx) kind->get_grad(e, s->x, out->dx, n);
  if (s->need_dr) kind->get_grad(e, s->r, out->dr, n);
  kind->get_dparam(e, out->dparam);
  kind->close(e);
}

static void free_outputs(outputs *o) { free(o->y), free(o->y_infer), free(o->dx), free(o->dr), free(o->dparam); }

typedef struct { double forward, infer, dx, dr, dparam; int cases, bad, undecided; } worst;

/* Does the ReLU decide otherwise about an output that is nothing but rounding? A sum in another order may come out on the other side
   of zero, and the gradient through it is then there or not: both are right, and what lies behind cannot be compared. */
static bool decides_otherwise(const float *mine, const float *right, size_t n)
{
  const double small = tolerance * norm_of(right, n) / sqrt((double)n);
  for (size_t k = 0; k < n; k++)
    if ((mine[k] > 0) != (right[k] > 0) && fabs(mine[k]) <= small && fabs(right[k]) <= small) return true;
  return false;
}

static void note(double *w, double d, worst *all, const char *what, const char *text)
{
  if (d > *w) *w = d;
  if (d > tolerance && all->bad++ < 5) printf("# %s differs by %.3g in\n# %s\n", what, d, text);
}

static void compare_backward(const step *s, const net *the_net, const inputs *in, const outputs *a, const outputs *b, size_t nx, size_t ny, worst *w, const char *text)
{
  note(&w->dx, s->need_dx ? difference(b->dx, a->dx, nx) : 0, w, "dx", text);
  note(&w->dr, s->need_dr ? difference(b->dr, a->dr, ny) : 0, w, "dr", text);
  const layer *l = s->layer;
  /* A norm's gradients are sums of terms of either sign, about as large as the gradient's norm; with one channel such a sum may all but
     vanish by chance, and its rounding, which does not, is then held against the size that it has otherwise. */
  const double least = s->kind == STEP_NORM || s->kind == STEP_GROUP ? norm_of(in->dy, ny) : 0;
  for (int k = 0; k < 2; k++) {
    const int t = k ? l->bias : l->weight;
    if (t < 0) continue;
    const param *q = &the_net->param[t];
    note(&w->dparam, difference_beside(b->dparam + q->offset, a->dparam + q->offset, q->count, least), w, q->name, text);
  }
}

/* Compare one engine's step that layer `name` begins with the reference's. spread: x is rounded to this grid (ties), 0: not */
static void compare(const engine_kind *kind, const char *text, const char *name, int n, double spread, worst *w)
{
  net *the_net = net_parse(text, "case", NULL, 3);
  plan *p = plan_make(the_net, BATCH);
  int i = 0;
  while (strcmp(p->step[i].layer->name, name)) i++;
  const step *s = &p->step[i];
  const size_t nx = shape_floats(p->tensor[s->x].s) * (size_t)n, ny = shape_floats(p->tensor[s->y].s) * (size_t)n;
  inputs in = { noise(nx, 0.2), noise(ny, 0), noise(ny, 0), noise(nx, 0), noise(ny, 0), noise(the_net->param_floats, 0.1), noise(the_net->stat_floats, 0) };
  for (size_t k = 0; k < the_net->stat_floats; k++) in.stat[k] = fabsf(in.stat[k]) + 0.1f;
  for (size_t k = 0; spread > 0 && k < nx; k++) in.x[k] = (float)(spread * floor(in.x[k] / spread));
  round_inputs(in.x, nx), round_inputs(in.r, ny), round_inputs(in.dy, ny), round_inputs(in.dx, nx), round_inputs(in.dr, ny);
  round_inputs(in.param, the_net->param_floats);
  outputs a, b;
  run_step(&engine_ref, p, i, n, &in, &a);
  run_step(kind, p, i, n, &in, &b);
  note(&w->forward, difference(b.y, a.y, ny), w, "output", text);
  note(&w->infer, difference(b.y_infer, a.y_infer, ny), w, "output in use", text);
  const bool undecided = s->relu && decides_otherwise(b.y, a.y, ny);
  if (undecided) w->undecided++;
  else compare_backward(s, the_net, &in, &a, &b, nx, ny, w, text);
  w->cases++;
  free_outputs(&a), free_outputs(&b);
  free(in.x), free(in.r), free(in.dy), free(in.dx), free(in.dr), free(in.param), free(in.stat);
  plan_free(p), net_free(the_net);
}

/* ---- nets around the operator: `pre` gives it an input that has a gradient, the tail makes a whole net ---- */
static const char *const tail = "fc out units classes\nsoftmax loss\n";
static const int channel_choice[] = { 1, 3, 5, 16, 17, 33 }, kernel_choice[] = { 1, 2, 3, 5, 7 }, batch_choice[] = { 1, 2, 3, 5, 7 };
#define CHOOSE(list) pick((int)(sizeof list / sizeof *list), list)

static void conv_cases(const engine_kind *kind, worst *w, int cases)
{
  while (w->cases < cases) {
    int h = 1 + (int)rng_below(&dice, 19), wd = 1 + (int)rng_below(&dice, 19), c = CHOOSE(channel_choice), f = CHOOSE(channel_choice);
    int k = CHOOSE(kernel_choice), s = 1 + (int)rng_below(&dice, 3), n = CHOOSE(batch_choice), form = (int)rng_below(&dice, 4);
    bool same = rng_below(&dice, 2), relu = rng_below(&dice, 2);
    if ((!same && (k > h || k > wd)) || (double)h * wd * c * f * k * k * n > most_work()) continue;
    /* form 1: the input is read again later, so that dx must be added to; form 2: the input is the image, without dx */
    char *text = join("name t\ninput %d %d %d\n%s%sconv op filters %d kernel %d stride %d pad %s from %s\n%s%s%s", h, wd, c,
                      form == 2 ? "" : "relu pre\n", "", f, k, s, same ? "same" : "valid", form == 2 ? "input" : "pre", relu ? "relu act\n" : "",
                      form == 1 && !relu ? "relu two from pre\nfc a units 4 from op\nfc b units 4 from two\nadd c with a\n" : "", tail);
    compare(kind, text, "op", n, 0, w);
    free(text);
  }
}

/* Channels in whole stages and columns in whole tiles: what a GPU gives to the products of warp groups (the candidate groups). */
static void broad_cases(const engine_kind *kind, worst *w)
{
  static const struct { int h, w, c, f, kernel, n; const char *pad, *after; } list[] = {
    { 16, 17, 32, 64, 3, 1, "same", "relu act\n" }, { 17, 16, 64, 64, 3, 1, "valid", "" }, { 16, 20, 64, 32, 5, 1, "same", "" }, { 18, 16, 64, 128, 1, 2, "same", "relu act\n" },
  };
  for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
    char *text = join("name t\ninput %d %d %d\nrelu pre\nconv op filters %d kernel %d pad %s\n%s%s", list[i].h, list[i].w, list[i].c, list[i].f,
                      list[i].kernel, list[i].pad, list[i].after, tail);
    compare(kind, text, "op", list[i].n, 0, w);
    free(text);
  }
}

/* Groups, no bias, and a number of zeros as padding: what AlexNet and ResNet-18 need. */
static void grouped_cases(const engine_kind *kind, worst *w, int cases)
{
  static const int group_choice[] = { 1, 2, 3, 4 }, part_choice[] = { 1, 3, 8, 16, 17 };
  while (w->cases < cases) {
    int h = 1 + (int)rng_below(&dice, 13), wd = 1 + (int)rng_below(&dice, 13), g = CHOOSE(group_choice), c = g * CHOOSE(part_choice), f = g * CHOOSE(part_choice);
    int k = CHOOSE(kernel_choice), s = 1 + (int)rng_below(&dice, 3), pad = (int)rng_below(&dice, (uint32_t)k), n = CHOOSE(batch_choice);
    bool relu = rng_below(&dice, 2), bias = rng_below(&dice, 3), again = rng_below(&dice, 2);
    if (k > h + 2 * pad || k > wd + 2 * pad || (double)h * wd * c * f * k * k * n > most_work()) continue;
    char *text = join("name t\ninput %d %d %d\nrelu pre\nconv op filters %d kernel %d stride %d pad %d groups %d bias %s\n%s%s%s", h, wd, c, f, k, s, pad, g,
                      bias ? "yes" : "no", relu ? "relu act\n" : "", again ? say("relu two from pre\nfc a units 4 from %s\nfc b units 4 from two\nadd c with a\n", relu ? "act" : "op") : "", tail);
    compare(kind, text, "op", n, 0, w);
    free(text);
  }
}

static void norm_cases(const engine_kind *kind, worst *w, int cases)
{
  while (w->cases < cases) {
    int h = 1 + (int)rng_below(&dice, 19), wd = 1 + (int)rng_below(&dice, 19), c = CHOOSE(channel_choice), n = CHOOSE(batch_choice);
    bool relu = rng_below(&dice, 2), add = rng_below(&dice, 2), again = rng_below(&dice, 2);
    if (h * wd * n < 4) continue;                    /* with one or two values a channel the normalised ones are only +-1 and dx is all rounding */
    char *text = join("name t\ninput %d %d %d\nrelu pre\nrelu res\nbn op from pre\n%s%s%s%s", h, wd, c, add ? "add sum with res\n" : "",
                      relu ? "relu act\n" : "", !add ? "add join with res\n" : again ? "add join with res\nadd join2 with pre\n" : "", tail);
    compare(kind, text, "op", n, 0, w);
    free(text);
  }
}

static void small_cases(const engine_kind *kind, worst *w, int cases, const char *line)
{
  while (w->cases < cases) {
    int h = 1 + (int)rng_below(&dice, 19), wd = 1 + (int)rng_below(&dice, 19), c = CHOOSE(channel_choice), n = CHOOSE(batch_choice);
    bool relu = rng_below(&dice, 2), again = rng_below(&dice, 2);
    char *text = join("name t\ninput %d %d %d\nrelu pre\nrelu res\n%s\n%s%s%s", h, wd, c, line, relu ? "relu act\n" : "",
                      again ? "add join with res\nadd join2 with pre\n" : !strstr(line, "res") ? "add join with res\n" : "", tail);
    compare(kind, text, "op", n, 0, w);
    free(text);
  }
}

static void pool_cases(const engine_kind *kind, worst *w, int cases, const char *word)
{
  while (w->cases < cases) {
    int h = 1 + (int)rng_below(&dice, 19), wd = 1 + (int)rng_below(&dice, 19), c = CHOOSE(channel_choice), n = CHOOSE(batch_choice);
    int k = CHOOSE(kernel_choice), s = 1 + (int)rng_below(&dice, 3);
    int pad = (int)rng_below(&dice, (uint32_t)k);
    bool same = rng_below(&dice, 2), again = rng_below(&dice, 2), global = !strcmp(word, "avgpool") && !rng_below(&dice, 4);
    if (!same && (k > h + 2 * pad || k > wd + 2 * pad)) continue;
    char *text = join("name t\ninput %d %d %d\nrelu pre\n%s op size %s\n%s%s", h, wd, c, word,
                      global ? "global" : say("%d stride %d pad %s", k, s, same ? "same" : say("%d", pad)),
                      again ? "relu two from pre\nfc a units 4 from op\nfc b units 4 from two\nadd c with a\n" : "", tail);
    compare(kind, text, "op", n, rng_below(&dice, 2) ? 0.5 : 0, w);   /* half of the cases have ties */
    free(text);
  }
}

static void response_cases(const engine_kind *kind, worst *w, int cases)
{
  static const int window_choice[] = { 1, 3, 5, 9 };
  while (w->cases < cases) {
    char *line = join("lrn op size %d alpha %g beta %g k %g from pre", CHOOSE(window_choice), rng_below(&dice, 2) ? 1e-4 : 0.3, rng_below(&dice, 2) ? 0.75 : 1.2, 0.5 + rng_uniform(&dice));
    small_cases(kind, w, w->cases + 1, line);
    free(line);
  }
}

static void fc_cases(const engine_kind *kind, worst *w, int cases)
{
  while (w->cases < cases) {
    int h = 1 + (int)rng_below(&dice, 19), wd = 1 + (int)rng_below(&dice, 19), c = CHOOSE(channel_choice), f = CHOOSE(channel_choice), n = CHOOSE(batch_choice);
    bool relu = rng_below(&dice, 2), again = rng_below(&dice, 2);
    char *text = join("name t\ninput %d %d %d\nrelu pre\nfc op units %d\n%s%s%s", h, wd, c, f, relu ? "relu act\n" : "",
                      again ? "relu two from pre\nfc a units 4 from " : "", again ? (relu ? "act\nfc b units 4 from two\nadd c with a\n" : "op\nfc b units 4 from two\nadd c with a\n") : "");
    char *whole = join("%s%s", text, tail);
    compare(kind, whole, "op", n, 0, w);
    free(text), free(whole);
  }
}

static void loss_cases(const engine_kind *kind, worst *w, int cases)
{
  while (w->cases < cases) compare(kind, "name t\ninput 2 2 1\nfc out units classes\nsoftmax op\n", "op", CHOOSE(batch_choice), 0, w);
}

static void report(const engine_kind *kind, const char *op, const worst *w)
{
  ok(w->forward <= tolerance && w->infer <= tolerance, "%s %s: %d shapes, forward, worst error %.2g", kind->name, op, w->cases, fmax(w->forward, w->infer));
  if (w->undecided) printf("# %d of %d shapes have an output so near zero that its ReLU decides otherwise; their gradients are left out\n", w->undecided, w->cases);
  ok(w->dx <= tolerance && w->dr <= tolerance && w->dparam <= tolerance && w->undecided <= 1 + w->cases / 50,
     "%s %s: backward, worst error dx %.2g dr %.2g parameters %.2g", kind->name, op, w->dx, w->dr, w->dparam);
}

/* ---- whole nets ---- */
#define SMALL "size=12,f1=5,f2=6,f3=7,fc1=9"
static const struct { const char *name, *set; } nets[] = {
  { "wbcsnet", SMALL }, { "wbcsnet2", SMALL }, { "wbcsnet2-v2", SMALL }, { "wbcsnet2-v3", SMALL }, { "wbcsnet2-v4", SMALL },
  { "lenet5", NULL }, { "lenet5-colour", "size=20,f1=3,f2=4" }, { "alexnet-70", "f1=4,f2=6,f3=8,f4=8,f5=6,fc=10" },
  { "alexnet-one", "size=63,f1=4,f2=5,f3=6,f4=7,f5=6,fc=10" }, { "vgg16", "size=32,f1=3,f2=4,f3=5,f4=16,f5=17,fc=9" }, { "resnet18", "size=64,f1=3,f2=4,f3=16,f4=17" },
};

static void fill_state(const net *n, net_state *s)
{
  *s = (net_state){ NEW(float, n->param_floats), NULL, NEW(float, n->stat_floats) };
  for (int k = 0; k < n->params; k++)
    for (size_t i = 0; i < n->param[k].count; i++)
      s->param[n->param[k].offset + i] = (float)(n->param[k].init == INIT_WEIGHT ? sqrt(1.0 / n->param[k].fan_in) * rng_normal(&dice) : n->param[k].init == INIT_ONE);
}

/* Three training steps, the statistics, and inference; returns the parameters, velocities, statistics and probabilities end to end. */
static float *train_a_little(const engine_kind *kind, const plan *p, const net_state *start, int threads, int steps, size_t *count)
{
  const net *n = p->net;
  static uint8_t pixels[8 * 70 * 70 * 3];
  static const int label[8] = { 0, 1, 2, 3, 4, 0, 1, 2 };
  int row[BATCH] = { 7, 3, 1, 0, 2, 6, 5 };
  const uint8_t turn[BATCH] = { 0, 1, 2, 3, 4, 5, 6 };
  const float weight[5] = { 0.5f, 2, 1, 1, 1.5f };
  rng r = rng_open(5, RNG_TEST, 0, 9);
  for (size_t i = 0; i < sizeof pixels; i++) pixels[i] = (uint8_t)(rng_u32(&r) >> 25);
  engine *e = kind->open(p, threads);
  kind->write_state(e, start);
  kind->set_cells(e, pixels, label, 8, NULL);
  for (int i = 0; i < steps; i++) {
    batch b = { .n = i == 1 ? 5 : 7, .row = row, .turn = turn, .seed = 3, .epoch = (uint32_t)i };
    sgd s = { .rate = 0.001f, .momentum = 0.9f, .l2 = 1e-4f, .class_weight = weight };
    kind->train_step(e, &b, &s);
  }
  batch b = { .n = 7, .row = row };
  kind->stats_begin(e), kind->stats_batch(e, &b), b.n = 4, kind->stats_batch(e, &b), kind->stats_end(e);
  *count = 2 * n->param_floats + n->stat_floats + 4 * 5;
  float *all = NEW(float, *count);
  net_state out = { all, all + n->param_floats, all + 2 * n->param_floats };
  kind->read_state(e, &out);
  kind->infer(e, &b, out.stat + n->stat_floats);
  kind->close(e);
  return all;
}

static net_state copy_state(const net *n, const net_state *from)
{
  net_state s = { NEW(float, n->param_floats), NULL, NEW(float, n->stat_floats) };
  memcpy(s.param, from->param, sizeof *s.param * n->param_floats);
  memcpy(s.stat, from->stat, sizeof *s.stat * n->stat_floats);
  return s;
}

typedef struct { double parameters, velocities, statistics, probabilities; } whole;

static whole whole_difference(const net *n, size_t count, const float *a, const float *b)
{
  const size_t p = n->param_floats, s = n->stat_floats;
  return (whole){ difference(a, b, p), difference(a + p, b + p, p), difference(a + 2 * p, b + 2 * p, s), difference(a + count - 4 * 5, b + count - 4 * 5, 4 * 5) };
}

static void whole_nets(const engine_kind *kind)
{
  const size_t count_of_nets = sizeof nets / sizeof *nets;
  const bool gpu = !strncmp(kind->name, "cuda", 4);
  for (size_t i = 0; i < (gpu && percent < 100 ? 2 : count_of_nets); i++) {
    const char *name = nets[i].name;
    net *n = net_load(say("experiments/nets/%s.net", name), nets[i].set, 5);
    plan *p = plan_make(n, BATCH);
    net_state start;
    size_t count;
    fill_state(n, &start);
    float *one = train_a_little(kind, p, &start, 1, 3, &count), *again = train_a_little(kind, p, &start, 1, 3, &count);
    ok(!memcmp(one, again, count * sizeof *one), "%s %s: the same bits twice", kind->name, name);
    for (int threads = 2; threads <= 3 && !gpu; threads++) {
      float *more = train_a_little(kind, p, &start, threads, 3, &count);
      ok(!memcmp(one, more, count * sizeof *one), "%s %s: the same bits with 1 and %d threads", kind->name, name, threads);
      free(more);
    }
    float *mine = train_a_little(kind, p, &start, 2, 1, &count), *right = train_a_little(&engine_ref, p, &start, 2, 1, &count);
    whole far = whole_difference(n, count, mine, right), may = { 1e-5, 1e-3, 1e-3, 1e-3 };
    /* An engine that rounds turns some ReLUs' and maxima's decisions, a few in a thousand, and each moves a gradient by its whole size,
       the more the deeper the net. How much that is, the reference shows: it takes the same step from weights rounded as the engine
       rounds them. The engine, which rounds activations too, may be five times as far, and far enough for one turned decision in a
       shallow net (seen, emulated: up to four times; 24 tolerances in the velocities). Operators are compared sharply, one by one. */
    if (kept_bits < 23) {
      net_state near = copy_state(n, &start);
      round_inputs(near.param, n->param_floats);
      float *rounded = train_a_little(&engine_ref, p, &near, 2, 1, &count);
      may = whole_difference(n, count, rounded, right);
      printf("# %s %s: the reference from rounded weights: parameters %.2g velocities %.2g statistics %.2g probabilities %.2g\n", kind->name, name,
             may.parameters, may.velocities, may.statistics, may.probabilities);
      may = (whole){ 5 * may.parameters, fmax(5 * may.velocities, 50 * tolerance), fmax(5 * may.statistics, 10 * tolerance), fmax(5 * may.probabilities, 10 * tolerance) };
      free(rounded), free(near.param), free(near.stat);
    }
    ok(far.parameters <= may.parameters && far.velocities <= may.velocities && far.statistics <= may.statistics && far.probabilities <= may.probabilities,
       "%s %s: a step with class weights and turns, against ref: parameters %.2g velocities %.2g statistics %.2g probabilities %.2g", kind->name, name,
       far.parameters, far.velocities, far.statistics, far.probabilities);
    free(one), free(again), free(mine), free(right), free(start.param), free(start.stat);
    plan_free(p), net_free(n);
  }
}

/* What other people's nets need beside the paper's. */
static void other_operators(const engine_kind *kind)
{
  const bool ref = kind == &engine_ref;
  worst average = {0}, lrn = {0}, curve = {0}, scale = {0}, group = {0};
  pool_cases(kind, &average, cases_of(ref ? 20 : 150), "avgpool"), report(kind, "average pooling", &average);
  response_cases(kind, &lrn, cases_of(ref ? 10 : 60)), report(kind, "local response normalisation", &lrn);
  small_cases(kind, &curve, cases_of(ref ? 10 : 60), "tanh op amplitude 1.7159 slope 0.6667 from pre"), report(kind, "tanh", &curve);
  const rng before = dice;                           /* these have dice of their own: the nets below stay what they were */
  dice = rng_open(2026, RNG_TEST, 0, 131);
  small_cases(kind, &group, cases_of(ref ? 10 : 60), "groupnorm op from pre"), report(kind, "group normalisation", &group);
  dice = before;
  small_cases(kind, &scale, cases_of(ref ? 10 : 60), "scale op by 0.017 from pre"), report(kind, "scale", &scale);
}

int main(int argc, char **argv)
{
  /* Threads that spin while they wait make a busy machine slow; libgomp reads this when it is loaded. */
  if (argc && !getenv("OMP_WAIT_POLICY") && !setenv("OMP_WAIT_POLICY", "passive", 1)) execv("/proc/self/exe", argv);
  if (getenv("OPERATOR_CASES")) percent = atoi(getenv("OPERATOR_CASES"));
  for (int i = 0; engine_kinds[i]; i++) {
    const engine_kind *kind = engine_kinds[i];
    if (!engine_wanted(kind->name)) continue;
    if (kind->why_off()) { engine_off(kind->name, say("%s: %s", kind->name, kind->why_off())); continue; }
    tolerance = kind->tolerance;
    kept_bits = !strcmp(kind->name, "cuda-bf16") ? 7 : !strcmp(kind->name, "cuda-tf32") ? 10 : 23;
    const bool ref = kind == &engine_ref;            /* against itself a few cases show that nothing crashes */
    dice = rng_open(2026, RNG_TEST, 0, 31);
    worst grouped = {0}, broad = {0}, conv = {0}, norm = {0}, relu = {0}, add = {0}, pool = {0}, fc = {0}, drop = {0}, loss = {0};
    conv_cases(kind, &conv, cases_of(ref ? 30 : 300)), report(kind, "convolution", &conv);
    broad_cases(kind, &broad), report(kind, "convolution, many channels", &broad);
    norm_cases(kind, &norm, cases_of(ref ? 30 : 150)), report(kind, "normalisation", &norm);
    small_cases(kind, &relu, cases_of(ref ? 10 : 60), "dropout op p 0.3 from pre\nrelu act0"), report(kind, "dropout", &relu);
    small_cases(kind, &add, cases_of(ref ? 10 : 60), "add op with pre"), report(kind, "addition", &add);
    pool_cases(kind, &pool, cases_of(ref ? 30 : 150), "maxpool"), report(kind, "max pooling", &pool);
    fc_cases(kind, &fc, cases_of(ref ? 30 : 150)), report(kind, "fully connected", &fc);
    small_cases(kind, &drop, cases_of(ref ? 10 : 60), "relu op from pre"), report(kind, "ReLU", &drop);
    loss_cases(kind, &loss, cases_of(ref ? 5 : 20)), report(kind, "softmax and cross-entropy", &loss);
    grouped_cases(kind, &grouped, cases_of(ref ? 20 : 200)), report(kind, "convolution in groups", &grouped);
    other_operators(kind);
    whole_nets(kind);
  }
  return done_testing();
}

/* What the executor does around the operators: the update against a hand computation, dropout's masks, whole-set and moving statistics,
   gathering with the eight symmetries, the loss by hand. On every usable engine. */
#include "engines/engine.h"
#include "base/base.h"
#include "tap.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static double slack;                                 /* of an engine that rounds what it stores, relative; else 0 */

static bool near_all(const float *a, const double *b, int n, double tolerance)
{
  for (int i = 0; i < n; i++)
    if (!(fabs(a[i] - b[i]) <= tolerance + 4 * slack * fabs(b[i]))) return printf("# place %d: %.9g, expected %.9g\n", i, a[i], b[i]), false;
  return true;
}

/* Two scores from two inputs, all weights 1, biases 0, one cell x = (1, 2) of class 0; rate 0.1, momentum 0.9, L2 0.5.
   Step 1: z = (3, 3), f = (1/2, 1/2), loss log 2, dz = (-1/2, 1/2), dW = (-0.5 -1; 0.5 1).
     v = -0.1 (dW + 0.5 W) = (0 0.05; -0.1 -0.15), W = (1 1.05; 0.9 0.85), biases without L2: v = (0.05, -0.05) = b.
   Step 2: z = (1 + 2.1 + 0.05, 0.9 + 1.7 - 0.05) = (3.15, 2.55), f_1 = 1 / (1 + e^0.6) = 0.35434369377, loss log(1 + e^-0.6) = 0.43748795,
     dz = (-0.35434369377, 0.35434369377), dW = (-0.35434369377 -0.70868738755; ...),
     v = 0.9 v - 0.1 (dW + 0.5 W) = (-0.01456563062 0.06336873875; -0.17043436938 -0.24836873875). */
static void update_by_hand(const engine_kind *k)
{
  net *n = net_parse("name t\ninput 1 1 2\nfc out units classes\nsoftmax loss\n", "t", NULL, 2);
  plan *p = plan_make(n, 1);
  engine *e = k->open(p, 1);
  const uint8_t pixels[2] = { 1, 2 };
  const int label = 0, row = 0;
  batch b = { .n = 1, .row = &row };
  sgd s = { .rate = 0.1f, .momentum = 0.9f, .l2 = 0.5f };
  float weights[32] = { 1, 1, 1, 1 }, velocity[32];
  net_state state = { weights, NULL, NULL };
  double loss[2];
  int correct;
  k->write_state(e, &state), k->set_cells(e, pixels, &label, 1, NULL);
  k->train_step(e, &b, &s), k->result(e, 0, &loss[0], &correct);
  state.velocity = velocity, k->read_state(e, &state);
  const size_t bias = n->param[1].offset;
  ok(near_all(weights, (const double[]){ 1, 1.05, 0.9, 0.85 }, 4, 1e-6) && near_all(weights + bias, (const double[]){ 0.05, -0.05 }, 2, 1e-7), "%s: the first update, as by hand", k->name);
  ok(fabs(loss[0] - 0.69314718056) < 1e-6 && correct == 1, "%s: two equal scores lose log 2 and the first counts as the answer", k->name);
  const float before[2] = { weights[0], weights[bias] }, factor[2] = { 0, 1 };
  k->train_step(e, &b, &s), k->result(e, 0, &loss[1], &correct);
  k->read_state(e, &state);
  ok(near_all(velocity, (const double[]){ -0.01456563062, 0.06336873875, -0.17043436938, -0.24836873875 }, 4, 1e-6), "%s: the second step's velocities, with momentum and L2", k->name);
  ok(near_all(weights, (const double[]){ 0.98543436938, 1.11336873875, 0.72956563062, 0.60163126125 }, 4, 1e-6), "%s: the second step's weights", k->name);
  ok(near_all(weights + bias, (const double[]){ 0.13043436938, -0.13043436938 }, 2, 1e-6), "%s: biases have momentum and no L2", k->name);
  ok(fabs(loss[1] - 0.43748795) < 1e-6 + slack, "%s: the second loss", k->name);
  state.velocity = NULL, k->write_state(e, &state);
  s.factor = factor, k->train_step(e, &b, &s);
  float held = weights[0], bias_held = weights[bias];
  k->read_state(e, &state);
  ok(weights[0] == held && weights[bias] != bias_held && before[0] != held, "%s: a tensor whose rate has the factor 0 stays as it is", k->name);
  k->write_state(e, &state), state.velocity = velocity, k->read_state(e, &state);
  ok(near_all(velocity, (const double[]){ 0, 0, 0, 0 }, 4, 0), "%s: a state without velocities starts from zero", k->name);
  k->close(e), plan_free(p), net_free(n);
}

/* Pixels 1 and 3; 5 and 5; then 10 and 0, alone in the last batch: mean 4, squares (9 + 1 + 1 + 1 + 36 + 16) / 6 = 64 / 6.
   Batch 1 has mean 3.5 and variance (6.25 + 0.25 + 2.25 + 2.25) / 4 = 2.75. */
static void statistics_by_hand(const engine_kind *k)
{
  net *n = net_parse("name t\ninput 1 2 1\nbn op\nfc out units classes\nsoftmax loss\n", "t", NULL, 2);
  plan *p = plan_make(n, 2);
  engine *e = k->open(p, 2);
  const uint8_t pixels[6] = { 1, 3, 5, 5, 10, 0 };
  const int label[3] = { 0, 1, 0 }, row[3] = { 0, 1, 2 };
  batch both = { .n = 2, .row = row }, last = { .n = 1, .row = row + 2 };
  float *weights = NEW(float, n->param_floats), stat[2] = { 7, 8 };
  net_state state = { weights, NULL, stat };
  weights[0] = 1;
  k->write_state(e, &state), k->set_cells(e, pixels, label, 3, NULL);
  k->stats_begin(e), k->stats_batch(e, &both), k->stats_batch(e, &last);
  k->read_state(e, &state);
  ok(stat[0] == 7 && stat[1] == 8, "%s: statistics stay as they are while a set is gathered", k->name);
  k->stats_end(e), k->read_state(e, &state);
  ok(near_all(stat, (const double[]){ 4, 64.0 / 6 }, 2, 1e-5), "%s: whole-set mean and variance over batches of 2 and 1 cells", k->name);
  k->stats_begin(e), k->stats_batch(e, &last), k->stats_batch(e, &both), k->stats_end(e), k->read_state(e, &state);
  ok(near_all(stat, (const double[]){ 4, 64.0 / 6 }, 2, 1e-5), "%s: and in the other order, begun afresh", k->name);
  sgd s = {0};
  k->moving(e, 0.75f), k->train_step(e, &both, &s), k->read_state(e, &state);
  ok(near_all(stat, (const double[]){ 0.75 * 4 + 0.25 * 3.5, 0.75 * 64 / 6 + 0.25 * 2.75 }, 2, 1e-5), "%s: a moving average takes a quarter of the batch's", k->name);
  float y[4], before[2] = { stat[0], stat[1] };
  k->moving(e, 0), k->train_step(e, &both, &s), k->read_state(e, &state);
  ok(stat[0] == before[0] && stat[1] == before[1], "%s: and is off with 0", k->name);
  k->infer(e, &both, NULL), k->get(e, 1, y, 2);
  const double rho = 1 / sqrt(stat[1] + 1e-5);
  ok(near_all(y, (const double[]){ (1 - stat[0]) * rho, (3 - stat[0]) * rho, (5 - stat[0]) * rho, (5 - stat[0]) * rho }, 4, 1e-5), "%s: in use, the stored statistics normalise", k->name);
  free(weights), k->close(e), plan_free(p), net_free(n);
}

enum { UNITS = 4099 };
static void mask_of(const engine_kind *k, engine *e, int at, const batch *b, pass pass_kind, float *y)
{
  float *x = NEW(float, 3 * UNITS), *all = NEW(float, 3 * UNITS);
  for (int i = 0; i < 3 * UNITS; i++) x[i] = 1;
  const step *s = &e->plan->step[at];
  k->put(e, s->x, x, b->n), k->forward(e, b, pass_kind, at, at), k->get(e, s->y, all, b->n);
  memcpy(y, all, sizeof *y * UNITS);
  free(x), free(all);
}

static void dropout_masks(const engine_kind *k)
{
  net *n = net_parse("name t\ninput 1 1 4099\nrelu pre\ndropout drop p 0.25\nrelu mid\ndropout drop2 p 0.25\nfc out units classes\nsoftmax loss\n", "t", NULL, 2);
  plan *p = plan_make(n, 3);
  engine *e = k->open(p, 1);
  const int row[3] = { 6, 4, 2 }, other[3] = { 4, 6, 2 };
  batch b = { .n = 3, .row = row, .seed = 11, .epoch = 5 }, c = b;
  static float y[UNITS], z[UNITS], w[3 * UNITS];
  mask_of(k, e, 1, &b, PASS_TRAIN, y);
  int kept = 0, odd = 0, agree = 0;
  for (uint32_t i = 0; i < UNITS; i++) {
    kept += y[i] != 0, odd += y[i] != 0 && fabsf(y[i] * 0.75f - 1) > fmaxf(1e-7f, (float)slack);
    uint32_t word[4];
    rng_block(11, RNG_DROPOUT | 2 << 8, 5, 6, i / 4, word);          /* layer 2, epoch 5, cell 6, as the book says */
    agree += (y[i] != 0) == (word[i % 4] >= 1u << 30);
  }
  ok(abs(kept - (int)(0.75 * UNITS)) < 4 * sqrt(0.75 * 0.25 * UNITS) && !odd, "%s: %d of %d units kept with p = 0.25, each times 4/3", k->name, kept, UNITS);
  ok(agree == UNITS, "%s: the mask is the generator's words, as the book says", k->name);
  c.row = other, c.n = 3, mask_of(k, e, 1, &c, PASS_TRAIN, z);
  const step *s = &p->step[1];
  k->get(e, s->y, w, 3);
  ok(!memcmp(y, w + UNITS, sizeof y) && memcmp(y, z, sizeof y), "%s: a cell has its mask wherever it stands in the batch", k->name);
  c = b, c.epoch = 6, mask_of(k, e, 1, &c, PASS_TRAIN, z);
  bool differ = memcmp(y, z, sizeof y);
  c = b, c.seed = 12, mask_of(k, e, 1, &c, PASS_TRAIN, z), differ &= memcmp(y, z, sizeof y) != 0;
  mask_of(k, e, 3, &b, PASS_TRAIN, z), differ &= memcmp(y, z, sizeof y) != 0;
  ok(differ, "%s: another epoch, seed or layer has another mask", k->name);
  mask_of(k, e, 1, &b, PASS_INFER, z);
  bool same = true;
  for (int i = 0; i < UNITS; i++) same &= z[i] == 1;
  ok(same, "%s: in use nothing is dropped", k->name);
  k->close(e), plan_free(p), net_free(n);
}

/* The eight turns of a 2x2 cell  1 2 / 3 4, and the mean subtracted after the turn. */
static void turns_by_hand(const engine_kind *k)
{
  static const double turned[8][4] = { { 1, 2, 3, 4 }, { 2, 1, 4, 3 }, { 3, 4, 1, 2 }, { 4, 3, 2, 1 }, { 1, 3, 2, 4 }, { 3, 1, 4, 2 }, { 2, 4, 1, 3 }, { 4, 2, 3, 1 } };
  net *n = net_parse("name t\ninput 2 2 1\nfc out units classes\nsoftmax loss\n", "t", NULL, 2);
  plan *p = plan_make(n, 1);
  engine *e = k->open(p, 1);
  const uint8_t pixels[8] = { 9, 9, 9, 9, 1, 2, 3, 4 };
  const float mean[4] = { 0.5f, 0, 0, -1 };
  const int row = 1;
  float *weights = NEW(float, n->param_floats), x[4];
  net_state state = { weights, NULL, NULL };
  bool good = true;
  k->write_state(e, &state), k->set_cells(e, pixels, NULL, 2, mean);
  for (uint8_t t = 0; t < 8; t++) {
    batch b = { .n = 1, .row = &row, .turn = &t };
    double expected[4] = { turned[t][0] - 0.5, turned[t][1], turned[t][2], turned[t][3] + 1 };
    float prob[2];
    k->infer(e, &b, prob), k->get(e, 0, x, 1);
    good &= near_all(x, expected, 4, 0) && prob[0] == 0.5f && prob[1] == 0.5f;
  }
  ok(good, "%s: the eight turns of a cell, less the mean, and even odds from a net of zeros", k->name);
  free(weights), k->close(e), plan_free(p), net_free(n);
}

/* Scores so large that a naive softmax overflows; class weights scale the loss. */
static void loss_by_hand(const engine_kind *k)
{
  net *n = net_parse("name t\ninput 1 1 1\nfc out units classes\nsoftmax loss\n", "t", NULL, 3);
  plan *p = plan_make(n, 2);
  engine *e = k->open(p, 1);
  const int row[2] = { 0, 1 }, label[2] = { 1, 2 };
  const float z[6] = { 1000, 1001, 998, -500, -500, -500 }, weight[3] = { 1, 2, 4 };
  float f[6];
  double loss;
  int correct;
  batch b = { .n = 2, .row = row };
  k->set_cells(e, NULL, label, 2, NULL);
  k->put(e, 1, z, 2), k->forward(e, &b, PASS_TRAIN, 1, 1), k->get(e, 2, f, 2), k->result(e, 0, &loss, &correct);
  /* 1 / (1 + e^-1 + e^-3) = 0.705384513; -log of it 0.349012217 */
  ok(near_all(f, (const double[]){ 0.259496460, 0.705384513, 0.0351190267, 1 / 3.0, 1 / 3.0, 1 / 3.0 }, 6, 1e-6), "%s: softmax of large scores", k->name);
  ok(fabs(loss - (0.349012217 + 1.098612289) / 2) < 1e-6 && correct == 1, "%s: mean cross-entropy, one of two right", k->name);
  const uint8_t pixels[2] = { 0, 0 };
  float *weights = NEW(float, n->param_floats);
  for (int i = 0; i < 3; i++) weights[n->param[1].offset + (size_t)i] = z[i];
  net_state state = { weights, NULL, NULL };
  sgd s = { .rate = 1, .class_weight = weight };
  k->write_state(e, &state), k->set_cells(e, pixels, label, 2, NULL), k->train_step(e, &b, &s), k->result(e, 0, &loss, &correct), k->read_state(e, &state);
  /* both cells have the scores 1000 1001 998; losses 0.349012217 and 3.349012217, weights 2 and 4 */
  ok(fabs(loss - (2 * 0.349012217 + 4 * 3.349012217) / 2) < 1e-5, "%s: class weights multiply the loss", k->name);
  const double g[3] = { (2 + 4) * 0.259496460 / 2, (2 * (0.705384513 - 1) + 4 * 0.705384513) / 2, (2 * 0.0351190267 + 4 * (0.0351190267 - 1)) / 2 };
  ok(near_all(weights + n->param[1].offset, (const double[]){ 1000 - g[0], 1001 - g[1], 998 - g[2] }, 3, 2e-4), "%s: and its gradient", k->name);
  free(weights), k->close(e), plan_free(p), net_free(n);
}

/* What each operator computes, by hand; the finite differences only show that backward fits forward. */
static bool computes(const engine_kind *k, const char *line, const char *input, const float *weights, int count, pass kind, const float *x, const double *y, int outputs)
{
  char *text = join("name t\ninput %s\nrelu pre\n%s\nfc out units classes\nsoftmax loss\n", input, line);
  net *n = net_parse(text, "t", NULL, 2);
  plan *p = plan_make(n, 1);
  engine *e = k->open(p, 1);
  const int row = 0, i = 1;
  const step *s = &p->step[i];
  batch b = { .n = 1, .row = &row };
  net_state state = { NEW(float, n->param_floats), NULL, NEW(float, n->stat_floats) };
  float *got = NEW(float, outputs), *residual = NEW(float, outputs);
  for (int j = 0; j < outputs; j++) residual[j] = 10;
  for (int j = 0; j < n->params && j < 2; j++)
    for (size_t c = 0; c < n->param[j].count && count > 0; c++, count--) state.param[n->param[j].offset + c] = *weights++;
  k->write_state(e, &state), k->put(e, s->x, x, 1);
  if (s->r >= 0 && s->r != s->x) k->put(e, s->r, residual, 1);
  k->forward(e, &b, kind, i, i), k->get(e, s->y, got, 1);
  const bool good = (int)shape_floats(p->tensor[s->y].s) == outputs && near_all(got, y, outputs, 1e-5);
  free(text), free(got), free(residual), free(state.param), free(state.stat), k->close(e), plan_free(p), net_free(n);
  return good;
}

static void operators_by_hand(const engine_kind *k)
{
  static const float nine[9] = { 1, 2, 3, 4, 5, 6, 7, 8, 9 }, below[9] = { -1, -2, -3, -4, -5, -6, -7, -8, -9 };
  /* kernel (1 2; 3 4), bias 0.5, stride 2, padded at bottom and right: 1+4+12+20, 3+18 | 7+16, 9 */
  ok(computes(k, "conv op filters 1 kernel 2 stride 2 pad same", "3 3 1", (const float[]){ 1, 2, 3, 4, 0.5f }, 5, PASS_TRAIN, nine, (const double[]){ 37.5, 21.5, 23.5, 9.5 }, 4),
     "%s: a convolution with its kernel unturned, zeros at bottom and right", k->name);
  ok(computes(k, "conv op filters 1 kernel 3 pad valid\nrelu act", "3 3 1", (const float[]){ 1, 0, 0, 0, 0, 0, 0, 0, -2, 3 }, 10, PASS_TRAIN, nine, (const double[]){ 0 }, 1),
     "%s: 1 - 18 + 3 is stopped by the fused ReLU", k->name);
  /* two channels, two filters: weights (out, kh, kw, in) */
  ok(computes(k, "conv op filters 2 kernel 1", "1 2 2", (const float[]){ 1, 10, 100, 1000, 1, 2 }, 6, PASS_TRAIN, nine, (const double[]){ 22, 2102, 44, 4302 }, 4),
     "%s: weights run over (out, kh, kw, in)", k->name);
  ok(computes(k, "maxpool op size 2 stride 2 pad same", "3 3 1", NULL, 0, PASS_TRAIN, below, (const double[]){ -1, -3, -7, -9 }, 4), "%s: a maximum of negative values; padding is no zero", k->name);
  ok(computes(k, "maxpool op size 2 stride 1", "3 3 1", NULL, 0, PASS_TRAIN, nine, (const double[]){ 5, 6, 8, 9 }, 4), "%s: overlapping windows", k->name);
  /* values 1..9: mean 5, variance 60 / 9; scale 2, offset 1 */
  double normal[9], use[9];
  for (int i = 0; i < 9; i++) normal[i] = 2 * (i - 4) / sqrt(60.0 / 9 + 1e-5) + 1, use[i] = 2 * (i + 1) / sqrt(1e-5) + 1;
  ok(computes(k, "bn op", "3 3 1", (const float[]){ 2, 1 }, 2, PASS_TRAIN, nine, normal, 9), "%s: normalisation by the batch's mean and biased variance", k->name);
  for (int i = 0; i < 9; i++) normal[i] = fmax(0, normal[i] + i + 1);
  ok(computes(k, "bn op\nadd sum with pre\nrelu act", "3 3 1", (const float[]){ 2, 1 }, 2, PASS_TRAIN, nine, normal, 9), "%s: with the residual term and ReLU", k->name);
  for (int i = 0; i < 9; i++) use[i] /= 1000, normal[i] = 0;
  ok(computes(k, "bn op", "3 3 1", (const float[]){ 2e-3f, 1e-3f }, 2, PASS_INFER, nine, use, 9), "%s: normalisation by stored statistics, epsilon 1e-5 under the root", k->name);
  /* two groups: filter 1 sees channel 1 alone, filter 2 channel 2; weights 2 and 3, no bias */
  ok(computes(k, "conv op filters 2 kernel 1 groups 2 bias no", "1 2 2", (const float[]){ 2, 3 }, 2, PASS_TRAIN, nine, (const double[]){ 2, 6, 6, 12 }, 4), "%s: a convolution in two groups", k->name);
  ok(computes(k, "conv op filters 1 kernel 1 stride 2 pad 0 bias no", "3 3 1", (const float[]){ 1 }, 1, PASS_TRAIN, nine, (const double[]){ 1, 3, 7, 9 }, 4), "%s: without bias, with stride 2", k->name);
  /* kernel of ones, stride 2, one zero at every side: 1+2+4+5, 2+3+5+6 | 4+5+7+8, 5+6+8+9 */
  ok(computes(k, "conv op filters 1 kernel 3 stride 2 pad 1 bias no", "3 3 1", (const float[]){ 1, 1, 1, 1, 1, 1, 1, 1, 1 }, 9, PASS_TRAIN, nine, (const double[]){ 12, 16, 24, 28 }, 4),
     "%s: zeros at every side", k->name);
  ok(computes(k, "maxpool op size 3 stride 2 pad 1", "3 3 1", NULL, 0, PASS_TRAIN, below, (const double[]){ -1, -2, -4, -5 }, 4), "%s: a maximum with one place of padding", k->name);
  ok(computes(k, "fc op units 2", "1 1 3", (const float[]){ 1, 2, 3, 0, -1, 0, 10, 20 }, 8, PASS_TRAIN, nine, (const double[]){ 24, 18 }, 2), "%s: a fully connected layer", k->name);
}

static void other_operators_by_hand(const engine_kind *k)
{
  static const float nine[9] = { 1, 2, 3, 4, 5, 6, 7, 8, 9 };
  ok(computes(k, "avgpool op size 2 stride 2 pad same", "3 3 1", NULL, 0, PASS_TRAIN, nine, (const double[]){ 3, 4.5, 7.5, 9 }, 4), "%s: a mean over the places inside the image", k->name);
  ok(computes(k, "avgpool op size global", "3 3 1", NULL, 0, PASS_TRAIN, nine, (const double[]){ 5 }, 1) && computes(k, "avgpool op size global", "1 3 1", NULL, 0, PASS_TRAIN, nine, (const double[]){ 2 }, 1),
     "%s: a global mean", k->name);
  /* squares 1, 4, 9: s = 1 + 0.5 (1+4, 1+4+9, 4+9) = 3.5, 8, 7.5; power 1 */
  if (strncmp(k->name, "cuda", 4))
    ok(computes(k, "groupnorm op groups 1", "1 1 2", (const float[]){ 1, 1, 0, 0 }, 4, PASS_INFER, (const float[]){ 3, 5 }, (const double[]){ -0.999995, 0.999995 }, 2), "%s: group normalisation, (x - 4) / sqrt(1 + 1e-5)", k->name);
  ok(computes(k, "lrn op size 3 alpha 0.5 beta 1 k 1", "1 1 3", NULL, 0, PASS_TRAIN, nine, (const double[]){ 1 / 3.5, 2 / 8.0, 3 / 7.5 }, 3), "%s: response normalisation, alpha times the sum itself", k->name);
  ok(computes(k, "lrn op size 5 alpha 2 beta 0.75 k 3", "1 1 1", NULL, 0, PASS_TRAIN, (const float[]){ 2 }, (const double[]){ 2 / 6.0401054 }, 1), "%s: 11 to the power 3/4 is 6.0401", k->name);
  /* LeCun's constants put +-1 to +-1: 1.7159 tanh(2/3) = 0.99999726 */
  ok(computes(k, "tanh op amplitude 1.7159 slope 0.66666667", "1 1 3", NULL, 0, PASS_TRAIN, (const float[]){ 0, 1, -1 }, (const double[]){ 0, 0.99999726, -0.99999726 }, 3), "%s: LeCun's tanh goes through (1, 1)", k->name);
  ok(computes(k, "scale op by 0.5", "1 1 3", NULL, 0, PASS_TRAIN, nine, (const double[]){ 0.5, 1, 1.5 }, 3), "%s: a scale", k->name);
}

/* Of equal values the first in reading order has the gradient. */
static void ties_by_hand(const engine_kind *k)
{
  net *n = net_parse("name t\ninput 2 2 1\nrelu pre\nmaxpool op size 2 stride 2\nfc out units classes\nsoftmax loss\n", "t", NULL, 2);
  plan *p = plan_make(n, 1);
  engine *e = k->open(p, 1);
  const int row = 0;
  batch b = { .n = 1, .row = &row };
  const float x[4] = { 1, 2, 2, 2 }, dy = 7;
  float dx[4];
  k->put(e, p->step[1].x, x, 1), k->forward(e, &b, PASS_TRAIN, 1, 1);
  k->put_grad(e, p->step[1].y, &dy, 1), k->backward(e, &b, 1, 1), k->get_grad(e, p->step[1].x, dx, 1);
  ok(near_all(dx, (const double[]){ 0, 7, 0, 0 }, 4, 0), "%s: the first of equal maxima has the gradient", k->name);
  k->close(e), plan_free(p), net_free(n);
}

int main(void)
{
  for (int i = 0; engine_kinds[i]; i++) {
    const engine_kind *k = engine_kinds[i];
    if (!engine_wanted(k->name)) continue;
    if (k->why_off()) { engine_off(k->name, say("%s: %s", k->name, k->why_off())); continue; }
    slack = k->tolerance > 1e-4 ? k->tolerance : 0;
    update_by_hand(k), statistics_by_hand(k), dropout_masks(k), turns_by_hand(k), loss_by_hand(k), operators_by_hand(k), ties_by_hand(k);
    other_operators_by_hand(k);
  }
  return done_testing();
}

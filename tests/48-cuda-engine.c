/* What is peculiar to the GPU engine: the list of launches; a training step as one graph with steps tied together gives the gradients of the
   same steps run alone; the ring of results; weights and factors that change; the same bits after going on elsewhere.
   tests/44-cuda.t runs it with the emulated plugin. */
#include "engines/engine.h"
#include "base/base.h"
#include "difference.h"
#include "tap.h"
#include <dlfcn.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BATCH = 5, CELLS = 9, SIZE = 70 };          /* of the largest input */
static const char *const small = "size=12,f1=5,f2=6,f3=7,fc1=9", *const wide = "size=11,f1=8,f2=16,f3=8,fc1=12";
static const char *const nets[] = { "wbcsnet", "wbcsnet2", "wbcsnet2-v2", "wbcsnet2-v3", "wbcsnet2-v4" };
static const struct { const char *name, *set; } others[] = {
  { "lenet5", NULL }, { "alexnet-70", "f1=4,f2=6,f3=8,f4=8,f5=6,fc=10" }, { "resnet18", "size=32,f1=3,f2=4,f3=8,f4=9" }
};
/* What the paper's nets do not join: a convolution alone above a sum, groups without bias, pools that overlap, a norm added to its own input. */
static const char *const joined =
  "name joined\ninput 12 12 3\nconv a filters 4 kernel 3\nbn na\nrelu ra\nconv b filters 4 kernel 3 groups 2 bias no\nbn nb\nadd s with ra\nrelu rs\n"
  "conv c filters 8 kernel 3 stride 2\nbn nc\nrelu rc\nmaxpool p size 3 stride 2 pad same\nfc out units classes\nsoftmax loss\n";
static const char *const own =
  "name own\ninput 12 12 3\nconv a filters 4 kernel 3\nbn na\nadd s with a\nrelu rs\nmaxpool p size 2 stride 2\nconv b filters 3 kernel 3\nrelu rb\n"
  "conv c filters 3 kernel 3\nbn nc\nadd sc with rb\nfc out units classes\nsoftmax loss\n";
static rng dice;
static uint8_t pixels[CELLS * SIZE * SIZE * 3];
static const int label[CELLS] = { 0, 1, 2, 3, 4, 0, 1, 2, 4 };
static float mean[SIZE * SIZE * 3];

/* ---- a net, its plan, an engine with drawn weights ---- */
typedef struct { net *n; plan *p; engine *e; const engine_kind *k; net_state start; size_t count; } bench;

static bench bench_open(const engine_kind *k, const char *name, const char *set, bool fused)
{
  bench b = { .k = k, .n = strchr(name, '\n') ? net_parse(name, "case", set, 5) : net_load(say("experiments/nets/%s.net", name), set, 5) };
  b.p = fused ? plan_make(b.n, BATCH) : plan_make_unfused(b.n, BATCH);
  b.start = (net_state){ NEW(float, b.n->param_floats), NEW(float, b.n->param_floats), NEW(float, b.n->stat_floats + 1) };
  b.count = 2 * b.n->param_floats + b.n->stat_floats;
  dice = rng_open(7, RNG_TEST, 0, 48);
  for (int t = 0; t < b.n->params; t++)
    for (size_t i = 0; i < b.n->param[t].count; i++) {
      const param *q = &b.n->param[t];
      const double x = rng_normal(&dice);
      b.start.param[q->offset + i] = (float)(q->init == INIT_WEIGHT ? x * sqrt(2.0 / q->fan_in) : q->init == INIT_ONE ? 1 + 0.2 * x : 0.2 * x);
    }
  for (size_t i = 0; i < b.n->stat_floats; i++) b.start.stat[i] = 1;
  b.e = k->open(b.p, 1);
  k->write_state(b.e, &b.start), k->set_cells(b.e, pixels, label, CELLS, mean);
  return b;
}

static void bench_close(bench *b)
{
  b->k->close(b->e), plan_free(b->p), net_free(b->n);
  free(b->start.param), free(b->start.velocity), free(b->start.stat);
}

/* Parameters, velocities and statistics end to end. */
static float *state_of(bench *b)
{
  float *all = NEW(float, b->count + 1);
  net_state s = { all, all + b->n->param_floats, all + 2 * b->n->param_floats };
  b->k->read_state(b->e, &s);
  return all;
}

static batch batch_of(int n, int at)
{
  static int row[BATCH];
  static uint8_t turn[BATCH];
  for (int i = 0; i < n; i++) row[i] = (i * 4 + at) % CELLS, turn[i] = (uint8_t)((i + at) % 8);
  return (batch){ .n = n, .row = row, .turn = turn, .seed = 3, .epoch = (uint32_t)at };
}

/* ---- tied steps against the same steps alone: after one step without momentum the velocities are the gradients ---- */
static void tied_step(const engine_kind *k, const char *name, const char *set, int n, bool fused)
{
  bench b = bench_open(k, name, set, fused);
  const batch at = batch_of(n, 2);
  const int last = b.p->steps - 1;
  float *alone = NEW(float, b.n->param_floats);
  k->infer(b.e, &at, NULL);                          /* brings the cells into tensor 0 */
  k->forward(b.e, &at, PASS_TRAIN, 0, last), k->backward(b.e, &at, last, 0), k->get_dparam(b.e, alone);
  double loss[2];
  int correct[2];
  k->result(b.e, 0, &loss[0], &correct[0]);
  const sgd rule = { .rate = 1 };
  k->train_step(b.e, &at, &rule), k->result(b.e, 0, &loss[1], &correct[1]);
  float *all = state_of(&b), *tied = all + b.n->param_floats;
  const bool few = !strcmp(name, "resnet18");        /* its last norms see three values a channel, which makes rounding large */
  const double most = k->tolerance > 1e-4 ? 10 * k->tolerance : few ? 1e-3 : 1e-5;
  double worst = 0, largest = 0;
  const char *where = "";
  for (int t = 0; t < b.n->params; t++) {            /* a bias before a norm has no gradient but rounding: held against the largest */
    const param *q = &b.n->param[t];
    double d = 0, s = 0;
    for (size_t i = 0; i < q->count; i++) {
      const double g = alone[q->offset + i], v = -(double)tied[q->offset + i];
      d += (v - g) * (v - g), s += g * g;
    }
    largest = fmax(largest, sqrt(s));
    const double error = sqrt(d) / fmax(sqrt(s), 0.1 * largest + 1e-6);
    if (!(error <= worst)) worst = error, where = q->name;
  }
  ok(worst < most && fabs(loss[0] - loss[1]) < 1e-6 + most * fabs(loss[0]) && correct[0] == correct[1],
     "%s %s%s, %d of %d images: tied together in a graph as alone, worst difference %.2g (%s)", k->name, b.n->name, fused ? "" : " unfused", n, BATCH, worst, where);
  free(alone), free(all);
  bench_close(&b);
}

/* ---- against ref: a few steps with everything that can change between them ---- */
static const float balanced[5] = { 0.5f, 2, 1, 1, 1.5f };

static sgd rule_of(const net *n, int at, float *factor)
{
  for (int t = 0; t < n->params; t++) factor[t] = at == 2 ? (float)(t % 3) * 0.5f : 1;
  return (sgd){ .rate = at % 2 ? 2e-4f : 1e-3f, .momentum = 0.9f, .l2 = 1e-3f, .class_weight = at == 1 || at == 2 ? balanced : NULL,
                .factor = at >= 2 && at < 4 ? factor : NULL };
}

static void train(bench *b, int from, int to, double *loss)
{
  float *factor = NEW(float, b->n->params);
  for (int i = from; i < to; i++) {
    const batch at = batch_of(i == 1 || i == 4 ? 3 : BATCH, i);
    const sgd s = rule_of(b->n, i, factor);
    b->k->moving(b->e, i == 3 ? 0 : 0.9f);
    b->k->train_step(b->e, &at, &s);
    if (loss) b->k->result(b->e, 0, &loss[i], NULL);
  }
  free(factor);
}

enum { STEPS = 11 };
static void changing_steps(const engine_kind *k, const char *name, double most)
{
  bench mine = bench_open(k, name, small, true), right = bench_open(&engine_ref, name, small, true);
  double a[STEPS], b[STEPS];
  train(&mine, 0, 5, a), train(&right, 0, 5, b);
  float *x = state_of(&mine), *y = state_of(&right);
  const size_t n = mine.n->param_floats;
  const double p = difference(x, y, n), v = difference(x + n, y + n, n), s = difference(x + 2 * n, y + 2 * n, mine.n->stat_floats), l = fabs(a[4] / b[4] - 1);
  ok(p < most && v < 100 * most && s < 10 * most && l < 100 * most,
     "%s %s: five steps, class weights, factors, rates and remainders changing, against ref: parameters %.2g velocities %.2g statistics %.2g loss %.2g", k->name, name, p, v, s, l);
  free(x), free(y), bench_close(&mine), bench_close(&right);
}

/* Results read at once, and seven steps late; the states must not know the difference. Then the same steps, going on in another engine. */
static void ring_and_resume(const engine_kind *k, const char *name)
{
  bench one = bench_open(k, name, small, true), two = bench_open(k, name, small, true), three = bench_open(k, name, small, true);
  double at_once[STEPS], late[STEPS];
  const int lag = RESULTS_KEPT - 1;
  train(&one, 0, STEPS, at_once);
  for (int i = 0; i < STEPS; i++) {
    train(&two, i, i + 1, NULL);
    if (i >= lag) k->result(two.e, lag, &late[i - lag], NULL);
  }
  for (int i = STEPS - lag; i < STEPS; i++) k->result(two.e, STEPS - 1 - i, &late[i], NULL);
  ok(!memcmp(at_once, late, sizeof late), "%s %s: results read %d steps late are those read at once", k->name, name, lag);
  double loss = 7;
  int correct = 7;
  k->result(three.e, 0, &loss, &correct);
  ok(loss == 0 && correct == 0, "%s: before any step the result is nothing", k->name);
  for (int i = 0; i < STEPS; i++) {
    train(&three, i, i + 1, NULL);
    if (i % 3) continue;
    net_state s = three.start;                       /* a kill: everything but the state is lost */
    k->read_state(three.e, &s), k->close(three.e);
    three.e = k->open(three.p, 1);
    k->write_state(three.e, &s), k->set_cells(three.e, pixels, label, CELLS, mean);
  }
  float *a = state_of(&one), *b = state_of(&two), *c = state_of(&three);
  ok(!memcmp(a, b, one.count * sizeof *a), "%s %s: the same bits twice", k->name, name);
  ok(!memcmp(a, c, one.count * sizeof *a), "%s %s: the same bits when every third step goes on in a new engine", k->name, name);
  free(a), free(b), free(c), bench_close(&one), bench_close(&two), bench_close(&three);
}

/* ---- other cells: more of them, without mean, without labels ---- */
static void other_cells(const engine_kind *k)
{
  static uint8_t more[3 * sizeof pixels];
  static int labels[3 * CELLS];
  bench a = bench_open(k, "wbcsnet2", small, true), b = bench_open(k, "wbcsnet2", small, true);
  const batch at = batch_of(BATCH, 1);
  float first[5 * BATCH], then[5 * BATCH], fresh[5 * BATCH];
  for (size_t i = 0; i < sizeof more; i++) more[i] = (uint8_t)(pixels[(i * 7 + 3) % sizeof pixels] ^ 5);
  k->infer(a.e, &at, first);
  k->set_cells(a.e, more, labels, 3 * CELLS, NULL), k->infer(a.e, &at, then);
  k->close(b.e), b.e = k->open(b.p, 1);
  k->write_state(b.e, &b.start), k->set_cells(b.e, more, labels, 3 * CELLS, NULL), k->infer(b.e, &at, fresh);
  ok(!memcmp(then, fresh, sizeof then) && memcmp(first, then, sizeof then), "%s: other cells, more of them and without a mean, are seen", k->name);
  k->set_cells(a.e, pixels, NULL, CELLS, mean), k->infer(a.e, &at, then);
  double loss = 7;
  int correct = 7;
  k->result(a.e, 0, &loss, &correct);
  ok(!memcmp(first, then, sizeof then) && loss == 0 && correct == 0, "%s: the first cells again, without labels: the same answers, no loss", k->name);
  bench_close(&a), bench_close(&b);
}

/* A function of the plugin by its name, or NULL. */
static void *in_plugin(const engine_kind *k, const char *name)
{
  Dl_info where;
  void *plugin = dladdr(*(void *const *)&k->open, &where) ? dlopen(where.dli_fname, RTLD_LAZY | RTLD_NOLOAD) : NULL;
  return plugin ? dlsym(plugin, name) : NULL;
}

/* ---- what an opening asks of the runtime; the emulator counts ---- */
static void opening(const engine_kind *k)
{
  const long *(*count)(void);
  *(void **)&count = in_plugin(k, "emu_calls");
  if (!count) { skip("calls are counted by the emulator alone"); return; }
  const bool apart = gpu_apart();
  bench first = bench_open(k, "wbcsnet2", small, true);
  const long device = count()[0], pinned = count()[1], blas = count()[2];
  engine *e = k->open(first.p, 1);
  const long devices = count()[0] - device;
  ok((apart ? devices > 20 : devices == 1) && count()[1] - pinned == 1 && count()[2] == blas,
     "%s: an engine's opening asks for %s of device memory and one of pinned memory, and for no other cuBLAS", k->name, apart ? "many pieces" : "one piece");
  printf("# %ld pieces of device memory, %ld of pinned memory, cuBLAS opened %ld times\n", devices, count()[1] - pinned, count()[2] - blas);
  k->close(e), bench_close(&first);
}

/* ---- the list ---- */
static void launches(const engine_kind *k)
{
  char *(*list)(const plan *, const char *);
  *(void **)&list = in_plugin(k, "wbcsnet_cuda_launches");
  if (!list) { ok(false, "the plugin tells its launches"); return; }
  net *n = net_load("experiments/nets/wbcsnet2.net", NULL, 5);
  plan *p = plan_make(n, 32);
  char *text = list(p, "cuda"), *expected = file_read("generated/gpu/launches.txt", NULL, NULL);
  ok(!strcmp(text, expected), "the launches of WBCsNet-2's training step are those of the book");
  if (strcmp(text, expected)) printf("# %s", text), puts("");
  free(text), free(expected), plan_free(p), net_free(n);
}

/* ---- a layer of a kind that the engine does not know: told by name as it opens, in a process of its own ---- */
static void unknown_kind(const engine_kind *k)
{
  net *n = net_load("experiments/nets/wbcsnet.net", small, 5);
  plan *p = plan_make(n, 2);
  char said[1000] = "";
  int out[2], status = 0;
  const char *refused = p->step[2].layer->name;
  p->step[2].kind = STEP_KINDS;
  fflush(stdout);
  if (pipe(out)) { ok(false, "a pipe"); return; }
  const pid_t child = fork();
  if (!child) dup2(out[1], 2), k->open(p, 1), _exit(0);
  close(out[1]);
  for (ssize_t got, at = 0; (got = read(out[0], said + at, sizeof said - 1 - (size_t)at)) > 0;) at += got;
  close(out[0]);
  waitpid(child, &status, 0);
  ok(WIFEXITED(status) && WEXITSTATUS(status) == EXIT_FAIL && strstr(said, say("layer %s: found a kind that the GPU engine has no kernels for", refused)),
     "%s: a net with a layer of an unknown kind is refused, by the layer's name", k->name);
  plan_free(p), net_free(n);
}

int main(void)
{
  rng r = rng_open(5, RNG_TEST, 0, 48);
  for (size_t i = 0; i < sizeof pixels; i++) pixels[i] = (uint8_t)(100 + (rng_u32(&r) >> 26));
  for (size_t i = 0; i < sizeof mean / sizeof *mean; i++) mean[i] = 130;
  bool listed = false;
  for (int i = 0; engine_kinds[i]; i++) {
    const engine_kind *k = engine_kinds[i];
    if (strncmp(k->name, "cuda", 4) || !engine_wanted(k->name)) continue;
    if (k->why_off()) { engine_off(k->name, say("%s: %s", k->name, k->why_off())); continue; }
    const bool fp32 = !strcmp(k->name, "cuda");
    if (!listed) unknown_kind(k), launches(k), opening(k), listed = true;
    for (size_t j = 0; j < sizeof nets / sizeof *nets; j++) {
      setenv("EMU_TRUNCATE", j % 2 ? "1" : "0", 1);  /* every second net as tensor cores add */
      tied_step(k, nets[j], small, BATCH, true);
      if (j < 2) tied_step(k, nets[j], wide, 3, true);
      if (fp32 && j != 2 && j != 3) changing_steps(k, nets[j], 1e-5);
    }
    if (fp32) tied_step(k, "wbcsnet2", small, 4, false);
    if (fp32 || !SANITIZED) ring_and_resume(k, "wbcsnet2");
    tied_step(k, joined, NULL, 4, true), tied_step(k, own, NULL, 4, true);
    if (!fp32) continue;
    for (int j = 0; j < 3; j++) tied_step(k, others[j].name, others[j].set, 3, true);
    ring_and_resume(k, "wbcsnet");
    other_cells(k);
  }
  return done_testing();
}

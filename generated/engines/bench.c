/* bench.c: wbcsnet bench. Timings are reports; nothing depends on them. */
#include "engines/engine.h"
#include "base/base.h"
#include "base/options.h"
#include "base/rng.h"
#include <math.h>
#include <omp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#if HAVE_DNNL
#include <dnnl.h>
#endif
#if HAVE_OPENBLAS
void openblas_set_num_threads(int);
void sgemm_(const char *, const char *, const int *, const int *, const int *, const float *,
            const float *, const int *, const float *,
            const int *, const float *, float *, const int *);
#endif

/* time a library's matrix product */
typedef struct { double flop, memory; const char *library; } limits;    /* FLOP/s, bytes/s */

enum { GEMM = 2048 };

static double gemm_seconds(int library, int threads, const float *a, const float *b, float *c)
{
  const double start = seconds();
  (void)library, (void)threads, (void)a, (void)b, (void)c;
#if HAVE_DNNL
  if (library == 0) dnnl_sgemm('N', 'N', GEMM, GEMM, GEMM, 1, a, GEMM, b, GEMM, 0, c, GEMM);
#endif
#if HAVE_OPENBLAS
  const int n = GEMM;
  const float one = 1, zero = 0;
  openblas_set_num_threads(threads);
  if (library == 1) sgemm_("N", "N", &n, &n, &n, &one, a, &n, b, &n, &zero, c, &n);
#endif
  return seconds() - start;
}

/* measure the processor */
/* The fastest of `tries` of each, and of what *m knows. */
static void measure_processor(int threads, int tries, limits *m)
{
  static const char *const name[] = { HAVE_DNNL ? "oneDNN" : NULL,
                                      HAVE_OPENBLAS ? "OpenBLAS" : NULL };
  const size_t n = (size_t)GEMM * GEMM, many = (size_t)1 << 26;
  float *x = new_floats(many), *a = x, *b = x + n, *c = x + 2 * n;
  for (size_t i = 0; i < many; i++) x[i] = 1;
  omp_set_num_threads(threads);
  for (int i = 0; i < 2 * tries; i++) {
    if (!name[i % 2]) continue;
    const double rate = 2.0 * GEMM * GEMM * GEMM / gemm_seconds(i % 2, threads, a, b, c);
    if (rate > m->flop) m->flop = rate, m->library = name[i % 2];
  }
  for (int i = 0; i < tries; i++) {
    const double start = seconds();
#pragma omp parallel for simd num_threads(threads)
    for (size_t j = 0; j < many; j++) x[j] = x[j] * 0.5f + 1;
    const double rate = 2 * 4.0 * (double)many / (seconds() - start);
    if (rate > m->memory) m->memory = rate;
  }
  free_floats(x, many);
}

/* measure any machine */
static void measure_machine(engine *e, int threads, int repeat, limits *m)
{
  double flop, memory;
  if (!e->kind->ceilings) { measure_processor(threads, repeat < 4 ? repeat : 4, m); return; }
  e->kind->ceilings(e, &flop, &memory);
  m->flop = fmax(m->flop, flop), m->memory = fmax(m->memory, memory), m->library = "cuBLAS";
}

/* set up a net to be timed */
typedef struct {
  net *net;
  plan *plan;
  engine *e;
  uint8_t *pixels;
  int *label, *row;
  float *mean;
  batch at;
  sgd rule;
} bench;

static bench bench_open(const char *device, const char *path, const char *set, int images, int threads)
{
  const engine_kind *kind = engine_find(device);
  if (kind->ceilings && gpu_waits())
    die(EXIT_USAGE, "WBCSNET_GPU_SYNC", "1", "the variable unset", "waiting after each launch is for faults: such times say nothing");
  if (!strncmp(path, "experiments/", 12) && access(path, R_OK))
    die(EXIT_DATA, path, "no such file", "a net file", "run in the repository's root, or give --net");
  bench b = { .net = net_load(path, set, 5), .rule = { .rate = 0.001f, .momentum = 0.9f,
                                                       .l2 = 1e-4f } };
  b.plan = plan_make(b.net, images);
  b.e = kind->open(b.plan, threads);
  const size_t pixels = shape_floats(b.plan->tensor[0].s);
  b.pixels = NEW(uint8_t, pixels * (size_t)images), b.mean = NEW(float, pixels);
  b.label = NEW(int, images), b.row = NEW(int, images);
  rng r = rng_open(1, RNG_TEST, 0, 0);
  for (size_t i = 0; i < pixels * (size_t)images; i++) b.pixels[i] = (uint8_t)rng_u32(&r);
  for (size_t i = 0; i < pixels; i++) b.mean[i] = 128;
  for (int i = 0; i < images; i++) b.label[i] = i % b.net->classes, b.row[i] = i;
  b.at = (batch){ images, b.row, NULL, 1, 0 };
  b.e->kind->set_cells(b.e, b.pixels, b.label, images, b.mean);
  /* draw weights to be timed */
  net_state s = { NEW(float, b.net->param_floats), NULL, NEW(float, b.net->stat_floats + 1) };
  for (int k = 0; k < b.net->params; k++)
    for (size_t i = 0; i < b.net->param[k].count; i++)
      s.param[b.net->param[k].offset + i] = b.net->param[k].init == INIT_ONE ? 1
        : b.net->param[k].init == INIT_ZERO ? 0 : (float)(rng_uniform(&r) - 0.5) * 0.03f;
  for (size_t i = 0; i < b.net->stat_floats; i++) s.stat[i] = 1;
  b.e->kind->write_state(b.e, &s);
  free(s.param), free(s.stat);
  return b;
}

static void bench_close(bench *b)
{
  b->e->kind->close(b->e);
  plan_free(b->plan), net_free(b->net);
  free(b->pixels), free(b->label), free(b->row), free(b->mean);
}

/* time steps, many at once */
/* Seconds of a step, of n that were not waited for one by one. */
static double run_steps(bench *b, bool train, int n)
{
  double loss;
  int correct;
  const double start = seconds();
  for (int i = 0; i < n; i++)
    if (train) b->e->kind->train_step(b->e, &b->at, &b->rule);
    else b->e->kind->infer(b->e, &b->at, NULL);
  b->e->kind->result(b->e, 0, &loss, &correct);
  return (seconds() - start) / n;
}

/* Median seconds of a step, over n samples after two warming steps (a graph is captured in the first). */
static double step_seconds(bench *b, bool train, int n)
{
  double *t = NEW(double, n);
  run_steps(b, train, 1);
  const double once = run_steps(b, train, 1);
  const int together = once > 0.02 ? 1 : once > 0.02 / 64 ? (int)ceil(0.02 / once) : 64;
  for (int i = 0; i < n; i++) t[i] = run_steps(b, train, together);
  const double s = median(t, n);
  free(t);
  return s;
}

/* count bytes and operations of a step */
/* word: bytes of a number in a tensor */
static double step_bytes(const plan *p, int i, bool backward, int word)
{
  const step *s = &p->step[i];
  const layer *l = s->layer;
  double act = (double)p->tensor[s->x].floats + (double)p->tensor[s->y].floats
      + (s->r >= 0 ? (double)p->tensor[s->r].floats : 0);
  double weights = l->weight < 0 ? 0 : (double)p->net->param[l->weight].count;
  if (backward) {
    act = (s->kind == STEP_POOL ? 0 : (double)p->tensor[s->x].floats)
        + (double)p->tensor[s->y].floats;
    if (s->need_dx) act += (double)p->tensor[s->x].floats;
    if (s->need_dr) act += (double)p->tensor[s->r].floats;
    weights *= s->kind == STEP_FC ? 4 : 2;
  }
  return word * act + 4 * weights;
}

static double step_flop(const plan *p, int i, bool backward)
{
  const step *s = &p->step[i];
  const double flop = s->layer->flop * p->batch;
  const bool product = s->kind == STEP_CONV || s->kind == STEP_FC;
  return !backward ? flop : !product ? 0 : s->need_dx ? 2 * flop : flop;
}

/* count bytes outside of the steps */
/* A byte a pixel is read, a number written. */
static double gather_bytes(const plan *p, int word) { return (1.0 + word) * (double)p->tensor[0].floats; }

/* Weight, velocity and gradient are read; weight and velocity written. */
static double update_bytes(const plan *p)
{
  double n = (double)p->net->learnables;
  for (int i = 0; i < p->steps; i++)
    if (p->step[i].kind == STEP_FC) n -= (double)p->net->param[p->step[i].layer->weight].count;
  return 5 * 4 * n;
}

/* find the floor of a step */
enum { UNITS = 3 };
static const char *const unit_name[UNITS] = { "fp32", "tf32", "bf16" };

/* "cuda-tf32" computes in tf32; an engine without a suffix in fp32. */
static const char *unit_of(const engine_kind *kind)
{
  for (int u = 1; u < UNITS; u++) if (strstr(kind->name, unit_name[u])) return unit_name[u];
  return unit_name[0];
}

/* Bytes of a number in a tensor */
static int word_of(const char *unit) { return strcmp(unit, "bf16") ? 4 : 2; }

/* What an engine's own way leaves of that, where it takes a shorter one. */
static double left_flop(const engine *e, int i, bool backward)
{
  const step_kind kind = e->plan->step[i].kind;
  return e->kind->work_of && (kind == STEP_CONV || kind == STEP_FC) ? e->kind->work_of(e, i, backward) : step_flop(e->plan, i, backward);
}

static double floor_seconds(double flop, double bytes, const limits *m)
{
  return fmax(m->flop > 0 ? flop / m->flop : 0, m->memory > 0 ? bytes / m->memory : 0);
}

/* read the ceilings */
/* Units that are not named keep a rate of 0 and get no column. */
static void read_ceilings(const char *text, double flop[UNITS], double *memory)
{
  const char *s = text;
  while (*s) {
    const size_t n = strcspn(s, "=");
    char *end = NULL;
    const double v = s[n] ? strtod(s + n + 1, &end) : 0;
    double *to = n == 6 && !strncmp(s, "memory", 6) ? memory : NULL;
    for (int u = 0; u < UNITS; u++) if (n == 4 && !strncmp(s, unit_name[u], 4)) to = &flop[u];
    if (!to || !end || !(v > 0 && v < 1e6) || (*end && *end != ','))
      die(EXIT_USAGE, "--ceilings", say("'%s'", s), "fp32, tf32, bf16 or memory, =, and a rate",
          "--ceilings fp32=67,memory=3.35, in TFLOP/s and TB/s");
    *to = v * 1e12, s = *end ? end + 1 : end;
  }
  if (*memory <= 0 || flop[0] + flop[1] + flop[2] <= 0)
    die(EXIT_USAGE, "--ceilings", say("'%s'", text), "memory and at least one of fp32, tf32, bf16", NULL);
}

/* print the floors */
typedef struct { double flop[UNITS], memory, sum[2][UNITS]; } floors;

/* bytes4, bytes2: with 4 and 2 bytes a number; half: 0 forward, 1 backward */
static void floor_cells(floors *f, int half, double flop, double bytes4, double bytes2)
{
  printf(" %8.2f %7.1f", flop * 1e-9, bytes4 * 1e-6);
  for (int u = 0; u < UNITS; u++) {
    if (!(f->flop[u] > 0)) continue;
    const limits m = { f->flop[u], f->memory, NULL };
    const double s = floor_seconds(flop, u == 2 ? bytes2 : bytes4, &m);
    printf(" %7.1f", s * 1e6), f->sum[half][u] += s;
  }
  if (!half) printf(" |");
}

static void print_floors(const plan *p, floors *f)
{
  printf("\n%s, %dx%dx%d, batches of %d; floors in microseconds\n\n  %-24s|", p->net->title, p->tensor[0].s.h,
         p->tensor[0].s.w, p->tensor[0].s.c, p->batch, "step           output");
  for (int half = 0; half < 2; half++) {
    printf(" %8s %7s", "GFLOP", "MB");
    for (int u = 0; u < UNITS; u++) if (f->flop[u] > 0) printf(" %7s", unit_name[u]);
    if (!half) printf(" |");
  }
  printf("\n");
  /* print the rows of floors */
  for (int i = 0; i < p->steps; i++) {
    printf("  %-14s %-9s|", step_word(&p->step[i]), p->tensor[p->step[i].y].name);
    for (int half = 0; half < 2; half++)
      floor_cells(f, half, step_flop(p, i, half), step_bytes(p, i, half, 4), step_bytes(p, i, half, 2));
    printf("\n");
  }
  printf("  %-14s %-9s|", "gather", "input");
  printf("%*s |", 17 + 8 * ((f->flop[0] > 0) + (f->flop[1] > 0) + (f->flop[2] > 0)), "");
  floor_cells(f, 1, 0, gather_bytes(p, 4), gather_bytes(p, 2)), printf("\n");
  printf("  %-14s %-9s|", "update", "weights");
  printf("%*s |", 17 + 8 * ((f->flop[0] > 0) + (f->flop[1] > 0) + (f->flop[2] > 0)), "");
  floor_cells(f, 1, 0, update_bytes(p), update_bytes(p)), printf("\n");
  printf("  %-24s|", "together");
  for (int half = 0; half < 2; half++) {
    printf(" %16s", "");
    for (int u = 0; u < UNITS; u++) if (f->flop[u] > 0) printf(" %7.1f", f->sum[half][u] * 1e6);
    if (!half) printf(" |");
  }
  for (int u = 0; u < UNITS; u++)
    if (f->flop[u] > 0)
      printf("\n  at the floor, %s: training %.0f images/s, inference %.0f images/s", unit_name[u],
             p->batch / (f->sum[0][u] + f->sum[1][u]), p->batch / f->sum[0][u]);
  printf("\n");
}

/* take turns with another program */
/* start another program beside */
typedef struct {
  const char *program, *word[3];
  pid_t pid;
  FILE *to, *from;
  double train, infer;
  char version[32];                /* " 2.15.0": as it says it when it is ready, with a blank before, or empty */
} peer;

/* PROGRAM WORD... BATCH THREADS, in tools/peer */
static void peer_exec(const peer *q, int images, int threads)
{
  const char *const path = say("tools/peer/%s", q->program), *argv[8] = { q->program };
  int n = 1;
  unsetenv("OPENBLAS_NUM_THREADS");                  /* ours is one; a peer may use all that it is given */
  for (int i = 0; i < 3; i++) if (q->word[i]) argv[n++] = q->word[i];
  argv[n++] = say("%d", images), argv[n++] = say("%d", threads);
  execv(path, (char **)(uintptr_t)argv);
  _exit(127);
}

static bool peer_open(peer *q, const bench *b, int threads)
{
  int in[2], out[2];
  if (pipe(in) || pipe(out)) return false;
  q->pid = fork();
  if (q->pid < 0) return false;
  if (!q->pid) {
    dup2(in[0], 0), dup2(out[1], 1);
    for (int i = 3; i < 256; i++) close(i);
    peer_exec(q, b->plan->batch, threads);
  }
  close(in[0]), close(out[1]);
  q->to = fdopen(in[1], "w"), q->from = fdopen(out[0], "r");
  if (!q->to || !q->from) return false;
  fprintf(q->to, "%s\nend\n", b->net->text), fflush(q->to);
  char line[256] = "";
  if (!fgets(line, sizeof line, q->from) || strncmp(line, "ready", 5)) return false;
  if (sscanf(line + 5, "%30s", q->version + 1) == 1) q->version[0] = ' ';
  return true;
}

/* ask it for a step's time */
static void peer_close(peer *q)
{
  if (q->to) fclose(q->to);
  if (q->from) fclose(q->from);
  if (q->pid > 0) waitpid(q->pid, NULL, 0);
}

/* Seconds of one step, or NAN. */
static double peer_step(peer *q, bool train, int n)
{
  char line[256] = "";
  fprintf(q->to, "%s %d\n", train ? "train" : "infer", n), fflush(q->to);
  return fgets(line, sizeof line, q->from) && atof(line) > 0 ? atof(line) / n : NAN;
}

/* find its best settings */
/* images/s; ours / theirs */
typedef struct {
  double ours[2], theirs[2], ratio[2];               /* training, inference: images/s, and ours / theirs */
  char settings[64], version[32];                    /* version: as in peer */
} rivalry;

/* Setting i of a peer for this engine; false behind the last. */
static bool peer_setting(const engine_kind *kind, int i, peer *q)
{
  static const char *const layout[] = { "nchw", "nhwc" }, *const allocator[] = { "tuned", "jemalloc" },
    *const launch[] = { "eager", "graph", "compile", "compile+graph" };
  const bool beside = kind->ceilings;
  *q = (peer){ .program = beside ? "torch-gpu-peer" : "torch-peer", .word = { layout[i % 2], NULL } };
  if (i >= (beside ? 8 : 4)) return false;
  q->word[1] = beside ? launch[i / 2] : allocator[i / 2], q->word[2] = beside ? unit_of(kind) : NULL;
  return true;
}

static bool best_peer(peer *best, const bench *b, int threads)
{
  peer q;
  best->train = INFINITY;
  for (int i = 0; peer_setting(b->e->kind, i, &q); i++) {
    if (peer_open(&q, b, threads)) {
      peer_step(&q, true, 2);
      q.train = peer_step(&q, true, b->e->kind->ceilings ? 30 : 3);
      if (q.train < best->train) { peer_close(best), *best = q; continue; }
    }
    peer_close(&q);
  }
  return isfinite(best->train);
}

/* take turns with it */
static bool run_peer(bench *b, int threads, int repeat, rivalry *r)
{
  peer q = {0};
  double *ours = NEW(double, repeat), *theirs = NEW(double, repeat), *ratio = NEW(double, repeat);
  signal(SIGPIPE, SIG_IGN);
  const bool found = best_peer(&q, b, threads);
  bool answered = found;
  for (int k = 0; found && k < 2; k++) {
    const int n = 2 + (int)(0.4 / step_seconds(b, !k, 1));
    for (int i = 0; i < repeat; i++) {
      run_steps(b, !k, 1), ours[i] = run_steps(b, !k, n);
      peer_step(&q, !k, 1), theirs[i] = peer_step(&q, !k, n);
      answered &= isfinite(theirs[i]);
      ratio[i] = theirs[i] / ours[i];
    }
    r->ours[k] = b->plan->batch / median(ours, repeat), r->theirs[k] = b->plan->batch / median(theirs, repeat);
    r->ratio[k] = median(ratio, repeat);
  }
  if (found) snprintf(r->settings, sizeof r->settings, "%s, %s%s%s", q.word[0], q.word[1], q.word[2] ? ", " : "",
                      q.word[2] ? q.word[2] : "");
  memcpy(r->version, q.version, sizeof r->version);
  if (found) peer_close(&q);
  free(ours), free(theirs), free(ratio);
  return answered;
}

/* say which step swallowed which */
/* seconds of a step */
typedef struct { double train, infer, *forward, *backward; bool rival; rivalry peer; } figures;

/* The step that makes what step i reads, or -1. */
static int step_before(const plan *p, int i)
{
  for (int j = 0; j < i; j++) if (p->step[j].y == p->step[i].x) return j;
  return -1;
}

/* The step without a time of its own that step i computes too, or -1. */
static int swallowed_by(const plan *p, int i, const double *time)
{
  for (int j = i + 1; j < p->steps; j++) if (time[j] <= 0 && step_before(p, j) == i) return j;
  return -1;
}

/* What step i adds to the bytes of the step that computes it too */
static double swallowed_bytes(const plan *p, int i, bool backward, int word)
{
  return step_bytes(p, i, backward, word) - 2.0 * word * (double)p->tensor[p->step[i].x].floats;
}

static void print_swallowed(const plan *p, int i)
{
  const int j = step_before(p, i);
  printf(" %8s %-22s |", "-", j < 0 ? "" : say("with %s", p->tensor[p->step[j].y].name));
}

/* count what a step needs at the least */

/* What step i does at the least: operations by the equation and as the engine is left with them, bytes; with the step that it computes too.
   seconds: its floor. */
typedef struct { double flop, left, bytes, seconds; } need;

static need need_of(const engine *e, int i, bool backward, const double *time, const limits *m)
{
  const plan *p = e->plan;
  const int with = swallowed_by(p, i, time), word = word_of(unit_of(e->kind));
  need n = { step_flop(p, i, backward), left_flop(e, i, backward), step_bytes(p, i, backward, word), 0 };
  if (time[i] <= 0) return (need){0};
  if (with >= 0) n.flop += step_flop(p, with, backward), n.left += left_flop(e, with, backward), n.bytes += swallowed_bytes(p, with, backward, word);
  n.seconds = floor_seconds(n.left, n.bytes, m);
  return n;
}

/* print half of a step's row */
/* Milliseconds, GFLOP/s (on a device TFLOP/s), the floor's share of the time and which bound it is, GB/s. time: of all steps. */
static void print_half(const engine *e, int i, bool backward, const double *time, const limits *m)
{
  const bool beside = e->kind->ceilings;
  const double s = time[i];
  if (s <= 0) { print_swallowed(e->plan, i); return; }
  const need n = need_of(e, i, backward, time, m);
  const step_kind kind = e->plan->step[i].kind;
  printf(beside ? " %8.3f" : " %8.2f", s * 1e3);
  if (n.flop > 0 && (kind == STEP_CONV || kind == STEP_FC)) printf(beside ? " %8.2f" : " %8.1f", n.flop / s * (beside ? 1e-12 : 1e-9));
  else printf(" %8s", "");
  printf(" %4.0f%%%c", 100 * n.seconds / s, n.left > 0 && n.left / m->flop >= n.seconds ? 'f' : 'b');
  printf(" %6.*f |", beside ? 0 : 1, n.bytes / s * 1e-9);
}

static void print_totals(const bench *b, const figures *f)
{
  const plan *p = b->plan;
  const bool beside = b->e->kind->ceilings;
  const double unit = beside ? 1e-12 : 1e-9;
  const char *const name = beside ? "TFLOP/s" : "GFLOP/s";
  printf("\n%s, %dx%dx%d, batches of %d\n", b->net->title, p->tensor[0].s.h, p->tensor[0].s.w,
         p->tensor[0].s.c, p->batch);
  printf("  training  %8.1f images/s  %7.1f %s\n", p->batch / f->train,
         b->net->train_flop * p->batch / f->train * unit, name);
  printf("  inference %8.1f images/s  %7.1f %s\n", p->batch / f->infer,
         b->net->flop * p->batch / f->infer * unit, name);
  if (f->rival)
    for (int k = 0; k < 2; k++)
      printf("  in turns with PyTorch%s (%s), %s: ours %.1f, PyTorch %.1f images/s, median ratio %.2f\n",
             f->peer.version, f->peer.settings, k ? "inference" : "training", f->peer.ours[k], f->peer.theirs[k], f->peer.ratio[k]);
}

/* print a net's table */
static void print_net(const bench *b, const figures *f, const limits *m)
{
  const plan *p = b->plan;
  const bool beside = b->e->kind->ceilings;
  const char *const rate = beside ? "TFLOP/s" : "GFLOP/s", *const share = "floor";
  print_totals(b, f);
  printf("\n  %-14s %-10s|%9s %8s %6s %6s |%9s %8s %6s %6s |\n", "step", "output", "forward", rate, share, "GB/s",
         "backward", rate, share, "GB/s");
  double all[2] = { 0, 0 }, least[3] = { 0 };
  least[2] = (update_bytes(p) + gather_bytes(p, word_of(unit_of(b->e->kind)))) / m->memory;
  for (int i = 0; i < p->steps; i++) {
    printf("  %-14s %-10s|", step_word(&p->step[i]), p->tensor[p->step[i].y].name);
    print_half(b->e, i, false, f->forward, m), print_half(b->e, i, true, f->backward, m);
    printf("\n");
    all[0] += f->forward[i], all[1] += f->backward[i];
    least[0] += need_of(b->e, i, false, f->forward, m).seconds, least[1] += need_of(b->e, i, true, f->backward, m).seconds;
  }
  const int digits = beside ? 3 : 2;
  printf("  %-25s| %7.*f ms %36.*f ms\n", "together", digits, all[0] * 1e3, digits, all[1] * 1e3);
  printf("  %-25s| %7.*f ms %4.0f%% %30.*f ms %4.0f%%\n", "their floor", digits, least[0] * 1e3, 100 * least[0] / all[0], digits,
         least[1] * 1e3, 100 * least[1] / all[1]);
  const double sum = least[0] + least[1] + least[2], rest = f->train - all[0] - all[1];
  printf("  a training step %.*f ms, "
         "of which outside the operators %.*f (gather and update, floor %.*f); its floor %.*f ms, %.0f %% of it; inference %.0f %%\n",
         digits, f->train * 1e3, digits, rest > 0 ? rest * 1e3 : 0, digits, least[2] * 1e3, digits, sum * 1e3, 100 * sum / f->train,
         100 * least[0] / f->infer);
}

/* print a net as JSON */
static void print_json(const bench *b, const figures *f, const limits *m)
{
  const plan *p = b->plan;
  printf("{\"name\": "), json_put_text(stdout, b->net->name);
  printf(", \"size\": %d, \"train_images_per_second\": %.2f, \"infer_images_per_second\": %.2f, ",
         p->tensor[0].s.h, p->batch / f->train, p->batch / f->infer);
  if (f->rival)
    printf("\"peer\": {\"version\": \"%s\", \"settings\": \"%s\", \"train_ratio\": %.3f, \"infer_ratio\": %.3f, "
           "\"ours\": [%.2f, %.2f], \"theirs\": [%.2f, %.2f]}, ",
           f->peer.version[0] ? f->peer.version + 1 : "", f->peer.settings, f->peer.ratio[0], f->peer.ratio[1],
           f->peer.ours[0], f->peer.ours[1], f->peer.theirs[0], f->peer.theirs[1]);
  printf("\"steps\": [");
  for (int i = 0; i < p->steps; i++) {
    printf("%s{\"step\": \"%s\", \"output\": ", i ? ", " : "", step_word(&p->step[i])),
        json_put_text(stdout, p->tensor[p->step[i].y].name);
    printf(", \"forward_ms\": %.4f, \"backward_ms\": %.4f, \"forward_gflop\": %.9g, \"backward_gflop\": %.9g",
           f->forward[i] * 1e3, f->backward[i] * 1e3,
           step_flop(p, i, false) * 1e-9, step_flop(p, i, true) * 1e-9);
    printf(", \"forward_floor_ms\": %.4f, \"backward_floor_ms\": %.4f}", need_of(b->e, i, false, f->forward, m).seconds * 1e3,
           need_of(b->e, i, true, f->backward, m).seconds * 1e3);
  }
  printf("]}");
}

/* say what bench is asked for */
typedef struct {
  const char *device, *net, *set, *vectors, *ceilings;
  int batch, threads, repeat;
  double estimate;
  bool quick, json, peer, floor, direct, candidates;
} bench_flags;

/* time a step with a candidate */
/* Seconds of a step without and with a candidate; off: why it was not tried. */
typedef struct { bool ran; const char *off; double plain, with; } trial;

/* together: steps that are not waited for one by one, 20 ms or more */
static trial try_candidate(bench *plain, int together, const bench_flags *o, const char *path, candidate c)
{
  trial t = { .off = candidate_off(plain->e->kind, c) };
  if (t.off) return t.off = copy_text(t.off), t;
  double *a = NEW(double, o->repeat), *b = NEW(double, o->repeat);
  candidates_ask(1u << c);
  bench with = bench_open(o->device, path, o->set, o->batch, o->threads);
  candidates_ask(0);
  run_steps(&with, true, 1), run_steps(&with, true, 1);              /* a graph is captured in the first */
  for (int i = 0; i < o->repeat; i++)
    a[i] = run_steps(plain, true, together), b[i] = run_steps(&with, true, together);
  t.plain = median(a, o->repeat), t.with = median(b, o->repeat), t.ran = true;
  free(a), free(b);
  bench_close(&with);
  return t;
}

/* print a candidate's ratio */
static double predicted_ratio(const engine_kind *k, candidate c)
{
  const candidate_row *row = &candidate_table[c];
  for (int u = 0; u < UNITS; u++)
    if (k->candidates_in == 1 << u && row->after[u] > 0) return row->before[u] / row->after[u];
  return NAN;
}

static void print_trial(const engine_kind *k, candidate c, const trial *t, bool as_json, bool first)
{
  const char *name = candidate_table[c].name;
  const double predicted = predicted_ratio(k, c);
  if (as_json && t->ran)
    printf("%s\n  {\"name\": \"%s\", \"predicted_ratio\": %.3f, \"default_ms\": %.6g, \"candidate_ms\": %.6g, \"ratio\": %.4f}", first ? "" : ",",
           name, predicted, t->plain * 1e3, t->with * 1e3, t->plain / t->with);
  else if (as_json) printf("%s\n  {\"name\": \"%s\", \"off\": \"%s\"}", first ? "" : ",", name, t->off);
  else if (t->ran)
    printf("  %-14s %9.2f %11.3f %11.3f %9.2f\n", name, predicted, t->plain * 1e3, t->with * 1e3, t->plain / t->with);
  else printf("  %-14s %s\n", name, t->off);
  fflush(stdout);
}

/* time all candidates */
static int bench_candidates(const bench_flags *o)
{
  const char *path = o->net ? o->net : "experiments/nets/wbcsnet2.net";
  const engine_kind *kind = engine_find(o->device);
  if (!kind->candidates_in) die(EXIT_USAGE, "--candidates", say("--device %s", o->device), "cuda, cuda-tf32 or cuda-bf16", NULL);
  if (candidates_asked())
    die(EXIT_USAGE, "--candidates", say("WBCSNET_CANDIDATES=%s", candidates_of(kind) ? candidates_of(kind) : "..."),
        "the variable unset: each candidate is measured by itself", NULL);
  bench plain = bench_open(o->device, path, o->set, o->batch, o->threads);
  const shape in = plain.plan->tensor[0].s;
  if (o->json) printf("{\"net\": "), json_put_text(stdout, plain.net->name), printf(", \"candidates\": [");
  else
    printf("%s, %s, %dx%dx%d, batches of %d; milliseconds of a training step, in turns; ratio: default by candidate\n"
           "predictions are for WBCsNet-2, 70x70x3, batches of 32, on an H100\n\n  %-14s %9s %11s %11s %9s\n", kind->name,
           plain.net->title, in.h, in.w, in.c, o->batch, "candidate", "predicted", "default", "candidate", "measured");
  run_steps(&plain, true, 1);
  const double once = run_steps(&plain, true, 1);
  const int together = once > 0.02 ? 1 : (int)ceil(fmin(0.02 / once, 64));
  for (int i = 0; i < CANDIDATES; i++) {
    const trial t = try_candidate(&plain, together, o, path, (candidate)i);
    print_trial(kind, (candidate)i, &t, o->json, !i);
  }
  if (o->json) printf("],\n \"version\": \"%s\", \"batch\": %d, \"device\": \"%s\"}\n", wbcsnet_version, o->batch, o->device);
  bench_close(&plain);
  return 0;
}
/* time one net */
/* The machine's limits are measured before and after the net; the better counts. */
static void bench_net(const char *path, const bench_flags *o, limits *m, bool first)
{
  bench b = bench_open(o->device, path, o->set, o->batch, o->threads);
  figures f = { .forward = NEW(double, b.plan->steps), .backward = NEW(double, b.plan->steps) };
  measure_machine(b.e, o->threads, o->repeat, m);
  f.train = step_seconds(&b, true, o->repeat), f.infer = step_seconds(&b, false, o->repeat);
  b.e->kind->seconds_of(b.e, &b.at, &b.rule, o->repeat, f.forward, f.backward);
  measure_machine(b.e, o->threads, o->repeat, m);
  if (o->peer) f.rival = run_peer(&b, o->threads, o->repeat, &f.peer);
  if (o->peer && !f.rival)
    warn(b.e->kind->ceilings ? "tools/peer/torch-gpu-peer" : "tools/peer/torch-peer", "PyTorch did not answer",
         b.e->kind->ceilings ? "PYTHON=... names a python with PyTorch for this GPU; run in the repository's root" :
         "apt-get install --no-install-recommends python3-torch; run in the repository's root");
  if (o->json) printf("%s", first ? "" : ",\n  "), print_json(&b, &f, m);
  else {
    if (b.e->kind->ceilings) printf("%s; matrix product (%s) %.1f TFLOP/s, memory %.0f GB/s\n", b.e->kind->name, m->library,
                                    m->flop * 1e-12, m->memory * 1e-9);
    else printf("%d threads%s%s; sgemm (%s) %.1f GFLOP/s, memory %.1f GB/s\n", o->threads, b.e->kind->vectors ? ", " : "",
                b.e->kind->vectors ? b.e->kind->vectors() : "", m->library, m->flop * 1e-9, m->memory * 1e-9);
    print_net(&b, &f, m);
  }
  fflush(stdout);
  free(f.forward), free(f.backward);
  bench_close(&b);
}

/* estimate a training's time */
/* How long training that many images takes here: two steps after a warming one. */
static int estimate(const bench_flags *o)
{
  bench b = bench_open(o->device, o->net ? o->net : "experiments/nets/wbcsnet2.net", o->set, o->batch,
                       o->threads);
  printf("%.1f\n", step_seconds(&b, true, 2) * o->estimate / o->batch);
  bench_close(&b);
  return 0;
}

/* run the bench subcommand */
int cmd_bench(int argc, char **argv)
{
  static const char *const both[] = { "experiments/nets/wbcsnet2.net", "experiments/nets/wbcsnet.net" };
  bench_flags o = { .device = "cpu", .batch = 32, .repeat = 7 };
  const option table[] = {
    { "device", OPTION_TEXT, &o.device, "NAME", "engine: ref, cpu, cuda, cuda-tf32, cuda-bf16, each with :N for the Nth GPU (cpu)" },
    { "net", OPTION_TEXT, &o.net, "FILE", "the net (default: both nets of the paper)" },
    { "set", OPTION_TEXT, &o.set, "NAME=VALUE,...", "replace the net file's parameters" },
    { "batch", OPTION_INT, &o.batch, "N", "images in a batch (32)" },
    { "threads", OPTION_INT, &o.threads, "N", "threads (all)" },
    { "repeat", OPTION_INT, &o.repeat, "N", "steps of which the median is taken (7)" },
    { "vectors", OPTION_TEXT, &o.vectors, "NAME",
      "AVX-512, AVX2, Neon or '128-bit vectors' (the widest)" },
    { "direct", OPTION_FLAG, &o.direct, NULL,
      "compute every convolution directly, without Winograd's transforms" },
    { "estimate", OPTION_REAL, &o.estimate, "IMAGES",
      "print only the seconds that training so many images would take" },
    { "peer", OPTION_FLAG, &o.peer, NULL, "run PyTorch on the same net in turns (tools/peer)" },
    { "floor", OPTION_FLAG, &o.floor, NULL, "print the least time that each operator can take, and run nothing" },
    { "ceilings", OPTION_TEXT, &o.ceilings, "UNIT=RATE,...",
      "for --floor: fp32, tf32, bf16 in TFLOP/s, memory in TB/s (measured on the device)" },
    { "candidates", OPTION_FLAG, &o.candidates, NULL,
      "train with each candidate of a GPU engine and without it, in turns" },
    { "quick", OPTION_FLAG, &o.quick, NULL, "two steps instead of seven" },
    { "json", OPTION_FLAG, &o.json, NULL, "print JSON" }, {0}
  };
  options_read(argc, argv, table, "bench [--net FILE] [flags]",
               "Time training, inference and every operator, beside this machine's limits.",
               "  wbcsnet bench --peer\n"
               "  wbcsnet bench --device cuda-tf32 --peer\n"
               "  wbcsnet bench --device cuda-tf32 --candidates\n"
               "  wbcsnet bench --floor --ceilings fp32=67,tf32=495,bf16=989,memory=3.35\n"
               "  wbcsnet bench --net experiments/nets/wbcsnet2.net --set size=35,f1=16,f2=64,f3=128,fc1=128\n", NULL, NULL, 0);
  if (o.quick) o.repeat = 2;
  if (o.batch < 1 || o.repeat < 1 || o.threads < 0 || o.estimate < 0) die(EXIT_USAGE, "bench",
        "a count below 1", "positive counts", NULL);
  if (!o.threads) o.threads = omp_get_max_threads();
  engine_tune(engine_find(o.device), o.vectors, o.direct);
  if (o.ceilings && !o.floor) die(EXIT_USAGE, "--ceilings", "no --floor", "both, or neither", NULL);
  if (o.estimate > 0) return estimate(&o);
  if (o.candidates) return bench_candidates(&o);
  /* print floors and be done, when asked for */
  for (int i = 0; o.floor && i < (o.net ? 1 : 2); i++) {
    floors f = {0};
    net *n = net_load(o.net ? o.net : both[i], o.set, 5);
    plan *p = plan_make(n, o.batch);
    if (o.ceilings) read_ceilings(o.ceilings, f.flop, &f.memory);
    else {
      bench b = bench_open(o.device, o.net ? o.net : both[i], o.set, o.batch, o.threads);
      limits m = {0};
      measure_machine(b.e, o.threads, o.repeat, &m);
      for (int u = 0; u < UNITS; u++) if (!strcmp(unit_name[u], unit_of(b.e->kind))) f.flop[u] = m.flop;
      f.memory = m.memory;
      bench_close(&b);
    }
    print_floors(p, &f);
    plan_free(p), net_free(n);
  }
  if (o.floor) return 0;
  /* bench both nets, or the one asked for */
  limits m = { 0, 0, "no library" };
  if (o.json) printf("{\"nets\": [");
  for (int i = 0; i < (o.net ? 1 : 2); i++) bench_net(o.net ? o.net : both[i], &o, &m, i == 0);
  const engine_kind *kind = engine_find(o.device);
  if (o.json)
    printf("],\n \"version\": \"%s\", \"threads\": %d, \"batch\": %d, \"vectors\": %s, "
           "\"device\": \"%s\", \"sgemm_gflops\": %.1f, \"sgemm_library\": \"%s\", \"memory_gbs\": %.1f}\n",
           wbcsnet_version, o.threads, o.batch, kind->vectors ? say("\"%s\"", kind->vectors()) : "null", o.device,
           m.flop * 1e-9, m.library, m.memory * 1e-9);
  else printf("floor: operations (f) at the product's rate or bytes (b) at the memory's, whichever takes longer, as a share of the time%s\n",
              kind->work_of ? ";\nGFLOP/s count a convolution's operations one by one, floors count those that Winograd's transforms leave" : "");
  return 0;
}

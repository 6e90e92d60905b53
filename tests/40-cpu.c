/* The cpu engine: its kernels on every instruction set of this machine, the same bits whatever the threads and the vectors, and no
   allocation while training. That every operator agrees with ref is 31-operators.c's matter. */
#include "base/base.h"
#include "engines/host.h"
#include "base/rng.h"
#include "engines/simd.h"
#include "tap.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static volatile long taken;                          /* the program's own calls that take memory; an OpenMP runtime may take some for itself */

#if defined __GLIBC__ && !defined __SANITIZE_ADDRESS__
#define COUNTED 1
extern const char __executable_start[], etext[];     /* the linker's: where this program's code begins and ends */
static void count(const void *caller)
{
  if ((const char *)caller >= __executable_start && (const char *)caller < etext) __atomic_add_fetch(&taken, 1, __ATOMIC_RELAXED);
}
extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
void *malloc(size_t n) { count(__builtin_return_address(0)); return __libc_malloc(n); }
void *calloc(size_t n, size_t s) { count(__builtin_return_address(0)); return __libc_calloc(n, s); }
void *realloc(void *p, size_t n) { count(__builtin_return_address(0)); return __libc_realloc(p, n); }
void *mmap(void *at, size_t n, int protection, int flags, int fd, off_t offset)
{
  count(__builtin_return_address(0));
  return (void *)syscall(SYS_mmap, at, n, protection, flags, fd, offset);
}
#else
#define COUNTED 0
#endif

static void draw(float *x, size_t n, uint32_t sample)
{
  rng r = rng_open(40, RNG_TEST, 0, sample);
  for (size_t i = 0; i < n; i++) x[i] = (float)rng_normal(&r);
}

static double worst(const float *x, const double *y, size_t n)
{
  double d = 0;
  for (size_t i = 0; i < n; i++) d = fmax(d, fabs(x[i] - y[i]) / (1 + fabs(y[i])));
  return d;
}

/* ---- kernels against plain loops ---- */

static void test_curve(const simd *k)
{
  enum { N = 40013 };
  static float x[N], y[N + 1];
  double bad = 0;
  int odd = 0;
  for (int i = 0; i < N; i++) x[i] = (float)(i - N / 2) * 0.0007f;            /* -14 to 14 */
  y[N] = 7;
  k->curve(y, x, N, 1.7159f, 0.66666667f);
  for (int i = 0; i < N; i++) {
    const double want = 1.7159f * tanh(0.66666667f * (double)x[i]);
    bad = fmax(bad, fabs(y[i] - want) / fmax(fabs(want), 1e-30)), odd += y[i] != -y[N - 1 - i];
  }
  ok(bad < 3e-7 && y[N] == 7, "%s: tanh, relative error %.2g", k->name, bad);
  ok(!odd, "%s: tanh is odd to the bit", k->name);
  const float edge[] = { 0, -0.0f, 1e-40f, 100, -INFINITY, INFINITY, NAN };
  k->curve(y, edge, 7, 1, 1);
  ok(y[0] == 0 && signbit(y[1]) && y[2] == edge[2] && y[3] == 1 && y[4] == -1 && y[5] == 1 && isnan(y[6]), "%s: zeros, tiny, large and not a number", k->name);
}

static void test_tile(const simd *k)
{
  enum { SEGMENTS = 3, STEP = 48 };
  static float a[4096], b[SEGMENTS * LANE * 32], bias[32], c[14 * STEP], before[14 * STEP];
  static double want[14 * STEP];
  const int segment[SEGMENTS] = { 0, 640, 320 };
  double bad = 0;
  draw(a, 4096, 1), draw(b, SEGMENTS * LANE * 32, 2), draw(bias, 32, 3);
  for (int width = LANE; width <= k->panel; width += LANE)
    for (int m = 1; m <= k->rows; m++)
      for (int mode = 0; mode < 4; mode++) {
        draw(c, 14 * STEP, 4), memcpy(before, c, sizeof c);
        for (int i = 0; i < 14 * STEP; i++) want[i] = before[i];
        for (int i = 0; i < m; i++)
          for (int j = 0; j < width; j++) {
            double s = bias[j] + (mode & TILE_ADD ? before[i * STEP + j] : 0);
            for (int t = 0; t < SEGMENTS * LANE; t++) s += (double)a[segment[t / LANE] + i * LANE + t % LANE] * b[t * width + j];
            want[i * STEP + j] = mode & TILE_RELU && s < 0 ? 0 : s;
          }
        k->tile(m, width, a, segment, SEGMENTS, b, bias, c, STEP, mode);
        bad = fmax(bad, worst(c, want, 14 * STEP));
      }
  ok(bad < 1e-5, "%s: tile, every number of rows, panel width and mode: %.2g", k->name, bad);
}

static void test_outer(const simd *k)
{
  static float a[9 * LANE], b[5 * 10 * LANE], c[5 * 300];
  static double want[5 * 300];
  double bad = 0;
  draw(a, 9 * LANE, 1), draw(b, 5 * 10 * LANE, 2);
  for (int blocks = 1; blocks <= 5; blocks++)
    for (int add = 0; add < 2; add++) {
      draw(c, 5 * 300, 3);
      for (int i = 0; i < 5 * 300; i++) want[i] = c[i];
      for (int q = 0; q < blocks; q++)
        for (int i = 0; i < LANE * LANE; i++) {
          double s = add ? c[q * 300 + i] : 0;
          for (int t = 0; t < 9; t++) s += (double)a[t * LANE + i / LANE] * b[q * 10 * LANE + t * LANE + i % LANE];
          want[q * 300 + i] = s;
        }
      k->outer(9, a, b, 10 * LANE, blocks, c, 300, add);
      bad = fmax(bad, worst(c, want, 5 * 300));
    }
  ok(bad < 1e-5, "%s: outer, one to five blocks: %.2g", k->name, bad);
}

/* The transforms have no plain form to compare with but what they are for: a convolution. */
static void test_winograd(const simd *k)
{
  static float x[64 * LANE], g[36 * LANE], u[64 * LANE], v[64 * LANE], y[36 * LANE];
  static double want[36 * LANE];
  double bad = 0;
  for (int r = 3; r <= 6; r++) {
    const int m = 9 - r;
    draw(x, 64 * LANE, 1), draw(g, 36 * LANE, 2), draw(y, 36 * LANE, 3);
    for (int p = 0; p < m * m; p++)
      for (int l = 0; l < LANE; l++) {
        double s = y[p * LANE + l] + (l - 8);
        for (int t = 0; t < r * r; t++) s += (double)x[((p / m + t / r) * 8 + p % m + t % r) * LANE + l] * g[t * LANE + l];
        want[p * LANE + l] = s > 0 ? s : 0;
      }
    float bias[LANE];
    for (int l = 0; l < LANE; l++) bias[l] = (float)(l - 8);
    k->wino_input(x, 8 * LANE, LANE, v, LANE), k->wino_taps(r, g, r * LANE, LANE, u, LANE);
    for (int i = 0; i < 64 * LANE; i++) v[i] *= u[i];
    k->wino_output(m, v, LANE, bias, y, m * LANE, LANE, TILE_ADD | TILE_RELU);
    bad = fmax(bad, worst(y, want, (size_t)(m * m * LANE)));
  }
  ok(bad < 1e-4, "%s: Winograd's transforms make the convolution, 3 to 6 taps: %.2g", k->name, bad);
}

static void test_transpose(const simd *k)
{
  float x[LANE * 20], y[LANE * 24];
  int bad = 0;
  draw(x, LANE * 20, 1);
  k->transpose(x, 20, y, 24);
  for (int i = 0; i < LANE; i++)
    for (int j = 0; j < LANE; j++) bad += y[j * 24 + i] != x[i * 20 + j];
  ok(!bad, "%s: transpose", k->name);
}

/* ---- whole steps ---- */

static const char *const text =
  "name odd\ntitle Odd\ninput 13 11 3\n"
  "conv a filters 17 kernel 5 stride 1 pad same\nbn na\nrelu ra\n"
  "conv b filters 17 kernel 5 stride 1 pad same\nbn nb\nadd s with ra\nrelu rb\nmaxpool p size 2 stride 2\n"
  "conv c filters 35 kernel 3 stride 1 pad same\nrelu rc\nmaxpool q size 3 stride 2\n"
  "fc f units 21\ndropout d p 0.5\nfc g units classes\nsoftmax loss\n";

/* Wide enough, and with few enough channels, that a thread sums the gradient of b alone (the book, "The gradient of the weights");
   with 34 images of `tall` some threads' parts have two images, and each image two blocks of rows. */
static const char *const wide =
  "name wide\ntitle Wide\ninput 33 41 3\n"
  "conv a filters 8 kernel 3 stride 1 pad same\nbn na\nrelu ra\nconv b filters 16 kernel 5 stride 1 pad same\nrelu rb\n"
  "maxpool p size 4 stride 4\nfc g units classes\nsoftmax loss\n";

static const char *const tall =
  "name tall\ntitle Tall\ninput 132 130 3\nconv a filters 16 kernel 3 stride 1 pad same\nrelu ra\n"
  "conv b filters 16 kernel 5 stride 1 pad same\nrelu rb\nmaxpool p size 4 stride 4\nfc g units classes\nsoftmax loss\n";

/* Three steps (sanitized: one) of `images` cells, with the given threads; what they leave in state. */
static void train(const plan *p, int images, int threads, net_state *state, long *calls)
{
  const net *n = p->net;
  engine *e = engine_cpu.open(p, threads);
  const int cells = p->batch;
  const size_t floats = (size_t)cells * shape_floats(p->tensor[0].s);
  uint8_t *pixels = NEW(uint8_t, floats);
  int *label = NEW(int, cells), *row = NEW(int, cells);
  float *w = NEW(float, n->param_floats), *stat = NEW(float, n->stat_floats + 1);
  rng r = rng_open(41, RNG_TEST, 0, 0);
  for (size_t i = 0; i < floats; i++) pixels[i] = (uint8_t)rng_u32(&r);
  for (int i = 0; i < cells; i++) label[i] = i % 5, row[i] = (i * 3) % cells;
  for (size_t i = 0; i < n->param_floats; i++) w[i] = (float)(0.05 * rng_normal(&r));
  net_state start = { w, NULL, stat };
  batch b = { images, row, NULL, 5, 0 };
  sgd rule = { .rate = 0.01f, .momentum = 0.9f, .l2 = 1e-4f };
  e->kind->write_state(e, &start);
  e->kind->set_cells(e, pixels, label, cells, NULL);
  for (int i = 0; i < (SANITIZED ? 0 : 2); i++) e->kind->train_step(e, &b, &rule);
  const long before = taken;
  e->kind->train_step(e, &b, &rule);
  if (calls) *calls = taken - before;
  e->kind->read_state(e, state);
  e->kind->close(e);
  free(w), free(stat), free(pixels), free(label), free(row);
}

static bool same(const net *n, const net_state *a, const net_state *b)
{
  return !memcmp(a->param, b->param, n->param_floats * sizeof(float)) && !memcmp(a->velocity, b->velocity, n->param_floats * sizeof(float));
}

static bool all_finite(const net *n, const net_state *a)
{
  for (size_t i = 0; i < n->param_floats; i++) if (!isfinite(a->param[i])) return false;
  return true;
}

static net_state new_state(const net *n)
{
  return (net_state){ NEW(float, n->param_floats), NEW(float, n->param_floats), NEW(float, n->stat_floats + 1) };
}

static void free_state(net_state *s) { free(s->param), free(s->velocity), free(s->stat); }

/* Every set with a fused multiply-add sums in the same order, so its results are the same on unlike machines: a, of the widest. */
static void test_vectors(const plan *p, int images, int threads, const net_state *a)
{
  net_state b = new_state(p->net);
  for (const simd *const *k = simd_all() + 1; *k; k++) {
    if (!strncmp((*k)->name, "128", 3)) continue;
    simd_forced = *k;
    train(p, images, threads, &b, NULL);
    ok(same(p->net, a, &b), "%s, %d images of %d: the same bits with %s and %s", p->net->title, images, p->batch, simd_all()[0]->name, (*k)->name);
    simd_forced = NULL;
  }
  free_state(&b);
}

static void test_bits(const char *what, int most)
{
  net *n = net_parse(what, "the test's net", NULL, 5);
  plan *p = plan_make(n, most);
  for (int images = most; images > 0; images -= (most + 1) / 2 - 1) {
    net_state a = new_state(n), b = new_state(n);
    train(p, images, 1, &a, NULL);
    ok(all_finite(n, &a), "%s, %d images: finite", n->title, images);
    for (int threads = 2; threads <= 3; threads++) {
      train(p, images, threads, &b, NULL);
      ok(same(n, &a, &b), "%s, %d images of %d: the same bits with 1 and %d threads", n->title, images, most, threads);
    }
    test_vectors(p, images, 2, &a);
    free_state(&a), free_state(&b);
  }
  plan_free(p), net_free(n);
}

/* The paper's own shapes, but for FC1's width: whoever has a fused multiply-add can check a published run to the bit. */
static void test_paper_bits(void)
{
  const int images = SANITIZED ? 4 : 16;
  net *n = net_load("experiments/nets/wbcsnet2.net", "fc1=8", 5);
  plan *p = plan_make(n, images);
  net_state a = new_state(n);
  train(p, images, 2, &a, NULL);
  ok(all_finite(n, &a), "WBCsNet-2 at the paper's size: finite");
  test_vectors(p, images, 1, &a);
  free_state(&a);
  plan_free(p), net_free(n);
}

/* Where fewer threads come than were asked for (here: none beside the first, as parallel regions do not nest), those that come do all. */
static void test_fewer_threads(void)
{
  net *n = net_parse(wide, "the test's net", NULL, 5);
  plan *p = plan_make(n, 20);
  net_state a = new_state(n), b = new_state(n);
  train(p, 20, 1, &a, NULL);
#pragma omp parallel num_threads(2)
#pragma omp single
  train(p, 20, 3, &b, NULL);
  ok(same(n, &a, &b), "one thread where three were asked for: the same bits");
  free_state(&a), free_state(&b);
  plan_free(p), net_free(n);
}

/* The fallback for old machines rounds its products, so it agrees only nearly. */
static void test_fallback(void)
{
  net *n = net_parse(text, "the test's net", NULL, 5);
  plan *p = plan_make(n, 7);
  net_state a = new_state(n), b = new_state(n);
  double d = 0, s = 0;
  train(p, 7, 2, &a, NULL);
  const simd *const *k = simd_all();
  while (k[1]) k++;
  simd_forced = *k;
  train(p, 7, 2, &b, NULL);
  simd_forced = NULL;
  for (size_t i = 0; i < n->param_floats; i++) d += pow(a.velocity[i] - b.velocity[i], 2), s += pow(a.velocity[i], 2);
  ok(sqrt(d / s) < 1e-3, "%s trains as %s does: velocities %.2g", (*k)->name, simd_best()->name, sqrt(d / s));
  free_state(&a), free_state(&b);
  plan_free(p), net_free(n);
}

/* Without Winograd's transforms: the same sums in another order. */
static void test_direct(const char *what, int most)
{
  net *n = net_parse(what, "the test's net", NULL, 5);
  plan *p = plan_make(n, most);
  net_state a = new_state(n), b = new_state(n), c = new_state(n);
  double d = 0, s = 0;
  train(p, most, 2, &a, NULL);
  simd_direct = true;
  train(p, most, 1, &b, NULL), train(p, most, 3, &c, NULL);
  simd_direct = false;
  for (size_t i = 0; i < n->param_floats; i++) d += pow(a.velocity[i] - b.velocity[i], 2), s += pow(a.velocity[i], 2);
  ok(d > 0 && sqrt(d / s) < 1e-3, "%s: convolutions computed directly train as the transformed do: velocities %.2g", n->title, sqrt(d / s));
  ok(same(n, &b, &c), "%s: convolutions computed directly: the same bits with 1 and 3 threads", n->title);
  free_state(&a), free_state(&b), free_state(&c);
  plan_free(p), net_free(n);
}

static void test_room(void)
{
  if (!COUNTED) { skip("allocations are counted with glibc and without the address sanitizer"); return; }
  net *n = net_parse(text, "the test's net", NULL, 5);
  plan *p = plan_make(n, 7);
  net_state a = new_state(n);
  long calls = 0;
  const long before = taken;
  free(NEW(int, 1));
  ok(taken == before + 1, "an allocation is seen");
  train(p, 7, 2, &a, &calls);
  ok(calls == 0, "a training step takes no memory: %ld calls", calls);
  free_state(&a);
  plan_free(p), net_free(n);
}

int main(void)
{
  for (const simd *const *k = simd_all(); *k; k++) test_tile(*k), test_curve(*k), test_outer(*k), test_winograd(*k), test_transpose(*k);
  test_bits(text, 7), test_bits(wide, 20);
  test_paper_bits();
  test_fewer_threads();
  test_fallback();
  test_direct(text, 7), test_direct(wide, 20), test_direct(tall, 34);
  test_room();
  return done_testing();
}

/* faults.cu: small kernels with and without planted faults, for tests/42-emulator.t and tests/42-words.cu.
   faults NAME runs one and says "right" or "wrong: ..." of its result; the emulator may end the program before. Without a name it is
   a TAP test of the faultless ones. Under nvcc it is a program for a GPU, where these must be right too. */
#include "gpu/cuda_device.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <functional>
#include <vector>

static uint32_t random_bits()
{
  static uint64_t state = 42;
  state = state * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(state >> 32);
}
static float random_float() { return (float)(random_bits() >> 8) / (1 << 23) - 1; }

/* ---- device memory that frees itself, and copies of it ---- */
template <class T> struct on_device {
  T *p;
  size_t n;
  explicit on_device(size_t count) : p(nullptr), n(count) { cudaMalloc((void **)&p, n * sizeof(T)); }
  explicit on_device(const std::vector<T> &v) : on_device(v.size()) { cudaMemcpy(p, v.data(), n * sizeof(T), cudaMemcpyHostToDevice); }
  ~on_device() { cudaFree(p); }
  on_device(const on_device &) = delete;
  std::vector<T> back() const
  {
    std::vector<T> v(n);
    cudaMemcpy(v.data(), p, n * sizeof(T), cudaMemcpyDeviceToHost);
    return v;
  }
};

/* ---- reversal through shared memory: barriers and bounds ---- */
enum reverse_fault { NONE, NO_BARRIER, SHARED_BEYOND, SHARED_BEFORE, GLOBAL_BEYOND, GLOBAL_FAR, DIVERGENT, EARLY_EXIT };

template <reverse_fault F> __global__ void reverse(int n, const float *x, float *y)
{
  SHARED_ROOM(room);
  float *s = (float *)room;
  const int i = (int)threadIdx.x;
  if (F == EARLY_EXIT && i >= n) return;
  s[F == SHARED_BEYOND ? i + 1 : F == SHARED_BEFORE ? i - 1 : i] = i < n ? x[i] : 0;
  if (F == DIVERGENT && i < 7) __syncthreads();
  if (F != NO_BARRIER) __syncthreads();
  if (F == GLOBAL_FAR) y[n + 4096] = 1;
  if (i < n || F == GLOBAL_BEYOND) y[i] = s[F == GLOBAL_BEYOND ? i : n - 1 - i];
}

template <reverse_fault F> static const char *try_reverse()
{
  const int n = 101, threads = 128;
  std::vector<float> x((size_t)n);
  for (float &v : x) v = random_float();
  on_device<float> dx(x), dy((size_t)n);
  LAUNCH((reverse<F>), 1, threads, (F == SHARED_BEYOND || F == SHARED_BEFORE ? n + 27 : threads) * sizeof(float), NULL, n, dx.p, dy.p);
  std::vector<float> y = dy.back();
  for (int i = 0; i < n; i++)
    if (y[(size_t)i] != x[(size_t)(n - 1 - i)]) return "an element is not its mirror image";
  return NULL;
}

/* ---- sums by shuffles ---- */
enum shuffle_fault { SUM, WRONG_LANE, OUTSIDE_MASK, NOT_IN_MASK, DIVERGENT_LANES };

template <shuffle_fault F> __global__ void row_sums(const float *x, float *sum)
{
  const int lane = (int)threadIdx.x % 32, row = (int)threadIdx.x / 32;
  float v = x[threadIdx.x];
  if (F == OUTSIDE_MASK && lane < 16) v += __shfl_sync(0xffffu, v, 20);
  if (F == NOT_IN_MASK) v += __shfl_sync(0xffffu, v, 1);
  if (F == DIVERGENT_LANES) {
    if (lane < 16) v += __shfl_xor_sync(0xffffffffu, v, 1);
    else v += __shfl_down_sync(0xffffffffu, v, 1);
  }
  for (int by = 16; by; by /= 2) v += __shfl_down_sync(0xffffffffu, v, (unsigned)(F == WRONG_LANE && by == 2 ? 3 : by));
  if (lane == 0) sum[row] = v;
}

template <shuffle_fault F> static const char *try_sums()
{
  std::vector<float> x(96);
  for (float &v : x) v = (float)(random_bits() % 1000);
  on_device<float> dx(x), dsum(3);
  LAUNCH((row_sums<F>), 1, 96, 0, NULL, dx.p, dsum.p);
  std::vector<float> sum = dsum.back();
  for (size_t r = 0; r < 3; r++) {
    float want = 0;
    for (size_t i = 0; i < 32; i++) want += x[32 * r + i];
    if (sum[r] != want) return "a sum over a warp";
  }
  return NULL;
}

/* ---- copies ahead ---- */
enum copy_fault { AHEAD, NO_WAIT, WAIT_SHORT, COPY_NO_BARRIER, OVERTAKEN, COPY_BEYOND };

/* y = the sum over k of row k of x (rows, 128), two rows in flight; a thread adds what its neighbour copied */
template <copy_fault F> __global__ void add_rows(int rows, const float *x, float *y)
{
  SHARED_ROOM(room);
  float *s = (float *)room;
  const int i = (int)threadIdx.x, next = (i + 37) % 128;
  float sum = 0;
  copy_async4(s + i, x + i, true);
  copy_commit();
  for (int k = 0; k < rows; k++) {
    const int ahead = k + 1;
    if (F != OVERTAKEN) __syncthreads();
    copy_async4(s + ahead % 2 * 128 + i, x + (size_t)ahead * 128 + i, F == COPY_BEYOND || ahead < rows);
    copy_commit();
    if (F == WAIT_SHORT) copy_wait<2>();
    else if (F != NO_WAIT) copy_wait<1>();
    if (F != COPY_NO_BARRIER) __syncthreads();
    sum += s[k % 2 * 128 + next];
  }
  y[next] = sum;
}

template <copy_fault F> static const char *try_copies()
{
  const int rows = 5;
  std::vector<float> x((size_t)rows * 128);
  for (float &v : x) v = (float)(random_bits() % 1000);
  on_device<float> dx(x), dy(128);
  LAUNCH((add_rows<F>), 1, 128, 2 * 128 * sizeof(float), NULL, rows, dx.p, dy.p);
  std::vector<float> y = dy.back();
  for (size_t i = 0; i < 128; i++) {
    float want = 0;
    for (size_t k = 0; k < (size_t)rows; k++) want += x[128 * k + i];
    if (!(y[i] == want)) return "a column's sum";
  }
  return NULL;
}

/* ---- fragments ---- */
enum product_fault { PRODUCT, SWAPPED_A, SWAPPED_B, WRONG_COLUMN, MISALIGNED_ROW, HALF_A_WARP };

/* d (16, 8) = a (16, 8) b (8, 8), both row-major, by fragments as the book's picture has them */
template <product_fault F> __global__ void product_tf32(const float *a, const float *b, float *d)
{
  const int g = (int)threadIdx.x / 4, t = (int)threadIdx.x % 4;
  const uint32_t *ua = (const uint32_t *)a, *ub = (const uint32_t *)b;
  uint32_t fa[4] = { ua[g * 8 + t], ua[(g + 8) * 8 + t], ua[g * 8 + t + 4], ua[(g + 8) * 8 + t + 4] };
  uint32_t fb[2] = { ub[t * 8 + g], ub[(t + 4) * 8 + g] };
  if (F == SWAPPED_A) { uint32_t u = fa[1]; fa[1] = fa[2], fa[2] = u; }
  if (F == SWAPPED_B) { uint32_t u = fb[1]; fb[1] = fb[0], fb[0] = u; }
  float s[4] = { 0, 0, 0, 0 };
  if (F != HALF_A_WARP || g < 4) mma_tf32(s, fa, fb);
  for (int i = 0; i < 4; i++) d[(g + i / 2 * 8) * 8 + (F == WRONG_COLUMN ? t + i % 2 * 4 : 2 * t + i % 2)] = s[i];
}

/* d (16, 8) = a (16, 16) b (16, 8), bfloat16, row-major in shared memory: a by load_matrix_x4, b by its transposed form, which
   brings two columns of 8; the second holds b once more. */
template <product_fault F> __global__ void product_bf16(const bf16 *a, const bf16 *b, float *d)
{
  SHARED_ROOM(room);
  bf16 *sa = (bf16 *)room, *sb = sa + 256;
  const int lane = (int)threadIdx.x, g = lane / 4, t = lane % 4;
  for (int i = lane; i < 256; i += 32) sa[i] = a[i];
  for (int i = lane; i < 128; i += 32) sb[i] = b[i];
  __syncthreads();
  uint32_t fa[4], fb[4];
  load_matrix_x4(fa, sa + (lane % 16) * 16 + lane / 16 * 8 + (F == MISALIGNED_ROW ? 1 : 0));
  load_matrix_x4_trans(fb, sb + lane % 16 * 8);
  float s[4] = { 0, 0, 0, 0 };
  mma_bf16(s, fa, fb);
  for (int i = 0; i < 4; i++) d[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = s[i];
}

static const char *compare_product(int k, const std::vector<float> &a, const std::vector<float> &b, const std::vector<float> &d)
{
  for (int r = 0; r < 16; r++)
    for (int c = 0; c < 8; c++) {
      float want = 0;
      for (int i = 0; i < k; i++) want += a[(size_t)(r * k + i)] * b[(size_t)(i * 8 + c)];
      if (d[(size_t)(r * 8 + c)] != want) return "an element of the product";
    }
  return NULL;
}

template <product_fault F> static const char *try_tf32()
{
  std::vector<float> a(128), b(64);
  for (float &v : a) v = (float)(random_bits() % 1024) + 0.25f;      /* the quarter is below 10 bits for all but the least */
  for (float &v : b) v = (float)(random_bits() % 64);
  on_device<float> da(a), db(b), dd(128);
  LAUNCH((product_tf32<F>), 1, 32, 0, NULL, da.p, db.p, dd.p);
  for (float &v : a) {                                               /* what the tensor core reads */
    uint32_t u;
    memcpy(&u, &v, 4), u &= 0xffffe000, memcpy(&v, &u, 4);
  }
  return compare_product(8, a, b, dd.back());
}

template <product_fault F> static const char *try_bf16()
{
  std::vector<float> a(256), b(128);
  std::vector<bf16> ha(256), hb(128);
  auto fill = [](std::vector<float> &v, std::vector<bf16> &h) {
    for (size_t i = 0; i < v.size(); i++) {
      v[i] = (float)(random_bits() % 256) - 128;
      uint32_t u;
      memcpy(&u, &v[i], 4), h[i].bits = (uint16_t)(u >> 16);
    }
  };
  fill(a, ha), fill(b, hb);
  on_device<bf16> da(ha), db(hb);
  on_device<float> dd(128);
  LAUNCH((product_bf16<F>), 1, 32, 768, NULL, da.p, db.p, dd.p);
  return compare_product(16, a, b, dd.back());
}

/* ---- how an instruction's sum is rounded ---- */
/* d = start + a b by one product of fragments, in the place of lane 0 */
__global__ void one_product(float start, float a, float b, float *d)
{
  float s[4] = { start, start, start, start };
  uint32_t fa[4] = {}, fb[2] = {};
  if (threadIdx.x == 0) fa[0] = __float_as_uint(a), fb[0] = __float_as_uint(b);
  mma_tf32(s, fa, fb);
  if (threadIdx.x == 0) *d = s[0];
}

static float sum_of(float start, float a, float b)
{
  on_device<float> d(1);
  LAUNCH(one_product, 1, 32, 0, NULL, start, a, b, d.p);
  return d.back()[0];
}

/* Three sums tell the rules of emu.h apart; on a device the line says which one its tensor cores follow. */
static const char *try_rounding()
{
  const bool up = sum_of(1, 1.5f, 0x1p-24f) > 1, down = sum_of(1, -0x1p-20f, 0x1p-10f) < 1, even = sum_of(-1, -1.5f, 0x1p-24f) < -1;
  printf("# sums of products are %s\n", up && even && !down ? "rounded to the nearest" : !up && !even && down ? "cut toward zero"
         : !up && !even ? "cut toward zero, addends too" : "rounded in another way");
  return up == even ? NULL : "a sum's sign decides where it is rounded to";
}

/* ---- the host's side ---- */
__global__ void count_up(unsigned *count, int by) { if (threadIdx.x < 5) atomicAdd(count, (unsigned)by); }

static const char *try_atomics()
{
  on_device<unsigned> n(std::vector<unsigned>(1, 0));
  LAUNCH(count_up, dim3(3, 2), 32, 0, NULL, n.p, 2);
  return n.back()[0] == 60 ? NULL : "a count by atomics";
}

/* a graph replays the arguments it was captured with, in order, on memory as it then is */
static const char *try_graph()
{
  on_device<unsigned> n(std::vector<unsigned>(1, 0));
  cudaStream_t s;
  cudaGraph_t g;
  cudaGraphExec_t x;
  unsigned *pinned;
  cudaMallocHost((void **)&pinned, 8);
  cudaStreamCreate(&s);
  if (cudaStreamBeginCapture(s, cudaStreamCaptureModeGlobal)) return "begin a capture";
  for (int by = 1; by <= 3; by++) LAUNCH(count_up, 1, 32, 0, s, n.p, by);
  cudaMemcpyAsync(pinned, n.p, 4, cudaMemcpyDeviceToHost, s);
  if (cudaStreamEndCapture(s, &g) || cudaGraphInstantiate(&x, g, 0)) return "end a capture";
  cudaGraphDestroy(g);
  if (n.back()[0] != 0) return "a capture ran";
  cudaGraphLaunch(x, s), cudaGraphLaunch(x, s);
  cudaStreamSynchronize(s);
  const unsigned twice = *pinned;
  cudaGraphExecDestroy(x), cudaStreamDestroy(s), cudaFreeHost(pinned);
  return twice == 60 ? NULL : "a graph launched twice";
}

static const char *try_not_waited()                  /* the host reads before the stream was waited for */
{
  on_device<unsigned> n(std::vector<unsigned>(1, 0));
  cudaStream_t s;
  unsigned *pinned;
  cudaMallocHost((void **)&pinned, 4);
  cudaStreamCreate(&s);
  LAUNCH(count_up, 1, 32, 0, s, n.p, 1);
  cudaMemcpyAsync(pinned, n.p, 4, cudaMemcpyDeviceToHost, s);
  const unsigned early = *pinned;
  cudaStreamSynchronize(s), cudaStreamDestroy(s), cudaFreeHost(pinned);
  return early == 5 ? NULL : "read before it was there";
}

static const char *try_allocates()                   /* an allocation inside a capture */
{
  cudaStream_t s;
  cudaGraph_t g;
  void *p;
  cudaStreamCreate(&s);
  cudaStreamBeginCapture(s, cudaStreamCaptureModeGlobal);
  cudaMalloc(&p, 4);
  return cudaStreamEndCapture(s, &g) ? "the capture was spoilt" : NULL;
}

static const char *try_host_pointer()
{
  std::vector<unsigned> n(1);
  LAUNCH(count_up, 1, 32, 0, NULL, n.data(), 1);
  cudaDeviceSynchronize();
  return "a kernel took a host's address";
}

static const char *launch_with(unsigned threads, size_t shared)
{
  on_device<unsigned> n(std::vector<unsigned>(1, 0));
  LAUNCH(count_up, 1, threads, shared, NULL, n.p, 1);
  return cudaGetLastError() ? "no such launch" : NULL;
}
static const char *try_large_block() { return launch_with(1056, 0); }
static const char *try_large_shared() { return launch_with(32, 64 << 10); }

static const struct { const char *name; std::function<const char *()> run; } cases[] = {
  { "reverse", try_reverse<NONE> }, { "sums", try_sums<SUM> }, { "copies", try_copies<AHEAD> }, { "tf32", try_tf32<PRODUCT> },
  { "bf16", try_bf16<PRODUCT> }, { "atomics", try_atomics }, { "graph", try_graph }, { "rounding", try_rounding },
  { "no-barrier", try_reverse<NO_BARRIER> }, { "shared-beyond", try_reverse<SHARED_BEYOND> }, { "shared-before", try_reverse<SHARED_BEFORE> },
  { "global-beyond", try_reverse<GLOBAL_BEYOND> }, { "global-far", try_reverse<GLOBAL_FAR> }, { "divergent", try_reverse<DIVERGENT> },
  { "early-exit", try_reverse<EARLY_EXIT> }, { "wrong-lane", try_sums<WRONG_LANE> }, { "outside-mask", try_sums<OUTSIDE_MASK> },
  { "not-in-mask", try_sums<NOT_IN_MASK> }, { "divergent-lanes", try_sums<DIVERGENT_LANES> }, { "no-wait", try_copies<NO_WAIT> },
  { "wait-short", try_copies<WAIT_SHORT> }, { "copy-no-barrier", try_copies<COPY_NO_BARRIER> }, { "overtaken", try_copies<OVERTAKEN> },
  { "copy-beyond", try_copies<COPY_BEYOND> }, { "swapped-a", try_tf32<SWAPPED_A> }, { "swapped-b", try_tf32<SWAPPED_B> },
  { "wrong-column", try_tf32<WRONG_COLUMN> }, { "half-a-warp", try_tf32<HALF_A_WARP> }, { "misaligned-row", try_bf16<MISALIGNED_ROW> },
  { "not-waited", try_not_waited }, { "allocates", try_allocates }, { "host-pointer", try_host_pointer },
  { "large-block", try_large_block }, { "large-shared", try_large_shared },
};

static int test_words()
{
  const int faultless = 8;
  int devices = 0, failed = 0, major = 0;
  if (cudaGetDeviceCount(&devices) || !devices) {
    printf("1..1\nnot ok 1 - a CUDA device\n# found none; these tests run on one, or emulated\n");
    return 1;
  }
  cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0);
  for (int i = 0; i < faultless; i++) {
    if (major < 8 && (!strcmp(cases[i].name, "tf32") || !strcmp(cases[i].name, "bf16") || !strcmp(cases[i].name, "rounding"))) {
      printf("ok %d # SKIP no %s products below compute capability 8.0\n", i + 1, cases[i].name);
      continue;
    }
    const char *wrong = cases[i].run();
    failed += wrong != NULL;
    printf("%sok %d - words of the device: %s\n%s%s%s", wrong ? "not " : "", i + 1, cases[i].name, wrong ? "# " : "", wrong ? wrong : "", wrong ? "\n" : "");
  }
  printf("1..%d\n", faultless);
  return failed > 0;
}

int main(int argc, char **argv)
{
  if (argc == 1) return test_words();
  for (auto &c : cases)
    if (argc == 2 && !strcmp(argv[1], c.name)) {
      const char *wrong = c.run();
      printf(wrong ? "wrong: %s\n" : "right\n", wrong);
      return wrong != NULL;
    }
  fprintf(stderr, "usage: faults NAME\n");
  return 2;
}

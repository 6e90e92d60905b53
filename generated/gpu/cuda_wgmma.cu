/* cuda_wgmma.cu: the product of a convolution by Hopper's warp groups (sm_90a). */
#include "gpu/cuda_device.h"
#include "gpu/cuda_product.h"
#ifdef EMULATED
#include "emu_wgmma.h"
#else
/* order products of a warp group */
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
WORD void group_fence() { asm volatile("wgmma.fence.sync.aligned;\n" ::: "memory"); }
WORD void group_commit() { asm volatile("wgmma.commit_group.sync.aligned;\n" ::: "memory"); }
/* The compiler moves no use of the sums d, (2, COUNT), over this place. */
template <int COUNT> WORD void group_hold(float (*d)[COUNT])
{
#pragma unroll
  for (int i = 0; i < 2 * COUNT; i++) asm volatile("" : "+f"(d[i / COUNT][i % COUNT]) :: "memory");
}
template <int PENDING> WORD void group_wait()
{
  asm volatile("wgmma.wait_group.sync.aligned %0;\n" :: "n"(PENDING) : "memory");
}
template <int PENDING> WORD void copy_wait_for_group()
{
  copy_wait<PENDING>();
  asm volatile("fence.proxy.async.shared::cta;\n" ::: "memory");
}

/* name the registers of the sums */
#define SUMS_8(d, i) \
  "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]), "+f"(d[i + 6]), "+f"(d[i + 7])
#define SUMS_32(d, i) SUMS_8(d, i), SUMS_8(d, i + 8), SUMS_8(d, i + 16), SUMS_8(d, i + 24)
#define NAMES_32 \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
  "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define NAMES_64 NAMES_32 \
  ", %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, " \
  "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define GROUP_MULTIPLY(shape, names, a, b, more) \
  "{ .reg .pred p; setp.eq.u32 p, 0, 0; wgmma.mma_async.sync.aligned." shape " {" names "}, " a ", " b ", p, 1, 1" more "; }\n"
/* multiply as a warp group */
/* d (64, N) += a (64, k) b (N, k)', k 8 (TF32) or 16 (BF16); d: N / 2 sums of each thread */
template <precision P, int N> WORD void group_multiply(float *d, uint64_t a, uint64_t b)
{
  if constexpr (P == TF32 && N == 64)
    asm volatile(GROUP_MULTIPLY("m64n64k8.f32.tf32.tf32", NAMES_32, "%32", "%33", "") : SUMS_32(d, 0) : "l"(a), "l"(b));
  if constexpr (P == BF16 && N == 64)
    asm volatile(GROUP_MULTIPLY("m64n64k16.f32.bf16.bf16", NAMES_32, "%32", "%33", ", 0, 0")
                 : SUMS_32(d, 0) : "l"(a), "l"(b));
  if constexpr (P == TF32 && N == 128)
    asm volatile(GROUP_MULTIPLY("m64n128k8.f32.tf32.tf32", NAMES_64, "%64", "%65", "")
                 : SUMS_32(d, 0), SUMS_32(d, 32) : "l"(a), "l"(b));
  if constexpr (P == BF16 && N == 128)
    asm volatile(GROUP_MULTIPLY("m64n128k16.f32.bf16.bf16", NAMES_64, "%64", "%65", ", 0, 0")
                 : SUMS_32(d, 0), SUMS_32(d, 32) : "l"(a), "l"(b));
}
/* do without where there is none */
#else
WORD void group_fence() { __trap(); }
WORD void group_commit() {}
template <int COUNT> WORD void group_hold(float (*)[COUNT]) {}
template <int PENDING> WORD void group_wait() {}
template <int PENDING> WORD void copy_wait_for_group() {}
template <precision P, int N> WORD void group_multiply(float *, uint64_t, uint64_t) {}
#endif
#endif

/* lay out a warp group's tile */
/* 256 lines of targets by N columns, two warp groups, TAPS = kernel; a stage: PIECES pieces of 16 bytes of every line.
   flight: products are waited for a stage later */
enum { PIECES = 4 };

template <precision P, int N, int TAPS, bool FLIGHT> struct group_tile {
  typedef typename stored<P>::word number;
  static constexpr precision p = P;
  static constexpr bool flight = FLIGHT;
  enum { n = N, taps = TAPS, m = 256, threads = 256, vector = 16 / (int)sizeof(number), depth = PIECES * vector,
         a_lines = (m + TAPS - 1 + 5) / 8 * 8 + 2, b_lines = N * TAPS + 2, b_at = a_lines * PIECES * 16,
         stage = b_at + b_lines * PIECES * 16, stages = FLIGHT && N == 128 ? 4 : 3, shared = stages * stage, blocks = N == 64 ? 2 : 1,
         copies = m / 64, weight_copies = N * TAPS / 64 };
};
template <class T> using group_number = typename T::number;

/* describe an operand by 64 bits */
/* The descriptor of an operand that begins at p, in a tile of `lines` lines. */
template <int LINES> WORD uint64_t operand_at(const unsigned char *p)
{
  return (uint64_t)((shared_address(p) & 0x3ffff) >> 4) | (uint64_t)LINES << 16 | (uint64_t)8 << 32;
}

/* find the pixels of a line */
typedef struct { int pixel, y; } source_line;
enum { NOWHERE = -(1 << 20) };

WORD source_line find_line(const gather &g, int line)
{
  const int wide = g.v + g.kernel - 1, image = line / (wide * g.u), rest = line - image * wide * g.u, u = rest / wide;
  const int x = rest - u * wide - g.pad_left, y = u - g.pad_top;
  const bool inside = image * g.u * g.v < g.rows && x >= 0 && x < g.w;
  const source_line q = { (image * g.h + y) * g.w + x, inside ? y : NOWHERE };
  return q;
}

template <class T> WORD void fetch_line(const gather &g, source_line q, int ky, int c, unsigned char *to)
{
  const bool inside = (unsigned)(q.y + ky) < (unsigned)g.h;
  const group_number<T> *from = (const group_number<T> *)g.source;
  if (inside) from += (size_t)(q.pixel + ky * g.w) * (size_t)g.pitch + (size_t)c;
  copy_async16(to, from, inside);
}

/* fetch a stage of lines */
/* ky, c: the row of taps and the first channel of this stage; weight: this thread's column and piece */
template <class T> WORD void fetch_stage(const gather &g, const source_line *line, int ky, int c,
                                         const group_number<T> *weight, unsigned char *stage)
{
  const int piece = threadIdx.x % PIECES, first = threadIdx.x / PIECES;
  unsigned char *a = stage + (piece * T::a_lines + first) * 16, *b = stage + T::b_at + (piece * T::b_lines + first) * 16;
#pragma unroll
  for (int i = 0; i < T::copies; i++) fetch_line<T>(g, line[i], ky, c + piece * T::vector, a + i * 64 * 16);
  if (first < T::taps - 1) fetch_line<T>(g, line[T::copies], ky, c + piece * T::vector, a + T::m * 16);
  weight += (size_t)(ky * T::taps) * (size_t)g.c + (size_t)c;
#pragma unroll
  for (int i = 0; i < T::weight_copies; i++) {
    const int tap = i / (T::n / 64), down = i % (T::n / 64) * 64;
    copy_async16(b + i * 64 * 16, weight + (size_t)down * (size_t)g.line + (size_t)(tap * g.c), true);
  }
}

/* multiply a stage of taps */
template <class T> WORD void group_products(float sum[2][T::n / 2], const unsigned char *stage)
{
  const uint64_t a = operand_at<T::a_lines>(stage + threadIdx.x / 128 * 128 * 16);
  const uint64_t b = operand_at<T::b_lines>(stage + T::b_at);
#pragma unroll
  for (int tap = 0; tap < T::taps; tap++)
#pragma unroll
    for (int k = 0; k < PIECES; k += 2)
#pragma unroll
      for (int half = 0; half < 2; half++)
        group_multiply<T::p, T::n>(sum[half], a + (uint64_t)(k * T::a_lines + half * 64 + tap),
                                   b + (uint64_t)(k * T::b_lines + tap * T::n));
}

/* load and store pairs */
template <precision P> WORD float2 get_pair(const void *from, size_t at, bool wide)
{
  if (!wide) return make_float2(load1<P>(from, at), load1<P>(from, at + 1));
  if (P != BF16) return *(const float2 *)((const float *)from + at);
  const uint32_t u = *(const uint32_t *)((const bf16 *)from + at);
  return make_float2(__uint_as_float(u << 16), __uint_as_float(u & 0xffff0000));
}

template <precision P> WORD void put_pair(void *to, size_t at, bool wide, float2 v)
{
  if (!wide) store1<P>(to, at, v.x), store1<P>(to, at + 1, v.y);
  else if (P == BF16) *(uint32_t *)((bf16 *)to + at) = pack_bf16(v.x, v.y);
  else *(float2 *)((float *)to + at) = make_float2(store_round<P>(v.x), store_round<P>(v.y));
}

/* store a warp's line */
/* The sums of columns q and q + 1 of the target at `at`. */
template <precision P> WORD void end_pair(const ending &e, int columns, size_t at, int q, float2 v)
{
  if (e.z) {
    const float2 z = get_pair<P>(e.z, at, e.wide);
    const float *a = e.coef + 2 * columns + q, *b = e.coef + 3 * columns + q;
    v.x = fmaf(z.x, a[0], b[0]) > 0 ? v.x : 0, v.y = fmaf(z.y, a[1], b[1]) > 0 ? v.y : 0;
  } else {
    const float2 before = e.add ? get_pair<P>(e.target, at, e.wide) : make_float2(0, 0);
    v.x += (e.bias ? e.bias[q] : 0) + before.x, v.y += (e.bias ? e.bias[q + 1] : 0) + before.y;
    if (e.relu) v.x = fmaxf(v.x, 0), v.y = fmaxf(v.y, 0);
  }
  put_pair<P>(e.target, at, e.wide, v);
}

/* Store the line of targets whose columns begin in sum[2 h + 4 j], h: half a fragment. */
template <class T> WORD void store_line(const gather &g, const ending &e, int line, int n0, const float *sum)
{
  const int wide = g.v + T::taps - 1, image = line / (wide * g.u), rest = line - image * wide * g.u, u = rest / wide;
  const int v = rest - u * wide, row = (image * g.u + u) * g.v + v;
  if (v >= g.v || row >= g.rows) return;
#pragma unroll
  for (int j = 0; j < T::n / 8; j++) {
    const int q = n0 + 8 * j + threadIdx.x % 4 * 2;
    end_pair<T::p>(e, g.columns, (size_t)row * (size_t)e.pitch + (size_t)q, q, make_float2(sum[4 * j], sum[4 * j + 1]));
  }
}

/* convolve by warp groups */
template <class T> __global__ void __launch_bounds__(T::threads, T::blocks) group_kernel(gather g, ending e)
{
  SHARED_ROOM(room);
  const int across = g.columns / T::n, tile = (int)blockIdx.x / across, n0 = ((int)blockIdx.x - tile * across) * T::n;
  const int first = threadIdx.x / PIECES, piece = threadIdx.x % PIECES, stages = g.kernel * (g.c / T::depth);
  const group_number<T> *weight = (const group_number<T> *)g.weight + (size_t)(n0 + first) * (size_t)g.line
    + (size_t)(piece * T::vector);
  source_line line[T::copies + 1];
  float sum[2][T::n / 2] = {};
#pragma unroll
  for (int i = 0; i <= T::copies; i++) line[i] = find_line(g, tile * T::m + first + 64 * i);
  int ky = 0, c = 0, fetched = 0;
  /* start the first copies */
  for (int free = 0; free < T::stages - 1; free++) {
    /* fetch the next stage, if there is one */
    if (fetched < stages) {
      fetch_stage<T>(g, line, ky, c, weight, room + free * T::stage);
      fetched++, c += T::depth;
      if (c == g.c) c = 0, ky++;
    }
    copy_commit();
  }
  if constexpr (T::flight) {
    /* multiply all stages, one in flight */
    copy_wait_for_group<T::stages - 2>();
    __syncthreads();
    for (int i = 0, full = 0, free = T::stages - 1; i < stages; i++) {
      group_hold(sum);
      group_fence();
      group_products<T>(sum, room + full * T::stage);
      group_commit();
      group_wait<1>();
      copy_wait_for_group<T::stages - 3>();
      __syncthreads();
      /* fetch the next stage, if there is one */
      if (fetched < stages) {
        fetch_stage<T>(g, line, ky, c, weight, room + free * T::stage);
        fetched++, c += T::depth;
        if (c == g.c) c = 0, ky++;
      }
      copy_commit();
      free = full, full = full + 1 == T::stages ? 0 : full + 1;
    }
    group_wait<0>();
    group_hold(sum);
  } else
    for (int i = 0, full = 0, free = T::stages - 1; i < stages; i++) {
      /* multiply this stage and fetch another */
      copy_wait_for_group<T::stages - 2>();
      __syncthreads();
      group_hold(sum);
      group_fence();
      group_products<T>(sum, room + full * T::stage);
      group_commit();
      /* fetch the next stage, if there is one */
      if (fetched < stages) {
        fetch_stage<T>(g, line, ky, c, weight, room + free * T::stage);
        fetched++, c += T::depth;
        if (c == g.c) c = 0, ky++;
      }
      copy_commit();
      group_wait<0>();
      group_hold(sum);
      free = full, full = full + 1 == T::stages ? 0 : full + 1;
    }
  /* store the block's targets */
  const int warp_line = tile * T::m + (int)threadIdx.x / 128 * 128 + (int)threadIdx.x / 32 % 4 * 16 + (int)threadIdx.x % 32 / 4;
  #pragma unroll
  for (int half = 0; half < 2; half++) {
    store_line<T>(g, e, warp_line + 64 * half, n0, sum[half]);
    store_line<T>(g, e, warp_line + 64 * half + 8, n0, sum[half] + 2);
  }
}

/* ask whether warp groups fit, and pick a tile */
bool group_fits(precision p, const gather *g)
{
  const int depth = PIECES * 16 / (int)act_bytes(p);
  const bool asked = candidate_on(CANDIDATE_GROUPS) || candidate_on(CANDIDATE_GROUPS_FLIGHT);
  return asked && p != FP32 && (g->kernel == 1 || g->kernel == 3 || g->kernel == 5) && g->a == 1 && g->d == 1
      && g->c % depth == 0 && (size_t)g->pitch * act_bytes(p) % 16 == 0 && g->columns % 64 == 0 && g->v >= 4 * (g->kernel - 1);
}

template <class T> static void group_run(const gather *g, const ending *e, cudaStream_t stream)
{
  const int lines = g->rows / g->v * (g->v + T::taps - 1), blocks = (lines + T::m - 1) / T::m * (g->columns / T::n);
  LAUNCH_BIG((group_kernel<T>), (unsigned)blocks, T::threads, T::shared, stream, *g, *e);
}

template <precision P, int N, bool FLIGHT> static void group_taps(const gather *g, const ending *e, cudaStream_t stream)
{
  if (g->kernel == 5) group_run<group_tile<P, N, 5, FLIGHT> >(g, e, stream);
  else if (g->kernel == 3) group_run<group_tile<P, N, 3, FLIGHT> >(g, e, stream);
  else group_run<group_tile<P, N, 1, FLIGHT> >(g, e, stream);
}

template <bool FLIGHT> static void group_columns(precision p, const gather *g, const ending *e, cudaStream_t stream)
{
  const bool broad = g->columns % 128 == 0;
  if (p == TF32 && broad) group_taps<TF32, 128, FLIGHT>(g, e, stream);
  else if (p == TF32) group_taps<TF32, 64, FLIGHT>(g, e, stream);
  else if (broad) group_taps<BF16, 128, FLIGHT>(g, e, stream);
  else group_taps<BF16, 64, FLIGHT>(g, e, stream);
}

/* start a product of warp groups */
void group_start(precision p, const gather *g, const ending *e, cudaStream_t stream)
{
  if (candidate_on(CANDIDATE_GROUPS_FLIGHT)) group_columns<true>(p, g, e, stream);
  else group_columns<false>(p, g, e, stream);
  sums_by_a_pass(p, g, e, stream);
}

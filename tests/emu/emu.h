/* emu.h: CUDA's device side on the CPU, for tests. A kernel compiled as C++ with -DEMULATED runs here, one fiber a thread.
   The words of cuda_device.h have the same names and the same register layouts; emu.cc does the work.

   What is checked as a kernel runs: stores and loads out of bounds of global and of shared memory; barriers that not all threads
   reach, or that they reach in different lines; warp operations that not all of their lanes reach; shuffles from a lane that takes
   no part; misaligned or misplaced addresses of copies and fragment loads; copies read before they were waited for.

   Environment: EMU_ORDER=1 threads run forwards, -1 backwards, 2 and more in an order drawn from that seed. EMU_THREADS=n blocks
   run on n OpenMP threads (default 1). EMU_TRUNCATE: how products of fragments add up, see sum_rule. EMU_DEVICES, EMU_ARCH: see
   emu_runtime.cc. */
#ifndef EMU_H
#define EMU_H
#include "cuda_runtime_api.h"
#include <math.h>
#include <stdint.h>
#include <string.h>
#include <functional>
#include <tuple>
#include <type_traits>

#define __global__
#define __device__
#define __host__
#define __constant__ static
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __align__(n) alignas(n)
#define __shared__ static thread_local    /* neither poisoned nor bounds checked: SHARED_ROOM is */
#define WORD inline

/* ---- vectors ---- */
struct alignas(8) float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(8) int2 { int x, y; };
struct alignas(16) int4 { int x, y, z, w; };
struct alignas(8) uint2 { unsigned x, y; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
struct uint3 { unsigned x, y, z; };
struct alignas(16) double2 { double x, y; };
struct alignas(4) uchar4 { unsigned char x, y, z, w; };
struct alignas(2) uchar2 { unsigned char x, y; };
inline float2 make_float2(float x, float y) { return { x, y }; }
inline float4 make_float4(float x, float y, float z, float w) { return { x, y, z, w }; }
inline int2 make_int2(int x, int y) { return { x, y }; }
inline int4 make_int4(int x, int y, int z, int w) { return { x, y, z, w }; }
inline uint2 make_uint2(unsigned x, unsigned y) { return { x, y }; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return { x, y, z, w }; }
inline double2 make_double2(double x, double y) { return { x, y }; }
inline uchar4 make_uchar4(unsigned char x, unsigned char y, unsigned char z, unsigned char w) { return { x, y, z, w }; }

/* ---- the running thread ---- */
namespace emu {
struct place { const char *file; int line; };
template <class T> struct same { typedef T type; };    /* an argument that does not take part in deduction */
#define EMU_HERE emu::place at = { __builtin_FILE(), __builtin_LINE() }

struct warp;
struct block;
struct copy { void *to; const void *from; unsigned bytes; unsigned group; };
struct thread {
  uint3 id;
  unsigned lane;                                     /* in its warp */
  struct warp *of;
};
extern __attribute__((tls_model("initial-exec"))) thread_local thread *self;
extern __attribute__((tls_model("initial-exec"))) thread_local uint3 block_id;
extern __attribute__((tls_model("initial-exec"))) thread_local dim3 block_size, grid_size;

[[noreturn]] void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* bar.sync: wait until `threads` threads of the block (0: all) came to barrier `id` (0..15) */
void barrier(int id, unsigned threads, place);
/* The lanes in mask meet; the last to come calls work(argument of each lane, mask); then all go on. what names the operation. */
typedef void lanes_work(void *const argument[32], unsigned mask);
void meet(unsigned mask, void *argument, lanes_work *work, const char *what, place);
/* The same for a warp group, 128 threads: argument of each. */
typedef void group_work(void *const argument[128]);
void meet_group(void *argument, group_work *work, const char *what, place);
unsigned char *shared_room();
size_t shared_bytes();
bool in_shared(const void *p, size_t bytes);
void order_copy(void *to, const void *from, unsigned bytes, bool valid, place);
void commit_copies();
void wait_copies(int pending);
/* a grid on a stream; run later, when the stream is waited for. pointers: kernel arguments that are addresses. */
void enqueue(const char *name, place, const void *kernel, dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t,
             std::function<void()> body, std::initializer_list<const void *> pointers);

template <class T> inline const void *address_of(T v)
{
  if constexpr (std::is_pointer<T>::value && !std::is_function<std::remove_pointer_t<T>>::value) return (const void *)v;
  else return nullptr;
}
template <class... P, class... A>
inline void launch(const char *name, place at, void (*kernel)(P...), dim3 grid, dim3 block, size_t shared, cudaStream_t s, A... a)
{
  static_assert(sizeof...(P) == sizeof...(A), "a kernel is launched with as many arguments as it has parameters");
  std::tuple<std::decay_t<P>...> kept{ static_cast<std::decay_t<P>>(a)... };
  std::apply([&](auto... v) {
    enqueue(name, at, (const void *)kernel, grid, block, shared, s, [=] { kernel(v...); }, { address_of(v)... });
  }, kept);
}
}

#define threadIdx (emu::self->id)
#define blockIdx (emu::block_id)
#define blockDim (emu::block_size)
#define gridDim (emu::grid_size)
enum { warpSize = 32 };

#define LAUNCH(kernel, grid, block, shared_bytes, stream, ...) \
  emu::launch(#kernel, emu::place{ __FILE__, __LINE__ }, &kernel, grid, block, shared_bytes, stream, ##__VA_ARGS__)
#define LAUNCH_BIG(kernel, grid, block, shared_bytes, stream, ...) \
  do { \
    cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)(shared_bytes)); \
    LAUNCH(kernel, grid, block, shared_bytes, stream, ##__VA_ARGS__); \
  } while (0)
#define SHARED_ROOM(name) unsigned char *const name = emu::shared_room()
template <class... P> inline cudaError_t cudaFuncSetAttribute(void (*kernel)(P...), enum cudaFuncAttribute a, int value)
{
  return cudaFuncSetAttribute((const void *)kernel, a, value);
}

/* ---- barriers and warp operations ---- */
inline void emu_syncthreads(EMU_HERE) { emu::barrier(0, 0, at); }
#define __syncthreads() emu_syncthreads()
inline void __syncwarp(unsigned mask = ~0u, EMU_HERE)
{
  emu::meet(mask, nullptr, [](void *const *, unsigned) {}, "__syncwarp", at);
}
inline void __threadfence() {}
inline void __threadfence_block() {}

namespace emu {
/* What a lane brings to a shuffle: its value, and the lane it reads. */
struct slot { uint64_t mine, got; unsigned source; };
void shuffle(void *const argument[32], unsigned mask);
void ballot(void *const argument[32], unsigned mask);
template <class T> inline T exchange(unsigned mask, T v, unsigned source, const char *what, place at)
{
  static_assert(sizeof(T) <= 8 && std::is_trivially_copyable<T>::value, "shuffles move 4 or 8 bytes");
  slot s = { 0, 0, source };
  memcpy(&s.mine, &v, sizeof v);
  meet(mask, &s, shuffle, what, at);
  memcpy(&v, &s.got, sizeof v);
  return v;
}
inline unsigned vote(unsigned mask, bool p, const char *what, place at)
{
  slot s = { p, 0, 0 };
  meet(mask, &s, ballot, what, at);
  return (unsigned)s.got;
}
}
template <class T> inline T __shfl_sync(unsigned mask, T v, int source, int width = 32, EMU_HERE)
{
  unsigned l = emu::self->lane, w = (unsigned)width;
  return emu::exchange(mask, v, (l & ~(w - 1)) | ((unsigned)source & (w - 1)), "__shfl_sync", at);
}
template <class T> inline T __shfl_xor_sync(unsigned mask, T v, int x, int width = 32, EMU_HERE)
{
  unsigned l = emu::self->lane, w = (unsigned)width, from = l ^ (unsigned)x;
  return emu::exchange(mask, v, (from & ~(w - 1)) > (l & ~(w - 1)) ? l : from, "__shfl_xor_sync", at);
}
template <class T> inline T __shfl_down_sync(unsigned mask, T v, unsigned by, int width = 32, EMU_HERE)
{
  unsigned l = emu::self->lane, w = (unsigned)width;
  return emu::exchange(mask, v, (l & (w - 1)) + by < w ? l + by : l, "__shfl_down_sync", at);
}
template <class T> inline T __shfl_up_sync(unsigned mask, T v, unsigned by, int width = 32, EMU_HERE)
{
  unsigned l = emu::self->lane, w = (unsigned)width;
  return emu::exchange(mask, v, (l & (w - 1)) >= by ? l - by : l, "__shfl_up_sync", at);
}
inline unsigned __ballot_sync(unsigned mask, int p, EMU_HERE) { return emu::vote(mask, p, "__ballot_sync", at); }
inline int __any_sync(unsigned mask, int p, EMU_HERE) { return emu::vote(mask, p, "__any_sync", at) != 0; }
inline int __all_sync(unsigned mask, int p, EMU_HERE) { return emu::vote(mask, !p, "__all_sync", at) == 0; }

/* ---- atomics: of integers alone, for a float's sum would depend on the order ---- */
template <class T> inline T atomicAdd(T *p, typename emu::same<T>::type v)
{
  static_assert(std::is_integral<T>::value, "no float atomics: their sums depend on the order of the threads");
  return __atomic_fetch_add(p, v, __ATOMIC_RELAXED);
}
template <class T> inline T atomicMax(T *p, typename emu::same<T>::type v)
{
  static_assert(std::is_integral<T>::value, "integers alone");
  T old = __atomic_load_n(p, __ATOMIC_RELAXED);
  while (old < v && !__atomic_compare_exchange_n(p, &old, v, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {}
  return old;
}
template <class T> inline T atomicMin(T *p, typename emu::same<T>::type v)
{
  static_assert(std::is_integral<T>::value, "integers alone");
  T old = __atomic_load_n(p, __ATOMIC_RELAXED);
  while (old > v && !__atomic_compare_exchange_n(p, &old, v, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {}
  return old;
}
template <class T> inline T atomicExch(T *p, typename emu::same<T>::type v) { return __atomic_exchange_n(p, v, __ATOMIC_RELAXED); }
template <class T> inline T atomicOr(T *p, typename emu::same<T>::type v) { return __atomic_fetch_or(p, v, __ATOMIC_RELAXED); }
template <class T> inline T atomicAnd(T *p, typename emu::same<T>::type v) { return __atomic_fetch_and(p, v, __ATOMIC_RELAXED); }
template <class T> inline T atomicCAS(T *p, typename emu::same<T>::type expected, typename emu::same<T>::type v)
{
  __atomic_compare_exchange_n(p, &expected, v, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
  return expected;
}

/* ---- numbers ---- */
inline float __uint_as_float(unsigned u) { float f; memcpy(&f, &u, 4); return f; }
inline unsigned __float_as_uint(float f) { unsigned u; memcpy(&u, &f, 4); return u; }
inline float __int_as_float(int u) { float f; memcpy(&f, &u, 4); return f; }
inline int __float_as_int(float f) { int u; memcpy(&u, &f, 4); return u; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fsqrt_rn(float a) { return sqrtf(a); }
inline double __dadd_rn(double a, double b) { return a + b; }
inline double __dmul_rn(double a, double b) { return a * b; }
inline float rsqrtf(float a) { return 1 / sqrtf(a); }
inline double rsqrt(double a) { return 1 / sqrt(a); }
inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)((uint64_t)a * b >> 32); }
inline int __popc(unsigned u) { return __builtin_popcount(u); }
inline int __clz(int u) { return u ? __builtin_clz((unsigned)u) : 32; }
inline int __ffs(int u) { return __builtin_ffs(u); }
template <class T> inline T __ldg(const T *p) { return *p; }
template <class T> inline T __ldcs(const T *p) { return *p; }
template <class T> inline T __ldcg(const T *p) { return *p; }
template <class T> inline void __stcs(T *p, T v) { *p = v; }
template <class T> inline void __stcg(T *p, T v) { *p = v; }
#define EMU_LEAST(T) inline T min(T a, T b) { return b < a ? b : a; } inline T max(T a, T b) { return a < b ? b : a; }
EMU_LEAST(int) EMU_LEAST(unsigned) EMU_LEAST(long) EMU_LEAST(unsigned long) EMU_LEAST(long long) EMU_LEAST(unsigned long long)
inline float min(float a, float b) { return fminf(a, b); }
inline float max(float a, float b) { return fmaxf(a, b); }
inline double min(double a, double b) { return fmin(a, b); }
inline double max(double a, double b) { return fmax(a, b); }
inline void __trap() { emu::fail("__trap()"); }
inline uint32_t shared_address(const void *p) { return (uint32_t)((const unsigned char *)p - emu::shared_room()); }

/* ---- copies that land when they are waited for. From order to landing the destination holds poison. ---- */
inline void copy_async16(void *shared, const void *global, bool valid, EMU_HERE) { emu::order_copy(shared, global, 16, valid, at); }
inline void copy_async8(void *shared, const void *global, bool valid, EMU_HERE) { emu::order_copy(shared, global, 8, valid, at); }
inline void copy_async4(void *shared, const void *global, bool valid, EMU_HERE) { emu::order_copy(shared, global, 4, valid, at); }
inline void copy_commit() { emu::commit_copies(); }
template <int PENDING> inline void copy_wait() { emu::wait_copies(PENDING); }

/* ---- fragments ---- */
namespace emu {
/* How an instruction adds its K products to an accumulator; EMU_TRUNCATE names it.
   0 NEAREST: in fp32, one product after the other, each sum rounded to the nearest.
   1 TRUNCATE: the exact sum of accumulator and products, then cut to fp32 toward zero: what all tensor cores have in common. A
     double holds the sum; what it rounds itself is 2^-29 of a float's last bit.
   2 ALIGN: before that, each addend is cut toward zero at 2^-24 of the largest one's power of two, as units do that align all
     addends and keep one bit more than fp32 has.
   Not modelled: units that take K in pieces (4 or 8 products, so that an instruction cuts more than once), that keep other numbers
   of bits, or no subnormal numbers. NVIDIA documents none of this; papers measured it (Fasi and others 2021, Khattak and Mikaitis 2025). */
enum sum_rule { NEAREST, TRUNCATE, ALIGN };
extern sum_rule rule;                                /* set when a kernel starts */
float add_products(float accumulator, const double *product, int count);
struct matrix_load { uint32_t *r; const void *row; };
struct product { float *d; const uint32_t *a, *b; };
void load_matrices(void *const argument[32], unsigned mask);
void load_matrices_trans(void *const argument[32], unsigned mask);
void multiply_tf32(void *const argument[32], unsigned mask);
void multiply_bf16(void *const argument[32], unsigned mask);
void check_row(const void *row, place);
}
inline void load_matrix_x4(uint32_t r[4], const void *row, EMU_HERE)
{
  emu::matrix_load m = { r, row };
  emu::check_row(row, at);
  emu::meet(~0u, &m, emu::load_matrices, "load_matrix_x4", at);
}
inline void load_matrix_x4_trans(uint32_t r[4], const void *row, EMU_HERE)
{
  emu::matrix_load m = { r, row };
  emu::check_row(row, at);
  emu::meet(~0u, &m, emu::load_matrices_trans, "load_matrix_x4_trans", at);
}
inline void mma_tf32(float d[4], const uint32_t a[4], const uint32_t b[2], EMU_HERE)
{
  emu::product p = { d, a, b };
  emu::meet(~0u, &p, emu::multiply_tf32, "mma_tf32", at);
}
inline void mma_bf16(float d[4], const uint32_t a[4], const uint32_t b[2], EMU_HERE)
{
  emu::product p = { d, a, b };
  emu::meet(~0u, &p, emu::multiply_bf16, "mma_bf16", at);
}
#endif

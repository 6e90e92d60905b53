/* cuda_device.h: the words that kernels are written in: launches, copies, fragments, matrix products, stored numbers. */
#ifndef CUDA_DEVICE_H
#define CUDA_DEVICE_H
#include "gpu/cuda.h"
#ifdef EMULATED
#include "emu.h"
#else
#include <cuda_runtime.h>

/* launch a kernel */
#define WORD __device__ __forceinline__
#define LAUNCH(kernel, grid, block, shared_bytes, stream, ...) \
  (kernel)<<<grid, block, shared_bytes, stream>>>(__VA_ARGS__)
#define LAUNCH_BIG(kernel, grid, block, shared_bytes, stream, ...) \
  do { \
    cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)(shared_bytes)); \
    LAUNCH(kernel, grid, block, shared_bytes, stream, __VA_ARGS__); \
  } while (0)
/* unsigned char name[]: the block's dynamic shared memory, aligned to 128 bytes */
#define SHARED_ROOM(name) extern __shared__ __align__(128) unsigned char name[]

/* copy while computing */
WORD uint32_t shared_address(const void *p) { return (uint32_t)__cvta_generic_to_shared(p); }
#if __CUDA_ARCH__ >= 800
#define COPY_ASYNC(bytes, cache) \
  asm volatile("cp.async." cache ".shared.global [%0], [%1], " #bytes ", %2;\n" \
               :: "r"(shared_address(shared)), "l"(global), "r"(valid ? bytes : 0) : "memory")
#else
#define COPY_ASYNC(bytes, cache) copy_now<bytes>(shared, global, valid)
#endif
template <int BYTES> WORD void copy_now(void *shared, const void *global, bool valid)
{
  for (int i = 0; i < BYTES / 4; i++) ((uint32_t *)shared)[i] = valid ? ((const uint32_t *)global)[i] : 0;
}
/* 16, 8 or 4 bytes, both addresses aligned to as many. 16 bypass the first-level cache. */
WORD void copy_async16(void *shared, const void *global, bool valid) { COPY_ASYNC(16, "cg"); }
WORD void copy_async8(void *shared, const void *global, bool valid) { COPY_ASYNC(8, "ca"); }
WORD void copy_async4(void *shared, const void *global, bool valid) { COPY_ASYNC(4, "ca"); }
WORD void copy_commit()
{
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.commit_group;\n" ::: "memory");
#endif
}
template <int PENDING> WORD void copy_wait()
{
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_group %0;\n" :: "n"(PENDING) : "memory");
#endif
}

/* load fragments of a matrix */
WORD void load_matrix_x4(uint32_t r[4], const void *row)
{
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];\n"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(shared_address(row)) : "memory");
}

WORD void load_matrix_x4_trans(uint32_t r[4], const void *row)
{
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];\n"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(shared_address(row)) : "memory");
}

/* multiply fragments on tensor cores */
/* d (16, 8) += a (16, 8) b (8, 8), TF32; the fragments as in the book's picture */
WORD void mma_tf32(float d[4], const uint32_t a[4], const uint32_t b[2])
{
#if __CUDA_ARCH__ >= 800
  asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
               "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};\n"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  __trap();
#endif
}

/* d (16, 8) += a (16, 16) b (16, 8), bfloat16, two to a register, the lower k in the lower half */
WORD void mma_bf16(float d[4], const uint32_t a[4], const uint32_t b[2])
{
#if __CUDA_ARCH__ >= 800
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
               "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};\n"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  __trap();
#endif
}

#endif

/* round numbers to what is stored */
struct bf16 { uint16_t bits; };
template <precision P> struct stored { typedef float word; };
template <> struct stored<BF16> { typedef bf16 word; };

WORD float bf16_float(bf16 x) { return __uint_as_float((uint32_t)x.bits << 16); }
WORD bf16 float_bf16(float x)
{
  uint32_t u = __float_as_uint(x);
  bool nan = (u & 0x7fffffff) > 0x7f800000;
  bf16 r = { (uint16_t)((nan ? u | 0x400000 : u + 0x7fff + (u >> 16 & 1)) >> 16) };
  return r;
}
WORD float float_tf32(float x)
{
  uint32_t u = __float_as_uint(x);
  return (u & 0x7f800000) == 0x7f800000 ? x : __uint_as_float((u + 0x1000) & 0xffffe000);
}

/* load and store in any precision */
/* what store1 would keep of x */
template <precision P> WORD float store_round(float x)
{
  return P == FP32 ? x : P == TF32 ? float_tf32(x) : bf16_float(float_bf16(x));
}
template <precision P> WORD float load1(const act *x, size_t i)
{
  return P == BF16 ? bf16_float(((const bf16 *)x)[i]) : ((const float *)x)[i];
}
template <precision P> WORD void store1(act *y, size_t i, float v)
{
  if (P == BF16) ((bf16 *)y)[i] = float_bf16(v);
  else ((float *)y)[i] = store_round<P>(v);
}
template <precision P> WORD float4 load4(const act *x, size_t i)
{
  if (P != BF16) return *(const float4 *)((const float *)x + i);
  uint2 u = *(const uint2 *)((const bf16 *)x + i);
  return make_float4(__uint_as_float(u.x << 16), __uint_as_float(u.x & 0xffff0000),
                     __uint_as_float(u.y << 16), __uint_as_float(u.y & 0xffff0000));
}
/* two floats as two bfloat16 in one word, the first in the lower half */
WORD uint32_t pack_bf16(float low, float high)
{
#if __CUDA_ARCH__ >= 800 && !defined EMULATED
  uint32_t both;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;\n" : "=r"(both) : "f"(high), "f"(low));
  return both;
#else
  return (uint32_t)float_bf16(low).bits | (uint32_t)float_bf16(high).bits << 16;
#endif
}
template <precision P> WORD void store4(act *y, size_t i, float4 v)
{
  if (P == BF16) *(uint2 *)((bf16 *)y + i) = make_uint2(pack_bf16(v.x, v.y), pack_bf16(v.z, v.w));
  else *(float4 *)((float *)y + i) = make_float4(store_round<P>(v.x), store_round<P>(v.y), store_round<P>(v.z),
                                                 store_round<P>(v.w));
}
#endif

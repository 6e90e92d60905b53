/* kernels.h: what the tests of GPU kernels share: numbers as a precision stores them, and memory of the device. For emulation and nvcc. */
#ifndef TEST_KERNELS_H
#define TEST_KERNELS_H
#include "gpu/cuda.h"
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* v as precision p stores it */
static inline float rounded(precision p, float v)
{
  uint32_t u;
  memcpy(&u, &v, 4);
  if (p == TF32) u = (u + 0x1000) & 0xffffe000;
  if (p == BF16) u = (u + 0x7fff + (u >> 16 & 1)) & 0xffff0000;
  memcpy(&v, &u, 4);
  return v;
}

/* The first device's compute capability, 90 for 9.0. A test of kernels that finds no device has failed: it was made to run on one. */
static inline int capability_or_bail(void)
{
  int devices = 0, major = 0, minor = 0;
  const cudaError_t error = cudaGetDeviceCount(&devices);
  if (error || !devices) printf("Bail out! no CUDA device: %s\n", cudaGetErrorString(error)), exit(1);
  cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0);
  cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, 0);
  return 10 * major + minor;
}

static inline void *device_memory(size_t bytes)
{
  void *at = NULL;
  if (cudaMalloc(&at, bytes ? bytes : 16)) printf("Bail out! no device memory: %s\n", cudaGetErrorString(cudaGetLastError())), exit(1);
  return at;
}

/* device at <- v (n), rounded already */
static inline void to_device(precision p, void *at, const float *v, size_t n)
{
  uint16_t *half = (uint16_t *)calloc(n + 1, sizeof *half);
  for (size_t i = 0; i < n; i++) memcpy(&half[i], (const char *)&v[i] + 2, 2);
  cudaMemcpy(at, p == BF16 ? (const void *)half : (const void *)v, n * act_bytes(p), cudaMemcpyHostToDevice);
  free(half);
}

/* v (n) <- device at; false when a kernel has failed */
static inline bool from_device(precision p, float *v, const void *at, size_t n)
{
  if (cudaDeviceSynchronize() || cudaGetLastError()) return false;
  uint16_t *half = (uint16_t *)calloc(n + 1, sizeof *half);
  cudaMemcpy(p == BF16 ? (void *)half : (void *)v, at, n * act_bytes(p), cudaMemcpyDeviceToHost);
  for (size_t i = 0; p == BF16 && i < n; i++) { const uint32_t u = (uint32_t)half[i] << 16; memcpy(&v[i], &u, 4); }
  free(half);
  return true;
}
#endif

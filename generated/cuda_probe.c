/* cuda_probe.c: in the plugin: what a device is, for doctor. */
#include <cuda_runtime_api.h>
#include <stdio.h>

const char *wbcsnet_cuda_device(int n);

/* One line on device n, NULL beyond the last. The text lives until the next call. */
const char *wbcsnet_cuda_device(int n)
{
  static char line[512];
  struct cudaDeviceProp p;
  int devices = 0, driver = 0, runtime = 0;
  cudaError_t error = cudaGetDeviceCount(&devices);
  if (error == cudaSuccess && n < devices) error = cudaGetDeviceProperties(&p, n);
  cudaGetLastError();                                /* forget it: it was an answer */
  if (error != cudaSuccess || n >= devices) return NULL;
  cudaDriverGetVersion(&driver), cudaRuntimeGetVersion(&runtime);
  snprintf(line, sizeof line, "%s: compute capability %d.%d, %d SMs, %.1f GiB; driver for CUDA %d.%d, runtime %d.%d", p.name, p.major,
           p.minor, p.multiProcessorCount, (double)p.totalGlobalMem / 1073741824, driver / 1000, driver % 1000 / 10, runtime / 1000,
           runtime % 1000 / 10);
  return line;
}

/* cuda_probe.c: in the plugin: what a device is, for doctor and for records. */
#include "gpu/cuda.h"
#include <stdio.h>
#include <string.h>

const char *wbcsnet_cuda_device(int n);

/* describe a device in a line */
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
/* describe a device for records */
static void driver_in_words(char *to, size_t room, bool emulated)
{
  int cuda = 0;
  FILE *f = emulated ? NULL : fopen("/sys/module/nvidia/version", "r");
  cudaDriverGetVersion(&cuda);
  if (!f || !fgets(to, (int)room, f)) snprintf(to, room, "for CUDA %d.%d", cuda / 1000, cuda % 1000 / 10);
  to[strcspn(to, "\n")] = 0;
  if (f) fclose(f);
}

const char *wbcsnet_cuda_gpu(int n)
{
  static char text[400];
  char driver[64];
  struct cudaDeviceProp p;
  int runtime = 0;
  const cudaError_t error = cudaGetDeviceProperties(&p, n);
  cudaRuntimeGetVersion(&runtime);
  if (error != cudaSuccess) snprintf(p.name, sizeof p.name, "a GPU without a name (%s)", cudaGetErrorName(error));
  driver_in_words(driver, sizeof driver, !strncmp(p.name, "Emulated", 8));
  snprintf(text, sizeof text, "%s, driver %s, CUDA %d.%d", p.name, driver, runtime / 1000, runtime % 1000 / 10);
  return text;
}

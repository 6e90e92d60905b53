/* The words of cuda_device.h by themselves, emulated or on a device: barriers, shuffles, copies, fragments and products, atomics, a graph. */
#include "emu/faults.cu"

/* The kernels of the weights' gradient (cuda_wgrad.cu) against a double loop: emulated, in two orders of the threads and with sums cut as
   tensor cores cut them; or, compiled by nvcc and linked with the plugin, on a device. */
#include "gpu/cuda.h"
#include "kernels.h"
#include "tap.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#define NEW(type, count) ((type *)calloc(count, sizeof(type)))

static uint32_t drawn = 1;
static float draw(void) { return (float)(int32_t)(drawn = drawn * 1664525u + 1013904223u) / 2147483648.0f; }

static void *on_device(const void *from, size_t bytes)
{
  void *p = device_memory(bytes);
  cudaMemcpy(p, from, bytes, cudaMemcpyHostToDevice);
  return p;
}

/* A tensor of `pixels` lines of `pitch` numbers, c of them drawn, the others `beyond`. host (pixels, c). */
static void *tensor(precision p, size_t pixels, int c, int pitch, float beyond, float *host)
{
  float *all = NEW(float, pixels * (size_t)pitch);
  void *device = device_memory(pixels * (size_t)pitch * act_bytes(p));
  for (size_t i = 0; i < pixels; i++)
    for (int j = 0; j < pitch; j++) {
      const float v = j < c ? rounded(p, draw()) : beyond;
      if (j < c) host[i * (size_t)c + (size_t)j] = v;
      all[i * (size_t)pitch + (size_t)j] = v;
    }
  to_device(p, device, all, pixels * (size_t)pitch);
  free(all);
  return device;
}

/* dw (o, k, k, c) */
static void reference(conv_shape s, const float *x, const float *dy, double *dw)
{
  for (int n = 0; n < s.n; n++)
    for (int u = 0; u < s.oh; u++)
      for (int v = 0; v < s.ow; v++)
        for (int ky = 0; ky < s.kernel; ky++)
          for (int kx = 0; kx < s.kernel; kx++) {
            const int yy = u * s.stride + ky - s.pad_top, xx = v * s.stride + kx - s.pad_left;
            if (yy < 0 || yy >= s.h || xx < 0 || xx >= s.w) continue;
            const float *a = dy + ((n * s.oh + u) * s.ow + v) * s.o, *b = x + ((n * s.h + yy) * s.w + xx) * s.c;
            for (int o = 0; o < s.o; o++)
              for (int c = 0; c < s.c; c++) dw[((o * s.kernel + ky) * s.kernel + kx) * s.c + c] += (double)a[o] * b[c];
          }
}

static double distance(const float *found, const double *expected, size_t count)
{
  double d = 0, e = 0;
  for (size_t i = 0; i < count; i++)
    d += (found[i] - expected[i]) * (found[i] - expected[i]), e += expected[i] * expected[i];
  return sqrt(d / e);
}

typedef struct { precision p; conv_shape s; size_t count, room; void *x, *dy, *work, *dw; double *expected; float *found; } job;

static void poison(job *j)
{
  if (j->room) cudaMemset(j->work, 0xff, j->room);
  cudaMemset(j->dw, 0xff, j->count * 4);
}

static double fetched(job *j, const char *what)
{
  const cudaError_t e = cudaDeviceSynchronize();
  if (e || cudaGetLastError()) { printf("# %s: %s\n", what, cudaGetErrorString(e)); return NAN; }
  cudaMemcpy(j->found, j->dw, j->count * 4, cudaMemcpyDeviceToHost);
  return distance(j->found, j->expected, j->count);
}

/* How far the sums may be from exact ones, norm over norm. A weight sums T partial results, in each of `slices` slices.
   Each rounding to the nearest is wrong by 2^-24 of a partial sum at most, in a direction of its own, and partial sums of drawn numbers are
   smaller than the whole: sqrt(T) 2^-24. In fp32 that is all, T the pixels; in other precisions it is what the emulator does without
   EMU_TRUNCATE, and the sum over slices. An instruction of a tensor core adds 8 (TF32) or 16 (bfloat16) pixels and cuts the sum toward
   zero: wrong by 2^-23 of it at most, always in the same direction, so that the errors of a slice add up: T 2^-23, T its instructions. */
static double allowed(const job *j)
{
  const conv_shape s = j->s;
  const double pixels = (double)s.n * s.oh * (s.ow + s.kernel - 1), slices = fmax(1, (double)(j->room / 4 / j->count));
  const double rounded_sums = sqrt(pixels + slices + 1) * 0x1p-24;
  if (j->p == FP32) return rounded_sums;
  return rounded_sums + (ceil(pixels / slices / (j->p == BF16 ? 16 : 8)) + 1) * 0x1p-23;
}

/* candidates: those that are on */
static void one(precision p, unsigned candidates, conv_shape s, const char *why)
{
  static const char *const name[] = { "fp32", "tf32", "bf16" }, *const order[] = { "1", "-1", "1" }, *const cut[] = { "0", "0", "1" };
  const size_t in = (size_t)(s.n * s.h * s.w), out = (size_t)(s.n * s.oh * s.ow);
  const bool image = s.c == 3 && s.c_pitch == 4;
  float *x = NEW(float, in * (size_t)s.c), *dy = NEW(float, out * (size_t)s.o), *again;
  job j = { p, s, (size_t)(s.o * s.kernel * s.kernel * s.c), conv_room(p, s), NULL, NULL, NULL, NULL, NULL, NULL };
  j.x = tensor(p, in, s.c, s.c_pitch, image ? 0 : NAN, x), j.dy = tensor(p, out, s.o, s.o_pitch, NAN, dy);
  j.expected = NEW(double, j.count), j.found = NEW(float, j.count), again = NEW(float, j.count);
  j.work = on_device(again, 0), j.dw = on_device(again, j.count * 4);
  if (j.room) cudaFree(j.work), cudaMalloc(&j.work, j.room);
  cuda_candidates = candidates;
  reference(s, x, dy, j.expected);
  poison(&j);
  cuda_conv_weight_gradient_plain(p, s, (const act *)j.x, (const act *)j.dy, (float *)j.dw, 0);
  const double plain = fetched(&j, "plain");
  double tiles[3] = { 0 };
  bool same = true;
  for (int i = 0; i < (p == FP32 ? 2 : 3); i++) {
    setenv("EMU_ORDER", order[i], 1), setenv("EMU_TRUNCATE", cut[i], 1);
    poison(&j);
    cuda_conv_weight_gradient(p, s, (const act *)j.x, (const act *)j.dy, j.work, (float *)j.dw, 0);
    tiles[i] = fetched(&j, "tiles");
    if (i == 1) same = !memcmp(again, j.found, j.count * 4);
    memcpy(again, j.found, j.count * 4);
  }
  const double most = allowed(&j);
  ok(plain < 1e-7 && tiles[0] < most && tiles[1] < most && tiles[2] < most && same,
     "%s%s %s: %d x %dx%dx%d -> %dx%dx%d kernel %d stride %d: plain %.1e, tiles %.1e, cut %.1e of %.1e, the same bits again, room %zu", name[p],
     candidates ? " (tf32-wgrad)" : "", why, s.n, s.h, s.w, s.c, s.oh, s.ow, s.o, s.kernel, s.stride, plain, tiles[0], tiles[2], most, j.room);
  cudaFree(j.x), cudaFree(j.dy), cudaFree(j.work), cudaFree(j.dw);
  free(x), free(dy), free(again), free(j.expected), free(j.found);
}

/* 46-wgrad-kernels [brief]: brief is the first shape alone, for the runs with planted faults */
int main(int count, char **)
{
  /* n, h, w, c, c_pitch, oh, ow, o, o_pitch, kernel, stride, pad_top, pad_left */
  static const struct { const char *why; conv_shape s; } shape[] = {
    { "five taps", { 2, 17, 18, 64, 64, 17, 18, 64, 64, 5, 1, 2, 2 } },
    { "five taps, few channels, a group of more", { 1, 16, 17, 24, 40, 16, 17, 40, 48, 5, 1, 2, 2 } },
    { "five taps without padding", { 1, 12, 21, 8, 8, 8, 17, 8, 8, 5, 1, 0, 0 } },
    { "three taps", { 3, 9, 9, 32, 32, 9, 9, 64, 64, 3, 1, 1, 1 } },
    { "three taps, several tiles", { 1, 9, 10, 72, 72, 9, 10, 136, 136, 3, 1, 1, 1 } },
    { "square", { 2, 7, 6, 40, 40, 4, 3, 72, 72, 3, 2, 1, 1 } },
    { "square, one tap", { 2, 9, 9, 136, 136, 9, 9, 136, 136, 1, 1, 0, 0 } },
    { "small, stride 3, padding of its own", { 2, 11, 13, 16, 16, 5, 5, 24, 24, 4, 3, 3, 1 } },
    { "narrow", { 5, 6, 1, 16, 16, 6, 1, 16, 16, 5, 1, 2, 2 } },
    { "one pixel", { 1, 1, 1, 8, 8, 1, 1, 8, 8, 1, 1, 0, 0 } },
    { "image", { 2, 14, 15, 3, 4, 14, 15, 64, 64, 5, 1, 2, 2 } },
    { "image, stride 2", { 2, 14, 15, 3, 4, 6, 6, 72, 72, 4, 2, 0, 0 } },
    { "odd", { 2, 9, 8, 5, 5, 9, 8, 7, 7, 3, 1, 1, 1 } },
    { "odd, a group of more", { 1, 9, 8, 3, 9, 9, 8, 66, 70, 5, 1, 2, 2 } },
    { "image, odd outputs", { 1, 9, 8, 3, 4, 9, 8, 6, 6, 3, 1, 1, 1 } },
  };
  bool grows = true;
  capability_or_bail();
  for (int p = FP32; p <= BF16; p++)
    for (int n = 1; n < 64; n++) {
      conv_shape s = { n, 17, 18, 64, 64, 17, 18, 64, 64, 5, 1, 2, 2 }, more = s;
      more.n++;
      grows = grows && conv_room((precision)p, s) <= conv_room((precision)p, more);
    }
  ok(grows, "fewer images never need more room");
  for (size_t i = 0; i < (count > 1 ? 1 : sizeof shape / sizeof *shape); i++)
    for (int p = FP32; p <= BF16; p++) {
      one((precision)p, 0, shape[i].s, shape[i].why);
      if (tap_failed && count > 1) return done_testing();
      if (p == TF32) one(TF32, 1u << CANDIDATE_TF32_WGRAD, shape[i].s, shape[i].why);
    }
  return done_testing();
}

/* Convolutions by products of warp groups (cuda_wgmma.cu) against plain loops in double, and their statistics and gradient sums
   against those of cuda_conv.cu: emulated, in two orders of the threads, every second shape with sums cut as tensor cores cut them;
   or, compiled by nvcc and linked with the plugin, on a device of capability 9.0. */
#include "gpu/cuda.h"
#include "gpu/cuda_product.h"
#include "kernels.h"
#include "tap.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <vector>
typedef std::vector<float> floats;

static uint32_t drawn = 7;
static float draw() { return (float)(int32_t)(drawn = drawn * 1664525u + 1013904223u) / 2147483648.0f; }

/* Device memory; numbers are stored in precision p. */
struct device {
  precision p;
  size_t count;
  void *at;
  device(precision q, size_t n) : p(q), count(n), at(NULL)
  {
    at = device_memory(n * 4 + 16);
    cudaMemset(at, 0xff, n * 4);
  }
  device(precision q, const floats &v) : device(q, v.size())
  {
    to_device(p, at, v.data(), count);
  }
  ~device() { cudaFree(at); }
  device(const device &) = delete;
  operator void *() const { return at; }
  operator float *() const { return (float *)at; }
  floats back() const
  {
    floats v(count);
    if (!from_device(p, v.data(), at, count)) for (float &f : v) f = NAN;
    return v;
  }
};

static double distance(const floats &found, const floats &expected)
{
  double d = 0, e = 0;
  for (size_t i = 0; i < found.size(); i++)
    d += ((double)found[i] - expected[i]) * ((double)found[i] - expected[i]), e += (double)expected[i] * expected[i];
  return sqrt(d / e);
}

static floats drawing(precision p, size_t n, float scale)
{
  floats v(n);
  for (float &f : v) f = rounded(p, scale * draw());
  return v;
}

/* forward: y (n, oh, ow, o); gradient: dx (n, h, w, c), from dy */
static floats reference(conv_shape s, bool gradient, const floats &from, const floats &w)
{
  std::vector<double> to((size_t)s.n * (gradient ? s.h * s.w * s.c : s.oh * s.ow * s.o));
  for (int n = 0; n < s.n; n++)
    for (int u = 0; u < s.oh; u++)
      for (int v = 0; v < s.ow; v++)
        for (int ky = 0; ky < s.kernel; ky++)
          for (int kx = 0; kx < s.kernel; kx++) {
            const int yy = u + ky - s.pad_top, xx = v + kx - s.pad_left;
            if (yy < 0 || yy >= s.h || xx < 0 || xx >= s.w) continue;
            const size_t x = (size_t)((n * s.h + yy) * s.w + xx) * s.c, y = (size_t)((n * s.oh + u) * s.ow + v) * s.o;
            for (int o = 0; o < s.o; o++)
              for (int c = 0; c < s.c; c++) {
                const double k = w[(size_t)((o * s.kernel + ky) * s.kernel + kx) * s.c + c];
                if (gradient) to[x + c] += from[y + o] * k;
                else to[y + o] += from[x + c] * k;
              }
          }
  return floats(to.begin(), to.end());
}

static const char *const name[] = { "fp32", "tf32", "bf16" };
static const double limit[] = { 0, 1e-3, 4e-3 };                    /* the rounding of what is stored */

/* coef of the statistics that the forward product leaves */
static floats coefficients(precision p, conv_shape s, const void *x, const void *packed, const float *bias, device &y, device &coef)
{
  const int m = s.n * s.oh * s.ow, rows = conv_tile_rows(p, s);
  device partial(FP32, (size_t)((m + rows - 1) / rows) * 2 * s.o), stat(FP32, 2 * (size_t)s.o), ones(FP32, floats(s.o, 1.0f));
  cuda_conv_forward(p, s, (const act *)x, packed, bias, false, (act *)y.at, partial, NULL, 0);
  cuda_norm_finish(rows, m, s.o, partial, ones, ones, coef, stat, 0);
  return coef.back();
}

static void forward(precision p, conv_shape s, const void *packed, const floats &w, const char *why)
{
  const size_t m = (size_t)s.n * s.oh * s.ow;
  const floats hx = drawing(p, (size_t)s.n * s.h * s.w * s.c, 1), hb = drawing(FP32, s.o, 1);
  floats expected = reference(s, false, hx, w);
  device x(p, hx), bias(FP32, hb), y(p, m * s.o), coef(FP32, 4 * (size_t)s.o);
  for (size_t i = 0; i < expected.size(); i++) expected[i] += hb[i % s.o];
  cuda_candidates = 0;
  const floats before = coefficients(p, s, x, packed, bias, y, coef);
  cuda_candidates = 1u << CANDIDATE_GROUPS;
  const floats after = coefficients(p, s, x, packed, bias, y, coef);
  const double d = distance(y.back(), expected), c = distance(after, before);
  for (float &f : expected) f = f > 0 ? f : 0;
  cuda_conv_forward(p, s, (const act *)x.at, packed, bias, true, (act *)y.at, NULL, NULL, 0);
  const floats waited = y.back();
  const double r = distance(waited, expected);
  cuda_candidates = 1u << CANDIDATE_GROUPS_FLIGHT;
  cuda_conv_forward(p, s, (const act *)x.at, packed, bias, true, (act *)y.at, NULL, NULL, 0);
  const floats flown = y.back();
  const bool same = !memcmp(flown.data(), waited.data(), flown.size() * sizeof(float));
  ok(conv_tile_rows(p, s) == NORM_ROWS && d < limit[p] && r < limit[p] && c < limit[p] && same,
     "%s %s: forward %.1e, with ReLU %.1e, statistics %.1e; one stage in flight: %s", name[p], why, d, r, c, same ? "the same bits" : "other bits");
}

static floats gradient_sums(precision p, conv_shape s, const void *dy, const void *packed, const void *z, const float *coef, device &dx)
{
  const int tiles = conv_dx_tiles(p, s);
  device partial(FP32, (size_t)tiles * 2 * s.c), sums(FP32, 2 * (size_t)s.c);
  const norm_tail tail = { (const act *)z, coef, partial };
  cuda_conv_input_gradient(p, s, (const act *)dy, packed, false, (act *)dx.at, &tail, NULL, 0);
  cuda_norm_sums_finish(tiles, s.c, partial, sums, (float *)sums + s.c, 0);
  return sums.back();
}

static void gradient(precision p, conv_shape s, const void *packed, const floats &w, const char *why)
{
  const size_t count = (size_t)s.n * s.h * s.w * s.c;
  const floats hdy = drawing(p, (size_t)s.n * s.oh * s.ow * s.o, 1), hz = drawing(p, count, 1), hc = drawing(FP32, 4 * (size_t)s.c, 1);
  floats expected = reference(s, true, hdy, w);
  device dy(p, hdy), z(p, hz), coef(FP32, hc), dx(p, hz);
  for (size_t i = 0; i < count; i++) expected[i] += hz[i];
  cuda_candidates = 1u << CANDIDATE_GROUPS;
  cuda_conv_input_gradient(p, s, (const act *)dy.at, packed, true, (act *)dx.at, NULL, NULL, 0);
  const double d = distance(dx.back(), expected);
  cuda_candidates = 0;
  const floats before = gradient_sums(p, s, dy, packed, z, coef, dx), masked = dx.back();
  cuda_candidates = 1u << CANDIDATE_GROUPS;
  const floats after = gradient_sums(p, s, dy, packed, z, coef, dx);
  const double t = distance(dx.back(), masked), g = distance(after, before);
  ok(d < limit[p] && t < limit[p] && g < limit[p], "%s %s: gradient added %.1e, masked %.1e, its sums %.1e", name[p], why, d, t, g);
}

/* 48-group-kernels [brief]: brief is the first shape alone, for the runs with planted faults */
int main(int count, char **)
{
  const int capability = capability_or_bail();
  if (capability != 90) {
    printf("1..0 # SKIP products of warp groups need compute capability 9.0; this device has %d.%d\n", capability / 10, capability % 10);
    return 0;
  }
  /* n, h, w, c, c_pitch, oh, ow, o, o_pitch, kernel, stride, pad_top, pad_left */
  static const struct { const char *why; conv_shape s; } shape[] = {
    { "five taps", { 1, 17, 18, 64, 64, 17, 18, 64, 64, 5, 1, 2, 2 } },
    { "five taps, broad", { 1, 6, 17, 64, 64, 6, 17, 128, 128, 5, 1, 2, 2 } },
    { "three taps, two tiles of columns", { 3, 9, 10, 128, 128, 9, 10, 192, 192, 3, 1, 1, 1 } },
    { "three taps, padding of its own", { 2, 9, 11, 64, 64, 8, 12, 64, 64, 3, 1, 0, 2 } },
    { "one tap", { 1, 5, 7, 64, 64, 5, 7, 128, 128, 1, 1, 0, 0 } },
  };
  for (size_t i = 0; i < (count > 1 ? 1 : sizeof shape / sizeof *shape); i++)
    for (int p = TF32; p <= BF16; p++) {
      const conv_shape s = shape[i].s;
      const floats w = drawing((precision)p, (size_t)s.o * s.kernel * s.kernel * s.c, 0.1f);
      device weights(FP32, w), packed(FP32, conv_packed((precision)p, s) / 4 + 1);
      cuda_conv_pack((precision)p, s, weights, packed, 0);
      setenv("EMU_TRUNCATE", i % 2 ? "1" : "0", 1);
      setenv("EMU_ORDER", "1", 1);
      forward((precision)p, s, packed, w, shape[i].why);
      if (tap_failed && count > 1) return done_testing();
      setenv("EMU_ORDER", "-1", 1);
      gradient((precision)p, s, packed, w, shape[i].why);
    }
  return done_testing();
}

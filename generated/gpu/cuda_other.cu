/* cuda_other.cu: operators that only other people's nets have: averages, local response normalisation, tanh, scale. */
#include "gpu/cuda_device.h"

/* give each element a thread */
enum { THREADS = 256 };

WORD size_t element() { return (size_t)blockIdx.x * THREADS + threadIdx.x; }

template <precision P> WORD void hand_back(act *to, size_t i, bool add, float v)
{
  store1<P>(to, i, add ? load1<P>(to, i) + v : v);
}

template <precision P_> struct kind { static constexpr precision P = P_; };

/* f(kind) for the precision at hand */
template <class F> static void by_precision(precision p, F f)
{
  if (p == FP32) f(kind<FP32>());
  else if (p == TF32) f(kind<TF32>());
  else f(kind<BF16>());
}

static unsigned blocks(size_t count) { return (unsigned)((count + THREADS - 1) / THREADS); }
/* average each window */
/* The part of window (u, v) inside the image: rows y0 .. y1 - 1, columns x0 .. x1 - 1. */
struct inside { int y0, y1, x0, x1; };
WORD inside inside_of(const pool_shape &s, int u, int v)
{
  const int y = u * s.stride - s.pad_top, x = v * s.stride - s.pad_left;
  return { max(y, 0), min(y + s.kernel, s.h), max(x, 0), min(x + s.kernel, s.w) };
}
WORD float places(inside w) { return (float)((w.y1 - w.y0) * (w.x1 - w.x0)); }

template <precision P> __global__ void __launch_bounds__(THREADS)
average_forward(pool_shape s, size_t count, const act *x, act *y)
{
  const size_t i = element(), pixel = i / s.c;
  if (i >= count) return;
  const int c = (int)(i % s.c), v = (int)(pixel % s.ow), u = (int)(pixel / s.ow % s.oh);
  const size_t image = pixel / s.ow / s.oh * s.h;
  const inside w = inside_of(s, u, v);
  float sum = 0;
  for (int yy = w.y0; yy < w.y1; yy++)
    for (int xx = w.x0; xx < w.x1; xx++) sum += load1<P>(x, ((image + yy) * s.w + xx) * s.c + c);
  store1<P>(y, i, sum / places(w));
}
/* average backward */
template <precision P> __global__ void __launch_bounds__(THREADS)
average_backward(pool_shape s, size_t count, const act *dy, bool add, act *dx)
{
  const size_t i = element(), pixel = i / s.c;
  if (i >= count) return;
  const int c = (int)(i % s.c), x = (int)(pixel % s.w) + s.pad_left, y = (int)(pixel / s.w % s.h) + s.pad_top;
  const size_t image = pixel / s.w / s.h * s.oh;
  const int u0 = y < s.kernel ? 0 : (y - s.kernel) / s.stride + 1, v0 = x < s.kernel ? 0 : (x - s.kernel) / s.stride + 1;
  float sum = 0;
  for (int u = u0; u < s.oh && u * s.stride <= y; u++)
    for (int v = v0; v < s.ow && v * s.stride <= x; v++)
      sum += load1<P>(dy, ((image + u) * s.ow + v) * s.c + c) / places(inside_of(s, u, v));
  hand_back<P>(dx, i, add, sum);
}

void cuda_average_forward(precision p, pool_shape s, const act *x, act *y, cudaStream_t stream)
{
  const size_t count = (size_t)s.n * s.oh * s.ow * s.c;
  by_precision(p, [&](auto k) { LAUNCH((average_forward<k.P>), blocks(count), THREADS, 0, stream, s, count, x, y); });
}

void cuda_average_backward(precision p, pool_shape s, const act *dy, bool add, act *dx, cudaStream_t stream)
{
  const size_t count = (size_t)s.n * s.h * s.w * s.c;
  by_precision(p, [&](auto k) {
    LAUNCH((average_backward<k.P>), blocks(count), THREADS, 0, stream, s, count, dy, add, dx);
  });
}
/* divide by neighbouring channels */
/* s of channel j of the pixel that begins at `pixel`. */
template <precision P> WORD float response_at(response r, const act *x, size_t pixel, int c, int j)
{
  float sum = 0;
  for (int t = max(j - r.window / 2, 0); t <= min(j + r.window / 2, c - 1); t++) {
    const float v = load1<P>(x, pixel + t);
    sum = fmaf(v, v, sum);
  }
  return fmaf(r.alpha, sum, r.k);
}

template <precision P> __global__ void __launch_bounds__(THREADS)
response_forward(size_t count, int c, response r, const act *x, act *y)
{
  const size_t i = element();
  if (i >= count) return;
  const int j = (int)(i % c);
  store1<P>(y, i, load1<P>(x, i) * powf(response_at<P>(r, x, i - j, c, j), -r.beta));
}

template <precision P> __global__ void __launch_bounds__(THREADS)
response_backward(size_t count, int c, response r, const act *x, const act *dy, bool add, act *dx)
{
  const size_t i = element();
  if (i >= count) return;
  const int j = (int)(i % c);
  const size_t pixel = i - j;
  float sum = 0;
  for (int t = max(j - r.window / 2, 0); t <= min(j + r.window / 2, c - 1); t++)
    sum = fmaf(load1<P>(dy, pixel + t) * load1<P>(x, pixel + t), powf(response_at<P>(r, x, pixel, c, t), -r.beta - 1), sum);
  const float straight = load1<P>(dy, i) * powf(response_at<P>(r, x, pixel, c, j), -r.beta);
  hand_back<P>(dx, i, add, straight - 2 * r.alpha * r.beta * load1<P>(x, i) * sum);
}
/* launch it in the precision at hand */
void cuda_response_forward(precision p, size_t pixels, int c, response r, const act *x, act *y, cudaStream_t stream)
{
  const size_t count = pixels * (size_t)c;
  by_precision(p, [&](auto k) {
    LAUNCH((response_forward<k.P>), blocks(count), THREADS, 0, stream, count, c, r, x, y);
  });
}

void cuda_response_backward(precision p, size_t pixels, int c, response r, const act *x, const act *dy, bool add, act *dx,
                            cudaStream_t stream)
{
  const size_t count = pixels * (size_t)c;
  by_precision(p, [&](auto k) {
    LAUNCH((response_backward<k.P>), blocks(count), THREADS, 0, stream, count, c, r, x, dy, add, dx);
  });
}
/* bend by a tanh, or scale, on a device */
template <precision P> __global__ void __launch_bounds__(THREADS)
tanh_forward(size_t count, float amplitude, float slope, const act *x, act *y)
{
  const size_t i = element();
  if (i < count) store1<P>(y, i, amplitude * tanhf(slope * load1<P>(x, i)));
}

template <precision P> __global__ void __launch_bounds__(THREADS)
tanh_backward(size_t count, float amplitude, float slope, const act *x, const act *dy, bool add, act *dx)
{
  const size_t i = element();
  if (i >= count) return;
  const float t = tanhf(slope * load1<P>(x, i));
  hand_back<P>(dx, i, add, load1<P>(dy, i) * amplitude * slope * (1 - t * t));
}

template <precision P> __global__ void __launch_bounds__(THREADS)
scale(size_t count, float factor, const act *from, bool add, act *to)
{
  const size_t i = element();
  if (i < count) hand_back<P>(to, i, add, factor * load1<P>(from, i));
}
/* launch tanh and scale */
void cuda_tanh_forward(precision p, size_t count, float amplitude, float slope, const act *x, act *y, cudaStream_t stream)
{
  by_precision(p, [&](auto k) {
    LAUNCH((tanh_forward<k.P>), blocks(count), THREADS, 0, stream, count, amplitude, slope, x, y);
  });
}

void cuda_tanh_backward(precision p, size_t count, float amplitude, float slope, const act *x, const act *dy, bool add,
                        act *dx, cudaStream_t stream)
{
  by_precision(p, [&](auto k) {
    LAUNCH((tanh_backward<k.P>), blocks(count), THREADS, 0, stream, count, amplitude, slope, x, dy, add, dx);
  });
}

void cuda_scale(precision p, size_t count, float factor, const act *from, bool add, act *to, cudaStream_t stream)
{
  by_precision(p, [&](auto k) { LAUNCH((scale<k.P>), blocks(count), THREADS, 0, stream, count, factor, from, add, to); });
}

/* conv.cu: the convolution kernels against plain loops in double over odd shapes, in every precision.
   conv [CASE...]: TAP; operands are rounded as they are stored, so that what is left to differ is the order of the sums and the
   rounding of the result. Under nvcc it is a program for a GPU. */
#define ENOUGH_BLOCKS 4
#include <stdlib.h>
#ifdef PLANTED                                       /* by tests/emu/plant: PLANTED=n leaves out line n */
static int planted = getenv("PLANTED") ? atoi(getenv("PLANTED")) : -1;
#include "cuda_conv.cu"
#else
#include "gpu/cuda_conv.cu"
#endif
#include <math.h>
#include <string.h>
#include <vector>
#include "../kernels.h"
#include "../tap.h"

typedef std::vector<float> floats;
typedef std::vector<double> doubles;

static float draw()
{
  static uint64_t state = 45;
  state = state * 6364136223846793005u + 1442695040888963407u;
  return (float)((uint32_t)(state >> 32) >> 8) / (1 << 23) - 1;
}

static floats drawn(precision p, size_t n)
{
  floats v(n);
  for (float &f : v) f = rounded(p, draw());
  return v;
}

/* ---- tensors on the device: n pixels, c of pitch channels from `first` on are ours, the rest must stay as it is ---- */
struct on_device {
  precision p;
  unsigned char *at;
  size_t bytes;
  on_device(precision q, size_t count) : p(q), at(NULL), bytes(count * act_bytes(q)) { cudaMalloc((void **)&at, bytes ? bytes : 1); }
  on_device(precision q, const floats &v) : on_device(q, v.size())
  {
    to_device(p, at, v.data(), v.size());
  }
  ~on_device() { cudaFree(at); }
  on_device(const on_device &) = delete;
  floats back() const
  {
    floats v(bytes / act_bytes(p), 0);
    if (!from_device(p, v.data(), at, v.size())) for (float &f : v) f = NAN;
    return v;
  }
};

/* ---- the truth ---- */
struct sums { doubles v, size; };                    /* and the sum of the terms' magnitudes */

static sums forward_truth(const conv_shape &s, const floats &x, const floats &w)
{
  sums t = { doubles((size_t)(s.n * s.oh * s.ow * s.o)), {} };
  t.size = t.v;
  size_t to = 0;
  for (int n = 0; n < s.n; n++) for (int u = 0; u < s.oh; u++) for (int v = 0; v < s.ow; v++) for (int q = 0; q < s.o; q++, to++)
    for (int ky = 0; ky < s.kernel; ky++) for (int kx = 0; kx < s.kernel; kx++) {
      int i = u * s.stride + ky - s.pad_top, j = v * s.stride + kx - s.pad_left;
      if (i < 0 || j < 0 || i >= s.h || j >= s.w) continue;
      const float *from = &x[(size_t)(((n * s.h + i) * s.w + j) * s.c_pitch)], *by = &w[(size_t)(((q * s.kernel + ky) * s.kernel + kx) * s.c)];
      double sum = 0, size = 0;
      for (int c = 0; c < s.c; c++) {
        const double d = (double)from[c] * by[c];
        sum += d, size += fabs(d);
      }
      t.v[to] += sum, t.size[to] += size;
    }
  return t;
}

static sums gradient_truth(const conv_shape &s, const floats &dy, const floats &w)
{
  sums t = { doubles((size_t)(s.n * s.h * s.w * s.c)), {} };
  t.size = t.v;
  for (int n = 0; n < s.n; n++) for (int u = 0; u < s.oh; u++) for (int v = 0; v < s.ow; v++) for (int q = 0; q < s.o; q++)
    for (int ky = 0; ky < s.kernel; ky++) for (int kx = 0; kx < s.kernel; kx++) {
      int i = u * s.stride + ky - s.pad_top, j = v * s.stride + kx - s.pad_left;
      if (i < 0 || j < 0 || i >= s.h || j >= s.w) continue;
      const double g = dy[(size_t)(((n * s.oh + u) * s.ow + v) * s.o_pitch + q)];
      const float *by = &w[(size_t)(((q * s.kernel + ky) * s.kernel + kx) * s.c)];
      const size_t to = (size_t)(((n * s.h + i) * s.w + j) * s.c);
      double *sum = &t.v[to], *size = &t.size[to];
      for (int c = 0; c < s.c; c++) {
        const double d = g * by[c];
        sum[c] += d, size[c] += fabs(d);
      }
    }
  return t;
}

/* worst error, in units of what is allowed: a few roundings of fp32 on the way, four times as many with Winograd's transforms, and one
   of the result */
static double misfit(precision p, const floats &got, int pitch, const sums &want, int c)
{
  double worst = 0, half = p == FP32 ? 6e-8 : p == TF32 ? 4.9e-4 : 3.91e-3;
  for (size_t i = 0; i < want.v.size(); i++) {
    double y = got[i / (size_t)c * (size_t)pitch + i % (size_t)c];
    double allowed = (cuda_candidates == 1u << CANDIDATE_WINOGRAD ? 8e-6 : 2e-6) * want.size[i] + half * fabs(want.v[i]) + 1e-30, d = fabs(y - want.v[i]) / allowed;
    worst = d > worst || d != d ? d : worst;
    if (d != d) return HUGE_VAL;
  }
  return worst;
}

/* what lies between the channels of a pitch is not ours */
static bool gaps_kept(const floats &got, const floats &before, int pitch, int c)
{
  for (size_t i = 0; i < got.size(); i++)
    if ((int)(i % (size_t)pitch) >= c && memcmp(&got[i], &before[i], 4)) return false;
  return true;
}

/* ---- one case ---- */
static const char *const precision_name[] = { "fp32", "tf32", "bf16" };
static const char *name_of(candidate c) { return c == CANDIDATE_TILES ? "tiles" : c == CANDIDATE_SWIZZLE ? "swizzle" : "winograd"; }
static const char *const tile_name[] = { "128x128", "128x64", "64x64", "8 bytes", "general", "single", "groups", "Winograd" };
static bool close_to(double a, double b, double size) { return fabs(a - b) <= 1e-5 * size + 1e-7; }

static void try_forward(precision p, const conv_shape &s, const floats &x, const floats &w, bool relu, bool plain)
{
  gather g = forward_gather(p, s);
  floats bias = drawn(FP32, (size_t)s.o), before = drawn(p, (size_t)(s.n * s.oh * s.ow * s.o_pitch));
  int rows = conv_tile_rows(p, s), m = s.n * s.oh * s.ow, tiles = (m + rows - 1) / rows;
  on_device dx(p, x), dw(FP32, w), db(FP32, bias), dy(p, before), packed(FP32, conv_packed(p, s) / 4), room(FP32, conv_product_room(p, s) / 4), part(FP32, (size_t)(tiles * 2 * s.o));
  sums t = forward_truth(s, x, w);
  for (size_t i = 0; i < t.v.size(); i++) {
    double b = bias[i % (size_t)s.o];
    t.v[i] += b, t.size[i] += fabs(b);
    if (relu && t.v[i] < 0) t.v[i] = 0;
  }
  cuda_conv_pack(p, s, (const float *)dw.at, packed.at, NULL);
  if (plain) cuda_conv_plain(p, s, false, dx.at, packed.at, (const float *)db.at, dy.at, NULL);
  else cuda_conv_forward(p, s, dx.at, packed.at, (const float *)db.at, relu, dy.at, (float *)part.at, room.at, NULL);
  floats y = dy.back(), got = part.back();
  double d = misfit(p, y, s.o_pitch, t, s.o);
  ok(d <= 1 && gaps_kept(y, before, s.o_pitch, s.o), "%s forward%s, %s: error %.2g of what is allowed", precision_name[p],
     relu ? " relu" : "", plain ? "plain" : tile_name[which_tile(p, &g)], d);
  if (plain) return;
  bool good = true;
  for (int k = 0; k < tiles; k++)
    for (int q = 0; q < s.o; q++) {
      int n = m - k * rows < rows ? m - k * rows : rows;
      double sum = 0, square = 0, size = 0;
      for (int r = k * rows; r < k * rows + n; r++) sum += y[(size_t)(r * s.o_pitch + q)], size += fabs(y[(size_t)(r * s.o_pitch + q)]);
      for (int r = k * rows; r < k * rows + n; r++) square += pow(y[(size_t)(r * s.o_pitch + q)] - sum / n, 2);
      good = good && close_to(got[(size_t)((2 * k) * s.o + q)], sum / n, size / n) && close_to(got[(size_t)((2 * k + 1) * s.o + q)], square, square);
    }
  ok(good, "%s statistics of %d tiles of %d rows", precision_name[p], tiles, rows);
}

enum { SET, ADD, TAIL, PLAIN_KERNEL };
static void try_gradient(precision p, const conv_shape &s, const floats &w, int mode)
{
  gather g = backward_gather(p, s);
  floats dy = drawn(p, (size_t)(s.n * s.oh * s.ow * s.o_pitch)), before = drawn(p, (size_t)(s.n * s.h * s.w * s.c_pitch));
  floats z = drawn(p, before.size()), coef = drawn(FP32, (size_t)(4 * s.c));
  int tiles = conv_dx_tiles(p, s), m = s.n * s.h * s.w, rows = tile_rows(which_tile(p, &g));
  on_device ddy(p, dy), dw(FP32, w), dx(p, before), dz(p, z), dc(FP32, coef), packed(FP32, conv_packed(p, s) / 4), room(FP32, conv_product_room(p, s) / 4), part(FP32, (size_t)(tiles * 2 * s.c));
  norm_tail tail = { dz.at, (const float *)dc.at, (float *)part.at };
  cuda_conv_pack(p, s, (const float *)dw.at, packed.at, NULL);
  if (mode == PLAIN_KERNEL) cuda_conv_plain(p, s, true, ddy.at, packed.at, NULL, dx.at, NULL);
  else cuda_conv_input_gradient(p, s, ddy.at, packed.at, mode == ADD, dx.at, mode == TAIL ? &tail : NULL, room.at, NULL);
  sums t = gradient_truth(s, dy, w);
  for (size_t i = 0; i < t.v.size(); i++) {
    size_t c = i % (size_t)s.c, at = i / (size_t)s.c * (size_t)s.c_pitch + c;
    if (mode == ADD) t.v[i] += before[at], t.size[i] += fabs(before[at]);
    if (mode == TAIL && !(fmaf(z[at], coef[2 * (size_t)s.c + c], coef[3 * (size_t)s.c + c]) > 0)) t.v[i] = t.size[i] = 0;
  }
  floats x = dx.back(), got = part.back();
  double d = misfit(p, x, s.c_pitch, t, s.c);
  static const char *const name[] = { "", " added", " with a norm's tail", "" };
  ok(d <= 1 && gaps_kept(x, before, s.c_pitch, s.c), "%s gradient%s, %s: error %.2g of what is allowed", precision_name[p], name[mode],
     mode == PLAIN_KERNEL ? "plain" : tile_name[which_tile(p, &g)], d);
  if (mode != TAIL) return;
  bool good = tiles == (m + rows - 1) / rows;
  for (int k = 0; k < tiles; k++)
    for (int c = 0; c < s.c; c++) {
      double sum = 0, scale = 0, size = 0, length = 0;
      for (int r = k * rows; r < k * rows + rows && r < m; r++) {
        size_t at = (size_t)(r * s.c_pitch + c);
        double h = ((double)z[at] - coef[(size_t)c]) * coef[(size_t)(s.c + c)];
        sum += x[at], size += fabs(x[at]), scale += x[at] * h, length += fabs(x[at] * h);
      }
      good = good && close_to(got[(size_t)(2 * k * s.c + c)], sum, size) && close_to(got[(size_t)((2 * k + 1) * s.c + c)], scale, length);
    }
  ok(good, "%s gradient sums of %d tiles of %d rows", precision_name[p], tiles, rows);
}

/* ---- banks: passes of eight threads' 16 bytes, 32 banks of 4 bytes ---- */
static int passes(const int at[8])
{
  int most = 0;
  for (int group = 0; group < 8; group++) {          /* of four banks; the same bytes for several threads are one access */
    int places = 0;
    for (int i = 0; i < 8; i++) {
      bool fresh = at[i] / 16 % 8 == group;
      for (int j = 0; j < i; j++) fresh = fresh && at[j] != at[i];
      places += fresh;
    }
    most = places > most ? places : most;
  }
  return most;
}

template <bool SWIZZLE> static void try_banks(int copies)
{
  int copy = 0, load = 0, ffma = 0, at[8];
  for (int first = 0; first < 128; first += 2)
    for (int piece = 0; piece < 64; piece += 16) {
      for (int i = 0; i < 8; i++) at[i] = spot<SWIZZLE>(first + i / 4, i % 4 * 16);
      copy = passes(at) > copy ? passes(at) : copy;
      for (int i = 0; i < 8; i++) at[i] = spot<SWIZZLE>(first / 8 * 8 + i, piece);
      load = passes(at) > load ? passes(at) : load;
      for (int i = 0; i < 8; i++) at[i] = spot<SWIZZLE>(first + i / 4, piece);
      ffma = passes(at) > ffma ? passes(at) : ffma;
      for (int i = 0; i < 8; i++) at[i] = spot<SWIZZLE>(first / 8 * 8 + 2 * (i % 4) + first / 2 % 2, piece);
      ffma = passes(at) > ffma ? passes(at) : ffma;
    }
  ok(copy == copies && load == 1 && ffma == 1, "banks, %s: a copy passes %d times, ldmatrix %d, FFMA's reads %d",
     SWIZZLE ? "swizzle" : "pitch 80", copy, load, ffma);
}

/* Again with each candidate that computes this shape in another way. */
static void try_candidates(precision p, const conv_shape &s, const floats &x, const floats &w)
{
  const gather ahead = forward_gather(p, s), back = backward_gather(p, s);
  cuda_multiprocessors = 3;
  for (candidate c : { CANDIDATE_TILES, CANDIDATE_SWIZZLE, CANDIDATE_WINOGRAD }) {
    const tile_kind was[] = { which_tile(p, &ahead), which_tile(p, &back) };
    cuda_candidates = 1u << c;
    const bool moves = c == CANDIDATE_SWIZZLE, forward = moves ? was[0] <= TILE_64_64 : which_tile(p, &ahead) != was[0];
    const bool backward = moves ? !forward && was[1] <= TILE_64_64 : which_tile(p, &back) != was[1];
    if (forward || backward) printf("# with %s\n", name_of(c));
    if (forward) try_forward(p, s, x, w, true, false);
    if (backward) try_gradient(p, s, w, TAIL);
    if (backward && c == CANDIDATE_WINOGRAD) try_gradient(p, s, w, ADD);
    cuda_candidates = 0;
  }
}

/* n h w, c and pitch, o and pitch, kernel stride, pads: top left bottom right */
static const struct { int n, h, w, c, c_pitch, o, o_pitch, kernel, stride, pad[4]; } cases[] = {
  { 2, 9, 11, 16, 16, 64, 64, 5, 1, { 2, 2, 2, 2 } },                /* like conv1b */
  { 3, 13, 14, 32, 32, 64, 64, 3, 1, { 1, 1, 1, 1 } },
  { 3, 13, 14, 8, 8, 136, 136, 3, 1, { 1, 1, 1, 1 } },               /* like conv3 */
  { 2, 17, 15, 3, 4, 64, 64, 5, 1, { 2, 2, 2, 2 } },                 /* the padded image */
  { 2, 10, 9, 4, 4, 20, 20, 5, 1, { 2, 2, 2, 2 } },
  { 2, 10, 9, 3, 3, 5, 5, 3, 1, { 1, 1, 1, 1 } },                    /* nothing is even */
  { 2, 11, 12, 16, 16, 24, 24, 3, 2, { 0, 1, 1, 0 } },               /* strides */
  { 1, 12, 13, 8, 8, 16, 16, 5, 3, { 2, 2, 2, 2 } },
  { 2, 9, 9, 8, 8, 8, 8, 1, 1, { 0, 0, 0, 0 } },                     /* one tap */
  { 2, 9, 9, 8, 8, 8, 8, 1, 2, { 0, 0, 0, 0 } },
  { 2, 7, 9, 8, 24, 8, 16, 3, 1, { 1, 1, 1, 1 } },                   /* one of several groups */
  { 1, 10, 9, 8, 8, 16, 16, 17, 1, { 8, 8, 8, 8 } },                /* wider than the masks */
  { 1, 9, 10, 8, 8, 8, 8, 15, 1, { 7, 7, 7, 7 } },
  { 2, 9, 8, 6, 6, 66, 66, 2, 1, { 0, 0, 1, 1 } },
  { 1, 9, 17, 48, 48, 20, 20, 4, 1, { 0, 3, 2, 1 } },                /* several taps a tile of K, uneven */
  { 1, 1, 1, 8, 8, 8, 8, 3, 1, { 1, 1, 1, 1 } },
  { 1, 6, 5, 1, 1, 1, 1, 3, 1, { 4, 0, 0, 4 } },                     /* more padding than kernel */
};

/* ---- the candidate fc1-split ---- */
static void try_fc(int n, int in, int out, bool relu)
{
  const floats x = drawn(FP32, (size_t)(n * in)), w = drawn(FP32, (size_t)(out * in)), b = drawn(FP32, (size_t)out);
  on_device dx(FP32, x), dw(FP32, w), db(FP32, b), dy(FP32, (size_t)(n * out)), room(FP32, fc_split_room(n, in, out) / 4);
  const bool ran = cuda_fc_split(n, in, out, (float *)dx.at, (float *)dw.at, (float *)db.at, relu, room.at, (float *)dy.at, NULL);
  const floats y = dy.back();
  sums t = { doubles((size_t)(n * out)), doubles((size_t)(n * out)) };
  for (int i = 0; i < n; i++)
    for (int o = 0; o < out; o++) {
      double v = b[(size_t)o], size = fabs(v);
      for (int k = 0; k < in; k++) {
        const double d = (double)x[(size_t)(i * in + k)] * w[(size_t)(o * in + k)];
        v += d, size += fabs(d);
      }
      t.v[(size_t)(i * out + o)] = relu && v < 0 ? 0 : v, t.size[(size_t)(i * out + o)] = size;
    }
  const double d = misfit(FP32, y, out, t, out);
  ok(ran && d <= 1, "fully connected in %d slices, %d images, %d inputs, %d outputs: error %.2g of what is allowed", deal_of(in, out).slices, n, in, out, d);
}

/* ---- the candidate tiles: its choice by hand, rows x columns on so many multiprocessors ---- */
static void try_choices()
{
  static const struct { int rows, columns, processors; tile_kind kind; } choice[] = {
    { 39200, 64, 132, TILE_64_64 },                  /* conv2's gradient: 5 x 4096 against 3 x 8192 and 3 x 16384 */
    { 9248, 512, 132, TILE_64_64 },                  /* conv3: 9 x 4096, 5 x 8192, 3 x 16384 */
    { 16896, 128, 132, TILE_128_128 },               /* 4 x 4096, 2 x 8192, 1 x 16384: all the same */
    { 16896, 64, 132, TILE_128_64 },
    { 16896, 64, 264, TILE_64_64 },                  /* 1 x 4096, 1 x 8192 */
    { 129, 64, 1, TILE_64_64 },                      /* 3 x 4096, 2 x 8192, 2 x 16384 */
  };
  bool good = true;
  for (const auto &c : choice) {
    gather g = { NULL, NULL, 1, 1, 64, 64, c.rows, 1, 1, c.columns, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0 };
    cuda_candidates = 1u << CANDIDATE_TILES, cuda_multiprocessors = c.processors;
    const tile_kind kind = which_tile(FP32, &g);
    if (kind != c.kind) printf("# %d x %d on %d: %d, not %d\n", c.rows, c.columns, c.processors, kind, c.kind), good = false;
  }
  cuda_candidates = 0;
  ok(good, "tiles: the least number of rounds times sums");
}

int main(int argc, char **argv)
{
  capability_or_bail();
  try_fc(32, 1168, 136, true), try_fc(5, 272, 7, false), try_fc(33, 144, 130, true), try_fc(1, 16, 1, false);
  ok(!fc_split_room(3, 24, 5), "fully connected: 24 inputs are no whole tiles");
  try_choices(), try_banks<false>(2), try_banks<true>(1);
  for (int i = 0; i < (int)(sizeof cases / sizeof *cases); i++) {
    auto k = cases[i];
    bool asked = argc == 1;
    for (int j = 1; j < argc; j++) asked = asked || atoi(argv[j]) == i;
    if (!asked) continue;
    conv_shape s = { k.n, k.h, k.w, k.c, k.c_pitch, (k.h + k.pad[0] + k.pad[2] - k.kernel) / k.stride + 1,
                     (k.w + k.pad[1] + k.pad[3] - k.kernel) / k.stride + 1, k.o, k.o_pitch, k.kernel, k.stride, k.pad[0], k.pad[1] };
    printf("# %d x %d x %d x %d -> %d x %d x %d, kernel %d, stride %d\n", s.n, s.h, s.w, s.c, s.oh, s.ow, s.o, s.kernel, s.stride);
    for (int j = 0; j < 3; j++) {
      precision p = (precision)j;
      floats w = drawn(p, (size_t)(s.o * s.kernel * s.kernel * s.c)), x = drawn(p, (size_t)(s.n * s.h * s.w * s.c_pitch));
      if (s.c == 3 && s.c_pitch == 4)
        for (size_t e = 3; e < x.size(); e += 4) x[e] = 0;
      for (int mode = 0; mode < 3; mode++) try_forward(p, s, x, w, mode == 1, mode == 2);
      for (int mode = SET; mode <= PLAIN_KERNEL; mode++) try_gradient(p, s, w, mode);
      try_candidates(p, s, x, w);
      if (tap_failed && getenv("PLANTED")) return done_testing();
    }
  }
  return done_testing();
}

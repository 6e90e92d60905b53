/* cuda_conv.cu: convolution forward and the gradient of its input, as one gathered matrix product. */
#include "gpu/cuda_device.h"
#include "gpu/cuda_product.h"

/* turn a convolution into a product */
enum { K_BYTES = 64 };

static int channels(int c, int pitch) { return c == 3 && pitch == 4 ? 4 : c; }

static void split_depth(precision p, gather *g)
{
  int k = K_BYTES / (int)act_bytes(p), taps = k / g->c;
  g->depth = (g->kernel * g->kernel * g->c + k - 1) / k;
  g->line = g->depth * k;
  g->step_c = k % g->c, g->step_y = taps / g->kernel, g->step_x = taps % g->kernel;
}

static gather forward_gather(precision p, conv_shape s)
{
  gather g = { NULL, NULL, s.h, s.w, channels(s.c, s.c_pitch), s.c_pitch, s.n * s.oh * s.ow, s.oh, s.ow, s.o,
               s.kernel, s.stride, 1, s.pad_top, s.pad_left, 0, 0, 0, 0, 0 };
  split_depth(p, &g);
  return g;
}

static gather backward_gather(precision p, conv_shape s)
{
  gather g = { NULL, NULL, s.oh, s.ow, channels(s.o, s.o_pitch), s.o_pitch, s.n * s.h * s.w, s.h, s.w, s.c,
               s.kernel, 1, s.stride, s.kernel - 1 - s.pad_top, s.kernel - 1 - s.pad_left, 0, 0, 0, 0, 0 };
  split_depth(p, &g);
  return g;
}
/* find a row's pixel under a tap */
/* Where a row's window begins. The plain case (d = 1, kernel at most 15, fewer than 2^31 elements): at is the
   element of the window's corner, bits ky and 16 + kx of taps say which taps are inside. Otherwise at is the
   image's first pixel and (y, x) the corner. */
typedef struct __align__(16) { int at; uint32_t taps; int y, x; } place;

template <bool PLAIN> WORD place find_row(const gather &g, int row)
{
  place p = { 0, 0, -(1 << 30), 0 };
  if (row >= g.rows) return p;
  int image = row / (g.u * g.v), rest = row - image * g.u * g.v, u = rest / g.v;
  p.y = u * g.a - g.pad_top, p.x = (rest - u * g.v) * g.a - g.pad_left, p.at = image * g.h * g.w;
  if (!PLAIN) return p;
  p.at = (p.at + p.y * g.w + p.x) * g.pitch;
  for (int k = 0; k < g.kernel; k++) {
    if ((unsigned)(p.y + k) < (unsigned)g.h) p.taps |= 1u << k;
    if ((unsigned)(p.x + k) < (unsigned)g.w) p.taps |= 65536u << k;
  }
  return p;
}

/* the source pixel under a tap of a row that is not plain; false: there is none */
WORD bool find_pixel(const gather &g, const place &p, int ky, int kx, int *pixel)
{
  int y = p.y + ky, x = p.x + kx, sy = y / g.d, sx = x / g.d;
  bool inside = ky < g.kernel && y >= 0 && x >= 0 && sy * g.d == y && sx * g.d == x && sy < g.h && sx < g.w;
  *pixel = inside ? p.at + sy * g.w + sx : 0;
  return inside;
}
/* convolve, one thread an element */
template <precision P> __global__ void conv_plain(gather g, ending e)
{
  size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= (size_t)g.rows * (size_t)g.columns) return;
  int row = (int)(i / (size_t)g.columns), q = (int)(i % (size_t)g.columns), pixel;
  place p = find_row<false>(g, row);
  size_t w = (size_t)q * (size_t)g.line, to = (size_t)row * (size_t)e.pitch + (size_t)q;
  float sum = 0;
  for (int ky = 0; ky < g.kernel; ky++)
    for (int kx = 0; kx < g.kernel; kx++, w += g.c)
      if (find_pixel(g, p, ky, kx, &pixel))
        for (int c = 0; c < g.c; c++)
          sum = fmaf(load1<P>(g.source, (size_t)pixel * (size_t)g.pitch + (size_t)c),
                     load1<P>(g.weight, w + (size_t)c), sum);
  if (e.bias) sum += e.bias[q];
  if (e.add) sum += load1<P>(e.target, to);
  store1<P>(e.target, to, e.relu ? fmaxf(sum, 0) : sum);
}
/* lay out a tile in shared memory */
enum { STAGES = 3 };

/* Bytes from a row to the next. */
template <bool SWIZZLE> struct row_of { enum { PITCH = SWIZZLE ? K_BYTES : K_BYTES + 16 }; };

/* Where byte b of row r is; b: the first of a piece of 16 when there is a swizzle. A row 8 further on is 8 pitches further. */
template <bool SWIZZLE> __host__ WORD int spot(int r, int b)
{
  return r * row_of<SWIZZLE>::PITCH + (SWIZZLE ? b ^ r / 2 % 4 * 16 : b);
}

/* A tile of BM x BN sums: a stage holds BM rows of X, then BN rows of W; behind the stages stands the table
   of rows. */
template <precision P, int BM, int BN, bool SWIZZLE = false> struct tile {
  typedef typename stored<P>::word word;
  enum { THREADS = BM * BN / 64, PITCH = row_of<SWIZZLE>::PITCH, STAGE = (BM + BN) * PITCH, BYTES = STAGES * STAGE + BM * (int)sizeof(place),
         K = K_BYTES / (int)sizeof(word), ACROSS = BN / 32, DOWN = BM / 64 };
};
/* walk along the taps without dividing */
typedef struct { int y, x, c; } cursor;              /* the tap and channel at which a chunk begins */

WORD cursor cursor_at(const gather &g, int k)
{
  int tap = k / g.c, y = tap / g.kernel;
  cursor at = { y, tap - y * g.kernel, k - tap * g.c };
  return at;
}

WORD void advance(const gather &g, cursor *at)
{
  at->c += g.step_c, at->x += g.step_x, at->y += g.step_y;
  if (at->c >= g.c) at->c -= g.c, at->x++;
  if (at->x >= g.kernel) at->x -= g.kernel, at->y++;
}
/* copy a piece of a row */
template <int BYTES> WORD void copy_chunk(void *to, const void *from, bool valid)
{
  if (BYTES == 16) copy_async16(to, from, valid);
  else if (BYTES == 8) copy_async8(to, from, valid);
  else if (BYTES == 4) copy_async4(to, from, valid);
  else *(uint16_t *)to = valid ? *(const uint16_t *)from : (uint16_t)0;
}
/* load rows of the image */
template <precision P, int BM, int BN, int CHUNK, bool PLAIN, bool SWIZZLE>
WORD void load_left(const gather &g, cursor *at, const place *table, unsigned char *to)
{
  typedef tile<P, BM, BN, SWIZZLE> T;
  typedef typename T::word word;
  enum { CHUNKS = K_BYTES / CHUNK };
  static_assert(!SWIZZLE || (CHUNK == 16 && T::THREADS / CHUNKS % 8 == 0), "a thread's rows are exchanged alike");
  const word *source = (const word *)g.source;
  int column = threadIdx.x % CHUNKS, first = threadIdx.x / CHUNKS, pixel;
  int move = (at->y * g.w + at->x) * g.pitch + at->c;
  uint32_t tap = 1u << at->y | 65536u << at->x;
  to += spot<SWIZZLE>(first, column * CHUNK);
#pragma unroll
  for (int i = 0; i < BM; i += T::THREADS / CHUNKS) {
    const place *row = table + first + i;
    if (PLAIN)
      copy_chunk<CHUNK>(to + i * T::PITCH, source + (ptrdiff_t)(row->at + move), (row->taps & tap) == tap);
    else {
      bool inside = find_pixel(g, *row, at->y, at->x, &pixel);
      copy_chunk<CHUNK>(to + i * T::PITCH, source + (size_t)pixel * (size_t)g.pitch + at->c, inside);
    }
  }
  advance(g, at);
}
/* load rows of the weights */
template <precision P, int BM, int BN, bool SWIZZLE>
WORD void load_right(const gather &g, int n0, int k, unsigned char *to)
{
  typedef tile<P, BM, BN, SWIZZLE> T;
  typedef typename T::word word;
  int column = threadIdx.x % 4, first = threadIdx.x / 4;
  const word *w = (const word *)g.weight + (size_t)(n0 + first) * (size_t)g.line + k + column * (16 / sizeof(word));
  to += spot<SWIZZLE>(first, column * 16);
#pragma unroll
  for (int i = 0; i < BN; i += T::THREADS / 4)
    copy_async16(to + i * T::PITCH, w + (size_t)i * (size_t)g.line, n0 + first + i < g.columns);
}
/* multiply a tile by FFMA */
/* sum[mi][f][2 h + e] += row 16 mi + 8 h + g of a, column 8 f + 2 t + e of b, over one tile of K; a and b: the
   warp's first rows */
template <bool SWIZZLE> WORD void multiply_ffma(const unsigned char *a, const unsigned char *b, float sum[4][4][4])
{
  enum { PITCH = row_of<SWIZZLE>::PITCH };
  int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
#pragma unroll 1
  for (int k = 0; k < K_BYTES; k += 16) {
    float4 x[8];
#pragma unroll
    for (int i = 0; i < 8; i++) x[i] = *(const float4 *)(a + spot<SWIZZLE>(g, k) + 8 * i * PITCH);
#pragma unroll
    for (int j = 0; j < 8; j++) {
      float4 w = *(const float4 *)(b + spot<SWIZZLE>(2 * t + j % 2, k) + j / 2 * 8 * PITCH);
#pragma unroll
      for (int i = 0; i < 8; i++) {
        float *s = &sum[i / 2][j / 2][i % 2 * 2 + j % 2];
        *s = fmaf(x[i].w, w.w, fmaf(x[i].z, w.z, fmaf(x[i].y, w.y, fmaf(x[i].x, w.x, *s))));
      }
    }
  }
}
/* multiply a tile on tensor cores */
template <precision P> WORD void multiply_add(float d[4], const uint32_t a[4], const uint32_t b[2])
{
  if (P == BF16) mma_bf16(d, a, b);
  else mma_tf32(d, a, b);
}

template <precision P, bool SWIZZLE>
WORD void multiply_mma(const unsigned char *a, const unsigned char *b, float sum[4][4][4])
{
  enum { PITCH = row_of<SWIZZLE>::PITCH };
  int lane = threadIdx.x % 32;
  int from_a = spot<SWIZZLE>(lane % 16, lane / 16 * 16), from_b = spot<SWIZZLE>(lane % 8 + lane / 16 * 8, lane / 8 % 2 * 16);
#pragma unroll
  for (int k = 0; k < K_BYTES; k += 32) {
    uint32_t x[4][4], w[2][4];
#pragma unroll
    for (int i = 0; i < 4; i++) load_matrix_x4(x[i], a + 16 * i * PITCH + (SWIZZLE ? from_a ^ k : from_a + k));
#pragma unroll
    for (int j = 0; j < 2; j++) load_matrix_x4(w[j], b + 16 * j * PITCH + (SWIZZLE ? from_b ^ k : from_b + k));
#pragma unroll
    for (int i = 0; i < 4; i++)
#pragma unroll
      for (int f = 0; f < 4; f++) multiply_add<P>(sum[i][f], x[i], &w[f / 2][f % 2 * 2]);
  }
}
/* regroup a warp's sums */
enum { REGROUP = 40 };                               /* floats from a row to the next */

/* sum: 16 rows; afterwards thread l holds sum[r][0..3] = row 4 r + l / 8, columns 4 (l % 8) .. + 3 of its
   warp's 32 */
WORD void regroup(float sum[4][4], float *corner)
{
  int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
#pragma unroll
  for (int f = 0; f < 4; f++) {
    *(float2 *)(corner + g * REGROUP + 8 * f + 2 * t) = make_float2(sum[f][0], sum[f][1]);
    *(float2 *)(corner + (g + 8) * REGROUP + 8 * f + 2 * t) = make_float2(sum[f][2], sum[f][3]);
  }
  __syncwarp();
#pragma unroll
  for (int r = 0; r < 4; r++) {
    float4 v = *(const float4 *)(corner + (4 * r + lane / 8) * REGROUP + lane % 8 * 4);
    sum[r][0] = v.x, sum[r][1] = v.y, sum[r][2] = v.z, sum[r][3] = v.w;
  }
  __syncwarp();
}
/* load and store four neighbours */
template <precision P> WORD void get_four(const void *from, size_t at, int count, bool wide, float v[4])
{
  if (wide) {
    float4 u = load4<P>(from, at);
    v[0] = u.x, v[1] = u.y, v[2] = u.z, v[3] = u.w;
  } else
#pragma unroll
    for (int i = 0; i < 4; i++) v[i] = i < count ? load1<P>(from, at + i) : 0;
}

template <precision P> WORD void put_four(void *to, size_t at, int count, bool wide, const float v[4])
{
  if (wide) store4<P>(to, at, make_float4(v[0], v[1], v[2], v[3]));
  else
#pragma unroll
    for (int i = 0; i < 4; i++)
      if (i < count) store1<P>(to, at + i, v[i]);
}

WORD void get_floats(const float *from, int count, float v[4])
{
#pragma unroll
  for (int i = 0; i < 4; i++) v[i] = from && i < count ? from[i] : 0;
}
/* total the columns of a tile */
/* s[0..3]: this thread's sums of its four columns; afterwards those of the whole tile. room: BM / 64 x BN floats
   of its own */
template <precision P, int BM, int BN> WORD void column_totals(float s[4], float *room)
{
  typedef tile<P, BM, BN> T;
  int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  float *mine = room + warp % T::ACROSS * 32 + lane % 8 * 4;
#pragma unroll
  for (int i = 0; i < 4; i++) {
    s[i] += __shfl_xor_sync(0xffffffffu, s[i], 8);
    s[i] += __shfl_xor_sync(0xffffffffu, s[i], 16);
    if (lane < 8) mine[warp / T::ACROSS * BN + i] = s[i];
  }
  __syncthreads();
#pragma unroll
  for (int i = 0; i < 4; i++) s[i] = T::DOWN == 1 ? mine[i] : mine[i] + mine[BN + i];
}
/* finish the sums of a tile */
template <precision P, int BM, int BN>
WORD void finish(const gather &g, const ending &e, float sum[4][4][4], unsigned char *room, int m0, int n0)
{
  typedef tile<P, BM, BN> T;
  int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  float *totals = (float *)room + T::THREADS / 32 * 16 * REGROUP;
  int first = m0 + warp / T::ACROSS * 64 + lane / 8, q = n0 + warp % T::ACROSS * 32 + lane % 8 * 4;
  int count = g.columns - q;
  /* fetch what belongs to the columns */
  float bias[4], mean[4], a[4], b[4], offset[4] = { 0, 0, 0, 0 }, scale[4] = { 0, 0, 0, 0 };
  if (e.z) {
    get_floats(e.coef + q, count, mean);
    get_floats(e.coef + 2 * g.columns + q, count, a), get_floats(e.coef + 3 * g.columns + q, count, b);
  } else get_floats(e.bias ? e.bias + q : NULL, count, bias);
#pragma unroll
  for (int mi = 0; mi < 4; mi++) {
    regroup(sum[mi], (float *)room + warp * 16 * REGROUP);
#pragma unroll
    for (int r = 0; r < 4; r++) {
      int row = first + 16 * mi + 4 * r;
      float *v = sum[mi][r];
      size_t at = (size_t)row * (size_t)e.pitch + (size_t)q;
      if (row >= g.rows || count <= 0) v[0] = v[1] = v[2] = v[3] = 0;
      else if (e.z) {
        /* mask a gradient and add it up */
        float z[4];
        get_four<P>(e.z, at, count, e.wide, z);
        #pragma unroll
        for (int j = 0; j < 4; j++) {
          v[j] = fmaf(z[j], a[j], b[j]) > 0 ? store_round<P>(v[j]) : 0;
          offset[j] += v[j], scale[j] = fmaf(v[j], z[j] - mean[j], scale[j]);
        }
        put_four<P>(e.target, at, count, e.wide, v);
      } else {
        /* finish four sums and store them */
        float before[4] = { 0, 0, 0, 0 };
        if (e.add) get_four<P>(e.target, at, count, e.wide, before);
        #pragma unroll
        for (int j = 0; j < 4; j++) {
          v[j] += bias[j] + before[j];
          if (e.relu) v[j] = fmaxf(v[j], 0);
          v[j] = store_round<P>(v[j]);
        }
        put_four<P>(e.target, at, count, e.wide, v);
      }
    }
  }
  /* leave one row of partial sums */
  if (!e.partial) return;
  float *to = e.partial + (size_t)(m0 / BM) * 2 * (size_t)g.columns + q;
  bool leader = warp < T::ACROSS && lane < 8;
  if (e.z) {
    column_totals<P, BM, BN>(offset, totals);
    column_totals<P, BM, BN>(scale, totals + T::DOWN * BN);
    for (int j = 0; j < 4; j++)
      if (leader && j < count) to[j] = offset[j], to[g.columns + j] = scale[j] * e.coef[g.columns + q + j];
  } else {
    /* find mean and squares of the tile */
    int rows = g.rows - m0 < BM ? g.rows - m0 : BM;
    float average[4] = { 0, 0, 0, 0 }, square[4] = { 0, 0, 0, 0 };
    #pragma unroll
    for (int i = 0; i < 16; i++)
    #pragma unroll
      for (int j = 0; j < 4; j++) average[j] += sum[i / 4][i % 4][j];
    column_totals<P, BM, BN>(average, totals);
    #pragma unroll
    for (int j = 0; j < 4; j++) average[j] /= (float)rows;
    #pragma unroll
    for (int i = 0; i < 16; i++)
    #pragma unroll
      for (int j = 0; j < 4; j++) {
        float d = first + 4 * i < g.rows ? sum[i / 4][i % 4][j] - average[j] : 0;
        square[j] = fmaf(d, d, square[j]);
      }
    column_totals<P, BM, BN>(square, totals + T::DOWN * BN);
    for (int j = 0; j < 4; j++)
      if (leader && j < count) to[j] = average[j], to[g.columns + j] = square[j];
  }
}
/* convolve a tile */
template <precision P, int BM, int BN, int CHUNK, bool PLAIN, bool SWIZZLE>
WORD void tile_product(const gather &g, const ending &e, unsigned char *room)
{
  typedef tile<P, BM, BN, SWIZZLE> T;
  place *table = (place *)(room + STAGES * T::STAGE);
  int across = (g.columns + BN - 1) / BN, m0 = (int)blockIdx.x / across, n0 = (int)blockIdx.x % across * BN;
  int warp = threadIdx.x / 32, down = warp / T::ACROSS * 64, right = warp % T::ACROSS * 32;
  float sum[4][4][4] = {};
  m0 *= BM;
  /* decode the rows of the tile */
  for (int r = threadIdx.x; r < BM; r += T::THREADS) table[r] = find_row<PLAIN>(g, m0 + r);
  __syncthreads();
  cursor at = cursor_at(g, threadIdx.x % (K_BYTES / CHUNK) * (CHUNK / (int)sizeof(typename T::word)));
  /* walk along K, three tiles in flight */
  /* fill all stages but one */
  for (int k = 0; k < STAGES - 1; k++) {
    if (k < g.depth) {
      load_left<P, BM, BN, CHUNK, PLAIN, SWIZZLE>(g, &at, table, room + k * T::STAGE);
      load_right<P, BM, BN, SWIZZLE>(g, n0, k * T::K, room + k * T::STAGE + BM * T::PITCH);
    }
    copy_commit();
  }
  for (int k = 0, full = 0, free = STAGES - 1; k < g.depth; k++) {
    copy_wait<STAGES - 2>();
    __syncthreads();
    /* ask for the tile that is STAGES - 1 ahead */
    if (k + STAGES - 1 < g.depth) {
      load_left<P, BM, BN, CHUNK, PLAIN, SWIZZLE>(g, &at, table, room + free * T::STAGE);
      load_right<P, BM, BN, SWIZZLE>(g, n0, (k + STAGES - 1) * T::K, room + free * T::STAGE + BM * T::PITCH);
    }
    copy_commit();
    /* multiply the tile at hand */
    const unsigned char *left = room + full * T::STAGE + down * T::PITCH;
    const unsigned char *top = room + full * T::STAGE + (BM + right) * T::PITCH;
    if (P == FP32) multiply_ffma<SWIZZLE>(left, top, sum);
    else multiply_mma<P, SWIZZLE>(left, top, sum);
    free = full, full = full + 1 == STAGES ? 0 : full + 1;
  }
  __syncthreads();
  finish<P, BM, BN>(g, e, sum, room, m0, n0);
}

template <precision P, int BM, int BN, int CHUNK, bool PLAIN, bool SWIZZLE>
__global__ __launch_bounds__(BM * BN / 64, 32768 / (BM * BN)) void conv_tiles(gather g, ending e)
{
  SHARED_ROOM(room);
  tile_product<P, BM, BN, CHUNK, PLAIN, SWIZZLE>(g, e, room);
}
/* ask whether Winograd's transforms fit */
typedef float vec;
#define INLINE WORD
WORD vec splat(float x) { return x; }
WORD vec fma_of(float a, vec b, vec c) { return fmaf(a, b, c); }
/* Winograd's transforms of a line */
INLINE void window_of(vec x[8])
{
  vec e1 = fma_of(-4.25f, x[4], x[2] + x[6]), o1 = fma_of(-4.25f, x[3], x[1] + x[5]);
  vec e2 = fma_of(-1.25f, x[4], fma_of(0.25f, x[2], x[6]));
  vec o2 = fma_of(-2.5f, x[3], fma_of(0.5f, x[1], x[5] + x[5]));
  vec e3 = fma_of(-5, x[4], fma_of(4, x[2], x[6]));
  vec o3 = fma_of(-2.5f, x[3], fma_of(0.5f, x[5], x[1] + x[1]));
  x[0] = fma_of(5.25f, x[4] - x[2], x[0] - x[6]), x[7] = fma_of(5.25f, x[3] - x[5], x[7] - x[1]);
  x[1] = e1 + o1, x[2] = e1 - o1;
  x[3] = e2 + o2, x[4] = e2 - o2;
  x[5] = e3 + o3, x[6] = e3 - o3;
}

INLINE void values_of(const int r, const vec g[6], vec u[8])
{
  const vec zero = {0}, g3 = r > 3 ? g[3] : zero, g4 = r > 4 ? g[4] : zero, g5 = r > 5 ? g[5] : zero;
  const vec n1 = splat(-2 / 9.0f), n2 = splat(1 / 90.0f), n3 = splat(32 / 45.0f);
  vec e1 = g[0] + g[2] + g4, o1 = g[1] + g3 + g5;
  vec e2 = fma_of(16, g4, fma_of(4, g[2], g[0])), o2 = fma_of(32, g5, fma_of(8, g3, g[1] + g[1]));
  vec e3 = fma_of(0.0625f, g4, fma_of(0.25f, g[2], g[0]));
  vec o3 = fma_of(0.03125f, g5, fma_of(0.125f, g3, splat(0.5f) * g[1]));
  u[0] = g[0], u[7] = g[r - 1];
  u[1] = n1 * (e1 + o1), u[2] = n1 * (e1 - o1);
  u[3] = n2 * (e2 + o2), u[4] = n2 * (e2 - o2);
  u[5] = n3 * (e3 + o3), u[6] = n3 * (e3 - o3);
}

INLINE void sums_of(const int m, const vec x[8], vec y[6])
{
  vec s1 = x[1] + x[2], d1 = x[1] - x[2], s2 = x[3] + x[4], d2 = x[3] - x[4];
  vec s3 = x[5] + x[6], d3 = x[5] - x[6];
  y[0] = x[0] + s1 + s2 + s3;
  y[1] = fma_of(0.5f, d3, fma_of(2, d2, d1));
  y[2] = fma_of(0.25f, s3, fma_of(4, s2, s1));
  if (m > 3) y[3] = fma_of(0.125f, d3, fma_of(8, d2, d1));
  if (m > 4) y[4] = fma_of(0.0625f, s3, fma_of(16, s2, s1));
  if (m > 5) y[5] = fma_of(0.03125f, d3, fma_of(32, d2, d1));
  y[m - 1] += x[7];
}

#undef INLINE

/* Tiles of m x m targets in rows and columns of an image; count: of all images */
enum { POINTS = 64, WINOGRAD_THREADS = 128 };
typedef struct { int m, rows, columns, count; } tiling;

static tiling tiling_of(const gather *g)
{
  const int m = 9 - g->kernel, rows = (g->u + m - 1) / m, columns = (g->v + m - 1) / m;
  const tiling t = { m, rows, columns, g->rows / (g->u * g->v) * rows * columns };
  return t;
}

static bool winograd_fits(precision p, const gather *g)
{
  if (p != FP32 || !candidate_on(CANDIDATE_WINOGRAD) || (g->kernel != 3 && g->kernel != 5) || g->a != 1 || g->d != 1) return false;
  return g->c % 16 == 0 && g->columns % 16 == 0 && (double)(tiling_of(g).count + 16) * g->c < 2147483648.0;
}

/* name the tiles there are */
#ifndef ENOUGH_BLOCKS
#define ENOUGH_BLOCKS 264                            /* tests are content with fewer */
#endif
typedef enum {
  TILE_128_128, TILE_128_64, TILE_64_64, TILE_8_BYTES, TILE_GENERAL, TILE_SINGLE, TILE_GROUP, TILE_WINOGRAD
} tile_kind;

static int blocks(const gather *g, int bm, int bn)
{
  return (g->rows + bm - 1) / bm * ((g->columns + bn - 1) / bn);
}

/* choose a tile by the shape */
static tile_kind least_tile(const gather *g)
{
  static const struct { tile_kind kind; int bm, bn; } tiles[] = {
    { TILE_128_128, 128, 128 }, { TILE_128_64, 128, 64 }, { TILE_64_64, 64, 64 }
  };
  const int processors = cuda_multiprocessors > 0 ? cuda_multiprocessors : 1;
  int64_t least = INT64_MAX;
  tile_kind kind = TILE_64_64;
  for (int i = 0; i < 3; i++) {
    const int64_t rounds = (blocks(g, tiles[i].bm, tiles[i].bn) + processors - 1) / processors;
    const int64_t sums = rounds * tiles[i].bm * tiles[i].bn;
    if (sums < least) least = sums, kind = tiles[i].kind;
  }
  return kind;
}

static tile_kind which_tile(precision p, const gather *g)
{
  int bytes = (int)act_bytes(p), odd = (g->c | g->pitch) * bytes;
  double images = (double)g->rows / g->u / g->v, size = (images * g->h + 16) * (g->w + 16) * g->pitch;
  bool plain = g->d == 1 && g->kernel <= 15 && size < 2147483648.0;
  if (group_fits(p, g)) return TILE_GROUP;
  if (winograd_fits(p, g)) return TILE_WINOGRAD;
  if (odd % 16) return plain && p == BF16 && odd % 8 == 0 ? TILE_8_BYTES : TILE_SINGLE;
  if (!plain) return TILE_GENERAL;
  if (p == FP32 && candidate_on(CANDIDATE_TILES)) return least_tile(g);
  if (g->columns > 64 && blocks(g, 128, 128) >= ENOUGH_BLOCKS) return TILE_128_128;
  return blocks(g, 128, 64) >= ENOUGH_BLOCKS ? TILE_128_64 : TILE_64_64;
}

static int tile_rows(tile_kind t)
{
  if (t == TILE_GROUP || t == TILE_WINOGRAD) return NORM_ROWS;
  return t == TILE_128_128 || t == TILE_128_64 || t == TILE_8_BYTES ? 128 : 64;
}
/* start the kernel of that tile */
template <precision P, int BM, int BN, int CHUNK, bool PLAIN, bool SWIZZLE = false>
static void start(const gather *g, const ending *e, cudaStream_t stream)
{
  typedef tile<P, BM, BN, SWIZZLE> T;
  LAUNCH_BIG((conv_tiles<P, BM, BN, CHUNK, PLAIN, SWIZZLE>), blocks(g, BM, BN), T::THREADS, T::BYTES, stream, *g, *e);
}

/* Tiles that are copied in whole pieces of whole rows can be without padding. */
template <precision P, int BM, int BN> static void start_pieces(const gather *g, const ending *e, cudaStream_t stream)
{
  if (candidate_on(CANDIDATE_SWIZZLE)) start<P, BM, BN, 16, true, true>(g, e, stream);
  else start<P, BM, BN, 16, true>(g, e, stream);
}

static void winograd_start(const gather *, const ending *, float *room, cudaStream_t);

template <precision P> static void start_tile(const gather *g, const ending *e, void *room, cudaStream_t stream)
{
  enum { ONE = sizeof(typename stored<P>::word) };
  switch (which_tile(P, g)) {
  case TILE_128_128: start_pieces<P, 128, 128>(g, e, stream); break;
  case TILE_128_64: start_pieces<P, 128, 64>(g, e, stream); break;
  case TILE_64_64: start_pieces<P, 64, 64>(g, e, stream); break;
  case TILE_8_BYTES: start<P, 128, 64, P == BF16 ? 8 : 16, true>(g, e, stream); break;
  case TILE_GENERAL: start<P, 64, 64, 16, false>(g, e, stream); break;
  case TILE_SINGLE: start<P, 64, 64, ONE, false>(g, e, stream); break;
  case TILE_GROUP: group_start(P, g, e, stream); break;
  case TILE_WINOGRAD: winograd_start(g, e, (float *)room, stream); break;
  }
}

static void start_product(precision p, gather g, ending e, void *room, cudaStream_t stream)
{
  e.wide = (g.columns | e.pitch) % 4 == 0;
  if (g.rows <= 0) return;
  if (p == FP32) start_tile<FP32>(&g, &e, room, stream);
  else if (p == TF32) start_tile<TF32>(&g, &e, room, stream);
  else start_tile<BF16>(&g, &e, room, stream);
}
/* transform the windows */
/* v (64, tiles, c) */
__global__ __launch_bounds__(WINOGRAD_THREADS) void winograd_windows(gather g, tiling t, float *v)
{
  const size_t i = (size_t)blockIdx.x * WINOGRAD_THREADS + threadIdx.x, step = (size_t)t.count * (size_t)g.c;
  if (i >= step) return;
  const int tile = (int)(i / (size_t)g.c), image = tile / (t.rows * t.columns), rest = tile - image * t.rows * t.columns;
  const int y = rest / t.columns * t.m - g.pad_top, x = rest % t.columns * t.m - g.pad_left;
  const float *from = (const float *)g.source + (size_t)image * (size_t)(g.h * g.w) * (size_t)g.pitch + i % (size_t)g.c;
  vec r[8][8], s[8];
#pragma unroll
  for (int k = 0; k < 8; k++) {
#pragma unroll
    for (int j = 0; j < 8; j++) {
      const bool inside = (unsigned)(y + j) < (unsigned)g.h && (unsigned)(x + k) < (unsigned)g.w;
      s[j] = inside ? from[(size_t)((y + j) * g.w + x + k) * (size_t)g.pitch] : 0;
    }
    window_of(s);
#pragma unroll
    for (int j = 0; j < 8; j++) r[j][k] = s[j];
  }
#pragma unroll
  for (int j = 0; j < 8; j++) {
    window_of(r[j]);
#pragma unroll
    for (int k = 0; k < 8; k++) v[(size_t)(8 * j + k) * step + i] = r[j][k];
  }
}

/* transform the packed weights */
/* u (64, filters, c) of w (filters, R, R, c) */
template <int R> __global__ __launch_bounds__(WINOGRAD_THREADS) void winograd_taps(int filters, int c, const float *w, float *u)
{
  const size_t i = (size_t)blockIdx.x * WINOGRAD_THREADS + threadIdx.x, step = (size_t)filters * (size_t)c;
  if (i >= step) return;
  const float *from = w + i / (size_t)c * (size_t)(R * R * c) + i % (size_t)c;
  vec t[8][R], s[6], p[8];
#pragma unroll
  for (int k = 0; k < R; k++) {
#pragma unroll
    for (int j = 0; j < R; j++) s[j] = from[(size_t)((j * R + k) * c)];
    values_of(R, s, p);
#pragma unroll
    for (int j = 0; j < 8; j++) t[j][k] = p[j];
  }
#pragma unroll
  for (int j = 0; j < 8; j++) {
#pragma unroll
    for (int k = 0; k < R; k++) s[k] = t[j][k];
    values_of(R, s, p);
#pragma unroll
    for (int k = 0; k < 8; k++) u[(size_t)(8 * j + k) * step + i] = p[k];
  }
}

/* multiply at each of the 64 points */
typedef tile<FP32, 128, 64, true> winograd_tile;
__global__ __launch_bounds__(winograd_tile::THREADS, 4) void winograd_products(gather g, ending e)
{
  SHARED_ROOM(room);
  const size_t point = blockIdx.y;
  g.source = (const float *)g.source + point * (size_t)g.rows * (size_t)g.c;
  g.weight = (const float *)g.weight + point * (size_t)g.columns * (size_t)g.c;
  e.target = (float *)e.target + point * (size_t)g.rows * (size_t)g.columns;
  tile_product<FP32, 128, 64, 16, true, true>(g, e, room);
}

/* What becomes of the sum of column q of the target at `at`. */
WORD void end_sum(const ending &e, int columns, size_t at, int q, float v)
{
  float *to = (float *)e.target;
  if (e.z) v = fmaf(((const float *)e.z)[at], e.coef[2 * columns + q], e.coef[3 * columns + q]) > 0 ? v : 0;
  else {
    v += (e.bias ? e.bias[q] : 0) + (e.add ? to[at] : 0);
    if (e.relu) v = fmaxf(v, 0);
  }
  to[at] = v;
}
/* transform the sums back */
/* product (64, tiles, columns) */
template <int M> __global__ __launch_bounds__(WINOGRAD_THREADS)
void winograd_sums(gather g, ending e, tiling t, const float *product)
{
  const size_t i = (size_t)blockIdx.x * WINOGRAD_THREADS + threadIdx.x, step = (size_t)t.count * (size_t)g.columns;
  if (i >= step) return;
  const int tile = (int)(i / (size_t)g.columns), q = (int)(i % (size_t)g.columns);
  const int image = tile / (t.rows * t.columns), rest = tile - image * t.rows * t.columns;
  const int y = rest / t.columns * M, x = rest % t.columns * M;
  vec r[M][8], s[8], d[6];
#pragma unroll
  for (int k = 0; k < 8; k++) {
#pragma unroll
    for (int j = 0; j < 8; j++) s[j] = product[(size_t)(8 * j + k) * step + i];
    sums_of(M, s, d);
#pragma unroll
    for (int j = 0; j < M; j++) r[j][k] = d[j];
  }
#pragma unroll
  for (int j = 0; j < M; j++) {
    sums_of(M, r[j], d);
#pragma unroll
    for (int k = 0; k < M; k++) {
      if (y + j >= g.u || x + k >= g.v) continue;
      end_sum(e, g.columns, (size_t)((image * g.u + y + j) * g.v + x + k) * (size_t)e.pitch + (size_t)q, q, d[k]);
    }
  }
}

/* run the three passes */
static unsigned winograd_blocks(size_t threads) { return (unsigned)((threads + WINOGRAD_THREADS - 1) / WINOGRAD_THREADS); }

/* Floats of V and M. */
static size_t winograd_floats(const gather *g) { return POINTS * (size_t)tiling_of(g).count * (size_t)(g->c + g->columns); }

/* Floats of the transformed weights. */
static size_t winograd_weights(const gather *g) { return POINTS * (size_t)g->columns * (size_t)g->c; }

static void winograd_pack(const gather *g, const act *packed, float *u, cudaStream_t stream)
{
  const unsigned grid = winograd_blocks((size_t)g->columns * (size_t)g->c);
  if (g->kernel == 5) LAUNCH((winograd_taps<5>), grid, WINOGRAD_THREADS, 0, stream, g->columns, g->c, (const float *)packed, u);
  else LAUNCH((winograd_taps<3>), grid, WINOGRAD_THREADS, 0, stream, g->columns, g->c, (const float *)packed, u);
}

/* g.weight: transformed; room: winograd_floats() */
static void winograd_start(const gather *g, const ending *e, float *room, cudaStream_t stream)
{
  const tiling t = tiling_of(g);
  float *product = room + POINTS * (size_t)t.count * (size_t)g->c;
  gather points = { room, g->weight, 1, 1, g->c, g->c, t.count, 1, 1, g->columns, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0 };
  const ending plain = { product, g->columns, false, false, g->columns % 4 == 0, NULL, NULL, NULL, NULL };
  split_depth(FP32, &points);
  if (g->rows <= 0) return;
  LAUNCH((winograd_windows), winograd_blocks((size_t)t.count * (size_t)g->c), WINOGRAD_THREADS, 0, stream, *g, t, room);
  LAUNCH_BIG((winograd_products), dim3((unsigned)blocks(&points, 128, 64), POINTS), winograd_tile::THREADS, winograd_tile::BYTES,
             stream, points, plain);
  const unsigned grid = winograd_blocks((size_t)t.count * (size_t)g->columns);
  if (t.m == 4) LAUNCH((winograd_sums<4>), grid, WINOGRAD_THREADS, 0, stream, *g, *e, t, (const float *)product);
  else LAUNCH((winograd_sums<6>), grid, WINOGRAD_THREADS, 0, stream, *g, *e, t, (const float *)product);
  sums_by_a_pass(FP32, g, e, stream);
}
/* pack the weights as kernels read them */
template <precision P> __global__ void pack_weights(int o, int c, int taps, gather ahead, gather back,
                                                    const float *w, act *forward, act *turned)
{
  SHARED_ROOM(room);
  float (*t)[33] = (float (*)[33])room;
  int tap = blockIdx.z, c0 = blockIdx.x * 32, o0 = blockIdx.y * 32, x = threadIdx.x;
  bool real = tap < taps;
  int width = real ? ahead.c : ahead.line - taps * ahead.c;
  int height = real ? back.c : back.line - taps * back.c;
  for (int y = threadIdx.y; y < 32; y += 8) {
    int q = o0 + y, k = c0 + x;
    size_t from = ((size_t)q * (size_t)taps + (size_t)tap) * (size_t)c + (size_t)k;
    float v = real && q < o && k < c ? w[from] : 0;
    t[y][x] = v;
    if (q < o && k < width)
      store1<P>(forward, (size_t)q * (size_t)ahead.line + (size_t)(tap * ahead.c + k), v);
  }
  __syncthreads();
  for (int y = threadIdx.y; y < 32; y += 8) {
    int k = c0 + y, q = o0 + x, turn = real ? taps - 1 - tap : taps;
    if (k < c && q < height)
      store1<P>(turned, (size_t)k * (size_t)back.line + (size_t)(turn * back.c + q), t[x][y]);
  }
}

template <precision P>
static void start_pack(conv_shape s, gather ahead, gather back, const float *w, act *packed, cudaStream_t stream)
{
  act *turned = (typename stored<P>::word *)packed + (size_t)s.o * (size_t)ahead.line;
  dim3 grid((unsigned)(ahead.c + 31) / 32, (unsigned)(back.c + 31) / 32, (unsigned)(s.kernel * s.kernel + 1));
  LAUNCH((pack_weights<P>), grid, dim3(32, 8), 32 * 33 * sizeof(float), stream, s.o, s.c, s.kernel * s.kernel,
         ahead, back, w, packed, turned);
}
/* lay out the packed weights */
/* Behind the two copies of the weights stand those that are transformed, if they are. */
typedef struct { size_t turned, transformed, turned_transformed, all; } pack_layout;

static pack_layout layout_of(precision p, conv_shape s)
{
  const gather ahead = forward_gather(p, s), back = backward_gather(p, s);
  pack_layout l = { (size_t)s.o * (size_t)ahead.line * act_bytes(p), 0, 0, 0 };
  l.transformed = l.turned + (size_t)s.c * (size_t)back.line * act_bytes(p);
  l.turned_transformed = l.transformed + (winograd_fits(p, &ahead) ? winograd_weights(&ahead) * sizeof(float) : 0);
  l.all = l.turned_transformed + (winograd_fits(p, &back) ? winograd_weights(&back) * sizeof(float) : 0);
  return l;
}

/* pack weights, and say how large */
size_t conv_packed(precision p, conv_shape s) { return layout_of(p, s).all; }

size_t conv_product_room(precision p, conv_shape s)
{
  const gather ahead = forward_gather(p, s), back = backward_gather(p, s);
  const size_t a = winograd_fits(p, &ahead) ? winograd_floats(&ahead) : 0, b = winograd_fits(p, &back) ? winograd_floats(&back) : 0;
  return (a > b ? a : b) * sizeof(float);
}

void cuda_conv_pack(precision p, conv_shape s, const float *w, void *packed, cudaStream_t stream)
{
  gather ahead = forward_gather(p, s), back = backward_gather(p, s);
  const pack_layout l = layout_of(p, s);
  char *at = (char *)packed;
  if (p == FP32) start_pack<FP32>(s, ahead, back, w, packed, stream);
  else if (p == TF32) start_pack<TF32>(s, ahead, back, w, packed, stream);
  else start_pack<BF16>(s, ahead, back, w, packed, stream);
  if (winograd_fits(p, &ahead)) winograd_pack(&ahead, at, (float *)(at + l.transformed), stream);
  if (winograd_fits(p, &back)) winograd_pack(&back, at + l.turned, (float *)(at + l.turned_transformed), stream);
}

int conv_tile_rows(precision p, conv_shape s)
{
  gather g = forward_gather(p, s);
  return tile_rows(which_tile(p, &g));
}

int conv_dx_tiles(precision p, conv_shape s)
{
  gather g = backward_gather(p, s);
  int rows = tile_rows(which_tile(p, &g));
  return (g.rows + rows - 1) / rows;
}
/* convolve forward, or the gradient back */
void cuda_conv_forward(precision p, conv_shape s, const act *x, const void *packed, const float *bias,
                       bool relu, act *y, float *statistics, void *room, cudaStream_t stream)
{
  gather g = forward_gather(p, s);
  ending e = { y, s.o_pitch, relu, false, false, bias, NULL, NULL, statistics };
  g.source = x, g.weight = (const char *)packed + (winograd_fits(p, &g) ? layout_of(p, s).transformed : 0);
  start_product(p, g, e, room, stream);
}

void cuda_conv_input_gradient(precision p, conv_shape s, const act *dy, const void *packed, bool add, act *dx,
                              const norm_tail *tail, void *room, cudaStream_t stream)
{
  gather g = backward_gather(p, s);
  ending e = { dx, s.c_pitch, false, add, false, NULL, NULL, NULL, NULL };
  const pack_layout l = layout_of(p, s);
  g.source = dy, g.weight = (const char *)packed + (winograd_fits(p, &g) ? l.turned_transformed : l.turned);
  if (tail) e.z = tail->z, e.coef = tail->coef, e.partial = tail->partial;
  start_product(p, g, e, room, stream);
}
/* convolve by the first kernel, for tests */
template <precision P> static void start_plain(gather g, ending e, cudaStream_t stream)
{
  size_t count = (size_t)g.rows * (size_t)g.columns;
  LAUNCH((conv_plain<P>), (unsigned)((count + 255) / 256), 256, 0, stream, g, e);
}

void cuda_conv_plain(precision p, conv_shape s, bool gradient, const act *from, const void *packed,
                     const float *bias, act *to, cudaStream_t stream)
{
  gather g = gradient ? backward_gather(p, s) : forward_gather(p, s);
  ending e = { to, gradient ? s.c_pitch : s.o_pitch, false, false, false, bias, NULL, NULL, NULL };
  g.source = from, g.weight = (const char *)packed + (gradient ? layout_of(p, s).turned : 0);
  if (p == FP32) start_plain<FP32>(g, e, stream);
  else if (p == TF32) start_plain<TF32>(g, e, stream);
  else start_plain<BF16>(g, e, stream);
}
/* sum slices of a long row */
enum { FC_ROWS = 128, FC_COLUMNS = 32, FC_BLOCKS = 528, FC_LEAST = 8 };
typedef tile<FP32, FC_ROWS, FC_COLUMNS, true> fc_tile;

/* partial (slices, out, n); slice blockIdx.y takes `each` tiles of K. g: rows of weights as pixels, columns images */
__global__ __launch_bounds__(fc_tile::THREADS, 8) void fc_slices(gather g, ending e, int each)
{
  SHARED_ROOM(room);
  const int first = (int)blockIdx.y * each;
  g.source = (const float *)g.source + first * fc_tile::K, g.weight = (const float *)g.weight + first * fc_tile::K;
  g.depth = g.depth - first < each ? g.depth - first : each;
  e.target = (float *)e.target + (size_t)blockIdx.y * (size_t)g.rows * (size_t)g.columns;
  tile_product<FP32, FC_ROWS, FC_COLUMNS, 16, true, true>(g, e, room);
}

/* add the slices */
enum { SLICE_WIDE = 32, SLICE_ROWS = 8 };

/* y (n, out) = relu?(bias + the sum over slices of from (slices, out, n)) */
__global__ void fc_add_slices(int slices, int n, int out, const float *from, const float *bias, bool relu, float *y)
{
  SHARED_ROOM(room);
  float *part = (float *)room, sum = 0;
  const int count = n * out, i = (int)blockIdx.x * SLICE_WIDE + (int)threadIdx.x, o = i / n;
#pragma unroll 4
  for (int s = (int)threadIdx.y; s < slices && i < count; s += SLICE_ROWS) sum += from[(size_t)s * (size_t)count + (size_t)i];
  part[threadIdx.y * SLICE_WIDE + threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y || i >= count) return;
  for (int r = 1; r < SLICE_ROWS; r++) sum += part[r * SLICE_WIDE + threadIdx.x];
  if (bias) sum += bias[o];
  y[(size_t)(i - o * n) * (size_t)out + (size_t)o] = relu ? fmaxf(sum, 0) : sum;
}

/* deal a fully connected layer to slices */
typedef struct { int each, slices; } fc_deal;

static fc_deal deal_of(int in, int out)
{
  const int depth = in / fc_tile::K, tiles = (out + FC_ROWS - 1) / FC_ROWS;
  int slices = FC_BLOCKS / tiles;
  if (slices > depth / FC_LEAST) slices = depth / FC_LEAST;
  if (slices < 1) slices = 1;
  fc_deal d = { (depth + slices - 1) / slices, 0 };
  d.slices = (depth + d.each - 1) / d.each;
  return d;
}

size_t fc_split_room(int n, int in, int out)
{
  if (in % fc_tile::K || (double)in * (out + 16) >= 2147483648.0) return 0;
  return (size_t)deal_of(in, out).slices * (size_t)out * (size_t)n * sizeof(float);
}

bool cuda_fc_split(int n, int in, int out, const float *x, const float *w, const float *bias, bool relu, void *room, float *y,
                   cudaStream_t stream)
{
  if (!fc_split_room(n, in, out) || ((uintptr_t)x | (uintptr_t)w) % 16) return false;
  const fc_deal d = deal_of(in, out);
  const int count = n * out;
  gather g = { w, x, 1, 1, in, in, out, 1, 1, n, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0 };
  const ending e = { room, n, false, false, n % 4 == 0, NULL, NULL, NULL, NULL };
  split_depth(FP32, &g);
  const dim3 grid((unsigned)blocks(&g, FC_ROWS, FC_COLUMNS), (unsigned)d.slices);
  LAUNCH_BIG((fc_slices), grid, fc_tile::THREADS, fc_tile::BYTES, stream, g, e, d.each);
  LAUNCH((fc_add_slices), (unsigned)((count + SLICE_WIDE - 1) / SLICE_WIDE), dim3(SLICE_WIDE, SLICE_ROWS),
         SLICE_WIDE * SLICE_ROWS * sizeof(float), stream, d.slices, n, out, (const float *)room, bias, relu, y);
  return true;
}

/* cuda_wgrad.cu: the gradient of a convolution's weights. */
#include "gpu/cuda.h"
#include "gpu/cuda_device.h"

/* sum a weight's gradient, one thread each */
/* dw (o, k, k, c): the sum as it stands, one thread a weight */
template <precision P> __global__ void wgrad_plain(conv_shape s, const act *x, const act *dy, float *dw)
{
  const int count = s.kernel * s.kernel * s.c, o = (int)blockIdx.y;
  const int column = (int)(blockIdx.x * blockDim.x + threadIdx.x);
  if (column >= count) return;
  const int c = column % s.c, kx = column / s.c % s.kernel, ky = column / s.c / s.kernel;
  double sum = 0;
  for (int n = 0; n < s.n; n++)
    for (int u = 0; u < s.oh; u++)
      for (int v = 0; v < s.ow; v++) {
        const int yy = u * s.stride + ky - s.pad_top, xx = v * s.stride + kx - s.pad_left;
        if (yy < 0 || yy >= s.h || xx < 0 || xx >= s.w) continue;
        sum += (double)load1<P>(dy, (size_t)((n * s.oh + u) * s.ow + v) * (size_t)s.o_pitch + (size_t)o)
             * load1<P>(x, (size_t)((n * s.h + yy) * s.w + xx) * (size_t)s.c_pitch + (size_t)c);
      }
  dw[(size_t)o * (size_t)count + (size_t)column] = (float)sum;
}

/* lay out a tile of gradients */
/* A block of ROWS x COLUMNS warps; a warp has the sums of 64 output channels by `wide` columns by `taps`.
   Columns are (ky, c) in a row of taps, (ky, kx, c) when taps is 1. vx, vy: numbers of x, of dy in a copy. pairs: fragments as the
   candidate tf32-wgrad reads them. */
template <precision P, int ROWS, int COLUMNS, int WIDE, int TAPS, int VX, int VY, bool PAIRS = false> struct wgrad_tile {
  typedef typename stored<P>::word number;
  static constexpr precision p = P;
  static constexpr bool pairs = PAIRS;
  enum { wide = WIDE, taps = TAPS, vx = VX, vy = VY, columns = COLUMNS, threads = 32 * ROWS * COLUMNS,
         m = 64 * ROWS, n = WIDE * COLUMNS, depth = P == BF16 ? 32 : 16, halo = TAPS - 1,
         sums = 2 * WIDE * TAPS,
         y_line = m + 8, x_line = n + 8, y_size = depth * y_line, stage = y_size + (depth + halo) * x_line,
         table = n * (int)sizeof(int), bytes = stage * (int)sizeof(number), fit = (48 * 1024 - table) / bytes,
         stages = fit < 2 ? 2 : fit > 4 ? 4 : fit, shared = table + stages * bytes,
         y_rows = threads / (m / VY), x_rows = threads / (n / VX) };
};
template <class T> using number = typename T::number;

/* walk over the pixels without dividing */
/* Pixel p of images of `rows` rows of `wide` pixels: image, row, column. */
typedef struct { int n, u, v; } pixel;

WORD pixel pixel_of(int p, int rows, int wide)
{
  const pixel q = { p / wide / rows, p / wide % rows, p % wide };
  return q;
}

WORD void walk(pixel *p, pixel step, int rows, int wide)
{
  p->v += step.v, p->u += step.u, p->n += step.n;
  if (p->v >= wide) p->v -= wide, p->u++;
  if (p->u >= rows) p->u -= rows, p->n++;
}

/* find a column's tap and channel */
typedef struct { int ky, kx, c; } column_place;

/* channels that are read: those of the weights, or the image's four */
__host__ WORD int channels_read(const conv_shape &s)
{
  return s.c == 3 && s.c_pitch == 4 ? 4 : s.c;
}

template <class T> WORD column_place column_of(const conv_shape &s, int column)
{
  const int c = channels_read(s), tap = column / c, groups = T::taps == 1 ? s.kernel : 1;
  const column_place q = { tap / groups, tap % groups, column - tap * c };
  return q;
}

/* copy numbers, or zeros */
template <int COUNT, class T> WORD void copy_numbers(T *to, const T *from, bool valid)
{
  if constexpr (COUNT * sizeof(T) == 16) copy_async16(to, from, valid);
  else if constexpr (COUNT * sizeof(T) == 8) copy_async8(to, from, valid);
  else if constexpr (COUNT * sizeof(T) == 4) copy_async4(to, from, valid);
  else for (int i = 0; i < COUNT; i++) to[i] = valid ? from[i] : T();
}

/* say what a thread fetches */
/* at: the next pixel to copy of dy and of x; to: where it goes within a stage; c, o: first channel, -1 beyond
   the last. */
typedef struct { pixel y_at, x_at, y_step, x_step; int y_to, x_to, o, c, dy, dx, wide; } courier;

template <class T> WORD courier courier_of(const conv_shape &s, int first_row, int first_column,
                                           int first_pixel)
{
  const int y_row = threadIdx.x / (T::m / T::vy), y_column = threadIdx.x % (T::m / T::vy) * T::vy;
  const int x_row = threadIdx.x / (T::n / T::vx), x_column = threadIdx.x % (T::n / T::vx) * T::vx;
  const column_place place = column_of<T>(s, first_column + x_column);
  courier q;
  q.wide = s.ow + T::halo;
  q.y_at = pixel_of(first_pixel + y_row, s.oh, q.wide), q.y_step = pixel_of(T::y_rows, s.oh, q.wide);
  q.x_at = pixel_of(first_pixel + x_row, s.oh, q.wide), q.x_step = pixel_of(T::x_rows, s.oh, q.wide);
  q.y_to = y_row * T::y_line + y_column, q.x_to = T::y_size + x_row * T::x_line + x_column;
  q.o = first_row + y_column < s.o ? first_row + y_column : -1;
  q.c = place.ky < s.kernel ? place.c : -1;
  q.dy = place.ky - s.pad_top, q.dx = place.kx - s.pad_left;
  return q;
}

/* fetch a line of gradients, of pixels */
template <class T> WORD void fetch_y(const conv_shape &s, const courier &q, const number<T> *dy, number<T> *to)
{
  const pixel p = q.y_at;
  const bool valid = q.o >= 0 && p.n < s.n && p.v < s.ow;
  const int index = (p.n * s.oh + p.u) * s.ow + p.v;
  copy_numbers<T::vy>(to, valid ? dy + (size_t)index * (size_t)s.o_pitch + q.o : dy, valid);
}

template <class T> WORD void fetch_x(const conv_shape &s, const courier &q, const number<T> *x, number<T> *to)
{
  const pixel p = q.x_at;
  const int yy = p.u * s.stride + q.dy, xx = p.v * s.stride + q.dx, index = (p.n * s.h + yy) * s.w + xx;
  const bool valid = q.c >= 0 && p.n < s.n && (unsigned)yy < (unsigned)s.h && (unsigned)xx < (unsigned)s.w;
  copy_numbers<T::vx>(to, valid ? x + (size_t)index * (size_t)s.c_pitch + q.c : x, valid);
}

/* fetch a stage */
/* Start the copies of one stage, and move on by `depth` pixels. */
template <class T> WORD void fetch(const conv_shape &s, courier *q, const number<T> *x, const number<T> *dy,
                                   number<T> *stage)
{
  static_assert(T::depth % T::y_rows == 0 && T::depth % T::x_rows == 0 && T::halo <= T::x_rows,
                "the threads copy whole lines, and every stage in whole rounds");
#pragma unroll
  for (int r = 0; r < T::depth; r += T::y_rows) {
    fetch_y<T>(s, *q, dy, stage + q->y_to + r * T::y_line);
    walk(&q->y_at, q->y_step, s.oh, q->wide);
  }
#pragma unroll
  for (int r = 0; r < T::depth; r += T::x_rows) {
    fetch_x<T>(s, *q, x, stage + q->x_to + r * T::x_line);
    walk(&q->x_at, q->x_step, s.oh, q->wide);
  }
  if (q->x_to < T::y_size + T::halo * T::x_line) fetch_x<T>(s, *q, x, stage + q->x_to + T::depth * T::x_line);
}

/* read four floats */
WORD void take4(float *to, const float *from)
{
  const float4 v = *(const float4 *)from;
  to[0] = v.x, to[1] = v.y, to[2] = v.z, to[3] = v.w;
}

/* read rows and columns of fragments */
/* Four channels of one pixel: rows g and g + 8 of two fragments; half: the pixel is t (0) or t + 4 (1). */
WORD void take_rows(uint32_t *a0, uint32_t *a1, int half, const float *from)
{
  const uint4 v = *(const uint4 *)from;
  a0[2 * half] = v.x, a0[2 * half + 1] = v.y, a1[2 * half] = v.z, a1[2 * half + 1] = v.w;
}

/* Two columns of one pixel: column g of two fragments. */
WORD void take_columns(uint32_t *b0, uint32_t *b1, int half, const float *from)
{
  const uint2 v = *(const uint2 *)from;
  b0[half] = v.x, b1[half] = v.y;
}

/* read a pair for two fragments */
/* Two channels of one pixel: rows g and g + 8 of a fragment, in two registers side by side. */
WORD void take_pair(uint32_t *a, const float *from)
{
  const uint2 v = *(const uint2 *)from;
  a[0] = v.x, a[1] = v.y;
}

/* multiply in floats */
/* sum[(i * taps + tap) * wide / 4 + j] += y, channel i of this thread's 8, times x, its column j.
   y, x: this warp's corner. */
template <class T> WORD void multiply_float(float *sum, const float *y, const float *x)
{
  const int lane = threadIdx.x % 32;
  y += lane / 4 * 4, x += lane % 4 * 4;
#pragma unroll 2
  for (int k = 0; k < T::depth; k++) {
    float a[8], b[T::wide / 4];
    take4(a, y + k * T::y_line), take4(a + 4, y + k * T::y_line + 32);
#pragma unroll
    for (int tap = 0; tap < T::taps; tap++) {
#pragma unroll
      for (int j = 0; j < T::wide / 4; j += 4) take4(b + j, x + (k + tap) * T::x_line + 4 * j);
#pragma unroll
      for (int i = 0; i < 8; i++)
#pragma unroll
        for (int j = 0; j < T::wide / 4; j++) sum[(i * T::taps + tap) * (T::wide / 4) + j] += a[i] * b[j];
    }
  }
}

/* multiply in TF32 */
/* sum[((i * taps + tap) * wide / 8 + j) * 4 + e]: number e of fragment (i, j), as mma m16n8 keeps it */
template <class T> WORD void multiply_tf32(float *sum, const float *y, const float *x)
{
  const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
  y += t * T::y_line + 4 * g, x += t * T::x_line + 2 * g;
#pragma unroll
  for (int k = 0; k < T::depth; k += 8) {
    uint32_t a[4][4], b[T::wide / 8][2];
#pragma unroll
    for (int q = 0; q < 4; q++)
      take_rows(a[q / 2 * 2], a[q / 2 * 2 + 1], q % 2, y + (k + q % 2 * 4) * T::y_line + q / 2 * 32);
#pragma unroll
    for (int tap = 0; tap < T::taps; tap++) {
#pragma unroll
      for (int q = 0; q < T::wide / 8; q++)
        take_columns(b[q / 2 * 2], b[q / 2 * 2 + 1], q % 2,
                     x + (k + tap + q % 2 * 4) * T::x_line + q / 2 * 16);
#pragma unroll
      for (int i = 0; i < 4; i++)
#pragma unroll
        for (int j = 0; j < T::wide / 8; j++)
          mma_tf32(sum + ((i * T::taps + tap) * (T::wide / 8) + j) * 4, a[i], b[j]);
    }
  }
}

/* multiply pairs in TF32 */
/* sum: as multiply_tf32, with channels and columns in bfloat16's order */
template <class T> WORD void multiply_pairs(float *sum, const float *y, const float *x)
{
  const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
  y += t * T::y_line + 2 * g, x += t * T::x_line + g;
#pragma unroll
  for (int k = 0; k < T::depth; k += 8) {
    uint32_t a[4][4], b[T::wide / 8][2];
#pragma unroll
    for (int q = 0; q < 8; q++) take_pair(a[q / 2] + q % 2 * 2, y + (k + q % 2 * 4) * T::y_line + q / 2 * 16);
#pragma unroll
    for (int tap = 0; tap < T::taps; tap++) {
#pragma unroll
      for (int q = 0; q < T::wide / 4; q++)
        b[q / 2][q % 2] = __float_as_uint(x[(k + tap + q % 2 * 4) * T::x_line + q / 2 * 8]);
#pragma unroll
      for (int i = 0; i < 4; i++)
#pragma unroll
        for (int j = 0; j < T::wide / 8; j++)
          mma_tf32(sum + ((i * T::taps + tap) * (T::wide / 8) + j) * 4, a[i], b[j]);
    }
  }
}

/* multiply in bfloat16 */
/* sum: as multiply_tf32 */
template <class T> WORD void multiply_bf16(float *sum, const number<T> *y, const number<T> *x)
{
  const int lane = threadIdx.x % 32, line = lane % 8, low = lane / 8 % 2 * 8, high = lane / 16 * 8;
  y += (line + high) * T::y_line + low, x += (line + low) * T::x_line + high;
#pragma unroll
  for (int k = 0; k < T::depth; k += 16) {
    uint32_t a[4][4];
#pragma unroll
    for (int i = 0; i < 4; i++) load_matrix_x4_trans(a[i], y + k * T::y_line + 16 * i);
#pragma unroll
    for (int tap = 0; tap < T::taps; tap++)
#pragma unroll
      for (int q = 0; q < T::wide / 16; q++) {
        uint32_t b[4];
        load_matrix_x4_trans(b, x + (k + tap) * T::x_line + 16 * q);
#pragma unroll
        for (int i = 0; i < 4; i++) {
          float *d = sum + ((i * T::taps + tap) * (T::wide / 8) + 2 * q) * 4;
          mma_bf16(d, a[i], b), mma_bf16(d + 4, a[i], b + 2);
        }
      }
  }
}

/* multiply as the tile says */
template <class T> WORD void multiply(float *sum, const number<T> *y, const number<T> *x)
{
  if constexpr (T::p == FP32) multiply_float<T>(sum, y, x);
  if constexpr (T::p == TF32 && !T::pairs) multiply_tf32<T>(sum, y, x);
  if constexpr (T::pairs) multiply_pairs<T>(sum, y, x);
  if constexpr (T::p == BF16) multiply_bf16<T>(sum, y, x);
}

/* write a pair of neighbours */
WORD void write_pair(float *to, const int *at, float first, float second)
{
  if (at[0] >= 0 && at[1] == at[0] + 1 && (uintptr_t)(to + at[0]) % 8 == 0)
    *(float2 *)(to + at[0]) = make_float2(first, second);
  else {
    if (at[0] >= 0) to[at[0]] = first;
    if (at[1] >= 0) to[at[1]] = second;
  }
}

/* find whose sum is in which register */
/* Output channel i of this thread's 8, within its warp's 64. */
template <class T> WORD int channel_of(int i)
{
  const int g = threadIdx.x % 32 / 4;
  return T::pairs ? i / 2 * 16 + 2 * g + i % 2
       : T::p == BF16 ? i / 2 * 16 + i % 2 * 8 + g : i / 4 * 32 + 4 * g + i % 4;
}

/* Columns 2 pair and 2 pair + 1 of this thread begin at this column of its warp. */
template <class T> WORD int pair_of(int pair)
{
  const int t = threadIdx.x % 4;
  return T::p == BF16 || T::pairs ? 8 * pair + 2 * t : pair / 2 * 16 + 4 * t + pair % 2 * 2;
}

/* Where the sum of channel i, this tap, number e of a pair is. */
template <class T> WORD int sum_of(int i, int tap, int pair, int e)
{
  const int fragment = (i / 2 * T::taps + tap) * (T::wide / 8);
  return T::p == FP32 ? (i * T::taps + tap) * (T::wide / 4) + 2 * pair + e
       : T::p == TF32 && !T::pairs ? (fragment + pair / 2 * 2 + e) * 4 + i % 2 * 2 + pair % 2
                      : (fragment + pair) * 4 + i % 2 * 2 + e;
}

/* write the tile's sums */
/* table[j]: the offset in a kernel (k, k, c) of column j of this block and its first tap, or -1 */
template <class T> WORD void fill_table(const conv_shape &s, int first_column, int *table)
{
  for (int j = (int)threadIdx.x; j < T::n; j += T::threads) {
    const column_place p = column_of<T>(s, first_column + j);
    table[j] = p.ky < s.kernel && p.c < s.c ? (p.ky * s.kernel + p.kx) * s.c + p.c : -1;
  }
}

/* to (o, k, k, c); row, column: this warp's corner in the block's tile, first_row: the block's */
template <class T> WORD void write_tile(const conv_shape &s, int first_row, int row, int column,
                                        const int *table, const float *sum, float *to)
{
  const size_t count = (size_t)(s.kernel * s.kernel * s.c);
#pragma unroll
  for (int i = 0; i < 8; i++) {
    const int o = first_row + row + channel_of<T>(i);
    if (o >= s.o) continue;
#pragma unroll
    for (int pair = 0; pair < T::wide / 8; pair++) {
      const int *at = table + column + pair_of<T>(pair);
#pragma unroll
      for (int tap = 0; tap < T::taps; tap++) {
        float *place = to + (size_t)o * count + (size_t)(tap * s.c);
        write_pair(place, at, sum[sum_of<T>(i, tap, pair, 0)], sum[sum_of<T>(i, tap, pair, 1)]);
      }
    }
  }
}

/* sum a tile of the weights' gradient */
/* to: (slices, o, k, k, c) partial sums; slice blockIdx.y takes `stages` stages of pixels. Shared memory:
   T::shared bytes. */
template <class T> __global__ void __launch_bounds__(T::threads, 256 / T::threads)
wgrad_kernel(conv_shape s, int column_tiles, int stages, const number<T> *x, const number<T> *dy,
             float *to)
{
  SHARED_ROOM(room);
  int *table = (int *)room;
  number<T> *stage = (number<T> *)(room + T::table);
  const int tile = (int)blockIdx.x, first_row = tile / column_tiles * T::m;
  const int first_column = tile % column_tiles * T::n;
  const int warp = threadIdx.x / 32, row = warp / T::columns * 64, column = warp % T::columns * T::wide;
  courier q = courier_of<T>(s, first_row, first_column, (int)blockIdx.y * stages * T::depth);
  float sum[T::sums] = { 0 };
  fill_table<T>(s, first_column, table);
  for (int i = 0; i < T::stages - 1; i++) {
    if (i < stages) fetch<T>(s, &q, x, dy, stage + i * T::stage);
    copy_commit();
  }
  /* sum over the stages */
  for (int i = 0, take = 0, put = T::stages - 1; i < stages; i++) {
    copy_wait<T::stages - 2>();
    __syncthreads();
    if (i + T::stages - 1 < stages) fetch<T>(s, &q, x, dy, stage + put * T::stage);
    copy_commit();
    const number<T> *at = stage + take * T::stage;
    multiply<T>(sum, at + row, at + T::y_size + column);
    take = take + 1 < T::stages ? take + 1 : 0, put = put + 1 < T::stages ? put + 1 : 0;
  }
  to += (size_t)blockIdx.y * (size_t)s.o * (size_t)(s.kernel * s.kernel * s.c);
  write_tile<T>(s, first_row, row, column, table, sum, to);
}

/* add the slices of the gradient */
enum { ADD_WIDE = 64, ADD_ROWS = 4 };

/* to (count) = the sum over slices of from (slices, count) */
__global__ void wgrad_add_slices(int slices, size_t count, const float *from, float *to)
{
  SHARED_ROOM(room);
  float *part = (float *)room, sum = 0;
  const size_t i = (size_t)blockIdx.x * ADD_WIDE + threadIdx.x;
#pragma unroll 4
  for (int s = (int)threadIdx.y; s < slices && i < count; s += ADD_ROWS) sum += from[(size_t)s * count + i];
  part[threadIdx.y * ADD_WIDE + threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y || i >= count) return;
  for (int r = 1; r < ADD_ROWS; r++) sum += part[r * ADD_WIDE + threadIdx.x];
  to[i] = sum;
}

/* split the sum among blocks */
/* most: slices that the room must hold; fewer images never need more */
typedef struct { int row_tiles, column_tiles, most, slices, stages; } wgrad_split;

template <class T> static wgrad_split split_of(const conv_shape &s)
{
  const int columns = s.kernel * (T::taps == 1 ? s.kernel : 1) * channels_read(s);
  const int all = (s.n * s.oh * (s.ow + T::halo) + T::depth - 1) / T::depth;
  wgrad_split q = { (s.o + T::m - 1) / T::m, (columns + T::n - 1) / T::n, 0, 0, 0 };
  q.most = 264 / (q.row_tiles * q.column_tiles);
  if (q.most > all / 8) q.most = all / 8;
  if (q.most < 1) q.most = 1;
  q.stages = (all + q.most - 1) / q.most;
  q.slices = (all + q.stages - 1) / q.stages;
  return q;
}

/* choose the way for a shape */
typedef enum { ROW_OF_5, ROW_OF_3, ROW_OF_3_LARGE, SQUARE, SMALL, IMAGE, SINGLY } wgrad_way;

static wgrad_way way_of(precision p, const conv_shape &s)
{
  const int whole = p == BF16 ? 8 : 4;                                       /* numbers in 16 bytes */
  const bool y_whole = s.o % whole == 0 && s.o_pitch % whole == 0;
  if (y_whole && channels_read(s) == 4 && s.c_pitch == 4) return IMAGE;
  if (!y_whole || s.c % whole || s.c_pitch % whole) return SINGLY;
  if (s.stride == 1 && s.kernel == 5 && s.ow >= 16) return ROW_OF_5;
  if (s.stride == 1 && s.kernel == 3 && s.ow >= 8) return s.o > 64 ? ROW_OF_3_LARGE : ROW_OF_3;
  return s.o > 64 && s.kernel * s.kernel * s.c > 128 ? SQUARE : SMALL;
}

/* size the sum, and run it */
/* The bytes of room that tile T needs; and when dw is given, the work. */
template <class T> static size_t wgrad_run(const conv_shape &s, const act *x, const act *dy, void *room,
                                           float *dw, cudaStream_t stream)
{
  const wgrad_split q = split_of<T>(s);
  const size_t count = (size_t)s.o * (size_t)(s.kernel * s.kernel * s.c);
  const size_t bytes = q.most > 1 ? (size_t)q.most * count * sizeof(float) : 0;
  if (!dw) return bytes;
  const dim3 grid((unsigned)(q.row_tiles * q.column_tiles), (unsigned)q.slices);
  LAUNCH((wgrad_kernel<T>), grid, T::threads, T::shared, stream, s, q.column_tiles, q.stages,
         (const number<T> *)x, (const number<T> *)dy, q.slices > 1 ? (float *)room : dw);
  if (q.slices > 1)
    LAUNCH((wgrad_add_slices), (unsigned)((count + ADD_WIDE - 1) / ADD_WIDE), dim3(ADD_WIDE, ADD_ROWS),
           ADD_WIDE * ADD_ROWS * sizeof(float), stream, q.slices, count, (const float *)room, dw);
  return bytes;
}

/* pick the tile of that way */
template <precision P, bool PAIRS = false>
static size_t wgrad_any(const conv_shape &s, const act *x, const act *dy, void *room, float *dw, cudaStream_t stream)
{
  constexpr int w = P == BF16 ? 8 : 4;
  switch (way_of(P, s)) {
  case ROW_OF_5: return wgrad_run<wgrad_tile<P, 1, 4, 16, 5, w, w, PAIRS> >(s, x, dy, room, dw, stream);
  case ROW_OF_3: return wgrad_run<wgrad_tile<P, 1, 4, 16, 3, w, w, PAIRS> >(s, x, dy, room, dw, stream);
  case ROW_OF_3_LARGE: return wgrad_run<wgrad_tile<P, 2, 4, 16, 3, w, w, PAIRS> >(s, x, dy, room, dw, stream);
  case SQUARE: return wgrad_run<wgrad_tile<P, 2, 2, 64, 1, w, w, PAIRS> >(s, x, dy, room, dw, stream);
  case SMALL: return wgrad_run<wgrad_tile<P, 1, 4, 32, 1, w, w, PAIRS> >(s, x, dy, room, dw, stream);
  case IMAGE: return wgrad_run<wgrad_tile<P, 1, 4, 32, 1, 4, w, PAIRS> >(s, x, dy, room, dw, stream);
  case SINGLY: break;
  }
  return wgrad_run<wgrad_tile<P, 1, 4, 32, 1, 1, 1, PAIRS> >(s, x, dy, room, dw, stream);
}

/* pick the precision */
static size_t weight_gradient(precision p, const conv_shape &s, const act *x, const act *dy, void *room,
                              float *dw, cudaStream_t stream)
{
  return p == FP32 ? wgrad_any<FP32>(s, x, dy, room, dw, stream)
       : p == BF16 ? wgrad_any<BF16>(s, x, dy, room, dw, stream)
       : candidate_on(CANDIDATE_TF32_WGRAD) ? wgrad_any<TF32, true>(s, x, dy, room, dw, stream)
                                            : wgrad_any<TF32>(s, x, dy, room, dw, stream);
}

size_t conv_room(precision p, conv_shape s) { return weight_gradient(p, s, NULL, NULL, NULL, NULL, 0); }

void cuda_conv_weight_gradient(precision p, conv_shape s, const act *x, const act *dy, void *room, float *dw,
                               cudaStream_t stream)
{
  weight_gradient(p, s, x, dy, room, dw, stream);
}

/* run the first kernel, for tests */
template <precision P> static void wgrad_plain_run(const conv_shape &s, const act *x, const act *dy, float *dw,
                                                  cudaStream_t stream)
{
  const dim3 grid((unsigned)((s.kernel * s.kernel * s.c + 127) / 128), (unsigned)s.o);
  LAUNCH((wgrad_plain<P>), grid, 128, 0, stream, s, x, dy, dw);
}

void cuda_conv_weight_gradient_plain(precision p, conv_shape s, const act *x, const act *dy, float *dw,
                                     cudaStream_t stream)
{
  if (p == FP32) wgrad_plain_run<FP32>(s, x, dy, dw, stream);
  if (p == TF32) wgrad_plain_run<TF32>(s, x, dy, dw, stream);
  if (p == BF16) wgrad_plain_run<BF16>(s, x, dy, dw, stream);
}

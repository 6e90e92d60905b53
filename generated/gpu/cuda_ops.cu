/* cuda_ops.cu: the passes over memory: gather, normalise, pool, dropout, fully connected, loss, update. */
#include "gpu/cuda_device.h"
#include "engines/rules.h"

/* load a pack of neighbours */
template <int V> struct pack { float v[V]; };

template <precision P, int V> WORD pack<V> load_pack(const act *x, size_t i)
{
  pack<V> p;
  if constexpr (V == 1) p.v[0] = load1<P>(x, i);
  else if constexpr (P == BF16) {
    const uint4 u = *(const uint4 *)((const bf16 *)x + i);
    const uint32_t two[4] = { u.x, u.y, u.z, u.w };
    for (int j = 0; j < 4; j++)
      p.v[2 * j] = __uint_as_float(two[j] << 16), p.v[2 * j + 1] = __uint_as_float(two[j] & 0xffff0000);
  } else
    for (int j = 0; j < V; j += 4) {
      const float4 f = load4<P>(x, i + j);
      p.v[j] = f.x, p.v[j + 1] = f.y, p.v[j + 2] = f.z, p.v[j + 3] = f.w;
    }
  return p;
}
/* store a pack, or add it */
template <precision P, int V> WORD void store_pack(act *y, size_t i, pack<V> p)
{
  if constexpr (V == 1) store1<P>(y, i, p.v[0]);
  else if constexpr (P == BF16)
    *(uint4 *)((bf16 *)y + i) = make_uint4(pack_bf16(p.v[0], p.v[1]), pack_bf16(p.v[2], p.v[3]),
                                           pack_bf16(p.v[4], p.v[5]), pack_bf16(p.v[6], p.v[7]));
  else
    for (int j = 0; j < V; j += 4)
      store4<P>(y, i + j, make_float4(p.v[j], p.v[j + 1], p.v[j + 2], p.v[j + 3]));
}

/* y = or += p */
template <precision P, int V> WORD void give_back(act *y, size_t i, bool add, pack<V> p)
{
  if (add) {
    const pack<V> old = load_pack<P, V>(y, i);
    for (int j = 0; j < V; j++) p.v[j] += old.v[j];
  }
  store_pack<P, V>(y, i, p);
}

/* floats whatever the precision: coefficients of V channels */
template <int V> WORD pack<V> load_floats(const float *x, size_t i) { return load_pack<FP32, V>(x, i); }

WORD float relu_of(float v) { return v > 0 ? v : 0; }
/* walk over a tile of rows */
enum { THREADS = 256 };

/* One block walks ROWS rows and GROUPS packs of V channels: LANES rows at a time, a pack a thread.
   first: its first row; number: its tile's. blockIdx.z: which stretch of m rows; 0 where all are one. */
template <int V, int ROWS> struct walk {
  enum { GROUPS = V == 1 ? 32 : 8, LANES = THREADS / GROUPS };
  int row, end, channel, first, number;
  WORD walk(int m)
  {
    const int stretch = (int)blockIdx.z * m, inside = (int)blockIdx.x * ROWS;
    first = stretch + inside, number = (int)(blockIdx.z * gridDim.x + blockIdx.x);
    row = first + (int)threadIdx.x / GROUPS, end = m - inside < ROWS ? stretch + m : first + ROWS;
    channel = ((int)blockIdx.y * GROUPS + (int)threadIdx.x % GROUPS) * V;
  }
};
template <int V> using tile = walk<V, NORM_ROWS>;

static unsigned pieces_of(size_t count, size_t piece) { return (unsigned)((count + piece - 1) / piece); }

template <class WALK> static dim3 walk_grid(int m, int rows, int c, int v)
{
  return dim3(pieces_of((size_t)m, (size_t)rows), pieces_of((size_t)c, (size_t)(WALK::GROUPS * v)));
}
template <int V> static dim3 tile_grid(int m, int c) { return walk_grid<tile<V>>(m, NORM_ROWS, c, V); }
static int tiles_of(int m) { return (int)pieces_of((size_t)m, NORM_ROWS); }
/* sum over the lanes of a block */
template <int Q, int V> struct lane_room {
  enum { COLUMNS = tile<V>::GROUPS * V, PITCH = Q * COLUMNS + tile<V>::GROUPS % 32,
         BYTES = tile<V>::LANES * PITCH * (int)sizeof(float) };
};

/* total[q]: the sum over all lanes of quantity q of channel *channel, for the threads that return true.
   All threads must come. */
template <int Q, int V> WORD bool sum_lanes(const pack<V> (&s)[Q], float (&total)[Q], int *channel)
{
  enum { GROUPS = tile<V>::GROUPS, COLUMNS = lane_room<Q, V>::COLUMNS, PITCH = lane_room<Q, V>::PITCH };
  SHARED_ROOM(room);
  float *part = (float *)room;
  const int t = (int)threadIdx.x, group = t % GROUPS, lane = t / GROUPS;
  for (int q = 0; q < Q; q++)
    for (int j = 0; j < V; j++) part[lane * PITCH + q * COLUMNS + j * GROUPS + group] = s[q].v[j];
  __syncthreads();
  *channel = ((int)blockIdx.y * GROUPS + group) * V + lane;
  if (t >= COLUMNS) return false;
  for (int q = 0; q < Q; q++) total[q] = 0;
  for (int l = 0; l < tile<V>::LANES; l++)
    for (int q = 0; q < Q; q++) total[q] += part[l * PITCH + q * COLUMNS + t];
  return true;
}
/* leave a block's column sums */
/* partial (tiles, c): this block's sums */
template <int V> WORD void leave_columns(const pack<V> (&sum)[1], int c, float *partial)
{
  float total[1];
  int channel;
  if (sum_lanes(sum, total, &channel) && channel < c)
    partial[(size_t)blockIdx.x * (size_t)c + (size_t)channel] = total[0];
}
/* pick the kernel by precision and width */
template <precision P_, int V_> struct kind {
  static constexpr precision P = P_;
  static constexpr int V = V_;
};

/* f(kind<precision, pack width>) */
template <class F> static void by_kind(precision p, bool wide, F f)
{
  if (p == FP32) wide ? f(kind<FP32, 4>()) : f(kind<FP32, 1>());
  else if (p == TF32) wide ? f(kind<TF32, 4>()) : f(kind<TF32, 1>());
  else wide ? f(kind<BF16, 8>()) : f(kind<BF16, 1>());
}

static uintptr_t at(const void *p) { return (uintptr_t)p; }

/* Whether packs of 16 bytes divide c channels, and all addresses (or'ed) are multiples of 16. */
static bool wide(precision p, int c, uintptr_t addresses)
{
  return c % (p == BF16 ? 8 : 4) == 0 && addresses % 16 == 0;
}

/* visit each element */
/* AHEAD packs a thread, all loaded before the first is stored: an OP gets what it needs at i, then puts. */
template <int V> struct ahead { enum { AHEAD = V == 8 ? 2 : 4 }; };

template <int V, class OP> __global__ void __launch_bounds__(THREADS, 4) each(size_t count, OP op)
{
  enum { AHEAD = ahead<V>::AHEAD };
  const size_t first = ((size_t)blockIdx.x * AHEAD * THREADS + threadIdx.x) * V;
  typename OP::template held<V> held[AHEAD];
#pragma unroll
  for (int u = 0; u < AHEAD; u++) {
    const size_t i = first + (size_t)u * THREADS * V;
    if (i + V <= count) held[u] = op.template get<V>(i);
  }
#pragma unroll
  for (int u = 0; u < AHEAD; u++) {
    size_t i = first + (size_t)u * THREADS * V;
    if (i + V <= count) op.template put<V>(i, held[u]);
    else
#pragma unroll 1
      for (; i < count; i++) op.template put<1>(i, op.template get<1>(i));
  }
}

template <int V, class OP> static void launch_each(size_t count, OP op, cudaStream_t stream)
{
  if (count)
    LAUNCH((each<V, OP>), pieces_of(count, ahead<V>::AHEAD * THREADS * V), THREADS, 0, stream, count, op);
}
/* add, and cut at zero */
template <precision P> struct sum_op {                           /* y = relu?(x + r?) */
  const act *x, *r; bool relu; act *y;
  template <int V> struct held { pack<V> x, r; };
  template <int V> WORD held<V> get(size_t i) const
  {
    held<V> h = {};
    h.x = load_pack<P, V>(x, i);
    if (r) h.r = load_pack<P, V>(r, i);
    return h;
  }
  template <int V> WORD void put(size_t i, held<V> h) const
  {
    for (int j = 0; j < V; j++) {
      const float v = r ? h.x.v[j] + h.r.v[j] : h.x.v[j];
      h.x.v[j] = relu ? relu_of(v) : v;
    }
    store_pack<P, V>(y, i, h.x);
  }
};

void cuda_add_forward(precision p, size_t count, const act *x, const act *r, bool relu, act *y,
                      cudaStream_t stream)
{
  by_kind(p, wide(p, 0, at(x) | at(r) | at(y)),
          [&](auto k) { launch_each<k.V>(count, sum_op<k.P>{ x, r, relu, y }, stream); });
}

void cuda_relu_forward(precision p, size_t count, const act *x, act *y, cudaStream_t stream)
{
  cuda_add_forward(p, count, x, NULL, true, y, stream);
}
/* pass a gradient where ReLU let through */
template <precision P> struct pass_op {                          /* to = or += y > 0 ? from : 0 */
  const act *from, *y; bool add; act *to;
  template <int V> struct held { pack<V> g, y, old; };
  template <int V> WORD held<V> get(size_t i) const
  {
    held<V> h = {};
    h.g = load_pack<P, V>(from, i);
    if (y) h.y = load_pack<P, V>(y, i);
    if (add) h.old = load_pack<P, V>(to, i);
    return h;
  }
  template <int V> WORD void put(size_t i, held<V> h) const
  {
    for (int j = 0; j < V; j++) {
      const float g = !y || h.y.v[j] > 0 ? h.g.v[j] : 0;
      h.g.v[j] = add ? h.old.v[j] + g : g;
    }
    store_pack<P, V>(to, i, h.g);
  }
};

void cuda_pass_gradient(precision p, size_t count, const act *from, const act *y, bool add, act *to,
                        cudaStream_t stream)
{
  by_kind(p, wide(p, 0, at(from) | at(y) | at(to)),
          [&](auto k) { launch_each<k.V>(count, pass_op<k.P>{ from, y, add, to }, stream); });
}
/* convert between precisions */
template <precision FROM, precision TO> struct convert_op {
  const act *from; act *to;
  template <int V> struct held { pack<V> x; };
  template <int V> WORD held<V> get(size_t i) const { return { load_pack<FROM, V>(from, i) }; }
  template <int V> WORD void put(size_t i, held<V> h) const { store_pack<TO, V>(to, i, h.x); }
};

void cuda_to_act(precision p, size_t count, const float *from, act *to, cudaStream_t stream)
{
  if (p == FP32) cuda_add_forward(FP32, count, from, NULL, false, to, stream);
  else by_kind(p, wide(p, 0, at(from) | at(to)),
               [&](auto k) {
                 if constexpr (k.P != FP32)
                   launch_each<k.V>(count, convert_op<FP32, k.P>{ from, to }, stream);
               });
}

void cuda_from_act(precision p, size_t count, const act *from, float *to, cudaStream_t stream)
{
  if (p != BF16) cuda_add_forward(FP32, count, from, NULL, false, to, stream);
  else by_kind(p, wide(p, 0, at(from) | at(to)),
               [&](auto k) {
                 if constexpr (k.P == BF16)
                   launch_each<k.V>(count, convert_op<k.P, FP32>{ from, to }, stream);
               });
}
/* gather a batch from the cells */
/* One thread a pixel. x (n, h, w, stored) */
template <precision P> __global__ void __launch_bounds__(THREADS)
gather(int pixels, int h, int w, int c, int stored, const uint8_t *cells, const float *mean, const int *row,
       const uint8_t *turn, act *x)
{
  const int p = (int)(blockIdx.x * THREADS + threadIdx.x);
  if (p >= pixels) return;
  const int i = p / (h * w), inside = p % (h * w);
  int sy, sx;
  turn_source(turn ? turn[i] : 0, h, w, inside / w, inside % w, &sy, &sx);
  const size_t source = ((size_t)row[i] * (size_t)h + (size_t)sy) * (size_t)w + (size_t)sx;
  const uint8_t *from = cells + source * (size_t)c;
  const float *m = mean ? mean + (size_t)inside * (size_t)c : NULL;
  if (stored == 4 && c == 3) {
    const float v[3] = { from[0] - (m ? m[0] : 0), from[1] - (m ? m[1] : 0), from[2] - (m ? m[2] : 0) };
    store4<P>(x, (size_t)p * 4, make_float4(v[0], v[1], v[2], 0));
    return;
  }
  for (int j = 0; j < stored; j++)
    store1<P>(x, (size_t)p * (size_t)stored + (size_t)j, j < c ? from[j] - (m ? m[j] : 0) : 0);
}

void cuda_gather(precision p, int n, int h, int w, int c, int stored, const uint8_t *pixels,
                 const float *mean, const int *row, const uint8_t *turn, act *x, cudaStream_t stream)
{
  const int count = n * h * w;
  by_kind(p, false, [&](auto k) {
    LAUNCH((gather<k.P>), pieces_of((size_t)count, THREADS), THREADS, 0, stream, count, h, w, c, stored,
           pixels, mean, row, turn, x);
  });
}
/* merge partial sums over lanes */
enum { MERGE_COLUMNS = 8, MERGE_LANES = 64, MERGE_THREADS = MERGE_COLUMNS * MERGE_LANES,
       MERGE_BYTES = MERGE_THREADS * (int)sizeof(double) };

/* The sum of v over the lanes of this thread's column, in a fixed order, for every thread. */
WORD double merge_lanes(double v)
{
  SHARED_ROOM(room);
  double *part = (double *)room;
  const int t = (int)threadIdx.x;
  part[t] = v;
  __syncthreads();
  for (int step = MERGE_LANES / 2; step > 0; step /= 2) {
    if (t < step * MERGE_COLUMNS) part[t] += part[t + step * MERGE_COLUMNS];
    __syncthreads();
  }
  v = part[t % MERGE_COLUMNS];
  __syncthreads();
  return v;
}
/* sum the tiles, two columns of sums */
/* first (c), second (columns - c): column sums of partial (tiles, columns) */
__global__ void __launch_bounds__(MERGE_THREADS)
sum_tiles(int tiles, int columns, int c, const float *partial, float *first, float *second)
{
  const int column = (int)(blockIdx.x * MERGE_COLUMNS + threadIdx.x % MERGE_COLUMNS),
    lane = (int)threadIdx.x / MERGE_COLUMNS;
  double sum = 0;
#pragma unroll 4
  for (int i = lane; i < tiles && column < columns; i += MERGE_LANES)
    sum += partial[(size_t)i * (size_t)columns + (size_t)column];
  sum = merge_lanes(sum);
  if (lane || column >= columns) return;
  if (column < c) first[column] = (float)sum;
  else second[column - c] = (float)sum;
}

static void launch_sum_tiles(int tiles, int columns, int c, const float *partial, float *first, float *second,
                             cudaStream_t stream)
{
  LAUNCH((sum_tiles), pieces_of((size_t)columns, MERGE_COLUMNS), MERGE_THREADS, MERGE_BYTES, stream, tiles,
         columns, c, partial, first, second);
}

void cuda_norm_sums_finish(int tiles, int c, const float *partial, float *dscale, float *doffset,
                           cudaStream_t stream)
{
  launch_sum_tiles(tiles, 2 * c, c, partial, doffset, dscale, stream);
}

void cuda_sum_columns(int tiles, int c, const float *partial, float *sums, cudaStream_t stream)
{
  launch_sum_tiles(tiles, c, c, partial, sums, NULL, stream);
}
/* sum the columns of a tensor */
template <precision P, int V> __global__ void __launch_bounds__(THREADS)
column_sums(int m, int c, const act *x, float *partial)
{
  const tile<V> w(m);
  pack<V> sum[1] = {};
  for (int first = w.row; first < w.end && w.channel < c; first += 4 * w.LANES) {
    pack<V> v[4] = {};
#pragma unroll
    for (int u = 0; u < 4; u++)
      if (first + u * w.LANES < w.end)
        v[u] = load_pack<P, V>(x, (size_t)(first + u * w.LANES) * (size_t)c + (size_t)w.channel);
#pragma unroll
    for (int u = 0; u < 4; u++)
      for (int j = 0; j < V; j++) sum[0].v[j] += v[u].v[j];
  }
  leave_columns(sum, c, partial);
}

void cuda_column_sums(precision p, int m, int c, const act *x, float *room, float *sums, cudaStream_t stream)
{
  by_kind(p, wide(p, c, at(x)), [&](auto k) {
    LAUNCH((column_sums<k.P, k.V>), tile_grid<k.V>(m, c), THREADS, (lane_room<1, k.V>::BYTES), stream, m, c,
           x, room);
  });
  cuda_sum_columns(tiles_of(m), c, room, sums, stream);
}
/* take the statistics of a norm */
/* take a tile's mean and squares */
template <precision P, int V> __global__ void __launch_bounds__(THREADS)
norm_statistics(int m, int c, const act *x, float *partial)
{
  const tile<V> w(m);
  const size_t top = (size_t)w.first * (size_t)c;
  pack<V> sum[2] = {}, pivot = {};
  if (w.channel < c) pivot = load_pack<P, V>(x, top + (size_t)w.channel);
  for (int first = w.row; first < w.end && w.channel < c; first += 4 * w.LANES) {
    pack<V> v[4];
#pragma unroll
    for (int u = 0; u < 4; u++) {
      const int row = first + u * w.LANES;
      v[u] = row < w.end ? load_pack<P, V>(x, (size_t)row * (size_t)c + (size_t)w.channel) : pivot;
    }
#pragma unroll
    for (int u = 0; u < 4; u++)
      for (int j = 0; j < V; j++) {
        const float d = v[u].v[j] - pivot.v[j];
        sum[0].v[j] += d, sum[1].v[j] = fmaf(d, d, sum[1].v[j]);
      }
  }
  /* leave the tile's mean and squares */
  float total[2];
  int channel;
  if (!sum_lanes(sum, total, &channel) || channel >= c) return;
  const float rows = (float)(w.end - w.first), shift = total[0] / rows;
  float *to = partial + (size_t)w.number * 2 * (size_t)c + channel;
  to[0] = load1<P>(x, top + (size_t)channel) + shift;
  to[c] = fmaxf(total[1] - shift * total[0], 0);
}
/* leave a channel's coefficients */
void cuda_norm_statistics(precision p, int m, int c, const act *x, float *partial, cudaStream_t stream)
{
  by_kind(p, wide(p, c, at(x)), [&](auto k) {
    LAUNCH((norm_statistics<k.P, k.V>), tile_grid<k.V>(m, c), THREADS, (lane_room<2, k.V>::BYTES), stream,
           m, c, x, partial);
  });
}

/* coef (4, c) of this block's stretch of rows */
WORD const float *coef_here(const float *coef, int c) { return coef + (size_t)blockIdx.z * 4 * (size_t)c; }

/* coef (4, c) of channel i */
WORD void leave_coef(int c, int i, double mean, double variance, const float *scale, const float *offset,
                     float *coef)
{
  const double inverse = 1 / sqrt(variance + (double)NORM_EPSILON), a = scale[i] * inverse;
  coef[i] = (float)mean, coef[c + i] = (float)inverse;
  coef[2 * c + i] = (float)a, coef[3 * c + i] = (float)(offset[i] - mean * a);
}
/* merge the tiles into mean and variance */
__global__ void __launch_bounds__(MERGE_THREADS)
norm_finish(int rows, int m, int c, const float *partial, const float *scale, const float *offset,
            float *coef, float *batch_stat)
{
  const int i = (int)(blockIdx.x * MERGE_COLUMNS + threadIdx.x % MERGE_COLUMNS),
    lane = (int)threadIdx.x / MERGE_COLUMNS, tiles = (m - 1) / rows + 1;
  const size_t step = 2 * (size_t)c;
  const float *mean_of = partial + i, *square_of = mean_of + c;
  double sum = 0, square = 0;
#pragma unroll 4
  for (int t = lane; t < tiles && i < c; t += MERGE_LANES)
    sum += (double)mean_of[(size_t)t * step] * (t < tiles - 1 ? rows : m - t * rows);
  const double mean = merge_lanes(sum) / m;
#pragma unroll 4
  for (int t = lane; t < tiles && i < c; t += MERGE_LANES) {
    const double d = mean_of[(size_t)t * step] - mean;
    square += square_of[(size_t)t * step] + d * d * (t < tiles - 1 ? rows : m - t * rows);
  }
  const double variance = merge_lanes(square) / m;
  if (lane || i >= c) return;
  leave_coef(c, i, mean, variance, scale, offset, coef);
  batch_stat[i] = (float)mean, batch_stat[c + i] = (float)variance;
}

void cuda_norm_finish(int rows, int m, int c, const float *partial, const float *scale, const float *offset,
                      float *coef, float *batch_stat, cudaStream_t stream)
{
  LAUNCH((norm_finish), pieces_of((size_t)c, MERGE_COLUMNS), MERGE_THREADS, MERGE_BYTES, stream, rows, m, c,
         partial, scale, offset, coef, batch_stat);
}
/* take coefficients from stored statistics */
__global__ void norm_stored(int c, const float *stat, const float *scale, const float *offset, float *coef)
{
  const int i = (int)(blockIdx.x * THREADS + threadIdx.x);
  if (i < c) leave_coef(c, i, stat[i], stat[c + i], scale, offset, coef);
}

void cuda_norm_stored(int c, const float *stat, const float *scale, const float *offset, float *coef,
                      cudaStream_t stream)
{
  LAUNCH((norm_stored), pieces_of((size_t)c, THREADS), THREADS, 0, stream, c, stat, scale, offset, coef);
}
/* normalise, add, and cut at zero */
template <precision P, int V> __global__ void __launch_bounds__(THREADS)
norm_apply(int m, int c, const act *x, const act *r, bool relu, const float *coef, act *y)
{
  enum { AHEAD = ahead<V>::AHEAD };
  const tile<V> w(m);
  if (w.channel >= c) return;
  coef = coef_here(coef, c);
  const pack<V> a = load_floats<V>(coef, 2 * (size_t)c + w.channel),
    b = load_floats<V>(coef, 3 * (size_t)c + w.channel);
  for (int first = w.row; first < w.end; first += AHEAD * w.LANES) {
    pack<V> v[AHEAD], q[AHEAD];
#pragma unroll
    for (int u = 0; u < AHEAD; u++) {
      const size_t i = (size_t)(first + u * w.LANES) * (size_t)c + (size_t)w.channel;
      if (first + u * w.LANES >= w.end) continue;
      v[u] = load_pack<P, V>(x, i);
      if (r) q[u] = load_pack<P, V>(r, i);
    }
#pragma unroll
    for (int u = 0; u < AHEAD; u++) {
      const size_t i = (size_t)(first + u * w.LANES) * (size_t)c + (size_t)w.channel;
      if (first + u * w.LANES >= w.end) continue;
      for (int j = 0; j < V; j++) {
        float s = fmaf(v[u].v[j], a.v[j], b.v[j]);
        if (r) s += q[u].v[j];
        v[u].v[j] = relu ? relu_of(s) : s;
      }
      store_pack<P, V>(y, i, v[u]);
    }
  }
}
/* launch the normalisation */
void cuda_norm_apply(precision p, int m, int c, const act *x, const act *r, bool relu, const float *coef,
                     act *y, cudaStream_t stream)
{
  by_kind(p, wide(p, c, at(x) | at(r) | at(coef) | at(y)), [&](auto k) {
    LAUNCH((norm_apply<k.P, k.V>), tile_grid<k.V>(m, c), THREADS, 0, stream, m, c, x, r, relu, coef, y);
  });
}
/* find where a gradient comes from */
/* read a gradient as it lies */
/* g = y > 0 ? dy : 0, or dy when y is NULL */
struct straight {
  enum { AGAIN = 0 };
  const act *dy, *y;
  struct cursor {};
  WORD cursor start(int) const { return {}; }
  WORD void advance(cursor *, int) const {}
  template <precision P, int V> WORD pack<V> gradient(cursor, int row, int c, int channel) const
  {
    const size_t i = (size_t)row * (size_t)c + (size_t)channel;
    pack<V> g = load_pack<P, V>(dy, i);
    if (!y) return g;
    const pack<V> out = load_pack<P, V>(y, i);
    for (int j = 0; j < V; j++) g.v[j] = out.v[j] > 0 ? g.v[j] : 0;
    return g;
  }
};
/* mask a gradient by computing y again */
/* g = x a + b > 0 ? dy : 0: the kernel, which has x, a and b, masks */
struct again : straight { enum { AGAIN = 1 }; };

template <int V> WORD void mask_again(pack<V> *g, const pack<V> &x, const pack<V> &a, const pack<V> &b)
{
  for (int j = 0; j < V; j++) g->v[j] = fmaf(x.v[j], a.v[j], b.v[j]) > 0 ? g->v[j] : 0;
}

/* f(source): y NULL: no mask; y == x: masked again */
template <class F> static void by_mask(const act *x, const act *dy, const act *y, F f)
{
  if (y && y == x) f(again{ { dy, NULL } });
  else f(straight{ dy, y });
}
/* load the places of maxima */
template <int V> struct places { uint8_t v[V]; };
template <int V> WORD places<V> load_places(const uint8_t *p)
{
  places<V> q;
  if constexpr (V == 1) q.v[0] = *p;
  else {
    uint32_t word[2];
    if constexpr (V == 4) word[0] = *(const uint32_t *)p;
    else word[0] = ((const uint2 *)p)->x, word[1] = ((const uint2 *)p)->y;
    for (int j = 0; j < V; j++) q.v[j] = (uint8_t)(word[j / 4] >> j % 4 * 8);
  }
  return q;
}
template <int V> WORD void store_places(uint8_t *p, places<V> q)
{
  if constexpr (V == 1) *p = q.v[0];
  else {
    uint32_t word[2] = {};
    for (int j = 0; j < V; j++) word[j / 4] |= (uint32_t)q.v[j] << j % 4 * 8;
    if constexpr (V == 4) *(uint32_t *)p = word[0];
    else *(uint2 *)p = make_uint2(word[0], word[1]);
  }
}
/* gather a gradient through a pooling */
/* g: the gradients of the windows whose maximum this element was.
   K 2: windows of 2 x 2, side by side; K 0: any. */
template <int K> struct through_pool {
  enum { AGAIN = 0 };
  pool_shape s;
  const act *dy; const uint8_t *place; const act *pooled;
  struct cursor { int n, y, x; };
  WORD cursor start(int row) const { return { row / (s.h * s.w), row / s.w % s.h, row % s.w }; }
  WORD void advance(cursor *at, int rows) const
  {
    for (at->x += rows; at->x >= s.w; at->x -= s.w)
      if (++at->y == s.h) at->y = 0, at->n++;
  }
  /* add what a window hands back */
  template <precision P, int V> WORD void ask(pack<V> *g, int n, int u, int v, int taps, int channel) const
  {
    const size_t i = (((size_t)n * s.oh + u) * s.ow + v) * s.c + channel;
    const pack<V> d = load_pack<P, V>(dy, i);
    const places<V> won = load_places<V>(place + i);
    pack<V> out = {};
    if (pooled) out = load_pack<P, V>(pooled, i);
    for (int j = 0; j < V; j++) g->v[j] += won.v[j] == taps && (!pooled || out.v[j] > 0) ? d.v[j] : 0;
  }
  /* ask the windows that hold an element */
  template <precision P, int V> WORD pack<V> gradient(cursor at, int, int, int channel) const
  {
    pack<V> g = {};
    if constexpr (K == 2) {
      if (at.y / 2 < s.oh && at.x / 2 < s.ow)
        ask<P, V>(&g, at.n, at.y / 2, at.x / 2, at.y % 2 * 2 + at.x % 2, channel);
      return g;
    }
    const int y = at.y + s.pad_top, x = at.x + s.pad_left;
    const int u0 = y < s.kernel ? 0 : (y - s.kernel) / s.stride + 1,
      v0 = x < s.kernel ? 0 : (x - s.kernel) / s.stride + 1;
    for (int u = u0; u < s.oh && u * s.stride <= y; u++)
      for (int v = v0; v < s.ow && v * s.stride <= x; v++)
        ask<P, V>(&g, at.n, u, v, (y - u * s.stride) * s.kernel + x - v * s.stride, channel);
    return g;
  }
};
/* sum g, and g times what was normalised */
template <precision P, int V, class SOURCE> __global__ void __launch_bounds__(THREADS)
norm_sums(int m, int c, const act *x, SOURCE from, const float *coef, bool add_dr, act *dr, float *partial)
{
  const tile<V> w(m);
  coef = coef_here(coef, c);
  pack<V> sum[2] = {}, mean = {}, a, b;
  if (w.channel < c) mean = load_floats<V>(coef, (size_t)w.channel);
  if (SOURCE::AGAIN && w.channel < c)
    a = load_floats<V>(coef, 2 * (size_t)c + w.channel), b = load_floats<V>(coef, 3 * (size_t)c + w.channel);
  typename SOURCE::cursor at = from.start(w.row);
  for (int first = w.row; first < w.end && w.channel < c; first += 2 * w.LANES) {
    pack<V> z[2] = {}, g[2] = {};
#pragma unroll
    for (int u = 0; u < 2; u++, from.advance(&at, w.LANES)) {
      const int row = first + u * w.LANES;
      if (row >= w.end) continue;
      z[u] = load_pack<P, V>(x, (size_t)row * (size_t)c + (size_t)w.channel);
      g[u] = from.template gradient<P, V>(at, row, c, w.channel);
    }
#pragma unroll
    for (int u = 0; u < 2; u++) {
      const int row = first + u * w.LANES;
      if (SOURCE::AGAIN) mask_again(&g[u], z[u], a, b);
      if (dr && row < w.end) give_back<P, V>(dr, (size_t)row * (size_t)c + (size_t)w.channel, add_dr, g[u]);
      for (int j = 0; j < V; j++)
        sum[0].v[j] += g[u].v[j], sum[1].v[j] = fmaf(g[u].v[j], z[u].v[j] - mean.v[j], sum[1].v[j]);
    }
  }
  /* leave the tile's gradient sums */
  float total[2];
  int channel;
  if (!sum_lanes(sum, total, &channel) || channel >= c) return;
  float *to = partial + (size_t)w.number * 2 * (size_t)c + channel;
  to[0] = total[0], to[c] = total[1] * coef[c + channel];
}
/* launch the gradient's sums */
void cuda_norm_sums(precision p, int m, int c, const act *x, const act *dy, const act *y, const float *coef,
                    bool add_dr, act *dr, float *partial, cudaStream_t stream)
{
  by_kind(p, wide(p, c, at(x) | at(dy) | at(y) | at(coef) | at(dr)), [&](auto k) {
    by_mask(x, dy, y, [&](auto from) {
      LAUNCH((norm_sums<k.P, k.V, decltype(from)>), tile_grid<k.V>(m, c), THREADS,
             (lane_room<2, k.V>::BYTES), stream, m, c, x, from, coef, add_dr, dr, partial);
    });
  });
}

/* pick the kernel by the pooling */
template <int K_> struct taps_of { static constexpr int K = K_; };

/* f(kind, taps_of<2 or 0>) */
template <class F> static void by_pool(precision p, pool_shape s, uintptr_t addresses, F f)
{
  const bool halves = s.kernel == 2 && s.stride == 2 && !s.pad_top && !s.pad_left;
  by_kind(p, wide(p, s.c, addresses), [&](auto k) {
    if constexpr (k.V > 1)
      if (halves) { f(k, taps_of<2>()); return; }
    f(k, taps_of<0>());
  });
}
void cuda_norm_pool_sums(precision p, pool_shape s, const act *x, const act *dy, const uint8_t *place,
                         const act *pooled, const float *coef, float *partial, cudaStream_t stream)
{
  const int m = s.n * s.h * s.w;
  by_pool(p, s, at(x) | at(dy) | at(place) * 2 | at(pooled) | at(coef), [&](auto k, auto taps) {
    LAUNCH((norm_sums<k.P, k.V, through_pool<taps.K>>), tile_grid<k.V>(m, s.c), THREADS,
           (lane_room<2, k.V>::BYTES), stream, m, s.c, x, (through_pool<taps.K>{ s, dy, place, pooled }),
           coef, false, (act *)NULL, partial);
  });
}
/* give the input its gradient */
template <precision P, int V, class SOURCE> __global__ void __launch_bounds__(THREADS)
norm_dx(int m, int c, const act *x, SOURCE from, const float *coef, const float *dscale, const float *doffset,
        bool add_dr, act *dr, bool add, act *dx, float *column)
{
  const tile<V> w(m);
  pack<V> sum[1] = {};
  if (w.channel < c) {
    /* load what the channels have in common */
    const pack<V> mean = load_floats<V>(coef, (size_t)w.channel),
      a = load_floats<V>(coef, 2 * (size_t)c + w.channel);
    pack<V> k1 = load_floats<V>(doffset, (size_t)w.channel), k2 = load_floats<V>(dscale, (size_t)w.channel);
    const pack<V> inverse = load_floats<V>(coef, (size_t)c + w.channel);
    for (int j = 0; j < V; j++) k1.v[j] /= (float)m, k2.v[j] = k2.v[j] / (float)m * inverse.v[j];
    pack<V> b;
    if (SOURCE::AGAIN) b = load_floats<V>(coef, 3 * (size_t)c + w.channel);
    typename SOURCE::cursor at = from.start(w.row);
    for (int first = w.row; first < w.end; first += 2 * w.LANES) {
      pack<V> z[2], g[2];
#pragma unroll
      for (int u = 0; u < 2; u++, from.advance(&at, w.LANES)) {
        const int row = first + u * w.LANES;
        if (row >= w.end) continue;
        z[u] = load_pack<P, V>(x, (size_t)row * (size_t)c + (size_t)w.channel);
        g[u] = from.template gradient<P, V>(at, row, c, w.channel);
      }
      /* write these rows' gradients */
      #pragma unroll
      for (int u = 0; u < 2; u++) {
        const int row = first + u * w.LANES;
        const size_t i = (size_t)row * (size_t)c + (size_t)w.channel;
        if (row >= w.end) continue;
        if (SOURCE::AGAIN) mask_again(&g[u], z[u], a, b);
        if (dr) give_back<P, V>(dr, i, add_dr, g[u]);
        for (int j = 0; j < V; j++) {
          g[u].v[j] = a.v[j] * (g[u].v[j] - fmaf(z[u].v[j] - mean.v[j], k2.v[j], k1.v[j]));
          sum[0].v[j] += store_round<P>(g[u].v[j]);
        }
        give_back<P, V>(dx, i, add, g[u]);
      }
    }
  }
  if (column) leave_columns(sum, c, column);
}
/* launch the input's gradient */
void cuda_norm_dx(precision p, int m, int c, const act *x, const act *dy, const act *y, const float *coef,
                  const float *dscale, const float *doffset, bool add, act *dx, float *column,
                  cudaStream_t stream)
{
  by_kind(p, wide(p, c, at(x) | at(dy) | at(y) | at(coef) | at(dscale) | at(doffset) | at(dx)), [&](auto k) {
    by_mask(x, dy, y, [&](auto from) {
      LAUNCH((norm_dx<k.P, k.V, decltype(from)>), tile_grid<k.V>(m, c), THREADS, (lane_room<1, k.V>::BYTES),
             stream, m, c, x, from, coef, dscale, doffset, false, (act *)NULL, add, dx, column);
    });
  });
}

void cuda_norm_pool_dx(precision p, pool_shape s, const act *x, const act *dy, const uint8_t *place,
                       const act *pooled, const float *coef, const float *dscale, const float *doffset,
                       bool add_dr, act *dr, bool add, act *dx, float *column, cudaStream_t stream)
{
  const int m = s.n * s.h * s.w;
  const uintptr_t all = at(x) | at(dy) | at(place) * 2 | at(pooled) | at(coef) | at(dscale) | at(doffset)
    | at(dr) | at(dx);
  by_pool(p, s, all, [&](auto k, auto taps) {
    LAUNCH((norm_dx<k.P, k.V, through_pool<taps.K>>), tile_grid<k.V>(m, s.c), THREADS,
           (lane_room<1, k.V>::BYTES), stream, m, s.c, x, (through_pool<taps.K>{ s, dy, place, pooled }),
           coef, dscale, doffset, add_dr, dr, add, dx, column);
  });
}
/* normalise groups of channels on a device */
/* say what a thread merges of a group */
/* What a thread of a merging kernel is about: group `index` of all images' groups; entries: 0 beyond
   the last. */
struct group_part {
  int image, first, channels, tiles, entries;
  WORD group_part(const group_shape &s)
  {
    const int index = (int)(blockIdx.x * MERGE_COLUMNS + threadIdx.x % MERGE_COLUMNS);
    channels = s.c / s.groups, tiles = (s.m - 1) / NORM_ROWS + 1;
    image = index / s.groups, first = index % s.groups * channels;
    entries = image < s.n ? tiles * channels : 0;
  }
  /* where channel `first + i % channels` of tile i / channels stands in partial */
  WORD size_t at(int c, int i) const
  {
    return ((size_t)image * tiles + i / channels) * 2 * (size_t)c + first + i % channels;
  }
  WORD double rows(int m, int i) const
  {
    return i / channels < tiles - 1 ? NORM_ROWS : m - (tiles - 1) * NORM_ROWS;
  }
};

static unsigned group_blocks(group_shape s) { return pieces_of((size_t)s.n * (size_t)s.groups, MERGE_COLUMNS); }
static dim3 images_grid(dim3 one, group_shape s) { return dim3(one.x, one.y, (unsigned)s.n); }
/* merge a group's statistics, and normalise */
__global__ void __launch_bounds__(MERGE_THREADS)
group_finish(group_shape s, const float *partial, const float *scale, const float *offset, float *coef)
{
  const group_part q(s);
  const int lane = (int)threadIdx.x / MERGE_COLUMNS;
  const double all = (double)s.m * q.channels;
  double sum = 0, square = 0;
  for (int i = lane; i < q.entries; i += MERGE_LANES) sum += partial[q.at(s.c, i)] * q.rows(s.m, i);
  const double mean = merge_lanes(sum) / all;
  for (int i = lane; i < q.entries; i += MERGE_LANES) {
    const double d = partial[q.at(s.c, i)] - mean;
    square += partial[q.at(s.c, i) + s.c] + d * d * q.rows(s.m, i);
  }
  const double variance = merge_lanes(square) / all;
  for (int i = lane; i < q.channels && q.entries; i += MERGE_LANES)
    leave_coef(s.c, q.first + i, mean, variance, scale, offset, coef + (size_t)q.image * 4 * (size_t)s.c);
}

void cuda_group_statistics(precision p, group_shape s, const act *x, const float *scale, const float *offset,
                           float *partial, float *coef, cudaStream_t stream)
{
  by_kind(p, wide(p, s.c, at(x)), [&](auto k) {
    LAUNCH((norm_statistics<k.P, k.V>), images_grid(tile_grid<k.V>(s.m, s.c), s), THREADS,
           (lane_room<2, k.V>::BYTES), stream, s.m, s.c, x, partial);
  });
  LAUNCH((group_finish), group_blocks(s), MERGE_THREADS, MERGE_BYTES, stream, s, partial, scale, offset,
         coef);
}

void cuda_group_apply(precision p, group_shape s, const act *x, const float *coef, act *y, cudaStream_t stream)
{
  by_kind(p, wide(p, s.c, at(x) | at(coef) | at(y)), [&](auto k) {
    LAUNCH((norm_apply<k.P, k.V>), images_grid(tile_grid<k.V>(s.m, s.c), s), THREADS, 0, stream, s.m, s.c,
           x, (const act *)NULL, false, coef, y);
  });
}
/* merge a group's gradient sums */
__global__ void __launch_bounds__(MERGE_THREADS)
group_common(group_shape s, const float *partial, const float *scale, const float *coef, float *common)
{
  const group_part q(s);
  const int lane = (int)threadIdx.x / MERGE_COLUMNS;
  double sum = 0, product = 0;
  for (int i = lane; i < q.entries; i += MERGE_LANES) {
    const double gamma = scale[q.first + i % q.channels];
    sum += gamma * partial[q.at(s.c, i)], product += gamma * partial[q.at(s.c, i) + s.c];
  }
  sum = merge_lanes(sum), product = merge_lanes(product);
  if (!q.entries) return;
  const double inverse = coef[((size_t)q.image * 4 + 1) * (size_t)s.c + q.first],
    all = (double)s.m * q.channels;
  float *to = common + (size_t)q.image * 2 * (size_t)s.c + q.first;
  for (int i = lane; i < q.channels; i += MERGE_LANES)
    to[i] = (float)(inverse * sum / all), to[s.c + i] = (float)(inverse * inverse * product / all);
}

void cuda_group_sums(precision p, group_shape s, const act *x, const act *dy, const float *scale,
                     const float *coef, float *partial, float *dscale, float *doffset, float *common,
                     cudaStream_t stream)
{
  by_kind(p, wide(p, s.c, at(x) | at(dy) | at(coef)), [&](auto k) {
    LAUNCH((norm_sums<k.P, k.V, straight>), images_grid(tile_grid<k.V>(s.m, s.c), s), THREADS,
           (lane_room<2, k.V>::BYTES), stream, s.m, s.c, x, (straight{ dy, NULL }), coef, false,
           (act *)NULL, partial);
  });
  cuda_norm_sums_finish(s.n * tiles_of(s.m), s.c, partial, dscale, doffset, stream);
  LAUNCH((group_common), group_blocks(s), MERGE_THREADS, MERGE_BYTES, stream, s, partial, scale, coef,
         common);
}
/* give the input its gradient under groups */
template <precision P, int V> __global__ void __launch_bounds__(THREADS)
group_dx(int m, int c, const act *x, const act *dy, const float *coef, const float *common, bool add,
         act *dx)
{
  const tile<V> w(m);
  if (w.channel >= c) return;
  coef = coef_here(coef, c), common += (size_t)blockIdx.z * 2 * (size_t)c;
  const pack<V> mean = load_floats<V>(coef, (size_t)w.channel),
    a = load_floats<V>(coef, 2 * (size_t)c + w.channel),
    k1 = load_floats<V>(common, (size_t)w.channel), k2 = load_floats<V>(common, (size_t)c + w.channel);
  for (int first = w.row; first < w.end; first += 2 * w.LANES) {
    pack<V> z[2], g[2];
#pragma unroll
    for (int u = 0; u < 2; u++) {
      const size_t i = (size_t)(first + u * w.LANES) * (size_t)c + (size_t)w.channel;
      if (first + u * w.LANES < w.end) z[u] = load_pack<P, V>(x, i), g[u] = load_pack<P, V>(dy, i);
    }
#pragma unroll
    for (int u = 0; u < 2; u++) {
      if (first + u * w.LANES >= w.end) continue;
      for (int j = 0; j < V; j++)
        g[u].v[j] = fmaf(a.v[j], g[u].v[j], -fmaf(z[u].v[j] - mean.v[j], k2.v[j], k1.v[j]));
      give_back<P, V>(dx, (size_t)(first + u * w.LANES) * (size_t)c + (size_t)w.channel, add, g[u]);
    }
  }
}

void cuda_group_dx(precision p, group_shape s, const act *x, const act *dy, const float *coef,
                   const float *common, bool add, act *dx, cudaStream_t stream)
{
  by_kind(p, wide(p, s.c, at(x) | at(dy) | at(coef) | at(common) | at(dx)), [&](auto k) {
    LAUNCH((group_dx<k.P, k.V>), images_grid(tile_grid<k.V>(s.m, s.c), s), THREADS, 0, stream, s.m, s.c, x,
           dy, coef, common, add, dx);
  });
}
/* pool on the way past */
enum { POOL_ROWS = 64 };
template <int V> using outputs = walk<V, POOL_ROWS>;

/* y and place at outputs; NORM: of relu(x a + b + r?) rounded as it would have been stored */
template <precision P, int V, int K, bool NORM> __global__ void __launch_bounds__(THREADS, 4)
pool_forward(pool_shape s, const act *x, const act *r, const float *coef, act *y, uint8_t *place)
{
  const outputs<V> w(s.n * s.oh * s.ow);
  if (w.channel >= s.c) return;
  pack<V> a, b;
  if constexpr (NORM)
    a = load_floats<V>(coef, 2 * (size_t)s.c + w.channel),
      b = load_floats<V>(coef, 3 * (size_t)s.c + w.channel);
  const int kernel = K ? K : s.kernel, stride = K ? K : s.stride;
  for (int row = w.row; row < w.end; row += w.LANES) {
    const int n = row / (s.oh * s.ow), top = row / s.ow % s.oh * stride - (K ? 0 : s.pad_top),
      left = row % s.ow * stride - (K ? 0 : s.pad_left);
    pack<V> best = {};
    places<V> where = {};
    /* find the window's first maximum on the device */
    bool none = true;
    #pragma unroll
    for (int ky = 0; ky < kernel; ky++)
    #pragma unroll
      for (int kx = 0; kx < kernel; kx++) {
        if (top + ky >= s.h || left + kx >= s.w || (!K && (top + ky < 0 || left + kx < 0))) continue;
        const size_t i = (((size_t)n * s.h + (top + ky)) * s.w + (left + kx)) * s.c + w.channel;
        pack<V> v = load_pack<P, V>(x, i), q = {};
        if (NORM && r) q = load_pack<P, V>(r, i);
        for (int j = 0; j < V; j++) {
          if constexpr (NORM) v.v[j] = store_round<P>(relu_of(fmaf(v.v[j], a.v[j], b.v[j]) + q.v[j]));
          if (none || v.v[j] > best.v[j]) best.v[j] = v.v[j], where.v[j] = (uint8_t)(ky * kernel + kx);
        }
        none = false;
      }
    const size_t i = (size_t)row * s.c + w.channel;
    store_pack<P, V>(y, i, best), store_places<V>(place + i, where);
  }
}
/* launch the pooling */
template <bool NORM> static void launch_pool(precision p, pool_shape s, const act *x, const act *r,
                                             const float *coef, act *y, uint8_t *place, cudaStream_t stream)
{
  const int m = s.n * s.oh * s.ow;
  by_pool(p, s, at(x) | at(r) | at(coef) | at(y) | at(place) * 2, [&](auto k, auto taps) {
    LAUNCH((pool_forward<k.P, k.V, taps.K, NORM>), walk_grid<outputs<k.V>>(m, POOL_ROWS, s.c, k.V), THREADS,
           0, stream, s, x, r, coef, y, place);
  });
}

void cuda_pool_forward(precision p, pool_shape s, const act *x, act *y, uint8_t *place, cudaStream_t stream)
{
  launch_pool<false>(p, s, x, NULL, NULL, y, place, stream);
}

void cuda_norm_pool_forward(precision p, pool_shape s, const act *x, const act *r, const float *coef, act *y,
                            uint8_t *place, cudaStream_t stream)
{
  launch_pool<true>(p, s, x, r, coef, y, place, stream);
}
/* pool backward */
/* dx = or += g */
template <precision P, int V, int K> __global__ void __launch_bounds__(THREADS)
pool_backward(int m, int c, through_pool<K> from, bool add, act *dx, float *column)
{
  const tile<V> w(m);
  pack<V> sum[1] = {};
  typename through_pool<K>::cursor at = from.start(w.row);
  for (int first = w.row; first < w.end && w.channel < c; first += 4 * w.LANES) {
    pack<V> g[4];
#pragma unroll
    for (int u = 0; u < 4; u++, from.advance(&at, w.LANES))
      if (first + u * w.LANES < w.end) g[u] = from.template gradient<P, V>(at, 0, c, w.channel);
#pragma unroll
    for (int u = 0; u < 4; u++) {
      const int row = first + u * w.LANES;
      if (row >= w.end) continue;
      for (int j = 0; j < V; j++) sum[0].v[j] += store_round<P>(g[u].v[j]);
      give_back<P, V>(dx, (size_t)row * (size_t)c + (size_t)w.channel, add, g[u]);
    }
  }
  if (column) leave_columns(sum, c, column);
}

void cuda_pool_backward(precision p, pool_shape s, const act *dy, const uint8_t *place, const act *pooled,
                        bool add, act *dx, float *column, cudaStream_t stream)
{
  const int m = s.n * s.h * s.w;
  by_pool(p, s, at(dy) | at(place) * 2 | at(pooled) | at(dx), [&](auto k, auto taps) {
    LAUNCH((pool_backward<k.P, k.V, taps.K>), tile_grid<k.V>(m, s.c), THREADS, (lane_room<1, k.V>::BYTES),
           stream, m, s.c, (through_pool<taps.K>{ s, dy, place, pooled }), add, dx, column);
  });
}
/* drop units by Philox */
/* One thread a block of the generator: four elements of one cell. */
template <precision P> __global__ void __launch_bounds__(THREADS)
dropout(int n, int m, double p, int index, const cuda_args *args, const int *row, const act *x, bool add,
        act *y)
{
  const int quads = (m + 3) / 4;
  const size_t t = (size_t)blockIdx.x * THREADS + threadIdx.x;
  if (t >= (size_t)n * (size_t)quads) return;
  const int cell = (int)(t / (size_t)quads), quad = (int)(t % (size_t)quads);
  const unsigned keep = p > 0 ? dropout_keeps(p, args->seed, index, args->epoch, (uint32_t)row[cell],
                                              (uint32_t)quad) : 15;
  for (int j = 0; j < 4 && quad * 4 + j < m; j++) {
    const size_t i = (size_t)cell * (size_t)m + (size_t)(quad * 4 + j);
    const double old = add ? load1<P>(y, i) : 0;
    store1<P>(y, i, (float)(old + (keep >> j & 1 ? load1<P>(x, i) / (1 - p) : 0)));
  }
}

void cuda_dropout(precision p, int n, int m, double drop, int index, const cuda_args *args, const int *row,
                  const act *x, bool add, act *y, cudaStream_t stream)
{
  by_kind(p, false, [&](auto k) {
    LAUNCH((dropout<k.P>), pieces_of((size_t)n * (size_t)((m + 3) / 4), THREADS), THREADS, 0, stream, n, m,
           drop, index, args, row, x, add, y);
  });
}
/* add a fully connected layer's bias */
__global__ void fc_finish(size_t count, int out, const float *sum, const float *bias, bool relu, float *y)
{
  const size_t i = (size_t)blockIdx.x * THREADS + threadIdx.x;
  if (i >= count) return;
  const float v = sum[i] + bias[i % (size_t)out];
  y[i] = relu ? relu_of(v) : v;
}

void cuda_fc_finish(int n, int out, const float *sum, const float *bias, bool relu, float *y,
                    cudaStream_t stream)
{
  const size_t count = (size_t)n * (size_t)out;
  LAUNCH((fc_finish), pieces_of(count, THREADS), THREADS, 0, stream, count, out, sum, bias, relu, y);
}
/* say what an update's block holds */
enum { FC_THREADS = 64, FC_COLUMNS = 2 * FC_THREADS, FC_BATCH = 32, FC_ROWS = 4, FC_STAGES = 4 };
typedef struct { float w[FC_ROWS][FC_COLUMNS], v[FC_ROWS][FC_COLUMNS], dy[FC_BATCH][FC_ROWS]; } fc_stage;

/* What stays the same in a launch. first, last: chunks of the batch. */
typedef struct {
  int n, in, out; const float *x, *dy; const cuda_args *args; const float *factor; float decay; float *w, *v;
  bool first, last, add; float *dx;
} fc_job;

/* order the copies of four rows */
/* w, v: rows top .. top + 3, columns left .. left + 127; dy: all images of the chunk at these rows.
   Zeros beyond the edges. */
template <bool WIDE> WORD void fetch(const fc_job *q, fc_stage *to, int top, int left)
{
  enum { EACH = WIDE ? 4 : 1, ACROSS = FC_COLUMNS / EACH };
  for (int t = (int)threadIdx.x; t < FC_ROWS * ACROSS; t += FC_THREADS) {
    const int row = t / ACROSS, column = t % ACROSS * EACH;
    const bool valid = top + row < q->out && left + column < q->in;
    const size_t i = valid ? (size_t)(top + row) * (size_t)q->in + (size_t)(left + column) : 0;
    if (WIDE)
      copy_async16(&to->w[row][column], q->w + i, valid), copy_async16(&to->v[row][column], q->v + i, valid);
    else copy_async4(&to->w[row][column], q->w + i, valid), copy_async4(&to->v[row][column], q->v + i, valid);
  }
  for (int t = (int)threadIdx.x; t < FC_BATCH * FC_ROWS; t += FC_THREADS) {
    const int image = t / FC_ROWS, row = t % FC_ROWS;
    const bool valid = image < q->n && top + row < q->out;
    const size_t i = valid ? (size_t)image * (size_t)q->out + (size_t)(top + row) : 0;
    copy_async4(&to->dy[image][row], q->dy + i, valid);
  }
}
/* meet four rows */
/* grad += dy' x, dx += dy w, for four rows and this thread's two columns */
WORD void meet(const fc_stage *s, const float (&x)[FC_BATCH][2], float (&dx)[FC_BATCH][2],
               float (&w)[FC_ROWS][2], float (&grad)[FC_ROWS][2])
{
#pragma unroll
  for (int r = 0; r < FC_ROWS; r++) {
    const float2 two = *(const float2 *)&s->w[r][2 * threadIdx.x];
    w[r][0] = two.x, w[r][1] = two.y, grad[r][0] = grad[r][1] = 0;
  }
#pragma unroll
  for (int i = 0; i < FC_BATCH; i++) {
    const float4 four = *(const float4 *)s->dy[i];
    const float d[FC_ROWS] = { four.x, four.y, four.z, four.w };
#pragma unroll
    for (int r = 0; r < FC_ROWS; r++)
#pragma unroll
      for (int j = 0; j < 2; j++)
        grad[r][j] = fmaf(d[r], x[i][j], grad[r][j]), dx[i][j] = fmaf(d[r], w[r][j], dx[i][j]);
  }
}
template <bool WIDE> WORD void put_two(float *to, const float (&v)[2], bool both)
{
  if (WIDE) { *(float2 *)to = make_float2(v[0], v[1]); return; }
  to[0] = v[0];
  if (both) to[1] = v[1];
}
/* update weights where their gradient is made */
template <bool WIDE> __global__ void __launch_bounds__(FC_THREADS) fc_update(fc_job q)
{
  SHARED_ROOM(room);
  fc_stage *stage = (fc_stage *)room;
  const int left = (int)blockIdx.x * FC_COLUMNS, column = left + 2 * (int)threadIdx.x,
    stages = (q.out + FC_ROWS - 1) / FC_ROWS;
  const float rate = q.args->rate * (q.factor ? *q.factor : 1), l2 = q.args->l2 * q.decay,
    momentum = q.args->momentum;
  float x[FC_BATCH][2], dx[FC_BATCH][2] = {}, w[FC_ROWS][2], grad[FC_ROWS][2];
  for (int s = 0; s < FC_STAGES - 1; s++) {
    if (s < stages) fetch<WIDE>(&q, &stage[s], s * FC_ROWS, left);
    copy_commit();
  }
#pragma unroll
  for (int i = 0; i < FC_BATCH; i++)
    for (int j = 0; j < 2; j++)
      x[i][j] = i < q.n && column + j < q.in ? q.x[(size_t)i * (size_t)q.in + (size_t)(column + j)] : 0;
  for (int s = 0; s < stages; s++) {
    copy_wait<FC_STAGES - 2>();
    __syncthreads();
    const int next = s + FC_STAGES - 1;
    if (next < stages) fetch<WIDE>(&q, &stage[next % FC_STAGES], next * FC_ROWS, left);
    copy_commit();
    meet(&stage[s % FC_STAGES], x, dx, w, grad);
    /* move four rows of weights */
    #pragma unroll
    for (int r = 0; r < FC_ROWS; r++) {
      const int row = s * FC_ROWS + r;
      if (row >= q.out || column >= q.in) continue;
      const size_t i = (size_t)row * (size_t)q.in + (size_t)column;
      const float2 old = *(const float2 *)&stage[s % FC_STAGES].v[r][2 * threadIdx.x];
      float v[2] = { old.x, old.y };
    #pragma unroll
      for (int j = 0; j < 2; j++) {
        v[j] = q.first ? momentum * v[j] - rate * (grad[r][j] + l2 * w[r][j]) : v[j] - rate * grad[r][j];
        w[r][j] += v[j];
      }
      put_two<WIDE>(q.v + i, v, column + 1 < q.in);
      if (q.last) put_two<WIDE>(q.w + i, w[r], column + 1 < q.in);
    }
  }
  /* hand the inputs' gradients back */
  #pragma unroll
  for (int i = 0; i < FC_BATCH; i++) {
    if (!q.dx || i >= q.n || column >= q.in) continue;
    float *to = q.dx + (size_t)i * (size_t)q.in + (size_t)column;
    if (q.add) dx[i][0] += to[0], dx[i][1] += column + 1 < q.in ? to[1] : 0;
    put_two<WIDE>(to, dx[i], column + 1 < q.in);
  }
}
/* launch the fused update */
void cuda_fc_update(int n, int in, int out, const float *x, const float *dy, const cuda_args *args,
                    const float *factor, float decay, float *w, float *v, bool add, float *dx,
                    cudaStream_t stream)
{
  const bool whole = in % 4 == 0 && (at(w) | at(v) | at(dx)) % 16 == 0;
  const unsigned blocks = pieces_of((size_t)in, FC_COLUMNS);
  for (int i = 0; i < n; i += FC_BATCH) {
    const fc_job q = { n - i < FC_BATCH ? n - i : FC_BATCH, in, out, x + (size_t)i * (size_t)in,
                       dy + (size_t)i * (size_t)out, args, factor, decay, w, v, i == 0, i + FC_BATCH >= n, add,
                       dx ? dx + (size_t)i * (size_t)in : NULL };
    if (whole) LAUNCH((fc_update<true>), blocks, FC_THREADS, FC_STAGES * (int)sizeof(fc_stage), stream, q);
    else LAUNCH((fc_update<false>), blocks, FC_THREADS, FC_STAGES * (int)sizeof(fc_stage), stream, q);
  }
}
/* sum the loss of a batch */
/* One block; a thread takes every 256th image, and thread 0 adds the losses in the order of the batch. */
__global__ void __launch_bounds__(THREADS)
loss_forward(int n, int classes, const float *z, const int *label, const int *row,
             const float *class_weight, float *f, cuda_result *result)
{
  SHARED_ROOM(room);
  double *part = (double *)room, loss = 0;
  int *hit = (int *)(part + THREADS), correct = 0;
  for (int first = 0; first < n; first += THREADS) {
    const int i = first + (int)threadIdx.x;
    if (i < n) {
      /* softmax of one image */
      const float *zi = z + (size_t)i * (size_t)classes;
      float *fi = f + (size_t)i * (size_t)classes;
      int best = 0;
      double sum = 0;
      for (int j = 1; j < classes; j++) if (zi[j] > zi[best]) best = j;
      for (int j = 0; j < classes; j++) sum += exp((double)zi[j] - zi[best]);
      for (int j = 0; j < classes; j++) fi[j] = (float)(exp((double)zi[j] - zi[best]) / sum);
      if (label) {
        const int right = label[row[i]];
        const double weight = class_weight ? class_weight[right] : 1;
        part[threadIdx.x] = weight * (log(sum) - ((double)zi[right] - zi[best]));
        hit[threadIdx.x] = best == right;
      }
    }
    __syncthreads();
    for (int j = 0; threadIdx.x == 0 && label && j < THREADS && first + j < n; j++)
      loss += part[j], correct += hit[j];
    __syncthreads();
  }
  if (threadIdx.x == 0 && result) *result = { loss / n, correct, 0 };
}
/* launch the loss, and its gradient */
void cuda_loss_forward(int n, int classes, const float *z, const int *label, const int *row,
                       const float *class_weight, float *f, cuda_result *result, cudaStream_t stream)
{
  LAUNCH((loss_forward), 1, THREADS, THREADS * (int)(sizeof(double) + sizeof(int)), stream, n, classes, z,
         label, row, class_weight, f, result);
}

__global__ void __launch_bounds__(THREADS)
loss_backward(int n, int classes, const float *f, const int *label, const int *row,
              const float *class_weight, bool add, float *dz)
{
  const int t = (int)(blockIdx.x * THREADS + threadIdx.x);
  if (t >= n * classes) return;
  const int right = label[row[t / classes]], j = t % classes;
  const double d = (f[t] - (float)(j == right)) * (double)(class_weight ? class_weight[right] : 1) / n;
  dz[t] = (float)(add ? dz[t] + d : d);
}

void cuda_loss_backward(int n, int classes, const float *f, const int *label, const int *row,
                        const float *class_weight, bool add, float *dz, cudaStream_t stream)
{
  LAUNCH((loss_backward), pieces_of((size_t)n * (size_t)classes, THREADS), THREADS, 0, stream, n, classes,
         f, label, row, class_weight, add, dz);
}
/* move weights by momentum */
enum { SGD_STEPS = 4, SGD_PIECE = THREADS * 4 * SGD_STEPS, SGD_BLOCKS = 256 };

/* the rule, for one pack of gradients, weights and velocities */
template <int V> WORD void move(const cuda_args *args, float rate, float l2, const pack<V> &g, pack<V> *w,
                                pack<V> *v)
{
  for (int j = 0; j < V; j++) {
    v->v[j] = args->momentum * v->v[j] - rate * (g.v[j] + l2 * w->v[j]);
    w->v[j] += v->v[j];
  }
}

/* blockIdx.y: the tensor */
__global__ void __launch_bounds__(THREADS)
sgd_update(const sgd_piece *pieces, const cuda_args *args, const float *factor, float *weight,
           const float *dweight, float *velocity)
{
  const sgd_piece p = pieces[blockIdx.y];
  const float rate = args->rate * (factor ? factor[p.tensor] : 1), l2 = args->l2 * p.decay;
  float *w = weight + p.offset, *v = velocity + p.offset;
  const float *g = dweight + p.offset;
  for (size_t top = (size_t)blockIdx.x * SGD_PIECE; top < p.count; top += (size_t)gridDim.x * SGD_PIECE) {
    /* move a piece of the weights */
    pack<4> dw[SGD_STEPS], old[SGD_STEPS], speed[SGD_STEPS];
    #pragma unroll
    for (int u = 0; u < SGD_STEPS; u++) {
      const size_t i = top + ((size_t)u * THREADS + threadIdx.x) * 4;
      if (i + 4 > p.count) continue;
      dw[u] = load_floats<4>(g, i), old[u] = load_floats<4>(w, i), speed[u] = load_floats<4>(v, i);
    }
    #pragma unroll
    for (int u = 0; u < SGD_STEPS; u++) {
      const size_t i = top + ((size_t)u * THREADS + threadIdx.x) * 4;
      if (i + 4 <= p.count) {
        move(args, rate, l2, dw[u], &old[u], &speed[u]);
        store_pack<FP32, 4>(v, i, speed[u]), store_pack<FP32, 4>(w, i, old[u]);
      } else
    #pragma unroll 1
        for (size_t j = i; j < p.count; j++) {
          pack<1> one = load_floats<1>(w, j), its = load_floats<1>(v, j);
          move(args, rate, l2, load_floats<1>(g, j), &one, &its);
          v[j] = its.v[0], w[j] = one.v[0];
        }
    }
  }
}
/* launch the update, and move statistics */
void cuda_sgd(int pieces, const sgd_piece *piece, size_t largest, const cuda_args *args, const float *factor,
              float *param, const float *dparam, float *velocity, cudaStream_t stream)
{
  const unsigned blocks = pieces_of(largest, SGD_PIECE), most = SGD_BLOCKS;
  if (pieces && blocks)
    LAUNCH((sgd_update), dim3(blocks < most ? blocks : most, (unsigned)pieces), THREADS, 0, stream, piece,
           args, factor, param, dparam, velocity);
}

__global__ void move_statistics(size_t count, const cuda_args *args, const float *batch_stat, float *stat)
{
  const size_t i = (size_t)blockIdx.x * THREADS + threadIdx.x;
  const float keep = args->keep;
  if (i < count && keep > 0) stat[i] = keep * stat[i] + (1 - keep) * batch_stat[i];
}

void cuda_move_statistics(size_t count, const cuda_args *args, const float *batch_stat, float *stat,
                          cudaStream_t stream)
{
  if (count)
    LAUNCH((move_statistics), pieces_of(count, THREADS), THREADS, 0, stream, count, args, batch_stat, stat);
}
/* ask a kernel whether it has code here */
cudaError_t cuda_has_code(void)
{
#ifdef EMULATED
  return cudaSuccess;
#else
  cudaFuncAttributes any;
  return cudaFuncGetAttributes(&any, move_statistics);
#endif
}
/* join the statistics of batches */
__global__ void join_statistics(int c, double before, double n, const float *batch_stat, double *gathered)
{
  const int i = (int)(blockIdx.x * THREADS + threadIdx.x);
  if (i >= c) return;
  const double delta = batch_stat[i] - gathered[i];
  gathered[i] += delta * n / (before + n);
  gathered[c + i] += n * batch_stat[c + i] + delta * delta * before * n / (before + n);
}

void cuda_join_statistics(int c, double before, double n, const float *batch_stat, double *gathered,
                          cudaStream_t stream)
{
  LAUNCH((join_statistics), pieces_of((size_t)c, THREADS), THREADS, 0, stream, c, before, n, batch_stat,
         gathered);
}

/* ref.c: every operator in plain loops with double accumulation, written to be read: the oracle. */
#include "engines/host.h"
#include "base/base.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* address an element of a tensor */
static size_t at(shape s, int n, int y, int x, int c)
{
  return (((size_t)n * (size_t)s.h + (size_t)y) * (size_t)s.w + (size_t)x) * (size_t)s.c + (size_t)c;
}

static size_t batch_floats(const host *h, shape s) { return (size_t)h->n * shape_floats(s); }

/* hand a gradient back */
static void hand_back(float *d, bool add, double value)
{
  *d = (float)(add ? *d + value : value);
}

/* cut at zero, and stop gradients there */
static float relu_if(bool relu, double v) { return (float)(relu && !(v > 0) ? 0 : v); }

static void stop_negative(host *h, const step *s)
{
  const float *y = host_act(h, s->y);
  float *dy = host_grad(h, s->y);
  const size_t n = batch_floats(h, h->base.plan->tensor[s->y].s);
  if (!s->relu) return;
#pragma omp parallel for num_threads(h->threads)
  for (size_t i = 0; i < n; i++)
    if (!(y[i] > 0)) dy[i] = 0;
}

static void relu_forward(host *h, int i)
{
  const step *s = host_step(h, i);
  const float *x = host_act(h, s->x);
  float *y = host_act(h, s->y);
  const size_t n = batch_floats(h, s->layer->out);
  for (size_t k = 0; k < n; k++) y[k] = relu_if(true, x[k]);
}

static void relu_backward(host *h, int i)
{
  const step *s = host_step(h, i);
  const float *y = host_act(h, s->y), *dy = host_grad(h, s->y);
  const size_t n = batch_floats(h, s->layer->out);
  if (!s->need_dx) return;
  float *dx = host_grad(h, s->x);
  for (size_t k = 0; k < n; k++) hand_back(&dx[k], s->add_dx, y[k] > 0 ? dy[k] : 0);
}

/* convolve in plain loops */
/* The first input channel that filter o sees, and how many it sees. */
static int first_channel(const layer *l, int o) { return o / (l->out.c / l->groups) * (l->in.c / l->groups); }
static int seen_channels(const layer *l) { return l->in.c / l->groups; }

static void conv_forward(host *h, int i)
{
  const step *s = host_step(h, i);
  const layer *l = s->layer;
  const float *x = host_act(h, s->x), *w = host_param(h, l->weight);
  const float *b = l->bias < 0 ? NULL : host_param(h, l->bias);
  float *y = host_act(h, s->y);
  const int k = l->kernel, seen = seen_channels(l);
#pragma omp parallel for collapse(2) num_threads(h->threads)
  for (int n = 0; n < h->n; n++)
    for (int u = 0; u < l->out.h; u++)
      for (int v = 0; v < l->out.w; v++)
        for (int o = 0; o < l->out.c; o++) {
          double sum = b ? b[o] : 0;
          /* add one window times kernel o */
          for (int ky = 0; ky < k; ky++)
            for (int kx = 0; kx < k; kx++) {
              const int yy = u * l->stride + ky - l->pad_top, xx = v * l->stride + kx - l->pad_left;
              if (yy < 0 || yy >= l->in.h || xx < 0 || xx >= l->in.w) continue;
              const float *pixel = x + at(l->in, n, yy, xx, first_channel(l, o)),
                *kernel = w + (((size_t)o * k + ky) * k + kx) * (size_t)seen;
              for (int c = 0; c < seen; c++) sum += (double)pixel[c] * kernel[c];
            }
          y[at(l->out, n, u, v, o)] = relu_if(s->relu, sum);
        }
}

static void conv_weight_gradient(host *h, const step *s)
{
  const layer *l = s->layer;
  const float *x = host_act(h, s->x), *dy = host_grad(h, s->y);
  float *dw = host_dparam(h, l->weight), *db = l->bias < 0 ? NULL : host_dparam(h, l->bias);
  const int k = l->kernel, seen = seen_channels(l);
#pragma omp parallel for num_threads(h->threads)
  for (int o = 0; o < l->out.c; o++) {
    double bias = 0;
    for (int n = 0; n < h->n; n++)
      for (int u = 0; u < l->out.h; u++)
        for (int v = 0; v < l->out.w; v++) bias += dy[at(l->out, n, u, v, o)];
    if (db) db[o] = (float)bias;
    for (int ky = 0; ky < k; ky++)
      for (int kx = 0; kx < k; kx++)
        for (int c = 0; c < seen; c++) {
          double sum = 0;
          /* add each output's gradient times the pixel that this weight met */
          for (int n = 0; n < h->n; n++)
            for (int u = 0; u < l->out.h; u++)
              for (int v = 0; v < l->out.w; v++) {
                const int yy = u * l->stride + ky - l->pad_top, xx = v * l->stride + kx - l->pad_left;
                if (yy < 0 || yy >= l->in.h || xx < 0 || xx >= l->in.w) continue;
                sum += (double)dy[at(l->out, n, u, v, o)] * x[at(l->in, n, yy, xx, first_channel(l, o) + c)];
              }
          dw[(((size_t)o * k + ky) * k + kx) * (size_t)seen + c] = (float)sum;
        }
  }
}

static void conv_input_gradient(host *h, const step *s)
{
  const layer *l = s->layer;
  const float *w = host_param(h, l->weight), *dy = host_grad(h, s->y);
  float *dx = host_grad(h, s->x);
  const int k = l->kernel, seen = seen_channels(l), filters = l->out.c / l->groups;
#pragma omp parallel for collapse(2) num_threads(h->threads)
  for (int n = 0; n < h->n; n++)
    for (int r = 0; r < l->in.h; r++)
      for (int q = 0; q < l->in.w; q++)
        for (int c = 0; c < l->in.c; c++) {
          double sum = 0;
          /* add the gradients of the outputs that saw this pixel */
          for (int ky = 0; ky < k; ky++)
            for (int kx = 0; kx < k; kx++) {
              const int us = r + l->pad_top - ky, vs = q + l->pad_left - kx;
              if (us < 0 || vs < 0 || us % l->stride || vs % l->stride) continue;
              if (us / l->stride >= l->out.h || vs / l->stride >= l->out.w) continue;
              const float *g = dy + at(l->out, n, us / l->stride, vs / l->stride, 0);
              const int first = c / seen * filters;            /* the filters of this channel's group */
              for (int o = first; o < first + filters; o++)
                sum += (double)g[o] * w[(((size_t)o * k + ky) * k + kx) * (size_t)seen + c % seen];
            }
          hand_back(&dx[at(l->in, n, r, q, c)], s->add_dx, sum);
        }
}

static void conv_backward(host *h, int i)
{
  const step *s = host_step(h, i);
  stop_negative(h, s);
  conv_weight_gradient(h, s);
  if (s->need_dx) conv_input_gradient(h, s);
}

/* normalise each channel over the batch */
/* (C) of the batch: mean, 1 / sqrt(variance + epsilon) */
typedef struct { double *mean, *inverse; } norm_work;

static void norm_open(host *h, int i)
{
  const int c = host_step(h, i)->layer->out.c;
  norm_work *w = h->work[i] = NEW(norm_work, 1);
  w->mean = NEW(double, 2 * c), w->inverse = w->mean + c;
}

static void norm_close(host *h, int i)
{
  norm_work *w = h->work[i];
  free(w->mean), free(w);
}

static void channel_statistics(host *h, const step *s, int c, double *mean, double *variance)
{
  const shape in = s->layer->in;
  const float *x = host_act(h, s->x);
  const size_t m = (size_t)h->n * (size_t)in.h * (size_t)in.w, stride = (size_t)in.c;
  double sum = 0, square = 0;
  for (size_t j = 0; j < m; j++) sum += x[j * stride + (size_t)c];
  *mean = sum / (double)m;
  for (size_t j = 0; j < m; j++) {
    double d = x[j * stride + (size_t)c] - *mean;
    square += d * d;
  }
  *variance = square / (double)m;
}

static void norm_forward(host *h, int i)
{
  const step *s = host_step(h, i);
  const layer *l = s->layer;
  const float *x = host_act(h, s->x), *r = s->r >= 0 ? host_act(h, s->r) : NULL;
  const float *scale = host_param(h, l->weight), *offset = host_param(h, l->bias),
    *stored = h->stat + l->stat;
  const size_t m = (size_t)h->n * (size_t)l->in.h * (size_t)l->in.w, channels = (size_t)l->in.c;
  float *y = host_act(h, s->y), *batch_stat = host_batch_stat(h, l);
  norm_work *w = h->work[i];
#pragma omp parallel for num_threads(h->threads)
  for (int c = 0; c < l->in.c; c++) {
    /* measure the channel, or take what is stored */
    double variance = stored[l->in.c + c];
    w->mean[c] = stored[c];
    if (h->pass == PASS_TRAIN) {
      channel_statistics(h, s, c, &w->mean[c], &variance);
      batch_stat[c] = (float)w->mean[c], batch_stat[l->in.c + c] = (float)variance;
    }
    w->inverse[c] = 1 / sqrt(variance + NORM_EPSILON);

    for (size_t j = (size_t)c; j < m * channels; j += channels)
      y[j] = relu_if(s->relu, scale[c] * (x[j] - w->mean[c]) * w->inverse[c] + offset[c] + (r ? r[j] : 0));
  }
}
static void norm_backward(host *h, int i)
{
  const step *s = host_step(h, i);
  const layer *l = s->layer;
  const size_t m = (size_t)h->n * (size_t)l->in.h * (size_t)l->in.w, channels = (size_t)l->in.c,
    end = m * channels;
  const float *x = host_act(h, s->x), *dy = host_grad(h, s->y), *scale = host_param(h, l->weight);
  float *dscale = host_dparam(h, l->weight), *doffset = host_dparam(h, l->bias);
  float *dx = s->need_dx ? host_grad(h, s->x) : NULL, *dr = s->need_dr ? host_grad(h, s->r) : NULL;
  const norm_work *w = h->work[i];
  stop_negative(h, s);
#pragma omp parallel for num_threads(h->threads)
  for (int c = 0; c < l->in.c; c++) {
    /* sum the gradients of offset and scale */
    double sum = 0, product = 0;
    for (size_t j = (size_t)c; j < end; j += channels) {
      sum += dy[j], product += dy[j] * (x[j] - w->mean[c]) * w->inverse[c];
      if (dr) hand_back(&dr[j], s->add_dr, dy[j]);
    }
    doffset[c] = (float)sum, dscale[c] = (float)product;
    /* hand back the input's gradient */
    for (size_t j = (size_t)c; dx && j < end; j += channels) {
      double normal = (x[j] - w->mean[c]) * w->inverse[c];
      hand_back(&dx[j], s->add_dx,
                scale[c] * w->inverse[c] / (double)m * ((double)m * dy[j] - sum - normal * product));
    }

  }
}
/* add the shortcut */
static void add_forward(host *h, int i)
{
  const step *s = host_step(h, i);
  const float *x = host_act(h, s->x), *r = host_act(h, s->r);
  float *y = host_act(h, s->y);
  const size_t n = batch_floats(h, s->layer->out);
  for (size_t k = 0; k < n; k++) y[k] = relu_if(s->relu, (double)x[k] + r[k]);
}

static void add_backward(host *h, int i)
{
  const step *s = host_step(h, i);
  const float *dy = host_grad(h, s->y);
  float *dx = s->need_dx ? host_grad(h, s->x) : NULL, *dr = s->need_dr ? host_grad(h, s->r) : NULL;
  const size_t n = batch_floats(h, s->layer->out);
  stop_negative(h, s);
  for (size_t k = 0; dr && k < n; k++) hand_back(&dr[k], s->add_dr, dy[k]);
  for (size_t k = 0; dx && k < n; k++) hand_back(&dx[k], s->add_dx, dy[k]);
}

/* take the largest of each window */
static void pool_open(host *h, int i)
{
  /* place y * W + x of each maximum */
  h->work[i] = NEW(int32_t, h->base.plan->tensor[host_step(h, i)->y].floats);
}

static void pool_forward(host *h, int i)
{
  const step *s = host_step(h, i);
  const layer *l = s->layer;
  const float *x = host_act(h, s->x);
  float *y = host_act(h, s->y);
  int32_t *place = h->work[i];
#pragma omp parallel for num_threads(h->threads)
  for (int n = 0; n < h->n; n++)
    for (int u = 0; u < l->out.h; u++)
      for (int v = 0; v < l->out.w; v++)
        for (int c = 0; c < l->out.c; c++) {
          float best = 0;
          int32_t where = -1;
          /* find the window's first maximum */
          for (int ky = 0; ky < l->kernel; ky++)
            for (int kx = 0; kx < l->kernel; kx++) {
              const int yy = u * l->stride + ky - l->pad_top, xx = v * l->stride + kx - l->pad_left;
              if (yy < 0 || yy >= l->in.h || xx < 0 || xx >= l->in.w) continue;
              const float value = x[at(l->in, n, yy, xx, c)];
              if (where < 0 || value > best) best = value, where = yy * l->in.w + xx;
            }
          y[at(l->out, n, u, v, c)] = best;
          place[at(l->out, n, u, v, c)] = where;
        }
}

static void pool_backward(host *h, int i)
{
  const step *s = host_step(h, i);
  const layer *l = s->layer;
  const float *dy = host_grad(h, s->y);
  const int32_t *place = h->work[i];
  const int outputs = l->out.h * l->out.w;
  if (!s->need_dx) return;
#pragma omp parallel for num_threads(h->threads)
  for (int n = 0; n < h->n; n++) {
    float *dx = host_grad(h, s->x) + at(l->in, n, 0, 0, 0);
    if (!s->add_dx) memset(dx, 0, shape_floats(l->in) * sizeof *dx);
    for (int j = 0; j < outputs; j++)
      for (int c = 0; c < l->out.c; c++) {
        const size_t out = ((size_t)n * (size_t)outputs + (size_t)j) * (size_t)l->out.c + (size_t)c;
        dx[(size_t)place[out] * (size_t)l->in.c + (size_t)c] += dy[out];
      }
  }
}

/* take the mean of each window */
/* The rows and columns of output (u, v)'s window that lie inside the image. */
typedef struct { int y0, y1, x0, x1; } inside;
static inside inside_of(const layer *l, int u, int v)
{
  const int y = u * l->stride - l->pad_top, x = v * l->stride - l->pad_left, k = l->kernel;
  return (inside){ y < 0 ? 0 : y, y + k < l->in.h ? y + k : l->in.h,
                   x < 0 ? 0 : x, x + k < l->in.w ? x + k : l->in.w };
}
static int places(inside w) { return (w.y1 - w.y0) * (w.x1 - w.x0); }

static void average_forward(host *h, int i)
{
  const step *s = host_step(h, i);
  const layer *l = s->layer;
  const float *x = host_act(h, s->x);
  float *y = host_act(h, s->y);
#pragma omp parallel for num_threads(h->threads)
  for (int n = 0; n < h->n; n++)
    for (int u = 0; u < l->out.h; u++)
      for (int v = 0; v < l->out.w; v++)
        for (int c = 0; c < l->out.c; c++) {
          const inside w = inside_of(l, u, v);
          double sum = 0;
          for (int yy = w.y0; yy < w.y1; yy++)
            for (int xx = w.x0; xx < w.x1; xx++) sum += x[at(l->in, n, yy, xx, c)];
          y[at(l->out, n, u, v, c)] = (float)(sum / places(w));
        }
}

static void average_backward(host *h, int i)
{
  const step *s = host_step(h, i);
  const layer *l = s->layer;
  const float *dy = host_grad(h, s->y);
  if (!s->need_dx) return;
  float *dx = host_grad(h, s->x);
#pragma omp parallel for num_threads(h->threads)
  for (int n = 0; n < h->n; n++) {
    if (!s->add_dx) memset(dx + at(l->in, n, 0, 0, 0), 0, shape_floats(l->in) * sizeof *dx);
    for (int u = 0; u < l->out.h; u++)
      for (int v = 0; v < l->out.w; v++)
        for (int c = 0; c < l->out.c; c++) {
          const inside w = inside_of(l, u, v);
          const float share = dy[at(l->out, n, u, v, c)] / (float)places(w);
          for (int yy = w.y0; yy < w.y1; yy++)
            for (int xx = w.x0; xx < w.x1; xx++) dx[at(l->in, n, yy, xx, c)] += share;
        }
  }
}

/* divide by what neighbouring channels answer */
/* The channels from *from to *to - 1 around channel c. */
static void neighbours(const layer *l, int c, int *from, int *to)
{
  const int half = l->window / 2;
  *from = c < half ? 0 : c - half, *to = c + half < l->in.c ? c + half + 1 : l->in.c;
}

/* s of eq. (lrn) for channel c of the pixel x (C) */
static double response(const layer *l, const float *x, int c)
{
  int from, to;
  double sum = 0;
  neighbours(l, c, &from, &to);
  for (int j = from; j < to; j++) sum += (double)x[j] * x[j];
  return l->k + l->alpha * sum;
}

static void lrn_forward(host *h, int i)
{
  const step *s = host_step(h, i);
  const layer *l = s->layer;
  const size_t end = batch_floats(h, l->in), c = (size_t)l->in.c;
  const float *x = host_act(h, s->x);
  float *y = host_act(h, s->y);
#pragma omp parallel for num_threads(h->threads)
  for (size_t p = 0; p < end; p += c)
    for (int j = 0; j < l->in.c; j++)
      y[p + (size_t)j] = (float)(x[p + (size_t)j] * pow(response(l, x + p, j), -l->beta));
}

static void lrn_backward(host *h, int i)
{
  const step *s = host_step(h, i);
  const layer *l = s->layer;
  const size_t end = batch_floats(h, l->in), channels = (size_t)l->in.c;
  const float *x = host_act(h, s->x), *dy = host_grad(h, s->y);
  if (!s->need_dx) return;
  float *dx = host_grad(h, s->x);
#pragma omp parallel for num_threads(h->threads)
  for (size_t p = 0; p < end; p += channels)
    for (int c = 0; c < l->in.c; c++) {
      const size_t here = p + (size_t)c;
      double sum = 0;
      int from, to;
      neighbours(l, c, &from, &to);
      for (int j = from; j < to; j++)
        sum += (double)dy[p + (size_t)j] * x[p + (size_t)j] * pow(response(l, x + p, j), -l->beta - 1);
      hand_back(&dx[here], s->add_dx,
                dy[here] * pow(response(l, x + p, c), -l->beta) - 2 * l->alpha * l->beta * x[here] * sum);
    }
}

/* normalise groups of channels in each image */
typedef struct { double mean, inverse; } group_work;       /* (batch, groups) */

static void group_open(host *h, int i)
{
  h->work[i] = NEW(group_work, h->base.plan->batch * host_step(h, i)->layer->groups);
}

static void group_close(host *h, int i) { free(h->work[i]); }

/* Where group g of image n begins, and how many channels and pixels it has. */
static size_t group_at(const layer *l, int n, int g, int *channels, int *pixels)
{
  *channels = l->in.c / l->groups, *pixels = l->in.h * l->in.w;
  return (size_t)n * shape_floats(l->in) + (size_t)(g * *channels);
}

static group_work group_statistics(const layer *l, const float *x, int channels, int pixels)
{
  double sum = 0, square = 0;
  const double m = (double)channels * pixels;
  for (int p = 0; p < pixels; p++)
    for (int c = 0; c < channels; c++) sum += x[(size_t)p * (size_t)l->in.c + (size_t)c];
  for (int p = 0; p < pixels; p++)
    for (int c = 0; c < channels; c++) {
      const double d = x[(size_t)p * (size_t)l->in.c + (size_t)c] - sum / m;
      square += d * d;
    }
  return (group_work){ sum / m, 1 / sqrt(square / m + NORM_EPSILON) };
}

static void group_forward(host *h, int i)
{
  const step *s = host_step(h, i);
  const layer *l = s->layer;
  const float *x = host_act(h, s->x), *scale = host_param(h, l->weight), *offset = host_param(h, l->bias);
  float *y = host_act(h, s->y);
  group_work *w = h->work[i];
#pragma omp parallel for num_threads(h->threads)
  for (int k = 0; k < h->n * l->groups; k++) {
    int channels, pixels;
    const int first = k % l->groups * (l->in.c / l->groups);
    const size_t at = group_at(l, k / l->groups, k % l->groups, &channels, &pixels);
    w[k] = group_statistics(l, x + at, channels, pixels);
    for (int p = 0; p < pixels; p++)
      for (int c = 0; c < channels; c++) {
        const size_t j = at + (size_t)p * (size_t)l->in.c + (size_t)c;
        y[j] = (float)(scale[first + c] * (x[j] - w[k].mean) * w[k].inverse + offset[first + c]);
      }
  }
}

/* dx of one group */
static void group_input(host *h, const step *s, size_t at, int first, int channels, int pixels, const group_work *w)
{
  const size_t row = (size_t)s->layer->in.c;
  const float *x = host_act(h, s->x) + at, *dy = host_grad(h, s->y) + at, *scale = host_param(h, s->layer->weight) + first;
  float *dx = host_grad(h, s->x) + at;
  double sum = 0, product = 0;
  const double m = (double)channels * pixels;
  for (int p = 0; p < pixels; p++)
    for (int c = 0; c < channels; c++) {
      const size_t j = (size_t)p * row + (size_t)c;
      const double d = (double)scale[c] * dy[j];
      sum += d, product += d * (x[j] - w->mean) * w->inverse;
    }
  for (int p = 0; p < pixels; p++)
    for (int c = 0; c < channels; c++) {
      const size_t j = (size_t)p * row + (size_t)c;
      const double normal = (x[j] - w->mean) * w->inverse;
      hand_back(&dx[j], s->add_dx, w->inverse / m * (m * scale[c] * dy[j] - sum - normal * product));
    }
}

static void group_backward(host *h, int i)
{
  const step *s = host_step(h, i);
  const layer *l = s->layer;
  const float *x = host_act(h, s->x), *dy = host_grad(h, s->y);
  const group_work *w = h->work[i];
  const int each = l->in.c / l->groups, pixels = l->in.h * l->in.w;
#pragma omp parallel for num_threads(h->threads)
  for (int c = 0; c < l->in.c; c++) {
    double sum = 0, product = 0;
    for (int n = 0; n < h->n; n++)
      for (int p = 0; p < pixels; p++) {
        const size_t j = (size_t)n * shape_floats(l->in) + (size_t)p * (size_t)l->in.c + (size_t)c;
        const group_work *g = &w[n * l->groups + c / each];
        sum += dy[j], product += dy[j] * (x[j] - g->mean) * g->inverse;
      }
    host_dparam(h, l->bias)[c] = (float)sum, host_dparam(h, l->weight)[c] = (float)product;
  }
#pragma omp parallel for num_threads(h->threads)
  for (int k = 0; k < h->n * l->groups; k++) {
    if (!s->need_dx) continue;
    group_input(h, s, (size_t)(k / l->groups) * shape_floats(l->in) + (size_t)(k % l->groups * each), k % l->groups * each, each, pixels, &w[k]);
  }
}

/* bend by a tanh, or multiply by a constant */
static void tanh_forward(host *h, int i)
{
  const step *s = host_step(h, i);
  const layer *l = s->layer;
  const float *x = host_act(h, s->x);
  float *y = host_act(h, s->y);
  const size_t n = batch_floats(h, l->out);
#pragma omp parallel for num_threads(h->threads)
  for (size_t k = 0; k < n; k++) y[k] = (float)(l->amplitude * tanh(l->slope * x[k]));
}

static void tanh_backward(host *h, int i)
{
  const step *s = host_step(h, i);
  const layer *l = s->layer;
  const float *y = host_act(h, s->y), *dy = host_grad(h, s->y);
  const size_t n = batch_floats(h, l->out);
  if (!s->need_dx) return;
  float *dx = host_grad(h, s->x);
#pragma omp parallel for num_threads(h->threads)
  for (size_t k = 0; k < n; k++)
    hand_back(&dx[k], s->add_dx, dy[k] * l->slope * (l->amplitude - (double)y[k] * y[k] / l->amplitude));
}

/* to (n) = or += factor * from (n) */
static void multiply(host *h, const layer *l, const float *from, float *to, bool add)
{
  const size_t n = batch_floats(h, l->out);
#pragma omp parallel for num_threads(h->threads)
  for (size_t k = 0; k < n; k++) hand_back(&to[k], add, l->factor * from[k]);
}

static void scale_forward(host *h, int i)
{
  const step *s = host_step(h, i);
  multiply(h, s->layer, host_act(h, s->x), host_act(h, s->y), false);
}

static void scale_backward(host *h, int i)
{
  const step *s = host_step(h, i);
  if (s->need_dx) multiply(h, s->layer, host_grad(h, s->y), host_grad(h, s->x), s->add_dx);
}

/* multiply by a matrix of weights */
static void fc_forward(host *h, int i)
{
  const step *s = host_step(h, i);
  const layer *l = s->layer;
  const size_t in = shape_floats(l->in), out = (size_t)l->out.c;
  const float *x = host_act(h, s->x), *w = host_param(h, l->weight), *b = host_param(h, l->bias);
  float *y = host_act(h, s->y);
#pragma omp parallel for num_threads(h->threads)
  for (size_t o = 0; o < out; o++)
    for (size_t n = 0; n < (size_t)h->n; n++) {
      double sum = b[o];
      for (size_t k = 0; k < in; k++) sum += (double)w[o * in + k] * x[n * in + k];
      y[n * out + o] = relu_if(s->relu, sum);
    }
}

static void fc_backward(host *h, int i)
{
  const step *s = host_step(h, i);
  const layer *l = s->layer;
  const size_t in = shape_floats(l->in), out = (size_t)l->out.c, images = (size_t)h->n;
  const float *x = host_act(h, s->x), *dy = host_grad(h, s->y), *w = host_param(h, l->weight);
  float *dw = host_dparam(h, l->weight), *db = host_dparam(h, l->bias);
  float *dx = s->need_dx ? host_grad(h, s->x) : NULL;
  stop_negative(h, s);
#pragma omp parallel for num_threads(h->threads)
  for (size_t o = 0; o < out; o++) {
    double bias = 0;
    for (size_t n = 0; n < images; n++) bias += dy[n * out + o];
    db[o] = (float)bias;
    for (size_t k = 0; k < in; k++) {
      double sum = 0;
      for (size_t n = 0; n < images; n++) sum += (double)dy[n * out + o] * x[n * in + k];
      dw[o * in + k] = (float)sum;
    }
  }
#pragma omp parallel for num_threads(h->threads)
  for (size_t k = 0; k < in; k++)
    for (size_t n = 0; dx && n < images; n++) {
      double sum = 0;
      for (size_t o = 0; o < out; o++) sum += (double)dy[n * out + o] * w[o * in + k];
      hand_back(&dx[n * in + k], s->add_dx, sum);
    }
}

/* drop units at random */
/* out = kept ? in / (1 - p) : 0, (n, M); out may be added to */
static void drop(host *h, const step *s, const float *in, float *out, bool add)
{
  const layer *l = s->layer;
  const uint32_t m = (uint32_t)shape_floats(l->out);
  const int index = (int)(l - h->base.plan->net->layer);
  const double p = h->drop ? l->drop : 0;
  for (int n = 0; n < h->n; n++) {
    unsigned keep = 15;
    for (uint32_t k = 0; k < m; k++) {
      if (k % 4 == 0 && p > 0)
        keep = dropout_keeps(p, h->at.seed, index, h->at.epoch, (uint32_t)h->at.row[n], k / 4);
      const size_t j = (size_t)n * m + k;
      hand_back(&out[j], add, keep >> k % 4 & 1 ? in[j] / (1 - p) : 0);
    }
  }
}

static void dropout_forward(host *h, int i)
{
  const step *s = host_step(h, i);
  drop(h, s, host_act(h, s->x), host_act(h, s->y), false);
}

static void dropout_backward(host *h, int i)
{
  const step *s = host_step(h, i);
  if (s->need_dx) drop(h, s, host_grad(h, s->y), host_grad(h, s->x), s->add_dx);
}

/* turn scores into probabilities and a loss */
static double weight_of(const host *h, int class)
{
  return h->sgd && h->sgd->class_weight ? h->sgd->class_weight[class] : 1;
}

static void loss_forward(host *h, int i)
{
  const step *s = host_step(h, i);
  const int classes = s->layer->out.c;
  double loss = 0;
  h->correct = 0;
  for (int n = 0; n < h->n; n++) {
    const float *z = host_act(h, s->x) + (size_t)n * (size_t)classes;
    float *f = host_act(h, s->y) + (size_t)n * (size_t)classes;
    int best = 0;
    double sum = 0;
    for (int j = 1; j < classes; j++) if (z[j] > z[best]) best = j;
    for (int j = 0; j < classes; j++) sum += exp((double)z[j] - z[best]);
    for (int j = 0; j < classes; j++) f[j] = (float)(exp((double)z[j] - z[best]) / sum);
    if (!h->label || !h->at.row) continue;
    const int right = h->label[h->at.row[n]];
    loss += weight_of(h, right) * (log(sum) - ((double)z[right] - z[best]));
    h->correct += best == right;
  }
  h->loss = loss / h->n;
}

static void loss_backward(host *h, int i)
{
  const step *s = host_step(h, i);
  const int classes = s->layer->out.c;
  if (!s->need_dx) return;
  for (int n = 0; n < h->n; n++) {
    const int right = h->label[h->at.row[n]];
    const float *f = host_act(h, s->y) + (size_t)n * (size_t)classes;
    float *dz = host_grad(h, s->x) + (size_t)n * (size_t)classes;
    for (int j = 0; j < classes; j++)
      hand_back(&dz[j], s->add_dx, (f[j] - (j == right)) * weight_of(h, right) / h->n);
  }
}

/* put the reference engine together */
const host_op ref_op[STEP_KINDS] = {
  [STEP_CONV] = { NULL, conv_forward, conv_backward, NULL },
  [STEP_NORM] = { norm_open, norm_forward, norm_backward, norm_close },
  [STEP_RELU] = { NULL, relu_forward, relu_backward, NULL },
  [STEP_ADD] = { NULL, add_forward, add_backward, NULL },
  [STEP_POOL] = { pool_open, pool_forward, pool_backward, NULL },
  [STEP_FC] = { NULL, fc_forward, fc_backward, NULL },
  [STEP_DROPOUT] = { NULL, dropout_forward, dropout_backward, NULL },
  [STEP_AVERAGE] = { NULL, average_forward, average_backward, NULL },
  [STEP_LRN] = { NULL, lrn_forward, lrn_backward, NULL },
  [STEP_TANH] = { NULL, tanh_forward, tanh_backward, NULL },
  [STEP_SCALE] = { NULL, scale_forward, scale_backward, NULL },
  [STEP_GROUP] = { group_open, group_forward, group_backward, group_close },
  [STEP_LOSS] = { NULL, loss_forward, loss_backward, NULL },
};

static const char *never_off(void) { return NULL; }

static engine *ref_open(const plan *p, int threads) { return host_open(&engine_ref, ref_op, p, threads); }

const engine_kind engine_ref = { .name = "ref", .arithmetic = 1, .tolerance = 1e-5, .why_off = never_off, .open = ref_open, HOST_FUNCTIONS };


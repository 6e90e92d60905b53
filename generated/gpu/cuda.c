/* cuda.c: the engine on a GPU: memory, what each step launches, graphs. The kernels are in cuda_*.cu. */
#include "gpu/cuda.h"
#include "base/base.h"
#include "engines/engine.h"
#include <cublas_v2.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* say what a step can do for another */
typedef enum { STATISTICS, POOL, MASK, TAIL, COLUMN, TIES } tie_kind;
typedef struct { int gives[TIES], gets[TIES]; } ties;      /* of a step: its partner's index, or -1 */

static void tie(ties *t, tie_kind kind, int giver, int getter)
{
  t[giver].gives[kind] = getter, t[getter].gets[kind] = giver;
}

/* The step that makes tensor t, -1 for the image. */
static int maker(const plan *p, int t)
{
  for (int i = 0; i < p->steps; i++)
    if (p->step[i].y == t) return i;
  return -1;
}

/* The only step that reads tensor t, and reads it once; else -1. */
static int only_reader(const plan *p, int t)
{
  int reader = -1, readings = 0;
  for (int i = 0; i < p->steps; i++) {
    if (p->step[i].x == t) reader = i, readings++;
    if (p->step[i].r == t) readings++;
  }
  return readings == 1 ? reader : -1;
}

/* tie the steps that can be tied */
/* The ties of a plan's steps, (steps); free() them. */
static ties *find_ties(const plan *p)
{
  ties *t = NEW(ties, p->steps + 1);
  memset(t, -1, sizeof *t * (size_t)(p->steps + 1));
  for (int i = 0; i < p->steps; i++) {
    const step *s = &p->step[i];
    const int below = maker(p, s->x);
    if (below < 0) continue;
    const step *b = &p->step[below];
    const bool alone = only_reader(p, s->x) == i, on_conv = b->kind == STEP_CONV,
      on_norm = b->kind == STEP_NORM && b->relu && alone,
      biased = on_conv && alone && b->layer->bias >= 0;
    if (s->kind == STEP_NORM && on_conv && b->layer->groups == 1 && t[below].gives[STATISTICS] < 0)
      tie(t, STATISTICS, below, i);
    if (s->kind == STEP_NORM && biased && !b->relu) tie(t, COLUMN, i, below);
    if (s->kind == STEP_POOL && biased) tie(t, COLUMN, i, below);
    if (s->kind == STEP_POOL && on_conv && alone && b->relu) tie(t, MASK, i, below);
    if (s->kind == STEP_POOL && on_norm && b->need_dx && b->r != b->x) tie(t, POOL, i, below);
    if (s->kind == STEP_CONV && s->layer->groups == 1 && on_norm && b->r < 0) tie(t, TAIL, i, below);
  }
  return t;
}

/* choose each tensor's precision */
/* How each tensor is stored, (tensors); free() it. */
static precision *find_precisions(const plan *p, precision engines)
{
  precision *of = NEW(precision, p->tensors);
  bool again = true;
  for (int t = 0; t < p->tensors; t++) of[t] = engines;
  while (again) {
    again = false;
    for (int i = 0; i < p->steps; i++) {
      const step *s = &p->step[i];
      const bool fc = s->kind == STEP_FC,
        wide = fc || s->kind == STEP_LOSS || of[s->x] == FP32 || of[s->y] == FP32
        || (s->r >= 0 && of[s->r] == FP32);
      if (!wide || (of[s->y] == FP32 && (fc || (of[s->x] == FP32 && (s->r < 0 || of[s->r] == FP32)))))
        continue;
      of[s->y] = FP32, again = true;
      if (!fc) of[s->x] = FP32;
      if (!fc && s->r >= 0) of[s->r] = FP32;
    }
  }
  return of;
}

/* say what tensors and steps keep */
typedef struct {
  precision precision;
  int pitch;                       /* elements from a pixel to the next: channels, or 4 for an image of 3 */
  act *act, *grad;                 /* (batch, h, w, pitch); grad NULL where there is none */
} place_of_tensor;

/* What a step needs beside tensors and parameters, in device memory. */
typedef struct {
  void *packed;                    /* CONV: the weights as the kernels read them */
  float *column;                   /* CONV, FC: sums of columns, tile by tile, on their way to the bias
                                      gradient */
  float *partial, *coef;           /* NORM, GROUP: sums tile by tile; (4, c) or (n, 4, c), see cuda_norm_finish */
  float *common;                   /* GROUP: (n, 2, c), see cuda_group_sums */
  uint8_t *place;                  /* POOL: where each maximum stood */
  float *x;                        /* FC whose input is bfloat16: the same as float, (n, in) */
} work;

/* say what a launch, a turn, a wish is */
/* One turn of the ring: a batch's block and its result, both in pinned memory; done: the device is through
   with both. */
typedef struct { char *block; cuda_result *result; cudaEvent_t done; } turn;

/* A launch: what, and for which step. */
typedef struct cuda_engine cuda_engine;
struct here;
typedef struct { const char *word; void (*run)(const struct here *); } verb;
typedef struct { const verb *verb; int step; } launch;
typedef struct { launch *at; int count, room; } launches;
typedef enum { GRAPH_TRAIN, GRAPH_INFER, GRAPHS } graph_kind;

/* Device memory that an opening engine asks for: the pointer that is to be set, for messages what it is, its size. */
typedef struct { void *to; const char *what; size_t bytes; bool zeroed; } wish;
/* say what a GPU engine keeps */
struct cuda_engine {
  engine base;
  precision precision;
  unsigned candidates;                               /* bits, see candidates.h */
  cudaStream_t stream;
  ties *ties;
  place_of_tensor *tensor;                           /* (tensors) */
  work *work;                                        /* (steps) */
  float *param, *dparam, *velocity, *stat, *batch_stat;
  double *gathered, gathered_n;                      /* whole-set statistics so far, as host.c's; the sums on
                                                        the device */
  sgd_piece *piece, *kept_piece;                     /* the tensors that cuda_sgd updates; the same on the host */
  int pieces; size_t largest;
  float *factor, *class_weight, *ones;               /* (params), (classes), (classes) of 1 */
  float *kept_factor, *kept_class_weight;            /* what the device holds, on the host */
  void *room; float *dx, *staging;                   /* shared: partial sums; FC's dx, and put and get, as
                                                        float */
  uint8_t *pixels; int *label; float *mean;          /* the cells; cell_room: bytes of each */
  size_t cell_room[3]; bool labelled, centred;
  char *block; size_t block_bytes; cuda_result *result;
  turn ring[RESULTS_KEPT]; long turns;               /* turns: batches so far */
  /* what the launches look at */
  int n;                                             /* images of this batch */
  bool tied, drop, keyed, packed;                    /* ties hold; dropout acts; the batch has rows; weights
                                                        are packed */
  float moving;
  const float *weights;                              /* class_weight or ones */
  cuda_args *args; int *row; uint8_t *turn_of;       /* inside block */
  launches list[GRAPHS];
  cudaGraphExec_t *graph[GRAPHS];                    /* (batch + 1), by the number of images */
  void *blas_room; size_t blas_bytes;
  wish *wish; int wishes;                            /* while the engine opens */
  void **memory; int memories; size_t bytes;         /* all that was taken on the device */
  void *pinned;                                      /* the ring's */
  const char *doing, *layer;                         /* for messages */
};

/* report an error of the device */
static _Noreturn void gpu_failed(const cuda_engine *e, const char *name, const char *text, const char *hint)
{
  const char *doing = e && e->doing ? e->doing : "starting", *of = e && e->layer ? e->layer : "";
  die(EXIT_FAIL, "GPU", say("%s (%s) while %s%s%s", name, text, doing, *of ? " of " : "", of), NULL, hint);
}

static void check(const cuda_engine *e, cudaError_t error)
{
  if (error == cudaSuccess) return;
  const char *hint = "make gpu-check tests this machine; --device cpu runs without the GPU";
  if (error == cudaErrorMemoryAllocation)
    hint = "another program may hold the GPU's memory; a smaller batch needs less";
  if (error == cudaErrorNoKernelImageForDevice)
    hint = "build for this GPU, e.g. make ARCHS=86 for compute capability 8.6";
  gpu_failed(e, cudaGetErrorName(error), cudaGetErrorString(error), hint);
}

static void check_blas(const cuda_engine *e, cublasStatus_t status)
{
  if (status != CUBLAS_STATUS_SUCCESS)
    gpu_failed(e, cublasGetStatusName(status), cublasGetStatusString(status), NULL);
}

/* What the next calls are about, for messages; of: a layer's name or NULL. */
static void doing(cuda_engine *e, const char *what, const char *of) { e->doing = what, e->layer = of; }

static void wait(cuda_engine *e) { check(e, cudaStreamSynchronize(e->stream)); }
/* share one cuBLAS */
static cublasHandle_t blas;                          /* the process's */
static int blas_device;
static const cuda_engine *blas_user;                 /* whose stream and room it has */

static cublasHandle_t blas_of(cuda_engine *e)
{
  if (blas_user == e) return blas;
  check_blas(e, cublasSetStream(blas, e->stream));
  check_blas(e, cublasSetWorkspace(blas, e->blas_room, e->blas_bytes));
  blas_user = e;
  return blas;
}
/* find a step's tensors */
typedef struct here {
  cuda_engine *e;
  const step *s; const layer *l; const ties *t; work *w;
  precision p;                                       /* of the step's tensors; FC's x may differ */
  int n, m, c;                                       /* images; pixels (n, h, w) of x; channels of x */
  size_t count;                                      /* elements of y */
  act *x, *r, *y, *dx, *dr, *dy;                     /* dx and dr NULL where they are not needed */
  float *weight, *bias, *dweight, *dbias, *column;   /* column: of the convolution below, for a tie */
  cudaStream_t stream;
} here;

static const step *step_of(const cuda_engine *e, int i) { return &e->base.plan->step[i]; }
static act *act_of(const cuda_engine *e, int t) { return t < 0 ? NULL : e->tensor[t].act; }
static act *grad_of(const cuda_engine *e, int t) { return t < 0 ? NULL : e->tensor[t].grad; }
static precision precision_of(const cuda_engine *e, int t) { return e->tensor[t].precision; }
static int tiles_of(int m) { return (m + NORM_ROWS - 1) / NORM_ROWS; }

/* Of this batch's part of tensor t: pixels (n, h, w), elements. */
static int pixels_of(const cuda_engine *e, int t)
{
  const shape s = e->base.plan->tensor[t].s;
  return e->n * s.h * s.w;
}

static size_t count_of(const cuda_engine *e, int t)
{
  return (size_t)pixels_of(e, t) * (size_t)e->tensor[t].pitch;
}
/* find a step's parameters, and stand there */
/* Parameter k in a buffer laid out by the net. */
static float *param_in(const cuda_engine *e, float *buffer, int k)
{
  return k < 0 ? NULL : buffer + e->base.plan->net->param[k].offset;
}

static const ties untied = { { -1, -1, -1, -1, -1 }, { -1, -1, -1, -1, -1 } };

static here at(cuda_engine *e, int i)
{
  const step *s = step_of(e, i);
  const layer *l = s->layer;
  const ties *t = e->tied ? &e->ties[i] : &untied;
  return (here){
    .e = e, .s = s, .l = l, .t = t, .w = &e->work[i], .p = precision_of(e, s->y), .stream = e->stream,
    .n = e->n, .m = pixels_of(e, s->x), .c = l->in.c, .count = count_of(e, s->y),
    .x = act_of(e, s->x), .r = act_of(e, s->r), .y = act_of(e, s->y),
    .dx = s->need_dx ? grad_of(e, s->x) : NULL, .dr = s->need_dr ? grad_of(e, s->r) : NULL,
    .dy = grad_of(e, s->y),
    .weight = param_in(e, e->param, l->weight), .bias = param_in(e, e->param, l->bias),
    .dweight = param_in(e, e->dparam, l->weight), .dbias = param_in(e, e->dparam, l->bias),
    .column = t->gives[COLUMN] >= 0 ? e->work[t->gives[COLUMN]].column : NULL
  };
}

/* describe a step's convolution or pooling */
/* One group of step i's convolution. */
static conv_shape conv_of(const cuda_engine *e, int i)
{
  const step *s = step_of(e, i);
  const layer *l = s->layer;
  return (conv_shape){
    .n = e->n, .h = l->in.h, .w = l->in.w, .c = l->in.c / l->groups, .c_pitch = e->tensor[s->x].pitch,
    .oh = l->out.h, .ow = l->out.w, .o = l->out.c / l->groups, .o_pitch = e->tensor[s->y].pitch,
    .kernel = l->kernel, .stride = l->stride, .pad_top = l->pad_top, .pad_left = l->pad_left
  };
}

static pool_shape pool_of(const cuda_engine *e, int i)
{
  const layer *l = step_of(e, i)->layer;
  return (pool_shape){ .n = e->n, .h = l->in.h, .w = l->in.w, .c = l->in.c, .oh = l->out.h, .ow = l->out.w,
                       .kernel = l->kernel, .stride = l->stride,
                       .pad_top = l->pad_top, .pad_left = l->pad_left };
}

static size_t packed_bytes(const cuda_engine *e, int i)
{
  return (conv_packed(precision_of(e, step_of(e, i)->y), conv_of(e, i)) + 255) / 256 * 256;
}
/* find one group of a convolution */
/* Group g of a convolution. */
typedef struct {
  conv_shape s;
  const act *x, *dy; act *y, *dx;
  float *weight, *bias, *dweight;
  void *packed;
} group;

static void *beyond(void *p, size_t bytes) { return p ? (char *)p + bytes : NULL; }

static group group_at(const here *h, int g)
{
  cuda_engine *e = h->e;
  const int i = (int)(h->s - e->base.plan->step);
  const conv_shape s = conv_of(e, i);
  const size_t k = (size_t)g, size = act_bytes(h->p),
    in = k * (size_t)s.c * size, out = k * (size_t)s.o * size,
    filters = k * (size_t)s.o * sizeof(float), weights = filters * (size_t)(s.kernel * s.kernel * s.c);
  return (group){ s, beyond(h->x, in), beyond(h->dy, out), beyond(h->y, out), beyond(h->dx, in),
                  beyond(h->weight, weights), beyond(h->bias, filters), beyond(h->dweight, weights),
                  beyond(h->w->packed, k * packed_bytes(e, i)) };
}
/* launch each kind of step forward */
/* launch convolution */
static void run_conv(const here *h)
{
  const int norm = h->t->gives[STATISTICS];
  float *statistics = norm >= 0 ? h->e->work[norm].partial : NULL;
  for (int k = 0; k < h->l->groups; k++) {
    const group g = group_at(h, k);
    cuda_conv_forward(h->p, g.s, g.x, g.packed, g.bias, h->s->relu, g.y, statistics, h->e->room, h->stream);
  }
}
static const verb conv = { "convolution", run_conv };
static const verb conv_counting = { "convolution, tile statistics", run_conv };

/* launch batch norm */
static void run_norm_statistics(const here *h)
{
  cuda_norm_statistics(h->p, h->m, h->c, h->x, h->w->partial, h->stream);
}
static const verb norm_statistics = { "tile statistics", run_norm_statistics };

static void run_norm_finish(const here *h)
{
  const int giver = h->t->gets[STATISTICS],
    rows = giver < 0 ? NORM_ROWS : conv_tile_rows(h->p, conv_of(h->e, giver));
  cuda_norm_finish(rows, h->m, h->c, h->w->partial, h->weight, h->bias, h->w->coef,
                   h->e->batch_stat + h->l->stat, h->stream);
}
static const verb norm_finish = { "mean and variance", run_norm_finish };

static void run_norm_stored(const here *h)
{
  cuda_norm_stored(h->c, h->e->stat + h->l->stat, h->weight, h->bias, h->w->coef, h->stream);
}
static const verb norm_stored = { "stored mean and variance", run_norm_stored };

static void run_norm_apply(const here *h)
{
  cuda_norm_apply(h->p, h->m, h->c, h->x, h->r, h->s->relu, h->w->coef, h->y, h->stream);
}
static const verb norm_apply = { "normalise", run_norm_apply };
/* launch group norm */
static group_shape groups_here(const here *h) { return (group_shape){ h->n, h->m / h->n, h->c, h->l->groups }; }

static void run_group_statistics(const here *h)
{
  cuda_group_statistics(h->p, groups_here(h), h->x, h->weight, h->bias, h->w->partial, h->w->coef, h->stream);
}
static const verb group_statistics = { "mean and variance of the groups", run_group_statistics };

static void run_group_apply(const here *h)
{
  cuda_group_apply(h->p, groups_here(h), h->x, h->w->coef, h->y, h->stream);
}
static const verb group_apply = { "normalise", run_group_apply };
/* launch pooling, ReLU and sums */
static void run_norm_pool(const here *h)
{
  const int j = h->t->gets[POOL];
  const here pool = at(h->e, j);
  cuda_norm_pool_forward(h->p, pool_of(h->e, j), h->x, h->r, h->w->coef, pool.y, pool.w->place, h->stream);
}
static const verb norm_pool = { "normalise and pool", run_norm_pool };

static pool_shape pool_here(const here *h) { return pool_of(h->e, (int)(h->s - h->e->base.plan->step)); }

static void run_pool(const here *h)
{
  cuda_pool_forward(h->p, pool_here(h), h->x, h->y, h->w->place, h->stream);
}
static const verb pool_alone = { "pool", run_pool };

static void run_relu(const here *h) { cuda_relu_forward(h->p, h->count, h->x, h->y, h->stream); }
static const verb relu_alone = { "ReLU", run_relu };

static void run_sum(const here *h)
{
  cuda_add_forward(h->p, h->count, h->x, h->r, h->s->relu, h->y, h->stream);
}
static const verb sum_alone = { "sum", run_sum };
/* launch dropout and loss */
static void drop(const here *h, const act *from, bool add, act *to)
{
  const cuda_engine *e = h->e;
  const int units = (int)shape_floats(h->l->out), index = (int)(h->l - e->base.plan->net->layer);
  cuda_dropout(h->p, h->n, units, e->drop ? h->l->drop : 0, index, e->args, e->row, from, add, to, h->stream);
}

static void run_drop(const here *h) { drop(h, h->x, false, h->y); }
static const verb dropout = { "dropout", run_drop };

static void run_loss(const here *h)
{
  const cuda_engine *e = h->e;
  const int *label = e->labelled && e->keyed ? e->label : NULL;
  cuda_loss_forward(h->n, h->l->out.c, h->x, label, e->row, e->weights, h->y, e->result, h->stream);
}
static const verb softmax_loss = { "softmax, loss", run_loss };

/* launch what other nets need */
static response response_of(const layer *l)
{
  return (response){ l->window, (float)l->alpha, (float)l->beta, (float)l->k };
}

static void run_average(const here *h) { cuda_average_forward(h->p, pool_here(h), h->x, h->y, h->stream); }
static const verb average = { "average", run_average };

static void run_response(const here *h)
{
  cuda_response_forward(h->p, (size_t)h->m, h->c, response_of(h->l), h->x, h->y, h->stream);
}
static const verb response_alone = { "local response", run_response };

static void run_tanh(const here *h)
{
  cuda_tanh_forward(h->p, h->count, (float)h->l->amplitude, (float)h->l->slope, h->x, h->y, h->stream);
}
static const verb tanh_alone = { "tanh", run_tanh };

static void run_scale(const here *h) { cuda_scale(h->p, h->count, (float)h->l->factor, h->x, false, h->y, h->stream); }
static const verb scale = { "scale", run_scale };

/* multiply by cuBLAS */
/* c = turn?(a) turn?(b), or added to c, as cuBLAS counts: c (rows, columns) by columns, leading dimensions
   la, lb and rows. */
static void multiply(cuda_engine *e, cublasOperation_t turn_a, cublasOperation_t turn_b, int rows,
                     int columns, int depth, const float *a, int la, const float *b, int lb, bool add,
                     float *c)
{
  const float one = 1, plus = add;
  const cublasComputeType_t how = e->precision == FP32 ? CUBLAS_COMPUTE_32F : CUBLAS_COMPUTE_32F_FAST_TF32;
  check_blas(e, cublasGemmEx(blas_of(e), turn_a, turn_b, rows, columns, depth, &one, a, CUDA_R_32F, la, b,
                             CUDA_R_32F, lb, &plus, c, CUDA_R_32F, rows, how, CUBLAS_GEMM_DEFAULT));
}

static int inputs_of(const here *h) { return (int)shape_floats(h->l->in); }

/* The input of an FC as float, (n, in). */
static const float *fc_input(const here *h) { return h->w->x ? h->w->x : h->x; }

static void run_fc_widen(const here *h)
{
  cuda_from_act(BF16, count_of(h->e, h->s->x), h->x, h->w->x, h->stream);
}
static const verb fc_widen = { "input to float", run_fc_widen };
/* launch fully connected layers */
static void run_fc(const here *h)
{
  const int in = inputs_of(h), out = h->l->out.c;
  multiply(h->e, CUBLAS_OP_T, CUBLAS_OP_N, out, h->n, in, h->weight, in, fc_input(h), in, false, h->y);
  cuda_fc_finish(h->n, out, h->y, h->bias, h->s->relu, h->y, h->stream);
}
static const verb fc_alone = { "product (cuBLAS), bias", run_fc };

/* The candidate fc1-split, where it serves. */
static void run_fc_split(const here *h)
{
  if (!cuda_fc_split(h->n, inputs_of(h), h->l->out.c, fc_input(h), h->weight, h->bias, h->s->relu, h->e->room, h->y, h->stream))
    run_fc(h);
}
static const verb fc_split = { "product in slices, bias", run_fc_split };
/* launch each kind of step backward */
/* launch the ReLU's mask */
static void run_mask(const here *h)
{
  cuda_pass_gradient(h->p, h->count, h->dy, h->y, false, h->dy, h->stream);
}
static const verb mask = { "mask of the ReLU", run_mask };

/* launch convolution's three gradients */
static void run_bias(const here *h)
{
  const int m = pixels_of(h->e, h->s->y), c = h->l->out.c;
  if (h->t->gets[COLUMN] >= 0) cuda_sum_columns(tiles_of(m), c, h->w->column, h->dbias, h->stream);
  else cuda_column_sums(h->p, m, c, h->dy, h->w->column, h->dbias, h->stream);
}
static const verb bias_pass = { "gradient of the bias, a pass", run_bias };
static const verb bias_column = { "gradient of the bias, from tiles", run_bias };

static void run_conv_weights(const here *h)
{
  for (int k = 0; k < h->l->groups; k++) {
    const group g = group_at(h, k);
    cuda_conv_weight_gradient(h->p, g.s, g.x, g.dy, h->e->room, g.dweight, h->stream);
  }
}
static const verb conv_weights = { "gradient of the weights", run_conv_weights };

static void run_conv_input(const here *h)
{
  const int i = h->t->gives[TAIL];
  const norm_tail tail = i < 0 ? (norm_tail){ 0 }
    : (norm_tail){ act_of(h->e, step_of(h->e, i)->x), h->e->work[i].coef, h->e->work[i].partial };
  for (int k = 0; k < h->l->groups; k++) {
    const group g = group_at(h, k);
    cuda_conv_input_gradient(h->p, g.s, g.dy, g.packed, h->s->add_dx, g.dx, i < 0 ? NULL : &tail, h->e->room, h->stream);
  }
}
static const verb conv_input = { "gradient of the input", run_conv_input };
static const verb conv_input_tail = { "gradient of the input, masked and summed", run_conv_input };

/* launch a norm's gradient sums */
/* What tells where the ReLU let through: without a residual term the input does. */
static const act *norm_mask(const here *h) { return !h->s->relu ? NULL : h->r ? h->y : h->x; }

static void run_norm_sums(const here *h)
{
  cuda_norm_sums(h->p, h->m, h->c, h->x, h->dy, norm_mask(h), h->w->coef, h->s->add_dr, h->dr,
                 h->w->partial, h->stream);
}
static const verb norm_sums = { "gradient sums", run_norm_sums };

static void run_norm_pool_sums(const here *h)
{
  const int j = h->t->gets[POOL];
  const here pool = at(h->e, j);
  cuda_norm_pool_sums(h->p, pool_of(h->e, j), h->x, pool.dy, pool.w->place, pool.y, h->w->coef,
                      h->w->partial, h->stream);
}
static const verb norm_pool_sums = { "gradient sums through the pool", run_norm_pool_sums };

static void run_norm_sums_finish(const here *h)
{
  const int giver = h->t->gets[TAIL],
    tiles = giver < 0 ? tiles_of(h->m) : conv_dx_tiles(h->p, conv_of(h->e, giver));
  cuda_norm_sums_finish(tiles, h->c, h->w->partial, h->dweight, h->dbias, h->stream);
}
static const verb norm_sums_finish = { "gradients of scale and offset", run_norm_sums_finish };
/* launch gradients of the inputs */
static void run_norm_input(const here *h)
{
  const bool masked = h->t->gets[TAIL] >= 0;
  cuda_norm_dx(h->p, h->m, h->c, h->x, h->dy, masked ? NULL : norm_mask(h), h->w->coef, h->dweight,
               h->dbias, h->s->add_dx, h->dx, h->column, h->stream);
}
static const verb norm_input = { "gradient of the input", run_norm_input };

static void run_norm_pool_input(const here *h)
{
  const int j = h->t->gets[POOL];
  const here pool = at(h->e, j);
  cuda_norm_pool_dx(h->p, pool_of(h->e, j), h->x, pool.dy, pool.w->place, pool.y, h->w->coef, h->dweight,
                    h->dbias, h->s->add_dr, h->dr, h->s->add_dx, h->dx, h->column, h->stream);
}
static const verb norm_pool_input = { "gradient of the input through the pool", run_norm_pool_input };

static void run_group_sums(const here *h)
{
  cuda_group_sums(h->p, groups_here(h), h->x, h->dy, h->weight, h->w->coef, h->w->partial, h->dweight, h->dbias,
                  h->w->common, h->stream);
}
static const verb group_sums = { "gradients of scale and offset", run_group_sums };

static void run_group_input(const here *h)
{
  cuda_group_dx(h->p, groups_here(h), h->x, h->dy, h->w->coef, h->w->common, h->s->add_dx, h->dx, h->stream);
}
static const verb group_input = { "gradient of the input", run_group_input };

static void run_pool_input(const here *h)
{
  const act *pooled = h->t->gives[MASK] >= 0 ? h->y : NULL;
  cuda_pool_backward(h->p, pool_here(h), h->dy, h->w->place, pooled, h->s->add_dx, h->dx, h->column,
                     h->stream);
}
static const verb pool_input = { "gradient of the input", run_pool_input };
static const verb pool_input_mask = { "gradient of the input, masked", run_pool_input };
/* launch the way back of sums and other nets */
/* Of ReLU and ADD: the gradient passes on to r, then to x. */
static void run_pass_on(const here *h)
{
  const act *y = h->s->relu || h->s->kind == STEP_RELU ? h->y : NULL;
  if (h->dr) cuda_pass_gradient(h->p, h->count, h->dy, y, h->s->add_dr, h->dr, h->stream);
  if (h->dx) cuda_pass_gradient(h->p, h->count, h->dy, y, h->s->add_dx, h->dx, h->stream);
}
static const verb pass_on = { "pass the gradient on", run_pass_on };

static void run_average_input(const here *h)
{
  if (h->dx) cuda_average_backward(h->p, pool_here(h), h->dy, h->s->add_dx, h->dx, h->stream);
}
static const verb average_input = { "gradient of the input", run_average_input };

static void run_response_input(const here *h)
{
  if (h->dx)
    cuda_response_backward(h->p, (size_t)h->m, h->c, response_of(h->l), h->x, h->dy, h->s->add_dx, h->dx, h->stream);
}
static const verb response_input = { "gradient of the input", run_response_input };

static void run_tanh_input(const here *h)
{
  const float amplitude = (float)h->l->amplitude, slope = (float)h->l->slope;
  if (h->dx) cuda_tanh_backward(h->p, h->count, amplitude, slope, h->x, h->dy, h->s->add_dx, h->dx, h->stream);
}
static const verb tanh_input = { "gradient of the input", run_tanh_input };

static void run_scale_input(const here *h)
{
  if (h->dx) cuda_scale(h->p, h->count, (float)h->l->factor, h->dy, h->s->add_dx, h->dx, h->stream);
}
static const verb scale_input = { "gradient of the input", run_scale_input };

/* launch the way back of dropout and loss */
static void run_drop_input(const here *h) { if (h->dx) drop(h, h->dy, h->s->add_dx, h->dx); }
static const verb drop_input = { "the same dropout", run_drop_input };

static void run_loss_input(const here *h)
{
  const cuda_engine *e = h->e;
  if (!h->dx) return;
  cuda_loss_backward(h->n, h->l->out.c, h->y, e->label, e->row, e->weights, h->s->add_dx, h->dx, h->stream);
}
static const verb loss_input = { "gradient of the loss", run_loss_input };

/* launch a fully connected update */
/* Where FC's dx is written as float; holds the present gradient when it is to be added to. */
static float *dx_begin(const here *h)
{
  cuda_engine *e = h->e;
  if (!h->dx || precision_of(e, h->s->x) != BF16) return h->dx;
  if (h->s->add_dx) cuda_from_act(BF16, count_of(e, h->s->x), h->dx, e->dx, h->stream);
  return e->dx;
}

/* And brought to the tensor's precision. */
static void dx_end(const here *h, const float *dx)
{
  const precision p = precision_of(h->e, h->s->x);
  if (dx && p != FP32) cuda_to_act(p, count_of(h->e, h->s->x), dx, h->dx, h->stream);
}

static void run_fc_update(const here *h)
{
  cuda_engine *e = h->e;
  const int k = h->l->weight;
  const float decay = (float)e->base.plan->net->param[k].decay;
  float *dx = dx_begin(h);
  cuda_fc_update(h->n, inputs_of(h), h->l->out.c, fc_input(h), h->dy, e->args, e->factor + k, decay,
                 h->weight, param_in(e, e->velocity, k), h->s->add_dx, dx, h->stream);
  dx_end(h, dx);
}
static const verb fc_update = { "gradient of the input, update of the weights", run_fc_update };
/* launch a fully connected layer's gradients */
static void run_fc_gradients(const here *h)
{
  const int in = inputs_of(h), out = h->l->out.c;
  const float *x = fc_input(h), *dy = h->dy;
  multiply(h->e, CUBLAS_OP_N, CUBLAS_OP_T, in, out, h->n, x, in, dy, out, false, h->dweight);
  float *dx = dx_begin(h);
  if (dx) multiply(h->e, CUBLAS_OP_N, CUBLAS_OP_N, in, h->n, out, h->weight, in, dy, out, h->s->add_dx, dx);
  dx_end(h, dx);
}
static const verb fc_gradients = { "gradients of weights and input (cuBLAS)", run_fc_gradients };
/* launch what belongs to the whole net */
static void run_gather(const here *h)
{
  const cuda_engine *e = h->e;
  const shape s = e->base.plan->tensor[0].s;
  const float *mean = e->centred ? e->mean : NULL;
  cuda_gather(precision_of(e, 0), e->n, s.h, s.w, s.c, e->tensor[0].pitch, e->pixels, mean, e->row,
              e->turn_of, act_of(e, 0), e->stream);
}
static const verb gather = { "gather the cells", run_gather };

static void run_pack(const here *h)
{
  for (int k = 0; k < h->l->groups; k++) {
    const group g = group_at(h, k);
    cuda_conv_pack(h->p, g.s, g.weight, g.packed, h->stream);
  }
}
static const verb pack = { "pack the weights", run_pack };

static void run_update(const here *h)
{
  const cuda_engine *e = h->e;
  if (e->pieces)
    cuda_sgd(e->pieces, e->piece, e->largest, e->args, e->factor, e->param, e->dparam, e->velocity,
             e->stream);
}
static const verb update = { "update of all other tensors", run_update };

static void run_move(const here *h)
{
  const cuda_engine *e = h->e;
  const size_t count = e->base.plan->net->stat_floats;
  if (count) cuda_move_statistics(count, e->args, e->batch_stat, e->stat, e->stream);
}
static const verb move = { "moving statistics", run_move };
/* list the launches of a training step */
/* give each kind of step its launches */
/* What a step of each kind launches; a convolution, norm of either kind, pool or FC more than that, see below. */
static const struct { const verb *forward, *backward; } verbs_of[STEP_KINDS] = {
  [STEP_CONV] = { &conv, &conv_input }, [STEP_NORM] = { &norm_apply, &norm_input },
  [STEP_POOL] = { &pool_alone, &pool_input }, [STEP_FC] = { &fc_alone, &fc_gradients },
  [STEP_RELU] = { &relu_alone, &pass_on }, [STEP_ADD] = { &sum_alone, &pass_on },
  [STEP_DROPOUT] = { &dropout, &drop_input }, [STEP_LOSS] = { &softmax_loss, &loss_input },
  [STEP_AVERAGE] = { &average, &average_input }, [STEP_LRN] = { &response_alone, &response_input },
  [STEP_TANH] = { &tanh_alone, &tanh_input }, [STEP_SCALE] = { &scale, &scale_input },
  [STEP_GROUP] = { &group_apply, &group_input },
};

static void check_kinds(const plan *p)
{
  for (int i = 0; i < p->steps; i++) {
    const unsigned kind = (unsigned)p->step[i].kind;
    if (kind < STEP_KINDS && verbs_of[kind].forward && verbs_of[kind].backward) continue;
    die(EXIT_FAIL, say("layer %s", p->step[i].layer->name), "a kind that the GPU engine has no kernels for",
        "a kind that it has", "--device cpu computes every net");
  }
}

/* list a step's launches forward */
static void then(launches *l, const verb *v, int i)
{
  if (l->count == l->room) l->at = grow(l->at, sizeof *l->at * (size_t)(l->room = 2 * l->room + 16));
  l->at[l->count++] = (launch){ v, i };
}

/* Step i forward; t: its ties, all -1 when they do not hold. widen: its input is bfloat16 and it is an FC. */
static void list_forward(launches *l, const step *s, int i, const ties *t, bool infer, bool widen)
{
  switch (s->kind) {
  case STEP_CONV: then(l, t->gives[STATISTICS] >= 0 ? &conv_counting : &conv, i); break;
  case STEP_NORM:
    if (!infer && t->gets[STATISTICS] < 0) then(l, &norm_statistics, i);
    then(l, infer ? &norm_stored : &norm_finish, i);
    then(l, t->gets[POOL] >= 0 ? &norm_pool : &norm_apply, i);
    break;
  case STEP_GROUP: then(l, &group_statistics, i), then(l, &group_apply, i); break;
  case STEP_POOL: if (t->gives[POOL] < 0) then(l, &pool_alone, i); break;
  case STEP_FC:
    if (widen) then(l, &fc_widen, i);
    then(l, candidate_on(CANDIDATE_FC1_SPLIT) ? &fc_split : &fc_alone, i);
    break;
  default: then(l, verbs_of[s->kind].forward, i);
  }
}
/* list a step's launches backward */
/* Step i backward; train: weights may be updated at once. */
static void list_backward(launches *l, const step *s, int i, const ties *t, bool train)
{
  if (s->relu && (s->kind == STEP_FC || (s->kind == STEP_CONV && t->gets[MASK] < 0))) then(l, &mask, i);
  switch (s->kind) {
  case STEP_CONV:
    if (s->layer->bias >= 0) then(l, t->gets[COLUMN] >= 0 ? &bias_column : &bias_pass, i);
    then(l, &conv_weights, i);
    if (s->need_dx) then(l, t->gives[TAIL] >= 0 ? &conv_input_tail : &conv_input, i);
    break;
  case STEP_NORM:
    if (t->gets[TAIL] < 0) then(l, t->gets[POOL] >= 0 ? &norm_pool_sums : &norm_sums, i);
    then(l, &norm_sums_finish, i);
    if (s->need_dx) then(l, t->gets[POOL] >= 0 ? &norm_pool_input : &norm_input, i);
    break;
  case STEP_GROUP:
    then(l, &group_sums, i);
    if (s->need_dx) then(l, &group_input, i);
    break;
  case STEP_POOL:
    if (t->gives[POOL] < 0 && s->need_dx) then(l, t->gives[MASK] >= 0 ? &pool_input_mask : &pool_input, i);
    break;
  case STEP_FC:
    then(l, &bias_pass, i);
    then(l, train ? &fc_update : &fc_gradients, i);
    break;
  default: then(l, verbs_of[s->kind].backward, i);
  }
}

/* list a training step */
static bool widens(const step *s, const precision *of) { return s->kind == STEP_FC && of[s->x] == BF16; }

static void list_training(launches *l, const plan *p, const ties *t, const precision *of)
{
  for (int i = 0; i < p->steps; i++)
    if (p->step[i].kind == STEP_CONV) then(l, &pack, i);
  then(l, &gather, -1);
  for (int i = 0; i < p->steps; i++) list_forward(l, &p->step[i], i, &t[i], false, widens(&p->step[i], of));
  then(l, &move, -1);
  for (int i = p->steps - 1; i >= 0; i--) list_backward(l, &p->step[i], i, &t[i], true);
  then(l, &update, -1);
}
/* tell the list without a device */
static bool is_bf16(const char *kind) { return !strcmp(kind, "cuda-bf16"); }

/* The launches of a training step, a line each ("bn1a.relu1a: normalise" is the layer, then the verb). kind:
   an engine's name. free() it. */
char *wbcsnet_cuda_launches(const plan *p, const char *kind)
{
  launches l = { 0 };
  check_kinds(p);
  ties *t = find_ties(p);
  precision *of = find_precisions(p, is_bf16(kind) ? BF16 : FP32);
  list_training(&l, p, t, of);
  char *text = copy_text("");
  for (int i = 0; i < l.count; i++) {
    const int s = l.at[i].step;
    char *longer = join("%s%s: %s\n", text, s < 0 ? "net" : p->step[s].layer->name, l.at[i].verb->word);
    free(text), text = longer;
  }
  free(l.at), free(t), free(of);
  return text;
}
/* record a list of launches */
static void run_list(cuda_engine *e, const launches *l)
{
  cuda_candidates = e->candidates;
  for (int i = 0; i < l->count; i++) {
    const launch *x = &l->at[i];
    const here h = x->step < 0 ? (here){ .e = e } : at(e, x->step);
    doing(e, x->verb->word, h.l ? h.l->name : NULL);
    x->verb->run(&h);
    check(e, cudaGetLastError());
    if (gpu_waits()) wait(e);
  }
}

/* The launches of a list, recorded for e->n images. */
static cudaGraphExec_t record(cuda_engine *e, const launches *l)
{
  cudaGraph_t graph;
  cudaGraphExec_t ready;
  doing(e, "recording a graph", NULL);
  check(e, cudaStreamBeginCapture(e->stream, cudaStreamCaptureModeRelaxed));
  run_list(e, l);
  doing(e, "recording a graph", NULL);
  check(e, cudaStreamEndCapture(e->stream, &graph));
  check(e, cudaGraphInstantiate(&ready, graph, 0));
  check(e, cudaGraphDestroy(graph));
  return ready;
}

/* start a graph, or run the list */
static void start(cuda_engine *e, graph_kind kind)
{
  if (gpu_waits()) {
    run_list(e, &e->list[kind]);
    return;
  }
  cudaGraphExec_t *g = &e->graph[kind][e->n];
  if (!*g) *g = record(e, &e->list[kind]);
  doing(e, "starting a graph", NULL);
  check(e, cudaGraphLaunch(*g, e->stream));
}

/* What was recorded holds pointers: forget it when one of them changes. */
static void forget_graphs(cuda_engine *e)
{
  for (int k = 0; k < GRAPHS; k++)
    for (int n = 0; n <= e->base.plan->batch; n++)
      if (e->graph[k][n]) check(e, cudaGraphExecDestroy(e->graph[k][n])), e->graph[k][n] = NULL;
}
/* take memory of the device */
static void *take(cuda_engine *e, const char *what, size_t bytes)
{
  void *p;
  size_t free_bytes = 0, all = 0;
  doing(e, "taking memory for", what);
  const cudaError_t error = cudaMalloc(&p, bytes + !bytes);
  if (error == cudaErrorMemoryAllocation) {
    cudaMemGetInfo(&free_bytes, &all);
    die(EXIT_FAIL, "GPU memory",
        say("no room for %zu MB of %s; %zu MB are taken, %zu of the device's %zu MB are free", bytes >> 20,
            what, e->bytes >> 20, free_bytes >> 20, all >> 20),
        "enough memory for this net and batch",
        e->precision == BF16 ? "use a smaller batch or net"
        : "use a smaller batch or net, or --device cuda-bf16, which needs about half");
  }
  check(e, error);
  e->memory = grow(e->memory, sizeof *e->memory * (size_t)(e->memories + 1));
  e->memory[e->memories++] = p, e->bytes += bytes;
  return p;
}

/* wish for memory, and cut one piece for all */
/* *to, a pointer, shall point to so many bytes, zeroed or not, when the wishes are granted. */
static void wish_for(cuda_engine *e, void *to, const char *what, size_t bytes, bool zeroed)
{
  e->wish = grow(e->wish, sizeof *e->wish * (size_t)(e->wishes + 1));
  e->wish[e->wishes++] = (wish){ to, what, bytes, zeroed };
}

static void wish_floats(cuda_engine *e, float **to, const char *what, size_t count)
{
  wish_for(e, to, what, count * sizeof(float), true);
}

static size_t wish_bytes(const wish *w) { return (w->bytes + !w->bytes + 255) / 256 * 256; }

/* The wishes of one kind, cut from `at` on; returns what is behind them. NULL: each is taken by itself. */
static char *cut(cuda_engine *e, char *at, bool zeroed)
{
  for (int i = 0; i < e->wishes; i++) {
    const wish *w = &e->wish[i];
    if (w->zeroed != zeroed) continue;
    void *p = at ? at : take(e, w->what, w->bytes);
    memcpy(w->to, &p, sizeof p);                     /* a pointer of any type */
    if (at) at += wish_bytes(w);
    else if (zeroed) check(e, cudaMemsetAsync(p, 0, w->bytes, e->stream));
  }
  return at;
}

static void grant_wishes(cuda_engine *e)
{
  void *all = NULL;
  size_t bytes = 0;
  for (int i = 0; i < e->wishes; i++) bytes += wish_bytes(&e->wish[i]);
  if (!gpu_apart() && cudaMalloc(&all, bytes)) cudaGetLastError(), all = NULL;
  if (all) {
    e->memory = grow(e->memory, sizeof *e->memory), e->memory[e->memories++] = all, e->bytes += bytes;
    doing(e, "clearing memory", NULL);
  }
  char *rest = cut(e, all, true);
  if (all) check(e, cudaMemsetAsync(all, 0, (size_t)(rest - (char *)all), e->stream));
  cut(e, rest, false);
  free(e->wish), e->wish = NULL, e->wishes = 0;
}

/* wish for each tensor and step's room */
/* wish for tensors */
static int pitch_of(const plan *p, int t)
{
  const int c = p->tensor[t].s.c;
  if (t || c != 3) return c;
  for (int i = 0; i < p->steps; i++)
    if ((p->step[i].x == 0 && p->step[i].kind != STEP_CONV) || p->step[i].r == 0) return c;
  return 4;
}

static void wish_tensors(cuda_engine *e)
{
  const plan *p = e->base.plan;
  precision *of = find_precisions(p, e->precision);
  e->tensor = NEW(place_of_tensor, p->tensors);
  for (int t = 0; t < p->tensors; t++) {
    place_of_tensor *q = &e->tensor[t];
    const shape s = p->tensor[t].s;
    if ((double)p->batch * s.h * s.w >= 2147483647.0 || (double)shape_floats(s) >= 2147483647.0)
      die(EXIT_FAIL, p->tensor[t].name, say("%d images of %d x %d x %d", p->batch, s.h, s.w, s.c),
          "less than 2^31 pixels in a batch", "use a smaller batch");
    *q = (place_of_tensor){ of[t], pitch_of(p, t), NULL, NULL };
    const size_t bytes = (size_t)p->batch * (size_t)s.h * (size_t)s.w * (size_t)q->pitch * act_bytes(of[t]);
    wish_for(e, &q->act, "activations", bytes, false);
    if (p->tensor[t].grad != NO_GRADIENT) wish_for(e, &q->grad, "gradients", bytes, false);
  }
  free(of);
}

/* wish for parameters and what updates them */
static bool is_fc_weight(const plan *p, int k)
{
  for (int i = 0; i < p->steps; i++)
    if (p->step[i].kind == STEP_FC && p->step[i].layer->weight == k) return true;
  return false;
}

static void wish_parameters(cuda_engine *e)
{
  const plan *p = e->base.plan;
  const net *n = p->net;
  wish_floats(e, &e->param, "weights", n->param_floats);
  wish_floats(e, &e->dparam, "their gradients", n->param_floats);
  wish_floats(e, &e->velocity, "their velocities", n->param_floats);
  wish_floats(e, &e->stat, "statistics", n->stat_floats);
  wish_floats(e, &e->batch_stat, "statistics", n->stat_floats);
  wish_for(e, &e->gathered, "statistics", n->stat_floats * sizeof(double), false);
  e->kept_piece = NEW(sgd_piece, n->params + 1);
  for (int k = 0; k < n->params; k++) {
    if (is_fc_weight(p, k)) continue;
    e->kept_piece[e->pieces++] = (sgd_piece){ n->param[k].offset, n->param[k].count, (float)n->param[k].decay, k };
    if (n->param[k].count > e->largest) e->largest = n->param[k].count;
  }
  wish_for(e, &e->piece, "the update", sizeof *e->piece * (size_t)e->pieces, false);
  wish_floats(e, &e->factor, "the update", (size_t)n->params);
  wish_floats(e, &e->class_weight, "the update", (size_t)n->classes);
  e->kept_factor = NEW(float, n->params), e->kept_class_weight = NEW(float, n->classes);
  wish_floats(e, &e->ones, "the update", (size_t)n->classes);
}

/* wish for a norm's room */
static size_t larger(size_t a, size_t b) { return a > b ? a : b; }

/* Tiles of a norm's partial sums for e->n images, whoever leaves them. */
static size_t norm_tiles(const cuda_engine *e, int i)
{
  const int x = step_of(e, i)->x, m = pixels_of(e, x), counting = e->ties[i].gets[STATISTICS],
    tailed = e->ties[i].gets[TAIL];
  size_t tiles = (size_t)tiles_of(m);
  if (counting >= 0) {
    const int rows = conv_tile_rows(precision_of(e, x), conv_of(e, counting));
    tiles = larger(tiles, ((size_t)m + (size_t)rows - 1) / (size_t)rows);
  }
  if (tailed >= 0) tiles = larger(tiles, (size_t)conv_dx_tiles(precision_of(e, x), conv_of(e, tailed)));
  return tiles;
}

static void wish_norm_work(cuda_engine *e, int i)
{
  const size_t c = (size_t)step_of(e, i)->layer->in.c;
  size_t tiles = 0;
  for (e->n = 1; e->n <= e->base.plan->batch; e->n++) tiles = larger(tiles, norm_tiles(e, i));
  wish_floats(e, &e->work[i].partial, "sums of a norm", tiles * 2 * c);
  wish_floats(e, &e->work[i].coef, "sums of a norm", 4 * c);
}

/* wish for a group norm's room */
static void wish_group_work(cuda_engine *e, int i)
{
  const shape in = step_of(e, i)->layer->in;
  const size_t c = (size_t)in.c, n = (size_t)e->base.plan->batch;
  if (n > 65535)                                     /* a grid's third dimension */
    die(EXIT_FAIL, step_of(e, i)->layer->name, say("a batch of %zu images", n), "at most 65535 in a group norm on a GPU",
        "use a smaller batch");
  wish_floats(e, &e->work[i].partial, "sums of a norm", n * (size_t)tiles_of(in.h * in.w) * 2 * c);
  wish_floats(e, &e->work[i].coef, "sums of a norm", n * 4 * c);
  wish_floats(e, &e->work[i].common, "sums of a norm", n * 2 * c);
}

/* wish for a convolution's room */
static void wish_conv_work(cuda_engine *e, int i, size_t *room)
{
  const step *s = step_of(e, i);
  for (e->n = 1; e->n <= e->base.plan->batch; e->n++)
    *room = larger(*room, larger(conv_room(precision_of(e, s->y), conv_of(e, i)),
                                 conv_product_room(precision_of(e, s->y), conv_of(e, i))));
  e->n = e->base.plan->batch;
  wish_for(e, &e->work[i].packed, "packed weights", (size_t)s->layer->groups * packed_bytes(e, i), false);
}
/* wish for each step's room */
static void wish_work(cuda_engine *e)
{
  const plan *p = e->base.plan;
  size_t room = 0, dx = 0;
  e->work = NEW(work, p->steps);
  for (int i = 0; i < p->steps; i++) {
    const step *s = step_of(e, i);
    const layer *l = s->layer;
    if (s->kind == STEP_NORM) wish_norm_work(e, i);
    if (s->kind == STEP_GROUP) wish_group_work(e, i);
    if (s->kind == STEP_CONV) wish_conv_work(e, i, &room);
    e->n = p->batch;
    const size_t tiles = (size_t)tiles_of(pixels_of(e, s->y));
    if (s->kind == STEP_CONV || s->kind == STEP_FC)
      wish_floats(e, &e->work[i].column, "sums of columns", tiles * (size_t)l->out.c);
    if (s->kind == STEP_POOL) wish_for(e, &e->work[i].place, "places of maxima", count_of(e, s->y), false);
    if (s->kind == STEP_FC && candidate_on(CANDIDATE_FC1_SPLIT))
      room = larger(room, fc_split_room(p->batch, (int)shape_floats(l->in), l->out.c));
    if (s->kind != STEP_FC || precision_of(e, s->x) != BF16) continue;
    wish_floats(e, &e->work[i].x, "an FC's input", count_of(e, s->x));
    dx = larger(dx, count_of(e, s->x));
  }
  wish_for(e, &e->room, "partial sums", room, false);
  wish_floats(e, &e->dx, "an FC's gradient", dx);
}

/* wish for a ring of blocks */
static size_t row_offset(void) { return (sizeof(cuda_args) + 15) / 16 * 16; }
static size_t turn_offset(const cuda_engine *e)
{
  return row_offset() + sizeof(int) * (size_t)e->base.plan->batch;
}

static void wish_ring(cuda_engine *e)
{
  e->block_bytes = turn_offset(e) + (size_t)e->base.plan->batch;
  wish_for(e, &e->block, "a batch", e->block_bytes, false);
  wish_for(e, &e->result, "a result", sizeof *e->result, true);
}

/* All turns are one piece of pinned memory: results first, then the blocks. */
static void take_ring(cuda_engine *e)
{
  const size_t stride = (e->block_bytes + 255) / 256 * 256, bytes = RESULTS_KEPT * (sizeof(cuda_result) + stride);
  e->args = (cuda_args *)(void *)e->block, e->row = (int *)(void *)(e->block + row_offset()),
    e->turn_of = (uint8_t *)e->block + turn_offset(e);
  doing(e, "taking pinned memory", NULL);
  check(e, cudaMallocHost(&e->pinned, bytes));
  memset(e->pinned, 0, bytes);
  for (int i = 0; i < RESULTS_KEPT; i++) {
    turn *t = &e->ring[i];
    t->result = (cuda_result *)e->pinned + i;
    t->block = (char *)e->pinned + RESULTS_KEPT * sizeof(cuda_result) + (size_t)i * stride;
    check(e, cudaEventCreateWithFlags(&t->done, cudaEventDisableTiming | cudaEventBlockingSync));
  }
}
/* open cuBLAS, and make the lists */
static void open_blas(cuda_engine *e)
{
  int major = 0;
  doing(e, "opening cuBLAS", NULL);
  check(e, cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, engine_gpu));
  e->blas_bytes = (size_t)(major >= 9 ? 32 : 4) * 1024 * 1024;
  wish_for(e, &e->blas_room, "cuBLAS", e->blas_bytes, false);
  if (blas && blas_device == engine_gpu) return;
  if (blas) check_blas(e, cublasDestroy(blas)), blas = NULL, blas_user = NULL;
  check_blas(e, cublasCreate(&blas));
  blas_device = engine_gpu;
}

static void make_lists(cuda_engine *e)
{
  const plan *p = e->base.plan;
  precision *of = find_precisions(p, e->precision);
  list_training(&e->list[GRAPH_TRAIN], p, e->ties, of);
  then(&e->list[GRAPH_INFER], &gather, -1);
  for (int i = 0; i < p->steps; i++)
    list_forward(&e->list[GRAPH_INFER], &p->step[i], i, &untied, true, widens(&p->step[i], of));
  for (int k = 0; k < GRAPHS; k++) e->graph[k] = NEW(cudaGraphExec_t, p->batch + 1);
  free(of);
}

static void upload_floats(cuda_engine *e, float *to, const float *from, size_t count)
{
  check(e, cudaMemcpyAsync(to, from, count * sizeof *to, cudaMemcpyHostToDevice, e->stream));
}
/* choose the candidates */
static void choose_candidates(cuda_engine *e)
{
  for (int i = 0; i < CANDIDATES; i++) {
    if (!(candidates_asked() >> i & 1) || !(candidate_table[i].precisions & e->base.kind->candidates_in)) continue;
    const char *off = candidate_off(e->base.kind, (candidate)i);
    if (off) die(EXIT_NODEVICE, "WBCSNET_CANDIDATES", candidate_table[i].name, "candidates that this device can run", off);
    e->candidates |= 1u << i;
  }
  cuda_candidates = e->candidates;
  check(e, cudaDeviceGetAttribute(&cuda_multiprocessors, cudaDevAttrMultiProcessorCount, engine_gpu));
}

/* open an engine on a GPU, and close it */
static engine *open_gpu(const engine_kind *kind, precision how, const plan *p)
{
  check_kinds(p);
  cuda_engine *e = NEW(cuda_engine, 1);
  const int classes = p->net->classes;
  e->base = (engine){ kind, p }, e->precision = how;
  doing(e, "choosing the device", NULL);
  check(e, cudaSetDevice(engine_gpu));
  choose_candidates(e);
  check(e, cudaStreamCreateWithFlags(&e->stream, cudaStreamNonBlocking));
  e->ties = find_ties(p);
  open_blas(e), wish_tensors(e), wish_parameters(e), wish_work(e), wish_ring(e);
  grant_wishes(e), take_ring(e);
  make_lists(e);
  doing(e, "bringing what the update needs", NULL);
  check(e, cudaMemcpyAsync(e->piece, e->kept_piece, sizeof *e->piece * (size_t)e->pieces, cudaMemcpyHostToDevice,
                           e->stream));
  for (int k = 0; k < p->net->params; k++) e->kept_factor[k] = 1;
  for (int c = 0; c < classes; c++) e->kept_class_weight[c] = 1;
  upload_floats(e, e->ones, e->kept_class_weight, (size_t)classes);
  upload_floats(e, e->class_weight, e->kept_class_weight, (size_t)classes);
  upload_floats(e, e->factor, e->kept_factor, (size_t)p->net->params);
  wait(e);
  return &e->base;
}

static void gpu_close(engine *base)
{
  cuda_engine *e = (cuda_engine *)base;
  wait(e);
  forget_graphs(e);
  if (blas_user == e) blas_user = NULL;
  for (int i = 0; i < RESULTS_KEPT; i++) check(e, cudaEventDestroy(e->ring[i].done));
  check(e, cudaFreeHost(e->pinned));
  for (int i = 0; i < e->memories; i++) check(e, cudaFree(e->memory[i]));
  check(e, cudaFree(e->pixels)), check(e, cudaFree(e->label)), check(e, cudaFree(e->mean)),
    check(e, cudaFree(e->staging));
  check(e, cudaStreamDestroy(e->stream));
  for (int k = 0; k < GRAPHS; k++) free(e->list[k].at), free(e->graph[k]);
  free(e->ties), free(e->tensor), free(e->work), free(e->kept_piece), free(e->kept_factor), free(e->kept_class_weight),
    free(e->memory), free(e);
}
/* bring cells and tensors in, and out */
/* copy to the device, and from it */
static void bring(cuda_engine *e, void *to, const void *from, size_t bytes)
{
  if (bytes) check(e, cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, e->stream));
}

static void fetch(cuda_engine *e, void *to, const void *from, size_t bytes)
{
  if (bytes) check(e, cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, e->stream));
  wait(e);
}

static void gpu_write_state(engine *base, const net_state *s)
{
  cuda_engine *e = (cuda_engine *)base;
  const net *n = base->plan->net;
  const size_t bytes = n->param_floats * sizeof(float);
  doing(e, "writing the state", NULL);
  bring(e, e->param, s->param, bytes);
  if (s->velocity) bring(e, e->velocity, s->velocity, bytes);
  else check(e, cudaMemsetAsync(e->velocity, 0, bytes, e->stream));
  if (s->stat) bring(e, e->stat, s->stat, n->stat_floats * sizeof(float));
  e->packed = false;
  wait(e);
}

/* read the state back */
static void gpu_read_state(engine *base, net_state *s)
{
  cuda_engine *e = (cuda_engine *)base;
  const net *n = base->plan->net;
  const size_t bytes = n->param_floats * sizeof(float);
  doing(e, "reading the state", NULL);
  if (s->param) fetch(e, s->param, e->param, bytes);
  if (s->velocity) fetch(e, s->velocity, e->velocity, bytes);
  if (s->stat) fetch(e, s->stat, e->stat, n->stat_floats * sizeof(float));
}

/* bring the cells */
/* Make *p hold `bytes` bytes at least; *room: what it holds. */
static void widen(cuda_engine *e, void **p, size_t *room, size_t bytes, const char *what)
{
  if (bytes <= *room) return;
  wait(e);
  forget_graphs(e);
  check(e, cudaFree(*p));
  *p = take(e, what, bytes), *room = bytes;
  e->memories--, e->bytes -= bytes;                  /* freed by itself */
}

static void gpu_set_cells(engine *base, const uint8_t *pixels, const int *label, int n, const float *mean)
{
  cuda_engine *e = (cuda_engine *)base;
  const size_t cell = shape_floats(base->plan->tensor[0].s), cells = n > 0 ? (size_t)n : 0;
  if (e->labelled != (label != NULL) || e->centred != (mean != NULL)) forget_graphs(e);
  e->labelled = label, e->centred = mean;
  void *p = e->pixels, *q = e->label, *r = e->mean;
  if (pixels) widen(e, &p, &e->cell_room[0], cells * cell, "the cells");
  if (label) widen(e, &q, &e->cell_room[1], cells * sizeof(int), "their labels");
  if (mean) widen(e, &r, &e->cell_room[2], cell * sizeof(float), "their mean");
  e->pixels = p, e->label = q, e->mean = r;
  doing(e, "bringing the cells", NULL);
  if (pixels) bring(e, p, pixels, cells * cell);
  if (label) bring(e, q, label, cells * sizeof(int));
  if (mean) bring(e, r, mean, cell * sizeof(float));
  wait(e);
}

/* stage a tensor as floats */
static float *staging(cuda_engine *e)
{
  size_t most = 0, room = 0;
  void *p = NULL;
  if (e->staging) return e->staging;
  const int n = e->n;
  e->n = e->base.plan->batch;
  for (int t = 0; t < e->base.plan->tensors; t++) most = larger(most, count_of(e, t));
  e->n = n;
  widen(e, &p, &room, most * sizeof(float), "a tensor as float");
  return e->staging = p;
}

/* Copy pixels of `from` floats to pixels of `to` floats, zeros behind. */
static void respace(float *y, int to, const float *x, int from, size_t pixels)
{
  for (size_t i = 0; i < pixels; i++)
    for (int c = 0; c < to; c++) *y++ = c < from ? x[i * (size_t)from + (size_t)c] : 0;
}

/* bring a tensor in floats, or fetch it */
static void put_floats(cuda_engine *e, int t, act *to, const float *x, int n)
{
  const int c = e->base.plan->tensor[t].s.c, pitch = e->tensor[t].pitch;
  e->n = n;
  const size_t pixels = (size_t)pixels_of(e, t), count = count_of(e, t);
  float *wide = NULL;
  doing(e, "writing a tensor", e->base.plan->tensor[t].name);
  if (pitch != c) respace(wide = NEW(float, count), pitch, x, c, pixels);
  bring(e, staging(e), wide ? wide : x, count * sizeof(float));
  cuda_to_act(precision_of(e, t), count, e->staging, to, e->stream);
  check(e, cudaGetLastError());
  wait(e);
  free(wide);
}

static void get_floats(cuda_engine *e, int t, const act *from, float *x, int n)
{
  const int c = e->base.plan->tensor[t].s.c, pitch = e->tensor[t].pitch;
  e->n = n;
  const size_t pixels = (size_t)pixels_of(e, t), count = count_of(e, t);
  float *wide = pitch != c ? NEW(float, count) : NULL;
  doing(e, "reading a tensor", e->base.plan->tensor[t].name);
  cuda_from_act(precision_of(e, t), count, from, staging(e), e->stream);
  check(e, cudaGetLastError());
  fetch(e, wide ? wide : x, e->staging, count * sizeof(float));
  if (wide) respace(x, c, wide, pitch, pixels);
  free(wide);
}
/* put and get tensors, for tests */
static void gpu_put(engine *base, int t, const float *x, int n)
{
  cuda_engine *e = (cuda_engine *)base;
  put_floats(e, t, act_of(e, t), x, n);
}

static void gpu_get(engine *base, int t, float *x, int n)
{
  cuda_engine *e = (cuda_engine *)base;
  get_floats(e, t, act_of(e, t), x, n);
}

static void gpu_put_grad(engine *base, int t, const float *x, int n)
{
  cuda_engine *e = (cuda_engine *)base;
  put_floats(e, t, grad_of(e, t), x, n);
}

static void gpu_get_grad(engine *base, int t, float *x, int n)
{
  cuda_engine *e = (cuda_engine *)base;
  get_floats(e, t, grad_of(e, t), x, n);
}


static void gpu_get_dparam(engine *b, float *d)
{
  cuda_engine *e = (cuda_engine *)b;
  doing(e, "reading gradients", NULL);
  fetch(e, d, e->dparam, b->plan->net->param_floats * sizeof(float));
}
/* bring a batch in */
static void begin(cuda_engine *e, const batch *b, const sgd *s, float keep)
{
  const size_t n = (size_t)b->n;
  batch_check(e->base.plan, b);
  turn *t = &e->ring[++e->turns % RESULTS_KEPT];
  doing(e, "waiting for an earlier step", NULL);
  check(e, cudaEventSynchronize(t->done));
  cuda_args *args = (cuda_args *)(void *)t->block;
  *args = (cuda_args){ .seed = b->seed, .epoch = b->epoch, .keep = keep };
  if (s) args->rate = s->rate, args->momentum = s->momentum, args->l2 = s->l2;
  int *row = (int *)(void *)(t->block + row_offset());
  for (size_t i = 0; i < n; i++) row[i] = b->row ? b->row[i] : 0;
  for (size_t i = 0; i < n; i++) t->block[turn_offset(e) + i] = (char)(b->turn ? b->turn[i] : 0);
  doing(e, "bringing a batch", NULL);
  bring(e, e->block, t->block, e->block_bytes);
  if (e->keyed != (b->row != NULL)) forget_graphs(e);
  e->n = b->n, e->keyed = b->row, e->weights = s ? e->class_weight : e->ones;
}

static void finish(cuda_engine *e)
{
  turn *t = &e->ring[e->turns % RESULTS_KEPT];
  doing(e, "fetching a result", NULL);
  check(e, cudaMemcpyAsync(t->result, e->result, sizeof *t->result, cudaMemcpyDeviceToHost, e->stream));
  check(e, cudaEventRecord(t->done, e->stream));
}

/* take a result out */
static void gpu_result(engine *base, int back, double *loss_of_batch, int *correct)
{
  cuda_engine *e = (cuda_engine *)base;
  cuda_result none = { 0 }, *r = &none;
  if (back >= 0 && back < RESULTS_KEPT && back < e->turns) {
    turn *t = &e->ring[(e->turns - back) % RESULTS_KEPT];
    doing(e, "waiting for a step", NULL);
    check(e, cudaEventSynchronize(t->done));
    r = t->result;
  }
  if (loss_of_batch) *loss_of_batch = r->loss;
  if (correct) *correct = r->correct;
}

/* renew what has changed */
static void renew(cuda_engine *e, float *device, float *kept, const float *now, int count)
{
  bool same = true;
  for (int i = 0; i < count; i++) same &= kept[i] == (now ? now[i] : 1);
  if (same) return;
  for (int i = 0; i < count; i++) kept[i] = now ? now[i] : 1;
  wait(e);
  upload_floats(e, device, kept, (size_t)count);
  wait(e);
}
/* train on a batch, or infer, on a device */
static void gpu_train_step(engine *base, const batch *b, const sgd *s)
{
  cuda_engine *e = (cuda_engine *)base;
  renew(e, e->factor, e->kept_factor, s->factor, base->plan->net->params);
  renew(e, e->class_weight, e->kept_class_weight, s->class_weight, base->plan->net->classes);
  begin(e, b, s, e->moving);
  e->tied = e->drop = true;
  start(e, GRAPH_TRAIN);
  finish(e);
  e->packed = false;
}

/* The weights as the convolutions want them, unless they are there. */
static void pack_weights(cuda_engine *e)
{
  launches l = { 0 };
  for (int i = 0; i < e->base.plan->steps && !e->packed; i++)
    if (step_of(e, i)->kind == STEP_CONV) then(&l, &pack, i);
  run_list(e, &l);
  free(l.at);
  e->packed = true;
}

static void gpu_infer(engine *base, const batch *b, float *prob)
{
  cuda_engine *e = (cuda_engine *)base;
  begin(e, b, NULL, 0);
  e->tied = e->drop = false;
  pack_weights(e);
  start(e, GRAPH_INFER);
  finish(e);
  if (prob) gpu_get(base, base->plan->tensors - 1, prob, b->n);
}

/* run the plain list of a step */
static void run_plain(cuda_engine *e, int from, int to, bool infer, bool backward)
{
  launches l = { 0 };
  e->tied = false;
  if (!backward)
    for (int i = from; i <= to; i++) list_forward(&l, step_of(e, i), i, &untied, infer, e->work[i].x != NULL);
  else
    for (int i = from; i >= to; i--) list_backward(&l, step_of(e, i), i, &untied, false);
  pack_weights(e);
  run_list(e, &l);
  free(l.at);
}

static void gpu_forward(engine *base, const batch *b, pass kind, int first, int last)
{
  cuda_engine *e = (cuda_engine *)base;
  begin(e, b, NULL, 0);
  e->drop = kind == PASS_TRAIN;
  check(e, cudaMemsetAsync(e->result, 0, sizeof *e->result, e->stream));
  run_plain(e, first, last, kind == PASS_INFER, false);
  finish(e);
}

static void gpu_backward(engine *base, const batch *b, int last, int first)
{
  cuda_engine *e = (cuda_engine *)base;
  begin(e, b, NULL, 0);
  run_plain(e, last, first, false, true);
  finish(e);
}

static void gpu_moving(engine *base, float decay) { ((cuda_engine *)base)->moving = decay; }

/* collect statistics on a device */
static void gpu_stats_begin(engine *base)
{
  cuda_engine *e = (cuda_engine *)base;
  doing(e, "beginning statistics", NULL);
  check(e, cudaMemsetAsync(e->gathered, 0, base->plan->net->stat_floats * sizeof(double), e->stream));
  e->gathered_n = 0;
}

static void gpu_stats_batch(engine *base, const batch *b)
{
  cuda_engine *e = (cuda_engine *)base;
  launches first = { 0 };
  int last = -1;
  for (int i = 0; i < base->plan->steps; i++)
    if (step_of(e, i)->kind == STEP_NORM) last = i;
  begin(e, b, NULL, 0);
  e->drop = false;
  check(e, cudaMemsetAsync(e->result, 0, sizeof *e->result, e->stream));
  then(&first, &gather, -1);
  run_list(e, &first);
  free(first.at);
  run_plain(e, 0, last, false, false);
  for (int i = 0; i <= last; i++) {
    const layer *l = step_of(e, i)->layer;
    if (step_of(e, i)->kind == STEP_NORM)
      cuda_join_statistics(l->out.c, e->gathered_n, b->n, e->batch_stat + l->stat, e->gathered + l->stat,
                           e->stream);
  }
  doing(e, "joining statistics", NULL);
  check(e, cudaGetLastError());
  if (gpu_waits()) wait(e);
  e->gathered_n += b->n;
  finish(e);
}

/* end the statistics on the host */
static void gpu_stats_end(engine *base)
{
  cuda_engine *e = (cuda_engine *)base;
  const size_t floats = base->plan->net->stat_floats;
  double *gathered = NEW(double, floats + 1);
  float *stat = NEW(float, floats + 1);
  doing(e, "ending statistics", NULL);
  fetch(e, gathered, e->gathered, floats * sizeof *gathered), fetch(e, stat, e->stat, floats * sizeof *stat);
  for (int i = 0; i < base->plan->steps; i++) {
    const layer *l = step_of(e, i)->layer;
    if (step_of(e, i)->kind != STEP_NORM || e->gathered_n == 0) continue;
    const size_t c = (size_t)l->out.c;
    for (size_t k = l->stat; k < l->stat + 2 * c; k++)
      stat[k] = (float)(k < l->stat + c ? gathered[k] : gathered[k] / e->gathered_n);
  }
  bring(e, e->stat, stat, floats * sizeof *stat);
  wait(e);
  free(gathered), free(stat);
}
/* measure on the device */
/* time steps between events */
static double seconds_between(cuda_engine *e, cudaEvent_t a, cudaEvent_t b)
{
  float ms = 0;
  check(e, cudaEventElapsedTime(&ms, a, b));
  return ms * 1e-3;
}

static int by_size(const void *a, const void *b)
{
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* Step i of a training pass as a graph of its own; NULL when it launches nothing. */
static cudaGraphExec_t record_step(cuda_engine *e, int i, bool backward)
{
  launches l = { 0 };
  if (backward) list_backward(&l, step_of(e, i), i, &e->ties[i], true);
  else list_forward(&l, step_of(e, i), i, &e->ties[i], false, e->work[i].x != NULL);
  cudaGraphExec_t g = l.count ? record(e, &l) : NULL;
  free(l.at);
  return g;
}

/* time each step by the device's clock */
static void gpu_seconds_of(engine *base, const batch *b, const sgd *s, int repeat, double *forward,
                           double *backward)
{
  cuda_engine *e = (cuda_engine *)base;
  const int steps = base->plan->steps, parts = 2 * steps;
  cudaEvent_t *mark = NEW(cudaEvent_t, parts + 1);
  cudaGraphExec_t *part = NEW(cudaGraphExec_t, parts);
  double *took = NEW(double, parts * repeat);
  gpu_train_step(base, b, s);                        /* so that every tensor holds something */
  begin(e, b, s, 0);
  e->tied = e->drop = true;
  for (int i = 0; i < parts; i++) part[i] = record_step(e, i < steps ? i : parts - 1 - i, i >= steps);
  for (int i = 0; i <= parts; i++) check(e, cudaEventCreate(&mark[i]));
  for (int k = 0; k < repeat; k++) {
    check(e, cudaEventRecord(mark[0], e->stream));
    for (int i = 0; i < parts; i++) {
      if (part[i]) check(e, cudaGraphLaunch(part[i], e->stream));
      check(e, cudaEventRecord(mark[i + 1], e->stream));
    }
    wait(e);
    for (int i = 0; i < parts; i++) took[i * repeat + k] = part[i] ? seconds_between(e, mark[i], mark[i + 1]) : 0;
  }
  finish(e);
  for (int i = 0; i < parts; i++) {
    qsort(took + i * repeat, (size_t)repeat, sizeof *took, by_size);
    *(i < steps ? &forward[i] : &backward[parts - 1 - i]) = took[i * repeat + repeat / 2];
    if (part[i]) check(e, cudaGraphExecDestroy(part[i]));
  }
  for (int i = 0; i <= parts; i++) check(e, cudaEventDestroy(mark[i]));
  e->packed = false;
  free(mark), free(part), free(took);
}

/* measure the device's product */
static double product_seconds(cuda_engine *e, int size, const void *a, float *c)
{
  const float one = 1, zero = 0;
  const cudaDataType in = e->precision == BF16 ? CUDA_R_16BF : CUDA_R_32F;
  const cublasComputeType_t how = e->precision == TF32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
  double best = 1e30;
  cudaEvent_t from, to;
  check(e, cudaEventCreate(&from)), check(e, cudaEventCreate(&to));
  for (int i = 0; i < 4; i++) {
    check(e, cudaEventRecord(from, e->stream));
    check_blas(e, cublasGemmEx(blas_of(e), CUBLAS_OP_T, CUBLAS_OP_N, size, size, size, &one, a, in, size, a, in,
                               size, &zero, c, CUDA_R_32F, size, how, CUBLAS_GEMM_DEFAULT));
    check(e, cudaEventRecord(to, e->stream));
    wait(e);
    best = fmin(best, seconds_between(e, from, to));
  }
  check(e, cudaEventDestroy(from)), check(e, cudaEventDestroy(to));
  return best;
}

/* measure the device's copy */
static double copy_seconds(cuda_engine *e, void *to, const void *from, size_t bytes)
{
  double best = 1e30;
  cudaEvent_t a, b;
  check(e, cudaEventCreate(&a)), check(e, cudaEventCreate(&b));
  for (int i = 0; i < 4; i++) {
    check(e, cudaEventRecord(a, e->stream));
    check(e, cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, e->stream));
    check(e, cudaEventRecord(b, e->stream));
    wait(e);
    best = fmin(best, seconds_between(e, a, b));
  }
  check(e, cudaEventDestroy(a)), check(e, cudaEventDestroy(b));
  return best;
}

/* measure both ceilings */
/* Zeros would be multiplied with less power, and so at a higher clock, than a net's numbers. */
static void fill_with_noise(cuda_engine *e, void *to, size_t bytes)
{
  enum { PIECE = 1 << 20 };                          /* floats; bytes is a multiple of it */
  float *noise = NEW(float, PIECE);
  rng r = rng_open(1, RNG_TEST, 0, 0);
  for (int i = 0; i < PIECE; i++) noise[i] = (float)rng_uniform(&r) - 0.5f;
  for (size_t at = 0; at < bytes; at += PIECE * sizeof(float))
    check(e, cudaMemcpyAsync((char *)to + at, noise, PIECE * sizeof(float), cudaMemcpyHostToDevice, e->stream));
  wait(e);
  free(noise);
}

static void gpu_ceilings(engine *base, double *flop_rate, double *byte_rate)
{
  enum { LARGEST = 8192 };
  cuda_engine *e = (cuda_engine *)base;
  const size_t bytes = (size_t)LARGEST * LARGEST * sizeof(float);
  void *a = NULL, *c = NULL;
  doing(e, "measuring", NULL);
  check(e, cudaMalloc(&a, bytes)), check(e, cudaMalloc(&c, bytes));
  fill_with_noise(e, a, bytes);
  double took = 0;
  int size = 64;
  while (took < 4e-3 && size < LARGEST) took = product_seconds(e, size *= 2, a, c);
  if (flop_rate) *flop_rate = 2.0 * size * size * size / took;
  if (byte_rate) *byte_rate = 2.0 * (double)bytes / copy_seconds(e, c, a, bytes);
  check(e, cudaFree(a)), check(e, cudaFree(c));
}
/* say why a device will not do */
/* NULL when device engine_gpu can run the kernels, else why not. least: 10 major + minor of its compute
   capability. */
static const char *why_not(const char *kind, int least)
{
  static char why[256];
  int devices = 0, major = 0, minor = 0;
  const cudaError_t error = cudaGetDeviceCount(&devices);
  *why = 0;
  if (error == cudaErrorInsufficientDriver)
    snprintf(why, sizeof why, "no CUDA driver, or one older than this build's CUDA %d.%d",
             CUDART_VERSION / 1000, CUDART_VERSION % 1000 / 10);
  else if (error == cudaErrorNoDevice || (error == cudaSuccess && !devices))
    snprintf(why, sizeof why, "no CUDA device");
  else if (error != cudaSuccess)
    snprintf(why, sizeof why, "%s: %s", cudaGetErrorName(error), cudaGetErrorString(error));
  else if (engine_gpu < 0 || engine_gpu >= devices)
    snprintf(why, sizeof why, "no GPU %d: this machine has %d, counted from 0", engine_gpu, devices);
  else {
    cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, engine_gpu);
    cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, engine_gpu);
    cudaError_t found = cudaSuccess;
    if (10 * major + minor < least)
      snprintf(why, sizeof why, "GPU %d has compute capability %d.%d; %s needs %d.%d or newer", engine_gpu,
               major, minor, kind, least / 10, least % 10);
    else if ((found = cudaSetDevice(engine_gpu)) || (found = cuda_has_code()))
      snprintf(why, sizeof why, "GPU %d of compute capability %d.%d: %s%s", engine_gpu, major, minor,
               cudaGetErrorString(found), found == cudaErrorNoKernelImageForDevice
               ? say("; build for it: make all ARCHS=%d%d", major, minor) : "");
  }
  cudaGetLastError();                                /* forget it: it was an answer */
  return *why ? why : NULL;
}

static int gpu_capability(void)
{
  int major = 0, minor = 0;
  cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, engine_gpu);
  cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, engine_gpu);
  return 10 * major + minor;
}

static const char *fp32_off(void) { return why_not("cuda", 75); }
static const char *tf32_off(void) { return why_not("cuda-tf32", 80); }
static const char *bf16_off(void) { return why_not("cuda-bf16", 80); }
/* fill the tables of three engines */
static const char *gpu_in_words(void) { return wbcsnet_cuda_gpu(engine_gpu); }
static engine *open_fp32(const plan *, int), *open_tf32(const plan *, int), *open_bf16(const plan *, int);

#define GPU_FUNCTIONS \
  .close = gpu_close, .write_state = gpu_write_state, .read_state = gpu_read_state, \
  .set_cells = gpu_set_cells, .train_step = gpu_train_step, .result = gpu_result, .infer = gpu_infer, \
  .stats_begin = gpu_stats_begin, .stats_batch = gpu_stats_batch, .stats_end = gpu_stats_end, \
  .moving = gpu_moving, .put = gpu_put, .get = gpu_get, .put_grad = gpu_put_grad, \
  .get_grad = gpu_get_grad, .forward = gpu_forward, .backward = gpu_backward, \
  .get_dparam = gpu_get_dparam, .seconds_of = gpu_seconds_of, .ceilings = gpu_ceilings, .capability = gpu_capability, \
  .gpu = gpu_in_words

static const engine_kind fp32 = { .name = "cuda", .arithmetic = 1, .tolerance = 1e-5, .why_off = fp32_off, .open = open_fp32,
                                  .candidates_in = IN_FP32, GPU_FUNCTIONS };
static const engine_kind tf32 = { .name = "cuda-tf32", .arithmetic = 1, .tolerance = 5e-4, .why_off = tf32_off, .open = open_tf32,
                                  .candidates_in = IN_TF32, GPU_FUNCTIONS };
static const engine_kind bf16 = { .name = "cuda-bf16", .arithmetic = 1, .tolerance = 4e-3, .why_off = bf16_off, .open = open_bf16,
                                  .candidates_in = IN_BF16, GPU_FUNCTIONS };

static engine *open_fp32(const plan *p, int threads) { return (void)threads, open_gpu(&fp32, FP32, p); }
static engine *open_tf32(const plan *p, int threads) { return (void)threads, open_gpu(&tf32, TF32, p); }
static engine *open_bf16(const plan *p, int threads) { return (void)threads, open_gpu(&bf16, BF16, p); }

/* What the program asks the plugin for: the kinds, NULL behind. */
const engine_kind *const *wbcsnet_cuda_kinds(void)
{
  static const engine_kind *const kinds[] = { &bf16, &tf32, &fp32, NULL };
  return kinds;
}

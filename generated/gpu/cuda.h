/* cuda.h: what the engine's host part (cuda.c, plain C) asks of the kernels (cuda_*.cu). */
#ifndef CUDA_H
#define CUDA_H
#include "engines/candidates.h"
#include <cuda_runtime_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

/* say what all kernels promise */
/* Every function here enqueues kernels on a stream and returns at once; all pointers are device memory, outputs
   come first among the pointers' uses in the comment, sizes are in elements. None allocates. A launch that failed is found by
   the caller's cudaGetLastError(). Results depend on nothing but the arguments: no float atomics, fixed orders. */

/* How activations and their gradients are stored and multiplied. act is
   FP32: float, multiplied by FFMA;
   TF32: float whose mantissa was rounded to 10 bits (nearest, ties away) by whoever wrote it, so that tensor
         cores read exact operands; multiplied by mma.sync tf32 with fp32 accumulation;
   BF16: bfloat16 (nearest even), multiplied by mma.sync bf16 with fp32 accumulation. */
typedef enum { FP32, TF32, BF16 } precision;
typedef void act;
static inline size_t act_bytes(precision p) { return p == BF16 ? 2 : 4; }

/* What changes from step to step, in device memory, so that one captured graph serves them all. */
typedef struct { uint64_t seed; uint32_t epoch; float rate, momentum, l2, keep; } cuda_args;
/* ask whether a candidate is on */
/* Bits 1 << candidate (candidates.h). Set before a shape's first use; the groups' on a device of capability 9.0 alone. */
#ifdef __cplusplus
inline unsigned cuda_candidates = 0;
inline int cuda_multiprocessors = 0;                 /* of the device; set with cuda_candidates */
#else
extern unsigned cuda_candidates;
extern int cuda_multiprocessors;
#endif
static inline bool candidate_on(candidate c) { return cuda_candidates >> c & 1; }
/* declare how cells come in */
/* x (n, h, w, stored) act = turned cell - mean; stored >= c, the channels beyond c are zero. pixels (cells, h, w, c) uint8,
   mean (h, w, c) or NULL, row (n) int, turn (n) uint8 or NULL. */
void cuda_gather(precision, int n, int h, int w, int c, int stored, const uint8_t *pixels, const float *mean,
                 const int *row, const uint8_t *turn, act *x, cudaStream_t);
void cuda_to_act(precision, size_t count, const float *from, act *to, cudaStream_t);
void cuda_from_act(precision, size_t count, const act *from, float *to, cudaStream_t);
/* declare batch norm, forward */
/* Batch normalisation over m = n * h * w rows of c channels.
   coef (4, c) float: mean; inverse = 1 / sqrt(variance + NORM_EPSILON); a = scale * inverse; b = offset - mean * a.
   Statistics partials: (tiles, 2, c) float: a tile's mean and its sum of squared deviations from that mean; tile t covers rows
   t * rows .. min((t + 1) * rows, m) - 1. A convolution may leave them (conv_tile_rows), else cuda_norm_statistics makes them. */
enum { NORM_ROWS = 256 };                            /* rows of a tile of cuda_norm_statistics and cuda_norm_sums */
void cuda_norm_statistics(precision, int m, int c, const act *x, float *partial, cudaStream_t);
/* merges the tiles in a fixed order (double); batch_stat (2, c): mean, biased variance */
void cuda_norm_finish(int rows, int m, int c, const float *partial, const float *scale, const float *offset, float *coef,
                      float *batch_stat, cudaStream_t);
/* coef from the stored statistics stat (2, c) */
void cuda_norm_stored(int c, const float *stat, const float *scale, const float *offset, float *coef, cudaStream_t);
/* y = relu?(x * a + b + r?); r may be NULL */
void cuda_norm_apply(precision, int m, int c, const act *x, const act *r, bool relu, const float *coef, act *y, cudaStream_t);
/* declare batch norm, backward */
/* Gradient sums: partial (ceil(m / NORM_ROWS), 2, c): sum of g and of g * (x - mean) * inverse, where g = y > 0 ? dy : 0, or dy when
   y is NULL, or x * a + b > 0 ? dy : 0 when y is x itself: the same for a NORM without a residual term, and one tensor less is read.
   When dr is given: dr = g, or dr += g when add_dr. */
void cuda_norm_sums(precision, int m, int c, const act *x, const act *dy, const act *y, const float *coef, bool add_dr, act *dr,
                    float *partial, cudaStream_t);
/* doffset (c) and dscale (c) = the sums of `tiles` partials, in a fixed order */
void cuda_norm_sums_finish(int tiles, int c, const float *partial, float *dscale, float *doffset, cudaStream_t);
/* dx (=, or += when add) a * (g - doffset / m - (x - mean) * inverse * dscale / m), g masked by y as above.
   column (ceil(m / NORM_ROWS), c) or NULL: per tile sums of what was written to dx (the bias gradient of a convolution
   below, which costs no pass of its own this way); with add it must be NULL. */
void cuda_norm_dx(precision, int m, int c, const act *x, const act *dy, const act *y, const float *coef, const float *dscale,
                  const float *doffset, bool add, act *dx, float *column, cudaStream_t);
/* declare group norm */
/* Group normalisation of n images of m pixels of c channels, in groups of c / groups channels.
   partial (n, ceil(m / NORM_ROWS), 2, c): sums tile by tile; coef (n, 4, c), as for batch
   normalisation; common (n, 2, c): what the elements of a channel have in common in dx. */
typedef struct { int n, m, c, groups; } group_shape;
void cuda_group_statistics(precision, group_shape, const act *x, const float *scale,
                           const float *offset, float *partial, float *coef, cudaStream_t);
/* y = x a + b */
void cuda_group_apply(precision, group_shape, const act *x, const float *coef, act *y, cudaStream_t);
/* dscale, doffset (c), summed over all images, and common */
void cuda_group_sums(precision, group_shape, const act *x, const act *dy, const float *scale,
                     const float *coef, float *partial, float *dscale, float *doffset, float *common,
                     cudaStream_t);
/* dx (=, or += when add) */
void cuda_group_dx(precision, group_shape, const act *x, const act *dy, const float *coef,
                   const float *common, bool add, act *dx, cudaStream_t);
/* declare pooling, with a norm before it or not */
/* Max pooling. place (n, oh, ow, c) uint8: ky * kernel + kx of the window's first maximum; kernel <= 16. */
typedef struct { int n, h, w, c, oh, ow, kernel, stride, pad_top, pad_left; } pool_shape;
void cuda_pool_forward(precision, pool_shape, const act *x, act *y, uint8_t *place, cudaStream_t);
/* dx = (or +=) the gradients of the windows whose maximum an element was, gathered in a fixed order; when pooled is given only where
   pooled > 0, which is the ReLU mask of the tensor that was pooled. column as in cuda_norm_dx, m = n * h * w. */
void cuda_pool_backward(precision, pool_shape, const act *dy, const uint8_t *place, const act *pooled, bool add, act *dx,
                        float *column, cudaStream_t);
/* Norm, ReLU and pooling in one pass: y = pool(relu(x * a + b + r?)); the normalised tensor is never stored. */
void cuda_norm_pool_forward(precision, pool_shape, const act *x, const act *r, const float *coef, act *y, uint8_t *place,
                            cudaStream_t);
/* The two backward passes of the same, without ever storing the gradient between: g at an element is gathered from dy and place
   where pooled > 0. partial, dr, dx, column as in cuda_norm_sums and cuda_norm_dx. */
void cuda_norm_pool_sums(precision, pool_shape, const act *x, const act *dy, const uint8_t *place, const act *pooled,
                         const float *coef, float *partial, cudaStream_t);
void cuda_norm_pool_dx(precision, pool_shape, const act *x, const act *dy, const uint8_t *place, const act *pooled,
                       const float *coef, const float *dscale, const float *doffset, bool add_dr, act *dr, bool add, act *dx,
                       float *column, cudaStream_t);
/* declare what visits each element */
void cuda_relu_forward(precision, size_t count, const act *x, act *y, cudaStream_t);
void cuda_add_forward(precision, size_t count, const act *x, const act *r, bool relu, act *y, cudaStream_t);
/* to = (or +=) y > 0 ? from : 0; y NULL: from. to may be from (the ReLU mask in place). */
void cuda_pass_gradient(precision, size_t count, const act *from, const act *y, bool add, act *to, cudaStream_t);
/* sums (c) = column sums of x (m, c); room: ceil(m / NORM_ROWS) * c floats */
void cuda_column_sums(precision, int m, int c, const act *x, float *room, float *sums, cudaStream_t);
/* sums (c) of partials (tiles, c), fixed order */
void cuda_sum_columns(int tiles, int c, const float *partial, float *sums, cudaStream_t);

/* y (n, m) = (or +=) kept ? x / (1 - p) : 0, the mask of rules.h's dropout_keeps for layer `index`, cells row (n) */
void cuda_dropout(precision, int n, int m, double p, int index, const cuda_args *, const int *row, const act *x, bool add, act *y,
                  cudaStream_t);
/* declare fully connected layers and the loss */
/* Fully connected and beyond: these tensors are float whatever the precision. y (n, out) = relu?(sum + bias) */
void cuda_fc_finish(int n, int out, const float *sum, const float *bias, bool relu, float *y, cudaStream_t);
/* The product too, y = relu?(x w' + bias), x (n, in), w (out, in), in slices that are added in order; room: fc_split_room() bytes, 0
   for a shape that it does not serve. False: nothing was done, the shape or an address is none that it serves. */
size_t fc_split_room(int n, int in, int out);
bool cuda_fc_split(int n, int in, int out, const float *x, const float *w, const float *bias, bool relu, void *room, float *y,
                   cudaStream_t);
/* One pass over the weights w (out, in) and velocities v: dx (n, in) from the old w (dx NULL: none; add: +=), and the update
   v = momentum v - rate factor (dy' x + l2 decay w), w += v. x (n, in), dy (n, out) float. factor: this tensor's, device memory. */
void cuda_fc_update(int n, int in, int out, const float *x, const float *dy, const cuda_args *, const float *factor, float decay,
                    float *w, float *v, bool add, float *dx, cudaStream_t);

/* f (n, classes) softmax of z; result->loss mean weighted cross-entropy, ->correct; label NULL: probabilities alone (result 0).
   class_weight (classes). One block; double sums in the order of the batch. */
typedef struct { double loss; int correct, unused; } cuda_result;
void cuda_loss_forward(int n, int classes, const float *z, const int *label, const int *row, const float *class_weight, float *f,
                       cuda_result *result, cudaStream_t);
void cuda_loss_backward(int n, int classes, const float *f, const int *label, const int *row, const float *class_weight, bool add,
                        float *dz, cudaStream_t);
/* declare the update, and what a device says of itself */
/* The update of the tensors in piece (pieces), engine.h's rule; factor (tensors) in device memory. One launch. */
typedef struct { size_t offset, count; float decay; int tensor; } sgd_piece;
void cuda_sgd(int pieces, const sgd_piece *piece, size_t largest, const cuda_args *, const float *factor, float *param,
              const float *dparam, float *velocity, cudaStream_t);
/* stat = keep stat + (1 - keep) batch_stat, nothing when keep <= 0 */
void cuda_move_statistics(size_t count, const cuda_args *, const float *batch_stat, float *stat, cudaStream_t);
/* cudaSuccess when this build holds code for the present device, else why it does not */
cudaError_t cuda_has_code(void);
/* Device n for records: "NVIDIA H200, driver 570.86.15, CUDA 12.8". The text lives until the next call. */
const char *wbcsnet_cuda_gpu(int n);
/* whole-set statistics: mean and square (c each, double) of `before` rows joined with a batch's, weight n; as host.c's join_statistics */
void cuda_join_statistics(int c, double before, double n, const float *batch_stat, double *gathered, cudaStream_t);
/* declare convolution and its gradients */
/* x (n, h, w, c) with c_pitch elements from a pixel to the next; y (n, oh, ow, o) with o_pitch. Weights (o, kernel, kernel, c). Grouped
   convolution is one call a group, with shifted pointers. c 3 with c_pitch 4 is the padded image, its fourth channel zero. */
typedef struct { int n, h, w, c, c_pitch, oh, ow, o, o_pitch, kernel, stride, pad_top, pad_left; } conv_shape;
/* The weights as the kernels read them: a copy in act, (o, k, k, c), and one with its axes turned for the input gradient, (c, k, k, o).
   What else is in there (padding) is the kernels' business. conv_packed: bytes. */
size_t conv_packed(precision, conv_shape);
void cuda_conv_pack(precision, conv_shape, const float *w, void *packed, cudaStream_t);
/* The bytes of room that forward and input gradient need, 0 for most shapes: NULL will do for these. */
size_t conv_product_room(precision, conv_shape);
/* y = relu?(conv(x) + bias). statistics: partials of what was stored in y, tiles of conv_tile_rows rows, or NULL. */
int conv_tile_rows(precision, conv_shape);
void cuda_conv_forward(precision, conv_shape, const act *x, const void *packed, const float *bias, bool relu, act *y,
                       float *statistics, void *room, cudaStream_t);
/* dx = (or +=) the input gradient. tail, or NULL: dx is the gradient of y = relu(x a + b), a NORM's output, and no other
   step adds to it: mask it (z * a + b > 0, the expression of cuda_norm_apply) and leave the gradient sums of cuda_norm_sums in partial
   (conv_dx_tiles, 2, c). z (n, h, w, c): the NORM's input. */
typedef struct { const act *z; const float *coef; float *partial; } norm_tail;
int conv_dx_tiles(precision, conv_shape);
void cuda_conv_input_gradient(precision, conv_shape, const act *dy, const void *packed, bool add, act *dx, const norm_tail *tail,
                              void *room, cudaStream_t);
/* Either, one thread an output element: slow, a second answer for tests. bias may be NULL. */
void cuda_conv_plain(precision, conv_shape, bool gradient, const act *from, const void *packed, const float *bias, act *to,
                     cudaStream_t);
/* dw (o, k, k, c) float. room: conv_room() bytes of partial sums, added up in a fixed order; what serves n images serves fewer. The
   split depends on the shape alone. */
size_t conv_room(precision, conv_shape);
void cuda_conv_weight_gradient(precision, conv_shape, const act *x, const act *dy, void *room, float *dw, cudaStream_t);
/* The same, one thread a weight, summed in double: slow, a second answer for tests. */
void cuda_conv_weight_gradient_plain(precision, conv_shape, const act *x, const act *dy, float *dw, cudaStream_t);
/* declare what other nets need */
/* Mean over the places of each window that lie inside the image, and its gradient, gathered in a fixed order. */
void cuda_average_forward(precision, pool_shape, const act *x, act *y, cudaStream_t);
void cuda_average_backward(precision, pool_shape, const act *dy, bool add, act *dx, cudaStream_t);
/* y = x s^-beta, s = k + alpha * the sum of squares over `window` neighbouring channels */
typedef struct { int window; float alpha, beta, k; } response;
void cuda_response_forward(precision, size_t pixels, int c, response, const act *x, act *y, cudaStream_t);
void cuda_response_backward(precision, size_t pixels, int c, response, const act *x, const act *dy, bool add, act *dx,
                            cudaStream_t);
/* y = amplitude * tanh(slope * x); dx (=, or += when add) dy * amplitude * slope * (1 - tanh^2) */
void cuda_tanh_forward(precision, size_t count, float amplitude, float slope, const act *x, act *y, cudaStream_t);
void cuda_tanh_backward(precision, size_t count, float amplitude, float slope, const act *x, const act *dy, bool add,
                        act *dx, cudaStream_t);
/* to (=, or += when add) factor * from */
void cuda_scale(precision, size_t count, float factor, const act *from, bool add, act *to, cudaStream_t);
#ifdef __cplusplus
}
#endif
#endif

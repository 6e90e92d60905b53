/* net.h: a network as data: layers, shapes, and one table of parameter tensors. */
#ifndef NET_H
#define NET_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef enum {
  LAYER_INPUT, LAYER_CONV, LAYER_NORM, LAYER_RELU, LAYER_ADD, LAYER_POOL, LAYER_FC, LAYER_DROPOUT,
  LAYER_AVERAGE, LAYER_LRN, LAYER_TANH, LAYER_SCALE, LAYER_GROUP, LAYER_SOFTMAX, LAYER_KINDS
} layer_kind;
typedef struct { int h, w, c; } shape;               /* of one image; in memory (N, H, W, C) */

/* say what a layer is */
typedef struct {
  layer_kind kind;
  char name[32];
  /* indexes of the input layers (from: -1 for the INPUT); with: the second term of an ADD, else -1 */
  int from, with;
  shape in, out;
  int kernel, stride;                                /* CONV, POOL, AVERAGE: square window */
  int pad_top, pad_left, pad_bottom, pad_right;
  int groups;                                        /* CONV: parts that the channels are dealt to; else 0 */
  double drop;                                       /* DROPOUT: probability of zeroing */
  int window;                                        /* LRN: neighbouring channels, odd */
  double alpha, beta, k;                             /* LRN: x / (k + alpha * sum of squares) ^ beta */
  double amplitude, slope;                           /* TANH: amplitude * tanh(slope * x) */
  double factor;                                     /* SCALE */
  /* indexes into net.param, or -1 (a CONV may have no bias); NORM: scale and offset */
  int weight, bias;
  /* NORM: offset of its mean (C) in net.stat_floats; its variance (C) follows */
  size_t stat;
  double flop;                                       /* of one image forward, a multiply-add counted as 2 */
  char torch[48];                                    /* CONV, NORM, FC: its name in PyTorch's files, or "" */
  int line;                                          /* in the .net file */
} layer;

/* say what a parameter tensor is */
/* One row per parameter tensor; allocation, initialiser, optimiser, checkpoint, export and tests all read
   this table.
   CONV weights are (out, kh, kw, in / groups), FC weights (out, in) with in running over (H, W, C);
   biases, scales and offsets (C). */
typedef struct {
  char name[48];                                     /* "conv1a.weight", "bn1a.scale", "fc1.bias" */
  int rank, dim[4];
  /* in floats, in the one parameter buffer; offsets are multiples of 16 */
  size_t offset, count;
  enum { INIT_WEIGHT, INIT_ZERO, INIT_ONE } init;
  /* factor of L2: 1 for weights, 0 for biases, 1 for scale and offset */
  double decay;
  int fan_in, fan_out;                               /* of a weight, for Glorot's initialiser; else 0 */
} param;

/* say what a net is */
typedef struct {
  char *name, *title, sha256[65];                    /* sha256 of text */
  /* text: comments dropped, $parameters and classes replaced; a net file in itself */
  char *path, *text;
  int layers, params, classes;
  layer *layer;
  param *param;
  /* lengths of the buffers, padding between tensors included */
  size_t param_floats, stat_floats;
  size_t learnables;                                 /* parameters proper */
  double flop, train_flop;                           /* of one image: forward; forward + backward */
} net;

/* declare what may be asked of a net */
/* Read a net file. set: "f1=16,size=35" replaces `param` values, NULL for none; classes: units of the last
   FC.
   Dies with EXIT_DATA (file:line, found, expected, hint) on a shape that cannot be, an unknown word,
   a missing layer;
   with EXIT_USAGE on a --set that names no param. The caller owns the net. */
net *net_load(const char *path, const char *set, int classes);
/* The same from text; where stands for the file in messages. net_parse(n->text, ...) gives n again. */
net *net_parse(const char *text, const char *where, const char *set, int classes);
void net_free(net *);
int net_layer(const net *, const char *name);        /* index or -1 */
/* The last fully connected layer, whose outputs are the classes: its index, or -1. Is tensor k its weight or bias? */
int net_head(const net *);
bool net_in_head(const net *, int k);
const char *layer_word(layer_kind);                  /* "conv", as in the file */

static inline size_t shape_floats(shape s) { return (size_t)s.h * (size_t)s.w * (size_t)s.c; }
#endif

#include "cells/stain.h"
#include "learning/model.h"
#include "base/options.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* write a number in groups of seven bits */
typedef struct { uint8_t *at; size_t n, room; } bytes;

static void put_raw(bytes *b, const void *data, size_t n)
{
  if (b->n + n > b->room) b->at = grow(b->at, b->room = 2 * (b->n + n));
  if (n) memcpy(b->at + b->n, data, n);
  b->n += n;
}

static void put_whole(bytes *b, uint64_t v)
{
  for (; v > 127; v >>= 7) put_raw(b, &(uint8_t){ (uint8_t)(v | 128) }, 1);
  put_raw(b, &(uint8_t){ (uint8_t)v }, 1);
}

/* write fields, texts and messages */
enum { WHOLE = 0, LENGTH = 2, FOUR = 5 };
static void put_field(bytes *b, int number, int kind) { put_whole(b, (uint64_t)number << 3 | (uint64_t)kind); }
static void put_number(bytes *b, int field, int64_t v) { put_field(b, field, WHOLE), put_whole(b, (uint64_t)v); }

static void put_text(bytes *b, int field, const char *s)
{
  put_field(b, field, LENGTH), put_whole(b, strlen(s)), put_raw(b, s, strlen(s));
}

/* A message as a field of another; it is used up. */
static void put_message(bytes *b, int field, bytes *m)
{
  put_field(b, field, LENGTH), put_whole(b, m->n), put_raw(b, m->at, m->n);
  free(m->at), *m = (bytes){0};
}

/* know the numbers of ONNX's fields */
enum { MODEL_IR = 1, MODEL_PRODUCER = 2, MODEL_VERSION = 3, MODEL_DOC = 6, MODEL_GRAPH = 7, MODEL_OPSET = 8, MODEL_NOTE = 14 };
enum { GRAPH_NODE = 1, GRAPH_NAME = 2, GRAPH_TENSOR = 5, GRAPH_INPUT = 11, GRAPH_OUTPUT = 12 };
enum { NODE_INPUT = 1, NODE_OUTPUT = 2, NODE_NAME = 3, NODE_OP = 4, NODE_ATTRIBUTE = 5 };
enum { ATTRIBUTE_NAME = 1, ATTRIBUTE_REAL = 2, ATTRIBUTE_WHOLE = 3, ATTRIBUTE_WHOLES = 8, ATTRIBUTE_KIND = 20 };
enum { KIND_REAL = 1, KIND_WHOLE = 2, KIND_WHOLES = 7 };
enum { TENSOR_DIM = 1, TENSOR_TYPE = 2, TENSOR_NAME = 8, TENSOR_RAW = 9, TYPE_FLOAT = 1, TYPE_INT64 = 7, TYPE_DOUBLE = 11 };
enum { IR_VERSION = 7, OPSET = 13 };                 /* ONNX 1.8, of 2020 */

/* keep what is being exported */
/* A model in the making: the graph's nodes, its tensors, and the value that the last node gave. */
typedef struct {
  const model *m;
  bytes node, tensor;
  int nodes;
  char **value;                                      /* (layers) the name of each layer's output */
  bool *flat;                                        /* (layers) is it (N, C), as fully connected layers give it? */
} onnx;

/* write an attribute */
static void attribute_whole(bytes *node, const char *name, int64_t v)
{
  bytes a = {0};
  put_text(&a, ATTRIBUTE_NAME, name), put_number(&a, ATTRIBUTE_WHOLE, v), put_number(&a, ATTRIBUTE_KIND, KIND_WHOLE);
  put_message(node, NODE_ATTRIBUTE, &a);
}

static void attribute_real(bytes *node, const char *name, double v)
{
  bytes a = {0};
  put_text(&a, ATTRIBUTE_NAME, name), put_field(&a, ATTRIBUTE_REAL, FOUR), put_raw(&a, &(float){ (float)v }, 4);
  put_number(&a, ATTRIBUTE_KIND, KIND_REAL);
  put_message(node, NODE_ATTRIBUTE, &a);
}

static void attribute_wholes(bytes *node, const char *name, int n, const int *v)
{
  bytes a = {0};
  put_text(&a, ATTRIBUTE_NAME, name);
  for (int i = 0; i < n; i++) put_number(&a, ATTRIBUTE_WHOLES, v[i]);
  put_number(&a, ATTRIBUTE_KIND, KIND_WHOLES);
  put_message(node, NODE_ATTRIBUTE, &a);
}

/* write a node */
/* A node that takes the inputs (NULL-ended) and gives one value; its name is returned. end_node adds it to the graph. */
static char *begin_node(bytes *node, const char *op, const char *name, const char *const *input)
{
  *node = (bytes){0};
  for (; *input; input++) put_text(node, NODE_INPUT, *input);
  put_text(node, NODE_OUTPUT, name), put_text(node, NODE_NAME, name), put_text(node, NODE_OP, op);
  return copy_text(name);
}

static void end_node(onnx *x, bytes *node) { put_message(&x->node, GRAPH_NODE, node), x->nodes++; }

/* A node without attributes */
static char *plain_node(onnx *x, const char *op, const char *name, const char *a, const char *b)
{
  bytes node;
  char *made = begin_node(&node, op, name, (const char *const[]){ a, b, NULL });
  end_node(x, &node);
  return made;
}

/* write a tensor */
static void begin_tensor(bytes *t, const char *name, int type, int rank, const int *dim)
{
  *t = (bytes){0};
  for (int i = 0; i < rank; i++) put_number(t, TENSOR_DIM, dim[i]);
  put_number(t, TENSOR_TYPE, type), put_text(t, TENSOR_NAME, name);
}

/* A tensor of numbers of `each` bytes */
static const char *add_tensor(onnx *x, const char *name, int type, size_t each, int rank, const int *dim, const void *data)
{
  bytes t;
  size_t n = each;
  for (int i = 0; i < rank; i++) n *= (size_t)dim[i];
  begin_tensor(&t, name, type, rank, dim);
  put_field(&t, TENSOR_RAW, LENGTH), put_whole(&t, n), put_raw(&t, data, n);
  put_message(&x->tensor, GRAPH_TENSOR, &t);
  return name;
}

static const char *add_floats(onnx *x, const char *name, int rank, const int *dim, const float *data)
{
  return add_tensor(x, name, TYPE_FLOAT, sizeof *data, rank, dim, data);
}

/* Colours are reckoned in double. */
static const char *add_doubles(onnx *x, const char *name, int rank, const int *dim, const double *data)
{
  return add_tensor(x, name, TYPE_DOUBLE, sizeof *data, rank, dim, data);
}

static const char *add_wholes(onnx *x, const char *name, int n, const int64_t *data)
{
  return add_tensor(x, name, TYPE_INT64, sizeof *data, 1, &n, data);
}

/* write a parameter as a tensor */
static const char *add_kernels(onnx *x, const param *p)
{
  const int out = p->dim[0], k = p->dim[1] * p->dim[2], in = p->dim[3];
  const float *w = x->m->state.param + p->offset;
  float *turned = NEW(float, p->count);
  for (int o = 0; o < out; o++)
    for (int i = 0; i < k; i++)
      for (int c = 0; c < in; c++) turned[(o * in + c) * k + i] = w[(o * k + i) * in + c];
  add_floats(x, p->name, 4, (int[]){ out, in, p->dim[1], p->dim[2] }, turned);
  free(turned);
  return p->name;
}

static const char *add_param(onnx *x, int k)
{
  const param *p = &x->m->net->param[k];
  return p->rank == 4 ? add_kernels(x, p) : add_floats(x, p->name, p->rank, p->dim, x->m->state.param + p->offset);
}

/* turn axes as ONNX wants them */
static char *transposed(onnx *x, const char *from, const char *name, const int order[4])
{
  bytes node;
  char *made = begin_node(&node, "Transpose", name, (const char *const[]){ from, NULL });
  attribute_wholes(&node, "perm", 4, order), end_node(x, &node);
  return made;
}

static char *reshaped(onnx *x, const char *from, const char *name, int rank, const int64_t *dim)
{
  return plain_node(x, "Reshape", name, from, add_wholes(x, say("%s.shape", name), rank, dim));
}

/* The value that layer l reads, as an image; free() its name. */
static char *image_of(onnx *x, const layer *l)
{
  if (!x->flat[l->from]) return copy_text(x->value[l->from]);
  return reshaped(x, x->value[l->from], say("%s.pixel", l->name), 4, (int64_t[]){ 0, l->in.c, 1, 1 });
}

/* export what looks through a window */
/* factor * value */
static char *multiplied(onnx *x, const char *from, const char *name, double factor)
{
  return plain_node(x, "Mul", name, from, add_floats(x, say("%s.factor", name), 0, NULL, &(float){ (float)factor }));
}

static void put_window(bytes *node, const layer *l)
{
  attribute_wholes(node, "kernel_shape", 2, (int[]){ l->kernel, l->kernel });
  attribute_wholes(node, "strides", 2, (int[]){ l->stride, l->stride });
  attribute_wholes(node, "pads", 4, (int[]){ l->pad_top, l->pad_left, l->pad_bottom, l->pad_right });
}

static char *export_window(onnx *x, const layer *l, const char *op)
{
  bytes node;
  char *image = image_of(x, l);
  const char *input[4] = { image };
  if (l->kind == LAYER_CONV) input[1] = add_param(x, l->weight);
  if (l->bias >= 0) input[2] = add_param(x, l->bias);
  const bool global = l->kind == LAYER_AVERAGE && l->out.h == 1 && l->out.w == 1 && l->kernel >= l->in.h && l->kernel >= l->in.w;
  char *made = begin_node(&node, global ? "GlobalAveragePool" : op, l->name, input);
  if (!global) put_window(&node, l);
  if (l->kind == LAYER_CONV) attribute_whole(&node, "group", l->groups);
  end_node(x, &node), free(image);
  return made;
}

/* export the norms */
static char *export_norm(onnx *x, const layer *l)
{
  bytes node;
  const float *stat = x->m->state.stat + l->stat;
  char *image = image_of(x, l);
  const char *input[6] = { image, add_param(x, l->weight), add_param(x, l->bias),
                           add_floats(x, say("%s.mean", l->name), 1, &l->out.c, stat),
                           add_floats(x, say("%s.variance", l->name), 1, &l->out.c, stat + l->out.c) };
  char *made = begin_node(&node, "BatchNormalization", l->name, input);
  attribute_real(&node, "epsilon", NORM_EPSILON), end_node(x, &node), free(image);
  return made;
}

static char *export_group(onnx *x, const layer *l)
{
  bytes node;
  const int g = l->groups, each[3] = { l->in.c, 1, 1 };
  float *one = NEW(float, g), *zero = NEW(float, g);
  for (int i = 0; i < g; i++) one[i] = 1;
  char *image = image_of(x, l), *rows = reshaped(x, image, say("%s.rows", l->name), 3, (int64_t[]){ 0, g, -1 });
  char *normal = begin_node(&node, "InstanceNormalization", say("%s.normal", l->name),
                            (const char *const[]){ rows, add_floats(x, say("%s.one", l->name), 1, &g, one),
                                                   add_floats(x, say("%s.zero", l->name), 1, &g, zero), NULL });
  attribute_real(&node, "epsilon", NORM_EPSILON), end_node(x, &node);
  char *back = reshaped(x, normal, say("%s.back", l->name), 4, (int64_t[]){ 0, l->in.c, l->in.h, l->in.w });
  const param *scale = &x->m->net->param[l->weight], *offset = &x->m->net->param[l->bias];
  char *scaled = plain_node(x, "Mul", say("%s.scaled", l->name), back, add_floats(x, scale->name, 3, each, x->m->state.param + scale->offset));
  char *made = plain_node(x, "Add", l->name, scaled, add_floats(x, offset->name, 3, each, x->m->state.param + offset->offset));
  free(one), free(zero), free(image), free(rows), free(normal), free(back), free(scaled);
  return made;
}

static char *export_response(onnx *x, const layer *l)
{
  bytes node;
  char *image = image_of(x, l), *made = begin_node(&node, "LRN", l->name, (const char *const[]){ image, NULL });
  attribute_real(&node, "alpha", l->alpha * l->window), attribute_real(&node, "beta", l->beta), attribute_real(&node, "bias", l->k);
  attribute_whole(&node, "size", l->window), end_node(x, &node), free(image);
  return made;
}

/* export a curve, or a product */
static char *export_curve(onnx *x, const layer *l)
{
  char *in = multiplied(x, x->value[l->from], say("%s.in", l->name), l->slope);
  char *curve = plain_node(x, "Tanh", say("%s.tanh", l->name), in, NULL);
  char *made = multiplied(x, curve, l->name, l->amplitude);
  free(in), free(curve);
  return made;
}

static char *export_fc(onnx *x, const layer *l)
{
  bytes node;
  const bool flat = x->flat[l->from];
  char *turned = flat ? NULL : transposed(x, x->value[l->from], say("%s.image", l->name), (int[]){ 0, 2, 3, 1 });
  char *row = flat ? copy_text(x->value[l->from]) : plain_node(x, "Flatten", say("%s.row", l->name), turned, NULL);
  char *made = begin_node(&node, "Gemm", l->name, (const char *const[]){ row, add_param(x, l->weight), add_param(x, l->bias), NULL });
  attribute_whole(&node, "transB", 1), end_node(x, &node);
  free(turned), free(row);
  return made;
}

/* export an addition */
static char *export_add(onnx *x, const layer *l, bool flat)
{
  const layer other = { .from = l->with, .in = l->in };
  layer named = other;
  snprintf(named.name, sizeof named.name, "%.28s.b", l->name);
  char *a = flat ? copy_text(x->value[l->from]) : image_of(x, l), *b = flat ? copy_text(x->value[l->with]) : image_of(x, &named);
  char *made = plain_node(x, "Add", l->name, a, b);
  free(a), free(b);
  return made;
}

/* export a layer by its kind */
/* The value of layer i, and whether it is flat. */
static char *export_layer(onnx *x, int i)
{
  const layer *l = &x->m->net->layer[i];
  const bool flat = x->flat[l->from];
  x->flat[i] = l->kind == LAYER_FC || l->kind == LAYER_SOFTMAX
    || (flat && (l->kind == LAYER_RELU || l->kind == LAYER_TANH || l->kind == LAYER_SCALE || l->kind == LAYER_DROPOUT))
    || (l->kind == LAYER_ADD && flat && x->flat[l->with]);
  switch (l->kind) {
  case LAYER_CONV: return export_window(x, l, "Conv");
  case LAYER_POOL: return export_window(x, l, "MaxPool");
  case LAYER_AVERAGE: return export_window(x, l, "AveragePool");
  case LAYER_NORM: return export_norm(x, l);
  case LAYER_GROUP: return export_group(x, l);
  case LAYER_LRN: return export_response(x, l);
  case LAYER_TANH: return export_curve(x, l);
  case LAYER_FC: return export_fc(x, l);
  case LAYER_ADD: return export_add(x, l, x->flat[i]);
  case LAYER_RELU: return plain_node(x, "Relu", l->name, x->value[l->from], NULL);
  case LAYER_SCALE: return multiplied(x, x->value[l->from], l->name, l->factor);
  case LAYER_DROPOUT: return copy_text(x->value[l->from]);
  case LAYER_SOFTMAX: return plain_node(x, "Softmax", "probabilities", x->value[l->from], NULL);
  default: die(EXIT_FAIL, l->name, "a layer of a kind that cannot be exported", "another kind", NULL);
  }
}

/* go a step of the colours' graph */
/* The chain's next value: op of the last, and of b unless it is NULL. The last one's name is freed. */
static void step_on(onnx *x, char **value, const char *op, const char *name, const char *b)
{
  char *made = plain_node(x, op, say("stain.%s", name), *value, b);
  free(*value), *value = made;
}

static void step_by(onnx *x, char **value, const char *op, const char *name, double number)
{
  step_on(x, value, op, name, add_doubles(x, say("stain.%s.number", name), 0, NULL, &number));
}

/* factor times the matrix, or its transpose: a pixel is a row here. */
static void step_matrix(onnx *x, char **value, const char *name, double m[3][3], bool turn, double factor)
{
  double t[9];
  for (int i = 0; i < 9; i++) t[i] = factor * (turn ? m[i % 3][i / 3] : m[i / 3][i % 3]);
  step_on(x, value, "MatMul", name, add_doubles(x, say("stain.%s.matrix", name), 2, (int[]){ 3, 3 }, t));
}

static void step_cast(onnx *x, char **value, const char *name, int type)
{
  bytes node;
  char *made = begin_node(&node, "Cast", name, (const char *const[]){ *value, NULL });
  attribute_whole(&node, "to", type), end_node(x, &node);
  free(*value), *value = made;
}
/* find mean and gain of a picture */
/* The mean over each image's pixels, (N, 1, 1, 3) */
static char *mean_of(onnx *x, const char *from, const char *name)
{
  bytes node;
  char *made = begin_node(&node, "ReduceMean", say("stain.%s", name), (const char *const[]){ from, NULL });
  attribute_wholes(&node, "axes", 2, (int[]){ 1, 2 }), end_node(x, &node);
  return made;
}

/* By how much each axis is stretched: the wanted deviation over the image's own, or 1 where that is next to none. */
static char *find_gain(onnx *x, const char *lab, const char *mean)
{
  const double one = 1;
  char *squares = plain_node(x, "Mul", "stain.squares", lab, lab), *gain = mean_of(x, squares, "square");
  char *square = plain_node(x, "Mul", "stain.mean.square", mean, mean);
  step_on(x, &gain, "Sub", "variance", square), step_by(x, &gain, "Max", "spread", 0), step_on(x, &gain, "Sqrt", "deviation", NULL);
  char *some = plain_node(x, "Greater", "stain.some", gain, add_doubles(x, "stain.least", 0, NULL, &(double){ STAIN_LEAST }));
  char *wide = plain_node(x, "Div", "stain.wide", add_doubles(x, "stain.to.deviation", 1, &(int){ 3 }, x->m->colours->deviation), gain);
  bytes node;
  char *made = begin_node(&node, "Where", "stain.gain", (const char *const[]){ some, wide, add_doubles(x, "stain.one", 0, NULL, &one), NULL });
  end_node(x, &node);
  free(squares), free(square), free(gain), free(some), free(wide);
  return made;
}
/* write the colours' match as nodes */
static char *export_colours(onnx *x)
{
  double cones[3][3], axes[3][3], back[3][3];
  stain_matrices(cones, axes, back);
  char *value = copy_text("image");
  step_cast(x, &value, "stain.pixels", TYPE_DOUBLE), step_by(x, &value, "Max", "light", 1);
  step_matrix(x, &value, "cones", cones, true, 1), step_on(x, &value, "Log", "log", NULL);
  step_matrix(x, &value, "lab", axes, true, 1 / log(10));
  char *mean = mean_of(x, value, "mean"), *gain = find_gain(x, value, mean);
  step_on(x, &value, "Sub", "centred", mean), step_on(x, &value, "Mul", "stretched", gain);
  step_on(x, &value, "Add", "moved", add_doubles(x, "stain.to.mean", 1, &(int){ 3 }, x->m->colours->mean));
  step_matrix(x, &value, "logs", axes, false, log(10)), step_on(x, &value, "Exp", "light.cones", NULL);
  step_matrix(x, &value, "rgb", back, true, 1), step_by(x, &value, "Max", "above", 0), step_by(x, &value, "Min", "below", 255);
  step_by(x, &value, "Add", "half", 0.5), step_on(x, &value, "Floor", "whole", NULL), step_cast(x, &value, "matched", TYPE_FLOAT);
  free(mean), free(gain);
  return value;
}
/* describe inputs and outputs */
/* An input or output of the graph: floats, any number of images, then dim (rank). */
static void put_value(bytes *graph, int field, const char *name, int rank, const int *dim)
{
  enum { VALUE_NAME = 1, VALUE_TYPE = 2, TYPE_TENSOR = 1, ELEMENT = 1, SHAPE = 2, DIM = 1, DIM_VALUE = 1, DIM_NAME = 2 };
  bytes any = {0}, dims = {0}, floats = {0}, type = {0}, value = {0};
  put_text(&any, DIM_NAME, "N"), put_message(&dims, DIM, &any);
  for (int i = 0; i < rank; i++) {
    bytes d = {0};
    put_number(&d, DIM_VALUE, dim[i]), put_message(&dims, DIM, &d);
  }
  put_number(&floats, ELEMENT, TYPE_FLOAT), put_message(&floats, SHAPE, &dims), put_message(&type, TYPE_TENSOR, &floats);
  put_text(&value, VALUE_NAME, name), put_message(&value, VALUE_TYPE, &type), put_message(graph, field, &value);
}

/* bring pixels into the net */
static char *export_input(onnx *x)
{
  const shape in = x->m->net->layer[0].out;
  char *cell = x->m->colours ? export_colours(x) : copy_text("image");
  char *centred = x->m->mean ? plain_node(x, "Sub", "centred", cell,
                                          add_floats(x, "input.mean", 3, (int[]){ in.h, in.w, in.c }, x->m->mean)) : copy_text(cell);
  char *made = transposed(x, centred, "input", (int[]){ 0, 3, 1, 2 });
  free(cell), free(centred);
  return made;
}

/* put the graph together */
static bytes make_graph(onnx *x)
{
  const net *n = x->m->net;
  const shape in = n->layer[0].out;
  bytes graph = {0};
  x->value = NEW(char *, n->layers), x->flat = NEW(bool, n->layers);
  x->value[0] = export_input(x);
  for (int i = 1; i < n->layers; i++) x->value[i] = export_layer(x, i);
  put_raw(&graph, x->node.at, x->node.n), free(x->node.at);
  put_text(&graph, GRAPH_NAME, n->name);
  put_raw(&graph, x->tensor.at, x->tensor.n), free(x->tensor.at);
  put_value(&graph, GRAPH_INPUT, "image", 3, (int[]){ in.h, in.w, in.c });
  put_value(&graph, GRAPH_OUTPUT, "probabilities", 1, &n->classes);
  for (int i = 0; i < n->layers; i++) free(x->value[i]);
  free(x->value), free(x->flat);
  return graph;
}

/* put the model together */
static void put_note(bytes *b, const char *key, const char *value)
{
  bytes note = {0};
  if (!value) return;
  put_text(&note, 1, key), put_text(&note, 2, value), put_message(b, MODEL_NOTE, &note);
}

static bytes make_model(onnx *x)
{
  const model *m = x->m;
  bytes b = {0}, opset = {0}, graph = make_graph(x);
  put_number(&b, MODEL_IR, IR_VERSION), put_text(&b, MODEL_PRODUCER, "wbcsnet"), put_text(&b, MODEL_VERSION, WBCSNET_VERSION);
  put_text(&b, MODEL_DOC, say("%s. image: (N, H, W, C), %s of 0 to 255. probabilities: (N, classes), in the order of the note 'classes'.",
                              m->net->title, m->net->layer[0].out.c == 3 ? "red, green, blue" : "grey"));
  put_text(&opset, 1, ""), put_number(&opset, 2, OPSET), put_message(&b, MODEL_OPSET, &opset);
  put_note(&b, "classes", st_note(m->file, "classes")), put_note(&b, "net", m->net->text), put_note(&b, "weights_sha256", m->sha256);
  put_note(&b, "data_sha256", st_note(m->file, "data_sha256")), put_note(&b, "recipe", st_note(m->file, "recipe"));
  if (graph.n > INT32_MAX - b.n - 16)
    die(EXIT_FAIL, m->file->path, say("%.1f GB of weights", (double)graph.n * 1e-9), "at most 2 GB, which is all that the format holds", NULL);
  put_message(&b, MODEL_GRAPH, &graph);
  return b;
}

/* run the export subcommand */
/* wbcsnet export: a trained net for other programs. */
int cmd_export(int argc, char **argv)
{
  const char *weights = NULL, *out = NULL;
  const option table[] = {
    { "weights", OPTION_TEXT, &weights, "FILE", "weights.safetensors of a run" },
    { "onnx", OPTION_TEXT, &out, "FILE", "the ONNX model to write" },
    {0}
  };
  options_read(argc, argv, table, "export --weights FILE --onnx FILE",
               "Write a trained net as ONNX, from pixels (N, H, W, C) of 0 to 255 to probabilities, with its mean image and class names.",
               "  wbcsnet export --weights build/runs/try/weights.safetensors --onnx wbcsnet2.onnx\n", NULL, NULL, 0);
  if (!weights || !out) die(EXIT_USAGE, weights ? "--onnx" : "--weights", "no value", "--weights and --onnx", "wbcsnet export --help");
  onnx x = { .m = model_load(weights) };
  bytes b = make_model(&x);
  atomic_file *a = file_create(out);
  if (fwrite(b.at, 1, b.n, a->f) != b.n) file_write_error(a->path);
  file_commit(a);
  const shape in = x.m->net->layer[0].out;
  printf("%s: %s, %d nodes, %zu parameters; image (N, %d, %d, %d) of 0 to 255 to probabilities (N, %d)\n", out, x.m->net->title, x.nodes,
         x.m->net->learnables, in.h, in.w, in.c, x.m->net->classes);
  free(b.at), model_free((model *)x.m);
  return 0;
}


#include "learning/pretrained.h"
#include "learning/model.h"
#include <stdlib.h>
#include <string.h>

/* ImageNet's pixels, of 0 to 1: mean and standard deviation of red, green and blue, as in torchvision. */
static const double image_mean[3] = { 0.485, 0.456, 0.406 }, image_deviation[3] = { 0.229, 0.224, 0.225 };

/* find the tensor that a parameter comes from */
static const layer *layer_of(const net *n, int k)
{
  for (int i = 0; i < n->layers; i++)
    if (n->layer[i].weight == k || n->layer[i].bias == k) return &n->layer[i];
  return NULL;
}

static const st_tensor *need(const safetensors *s, const char *name)
{
  const st_tensor *t = st_find(s, name);
  if (!t)
    die(EXIT_DATA, s->path, say("no tensor %s", name), "the tensors that the net's file names with 'torch'",
        "these weights belong to another net, or were not written by PyTorch");
  if (!st_is_real(t))
    die(EXIT_DATA, s->path, say("%s of type %s", name, st_type_name(t->type)), "F32, F16 or BF16", "net.float() before saving");
  return t;
}

static bool has_shape(const st_tensor *t, int rank, const int *dim)
{
  bool same = t->rank == rank;
  for (int i = 0; same && i < rank; i++) same = t->dim[i] == dim[i];
  return same;
}

way pretrained_way(const safetensors *s, const net *n, int k, bool keep_head, char name[64])
{
  const layer *l = layer_of(n, k);
  const int *d = n->param[k].dim;
  *name = 0;
  if (!*l->torch) return WAY_UNNAMED;
  snprintf(name, 64, "%s.%s", l->torch, l->weight == k ? "weight" : "bias");
  const st_tensor *t = need(s, name);
  if (net_in_head(n, k) && !keep_head) return WAY_HEAD;
  const int theirs[4] = { d[0], n->param[k].rank == 4 ? d[3] : d[1], d[1], d[2] };
  return has_shape(t, n->param[k].rank, theirs) ? WAY_TAKEN : WAY_SHAPE;
}

/* bring PyTorch's axes into our order */
/* What the weights of layer l for input channel c are multiplied by. */
static double unit_of(const net *n, const layer *l, int c)
{
  double scale = 1;
  const layer *from = &n->layer[l->from];
  for (; from->kind == LAYER_SCALE; from = &n->layer[from->from]) scale *= from->factor;
  return from->kind == LAYER_INPUT && from->out.c == 3 ? 1 / (255 * image_deviation[c] * scale) : 1;
}

/* to (O, k, k, I) from x (O, I, k, k) */
static void turn_kernels(const net *n, const layer *l, const param *p, const float *x, float *to)
{
  const int filters = p->dim[0], k = p->dim[1], channels = p->dim[3];
  for (int o = 0; o < filters; o++)
    for (int c = 0; c < channels; c++) {
      const double unit = unit_of(n, l, c);
      for (int i = 0; i < k * k; i++)
        to[((size_t)o * (size_t)(k * k) + (size_t)i) * (size_t)channels + (size_t)c] = (float)(unit * *x++);
    }
}

/* to (O, H W C) from x (O, C H W), in being the image that was flattened */
static void turn_columns(const net *n, const layer *l, const param *p, const float *x, float *to)
{
  const int pixels = l->in.h * l->in.w, channels = l->in.c;
  for (int o = 0; o < p->dim[0]; o++)
    for (int c = 0; c < channels; c++) {
      const double unit = unit_of(n, l, c);
      for (int i = 0; i < pixels; i++)
        to[((size_t)o * (size_t)pixels + (size_t)i) * (size_t)channels + (size_t)c] = (float)(unit * *x++);
    }
}

/* take over the stored statistics */
static void need_finite(const safetensors *s, const char *name, const float *x, size_t n)
{
  if (!all_finite(x, n))
    die(EXIT_DATA, s->path, say("a weight of %s that is not finite", name), "finite weights",
        "its training diverged, or the file is damaged");
}

static void take_statistics(const safetensors *s, const layer *l, float *stat)
{
  static const char *const suffix[] = { "running_mean", "running_var" };
  for (int i = 0; i < 2; i++) {
    const char *name = say("%s.%s", l->torch, suffix[i]);
    need(s, name);
    st_copy(s, name, ST_F32, (size_t)l->out.c, stat + i * l->out.c);
    need_finite(s, name, stat + i * l->out.c, (size_t)l->out.c);
    for (int c = 0; i && c < l->out.c; c++)
      if (stat[l->out.c + c] < 0)
        die(EXIT_DATA, s->path, say("%s of %g", name, (double)stat[l->out.c + c]),
            "variances of 0 or more", "the file is damaged");
  }
}

/* load what another net has learned */
void pretrained_load(const safetensors *s, const net *n, bool keep_head, net_state *state, bool *taken)
{
  for (int k = 0; k < n->params; k++) {
    char name[64];
    taken[k] = pretrained_way(s, n, k, keep_head, name) == WAY_TAKEN;
    if (!taken[k]) continue;
    const param *p = &n->param[k];
    const layer *l = layer_of(n, k);
    float *to = state->param + p->offset, *x = new_bytes(sizeof(float) * (p->count + !p->count));
    st_copy(s, name, ST_F32, p->count, x);
    need_finite(s, name, x, p->count);
    if (p->rank == 4) turn_kernels(n, l, p, x, to);
    else if (p->rank == 2) turn_columns(n, l, p, x, to);
    else memcpy(to, x, sizeof(float) * p->count);
    if (l->kind == LAYER_NORM && l->weight == k) take_statistics(s, l, state->stat + l->stat);
    free(x);
  }
}

void pretrained_mean(const net *n, float *mean)
{
  const shape in = n->layer[0].out;
  for (size_t i = 0; i < shape_floats(in); i++) {
    const size_t c = i % (size_t)in.c;
    const double grey = (image_mean[0] + image_mean[1] + image_mean[2]) / 3;
    mean[i] = (float)(255 * (in.c == 3 ? image_mean[c] : grey));
  }
}

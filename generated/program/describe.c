#include "base/base.h"
#include "base/options.h"
#include "nets/plan.h"
#include "learning/pretrained.h"
#include <string.h>

/* put a layer into words */
static size_t layer_params(const net *n, const layer *l)
{
  return (l->weight < 0 ? 0 : n->param[l->weight].count) + (l->bias < 0 ? 0 : n->param[l->bias].count);
}

/* "5x5 stride 1 pad 2,2,2,2", "p 0.5", "with relu1a" */
static const char *details(const net *n, const layer *l)
{
  if (l->kernel)
    return say("%dx%d stride %d pad %d,%d,%d,%d%s", l->kernel, l->kernel, l->stride, l->pad_top, l->pad_left,
               l->pad_bottom, l->pad_right, l->groups > 1 ? say(" groups %d", l->groups) : "");
  if (l->kind == LAYER_LRN)
    return say("%d: x (%g + %g sum)^-%g", l->window, l->k, l->alpha, l->beta);
  if (l->kind == LAYER_TANH) return say("%g tanh(%g x)", l->amplitude, l->slope);
  if (l->kind == LAYER_SCALE) return say("%g x", l->factor);
  if (l->kind == LAYER_GROUP) return say("%d groups", l->groups);
  if (l->kind == LAYER_DROPOUT) return say("p %g", l->drop);
  if (l->kind == LAYER_ADD) return say("%s + %s", n->layer[l->from].name, n->layer[l->with].name);
  return "";
}

static const char *shape_text(shape s) { return say("%dx%dx%d", s.h, s.w, s.c); }

/* print the table of layers, and of steps */
static void print_layers(const net *n)
{
  printf("%-12s %-8s %-12s %-14s %-34s %12s %10s\n", "layer", "kind", "from", "output", "", "parameters",
         "MFLOP");
  for (int i = 0; i < n->layers; i++) {
    const layer *l = &n->layer[i];
    const char *from = l->from < 0 ? "" : n->layer[l->from].name;
    printf("%-12s %-8s %-12s %-14s %-34s %12zu %10.3f\n", l->name, layer_word(l->kind), from,
           shape_text(l->out), details(n, l), layer_params(n, l), l->flop * 1e-6);
  }
  printf("%-12s %-8s %-12s %-14s %-34s %12zu %10.3f\n\n", "total", "", "", "", "", n->learnables,
         n->flop * 1e-6);
  printf("A training step costs %.3f GFLOP an image. Architecture %.12s.\n\n", n->train_flop * 1e-9,
         n->sha256);
}

static void print_plan(const plan *p)
{
  printf("steps (fused layers; tensors of %d images)\n", p->batch);
  for (int i = 0; i < p->steps; i++) {
    const step *s = &p->step[i];
    const tensor *t = p->tensor;
    printf("  %2d %-14s %-10s <- %s%s%s\n", i, step_word(s), t[s->y].name, t[s->x].name,
           s->r >= 0 ? " + " : "", s->r >= 0 ? t[s->r].name : "");
  }
  const double mb = 4e-6, parameters = (double)p->net->param_floats * mb, act = (double)p->act_floats * mb,
    grad = (double)p->grad_floats * mb;
  printf("\nmemory of training with batches of %d (MB, without the engine's workspace)\n", p->batch);
  printf("  parameters %.1f, their gradients %.1f, velocities %.1f, activations %.1f, gradients %.1f; together %.1f\n",
         parameters, parameters, parameters, act, grad, 3 * parameters + act + grad);
}

/* print a net as JSON, for tools */
static void json_shape(const char *key, shape s) { printf("\"%s\": [%d, %d, %d], ", key, s.h, s.w, s.c); }

static void json_word(const char *key, const char *value)
{
  printf("\"%s\": ", key), json_put_text(stdout, value), printf(", ");
}

static void json_layer(const net *n, const layer *l)
{
  printf("    {"), json_word("name", l->name), json_word("kind", layer_word(l->kind));
  printf("\"from\": [");
  if (l->from >= 0) json_put_text(stdout, n->layer[l->from].name);
  if (l->with >= 0) printf(", "), json_put_text(stdout, n->layer[l->with].name);
  printf("], "), json_shape("in", l->in), json_shape("out", l->out);
  if (l->kernel)
    printf("\"kernel\": %d, \"stride\": %d, \"pad\": [%d, %d, %d, %d], ", l->kernel, l->stride,
           l->pad_top, l->pad_left, l->pad_bottom, l->pad_right);
  if (l->groups > 1) printf("\"groups\": %d, ", l->groups);
  if (l->kind == LAYER_LRN)
    printf("\"size\": %d, \"alpha\": %g, \"beta\": %g, \"k\": %g, ", l->window, l->alpha, l->beta, l->k);
  if (l->kind == LAYER_TANH) printf("\"amplitude\": %g, \"slope\": %g, ", l->amplitude, l->slope);
  if (l->kind == LAYER_SCALE) printf("\"by\": %g, ", l->factor);
  if (l->kind == LAYER_DROPOUT) printf("\"p\": %g, ", l->drop);
  printf("\"parameters\": %zu, \"flop\": %.0f}", layer_params(n, l), l->flop);
}

static void print_json(const plan *p)
{
  const net *n = p->net;
  printf("{\n  "), json_word("name", n->name), json_word("title", n->title), json_word("sha256", n->sha256);
  printf("\n  \"classes\": %d, \"parameters\": %zu, \"flop\": %.0f, \"train_flop\": %.0f,\n", n->classes,
         n->learnables, n->flop, n->train_flop);
  printf("  \"batch\": %d, \"memory\": {\"parameters\": %zu, \"velocities\": %zu, "
         "\"parameter_gradients\": %zu, \"activations\": %zu, \"gradients\": %zu},\n",
         p->batch, 4 * n->param_floats, 4 * n->param_floats, 4 * n->param_floats, 4 * p->act_floats,
         4 * p->grad_floats);
  printf("  \"layers\": [\n");
  for (int i = 0; i < n->layers; i++) json_layer(n, &n->layer[i]), printf(i + 1 < n->layers ? ",\n" : "\n");
  printf("  ],\n  \"steps\": [\n");
  for (int i = 0; i < p->steps; i++) {
    const step *s = &p->step[i];
    printf("    {"), json_word("kind", step_word(s)), json_word("layer", s->layer->name),
      json_word("x", p->tensor[s->x].name);
    if (s->r >= 0) json_word("r", p->tensor[s->r].name);
    printf("\"y\": "), json_put_text(stdout, p->tensor[s->y].name), printf(i + 1 < p->steps ? "},\n" : "}\n");
  }
  printf("  ]\n}\n");
}

/* print what PyTorch's weights would fill */
static const char *dims_text(int rank, const int *dim)
{
  if (rank == 1) return say("(%d)", dim[0]);
  return rank == 2 ? say("(%d, %d)", dim[0], dim[1]) : say("(%d, %d, %d, %d)", dim[0], dim[1], dim[2], dim[3]);
}

static void print_pretrained(const net *n, const char *path)
{
  static const char *const words[] = { "taken", "last layer: drawn anew", "another shape: drawn anew",
                                      "no name for it: drawn anew" };
  safetensors *file = st_read(path);
  printf("%-20s %-20s %-34s %s\n", "tensor", "shape", "in PyTorch's file", "");
  for (int k = 0; k < n->params; k++) {
    char name[64];
    const way w = pretrained_way(file, n, k, false, name);
    const param *p = &n->param[k];
    printf("%-20s %-20s %-34s %s\n", p->name, dims_text(p->rank, p->dim), name, words[w]);
  }
  st_free(file);
}

/* run the describe subcommand */
/* wbcsnet describe NET: print a net's layer table, steps and memory. */
int cmd_describe(int argc, char **argv)
{
  const char *set = NULL, *path = NULL, *weights = NULL;
  int images = 32, classes = 5, n;
  bool as_json = false;
  const option table[] = {
    { "set", OPTION_TEXT, &set, "NAME=VALUE,...", "replace values of the net's params" },
    { "batch", OPTION_INT, &images, "N", "images in a batch (32)" },
    { "classes", OPTION_INT, &classes, "N", "classes of the data (5)" },
    { "pretrained", OPTION_TEXT, &weights, "WEIGHTS",
        "print which tensors of a file from PyTorch it would take" },
    { "json", OPTION_FLAG, &as_json, NULL, "print JSON" },
    {0}
  };
  options_read(argc, argv, table, "describe NET [flags]",
               "Print a net's layers (shapes, parameters, work), its steps, and the memory training needs.",
               "  wbcsnet describe experiments/nets/wbcsnet2.net\n"
               "  wbcsnet describe experiments/nets/wbcsnet2.net --set size=35,f1=16 --json\n", &path, &n, 1);
  if (!n) die(EXIT_USAGE, "describe", "no net", "a .net file", "nets stand in experiments/nets");
  if (images < 1 || images > 65536) die(EXIT_USAGE, "--batch", say("%d", images), "1 to 65536", NULL);
  if (classes < 1 || classes > 65536) die(EXIT_USAGE, "--classes", say("%d", classes), "1 to 65536", NULL);
  net *the_net = net_load(path, set, classes);
  plan *p = plan_make(the_net, images);
  if (as_json) print_json(p);
  else if (weights) print_pretrained(the_net, weights);
  else printf("%s (%s)\n\n", the_net->title, path), print_layers(the_net), print_plan(p);
  plan_free(p), net_free(the_net);
  return 0;
}

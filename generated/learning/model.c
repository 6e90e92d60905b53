#include "learning/model.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* store a model */
void model_store_classes(safetensors *s, const char *const *class_name, int classes)
{
  builder b = {0};
  for (int c = 0; c < classes; c++) build(&b, c ? "," : "["), build_json(&b, class_name[c]);
  build(&b, "]");
  char *text = built(&b, NULL);
  st_put(s, "classes", text);
  free(text);
}

void model_store(safetensors *s, const net *n, const char *set, const net_state *state,
                 const float *mean, const char *const *class_name)
{
  st_put(s, "net_name", n->name), st_put(s, "net_title", n->title), st_put(s, "net_sha256", n->sha256);
  st_put(s, "net", n->text), st_put(s, "set", set ? set : "");
  model_store_classes(s, class_name, n->classes);
  for (int i = 0; i < n->params; i++)
    st_add(s, n->param[i].name, ST_F32, n->param[i].rank, n->param[i].dim,
           state->param + n->param[i].offset);
  for (int i = 0; i < n->layers; i++) {
    const layer *l = &n->layer[i];
    if (l->kind != LAYER_NORM) continue;
    st_add(s, say("%s.mean", l->name), ST_F32, 1, &l->out.c, state->stat + l->stat);
    st_add(s, say("%s.variance", l->name), ST_F32, 1, &l->out.c, state->stat + l->stat + l->out.c);
  }
  shape in = n->layer[0].out;
  if (mean) st_add(s, "input.mean", ST_F32, 3, (int[]){ in.h, in.w, in.c }, mean);
}

/* fetch a model's tensors by name */
static void fetch(const safetensors *s, const char *name, int rank, const int *dim, float *out)
{
  const st_tensor *t = st_find(s, name);
  size_t count = 1;
  for (int i = 0; i < rank; i++) {
    count *= (size_t)dim[i];
    if (t && (t->rank != rank || t->dim[i] != dim[i]))
      die(EXIT_DATA, s->path, say("%s with rank %d, size %d %lld", name, t->rank, i, t->dim[i]),
          say("rank %d, size %d", rank, dim[i]), "these weights belong to another net");
  }
  st_copy(s, name, ST_F32, count, out);
}

void model_fetch(const safetensors *s, const net *n, net_state *state, float *mean)
{
  for (int i = 0; i < n->params; i++)
    fetch(s, n->param[i].name, n->param[i].rank, n->param[i].dim, state->param + n->param[i].offset);
  for (int i = 0; i < n->layers; i++) {
    const layer *l = &n->layer[i];
    if (l->kind != LAYER_NORM) continue;
    fetch(s, say("%s.mean", l->name), 1, &l->out.c, state->stat + l->stat);
    fetch(s, say("%s.variance", l->name), 1, &l->out.c, state->stat + l->stat + l->out.c);
  }
  shape in = n->layer[0].out;
  if (mean) fetch(s, "input.mean", 3, (int[]){ in.h, in.w, in.c }, mean);
}

/* load the classes' names */
char **model_fetch_classes(const safetensors *s, int *classes)
{
  json *list = json_parse(st_need(s, "classes"), s->path);
  int n = 0;
  for (json *c = list->kind == JSON_ARRAY ? list->child : NULL; c; c = c->next) n += c->kind == JSON_TEXT;
  if (n < 2 || n > 1000) die(EXIT_DATA, s->path, say("%d class names", n), "2 to 1000", "the file is damaged");
  char **name = NEW(char *, n + 1);
  *classes = n, n = 0;
  for (json *c = list->child; c; c = c->next)
    if (c->kind == JSON_TEXT) name[n++] = copy_text(c->text);
  json_free(list);
  return name;
}

static void load_classes(model *m, const char *path)
{
  int n;
  m->class_name = model_fetch_classes(m->file, &n);
  m->net = net_parse(st_need(m->file, "net"), path, NULL, n);
  const int c = m->net->layer[0].out.c;
  if (c != 3 && c != 1)
    die(EXIT_DATA, path, say("a net whose input has %d channels", c), "3 or 1", "the file is damaged");
  if (strcmp(m->net->sha256, st_need(m->file, "net_sha256")))
    die(EXIT_DATA, path, "a net that is not the one these weights were trained for",
        st_need(m->file, "net_sha256"), "the file is damaged");
}

/* see that all weights are finite */
bool all_finite(const float *x, size_t n)
{
  float sum = 0;                                     /* x - x is 0 for finite x, NaN otherwise */
  for (size_t i = 0; i < n; i++) sum += x[i] - x[i];
  return sum == 0;
}

/* load the colours that a net learned under */
/* What a recipe with `stain cell` has left in the file. */
static void load_colours(model *m)
{
  double x[6];
  if (!st_find(m->file, "stain")) return;
  st_copy(m->file, "stain", ST_F64, 6, x);
  for (int i = 0; i < 6; i++)
    if (!isfinite(x[i]) || m->net->layer[0].out.c != 3)
      die(EXIT_DATA, m->file->path, "colours that are no numbers, or a net that sees none", "means and deviations",
          "the file is damaged");
  m->colours = NEW(stain, 1);
  *m->colours = (stain){ { x[0], x[1], x[2] }, { x[3], x[4], x[5] } };
}

/* load a model, and ready pixels for it */
model *model_load(const char *path) { return model_of(st_read(path)); }

model *model_of(safetensors *file)
{
  model *m = NEW(model, 1);
  const char *path = file->path;
  m->file = file;
  if (st_note(file, "pipeline"))
    die(EXIT_DATA, path, "the classical pipeline's weights", "a trained net's", "wbcsnet predict and evaluate ask either");
  load_classes(m, path);
  shape in = m->net->layer[0].out;
  m->state.param = NEW(float, m->net->param_floats);
  m->state.stat = NEW(float, m->net->stat_floats);
  size_t pixels = (size_t)in.h * (size_t)in.w * (size_t)in.c;
  if (st_find(m->file, "input.mean")) m->mean = NEW(float, pixels);
  model_fetch(m->file, m->net, &m->state, m->mean);
  if (!all_finite(m->state.param, m->net->param_floats) || !all_finite(m->state.stat, m->net->stat_floats)
      || (m->mean && !all_finite(m->mean, pixels)))
    die(EXIT_DATA, path, "a weight that is not finite", "finite weights", "its training diverged, or the file is damaged");
  load_colours(m);
  sha256_of_file(path, m->sha256);
  return m;
}

void model_prepare(const model *m, uint8_t *pixels, int n)
{
  const shape in = m->net->layer[0].out;
  if (m->colours) stain_match_cells(pixels, n, (size_t)in.h * (size_t)in.w, false, m->colours);
}

void model_free(model *m)
{
  if (!m) return;
  for (int c = 0; m->class_name[c]; c++) free(m->class_name[c]);
  net_free(m->net), st_free(m->file);
  free(m->class_name), free(m->state.param), free(m->state.stat), free(m->mean), free(m->colours), free(m);
}

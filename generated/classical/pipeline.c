#include "classical/pipeline.h"
#include "classical/segment.h"
#include "learning/model.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* recognise a cell in two steps */
int pipeline_branch(const pipeline *p, const double *x)
{
  double q[2] = { 1, 0 };
  if (p->first) lda_posterior(p->first, x, q);
  return q[1] > q[0];
}

void pipeline_posterior(const pipeline *p, const double *x, double *prob)
{
  lda_posterior(p->second[pipeline_branch(p, x)], x, prob);
}

measures pipeline_measure(const uint8_t *rgb, int h, int w)
{
  segmentation *g = segment_cell(rgb, h, w);
  const measures m = measure_cell(g, NULL, NULL);
  segmentation_free(g);
  return m;
}

void pipeline_clear(pipeline *p)
{
  if (p->first) lda_free(p->first);
  for (int b = 0; b < 2; b++) if (p->second[b]) lda_free(p->second[b]);
}

/* store a pipeline */
static void store_lda(safetensors *s, const char *name, const lda *l)
{
  if (!l) return;
  st_add(s, say("%s.w", name), ST_F64, 2, (int[]){ l->classes, l->features }, l->w);
  st_add(s, say("%s.b", name), ST_F64, 1, &l->classes, l->b);
}

void pipeline_store(safetensors *s, const pipeline *p)
{
  st_put(s, "pipeline", "1"), st_put(s, "size", say("%d", p->size)), st_put(s, "shapes", say("%d", p->shapes));
  store_lda(s, "first", p->first), store_lda(s, "second0", p->second[0]), store_lda(s, "second1", p->second[1]);
}

bool pipeline_stored(const safetensors *s) { return st_note(s, "pipeline") != NULL; }

static lda *fetch_lda(const safetensors *s, const char *name, int features)
{
  const st_tensor *t = st_find(s, say("%s.w", name));
  if (!t || t->rank != 2 || t->dim[0] < 2 || t->dim[0] > CLASSES_MOST || t->dim[1] < 1 || t->dim[1] > MOST_MEASURES ||
      (features && t->dim[1] != features))
    die(EXIT_DATA, s->path, say("no discriminant %s that fits", name), "one with a weight for each measurement", "the file is damaged");
  lda *l = NEW(lda, 1);
  *l = (lda){ (int)t->dim[1], (int)t->dim[0], NEW(double, t->dim[0] * t->dim[1]), NEW(double, t->dim[0]) };
  st_copy(s, say("%s.w", name), ST_F64, (size_t)(l->classes * l->features), l->w);
  st_copy(s, say("%s.b", name), ST_F64, (size_t)l->classes, l->b);
  bool good = true;
  for (int i = 0; i < l->classes * l->features; i++) good &= isfinite(l->w[i]) != 0;
  for (int i = 0; i < l->classes; i++) good &= l->b[i] < INFINITY;
  if (!good) die(EXIT_DATA, s->path, "a weight that is not finite", "finite weights", "the file is damaged");
  return l;
}

/* refuse a pipeline of other measures */
void pipeline_names(const measures *m, char sha[65])
{
  sha256 h;
  sha256_start(&h);
  for (int f = 0; f < m->n; f++) sha256_add(&h, m->name[f], strlen(m->name[f]) + 1);
  sha256_end(&h, sha);
}

static void same_measures(const safetensors *s, const pipeline *p)
{
  enum { SIDE = 32 };
  static const uint8_t empty[SIDE * SIDE * 3];
  char sha[65];
  const measures m = pipeline_measure(empty, SIDE, SIDE);
  pipeline_names(&m, sha);
  if (m.n != p->features || m.shapes != p->shapes || strcmp(sha, st_need(s, "net_sha256")))
    die(EXIT_DATA, s->path, "other measurements than this program takes", "a pipeline that this version fitted",
        "fit it again: wbcsnet classical --save");
}

/* fetch a pipeline */
char **pipeline_fetch(const safetensors *s, pipeline *p)
{
  int classes;
  *p = (pipeline){ .size = atoi(st_need(s, "size")), .shapes = atoi(st_need(s, "shapes")) };
  if (p->size < 16 || p->size > 4096 || p->shapes < 1 || p->shapes > MOST_MEASURES)
    die(EXIT_DATA, s->path, say("cells of %d pixels, %d measurements of shape", p->size, p->shapes), "those of a pipeline", "the file is damaged");
  for (int b = 0; b < 2; b++) p->second[b] = fetch_lda(s, b ? "second1" : "second0", 0);
  if (st_find(s, "first.w")) p->first = fetch_lda(s, "first", p->shapes);
  p->features = p->second[0]->features, p->classes = p->second[0]->classes;
  if (p->second[1]->features != p->features || p->second[1]->classes != p->classes || p->shapes > p->features ||
      (p->first && p->first->classes != 2))
    die(EXIT_DATA, s->path, "discriminants that do not belong together", "those of one pipeline", "the file is damaged");
  same_measures(s, p);
  char **name = model_fetch_classes(s, &classes);
  if (classes != p->classes)
    die(EXIT_DATA, s->path, say("%d class names for %d classes", classes, p->classes), "a name for each", "the file is damaged");
  return name;
}


#include "cells/dataset.h"
#include "classical/fit.h"
#include "learning/folds.h"
#include "learning/model.h"
#include "base/options.h"
#include "classical/pipeline.h"
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

/* measure every cell */
typedef struct {
  const dataset *ds;
  const char *pool;
  measures *cell;                                    /* (N) */
  double *x, seconds;                                /* x (N, features); seconds it took to measure all */
  int features, steps, folds, subset, threads;
  bool save;                                         /* leave weights */
  double ridge;
  uint64_t seed;
} study;

static const double *features_of(const study *s, int cell)
{
  return s->x + (size_t)cell * (size_t)s->features;
}

static void measure_some(study *s, int n)
{
  const dataset *ds = s->ds;
  size_t bytes = (size_t)ds->h * (size_t)ds->w * 3;
  if (!s->cell) s->cell = NEW(measures, ds->n);
  #pragma omp parallel for schedule(dynamic, 8)
  for (int i = 0; i < n; i++) {
    segmentation *g = segment_cell(ds->pixels + bytes * (size_t)i, ds->h, ds->w);
    s->cell[i] = measure_cell(g, NULL, NULL);
    segmentation_free(g);
  }
  s->features = s->cell[0].n;
}

static void measure_all(study *s)
{
  const dataset *ds = s->ds;
  if (s->x) return;
  double start = seconds();
  measure_some(s, ds->n);
  s->x = NEW(double, (size_t)ds->n * (size_t)s->features);
  for (int i = 0; i < ds->n; i++)
    memcpy(s->x + (size_t)i * (size_t)s->features, s->cell[i].value, sizeof(double) * (size_t)s->features);
  s->seconds = seconds() - start;
}

/* write the measures as a table */
static void write_measures(const study *s, const char *path)
{
  atomic_file *a = file_create(path);
  fputs("file,class", a->f);
  for (int f = 0; f < s->features; f++) fputc(',', a->f), csv_put(a->f, s->cell[0].name[f]);
  for (int i = 0; i < s->ds->n; i++) {
    fputc('\n', a->f), csv_put(a->f, s->ds->file[i]), fputc(',', a->f);
    csv_put(a->f, s->ds->class_name[s->ds->label[i]]);
    for (int f = 0; f < s->features; f++) fprintf(a->f, ",%.9g", features_of(s, i)[f]);
  }
  fputc('\n', a->f), file_commit(a);
}

/* name the ways of two steps */
enum { STEPS_TWO, STEPS_STRICT, STEPS_ONE, STEPS };
static const char *const step_name[STEPS + 1] = { "two", "strict", "one", NULL };

/* fit the first step: how many pieces */
static bool segmented_class(const char *name)
{
  return !strcmp(name, class_names[0]) || !strcmp(name, class_names[1]) || !strcmp(name, class_names[2]);
}

static lda *fit_first(const study *s, const int *row, int n)
{
  int *kind = NEW(int, s->ds->n), shapes = s->cell[0].shapes;
  double *x = NEW(double, (size_t)s->ds->n * (size_t)shapes);
  for (int i = 0; i < s->ds->n; i++) {
    kind[i] = segmented_class(s->ds->class_name[s->ds->label[i]]);
    memcpy(x + (size_t)i * (size_t)shapes, s->cell[i].value, sizeof *x * (size_t)shapes);
  }
  lda *l = lda_fit(x, kind, row, n, shapes, 2, s->ridge);
  free(kind), free(x);
  return l;
}

/* fit the step of one branch */
/* The discriminant of one branch, of the training cells that go down it; NULL where they are too few. */
static lda *fit_branch(const study *s, const pipeline *p, int branch, const int *row, int n)
{
  int *label = NEW(int, s->ds->n), cells = 0;
  for (int i = 0; i < n; i++) {
    int r = row[i];
    bool goes = s->steps == STEPS_STRICT ? segmented_class(s->ds->class_name[s->ds->label[r]]) == branch
      : pipeline_branch(p, features_of(s, r)) == branch;
    label[r] = goes ? s->ds->label[r] : -1, cells += goes;
  }
  lda *l = cells < 4 * s->ds->classes ? NULL
    : lda_fit(s->x, label, row, n, s->features, s->ds->classes, s->ridge);
  free(label);
  return l;
}

/* fit a pipeline */
static pipeline fit_pipeline(const study *s, const int *row, int n)
{
  pipeline p = { .size = s->ds->h, .shapes = s->cell[0].shapes, .features = s->features, .classes = s->ds->classes };
  if (s->steps != STEPS_ONE) {
    p.first = fit_first(s, row, n);
    for (int b = 0; b < 2; b++) p.second[b] = fit_branch(s, &p, b, row, n);
  }
  for (int b = 0; b < 2; b++)
    if (!p.second[b])
      p.second[b] = lda_fit(s->x, s->ds->label, row, n, s->features, s->ds->classes, s->ridge);
  return p;
}

/* recognise all cells of a fold */
static void name_pipeline(const study *s, fit *t, char sha[65])
{
  static const char *const title[STEPS] = {
    "Classical, two steps", "Classical, two strict steps", "Classical, one step" };
  pipeline_names(&s->cell[0], sha);
  t->name = "classical", t->title = title[s->steps], t->sha256 = sha, t->recipe = "lda", t->device = "cpu";
  double of_first = s->steps == STEPS_ONE ? 0 : 2 * (s->cell[0].shapes + 1.0);
  t->params = of_first + (s->steps == STEPS_ONE ? 1 : 2) * s->ds->classes * (s->features + 1.0);
}

static void recognise_all(const study *s, const pipeline *p, const int *row, int n, double *prob)
{
  for (int i = 0; i < n; i++) pipeline_posterior(p, features_of(s, row[i]), prob + (size_t)i * (size_t)s->ds->classes);
}

/* save the pipeline */
static void save_pipeline(const study *s, const fit *t, const pipeline *p, const run_folder *r, char sha[65])
{
  char *path = join("%s/weights.safetensors", r->out);
  safetensors *f = st_new();
  run_claim(r);
  st_put(f, "config", r->config), st_put(f, "data_sha256", s->ds->sha256);
  st_put(f, "net_name", t->name), st_put(f, "net_title", t->title), st_put(f, "net_sha256", t->sha256), st_put(f, "set", t->set);
  model_store_classes(f, s->ds->class_name, s->ds->classes);
  pipeline_store(f, p);
  st_write(f, path, sha);
  st_free(f), free(path);
}

/* compute a fold, if nobody has */
/* Fit on all folds but one, and recognise that one. */
static void compute_fold(study *s, fit *t, int among, const run_folder *r)
{
  measure_all(s);
  const dataset *ds = s->ds;
  double start = seconds(), loss, accuracy, *prob = NEW(double, (size_t)ds->n * (size_t)ds->classes);
  int *row = NEW(int, ds->n), n = fold_rows(ds, t->fold_of, t->fold, false, row);
  pipeline p = fit_pipeline(s, row, n);
  recognise_all(s, &p, row, n, prob);
  fit_loss(ds, row, n, prob, &loss, &accuracy);
  n = fold_rows(ds, t->fold_of, t->fold, true, row);
  recognise_all(s, &p, row, n, prob);
  t->loss = &loss, t->accuracy = &accuracy;
  t->seconds = s->seconds / among + seconds() - start, t->rate = ds->n / fmax(s->seconds, 1e-9);
  char sha[65];
  if (s->save) save_pipeline(s, t, &p, r, sha), t->weights_sha256 = sha;
  fit_write(r, t, prob);
  pipeline_clear(&p), free(prob), free(row);
}

enum { PIPELINE = 1 };                               /* the number of its arithmetic, see run_identity */
static void run_fold(study *s, const int *fold_of, int fold, int among, const char *folder)
{
  char sha[65], *with = join("ridge=%g", s->ridge);
  char *set = join("steps=%s,size=%d", step_name[s->steps], s->ds->h);
  fit t = { .ds = s->ds, .fold_of = fold_of, .folds = s->folds, .fold = fold, .subset = s->subset, .method = PIPELINE,
            .threads = s->threads, .seed = s->seed, .set = set, .with = with, .flop = NAN, .rows = 1 };
  run_folder r;
  name_pipeline(s, &t, sha);
  if (fit_open(&r, folder, &t, s->pool) == RUN_OPEN) compute_fold(s, &t, among, &r);
  else if (s->save && !file_exists(say("%s/weights.safetensors", folder)))
    warn(folder, "finished already, and without weights", "remove its run.json to fit it again");
  run_close(&r);
  free(set), free(with);
}

/* run the folds */
static void run_folds(study *s, const char *fold_text, const char *out)
{
  int first, last, tests, right = 0, cells = 0, *fold_of = folds_make(s->ds, s->folds, s->seed, s->subset);
  fit_folds(fold_text, s->folds, &first, &last);
  if (!s->cell) measure_some(s, 1);
  for (int f = first; f <= last; f++) {
    char *folder = fit_folder(out, f, last > first);
    run_fold(s, fold_of, f, last - first + 1, folder);
    right += fit_right(folder, &tests), cells += tests;
    free(folder);
  }
  printf("%s: %d of %d held-out cells right (%.2f %%)%s\n", out, right, cells, 100.0 * right / cells,
         s->x ? say(", %d cells measured in %.1f s", s->ds->n, s->seconds) : ", finished already");
  free(fold_of);
}

/* draw the edges of a segmentation */
static void put_pixel(image *m, int y, int x, const uint8_t colour[3])
{
  if (y >= 0 && y < m->h && x >= 0 && x < m->w)
    memcpy(m->rgb + 3 * ((size_t)y * (size_t)m->w + (size_t)x), colour, 3);
}

static void draw_edges(image *m, const segmentation *s, int top, int left, int zoom)
{
  static const uint8_t ink[3][3] = { { 0, 0, 0 }, { 0, 0, 0 }, { 0, 220, 90 } };
  for (int y = 0; y < s->h; y++)
    for (int x = 0; x < s->w; x++) {
      int here = s->region[y * s->w + x], right = x + 1 < s->w ? s->region[y * s->w + x + 1] : here,
        below = y + 1 < s->h ? s->region[(y + 1) * s->w + x] : here;
      for (int k = 0; k < zoom; k++) {
        int v = top + y * zoom, u = left + x * zoom;
        if (right != here) put_pixel(m, v + k, u + zoom - 1, ink[right > here ? right : here]);
        if (below != here) put_pixel(m, v + zoom - 1, u + k, ink[below > here ? below : here]);
      }
    }
}

/* draw the cuts between lobes */
static void draw_cuts(image *m, const lobe_split *s, int top, int left, int zoom)
{
  static const uint8_t ink[3] = { 255, 90, 0 };
  for (int c = 0; c + 1 < s->lobes; c++) {
    point a = s->cut[c].a, b = s->cut[c].b;
    int steps = (int)(zoom * hypot(a.x - b.x, a.y - b.y)) + 1;
    for (int i = 0; i <= steps; i++) {
      double t = (double)i / steps;
      int y = top + (int)(zoom * (a.y + t * (b.y - a.y))), x = left + (int)(zoom * (a.x + t * (b.x - a.x)));
      put_pixel(m, y, x, ink), put_pixel(m, y, x + 1, ink);
    }
  }
}

static void draw_cell(image *m, const dataset *ds, int cell, int top, int left, int zoom)
{
  const uint8_t *rgb = ds->pixels + (size_t)cell * (size_t)ds->h * (size_t)ds->w * 3;
  segmentation *s = segment_cell(rgb, ds->h, ds->w);
  lobe_split split[MOST_LOBES];
  int pieces;
  measure_cell(s, split, &pieces);
  for (int y = 0; y < ds->h * zoom; y++)
    for (int x = 0; x < ds->w * zoom; x++)
      put_pixel(m, top + y, left + x, rgb + 3 * ((size_t)(y / zoom) * (size_t)ds->w + (size_t)(x / zoom)));
  draw_edges(m, s, top, left, zoom);
  for (int i = 0; i < pieces; i++) draw_cuts(m, &split[i], top, left, zoom);
  segmentation_free(s);
}

/* write the pictures */
enum { PICTURE_GAP = 4 };

static void write_pictures(const dataset *ds, int columns, const char *path)
{
  int zoom = ds->w < 140 ? 280 / ds->w : 1;
  int high = ds->h * zoom + PICTURE_GAP, wide = ds->w * zoom + PICTURE_GAP;
  image m = image_new(ds->classes * high - PICTURE_GAP, columns * wide - PICTURE_GAP);
  memset(m.rgb, 255, 3 * (size_t)m.h * (size_t)m.w);
  for (int k = 0; k < ds->classes; k++) {
    int cells = 0, seen = 0;
    for (int i = 0; i < ds->n; i++) cells += ds->label[i] == k;
    for (int i = 0; i < ds->n; i++) {
      if (ds->label[i] != k) continue;
      int shown = cells < columns ? cells : columns, at = (int)((long)seen * shown / cells);
      if (!seen || at != (int)((long)(seen - 1) * shown / cells))
        draw_cell(&m, ds, i, k * high, at * wide, zoom);
      seen++;
    }
  }
  image_write_png(path, &m);
  image_free(&m);
}

/* check what a study is asked for */
static int steps_of(const char *word)
{
  for (int i = 0; i < STEPS; i++) if (!strcmp(word, step_name[i])) return i;
  die(EXIT_USAGE, "--steps", say("'%s'", word), "two, strict or one", NULL);
}

static void check_study(const study *s, int size, int columns, const char *data, bool any_output)
{
  if (!data) die(EXIT_USAGE, "classical", "no data set", "--data FOLDER", "wbcsnet classical --help");
  if (!any_output)
    die(EXIT_USAGE, "classical", "nowhere to write", "--out, --pictures or --measures",
        "wbcsnet classical --help");
  if (size && (size < 16 || size > 1024))
    die(EXIT_USAGE, "--size", say("%d", size), "16 to 1024 pixels, or 0", NULL);
  if (s->subset < 0) die(EXIT_USAGE, "--cells", say("%d", s->subset), "0 or more", NULL);
  if (s->threads < 0 || s->threads > 4096)
    die(EXIT_USAGE, "--threads", say("%d", s->threads), "0 to 4096", NULL);
  if (!(s->ridge >= 0 && s->ridge <= 1e6)) die(EXIT_USAGE, "--ridge", say("%g", s->ridge), "0 or more", NULL);
  if (columns < 1 || columns > 64) die(EXIT_USAGE, "--per-class", say("%d", columns), "1 to 64", NULL);
}

/* run the classical subcommand */
/* wbcsnet classical: segment, measure, and tell the classes by linear discriminants, over folds. */
int cmd_classical(int argc, char **argv)
{
  study s = { .folds = 10, .seed = 1, .ridge = 0.01 };
  const char *data = NULL, *fold = "each", *folds = "10", *steps = "two", *out = NULL, *pictures = NULL, *table_path = NULL;
  int size = 0, columns = 8;
  /* read the flags of classical */
  const option table[] = {
    { "data", OPTION_TEXT, &data, "FOLDER", "data set, as import or synth wrote it" },
    { "out", OPTION_TEXT, &out, "FOLDER", "run folder of one fold; with each, of folders fold0, fold1, ..." },
    { "folds", OPTION_TEXT, &folds, "K", "parts of the cross-validation, or split: the set's own (10)" },
    { "fold", OPTION_TEXT, &fold, "I|each", "the part held out, 0 to K-1, or each in turn (each)" },
    { "cells", OPTION_INT, &s.subset, "N", "use a stratified subset of N cells; each class has at least one a fold (0: all)" },
    { "seed", OPTION_SEED, &s.seed, "S", "seed of the folds (1)" },
    { "size", OPTION_INT, &size, "PIXELS", "resize the cells to this side first (0: as they are)" },
    { "steps", OPTION_TEXT, &steps, "two|strict|one",
      "segmented or not first, then all classes or its own; or one step (two)" },
    { "ridge", OPTION_REAL, &s.ridge, "SHARE", "added to each variance, as a share of it (0.01)" },
    { "threads", OPTION_INT, &s.threads, "T", "threads (0: one a core); no result depends on it" },
    { "save", OPTION_FLAG, &s.save, NULL, "leave weights.safetensors in the run folder, which evaluate can ask" },
    { "pictures", OPTION_TEXT, &pictures, "FILE.png", "a mosaic of cells, with their outlines and cuts" },
    { "per-class", OPTION_INT, &columns, "CELLS", "cells of each class in the mosaic (8)" },
    { "measures", OPTION_TEXT, &table_path, "FILE.csv", "every measurement of every cell" },
    { "pool", OPTION_TEXT, &s.pool, "FOLDER", "one job of many, as in wbcsnet train" },
    {0}
  };
  options_read(argc, argv, table, "classical --data FOLDER [--out FOLDER] [flags]",
               "The pipeline before nets: segmentation, measurements, discriminants (Ramesh et al. 2012).",
               "  wbcsnet classical --data D1 --out build/runs/classical/seed1\n"
               "  wbcsnet classical --data D1 --pictures cells.png\n", NULL, NULL, 0);
  s.steps = steps_of(steps);
  s.folds = folds_number(folds);
  check_study(&s, size, columns, data, out || pictures || table_path);
  int first, last;
  fit_folds(fold, s.folds, &first, &last);
  if (out && lda_why_off()) die(EXIT_FAIL, "classical", lda_why_off(), NULL, NULL);
  if (s.threads) omp_set_num_threads(s.threads);
  else s.threads = omp_get_max_threads();
  dataset *ds = dataset_load(data, size, size);
  if (ds->h < 16 || ds->w < 16)
    die(EXIT_DATA, data, say("cells of %d x %d pixels", ds->w, ds->h), "16 x 16 or more", NULL);
  s.ds = ds;
  if (pictures) write_pictures(ds, columns, pictures);
  if (table_path) measure_all(&s), write_measures(&s, table_path);
  if (out) run_folds(&s, fold, out);
  free(s.cell), free(s.x), dataset_free(ds);
  return 0;
}


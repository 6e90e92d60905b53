#include "cells/dataset.h"
#include "classical/fit.h"
#include "learning/folds.h"
#include "classical/logistic.h"
#include "learning/model.h"
#include "base/options.h"
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

/* find the layer to read */
typedef struct {
  const dataset *ds;
  const model *m;
  const engine_kind *kind;
  const char *layer, *pool;
  double *x, seconds, l2;                            /* x (N, features); its time; l2: 0: chosen */
  int features, folds, subset, learn, threads;
  uint64_t seed;
} frozen;

/* The layer that the last FC reads. */
static const char *last_features(const net *n)
{
  for (int i = n->layers - 1; i > 0; i--)
    if (n->layer[i].kind == LAYER_FC) return n->layer[n->layer[i].from].name;
  die(EXIT_DATA, n->path, "a net without an FC layer", "one, whose input is read", "name a --layer");
}

/* read the activations of all cells */
static void choose_layer(frozen *z)
{
  const net *n = z->m->net;
  if (!z->layer) z->layer = last_features(n);
  const int l = net_layer(n, z->layer);
  if (l < 0) die(EXIT_USAGE, "--layer", say("'%s'", z->layer), "a layer of the net", "wbcsnet describe lists them");
  z->features = (int)shape_floats(n->layer[l].out);
  if (z->features > 16384)
    die(EXIT_USAGE, "--layer", say("%d activations", z->features), "16384 at most", "take a later layer");
}

static void read_activations(frozen *z)
{
  if (z->x) return;
  const engine_kind *kind = z->kind;
  enum { AT_ONCE = 32 };
  const dataset *ds = z->ds;
  double start = seconds();
  plan *p = plan_make_unfused(z->m->net, AT_ONCE);
  int at = plan_tensor(p, z->layer), row[AT_ONCE];
  engine *e = kind->open(p, z->threads);
  float *y = NEW(float, (size_t)z->features * AT_ONCE);
  z->x = NEW(double, (size_t)ds->n * (size_t)z->features);
  kind->write_state(e, &z->m->state);
  model_prepare(z->m, ds->pixels, ds->n);
  kind->set_cells(e, ds->pixels, NULL, ds->n, z->m->mean);
  for (int i = 0; i < ds->n; i += AT_ONCE) {
    batch b = { .n = ds->n - i < AT_ONCE ? ds->n - i : AT_ONCE, .row = row };
    for (int k = 0; k < b.n; k++) row[k] = i + k;
    kind->infer(e, &b, NULL);
    kind->get(e, at, y, b.n);
    for (size_t k = 0; k < (size_t)b.n * (size_t)z->features; k++)
      z->x[(size_t)i * (size_t)z->features + k] = y[k];
  }
  kind->close(e), plan_free(p), free(y);
  z->seconds = seconds() - start;
}

/* see which cells the net has learned from */
/* Did the net learn from cells that this fold holds out? */
static bool saw_fold(const frozen *z, int fold)
{
  const char *data = st_note(z->m->file, "data_sha256"), *text = st_note(z->m->file, "config");
  if (!data || strcmp(data, z->ds->sha256)) return false;
  if (!text) return true;
  json *c = json_parse(text, "config");
  const json *held_out = json_get(c, "fold");
  bool same = held_out && held_out->kind == JSON_NUMBER && (int)held_out->number == fold
    && (int)json_number(c, "folds", 0) == z->folds && json_seed(c, "seed") == z->seed
    && (int)json_number(c, "cells", 0) == z->subset;
  json_free(c);
  return !same;
}

/* choose the penalty on a fifth of the fold */
static const double penalty[] = { 1, 1e-1, 1e-2, 1e-3, 1e-4 };
enum { PENALTIES = 5, MOST_STEPS = 500 };

static double mean_loss(const frozen *z, const logistic *l, const int *row, int n, double *accuracy)
{
  double loss, *prob = NEW(double, (size_t)n * (size_t)l->classes + 1);
  for (int i = 0; i < n; i++)
    logistic_posterior(l, z->x + (size_t)row[i] * (size_t)z->features, prob + (size_t)i * (size_t)l->classes);
  fit_loss(z->ds, row, n, prob, &loss, accuracy);
  free(prob);
  return loss;
}

/* sum (PENALTIES) += the cross-entropy of each penalty over the cells test (tests), learned from learn (n). */
static void judge_penalties(const frozen *z, const int *learn, int n, const int *test, int tests, double *sum)
{
  double accuracy;
  logistic *last = NULL;
  for (int k = 0; k < PENALTIES; k++) {
    logistic *l = logistic_fit(z->x, z->ds->label, learn, n, z->features, z->ds->classes, penalty[k], last,
                               1e-4, MOST_STEPS);
    sum[k] += tests * mean_loss(z, l, test, tests, &accuracy);
    if (last) logistic_free(last);
    last = l;
  }
  logistic_free(last);
}

/* The penalty that does best over the folds of the training cells row (n), each judging once. */
static double choose_penalty(const frozen *z, const int *fold_of, const int *row, int n)
{
  int *learn = NEW(int, n), *test = NEW(int, n), best = 0;
  double sum[PENALTIES] = {0};
  for (int judge = 0; judge < z->folds; judge++) {
    int learns = 0, tests = 0;
    for (int i = 0; i < n; i++)
      if (fold_of[row[i]] == judge) test[tests++] = row[i]; else learn[learns++] = row[i];
    if (learns && tests) judge_penalties(z, learn, learns, test, tests, sum);
  }
  for (int k = 1; k < PENALTIES; k++) if (sum[k] < sum[best]) best = k;
  free(learn), free(test);
  return penalty[best];
}

/* fit one fold */
/* loss and accuracy of the training cells; prob (tests, classes) of the others */
typedef struct { logistic *l; double l2, seconds, loss, accuracy, *prob; } fold_fit;

static fold_fit fit_fold(const frozen *z, const int *fold_of, int fold)
{
  double start = seconds();
  const int K = z->ds->classes;
  fold_fit t = { .l2 = z->l2 };
  int *row = NEW(int, z->ds->n), n = fold_rows(z->ds, fold_of, fold, false, row);
  folds_thin(z->ds, row, &n, z->learn, z->seed);
  if (!t.l2) t.l2 = z->folds > 2 ? choose_penalty(z, fold_of, row, n) : 0.01;
  t.l = logistic_fit(z->x, z->ds->label, row, n, z->features, K, t.l2, NULL, 1e-6, MOST_STEPS);
  t.loss = mean_loss(z, t.l, row, n, &t.accuracy);
  int tests = fold_rows(z->ds, fold_of, fold, true, row);
  t.prob = NEW(double, (size_t)tests * (size_t)K + 1);
  for (int i = 0; i < tests; i++)
    logistic_posterior(t.l, z->x + (size_t)row[i] * (size_t)z->features, t.prob + (size_t)i * (size_t)K);
  free(row);
  t.seconds = seconds() - start;
  return t;
}

/* compute the fold, and write it */
enum { LOGISTIC = 1 };                               /* the number of its arithmetic, see run_identity */
/* The texts that the description of a fold points to. */
typedef struct { char *title, *set, *with; } fold_words;

static fit describe_fold(const frozen *z, const int *fold_of, int fold, fold_words *w)
{
  const net *n = z->m->net;
  *w = (fold_words){ join("%s, frozen", n->title), join("net=%s,layer=%s", n->name, z->layer),
                     z->l2 > 0 ? join("l2=%g", z->l2) : copy_text("l2=chosen") };
  return (fit){ .ds = z->ds, .fold_of = fold_of, .folds = z->folds, .fold = fold, .subset = z->subset,
                .threads = z->threads, .seed = z->seed, .name = "frozen", .title = w->title, .set = w->set,
                .sha256 = n->sha256, .recipe = "logistic", .with = w->with, .device = z->kind->name,
                .engine = z->kind->arithmetic, .method = LOGISTIC, .candidates = candidates_of(z->kind), .init = z->m->sha256,
                .flop = n->flop, .learn = z->learn, .gpu = z->kind->gpu ? z->kind->gpu() : NULL };
}

static void compute_fold(frozen *z, fit *f, int among, const run_folder *r)
{
  read_activations(z);
  fold_fit t = fit_fold(z, f->fold_of, f->fold);
  f->seconds = z->seconds / among + t.seconds, f->rate = z->ds->n / fmax(z->seconds, 1e-9);
  f->params = z->ds->classes * (z->features + 1.0);
  f->rows = 1, f->loss = &t.loss, f->accuracy = &t.accuracy;
  fit_write(r, f, t.prob);
  printf("%s: lambda %g, %d steps\n", r->out, t.l2, t.l->steps);
  logistic_free(t.l), free(t.prob);
}

/* run all folds */
static void run_fold(frozen *z, const int *fold_of, int fold, int among, const char *folder)
{
  fold_words w;
  fit f = describe_fold(z, fold_of, fold, &w);
  run_folder r;
  if (fit_open(&r, folder, &f, z->pool) == RUN_OPEN) compute_fold(z, &f, among, &r);
  run_close(&r);
  free(w.title), free(w.set), free(w.with);
}

static void run_frozen(frozen *z, const char *fold_text, const char *out)
{
  int first, last, tests, right = 0, cells = 0, seen = 0, *fold_of = folds_make(z->ds, z->folds, z->seed, z->subset);
  fit_folds(fold_text, z->folds, &first, &last);
  for (int f = first; f <= last; f++) {
    char *folder = fit_folder(out, f, last > first);
    run_fold(z, fold_of, f, last - first + 1, folder);
    right += fit_right(folder, &tests), cells += tests, seen += saw_fold(z, f);
    free(folder);
  }
  if (seen)
    warn(out, say("the net was trained on cells held out in %d of these folds", seen),
         "what is right there may be remembered, not recognised");
  printf("%s: %d of %d held-out cells right (%.2f %%)%s\n", out, right, cells, 100.0 * right / cells,
         z->x ? say(", %d activations of %s", z->features, z->layer) : ", finished already");
  free(fold_of);
}

/* note that a net learned nowhere begins */
static void record_no_beginning(const frozen *z, const char *fold_text, const char *out, const char *init)
{
  int first, last, *fold_of = folds_make(z->ds, z->folds, z->seed, z->subset);
  fit_folds(fold_text, z->folds, &first, &last);
  for (int i = first; i <= last; i++) {
    char *folder = fit_folder(out, i, last > first);
    run_folder r;
    const fit f = { .ds = z->ds, .fold_of = fold_of, .folds = z->folds, .fold = i, .subset = z->subset, .threads = z->threads,
                    .seed = z->seed, .name = "frozen", .title = "frozen", .set = "", .sha256 = "", .recipe = "logistic", .with = "",
                    .device = z->kind->name, .engine = z->kind->arithmetic, .method = LOGISTIC,
                    .candidates = candidates_of(z->kind), .init = init, .flop = NAN,
                    .params = NAN, .rate = NAN, .learn = z->learn };
    if (fit_open(&r, folder, &f, z->pool) == RUN_OPEN) fit_write(&r, &f, NULL);
    run_close(&r), free(folder);
  }
  free(fold_of);
}

/* run the frozen subcommand */
/* wbcsnet frozen: a trained net's activations and multinomial logistic regression, over folds. */
int cmd_frozen(int argc, char **argv)
{
  frozen z = { .folds = 10, .seed = 1 };
  const char *weights = NULL, *data = NULL, *fold = "each", *out = NULL, *device = "auto";
  /* read the flags of frozen */
  const option table[] = {
    { "weights", OPTION_TEXT, &weights, "FILE", "weights.safetensors of a run; it names its net" },
    { "data", OPTION_TEXT, &data, "FOLDER", "data set, as import or synth wrote it" },
    { "out", OPTION_TEXT, &out, "FOLDER", "run folder of one fold; with each, of folders fold0, fold1, ..." },
    { "folds", OPTION_INT, &z.folds, "K", "parts of the cross-validation (10)" },
    { "fold", OPTION_TEXT, &fold, "I|each", "the part held out, 0 to K-1, or each in turn (each)" },
    { "cells", OPTION_INT, &z.subset, "N", "use a stratified subset of N cells; each class has at least one a fold (0: all)" },
    { "seed", OPTION_SEED, &z.seed, "S", "seed of the folds (1)" },
    { "learn", OPTION_INT, &z.learn, "N", "learn from N of the training cells only; each class has at least one (0: all)" },
    { "layer", OPTION_TEXT, &z.layer, "NAME", "whose output is read (default: what the last fc reads)" },
    { "l2", OPTION_REAL, &z.l2, "LAMBDA", "penalty (0: chosen by cross-validation within the training folds)" },
    { "device", OPTION_TEXT, &device, "NAME", "engine: auto, cpu, ref, cuda[:N], cuda-tf32, cuda-bf16 (auto)" },
    { "threads", OPTION_INT, &z.threads, "T", "threads (0: one a core); no result depends on it" },
    { "pool", OPTION_TEXT, &z.pool, "FOLDER", "one job of many, as in wbcsnet train" },
    {0}
  };
  options_read(argc, argv, table, "frozen --weights FILE --data FOLDER --out FOLDER [flags]",
               "A trained net's activations as features, and a linear classifier fitted to them.",
               "  wbcsnet frozen --weights RUN/weights.safetensors --data D2 --folds 5 --out runs/frozen/seed1\n",
               NULL, NULL, 0);
  if (!weights || !data || !out)
    die(EXIT_USAGE, "frozen", "a flag missing", "--weights, --data and --out", "wbcsnet frozen --help");
  if (!(z.l2 >= 0 && z.l2 <= 1e6)) die(EXIT_USAGE, "--l2", say("%g", z.l2), "0 or more", NULL);
  if (z.subset < 0) die(EXIT_USAGE, "--cells", say("%d", z.subset), "0 or more", NULL);
  if (z.learn < 0) die(EXIT_USAGE, "--learn", say("%d", z.learn), "0 or more", NULL);
  if (z.threads < 0 || z.threads > 4096) die(EXIT_USAGE, "--threads", say("%d", z.threads), "0 to 4096", NULL);
  char *init = NULL, *path = z.pool ? run_weights(weights, &init) : copy_text(weights);
  z.kind = engine_find(device);
  model *m = path ? model_load(path) : NULL;
  shape in = m ? m->net->layer[0].out : (shape){ .c = 3 };
  if (z.threads) omp_set_num_threads(z.threads);
  else z.threads = omp_get_max_threads();
  dataset *ds = dataset_load(data, in.h, in.w);
  dataset_channels(ds, in.c);
  z.ds = ds, z.m = m;
  if (m) choose_layer(&z);
  if (m) run_frozen(&z, fold, out); else record_no_beginning(&z, fold, out, init);
  free(z.x), dataset_free(ds), free(init), free(path);
  if (m) model_free(m);
  return 0;
}


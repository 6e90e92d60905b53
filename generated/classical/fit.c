#include "classical/fit.h"
#include "learning/folds.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* pick a fold's rows, and sum their loss */
int fold_rows(const dataset *ds, const int *fold_of, int fold, bool held_out, int *row)
{
  int n = 0;
  for (int i = 0; i < ds->n; i++)
    if (fold_of[i] >= 0 && (fold_of[i] == fold) == held_out) row[n++] = i;
  return n;
}

void fit_loss(const dataset *ds, const int *row, int n, const double *prob, double *loss, double *accuracy)
{
  int right = 0;
  *loss = 0;
  for (int i = 0; i < n; i++) {
    const double *p = prob + (size_t)i * (size_t)ds->classes;
    int best = 0, label = ds->label[row[i]];
    for (int k = 1; k < ds->classes; k++) if (p[k] > p[best]) best = k;
    right += best == label, *loss -= log(fmax(p[label], 1e-300)) / n;
  }
  *accuracy = (double)right / n;
}

/* open the folder of a fit */
run_state fit_open(run_folder *r, const char *folder, const fit *t, const char *pool)
{
  builder b = {0};
  build(&b, "{\"name\": "), build_json(&b, t->recipe);
  build(&b, ", \"with\": "), build_json(&b, t->with), build(&b, "}");
  char *recipe = built(&b, NULL);
  const run_config c = { .ds = t->ds, .net = t->name, .title = t->title, .set = t->set, .net_sha256 = t->sha256,
                         .recipe = recipe, .folds = t->folds, .fold = t->fold, .subset = t->subset, .learn = t->learn,
                         .seed = t->seed, .init = t->init, .device = t->device, .engine = t->engine, .method = t->method,
                         .candidates = t->candidates };
  run_open(r, folder, &c, pool);
  free(recipe);
  return run_look(r, true);
}

/* write a fit into its folder */
static void fill_shares(const dataset *ds, const int *train, int trains, float *p, int tests)
{
  const size_t k = (size_t)ds->classes;
  for (int t = 0; t < tests; t++)
    for (int i = 0; i < trains; i++) p[(size_t)t * k + (size_t)ds->label[train[i]]] += 1.0f / (float)trains;
}

void fit_write(const run_folder *r, const fit *t, const double *prob)
{
  int *train = NEW(int, t->ds->n), trains = fold_rows(t->ds, t->fold_of, t->fold, false, train);
  folds_thin(t->ds, train, &trains, t->learn, t->seed);
  int *test = NEW(int, t->ds->n), tests = fold_rows(t->ds, t->fold_of, t->fold, true, test);
  size_t n = (size_t)tests * (size_t)t->ds->classes;
  float *p = NEW(float, n + 1);
  char *folds = join("%s/folds.csv", r->out);
  for (size_t i = 0; i < n && prob; i++) p[i] = (float)prob[i];
  if (!prob) fill_shares(t->ds, train, trains, p, tests);
  run_claim(r);
  int correct = run_write_predictions(r, t->ds, test, tests, p), last = t->rows - 1;
  folds_write(folds, t->ds, t->fold_of);
  run_write_log(r, t->rows, 1, t->loss, t->accuracy);
  run_write_record(r, &(run_result){ .params = t->params, .flop = t->flop, .seconds = t->seconds, .rate = NAN,
    .infer_rate = t->rate, .memory = NAN, .train_flop = NAN, .loss = last < 0 ? NAN : t->loss[last],
    .accuracy = last < 0 ? NAN : t->accuracy[last], .train_cells = trains, .test_cells = tests, .iterations = t->rows,
    .epochs = t->rows, .threads = t->threads, .correct = correct, .diverged_at = prob ? -1 : 0,
    .weights_sha256 = t->weights_sha256, .gpu = t->gpu });
  free(train), free(test), free(p), free(folds);
}

int fit_right(const char *folder, int *tests)
{
  json *record = run_record(folder);
  const int right = (int)json_number(record, "correct", 0);
  *tests = (int)json_number(record, "test_cells", 0);
  json_free(record);
  return right;
}

/* read which folds are asked for */
void fit_folds(const char *text, int folds, int *first, int *last)
{
  char *end;
  long f = strtol(text, &end, 10);
  if (folds < 2 && folds != FOLDS_SPLIT) die(EXIT_USAGE, "--folds", say("%d", folds), "2 or more", NULL);
  *first = 0, *last = folds - 1;
  if (!strcmp(text, "each")) return;
  if (end == text || *end || f < 0 || f >= folds)
    die(EXIT_USAGE, "--fold", say("'%s'", text), say("0 to %d, or each", folds - 1), NULL);
  *first = *last = (int)f;
}

char *fit_folder(const char *out, int f, bool each)
{
  return each ? join("%s/fold%d", out, f) : copy_text(out);
}


#include "cells/dataset.h"
#include "engines/engine.h"
#include "learning/folds.h"
#include "learning/model.h"
#include "base/options.h"
#include "learning/pretrained.h"
#include "learning/recipe.h"
#include "base/rng.h"
#include "learning/runfolder.h"
#include "cells/stain.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* say what a job is */
typedef struct {
  /* what was asked */
  const char *data, *net_path, *set, *recipe_path, *with, *fold_text, *folds_text, *init_path, *pretrained_path, *device, *vectors,
    *out, *pool;
  int folds, fold, subset, learn, threads;           /* fold: -1 trains on every cell */
  uint64_t seed;
  bool init_all, keep_going, quiet, ungrouped, identity_only;
  double every;                                      /* seconds of training between checkpoints */
  /* what follows */
  dataset *ds;
  net *net;
  plan *plan;
  recipe r;
  const engine_kind *kind;
  char *stand_in, *recipe, *init, *title;            /* recipe: as JSON; init: names the weights that it begins from, or NULL */
  run_folder folder;
  int *fold_of, *train, *test, trains, tests;        /* rows of ds */
  int per_epoch, iterations;
  float *mean, *class_weight, *factor;               /* (H, W, C), (classes), (params), or NULL */
  stain *colours;                                    /* of the training cells, or NULL */
  /* what changes */
  engine *engine;
  net_state state;
  int at, known;                                     /* iterations done, and those whose loss was read */
  uint8_t *turn;                                     /* (batch) */
  uint8_t *shaken;                                   /* (N, H, W, C) the present epoch's cells, or NULL */
  int *order, order_epoch, shaken_epoch;             /* (trains) rows in the present epoch's order */
  double *loss, *accuracy;                           /* (iterations) the log */
  double spent, stepping, saved, save_cost;          /* seconds: loop, steps alone; last save: when, how long */
  double inferring;                                  /* seconds: classifying what was held out */
  bool cannot_begin, diverged, bad_weight;           /* bad_weight: a weight broke, not the loss */
} job;

/* choose the cells to learn from */
static void choose_cells(job *j)
{
  dataset *ds = j->ds;
  int *known = j->ungrouped && ds->grouped ? dataset_ungroup(ds) : NULL;
  if (j->fold >= 0) j->fold_of = folds_make(ds, j->folds, j->seed, j->subset);
  else if (j->subset) j->fold_of = folds_make_lenient(ds, j->folds == FOLDS_SPLIT ? 2 : j->folds, j->seed, j->subset);
  else j->fold_of = NEW(int, ds->n);
  if (known) dataset_regroup(ds, known);
  j->train = NEW(int, ds->n), j->test = NEW(int, ds->n);
  for (int i = 0; i < ds->n; i++) {
    if (j->fold < 0 && j->fold_of[i] > 0) j->fold_of[i] = 0;
    if (j->fold_of[i] < 0) continue;
    if (j->fold_of[i] == j->fold && j->fold >= 0) j->test[j->tests++] = i;
    else j->train[j->trains++] = i;
  }
  folds_thin(ds, j->train, &j->trains, j->learn, j->seed);
  if (!j->trains)
    die(EXIT_DATA, j->data, "no cell left to learn from", "cells outside the held-out fold",
        "give more --folds or more cells");
}

/* put the cells in order */
static void need_square(const job *j)
{
  const shape in = j->net->layer[0].out;
  if (in.h != in.w)
    die(EXIT_DATA, j->net_path, say("an input of %d x %d under augment turns", in.h, in.w), "a square input",
        "a quarter turn of other pictures does not fit the net: make it square, or give --with augment=none");
}

static void count_steps(job *j)
{
  int b = j->r.batch, whole = j->trains / b, part = j->trains % b > 0;
  j->per_epoch = j->r.last_batch == LAST_KEEP ? whole + part : whole;
  if (!whole && !j->per_epoch) {
    j->per_epoch = 1;
    warn(j->data, say("%d training cells do not fill one batch of %d; the partial batch is kept",
                      j->trains, b), NULL);
  }
  if ((double)j->per_epoch * j->r.epochs > 1e8)
    die(EXIT_DATA, "recipe", "more than 1e8 iterations", "fewer epochs", NULL);
  j->iterations = j->per_epoch * j->r.epochs;
  j->order = NEW(int, j->trains), j->order_epoch = j->shaken_epoch = -1;
  if (j->r.augment == AUGMENT_TURNS) need_square(j), j->turn = NEW(uint8_t, b);
}

static void order_epoch(job *j, int epoch)
{
  if (j->r.shuffle == SHUFFLE_ONCE) epoch = 0;
  if (j->order_epoch == epoch) return;
  rng r = rng_open(j->seed, RNG_SHUFFLE, (uint32_t)epoch, 0);
  memcpy(j->order, j->train, sizeof(int) * (size_t)j->trains);
  rng_shuffle(&r, j->order, j->trains);
  j->order_epoch = epoch;
}

/* take the mean image */
static void find_mean(job *j)
{
  size_t n = (size_t)j->ds->h * (size_t)j->ds->w * (size_t)j->ds->c;
  if (j->pretrained_path) { pretrained_mean(j->net, j->mean = NEW(float, n)); return; }
  if (j->r.normalise == NORMALISE_NONE) return;
  uint64_t *sum = NEW(uint64_t, n);
  for (int i = 0; i < j->trains; i++) {
    const uint8_t *p = j->ds->pixels + (size_t)j->train[i] * n;
    for (size_t k = 0; k < n; k++) sum[k] += p[k];
  }
  j->mean = NEW(float, n);
  for (size_t k = 0; k < n; k++) j->mean[k] = (float)((double)sum[k] / j->trains);
  free(sum);
}

/* take the colours, or shake them */
static void find_colours(job *j)
{
  const dataset *ds = j->ds;
  const size_t each = (size_t)ds->h * (size_t)ds->w;
  if ((j->r.stain || j->r.jitter > 0) && ds->c != 3)
    die(EXIT_DATA, j->net_path, "a net that sees grey, and a recipe about colours", "an input of 3 channels", "--with stain=none,jitter=0");
  if (j->r.jitter > 0) j->shaken = new_bytes(3 * each * (size_t)ds->n);
  if (!j->r.stain) return;
  j->colours = NEW(stain, 1);
  *j->colours = stain_of_cells(ds->pixels, j->train, j->trains, each);
  stain_match_cells(ds->pixels, ds->n, each, false, j->colours);
}

static void shake_cells(job *j, int epoch)
{
  const size_t each = (size_t)j->ds->h * (size_t)j->ds->w;
  #pragma omp parallel for schedule(static)
  for (int i = 0; i < j->trains; i++) {
    const size_t at = 3 * each * (size_t)j->train[i];
    stain_shake(j->ds->pixels + at, each, j->r.jitter, j->seed, epoch, j->train[i], j->shaken + at);
  }
  j->engine->kind->set_cells(j->engine, j->shaken, j->ds->label, j->ds->n, j->mean);
}

/* weigh the classes */
static void find_class_weights(job *j)
{
  if (j->r.class_weights == WEIGHTS_NONE) return;
  int k = j->net->classes, *count = NEW(int, k);
  double sum = 0, *weight = NEW(double, k);
  j->class_weight = NEW(float, k);
  for (int i = 0; i < j->trains; i++) count[j->ds->label[j->train[i]]]++;
  for (int c = 0; c < k; c++) {
    if (!count[c]) { warn(j->data, say("no training cell of class %s", j->ds->class_name[c]), NULL); continue; }
    weight[c] = (double)j->trains / ((double)k * count[c]);
    if (j->r.class_weights == WEIGHTS_ROOT) weight[c] = sqrt(weight[c]);
    sum += count[c] * weight[c];
  }
  if (j->r.class_weights == WEIGHTS_BALANCED) sum = j->trains;
  for (int c = 0; c < k; c++) j->class_weight[c] = (float)(weight[c] * j->trains / sum);
  free(count), free(weight);
}

/* draw the first weights */
static void draw_tensor(const job *j, int index, float *w)
{
  const param *p = &j->net->param[index];
  double std = j->r.init == START_HE ? sqrt(2.0 / p->fan_in) : j->r.init_std;
  double limit = sqrt(6.0 / ((double)p->fan_in + p->fan_out));
  long pieces = (long)((p->count + 4095) / 4096);
  #pragma omp parallel for schedule(static)
  for (long piece = 0; piece < pieces; piece++) {
    rng r = rng_open(j->seed, RNG_INIT, (uint32_t)index, (uint32_t)piece);
    size_t end = ((size_t)piece + 1) * 4096 < p->count ? ((size_t)piece + 1) * 4096 : p->count;
    for (size_t i = (size_t)piece * 4096; i < end; i++)
      w[i] = (float)(j->r.init == START_GLOROT ? limit * (2 * rng_uniform(&r) - 1) : std * rng_normal(&r));
  }
}

static void draw_first_weights(job *j)
{
  for (int i = 0; i < j->net->params; i++) {
    const param *p = &j->net->param[i];
    float *w = j->state.param + p->offset;
    if (p->init == INIT_WEIGHT) draw_tensor(j, i, w);
    else for (size_t k = 0; k < p->count; k++) w[k] = p->init == INIT_ONE ? 1.0f : 0.0f;
  }
  for (int i = 0; i < j->net->layers; i++) {
    const layer *l = &j->net->layer[i];
    for (int c = 0; l->kind == LAYER_NORM && c < l->out.c; c++) j->state.stat[l->stat + (size_t)(l->out.c + c)] = 1;
  }
}

/* take weights that fit */
static const param *same_tensor(const net *other, const param *p)
{
  for (int i = 0; i < other->params; i++) {
    const param *q = &other->param[i];
    if (strcmp(q->name, p->name)) continue;
    return q->rank == p->rank && !memcmp(q->dim, p->dim, sizeof(int) * (size_t)p->rank) ? q : NULL;
  }
  return NULL;
}

static void take_statistics(job *j, const model *m)
{
  for (int i = 0; i < j->net->layers; i++) {
    const layer *l = &j->net->layer[i];
    int k = l->kind == LAYER_NORM ? net_layer(m->net, l->name) : -1;
    if (k < 0 || m->net->layer[k].kind != LAYER_NORM || m->net->layer[k].out.c != l->out.c) continue;
    memcpy(j->state.stat + l->stat, m->state.stat + m->net->layer[k].stat,
           sizeof(float) * 2 * (size_t)l->out.c);
  }
}

/* Floats of that name and length, as rank and dim say, into `to`; false where there are none. */
static bool take_floats(const safetensors *f, const char *name, int rank, const int *dim, float *to)
{
  const st_tensor *t = st_find(f, name);
  size_t count = 1;
  bool fits = t && t->rank == rank;
  for (int i = 0; i < rank && fits; i++) fits = t->dim[i] == dim[i], count *= (size_t)dim[i];
  if (!fits) return false;
  st_copy(f, name, ST_F32, count, to);
  if (!all_finite(to, count)) die(EXIT_DATA, f->path, say("a number in %s that is not finite", name), "finite weights", NULL);
  return true;
}

static void take_tensors(job *j, const safetensors *f, bool *taken)
{
  for (int i = 0; i < j->net->params; i++) {
    const param *p = &j->net->param[i];
    if (!j->init_all && net_in_head(j->net, i)) continue;
    taken[i] = take_floats(f, p->name, p->rank, p->dim, j->state.param + p->offset);
  }
  for (int i = 0; i < j->net->layers; i++) {
    const layer *l = &j->net->layer[i];
    const char *mean = say("%s.mean", l->name), *variance = say("%s.variance", l->name);
    if (l->kind != LAYER_NORM || !st_find(f, variance)) continue;
    if (take_floats(f, mean, 1, &l->out.c, j->state.stat + l->stat))
      take_floats(f, variance, 1, &l->out.c, j->state.stat + l->stat + l->out.c);
  }
}

/* Tensors of the same name and shape; taken (params) receives which. */
static void take_model(job *j, bool *taken)
{
  safetensors *file = st_read(j->init_path);
  if (!st_note(file, "net") && !st_note(file, "pipeline")) {
    take_tensors(j, file, taken), st_free(file);
    return;
  }
  model *m = model_of(file);
  for (int i = 0; i < j->net->params; i++) {
    const param *p = &j->net->param[i], *q = same_tensor(m->net, p);
    taken[i] = q && (j->init_all || !net_in_head(j->net, i));
    if (taken[i]) memcpy(j->state.param + p->offset, m->state.param + q->offset, sizeof(float) * p->count);
  }
  take_statistics(j, m);
  model_free(m);
}

static void take_pretrained(job *j, bool *taken)
{
  safetensors *file = st_read(j->pretrained_path);
  pretrained_load(file, j->net, j->init_all, &j->state, taken);
  st_free(file);
}

/* say what was drawn anew */
static void load_first_weights(job *j)
{
  const net *n = j->net;
  const char *path = j->init_path ? j->init_path : j->pretrained_path;
  bool *taken = NEW(bool, n->params), rates = j->r.head_rate != 1 || j->r.body_rate != 1;
  int loaded = 0;
  builder b = {0};
  if (j->init_path) take_model(j, taken); else take_pretrained(j, taken);
  if (rates) j->factor = NEW(float, n->params);
  for (int i = 0; i < n->params; i++) {
    loaded += taken[i];
    if (!taken[i]) build(&b, " %s", n->param[i].name);
    if (rates) j->factor[i] = (float)(taken[i] ? j->r.body_rate : j->r.head_rate);
  }
  if (!loaded)
    die(EXIT_DATA, path, "no tensor of this net's names and shapes", "weights of the same net", NULL);
  char *fresh = built(&b, NULL);
  if (!j->quiet)
    fprintf(stderr, "%s: %d of %d tensors from %s; drawn anew:%s; %s\n", j->title, loaded, n->params, path,
            *fresh ? fresh : " none",
            j->init_path ? "mean image of the new training cells" : "mean colour of ImageNet");
  free(taken), free(fresh);
}

/* write and read checkpoints */
static void note_run(safetensors *s, const job *j)
{
  char hex[65];
  sha256_of(j->folder.config, strlen(j->folder.config), hex);
  st_put(s, "config", j->folder.config), st_put(s, "config_sha256", hex);
  st_put(s, "recipe", j->r.name), st_put(s, "data_sha256", j->ds->sha256);
  st_put(s, "order_of", j->r.shuffle == SHUFFLE_ONCE ? "once" : "epoch");
  st_put(s, "seed", say("%llu", (unsigned long long)j->seed));
  st_put(s, "iteration", say("%d", j->at)), st_put(s, "epoch", say("%d", j->at / j->per_epoch));
}

static bool save_checkpoint(job *j)
{
  double start = seconds();
  char *path = join("%s/checkpoint.safetensors", j->out);
  /* fetch the net from the engine, and look whether it is sound */
  j->engine->kind->read_state(j->engine, &j->state);
  size_t n = j->net->param_floats;
  bool good = all_finite(j->state.param, n) && all_finite(j->state.velocity, n);
  if (good) {
    safetensors *s = st_new();
    /* put in which run this is, and its log so far */
    note_run(s, j);
    st_put(s, "seconds", say("%.3f %.3f", j->spent, j->stepping));
    st_add(s, "log.loss", ST_F64, 1, &j->at, j->loss);
    st_add(s, "log.accuracy", ST_F64, 1, &j->at, j->accuracy);
    st_add(s, "order", ST_I32, 1, &j->trains, j->order);
    /* put in the net, and where it is heading */
    model_store(s, j->net, j->set, &j->state, j->mean, j->ds->class_name);
    for (int i = 0; i < j->net->params; i++) {
      const param *p = &j->net->param[i];
      st_add(s, say("velocity.%s", p->name), ST_F32, p->rank, p->dim, j->state.velocity + p->offset);
    }
    st_write(s, path, NULL);
    st_free(s);
    run_write_log(&j->folder, j->at, j->per_epoch, j->loss, j->accuracy);
  }
  free(path);
  j->saved = seconds(), j->save_cost = j->saved - start, j->spent += j->save_cost;
  return good;
}

static void resume(job *j)
{
  char *path = join("%s/checkpoint.safetensors", j->out);
  if (file_exists(path)) {
    char *hint = join("remove %s: the same command then begins again", path);
    hint_about(path, hint);
    safetensors *s = st_read(path);
    /* refuse a checkpoint that is not this run's own */
    char identity[65];
    run_identity(st_need(s, "config"), identity);
    if (strcmp(identity, j->folder.identity))
      die(EXIT_DATA, path, "a checkpoint of another configuration", "this run's own", NULL);
    if (!st_find(s, "log.loss"))
      die(EXIT_DATA, path, "the weights of a finished run, without velocities and log", "a checkpoint", NULL);
    int at = atoi(st_need(s, "iteration"));
    if (at < 0 || at > j->iterations)
      die(EXIT_DATA, path, say("iteration %d", at), say("0 to %d", j->iterations), NULL);
    /* take out the net, and where it was heading */
    model_fetch(s, j->net, &j->state, NULL);
    for (int i = 0; i < j->net->params; i++) {
      const param *p = &j->net->param[i];
      st_copy(s, say("velocity.%s", p->name), ST_F32, p->count, j->state.velocity + p->offset);
    }
    /* take out the log, and go on behind it */
    st_copy(s, "log.loss", ST_F64, (size_t)at, j->loss);
    st_copy(s, "log.accuracy", ST_F64, (size_t)at, j->accuracy);
    sscanf(st_need(s, "seconds"), "%lf %lf", &j->spent, &j->stepping);
    j->at = j->known = at;
    if (!j->quiet) fprintf(stderr, "%s: goes on after iteration %d of %d\n", j->title, at, j->iterations);
    hint_about(NULL, NULL);
    st_free(s), free(hint);
  }
  free(path);
}

static void save_weights(job *j, char sha[65])
{
  char *path = join("%s/weights.safetensors", j->out);
  safetensors *s = st_new();
  char order[65];
  order_epoch(j, j->r.epochs - 1);
  sha256_of(j->order, sizeof(int) * (size_t)j->trains, order);
  note_run(s, j);
  st_put(s, "order_sha256", order);
  model_store(s, j->net, j->set, &j->state, j->mean, j->ds->class_name);
  if (j->colours) st_add(s, "stain", ST_F64, 2, (int[]){ 2, 3 }, j->colours);
  st_write(s, path, sha);
  st_free(s), free(path);
}
/* take one step of training */
/* Cells in the batch of iteration `at`, and the first one's place in the epoch's order */
static int cells_of(const job *j, int at, int *first)
{
  *first = at % j->per_epoch * j->r.batch;
  return j->trains - *first < j->r.batch ? j->trains - *first : j->r.batch;
}

static void take_step(job *j)
{
  int epoch = j->at / j->per_epoch, first, n = cells_of(j, j->at, &first);
  if (j->shaken && j->shaken_epoch != epoch) shake_cells(j, j->shaken_epoch = epoch);
  order_epoch(j, epoch);
  /* draw a turn for each cell */
  for (int i = 0; j->turn && i < n; i++) {
    uint32_t word[4];
    rng_block(j->seed, RNG_AUGMENT, (uint32_t)epoch, (uint32_t)j->order[first + i], 0, word);
    j->turn[i] = word[0] & 7;
  }
  /* hand the batch to the engine */
  batch b = { n, j->order + first, j->turn, j->seed, (uint32_t)epoch };
  sgd s = { (float)j->r.learning_rate, (float)j->r.momentum, (float)j->r.l2, j->class_weight, j->factor };
  j->engine->kind->train_step(j->engine, &b, &s);

  j->at++;
}
/* Read results until at most `left` steps are without one. */
static void settle(job *j, int left)
{
  while (j->known + left < j->at && !j->diverged) {
    double loss;
    int correct, first, n = cells_of(j, j->known, &first);
    j->engine->kind->result(j->engine, j->at - 1 - j->known, &loss, &correct);
    if (!isfinite(loss)) { j->diverged = true, j->at = j->known; return; }
    j->loss[j->known] = loss, j->accuracy[j->known] = (double)correct / n, j->known++;
  }
}

/* show how it goes */
static void epoch_means(const job *j, int epoch, double *loss, double *accuracy)
{
  int first = epoch * j->per_epoch, end = first + j->per_epoch < j->known ? first + j->per_epoch : j->known;
  double a = 0, b = 0;
  for (int i = first; i < end; i++) a += j->loss[i], b += j->accuracy[i];
  *loss = end > first ? a / (end - first) : NAN, *accuracy = end > first ? b / (end - first) : NAN;
}

static void show(job *j, progress *bar, double images_a_second)
{
  double loss, accuracy;
  int epoch = (j->known - 1) / j->per_epoch;
  if (j->quiet || !j->known || (!bar->terminal && j->at % j->per_epoch)) return;
  epoch_means(j, epoch, &loss, &accuracy);
  const char *text = say("epoch %d/%d  loss %.4f  accuracy %.2f %%  %.0f images/s", epoch + 1,
                         j->r.epochs, loss, 100 * accuracy,
                         images_a_second);
  if (bar->terminal) { progress_show(bar, j->at, text); return; }
  double left = j->stepping * (j->iterations - j->at) / j->at;
  fprintf(stderr, "%s: %s  %s left\n", j->title, text, time_left(left));
}

/* say when to save */
static bool time_to_save(const job *j, double now)
{
  double since = now - j->saved;
  if (j->at == j->iterations) return since > 20 * j->save_cost;
  if (since < 20 * j->save_cost && j->every > 0) return false;
  return j->at % j->per_epoch == 0 || since >= j->every;
}

static void stop_in_order(job *j)
{
  save_checkpoint(j);
  fprintf(stderr, "wbcsnet: %s: stopped after iteration %d of %d; the same command goes on\n", j->out,
          j->at, j->iterations);
  exit(EXIT_STOPPED);
}

/* learn */
static void learn(job *j)
{
  progress bar;
  progress_start(&bar, j->title, j->iterations);
  if (j->quiet) bar.terminal = false;
  bar.start -= j->spent;
  double images = 0, since = 0;
  j->saved = seconds();
  while (j->at < j->iterations && !j->diverged) {
    double start = seconds();
    /* learn from one batch, and read older results */
    take_step(j);
    images += j->r.batch;
    settle(j, j->at % j->per_epoch ? RESULTS_KEPT - 1 : 0);
    double now = seconds();
    j->stepping += now - start, j->spent += now - start, since += now - start;
    show(j, &bar, images / since);
    /* save, or stop in order */
    const bool save = time_to_save(j, now);
    if (save || stop_requested) settle(j, 0);
    if (j->diverged) break;
    if (stop_requested) progress_end(&bar), stop_in_order(j);
    if (save && !save_checkpoint(j)) j->diverged = j->bad_weight = true;

  }
  progress_end(&bar);
}
/* take batch norm's statistics */
static void finish_statistics(job *j)
{
  double start = seconds();
  if (j->r.bn_statistics != STATISTICS_FINAL || !j->net->stat_floats) return;
  j->engine->kind->stats_begin(j->engine);
  for (int i = 0; i < j->trains; i += j->r.batch) {
    batch b = { j->trains - i < j->r.batch ? j->trains - i : j->r.batch, j->train + i, NULL, j->seed, 0 };
    j->engine->kind->stats_batch(j->engine, &b);
    if (stop_requested) stop_in_order(j);
  }
  j->engine->kind->stats_end(j->engine);
  j->spent += seconds() - start;
}

/* classify the held-out fold */
static void constant_prediction(const job *j, float *prob)
{
  int k = j->net->classes;
  for (int i = 0; i < j->trains; i++) prob[j->ds->label[j->train[i]]] += 1.0f;
  for (int c = 0; c < k; c++) prob[c] /= (float)j->trains;
  for (int i = 1; i < j->tests; i++) memcpy(prob + (size_t)i * (size_t)k, prob, sizeof(float) * (size_t)k);
}

static float *classify_held_out(const job *j)
{
  int k = j->net->classes;
  float *prob = NEW(float, (size_t)j->tests * (size_t)k + (size_t)k);
  if (j->diverged) { constant_prediction(j, prob); return prob; }
  for (int i = 0; i < j->tests; i += j->r.batch) {
    batch b = { j->tests - i < j->r.batch ? j->tests - i : j->r.batch, j->test + i, NULL, j->seed, 0 };
    j->engine->kind->infer(j->engine, &b, prob + (size_t)i * (size_t)k);
  }
  return prob;
}

/* write the record of a training */
static double images_seen(const job *j)
{
  int last = j->trains - (j->per_epoch - 1) * j->r.batch;
  if (last > j->r.batch) last = j->r.batch;
  return (double)(j->at / j->per_epoch) * ((double)(j->per_epoch - 1) * j->r.batch + last) + j->at % j->per_epoch * (double)j->r.batch;
}

static double rate_of(double cells, double seconds) { return cells > 0 && seconds > 0 ? cells / seconds : NAN; }

static void write_record(const job *j, int correct, const char *weights_sha)
{
  run_result t = { .flop = j->net->flop, .seconds = j->spent, .rate = rate_of(images_seen(j), j->stepping),
                   .infer_rate = rate_of(j->tests, j->inferring),
                   .memory = 4.0 * (double)(j->plan->act_floats + j->plan->grad_floats + 3 * j->net->param_floats),
                   .train_flop = j->net->train_flop * images_seen(j), .loss = NAN, .accuracy = NAN,
                   .train_cells = j->trains, .test_cells = j->tests, .iterations = j->at, .epochs = j->at / j->per_epoch,
                   .threads = j->threads, .correct = correct, .diverged_at = j->diverged ? j->at + !j->bad_weight : -1,
                   .weights_sha256 = weights_sha, .gpu = j->kind->gpu ? j->kind->gpu() : NULL,
                   .vectors = j->kind->vectors ? j->kind->vectors() : NULL };
  for (int i = 0; i < j->net->params; i++) t.params += (double)j->net->param[i].count;
  if (j->at) epoch_means(j, (j->at - 1) / j->per_epoch, &t.loss, &t.accuracy);
  run_write_record(&j->folder, &t);
}

/* read what the job begins from */
static void name_first_weights(job *j)
{
  char sha[65];
  if (j->pool && j->init_path) {
    j->init_path = j->stand_in = run_weights(j->init_path, &j->init);
    j->cannot_begin = !j->init_path;
  }
  const char *path = j->init_path ? j->init_path : j->pretrained_path;
  if (!path) return;
  sha256_of_file(path, sha);
  j->init = join("%s%s%s", j->pretrained_path ? "torch " : "", sha, j->init_all ? " all" : "");
}

static net *read_net(const job *j, int classes)
{
  if (j->r.norm == NORM_BATCH) return net_load(j->net_path, j->set, classes);
  char *text = file_read(j->net_path, NULL, NULL), *left = text, *line;
  builder b = {0};
  while ((line = strsep(&left, "\n"))) {
    const size_t blank = strspn(line, " \t");
    const bool norm = !strncmp(line + blank, "bn", 2) && (line[blank + 2] == ' ' || line[blank + 2] == '\t');
    build(&b, "%s%s\n", norm ? "groupnorm" : "", line + (norm ? blank + 2 : 0));
  }
  char *grouped = built(&b, NULL);
  net *n = net_parse(grouped, j->net_path, j->set, classes);
  free(grouped), free(text);
  return n;
}

static void read_inputs(job *j)
{
  j->r = recipe_load(j->recipe_path, j->with);
  j->net = read_net(j, 5);
  shape in = j->net->layer[0].out;
  if (in.c != 3 && in.c != 1)
    die(EXIT_DATA, j->net_path, say("an input of %d channels", in.c), "3: red, green, blue; or 1: grey",
        NULL);
  j->ds = dataset_load(j->data, in.h, in.w);
  dataset_channels(j->ds, in.c);
  enum { SMALL = 48 };                               /* pixels; granules are lost below */
  if (!j->quiet && j->ds->disk_h < SMALL && in.h >= 2 * j->ds->disk_h)
    warn(j->data, say("cells of %d x %d, and the net looks at %d x %d: they are enlarged, and no detail is gained", j->ds->disk_w,
                      j->ds->disk_h, in.w, in.h), NULL);
  if (j->ds->classes != j->net->classes) net_free(j->net), j->net = read_net(j, j->ds->classes);
  j->kind = engine_find(j->device);
  engine_tune(j->kind, j->vectors, false);
  name_first_weights(j);
  j->title = join("%s seed %llu fold %s", j->net->name, (unsigned long long)j->seed, j->fold_text);
}

static void prepare(job *j)
{
  choose_cells(j), count_steps(j), find_colours(j), find_mean(j), find_class_weights(j);
  j->plan = plan_make(j->net, j->r.batch);
  j->engine = j->kind->open(j->plan, j->threads);
  j->state.param = NEW(float, j->net->param_floats);
  j->state.velocity = NEW(float, j->net->param_floats);
  j->state.stat = NEW(float, j->net->stat_floats);
  j->loss = NEW(double, j->iterations), j->accuracy = NEW(double, j->iterations);
  draw_first_weights(j);
  if (j->cannot_begin) j->diverged = j->bad_weight = true;
  else if (j->init_path || j->pretrained_path) load_first_weights(j);
}

static void begin(job *j)
{
  resume(j);
  j->engine->kind->write_state(j->engine, &j->state);
  j->engine->kind->set_cells(j->engine, j->ds->pixels, j->ds->label, j->ds->n, j->mean);
  j->engine->kind->moving(j->engine, j->r.bn_statistics == STATISTICS_MOVING ? (float)j->r.bn_decay : 0);
}

/* finish the job */
static void check_weights(job *j)
{
  j->engine->kind->read_state(j->engine, &j->state);
  j->diverged = j->bad_weight = !all_finite(j->state.param, j->net->param_floats)
      || !all_finite(j->state.stat, j->net->stat_floats);
}

static int tell_divergence(const job *j)
{
  fprintf(stderr, "wbcsnet: %s: %s iteration %d is not finite; the last good checkpoint is kept\n"
          "  hint: a smaller learning_rate, or another init\n", j->out,
          j->bad_weight ? "a weight after" : "the loss of", j->at + !j->bad_weight);
  return j->keep_going ? 0 : EXIT_FAIL;
}

static void tell_end(const job *j, int correct)
{
  double loss, accuracy;
  epoch_means(j, (j->at - 1) / j->per_epoch, &loss, &accuracy);
  printf("%s: %d epochs in %s, %s\n", j->out, j->r.epochs, time_left(j->spent), j->tests
         ? say("%d of %d held-out cells right (%.2f %%)", correct, j->tests, 100.0 * correct / j->tests)
         : say("%.2f %% of its own cells right", 100 * accuracy));
}

static int finish(job *j)
{
  char sha[65];
  if (j->shaken) j->engine->kind->set_cells(j->engine, j->ds->pixels, j->ds->label, j->ds->n, j->mean);
  if (!j->diverged) finish_statistics(j), check_weights(j);
  /* keep the weights, if they are good */
  if (!j->diverged) save_weights(j, sha);
  else if (!file_exists(say("%s/checkpoint.safetensors", j->out)))
    warn(j->out, "no good checkpoint before the loss broke", NULL);
  /* ask the net about the cells that it never saw */
  const double start = seconds();
  float *prob = classify_held_out(j);
  j->inferring = seconds() - start;
  /* write what was learned, on which cells, and how */
  int correct = run_write_predictions(&j->folder, j->ds, j->test, j->tests, prob);
  char *folds = join("%s/folds.csv", j->out), *checkpoint = join("%s/checkpoint.safetensors", j->out);
  folds_write(folds, j->ds, j->fold_of);
  run_write_log(&j->folder, j->at, j->per_epoch, j->loss, j->accuracy);
  write_record(j, correct, j->diverged ? NULL : sha);
  /* let the checkpoint go */
  if (!j->diverged) unlink(checkpoint);
  free(prob), free(folds), free(checkpoint);
  if (j->diverged) return tell_divergence(j);
  if (!j->quiet) tell_end(j, correct);
  return 0;
}

/* give the job's memory back */
static void free_job(job *j)
{
  if (j->engine) j->engine->kind->close(j->engine);
  if (j->plan) plan_free(j->plan);
  net_free(j->net), dataset_free(j->ds);
  free(j->stand_in), free(j->recipe), free(j->init), free(j->title), free(j->fold_of), free(j->train), free(j->test), free(j->mean),
      free(j->class_weight), free(j->factor), free(j->colours), free(j->shaken);
  free(j->state.param), free(j->state.velocity), free(j->state.stat), free(j->order), free(j->turn), free(j->loss),
      free(j->accuracy);
}

/* print the recipe's keys */
static void read_flags(job *j, int argc, char **argv)
{
  const option table[] = {
    { "data", OPTION_TEXT, &j->data, "FOLDER", "data set, as import or synth wrote it" },
    { "net", OPTION_TEXT, &j->net_path, "FILE", "net file" },
    { "set", OPTION_TEXT, &j->set, "NAME=V,...", "replace params of the net file" },
    { "recipe", OPTION_TEXT, &j->recipe_path, "FILE", "recipe file; its keys stand below" },
    { "with", OPTION_TEXT, &j->with, "KEY=V,...", "replace keys of the recipe" },
    { "folds", OPTION_TEXT, &j->folds_text, "K", "parts of the cross-validation, or split: the set's own, train and test (10)" },
    { "fold", OPTION_TEXT, &j->fold_text, "I", "the part held out, 0 to K-1, or all: train on every cell (all; of a split 0, its test)" },
    { "cells", OPTION_INT, &j->subset, "N", "use a stratified subset of N cells; each class has at least one a fold (0: all)" },
    { "learn", OPTION_INT, &j->learn, "N", "learn from N of the training cells only; each class has at least one (0: all)" },
    { "ungrouped", OPTION_FLAG, &j->ungrouped, NULL, "deal cells into folds without regard to their groups" },
    { "seed", OPTION_SEED, &j->seed, "S", "seed of folds, first weights, order, dropout, turns (1)" },
    { "init", OPTION_TEXT, &j->init_path, "WEIGHTS",
      "fine-tune: begin with these weights, or tensors of this net's names; the last layer drawn anew" },
    { "pretrained", OPTION_TEXT, &j->pretrained_path, "WEIGHTS",
        "the same with weights that PyTorch wrote, for a net that names its tensors" },
    { "init-all", OPTION_FLAG, &j->init_all, NULL, "with --init or --pretrained: keep the last layer too" },
    { "device", OPTION_TEXT, &j->device, "NAME", "engine: auto, cpu, ref, cuda[:N], cuda-tf32, cuda-bf16 (auto)" },
    { "threads", OPTION_INT, &j->threads, "T", "threads (0: one a core); no result depends on it" },
    { "vectors", OPTION_TEXT, &j->vectors, "NAME", "AVX-512, AVX2, Neon: the same bits; '128-bit vectors': nearly (the widest)" },
    { "out", OPTION_TEXT, &j->out, "FOLDER", "run folder" },
    { "checkpoint", OPTION_REAL, &j->every, "SECONDS", "longest time between checkpoints (30); 0: after every step" },
    { "keep-going", OPTION_FLAG, &j->keep_going, NULL, "exit 0 when the loss breaks; the record says so" },
    { "quiet", OPTION_FLAG, &j->quiet, NULL, "print nothing but warnings and errors" },
    { "pool", OPTION_TEXT, &j->pool, "FOLDER",
        "one job of many: take the results of an equal run listed there, or wait for it; other runs go to OUT.old" },
    { "identity", OPTION_FLAG, &j->identity_only, NULL, "print the hash of what would be run, and run nothing" },
    {0}
  };
  char *examples = join("  wbcsnet train --data D1 --net experiments/nets/wbcsnet2.net --recipe experiments/recipes/faithful.conf \\\n"
                        "      --folds 10 --fold 0 --out build/runs/try\n\nrecipe keys, with defaults\n%s", recipe_help());
  options_read(argc, argv, table, "train --data FOLDER --net FILE --recipe FILE --out FOLDER [flags]",
               "Train one net on all folds but one. Killed or stopped, the same command goes on where it was.", examples, NULL, NULL, 0);
  free(examples);
}

/* check the command */
static void check_flags(job *j)
{
  const struct { const char *flag, *value; } need[] = {
    { "--data", j->data }, { "--net", j->net_path }, { "--recipe", j->recipe_path }, { "--out", j->out } };
  for (int i = 0; i < (j->identity_only ? 3 : 4); i++)
    if (!need[i].value)
      die(EXIT_USAGE, need[i].flag, "no value", "one: train cannot do without it", "wbcsnet train --help");
  char *end;
  j->folds = folds_number(j->folds_text);
  if (!j->fold_text) j->fold_text = j->folds == FOLDS_SPLIT ? "0" : "all";
  long fold = strtol(j->fold_text, &end, 10);
  j->fold = strcmp(j->fold_text, "all") ? (int)fold : -1;
  if (j->fold >= 0 ? *end || end == j->fold_text || fold >= j->folds : strcmp(j->fold_text, "all"))
    die(EXIT_USAGE, "--fold", say("'%s'", j->fold_text), say("0 to %d, or all", j->folds - 1), NULL);
  if (j->subset < 0) die(EXIT_USAGE, "--cells", say("%d", j->subset), "0 or more", NULL);
  if (j->learn < 0) die(EXIT_USAGE, "--learn", say("%d", j->learn), "0 or more", NULL);
  if (j->threads < 0 || j->threads > 4096)
    die(EXIT_USAGE, "--threads", say("%d", j->threads), "0 to 4096", NULL);
  if (j->init_path && j->pretrained_path)
    die(EXIT_USAGE, "--pretrained", "--init beside it", "one of the two", NULL);
  if (j->init_all && !j->init_path && !j->pretrained_path)
    die(EXIT_USAGE, "--init-all", "no --init", "weights to begin with", NULL);
  if (!(j->every >= 0)) die(EXIT_USAGE, "--checkpoint", say("%g", j->every), "seconds, 0 or more", NULL);
}

enum { TRAINING = 1 };
static run_config config_of(job *j)
{
  if (!j->recipe) {
    builder b = {0};
    recipe_json(&b, &j->r);
    j->recipe = built(&b, NULL);
  }
  return (run_config){ .ds = j->ds, .net = j->net->name, .title = j->net->title, .set = j->set ? j->set : "",
                       .net_sha256 = j->net->sha256, .recipe = j->recipe, .folds = j->folds, .fold = j->fold,
                       .subset = j->subset, .learn = j->learn, .ungrouped = j->ungrouped, .seed = j->seed, .init = j->init,
                       .device = j->kind->name, .engine = j->kind->arithmetic, .method = TRAINING,
                       .candidates = candidates_of(j->kind) };
}

/* run the job, if nobody has */
static void print_identity(job *j)
{
  const run_config c = config_of(j);
  char hex[65];
  run_config_identity(&c, hex);
  puts(hex);
}

static int run_job(job *j)
{
  const run_config c = config_of(j);
  catch_stop_signals();
  run_open(&j->folder, j->out, &c, j->pool);
  const run_state state = run_look(&j->folder, j->quiet);
  int code = state == RUN_DIVERGED && !j->keep_going ? EXIT_FAIL : 0;
  if (state == RUN_OPEN) {
    prepare(j), run_claim(&j->folder), begin(j);
    if (!j->cannot_begin) learn(j);
    code = finish(j);
  }
  run_close(&j->folder);
  return code;
}

/* wbcsnet train: one job with its own run folder. */
int cmd_train(int argc, char **argv)
{
  job j = { .folds_text = "10", .seed = 1, .device = "auto", .every = 30 };
  read_flags(&j, argc, argv);
  check_flags(&j);
  read_inputs(&j);
  int code = 0;
  if (j.identity_only) print_identity(&j);
  else code = run_job(&j);
  free_job(&j);
  return code;
}

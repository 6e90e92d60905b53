#include "base/options.h"
#include "results/scores.h"
#include "results/values.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct { const char *name; int runs; run **run; } arm;     /* runs sorted by seed, then fold */

typedef struct {
  const char *experiment, *out;
  int runs, arms, classes;
  run *run;
  char **arm_of;                                     /* (runs) from the paths */
  arm *arm;
  const char *class_name[CLASSES_MOST];
  values table;
} summary;

/* read a run folder */
static char *path_part(const char *path, int from_end)
{
  const char *end = path + strlen(path), *start = end;
  for (int i = 0; i <= from_end; i++) {
    end = start > path && start[-1] == '/' ? start - 1 : start;
    for (start = end; start > path && start[-1] != '/'; start--) {}
  }
  return join("%.*s", (int)(end - start), start);
}

static void same_classes(summary *s, const run *r)
{
  if (!s->classes && r->classes > CLASSES_MOST)
    die(EXIT_DATA, r->path, say("%d classes", r->classes), say("at most %d", CLASSES_MOST), NULL);
  for (int k = 0; !s->classes && k < r->classes; k++) s->class_name[k] = r->class_name[k];
  if (!s->classes) s->classes = r->classes;
  bool same = !r->answers || s->classes == r->classes;
  for (int k = 0; same && k < r->classes; k++) same = !strcmp(s->class_name[k], r->class_name[k]);
  if (!same) die(EXIT_DATA, r->path, "other classes than in the first run", "the same ones in the same order", "give the runs of one data set");
}

static void read_run(summary *s, int i, const char *path)
{
  run *r = &s->run[i];
  run_read(r, path);
  s->arm_of[i] = path_part(r->path, 2);
  char *seed = path_part(r->path, 1), *part = path_part(r->path, 0);
  if (!*s->arm_of[i] || strncmp(seed, "seed", 4) || strncmp(part, "fold", 4))
    die(EXIT_USAGE, path, "no arm, seed and fold in the path", ".../ARM/seedS/foldI", NULL);
  free(seed), free(part);
  same_classes(s, r);
}

/* gather the runs into arms */
static int by_seed_and_fold(const void *a, const void *b)
{
  const run *x = *(run *const *)a, *y = *(run *const *)b;
  return x->seed != y->seed ? (x->seed > y->seed) - (x->seed < y->seed) : x->fold - y->fold;
}

/* One run under two paths, or a copy of it, would count twice. Runs stand sorted. */
static void refuse_twins(const arm *a)
{
  for (int i = 1; i < a->runs; i++) {
    const run *r = a->run[i], *before = a->run[i - 1];
    if (r->seed != before->seed || r->fold != before->fold) continue;
    const char *seed = say("seed %llu", (unsigned long long)r->seed), *what = r->fold < 0 ? seed : say("fold %d of %s", r->fold, seed);
    die(EXIT_DATA, r->path, say("%s again", what), say("each run once; %s is it too", before->path),
        "leave one of the two out: it may be a copy, or one folder by two paths");
  }
}

static void gather_arms(summary *s)
{
  s->arm = NEW(arm, s->runs);
  for (int i = 0; i < s->runs; i++) {
    run *r = &s->run[i];
    int a = 0;
    while (a < s->arms && strcmp(s->arm[a].name, s->arm_of[i])) a++;
    if (a == s->arms) s->arm[s->arms++] = (arm){ .name = s->arm_of[i], .run = NEW(run *, s->runs) };
    s->arm[a].run[s->arm[a].runs++] = r;
    if (!run_same_arm(s->arm[a].run[0], r))
      die(EXIT_DATA, r->path, "another configuration than this arm's first run",
          "one net, recipe and data set an arm",
          "remove the runs of the older configuration");
  }
  for (int a = 0; a < s->arms; a++) {
    qsort(s->arm[a].run, (size_t)s->arm[a].runs, sizeof(run *), by_seed_and_fold);
    refuse_twins(&s->arm[a]);
  }
}

static void tell_missing(const arm *a)
{
  const bool seeds = a->run[0]->seed != a->run[a->runs - 1]->seed;
  for (int i = 0, j; i < a->runs; i = j) {
    const run *r = a->run[i];
    for (j = i; j < a->runs && a->run[j]->seed == r->seed;) j++;
    if (r->fold >= 0 && j - i < r->folds)
      printf("%s%s: %d of %d folds\n", a->name, seeds ? say(", seed %llu", (unsigned long long)r->seed) : "", j - i, r->folds);
  }
}

static const char *name_of(const summary *s, int k) { return short_name(s->class_name, s->classes, k); }

/* pool what the nets said */
static int by_file(const void *a, const void *b)
{
  return strcmp(((const answer *)a)->file, ((const answer *)b)->file);
}

/* All answers of an arm's runs with that seed, sorted by file; the caller frees them. */
static answer *pool(const arm *a, uint64_t seed, int *n)
{
  answer *all = NULL;
  *n = 0;
  for (int i = 0; i < a->runs; i++) {
    const run *r = a->run[i];
    if (r->seed != seed || !r->answers) continue;
    all = grow(all, sizeof *all * (size_t)(*n + r->answers));
    memcpy(all + *n, r->answer, sizeof *all * (size_t)r->answers), *n += r->answers;
  }
  if (*n) qsort(all, (size_t)*n, sizeof *all, by_file);
  for (int i = 1; i < *n; i++)
    if (!strcmp(all[i-1].file, all[i].file))
      die(EXIT_DATA, a->run[0]->path, say("the cell %s held out twice", all[i].file), "each cell in one fold",
          "the folds come from two splits");
  return all;
}

/* describe the arms */
static double run_number(const run *r, const char *name) { return json_number(r->record, name, NAN); }

static double mean_of(const arm *a, const char *name, double *sum)
{
  double total = 0;
  for (int i = 0; i < a->runs; i++) total += run_number(a->run[i], name);
  if (sum) *sum = total;
  return total / a->runs;
}

static double log_cell(const run *r, int row, const char *column)
{
  return r->log->rows > row ? atof(csv_cell(r->log, row, csv_need(r->log, column))) : NAN;
}

static void put_start(summary *s, const arm *a, const char *column, double scale, const char *key)
{
  double *x = NEW(double, a->runs), mean, sd;
  for (int i = 0; i < a->runs; i++) x[i] = scale * log_cell(a->run[i], 0, column);
  mean_sd(x, a->runs, &mean, &sd);
  value *v = put_number(&s->table, mean, 2, "%s/%s/%s", s->experiment, a->name, key);
  if (a->runs > 1) {
    double half = student_quantile(LEVEL, a->runs - 1) * sd * sqrt(1 + 1.0 / a->runs);
    put_bounds(v, fmax(mean - half, 0), scale > 1 ? fmin(mean + half, scale) : mean + half);
  }
  put_number(&s->table, sd, 2, "%s/%s/%s/sd", s->experiment, a->name, key);
  free(x);
}

/* put an arm's description */
/* Where the first weights came from: drawn (init is null), another run's, or a file of PyTorch's that a user gave. */
static const char *begun(const char *init)
{
  return !init ? "nothing" : strncmp(init, "torch ", 6) ? "own" : "given";
}

/* What not every kind of run has: a dash where it is missing. */
static void put_known(values *t, double x, int digits, const char *experiment, const char *name, const char *key)
{
  if (isnan(x)) put_text(t, "---", "%s/%s/%s", experiment, name, key);
  else put_number(t, x, digits, "%s/%s/%s", experiment, name, key);
}

/* How learning began and ended; dashes where nothing was to be learned, as by nets that are evaluated elsewhere. */
static void put_learning(summary *s, const arm *a, int diverged)
{
  static const char *const part[] = { "end/loss", "end/accuracy", "start/loss", "start/accuracy" };
  const char *e = s->experiment;
  if (!diverged && run_number(a->run[0], "iterations") == 0) {
    for (int i = 0; i < 4; i++) put_text(&s->table, "---", "%s/%s/%s", e, a->name, part[i]);
    return;
  }
  put_number(&s->table, mean_of(a, "final_loss", NULL), 4, "%s/%s/%s", e, a->name, part[0]);
  put_number(&s->table, 100 * mean_of(a, "final_accuracy", NULL), 2, "%s/%s/%s", e, a->name, part[1]);
  put_start(s, a, "loss", 1, part[2]), put_start(s, a, "accuracy", 100, part[3]);
}

/* say how many folds are there */
/* "10 folds", or "3 of 10 folds so far": those of the first seed. */
static const char *extent(const arm *a)
{
  const run *first = a->run[0];
  int n = 0;
  while (n < a->runs && a->run[n]->seed == first->seed) n++;
  return n < first->folds ? say("%d of %d folds so far", n, first->folds) : say("%d folds", n);
}

static void describe_arm(summary *s, const arm *a)
{
  const run *first = a->run[0];
  const json *config = first->config, *n = json_get(config, "net"),
    *recipe = json_get(config, "recipe");
  const char *e = s->experiment;
  values *t = &s->table;
  double total;
  int diverged = 0, seeds = 1;
  for (int i = 0; i < a->runs; i++)
    diverged += a->run[i]->diverged, seeds += i && a->run[i]->seed != a->run[i-1]->seed;
  put_text(t, json_text(n, "title", "?"), "%s/%s/title", e, a->name);
  const char *set = json_text(n, "set", "");
  put_text(t, *set ? set : "none", "%s/%s/set", e, a->name);
  put_text(t, json_text(recipe, "name", "?"), "%s/%s/recipe", e, a->name);
  const char *with = json_text(recipe, "with", "");
  put_text(t, *with ? with : "none", "%s/%s/with", e, a->name);
  put_text(t, begun(json_text(config, "init", NULL)), "%s/%s/begun", e, a->name);
  put_number(t, seeds, 0, "%s/%s/seeds", e, a->name);
  put_number(t, first->folds, 0, "%s/%s/folds", e, a->name);
  put_number(t, a->runs, 0, "%s/%s/runs", e, a->name);
  if (first->fold >= 0) put_text(t, extent(a), "%s/%s/extent", e, a->name);
  put_number(t, diverged, 0, "%s/%s/diverged", e, a->name);
  put_number(t, run_number(first, "params"), 0, "%s/%s/params", e, a->name);
  put_known(t, run_number(first, "flop_per_image") / 1e6, 1, e, a->name, "mflop");
  put_known(t, mean_of(a, "infer_images_per_second", NULL), 0, e, a->name, "infer");
  put_known(t, run_number(first, "memory_bytes") / 1e6, 0, e, a->name, "memory");
  put_known(t, mean_of(a, "train_flop", NULL) / 1e12, 2, e, a->name, "tflop");
  put_number(t, run_number(first, "train_cells"), 0, "%s/%s/train", e, a->name);
  put_number(t, run_number(first, "iterations"), 0, "%s/%s/iterations", e, a->name);
  put_number(t, run_number(first, "epochs"), 0, "%s/%s/epochs", e, a->name);
  put_number(t, mean_of(a, "seconds", &total), 1, "%s/%s/seconds", e, a->name);
  put_number(t, total / 60, 1, "%s/%s/minutes", e, a->name);
  put_known(t, mean_of(a, "images_per_second", NULL), 0, e, a->name, "rate");
  put_learning(s, a, diverged);
}

/* score an arm */
static void put_scores(summary *s, const char *key, const confusion *m, const pooled *p, uint64_t seed)
{
  double score[SCORE_COUNT];
  interval bounds[SCORE_COUNT];
  macro_scores(m, score), macro_intervals(p, m, seed, bounds);
  bounds[SCORE_ACCURACY] = share_right(p, -1, -1);
  for (int i = 0; i < SCORE_COUNT; i++)
    put_bounds(put_number(&s->table, 100 * score[i], 2, "%s/%s", key, score_name[i]),
               100 * bounds[i].low, 100 * bounds[i].high);
  put_number(&s->table, (double)confusion_total(m), 0, "%s/cells", key);
  put_number(&s->table, p->groups, 0, "%s/groups", key);
  put_number(&s->table, (double)confusion_right(m), 0, "%s/right", key);
  put_number(&s->table, (double)(confusion_total(m) - confusion_right(m)), 0, "%s/errors", key);
}

/* put the classes' scores */
static void put_classes(summary *s, const char *key, const confusion *m, const pooled *p)
{
  for (int k = 0; k < m->classes; k++) {
    double score[SCORE_COUNT];
    long row = 0;
    class_scores(m, k, score);
    for (int j = 0; j < m->classes; j++) {
      row += m->cell[k][j];
      put_number(&s->table, (double)m->cell[k][j], 0, "%s/%s/%s", key, name_of(s, k), name_of(s, j));
    }
    interval w = share_right(p, k, -1);
    value *v = put_number(&s->table, 100 * score[SCORE_RECALL], 1, "%s/recall/%s", key, name_of(s, k));
    put_bounds(v, 100 * w.low, 100 * w.high);
    for (int i = SCORE_SPECIFICITY; i < SCORE_COUNT; i++)
      put_number(&s->table, 100 * score[i], 1, "%s/%s/%s", key, score_name[i], name_of(s, k));
    put_number(&s->table, (double)row, 0, "%s/cells/%s", key, name_of(s, k));
  }
}

/* put the share of errors between like classes */
static bool alike(const char *a, const char *b)
{
  const char *pair[2][2] = { { "neutrophil", "eosinophil" }, { "lymphocyte", "monocyte" } };
  for (int i = 0; i < 2; i++)
    for (int turn = 0; turn < 2; turn++)
      if (!strcmp(a, pair[i][turn]) && !strcmp(b, pair[i][!turn])) return true;
  return false;
}

static void put_alike(values *t, const char *const *class_name, const char *key, const confusion *m)
{
  long between = 0, errors = confusion_total(m) - confusion_right(m);
  for (int i = 0; i < m->classes; i++)
    for (int j = 0; j < m->classes; j++) if (alike(class_name[i], class_name[j])) between += m->cell[i][j];
  interval w = wilson(between, errors);
  value *v = put_number(t, errors ? 100.0 * (double)between / (double)errors : NAN, 1, "%s/alike", key);
  put_bounds(v, 100 * w.low, 100 * w.high);
}

/* put the spread over seeds */
static void put_spread(summary *s, const arm *a, const char *key)
{
  double *x = NEW(double, a->runs * SCORE_COUNT), mean, sd, score[SCORE_COUNT];
  int seeds = 0, n;
  for (int i = 0; i < a->runs; i++) {
    if (i && a->run[i]->seed == a->run[i-1]->seed) continue;
    answer *all = pool(a, a->run[i]->seed, &n);
    confusion m = count_answers(s->classes, all, n);
    macro_scores(&m, score), free(all);
    for (int k = 0; k < SCORE_COUNT; k++) x[k * a->runs + seeds] = 100 * score[k];
    seeds++;
  }
  for (int k = 0; k < SCORE_COUNT; k++) {
    mean_sd(x + k * a->runs, seeds, &mean, &sd);
    put_number(&s->table, mean, 2, "%s/%s/mean", key, score_name[k]);
    if (seeds > 1) put_number(&s->table, sd, 2, "%s/%s/sd", key, score_name[k]);
  }
  free(x);
}

/* put an arm's scores */
static void score_arm(summary *s, const arm *a)
{
  int n;
  uint64_t seed = a->run[0]->seed;
  answer *all = pool(a, seed, &n);
  if (n) {
    confusion m = count_answers(s->classes, all, n);
    char *key = join("%s/%s", s->experiment, a->name);
    pooled p = { .a = all, .n = n };
    p.group = group_numbers(all, n, &p.groups);
    put_scores(s, key, &m, &p, seed), put_classes(s, key, &m, &p);
    put_alike(&s->table, s->class_name, key, &m), put_spread(s, a, key);
    free(key), free(p.group);
  }
  free(all);
}

/* compare two arms */
/* What two arms said of the same cells (n); group NULL where each cell stands alone. */
typedef struct { int n, *truth, *a, *b, groups, *group; } pairs;

static pairs pair_answers(const answer *a, int na, const answer *b, int nb)
{
  pairs p = { .truth = NEW(int, na), .a = NEW(int, na), .b = NEW(int, na) };
  answer *both = NEW(answer, na);
  for (int i = 0, j = 0; i < na && j < nb; ) {
    int order = strcmp(a[i].file, b[j].file);
    if (order) { order < 0 ? i++ : j++; continue; }
    both[p.n] = a[i];
    p.truth[p.n] = a[i].truth, p.a[p.n] = a[i].said, p.b[p.n++] = b[j].said;
    i++, j++;
  }
  p.group = group_numbers(both, p.n, &p.groups);
  free(both);
  return p;
}

/* Of so many cells, those that both arms recognised, only the first, only the second; the exact two-sided p of that. */
typedef struct { long cells, both, only_a, only_b; double p; } comparison;

/* Compare the cells of class k (-1: all), by McNemar's test, or by groups where they are known. */
static comparison compare_cells(const pairs *p, int k)
{
  comparison c = {0};
  int *difference = NEW(int, p->n);
  for (int i = 0; i < p->n; i++) {
    if (k >= 0 && p->truth[i] != k) continue;
    const bool a = p->a[i] == p->truth[i], b = p->b[i] == p->truth[i];
    const int d = a - b;
    c.cells++, c.both += a && b, c.only_a += d > 0, c.only_b += d < 0, difference[p->group ? p->group[i] : i] += d;
  }
  c.p = p->group ? sign_flip(difference, p->groups) : mcnemar(c.only_a, c.only_b);
  free(difference);
  return c;
}

/* put the difference of macro scores */
static void put_differences(summary *s, const char *key, const pairs *p, uint64_t seed)
{
  confusion ma = { .classes = s->classes }, mb = ma;
  double sa[SCORE_COUNT], sb[SCORE_COUNT], chance[SCORE_COUNT];
  interval bounds[SCORE_COUNT];
  for (int i = 0; i < p->n; i++) ma.cell[p->truth[i]][p->a[i]]++, mb.cell[p->truth[i]][p->b[i]]++;
  macro_scores(&ma, sa), macro_scores(&mb, sb);
  if (p->group)
    group_bootstrap(s->classes, p->n, p->truth, p->a, p->b, p->group, p->groups, seed, bounds, chance);
  else paired_bootstrap(s->classes, p->n, p->truth, p->a, p->b, seed, bounds, chance);
  const comparison all = compare_cells(p, -1);
  chance[SCORE_ACCURACY] = all.p;
  if (!p->group) bounds[SCORE_ACCURACY] = paired_difference(all.both, all.only_a, all.only_b, all.cells - all.both - all.only_a - all.only_b);
  for (int i = 0; i < SCORE_COUNT; i++) {
    value *v = put_number(&s->table, 100 * (sa[i] - sb[i]), 2, "%s/%s", key, score_name[i]);
    put_bounds(v, 100 * bounds[i].low, 100 * bounds[i].high), put_p(v, chance[i]);
  }
  put_number(&s->table, p->n, 0, "%s/cells", key), put_number(&s->table, p->groups, 0, "%s/groups", key);
  put_number(&s->table, (double)all.only_a, 0, "%s/first", key);
  put_number(&s->table, (double)all.only_b, 0, "%s/second", key);
}

/* put the difference in each class */
static void put_class_differences(summary *s, const char *key, const pairs *p)
{
  for (int k = 0; k < s->classes; k++) {
    const comparison c = compare_cells(p, k);
    if (!c.cells) continue;
    value *v = put_number(&s->table, 100.0 * (double)(c.only_a - c.only_b) / (double)c.cells, 1, "%s/recall/%s",
                          key, name_of(s, k));
    put_p(v, c.p);
  }
}

/* put the difference over folds */
static double held_out_accuracy(const run *r)
{
  int right = 0;
  for (int i = 0; i < r->answers; i++) right += r->answer[i].said == r->answer[i].truth;
  return 100.0 * right / r->answers;
}

static void put_fold_difference(summary *s, const char *key, const arm *a, const arm *b)
{
  double *d = NEW(double, a->runs), ratio = 0;
  int m = 0;
  for (int i = 0; i < a->runs; i++) {
    const run *x = a->run[i], *y = NULL;
    for (int j = 0; j < b->runs; j++)
      if (b->run[j]->seed == x->seed && b->run[j]->fold == x->fold) y = b->run[j];
    if (!y || !x->answers || !y->answers) continue;
    if (run_number(x, "train_cells") != 0) ratio += run_number(x, "test_cells") / run_number(x, "train_cells");
    d[m++] = held_out_accuracy(x) - held_out_accuracy(y);
  }
  paired_t t = corrected_t(d, m, m ? ratio / m : 0);
  bool defined = !isnan(t.t);
  const char *dash[] = { "t", "folds/bounds", "folds/p" };
  if (defined) put_number(&s->table, t.t, 2, "%s/t", key);
  else for (int i = 0; i < 3; i++) put_text(&s->table, "---", "%s/%s", key, dash[i]);
  put_number(&s->table, t.df, 0, "%s/df", key);
  value *v = put_number(&s->table, t.mean, 2, "%s/folds", key);
  if (defined) put_bounds(v, t.bounds.low, t.bounds.high), put_p(v, t.p);
  free(d);
}

/* put a pair's differences */
static void compare_arms(summary *s, const arm *a, const arm *b)
{
  int na, nb;
  uint64_t seed = a->run[0]->seed;
  answer *x = pool(a, seed, &na), *y = pool(b, seed, &nb);
  pairs p = pair_answers(x, na, y, nb);
  if (p.n) {
    char *key = join("%s/%s-vs-%s", s->experiment, a->name, b->name);
    put_differences(s, key, &p, seed), put_class_differences(s, key, &p), put_fold_difference(s, key, a, b);
    free(key);
  }
  free(x), free(y), free(p.truth), free(p.a), free(p.b), free(p.group);
}

/* write curves */
static FILE *open_dat(const summary *s, const char *name, atomic_file **a)
{
  char *path = join("%s/%s.dat", s->out, name);
  *a = file_create(path);
  fprintf((*a)->f, "# %s of experiment %s, from the runs", name, s->experiment);
  for (int i = 0; i < s->runs; i++) fprintf((*a)->f, "%s%s", i ? " " : "\n#   ", s->run[i].path);
  fputc('\n', (*a)->f), free(path);
  return (*a)->f;
}

static void write_curve(const summary *s, const arm *a)
{
  const run *r = a->run[0];
  int rows = r->log->rows, epochs = (int)run_number(r, "epochs"), half = epochs > 0 ? rows / epochs / 2 : 0;
  double *sum[2] = { NEW(double, rows + 1), NEW(double, rows + 1) };
  for (int i = 0; i < rows; i++) {
    sum[0][i+1] = sum[0][i] + log_cell(r, i, "loss");
    sum[1][i+1] = sum[1][i] + 100 * log_cell(r, i, "accuracy");
  }
  atomic_file *out;
  FILE *f = open_dat(s, say("curve-%s", a->name), &out);
  fprintf(f, "# iteration loss accuracy mean-loss mean-accuracy\n");
  for (int i = 0; i < rows; i++) {
    int reach = i < half ? i : half;
    if (rows - 1 - i < reach) reach = rows - 1 - i;
    fprintf(f, "%d %.6g %.6g", i + 1, log_cell(r, i, "loss"), 100 * log_cell(r, i, "accuracy"));
    for (int k = 0; k < 2; k++)
      fprintf(f, " %.6g", (sum[k][i + reach + 1] - sum[k][i - reach]) / (2 * reach + 1));
    fputc('\n', f);
  }
  file_commit(out), free(sum[0]), free(sum[1]);
}

/* write the start of an arm's curves */
static void write_start(const summary *s, const arm *a)
{
  atomic_file *out;
  FILE *f = open_dat(s, say("start-%s", a->name), &out);
  fprintf(f, "# iteration loss least largest accuracy least largest\n");
  for (int i = 0; i < 10 && i < a->run[0]->log->rows; i++) {
    fprintf(f, "%d", i + 1);
    for (int k = 0; k < 2; k++) {
      double sum = 0, low = INFINITY, high = -INFINITY;
      for (int r = 0; r < a->runs; r++) {
        double x = log_cell(a->run[r], i, k ? "accuracy" : "loss") * (k ? 100 : 1);
        sum += x, low = fmin(low, x), high = fmax(high, x);
      }
      fprintf(f, " %.6g %.6g %.6g", sum / a->runs, low, high);
    }
    fputc('\n', f);
  }
  file_commit(out);
}

/* write the results */
static void write_scores(const summary *s)
{
  atomic_file *out;
  FILE *f = open_dat(s, "scores", &out);
  fprintf(f, "# arm: then value, low, high of ");
  for (int i = 0; i < SCORE_COUNT; i++) fprintf(f, "%s%s", score_name[i], i + 1 < SCORE_COUNT ? ", " : "\n");
  for (int a = 0; a < s->arms; a++) {
    if (!find_value(&s->table, say("%s/%s/accuracy", s->experiment, s->arm[a].name))) continue;
    fprintf(f, "%s", s->arm[a].name);
    for (int i = 0; i < SCORE_COUNT; i++) {
      const value *v = find_value(&s->table, say("%s/%s/%s", s->experiment, s->arm[a].name, score_name[i]));
      fprintf(f, "  %.4f %.4f %.4f", v->value, v->low, v->high);
    }
    fputc('\n', f);
  }
  file_commit(out);
}

/* put where the runs come from */
/* "NVIDIA H200, driver 570.86.15, CUDA 12.8; ... beside PROCESSOR": every GPU that the runs name, and the first one's processor; free() it.
   Runs without a GPU, and older ones, name none. */
static char *machine_of(const summary *s)
{
  char *gpus = copy_text("");
  for (int i = 0; i < s->runs; i++) {
    const char *gpu = json_text(s->run[i].record, "gpu", "");
    if (!*gpu || strstr(gpus, gpu)) continue;
    char *more = join("%s%s%s", gpus, *gpus ? "; " : "", gpu);
    free(gpus), gpus = more;
  }
  char *machine = join("%s%s%s", gpus, *gpus ? " beside " : "", json_text(s->run[0].record, "machine", "?"));
  free(gpus);
  return machine;
}

static void put_origin(summary *s)
{
  const json *j = s->run[0].record, *data = json_get(json_get(j, "config"), "data");
  const char *e = s->experiment;
  values *t = &s->table;
  double seconds = 0;
  int diverged = 0, runs = 0;
  for (int i = 0; i < s->runs; i++) {
    if (json_number(s->run[i].record, "shared", 0) != 0) continue;    /* another experiment's run, counted there */
    seconds += run_number(&s->run[i], "seconds"), diverged += s->run[i].diverged, runs++;
  }
  put_text(t, json_text(data, "name", "?"), "%s/data", e);
  put_text(t, json_text(data, "kind", "?"), "%s/kind", e);
  put_text(t, say("%.12s", json_text(data, "sha256", "?")), "%s/sha256", e);
  put_number(t, json_number(data, "cells", NAN), 0, "%s/cells", e);
  char *machine = machine_of(s);
  put_text(t, machine, "%s/machine", e), free(machine);
  put_text(t, json_text(j, "version", "?"), "%s/version", e);
  put_number(t, json_number(j, "threads", 1), 0, "%s/threads", e);
  put_number(t, runs, 0, "%s/runs", e), put_number(t, seconds / 60, 1, "%s/minutes", e);
  put_number(t, diverged, 0, "%s/diverged", e);
}

/* write results.json and results.tex */
static void write_results(const summary *s)
{
  char *path = join("%s/results.tex", s->out);
  atomic_file *a = file_create(path);
  fprintf(a->f, "%% wbcsnet summarise --experiment %s: from %d runs, named in results.json\n",
          s->experiment, s->runs);
  write_values_tex(a->f, &s->table);
  file_commit(a), free(path);
  path = join("%s/results.json", s->out), a = file_create(path);
  fputs("{\"experiment\": ", a->f), json_put_text(a->f, s->experiment), fputs(", \"runs\": [", a->f);
  for (int i = 0; i < s->runs; i++) {
    fputs(i ? ",\n  " : "\n  ", a->f), fputs("{\"run\": ", a->f), json_put_text(a->f, s->run[i].path);
    fputs(", \"weights_sha256\": ", a->f), json_put_text(a->f, json_text(s->run[i].record, "weights_sha256", ""));
    fputs("}", a->f);
  }
  fputs("],\n\"values\": ", a->f), write_values_json(a->f, &s->table), fputs("}\n", a->f);
  file_commit(a), free(path);
}

/* the summarise subcommand */
/* The lines of the file LIST, which may be NULL, behind the N that are there already. */
static int read_list(const char *list, const char **path, int n, int most)
{
  if (!list) return n;
  char *text = file_read(list, NULL, "the folders of runs, one a line");
  for (char *line; (line = strsep(&text, "\n")); ) {
    line[strcspn(line, "\r")] = 0;
    if (!*line) continue;
    if (n == most) die(EXIT_DATA, list, say("more than %d run folders", most), NULL, "summarise them in parts");
    path[n++] = line;
  }
  return n;
}

/* wbcsnet summarise: the runs of one experiment -> results.json, results.tex and .dat files for gnuplot. */
int cmd_summarise(int argc, char **argv)
{
  static const char *path[65536];
  const char *list = NULL;
  summary s = {0};
  const option flags[] = {
    { "experiment", OPTION_TEXT, &s.experiment, "NAME", "what the runs are of: the first part of every key" },
    { "out", OPTION_TEXT, &s.out, "FOLDER", "where results.json, results.tex and *.dat go" },
    { "list", OPTION_TEXT, &list, "FILE", "more run folders: the lines of this file" }, {0} };
  options_read(argc, argv, flags, "summarise --experiment NAME --out FOLDER RUN...",
               "Score, pool and compare run folders named .../ARM/seedS/foldI.",
               "  wbcsnet summarise --experiment cv --out results/cv runs/cv/*/seed1/fold*\n",
               path, &s.runs, 65536);
  s.runs = read_list(list, path, s.runs, 65536);
  if (!s.experiment || !s.out || !s.runs)
    die(EXIT_USAGE, "summarise", !s.runs ? "no run folders" : !s.out ? "no --out" : "no --experiment", NULL,
        "wbcsnet summarise --help");
  s.run = NEW(run, s.runs), s.arm_of = NEW(char *, s.runs);
  for (int i = 0; i < s.runs; i++) read_run(&s, i, path[i]);
  make_folders(s.out), unlink(say("%s/results.json", s.out));
  gather_arms(&s), put_origin(&s);
  for (int a = 0; a < s.arms; a++) {
    tell_missing(&s.arm[a]), describe_arm(&s, &s.arm[a]), score_arm(&s, &s.arm[a]);
    write_curve(&s, &s.arm[a]), write_start(&s, &s.arm[a]);
  }
  for (int a = 0; a < s.arms; a++)
    for (int b = a + 1; b < s.arms; b++) compare_arms(&s, &s.arm[a], &s.arm[b]);
  write_scores(&s), write_results(&s);
  return 0;
}

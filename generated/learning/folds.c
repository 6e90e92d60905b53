#include "learning/folds.h"
#include "base/options.h"
#include "base/rng.h"
#include <stdlib.h>
#include <string.h>

/* give every cell a key */
typedef struct { uint64_t key; int index, label, rank; } fold_cell;

static uint64_t cell_key(const char *file, uint64_t seed, uint32_t purpose)
{
  char hex[65];
  uint32_t w[4];
  sha256_of(file, strlen(file), hex);
  uint64_t name = strtoull((hex[16] = 0, hex), NULL, 16);
  rng_block(seed, purpose, (uint32_t)name, (uint32_t)(name >> 32), 0, w);
  return (uint64_t)w[0] << 32 | w[1];
}

/* Says, once for each flag, when another number of cells is taken than was asked for: each class has `least` of them, or all. */
static void tell_taken(const char *flag, int wanted, int taken, int least)
{
  static const char *told;
  if (wanted == taken || (told && !strcmp(told, flag))) return;
  told = flag;
  warn(flag, say("takes %d cells, not %d: %s", taken, wanted, taken < wanted ? "there are no more"
                 : say("each class has %d of them, or all that it has", least)), NULL);
}

static int by_key(const void *a, const void *b)
{
  const fold_cell *x = a, *y = b;
  if (x->label != y->label) return x->label - y->label;
  if (x->rank != y->rank) return x->rank - y->rank;
  return x->key < y->key ? -1 : x->key > y->key;
}

/* choose the subset */
static void share_out(const int *size, int classes, int n, int m, int k, int *quota)
{
  int total = 0;
  double *rest = NEW(double, classes);
  /* give each class its share, rounded down */
  for (int c = 0; c < classes; c++) {
    double share = (double)m * size[c] / n;
    total += quota[c] = (int)share, rest[c] = share - quota[c];
  }
  /* hand what is left to the largest remainders */
  for (; total < m; total++) {
    int best = 0;
    for (int c = 1; c < classes; c++) if (rest[c] > rest[best]) best = c;
    quota[best]++, rest[best] = -1;
  }
  /* raise the classes that would fall below their least */
  for (int c = 0; c < classes; c++) {
    int least = k < size[c] ? k : size[c];
    if (quota[c] < least) total += least - quota[c], quota[c] = least;
  }
  /* take back from the largest class what that cost */
  for (; total > m; total--) {
    int most = 0;
    for (int c = 1; c < classes; c++) if (quota[c] > quota[most]) most = c;
    if (quota[most] <= k) break;
    quota[most]--;
  }
  free(rest);
}

/* Sets used[i] for the cells of the subset. cell holds all cells, sorted by (class, key) on entry. */
static void choose_subset(const dataset *ds, fold_cell *cell, const int *size, int k, int m, bool *used)
{
  int *quota = NEW(int, ds->classes), *seen = NEW(int, (size_t)ds->classes * (size_t)(ds->groups + 1));
  share_out(size, ds->classes, ds->n, m, k, quota);
  int taken = 0;
  for (int c = 0; c < ds->classes; c++) taken += quota[c];
  tell_taken("--cells", m, taken, k);
  for (int i = 0; i < ds->n; i++) {
    int g = ds->group[cell[i].index];
    if (g >= 0) cell[i].rank = seen[(size_t)cell[i].label * (size_t)ds->groups + (size_t)g]++;
  }
  qsort(cell, (size_t)ds->n, sizeof *cell, by_key);
  for (int i = 0; i < ds->n; i++)
    if (quota[cell[i].label]-- > 0) used[cell[i].index] = true;
  free(quota), free(seen);
}

void folds_thin(const dataset *ds, int *row, int *n, int keep, uint64_t seed)
{
  if (keep >= *n) tell_taken("--learn", keep, *n, 1);
  if (keep <= 0 || keep >= *n) return;
  int *size = NEW(int, ds->classes), *quota = NEW(int, ds->classes), left = 0;
  bool *kept = NEW(bool, ds->n);
  fold_cell *cell = NEW(fold_cell, *n);
  for (int i = 0; i < *n; i++) {
    cell[i] = (fold_cell){ cell_key(ds->file[row[i]], seed, RNG_SUBSET), row[i], ds->label[row[i]], 0 };
    size[ds->label[row[i]]]++;
  }
  share_out(size, ds->classes, *n, keep, 1, quota);
  qsort(cell, (size_t)*n, sizeof *cell, by_key);
  for (int i = 0; i < *n; i++)
    if (quota[cell[i].label]-- > 0) kept[cell[i].index] = true;
  for (int i = 0; i < *n; i++) if (kept[row[i]]) row[left++] = row[i];
  *n = left;
  tell_taken("--learn", keep, left, 1);
  free(size), free(quota), free(kept), free(cell);
}

/* gather the units */
/* label: its commonest class; count (classes) */
typedef struct { uint64_t key; int id, label, size, *count; } fold_unit;

static int by_size(const void *a, const void *b)
{
  const fold_unit *x = a, *y = b;
  if (x->size != y->size) return y->size - x->size;
  if (x->label != y->label) return x->label - y->label;
  return x->key < y->key ? -1 : x->key > y->key;
}

/* Fills unit and, for each used cell, which unit it is in (-1 else); returns how many. A unit's key is
   the least of its cells'. */
static int gather_units(const dataset *ds, const bool *used, uint64_t seed, fold_unit *unit,
                        int *unit_of)
{
  int n = 0, *of_group = NEW(int, ds->groups + 1);
  for (int i = 0; i < ds->n; i++) {
    unit_of[i] = -1;
    if (!used[i]) continue;
    int g = ds->group[i], u = g >= 0 && of_group[g] ? of_group[g] - 1 : n++;
    if (g >= 0) of_group[g] = u + 1;
    /* count the cell in its unit */
    uint64_t key = cell_key(ds->file[i], seed, RNG_FOLDS);
    if (!unit[u].count) unit[u] = (fold_unit){ key, u, 0, 0, NEW(int, ds->classes) };
    if (key < unit[u].key) unit[u].key = key;
    unit[u].count[ds->label[i]]++, unit[u].size++, unit_of[i] = u;
  }
  /* call each unit by its commonest class */
  for (int u = 0; u < n; u++)
    for (int c = 1; c < ds->classes; c++)
      if (unit[u].count[c] > unit[u].count[unit[u].label]) unit[u].label = c;

  free(of_group);
  return n;
}
/* deal the units */
static int cheapest_fold(const fold_unit *u, const int *held, const int *in_fold, const double *total,
                         int k, int classes)
{
  int best = 0;
  double least = -1;
  for (int f = 0; f < k; f++) {
    /* weigh the harm in this fold */
    double harm = 0;
    for (int c = 0; c < classes; c++)
      if (u->count[c])
        harm += u->count[c] * (2.0 * held[f * classes + c] + u->count[c]) / (total[c] * total[c]);
    if (least >= 0 && (harm > least || (harm == least && in_fold[f] >= in_fold[best]))) continue;
    best = f, least = harm;
  }
  return best;
}

/* fold_of (units, by id), for units sorted by by_size. */
static void deal_units(const fold_unit *unit, int n, int k, int classes, int *fold_of)
{
  int *held = NEW(int, (size_t)k * (size_t)classes), *in_fold = NEW(int, k);
  double *total = NEW(double, classes);
  for (int u = 0; u < n; u++)
    for (int c = 0; c < classes; c++) total[c] += unit[u].count[c];
  for (int u = 0; u < n; u++) {
    /* put the unit where it does least harm */
    int f = fold_of[unit[u].id] = cheapest_fold(&unit[u], held, in_fold, total, k, classes);
    for (int c = 0; c < classes; c++) held[f * classes + c] += unit[u].count[c];
    in_fold[f] += unit[u].size;

  }
  free(held), free(in_fold), free(total);
}
/* make the folds */
/* The way out for a set that lacks a class, which no number of folds mends. */
static const char *without_class(const dataset *ds)
{
  const char *rest = "";
  int *count = NEW(int, ds->classes);
  for (int i = 0; i < ds->n; i++) count[ds->label[i]]++;
  for (int c = 0; c < ds->classes; c++)
    if (count[c]) rest = say("%s%s%s", rest, *rest ? "," : "", ds->class_name[c]);
  free(count);
  return say("no number of folds helps: import the set with the classes that it has, --classes %s", rest);
}

static void check_classes(const dataset *ds, const fold_unit *unit, int units, int k)
{
  for (int c = 0; c < ds->classes; c++) {
    int n = 0;
    for (int u = 0; u < units; u++) n += unit[u].count[c] > 0;
    if (n < k)
      die(EXIT_DATA, say("data set %s", ds->name),
          say("%d %s of class %s", n, ds->grouped ? "groups" : "cells", ds->class_name[c]),
          say("at least %d, one for each fold", k),
          n < 2 ? without_class(ds) : say("use fewer folds: %d at most", n));
  }
}

static void warn_of_parted(const dataset *ds, const int *fold)
{
  int *sides = NEW(int, ds->groups + 1), parted = 0;
  for (int i = 0; i < ds->n; i++) if (ds->group[i] >= 0 && fold[i] >= 0) sides[ds->group[i]] |= 1 << fold[i];
  for (int g = 0; g < ds->groups; g++) parted += sides[g] == 3;
  if (parted)
    warn(ds->name, say("%d of %d groups have cells in train and in test", parted, ds->groups), "its split tests partly on what was learned");
  free(sides);
}

static int *follow_split(const dataset *ds, uint64_t seed, int subset)
{
  int *fold = NEW(int, ds->n), *learned = NEW(int, ds->classes), *size = NEW(int, ds->classes), tests = 0;
  bool *used = NEW(bool, ds->n), all = subset <= 0 || subset >= ds->n;
  fold_cell *cell = NEW(fold_cell, ds->n);
  for (int i = 0; i < ds->n; i++) {
    cell[i] = (fold_cell){ cell_key(ds->file[i], seed, RNG_SUBSET), i, ds->label[i], 0 };
    size[ds->label[i]]++, used[i] = all;
  }
  qsort(cell, (size_t)ds->n, sizeof *cell, by_key);
  if (!all) choose_subset(ds, cell, size, 1, subset, used);
  else if (subset > 0) tell_taken("--cells", subset, ds->n, 1);
  for (int i = 0; i < ds->n; i++) {
    const int part = ds->split && used[i] ? ds->split[i] : -1;
    fold[i] = part == SPLIT_TEST ? 0 : part == SPLIT_TRAIN ? 1 : -1;
    tests += fold[i] == 0, learned[ds->label[i]] += fold[i] == 1;
  }
  const char *where = say("data set %s", ds->name);
  if (!ds->split || !tests)
    die(EXIT_DATA, where, ds->split ? "no cell of the part test" : "no split of its own", "a column split of train and test",
        "give --folds a number");
  for (int c = 0; c < ds->classes; c++)
    if (!learned[c]) die(EXIT_DATA, where, say("no cell of class %s in the part train", ds->class_name[c]), "at least one", without_class(ds));
  warn_of_parted(ds, fold);
  free(learned), free(size), free(used), free(cell);
  return fold;
}

int folds_number(const char *text)
{
  char *end;
  const long k = strtol(text, &end, 10);
  if (!strcmp(text, "split")) return FOLDS_SPLIT;
  if (end == text || *end || k < 2 || k > 1000000)
    die(EXIT_USAGE, "--folds", say("'%s'", text), "2 or more, or split: the set's own", NULL);
  return (int)k;
}

static int *make_folds(const dataset *ds, int k, uint64_t seed, int subset, bool lenient)
{
  if (k == FOLDS_SPLIT) return follow_split(ds, seed, subset);
  if (k < 2) die(EXIT_USAGE, "--folds", say("%d", k), "at least 2", NULL);
  int *fold = NEW(int, ds->n), *size = NEW(int, ds->classes), *unit_of = NEW(int, ds->n),
    *fold_of = NEW(int, ds->n);
  bool *used = NEW(bool, ds->n), all = subset <= 0 || subset >= ds->n;
  fold_cell *cell = NEW(fold_cell, ds->n);
  fold_unit *unit = NEW(fold_unit, ds->n);
  for (int i = 0; i < ds->n; i++) {
    cell[i] = (fold_cell){ cell_key(ds->file[i], seed, RNG_SUBSET), i, ds->label[i], 0 };
    size[ds->label[i]]++, used[i] = all;
  }
  qsort(cell, (size_t)ds->n, sizeof *cell, by_key);
  if (!all) choose_subset(ds, cell, size, k, subset, used);
  else if (subset > 0) tell_taken("--cells", subset, ds->n, k);
  /* deal, and read off each cell's fold */
  int units = gather_units(ds, used, seed, unit, unit_of);
  if (!lenient) check_classes(ds, unit, units, k);
  qsort(unit, (size_t)units, sizeof *unit, by_size);
  deal_units(unit, units, k, ds->classes, fold_of);
  for (int i = 0; i < ds->n; i++) fold[i] = unit_of[i] < 0 ? -1 : fold_of[unit_of[i]];
  for (int u = 0; u < units; u++) free(unit[u].count);
  free(size), free(unit_of), free(fold_of), free(used), free(cell), free(unit);
  return fold;
}

int *folds_make(const dataset *ds, int k, uint64_t seed, int subset)
{
  return make_folds(ds, k, seed, subset, false);
}
int *folds_make_lenient(const dataset *ds, int k, uint64_t seed, int subset)
{
  return make_folds(ds, k, seed, subset, true);
}
/* write the folds */
void folds_write(const char *path, const dataset *ds, const int *fold)
{
  atomic_file *a = file_create(path);
  fputs("file,class,group,fold\n", a->f);
  for (int i = 0; i < ds->n; i++) {
    if (fold[i] < 0) continue;
    csv_put(a->f, ds->file[i]), fputc(',', a->f), csv_put(a->f, ds->class_name[ds->label[i]]), fputc(',', a->f);
    if (ds->group[i] >= 0) csv_put(a->f, ds->group_name[ds->group[i]]);
    fprintf(a->f, ",%d\n", fold[i]);
  }
  file_commit(a);
}

/* the folds subcommand */
static void print_folds(const dataset *ds, const int *fold, int k)
{
  printf("fold");
  for (int c = 0; c < ds->classes; c++) printf(" %11s", ds->class_name[c]);
  printf("  %7s%s\n", "cells", ds->grouped ? "   groups" : "");
  for (int f = 0; f < k || (k == FOLDS_SPLIT && f < 2); f++) {
    int *count = NEW(int, ds->classes + 1), groups = 0;
    bool *seen = NEW(bool, ds->groups + 1);
    for (int i = 0; i < ds->n; i++) {
      if (fold[i] != f) continue;
      count[ds->label[i]]++, count[ds->classes]++;
      if (ds->group[i] < 0) groups++;
      else if (!seen[ds->group[i]]) seen[ds->group[i]] = true, groups++;
    }
    printf(k == FOLDS_SPLIT ? f ? "train" : "test " : "%4d", f);
    for (int c = 0; c < ds->classes; c++) printf(" %11d", count[c]);
    printf("  %7d", count[ds->classes]);
    if (ds->grouped) printf("  %7d", groups);
    putchar('\n');
    free(count), free(seen);
  }
}

int cmd_folds(int argc, char **argv)
{
  int subset = 0, n = 0;
  uint64_t seed = 1;
  const char *out = NULL, *folder = NULL, *folds = "10";
  bool lenient = false;
  const option table[] = {
    { "folds", OPTION_TEXT, &folds, "K", "how many folds, or split: the set's own (10)" },
    { "seed", OPTION_SEED, &seed, "S", "the seed of the deal (1)" },
    { "cells", OPTION_INT, &subset, "N", "use a stratified subset of N cells; each class has at least one a fold (all)" },
    { "lenient", OPTION_FLAG, &lenient, NULL, "allow a class with fewer cells or groups than folds" },
    { "out", OPTION_TEXT, &out, "FILE", "write file,class,group,fold" },
    {0} };
  options_read(argc, argv, table, "folds [flags] DATA",
               "Deal a data set into stratified folds that keep groups together, and show them.",
               "  wbcsnet folds build/data/d1 --folds 5 --out folds.csv\n", &folder, &n, 1);
  if (!n) die(EXIT_USAGE, "folds", "no data set", "a folder", "wbcsnet folds --help");
  if (subset < 0) die(EXIT_USAGE, "--cells", say("%d", subset), "0 or more", NULL);
  const int k = folds_number(folds);
  dataset *ds = dataset_load(folder, 1, 1);
  int *fold = make_folds(ds, k, seed, subset, lenient);
  print_folds(ds, fold, k);
  if (out) folds_write(out, ds, fold);
  free(fold), dataset_free(ds);
  return 0;
}


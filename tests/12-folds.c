/* Folds: stratified to within a cell, grouped, keyed, independent of the rows' order; subsets; what is refused. */
#include "learning/folds.h"
#include "base/rng.h"
#include "tap.h"
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* A data set without pixels: counts (classes), a group for every `of` cells of a class, 0 for none. */
static dataset *make_set(const int *counts, int classes, int of)
{
  dataset *ds = NEW(dataset, 1);
  ds->classes = classes, ds->class_name = NEW(const char *, classes);
  ds->name = copy_text("made");
  for (int c = 0; c < classes; c++) ds->n += counts[c], ds->class_name[c] = copy_text(say("class%d", c));
  ds->label = NEW(int, ds->n), ds->group = NEW(int, ds->n), ds->file = NEW(char *, ds->n), ds->group_name = NEW(char *, ds->n);
  for (int c = 0, i = 0; c < classes; c++)
    for (int k = 0; k < counts[c]; k++, i++) {
      ds->label[i] = c, ds->file[i] = join("class%d/cell%04d.tif", c, k), ds->group[i] = -1;
      if (!of) continue;
      if (k % of == 0) ds->group_name[ds->groups++] = join("g%d-%d", c, k / of);
      ds->group[i] = ds->groups - 1, ds->grouped = true;
    }
  return ds;
}

static const int paper[5] = { 1412, 83, 10, 517, 142 };

/* Cells of class c in fold f. */
static int held(const dataset *ds, const int *fold, int c, int f)
{
  int n = 0;
  for (int i = 0; i < ds->n; i++) n += (c < 0 || ds->label[i] == c) && fold[i] == f;
  return n;
}

/* The spread (most less least) over folds of a class, or of all cells for c = -1. */
static int spread(const dataset *ds, const int *fold, int k, int c)
{
  int most = 0, least = ds->n;
  for (int f = 0; f < k; f++) {
    int n = held(ds, fold, c, f);
    if (n > most) most = n;
    if (n < least) least = n;
  }
  return most - least;
}

static int parted_groups(const dataset *ds, const int *fold)
{
  int bad = 0;
  for (int i = 0; i < ds->n; i++)
    for (int j = i + 1; j < ds->n; j++) bad += ds->group[i] >= 0 && ds->group[i] == ds->group[j] && fold[i] >= 0 && fold[j] >= 0 && fold[i] != fold[j];
  return bad;
}

static void test_plain(void)
{
  dataset *ds = make_set(paper, 5, 0);
  for (int k = 2; k <= 10; k += 4) {
    int *fold = folds_make(ds, k, 1, 0), worst = 0;
    for (int c = 0; c < 5; c++) { int s = spread(ds, fold, k, c); if (s > worst) worst = s; }
    ok(worst <= 1, "the paper's counts in %d folds: every class to within one cell", k);
    ok(spread(ds, fold, k, -1) <= 1, "... and the folds' sizes too");
    ok(held(ds, fold, -1, -1) == 0, "... and every cell is used");
    free(fold);
  }
  int *a = folds_make(ds, 10, 1, 0), *b = folds_make(ds, 10, 1, 0), *c = folds_make(ds, 10, 2, 0), same = 0;
  ok(!memcmp(a, b, sizeof(int) * (size_t)ds->n), "the same seed: the same folds");
  for (int i = 0; i < ds->n; i++) same += a[i] == c[i];
  ok(same > ds->n / 20 && same < ds->n / 5, "another seed: a tenth of the cells in the same fold by chance (%d of %d)", same, ds->n);
  free(b), free(c);
  /* rows in another order */
  dataset *turned = make_set(paper, 5, 0);
  for (int i = 0; i < ds->n; i++) turned->label[i] = ds->label[ds->n - 1 - i], turned->file[i] = ds->file[ds->n - 1 - i];
  b = folds_make(turned, 10, 1, 0), same = 0;
  for (int i = 0; i < ds->n; i++) same += a[i] == b[ds->n - 1 - i];
  ok(same == ds->n, "rows in another order: every cell in the same fold");
  free(a), free(b);
}

static void test_groups(void)
{
  static const int counts[5] = { 112, 100, 100, 110, 88 };
  for (int of = 2; of <= 9; of += 7) {
    dataset *ds = make_set(counts, 5, of);
    int *fold = folds_make(ds, 5, 3, 0), worst = 0;
    ok(parted_groups(ds, fold) == 0, "groups of %d: none is parted", of);
    for (int c = 0; c < 5; c++) { int s = spread(ds, fold, 5, c); if (s > worst) worst = s; }
    ok(worst <= of, "... and each class is even to within a group (%d)", worst);
    free(fold);
  }
  /* groups of very different sizes, and some of two classes */
  static const int uneven[3] = { 60, 40, 30 };
  dataset *ds = make_set(uneven, 3, 1);
  for (int i = 0; i < ds->n; i++) ds->group[i] = i % 29 < 12 ? 0 : i % 29;
  ds->groups = 29;
  int *fold = folds_make(ds, 4, 1, 0);
  ok(parted_groups(ds, fold) == 0, "groups of several classes and sizes: none is parted");
  int worst = 0, least = 99;
  for (int c = 0; c < 3; c++) for (int f = 0; f < 4; f++) least = held(ds, fold, c, f) < least ? held(ds, fold, c, f) : least;
  ok(least >= 1, "... and no fold lacks a class");
  for (int c = 0; c < 3; c++) { int s = spread(ds, fold, 4, c); if (s > worst) worst = s; }
  ok(worst <= 26, "... with the large group in one fold and the rest spread over the others (%d)", worst);
  free(fold);
  /* one large group beside single cells: dealt first, the single cells even it out */
  static const int forty[1] = { 40 };
  dataset *large = make_set(forty, 1, 1);
  for (int i = 0; i < 40; i++) large->group[i] = i < 10 ? 0 : -1;
  worst = 0;
  for (uint64_t seed = 1; seed <= 8; seed++) {
    int *f = folds_make(large, 4, seed, 0), most = spread(large, f, 4, 0);
    if (most > worst) worst = most;
    free(f);
  }
  ok(worst == 0, "a group of 10 and 30 single cells: four folds of 10, whatever the seed (spread %d)", worst);
  /* a cell without a group is a group of its own */
  dataset *half = make_set(paper, 5, 7);
  for (int i = 0; i < half->n; i += 2) half->group[i] = -1;
  fold = folds_make(half, 5, 1, 0);
  ok(parted_groups(half, fold) == 0 && held(half, fold, -1, -1) == 0, "cells with and without groups together");
  free(fold);
}

static void test_subset(void)
{
  dataset *ds = make_set(paper, 5, 0);
  static const struct { int m, k, want[5]; } cases[] = {
    { 1082, 5, { 706, 42, 5, 258, 71 } },                            /* shares 706, 41.5, 5, 258.5, 71: the first half is rounded up */
    { 300, 5, { 192, 11, 5, 72, 20 } },                              /* 195.7, 11.5, 1.4, 71.7, 19.7; then basophils are raised to 5 */
    { 60, 2, { 37, 2, 2, 15, 4 } } };                                /* 39.1, 2.3, 0.3, 14.3, 3.9; then basophils are raised to 2 */
  for (int t = 0; t < 3; t++) {
    int *fold = folds_make(ds, cases[t].k, 1, cases[t].m), n = 0, off = 0, even = 1;
    for (int i = 0; i < ds->n; i++) n += fold[i] >= 0;
    for (int c = 0; c < 5; c++) {
      int held_c = 0;
      for (int f = 0; f < cases[t].k; f++) held_c += held(ds, fold, c, f);
      off += abs(held_c - cases[t].want[c]), even &= spread(ds, fold, cases[t].k, c) <= 1;
    }
    ok(n == cases[t].m && !off && even, "a subset of %d in %d folds: %d cells, off by %d from the shares", cases[t].m, cases[t].k, n, off);
    free(fold);
  }
  int *all = folds_make(ds, 5, 1, 0), *more = folds_make(ds, 5, 1, 99999), *part = folds_make(ds, 5, 1, 300);
  ok(!memcmp(all, more, sizeof(int) * (size_t)ds->n), "a subset larger than the set is the set");
  int *other = folds_make(ds, 5, 2, 300), both = 0;
  for (int i = 0; i < ds->n; i++) both += part[i] >= 0 && other[i] >= 0;
  ok(both < 120, "another seed: another subset (%d of 300 cells in both)", both);
  static const int counts[2] = { 200, 200 };
  dataset *grouped = make_set(counts, 2, 10);                        /* 20 groups a class */
  int *fold = folds_make(grouped, 5, 1, 40), *seen = NEW(int, grouped->groups), groups = 0;
  for (int i = 0; i < grouped->n; i++) if (fold[i] >= 0 && !seen[grouped->group[i]]++) groups++;
  ok(groups == 40, "a subset of 40 cells from 40 groups takes one of each (%d)", groups);
  free(all), free(more), free(part), free(other), free(fold), free(seen);
}

/* The exit code of folds_make in a child, its message into said. */
static int refused(const dataset *ds, int k, int subset, bool lenient, char said[512])
{
  int pipes[2], status;
  if (pipe(pipes)) return -1;
  fflush(stdout);
  pid_t pid = fork();
  if (!pid) {
    dup2(pipes[1], 2);
    free(lenient ? folds_make_lenient(ds, k, 1, subset) : folds_make(ds, k, 1, subset));
    _exit(0);
  }
  close(pipes[1]);
  size_t length = 0;
  for (ssize_t n; (n = read(pipes[0], said + length, 511 - length)) > 0;) length += (size_t)n;
  said[length] = 0;
  said[strcspn(said, "\n")] = 0;
  close(pipes[0]);
  waitpid(pid, &status, 0);
  return WEXITSTATUS(status);
}

static void test_refused(void)
{
  char said[512];
  dataset *ds = make_set(paper, 5, 0);
  ok(refused(ds, 10, 0, false, said) == 0, "ten basophils are enough for ten folds");
  ok(refused(ds, 11, 0, false, said) == EXIT_DATA && strstr(said, "10 cells of class class2") && strstr(said, "at least 11"), "... not for eleven: %s", said);
  ok(refused(ds, 11, 0, true, said) == 0, "... unless that is waived");
  ok(refused(ds, 0, 0, false, said) == EXIT_USAGE, "no fold is none: %s", said);
  ok(refused(ds, FOLDS_SPLIT, 0, false, said) == EXIT_DATA && strstr(said, "no split of its own"), "a set without a split has none to follow: %s", said);
  dataset *grouped = make_set(paper, 5, 5);
  ok(refused(grouped, 3, 0, false, said) == EXIT_DATA && strstr(said, "2 groups of class class2"), "ten basophils of two patients are not enough for three folds: %s", said);
}

static void test_written(void)
{
  char path[256];
  snprintf(path, sizeof path, "%s/folds-%d.csv", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp", (int)getpid());
  static const int counts[2] = { 4, 4 };
  dataset *ds = make_set(counts, 2, 2);
  int *fold = folds_make(ds, 2, 1, 6), rows = 0, wrong = 0;
  folds_write(path, ds, fold);
  csv *t = csv_read(path, NULL);
  for (int i = 0; i < ds->n; i++) {
    if (fold[i] < 0) continue;
    wrong += strcmp(csv_cell(t, rows, 0), ds->file[i]) || atoi(csv_cell(t, rows, csv_need(t, "fold"))) != fold[i]
             || strcmp(csv_cell(t, rows, csv_need(t, "group")), ds->group_name[ds->group[i]]);
    rows++;
  }
  ok(t->rows == 6 && rows == 6 && !wrong, "folds.csv holds the used cells, their groups and folds");
  csv_free(t), free(fold), unlink(path);
}

int main(void)
{
  test_plain(), test_groups(), test_subset(), test_refused(), test_written();
  return done_testing();
}

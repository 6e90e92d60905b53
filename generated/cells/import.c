/* import.c: wbcsnet import and wbcsnet data. */
#include "cells/dataset.h"
#include "cells/decode.h"
#include "cells/likeness.h"
#include "base/options.h"
#include <ctype.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* what an import is asked for */
typedef struct {
  cell_source from;
  cut_options cut;
  const char *conflicts, *duplicates, *groups, *name, *take;
  int size;
  double same;
  bool replace, skip_bad, synthetic;
} import_options;

/* decode all cells */
static void stop_if_asked(void)
{
  if (!stop_requested) return;
  fprintf(stderr, "wbcsnet: import: stopped; nothing was written\n");
  exit(EXIT_STOPPED);
}

static void decode_part(finding *f, const import_options *o, int part, char (*why)[256], progress *bar, int *done)
{
  enum { BLOCK = 256 };
  char reason[256];
  npz_array *a = f->n && f->cell[0].part >= 0 ? open_images(o->from.folder, part, reason) : NULL;
  if (!a) return;
  const size_t n = a->shape[0], bytes = a->count / (n ? n : 1);
  int *cell_of = NEW(int, n + 1);
  uint8_t *block = new_bytes(bytes * BLOCK);
  for (int i = 0; i < f->n; i++) if (f->cell[i].part == part) cell_of[f->cell[i].index] = i + 1;
  for (size_t at = 0; at < n && !stop_requested; at += BLOCK) {
    const int here = n - at < BLOCK ? (int)(n - at) : BLOCK;
    if (!npz_read(a, block, bytes * (size_t)here, reason))
      die(EXIT_DATA, o->from.folder, say("%s_images: %s", split_names[part], reason), "whole arrays", "is the download complete?");
    #pragma omp parallel for schedule(dynamic, 8)
    for (int k = 0; k < here; k++) {
      const int i = cell_of[at + (size_t)k] - 1;
      if (i < 0) continue;
      f->cell[i].left_out = !decode_array(&f->cell[i], &o->cut, block + bytes * (size_t)k, a, why[i]);
    }
    progress_show(bar, *done += here, say("%s, %d of %zu", split_names[part], (int)at + here, n));
  }
  free(cell_of), free(block), npz_close(a);
}

static void decode_cells(finding *f, const import_options *o)
{
  char (*why)[256] = new_bytes(sizeof *why * (size_t)f->n);
  int done = 0, told = 0;
  progress bar;
  progress_start(&bar, "import", f->n);
  #pragma omp parallel for schedule(dynamic, 8)
  for (int i = 0; i < f->n; i++) {
    if (stop_requested || f->cell[i].part >= 0) continue;
    f->cell[i].left_out = !decode_cell(&f->cell[i], &o->cut, why[i]);
    #pragma omp critical
    {
      done++;
      progress_show(&bar, done, say("%d of %d cells", done, f->n));
    }
  }
  for (int part = 0; part < 3; part++) decode_part(f, o, part, why, &bar, &done);
  progress_end(&bar);
  stop_if_asked();
  warn_of_notes(f->cell, f->n, &told);
  for (int i = 0; i < f->n; i++) {
    const found_cell *c = &f->cell[i];
    if (!c->left_out) continue;
    if (!o->skip_bad)
      die(EXIT_DATA, c->path, why[i], "a readable image", c->hint ? c->hint : "repair or remove it, or give --skip-bad");
    warn(c->path, why[i], NULL);
    f->unreadable++;
  }
  free(why);
}

/* join groups */
/* Gives all cells of b's group (or b alone) the group of a, making one from a's name when a has
   none. */
static void join_groups(finding *f, int a, int b)
{
  found_cell *p = &f->cell[a], *q = &f->cell[b];
  if (!p->group[0])
    free(p->group), p->group = q->group[0] ? copy_text(q->group) : join("same-as-%s", p->name);
  if (!strcmp(p->group, q->group)) return;
  char *old = copy_text(q->group);
  free(q->group), q->group = copy_text(p->group);
  for (int i = 0; *old && i < f->n; i++)
    if (!strcmp(f->cell[i].group, old)) free(f->cell[i].group), f->cell[i].group = copy_text(p->group);
  free(old);
}

static bool is_named(const found_cell *c, const char *file)
{
  size_t n = strlen(file), m = strlen(c->path);
  char *plain = cell_name(file);
  bool same = !strcmp(plain, c->name)
    || (m > n && !strcmp(c->path + m - n, file) && c->path[m - n - 1] == '/') || !strcmp(c->path, file);
  free(plain);
  return same;
}

static void read_groups(finding *f, const char *path)
{
  csv *t = csv_read(path, "columns file and group");
  int file = csv_need(t, "file"), group = csv_need(t, "group");
  bool *given = NEW(bool, f->n);
  for (int i = 0; i < t->rows; i++) {
    bool found = false;
    for (int k = 0; k < f->n; k++) {
      if (!is_named(&f->cell[k], csv_cell(t, i, file))) continue;
      if (given[k] && strcmp(f->cell[k].group, csv_cell(t, i, group)))
        die(EXIT_DATA, say("%s:%d", path, i + 2), say("a second group of %s", f->cell[k].path),
            "one group for each cell", NULL);
      free(f->cell[k].group), f->cell[k].group = copy_text(csv_cell(t, i, group)), found = given[k] = true;
    }
    if (!found)
      die(EXIT_DATA, say("%s:%d", path, i + 2), say("file '%s'", csv_cell(t, i, file)),
          "a cell of the source", NULL);
  }
  csv_free(t), free(given);
}

/* compare the cells */
enum { TELL_MOST = 20 };                              /* duplicates named one by one */
static finding *sorting;                             /* qsort has no argument to pass it by */

static int by_pixels(const void *a, const void *b)
{
  int i = *(const int *)a, j = *(const int *)b,
    d = strcmp(sorting->cell[i].pixels_sha, sorting->cell[j].pixels_sha);
  return d ? d : i - j;
}

/* The same window of the same file, under the same class: a row that the table has twice. */
static bool is_same_place(const found_cell *a, const found_cell *b)
{
  return !strcmp(a->path, b->path) && a->y == b->y && a->x == b->x && a->label == b->label;
}

/* All cells order[from..to-1] have the same pixels. Returns 1 when their labels differ. */
static int settle_equal(finding *f, const int *order, int from, int to, const import_options *o,
                        int *dropped, int *told)
{
  found_cell *first = &f->cell[order[from]];
  bool conflict = false, drop_all, drop_rest;
  /* decide which of the equal cells stay */
  for (int k = from + 1; k < to; k++) conflict |= f->cell[order[k]].label != first->label;
  drop_all = conflict && o->conflicts && !strcmp(o->conflicts, "drop");
  drop_rest = drop_all || (conflict ? o->conflicts != NULL : !strcmp(o->duplicates, "drop"));
  for (int k = from + 1; k < to; k++) {
    found_cell *c = &f->cell[order[k]];
    /* warn of the copy */
    if (c->label != first->label)
      warn(c->path, say("the same pixels as %s, under another class", first->path), NULL);
    else if ((*told)++ < TELL_MOST)
      warn(c->path, strcmp(c->path, first->path) ? say("the same pixels as %s", first->path)
           : "listed twice", NULL);
    const bool again = is_same_place(c, &f->cell[order[k - 1]]);
    if (drop_rest || again) c->left_out = true, ++*dropped;
    if (!drop_rest && (!again || *c->group)) join_groups(f, order[from], order[k]);
  }
  if (drop_all) first->left_out = true, ++*dropped;
  return conflict && !o->conflicts;
}

/* Returns how many cells were left out as duplicates. */
static int settle_duplicates(finding *f, const import_options *o)
{
  int *order = NEW(int, f->n), conflicts = 0, dropped = 0, told = 0, n = 0;
  for (int i = 0; i < f->n; i++) if (!f->cell[i].left_out) order[n++] = i;
  sorting = f;
  qsort(order, (size_t)n, sizeof(int), by_pixels);
  for (int i = 0, j; i < n; i = j) {
    for (j = i + 1; j < n && !strcmp(f->cell[order[i]].pixels_sha, f->cell[order[j]].pixels_sha);) j++;
    if (j > i + 1) conflicts += settle_equal(f, order, i, j, o, &dropped, &told);
  }
  if (told > TELL_MOST) warn(o->from.folder, say("%d more duplicates", told - TELL_MOST), NULL);
  free(order);
  if (conflicts)
    die(EXIT_DATA, o->from.folder, say("%d image%s under two classes, listed above", conflicts,
                                  conflicts > 1 ? "s" : ""), "one class for each cell",
        "--keep-conflicts drop leaves them out, --keep-conflicts first keeps the first by class and name");
  return dropped;
}

static void join_alike(finding *f, double least)
{
  image *picture = NEW(image, f->n);
  int *label = NEW(int, f->n), n;
  for (int i = 0; i < f->n; i++) {
    label[i] = f->cell[i].label;
    if (!f->cell[i].left_out) picture[i] = f->cell[i].cell;
  }
  alike_pair *pair = find_alike(picture, label, f->n, least, &n);
  stop_if_asked();
  if (n) printf("alike, and put in one group (correlation at least %g):\n", least);
  for (int k = 0; k < n; k++) {
    const found_cell *a = &f->cell[pair[k].a], *b = &f->cell[pair[k].b];
    bool joined = a->group[0] && !strcmp(a->group, b->group);
    printf("  %.3f  %s and %s%s\n", pair[k].r, a->name, b->name, joined ? "   (already in one group)" : "");
    join_groups(f, pair[k].a, pair[k].b);
  }
  free(pair), free(picture), free(label);
}

/* take some cells of each class */
typedef struct { char key[65]; int index; } keyed_cell;

static int by_cell_key(const void *a, const void *b)
{
  return strcmp(((const keyed_cell *)a)->key, ((const keyed_cell *)b)->key);
}

static void take_some(finding *f, const import_options *o)
{
  const char *s = o->take;
  keyed_cell *k = NEW(keyed_cell, f->n);
  for (int c = 0; c < o->from.class_count; c++) {
    char *end;
    long most = strtol(s, &end, 10);
    if (end == s || most < 0 || *end != (c + 1 < o->from.class_count ? ',' : 0))
      die(EXIT_USAGE, "--take", say("'%s'", o->take), say("%d numbers with commas", o->from.class_count),
          "one for each class, in their order");
    s = end + 1;
    int n = 0;
    for (int i = 0; i < f->n; i++)
      if (f->cell[i].label == c && !f->cell[i].left_out) {
        k[n].index = i;
        sha256_of(f->cell[i].name, strlen(f->cell[i].name), k[n++].key);
      }
    qsort(k, (size_t)n, sizeof *k, by_cell_key);
    for (long i = most; i < n; i++) f->cell[k[i].index].left_out = true, f->not_taken++;
  }
  free(k);
}

static bool is_declared_synthetic(const char *source)
{
  char *path = join("%s/dataset.json", source);
  bool synthetic = false;
  if (file_exists(path)) {
    char *text = file_read(path, NULL, NULL);
    json *j = json_parse(text, path);
    synthetic = is_synthetic(j, path);
    refuse_altered(j, text, path);
    json_free(j), free(text);
  }
  free(path);
  return synthetic;
}

/* write the data set */
static int by_name(const void *a, const void *b)
{
  const found_cell *p = a, *q = b;
  if (p->label != q->label) return p->label - q->label;
  int d = strcmp(p->name, q->name);
  if (!d) d = strcmp(p->path, q->path);
  return d ? d : p->y != q->y ? p->y - q->y : p->x - q->x;
}

static void order_cells(finding *f)
{
  qsort(f->cell, (size_t)f->n, sizeof *f->cell, by_name);
  for (int i = 0, j; i < f->n; i = j)
    for (j = i + 1; j < f->n && f->cell[j].label == f->cell[i].label
         && !strcmp(f->cell[j].name, f->cell[i].name); j++) {
      char *name = join("%s~%d", f->cell[j].name, j - i + 1);
      free(f->cell[j].name), f->cell[j].name = name;
    }
}

static dataset_writer *write_cells(const finding *f, const import_options *o, const char *out)
{
  dataset_writer *d = dataset_create(out, o->replace, o->from.class_count, o->from.class_name);
  progress bar;
  progress_start(&bar, "write", f->n);
  for (int i = 0; i < f->n; i++) {
    if (stop_requested) dataset_cancel(d), stop_if_asked();
    const found_cell *c = &f->cell[i];
    if (!c->left_out) dataset_add(d, c->label, c->name, c->group, &c->cell), dataset_add_split(d, c->split);
    progress_show(&bar, i + 1, "");
  }
  progress_end(&bar);
  return d;
}

/* A cell of 28 pixels does not become one of 70 by being written so. */
static void report_enlarged(const finding *f, const import_options *o)
{
  int n = 0, least = o->size;
  for (int i = 0; i < f->n; i++) {
    const found_cell *c = &f->cell[i];
    if (c->left_out || 2 * c->window >= o->size) continue;
    n++;
    if (c->window < least) least = c->window;
  }
  if (n) printf("  %d cells were enlarged more than twice (the smallest from %d to %d pixels): no detail is gained\n", n, least, o->size);
}

static void report_split(const finding *f)
{
  int count[3] = {0}, none = 0;
  for (int i = 0; i < f->n; i++) {
    const int part = split_of(f->cell[i].split);
    if (!f->cell[i].left_out) *(part < 0 ? &none : &count[part]) += 1;
  }
  if (count[0] + count[1] + count[2])
    printf("  its own split: %d train, %d val, %d test%s; train --folds split tests on it\n", count[0], count[1], count[2],
           none ? say(", %d in none", none) : "");
}

/* Nets are trained on every class of a set, so a set of four needs to be told. */
static void report_missing(const finding *f, const import_options *o)
{
  int *count = NEW(int, o->from.class_count), there = 0;
  builder have = {0};
  for (int i = 0; i < f->n; i++) count[f->cell[i].label] += !f->cell[i].left_out;
  for (int c = 0; c < o->from.class_count; c++)
    if (count[c]) build(&have, "%s%s", there++ ? "," : "", o->from.class_name[c]);
  if (there < o->from.class_count && there > 1)
    printf("  %d of %d classes have cells, and training needs cells of each: --classes %s makes a set of these\n", there,
           o->from.class_count, have.text);
  free(built(&have, NULL)), free(count);
}

static void report(const finding *f, const import_options *o, const char *out, const layout *as,
                   int dropped)
{
  int n = 0, grouped = 0;
  for (int i = 0; i < f->n; i++)
    if (!f->cell[i].left_out) n++, grouped += f->cell[i].group[0] != 0;
  printf("%s: %d %scells of %d x %d from %s (%s)\n", out, n, o->synthetic ? "synthetic " : "", o->size,
         o->size, o->from.folder, as->what);
  for (int c = 0; c < o->from.class_count; c++) {
    int count = 0;
    for (int i = 0; i < f->n; i++) count += f->cell[i].label == c && !f->cell[i].left_out;
    printf("  %6d %s%s\n", count, o->from.class_name[c], count ? "" : "   (none: was its folder skipped?)");
  }
  if (grouped)
    printf("  groups are known for %d cells: folds will keep each group together\n", grouped);
  else printf("  no groups: folds cannot keep cells of one patient or slide together\n");
  report_split(f);
  report_enlarged(f, o);
  report_missing(f, o);
  say_left_out(stdout, f, dropped);
}

/* the import subcommand */
/* Does, or would, path lie in folder, links followed? */
static bool is_within(const char *path, const char *folder)
{
  char *whole = realpath(folder, NULL), *above = copy_text(path), *real = NULL;
  while (*above && !(real = realpath(above, NULL))) {
    char *slash = strrchr(above, '/');
    if (slash == above) slash[1] = 0; else if (slash) *slash = 0; else strcpy(above, ".");
  }
  const size_t n = whole ? strlen(whole) : 0;
  const bool within = n && real && !strncmp(real, whole, n) && (!real[n] || real[n] == '/' || whole[n - 1] == '/');
  free(whole), free(above), free(real);
  return within && strcmp(path, folder);
}

static const char *one_of(const char *flag, const char *value, const char *a, const char *b)
{
  if (value && strcmp(value, a) && strcmp(value, b))
    die(EXIT_USAGE, flag, say("'%s'", value), say("%s or %s", a, b), NULL);
  return value;
}

/* What import is for, with a line a layout, and its window and size where they are not the usual. */
static char *import_what(void)
{
  builder b = {0};
  build(&b, "Bring your own images of cells into a data set: OUT/<class>/*.tif, OUT/labels.csv,\n"
            "OUT/dataset.json.\n\nlayouts\n");
  for (const layout *l = layouts; l->name; l++) {
    build(&b, "  %-8s  %s", l->name, l->help);
    if (*l->skip) build(&b, "; skips %s", l->skip);
    if (l->crop) build(&b, "\n            window %d, size %d", l->crop, l->size);
    if (l->same > 0) build(&b, ", alike from %g", l->same);
    build(&b, "\n");
  }
  build(&b, "TIFF, PNG, JPEG and BMP are read, told by their content. DATA.md says where the sets are had.");
  return built(&b, NULL);
}

/* read the import's flags */
static const layout *read_import_flags(int argc, char **argv, import_options *o, char **out)
{
  *o = (import_options){ .size = INT_MIN, .cut.crop = INT_MIN, .same = NAN, .duplicates = "keep" };
  char *names = layout_names(), *guessed = join("%s (guessed)", names), *what = import_what();
  const option table[] = {
    { "layout", OPTION_TEXT, &o->from.layout, "NAME", guessed },
    { "csv", OPTION_TEXT, &o->from.csv, "FILE",
      "a table of the cells, where the layout reads one (SOURCE/labels.csv)" },
    { "size", OPTION_INT, &o->size, "N",
      "height and width of the cells written (the layout's, above; else 70)" },
    { "crop", OPTION_INT, &o->cut.crop, "N",
      "cut N x N pixels first; 0: the largest square (the layout's window, else 0)" },
    /* flags about classes and groups */
    /* flags about the source's words */
    { "skip-classes", OPTION_TEXT, &o->from.skip, "A,B", "leave out these class folders or names" },
    { "map", OPTION_TEXT, &o->from.map, "A=B,C=D",
      "what the source's words for classes mean, such as LYT=lymphocyte; or a file of such lines" },
    { "classes", OPTION_TEXT, &o->from.classes, "A,B,C",
      "other classes than the usual, by their folders' names" },
    { "groups", OPTION_TEXT, &o->groups, "FILE",
      "a table file,group: cells that folds must keep together" },
    { "duplicates", OPTION_TEXT, &o->duplicates, "keep|drop",
      "equal images of one class: keep them in one group (keep), or only the first" },
    { "keep-conflicts", OPTION_TEXT, &o->conflicts, "drop|first",
      "equal images under two classes: leave out all, or keep the first" },
    { "same", OPTION_REAL, &o->same, "R",
      "one group for cells of a class that look alike: least correlation (the layout's, else 0: off)" },
    { "take", OPTION_TEXT, &o->take, "N,N,...",
      "take at most so many cells of each class, those whose names have the least sha256" },
    { "skip-bad", OPTION_FLAG, &o->skip_bad, NULL, "leave out images that cannot be read" },
    /* flags about odd images */
    { "white", OPTION_INT, &o->cut.white, "V",
      "the sample that is white, in images of more than 8 bits (what the file says, else the largest number)" },
    { "pad", OPTION_TEXT, &o->cut.pad, "edge", "where a window is larger than its image, repeat the border's pixels (else an error)" },
    { "page", OPTION_INT, &o->cut.page, "N", "which image of a TIFF that holds several, from 1 (else they are refused)" },
    { "synthetic", OPTION_FLAG, &o->synthetic, NULL,
      "the pictures show no real cells: say so in the set and in every result" },
    { "name", OPTION_TEXT, &o->name, "TEXT", "the set's name (the last part of OUT)" },
    { "replace", OPTION_FLAG, &o->replace, NULL, "overwrite the data set at OUT" },
    {0} };
  const char *word[2];
  int n;
  options_read(argc, argv, table, "import [flags] SOURCE OUT", what,
               "  wbcsnet import --layout pbc PBC_dataset_normal_DIB build/data/pbc\n"
               "  wbcsnet import --keep-conflicts drop bloodmnist.npz build/data/blood\n"
               "  wbcsnet import --layout lisc 'LISC Database' build/data/lisc\n"
               "  wbcsnet import --csv cells.csv --crop 100 . build/data/mine\n", word, &n, 2);
  free(names), free(guessed), free(what);
  if (n < 2)
    die(EXIT_USAGE, "import", say("%d of the two folders", n), "SOURCE and OUT",
        "wbcsnet import --help");
  /* check the import's flags and fill in defaults */
  o->from.folder = word[0], *out = copy_text(word[1]);
  for (size_t k = strlen(*out); k > 1 && (*out)[k-1] == '/'; k--) (*out)[k-1] = 0;
  if (!is_folder(o->from.folder) && !is_zip(o->from.folder))
    die(EXIT_DATA, o->from.folder, file_exists(o->from.folder) ? "not a folder" : "no such folder",
        "a folder of images", NULL);
  if (!o->from.csv && !file_exists(say("%s/labels.csv", o->from.folder)) && is_within(*out, o->from.folder))
    die(EXIT_USAGE, *out, say("a place within %s", o->from.folder), "a place outside of it",
        "the next import would take the set's own cells for images of yours");
  one_of("--keep-conflicts", o->conflicts, "drop", "first"),
    one_of("--duplicates", o->duplicates, "keep", "drop");
  const layout *as = choose_layout(&o->from);
  if (o->size == INT_MIN) o->size = as->size;
  if (o->cut.crop == INT_MIN) o->cut.crop = as->crop;
  check_cut(&o->cut);
  if (isnan(o->same)) o->same = as->same;
  if (o->size < 8 || o->size > 1024) die(EXIT_USAGE, "--size", say("%d", o->size), "8 to 1024", NULL);
  o->cut.h = o->cut.w = o->size;
  if (o->same < 0 || o->same > 1) die(EXIT_USAGE, "--same", say("%g", o->same), "0 to 1", NULL);
  skip_as_layout(&o->from, as);
  const char *slash = strrchr(*out, '/');
  const char *named = o->name ? "--name" : *out;
  if (!o->name) o->name = copy_text(slash && slash[1] ? slash + 1 : *out);
  if (!is_utf8(o->name))
    die(EXIT_USAGE, named, "a name for the set that is not UTF-8", "UTF-8", "--name TEXT gives it one, whatever its folder is called");
  name_classes(&o->from, class_names, CLASSES);
  read_map(&o->from);
  o->synthetic = o->synthetic || is_declared_synthetic(o->from.folder);
  return as;
}

int cmd_import(int argc, char **argv)
{
  import_options o;
  char *out, *command = command_line(argc, argv);
  const layout *as = read_import_flags(argc, argv, &o, &out);
  finding f = {0};
  catch_stop_signals();
  find_cells(&o.from, as, &f);
  order_cells(&f);
  if (o.groups) read_groups(&f, o.groups);
  /* is there room for OUT? say so before the work */
  dataset_cancel(dataset_create(out, o.replace, o.from.class_count, o.from.class_name));
  decode_cells(&f, &o);
  int dropped = settle_duplicates(&f, &o);
  if (o.take) take_some(&f, &o);
  if (o.same > 0) join_alike(&f, o.same);
  dataset_writer *d = write_cells(&f, &o, out);
  report(&f, &o, out, as, dropped);
  dataset_commit(d, o.name, o.synthetic ? "synthetic" : "real", as->what, command);
  free(command), free(out);
  return 0;
}

/* the data subcommand */
static void print_data_set(const char *folder)
{
  dataset *ds = dataset_load(folder, 0, 0);
  int *count = NEW(int, ds->classes);
  for (int i = 0; i < ds->n; i++) count[ds->label[i]]++;
  printf("%s\n  %s, %s, %d cells of %d x %d, %s%s, sha256 %.16s\n ", folder, ds->name, ds->kind, ds->n,
         ds->w, ds->h, ds->split ? "a split of its own, " : "",
         ds->grouped ? say("%d groups", ds->groups) : "no groups", ds->sha256);
  for (int c = 0; c < ds->classes; c++) printf(" %s %d", ds->class_name[c], count[c]);
  putchar('\n');
  free(count), dataset_free(ds);
}

int cmd_data(int argc, char **argv)
{
  const option table[] = { {0} };
  const char *folder[64];
  int n;
  options_read(argc, argv, table, "data FOLDER ...",
               "Verify data sets: every cell's sha256, its size, the counts; print what they are.",
               "  wbcsnet data build/data/*\n", folder, &n, 64);
  if (!n) die(EXIT_USAGE, "data", "no folder", "at least one data set", "wbcsnet data --help");
  for (int i = 0; i < n; i++) print_data_set(folder[i]);
  return 0;
}


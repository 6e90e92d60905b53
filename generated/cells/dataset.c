#include "cells/dataset.h"
#include "base/options.h"
/* dataset: headers */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

/* name the classes */
const char *const class_names[] = { "neutrophil", "eosinophil", "basophil", "lymphocyte", "monocyte",
                                    NULL };
const char *const class_short[] = { "Neu", "Eos", "Bas", "Lym", "Mon", NULL };

int class_of(const char *word)
{
  static const char *const alias[CLASSES] = { " n ne ng sne bne ", " e eo eosi ", " b ba baso ",
                                              " l ly lymp ", " m mo " };
  char w[32], padded[40];
  size_t n = strlen(word);
  if (!n || n >= sizeof w) return -1;
  for (size_t i = 0; i <= n; i++) w[i] = (char)tolower((unsigned char)word[i]);
  if (n > 3 && w[n-1] == 's') w[--n] = 0;
  snprintf(padded, sizeof padded, " %s ", w);
  for (int c = 0; c < CLASSES; c++)
    if ((n >= 3 && !strncmp(class_names[c], w, n)) || strstr(alias[c], padded)) return c;
  return -1;
}

const char *const split_names[] = { "train", "val", "test", NULL };

int split_of(const char *word)
{
  static const char *const known[3] = { " train training ", " val valid validation dev ", " test testing " };
  char padded[32];
  if (!*word || strlen(word) > 20) return -1;
  snprintf(padded, sizeof padded, " %s ", word);
  for (char *p = padded; *p; p++) *p = (char)tolower((unsigned char)*p);
  for (int i = 0; i < 3; i++) if (strstr(known[i], padded)) return i;
  return -1;
}

/* name the description's own hash */
static const char own_hash[] = "description_sha256";
/* stage a folder */
typedef struct { char *file, *group; const char *split; int label; char sha256[65]; } labelled;
struct dataset_writer {
  stage *stage;
  bool splits;                                              /* some cell has one */
  bool *made;                                               /* (classes) is its folder there */
  int classes, n, room, h, w;
  const char *const *class_name;
  labelled *row;
};
static stage *open_stages[4];

static void remove_stages(void)
{
  for (int i = 0; i < 4; i++) if (open_stages[i]) remove_all(open_stages[i]->path);
}

static bool folder_is_empty(const char *path)
{
  DIR *d = opendir(path);
  int n = 0;
  while (d && readdir(d)) n++;
  if (d) closedir(d);
  return d && n == 2;
}

static void check_place(const stage *g)
{
  if (!file_exists(g->folder) || folder_is_empty(g->folder)) return;
  bool ours = file_exists(say("%s/%s", g->folder, g->mark));
  if (ours && g->replace) return;
  die(EXIT_USAGE, g->folder, say("%s in its place", ours ? g->what : "something else"), "a new or empty folder",
      ours ? "--replace overwrites it" : "choose another place");
}

static void sweep(const char *folder)
{
  char *old;
  for (; (old = leftover(folder, "tmp")); free(old)) if (remove_all(old)) { free(old); break; }
  for (; (old = leftover(folder, "old")); free(old)) {
    const bool back = !file_exists(folder);
    if (back ? rename(old, folder) : remove_all(old)) { free(old); break; }
    if (back) warn(folder, "put back: its replacement was cut short", NULL);
  }
}

stage *stage_open(const char *folder, const char *mark, const char *what, bool replace)
{
  static bool registered;
  if (!*folder) die(EXIT_USAGE, what, "an empty name for its folder", "a folder", NULL);
  if (!registered) registered = !atexit(remove_stages);
  stage *g = NEW(stage, 1);
  *g = (stage){ .folder = copy_text(folder), .mark = mark, .what = what, .replace = replace };
  for (size_t n = strlen(g->folder); n > 1 && g->folder[n-1] == '/'; n--) g->folder[n-1] = 0;
  sweep(g->folder);
  check_place(g);
  g->path = join("%s.tmp.%d", g->folder, (int)getpid());
  make_folders(g->path);
  for (int i = 0; i < 4; i++)
    if (!open_stages[i]) { open_stages[i] = g; break; }
  g->lock = open(g->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (g->lock < 0) file_write_error(g->path);
  flock(g->lock, LOCK_EX | LOCK_NB);
  return g;
}

dataset_writer *dataset_create(const char *folder, bool replace, int classes,
                               const char *const *class_name)
{
  dataset_writer *d = NEW(dataset_writer, 1);
  d->classes = classes, d->class_name = class_name, d->made = NEW(bool, classes);
  d->stage = stage_open(folder, "dataset.json", "a data set", replace);
  return d;
}

/* add cells to the stage */
void dataset_add(dataset_writer *d, int label, const char *name, const char *group, const image *cell)
{
  if (!d->n) d->h = cell->h, d->w = cell->w;
  if (cell->h != d->h || cell->w != d->w || label < 0 || label >= d->classes)
    die(EXIT_FAIL, name, say("a cell of %d x %d, class %d", cell->w, cell->h, label),
        say("%d x %d", d->w, d->h), NULL);
  if (d->n == d->room)
    d->row = grow(d->row, sizeof *d->row * (size_t)(d->room = d->room ? 2 * d->room : 256));
  labelled *r = &d->row[d->n++];
  *r = (labelled){ join("%s/%s.tif", d->class_name[label], name), copy_text(group ? group : ""), "", label,
                   "" };
  if (!d->made[label])
    make_folders(say("%s/%s", d->stage->path, d->class_name[label])), d->made[label] = true;
  size_t n;
  uint8_t *bytes = image_tiff_bytes(cell, &n);
  sha256_of(bytes, n, r->sha256);
  char *path = join("%s/%s", d->stage->path, r->file);
  FILE *f = fopen(path, "wbx");
  if (!f || fwrite(bytes, 1, n, f) != n || fclose(f)) file_write_error(path);
  free(path), free(bytes);
}

void dataset_add_split(dataset_writer *d, const char *split)
{
  const int part = split_of(split);
  d->row[d->n - 1].split = part < 0 ? "" : split_names[part];
  d->splits = d->splits || part >= 0;
}

static int by_file(const void *a, const void *b)
{
  return strcmp(((const labelled *)a)->file, ((const labelled *)b)->file);
}

static void write_labels(dataset_writer *d, char hex[65])
{
  char *path = join("%s/labels.csv", d->stage->path);
  atomic_file *a = file_create(path);
  qsort(d->row, (size_t)d->n, sizeof *d->row, by_file);
  fprintf(a->f, "file,class,group,sha256%s\n", d->splits ? ",split" : "");
  for (labelled *r = d->row; r < d->row + d->n; r++) {
    csv_put(a->f, r->file), fprintf(a->f, ",%s,", d->class_name[r->label]);
    csv_put(a->f, r->group), fprintf(a->f, ",%s", r->sha256);
    fprintf(a->f, d->splits ? ",%s\n" : "\n", r->split);
  }
  file_commit(a);
  sha256_of_file(path, hex);
  free(path);
}

/* describe the set */
static void build_description(builder *b, const dataset_writer *d, const char *name, const char *kind,
                              const char *source, const char *command)
{
  const char *const key[] = { "name", "kind", "source" }, *const value[] = { name, kind, source };
  int *count = NEW(int, d->classes);
  for (int i = 0; i < d->n; i++) count[d->row[i].label]++;
  build(b, "{");
  for (int i = 0; i < 3; i++)
    build(b, "%s\"%s\": ", i ? ",\n " : "", key[i]), build_json(b, value[i]);
  build(b, ",\n \"height\": %d, \"width\": %d, \"cells\": %d,\n \"classes\": [", d->h, d->w, d->n);
  for (int c = 0; c < d->classes; c++)
    build(b, "%s", c ? ", " : ""), build_json(b, d->class_name[c]);
  build(b, "],\n \"counts\": [");
  for (int c = 0; c < d->classes; c++) build(b, "%s%d", c ? ", " : "", count[c]);
  build(b, "],\n \"command\": "), build_json(b, command);
  free(count);
}

static void write_json(dataset_writer *d, const char *hex, const char *name, const char *kind,
                       const char *source, const char *command)
{
  builder b = {0};
  char *path = join("%s/dataset.json", d->stage->path);
  build_description(&b, d, name, kind, source, command);
  build(&b, ",\n \"sha256\": \"%s\"", hex);
  build_seal(&b, own_hash);
  atomic_file *a = file_create(path);
  fwrite(b.text, 1, b.length, a->f);
  file_commit(a);
  free(built(&b, NULL)), free(path);
}

static void free_writer(dataset_writer *d)
{
  for (int i = 0; i < d->n; i++) free(d->row[i].file), free(d->row[i].group);
  free(d->row), free(d->made), free(d);
}

/* put the stage in its place */
static void close_stage(stage *g)
{
  for (int i = 0; i < 4; i++) if (open_stages[i] == g) open_stages[i] = NULL;
  close(g->lock);
  free(g->folder), free(g->path), free(g);
}

void stage_cancel(stage *g)
{
  remove_all(g->path);
  close_stage(g);
}

void dataset_cancel(dataset_writer *d)
{
  stage_cancel(d->stage);
  free_writer(d);
}

static void move_aside(const stage *g)
{
  char *old = join("%s.old.%d", g->folder, (int)getpid());
  if (rename(g->folder, old)) file_write_error(g->folder);
  if (rename(g->path, g->folder)) {
    const int why = errno;
    if (rename(old, g->folder))
      die(EXIT_FAIL, g->folder, say("nothing in its place any more: %s", strerror(why)), "the new set",
          say("the set that it held is whole: it is now %s", old));
    errno = why;
    file_write_error(g->folder);
  }
  remove_all(old), free(old);
}

static void put_in_place(const stage *g)
{
  bool had = file_exists(g->folder) && !folder_is_empty(g->folder);
  if (had) check_place(g);
  else if (rename(g->path, g->folder)) file_write_error(g->folder);
  if (!had) return;
#ifdef RENAME_EXCHANGE
  if (!renameat2(AT_FDCWD, g->path, AT_FDCWD, g->folder, RENAME_EXCHANGE)) { remove_all(g->path); return; }
#endif
  move_aside(g);
}

void stage_commit(stage *g)
{
  if (syncfs(g->lock)) file_write_error(g->folder);
  output_flush();
  put_in_place(g);
  close_stage(g);
}

void dataset_commit(dataset_writer *d, const char *name, const char *kind, const char *source,
                    const char *command)
{
  char hex[65];
  write_labels(d, hex);
  write_json(d, hex, name, kind, source, command);
  stage_commit(d->stage);
  free_writer(d);
}

/* keep the command */
static char *quoted(const char *word)
{
  char *s = NEW(char, 4 * strlen(word) + 3), *to = s;
  *to++ = '\'';
  for (; *word; word++)
    if (*word == '\'') to = stpcpy(to, "'\\''");
    else *to++ = *word;
  *to = '\'';
  return s;
}

char *command_line(int argc, char **argv)
{
  char *s = copy_text("wbcsnet");
  for (int i = 0; i < argc; i++) {
    bool plain = argv[i][0] && !argv[i][strcspn(argv[i], " \t\n'\"\\$*?[]{}~#!;&|<>()`")];
    char *word = plain ? copy_text(argv[i]) : quoted(argv[i]), *longer = join("%s %s", s, word);
    free(s), free(word), s = longer;
  }
  return s;
}

/* read the description */
static const char import_hint[] = "wbcsnet import or wbcsnet synth makes a data set";

/* What dataset.json says of labels.csv; count (classes) */
typedef struct { char *path, sha256[65]; int cells, *count; } description;

static const json *required(const json *j, const char *path, const char *key, int kind)
{
  const json *value = json_get(j, key);
  if (!value || (int)value->kind != kind)
    die(EXIT_DATA, path, value ? say("'%s' of another kind", key) : say("no '%s'", key),
        kind == JSON_TEXT ? "a text" : kind == JSON_NUMBER ? "a number" : "a list", import_hint);
  return value;
}

static int required_count(const json *value, const char *path, int least, int most)
{
  const double x = value->kind == JSON_NUMBER ? value->number : NAN;
  if (!(x >= least && x <= most && x == (int)x))
    die(EXIT_DATA, path, say("%s %s", value->name ? value->name : "counts", value->text ? value->text : ""),
        say("a whole number from %d to %d", least, most), import_hint);
  return (int)x;
}

bool is_synthetic(const json *j, const char *path)
{
  const char *kind = required(j, path, "kind", JSON_TEXT)->text;
  const bool synthetic = !strcmp(kind, "synthetic");
  if (!synthetic && strcmp(kind, "real"))
    die(EXIT_DATA, path, say("kind '%.40s'", kind), "real or synthetic", import_hint);
  return synthetic;
}

void refuse_altered(const json *j, const char *text, const char *path)
{
  if (json_get(j, own_hash) && !is_sealed(text, strlen(text), own_hash))
    die(EXIT_DATA, path, "another text than was written", say("the SHA-256 that %s names", own_hash),
        say("make the set again; if the change is meant, take %s out of it", own_hash));
}

static void read_class_list(dataset *ds, const json *j, description *d)
{
  const json *classes = required(j, d->path, "classes", JSON_ARRAY),
    *n = required(j, d->path, "counts", JSON_ARRAY)->child;
  long long sum = 0;
  for (const json *c = classes->child; c; c = c->next, n = n ? n->next : NULL) {
    if (c->kind != JSON_TEXT || !*c->text || !n)
      die(EXIT_DATA, d->path, n ? "a class that is no name" : "fewer counts than classes",
          "a name and a count for each", import_hint);
    if (ds->classes == CLASSES_MOST)
      die(EXIT_DATA, d->path, "too many classes", say("at most %d", CLASSES_MOST), import_hint);
    for (int i = 0; i < ds->classes; i++)
      if (!strcasecmp(ds->class_name[i], c->text))
        die(EXIT_DATA, d->path, say("the class '%s' twice", c->text), "each once", import_hint);
    ds->class_name = grow(ds->class_name, sizeof(char *) * (size_t)(ds->classes + 1));
    d->count = grow(d->count, sizeof(int) * (size_t)(ds->classes + 1));
    sum += d->count[ds->classes] = required_count(n, d->path, 0, 1 << 30);
    ds->class_name[ds->classes++] = copy_text(c->text);
  }
  d->cells = required_count(required(j, d->path, "cells", JSON_NUMBER), d->path, 1, 1 << 30);
  if (n || ds->classes < 2 || sum != d->cells)
    die(EXIT_DATA, d->path,
        say("%d classes, %d cells, counts of %lld%s", ds->classes, d->cells, sum, n ? " and more" : ""),
        "at least two classes, and the cells of each", import_hint);
}

/* hold table and description together */
static char *description_text(const char *folder, description *d)
{
  if (!file_exists(folder)) {
    const char *old = leftover(folder, "old");
    die(EXIT_DATA, folder, "no such folder", "a data set",
        old ? say("its replacement was cut short: rename %s", old) : import_hint);
  }
  d->path = join("%s/dataset.json", folder);
  if (!file_exists(d->path)) die(EXIT_DATA, folder, "no dataset.json in it", "a data set", import_hint);
  return file_read(d->path, NULL, import_hint);
}

static description read_description(dataset *ds, const char *folder, int *h, int *w)
{
  description d = {0};
  char *text = description_text(folder, &d);
  json *j = json_parse(text, d.path);
  ds->name = copy_text(required(j, d.path, "name", JSON_TEXT)->text);
  snprintf(ds->kind, sizeof ds->kind, "%s", is_synthetic(j, d.path) ? "synthetic" : "real");
  snprintf(d.sha256, 65, "%s", required(j, d.path, "sha256", JSON_TEXT)->text);
  read_class_list(ds, j, &d);
  const int height = required_count(required(j, d.path, "height", JSON_NUMBER), d.path, 1, 4096),
    width = required_count(required(j, d.path, "width", JSON_NUMBER), d.path, 1, 4096);
  refuse_altered(j, text, d.path);
  ds->disk_h = height, ds->disk_w = width;
  if (!*h) *h = height, *w = width;
  json_free(j), free(text);
  return d;
}

static void warn_of_edits(const dataset *ds, const description *d, const int *count, const char *labels)
{
  builder b = {0};
  for (int c = 0; c < ds->classes; c++)
    if (count[c] != d->count[c]) build_list(&b, say("%s %d, not %d", ds->class_name[c], count[c], d->count[c]));
  char *counts = built(&b, NULL);
  warn(labels, say("edited since the set was made%s%s%s", *counts ? ": found " : "", counts, *counts ? " as in dataset.json" : ""),
       "runs record the edited file's sha256");
  free(counts);
}

static void check_against(const dataset *ds, const description *d, const char *labels)
{
  int *count = NEW(int, ds->classes);
  const bool same = !strcmp(d->sha256, ds->sha256);
  for (int i = 0; i < ds->n; i++) count[ds->label[i]]++;
  if (ds->n != d->cells)
    die(EXIT_DATA, labels, say("%d cells", ds->n), say("%d, as in dataset.json", d->cells),
        "was it cut short? if rows were changed on purpose, make a set of them: wbcsnet import --layout csv");
  for (int c = 0; same && c < ds->classes; c++)
    if (count[c] != d->count[c])
      die(EXIT_DATA, d->path, say("%d cells of class %s", d->count[c], ds->class_name[c]),
          say("%d, as in labels.csv", count[c]), "the file is damaged; import the set again");
  if (!same) warn_of_edits(ds, d, count, labels);
  free(count);
}

/* number the groups */
static int by_text(const void *a, const void *b)
{
  return strcmp(*(char *const *)a, *(char *const *)b);
}

static void number_groups(dataset *ds, const csv *t, int column)
{
  ds->group_name = NEW(char *, t->rows);
  for (int i = 0; i < t->rows; i++)
    if (column >= 0 && *csv_cell(t, i, column))
      ds->group_name[ds->groups++] = (char *)(uintptr_t)csv_cell(t, i, column);
  qsort(ds->group_name, (size_t)ds->groups, sizeof(char *), by_text);
  int n = 0;
  for (int i = 0; i < ds->groups; i++)
    if (!n || strcmp(ds->group_name[n-1], ds->group_name[i])) ds->group_name[n++] = ds->group_name[i];
  ds->groups = n, ds->grouped = n > 0;
  for (int i = 0; i < n; i++) ds->group_name[i] = copy_text(ds->group_name[i]);
  for (int i = 0; i < t->rows; i++) {
    const char *name = column >= 0 ? csv_cell(t, i, column) : "";
    char **at = *name ? bsearch(&name, ds->group_name, (size_t)n, sizeof(char *), by_text) : NULL;
    ds->group[i] = at ? (int)(at - ds->group_name) : -1;
  }
}

/* read the rows */
static void refuse_repeats(const dataset *ds, const char *path)
{
  char **sorted = NEW(char *, ds->n);
  memcpy(sorted, ds->file, sizeof(char *) * (size_t)ds->n);
  qsort(sorted, (size_t)ds->n, sizeof(char *), by_text);
  for (int i = 1; i < ds->n; i++)
    if (!strcmp(sorted[i - 1], sorted[i]))
      die(EXIT_DATA, path, say("two rows of %.200s", sorted[i]), "a row for each cell", "remove one of them");
  free(sorted);
}

static void read_split(dataset *ds, const csv *t, int column)
{
  if (column < 0) return;
  ds->split = NEW(int, t->rows);
  for (int i = 0; i < t->rows; i++) {
    const char *word = csv_cell(t, i, column);
    ds->split[i] = split_of(word);
    if (ds->split[i] < 0 && *word)
      die(EXIT_DATA, say("%s:%d", t->path, i + 2), say("the split '%s'", word), "train, val or test, or nothing", NULL);
  }
}

void dataset_columns(const csv *t)
{
  static const char *const known[] = { "file", "class", "group", "split", "sha256", NULL };
  for (int i = 0; i < t->columns; i++) {
    bool is = false;
    for (int k = 0; known[k]; k++) is |= !strcmp(t->header[i], known[k]);
    const char *near = is ? NULL : nearest(t->header[i], known);
    if (!is)
      die(EXIT_DATA, t->path, say("a column '%s'", t->header[i]), "none but file, class, group, split and sha256 in a data set",
          near ? say("did you mean %s?", near) : "keep it in a file of your own");
  }
}

static void read_labels(dataset *ds, const csv *t)
{
  dataset_columns(t);
  int file = csv_need(t, "file"), class = csv_need(t, "class");
  if (!t->rows) die(EXIT_DATA, t->path, "no cells", "at least one row", import_hint);
  ds->n = t->rows, ds->label = NEW(int, t->rows), ds->group = NEW(int, t->rows),
    ds->file = NEW(char *, t->rows);
  for (int i = 0; i < t->rows; i++) {
    const char *name = csv_cell(t, i, class);
    int c = 0;
    while (c < ds->classes && strcmp(ds->class_name[c], name)) c++;
    if (c == ds->classes)
      die(EXIT_DATA, say("%s:%d", t->path, i + 2), say("class '%s'", name), "a class of dataset.json",
          import_hint);
    ds->label[i] = c, ds->file[i] = copy_text(csv_cell(t, i, file));
  }
  refuse_repeats(ds, t->path);
  read_split(ds, t, csv_column(t, "split"));
  number_groups(ds, t, csv_column(t, "group"));
}

/* read the cells */
/* One cell into to (h, w, 3); false with the reason. */
static bool load_cell(const char *folder, const char *file, const char *sha, int h, int w, uint8_t *to,
                      char why[256])
{
  char *path = join("%s/%s", folder, file), hex[65];
  size_t n;
  image m = {0};
  char *bytes = image_file(path, &n, why);
  bool good = bytes != NULL;
  if (good && *sha) sha256_of(bytes, n, hex), good = !strcmp(hex, sha);
  if (bytes && !good)
    snprintf(why, 256, "sha256 %s, and %.64s in labels.csv: the image or its row was changed since it was imported", hex, sha);
  if (good) good = image_read_bytes(bytes, n, &m, why);
  if (good && (m.h != h || m.w != w)) { image r = image_resize(&m, h, w); image_free(&m); m = r; }
  if (good) memcpy(to, m.rgb, (size_t)h * (size_t)w * 3);
  image_free(&m), free(bytes), free(path);
  return good;
}

dataset *dataset_load(const char *folder, int h, int w)
{
  dataset *ds = NEW(dataset, 1);
  description d = read_description(ds, folder, &h, &w);
  char *path = join("%s/labels.csv", folder), (*why)[256];
  csv *t = csv_read(path, import_hint);
  read_labels(ds, t);
  sha256_of_file(path, ds->sha256);
  check_against(ds, &d, path);
  ds->h = h, ds->w = w, ds->c = 3;
  size_t bytes = (size_t)h * (size_t)w * 3;
  ds->pixels = new_bytes(bytes * (size_t)ds->n), why = new_bytes(sizeof *why * (size_t)ds->n);
  int sha = csv_column(t, "sha256"), bad = ds->n;
  #pragma omp parallel for schedule(dynamic, 16) reduction(min : bad)
  for (int i = 0; i < ds->n; i++)
    if (!load_cell(folder, ds->file[i], sha >= 0 ? csv_cell(t, i, sha) : "", h, w,
                   ds->pixels + bytes * (size_t)i, why[i])
        && i < bad) bad = i;
  if (bad < ds->n)
    die(EXIT_DATA, say("%s/%s", folder, ds->file[bad]), why[bad], "a cell of the data set",
        "import the set again");
  csv_free(t), free(path), free(why), free(d.path), free(d.count);
  return ds;
}

void dataset_channels(dataset *ds, int c)
{
  if (c == ds->c) return;
  image all = { .h = ds->n * ds->h, .w = ds->w, .rgb = ds->pixels };
  image_channels(&all, c, ds->pixels);
  ds->c = c;
}

/* forget the groups */
int *dataset_ungroup(dataset *ds)
{
  int *known = ds->group;
  ds->group = NEW(int, ds->n), ds->grouped = false;
  for (int i = 0; i < ds->n; i++) ds->group[i] = -1;
  return known;
}

void dataset_regroup(dataset *ds, int *known)
{
  free(ds->group);
  ds->group = known, ds->grouped = true;
}

void dataset_free(dataset *ds)
{
  for (int i = 0; i < ds->n; i++) free(ds->file[i]);
  for (int i = 0; i < ds->classes; i++) free((char *)(uintptr_t)ds->class_name[i]);
  for (int i = 0; i < ds->groups; i++) free(ds->group_name[i]);
  free(ds->name), free(ds->pixels), free(ds->label), free(ds->group), free(ds->split), free(ds->file), free(ds->class_name),
    free(ds->group_name), free(ds);
}

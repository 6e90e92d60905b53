#include "dataset.h"
/* dataset: headers */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
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

/* dataset: write */
typedef struct { char *file, *group; int label; char sha256[65]; } labelled;
struct dataset_writer {
  char *folder, *stage;
  bool replace, *made;                                               /* (classes) is its folder there */
  int classes, n, room, h, w;
  const char *const *class_name;
  labelled *row;
};
static dataset_writer *open_writer;

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
  (void)st, (void)kind, (void)at;
  return remove(path);
}
static void remove_folder(const char *path) { nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS); }
static void remove_stage(void) { if (open_writer) remove_folder(open_writer->stage); }

static bool folder_is_empty(const char *path)
{
  DIR *d = opendir(path);
  int n = 0;
  while (d && readdir(d)) n++;
  if (d) closedir(d);
  return d && n == 2;
}

static void check_place(const char *folder, bool replace)
{
  if (!file_exists(folder) || folder_is_empty(folder)) return;
  bool ours = file_exists(say("%s/dataset.json", folder));
  if (ours && replace) return;
  die(EXIT_USAGE, folder, ours ? "a data set in its place" : "something else in its place",
      "a new or empty folder",
      ours ? "--replace overwrites it" : "choose another place");
}

dataset_writer *dataset_create(const char *folder, bool replace, int classes,
                               const char *const *class_name)
{
  static bool registered;
  if (!registered) registered = !atexit(remove_stage);
  dataset_writer *d = NEW(dataset_writer, 1);
  d->folder = copy_text(folder), d->replace = replace, d->classes = classes, d->class_name = class_name;
  for (size_t n = strlen(d->folder); n > 1 && d->folder[n-1] == '/'; n--) d->folder[n-1] = 0;
  check_place(d->folder, replace);
  d->stage = join("%s.tmp.%d", d->folder, (int)getpid());
  d->made = NEW(bool, classes);
  make_folders(d->stage);
  open_writer = d;
  return d;
}

void dataset_add(dataset_writer *d, int label, const char *name, const char *group, const image *cell)
{
  if (!d->n) d->h = cell->h, d->w = cell->w;
  if (cell->h != d->h || cell->w != d->w || label < 0 || label >= d->classes)
    die(EXIT_FAIL, name, say("a cell of %d x %d, class %d", cell->w, cell->h, label),
        say("%d x %d", d->w, d->h), NULL);
  if (d->n == d->room)
    d->row = grow(d->row, sizeof *d->row * (size_t)(d->room = d->room ? 2 * d->room : 256));
  labelled *r = &d->row[d->n++];
  *r = (labelled){ join("%s/%s.tif", d->class_name[label], name), copy_text(group ? group : ""), label,
                   "" };
  if (!d->made[label])
    make_folders(say("%s/%s", d->stage, d->class_name[label])), d->made[label] = true;
  size_t n;
  uint8_t *bytes = image_tiff_bytes(cell, &n);
  sha256_of(bytes, n, r->sha256);
  char *path = join("%s/%s", d->stage, r->file);
  FILE *f = fopen(path, "wbx");
  if (!f || fwrite(bytes, 1, n, f) != n || fclose(f)) file_write_error(path);
  free(path), free(bytes);
}

static int by_file(const void *a, const void *b)
{
  return strcmp(((const labelled *)a)->file, ((const labelled *)b)->file);
}

static void write_labels(dataset_writer *d, char hex[65])
{
  char *path = join("%s/labels.csv", d->stage);
  atomic_file *a = file_create(path);
  qsort(d->row, (size_t)d->n, sizeof *d->row, by_file);
  fputs("file,class,group,sha256\n", a->f);
  for (labelled *r = d->row; r < d->row + d->n; r++) {
    csv_put(a->f, r->file), fprintf(a->f, ",%s,", d->class_name[r->label]);
    csv_put(a->f, r->group), fprintf(a->f, ",%s\n", r->sha256);
  }
  file_commit(a);
  sha256_of_file(path, hex);
  free(path);
}

static void write_json(dataset_writer *d, const char *hex, const char *name, const char *kind,
                       const char *source, const char *command)
{
  const char *const key[] = { "name", "kind", "source" }, *const value[] = { name, kind, source };
  int *count = NEW(int, d->classes);
  char *path = join("%s/dataset.json", d->stage);
  atomic_file *a = file_create(path);
  for (int i = 0; i < d->n; i++) count[d->row[i].label]++;
  fputs("{", a->f);
  for (int i = 0; i < 3; i++)
    fprintf(a->f, "%s\"%s\": ", i ? ",\n " : "", key[i]), json_put_text(a->f, value[i]);
  fprintf(a->f, ",\n \"height\": %d, \"width\": %d, \"cells\": %d,\n \"classes\": [", d->h, d->w, d->n);
  for (int c = 0; c < d->classes; c++)
    fputs(c ? ", " : "", a->f), json_put_text(a->f, d->class_name[c]);
  fputs("],\n \"counts\": [", a->f);
  for (int c = 0; c < d->classes; c++) fprintf(a->f, "%s%d", c ? ", " : "", count[c]);
  fputs("],\n \"command\": ", a->f), json_put_text(a->f, command);
  fprintf(a->f, ",\n \"sha256\": \"%s\"}\n", hex);
  file_commit(a);
  free(path), free(count);
}

static void free_writer(dataset_writer *d)
{
  open_writer = NULL;
  for (int i = 0; i < d->n; i++) free(d->row[i].file), free(d->row[i].group);
  free(d->row), free(d->folder), free(d->stage), free(d->made), free(d);
}

void dataset_cancel(dataset_writer *d)
{
  remove_folder(d->stage);
  free_writer(d);
}

void dataset_commit(dataset_writer *d, const char *name, const char *kind, const char *source,
                    const char *command)
{
  char hex[65], *old = join("%s.old.%d", d->folder, (int)getpid());
  write_labels(d, hex);
  write_json(d, hex, name, kind, source, command);
  sync();
  bool had = file_exists(d->folder) && !folder_is_empty(d->folder);
  if (had) check_place(d->folder, d->replace);
  if ((had && rename(d->folder, old)) || rename(d->stage, d->folder)) file_write_error(d->folder);
  if (had) remove_folder(old);
  free(old);
  free_writer(d);
}

char *command_line(int argc, char **argv)
{
  char *s = copy_text("wbcsnet");
  for (int i = 0; i < argc; i++) {
    bool plain = argv[i][0] && !argv[i][strcspn(argv[i], " \t\n'\"\\$*?;&|<>()`")];
    char *longer = join(plain ? "%s %s" : "%s '%s'", s, argv[i]);
    free(s), s = longer;
  }
  return s;
}

/* dataset: load */
static const char import_hint[] = "wbcsnet import or wbcsnet synth makes a data set";

static void read_description(dataset *ds, const char *folder, int *h, int *w, char recorded[65])
{
  if (!file_exists(folder)) die(EXIT_DATA, folder, "no such folder", "a data set", import_hint);
  char *path = join("%s/dataset.json", folder);
  if (!file_exists(path)) die(EXIT_DATA, folder, "no dataset.json in it", "a data set", import_hint);
  char *text = file_read(path, NULL, import_hint);
  json *j = json_parse(text, path), *classes = json_get(j, "classes");
  snprintf(ds->name, sizeof ds->name, "%s", json_text(j, "name", ""));
  snprintf(ds->kind, sizeof ds->kind, "%s", json_text(j, "kind", "real"));
  snprintf(recorded, 65, "%s", json_text(j, "sha256", ""));
  if (!*h) *h = (int)json_number(j, "height", 0), *w = (int)json_number(j, "width", 0);
  for (json *c = classes ? classes->child : NULL; c; c = c->next)
    if (c->text) {
      ds->class_name = grow(ds->class_name, sizeof(char *) * (size_t)(ds->classes + 1));
      ds->class_name[ds->classes++] = copy_text(c->text);
    }
  if (ds->classes < 2 || *h < 1 || *w < 1 || *h > 4096 || *w > 4096)
    die(EXIT_DATA, path, say("%d classes, %d x %d pixels", ds->classes, *w, *h),
        "classes, height and width", import_hint);
  json_free(j), free(text), free(path);
}

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

static void read_labels(dataset *ds, const csv *t)
{
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
  number_groups(ds, t, csv_column(t, "group"));
}

/* One cell into to (h, w, 3); false with the reason. */
static bool load_cell(const char *folder, const char *file, const char *sha, int h, int w, uint8_t *to,
                      char why[256])
{
  char *path = join("%s/%s", folder, file), hex[65];
  image m = {0};
  FILE *f = file_open(path);
  uint8_t *bytes = NULL;
  long size = f && !fseek(f, 0, SEEK_END) ? ftell(f) : -1;
  bool good = false;
  if (!f || size < 0 || size > 1000000000)
    snprintf(why, 256, "%s", f ? "not a plain file" : strerror(errno));
  else {
    rewind(f), bytes = new_bytes((size_t)size);
    good = fread(bytes, 1, (size_t)size, f) == (size_t)size;
    if (!good) snprintf(why, 256, "cannot read: %s", strerror(errno));
    if (good && *sha) sha256_of(bytes, (size_t)size, hex), good = !strcmp(hex, sha);
    if (!good && *sha)
      snprintf(why, 256, "sha256 %.12s..., changed since it was imported as %.12s...", hex, sha);
    if (good) good = image_read_bytes(bytes, (size_t)size, &m, why);
  }
  if (good && (m.h != h || m.w != w)) { image r = image_resize(&m, h, w); image_free(&m); m = r; }
  if (good) memcpy(to, m.rgb, (size_t)h * (size_t)w * 3);
  image_free(&m), free(bytes), free(path);
  if (f) fclose(f);
  return good;
}

dataset *dataset_load(const char *folder, int h, int w)
{
  dataset *ds = NEW(dataset, 1);
  char recorded[65];
  read_description(ds, folder, &h, &w, recorded);
  char *path = join("%s/labels.csv", folder), (*why)[256];
  csv *t = csv_read(path, import_hint);
  read_labels(ds, t);
  sha256_of_file(path, ds->sha256);
  if (strcmp(recorded, ds->sha256))
    warn(path, "edited since the set was made", "runs record the edited file's sha256");
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
  csv_free(t), free(path), free(why);
  return ds;
}

void dataset_channels(dataset *ds, int c)
{
  if (c == ds->c) return;
  image all = { .h = ds->n * ds->h, .w = ds->w, .rgb = ds->pixels };
  image_channels(&all, c, ds->pixels);
  ds->c = c;
}

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
  free(ds->pixels), free(ds->label), free(ds->group), free(ds->file), free(ds->class_name),
    free(ds->group_name), free(ds);
}

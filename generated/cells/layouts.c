#include "cells/layouts.h"
#include "cells/dataset.h"
#include "base/options.h"
#include "base/pieces.h"
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

/* add a cell to what was found */
static found_cell *add_found(finding *f, const char *path, const char *name, int label,
                             const char *group)
{
  if (f->n == f->room)
    f->cell = grow(f->cell, sizeof *f->cell * (size_t)(f->room = f->room ? 2 * f->room : 256));
  f->cell[f->n] = (found_cell){ .path = copy_text(path), .name = copy_text(name),
                                .group = copy_text(group), .split = "", .part = -1, .label = label, .y = -1, .x = -1 };
  return &f->cell[f->n++];
}

/* recognise a class */
static bool in_list(const char *list, const char *word)
{
  size_t n = strlen(word);
  for (const char *s = list; s && *s; s += strcspn(s, ","), s += *s == ',')
    if (strcspn(s, ",") == n && !strncasecmp(s, word, n)) return true;
  return false;
}

static bool is_mapped(const cell_source *from, const char *word)
{
  for (int i = 0; i < from->maps; i++) if (!strcmp(from->mapped[i].word, word)) return true;
  return false;
}

/* The class of a word by its own name or a usual alias; -1: none. */
static int known_class(const cell_source *from, const char *word)
{
  const int usual = class_of(word);
  for (int c = 0; c < from->class_count; c++) if (!strcasecmp(from->class_name[c], word)) return c;
  for (int c = 0; c < from->class_count && usual >= 0; c++) if (!strcmp(from->class_name[c], class_names[usual])) return c;
  return -1;
}

static const char *class_list(const cell_source *from)
{
  builder all = {0};
  for (int i = 0; i < from->class_count; i++) build_list(&all, from->class_name[i]);
  return built(&all, NULL);
}

void name_classes(cell_source *from, const char *const *usual, int n)
{
  from->class_name = NEW(const char *, n + 1);
  if (!from->classes) {
    from->class_count = n;
    for (int c = 0; c < n; c++) from->class_name[c] = usual[c];
    return;
  }
  char *left = copy_text(from->classes), *name;
  while ((name = strsep(&left, ","))) {
    if (!*name) die(EXIT_USAGE, "--classes", say("'%s', where a name is empty", from->classes), "names, with a comma between two", NULL);
    for (const char *s = name; *s; s++)
      if (!isalnum((unsigned char)*s) && !strchr("-_", *s))
        die(EXIT_USAGE, "--classes", say("'%s'", name), "letters, digits, - and _", NULL);
    for (int c = 0; c < from->class_count; c++)
      if (!strcasecmp(from->class_name[c], name)) die(EXIT_USAGE, "--classes", say("'%s' twice", name), "each name once", NULL);
    if (from->class_count == CLASSES_MOST)
      die(EXIT_USAGE, "--classes", "too many names", say("at most %d", CLASSES_MOST), NULL);
    from->class_name = grow(from->class_name, sizeof(char *) * (size_t)(from->class_count + 2));
    from->class_name[from->class_count++] = name, from->class_name[from->class_count] = NULL;
  }
  if (from->class_count < 2)
    die(EXIT_USAGE, "--classes", say("'%s'", from->classes), "at least two names, with commas", NULL);
}

/* One pair WORD=CLASS */
static void add_pair(cell_source *from, char *pair, const char *where)
{
  char *is = strrchr(pair, '='), *word = trimmed(pair);
  if (!is || is == pair) die(EXIT_USAGE, where, say("'%s'", pair), "WORD=CLASS", "such as LYT=lymphocyte");
  *is = 0, word = trimmed(pair);
  const char *class = trimmed(is + 1), *near = nearest(class, from->class_name);
  const int c = known_class(from, class);
  if (c < 0)
    die(EXIT_USAGE, where, say("'%s' for '%s'", class, word), class_list(from),
        near ? say("did you mean %s?", near) : "--classes names other ones");
  if (is_mapped(from, word)) die(EXIT_USAGE, where, say("'%s' twice", word), "each word once", NULL);
  from->mapped = grow(from->mapped, sizeof *from->mapped * (size_t)(from->maps + 1));
  from->mapped[from->maps++] = (mapped_word){ copy_text(word), c, false };
}

void read_map(cell_source *from)
{
  if (!from->map) return;
  const bool pairs = strchr(from->map, '=') != NULL;
  char *text = pairs ? copy_text(from->map) : file_read(from->map, NULL, "--map takes WORD=CLASS,... or a file of such lines");
  char *at = text, *line;
  for (int n = 1; (line = strsep(&at, pairs ? "," : "\n")); n++) {
    if (!pairs) line[strcspn(line, "\r#")] = 0;
    if (line[strspn(line, " \t")]) add_pair(from, line, pairs ? "--map" : say("%s:%d", from->map, n));
  }
  free(text);
}

static void note_unknown(finding *f, const char *word, const char *where)
{
  for (int i = 0; i < f->unknowns; i++)
    if (!strcmp(f->unknown[i].word, word)) { f->unknown[i].times++; return; }
  f->unknown = grow(f->unknown, sizeof *f->unknown * (size_t)(f->unknowns + 1));
  f->unknown[f->unknowns++] = (unknown_word){ copy_text(word), copy_text(where), 1 };
}

/* The class of a word; -1 when its cells are left out, or unknown: find_cells tells of those in the end. */
static int need_class(const cell_source *from, finding *f, const char *name, const char *where)
{
  char *room = copy_text(name), *word = trimmed(room);
  int c = -1, i = 0;
  while (i < from->maps && strcmp(from->mapped[i].word, word)) i++;
  if (i < from->maps) c = from->mapped[i].label, from->mapped[i].used = true;
  else if (in_list(from->skip, word)) f->other_classes++;
  else if ((c = known_class(from, word)) < 0) note_unknown(f, word, where), c = from->any_class ? from->class_count : -1;
  free(room);
  return c;
}

/* A word as a shell takes it within a flag of several, or NULL when no flag can hold it. */
static bool is_plain_word(const char *word) { return *word && !word[strcspn(word, ",='\" \t$&;|<>()*?[]#~`\\!{}")]; }

static const char *mapping_hint(const cell_source *from, const finding *f)
{
  builder map = {0}, skip = {0};
  bool plain = true;
  for (int i = 0; i < f->unknowns; i++) {
    const char *word = f->unknown[i].word, *near = nearest(word, from->class_name);
    plain = plain && is_plain_word(word);
    build(&map, "%s%s=%s", i ? "," : "", word, near ? near : "CLASS"), build(&skip, "%s%s", i ? "," : "", word);
  }
  const char *near = f->unknowns > 1 ? NULL : nearest(f->unknown[0].word, from->class_name), *quote = plain ? "" : "'";
  const char *pairs = built(&map, NULL), *words = built(&skip, NULL);
  return say("%s--map %s%s%s%s; or leave %s out with --skip-classes %s%s%s%s", near ? say("did you mean %s? ", near) : "",
             quote, pairs, quote, strstr(pairs, "=CLASS") ? ", with one of those for CLASS" : "", f->unknowns > 1 ? "them" : "it",
             quote, words, quote, near ? "" : "; or name other classes with --classes");
}

static void settle_classes(const cell_source *from, const finding *f)
{
  builder all = {0};
  for (int i = 0; i < from->maps; i++)
    if (!from->mapped[i].used) warn("--map", say("'%s' is the class of no cell", from->mapped[i].word), NULL);
  for (int i = 0; i < f->unknowns; i++)
    build(&all, "%s'%s'%s", i ? ", " : "", f->unknown[i].word, f->unknown[i].times > 1 ? say(" (%d times)", f->unknown[i].times) : "");
  if (!f->unknowns) return;
  const char *found = say("class%s %s", f->unknowns > 1 ? "es" : "", built(&all, NULL));
  if (!from->any_class) die(EXIT_DATA, f->unknown[0].where, found, class_list(from), mapping_hint(from, f));
  warn(f->unknown[0].where, say("%s, not of %s: the truth about these cells is not known", found, class_list(from)), mapping_hint(from, f));
}

/* list folders */
typedef struct { char **name; int n; } listing;

static int by_bytes(const void *a, const void *b)
{
  return strcmp(*(char *const *)a, *(char *const *)b);
}

/* What is there and cannot be looked at is an error: a layout is told by which folders there are. */
bool is_folder(const char *path)
{
  struct stat st;
  if (!stat(path, &st)) return S_ISDIR(st.st_mode);
  if (errno != ENOENT && errno != ENOTDIR)
    die(EXIT_DATA, path, say("nothing that can be looked at: %s", strerror(errno)), "a file or a folder", NULL);
  return false;
}

static bool is_plain_file(const char *path)
{
  struct stat st;
  return !stat(path, &st) && S_ISREG(st.st_mode);
}

static bool is_image_name(const char *name)
{
  static const char *const known[] = { ".tif", ".tiff", ".png", ".jpg", ".jpeg", ".bmp", ".jpe", ".jfif", ".dib", NULL };
  const char *dot = strrchr(name, '.');
  for (int i = 0; dot && known[i]; i++) if (!strcasecmp(dot, known[i])) return true;
  return false;
}

/* The folders that a search has come through: a link may lead back to one of them, and three cells would become a hundred. */
typedef struct trail { dev_t device; ino_t number; const struct trail *up; } trail;

/* Steps into a folder; false, with a warning, when the search is in it already. */
static bool step_into(const char *folder, const trail *up, trail *here)
{
  struct stat st;
  if (stat(folder, &st)) die(EXIT_DATA, folder, strerror(errno), "a folder that can be looked at", NULL);
  *here = (trail){ st.st_dev, st.st_ino, up };
  for (; up; up = up->up)
    if (up->device == st.st_dev && up->number == st.st_ino) {
      warn(folder, "a link to a folder that holds it", "it was not followed: its images are there already");
      return false;
    }
  return true;
}

/* By its name or, under any other, by its first bytes; also of kinds that are not read, so that reading says so. */
static bool is_image(const char *path)
{
  uint8_t start[132];
  bool ours;
  if (is_image_name(path)) return true;
  FILE *f = is_plain_file(path) ? fopen(path, "rb") : NULL;
  const size_t n = f ? fread(start, 1, sizeof start, f) : 0;
  if (f) fclose(f);
  return n && image_kind(start, n, &ours);
}

/* Is what a listing named a folder? What cannot be looked at, such as a link to nothing, might have
   been a folder of cells, so it is an error; unless it is called an image: then reading it tells. */
static bool holds_more(const char *path)
{
  struct stat st;
  if (!stat(path, &st)) return S_ISDIR(st.st_mode);
  if (!is_image_name(path))
    die(EXIT_DATA, path, say("nothing that can be looked at: %s", strerror(errno)), "a file or a folder",
        "a link to nothing? repair or remove it");
  return false;
}

static bool is_junk(const char *name)
{
  return name[0] == '.' || !strcasecmp(name, "__MACOSX") || !strcasecmp(name, "Thumbs.db")
    || !strcasecmp(name, "desktop.ini");
}

/* The folder's entries but "." and "..", sorted; junk is counted in *junk and left out. */
static listing list_folder(const char *path, int *junk)
{
  listing l = {0};
  DIR *d = opendir(path);
  if (!d) die(EXIT_DATA, path, strerror(errno), "a folder of images", "check the path");
  for (struct dirent *e; errno = 0, (e = readdir(d));) {
    if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..")) continue;
    if (is_junk(e->d_name)) { ++*junk; continue; }
    l.name = grow(l.name, sizeof(char *) * (size_t)(l.n + 1));
    l.name[l.n++] = copy_text(e->d_name);
  }
  if (errno)
    die(EXIT_DATA, path, say("a folder that cannot be read to its end: %s", strerror(errno)), "all its names",
        NULL);
  closedir(d);
  if (l.n) qsort(l.name, (size_t)l.n, sizeof(char *), by_bytes);
  return l;
}

static void free_listing(listing *l)
{
  for (int i = 0; i < l->n; i++) free(l->name[i]);
  free(l->name);
}

char *cell_name(const char *below)
{
  char *s = copy_text(below), *dot = is_image_name(s) ? strrchr(s, '.') : NULL;
  if (dot) *dot = 0;
  for (char *p = s; *p; p++)
    if (!isalnum((unsigned char)*p) && !strchr("-+.=", *p) && (unsigned char)*p < 128) *p = '_';
  if (!s[0] || s[0] == '.') s[0] = '_';
  return s;
}

/* A file's path without its ending, and with another one. */
static char *with_ending(const char *path, const char *ending)
{
  const char *slash = strrchr(path, '/'), *dot = strrchr(path, '.');
  const size_t n = dot && (!slash || dot > slash + 1) ? (size_t)(dot - path) : strlen(path);
  return join("%.*s%s", (int)n, path, ending);
}

/* An entry of a folder whose name equals want, in any case; NULL when there is none. free() the
   path. */
static char *find_entry(const char *folder, const char *want)
{
  int junk = 0;
  char *found = NULL;
  if (!is_folder(folder)) return NULL;
  listing l = list_folder(folder, &junk);
  for (int i = 0; i < l.n && !found; i++)
    if (!strcasecmp(l.name[i], want)) found = join("%s/%s", folder, l.name[i]);
  free_listing(&l);
  return found;
}

/* walk below a class's folder */
static void find_below(const cell_source *from, finding *f, const char *folder, const char *below,
                       int label, const trail *up)
{
  trail here;
  if (!step_into(folder, up, &here)) return;
  listing l = list_folder(folder, &f->hidden);
  for (int i = 0; i < l.n; i++) {
    char *path = join("%s/%s", folder, l.name[i]),
      *deeper = *below ? join("%s/%s", below, l.name[i]) : copy_text(l.name[i]);
    if (holds_more(path)) find_below(from, f, path, deeper, label, &here);
    else if (!is_image(path)) f->not_images++;
    else {
      char *name = cell_name(deeper);
      add_found(f, path, name, label, "");
      free(name);
    }
    free(path), free(deeper);
  }
  free_listing(&l);
}

/* The classes of one part of a split: SOURCE/train/<class> */
static void find_in_split(const cell_source *from, finding *f, const char *folder, const char *split, const trail *up)
{
  trail here;
  const int before = f->n;
  if (!step_into(folder, up, &here)) return;
  listing l = list_folder(folder, &f->hidden);
  for (int i = 0; i < l.n; i++) {
    char *path = join("%s/%s", folder, l.name[i]);
    const int c = holds_more(path) ? need_class(from, f, l.name[i], path) : -1;
    if (c >= 0) find_below(from, f, path, split, c, &here);
    else if (!holds_more(path)) f->not_images++;
    free(path);
  }
  for (int i = before; i < f->n; i++) f->cell[i].split = split;
  free_listing(&l);
}

/* find cells in a folder for each class */
static void find_in_folders(const cell_source *from, finding *f)
{
  char *source = copy_text(from->folder);
  listing l;
  trail here;
  int folders = 0, only = 0;
  for (bool enter = true; enter;) {
    l = list_folder(source, &f->hidden), folders = 0;
    for (int i = 0; i < l.n; i++) if (holds_more(say("%s/%s", source, l.name[i]))) folders++, only = i;
    enter = folders == 1 && class_of(l.name[only]) < 0 && !in_list(from->skip, l.name[only])
      && !in_list(from->classes, l.name[only]) && !is_mapped(from, l.name[only]);
    step_into(source, NULL, &here);
    char *inner = enter ? join("%s/%s", source, l.name[only]) : NULL;
    if (!enter || !step_into(inner, &here, &(trail){0})) { free(inner); break; }
    free(source), source = inner, free_listing(&l);
  }
  /* find cells in each class folder */
  if (!folders)
    die(EXIT_DATA, source, "no folders", "a folder for each class",
        "or name the cells in a table: --layout csv --csv FILE");
  for (int i = 0; i < l.n; i++) {
    char *path = join("%s/%s", source, l.name[i]);
    if (!holds_more(path)) f->not_images++;
    else {
      const int part = split_of(l.name[i]), c = part < 0 ? need_class(from, f, l.name[i], path) : -1;
      if (part >= 0) find_in_split(from, f, path, split_names[part], &here);
      if (c >= 0) find_below(from, f, path, "", c, &here);
    }
    free(path);
  }
  free_listing(&l), free(source);
}
/* find a table's columns by their names */
static const char *const file_words[] = { "file", "filename", "file_name", "path", "filepath", "image", "image_path", NULL };
static const char *const class_words[] = { "class", "label", "class_name", "category", "cell_type", NULL };

/* The column words[0], or the only one that is called by another of them, in any case; -1: none. Dies when there are two. */
static int column_called(const csv *t, const char *const *words)
{
  int found = csv_column(t, words[0]);
  for (int i = 0; found < 0 && i < t->columns; i++) {
    for (int w = 0; words[w]; w++) {
      if (strcasecmp(t->header[i], words[w])) continue;
      for (int k = i + 1; k < t->columns; k++)
        for (int v = 0; words[v]; v++)
          if (!strcasecmp(t->header[k], words[v]))
            die(EXIT_DATA, t->path, say("columns '%s' and '%s'", t->header[i], t->header[k]), say("a column '%s'", words[0]),
                say("rename the one that is meant to %s", words[0]));
      found = i;
      break;
    }
  }
  return found;
}

static int need_called(const csv *t, const char *const *words)
{
  const int found = column_called(t, words);
  return found >= 0 ? found : csv_need(t, words[0]);
}

/* The name of a part, or "" for no word; dies on a word that is none. */
static const char *need_split(const char *word, const char *where)
{
  const int part = split_of(word);
  if (part < 0 && *word)
    die(EXIT_DATA, where, say("the split '%s'", word), "train, val or test, or nothing", "rename the column if it means something else");
  return part < 0 ? "" : split_names[part];
}

/* find cells in a table */
/* Is it a data set's own labels.csv? Tables of others have any columns. */
static bool is_of_data_set(const char *path)
{
  const size_t n = strlen(path), name = strlen("labels.csv");
  return n >= name && !strcmp(path + n - name, "labels.csv") && file_exists(say("%.*sdataset.json", (int)(n - name), path));
}

static void find_in_csv(const cell_source *from, finding *f, const char *path, const char *group_column)
{
  csv *t = csv_read(path, "columns file, class and, if known, group");
  if (is_of_data_set(path)) dataset_columns(t);
  int file = need_called(t, file_words), class = (from->any_class ? column_called : need_called)(t, class_words);
  int sha = csv_column(t, "sha256"), split = csv_column(t, "split");
  int group = *group_column ? csv_need(t, group_column) : csv_column(t, "group");
  const char *slash = strrchr(path, '/');
  for (int i = 0; i < t->rows; i++) {
    const char *name = csv_cell(t, i, file), *base = strrchr(name, '/'), *word = class < 0 ? "" : csv_cell(t, i, class);
    if ((base ? base[1] : name[0]) == '.') { f->hidden++; continue; }
    int c = class < 0 ? from->class_count : need_class(from, f, word, say("%s:%d", path, i + 2));
    if (c < 0) continue;
    char *full = name[0] == '/' ? copy_text(name) : slash
      ? join("%.*s/%s", (int)(slash - path), path, name) : copy_text(name);
    size_t n = strlen(word); /* class folders are not repeated in the name */
    char *plain = cell_name(n && !strncmp(name, word, n) && name[n] == '/' ? name + n + 1 : name);
    found_cell *cell = add_found(f, full, plain, c, group >= 0 ? csv_cell(t, i, group) : "");
    if (split >= 0) cell->split = need_split(csv_cell(t, i, split), say("%s:%d", path, i + 2));
    if (sha >= 0) snprintf(cell->source_sha, sizeof cell->source_sha, "%s", csv_cell(t, i, sha));
    free(full), free(plain);
  }
  csv_free(t);
}

/* open arrays of images and labels */
static const char *const blood_words[] = { "basophil", "eosinophil", "erythroblast", "ig", "lymphocyte", "monocyte", "neutrophil", "platelet" };

npz_array *open_images(const char *path, int part, char why[256])
{
  npz_array *a = npz_open(path, say("%s_images", split_names[part]), why);
  if (a && (a->bytes != 1 || a->kind != 'u' || (a->dims != 3 && (a->dims != 4 || (a->shape[3] != 1 && a->shape[3] != 3)))
            || !a->shape[1] || !a->shape[2] || a->shape[1] > IMAGE_MAX_PIXELS / a->shape[2])) {
    snprintf(why, 256, "%s_images of another kind; bytes (N, H, W, 3) or (N, H, W) are read", split_names[part]);
    npz_close(a);
    return NULL;
  }
  return a;
}

static int64_t *read_numbers(const char *path, int part, size_t n)
{
  char why[256];
  npz_array *a = npz_open(path, say("%s_labels", split_names[part]), why);
  const size_t labels = a ? a->count : 0;
  int64_t *number = NEW(int64_t, n + 1);
  if (a && labels == n && npz_numbers(a, number, why)) { npz_close(a); return number; }
  die(EXIT_DATA, path, a && labels != n ? say("%zu labels for %zu images of %s", labels, n, split_names[part]) : *why ? why
      : say("no %s_labels", split_names[part]), "a label for each image", NULL);
}

/* find cells in arrays */
static void find_in_arrays(const cell_source *from, finding *f, const char *labels)
{
  const char *slash = strrchr(from->folder, '/'), *base = slash ? slash + 1 : from->folder;
  const bool blood = !strncasecmp(base, "bloodmnist", 10);
  int parts = 0;
  (void)labels;
  for (int part = 0; part < 3; part++) {
    char why[256];
    npz_array *images = open_images(from->folder, part, why);
    if (!images && *why) die(EXIT_DATA, from->folder, why, "arrays as MedMNIST has them", "is the download complete?");
    if (!images) continue;
    const size_t n = images->shape[0];
    int64_t *number = read_numbers(from->folder, part, n);
    npz_close(images), parts++;
    for (size_t i = 0; i < n; i++) {
      const bool named = blood && number[i] >= 0 && number[i] < 8;
      const char *where = say("%s:%s_labels[%zu]", from->folder, split_names[part], i);
      const int c = need_class(from, f, named ? blood_words[number[i]] : say("%lld", (long long)number[i]), where);
      if (c < 0) continue;
      found_cell *cell = add_found(f, say("%s:%s_images[%zu]", from->folder, split_names[part], i), say("%s_%05zu", split_names[part], i), c, "");
      cell->split = split_names[part], cell->part = part, cell->index = (int)i;
    }
    free(number);
  }
  if (!parts)
    die(EXIT_DATA, from->folder, "an archive without train_images, val_images or test_images", "a file of MedMNIST",
        "an archive of pictures: unpack it first");
}

/* find the regions of a mask */
/* pixels; specks of the brush are smaller, the smallest lymphocyte is larger */
enum { MASK_LEAST_AREA = 400 };
typedef struct { int y0, x0, y1, x1; } region;

/* The connected regions (8 neighbours) of a mask that are not black, in reading order, at most max;
   returns how many. */
static int mask_regions(const image *m, region *out, int max)
{
  const int pixels = m->h * m->w;
  uint8_t *open = NEW(uint8_t, pixels);
  int *label = NEW(int, pixels), *area = NEW(int, pixels + 1), n = 0;
  for (int i = 0; i < pixels; i++)
    open[i] = m->rgb[3*i] > 31 || m->rgb[3*i + 1] > 31 || m->rgb[3*i + 2] > 31;
  const int pieces = label_pieces(open, m->h, m->w, 8, label, area);
  region *box = NEW(region, pieces + 1);
  for (int p = 1; p <= pieces; p++) box[p] = (region){ m->h, m->w, -1, -1 };
  for (int i = 0; i < pixels; i++) {
    region *r = &box[label[i]];
    const int y = i / m->w, x = i % m->w;
    if (y < r->y0) r->y0 = y;
    if (y > r->y1) r->y1 = y;
    if (x < r->x0) r->x0 = x;
    if (x > r->x1) r->x1 = x;
  }
  for (int p = 1; p <= pieces && n < max; p++) if (area[p] >= MASK_LEAST_AREA) out[n++] = box[p];
  free(open), free(label), free(area), free(box);
  return n;
}

/* find a field's mask */
static char *find_mask(const char *folder, const char *stem, int *junk, const trail *up)
{
  char *found = NULL;
  size_t n = strlen(stem);
  trail here;
  if (!step_into(folder, up, &here)) return NULL;
  listing l = list_folder(folder, junk);
  for (int i = 0; i < l.n && !found; i++) {
    char *path = join("%s/%s", folder, l.name[i]);
    if (holds_more(path)) found = find_mask(path, stem, junk, &here);
    else if (is_image_name(l.name[i]) && !strncmp(l.name[i], stem, n)
             && (l.name[i][n] == '_' || l.name[i][n] == '.')) found = copy_text(path);
    free(path);
  }
  free_listing(&l);
  return found;
}

/* find the cells of a field */
static void find_in_field(finding *f, const char *field, const char *mask, const char *class,
                          const char *stem, int label)
{
  enum { MOST = 32 };
  image m, picture;
  region r[MOST];
  char why[256];
  if (!image_read(field, &picture, why))
    die(EXIT_DATA, field, why, "a field of LISC", "is the download complete?");
  if (!image_read(mask, &m, why))
    die(EXIT_DATA, mask, why, "a mask of LISC", "is the download complete?");
  int dy = picture.h - m.h, dx = picture.w - m.w, n = mask_regions(&m, r, MOST);
  if (dy < 0 || dx < 0 || dy > 16 || dx > 16)
    die(EXIT_DATA, mask, say("a mask of %d x %d", m.w, m.h),
        say("its field's %d x %d, or at most 16 less", picture.w, picture.h), NULL);
  for (int i = 0; i < n; i++) {
    char *name = n > 1 ? join("%s-%d", stem, i + 1) : copy_text(stem),
      *group = join("%s/%s", class, stem);
    found_cell *cell = add_found(f, field, name, label, group);
    cell->y = (r[i].y0 + r[i].y1 + 1) / 2 + dy / 2, cell->x = (r[i].x0 + r[i].x1 + 1) / 2 + dx / 2;
    free(name), free(group);
  }
  if (!n) warn(mask, "an empty mask", "its field gives no cell");
  image_free(&m), image_free(&picture);
}

/* find cells in LISC's folders */
static char *lisc_folder(const char *source, const char *name)
{
  char *outer = find_entry(source, "LISC Database"), *found = find_entry(outer ? outer : source, name);
  free(outer);
  return found;
}

static void find_in_lisc(const cell_source *from, finding *f)
{
  char *fields = lisc_folder(from->folder, "Main Dataset"),
    *masks = lisc_folder(from->folder, "Ground Truth Segmentation");
  if (!fields || !masks)
    die(EXIT_DATA, from->folder, fields ? "no 'Ground Truth Segmentation'" : "no 'Main Dataset'",
        "both folders of LISC",
        "SOURCE is the folder that holds them");
  listing l = list_folder(fields, &f->hidden);
  for (int i = 0; i < l.n; i++) {
    char *folder = join("%s/%s", fields, l.name[i]), *mask_folder = find_entry(masks, l.name[i]);
    int label = -1;
    listing files = {0};
    if (holds_more(folder)) label = need_class(from, f, l.name[i], folder);
    else f->other_classes++;
    if (label >= 0) files = list_folder(folder, &f->hidden);
    for (int k = 0; k < files.n; k++) {
      char *field = join("%s/%s", folder, files.name[k]), *stem = cell_name(files.name[k]), *own = with_ending(files.name[k], "");
      char *mask = is_image(field)
        && mask_folder ? find_mask(mask_folder, own, &f->hidden, NULL) : NULL;
      if (mask) find_in_field(f, field, mask, l.name[i], stem, label);
      else f->no_mask++;
      free(field), free(stem), free(own), free(mask);
    }
    free_listing(&files), free(folder), free(mask_folder);
  }
  free_listing(&l), free(fields), free(masks);
}

/* find cells in boxes of a text file */
/* One line: class, centre, width and height as shares of the photograph (m). stem: the photograph's name without its ending */
static void add_box(const cell_source *from, finding *f, const char *picture, const char *stem, const char *where, const char *line,
                    const image *m, int *k)
{
  int c, end = 0;
  double x, y, w, h;
  if (sscanf(line, "%d %lf %lf %lf %lf %n", &c, &x, &y, &w, &h, &end) != 5 || line[end])
    die(EXIT_DATA, where, say("'%.60s'", line), "a class and four numbers, such as 0 0.5 0.5 0.1 0.1",
        "decimals are written with a point");
  if (c < 0 || c >= CLASSES || !(x >= 0 && x <= 1 && y >= 0 && y <= 1 && w >= 0 && w <= 1 && h >= 0 && h <= 1))
    die(EXIT_DATA, where, say("class %d at (%g, %g), %g x %g", c, x, y, w, h),
        "classes 0 to 4, places and sizes from 0 to 1", NULL);
  if (w * m->w < 16 || h * m->h < 16) return;  /* a slip of the mouse: no cell is that small */
  const int label = need_class(from, f, class_names[c], where), number = (*k)++;
  if (label < 0) return;
  char *photo = cell_name(stem), *name = join("%s_%d", photo, number), *series = join("%.*s", (int)strcspn(stem, "_"), stem),
    *group = cell_name(series);
  found_cell *cell = add_found(f, picture, name, label, group);
  cell->y = (int)(y * m->h + 0.5), cell->x = (int)(x * m->w + 0.5);
  free(photo), free(name), free(series), free(group);
}

static void find_in_boxes(const cell_source *from, finding *f, const char *picture, const char *boxes, const char *stem)
{
  char *text = file_read(boxes, NULL, NULL), *at = text, *line, why[256];
  image m;
  int k = 0;
  if (!image_read(picture, &m, why))
    die(EXIT_DATA, picture, why, "a photograph", "is the download complete?");
  for (int n = 1; (line = strsep(&at, "\n")); n++) {
    line += strspn(line, " \t\r");
    if (*line) add_box(from, f, picture, stem, say("%s:%d", boxes, n), line, &m, &k);
  }
  image_free(&m), free(text);
}

/* find cells in Chula's folders */
/* Pictures in .../images/ with boxes in .../labels/, at any depth. */
static void find_in_boxed(const cell_source *from, finding *f, const char *folder, const trail *up)
{
  trail here;
  if (!step_into(folder, up, &here)) return;
  char *images = find_entry(folder, "images"), *labels = find_entry(folder, "labels");
  listing l = list_folder(images && labels ? images : folder, &f->hidden);
  for (int i = 0; i < l.n; i++) {
    char *path = join("%s/%s", images && labels ? images : folder, l.name[i]),
      *stem = with_ending(l.name[i], "");
    char *boxes = labels ? join("%s/%s.txt", labels, stem) : NULL;
    if (holds_more(path)) find_in_boxed(from, f, path, &here);
    else if (images && boxes && is_image(path) && file_exists(boxes))
      find_in_boxes(from, f, path, boxes, stem);
    else f->not_images++;
    free(path), free(stem), free(boxes);
  }
  free_listing(&l), free(images), free(labels);
}

/* look at a source */
static bool csv_has(const char *path, const char *column)
{
  if (!file_exists(path)) return false;
  csv *t = csv_read(path, NULL);
  bool has = csv_column(t, column) >= 0;
  csv_free(t);
  return has;
}

static bool there(char *path)
{
  const bool is = path != NULL;
  free(path);
  return is;
}

/* make cells of boxes */
/* The part of a split that a path's folders name, or "". */
static const char *split_in(const char *below)
{
  char *path = copy_text(below), *at = path, *word;
  const char *found = "";
  while ((word = strsep(&at, "/")))
    if (at && split_of(word) >= 0) found = split_names[split_of(word)];
  free(path);
  return found;
}

typedef struct { double x0, y0, x1, y1; } box;        /* pixels from the photograph's upper left corner */

/* picture: SOURCE/below; h, w: its size, 0 where nobody said; *k: how many boxes it gave before. */
static void add_boxed(const cell_source *from, finding *f, const char *below, const char *word, const char *where, box b, double h,
                      double w, int *k)
{
  enum { LEAST = 8 };                                /* pixels; a slip of the mouse is smaller */
  const double slack = 1.5;                          /* some count from 1, some round outwards */
  if (!(b.x1 > b.x0 && b.y1 > b.y0 && b.x0 >= -slack && b.y0 >= -slack && b.x1 < 1e5 && b.y1 < 1e5)
      || (w > 0 && b.x1 > w + slack) || (h > 0 && b.y1 > h + slack))
    die(EXIT_DATA, where, say("a box from (%g, %g) to (%g, %g)", b.x0, b.y0, b.x1, b.y1),
        w > 0 ? say("one within the photograph of %g x %g", w, h) : "one within its photograph", NULL);
  const int c = need_class(from, f, word, where), n = (*k)++;
  if (c < 0) return;
  if (b.x1 - b.x0 < LEAST || b.y1 - b.y0 < LEAST) { f->small_boxes++; return; }
  char *path = join("%s/%s", from->folder, below), *stem = cell_name(below), *name = join("%s_%d", stem, n);
  found_cell *cell = add_found(f, path, name, c, stem);
  cell->y = (int)((b.y0 + b.y1) / 2 + 0.5), cell->x = (int)((b.x0 + b.x1) / 2 + 0.5);
  cell->side = (int)((b.x1 - b.x0 > b.y1 - b.y0 ? b.x1 - b.x0 : b.y1 - b.y0) + 0.5);
  cell->split = split_in(below);
  free(path), free(stem), free(name);
}

typedef void (*visitor)(const cell_source *, finding *, const char *below, void *);

static void walk(const cell_source *from, finding *f, const char *below, const trail *up, visitor visit, void *with)
{
  trail here;
  char *folder = *below ? join("%s/%s", from->folder, below) : copy_text(from->folder);
  if (step_into(folder, up, &here)) {
    listing l = list_folder(folder, &f->hidden);
    for (int i = 0; i < l.n; i++) {
      char *deeper = *below ? join("%s/%s", below, l.name[i]) : copy_text(l.name[i]), *path = join("%s/%s", from->folder, deeper);
      if (holds_more(path)) walk(from, f, deeper, &here, visit, with); else visit(from, f, deeper, with);
      free(deeper), free(path);
    }
    free_listing(&l);
  }
  free(folder);
}

static bool ends_in(const char *path, const char *ending)
{
  const size_t n = strlen(path), m = strlen(ending);
  return n > m && !strcasecmp(path + n - m, ending);
}

/* read YOLO's boxes */
typedef struct { char **name; int n; } name_list;

static void add_word(name_list *l, char *word)
{
  word = trimmed(word);
  const size_t n = strlen(word);
  if (n > 1 && (*word == '\'' || *word == '"') && word[n - 1] == *word) word[n - 1] = 0, word++;
  l->name = grow(l->name, sizeof(char *) * (size_t)(l->n + 1));
  l->name[l->n++] = copy_text(word);
}

/* names: [a, b], or lines "- a" or "0: a" below it */
static void read_yaml_names(name_list *l, char *text)
{
  char *at = strncmp(text, "names:", 6) ? strstr(text, "\nnames:") : text, *line;
  if (!at) return;
  at = strchr(at, ':') + 1;
  char *open = at + strspn(at, " \t\r\n"), *close = strchr(open, ']');
  if (*open == '[' && close) {
    *close = 0, open++;
    for (char *c = open; *c; c++) if (*c == '\r' || *c == '\n') *c = ' ';
    while ((line = strsep(&open, ","))) if (*trimmed(line)) add_word(l, line);
    return;
  }
  strsep(&at, "\n");
  while ((line = strsep(&at, "\n"))) {
    line[strcspn(line, "\r#")] = 0;
    char *word = line + strspn(line, " \t"), *end;
    if (!*word) continue;
    if (strtol(word, &end, 10) == l->n && end > word && *end == ':') word = end + 1;
    else if (*word == '-') word++;
    else return;
    add_word(l, word);
  }
}

static name_list read_names(const char *source)
{
  static const char *const files[] = { "data.yaml", "data.yml", "classes.txt", "obj.names", "labels/classes.txt", NULL };
  name_list l = {0};
  for (int i = 0; files[i] && !l.n; i++) {
    char *path = join("%s/%s", source, files[i]), *text = file_exists(path) ? file_read(path, NULL, NULL) : NULL, *at = text, *line;
    if (text && i < 2) read_yaml_names(&l, text);
    else while (text && (line = strsep(&at, "\n"))) { line[strcspn(line, "\r")] = 0; if (*trimmed(line)) add_word(&l, line); }
    free(path), free(text);
  }
  return l;
}

static void add_yolo_line(const cell_source *from, finding *f, const char *below, const char *where, const char *line, const image *m,
                          const name_list *names, int *k)
{
  int c, end = 0;
  double x, y, w, h;
  const int got = sscanf(line, "%d %lf %lf %lf %lf %n", &c, &x, &y, &w, &h, &end);
  if (got == 5 && line[end]) { double sure; int more = 0; if (sscanf(line + end, "%lf %n", &sure, &more) == 1) end += more; }
  if (got != 5 || line[end])
    die(EXIT_DATA, where, say("'%.60s'", line), "a class and four numbers, such as 0 0.5 0.5 0.1 0.1",
        "decimals are written with a point; outlines are not read");
  if (!(w > 0 && w <= 1.001 && h > 0 && h <= 1.001)) die(EXIT_DATA, where, say("a box of %g x %g", w, h), "shares of the photograph, up to 1", NULL);
  if (names->n && (c < 0 || c >= names->n)) die(EXIT_DATA, where, say("class %d", c), say("0 to %d, as many as there are names", names->n - 1), NULL);
  add_boxed(from, f, below, names->n ? names->name[c] : say("%d", c), where,
            (box){ (x - w / 2) * m->w, (y - h / 2) * m->h, (x + w / 2) * m->w, (y + h / 2) * m->h }, m->h, m->w, k);
}

/* Where a photograph's boxes would be; NULL when they are nowhere. */
static char *yolo_boxes(const char *source, const char *below)
{
  char *beside = with_ending(below, ".txt"), *there = NULL;
  for (char *at = beside; (at = strstr(at, "images/")); at += 7)
    if (at == beside || at[-1] == '/') {
      free(there);
      there = join("%s/%.*slabels/%s", source, (int)(at - beside), beside, at + 7);
    }
  if (there && !file_exists(there)) free(there), there = NULL;
  if (!there) there = join("%s/%s", source, beside);
  if (!file_exists(there)) free(there), there = NULL;
  free(beside);
  return there;
}

static void visit_yolo(const cell_source *from, finding *f, const char *below, void *names)
{
  char *picture = join("%s/%s", from->folder, below), *boxes = is_image(picture) ? yolo_boxes(from->folder, below) : NULL, why[256];
  image m = {0};
  if (!boxes) f->not_images += !ends_in(below, ".txt");
  else if (!image_read(picture, &m, why)) die(EXIT_DATA, picture, why, "a photograph", "is the download complete?");
  else {
    char *text = file_read(boxes, NULL, NULL), *at = text, *line;
    int k = 0;
    for (int n = 1; (line = strsep(&at, "\n")); n++) {
      line = trimmed(line), line[strcspn(line, "\r")] = 0;
      if (*line) add_yolo_line(from, f, below, say("%s:%d", boxes, n), line, &m, names, &k);
    }
    free(text);
  }
  image_free(&m), free(picture), free(boxes);
}

static void find_in_yolo(const cell_source *from, finding *f, const char *labels)
{
  (void)labels;
  name_list names = read_names(from->folder);
  walk(from, f, "", NULL, visit_yolo, &names);
  for (int i = 0; i < names.n; i++) free(names.name[i]);
  free(names.name);
}

/* read COCO's boxes */
static const char *photograph_at(const char *source, const char *folder, const char *file)
{
  const char *base = strrchr(file, '/') ? strrchr(file, '/') + 1 : file;
  const char *const place[] = { say("%s%s", folder, file), say("%simages/%s", folder, base), file, say("images/%s", base),
                                say("%s../images/%s", folder, base), say("JPEGImages/%s", base), say("%s../JPEGImages/%s", folder, base) };
  for (size_t i = 0; i < sizeof place / sizeof *place; i++)
    if (file_exists(say("%s/%s", source, place[i]))) return place[i];
  return NULL;
}

/* The part of a path up to its last slash, with it */
static char *folder_of(const char *path)
{
  const char *slash = strrchr(path, '/');
  return join("%.*s", slash ? (int)(slash + 1 - path) : 0, path);
}

static double number_in(const json *j, const char *key, const char *where)
{
  const json *v = json_get(j, key);
  if (!v || v->kind != JSON_NUMBER) die(EXIT_DATA, where, say("no number '%s'", key), "what COCO's form has there", NULL);
  return v->number;
}

static int by_id(const void *a, const void *b)
{
  const double x = json_number(*(json *const *)a, "id", 0), y = json_number(*(json *const *)b, "id", 0);
  return x < y ? -1 : x > y;
}

/* The members of a list that have an id, sorted by it. */
static const json **sorted_by_id(const json *list, int *n, const char *where)
{
  const json **all = NULL;
  *n = 0;
  for (const json *v = list->child; v; v = v->next) {
    number_in(v, "id", where);
    all = grow(all, sizeof *all * (size_t)(*n + 1)), all[(*n)++] = v;
  }
  if (*n) qsort(all, (size_t)*n, sizeof *all, by_id);
  return all;
}

/* Which of them has it; -1: none */
static int with_id(const json **all, int n, double id)
{
  int low = 0, high = n;
  while (low < high) {
    const int mid = (low + high) / 2;
    if (json_number(all[mid], "id", 0) < id) low = mid + 1; else high = mid;
  }
  return low < n && json_number(all[low], "id", 0) == id ? low : -1;
}

/* One box of a COCO file (below); *k: boxes so far in its photograph */
static void add_annotation(const cell_source *from, finding *f, const char *below, const json *a, const json *photo, const json *kind, int *k)
{
  char *where = join("%s/%s", from->folder, below);
  const json *corner = json_get(a, "bbox"), *file = json_get(photo, "file_name"), *name = json_get(kind, "name");
  double v[4];
  int n = 0;
  for (const json *c = corner ? corner->child : NULL; c && n < 4; c = c->next) if (c->kind == JSON_NUMBER) v[n++] = c->number;
  if (n < 4 || !file || file->kind != JSON_TEXT || !name || name->kind != JSON_TEXT)
    die(EXIT_DATA, where, n < 4 ? "an annotation without a bbox of four numbers" : "an image without file_name, or a category without name",
        "COCO's form", NULL);
  char *folder = folder_of(below);
  const char *place = photograph_at(from->folder, folder, file->text);
  if (!place)
    die(EXIT_DATA, where, say("the photograph '%s', which is not there", file->text), "it beside the file, or under images/", NULL);
  char *picture = copy_text(place);
  add_boxed(from, f, picture, name->text, say("%s, annotation of %s", where, file->text), (box){ v[0], v[1], v[0] + v[2], v[1] + v[3] },
            json_number(photo, "height", 0), json_number(photo, "width", 0), k);
  free(where), free(folder), free(picture);
}

/* Is a JSON text a COCO file: has it the three lists? */
static bool is_coco(const json *j)
{
  const json *i = json_get(j, "images"), *a = json_get(j, "annotations"), *c = json_get(j, "categories");
  return i && a && c && i->kind == JSON_ARRAY && a->kind == JSON_ARRAY && c->kind == JSON_ARRAY;
}

static void visit_coco(const cell_source *from, finding *f, const char *below, void *unused)
{
  (void)unused;
  if (!ends_in(below, ".json")) return;
  char *path = join("%s/%s", from->folder, below), *text = file_read(path, NULL, NULL);
  json *j = json_parse(text, path);
  if (is_coco(j)) {
    int photos, kinds;
    const json **photo = sorted_by_id(json_get(j, "images"), &photos, path), **kind = sorted_by_id(json_get(j, "categories"), &kinds, path);
    int *k = NEW(int, photos + 1);
    for (const json *a = json_get(j, "annotations")->child; a; a = a->next) {
      const int p = with_id(photo, photos, number_in(a, "image_id", path)), c = with_id(kind, kinds, number_in(a, "category_id", path));
      if (p < 0 || c < 0) die(EXIT_DATA, path, say("an annotation of %s that is not listed", p < 0 ? "an image" : "a category"), "COCO's form", NULL);
      add_annotation(from, f, below, a, photo[p], kind[c], &k[p]);
    }
    free(photo), free(kind), free(k);
  }
  json_free(j), free(path), free(text);
}

static void find_in_coco(const cell_source *from, finding *f, const char *labels)
{
  (void)labels;
  walk(from, f, "", NULL, visit_coco, NULL);
}

/* read VOC's boxes */
/* &amp; and the other four by name, &#228; and &#xe4; by number (in UTF-8), in place */
static void decode_signs(char *text)
{
  static const char *const sign[] = { "&amp;&", "&lt;<", "&gt;>", "&quot;\"", "&apos;'", NULL };
  char *to = text;
  for (char *at = text; *at;) {
    int k = 0, n = 0;
    unsigned code = 0;
    while (sign[k] && strncmp(at, sign[k], strlen(sign[k]) - 1)) k++;
    if (sign[k]) at += strlen(sign[k]) - 1, *to++ = sign[k][strlen(sign[k]) - 1];
    else if ((sscanf(at, "&#x%6x;%n", &code, &n) == 1 || sscanf(at, "&#%7u;%n", &code, &n) == 1) && n && code && code < 0x110000)
      at += n, put_utf8(&to, code);
    else *to++ = *at++;
  }
  *to = 0;
}

/* The text of the first element NAME between s and end; "" when there is none. free() it. */
static char *element(const char *s, const char *end, const char *name)
{
  const char *open = say("<%s>", name), *at = strstr(s, open);
  if (!at || at >= end) return copy_text("");
  at += strlen(open);
  char *text = join("%.*s", (int)strcspn(at, "<"), at), *word = copy_text(trimmed(text));
  free(text), decode_signs(word);
  return word;
}

static double number_of(const char *s, const char *end, const char *name, const char *where)
{
  char *text = element(s, end, name), *stop;
  const double v = strtod(text, &stop);
  if (!*text || *stop) die(EXIT_DATA, where, say("%s '%s'", name, text), "a number", NULL);
  free(text);
  return v;
}

static void visit_voc(const cell_source *from, finding *f, const char *below, void *unused)
{
  (void)unused;
  if (!ends_in(below, ".xml")) return;
  char *path = join("%s/%s", from->folder, below), *text = file_read(path, NULL, NULL), *folder = folder_of(below);
  const char *all = text + strlen(text);
  char *file = element(text, all, "filename");
  const bool ours = strstr(text, "<annotation>") || strstr(text, "<annotation ");     /* labelImg may say verified="yes" there */
  const char *place = ours ? photograph_at(from->folder, folder, file) : NULL;
  char *picture = place ? copy_text(place) : NULL;
  if (ours && (!*file || !picture))
    die(EXIT_DATA, path, say("the photograph '%s', which is not there", file), "it beside the file, or in JPEGImages/ or images/", NULL);
  int k = 0;
  for (const char *at = picture ? text : NULL; at && (at = strstr(at, "<object>"));) {
    const char *end = strstr(at, "</object>"), *corner = strstr(at, "<bndbox>");
    if (!end || !corner || corner > end) die(EXIT_DATA, path, "an object without a bndbox", "VOC's form", NULL);
    char *name = element(at, end, "name");
    const box b = { number_of(corner, end, "xmin", path), number_of(corner, end, "ymin", path), number_of(corner, end, "xmax", path),
                    number_of(corner, end, "ymax", path) };
    add_boxed(from, f, picture, name, path, b, 0, 0, &k);
    free(name), at = end;
  }
  free(path), free(text), free(folder), free(file), free(picture);
}

static void find_in_voc(const cell_source *from, finding *f, const char *labels)
{
  (void)labels;
  walk(from, f, "", NULL, visit_voc, NULL);
}

/* recognise boxes */
static bool like_yolo(const char *source, const char *labels)
{
  static const char *const part[] = { "train", "valid", "val", "test", NULL };
  if (file_exists(labels)) return false;
  bool is = there(find_entry(source, "data.yaml")) || (there(find_entry(source, "images")) && there(find_entry(source, "labels")));
  for (int i = 0; part[i] && !is; i++) {
    char *inner = find_entry(source, part[i]);
    is = inner && there(find_entry(inner, "images")) && there(find_entry(inner, "labels"));
    free(inner);
  }
  return is;
}

/* Has a folder, or one in it, a file whose name ends so? */
static bool has_ending(const char *folder, const char *ending, int deep)
{
  bool has = false;
  int junk = 0;
  if (!is_folder(folder)) return false;
  listing l = list_folder(folder, &junk);
  for (int i = 0; i < l.n && !has; i++)
    has = ends_in(l.name[i], ending) || (deep && has_ending(say("%s/%s", folder, l.name[i]), ending, deep - 1));
  free_listing(&l);
  return has;
}

static bool like_coco(const char *source, const char *labels)
{
  return !file_exists(labels)
    && (has_ending(source, ".coco.json", 1) || (there(find_entry(source, "annotations")) && has_ending(source, ".json", 1)));
}

static bool like_voc(const char *source, const char *labels)
{
  return !file_exists(labels) && there(find_entry(source, "Annotations")) && has_ending(source, ".xml", 1);
}

/* guess the layout */
static bool like_chula(const char *source, const char *labels)
{
  return csv_has(labels, "split_group") || there(find_entry(source, "WBC_Samples"));
}
static bool like_pbc(const char *source, const char *labels)
{
  char *inner = find_entry(source, "PBC_dataset_normal_DIB");
  const bool extra = there(find_entry(inner ? inner : source, "erythroblast"));
  return there(inner) || extra || csv_has(labels, "subtype");
}
static bool like_csv(const char *source, const char *labels)
{
  (void)source;
  csv *t = file_exists(labels) ? csv_read(labels, NULL) : NULL;
  const bool is = t && column_called(t, class_words) >= 0;
  if (t) csv_free(t);
  return is;
}
static bool like_lisc(const char *source, const char *labels) { (void)labels; return there(lisc_folder(source, "Main Dataset")); }
static bool like_arrays(const char *source, const char *labels) { (void)labels; return is_zip(source); }
static bool like_folders(const char *source, const char *labels) { (void)source, (void)labels; return true; }

static void find_chula(const cell_source *from, finding *f, const char *labels)
{
  if (labels) find_in_csv(from, f, labels, "split_group"); else find_in_boxed(from, f, from->folder, NULL);
}
static void find_table(const cell_source *from, finding *f, const char *labels)
{
  char *expected = labels ? copy_text(labels) : join("%s/labels.csv", from->folder);
  find_in_csv(from, f, expected, ""), free(expected);
}
static void find_pbc(const cell_source *from, finding *f, const char *labels)
{
  if (labels) find_table(from, f, labels); else find_in_folders(from, f);
}
static void find_lisc(const cell_source *from, finding *f, const char *labels) { (void)labels, find_in_lisc(from, f); }
static void find_folders(const cell_source *from, finding *f, const char *labels) { (void)labels, find_in_folders(from, f); }

const layout layouts[] = {
  { "npz", 70, 0, 0, "ig,erythroblast,platelet", "MedMNIST: arrays and a split",
    "a file of MedMNIST, such as bloodmnist.npz; its split is kept", like_arrays, find_in_arrays },
  { "chula", 150, 200, 0, "", "Chula: crops with split_group, or photographs with boxes",
    "labels.csv with split_group, or WBC_Samples/*/{images,labels} with boxes", like_chula, find_chula },
  { "pbc", 70, 210, 0, "ig,erythroblast,platelet", "PBC: 360x363 JPEG, the cell in the centre",
    "the Barcelona set: class folders or labels.csv", like_pbc, find_pbc },
  { "coco", 70, 0, 0, "", "boxes in COCO's form",
    "photographs with boxes in COCO's JSON; a window as large as the box, or --crop", like_coco, find_in_coco },
  { "voc", 70, 0, 0, "", "boxes in VOC's form", "photographs with boxes in VOC's XML, a file each", like_voc, find_in_voc },
  { "yolo", 70, 0, 0, "", "boxes in YOLO's form",
    "photographs with boxes in YOLO's text files; names of the classes in data.yaml or classes.txt", like_yolo, find_in_yolo },
  { "csv", 70, 0, 0, "", "a table file,class,group",
    "a table file,class,group (SOURCE/labels.csv, or --csv FILE); file relative to the table", like_csv, find_table },
  { "lisc", 150, 150, 0.85, "mixt", "LISC: fields with the expert's masks",
    "SOURCE/Main Dataset and SOURCE/Ground Truth Segmentation; a cell for each region of the expert's\n"
    "            mask; a group for each field, and cells that look alike in one group", like_lisc, find_lisc },
  { "folders", 70, 0, 0, "", "a folder for each class",
    "SOURCE/<class>/.../image; class folders may be called NEU, Neut, neutrophils, ...", like_folders, find_folders },
  { .name = NULL }
};
enum { LAYOUTS = sizeof layouts / sizeof *layouts - 1 };

char *layout_names(void)
{
  builder b = {0};
  for (int i = 0; i < LAYOUTS; i++) build(&b, "%s%s", i == 0 ? "" : i == LAYOUTS - 1 ? " or " : ", ", layouts[i].name);
  return built(&b, NULL);
}

const layout *choose_layout(const cell_source *from)
{
  const char *names[LAYOUTS + 1] = {0}, *want = from->layout ? from->layout : from->csv ? "csv" : NULL;
  char *labels = join("%s/labels.csv", from->folder);
  const layout *chosen = NULL;
  for (int i = 0; i < LAYOUTS && !chosen; i++) {
    names[i] = layouts[i].name;
    if (want ? !strcmp(layouts[i].name, want) : layouts[i].looks_so(from->folder, labels)) chosen = &layouts[i];
  }
  free(labels);
  if (chosen) return chosen;
  const char *near = nearest(want, names);
  die(EXIT_USAGE, "--layout", say("'%s'", want), layout_names(), near ? say("did you mean %s?", near) : NULL);
}

void skip_as_layout(cell_source *from, const layout *as)
{
  if (from->classes || !*as->skip) return;
  from->skip = from->skip ? join("%s,%s", from->skip, as->skip) : as->skip;
}

void find_cells(const cell_source *from, const layout *as, finding *f)
{
  char *labels = from->csv ? copy_text(from->csv) : join("%s/labels.csv", from->folder);
  as->find(from, f, from->csv || file_exists(labels) ? labels : NULL);
  free(labels);
  settle_classes(from, f);
  if (!f->n)
    die(EXIT_DATA, from->folder, "no images of cells", say("the layout '%s'", as->name),
        "wbcsnet import --help describes the layouts");
}

int find_images(const cell_source *from, finding *f)
{
  const int before = f->n;
  if (is_folder(from->folder)) find_below(from, f, from->folder, "", from->class_count, NULL);
  else add_found(f, from->folder, from->folder, from->class_count, "");
  return f->n - before;
}

/* say what was left out */
void say_left_out(FILE *to, const finding *f, int dropped)
{
  const struct { int n; const char *what; } line[] = {
    { dropped, "duplicates" }, { f->unreadable, "images that cannot be read" }, { f->not_images, "files that are not images of cells" },
    { f->small_boxes, "boxes too small for a cell" }, { f->hidden, "hidden or system files" },
    { f->other_classes, "folders, rows or boxes of other classes" }, { f->no_mask, "fields without a mask" },
    { f->not_taken, "cells more than were to be taken" } };
  bool told = false;
  for (size_t i = 0; i < sizeof line / sizeof *line; i++)
    if (line[i].n) fprintf(to, "%s  %6d %s\n", told ? "" : "left out:\n", line[i].n, line[i].what), told = true;
}


/* import.c: wbcsnet import and wbcsnet data. */
#include "dataset.h"
#include "options.h"
#include "pieces.h"
/* import: headers */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

/* what an import is asked for and what it finds */
typedef struct {
  const char *layout, *csv, *classes, *skip, *conflicts, *duplicates, *groups, *name, *take, *source;
  int size, crop;
  double same;
  bool replace, skip_bad, synthetic;
  int class_count;
  const char **class_name;
} import_options;

/* One cell: where its pixels are and what is known of it. */
typedef struct {
  char *path, *name, *group; /* file; name in the new set, unique in its class; "" when unknown */
  char source_sha[65], pixels_sha[65]; /* "" when the source's CSV has none; of the cut pixels */
  int label, y, x; /* y, x: centre of the window, -1: centre of the image */
  image cell;
  bool left_out;
} found_cell;

typedef struct {
  found_cell *cell;
  int n, room, not_images, hidden, other_classes, no_mask, unreadable, not_taken;
} finding;

static found_cell *add_found(finding *f, const char *path, const char *name, int label,
                             const char *group)
{
  if (f->n == f->room)
    f->cell = grow(f->cell, sizeof *f->cell * (size_t)(f->room = f->room ? 2 * f->room : 256));
  f->cell[f->n] = (found_cell){ .path = copy_text(path), .name = copy_text(name),
                                .group = copy_text(group), .label = label, .y = -1, .x = -1 };
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

/* The class of a word, or -1 when the user skips it; dies when it is unknown. */
static int need_class(const import_options *o, const char *word, const char *where)
{
  if (in_list(o->skip, word)) return -1;
  int c = 0;
  while (c < o->class_count && strcasecmp(o->class_name[c], word)) c++;
  if (c == o->class_count) c = o->classes ? -1 : class_of(word);
  if (c >= 0) return c;
  builder all = {0};
  for (int i = 0; i < o->class_count; i++) build_list(&all, o->class_name[i]);
  const char *near = nearest(word, o->class_name);
  die(EXIT_DATA, where, say("class '%s'", word), built(&all, NULL),
      near ? say("did you mean %s? rename it, or leave it out with --skip-classes %s", near, word)
           : say("leave it out with --skip-classes '%s', or name other classes with --classes", word));
}

/* list folders */
typedef struct { char **name; int n; } listing;

static int by_bytes(const void *a, const void *b)
{
  return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool is_folder(const char *path)
{
  struct stat st;
  return file_exists(path) && !stat(path, &st) && S_ISDIR(st.st_mode);
}

static bool is_image_name(const char *name)
{
  static const char *const known[] = { ".tif", ".tiff", ".png", ".jpg", ".jpeg", ".bmp", ".jpe", NULL };
  const char *dot = strrchr(name, '.');
  for (int i = 0; dot && known[i]; i++) if (!strcasecmp(dot, known[i])) return true;
  return false;
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

static char *cell_name(const char *below)
{
  char *s = copy_text(below), *dot = is_image_name(s) ? strrchr(s, '.') : NULL;
  if (dot) *dot = 0;
  for (char *p = s; *p; p++)
    if (!isalnum((unsigned char)*p) && !strchr("-+.=", *p) && (unsigned char)*p < 128) *p = '_';
  if (!s[0] || s[0] == '.') s[0] = '_';
  return s;
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

/* find cells: folders */
static void find_below(const import_options *o, finding *f, const char *folder, const char *below,
                       int label)
{
  listing l = list_folder(folder, &f->hidden);
  for (int i = 0; i < l.n; i++) {
    char *path = join("%s/%s", folder, l.name[i]),
      *deeper = *below ? join("%s/%s", below, l.name[i]) : copy_text(l.name[i]);
    if (holds_more(path)) find_below(o, f, path, deeper, label);
    else if (!is_image_name(l.name[i])) f->not_images++;
    else {
      char *name = cell_name(deeper);
      add_found(f, path, name, label, "");
      free(name);
    }
    free(path), free(deeper);
  }
  free_listing(&l);
}

static void find_in_folders(const import_options *o, finding *f)
{
  char *source = copy_text(o->source);
  listing l;
  int folders = 0, only = 0;
  for (bool enter = true; enter;) {
    l = list_folder(source, &f->hidden), folders = 0;
    for (int i = 0; i < l.n; i++) if (holds_more(say("%s/%s", source, l.name[i]))) folders++, only = i;
    enter = folders == 1 && class_of(l.name[only]) < 0 && !in_list(o->skip, l.name[only])
      && !in_list(o->classes, l.name[only]);
    if (!enter) break;
    char *inner = join("%s/%s", source, l.name[only]);
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
      int c = need_class(o, l.name[i], path);
      if (c >= 0) find_below(o, f, path, "", c);
      else f->other_classes++;
    }
    free(path);
  }
  free_listing(&l), free(source);
}
/* find cells: CSV */
static void find_in_csv(const import_options *o, finding *f, const char *path, const char *group_column)
{
  csv *t = csv_read(path, "columns file, class and, if known, group");
  int file = csv_need(t, "file"), class = csv_need(t, "class"), sha = csv_column(t, "sha256");
  int group = *group_column ? csv_need(t, group_column) : csv_column(t, "group");
  const char *slash = strrchr(path, '/');
  for (int i = 0; i < t->rows; i++) {
    const char *name = csv_cell(t, i, file), *base = strrchr(name, '/'), *word = csv_cell(t, i, class);
    if ((base ? base[1] : name[0]) == '.') { f->hidden++; continue; }
    int c = need_class(o, word, say("%s:%d", path, i + 2));
    if (c < 0) { f->other_classes++; continue; }
    char *full = name[0] == '/' ? copy_text(name) : slash
      ? join("%.*s/%s", (int)(slash - path), path, name) : copy_text(name);
    size_t n = strlen(word); /* class folders are not repeated in the name */
    char *plain = cell_name(!strncmp(name, word, n) && name[n] == '/' ? name + n + 1 : name);
    found_cell *cell = add_found(f, full, plain, c, group >= 0 ? csv_cell(t, i, group) : "");
    if (sha >= 0) snprintf(cell->source_sha, sizeof cell->source_sha, "%s", csv_cell(t, i, sha));
    free(full), free(plain);
  }
  csv_free(t);
}

/* find cells: LISC */
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

static char *find_mask(const char *folder, const char *stem, int *junk)
{
  char *found = NULL;
  size_t n = strlen(stem);
  listing l = list_folder(folder, junk);
  for (int i = 0; i < l.n && !found; i++) {
    char *path = join("%s/%s", folder, l.name[i]);
    if (holds_more(path)) found = find_mask(path, stem, junk);
    else if (is_image_name(l.name[i]) && !strncmp(l.name[i], stem, n)
             && (l.name[i][n] == '_' || l.name[i][n] == '.')) found = copy_text(path);
    free(path);
  }
  free_listing(&l);
  return found;
}

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

static char *lisc_folder(const char *source, const char *name)
{
  char *outer = find_entry(source, "LISC Database"), *found = find_entry(outer ? outer : source, name);
  free(outer);
  return found;
}

static void find_in_lisc(const import_options *o, finding *f)
{
  char *fields = lisc_folder(o->source, "Main Dataset"),
    *masks = lisc_folder(o->source, "Ground Truth Segmentation");
  if (!fields || !masks)
    die(EXIT_DATA, o->source, fields ? "no 'Ground Truth Segmentation'" : "no 'Main Dataset'",
        "both folders of LISC",
        "SOURCE is the folder that holds them");
  listing l = list_folder(fields, &f->hidden);
  for (int i = 0; i < l.n; i++) {
    char *folder = join("%s/%s", fields, l.name[i]), *mask_folder = find_entry(masks, l.name[i]);
    int label = holds_more(folder) ? need_class(o, l.name[i], folder) : -1;
    listing files = {0};
    if (label >= 0) files = list_folder(folder, &f->hidden);
    else f->other_classes++;
    for (int k = 0; k < files.n; k++) {
      char *field = join("%s/%s", folder, files.name[k]), *stem = cell_name(files.name[k]);
      char *mask = is_image_name(files.name[k])
        && mask_folder ? find_mask(mask_folder, stem, &f->hidden) : NULL;
      if (mask) find_in_field(f, field, mask, l.name[i], stem, label);
      else f->no_mask++;
      free(field), free(stem), free(mask);
    }
    free_listing(&files), free(folder), free(mask_folder);
  }
  free_listing(&l), free(fields), free(masks);
}

/* find cells: boxes */
/* One line: class, centre, width and height as shares of the photograph (m). */
static void add_box(finding *f, const char *picture, const char *stem, const char *where, const char *line,
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
  char *name = join("%s_%d", stem, (*k)++), *group = join("%.*s", (int)strcspn(stem, "_"), stem);
  found_cell *cell = add_found(f, picture, name, c, group);
  cell->y = (int)(y * m->h + 0.5), cell->x = (int)(x * m->w + 0.5);
  free(name), free(group);
}

static void find_in_boxes(finding *f, const char *picture, const char *boxes, const char *stem)
{
  char *text = file_read(boxes, NULL, NULL), *at = text, *line, why[256];
  image m;
  int k = 0;
  if (!image_read(picture, &m, why))
    die(EXIT_DATA, picture, why, "a photograph", "is the download complete?");
  for (int n = 1; (line = strsep(&at, "\n")); n++) {
    line += strspn(line, " \t\r");
    if (*line) add_box(f, picture, stem, say("%s:%d", boxes, n), line, &m, &k);
  }
  image_free(&m), free(text);
}

/* Pictures in .../images/ with boxes in .../labels/, at any depth. */
static void find_in_boxed(finding *f, const char *folder)
{
  char *images = find_entry(folder, "images"), *labels = find_entry(folder, "labels");
  listing l = list_folder(images && labels ? images : folder, &f->hidden);
  for (int i = 0; i < l.n; i++) {
    char *path = join("%s/%s", images && labels ? images : folder, l.name[i]),
      *stem = cell_name(l.name[i]);
    char *boxes = labels ? join("%s/%s.txt", labels, stem) : NULL;
    if (holds_more(path)) find_in_boxed(f, path);
    else if (images && boxes && is_image_name(l.name[i]) && file_exists(boxes))
      find_in_boxes(f, path, boxes, stem);
    else f->not_images++;
    free(path), free(stem), free(boxes);
  }
  free_listing(&l), free(images), free(labels);
}

/* guess the layout */
typedef struct {
  const char *name;
  int size, crop;
  double same;
  const char *skip, *what, *help;
  bool (*looks_so)(const char *source, const char *labels);
  void (*find)(const import_options *, finding *, const char *labels);   /* labels: a table that is there, or NULL */
} layout;

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
static bool like_csv(const char *source, const char *labels) { (void)source; return csv_has(labels, "class"); }
static bool like_lisc(const char *source, const char *labels) { (void)labels; return there(lisc_folder(source, "Main Dataset")); }
static bool like_folders(const char *source, const char *labels) { (void)source, (void)labels; return true; }

static void find_chula(const import_options *o, finding *f, const char *labels)
{
  if (labels) find_in_csv(o, f, labels, "split_group"); else find_in_boxed(f, o->source);
}
static void find_table(const import_options *o, finding *f, const char *labels)
{
  char *expected = labels ? copy_text(labels) : join("%s/labels.csv", o->source);
  find_in_csv(o, f, expected, ""), free(expected);
}
static void find_pbc(const import_options *o, finding *f, const char *labels)
{
  if (labels) find_table(o, f, labels); else find_in_folders(o, f);
}
static void find_lisc(const import_options *o, finding *f, const char *labels) { (void)labels, find_in_lisc(o, f); }
static void find_folders(const import_options *o, finding *f, const char *labels) { (void)labels, find_in_folders(o, f); }

static const layout layouts[] = {
  { "chula", 150, 200, 0, "", "Chula: crops with split_group, or photographs with boxes",
    "labels.csv with split_group, or WBC_Samples/*/{images,labels} with boxes", like_chula, find_chula },
  { "pbc", 70, 210, 0, "ig,erythroblast,platelet", "PBC: 360x363 JPEG, the cell in the centre",
    "the Barcelona set: class folders or labels.csv", like_pbc, find_pbc },
  { "csv", 70, 0, 0, "", "a table file,class,group",
    "a table file,class,group (SOURCE/labels.csv, or --csv FILE); file relative to the table", like_csv, find_table },
  { "lisc", 150, 150, 0.85, "mixt", "LISC: fields with the expert's masks",
    "SOURCE/Main Dataset and SOURCE/Ground Truth Segmentation; a cell for each region of the expert's\n"
    "            mask; a group for each field, and cells that look alike in one group", like_lisc, find_lisc },
  { "folders", 70, 0, 0, "", "a folder for each class",
    "SOURCE/<class>/.../image; class folders may be called NEU, Neut, neutrophils, ...", like_folders, find_folders },
};
enum { LAYOUTS = sizeof layouts / sizeof *layouts };

/* "chula, pbc, csv, lisc or folders" */
static char *layout_names(void)
{
  builder b = {0};
  for (int i = 0; i < LAYOUTS; i++) build(&b, "%s%s", i == 0 ? "" : i == LAYOUTS - 1 ? " or " : ", ", layouts[i].name);
  return built(&b, NULL);
}

static const layout *choose_layout(const import_options *o)
{
  const char *names[LAYOUTS + 1] = {0}, *want = o->layout ? o->layout : o->csv ? "csv" : NULL;
  char *labels = join("%s/labels.csv", o->source);
  const layout *chosen = NULL;
  for (int i = 0; i < LAYOUTS && !chosen; i++) {
    names[i] = layouts[i].name;
    if (want ? !strcmp(layouts[i].name, want) : layouts[i].looks_so(o->source, labels)) chosen = &layouts[i];
  }
  free(labels);
  if (chosen) return chosen;
  const char *near = nearest(want, names);
  die(EXIT_USAGE, "--layout", say("'%s'", want), layout_names(), near ? say("did you mean %s?", near) : NULL);
}

static void find_cells(const import_options *o, const layout *as, finding *f)
{
  char *labels = o->csv ? copy_text(o->csv) : join("%s/labels.csv", o->source);
  as->find(o, f, o->csv || file_exists(labels) ? labels : NULL);
  free(labels);
  if (!f->n)
    die(EXIT_DATA, o->source, "no images of cells", say("the layout '%s'", as->name),
        "wbcsnet import --help describes the layouts");
}

/* decode the cells */
static bool cut_cell(const found_cell *c, const import_options *o, image *picture, image *out,
                     char why[256])
{
  int side = o->crop ? o->crop : picture->h < picture->w ? picture->h : picture->w;
  int y = c->y < 0 ? (picture->h - side) / 2 : c->y - side / 2,
    x = c->x < 0 ? (picture->w - side) / 2 : c->x - side / 2;
  if (side > picture->h || side > picture->w) {
    snprintf(why, 256, "an image of %d x %d, smaller than the window of %d (--crop)", picture->w,
             picture->h, side);
    return false;
  }
  if (y > picture->h - side) y = picture->h - side;
  if (x > picture->w - side) x = picture->w - side;
  *out = image_crop(picture, y < 0 ? 0 : y, x < 0 ? 0 : x, side, side);
  return true;
}

/* Reads, checks, cuts and resizes one cell; false with the reason. */
static bool decode_cell(found_cell *c, const import_options *o, char why[256])
{
  image picture = {0}, window = {0};
  char hex[65];
  size_t n;
  char *bytes = image_file(c->path, &n, why);
  bool good = bytes != NULL;
  if (good && c->source_sha[0]) sha256_of(bytes, n, hex), good = !strcmp(hex, c->source_sha);
  if (bytes && !good)
    snprintf(why, 256, "sha256 %.12s..., not %.12s... as in the table", hex, c->source_sha);
  good = good && image_read_bytes(bytes, n, &picture, why) && cut_cell(c, o, &picture, &window, why);
  if (good) {
    sha256 s;
    sha256_start(&s);
    sha256_add(&s, (int[2]){ window.h, window.w }, 2 * sizeof(int));
    sha256_add(&s, window.rgb, (size_t)window.h * (size_t)window.w * 3);
    sha256_end(&s, c->pixels_sha);
    c->cell = image_resize(&window, o->size, o->size);
  }
  image_free(&picture), image_free(&window), free(bytes);
  return good;
}

static void stop_if_asked(void)
{
  if (!stop_requested) return;
  fprintf(stderr, "wbcsnet: import: stopped; nothing was written\n");
  exit(EXIT_STOPPED);
}

static void decode_cells(finding *f, const import_options *o)
{
  char (*why)[256] = new_bytes(sizeof *why * (size_t)f->n);
  int done = 0;
  progress bar;
  progress_start(&bar, "import", f->n);
  #pragma omp parallel for schedule(dynamic, 8)
  for (int i = 0; i < f->n; i++) {
    if (stop_requested) continue;
    f->cell[i].left_out = !decode_cell(&f->cell[i], o, why[i]);
    #pragma omp critical
    {
      done++;
      progress_show(&bar, done, say("%d of %d cells", done, f->n));
    }
  }
  progress_end(&bar);
  stop_if_asked();
  for (int i = 0; i < f->n; i++) {
    if (!f->cell[i].left_out) continue;
    if (!o->skip_bad)
      die(EXIT_DATA, f->cell[i].path, why[i], "a readable image",
          "repair or remove it, or give --skip-bad");
    warn(f->cell[i].path, why[i], NULL);
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
  for (int k = from + 1; k < to; k++) conflict |= f->cell[order[k]].label != first->label;
  drop_all = conflict && o->conflicts && !strcmp(o->conflicts, "drop");
  drop_rest = drop_all || (conflict ? o->conflicts != NULL : !strcmp(o->duplicates, "drop"));
  for (int k = from + 1; k < to; k++) {
    found_cell *c = &f->cell[order[k]];
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
  if (told > TELL_MOST) warn(o->source, say("%d more duplicates", told - TELL_MOST), NULL);
  free(order);
  if (conflicts)
    die(EXIT_DATA, o->source, say("%d image%s under two classes, listed above", conflicts,
                                  conflicts > 1 ? "s" : ""), "one class for each cell",
        "--keep-conflicts drop leaves them out, --keep-conflicts first keeps the first by class and name");
  return dropped;
}

enum { THUMB = 30, SHIFT = 2 };
typedef struct { int a, b; double r; } alike_pair;

/* Grey thumbnails, (n, THUMB, THUMB). */
static float *make_thumbnails(const finding *f)
{
  float *t = NEW(float, (size_t)f->n * THUMB * THUMB);
  #pragma omp parallel for schedule(static)
  for (int i = 0; i < f->n; i++) {
    if (f->cell[i].left_out) continue;
    image s = image_resize(&f->cell[i].cell, THUMB, THUMB);
    for (size_t p = 0; p < THUMB * THUMB; p++)
      t[(size_t)i * THUMB * THUMB + p] = s.rgb[3*p] + s.rgb[3*p + 1] + s.rgb[3*p + 2];
    image_free(&s);
  }
  return t;
}

/* The correlation of a with b shifted by (dy, dx), over where they overlap. */
static double correlation_at(const float *a, const float *b, int dy, int dx)
{
  int h = THUMB - abs(dy), w = THUMB - abs(dx);
  double sa = 0, sb = 0, saa = 0, sbb = 0, sab = 0, n = h * w;
  a += (dy > 0 ? dy : 0) * THUMB + (dx > 0 ? dx : 0),
    b += (dy < 0 ? -dy : 0) * THUMB + (dx < 0 ? -dx : 0);
  for (int y = 0; y < h; y++)
    for (int x = 0; x < w; x++) {
      double u = a[y * THUMB + x], v = b[y * THUMB + x];
      sa += u, sb += v, saa += u * u, sbb += v * v, sab += u * v;
    }
  double spread = (saa - sa * sa / n) * (sbb - sb * sb / n);
  return spread > 0 ? (sab - sa * sb / n) / sqrt(spread) : 0;
}

static double likeness(const float *a, const float *b)
{
  double best = 0;
  for (int dy = -SHIFT; dy <= SHIFT; dy++)
    for (int dx = -SHIFT; dx <= SHIFT; dx++) best = fmax(best, correlation_at(a, b, dy, dx));
  return best;
}

static int by_pair(const void *x, const void *y)
{
  const alike_pair *p = x, *q = y;
  return p->a != q->a ? p->a - q->a : p->b - q->b;
}

static void join_alike(finding *f, double least)
{
  float *t = make_thumbnails(f);
  alike_pair *pair = NULL;
  int n = 0, room = 0, done = 0;
  progress bar;
  progress_start(&bar, "compare", f->n);
  #pragma omp parallel for schedule(dynamic, 1)
  for (int i = 0; i < f->n; i++) {
    for (int j = i + 1; j < f->n && f->cell[j].label == f->cell[i].label && !stop_requested; j++) {
      if (f->cell[i].left_out || f->cell[j].left_out) continue;
      double r = likeness(t + (size_t)i * THUMB * THUMB, t + (size_t)j * THUMB * THUMB);
      if (r < least) continue;
      #pragma omp critical
      {
        if (n == room) pair = grow(pair, sizeof *pair * (size_t)(room = room ? 2 * room : 64));
        pair[n++] = (alike_pair){ i, j, r };
      }
    }
    #pragma omp critical
    {
      done++;
      progress_show(&bar, done, "cells that look alike");
    }
  }
  progress_end(&bar);
  stop_if_asked();
  /* say which are alike, and join them */
  if (n) qsort(pair, (size_t)n, sizeof *pair, by_pair);
  if (n) printf("alike, and put in one group (correlation at least %g):\n", least);
  for (int k = 0; k < n; k++) {
    const found_cell *a = &f->cell[pair[k].a], *b = &f->cell[pair[k].b];
    bool joined = a->group[0] && !strcmp(a->group, b->group);
    printf("  %.3f  %s and %s%s\n", pair[k].r, a->name, b->name, joined ? "   (already in one group)" : "");
    join_groups(f, pair[k].a, pair[k].b);
  }
  free(pair), free(t);
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
  for (int c = 0; c < o->class_count; c++) {
    char *end;
    long most = strtol(s, &end, 10);
    if (end == s || most < 0 || *end != (c + 1 < o->class_count ? ',' : 0))
      die(EXIT_USAGE, "--take", say("'%s'", o->take), say("%d numbers with commas", o->class_count),
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
  dataset_writer *d = dataset_create(out, o->replace, o->class_count, o->class_name);
  progress bar;
  progress_start(&bar, "write", f->n);
  for (int i = 0; i < f->n; i++) {
    if (stop_requested) dataset_cancel(d), stop_if_asked();
    const found_cell *c = &f->cell[i];
    if (!c->left_out) dataset_add(d, c->label, c->name, c->group, &c->cell);
    progress_show(&bar, i + 1, "");
  }
  progress_end(&bar);
  return d;
}

static void print_left_out(const char *what, int n) { if (n) printf("  %6d %s\n", n, what); }

static void report(const finding *f, const import_options *o, const char *out, const layout *as,
                   int dropped)
{
  int n = 0, grouped = 0;
  for (int i = 0; i < f->n; i++)
    if (!f->cell[i].left_out) n++, grouped += f->cell[i].group[0] != 0;
  printf("%s: %d %scells of %d x %d from %s (%s)\n", out, n, o->synthetic ? "synthetic " : "", o->size,
         o->size, o->source, as->what);
  for (int c = 0; c < o->class_count; c++) {
    int count = 0;
    for (int i = 0; i < f->n; i++) count += f->cell[i].label == c && !f->cell[i].left_out;
    printf("  %6d %s%s\n", count, o->class_name[c], count ? "" : "   (none: was its folder skipped?)");
  }
  if (grouped)
    printf("  groups are known for %d cells: folds will keep each group together\n", grouped);
  else printf("  no groups: folds cannot keep cells of one patient or slide together\n");
  int left = dropped + f->unreadable + f->not_images + f->hidden + f->other_classes + f->no_mask
           + f->not_taken;
  if (left) printf("left out:\n");
  print_left_out("duplicates", dropped);
  print_left_out("images that cannot be read", f->unreadable);
  print_left_out("files that are not images of cells", f->not_images);
  print_left_out("hidden or system files", f->hidden);
  print_left_out("folders or rows of other classes", f->other_classes);
  print_left_out("fields without a mask", f->no_mask);
  print_left_out("cells more than were to be taken", f->not_taken);
}

/* the import subcommand */
static void name_classes(import_options *o)
{
  o->class_name = NEW(const char *, CLASSES + 1);
  if (!o->classes) {
    o->class_count = CLASSES;
    for (int c = 0; c < CLASSES; c++) o->class_name[c] = class_names[c];
    return;
  }
  for (const char *s = o->classes; *s; s += strcspn(s, ","), s += *s == ',') {
    size_t n = strcspn(s, ",");
    char *name = new_bytes(n + 1);
    memcpy(name, s, n);
    for (size_t i = 0; i < n; i++)
      if (!isalnum((unsigned char)name[i]) && !strchr("-_", name[i]))
        die(EXIT_USAGE, "--classes", say("'%s'", name), "letters, digits, - and _", NULL);
    for (int c = 0; c < o->class_count; c++)
      if (!strcasecmp(o->class_name[c], name)) die(EXIT_USAGE, "--classes", say("'%s' twice", name), "each name once", NULL);
    if (o->class_count == CLASSES_MOST)
      die(EXIT_USAGE, "--classes", "too many names", say("at most %d", CLASSES_MOST), NULL);
    o->class_name = grow(o->class_name, sizeof(char *) * (size_t)(o->class_count + 2));
    o->class_name[o->class_count++] = name, o->class_name[o->class_count] = NULL;
  }
  if (o->class_count < 2)
    die(EXIT_USAGE, "--classes", say("'%s'", o->classes), "at least two names, with commas", NULL);
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
  for (int i = 0; i < LAYOUTS; i++) {
    const layout *l = &layouts[i];
    build(&b, "  %-8s  %s", l->name, l->help);
    if (*l->skip) build(&b, "; skips %s", l->skip);
    if (l->crop) build(&b, "\n            window %d, size %d", l->crop, l->size);
    build(&b, "\n");
  }
  build(&b, "TIFF, PNG, JPEG and BMP are read, told by their content. DATA.md says where the sets are had.");
  return built(&b, NULL);
}

/* read the import's flags */
static const layout *read_import_flags(int argc, char **argv, import_options *o, char **out)
{
  *o = (import_options){ .size = -1, .crop = -1, .same = -1, .duplicates = "keep" };
  char *names = layout_names(), *guessed = join("%s (guessed)", names), *what = import_what();
  const option table[] = {
    { "layout", OPTION_TEXT, &o->layout, "NAME", guessed },
    { "csv", OPTION_TEXT, &o->csv, "FILE",
      "the table of the layouts csv, pbc and chula (SOURCE/labels.csv)" },
    { "size", OPTION_INT, &o->size, "N",
      "height and width of the cells written (70; lisc and chula 150)" },
    { "crop", OPTION_INT, &o->crop, "N",
      "cut N x N pixels first; 0: the largest square (pbc 210, lisc 150, chula 200, else 0)" },
    { "skip-classes", OPTION_TEXT, &o->skip, "A,B", "leave out these class folders or names" },
    { "classes", OPTION_TEXT, &o->classes, "A,B,C",
      "other classes than the five, by their folders' names" },
    { "groups", OPTION_TEXT, &o->groups, "FILE",
      "a table file,group: cells that folds must keep together" },
    { "duplicates", OPTION_TEXT, &o->duplicates, "keep|drop",
      "equal images of one class: keep them in one group (keep), or only the first" },
    { "keep-conflicts", OPTION_TEXT, &o->conflicts, "drop|first",
      "equal images under two classes: leave out all, or keep the first" },
    { "same", OPTION_REAL, &o->same, "R",
      "one group for cells of a class that look alike: least correlation (lisc 0.85, else 0: off)" },
    { "take", OPTION_TEXT, &o->take, "N,N,...",
      "take at most so many cells of each class, those whose names have the least sha256" },
    { "skip-bad", OPTION_FLAG, &o->skip_bad, NULL, "leave out images that cannot be read" },
    { "synthetic", OPTION_FLAG, &o->synthetic, NULL,
      "the pictures show no real cells: say so in the set and in every result" },
    { "name", OPTION_TEXT, &o->name, "TEXT", "the set's name (the last part of OUT)" },
    { "replace", OPTION_FLAG, &o->replace, NULL, "overwrite the data set at OUT" },
    {0} };
  const char *word[2];
  int n;
  options_read(argc, argv, table, "import [flags] SOURCE OUT", what,
               "  wbcsnet import --layout pbc PBC_dataset_normal_DIB build/data/pbc\n"
               "  wbcsnet import --layout lisc 'LISC Database' build/data/lisc\n"
               "  wbcsnet import --csv cells.csv --crop 100 . build/data/mine\n", word, &n, 2);
  free(names), free(guessed), free(what);
  if (n < 2)
    die(EXIT_USAGE, "import", say("%d of the two folders", n), "SOURCE and OUT",
        "wbcsnet import --help");
  /* check the import's flags and fill in defaults */
  o->source = word[0], *out = copy_text(word[1]);
  for (size_t k = strlen(*out); k > 1 && (*out)[k-1] == '/'; k--) (*out)[k-1] = 0;
  if (!is_folder(o->source))
    die(EXIT_DATA, o->source, file_exists(o->source) ? "not a folder" : "no such folder",
        "a folder of images", NULL);
  one_of("--keep-conflicts", o->conflicts, "drop", "first"),
    one_of("--duplicates", o->duplicates, "keep", "drop");
  const layout *as = choose_layout(o);
  if (o->size == -1) o->size = as->size;
  if (o->crop == -1) o->crop = as->crop;
  if (o->same < 0) o->same = as->same;
  if (o->size < 8 || o->size > 1024) die(EXIT_USAGE, "--size", say("%d", o->size), "8 to 1024", NULL);
  if (o->crop < 0 || (o->crop > 0 && o->crop < 8))
    die(EXIT_USAGE, "--crop", say("%d", o->crop), "0, or at least 8", NULL);
  if (o->same > 1) die(EXIT_USAGE, "--same", say("%g", o->same), "0 to 1", NULL);
  if (!o->skip && !o->classes) o->skip = as->skip;
  else if (*as->skip && !o->classes) o->skip = join("%s,%s", o->skip, as->skip);
  const char *slash = strrchr(*out, '/');
  if (!o->name) o->name = copy_text(slash && slash[1] ? slash + 1 : *out);
  name_classes(o);
  o->synthetic = o->synthetic || is_declared_synthetic(o->source);
  return as;
}

int cmd_import(int argc, char **argv)
{
  import_options o;
  char *out, *command = command_line(argc, argv);
  const layout *as = read_import_flags(argc, argv, &o, &out);
  finding f = {0};
  catch_stop_signals();
  find_cells(&o, as, &f);
  order_cells(&f);
  if (o.groups) read_groups(&f, o.groups);
  /* is there room for OUT? say so before the work */
  dataset_cancel(dataset_create(out, o.replace, o.class_count, o.class_name));
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
  printf("%s\n  %s, %s, %d cells of %d x %d, %s, sha256 %.16s\n ", folder, ds->name, ds->kind, ds->n,
         ds->w, ds->h,
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


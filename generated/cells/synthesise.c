#include "cells/dataset.h"
#include "base/options.h"
#include "cells/synth.h"
#include <stdlib.h>
#include <string.h>

typedef struct { int label, number, cells; uint32_t scene, shot; } field;      /* number: 1.. in its class */
typedef struct { int label, field, place, number; } cell;

typedef struct {
  synth_style style;
  uint64_t seed;
  int counts[CLASSES], fields, cells, shots;         /* shots: photographs of each crop, without a field */
  field *field;
  cell *cell;
} plan;

/* deal cells into fields */
static int cells_of_field(const plan *p, int number, int left, const field *before, bool *again)
{
  *again = p->style.field_h ? number % 11 == 10 && before->cells <= left : (number - 1) % p->shots != 0;
  if (*again) return before->cells;
  return p->style.field_h && number % 10 == 6 && left >= 2 ? 2 : 1;
}

static void deal(plan *p)
{
  for (int c = 0; c < CLASSES; c++) p->cells += p->counts[c];
  p->field = NEW(field, p->cells), p->cell = NEW(cell, p->cells);
  int at = 0;
  for (int c = 0; c < CLASSES; c++)
    for (int number = 1, done = 0; done < p->counts[c]; number++) {
      bool again;
      field *f = &p->field[p->fields];
      int n = cells_of_field(p, number, p->counts[c] - done, f - 1, &again);
      uint32_t shot = (uint32_t)(c * 1000000 + number);
      *f = (field){ c, number, n, again ? f[-1].scene : shot, shot };
      for (int i = 0; i < n; i++) p->cell[at++] = (cell){ c, p->fields, i, ++done };
      p->fields++;
    }
}

static smear *open_scene(const plan *p, const field *f)
{
  const synth_style *s = &p->style;
  int class[8];
  for (int i = 0; i < f->cells; i++) class[i] = f->label;
  int h = s->field_h ? s->field_h : s->crop, w = s->field_h ? s->field_w : s->crop;
  return synth_scene(s, p->seed, f->scene, class, f->cells, h, w);
}

/* draw the cells */
static int inside(int v, int most) { return v < 0 ? 0 : v > most ? most : v; }

static image draw_cell(const plan *p, const cell *c, uint8_t *mask)
{
  const synth_style *s = &p->style;
  const field *f = &p->field[c->field];
  smear *m = open_scene(p, f);
  int y = 0, x = 0;
  if (s->field_h) {
    synth_place(m, s, p->seed, f->shot, c->place, &y, &x);
    y = inside(y - s->crop / 2, s->field_h - s->crop), x = inside(x - s->crop / 2, s->field_w - s->crop);
  }
  image picture = synth_view(m, s, p->seed, f->shot, y, x, s->crop, s->crop, mask);
  free(m);
  return picture;
}

static void write_mask_file(const char *path, const uint8_t *mask, int h, int w, bool bmp)
{
  image m = image_new(h, w);
  for (size_t i = 0; i < (size_t)h * (size_t)w; i++) memset(m.rgb + 3 * i, mask[i], 3);
  if (bmp) image_write_bmp(path, &m);
  else image_write_png(path, &m);
  image_free(&m);
}

enum { AT_ONCE = 256 };

static void write_cell(const plan *p, const cell *c, dataset_writer *out, const char *masks, image *picture,
                       const uint8_t *mask)
{
  const field *f = &p->field[c->field];
  const char *class = class_names[c->label];
  char name[32], group[32] = "";
  snprintf(name, sizeof name, "%.3s_%05d", class, c->number);
  if (p->style.field_h || p->shots > 1) snprintf(group, sizeof group, "%.3s_scene_%05u", class, f->scene % 1000000);
  dataset_add(out, c->label, name, group, picture);
  if (masks) write_mask_file(say("%s/%s/%s.png", masks, class, name), mask, picture->h, picture->w, false);
  image_free(picture);
}

static void draw_cells(const plan *p, dataset_writer *out, const char *masks)
{
  size_t pixels = (size_t)p->style.crop * (size_t)p->style.crop;
  image picture[AT_ONCE];
  uint8_t *mask = NEW(uint8_t, AT_ONCE * pixels);
  progress bar;
  progress_start(&bar, "synth", p->cells);
  for (int c = 0; masks && c < CLASSES; c++) make_folders(say("%s/%s", masks, class_names[c]));
  for (int from = 0; from < p->cells && !stop_requested; from += AT_ONCE) {
    int n = p->cells - from < AT_ONCE ? p->cells - from : AT_ONCE;
    #pragma omp parallel for schedule(dynamic)
    for (int i = 0; i < n; i++) picture[i] = draw_cell(p, &p->cell[from + i], mask + (size_t)i * pixels);
    for (int i = 0; i < n; i++)
      write_cell(p, &p->cell[from + i], out, masks, &picture[i], mask + (size_t)i * pixels);
    progress_show(&bar, from + n, say("%d cells", from + n));
  }
  progress_end(&bar);
  free(mask);
}

/* draw the fields in LISC's layout */
static const char *const lisc_folder[CLASSES] = { "neut", "eosi", "Baso", "lymp", "mono" };
enum { LISC_BORDER = 4 };

static void write_expert(const char *path, const uint8_t *mask, int h, int w)
{
  int inner_h = h - 2 * LISC_BORDER, inner_w = w - 2 * LISC_BORDER;
  uint8_t *inner = NEW(uint8_t, (size_t)inner_h * (size_t)inner_w);
  for (int i = 0; i < inner_h; i++)
    memcpy(inner + (size_t)i * (size_t)inner_w, mask + (size_t)(i + LISC_BORDER) * (size_t)w + LISC_BORDER,
           (size_t)inner_w);
  write_mask_file(path, inner, inner_h, inner_w, true);
  free(inner);
}

static void make_lisc(const char *folder)
{
  for (int c = 0; c < CLASSES; c++) {
    make_folders(say("%s/Main Dataset/%s", folder, lisc_folder[c]));
    make_folders(say("%s/Ground Truth Segmentation/%s/areaforexpert1", folder, lisc_folder[c]));
  }
}

static void draw_fields(const plan *p, const char *folder)
{
  const synth_style *s = &p->style;
  enum { FEW = 8 };
  image picture[FEW];
  size_t pixels = (size_t)s->field_h * (size_t)s->field_w;
  uint8_t *mask = NEW(uint8_t, FEW * pixels);
  atomic_file *groups = file_create(say("%s/groups.csv", folder));
  fputs("file,class,group\n", groups->f);
  progress bar;
  progress_start(&bar, "fields", p->fields);
  for (int from = 0; from < p->fields && !stop_requested; from += FEW) {
    int n = p->fields - from < FEW ? p->fields - from : FEW;
    #pragma omp parallel for schedule(dynamic)
    for (int i = 0; i < n; i++) {
      const field *f = &p->field[from + i];
      smear *m = open_scene(p, f);
      picture[i] = synth_view(m, s, p->seed, f->shot, 0, 0, s->field_h, s->field_w, mask + (size_t)i * pixels);
      free(m);
    }
    /* write these fields and their groups */
    for (int i = 0; i < n; i++) {
      const field *f = &p->field[from + i];
      const char *class = lisc_folder[f->label];
      image_write_bmp(say("%s/Main Dataset/%s/%d.bmp", folder, class, f->number), &picture[i]);
      write_expert(say("%s/Ground Truth Segmentation/%s/areaforexpert1/%d_expert.bmp", folder, class, f->number),
                   mask + (size_t)i * pixels, s->field_h, s->field_w);
      fprintf(groups->f, "Main Dataset/%s/%d.bmp,%s,%.3s_scene_%05u\n", class, f->number, class_names[f->label],
              class_names[f->label], f->scene % 1000000);
      image_free(&picture[i]);
    }
    progress_show(&bar, from + n, say("%d fields", from + n));
  }
  progress_end(&bar);
  file_commit(groups);
  free(mask);
}

/* read counts and style */
static void read_counts(const char *text, int counts[CLASSES])
{
  const char *s = text;
  long total = 0;
  for (int c = 0; c < CLASSES; c++) {
    char *end;
    long v = strtol(s, &end, 10);
    if (end == s || v < 0 || v > 100000 || *end != (c < CLASSES - 1 ? ',' : 0))
      die(EXIT_USAGE, "--counts", say("'%s'", text), "five whole numbers, such as 20,20,20,20,20",
          "neutrophils, eosinophils, basophils, lymphocytes, monocytes");
    counts[c] = (int)v, total += v, s = end + 1;
  }
  if (!total) die(EXIT_USAGE, "--counts", say("'%s'", text), "at least one cell", NULL);
}

static synth_style pick_style(const char *set, int size, const char *fields)
{
  int i = !strcmp(set, synth_styles[0].name) ? 0 : !strcmp(set, synth_styles[1].name) ? 1 : -1;
  if (i < 0) die(EXIT_USAGE, "--set", say("'%s'", set), "dataset1 or dataset2", NULL);
  synth_style s = synth_styles[i];
  if (!size) size = s.crop;
  if (size < 16 || size > 512) die(EXIT_USAGE, "--size", say("%d", size), "16 to 512 pixels", NULL);
  if (fields && !s.field_h)
    die(EXIT_USAGE, "--fields", say("--set %s", set), "--set dataset2", "only dataset2 has whole fields");
  if (fields && size != s.crop)
    die(EXIT_USAGE, "--size", say("%d", size), say("%d with --fields", s.crop), "LISC's fields have one size");
  float zoom = (float)size / (float)s.crop;
  s.field_h = (int)((float)s.field_h * zoom), s.field_w = (int)((float)s.field_w * zoom);
  s.scale *= zoom, s.crop = size;
  return s;
}

/* dye, zoom, and report */
static void dye(synth_style *s, const char *stain, double zoom, const char *fields)
{
  const synth_style *from = stain ? synth_stain(stain) : s;
  if (!from) die(EXIT_USAGE, "--stain", say("'%s'", stain), "wright, giemsa or may-grunwald", NULL);
  if (!(zoom >= 0.5 && zoom <= 2)) die(EXIT_USAGE, "--zoom", say("%g", zoom), "0.5 to 2", NULL);
  if (fields && zoom != 1) die(EXIT_USAGE, "--zoom", say("%g", zoom), "1 with --fields", "LISC's fields have one size");
  if (stain) memcpy(s->absorb, from->absorb, sizeof s->absorb), memcpy(s->light, from->light, sizeof s->light);
  s->stain = from->stain, s->scale *= (float)zoom;
}

static void report(const plan *p, const char *out, double took)
{
  printf("%s: %d cells of %d x %d pixels (", out, p->cells, p->style.crop, p->style.crop);
  for (int c = 0; c < CLASSES; c++) printf("%s%d %s", c ? ", " : "", p->counts[c], class_short[c]);
  printf("), %s's stain, drawn in %.1f s\n", p->style.stain, took);
}

/* run the synth subcommand */
/* wbcsnet synth [flags] OUT: draw a data set. Same flags, same bytes, whatever the number of threads. */
int cmd_synth(int argc, char **argv)
{
  const char *stain = NULL, *set = "dataset1", *counts = NULL, *fields = NULL, *masks = NULL, *out = NULL;
  int size = 0, words;
  double zoom = 1, started;
  bool replace = false;
  plan p = { .seed = 1, .shots = 1 };
  /* read the flags of synth */
  const option table[] = {
    { "set", OPTION_TEXT, &set, "NAME", "dataset1 (70 x 70, the default) or dataset2 (150 x 150, in groups)" },
    { "counts", OPTION_TEXT, &counts, "N,E,B,L,M", "cells of each class (default: the paper's)" },
    { "size", OPTION_INT, &size, "PIXELS", "side of a crop; the cell fills the same share of it (16 to 512)" },
    { "stain", OPTION_TEXT, &stain, "NAME", "another bottle and lamp: wright (dataset1's), giemsa (dataset2's) or may-grunwald" },
    { "zoom", OPTION_REAL, &zoom, "F", "another magnification: cells F times as large in the crop (1; 0.5 to 2)" },
    { "seed", OPTION_SEED, &p.seed, "NUMBER", "seed of every cell (default 1)" },
    { "shots", OPTION_INT, &p.shots, "N", "photograph each cell of dataset1 N times, as one group (default 1)" },
    { "masks", OPTION_TEXT, &masks, "FOLDER", "a mask of each crop too: 0, 128 cytoplasm, 255 nucleus (PNG)" },
    { "fields", OPTION_TEXT, &fields, "FOLDER", "dataset2's fields and masks too, as LISC has them (BMP)" },
    { "replace", OPTION_FLAG, &replace, NULL, "overwrite a data set that is there" },
    { 0 }
  };
  options_read(argc, argv, table, "synth [flags] OUT", "Draw a data set of white blood cells.",
               "  wbcsnet synth build/data/drawn1\n"
               "  wbcsnet synth --set dataset2 --fields build/data/lisc build/data/drawn2\n"
               "  wbcsnet synth --counts 20,20,20,20,20 --size 35 --seed 7 small\n", &out, &words, 1);
  if (!words) die(EXIT_USAGE, "synth", "no folder", "OUT, the set's folder", "wbcsnet synth build/data/drawn1");
  if (p.shots < 1 || p.shots > 1000) die(EXIT_USAGE, "--shots", say("%d", p.shots), "1 to 1000", NULL);
  p.style = pick_style(set, size, fields);
  dye(&p.style, stain, zoom, fields);
  memcpy(p.counts, p.style.counts, sizeof p.counts);
  if (counts) read_counts(counts, p.counts);
  deal(&p);
  started = seconds(), catch_stop_signals();
  dataset_writer *writer = dataset_create(out, replace, CLASSES, class_names);
  stage *lisc = fields ? stage_open(fields, "groups.csv", "a set of fields", replace) : NULL;
  if (lisc) make_lisc(lisc->path), draw_fields(&p, lisc->path);
  draw_cells(&p, writer, masks);
  if (stop_requested) {
    dataset_cancel(writer);
    if (lisc) stage_cancel(lisc);
    fprintf(stderr, "wbcsnet: synth: stopped; nothing was written\n");
    return EXIT_STOPPED;
  }
  char *command = command_line(argc, argv);
  const char *source = say("wbcsnet synth, seed %llu", (unsigned long long)p.seed);
  report(&p, out, seconds() - started);
  if (lisc) stage_commit(lisc);
  dataset_commit(writer, say("drawn-%s", set), "synthetic", source, command);
  free(command), free(p.field), free(p.cell);
  return 0;
}

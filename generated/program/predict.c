#include "cells/decode.h"
#include "classical/pipeline.h"
#include "learning/model.h"
#include "base/options.h"
#include <errno.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* say what a prediction is asked for */
typedef enum { AS_TABLE, AS_CSV, AS_JSON } form;

typedef struct {
  cell_source from;                                  /* which classes the sources' words mean */
  cut_options cut;
  const char *weights, *device, *explain, *table;
  bool as_csv, as_json, skip_bad;
  int threads;
} predict_options;

/* An archive of arrays that is being read from its beginning. */
typedef struct { char *path; int part; npz_array *a; size_t at, bytes; uint8_t *picture; } array_reader;

typedef struct {
  const predict_options *o;
  model *m;                                          /* a net, with its plan and engine; or NULL, and old: */
  plan *plan;
  engine *e;
  pipeline old;
  safetensors *file;
  char **class_name;                                 /* (classes), NULL-ended */
  int classes;
  shape in;                                          /* of a cell */
  form as;
  finding f;
  array_reader reader;
  bool truth;                                        /* of some cells the class is known */
  int batch, told, *row, *label;
  uint8_t *pixels;
  float *prob;
  atomic_file *table;                                /* of --table, or NULL */
  char **map;                                        /* (maps) the files of --explain so far */
  int maps;
} predictor;

/* find the images to classify */
static bool is_table_name(const char *path)
{
  const char *dot = strrchr(path, '.');
  return dot && (!strcasecmp(dot, ".csv") || !strcasecmp(dot, ".tsv"));
}

/* The cells of one layout, each with the layout's window where it has none of its own. */
static void find_by_layout(cell_source *from, finding *f)
{
  const layout *as = choose_layout(from);
  const int before = f->n;
  skip_as_layout(from, as);
  find_cells(from, as, f);
  for (int i = before; i < f->n; i++) if (!f->cell[i].side) f->cell[i].side = as->crop;
}

static void find_in(const predict_options *o, const char *path, finding *f)
{
  cell_source from = o->from;
  from.folder = path;
  if (!file_exists(path)) die(EXIT_DATA, path, strerror(errno), "an image, a folder of images or a table of them", NULL);
  const bool folder = is_folder(path), table = !folder && is_table_name(path);
  if (table) from.csv = path, from.folder = ".";
  if (table || is_zip(path) || (folder && o->from.layout)) find_by_layout(&from, f);
  else if (!find_images(&from, f)) die(EXIT_DATA, path, "no image in it", "TIFF, PNG, JPEG or BMP files", NULL);
}

/* print the head of the table */
static void print_head(const predictor *p)
{
  if (p->as == AS_TABLE) printf("%-12s %-7s  file\n", "class", "p");
  if (p->as != AS_CSV) return;
  printf("file,predicted");
  for (int c = 0; c < p->classes; c++) putchar(','), csv_put(stdout, p->class_name[c]);
  putchar('\n');
}

/* print a cell's row */
static int best_of(const float *prob, int classes)
{
  int best = 0;
  for (int c = 1; c < classes; c++) if (prob[c] > prob[best]) best = c;
  return best;
}

/* The window whose covering takes most from the class's probability; size 0: none was looked for. */
typedef struct { int y, x, size; float drop; } decisive;

/* The class that the source says, or "". */
static const char *true_class(const predictor *p, const found_cell *c)
{
  return c->label < p->o->from.class_count ? p->o->from.class_name[c->label] : "";
}

static void print_row(const predictor *p, const found_cell *cell, const float *prob, const decisive *d)
{
  const form as = p->as;
  const char *path = cell->path, *const *name = (const char *const *)p->class_name;
  const int k = p->classes, best = best_of(prob, k);
  if (as == AS_TABLE) { printf("%-12s %.4f   %s\n", name[best], prob[best], path); return; }
  if (as == AS_CSV) {
    csv_put(stdout, path), putchar(','), csv_put(stdout, name[best]);
    for (int c = 0; c < k; c++) printf(",%.9g", prob[c]);
    putchar('\n');
    return;
  }
  printf("{\"file\": "), json_put_text(stdout, path);
  printf(", \"class\": "), json_put_text(stdout, name[best]);
  if (*true_class(p, cell)) printf(", \"true\": "), json_put_text(stdout, true_class(p, cell));
  for (int c = 0; c < k; c++)
    printf(c ? ", " : ", \"probabilities\": {"), json_put_text(stdout, name[c]),
        printf(": %.9g", prob[c]);
  if (d->size) printf("}, \"decisive\": {\"y\": %d, \"x\": %d, \"size\": %d, \"drop\": %.6g", d->y, d->x, d->size, d->drop);
  puts("}}");
}

/* write a row of the table of answers */
static void open_table(predictor *p)
{
  if (!p->o->table) return;
  p->table = file_create(p->o->table);
  fprintf(p->table->f, "file,class%s", p->truth ? ",true" : "");
  for (int c = 0; c < p->classes; c++) fputc(',', p->table->f), csv_put(p->table->f, p->class_name[c]);
  fputc('\n', p->table->f);
}

static void write_row(const predictor *p, const found_cell *c, const float *prob)
{
  char *whole = c->part < 0 ? realpath(c->path, NULL) : NULL;
  const int k = p->classes;
  FILE *f = p->table->f;
  csv_put(f, whole ? whole : c->path), fputc(',', f), csv_put(f, p->class_name[best_of(prob, k)]);
  if (p->truth) fputc(',', f), csv_put(f, true_class(p, c));
  for (int i = 0; i < k; i++) fprintf(f, ",%.9g", prob[i]);
  fputc('\n', f), free(whole);
}

/* cover a window, and ask again */
/* A copy of the image (h, w, c) with the window at (y, x) covered by the mean, or by mid-grey without one. */
static void cover(const predictor *p, const uint8_t *cell, int y, int x, int size, uint8_t *to)
{
  const shape in = p->m->net->layer[0].out;
  memcpy(to, cell, shape_floats(in));
  for (int i = y < 0 ? 0 : y; i < y + size && i < in.h; i++)
    for (int j = x < 0 ? 0 : x; j < x + size && j < in.w; j++)
      for (int c = 0; c < in.c; c++) {
        const size_t at = ((size_t)i * (size_t)in.w + (size_t)j) * (size_t)in.c + (size_t)c;
        to[at] = p->m->mean ? (uint8_t)(p->m->mean[at] + 0.5f) : 128;
      }
}

/* drop (n): what covering the windows at place (n, 2) takes from the probability of that class */
static void try_windows(predictor *p, const uint8_t *cell, int (*place)[2], int n, int size, int class, float before, float *drop)
{
  const size_t bytes = shape_floats(p->m->net->layer[0].out);
  uint8_t *covered = NEW(uint8_t, bytes * (size_t)p->batch);
  for (int i = 0; i < n; i += p->batch) {
    const int some = n - i < p->batch ? n - i : p->batch;
    batch b = { some, p->row, NULL, 0, 0 };
    for (int j = 0; j < some; j++) cover(p, cell, place[i + j][0], place[i + j][1], size, covered + bytes * (size_t)j);
    p->e->kind->set_cells(p->e, covered, p->label, some, p->m->mean);
    p->e->kind->infer(p->e, &b, p->prob);
    for (int j = 0; j < some; j++) drop[i + j] = before - p->prob[j * p->m->net->classes + class];
  }
  free(covered);
}

/* find which pixels decide */
/* heat (h, w): the mean drop over the windows that cover a pixel; the single worst window. */
static decisive find_heat(predictor *p, const uint8_t *cell, int class, float before, float *heat)
{
  const shape in = p->m->net->layer[0].out;
  const int least = in.h < in.w ? in.h : in.w, size = least < 10 ? 2 : least / 5, by = size < 6 ? 1 : size / 3;
  const int down = (in.h + size - 2) / by + 1, across = (in.w + size - 2) / by + 1, n = down * across;
  int (*place)[2] = new_bytes(sizeof *place * (size_t)n), *count = NEW(int, in.h * in.w);
  float *drop = NEW(float, n);
  decisive d = { 0, 0, size, -1 };
  for (int i = 0; i < n; i++) place[i][0] = 1 - size + i / across * by, place[i][1] = 1 - size + i % across * by;
  try_windows(p, cell, place, n, size, class, before, drop);
  for (int i = 0; i < n; i++) {
    if (drop[i] > d.drop) d = (decisive){ place[i][0], place[i][1], size, drop[i] };
    /* add the window's drop to the pixels under it */
    for (int y = place[i][0]; y < place[i][0] + size; y++)
      for (int x = place[i][1]; x < place[i][1] + size; x++)
        if (y >= 0 && x >= 0 && y < in.h && x < in.w) heat[y * in.w + x] += drop[i], count[y * in.w + x]++;
  }
  for (int k = 0; k < in.h * in.w; k++) heat[k] /= (float)(count[k] ? count[k] : 1);
  free(place), free(count), free(drop);
  return d;
}

/* paint the evidence over the cell */
static void lay_over(const uint8_t *pixel, int channels, float heat, uint8_t *to)
{
  static const float warm[3] = { 213, 94, 0 }, cold[3] = { 0, 114, 178 };              /* the figures' colours */
  const float grey = channels == 1 ? pixel[0] : 0.299f * pixel[0] + 0.587f * pixel[1] + 0.114f * pixel[2];
  const float share = heat < 0 ? -heat : heat, *colour = heat < 0 ? cold : warm;
  for (int c = 0; c < 3; c++) to[c] = (uint8_t)((1 - 0.85f * share) * (0.6f * grey + 80) + 0.85f * share * colour[c]);
}

static image draw_heat(const uint8_t *pixels, shape in, const float *heat)
{
  const int scale = in.h < 210 ? (210 + in.h - 1) / in.h : 1, gap = 6, across = in.w * scale;
  image m = image_new(in.h * scale, 2 * across + gap);
  float most = 1e-6f;
  for (int k = 0; k < in.h * in.w; k++) most = heat[k] > most ? heat[k] : -heat[k] > most ? -heat[k] : most;
  memset(m.rgb, 255, (size_t)m.h * (size_t)m.w * 3);
  for (int y = 0; y < m.h; y++)
    for (int x = 0; x < across; x++) {
      const int k = y / scale * in.w + x / scale;
      const uint8_t *from = pixels + (size_t)k * (size_t)in.c;
      uint8_t *left = m.rgb + 3 * ((size_t)y * (size_t)m.w + (size_t)x);
      for (int c = 0; c < 3; c++) left[c] = from[in.c == 1 ? 0 : c];
      lay_over(from, in.c, heat[k] / most, left + 3 * (across + gap));
    }
  return m;
}

/* explain an answer by a map */
static bool has_map(const predictor *p, const char *file)
{
  for (int i = 0; i < p->maps; i++) if (!strcmp(p->map[i], file)) return true;
  return false;
}

/* The file of an image's map, its own in this run: a second one of the same name gets a number. */
static const char *map_file(predictor *p, const char *path, const char *class)
{
  while (*path == '.' || *path == '/') path++;
  char *name = copy_text(path), *file;
  for (char *c = name; *c; c++) if (*c == '/') *c = '_';
  file = join("%s/%s-%s.png", p->o->explain, name, class);
  for (int n = 2; has_map(p, file); n++) free(file), file = join("%s/%s~%d-%s.png", p->o->explain, name, n, class);
  p->map = grow(p->map, sizeof(char *) * (size_t)(p->maps + 1));
  free(name);
  return p->map[p->maps++] = file;
}

static decisive explain(predictor *p, const char *path, const uint8_t *pixels, const float *prob)
{
  const shape in = p->m->net->layer[0].out;
  const int class = best_of(prob, p->m->net->classes);
  float *heat = NEW(float, in.h * in.w);
  decisive d = find_heat(p, pixels, class, prob[class], heat);
  image m = draw_heat(pixels, in, heat);
  image_write_png(map_file(p, path, p->m->class_name[class]), &m);
  image_free(&m), free(heat);
  return d;
}

/* read a picture out of an array */
static void close_reader(array_reader *r)
{
  if (r->a) npz_close(r->a);
  free(r->path), free(r->picture);
  *r = (array_reader){0};
}

/* Opens the part of the archive that the cell is in; its path is ARCHIVE:PART_images[INDEX]. */
static bool open_reader(array_reader *r, const found_cell *c, char why[256])
{
  char *path = join("%.*s", (int)(strrchr(c->path, ':') - c->path), c->path);
  if (r->a && r->part == c->part && !strcmp(r->path, path)) { free(path); return true; }
  close_reader(r);
  r->path = path, r->part = c->part, r->a = open_images(path, c->part, why);
  if (!r->a) return false;
  r->bytes = r->a->count / r->a->shape[0], r->picture = new_bytes(r->bytes);
  return true;
}

static bool read_array(predictor *p, found_cell *c, char why[256])
{
  array_reader *r = &p->reader;
  if (!open_reader(r, c, why)) return false;
  for (; r->at <= (size_t)c->index; r->at++) if (!npz_read(r->a, r->picture, r->bytes, why)) return false;
  return decode_array(c, &p->o->cut, r->picture, r->a, why);
}

/* read a batch of pictures */
static void read_batch(predictor *p, found_cell *cell, int n)
{
  char (*why)[256] = new_bytes(sizeof *why * (size_t)n);
  for (int i = 0; i < n; i++) if (cell[i].part >= 0) cell[i].left_out = !read_array(p, &cell[i], why[i]);
  #pragma omp parallel for schedule(dynamic, 1)
  for (int i = 0; i < n; i++) if (cell[i].part < 0) cell[i].left_out = !decode_cell(&cell[i], &p->o->cut, why[i]);
  for (int i = 0; i < n; i++) {
    if (!cell[i].left_out) continue;
    warn(cell[i].path, why[i], cell[i].hint ? cell[i].hint : "TIFF, PNG, JPEG and BMP can be read");
    p->f.unreadable++;
  }
  warn_of_notes(cell, n, &p->told), free(why);
}

/* tell each cell's class */
static void tell(predictor *p, const found_cell *c, const uint8_t *pixels, const float *prob)
{
  decisive d = { 0 };
  if (p->o->explain) d = explain(p, c->path, pixels, prob);
  print_row(p, c, prob, &d);
  if (p->table) write_row(p, c, prob);
}

static void ask_net(predictor *p, int n)
{
  const batch b = { n, p->row, NULL, 0, 0 };
  model_prepare(p->m, p->pixels, n);
  p->e->kind->set_cells(p->e, p->pixels, p->label, n, p->m->mean);
  if (n) p->e->kind->infer(p->e, &b, p->prob);
}

static void ask_pipeline(predictor *p, int n)
{
  const size_t bytes = shape_floats(p->in);
  #pragma omp parallel for schedule(dynamic, 1)
  for (int i = 0; i < n; i++) {
    const measures m = pipeline_measure(p->pixels + (size_t)i * bytes, p->in.h, p->in.w);
    double q[CLASSES_MOST];
    pipeline_posterior(&p->old, m.value, q);
    for (int c = 0; c < p->classes; c++) p->prob[i * p->classes + c] = (float)q[c];
  }
}

static void classify(predictor *p, found_cell *cell, int n)
{
  const size_t bytes = shape_floats(p->in);
  const int k = p->classes;
  int good = 0, at = 0;
  read_batch(p, cell, n);
  for (int i = 0; i < n; i++)
    if (!cell[i].left_out) image_channels(&cell[i].cell, p->in.c, p->pixels + (size_t)good++ * bytes), image_free(&cell[i].cell);
  if (p->m) ask_net(p, good); else ask_pipeline(p, good);
  float *prob = NEW(float, good * k);
  memcpy(prob, p->prob, sizeof(float) * (size_t)(good * k));
  for (int i = 0; i < n; i++)
    if (!cell[i].left_out) tell(p, &cell[i], p->pixels + (size_t)at * bytes, prob + at * k), at++;
  free(prob);
}

/* make room for a net and its batches */
static void open_net(predictor *p)
{
  const engine_kind *kind = engine_find(p->o->device);
  p->plan = plan_make(p->m->net, p->batch);
  p->e = kind->open(p->plan, p->o->threads);
  kind->write_state(p->e, &p->m->state);
}

static void take_room(predictor *p)
{
  p->pixels = new_bytes((size_t)p->batch * shape_floats(p->in));
  p->row = NEW(int, p->batch), p->label = NEW(int, p->batch), p->prob = NEW(float, p->batch * p->classes);
  for (int i = 0; i < p->batch; i++) p->row[i] = i;
}

/* load a net, or a pipeline */
static void load_weights(predictor *p)
{
  p->file = st_read(p->o->weights);
  if (!pipeline_stored(p->file)) {
    p->m = model_of(p->file);
    p->class_name = p->m->class_name, p->classes = p->m->net->classes, p->in = p->m->net->layer[0].out;
    return;
  }
  if (p->o->explain) die(EXIT_USAGE, "--explain", "the classical pipeline's weights", "a trained net's", NULL);
  p->class_name = pipeline_fetch(p->file, &p->old);
  p->classes = p->old.classes, p->in = (shape){ p->old.size, p->old.size, 3 };
}

/* give back what a prediction took */
static void free_weights(predictor *p)
{
  if (p->m) { p->e->kind->close(p->e), plan_free(p->plan), model_free(p->m); return; }
  for (int c = 0; c < p->classes; c++) free(p->class_name[c]);
  free(p->class_name), pipeline_clear(&p->old), st_free(p->file);
}

static void close_predictor(predictor *p)
{
  free_weights(p);
  for (int i = 0; i < p->maps; i++) free(p->map[i]);
  for (int i = 0; i < p->f.n; i++) free(p->f.cell[i].path), free(p->f.cell[i].name), free(p->f.cell[i].group), free(p->f.cell[i].note);
  free(p->f.cell), free(p->pixels), free(p->row), free(p->label), free(p->prob), free(p->map);
  close_reader(&p->reader);
}

static void check_predict_flags(const predict_options *o, int n)
{
  if (!o->weights) die(EXIT_USAGE, "--weights", "no value", "a weights file", "wbcsnet train makes one");
  if (!n) die(EXIT_USAGE, "predict", "no image", "images or folders of images", NULL);
  if (o->as_csv && o->as_json) die(EXIT_USAGE, "--json", "--csv as well", "one of them", NULL);
  if (o->threads < 0 || o->threads > 4096) die(EXIT_USAGE, "--threads", say("%d", o->threads), "0 to 4096", NULL);
  check_cut(&o->cut);
}

/* read the flags of predict */
static void read_predict_flags(predict_options *o, int argc, char **argv, const char **source, int *n)
{
  char *names = layout_names(), *layouts_help = join("search a folder as import does: %s (all below it)", names);
  const option table[] = {
    { "weights", OPTION_TEXT, &o->weights, "FILE", "weights of train, with net, classes and mean image inside, or of classical --save" },
    { "csv", OPTION_FLAG, &o->as_csv, NULL, "print CSV with every probability" },
    { "json", OPTION_FLAG, &o->as_json, NULL, "print one JSON object a line" },
    { "table", OPTION_TEXT, &o->table, "FILE", "write the answers to a CSV that import --csv and evaluate --answers read" },
    { "crop", OPTION_INT, &o->cut.crop, "N", "take the centred N x N pixels (0: the layout's window, else the largest centred square)" },
    /* flags about odd images */
    { "white", OPTION_INT, &o->cut.white, "V",
      "the sample that is white, in images of more than 8 bits (what the file says, else the largest number)" },
    { "pad", OPTION_TEXT, &o->cut.pad, "edge", "where a window is larger than its image, repeat the border's pixels (else an error)" },
    { "page", OPTION_INT, &o->cut.page, "N", "which image of a TIFF that holds several, from 1 (else they are refused)" },
    { "skip-bad", OPTION_FLAG, &o->skip_bad, NULL, "exit 0 though images cannot be read" },
    { "layout", OPTION_TEXT, &o->from.layout, "NAME", layouts_help },
    /* flags about the source's words */
    { "skip-classes", OPTION_TEXT, &o->from.skip, "A,B", "leave out these class folders or names" },
    { "map", OPTION_TEXT, &o->from.map, "A=B,C=D",
      "what the source's words for classes mean, such as LYT=lymphocyte; or a file of such lines" },
    { "classes", OPTION_TEXT, &o->from.classes, "A,B,C",
      "other classes than the usual, by their folders' names" },
    { "explain", OPTION_TEXT, &o->explain, "FOLDER", "for each image, a picture of what decided (PNG)" },
    { "device", OPTION_TEXT, &o->device, "NAME", "engine: auto, cpu, ref, cuda[:N], cuda-tf32, cuda-bf16 (auto)" },
    { "threads", OPTION_INT, &o->threads, "T", "threads (0: one a core)" },
    {0}
  };
  options_read(argc, argv, table, "predict --weights FILE [flags] IMAGE, FOLDER or TABLE...",
               "Classify images: class, probabilities. The classes are the weights' own; what a layout or a table tells of them is read\n"
               "with --map and --classes, and written beside the answers.",
               "  wbcsnet predict --weights build/runs/try/weights.safetensors --csv cell1.png more-cells/\n"
               "  wbcsnet predict --weights W --layout pbc --table answers.csv PBC_dataset_normal_DIB\n", source, n, 4096);
  free(names), free(layouts_help);
  check_predict_flags(o, *n);
}

/* run the predict subcommand */
/* wbcsnet predict: class and probabilities of images. */
int cmd_predict(int argc, char **argv)
{
  predict_options o = { .device = "auto", .from.any_class = true };
  const char *source[4096];
  int n = 0;
  read_predict_flags(&o, argc, argv, source, &n);
  if (o.threads) omp_set_num_threads(o.threads);
  predictor p = { .o = &o, .as = o.as_csv ? AS_CSV : o.as_json ? AS_JSON : AS_TABLE, .batch = 32 };
  load_weights(&p);
  o.cut.h = p.in.h, o.cut.w = p.in.w;
  name_classes(&o.from, (const char *const *)p.class_name, p.classes);
  read_map(&o.from);
  for (int i = 0; i < n; i++) find_in(&o, source[i], &p.f);
  for (int i = 0; i < p.f.n; i++) p.truth |= *true_class(&p, &p.f.cell[i]) != 0;
  if (o.explain) make_folders(o.explain);
  if (p.m) open_net(&p);
  take_room(&p), print_head(&p), open_table(&p);
  for (int i = 0; i < p.f.n; i += p.batch) classify(&p, p.f.cell + i, p.f.n - i < p.batch ? p.f.n - i : p.batch);
  if (p.table) file_commit(p.table);
  say_left_out(stderr, &p.f, 0);
  const int bad = p.f.unreadable;
  close_predictor(&p), free(o.from.class_name);
  return bad && !o.skip_bad ? EXIT_DATA : 0;
}

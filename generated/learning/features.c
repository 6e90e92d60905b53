#include "cells/dataset.h"
#include "base/image.h"
#include "learning/model.h"
#include "base/options.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* show the net one cell */
typedef struct {
  model *m;
  /* of an unfused plan for one image: every layer's output can be looked at */
  engine *e;
  plan *p;
  uint8_t *pixels;                                   /* (H, W, C) of the net's input shape */
  char *file;
  const char *held_out;                              /* "true", "false" or "null": not known */
  float *prob;                                       /* (classes) */
  bool after_unit;
  const char *out;
} look;

static size_t input_bytes(const look *k)
{
  return shape_floats(k->m->net->layer[0].out);
}

/* The probabilities of one image of the net's size; its activations stay in the engine. */
static void show(look *k, const uint8_t *pixels)
{
  const int row = 0;
  batch b = { .n = 1, .row = &row };
  k->e->kind->set_cells(k->e, pixels, NULL, 1, k->m->mean);
  k->e->kind->infer(k->e, &b, k->prob);
}

/* find the surest cell of a class */
static int row_of_file(const dataset *ds, const char *file)
{
  for (int i = 0; i < ds->n; i++)
    if (!strcmp(ds->file[i], file)) return i;
  return -1;
}

static int surest_held_out(const char *weights, const dataset *ds, int class)
{
  const char *slash = strrchr(weights, '/');
  char *path = join("%.*spredictions.csv", slash ? (int)(slash - weights) + 1 : 0, weights);
  int best = -1;
  double most = -1;
  if (file_exists(path)) {
    csv *c = csv_read(path, NULL);
    const int file = csv_need(c, "file"), p = csv_column(c, ds->class_name[class]);
    for (int i = 0; p >= 0 && i < c->rows; i++) {
      const int row = row_of_file(ds, csv_cell(c, i, file));
      const double probability = strtod(csv_cell(c, i, p), NULL);
      if (row >= 0 && ds->label[row] == class && probability > most) best = row, most = probability;
    }
    csv_free(c);
  }
  free(path);
  return best;
}

static int surest_of_all(look *k, const dataset *ds, int class)
{
  int best = -1;
  float most = -1;
  for (int i = 0; i < ds->n; i++) {
    if (ds->label[i] != class) continue;
    show(k, ds->pixels + (size_t)i * input_bytes(k));
    if (k->prob[class] > most) best = i, most = k->prob[class];
  }
  return best;
}

/* take a row of a set, or a picture */
static void take_row(look *k, const dataset *ds, int row, const char *held_out)
{
  k->file = copy_text(ds->file[row]);
  k->held_out = held_out;
  memcpy(k->pixels, ds->pixels + (size_t)row * input_bytes(k), input_bytes(k));
}

static void take_image(look *k, const char *path)
{
  char why[256];
  image whole;
  const shape in = k->m->net->layer[0].out;
  if (!image_read(path, &whole, why))
    die(EXIT_DATA, path, why, "an image, or a cell of the data set by its name in labels.csv", NULL);
  const int side = whole.h < whole.w ? whole.h : whole.w;
  image square = image_crop(&whole, (whole.h - side) / 2, (whole.w - side) / 2, side, side),
    small = image_resize(&square, in.h, in.w);
  image_channels(&small, in.c, k->pixels);
  image_free(&whole), image_free(&square), image_free(&small);
  k->file = copy_text(path), k->held_out = "null";
}

/* choose the cell to show */
static void choose_cell(look *k, const char *weights, const char *data, const char *cell,
                        const char *class_word)
{
  const shape in = k->m->net->layer[0].out;
  if (!data) { take_image(k, cell); return; }
  dataset *ds = dataset_load(data, in.h, in.w);
  dataset_channels(ds, in.c);
  int row = cell ? row_of_file(ds, cell) : -1, class = 0;
  if (cell && row < 0) { dataset_free(ds), take_image(k, cell); return; }
  while (class < ds->classes && strcmp(ds->class_name[class], class_word)) class++;
  if (class == ds->classes)
    die(EXIT_USAGE, "--class", say("'%s'", class_word), say("a class of %s", data),
        "neutrophil, for example");
  if (class >= k->m->net->classes)
    die(EXIT_DATA, data, say("class %d", class + 1),
        say("%d classes, as in the weights", k->m->net->classes), NULL);
  const int held_out = cell ? -1 : surest_held_out(weights, ds, class);
  if (row < 0) row = held_out >= 0 ? held_out : surest_of_all(k, ds, class);
  if (row < 0)
    die(EXIT_DATA, data, say("no %s", class_word), "at least one",
        "choose another --class or name a --cell");
  take_row(k, ds, row, cell ? "null" : held_out >= 0 ? "true" : "false");
  dataset_free(ds);
}

/* find where a convolution's unit ends */
static int end_of_unit(const net *n, int conv)
{
  int last = conv;
  for (int i = conv + 1; i < n->layers; i++) {
    const layer *l = &n->layer[i];
    if (l->from != last && l->with != last) continue;
    const bool curve = l->kind == LAYER_RELU || l->kind == LAYER_TANH;
    if (l->kind != LAYER_NORM && l->kind != LAYER_ADD && !curve) return conv;
    last = i;
    if (curve) return last;
  }
  return conv;
}

/* draw one map of a mosaic */
enum { MOSAIC_WIDTH = 1120, GAP = 2 };

static int mosaic_columns(int channels)
{
  int least = (int)ceil(sqrt(channels));
  for (int columns = least; columns <= 2 * least; columns++)
    if (channels % columns == 0) return columns;
  return least;
}

static int enlarged(int pixels) { return pixels < MOSAIC_WIDTH ? MOSAIC_WIDTH / pixels : 1; }

static uint8_t grey_of(float y, float strongest)
{
  return (uint8_t)lrintf(127.5f * (1 + (strongest > 0 ? y / strongest : 0)));
}

static void draw_tile(image *to, int y0, int x0, int zoom, const float *map, shape s, int channel,
                      float strongest)
{
  for (int y = 0; y < s.h * zoom; y++)
    for (int x = 0; x < s.w * zoom; x++) {
      const size_t place = ((size_t)(y / zoom) * (size_t)s.w + (size_t)(x / zoom)) * (size_t)s.c + (size_t)channel;
      memset(to->rgb + 3 * ((size_t)(y0 + y) * (size_t)to->w + (size_t)(x0 + x)),
             grey_of(map[place], strongest), 3);
    }
}

/* write one mosaic */
static void write_mosaic(const look *k, int conv, FILE *table, builder *record)
{
  const layer *l = &k->m->net->layer[k->after_unit ? end_of_unit(k->m->net, conv) : conv];
  const char *name = k->m->net->layer[conv].name;
  const shape s = l->out;
  const int columns = mosaic_columns(s.c), rows = (s.c + columns - 1) / columns,
    zoom = enlarged(columns * s.w);
  image picture = image_new(rows * (s.h * zoom + GAP) - GAP, columns * (s.w * zoom + GAP) - GAP);
  float *map = NEW(float, shape_floats(s));
  memset(picture.rgb, 255, 3 * (size_t)picture.h * (size_t)picture.w);
  k->e->kind->get(k->e, plan_tensor(k->p, l->name), map, 1);
  for (int c = 0; c < s.c; c++) {
    float least = map[c], most = map[c];
    double sum = 0;
    for (size_t i = (size_t)c; i < shape_floats(s); i += (size_t)s.c)
      least = fminf(least, map[i]), most = fmaxf(most, map[i]), sum += map[i];
    fprintf(table, "%s,%s,%d,%.9g,%.9g,%.9g\n", name, l->name, c, least, most, sum / (s.h * s.w));
    draw_tile(&picture, c / columns * (s.h * zoom + GAP), c % columns * (s.w * zoom + GAP), zoom, map, s,
              c, fmaxf(-least, most));
  }
  char *path = join("%s/%s.png", k->out, name);
  image_write_png(path, &picture);
  build(record, "%s\n    {\"layer\": \"%s\", \"output_of\": \"%s\", \"file\": \"%s.png\", \"channels\": %d, "
        "\"height\": %d, \"width\": %d, \"columns\": %d, \"rows\": %d}",
        record->length ? "," : "", name, l->name, name, s.c, s.h, s.w, columns, rows);
  free(path), free(map), image_free(&picture);
}

/* write the cell beside its mosaics */
static void write_cell(const look *k)
{
  const shape in = k->m->net->layer[0].out;
  const int zoom = 1 + (enlarged(in.w) - 1) / 2;
  image picture = image_new(in.h * zoom, in.w * zoom);
  for (int y = 0; y < picture.h; y++)
    for (int x = 0; x < picture.w; x++) {
      const uint8_t *p = k->pixels + (size_t)in.c * ((size_t)(y / zoom) * (size_t)in.w + (size_t)(x / zoom));
      uint8_t *to = picture.rgb + 3 * ((size_t)y * (size_t)picture.w + (size_t)x);
      for (int c = 0; c < 3; c++) to[c] = p[in.c == 3 ? c : 0];
    }
  char *path = join("%s/cell.png", k->out);
  image_write_png(path, &picture);
  free(path), image_free(&picture);
}

/* write mosaics, table and record */
static void write_record(const look *k, const char *mosaics)
{
  char *path = join("%s/features.json", k->out);
  atomic_file *a = file_create(path);
  const net *n = k->m->net;
  int best = 0;
  for (int c = 1; c < n->classes; c++) if (k->prob[c] > k->prob[best]) best = c;
  fprintf(a->f, "{\n  \"cell\": "), json_put_text(a->f, k->file);
  fprintf(a->f, ", \"held_out\": %s,\n  \"predicted\": ", k->held_out),
    json_put_text(a->f, k->m->class_name[best]);
  fprintf(a->f, ", \"probability\": %.6g,\n  \"net\": ", k->prob[best]), json_put_text(a->f, n->name);
  fprintf(a->f, ", \"title\": "), json_put_text(a->f, n->title);
  fprintf(a->f, ", \"weights_sha256\": \"%s\",\n  \"after\": \"%s\", \"mosaics\": [%s\n  ]\n}\n",
          k->m->sha256, k->after_unit ? "unit" : "conv", mosaics);
  file_commit(a);
  printf("%s: %s (%s, p = %.4f)\n", k->out, k->file, k->m->class_name[best], k->prob[best]);
  free(path);
}

static void write_all(const look *k)
{
  char *path = join("%s/features.csv", k->out);
  builder mosaics = {0};
  make_folders(k->out);
  atomic_file *a = file_create(path);
  fprintf(a->f, "layer,output_of,channel,min,max,mean\n");
  for (int i = 0; i < k->m->net->layers; i++)
    if (k->m->net->layer[i].kind == LAYER_CONV) write_mosaic(k, i, a->f, &mosaics);
  file_commit(a);
  write_cell(k);
  char *text = built(&mosaics, NULL);
  write_record(k, text);
  free(text), free(path);
}

/* look at a net through one cell */
static void look_at(const char *weights, const char *data, const char *cell, const char *class_word,
                    bool after_unit, const char *device, int threads, const char *out)
{
  const engine_kind *kind = engine_find(device);
  look k = { .m = model_load(weights), .after_unit = after_unit, .out = out };
  k.p = plan_make_unfused(k.m->net, 1);
  k.e = kind->open(k.p, threads);
  kind->write_state(k.e, &k.m->state);
  k.pixels = new_bytes(input_bytes(&k)), k.prob = NEW(float, k.m->net->classes);
  choose_cell(&k, weights, data, cell, class_word);
  model_prepare(k.m, k.pixels, 1);
  show(&k, k.pixels);
  write_all(&k);
  kind->close(k.e), plan_free(k.p), model_free(k.m);
  free(k.pixels), free(k.prob), free(k.file);
}

/* run the features subcommand */
/* wbcsnet features: the answers of a trained net's convolutions to one cell, as mosaics (the paper's Fig. 9). */
int cmd_features(int argc, char **argv)
{
  const char *weights = NULL, *data = NULL, *cell = NULL, *class_word = "neutrophil", *out = NULL,
    *after = "conv", *device = "auto";
  int threads = 0;
  const option table[] = {
    { "weights", OPTION_TEXT, &weights, "FILE", "weights.safetensors of a run; it names its net" },
    { "data", OPTION_TEXT, &data, "FOLDER", "data set to take the cell from" },
    { "cell", OPTION_TEXT, &cell, "FILE",
     "a cell as labels.csv names it, or any image (default: the surest neutrophil)" },
    { "class", OPTION_TEXT, &class_word, "NAME", "class whose surest cell is taken (neutrophil)" },
    { "after", OPTION_TEXT, &after, "conv|unit",
     "show the convolution's own output, with sign, or its unit's, behind the ReLU (conv)" },
    { "device", OPTION_TEXT, &device, "NAME", "engine: auto, cpu, ref, cuda[:N], cuda-tf32, cuda-bf16 (auto)" },
    { "threads", OPTION_INT, &threads, "T", "threads (0: one a core)" },
    { "out", OPTION_TEXT, &out, "FOLDER",
     "where to write CONV.png for each convolution, cell.png, features.csv, features.json" },
    {0}
  };
  options_read(argc, argv, table, "features --weights FILE --data FOLDER --out FOLDER [flags]",
               "Draw what every filter of a trained net answers to one cell.",
               "  wbcsnet features --weights RUN/weights.safetensors --data D1 --out features\n",
               NULL, NULL, 0);
  if (!weights || !out || !(data || cell))
    die(EXIT_USAGE, "features", "a flag missing", "--weights, --out, and --data or --cell",
        "wbcsnet features --help");
  if (strcmp(after, "conv") && strcmp(after, "unit"))
    die(EXIT_USAGE, "--after", say("'%s'", after), "conv or unit", NULL);
  look_at(weights, data, cell, class_word, !strcmp(after, "unit"), device, threads, out);
  return 0;
}


#include "image.h"
#include "model.h"
#include "options.h"
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

/* predict: gather the files */
typedef struct { char **path; int n; } file_list;

static void add_file(file_list *l, const char *path)
{
  l->path = grow(l->path, sizeof(char *) * (size_t)(l->n + 1));
  l->path[l->n++] = copy_text(path);
}

static int visible(const struct dirent *e) { return e->d_name[0] != '.'; }

static bool named_as_image(const char *path)
{
  static const char *const ends[] = { ".tif", ".tiff", ".png", ".jpg", ".jpeg", ".bmp" };
  const char *dot = strrchr(path, '.');
  for (size_t i = 0; dot && i < sizeof ends / sizeof *ends; i++)
    if (!strcasecmp(dot, ends[i])) return true;
  return false;
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
  return strcmp((*a)->d_name, (*b)->d_name);
}

static void gather(file_list *l, const char *path, int depth)
{
  struct stat st;
  struct dirent **entry;
  if (stat(path, &st)) die(EXIT_DATA, path, strerror(errno), "an image or a folder of images", NULL);
  if (!S_ISDIR(st.st_mode)) { if (!depth || named_as_image(path)) add_file(l, path); return; }
  int n = depth < 16 ? scandir(path, &entry, visible, by_bytes) : 0;
  if (n < 0) die(EXIT_DATA, path, strerror(errno), "a folder that can be read", NULL);
  for (int i = 0; i < n; i++) {
    char *below = join("%s/%s", path, entry[i]->d_name);
    gather(l, below, depth + 1);
    free(below), free(entry[i]);
  }
  if (depth < 16) free(entry);
}

/* predict: print a row */
typedef enum { AS_TABLE, AS_CSV, AS_JSON } form;

static void print_head(form as, const model *m)
{
  if (as == AS_TABLE) printf("%-12s %-7s  file\n", "class", "p");
  if (as != AS_CSV) return;
  printf("file,predicted");
  for (int c = 0; c < m->net->classes; c++) putchar(','), csv_put(stdout, m->class_name[c]);
  putchar('\n');
}

static int best_of(const float *prob, int classes)
{
  int best = 0;
  for (int c = 1; c < classes; c++) if (prob[c] > prob[best]) best = c;
  return best;
}

/* The window whose covering takes most from the class's probability; size 0: none was looked for. */
typedef struct { int y, x, size; float drop; } decisive;

static void print_row(form as, const model *m, const char *path, const float *prob, const decisive *d)
{
  const int k = m->net->classes, best = best_of(prob, k);
  if (as == AS_TABLE) { printf("%-12s %.4f   %s\n", m->class_name[best], prob[best], path); return; }
  if (as == AS_CSV) {
    csv_put(stdout, path), putchar(','), csv_put(stdout, m->class_name[best]);
    for (int c = 0; c < k; c++) printf(",%.9g", prob[c]);
    putchar('\n');
    return;
  }
  printf("{\"file\": "), json_put_text(stdout, path);
  printf(", \"class\": "), json_put_text(stdout, m->class_name[best]);
  for (int c = 0; c < k; c++)
    printf(c ? ", " : ", \"probabilities\": {"), json_put_text(stdout, m->class_name[c]),
        printf(": %.9g", prob[c]);
  if (d->size) printf("}, \"decisive\": {\"y\": %d, \"x\": %d, \"size\": %d, \"drop\": %.6g", d->y, d->x, d->size, d->drop);
  puts("}}");
}

/* predict: classify a batch */
typedef struct {
  model *m;
  engine *e;
  form as;
  int crop, batch, bad, *row, *label;
  uint8_t *pixels;
  float *prob;
  const char *explain;                               /* a folder for maps, or NULL */
  char **map;                                        /* (maps) the maps' files so far */
  int maps;
} predictor;

/* predict: explain a class */
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
    for (int y = place[i][0]; y < place[i][0] + size; y++)
      for (int x = place[i][1]; x < place[i][1] + size; x++)
        if (y >= 0 && x >= 0 && y < in.h && x < in.w) heat[y * in.w + x] += drop[i], count[y * in.w + x]++;
  }
  for (int k = 0; k < in.h * in.w; k++) heat[k] /= (float)(count[k] ? count[k] : 1);
  free(place), free(count), free(drop);
  return d;
}

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
  file = join("%s/%s-%s.png", p->explain, name, class);
  for (int n = 2; has_map(p, file); n++) free(file), file = join("%s/%s~%d-%s.png", p->explain, name, n, class);
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

static bool prepare(const predictor *p, const char *path, uint8_t *to)
{
  char why[256];
  image whole;
  shape in = p->m->net->layer[0].out;
  if (!image_read(path, &whole, why)) {
    warn(path, why, "TIFF, PNG, JPEG and BMP can be read");
    return false;
  }
  int side = p->crop ? p->crop : whole.h < whole.w ? whole.h : whole.w;
  image square = image_crop(&whole, (whole.h - side) / 2, (whole.w - side) / 2, side, side);
  image small = image_resize(&square, in.h, in.w);
  image_channels(&small, in.c, to);
  image_free(&whole), image_free(&square), image_free(&small);
  return true;
}

static void classify(predictor *p, char *const *path, int n)
{
  const size_t bytes = shape_floats(p->m->net->layer[0].out);
  const char **name = NEW(const char *, n);
  int good = 0;
  for (int i = 0; i < n; i++)
    if (prepare(p, path[i], p->pixels + (size_t)good * bytes)) name[good++] = path[i];
  p->bad += n - good;
  batch b = { good, p->row, NULL, 0, 0 };
  p->e->kind->set_cells(p->e, p->pixels, p->label, good, p->m->mean);
  if (good) p->e->kind->infer(p->e, &b, p->prob);
  const int k = p->m->net->classes;
  float *prob = NEW(float, good * k);
  memcpy(prob, p->prob, sizeof(float) * (size_t)(good * k));
  for (int i = 0; i < good; i++) {
    decisive d = { 0 };
    if (p->explain) d = explain(p, name[i], p->pixels + (size_t)i * bytes, prob + i * k);
    print_row(p->as, p->m, name[i], prob + i * k, &d);
  }
  free(name), free(prob);
}

/* predict: the subcommand */
static void predict_files(const char *weights, const char *device, int threads, int crop, form as,
                          const char *explained, const file_list *l, int *bad)
{
  predictor p = { .m = model_load(weights), .as = as, .crop = crop, .batch = 32, .explain = explained };
  if (explained) make_folders(explained);
  const engine_kind *kind = engine_find(device);
  plan *compiled = plan_make(p.m->net, p.batch);
  p.e = kind->open(compiled, threads);
  kind->write_state(p.e, &p.m->state);
  p.pixels = new_bytes((size_t)p.batch * shape_floats(p.m->net->layer[0].out));
  p.row = NEW(int, p.batch), p.label = NEW(int, p.batch), p.prob = NEW(float, p.batch * p.m->net->classes);
  for (int i = 0; i < p.batch; i++) p.row[i] = i;
  print_head(as, p.m);
  for (int i = 0; i < l->n; i += p.batch) classify(&p, l->path + i,
                                                   l->n - i < p.batch ? l->n - i : p.batch);
  *bad = p.bad;
  kind->close(p.e), plan_free(compiled), model_free(p.m);
  for (int i = 0; i < p.maps; i++) free(p.map[i]);
  free(p.pixels), free(p.row), free(p.label), free(p.prob), free(p.map);
}

/* wbcsnet predict: class and probabilities of images. */
int cmd_predict(int argc, char **argv)
{
  const char *weights = NULL, *device = "auto", *explained = NULL, *rest[4096];
  bool as_csv = false, as_json = false;
  int crop = 0, threads = 0, n = 0, bad = 0;
  const option table[] = {
    { "weights", OPTION_TEXT, &weights, "FILE", "weights.safetensors of a run; it holds net, classes and mean image" },
    { "csv", OPTION_FLAG, &as_csv, NULL, "print CSV with every probability" },
    { "json", OPTION_FLAG, &as_json, NULL, "print one JSON object a line" },
    { "crop", OPTION_INT, &crop, "N", "take the centred N x N pixels (0: the largest centred square)" },
    { "explain", OPTION_TEXT, &explained, "FOLDER", "for each image, a picture of what decided (PNG)" },
    { "device", OPTION_TEXT, &device, "NAME", "engine: auto, cpu, ref, cuda[:N], cuda-tf32, cuda-bf16 (auto)" },
    { "threads", OPTION_INT, &threads, "T", "threads (0: one a core)" },
    {0}
  };
  options_read(argc, argv, table, "predict --weights FILE [flags] IMAGE-OR-FOLDER...",
               "Classify images: class, probabilities.",
               "  wbcsnet predict --weights build/runs/try/weights.safetensors --csv cell1.png more-cells/\n", rest, &n, 4096);
  if (!weights) die(EXIT_USAGE, "--weights", "no value", "a weights file", "wbcsnet train makes one");
  if (!n) die(EXIT_USAGE, "predict", "no image", "images or folders of images", NULL);
  if (as_csv && as_json) die(EXIT_USAGE, "--json", "--csv as well", "one of them", NULL);
  if (crop < 0 || crop > 65536) die(EXIT_USAGE, "--crop", say("%d", crop), "0 to 65536", NULL);
  file_list l = { NULL, 0 };
  for (int i = 0; i < n; i++) gather(&l, rest[i], 0);
  if (!l.n) die(EXIT_DATA, rest[0], "no image in it", "TIFF, PNG, JPEG or BMP files", NULL);
  predict_files(weights, device, threads, crop, as_csv ? AS_CSV : as_json ? AS_JSON : AS_TABLE, explained, &l, &bad);
  for (int i = 0; i < l.n; i++) free(l.path[i]);
  free(l.path);
  return bad ? EXIT_DATA : 0;
}



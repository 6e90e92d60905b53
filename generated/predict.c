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

static void print_row(form as, const model *m, const char *path, const float *prob)
{
  int best = 0, k = m->net->classes;
  for (int c = 1; c < k; c++) if (prob[c] > prob[best]) best = c;
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
} predictor;

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
  for (int i = 0; i < good; i++)
    print_row(p->as, p->m, name[i], p->prob + (size_t)i * (size_t)p->m->net->classes);
  free(name);
}

/* predict: the subcommand */
static void predict_files(const char *weights, const char *device, int threads, int crop, form as,
                          const file_list *l, int *bad)
{
  predictor p = { .m = model_load(weights), .as = as, .crop = crop, .batch = 32 };
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
  free(p.pixels), free(p.row), free(p.label), free(p.prob);
}

/* wbcsnet predict: class and probabilities of images. */
int cmd_predict(int argc, char **argv)
{
  const char *weights = NULL, *device = "auto", *rest[4096];
  bool as_csv = false, as_json = false;
  int crop = 0, threads = 0, n = 0, bad = 0;
  const option table[] = {
    { "weights", OPTION_TEXT, &weights, "FILE", "weights.safetensors of a run; it holds net, classes and mean image" },
    { "csv", OPTION_FLAG, &as_csv, NULL, "print CSV with every probability" },
    { "json", OPTION_FLAG, &as_json, NULL, "print one JSON object a line" },
    { "crop", OPTION_INT, &crop, "N", "take the centred N x N pixels (0: the largest centred square)" },
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
  predict_files(weights, device, threads, crop, as_csv ? AS_CSV : as_json ? AS_JSON : AS_TABLE, &l, &bad);
  for (int i = 0; i < l.n; i++) free(l.path[i]);
  free(l.path);
  return bad ? EXIT_DATA : 0;
}



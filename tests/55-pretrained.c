/* Weights that PyTorch wrote: the order of axes by hand, what is drawn anew, what is refused; and PyTorch's own answers for AlexNet, VGG-16 and
   ResNet-18 of hashed weights: as committed below, and, where PyTorch is installed, as it gives them here. */
#include "learning/pretrained.h"
#include "difference.h"
#include "tap.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

const char *__asan_default_options(void);
const char *__asan_default_options(void) { return "detect_leaks=0"; }

static char folder[256];
static const char *in_folder(const char *name) { return say("%s/%s", folder, name); }

static float *counting(size_t n, float first)
{
  float *x = NEW(float, n);
  for (size_t i = 0; i < n; i++) x[i] = first + (float)i;
  return x;
}

static net_state state_of(const net *n)
{
  return (net_state){ NEW(float, n->param_floats), NULL, NEW(float, n->stat_floats) };
}

/* A convolution of 2 filters 2x2 over the image, a normalisation, a fully connected layer over 2x1x2, the classes. */
static const char *const small = "name small\ninput 3 2 3\nscale unit by 0.5\nconv c filters 2 kernel 2 pad valid torch features.0\nbn b torch norm\n"
  "relu r\nfc f units 3 torch head.1\nfc out units classes torch head.2\nsoftmax loss\n";

/* What the tensor of that name holds at its second place instead, when it is not 0. */
static struct { const char *name; float value; } spoiled;

/* Each tensor's values count up in PyTorch's order, from another hundred. */
static void write_small(const char *path, int classes)
{
  safetensors *s = st_new();
  st_add(s, "features.0.weight", ST_F32, 4, (int[]){ 2, 3, 2, 2 }, counting(24, 100));
  st_add(s, "features.0.bias", ST_F32, 1, (int[]){ 2 }, counting(2, 200));
  st_add(s, "norm.weight", ST_F32, 1, (int[]){ 2 }, counting(2, 300)), st_add(s, "norm.bias", ST_F32, 1, (int[]){ 2 }, counting(2, 400));
  st_add(s, "norm.running_mean", ST_F32, 1, (int[]){ 2 }, counting(2, 500)), st_add(s, "norm.running_var", ST_F32, 1, (int[]){ 2 }, counting(2, 600));
  st_add(s, "head.1.weight", ST_F32, 2, (int[]){ 3, 4 }, counting(12, 700)), st_add(s, "head.1.bias", ST_F32, 1, (int[]){ 3 }, counting(3, 800));
  st_add(s, "head.2.weight", ST_F32, 2, (int[]){ classes, 3 }, counting((size_t)classes * 3, 900)), st_add(s, "head.2.bias", ST_F32, 1, (int[]){ classes }, counting((size_t)classes, 1000));
  for (int i = 0; i < s->tensors; i++)
    if (spoiled.name && !strcmp(s->tensor[i].name, spoiled.name)) ((float *)(uintptr_t)s->tensor[i].data)[1] = spoiled.value;
  st_write(s, path, NULL);
}

/* The same file with its values as F16, which holds whole numbers up to 2048, and, as PyTorch has it, a counter of batches. */
static void halve(const char *from, const char *to)
{
  safetensors *s = st_read(from), *h = st_new();
  static const int64_t batches = 7;
  for (int i = 0; i < s->tensors; i++) {
    const st_tensor *t = &s->tensor[i];
    const size_t n = t->bytes / 4;
    int dim[4];
    for (int d = 0; d < t->rank; d++) dim[d] = (int)t->dim[d];
    uint16_t *x = NEW(uint16_t, n);
    for (size_t k = 0; k < n; k++) {
      float value;
      int exponent;
      memcpy(&value, (const char *)t->data + 4 * k, 4);
      const double part = frexp(value, &exponent);     /* 0.5 to 1 */
      x[k] = (uint16_t)((exponent + 14) << 10 | ((int)(part * 2048) - 1024));
    }
    st_add(h, t->name, ST_F16, t->rank, dim, x);
  }
  st_add(h, "norm.num_batches_tracked", ST_I64, 0, NULL, &batches);
  st_write(h, to, NULL);
}

static void two_bytes(void)
{
  char *path = join("%s", in_folder("small.safetensors")), *half = join("%s", in_folder("half.safetensors"));
  write_small(path, 5), halve(path, half);
  net *n = net_parse(small, "small", NULL, 5);
  safetensors *a = st_read(path), *b = st_read(half);
  net_state s = state_of(n), h = state_of(n);
  bool taken[16];
  pretrained_load(a, n, true, &s, taken), pretrained_load(b, n, true, &h, taken);
  ok(!memcmp(s.param, h.param, sizeof(float) * n->param_floats) && !memcmp(s.stat, h.stat, sizeof(float) * n->stat_floats),
     "the same values as F16 are the same weights, to the bit");
  unlink(half);
}

static void by_hand(void)
{
  char *path = join("%s", in_folder("small.safetensors"));
  write_small(path, 5);
  net *n = net_parse(small, "small", NULL, 5);
  safetensors *file = st_read(path);
  net_state s = state_of(n);
  bool taken[16], good = true;
  pretrained_load(file, n, false, &s, taken);
  /* filter o, row y, column x, channel c stands at 100 + ((o 3 + c) 2 + y) 2 + x there; 1 / (255 s_c 0.5) of it here */
  const double deviation[3] = { 0.229, 0.224, 0.225 };
  const float *w = s.param + n->param[0].offset;
  for (int o = 0; o < 2; o++)
    for (int y = 0; y < 2; y++)
      for (int x = 0; x < 2; x++)
        for (int c = 0; c < 3; c++) {
          const double right = (100 + ((o * 3 + c) * 2 + y) * 2 + x) / (255 * deviation[c] * 0.5);
          good &= fabs(*w++ / right - 1) < 1e-6;
        }
  ok(good, "kernels change the order of their axes, and the first ones the unit of the pixels");
  ok(s.param[n->param[1].offset + 1] == 201 && s.param[n->param[2].offset] == 300 && s.param[n->param[3].offset + 1] == 401, "biases, scales and offsets go over as they are");
  ok(s.stat[0] == 500 && s.stat[1] == 501 && s.stat[2] == 600 && s.stat[3] == 601, "and so do the statistics");
  /* the image flattened was 2x1x2: row o there is (c0y0, c0y1, c1y0, c1y1), here (y0c0, y0c1, y1c0, y1c1) */
  const float *f = s.param + n->param[4].offset;
  ok(f[0] == 700 && f[1] == 702 && f[2] == 701 && f[3] == 703 && f[5] == 706 && f[11] == 711, "columns of the first fully connected layer run over (H, W, C)");
  ok(taken[0] && taken[5] && !taken[6] && !taken[7] && s.param[n->param[6].offset] == 0, "the last layer is left to be drawn anew");
  pretrained_load(file, n, true, &s, taken);
  ok(taken[6] && taken[7] && s.param[n->param[6].offset + 1] == 901, "unless it is asked for");
  float mean[18];
  pretrained_mean(n, mean);
  ok(fabs(mean[0] - 123.675) < 1e-3 && fabs(mean[4] - 116.28) < 1e-3 && fabs(mean[17] - 103.53) < 1e-3, "the mean colour is ImageNet's");
  char name[64];
  net *other = net_parse("name other\ninput 3 3 3\nconv c filters 2 kernel 2 pad valid torch features.0\nbn b\nfc f units 3 torch head.1\nfc out units classes torch head.2\nsoftmax loss\n", "other", NULL, 4);
  ok(pretrained_way(file, other, 0, false, name) == WAY_TAKEN && pretrained_way(file, other, 2, false, name) == WAY_UNNAMED && pretrained_way(file, other, 4, false, name) == WAY_SHAPE
     && !strcmp(name, "head.1.weight") && pretrained_way(file, other, 6, false, name) == WAY_HEAD && pretrained_way(file, other, 6, true, name) == WAY_SHAPE, "another size, a layer without a name, another number of classes");
  net_free(n), net_free(other), st_free(file), free(s.param), free(s.stat), free(path);
}

/* ---- the program ---- */
static int run(const char *command)
{
  const int status = system(command);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1000;
}

static bool holds(const char *path, const char *text)
{
  char *all = file_read(path, NULL, NULL);
  const bool found = strstr(all, text) != NULL;
  free(all);
  return found;
}

static void through_the_program(void)
{
  const char *program = getenv("WBCSNET") ? getenv("WBCSNET") : "build/wbcsnet";
  char *net_path = join("%s", in_folder("small.net")), *weights = join("%s", in_folder("small.safetensors")), *out = join("%s", in_folder("out"));
  FILE *f = fopen(net_path, "w");
  fputs(small, f), fclose(f);
  char *command = join("%s describe %s --pretrained %s >%s 2>&1", program, net_path, weights, out);
  ok(!run(command) && holds(out, "features.0.weight") && holds(out, "last layer: drawn anew"), "describe --pretrained shows what would be taken");
  free(command), command = join("%s synth --counts 8,8,8,8,8 --size 20 --seed 3 %s/set >%s 2>&1 && printf 'batch 8\\nepochs 1\\nlearning_rate 0\\n' >%s/r.conf", program, folder, out, folder);
  if (run(command)) printf("# %s\n", file_read(out, NULL, NULL));
  free(command), command = join("%s train --data %s/set --net %s --recipe %s/r.conf --pretrained %s --with normalise=none --out %s/run --quiet >%s 2>&1", program, folder, net_path, folder, weights, folder, out);
  const int code = run(command);
  ok(code == 0, "train --pretrained runs (exit %d)", code);
  if (code) printf("# %s\n", file_read(out, NULL, NULL));
  if (!code) {
    safetensors *s = st_read(in_folder("run/weights.safetensors"));
    float w[12], mean[18];
    st_copy(s, "f.weight", ST_F32, 12, w), st_copy(s, "input.mean", ST_F32, 18, mean);
    ok(w[1] == 702 && fabs(mean[3] - 123.675) < 1e-3, "its weights are the file's at a rate of 0, its mean ImageNet's whatever the recipe says");
    ok(holds(in_folder("run/config.json"), "\"init\": \"torch "), "and its configuration tells");
    st_free(s);
  }
  free(command), command = join("%s train --data %s/set --net experiments/nets/vgg16.net --set size=32,f1=4,f2=4,f3=4,f4=4,f5=4,fc=4 --recipe %s/r.conf --pretrained %s --out %s/no >%s 2>&1", program, folder, folder, weights, folder, out);
  ok(run(command) == 3 && holds(out, "found no tensor features.2.weight"), "weights of another net are refused by the tensor that is missing");
  free(command), command = join("%s train --data %s/set --net %s --recipe %s/r.conf --pretrained %s --init %s --out %s/no >%s 2>&1", program, folder, net_path, folder, weights, weights, folder, out);
  ok(run(command) == 2, "--init and --pretrained together are refused");
  const struct { const char *name; float value; const char *message; } bad[] = {
    { "features.0.weight", NAN, "a weight of features.0.weight that is not finite" }, { "head.1.bias", INFINITY, "a weight of head.1.bias that is not finite" },
    { "norm.running_mean", NAN, "a weight of norm.running_mean that is not finite" }, { "norm.running_var", -1, "norm.running_var of -1" },
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    spoiled.name = bad[i].name, spoiled.value = bad[i].value;
    write_small(weights, 5);
    free(command), command = join("%s train --data %s/set --net %s --recipe %s/r.conf --pretrained %s --out %s/spoiled --quiet >%s 2>&1", program, folder, net_path, folder, weights, folder, out);
    ok(run(command) == 3 && holds(out, bad[i].message) && holds(out, weights), "%s of %g: the file is told, not the learning rate", bad[i].name, (double)bad[i].value);
  }
  spoiled.name = NULL;
  free(command), free(net_path), free(weights), free(out);
}

/* ---- PyTorch's own answers ---- */
/* The logits are PyTorch 1.13's on the CPU; `python3 tools/peer/torch_nets.py FOLDER` prints them again. */
enum { CLASSES = 7, IMAGES = 3 };
static const struct { const char *name, *set; float logits[IMAGES * CLASSES]; } peers[] = {
  { "alexnet-one", "f1=6,f2=18,f3=10,f4=8,f5=7,fc=11", {
    -4.06351137f, -4.68196011f, 5.06242418f, -3.58711123f, -6.37037897f, -6.40389061f, -10.5331573f,
    -5.39557695f, -6.98802805f, 5.17082119f, -5.28948832f, -6.44854307f, -3.63477802f, -10.6856966f,
    -5.25611448f, -6.84135628f, 4.70345259f, -5.07437801f, -5.60301161f, -2.24180603f, -10.7593193f } },
  { "vgg16", "size=64,f1=4,f2=5,f3=16,f4=17,f5=8,fc=9", {
    -0.461845219f, -0.0647376552f, -0.283705801f, 0.398291081f, 0.251494825f, -0.375060886f, -0.359826416f,
    -0.47608301f, -0.0756668299f, -0.284623533f, 0.397336036f, 0.239429295f, -0.381313354f, -0.369826853f,
    -0.515069962f, -0.105593875f, -0.287136495f, 0.394720823f, 0.206390545f, -0.398434341f, -0.397210836f } },
  { "resnet18", "size=70,f1=4,f2=6,f3=16,f4=17", {
    12.1157265f, 23.7552719f, -4.18876076f, -30.8510456f, -8.16891575f, -12.7170553f, -9.00230694f,
    10.0708036f, 23.8457985f, -2.92423582f, -30.575943f, -7.93768692f, -12.4025707f, -8.13305187f,
    12.6328716f, 29.474596f, -6.67605925f, -38.9870224f, -10.8196592f, -12.5896797f, -9.50616741f } },
};
enum { PEERS = sizeof peers / sizeof *peers };

/* 64 bits for number i of a tensor in PyTorch's order: splitmix64 from the FNV-1a hash of its name, as in torch_nets.py. */
static uint64_t hashed(const char *name, size_t i)
{
  uint64_t z = 0xcbf29ce484222325;
  for (; *name; name++) z = (z ^ (uint8_t)*name) * 0x100000001b3;
  z += (i + 1) * 0x9e3779b97f4a7c15;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9, z = (z ^ z >> 27) * 0x94d049bb133111eb;
  return z ^ z >> 31;
}

static uint8_t *hashed_pixels(size_t n)
{
  uint8_t *x = new_bytes(n);
  for (size_t i = 0; i < n; i++) x[i] = (uint8_t)(hashed("pixels", i) >> 56);
  return x;
}

/* Numbers evenly spread over centre - reach to centre + reach; each is rounded once, to float. */
static void add_hashed(safetensors *s, const char *torch, const char *suffix, int rank, const int *dim, double centre, double reach)
{
  size_t n = 1;
  for (int i = 0; i < rank; i++) n *= (size_t)dim[i];
  float *x = NEW(float, n);
  const char *name = say("%s.%s", torch, suffix);
  for (size_t i = 0; i < n; i++) x[i] = (float)(centre + reach * (((double)(hashed(name, i) >> 40) * 2 + 1) / 0x1p24 - 1));
  st_add(s, name, ST_F32, rank, dim, x);
}

/* The file that PyTorch would write for the net, its counts of batches left out. */
static void write_hashed(const net *n, const char *path)
{
  safetensors *s = st_new();
  for (const layer *l = n->layer; l < n->layer + n->layers; l++) {
    if (!*l->torch) continue;
    const int *d = n->param[l->weight].dim, rank = n->param[l->weight].rank, theirs[4] = { d[0], rank == 4 ? d[3] : d[1], d[1], d[2] };
    const size_t fan = n->param[l->weight].count / (size_t)d[0];
    if (rank == 1) add_hashed(s, l->torch, "weight", 1, d, 1, 0.5);
    else add_hashed(s, l->torch, "weight", rank, theirs, 0, (float)sqrt(6.0 / (double)fan));
    if (l->bias >= 0) add_hashed(s, l->torch, "bias", 1, d, 0, 0.5);
    if (l->kind == LAYER_NORM) add_hashed(s, l->torch, "running_mean", 1, d, 0, 0.5), add_hashed(s, l->torch, "running_var", 1, d, 1.25, 0.75);
  }
  st_write(s, path, NULL);
  for (int i = 0; i < s->tensors; i++) free((void *)s->tensor[i].data);
  st_free(s);
}

static void agrees(const char *name, const char *set, const float *right)
{
  net *n = net_load(say("experiments/nets/%s.net", name), set, CLASSES);
  plan *p = plan_make(n, IMAGES);
  char *path = join("%s", in_folder(say("%s.safetensors", name)));
  write_hashed(n, path);
  safetensors *file = st_read(path);
  const size_t image = shape_floats(n->layer[0].out);
  uint8_t *pixels = hashed_pixels(IMAGES * image);
  float got[IMAGES * CLASSES], *mean = NEW(float, image);
  bool *taken = NEW(bool, n->params);
  net_state s = state_of(n);
  const int row[IMAGES] = { 0, 1, 2 };
  batch b = { .n = IMAGES, .row = row };
  pretrained_load(file, n, true, &s, taken), pretrained_mean(n, mean);
  int all = 0;
  for (int k = 0; k < n->params; k++) all += taken[k];
  ok(all == n->params, "%s: all %d tensors have names in PyTorch's file", name, n->params);
  for (int k = 0; engine_kinds[k]; k++) {
    const engine_kind *kind = engine_kinds[k];
    if (kind != &engine_ref && kind != &engine_cpu) continue;
    engine *e = kind->open(p, 2);
    kind->write_state(e, &s), kind->set_cells(e, pixels, NULL, IMAGES, mean), kind->infer(e, &b, NULL);
    kind->get(e, plan_tensor(p, n->layer[net_head(n)].name), got, IMAGES);
    const double d = difference(got, right, IMAGES * CLASSES);
    ok(d < 1e-4, "%s on %s: PyTorch's answers to %d images, difference %.2g", name, kind->name, IMAGES, d);
    kind->close(e);
  }
  free(pixels), free(mean), free(taken), free(s.param), free(s.stat), free(path), st_free(file), plan_free(p), net_free(n);
}

/* Are the tensors of ours in PyTorch's file bit for bit, and all its numbers but counts in ours? */
static bool same_tensors(const safetensors *ours, const safetensors *theirs)
{
  int floats = 0;
  for (int i = 0; i < theirs->tensors; i++) floats += theirs->tensor[i].type == ST_F32;
  bool same = floats == ours->tensors;
  for (int i = 0; i < ours->tensors; i++) {
    const st_tensor *a = &ours->tensor[i], *b = st_find(theirs, a->name);
    const bool good = b && b->type == a->type && b->rank == a->rank && !memcmp(b->dim, a->dim, sizeof a->dim) && !memcmp(b->data, a->data, a->bytes);
    if (!good) printf("# %s differs\n", a->name);
    same &= good;
  }
  return same;
}

static void beside(const char *name, const float *right)
{
  safetensors *ours = st_read(in_folder(say("%s.safetensors", name))), *theirs = st_read(in_folder(say("torch/%s.safetensors", name)));
  safetensors *answers = st_read(in_folder(say("torch/%s-answers.safetensors", name)));
  const st_tensor *pixels = st_find(answers, "pixels");
  uint8_t *x = hashed_pixels(pixels ? pixels->bytes : 0);
  float logits[IMAGES * CLASSES];
  st_copy(answers, "logits", ST_F32, IMAGES * CLASSES, logits);
  const double d = difference(logits, right, IMAGES * CLASSES);
  ok(same_tensors(ours, theirs), "%s: PyTorch's file holds the same %d tensors", name, ours->tensors);
  ok(pixels && !memcmp(pixels->data, x, pixels->bytes), "%s: and its images the same pixels", name);
  ok(d < 1e-4, "%s: PyTorch's answers here are the committed ones, difference %.2g", name, d);
  free(x), st_free(ours), st_free(theirs), st_free(answers);
}

static void beside_pytorch(void)
{
  const char *python = getenv("PYTHON") ? getenv("PYTHON") : "/usr/bin/python3";
  char *command = join("mkdir %s/torch && %s tools/peer/torch_nets.py %s/torch >%s/torch.txt 2>&1", folder, python, folder, folder);
  if (run(say("%s -c 'import numpy, torch' >/dev/null 2>&1", python))) skip("PyTorch is not installed (Debian: python3-torch), so it was not asked again");
  else if (run(command)) ok(false, "tools/peer/torch_nets.py failed: %s", file_read(in_folder("torch.txt"), NULL, NULL));
  else for (int i = 0; i < PEERS; i++) beside(peers[i].name, peers[i].logits);
  free(command);
}

int main(void)
{
  snprintf(folder, sizeof folder, "%s/t55.XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
  if (!mkdtemp(folder)) return 99;
  two_bytes(), by_hand(), through_the_program();
  for (int i = 0; i < PEERS; i++) agrees(peers[i].name, peers[i].set, peers[i].logits);
  beside_pytorch();
  return run(say("rm -rf '%s'", folder)) + done_testing();
}

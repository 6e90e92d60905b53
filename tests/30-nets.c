/* Net files: shapes, padding, parameters, work and plans, against numbers worked out by hand. */
#include "nets/plan.h"
#include "base/base.h"
#include "tap.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool shape_is(const net *n, const char *name, int h, int w, int c)
{
  const int i = net_layer(n, name);
  return i >= 0 && n->layer[i].out.h == h && n->layer[i].out.w == w && n->layer[i].out.c == c;
}

static size_t count_of(const net *n, const char *name)
{
  for (int i = 0; i < n->params; i++)
    if (!strcmp(n->param[i].name, name)) return n->param[i].count;
  return 0;
}

/* The net without its first two lines, which name it. */
static const char *layers_of(const net *n) { return strchr(strchr(n->text, '\n') + 1, '\n') + 1; }

/* experiments/nets/family.net is WBCsNet-2 as it stands; with every switch off it has WBCsNet's layers under its own names. */
static void the_family(void)
{
  net *all = net_load("experiments/nets/family.net", NULL, 5), *two = net_load("experiments/nets/wbcsnet2.net", NULL, 5);
  net *none = net_load("experiments/nets/family.net", "block1=0,norm=0,drop=0", 5), *one = net_load("experiments/nets/wbcsnet.net", NULL, 5);
  net *deep = net_load("experiments/nets/family.net", "shortcut=0,block3=1,relu=1", 5);
  ok(!strcmp(layers_of(all), layers_of(two)), "the family's net is WBCsNet-2, line for line");
  bool same = none->layers == one->layers && none->learnables == one->learnables && none->flop == one->flop;
  for (int i = 0; same && i < one->layers; i++) same = none->layer[i].kind == one->layer[i].kind && !memcmp(&none->layer[i].out, &one->layer[i].out, sizeof(shape));
  ok(same, "with every part switched off it is WBCsNet, layer for layer");
  ok(net_layer(deep, "conv1c") > 0 && net_layer(deep, "add1") < 0 && net_layer(deep, "conv3c") > 0 && net_layer(deep, "conv2b") < 0 && net_layer(deep, "relufc1") > 0,
     "conditions are read one by one, and two on a line both count");
  ok(!strstr(deep->text, " if ") && !strstr(deep->text, "add1"), "the text that is kept holds only the layers that remain");
  net_free(all), net_free(two), net_free(none), net_free(one), net_free(deep);
}

/* The paper's net at 70x70: 70 -> 35 -> 17, FC1 reads 17 * 17 * 512 = 147968 values.
   Conv1a 5*5*3*64 + 64 = 4864; Conv1b, c 5*5*64*64 + 64 = 102464 each; Conv2 5*5*64*256 + 256 = 409856; Conv3 3*3*256*512 + 512 = 1180160;
   BN 2 * (3 * 64 + 256 + 512) = 1920; FC1 147968 * 512 + 512 = 75760128; FC2 512 * 5 + 5 = 2565. Together 77564421. */
static void the_papers_net(void)
{
  net *n = net_load("experiments/nets/wbcsnet2.net", NULL, 5);
  ok(shape_is(n, "relu1c", 70, 70, 64) && shape_is(n, "pool1", 35, 35, 64) && shape_is(n, "pool2", 17, 17, 256) && shape_is(n, "relu3", 17, 17, 512)
     && shape_is(n, "fc1", 1, 1, 512) && shape_is(n, "loss", 1, 1, 5), "WBCsNet-2 at 70x70: 70, 35, 17, FC");
  ok(count_of(n, "fc1.weight") == (size_t)147968 * 512 && count_of(n, "conv1a.weight") == 4800 && count_of(n, "conv3.weight") == 1179648, "its weights");
  ok(n->learnables == 77564421, "77564421 parameters, %zu", n->learnables);
  ok(fabs(n->flop / 3.9e9 - 1) < 0.01 && fabs(n->train_flop / 11.7e9 - 1) < 0.01, "%.3g FLOP forward, %.4g a training step", n->flop, n->train_flop);
  ok(n->stat_floats == 2 * (3 * 64 + 256 + 512), "statistics of five normalisations");
  bool aligned = true;
  for (int i = 0; i < n->params; i++) aligned &= n->param[i].offset % 16 == 0 && (!i || n->param[i].offset >= n->param[i-1].offset + n->param[i-1].count);
  ok(aligned, "tensors begin at multiples of 16 floats and do not overlap");
  const param *w = &n->param[n->layer[net_layer(n, "conv2")].weight];
  ok(w->rank == 4 && w->dim[0] == 256 && w->dim[1] == 5 && w->dim[2] == 5 && w->dim[3] == 64 && w->fan_in == 1600 && w->fan_out == 6400 && w->decay == 1 && w->init == INIT_WEIGHT,
     "conv2.weight is (256, 5, 5, 64), fans 1600 and 6400");
  const param *b = &n->param[n->layer[net_layer(n, "conv2")].bias], *s = &n->param[n->layer[net_layer(n, "bn2")].weight];
  ok(b->decay == 0 && b->init == INIT_ZERO && s->decay == 1 && s->init == INIT_ONE, "biases do not decay, scales do");
  net *again = net_parse(n->text, "text", NULL, 5), *other = net_load("experiments/nets/wbcsnet2.net", "f1=63", 5), *same = net_load("experiments/nets/wbcsnet2.net", "f1=64", 5);
  ok(!strcmp(n->sha256, again->sha256) && !strcmp(n->sha256, same->sha256) && strcmp(n->sha256, other->sha256), "the kept text is the net again; its name follows the sizes alone");
  ok(count_of(other, "conv1b.weight") == 25 * 63 * 63 && !strcmp(n->title, "WBCsNet-2"), "--set changes a size everywhere");
  net_free(n), net_free(again), net_free(other), net_free(same);
}

static void readings(void)
{
  static const struct { const char *name; size_t params; int steps, tensors; } all[] = {
    { "wbcsnet", 4864 + 409856 + 1180160 + 75760128 + 2565, 8, 9 }, { "wbcsnet2", 77564421, 16, 17 }, { "wbcsnet2-v2", 77564421, 17, 18 },
    { "wbcsnet2-v3", 77564421 + 256, 17, 18 }, { "wbcsnet2-v4", 77564421, 17, 18 },
  };
  for (int i = 0; i < 5; i++) {
    net *n = net_load(say("experiments/nets/%s.net", all[i].name), NULL, 5);
    plan *p = plan_make(n, 32), *plain = plan_make_unfused(n, 32);
    ok(!strcmp(n->name, all[i].name) && n->learnables == all[i].params, "%s: %zu parameters", n->name, n->learnables);
    ok(p->steps == all[i].steps && p->tensors == all[i].tensors && plain->steps == n->layers - 1, "%s: %d steps, %d unfused", n->name, p->steps, plain->steps);
    plan_free(p), plan_free(plain), net_free(n);
  }
}

/* Nets of other people: the numbers of parameters that are published for them. AlexNet 60,965,224: the grouped net of 2012, as in Caffe's bvlc_reference;
   61,100,840 (one tower), 138,357,544 and 11,689,512: torchvision's table of weights; LeNet-5's 61,706: 156 + 2416 + 48120 + 10164 + 850. */
static void other_nets(void)
{
  static const struct { const char *name; int classes; size_t params; double giga; const char *layer; int size; } all[] = {
    { "lenet5", 10, 61706, 0, "c3", 10 }, { "alexnet", 1000, 60965224, 0.724, "pool5", 6 }, { "alexnet-one", 1000, 61100840, 0.714, "relu2", 27 },
    { "vgg16", 1000, 138357544, 15.47, "pool5", 7 }, { "resnet18", 1000, 11689512, 1.814, "s4b-relu2", 7 }, { "lenet5-colour", 5, 389901, 0, "s4", 14 }, { "alexnet-70", 5, 23334277, 0, "pool5", 2 },
  };
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    net *n = net_load(say("experiments/nets/%s.net", all[i].name), NULL, all[i].classes);
    const layer *l = &n->layer[net_layer(n, all[i].layer)];
    ok(n->learnables == all[i].params && !strcmp(n->name, all[i].name), "%s: %zu parameters at %d classes", n->name, n->learnables, all[i].classes);
    ok(l->out.h == all[i].size && l->out.w == all[i].size, "%s: %s is %dx%d", n->name, l->name, l->out.h, l->out.w);
    /* published in multiply-adds, without the small operators */
    if (all[i].giga > 0) ok(fabs(n->flop / 2e9 / all[i].giga - 1) < 0.015, "%s: %.4g billion multiply-adds, published %.4g", n->name, n->flop / 2e9, all[i].giga);
    net_free(n);
  }
  net *n = net_load("experiments/nets/resnet18.net", "size=70", 5);
  plan *p = plan_make(n, 4);
  int convs = 0, norms = 0, sums = 0, adds = 0, scaled = 0;
  for (int i = 0; i < p->steps; i++) {
    const step *s = &p->step[i];
    convs += s->kind == STEP_CONV, norms += s->kind == STEP_NORM, adds += s->kind == STEP_ADD, sums += s->kind == STEP_NORM && s->r >= 0;
    scaled += s->kind == STEP_SCALE && !s->need_dx && !p->step[i + 1].need_dx;
  }
  ok(convs == 20 && norms == 20 && sums == 8 && !adds, "ResNet-18: 20 convolutions and normalisations, eight of which take in a shortcut");
  ok(scaled == 1 && count_of(n, "s2a-conv3.weight") == 128 * 64 && !count_of(n, "conv1.bias"), "no gradient for a scaled image; a projection; no biases before normalisations");
  plan_free(p), net_free(n);
}

/* ceil(n / s) places, p = max((m - 1) s + k - n, 0) zeros, the odd one behind. */
static void padding(void)
{
  static const struct { int n, k, s, out, before, after; } same[] = {
    { 70, 5, 1, 70, 2, 2 }, { 5, 2, 1, 5, 0, 1 }, { 5, 3, 2, 3, 1, 1 }, { 6, 3, 2, 3, 0, 1 }, { 7, 2, 3, 3, 0, 1 }, { 1, 7, 1, 1, 3, 3 }, { 4, 1, 3, 2, 0, 0 }, { 10, 4, 3, 4, 1, 2 },
  };
  bool good = true;
  for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
    char *text = join("name t\ninput %d %d 1\nconv c filters 1 kernel %d stride %d pad same\nfc f units classes\nsoftmax l\n", same[i].n, same[i].n, same[i].k, same[i].s);
    net *n = net_parse(text, "t", NULL, 2);
    const layer *l = &n->layer[1];
    bool right = l->out.h == same[i].out && l->out.w == same[i].out && l->pad_top == same[i].before && l->pad_left == same[i].before && l->pad_bottom == same[i].after && l->pad_right == same[i].after;
    if (!right) printf("# n %d k %d s %d: out %d, pad %d %d\n", same[i].n, same[i].k, same[i].s, l->out.h, l->pad_top, l->pad_bottom);
    good &= right;
    free(text), net_free(n);
  }
  ok(good, "pad same: sizes and zeros for odd and even kernels and strides");
  net *n = net_parse("name t\ninput 70 9 3\nconv c filters 2 kernel 5 stride 2 pad valid\nmaxpool p size 3 stride 2\nfc f units classes\nsoftmax l\n", "t", NULL, 2);
  net *m = net_parse("name t\ninput 224 224 3\nconv c filters 2 kernel 7 stride 2 pad 3\nmaxpool p size 3 stride 2 pad 1\navgpool a size global\nfc f units classes\nsoftmax l\n", "t", NULL, 2);
  ok(shape_is(m, "c", 112, 112, 2) && m->layer[1].pad_top == 3 && m->layer[1].pad_bottom == 3 && shape_is(m, "p", 56, 56, 2) && shape_is(m, "a", 1, 1, 2), "zeros by number: 224, 112, 56, and one value a channel");
  net_free(m);
  ok(shape_is(n, "c", 33, 3, 2) && shape_is(n, "p", 16, 1, 2) && n->layer[1].pad_top == 0, "valid: (70-5)/2+1 = 33, (9-5)/2+1 = 3; pools are valid unless said");
  net_free(n);
}

static bool live_together(const plan *p, int a, int b)
{
  int from[2], to[2] = { -1, -1 }, t[2] = { a, b };
  for (int k = 0; k < 2; k++)
    for (int i = 0; i < p->steps; i++) {
      if (p->step[i].y == t[k]) from[k] = i;
      if (p->step[i].x == t[k] || p->step[i].r == t[k]) to[k] = i;
    }
  return from[0] <= to[1] && from[1] <= to[0];
}

static void plans(void)
{
  net *n = net_load("experiments/nets/wbcsnet2.net", NULL, 5);
  plan *p = plan_make(n, 3);
  ok(!strcmp(step_word(&p->step[5]), "norm+add+relu") && p->step[5].r == plan_tensor(p, "relu1a") && p->step[5].x == plan_tensor(p, "conv1c")
     && !strcmp(p->tensor[p->step[5].y].name, "relu1c") && plan_tensor(p, "bn1c") < 0, "V1's block ends in one step: normalise, add relu1a, ReLU");
  ok(!p->step[0].need_dx && p->step[1].need_dx && p->step[2].add_dx && p->step[5].need_dr && !p->step[5].add_dr, "relu1a's gradient: the shortcut writes, conv1b adds; the image has none");
  bool apart = true, overlap = false;
  for (int a = 1; a + 1 < p->tensors; a++)
    for (int b = 1; b < a; b++) {
      const tensor *s = &p->tensor[a], *t = &p->tensor[b];
      const bool meet = s->grad < t->grad + t->floats && t->grad < s->grad + s->floats;
      if (live_together(p, a, b) && meet) apart = false;
      overlap |= meet;
      if (s->act < t->act + t->floats && t->act < s->act + s->floats) apart = false;
    }
  ok(apart && overlap, "tensors that live at the same time have places of their own, dead gradients give theirs back");
  plan_free(p), net_free(n);
  n = net_parse("name t\ninput 4 4 2\nconv a filters 2 kernel 1\nbn na\nconv b filters 2 kernel 1 from input\nbn nb\nadd s with na\nrelu r\nadd q with input\nfc f units classes\nsoftmax l\n", "t", NULL, 2);
  p = plan_make(n, 1);
  int normalisations = 0, taken = 0;
  for (int i = 0; i < p->steps; i++)
    if (p->step[i].kind == STEP_NORM) normalisations++, taken += p->step[i].r >= 0;
  ok(normalisations == 2 && taken == 1, "two normalised branches in one sum: one takes it, the other stands alone");
  const step *last = &p->step[p->steps - 3];
  ok(last->kind == STEP_ADD && last->r == 0 && !last->need_dr && last->need_dx, "a shortcut from the image itself hands no gradient back");
  plan_free(p), net_free(n);
}

int main(void)
{
  the_papers_net(), the_family(), readings(), padding(), plans(), other_nets();
  return done_testing();
}

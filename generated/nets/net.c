#include "nets/net.h"
#include "base/base.h"
#include "base/options.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* know the words of a net file */
static const char *const layer_words[LAYER_KINDS + 1] = {
  "input", "conv", "bn", "relu", "add", "maxpool", "fc", "dropout", "avgpool", "lrn", "tanh", "scale",
  "groupnorm", "softmax", NULL
};

const char *layer_word(layer_kind kind) { return layer_words[kind]; }

enum { MOST_WORDS = 24, MOST_PARAMS = 64 };
typedef struct {
  net *n;
  const char *where;                                 /* the file */
  int line, words, params;
  char *word[MOST_WORDS + 1];
  struct { char *name, *value; bool used; } param[MOST_PARAMS];
} net_reader;

static _Noreturn void bad_net(const net_reader *r, const char *found, const char *expected, const char *hint)
{
  die(EXIT_DATA, say("%s:%d", r->where, r->line), found, expected, hint);
}

/* read the words of a line */
static void know_keys(const net_reader *r, const char *const *keys)
{
  for (int i = 2; i < r->words; i += 2) {
    bool known = false;
    for (int k = 0; keys[k]; k++) known |= !strcmp(keys[k], r->word[i]);
    const char *near = known ? NULL : nearest(r->word[i], keys);
    if (!known)
      bad_net(r, say("'%s' in a %s layer", r->word[i], r->word[0]),
              near ? say("'%s'", near) : "a word that such a layer knows",
              "the book's chapter 'Networks as text' lists the words of each layer");
    if (i + 1 == r->words) bad_net(r, say("'%s' at the line's end", r->word[i]), "a value behind it", NULL);
    for (int j = 2; j < i; j += 2)
      if (!strcmp(r->word[j], r->word[i])) bad_net(r, say("a second '%s'", r->word[i]), "each once", NULL);
  }
}

static const char *value_of(const net_reader *r, const char *key)
{
  for (int i = 2; i + 1 < r->words; i += 2)
    if (!strcmp(r->word[i], key)) return r->word[i + 1];
  return NULL;
}

static int whole(const net_reader *r, const char *what, const char *word, int least, int most)
{
  char *end;
  long v = strtol(word, &end, 10);
  if (*word && !*end && v >= least && v <= most) return (int)v;
  bad_net(r, say("%s '%s'", what, word), say("a whole number from %d to %d", least, most), NULL);
}

static int whole_value(net_reader *r, const char *key, int least, int most, int otherwise)
{
  const char *word = value_of(r, key);
  if (word) return whole(r, key, word, least, most);
  if (otherwise < least)
    bad_net(r, say("a %s layer without '%s'", r->word[0], key), say("%s and a number", key), NULL);
  return otherwise;
}

/* work out the padding */
enum { PAD_SAME = -1 };

/* Output size along one axis; pad: zeros at both ends, or PAD_SAME; *before and *after receive the padding.
   0 when the kernel does not fit. */
static int pad_axis(int in, int kernel, int stride, int pad, int *before, int *after)
{
  *before = *after = pad < 0 ? 0 : pad;
  if (pad >= 0) return in + 2 * pad < kernel ? 0 : (in + 2 * pad - kernel) / stride + 1;
  int out = (in + stride - 1) / stride, total = (out - 1) * stride + kernel - in;
  if (total > 0) *before = total / 2, *after = total - total / 2;
  return out;
}

static int read_pad(const net_reader *r, int kernel, int otherwise)
{
  const char *word = value_of(r, "pad");
  if (!word) return otherwise;
  if (!strcmp(word, "same")) return PAD_SAME;
  if (!strcmp(word, "valid")) return 0;
  if (word[strspn(word, "0123456789")] || !*word)
    bad_net(r, say("pad '%s'", word), "same or valid, or a number of zeros", NULL);
  return whole(r, "pad", word, 0, kernel - 1);
}

static void slide_window(net_reader *r, layer *l, const char *size)
{
  const bool conv = l->kind == LAYER_CONV;
  l->kernel = whole_value(r, size, 1, l->kind == LAYER_POOL ? 16 : 255, 0);
  l->stride = whole_value(r, "stride", 1, 255, conv);
  const int pad = read_pad(r, l->kernel, conv ? PAD_SAME : 0);
  l->out.h = pad_axis(l->in.h, l->kernel, l->stride, pad, &l->pad_top, &l->pad_bottom);
  l->out.w = pad_axis(l->in.w, l->kernel, l->stride, pad, &l->pad_left, &l->pad_right);
  if (l->out.h < 1 || l->out.w < 1)
    bad_net(r, say("a %dx%d window on an input of %dx%d", l->kernel, l->kernel, l->in.h, l->in.w),
            "a window that fits",
            "use pad same, a smaller window, or a larger input size");
}

/* find a layer by name, or name a new one */
static int earlier_layer(const net_reader *r, const char *name)
{
  int i = net_layer(r->n, name);
  if (i >= 0) return i;
  const char *names[256];
  int k = 0;
  for (i = 0; i < r->n->layers && k < 255; i++) names[k++] = r->n->layer[i].name;
  names[k] = NULL;
  const char *near = nearest(name, names);
  bad_net(r, say("'%s', which no line above defines", name), "the name of an earlier layer",
          near ? say("did you mean %s?", near) : NULL);
}

static const char *new_name(const net_reader *r)
{
  static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
  if (r->words < 2) bad_net(r, say("'%s' alone", r->word[0]), say("%s and a name", r->word[0]), NULL);
  const char *name = r->word[1];
  if (strlen(name) > 31 || name[strspn(name, letters)])
    bad_net(r, say("the name '%.40s'", name), "at most 31 letters, digits, _ and -", NULL);
  int i = net_layer(r->n, name);
  if (i >= 0) bad_net(r, say("a second layer '%s'", name), "a new name",
                      say("line %d has it", r->n->layer[i].line));
  return name;
}

/* append a layer to the net */
static void append_layer(net *n, const layer *l)
{
  n->layer = grow(n->layer, sizeof *l * (size_t)(n->layers + 1));
  n->layer[n->layers++] = *l;
  n->flop += l->flop;
}

static void read_input(net_reader *r)
{
  if (r->n->layers) bad_net(r, "a second input", "one input line, before all layers", NULL);
  if (r->words != 4) bad_net(r, say("%d words after input", r->words - 1), "input H W C", NULL);
  layer l = { .kind = LAYER_INPUT, .name = "input", .from = -1, .with = -1, .weight = -1, .bias = -1,
             .line = r->line };
  l.out.h = whole(r, "height", r->word[1], 1, 4096);
  l.out.w = whole(r, "width", r->word[2], 1, 4096);
  l.out.c = whole(r, "channels", r->word[3], 1, 1 << 16);
  l.in = l.out;
  append_layer(r->n, &l);
}

/* read filters, groups and other needs of some layers */
static double real_value(const net_reader *r, const char *key, double least, double most, double otherwise)
{
  const char *word = value_of(r, key);
  char *end;
  double v = word ? strtod(word, &end) : otherwise;
  if (word && (!*word || *end || !(v >= least && v <= most)))
    bad_net(r, say("%s '%s'", key, word), say("a number from %g to %g", least, most), NULL);
  if (!word && otherwise < least)
    bad_net(r, say("a %s layer without '%s'", r->word[0], key), say("%s and a number", key), NULL);
  return v;
}

static void read_filters(net_reader *r, layer *l)
{
  const char *bias = value_of(r, "bias");
  l->out.c = whole_value(r, "filters", 1, 1 << 16, 0);
  l->groups = whole_value(r, "groups", 1, 1 << 16, 1);
  if (l->in.c % l->groups || l->out.c % l->groups)
    bad_net(r, say("%d groups of %d channels and %d filters", l->groups, l->in.c, l->out.c),
            "a number of groups that divides both", NULL);
  if (bias && strcmp(bias, "yes") && strcmp(bias, "no"))
    bad_net(r, say("bias '%s'", bias), "yes or no", NULL);
  l->bias = bias && !strcmp(bias, "no") ? -1 : 0;
}

static int common_divisor(int a, int b) { return b ? common_divisor(b, a % b) : a; }

static void read_groups(net_reader *r, layer *l)
{
  l->groups = whole_value(r, "groups", 1, 1 << 16, common_divisor(l->in.c, 8));
  if (l->in.c % l->groups)
    bad_net(r, say("%d groups of %d channels", l->groups, l->in.c), "a number of groups that divides them", NULL);
}

static void read_average(net_reader *r, layer *l)
{
  const char *size = value_of(r, "size");
  if (!size || strcmp(size, "global")) { slide_window(r, l, "size"); return; }
  if (value_of(r, "stride") || value_of(r, "pad"))
    bad_net(r, "a global average with stride or pad", "size global alone", NULL);
  l->kernel = l->stride = l->in.h > l->in.w ? l->in.h : l->in.w;
  l->out.h = l->out.w = 1;
}

static void read_response(net_reader *r, layer *l)
{
  l->window = whole_value(r, "size", 1, 255, 0);
  if (l->window % 2 == 0) bad_net(r, say("a window of %d channels", l->window), "an odd number", NULL);
  l->alpha = real_value(r, "alpha", 1e-12, 1e6, 0), l->beta = real_value(r, "beta", 1e-6, 100, 0);
  l->k = real_value(r, "k", 1e-6, 1e6, 0);
}

static void read_foreign_name(const net_reader *r, layer *l)
{
  const char *word = value_of(r, "torch");
  if (word && strlen(word) >= sizeof l->torch)
    bad_net(r, say("torch '%.60s'", word), say("a name of at most %zu letters", sizeof l->torch - 1), NULL);
  snprintf(l->torch, sizeof l->torch, "%s", word ? word : "");
}

static double read_probability(net_reader *r)
{
  const char *word = value_of(r, "p");
  char *end;
  double p = word ? strtod(word, &end) : -1;
  if (!word || !*word || *end || !(p >= 0 && p < 1))
    bad_net(r, word ? say("p '%s'", word) : "a dropout layer without 'p'",
            "p and a probability from 0 to below 1", NULL);
  return p;
}

static void read_second_term(net_reader *r, layer *l)
{
  const char *word = value_of(r, "with");
  if (!word) bad_net(r, "an add layer without 'with'", "with and the name of an earlier layer", NULL);
  l->with = earlier_layer(r, word);
  shape a = l->in, b = r->n->layer[l->with].out;
  if (l->with == l->from) bad_net(r, say("%s added to itself", word), "two different layers", NULL);
  if (a.h != b.h || a.w != b.w || a.c != b.c)
    bad_net(r, say("%dx%dx%d plus %dx%dx%d", a.h, a.w, a.c, b.h, b.w, b.c), "two outputs of one shape",
            "pad same keeps a size; a conv with kernel 1 changes the number of channels");
}

/* read a layer's line */
static void read_layer(net_reader *r, layer_kind kind)
{
  static const char *const keys[LAYER_KINDS][9] = {
    [LAYER_CONV] = { "filters", "kernel", "stride", "pad", "groups", "bias", "torch", "from" },
    [LAYER_POOL] = { "size", "stride", "pad", "from" }, [LAYER_AVERAGE] = { "size", "stride", "pad", "from" },
    [LAYER_LRN] = { "size", "alpha", "beta", "k", "from" },
    [LAYER_TANH] = { "amplitude", "slope", "from" }, [LAYER_SCALE] = { "by", "from" },
    [LAYER_ADD] = { "with", "from" }, [LAYER_DROPOUT] = { "p", "from" },
    [LAYER_FC] = { "units", "torch", "from" }, [LAYER_NORM] = { "torch", "from" },
    [LAYER_GROUP] = { "groups", "torch", "from" }, [LAYER_RELU] = { "from" }, [LAYER_SOFTMAX] = { "from" },
  };
  net *n = r->n;
  if (!n->layers) bad_net(r, say("a %s layer", r->word[0]), "input H W C first", NULL);
  if (n->layer[n->layers - 1].kind == LAYER_SOFTMAX)
    bad_net(r, say("a %s layer behind softmax", r->word[0]), "the end", NULL);
  layer l = { .kind = kind, .with = -1, .weight = -1, .bias = -1, .line = r->line };
  double reach;                                      /* values that one output is made of */
  snprintf(l.name, sizeof l.name, "%s", new_name(r));
  know_keys(r, keys[kind]);
  const char *from = value_of(r, "from");
  l.from = from ? earlier_layer(r, from) : n->layers - 1;
  l.in = l.out = n->layer[l.from].out;
  read_foreign_name(r, &l);
  /* read what this kind of layer needs */
  switch (kind) {
  case LAYER_CONV:
    read_filters(r, &l);
    slide_window(r, &l, "kernel");
    reach = (double)l.kernel * l.kernel * (l.in.c / l.groups);
    l.flop = (double)shape_floats(l.out) * (2 * reach + (l.bias == 0));
    break;
  case LAYER_POOL:
    slide_window(r, &l, "size");
    l.flop = (double)shape_floats(l.out) * (l.kernel * l.kernel - 1);
    break;
  case LAYER_AVERAGE:
    read_average(r, &l);
    reach = fmin(l.kernel, l.in.h) * fmin(l.kernel, l.in.w);
    l.flop = (double)shape_floats(l.out) * reach;
    break;
  case LAYER_LRN:
    read_response(r, &l);
    l.flop = (double)shape_floats(l.out) * (2 * l.window + 3);
    break;
  case LAYER_TANH:
    l.amplitude = real_value(r, "amplitude", 1e-6, 1e6, 1), l.slope = real_value(r, "slope", 1e-6, 1e6, 1);
    l.flop = (double)shape_floats(l.out);
    break;
  case LAYER_SCALE:
    l.factor = real_value(r, "by", 1e-9, 1e9, 0);
    l.flop = (double)shape_floats(l.out);
    break;
  case LAYER_FC:
    l.out = (shape){ 1, 1, whole_value(r, "units", 1, 1 << 20, 0) };
    l.flop = l.out.c * (2.0 * (double)shape_floats(l.in) + 1);
    break;
  case LAYER_ADD:
    read_second_term(r, &l);
    l.flop = (double)shape_floats(l.out);
    break;
  case LAYER_DROPOUT: l.drop = read_probability(r); break;
  case LAYER_NORM: l.flop = 2.0 * (double)shape_floats(l.out); break;
  case LAYER_GROUP:
    read_groups(r, &l);
    l.flop = 2.0 * (double)shape_floats(l.out);
    break;
  default: l.flop = (double)shape_floats(l.out); break;
  }
  append_layer(n, &l);
}

/* read the net's free numbers, and replace them */
static int find_param(const net_reader *r, const char *name)
{
  for (int i = 0; i < r->params; i++)
    if (!strcmp(r->param[i].name, name)) return i;
  return -1;
}

static void read_param(net_reader *r)
{
  char *end;
  if (r->words != 3) bad_net(r, say("%d words after param", r->words - 1), "param NAME VALUE", NULL);
  if (strtod(r->word[2], &end), *end)
    bad_net(r, say("param %s '%s'", r->word[1], r->word[2]), "a number", NULL);
  if (find_param(r, r->word[1]) >= 0) bad_net(r, say("a second param %s", r->word[1]), "each once", NULL);
  if (r->params == MOST_PARAMS) bad_net(r, "one param too many", say("at most %d", MOST_PARAMS), NULL);
  r->param[r->params].name = copy_text(r->word[1]);
  r->param[r->params++].value = copy_text(r->word[2]);
}

static void replace_params(net_reader *r)
{
  for (int i = 0; i < r->words; i++) {
    if (r->word[i][0] != '$') continue;
    int k = find_param(r, r->word[i] + 1);
    if (k < 0) bad_net(r, r->word[i], "a param defined above", NULL);
    r->word[i] = r->param[k].value;
    r->param[k].used = true;
  }
}

/* Takes the conditions off the end of the line; false, and no word left, when one of them is 0. */
static bool keep_if(net_reader *r)
{
  bool keep = true;
  while (r->words > 2 && !strcmp(r->word[r->words - 2], "if")) {
    char *end;
    const char *number = r->word[r->words - 1];
    if (strtod(number, &end) == 0) keep = false;
    if (*end) bad_net(r, say("if '%s'", number), "a number or $param", NULL);
    r->words -= 2;
  }
  if (!keep) r->words = 0;
  return keep;
}

static void set_params(net_reader *r, const char *set)
{
  char *all = copy_text(set ? set : ""), *rest = all, *item;
  while ((item = strsep(&rest, ","))) {
    if (!*item) continue;
    char *value = strchr(item, '='), *end;
    if (!value) die(EXIT_USAGE, "--set", say("'%s'", item), "NAME=VALUE,NAME=VALUE", NULL);
    *value++ = 0;
    int k = find_param(r, item);
    if (k < 0) {
      builder names = {0};
      for (int i = 0; i < r->params; i++) build_list(&names, r->param[i].name);
      die(EXIT_USAGE, "--set", say("'%s'", item),
          r->params ? say("one of %s", built(&names, NULL)) : "nothing: this net has no params", r->where);
    }
    if (strtod(value, &end), !*value || *end)
      die(EXIT_USAGE, "--set", say("%s='%s'", item, value), "a number", NULL);
    free(r->param[k].value);
    r->param[k].value = copy_text(value);
  }
  free(all);
}

/* list the parameter tensors */
static int append_param(net *n, const param *p, const char *layer_name, const char *suffix)
{
  n->param = grow(n->param, sizeof *p * (size_t)(n->params + 1));
  param *q = &n->param[n->params];
  *q = *p;
  snprintf(q->name, sizeof q->name, "%s.%s", layer_name, suffix);
  q->count = 1;
  for (int i = 0; i < q->rank; i++) q->count *= (size_t)q->dim[i];
  q->offset = n->param_floats;
  n->learnables += q->count;
  n->param_floats += (q->count + 15) / 16 * 16;
  return n->params++;
}

static void list_params(net *n)
{
  for (int i = 0; i < n->layers; i++) {
    layer *l = &n->layer[i];
    int in = (int)shape_floats(l->in), c = l->out.c, k = l->kernel;
    const int deal = l->groups > 1 ? l->groups : 1, reach = k * k * l->in.c / deal;
    param conv = { .rank = 4, .dim = { c, k, k, l->in.c / deal }, .decay = 1, .fan_in = reach,
                  .fan_out = k * k * c / deal };
    param fc = { .rank = 2, .dim = { c, in }, .decay = 1, .fan_in = in, .fan_out = c };
    param zero = { .rank = 1, .dim = { c }, .init = INIT_ZERO },
      scale = { .rank = 1, .dim = { c }, .init = INIT_ONE, .decay = 1 };
    if (l->kind == LAYER_CONV)
      l->weight = append_param(n, &conv, l->name, "weight"),
      l->bias = l->bias < 0 ? -1 : append_param(n, &zero, l->name, "bias");
    if (l->kind == LAYER_FC)
      l->weight = append_param(n, &fc, l->name, "weight"), l->bias = append_param(n, &zero, l->name, "bias");
    if (l->kind != LAYER_NORM && l->kind != LAYER_GROUP) continue;
    zero.decay = 1;
    l->weight = append_param(n, &scale, l->name, "scale"),
      l->bias = append_param(n, &zero, l->name, "offset");
    if (l->kind == LAYER_GROUP) continue;
    l->stat = n->stat_floats;
    n->stat_floats += 2 * (size_t)c;
  }
}

/* check the net as a whole */
static void check_net(net_reader *r)
{
  net *n = r->n;
  layer *last = n->layers ? &n->layer[n->layers - 1] : NULL;
  if (!last || last->kind != LAYER_SOFTMAX)
    bad_net(r, last ? say("a net that ends with %s", last->name) : "no layer",
            "softmax NAME as the last line", NULL);
  if (last->in.h != 1 || last->in.w != 1 || last->in.c != n->classes)
    r->line = last->line, bad_net(r, say("softmax over %dx%dx%d", last->in.h, last->in.w, last->in.c),
                                  say("1x1x%d, one value a class", n->classes),
                                  "put 'fc NAME units classes' above it");
  for (int i = 0; i < n->layers; i++) {
    layer *l = &n->layer[i];
    bool read = l == last;
    for (int j = i + 1; j < n->layers; j++) read |= n->layer[j].from == i || n->layer[j].with == i;
    r->line = l->line;
    if (!read) bad_net(r, say("%s, whose output nothing reads", l->name), "a layer below that takes it",
                       "remove the line, or add 'from' or 'with'");
    double weights = (double)shape_floats(l->in) * l->out.c;
    if (shape_floats(l->out) > (size_t)1 << 28 || (l->kind == LAYER_FC && weights > 4e9))
      bad_net(r, say("%s with %.3g outputs, %.3g inputs", l->name, (double)shape_floats(l->out),
                     (double)shape_floats(l->in)),
              "at most 2.7e8 values an image and 4e9 weights a layer",
              "use smaller sizes, or a pooling before it");
    const layer *from = l;                           /* what the layer sees, scaled or not */
    do from = &n->layer[from->from < 0 ? 0 : from->from]; while (from->kind == LAYER_SCALE);
    bool product = l->kind == LAYER_CONV || l->kind == LAYER_FC;
    n->train_flop += l->flop * (product && from->kind == LAYER_INPUT ? 2 : 3);
  }
  if (!n->name) r->line = 1, bad_net(r, "no name", "a line 'name WORD'", NULL);
  if (!n->title) n->title = copy_text(n->name);
}

/* read a net file line by line */
static void split_line(net_reader *r, char *line)
{
  char *save, *word;
  line[strcspn(line, "#\r")] = 0;
  r->words = 0;
  for (word = strtok_r(line, " \t", &save); word; word = strtok_r(NULL, " \t", &save)) {
    if (r->words == MOST_WORDS) bad_net(r, "a line of too many words", say("at most %d", MOST_WORDS), NULL);
    r->word[r->words++] = word;
  }
}

static void keep_text(net_reader *r, builder *kept)
{
  for (int i = 0; i < r->words; i++) build(kept, "%s%c", r->word[i], i + 1 < r->words ? ' ' : '\n');
}

static void keep_name(net_reader *r, char **to)
{
  builder b = {0};
  if (r->words < 2) bad_net(r, say("'%s' alone", r->word[0]), say("%s and a text", r->word[0]), NULL);
  for (int i = 1; i < r->words; i++) build(&b, "%s%s", i > 1 ? " " : "", r->word[i]);
  free(*to), *to = built(&b, NULL);
}

static void read_line(net_reader *r, const char *set, char *classes)
{
  net *n = r->n;
  const char *word = r->word[0];
  if (!strcmp(word, "name")) { keep_name(r, &n->name); return; }
  if (!strcmp(word, "title")) { keep_name(r, &n->title); return; }
  if (!n->layers) set_params(r, set);
  replace_params(r);
  if (!keep_if(r)) return;
  if (!strcmp(word, "input")) { read_input(r); return; }
  for (int i = 2; i < r->words; i++)
    if (!strcmp(r->word[i - 1], "units") && !strcmp(r->word[i], "classes")) r->word[i] = classes;
  for (int kind = LAYER_CONV; kind < LAYER_KINDS; kind++)
    if (!strcmp(word, layer_words[kind])) { read_layer(r, (layer_kind)kind); return; }
  const char *near = nearest(word, layer_words);
  bad_net(r, say("'%s'", word), near ? say("'%s'?", near) : "name, title, param, input or a kind of layer",
          "kinds of layers: conv bn groupnorm relu add maxpool avgpool lrn tanh scale fc dropout softmax");
}

net *net_parse(const char *text, const char *where, const char *set, int classes)
{
  net_reader r = { .n = NEW(net, 1), .where = where };
  char *lines = copy_text(text), *rest = lines, *line, number[16];
  builder kept = {0};
  size_t size;
  r.n->path = copy_text(where), r.n->classes = classes;
  snprintf(number, sizeof number, "%d", classes);
  while (r.line++, (line = strsep(&rest, "\n"))) {
    split_line(&r, line);
    if (!r.words) continue;
    if (!strcmp(r.word[0], "param")) {
      if (r.n->layers) bad_net(&r, "a param below a layer", "params before the input", NULL);
      read_param(&r);
      continue;
    }
    read_line(&r, set, number);
    keep_text(&r, &kept);
  }
  r.n->text = built(&kept, &size), free(lines);
  /* finish the net */
  check_net(&r);
  for (int i = 0; i < r.params; i++) {
    if (!r.param[i].used)
      bad_net(&r, say("param %s, which no layer uses", r.param[i].name),
              say("$%s in some line", r.param[i].name), NULL);
    free(r.param[i].name), free(r.param[i].value);
  }
  list_params(r.n);
  sha256_of(r.n->text, size, r.n->sha256);
  return r.n;
}

net *net_load(const char *path, const char *set, int classes)
{
  char *text = file_read(path, NULL, "nets stand in experiments/nets");
  net *n = net_parse(text, path, set, classes);
  free(text);
  return n;
}

void net_free(net *n)
{
  if (!n) return;
  free(n->path), free(n->name), free(n->title), free(n->text), free(n->layer), free(n->param), free(n);
}

int net_layer(const net *n, const char *name)
{
  for (int i = 0; i < n->layers; i++)
    if (!strcmp(n->layer[i].name, name)) return i;
  return -1;
}

int net_head(const net *n)
{
  int i = n->layers - 1;
  while (i >= 0 && n->layer[i].kind != LAYER_FC) i--;
  return i;
}

bool net_in_head(const net *n, int k)
{
  const int i = net_head(n);
  return i >= 0 && (n->layer[i].weight == k || n->layer[i].bias == k);
}


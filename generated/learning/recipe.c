#include "learning/recipe.h"
#include "base/options.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* list the keys of a recipe */
typedef struct {
  const char *key;
  enum { KEY_REAL, KEY_INT, KEY_WORD } kind;
  size_t place;
  double otherwise, least, most;
  const char *words, *help;                          /* words: "a|b|c", the value is the index */
  bool later;
} recipe_key;

#define REAL(k, first, least, most, help) { #k, KEY_REAL, offsetof(recipe, k), first, least, most, NULL, help, false }
#define WHOLE(k, first, least, most, help) { #k, KEY_INT, offsetof(recipe, k), first, least, most, NULL, help, false }
#define WORD(k, words, help) { #k, KEY_WORD, offsetof(recipe, k), 0, 0, 0, words, help, false }
#define LATER_REAL(k, least, most, help) { #k, KEY_REAL, offsetof(recipe, k), 0, least, most, NULL, help, true }
#define LATER_WORD(k, words, help) { #k, KEY_WORD, offsetof(recipe, k), 0, 0, 0, words, help, true }
static const recipe_key keys[] = {
  REAL(learning_rate, 0.001, 0, 1e38, "step size of the descent, the same in all epochs"),
  REAL(momentum, 0.9, 0, 1, "share of the last step that is taken again"),
  REAL(l2, 1e-4, 0, 1e6, "weight decay inside the gradient; biases excepted"),
  WHOLE(batch, 32, 1, 65536, "images a step"),
  WHOLE(epochs, 40, 1, 1e6, "how often the training set is passed"),
  WORD(shuffle, "once|epoch", "one order for all epochs, or a new one each"),
  WORD(last_batch, "drop|keep", "what becomes of an epoch's last, partial batch"),
  WORD(normalise, "zerocenter|none", "subtract the training set's mean image"),
  WORD(init, "normal|glorot|he", "first weights: N(0, init_std^2), uniform, He's normal"),
  REAL(init_std, 0.01, 0, 1e6, "standard deviation of init normal"),
  WORD(bn_statistics, "final|moving", "over the whole training set at the end, or moving"),
  REAL(bn_decay, 0.9, 0, 1, "memory of moving statistics a step"),
  WORD(augment, "none|turns", "show each image in one of its 8 turns and flips"),
  WORD(class_weights, "none|balanced|root", "weigh a class by N / (classes * its cells), or by its root"),
  REAL(head_rate, 1, 0, 1e6, "fine-tuning: factor of the rate for new layers"),
  REAL(body_rate, 1, 0, 1e6, "fine-tuning: the same for loaded layers; 0 freezes them"),
  LATER_REAL(jitter, 0, 1, "shake a cell's colours anew each time that it is shown, by so much; 0: not"),
  LATER_WORD(norm, "batch|group", "in place of each batch norm, group norm, which knows no batch"),
  LATER_WORD(stain, "none|cell", "bring each cell to the mean and spread of the training cells' colours"),
};
enum { KEYS = sizeof keys / sizeof *keys };
/* find a key, and set it */
static const recipe_key *find_key(int code, const char *where, const char *key)
{
  const char *names[KEYS + 1] = { NULL };
  for (int i = 0; i < KEYS; i++) {
    if (!strcmp(keys[i].key, key)) return &keys[i];
    names[i] = keys[i].key;
  }
  const char *near = nearest(key, names);
  die(code, where, say("an unknown key '%.40s'", key), "a recipe's key",
      near ? say("did you mean %s?", near) : "wbcsnet train --help lists the keys");
}

static int word_index(const char *words, const char *word)
{
  size_t n = strlen(word);
  for (int i = 0; ; i++) {
    size_t length = strcspn(words, "|");
    if (length == n && !strncmp(words, word, n)) return i;
    if (!words[length]) return -1;
    words += length + 1;
  }
}

static void set_key(recipe *r, int code, const char *where, const recipe_key *k, const char *value)
{
  char *end = (char *)value;
  void *place = (char *)r + k->place;
  if (k->kind == KEY_WORD) {
    int i = word_index(k->words, value);
    if (i < 0) die(code, where, say("%s '%.40s'", k->key, value), say("one of %s", k->words), k->help);
    *(int *)place = i;
    return;
  }
  double x = strtod(value, &end);
  bool whole = k->kind == KEY_REAL || x == floor(x);
  if (end == value || *end || !isfinite(x) || !whole || x < k->least || x > k->most)
    die(code, where, say("%s '%.40s'", k->key, value),
        say("%s from %g to %g", k->kind == KEY_INT ? "a whole number" : "a number",
            k->least, k->most), k->help);
  if (k->kind == KEY_INT) *(int *)place = (int)x;
  else *(double *)place = x;
}
/* read a recipe, then its overrides */
static void read_line(recipe *r, const char *where, char *line, bool *seen)
{
  line[strcspn(line, "#")] = 0;
  char *left, *key = strtok_r(line, " \t\r", &left), *value = strtok_r(NULL, " \t\r", &left);
  if (!key) return;
  const recipe_key *k = find_key(EXIT_DATA, where, key);
  if (!value) die(EXIT_DATA, where, say("%s without a value", key), say("%s VALUE", key), k->help);
  const char *more = strtok_r(NULL, " \t\r", &left);
  if (more)
    die(EXIT_DATA, where, say("'%.40s' behind the value", more), say("%s VALUE", key),
        "remarks begin with #");
  if (seen[k - keys]) die(EXIT_DATA, where, say("%s a second time", key), "each key once", NULL);
  seen[k - keys] = true;
  set_key(r, EXIT_DATA, where, k, value);
}

static void read_overrides(recipe *r, const char *with)
{
  bool seen[KEYS] = { false };
  char *text = copy_text(with), *left;
  for (char *item = strtok_r(text, ",", &left); item; item = strtok_r(NULL, ",", &left)) {
    char *value = strchr(item, '=');
    if (!value)
      die(EXIT_USAGE, "--with", say("'%.60s'", item), "key=value,...",
          "wbcsnet train --help lists the keys");
    *value++ = 0;
    const recipe_key *k = find_key(EXIT_USAGE, "--with", item);
    if (seen[k - keys]) die(EXIT_USAGE, "--with", say("%s a second time", item), "each key once", NULL);
    seen[k - keys] = true;
    set_key(r, EXIT_USAGE, "--with", k, value);
  }
  free(text);
}
recipe recipe_load(const char *path, const char *with)
{
  recipe r = { .name = "" };
  bool seen[KEYS] = { false };
  const char *slash = strrchr(path, '/');
  const char *name = slash ? slash + 1 : path;
  size_t n = strlen(name);
  if (n > 5 && !strcmp(name + n - 5, ".conf")) n -= 5;
  if (n >= sizeof r.name)
    die(EXIT_USAGE, path, say("a name of %zu letters", n), say("at most %zu", sizeof r.name - 1), "give the recipe a shorter one");
  memcpy(r.name, name, n);
  for (int i = 0; i < KEYS; i++)
    if (keys[i].kind == KEY_REAL) *(double *)((char *)&r + keys[i].place) = keys[i].otherwise;
    else *(int *)((char *)&r + keys[i].place) = (int)keys[i].otherwise;
  char *text = file_read(path, NULL, "experiments/recipes holds the recipes"), *at = text;
  for (int line = 1; at; line++) {
    char *row = strsep(&at, "\n");
    read_line(&r, say("%s:%d", path, line), row, seen);
  }
  free(text);
  if (with && strlen(with) >= sizeof r.with)
    die(EXIT_USAGE, "--with", "a very long text", "at most 255 characters", "write a recipe file");
  if (with) strcpy(r.with, with), read_overrides(&r, with);
  return r;
}
/* print a recipe, and the help of its keys */
static bool is_silent(const recipe *r, const recipe_key *k)
{
  const void *place = (const char *)r + k->place;
  return k->later && (k->kind == KEY_REAL ? *(const double *)place == 0 : *(const int *)place == 0);
}

static void print_value(builder *b, const recipe *r, const recipe_key *k)
{
  const void *place = (const char *)r + k->place;
  if (k->kind == KEY_REAL) { build(b, "%.10g", *(const double *)place); return; }
  if (k->kind == KEY_INT) { build(b, "%d", *(const int *)place); return; }
  const char *words = k->words;
  for (int i = *(const int *)place; i; i--) words += strcspn(words, "|") + 1;
  build(b, "\"%.*s\"", (int)strcspn(words, "|"), words);
}

void recipe_json(builder *b, const recipe *r)
{
  build(b, "{\"name\": "), build_json(b, r->name);
  build(b, ", \"with\": "), build_json(b, r->with);
  for (int i = 0; i < KEYS; i++) {
    if (is_silent(r, &keys[i])) continue;
    build(b, ", \"%s\": ", keys[i].key);
    print_value(b, r, &keys[i]);
  }
  build(b, "}");
}

const char *recipe_help(void)
{
  static char *text;
  builder b = {0};
  if (text) return text;
  for (int i = 0; i < KEYS; i++) {
    const recipe_key *k = &keys[i];
    const char *first = k->words ? say("%.*s", (int)strcspn(k->words, "|"), k->words)
                                 : say("%g", k->otherwise);
    build(&b, "  %-14s %-10s %s%s\n", k->key, first, k->help, k->words ? say(" (%s)", k->words) : "");
  }
  return text = built(&b, NULL);
}

#include "base/options.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* suggest the nearest name */
static int edit_distance(const char *a, const char *b)
{
  int n = (int)strlen(b), row[64];
  if (n > 63) return 99;
  for (int j = 0; j <= n; j++) row[j] = j;
  for (int i = 1; a[i-1]; i++) {
    int corner = row[0];
    row[0] = i;
    for (int j = 1; j <= n; j++) {
      int d = corner + (a[i-1] != b[j-1]);
      corner = row[j];
      if (row[j] + 1 < d) d = row[j] + 1;
      if (row[j-1] + 1 < d) d = row[j-1] + 1;
      row[j] = d;
    }
  }
  return row[n];
}

/* Every number is near every other one, and so is a letter: to name it would tell nothing. */
static bool is_telling(const char *name) { return name[0] && name[1] && name[strspn(name, "0123456789")]; }

const char *nearest(const char *word, const char *const *names)
{
  const char *best = NULL;
  int least = (int)strlen(word) / 3 + 2;
  for (; *names; names++) {
    int d = is_telling(*names) ? edit_distance(word, *names) : least;
    if (d < least) least = d, best = *names;
  }
  return best;
}

/* read a flag's value */
void word_add(word_list *l, const char *word)
{
  l->word = grow(l->word, sizeof *l->word * (size_t)(l->n + 1));
  l->word[l->n++] = word;
}

static void read_value(const option *o, const char *s)
{
  char *end = (char *)s;
  const char *expected = "a whole number";
  errno = 0;
  if (o->kind == OPTION_TEXT) { *(const char **)o->value = s; return; }
  if (o->kind == OPTION_WORDS) { word_add(o->value, s); return; }
  if (o->kind == OPTION_REAL) *(double *)o->value = strtod(s, &end), expected = "a number";
  else if (o->kind == OPTION_SEED) *(uint64_t *)o->value = strtoull(s, &end, 10);
  else {
    long v = strtol(s, &end, 10);
    *(int *)o->value = (int)v;
    if (v != (int)v) errno = ERANGE;
  }
  const bool odd = o->kind == OPTION_SEED ? *s == '-' : o->kind == OPTION_REAL && !isfinite(*(double *)o->value);
  if (end == s || *end || errno || odd)
    die(EXIT_USAGE, say("--%s", o->name), say("'%s'", s), expected, o->help);
}

/* print a subcommand's help */
static _Noreturn void print_help(const option *table, const char *usage, const char *what, const char *examples)
{
  printf("usage: wbcsnet %s\n\n%s\n", usage, what);
  if (table->name) printf("\nflags\n");
  for (const option *o = table; o->name; o++) {
    const char *left = o->argument ? say("--%s %s", o->name, o->argument) : say("--%s", o->name);
    printf("  %-26s %s\n", left, o->help);
  }
  if (examples) printf("\nexamples\n%s", examples);
  output_flush();
  exit(0);
}

/* read the command line */
static const option *find_option(const option *table, const char *name, size_t length)
{
  const char *names[128], *near;
  int n = 0;
  for (const option *o = table; o->name; o++) {
    if (strlen(o->name) == length && !strncmp(o->name, name, length)) return o;
    if (n < 126) names[n++] = o->name;
  }
  names[n++] = "help", names[n] = NULL;
  char word[64];
  snprintf(word, sizeof word, "%.*s", (int)(length < 63 ? length : 63), name);
  near = nearest(word, names);
  die(EXIT_USAGE, say("--%s", word), "an unknown flag", NULL, near ? say("did you mean --%s?", near) : "--help lists the flags");
}

void options_read(int argc, char **argv, const option *table, const char *usage, const char *what, const char *examples,
                  const char **rest, int *n, int max)
{
  bool flags = true;
  int words = 0;
  for (int i = 1; i < argc; i++) {
    const char *s = argv[i];
    if (flags && !strcmp(s, "--")) { flags = false; continue; }
    if (flags && (!strcmp(s, "--help") || !strcmp(s, "-h"))) print_help(table, usage, what, examples);
    if (flags && s[0] == '-' && s[1] == '-') {
      size_t length = strcspn(s + 2, "=");
      const option *o = find_option(table, s + 2, length);
      const char *value = s[2 + length] ? s + 3 + length : NULL;
      /* give the flag its value */
      if (o->kind == OPTION_FLAG) {
        if (value) die(EXIT_USAGE, s, "a value", "none: this flag is on or off", NULL);
        *(bool *)o->value = true;
      } else {
        if (!value && i + 1 < argc) value = argv[++i];
        if (!value) die(EXIT_USAGE, s, "no value", o->argument, o->help);
        read_value(o, value);
      }
      continue;
    }
    if (flags && s[0] == '-' && s[1]) die(EXIT_USAGE, s, "an unknown flag", NULL, "flags have two dashes; --help lists them");
    if (words == max) die(EXIT_USAGE, s, "one word too many", say("usage: wbcsnet %s", usage), NULL);
    rest[words++] = s;
  }
  if (n) *n = words;
}

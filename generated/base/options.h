/* options.h: a subcommand's flags, read from a table. */
#ifndef OPTIONS_H
#define OPTIONS_H
#include "base/base.h"

/* What a flag that may be given again and again was given, in order; free(word). */
typedef struct { const char **word; int n; } word_list;

/* One flag. value points at: bool (FLAG), int (INT), uint64_t (SEED), double (REAL), const char * (TEXT), word_list (WORDS). */
typedef struct {
  const char *name;                                  /* without the dashes */
  enum { OPTION_FLAG, OPTION_INT, OPTION_SEED, OPTION_REAL, OPTION_TEXT, OPTION_WORDS } kind;
  void *value;
  const char *argument, *help;                       /* argument: its name in --help, NULL for a FLAG */
} option;

/* Reads argv[1..]; flags may stand anywhere, as --name value or --name=value; "--" ends them. The table ends with {0}.
   --help prints usage, what, the table and examples, and exits 0. An unknown flag or a bad value dies with EXIT_USAGE and
   names the nearest flag. Other words are gathered in rest[0..*n-1], at most max of them. */
void options_read(int argc, char **argv, const option *table, const char *usage, const char *what, const char *examples,
                  const char **rest, int *n, int max);

void word_add(word_list *, const char *word);        /* kept by reference */

/* The nearest of a NULL-ended list of names to word by edit distance, or NULL when none is near. */
const char *nearest(const char *word, const char *const *names);
#endif

/* recipe.h: how a net is trained, as data. */
#ifndef RECIPE_H
#define RECIPE_H
#include "base/base.h"

enum { SHUFFLE_ONCE, SHUFFLE_EPOCH };
enum { LAST_DROP, LAST_KEEP };
enum { NORMALISE_ZEROCENTER, NORMALISE_NONE };
enum { START_NORMAL, START_GLOROT, START_HE };
enum { STATISTICS_FINAL, STATISTICS_MOVING };
enum { AUGMENT_NONE, AUGMENT_TURNS };
enum { WEIGHTS_NONE, WEIGHTS_BALANCED, WEIGHTS_ROOT };
enum { STAIN_NONE, STAIN_CELL };
enum { NORM_BATCH, NORM_GROUP };

typedef struct {
  char name[64];                                     /* the file's name without folder and .conf */
  char with[256];                                    /* the overrides as given */
  double learning_rate, momentum, l2, init_std, bn_decay, head_rate, body_rate, jitter;
  int batch, epochs, shuffle, last_batch, normalise, init, bn_statistics, augment, class_weights, stain, norm;
} recipe;

/* Read a recipe file and then the overrides "key=value,..." (NULL: none). Dies with EXIT_DATA (file) or EXIT_USAGE (overrides)
   on an unknown key, naming the nearest, and on a value out of range. */
recipe recipe_load(const char *path, const char *with);

/* The recipe as one JSON object: name, with, and every key in the table's order. */
void recipe_json(builder *, const recipe *);

/* The table of keys for --help; the text is static. */
const char *recipe_help(void);
#endif

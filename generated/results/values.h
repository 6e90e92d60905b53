/* values.h: a growing list of keyed values, written as JSON and as TeX. */
#ifndef VALUES_H
#define VALUES_H
#include "base/base.h"
#include "results/stats.h"

typedef struct {
  char *key, *text;                                  /* text: a value that is no number, else NULL */
  double value, low, high, p;                        /* in the unit that is printed, e.g. percent */
  int digits;                                        /* after the point */
  bool bounded, tested;                              /* low and high are set; p is set */
} value;
typedef struct { value *v; int n, room; } values;

/* Add a value and return it, for its bounds and p; valid until the next put. The key is a format.
   A number that is not finite becomes the text "not finite". */
value *put_number(values *, double x, int digits, const char *key, ...) __attribute__((format(printf, 4, 5)));
value *put_text(values *, const char *text, const char *key, ...) __attribute__((format(printf, 3, 4)));
void put_bounds(value *, double low, double high);
void put_p(value *, double p);
value *find_value(const values *, const char *key);  /* NULL when absent */

/* "95.95--97.44"; "= 0.22" or "< 0.001". In say()'s buffers. */
const char *bounds_text(const value *);
const char *p_text(double p);
/* Text with TeX's special characters escaped. */
const char *tex_text(const char *s);

/* Write {"key": {"value": ..}, ...} members; read them back into the list. */
void write_values_json(FILE *f, const values *);
void read_values_json(values *, const json *object);
/* Write \result{key}{text} lines; bounds as key/bounds, /low, /high, p as key/p. */
void write_values_tex(FILE *f, const values *);
#endif

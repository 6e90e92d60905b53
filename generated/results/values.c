#include "results/values.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* put a value */
static value *put(values *t, char *key)
{
  if (t->n == t->room) t->room = 2 * t->room + 64, t->v = grow(t->v, sizeof *t->v * (size_t)t->room);
  t->v[t->n] = (value){ .key = key };
  return &t->v[t->n++];
}

value *put_number(values *t, double x, int digits, const char *key, ...)
{
  va_list ap;
  va_start(ap, key);
  value *v = put(t, join_list(key, ap));
  va_end(ap);
  v->value = x, v->digits = digits;
  if (!isfinite(x)) v->text = copy_text("not finite");
  return v;
}

value *put_text(values *t, const char *text, const char *key, ...)
{
  va_list ap;
  va_start(ap, key);
  value *v = put(t, join_list(key, ap));
  va_end(ap);
  v->text = copy_text(text);
  return v;
}

void put_bounds(value *v, double low, double high)
{
  v->low = low, v->high = high, v->bounded = isfinite(low) && isfinite(high);
}

void put_p(value *v, double p) { v->p = p, v->tested = true; }
/* find a value */
value *find_value(const values *t, const char *key)
{
  for (int i = 0; i < t->n; i++)
    if (!strcmp(t->v[i].key, key)) return &t->v[i];
  return NULL;
}

/* format a value */
static const char *number_text(double x, int digits)
{
  char plain[64], out[96];
  double scale = pow(10, digits);
  if (round(x * scale) == 0) x = 0;
  snprintf(plain, sizeof plain, "%.*f", digits, fabs(x));
  int whole = (int)strcspn(plain, "."), n = 0;
  for (int i = 0; plain[i] && n < 90; i++) {
    if (i && i < whole && whole > 4 && (whole - i) % 3 == 0) out[n++] = '\\', out[n++] = ',';
    out[n++] = plain[i];
  }
  out[n] = 0;
  return say("%s%s", x < 0 ? "\\ensuremath{-}" : "", out);
}

const char *bounds_text(const value *v)
{
  return say(v->low < 0 ? "%s to %s" : "%s--%s", number_text(v->low, v->digits),
             number_text(v->high, v->digits));
}

const char *p_text(double p)
{
  if (p < 0.001) return "< 0.001";
  return say(p < 0.1 ? "= %.3f" : "= %.2f", p);
}

/* escape text for TeX */
const char *tex_text(const char *s)
{
  builder b = {0};
  for (; *s; s++)
    if (*s == '\\') build(&b, "\\textbackslash{}");
    else if (*s == '~' || *s == '^') build(&b, "\\%c{}", *s);
    else build(&b, strchr("_&%#${}", *s) ? "\\%c" : "%c", *s);
  char *text = built(&b, NULL);
  const char *kept = say("%s", text);
  free(text);
  return kept;
}

/* write values */
void write_values_json(FILE *f, const values *t)
{
  fputs("{", f);
  for (int i = 0; i < t->n; i++) {
    const value *v = &t->v[i];
    fputs(i ? ",\n  " : "\n  ", f), json_put_text(f, v->key), fputs(": {", f);
    if (v->text) fputs("\"text\": ", f), json_put_text(f, v->text);
    else fprintf(f, "\"value\": %.12g, \"digits\": %d", v->value, v->digits);
    if (v->bounded) fprintf(f, ", \"low\": %.12g, \"high\": %.12g", v->low, v->high);
    if (v->tested) fprintf(f, ", \"p\": %.12g", v->p);
    fputs("}", f);
  }
  fputs("\n}", f);
}

void write_values_tex(FILE *f, const values *t)
{
  for (int i = 0; i < t->n; i++) {
    const value *v = &t->v[i];
    fprintf(f, "\\result{%s}{%s}\n", v->key, v->text ? tex_text(v->text) : number_text(v->value, v->digits));
    if (v->bounded) fprintf(f, "\\result{%s/bounds}{%s}\n", v->key, bounds_text(v));
    if (v->bounded) fprintf(f, "\\result{%s/low}{%s}\n", v->key, number_text(v->low, v->digits));
    if (v->bounded) fprintf(f, "\\result{%s/high}{%s}\n", v->key, number_text(v->high, v->digits));
    if (v->tested) fprintf(f, "\\result{%s/p}{%s}\n", v->key, p_text(v->p));
  }
}

/* read values */
void read_values_json(values *t, const json *object)
{
  for (const json *j = object ? object->child : NULL; j; j = j->next) {
    const char *text = json_text(j, "text", NULL);
    value *v = text ? put_text(t, text, "%s", j->name)
      : put_number(t, json_number(j, "value", NAN), (int)json_number(j, "digits", 2), "%s", j->name);
    if (json_get(j, "low")) put_bounds(v, json_number(j, "low", 0), json_number(j, "high", 0));
    if (json_get(j, "p")) put_p(v, json_number(j, "p", 1));
  }
}


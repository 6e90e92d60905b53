/* tap.h: the Test Anything Protocol for compiled tests. Usage: ok(condition, "what %d", n) ...; return done_testing(); */
#ifndef TAP_H
#define TAP_H
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int tap_run, tap_failed;

__attribute__((format(printf, 4, 5), unused))
static int tap_ok(int good, const char *file, int line, const char *format, ...)
{
  va_list ap;
  printf("%sok %d - ", good ? "" : "not ", ++tap_run);
  va_start(ap, format), vprintf(format, ap), va_end(ap);
  printf("\n");
  if (!good) tap_failed++, printf("# at %s:%d\n", file, line);
  fflush(stdout);
  return good;
}
#define ok(condition, ...) tap_ok(!!(condition), __FILE__, __LINE__, __VA_ARGS__)
#define skip(why) printf("ok %d # SKIP %s\n", ++tap_run, why)

/* WBCSNET_ENGINES="cuda cuda-tf32" restricts a test to those engines; unset or empty: all. */
__attribute__((unused)) static int engine_wanted(const char *name)
{
  const char *list = getenv("WBCSNET_ENGINES");
  const size_t n = strlen(name);
  for (const char *at = list; at && (at = strstr(at, name)); at += n)
    if ((at == list || at[-1] == ' ') && (!at[n] || at[n] == ' ')) return 1;
  return !list || !*list;
}

__attribute__((unused)) static int done_testing(void) { printf("1..%d\n", tap_run); return tap_failed > 0; }
#endif

/* tap.h: the Test Anything Protocol for compiled tests. Usage: ok(condition, "what %d", n) ...; return done_testing(); */
#ifndef TAP_H
#define TAP_H
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int tap_run, tap_failed;

/* The sanitizers look for what reaches past its memory; sums were held already, by the same tests without them. */
#ifdef __SANITIZE_ADDRESS__
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif

__attribute__((format(printf, 4, 5), unused))
static int tap_ok(int good, const char *file, int line, const char *format, ...)
{
  va_list ap;
  printf("%sok %d - ", good ? "" : "not ", ++tap_run);
  va_start(ap, format), vprintf(format, ap), va_end(ap);
  printf("\n");
  if (!good) tap_failed++, printf("# at %s:%d\n", file, line);
  fflush(stdout);
  if (!good && getenv("PLANTED")) exit(1);           /* a planted fault (tests/48-planted.t) is found once */
  return good;
}
#define ok(condition, ...) tap_ok(!!(condition), __FILE__, __LINE__, __VA_ARGS__)
#define skip(why) printf("ok %d # SKIP %s\n", ++tap_run, why)

/* WBCSNET_ENGINES="cuda:1 cuda-tf32" restricts a test to those engines, on that GPU; unset or empty: all. */
extern int engine_gpu __attribute__((weak));         /* engine.h's; tests of kernels have none */
__attribute__((unused)) static int engine_wanted(const char *name)
{
  const char *list = getenv("WBCSNET_ENGINES");
  const size_t n = strlen(name);
  for (const char *at = list; at && (at = strstr(at, name)); at += n)
    if ((at == list || at[-1] == ' ') && (!at[n] || strchr(" :", at[n]))) {
      if (at[n] == ':' && &engine_gpu) engine_gpu = atoi(at + n + 1);
      return 1;
    }
  return !list || !*list;
}

/* An engine that is off. Nobody asked for it by name: a skip. Somebody did: it has to be there, and no test passes without it. */
#define engine_off(name, why) \
  do { \
    const char *asked_ = getenv("WBCSNET_ENGINES"); \
    if (asked_ && *asked_) ok(0, "engine %s, which WBCSNET_ENGINES=\"%s\" asks for: %s", name, asked_, why); \
    else skip(why); \
  } while (0)

/* A test that tried nothing has not passed: WBCSNET_ENGINES may name no engine of its. */
__attribute__((unused)) static int done_testing(void)
{
  if (!tap_run) ok(0, "something was tested");
  printf("1..%d\n", tap_run);
  return tap_failed > 0;
}
#endif

#include "base/options.h"
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SUBCOMMAND(name, does) int cmd_##name(int argc, char **argv);
#include "program/commands.h"
#undef SUBCOMMAND

static const struct { const char *name; int (*run)(int, char **); const char *does; } commands[] = {
#define SUBCOMMAND(name, does) { #name, cmd_##name, does },
#include "program/commands.h"
};

/* say what there is */
static int say_what_there_is(int code)
{
  FILE *f = code ? stderr : stdout;
  fprintf(f, "usage: wbcsnet SUBCOMMAND [--help] ...\n\n");
  for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) fprintf(f, "  %-10s %s\n", commands[i].name, commands[i].does);
  fprintf(f, "\nexit codes: 0 done, 1 failure, 2 usage, 3 bad data, 4 no such device, 130 stopped (the same command goes on)\n");
  return code;
}

/* begin with few threads */
/* The text of NAME=text in the environment, or NULL; here and below no library has begun yet. */
__attribute__((no_sanitize_address)) static const char *set_to(char **env, const char *name)
{
  for (const size_t n = strlen(name); *env; env++)
    if (!strncmp(*env, name, n) && (*env)[n] == '=') return *env + n + 1;
  return NULL;
}

/* refuse to begin without room */
__attribute__((no_sanitize_address)) static void refuse_to_begin_without_room(void)
{
  static const char text[] = "wbcsnet: memory: found no room for 160 MB of addresses, expected that much, which OpenBLAS takes\n"
                             "  hint: raise the limit (ulimit -v)\n";
  void *p = HAVE_OPENBLAS ? mmap(NULL, 160 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) : NULL;
  if (p == MAP_FAILED && write(2, text, sizeof text - 1)) _exit(EXIT_FAIL);
  if (p) munmap(p, 160 << 20);
}
__attribute__((no_sanitize_address)) static void begin_with_few_threads(int argc, char **argv, char **env)
{
  refuse_to_begin_without_room();
  const bool waits = set_to(env, "OMP_WAIT_POLICY") || set_to(env, "GOMP_SPINCOUNT"), one = set_to(env, "OPENBLAS_NUM_THREADS");
  int n = 0;
  if (waits && one) return;
  while (env[n]) n++;
  char *more[n + 3];
  memcpy(more, env, sizeof *env * (size_t)n);
  if (!waits) more[n++] = "OMP_WAIT_POLICY=passive";
  if (!one) more[n++] = "OPENBLAS_NUM_THREADS=1";
  more[n] = NULL;
  if (argc) execve("/proc/self/exe", argv, more);    /* where this fails, we go on as we are */
}

__attribute__((section(".preinit_array"), used))
static void (*first_of_all)(int, char **, char **) = begin_with_few_threads;

/* What was printed may still be on its way to a disk that is full. */
static int flushed(int code)
{
  output_flush();
  return code;
}

int main(int argc, char **argv)
{
  const char *names[32];
  int n = (int)(sizeof commands / sizeof *commands);
  if (argc < 2 || !strcmp(argv[1], "--help") || !strcmp(argv[1], "help")) return flushed(say_what_there_is(argc < 2 ? EXIT_USAGE : 0));
  if (!strcmp(argv[1], "--version")) return printf("wbcsnet %s\n", WBCSNET_VERSION), flushed(0);
  for (int i = 0; i < n; i++) {
    if (!strcmp(argv[1], commands[i].name)) return flushed(commands[i].run(argc - 1, argv + 1));
    names[i] = commands[i].name;
  }
  names[n] = NULL;
  const char *near = nearest(argv[1], names);
  die(EXIT_USAGE, argv[1], "an unknown subcommand", NULL, near ? say("did you mean %s?", near) : "wbcsnet --help lists them");
}

#include "engine.h"
#include "base.h"
#include "options.h"
#include <string.h>

int engine_gpu;
const engine_kind *const engine_kinds[] = {
  /* the engines, slowest first */
  &engine_ref,
  &engine_cpu,
  NULL
};

const engine_kind *engine_find(const char *name)
{
  const engine_kind *fastest = NULL;
  const char *names[16] = { "auto", "cuda" };
  for (int i = 0; engine_kinds[i]; i++) {
    const engine_kind *k = engine_kinds[i];
    const char *off = k->why_off();
    if (!strcmp(name, k->name) && off)
      die(EXIT_NODEVICE, say("--device %s", name), off, "a machine that can run it",
          "--device auto takes the fastest usable engine");
    if (!strcmp(name, k->name)) return k;
    if (!off) fastest = k;
    names[i + 2] = k->name;
  }
  if (!strcmp(name, "auto")) return fastest;
  if (!strcmp(name, "cuda"))
    die(EXIT_NODEVICE, "--device cuda", "no GPU engine in this version", "auto, cpu or ref",
        "--device auto takes the fastest usable engine");
  const char *near = nearest(name, names);
  die(EXIT_USAGE, "--device", say("'%s'", name), "auto, cpu or ref",
      near ? say("did you mean %s?", near) : NULL);
}

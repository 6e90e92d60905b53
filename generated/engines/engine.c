#include "engines/engine.h"
#include "base/base.h"
#include "base/options.h"
#include <stdlib.h>
#include <string.h>

int engine_gpu;
const engine_kind *const engine_kinds[] = {
  /* the engines, slowest first */
  &engine_ref,
  &engine_cpu,
  &engine_cuda_bf16,
  &engine_cuda_tf32,
  &engine_cuda,
  NULL
};

/* split a device's name */
/* The engine's name in "cuda:1"; the number goes to engine_gpu. */
static const char *split_name(const char *name)
{
  static char base[32];
  const size_t length = strcspn(name, ":");
  engine_gpu = 0;
  if (!name[length] || strncmp(name, "cuda", 4) || length >= sizeof base) return name;
  memcpy(base, name, length), base[length] = 0;
  char *end;
  const long n = strtol(name + length + 1, &end, 10);
  if (end == name + length + 1 || *end || n < 0 || n > 1023)
    die(EXIT_USAGE, "--device", say("'%s'", name), say("%s:N, with N counted from 0", base), NULL);
  engine_gpu = (int)n;
  return base;
}
/* check a batch */
void batch_check(const plan *p, const batch *b)
{
  const shape in = p->tensor[0].s;
  if (b->n < 1 || b->n > p->batch)
    die(EXIT_FAIL, "batch", say("%d images", b->n), say("1 to %d, as the plan was made for", p->batch), NULL);
  if (b->turn && in.h != in.w)
    die(EXIT_FAIL, "batch", say("turns of %d x %d pixels", in.h, in.w), "squares", NULL);
}
/* ask whether a GPU shall be watched */
static bool switched_on(const char *variable)
{
  const char *text = getenv(variable);
  if (!text || !*text || !strcmp(text, "0")) return false;
  if (strcmp(text, "1")) die(EXIT_USAGE, variable, say("'%s'", text), "0 or 1", NULL);
  return true;
}

bool gpu_waits(void) { return switched_on("WBCSNET_GPU_SYNC"); }

bool gpu_apart(void)
{
  const bool apart = switched_on("WBCSNET_GPU_APART");
  return gpu_waits() || apart;
}
/* ask which candidates touch an engine */
const char *candidate_off(const engine_kind *k, candidate c)
{
  const candidate_row *row = &candidate_table[c];
  if (!(row->precisions & k->candidates_in)) return say("touches nothing in %s", k->name);
  const int has = k->capability();
  if (row->capability && has != row->capability)
    return say("needs a GPU of compute capability %d.%d, this one has %d.%d", row->capability / 10, row->capability % 10,
               has / 10, has % 10);
  return NULL;
}

const char *candidates_of(const engine_kind *k)
{
  static char text[256];
  *text = 0;
  for (int i = 0; i < CANDIDATES; i++)
    if (candidates_asked() >> i & 1 && candidate_table[i].precisions & k->candidates_in)
      snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s", *text ? "," : "", candidate_table[i].name);
  return *text ? text : NULL;
}


const engine_kind *engine_find(const char *name)
{
  candidates_asked(), gpu_apart();                   /* a misspelt one is told on every machine */
  const engine_kind *fastest = NULL;
  const char *names[16] = { "auto" }, *base = split_name(name);
  const bool any = !strcmp(base, "auto"), likely = !any || engine_cuda_likely();
  for (int i = 0; engine_kinds[i]; i++) {
    const engine_kind *k = engine_kinds[i];
    const bool gpu = !strncmp(k->name, "cuda", 4);
    names[i + 1] = k->name;
    if (any && !strchr(k->name, '-') && (!gpu || likely) && !k->why_off()) fastest = k;
    if (strcmp(base, k->name)) continue;
    const char *off = k->why_off();
    if (off)
      die(EXIT_NODEVICE, say("--device %s", name), off, "a machine that can run it",
          "wbcsnet doctor lists the engines; --device auto takes the fastest usable one");
    return k;
  }
  if (any) return fastest;
  const char *near = nearest(base, names);
  die(EXIT_USAGE, "--device", say("'%s'", name), "auto, cpu, cuda, cuda-tf32, cuda-bf16 or ref",
      near ? say("did you mean %s?", near) : NULL);
}

/* choose an engine's vectors */
void engine_tune(const engine_kind *kind, const char *vectors, bool direct)
{
  const char *const flag = vectors ? "--vectors" : "--direct";
  if (!vectors && !direct) return;
  if (!kind->tune) die(EXIT_USAGE, flag, say("--device %s", kind->name), "an engine that has the choice", "--device cpu");
  if (!kind->tune(vectors, direct))
    die(EXIT_USAGE, flag, say("'%s'", vectors), say("%s, or a narrower set of this machine", kind->vectors()), NULL);
}

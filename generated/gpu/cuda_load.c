/* cuda_load.c: finds the GPU engine's plugin and asks it for its three engines. */
#include "engines/engine.h"
#include "base/base.h"
#include <dlfcn.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* find the plugin */
static const char *plugin_path(void)
{
  static char path[PATH_MAX + 40];
  const char *given = getenv("WBCSNET_CUDA");
  if (given && *given) return given;
  ssize_t length = readlink("/proc/self/exe", path, PATH_MAX);
  if (length < 0) length = 0;
  path[length] = 0;
  for (int up = 0; up < 2; up++) {
    char *slash = strrchr(path, '/');
    if (!slash) break;
    strcpy(slash, "/libwbcsnet_cuda.so");
    if (file_exists(path)) return path;
    *slash = 0;
  }
  return NULL;
}
/* open the plugin */
static void *plugin;

static const char *open_plugin(void)
{
  const char *path = plugin_path();
  if (!path) return "no GPU engine in this build (make all says why)";
  if (!file_exists(path)) return say("no plugin %s", path);
  plugin = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!plugin) return say("a plugin that cannot be loaded: %s", dlerror());
  const char *version = dlsym(plugin, "wbcsnet_cuda_version");
  if (version && dlsym(plugin, "wbcsnet_cuda_kinds") && !strcmp(version, wbcsnet_version)) return NULL;
  const char *why = version ? say("a plugin of version %s beside a program of version %s; make all builds both", version, wbcsnet_version)
                            : say("%s, which is no plugin of wbcsnet", path);
  plugin = NULL;                                     /* stays open: its libraries may not survive being closed */
  return why;
}

/* NULL when the plugin is open, else why not; the first answer stands. */
static const char *trouble(void)
{
  static char *why;
  static bool tried;
  if (!tried) {
    const char *found = open_plugin();
    tried = true, why = found ? copy_text(found) : NULL;
  }
  return why;
}
/* stand in for three engines */
static const char *fill(engine_kind *k)
{
  const char *why = trouble();
  if (why) return why;
  const engine_kind *const *(*kinds)(void);
  *(void **)&kinds = dlsym(plugin, "wbcsnet_cuda_kinds");
  for (const engine_kind *const *from = kinds(); *from; from++)
    if (!strcmp((*from)->name, k->name)) {
      *k = **from;
      return k->why_off();
    }
  return say("a plugin without the engine %s", k->name);
}

static const char *bf16_off(void) { return fill(&engine_cuda_bf16); }
static const char *tf32_off(void) { return fill(&engine_cuda_tf32); }
static const char *fp32_off(void) { return fill(&engine_cuda); }
engine_kind engine_cuda_bf16 = { .name = "cuda-bf16", .why_off = bf16_off };
engine_kind engine_cuda_tf32 = { .name = "cuda-tf32", .why_off = tf32_off };
engine_kind engine_cuda = { .name = "cuda", .why_off = fp32_off };
/* ask whether a GPU is likely */
bool engine_cuda_likely(void)
{
  const char *given = getenv("WBCSNET_CUDA");
  if (given && *given) return true;
  void *driver = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL);
  if (driver) dlclose(driver);
  return driver != NULL;
}

const char *engine_cuda_device(int n)
{
  const char *(*device)(int);
  if (trouble()) return NULL;
  *(void **)&device = dlsym(plugin, "wbcsnet_cuda_device");
  return device ? device(n) : NULL;
}
